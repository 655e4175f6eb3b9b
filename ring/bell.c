/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The bells of one end: the one that it rings, and the one that it waits on. */
#include <errno.h>

#include "endpoint.h"

/* Of so many rings one is timed, and all that come after a dear one. */
#define JUDGED 16

/*
 * A peer can hang thousands of epoll sets on its copy of our bell, and each of
 * our rings then walks all of them. One that took long may have been preempted;
 * so the next ones are measured by the time that this thread has run, and a
 * peer whose rings stay dear is left.
 */
static void judge_price(struct peal_end *end, uint64_t price)
{
	if (end->suspect == 0) {
		if (price >= PEAL_DEAR_NS)
			end->suspect = PEAL_DEAR_LOOKS;
		end->dear = 0;
		return;
	}
	end->suspect--;
	end->dear += price >= PEAL_DEAR_NS;
	if (end->dear >= PEAL_DEAR_LOOKS / 2 && !end->error)
		peal_end_break(end);
}

static int ring_and_judge(struct peal_end *end)
{
	clockid_t clock = end->suspect ? CLOCK_THREAD_CPUTIME_ID
				       : CLOCK_MONOTONIC;
	uint64_t began = peal_clock_ns(clock);
	int ret = peal_doorbell_ring(&end->rings);

	judge_price(end, peal_clock_ns(clock) - began);
	return ret;
}

/* A group is among friends, and cheaper than a look at the clock. */
static bool to_be_judged(const struct peal_end *end)
{
	return end->rings.kind != PEAL_DOORBELL_GROUP &&
	       (end->suspect || end->stats.doorbells % JUDGED == 0);
}

int peal_end_ring(struct peal_end *end)
{
	int ret;

	if (end->rings.kind == PEAL_DOORBELL_NONE)
		return 0;
	peal_fence_restore(end);
	ret = to_be_judged(end) ? ring_and_judge(end)
				: peal_doorbell_ring(&end->rings);
	PEAL_COUNT(end, doorbells);
	if (ret < 0)
		PEAL_COUNT(end, bell_errors);
	return ret;
}

bool peal_end_ring_self(struct peal_end *end)
{
	if (end->stir)
		end->stir(end->waiter);
	else if (end->waits_on.ring_fd >= 0 &&
		 end->waits_on.kind != PEAL_DOORBELL_SOCKET &&
		 end->waits_on.kind != PEAL_DOORBELL_NONE)
		peal_doorbell_ring(&end->waits_on);
	else
		return false;
	return true;
}

/* What wakes the peer's epoll sets costs, be it a ring or a read. */
int peal_end_clear(struct peal_end *end)
{
	clockid_t clock;
	uint64_t began;
	int ret;

	if (end->waits_on.kind != PEAL_DOORBELL_SOCKET)
		return peal_doorbell_clear(&end->waits_on);
	clock = end->suspect ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
	began = peal_clock_ns(clock);
	ret = peal_doorbell_clear(&end->waits_on);
	if (ret == -EPROTO && !end->error)
		peal_end_break(end);
	judge_price(end, peal_clock_ns(clock) - began);
	return ret;
}

/*
 * The bells that were read may have been for the end that shares them.
 * bell.pml: wake_sibling
 */
static void wake_sibling(struct peal_end *end)
{
	if (!end->sibling)
		return;
	if (end->sibling->stir)
		end->sibling->stir(end->sibling->waiter);
	else
		end->swallowed = end->sibling->waiting;
}

/*
 * An eventfd that is watched edge-triggered needs no clearing, one that is
 * waited on is cleared after the wait. The others fill up, and a ring that
 * finds them full counts as heard; so what we have heard must not fill them.
 * An arm brings a bell for its position, and one of a sender that falls short;
 * if it is for more than the next item, one for each item before that.
 * bell.pml: drain_in_time
 */
void peal_end_drain(struct peal_end *end)
{
	const struct peal_doorbell *bell = &end->waits_on;

	if (bell->kind <= PEAL_DOORBELL_EVENTFD ||
	    bell->kind == PEAL_DOORBELL_GROUP)
		return;
	if (end->flooded || ++end->undrained > bell->lazy) {
		if (peal_end_clear(end) > 0)
			end->fresh = true; /* it was for what may come later */
		end->undrained = 0;
		wake_sibling(end);
	}
	end->flooded = !end->sender && !peal_end_reached(end) &&
		       end->target - end->limit > 1;
}
