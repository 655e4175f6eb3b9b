/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An inbox that hands out the oldest first, by the stamps of its senders. */
#include "fixtures/letters.h"

static struct box box;
static struct peal_outbox outs[PLACES];
static struct peal_channel liar;

static uint64_t ns_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void open_oldest(int senders)
{
	CHECK_EQ(box_open(&box, &(struct peal_inbox_options){ .oldest = true }),
		 0);
	for (int i = 0; i < senders; i++)
		join(&box, &outs[i], "honest");
}

static void close_all(void)
{
	for (int i = 0; i < PLACES; i++)
		peal_outbox_close(&outs[i], 0);
	peal_channel_close(&liar);
	peal_inbox_close(&box.inbox);
}

TEST(the_oldest_comes_first_whoever_sent_it)
{
	static const struct {
		int from;
		const char *text;
	} sent[] = { { 2, "1" }, { 0, "2" }, { 0, "3" }, { 1, "4" },
		     { 2, "5" }, { 1, "6" }, { 1, "7" }, { 0, "8" } };

	open_oldest(3);
	for (size_t i = 0; i < 8; i++)
		put_text(&outs[sent[i].from], sent[i].text);
	for (size_t i = 0; i < 8; i++)
		get_text(&box, LONG, sent[i].text);
	get_nothing(&box);
	close_all();
}

TEST(the_time_of_a_message_is_that_of_its_commit)
{
	struct peal_letter letter;
	char *room;

	open_oldest(2);
	put_text(&outs[0], "1");
	CHECK_EQ(peal_outbox_reserve(&outs[1], 8, -1, &room), 1);
	get_text(&box, LONG, "1");
	memcpy(room, "2", 1);
	CHECK_EQ(peal_outbox_commit(&outs[1], 7, 1), 0);
	put_text(&outs[0], "3");
	put_text(&outs[0], "4");
	put_text(&outs[1], "5");
	get_text(&box, LONG, "2");
	CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
	check_text(&letter, "3");
	CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	get_text(&box, LONG, "4");
	get_text(&box, LONG, "5");
	close_all();
}

TEST(stamps_are_times_of_the_monotonic_clock)
{
	uint64_t before = ns_now(), last = 0;
	struct peal_letter letter;

	open_oldest(2);
	put_text(&outs[0], "1");
	put_text(&outs[1], "2");
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
		CHECK(letter.stamp >= before && letter.stamp <= ns_now());
		CHECK(letter.stamp >= last);
		last = letter.stamp;
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	}
	close_all();
}

TEST(a_message_too_large_to_be_read_is_still_the_next_one)
{
	struct peal_letter letter;
	char text[8];

	open_oldest(2);
	put_text(&outs[1], "large");
	put_text(&outs[0], "2");
	CHECK_EQ(peal_inbox_read(&box.inbox, LONG, text, 4, &letter),
		 -EMSGSIZE);
	CHECK_EQ(letter.size, 5);
	get_text(&box, 0, "large");
	get_text(&box, 0, "2");
	close_all();
}

/* Sent one by one by random senders, and taken at random moments. */
TEST(random_senders_come_in_the_order_in_which_they_sent)
{
	uint64_t seed = test_seed(), sent = 0, taken = 0;
	struct peal_letter letter;

	open_oldest(PLACES);
	while (taken < 20000) {
		uint64_t n = test_random(&seed) % 100;
		int at;

		for (; n > 0 && sent < 20000; n--, sent++) {
			at = (int)(test_random(&seed) % PLACES);
			CHECK_EQ(peal_outbox_send(&outs[at], (uint32_t)sent,
						  &sent, sizeof(sent), 0),
				 0);
		}
		for (n = test_random(&seed) % 100; n > 0 && taken < sent; n--) {
			CHECK_EQ(peal_inbox_receive(&box.inbox, 0, &letter), 1);
			CHECK_EQ(letter.kind, taken);
			CHECK_EQ(letter.size, sizeof(sent));
			CHECK(memcmp(letter.data, &taken, sizeof(taken)) == 0);
			CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
			taken++;
		}
		while (sent - taken > 1000) {
			CHECK_EQ(peal_inbox_receive(&box.inbox, 0, &letter), 1);
			CHECK_EQ(letter.kind, taken);
			CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
			taken++;
		}
	}
	get_nothing(&box);
	close_all();
}

/* -- lies */

/* As many as there is room for: 256 in a lap. */
static void lie(uint64_t stamp)
{
	while (peal_message_send(&liar.sender, 666, &stamp, sizeof(stamp), 0) ==
	       0)
		;
}

TEST(one_that_claims_to_be_older_is_not_first_for_ever)
{
	struct peal_letter letter;

	open_oldest(2);
	join_raw(&box, &liar, "liar", true);
	for (int i = 0; i < 50; i++) {
		int before = 0;

		put_text(&outs[i % 2], "honest");
		for (;;) {
			lie((uint64_t)i % 3); /* always full */
			CHECK_EQ(peal_inbox_receive(&box.inbox, 0, &letter), 1);
			if (letter.kind == 7)
				break;
			CHECK_EQ(letter.kind, 666);
			CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
			/* What it can say is known to within two laps. */
			CHECK(++before <= 3 * 256);
		}
		check_text(&letter, "honest");
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	}
	close_all();
}

TEST(one_that_claims_to_be_of_the_future_comes_last_and_comes)
{
	struct peal_letter letter;
	int lies = 0;

	open_oldest(1);
	join_raw(&box, &liar, "liar", true);
	lie(UINT64_MAX);
	put_text(&outs[0], "1");
	get_text(&box, LONG, "1");
	put_text(&outs[0], "2");
	get_text(&box, LONG, "2");
	while (peal_inbox_receive(&box.inbox, 0, &letter) == 1) {
		CHECK_EQ(letter.kind, 666);
		CHECK_EQ(letter.size, 0);
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
		lies++;
	}
	CHECK_EQ(lies, 256);
	close_all();
}

TEST(stamps_that_go_backwards_do_not_change_the_order_of_a_sender)
{
	struct peal_letter letter;
	uint64_t last = 0;

	open_oldest(1);
	join_raw(&box, &liar, "liar", true);
	for (uint64_t i = 0; i < 100; i++) {
		uint64_t stamp = ns_now() - i * 1000000;

		CHECK_EQ(peal_message_send(&liar.sender, (uint32_t)i, &stamp,
					   sizeof(stamp), 0),
			 0);
	}
	for (uint32_t i = 0; i < 100; i++) {
		CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
		CHECK_EQ(letter.kind, i);
		CHECK(letter.stamp >= last);
		last = letter.stamp;
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	}
	close_all();
}
