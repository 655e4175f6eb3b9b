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

static uint64_t bit(int number)
{
	return UINT64_C(1) << (number - 1);
}

static int block(struct peal_source *source, int number)
{
	sigset_t set, before;
	int fd;

	sigemptyset(&set);
	if (sigaddset(&set, number) < 0)
		return -EINVAL;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	pthread_sigmask(SIG_BLOCK, &set, &before);
	source->of.signal.number = number;
	source->of.signal.was_blocked = sigismember(&before, number) == 1;
	return fd;
}

void peal_signal_drop(struct peal_source *source)
{
	int number = source->of.signal.number;
	sigset_t set;

	close(source->fd);
	source->reactor->signals &= ~bit(number);
	if (source->of.signal.was_blocked)
		return;
	sigemptyset(&set);
	sigaddset(&set, number);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int peal_reactor_add_signal(
	struct peal_reactor *loop, struct peal_source *source, int number,
	void (*on_signal)(struct peal_source *source,
			  const struct signalfd_siginfo *info, void *user),
	void *user)
{
	int ret, fd;

	if (!on_signal || number < 1 || number > 64 || number == SIGKILL ||
	    number == SIGSTOP)
		return -EINVAL;
	ret = peal_source_enter(loop, source, PEAL_KIND_SIGNAL);
	if (ret < 0)
		return ret;
	/* Two fds would take signals away from each other. */
	fd = loop->signals & bit(number) ? -EEXIST : block(source, number);
	if (fd < 0) {
		peal_source_leave(source);
		return fd;
	}
	loop->signals |= bit(number);
	source->callback.on_signal = on_signal;
	source->user = user;
	ret = peal_source_watch(source, fd, EPOLLIN | EPOLLET);
	if (ret < 0) {
		source->fd = fd;
		peal_signal_drop(source);
		peal_source_leave(source);
	}
	return ret;
}

void peal_signal_turn(struct peal_source *source)
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
	ret = peal_source_enter(loop, source, PEAL_KIND_CHILD);
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
		peal_source_leave(source);
	}
	return ret;
}

void peal_child_turn(struct peal_source *source)
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
