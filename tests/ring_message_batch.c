/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages by the dozen: batches sent as one, walked over, and released. */
#include "fixtures/messages.h"

/* -- batches */

TEST(batch_is_seen_at_once_and_rings_once)
{
	for (FOR_BOTH(twice)) {
		struct pair p;

		pair_make_units(&p, twice, 64);
		CHECK(peal_receiver_arm(&p.rx));
		for (uint64_t i = 0; i < 10; i++) {
			stage_text(&p, i, i);
			check_empty(&p);
			CHECK_EQ(rings(&p.data), 0);
		}
		CHECK_EQ(peal_message_publish(&p.tx), 0);
		CHECK_EQ(rings(&p.data), 1);
		for (uint64_t i = 0; i < 10; i++)
			take_text(&p, i, i);
		check_empty(&p);
		pair_free(&p);
	}
}

TEST(commit_publishes_what_is_staged_as_well)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		CHECK(peal_receiver_arm(&p.rx));
		stage_text(&p, 0, 30);
		stage_text(&p, 1, 0);
		CHECK_EQ(peal_message_reserve(&p.tx, 100, &room), 1);
		fill_text(room, 2, 10);
		check_empty(&p);
		CHECK_EQ(peal_message_commit(&p.tx, kind_of(2), 10), 0);
		CHECK_EQ(rings(&p.data), 1);
		take_text(&p, 0, 30);
		take_text(&p, 1, 0);
		take_text(&p, 2, 10);
		check_empty(&p);
		pair_free(&p);
	}
}

TEST(batch_can_be_abandoned)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		stage_text(&p, 0, 30);
		CHECK_EQ(peal_message_reserve(&p.tx, 100, &room), 1);
		peal_message_abandon(&p.tx);
		CHECK_EQ(peal_message_commit(&p.tx, 1, 0), -EINVAL);
		CHECK_EQ(peal_message_publish(&p.tx), 0);
		check_empty(&p);
		send_text(&p, 1, 10);
		take_text(&p, 1, 10);
		CHECK_EQ(p.tx_page->position, PEAL_MESSAGE_UNITS(10));
		pair_free(&p);
	}
}

TEST(message_given_up_within_a_batch_leaves_the_others)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		stage_text(&p, 0, 30);
		CHECK_EQ(peal_message_reserve(&p.tx, 100, &room), 1);
		CHECK_EQ(peal_message_publish(&p.tx), 0);
		CHECK_EQ(peal_message_commit(&p.tx, 1, 0), -EINVAL);
		take_text(&p, 0, 30);
		check_empty(&p);
		pair_free(&p);
	}
}

TEST(message_is_staged_once)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		stage_text(&p, 0, 30);
		CHECK_EQ(peal_message_stage(&p.tx, 1, 0), -EINVAL);
		CHECK_EQ(peal_message_commit(&p.tx, 1, 0), -EINVAL);
		CHECK_EQ(peal_message_reserve(&p.tx, 10, &room), 1);
		fill_text(room, 1, 10);
		CHECK_EQ(peal_message_commit(&p.tx, kind_of(1), 10), 0);
		take_text(&p, 0, 30);
		take_text(&p, 1, 10);
		check_empty(&p);
		pair_free(&p);
	}
}

TEST(batch_is_no_larger_than_the_ring)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		size_t max;
		void *room;

		pair_make_units(&p, twice, 64);
		max = peal_message_max(&p.tx);
		stage_text(&p, 0, 100);
		CHECK_EQ(peal_message_reserve(&p.tx, max, &room), -ENOBUFS);
		CHECK_EQ(peal_message_wait(&p.tx, max, -1, &room), -ENOBUFS);
		CHECK_EQ(peal_message_reserve(&p.tx, max + 1, &room),
			 -EMSGSIZE);
		CHECK_EQ(peal_message_publish(&p.tx), 0);
		while (peal_message_reserve(&p.tx, max, &room) != 1)
			if (peal_receiver_used(&p.rx) > 0)
				take_text(&p, 0, 100);
		pair_free(&p);
	}
}

TEST(batch_that_falls_short_of_room_goes_on_once_there_is_some)
{
	for (FOR_BOTH(twice)) {
		uint64_t sent, last;
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		last = units(&p) / 8;
		send_text(&p, 0, 56);
		for (sent = 1; sent < last; sent++)
			stage_text(&p, sent, 56);
		CHECK_EQ(peal_message_reserve(&p.tx, 56, &room), 0);
		take_text(&p, 0, 56);
		CHECK_EQ(rings(&p.space), 1);
		stage_text(&p, last, 56);
		check_empty(&p);
		CHECK_EQ(peal_message_publish(&p.tx), 0);
		for (uint64_t i = 1; i <= last; i++)
			take_text(&p, i, 56);
		pair_free(&p);
	}
}

