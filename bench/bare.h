/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_BARE_H
#define PEAL_BENCH_BARE_H
/*
 * What peal is compared with, in as few lines as can be.
 *
 * bare: a head/tail ring with cached positions and no notification; the limit
 * for streaming.
 *
 * count: one word that both sides add to and subtract from, as in the
 * originals of this library, with an eventfd that is written whenever it goes
 * from 0 up or from full down.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The two words are 256 bytes apart, the items begin on the next page. */
#define BARE_HEAD 4096

/* One side of it. */
struct bare {
	unsigned char *items;
	uint64_t here, limit, mask;
	size_t item_size;
	uint64_t *own;
	const uint64_t *peer;
	uint64_t bias; /* of a sender: the capacity */
};

static inline void bare_init(struct bare *r, void *memory, uint64_t capacity,
			     size_t item_size, bool sender)
{
	uint64_t *tail = memory;
	uint64_t *head = (uint64_t *)((char *)memory + 256);

	*r = (struct bare){
		.items = (unsigned char *)memory + BARE_HEAD,
		.mask = capacity - 1,
		.limit = sender ? capacity : 0,
		.bias = sender ? capacity : 0,
		.item_size = item_size,
		.own = sender ? tail : head,
		.peer = sender ? head : tail,
	};
}

/* Items that are there, or free, in one span; 0 for now. */
static inline uint64_t bare_peek(struct bare *r, unsigned char **items)
{
	uint64_t index = r->here & r->mask, span = r->mask + 1 - index;

	if (r->limit == r->here) {
		r->limit = __atomic_load_n(r->peer, __ATOMIC_ACQUIRE) + r->bias;
		if (r->limit == r->here)
			return 0;
	}
	*items = r->items + index * r->item_size;
	return r->limit - r->here < span ? r->limit - r->here : span;
}

static inline void bare_move(struct bare *r, uint64_t n)
{
	r->here += n;
	__atomic_store_n(r->own, r->here, __ATOMIC_RELEASE);
}

/* One side of the other. */
struct count {
	unsigned char *items;
	uint64_t here, mask;
	size_t item_size;
	uint64_t *used;
	bool sender;
};

static inline void count_init(struct count *r, void *memory, uint64_t capacity,
			      size_t item_size, bool sender)
{
	*r = (struct count){
		.items = (unsigned char *)memory + BARE_HEAD,
		.mask = capacity - 1,
		.item_size = item_size,
		.used = memory,
		.sender = sender,
	};
}

static inline uint64_t count_peek(struct count *r, unsigned char **items)
{
	uint64_t used = __atomic_load_n(r->used, __ATOMIC_SEQ_CST);
	uint64_t n = r->sender ? r->mask + 1 - used : used;
	uint64_t index = r->here & r->mask, span = r->mask + 1 - index;

	*items = r->items + index * r->item_size;
	return n < span ? n : span;
}

/* @return true: the other side may be asleep */
static inline bool count_move(struct count *r, uint64_t n)
{
	r->here += n;
	if (r->sender)
		return __atomic_fetch_add(r->used, n, __ATOMIC_SEQ_CST) == 0;
	return __atomic_fetch_sub(r->used, n, __ATOMIC_SEQ_CST) == r->mask + 1;
}

#endif
