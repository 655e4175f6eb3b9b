/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sources that watch an fd of the caller's. */
#include <errno.h>
#include <sys/epoll.h>

#include "internal.h"

#define FD_EVENTS (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET)

static bool fd_events_valid(const struct peal_reactor *loop, uint32_t events)
{
	if (events & ~(uint32_t)FD_EVENTS)
		return false;
	return !(events & EPOLLET) || !peal_reactor_is_level(loop);
}

/* A source that is not edge-triggered is watched once, and again after its
 * turn: see watch.c. */
static uint32_t fd_epoll_events(uint32_t events)
{
	return events & EPOLLET ? events : events | EPOLLONESHOT;
}

static void fd_watch_again(struct peal_source *source)
{
	uint32_t events = source->of.fd.events;

	if (events & EPOLLET || peal_reactor_is_level(source->reactor))
		return;
	/* Where memory is short now, the next turn tries again. */
	if (peal_source_rewatch(source, fd_epoll_events(events)) == -ENOMEM)
		peal_source_schedule(source);
}

static void fd_turn(struct peal_source *source)
{
	uint32_t events = source->watch.events;

	source->watch.events = 0;
	if (events) {
		struct peal_call call = peal_call_begin(source);

		source->of.fd.on_event(source, source->watch.fd, events,
				       source->user);
		if (!peal_call_end(&call))
			return;
	}
	fd_watch_again(source);
}

static const struct peal_source_ops fd_ops = {
	.turn = fd_turn,
	.event = peal_source_note_events,
};

int peal_reactor_add_fd(struct peal_reactor *loop, struct peal_source *source,
			int fd, uint32_t events,
			void (*on_event)(struct peal_source *source, int fd,
					 uint32_t events, void *user),
			void *user)
{
	int ret;

	if (!on_event || !fd_events_valid(loop, events))
		return -EINVAL;
	if (fd < 0)
		return -EBADF;
	ret = peal_source_attach(loop, source, &fd_ops, user);
	if (ret < 0)
		return ret;
	source->of.fd.events = events;
	source->of.fd.on_event = on_event;
	ret = peal_source_watch(source, fd, fd_epoll_events(events));
	if (ret < 0)
		peal_source_detach(source);
	return ret;
}

int peal_reactor_set_events(struct peal_reactor *loop,
			    struct peal_source *source, uint32_t events)
{
	int ret = peal_source_check_kind(loop, source, &fd_ops);

	if (ret < 0)
		return ret;
	if (!fd_events_valid(loop, events))
		return -EINVAL;
	if (source->watch.fd < 0)
		return -EBADF;
	source->of.fd.events = events;
	source->watch.events &= events | EPOLLERR | EPOLLHUP;
	return peal_source_rewatch(source, fd_epoll_events(events));
}

int peal_source_listen(struct peal_source *source, bool on)
{
	uint32_t events = source->of.fd.events & ~(uint32_t)EPOLLIN;

	return peal_reactor_set_events(source->reactor, source,
				       on ? events | EPOLLIN : events);
}

void peal_source_again(struct peal_source *source)
{
	peal_source_note_events(source, EPOLLIN);
	peal_wake_unless_running(source->reactor);
}
