/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_PAIR_H
#define PEAL_TESTS_PAIR_H
/*
 * What the tests of rings have in common: a ring with a sender, a receiver
 * and an eventfd for each, in plain memory or in memory mapped twice in a row.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <peal/mem.h>
#include <peal/ring.h>

#include "../ring/endpoint.h"
#include "harness.h"

struct pair {
	struct peal_mem mem; /* if it is mapped twice, */
	void *memory;	     /* and if it is not */
	struct peal_ring ring;
	struct peal_doorbell data, space;
	struct peal_sender tx;
	struct peal_receiver rx;
	/* The pages as any process sees them. */
	struct peal_page *tx_page, *rx_page;
};

/* How often a bell was rung since the last look. */
static inline int rings(const struct peal_doorbell *bell)
{
	uint64_t n;

	return read(bell->wait_fd, &n, sizeof(n)) == sizeof(n) ? (int)n : 0;
}

static inline void pair_attach(struct pair *pair)
{
	CHECK_EQ(peal_sender_attach(&pair->tx, &pair->ring, &pair->data,
				    &pair->space),
		 0);
	CHECK_EQ(peal_receiver_attach(&pair->rx, &pair->ring, &pair->data,
				      &pair->space),
		 0);
	/* Where positions have moved before, the peer may be rung. */
	rings(&pair->data);
	rings(&pair->space);
}

/* An empty ring whose next item has this position. */
static inline void pair_start_at(struct pair *pair, uint64_t position)
{
	pair->tx_page->position = pair->rx_page->position = position;
	pair_attach(pair);
}

static inline void pair_format(struct pair *pair,
			       const struct peal_geometry *geometry,
			       void *memory)
{
	CHECK_EQ(
		peal_ring_format(&pair->ring, geometry, memory,
				 geometry->head + peal_geometry_body(geometry)),
		0);
	pair->tx_page = pair->ring.sender_page;
	pair->rx_page = pair->ring.receiver_page;
	CHECK_EQ(peal_doorbell_init(&pair->data, PEAL_DOORBELL_EVENTFD), 0);
	CHECK_EQ(peal_doorbell_init(&pair->space, PEAL_DOORBELL_EVENTFD), 0);
	pair_attach(pair);
}

static inline void pair_make(struct pair *pair, uint64_t capacity,
			     uint64_t item_size)
{
	struct peal_geometry geometry = { .capacity = capacity,
					  .item_size = item_size };

	memset(pair, 0, sizeof(*pair));
	CHECK_EQ(peal_geometry_fit(&geometry, 0), 0);
	/* Exactly what it needs, for those who watch every byte. */
	pair->memory = malloc(PEAL_RING_SIZE(geometry.capacity, item_size));
	CHECK(pair->memory != NULL);
	pair_format(pair, &geometry, pair->memory);
}

static inline void pair_make_twice(struct pair *pair, uint64_t capacity,
				   uint64_t item_size)
{
	struct peal_geometry geometry = { .capacity = capacity,
					  .item_size = item_size };

	memset(pair, 0, sizeof(*pair));
	CHECK_EQ(peal_geometry_fit(&geometry, peal_mem_page(0)), 0);
	CHECK_EQ(peal_mem_create(&pair->mem, "pair", geometry.head,
				 peal_geometry_body(&geometry), PEAL_MEM_TWICE),
		 0);
	pair_format(pair, &geometry, pair->mem.base);
}

static inline void pair_free(struct pair *pair)
{
	peal_end_unwatch(&pair->tx.end);
	peal_end_unwatch(&pair->rx.end);
	peal_doorbell_finish(&pair->data);
	peal_doorbell_finish(&pair->space);
	peal_mem_finish(&pair->mem);
	free(pair->memory);
}

/* Put in the n numbers from `first` on; they have to fit. */
static inline void put_numbers(struct peal_sender *tx, int first, int n)
{
	for (int i = first; i < first + n; i++)
		CHECK_EQ(peal_sender_put(tx, &i, 1), 1);
}

/* Take out n numbers; they have to be those from `first` on. */
static inline void get_numbers(struct peal_receiver *rx, int first, int n)
{
	for (int i = first; i < first + n; i++) {
		int item = -1;

		CHECK_EQ(peal_receiver_get(rx, &item, 1), 1);
		CHECK_EQ(item, i);
	}
}

#endif
