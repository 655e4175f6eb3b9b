/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* When the reactor calls back, and when it does not. */
#define _GNU_SOURCE
#include <errno.h>
#include <unistd.h>

#include "fixtures/trio.h"

/* -- when a receiver is called back */

TEST(an_empty_ring_is_not_called_back)
{
	start();
	rig_serve(&loop, &a, drain);
	CHECK_EQ(rig_settle(&loop), 0);
	CHECK_EQ(a.calls, 0);
	end();
}

TEST(data_from_before_it_was_added_is_delivered)
{
	start();
	rig_send(&a, 3);
	rig_serve(&loop, &a, drain);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	CHECK_EQ(a.next_out, 3);
	end();
}

TEST(one_callback_for_each_transition)
{
	start();
	rig_serve(&loop, &a, drain);
	for (int i = 1; i <= 100; i++) {
		rig_send(&a, 1 + (size_t)i % 8);
		rig_settle(&loop);
		CHECK_EQ(a.calls, i);
		CHECK_EQ(a.next_out, a.next_in);
	}
	end();
}

TEST(a_bell_without_data_is_not_called_back)
{
	struct peal_reactor_stats stats;

	start();
	rig_serve(&loop, &a, drain);
	for (int i = 0; i < 10; i++) {
		peal_doorbell_ring(&a.data);
		rig_settle(&loop);
	}
	CHECK_EQ(a.calls, 0);
	peal_reactor_stats(&loop, &stats);
	CHECK_EQ(stats.spurious, 10);
	end();
}

TEST(a_bell_that_is_never_read_still_wakes_each_time)
{
	uint64_t count;

	start();
	rig_serve(&loop, &a, drain);
	rig_send(&a, 1);
	rig_settle(&loop);
	rig_send(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 2);
	/* Two rings, and nobody has spent a system call on reading them. */
	CHECK_EQ(read(a.data.wait_fd, &count, sizeof(count)), 8);
	CHECK_EQ(count, 2);
	end();
}

static long drain_then_send(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	(void)rx;
	rig->calls++;
	rig_drain(rig);
	if (rig->calls < 5)
		rig_send(rig, 1);
	return PEAL_DONE;
}

TEST(what_comes_between_the_drain_and_the_recheck_is_delivered)
{
	start();
	rig_serve(&loop, &a, drain_then_send);
	rig_send(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 5);
	CHECK_EQ(a.next_out, 5);
	end();
}

TEST(done_with_items_left_is_called_for_more_than_those)
{
	start();
	rig_serve(&loop, &a, take_one_done);
	rig_send(&a, 3);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	rig_send(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 2);
	end();
}

static long look_only(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	CHECK(peal_receiver_used(rx) > 0);
	rig->calls++;
	return PEAL_DONE;
}

TEST(done_on_a_full_ring_is_called_once_there_was_room_for_more)
{
	int *room;

	start();
	rig_serve(&loop, &a, look_only);
	rig_send(&a, 8);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	/* The sender finds it full, and its wait wakes nobody in vain. */
	CHECK_EQ(peal_sender_reserve(&a.tx, 1, &room), 0);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	rig_take(&a, 1);
	rig_send(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 2);
	end();
}

TEST(items_taken_elsewhere_do_not_lose_the_next_wakeup)
{
	start();
	rig_serve(&loop, &a, drain);
	for (int i = 0; i < 10; i++) {
		rig_send(&a, 2);
		rig_take(&a, 2); /* before the loop could look */
		rig_settle(&loop);
		CHECK_EQ(a.calls, i);
		rig_send(&a, 1);
		rig_settle(&loop);
		CHECK_EQ(a.calls, i + 1);
	}
	end();
}

TEST(more_is_called_again_until_it_is_done)
{
	struct peal_reactor_stats stats;

	start();
	rig_serve(&loop, &a, take_one_more);
	rig_send(&a, 8);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 8);
	peal_reactor_stats(&loop, &stats);
	CHECK_EQ(stats.callbacks, 8);
	CHECK_EQ(stats.mores, 7);
	end();
}

static long insatiable(struct peal_receiver *rx, void *user)
{
	(void)rx;
	((struct rig *)user)->calls++;
	return PEAL_MORE;
}

TEST(a_ring_that_is_always_more_delays_nobody_by_more_than_a_round)
{
	start();
	rig_serve(&loop, &a, insatiable);
	rig_serve(&loop, &b, drain);
	rig_send(&a, 8);
	for (int i = 1; i <= 50; i++) {
		rig_send(&b, 1);
		CHECK(peal_reactor_run_once(&loop, 0) >= 0);
		CHECK_EQ(b.calls, i);
		CHECK(a.calls >= i - 1 && a.calls <= i + 1);
	}
	end();
}

static long wait_for_five(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	rig->calls++;
	if (peal_receiver_used(rx) < 5)
		return PEAL_WAIT(5);
	rig_drain(rig);
	return PEAL_DONE;
}

