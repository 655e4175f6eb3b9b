/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Alarms: a heap of four children a node (D. B. Johnson, Priority queues with
 * update and finding minimum spanning trees, 1975) in the reactor's table,
 * behind one timerfd. A source counts its rank from 1, the heap from 0.
 */
#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>

#include "internal.h"

#define CHILDREN 4u
#define NSEC_PER_SEC 1000000000u

/* Of two alarms with one deadline, the alarm that was set first is first. */
static bool alarm_is_before(uint64_t deadline, const struct peal_source *source,
			    const struct peal_slot *node)
{
	if (deadline != node->alarm.deadline)
		return deadline < node->alarm.deadline;
	return source->alarm.order < node->alarm.source->alarm.order;
}

static void heap_place(struct peal_reactor *loop, uint32_t rank,
		       uint64_t deadline, struct peal_source *source)
{
	struct peal_slot *node = &loop->table.slots[rank];

	node->alarm.deadline = deadline;
	node->alarm.source = source;
	source->alarm.rank = rank + 1;
}

static void heap_sift_up(struct peal_reactor *loop, uint32_t rank,
			 uint64_t deadline, struct peal_source *source)
{
	while (rank > 0) {
		uint32_t parent = (rank - 1) / CHILDREN;
		struct peal_slot *node = &loop->table.slots[parent];

		if (!alarm_is_before(deadline, source, node))
			break;
		heap_place(loop, rank, node->alarm.deadline,
			   node->alarm.source);
		rank = parent;
	}
	heap_place(loop, rank, deadline, source);
}

/* The child of a rank that is due first, or the rank itself. */
static uint32_t heap_first_child(const struct peal_reactor *loop, uint32_t rank)
{
	const struct peal_slot *slots = loop->table.slots;
	uint64_t first = (uint64_t)rank * CHILDREN + 1;
	uint64_t end = first + CHILDREN;
	uint32_t best;

	if (first >= loop->alarms.n)
		return rank;
	if (end > loop->alarms.n)
		end = loop->alarms.n;
	best = (uint32_t)first;
	for (uint32_t i = best + 1; i < end; i++)
		if (alarm_is_before(slots[i].alarm.deadline,
				    slots[i].alarm.source, &slots[best]))
			best = i;
	return best;
}

static void heap_sift_down(struct peal_reactor *loop, uint32_t rank,
			   uint64_t deadline, struct peal_source *source)
{
	for (;;) {
		uint32_t child = heap_first_child(loop, rank);
		struct peal_slot *node = &loop->table.slots[child];

		if (child == rank || alarm_is_before(deadline, source, node))
			break;
		heap_place(loop, rank, node->alarm.deadline,
			   node->alarm.source);
		rank = child;
	}
	heap_place(loop, rank, deadline, source);
}

static void heap_remove(struct peal_reactor *loop, struct peal_source *source)
{
	struct peal_slot *slots = loop->table.slots;
	uint32_t rank = source->alarm.rank - 1;
	struct peal_slot *last = &slots[--loop->alarms.n];

	source->alarm.rank = 0;
	if (rank == loop->alarms.n)
		return;
	if (alarm_is_before(last->alarm.deadline, last->alarm.source,
			    &slots[rank]))
		heap_sift_up(loop, rank, last->alarm.deadline,
			     last->alarm.source);
	else
		heap_sift_down(loop, rank, last->alarm.deadline,
			       last->alarm.source);
}

void peal_alarm_cancel(struct peal_source *source)
{
	/* A reactor that is being closed has emptied its heap as a whole. */
	if (source->alarm.rank && source->reactor->alarms.n > 0)
		heap_remove(source->reactor, source);
}

void peal_alarm_repeat(struct peal_source *source, uint64_t deadline)
{
	struct peal_reactor *loop = source->reactor;

	heap_sift_up(loop, loop->alarms.n++, deadline, source);
	/* A loop that runs sets the timerfd before it sleeps. An alarm behind
	 * another alarm changes nothing. */
	if (loop->running || source->alarm.rank != 1)
		return;
	peal_alarms_program(loop);
	/* For a time that has passed the timerfd may not be readable at once,
	 * so the eventfd ends the wait. */
	if (deadline <= peal_now())
		peal_wake_write(loop);
}

void peal_alarm_set(struct peal_source *source, uint64_t deadline)
{
	peal_alarm_cancel(source);
	source->alarm.order = source->reactor->alarms.orders++;
	peal_alarm_repeat(source, deadline);
}

void peal_alarms_program(struct peal_reactor *loop)
{
	const struct peal_slot *first = &loop->table.slots[0];
	uint64_t deadline = peal_rings_recheck_at(loop);
	uint64_t set_to = loop->alarms.set_to;
	struct itimerspec its = { 0 };

	if (loop->alarms.n > 0)
		deadline = peal_min(deadline, first->alarm.deadline);
	if (deadline == UINT64_MAX)
		return;
	/* A timerfd that is set too early expires once for nothing. That is
	 * cheaper than to set it for each timer that is cancelled. */
	if (set_to != 0 && set_to <= deadline)
		return;
	if (deadline == 0)
		deadline = 1; /* 0 would disarm the timerfd */
	its.it_value.tv_sec = (time_t)(deadline / NSEC_PER_SEC);
	its.it_value.tv_nsec = (long)(deadline % NSEC_PER_SEC);
	peal_count(&loop->stats.system_calls);
	if (timerfd_settime(loop->alarms.fd, TFD_TIMER_ABSTIME, &its, NULL) ==
	    0)
		loop->alarms.set_to = deadline;
}

void peal_alarms_expire(struct peal_reactor *loop)
{
	const struct peal_slot *first = &loop->table.slots[0];
	uint64_t now = peal_now();

	loop->alarms.set_to = 0; /* the timerfd has expired */
	peal_rings_recheck(loop, now);
	while (loop->alarms.n > 0 && first->alarm.deadline <= now) {
		uint64_t deadline = first->alarm.deadline;
		struct peal_source *source = first->alarm.source;

		heap_remove(loop, source);
		source->ops->alarm(source, deadline, now);
	}
}
