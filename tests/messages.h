/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_MESSAGES_H
#define PEAL_TESTS_MESSAGES_H
/*
 * What the tests of messages have in common: messages that can be told from
 * one another by each of their bytes, sent and received, in a pair of ends.
 */
#include <errno.h>
#include <string.h>

#include <peal/message.h>

#include "pair.h"

/* Both kinds of memory: `for (FOR_BOTH(twice))`. */
#define FOR_BOTH(twice)                                                        \
	int twice = 0;                                                         \
	twice < 2;                                                             \
	twice++

#define UNIT 8
#define TEXT_MAX 65536

static inline void pair_make_units(struct pair *pair, bool twice,
				   uint64_t capacity)
{
	if (twice)
		pair_make_twice(pair, capacity, UNIT);
	else
		pair_make(pair, capacity, UNIT);
}

static inline uint64_t units(const struct pair *pair)
{
	return pair->ring.geometry.capacity;
}

/* A header, and what a peer may do at any time. */
static inline uint64_t header(uint32_t length, uint32_t kind)
{
	return (uint64_t)kind << 32 | length;
}

static inline void store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static inline uint64_t *word_at(const struct pair *pair, uint64_t position)
{
	uint64_t *items = pair->ring.items;

	return &items[position & (units(pair) - 1)];
}

/* The bytes of a message, up to TEXT_MAX: another window for each number. */
static inline const unsigned char *text_of(uint64_t number)
{
	static unsigned char table[TEXT_MAX + 4096];
	static bool made;

	if (!made) {
		uint64_t state = 1;

		for (size_t i = 0; i < sizeof(table); i++)
			table[i] = (unsigned char)(test_random(&state) >> 32);
		made = true;
	}
	return table + number * 61 % 4096;
}

/* Any of 32 bits, those of a wrap record among them. */
static inline uint32_t kind_of(uint64_t number)
{
	return number % 16 == 15 ? UINT32_MAX
				 : (uint32_t)number * UINT32_C(2654435761);
}

/* Fill in what was reserved; the caller commits or stages it. */
static inline void fill_text(void *room, uint64_t number, size_t size)
{
	CHECK((uintptr_t)room % UNIT == 0);
	memcpy(room, text_of(number), size);
}

/* Send a message, for which there has to be room. */
static inline void send_text(struct pair *pair, uint64_t number, size_t size)
{
	CHECK_EQ(peal_message_send(&pair->tx, kind_of(number), text_of(number),
				   size, 0),
		 0);
}

static inline void stage_text(struct pair *pair, uint64_t number, size_t size)
{
	void *room;

	CHECK_EQ(peal_message_reserve(&pair->tx, size, &room), 1);
	fill_text(room, number, size);
	CHECK_EQ(peal_message_stage(&pair->tx, kind_of(number), size), 0);
}

/* In the ring's memory, or in its second mapping, and never beyond. */
static inline void check_place(const struct pair *pair,
			       const struct peal_message *m)
{
	const unsigned char *data = m->data, *items = pair->ring.items;
	size_t body = peal_geometry_body(&pair->ring.geometry);

	if (pair->ring.geometry.flags & PEAL_RING_TWICE)
		body *= 2;
	CHECK((uintptr_t)data % UNIT == 0);
	CHECK(data >= items + UNIT);
	CHECK(data <= items + body);
	CHECK(m->size <= (size_t)(items + body - data));
}

static inline void check_text(const struct peal_message *m, uint64_t number,
			      size_t size)
{
	CHECK_EQ(m->size, size);
	CHECK_EQ(m->kind, kind_of(number));
	CHECK(memcmp(m->data, text_of(number), size) == 0);
}

/* Find the first message, which has to be this one; it is not released. */
static inline void peek_text(struct pair *pair, struct peal_message *m,
			     uint64_t number, size_t size)
{
	CHECK_EQ(peal_message_peek(&pair->rx, m), 1);
	check_place(pair, m);
	check_text(m, number, size);
}

static inline void next_text(struct pair *pair, struct peal_message *m,
			     uint64_t number, size_t size)
{
	CHECK_EQ(peal_message_next(&pair->rx, m), 1);
	check_place(pair, m);
	check_text(m, number, size);
}

/* Take the first message out; it has to be this one. */
static inline void take_text(struct pair *pair, uint64_t number, size_t size)
{
	struct peal_message m;

	peek_text(pair, &m, number, size);
	CHECK_EQ(peal_message_release(&pair->rx, &m), 0);
}

static inline void check_empty(struct pair *pair)
{
	struct peal_message m;

	CHECK_EQ(peal_message_peek(&pair->rx, &m), 0);
	CHECK_EQ(peal_receiver_used(&pair->rx), 0);
}

#endif