TEST(wait_is_called_when_so_many_are_there)
{
	start();
	rig_serve(&loop, &a, wait_for_five);
	rig_send(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	rig_send(&a, 3);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	rig_send(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 2);
	CHECK_EQ(a.next_out, 5);
	/* For this once: the next one is for one item again. */
	rig_send(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 3);
	end();
}

TEST(a_watermark_holds_the_callback_back)
{
	start();
	CHECK_EQ(peal_receiver_set_watermark(&a.rx, 4), 0);
	rig_send(&a, 3);
	rig_serve(&loop, &a, drain);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 0);
	rig_send(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	rig_send(&a, 3);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	end();
}

TEST(a_sender_without_room_gets_what_is_below_the_watermark_delivered)
{
	int *room;

	start();
	CHECK_EQ(peal_receiver_set_watermark(&a.rx, 8), 0);
	rig_serve(&loop, &a, drain);
	rig_send(&a, 5);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 0);
	CHECK_EQ(peal_sender_reserve(&a.tx, 4, &room), 0);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	CHECK(peal_sender_reserve(&a.tx, 4, &room) > 0);
	end();
}

TEST(a_sender_that_was_without_room_before_is_noticed_when_arming)
{
	int *room;

	start();
	CHECK_EQ(peal_receiver_set_watermark(&a.rx, 8), 0);
	rig_send(&a, 5);
	CHECK_EQ(peal_sender_reserve(&a.tx, 4, &room), 0);
	rig_serve(&loop, &a, drain);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	end();
}

static long insist_on_eight(struct peal_receiver *rx, void *user)
{
	(void)rx;
	((struct rig *)user)->calls++;
	return PEAL_WAIT(8);
}

TEST(an_offer_that_is_refused_is_not_made_again_and_again)
{
	int *room;

	start();
	rig_serve(&loop, &a, insist_on_eight);
	rig_send(&a, 5);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	CHECK_EQ(peal_sender_reserve(&a.tx, 4, &room), 0);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 2);
	CHECK_EQ(peal_sender_reserve(&a.tx, 4, &room), 0);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 2);
	rig_send(&a, 1); /* something else is there to be refused */
	CHECK_EQ(peal_sender_reserve(&a.tx, 4, &room), 0);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 3);
	end();
}

static long wait_for_too_many(struct peal_receiver *rx, void *user)
{
	(void)rx;
	(void)user;
	return PEAL_WAIT(9);
}

TEST(waiting_for_more_than_the_capacity_closes_the_source)
{
	start();
	rig_serve(&loop, &a, wait_for_too_many);
	rig_send(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(a.reason, -EINVAL);
	end();
}

/* -- senders */

static long fill_up(struct peal_sender *tx, void *user)
{
	struct rig *rig = user;
	int *room;

	CHECK(tx == &rig->tx);
	rig->calls++;
	while (peal_sender_reserve(tx, 1, &room) > 0) {
		*room = rig->next_in++;
		CHECK_EQ(peal_sender_commit(tx, 1), 0);
	}
	return PEAL_DONE;
}

TEST(a_sender_is_called_at_first_and_then_when_a_full_ring_has_room)
{
	start();
	rig_feed(&loop, &a, fill_up);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	CHECK_EQ(a.next_in, 8);
	for (int i = 2; i < 50; i++) {
		rig_take(&a, 1 + (size_t)i % 8);
		rig_settle(&loop);
		CHECK_EQ(a.calls, i);
		CHECK_EQ(a.next_in - a.next_out, 8);
	}
	end();
}

static long fill_one(struct peal_sender *tx, void *user)
{
	struct rig *rig = user;

	(void)tx;
	rig->calls++;
	rig_send(rig, 1);
	return PEAL_DONE;
}

TEST(a_sender_that_never_fell_short_is_left_alone)
{
	start();
	rig_feed(&loop, &a, fill_one);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	rig_take(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	end();
}

TEST(a_reserve_outside_callbacks_that_falls_short_is_called_back)
{
	int *room;

	start();
	rig_feed(&loop, &a, fill_one);
	rig_settle(&loop);
	rig_send(&a, 7);
	CHECK_EQ(peal_sender_reserve(&a.tx, 2, &room), 0);
	rig_take(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	rig_take(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 2);
	end();
}

static long wait_for_three_free(struct peal_sender *tx, void *user)
{
	struct rig *rig = user;

	(void)tx;
	rig->calls++;
	return PEAL_WAIT(3);
}

TEST(a_sender_can_wait_for_so_many_free_items)
{
	start();
	rig_send(&a, 7);
	rig_feed(&loop, &a, wait_for_three_free);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	rig_take(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	rig_take(&a, 1);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 1);
	CHECK_EQ(a.calls, 2);
	end();
}

static long fill_then_idle(struct peal_sender *tx, void *user)
{
	struct rig *rig = user;

	if (rig->calls > 0) {
		rig->calls++;
		return PEAL_DONE;
	}
	fill_up(tx, user);
	return PEAL_MORE;
}

TEST(room_that_comes_while_a_sender_stands_in_line_is_not_forgotten)
{
	start();
	rig_feed(&loop, &a, fill_then_idle);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 1);
	rig_take(&a, 1); /* its bell rings into a turn that is owed anyway */
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 1);
	CHECK_EQ(a.calls, 2);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 3);
	end();
}

TEST(a_sender_is_told_when_the_receiver_finishes)
{
	start();
	rig_feed(&loop, &a, fill_up);
	rig_settle(&loop);
	peal_receiver_finish(&a.rx);
	rig_settle(&loop);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(a.reason, 0);
	end();
}
