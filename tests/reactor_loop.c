/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The loop itself: fds, waking, stopping, forks, and loops of the caller's. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fixtures/harness.h"
#include "fixtures/rig.h"

#define SLOTS 1024

static struct peal_slot slots[SLOTS];
static struct peal_reactor loop;
static struct peal_source source;
static struct rig a, b;

static void start(void)
{
	CHECK_EQ(peal_reactor_init(&loop, slots, SLOTS), 0);
}

static void end(void)
{
	peal_reactor_close(&loop);
}

static bool readable(void)
{
	return rig_readable(peal_reactor_fd(&loop));
}

/* -- plain fds */

struct seen {
	int calls;
	uint32_t events;
};

static void look(struct peal_source *src, int fd, uint32_t events, void *user)
{
	struct seen *seen = user;

	(void)src;
	(void)fd;
	seen->calls++;
	seen->events = events;
}

TEST(an_fd_is_reported_for_as_long_as_it_is_readable)
{
	struct seen seen = { 0 };
	int fds[2];
	char byte;

	start();
	CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
	CHECK_EQ(peal_reactor_add_fd(&loop, &source, fds[0], EPOLLIN, look,
				     &seen),
		 0);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 0);
	CHECK_EQ(write(fds[1], "x", 1), 1);
	for (int i = 1; i <= 3; i++) {
		CHECK_EQ(peal_reactor_run_once(&loop, 0), 1);
		CHECK_EQ(seen.calls, i);
		CHECK_EQ(seen.events, EPOLLIN);
	}
	CHECK_EQ(read(fds[0], &byte, 1), 1);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 0);
	close(fds[1]);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 1);
	CHECK_EQ(seen.events, EPOLLHUP);
	CHECK_EQ(peal_reactor_remove(&loop, &source), 0);
	close(fds[0]);
	end();
}

TEST(an_fd_with_epollet_is_reported_once_for_each_edge)
{
	struct seen seen = { 0 };
	/* From Linux 5.5 to 5.13 a pipe has an edge only where it was empty. */
	int fd = eventfd(0, EFD_CLOEXEC);

	start();
	CHECK_EQ(peal_reactor_add_fd(&loop, &source, fd, EPOLLIN | EPOLLET,
				     look, &seen),
		 0);
	for (int i = 1; i <= 3; i++) {
		CHECK_EQ(eventfd_write(fd, 1), 0);
		CHECK_EQ(peal_reactor_run_once(&loop, 0), 1);
		CHECK_EQ(peal_reactor_run_once(&loop, 0), 0);
		CHECK_EQ(seen.calls, i);
	}
	CHECK_EQ(peal_reactor_remove(&loop, &source), 0);
	close(fd);
	end();
}

TEST(the_events_of_an_fd_can_be_changed)
{
	struct seen seen = { 0 };
	int fds[2];

	start();
	CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
	CHECK_EQ(peal_reactor_add_fd(&loop, &source, fds[1], 0, look, &seen),
		 0);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 0);
	CHECK_EQ(peal_reactor_set_events(&loop, &source, EPOLLOUT), 0);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 1);
	CHECK_EQ(seen.events, EPOLLOUT);
	CHECK_EQ(peal_reactor_set_events(&loop, &source, 0), 0);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 0);
	CHECK_EQ(peal_reactor_set_events(&loop, &source, EPOLLEXCLUSIVE),
		 -EINVAL);
	CHECK_EQ(peal_reactor_remove(&loop, &source), 0);
	close(fds[0]);
	close(fds[1]);
	end();
}

TEST(an_fd_that_cannot_be_watched_is_refused)
{
	int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	int fds[2];
	struct peal_source twin = { 0 };

	start();
	CHECK_EQ(peal_reactor_add_fd(&loop, &source, -1, EPOLLIN, look, NULL),
		 -EBADF);
	CHECK_EQ(peal_reactor_add_fd(&loop, &source, 999, EPOLLIN, look, NULL),
		 -EBADF);
	CHECK_EQ(peal_reactor_add_fd(&loop, &source, file, EPOLLIN, look, NULL),
		 -EPERM);
	CHECK_EQ(peal_reactor_add_fd(&loop, &source, 0, EPOLLIN, NULL, NULL),
		 -EINVAL);
	CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
	CHECK_EQ(peal_reactor_add_fd(&loop, &source, fds[0], 0, look, NULL), 0);
	CHECK_EQ(peal_reactor_add_fd(&loop, &twin, fds[0], 0, look, NULL),
		 -EEXIST);
	end();
	close(file);
	close(fds[0]);
	close(fds[1]);
}

static void once(struct peal_source *src, int fd, uint32_t events, void *user)
{
	(void)src;
	(void)fd;
	(void)events;
	++*(int *)user;
}

TEST(all_that_are_ready_have_their_turn_in_one_round)
{
	static struct peal_source many[600];
	static int fds[600][2], calls[600];

	start();
	for (int i = 0; i < 600; i++) {
		/* Two fds of 1200 would be near the usual limit of 1024. */
		if (i > 0 && i % 400 == 0)
			break;
		CHECK_EQ(pipe2(fds[i], O_CLOEXEC), 0);
		CHECK_EQ(write(fds[i][1], "x", 1), 1);
		CHECK_EQ(peal_reactor_add_fd(&loop, &many[i], fds[i][0],
					     EPOLLIN, once, &calls[i]),
			 0);
	}
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 400);
	for (int i = 0; i < 400; i++) {
		CHECK_EQ(calls[i], 1);
		close(fds[i][0]);
		close(fds[i][1]);
	}
	end();
}

/* -- waking and stopping */

static void *stop_it(void *user)
{
	(void)user;
	peal_reactor_stop(&loop);
	return NULL;
}

