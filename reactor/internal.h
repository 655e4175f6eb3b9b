/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_REACTOR_INTERNAL_H
#define PEAL_REACTOR_INTERNAL_H
/*
 * The map of reactor/:
 *
 *	floor.h		what the floor above may use
 *	reactor.c	the reactor, its table of slots, adding and removing
 *	loop.c		an iteration: wait, turns, arm
 *	watch.c		what epoll, or a host, watches
 *	alarms.c	the heap of alarms behind the timerfd
 *	wake.c		waking and stopping the loop from other threads
 *
 * The kinds of sources, each with its table of operations:
 *
 *	rings.c		senders and receivers: a turn, a verdict, closing
 *	arming.c	  arming rings after a round, polling before
 *	quarantine.c	  accounting for bells, quarantine of a bell
 *	idle.c		  the alarm of a ring, rings that are silent
 *	groups.c	groups of doorbells
 *	fds.c		fds of the caller's
 *	timers.c	timers
 *	signals.c	signals
 *	children.c	the ends of processes
 *	deferred.c	calls from other threads
 *	queue.c		messages from other threads
 *
 * A source waits in one list at most: `ready` and `turn` lead to a turn,
 * `drained` leads to arming. A ring may be in the list `recheck` as well, with
 * a link of its own.
 */
#include <errno.h>

#include "floor.h"

/*
 * What the reactor does with a source of one kind. Each kind has one constant
 * table, in the file of that kind. An operation that no source of the kind can
 * need is NULL.
 */
struct peal_source_ops {
	/* Give a scheduled source its turn: one callback at the most. */
	void (*turn)(struct peal_source *source);
	/* Epoll, or the host, has reported events for the source's fd. */
	void (*event)(struct peal_source *source, uint32_t events);
	/* The source's alarm is over; it was set for `deadline`. */
	void (*alarm)(struct peal_source *source, uint64_t deadline,
		      uint64_t now);
	/* A thread has deferred the source, and the loop has noticed. */
	void (*deferred)(struct peal_source *source);
	/* The source leaves the reactor. Its fd is not watched any more and its
	 * alarm is not set. Let go of what else the source stands for. */
	void (*detach)(struct peal_source *source);
};

#define PEAL_NO_SLOT UINT32_MAX
/* The tokens of the reactor's own fds. */
#define PEAL_TOKEN_TIMER UINT64_MAX
#define PEAL_TOKEN_WAKE (UINT64_MAX - 1)

/* -- lists of sources */

/* Move all links of `from` to the end of `list`. */
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

/* Take the first source out of a list that is not empty. */
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
 * May the reactor be used? A copy may not be used: the sources and the lists
 * point to the original. If the original was closed after the copy was made,
 * the copy points to a fork mark that is unmapped. So the check of `self` comes
 * before the check of the fork mark.
 */
static inline int peal_reactor_check(const struct peal_reactor *loop)
{
	if (loop->self != loop)
		return -EINVAL;
	return peal_reactor_here(loop) ? 0 : -ECHILD;
}

/* Is the source on this reactor, and itself, not a copy? Any thread may ask. */
static inline bool peal_source_is_on(const struct peal_source *source,
				     const struct peal_reactor *loop)
{
	return source->reactor == loop && source->slot < loop->table.n &&
	       loop->table.slots[source->slot].source == source;
}

/* For calls on a source: -EINVAL where the source is not on this reactor. */
static inline int peal_source_check(const struct peal_reactor *loop,
				    const struct peal_source *source)
{
	int ret = peal_reactor_check(loop);

	if (ret < 0)
		return ret;
	return peal_source_is_on(source, loop) ? 0 : -EINVAL;
}

/* For calls on a source of one kind. */
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
 * Give a source a slot. The kind's add function does the rest, and calls
 * peal_source_detach() if the rest fails.
 * @return  0, -EINVAL, -ECHILD, -EBUSY or -ENOSPC as every add
 */
int peal_source_attach(struct peal_reactor *loop, struct peal_source *source,
		       const struct peal_source_ops *ops, void *user);

/* Let a source have a turn in the next round. A source that waits in a list
 * keeps its place. */
static inline void peal_source_schedule(struct peal_source *source)
{
	if (peal_link_empty(&source->link))
		peal_link_append(&source->reactor->lists.ready[source->band],
				 &source->link);
}

/* A callback: what is counted around it, and whether the source survived. */
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

	loop->callbacks++;
	peal_count(&source->stats.callbacks);
	return (struct peal_call){
		.loop = loop,
		.source = source,
		.mark = peal_source_mark(source),
		.began = loop->timing ? peal_now() : 0,
	};
}

