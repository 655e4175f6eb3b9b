/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Timers, calls, messages and signals in loops that are not ours: each with
 * nothing else going on. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "embed_properties.h"
#include "fixtures/harness.h"

static struct peal_source source;

static void on_timer(struct peal_source *src, uint64_t expirations, void *user)
{
	CHECK(src == &source);
	CHECK(expirations >= 1);
	(void)user;
	embed_next_round();
}

static void timer(void)
{
	CHECK_EQ(sem_init(&env.turn, 0, 0), 0);
	CHECK_EQ(peal_reactor_add_timer(&env.loop, &source, on_timer, NULL), 0);
	embed_settle();
	for (int i = 1; i <= 10; i++) {
		/* The last of them is due at once. */
		CHECK_EQ(peal_reactor_set_timer(&env.loop, &source,
						(10 - (uint64_t)i) * 100000, 0,
						0),
			 0);
		embed_until(&env.rounds, i);
		embed_settle();
	}
	CHECK_EQ(peal_reactor_set_timer(&env.loop, &source, 1, 100000, 0), 0);
	while (env.rounds < 20)
		env.host->once(true);
	sem_destroy(&env.turn);
}

static void on_call(struct peal_source *src, void *user)
{
	CHECK(src == &source);
	(void)user;
	embed_next_round();
}

static void call_again(struct peal_source *src, void *user)
{
	on_call(src, user);
	if (env.rounds % 10 != 0)
		peal_reactor_defer(&env.loop, src);
}

static void deferred_here(void)
{
	CHECK_EQ(sem_init(&env.turn, 0, 0), 0);
	CHECK_EQ(
		peal_reactor_add_deferred(&env.loop, &source, call_again, NULL),
		0);
	embed_settle();
	for (int i = 10; i <= 100; i += 10) {
		peal_reactor_defer(&env.loop, &source);
		embed_until(&env.rounds, i);
		embed_settle();
	}
	CHECK_EQ(env.rounds, 100);
	sem_destroy(&env.turn);
}

static void *defer_in_rounds(void *user)
{
	for (int i = 0; i < ROUNDS; i++) {
		embed_await_round();
		peal_reactor_defer(&env.loop, &source);
	}
	return user;
}

static void deferred_there(void)
{
	CHECK_EQ(peal_reactor_add_deferred(&env.loop, &source, on_call, NULL),
		 0);
	embed_in_rounds(defer_in_rounds);
}

#define POSTERS 2
#define POSTS 20000

struct poster {
	struct peal_source source;
	int sent, seen;
};

static struct poster posters[POSTERS];

static void see_posts(struct peal_source *src, void *user)
{
	struct poster *poster = user;

	(void)src;
	poster->seen = __atomic_load_n(&poster->sent, __ATOMIC_ACQUIRE);
}

static void *defer_many(void *user)
{
	struct poster *poster = user;

	for (int i = 1; i <= POSTS; i++) {
		__atomic_store_n(&poster->sent, i, __ATOMIC_RELEASE);
		peal_reactor_defer(&env.loop, &poster->source);
	}
	return NULL;
}

static void deferred_at_full_speed(void)
{
	pthread_t threads[POSTERS];

	for (int i = 0; i < POSTERS; i++) {
		CHECK_EQ(peal_reactor_add_deferred(&env.loop,
						   &posters[i].source,
						   see_posts, &posters[i]),
			 0);
		CHECK_EQ(pthread_create(&threads[i], NULL, defer_many,
					&posters[i]),
			 0);
	}
	for (int i = 0; i < POSTERS; i++) {
		embed_until(&posters[i].seen, POSTS);
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	}
}

static int messages[ROUNDS];

static void on_post(struct peal_source *src, void *message, void *user)
{
	CHECK(src == &source);
	CHECK(message == &messages[env.rounds]);
	(void)user;
	embed_next_round();
}

static void *post_in_rounds(void *user)
{
	for (int i = 0; i < ROUNDS; i++) {
		embed_await_round();
		CHECK_EQ(peal_reactor_post(&env.loop, &source, &messages[i]),
			 0);
	}
	return user;
}

static void posted_there(void)
{
	struct peal_post cells[4];

	CHECK_EQ(peal_reactor_add_queue(&env.loop, &source, cells, 4, on_post,
					NULL),
		 0);
	embed_in_rounds(post_in_rounds);
	CHECK_EQ(peal_reactor_remove(&env.loop, &source), 0);
}

static void on_signal(struct peal_source *src,
		      const struct signalfd_siginfo *info, void *user)
{
	CHECK(src == &source);
	CHECK_EQ(info->ssi_signo, SIGUSR1);
	(void)user;
	embed_next_round();
}

static void *kill_in_rounds(void *user)
{
	for (int i = 0; i < ROUNDS; i++) {
		embed_await_round();
		CHECK_EQ(kill(getpid(), SIGUSR1), 0);
	}
	return user;
}

static void signalled(void)
{
	CHECK_EQ(peal_reactor_add_signal(&env.loop, &source, SIGUSR1, on_signal,
					 NULL),
		 0);
	embed_in_rounds(kill_in_rounds);
	CHECK_EQ(peal_reactor_remove(&env.loop, &source), 0);
}

const struct embed_property embed_sources_properties[] = {
	{ "a timer and nothing else", timer },
	{ "a call deferred in this thread and nothing else", deferred_here },
	{ "a call deferred in another thread and nothing else",
	  deferred_there },
	{ "calls deferred in other threads at full speed",
	  deferred_at_full_speed },
	{ "a message from another thread and nothing else", posted_there },
	{ "a signal and nothing else", signalled },
	{ NULL, NULL },
};
