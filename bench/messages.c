/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages from one process to another, each of them published by itself.
 */
#include <config.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <peal/local.h>
#include <peal/message.h>

#include "bare.h"
#include "kernel.h"
#include "messages.h"

/* Whatever else there is, it holds a MiB and 16 of the largest messages. */
#define RING (1 << 20)

struct builtin {
	struct peal_local local;
	void *memory;
	struct bare ring;
	int fds[2];
	char *buffer;
};

_Static_assert(sizeof(struct builtin) <= MESSAGES_STATE, "state");

static inline struct builtin *builtin(struct messages *m)
{
	return (struct builtin *)(void *)m->state;
}

/* -- peal */

static void peal_open(struct messages *m)
{
	struct peal_geometry g = { 0 };

	bench_check(peal_message_geometry(&g, RING, NULL), "geometry");
	bench_check(peal_local_init(&builtin(m)->local, &g), "peal_local_init");
}

static void peal_enter(struct messages *m, unsigned side)
{
	const struct peal_mem *mem = &builtin(m)->local.mem;

	bench_touch(mem->base, mem->body_offset + 2 * mem->body);
	if (side == 0)
		peal_sender_set_barriers(&builtin(m)->local.sender,
					 !m->how->fences);
	else
		peal_receiver_set_barriers(&builtin(m)->local.receiver,
					   !m->how->fences);
}

static void peal_close(struct messages *m)
{
	peal_local_close(&builtin(m)->local);
}

BENCH_INLINE void peal_send_sized(struct messages *m, bool spin, size_t size)
{
	struct peal_sender *tx = &builtin(m)->local.sender;

	for (uint64_t i = 0; i < m->count; i++) {
		void *room = NULL;
		int ret;

		while ((ret = peal_message_try_reserve(tx, size, &room)) == 0)
			if (!spin &&
			    (ret = peal_message_wait(tx, size, -1, &room)) != 0)
				break;
		bench_check(ret, "peal_message_reserve");
		bench_fill(room, size, i);
		peal_message_commit(tx, 0, size);
	}
}

BENCH_INLINE uint64_t peal_receive_sized(struct messages *m, bool spin,
					 size_t size)
{
	struct peal_receiver *rx = &builtin(m)->local.receiver;
	struct peal_message message;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < m->count; i++) {
		int ret;

		while ((ret = peal_message_peek(rx, &message)) == 0)
			if (!spin &&
			    (ret = peal_message_receive(rx, -1, &message)) != 0)
				break;
		bench_check(ret, "peal_message_peek");
		if (message.size != size)
			bench_fail("its size", EBADMSG);
		sum += bench_read(message.data, size);
		peal_message_release(rx, &message);
	}
	return sum;
}

static void peal_send(struct messages *m)
{
	if (m->how->spin)
		BENCH_BY_SIZE(m->point->size, peal_send_sized, m, true);
	else
		BENCH_BY_SIZE(m->point->size, peal_send_sized, m, false);
}

static uint64_t peal_receive(struct messages *m)
{
	return m->how->spin ? BENCH_BY_SIZE(m->point->size, peal_receive_sized,
					    m, true)
			    : BENCH_BY_SIZE(m->point->size, peal_receive_sized,
					    m, false);
}

/* -- bare: items of that size, without a header */

static void bare_open(struct messages *m)
{
	builtin(m)->memory = bench_share(BARE_HEAD + RING);
}

static void bare_enter(struct messages *m, unsigned side)
{
	struct builtin *b = builtin(m);

	bare_init(&b->ring, b->memory, RING / m->point->size, m->point->size,
		  side == 0);
	bench_touch(b->memory, BARE_HEAD + RING);
}

static void bare_close(struct messages *m)
{
	bench_unshare(builtin(m)->memory, BARE_HEAD + RING);
}

BENCH_INLINE void bare_send_sized(struct messages *m, size_t size)
{
	struct bare ring = builtin(m)->ring;

	ring.item_size = size;
	for (uint64_t i = 0; i < m->count; i++) {
		unsigned char *item = NULL;

		while (bare_peek(&ring, &item) == 0)
			;
		bench_fill(item, size, i);
		bare_move(&ring, 1);
	}
}

BENCH_INLINE uint64_t bare_receive_sized(struct messages *m, size_t size)
{
	struct bare ring = builtin(m)->ring;
	uint64_t sum = 0;

	ring.item_size = size;
	for (uint64_t i = 0; i < m->count; i++) {
		unsigned char *item = NULL;

		while (bare_peek(&ring, &item) == 0)
			;
		sum += bench_read(item, size);
		bare_move(&ring, 1);
	}
	return sum;
}

static void bare_send(struct messages *m)
{
	BENCH_BY_SIZE(m->point->size, bare_send_sized, m);
}

static uint64_t bare_receive(struct messages *m)
{
	return BENCH_BY_SIZE(m->point->size, bare_receive_sized, m);
}

