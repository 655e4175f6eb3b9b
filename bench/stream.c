/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Items from one process to another, as fast as it goes.
 *
 * The sender fills in a batch and commits it, the receiver reads as much and
 * releases it. Spinning sides look again and again, blocking ones sleep.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bare.h"
#include "bench.h"
#include "kernel.h"
#include "stream.h"
#include "work.h"

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* -- peal */

static void peal_open(struct stream *s)
{
	struct peal_geometry g = { .capacity = s->capacity,
				   .item_size = s->point->size };

	bench_check(peal_local_init(&s->local, &g), "peal_local_init");
	peal_sender_set_spin(&s->local.sender, s->how->poll);
	peal_receiver_set_spin(&s->local.receiver, s->how->poll);
}

BENCH_INLINE void peal_send_sized(struct stream *s, bool spin, size_t size)
{
	struct peal_sender *tx = &s->local.sender;

	for (uint64_t i = 0; i < s->count;) {
		uint64_t batch = least(s->batch, s->count - i);
		unsigned char *items = NULL;
		ssize_t n = peal_sender_try_reserve(tx, &items);

		if (n == 0 && spin)
			continue;
		if (n == 0)
			n = peal_sender_wait(tx, batch, -1, &items);
		bench_check(n, "peal_sender_wait");
		for (uint64_t end = i + batch; i < end; items += size)
			bench_fill(items, size, i++);
		peal_sender_commit(tx, batch);
	}
}

BENCH_INLINE uint64_t peal_receive_sized(struct stream *s, bool spin,
					 size_t size)
{
	struct peal_receiver *rx = &s->local.receiver;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < s->count;) {
		const unsigned char *items = NULL;
		ssize_t n = peal_receiver_peek(rx, &items);
		uint64_t batch;

		if (n == 0 && spin)
			continue;
		if (n == 0)
			n = peal_receiver_wait(rx, 1, -1, &items);
		bench_check(n, "peal_receiver_wait");
		batch = least((uint64_t)n, s->batch);
		for (uint64_t j = 0; j < batch; j++, items += size)
			sum += bench_read(items, size);
		peal_receiver_release(rx, batch);
		i += batch;
	}
	return sum;
}

static void peal_send(struct stream *s)
{
	if (s->how->spin)
		BENCH_BY_SIZE(s->point->size, peal_send_sized, s, true);
	else
		BENCH_BY_SIZE(s->point->size, peal_send_sized, s, false);
}

static uint64_t peal_receive(struct stream *s)
{
	return s->how->spin ? BENCH_BY_SIZE(s->point->size, peal_receive_sized,
					    s, true)
			    : BENCH_BY_SIZE(s->point->size, peal_receive_sized,
					    s, false);
}

/* -- bare */

static void memory_open(struct stream *s)
{
	s->mapped = BARE_HEAD + s->capacity * s->point->size;
	s->memory = bench_share(s->mapped);
}

BENCH_INLINE void bare_send_sized(struct stream *s, size_t size)
{
	struct bare r;

	bare_init(&r, s->memory, s->capacity, size, true);
	for (uint64_t i = 0; i < s->count;) {
		uint64_t batch = least(s->batch, s->count - i);
		unsigned char *items = NULL;

		if (bare_peek(&r, &items) < batch)
			continue;
		for (uint64_t end = i + batch; i < end; items += size)
			bench_fill(items, size, i++);
		bare_move(&r, batch);
	}
}

BENCH_INLINE uint64_t bare_receive_sized(struct stream *s, size_t size)
{
	uint64_t sum = 0;
	struct bare r;

	bare_init(&r, s->memory, s->capacity, size, false);
	for (uint64_t i = 0; i < s->count;) {
		unsigned char *items = NULL;
		uint64_t batch = least(bare_peek(&r, &items), s->batch);

		if (batch == 0)
			continue;
		for (uint64_t j = 0; j < batch; j++, items += size)
			sum += bench_read(items, size);
		bare_move(&r, batch);
		i += batch;
	}
	return sum;
}

static void bare_send(struct stream *s)
{
	BENCH_BY_SIZE(s->point->size, bare_send_sized, s);
}

static uint64_t bare_receive(struct stream *s)
{
	return BENCH_BY_SIZE(s->point->size, bare_receive_sized, s);
}

/* -- count */

static void count_open(struct stream *s)
{
	s->data[0] = s->data[1] = kernel_eventfd();
	s->space[0] = s->space[1] = kernel_eventfd();
	memory_open(s);
}

static void count_ring(struct stream *s, int fd)
{
	s->bells++;
	kernel_ring(fd);
}

