/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Removing, and the own life of loops that are not ours. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "embed_chaos.h"
#include "embed_properties.h"
#include "fixtures/harness.h"

/* -- removing */

static struct peal_source source;

static void on_call(struct peal_source *src, void *user)
{
	CHECK(src == &source);
	(void)user;
	env.rounds++;
}

static long remove_self(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	embed_drain(rx, user);
	CHECK_EQ(peal_reactor_remove(&env.loop, &rig->source), 0);
	memset(&rig->source, 0xff, sizeof(rig->source));
	if (rig->calls % 2 == 0) {
		memset(&rig->source, 0, sizeof(rig->source));
		rig_serve(&env.loop, rig, remove_self);
	}
	return PEAL_MORE; /* whatever it says */
}

static void removed_by_itself(void)
{
	rig_serve(&env.loop, &env.a, remove_self);
	for (int i = 1; i <= 20; i++) {
		rig_send(&env.a, 1);
		embed_until(&env.a.calls, i);
		embed_settle();
		CHECK_EQ(env.a.calls, i);
		if (i % 2 == 0)
			continue;
		rig_send(&env.a, 1);
		embed_settle();
		CHECK_EQ(env.a.calls, i);
		memset(&env.a.source, 0, sizeof(env.a.source));
		rig_serve(&env.loop, &env.a, remove_self);
		embed_until(&env.a.calls, ++i);
	}
}

/* Whichever of the two comes first removes the other. */
static long remove_other(struct peal_receiver *rx, void *user)
{
	struct rig *other = user == &env.a ? &env.b : &env.a;

	embed_drain(rx, user);
	CHECK_EQ(peal_reactor_remove(&env.loop, &other->source), 0);
	memset(&other->source, 0xff, sizeof(other->source));
	rig_serve(&env.loop, &env.c,
		  embed_drain); /* in the slot that has become free */
	env.own_calls++;
	return PEAL_DONE;
}

static void removed_by_others(void)
{
	rig_serve(&env.loop, &env.a, remove_other);
	rig_serve(&env.loop, &env.b, remove_other);
	embed_settle();
	rig_send(&env.a, 1);
	rig_send(&env.b, 1);
	embed_until(&env.own_calls, 1);
	embed_settle();
	CHECK_EQ(env.a.calls + env.b.calls, 1);
	CHECK_EQ(env.c.calls, 0);
	rig_send(&env.c, 1);
	embed_until(&env.c.calls, 1);
}

/* Pipes whose read ends change hands within a batch. */
static struct peal_source pipe_sources[3];
static int pipes[3][2], kept, pipe_calls;

static void on_pipe(struct peal_source *src, int fd, uint32_t events,
		    void *user);

static void add_pipe(int i)
{
	CHECK_EQ(pipe2(pipes[i], O_CLOEXEC | O_NONBLOCK), 0);
	memset(&pipe_sources[i], 0, sizeof(pipe_sources[i]));
	CHECK_EQ(peal_reactor_add_fd(&env.loop, &pipe_sources[i], pipes[i][0],
				     EPOLLIN, on_pipe, NULL),
		 0);
}

static void on_pipe(struct peal_source *src, int fd, uint32_t events,
		    void *user)
{
	int i = src == &pipe_sources[0] ? 0 : 1, number;
	char byte;

	(void)user;
	CHECK(events & EPOLLIN);
	CHECK_EQ(read(fd, &byte, 1), 1); /* never for another pipe's byte */
	if (pipe_calls++ > 0)
		return;
	/* The other one goes, but not its description, which stays readable;
	 * the third one is to have its number. */
	number = pipes[1 - i][0];
	CHECK_EQ(peal_reactor_remove(&env.loop, &pipe_sources[1 - i]), 0);
	memset(&pipe_sources[1 - i], 0xff, sizeof(pipe_sources[0]));
	kept = dup(number);
	close(number);
	pipes[1 - i][0] = -1;
	add_pipe(2);
	CHECK_EQ(pipes[2][0], number);
}

static void fd_number_reused(void)
{
	add_pipe(0);
	add_pipe(1);
	embed_settle();
	CHECK_EQ(write(pipes[0][1], "x", 1), 1);
	CHECK_EQ(write(pipes[1][1], "x", 1), 1);
	embed_until(&pipe_calls, 1);
	embed_settle();
	CHECK_EQ(pipe_calls, 1);
	CHECK_EQ(write(pipes[2][1], "x", 1), 1);
	embed_until(&pipe_calls, 2);
	for (int i = 0; i < 3; i++) {
		if (pipes[i][0] >= 0) {
			CHECK_EQ(peal_reactor_remove(&env.loop,
						     &pipe_sources[i]),
				 0);
			close(pipes[i][0]);
		}
		close(pipes[i][1]);
	}
	close(kept);
	embed_settle();
}

