/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

/* Clearing ends after so many reads, or of a socket after such a time. */
#define READS_MAX 1024
#define READS_NS 1000000
#define TRIES 16 /* rings, while the kernel has no memory for a packet */

#ifndef RWF_NOWAIT
/*
 * A C library that does not know the flag has no preadv2() either: musl before
 * 1.2.5. The offset is -1, and so is each half of the offset.
 */
#define RWF_NOWAIT 8
static ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t offset,
		       int flags)
{
	ssize_t ret = syscall(SYS_preadv2, fd, iov, n, (long)offset,
			      (long)offset, flags);

	/* As glibc tells of a kernel, or a sandbox, without the call. */
	if (ret < 0 && errno == ENOSYS)
		errno = EOPNOTSUPP;
	return ret;
}
#endif

int peal_doorbell_init(struct peal_doorbell *bell, enum peal_doorbell_kind kind)
{
	struct peal_doorbell b = { .kind = kind, .owned = 1 };
	int fds[2];

	switch (kind) {
	case PEAL_DOORBELL_EVENTFD:
		b.wait_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (b.wait_fd < 0)
			return -errno;
		b.ring_fd = b.wait_fd;
		break;
	case PEAL_DOORBELL_PIPE:
		if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
			return -errno;
		b.wait_fd = fds[0];
		b.ring_fd = fds[1];
		break;
	default:
		return -EINVAL;
	}
	*bell = b;
	return 0;
}

/*
 * An eventfd has no file type of its own, but a name in /proc. Where /proc is
 * mounted, the name alone decides: fstat(2) may hang on a foreign fd.
 */
static bool is_eventfd(int fd)
{
	static const char name[] = "anon_inode:[eventfd]";
	char path[32], link[sizeof(name)];
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link));
	if (n >= 0)
		return n == sizeof(name) - 1 && !memcmp(link, name, (size_t)n);
	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == 0;
}

/* Is fd of the kind that the caller says, and does no call on the fd block? */
static int check_fd(int fd, enum peal_doorbell_kind kind)
{
	struct stat st;
	int flags;

	if (fd < 0)
		return 0;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	if (kind == PEAL_DOORBELL_EVENTFD)
		return flags & O_NONBLOCK && is_eventfd(fd) ? 0 : -EBADMSG;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (kind == PEAL_DOORBELL_SOCKET) /* each call says MSG_DONTWAIT */
		return S_ISSOCK(st.st_mode) ? 0 : -EBADMSG;
	if (!(flags & O_NONBLOCK))
		return -EBADMSG;
	return S_ISFIFO(st.st_mode) ? 0 : -EBADMSG;
}

int peal_doorbell_borrow(struct peal_doorbell *bell,
			 enum peal_doorbell_kind kind, int wait_fd, int ring_fd)
{
	int ret;

	if (kind != PEAL_DOORBELL_EVENTFD && kind != PEAL_DOORBELL_PIPE &&
	    kind != PEAL_DOORBELL_SOCKET)
		return -EINVAL;
	if (wait_fd < 0 && ring_fd < 0)
		return -EINVAL;
	ret = check_fd(wait_fd, kind);
	if (ret == 0)
		ret = check_fd(ring_fd, kind);
	if (ret < 0)
		return ret;
	*bell = (struct peal_doorbell){
		.wait_fd = wait_fd < 0 ? -1 : wait_fd,
		.ring_fd = ring_fd < 0 ? -1 : ring_fd,
		.kind = kind,
	};
	return 0;
}

void peal_doorbell_close(struct peal_doorbell *bell)
{
	if (bell->kind == PEAL_DOORBELL_GROUP) {
		peal_group_return(bell->group, bell->index);
	} else if (bell->owned) {
		close(bell->wait_fd);
		if (bell->ring_fd != bell->wait_fd)
			close(bell->ring_fd);
	}
	memset(bell, 0, sizeof(*bell));
}

