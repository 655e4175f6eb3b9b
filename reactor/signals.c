/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signals by signalfd, and the ends of processes by pidfd. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"

/* Debian 11's headers know neither. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define PIDFD 3 /* P_PIDFD, Linux 5.4 */

/*
 * Signals are the process's, and so is what is known of them: those that have a
 * source in any reactor, and of them those that were not blocked before. A
 * child after fork(2) has no reactor, and is to be born with neither, or the
 * programs that it starts could not be ended; so it unblocks them, and counts.
 */
static uint64_t taken, blocked;
static unsigned forked;
static bool hooked;

static uint64_t bit(int number)
{
	return UINT64_C(1) << (number - 1);
}

static void unblock(uint64_t numbers)
{
	sigset_t set;

	sigemptyset(&set);
	for (int i = 1; i <= 64; i++)
		if (numbers & bit(i))
			sigaddset(&set, i);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void in_child(void)
{
	uint64_t inherited = __atomic_load_n(&blocked, __ATOMIC_RELAXED);

	__atomic_store_n(&taken, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&blocked, 0, __ATOMIC_RELAXED);
	forked++;
	if (inherited)
		unblock(inherited);
}

/* Two threads may both do it: once more does no harm. */
static int hook_forks(void)
{
	if (__atomic_load_n(&hooked, __ATOMIC_RELAXED))
		return 0;
	if (pthread_atfork(NULL, NULL, in_child) != 0)
		return -ENOMEM;
	__atomic_store_n(&hooked, true, __ATOMIC_RELAXED);
	return 0;
}

/* Two fds would take signals away from each other. */
static int claim_signal(struct peal_source *source, int number)
{
	int ret = hook_forks();

	if (ret < 0)
		return ret;
	source->of.signal.number = number;
	source->of.signal.forked = forked;
	if (__atomic_fetch_or(&taken, bit(number), __ATOMIC_RELAXED) &
	    bit(number))
		return -EEXIST;
	source->of.signal.added = true;
	return 0;
}

static int watch_signal(struct peal_source *source, int number)
{
	sigset_t set;
	int fd, ret;

	sigemptyset(&set);
	if (sigaddset(&set, number) < 0)
		return -EINVAL;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	ret = peal_source_watch(source, fd, EPOLLIN | EPOLLET);
	if (ret < 0)
		close(fd);
	return ret;
}

/* Last of all: what comes before it is no business of ours. */
static void block(struct peal_source *source, int number)
{
	sigset_t set;

	pthread_sigmask(SIG_SETMASK, NULL, &set);
	if (sigismember(&set, number) == 1)
		return;
	source->of.signal.unblock = true;
	/* First, for another thread that forks: it inherits the mask, too. */
	__atomic_fetch_or(&blocked, bit(number), __ATOMIC_RELAXED);
	sigemptyset(&set);
	sigaddset(&set, number);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* What was sent to the source is not let loose on the process. */
static void drain(int fd)
{
	struct signalfd_siginfo info;
	ssize_t ret;

	do
		ret = read(fd, &info, sizeof(info));
	while (ret > 0 || (ret < 0 && errno == EINTR));
}

static void signal_detach(struct peal_source *source)
{
	int number = source->of.signal.number;
	bool here = peal_reactor_here(source->reactor);

	/* What is pending in a child was sent to the child. */
	if (source->of.signal.unblock && here)
		drain(source->fd);
	if (source->fd >= 0)
		close(source->fd);
	/* A child that has forked by itself, and did not call in_child(), has
	 * all this to do, too. */
	if (!source->of.signal.added || source->of.signal.forked != forked)
		return;
	if (source->of.signal.unblock) {
		unblock(bit(number));
		__atomic_fetch_and(&blocked, ~bit(number), __ATOMIC_RELAXED);
	}
	__atomic_fetch_and(&taken, ~bit(number), __ATOMIC_RELAXED);
}

static void signal_turn(struct peal_source *source)
{
	struct signalfd_siginfo info;
	struct peal_call call;
	ssize_t ret;

	peal_count(&source->reactor->stats.system_calls);
	do
		ret = read(source->fd, &info, sizeof(info));
	while (ret < 0 && errno == EINTR);
	if (ret != sizeof(info))
		return;
	call = peal_call_begin(source);
	source->callback.on_signal(source, &info, source->user);
	if (peal_call_end(&call))
		peal_source_ready(source); /* there may be another */
}

static const struct peal_source_ops signal_ops = {
	.turn = signal_turn,
	.event = peal_source_event,
	.detach = signal_detach,
};

int peal_reactor_add_signal(
	struct peal_reactor *loop, struct peal_source *source, int number,
	void (*on_signal)(struct peal_source *source,
			  const struct signalfd_siginfo *info, void *user),
	void *user)
{
	int ret;

	if (!on_signal || number < 1 || number > 64 || number == SIGKILL ||
	    number == SIGSTOP)
		return -EINVAL;
	ret = peal_source_enter(loop, source, &signal_ops);
	if (ret < 0)
		return ret;
	source->callback.on_signal = on_signal;
	source->user = user;
	ret = claim_signal(source, number);
	if (ret == 0)
		ret = watch_signal(source, number);
	if (ret < 0)
		peal_source_detach(source);
	else
		block(source, number);
	return ret;
}

/* -- children */

/* Linux 5.3 has pidfds, and no way to wait by them. */
static int can_wait_by(int fd)
{
	siginfo_t info;

	if (waitid((idtype_t)PIDFD, (id_t)fd, &info,
		   WEXITED | WNOHANG | WNOWAIT) < 0 &&
	    errno == EINVAL)
		return -ENOSYS;
	return 0;
}

static void child_detach(struct peal_source *source)
{
	if (source->fd >= 0)
		close(source->fd);
}

static void child_turn(struct peal_source *source)
{
	struct peal_source copy = *source;
	struct peal_exit how = { .pid = source->of.pid };
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	peal_count(&source->reactor->stats.system_calls);
	if (waitid((idtype_t)PIDFD, (id_t)source->fd, &info,
		   WEXITED | WNOHANG) == 0) {
		if (info.si_pid == 0)
			return; /* a host woke us for nothing */
		how.code = info.si_code;
		how.status = info.si_status;
	}
	source->reactor->made++;
	peal_reactor_remove(source->reactor, source);
	copy.callback.on_exit(source, &how, copy.user);
}

static const struct peal_source_ops child_ops = {
	.turn = child_turn,
	.event = peal_source_event,
	.detach = child_detach,
};

int peal_reactor_add_child(struct peal_reactor *loop,
			   struct peal_source *source, pid_t pid,
			   void (*on_exit)(struct peal_source *source,
					   const struct peal_exit *how,
					   void *user),
			   void *user)
{
	int ret, fd;

	if (!on_exit || pid <= 0)
		return -EINVAL;
	ret = peal_source_enter(loop, source, &child_ops);
	if (ret < 0)
		return ret;
	source->of.pid = pid;
	source->callback.on_exit = on_exit;
	source->user = user;
	fd = (int)syscall(SYS_pidfd_open, pid, 0u);
	ret = fd < 0 ? -errno : can_wait_by(fd);
	if (ret == 0)
		ret = peal_source_watch(source, fd, EPOLLIN | EPOLLET);
	if (ret < 0) {
		if (fd >= 0)
			close(fd);
		peal_source_detach(source);
	}
	return ret;
}
