/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * To wait for the other end: the wake protocol, the same for both directions.
 *
 *	publisher			waiter
 *	store position (release)	clear the bell, where it needs it
 *	full fence			store the wake position
 *	load the wake position		full fence
 *	crossed? ring the bell		load the peer's state, its position
 *					enough? do not sleep
 *
 * Either the publisher sees the wake position or the waiter sees what was
 * published; without any one of the two fences both can miss. The protocol is
 * that of virtio's event index and of Xen's req_event (xen/io/ring.h), with
 * 64-bit positions.
 */
#include <errno.h>

#include "endpoint.h"

/*
 * The peer waits for a position that this end has not reached. Its wake word
 * may be stale or a lie, which costs a bell or an early delivery at most.
 */
bool peal_end_wanted(const struct peal_end *end)
{
	return peal_load_relaxed(end->peer_wake) - end->here - 1 <
	       end->capacity;
}

void peal_end_aim(struct peal_end *end, uint64_t want, bool beyond)
{
	uint64_t target = end->here + want;

	if (beyond) {
		if (want <= peal_end_known(end))
			target = end->limit + 1;
		end->offered_here = end->here;
		end->offered_limit = end->limit;
	}
	end->want = want;
	end->target = target - end->bias;
	end->waiting = true;
}

void peal_end_store(struct peal_end *end)
{
	peal_end_drain(end); /* bell.pml: drain_first */
	/* What was reached already nobody rings for; and a sender that waits
	 * for more must not be taken for one that waits for less. */
	if (end->armed == end->target || peal_end_reached(end))
		return;
	PEAL_COUNT(end, stalls);
	end->armed = end->target;
	end->fresh = true;
	peal_store_relaxed(end->wake, end->armed); /* wake.pml: arm_store */
}

/*
 * A sender that is short has armed, and a receiver that sleeps below its
 * watermark has to take what there is: there will be no more without room.
 * Told once, it knows; later it sees the wake word when it arms. So it is not
 * told before that word says what we wait for: it would find nothing there.
 * wake.pml: rouse, rouse_once, rouse_armed
 */
static void rouse_receiver(struct peal_end *end)
{
	if (end->armed != end->target || peal_end_reached(end))
		return;
	if (!peal_end_wanted(end) || (end->offered_here == end->here &&
				      end->offered_limit == end->limit))
		return;
	end->offered_here = end->here;
	end->offered_limit = end->limit;
	peal_end_ring(end);
}

/* Where the two watermarks would have both ends asleep. */
static enum peal_found check_deadlock(struct peal_end *end)
{
	if (end->sender)
		rouse_receiver(end);
	else if (peal_end_known(end) > 0 &&
		 peal_end_wanted(end) && /* wake.pml: offer */
		 (end->offered_here != end->here ||
		  end->offered_limit != end->limit))
		return PEAL_FOUND_OFFER;
	return PEAL_FOUND_SHORT;
}

enum peal_found peal_end_check(struct peal_end *end)
{
	/* wake.pml: end_recheck */
	ssize_t ret = peal_end_refresh(end, end->capacity + 1);

	if (end->error)
		return PEAL_FOUND_BROKEN;
	if (end->ended) /* wake.pml: end_below_watermark */
		return PEAL_FOUND_END;
	if (!end->waiting)
		return PEAL_FOUND_SHORT;
	/* Reached, and nobody has taken any of it in the meantime. */
	if (peal_end_reached(end) && (uint64_t)ret >= end->want)
		return PEAL_FOUND_ENOUGH;
	return check_deadlock(end);
}

bool peal_end_stirred(const struct peal_end *end)
{
	return peal_load_acquire(end->peer_position) + end->bias !=
		       end->limit ||
	       peal_load_relaxed(end->peer_state) != PEAL_STATE_OPEN;
}

void peal_end_settle(struct peal_end *end, enum peal_found found)
{
	if (end->waiting && peal_end_known(end) > 0)
		PEAL_COUNT(end, transitions);
	end->waiting = false;
	if (found == PEAL_FOUND_OFFER) { /* not the same again */
		end->offered_here = end->here;
		end->offered_limit = end->limit;
	}
}

/* @return false: the peer could be missed, so that a late look is due */
static bool fence(const struct peal_end *end)
{
	peal_end_fence(); /* wake.pml: arm_fence */
	if (!peal_end_needs_barrier(end))
		return true;
	peal_fence_barrier(); /* wake.pml: barrier, barrier_first */
	return false;
}

bool peal_end_arm(struct peal_end *end, uint64_t want)
{
	enum peal_found found;

	if (end->error)
		return false;
	peal_end_aim(end, want, false);
	end->swallowed = false;
	peal_end_store(end);
	/* What was refused may be offered again. wake.pml: offer_anew */
	if (!end->sender)
		end->offered_here = end->here - 1;
	/* Pairs with the fences in peal_end_publish() and leave().
	 * wake.pml: arm_recheck, barrier_failed */
	end->unsure = !fence(end);
	found = peal_end_check(end);
	if (found == PEAL_FOUND_SHORT)
		return !end->unsure;
	end->unsure = false;
	peal_end_settle(end, found);
	return false;
}

