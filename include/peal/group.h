/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_GROUP_H
#define PEAL_GROUP_H
/**
 * @file
 * Doorbell groups: one eventfd for many rings. Whoever rings a bell of a group
 * marks its ring, and writes the eventfd only if the reactor sleeps; the
 * reactor then visits the marked rings alone. A bell costs some nanoseconds
 * instead of a system call, and a ring no fd.
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
 * For threads of the reactor's process, or, with the marks in memory that is
 * shared, for processes that it forked and trusts: whoever can write the marks
 * can have all rings of the group looked at, or none.
 *
 * Caveats: only a reactor can wait on such a bell, the one that serves the
 * group; the blocking calls say -EINVAL. Bells are made and finished by the
 * reactor's thread.
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

/*
 * What those who ring share with the reactor. All zero at first; private. A
 * word across two cache lines is not loaded in one piece, and 32-bit x86 would
 * align them to 4 bytes.
 */
struct peal_group_marks {
	/* Those of `rings` that are not 0, by bit. */
	uint64_t words __attribute__((aligned(8)));
	uint64_t pad0[15];
	uint64_t asleep; /* the eventfd has to be written */
	uint64_t pad1[15];
	uint64_t rings[PEAL_GROUP_MOST / 64]; /* that were rung, by bit */
};

/** A group. Every field is private. */
struct peal_group {
	struct peal_group_marks *marks;
	void **notify_args; /* who is told, by bell */
	void *reactor;	    /* that serves it, or NULL */
	uint64_t taken[PEAL_GROUP_MOST / 64];
	uint32_t n;
	int fd;
};

/**
 * Make a group.
 * @param group    filled in on success, untouched on failure; must not move
 * @param marks    all zero, aligned to 8 bytes; yours, keep it as long
 * @param notify_args  storage for n pointers, likewise; never shared
 * @param n        bells, 1 to PEAL_GROUP_MOST
 * @return         0, -EINVAL n, -EMFILE, -ENFILE or -ENOMEM
 */
int peal_group_init(struct peal_group *group, struct peal_group_marks *marks,
		    void **notify_args, size_t n);

/**
 * Make a bell of a group.
 * @param bell  filled in on success; peal_doorbell_close() gives it back
 * @return      0, -ENOSPC all are taken
 */
int peal_group_bell(struct peal_group *group, struct peal_doorbell *bell);

/**
 * Close it, after its bells were finished and it was removed from the reactor.
 * All zero then. Finished before these, it is heard no more: its bells are
 * -EBADF, and the rings that wait on them are silent.
 */
void peal_group_close(struct peal_group *group);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
