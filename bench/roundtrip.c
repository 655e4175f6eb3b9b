/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An item to the other process and back, one at a time: how long that takes.
 */
#include <config.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <peal/local.h>

#include "bare.h"
#include "kernel.h"
#include "roundtrip.h"

/* Bytes of each ring. */
#define RING 4096

/* What the built-in ones need, there (0) and back (1). */
struct builtin {
	struct peal_local local[2];
	void *memory[2];
	struct bare bare[2];
	struct count count[2];
	int fds[2][2];
	char buffer[256];
};

_Static_assert(sizeof(struct builtin) <= ROUNDTRIP_STATE, "state");

static inline struct builtin *builtin(struct roundtrip *r)
{
	return (struct builtin *)(void *)r->state;
}

/* -- peal */

static void peal_open(struct roundtrip *r)
{
	struct peal_geometry g = { .capacity = RING / r->point->size,
				   .item_size = r->point->size };

	for (int i = 0; i < 2; i++)
		bench_check(peal_local_init(&builtin(r)->local[i], &g),
			    "peal_local_init");
}

static void peal_enter(struct roundtrip *r, unsigned side)
{
	struct peal_local *local = builtin(r)->local;

	peal_sender_set_barriers(&local[side].sender, !r->how->fences);
	peal_receiver_set_barriers(&local[!side].receiver, !r->how->fences);
}

static void peal_close(struct roundtrip *r)
{
	for (int i = 0; i < 2; i++)
		peal_local_close(&builtin(r)->local[i]);
}

BENCH_INLINE void peal_send(struct roundtrip *r, int to, uint64_t number)
{
	struct peal_sender *tx = &builtin(r)->local[to].sender;
	void *item = NULL;

	bench_check(peal_sender_try_reserve(tx, &item), "reserve");
	bench_fill(item, r->point->size, number);
	peal_sender_commit(tx, 1);
}

BENCH_INLINE uint64_t peal_receive(struct roundtrip *r, int from)
{
	struct peal_receiver *rx = &builtin(r)->local[from].receiver;
	const void *item = NULL;
	uint64_t number;

	if (r->how->spin)
		while (peal_receiver_peek(rx, &item) == 0)
			;
	else
		bench_check(peal_receiver_wait(rx, 1, -1, &item), "wait");
	number = bench_read(item, r->point->size);
	peal_receiver_release(rx, 1);
	return number;
}

ROUNDTRIP_RINGS(peal)

/* -- bare and count */

static void memory_open(struct roundtrip *r)
{
	struct builtin *b = builtin(r);

	for (int i = 0; i < 2; i++) {
		b->memory[i] = bench_share(BARE_HEAD + RING);
		b->fds[i][0] = kernel_eventfd();
	}
}

static void memory_close(struct roundtrip *r)
{
	struct builtin *b = builtin(r);

	for (int i = 0; i < 2; i++) {
		bench_unshare(b->memory[i], BARE_HEAD + RING);
		close(b->fds[i][0]);
	}
}

/* Each side sends by one of them and receives by the other one. */
static void memory_enter(struct roundtrip *r, unsigned side)
{
	struct builtin *b = builtin(r);
	uint64_t n = RING / r->point->size;

	for (unsigned i = 0; i < 2; i++) {
		bare_init(&b->bare[i], b->memory[i], n, r->point->size,
			  i == side);
		count_init(&b->count[i], b->memory[i], n, r->point->size,
			   i == side);
	}
}

BENCH_INLINE void bare_send(struct roundtrip *r, int to, uint64_t number)
{
	struct bare *ring = &builtin(r)->bare[to];
	unsigned char *item = NULL;

	while (bare_peek(ring, &item) == 0)
		;
	bench_fill(item, r->point->size, number);
	bare_move(ring, 1);
}

BENCH_INLINE uint64_t bare_receive(struct roundtrip *r, int from)
{
	struct bare *ring = &builtin(r)->bare[from];
	unsigned char *item = NULL;
	uint64_t number;

	while (bare_peek(ring, &item) == 0)
		;
	number = bench_read(item, r->point->size);
	bare_move(ring, 1);
	return number;
}

