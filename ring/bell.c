/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The two bells of one end: the end rings the peer's bell, and waits on its own
 * bell. */
#include <errno.h>

#include "internal.h"

/* One of so many rings is timed. After a slow ring each of the next
 * PEAL_TIMED_RINGS rings is timed. */
#define TIMED 16

/*
 * A peer can add its copy of a bell to thousands of epoll sets. Each ring of
 * this end then takes the kernel through all of these sets. But a ring may also
 * be slow because this thread was preempted. So after a slow ring the next
 * rings are timed by the processor time of this thread. If half of these rings
 * are slow, this end breaks with the peer.
 */
static void count_slow_ring(struct peal_end *end, uint64_t price)
{
	if (end->bell.rings_to_time == 0) {
		if (price >= PEAL_SLOW_RING_NS)
			end->bell.rings_to_time = PEAL_TIMED_RINGS;
		end->bell.slow_rings = 0;
		return;
	}
	end->bell.rings_to_time--;
	end->bell.slow_rings += price >= PEAL_SLOW_RING_NS;
	if (end->bell.slow_rings >= PEAL_TIMED_RINGS / 2 && !end->error)
		peal_end_break(end);
}

static int ring_timed(struct peal_end *end)
{
	clockid_t clock = end->bell.rings_to_time ? CLOCK_THREAD_CPUTIME_ID
						  : CLOCK_MONOTONIC;
	uint64_t began = peal_clock_ns(clock);
	int ret = peal_doorbell_ring(&end->bell.peer);

	count_slow_ring(end, peal_clock_ns(clock) - began);
	return ret;
}

/* To ring a bell of a group costs less than to read a clock, and the members of
 * a group trust each other. */
static bool is_timed(const struct peal_end *end)
{
	return end->bell.peer.kind != PEAL_DOORBELL_GROUP &&
	       (end->bell.rings_to_time || end->stats.doorbells % TIMED == 0);
}

int peal_end_ring(struct peal_end *end)
{
	int ret;

	if (end->bell.peer.kind == PEAL_DOORBELL_NONE)
		return 0;
	peal_fence_restore(end);
	ret = is_timed(end) ? ring_timed(end)
			    : peal_doorbell_ring(&end->bell.peer);
	PEAL_COUNT(end, doorbells);
	if (ret < 0)
		PEAL_COUNT(end, bell_errors);
	return ret;
}

bool peal_end_ring_self(struct peal_end *end)
{
	if (end->notify)
		end->notify(end->notify_arg);
	else if (end->bell.own.ring_fd >= 0 &&
		 end->bell.own.kind != PEAL_DOORBELL_SOCKET &&
		 end->bell.own.kind != PEAL_DOORBELL_NONE)
		peal_doorbell_ring(&end->bell.own);
	else
		return false;
	return true;
}

/* To read a packet wakes the epoll sets of the peer, as to ring does. So the
 * read is timed, and counts as a ring. */
int peal_end_clear(struct peal_end *end)
{
	clockid_t clock;
	uint64_t began;
	int ret;

	if (end->bell.own.kind != PEAL_DOORBELL_SOCKET)
		return peal_doorbell_clear(&end->bell.own);
	clock = end->bell.rings_to_time ? CLOCK_THREAD_CPUTIME_ID
					: CLOCK_MONOTONIC;
	began = peal_clock_ns(clock);
	ret = peal_doorbell_clear(&end->bell.own);
	if (ret == -EPROTO && !end->error)
		peal_end_break(end);
	count_slow_ring(end, peal_clock_ns(clock) - began);
	return ret;
}

/*
 * The sibling waits on the same bell. The rings that this end has cleared may
 * have been for the sibling.
 * bell.pml: wake_sibling
 */
static void wake_sibling(struct peal_end *end)
{
	struct peal_end *sibling = end->bell.sibling;

	if (!sibling)
		return;
	if (sibling->notify)
		sibling->notify(sibling->notify_arg);
	else
		end->bell.cleared_siblings = sibling->wait.active;
}

/*
 * An eventfd that is watched edge-triggered needs no clearing, and a blocking
 * call that uses poll(2) clears its eventfd after the wait. Pipes and sockets
 * fill up. A peer that finds the bell full believes that it has rung. So this
 * end clears the bell before rings that nobody cleared fill the bell. After an
 * arm the peer may ring once for the wake position, and a sender that falls
 * short may kick once. If a receiver arms for more than the next item, the
 * sender may kick once for each item before the wake position.
 * bell.pml: drain_in_time
 */
void peal_end_drain(struct peal_end *end)
{
	const struct peal_doorbell *bell = &end->bell.own;

	if (bell->kind <= PEAL_DOORBELL_EVENTFD ||
	    bell->kind == PEAL_DOORBELL_GROUP)
		return;
	if (end->bell.overflow ||
	    ++end->bell.arms_since_clear >= bell->drain_every) {
		if (peal_end_clear(end) > 0)
			peal_end_expect_recheck(end);
		end->bell.arms_since_clear = 0;
		wake_sibling(end);
	}
	end->bell.overflow = !end->sender && !peal_end_reached(end) &&
			     end->wait.target - end->limit > 1;
}
