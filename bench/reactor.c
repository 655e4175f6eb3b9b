/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Many doorbells and one loop: what it costs to hear of one. Two values: the
 * loop's part alone, and with the ringing.
 */
#include <config.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <peal/peal.h>

#include "clock.h"
#include "loops.h"

#define CAPACITY 16

void *loops_zeroed(size_t n, size_t size)
{
	size_t bytes = (n * size + 63) & ~(size_t)63;
	void *memory = aligned_alloc(64, bytes);

	if (memory)
		return memset(memory, 0, bytes);
	bench_fail("memory", ENOMEM);
}

void loops_ring(struct loops *l, size_t i)
{
	const uint64_t one = 1;

	bench_check_errno(write(l->fds[i], &one, sizeof(one)), "eventfd");
}

void loops_take(int fd)
{
	uint64_t n;

	bench_check_errno(read(fd, &n, sizeof(n)), "eventfd");
}

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	bench_check_errno(fd, "eventfd (try a higher ulimit -n)");
	return fd;
}

/* -- rings of peal */

struct ring {
	unsigned char memory[PEAL_RING_SIZE(CAPACITY, sizeof(uint64_t))];
	struct peal_doorbell bell;
	struct peal_sender tx;
	struct peal_receiver rx;
	struct peal_source source;
};

struct rings {
	struct ring *rings;
	struct peal_slot *slots;
	struct peal_reactor loop;
	int epoll;
};

static struct rings *rings(struct loops *l)
{
	return l->state;
}

static void make_ring(struct ring *r)
{
	struct peal_geometry g = { .capacity = CAPACITY,
				   .item_size = sizeof(uint64_t) };
	struct peal_ring ring;

	bench_check(peal_geometry_fit(&g, 0), "geometry");
	bench_check(peal_ring_format(&ring, &g, r->memory, sizeof(r->memory)),
		    "ring");
	bench_check(peal_doorbell_init(&r->bell, PEAL_DOORBELL_EVENTFD),
		    "doorbell (try a higher ulimit -n)");
	bench_check(peal_sender_attach(&r->tx, &ring, &r->bell, NULL),
		    "sender");
	bench_check(peal_receiver_attach(&r->rx, &ring, &r->bell, NULL),
		    "receiver");
}

static void make_rings(struct loops *l)
{
	size_t n = l->n + (l->how->idle ? l->point->idle : 0);
	struct rings *s = loops_zeroed(1, sizeof(*s));

	s->rings = loops_zeroed(n, sizeof(*s->rings));
	s->slots = loops_zeroed(n, sizeof(*s->slots));
	for (size_t i = 0; i < n; i++)
		make_ring(&s->rings[i]);
	l->state = s;
}

static void send(struct loops *l, size_t i)
{
	struct peal_sender *tx = &rings(l)->rings[i].tx;
	uint64_t *item = NULL;

	if (peal_sender_try_reserve(tx, &item) <= 0)
		bench_fail("a full ring", ENOSPC);
	*item = i;
	peal_sender_commit(tx, 1);
}

static void take(struct peal_receiver *rx)
{
	const uint64_t *items;
	ssize_t n = peal_receiver_peek(rx, &items);

	if (n > 0)
		peal_receiver_release(rx, (size_t)n);
}

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct loops *l = user;

	take(rx);
	l->calls++;
	return PEAL_DONE;
}

static void reactor_open(struct loops *l)
{
	size_t n = l->n + (l->how->idle ? l->point->idle : 0);
	const struct peal_receiver_callbacks callbacks = {
		.on_readable = on_readable, .user = l
	};
	struct rings *s;

	make_rings(l);
	s = rings(l);
	bench_check(peal_reactor_init(&s->loop, s->slots, n), "reactor");
	for (size_t i = 0; i < n; i++)
		bench_check(
			peal_reactor_add_receiver(&s->loop, &s->rings[i].source,
						  &s->rings[i].rx, &callbacks),
			"add_receiver");
}

static void reactor_serve(struct loops *l)
{
	bench_check(peal_reactor_run_once(&rings(l)->loop, 0), "run_once");
}

/* As a program would that has a loop of its own: the same rings, epoll. */
static void by_hand_open(struct loops *l)
{
	struct rings *s;

	make_rings(l);
	s = rings(l);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	bench_check_errno(s->epoll, "epoll_create1");
	for (size_t i = 0; i < l->n; i++) {
		struct epoll_event event = { .events = EPOLLIN | EPOLLET,
					     .data.ptr = &s->rings[i] };

		bench_check_errno(epoll_ctl(s->epoll, EPOLL_CTL_ADD,
					    peal_receiver_fd(&s->rings[i].rx),
					    &event),
				  "epoll_ctl");
		peal_receiver_arm(&s->rings[i].rx);
	}
}

static void by_hand_serve(struct loops *l)
{
	struct epoll_event events[256];
	int n = epoll_wait(rings(l)->epoll, events, 256, 0);

	for (int i = 0; i < n; i++) {
		struct ring *r = events[i].data.ptr;

		do
			take(&r->rx);
		while (!peal_receiver_arm(&r->rx));
		l->calls++;
	}
}

/* -- eventfds and epoll, without anything else */

