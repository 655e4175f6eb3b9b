/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Deferred calls, of the loop's own thread and of others. */
#include <pthread.h>
#include <string.h>

#include "fixtures/duo.h"

struct call {
	struct peal_source source;
	int number, *order;
	int calls, again;
};

static void called(struct peal_source *src, void *user)
{
	struct call *call = user;

	CHECK(src == &call->source);
	call->calls++;
	if (call->order)
		*call->order = *call->order * 10 + call->number;
	if (call->again-- > 0)
		peal_reactor_defer(&loop, src);
}

TEST(deferred_calls_come_once_and_in_order)
{
	struct call calls[3] = { 0 };
	int order = 0;

	start();
	for (int i = 0; i < 3; i++) {
		calls[i].number = i + 1;
		calls[i].order = &order;
		CHECK_EQ(peal_reactor_add_deferred(&loop, &calls[i].source,
						   called, &calls[i]),
			 0);
	}
	CHECK_EQ(rig_settle(&loop), 0);
	peal_reactor_defer(&loop, &calls[2].source);
	peal_reactor_defer(&loop, &calls[0].source);
	peal_reactor_defer(&loop, &calls[1].source);
	peal_reactor_defer(&loop, &calls[0].source);
	CHECK_EQ(rig_settle(&loop), 3);
	CHECK_EQ(order, 312);
	end();
}

TEST(a_call_that_defers_itself_has_a_turn_a_round)
{
	struct call call = { .again = 5 };

	start();
	CHECK_EQ(peal_reactor_add_deferred(&loop, &call.source, called, &call),
		 0);
	peal_reactor_defer(&loop, &call.source);
	for (int i = 1; i <= 6; i++) {
		CHECK_EQ(peal_reactor_run_once(&loop, -1), 1);
		CHECK_EQ(call.calls, i);
	}
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 0);
	end();
}

TEST(a_deferred_call_can_be_removed_and_the_others_stay)
{
	struct call one = { 0 }, two = { 0 };

	start();
	CHECK_EQ(peal_reactor_add_deferred(&loop, &one.source, called, &one),
		 0);
	CHECK_EQ(peal_reactor_add_deferred(&loop, &two.source, called, &two),
		 0);
	peal_reactor_defer(&loop, &one.source);
	peal_reactor_defer(&loop, &two.source);
	CHECK_EQ(peal_reactor_remove(&loop, &one.source), 0);
	memset(&one.source, 0xff, sizeof(one.source));
	CHECK(rig_readable(peal_reactor_fd(&loop)));
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK_EQ(one.calls, 0);
	CHECK_EQ(two.calls, 1);
	end();
}

#define THREADS 4
#define ROUNDS 20000

struct poster {
	struct peal_source source;
	uint64_t sent, seen;
};

static struct poster posters[THREADS];

static void count_posts(struct peal_source *src, void *user)
{
	struct poster *poster = user;
	bool all = true;

	(void)src;
	poster->seen = __atomic_load_n(&poster->sent, __ATOMIC_ACQUIRE);
	for (int i = 0; i < THREADS; i++)
		all = all && posters[i].seen == ROUNDS;
	if (all)
		peal_reactor_stop(&loop);
}

static void *post(void *user)
{
	struct poster *poster = user;

	for (int i = 0; i < ROUNDS; i++) {
		__atomic_store_n(&poster->sent, poster->sent + 1,
				 __ATOMIC_RELEASE);
		peal_reactor_defer(&loop, &poster->source);
	}
	return NULL;
}

TEST(calls_deferred_by_many_threads_are_never_lost)
{
	pthread_t threads[THREADS];

	start();
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(peal_reactor_add_deferred(&loop, &posters[i].source,
						   count_posts, &posters[i]),
			 0);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, post, &posters[i]),
			 0);
	/* The last call of each is seen, or this never returns. */
	CHECK_EQ(peal_reactor_run(&loop), 0);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	end();
}
