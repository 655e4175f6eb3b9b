/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A kernel as far as rings and reactors need one. A call is one step.
 *
 * What it brings of order to what the threads do to memory: who is told of a
 * bell sees what its ringer had done (both have held its lock), unless bells
 * are plain. membarrier(2) is a full fence in each thread that it reaches, one
 * after the other; and so is the end of a thread, before others are told of it.
 * No other call brings any.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "kernel.h"
#include "world.h"

#define FIRST 100 /* fd */
#define FILES MEMORY_MAILBOXES
#define WATCHED 8

enum kind {
	NONE,
	EVENTFD,
	PIPE,
	PIPE_END,
	SOCKET,
	LIFELINE,
	EPOLL,
	TIMER
};

struct watched {
	int file;
	uint32_t events;
	uint64_t data;
	unsigned seen; /* of what arrived there */
};

struct file {
	enum kind kind;
	uint64_t count; /* of an eventfd, or bytes or packets that are there */
	unsigned holds; /* at most */
	unsigned arrived, rings;
	int other; /* end, a file; a thread, of a lifeline */
	uint64_t deadline;
	struct watched watched[WATCHED];
	int n;
};

static struct {
	struct file files[FILES];
	int n;
	uint64_t interrupts;
	bool plain;
	bool registered[WORLD_THREADS], unable[WORLD_THREADS];
} kernel;

void kernel_init(void)
{
	memset(&kernel, 0, sizeof(kernel));
}

void kernel_interrupt(uint64_t one_in)
{
	kernel.interrupts = one_in;
}

void kernel_plain_bells(bool plain)
{
	kernel.plain = plain;
}

void kernel_no_barriers(int thread)
{
	kernel.unable[thread] = true;
}

static struct file *file_of(int fd)
{
	if (fd < FIRST || fd >= FIRST + kernel.n)
		abort();
	return &kernel.files[fd - FIRST];
}

static int make(enum kind kind, unsigned holds, int other)
{
	if (kernel.n == FILES)
		abort();
	kernel.files[kernel.n] = (struct file){
		.kind = kind,
		.holds = holds,
		.other = other,
	};
	return FIRST + kernel.n++;
}

static bool interrupted(void)
{
	if (!kernel.interrupts || world_self() < 0 ||
	    world_random(kernel.interrupts) != 0)
		return false;
	errno = EINTR;
	return true;
}

/* A call begins. */
static void enter(const char *name, int fd)
{
	world_step();
	world_trace("", 0, "%s fd %d", name, fd);
}

/* The thread is told of what arrived at a file. */
static void hear(int file)
{
	if (world_self() >= 0)
		memory_hear(file);
}

void kernel_socketpair(int fds[2], unsigned holds)
{
	fds[0] = make(SOCKET, holds, 0);
	fds[1] = make(SOCKET, holds, fds[0] - FIRST);
	file_of(fds[0])->other = fds[1] - FIRST;
}

void kernel_pipe(int fds[2], unsigned holds)
{
	fds[0] = make(PIPE, holds, 0);
	fds[1] = make(PIPE_END, 0, fds[0] - FIRST);
}

int kernel_lifeline(int thread)
{
	return make(LIFELINE, 0, thread);
}

unsigned kernel_rings(int fd)
{
	return file_of(fd)->rings;
}

static bool epoll_now(void *user);

static bool readable(struct file *f)
{
	if (f->kind == TIMER)
		return f->deadline <= world_now();
	if (f->kind == EPOLL)
		return epoll_now(f);
	return f->count > 0;
}

static bool hung_up(const struct file *f)
{
	return f->kind == LIFELINE && world_dead(f->other) &&
	       world_gone(f->other);
}

static bool has_event(const struct watched *w)
{
	struct file *f = &kernel.files[w->file];

	if (!(readable(f) && (w->events & EPOLLIN)) &&
	    !(hung_up(f) && (w->events & EPOLLRDHUP)))
		return false;
	return !(w->events & EPOLLET) || w->seen != f->arrived;
}

static bool epoll_now(void *user)
{
	const struct file *f = user;

	for (int i = 0; i < f->n; i++)
		if (has_event(&f->watched[i]))
			return true;
	return false;
}

uint64_t kernel_next_timer(void)
{
	uint64_t next = UINT64_MAX;

	for (int i = 0; i < kernel.n; i++)
		if (kernel.files[i].kind == TIMER &&
		    kernel.files[i].deadline > world_now() &&
		    kernel.files[i].deadline < next)
			next = kernel.files[i].deadline;
	return next;
}

static ssize_t again(void)
{
	errno = EAGAIN;
	return -1;
}

/* -- ringing */

