/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The reactor and its table of sources.
 *
 * Epoll gives back a slot and a generation, never a pointer. An event for a
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

/* The kernel zeroes the mark in every child, so the child notices the fork
 * without a system call. */
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

static void close_epoll_set(struct peal_reactor *loop)
{
	if (loop->poll.epoll_fd >= 0)
		close(loop->poll.epoll_fd);
	loop->poll.epoll_fd = -1;
}

static void close_own_fds(struct peal_reactor *loop)
{
	close_epoll_set(loop);
	if (loop->alarms.fd >= 0)
		close(loop->alarms.fd);
	if (loop->wake.fd >= 0)
		close(loop->wake.fd);
	if (loop->fork_mark)
		munmap(loop->fork_mark, 1);
}

static int open_own_fds(struct peal_reactor *loop)
{
	if (loop->poll.by == PEAL_WATCHED_BY_EPOLL) {
		loop->poll.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		if (loop->poll.epoll_fd < 0)
			return -errno;
	}
	loop->alarms.fd = timerfd_create(CLOCK_MONOTONIC,
					 TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->alarms.fd < 0)
		return -errno;
	loop->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake.fd < 0)
		return -errno;
	loop->fork_mark = fork_mark_make();
	return loop->fork_mark ? 0 : -errno;
}

static int watch_own_fds(struct peal_reactor *loop)
{
	bool hosted = loop->poll.by != PEAL_WATCHED_BY_EPOLL;
	struct peal_host *host = &loop->poll.host;
	/* In our own epoll set the eventfd is level-triggered: a loop of the
	 * caller's then sees the set readable until all work is done. A host is
	 * told of each write of the eventfd. */
	int ret = peal_reactor_watch(loop, loop->wake.fd,
				     hosted ? EPOLLIN | EPOLLET : EPOLLIN,
				     PEAL_TOKEN_WAKE);

	if (ret < 0)
		return ret;
	ret = peal_reactor_watch(loop, loop->alarms.fd, EPOLLIN | EPOLLET,
				 PEAL_TOKEN_TIMER);
	if (ret < 0 && hosted)
		host->remove(host->user, loop->wake.fd);
	return ret;
}

static void lists_init(struct peal_reactor *loop)
{
	for (int i = 0; i < PEAL_BANDS; i++)
		peal_link_init(&loop->lists.ready[i]);
	peal_link_init(&loop->lists.turn);
	peal_link_init(&loop->lists.drained);
	peal_link_init(&loop->lists.recheck);
}

static int reactor_init(struct peal_reactor *loop, struct peal_slot *slots,
			size_t n, const struct peal_host *host)
{
	struct peal_reactor l = {
		.table = { .slots = slots, .n = (uint32_t)n },
		.poll = { .epoll_fd = -1 },
		.alarms = { .fd = -1 },
		.wake = { .fd = -1, .asleep = true },
	};
	int ret;

	if (n == 0 || n > (size_t)1 << 31)
		return -EINVAL;
	if (host) {
		l.poll.host = *host;
		l.poll.by = host->edge ? PEAL_WATCHED_BY_EDGE
				       : PEAL_WATCHED_BY_LEVEL;
	}
	ret = open_own_fds(&l);
	if (ret == 0)
		ret = watch_own_fds(&l);
	if (ret < 0) {
		close_own_fds(&l);
		return ret;
	}
	slots_init(slots, l.table.n);
	*loop = l;
	loop->self = loop;
	lists_init(loop);
	return 0;
}

int peal_reactor_init(struct peal_reactor *loop, struct peal_slot *slots,
		      size_t n)
{
	return reactor_init(loop, slots, n, NULL);
}

int peal_reactor_init_hosted(struct peal_reactor *loop, struct peal_slot *slots,
			     size_t n, const struct peal_host *host)
{
	if (!host->add || !host->modify || !host->remove)
		return -EINVAL;
	return reactor_init(loop, slots, n, host);
}

void peal_reactor_close(struct peal_reactor *loop)
{
	const struct peal_host *host = &loop->poll.host;

	if (loop->self != loop)
		return;
	/* The epoll set and the heap go as a whole, so the sources need not
	 * leave them one by one. */
	close_epoll_set(loop);
	loop->alarms.n = 0;
	for (uint32_t i = 0; i < loop->table.n; i++)
		if (loop->table.slots[i].source)
			peal_source_detach(loop->table.slots[i].source);
	if (loop->poll.by != PEAL_WATCHED_BY_EPOLL && peal_reactor_here(loop)) {
		host->remove(host->user, loop->wake.fd);
		host->remove(host->user, loop->alarms.fd);
	}
	close_own_fds(loop);
	memset(loop, 0, sizeof(*loop));
}

