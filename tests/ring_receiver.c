/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receiver's side of a ring, as its users rely on it. */
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

#include "fixtures/pair.h"

/* -- peek and release */

TEST(empty_ring_has_no_data)
{
	struct pair p;
	const int *data = NULL;
	int item;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_receiver_used(&p.rx), 0);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 0);
	CHECK_EQ(peal_receiver_get(&p.rx, &item, 1), 0);
	CHECK(data == NULL);
	CHECK(!peal_receiver_ended(&p.rx));
	pair_free(&p);
}

TEST(peek_finds_the_same_items_until_they_are_released)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 3);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(peal_receiver_peek(&p.rx, &data), 3);
		CHECK_EQ(data[0], 0);
		CHECK_EQ(data[2], 2);
	}
	CHECK_EQ(peal_sender_free(&p.tx), 5);
	CHECK_EQ(peal_receiver_release(&p.rx, 2), 0);
	CHECK_EQ(peal_sender_free(&p.tx), 7);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 1);
	CHECK_EQ(data[0], 2);
	CHECK_EQ(peal_receiver_release(&p.rx, 1), 0);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 0);
	pair_free(&p);
}

TEST(peek_finds_the_rest_once_what_was_known_is_released)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 2);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 2);
	put_numbers(&p.tx, 2, 3);
	CHECK(peal_receiver_peek(&p.rx, &data) >= 2);
	CHECK_EQ(peal_receiver_release(&p.rx, 2), 0);
	CHECK_EQ(peal_receiver_used(&p.rx), 3);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 3);
	CHECK_EQ(data[0], 2);
	CHECK_EQ(data[2], 4);
	pair_free(&p);
}

TEST(release_of_more_than_was_found_releases_nothing)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_receiver_release(&p.rx, 1), -EINVAL);
	put_numbers(&p.tx, 0, 3);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 3);
	CHECK_EQ(peal_receiver_release(&p.rx, 4), -EINVAL);
	CHECK_EQ(peal_receiver_release(&p.rx, SIZE_MAX), -EINVAL);
	CHECK_EQ(peal_sender_free(&p.tx), 5);
	CHECK_EQ(peal_receiver_release(&p.rx, 0), 0);
	CHECK_EQ(peal_sender_free(&p.tx), 5);
	get_numbers(&p.rx, 0, 3);
	pair_free(&p);
}

TEST(span_of_data_in_plain_memory_ends_at_the_wrap)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 6);
	get_numbers(&p.rx, 0, 6);
	put_numbers(&p.tx, 6, 5);
	CHECK_EQ(peal_receiver_used(&p.rx), 5);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 2);
	CHECK_EQ(data[0], 6);
	CHECK_EQ(data[1], 7);
	CHECK_EQ(peal_receiver_release(&p.rx, 2), 0);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 3);
	CHECK((const void *)data == p.ring.items);
	CHECK_EQ(data[0], 8);
	CHECK_EQ(data[2], 10);
	pair_free(&p);
}

/* -- get and each */

TEST(get_copies_as_many_as_there_are)
{
	int items[12] = { 0 };
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 5);
	CHECK_EQ(peal_receiver_get(&p.rx, items, 0), 0);
	CHECK_EQ(peal_receiver_get(&p.rx, items, 3), 3);
	CHECK_EQ(items[2], 2);
	CHECK_EQ(items[3], 0);
	put_numbers(&p.tx, 5, 6); /* over the wrap */
	CHECK_EQ(peal_receiver_get(&p.rx, items, 12), 8);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(items[i], i + 3);
	CHECK_EQ(peal_receiver_get(&p.rx, items, 12), 0);
	pair_free(&p);
}

struct expected {
	int next, last;
};

static bool compare(const void *item, void *user)
{
	struct expected *expected = user;

	CHECK_EQ(*(const int *)item, expected->next);
	if (expected->next == expected->last)
		return false;
	expected->next++;
	return true;
}

TEST(each_takes_items_in_place_as_one_batch)
{
	struct expected expected = { .next = 5, .last = 1000 };
	struct peal_ring_stats stats;
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 5);
	get_numbers(&p.rx, 0, 5);
	put_numbers(&p.tx, 5, 8); /* over the wrap */
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
	CHECK_EQ(peal_receiver_each(&p.rx, 6, compare, &expected), 6);
	CHECK_EQ(peal_receiver_each(&p.rx, 6, compare, &expected), 2);
	CHECK_EQ(peal_receiver_each(&p.rx, 6, compare, &expected), 0);
	CHECK_EQ(expected.next, 13);
	CHECK_EQ(rings(&p.space), 1);
	peal_receiver_stats(&p.rx, &stats);
	CHECK_EQ(stats.items, 5 + 8);
	pair_free(&p);
}

