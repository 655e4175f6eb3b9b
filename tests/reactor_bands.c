/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Who has a turn when: bands and hooks; and what is counted and timed. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "fixtures/duo.h"

#define MANY 20

static struct rig low[MANY];

static void set_band(struct peal_source *source, enum peal_band band)
{
	CHECK_EQ(peal_reactor_set_band(&loop, source, band), 0);
}

/* -- bands */

struct call {
	struct peal_source source;
	int name;
};

static uint64_t order; /* the names of those that were called, as digits */

static void called(struct peal_source *source, void *user)
{
	const struct call *call = user;

	CHECK(source == &call->source);
	order = order * 10 + (uint64_t)call->name;
}

static void add_calls(struct call *calls, int n)
{
	for (int i = 0; i < n; i++) {
		calls[i].name = i + 1;
		CHECK_EQ(peal_reactor_add_deferred(&loop, &calls[i].source,
						   called, &calls[i]),
			 0);
	}
}

static uint64_t defer_all(struct call *calls, int n)
{
	order = 0;
	for (int i = 0; i < n; i++)
		peal_reactor_defer(&loop, &calls[i].source);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), n);
	return order;
}

TEST(a_round_goes_from_high_to_low_and_first_come_first_served)
{
	struct call calls[6] = { 0 };

	start();
	add_calls(calls, 6);
	CHECK_EQ(defer_all(calls, 6), 123456); /* all of them are normal */
	set_band(&calls[0].source, PEAL_BAND_LOW);
	set_band(&calls[1].source, PEAL_BAND_NORMAL);
	set_band(&calls[2].source, PEAL_BAND_HIGH);
	set_band(&calls[3].source, PEAL_BAND_LOW);
	set_band(&calls[5].source, PEAL_BAND_HIGH);
	CHECK_EQ(defer_all(calls, 6), 362514);
	set_band(&calls[0].source, PEAL_BAND_HIGH);
	CHECK_EQ(defer_all(calls, 6), 136254);
	end();
}

static long insatiable(struct peal_receiver *rx, void *user)
{
	(void)rx;
	((struct rig *)user)->calls++;
	return PEAL_MORE;
}

TEST(the_lowest_band_has_eight_turns_a_round_and_nobody_starves)
{
	int before = 0;

	start();
	rig_serve(&loop, &a, insatiable);
	rig_serve(&loop, &b, insatiable);
	rig_send(&a, 1);
	rig_send(&b, 1);
	set_band(&a.source, PEAL_BAND_HIGH);
	for (int i = 0; i < MANY; i++) {
		rig_init(&low[i], 8);
		rig_serve(&loop, &low[i], insatiable);
		set_band(&low[i].source, PEAL_BAND_LOW);
		rig_send(&low[i], 1);
	}
	for (int i = 1; i <= 50; i++) {
		int calls = 0;

		CHECK(peal_reactor_run_once(&loop, -1) >= 10);
		CHECK_EQ(a.calls, i);
		CHECK_EQ(b.calls, i);
		for (int j = 0; j < MANY; j++)
			calls += low[j].calls;
		CHECK(calls >= before + 8);
		before = calls;
	}
	/* 50 rounds of 8 turns are 20 for each of the 20, to the letter. */
	for (int i = 0; i < MANY; i++) {
		CHECK(low[i].calls >= 20);
		rig_finish(&low[i]);
	}
	end();
}

TEST(the_lowest_band_has_the_round_to_itself_when_nobody_else_is_ready)
{
	struct call calls[12] = { 0 };

	start();
	add_calls(calls, 12);
	for (int i = 0; i < 12; i++)
		set_band(&calls[i].source, PEAL_BAND_LOW);
	defer_all(calls, 12);
	end();
}

static long demote_self(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	(void)rx;
	order = order * 10 + (rig == &a ? 1 : 2);
	if (rig->calls++ == 0 && rig == &a)
		set_band(&rig->source, PEAL_BAND_LOW);
	return PEAL_MORE;
}

