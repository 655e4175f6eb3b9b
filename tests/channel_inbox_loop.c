/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An inbox in a loop: the caller's reactor, or by its fd; and its misuse. */
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "fixtures/box.h"

static int send_later(void *arg)
{
	struct timespec ts = { .tv_nsec = 20000000 };

	nanosleep(&ts, NULL);
	return peal_outbox_send(arg, 7, "late", 4, -1);
}

/* -- on a reactor */

struct taker {
	struct peal_reactor loop;
	int calls, taken, empty, most; /* messages to take in one call */
	bool close;
};

static struct taker taker;

static void on_messages(struct peal_inbox *inbox, void *user)
{
	struct taker *t = user;
	struct peal_letter letter;
	int n;

	t->calls++;
	for (n = 0; n < t->most; n++) {
		if (peal_inbox_receive(inbox, 0, &letter) != 1)
			break;
		check_text(&letter, "hello");
		CHECK_EQ(peal_inbox_release(inbox, &letter), 0);
	}
	t->empty += n == 0 && t->most > 0;
	t->taken += n;
	if (t->close)
		peal_inbox_close(inbox);
}

static void open_on_loop(void (*call)(struct peal_inbox *inbox, void *user))
{
	CHECK_EQ(peal_reactor_init(&taker.loop, box.slots,
				   PEAL_INBOX_SLOTS(PLACES)),
		 0);
	CHECK_EQ(box_open_on(&box, &taker.loop,
			     &(struct peal_inbox_options){ .on_messages = call,
							   .user = &taker }),
		 0);
}

TEST(on_messages_takes_all)
{
	open_on_loop(on_messages);
	taker.most = 1000;
	join(&box, &a, "a");
	join(&box, &b, "b");
	for (int i = 0; i < 10; i++) {
		put_text(&a, "hello");
		put_text(&b, "hello");
	}
	while (taker.taken < 20)
		CHECK(peal_reactor_run_once(&taker.loop, LONG) >= 0);
	taker.calls = 0;
	for (int i = 0; i < 5; i++)
		CHECK(peal_reactor_run_once(&taker.loop, 1) >= 0);
	CHECK_EQ(taker.calls, 0);
	CHECK_EQ(taker.empty, 0);
	close_all();
	peal_reactor_close(&taker.loop);
}

TEST(on_messages_is_called_again_for_what_it_leaves)
{
	open_on_loop(on_messages);
	taker.most = 1;
	join(&box, &a, "a");
	join(&box, &b, "b");
	for (int i = 0; i < 10; i++) {
		put_text(&a, "hello");
		put_text(&b, "hello");
	}
	while (taker.taken < 20)
		CHECK(peal_reactor_run_once(&taker.loop, LONG) >= 0);
	CHECK_EQ(taker.taken, 20);
	CHECK(taker.calls >= 20);
	close_all();
	peal_reactor_close(&taker.loop);
}

TEST(what_is_left_when_a_sender_closes_is_taken_later)
{
	open_on_loop(on_messages);
	join(&box, &a, "a");
	for (int i = 0; i < 10; i++)
		put_text(&a, "hello");
	peal_outbox_close(&a, 0);
	for (int i = 0; i < 20; i++) /* it declines */
		CHECK(peal_reactor_run_once(&taker.loop, 1) >= 0);
	CHECK_EQ(box_channels(&box), 1);
	taker.most = 3;
	await_channels(&box, 0);
	CHECK_EQ(taker.taken, 10);
	close_all();
	peal_reactor_close(&taker.loop);
}

TEST(an_inbox_can_be_closed_by_on_messages)
{
	open_on_loop(on_messages);
	taker.most = 1;
	taker.close = true;
	join(&box, &a, "a");
	put_text(&a, "hello");
	put_text(&a, "hello");
	while (taker.calls == 0)
		CHECK(peal_reactor_run_once(&taker.loop, LONG) >= 0);
	CHECK_EQ(taker.taken, 1);
	CHECK_EQ(peal_channel_check(&a.channel), -EPIPE);
	close_all();
	peal_reactor_close(&taker.loop);
}

TEST(on_a_loop_of_the_callers_nothing_waits)
{
	struct peal_letter letter;
	char text[8];

	open_on_loop(NULL);
	join(&box, &a, "a");
	CHECK_EQ(peal_inbox_fd(&box.inbox), -1);
	CHECK_EQ(peal_inbox_receive(&box.inbox, 1, &letter), -EINVAL);
	CHECK_EQ(peal_inbox_receive(&box.inbox, -1, &letter), -EINVAL);
	CHECK_EQ(peal_inbox_read(&box.inbox, 1, text, 8, &letter), -EINVAL);
	get_nothing(&box);
	put_text(&a, "hello");
	while (peal_inbox_receive(&box.inbox, 0, &letter) == -ETIMEDOUT)
		CHECK(peal_reactor_run_once(&taker.loop, LONG) >= 0);
	check_text(&letter, "hello");
	CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	close_all();
	peal_reactor_close(&taker.loop);
}

