/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rings on which nothing comes. No test asserts a time but "not before". */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "fixtures/duo.h"

#define MS UINT64_C(1000000)

static uint64_t silent_since; /* a's, or a bit earlier */
static int told;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* For rings that wait for 5 ms. */
static void on_idle(struct peal_source *source, void *user)
{
	CHECK(source == &a.source);
	CHECK(user == &a);
	told++;
	CHECK(now() - silent_since >= 5 * MS);
	silent_since += 5 * MS;
}

static void set_idle(struct rig *rig, uint64_t after,
		     void (*call)(struct peal_source *source, void *user))
{
	CHECK_EQ(peal_reactor_set_idle(&loop, &rig->source, after, call), 0);
}

static void run_until(const int *count, int n)
{
	while (*count < n)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
}

TEST(a_silent_ring_is_told_again_and_again_but_never_too_early)
{
	struct peal_source_stats stats;

	start();
	rig_serve(&loop, &a, drain);
	silent_since = now();
	set_idle(&a, 5 * MS, on_idle);
	run_until(&told, 4);
	CHECK_EQ(a.calls, 0);
	peal_source_stats(&a.source, &stats);
	CHECK_EQ(stats.callbacks, 4);
	CHECK_EQ(stats.transitions, 0);
	CHECK_EQ(stats.spurious, 0);
	rig_send(&a, 1); /* and it is served as ever */
	run_until(&a.calls, 1);
	run_until(&told, 5);
	end();
}

static long fill_up(struct peal_sender *tx, void *user)
{
	struct rig *rig = user;
	int *room;

	rig->calls++;
	while (peal_sender_reserve(tx, 1, &room) > 0)
		rig_send(rig, 1);
	return PEAL_DONE;
}

TEST(a_sender_that_waits_for_room_is_told_as_well)
{
	start();
	rig_feed(&loop, &a, fill_up);
	silent_since = now();
	set_idle(&a, 5 * MS, on_idle);
	run_until(&told, 2);
	CHECK_EQ(a.calls, 1);
	rig_take(&a, 1); /* and it is served as ever */
	run_until(&a.calls, 2);
	end();
}

static struct peal_source timer;

static void send_one(struct peal_source *source, uint64_t n, void *user)
{
	(void)source;
	(void)n;
	silent_since = now();
	rig_send(user, 1);
}

TEST(a_ring_on_which_data_comes_is_not_idle)
{
	start();
	rig_serve(&loop, &a, drain);
	silent_since = now();
	set_idle(&a, 5 * MS, on_idle);
	CHECK_EQ(peal_reactor_add_timer(&loop, &timer, send_one, &a), 0);
	CHECK_EQ(peal_reactor_set_timer(&loop, &timer, MS, MS, 0), 0);
	/* on_idle checks that it had been silent for so long. */
	while (a.calls < 20)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	CHECK_EQ(peal_reactor_cancel_timer(&loop, &timer), 0);
	told = 0;
	run_until(&told, 1);
	end();
}

TEST(data_that_came_at_the_last_moment_comes_first)
{
	start();
	rig_serve(&loop, &a, drain);
	silent_since = now();
	set_idle(&a, 5 * MS, on_idle);
	nanosleep(&(struct timespec){ .tv_nsec = 6 * (long)MS }, NULL);
	silent_since = now();
	rig_send(&a, 1); /* both are seen in one round */
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 1);
	CHECK_EQ(a.calls, 1);
	CHECK_EQ(told, 0);
	run_until(&told, 1);
	end();
}

static void remove_self(struct peal_source *source, void *user)
{
	(void)user;
	told++;
	CHECK_EQ(peal_reactor_remove(&loop, source), 0);
	memset(source, 0xff, sizeof(*source));
}

TEST(on_idle_can_remove_its_source)
{
	start();
	rig_serve(&loop, &a, drain);
	set_idle(&a, MS, remove_self);
	run_until(&told, 1);
	CHECK_EQ(peal_reactor_run_once(&loop, 5), 0);
	CHECK_EQ(told, 1);
	CHECK_EQ(a.closed, 0);
	end();
}

