/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The life of a source: it is added, closed, removed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../ring/internal.h"
#include "fixtures/trio.h"

/* -- closing */

TEST(the_end_comes_after_everything_was_delivered_and_once)
{
	start();
	rig_serve(&loop, &a, take_one_more);
	rig_send(&a, 5);
	peal_sender_finish(&a.tx);
	rig_settle(&loop);
	CHECK_EQ(a.next_out, 5);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(a.reason, 0);
	peal_doorbell_ring(&a.data);
	rig_settle(&loop);
	CHECK_EQ(a.closed, 1);
	end();
}

TEST(an_empty_stream_is_closed_without_a_callback)
{
	start();
	rig_serve(&loop, &a, drain);
	rig_settle(&loop);
	peal_sender_finish(&a.tx);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 0);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(a.reason, 0);
	end();
}

TEST(the_end_delivers_what_is_below_the_watermark)
{
	start();
	CHECK_EQ(peal_receiver_set_watermark(&a.rx, 8), 0);
	rig_serve(&loop, &a, drain);
	rig_send(&a, 3);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 0);
	peal_sender_finish(&a.tx);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	CHECK_EQ(a.next_out, 3);
	CHECK_EQ(a.closed, 1);
	end();
}

TEST(what_is_left_after_the_end_is_dropped_and_it_closes)
{
	start();
	rig_send(&a, 3);
	peal_sender_finish(&a.tx);
	rig_serve(&loop, &a, take_one_done);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	CHECK_EQ(a.closed, 1);
	end();
}

TEST(an_impossible_position_closes_that_ring_alone)
{
	struct peal_page *page;

	start();
	page = a.ring.sender_page;
	rig_serve(&loop, &a, drain);
	rig_serve(&loop, &b, drain);
	page->position = 9;
	peal_doorbell_ring(&a.data);
	rig_send(&b, 1);
	rig_settle(&loop);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(a.reason, -EPROTO);
	CHECK_EQ(a.calls, 0);
	CHECK_EQ(b.calls, 1);
	CHECK_EQ(b.closed, 0);
	end();
}

TEST(an_error_that_a_call_elsewhere_has_found_closes_the_source)
{
	struct peal_page *page;

	start();
	page = a.ring.sender_page;
	rig_serve(&loop, &a, drain);
	rig_settle(&loop);
	page->position = 9;
	CHECK_EQ(peal_receiver_used(&a.rx), -EPROTO);
	rig_settle(&loop);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(a.reason, -EPROTO);
	end();
}

TEST(hangup_delivers_what_was_published_and_nothing_after_it)
{
	start();
	rig_serve(&loop, &a, take_one_more);
	rig_settle(&loop);
	rig_send(&a, 3);
	CHECK_EQ(peal_reactor_hangup(&loop, &a.source, -EPIPE), 0);
	rig_send(&a, 2); /* by somebody who inherited it, say */
	rig_settle(&loop);
	CHECK_EQ(a.next_out, 3);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(a.reason, -EPIPE);
	end();
}

TEST(hangup_after_the_end_says_that_it_had_ended)
{
	start();
	rig_serve(&loop, &a, drain);
	peal_sender_finish(&a.tx);
	CHECK_EQ(peal_reactor_hangup(&loop, &a.source, -EPIPE), 0);
	rig_settle(&loop);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(a.reason, 0);
	end();
}

/* -- adding and removing */

static long remove_self(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	(void)rx;
	rig->calls++;
	CHECK_EQ(peal_reactor_remove(&loop, &rig->source), 0);
	memset(&rig->source, 0xff, sizeof(rig->source));
	return PEAL_MORE;
}

TEST(a_source_can_remove_itself_and_reuse_its_memory_at_once)
{
	start();
	rig_serve(&loop, &a, remove_self);
	rig_send(&a, 1);
	rig_settle(&loop);
	rig_send(&a, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls, 1);
	CHECK_EQ(a.closed, 0);
	end();
}

