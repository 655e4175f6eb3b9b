/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What stands between the library and libc in this program: the linker has
 * every call of theirs come here (-Wl,--wrap), and one of them fails.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

/* In this process, between faults_arm() and faults_disarm(). */
static bool armed;

void faults_arm(void)
{
	armed = true;
}

void faults_disarm(void)
{
	armed = false;
}

/* The errno of each call that this system lacks. */
static int lacks[CALLS_END];

void faults_lack(enum call call, int error)
{
	lacks[call] = error;
}

/* Is this the call that fails? With errno set, which SHORT leaves alone. */
static bool strike(enum call call)
{
	struct shot *shot;

	if (!armed)
		return false;
	shot = &faults->shot;
	if (lacks[call]) {
		errno = lacks[call];
		return true;
	}
	faults->seen[call]++;
	if (call != shot->call || faults->seen[call] != shot->nth)
		return false;
	shot->fired = true;
	if (shot->error != SHORT)
		errno = shot->error;
	return true;
}

static bool is_short(void)
{
	return faults->shot.error == SHORT;
}

#define FAILS(type, name, parameters, arguments)                               \
	type __real_##name parameters;                                         \
	type __wrap_##name parameters;                                         \
	type __wrap_##name parameters                                          \
	{                                                                      \
		if (strike(CALL_##name))                                       \
			return (type)-1;                                       \
		return __real_##name arguments;                                \
	}

FAILS(int, accept4, (int fd, struct sockaddr *at, socklen_t *size, int flags),
      (fd, at, size, flags))
FAILS(int, bind, (int fd, const struct sockaddr *at, socklen_t size),
      (fd, at, size))
FAILS(int, chmod, (const char *path, mode_t mode), (path, mode))
FAILS(int, connect, (int fd, const struct sockaddr *to, socklen_t size),
      (fd, to, size))
FAILS(int, epoll_create1, (int flags), (flags))
FAILS(int, eventfd, (unsigned count, int flags), (count, flags))
FAILS(int, fchmod, (int fd, mode_t mode), (fd, mode))
FAILS(int, fchmodat, (int dir, const char *path, mode_t mode, int flags),
      (dir, path, mode, flags))
FAILS(int, fchownat,
      (int dir, const char *path, uid_t uid, gid_t gid, int flags),
      (dir, path, uid, gid, flags))
FAILS(int, flock, (int fd, int how), (fd, how))
FAILS(int, fstat, (int fd, struct stat *st), (fd, st))
FAILS(int, fstatat, (int dir, const char *path, struct stat *st, int flags),
      (dir, path, st, flags))
FAILS(int, fstatfs, (int fd, struct statfs *fs), (fd, fs))
FAILS(int, ftruncate, (int fd, off_t size), (fd, size))
FAILS(int, getsockopt, (int fd, int level, int name, void *to, socklen_t *size),
      (fd, level, name, to, size))
FAILS(int, listen, (int fd, int backlog), (fd, backlog))
FAILS(int, lstat, (const char *path, struct stat *st), (path, st))
FAILS(int, madvise, (void *at, size_t size, int advice), (at, size, advice))
FAILS(int, memfd_create, (const char *name, unsigned flags), (name, flags))
FAILS(int, mlock, (const void *at, size_t size), (at, size))
FAILS(int, nanosleep, (const struct timespec *ts, struct timespec *left),
      (ts, left))
FAILS(int, pipe2, (int *fds, int flags), (fds, flags))
FAILS(int, poll, (struct pollfd * pfds, nfds_t n, int ms), (pfds, n, ms))
FAILS(int, ppoll,
      (struct pollfd * pfds, nfds_t n, const struct timespec *ts,
       const sigset_t *mask),
      (pfds, n, ts, mask))
/* Of an eventfd, a timerfd or a signalfd all or nothing is read. */
FAILS(ssize_t, read, (int fd, void *to, size_t size), (fd, to, size))
FAILS(int, sched_getaffinity, (pid_t pid, size_t size, cpu_set_t *cpus),
      (pid, size, cpus))
FAILS(int, setsockopt,
      (int fd, int level, int name, const void *from, socklen_t size),
      (fd, level, name, from, size))
FAILS(int, shutdown, (int fd, int how), (fd, how))
FAILS(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))
FAILS(int, sigtimedwait,
      (const sigset_t *set, siginfo_t *info, const struct timespec *ts),
      (set, info, ts))
FAILS(int, socket, (int domain, int type, int protocol),
      (domain, type, protocol))
FAILS(int, timerfd_create, (int clock, int flags), (clock, flags))
FAILS(int, timerfd_settime,
      (int fd, int flags, const struct itimerspec *to, struct itimerspec *old),
      (fd, flags, to, old))
FAILS(int, unlink, (const char *path), (path))
FAILS(int, waitid, (idtype_t type, id_t id, siginfo_t *info, int options),
      (type, id, info, options))

/* -- those that have been done all the same: nobody can do them again */

int __real_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size)
{
	int ret = __real_munmap(at, size);

	return strike(CALL_munmap) ? -1 : ret;
}

