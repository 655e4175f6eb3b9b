/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A handshake in memory, either side: what a hostile peer says in its hello,
 * its answer and when it is ready, and what is in the pages that it made; from
 * the packet to a channel, with kernel.c in the kernel's place.
 */
#include <errno.h>
#include <string.h>

#include "kernel.h"

#define BYTES_MAX KERNEL_BODY_MAX

static const uint64_t sizes[] = { 8, 1, 24, 512 };
static const uint64_t capacities[] = { 0, 1, 64, 4096 };

static struct peal_channel ch;

/* As a client would ask. */
static void any_hello(struct peal_hello *hello)
{
	uint8_t a = input_byte(&kernel.in), b = input_byte(&kernel.in);

	*hello = (struct peal_hello){
		.role = (enum peal_role)(a % 3 + 1),
		.bells = (enum peal_doorbell_kind)(a / 4 % 3),
		.item_size = sizes[b % 4],
		.capacity = capacities[b / 4 % 4],
		.back_item_size = a & 128 ? sizes[b / 16 % 4] : 0,
		.back_capacity = capacities[b / 64],
		.tag = "sample/1",
		.back_tag = "back/1",
		.name = "fuzz",
	};
	if (a & 64)
		hello->tag[0] = '\0';
}

/* The body of a ring, or more than there can be. */
static uint64_t body_of(uint64_t capacity, uint64_t item_size)
{
	if (item_size && capacity > UINT64_MAX / item_size)
		return UINT64_MAX;
	return capacity * item_size;
}

/* What comes, as it was meant, or patched, or of another size. */
static struct kernel_packet *comes(const void *bytes, size_t size)
{
	struct kernel_packet *packet = kernel_packet();

	memcpy(packet->bytes, bytes, size);
	packet->size = size;
	if (!kernel.honest) {
		packet_patch(&kernel.in, packet->bytes, size);
		if (input_byte(&kernel.in) % 16 == 15)
			packet->size = input_below(&kernel.in, PACKET_MAX);
	}
	return packet;
}

static void check_nothing_left(int ret)
{
	if (ret == 0)
		peal_channel_close(&ch);
	CHECK_EQ(kernel.mapped, 0);
	if (ret == 0)
		return;
	CHECK(ret < 0 && ret > -4096);
	check_text(ch.text, sizeof(ch.text));
}

/* -- a server, and any client */

static void check_served(const struct peal_service *service)
{
	const struct peal_wire_hello *said = (void *)kernel.comes[0].bytes;
	const struct peal_wire_ready *ready = (void *)kernel.comes[1].bytes;
	const struct peal_hello *hello = &ch.hello, *accept = &service->accept;
	uint64_t bytes = 0;

	CHECK_EQ(kernel.n_heard, 2);
	CHECK_EQ(kernel.n_said, 2);
	CHECK_EQ(kernel.comes[0].size, sizeof(*said));
	CHECK_EQ(kernel.comes[1].size, sizeof(*ready));
	CHECK(said->start.magic == PEAL_WIRE_HELLO);
	CHECK(ready->start.magic == PEAL_WIRE_READY);
	CHECK_EQ(said->start.status, 0);
	CHECK_EQ(ready->start.status, 0);
	CHECK_EQ(hello->role, said->role);
	CHECK(!accept->role || accept->role == hello->role);
	CHECK(hello->item_size == said->item_size && hello->item_size > 0);
	check_text(hello->name, sizeof(hello->name));
	check_text(hello->tag, sizeof(hello->tag));
	check_text(hello->back_tag, sizeof(hello->back_tag));
	CHECK(((struct peal_wire_open *)(void *)kernel.said[1].bytes)
		      ->start.magic == PEAL_WIRE_OPEN);
	CHECK_EQ(kernel.n_mems, hello->role == PEAL_BOTH ? 2 : 1);
	for (int i = 0; i < kernel.n_mems; i++) {
		CHECK(kernel.mems[i].verified && kernel.mems[i].filled);
		bytes += kernel.mems[i].body;
	}
	/* Limits count what was asked for, before it was rounded up. */
	CHECK(bytes <= 2 * BYTES_MAX);
	if (hello->role & PEAL_SENDER) {
		const struct peal_geometry *g = &ch.in.ring.geometry;

		CHECK(g->item_size == hello->item_size);
		CHECK(g->capacity >= hello->capacity);
		CHECK(body_of(hello->capacity, g->item_size) <= BYTES_MAX);
		if (accept->item_size)
			CHECK(g->item_size == accept->item_size);
		if (accept->tag[0])
			CHECK(strcmp(g->tag, accept->tag) == 0);
	}
}

