/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How a ring ends: by either end, or because one is known to be gone. */
#include <errno.h>
#include <peal/local.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "fixtures/pair.h"

static bool fill_none(void *item, void *user)
{
	(void)item;
	(void)user;
	return false;
}

static bool take_none(const void *item, void *user)
{
	(void)item;
	(void)user;
	return false;
}

/* -- the sender ends the stream */

TEST(what_was_committed_is_drained_before_the_end)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 3);
	peal_sender_finish(&p.tx);
	CHECK(!peal_receiver_ended(&p.rx));
	get_numbers(&p.rx, 0, 1);
	CHECK(!peal_receiver_ended(&p.rx));
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 2);
	CHECK_EQ(peal_receiver_release(&p.rx, 2), 0);
	CHECK(peal_receiver_ended(&p.rx));
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 0);
	CHECK_EQ(peal_receiver_used(&p.rx), 0);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, -1, &data), 0);
	CHECK(!peal_receiver_arm(&p.rx));
	pair_free(&p);
}

TEST(what_was_reserved_and_not_committed_is_dropped)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_sender_reserve(&p.tx, 4, &room), 8);
	peal_sender_finish(&p.tx);
	CHECK_EQ(peal_sender_commit(&p.tx, 4), -EPIPE);
	CHECK(peal_receiver_ended(&p.rx));
	pair_free(&p);
}

TEST(sender_that_finished_is_told_so_by_every_call)
{
	struct pair p;
	int item = 0;
	int *room;

	pair_make(&p, 8, sizeof(int));
	peal_sender_finish(&p.tx);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), -EPIPE);
	CHECK_EQ(peal_sender_try_reserve(&p.tx, &room), -EPIPE);
	CHECK_EQ(peal_sender_wait(&p.tx, 1, -1, &room), -EPIPE);
	CHECK_EQ(peal_sender_commit(&p.tx, 1), -EPIPE);
	CHECK_EQ(peal_sender_put(&p.tx, &item, 1), -EPIPE);
	CHECK_EQ(peal_sender_each(&p.tx, 1, fill_none, NULL), -EPIPE);
	CHECK_EQ(peal_sender_free(&p.tx), -EPIPE);
	CHECK(!peal_sender_arm(&p.tx));
	CHECK_EQ(p.tx_page->position, 0);
	pair_free(&p);
}

TEST(finish_rings_once_though_nobody_armed)
{
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	peal_sender_finish(&p.tx);
	CHECK_EQ(rings(&p.data), 1);
	peal_sender_finish(&p.tx);
	CHECK_EQ(rings(&p.data), 0);
	peal_receiver_finish(&p.rx);
	CHECK_EQ(rings(&p.space), 1);
	peal_receiver_finish(&p.rx);
	CHECK_EQ(rings(&p.space), 0);
	pair_free(&p);
}

TEST(ends_that_are_all_zero_can_be_finished)
{
	struct peal_sender tx = { 0 };
	struct peal_receiver rx = { 0 };

	peal_sender_finish(&tx);
	peal_receiver_finish(&rx);
}

TEST(end_of_stream_wakes_below_any_watermark)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_receiver_set_watermark(&p.rx, 8), 0);
	put_numbers(&p.tx, 0, 3);
	CHECK(peal_receiver_arm(&p.rx));
	CHECK_EQ(rings(&p.data), 0);
	peal_sender_finish(&p.tx);
	CHECK_EQ(rings(&p.data), 1);
	CHECK(!peal_receiver_arm(&p.rx));
	CHECK_EQ(peal_receiver_wait(&p.rx, 8, -1, &data), 3);
	CHECK_EQ(peal_receiver_release(&p.rx, 3), 0);
	CHECK_EQ(peal_receiver_wait(&p.rx, 8, -1, &data), 0);
	pair_free(&p);
}

static void *finish_sender(void *arg)
{
	peal_sender_finish(arg);
	return NULL;
}

static void *finish_receiver(void *arg)
{
	peal_receiver_finish(arg);
	return NULL;
}

TEST(receiver_that_sleeps_is_woken_by_the_end)
{
	for (int i = 0; i < 100; i++) {
		pthread_t thread;
		struct pair p;
		const int *data;

		pair_make(&p, 8, sizeof(int));
		CHECK_EQ(pthread_create(&thread, NULL, finish_sender, &p.tx),
			 0);
		CHECK_EQ(peal_receiver_wait(&p.rx, 8, -1, &data), 0);
		pthread_join(thread, NULL);
		pair_free(&p);
	}
}

TEST(positions_do_not_move_after_the_end)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 2);
	peal_sender_finish(&p.tx);
	CHECK_EQ(peal_receiver_wait(&p.rx, 8, -1, &data), 2);
	p.tx_page->position = 5; /* a child that goes on writing */
	CHECK_EQ(peal_receiver_used(&p.rx), 2);
	p.tx_page->position = 1000;
	get_numbers(&p.rx, 0, 2);
	CHECK(peal_receiver_ended(&p.rx));
	pair_free(&p);
}

/* -- the receiver takes no more */

static void check_told_epipe(struct peal_sender *tx)
{
	int item = 0;
	int *room;

	CHECK_EQ(peal_sender_reserve(tx, 1, &room), -EPIPE);
	CHECK_EQ(peal_sender_reserve(tx, 8, &room), -EPIPE);
	CHECK_EQ(peal_sender_try_reserve(tx, &room), -EPIPE);
	CHECK_EQ(peal_sender_wait(tx, 1, -1, &room), -EPIPE);
	CHECK_EQ(peal_sender_put(tx, &item, 1), -EPIPE);
	CHECK_EQ(peal_sender_each(tx, 1, fill_none, NULL), -EPIPE);
	CHECK_EQ(peal_sender_free(tx), -EPIPE);
	CHECK(peal_sender_commit(tx, 1) < 0);
	CHECK(!peal_sender_arm(tx));
}

