/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Unix sockets of packets: connecting, credentials, packets with fds. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "internal.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* Bytes of a socket for doorbells that nobody has cleared. The kernel may grant
 * less. */
#define BUFFER (256 << 10)
/* Bytes of a socket that one doorbell takes, rounded up. */
#define PACKET 1280
#define DRAIN_EVERY_MOST 32u
/* In a user namespace this is everybody without a uid there. */
#define OVERFLOW_UID 65534u

int peal_socket_address(struct sockaddr_un *to, socklen_t *size,
			const char *address)
{
	size_t length = strlen(address);

	if (length == 0 || (address[0] == '@' && length == 1))
		return -EINVAL;
	if (length >= sizeof(to->sun_path))
		return -ENAMETOOLONG;
	memset(to, 0, sizeof(*to));
	to->sun_family = AF_UNIX;
	memcpy(to->sun_path, address, length);
	*size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	if (address[0] == '@')
		to->sun_path[0] = '\0';
	else
		*size += 1;
	return 0;
}

void peal_socket_refuse(int fd)
{
	static const int options[] = { SO_PASSRIGHTS, SO_PASSCRED, SO_PASSSEC,
				       SO_PASSPIDFD };
	const int off = 0;

	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		setsockopt(fd, SOL_SOCKET, options[i], &off, sizeof(off));
}

void peal_socket_enlarge(int fd)
{
	const int size = BUFFER;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

unsigned peal_socket_drain_every(int fd, unsigned ends)
{
	int size = 0;
	socklen_t length = sizeof(size);
	unsigned holds, every;

	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &length) < 0)
		return 1;
	/* For each end: two bells at most for each arm, and four more that may
	 * be on their way. */
	holds = (unsigned)size / PACKET;
	every = holds > 4 * ends ? (holds - 4 * ends) / (2 * ends) : 1;
	return every < DRAIN_EVERY_MOST ? every : DRAIN_EVERY_MOST;
}

int peal_socket_make(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);

	if (fd < 0)
		return -errno;
	peal_socket_enlarge(fd);
	return fd;
}

int peal_socket_adopt(int fd)
{
	int domain = 0, type = 0, copy;
	socklen_t size = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return -errno;
	if (domain != AF_UNIX || type != SOCK_SEQPACKET)
		return -EPROTOTYPE;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	peal_socket_enlarge(copy);
	return copy;
}

/*
 * connect(2) on a blocking Unix socket waits for a place in the server's queue,
 * as long as SO_SNDTIMEO says. On a non-blocking socket connect(2) fails at
 * once if the queue is full.
 * @return 0, -EAGAIN the queue was full until the deadline, ...
 */
static int connect_in_time(int fd, const struct sockaddr_un *to, socklen_t size,
			   uint64_t deadline)
{
	for (;;) {
		uint64_t now = peal_now();
		uint64_t left = deadline > now ? (deadline - now) / 1000 : 0;
		struct timeval tv = { (time_t)(left / 1000000),
				      (suseconds_t)(left % 1000000) };
		int flags = left == 0 ? O_NONBLOCK : 0, ret;

		if (deadline == UINT64_MAX)
			tv = (struct timeval){ 0, 0 }; /* for ever */
		if (fcntl(fd, F_SETFL, flags) < 0 ||
		    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) <
			    0)
			return -errno;
		ret = connect(fd, (const struct sockaddr *)to, size);
		if (ret == 0 || errno != EINTR)
			return ret < 0 ? -errno : 0;
	}
}

int peal_socket_connect(const char *address, uint64_t deadline)
{
	struct sockaddr_un to;
	socklen_t size;
	int ret = peal_socket_address(&to, &size, address);
	int fd = ret < 0 ? ret : peal_socket_make();

	if (fd < 0)
		return fd;
	/* Most queues have room: then no option has to be set. */
	do
		ret = connect(fd, (struct sockaddr *)&to, size) < 0 ? -errno
								    : 0;
	while (ret == -EINTR);
	if (ret == -EAGAIN && deadline > 0) {
		ret = connect_in_time(fd, &to, size, deadline);
		if (ret == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
			ret = -errno;
	}
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

bool peal_socket_is_us(uid_t uid)
{
	return uid == geteuid() && uid != OVERFLOW_UID;
}

void peal_socket_peer(int fd, struct peal_peer *peer)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	*peer = (struct peal_peer){
		.pid = -1, .uid = (uid_t)-1, .gid = (gid_t)-1, .pidfd = -1
	};
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return;
	peer->known = true;
	peer->pid = cred.pid;
	peer->uid = cred.uid;
	peer->gid = cred.gid;
	peer->trusted = peal_socket_is_us(cred.uid);
}

uid_t peal_socket_uid(int fd)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return (uid_t)-1;
	return cred.uid;
}

