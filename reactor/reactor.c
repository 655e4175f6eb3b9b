/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The reactor and its table of sources.
 *
 * Epoll gives back a slot and its generation, never a pointer: an event for a
 * source that was removed meanwhile finds another generation, and is dropped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

static void slots_init(struct peal_slot *slots, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		slots[i] = (struct peal_slot){
			.next = i + 1 < n ? i + 1 : PEAL_NO_SLOT,
			.bucket = PEAL_NO_SLOT,
		};
}

static int watch_own(struct peal_reactor *loop, int fd, uint32_t events,
		     uint64_t token)
{
	struct epoll_event event = { .events = events, .data.u64 = token };

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* A byte that the kernel zeroes in every child: fork(2) is noticed without a
 * system call. */
static unsigned char *fork_mark_make(void)
{
	unsigned char *mark = mmap(NULL, 1, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mark == MAP_FAILED)
		return NULL;
	if (madvise(mark, 1, MADV_WIPEONFORK) < 0) {
		munmap(mark, 1);
		return NULL;
	}
	*mark = 1;
	return mark;
}

static void release(struct peal_reactor *loop)
{
	int error = errno;

	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	if (loop->fork_mark)
		munmap(loop->fork_mark, 1);
	errno = error;
}

int peal_reactor_init(struct peal_reactor *loop, struct peal_slot *slots,
		      size_t n)
{
	struct peal_reactor l = {
		.slots = slots,
		.n_slots = (uint32_t)n,
		.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
		.timer_fd = -1,
		.wake_fd = -1,
		.asleep = true,
	};

	if (l.epoll_fd < 0)
		return -errno;
	if (n == 0 || n > (size_t)1 << 31) {
		errno = EINVAL;
		goto fail;
	}
	l.timer_fd = timerfd_create(CLOCK_MONOTONIC,
				    TFD_CLOEXEC | TFD_NONBLOCK);
	l.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l.timer_fd < 0 || l.wake_fd < 0)
		goto fail;
	/* Level-triggered, so that a loop of the caller's sees it until we
	 * have taken it. */
	if (watch_own(&l, l.wake_fd, EPOLLIN, PEAL_TOKEN_WAKE) < 0 ||
	    watch_own(&l, l.timer_fd, EPOLLIN | EPOLLET, PEAL_TOKEN_TIMER) < 0)
		goto fail;
	l.fork_mark = fork_mark_make();
	if (!l.fork_mark)
		goto fail;
	slots_init(slots, l.n_slots);
	*loop = l;
	peal_link_init(&loop->ready);
	peal_link_init(&loop->turn);
	peal_link_init(&loop->drained);
	return 0;
fail:
	release(&l);
	return -errno;
}

void peal_reactor_finish(struct peal_reactor *loop)
{
	if (!loop->fork_mark)
		return;
	/* A child shares the epoll set with its parent, and must change
	 * nothing in it; closing it is harmless to the parent. */
	for (uint32_t i = 0; i < loop->n_slots; i++)
		if (loop->slots[i].source)
			loop->slots[i].source->reactor = NULL;
	release(loop);
	memset(loop, 0, sizeof(*loop));
}

int peal_reactor_fd(const struct peal_reactor *loop)
{
	return loop->epoll_fd;
}

void peal_reactor_stats(const struct peal_reactor *loop,
			struct peal_reactor_stats *stats)
{
	*stats = loop->stats;
}

/* -- slots */

struct peal_source *peal_source_find(const struct peal_reactor *loop,
				     uint64_t token)
{
	const struct peal_slot *slot = &loop->slots[(uint32_t)token];

	return slot->generation == token >> 32 ? slot->source : NULL;
}

int peal_source_enter(struct peal_reactor *loop, struct peal_source *source,
		      int kind)
{
	uint32_t index = loop->free_slot;

	if (!peal_reactor_here(loop))
		return -ECHILD;
	if (source->reactor)
		return -EBUSY;
	if (index == PEAL_NO_SLOT)
		return -ENOSPC;
	loop->free_slot = loop->slots[index].next;
	loop->slots[index].source = source;
	*source = (struct peal_source){
		.reactor = loop,
		.kind = kind,
		.slot = index,
		.fd = -1,
	};
	peal_link_init(&source->link);
	return 0;
}

