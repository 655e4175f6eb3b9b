/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The reactor in loops that are not ours. One list of properties, and each
 * loop must have all of them in both forms. Wherever a loop waits here, it
 * waits for ever: what does not make an fd readable hangs the test.
 */
#define _GNU_SOURCE
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "embed_properties.h"
#include "fixtures/harness.h"

struct embed env;

static void own_is_ready(void)
{
	char bytes[16];

	while (read(env.own[0], bytes, sizeof(bytes)) > 0)
		;
	env.own_calls++;
	if (env.on_own)
		env.on_own();
}

void embed_wake_own(void)
{
	CHECK_EQ(write(env.own[1], "x", 1), 1);
}

static void start(void)
{
	CHECK_EQ(pipe2(env.own, O_CLOEXEC | O_NONBLOCK), 0);
	env.host->start(&env.loop, env.slots, env.own[0], own_is_ready);
	rig_init(&env.a, 8);
	rig_init(&env.b, 8);
	rig_init(&env.c, 8);
}

static void end(void)
{
	struct rig *rigs[] = { &env.a, &env.b, &env.c };
	struct peal_reactor_stats stats;
	struct peal_ring_stats ring;
	uint64_t transitions = 0;

	peal_reactor_stats(&env.loop, &stats);
	for (int i = 0; i < 3; i++) {
		if (env.feeding)
			peal_sender_stats(&rigs[i]->tx, &ring);
		else
			peal_receiver_stats(&rigs[i]->rx, &ring);
		transitions += ring.transitions;
		rig_finish(rigs[i]);
	}
	if (!env.others)
		CHECK_EQ(stats.callbacks - stats.mores, transitions);
	env.host->stop();
	close(env.own[0]);
	close(env.own[1]);
}

/* Let the loop go on, and wait, until something has happened so often. */
void embed_until(const int *count, int n)
{
	while (*count < n)
		env.host->once(true);
	CHECK_EQ(*count, n);
}

/*
 * Let the loop go on until the reactor has had no turn in three iterations.
 * @return  how many it has had
 */
uint64_t embed_settle(void)
{
	struct peal_reactor_stats stats;
	uint64_t before, last;
	int quiet = 0;

	peal_reactor_stats(&env.loop, &stats);
	before = last = stats.iterations;
	while (quiet < 3) {
		env.host->once(false);
		peal_reactor_stats(&env.loop, &stats);
		quiet = stats.iterations == last ? quiet + 1 : 0;
		last = stats.iterations;
		CHECK(last - before < 1000);
	}
	return last - before;
}

long embed_drain(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	CHECK(rx == &rig->rx);
	rig->calls++;
	CHECK(rig_drain(rig) > 0);
	return PEAL_DONE;
}

void embed_next_round(void)
{
	env.rounds++;
	CHECK_EQ(sem_post(&env.turn), 0);
}

void embed_await_round(void)
{
	struct timespec short_while = { .tv_nsec = 100000 };

	while (sem_wait(&env.turn) < 0)
		CHECK_EQ(errno, EINTR);
	nanosleep(&short_while, NULL);
}

void embed_in_rounds(void *(*other)(void *user))
{
	pthread_t thread;

	CHECK_EQ(sem_init(&env.turn, 0, 1), 0);
	CHECK_EQ(pthread_create(&thread, NULL, other, NULL), 0);
	embed_until(&env.rounds, ROUNDS);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	sem_destroy(&env.turn);
}

/* -- every loop, every property */

/* In both forms. */
#define MISSING(what)                                                          \
	&(const struct embed_host){ .name = what,                              \
				    .missing = "built without " what },        \
		&(const struct embed_host)                                     \
	{                                                                      \
		.name = what " B", .missing = "built without " what            \
	}

static const struct embed_host *const hosts[] = {
	&embed_epoll_level,  &embed_epoll_level_b, &embed_epoll_edge,
	&embed_epoll_edge_b, &embed_poll,	   &embed_poll_b,
#ifdef HAVE_LIBEVENT
	&embed_libevent,     &embed_libevent_b,	   &embed_libevent_poll_b,
#else
	MISSING("libevent"),
#endif
#ifdef HAVE_LIBEV
	&embed_libev,	     &embed_libev_b,
#else
	MISSING("libev"),
#endif
#ifdef HAVE_LIBUV
	&embed_libuv,	     &embed_libuv_b,
#else
	MISSING("libuv"),
#endif
#ifdef HAVE_LIBSYSTEMD
	&embed_sdevent,	     &embed_sdevent_b,
#else
	MISSING("sd-event"),
#endif
#ifdef HAVE_GLIB
	&embed_glib,	     &embed_glib_b,
#else
	MISSING("GLib"),
#endif
};
#define HOSTS (sizeof(hosts) / sizeof(hosts[0]))

struct row {
	const struct embed_host *host;
	const struct embed_property *property;
};

static void run_row(const void *user)
{
	const struct row *row = user;

	env.host = row->host;
	if (env.host->missing)
		test_skip("%s", env.host->missing);
	start();
	row->property->check();
	end();
}

#define MOST_ROWS 1024

static void register_row(const struct embed_host *host,
			 const struct embed_property *property)
{
	static struct test tests[MOST_ROWS];
	static struct row rows[MOST_ROWS];
	static char names[MOST_ROWS][96];
	static int n;

	if (n == MOST_ROWS)
		abort();
	rows[n] = (struct row){ host, property };
	snprintf(names[n], sizeof(names[n]), "%s: %s", host->name,
		 property->name);
	test_register_row(&tests[n], names[n], run_row, &rows[n]);
	n++;
}

__attribute__((constructor)) static void register_rows(void)
{
	static const struct embed_property *const lists[] = {
		embed_rings_properties, embed_sources_properties,
		embed_loop_properties
	};

	for (size_t i = 0; i < HOSTS; i++)
		for (size_t j = 0; j < 3; j++)
			for (const struct embed_property *property = lists[j];
			     property->name; property++)
				register_row(hosts[i], property);
}