int __wrap_close(int fd);
int __wrap_close(int fd)
{
	int ret = __real_close(fd);

	return strike(CALL_close) ? -1 : ret;
}

/* -- those that say it in another way */

void *__real_mmap(void *at, size_t size, int prot, int flags, int fd,
		  off_t offset);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd,
		  off_t offset);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd,
		  off_t offset)
{
	if (strike(CALL_mmap))
		return MAP_FAILED;
	return __real_mmap(at, size, prot, flags, fd, offset);
}

/* -- several calls in one */

static enum call call_of_epoll(int op)
{
	if (op == EPOLL_CTL_ADD)
		return CALL_epoll_ctl_ADD;
	return op == EPOLL_CTL_MOD ? CALL_epoll_ctl_MOD : CALL_epoll_ctl_DEL;
}

int __real_epoll_ctl(int set, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
	if (strike(call_of_epoll(op)))
		return -1;
	return __real_epoll_ctl(set, op, fd, event);
}

static enum call call_of_fcntl(int command)
{
	switch (command) {
	case F_ADD_SEALS:
		return CALL_fcntl_ADD_SEALS;
	case F_GET_SEALS:
		return CALL_fcntl_GET_SEALS;
	case F_DUPFD_CLOEXEC:
		return CALL_fcntl_DUPFD_CLOEXEC;
	case F_GETFD:
		return CALL_fcntl_GETFD;
	case F_SETFD:
		return CALL_fcntl_SETFD;
	case F_GETFL:
		return CALL_fcntl_GETFL;
	case F_SETFL:
		return CALL_fcntl_SETFL;
	default:
		faults_fail(__FILE__, __LINE__, "fcntl(2) with command %d",
			    command);
	}
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
	va_list args;
	int argument;

