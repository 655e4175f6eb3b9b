/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signals, and writing that they end where it does not get on. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "relay.h"

/* How often a wait that one signal has missed by a hair is ended by another. */
#define AGAIN_SECONDS 1u

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

#define N_SIGNALS (sizeof(signals) / sizeof(signals[0]))

static volatile sig_atomic_t asked, overdue;
static bool caught[N_SIGNALS];
static int told = -1;
static void (*tell)(void);

/*
 * The next one kills, whichever of them it is. A read or write that has not
 * begun to wait when the signal comes would wait all the same, without an end:
 * an alarm goes off until the process is gone.
 */
static void on_signal(int signal)
{
	const struct sigaction action = { .sa_handler = SIG_DFL };
	const uint64_t one = 1;
	int error = errno;

	asked = signal;
	for (size_t i = 0; i < N_SIGNALS; i++)
		if (caught[i])
			sigaction(signals[i], &action, NULL);
	if (write(told, &one, sizeof(one)) < 0)
		errno = error; /* it is readable already */
	if (tell)
		tell();
	alarm(AGAIN_SECONDS);
	errno = error;
}

static void on_alarm(int signal)
{
	(void)signal;
	overdue = 1;
	alarm(AGAIN_SECONDS);
}

/* Whoever started us may have it ignored, as nohup(1) does, and shells for `&`.
 */
static bool is_ignored(int signal)
{
	struct sigaction old;

	return sigaction(signal, NULL, &old) == 0 && old.sa_handler == SIG_IGN;
}

int stop_catch(void (*on_stop)(void))
{
	/* Without SA_RESTART: they end what waits. */
	struct sigaction action = { .sa_handler = on_signal };
	struct sigaction again = { .sa_handler = on_alarm };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (told < 0) {
		complain("cannot catch signals: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	tell = on_stop;
	for (size_t i = 0; i < N_SIGNALS; i++)
		sigaddset(&action.sa_mask, signals[i]);
	sigaction(SIGALRM, &again, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	for (size_t i = 0; i < N_SIGNALS; i++) {
		caught[i] = !is_ignored(signals[i]);
		if (caught[i])
			sigaction(signals[i], &action, NULL);
	}
	return 0;
}

bool stop_asked(void)
{
	return asked != 0;
}

bool stop_overdue(void)
{
	return overdue != 0;
}

int stop_fd(void)
{
	return told;
}

int stop_die(int signal)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t set;

	if (asked)
		signal = asked;
	sigaction(signal, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, signal);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(signal);
	return EXIT_FAILURE;
}

/* Drop what was written from the front. @return how many are left */
static int advance(struct iovec **iov, int n, size_t written)
{
	for (; n > 0 && written >= (*iov)->iov_len; n--)
		written -= (*iov)++->iov_len;
	if (n > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + written;
		(*iov)->iov_len -= written;
	}
	return n;
}

int write_all(int fd, struct iovec *iov, int n)
{
	n = advance(&iov, n, 0);
	while (n > 0) {
		struct pollfd pfd = { .fd = fd, .events = POLLOUT };
		ssize_t ret = n == 1 ? write(fd, iov->iov_base, iov->iov_len)
				     : writev(fd, iov, n);

		if (ret >= 0)
			n = advance(&iov, n, (size_t)ret);
		else if (errno == EAGAIN) /* somebody made it non-blocking */
			ret = poll(&pfd, 1, -1);
		if (ret < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && stop_overdue())
			return -EINTR;
	}
	return 0;
}