/* -- a packet for each */

static void packets_open(struct messages *m)
{
	kernel_pair((enum kernel_kind)m->how->kind, builtin(m)->fds);
	builtin(m)->buffer = malloc(m->point->size);
}

static void packets_send(struct messages *m)
{
	struct builtin *b = builtin(m);

	for (uint64_t i = 0; i < m->count; i++) {
		bench_fill(b->buffer, m->point->size, i);
		kernel_write(b->fds[1], b->buffer, m->point->size);
	}
}

static uint64_t packets_receive(struct messages *m)
{
	struct builtin *b = builtin(m);
	uint64_t sum = 0;

	for (uint64_t i = 0; i < m->count; i++) {
		kernel_read(b->fds[0], b->buffer, m->point->size);
		sum += bench_read(b->buffer, m->point->size);
	}
	return sum;
}

static void packets_close(struct messages *m)
{
	struct builtin *b = builtin(m);

	close(b->fds[0]);
	close(b->fds[1]);
	free(b->buffer);
}

/* -- both sides */

static void side(struct bench_stage *stage, unsigned i, void *user)
{
	struct messages *m = user;

	if (m->how->enter)
		m->how->enter(m, i);
	bench_start(stage, i);
	if (i == 0)
		m->how->send(m);
	else
		stage->out[0] = m->how->receive(m);
	bench_stop(stage, i);
	if (i == 1 && stage->out[0] != bench_total(m->count))
		bench_fail("what was received", EBADMSG);
	if (!m->how->leave)
		return;
	bench_await(stage, 1); /* some lose what is under way */
	m->how->leave(m, i);
}

void messages_run(const struct bench_contestant *self,
		  const struct bench_point *point, uint64_t count,
		  struct bench_result *result)
{
	static struct messages m;

	memset(&m, 0, sizeof(m));
	m.point = point;
	m.how = self->how;
	m.count = count;
	if (m.how->open)
		m.how->open(&m);
	result->ns = bench_fork(2, 2, side, &m, NULL);
	result->value[0] = (double)count * 1e3 / (double)result->ns;
	if (m.how->close)
		m.how->close(&m);
}

/* -- who takes part */

bool messages_any(const struct bench_point *point)
{
	return bench_cpus() > 1 || strcmp(point->mode, "blocking") == 0;
}

bool messages_spinning(const struct bench_point *point)
{
	return bench_cpus() > 1 && strcmp(point->mode, "spinning") == 0;
}

bool messages_blocking(const struct bench_point *point)
{
	return strcmp(point->mode, "blocking") == 0;
}

#define CONTESTANT(id, name, fits, ...)                                        \
	BENCH_CONTESTANT(id, messages_how, messages_run, fits, name,           \
			 __VA_ARGS__)

#define OF_PEAL                                                                \
	.open = peal_open, .enter = peal_enter, .send = peal_send,             \
	.receive = peal_receive, .close = peal_close

CONTESTANT(bare, "bare, spinning", messages_spinning, .open = bare_open,
	   .enter = bare_enter, .send = bare_send, .receive = bare_receive,
	   .close = bare_close);
CONTESTANT(peal_spinning, "peal, spinning", messages_spinning, OF_PEAL,
	   .spin = true);
CONTESTANT(fences_spinning, "peal, fences, spinning", messages_spinning,
	   OF_PEAL, .spin = true, .fences = true);
CONTESTANT(peal_blocking, "peal", messages_blocking, OF_PEAL);
CONTESTANT(by_packets, "SEQPACKET", messages_any, .open = packets_open,
	   .send = packets_send, .receive = packets_receive,
	   .close = packets_close, .kind = KERNEL_SEQPACKET);

static const struct bench_contestant *const contestants[] = {
	&bare,
	&peal_spinning,
	&fences_spinning,
	&peal_blocking,
#ifdef HAVE_LIBQB
	&messages_qb_spinning,
	&messages_qb,
#endif
#ifdef HAVE_LIBZMQ
	&messages_zmq,
#endif
#ifdef HAVE_NNG
	&messages_nng,
#endif
#ifdef HAVE_LIBSYSTEMD
	&messages_sdbus,
#endif
	&by_packets,
	NULL,
};

static const struct bench_point points[] = {
	{ "spinning", .size = 8, .quick = true },
	{ "spinning", .size = 64, .quick = true },
	{ "spinning", .size = 4096, .quick = true },
	{ "spinning", .size = 65536, .quick = true },
	{ "blocking", .size = 8, .quick = true },
	{ "blocking", .size = 64 },
	{ "blocking", .size = 4096 },
	{ "blocking", .size = 65536 },
};

const struct bench_family bench_messages = {
	.name = "messages",
	.what = "messages to another process, each published by itself",
	.unit = "M/s",
	.points = points,
	.n_points = sizeof(points) / sizeof(*points),
	.contestants = contestants,
	.reference = "peal",
	.first = 256,
};
