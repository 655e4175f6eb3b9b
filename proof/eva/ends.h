/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_ENDS_H
#define PEAL_PROOF_ENDS_H
/*
 * A small ring, and one end of it in any state that it can be in
 * between two calls. One call from any such state has to lead to such a state
 * again: then any number of calls do. The peer's page, and for a receiver the
 * items, are const: whoever writes there is told.
 */
#include "../../ring/endpoint.h"
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
		.capacity = CAPACITY,
		.bias = sender ? CAPACITY : 0,
		.lifeline = any_bool() ? any_int(0, 1000) : -1,
		.sender = sender,
		.fenced = any_between(0, UINT64_MAX / 2),
		.watch_fd = any_int(-1, 1000),
		.lighten_at = eva_word,
		.light = any_bool(),
		.may_light = any_bool(),
		.barriers = any_bool(),
		.fresh = any_bool(),
		.unsure = any_bool(),
		.watermark = any_between(1, CAPACITY),
		.spin = any_bool() ? eva_word : 0,
		.want = any_between(1, CAPACITY),
		.target = eva_word,
		.armed = eva_word,
		.offered_here = eva_word,
		.offered_limit = eva_word,
		.suspect = any_int(0, PEAL_DEAR_LOOKS),
		.waiting = any_bool(),
		.flooded = any_bool(),
		.swallowed = any_bool(),
		.marooned = any_bool(),
		.undrained = (unsigned)any_int(0, 64),
	};
	e->dear = any_int(0, PEAL_DEAR_LOOKS);
	e->rings.kind = (enum peal_doorbell_kind)any_int(0, 3);
	e->waits_on.kind = (enum peal_doorbell_kind)any_int(0, 3);
	e->waits_on.lazy = (unsigned)any_int(0, 32);
	e->rings.ring_fd = e->waits_on.ring_fd = any_int(-1, 1000);
}

/* Between two calls: `known` items from a position on, or it is over. */
static inline void any_progress(struct peal_end *e, uint64_t here,
				uint64_t known)
{
	e->here = here;
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
	//@ assert watermark: 1 <= e->watermark <= CAPACITY;
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