BENCH_INLINE void count_send_sized(struct stream *s, bool spin, size_t size)
{
	struct count r;

	count_init(&r, s->memory, s->capacity, size, true);
	for (uint64_t i = 0; i < s->count;) {
		uint64_t batch = least(s->batch, s->count - i);
		unsigned char *items = NULL;

		if (count_peek(&r, &items) < batch) {
			if (!spin)
				kernel_take(s->space[0]);
			continue;
		}
		for (uint64_t end = i + batch; i < end; items += size)
			bench_fill(items, size, i++);
		if (count_move(&r, batch) && !spin)
			count_ring(s, s->data[1]);
	}
}

BENCH_INLINE uint64_t count_receive_sized(struct stream *s, bool spin,
					  size_t size)
{
	uint64_t sum = 0;
	struct count r;

	count_init(&r, s->memory, s->capacity, size, false);
	for (uint64_t i = 0; i < s->count;) {
		unsigned char *items = NULL;
		uint64_t batch = least(count_peek(&r, &items), s->batch);

		if (batch == 0) {
			if (!spin)
				kernel_take(s->data[0]);
			continue;
		}
		for (uint64_t j = 0; j < batch; j++, items += size)
			sum += bench_read(items, size);
		i += batch;
		if (count_move(&r, batch) && !spin)
			count_ring(s, s->space[1]);
	}
	return sum;
}

static void count_send(struct stream *s)
{
	if (s->how->spin)
		BENCH_BY_SIZE(s->point->size, count_send_sized, s, true);
	else
		BENCH_BY_SIZE(s->point->size, count_send_sized, s, false);
}

static uint64_t count_receive(struct stream *s)
{
	return s->how->spin ? BENCH_BY_SIZE(s->point->size, count_receive_sized,
					    s, true)
			    : BENCH_BY_SIZE(s->point->size, count_receive_sized,
					    s, false);
}

/* -- pipes and sockets: a batch is one write, or one packet */

static void fds_open(struct stream *s)
{
	kernel_pair(s->how->kind, s->data);
	s->buffer = calloc(s->batch, s->point->size);
}

static void fds_send(struct stream *s)
{
	uint64_t size = s->point->size;

	for (uint64_t i = 0; i < s->count;) {
		uint64_t batch = least(s->batch, s->count - i);

		for (uint64_t j = 0; j < batch; j++)
			bench_fill(s->buffer + j * size, size, i++);
		kernel_write(s->data[1], s->buffer, batch * size);
	}
}

static uint64_t fds_receive(struct stream *s)
{
	uint64_t size = s->point->size, sum = 0;

	for (uint64_t i = 0; i < s->count;) {
		uint64_t batch = least(s->batch, s->count - i);

		kernel_read(s->data[0], s->buffer, batch * size);
		for (uint64_t j = 0; j < batch; j++, i++)
			sum += bench_read(s->buffer + j * size, size);
	}
	return sum;
}

/* -- both sides */

void stream_enter(struct stream *s, unsigned side)
{
	const struct peal_mem *mem = &s->local.mem;

	if (s->memory)
		bench_touch(s->memory, s->mapped);
	if (!mem->base)
		return;
	bench_touch(mem->base, mem->body_offset + 2 * mem->body);
	if (side == 0)
		peal_sender_set_barriers(&s->local.sender, !s->how->fences);
	else
		peal_receiver_set_barriers(&s->local.receiver, !s->how->fences);
}

static void side(struct bench_stage *stage, unsigned i, void *user)
{
	struct stream *s = user;

	stream_enter(s, i);
	bench_start(stage, i);
	if (i == 0)
		s->how->send(s);
	else
		stage->out[0] = s->how->receive(s);
	bench_stop(stage, i);
	if (i == 1 && stage->out[0] != bench_total(s->count))
		bench_fail("what was received", EBADMSG);
}

void stream_close(struct stream *s)
{
	peal_local_close(&s->local);
	free(s->buffer);
	if (s->memory)
		bench_unshare(s->memory, s->mapped);
	for (int i = 0; i < 2; i++) {
		if (s->data[i] >= 0)
			close(s->data[i]);
		if (s->space[i] >= 0)
			close(s->space[i]);
	}
}

void stream_open(struct stream *s, const struct stream_how *how,
		 const struct bench_point *point, uint64_t count)
{
	*s = (struct stream){
		.point = point,
		.how = how,
		.count = count,
		.batch = point->batch,
		.capacity = point->ring / point->size,
		.data = { -1, -1 },
		.space = { -1, -1 },
	};
	how->open(s);
}

static void run(const struct bench_contestant *self,
		const struct bench_point *point, uint64_t count,
		struct bench_result *result)
{
	struct stream s;

	stream_open(&s, self->how, point, count);
	result->ns = bench_fork(2, 2, side, &s, NULL);
	result->value[0] = (double)count * 1e3 / (double)result->ns;
	stream_close(&s);
}