TEST(each_leaves_the_item_at_which_it_was_ended)
{
	struct expected expected = { .next = 0, .last = 3 };
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 6);
	CHECK_EQ(peal_receiver_each(&p.rx, 8, compare, &expected), 3);
	CHECK_EQ(peal_receiver_each(&p.rx, 8, compare, &expected), 0);
	CHECK_EQ(peal_receiver_used(&p.rx), 3);
	get_numbers(&p.rx, 3, 3);
	pair_free(&p);
}

/* -- wait, arm, clear, watermark */

TEST(wait_does_not_sleep_where_there_is_data)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 3);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, -1, &data), 3);
	CHECK_EQ(peal_receiver_wait(&p.rx, 3, 0, &data), 3);
	CHECK_EQ(data[0], 0);
	pair_free(&p);
}

TEST(wait_for_none_or_for_too_many_is_invalid)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_receiver_wait(&p.rx, 0, 0, &data), -EINVAL);
	CHECK_EQ(peal_receiver_wait(&p.rx, 9, 0, &data), -EINVAL);
	CHECK_EQ(peal_receiver_set_watermark(&p.rx, 0), -EINVAL);
	CHECK_EQ(peal_receiver_set_watermark(&p.rx, 9), -EINVAL);
	pair_free(&p);
}

TEST(wait_for_data_ends_when_the_time_is_over)
{
	struct pair p;
	const int *data = NULL;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, 0, &data), -ETIMEDOUT);
	put_numbers(&p.tx, 0, 2);
	CHECK_EQ(peal_receiver_wait(&p.rx, 3, 0, &data), -ETIMEDOUT);
	CHECK_EQ(peal_receiver_wait(&p.rx, 3, 10, &data), -ETIMEDOUT);
	CHECK(data == NULL);
	get_numbers(&p.rx, 0, 2);
	pair_free(&p);
}

TEST(who_has_slept_holds_an_fd_until_it_is_finished)
{
	struct rlimit limit, none;
	const int *data;
	struct pair p;
	int fds;

	pair_make(&p, 8, sizeof(int));
	fds = test_count_fds();
	/* Where there is none to be had it sleeps all the same. */
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3; /* all of them are taken */
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, 1, &data), -ETIMEDOUT);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK_EQ(test_count_fds(), fds);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(peal_receiver_wait(&p.rx, 1, 1, &data), -ETIMEDOUT);
		CHECK_EQ(test_count_fds(), fds + 1);
	}
	/* Rung before it sleeps: the bell is heard. */
	CHECK_EQ(peal_doorbell_ring(&p.data), 0);
	put_numbers(&p.tx, 0, 1);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, -1, &data), 1);
	peal_receiver_finish(&p.rx);
	CHECK_EQ(test_count_fds(), fds);
	pair_free(&p);
}

TEST(bell_rung_in_vain_does_not_end_a_wait_for_data)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_doorbell_ring(&p.data), 0);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, 10, &data), -ETIMEDOUT);
	pair_free(&p);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

struct ringer {
	struct peal_doorbell *bell;
	bool stop;
};

static void *ring_in_vain(void *arg)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	struct ringer *ringer = arg;

	while (!__atomic_load_n(&ringer->stop, __ATOMIC_RELAXED)) {
		peal_doorbell_ring(ringer->bell);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

TEST(bells_rung_in_vain_do_not_end_a_wait_before_its_time)
{
	struct ringer ringer = { 0 };
	pthread_t thread;
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	ringer.bell = &p.data;
	CHECK_EQ(pthread_create(&thread, NULL, ring_in_vain, &ringer), 0);
	for (int i = 0; i < 20; i++) {
		uint64_t began = now_ns();

		CHECK_EQ(peal_receiver_wait(&p.rx, 1, 3, &data), -ETIMEDOUT);
		CHECK(now_ns() - began >= 3000000);
	}
	__atomic_store_n(&ringer.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	pair_free(&p);
}

static void *put_one_by_one(void *sender)
{
	for (int i = 0; i < 8; i++)
		put_numbers(sender, i, 1);
	return NULL;
}

TEST(wait_for_data_ends_when_there_is_enough)
{
	for (int n = 1; n <= 8; n++) {
		pthread_t thread;
		struct pair p;
		const int *data;

		pair_make(&p, 8, sizeof(int));
		CHECK_EQ(pthread_create(&thread, NULL, put_one_by_one, &p.tx),
			 0);
		CHECK(peal_receiver_wait(&p.rx, (size_t)n, -1, &data) >= n);
		CHECK_EQ(data[n - 1], n - 1);
		pthread_join(thread, NULL);
		pair_free(&p);
	}
}

TEST(without_a_bell_there_is_nothing_to_wait_on)
{
	struct peal_receiver rx;
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_receiver_attach(&rx, &p.ring, NULL, NULL), 0);
	CHECK_EQ(peal_receiver_fd(&rx), -1);
	CHECK_EQ(peal_receiver_clear(&rx), 0);
	CHECK_EQ(peal_receiver_wait(&rx, 1, -1, &data), -EINVAL);
	put_numbers(&p.tx, 0, 1);
	CHECK_EQ(peal_receiver_wait(&rx, 1, -1, &data), 1);
	pair_free(&p);
}

TEST(wait_on_a_bell_that_nobody_can_ring_does_not_spin)
{
	struct peal_doorbell bell;
	struct peal_receiver rx;
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_PIPE), 0);
	close(bell.ring_fd);
	CHECK_EQ(peal_receiver_attach(&rx, &p.ring, &bell, NULL), 0);
	CHECK_EQ(peal_receiver_wait(&rx, 1, -1, &data), -EPIPE);
	put_numbers(&p.tx, 0, 1);
	CHECK_EQ(peal_receiver_wait(&rx, 1, -1, &data), 1);
	close(bell.wait_fd);
	pair_free(&p);
}