TEST(a_band_changed_in_a_callback_holds_from_the_next_round_on)
{
	start();
	rig_send(&a, 1);
	rig_send(&b, 1);
	rig_serve(&loop, &a, demote_self);
	rig_serve(&loop, &b, demote_self);
	order = 0;
	for (int i = 0; i < 3; i++)
		CHECK_EQ(peal_reactor_run_once(&loop, -1), 2);
	CHECK_EQ(order, 122121);
	end();
}

TEST(a_source_that_stands_in_line_changes_the_line_with_its_band)
{
	start();
	rig_send(&a, 1); /* there before they are added: they are ready */
	rig_send(&b, 1);
	rig_serve(&loop, &a, demote_self);
	rig_serve(&loop, &b, demote_self);
	set_band(&b.source, PEAL_BAND_HIGH);
	order = 0;
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 2);
	CHECK_EQ(order, 21);
	end();
}

static void lower_again(struct peal_source *source, void *user)
{
	(void)user;
	set_band(&low[MANY - 1].source, PEAL_BAND_LOW);
	CHECK_EQ(peal_reactor_defer(&loop, source), 0);
}

/* Eight of them have turns in each round. */
TEST(a_source_that_is_told_its_band_in_each_round_has_its_turn)
{
	struct peal_source call = { 0 };

	start();
	CHECK_EQ(peal_reactor_add_deferred(&loop, &call, lower_again, NULL), 0);
	CHECK_EQ(peal_reactor_defer(&loop, &call), 0);
	for (int i = 0; i < MANY; i++) {
		rig_init(&low[i], 8);
		rig_send(&low[i], 1);
		rig_serve(&loop, &low[i], insatiable);
		set_band(&low[i].source, PEAL_BAND_LOW);
	}
	for (int i = 0; i < MANY; i++)
		CHECK(peal_reactor_run_once(&loop, 0) >= 1);
	CHECK(low[MANY - 1].calls > 0);
	end();
	for (int i = 0; i < MANY; i++)
		rig_finish(&low[i]);
}

TEST(what_has_no_band_is_refused)
{
	struct call call = { 0 };

	start();
	CHECK_EQ(peal_reactor_set_band(&loop, &call.source, PEAL_BAND_LOW),
		 -EINVAL);
	add_calls(&call, 1);
	CHECK_EQ(peal_reactor_set_band(&loop, &call.source,
				       (enum peal_band)PEAL_BANDS),
		 -EINVAL);
	CHECK_EQ(peal_reactor_set_band(&loop, &call.source,
				       (enum peal_band) - 1),
		 -EINVAL);
	end();
}

/* -- hooks */

static int hook_calls;
static struct call *hook_defers;

static long drain_in_order(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	(void)rx;
	order = order * 10 + 2;
	rig->calls++;
	rig_drain(rig);
	return PEAL_DONE;
}

static void before(struct peal_reactor *l, void *user)
{
	CHECK(l == &loop && user == &order);
	order = order * 10 + 1;
}

static void after(struct peal_reactor *l, void *user)
{
	CHECK(l == &loop && user == &order);
	order = order * 10 + 3;
}

static void set_hooks(void (*one)(struct peal_reactor *, void *),
		      void (*two)(struct peal_reactor *, void *))
{
	CHECK_EQ(peal_reactor_set_hooks(&loop, one, two, &order), 0);
}

TEST(hooks_run_before_and_after_each_sleep_and_no_other_time)
{
	start();
	set_hooks(before, after);
	rig_serve(&loop, &a, drain_in_order);
	rig_send(&a, 1);
	order = 0;
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 1);
	CHECK_EQ(order, 132);
	rig_send(&a, 1);
	order = 0;
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 1); /* does not sleep */
	rig_send(&a, 1);
	CHECK_EQ(peal_reactor_dispatch(&loop), 1);
	CHECK_EQ(order, 22);
	rig_serve(&loop, &b, insatiable);
	rig_send(&b, 1);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 1);
	order = 0;
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 1); /* nor with work left */
	CHECK_EQ(order, 0);
	CHECK_EQ(peal_reactor_remove(&loop, &b.source), 0);
	set_hooks(NULL, NULL);
	CHECK_EQ(peal_reactor_run_once(&loop, 1), 0);
	CHECK_EQ(order, 0);
	end();
}

