/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Senders and receivers. A ring that waits is called back when the check of
 * ring/ says that the wait is over, and only then; ring/ counts these as
 * transitions, and here they are counted as callbacks.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>

#include <peal/group.h>

#include "../ring/floor.h"
#include "internal.h"

static const struct peal_source_ops receiver_ops, sender_ops;

/* Remove it and tell why; the last that is heard of it. */
static void ring_closed(struct peal_source *source, int reason)
{
	struct peal_source copy = *source;
	struct peal_reactor *loop = source->reactor;

	/* Before the callback, so that it may do with the memory as it likes.*/
	peal_reactor_remove(loop, source);
	if (copy.ops == &receiver_ops) {
		if (!copy.callback.receiver.on_closed)
			return;
		loop->made++;
		copy.callback.receiver.on_closed(
			(struct peal_receiver *)copy.end, reason, copy.user);
	} else {
		if (!copy.callback.sender.on_closed)
			return;
		loop->made++;
		copy.callback.sender.on_closed((struct peal_sender *)copy.end,
					       reason, copy.user);
	}
}

static long call_back(struct peal_source *source)
{
	if (source->ops == &receiver_ops)
		return source->callback.receiver.on_readable(
			(struct peal_receiver *)source->end, source->user);
	return source->callback.sender.on_writable(
		(struct peal_sender *)source->end, source->user);
}

/* After the round, with all others. */
static void look_again(struct peal_source *source)
{
	peal_link_remove(&source->link);
	peal_link_append(&source->reactor->drained, &source->link);
}

static void drained(struct peal_source *source, uint64_t want, bool beyond)
{
	peal_end_aim(source->end, want, beyond);
	look_again(source);
}

static void follow(struct peal_source *source, long verdict)
{
	struct peal_end *end = source->end;

	if (verdict == PEAL_MORE) {
		source->of.ring.more = true;
		peal_source_ready(source);
	} else if (verdict != PEAL_DONE) {
		drained(source, (uint64_t)verdict, false);
	} else if (!peal_end_is_sender(end)) {
		drained(source, peal_end_watermark(end), true);
	} else if (peal_end_waits(end)) {
		/* A reserve fell short and has armed; the bell may have come
		 * while it stood in line. */
		look_again(source);
	}
}

/* The source may be closed by what the callback has said or done. */
static void judge(struct peal_source *source, long verdict)
{
	struct peal_end *end = source->end;

	if (peal_end_error(end))
		ring_closed(source, peal_end_error(end) == -EPIPE
					    ? 0
					    : peal_end_error(end));
	else if (verdict < PEAL_MORE ||
		 (verdict > 0 && (uint64_t)verdict > peal_end_capacity(end)))
		ring_closed(source, -EINVAL);
	else if (peal_end_ended(end) &&
		 (peal_end_is_sender(end) || verdict != PEAL_MORE ||
		  peal_end_known(end) == 0))
		ring_closed(source, peal_end_reason(end));
	else
		follow(source, verdict);
}

static void serve(struct peal_source *source, bool more)
{
	struct peal_call call = peal_call_begin(source);
	struct peal_reactor *loop = source->reactor;
	long verdict;

	peal_count(&loop->stats.callbacks);
	if (more) {
		peal_count(&loop->stats.mores);
		peal_count(&source->stats.mores);
	} else {
		peal_count(&source->stats.transitions);
	}
	peal_ring_not_idle(source);
	verdict = call_back(source);
	if (peal_call_end(&call))
		judge(source, verdict);
}

static void tell_idle(struct peal_source *source)
{
	struct peal_call call = peal_call_begin(source);

	source->of.ring.idle_due = false;
	source->of.ring.on_idle(source, source->user);
	if (peal_call_end(&call))
		look_again(source);
}

/* Nothing to do. If somebody else took what it waited for, it waits anew. */
static void found_nothing(struct peal_source *source)
{
	struct peal_end *end = source->end;

	if (source->of.ring.idle_due) {
		tell_idle(source);
		return;
	}
	peal_count(&source->reactor->stats.spurious);
	peal_count(&source->stats.spurious);
	peal_end_expect_recheck(end);
	if (peal_end_waits(end))
		look_again(source); /* reactor.pml: look_again */
}

