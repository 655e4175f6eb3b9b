/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_LOCAL_H
#define PEAL_LOCAL_H
/**
 * @file
 * A ring between threads, or between a process and the children that the
 * process forks, in one call. All of them trust each other.
 *
 *	struct peal_local ring;
 *	struct peal_geometry geometry = { .capacity = 1024,
 *					  .item_size = sizeof(int) };
 *
 *	peal_local_init(&ring, &geometry);
 *	// one thread, or a child: peal_sender_wait(&ring.sender, ...)
 *	// another, or the parent: peal_receiver_wait(&ring.receiver, ...)
 *	peal_local_close(&ring);
 *
 * Both ends allow barriers: see peal_sender_set_barriers().
 *
 * Caveats: each end is for one thread of one process. After fork(2) the child
 * uses one end, and the parent uses the other end. Each of the two finishes its
 * own end only. Tools show the process that has attached an end last. So the
 * child may attach its end anew: peal_sender_attach(&ring.sender, &ring.ring,
 * &ring.data, &ring.space).
 */
#include <peal/mem.h>
#include <peal/ring.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** A ring with its memory, its doorbells and both its ends. */
struct peal_local {
	struct peal_mem mem;	       /* ro */
	struct peal_ring ring;	       /* ro */
	struct peal_doorbell data;     /* ro: the sender rings it */
	struct peal_doorbell space;    /* ro: the receiver rings it */
	struct peal_sender sender;     /* for one thread */
	struct peal_receiver receiver; /* for one thread */
};

/**
 * Make a ring: a memfd, mapped twice in a row, faulted in and, from Linux 5.1
 * on, frozen (peal_mem_seal()), two eventfds, both ends attached.
 * @param local     filled in on success, untouched on failure
 * @param geometry  capacity and item_size set, tag and name if wanted; the
 *                  capacity is rounded up: see local->ring.geometry
 * @return          0, the errors of peal_geometry_fit(), peal_mem_create() and
 *                  peal_doorbell_init()
 */
int peal_local_init(struct peal_local *local,
		    const struct peal_geometry *geometry);

/**
 * Unmap the memory and close the doorbells. This does not finish the ends. So
 * call peal_sender_finish() or peal_receiver_finish() first, to tell the other
 * side.
 * May be called twice, and with a ring that is all zero.
 */
void peal_local_close(struct peal_local *local);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