int peal_socket_pidfd(int fd)
{
	int pidfd = -1;
	socklen_t size = sizeof(pidfd);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0)
		return -1;
	return pidfd;
}

/* -- packets */

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(PEAL_FDS * sizeof(int))];
};

int peal_socket_send(int fd, const void *packet, size_t size, const int *fds,
		     size_t n_fds)
{
	struct iovec iov = { (void *)packet, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control = { 0 };
	ssize_t ret;

	if (n_fds > 0) {
		struct cmsghdr *header = &control.align;

		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(header), fds, n_fds * sizeof(int));
	}
	do
		ret = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (ret < 0 && (errno == EINTR || errno == ECONNRESET));
	return ret < 0 ? -errno : 0;
}

bool peal_socket_hung_up(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLRDHUP };
	int ret;

	/* A signal interrupts poll(2) even where it does not wait. */
	do
		ret = poll(&pfd, 1, 0);
	while (ret < 0 && errno == EINTR);
	return ret > 0;
}

bool peal_socket_leave(int fd)
{
	const struct peal_doorbell bell = { .wait_fd = fd,
					    .ring_fd = -1,
					    .kind = PEAL_DOORBELL_SOCKET };

	shutdown(fd, SHUT_RDWR);
	/* The second read tells the end of the packets from a pause. After a
	 * packet with fds (-EPROTO) there may be more packets. */
	for (int i = 0; i < 2; i++) {
		int ret = peal_doorbell_clear(&bell);

		if (ret <= 0 && ret != -EPROTO)
			return true;
	}
	return false;
}

bool peal_socket_was_read(int fd)
{
	int queued = 0;

	return ioctl(fd, SIOCOUTQ, &queued) < 0 || queued == 0;
}

/* A packet longer than the buffer is cut off and flagged as such. */
static int receive_message(int fd, struct msghdr *message, size_t size)
{
	ssize_t ret;

	memset(message->msg_iov->iov_base, 0, size);
	/* ECONNRESET says that the other side left packets unread. The packets
	 * that it sent before are still there. */
	do
		ret = recvmsg(fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (ret < 0 && (errno == EINTR || errno == ECONNRESET));
	if (ret < 0) {
		message->msg_controllen = 0; /* no fds have come */
		return -errno;
	}
	if (ret == 0 && peal_socket_hung_up(fd)) /* not an empty packet */
		return -EPIPE;
	if ((size_t)ret != size ||
	    (message->msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return -EPROTO;
	return 0;
}

int peal_socket_receive(int fd, void *packet, size_t size)
{
	struct iovec iov = { packet, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	/* There is no room for fds: the kernel drops them, and says so. */
	return receive_message(fd, &message, size);
}

/* Take the fds that the kernel has installed, and close the others. */
static void take_packet_fds(struct msghdr *message, int *fds, bool wanted)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	size_t n = 0;

	for (; header; header = CMSG_NXTHDR(message, header)) {
		size_t bytes = header->cmsg_len - CMSG_LEN(0);

		if (header->cmsg_level != SOL_SOCKET ||
		    header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < bytes / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + i * sizeof(fd),
			       sizeof(fd));
			if (wanted && n < PEAL_FDS)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
}

int peal_socket_receive_fds(int fd, void *packet, size_t size, int *fds)
{
	struct iovec iov = { packet, size };
	union control control;
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int ret = receive_message(fd, &message, size);

	for (int i = 0; i < PEAL_FDS; i++)
		fds[i] = -1;
	take_packet_fds(&message, fds, ret == 0);
	/* At RLIMIT_NOFILE the kernel drops fds, and says no more than
	 * MSG_CTRUNC. */
	if (ret == -EPROTO && (message.msg_flags & MSG_CTRUNC) &&
	    !(message.msg_flags & MSG_TRUNC))
		return -EMFILE;
	return ret;
}

int peal_socket_wait(int fd, uint64_t deadline)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	for (;;) {
		uint64_t now = peal_now();
		uint64_t left = deadline > now ? deadline - now : 0;
		struct timespec ts = { (time_t)(left / 1000000000),
				       (long)(left % 1000000000) };
		int ret = ppoll(&pfd, 1, deadline == UINT64_MAX ? NULL : &ts,
				NULL);

		if (ret > 0)
			return 0;
		if (ret == 0)
			return -ETIMEDOUT;
		/* -EAGAIN would tell the caller that no packet has come. */
		if (errno != EINTR)
			return errno == EAGAIN ? -ENOMEM : -errno;
	}
}
