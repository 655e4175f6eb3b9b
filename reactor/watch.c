/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is watched, by an epoll set of our own or by a host's loop.
 *
 * Our own set watches every fd edge-triggered, or once, except the reactor's
 * own eventfd. If somebody else holds a file open, the set can report the file
 * after its fd was closed, and then nobody can take the file out of the set. A
 * level-triggered report would never end.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "internal.h"

/* A level-triggered host does not know these flags. */
static uint32_t host_events(const struct peal_reactor *loop, uint32_t events)
{
	if (loop->poll.by == PEAL_WATCHED_BY_EDGE)
		return events;
	return events & ~(uint32_t)(EPOLLET | EPOLLONESHOT);
}

static int watch_control(struct peal_reactor *loop, int op, int fd,
			 uint32_t events, uint64_t token)
{
	struct epoll_event event = { .events = events, .data.u64 = token };
	const struct peal_host *host = &loop->poll.host;

	if (loop->poll.by == PEAL_WATCHED_BY_EPOLL) {
		peal_count(&loop->stats.system_calls);
		return epoll_ctl(loop->poll.epoll_fd, op, fd, &event) < 0
			       ? -errno
			       : 0;
	}
	switch (op) {
	case EPOLL_CTL_ADD:
		return host->add(host->user, fd, host_events(loop, events),
				 token);
	case EPOLL_CTL_MOD:
		return host->modify(host->user, fd, host_events(loop, events),
				    token);
	default:
		return host->remove(host->user, fd);
	}
}

int peal_reactor_watch(struct peal_reactor *loop, int fd, uint32_t events,
		       uint64_t token)
{
	return watch_control(loop, EPOLL_CTL_ADD, fd, events, token);
}

/* -- which source watches an fd: slots chained in buckets, newest first */

static uint32_t *bucket_of(struct peal_reactor *loop, int fd)
{
	return &loop->table.slots[(uint32_t)fd % loop->table.n].bucket;
}

static struct peal_source *source_watching(struct peal_reactor *loop, int fd)
{
	struct peal_slot *slots = loop->table.slots;
	uint32_t at = *bucket_of(loop, fd);

	while (at != PEAL_NO_SLOT && slots[at].source->watch.fd != fd)
		at = slots[at].next;
	return at == PEAL_NO_SLOT ? NULL : slots[at].source;
}

static void bucket_add(struct peal_source *source, int fd)
{
	struct peal_reactor *loop = source->reactor;
	uint32_t *bucket = bucket_of(loop, fd);

	source->watch.fd = fd;
	loop->table.slots[source->slot].next = *bucket;
	*bucket = source->slot;
}

static void bucket_remove(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;
	uint32_t *at = bucket_of(loop, source->watch.fd);

	while (*at != source->slot)
		at = &loop->table.slots[*at].next;
	*at = loop->table.slots[source->slot].next;
}

/*
 * The kernel has given the number of this source's fd to another file, so the
 * source's file was closed. From now on the number belongs to another source.
 * Somebody else may hold the old file open, and the epoll set may report events
 * of that file: the new generation makes them events of no source.
 */
static void source_lose_fd(struct peal_source *source)
{
	bucket_remove(source);
	source->watch.fd = -1;
	source->watch.events = 0;
	source->reactor->table.slots[source->slot].generation++;
}

int peal_source_watch(struct peal_source *source, int fd, uint32_t events)
{
	struct peal_reactor *loop = source->reactor;
	bool hosted = loop->poll.by != PEAL_WATCHED_BY_EPOLL;
	struct peal_source *former = source_watching(loop, fd);
	uint64_t token = peal_source_token(source);
	int ret;

	/* Not every host can tell an fd that is watched twice from an fd that
	 * was closed and opened again. */
	if (former && hosted)
		return -EEXIST;
	ret = watch_control(loop, EPOLL_CTL_ADD, fd, events, token);
	/* An fd that was closed before its source was removed leaves its file
	 * in the set, if somebody else holds the file open. No source watches
	 * that file any more, so this source takes it over. */
	if (ret == -EEXIST && !former && !hosted &&
	    watch_control(loop, EPOLL_CTL_MOD, fd, events, token) == 0)
		ret = 0;
	if (ret < 0)
		return ret;
	if (former)
		source_lose_fd(former);
	bucket_add(source, fd);
	return 0;
}

int peal_source_rewatch(struct peal_source *source, uint32_t events)
{
	if (source->watch.fd < 0)
		return 0;
	return watch_control(source->reactor, EPOLL_CTL_MOD, source->watch.fd,
			     events, peal_source_token(source));
}

int peal_source_unwatch(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;

	bucket_remove(source);
	/* In a forked child the set, or the host, belongs to the parent as
	 * well. A reactor that is being closed has no set any more. */
	if (!peal_reactor_here(loop) ||
	    (loop->poll.by == PEAL_WATCHED_BY_EPOLL && loop->poll.epoll_fd < 0))
		return 0;
	return watch_control(loop, EPOLL_CTL_DEL, source->watch.fd, 0, 0);
}

void peal_source_note_events(struct peal_source *source, uint32_t events)
{
	source->watch.events |= events;
	peal_source_schedule(source);
}
