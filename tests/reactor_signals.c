/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signals in the loop's thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixtures/harness.h"
#include "fixtures/rig.h"

#define SLOTS 8

static struct peal_slot slots[SLOTS];
static struct peal_reactor loop;
static struct peal_source usr1, usr2;

static void start(void)
{
	CHECK_EQ(peal_reactor_init(&loop, slots, SLOTS), 0);
}

static void end(void)
{
	peal_reactor_close(&loop);
}

struct seen {
	int calls, last, sum;
	pthread_t thread;
};

static void look(struct peal_source *source,
		 const struct signalfd_siginfo *info, void *user)
{
	struct seen *seen = user;

	(void)source;
	seen->last = (int)info->ssi_signo;
	/* Each value once, and in the order in which they were queued. */
	if (info->ssi_code == SI_QUEUE)
		CHECK_EQ(info->ssi_ptr, seen->calls);
	seen->calls++;
	seen->thread = pthread_self();
}

static bool blocked(int number)
{
	sigset_t mask;

	CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
	return sigismember(&mask, number);
}

static void block(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

static void *kill_us(void *user)
{
	(void)user;
	CHECK_EQ(kill(getpid(), SIGUSR1), 0);
	return NULL;
}

TEST(a_signal_comes_in_the_thread_of_the_loop)
{
	struct seen seen = { 0 };
	pthread_t thread;

	start();
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGUSR1, look, &seen),
		 0);
	CHECK_EQ(rig_settle(&loop), 0);
	CHECK_EQ(pthread_create(&thread, NULL, kill_us, NULL), 0);
	while (seen.calls == 0)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(pthread_equal(seen.thread, pthread_self()));
	CHECK_EQ(seen.last, SIGUSR1);
	CHECK_EQ(rig_settle(&loop), 0);
	CHECK_EQ(seen.calls, 1);
	end();
}

TEST(signals_that_are_queued_come_once_each)
{
	struct seen seen = { 0 }, again = { 0 };

	start();
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGRTMIN, look, &seen),
		 0);
	for (int i = 0; i < 20; i++)
		CHECK_EQ(sigqueue(getpid(), SIGRTMIN,
				  (union sigval){
					  .sival_ptr = (void *)(intptr_t)i }),
			 0);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 1); /* one a turn */
	rig_settle(&loop);
	CHECK_EQ(seen.calls, 20);
	/* Of the others the kernel keeps one. */
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr2, SIGUSR2, look, &again),
		 0);
	raise(SIGUSR2);
	raise(SIGUSR2);
	CHECK_EQ(rig_settle(&loop), 1);
	raise(SIGUSR2);
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK_EQ(again.calls, 2);
	end();
}

TEST(a_signal_that_was_pending_before_is_delivered)
{
	struct seen seen = { 0 };

	start();
	block(SIGUSR1);
	raise(SIGUSR1);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGUSR1, look, &seen),
		 0);
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK_EQ(seen.calls, 1);
	end();
}

TEST(the_mask_is_as_before_when_a_signal_is_removed)
{
	start();
	CHECK(!blocked(SIGUSR1));
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGUSR1, look, NULL), 0);
	CHECK(blocked(SIGUSR1));
	CHECK(!blocked(SIGUSR2));
	CHECK_EQ(peal_reactor_remove(&loop, &usr1), 0);
	CHECK(!blocked(SIGUSR1));
	end();
	CHECK(!blocked(SIGUSR1));
}

TEST(the_mask_is_as_before_when_the_reactor_is_finished)
{
	start();
	block(SIGUSR2);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGUSR1, look, NULL), 0);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr2, SIGUSR2, look, NULL), 0);
	end();
	CHECK(!blocked(SIGUSR1));
	CHECK(blocked(SIGUSR2));
}

TEST(a_signal_that_was_blocked_before_stays_blocked)
{
	start();
	block(SIGUSR1);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGUSR1, look, NULL), 0);
	CHECK_EQ(peal_reactor_remove(&loop, &usr1), 0);
	CHECK(blocked(SIGUSR1));
	end();
}

