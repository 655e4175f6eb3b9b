/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sender's side of a ring, as its users rely on it. */
#include <errno.h>
#include <pthread.h>

#include "fixtures/pair.h"

/* -- reserve and commit */

TEST(empty_ring_has_room_for_its_capacity)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_sender_free(&p.tx), 8);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 8);
	CHECK_EQ(peal_sender_reserve(&p.tx, 8, &room), 8);
	CHECK_EQ(peal_sender_try_reserve(&p.tx, &room), 8);
	CHECK((void *)room == p.ring.items);
	pair_free(&p);
}

TEST(receiver_sees_nothing_before_the_commit)
{
	struct pair p;
	const int *data;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_sender_reserve(&p.tx, 2, &room), 8);
	room[0] = 41;
	room[1] = 42;
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 0);
	CHECK_EQ(peal_sender_commit(&p.tx, 2), 0);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 2);
	CHECK_EQ(data[0], 41);
	CHECK_EQ(data[1], 42);
	pair_free(&p);
}

TEST(commit_may_be_of_fewer_than_were_reserved)
{
	struct pair p;
	int *room, *next;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_sender_reserve(&p.tx, 4, &room), 8);
	CHECK_EQ(peal_sender_commit(&p.tx, 3), 0);
	CHECK_EQ(peal_receiver_used(&p.rx), 3);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &next), 5);
	CHECK(next == room + 3);
	CHECK_EQ(peal_sender_commit(&p.tx, 0), 0);
	CHECK_EQ(peal_receiver_used(&p.rx), 3);
	pair_free(&p);
}

TEST(commit_of_more_than_there_is_publishes_nothing)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 8);
	CHECK_EQ(peal_sender_commit(&p.tx, 9), -EINVAL);
	CHECK_EQ(peal_sender_commit(&p.tx, SIZE_MAX), -EINVAL);
	CHECK_EQ(peal_receiver_used(&p.rx), 0);
	put_numbers(&p.tx, 0, 8);
	CHECK_EQ(peal_sender_commit(&p.tx, 1), -EINVAL);
	CHECK_EQ(peal_receiver_used(&p.rx), 8);
	get_numbers(&p.rx, 0, 8);
	pair_free(&p);
}

TEST(reserve_of_none_or_of_too_many_is_invalid)
{
	struct pair p;
	int *room = NULL;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_sender_reserve(&p.tx, 0, &room), -EINVAL);
	CHECK_EQ(peal_sender_reserve(&p.tx, 9, &room), -EINVAL);
	CHECK_EQ(peal_sender_reserve(&p.tx, SIZE_MAX, &room), -EINVAL);
	CHECK_EQ(peal_sender_wait(&p.tx, 0, 0, &room), -EINVAL);
	CHECK_EQ(peal_sender_wait(&p.tx, 9, 0, &room), -EINVAL);
	CHECK(room == NULL);
	pair_free(&p);
}

TEST(span_in_plain_memory_ends_at_the_wrap)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 6);
	get_numbers(&p.rx, 0, 6);
	CHECK_EQ(peal_sender_free(&p.tx), 8);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 2);
	CHECK((void *)(room + 2) ==
	      (void *)((char *)p.ring.items + 8 * sizeof(int)));
	CHECK_EQ(peal_sender_commit(&p.tx, 2), 0);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 6);
	CHECK((void *)room == p.ring.items);
	pair_free(&p);
}

/* -- a full ring */

TEST(reserve_on_a_full_ring_arms_and_is_woken_by_a_release)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 8);
	CHECK_EQ(peal_sender_free(&p.tx), 0);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
	CHECK_EQ(rings(&p.space), 0);
	get_numbers(&p.rx, 0, 1);
	CHECK_EQ(rings(&p.space), 1);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 1);
	pair_free(&p);
}

