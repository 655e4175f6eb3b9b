/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages one by one, in both kinds of memory, and the room for them. */
#include "fixtures/messages.h"

/* -- one by one */

TEST(message_arrives_with_its_kind_and_size)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m;
		struct pair p;
		char *room;

		pair_make_units(&p, twice, 64);
		CHECK_EQ(peal_message_reserve(&p.tx, 5, &room), 1);
		memcpy(room, "hello", 5);
		check_empty(&p);
		CHECK_EQ(peal_message_commit(&p.tx, 7, 5), 0);
		CHECK_EQ(peal_message_peek(&p.rx, &m), 1);
		CHECK_EQ(m.kind, 7);
		CHECK_EQ(m.size, 5);
		CHECK(memcmp(m.data, "hello", 5) == 0);
		CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		check_empty(&p);
		pair_free(&p);
	}
}

TEST(message_is_a_header_of_one_word_and_its_bytes)
{
	struct pair p;
	uint64_t *items;

	pair_make(&p, 8, UNIT);
	items = p.ring.items;
	CHECK_EQ(peal_message_send(&p.tx, 0x89abcdef, "12345678", 8, 0), 0);
	CHECK_EQ(peal_message_send(&p.tx, 1, NULL, 0, 0), 0);
	CHECK(items[0] == UINT64_C(0x89abcdef00000008));
	CHECK(memcmp(&items[1], "12345678", 8) == 0);
	CHECK(items[2] == UINT64_C(0x0000000100000000));
	CHECK_EQ(p.tx_page->position, 3);
	pair_free(&p);
}

TEST(message_of_any_kind_arrives)
{
	static const uint32_t kinds[] = { 0,	      1,	  0x7fffffff,
					  0x80000000, 0xfffffff8, 0xffffffff };

	for (FOR_BOTH(twice)) {
		struct pair p;

		pair_make_units(&p, twice, 64);
		for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
			struct peal_message m;

			CHECK_EQ(peal_message_send(&p.tx, kinds[i], "a", 1, 0),
				 0);
			CHECK_EQ(peal_message_peek(&p.rx, &m), 1);
			CHECK_EQ(m.kind, kinds[i]);
			CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		}
		pair_free(&p);
	}
}

static void check_every_size(bool twice)
{
	uint64_t number = 0;
	struct pair p;

	pair_make_units(&p, twice, 256);
	for (uint64_t start = 0; start < units(&p); start++) {
		pair_start_at(&p, start);
		for (size_t size = 0; size <= 600; size++, number++) {
			struct peal_message m;

			send_text(&p, number, size);
			peek_text(&p, &m, number, size);
			CHECK_EQ(peal_message_next(&p.rx, &m), 0);
			CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		}
		check_empty(&p);
	}
	pair_free(&p);
}

TEST(every_size_arrives_from_every_place)
{
	check_every_size(false);
}

TEST(every_size_arrives_from_every_place_of_memory_mapped_twice)
{
	check_every_size(true);
}

TEST(largest_message_gets_through_from_every_place)
{
	for (FOR_BOTH(twice)) {
		struct pair p;

		pair_make_units(&p, twice, 128);
		for (uint64_t start = 0; start < units(&p); start++) {
			size_t max = peal_message_max(&p.tx);
			struct peal_message m;

			CHECK_EQ(max, UNIT * (units(&p) - 1));
			pair_start_at(&p, start);
			/* Where memory wraps, that goes before it, alone. */
			while (peal_message_send(&p.tx, kind_of(start),
						 text_of(start), max, 0) < 0)
				CHECK_EQ(peal_message_peek(&p.rx, &m), 0);
			take_text(&p, start, max);
			check_empty(&p);
		}
		pair_free(&p);
	}
}

