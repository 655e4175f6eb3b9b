/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Timers: a heap of four children a node (D. B. Johnson, Priority queues with
 * update and finding minimum spanning trees, 1975) in the reactor's table,
 * behind one timerfd. Ranks count from 1 for a source; the heap's from 0.
 */
#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>

#include "internal.h"

#define CHILDREN 4u
#define NSEC 1000000000u

/* Of one deadline, the alarm that was set first is first. */
static bool is_before(uint64_t deadline, const struct peal_source *source,
		      const struct peal_slot *slot)
{
	if (deadline != slot->deadline)
		return deadline < slot->deadline;
	return source->order < slot->timer->order;
}

static void place(struct peal_reactor *loop, uint32_t rank, uint64_t deadline,
		  struct peal_source *source)
{
	loop->slots[rank].deadline = deadline;
	loop->slots[rank].timer = source;
	source->rank = rank + 1;
}

static void sift_up(struct peal_reactor *loop, uint32_t rank, uint64_t deadline,
		    struct peal_source *source)
{
	while (rank > 0) {
		uint32_t parent = (rank - 1) / CHILDREN;
		struct peal_slot *slot = &loop->slots[parent];

		if (!is_before(deadline, source, slot))
			break;
		place(loop, rank, slot->deadline, slot->timer);
		rank = parent;
	}
	place(loop, rank, deadline, source);
}

/* The child of a rank that is due first, or the rank itself. */
static uint32_t earliest_child(const struct peal_reactor *loop, uint32_t rank)
{
	uint64_t first = (uint64_t)rank * CHILDREN + 1;
	uint64_t end = first + CHILDREN;
	uint32_t best;

	if (first >= loop->timers)
		return rank;
	if (end > loop->timers)
		end = loop->timers;
	best = (uint32_t)first;
	for (uint32_t i = best + 1; i < end; i++)
		if (is_before(loop->slots[i].deadline, loop->slots[i].timer,
			      &loop->slots[best]))
			best = i;
	return best;
}

static void sift_down(struct peal_reactor *loop, uint32_t rank,
		      uint64_t deadline, struct peal_source *source)
{
	for (;;) {
		uint32_t child = earliest_child(loop, rank);
		struct peal_slot *slot = &loop->slots[child];

		if (child == rank || is_before(deadline, source, slot))
			break;
		place(loop, rank, slot->deadline, slot->timer);
		rank = child;
	}
	place(loop, rank, deadline, source);
}

static void heap_remove(struct peal_reactor *loop, struct peal_source *source)
{
	uint32_t rank = source->rank - 1;
	struct peal_slot *last = &loop->slots[--loop->timers];

	source->rank = 0;
	if (rank == loop->timers)
		return;
	if (is_before(last->deadline, last->timer, &loop->slots[rank]))
		sift_up(loop, rank, last->deadline, last->timer);
	else
		sift_down(loop, rank, last->deadline, last->timer);
}

void peal_alarm_drop(struct peal_source *source)
{
	if (source->rank && source->reactor->timers > 0)
		heap_remove(source->reactor, source);
}

static void heap_add(struct peal_source *source, uint64_t deadline)
{
	struct peal_reactor *loop = source->reactor;

	sift_up(loop, loop->timers++, deadline, source);
	/* In line behind another one it changes nothing. */
	if (loop->dispatching || source->rank != 1)
		return;
	peal_timers_program(loop);
	/* The kernel takes its time even for what is due already. */
	if (deadline <= peal_now())
		peal_reactor_kick(loop);
}

void peal_alarm_set(struct peal_source *source, uint64_t deadline)
{
	peal_alarm_drop(source);
	source->order = source->reactor->alarms++;
	heap_add(source, deadline);
}

void peal_timers_program(struct peal_reactor *loop)
{
	uint64_t deadline;
	struct itimerspec its = { 0 };

	deadline = peal_rings_late_at(loop);
	if (loop->timers > 0 && loop->slots[0].deadline < deadline)
		deadline = loop->slots[0].deadline;
	else if (deadline == UINT64_MAX)
		return;
	/* Set too early, it fires once for nothing; that is cheaper than to
	 * set it for each timer that is cancelled. */
	if (loop->timer_set != 0 && loop->timer_set <= deadline)
		return;
	if (deadline == 0)
		deadline = 1; /* 0 would disarm it */
	its.it_value.tv_sec = (time_t)(deadline / NSEC);
	its.it_value.tv_nsec = (long)(deadline % NSEC);
	peal_count(&loop->stats.system_calls);
	if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &its, NULL) == 0)
		loop->timer_set = deadline;
}

static void timer_expired(struct peal_source *source, uint64_t deadline,
			  uint64_t now)
{
	uint64_t n = 1;

	if (source->period) {
		n = (now - deadline) / source->period + 1;
		/* Its place among those of one deadline stays. */
		heap_add(source, peal_time_add(deadline, n * source->period));
	}
	source->expirations += n;
	peal_source_ready(source);
}

void peal_timers_expire(struct peal_reactor *loop)
{
	uint64_t now = peal_now();

	loop->timer_set = 0; /* it has fired */
	peal_rings_look_late(loop, now);
	while (loop->timers > 0 && loop->slots[0].deadline <= now) {
		uint64_t deadline = loop->slots[0].deadline;
		struct peal_source *source = loop->slots[0].timer;

		heap_remove(loop, source);
		source->ops->alarm(source, deadline, now);
	}
}

static void timer_turn(struct peal_source *source)
{
	struct peal_call call = peal_call_begin(source);
	uint64_t expirations = source->expirations;

	source->expirations = 0;
	source->callback.on_timer(source, expirations, source->user);
	peal_call_end(&call);
}

static const struct peal_source_ops timer_ops = {
	.turn = timer_turn,
	.alarm = timer_expired,
};

static void cancel(struct peal_source *source)
{
	peal_alarm_drop(source);
	source->expirations = 0;
	peal_link_remove(&source->link);
}

int peal_reactor_add_timer(struct peal_reactor *loop,
			   struct peal_source *source,
			   void (*on_timer)(struct peal_source *source,
					    uint64_t expirations, void *user),
			   void *user)
{
	int ret;

	if (!on_timer)
		return -EINVAL;
	ret = peal_source_enter(loop, source, &timer_ops);
	if (ret < 0)
		return ret;
	source->callback.on_timer = on_timer;
	source->user = user;
	return 0;
}

int peal_reactor_set_timer(struct peal_reactor *loop,
			   struct peal_source *source, uint64_t first,
			   uint64_t period, unsigned flags)
{
	int ret = peal_source_check_kind(loop, source, &timer_ops);

	if (ret < 0)
		return ret;
	if (flags & ~PEAL_TIMER_ABSOLUTE)
		return -EINVAL;
	if (!(flags & PEAL_TIMER_ABSOLUTE))
		first = peal_time_add(peal_now(), first);
	cancel(source);
	source->period = period;
	peal_alarm_set(source, first);
	return 0;
}

int peal_reactor_cancel_timer(struct peal_reactor *loop,
			      struct peal_source *source)
{
	int ret = peal_source_check_kind(loop, source, &timer_ops);

	if (ret == 0)
		cancel(source);
	return ret;
}
