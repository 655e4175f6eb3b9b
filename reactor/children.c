/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The ends of processes, by pidfd_open(2). */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"

/* The headers of Debian 11 have neither. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define PIDFD 3 /* P_PIDFD, Linux 5.4 */

static int wait_by_pidfd(int fd, siginfo_t *info, int options)
{
	return waitid((idtype_t)PIDFD, (id_t)fd, info, options);
}

/* Linux 5.3 has pidfds, and no way to wait by a pidfd. */
static int child_can_be_waited_for(int fd)
{
	siginfo_t info;

	if (wait_by_pidfd(fd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 &&
	    errno == EINVAL)
		return -ENOSYS;
	return 0;
}

static void child_detach(struct peal_source *source)
{
	if (source->watch.fd >= 0)
		close(source->watch.fd);
}

static void child_turn(struct peal_source *source)
{
	struct peal_source copy = *source;
	struct peal_exit how = { .pid = source->of.child.pid };
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	peal_count(&source->reactor->stats.system_calls);
	if (wait_by_pidfd(source->watch.fd, &info, WEXITED | WNOHANG) == 0) {
		if (info.si_pid == 0)
			return; /* the host has reported too early */
		how.code = info.si_code;
		how.status = info.si_status;
	}
	source->reactor->callbacks++;
	/* The source is removed first, because the callback may reuse it. */
	peal_source_detach(source);
	copy.of.child.on_exit(source, &how, copy.user);
}

static const struct peal_source_ops child_ops = {
	.turn = child_turn,
	.event = peal_source_note_events,
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
	ret = peal_source_attach(loop, source, &child_ops, user);
	if (ret < 0)
		return ret;
	source->of.child.pid = pid;
	source->of.child.on_exit = on_exit;
	fd = (int)syscall(SYS_pidfd_open, pid, 0u);
	ret = fd < 0 ? -errno : child_can_be_waited_for(fd);
	if (ret == 0)
		ret = peal_source_watch(source, fd, EPOLLIN | EPOLLET);
	if (ret < 0) {
		if (fd >= 0)
			close(fd);
		peal_source_detach(source);
	}
	return ret;
}
