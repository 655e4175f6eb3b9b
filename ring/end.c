/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One end of a ring: the wake protocol, the same for both directions.
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
#include <string.h>
#include <time.h>

#include "endpoint.h"

/* See follows_closely(): a few lines, and some 100 ns. */
#define CLOSE_BYTES 256
#define CLOSE_LOOKS 16
/* Of so many rings one is timed, and all that come after a dear one. */
#define JUDGED 16

static uint64_t load_acquire(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static uint64_t load_relaxed(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void store_relaxed(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* Count, and let those who look on see it; in cold paths only. */
#define COUNT(end, what)                                                       \
	store_relaxed(&(end)->counts[offsetof(struct peal_ring_stats, what) /  \
				     sizeof(uint64_t)],                        \
		      ++(end)->stats.what)

static int broken(struct peal_end *end);

/*
 * A peer can hang thousands of epoll sets on its copy of our bell, and each of
 * our rings then walks all of them. One that took long may have been preempted;
 * so the next ones are measured by the time that this thread has run, and a
 * peer whose rings stay dear is left.
 */
static void judge_price(struct peal_end *end, uint64_t price)
{
	if (end->suspect == 0) {
		if (price >= PEAL_DEAR_NS)
			end->suspect = PEAL_DEAR_LOOKS;
		end->dear = 0;
		return;
	}
	end->suspect--;
	end->dear += price >= PEAL_DEAR_NS;
	if (end->dear >= PEAL_DEAR_LOOKS / 2 && !end->error)
		broken(end);
}

static int ring_and_judge(struct peal_end *end)
{
	clockid_t clock = end->suspect ? CLOCK_THREAD_CPUTIME_ID
				       : CLOCK_MONOTONIC;
	uint64_t began = peal_clock_ns(clock);
	int ret = peal_doorbell_ring(&end->rings);

	judge_price(end, peal_clock_ns(clock) - began);
	return ret;
}

/* A group is among friends, and cheaper than a look at the clock. */
static bool to_be_judged(const struct peal_end *end)
{
	return end->rings.kind != PEAL_DOORBELL_GROUP &&
	       (end->suspect || end->stats.doorbells % JUDGED == 0);
}

int peal_end_ring(struct peal_end *end)
{
	int ret;

	if (end->rings.kind == PEAL_DOORBELL_NONE)
		return 0;
	peal_fence_restore(end);
	ret = to_be_judged(end) ? ring_and_judge(end)
				: peal_doorbell_ring(&end->rings);
	COUNT(end, doorbells);
	if (ret < 0)
		COUNT(end, bell_errors);
	return ret;
}

/*
 * Tell the peer that this end will move no more. It may be asleep below any
 * watermark and the crossing test does not see a state, so it is rung anyway.
 */
static void leave(struct peal_end *end, enum peal_state state, int error)
{
	end->error = error;
	end->limit = end->here; /* so that every call comes to look */
	end->waiting = false;
	/* Release: whoever sees the state sees the last position.
	 * wake.pml: leave_release */
	__atomic_store_n(end->state, (uint64_t)state, __ATOMIC_RELEASE);
	/* Pairs with the fence in peal_end_arm(). wake.pml: leave_fence */
	peal_end_fence();
	peal_end_ring(end); /* wake.pml: leave_ring */
}

/*
 * What is to be told to whoever waits for this end, though the peer will not
 * ring: a reactor listens, and an eventfd or a pipe of our own can be rung by
 * the waiter as well. @return false: there is no way
 */
static bool ring_self(struct peal_end *end)
{
	if (end->stir)
		end->stir(end->waiter);
	else if (end->waits_on.ring_fd >= 0 &&
		 end->waits_on.kind != PEAL_DOORBELL_SOCKET &&
		 end->waits_on.kind != PEAL_DOORBELL_NONE)
		peal_doorbell_ring(&end->waits_on);
	else
		return false;
	return true;
}

static int broken(struct peal_end *end)
{
	leave(end, PEAL_STATE_BROKEN, -EPROTO);
	ring_self(end);
	return end->error;
}

int peal_end_break(struct peal_end *end)
{
	return end->error ? end->error : broken(end);
}

/* Take over the peer's position: loaded once, checked, then private. */
static bool advance(struct peal_end *end)
{
	/* Pairs with the release store in peal_end_publish().
	 * wake.pml: advance_acquire */
	uint64_t limit = load_acquire(end->peer_position) + end->bias;
	uint64_t before = end->limit - end->here;
	uint64_t now = limit - end->here;

	if (now > end->capacity || now < before)
		return false;
	end->limit = limit;
	return true;
}

/* The peer moves no more: what is known now is the last. */
static void over(struct peal_end *end, int reason)
{
	end->ended = true;
	end->end_reason = reason;
	if (end->sender)
		end->limit = end->here; /* nobody takes what it would send */
}

/*
 * Has the peer said that it moves no more? The position comes after.
 * wake.pml: end_acquire
 */
static int look_for_end(struct peal_end *end)
{
	uint64_t state = load_acquire(end->peer_state);

	if (state == PEAL_STATE_OPEN)
		return 0;
	if (state > PEAL_STATE_BROKEN || !advance(end))
		return broken(end);
	over(end, state == PEAL_STATE_FINISHED ? 0 : -EPROTO);
	return 0;
}

ssize_t peal_end_refresh(struct peal_end *end, uint64_t want)
{
	if (end->error)
		return end->error;
	if (!end->position) /* all zero: never attached, or closed */
		return -EPIPE;
	if (!end->ended) {
		if (!advance(end))
			return broken(end);
		if (end->light)
			peal_end_adapt(end); /* may it still be? */
		if (peal_end_known(end) < want && look_for_end(end) < 0)
			return end->error;
	}
	if (end->ended && end->sender)
		return -EPIPE;
	return (ssize_t)peal_end_known(end);
}

/*
 * Who follows the peer item by item has the lines of both go to and fro between
 * two processors for each of them. So where little came, after a few looks in
 * vain, the peer is let get ahead for the length of a pause: temporal slipping
 * (Giacomoni et al., "FastForward for Efficient Pipeline Parallelism", PPoPP
 * 2008).
 */
static bool follows_closely(const struct peal_end *end)
{
	return end->looks > 0 && end->looks < CLOSE_LOOKS &&
	       peal_end_known(end) * end->item_size < CLOSE_BYTES;
}

ssize_t peal_end_look(struct peal_end *end)
{
	ssize_t ret = peal_end_refresh(end, 1);

	if (ret <= 0) {
		end->looks++;
		return ret;
	}
	if (follows_closely(end)) {
		peal_relax();
		ret = peal_end_refresh(end, 1);
	}
	end->looks = 0;
	return ret;
}

void peal_end_hangup(struct peal_end *end, int reason)
{
	if (end->error || end->ended)
		return;
	if (look_for_end(end) < 0 || end->ended)
		return;
	/* wake.pml: hangup_looks */
	if (!advance(end)) {
		broken(end);
		return;
	}
	over(end, reason);
}

/*
 * The peer waits for a position that this end has not reached. Its wake word
 * may be stale or a lie, which costs a bell or an early delivery at most.
 */
bool peal_end_wanted(const struct peal_end *end)
{
	return load_relaxed(end->peer_wake) - end->here - 1 < end->capacity;
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

/* What wakes the peer's epoll sets costs, be it a ring or a read. */
int peal_end_clear(struct peal_end *end)
{
	clockid_t clock;
	uint64_t began;
	int ret;

	if (end->waits_on.kind != PEAL_DOORBELL_SOCKET)
		return peal_doorbell_clear(&end->waits_on);
	clock = end->suspect ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
	began = peal_clock_ns(clock);
	ret = peal_doorbell_clear(&end->waits_on);
	if (ret == -EPROTO && !end->error)
		broken(end);
	judge_price(end, peal_clock_ns(clock) - began);
	return ret;
}

/*
 * The bells that were read may have been for the end that shares them.
 * bell.pml: wake_sibling
 */
static void wake_sibling(struct peal_end *end)
{
	if (!end->sibling)
		return;
	if (end->sibling->stir)
		end->sibling->stir(end->sibling->waiter);
	else
		end->swallowed = end->sibling->waiting;
}

/*
 * An eventfd that is watched edge-triggered needs no clearing, one that is
 * waited on is cleared after the wait. The others fill up, and a ring that
 * finds them full counts as heard; so what we have heard must not fill them.
 * An arm brings a bell for its position, and one of a sender that falls short;
 * if it is for more than the next item, one for each item before that.
 * bell.pml: drain_in_time
 */
static void drain(struct peal_end *end)
{
	const struct peal_doorbell *bell = &end->waits_on;

	if (bell->kind <= PEAL_DOORBELL_EVENTFD ||
	    bell->kind == PEAL_DOORBELL_GROUP)
		return;
	if (end->flooded || ++end->undrained > bell->lazy) {
		peal_end_clear(end);
		end->undrained = 0;
		wake_sibling(end);
	}
	end->flooded = !end->sender && !peal_end_reached(end) &&
		       end->target - end->limit > 1;
}

void peal_end_store(struct peal_end *end)
{
	drain(end); /* bell.pml: drain_first */
	/* What was reached already nobody rings for; and a sender that waits
	 * for more must not be taken for one that waits for less. */
	if (end->armed == end->target || peal_end_reached(end))
		return;
	COUNT(end, stalls);
	end->armed = end->target;
	store_relaxed(end->wake, end->armed); /* wake.pml: arm_store */
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
	return load_acquire(end->peer_position) + end->bias != end->limit ||
	       load_relaxed(end->peer_state) != PEAL_STATE_OPEN;
}

void peal_end_settle(struct peal_end *end, enum peal_found found)
{
	if (end->waiting && peal_end_known(end) > 0)
		COUNT(end, transitions);
	end->waiting = false;
	if (found == PEAL_FOUND_OFFER) { /* not the same again */
		end->offered_here = end->here;
		end->offered_limit = end->limit;
	}
}

/* @return false: the peer could be missed, so there is no sleep */
static bool fence(const struct peal_end *end)
{
	peal_end_fence(); /* wake.pml: arm_fence */
	/* wake.pml: barrier, barrier_first */
	return !peal_end_needs_barrier(end) || peal_fence_barrier();
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

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Where nobody can ring for it, the old position is stored once more; unless
 * it is reached by now, which what is returned says. */
static ssize_t arm_again(struct peal_end *end, uint64_t target)
{
	ssize_t ret;

	end->target = target;
	peal_end_store(end);
	fence(end);
	ret = peal_end_refresh(end, end->capacity + 1);
	if (ret >= 0)
		rouse_receiver(end);
	return ret;
}

ssize_t peal_end_reserve(struct peal_end *end, uint64_t n)
{
	uint64_t want = larger(n, end->watermark), before = end->target;
	bool waiting = end->waiting;
	ssize_t ret;

	ret = peal_end_refresh(end, n);
	if (ret < 0)
		return ret;
	if (n == 0 || n > end->capacity)
		return -EINVAL;
	if ((uint64_t)ret >= n)
		return ret;
	if (waiting && !peal_end_reached(end) && end->armed == end->target &&
	    end->target - (end->here - end->bias) <= want) {
		/* Armed already, for this position or a nearer one.
		 * wake.pml: reserve_nearer */
		end->want = smaller(end->want, want);
		/* The bell for it may have been taken back already, and by
		 * itself it brings no order: look as after any other. */
		if (!fence(end))
			ring_self(end);
		ret = peal_end_refresh(end, end->capacity + 1);
		if (ret < 0 || (uint64_t)ret >= n)
			return ret;
		if (!peal_end_reached(end)) {
			rouse_receiver(end);
			return 0;
		}
	}
	peal_end_aim(end, want, false);
	peal_end_store(end); /* wake.pml: reserve_arm */
	/* Pairs with the fence in peal_end_publish(). */
	if (!fence(end))
		ring_self(end); /* look again, and again */
	ret = peal_end_refresh(end, end->capacity + 1);
	if (ret < 0)
		return ret;
	if ((uint64_t)ret >= n) {
		end->waiting = waiting;
		/* The bell may have been owed for the old position, which
		 * is no longer stored. wake.pml: reserve_told */
		if (waiting && !ring_self(end))
			return arm_again(end, before);
		return ret;
	}
	rouse_receiver(end);
	return 0;
}

ssize_t peal_end_walk(struct peal_end *end, size_t n,
		      size_t (*step)(unsigned char *items, size_t n,
				     void *user),
		      void *user)
{
	ssize_t available = peal_end_refresh(end, n);
	uint64_t most, done = 0;

	if (available < 0)
		return available;
	most = (uint64_t)available < n ? (uint64_t)available : n;
	while (done < most) {
		uint64_t index = (end->here + done) & end->mask;
		uint64_t span = end->wrap - index;
		size_t used;

		if (span > most - done)
			span = most - done;
		used = step(end->items + index * end->item_size, (size_t)span,
			    user);
		done += used;
		if (used < span)
			break;
	}
	if (done > 0)
		peal_end_publish(end, done);
	return (ssize_t)done;
}

int peal_end_set_watermark(struct peal_end *end, size_t n)
{
	if (n == 0 || n > end->capacity)
		return -EINVAL;
	end->watermark = n;
	return 0;
}

void peal_end_stats(const struct peal_end *end, struct peal_ring_stats *stats)
{
	*stats = end->stats;
	stats->items = end->here - end->begin;
}

/*
 * Whoever was here before may have died after it crossed the position that the
 * peer waits for, or left, and before it rang.
 * wake.pml: attach_ring, attach_ended_ring
 */
static bool owes_bell(const struct peal_end *end)
{
	return load_relaxed(end->state) != PEAL_STATE_OPEN ||
	       (end->here != 0 && end->here - load_relaxed(end->peer_wake) <
					  end->capacity - peal_end_known(end));
}

/*
 * The own shared words are read here for the first and last time: what this
 * end has published lives in private memory from now on.
 */
int peal_end_attach(struct peal_end *end, const struct peal_ring *ring,
		    bool sender, const struct peal_doorbell *rings,
		    const struct peal_doorbell *waits_on)
{
	const struct peal_geometry *g = &ring->geometry;
	struct peal_page *own = sender ? ring->sender_page
				       : ring->receiver_page;
	const struct peal_page *peer = sender ? ring->receiver_page
					      : ring->sender_page;
	struct peal_end e = {
		.items = ring->items,
		.mask = g->capacity - 1,
		.wrap = g->flags & PEAL_RING_TWICE ? 2 * g->capacity
						   : g->capacity,
		.item_size = g->item_size,
		.position = &own->position,
		.wake = &own->wake,
		.state = &own->state,
		.counts = own->counts,
		.own_light = &own->light,
		.own_barrier = &own->barrier,
		.peer_light = &peer->light,
		.peer_barrier = &peer->barrier,
		.peer_position = &peer->position,
		.peer_wake = &peer->wake,
		.peer_state = &peer->state,
		.capacity = g->capacity,
		.bias = sender ? g->capacity : 0,
		.watermark = 1,
		.lifeline = -1,
		.watch_fd = -1,
		.sender = sender,
	};

	if (rings)
		e.rings = *rings;
	if (waits_on)
		e.waits_on = *waits_on;
	e.here = e.begin = load_relaxed(e.position);
	e.limit = load_acquire(e.peer_position) + e.bias;
	if (peal_end_known(&e) > e.capacity)
		return -EPROTO;
	if (owes_bell(&e))
		peal_doorbell_ring(&e.rings);
	if (load_relaxed(e.state) != PEAL_STATE_OPEN)
		return -EPIPE;
	/* Unarmed: the peer has reached this position already. */
	e.armed = e.target = e.limit - e.bias;
	store_relaxed(e.wake, e.armed);
	e.offered_here = e.here - 1; /* nothing was */
	peal_fence_init(&e);
	*end = e;
	return 0;
}

void peal_end_finish(struct peal_end *end)
{
	if (end->state && !end->error)
		leave(end, PEAL_STATE_FINISHED, -EPIPE);
	peal_end_unwatch(end);
}
