/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receiver of an inbox. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "fixtures/box.h"

/* -- receiving */

TEST(a_message_arrives_as_it_was_sent)
{
	struct peal_letter letter;

	open_with(NULL);
	join(&box, &a, "cello");
	CHECK_EQ(peal_outbox_send(&a, 0xfffffffe, "hello", 5, -1), 0);
	CHECK_EQ(peal_inbox_receive(&box.inbox, -1, &letter), 1);
	CHECK_EQ(letter.size, 5);
	CHECK(memcmp(letter.data, "hello", 5) == 0);
	CHECK_EQ((uintptr_t)letter.data % 8, 0);
	CHECK_EQ(letter.kind, 0xfffffffe);
	CHECK_EQ(letter.stamp, 0);
	CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	get_nothing(&box);
	close_all();
}

TEST(a_message_of_no_bytes_arrives)
{
	struct peal_letter letter;
	char none;

	open_with(NULL);
	join(&box, &a, NULL);
	CHECK_EQ(peal_outbox_send(&a, 1, NULL, 0, -1), 0);
	CHECK_EQ(peal_outbox_send(&a, 2, NULL, 0, -1), 0);
	CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
	CHECK_EQ(letter.size, 0);
	CHECK_EQ(letter.kind, 1);
	CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	CHECK_EQ(peal_inbox_read(&box.inbox, LONG, &none, 0, &letter), 1);
	CHECK_EQ(letter.size, 0);
	CHECK_EQ(letter.kind, 2);
	close_all();
}

TEST(an_empty_inbox_times_out_and_not_before_its_time)
{
	struct peal_letter letter;
	uint64_t began;

	open_with(NULL);
	get_nothing(&box);
	began = ms_now();
	CHECK_EQ(peal_inbox_receive(&box.inbox, 30, &letter), -ETIMEDOUT);
	CHECK(ms_now() - began >= 29);
	join(&box, &a, "cello");
	began = ms_now();
	CHECK_EQ(peal_inbox_read(&box.inbox, 30, &letter, 1, &letter),
		 -ETIMEDOUT);
	CHECK(ms_now() - began >= 29);
	close_all();
}

static int send_later(void *arg)
{
	struct timespec ts = { .tv_nsec = 20000000 };

	nanosleep(&ts, NULL);
	return peal_outbox_send(arg, 7, "late", 4, -1);
}

TEST(a_receiver_that_sleeps_is_woken_by_a_message)
{
	struct task task;

	open_with(NULL);
	join(&box, &a, "cello");
	get_nothing(&box);
	for (int i = 0; i < 3; i++) {
		task_start(&task, send_later, &a);
		get_text(&box, i == 1 ? LONG : -1, "late");
		CHECK_EQ(task_end(&task, &box), 0);
	}
	close_all();
}

TEST(messages_of_one_sender_come_in_order_each_once)
{
	struct peal_letter letter;
	uint32_t next = 0;

	open_with(NULL);
	CHECK_EQ(try_join(&box, &a, NULL, NULL, 1), 0);
	for (uint32_t i = 0; i < 20000; i++) {
		char text[64];
		size_t size = i % sizeof(text);

		memset(text, (int)i & 0xff, size);
		while (peal_outbox_send(&a, i, text, size, 0) == -ETIMEDOUT) {
			CHECK_EQ(peal_inbox_receive(&box.inbox, 0, &letter), 1);
			CHECK_EQ(letter.kind, next);
			CHECK_EQ(letter.size, next % sizeof(text));
			for (size_t k = 0; k < letter.size; k++)
				CHECK(((const uint8_t *)letter.data)[k] ==
				      (uint8_t)next);
			next++;
			CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
		}
	}
	for (; next < 20000; next++) {
		CHECK_EQ(peal_inbox_receive(&box.inbox, 0, &letter), 1);
		CHECK_EQ(letter.kind, next);
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	}
	get_nothing(&box);
	close_all();
}

TEST(reading_copies_a_message_out)
{
	struct peal_letter letter = { 0 };
	_Alignas(8) char text[8] = "........";

	open_with(NULL);
	join(&box, &a, "cello");
	put_text(&a, "exactly8");
	CHECK_EQ(peal_inbox_read(&box.inbox, LONG, text, 8, &letter), 1);
	CHECK(letter.data == text);
	CHECK_EQ(letter.size, 8);
	CHECK_EQ(letter.kind, 7);
	CHECK(memcmp(text, "exactly8", 8) == 0);
	CHECK(strcmp(letter.from->hello.name, "cello") == 0);
	/* Nothing is left to release. */
	CHECK_EQ(peal_inbox_release(&box.inbox, &letter), -EINVAL);
	CHECK_EQ(peal_outbox_flush(&a, 0), 0);
	close_all();
}

