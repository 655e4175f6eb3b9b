/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages in plain memory: what does not fit in before its end goes to the
 * front, and a wrap record, which nobody sees, fills what is left.
 */
#include <pthread.h>

#include "fixtures/messages.h"

#define CAPACITY 32

/* A ring with canaries around, where nothing else watches every byte. */
struct guarded {
	_Alignas(64) unsigned char before[64];
	unsigned char memory[PEAL_RING_SIZE(CAPACITY, UNIT)];
	unsigned char after[64];
};

static void guarded_make(struct pair *p, struct guarded *g, uint64_t start)
{
	struct peal_geometry geometry = { .capacity = CAPACITY,
					  .item_size = UNIT };

	memset(g, 0xc7, sizeof(*g));
	memset(p, 0, sizeof(*p));
	CHECK_EQ(peal_geometry_fit(&geometry, 0), 0);
	pair_format(p, &geometry, g->memory);
	pair_start_at(p, start);
}

static void guarded_free(struct pair *p, const struct guarded *g)
{
	for (size_t i = 0; i < sizeof(g->before); i++)
		CHECK(g->before[i] == 0xc7 && g->after[i] == 0xc7);
	pair_free(p);
}

/* Units from a place to the end, if a message does not fit in there. */
static uint64_t gap(uint64_t start, size_t size)
{
	uint64_t rest = CAPACITY - start;

	return PEAL_MESSAGE_UNITS(size) > rest ? rest : 0;
}

TEST(message_of_any_size_passes_the_end_at_any_place)
{
	static struct guarded g;
	uint64_t alone = 0, together = 0;

	for (uint64_t start = 0; start < CAPACITY; start++) {
		for (size_t size = 0; size <= UNIT * (CAPACITY - 1); size++) {
			uint64_t all = gap(start, size) +
				       PEAL_MESSAGE_UNITS(size);
			struct peal_message m;
			struct pair p;
			void *room;

			guarded_make(&p, &g, start);
			if (all > CAPACITY) {
				/* The wrap record first; then it has to wait
				 * until that is released. */
				CHECK_EQ(peal_message_reserve(&p.tx, size,
							      &room),
					 0);
				CHECK_EQ(p.tx_page->position, CAPACITY);
				CHECK_EQ(peal_message_peek(&p.rx, &m), 0);
				CHECK_EQ(p.rx_page->position, CAPACITY);
				CHECK_EQ(rings(&p.space), 1);
				alone++;
			} else if (all > PEAL_MESSAGE_UNITS(size)) {
				together++;
			}
			send_text(&p, size, size);
			CHECK_EQ(p.tx_page->position, start + all);
			take_text(&p, size, size);
			CHECK_EQ(p.rx_page->position, start + all);
			guarded_free(&p, &g);
		}
	}
	CHECK(alone > 1000 && together > 1000);
}

TEST(message_that_just_fits_in_before_the_end_does_not_wrap)
{
	for (uint64_t start = 0; start < CAPACITY; start++) {
		size_t size = UNIT * (CAPACITY - start - 1);
		struct peal_message m;
		struct pair p;

		pair_make(&p, CAPACITY, UNIT);
		pair_start_at(&p, start);
		send_text(&p, start, size);
		CHECK_EQ(p.tx_page->position, CAPACITY);
		peek_text(&p, &m, start, size);
		CHECK((const char *)m.data + size ==
		      (const char *)p.ring.items + CAPACITY * UNIT);
		CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		pair_free(&p);
	}
}

TEST(wrap_record_says_how_much_it_fills)
{
	struct pair p;
	uint64_t *items;

	pair_make(&p, CAPACITY, UNIT);
	items = p.ring.items;
	pair_start_at(&p, CAPACITY - 5);
	send_text(&p, 0, 50);
	CHECK(items[CAPACITY - 5] == UINT64_C(0x00000005ffffffff));
	CHECK(items[0] == ((uint64_t)kind_of(0) << 32 | 50));
	pair_free(&p);
}

TEST(message_given_up_at_the_end_leaves_the_end_for_a_smaller_one)
{
	struct pair p;
	void *room;

	pair_make(&p, CAPACITY, UNIT);
	pair_start_at(&p, CAPACITY - 5);
	CHECK_EQ(peal_message_reserve(&p.tx, 50, &room), 1);
	CHECK(room == (char *)p.ring.items + UNIT);
	CHECK_EQ(peal_message_reserve(&p.tx, 10, &room), 1);
	fill_text(room, 1, 10);
	CHECK_EQ(peal_message_commit(&p.tx, kind_of(1), 10), 0);
	CHECK_EQ(p.tx_page->position, CAPACITY - 2);
	take_text(&p, 1, 10);

	/* And for the largest one, which needs it alone. */
	CHECK_EQ(peal_message_reserve(&p.tx, 50, &room), 1);
	CHECK_EQ(peal_message_reserve(&p.tx, peal_message_max(&p.tx), &room),
		 0);
	check_empty(&p);
	CHECK_EQ(peal_message_reserve(&p.tx, peal_message_max(&p.tx), &room),
		 1);
	pair_free(&p);
}

