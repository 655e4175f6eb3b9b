/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "harness.h"
#include "rig.h"

#define MANY 10000

static struct peal_slot slots[MANY];
static struct peal_reactor loop;

struct clock {
	struct peal_source source;
	uint64_t expirations, due;
	int calls;
};

static struct clock clocks[MANY];
static uint64_t last_due;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void tick(struct peal_source *source, uint64_t expirations, void *user)
{
	struct clock *clock = user;

	CHECK(source == &clock->source);
	CHECK(expirations > 0);
	clock->calls++;
	clock->expirations += expirations;
}

static void start(void)
{
	CHECK_EQ(peal_reactor_init(&loop, slots, MANY), 0);
}

static void add(struct clock *clock,
		void (*on_timer)(struct peal_source *, uint64_t, void *))
{
	CHECK_EQ(peal_reactor_add_timer(&loop, &clock->source, on_timer, clock),
		 0);
}

TEST(a_timer_that_was_not_set_does_not_fire)
{
	start();
	add(&clocks[0], tick);
	CHECK_EQ(peal_reactor_run_once(&loop, 20), 0);
	peal_reactor_finish(&loop);
}

TEST(a_one_shot_timer_fires_once_and_not_before_its_time)
{
	uint64_t begin;

	start();
	add(&clocks[0], tick);
	begin = now();
	CHECK_EQ(peal_reactor_set_timer(&loop, &clocks[0].source, 20000000, 0,
					0),
		 0);
	while (clocks[0].calls == 0)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	CHECK(now() - begin >= 20000000);
	CHECK_EQ(clocks[0].expirations, 1);
	CHECK_EQ(peal_reactor_run_once(&loop, 30), 0);
	peal_reactor_finish(&loop);
}

TEST(a_periodic_timer_counts_periods_without_drift)
{
	uint64_t begin = now(), period = 1000000, late;

	start();
	add(&clocks[0], tick);
	CHECK_EQ(peal_reactor_set_timer(&loop, &clocks[0].source,
					begin + period, period,
					PEAL_TIMER_ABSOLUTE),
		 0);
	while (clocks[0].expirations < 50) {
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
		/* However late a turn is, no period is lost or counted twice.
		 */
		late = now() - begin;
		CHECK(clocks[0].expirations <= late / period);
	}
	peal_reactor_finish(&loop);
}

TEST(missed_periods_come_as_one_call_that_says_how_many)
{
	uint64_t period = 1000000;

	start();
	add(&clocks[0], tick);
	CHECK_EQ(peal_reactor_set_timer(&loop, &clocks[0].source,
					now() - 10 * period, period,
					PEAL_TIMER_ABSOLUTE),
		 0);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 1);
	CHECK_EQ(clocks[0].calls, 1);
	CHECK(clocks[0].expirations >= 11);
	peal_reactor_finish(&loop);
}

TEST(a_time_that_has_passed_is_due_at_once)
{
	start();
	add(&clocks[0], tick);
	CHECK_EQ(peal_reactor_set_timer(&loop, &clocks[0].source, 0, 0,
					PEAL_TIMER_ABSOLUTE),
		 0);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 1);
	CHECK_EQ(peal_reactor_set_timer(&loop, &clocks[0].source, 0, 0, 0), 0);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 1);
	peal_reactor_finish(&loop);
}

static void in_order(struct peal_source *source, uint64_t expirations,
		     void *user)
{
	struct clock *clock = user;

	tick(source, expirations, user);
	CHECK(clock->due >= last_due);
	last_due = clock->due;
}

TEST(ten_thousand_timers_fire_once_each_and_in_order)
{
	uint64_t seed = test_seed(), base = now() + 5000000;
	int fired = 0, kept = 0;

	start();
	for (int i = 0; i < MANY; i++) {
		struct clock *clock = &clocks[i];

		add(clock, in_order);
		/* Set, mostly set again, and a tenth cancelled. */
		CHECK_EQ(peal_reactor_set_timer(&loop, &clock->source,
						UINT64_MAX, 0, 0),
			 0);
		clock->due = base + test_random(&seed) % 50000000;
		CHECK_EQ(peal_reactor_set_timer(&loop, &clock->source,
						clock->due, 0,
						PEAL_TIMER_ABSOLUTE),
			 0);
	}
	for (int i = 0; i < MANY; i++) {
		if (test_random(&seed) % 10 == 0) {
			clocks[i].due = 0;
			CHECK_EQ(peal_reactor_cancel_timer(&loop,
							   &clocks[i].source),
				 0);
		} else {
			kept++;
		}
	}
	while (fired < kept) {
		int n = peal_reactor_run_once(&loop, -1);

		CHECK(n >= 0);
		fired += n;
	}
	for (int i = 0; i < MANY; i++)
		CHECK_EQ(clocks[i].calls, clocks[i].due ? 1 : 0);
	peal_reactor_finish(&loop);
}

static void cancel_next(struct peal_source *source, uint64_t expirations,
			void *user)
{
	struct clock *clock = user;

	tick(source, expirations, user);
	CHECK_EQ(peal_reactor_remove(&loop, &clock[1].source), 0);
	memset(&clock[1].source, 0xff, sizeof(clock[1].source));
	CHECK_EQ(peal_reactor_set_timer(&loop, source, 1000000, 0, 0), 0);
}

TEST(a_timer_can_be_removed_and_set_again_in_a_callback)
{
	uint64_t due = now() + 1000000;

	start();
	add(&clocks[0], cancel_next);
	add(&clocks[1], tick);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(peal_reactor_set_timer(&loop, &clocks[i].source,
						due + (uint64_t)i, 0,
						PEAL_TIMER_ABSOLUTE),
			 0);
	while (clocks[0].calls == 0)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	memset(&clocks[1].source, 0, sizeof(clocks[1].source));
	while (clocks[0].calls == 1)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	CHECK_EQ(clocks[1].calls, 0);
	peal_reactor_finish(&loop);
}

static void remove_self(struct peal_source *source, uint64_t expirations,
			void *user)
{
	tick(source, expirations, user);
	CHECK_EQ(peal_reactor_remove(&loop, source), 0);
	memset(source, 0, sizeof(*source));
}

TEST(a_periodic_timer_can_remove_itself)
{
	start();
	add(&clocks[0], remove_self);
	CHECK_EQ(peal_reactor_set_timer(&loop, &clocks[0].source, 0, 1, 0), 0);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 1);
	CHECK_EQ(peal_reactor_run_once(&loop, 5), 0);
	CHECK_EQ(clocks[0].calls, 1);
	peal_reactor_finish(&loop);
}

TEST(what_is_no_timer_is_refused)
{
	start();
	CHECK_EQ(peal_reactor_set_timer(&loop, &clocks[0].source, 0, 0, 0),
		 -EINVAL);
	CHECK_EQ(peal_reactor_cancel_timer(&loop, &clocks[0].source), -EINVAL);
	CHECK_EQ(peal_reactor_add_timer(&loop, &clocks[0].source, NULL, NULL),
		 -EINVAL);
	add(&clocks[0], tick);
	CHECK_EQ(peal_reactor_set_timer(&loop, &clocks[0].source, 0, 0, 2),
		 -EINVAL);
	CHECK_EQ(peal_reactor_add_timer(&loop, &clocks[0].source, tick, NULL),
		 -EBUSY);
	peal_reactor_finish(&loop);
}