TEST(what_is_no_signal_or_has_a_source_is_refused)
{
	static const int none[] = { SIGKILL, SIGSTOP, 0, -1, 32, 65, 1000 };
	struct seen seen = { 0 };
	int fds;

	start();
	fds = test_count_fds();
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, none[i], look,
						 NULL),
			 -EINVAL);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGUSR1, NULL, NULL),
		 -EINVAL);
	CHECK(!blocked(SIGUSR1));
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGUSR1, look, &seen),
		 0);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGUSR2, look, NULL),
		 -EBUSY);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr2, SIGUSR1, look, NULL),
		 -EEXIST);
	CHECK(!blocked(SIGUSR2));
	CHECK_EQ(test_count_fds(), fds + 1);
	raise(SIGUSR1); /* the first is none the worse */
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK_EQ(peal_reactor_remove(&loop, &usr1), 0);
	CHECK_EQ(test_count_fds(), fds);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr2, SIGUSR1, look, &seen),
		 0);
	end();
}

/* -- what is pending, what is inherited, whose it is */

static void raise_again(struct peal_source *source,
			const struct signalfd_siginfo *info, void *user)
{
	look(source, info, user);
	for (int i = 0; i < 3; i++)
		raise((int)info->ssi_signo);
	peal_reactor_stop(&loop);
}

/* SIGUSR1 ends a process that has nothing against it; SIGRTMIN is queued. */
TEST(what_is_pending_when_a_source_goes_kills_nobody)
{
	const int numbers[] = { SIGUSR1, SIGINT, SIGTERM, SIGRTMIN };
	struct seen seen = { 0 };

	for (int i = 0; i < 8; i++) {
		start();
		CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, numbers[i / 2],
						 raise_again, &seen),
			 0);
		raise(numbers[i / 2]);
		CHECK_EQ(kill(getpid(), numbers[i / 2]), 0);
		CHECK_EQ(peal_reactor_run(&loop), 0);
		if (i % 2)
			CHECK_EQ(peal_reactor_remove(&loop, &usr1), 0);
		end();
		CHECK(!blocked(numbers[i / 2]));
	}
	CHECK_EQ(seen.calls, 8);
}

TEST(what_was_blocked_before_stays_pending)
{
	sigset_t pending;

	start();
	block(SIGUSR1);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGUSR1, look, NULL), 0);
	raise(SIGUSR1);
	end();
	CHECK_EQ(sigpending(&pending), 0);
	CHECK(sigismember(&pending, SIGUSR1));
}

/* An add that is refused has blocked nothing, and swallows nothing. */
TEST(a_signal_has_one_reactor_of_a_process)
{
	static struct peal_slot other_slots[SLOTS];
	static struct peal_reactor other;
	struct seen seen = { 0 };

	start();
	CHECK_EQ(peal_reactor_init(&other, other_slots, SLOTS), 0);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGUSR1, look, &seen),
		 0);
	CHECK_EQ(peal_reactor_add_signal(&other, &usr2, SIGUSR1, look, NULL),
		 -EEXIST);
	CHECK_EQ(peal_reactor_add_signal(&other, &usr2, SIGUSR2, look, &seen),
		 0);
	CHECK_EQ(peal_reactor_remove(&other, &usr2), 0);
	CHECK(blocked(SIGUSR1));
	raise(SIGUSR1);
	CHECK_EQ(rig_settle(&loop), 1);
	peal_reactor_close(&other);
	raise(SIGUSR1);
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK_EQ(peal_reactor_remove(&loop, &usr1), 0);
	CHECK_EQ(peal_reactor_init(&other, other_slots, SLOTS), 0);
	CHECK_EQ(peal_reactor_add_signal(&other, &usr2, SIGUSR1, look, &seen),
		 0);
	raise(SIGUSR1);
	CHECK_EQ(rig_settle(&other), 1);
	peal_reactor_close(&other);
	end();
}

/* The mask that a program would be started with. SIGUSR2 is blocked by us, and
 * SIGTERM where `term` is not NULL. */
static void is_born_unblocked(void *term)
{
	CHECK(!blocked(SIGUSR1));
	CHECK(blocked(SIGUSR2));
	CHECK_EQ(blocked(SIGTERM), term != NULL);
}