TEST(a_message_too_large_to_be_read_stays_and_is_the_next_one)
{
	struct peal_letter letter = { 0 };
	_Alignas(8) char text[16]; /* as letters are */

	open_with(NULL);
	join(&box, &a, "a");
	join(&box, &b, "b");
	put_text(&a, "four and more");
	put_text(&b, "b1");
	put_text(&a, "a2");
	for (int i = 0; i < 3; i++) {
		letter.size = 0;
		CHECK_EQ(peal_inbox_read(&box.inbox, LONG, text, 4, &letter),
			 -EMSGSIZE);
		CHECK_EQ(letter.size, 13);
	}
	CHECK_EQ(peal_inbox_read(&box.inbox, 0, text, 13, &letter), 1);
	check_text(&letter, "four and more");
	get_text(&box, 0, "b1");
	get_text(&box, 0, "a2");
	get_nothing(&box);
	close_all();
}

/* -- releasing */

TEST(one_message_at_a_time_is_lent)
{
	struct peal_letter first, second;
	char text[8];

	open_with(NULL);
	join(&box, &a, "a");
	join(&box, &b, "b");
	put_text(&a, "a1");
	put_text(&a, "a2");
	put_text(&b, "b1");
	CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &first), 1);
	CHECK_EQ(peal_inbox_receive(&box.inbox, 0, &second), -EBUSY);
	CHECK_EQ(peal_inbox_receive(&box.inbox, -1, &second), -EBUSY);
	CHECK_EQ(peal_inbox_read(&box.inbox, 0, text, 8, &second), -EBUSY);
	CHECK_EQ(peal_inbox_release(&box.inbox, &first), 0);
	CHECK_EQ(peal_inbox_release(&box.inbox, &first), -EINVAL);
	CHECK_EQ(peal_inbox_receive(&box.inbox, 0, &second), 1);
	CHECK_EQ(peal_inbox_release(&box.inbox, &first), -EINVAL);
	CHECK_EQ(peal_inbox_release(&box.inbox, &second), 0);
	get_text(&box, 0, "a2");
	close_all();
}

TEST(a_message_that_is_lent_keeps_its_place_in_the_ring)
{
	struct peal_letter letter;
	int sent = 0;

	open_with(NULL);
	CHECK_EQ(try_join(&box, &a, NULL, NULL, 1), 0);
	put_text(&a, "the first");
	CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
	while (peal_outbox_send(&a, 7, "another", 7, 0) == 0)
		sent++;
	CHECK(sent > 100);
	check_text(&letter, "the first");
	CHECK_EQ(peal_outbox_flush(&a, 0), -ETIMEDOUT);
	CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	for (int i = 0; i < sent; i++)
		get_text(&box, 0, "another");
	CHECK_EQ(peal_outbox_flush(&a, 0), 0);
	close_all();
}

static int flush(void *arg)
{
	return peal_outbox_flush(arg, LONG);
}

TEST(what_was_released_does_not_come_again_after_closing)
{
	struct task task;

	open_with(NULL);
	join(&box, &a, "a");
	put_text(&a, "one");
	put_text(&a, "two");
	put_text(&a, "three");
	get_text(&box, LONG, "one");
	get_text(&box, 0, "two");
	peal_inbox_close(&box.inbox);
	open_with(NULL);
	task_start(&task, flush, &a);
	get_text(&box, LONG, "three");
	CHECK_EQ(task_end(&task, &box), 0);
	get_nothing(&box);
	close_all();
}

TEST(what_was_lent_and_not_released_comes_again_after_closing)
{
	struct peal_letter letter;
	struct task task;

	open_with(NULL);
	join(&box, &a, "a");
	put_text(&a, "one");
	put_text(&a, "two");
	get_text(&box, LONG, "one");
	CHECK_EQ(peal_inbox_receive(&box.inbox, 0, &letter), 1);
	peal_inbox_close(&box.inbox);
	open_with(NULL);
	task_start(&task, flush, &a);
	get_text(&box, LONG, "two");
	CHECK_EQ(task_end(&task, &box), 0);
	get_nothing(&box);
	close_all();
}

/* -- turns */

TEST(senders_take_turns)
{
	static const char *const expected[] = { "a1", "b1", "c1", "a2",
						"b2", "c2", "a3", "a4" };

	open_with(NULL);
	join(&box, &a, "a");
	join(&box, &b, "b");
	join(&box, &c, "c");
	put_text(&a, "a1");
	put_text(&a, "a2");
	put_text(&a, "a3");
	put_text(&a, "a4");
	put_text(&b, "b1");
	put_text(&b, "b2");
	put_text(&c, "c1");
	put_text(&c, "c2");
	for (size_t i = 0; i < 8; i++)
		get_text(&box, LONG, expected[i]);
	get_nothing(&box);
	close_all();
}

