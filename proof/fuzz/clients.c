/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The clients of hello.c, which hold to no rule. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../mem/internal.h"
#include "../../ring/internal.h"
#include "hello.h"

#define CLIENTS 3
#define ARRIVALS_MAX 3

struct client {
	int fd; /* -1: it is not there */
	struct peal_wire_hello hello;
	struct peal_wire_answer answer;
	int fds[PEAL_FDS];
	struct peal_page *pages[2]; /* of the first ring, where it looks */
	int first;		    /* bytes of the first packet, or -1 */
};

static struct client clients[CLIENTS];
static unsigned arrivals;

static void forget_rings(struct client *c)
{
	for (int i = 0; i < PEAL_FDS; i++) {
		if (c->fds[i] >= 0)
			close(c->fds[i]);
		c->fds[i] = -1;
	}
	if (c->pages[0])
		munmap(c->pages[0], PEAL_RING_ITEMS_OFFSET);
	c->pages[0] = c->pages[1] = NULL;
}

static void leave(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	forget_rings(c);
}

static void client_send(struct client *c, const void *packet, size_t size,
			const int *fds, size_t n)
{
	int ret = packet_send(c->fd, packet, size, fds, n);

	if (ret >= 0 && c->first < 0)
		c->first = ret;
}

static void arrive(struct client *c)
{
	uint8_t how = input_byte(&run.in);
	int pair[2], ret;

	leave(c);
	if (arrivals++ >= ARRIVALS_MAX)
		return;
	packet_pair(pair);
	ret = peal_server_add(&run.server, pair[1], how & 1);
	close(pair[1]);
	CHECK(ret == 0 || ret == -EAGAIN);
	c->fd = pair[0];
	c->first = -1;
}

static void say_hello(struct client *c, bool lie)
{
	static const uint64_t capacities[] = { 0, 1, 4, 64 };
	uint8_t a = input_byte(&run.in);
	struct peal_hello hello = {
		.role = (enum peal_role)(a % 3 + 1),
		.bells = (enum peal_doorbell_kind)(a / 4 % 3),
		.item_size = 8,
		.capacity = capacities[a / 16 % 4],
		.name = "fuzz",
	};
	char packet[PACKET_MAX] = { 0 };
	size_t size = sizeof(c->hello);

	peal_wire_put_hello(&c->hello, &hello);
	memcpy(packet, &c->hello, size);
	if (lie)
		packet_patch(&run.in, packet, size);
	if (lie && input_byte(&run.in) % 2)
		size = input_below(&run.in, sizeof(packet));
	client_send(c, packet, size, NULL, 0);
}

static void look(struct client *c)
{
	void *pages;

	if (c->fds[0] < 0 || c->pages[0])
		return;
	pages = mmap(NULL, PEAL_RING_ITEMS_OFFSET, PROT_READ | PROT_WRITE,
		     MAP_SHARED, c->fds[0], 0);
	if (pages == MAP_FAILED)
		return; /* it is sealed */
	c->pages[0] = pages;
	c->pages[1] = c->pages[0] + 1;
}

/* What a server may say. */
static void check_answer(const struct client *c)
{
	const struct peal_wire_answer *answer = &c->answer;
	int n = 0, rings = 0;

	while (n < PEAL_FDS && c->fds[n] >= 0)
		n++;
	CHECK(answer->start.magic == PEAL_WIRE_ANSWER);
	check_text(answer->start.text, sizeof(answer->start.text));
	CHECK(answer->start.status <= 0);
	if (answer->start.status < 0) {
		CHECK_EQ(n, 0);
		return;
	}
	/* Nothing but a hello is answered so. */
	CHECK_EQ(c->first, sizeof(struct peal_wire_hello));
	for (int i = 0; i < 2; i++) {
		const struct peal_wire_ring *ring = &answer->ring[i];

		rings += ring->capacity > 0;
		CHECK(ring->capacity * ring->item_size <= 2 * HELLO_BYTES_MAX);
		CHECK(!(ring->capacity & (ring->capacity - 1)));
	}
	CHECK(rings > 0);
	CHECK_EQ(n, answer->bells == PEAL_DOORBELL_SOCKET ? rings : 3 * rings);
}

static void hear(struct client *c)
{
	struct peal_wire_answer answer;
	int fds[PEAL_FDS];
	int ret = packet_receive(c->fd, &answer, sizeof(answer), fds, PEAL_FDS);

	if (ret == sizeof(struct peal_wire_open)) {
		CHECK(answer.start.magic == PEAL_WIRE_OPEN);
		check_text(answer.start.text, sizeof(answer.start.text));
		CHECK(answer.start.status <= 0 && fds[0] < 0);
		return;
	}
	if (ret != sizeof(answer)) { /* a bell */
		CHECK(ret <= 1 && fds[0] < 0);
		return;
	}
	forget_rings(c);
	memcpy(c->fds, fds, sizeof(fds));
	c->answer = answer;
	check_answer(c);
}

