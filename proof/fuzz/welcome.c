/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A client whose server is hostile: what it answers, which fds it hands over,
 * and what is in the memory that it made. The answer is there before it is
 * asked, so nobody has to wait.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../mem/internal.h"
#include "../../ring/internal.h"
#include "packet.h"

#define LIES_MAX 24
#define MEMFD_MAX (1u << 16)

/* Fds that are none of those that are due. */
enum wrong {
	WRONG_PIPE,
	WRONG_PIPE_END,
	WRONG_SOCKET,
	WRONG_BLOCKING,
	WRONG_SEMAPHORE,
	WRONG_NULL,
	WRONG_FOLDER,
	WRONG_EPOLL,
	WRONG_FDS
};

/* One of the server's, of which it needs to see no more than the pages. */
struct server_ring {
	struct peal_ring ring; /* the pages; NULL: there is none */
	size_t size;
	int fd;
};

struct run {
	struct input in;
	int pair[2]; /* the client's, the server's */
	struct peal_hello hello;
	struct server_ring rings[2];
	struct peal_wire_answer answer;
	struct peal_wire_open open;
	size_t answer_size;
	int first; /* bytes of the first packet, or 0 */
	int fds[PACKET_FDS];
	size_t n_fds;
	int made[LIES_MAX]; /* memfds of lies */
	int n_made;
	bool lied;
	struct peal_channel ch;
};

static int wrong[WRONG_FDS];
/* Of all inputs: they are but rung. */
static int bells[4];