ROUNDTRIP_RINGS(bare)

BENCH_INLINE void count_send(struct roundtrip *r, int to, uint64_t number)
{
	struct count *ring = &builtin(r)->count[to];
	unsigned char *item = NULL;

	while (count_peek(ring, &item) == 0)
		;
	bench_fill(item, r->point->size, number);
	if (count_move(ring, 1) && !r->how->spin)
		kernel_ring(builtin(r)->fds[to][0]);
}

BENCH_INLINE uint64_t count_receive(struct roundtrip *r, int from)
{
	struct count *ring = &builtin(r)->count[from];
	unsigned char *item = NULL;
	uint64_t number;

	while (count_peek(ring, &item) == 0)
		if (!r->how->spin)
			kernel_take(builtin(r)->fds[from][0]);
	number = bench_read(item, r->point->size);
	count_move(ring, 1); /* it was not full, so nobody sleeps */
	return number;
}

ROUNDTRIP_RINGS(count)

/* -- eventfds alone, pipes, sockets: fds[to][0] to read, [1] to write */

#define EVENTFDS (-1)

static void fds_open(struct roundtrip *r)
{
	struct builtin *b = builtin(r);

	for (int i = 0; i < 2; i++)
		if (r->how->kind == EVENTFDS)
			b->fds[i][0] = b->fds[i][1] = kernel_eventfd();
		else if (i == 0 || r->how->kind == KERNEL_PIPE)
			kernel_pair((enum kernel_kind)r->how->kind, b->fds[i]);
	if (r->how->kind > KERNEL_PIPE) { /* one for both directions */
		b->fds[1][0] = b->fds[0][1];
		b->fds[1][1] = b->fds[0][0];
	}
}

static void fds_close(struct roundtrip *r)
{
	struct builtin *b = builtin(r);

	for (int i = 0; i < (r->how->kind > KERNEL_PIPE ? 1 : 2); i++) {
		close(b->fds[i][0]);
		if (r->how->kind != EVENTFDS)
			close(b->fds[i][1]);
	}
}

static size_t fds_bytes(const struct roundtrip *r)
{
	return r->how->kind == EVENTFDS ? 8 : r->point->size;
}

/* An eventfd adds up numbers, and blocks at 0. */
static uint64_t fds_trip(struct roundtrip *r, uint64_t number)
{
	struct builtin *b = builtin(r);

	bench_fill(b->buffer, r->point->size, number + 1);
	kernel_write(b->fds[0][1], b->buffer, fds_bytes(r));
	kernel_read(b->fds[1][0], b->buffer, fds_bytes(r));
	return bench_read(b->buffer, r->point->size) - 1;
}

ROUNDTRIP_CLIENT(fds_client, fds_trip)

static void fds_server(struct roundtrip *r)
{
	struct builtin *b = builtin(r);

	for (uint64_t i = 0; i < r->count; i++) {
		kernel_read(b->fds[0][0], b->buffer, fds_bytes(r));
		kernel_write(b->fds[1][1], b->buffer, fds_bytes(r));
	}
}

/* -- both sides */

static void side(struct bench_stage *stage, unsigned i, void *user)
{
	struct roundtrip *r = user;

	if (r->how->enter)
		r->how->enter(r, i);
	bench_start(stage, i);
	if (i == 0)
		r->how->client(r);
	else
		r->how->server(r);
	bench_stop(stage, i);
	if (!r->how->leave)
		return;
	bench_await(stage, 0); /* some lose what is under way */
	r->how->leave(r, i);
}

void roundtrip_run(const struct bench_contestant *self,
		   const struct bench_point *point, uint64_t count,
		   struct bench_result *result)
{
	struct bench_histogram *h = bench_share(sizeof(*h));
	static struct roundtrip r;

