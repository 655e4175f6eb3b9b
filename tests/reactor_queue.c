/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Queues: messages that other threads and signal handlers hand to a loop. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "fixtures/harness.h"
#include "fixtures/rig.h"

#define SLOTS 8
#define THREADS 4
#define MESSAGES 20000 /* of each thread */
#define ALL (1 << 17)  /* cells for all of them */

static struct peal_slot slots[SLOTS];
static struct peal_reactor loop;
static struct peal_source queue;
static struct peal_post cells[ALL];

/* What has come, and from whom. A message is who << 24 | number. */
static uint64_t next[THREADS + 1];
static uint64_t received, expected;

static void *message(int who, uint64_t number)
{
	return (void *)(uintptr_t)((uint64_t)who << 24 | number);
}

static void take(struct peal_source *source, void *text, void *user)
{
	uint64_t word = (uintptr_t)text;

	CHECK(source == &queue);
	CHECK(user == &loop);
	CHECK(word >> 24 <= THREADS);
	CHECK_EQ(word & 0xffffff, next[word >> 24]++);
	if (++received == expected)
		peal_reactor_stop(&loop);
}

static void add_queue(size_t n)
{
	CHECK_EQ(peal_reactor_add_queue(&loop, &queue, cells, n, take, &loop),
		 0);
}

static void start(size_t n)
{
	CHECK_EQ(peal_reactor_init(&loop, slots, SLOTS), 0);
	add_queue(n);
}

static void end(void)
{
	CHECK_EQ(peal_reactor_remove(&loop, &queue), 0);
	peal_reactor_close(&loop);
}

/* -- one thread */

TEST(messages_come_one_a_turn_and_in_order)
{
	start(8);
	CHECK_EQ(rig_settle(&loop), 0);
	for (uint64_t i = 0; i < 5; i++)
		CHECK_EQ(peal_reactor_post(&loop, &queue, message(0, i)), 0);
	CHECK(rig_readable(peal_reactor_fd(&loop)));
	for (uint64_t i = 1; i <= 5; i++) {
		CHECK_EQ(peal_reactor_run_once(&loop, -1), 1);
		CHECK_EQ(received, i);
	}
	CHECK_EQ(rig_settle(&loop), 0);
	end();
}

/* Fill it to the brim, empty it, and again, often enough to wrap. */
static void check_capacity(size_t n)
{
	uint64_t sent = 0;

	start(n);
	next[0] = 0;
	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < n; i++)
			CHECK_EQ(peal_reactor_post(&loop, &queue,
						   message(0, sent++)),
				 0);
		CHECK_EQ(peal_reactor_post(&loop, &queue, message(1, 0)),
			 -EAGAIN);
		CHECK_EQ(peal_reactor_post(&loop, &queue, message(1, 0)),
			 -EAGAIN);
		CHECK_EQ(rig_settle(&loop), n);
		CHECK_EQ(next[0], sent);
	}
	CHECK_EQ(next[1], 0);
	end();
}

TEST(a_full_queue_says_so_and_keeps_what_it_has)
{
	check_capacity(8);
	check_capacity(2);
}

TEST(what_is_no_queue_is_refused)
{
	struct peal_source other = { 0 };

	start(4);
	CHECK_EQ(peal_reactor_add_queue(&loop, &other, cells, 0, take, NULL),
		 -EINVAL);
	/* One cell could not tell full from empty. */
	CHECK_EQ(peal_reactor_add_queue(&loop, &other, cells, 1, take, NULL),
		 -EINVAL);
	CHECK_EQ(peal_reactor_add_queue(&loop, &other, cells, 3, take, NULL),
		 -EINVAL);
	CHECK_EQ(peal_reactor_add_queue(&loop, &other, cells, 4, NULL, NULL),
		 -EINVAL);
	CHECK_EQ(peal_reactor_add_queue(&loop, &queue, cells, 4, take, NULL),
		 -EBUSY);
	end();
}

static void echo(struct peal_source *source, void *text, void *user)
{
	uintptr_t left = (uintptr_t)text;

	(void)user;
	received++;
	/* Its cell is free again: there is room even in a full queue. */
	if (left > 0)
		CHECK_EQ(peal_reactor_post(&loop, source, (void *)(left - 1)),
			 0);
}

static void check_echo(size_t n)
{
	struct peal_source own = { 0 };
	struct peal_post few[4];

	received = 0;
	CHECK_EQ(peal_reactor_init(&loop, slots, SLOTS), 0);
	CHECK_EQ(peal_reactor_add_queue(&loop, &own, few, n, echo, NULL), 0);
	for (size_t i = 0; i < n; i++)
		CHECK_EQ(peal_reactor_post(&loop, &own, (void *)5), 0);
	CHECK_EQ(rig_settle(&loop), 6 * (int)n);
	CHECK_EQ(received, 6 * n);
	peal_reactor_close(&loop);
}

TEST(a_callback_can_post_to_its_own_queue)
{
	check_echo(4);
	check_echo(2);
}

TEST(a_queue_can_be_removed_with_messages_inside)
{
	start(8);
	for (uint64_t i = 0; i < 8; i++)
		CHECK_EQ(peal_reactor_post(&loop, &queue, message(0, i)), 0);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 1);
	CHECK_EQ(peal_reactor_remove(&loop, &queue), 0);
	memset(&queue, 0, sizeof(queue));
	memset(cells, 0xff, sizeof(cells));
	CHECK_EQ(rig_settle(&loop), 0);
	CHECK_EQ(received, 1);
	/* Added again, it is a new one. */
	add_queue(8);
	CHECK_EQ(rig_settle(&loop), 0);
	CHECK_EQ(peal_reactor_post(&loop, &queue, message(0, 1)), 0);
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK_EQ(received, 2);
	end();
}