int peal_reactor_fd(const struct peal_reactor *loop)
{
	int ret = peal_reactor_check(loop);

	return ret < 0 ? ret : loop->poll.epoll_fd;
}

/* -- counts */

/* Word by word, as the loop's thread writes the counts. */
static void read_counts(uint64_t *to, const uint64_t *from, size_t size)
{
	for (size_t i = 0; i < size / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void peal_reactor_stats(const struct peal_reactor *loop,
			struct peal_reactor_stats *stats)
{
	read_counts(&stats->iterations, &loop->stats.iterations,
		    sizeof(*stats));
}

void peal_source_stats(const struct peal_source *source,
		       struct peal_source_stats *stats)
{
	read_counts(&stats->callbacks, &source->stats.callbacks,
		    sizeof(*stats));
}

void peal_reactor_set_timing(struct peal_reactor *loop, bool on)
{
	loop->timing = on;
}

void peal_call_timed(const struct peal_call *call, bool survived)
{
	uint64_t took = peal_now() - call->began;

	peal_longest(&call->loop->stats.longest_ns, took);
	if (survived)
		peal_longest(&call->source->stats.longest_ns, took);
}

/* -- slots */

int peal_source_attach(struct peal_reactor *loop, struct peal_source *source,
		       const struct peal_source_ops *ops, void *user)
{
	uint32_t index = loop->table.free;
	int ret = peal_reactor_check(loop);

	if (ret < 0)
		return ret;
	if (source->reactor)
		return -EBUSY;
	if (index == PEAL_NO_SLOT)
		return -ENOSPC;
	loop->table.free = loop->table.slots[index].next;
	loop->table.slots[index].source = source;
	*source = (struct peal_source){
		.reactor = loop,
		.slot = index,
		.band = PEAL_BAND_NORMAL,
		.ops = ops,
		.user = user,
		.watch = { .fd = -1 },
	};
	peal_link_init(&source->link);
	return 0;
}

bool peal_reactor_has(const struct peal_reactor *loop, unsigned n)
{
	uint32_t at = loop->table.free;

	for (; n > 0 && at != PEAL_NO_SLOT; n--)
		at = loop->table.slots[at].next;
	return n == 0;
}

static void slot_vacate(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;
	struct peal_slot *slot = &loop->table.slots[source->slot];

	peal_link_remove(&source->link);
	slot->source = NULL;
	slot->generation++;
	slot->next = loop->table.free;
	loop->table.free = source->slot;
	source->reactor = NULL;
}

int peal_source_detach(struct peal_source *source)
{
	int ret = 0;

	if (!source->reactor)
		return 0;
	if (source->watch.fd >= 0)
		ret = peal_source_unwatch(source);
	peal_alarm_cancel(source);
	if (source->ops->detach)
		source->ops->detach(source);
	slot_vacate(source);
	return ret;
}

int peal_reactor_remove(struct peal_reactor *loop, struct peal_source *source)
{
	int ret = peal_reactor_check(loop);

	if (ret < 0)
		return ret;
	if (!source->reactor)
		return 0;
	if (!peal_source_is_on(source, loop))
		return -EINVAL;
	return peal_source_detach(source);
}

/* -- settings */

int peal_reactor_set_band(struct peal_reactor *loop, struct peal_source *source,
			  enum peal_band band)
{
	struct peal_link *list, *link;
	int ret = peal_source_check(loop, source);

	if (ret < 0)
		return ret;
	if ((unsigned)band >= PEAL_BANDS)
		return -EINVAL;
	if (band == source->band)
		return 0; /* a source that is scheduled keeps its place */
	list = &loop->lists.ready[source->band];
	for (link = list->next; link != list; link = link->next)
		if (link == &source->link) {
			peal_link_remove(link);
			peal_link_append(&loop->lists.ready[band], link);
			break;
		}
	source->band = band;
	return 0;
}

int peal_reactor_set_hooks(struct peal_reactor *loop,
			   void (*before)(struct peal_reactor *loop,
					  void *user),
			   void (*after)(struct peal_reactor *loop, void *user),
			   void *user)
{
	int ret = peal_reactor_check(loop);

	if (ret < 0)
		return ret;
	loop->hooks.before_sleep = before;
	loop->hooks.after_sleep = after;
	loop->hooks.user = user;
	return 0;
}
