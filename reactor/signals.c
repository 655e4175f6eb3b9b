/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signals, by signalfd(2). */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "internal.h"

#define SIGNALS 64

/*
 * A signal is sent to the process, so these sets belong to the process:
 * `taken` has the signals that have a source in any reactor, `blocked` has
 * those of them that were not blocked before.
 *
 * A child after fork(2) has no reactor. If it inherited the blocked signals,
 * nothing could end the programs that the child starts. So the child unblocks
 * them, empties the sets, and counts one fork more: a source that took its
 * signal before the fork finds another count, and leaves the child's sets
 * alone.
 */
static uint64_t taken, blocked;
static unsigned forks;
static bool fork_handled;

static uint64_t signal_bit(int number)
{
	return UINT64_C(1) << (number - 1);
}

static void signals_unblock(uint64_t bits)
{
	sigset_t set;

	sigemptyset(&set);
	for (int i = 1; i <= SIGNALS; i++)
		if (bits & signal_bit(i))
			sigaddset(&set, i);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void signals_in_child(void)
{
	uint64_t inherited = __atomic_load_n(&blocked, __ATOMIC_RELAXED);

	__atomic_store_n(&taken, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&blocked, 0, __ATOMIC_RELAXED);
	forks++;
	if (inherited)
		signals_unblock(inherited);
}

/* Two threads may both install the handler: to run it twice does no harm. */
static int signals_handle_forks(void)
{
	if (__atomic_load_n(&fork_handled, __ATOMIC_RELAXED))
		return 0;
	if (pthread_atfork(NULL, NULL, signals_in_child) != 0)
		return -ENOMEM;
	__atomic_store_n(&fork_handled, true, __ATOMIC_RELAXED);
	return 0;
}

/* A signal has one source: two signalfds would take signals away from each
 * other. */
static int signal_take(struct peal_source *source, int number)
{
	uint64_t bit = signal_bit(number);
	int ret = signals_handle_forks();

	if (ret < 0)
		return ret;
	source->of.signal.number = number;
	source->of.signal.forks = forks;
	if (__atomic_fetch_or(&taken, bit, __ATOMIC_RELAXED) & bit)
		return -EEXIST;
	source->of.signal.taken = PEAL_SIGNAL_TAKEN;
	return 0;
}

static int signal_watch(struct peal_source *source, int number)
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

/* The last step of adding: the source does not get signals that were sent
 * before. */
static void signal_block(struct peal_source *source, int number)
{
	sigset_t set;

	pthread_sigmask(SIG_SETMASK, NULL, &set);
	if (sigismember(&set, number) == 1)
		return;
	source->of.signal.taken = PEAL_SIGNAL_TAKEN_AND_BLOCKED;
	/* The set comes before the mask: a child that another thread forks in
	 * between inherits the blocked signal, and has to unblock it. */
	__atomic_fetch_or(&blocked, signal_bit(number), __ATOMIC_RELAXED);
	sigemptyset(&set);
	sigaddset(&set, number);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Signals that are pending were sent to the source. They are thrown away, and
 * do not hit the process when the signal is unblocked. */
static void signal_discard(int fd)
{
	struct signalfd_siginfo info;
	ssize_t ret;

	do
		ret = read(fd, &info, sizeof(info));
	while (ret > 0 || (ret < 0 && errno == EINTR));
}

static void signal_detach(struct peal_source *source)
{
	struct peal_source_signal *signal = &source->of.signal;
	bool unblock = signal->taken == PEAL_SIGNAL_TAKEN_AND_BLOCKED;
	uint64_t bit;

	/* Signals that are pending in a child were sent to the child. */
	if (unblock && peal_reactor_here(source->reactor))
		signal_discard(source->watch.fd);
	if (source->watch.fd >= 0)
		close(source->watch.fd);
	/* In a child after fork(2) signals_in_child() has done the rest. In a
	 * child that was made by a system call of the caller's own, such as
	 * clone(2), no handler has run, so do the rest here. */
	if (signal->taken == PEAL_SIGNAL_NOT_TAKEN || signal->forks != forks)
		return;
	bit = signal_bit(signal->number);
	if (unblock) {
		signals_unblock(bit);
		__atomic_fetch_and(&blocked, ~bit, __ATOMIC_RELAXED);
	}
	__atomic_fetch_and(&taken, ~bit, __ATOMIC_RELAXED);
}

static void signal_turn(struct peal_source *source)
{
	struct signalfd_siginfo info;
	struct peal_call call;
	ssize_t ret;

	peal_count(&source->reactor->stats.system_calls);
	do
		ret = read(source->watch.fd, &info, sizeof(info));
	while (ret < 0 && errno == EINTR);
	if (ret != sizeof(info))
		return;
	call = peal_call_begin(source);
	source->of.signal.on_signal(source, &info, source->user);
	if (peal_call_end(&call))
		peal_source_schedule(source); /* there may be another signal */
}

static const struct peal_source_ops signal_ops = {
	.turn = signal_turn,
	.event = peal_source_note_events,
	.detach = signal_detach,
};

int peal_reactor_add_signal(
	struct peal_reactor *loop, struct peal_source *source, int number,
	void (*on_signal)(struct peal_source *source,
			  const struct signalfd_siginfo *info, void *user),
	void *user)
{
	int ret;

	if (!on_signal || number < 1 || number > SIGNALS || number == SIGKILL ||
	    number == SIGSTOP)
		return -EINVAL;
	ret = peal_source_attach(loop, source, &signal_ops, user);
	if (ret < 0)
		return ret;
	source->of.signal.on_signal = on_signal;
	ret = signal_take(source, number);
	if (ret == 0)
		ret = signal_watch(source, number);
	if (ret < 0)
		peal_source_detach(source);
	else
		signal_block(source, number);
	return ret;
}
