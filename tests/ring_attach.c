/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ends that attach to a ring: the first, and those who come after them. */
#include <errno.h>

#include "fixtures/pair.h"

TEST(attach_stores_an_unarmed_wake_position)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 3);
	pair_attach(&p);
	put_numbers(&p.tx, 3, 1);
	get_numbers(&p.rx, 0, 1);
	CHECK_EQ(rings(&p.data), 0);
	CHECK_EQ(rings(&p.space), 0);
	/* What those before them waited for is of no interest either. */
	get_numbers(&p.rx, 1, 3);
	CHECK(peal_receiver_arm(&p.rx));
	CHECK_EQ(peal_receiver_attach(&p.rx, &p.ring, &p.data, &p.space), 0);
	(void)rings(&p.space); /* for the one before */
	put_numbers(&p.tx, 4, 8);
	CHECK_EQ(rings(&p.data), 0);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
	CHECK_EQ(peal_sender_attach(&p.tx, &p.ring, &p.data, &p.space), 0);
	(void)rings(&p.data);
	get_numbers(&p.rx, 4, 8);
	CHECK_EQ(rings(&p.space), 0);
	pair_free(&p);
}

/* As if it had been killed after it stored its position. */
TEST(one_that_died_before_it_rang_is_made_good_by_the_next)
{
	struct peal_doorbell none = { 0 };
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK(peal_receiver_arm(&p.rx));
	CHECK_EQ(peal_sender_attach(&p.tx, &p.ring, &none, &p.space), 0);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 8);
	CHECK_EQ(peal_sender_commit(&p.tx, 1), 0);
	CHECK_EQ(rings(&p.data), 0);
	CHECK_EQ(peal_sender_attach(&p.tx, &p.ring, &p.data, &p.space), 0);
	CHECK_EQ(rings(&p.data), 1);

	CHECK_EQ(peal_sender_put(&p.tx, (int[7]){ 0 }, 7), 7);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
	CHECK_EQ(peal_receiver_attach(&p.rx, &p.ring, &p.data, &none), 0);
	CHECK_EQ(peal_receiver_release(&p.rx, 1), 0);
	CHECK_EQ(rings(&p.space), 0);
	CHECK_EQ(peal_receiver_attach(&p.rx, &p.ring, &p.data, &p.space), 0);
	CHECK_EQ(rings(&p.space), 1);
	pair_free(&p);
}

TEST(sender_that_attaches_again_goes_on_where_it_was)
{
	struct peal_sender again;
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 5);
	get_numbers(&p.rx, 0, 2);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 3);
	room[0] = -1; /* and then it died */
	CHECK_EQ(peal_sender_attach(&again, &p.ring, &p.data, &p.space), 0);
	CHECK_EQ(peal_sender_free(&again), 5);
	put_numbers(&again, 5, 5);
	get_numbers(&p.rx, 2, 8);
	pair_free(&p);
}

TEST(receiver_that_attaches_again_finds_what_was_not_released)
{
	struct peal_receiver again;
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 5);
	get_numbers(&p.rx, 0, 2);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 3);
	CHECK_EQ(peal_receiver_attach(&again, &p.ring, &p.data, &p.space), 0);
	get_numbers(&again, 2, 3);
	put_numbers(&p.tx, 5, 8);
	get_numbers(&again, 5, 8);
	pair_free(&p);
}

TEST(nobody_attaches_in_the_place_of_one_who_finished)
{
	struct peal_sender tx, tx_untouched;
	struct peal_receiver rx, rx_untouched;
	struct pair p;

	memset(&tx, 0x5a, sizeof(tx));
	memset(&rx, 0x5a, sizeof(rx));
	tx_untouched = tx;
	rx_untouched = rx;
	pair_make(&p, 8, sizeof(int));
	peal_sender_finish(&p.tx);
	CHECK_EQ(peal_sender_attach(&tx, &p.ring, NULL, NULL), -EPIPE);
	CHECK(memcmp(&tx, &tx_untouched, sizeof(tx)) == 0);
	peal_receiver_finish(&p.rx);
	CHECK_EQ(peal_receiver_attach(&rx, &p.ring, NULL, NULL), -EPIPE);
	CHECK(memcmp(&rx, &rx_untouched, sizeof(rx)) == 0);
	pair_free(&p);
}

TEST(nobody_attaches_at_impossible_positions)
{
	static const uint64_t impossible[][2] = {
		{ 9, 0 },
		{ 0, 1 },
		{ 0, UINT64_MAX - 8 },
		{ UINT64_MAX, 0 },
		{ UINT64_C(1) << 63, 0 },
	};
	struct peal_sender tx, tx_untouched;
	struct peal_receiver rx, rx_untouched;
	struct pair p;

	memset(&tx, 0x5a, sizeof(tx));
	memset(&rx, 0x5a, sizeof(rx));
	tx_untouched = tx;
	rx_untouched = rx;
	pair_make(&p, 8, sizeof(int));
	for (int i = 0; i < 5; i++) {
		p.tx_page->position = impossible[i][0];
		p.rx_page->position = impossible[i][1];
		CHECK_EQ(peal_sender_attach(&tx, &p.ring, NULL, NULL), -EPROTO);
		CHECK_EQ(peal_receiver_attach(&rx, &p.ring, NULL, NULL),
			 -EPROTO);
	}
	CHECK(memcmp(&tx, &tx_untouched, sizeof(tx)) == 0);
	CHECK(memcmp(&rx, &rx_untouched, sizeof(rx)) == 0);
	pair_free(&p);
}

TEST(receiver_that_attaches_late_drains_what_a_sender_left)
{
	struct peal_receiver late;
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 8);
	peal_sender_finish(&p.tx);
	CHECK_EQ(peal_receiver_attach(&late, &p.ring, NULL, NULL), 0);
	CHECK(!peal_receiver_ended(&late));
	get_numbers(&late, 0, 8);
	CHECK(peal_receiver_ended(&late));
	pair_free(&p);
}