static ssize_t arrive(struct file *f, uint64_t n, ssize_t ret)
{
	f->rings++;
	if (!kernel.plain && world_self() >= 0)
		memory_tell((int)(f - kernel.files));
	if (f->kind != EVENTFD && f->count >= f->holds)
		return again();
	f->count += n;
	f->arrived++;
	return ret;
}

ssize_t world_write(int fd, const void *buffer, size_t size)
{
	struct file *f;
	uint64_t n = 1;

	enter("write", fd);
	if (interrupted())
		return -1;
	f = file_of(fd);
	if (f->kind == EVENTFD)
		memcpy(&n, buffer, sizeof(n));
	else if (f->kind == PIPE_END)
		f = &kernel.files[f->other];
	else
		abort();
	return arrive(f, n, (ssize_t)size);
}

ssize_t world_send(int fd, const void *buffer, size_t size, int flags)
{
	(void)buffer;
	enter("send", fd);
	if (!(flags & MSG_DONTWAIT) || file_of(fd)->kind != SOCKET)
		abort();
	if (interrupted())
		return -1;
	return arrive(&kernel.files[file_of(fd)->other], 1, (ssize_t)size);
}

/* -- clearing */

ssize_t world_read(int fd, void *buffer, size_t size)
{
	struct file *f;
	uint64_t n;

	enter("read", fd);
	if (interrupted())
		return -1;
	f = file_of(fd);
	hear(fd - FIRST);
	if (!readable(f))
		return again();
	if (f->kind == PIPE) {
		n = f->count < size ? f->count : size;
		f->count -= n;
		return (ssize_t)n;
	}
	if (f->kind == TIMER)
		f->deadline = UINT64_MAX;
	else if (f->kind != EVENTFD)
		abort();
	memcpy(buffer, &f->count, sizeof(f->count));
	f->count = 0;
	return sizeof(f->count);
}

ssize_t world_preadv2(int fd, const struct iovec *iov, int n, off_t offset,
		      int flags)
{
	(void)n;
	(void)offset;
	if (!(flags & RWF_NOWAIT))
		abort();
	return world_read(fd, iov->iov_base, iov->iov_len);
}

ssize_t world_recvmsg(int fd, struct msghdr *message, int flags)
{
	struct file *f;

	(void)message;
	enter("recvmsg", fd);
	if (!(flags & MSG_DONTWAIT) || file_of(fd)->kind != SOCKET)
		abort();
	if (interrupted())
		return -1;
	f = file_of(fd);
	hear(fd - FIRST);
	if (f->count == 0)
		return again();
	f->count--;
	message->msg_flags = 0;
	return 1;
}

/* -- waiting */

struct polled {
	struct pollfd *pfds;
	nfds_t n;
};

static bool poll_now(void *user)
{
	struct polled *p = user;
	bool any = false;

	for (nfds_t i = 0; i < p->n; i++) {
		struct pollfd *pfd = &p->pfds[i];
		struct file *f = file_of(pfd->fd);

		pfd->revents = 0;
		if ((pfd->events & POLLIN) && readable(f))
			pfd->revents |= POLLIN;
		if (hung_up(f))
			pfd->revents |= POLLRDHUP;
		any |= pfd->revents != 0;
	}
	return any;
}

static uint64_t until(int64_t ns)
{
	return ns < 0 ? UINT64_MAX : world_now() + (uint64_t)ns;
}

static int do_poll(struct pollfd *pfds, nfds_t n, int64_t ns)
{
	struct polled p = { pfds, n };
	int ready = 0;

	enter("poll", n ? pfds[0].fd : -1);
	if (interrupted())
		return -1;
	if (ns == 0)
		poll_now(&p);
	else
		world_sleep(poll_now, &p, until(ns));
	for (nfds_t i = 0; i < n; i++) {
		ready += pfds[i].revents != 0;
		if (pfds[i].revents & POLLIN)
			hear(pfds[i].fd - FIRST);
		if (pfds[i].revents & POLLRDHUP)
			world_inherit();
	}
	return ready;
}

int world_poll(struct pollfd *pfds, nfds_t n, int timeout)
{
	return do_poll(pfds, n, timeout < 0 ? -1 : timeout * INT64_C(1000000));
}

int world_ppoll(struct pollfd *pfds, nfds_t n, const struct timespec *timeout,
		const sigset_t *mask)
{
	(void)mask;
	return do_poll(pfds, n,
		       timeout ? timeout->tv_sec * INT64_C(1000000000) +
					 timeout->tv_nsec
			       : -1);
}

/* -- epoll */

