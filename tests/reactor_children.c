/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The ends of processes, in the loop's thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixtures/harness.h"
#include "fixtures/rig.h"

#define CHILDREN 200

static struct peal_slot slots[CHILDREN];
static struct peal_reactor loop;

static void start(void)
{
	CHECK_EQ(peal_reactor_init(&loop, slots, CHILDREN), 0);
}

static void end(void)
{
	peal_reactor_close(&loop);
}

struct kid {
	struct peal_source source;
	pid_t pid;
	struct peal_exit how;
	int exits;
};

static struct kid kids[CHILDREN];

static void exited(struct peal_source *source, const struct peal_exit *how,
		   void *user)
{
	struct kid *kid = user;

	CHECK(source == &kid->source);
	CHECK_EQ(how->pid, kid->pid);
	kid->how = *how;
	kid->exits++;
	/* It is removed already, and its memory is ours. */
	memset(source, 0, sizeof(*source));
}

static void leave_with(void *status)
{
	exit(*(int *)status);
}

static void sleep_for_ever(void *user)
{
	(void)user;
	for (;;)
		pause();
}

static void watch(struct kid *kid, void (*run)(void *), void *arg)
{
	kid->pid = test_fork(run, arg);
	CHECK_EQ(peal_reactor_add_child(&loop, &kid->source, kid->pid, exited,
					kid),
		 0);
}

static void await(const struct kid *kid)
{
	while (kid->exits == 0)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	CHECK_EQ(rig_settle(&loop), 0);
	CHECK_EQ(kid->exits, 1);
}

static void check_reaped(pid_t pid)
{
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), -1);
	CHECK_EQ(errno, ECHILD);
}

TEST(the_exit_status_of_a_child_is_told_and_no_zombie_is_left)
{
	int status = 42, fds;

	start();
	fds = test_count_fds();
	watch(&kids[0], leave_with, &status);
	CHECK_EQ(test_count_fds(), fds + 1);
	await(&kids[0]);
	CHECK_EQ(kids[0].how.code, CLD_EXITED);
	CHECK_EQ(kids[0].how.status, 42);
	check_reaped(kids[0].pid);
	CHECK_EQ(test_count_fds(), fds);
	end();
}

TEST(the_signal_that_killed_a_child_is_told)
{
	start();
	watch(&kids[0], sleep_for_ever, NULL);
	CHECK_EQ(kill(kids[0].pid, SIGSTOP), 0); /* which is no end */
	CHECK_EQ(waitpid(kids[0].pid, NULL, WUNTRACED), kids[0].pid);
	CHECK_EQ(rig_settle(&loop), 0);
	CHECK_EQ(kill(kids[0].pid, SIGKILL), 0);
	await(&kids[0]);
	CHECK_EQ(kids[0].how.code, CLD_KILLED);
	CHECK_EQ(kids[0].how.status, SIGKILL);
	end();
}

TEST(two_hundred_children_are_told_apart)
{
	int fds, exits = 0;

	start();
	fds = test_count_fds();
	for (int i = 0; i < CHILDREN; i++)
		watch(&kids[i], leave_with, &i);
	while (exits < CHILDREN) {
		int n = peal_reactor_run_once(&loop, -1);

		CHECK(n >= 0);
		exits += n;
	}
	for (int i = 0; i < CHILDREN; i++) {
		CHECK_EQ(kids[i].exits, 1);
		CHECK_EQ(kids[i].how.code, CLD_EXITED);
		CHECK_EQ(kids[i].how.status, i);
	}
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_EQ(test_count_fds(), fds);
	end();
}

static void have_a_child(void *user)
{
	pid_t pid = test_fork(sleep_for_ever, NULL);

	CHECK_EQ(write(*(int *)user, &pid, sizeof(pid)), sizeof(pid));
}

