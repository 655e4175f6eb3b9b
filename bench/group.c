/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Many rings from one thread to another: with a doorbell each, or with one for
 * all of them. The value is the time per item, from one end to the other.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <peal/group.h>
#include <peal/peal.h>

#include "bare.h"
#include "bench.h"
#include "kernel.h"
#include "loops.h"

#define CAPACITY 64
#define MOST 256

struct line {
	unsigned char memory[PEAL_RING_SIZE(CAPACITY, sizeof(uint64_t))];
	struct peal_doorbell bell;
	struct peal_sender tx;
	struct peal_receiver rx;
	struct peal_source source;
	_Alignas(128) struct bare from;
	_Alignas(128) struct bare to;
};

/* What a sender of bare rings marks: a bit per ring, and who sleeps. */
struct marks {
	_Alignas(128) uint64_t rings[MOST / 64];
	_Alignas(128) uint64_t asleep;
};

struct group {
	const struct bench_point *point;
	const struct group_how *how;
	uint64_t count, seen;
	size_t n, active;
	struct line *lines;
	struct marks *marks;
	int bell, epoll;
	struct peal_slot *slots;
	struct peal_source *source;
	struct peal_group bells;
	struct peal_group_marks *bells_marks;
	void **notify_args;
	struct peal_reactor loop;
	struct bench_stage *stage;
};

struct group_how {
	void (*open)(struct group *g);
	/* @return false: the ring is full */
	bool (*send)(struct group *g, size_t i, uint64_t number);
	void (*serve)(struct group *g);
	bool grouped;
};

/* -- peal */

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct group *g = user;
	const uint64_t *items;
	ssize_t n;

	while ((n = peal_receiver_peek(rx, &items)) > 0) {
		g->seen += (uint64_t)n;
		peal_receiver_release(rx, (size_t)n);
	}
	return PEAL_DONE;
}

static void peal_line(struct group *g, struct line *l)
{
	struct peal_geometry shape = { .capacity = CAPACITY,
				       .item_size = sizeof(uint64_t) };
	struct peal_ring ring;

	if (g->how->grouped)
		bench_check(peal_group_bell(&g->bells, &l->bell), "bell");
	else
		bench_check(peal_doorbell_init(&l->bell, PEAL_DOORBELL_EVENTFD),
			    "doorbell");
	bench_check(peal_geometry_fit(&shape, 0), "geometry");
	bench_check(
		peal_ring_format(&ring, &shape, l->memory, sizeof(l->memory)),
		"ring");
	bench_check(peal_sender_attach(&l->tx, &ring, &l->bell, NULL),
		    "sender");
	bench_check(peal_receiver_attach(&l->rx, &ring, &l->bell, NULL),
		    "receiver");
	bench_check(peal_reactor_add_receiver(
			    &g->loop, &l->source, &l->rx,
			    &(struct peal_receiver_callbacks){
				    .on_readable = on_readable, .user = g }),
		    "add_receiver");
}

static void peal_open(struct group *g)
{
	g->slots = loops_zeroed(g->n + 1, sizeof(*g->slots));
	g->notify_args = loops_zeroed(g->n, sizeof(*g->notify_args));
	g->source = loops_zeroed(1, sizeof(*g->source));
	g->bells_marks = loops_zeroed(1, sizeof(*g->bells_marks));
	bench_check(peal_reactor_init(&g->loop, g->slots, g->n + 1), "reactor");
	if (g->how->grouped) {
		bench_check(peal_group_init(&g->bells, g->bells_marks,
					    g->notify_args, g->n),
			    "group");
		bench_check(
			peal_reactor_add_group(&g->loop, g->source, &g->bells),
			"add_group");
	}
	for (size_t i = 0; i < g->n; i++)
		peal_line(g, &g->lines[i]);
}

static bool peal_send(struct group *g, size_t i, uint64_t number)
{
	struct peal_sender *tx = &g->lines[i].tx;
	uint64_t *item = NULL;

	if (peal_sender_try_reserve(tx, &item) <= 0)
		return false;
	*item = number;
	peal_sender_commit(tx, 1);
	return true;
}

static void peal_serve(struct group *g)
{
	while (g->seen < g->count)
		bench_check(peal_reactor_run_once(&g->loop, 1000), "run_once");
}

/* -- bare rings, an eventfd and a bit for each */

static void bare_open(struct group *g)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	g->marks = loops_zeroed(1, sizeof(*g->marks));
	g->bell = kernel_eventfd();
	g->epoll = epoll_create1(EPOLL_CLOEXEC);
	bench_check_errno(epoll_ctl(g->epoll, EPOLL_CTL_ADD, g->bell, &event),
			  "epoll_ctl");
	for (size_t i = 0; i < g->n; i++) {
		bare_init(&g->lines[i].from, g->lines[i].memory, CAPACITY, 8,
			  true);
		bare_init(&g->lines[i].to, g->lines[i].memory, CAPACITY, 8,
			  false);
	}
}

