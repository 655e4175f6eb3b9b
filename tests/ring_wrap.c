/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where the memory ends and begins anew, and where the positions do. */
#include <errno.h>

#include "fixtures/pair.h"

static const size_t item_sizes[] = { 1, 3, 5, 7, 12, 24, 100 };
#define SIZES (sizeof(item_sizes) / sizeof(*item_sizes))

static unsigned char byte_of(uint64_t position, size_t byte)
{
	return (unsigned char)(position * 31 + byte * 7 + (position >> 8));
}

static void fill(unsigned char *items, uint64_t position, size_t n,
		 size_t item_size)
{
	for (size_t i = 0; i < n; i++)
		for (size_t b = 0; b < item_size; b++)
			items[i * item_size + b] = byte_of(position + i, b);
}

static void compare(const unsigned char *items, uint64_t position, size_t n,
		    size_t item_size)
{
	for (size_t i = 0; i < n; i++)
		for (size_t b = 0; b < item_size; b++)
			CHECK_EQ(items[i * item_size + b],
				 byte_of(position + i, b));
}

/* Send n items span by span, in place. */
static void send_in_place(struct pair *p, uint64_t position, size_t n)
{
	size_t item_size = p->ring.geometry.item_size;

	while (n > 0) {
		unsigned char *room;
		ssize_t span = peal_sender_reserve(&p->tx, 1, &room);
		size_t now = (size_t)span < n ? (size_t)span : n;

		CHECK(span > 0);
		fill(room, position, now, item_size);
		CHECK_EQ(peal_sender_commit(&p->tx, now), 0);
		position += now;
		n -= now;
	}
}

/* Receive n items that are there. @return in how many spans */
static int receive_in_place(struct pair *p, uint64_t position, size_t n)
{
	int spans = 0;

	CHECK_EQ(peal_receiver_used(&p->rx), n);
	for (; n > 0; spans++) {
		const unsigned char *data;
		ssize_t span = peal_receiver_peek(&p->rx, &data);

		CHECK(span > 0 && (size_t)span <= n);
		compare(data, position, (size_t)span,
			p->ring.geometry.item_size);
		CHECK_EQ(peal_receiver_release(&p->rx, (size_t)span), 0);
		position += (uint64_t)span;
		n -= (size_t)span;
	}
	return spans;
}

TEST(plain_memory_splits_a_batch_at_the_wrap_and_nowhere_else)
{
	for (size_t s = 0; s < SIZES; s++) {
		struct pair p;
		uint64_t position = 0;

		pair_make(&p, 16, item_sizes[s]);
		for (int round = 0; round < 17 * 32; round++) {
			size_t n = 1 + (size_t)round / 17 % 16;
			bool over = position % 16 + n > 16;

			send_in_place(&p, position, n);
			CHECK_EQ(receive_in_place(&p, position, n), 1 + over);
			position += n;
		}
		pair_free(&p);
	}
}

TEST(put_and_get_join_what_plain_memory_splits)
{
	unsigned char in[16 * 100], out[16 * 100];

	for (size_t s = 0; s < SIZES; s++) {
		struct pair p;
		uint64_t position = 0;

		pair_make(&p, 16, item_sizes[s]);
		for (int round = 0; round < 17 * 32; round++) {
			size_t n = 1 + (size_t)round / 17 % 16;

			fill(in, position, n, item_sizes[s]);
			CHECK_EQ(peal_sender_put(&p.tx, in, n), n);
			CHECK_EQ(peal_receiver_get(&p.rx, out, 16), n);
			compare(out, position, n, item_sizes[s]);
			position += n;
		}
		pair_free(&p);
	}
}

TEST(memory_mapped_twice_splits_nothing_at_any_offset)
{
	for (size_t s = 0; s < SIZES; s++) {
		struct pair p;
		uint64_t position = 0, capacity;
		unsigned char *room = NULL;

		pair_make_twice(&p, 16, item_sizes[s]);
		capacity = p.ring.geometry.capacity;
		/* In steps of 3 it comes to every offset once. */
		while (position < 3 * capacity) {
			CHECK_EQ(peal_sender_free(&p.tx), capacity);
			CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room),
				 capacity);
			fill(room, position, 3, item_sizes[s]);
			CHECK_EQ(peal_sender_commit(&p.tx, 3), 0);
			CHECK_EQ(receive_in_place(&p, position, 3), 1);
			position += 3;
		}
		pair_free(&p);
	}
}