TEST(batch_passes_the_end_at_any_place_as_one)
{
	for (uint64_t start = 0; start < CAPACITY; start++) {
		struct peal_message m;
		struct pair p;

		pair_make(&p, CAPACITY, UNIT);
		pair_start_at(&p, start);
		CHECK(peal_receiver_arm(&p.rx));
		for (uint64_t i = 0; i < 5; i++)
			stage_text(&p, i, 5 * i + 10);
		CHECK_EQ(rings(&p.data), 0);
		CHECK_EQ(peal_message_publish(&p.tx), 0);
		CHECK_EQ(rings(&p.data), 1);
		peek_text(&p, &m, 0, 10);
		for (uint64_t i = 1; i < 5; i++)
			next_text(&p, &m, i, 5 * i + 10);
		CHECK_EQ(peal_message_next(&p.rx, &m), 0);
		CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		check_empty(&p);
		CHECK_EQ(p.rx_page->position, p.tx_page->position);
		pair_free(&p);
	}
}

TEST(batch_that_does_not_fit_in_with_its_wrap_is_published_first)
{
	struct pair p;
	void *room;

	pair_make(&p, CAPACITY, UNIT);
	pair_start_at(&p, 8);
	stage_text(&p, 0, 56); /* 8 units; then 16 to the end */
	CHECK_EQ(peal_message_reserve(&p.tx, 15 * UNIT, &room), 1);
	CHECK_EQ(peal_message_reserve(&p.tx, 16 * UNIT, &room), -ENOBUFS);
	CHECK_EQ(peal_message_publish(&p.tx), 0);
	CHECK_EQ(peal_message_reserve(&p.tx, 16 * UNIT, &room), 0);
	take_text(&p, 0, 56);
	check_empty(&p);
	CHECK_EQ(peal_message_reserve(&p.tx, 16 * UNIT, &room), 1);
	pair_free(&p);
}

/* -- the receiver gives the end back, whatever it does */

/* A message, and behind it a wrap record that was sent alone. */
static void make_full_before_end(struct pair *p)
{
	void *room;

	pair_make(p, CAPACITY, UNIT);
	pair_start_at(p, CAPACITY / 2);
	send_text(p, 0, 10);
	CHECK_EQ(peal_message_reserve(&p->tx, peal_message_max(&p->tx), &room),
		 0);
	CHECK_EQ(p->tx_page->position, CAPACITY);
	CHECK_EQ(rings(&p->space), 0);
}

/* There is nothing more that it could wait for. */
static void check_largest_fits_in(struct pair *p)
{
	void *room;

	CHECK_EQ(rings(&p->space), 1);
	CHECK_EQ(p->rx_page->position, CAPACITY);
	CHECK_EQ(peal_message_reserve(&p->tx, peal_message_max(&p->tx), &room),
		 1);
	pair_free(p);
}

TEST(end_is_released_with_the_message_before_it)
{
	struct pair p;

	make_full_before_end(&p);
	take_text(&p, 0, 10);
	check_largest_fits_in(&p);
}

TEST(end_that_came_later_is_not_released_by_a_message_of_before)
{
	struct peal_message m;
	struct pair p;
	void *room;

	pair_make(&p, CAPACITY, UNIT);
	pair_start_at(&p, CAPACITY / 2);
	send_text(&p, 0, 10);
	peek_text(&p, &m, 0, 10);
	CHECK_EQ(peal_message_release(&p.rx, &m), 0);
	/* For the largest the end is sent alone. */
	CHECK_EQ(peal_message_reserve(&p.tx, peal_message_max(&p.tx), &room),
		 0);
	CHECK(peal_receiver_used(&p.rx) > 0);
	CHECK_EQ(peal_message_release(&p.rx, &m), -EINVAL);
	CHECK_EQ(peal_message_peek(&p.rx, &m), 0);
	check_largest_fits_in(&p);
}

TEST(end_that_was_walked_over_is_released_with_the_message_before_it)
{
	struct peal_message m;
	struct pair p;

	make_full_before_end(&p);
	peek_text(&p, &m, 0, 10);
	CHECK_EQ(peal_message_next(&p.rx, &m), 0);
	CHECK_EQ(peal_message_next(&p.rx, &m), 0);
	check_text(&m, 0, 10);
	CHECK_EQ(peal_message_release(&p.rx, &m), 0);
	check_largest_fits_in(&p);
}

TEST(end_that_comes_after_the_last_look_is_released_by_the_next)
{
	struct peal_message m;
	struct pair p;
	void *room;

	pair_make(&p, CAPACITY, UNIT);
	pair_start_at(&p, CAPACITY / 2);
	send_text(&p, 0, 10);
	peek_text(&p, &m, 0, 10);
	CHECK_EQ(peal_message_reserve(&p.tx, peal_message_max(&p.tx), &room),
		 0);
	CHECK_EQ(peal_message_release(&p.rx, &m), 0);
	CHECK_EQ(rings(&p.space), 0);
	CHECK_EQ(peal_message_peek(&p.rx, &m), 0);
	check_largest_fits_in(&p);
}