static void ring_turn(struct peal_source *source)
{
	struct peal_end *end = source->end;
	enum peal_found found;

	if (source->of.ring.rung) {
		source->of.ring.rung = false;
		peal_ring_rung(source);
	}
	if (source->of.ring.more) {
		source->of.ring.more = false;
		serve(source, true);
		return;
	}
	found = peal_end_recheck(end);
	if (found == PEAL_FOUND_SHORT) {
		found_nothing(source);
	} else if (found == PEAL_FOUND_BROKEN) {
		judge(source, PEAL_DONE);
	} else if (found == PEAL_FOUND_END &&
		   (peal_end_is_sender(end) || peal_end_known(end) == 0)) {
		ring_closed(source, peal_end_reason(end));
	} else {
		peal_end_wait_done(end, found);
		serve(source, false);
	}
}

static void ring_event(struct peal_source *source, uint32_t events)
{
	int rung = 1;

	(void)events;
	/* To be cleared, or the host would see it for ever. */
	if (peal_level(source->reactor))
		rung = peal_end_clear(source->end);
	if (rung > 0) {
		source->of.ring.rung = true;
	} else if (rung < 0) {
		/* nobody is left who could ring it */
		peal_source_unwatch(source);
		source->fd = -1;
	}
	peal_source_ready(source);
}

/* -- arming */

/*
 * Reached, but taken by somebody else: what it waits for is further on.
 * reactor.pml: aim_again
 */
static void aim_again(struct peal_end *end)
{
	if (peal_end_must_aim_again(end))
		peal_end_aim_again(end);
}

static void store(struct peal_source *source)
{
	struct peal_end *end = source->end;

	aim_again(end);
	if (peal_end_waits(end))
		peal_end_store(end);
}

static struct peal_source *late_source(struct peal_link *link)
{
	return PEAL_CONTAINER_OF(link, struct peal_source, of.ring.late);
}

/*
 * One fence for all. Pairs with the fences in peal_end_publish() and
 * peal_reactor_defer(); one barrier for all peers that publish without, which
 * are looked at once more, in the order in which they were armed.
 * reactor.pml: rings_fence, rings_barrier
 */
static void fence(struct peal_reactor *loop, struct peal_link *batch)
{
	uint64_t at = 0;

	peal_end_fence();
	for (struct peal_link *link = batch->next; link != batch;
	     link = link->next) {
		struct peal_source *source = peal_link_source(link);

		if (!peal_end_needs_barrier(source->end))
			continue;
		if (at == 0) {
			peal_fence_barrier();
			at = peal_now() + PEAL_RECHECK_NS;
		}
		peal_link_remove(&source->of.ring.late);
		peal_link_append(&loop->late, &source->of.ring.late);
		source->of.ring.late_at = at;
	}
}

uint64_t peal_rings_late_at(const struct peal_reactor *loop)
{
	return peal_link_empty(&loop->late)
		       ? UINT64_MAX
		       : late_source(loop->late.next)->of.ring.late_at;
}

/* Whoever stands in line anywhere will be looked at without that.
 * reactor.pml: rings_may_sleep */
void peal_rings_look_late(struct peal_reactor *loop, uint64_t now)
{
	while (peal_rings_late_at(loop) <= now) {
		struct peal_source *source = late_source(loop->late.next);
		struct peal_end *end = source->end;

		peal_link_remove(&source->of.ring.late);
		peal_end_wake_seen(end);
		if (!peal_link_empty(&source->link))
			continue;
		if (peal_end_recheck(end) != PEAL_FOUND_SHORT)
			peal_source_ready(source);
		else if (peal_end_must_aim_again(end))
			look_again(source);
	}
}

