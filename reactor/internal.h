/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_REACTOR_INTERNAL_H
#define PEAL_REACTOR_INTERNAL_H
/*
 * How the parts of the reactor meet:
 *
 *	reactor.c   the reactor, its table of slots, adding and removing
 *	watch.c	    what epoll, or a host, watches; plain fds
 *	rings.c	    senders and receivers: a turn, a verdict, arming, closing
 *	groups.c    groups of doorbells
 *	storms.c    doorbells that ring too often, rings that are silent
 *	timers.c    the heap behind the timerfd
 *	signals.c   signals and children
 *	deferred.c  calls from other threads, and waking the loop
 *	queue.c	    messages from other threads
 *	loop.c	    an iteration
 *
 * A source is idle, or it stands in one of these lists: `ready` and `turn` (it
 * will have a turn), or `drained` (it will be armed).
 */
#include <errno.h>

#include "floor.h"

/*
 * What the reactor does with a source of one kind. Each kind has one constant
 * table, in the file of that kind. Operations that no source of a kind can
 * need are NULL.
 */
struct peal_source_ops {
	/* Give a source that was scheduled its turn: one callback at the most.
	 */
	void (*turn)(struct peal_source *source);
	/* Epoll, or the host, has reported events for the source's fd. */
	void (*event)(struct peal_source *source, uint32_t events);
	/* The source's alarm is over; it was set for `deadline`. */
	void (*alarm)(struct peal_source *source, uint64_t deadline,
		      uint64_t now);
	/* A thread has deferred the source: peal_source_defer(). */
	void (*deferred)(struct peal_source *source);
	/* The source leaves the reactor. Its fd is not watched any more and its
	 * alarm is not set; let go of what else it stands for. May be NULL. */
	void (*detach)(struct peal_source *source);
};

#define PEAL_NO_SLOT UINT32_MAX
/* What epoll gives back for the reactor's own fds. */
#define PEAL_TOKEN_TIMER UINT64_MAX
#define PEAL_TOKEN_WAKE (UINT64_MAX - 1)

/* -- lists */

/* Move all of `from` to the end of `list`. */
static inline void peal_link_splice(struct peal_link *list,
				    struct peal_link *from)
{
	if (peal_link_empty(from))
		return;
	from->next->prev = list->prev;
	list->prev->next = from->next;
	from->prev->next = list;
	list->prev = from->prev;
	peal_link_init(from);
}

static inline struct peal_source *peal_link_source(struct peal_link *link)
{
	return PEAL_CONTAINER_OF(link, struct peal_source, link);
}

/* The first source of a list that is not empty, taken out of it. */
static inline struct peal_source *peal_link_take(struct peal_link *list)
{
	struct peal_link *link = list->next;

	peal_link_remove(link);
	return peal_link_source(link);
}

/* -- counts, which other threads may read */

static inline void peal_add(uint64_t *count, uint64_t n)
{
	__atomic_store_n(count, *count + n, __ATOMIC_RELAXED);
}

static inline void peal_count(uint64_t *count)
{
	peal_add(count, 1);
}

static inline void peal_longest(uint64_t *longest, uint64_t ns)
{
	if (ns > *longest)
		__atomic_store_n(longest, ns, __ATOMIC_RELAXED);
}

/* -- reactor.c */

/*
 * May it be used? The sources and the lists point to where the reactor was
 * made, so a copy of it is none; and the mark of one that was finished since
 * the copy was made is gone, so `self` is looked at first.
 */
static inline int peal_reactor_check(const struct peal_reactor *loop)
{
	if (loop->self != loop)
		return -EINVAL;
	return peal_reactor_here(loop) ? 0 : -ECHILD;
}

/* Is it on this reactor, and itself, not a copy? Any thread may ask. */
static inline bool peal_source_is_on(const struct peal_source *source,
				     const struct peal_reactor *loop)
{
	return source->reactor == loop && source->slot < loop->n_slots &&
	       loop->slots[source->slot].source == source;
}

/* For calls on a source: -EINVAL where it is not on this reactor. */
static inline int peal_source_check(const struct peal_reactor *loop,
				    const struct peal_source *source)
{
	int ret = peal_reactor_check(loop);

	if (ret < 0)
		return ret;
	return peal_source_is_on(source, loop) ? 0 : -EINVAL;
}

/* The same for calls on a source of one kind. */
static inline int peal_source_check_kind(const struct peal_reactor *loop,
					 const struct peal_source *source,
					 const struct peal_source_ops *ops)
{
	int ret = peal_source_check(loop, source);

	if (ret < 0)
		return ret;
	return source->ops == ops ? 0 : -EINVAL;
}