TEST(sender_of_a_full_ring_is_told_that_the_receiver_finished)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 8);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
	peal_receiver_finish(&p.rx);
	CHECK_EQ(rings(&p.space), 1);
	check_told_epipe(&p.tx);
	pair_free(&p);
}

TEST(sender_with_room_is_told_that_the_receiver_finished)
{
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 4);
	peal_receiver_finish(&p.rx);
	/* Once it has fallen short and looked, */
	while (peal_sender_put(&p.tx, "abc", 1) > 0)
		;
	check_told_epipe(&p.tx);
	pair_free(&p);
}

TEST(no_call_forgets_that_the_receiver_finished)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 4);
	peal_receiver_finish(&p.rx);
	CHECK_EQ(peal_sender_reserve(&p.tx, 8, &room), -EPIPE);
	check_told_epipe(&p.tx);
	pair_free(&p);
}

TEST(sender_that_sleeps_is_woken_when_the_receiver_finishes)
{
	for (int i = 0; i < 100; i++) {
		pthread_t thread;
		struct pair p;
		int *room;

		pair_make(&p, 8, sizeof(int));
		put_numbers(&p.tx, 0, 8);
		CHECK_EQ(pthread_create(&thread, NULL, finish_receiver, &p.rx),
			 0);
		CHECK_EQ(peal_sender_wait(&p.tx, 1, -1, &room), -EPIPE);
		pthread_join(thread, NULL);
		pair_free(&p);
	}
}

TEST(receiver_that_finished_is_told_so_by_every_call)
{
	struct pair p;
	const int *data;
	int item;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 3);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 3);
	peal_receiver_finish(&p.rx);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), -EPIPE);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, -1, &data), -EPIPE);
	CHECK_EQ(peal_receiver_release(&p.rx, 1), -EPIPE);
	CHECK_EQ(peal_receiver_get(&p.rx, &item, 1), -EPIPE);
	CHECK_EQ(peal_receiver_each(&p.rx, 1, take_none, NULL), -EPIPE);
	CHECK_EQ(peal_receiver_used(&p.rx), -EPIPE);
	CHECK(!peal_receiver_arm(&p.rx));
	CHECK_EQ(p.rx_page->position, 0);
	pair_free(&p);
}

/* -- the other end is known to be gone */

TEST(hangup_tells_the_sender_by_every_call)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 3);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 5);
	peal_sender_hangup(&p.tx);
	peal_sender_hangup(&p.tx);
	check_told_epipe(&p.tx);
	CHECK_EQ(peal_sender_commit(&p.tx, 1), -EPIPE);
	CHECK_EQ(p.tx_page->position, 3);
	/* The stream can still be ended for whoever comes next. */
	peal_sender_finish(&p.tx);
	CHECK_EQ(p.tx_page->state, 1);
	pair_free(&p);
}

TEST(hangup_leaves_the_receiver_what_was_published)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 3);
	peal_receiver_hangup(&p.rx);
	put_numbers(&p.tx, 3, 2); /* too late */
	CHECK(!peal_receiver_ended(&p.rx));
	CHECK(!peal_receiver_arm(&p.rx));
	CHECK_EQ(peal_receiver_wait(&p.rx, 8, -1, &data), 3);
	get_numbers(&p.rx, 0, 3);
	CHECK(peal_receiver_ended(&p.rx));
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, -1, &data), -EPIPE);
	pair_free(&p);
}

static void send_for_ever(void *arg)
{
	struct peal_local *local = arg;

	for (uint64_t next = 0;;) {
		uint64_t *room;
		ssize_t n = peal_sender_wait(&local->sender, 1, -1, &room);

		CHECK(n > 0);
		n = n > 7 ? 7 : n;
		for (ssize_t i = 0; i < n; i++)
			room[i] = next++;
		CHECK_EQ(peal_sender_commit(&local->sender, (size_t)n), 0);
	}
}

TEST(what_a_killed_sender_had_published_is_received)
{
	struct peal_geometry geometry = { .capacity = 512, .item_size = 8 };
	uint64_t seed = test_seed();

	for (int round = 0; round < 10; round++) {
		struct peal_local local;
		uint64_t next = 0, last = 1 + test_random(&seed) % 5000;
		pid_t child;
		int status;

		CHECK_EQ(peal_local_init(&local, &geometry), 0);
		child = test_fork(send_for_ever, &local);
		while (!peal_receiver_ended(&local.receiver)) {
			const uint64_t *data;
			ssize_t n = peal_receiver_wait(&local.receiver, 1, -1,
						       &data);

			CHECK(n > 0);
			for (ssize_t i = 0; i < n; i++)
				CHECK_EQ(data[i], next++);
			CHECK_EQ(peal_receiver_release(&local.receiver,
						       (size_t)n),
				 0);
			if (next < last)
				continue;
			kill(child, SIGKILL);
			CHECK_EQ(waitpid(child, &status, 0), child);
			CHECK(WIFSIGNALED(status));
			peal_receiver_hangup(&local.receiver);
			last = UINT64_MAX;
		}
		CHECK_EQ(
			next,
			((struct peal_page *)local.ring.sender_page)->position);
		peal_local_close(&local);
	}
}
