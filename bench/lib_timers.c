/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The timers of other event loops; libev's are in lib_ev.c.
 */
#include <config.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "loops.h"
#include "timers.h"

#define CONTESTANT(id, name_, ...)                                             \
	static const struct timers_how id##_how = { __VA_ARGS__ };             \
	const struct bench_contestant id = { .name = name_,                    \
					     .run = timers_run,                \
					     .how = &id##_how }

#ifdef HAVE_LIBEVENT
#include <event2/event.h>

struct libevent {
	struct event_base *base;
	struct event **events;
};

static struct libevent *libevent(struct timers *t)
{
	return t->state;
}

static void libevent_call(int fd, short events, void *user)
{
	struct timers *t = user;

	(void)fd;
	(void)events;
	t->fired++;
}

static void libevent_open(struct timers *t)
{
	struct libevent *s = loops_zeroed(1, sizeof(*s));

	t->state = s;
	s->base = event_base_new();
	if (!s->base)
		bench_fail("event_base_new", ENOMEM);
	s->events = loops_zeroed(t->n, sizeof(struct event *));
	for (size_t i = 0; i < t->n; i++)
		s->events[i] = event_new(s->base, -1, 0, libevent_call, t);
}

static void libevent_start(struct timers *t, size_t i, uint64_t ns)
{
	struct timeval tv = { (time_t)(ns / 1000000000),
			      (suseconds_t)(ns / 1000 % 1000000) };

	event_add(libevent(t)->events[i], &tv);
}

static void libevent_stop(struct timers *t, size_t i)
{
	event_del(libevent(t)->events[i]);
}

static void libevent_serve(struct timers *t)
{
	event_base_loop(libevent(t)->base, EVLOOP_NONBLOCK);
}

CONTESTANT(timers_libevent, "libevent", .open = libevent_open,
	   .start = libevent_start, .stop = libevent_stop,
	   .serve = libevent_serve);
#endif

#ifdef HAVE_LIBUV
#include <uv.h>

struct libuv {
	uv_loop_t loop;
	uv_timer_t *timers;
};

static struct libuv *libuv(struct timers *t)
{
	return t->state;
}

static void libuv_call(uv_timer_t *timer)
{
	struct timers *t = timer->data;

	t->fired++;
}

static void libuv_open(struct timers *t)
{
	struct libuv *s = loops_zeroed(1, sizeof(*s));

	t->state = s;
	bench_check(uv_loop_init(&s->loop), "uv_loop_init");
	s->timers = loops_zeroed(t->n, sizeof(*s->timers));
	for (size_t i = 0; i < t->n; i++) {
		bench_check(uv_timer_init(&s->loop, &s->timers[i]),
			    "uv_timer_init");
		s->timers[i].data = t;
	}
}

/* Of milliseconds. */
static void libuv_start(struct timers *t, size_t i, uint64_t ns)
{
	uv_timer_start(&libuv(t)->timers[i], libuv_call, ns / 1000000, 0);
}

static void libuv_stop(struct timers *t, size_t i)
{
	uv_timer_stop(&libuv(t)->timers[i]);
}

static void libuv_serve(struct timers *t)
{
	uv_run(&libuv(t)->loop, UV_RUN_NOWAIT);
}

CONTESTANT(timers_libuv, "libuv", .open = libuv_open, .start = libuv_start,
	   .stop = libuv_stop, .serve = libuv_serve);
#endif

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-event.h>

struct sdevent {
	sd_event *event;
	sd_event_source **sources;
};

static struct sdevent *sdevent(struct timers *t)
{
	return t->state;
}

static int sdevent_call(sd_event_source *source, uint64_t us, void *user)
{
	struct timers *t = user;

	(void)source;
	(void)us;
	t->fired++;
	return 0;
}

static void sdevent_open(struct timers *t)
{
	struct sdevent *s = loops_zeroed(1, sizeof(*s));

	t->state = s;
	bench_check(sd_event_new(&s->event), "sd_event_new");
	s->sources = loops_zeroed(t->n, sizeof(sd_event_source *));
	for (size_t i = 0; i < t->n; i++) {
		bench_check(sd_event_add_time(s->event, &s->sources[i],
					      CLOCK_MONOTONIC, UINT64_MAX, 1,
					      sdevent_call, t),
			    "sd_event_add_time");
		sd_event_source_set_enabled(s->sources[i], SD_EVENT_OFF);
	}
}

static void sdevent_start(struct timers *t, size_t i, uint64_t ns)
{
	sd_event_source *source = sdevent(t)->sources[i];

	sd_event_source_set_time_relative(source, ns / 1000);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void sdevent_stop(struct timers *t, size_t i)
{
	sd_event_source_set_enabled(sdevent(t)->sources[i], SD_EVENT_OFF);
}

static void sdevent_serve(struct timers *t)
{
	bench_check(sd_event_run(sdevent(t)->event, 0), "sd_event_run");
}

CONTESTANT(timers_sdevent, "sd-event", .open = sdevent_open,
	   .start = sdevent_start, .stop = sdevent_stop,
	   .serve = sdevent_serve);
#endif