/*
 * Give a source a slot. Its kind's add does the rest, and calls
 * peal_source_detach() if it fails.
 */
int peal_source_enter(struct peal_reactor *loop, struct peal_source *source,
		      const struct peal_source_ops *ops);
/* Let it have a turn, unless it will have one anyway. */
static inline void peal_source_ready(struct peal_source *source)
{
	if (peal_link_empty(&source->link))
		peal_link_append(&source->reactor->ready[source->band],
				 &source->link);
}

/* A callback: what is counted around it, and whether the source survived it. */
struct peal_call {
	struct peal_reactor *loop;
	struct peal_source *source;
	struct peal_source_mark mark;
	uint64_t began;
};

void peal_call_timed(const struct peal_call *call, bool survived);

static inline struct peal_call peal_call_begin(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;

	loop->made++;
	peal_count(&source->stats.callbacks);
	return (struct peal_call){
		.loop = loop,
		.source = source,
		.mark = peal_source_mark(source),
		.began = loop->timing ? peal_now() : 0,
	};
}

/* Did the source survive? If it did not, the reactor may be gone as well. */
static inline bool peal_call_end(const struct peal_call *call)
{
	bool survived = peal_source_survived(&call->mark);

	if (call->began && peal_reactor_here(call->loop))
		peal_call_timed(call, survived);
	return survived;
}

/* -- watch.c */
int peal_watch_own(struct peal_reactor *loop, int fd, uint32_t events,
		   uint64_t token);
int peal_source_watch(struct peal_source *source, int fd, uint32_t events);
int peal_source_rewatch(struct peal_source *source, uint32_t events);
int peal_source_unwatch(struct peal_source *source);
/* The operation `event` of kinds that read their fd in their turn. */
void peal_source_event(struct peal_source *source, uint32_t events);
/* Events have to be cleared, for they come again and again. */
static inline bool peal_level(const struct peal_reactor *loop)
{
	return loop->hosted && !loop->host.edge;
}

/* -- rings.c */
/* Arm all that were drained, with one fence, and look at each again. */
void peal_rings_arm(struct peal_reactor *loop);
/* Those that were armed a while ago, once more: see ring/fence.c. */
void peal_rings_look_late(struct peal_reactor *loop, uint64_t now);
/* When it is time for that, UINT64_MAX for never. */
uint64_t peal_rings_late_at(const struct peal_reactor *loop);
/* Poll all that were drained for a while, before they are armed. */
void peal_rings_spin(struct peal_reactor *loop);
/* -- storms.c */
void peal_ring_trust(struct peal_source *source);
void peal_ring_rung(struct peal_source *source);
/* The operation `alarm` of rings. */
void peal_ring_alarm(struct peal_source *source, uint64_t deadline,
		     uint64_t now);
void peal_ring_not_idle(struct peal_source *source);

/* -- timers.c */
/* Let a source be looked at, at a time; once. */
void peal_alarm_set(struct peal_source *source, uint64_t deadline);
void peal_alarm_drop(struct peal_source *source);
void peal_timers_expire(struct peal_reactor *loop);
/* Tell timer_fd of the earliest deadline. */
void peal_timers_program(struct peal_reactor *loop);

/* -- groups.c */
/* Let the rings whose bells were rung have their turns. */
void peal_groups_collect(struct peal_reactor *loop);
/* From now on the eventfds have to be written, or no more. */
void peal_groups_sleep(struct peal_reactor *loop, bool asleep);
bool peal_groups_marked(const struct peal_reactor *loop);

/* -- deferred.c */
/* From here on the source can be deferred again. */
void peal_source_undefer(struct peal_source *source);
/* The operation `detach` of kinds that can be deferred. */
void peal_deferred_detach(struct peal_source *source);
/* Of a call or a queue that is added; from anywhere. */
void peal_source_defer(struct peal_source *source);
/* Let the calls that were deferred have their turns. */
void peal_deferred_collect(struct peal_reactor *loop);
/* Make wake_fd readable; from anywhere. */
void peal_reactor_kick(struct peal_reactor *loop);
/* The same, if nothing else would have the loop look at what is ready. */
void peal_reactor_nudge(struct peal_reactor *loop);
void peal_reactor_unkick(struct peal_reactor *loop);
/* Were wake or stop called since it was asked last? */
bool peal_reactor_called(struct peal_reactor *loop);

#endif