TEST(end_is_released_though_what_follows_it_is_not)
{
	struct peal_message first, second;
	struct pair p;

	pair_make(&p, CAPACITY, UNIT);
	pair_start_at(&p, CAPACITY - 8);
	send_text(&p, 0, 10);
	send_text(&p, 1, 50);
	peek_text(&p, &first, 0, 10);
	second = first;
	next_text(&p, &second, 1, 50);
	CHECK_EQ(peal_message_release(&p.rx, &first), 0);
	CHECK_EQ(p.rx_page->position, CAPACITY);
	check_text(&second, 1, 50);
	CHECK_EQ(peal_message_release(&p.rx, &second), 0);
	CHECK_EQ(p.rx_page->position, p.tx_page->position);
	pair_free(&p);
}

TEST(receiver_that_sleeps_below_its_watermark_releases_the_end)
{
	struct pair p;
	struct peal_message m;
	void *room;

	pair_make(&p, CAPACITY, UNIT);
	pair_start_at(&p, CAPACITY - 3);
	CHECK_EQ(peal_receiver_set_watermark(&p.rx, CAPACITY), 0);
	CHECK(peal_receiver_arm(&p.rx));
	CHECK_EQ(peal_message_reserve(&p.tx, peal_message_max(&p.tx), &room),
		 0);
	CHECK_EQ(rings(&p.data), 1);
	CHECK_EQ(peal_message_receive(&p.rx, 10, &m), -ETIMEDOUT);
	check_largest_fits_in(&p);
}

TEST(end_alone_is_no_message_for_those_who_wait)
{
	for (int timeout_ms = 0; timeout_ms < 30; timeout_ms += 10) {
		struct peal_message m;
		struct pair p;
		void *room;

		pair_make(&p, CAPACITY, UNIT);
		pair_start_at(&p, CAPACITY - 3);
		CHECK_EQ(peal_message_wait(&p.tx, peal_message_max(&p.tx),
					   timeout_ms, &room),
			 -ETIMEDOUT);
		CHECK_EQ(p.tx_page->position, CAPACITY);
		CHECK_EQ(peal_message_receive(&p.rx, timeout_ms, &m),
			 -ETIMEDOUT);
		CHECK_EQ(p.rx_page->position, CAPACITY);
		pair_free(&p);
	}
}

TEST(stream_may_end_with_the_end_of_the_memory)
{
	struct peal_message m;
	struct pair p;
	void *room;

	pair_make(&p, CAPACITY, UNIT);
	pair_start_at(&p, CAPACITY - 3);
	CHECK_EQ(peal_message_reserve(&p.tx, peal_message_max(&p.tx), &room),
		 0);
	peal_sender_finish(&p.tx);
	CHECK_EQ(peal_message_receive(&p.rx, -1, &m), 0);
	CHECK(peal_receiver_ended(&p.rx));
	pair_free(&p);
}

TEST(message_behind_an_end_of_memory_that_is_known_is_found)
{
	struct peal_message m;
	struct pair p;
	void *room;

	pair_make(&p, 4, UNIT);
	pair_start_at(&p, 2);
	/* The end of the memory alone, of which the receiver learns, ... */
	CHECK_EQ(peal_message_try_reserve(&p.tx, 24, &room), 0);
	CHECK_EQ(peal_receiver_used(&p.rx), 2);
	/* ... and then a message at the front. */
	send_text(&p, 1, 8);
	CHECK_EQ(peal_message_receive(&p.rx, 0, &m), 1);
	check_text(&m, 1, 8);
	pair_free(&p);
}

/* -- and both sleep meanwhile */

static void *send_largest(void *arg)
{
	struct pair *p = arg;
	uint64_t number = 0;

	/* Each small message moves the place of the large one. */
	for (int i = 0; i < 3 * CAPACITY; i++) {
		size_t max = peal_message_max(&p->tx);

		CHECK_EQ(peal_message_send(&p->tx, kind_of(number),
					   text_of(number), max, -1),
			 0);
		number++;
		CHECK_EQ(peal_message_send(&p->tx, kind_of(number),
					   text_of(number), 0, -1),
			 0);
		number++;
	}
	peal_sender_finish(&p->tx);
	return NULL;
}

TEST(largest_message_gets_through_between_sleepers)
{
	uint64_t number = 0;
	struct peal_message m;
	pthread_t thread;
	struct pair p;
	int ret;

	text_of(0);
	pair_make(&p, CAPACITY, UNIT);
	CHECK_EQ(pthread_create(&thread, NULL, send_largest, &p), 0);
	while ((ret = peal_message_receive(&p.rx, -1, &m)) > 0) {
		check_place(&p, &m);
		check_text(&m, number, number % 2 ? 0 : UNIT * (CAPACITY - 1));
		number++;
		CHECK_EQ(peal_message_release(&p.rx, &m), 0);
	}
	CHECK_EQ(ret, 0);
	CHECK_EQ(number, 6 * CAPACITY);
	pthread_join(thread, NULL);
	pair_free(&p);
}