/*
 * A reactor gives the end another turn, and looks again later where the peer
 * may have been missed.
 * @return false: the end is on no reactor, nobody will look
 */
static bool tell_reactor(const struct peal_end *end)
{
	if (!end->stir)
		return false;
	end->stir(end->waiter);
	return true;
}

/* The peer may have been missed. The caller may sleep. */
static void look_later(struct peal_end *end)
{
	if (!tell_reactor(end))
		peal_fence_by_hand(end);
}

struct peal_owed peal_end_owes(const struct peal_end *end)
{
	return (struct peal_owed){
		.callback = end->stir && end->waiting,
		.want = end->want,
		.target = end->target,
		.offered_here = end->offered_here,
		.offered_limit = end->offered_limit,
	};
}

void peal_end_pay(struct peal_end *end, const struct peal_owed *owed)
{
	if (owed->callback && !end->error) {
		end->want = owed->want;
		end->target = owed->target;
		end->offered_here = owed->offered_here;
		end->offered_limit = owed->offered_limit;
		end->waiting = true;
	}
	if (owed->callback || end->ended || (end->unsure && end->waiting))
		tell_reactor(end);
}

bool peal_end_arm_by_hand(struct peal_end *end)
{
	struct peal_owed owed = peal_end_owes(end);
	bool armed;

	end->fresh = true;
	armed = peal_end_arm(end, end->watermark);
	if (!armed && end->unsure) {
		if (tell_reactor(end))
			return true;
		peal_fence_by_hand(end);
		armed = peal_end_arm(end, end->watermark);
	}
	if (!armed)
		peal_end_pay(end, &owed);
	/* What was read away may have been the other end's: look again. */
	return armed && !end->swallowed;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * The fence of a reserve. A put neither sleeps nor makes a barrier. So where
 * the peer may be missed and no reactor looks again, the caller has to arm by
 * hand before it sleeps, as ring.h says.
 */
static void fence_reserve(struct peal_end *end, bool may_sleep)
{
	end->fresh = true;
	if (!may_sleep && !end->stir)
		peal_end_fence(); /* wake.pml: arm_fence */
	else if (!fence(end))
		look_later(end);
}

/* Where nobody can ring for it, the old position is stored once more; unless
 * it is reached by now, which what is returned says. */
static ssize_t arm_again(struct peal_end *end, uint64_t target, bool may_sleep)
{
	ssize_t ret;

	end->target = target;
	peal_end_store(end);
	fence_reserve(end, may_sleep);
	ret = peal_end_refresh(end, end->capacity + 1);
	if (ret >= 0)
		rouse_receiver(end);
	return ret;
}

/* For this position or a nearer one. wake.pml: reserve_nearer */
static bool is_armed_for(const struct peal_end *end, uint64_t want)
{
	return end->waiting && !peal_end_reached(end) &&
	       end->armed == end->target &&
	       end->target - (end->here - end->bias) <= want;
}

/* Pairs with the fence in peal_end_publish(). @return as peal_end_reserve() */
static ssize_t look_again(struct peal_end *end, uint64_t n, bool may_sleep)
{
	ssize_t ret;

	fence_reserve(end, may_sleep);
	ret = peal_end_refresh(end, end->capacity + 1);
	if (ret < 0 || (uint64_t)ret >= n)
		return ret;
	rouse_receiver(end);
	return 0;
}

static ssize_t reserve_or_arm(struct peal_end *end, uint64_t n, bool may_sleep)
{
	uint64_t want = larger(n, end->watermark), before = end->target;
	bool waiting = end->waiting;
	ssize_t ret = peal_end_refresh(end, n);

	if (ret < 0)
		return ret;
	if (n == 0 || n > end->capacity)
		return -EINVAL;
	if ((uint64_t)ret >= n)
		return ret;
	if (is_armed_for(end, want)) {
		end->want = smaller(end->want, want);
		/* The bell for it may have been taken back already, and by
		 * itself it brings no order: look as after any other. */
		ret = look_again(end, n, may_sleep);
		if (ret != 0 || !peal_end_reached(end))
			return ret;
	}
	peal_end_aim(end, want, false);
	peal_end_store(end); /* wake.pml: reserve_arm */
	ret = look_again(end, n, may_sleep);
	if (ret <= 0)
		return ret;
	end->waiting = waiting;
	/* The bell may have been owed for the old position, which is no longer
	 * stored. wake.pml: reserve_told */
	if (waiting && !peal_end_ring_self(end))
		return arm_again(end, before, may_sleep);
	return ret;
}

ssize_t peal_end_reserve(struct peal_end *end, uint64_t n)
{
	return reserve_or_arm(end, n, true);
}

ssize_t peal_end_reserve_awake(struct peal_end *end)
{
	return reserve_or_arm(end, 1, false);
}

int peal_end_set_watermark(struct peal_end *end, size_t n)
{
	if (n == 0 || n > end->capacity)
		return -EINVAL;
	end->watermark = n;
	return 0;
}
