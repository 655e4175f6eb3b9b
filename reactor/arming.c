/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Arming the rings that were drained in a round: store the wake positions of
 * all of them, make one fence, recheck each. Before that the loop may poll the
 * rings for a while.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>

#include "../ring/floor.h"
#include "internal.h"

/* Of so many polls one lasts as long as the user allows. */
#define SPINS_PER_TRIAL 64

static struct peal_source *recheck_source(struct peal_link *link)
{
	return PEAL_CONTAINER_OF(link, struct peal_source, of.ring.recheck);
}

static void ring_store_wake(struct peal_source *source)
{
	struct peal_end *end = source->of.ring.end;

	/* reactor.pml: rings_aim_again */
	if (peal_end_must_aim_again(end))
		peal_end_aim_again(end);
	if (peal_end_waits(end))
		peal_end_store(end);
}

static void ring_recheck(struct peal_source *source)
{
	struct peal_end *end = source->of.ring.end;

	if (peal_end_recheck(end) != PEAL_FOUND_SHORT)
		peal_source_schedule(source);
	else if (peal_end_must_aim_again(end))
		peal_ring_drained(source);
}

/*
 * One fence for all rings pairs with the fences in peal_end_publish() and
 * peal_source_defer(). One barrier serves all peers that elide their fences,
 * and these rings are rechecked once more, in the order in which they were
 * armed.
 * reactor.pml: rings_fence, rings_barrier
 */
static void rings_fence(struct peal_reactor *loop, struct peal_link *batch)
{
	struct peal_link *link;
	uint64_t at = 0;

	peal_end_fence();
	for (link = batch->next; link != batch; link = link->next) {
		struct peal_source_ring *ring =
			&peal_link_source(link)->of.ring;

		if (!peal_end_needs_barrier(ring->end))
			continue;
		if (at == 0) {
			peal_fence_barrier();
			at = peal_now() + PEAL_RECHECK_NS;
		}
		peal_link_remove(&ring->recheck);
		peal_link_append(&loop->lists.recheck, &ring->recheck);
		ring->recheck_at = at;
	}
}

void peal_rings_arm(struct peal_reactor *loop)
{
	struct peal_link *drained = &loop->lists.drained;
	struct peal_link batch;

	do {
		peal_link_init(&batch);
		/* A store may find that this ring or another one needs a turn
		 * instead, and take that ring out of either list. So each ring
		 * is moved by itself. */
		while (!peal_link_empty(drained)) {
			struct peal_source *source = peal_link_take(drained);

			peal_link_append(&batch, &source->link);
			/* reactor.pml: rings_store */
			ring_store_wake(source);
		}
		rings_fence(loop, &batch);
		while (!peal_link_empty(&batch)) {
			struct peal_source *source = peal_link_take(&batch);

			/* reactor.pml: rings_recheck */
			ring_recheck(source);
		}
	} while (!peal_link_empty(drained));
}

/* -- the deferred recheck */

uint64_t peal_rings_recheck_at(const struct peal_reactor *loop)
{
	struct peal_link *first = loop->lists.recheck.next;

	if (peal_link_empty(&loop->lists.recheck))
		return UINT64_MAX;
	return recheck_source(first)->of.ring.recheck_at;
}

/* A source that waits in a list is rechecked in its turn, or when it is armed.
 * reactor.pml: rings_may_sleep */
void peal_rings_recheck(struct peal_reactor *loop, uint64_t now)
{
	while (peal_rings_recheck_at(loop) <= now) {
		struct peal_source *source =
			recheck_source(loop->lists.recheck.next);

		peal_link_remove(&source->of.ring.recheck);
		peal_end_wake_seen(source->of.ring.end);
		if (peal_link_empty(&source->link))
			ring_recheck(source);
	}
}

/* -- polling before arming */

/* @return true if a ring was found that needs a turn */
static bool rings_poll(struct peal_reactor *loop)
{
	struct peal_link *drained = &loop->lists.drained;
	struct peal_link *link = drained->next, *next;
	bool found = false;

	for (; link != drained; link = next) {
		struct peal_source *source = peal_link_source(link);
		struct peal_end *end = source->of.ring.end;

		next = link->next;
		if (!peal_end_peer_moved(end) ||
		    peal_end_recheck(end) == PEAL_FOUND_SHORT)
			continue;
		peal_link_remove(link);
		peal_source_schedule(source);
		found = true;
	}
	return found;
}

/*
 * After a poll that found something, the next poll may last twice as long.
 * After a poll that found nothing, the next poll lasts half as long. Peers
 * change, so now and then a poll lasts as long as the user allows.
 */
static void spin_adapt(struct peal_reactor *loop, bool found)
{
	uint64_t most = loop->spin.most, now = loop->spin.now;

	peal_count(&loop->stats.spins);
	if (found) {
		peal_count(&loop->stats.spin_hits);
		loop->spin.now = most - now < now ? most : 2 * now;
	} else if (loop->stats.spins % SPINS_PER_TRIAL == 0) {
		loop->spin.now = most;
	} else {
		loop->spin.now = now / 2 + 1;
	}
}

/* Has another thread something for the loop? */
static bool spin_interrupted(const struct peal_reactor *loop)
{
	return __atomic_load_n(&loop->wake.deferred, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&loop->wake.written, __ATOMIC_RELAXED);
}

void peal_rings_spin(struct peal_reactor *loop)
{
	uint64_t end;
	bool found;

	if (!loop->spin.most || peal_link_empty(&loop->lists.drained))
		return;
	end = peal_time_add(peal_now(), loop->spin.now);
	do {
		found = rings_poll(loop);
		peal_relax();
	} while (!found && !spin_interrupted(loop) && peal_now() < end);
	spin_adapt(loop, found);
}

int peal_reactor_set_spin(struct peal_reactor *loop, uint64_t spin_ns)
{
	cpu_set_t cpus;
	int ret = peal_reactor_check(loop);

	if (ret < 0)
		return ret;
	/* On a single processor the peer cannot run while the loop polls. */
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 &&
	    CPU_COUNT(&cpus) == 1)
		spin_ns = 0;
	loop->spin.most = loop->spin.now = spin_ns;
	return 0;
}
