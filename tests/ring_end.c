/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The wake protocol between the two ends: who rings whom, and when. */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

#include "../ring/internal.h"
#include "fixtures/pair.h"

/* -- one ring per armed position, none where nobody armed */

TEST(nobody_is_rung_who_did_not_arm)
{
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	for (int i = 0; i < 100; i++) {
		put_numbers(&p.tx, i, 1);
		get_numbers(&p.rx, i, 1);
	}
	put_numbers(&p.tx, 0, 8);
	get_numbers(&p.rx, 0, 8);
	CHECK_EQ(rings(&p.data), 0);
	CHECK_EQ(rings(&p.space), 0);
	pair_free(&p);
}

TEST(receiver_that_armed_is_rung_once)
{
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	for (int i = 0; i < 3; i++) {
		CHECK(peal_receiver_arm(&p.rx));
		CHECK_EQ(rings(&p.data), 0);
		put_numbers(&p.tx, 0, 1);
		CHECK_EQ(rings(&p.data), 1);
		put_numbers(&p.tx, 1, 5);
		CHECK_EQ(rings(&p.data), 0);
		get_numbers(&p.rx, 0, 6);
		put_numbers(&p.tx, 6, 1);
		CHECK_EQ(rings(&p.data), 0);
		get_numbers(&p.rx, 6, 1);
	}
	pair_free(&p);
}

TEST(sender_that_armed_is_rung_once)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 8);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
		CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
		CHECK_EQ(rings(&p.space), 0);
		get_numbers(&p.rx, 0, 1);
		CHECK_EQ(rings(&p.space), 1);
		get_numbers(&p.rx, 1, 7);
		CHECK_EQ(rings(&p.space), 0);
		put_numbers(&p.tx, 0, 8);
	}
	pair_free(&p);
}

TEST(batch_that_crosses_the_wake_position_rings_once)
{
	const int items[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_receiver_set_watermark(&p.rx, 4), 0);
	CHECK(peal_receiver_arm(&p.rx));
	CHECK_EQ(peal_sender_put(&p.tx, items, 3), 3);
	CHECK_EQ(rings(&p.data), 0);
	CHECK_EQ(peal_sender_put(&p.tx, items + 3, 5), 5);
	CHECK_EQ(rings(&p.data), 1);
	get_numbers(&p.rx, 0, 8);
	pair_free(&p);
}

TEST(stale_wake_position_is_harmless)
{
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	CHECK(peal_receiver_arm(&p.rx));
	put_numbers(&p.tx, 0, 1);
	CHECK_EQ(rings(&p.data), 1);
	/* It never arms again: positions run far past the one it armed for. */
	get_numbers(&p.rx, 0, 1);
	for (int i = 1; i < 1000; i++) {
		put_numbers(&p.tx, i, 1);
		get_numbers(&p.rx, i, 1);
	}
	CHECK_EQ(rings(&p.data), 0);
	pair_free(&p);
}

TEST(arm_after_the_publish_finds_it_and_needs_no_ring)
{
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 1);
	CHECK(!peal_receiver_arm(&p.rx));
	CHECK_EQ(rings(&p.data), 0);
	get_numbers(&p.rx, 0, 1);
	pair_free(&p);
}

TEST(every_watermark_is_rung_exactly_when_it_is_reached)
{
	for (int watermark = 1; watermark <= 8; watermark++) {
		struct pair p;
		int *room;

		pair_make(&p, 8, sizeof(int));
		CHECK_EQ(peal_receiver_set_watermark(&p.rx, (size_t)watermark),
			 0);
		CHECK(peal_receiver_arm(&p.rx));
		for (int i = 0; i < 8; i++) {
			put_numbers(&p.tx, i, 1);
			CHECK_EQ(rings(&p.data), i + 1 == watermark);
		}
		CHECK_EQ(peal_sender_reserve(&p.tx, (size_t)watermark, &room),
			 0);
		for (int i = 0; i < 8; i++) {
			get_numbers(&p.rx, i, 1);
			CHECK_EQ(rings(&p.space), i + 1 == watermark);
		}
		pair_free(&p);
	}
}

TEST(full_bell_loses_no_item)
{
	struct peal_doorbell bell;
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_PIPE), 0);
	CHECK_EQ(peal_sender_attach(&p.tx, &p.ring, &bell, NULL), 0);
	CHECK_EQ(peal_receiver_attach(&p.rx, &p.ring, &bell, NULL), 0);
	CHECK(peal_receiver_arm(&p.rx));
	while (write(bell.ring_fd, "", 1) == 1)
		;
	CHECK_EQ(peal_sender_free(&p.tx), 8);
	put_numbers(&p.tx, 0, 1);
	CHECK_EQ(peal_receiver_clear(&p.rx), 1);
	get_numbers(&p.rx, 0, 1);
	peal_doorbell_close(&bell);
	pair_free(&p);
}