TEST(larger_message_than_the_ring_is_refused_at_once)
{
	for (FOR_BOTH(twice)) {
		size_t sizes[] = { 0, PEAL_MESSAGE_MAX, UINT32_MAX - 1,
				   UINT32_MAX,
				   /* beyond 32 bits, where there are more */
				   (size_t)UINT32_MAX + (sizeof(size_t) > 4),
				   SIZE_MAX - 15, SIZE_MAX - 14, SIZE_MAX };
		struct pair p;
		char *room = NULL;

		pair_make_units(&p, twice, 64);
		sizes[0] = peal_message_max(&p.tx) + 1;
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			CHECK_EQ(peal_message_reserve(&p.tx, sizes[i], &room),
				 -EMSGSIZE);
			CHECK_EQ(peal_message_try_reserve(&p.tx, sizes[i],
							  &room),
				 -EMSGSIZE);
			CHECK_EQ(peal_message_wait(&p.tx, sizes[i], -1, &room),
				 -EMSGSIZE);
			CHECK_EQ(peal_message_send(&p.tx, 0, "", sizes[i], -1),
				 -EMSGSIZE);
			CHECK_EQ(peal_message_commit(&p.tx, 0, sizes[i]),
				 -EINVAL);
		}
		CHECK(room == NULL);
		CHECK_EQ(p.tx_page->position, 0);
		pair_free(&p);
	}
}

TEST(less_than_what_was_reserved_may_be_committed)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		for (size_t size = 0; size <= 200; size++) {
			pair_start_at(&p, 0);
			CHECK_EQ(peal_message_reserve(&p.tx, 200, &room), 1);
			fill_text(room, size, size);
			CHECK_EQ(
				peal_message_commit(&p.tx, kind_of(size), size),
				0);
			CHECK_EQ(peal_receiver_used(&p.rx),
				 PEAL_MESSAGE_UNITS(size));
			take_text(&p, size, size);
		}
		pair_free(&p);
	}
}

TEST(more_than_what_was_reserved_may_not)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		CHECK_EQ(peal_message_commit(&p.tx, 1, 0), -EINVAL);
		CHECK_EQ(peal_message_reserve(&p.tx, 10, &room), 1);
		CHECK_EQ(peal_message_stage(&p.tx, 1, 17), -EINVAL);
		CHECK_EQ(peal_message_commit(&p.tx, 1, 17), -EINVAL);
		CHECK_EQ(peal_message_commit(&p.tx, 1, SIZE_MAX), -EINVAL);
		check_empty(&p);
		/* It may still be done right, once. */
		fill_text(room, 3, 10);
		CHECK_EQ(peal_message_commit(&p.tx, kind_of(3), 10), 0);
		CHECK_EQ(peal_message_commit(&p.tx, 1, 0), -EINVAL);
		take_text(&p, 3, 10);
		check_empty(&p);
		pair_free(&p);
	}
}

TEST(nothing_is_reserved_once_a_larger_message_was_refused)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		CHECK_EQ(peal_message_reserve(&p.tx, 10, &room), 1);
		CHECK_EQ(peal_message_try_reserve(&p.tx, SIZE_MAX, &room),
			 -EMSGSIZE);
		CHECK_EQ(peal_message_commit(&p.tx, 1, 0), -EINVAL);
		send_text(&p, 0, 0);
		CHECK_EQ(peal_message_reserve(&p.tx, 10, &room), 1);
		CHECK_EQ(peal_message_try_reserve(
				 &p.tx, peal_message_max(&p.tx), &room),
			 0);
		CHECK_EQ(peal_message_commit(&p.tx, 1, 0), -EINVAL);
		take_text(&p, 0, 0);
		check_empty(&p);
		pair_free(&p);
	}
}

TEST(message_that_was_given_up_leaves_no_trace)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		void *room, *other;

		pair_make_units(&p, twice, 64);
		for (uint64_t start = 0; start < units(&p); start++) {
			pair_start_at(&p, start);
			/* Whichever size was first, */
			CHECK_EQ(peal_message_reserve(&p.tx, 100, &room), 1);
			CHECK_EQ(peal_message_reserve(&p.tx, 240, &other), 1);
			CHECK_EQ(peal_message_reserve(&p.tx, 0, &room), 1);
			peal_message_abandon(&p.tx);
			CHECK_EQ(peal_message_commit(&p.tx, 1, 0), -EINVAL);
			check_empty(&p);
			CHECK_EQ(p.tx_page->position, start);
			/* the last one is that which counts. */
			CHECK_EQ(peal_message_reserve(&p.tx, 240, &other), 1);
			CHECK_EQ(peal_message_reserve(&p.tx, 1, &room), 1);
			fill_text(room, start, 1);
			CHECK_EQ(peal_message_commit(&p.tx, kind_of(start), 1),
				 0);
			take_text(&p, start, 1);
			if (start < units(&p) - 1)
				CHECK_EQ(p.tx_page->position, start + 2);
		}
		pair_free(&p);
	}
}

