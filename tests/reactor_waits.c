/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A wait waits: until its time is over, there was something to call, or
 * somebody has woken the loop; whatever else ends a wait of the kernel's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "fixtures/harness.h"
#include "fixtures/rig.h"

#define SLOTS 8
#define MS UINT64_C(1000000)
#define WAIT_MS 60

static struct peal_slot slots[SLOTS];
static struct peal_reactor loop;
static struct peal_source timer, timer2;
static struct rig a;
static int calls;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void on_timer(struct peal_source *source, uint64_t n, void *user)
{
	(void)source;
	(void)n;
	(void)user;
	calls++;
}

static void start(void)
{
	CHECK_EQ(peal_reactor_init(&loop, slots, SLOTS), 0);
	CHECK_EQ(peal_reactor_add_timer(&loop, &timer, on_timer, NULL), 0);
	CHECK_EQ(peal_reactor_add_timer(&loop, &timer2, on_timer, NULL), 0);
	rig_init(&a, 8);
}

static void end(void)
{
	peal_reactor_close(&loop);
	rig_finish(&a);
}

static void set(struct peal_source *source, uint64_t first)
{
	CHECK_EQ(peal_reactor_set_timer(&loop, source, first, 0, 0), 0);
}

/* The whole time, and nothing was called. */
static void waits_in_full(void)
{
	uint64_t began = now();
	int before = calls;

	CHECK_EQ(peal_reactor_run_once(&loop, WAIT_MS), 0);
	CHECK(now() - began >= WAIT_MS * MS);
	CHECK_EQ(calls, before);
}

/* -- timers that do not come */

TEST(a_timer_that_was_cancelled_ends_no_wait)
{
	start();
	waits_in_full();
	set(&timer, 10 * MS);
	CHECK_EQ(peal_reactor_cancel_timer(&loop, &timer), 0);
	waits_in_full();
	set(&timer, 0); /* due at once, which the loop was told of */
	CHECK_EQ(peal_reactor_cancel_timer(&loop, &timer), 0);
	waits_in_full();
	end();
}

TEST(a_timer_that_was_put_off_ends_no_wait)
{
	start();
	set(&timer, 10 * MS);
	set(&timer, 100000 * MS);
	waits_in_full();
	set(&timer, 0);
	set(&timer, 100000 * MS);
	waits_in_full();
	end();
}

TEST(a_timer_that_was_removed_ends_no_wait)
{
	start();
	set(&timer, 10 * MS);
	set(&timer2, 100000 * MS);
	CHECK_EQ(peal_reactor_remove(&loop, &timer), 0);
	waits_in_full();
	end();
}

TEST(a_timer_that_comes_ends_a_wait)
{
	start();
	set(&timer, 10 * MS);
	CHECK_EQ(peal_reactor_cancel_timer(&loop, &timer), 0);
	set(&timer2, 20 * MS);
	CHECK_EQ(peal_reactor_run_once(&loop, 30000), 1);
	CHECK_EQ(calls, 1);
	end();
}

/* -- signals */

static int signals;

static void on_alarm(int number)
{
	(void)number;
	if (++signals == 10)
		peal_reactor_wake(&loop);
}

static void alarms(time_t sec, suseconds_t every_us)
{
	struct itimerval time = { { sec, every_us }, { sec, every_us } };

	CHECK_EQ(setitimer(ITIMER_REAL, &time, NULL), 0);
}

TEST(a_signal_ends_no_wait)
{
	start();
	signals = 10; /* for which nobody is woken */
	CHECK(signal(SIGALRM, on_alarm) != SIG_ERR);
	alarms(0, 5000);
	waits_in_full();
	alarms(0, 0);
	CHECK(signals > 10);
	end();
}

TEST(a_signal_whose_handler_wakes_ends_a_wait)
{
	start();
	CHECK(signal(SIGALRM, on_alarm) != SIG_ERR);
	alarms(0, 2000);
	CHECK_EQ(peal_reactor_run_once(&loop, 60000), 0);
	CHECK(signals >= 10);
	alarms(0, 0);
	end();
}