/* Whichever of the two comes first removes the other. */
static long remove_other(struct peal_receiver *rx, void *user)
{
	struct rig *other = user == &a ? &b : &a;

	(void)rx;
	((struct rig *)user)->calls++;
	rig_drain(user);
	CHECK_EQ(peal_reactor_remove(&loop, &other->source), 0);
	memset(&other->source, 0, sizeof(other->source));
	rig_serve(&loop, &c, drain); /* in the slot that has become free */
	return PEAL_DONE;
}

TEST(a_source_removed_in_the_same_batch_is_not_called)
{
	start();
	rig_serve(&loop, &a, remove_other);
	rig_serve(&loop, &b, remove_other);
	rig_send(&a, 1);
	rig_send(&b, 1);
	rig_settle(&loop);
	CHECK_EQ(a.calls + b.calls, 1);
	CHECK_EQ(c.calls, 0);
	rig_send(&c, 1);
	rig_settle(&loop);
	CHECK_EQ(c.calls, 1);
	end();
}

static void add_again(struct peal_receiver *rx, int reason, void *user)
{
	struct rig *rig = user;

	CHECK_EQ(reason, 0);
	CHECK(rx == &rig->rx);
	rig->closed++;
	memset(&rig->source, 0, sizeof(rig->source));
	rig_serve(&loop, &b, drain);
}

TEST(on_closed_may_add_another_source)
{
	start();
	CHECK_EQ(peal_reactor_add_receiver(&loop, &a.source, &a.rx,
					   &(struct peal_receiver_callbacks){
						   .on_readable = drain,
						   .on_closed = add_again,
						   .user = &a }),
		 0);
	rig_send(&b, 1);
	peal_sender_finish(&a.tx);
	rig_settle(&loop);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(b.calls, 1);
	end();
}

static void count(struct peal_source *source, int fd, uint32_t events,
		  void *user)
{
	char byte;

	(void)source;
	CHECK(events & EPOLLIN);
	CHECK_EQ(read(fd, &byte, 1), 1);
	++*(int *)user;
}

TEST(an_fd_number_that_was_closed_and_reused_keeps_its_new_source)
{
	struct peal_source old = { 0 }, new = { 0 };
	int first[2], second[2], calls = 0;

	start();
	CHECK_EQ(pipe2(first, O_CLOEXEC | O_NONBLOCK), 0);
	CHECK_EQ(peal_reactor_add_fd(&loop, &old, first[0], EPOLLIN, count,
				     &calls),
		 0);
	close(first[0]); /* before it was removed, which is a mistake */
	CHECK_EQ(pipe2(second, O_CLOEXEC | O_NONBLOCK), 0);
	CHECK_EQ(second[0], first[0]);
	CHECK_EQ(peal_reactor_add_fd(&loop, &new, second[0], EPOLLIN, count,
				     &calls),
		 0);
	CHECK_EQ(peal_reactor_remove(&loop, &old), 0);
	CHECK_EQ(write(second[1], "x", 1), 1);
	rig_settle(&loop);
	CHECK_EQ(calls, 1);
	CHECK_EQ(peal_reactor_remove(&loop, &new), 0);
	close(first[1]);
	close(second[0]);
	close(second[1]);
	end();
}

TEST(misuse_is_refused_and_changes_nothing)
{
	struct peal_receiver_callbacks calls = { .on_readable = drain,
						 .user = &a };
	struct peal_source twin = { 0 };
	struct peal_receiver deaf;

	start();
	CHECK_EQ(peal_reactor_add_receiver(
			 &loop, &twin, &a.rx,
			 &(struct peal_receiver_callbacks){ 0 }),
		 -EINVAL);
	CHECK_EQ(peal_receiver_attach(&deaf, &b.ring, NULL, NULL), 0);
	CHECK_EQ(peal_reactor_add_receiver(&loop, &twin, &deaf, &calls),
		 -EINVAL);
	rig_serve(&loop, &a, drain);
	CHECK_EQ(peal_reactor_add_receiver(&loop, &a.source, &a.rx, &calls),
		 -EBUSY);
	CHECK_EQ(peal_reactor_add_receiver(&loop, &twin, &a.rx, &calls),
		 -EEXIST);
	CHECK_EQ(peal_reactor_remove(&loop, &twin), 0);
	CHECK_EQ(peal_reactor_hangup(&loop, &twin, 0), -EINVAL);
	end();
}