static void prepare(void)
{
	static bool done;
	int fds[2];

	if (done)
		return;
	done = true;
	CHECK_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	wrong[WRONG_PIPE] = fds[0];
	wrong[WRONG_PIPE_END] = fds[1];
	wrong[WRONG_SOCKET] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	wrong[WRONG_BLOCKING] = eventfd(0, EFD_CLOEXEC);
	wrong[WRONG_SEMAPHORE] = eventfd(3, EFD_CLOEXEC | EFD_NONBLOCK |
						    EFD_SEMAPHORE);
	wrong[WRONG_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	wrong[WRONG_FOLDER] = open("/", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	wrong[WRONG_EPOLL] = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < WRONG_FDS; i++)
		CHECK(wrong[i] >= 0);
	for (int i = 0; i < 4; i++) {
		bells[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		CHECK(bells[i] >= 0);
	}
}

/* -- what the client asks for */

static void ask(struct run *run)
{
	static const uint64_t sizes[] = { 8, 1, 24, 512 };
	static const uint64_t capacities[] = { 0, 1, 4, 64 };
	static const enum peal_doorbell_kind kinds[] = {
		PEAL_DOORBELL_EVENTFD, PEAL_DOORBELL_SOCKET, PEAL_DOORBELL_NONE,
		PEAL_DOORBELL_EVENTFD
	};
	uint8_t a = input_byte(&run->in), b = input_byte(&run->in);

	run->hello = (struct peal_hello){
		.role = (enum peal_role)(a % 3 + 1),
		.bells = kinds[a / 4 % 4],
		.item_size = sizes[b % 4],
		.capacity = capacities[b / 4 % 4],
		.back_item_size = a & 128 ? sizes[b / 16 % 4] : 0,
		.back_capacity = capacities[b / 64],
		.tag = "sample/1",
		.back_tag = "back/1",
		.name = "fuzz",
	};
	if (a & 64)
		run->hello.tag[0] = '\0';
}

/* -- what the server makes of it, as an honest one would */

static void make_one_ring(struct run *run, bool back)
{
	struct peal_wire_ring *told = &run->answer.ring[back];
	struct server_ring *r = &run->rings[back];
	struct peal_geometry g;
	void *pages;

	peal_hello_geometry(&g, &run->hello, back);
	if (g.capacity == 0)
		g.capacity = 4;
	CHECK_EQ(peal_geometry_fit(&g, peal_mem_page(0)), 0);
	r->size = g.items_offset + peal_geometry_body(&g);
	r->fd = peal_memfd_create(g.name, r->size, 0);
	CHECK(r->fd >= 0);
	pages = mmap(NULL, g.items_offset, PROT_READ | PROT_WRITE, MAP_SHARED,
		     r->fd, 0);
	CHECK(pages != MAP_FAILED);
	CHECK_EQ(peal_ring_format(&r->ring, &g, pages, r->size), 0);
	*told = (struct peal_wire_ring){ .capacity = g.capacity,
					 .item_size = g.item_size,
					 .items_offset = g.items_offset,
					 .flags = g.flags };
	memcpy(told->tag, g.tag, sizeof(told->tag));
	run->fds[run->n_fds++] = r->fd;
	if (run->answer.bells == PEAL_DOORBELL_SOCKET)
		return;
	run->fds[run->n_fds++] = bells[2 * back];
	run->fds[run->n_fds++] = bells[2 * back + 1];
}

static void make_rings(struct run *run)
{
	run->answer.bells = run->hello.bells == PEAL_DOORBELL_EVENTFD
				    ? PEAL_DOORBELL_EVENTFD
				    : PEAL_DOORBELL_SOCKET;
	run->answer_size = sizeof(run->answer);
	peal_wire_begin(&run->answer.start, PEAL_WIRE_ANSWER, 0, NULL);
	peal_wire_begin(&run->open.start, PEAL_WIRE_OPEN, 0, NULL);
	if (run->hello.role & PEAL_SENDER)
		make_one_ring(run, false);
	if (run->hello.role & PEAL_RECEIVER)
		make_one_ring(run, true);
}

/* -- and how it lies */

/* Of the right size or of another one, sealed as is due or otherwise. */
static int make_memfd(struct run *run)
{
	uint8_t how = input_byte(&run->in);
	size_t i = how / 128;
	const struct server_ring *r = &run->rings[i];
	size_t size = r->ring.sender_page ? r->size : PEAL_RING_ITEMS_OFFSET;
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	CHECK(fd >= 0);
	if (how & 1)
		size = input_bytes(&run->in, 3) % MEMFD_MAX;
	else if (how & 2)
		size -= input_byte(&run->in);
	CHECK_EQ(ftruncate(fd, (off_t)size), 0);
	if (!(how & 4))
		fcntl(fd, F_ADD_SEALS, PEAL_SEALS_SIZED);
	if (how & 8)
		fcntl(fd, F_ADD_SEALS, input_byte(&run->in) % 32);
	/* With what belongs into it. */
	if ((how & 16) && r->ring.sender_page &&
	    size >= PEAL_RING_ITEMS_OFFSET &&
	    pwrite(fd, r->ring.sender_page, PEAL_RING_ITEMS_OFFSET, 0) < 0)
		CHECK(errno == EPERM); /* sealed */
	return fd;
}

static void replace_fd(struct run *run)
{
	size_t i = input_byte(&run->in) % PACKET_FDS;
	uint8_t with = input_byte(&run->in);
	int fd;

	if (with < 96) {
		fd = run->made[run->n_made++] = make_memfd(run);
	} else if (with < 160 && run->n_fds > 0) {
		fd = run->fds[with % run->n_fds]; /* another one of them */
	} else {
		fd = wrong[with % WRONG_FDS];
	}
	run->fds[i] = fd;
	if (run->n_fds <= i)
		run->n_fds = i + 1;
	for (size_t j = 0; j < run->n_fds; j++)
		if (run->fds[j] < 0)
			run->fds[j] = wrong[WRONG_NULL];
}

/* The words of the headers and of the pages, most of all. */
static void write_memory(struct run *run)
{
	uint8_t how = input_byte(&run->in);
	struct server_ring *r = &run->rings[how & 1];
	struct peal_page *page = how & 2 ? r->ring.sender_page
					 : r->ring.receiver_page;
	uint64_t value = input_nearby(&run->in);
	size_t at;

	if (!page)
		return;
	if (how & 4)
		value = input_bytes(&run->in, 8);
	switch (how / 8 % 4) {
	case 0:
		page->position = value;
		break;
	case 1:
		page->state = value;
		break;
	case 2:
		page->wake = value;
		break;
	default:
		at = input_below(&run->in, sizeof(struct peal_header));
		memcpy((char *)page + at, &value, how & 64 ? 1 : 8);
	}
}

static void server_send(struct run *run, const void *packet, size_t size,
			size_t n_fds)
{
	int ret = packet_send(run->pair[1], packet, size, run->fds, n_fds);

	if (ret > 0 && run->first == 0)
		run->first = ret;
}

static void lie(struct run *run)
{
	uint8_t how = input_byte(&run->in);
	char packet[PACKET_MAX] = { 0 };
	size_t i;

	switch (how % 10) {
	case 0:
		packet_patch(&run->in, &run->answer, sizeof(run->answer));
		break;
	case 1:
		packet_patch(&run->in, &run->open, sizeof(run->open));
		break;
	case 2:
	case 3:
		replace_fd(run);
		break;
	case 4:
	case 5:
		write_memory(run);
		return; /* it may be a truth */
	case 6:
		run->n_fds = input_byte(&run->in) % (run->n_fds + 1);
		break;
	case 7:
		run->answer_size = input_below(&run->in, PACKET_MAX);
		break;
	case 8: /* another one before it */
		packet_patch(&run->in, packet, sizeof(packet));
		server_send(run, packet,
			    input_below(&run->in, sizeof(packet)) + 1, 0);
		break;
	default: /* bells of the two rings in each other's place, ... */
		for (i = 0; i + 1 < run->n_fds && i < 2; i++) {
			int fd = run->fds[i];

			run->fds[i] = run->fds[run->n_fds - 1 - i];
			run->fds[run->n_fds - 1 - i] = fd;
		}
	}
	run->lied = true;
}

/* @return none */
static bool tell_lies(struct run *run)
{
	unsigned lies = input_byte(&run->in) % LIES_MAX;

	for (unsigned i = 0; i < lies; i++) {
		if (i > 0 && !input_left(&run->in))
			break;
		lie(run);
	}
	return lies == 0;
}

static void answer(struct run *run)
{
	char packet[PACKET_MAX] = { 0 };

	memcpy(packet, &run->answer, sizeof(run->answer));
	server_send(run, packet, run->answer_size, run->n_fds);
	server_send(run, &run->open, sizeof(run->open), 0);
}

/* -- what the client does with it */

static void check_channel(const struct run *run)
{
	const struct peal_channel *ch = &run->ch;
	const struct peal_hello *hello = &run->hello;
	const struct peal_channel_ring *opened[] = { &ch->out, &ch->in };
	off_t size;

	CHECK(ch->line.bells == PEAL_DOORBELL_SOCKET ||
	      hello->bells == PEAL_DOORBELL_EVENTFD);
	for (int i = 0; i < 2; i++) {
		struct peal_geometry g;

		if (!(hello->role & (i ? PEAL_RECEIVER : PEAL_SENDER))) {
			CHECK(!opened[i]->mem.base);
			continue;
		}
		peal_hello_geometry(&g, hello, i);
		CHECK(opened[i]->ring.geometry.item_size == g.item_size);
		CHECK(opened[i]->ring.geometry.capacity >= g.capacity);
		CHECK(opened[i]->mem.mapped >=
		      g.items_offset + 2 * peal_geometry_body(&g));
	}
	/* An honest server's memory is as it should be, and sealed now. */
	for (int i = 0; i < 2 && !run->lied; i++)
		if (run->rings[i].ring.sender_page)
			CHECK_EQ(peal_memfd_verify(run->rings[i].fd,
						   PEAL_SEALS_FROZEN,
						   peal_mem_page(0), &size),
				 0);
}

static void use_sender(struct run *run)
{
	struct peal_sender *tx = &run->ch.sender;
	ssize_t n;
	void *room;

	n = input_byte(&run->in) & 1 ? peal_sender_try_reserve(tx, &room)
				     : peal_sender_wait(tx, 1, 0, &room);
	CHECK(n >= 0 || n == -EPROTO || n == -EPIPE || n == -ETIMEDOUT);
	if (n <= 0)
		return;
	memset(room, 1, (size_t)n * tx->end.item_size);
	peal_sender_commit(tx, input_below(&run->in, (uint64_t)n + 1));
}

static void use_receiver(struct run *run)
{
	static unsigned char copy[1 << 16];
	struct peal_receiver *rx = &run->ch.receiver;
	ssize_t n;
	const void *data;

	n = input_byte(&run->in) & 1 ? peal_receiver_peek(rx, &data)
				     : peal_receiver_wait(rx, 1, 0, &data);
	CHECK(n >= 0 || n == -EPROTO || n == -EPIPE || n == -ETIMEDOUT);
	if (n <= 0)
		return;
	memcpy(copy, data, rx->end.item_size);
	peal_receiver_release(rx, input_below(&run->in, (uint64_t)n + 1));
}

static void use(struct run *run)
{
	check_channel(run);
	for (int i = 0; i < LIES_MAX && input_left(&run->in); i++) {
		switch (input_byte(&run->in) % 6) {
		case 0:
			use_sender(run);
			break;
		case 1:
			use_receiver(run);
			break;
		case 2: /* a bell */
			packet_send(run->pair[1], "", 1, NULL, 0);
			break;
		case 3: /* that brings something along */
			packet_send(run->pair[1], "", 1, wrong, 1);
			break;
		case 4:
			peal_channel_check(&run->ch);
			break;
		default:
			write_memory(run);
		}
	}
	peal_channel_close(&run->ch);
}

/* The text alone is left. */
static void check_refused(struct run *run, int ret)
{
	static const struct peal_channel nothing;
	struct peal_channel *ch = &run->ch;

	CHECK(ret < 0 && ret > -4096);
	check_text(ch->text, sizeof(ch->text));
	CHECK(ch->text[0] != '\0');
	memset(ch->text, 0, sizeof(ch->text));
	CHECK(memcmp(ch, &nothing, sizeof(nothing)) == 0);
}

/* What it said: a hello, and then whether it is ready. */
static void check_said(struct run *run, int ret)
{
	struct peal_wire_hello hello;
	struct peal_wire_ready ready;
	ssize_t size = recv(run->pair[1], &hello, sizeof(hello), MSG_DONTWAIT);

	CHECK_EQ(size, sizeof(hello));
	do /* a bell that the memory asked for comes before */
		size = recv(run->pair[1], &ready, sizeof(ready), MSG_DONTWAIT);
	while (size == 1);
	if (ret == 0)
		CHECK(size == sizeof(ready));
	if (size != sizeof(ready))
		return;
	CHECK(ready.start.magic == PEAL_WIRE_READY);
	/* It may have been ready, and have heard no. */
	if (ready.start.status != 0)
		CHECK_EQ(ready.start.status, ret);
	check_text(ready.start.text, sizeof(ready.start.text));
}

static void finish(struct run *run)
{
	for (int i = 0; i < 2; i++) {
		struct server_ring *r = &run->rings[i];

		close(run->pair[i]);
		if (!r->ring.sender_page)
			continue;
		munmap(r->ring.sender_page, r->ring.geometry.items_offset);
		close(r->fd);
	}
	for (int i = 0; i < run->n_made; i++)
		close(run->made[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct leaks leaks;
	static struct run run;
	bool honest;
	int ret;

	memset(&run, 0, sizeof(run));
	memset(run.fds, 0xff, sizeof(run.fds));
	run.in = input_of(data, size);
	prepare();
	packet_pair(run.pair);
	ask(&run);
	make_rings(&run);
	honest = tell_lies(&run);
	answer(&run);
	ret = peal_connect_fd(&run.ch, run.pair[0], &run.hello, 0);
	if (honest)
		CHECK_EQ(ret, 0);
	if (ret == 0)
		CHECK_EQ(run.first, sizeof(run.answer));
	check_said(&run, ret);
	if (ret == 0)
		use(&run);
	else
		check_refused(&run, ret);
	finish(&run);
	check_leaks(&leaks);
	return 0;
}
