/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_GROUP_H
#define PEAL_GROUP_H
/**
 * @file
 * Doorbell groups: one eventfd for many rings. A thread that rings a bell of a
 * group marks this bell's ring, and writes to the eventfd only if the reactor
 * sleeps. The reactor then visits only the rings that are marked. So to ring a
 * bell costs some nanoseconds instead of a system call, and a ring needs no fd.
 *
 *	static struct peal_group_marks marks;
 *	static void *notify_args[256];
 *	struct peal_group group;
 *	struct peal_doorbell bell;
 *
 *	peal_group_init(&group, &marks, notify_args, 256);
 *	peal_reactor_add_group(&loop, &group_source, &group);
 *
 *	peal_group_bell(&group, &bell);			// for each ring
 *	peal_sender_attach(&tx, &ring, &bell, NULL);	// a thread's
 *	peal_receiver_attach(&rx, &ring, &bell, NULL);
 *	peal_reactor_add_receiver(&loop, &source, &rx, &callbacks);
 *
 * Groups are for threads of the reactor's process. With the marks in shared
 * memory groups are also for processes that the reactor's process has forked
 * and trusts. A process that can write the marks can make the reactor look at
 * all rings of the group, or at none.
 *
 * Caveats: only the reactor that serves the group can wait on its bells. The
 * blocking calls return -EINVAL. Only the reactor's thread makes and closes
 * bells.
 */
#include <stddef.h>
#include <stdint.h>

#include <peal/doorbell.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** Bells of a group at most. */
#define PEAL_GROUP_MOST 4096u

struct peal_group_marks;
struct peal_group;

/**
 * Make a group.
 * @param group    filled in on success, untouched on failure; must not move
 * @param marks    all zero, aligned to 8 bytes; yours, keep it as long as the
 *                 group
 * @param notify_args  storage for n pointers; yours, keep it as long as the
 *                 group; never in shared memory
 * @param n        bells, 1 to PEAL_GROUP_MOST
 * @return         0, -EINVAL n, -EMFILE, -ENFILE or -ENOMEM
 */
int peal_group_init(struct peal_group *group, struct peal_group_marks *marks,
		    void **notify_args, size_t n);

/**
 * Make a bell of a group.
 * @param bell  filled in on success; peal_doorbell_close() gives the bell back
 * @return      0, -ENOSPC all bells of the group are taken
 */
int peal_group_bell(struct peal_group *group, struct peal_doorbell *bell);

/**
 * Close a group. Close its bells and remove the group from the reactor first.
 * The group is all zero then. If a bell is left, to ring this bell is -EBADF,
 * and the reactor does not hear of the ring that waits on this bell any more.
 */
void peal_group_close(struct peal_group *group);

/*
 * The threads that ring share this with the reactor. All zero at first. Every
 * field is private. A word across two cache lines is not loaded in one piece,
 * so words are aligned to 8 bytes: 32-bit x86 would align words to 4 bytes.
 */
struct peal_group_marks {
	/* Bit i: rings[i] is not 0. */
	uint64_t words __attribute__((aligned(8)));
	uint64_t pad0[15];
	uint64_t asleep; /* the reactor sleeps: write to the eventfd */
	uint64_t pad1[15];
	uint64_t rings[PEAL_GROUP_MOST / 64]; /* a bit for each bell */
};

/** A group. Every field is private. */
struct peal_group {
	struct peal_group_marks *marks;
	void **notify_args; /* of the end that waits on each bell */
	void *reactor;	    /* the reactor that serves this group, or NULL */
	uint64_t taken[PEAL_GROUP_MOST / 64];
	uint32_t n;
	int fd;
};

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