TEST(a_loop_without_on_messages_sleeps_though_there_are_some)
{
	struct peal_reactor_stats before, after;

	open_on_loop(NULL);
	join(&box, &a, "a");
	put_text(&a, "hello");
	put_text(&a, "hello");
	for (int i = 0; i < 10; i++)
		CHECK(peal_reactor_run_once(&taker.loop, 1) >= 0);
	peal_reactor_stats(&taker.loop, &before);
	for (int i = 0; i < 10; i++)
		CHECK(peal_reactor_run_once(&taker.loop, 1) >= 0);
	peal_reactor_stats(&taker.loop, &after);
	CHECK_EQ(after.callbacks, before.callbacks);
	get_text(&box, 0, "hello");
	get_text(&box, 0, "hello");
	close_all();
	peal_reactor_close(&taker.loop);
}

/* -- by its fd */

static void open_own(void)
{
	CHECK_EQ(box_open(&box, NULL), 0);
	join(&box, &a, "a");
	join(&box, &b, "b");
	get_nothing(&box);
}

static bool readable(int timeout_ms)
{
	struct pollfd pfd = { .fd = peal_inbox_fd(&box.inbox),
			      .events = POLLIN };

	CHECK(pfd.fd >= 0);
	return poll(&pfd, 1, timeout_ms) == 1;
}

TEST(the_fd_is_readable_until_all_was_taken)
{
	struct task task;

	open_own();
	(void)readable(0);
	get_nothing(&box);
	CHECK(!readable(0));
	put_text(&a, "1");
	put_text(&a, "2");
	put_text(&b, "3");
	put_text(&a, "4");
	CHECK(readable(LONG));
	get_text(&box, 0, "1");
	CHECK(readable(0));
	get_text(&box, 0, "3");
	CHECK(readable(0));
	get_text(&box, 0, "2");
	CHECK(readable(0));
	get_text(&box, 0, "4");
	get_nothing(&box);
	CHECK(!readable(0));
	task_start(&task, send_later, &b);
	CHECK(readable(LONG));
	get_text(&box, 0, "late");
	CHECK_EQ(pthread_join(task.thread, NULL), 0);
	close_all();
}

TEST(an_fd_that_is_asked_for_late_tells_of_what_is_there)
{
	open_own();
	put_text(&a, "0");
	get_text(&box, LONG, "0");
	for (int i = 0; i < 3; i++)
		get_nothing(&box);
	put_text(&a, "1");
	put_text(&a, "2");
	get_text(&box, LONG, "1");
	CHECK(readable(0));
	get_text(&box, 0, "2");
	close_all();
}

TEST(the_fd_is_readable_while_a_large_message_was_not_read)
{
	struct peal_letter letter;
	char text[4];

	open_own();
	(void)readable(0);
	put_text(&a, "large");
	CHECK(readable(LONG));
	CHECK_EQ(peal_inbox_read(&box.inbox, 0, text, 4, &letter), -EMSGSIZE);
	CHECK(readable(LONG));
	get_text(&box, 0, "large");
	close_all();
}

TEST(the_fd_tells_of_what_a_dead_sender_left)
{
	open_own();
	(void)readable(0);
	put_text(&a, "1");
	put_text(&a, "2");
	peal_outbox_close(&a, 0);
	CHECK(readable(LONG));
	get_text(&box, 0, "1");
	CHECK(readable(LONG));
	get_text(&box, 0, "2");
	close_all();
}

/* One message for each event, of both senders. */
static void drain_by_epoll(uint32_t events, int each)
{
	struct epoll_event event = { .events = events };
	int ep = epoll_create1(EPOLL_CLOEXEC), taken = 0;
	struct peal_letter letter;

	open_own();
	CHECK_EQ(
		epoll_ctl(ep, EPOLL_CTL_ADD, peal_inbox_fd(&box.inbox), &event),
		0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 10; i++) {
			put_text(&a, "hello");
			put_text(&b, "hello");
		}
		for (taken = 0; taken < 20;) {
			CHECK_EQ(epoll_wait(ep, &event, 1, 5000), 1);
			for (int i = 0; i < each; i++) {
				if (peal_inbox_receive(&box.inbox, 0,
						       &letter) != 1)
					break;
				taken++;
				CHECK_EQ(
					peal_inbox_release(&box.inbox, &letter),
					0);
			}
		}
	}
	get_nothing(&box);
	close(ep);
	close_all();
}

TEST(level_triggered_epoll_tells_until_all_was_taken)
{
	drain_by_epoll(EPOLLIN, 1);
}

TEST(edge_triggered_epoll_tells_those_who_take_all)
{
	drain_by_epoll(EPOLLIN | EPOLLET, 1000);
}

TEST(edge_triggered_epoll_tells_those_who_take_some)
{
	drain_by_epoll(EPOLLIN | EPOLLET, 1);
}

/* -- misuse */