static void remove_self(struct peal_source *source, void *text, void *user)
{
	(void)text;
	++*(int *)user;
	CHECK_EQ(peal_reactor_remove(&loop, source), 0);
	memset(source, 0xff, sizeof(*source));
	memset(cells, 0xff, sizeof(cells));
}

TEST(a_callback_can_remove_its_own_queue)
{
	struct peal_source own = { 0 };
	int calls = 0;

	CHECK_EQ(peal_reactor_init(&loop, slots, SLOTS), 0);
	CHECK_EQ(peal_reactor_add_queue(&loop, &own, cells, 8, remove_self,
					&calls),
		 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(peal_reactor_post(&loop, &own, NULL), 0);
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK_EQ(calls, 1);
	peal_reactor_close(&loop);
}

/* -- many threads */

static int threads_ready;

/* Begin together, so that they are in each other's way. */
static void line_up(void)
{
	__atomic_add_fetch(&threads_ready, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&threads_ready, __ATOMIC_SEQ_CST) < THREADS)
		sched_yield();
}

static void *post_all(void *user)
{
	int who = *(int *)user;

	line_up();
	for (uint64_t i = 0; i < MESSAGES; i++) {
		int ret;

		while ((ret = peal_reactor_post(&loop, &queue,
						message(who, i))) == -EAGAIN)
			sched_yield();
		CHECK_EQ(ret, 0);
	}
	return NULL;
}

/* There are as many cells as messages: none of them is ever in vain. */
static void *post_all_at_once(void *user)
{
	int who = *(int *)user;

	line_up();
	for (uint64_t i = 0; i < MESSAGES; i++)
		CHECK_EQ(peal_reactor_post(&loop, &queue, message(who, i)), 0);
	return NULL;
}

static void check_threads(size_t n, void *(*run)(void *user))
{
	pthread_t threads[THREADS];
	int who[THREADS];

	expected = (uint64_t)THREADS * MESSAGES;
	start(n);
	for (int i = 0; i < THREADS; i++) {
		who[i] = i;
		CHECK_EQ(pthread_create(&threads[i], NULL, run, &who[i]), 0);
	}
	/* It is stopped by the last message, or this never returns. */
	CHECK_EQ(peal_reactor_run(&loop), 0);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_EQ(rig_settle(&loop), 0);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(next[i], MESSAGES);
	end();
}

TEST(threads_lose_nothing_and_keep_their_order)
{
	check_threads(64, post_all);
}

TEST(threads_lose_nothing_in_the_shortest_queue)
{
	check_threads(2, post_all);
}

TEST(a_queue_that_has_room_is_never_said_to_be_full)
{
	check_threads(ALL, post_all_at_once);
}

/* -- calls that were deferred already */

static int done_before, told;

static void *do_and_defer(void *user)
{
	done_before = 1; /* plainly: the call orders it */
	peal_reactor_defer(&loop, user);
	__atomic_store_n(&told, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void look(struct peal_source *source, void *user)
{
	(void)source;
	CHECK_EQ(done_before, 1);
	++*(int *)user;
}

/* For the sanitizer of threads, too: nothing else orders the two. */
TEST(what_was_done_before_a_second_defer_is_seen_by_the_one_call)
{
	struct peal_source call = { 0 };
	pthread_t thread;
	int calls = 0;

	CHECK_EQ(peal_reactor_init(&loop, slots, SLOTS), 0);
	CHECK_EQ(peal_reactor_add_deferred(&loop, &call, look, &calls), 0);
	peal_reactor_defer(&loop, &call);
	CHECK_EQ(pthread_create(&thread, NULL, do_and_defer, &call), 0);
	while (!__atomic_load_n(&told, __ATOMIC_RELAXED))
		sched_yield();
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 1);
	CHECK_EQ(calls, 1);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	peal_reactor_close(&loop);
}

/* -- signal handlers */

static pthread_t loop_thread;
static int handled, finished;

static void on_signal(int number)
{
	int error = errno;

	(void)number;
	if (handled < MESSAGES &&
	    peal_reactor_post(&loop, &queue, message(1, (uint64_t)handled)) ==
		    0)
		handled++;
	errno = error;
}

static void *send_signals(void *user)
{
	(void)user;
	while (!__atomic_load_n(&finished, __ATOMIC_SEQ_CST)) {
		pthread_kill(loop_thread, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

/* The handler interrupts the loop, and posts of the same thread as well. */
TEST(signal_handlers_can_post)
{
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t thread;

	start(16);
	loop_thread = pthread_self();
	CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
	CHECK_EQ(pthread_create(&thread, NULL, send_signals, NULL), 0);
	for (uint64_t i = 0; i < MESSAGES;) {
		int ret = peal_reactor_post(&loop, &queue, message(0, i));

		if (ret == 0)
			i++;
		if (ret == -EAGAIN || i % 4 == 0)
			CHECK(peal_reactor_run_once(&loop, 0) >= 0);
	}
	while (next[1] == 0) /* sleeping, for one of the handler's */
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	__atomic_store_n(&finished, 1, __ATOMIC_SEQ_CST);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	signal(SIGUSR1, SIG_IGN);
	rig_settle(&loop);
	CHECK_EQ(next[0], MESSAGES);
	CHECK_EQ(next[1], handled);
	CHECK_EQ(received, next[0] + next[1]);
	end();
}