TEST(a_full_table_is_enospc_until_one_is_removed)
{
	struct peal_source one = { 0 }, two = { 0 };
	struct peal_slot slot[1];
	struct peal_reactor small;
	struct peal_receiver_callbacks calls = { .on_readable = drain };

	start();
	CHECK_EQ(peal_reactor_init(&small, slot, 0), -EINVAL);
	CHECK_EQ(peal_reactor_init(&small, slot, 1), 0);
	CHECK_EQ(peal_reactor_add_receiver(&small, &one, &a.rx, &calls), 0);
	CHECK_EQ(peal_reactor_add_receiver(&small, &two, &b.rx, &calls),
		 -ENOSPC);
	CHECK_EQ(peal_reactor_remove(&small, &one), 0);
	CHECK_EQ(peal_reactor_add_receiver(&small, &two, &b.rx, &calls), 0);
	peal_reactor_close(&small);
	peal_reactor_close(&small);
	end();
}

/* -- told in each round, before it has its turn */

static void (*tell)(void);

static void tell_again(struct peal_source *source, void *user)
{
	(void)user;
	tell();
	CHECK_EQ(peal_reactor_defer(&loop, source), 0);
}

/* It stands in line already, and has its turn in the first round. */
static void has_its_turn_though(void (*told)(void))
{
	struct peal_source call = { 0 };

	tell = told;
	CHECK_EQ(peal_reactor_add_deferred(&loop, &call, tell_again, NULL), 0);
	CHECK_EQ(peal_reactor_set_band(&loop, &call, PEAL_BAND_HIGH), 0);
	CHECK_EQ(peal_reactor_defer(&loop, &call), 0);
	a.calls = 0;
	CHECK(peal_reactor_run_once(&loop, 0) >= 2);
	CHECK_EQ(a.calls, 1);
	CHECK_EQ(peal_reactor_remove(&loop, &call), 0);
}

static void arm_by_hand(void)
{
	CHECK(!peal_receiver_arm(&a.rx));
}

static void wait_for_more(void)
{
	const int *items;

	CHECK_EQ(peal_receiver_wait(&a.rx, 8, 0, &items), -ETIMEDOUT);
}

static void hang_up(void)
{
	CHECK_EQ(peal_reactor_hangup(&loop, &a.source, -EPIPE), 0);
}

static void drain_in_vain(void)
{
	CHECK_EQ(peal_sender_drain(&a.tx, 0), -ETIMEDOUT);
}

TEST(a_receiver_that_is_told_in_each_round_has_its_turn)
{
	void (*told[])(void) = { arm_by_hand, wait_for_more, hang_up };

	for (int i = 0; i < 3; i++) {
		start();
		rig_serve(&loop, &a, take_one_done);
		rig_settle(&loop);
		rig_send(&a, 3);
		has_its_turn_though(told[i]);
		end_uncounted(); /* calls by hand have transitions, too */
	}
}

static long leave_it(struct peal_sender *tx, void *user)
{
	(void)tx;
	((struct rig *)user)->calls++;
	return PEAL_DONE;
}

TEST(a_sender_that_is_told_in_each_round_has_its_turn)
{
	int *room;

	start();
	rig_feed(&loop, &a, leave_it);
	rig_settle(&loop);
	rig_send(&a, 8);
	CHECK_EQ(peal_sender_reserve(&a.tx, 1, &room), 0);
	rig_take(&a, 4);
	has_its_turn_though(drain_in_vain);
	end();
}
