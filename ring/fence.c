/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fences that are elided while no peer sleeps.
 *
 * A publisher stores its position and then loads the wake word. Between the two
 * the publisher needs a full fence, which costs more than all the rest. While
 * the peer is awake the fence has no use. So after some thousand publishes
 * without a ring the publisher says `elided` in its page, and elides the fence.
 * An end that arms loads `elided` from the peer's page. If `elided` is set, the
 * end has the kernel make a full fence in every thread of every process that
 * has registered for this: membarrier(2), GLOBAL_EXPEDITED. That fence stands
 * in for the elided fence. The first ring of the bell ends the elision.
 *
 *	publisher				waiter
 *	store elided = 1, full fence		store the wake position
 *	...					full fence
 *	store position				load elided (acquire)
 *	(compiler fence)			if 1: barrier
 *	load the wake position			load the position
 *
 * The kernel leaves out some processors. Assume that a thread of this process
 * ran on another processor before the process registered, and has slept since.
 * Then Linux (6.18, and all before it, by their sources) believes that this
 * processor runs no registered process, until the processor has run another
 * process: membarrier(2) leaves the processor out, and returns 0. So a barrier
 * makes a wake-up prompt in nearly all cases, and a deferred recheck makes the
 * wake-up certain. The recheck comes PEAL_RECHECK_NS after the waiter stored
 * the wake position. By then the wake position, and every position that a
 * publisher stored before it, have left the store buffers of their processors.
 * So the recheck sees such a position. A publisher that stores its position
 * later loads the new wake position, and rings.
 *
 * When the elision ends, the publisher stores `elided` with release, and full
 * fences follow: a waiter that loads 0 sees all that was published without
 * fences. A waiter that has offered barriers loads `elided` at every arm,
 *unless its wake word is known to be visible (PEAL_RECHECK_NONE).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

/* After so many publishes without a ring the fence is elided. proof/schedule
 * defines a smaller number. */
#ifndef ELIDE_AFTER
#define ELIDE_AFTER 1024u
#endif

static long membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

void peal_fence_barrier(void)
{
	membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}

/*
 * A peer that sees the offer may elide its fences. This end elides its own
 * fences only while this end makes barriers, too.
 * wake.pml: elide_registered
 */
static void offer_barriers(struct peal_end *end, bool able)
{
	end->fence.offered |= able;
	end->fence.publishes = 0;
	end->fence.elide_after = able ? ELIDE_AFTER : UINT64_MAX;
	__atomic_store_n(&end->own->barrier,
			 able		      ? PEAL_BARRIER_OFFERED
			 : end->fence.offered ? PEAL_BARRIER_WITHDRAWN
					      : PEAL_BARRIER_NEVER,
			 __ATOMIC_RELEASE);
}

void peal_fence_init(struct peal_end *end)
{
	__atomic_store_n(&end->own->elided, 0, __ATOMIC_RELEASE);
	/* The process that had this end before may have offered barriers. So
	 * the peer may still elide its fences, even if that offer was
	 * withdrawn. */
	end->fence.offered = __atomic_load_n(&end->own->barrier,
					     __ATOMIC_RELAXED) !=
			     PEAL_BARRIER_NEVER;
	offer_barriers(end, false);
}

static bool register_barriers(void)
{
	return membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0 &&
	       membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0;
}

void peal_fence_allow(struct peal_end *end, bool allow)
{
	if (!end->own)
		return;
	peal_fence_restore(end); /* wake.pml: allow_restores */
	offer_barriers(end, allow && register_barriers());
}

void peal_fence_by_hand(struct peal_end *end)
{
	struct timespec remaining = { .tv_nsec = PEAL_RECHECK_NS };
	uint64_t until = peal_now() + PEAL_RECHECK_NS;

	/* The peer loads this word when the peer refreshes the next time. */
	__atomic_store_n(&end->own->barrier, PEAL_BARRIER_WITHDRAWN,
			 __ATOMIC_RELEASE);
	do
		ppoll(NULL, 0, &remaining, NULL);
	while (peal_now() < until);
	peal_end_wake_seen(end);
}

void peal_end_adapt(struct peal_end *end)
{
	bool able = __atomic_load_n(&end->peer->barrier, __ATOMIC_ACQUIRE) ==
		    PEAL_BARRIER_OFFERED;

	end->fence.publishes = 0;
	if (able == end->fence.elided)
		return;
	if (!able) { /* wake.pml: elide_able */
		peal_fence_restore(end);
		return;
	}
	end->fence.elided = true;
	/* wake.pml: elide_on */
	__atomic_store_n(&end->own->elided, 1, __ATOMIC_RELAXED);
	/* A peer that arms after this fence sees `elided`. This end sees the
	 * wake word of a peer that armed before.
	 * wake.pml: elide_on_fence */
	peal_end_fence();
}

void peal_fence_restore(struct peal_end *end)
{
	end->fence.publishes = 0;
	if (!end->fence.elided)
		return;
	end->fence.elided = false;
	/* wake.pml: elide_off, elide_off_release */
	__atomic_store_n(&end->own->elided, 0, __ATOMIC_RELEASE);
}