TEST(arm_says_whether_there_is_anything_to_sleep_for)
{
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	CHECK(peal_receiver_arm(&p.rx));
	CHECK_EQ(peal_receiver_fd(&p.rx), p.data.wait_fd);
	CHECK_EQ(peal_receiver_clear(&p.rx), 0);
	put_numbers(&p.tx, 0, 1);
	CHECK_EQ(peal_receiver_clear(&p.rx), 1);
	CHECK_EQ(peal_receiver_clear(&p.rx), 0);
	CHECK(!peal_receiver_arm(&p.rx));
	get_numbers(&p.rx, 0, 1);
	CHECK(peal_receiver_arm(&p.rx));
	pair_free(&p);
}

TEST(watermark_keeps_the_receiver_asleep_below_it)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_receiver_set_watermark(&p.rx, 4), 0);
	CHECK(peal_receiver_arm(&p.rx));
	put_numbers(&p.tx, 0, 3);
	CHECK_EQ(rings(&p.data), 0);
	/* It wakes nobody; but what is there can be had. */
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 3);
	CHECK_EQ(peal_receiver_wait(&p.rx, 3, -1, &data), 3);
	CHECK(peal_receiver_arm(&p.rx));
	put_numbers(&p.tx, 3, 1);
	CHECK_EQ(rings(&p.data), 1);
	CHECK(!peal_receiver_arm(&p.rx));
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, -1, &data), 4);
	/* More than the watermark is what it says. */
	CHECK_EQ(peal_receiver_wait(&p.rx, 6, 0, &data), -ETIMEDOUT);
	put_numbers(&p.tx, 4, 1);
	CHECK_EQ(rings(&p.data), 0);
	put_numbers(&p.tx, 5, 1);
	CHECK_EQ(rings(&p.data), 1);
	pair_free(&p);
}

TEST(wait_for_less_than_the_watermark_sleeps_until_it_is_reached)
{
	struct pair p;
	const int *data;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_receiver_set_watermark(&p.rx, 4), 0);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, 0, &data), -ETIMEDOUT);
	put_numbers(&p.tx, 0, 3);
	CHECK_EQ(rings(&p.data), 0);
	put_numbers(&p.tx, 3, 1);
	CHECK_EQ(rings(&p.data), 1);
	get_numbers(&p.rx, 0, 4);
	pair_free(&p);
}

/* -- bells that fail, counts */

TEST(bell_that_fails_does_not_undo_the_release)
{
	struct peal_doorbell bell;
	struct peal_ring_stats stats;
	struct peal_receiver rx;
	struct pair p;
	const int *data;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_PIPE), 0);
	close(bell.wait_fd);
	CHECK_EQ(peal_receiver_attach(&rx, &p.ring, &p.data, &bell), 0);

	put_numbers(&p.tx, 0, 8);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
	CHECK_EQ(peal_receiver_peek(&rx, &data), 8);
	CHECK_EQ(peal_receiver_release(&rx, 1), -EPIPE);
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 1);
	CHECK_EQ(peal_sender_reserve(&p.tx, 2, &room), 0);
	get_numbers(&rx, 1, 1);
	CHECK_EQ(peal_sender_reserve(&p.tx, 2, &room), 2);
	peal_receiver_stats(&rx, &stats);
	CHECK_EQ(stats.items, 2);
	CHECK_EQ(stats.doorbells, 2);
	CHECK_EQ(stats.bell_errors, 2);
	close(bell.ring_fd);
	pair_free(&p);
}

TEST(stats_count_what_the_receiver_did)
{
	struct peal_ring_stats stats;
	struct pair p;
	const int *data;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, 0, &data), -ETIMEDOUT);
	peal_receiver_stats(&p.rx, &stats);
	CHECK_EQ(stats.items, 0);
	CHECK_EQ(stats.stalls, 1);
	CHECK_EQ(stats.transitions, 0);
	put_numbers(&p.tx, 0, 8);
	CHECK(!peal_receiver_arm(&p.rx));
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
	get_numbers(&p.rx, 0, 8);
	peal_receiver_stats(&p.rx, &stats);
	CHECK_EQ(stats.items, 8);
	CHECK_EQ(stats.doorbells, 1);
	CHECK_EQ(stats.bell_errors, 0);
	CHECK_EQ(stats.transitions, 1);
	pair_free(&p);
}