static struct peal_source timer;

static void on_timer(struct peal_source *source, uint64_t n, void *user)
{
	(void)source;
	(void)n;
	++*(int *)user;
}

/* A different kind of work each time; none of it may be slept over. */
static void work(struct peal_reactor *l, void *user)
{
	(void)user;
	switch (hook_calls++) {
	case 0:
		peal_reactor_defer(l, &hook_defers->source);
		break;
	case 1:
		rig_send(&a, 1);
		break;
	case 2:
		rig_send(&b, 1);
		rig_serve(l, &b, drain_in_order);
		break;
	case 3:
		CHECK_EQ(peal_reactor_set_timer(l, &timer, 1, 0, 0), 0);
		break;
	case 4:
		CHECK_EQ(peal_reactor_hangup(l, &b.source, -EPIPE), 0);
		break;
	default:
		peal_reactor_stop(l);
	}
}

TEST(what_the_hook_has_added_is_not_slept_over)
{
	struct call call = { 0 };
	int ticks = 0;

	start();
	add_calls(&call, 1);
	hook_defers = &call;
	rig_serve(&loop, &a, drain_in_order);
	CHECK_EQ(peal_reactor_add_timer(&loop, &timer, on_timer, &ticks), 0);
	set_hooks(work, NULL);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	CHECK_EQ(hook_calls, 6);
	CHECK_EQ(call.name, 1);
	CHECK_EQ(a.calls, 1);
	CHECK_EQ(b.calls, 1);
	CHECK_EQ(ticks, 1);
	CHECK_EQ(b.closed, 1);
	CHECK_EQ(b.reason, -EPIPE);
	end();
}

/* Takes what came, so that the wait has to begin anew. */
static void take_all(struct peal_reactor *l, void *user)
{
	(void)l;
	(void)user;
	if (hook_calls++ == 0)
		rig_drain(&a);
	else
		rig_send(&a, 1);
}

TEST(what_the_hook_has_taken_does_not_lose_the_next_wakeup)
{
	start();
	rig_serve(&loop, &a, drain_in_order);
	set_hooks(take_all, NULL);
	rig_send(&a, 3);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 0); /* a bell for nothing */
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 1);
	CHECK_EQ(a.next_out, 4);
	end();
}

/* -- counts */

static long slow(struct peal_receiver *rx, void *user)
{
	nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	return drain_in_order(rx, user);
}

TEST(the_longest_callback_is_timed_if_it_is_asked_for)
{
	struct peal_source_stats s;
	struct peal_reactor_stats r;

	start();
	rig_serve(&loop, &a, slow);
	rig_send(&a, 1);
	rig_settle(&loop);
	peal_source_stats(&a.source, &s);
	peal_reactor_stats(&loop, &r);
	CHECK_EQ(s.longest_ns, 0);
	CHECK_EQ(r.longest_ns, 0);
	peal_reactor_set_timing(&loop, true);
	rig_send(&a, 1);
	rig_settle(&loop);
	peal_source_stats(&a.source, &s);
	peal_reactor_stats(&loop, &r);
	CHECK(s.longest_ns >= 2000000);
	CHECK(r.longest_ns >= s.longest_ns);
	end();
}

static long take_one(struct peal_receiver *rx, void *user)
{
	rig_take(user, 1);
	return peal_receiver_used(rx) > 0 ? PEAL_MORE : PEAL_DONE;
}

