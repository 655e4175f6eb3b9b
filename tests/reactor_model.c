/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Millions of random operations on four rings of one reactor, half of them as
 * the receiver and half of them as the sender, against a model that says after
 * each whether a callback is due: it comes if and only if it is.
 */
#define _GNU_SOURCE
#include <sched.h>

#include "fixtures/harness.h"
#include "fixtures/modelled.h"

#define RINGS 4
#define OPERATIONS 1000000

static struct peal_slot slots[RINGS + 1];
static struct peal_reactor loop;
static struct modelled rings[RINGS];
static uint64_t seed;
static bool honest; /* no bells for nothing, and nobody leaves */
static bool polls;  /* before it arms */

uint64_t modelled_below(uint64_t n)
{
	return test_random(&seed) % n;
}

void modelled_inside(struct modelled *m)
{
	(void)m;
}

static void start(void)
{
	seed = test_seed();
	CHECK_EQ(peal_reactor_init(&loop, slots, RINGS + 1), 0);
	if (polls)
		CHECK_EQ(peal_reactor_set_spin(&loop, 1000), 0);
	for (int i = 0; i < RINGS; i++) {
		rig_init(&rings[i].rig, (size_t)1 << (2 * i));
		modelled_start(&rings[i], &loop, (uint64_t)1 << (2 * i), i % 2);
	}
}

/* It polls only when it is allowed to sleep, which it has no reason to. */
static void settle(void)
{
	while (rig_readable(peal_reactor_fd(&loop)))
		CHECK(peal_reactor_run_once(&loop, polls ? -1 : 0) >= 0);
	for (int i = 0; i < RINGS; i++)
		modelled_check_settled(&rings[i]);
}

static void end(void)
{
	struct peal_reactor_stats stats;
	uint64_t transitions = 0;

	for (int i = 0; i < RINGS; i++) {
		struct peal_ring_stats ring;

		peal_receiver_stats(&rings[i].rig.rx, &ring);
		transitions += ring.transitions;
		peal_sender_stats(&rings[i].rig.tx, &ring);
		transitions += ring.transitions;
		rig_finish(&rings[i].rig);
	}
	peal_reactor_stats(&loop, &stats);
	CHECK_EQ(stats.callbacks - stats.mores, transitions);
	CHECK_EQ(stats.callbacks - stats.mores, modelled_counts.due);
	CHECK_EQ(stats.mores, modelled_counts.mores);
	CHECK_EQ(stats.quarantines, 0);
	CHECK(modelled_counts.due > OPERATIONS / 20);
	CHECK(modelled_counts.offers > OPERATIONS / 1000);
	CHECK_EQ(stats.spin_hits > 0, polls);
	peal_reactor_close(&loop);
}

/* Between two settlements there are 4 operations, or 64 where it is slow. */
static void operate_and_settle(int operations)
{
	start();
	for (int i = 0; i < operations; i++) {
		uint64_t pause = i / 10000 % 2 ? 64 : 4;

		modelled_operate(&rings[modelled_below(RINGS)], honest);
		if (modelled_below(pause) == 0)
			settle();
	}
	settle();
	end();
}

TEST(callbacks_are_transitions_over_a_million_random_operations)
{
	operate_and_settle(OPERATIONS);
}

TEST(callbacks_are_the_same_when_it_polls_before_it_arms)
{
	cpu_set_t cpus;

	CHECK_EQ(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	if (CPU_COUNT(&cpus) == 1)
		test_skip("there is one processor only");
	polls = true;
	operate_and_settle(OPERATIONS);
}

TEST(no_honest_peer_is_put_in_quarantine)
{
	honest = true;
	operate_and_settle(2 * OPERATIONS);
}