void peal_source_leave(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;
	struct peal_slot *slot = &loop->slots[source->slot];

	peal_link_remove(&source->link);
	slot->source = NULL;
	slot->generation++;
	slot->next = loop->free_slot;
	loop->free_slot = source->slot;
	source->reactor = NULL;
}

void peal_source_ready(struct peal_source *source)
{
	if (peal_link_empty(&source->link))
		peal_link_append(&source->reactor->ready, &source->link);
}

/* -- fds */

/* Slots with fds are chained in buckets, the newest first. */
static uint32_t *bucket_of(struct peal_reactor *loop, int fd)
{
	return &loop->slots[(uint32_t)fd % loop->n_slots].bucket;
}

int peal_source_watch(struct peal_source *source, int fd, uint32_t events)
{
	struct peal_reactor *loop = source->reactor;
	struct epoll_event event = {
		.events = events,
		.data.u64 = peal_source_token(source),
	};
	uint32_t *bucket = bucket_of(loop, fd);

	loop->stats.system_calls++;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	source->fd = fd;
	loop->slots[source->slot].next = *bucket;
	*bucket = source->slot;
	return 0;
}

/*
 * If the caller has closed the fd already, its number may be that of another
 * source by now, which must not lose its place in the epoll set.
 */
static int unwatch(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;
	uint32_t *at = bucket_of(loop, source->fd);
	bool reused = false;

	while (*at != source->slot) {
		struct peal_slot *slot = &loop->slots[*at];

		reused |= slot->source->fd == source->fd;
		at = &slot->next;
	}
	*at = loop->slots[source->slot].next;
	if (reused)
		return 0;
	loop->stats.system_calls++;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL) < 0)
		return -errno;
	return 0;
}

int peal_reactor_remove(struct peal_reactor *loop, struct peal_source *source)
{
	int ret = 0;

	if (!peal_reactor_here(loop))
		return -ECHILD;
	if (!source->reactor)
		return 0;
	if (source->fd >= 0)
		ret = unwatch(source);
	if (source->kind == PEAL_KIND_TIMER)
		peal_timer_drop(source);
	else if (source->kind == PEAL_KIND_DEFERRED)
		peal_deferred_collect(loop);
	peal_source_leave(source);
	return ret;
}

#define EVENTS_ALLOWED (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET)

/* Never level-triggered: the description could outlive its fd, held open by
 * somebody else, and then nobody could silence it. */
static uint32_t edge_or_once(uint32_t events)
{
	return events & EPOLLET ? events : events | EPOLLONESHOT;
}

int peal_reactor_add_fd(struct peal_reactor *loop, struct peal_source *source,
			int fd, uint32_t events,
			void (*on_event)(struct peal_source *source, int fd,
					 uint32_t events, void *user),
			void *user)
{
	int ret;

	if (!on_event || (events & ~(uint32_t)EVENTS_ALLOWED))
		return -EINVAL;
	if (fd < 0)
		return -EBADF;
	ret = peal_source_enter(loop, source, PEAL_KIND_FD);
	if (ret < 0)
		return ret;
	source->events = events;
	source->callback.on_event = on_event;
	source->user = user;
	ret = peal_source_watch(source, fd, edge_or_once(events));
	if (ret < 0)
		peal_source_leave(source);
	return ret;
}

static int rewatch(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;
	struct epoll_event event = {
		.events = edge_or_once(source->events),
		.data.u64 = peal_source_token(source),
	};

	loop->stats.system_calls++;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
		return -errno;
	return 0;
}

int peal_reactor_set_events(struct peal_reactor *loop,
			    struct peal_source *source, uint32_t events)
{
	if (!peal_reactor_here(loop))
		return -ECHILD;
	if (source->reactor != loop || source->kind != PEAL_KIND_FD ||
	    (events & ~(uint32_t)EVENTS_ALLOWED))
		return -EINVAL;
	source->events = events;
	source->revents &= events | EPOLLERR | EPOLLHUP;
	return rewatch(source);
}

void peal_fd_turn(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;
	uint64_t token = peal_source_token(source);
	uint32_t events = source->revents;

	if (events) {
		source->revents = 0;
		loop->made++;
		source->callback.on_event(source, source->fd, events,
					  source->user);
	}
	if (peal_reactor_here(loop) &&
	    peal_source_find(loop, token) == source &&
	    !(source->events & EPOLLET))
		rewatch(source);
}
