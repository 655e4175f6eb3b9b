/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The wake protocol: how an end waits for the other end. A sender waits for
 * room as a receiver waits for items.
 *
 *	publisher			waiter
 *	store position (release)	clear the bell, where it needs it
 *	full fence			store the wake position
 *	load the wake position		full fence
 *	crossed? ring the bell		load the peer's state, its position
 *					enough? do not sleep
 *
 * Either the publisher sees the wake position, or the waiter sees what was
 * published. If one of the two fences is missing, both ends can miss what the
 * other end has stored. The protocol is that of virtio's event index and of
 * Xen's req_event (xen/io/ring.h), with 64-bit positions.
 */
#include <errno.h>

#include "internal.h"

/*
 * Does the peer wait for a position that this end has not reached? The peer's
 * wake word may be stale or a lie. Such a word costs a ring that nobody needed,
 * or a delivery below the watermark, and nothing else.
 */
bool peal_end_wanted(const struct peal_end *end)
{
	return peal_load_relaxed(&end->peer->wake) - end->position - 1 <
	       end->capacity;
}

void peal_end_aim(struct peal_end *end, uint64_t want, bool beyond)
{
	uint64_t target = end->position + want;

	if (beyond) {
		if (want <= peal_end_known(end))
			target = end->limit + 1;
		end->wait.offered_position = end->position;
		end->wait.offered_limit = end->limit;
	}
	end->wait.want = want;
	end->wait.target = target - end->bias;
	end->wait.active = true;
}

void peal_end_store(struct peal_end *end)
{
	peal_end_drain(end); /* bell.pml: drain_first */
	/* The peer does not ring for a target that is reached already, so
	 * nothing would be gained by a store. But something could be lost: the
	 * word that is stored now may be a later position, which a sender still
	 * waits for, and which peal_end_wanted() tells the receiver. */
	if (end->wait.armed == end->wait.target || peal_end_reached(end))
		return;
	PEAL_COUNT(end, stalls);
	end->wait.armed = end->wait.target;
	peal_end_expect_recheck(end);
	/* wake.pml: arm_store */
	peal_store_relaxed(&end->own->wake, end->wait.armed);
}

/*
 * Two watermarks can deadlock: the sender waits for room, and the receiver
 * waits for more items than fit. So the sender rings the receiver once, even
 * though the receiver's watermark is not reached. The sender stores its own
 * wake word first: the receiver loads that word when it wakes, and goes back to
 * sleep unless the word says that the sender waits.
 * wake.pml: kick, kick_once, kick_armed
 */
static void kick_receiver(struct peal_end *end)
{
	if (end->wait.armed != end->wait.target || peal_end_reached(end))
		return;
	if (!peal_end_wanted(end) ||
	    (end->wait.offered_position == end->position &&
	     end->wait.offered_limit == end->limit))
		return;
	end->wait.offered_position = end->position;
	end->wait.offered_limit = end->limit;
	peal_end_ring(end);
}

/* Too little is available for this end. If the peer waits, too, both ends would
 * sleep because of their watermarks. */
static enum peal_found check_deadlock(struct peal_end *end)
{
	if (end->sender)
		kick_receiver(end);
	else if (peal_end_known(end) > 0 &&
		 peal_end_wanted(end) && /* wake.pml: offer */
		 (end->wait.offered_position != end->position ||
		  end->wait.offered_limit != end->limit))
		return PEAL_FOUND_OFFER;
	return PEAL_FOUND_SHORT;
}

enum peal_found peal_end_recheck(struct peal_end *end)
{
	/* wake.pml: end_recheck */
	ssize_t ret = peal_end_refresh(end, end->capacity + 1);

	if (end->error)
		return PEAL_FOUND_BROKEN;
	if (end->ended) /* wake.pml: end_below_watermark */
		return PEAL_FOUND_END;
	if (!end->wait.active)
		return PEAL_FOUND_SHORT;
	/* The peer has reached the target, and the user of this end has taken
	 * none of these items in the meantime. */
	if (peal_end_reached(end) && (uint64_t)ret >= end->wait.want)
		return PEAL_FOUND_ENOUGH;
	return check_deadlock(end);
}