TEST(try_reserve_on_a_full_ring_does_not_arm)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 8);
	CHECK_EQ(peal_sender_try_reserve(&p.tx, &room), 0);
	get_numbers(&p.rx, 0, 8);
	CHECK_EQ(rings(&p.space), 0);
	CHECK_EQ(peal_sender_try_reserve(&p.tx, &room), 8);
	pair_free(&p);
}

TEST(reserve_of_several_is_woken_when_so_many_are_free)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 8);
	CHECK_EQ(peal_sender_reserve(&p.tx, 3, &room), 0);
	get_numbers(&p.rx, 0, 2);
	CHECK_EQ(rings(&p.space), 0);
	get_numbers(&p.rx, 2, 1);
	CHECK_EQ(rings(&p.space), 1);
	get_numbers(&p.rx, 3, 5);
	CHECK_EQ(rings(&p.space), 0);
	pair_free(&p);
}

TEST(smaller_reserve_after_a_larger_one_is_woken_in_its_turn)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 4);
	CHECK_EQ(peal_sender_reserve(&p.tx, 8, &room), 0);
	put_numbers(&p.tx, 4, 4);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
	get_numbers(&p.rx, 0, 1);
	CHECK_EQ(rings(&p.space), 1);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 1);
	pair_free(&p);
}

TEST(larger_reserve_after_a_smaller_one_is_woken_at_last)
{
	struct pair p;
	int *room;
	int woken = 0;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 8);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
	CHECK_EQ(peal_sender_reserve(&p.tx, 4, &room), 0);
	/* It may be woken early, and asks again then; but never late. */
	for (int i = 0; i < 4; i++) {
		get_numbers(&p.rx, i, 1);
		if (rings(&p.space) > 0)
			woken = peal_sender_reserve(&p.tx, 4, &room) > 0;
		CHECK_EQ(woken, i == 3);
	}
	pair_free(&p);
}

TEST(wait_under_way_outlives_a_reserve_that_succeeds)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 4);
	CHECK_EQ(peal_sender_reserve(&p.tx, 8, &room), 0);
	CHECK_EQ(peal_sender_reserve(&p.tx, 2, &room), 4);
	CHECK_EQ(peal_sender_try_reserve(&p.tx, &room), 4);
	CHECK_EQ(peal_sender_free(&p.tx), 4);
	get_numbers(&p.rx, 0, 4);
	CHECK_EQ(rings(&p.space), 1);
	CHECK_EQ(peal_sender_free(&p.tx), 8);
	CHECK(peal_sender_reserve(&p.tx, 8, &room) > 0);
	pair_free(&p);
}

/* -- put and each */

TEST(put_copies_as_many_as_there_is_room_for)
{
	const int items[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_sender_put(&p.tx, items, 5), 5);
	CHECK_EQ(peal_sender_put(&p.tx, items + 5, 7), 3);
	CHECK_EQ(peal_sender_put(&p.tx, items, 1), 0);
	CHECK_EQ(peal_sender_put(&p.tx, items, 0), 0);
	get_numbers(&p.rx, 0, 8);
	/* From the front again, over the wrap and on. */
	CHECK_EQ(peal_sender_put(&p.tx, items, 6), 6);
	get_numbers(&p.rx, 0, 6);
	CHECK_EQ(peal_sender_put(&p.tx, items, 8), 8);
	get_numbers(&p.rx, 0, 8);
	pair_free(&p);
}

struct counter {
	int next, last;
};

static bool count_up(void *item, void *user)
{
	struct counter *counter = user;

	*(int *)item = counter->next;
	return counter->next++ < counter->last;
}

TEST(each_fills_items_in_place_as_one_batch)
{
	struct counter counter = { .next = 100, .last = 1000 };
	struct peal_ring_stats stats;
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 5);
	get_numbers(&p.rx, 0, 5);
	CHECK(peal_receiver_arm(&p.rx));
	/* Over the wrap, and as many as fit. */
	CHECK_EQ(peal_sender_each(&p.tx, 6, count_up, &counter), 6);
	CHECK_EQ(peal_sender_each(&p.tx, 6, count_up, &counter), 2);
	CHECK_EQ(peal_sender_each(&p.tx, 6, count_up, &counter), 0);
	CHECK_EQ(counter.next, 108);
	CHECK_EQ(rings(&p.data), 1);
	peal_sender_stats(&p.tx, &stats);
	CHECK_EQ(stats.items, 5 + 8);
	get_numbers(&p.rx, 100, 8);
	pair_free(&p);
}