	/* None of those above takes a pointer. */
	va_start(args, command);
	argument = va_arg(args, int);
	va_end(args);
	if (strike(call_of_fcntl(command)))
		return -1;
	return __real_fcntl(fd, command, argument);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	if (strike(CALL_ioctl))
		return -1;
	return __real_ioctl(fd, request, argument);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	if (flags & O_CREAT)
		faults_fail(__FILE__, __LINE__, "open(2) with O_CREAT");
	if (strike(CALL_open))
		return -1;
	return __real_open(path, flags);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
/* Pages are loaded by it where madvise(2) has failed, and faults come singly.
 */
static long load_word(va_list args)
{
	void *word = va_arg(args, void *);
	int operation = va_arg(args, int);

	return __real_syscall(SYS_futex, word, operation, 0, (void *)NULL, word,
			      0);
}

long __wrap_syscall(long number, ...)
{
	enum call call = CALL_membarrier;
	va_list args;
	long a, b, c, d;

	if (number == SYS_pidfd_open)
		call = CALL_pidfd_open;
	else if (number == SYS_fchmodat2)
		call = CALL_fchmodat2;
	else if (number != SYS_membarrier && number != SYS_futex)
		faults_fail(__FILE__, __LINE__, "syscall(2) of %ld", number);
	va_start(args, number);
	if (number == SYS_futex) {
		a = load_word(args);
		va_end(args);
		return a;
	}
	a = va_arg(args, int);
	b = call == CALL_fchmodat2 ? (long)va_arg(args, char *)
				   : va_arg(args, int);
	c = call == CALL_pidfd_open ? 0 : va_arg(args, int);
	d = call == CALL_fchmodat2 ? va_arg(args, int) : 0;
	va_end(args);
	if (strike(call))
		return -1;
	return __real_syscall(number, a, b, c, d);
}

/* -- those that may do less than they were asked to */

int __real_epoll_wait(int set, struct epoll_event *events, int most, int ms);
int __wrap_epoll_wait(int set, struct epoll_event *events, int most, int ms);
int __wrap_epoll_wait(int set, struct epoll_event *events, int most, int ms)
{
	if (!strike(CALL_epoll_wait))
		return __real_epoll_wait(set, events, most, ms);
	return is_short() ? __real_epoll_wait(set, events, 1, ms) : -1;
}

#ifdef RWF_NOWAIT /* else ring/doorbell.c makes the system call */
ssize_t __real_preadv2(int fd, const struct iovec *iov, int n, off_t offset,
		       int flags);
ssize_t __wrap_preadv2(int fd, const struct iovec *iov, int n, off_t offset,
		       int flags);
ssize_t __wrap_preadv2(int fd, const struct iovec *iov, int n, off_t offset,
		       int flags)
{
	ssize_t ret;

	if (!strike(CALL_preadv2))
		return __real_preadv2(fd, iov, n, offset, flags);
	if (!is_short())
		return -1;
	ret = __real_preadv2(fd, iov, n, offset, flags);
	return ret > 1 ? ret / 2 : ret;
}
#endif

ssize_t __real_readlink(const char *path, char *to, size_t size);
ssize_t __wrap_readlink(const char *path, char *to, size_t size);
ssize_t __wrap_readlink(const char *path, char *to, size_t size)
{
	if (!strike(CALL_readlink))
		return __real_readlink(path, to, size);
	return is_short() ? __real_readlink(path, to, size / 2) : -1;
}

ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t ret;

	if (!strike(CALL_recvmsg))
		return __real_recvmsg(fd, message, flags);
	if (!is_short())
		return -1;
	ret = __real_recvmsg(fd, message, flags);
	return ret > 1 ? ret / 2 : ret;
}

/*
 * Where there is no room nothing is written, but whoever is to read has been
 * woken: an EAGAIN without that no kernel says.
 */
ssize_t __real_send(int fd, const void *from, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *from, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *from, size_t size, int flags)
{
	if (!strike(CALL_send))
		return __real_send(fd, from, size, flags);
	if (errno == EAGAIN) {
		__real_send(fd, from, size, flags);
		errno = EAGAIN;
	}
	return -1;
}

ssize_t __wrap_write(int fd, const void *from, size_t size);
ssize_t __wrap_write(int fd, const void *from, size_t size)
{
	if (!strike(CALL_write))
		return __real_write(fd, from, size);
	if (!is_short() && errno != EAGAIN)
		return -1;
	if (__real_write(fd, from, size) < 0)
		return -1;
	if (is_short())
		return (ssize_t)size / 2;
	errno = EAGAIN;
	return -1;
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t ret;

	if (!strike(CALL_sendmsg))
		return __real_sendmsg(fd, message, flags);
	if (!is_short())
		return -1;
	ret = __real_sendmsg(fd, message, flags);
	return ret > 1 ? ret / 2 : ret;
}
