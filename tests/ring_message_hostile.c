/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A sender that writes what it likes into the memory that it shares: lengths
 * that cannot be are found out before they are used, and all that can be is
 * harmless.
 */
#include <peal/local.h>

#include "../ring/internal.h"
#include "fixtures/messages.h"

static void check_broken(struct pair *p)
{
	struct peal_message m = { 0 }, before = m;
	void *room;

	CHECK_EQ(peal_message_peek(&p->rx, &m), -EPROTO);
	CHECK_EQ(peal_message_receive(&p->rx, -1, &m), -EPROTO);
	CHECK_EQ(peal_message_next(&p->rx, &m), -EPROTO);
	CHECK(memcmp(&m, &before, sizeof(m)) == 0);
	CHECK_EQ(peal_receiver_used(&p->rx), -EPROTO);
	/* The peer is told, and rung, once. */
	CHECK_EQ(p->rx_page->state, 2);
	CHECK_EQ(rings(&p->space), 1);
	CHECK_EQ(peal_sender_free(&p->tx), -EPIPE);
	CHECK_EQ(peal_message_wait(&p->tx, 0, -1, &room), -EPIPE);
	peal_receiver_hangup(&p->rx);
	peal_receiver_finish(&p->rx);
	CHECK_EQ(peal_message_peek(&p->rx, &m), -EPROTO);
	CHECK_EQ(rings(&p->space), 0);
}

/* -- lengths */

/* Two messages of 8 bytes at `start`; the header of one is written over. */
static void make_two(struct pair *p, bool twice, uint64_t start)
{
	pair_make_units(p, twice, 64);
	pair_start_at(p, start);
	send_text(p, 0, 8);
	send_text(p, 1, 8);
}

static const uint32_t impossible[] = {
	25, /* one byte more than is published */
	26,	    248,	505,	    512,	1024,
	0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffff1, 0xfffffff7,
	0xfffffff8, 0xfffffff9, 0xfffffffe, 0xffffffff,
};

#define IMPOSSIBLE (sizeof(impossible) / sizeof(*impossible))

TEST(impossible_length_breaks_the_receiver_for_good)
{
	for (FOR_BOTH(twice)) {
		for (size_t i = 0; i < IMPOSSIBLE; i++) {
			struct peal_message m;
			struct pair p;

			make_two(&p, twice, 20);
			store(word_at(&p, 20), header(impossible[i], 0));
			CHECK_EQ(peal_message_peek(&p.rx, &m), -EPROTO);
			/* Good behaviour comes too late. */
			store(word_at(&p, 20), header(8, 0));
			check_broken(&p);
			CHECK_EQ(p.rx_page->position, 20);
			pair_free(&p);
		}
	}
}

TEST(impossible_length_is_found_out_while_walking)
{
	for (FOR_BOTH(twice)) {
		for (size_t i = 0; i < IMPOSSIBLE; i++) {
			struct peal_message m, first;
			struct pair p;

			make_two(&p, twice, 20);
			store(word_at(&p, 22),
			      header(i == 0 ? 9 : impossible[i], 0));
			peek_text(&p, &m, 0, 8);
			first = m;
			CHECK_EQ(peal_message_next(&p.rx, &m), -EPROTO);
			CHECK(memcmp(&m, &first, sizeof(m)) == 0);
			CHECK_EQ(peal_message_release(&p.rx, &first), -EPROTO);
			CHECK_EQ(p.rx_page->position, 20);
			check_broken(&p);
			pair_free(&p);
		}
	}
}

TEST(impossible_state_is_found_out_where_there_is_no_message)
{
	struct peal_message m;
	struct pair p;

	pair_make(&p, 64, UNIT);
	store(&p.tx_page->state, 3);
	CHECK_EQ(peal_message_peek(&p.rx, &m), -EPROTO);
	store(&p.tx_page->state, 0);
	check_broken(&p);
	pair_free(&p);
}

TEST(receiver_is_declared_broken_once)
{
	struct pair p;

	make_two(&p, false, 20);
	CHECK_EQ(peal_end_break(&p.rx.end), -EPROTO);
	CHECK_EQ(peal_end_break(&p.rx.end), -EPROTO);
	check_broken(&p);
	pair_free(&p);

	make_two(&p, false, 20);
	peal_receiver_finish(&p.rx);
	CHECK_EQ(rings(&p.space), 1);
	CHECK_EQ(peal_end_break(&p.rx.end), -EPIPE);
	CHECK_EQ(rings(&p.space), 0);
	CHECK_EQ(p.rx_page->state, 1);
	pair_free(&p);
}

TEST(longest_length_that_can_be_is_no_error)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m;
		struct pair p;

		make_two(&p, twice, 20);
		store(word_at(&p, 20), header(24, 0));
		CHECK_EQ(peal_message_peek(&p.rx, &m), 1);
		CHECK_EQ(m.size, 24);
		CHECK_EQ(peal_message_next(&p.rx, &m), 0);
		CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		check_empty(&p);
		pair_free(&p);
	}
}

TEST(length_that_leads_beyond_the_end_of_memory_breaks_the_receiver)
{
	for (uint32_t length = 0; length < 64; length++) {
		struct peal_message m;
		struct pair p;
		int ret;

		pair_make(&p, 64, UNIT);
		pair_start_at(&p, 60);
		store(word_at(&p, 60), header(length, 0));
		store(&p.tx_page->position, 60 + 20);
		ret = peal_message_peek(&p.rx, &m);
		if (length > 24) {
			CHECK_EQ(ret, -EPROTO);
			check_broken(&p);
		} else {
			CHECK_EQ(ret, 1);
			check_place(&p, &m);
		}
		pair_free(&p);
	}
}