TEST(another_thread_can_stop_a_loop)
{
	pthread_t thread;

	start();
	for (int i = 0; i < 200; i++) {
		CHECK_EQ(pthread_create(&thread, NULL, stop_it, NULL), 0);
		CHECK_EQ(peal_reactor_run(&loop), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
	}
	end();
}

static void on_alarm(int number)
{
	(void)number;
	peal_reactor_stop(&loop);
}

TEST(a_signal_handler_can_stop_a_loop)
{
	start();
	signal(SIGALRM, on_alarm);
	alarm(1);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	end();
}

TEST(a_stop_before_the_run_ends_that_run_alone)
{
	start();
	peal_reactor_stop(&loop);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 0);
	end();
}

TEST(waking_is_remembered)
{
	start();
	peal_reactor_wake(&loop);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 0);
	CHECK(!readable());
	end();
}

static long nested(struct peal_receiver *rx, void *user)
{
	(void)rx;
	((struct rig *)user)->calls++;
	CHECK_EQ(peal_reactor_run(&loop), -EBUSY);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), -EBUSY);
	CHECK_EQ(peal_reactor_dispatch(&loop), -EBUSY);
	peal_reactor_stop(&loop);
	return PEAL_DONE;
}

TEST(a_loop_in_a_callback_is_refused)
{
	start();
	rig_init(&a, 8);
	rig_serve(&loop, &a, nested);
	rig_send(&a, 1);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	CHECK_EQ(a.calls, 1);
	end();
	rig_finish(&a);
}

/* -- in a loop of the caller's: readable whenever there is work */

static long take_one(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	rig->calls++;
	rig_take(rig, 1);
	return peal_receiver_used(rx) > 0 ? PEAL_MORE : PEAL_DONE;
}

static void called(struct peal_source *src, void *user)
{
	(void)src;
	(*(int *)user)++;
}

static void expired(struct peal_source *src, uint64_t expirations, void *user)
{
	(void)src;
	*(uint64_t *)user += expirations;
}

TEST(the_fd_is_readable_for_all_kinds_of_work)
{
	struct peal_source call = { 0 }, timer = { 0 };
	uint64_t expirations = 0;
	int calls = 0;

	start();
	rig_init(&a, 8);
	CHECK(!readable());

	rig_send(&a, 3);
	rig_serve(&loop, &a, take_one); /* data from before */
	CHECK(readable());
	for (int i = 1; i <= 3; i++) { /* leftovers */
		CHECK(readable());
		CHECK_EQ(peal_reactor_dispatch(&loop), 1);
		CHECK_EQ(a.calls, i);
	}
	rig_settle(&loop);
	CHECK(!readable());

	rig_send(&a, 1); /* a doorbell */
	CHECK(readable());
	rig_settle(&loop);

	CHECK_EQ(peal_reactor_add_deferred(&loop, &call, called, &calls), 0);
	CHECK(!readable());
	peal_reactor_defer(&loop, &call);
	CHECK(readable());
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK_EQ(calls, 1);

	CHECK_EQ(peal_reactor_add_timer(&loop, &timer, expired, &expirations),
		 0);
	CHECK_EQ(peal_reactor_set_timer(&loop, &timer, 0, 0, 0), 0);
	CHECK(readable());
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK_EQ(expirations, 1);

	CHECK_EQ(peal_reactor_hangup(&loop, &a.source, -EPIPE), 0);
	CHECK(readable());
	rig_settle(&loop);
	CHECK_EQ(a.closed, 1);
	CHECK(!readable());
	end();
	rig_finish(&a);
}

TEST(the_fd_is_the_same_for_life)
{
	int fd;

	start();
	fd = peal_reactor_fd(&loop);
	rig_init(&a, 8);
	rig_serve(&loop, &a, take_one);
	rig_settle(&loop);
	CHECK_EQ(peal_reactor_fd(&loop), fd);
	end();
	rig_finish(&a);
}

/* -- fork */

static void in_the_child(void *arg)
{
	struct peal_source call = { 0 };

	(void)arg;
	CHECK_EQ(peal_reactor_run(&loop), -ECHILD);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), -ECHILD);
	CHECK_EQ(peal_reactor_remove(&loop, &a.source), -ECHILD);
	CHECK_EQ(peal_reactor_add_deferred(&loop, &call, called, NULL),
		 -ECHILD);
	peal_reactor_close(&loop);
}

TEST(a_child_has_no_reactor_and_leaves_that_of_its_parent_alone)
{
	test_needs_madvise();
	start();
	rig_init(&a, 8);
	rig_serve(&loop, &a, take_one);
	rig_settle(&loop);
	test_join(test_fork(in_the_child, NULL));
	rig_send(&a, 1);
	CHECK_EQ(rig_settle(&loop), 1);
	end();
	rig_finish(&a);
}

static long fork_here(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	(void)rx;
	rig->calls++;
	rig_drain(rig);
	if (rig == &a) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid > 0)
			test_join(pid);
		else
			rig->calls = 100;
	}
	return PEAL_DONE;
}

TEST(a_child_forked_in_a_callback_serves_nobody_else)
{
	int ret;

	test_needs_madvise();
	start();
	rig_init(&a, 8);
	rig_init(&b, 8);
	rig_serve(&loop, &a, fork_here);
	rig_serve(&loop, &b, fork_here);
	rig_send(&a, 1);
	rig_send(&b, 1);
	ret = peal_reactor_run_once(&loop, 0);
	if (a.calls == 100) { /* the child */
		CHECK_EQ(ret, -ECHILD);
		CHECK_EQ(b.calls, 0);
		_exit(0);
	}
	CHECK_EQ(ret, 2);
	CHECK_EQ(b.calls, 1);
	end();
	rig_finish(&a);
	rig_finish(&b);
}
