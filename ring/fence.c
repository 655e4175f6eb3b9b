/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fences that are left out while nobody sleeps.
 *
 * A publisher stores its position and then loads the wake word, and between
 * the two it needs a full fence, which costs more than all the rest. As long as
 * the other end is awake that is for nothing. So after some thousand publishes
 * without a ring it says `light` in its page and leaves the fence out; and an
 * end that sees that when it arms has the kernel put a fence into every thread
 * of every process that has asked for it, in the place of ours: membarrier(2),
 * GLOBAL_EXPEDITED. The first ring ends it.
 *
 *	publisher				sleeper
 *	light: store light = 1, full fence	store the wake position
 *	...					full fence
 *	store position				load light (acquire)
 *	(compiler fence)			if 1: barrier
 *	load the wake position			load the position
 *
 * The kernel cannot be relied on for that. Where a thread of ours ran on
 *another processor before the process registered, which has slept since, Linux
 *(6.18, and all before it, by their sources) takes that processor for one that
 *runs nobody who has registered, until it has run another process:
 *membarrier(2) leaves it out and says 0. So a barrier makes it prompt in nearly
 *all cases, and another look makes it certain: PEAL_LATE_NS after the wake
 *position was stored, when the store of a position that was made before has
 *left every processor's buffer, and one that is made later comes with a load
 *that sees the wake position.
 *
 * Turned off, `light` is stored with release and full fences follow: a sleeper
 * that loads 0 has all that was published without. It is loaded at every arm.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "endpoint.h"

/* Publishes without a ring, after which the fence is left out; proof/schedule
 * says fewer. */
#ifndef LIGHT_AFTER
#define LIGHT_AFTER 1024u
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
 * The peer may lean on our barriers, and we on the peer's.
 * wake.pml: light_registered
 */
static void set(struct peal_end *end, bool able)
{
	end->may_light = able;
	end->barriers |= able;
	end->fenced = 0;
	end->lighten_at = able ? LIGHT_AFTER : UINT64_MAX;
	__atomic_store_n(end->own_barrier,
			 able		 ? PEAL_BARRIER_OFFERED
			 : end->barriers ? PEAL_BARRIER_WITHDRAWN
					 : PEAL_BARRIER_NEVER,
			 __ATOMIC_RELEASE);
}

void peal_fence_init(struct peal_end *end)
{
	__atomic_store_n(end->own_light, 0, __ATOMIC_RELEASE);
	/* By whoever was at this end before: the peer may still be light, also
	 * when the offer was withdrawn since. */
	end->barriers = __atomic_load_n(end->own_barrier, __ATOMIC_RELAXED) !=
			PEAL_BARRIER_NEVER;
	set(end, false);
}

static bool can(void)
{
	return membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0 &&
	       membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0;
}

void peal_fence_allow(struct peal_end *end, bool allow)
{
	if (!end->position)
		return;
	peal_fence_restore(end); /* wake.pml: allow_restores */
	set(end, allow && can());
}

void peal_fence_by_hand(struct peal_end *end)
{
	struct timespec late = { .tv_nsec = PEAL_LATE_NS };
	uint64_t until = peal_clock_ns(CLOCK_MONOTONIC) + PEAL_LATE_NS;

	/* The peer sees it when it looks at our position the next time. */
	__atomic_store_n(end->own_barrier, PEAL_BARRIER_WITHDRAWN,
			 __ATOMIC_RELEASE);
	do
		ppoll(NULL, 0, &late, NULL);
	while (peal_clock_ns(CLOCK_MONOTONIC) < until);
	peal_end_settled(end);
}

void peal_end_adapt(struct peal_end *end)
{
	bool able = __atomic_load_n(end->peer_barrier, __ATOMIC_ACQUIRE) ==
		    PEAL_BARRIER_OFFERED;

	end->fenced = 0;
	if (able == end->light)
		return;
	if (!able) { /* wake.pml: light_able */
		peal_fence_restore(end);
		return;
	}
	end->light = true;
	/* wake.pml: light_on */
	__atomic_store_n(end->own_light, 1, __ATOMIC_RELAXED);
	/* Whoever arms after this sees it; whoever armed before is seen.
	 * wake.pml: light_on_fence */
	peal_end_fence();
}

void peal_fence_restore(struct peal_end *end)
{
	end->fenced = 0;
	if (!end->light)
		return;
	end->light = false;
	/* wake.pml: light_off, light_off_release */
	__atomic_store_n(end->own_light, 0, __ATOMIC_RELEASE);
}
