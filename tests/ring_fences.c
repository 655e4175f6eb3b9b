/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One end publishes while the other arms, at the same instant, over and over:
 * either the one sees the wake position and rings, or the other sees what was
 * published and does not sleep. Where a full fence is missing, processors let
 * both miss now and then; those of x86 do so within some thousand attempts.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "fixtures/pair.h"

/* So many, or as many as this time allows where other programs run. */
#define ATTEMPTS 50000
#define SECONDS 5

struct attempts {
	struct pair pair;
	uint64_t seed;
	void (*publish)(struct pair *p, int attempt);
	/* Returns true if it may sleep. */
	bool (*arm)(struct pair *p);
	int turns[2]; /* how far each thread has come */
	bool over;    /* the time is; written before a meeting */
};

/* Go on when the other thread has come as far. */
static void meet(struct attempts *a, int self, int turn)
{
	__atomic_store_n(&a->turns[self], turn, __ATOMIC_SEQ_CST);
	for (int spins = 0;
	     __atomic_load_n(&a->turns[!self], __ATOMIC_SEQ_CST) < turn;
	     spins++)
		if (spins > 1000)
			sched_yield();
}

static void dawdle(uint64_t *seed)
{
	for (volatile int i = (int)(test_random(seed) % 64); i > 0; i--)
		;
}

static void *publish_all(void *arg)
{
	struct attempts *a = arg;
	uint64_t seed = a->seed + 1;

	for (int i = 0; i < ATTEMPTS; i++) {
		meet(a, 0, 2 * i + 1);
		if (a->over)
			break;
		dawdle(&seed);
		a->publish(&a->pair, i);
		meet(a, 0, 2 * i + 2);
	}
	return NULL;
}

/* The item in the ring, or its absence, is there again at the next attempt. */
static void check_attempts(struct attempts *a, const struct peal_doorbell *bell,
			   void (*undo)(struct pair *p, int attempt))
{
	uint64_t end = peal_clock_ns(CLOCK_MONOTONIC) +
		       SECONDS * UINT64_C(1000000000);
	int slept = 0, attempts = 0;
	pthread_t thread;

	a->seed = test_seed();
	CHECK_EQ(pthread_create(&thread, NULL, publish_all, a), 0);
	for (int i = 0; i < ATTEMPTS; i++) {
		bool sleeps;

		a->over = peal_clock_ns(CLOCK_MONOTONIC) > end;
		meet(a, 1, 2 * i + 1);
		if (a->over)
			break;
		dawdle(&a->seed);
		sleeps = a->arm(&a->pair);
		meet(a, 1, 2 * i + 2);
		if (sleeps)
			CHECK_EQ(rings(bell), 1);
		else
			rings(bell);
		slept += sleeps;
		attempts++;
		undo(&a->pair, i);
	}
	pthread_join(thread, NULL);
	test_note("%d of %d would have slept", slept, attempts);
}

static void put(struct pair *p, int attempt)
{
	put_numbers(&p->tx, attempt, 1);
}

static void get(struct pair *p, int attempt)
{
	get_numbers(&p->rx, attempt, 1);
}

static bool arm_receiver(struct pair *p)
{
	return peal_receiver_arm(&p->rx);
}

static bool arm_sender(struct pair *p)
{
	return peal_sender_arm(&p->tx);
}

static bool reserve(struct pair *p)
{
	int *room;

	return peal_sender_reserve(&p->tx, 1, &room) == 0;
}

static void put_next(struct pair *p, int attempt)
{
	put(p, attempt + 1);
}

TEST(receiver_that_arms_while_an_item_is_sent_sleeps_only_if_it_is_rung)
{
	struct attempts a = { .publish = put, .arm = arm_receiver };

	pair_make(&a.pair, 1, sizeof(int));
	check_attempts(&a, &a.pair.data, get);
	pair_free(&a.pair);
}

TEST(sender_that_arms_while_an_item_is_released_sleeps_only_if_it_is_rung)
{
	struct attempts a = { .publish = get, .arm = arm_sender };

	pair_make(&a.pair, 1, sizeof(int));
	put(&a.pair, 0);
	check_attempts(&a, &a.pair.space, put_next);
	pair_free(&a.pair);
}

TEST(sender_that_reserves_while_an_item_is_released_sleeps_only_if_it_is_rung)
{
	struct attempts a = { .publish = get, .arm = reserve };

	pair_make(&a.pair, 1, sizeof(int));
	put(&a.pair, 0);
	check_attempts(&a, &a.pair.space, put_next);
	pair_free(&a.pair);
}