TEST(each_ends_where_the_callback_says_so)
{
	struct counter counter = { .next = 0, .last = 3 };
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_sender_each(&p.tx, 8, count_up, &counter), 3);
	CHECK_EQ(peal_receiver_used(&p.rx), 3);
	CHECK_EQ(peal_sender_each(&p.tx, 8, count_up, &counter), 0);
	CHECK_EQ(peal_receiver_used(&p.rx), 3);
	get_numbers(&p.rx, 0, 3);
	pair_free(&p);
}

/* -- wait, arm, clear, watermark */

TEST(wait_does_not_sleep_where_there_is_room)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 6);
	CHECK_EQ(peal_sender_wait(&p.tx, 2, -1, &room), 2);
	CHECK_EQ(peal_sender_wait(&p.tx, 2, 0, &room), 2);
	pair_free(&p);
}

TEST(wait_for_room_ends_when_the_time_is_over)
{
	struct pair p;
	int *room = NULL;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 6);
	CHECK_EQ(peal_sender_wait(&p.tx, 3, 0, &room), -ETIMEDOUT);
	CHECK_EQ(peal_sender_wait(&p.tx, 3, 10, &room), -ETIMEDOUT);
	CHECK(room == NULL);
	pair_free(&p);
}

TEST(bell_rung_in_vain_does_not_end_a_wait_for_room)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 8);
	CHECK_EQ(peal_doorbell_ring(&p.space), 0);
	CHECK_EQ(peal_sender_wait(&p.tx, 1, 10, &room), -ETIMEDOUT);
	pair_free(&p);
}

static void *release_one_by_one(void *receiver)
{
	struct peal_receiver *rx = receiver;

	for (int i = 0; i < 8; i++)
		get_numbers(rx, i, 1);
	return NULL;
}

TEST(wait_for_room_ends_when_there_is_enough)
{
	for (int n = 1; n <= 8; n++) {
		pthread_t thread;
		struct pair p;
		int *room;

		pair_make(&p, 8, sizeof(int));
		put_numbers(&p.tx, 0, 8);
		CHECK_EQ(pthread_create(&thread, NULL, release_one_by_one,
					&p.rx),
			 0);
		CHECK(peal_sender_wait(&p.tx, (size_t)n, -1, &room) >= n);
		pthread_join(thread, NULL);
		pair_free(&p);
	}
}

TEST(without_a_bell_there_is_nothing_to_wait_on)
{
	struct peal_sender tx;
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_sender_attach(&tx, &p.ring, NULL, NULL), 0);
	CHECK_EQ(peal_sender_fd(&tx), -1);
	CHECK_EQ(peal_sender_clear(&tx), 0);
	put_numbers(&tx, 0, 8);
	CHECK_EQ(peal_sender_wait(&tx, 1, -1, &room), -EINVAL);
	get_numbers(&p.rx, 0, 8);
	CHECK_EQ(peal_sender_wait(&tx, 1, -1, &room), 8);
	pair_free(&p);
}

TEST(arm_says_whether_there_is_anything_to_sleep_for)
{
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	CHECK(!peal_sender_arm(&p.tx));
	put_numbers(&p.tx, 0, 8);
	CHECK(peal_sender_arm(&p.tx));
	CHECK_EQ(peal_sender_fd(&p.tx), p.space.wait_fd);
	CHECK_EQ(peal_sender_clear(&p.tx), 0);
	get_numbers(&p.rx, 0, 1);
	CHECK_EQ(peal_sender_clear(&p.tx), 1);
	CHECK_EQ(peal_sender_clear(&p.tx), 0);
	CHECK(!peal_sender_arm(&p.tx));
	pair_free(&p);
}