TEST(an_inbox_without_storage_is_refused)
{
	struct peal_inbox inbox;
	struct peal_inbox zero;
	struct peal_reactor loop;
	struct peal_inbox_options o = { 0 };

	memset(&zero, 0, sizeof(zero));
	memset(&inbox, 0xff, sizeof(inbox));
	CHECK_EQ(peal_inbox_open_in(&inbox, NULL, box.slots, PLACES,
				    "@peal-none", NULL),
		 -EINVAL);
	CHECK(memcmp(&inbox, &zero, sizeof(inbox)) == 0);
	CHECK_EQ(peal_inbox_open_in(&inbox, box.senders, NULL, PLACES,
				    "@peal-none", NULL),
		 -EINVAL);
	CHECK_EQ(peal_inbox_open_in(&inbox, box.senders, box.slots, 0,
				    "@peal-none", NULL),
		 -EINVAL);
	o.on_messages = on_messages; /* who would call that? */
	CHECK_EQ(peal_inbox_open_in(&inbox, box.senders, box.slots, PLACES,
				    "@peal-none", &o),
		 -EINVAL);
	/* The timer alone. */
	CHECK_EQ(peal_reactor_init(&loop, box.slots, 1), 0);
	CHECK_EQ(peal_inbox_open_on(&inbox, &loop, "@peal-none", &o), -EINVAL);
	o.senders = box.senders;
	CHECK_EQ(peal_inbox_open_on(&inbox, &loop, "@peal-none", &o), -EINVAL);
	o.n_senders = 1;
	CHECK_EQ(peal_inbox_open_on(&inbox, &loop, "@peal-none", &o), -ENOSPC);
	CHECK(memcmp(&inbox, &zero, sizeof(inbox)) == 0);
	peal_reactor_close(&loop);
}

TEST(an_address_that_is_taken_is_refused)
{
	struct box other = { 0 };

	CHECK_EQ(box_open(&box, NULL), 0);
	strcpy(other.address, box.address);
	CHECK_EQ(box_open(&other, NULL), -EADDRINUSE);
	peal_inbox_close(&other.inbox);
	peal_inbox_close(&box.inbox);
}

TEST(an_inbox_that_is_closed_says_so)
{
	struct peal_server_stats stats;
	struct peal_letter letter = { 0 };
	char text[8];

	CHECK_EQ(peal_inbox_receive(&box.inbox, 0, &letter), -EBADF);
	CHECK_EQ(peal_inbox_receive(&box.inbox, -1, &letter), -EBADF);
	CHECK_EQ(peal_inbox_read(&box.inbox, -1, text, 8, &letter), -EBADF);
	CHECK_EQ(peal_inbox_release(&box.inbox, &letter), -EINVAL);
	CHECK_EQ(peal_inbox_fd(&box.inbox), -1);
	peal_inbox_stats(&box.inbox, &stats);
	CHECK_EQ(stats.channels, 0);
	peal_inbox_wake(&box.inbox);
}

static struct peal_letter lent;

static void misuse_in_child(void *arg)
{
	struct peal_letter letter;
	char text[8];

	(void)arg;
	CHECK_EQ(peal_inbox_receive(&box.inbox, -1, &letter), -ECHILD);
	CHECK_EQ(peal_inbox_read(&box.inbox, 0, text, 8, &letter), -ECHILD);
	CHECK_EQ(peal_inbox_release(&box.inbox, &lent), -ECHILD);
	peal_inbox_wake(&box.inbox);
	peal_inbox_close(&box.inbox);
	peal_inbox_close(&box.inbox);
}

TEST(a_forked_child_cannot_use_the_inbox_or_harm_it)
{
	test_needs_madvise();
	open_own();
	put_text(&a, "1");
	put_text(&a, "2");
	CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &lent), 1);
	test_join(test_fork(misuse_in_child, NULL));
	CHECK_EQ(peal_outbox_flush(&a, 0), -ETIMEDOUT);
	check_text(&lent, "1");
	CHECK_EQ(peal_inbox_release(&box.inbox, &lent), 0);
	get_text(&box, 0, "2");
	get_nothing(&box);
	CHECK_EQ(peal_outbox_flush(&a, 0), 0);
	put_text(&b, "3");
	get_text(&box, LONG, "3");
	close_all();
}

TEST(storage_says_once_how_many_there_may_be)
{
	static PEAL_INBOX_STORAGE(1) storage;
	struct peal_letter letter;
	int fds = test_count_fds();

	box_address(&box);
	CHECK_EQ(peal_inbox_open(&storage, box.address, NULL), 0);
	CHECK_EQ(storage.inbox.options.n_senders, 1);
	CHECK_EQ(storage.inbox.own.table.n, PEAL_INBOX_SLOTS(1));
	CHECK_EQ(peal_inbox_receive(&storage.inbox, 0, &letter), -ETIMEDOUT);
	peal_inbox_close(&storage.inbox);
	CHECK_EQ(test_count_fds(), fds);
}
