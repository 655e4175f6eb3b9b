/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_KERNEL_H
#define PEAL_BENCH_KERNEL_H
/*
 * What the kernel has for two processes.
 */
#include <stddef.h>
#include <stdint.h>

enum kernel_kind {
	KERNEL_PIPE,
	KERNEL_UNIX,
	KERNEL_SEQPACKET
};

/* Larger packets need a larger send buffer than there is by default. */
#define KERNEL_PACKET_MAX 131072

/* fds[0] to read, fds[1] to write; with sockets either can do both. */
void kernel_pair(enum kernel_kind kind, int fds[2]);
/* All of it. */
void kernel_write(int fd, const void *data, size_t size);
void kernel_read(int fd, void *data, size_t size);

/* A blocking eventfd. */
int kernel_eventfd(void);
void kernel_ring(int fd);
void kernel_take(int fd);

#endif
