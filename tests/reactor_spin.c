/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Polling before arming: the same callbacks, fewer bells. See also
 * reactor_model.c.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "fixtures/duo.h"

#define ROUNDS 3000
#define SECOND UINT64_C(1000000000)

static void start_on_two_processors(void)
{
	cpu_set_t cpus;

	CHECK_EQ(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	if (CPU_COUNT(&cpus) == 1)
		test_skip("there is one processor only");
	start();
}

static long drain_then_send(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	(void)rx;
	rig->calls++;
	rig_drain(rig);
	if (rig->calls < 5)
		rig_send(rig, 1);
	else
		peal_reactor_stop(&loop);
	return PEAL_DONE;
}

TEST(what_polling_finds_costs_no_bell)
{
	struct peal_reactor_stats stats;
	struct peal_ring_stats ring;

	start_on_two_processors();
	CHECK_EQ(peal_reactor_set_spin(&loop, 1000), 0);
	rig_serve(&loop, &a, drain_then_send);
	rig_send(&a, 1);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	CHECK_EQ(a.calls, 5);
	CHECK_EQ(a.next_out, 5);
	peal_reactor_stats(&loop, &stats);
	CHECK_EQ(stats.callbacks, 5);
	CHECK_EQ(stats.mores, 0);
	CHECK_EQ(stats.spin_hits, 4);
	CHECK_EQ(stats.wakeups, 1);
	peal_sender_stats(&a.tx, &ring);
	CHECK_EQ(ring.doorbells, 1); /* for the first of the five */
	end();
}

TEST(it_does_not_poll_unless_it_is_asked_to)
{
	struct peal_reactor_stats stats;

	start_on_two_processors();
	rig_serve(&loop, &a, drain_then_send);
	rig_send(&a, 1);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	CHECK_EQ(peal_reactor_set_spin(&loop, 1000), 0);
	CHECK_EQ(peal_reactor_set_spin(&loop, 0), 0);
	rig_send(&a, 1);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	/* Nor ever in a loop of the caller's, who might be kept from work. */
	CHECK_EQ(peal_reactor_set_spin(&loop, 1000), 0);
	rig_send(&a, 1);
	while (rig_readable(peal_reactor_fd(&loop)))
		CHECK(peal_reactor_dispatch(&loop) >= 0);
	CHECK_EQ(a.calls, 7);
	peal_reactor_stats(&loop, &stats);
	CHECK_EQ(stats.spins, 0);
	CHECK_EQ(stats.spin_hits, 0);
	end();
}

TEST(with_one_processor_it_never_polls)
{
	struct peal_reactor_stats stats;
	cpu_set_t all, one;

	start_on_two_processors();
	CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		if (CPU_ISSET(i, &all))
			break;
	}
	CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
	CHECK_EQ(peal_reactor_set_spin(&loop, 1000), 0);
	rig_serve(&loop, &a, drain_then_send);
	rig_send(&a, 1);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	CHECK_EQ(a.calls, 5);
	peal_reactor_stats(&loop, &stats);
	CHECK_EQ(stats.spins, 0);
	end();
}

/* -- with another thread */

static void *answer(void *user)
{
	const int *items;

	(void)user;
	for (int i = 0; i < ROUNDS; i++) {
		CHECK_EQ(peal_receiver_wait(&a.rx, 1, -1, &items), 1);
		CHECK_EQ(*items, i);
		CHECK_EQ(peal_receiver_release(&a.rx, 1), 0);
		rig_send(&b, 1);
	}
	return NULL;
}

static long ask_again(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	CHECK(rx == &b.rx);
	CHECK_EQ(rig_drain(rig), 1);
	if (++rig->calls < ROUNDS)
		rig_send(&a, 1);
	else
		peal_reactor_stop(&loop);
	return PEAL_DONE;
}

static void play(uint64_t most, struct peal_reactor_stats *stats)
{
	struct peal_ring_stats ring;
	pthread_t thread;

	start_on_two_processors();
	CHECK_EQ(peal_reactor_set_spin(&loop, most), 0);
	rig_serve(&loop, &b, ask_again);
	CHECK_EQ(pthread_create(&thread, NULL, answer, NULL), 0);
	rig_send(&a, 1);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	peal_receiver_stats(&b.rx, &ring);
	CHECK_EQ(ring.transitions, ROUNDS);
	CHECK_EQ(b.calls, ROUNDS);
	peal_reactor_stats(&loop, stats);
	CHECK_EQ(stats->callbacks, ROUNDS);
	CHECK_EQ(stats->mores, 0);
	CHECK_EQ(stats->quarantines, 0);
	end();
}

TEST(ping_pong_has_as_many_callbacks_with_polling_as_without)
{
	struct peal_reactor_stats with, without;

	play(0, &without);
	CHECK_EQ(without.spins, 0);
	a = b = (struct rig){ 0 };
	play(SECOND / 100, &with);
	CHECK(with.spins > 0);
	CHECK(with.spin_hits > 0);
	CHECK(with.spin_hits <= with.spins);
}

static struct peal_source call;

static void *defer_then_stop(void *user)
{
	while (__atomic_load_n(&a.calls, __ATOMIC_ACQUIRE) == 0)
		sched_yield();
	peal_reactor_defer(&loop, &call);
	while (__atomic_load_n((int *)user, __ATOMIC_ACQUIRE) == 0)
		sched_yield();
	peal_reactor_stop(&loop);
	return NULL;
}

static void called(struct peal_source *source, void *user)
{
	(void)source;
	__atomic_store_n((int *)user, 1, __ATOMIC_RELEASE);
}

static long drain_and_count(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	(void)rx;
	rig_drain(rig);
	__atomic_store_n(&rig->calls, rig->calls + 1, __ATOMIC_RELEASE);
	return PEAL_DONE;
}

/* It would poll for an hour. */
TEST(polling_ends_when_another_thread_defers_or_stops)
{
	pthread_t thread;
	int calls = 0;

	start_on_two_processors();
	CHECK_EQ(peal_reactor_set_spin(&loop, 3600 * SECOND), 0);
	CHECK_EQ(peal_reactor_add_deferred(&loop, &call, called, &calls), 0);
	rig_serve(&loop, &a, drain_and_count);
	CHECK_EQ(pthread_create(&thread, NULL, defer_then_stop, &calls), 0);
	rig_send(&a, 1);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(calls, 1);
	end();
}