static void time_out(struct peal_source *source, void *user)
{
	(void)user;
	told++;
	rig_send(&a, 1); /* at the last moment; it is delivered */
	CHECK_EQ(peal_reactor_hangup(&loop, source, -ETIMEDOUT), 0);
}

TEST(on_idle_can_close_its_ring_with_a_reason_of_its_own)
{
	start();
	rig_serve(&loop, &a, drain);
	set_idle(&a, MS, time_out);
	run_until(&a.closed, 1);
	CHECK_EQ(a.reason, -ETIMEDOUT);
	CHECK_EQ(a.calls, 1);
	CHECK_EQ(a.next_out, 1);
	CHECK_EQ(peal_reactor_run_once(&loop, 5), 0);
	CHECK_EQ(told, 1);
	CHECK_EQ(a.closed, 1);
	end();
}

static void no_more(struct peal_source *source, void *user)
{
	(void)user;
	told++;
	CHECK_EQ(peal_reactor_set_idle(&loop, source, 0, NULL), 0);
}

TEST(who_wants_to_be_told_no_more_is_not)
{
	start();
	rig_serve(&loop, &a, drain);
	set_idle(&a, MS, no_more);
	run_until(&told, 1);
	CHECK_EQ(peal_reactor_run_once(&loop, 10), 0);
	set_idle(&a, MS, no_more);
	set_idle(&a, 0, NULL);
	CHECK_EQ(peal_reactor_run_once(&loop, 10), 0);
	set_idle(&a, MS, no_more); /* due, but not told yet */
	nanosleep(&(struct timespec){ .tv_nsec = 2 * (long)MS }, NULL);
	set_idle(&a, 0, NULL);
	CHECK_EQ(peal_reactor_run_once(&loop, 10), 0);
	CHECK_EQ(told, 1);
	end();
}

static void count(struct peal_source *source, void *user)
{
	struct rig *rig = user;

	CHECK(source == &rig->source);
	rig->calls++;
}

TEST(each_ring_has_a_time_of_its_own)
{
	start();
	rig_serve(&loop, &a, drain);
	rig_serve(&loop, &b, drain);
	set_idle(&a, MS, count);
	set_idle(&b, 1000000 * MS, count);
	run_until(&a.calls, 3);
	CHECK_EQ(b.calls, 0);
	end();
}

TEST(a_time_that_never_comes_never_comes)
{
	start();
	rig_serve(&loop, &a, drain);
	set_idle(&a, UINT64_MAX, count);
	CHECK_EQ(peal_reactor_run_once(&loop, 5), 0);
	rig_send(&a, 1);
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK_EQ(peal_reactor_run_once(&loop, 5), 0);
	end();
}

TEST(a_source_that_is_added_again_has_forgotten_it)
{
	start();
	rig_serve(&loop, &a, drain);
	set_idle(&a, MS, count);
	CHECK_EQ(peal_reactor_remove(&loop, &a.source), 0);
	rig_serve(&loop, &a, drain);
	CHECK_EQ(peal_reactor_run_once(&loop, 5), 0);
	end();
}

static void call(struct peal_source *source, void *user)
{
	(void)source;
	(void)user;
}

TEST(what_is_no_ring_cannot_be_idle)
{
	struct peal_source other = { 0 };

	start();
	CHECK_EQ(peal_reactor_set_idle(&loop, &other, MS, on_idle), -EINVAL);
	CHECK_EQ(peal_reactor_add_deferred(&loop, &other, call, NULL), 0);
	CHECK_EQ(peal_reactor_set_idle(&loop, &other, MS, on_idle), -EINVAL);
	rig_serve(&loop, &a, drain);
	CHECK_EQ(peal_reactor_set_idle(&loop, &a.source, MS, NULL), -EINVAL);
	end();
}