/* -- who takes part */

static bool is(const struct bench_point *point, const char *mode)
{
	return strcmp(point->mode, mode) == 0;
}

static bool spinning(const struct bench_point *point)
{
	return is(point, "spinning") && bench_cpus() > 1;
}

static bool blocking(const struct bench_point *point)
{
	return is(point, "blocking");
}

static bool two_cpus(const struct bench_point *point)
{
	return point->mode && bench_cpus() > 1;
}

static bool as_packets(const struct bench_point *point)
{
	return blocking(point) &&
	       point->size * point->batch <= KERNEL_PACKET_MAX;
}

#define CONTESTANT(id, name_, fits_, ...)                                      \
	const struct stream_how stream_##id = { __VA_ARGS__ };                 \
	static const struct bench_contestant id = {                            \
		.name = name_, .fits = fits_, .run = run, .how = &stream_##id  \
	}

CONTESTANT(peal_blocking, "peal", blocking, .open = peal_open,
	   .send = peal_send, .receive = peal_receive);
CONTESTANT(peal_spinning, "peal, spinning", two_cpus, .open = peal_open,
	   .send = peal_send, .receive = peal_receive, .spin = true);
CONTESTANT(fences_blocking, "peal, fences", blocking, .open = peal_open,
	   .send = peal_send, .receive = peal_receive, .fences = true);
CONTESTANT(polling, "peal, polling", blocking, .open = peal_open,
	   .send = peal_send, .receive = peal_receive, .poll = 20000);
CONTESTANT(fences_spinning, "peal, fences, spinning", two_cpus,
	   .open = peal_open, .send = peal_send, .receive = peal_receive,
	   .spin = true, .fences = true);
CONTESTANT(bare_spinning, "bare, spinning", two_cpus, .open = memory_open,
	   .send = bare_send, .receive = bare_receive, .spin = true);
CONTESTANT(count_blocking, "count", blocking, .open = count_open,
	   .send = count_send, .receive = count_receive);
CONTESTANT(count_spinning, "count, spinning", spinning, .open = memory_open,
	   .send = count_send, .receive = count_receive, .spin = true);
CONTESTANT(by_pipe, "pipe", blocking, .open = fds_open, .send = fds_send,
	   .receive = fds_receive, .kind = KERNEL_PIPE);
CONTESTANT(by_unix, "Unix stream", blocking, .open = fds_open, .send = fds_send,
	   .receive = fds_receive, .kind = KERNEL_UNIX);
CONTESTANT(by_packets, "SEQPACKET", as_packets, .open = fds_open,
	   .send = fds_send, .receive = fds_receive, .kind = KERNEL_SEQPACKET);

static const struct bench_contestant *const contestants[] = {
	&bare_spinning, &peal_spinning,	  &fences_spinning, &count_spinning,
	&peal_blocking, &fences_blocking, &polling,	    &count_blocking,
	&by_pipe,	&by_unix,	  &by_packets,	    NULL,
};

#define MIB (1 << 20)

static const struct bench_point points[] = {
	{ "spinning", .size = 8, .batch = 1, .ring = MIB, .quick = true },
	{ "spinning", .size = 8, .batch = 32, .ring = MIB, .quick = true },
	{ "spinning", .size = 8, .batch = 256, .ring = MIB, .quick = true },
	{ "spinning", .size = 64, .batch = 1, .ring = MIB, .quick = true },
	{ "spinning", .size = 64, .batch = 32, .ring = MIB },
	{ "spinning", .size = 1024, .batch = 1, .ring = MIB },
	{ "spinning", .size = 4096, .batch = 1, .ring = MIB, .quick = true },
	{ "spinning", .size = 65536, .batch = 1, .ring = MIB, .quick = true },
	{ "spinning", .size = MIB, .batch = 1, .ring = 4 * MIB },
	{ "blocking", .size = 8, .batch = 1, .ring = 4096, .quick = true },
	{ "blocking", .size = 8, .batch = 1, .ring = MIB },
	{ "blocking", .size = 8, .batch = 32, .ring = MIB },
	{ "blocking", .size = 8, .batch = 256, .ring = MIB },
	{ "blocking", .size = 64, .batch = 1, .ring = MIB, .quick = true },
	{ "blocking", .size = 4096, .batch = 1, .ring = MIB },
	{ "blocking", .size = 65536, .batch = 1, .ring = MIB },
	{ "blocking", .size = MIB, .batch = 1, .ring = 4 * MIB },
};

const struct bench_family bench_stream = {
	.name = "stream",
	.what = "items from one process to another, as fast as it goes",
	.unit = "M items/s",
	.points = points,
	.n_points = sizeof(points) / sizeof(*points),
	.contestants = contestants,
	.reference = "bare, spinning",
	.first = 1024,
};