static void removed_with_events_under_way(void)
{
	rig_serve(&env.loop, &env.a, embed_drain);
	CHECK_EQ(peal_reactor_add_deferred(&env.loop, &source, on_call, NULL),
		 0);
	embed_settle();
	rig_send(&env.a, 1);
	peal_reactor_defer(&env.loop, &source);
	CHECK_EQ(peal_reactor_remove(&env.loop, &env.a.source), 0);
	CHECK_EQ(peal_reactor_remove(&env.loop, &source), 0);
	memset(&env.a.source, 0xff, sizeof(env.a.source));
	memset(&source, 0xff, sizeof(source));
	CHECK(embed_settle() <= 3);
	CHECK_EQ(env.a.calls, 0);
	CHECK_EQ(env.rounds, 0);
}

/* -- the loop's own life */

static long insatiable(struct peal_receiver *rx, void *user)
{
	(void)rx;
	((struct rig *)user)->calls++;
	return PEAL_MORE;
}

static void always_more(void)
{
	rig_serve(&env.loop, &env.a, insatiable);
	rig_serve(&env.loop, &env.b, embed_drain);
	rig_send(&env.a, 1);
	for (int i = 1; i <= 50; i++) {
		rig_send(&env.b, 1);
		embed_wake_own();
		/* Each returns, and a few are enough for everybody. */
		for (int j = 0; j < 8; j++)
			env.host->once(true);
		CHECK_EQ(env.b.calls, i);
		CHECK_EQ(env.own_calls, i);
	}
	CHECK(env.a.calls >= 50);
	CHECK_EQ(peal_reactor_remove(&env.loop, &env.a.source), 0);
	CHECK_EQ(peal_reactor_remove(&env.loop, &env.b.source), 0);
	CHECK_EQ(rig_drain(&env.a), 1);
}

static void nothing_to_do(void)
{
	rig_serve(&env.loop, &env.a, embed_drain);
	embed_settle();
	CHECK_EQ(embed_settle(), 0);
	if (env.host->hosted) {
		CHECK_EQ(peal_reactor_fd(&env.loop), -1);
		CHECK_EQ(peal_reactor_dispatch(&env.loop), -EINVAL);
		CHECK_EQ(peal_reactor_run_once(&env.loop, -1), -EINVAL);
		CHECK_EQ(peal_reactor_run(&env.loop), -EINVAL);
	} else {
		CHECK_EQ(peal_reactor_dispatch(&env.loop), 0);
		CHECK_EQ(peal_reactor_dispatch(&env.loop), 0);
	}
	for (int i = 0; i < 10; i++) {
		peal_reactor_wake(&env.loop);
		CHECK(embed_settle() <= 2);
	}
	CHECK_EQ(embed_settle(), 0);
}

static int serve_directly(void)
{
	if (env.host->hosted)
		return peal_reactor_process(&env.loop, 0, EPOLLIN);
	return peal_reactor_dispatch(&env.loop);
}

static void in_the_child(void *arg)
{
	(void)arg;
	CHECK_EQ(serve_directly(), -ECHILD);
	CHECK_EQ(peal_reactor_remove(&env.loop, &env.a.source), -ECHILD);
	peal_reactor_close(&env.loop);
}

static void forked(void)
{
	rig_serve(&env.loop, &env.a, embed_drain);
	CHECK_EQ(peal_reactor_add_deferred(&env.loop, &source, on_call, NULL),
		 0);
	embed_settle();
	for (int i = 1; i <= 3; i++) {
		rig_send(&env.a, 1); /* which the child must not take away */
		test_join(test_fork(in_the_child, NULL));
		embed_until(&env.a.calls, i);
		peal_reactor_defer(&env.loop, &source);
		embed_until(&env.rounds, i);
		embed_settle();
	}
}

static long try_to_nest(struct peal_receiver *rx, void *user)
{
	CHECK_EQ(serve_directly(), -EBUSY);
	return embed_drain(rx, user);
}

static void nested(void)
{
	rig_serve(&env.loop, &env.a, try_to_nest);
	for (int i = 1; i <= 3; i++) {
		rig_send(&env.a, 1);
		embed_until(&env.a.calls, i);
	}
}

#define OPERATIONS 20000

static void chaos_settle(void)
{
	while (chaos_owed() != CHAOS_NOTHING)
		env.host->once(true);
}

static void random_operations(void)
{
	env.others = true;
	chaos_start(&env.loop, test_seed(), false);
	for (int i = 0; i < OPERATIONS; i++) {
		chaos_operate();
		if (chaos_below(4) == 0)
			env.host->once(false);
		if (chaos_below(64) == 0)
			chaos_settle();
	}
	chaos_settle();
	CHECK(chaos_calls() > OPERATIONS / 10);
	chaos_stop();
	embed_settle();
}

const struct embed_property embed_loop_properties[] = {
	{ "a source that removes itself, its memory reused",
	  removed_by_itself },
	{ "a source removed in the same batch, its memory reused",
	  removed_by_others },
	{ "the number of an fd reused in the same batch", fd_number_reused },
	{ "sources removed with events under way",
	  removed_with_events_under_way },
	{ "a ring that always says more starves nobody", always_more },
	{ "nothing to do is done at once", nothing_to_do },
	{ "a child has no reactor and the loop goes on", forked },
	{ "a callback cannot nest", nested },
	{ "random operations", random_operations },
	{ NULL, NULL },
};
