/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The event loops of others, over eventfds; libev's is in lib_ev.c, since its
 * names are those of libevent.
 */
#include <config.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "loops.h"

#define CONTESTANT(id, name_, ...)                                             \
	static const struct loops_how id##_how = { __VA_ARGS__ };              \
	const struct bench_contestant id = { .name = name_,                    \
					     .run = loops_run,                 \
					     .how = &id##_how }

#ifdef HAVE_LIBEVENT
#include <event2/event.h>

static void libevent_call(int fd, short events, void *user)
{
	struct loops *l = user;

	(void)events;
	if (!l->how->edge)
		loops_take(fd);
	l->calls++;
}

static void libevent_open(struct loops *l)
{
	struct event_base *base = event_base_new();
	short events = EV_READ | EV_PERSIST;

	if (!base)
		bench_fail("event_base_new", ENOMEM);
	if (l->how->edge)
		events |= EV_ET;
	l->state = base;
	for (size_t i = 0; i < l->n; i++)
		if (event_add(event_new(base, l->fds[i], events, libevent_call,
					l),
			      NULL) < 0)
			bench_fail("event_add", ENOMEM);
}

static void libevent_serve(struct loops *l)
{
	event_base_loop(l->state, EVLOOP_NONBLOCK);
}

CONTESTANT(loops_libevent, "libevent", .open = libevent_open,
	   .bell = loops_ring, .serve = libevent_serve);
CONTESTANT(loops_libevent_edge, "libevent, EV_ET, no read",
	   .open = libevent_open, .bell = loops_ring, .serve = libevent_serve,
	   .edge = true);
#endif

#ifdef HAVE_LIBUV
#include <uv.h>

static void libuv_call(uv_poll_t *poll, int status, int events)
{
	struct loops *l = poll->data;
	uv_os_fd_t fd;

	(void)status;
	(void)events;
	uv_fileno((const uv_handle_t *)poll, &fd);
	loops_take(fd);
	l->calls++;
}

static void libuv_open(struct loops *l)
{
	uv_loop_t *loop = loops_zeroed(1, sizeof(*loop));
	uv_poll_t *polls = loops_zeroed(l->n, sizeof(*polls));

	bench_check(uv_loop_init(loop), "uv_loop_init");
	l->state = loop;
	for (size_t i = 0; i < l->n; i++) {
		bench_check(uv_poll_init(loop, &polls[i], l->fds[i]),
			    "uv_poll_init");
		polls[i].data = l;
		bench_check(uv_poll_start(&polls[i], UV_READABLE, libuv_call),
			    "uv_poll_start");
	}
}

static void libuv_serve(struct loops *l)
{
	uv_run(l->state, UV_RUN_NOWAIT);
}

CONTESTANT(loops_libuv, "libuv", .open = libuv_open, .bell = loops_ring,
	   .serve = libuv_serve);
#endif

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-event.h>

static int sdevent_call(sd_event_source *source, int fd, uint32_t events,
			void *user)
{
	struct loops *l = user;

	(void)source;
	(void)events;
	if (!l->how->edge)
		loops_take(fd);
	l->calls++;
	return 0;
}

static void sdevent_open(struct loops *l)
{
	uint32_t events = EPOLLIN;
	sd_event *event = NULL;

	bench_check(sd_event_new(&event), "sd_event_new");
	l->state = event;
	if (l->how->edge)
		events |= EPOLLET;
	for (size_t i = 0; i < l->n; i++)
		bench_check(sd_event_add_io(event, NULL, l->fds[i], events,
					    sdevent_call, l),
			    "sd_event_add_io");
}

static void sdevent_serve(struct loops *l)
{
	bench_check(sd_event_run(l->state, 0), "sd_event_run");
}

CONTESTANT(loops_sdevent, "sd-event", .open = sdevent_open, .bell = loops_ring,
	   .serve = sdevent_serve);
CONTESTANT(loops_sdevent_edge, "sd-event, EPOLLET, no read",
	   .open = sdevent_open, .bell = loops_ring, .serve = sdevent_serve,
	   .edge = true);
#endif
