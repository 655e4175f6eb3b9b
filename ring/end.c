/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One end of a ring: its position, and what of the other end's it believes. How
 * it waits is in arm.c.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "endpoint.h"
#include "walk.h"

/* See follows_closely(): a few lines, and some 100 ns. */
#define CLOSE_BYTES 256
#define CLOSE_LOOKS 16

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
	peal_tsan_release(end->state);
	__atomic_store_n(end->state, (uint64_t)state, __ATOMIC_RELEASE);
	/* Pairs with the fence in peal_end_arm(). wake.pml: leave_fence */
	peal_end_fence();
	peal_end_ring(end); /* wake.pml: leave_ring */
}

static int broken(struct peal_end *end)
{
	leave(end, PEAL_STATE_BROKEN, -EPROTO);
	peal_end_ring_self(end);
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
	uint64_t limit = peal_load_acquire(end->peer_position) + end->bias;
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
	uint64_t state = peal_load_acquire(end->peer_state);

	if (state == PEAL_STATE_OPEN)
		return 0;
	if (state > PEAL_STATE_BROKEN || !advance(end))
		return broken(end);
	over(end, state == PEAL_STATE_FINISHED ? 0 : -EPROTO);
	return 0;
}

/* What was loaded with acquire, and whose end it is. */
static __attribute__((noinline, cold)) ssize_t tell_tsan(
	const struct peal_end *end, ssize_t ret)
{
	peal_tsan_acquire(end->peer_position);
	peal_tsan_acquire(end->peer_state);
	peal_tsan_write(&end->here);
	return ret;
}

ssize_t peal_end_refresh(struct peal_end *end, uint64_t want)
{
	ssize_t ret;

	if (end->error)
		return end->error;
	if (!end->position) /* all zero: never attached, or closed */
		return -EPIPE;
	if (!end->ended) {
		if (!advance(end))
			return broken(end);
		if (end->light)
			peal_end_adapt(end); /* may it still be? */
		ret = (ssize_t)peal_end_known(end);
		if (peal_end_known(end) >= want)
			goto out;
		if (look_for_end(end) < 0)
			return end->error;
	}
	ret = end->ended && end->sender ? -EPIPE : (ssize_t)peal_end_known(end);
out:
	if (peal_tsan_listens())
		return tell_tsan(end, ret);
	return ret;
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
	if (end->error || end->ended || !end->position)
		return;
	if (look_for_end(end) < 0 || end->ended)
		return;
	/* wake.pml: hangup_looks */
	if (!advance(end)) {
		broken(end);
		return;
	}
	over(end, reason);
	tell_tsan(end, 0);
}

/*
 * A sender's walk with less room than it needs: use what there is, and arm for
 * more, as a reserve does. What is released in between is used as well: no bell
 * is owed for it.
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
		if (ret < 0) /* nobody else will ring for that */
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
	return peal_load_relaxed(end->state) != PEAL_STATE_OPEN ||
	       (end->here != 0 &&
		end->here - peal_load_relaxed(end->peer_wake) <
			end->capacity - peal_end_known(end));
}

/* Where all of it is, and nothing of what it says. */
static struct peal_end lay_out(const struct peal_ring *ring, bool sender)
{
	const struct peal_geometry *g = &ring->geometry;
	struct peal_page *own = sender ? ring->sender_page
				       : ring->receiver_page;
	const struct peal_page *peer = sender ? ring->receiver_page
					      : ring->sender_page;

	return (struct peal_end){
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
}

/*
 * The own shared words are read here for the first and last time: what this
 * end has published lives in private memory from now on.
 */
int peal_end_attach(struct peal_end *end, const struct peal_ring *ring,
		    bool sender, const struct peal_doorbell *rings,
		    const struct peal_doorbell *waits_on)
{
	struct peal_page *own = sender ? ring->sender_page
				       : ring->receiver_page;
	struct peal_end e = lay_out(ring, sender);

	if (rings)
		e.rings = *rings;
	if (waits_on)
		e.waits_on = *waits_on;
	e.here = e.begin = peal_load_relaxed(e.position);
	e.limit = peal_load_acquire(e.peer_position) + e.bias;
	if (peal_end_known(&e) > e.capacity)
		return -EPROTO;
	if (owes_bell(&e))
		peal_doorbell_ring(&e.rings);
	if (peal_load_relaxed(e.state) != PEAL_STATE_OPEN)
		return -EPIPE;
	/* Unarmed: the peer has reached this position already. */
	e.armed = e.target = e.limit - e.bias;
	peal_store_relaxed(e.wake, e.armed);
	peal_store_relaxed(&own->pid, (uint64_t)getpid());
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