/* -- what is looked at, and is nothing */

static long drain(struct peal_receiver *rx, void *user)
{
	(void)rx;
	(void)user;
	calls++;
	rig_drain(&a);
	return PEAL_DONE;
}

TEST(a_bell_without_data_ends_no_wait)
{
	start();
	rig_serve(&loop, &a, drain);
	CHECK_EQ(peal_doorbell_ring(&a.data), 0);
	waits_in_full();
	rig_send(&a, 2);
	rig_take(&a, 2); /* before the loop could look */
	waits_in_full();
	rig_send(&a, 1);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 1);
	end();
}

TEST(work_that_is_gone_ends_no_wait)
{
	start();
	rig_send(&a, 1);
	rig_serve(&loop, &a, drain); /* the loop is told of what is there */
	rig_take(&a, 1);
	waits_in_full();
	CHECK_EQ(peal_reactor_remove(&loop, &a.source), 0);
	rig_send(&a, 1);
	rig_serve(&loop, &a, drain);
	CHECK_EQ(peal_reactor_remove(&loop, &a.source), 0);
	waits_in_full();
	end();
}

static void on_event(struct peal_source *source, int fd, uint32_t events,
		     void *user)
{
	(void)source;
	(void)fd;
	(void)events;
	(void)user;
	calls++;
}

TEST(an_fd_that_is_watched_for_nothing_more_ends_no_wait)
{
	struct peal_source source = { 0 };
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	start();
	CHECK_EQ(peal_reactor_add_fd(&loop, &source, fd, 1 /* EPOLLIN */,
				     on_event, NULL),
		 0);
	CHECK_EQ(peal_reactor_set_events(&loop, &source, 0), 0);
	waits_in_full();
	CHECK_EQ(peal_reactor_remove(&loop, &source), 0);
	close(fd);
	end();
}

/* -- being woken */

static void *wake(void *arg)
{
	for (int i = 0; i < *(int *)arg; i++)
		peal_reactor_wake(&loop);
	return NULL;
}

TEST(whoever_wakes_ends_one_wait)
{
	pthread_t thread;
	int times = 3;

	start();
	CHECK_EQ(pthread_create(&thread, NULL, wake, &times), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 0);
	waits_in_full();
	times = 1;
	for (int i = 0; i < 200; i++) { /* however they meet */
		CHECK_EQ(pthread_create(&thread, NULL, wake, &times), 0);
		CHECK_EQ(peal_reactor_run_once(&loop, -1), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
	}
	waits_in_full();
	peal_reactor_wake(&loop);
	CHECK_EQ(peal_reactor_dispatch(&loop), 0);
	waits_in_full();
	end();
}

TEST(a_stop_ends_a_run_or_a_wait_and_not_both)
{
	start();
	peal_reactor_stop(&loop);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	waits_in_full();
	peal_reactor_wake(&loop); /* a run is woken by it, too */
	peal_reactor_stop(&loop);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	waits_in_full();
	peal_reactor_stop(&loop);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 0);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	waits_in_full();
	end();
}

/* -- hooks */

static int sleeps;

static void before(struct peal_reactor *l, void *user)
{
	CHECK(l == &loop);
	(void)user;
	if (++sleeps == 3)
		peal_reactor_wake(&loop);
	else
		CHECK_EQ(peal_doorbell_ring(&a.data), 0);
}

TEST(the_hooks_are_called_whenever_it_sleeps_anew)
{
	start();
	rig_serve(&loop, &a, drain);
	CHECK_EQ(peal_reactor_set_hooks(&loop, before, NULL, NULL), 0);
	CHECK_EQ(peal_reactor_run_once(&loop, 60000), 0);
	CHECK_EQ(sleeps, 3);
	end();
}