TEST(arm_drains_a_pipe_so_that_it_never_fills_up)
{
	struct peal_doorbell bell;
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_PIPE), 0);
	CHECK_EQ(peal_sender_attach(&p.tx, &p.ring, &bell, NULL), 0);
	CHECK_EQ(peal_receiver_attach(&p.rx, &p.ring, &bell, NULL), 0);
	for (int i = 0; i < 100; i++) {
		CHECK(peal_receiver_arm(&p.rx));
		CHECK_EQ(peal_doorbell_wait(&bell, 0), -ETIMEDOUT);
		put_numbers(&p.tx, i, 1);
		CHECK_EQ(peal_doorbell_wait(&bell, 0), 0);
		get_numbers(&p.rx, i, 1);
	}
	peal_doorbell_close(&bell);
	pair_free(&p);
}

/* -- watermark and k that add up to more than the capacity and 1 */

TEST(sender_that_falls_short_wakes_a_receiver_below_its_watermark)
{
	struct pair p;
	const int *data;
	int *room;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_receiver_set_watermark(&p.rx, 6), 0);
	put_numbers(&p.tx, 0, 4);
	CHECK(peal_receiver_arm(&p.rx));
	CHECK_EQ(rings(&p.data), 0);
	CHECK_EQ(peal_sender_reserve(&p.tx, 6, &room), 0);
	CHECK_EQ(rings(&p.data), 1);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, -1, &data), 4);
	CHECK_EQ(peal_receiver_wait(&p.rx, 6, -1, &data), 4);
	CHECK_EQ(rings(&p.space), 0);
	CHECK_EQ(peal_receiver_release(&p.rx, 4), 0);
	CHECK_EQ(rings(&p.space), 1);
	CHECK_EQ(peal_sender_free(&p.tx), 8);
	pair_free(&p);
}

TEST(receiver_below_its_watermark_does_not_sleep_while_the_sender_does)
{
	struct pair p;
	const int *data;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 4);
	CHECK_EQ(peal_sender_reserve(&p.tx, 6, &room), 0);
	CHECK_EQ(rings(&p.data), 0); /* nobody armed yet */
	CHECK_EQ(peal_receiver_wait(&p.rx, 6, -1, &data), 4);
	CHECK_EQ(peal_receiver_release(&p.rx, 2), 0);
	CHECK_EQ(rings(&p.space), 1);
	CHECK(peal_sender_reserve(&p.tx, 4, &room) > 0);
	pair_free(&p);
}

TEST(receiver_of_an_empty_ring_sleeps_whatever_the_sender_says)
{
	struct pair p;
	int *room;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 4);
	CHECK_EQ(peal_sender_reserve(&p.tx, 8, &room), 0);
	p.tx_page->wake = 8; /* it claims to wait for more than there is */
	get_numbers(&p.rx, 0, 4);
	CHECK(peal_receiver_arm(&p.rx));
	pair_free(&p);
}

struct streams {
	struct pair pair;
	uint64_t seed;
	int items;
};

/* Waits for room for n, sends as many as it likes of what it gets. */
static void *send_at_random(void *arg)
{
	struct streams *s = arg;
	uint64_t seed = s->seed;
	int next = 0;

	while (next < s->items) {
		size_t n = 1 + test_random(&seed) % 8;
		int *room;
		ssize_t got = peal_sender_wait(&s->pair.tx, n, -1, &room);

		CHECK(got > 0);
		got = 1 + (ssize_t)(test_random(&seed) % (uint64_t)got);
		for (ssize_t i = 0; i < got; i++)
			room[i] = next++;
		CHECK_EQ(peal_sender_commit(&s->pair.tx, (size_t)got), 0);
	}
	peal_sender_finish(&s->pair.tx);
	return NULL;
}

/* Whatever the two wait for, neither may wait for ever. */
static void check_random_waits(struct streams *s)
{
	uint64_t seed = ~s->seed;
	pthread_t thread;
	int next = 0;

	CHECK_EQ(pthread_create(&thread, NULL, send_at_random, s), 0);
	for (;;) {
		size_t n = 1 + test_random(&seed) % 8;
		const int *data;
		ssize_t got = peal_receiver_wait(&s->pair.rx, n, -1, &data);

		CHECK(got >= 0);
		if (got == 0)
			break;
		got = 1 + (ssize_t)(test_random(&seed) % (uint64_t)got);
		for (ssize_t i = 0; i < got; i++)
			CHECK_EQ(data[i], next++);
		CHECK_EQ(peal_receiver_release(&s->pair.rx, (size_t)got), 0);
	}
	CHECK(next >= s->items);
	CHECK(peal_receiver_ended(&s->pair.rx));
	pthread_join(thread, NULL);
}

TEST(no_two_waits_deadlock_with_eventfds)
{
	struct streams s = { .seed = test_seed(), .items = 20000 };

	pair_make(&s.pair, 8, sizeof(int));
	check_random_waits(&s);
	pair_free(&s.pair);
}