void peal_rings_arm(struct peal_reactor *loop)
{
	struct peal_link batch;

	do {
		peal_link_init(&batch);
		/* One by one: a store may find this or another ring in need of
		 * a turn instead, and take it out of either list. */
		while (!peal_link_empty(&loop->drained)) {
			struct peal_source *source =
				peal_link_take(&loop->drained);

			peal_link_append(&batch, &source->link);
			store(source); /* reactor.pml: rings_store */
		}
		fence(loop, &batch);
		while (!peal_link_empty(&batch)) {
			struct peal_source *source = peal_link_take(&batch);
			struct peal_end *end = source->end;

			/* reactor.pml: rings_recheck */
			if (peal_end_recheck(end) != PEAL_FOUND_SHORT)
				peal_source_ready(source);
			else if (peal_end_must_aim_again(end))
				look_again(source);
		}
	} while (!peal_link_empty(&loop->drained));
}

/* -- polling before arming */

static bool found_some(struct peal_reactor *loop)
{
	struct peal_link *link = loop->drained.next, *next;
	bool found = false;

	for (; link != &loop->drained; link = next) {
		struct peal_source *source = peal_link_source(link);

		next = link->next;
		if (!peal_end_peer_moved(source->end) ||
		    peal_end_recheck(source->end) == PEAL_FOUND_SHORT)
			continue;
		peal_link_remove(link);
		peal_source_ready(source);
		found = true;
	}
	return found;
}

/*
 * Where it found something it may last for longer the next time, where not for
 * a shorter time; now and then it tries at full length, for times change.
 */
static void adapt(struct peal_reactor *loop, bool found)
{
	uint64_t most = loop->spin_most;

	peal_count(&loop->stats.spins);
	if (found) {
		peal_count(&loop->stats.spin_hits);
		loop->spin_now = most - loop->spin_now < loop->spin_now
					 ? most
					 : 2 * loop->spin_now;
	} else if (loop->stats.spins % 64 == 0) {
		loop->spin_now = most;
	} else {
		loop->spin_now = loop->spin_now / 2 + 1;
	}
}

void peal_rings_spin(struct peal_reactor *loop)
{
	uint64_t end;
	bool found;

	if (!loop->spin_most || peal_link_empty(&loop->drained))
		return;
	end = peal_time_add(peal_now(), loop->spin_now);
	do {
		found = found_some(loop);
		peal_relax();
	} while (!found && !__atomic_load_n(&loop->calls, __ATOMIC_RELAXED) &&
		 !__atomic_load_n(&loop->awoken, __ATOMIC_RELAXED) &&
		 peal_now() < end);
	adapt(loop, found);
}

int peal_reactor_set_spin(struct peal_reactor *loop, uint64_t most)
{
	cpu_set_t cpus;
	int ret = peal_reactor_check(loop);

	if (ret < 0)
		return ret;
	/* Alone on a processor, nobody could do what it polls for. */
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 &&
	    CPU_COUNT(&cpus) == 1)
		most = 0;
	loop->spin_most = loop->spin_now = most;
	return 0;
}

/* -- adding */

/*
 * What is to be told though the peer will not ring. One that stands in line, or
 * is to be armed, is looked at anyway, and keeps its place: whoever notifies it
 * in each round would keep it from its turn.
 */
static void notify(void *notify_arg)
{
	struct peal_source *source = notify_arg;

	if (!source->reactor || !peal_reactor_here(source->reactor))
		return;
	peal_source_ready(source);
	peal_reactor_nudge(source->reactor);
}

static int watch(struct peal_source *source, struct peal_source *bell)
{
	const struct peal_doorbell *own = peal_end_own_bell(source->end);

	/* It has all looked at that stand behind it.
	 * bell.pml: bell_turns_both */
	source->of.ring.bell = bell;
	if (bell)
		return 0;
	if (own->kind == PEAL_DOORBELL_GROUP) {
		/* Nobody would look at its mark, or another thread would. */
		if (__atomic_load_n(&own->group->reactor, __ATOMIC_RELAXED) !=
			    source->reactor ||
		    own->index >= own->group->n)
			return -EINVAL;
		if (own->group->notify_args[own->index])
			return -EEXIST;
		own->group->notify_args[own->index] = source;
		return 0;
	}
	return peal_source_watch(source, own->wait_fd, EPOLLIN | EPOLLET);
}

/* An end has one source. Another thread may want it at the same time. */
static int claim_end(struct peal_source *source)
{
	return peal_end_claim(source->end, source) ? 0 : -EEXIST;
}