static void answer_hello(void)
{
	uint8_t how = input_byte(&kernel.in);
	struct peal_service service = {
		.accept = { .role = (enum peal_role)(how & 1 ? how / 2 % 4 : 0),
			    .item_size = how & 8 ? 8 : 0,
			    .bells = (enum peal_doorbell_kind)(how / 16 % 3) },
		.max_bytes = BYTES_MAX,
	};
	struct peal_wire_hello wire;
	struct peal_wire_ready ready;
	struct peal_hello hello;
	bool fits;
	int ret;

	if (how & 128)
		strcpy(service.accept.tag, "sample/1");
	any_hello(&hello);
	/* 4096 of 24 bytes are too many, of 512 as well. */
	fits = kernel.honest && how % 2 == 0 && how < 128 &&
	       hello.item_size == 8 && hello.role == PEAL_SENDER &&
	       hello.capacity < 4096 && hello.capacity > 0;
	peal_wire_put_hello(&wire, &hello);
	comes(&wire, sizeof(wire));
	peal_wire_begin(&ready.start, PEAL_WIRE_READY, 0, NULL);
	comes(&ready, sizeof(ready));
	ret = peal_channel_accept(&ch, KERNEL_SOCKET, &service, how & 64, 1000);
	if (fits)
		CHECK_EQ(ret, 0);
	if (ret == 0)
		check_served(&service);
	check_nothing_left(ret);
}

/* -- a client, and any server */

static void make_ring(struct peal_wire_answer *answer,
		      const struct peal_hello *hello, bool back)
{
	struct peal_geometry *g = &kernel.made[back];
	struct peal_wire_ring *told = &answer->ring[back];

	peal_hello_geometry(g, hello, back);
	if (g->capacity == 0)
		g->capacity = 4;
	if (g->capacity * g->item_size > KERNEL_BODY_MAX)
		g->capacity = 64;
	if (!kernel.honest && input_byte(&kernel.in) % 8 == 7)
		g->capacity = 1; /* what fits in is smaller than asked for */
	CHECK_EQ(peal_geometry_fit(g, peal_mem_page(0)), 0);
	*told = (struct peal_wire_ring){ .capacity = g->capacity,
					 .item_size = g->item_size,
					 .items_offset = g->items_offset,
					 .flags = g->flags };
	memcpy(told->tag, g->tag, sizeof(told->tag));
}

/* The rings' memory has odd and even numbers. */
static void add_fds(struct kernel_packet *packet, bool back, bool bells)
{
	packet->fds[packet->n_fds++] = KERNEL_SOCKET + 2 + back;
	for (int i = 0; bells && i < 2; i++)
		packet->fds[packet->n_fds++] = KERNEL_SOCKET + 10 + i;
}

static void answer(const struct peal_hello *hello)
{
	struct peal_wire_answer wire = { .bells = PEAL_DOORBELL_SOCKET };
	struct kernel_packet *packet;
	uint8_t how = kernel.honest ? 0 : input_byte(&kernel.in);

	if (hello->bells == PEAL_DOORBELL_EVENTFD)
		wire.bells = PEAL_DOORBELL_EVENTFD;
	peal_wire_begin(&wire.start, PEAL_WIRE_ANSWER, 0, NULL);
	for (int back = 0; back < 2; back++)
		make_ring(&wire, hello, back);
	if (!(hello->role & PEAL_SENDER))
		memset(&wire.ring[0], 0, sizeof(wire.ring[0]));
	if (!(hello->role & PEAL_RECEIVER))
		memset(&wire.ring[1], 0, sizeof(wire.ring[1]));
	packet = comes(&wire, sizeof(wire));
	for (int back = 0; back < 2; back++)
		if (hello->role & (back ? PEAL_RECEIVER : PEAL_SENDER))
			add_fds(packet, back,
				wire.bells == PEAL_DOORBELL_EVENTFD);
	if (how % 16 == 15)
		packet->n_fds = how / 16 % (PEAL_FDS + 1);
	for (size_t i = 0; i < packet->n_fds; i++)
		if (!packet->fds[i])
			packet->fds[i] = KERNEL_SOCKET + 2 + (int)i;
}

