/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_ENDS_H
#define PEAL_PROOF_ENDS_H
/*
 * A small ring, and one end of it in any state that it can be in
 * between two calls. One call from any such state has to lead to such a state
 * again: then any number of calls do. The peer's page, and for a receiver the
 * items, are const: whoever writes there is told.
 */
#include "../../ring/internal.h"
#include "any.h"

#ifndef CAPACITY
#define CAPACITY 2
#endif
#define ITEM 8

static uint64_t eva_sink;
/* What of an end never changes, and where its words are. */
static inline void any_end(struct peal_end *e, struct peal_page *own,
			   const struct peal_page *peer, void *items,
			   bool sender, bool twice)
{
	*e = (struct peal_end){
		.items = items,
		.mask = CAPACITY - 1,
		.wrap = twice ? 2 * CAPACITY : CAPACITY,
		.item_size = ITEM,
		.own = own,
		.peer = peer,
		.fence = {
			.elided = any_bool(),
			.offered = any_bool(),
			.publishes = any_between(0, UINT64_MAX / 2),
			.elide_after = eva_word,
		},
		.capacity = CAPACITY,
		.bias = sender ? CAPACITY : 0,
		.wait = {
			.watermark = any_between(1, CAPACITY),
			.want = any_between(1, CAPACITY),
			.target = eva_word,
			.armed = eva_word,
			.offered_position = eva_word,
			.offered_limit = eva_word,
			.spin_ns = any_bool() ? eva_word : 0,
			.recheck = (enum peal_recheck)any_int(0, 2),
			.epoll_fd = any_int(-1, 1000),
			.lifeline = any_bool() ? any_int(0, 1000) : -1,
			.active = any_bool(),
		},
		.bell = {
			.arms_since_clear = (unsigned)any_int(0, 64),
			.overflow = any_bool(),
			.cleared_siblings = any_bool(),
			.rings_to_time = any_int(0, PEAL_TIMED_RINGS),
		},
		.detached = any_bool(),
		.sender = sender,
	};
	e->bell.slow_rings = any_int(0, PEAL_TIMED_RINGS);
	e->bell.peer.kind = (enum peal_doorbell_kind)any_int(0, 3);
	e->bell.own.kind = (enum peal_doorbell_kind)any_int(0, 3);
	e->bell.own.drain_every = (unsigned)any_int(0, 32);
	e->bell.peer.ring_fd = e->bell.own.ring_fd = any_int(-1, 1000);
}

/* Between two calls: `known` items from a position on, or it is over. */
static inline void any_progress(struct peal_end *e, uint64_t here,
				uint64_t known)
{
	e->position = here;
	e->limit = here + known;
	e->ended = any_bool();
	e->end_reason = any_error();
	if (e->ended && e->sender)
		e->limit = here;
	e->error = any_bool() ? 0 : any_bool() ? -EPROTO : -EPIPE;
}

static inline void check_end(const struct peal_end *e)
{
	//@ assert mask: e->mask == CAPACITY - 1;
	//@ assert error: e->error <= 0;
	//@ assert watermark: 1 <= e->wait.watermark <= CAPACITY;
}

/* A position near to where it was, by number; then those below and above. */
#define CASES (CAPACITY + 3)

static inline uint64_t position(uint64_t from, int which)
{
	if (which <= CAPACITY)
		return from + (uint64_t)which;
	if (from + CAPACITY < from)
		return any_between(from + CAPACITY + 1, from - 1);
	return which == CAPACITY + 1 && from > 0
		       ? any_between(0, from - 1)
		       : any_between(from + CAPACITY + 1, UINT64_MAX);
}

typedef void try_function(uint64_t here, uint64_t known, bool twice);

/*
 * From all places in the ring, and one where positions run over, with all that
 * is found at the first look.
 */
static inline void try_places(try_function *try, const uint64_t *word,
			      bool sender)
{
	eva_position = word;
	//@ loop unroll CAPACITY + 1;
	for (uint64_t i = 0; i <= CAPACITY; i++) {
		uint64_t here = i < CAPACITY ? 2 * CAPACITY + i : UINT64_MAX;
		uint64_t from = here - (sender ? CAPACITY : 0);

		//@ loop unroll CASES;
		for (int first = 0; first < CASES; first++)
			//@ loop unroll 2 * (CAPACITY + 1);
			for (uint64_t j = 0; j < 2 * (CAPACITY + 1); j++) {
				eva_told = false;
				eva_first = position(from, first);
				try(here, j / 2, j % 2);
			}
	}
}

#endif