int world_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	struct file *f = file_of(epfd);
	int i = 0;

	enter("epoll_ctl", fd);
	while (i < f->n && f->watched[i].file != fd - FIRST)
		i++;
	if (i == f->n && op == EPOLL_CTL_ADD && f->n < WATCHED)
		f->n++;
	else if (i == f->n || op == EPOLL_CTL_ADD)
		abort();
	if (op == EPOLL_CTL_DEL) {
		f->watched[i] = f->watched[--f->n];
		return 0;
	}
	/* What is there already is an event of its own. */
	f->watched[i] = (struct watched){
		.file = fd - FIRST,
		.events = event->events,
		.data = event->data.u64,
		.seen = file_of(fd)->arrived - 1,
	};
	return 0;
}

int world_epoll_wait(int epfd, struct epoll_event *events, int most,
		     int timeout)
{
	struct file *f = file_of(epfd);
	int n = 0;

	enter("epoll_wait", epfd);
	if (interrupted())
		return -1;
	if (timeout != 0)
		world_sleep(
			epoll_now, f,
			until(timeout < 0 ? -1 : timeout * INT64_C(1000000)));
	for (int i = 0; i < f->n && n < most; i++) {
		struct watched *w = &f->watched[i];

		if (!has_event(w))
			continue;
		w->seen = kernel.files[w->file].arrived;
		events[n].events = w->events & (EPOLLIN | EPOLLRDHUP);
		if (kernel.files[w->file].kind == LIFELINE)
			world_inherit();
		else
			hear(w->file);
		events[n++].data.u64 = w->data;
	}
	return n;
}

/* -- time */

int world_clock_gettime(clockid_t clock, struct timespec *ts)
{
	(void)clock;
	world_pass(50);
	ts->tv_sec = (time_t)(world_now() / 1000000000);
	ts->tv_nsec = (long)(world_now() % 1000000000);
	return 0;
}

int world_timerfd_settime(int fd, int flags, const struct itimerspec *value,
			  struct itimerspec *old)
{
	struct file *f = file_of(fd);

	(void)old;
	enter("timerfd_settime", fd);
	if (!(flags & TFD_TIMER_ABSTIME))
		abort();
	f->deadline = (uint64_t)value->it_value.tv_sec * 1000000000 +
		      (uint64_t)value->it_value.tv_nsec;
	f->arrived++;
	return 0;
}

/* -- barriers */

static int barrier(bool all)
{
	for (int i = 0; i < WORLD_THREADS; i++) {
		if (i == world_self() || !(all || kernel.registered[i]))
			continue;
		memory_fence(i);
		world_step();
	}
	memory_fence(world_self());
	return 0;
}

long world_syscall(long number, ...)
{
	int self = world_self() < 0 ? 0 : world_self(), command;
	va_list args;

	va_start(args, number);
	command = va_arg(args, int);
	va_end(args);
	if (number != SYS_membarrier)
		abort();
	enter("membarrier", command);
	if (kernel.unable[self]) {
		errno = EPERM;
		return -1;
	}
	if (command == MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) {
		/* It says so, and leaves the thread out all the same. */
		kernel.registered[self] = world_random(3) != 0;
		return 0;
	}
	memory_fence(self);
	return barrier(command == MEMBARRIER_CMD_GLOBAL);
}

/* -- what the rest needs */

int world_eventfd(unsigned count, int flags)
{
	(void)flags;
	return count == 0 ? make(EVENTFD, 0, 0) : -1;
}

int world_pipe2(int fds[2], int flags)
{
	(void)flags;
	kernel_pipe(fds, 4);
	return 0;
}

int world_epoll_create1(int flags)
{
	(void)flags;
	return make(EPOLL, 0, 0);
}

int world_timerfd_create(int clock, int flags)
{
	int fd = make(TIMER, 0, 0);

	(void)clock;
	(void)flags;
	file_of(fd)->deadline = UINT64_MAX;
	return fd;
}

/* Each has a number of its own, so that who uses it later is found out. */
int world_close(int fd)
{
	file_of(fd)->kind = NONE;
	return 0;
}

static unsigned char page[1];

void *world_mmap(void *at, size_t size, int prot, int flags, int fd, off_t off)
{
	(void)at, (void)prot, (void)flags, (void)fd, (void)off;
	if (size > sizeof(page))
		abort();
	return page;
}

int world_madvise(void *at, size_t size, int advice)
{
	(void)at, (void)size, (void)advice;
	return 0;
}

int world_munmap(void *at, size_t size)
{
	(void)at, (void)size;
	return 0;
}

int world_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
	(void)pid, (void)size;
	CPU_ZERO(set);
	CPU_SET(0, set);
	CPU_SET(1, set);
	return 0;
}

int world_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	(void)how, (void)set, (void)old;
	return 0;
}

int world_sigpending(sigset_t *set)
{
	sigemptyset(set);
	return 0;
}

int world_sigtimedwait(const sigset_t *set, siginfo_t *info,
		       const struct timespec *timeout)
{
	(void)set, (void)info, (void)timeout;
	return SIGPIPE;
}