TEST(watermark_keeps_the_sender_asleep_below_it)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_sender_set_watermark(&p.tx, 0), -EINVAL);
	CHECK_EQ(peal_sender_set_watermark(&p.tx, 9), -EINVAL);
	CHECK_EQ(peal_sender_set_watermark(&p.tx, 4), 0);
	put_numbers(&p.tx, 0, 8);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
	get_numbers(&p.rx, 0, 3);
	CHECK_EQ(rings(&p.space), 0);
	/* It wakes nobody; but what is free can be had. */
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 3);
	CHECK_EQ(peal_sender_wait(&p.tx, 3, -1, &room), 3);
	CHECK(peal_sender_arm(&p.tx));
	get_numbers(&p.rx, 3, 1);
	CHECK_EQ(rings(&p.space), 1);
	CHECK(!peal_sender_arm(&p.tx));
	/* More than the watermark is what it says. */
	CHECK_EQ(peal_sender_reserve(&p.tx, 6, &room), 0);
	get_numbers(&p.rx, 4, 1);
	CHECK_EQ(rings(&p.space), 0);
	get_numbers(&p.rx, 5, 1);
	CHECK_EQ(rings(&p.space), 1);
	pair_free(&p);
}

TEST(wait_for_less_than_the_watermark_sleeps_until_it_is_reached)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_sender_set_watermark(&p.tx, 4), 0);
	put_numbers(&p.tx, 0, 8);
	CHECK_EQ(peal_sender_wait(&p.tx, 1, 0, &room), -ETIMEDOUT);
	get_numbers(&p.rx, 0, 3);
	CHECK_EQ(rings(&p.space), 0);
	get_numbers(&p.rx, 3, 1);
	CHECK_EQ(rings(&p.space), 1);
	pair_free(&p);
}

/* -- bells that fail */

TEST(bell_that_fails_does_not_undo_the_commit)
{
	struct peal_doorbell bell;
	struct peal_ring_stats stats;
	struct peal_sender tx;
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_PIPE), 0);
	close(bell.wait_fd);
	CHECK_EQ(peal_sender_attach(&tx, &p.ring, &bell, &p.space), 0);

	CHECK(peal_receiver_arm(&p.rx));
	CHECK_EQ(peal_sender_reserve(&tx, 1, &room), 8);
	room[0] = 0;
	CHECK_EQ(peal_sender_commit(&tx, 1), -EPIPE);
	get_numbers(&p.rx, 0, 1);
	CHECK(peal_receiver_arm(&p.rx));
	put_numbers(&tx, 1, 1);
	get_numbers(&p.rx, 1, 1);
	peal_sender_stats(&tx, &stats);
	CHECK_EQ(stats.items, 2);
	CHECK_EQ(stats.doorbells, 2);
	CHECK_EQ(stats.bell_errors, 2);
	close(bell.ring_fd);
	pair_free(&p);
}

TEST(stats_count_what_the_sender_did)
{
	struct peal_ring_stats stats;
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK(peal_receiver_arm(&p.rx));
	put_numbers(&p.tx, 0, 8);
	CHECK_EQ(peal_sender_wait(&p.tx, 1, 0, &room), -ETIMEDOUT);
	peal_sender_stats(&p.tx, &stats);
	CHECK_EQ(stats.items, 8);
	CHECK_EQ(stats.doorbells, 1);
	CHECK_EQ(stats.bell_errors, 0);
	CHECK_EQ(stats.stalls, 1);
	CHECK_EQ(stats.transitions, 0);
	get_numbers(&p.rx, 0, 1);
	CHECK(!peal_sender_arm(&p.tx));
	peal_sender_stats(&p.tx, &stats);
	CHECK_EQ(stats.transitions, 1);
	pair_free(&p);
}