	memset(&r, 0, sizeof(r));
	r.point = point;
	r.how = self->how;
	r.count = count;
	r.tick = bench_tick();
	r.histogram = h;
	if (r.how->open)
		r.how->open(&r);
	result->ns = bench_fork(2, point->cpus, side, &r, NULL);
	result->value[0] = histogram_quantile(h, 0.5);
	result->value[1] = histogram_quantile(h, 0.99);
	result->value[2] = histogram_quantile(h, 0.999);
	if (result->histogram)
		histogram_merge(result->histogram, h);
	if (r.how->close)
		r.how->close(&r);
	bench_unshare(h, sizeof(*h));
}

/* -- who takes part */

static bool enough_cpus(const struct bench_point *point)
{
	return point->cpus <= bench_cpus();
}

static bool spinning(const struct bench_point *point)
{
	return strcmp(point->mode, "spinning") == 0 && enough_cpus(point);
}

bool roundtrip_blocking(const struct bench_point *point)
{
	return strcmp(point->mode, "blocking") == 0 && enough_cpus(point);
}

#define CONTESTANT(id, name, fits, ...)                                        \
	BENCH_CONTESTANT(id, roundtrip_how, roundtrip_run, fits, name,         \
			 __VA_ARGS__)

#define OF_PEAL                                                                \
	.open = peal_open, .enter = peal_enter, .client = peal_client,         \
	.server = peal_server, .close = peal_close
#define OF_MEMORY(kind)                                                        \
	.open = memory_open, .enter = memory_enter, .client = kind##_client,   \
	.server = kind##_server, .close = memory_close
#define OF_FDS(kind_)                                                          \
	.open = fds_open, .client = fds_client, .server = fds_server,          \
	.close = fds_close, .kind = kind_

CONTESTANT(bare_spinning, "bare", spinning, OF_MEMORY(bare), .spin = true);
CONTESTANT(peal_spinning, "peal", spinning, OF_PEAL, .spin = true);
CONTESTANT(fences_spinning, "peal, fences", spinning, OF_PEAL, .spin = true,
	   .fences = true);
CONTESTANT(count_spinning, "count", spinning, OF_MEMORY(count), .spin = true);
CONTESTANT(by_eventfds, "bare eventfds", roundtrip_blocking, OF_FDS(EVENTFDS));
CONTESTANT(by_peal, "peal", roundtrip_blocking, OF_PEAL);
CONTESTANT(by_count, "count", roundtrip_blocking, OF_MEMORY(count));
CONTESTANT(by_pipe, "pipe", roundtrip_blocking, OF_FDS(KERNEL_PIPE));
CONTESTANT(by_unix, "Unix stream", roundtrip_blocking, OF_FDS(KERNEL_UNIX));
CONTESTANT(by_packet, "SEQPACKET", roundtrip_blocking,
	   OF_FDS(KERNEL_SEQPACKET));

static const struct bench_contestant *const contestants[] = {
	&bare_spinning,
	&peal_spinning,
	&fences_spinning,
	&count_spinning,
	&by_eventfds,
	&by_peal,
	&by_count,
	&by_pipe,
	&by_unix,
	&by_packet,
#ifdef HAVE_LIBQB
	&roundtrip_qb,
#endif
#ifdef HAVE_LIBZMQ
	&roundtrip_zmq,
#endif
#ifdef HAVE_NNG
	&roundtrip_nng,
#endif
#ifdef HAVE_LIBSYSTEMD
	&roundtrip_sdbus,
#endif
	NULL,
};

static const struct bench_point points[] = {
	{ "spinning", .size = 8, .cpus = 2, .quick = true },
	{ "spinning", .size = 64, .cpus = 2 },
	{ "blocking", .size = 64, .cpus = 1, .quick = true },
	{ "blocking", .size = 64, .cpus = 2, .quick = true },
};

const struct bench_family bench_roundtrip = {
	.name = "roundtrip",
	.what = "an item to the other process and back, one at a time",
	.unit = "ns",
	.metrics = { "p50", "p99", "p999" },
	.points = points,
	.n_points = sizeof(points) / sizeof(*points),
	.contestants = contestants,
	.reference = "bare",
	.first = 64,
};