static void serves_for_itself(void *arg)
{
	struct seen seen = { 0 };
	struct peal_reactor own;
	struct peal_slot own_slots[SLOTS];
	struct peal_source source = { 0 };

	(void)arg;
	CHECK_EQ(peal_reactor_init(&own, own_slots, SLOTS), 0);
	CHECK_EQ(peal_reactor_add_signal(&own, &source, SIGUSR1, look, &seen),
		 0);
	peal_reactor_close(&loop); /* leaves ours alone */
	CHECK(blocked(SIGUSR1));
	raise(SIGUSR1);
	CHECK_EQ(rig_settle(&own), 1);
	test_join(test_fork(is_born_unblocked, NULL));
	peal_reactor_close(&own);
	CHECK(!blocked(SIGUSR1));
	CHECK_EQ(seen.calls, 1);
}

static void *forks_elsewhere(void *arg)
{
	(void)arg;
	test_join(test_fork(is_born_unblocked, NULL));
	CHECK(blocked(SIGUSR1));
	return NULL;
}

TEST(a_child_is_born_with_none_of_them_blocked)
{
	struct seen seen = { 0 };
	struct peal_source term = { 0 };
	pthread_t thread;

	test_needs_madvise();
	start();
	block(SIGUSR2);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGUSR1, look, &seen),
		 0);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr2, SIGUSR2, look, &seen),
		 0);
	CHECK_EQ(peal_reactor_add_signal(&loop, &term, SIGTERM, look, &seen),
		 0);
	for (int i = 0; i < 2; i++)
		test_join(test_fork(is_born_unblocked, NULL));
	/* A thread that has inherited the mask forks, too. */
	CHECK_EQ(pthread_create(&thread, NULL, forks_elsewhere, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	test_join(test_fork(serves_for_itself, NULL));
	CHECK_EQ(peal_reactor_remove(&loop, &term), 0);
	block(SIGTERM); /* by ourselves, which it stays */
	test_join(test_fork(is_born_unblocked, &loop));
	CHECK(blocked(SIGUSR1));
	raise(SIGUSR1);
	CHECK_EQ(rig_settle(&loop), 1);
	end();
	CHECK(!blocked(SIGUSR1));
}

/* What is said for posix_spawn(3), which asks nobody. */
TEST(a_program_that_is_spawned_has_the_mask_that_it_is_given)
{
	char *args[] = { (char *)"sh", (char *)"-c",
			 (char *)"kill -TERM $$; exit 7", NULL };
	posix_spawnattr_t attr;
	sigset_t none;
	int status;
	pid_t pid;

	start();
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGTERM, look, NULL), 0);
	sigemptyset(&none);
	CHECK_EQ(posix_spawnattr_init(&attr), 0);
	CHECK_EQ(posix_spawnattr_setsigmask(&attr, &none), 0);
	CHECK_EQ(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK), 0);
	CHECK_EQ(posix_spawnp(&pid, "sh", NULL, &attr, args, environ), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	posix_spawnattr_destroy(&attr);
	end();
}

/* -- in callbacks */

static void swap(struct peal_source *source,
		 const struct signalfd_siginfo *info, void *user)
{
	look(source, info, user);
	CHECK_EQ(peal_reactor_remove(&loop, source), 0);
	memset(source, 0, sizeof(*source));
	if (info->ssi_signo == SIGUSR1) /* the other one, in its memory */
		CHECK_EQ(peal_reactor_add_signal(&loop, source, SIGUSR2, swap,
						 user),
			 0);
}

TEST(signals_can_be_added_and_removed_in_callbacks)
{
	struct seen seen = { 0 };

	start();
	signal(SIGUSR1, SIG_IGN);
	CHECK_EQ(peal_reactor_add_signal(&loop, &usr1, SIGUSR1, swap, &seen),
		 0);
	raise(SIGUSR1);
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK(!blocked(SIGUSR1) && blocked(SIGUSR2));
	raise(SIGUSR2);
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK(!blocked(SIGUSR2));
	CHECK_EQ(seen.calls, 2);
	CHECK_EQ(seen.last, SIGUSR2);
	end();
}
