/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "packet.h"

void packet_pair(int pair[2])
{
	CHECK_EQ(socketpair(AF_UNIX,
			    SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			    pair),
		 0);
}

void packet_patch(struct input *in, void *packet, size_t size)
{
	unsigned char *bytes = packet;
	unsigned patches = input_byte(in) % 4;

	while (patches-- > 0) {
		uint64_t at = input_below(in, size);
		uint8_t length = input_byte(in) % 9;
		uint64_t value = input_bytes(in, length < 8 ? length : 1);

		if (length < 8) {
			memcpy(bytes + at, &value,
			       size - at < length ? size - at : length);
			continue;
		}
		memset(bytes + at, (int)value, size - at < 64 ? size - at : 64);
	}
}

int packet_send(int fd, const void *packet, size_t size, const int *fds,
		size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(PACKET_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)packet, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *header = &control.align;
	ssize_t ret;

	if (n > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(n * sizeof(int));
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(header), fds, n * sizeof(int));
	}
	ret = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	return ret < 0 ? -errno : (int)ret;
}

int packet_receive(int fd, void *packet, size_t size, int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(PACKET_FDS * sizeof(int))];
	} control;
	struct iovec iov = { packet, size };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header;
	size_t came = 0;
	ssize_t ret;

	memset(fds, 0xff, n * sizeof(*fds));
	ret = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (ret < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (header)
		came = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	CHECK(came <= n);
	if (came > 0)
		memcpy(fds, CMSG_DATA(header), came * sizeof(int));
	return (int)ret;
}

void packet_drain(int fd)
{
	char byte;

	/* Reset is told once; nothing is sent that is empty. */
	while (recv(fd, &byte, 1, MSG_DONTWAIT) > 0 || errno == ECONNRESET)
		errno = 0;
}

void check_text(const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	CHECK(length < size);
	for (size_t i = 0; i < length; i++)
		CHECK((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
}