TEST(one_that_sends_all_the_time_does_not_keep_the_others_out)
{
	struct peal_letter letter;
	int before = 0;

	open_with(NULL);
	join(&box, &a, "a");
	join(&box, &b, "b");
	put_text(&a, "again");
	get_text(&box, LONG, "again");
	put_text(&a, "again");
	put_text(&a, "again");
	get_text(&box, LONG, "again");
	put_text(&b, "at last");
	for (;;) {
		put_text(&a, "again");
		CHECK_EQ(peal_inbox_receive(&box.inbox, 0, &letter), 1);
		if (letter.size != 5)
			break;
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
		CHECK(++before <= 64); /* between two looks at the idle */
	}
	check_text(&letter, "at last");
	close_all();
}

/* -- closing */

TEST(closing_twice_and_closing_nothing_does_nothing)
{
	struct peal_inbox none;

	memset(&none, 0, sizeof(none));
	peal_inbox_close(&none);
	open_with(NULL);
	join(&box, &a, "a");
	put_text(&a, "lost to this one");
	peal_inbox_close(&box.inbox);
	peal_inbox_close(&box.inbox);
	CHECK_EQ(peal_channel_check(&a.channel), -EPIPE);
	peal_outbox_close(&a, 0);
}

static void close_it(const struct peal_channel *from, void *user)
{
	(void)from;
	(void)user;
	peal_inbox_close(&box.inbox);
}

static void close_it_left(const struct peal_channel *from, int reason,
			  void *user)
{
	(void)reason;
	close_it(from, user);
}

static int join_alone(void *arg)
{
	return peal_outbox_open(arg, box.address, NULL, NULL, 0, LONG);
}

TEST(an_inbox_can_be_closed_when_a_sender_comes)
{
	struct peal_letter letter;
	struct task task;
	int ret;

	open_with(&(struct peal_inbox_options){ .on_joined = close_it });
	task_start(&task, join_alone, &a);
	ret = peal_inbox_receive(&box.inbox, -1, &letter);
	CHECK(ret == -EBADF || ret == -ECHILD);
	CHECK_EQ(pthread_join(task.thread, NULL), 0);
	close_all();
}

TEST(an_inbox_can_be_closed_when_a_sender_leaves)
{
	struct peal_letter letter;
	int ret;

	open_with(&(struct peal_inbox_options){ .on_left = close_it_left });
	join(&box, &a, "a");
	join(&box, &b, "b");
	peal_outbox_close(&a, LONG);
	ret = peal_inbox_receive(&box.inbox, -1, &letter);
	CHECK(ret == -EBADF || ret == -ECHILD);
	close_all();
}

/* -- waking */

static void wake(int number)
{
	(void)number;
	peal_inbox_wake(&box.inbox);
}

TEST(a_signal_handler_can_end_a_wait)
{
	struct sigaction action = { .sa_handler = wake };
	struct peal_letter letter;

	open_with(NULL);
	sigaction(SIGALRM, &action, NULL);
	for (int i = 0; i < 3; i++) {
		ualarm(20000, 0);
		CHECK_EQ(peal_inbox_receive(&box.inbox, -1, &letter),
			 -ETIMEDOUT);
	}
	join(&box, &a, "a");
	peal_inbox_wake(&box.inbox); /* before the wait counts, too: once */
	CHECK_EQ(peal_inbox_receive(&box.inbox, -1, &letter), -ETIMEDOUT);
	put_text(&a, "hello");
	get_text(&box, -1, "hello");
	close_all();
}

TEST(a_wake_ends_the_next_wait_whatever_comes_in_between)
{
	struct peal_letter letter;

	open_with(NULL);
	join(&box, &a, "a");
	for (int i = 0; i < 300; i++) {
		if (i % 3)
			put_text(&a, "hello");
		peal_inbox_wake(&box.inbox);
		if (i % 3)
			get_text(&box, -1, "hello");
		CHECK_EQ(peal_inbox_receive(&box.inbox, -1, &letter),
			 -ETIMEDOUT);
	}
	close_all();
}

static int join_later(void *arg)
{
	struct timespec ts = { .tv_nsec = 20000000 };
	struct joining j = { .out = arg, .address = box.address };

	nanosleep(&ts, NULL);
	return join_run(&j) < 0 ? -1 : peal_outbox_send(arg, 7, "late", 4, -1);
}

/* And what else the loop hears of, such as a sender that comes, does not. */
TEST(a_wake_that_a_look_has_answered_does_not_end_the_next_wait)
{
	struct task task;

	open_with(NULL);
	peal_inbox_wake(&box.inbox);
	get_nothing(&box);
	task_start(&task, join_later, &a);
	get_text(&box, -1, "late");
	CHECK_EQ(task_end(&task, &box), 0);
	close_all();
}