/* write(2) of one byte without SIGPIPE. A pipe has no MSG_NOSIGNAL. */
static ssize_t write_quietly(int fd)
{
	const struct timespec now = { 0 };
	sigset_t pipe_signal, pending, before;
	bool was_pending;
	ssize_t ret;

	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
	sigpending(&pending);
	was_pending = sigismember(&pending, SIGPIPE);
	ret = write(fd, "", 1);
	if (ret < 0) {
		int error = errno;

		if (error == EPIPE && !was_pending)
			while (sigtimedwait(&pipe_signal, NULL, &now) < 0 &&
			       errno == EINTR)
				;
		errno = error;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}

/* The kernel had no memory for a packet, so the bell was not rung. No later
 * publish rings for the same position, so the ring has to be tried again. */
static bool lacks_memory(void)
{
	return errno == ENOBUFS || errno == ENOMEM;
}

int peal_doorbell_ring(const struct peal_doorbell *bell)
{
	const uint64_t one = 1;
	int tries = TRIES;
	ssize_t ret;

	do {
		switch (bell->kind) {
		case PEAL_DOORBELL_NONE:
			return 0;
		case PEAL_DOORBELL_GROUP:
			return peal_group_ring(bell->group, bell->index);
		case PEAL_DOORBELL_EVENTFD:
			ret = write(bell->ring_fd, &one, sizeof(one));
			break;
		case PEAL_DOORBELL_PIPE:
			ret = write_quietly(bell->ring_fd);
			break;
		default:
			ret = send(bell->ring_fd, "", 1,
				   MSG_DONTWAIT | MSG_NOSIGNAL);
		}
		/* A socket reports ECONNRESET once, and then its state. */
	} while (ret < 0 && (errno == EINTR || errno == ECONNRESET ||
			     (lacks_memory() && --tries > 0)));
	/* A full bell was rung, and was not cleared since. */
	if (ret < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

/* recvmsg(2) returns 0 for an empty packet, and also at the end. */
static bool hung_up(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLRDHUP };
	int ret;

	/* A signal interrupts poll(2), even with a timeout of 0. */
	do
		ret = poll(&pfd, 1, 0);
	while (ret < 0 && errno == EINTR);
	return ret > 0;
}

/*
 * The kernel drops the fds that a packet brings, because recvmsg(2) is given no
 * room for fds. No honest peer sends any.
 */
static ssize_t receive_packet(int fd, struct iovec *iov)
{
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 1 };
	ssize_t ret = recvmsg(fd, &message, MSG_DONTWAIT);

	if (ret >= 0 && (message.msg_flags & MSG_CTRUNC)) {
		errno = EPROTO;
		return -1;
	}
	return ret == 0 && !hung_up(fd) ? 1 : ret;
}

/* One read that cannot block.
 * @return  bytes, 0 the bell was not rung, or an error */
static ssize_t read_once(const struct peal_doorbell *bell, void *buffer,
			 size_t size)
{
	struct iovec iov = { .iov_base = buffer, .iov_len = size };
	ssize_t ret;

	do {
		if (bell->kind == PEAL_DOORBELL_SOCKET)
			ret = receive_packet(bell->wait_fd, &iov);
		else
			ret = preadv2(bell->wait_fd, &iov, 1, -1, RWF_NOWAIT);
		/* Old kernels have no RWF_NOWAIT for pipes. Pipes of
		 * ours are O_NONBLOCK. */
		if (ret < 0 && errno == EOPNOTSUPP)
			ret = read(bell->wait_fd, buffer, size);
		/* A socket reports ECONNRESET once, before its packets.*/
	} while (ret < 0 && (errno == EINTR || errno == ECONNRESET));
	if (ret == 0)
		return -EPIPE;
	if (ret < 0)
		return errno == EAGAIN ? 0 : -errno;
	return ret;
}

struct watch {
	clockid_t clock;
	uint64_t began;
};

/*
 * For each packet that is read the kernel wakes everything that waits to send
 * more. That may be thousands of the peer's epoll sets. But this thread may
 * also have been preempted. So after READS_NS the time is measured again, by
 * the processor time of this thread.
 */
static bool takes_too_long(struct watch *watch)
{
	if (peal_clock_ns(watch->clock) - watch->began <= READS_NS)
		return false;
	if (watch->clock == CLOCK_THREAD_CPUTIME_ID)
		return true;
	watch->clock = CLOCK_THREAD_CPUTIME_ID;
	watch->began = peal_clock_ns(watch->clock);
	return false;
}

int peal_doorbell_clear(const struct peal_doorbell *bell)
{
	char buffer[4096];
	bool rung = false;
	struct watch watch = { CLOCK_MONOTONIC, 0 };

	if (bell->kind == PEAL_DOORBELL_NONE ||
	    bell->kind == PEAL_DOORBELL_GROUP)
		return 0;
	if (bell->kind == PEAL_DOORBELL_SOCKET)
		watch.began = peal_now();
	/* A socket gives one packet at a time, and holds some hundreds. A peer
	 * may go on ringing meanwhile, so the reads are limited. One read
	 * empties an eventfd. An eventfd that was made with EFD_SEMAPHORE would
	 * need one read for each ring, so an eventfd is read once in any case.
	 */
	for (int i = 0; i < READS_MAX; i++) {
		ssize_t ret = read_once(bell, buffer,
					bell->kind == PEAL_DOORBELL_EVENTFD
						? sizeof(uint64_t)
						: sizeof(buffer));

		if (ret < 0)
			return rung && ret != -EPROTO ? 1 : (int)ret;
		if (ret == 0)
			break;
		rung = true;
		if (bell->kind == PEAL_DOORBELL_EVENTFD ||
		    (bell->kind == PEAL_DOORBELL_SOCKET &&
		     takes_too_long(&watch)))
			break;
	}
	return rung;
}

/* @return enum peal_heard, or an error */
static int heard_by(const struct pollfd *pfds)
{
	if ((pfds[0].revents | pfds[1].revents) & POLLNVAL)
		return -EBADF;
	if (pfds[1].revents)
		return PEAL_HEARD_HANGUP;
	return PEAL_HEARD_BELL;
}

int peal_doorbell_listen(const struct peal_doorbell *bell, int lifeline,
			 int timeout_ms)
{
	struct pollfd pfds[] = {
		{ .fd = bell->wait_fd, .events = POLLIN },
		{ .fd = lifeline, .events = POLLRDHUP },
	};
	uint64_t end = 0, left = 0;

	if (bell->kind == PEAL_DOORBELL_NONE || bell->wait_fd < 0)
		return -EINVAL;
	if (timeout_ms > 0) {
		left = (uint64_t)timeout_ms * 1000000;
		end = peal_now() + left;
	}
	for (;;) {
		struct timespec ts = {
			.tv_sec = (time_t)(left / 1000000000),
			.tv_nsec = (long)(left % 1000000000),
		};
		int ret = ppoll(pfds, lifeline < 0 ? 1 : 2,
				timeout_ms < 0 ? NULL : &ts, NULL);

		if (ret > 0)
			return heard_by(pfds);
		if (ret == 0)
			return PEAL_HEARD_NOTHING;
		if (errno != EINTR)
			return -errno;
		if (timeout_ms > 0) {
			uint64_t now = peal_now();

			left = now < end ? end - now : 0;
		}
	}
}

int peal_doorbell_wait(const struct peal_doorbell *bell, int timeout_ms)
{
	int ret = peal_doorbell_listen(bell, -1, timeout_ms);

	if (ret < 0)
		return ret;
	return ret == PEAL_HEARD_NOTHING ? -ETIMEDOUT : 0;
}