TEST(messages_pass_where_positions_run_over)
{
	for (FOR_BOTH(twice)) {
		for (uint64_t before = 0; before < 40; before++) {
			struct pair p;

			pair_make_units(&p, twice, 64);
			pair_start_at(&p, -before);
			for (int i = 0; i < 100; i++) {
				stage_text(&p, (uint64_t)i, (size_t)i);
				stage_text(&p, (uint64_t)i + 1, 9);
				CHECK_EQ(peal_message_publish(&p.tx), 0);
				take_text(&p, (uint64_t)i, (size_t)i);
				take_text(&p, (uint64_t)i + 1, 9);
			}
			pair_free(&p);
		}
	}
}

/* -- room */

TEST(full_ring_has_no_room_until_enough_was_released)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		uint64_t sent = 0;
		void *room = NULL;

		pair_make_units(&p, twice, 64);
		while (peal_message_try_reserve(&p.tx, 56, &room) > 0)
			send_text(&p, sent++, 56);
		CHECK_EQ(sent, units(&p) / 8);
		room = NULL;
		CHECK_EQ(peal_message_reserve(&p.tx, 100, &room), 0);
		CHECK_EQ(peal_message_send(&p.tx, 1, "", 0, 0), -ETIMEDOUT);
		CHECK(room == NULL);
		CHECK_EQ(peal_message_commit(&p.tx, 1, 0), -EINVAL);
		take_text(&p, 0, 56);
		CHECK_EQ(peal_message_reserve(&p.tx, 100, &room), 0);
		take_text(&p, 1, 56);
		CHECK_EQ(peal_message_reserve(&p.tx, 100, &room), 1);
		pair_free(&p);
	}
}

TEST(sender_that_fell_short_is_rung_once_when_there_is_room)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		for (uint64_t i = 0; i < units(&p) / 8; i++)
			send_text(&p, i, 56);
		CHECK_EQ(peal_message_reserve(&p.tx, 120, &room), 0);
		CHECK_EQ(peal_message_reserve(&p.tx, 120, &room), 0);
		take_text(&p, 0, 56);
		CHECK_EQ(rings(&p.space), 0);
		take_text(&p, 1, 56);
		CHECK_EQ(rings(&p.space), 1);
		take_text(&p, 2, 56);
		CHECK_EQ(rings(&p.space), 0);
		CHECK_EQ(peal_message_reserve(&p.tx, 120, &room), 1);
		pair_free(&p);
	}
}

TEST(sender_that_would_rather_drop_is_not_rung)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		for (uint64_t i = 0; i < units(&p) / 8; i++)
			send_text(&p, i, 56);
		CHECK_EQ(peal_message_try_reserve(&p.tx, 1, &room), 0);
		for (uint64_t i = 0; i < units(&p) / 8; i++)
			take_text(&p, i, 56);
		CHECK_EQ(rings(&p.space), 0);
		CHECK_EQ(peal_message_try_reserve(&p.tx, 1, &room), 1);
		pair_free(&p);
	}
}

TEST(watermarks_count_units)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		CHECK_EQ(peal_receiver_set_watermark(
				 &p.rx, 3 * PEAL_MESSAGE_UNITS(20)),
			 0);
		CHECK(peal_receiver_arm(&p.rx));
		send_text(&p, 0, 20);
		send_text(&p, 1, 20);
		CHECK_EQ(rings(&p.data), 0);
		send_text(&p, 2, 20);
		CHECK_EQ(rings(&p.data), 1);

		pair_start_at(&p, 0);
		CHECK_EQ(peal_sender_set_watermark(&p.tx, 2 * 8), 0);
		for (uint64_t i = 0; i < units(&p) / 8; i++)
			stage_text(&p, i, 55);
		CHECK_EQ(peal_message_publish(&p.tx), 0);
		CHECK_EQ(peal_message_reserve(&p.tx, 1, &room), 0);
		take_text(&p, 0, 55);
		CHECK_EQ(rings(&p.space), 0);
		take_text(&p, 1, 55);
		CHECK_EQ(rings(&p.space), 1);
		pair_free(&p);
	}
}
