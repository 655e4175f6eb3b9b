/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "fixtures/harness.h"
#include "fixtures/rig.h"

#define MANY 10000

static struct peal_slot slots[MANY];
static struct peal_reactor loop;

struct clock {
	struct peal_source source;
	uint64_t expirations, due;
	int set; /* its place among all that were set */
	int calls;
};

static struct clock clocks[MANY];
static struct clock *last;
static uint64_t last_due; /* of it */

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
	peal_reactor_close(&loop);
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
	peal_reactor_close(&loop);
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
	peal_reactor_close(&loop);
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
	peal_reactor_close(&loop);
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
	peal_reactor_close(&loop);
}

/* Those of one deadline in the order in which they were set. */
static void in_order(struct peal_source *source, uint64_t expirations,
		     void *user)
{
	struct clock *clock = user;

	tick(source, expirations, user);
	CHECK(!last || clock->due > last->due ||
	      (clock->due == last->due && clock->set > last->set));
	last = clock;
}

static void set_in_order(struct clock *clock, uint64_t due)
{
	static int set;

	clock->due = due;
	clock->set = set++;
	CHECK_EQ(peal_reactor_set_timer(&loop, &clock->source, due, 0,
					PEAL_TIMER_ABSOLUTE),
		 0);
}

/* Each on one of so many deadlines. */
static void ten_thousand(uint64_t deadlines)
{
	uint64_t seed = test_seed(), base = now() + 5000000;
	int fired = 0, kept = 0;

	start();
	for (int i = 0; i < MANY; i++)
		add(&clocks[i], in_order);
	/* Set, mostly set again, and a tenth cancelled. */
	for (int i = 0; i < 2 * MANY; i++)
		set_in_order(&clocks[test_random(&seed) % MANY],
			     base + test_random(&seed) % deadlines *
					     (50000000 / deadlines));
	for (int i = 0; i < MANY; i++) {
		if (test_random(&seed) % 10 == 0) {
			clocks[i].due = 0;
			CHECK_EQ(peal_reactor_cancel_timer(&loop,
							   &clocks[i].source),
				 0);
		} else if (clocks[i].due) {
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
	peal_reactor_close(&loop);
}

TEST(ten_thousand_timers_fire_once_each_and_in_order)
{
	ten_thousand(50000000);
}

TEST(ten_thousand_timers_of_few_deadlines_fire_in_order)
{
	ten_thousand(7);
}

static struct clock *fired[64];
static int n_fired;

static void note(struct peal_source *source, uint64_t expirations, void *user)
{
	tick(source, expirations, user);
	if (n_fired < 64)
		fired[n_fired++] = user;
}

static uint64_t period_of(const struct clock *clock)
{
	return clock->source.of.timer.period;
}

/* Of those that have met at one time, whoever was set first is first. */
static void meet(struct peal_source *source, uint64_t expirations, void *user)
{
	struct clock *clock = user;
	uint64_t due = clock->due;

	tick(source, expirations, user);
	if (last && last_due == due)
		CHECK(clock->set > last->set);
	n_fired++;
	last = clock;
	last_due = due;
	clock->due += expirations * period_of(clock);
}

TEST(periodic_timers_keep_their_places)
{
	static const uint64_t periods[] = { 1, 2, 1, 4 };
	static const int places[] = { 2, 0, 3, 1 };
	uint64_t base = now() + 2000000, unit = 1000000;

	start();
	for (int i = 0; i < 4; i++)
		add(&clocks[i], meet);
	for (int i = 0; i < 4; i++) {
		struct clock *clock = &clocks[places[i]];

		clock->set = i;
		clock->due = base;
		CHECK_EQ(peal_reactor_set_timer(&loop, &clock->source, base,
						periods[i] * unit,
						PEAL_TIMER_ABSOLUTE),
			 0);
	}
	while (n_fired < 100)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	peal_reactor_close(&loop);
}

TEST(a_timer_that_is_set_again_goes_behind_those_of_its_deadline)
{
	uint64_t due = now() + 2000000;

	start();
	for (int i = 0; i < 4; i++)
		add(&clocks[i], note);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(peal_reactor_set_timer(&loop, &clocks[i].source, due,
						0, PEAL_TIMER_ABSOLUTE),
			 0);
	CHECK_EQ(peal_reactor_set_timer(&loop, &clocks[1].source, due, 0,
					PEAL_TIMER_ABSOLUTE),
		 0);
	while (n_fired < 4)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	CHECK(fired[0] == &clocks[0] && fired[1] == &clocks[2] &&
	      fired[2] == &clocks[3] && fired[3] == &clocks[1]);
	peal_reactor_close(&loop);
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
	peal_reactor_close(&loop);
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
	peal_reactor_close(&loop);
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
	peal_reactor_close(&loop);
}