TEST(no_two_waits_deadlock_with_pipes)
{
	struct streams s = { .seed = test_seed(), .items = 20000 };

	pair_make(&s.pair, 8, sizeof(int));
	peal_doorbell_close(&s.pair.data);
	peal_doorbell_close(&s.pair.space);
	CHECK_EQ(peal_doorbell_init(&s.pair.data, PEAL_DOORBELL_PIPE), 0);
	CHECK_EQ(peal_doorbell_init(&s.pair.space, PEAL_DOORBELL_PIPE), 0);
	pair_attach(&s.pair);
	check_random_waits(&s);
	pair_free(&s.pair);
}

TEST(no_two_waits_deadlock_over_one_socket)
{
	struct streams s = { .seed = test_seed(), .items = 20000 };
	struct peal_doorbell senders, receivers;
	int fds[2];

	pair_make(&s.pair, 8, sizeof(int));
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	/* Each has one fd of it, to wait on and to ring. */
	CHECK_EQ(peal_doorbell_borrow(&senders, PEAL_DOORBELL_SOCKET, fds[0],
				      fds[0]),
		 0);
	CHECK_EQ(peal_doorbell_borrow(&receivers, PEAL_DOORBELL_SOCKET, fds[1],
				      fds[1]),
		 0);
	CHECK_EQ(peal_sender_attach(&s.pair.tx, &s.pair.ring, &senders,
				    &senders),
		 0);
	CHECK_EQ(peal_receiver_attach(&s.pair.rx, &s.pair.ring, &receivers,
				      &receivers),
		 0);
	check_random_waits(&s);
	close(fds[0]);
	close(fds[1]);
	pair_free(&s.pair);
}

struct echo {
	struct pair there, back;
	int trips;
};

static void *echo(void *arg)
{
	struct echo *e = arg;

	for (int i = 0; i < e->trips; i++) {
		const int *data;

		CHECK_EQ(peal_receiver_wait(&e->there.rx, 1, -1, &data), 1);
		put_numbers(&e->back.tx, *data + 1, 1);
		CHECK_EQ(peal_receiver_release(&e->there.rx, 1), 0);
	}
	return NULL;
}

TEST(no_wakeup_is_lost_in_thousands_of_round_trips)
{
	struct echo e = { .trips = 10000 };
	pthread_t thread;

	pair_make(&e.there, 1, sizeof(int));
	pair_make(&e.back, 2, sizeof(int));
	CHECK_EQ(pthread_create(&thread, NULL, echo, &e), 0);
	for (int i = 0; i < e.trips; i++) {
		const int *data;
		int *room;

		CHECK_EQ(peal_sender_wait(&e.there.tx, 1, -1, &room), 1);
		*room = i;
		CHECK_EQ(peal_sender_commit(&e.there.tx, 1), 0);
		CHECK_EQ(peal_receiver_wait(&e.back.rx, 1, -1, &data), 1);
		CHECK_EQ(*data, i + 1);
		CHECK_EQ(peal_receiver_release(&e.back.rx, 1), 0);
	}
	pthread_join(thread, NULL);
	pair_free(&e.there);
	pair_free(&e.back);
}

/* -- a receiver is kicked when it can see what for */

TEST(receiver_is_kicked_only_after_the_senders_wake_word_says_why)
{
	struct pair p;
	int *room;

	pair_make(&p, 2, sizeof(int));
	CHECK_EQ(peal_receiver_set_watermark(&p.rx, 2), 0);
	put_numbers(&p.tx, 0, 2);
	CHECK_EQ(peal_sender_reserve(&p.tx, 2, &room), 0);
	get_numbers(&p.rx, 0, 2);
	/* Somebody else takes of the room before the waiter has its turn. */
	put_numbers(&p.tx, 2, 1);
	(void)rings(&p.data);
	CHECK(peal_receiver_arm(&p.rx));
	CHECK_EQ(peal_end_recheck(&p.tx.end), PEAL_FOUND_SHORT);
	CHECK_EQ(rings(&p.data), 0);
	peal_end_aim(&p.tx.end, 2, false);
	peal_end_store(&p.tx.end);
	peal_end_fence();
	CHECK_EQ(peal_end_recheck(&p.tx.end), PEAL_FOUND_SHORT);
	CHECK_EQ(rings(&p.data), 1);
	pair_free(&p);
}

TEST(drain_ends_when_all_was_released_also_by_one_who_left)
{
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	CHECK_EQ(peal_sender_capacity(&p.tx), 8);
	CHECK_EQ(peal_receiver_capacity(&p.rx), 8);
	CHECK_EQ(peal_sender_drain(&p.tx, 0), 0);
	put_numbers(&p.tx, 0, 3);
	CHECK_EQ(peal_sender_drain(&p.tx, 0), -ETIMEDOUT);
	get_numbers(&p.rx, 0, 3);
	CHECK_EQ(peal_sender_drain(&p.tx, 0), 0);
	put_numbers(&p.tx, 3, 1);
	get_numbers(&p.rx, 3, 1);
	peal_receiver_finish(&p.rx);
	CHECK_EQ(peal_sender_drain(&p.tx, -1), 0);
	pair_free(&p);

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 1);
	peal_receiver_finish(&p.rx);
	CHECK_EQ(peal_sender_drain(&p.tx, -1), -EPIPE);
	pair_free(&p);
}