bool peal_end_peer_moved(const struct peal_end *end)
{
	return peal_load_acquire(&end->peer->position) + end->bias !=
		       end->limit ||
	       peal_load_relaxed(&end->peer->state) != PEAL_STATE_OPEN;
}

void peal_end_wait_done(struct peal_end *end, enum peal_found found)
{
	if (end->wait.active && peal_end_known(end) > 0)
		PEAL_COUNT(end, transitions);
	end->wait.active = false;
	if (found == PEAL_FOUND_OFFER) { /* offer the same only once */
		end->wait.offered_position = end->position;
		end->wait.offered_limit = end->limit;
	}
}

/* @return false: the peer may miss the wake word, so a deferred recheck is due
 */
static bool fence_wake(const struct peal_end *end)
{
	peal_end_fence(); /* wake.pml: arm_fence */
	if (!peal_end_needs_barrier(end))
		return true;
	peal_fence_barrier(); /* wake.pml: barrier, barrier_first */
	return false;
}

static void set_recheck_due(struct peal_end *end, bool due)
{
	if (due)
		end->wait.recheck = PEAL_RECHECK_DUE;
	else if (peal_end_recheck_due(end))
		end->wait.recheck = PEAL_RECHECK_POSSIBLE;
}

bool peal_end_arm(struct peal_end *end, uint64_t want)
{
	enum peal_found found;

	if (end->error)
		return false;
	peal_end_aim(end, want, false);
	end->bell.cleared_siblings = false;
	peal_end_store(end);
	/* A receiver that arms anew may be offered the same items again.
	 * wake.pml: offer_anew */
	if (!end->sender)
		end->wait.offered_position = end->position - 1;
	/* Pairs with the fences in peal_end_publish() and leave().
	 * wake.pml: arm_recheck, barrier_failed */
	set_recheck_due(end, !fence_wake(end));
	found = peal_end_recheck(end);
	if (found == PEAL_FOUND_SHORT)
		return !peal_end_recheck_due(end);
	set_recheck_due(end, false);
	peal_end_wait_done(end, found);
	return false;
}

/*
 * A notified reactor gives the end another turn, and rechecks later where the
 * peer may have missed the wake word.
 * @return  false: the end has no reactor
 */
static bool notify_reactor(const struct peal_end *end)
{
	if (!end->notify)
		return false;
	end->notify(end->notify_arg);
	return true;
}

/* The peer may have missed the wake word. The caller may sleep. */
static void defer_recheck(struct peal_end *end)
{
	if (!notify_reactor(end))
		peal_fence_by_hand(end);
}

struct peal_owed peal_end_owes(const struct peal_end *end)
{
	return (struct peal_owed){
		.callback = end->notify && end->wait.active,
		.want = end->wait.want,
		.target = end->wait.target,
		.offered_position = end->wait.offered_position,
		.offered_limit = end->wait.offered_limit,
	};
}

void peal_end_pay(struct peal_end *end, const struct peal_owed *owed)
{
	if (owed->callback && !end->error) {
		end->wait.want = owed->want;
		end->wait.target = owed->target;
		end->wait.offered_position = owed->offered_position;
		end->wait.offered_limit = owed->offered_limit;
		end->wait.active = true;
	}
	if (owed->callback || end->ended ||
	    (peal_end_recheck_due(end) && end->wait.active))
		notify_reactor(end);
}

