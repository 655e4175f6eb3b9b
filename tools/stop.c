/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Signals, and writing that they do not cut short. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "relay.h"

static volatile sig_atomic_t asked;
static int told = -1;
static void (*tell)(void);

static void on_signal(int signal)
{
	const uint64_t one = 1;
	int error = errno;

	asked = signal;
	if (write(told, &one, sizeof(one)) < 0)
		errno = error; /* it is readable already */
	if (tell)
		tell();
	errno = error;
}

/* Whoever started us may have it ignored, as shells do for `&`. */
static void catch (int signal, const struct sigaction *action)
{
	struct sigaction old;

	if (sigaction(signal, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaction(signal, action, NULL);
}

int stop_catch(void (*on_stop)(void))
{
	struct sigaction action = { .sa_handler = on_signal,
				    .sa_flags = (int)SA_RESETHAND };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (told < 0)
		return -errno;
	tell = on_stop;
	catch (SIGINT, &action);
	catch (SIGTERM, &action);
	sigaction(SIGPIPE, &ignore, NULL);
	return 0;
}

bool stop_asked(void)
{
	return asked != 0;
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
			poll(&pfd, 1, -1);
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}