static bool bare_send(struct group *g, size_t i, uint64_t number)
{
	uint64_t bit = (uint64_t)1 << i % 64;
	struct marks *marks = g->marks;
	unsigned char *item = NULL;

	if (bare_peek(&g->lines[i].from, &item) == 0)
		return false;
	memcpy(item, &number, sizeof(number));
	bare_move(&g->lines[i].from, 1);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(&marks->rings[i / 64], __ATOMIC_SEQ_CST) & bit))
		__atomic_fetch_or(&marks->rings[i / 64], bit, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&marks->asleep, __ATOMIC_SEQ_CST) &&
	    __atomic_exchange_n(&marks->asleep, 0, __ATOMIC_SEQ_CST))
		kernel_ring(g->bell);
	return true;
}

static bool bare_visit(struct group *g)
{
	bool any = false;

	for (size_t word = 0; word < MOST / 64; word++) {
		uint64_t bits = __atomic_load_n(&g->marks->rings[word],
						__ATOMIC_SEQ_CST);

		if (!bits)
			continue;
		any = true;
		bits = __atomic_exchange_n(&g->marks->rings[word], 0,
					   __ATOMIC_SEQ_CST);
		for (; bits; bits &= bits - 1) {
			size_t bit = (size_t)__builtin_ctzll(bits);
			struct bare *r = &g->lines[64 * word + bit].to;
			unsigned char *items;
			uint64_t n;

			while ((n = bare_peek(r, &items)) > 0) {
				g->seen += n;
				bare_move(r, n);
			}
		}
	}
	return any;
}

static void bare_serve(struct group *g)
{
	struct epoll_event event;

	while (g->seen < g->count) {
		if (bare_visit(g))
			continue;
		__atomic_store_n(&g->marks->asleep, 1, __ATOMIC_SEQ_CST);
		if (!bare_visit(g) && g->seen < g->count)
			epoll_wait(g->epoll, &event, 1, 1000);
		__atomic_store_n(&g->marks->asleep, 0, __ATOMIC_SEQ_CST);
	}
}

/* -- both threads */

static void *send_all(void *user)
{
	struct group *g = user;
	size_t stride = g->n / g->active, next = 0;

	bench_pin(0);
	bench_start(g->stage, 0);
	for (uint64_t i = 0; i < g->count; i++) {
		while (!g->how->send(g, next * stride, i))
			;
		if (++next == g->active)
			next = 0;
	}
	bench_stop(g->stage, 0);
	return NULL;
}

static void side(struct bench_stage *stage, unsigned i, void *user)
{
	struct group *g = user;
	pthread_t thread;

	g->stage = stage;
	stage->n = 2;
	g->lines = loops_zeroed(g->n, sizeof(*g->lines));
	g->how->open(g);
	if (pthread_create(&thread, NULL, send_all, g) != 0)
		bench_fail("pthread_create", EAGAIN);
	bench_pin(1);
	bench_start(stage, i + 1);
	g->how->serve(g);
	bench_stop(stage, i + 1);
	pthread_join(thread, NULL);
	stage->out[0] = stage->ended[1] - stage->began[0];
	if (g->seen != g->count)
		bench_fail("what was received", EBADMSG);
}

static void run(const struct bench_contestant *self,
		const struct bench_point *point, uint64_t count,
		struct bench_result *result)
{
	static struct group g;
	struct bench_stage stage;

	memset(&g, 0, sizeof(g));
	g.point = point;
	g.how = self->how;
	g.count = count;
	g.n = point->rings;
	g.active = point->active;
	if (bench_fork(1, 2, side, &g, &stage) > 0)
		result->ns = stage.out[0];
	result->value[0] = (double)result->ns / (double)count;
}

static bool two_cpus(const struct bench_point *point)
{
	return point->rings <= MOST && bench_cpus() > 1;
}

#define CONTESTANT(id, name, ...)                                              \
	BENCH_CONTESTANT(id, group_how, run, two_cpus, name, __VA_ARGS__)

CONTESTANT(bare, "bare, a bitmap", .open = bare_open, .send = bare_send,
	   .serve = bare_serve);
CONTESTANT(grouped, "peal, a group", .open = peal_open, .send = peal_send,
	   .serve = peal_serve, .grouped = true);
CONTESTANT(single, "peal, a bell each", .open = peal_open, .send = peal_send,
	   .serve = peal_serve);

static const struct bench_contestant *const contestants[] = {
	&bare,
	&grouped,
	&single,
	NULL,
};

static const struct bench_point points[] = {
	{ .rings = 256, .active = 1, .quick = true },
	{ .rings = 256, .active = 8 },
	{ .rings = 256, .active = 256, .quick = true },
};

const struct bench_family bench_group = {
	.name = "group",
	.what = "many rings from one thread to another, with one doorbell",
	.unit = "ns",
	.points = points,
	.n_points = sizeof(points) / sizeof(*points),
	.contestants = contestants,
	.reference = "bare, a bitmap",
	.first = 1024,
};
