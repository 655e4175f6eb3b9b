/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel.h"
#include "sides.h"

void kernel_pair(enum kernel_kind kind, int fds[2])
{
	if (kind == KERNEL_PIPE)
		bench_check_errno(pipe(fds), "pipe");
	else
		bench_check_errno(socketpair(AF_UNIX,
					     kind == KERNEL_UNIX
						     ? SOCK_STREAM
						     : SOCK_SEQPACKET,
					     0, fds),
				  "socketpair");
}

void kernel_write(int fd, const void *data, size_t size)
{
	const char *bytes = data;

	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		bench_check_errno(n, "write");
		bytes += n;
		size -= (size_t)n;
	}
}

void kernel_read(int fd, void *data, size_t size)
{
	char *bytes = data;

	while (size > 0) {
		ssize_t n = read(fd, bytes, size);

		bench_check_errno(n, "read");
		if (n == 0)
			bench_fail("read", EPIPE);
		bytes += n;
		size -= (size_t)n;
	}
}

int kernel_eventfd(void)
{
	int fd = eventfd(0, 0);

	bench_check_errno(fd, "eventfd");
	return fd;
}

void kernel_ring(int fd)
{
	uint64_t one = 1;

	bench_check_errno(write(fd, &one, sizeof(one)), "eventfd");
}

void kernel_take(int fd)
{
	uint64_t n;

	bench_check_errno(read(fd, &n, sizeof(n)), "eventfd");
}
