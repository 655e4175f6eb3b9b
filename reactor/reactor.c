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

static void close_set(struct peal_reactor *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

static void release(struct peal_reactor *loop)
{
	close_set(loop);
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	if (loop->fork_mark)
		munmap(loop->fork_mark, 1);
}

static int open_own(struct peal_reactor *loop)
{
	if (!loop->hosted) {
		loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		if (loop->epoll_fd < 0)
			return -errno;
	}
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC,
					TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->timer_fd < 0)
		return -errno;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0)
		return -errno;
	loop->fork_mark = fork_mark_make();
	return loop->fork_mark ? 0 : -errno;
}

static int watch_own(struct peal_reactor *loop)
{
	/* Level-triggered, so that a loop of the caller's sees that our epoll
	 * set has work until we have done it. A host is told anew each time. */
	uint32_t edge = loop->hosted ? EPOLLET : 0;
	int ret = peal_watch_own(loop, loop->wake_fd, EPOLLIN | edge,
				 PEAL_TOKEN_WAKE);

	if (ret < 0)
		return ret;
	ret = peal_watch_own(loop, loop->timer_fd, EPOLLIN | EPOLLET,
			     PEAL_TOKEN_TIMER);
	if (ret < 0 && loop->hosted)
		loop->host.remove(loop->host.user, loop->wake_fd);
	return ret;
}

static int init(struct peal_reactor *loop, struct peal_slot *slots, size_t n,
		const struct peal_host *host)
{
	struct peal_reactor l = {
		.slots = slots,
		.n_slots = (uint32_t)n,
		.epoll_fd = -1,
		.timer_fd = -1,
		.wake_fd = -1,
		.hosted = host,
		.asleep = true,
	};
	int ret;

	if (n == 0 || n > (size_t)1 << 31)
		return -EINVAL;
	if (host)
		l.host = *host;
	ret = open_own(&l);
	if (ret == 0)
		ret = watch_own(&l);
	if (ret < 0) {
		release(&l);
		return ret;
	}
	slots_init(slots, l.n_slots);
	*loop = l;
	loop->self = loop;
	for (int i = 0; i < PEAL_BANDS; i++)
		peal_link_init(&loop->ready[i]);
	peal_link_init(&loop->turn);
	peal_link_init(&loop->drained);
	peal_link_init(&loop->late);
	return 0;
}

int peal_reactor_init(struct peal_reactor *loop, struct peal_slot *slots,
		      size_t n)
{
	return init(loop, slots, n, NULL);
}

int peal_reactor_init_hosted(struct peal_reactor *loop, struct peal_slot *slots,
			     size_t n, const struct peal_host *host)
{
	if (!host->add || !host->modify || !host->remove)
		return -EINVAL;
	return init(loop, slots, n, host);
}

void peal_reactor_close(struct peal_reactor *loop)
{
	if (loop->self != loop)
		return;
	/* What goes as a whole is not taken apart. */
	close_set(loop);
	loop->timers = 0;
	for (uint32_t i = 0; i < loop->n_slots; i++)
		if (loop->slots[i].source)
			peal_source_detach(loop->slots[i].source);
	if (loop->hosted && peal_reactor_here(loop)) {
		loop->host.remove(loop->host.user, loop->wake_fd);
		loop->host.remove(loop->host.user, loop->timer_fd);
	}
	release(loop);
	memset(loop, 0, sizeof(*loop));
}

int peal_reactor_fd(const struct peal_reactor *loop)
{
	int ret = peal_reactor_check(loop);

	return ret < 0 ? ret : loop->epoll_fd;
}

/* -- counts */

/* Word by word, as they are counted. */
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

int peal_source_enter(struct peal_reactor *loop, struct peal_source *source,
		      const struct peal_source_ops *ops)
{
	uint32_t index = loop->free_slot;
	int ret = peal_reactor_check(loop);

	if (ret < 0)
		return ret;
	if (source->reactor)
		return -EBUSY;
	if (index == PEAL_NO_SLOT)
		return -ENOSPC;
	loop->free_slot = loop->slots[index].next;
	loop->slots[index].source = source;
	*source = (struct peal_source){
		.reactor = loop,
		.ops = ops,
		.band = PEAL_BAND_NORMAL,
		.slot = index,
		.fd = -1,
	};
	peal_link_init(&source->link);
	return 0;
}

bool peal_reactor_has(const struct peal_reactor *loop, unsigned n)
{
	uint32_t at = loop->free_slot;

	for (; n > 0 && at != PEAL_NO_SLOT; n--)
		at = loop->slots[at].next;
	return n == 0;
}

static void vacate(struct peal_source *source)
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

int peal_source_detach(struct peal_source *source)
{
	int ret = 0;

	if (!source->reactor)
		return 0;
	if (source->fd >= 0)
		ret = peal_source_unwatch(source);
	peal_alarm_drop(source);
	if (source->ops->detach)
		source->ops->detach(source);
	vacate(source);
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
		return 0; /* it keeps its place */
	list = &loop->ready[source->band];
	for (link = list->next; link != list; link = link->next)
		if (link == &source->link) { /* it stands in line */
			peal_link_remove(link);
			peal_link_append(&loop->ready[band], link);
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
	loop->before_sleep = before;
	loop->after_sleep = after;
	loop->hooks_user = user;
	return 0;
}
