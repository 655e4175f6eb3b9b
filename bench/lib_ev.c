/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libev: over eventfds, and its timers.
 */
#include <errno.h>

#include "loops.h"
#include "timers.h"

/* Its header's macros are not written for all of our warnings. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-aliasing"
#include <ev.h>

static void libev_call(struct ev_loop *loop, ev_io *io, int events)
{
	struct loops *l = io->data;

	(void)loop;
	(void)events;
	loops_take(io->fd);
	l->calls++;
}

static void libev_open(struct loops *l)
{
	struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL);
	ev_io *ios = loops_zeroed(l->n, sizeof(*ios));

	if (!loop)
		bench_fail("ev_loop_new", ENOMEM);
	l->state = loop;
	for (size_t i = 0; i < l->n; i++) {
		ev_io_init(&ios[i], libev_call, l->fds[i], EV_READ);
		ios[i].data = l;
		ev_io_start(loop, &ios[i]);
	}
}

static void libev_serve(struct loops *l)
{
	ev_run(l->state, EVRUN_NOWAIT);
}

/* -- timers */

struct libev {
	struct ev_loop *loop;
	ev_timer *timers;
};

static struct libev *libev(struct timers *t)
{
	return t->state;
}

static void timer_call(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct timers *t = timer->data;

	(void)loop;
	(void)events;
	t->fired++;
}

static void timers_open(struct timers *t)
{
	struct libev *s = loops_zeroed(1, sizeof(*s));

	t->state = s;
	s->loop = ev_loop_new(EVBACKEND_EPOLL);
	if (!s->loop)
		bench_fail("ev_loop_new", ENOMEM);
	s->timers = loops_zeroed(t->n, sizeof(*s->timers));
	for (size_t i = 0; i < t->n; i++) {
		ev_timer_init(&s->timers[i], timer_call, 0., 0.);
		s->timers[i].data = t;
	}
}

static void timers_start(struct timers *t, size_t i, uint64_t ns)
{
	ev_timer_set(&libev(t)->timers[i], (double)ns / 1e9, 0.);
	ev_timer_start(libev(t)->loop, &libev(t)->timers[i]);
}

static void timers_stop(struct timers *t, size_t i)
{
	ev_timer_stop(libev(t)->loop, &libev(t)->timers[i]);
}

static void timers_serve(struct timers *t)
{
	ev_run(libev(t)->loop, EVRUN_NOWAIT);
}
#pragma GCC diagnostic pop

static const struct loops_how how = {
	.open = libev_open,
	.bell = loops_ring,
	.serve = libev_serve,
};

const struct bench_contestant loops_libev = {
	.name = "libev",
	.run = loops_run,
	.how = &how,
};

static const struct timers_how timers_how = {
	.open = timers_open,
	.start = timers_start,
	.stop = timers_stop,
	.serve = timers_serve,
};

const struct bench_contestant timers_libev = {
	.name = "libev",
	.run = timers_run,
	.how = &timers_how,
};