TEST(full_ring_mapped_twice_is_one_span)
{
	for (size_t s = 0; s < SIZES; s++) {
		struct pair p;
		uint64_t position = 0, capacity;

		pair_make_twice(&p, 16, item_sizes[s]);
		capacity = p.ring.geometry.capacity;
		for (int round = 0; round < 5; round++) {
			send_in_place(&p, position, capacity);
			CHECK_EQ(receive_in_place(&p, position, capacity), 1);
			position += capacity;
			send_in_place(&p, position, capacity / 3);
			CHECK_EQ(receive_in_place(&p, position, capacity / 3),
				 1);
			position += capacity / 3;
		}
		pair_free(&p);
	}
}

/* -- positions that run over */

static const uint64_t starts[] = {
	UINT64_MAX,
	UINT64_MAX - 3,
	UINT64_MAX - 7,
	UINT64_MAX - 8,
	UINT64_MAX - 20,
	(UINT64_C(1) << 63) - 5,
	(UINT64_C(1) << 63) + 5,
	(UINT64_C(1) << 32) - 5,
};
#define STARTS (sizeof(starts) / sizeof(*starts))

TEST(items_survive_positions_that_run_over)
{
	for (size_t i = 0; i < STARTS; i++) {
		struct pair p;

		pair_make(&p, 8, sizeof(int));
		pair_start_at(&p, starts[i]);
		CHECK_EQ(peal_receiver_used(&p.rx), 0);
		CHECK_EQ(peal_sender_free(&p.tx), 8);
		for (int n = 1; n <= 8; n++) {
			put_numbers(&p.tx, 0, n);
			CHECK_EQ(peal_receiver_used(&p.rx), n);
			CHECK_EQ(peal_sender_free(&p.tx), 8 - n);
			get_numbers(&p.rx, 0, n);
		}
		CHECK_EQ(p.tx_page->position, starts[i] + 36);
		CHECK_EQ(p.rx_page->position, starts[i] + 36);
		pair_free(&p);
	}
}

TEST(bells_are_rung_where_positions_run_over)
{
	for (size_t i = 0; i < STARTS; i++) {
		for (int watermark = 1; watermark <= 8; watermark++) {
			struct pair p;
			int *room;

			pair_make(&p, 8, sizeof(int));
			pair_start_at(&p, starts[i]);
			CHECK_EQ(peal_receiver_set_watermark(&p.rx,
							     (size_t)watermark),
				 0);
			for (int round = 0; round < 4; round++) {
				CHECK(peal_receiver_arm(&p.rx));
				for (int n = 0; n < 8; n++) {
					put_numbers(&p.tx, n, 1);
					CHECK_EQ(rings(&p.data),
						 n + 1 == watermark);
				}
				CHECK_EQ(peal_sender_reserve(&p.tx,
							     (size_t)watermark,
							     &room),
					 0);
				for (int n = 0; n < 8; n++) {
					get_numbers(&p.rx, n, 1);
					CHECK_EQ(rings(&p.space),
						 n + 1 == watermark);
				}
			}
			pair_free(&p);
		}
	}
}

TEST(waits_below_both_watermarks_end_where_positions_run_over)
{
	for (size_t i = 0; i < STARTS; i++) {
		struct pair p;
		const int *data;
		int *room;

		pair_make(&p, 8, sizeof(int));
		pair_start_at(&p, starts[i]);
		put_numbers(&p.tx, 0, 4);
		CHECK_EQ(peal_receiver_set_watermark(&p.rx, 7), 0);
		CHECK(peal_receiver_arm(&p.rx));
		CHECK_EQ(peal_sender_reserve(&p.tx, 7, &room), 0);
		CHECK_EQ(rings(&p.data), 1);
		CHECK(peal_receiver_wait(&p.rx, 7, -1, &data) > 0);
		get_numbers(&p.rx, 0, 4);
		CHECK_EQ(rings(&p.space), 1);
		pair_free(&p);
	}
}

TEST(ends_attach_where_positions_have_just_run_over)
{
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	pair_start_at(&p, UINT64_MAX - 2);
	put_numbers(&p.tx, 0, 7);
	CHECK_EQ(p.tx_page->position, 4);
	pair_attach(&p);
	CHECK_EQ(peal_sender_free(&p.tx), 1);
	get_numbers(&p.rx, 0, 7);
	CHECK_EQ(peal_sender_free(&p.tx), 8);
	pair_free(&p);
}

TEST(peer_that_moves_backwards_is_found_out_where_positions_run_over)
{
	for (size_t i = 0; i < STARTS; i++) {
		struct pair p;

		pair_make(&p, 8, sizeof(int));
		pair_start_at(&p, starts[i]);
		put_numbers(&p.tx, 0, 6);
		get_numbers(&p.rx, 0, 4);
		CHECK_EQ(peal_sender_free(&p.tx), 6);
		p.rx_page->position--;
		CHECK_EQ(peal_sender_free(&p.tx), -EPROTO);
		p.tx_page->position--;
		CHECK_EQ(peal_receiver_used(&p.rx), -EPROTO);
		pair_free(&p);
	}
}