/* Did the source survive? If not, the reactor may be gone as well. */
static inline bool peal_call_end(const struct peal_call *call)
{
	bool survived = peal_source_survived(&call->mark);

	if (call->began && peal_reactor_here(call->loop))
		peal_call_timed(call, survived);
	return survived;
}

/* -- watch.c */

/* Watch one of the reactor's own fds. */
int peal_reactor_watch(struct peal_reactor *loop, int fd, uint32_t events,
		       uint64_t token);
/*
 * Watch the fd of a source.
 * @return  0, -EEXIST the reactor watches this fd already, or an error of
 *          epoll_ctl(2) or of the host
 */
int peal_source_watch(struct peal_source *source, int fd, uint32_t events);
/* Watch the same fd for other events. */
int peal_source_rewatch(struct peal_source *source, uint32_t events);
/* Watch the fd no more; the caller may close it then. */
int peal_source_unwatch(struct peal_source *source);
/* The operation `event` of kinds that need to know in their turn which events
 * were reported, or only that some were. */
void peal_source_note_events(struct peal_source *source, uint32_t events);

/* -- rings.c */

/* Is this the source of a sender or a receiver? */
bool peal_source_is_ring(const struct peal_source *source);
/* Arm a ring after the round, together with all others. */
void peal_ring_drained(struct peal_source *source);

/* -- arming.c */

/* Arm all drained rings with one fence, and check each ring again. */
void peal_rings_arm(struct peal_reactor *loop);
/* Recheck rings whose peers elide their fences, once the recheck of the ring is
 * due: see ring/fence.c. */
void peal_rings_recheck(struct peal_reactor *loop, uint64_t now);
/* When the next such recheck is due, or UINT64_MAX for never. */
uint64_t peal_rings_recheck_at(const struct peal_reactor *loop);
/* Poll all drained rings for a while, before they are armed. */
void peal_rings_spin(struct peal_reactor *loop);

/* -- quarantine.c */

/* Begin to account for the bells of a ring, or begin anew. */
void peal_bells_reset(struct peal_source *source);
/* The bell of a ring was rung. */
void peal_bells_heard(struct peal_source *source);
/* The quarantine of a ring is over. */
void peal_quarantine_finish(struct peal_source *source);

/* -- idle.c */

/* Set the alarm of a ring for what is due first: the end of its quarantine, or
 * of the time after which it counts as silent. */
void peal_ring_set_alarm(struct peal_source *source);
/* The operation `alarm` of rings. */
void peal_ring_alarm(struct peal_source *source, uint64_t deadline,
		     uint64_t now);
/* The ring is called back: it is not silent. */
void peal_idle_restart(struct peal_source *source);
/* Call on_idle. */
void peal_idle_tell(struct peal_source *source);

/* -- alarms.c */

/* Have the operation `alarm` called once, at a time. A source has one alarm. */
void peal_alarm_set(struct peal_source *source, uint64_t deadline);
/* Set the alarm again, in its own place among alarms of one deadline. */
void peal_alarm_repeat(struct peal_source *source, uint64_t deadline);
void peal_alarm_cancel(struct peal_source *source);
/* Call the operation `alarm` of all sources that are due. */
void peal_alarms_expire(struct peal_reactor *loop);
/* Set the timerfd to what is due first. */
void peal_alarms_program(struct peal_reactor *loop);

/* -- groups.c */

/* Schedule the rings whose bells were rung. */
void peal_groups_collect(struct peal_reactor *loop);
/* Say whether the loop sleeps. While the loop sleeps, a peer that marks a bell
 * has to write the group's eventfd. */
void peal_groups_set_asleep(struct peal_reactor *loop, bool asleep);
/* Is any bell marked? */
bool peal_groups_marked(const struct peal_reactor *loop);

/* -- deferred.c */

/* Have the operation `deferred` called. From any thread or signal handler. */
void peal_source_defer(struct peal_source *source);
/* Take the deferral back: from now on a thread can defer the source again. */
void peal_source_undefer(struct peal_source *source);
/* Call the operation `deferred` of all sources that were deferred. */
void peal_deferred_collect(struct peal_reactor *loop);
/* The operation `detach` of kinds that can be deferred. */
void peal_deferred_detach(struct peal_source *source);

/* -- wake.c */

/* Make the eventfd readable. From any thread or signal handler. */
void peal_wake_write(struct peal_reactor *loop);
/* The same, unless the loop runs: then the loop finds by itself what is
 * scheduled. */
void peal_wake_unless_running(struct peal_reactor *loop);
/* Make the eventfd unreadable again. */
void peal_wake_clear(struct peal_reactor *loop);
/* Were wake or stop called since this was last asked? */
bool peal_wake_called(struct peal_reactor *loop);

#endif