TEST(of_a_process_that_is_no_child_the_end_alone_is_known)
{
	int fds[2];

	start();
	CHECK_EQ(pipe(fds), 0);
	test_join(test_fork(have_a_child, &fds[1]));
	CHECK_EQ(read(fds[0], &kids[0].pid, sizeof(kids[0].pid)),
		 sizeof(kids[0].pid));
	CHECK_EQ(peal_reactor_add_child(&loop, &kids[0].source, kids[0].pid,
					exited, &kids[0]),
		 0);
	CHECK_EQ(rig_settle(&loop), 0);
	CHECK_EQ(kill(kids[0].pid, SIGKILL), 0);
	await(&kids[0]);
	CHECK_EQ(kids[0].how.code, 0);
	CHECK_EQ(kids[0].how.status, 0);
	close(fds[0]);
	close(fds[1]);
	end();
}

TEST(of_a_child_that_somebody_else_has_waited_for_too)
{
	start();
	watch(&kids[0], sleep_for_ever, NULL);
	CHECK_EQ(kill(kids[0].pid, SIGTERM), 0);
	CHECK_EQ(waitpid(kids[0].pid, NULL, 0), kids[0].pid);
	await(&kids[0]);
	CHECK_EQ(kids[0].how.code, 0);
	end();
}

TEST(a_process_that_is_not_there_is_refused)
{
	int status = 0, fds;
	pid_t gone = test_fork(leave_with, &status);

	start();
	fds = test_count_fds();
	test_join(gone);
	CHECK_EQ(peal_reactor_add_child(&loop, &kids[0].source, gone, exited,
					NULL),
		 -ESRCH);
	CHECK_EQ(
		peal_reactor_add_child(&loop, &kids[0].source, 0, exited, NULL),
		-EINVAL);
	CHECK_EQ(peal_reactor_add_child(&loop, &kids[0].source, -1, exited,
					NULL),
		 -EINVAL);
	CHECK_EQ(peal_reactor_add_child(&loop, &kids[0].source, getpid(), NULL,
					NULL),
		 -EINVAL);
	CHECK_EQ(test_count_fds(), fds);
	end();
}

TEST(a_child_that_is_removed_before_its_end_is_left_to_be_waited_for)
{
	int status, fds;

	start();
	fds = test_count_fds();
	watch(&kids[0], sleep_for_ever, NULL);
	watch(&kids[1], sleep_for_ever, NULL);
	CHECK_EQ(kill(kids[0].pid, SIGKILL), 0); /* perhaps ended, unseen */
	for (int i = 0; i < 2; i++)
		CHECK_EQ(peal_reactor_remove(&loop, &kids[i].source), 0);
	CHECK_EQ(test_count_fds(), fds);
	CHECK_EQ(kill(kids[1].pid, SIGKILL), 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(waitpid(kids[i].pid, &status, 0), kids[i].pid);
		CHECK(WIFSIGNALED(status));
	}
	CHECK_EQ(rig_settle(&loop), 0);
	CHECK_EQ(kids[0].exits + kids[1].exits, 0);
	end();
}

static void have_another(struct peal_source *source,
			 const struct peal_exit *how, void *user)
{
	int *left = user, status = how->status + 1;

	CHECK_EQ(how->code, CLD_EXITED);
	if (--*left > 0)
		CHECK_EQ(peal_reactor_add_child(&loop, source,
						test_fork(leave_with, &status),
						have_another, left),
			 0);
	else
		CHECK_EQ(how->status, 5);
}

TEST(the_source_of_a_child_can_be_added_again_in_its_callback)
{
	struct peal_source source = { 0 };
	int left = 5, status = 1;

	start();
	CHECK_EQ(peal_reactor_add_child(&loop, &source,
					test_fork(leave_with, &status),
					have_another, &left),
		 0);
	while (left > 0)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
	end();
}

TEST(children_that_are_watched_at_the_end_leave_no_fds)
{
	start();
	for (int i = 0; i < 3; i++)
		watch(&kids[i], sleep_for_ever, NULL);
	end();
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(kill(kids[i].pid, SIGKILL), 0);
		CHECK_EQ(waitpid(kids[i].pid, NULL, 0), kids[i].pid);
	}
}