static void ring_detach(struct peal_source *source)
{
	struct peal_end *end = source->end;
	const struct peal_doorbell *own = peal_end_own_bell(end);

	peal_link_remove(&source->of.ring.late);
	if (!peal_end_is_claimed_by(end, source))
		return; /* it was attached anew, or was another's all along */
	if (own->kind == PEAL_DOORBELL_GROUP && own->index < own->group->n &&
	    own->group->notify_args[own->index] == source)
		own->group->notify_args[own->index] = NULL;
	peal_end_unclaim(end);
}

static const struct peal_source_ops receiver_ops = {
	.turn = ring_turn,
	.event = ring_event,
	.alarm = peal_ring_alarm,
	.detach = ring_detach,
};

static const struct peal_source_ops sender_ops = {
	.turn = ring_turn,
	.event = ring_event,
	.alarm = peal_ring_alarm,
	.detach = ring_detach,
};

static int add(struct peal_source *source, struct peal_end *end, void *user,
	       struct peal_source *bell)
{
	struct peal_reactor *loop = source->reactor;
	int ret;

	source->end = end;
	source->user = user;
	peal_link_init(&source->of.ring.late);
	ret = claim_end(source);
	if (ret == 0)
		ret = watch(source, bell);
	if (ret < 0) {
		peal_source_detach(source);
		return ret;
	}
	peal_ring_trust(source);
	peal_end_set_notify(end, notify);
	/* What is there already is a transition, too.
	 * reactor.pml: add_recheck */
	peal_end_aim(end, peal_end_watermark(end), false);
	peal_end_store(end);
	peal_end_fence();
	/* One that needs a barrier has it after its turn. */
	if (peal_end_needs_barrier(end) ||
	    peal_end_recheck(end) != PEAL_FOUND_SHORT) {
		peal_source_ready(source);
		peal_reactor_nudge(loop);
	}
	return 0;
}

static bool can_wait(const struct peal_end *end)
{
	const struct peal_doorbell *own = peal_end_own_bell(end);

	return own->kind == PEAL_DOORBELL_GROUP ||
	       (own->kind != PEAL_DOORBELL_NONE && own->wait_fd >= 0);
}

int peal_receiver_add(struct peal_reactor *loop, struct peal_source *source,
		      struct peal_receiver *rx,
		      const struct peal_receiver_callbacks *callbacks,
		      struct peal_source *bell)
{
	int ret;

	if (!callbacks->on_readable || !can_wait(&rx->end))
		return -EINVAL;
	ret = peal_source_enter(loop, source, &receiver_ops);
	if (ret < 0)
		return ret;
	source->callback.receiver = *callbacks;
	return add(source, &rx->end, callbacks->user, bell);
}

int peal_sender_add(struct peal_reactor *loop, struct peal_source *source,
		    struct peal_sender *tx,
		    const struct peal_sender_callbacks *callbacks,
		    struct peal_source *bell)
{
	int ret;

	if (!callbacks->on_writable || !can_wait(&tx->end))
		return -EINVAL;
	ret = peal_source_enter(loop, source, &sender_ops);
	if (ret < 0)
		return ret;
	source->callback.sender = *callbacks;
	return add(source, &tx->end, callbacks->user, bell);
}

int peal_reactor_add_receiver(struct peal_reactor *loop,
			      struct peal_source *source,
			      struct peal_receiver *rx,
			      const struct peal_receiver_callbacks *callbacks)
{
	return peal_receiver_add(loop, source, rx, callbacks, NULL);
}

int peal_reactor_add_sender(struct peal_reactor *loop,
			    struct peal_source *source, struct peal_sender *tx,
			    const struct peal_sender_callbacks *callbacks)
{
	return peal_sender_add(loop, source, tx, callbacks, NULL);
}

int peal_reactor_hangup(struct peal_reactor *loop, struct peal_source *source,
			int reason)
{
	int ret = peal_source_check(loop, source);

	if (ret < 0)
		return ret;
	if (!source->end)
		return -EINVAL;
	peal_end_hangup(source->end, reason);
	peal_source_ready(source);
	peal_reactor_nudge(loop);
	return 0;
}