TEST(header_of_all_ones_breaks_the_receiver)
{
	for (FOR_BOTH(twice)) {
		for (uint64_t start = 0; start < 64; start++) {
			struct peal_message m;
			struct pair p;

			make_two(&p, twice, start);
			store(word_at(&p, start), UINT64_MAX);
			CHECK_EQ(peal_message_peek(&p.rx, &m), -EPROTO);
			check_broken(&p);
			pair_free(&p);
		}
	}
}

/* -- wrap records */

/* What follows a place that is so far from the end, and 10 units more. */
static int peek_wrap(struct pair *p, bool twice, uint64_t rest, uint32_t count)
{
	struct peal_message m;
	uint64_t at;

	pair_make_units(p, twice, 64);
	at = units(p) - rest;
	pair_start_at(p, at);
	memset(p->ring.items, 0, peal_geometry_body(&p->ring.geometry));
	store(word_at(p, at), header(PEAL_MESSAGE_WRAP, count));
	store(&p->tx_page->position, units(p) + 10);
	return peal_message_peek(&p->rx, &m);
}

TEST(wrap_record_has_to_reach_the_end_exactly)
{
	for (uint64_t rest = 1; rest <= 54; rest++) {
		for (uint32_t count = 0; count < 130; count++) {
			struct pair p;
			int ret = peek_wrap(&p, false, rest, count);

			if (count == rest) {
				CHECK_EQ(ret, 1);
			} else {
				CHECK_EQ(ret, -EPROTO);
				check_broken(&p);
			}
			pair_free(&p);
		}
	}
}

TEST(wrap_record_where_memory_is_mapped_twice_breaks_the_receiver)
{
	for (uint32_t rest = 1; rest <= 502; rest++) {
		struct pair p;

		CHECK_EQ(peek_wrap(&p, true, rest, rest), -EPROTO);
		check_broken(&p);
		pair_free(&p);
	}
}

TEST(wrap_record_at_the_front_breaks_the_receiver)
{
	struct peal_message m;
	struct pair p;

	pair_make(&p, 64, UNIT);
	store(word_at(&p, 0), header(PEAL_MESSAGE_WRAP, 64));
	store(&p.tx_page->position, 64);
	CHECK_EQ(peal_message_peek(&p.rx, &m), -EPROTO);
	check_broken(&p);
	pair_free(&p);

	/* Behind another one, too: the way round does not lead on for ever. */
	pair_make(&p, 64, UNIT);
	pair_start_at(&p, 60);
	store(word_at(&p, 60), header(PEAL_MESSAGE_WRAP, 4));
	store(word_at(&p, 64), header(PEAL_MESSAGE_WRAP, 64));
	store(&p.tx_page->position, 60 + 64);
	CHECK_EQ(peal_message_peek(&p.rx, &m), -EPROTO);
	check_broken(&p);
	pair_free(&p);
}

TEST(wrap_record_that_is_not_all_published_breaks_the_receiver)
{
	for (uint64_t tail = 61; tail < 64; tail++) {
		struct peal_message m;
		struct pair p;

		pair_make(&p, 64, UNIT);
		pair_start_at(&p, 60);
		store(word_at(&p, 60), header(PEAL_MESSAGE_WRAP, 4));
		store(&p.tx_page->position, tail);
		CHECK_EQ(peal_message_peek(&p.rx, &m), -EPROTO);
		check_broken(&p);
		pair_free(&p);
	}
}

TEST(impossible_wrap_record_is_found_out_while_releasing)
{
	struct peal_message m;
	struct pair p;

	make_two(&p, false, 20);
	peek_text(&p, &m, 0, 8);
	store(word_at(&p, 22), header(PEAL_MESSAGE_WRAP, 2));
	CHECK_EQ(peal_message_release(&p.rx, &m), -EPROTO);
	CHECK_EQ(p.rx_page->position, 20);
	check_broken(&p);
	pair_free(&p);
}

/* -- what changes under our eyes */

TEST(header_that_changes_after_the_look_changes_nothing)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m;
		struct pair p;

		make_two(&p, twice, 20);
		peek_text(&p, &m, 0, 8);
		store(word_at(&p, 20), UINT64_MAX);
		check_text(&m, 0, 8);
		next_text(&p, &m, 1, 8);
		store(word_at(&p, 22), header(0, 0));
		CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		CHECK_EQ(p.rx_page->position, 24);
		check_empty(&p);
		pair_free(&p);
	}
}

TEST(sender_does_not_care_what_is_written_over_its_messages)
{
	uint64_t seed = test_seed();

	for (FOR_BOTH(twice)) {
		struct pair p;

		pair_make_units(&p, twice, 64);
		for (uint64_t i = 0; i < 20000; i++) {
			size_t body = peal_geometry_body(&p.ring.geometry);
			uint64_t *items = p.ring.items;
			void *room;
			int ret;

			ret = peal_message_reserve(
				&p.tx,
				test_random(&seed) %
					(peal_message_max(&p.tx) + 1),
				&room);
			CHECK(ret == 1 || ret == 0 || ret == -ENOBUFS);
			store(&items[test_random(&seed) % (body / UNIT)],
			      test_random(&seed));
			if (ret != 1)
				CHECK_EQ(peal_message_publish(&p.tx), 0);
			else if (i % 4)
				CHECK_EQ(peal_message_stage(&p.tx, 1, 0), 0);
			CHECK(p.tx_page->position - p.rx_page->position <=
			      units(&p));
			store(&p.rx_page->position, p.tx_page->position);
		}
		pair_free(&p);
	}
}
