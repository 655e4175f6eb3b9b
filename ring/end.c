/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One end of a ring: its own position, and the checked copy of its peer's
 * position. How an end waits is in arm.c.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* See follows_closely(): a few cache lines, and some 100 ns of refreshes. */
#define CLOSE_BYTES 256
#define CLOSE_REFRESHES 16

/*
 * Tell the peer that this end will move no more. The peer may sleep until its
 * watermark is reached, and the crossing test does not see a change of `state`.
 * So this end rings in any case.
 */
static void leave(struct peal_end *end, enum peal_state state, int error)
{
	end->error = error;
	end->limit = end->position; /* so that every call refreshes, and finds
				       the error */
	end->wait.active = false;
	/* Release: a peer that sees the state sees the last position.
	 * wake.pml: leave_release */
	peal_tsan_release(&end->own->state);
	__atomic_store_n(&end->own->state, (uint64_t)state, __ATOMIC_RELEASE);
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

/* Load the peer's position once, check it, then keep it in private memory. */
static bool advance(struct peal_end *end)
{
	/* Pairs with the release store in peal_end_publish().
	 * wake.pml: advance_acquire */
	uint64_t limit = peal_load_acquire(&end->peer->position) + end->bias;
	uint64_t before = end->limit - end->position;
	uint64_t now = limit - end->position;

	if (now > end->capacity || now < before)
		return false;
	end->limit = limit;
	return true;
}

/* The peer moves no more, so the limit is final. */
static void over(struct peal_end *end, int reason)
{
	end->ended = true;
	end->end_reason = reason;
	if (end->sender)
		end->limit = end->position; /* no receiver takes more items */
}

/*
 * Has the peer said that it moves no more? Load the peer's position after the
 * peer's state.
 * wake.pml: end_acquire
 */
static int refresh_state(struct peal_end *end)
{
	uint64_t state = peal_load_acquire(&end->peer->state);

	if (state == PEAL_STATE_OPEN)
		return 0;
	if (state > PEAL_STATE_BROKEN || !advance(end))
		return broken(end);
	over(end, state == PEAL_STATE_FINISHED ? 0 : -EPROTO);
	return 0;
}

/* Tell ThreadSanitizer which words this end has loaded with acquire, and which
 * thread uses this end. */
static __attribute__((noinline, cold)) ssize_t tell_tsan(
	const struct peal_end *end, ssize_t ret)
{
	peal_tsan_acquire(&end->peer->position);
	peal_tsan_acquire(&end->peer->state);
	peal_tsan_write(&end->position);
	return ret;
}

ssize_t peal_end_refresh(struct peal_end *end, uint64_t want)
{
	ssize_t ret;

	if (end->error)
		return end->error;
	if (!end->own) /* all zero: never attached, or closed */
		return -EPIPE;
	if (!end->ended) {
		if (!advance(end))
			return broken(end);
		if (end->fence.elided)
			peal_end_adapt(end); /* the peer may have withdrawn its
						offer */
		ret = (ssize_t)peal_end_known(end);
		if (peal_end_known(end) >= want)
			goto out;
		if (refresh_state(end) < 0)
			return end->error;
	}
	ret = end->ended && end->sender ? -EPIPE : (ssize_t)peal_end_known(end);
out:
	if (peal_tsan_listens())
		return tell_tsan(end, ret);
	return ret;
}

/*
 * An end that follows the peer item by item makes the cache lines of both ends
 * go to and fro between two processors for each item. So if few items came
 * after a few empty refreshes, this end pauses once and lets the peer get
 * ahead. This is temporal slipping (Giacomoni et al., "FastForward for
 * Efficient Pipeline Parallelism", PPoPP 2008).
 */
static bool follows_closely(const struct peal_end *end)
{
	return end->wait.empty_refreshes > 0 &&
	       end->wait.empty_refreshes < CLOSE_REFRESHES &&
	       peal_end_known(end) * end->item_size < CLOSE_BYTES;
}

ssize_t peal_end_refresh_paced(struct peal_end *end)
{
	ssize_t ret = peal_end_refresh(end, 1);

	if (ret <= 0) {
		end->wait.empty_refreshes++;
		return ret;
	}
	if (follows_closely(end)) {
		peal_relax();
		ret = peal_end_refresh(end, 1);
	}
	end->wait.empty_refreshes = 0;
	return ret;
}

void peal_end_hangup(struct peal_end *end, int reason)
{
	if (end->error || end->ended || !end->own)
		return;
	if (refresh_state(end) < 0 || end->ended)
		return;
	/* wake.pml: hangup_advance */
	if (!advance(end)) {
		broken(end);
		return;
	}
	over(end, reason);
	tell_tsan(end, 0);
}

void peal_end_stats(const struct peal_end *end, struct peal_ring_stats *stats)
{
	*stats = end->stats;
	stats->items = end->position - end->first_position;
}

/*
 * The process that had this end before may have crossed the position that the
 * peer waits for, or finished the stream, and then died before it rang.
 * wake.pml: attach_ring, attach_ended_ring
 */
static bool owes_bell(const struct peal_end *end)
{
	return peal_load_relaxed(&end->own->state) != PEAL_STATE_OPEN ||
	       (end->position != 0 &&
		end->position - peal_load_relaxed(&end->peer->wake) <
			end->capacity - peal_end_known(end));
}

/* Fill in where the parts of the ring lie. This reads no shared word. */
static struct peal_end lay_out(const struct peal_ring *ring, bool sender)
{
	const struct peal_geometry *g = &ring->geometry;

	return (struct peal_end){
		.items = ring->items,
		.mask = g->capacity - 1,
		.wrap = g->flags & PEAL_RING_TWICE ? 2 * g->capacity
						   : g->capacity,
		.item_size = g->item_size,
		.own = sender ? ring->sender_page : ring->receiver_page,
		.peer = sender ? ring->receiver_page : ring->sender_page,
		.capacity = g->capacity,
		.bias = sender ? g->capacity : 0,
		.wait = {
			.watermark = 1,
			.lifeline = -1,
			.epoll_fd = -1,
		},
		.sender = sender,
	};
}

/*
 * This end reads its own shared words here, for the first and last time. From
 * now on its position lives in private memory.
 */
int peal_end_attach(struct peal_end *end, const struct peal_ring *ring,
		    bool sender, const struct peal_doorbell *peer_bell,
		    const struct peal_doorbell *own_bell)
{
	struct peal_end e = lay_out(ring, sender);

	if (peer_bell)
		e.bell.peer = *peer_bell;
	if (own_bell)
		e.bell.own = *own_bell;
	e.position = e.first_position = peal_load_relaxed(&e.own->position);
	e.limit = peal_load_acquire(&e.peer->position) + e.bias;
	if (peal_end_known(&e) > e.capacity)
		return -EPROTO;
	if (owes_bell(&e))
		peal_doorbell_ring(&e.bell.peer);
	if (peal_load_relaxed(&e.own->state) != PEAL_STATE_OPEN)
		return -EPIPE;
	/* The peer has reached this position already, so this end is unarmed.
	 */
	e.wait.armed = e.wait.target = e.limit - e.bias;
	peal_store_relaxed(&e.own->wake, e.wait.armed);
	peal_store_relaxed(&e.own->pid, (uint64_t)getpid());
	e.wait.offered_position = e.position - 1; /* nothing was offered */
	peal_fence_init(&e);
	*end = e;
	return 0;
}

void peal_end_unwatch(struct peal_end *end)
{
	if (!end->own || end->wait.epoll_fd < 0)
		return;
	close(end->wait.epoll_fd);
	end->wait.epoll_fd = -1;
}

void peal_end_finish(struct peal_end *end)
{
	if (end->own && !end->error)
		leave(end, PEAL_STATE_FINISHED, -EPIPE);
	peal_end_unwatch(end);
}

void peal_end_detach(struct peal_end *end)
{
	memset(&end->bell.peer, 0, sizeof(end->bell.peer));
	memset(&end->bell.own, 0, sizeof(end->bell.own));
	end->bell.sibling = NULL;
	end->detached = true;
	end->wait.lifeline = -1;
	end->wait.active = false;
	if (end->error)
		return;
	end->ended = false;
	/* The next call that needs items refreshes. */
	end->limit = end->position;
}