static bool is_memfd(const struct client *c, int i)
{
	int each = c->answer.bells == PEAL_DOORBELL_SOCKET ? 1 : 3;

	return c->fds[i] >= 0 && i % each == 0;
}

static void seal(struct client *c, bool lie)
{
	for (int i = 0; i < PEAL_FDS; i++) {
		int with = F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

		if (!is_memfd(c, i))
			continue;
		if (lie)
			with = input_byte(&run.in) % 32;
		fcntl(c->fds[i], F_ADD_SEALS, with);
		if ((fcntl(c->fds[i], F_GET_SEALS) & 0x1f) == PEAL_SEALS_FROZEN)
			run.seals++;
	}
}

static void say_ready(struct client *c, bool lie)
{
	struct peal_wire_ready ready;

	peal_wire_begin(&ready.start, PEAL_WIRE_READY, 0, NULL);
	if (lie)
		packet_patch(&run.in, &ready, sizeof(ready));
	client_send(c, &ready, sizeof(ready), NULL, 0);
}

static void say_anything(struct client *c)
{
	static char packet[PACKET_MAX];
	size_t size = input_below(&run.in, sizeof(packet));
	uint8_t how = input_byte(&run.in);
	int fds[2] = { c->fd, c->fd };

	memset(packet, 0, sizeof(packet));
	memcpy(packet, &c->hello, sizeof(c->hello));
	packet_patch(&run.in, packet, sizeof(packet));
	client_send(c, packet, size, fds, how % 3 ? 0 : 1 + how / 64 % 2);
}

static void ring(struct client *c)
{
	uint8_t how = input_byte(&run.in);
	const uint64_t one = 1;

	if (how % 4 == 0 && c->fds[2] >= 0 && !is_memfd(c, 2) &&
	    write(c->fds[how & 4 ? 1 : 2], &one, sizeof(one)) < 0)
		CHECK(errno == EAGAIN);
	for (int i = 0; i < how / 32 + 1; i++)
		client_send(c, "", how % 4 != 1, NULL, 0);
}

static void scribble(struct client *c)
{
	uint8_t how = input_byte(&run.in);
	struct peal_page *page = c->pages[how & 1];
	uint64_t value = input_nearby(&run.in);

	look(c);
	if (!page)
		return;
	if (how & 2)
		value += page->position;
	switch (how / 4 % 8) {
	case 0:
		value = input_bytes(&run.in, 8);
		memcpy((char *)page + input_below(&run.in, PEAL_PAGE_SIZE - 7),
		       &value, sizeof(value));
		break;
	case 1:
		page->state = value;
		break;
	case 2:
		page->elided = value;
		break;
	case 3:
	case 4:
		page->wake = value;
		break;
	default:
		page->position = value;
	}
}

/* All that an honest one does, up to a step. */
static void behave(struct client *c)
{
	uint8_t steps = input_byte(&run.in);

	arrive(c);
	if (c->fd < 0)
		return;
	say_hello(c, false);
	hello_serve();
	if (steps < 32)
		return;
	hear(c);
	look(c);
	if (steps < 48)
		return;
	seal(c, false);
	if (steps < 64)
		return;
	say_ready(c, false);
	hello_serve();
	hello_serve();
}

void clients_call(uint8_t what)
{
	struct client *c = &clients[what / 16 % CLIENTS];

	what %= 16;
	if (c->fd < 0 && what > 2) {
		behave(c);
		return;
	}
	switch (what) {
	case 0:
		arrive(c);
		break;
	case 1:
	case 2:
		hello_serve();
		break;
	case 3:
		say_hello(c, true);
		break;
	case 4:
		hear(c);
		break;
	case 5:
		seal(c, true);
		break;
	case 6:
		seal(c, false);
		break;
	case 7:
		say_ready(c, true);
		break;
	case 8:
		say_ready(c, false);
		break;
	case 9:
		say_anything(c);
		break;
	case 10:
		ring(c);
		break;
	case 11:
		packet_drain(c->fd);
		break;
	case 12:
		if (input_byte(&run.in) & 1)
			shutdown(c->fd, SHUT_WR);
		else
			leave(c);
		break;
	default:
		scribble(c);
	}
}

void clients_begin(void)
{
	memset(clients, 0, sizeof(clients));
	for (int i = 0; i < CLIENTS; i++) {
		clients[i].fd = -1;
		memset(clients[i].fds, 0xff, sizeof(clients[i].fds));
	}
	arrivals = 0;
}

void clients_end(void)
{
	for (int i = 0; i < CLIENTS; i++)
		leave(&clients[i]);
}
