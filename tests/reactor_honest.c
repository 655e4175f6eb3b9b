/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Honest peers that ring more often than others. Their bells must not be put in
 * quarantine (reactor_quarantine.c), nor be missed. See also reactor_model.c.
 */
#include <pthread.h>

#include "fixtures/duo.h"

static uint64_t quarantines(void)
{
	struct peal_reactor_stats stats;

	peal_reactor_stats(&loop, &stats);
	return stats.quarantines;
}

TEST(a_sender_that_falls_short_while_items_are_taken_elsewhere_is_honest)
{
	int *room;

	start_with(RIG_MAX);
	CHECK_EQ(peal_receiver_set_watermark(&a.rx, RIG_MAX), 0);
	rig_serve(&loop, &a, drain);
	for (int i = 0; i < 1000; i++) {
		rig_send(&a, 1);
		/* The sender lacks one item, and kicks us; by then it is taken.
		 */
		CHECK_EQ(peal_sender_reserve(&a.tx, RIG_MAX, &room), 0);
		rig_take(&a, 1);
		CHECK_EQ(rig_settle(&loop), 0);
		CHECK_EQ(quarantines(), 0);
	}
	end();
}

static long refuse(struct peal_receiver *rx, void *user)
{
	(void)rx;
	((struct rig *)user)->calls++;
	return PEAL_WAIT(RIG_MAX);
}

TEST(a_sender_that_asks_again_and_again_is_honest)
{
	int *room;

	start_with(RIG_MAX);
	rig_serve(&loop, &a, refuse);
	rig_send(&a, 2);
	for (int i = 0; i < 1000; i++) {
		size_t n = RIG_MAX - 1 - (size_t)(i % 2 == 0);

		if (i % 20 == 19 && i < 600)
			rig_send(&a, 1);
		if (peal_sender_reserve(&a.tx, n, &room) == 0 && i % 3 == 0)
			peal_sender_arm(&a.tx);
		rig_settle(&loop);
		CHECK_EQ(quarantines(), 0);
	}
	CHECK(a.calls > 0);
	end();
}

/* Asked for less in between, it may have told us that it waits no more. */
TEST(a_sender_that_armed_for_less_in_between_is_heard_all_the_same)
{
	int *room;

	start();
	CHECK_EQ(peal_receiver_set_watermark(&a.rx, 8), 0);
	rig_serve(&loop, &a, drain);
	rig_send(&a, 5);
	CHECK_EQ(peal_sender_reserve(&a.tx, 4, &room), 0);
	CHECK(!peal_sender_arm(&a.tx)); /* there is room for one */
	rig_settle(&loop);
	if (a.calls == 0)
		CHECK_EQ(peal_sender_reserve(&a.tx, 4, &room), 0);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	CHECK(peal_sender_reserve(&a.tx, 4, &room) > 0);
	end();
}

#define ITEMS 500000

static uint64_t seed; /* of the loop's thread */

static void *send_all(void *user)
{
	uint64_t random = *(uint64_t *)user;
	int *room;

	while (a.next_in < ITEMS) {
		size_t n = 1 + test_random(&random) % RIG_MAX;

		CHECK(peal_sender_wait(&a.tx, n, -1, &room) > 0);
		rig_send(&a, 1 + test_random(&random) % n);
	}
	peal_sender_finish(&a.tx);
	return NULL;
}

static void take_some(struct rig *rig)
{
	size_t used = (size_t)peal_receiver_used(&rig->rx);

	if (used > 0)
		rig_take(rig, 1 + test_random(&seed) % used);
}

static void take_elsewhere(struct peal_source *source, uint64_t n, void *user)
{
	(void)source;
	(void)n;
	take_some(user);
}

static long take_a_part(struct peal_receiver *rx, void *user)
{
	take_some(user);
	if (peal_receiver_used(rx) > 0)
		return PEAL_MORE;
	if (test_random(&seed) % 2)
		return PEAL_DONE;
	return PEAL_WAIT(1 + test_random(&seed) % RIG_MAX);
}

TEST(a_stream_with_watermarks_and_takers_elsewhere_is_honest)
{
	struct peal_source timer = { 0 };
	pthread_t thread;
	uint64_t other;

	seed = test_seed();
	other = test_random(&seed);
	start_with(RIG_MAX);
	CHECK_EQ(peal_receiver_set_watermark(&a.rx, RIG_MAX / 2), 0);
	CHECK_EQ(peal_sender_set_watermark(&a.tx, RIG_MAX * 3 / 4), 0);
	rig_serve(&loop, &a, take_a_part);
	CHECK_EQ(peal_reactor_add_timer(&loop, &timer, take_elsewhere, &a), 0);
	CHECK_EQ(peal_reactor_set_timer(&loop, &timer, 0, 20000, 0), 0);
	CHECK_EQ(pthread_create(&thread, NULL, send_all, &other), 0);
	while (a.closed == 0)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(a.reason, 0);
	CHECK_EQ(a.next_out, a.next_in);
	CHECK_EQ(quarantines(), 0);
	end();
}