static void check_counts(const struct peal_source *source,
			 const struct peal_source_stats *expected)
{
	struct peal_source_stats s;

	peal_source_stats(source, &s);
	CHECK_EQ(s.callbacks, expected->callbacks);
	CHECK_EQ(s.transitions, expected->transitions);
	CHECK_EQ(s.mores, expected->mores);
	CHECK_EQ(s.wakeups, expected->wakeups);
	CHECK_EQ(s.spurious, expected->spurious);
	CHECK_EQ(s.quarantines, expected->quarantines);
}

TEST(the_counts_of_a_source_say_what_happened)
{
	struct peal_source_stats s;
	struct peal_reactor_stats r;

	start();
	rig_serve(&loop, &a, take_one);
	rig_serve(&loop, &b, drain_in_order);
	for (int i = 0; i < 10; i++) {
		rig_send(&a, 3);
		rig_settle(&loop);
	}
	for (int i = 0; i < 2; i++) {
		peal_doorbell_ring(&b.data); /* for nothing */
		rig_settle(&loop);
	}
	rig_send(&b, 1);
	rig_settle(&loop);
	check_counts(&a.source, &(struct peal_source_stats){
					.callbacks = 30,
					.transitions = 10,
					.mores = 20,
					.wakeups = 10,
				});
	check_counts(&b.source, &(struct peal_source_stats){
					.callbacks = 1,
					.transitions = 1,
					.wakeups = 3,
					.spurious = 2,
				});
	peal_reactor_stats(&loop, &r);
	CHECK_EQ(r.callbacks, 31);
	CHECK_EQ(r.mores, 20);
	CHECK_EQ(r.wakeups, 13);
	CHECK_EQ(r.spurious, 2);
	CHECK_EQ(r.quarantines, 0);
	CHECK_EQ(r.sleeps, 0);
	CHECK_EQ(r.spins, 0);
	/* Added again, it counts anew. */
	CHECK_EQ(peal_reactor_remove(&loop, &a.source), 0);
	rig_serve(&loop, &a, take_one);
	peal_source_stats(&a.source, &s);
	CHECK_EQ(s.callbacks, 0);
	end();
}

TEST(sleeps_and_calls_are_counted)
{
	struct call call = { 0 };
	struct peal_source_stats s;
	struct peal_reactor_stats r;

	start();
	add_calls(&call, 1);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(peal_reactor_run_once(&loop, 1), 0);
	for (int i = 0; i < 3; i++)
		defer_all(&call, 1);
	peal_source_stats(&call.source, &s);
	CHECK_EQ(s.callbacks, 3);
	CHECK_EQ(s.transitions, 0);
	peal_reactor_stats(&loop, &r);
	CHECK_EQ(r.iterations, 8);
	CHECK_EQ(r.sleeps, 5); /* what is deferred already is no sleep */
	CHECK_EQ(r.callbacks, 0);
	end();
}

static int done;

static void *look_on(void *user)
{
	struct peal_source_stats s, s_before = { 0 };
	struct peal_reactor_stats r, r_before = { 0 };

	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
		peal_source_stats(user, &s);
		peal_reactor_stats(&loop, &r);
		CHECK(s.callbacks >= s_before.callbacks);
		CHECK(s.longest_ns >= s_before.longest_ns);
		CHECK(r.iterations >= r_before.iterations);
		CHECK(r.wakeups >= r_before.wakeups);
		s_before = s;
		r_before = r;
	}
	return NULL;
}

TEST(another_thread_can_read_the_counts_while_it_runs)
{
	struct peal_source_stats s;
	pthread_t thread;

	start();
	peal_reactor_set_timing(&loop, true);
	rig_serve(&loop, &a, take_one);
	CHECK_EQ(pthread_create(&thread, NULL, look_on, &a.source), 0);
	for (int i = 0; i < 5000; i++) {
		rig_send(&a, 2);
		rig_settle(&loop);
	}
	__atomic_store_n(&done, 1, __ATOMIC_RELEASE);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	peal_source_stats(&a.source, &s);
	CHECK_EQ(s.callbacks, 10000);
	end();
}