static void epoll_open(struct loops *l)
{
	int *epoll = loops_zeroed(1, sizeof(*epoll));

	l->state = epoll;
	*epoll = epoll_create1(EPOLL_CLOEXEC);
	bench_check_errno(*epoll, "epoll_create1");
	for (size_t i = 0; i < l->n; i++) {
		struct epoll_event event = { .events = EPOLLIN,
					     .data.fd = l->fds[i] };

		if (l->how->edge)
			event.events |= EPOLLET;
		bench_check_errno(
			epoll_ctl(*epoll, EPOLL_CTL_ADD, l->fds[i], &event),
			"epoll_ctl");
	}
}

static void epoll_serve(struct loops *l)
{
	struct epoll_event events[256];
	int n = epoll_wait(*(int *)l->state, events, 256, 0);

	for (int i = 0; i < n; i++) {
		if (!l->how->edge)
			loops_take(events[i].data.fd);
		l->calls++;
	}
}

/* -- the side */

static void raise_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void round_of(struct loops *l, uint64_t *loop, uint64_t *all)
{
	size_t active = l->point->active, stride = l->n / active;
	uint64_t due = l->calls + active, began = bench_ticks(), rung;

	for (size_t i = 0; i < active; i++)
		l->how->bell(l, i * stride);
	rung = bench_ticks();
	while (l->calls < due)
		l->how->serve(l);
	*all += bench_ticks() - began;
	*loop += bench_ticks() - rung;
}

static void side(struct bench_stage *stage, unsigned i, void *user)
{
	struct loops *l = user;

	raise_limit();
	l->n = l->point->rings;
	l->fds = loops_zeroed(l->n, sizeof(*l->fds));
	for (size_t j = 0; !l->how->rings && j < l->n; j++)
		l->fds[j] = new_eventfd();
	l->how->open(l);
	for (int j = 0; j < 4; j++) /* until all of it is warm */
		round_of(l, &stage->out[0], &stage->out[1]);
	stage->out[0] = stage->out[1] = 0;
	bench_start(stage, i);
	for (uint64_t j = 0; j < l->count; j++)
		round_of(l, &stage->out[0], &stage->out[1]);
	bench_stop(stage, i);
}

void loops_run(const struct bench_contestant *self,
	       const struct bench_point *point, uint64_t count,
	       struct bench_result *result)
{
	struct loops l = { .point = point, .how = self->how, .count = count };
	double each = bench_tick() / (double)count / (double)point->active;
	struct bench_stage stage;

	result->ns = bench_fork(1, 1, side, &l, &stage);
	result->value[0] = (double)stage.out[0] * each;
	result->value[1] = (double)stage.out[1] * each;
}

/* -- who takes part */

#define CONTESTANT(id, name, ...)                                              \
	BENCH_CONTESTANT(id, loops_how, loops_run, NULL, name, __VA_ARGS__)

CONTESTANT(edge, "epoll", .open = epoll_open, .bell = loops_ring,
	   .serve = epoll_serve, .edge = true);
CONTESTANT(level, "epoll, read", .open = epoll_open, .bell = loops_ring,
	   .serve = epoll_serve);
CONTESTANT(reactor, "peal", .open = reactor_open, .bell = send,
	   .serve = reactor_serve, .rings = true);
CONTESTANT(by_hand, "rings by hand", .open = by_hand_open, .bell = send,
	   .serve = by_hand_serve, .rings = true);
CONTESTANT(with_idle, "peal, idle rings added", .open = reactor_open,
	   .bell = send, .serve = reactor_serve, .rings = true, .idle = true);

static const struct bench_contestant *const contestants[] = {
	&edge,
	&level,
	&by_hand,
	&reactor,
#ifdef HAVE_LIBEVENT
	&loops_libevent,
	&loops_libevent_edge,
#endif
#ifdef HAVE_LIBEV
	&loops_libev,
#endif
#ifdef HAVE_LIBUV
	&loops_libuv,
#endif
#ifdef HAVE_LIBSYSTEMD
	&loops_sdevent,
	&loops_sdevent_edge,
#endif
	NULL,
};

static const struct bench_point points[] = {
	{ .rings = 1, .active = 1, .quick = true },
	{ .rings = 16, .active = 1 },
	{ .rings = 16, .active = 16 },
	{ .rings = 256, .active = 1, .quick = true },
	{ .rings = 256, .active = 8 },
	{ .rings = 256, .active = 256, .quick = true },
	{ .rings = 4096, .active = 1 },
	{ .rings = 4096, .active = 8 },
	{ .rings = 4096, .active = 4096 },
};

const struct bench_family bench_reactor = {
	.name = "reactor",
	.what = "one thread hears of a doorbell among many",
	.unit = "ns",
	.metrics = { "loop", "bell and loop" },
	.points = points,
	.n_points = sizeof(points) / sizeof(*points),
	.contestants = contestants,
	.reference = "epoll",
	.first = 16,
};

static const struct bench_contestant *const with_and_without[] = {
	&reactor,
	&with_idle,
	NULL,
};

static const struct bench_point idle_points[] = {
	{ .rings = 64, .active = 64, .idle = 10000, .quick = true },
	{ .rings = 1, .active = 1, .idle = 10000 },
};

const struct bench_family bench_idle = {
	.name = "idle",
	.what = "what rings on which nothing comes cost the others",
	.unit = "ns",
	.metrics = { "loop", "bell and loop" },
	.points = idle_points,
	.n_points = sizeof(idle_points) / sizeof(*idle_points),
	.contestants = with_and_without,
	.reference = "peal",
	.first = 16,
};