static void check_channel_ring(const struct peal_channel_ring *cr,
			       const struct peal_hello *hello, bool back)
{
	const struct peal_geometry *g = &cr->ring.geometry;
	const struct kernel_mem *m = kernel.mems;
	struct peal_geometry asked;

	peal_hello_geometry(&asked, hello, back);
	CHECK(cr->mem.base);
	if (m->base != cr->mem.base)
		m++;
	CHECK(m->base == cr->mem.base && m->sealed && m->filled);
	CHECK(g->item_size == asked.item_size);
	CHECK(g->capacity >= asked.capacity);
	CHECK(!(g->capacity & (g->capacity - 1)));
	CHECK(body_of(g->capacity, g->item_size) == m->body);
	CHECK(g->items_offset == m->body_offset && g->flags == PEAL_RING_TWICE);
	CHECK_EQ(strcmp(g->name, asked.name), 0);
	/* Without one, peal_ring_open() takes what is there. */
	CHECK(memchr(g->tag, '\0', sizeof(g->tag)));
	if (asked.tag[0])
		CHECK_EQ(strcmp(g->tag, asked.tag), 0);
}

static void check_connected(const struct peal_hello *hello)
{
	const struct peal_wire_answer *wire = (void *)kernel.comes[0].bytes;
	const struct peal_wire_ready *ready = (void *)kernel.said[1].bytes;
	const struct peal_wire_open *open = (void *)kernel.comes[1].bytes;
	int rings = hello->role == PEAL_BOTH ? 2 : 1;

	CHECK_EQ(kernel.comes[0].size, sizeof(*wire));
	CHECK(wire->start.magic == PEAL_WIRE_ANSWER);
	CHECK_EQ(wire->start.status, 0);
	CHECK_EQ(kernel.n_said, 2);
	CHECK_EQ(ready->start.status, 0);
	CHECK_EQ(kernel.n_heard, 2);
	CHECK_EQ(kernel.comes[1].size, sizeof(*open));
	CHECK(open->start.magic == PEAL_WIRE_OPEN);
	CHECK_EQ(open->start.status, 0);
	CHECK(ch.line.bells == PEAL_DOORBELL_SOCKET ||
	      (ch.line.bells == PEAL_DOORBELL_EVENTFD &&
	       hello->bells == PEAL_DOORBELL_EVENTFD));
	CHECK_EQ(kernel.comes[0].n_fds,
		 ch.line.bells == PEAL_DOORBELL_SOCKET ? rings : 3 * rings);
	if (hello->role & PEAL_SENDER)
		check_channel_ring(&ch.out, hello, false);
	if (hello->role & PEAL_RECEIVER)
		check_channel_ring(&ch.in, hello, true);
}

static void be_client(void)
{
	struct peal_wire_open open;
	struct peal_hello hello;
	int ret;

	any_hello(&hello);
	if (body_of(hello.capacity, hello.item_size) > KERNEL_BODY_MAX)
		hello.capacity = 64;
	if (body_of(hello.back_capacity, hello.back_item_size) >
	    KERNEL_BODY_MAX)
		hello.back_capacity = 64;
	answer(&hello);
	peal_wire_begin(&open.start, PEAL_WIRE_OPEN, 0, NULL);
	comes(&open, sizeof(open));
	ret = peal_connect_fd(&ch, KERNEL_SOCKET, &hello, 1000);
	if (kernel.honest)
		CHECK_EQ(ret, 0);
	if (ret == 0)
		check_connected(&hello);
	check_nothing_left(ret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t how;

	kernel_start(input_of(data, size));
	how = input_byte(&kernel.in);
	kernel.honest = how / 2 % 8 == 7;
	kernel.strike_after = kernel.honest ? 0 : how / 16;
	if (kernel.strike_after == 15) /* within the second page, too */
		kernel.strike_after += input_byte(&kernel.in);
	if (how & 1)
		answer_hello();
	else
		be_client();
	return 0;
}