/* -- walking and releasing */

static void send_ten(struct pair *p)
{
	for (uint64_t i = 0; i < 10; i++)
		send_text(p, i, 3 * i);
}

TEST(messages_are_walked_over_and_released_together)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m;
		struct pair p;

		pair_make_units(&p, twice, 64);
		send_ten(&p);
		peek_text(&p, &m, 0, 0);
		for (uint64_t i = 1; i < 10; i++)
			next_text(&p, &m, i, 3 * i);
		CHECK_EQ(peal_message_next(&p.rx, &m), 0);
		/* The last one is still at hand. */
		check_text(&m, 9, 27);
		CHECK_EQ(p.rx_page->position, 0);
		CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		CHECK_EQ(p.rx_page->position, p.tx_page->position);
		check_empty(&p);
		pair_free(&p);
	}
}

TEST(some_of_those_that_were_walked_over_can_be_released)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m[10];
		struct pair p;

		pair_make_units(&p, twice, 64);
		send_ten(&p);
		peek_text(&p, &m[0], 0, 0);
		for (uint64_t i = 1; i < 10; i++) {
			m[i] = m[i - 1];
			next_text(&p, &m[i], i, 3 * i);
		}
		CHECK_EQ(peal_message_release(&p.rx, &m[0]), 0);
		CHECK_EQ(peal_message_release(&p.rx, &m[4]), 0);
		peek_text(&p, &m[5], 5, 15);
		next_text(&p, &m[5], 6, 18);
		for (uint64_t i = 6; i < 10; i++) {
			check_text(&m[i], i, 3 * i);
			CHECK_EQ(peal_message_release(&p.rx, &m[i]), 0);
		}
		check_empty(&p);
		pair_free(&p);
	}
}

TEST(message_is_released_once)
{
	for (FOR_BOTH(twice)) {
		struct peal_message first, second;
		struct pair p;

		pair_make_units(&p, twice, 64);
		send_text(&p, 0, 10);
		send_text(&p, 1, 10);
		peek_text(&p, &first, 0, 10);
		second = first;
		next_text(&p, &second, 1, 10);
		CHECK_EQ(peal_message_release(&p.rx, &second), 0);
		CHECK_EQ(peal_message_release(&p.rx, &second), -EINVAL);
		CHECK_EQ(peal_message_release(&p.rx, &first), -EINVAL);
		CHECK_EQ(peal_message_release(&p.rx, &second), -EINVAL);
		/* From one that is gone no way leads on. */
		send_text(&p, 2, 10);
		CHECK_EQ(peal_receiver_used(&p.rx), PEAL_MESSAGE_UNITS(10));
		CHECK_EQ(peal_message_next(&p.rx, &first), 0);
		take_text(&p, 2, 10);
		pair_free(&p);
	}
}

TEST(message_is_released_once_also_where_more_has_come)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m = { 0 };
		struct pair p;

		pair_make_units(&p, twice, 64);
		/* None was found yet. */
		CHECK_EQ(peal_message_release(&p.rx, &m), -EINVAL);
		send_text(&p, 0, 10);
		CHECK_EQ(peal_message_release(&p.rx, &m), -EINVAL);
		peek_text(&p, &m, 0, 10);
		CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		send_text(&p, 1, 10);
		CHECK_EQ(peal_receiver_used(&p.rx), PEAL_MESSAGE_UNITS(10));
		CHECK_EQ(peal_message_release(&p.rx, &m), -EINVAL);
		take_text(&p, 1, 10);
		check_empty(&p);
		pair_free(&p);
	}
}

TEST(walk_ends_where_the_sender_was_when_it_began)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m;
		struct pair p;

		pair_make_units(&p, twice, 64);
		send_text(&p, 0, 10);
		peek_text(&p, &m, 0, 10);
		send_text(&p, 1, 10);
		CHECK_EQ(peal_message_next(&p.rx, &m), 0);
		CHECK(peal_receiver_used(&p.rx) > 0);
		next_text(&p, &m, 1, 10);
		CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		pair_free(&p);
	}
}

TEST(peek_finds_the_first_message_until_that_is_released)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m;
		struct pair p;

		pair_make_units(&p, twice, 64);
		send_ten(&p);
		peek_text(&p, &m, 0, 0);
		next_text(&p, &m, 1, 3);
		peek_text(&p, &m, 0, 0);
		CHECK_EQ(peal_message_receive(&p.rx, -1, &m), 1);
		check_text(&m, 0, 0);
		pair_free(&p);
	}
}
