/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_KERNEL_H
#define PEAL_PROOF_KERNEL_H
/*
 * The kernel's part of a handshake, as the input plays it: packets that have
 * come, memory that is there already, bells that are silent. It stands in for
 * channel/socket.c, mem/mem.c, mem/memfd.c, ring/doorbell.c and ring/fence.c,
 * so that a handshake takes no system call.
 */
#include "../../ring/internal.h"
#include "packet.h"

#define KERNEL_SOCKET (1 << 20) /* no fd that there is */
#define KERNEL_BODY_MAX (1u << 16)
#define KERNEL_PACKETS 2

struct kernel_packet {
	unsigned char bytes[PACKET_MAX];
	size_t size;
	int fds[PACKET_FDS];
	size_t n_fds;
};

struct kernel_mem {
	void *base;
	size_t body_offset, body;
	bool sealed, verified, filled;
};

struct kernel {
	struct input in;
	int n_come, n_heard, n_said;
	struct kernel_mem mems[2];
	int n_mems, mapped;	      /* ever; now */
	bool honest;		      /* nothing fails, and nobody lies */
	struct peal_geometry made[2]; /* a server's, in their order */
	/* Headers that are written right before a load, after so many. */
	unsigned strike_after;
	/* What comes, in this order, and what the one under test has said. */
	struct kernel_packet comes[KERNEL_PACKETS], said[KERNEL_PACKETS];
};

extern struct kernel kernel;

/* A kernel for this input, in which nothing has happened. */
void kernel_start(struct input in);
/* The next packet that comes, with nothing in it. */
struct kernel_packet *kernel_packet(void);
/* Once in a while; never where all are honest. */
bool kernel_fails(void);

#endif