bool peal_end_arm_by_hand(struct peal_end *end)
{
	struct peal_owed owed = peal_end_owes(end);
	bool armed;

	peal_end_expect_recheck(end);
	armed = peal_end_arm(end, end->wait.watermark);
	if (!armed && peal_end_recheck_due(end)) {
		if (notify_reactor(end))
			return true;
		peal_fence_by_hand(end);
		armed = peal_end_arm(end, end->wait.watermark);
	}
	if (!armed)
		peal_end_pay(end, &owed);
	/* This end may have cleared a ring for its sibling, so the caller has
	 * to look at both ends again. */
	return armed && !end->bell.cleared_siblings;
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
 * The fence of a reserve. A put neither sleeps nor makes a barrier. So a peer
 * that elides its fences may miss the wake word of a put. Where no reactor
 * rechecks, the caller of a put has to arm by hand before the caller sleeps, as
 * ring.h says.
 */
static void fence_reserve(struct peal_end *end, bool may_sleep)
{
	peal_end_expect_recheck(end);
	if (!may_sleep && !end->notify)
		peal_end_fence(); /* wake.pml: arm_fence */
	else if (!fence_wake(end))
		defer_recheck(end);
}

/*
 * A reserve has replaced the wake position of an earlier wait, and cannot wake
 * the thread that waits. So this end stores the old wake position again, unless
 * the peer has reached that position by now.
 */
static ssize_t arm_again(struct peal_end *end, uint64_t target, bool may_sleep)
{
	ssize_t ret;

	end->wait.target = target;
	peal_end_store(end);
	fence_reserve(end, may_sleep);
	ret = peal_end_refresh(end, end->capacity + 1);
	if (ret >= 0)
		kick_receiver(end);
	return ret;
}

/* Does this end wait already, for `want` items or for fewer?
 * wake.pml: reserve_nearer */
static bool is_armed_for(const struct peal_end *end, uint64_t want)
{
	return end->wait.active && !peal_end_reached(end) &&
	       end->wait.armed == end->wait.target &&
	       end->wait.target - (end->position - end->bias) <= want;
}

/* Pairs with the fence in peal_end_publish(). @return as peal_end_reserve() */
static ssize_t refresh_after_fence(struct peal_end *end, uint64_t n,
				   bool may_sleep)
{
	ssize_t ret;

	fence_reserve(end, may_sleep);
	ret = peal_end_refresh(end, end->capacity + 1);
	if (ret < 0 || (uint64_t)ret >= n)
		return ret;
	kick_receiver(end);
	return 0;
}

static ssize_t reserve_or_arm(struct peal_end *end, uint64_t n, bool may_sleep)
{
	uint64_t want = larger(n, end->wait.watermark),
		 before = end->wait.target;
	bool waiting = end->wait.active;
	ssize_t ret = peal_end_refresh(end, n);

	if (ret < 0)
		return ret;
	if (n == 0 || n > end->capacity)
		return -EINVAL;
	if ((uint64_t)ret >= n)
		return ret;
	if (is_armed_for(end, want)) {
		end->wait.want = smaller(end->wait.want, want);
		/* The ring for this wake position may have been cleared
		 * already. A bell by itself brings no order. So this end
		 * fences and rechecks, as after any arm. */
		ret = refresh_after_fence(end, n, may_sleep);
		if (ret != 0 || !peal_end_reached(end))
			return ret;
	}
	peal_end_aim(end, want, false);
	peal_end_store(end); /* wake.pml: reserve_arm */
	ret = refresh_after_fence(end, n, may_sleep);
	if (ret <= 0)
		return ret;
	end->wait.active = waiting;
	/* The peer may owe a ring for the old wake position, which is stored
	 * no longer. wake.pml: reserve_told */
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
	end->wait.watermark = n;
	return 0;
}

/*
 * A sender walks, and finds less room than the walk needs. So the sender uses
 * this room, and arms for more, as a reserve does. The receiver may release
 * items before the sender arms, and owes no ring for these. So the sender uses
 * the room of these items, too.
 */
static ssize_t walk_and_arm(struct peal_end *end, size_t room, size_t n,
			    peal_step *step, void *user)
{
	size_t done = 0;

	for (;;) {
		size_t used = peal_walk_over(end, room, step, user);
		ssize_t ret;

		done += used;
		if (used < room || done == n)
			break;
		ret = peal_end_reserve_awake(end); /* wake.pml: reserve_arm */
		if (ret < 0 && done == 0)
			return ret;
		if (ret < 0) /* the peer does not ring for an error */
			peal_end_ring_self(end);
		if (ret <= 0)
			break;
		room = (size_t)ret < n - done ? (size_t)ret : n - done;
	}
	return (ssize_t)done;
}

ssize_t peal_end_walk_short(struct peal_end *end, ssize_t available, size_t n,
			    peal_step *step, void *user)
{
	if (available < 0)
		return available;
	if (end->sender)
		return walk_and_arm(end, (size_t)available, n, step, user);
	return (ssize_t)peal_walk_over(end, (size_t)available, step, user);
}
