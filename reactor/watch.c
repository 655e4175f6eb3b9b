/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is watched, by an epoll set of our own or by a host's loop.
 *
 * No fd is ever watched level-triggered in our own set, but for wake_fd: its
 * description could outlive it, held open by somebody else, and then nobody
 * could silence it.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "internal.h"

/* Hosts that are not edge-triggered know nothing of these. */
static uint32_t for_host(const struct peal_reactor *loop, uint32_t events)
{
	if (loop->host.edge)
		return events;
	return events & ~(uint32_t)(EPOLLET | EPOLLONESHOT);
}

static int control(struct peal_reactor *loop, int op, int fd, uint32_t events,
		   uint64_t token)
{
	struct epoll_event event = { .events = events, .data.u64 = token };
	const struct peal_host *host = &loop->host;

	if (!loop->hosted) {
		peal_count(&loop->stats.system_calls);
		return epoll_ctl(loop->epoll_fd, op, fd, &event) < 0 ? -errno
								     : 0;
	}
	switch (op) {
	case EPOLL_CTL_ADD:
		return host->add(host->user, fd, for_host(loop, events), token);
	case EPOLL_CTL_MOD:
		return host->modify(host->user, fd, for_host(loop, events),
				    token);
	default:
		return host->remove(host->user, fd);
	}
}

int peal_watch_own(struct peal_reactor *loop, int fd, uint32_t events,
		   uint64_t token)
{
	return control(loop, EPOLL_CTL_ADD, fd, events, token);
}

/* Slots with fds are chained in buckets, the newest first. */
static uint32_t *bucket_of(struct peal_reactor *loop, int fd)
{
	return &loop->slots[(uint32_t)fd % loop->n_slots].bucket;
}

static struct peal_source *watched(struct peal_reactor *loop, int fd)
{
	uint32_t at = *bucket_of(loop, fd);

	while (at != PEAL_NO_SLOT && loop->slots[at].source->fd != fd)
		at = loop->slots[at].next;
	return at == PEAL_NO_SLOT ? NULL : loop->slots[at].source;
}

static void unchain(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;
	uint32_t *at = bucket_of(loop, source->fd);

	while (*at != source->slot)
		at = &loop->slots[*at].next;
	*at = loop->slots[source->slot].next;
}

/*
 * The kernel has taken the number anew, so the file that this source watched by
 * it was closed. From now on the number is another source's, and what may come
 * of the old file (somebody else may hold it open) is no event any more.
 */
static void lose_fd(struct peal_source *source)
{
	unchain(source);
	source->fd = -1;
	source->revents = 0;
	source->reactor->slots[source->slot].generation++;
}

int peal_source_watch(struct peal_source *source, int fd, uint32_t events)
{
	struct peal_reactor *loop = source->reactor;
	struct peal_source *former = watched(loop, fd);
	uint32_t *bucket = bucket_of(loop, fd);
	uint64_t token = peal_source_token(source);
	int ret;

	/* Not all hosts could tell it from an fd that was closed. */
	if (former && loop->hosted)
		return -EEXIST;
	ret = control(loop, EPOLL_CTL_ADD, fd, events, token);
	/* A file that was closed before its source was removed, while somebody
	 * else held it open, is still in the set, and is nobody's. */
	if (ret == -EEXIST && !former && !loop->hosted &&
	    control(loop, EPOLL_CTL_MOD, fd, events, token) == 0)
		ret = 0;
	if (ret < 0)
		return ret;
	if (former)
		lose_fd(former);
	source->fd = fd;
	loop->slots[source->slot].next = *bucket;
	*bucket = source->slot;
	return 0;
}

int peal_source_rewatch(struct peal_source *source, uint32_t events)
{
	if (source->fd < 0)
		return 0;
	return control(source->reactor, EPOLL_CTL_MOD, source->fd, events,
		       peal_source_token(source));
}

/* A set that is a parent's as well is left as it is. */
int peal_source_unwatch(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;

	unchain(source);
	if (!peal_reactor_here(loop) || (!loop->hosted && loop->epoll_fd < 0))
		return 0;
	return control(loop, EPOLL_CTL_DEL, source->fd, 0, 0);
}

/* -- plain fds */

#define EVENTS_ALLOWED (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET)

static bool allowed(const struct peal_reactor *loop, uint32_t events)
{
	if (events & ~(uint32_t)EVENTS_ALLOWED)
		return false;
	return !(events & EPOLLET) || !peal_level(loop);
}

static uint32_t edge_or_once(uint32_t events)
{
	return events & EPOLLET ? events : events | EPOLLONESHOT;
}

static void fd_turn(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;
	uint32_t events = source->revents;

	source->revents = 0;
	if (events) {
		struct peal_call call = peal_call_begin(source);

		source->callback.on_event(source, source->fd, events,
					  source->user);
		if (!peal_call_end(&call))
			return;
	}
	if (!(source->events & EPOLLET) && !peal_level(loop) &&
	    peal_source_rewatch(source, edge_or_once(source->events)) ==
		    -ENOMEM)
		peal_source_ready(source); /* to be watched next time */
}

static const struct peal_source_ops fd_ops = {
	.turn = fd_turn,
	.event = peal_source_event,
};

int peal_reactor_add_fd(struct peal_reactor *loop, struct peal_source *source,
			int fd, uint32_t events,
			void (*on_event)(struct peal_source *source, int fd,
					 uint32_t events, void *user),
			void *user)
{
	int ret;

	if (!on_event || !allowed(loop, events))
		return -EINVAL;
	if (fd < 0)
		return -EBADF;
	ret = peal_source_enter(loop, source, &fd_ops);
	if (ret < 0)
		return ret;
	source->events = events;
	source->callback.on_event = on_event;
	source->user = user;
	ret = peal_source_watch(source, fd, edge_or_once(events));
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
	if (!allowed(loop, events))
		return -EINVAL;
	if (source->fd < 0)
		return -EBADF;
	source->events = events;
	source->revents &= events | EPOLLERR | EPOLLHUP;
	return peal_source_rewatch(source, edge_or_once(events));
}

int peal_source_listen(struct peal_source *source, bool on)
{
	uint32_t events = source->events & ~(uint32_t)EPOLLIN;

	return peal_reactor_set_events(source->reactor, source,
				       on ? events | EPOLLIN : events);
}

void peal_source_event(struct peal_source *source, uint32_t events)
{
	source->revents |= events;
	peal_source_ready(source);
}

void peal_source_again(struct peal_source *source)
{
	source->revents |= EPOLLIN;
	peal_source_ready(source);
	peal_reactor_nudge(source->reactor);
}
