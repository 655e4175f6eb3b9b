/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Senders and receivers. A ring that waits is called back when the recheck of
 * ring/ says that the wait is over, and only then. What ring/ counts as
 * transitions, the reactor counts as callbacks.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/epoll.h>

#include <peal/group.h>

#include "../ring/floor.h"
#include "internal.h"

static const struct peal_source_ops receiver_ops, sender_ops;

bool peal_source_is_ring(const struct peal_source *source)
{
	return source->ops == &receiver_ops || source->ops == &sender_ops;
}

static long ring_call_back(struct peal_source *source)
{
	const struct peal_source_ring *ring = &source->of.ring;

	if (source->ops == &receiver_ops)
		return ring->callbacks.receiver.on_readable(
			(struct peal_receiver *)ring->end, source->user);
	return ring->callbacks.sender.on_writable(
		(struct peal_sender *)ring->end, source->user);
}

/* Remove the source, and call on_closed, the last callback. */
static void ring_close(struct peal_source *source, int reason)
{
	struct peal_reactor *loop = source->reactor;
	bool receives = source->ops == &receiver_ops;
	struct peal_source_ring ring = source->of.ring;
	void *user = source->user;

	/* The source is removed first, because the callback may reuse or free
	 * the source's memory. */
	peal_source_detach(source);
	if (receives && ring.callbacks.receiver.on_closed) {
		loop->callbacks++;
		ring.callbacks.receiver.on_closed(
			(struct peal_receiver *)ring.end, reason, user);
	} else if (!receives && ring.callbacks.sender.on_closed) {
		loop->callbacks++;
		ring.callbacks.sender.on_closed((struct peal_sender *)ring.end,
						reason, user);
	}
}

/* -- a turn and its verdict */

void peal_ring_drained(struct peal_source *source)
{
	peal_link_remove(&source->link);
	peal_link_append(&source->reactor->lists.drained, &source->link);
}

static void ring_wait_for(struct peal_source *source, uint64_t want,
			  bool beyond)
{
	peal_end_aim(source->of.ring.end, want, beyond);
	peal_ring_drained(source);
}

/* Do what the callback wants next. */
static void ring_follow(struct peal_source *source, long verdict)
{
	struct peal_end *end = source->of.ring.end;

	if (verdict == PEAL_MORE) {
		source->of.ring.more = true;
		peal_source_schedule(source);
	} else if (verdict != PEAL_DONE) {
		ring_wait_for(source, (uint64_t)verdict, false);
	} else if (!peal_end_is_sender(end)) {
		ring_wait_for(source, peal_end_watermark(end), true);
	} else if (peal_end_waits(end)) {
		/* A call that fell short has armed the sender. The bell may
		 * have been rung while the source was scheduled. */
		peal_ring_drained(source);
	}
}

/* Close the ring if the callback has said or done something that ends it. */
static void ring_judge(struct peal_source *source, long verdict)
{
	struct peal_end *end = source->of.ring.end;
	int error = peal_end_error(end);

	if (error)
		ring_close(source, error == -EPIPE ? 0 : error);
	else if (verdict < PEAL_MORE ||
		 (verdict > 0 && (uint64_t)verdict > peal_end_capacity(end)))
		ring_close(source, -EINVAL);
	else if (peal_end_ended(end) &&
		 (peal_end_is_sender(end) || verdict != PEAL_MORE ||
		  peal_end_known(end) == 0))
		ring_close(source, peal_end_reason(end));
	else
		ring_follow(source, verdict);
}

static void ring_serve(struct peal_source *source, bool more)
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
	peal_idle_restart(source);
	verdict = ring_call_back(source);
	if (peal_call_end(&call))
		ring_judge(source, verdict);
}

/* The turn has found too little. */
static void ring_found_short(struct peal_source *source)
{
	struct peal_end *end = source->of.ring.end;

	if (source->of.ring.idle.due) {
		peal_idle_tell(source);
		return;
	}
	peal_count(&source->reactor->stats.spurious);
	peal_count(&source->stats.spurious);
	peal_end_expect_recheck(end);
	/* Somebody else may have taken what the end waited for. Then the end
	 * has to wait anew. reactor.pml: rings_rearm */
	if (peal_end_waits(end))
		peal_ring_drained(source);
}

static void ring_turn(struct peal_source *source)
{
	struct peal_source_ring *ring = &source->of.ring;
	struct peal_end *end = ring->end;
	enum peal_found found;

	if (ring->rung) {
		ring->rung = false;
		peal_bells_heard(source);
	}
	if (ring->more) {
		ring->more = false;
		ring_serve(source, true);
		return;
	}
	found = peal_end_recheck(end);
	if (found == PEAL_FOUND_SHORT) {
		ring_found_short(source);
	} else if (found == PEAL_FOUND_BROKEN) {
		ring_judge(source, PEAL_DONE);
	} else if (found == PEAL_FOUND_END &&
		   (peal_end_is_sender(end) || peal_end_known(end) == 0)) {
		ring_close(source, peal_end_reason(end));
	} else {
		peal_end_wait_done(end, found);
		ring_serve(source, false);
	}
}

static void ring_event(struct peal_source *source, uint32_t events)
{
	struct peal_source_ring *ring = &source->of.ring;
	int rung = 1;

	(void)events;
	/* A level-triggered host reports the bell until it is cleared. */
	if (peal_reactor_is_level(source->reactor))
		rung = peal_end_clear(ring->end);
	if (rung > 0) {
		ring->rung = true;
	} else if (rung < 0) {
		/* The bell cannot be rung any more. */
		peal_source_unwatch(source);
		source->watch.fd = -1;
	}
	peal_source_schedule(source);
}

/* -- adding */

/*
 * The end has found something for which the peer will not ring. So the source
 * gets a turn. But a source that waits in a list keeps its place there, because
 * its turn, or its arming, rechecks the end. If such a source went to the end
 * of a list, a peer that moves in each round could keep the source from its
 * turn.
 */
static void ring_notify(void *notify_arg)
{
	struct peal_source *source = notify_arg;

	if (!source->reactor || !peal_reactor_here(source->reactor))
		return;
	peal_source_schedule(source);
	peal_wake_unless_running(source->reactor);
}

static int ring_watch(struct peal_source *source, struct peal_source *heard_by)
{
	const struct peal_doorbell *own =
		peal_end_own_bell(source->of.ring.end);
	struct peal_group *group = own->group;

	/* The source that hears the bell schedules every ring behind the bell.
	 * bell.pml: bell_turns_both */
	source->of.ring.bells.heard_by = heard_by;
	if (heard_by)
		return 0;
	if (own->kind != PEAL_DOORBELL_GROUP)
		return peal_source_watch(source, own->wait_fd,
					 EPOLLIN | EPOLLET);
	/* The group has to be on this reactor. Otherwise nobody, or another
	 * thread, would serve the mark. */
	if (__atomic_load_n(&group->reactor, __ATOMIC_RELAXED) !=
		    source->reactor ||
	    own->index >= group->n)
		return -EINVAL;
	if (group->notify_args[own->index])
		return -EEXIST;
	group->notify_args[own->index] = source;
	return 0;
}

static void ring_detach(struct peal_source *source)
{
	struct peal_end *end = source->of.ring.end;
	const struct peal_doorbell *own = peal_end_own_bell(end);

	peal_link_remove(&source->of.ring.recheck);
	/* The end was attached anew, or always belonged to another source. */
	if (!peal_end_is_claimed_by(end, source))
		return;
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

static int ring_add(struct peal_source *source, struct peal_end *end,
		    struct peal_source *heard_by)
{
	int ret;

	source->of.ring.end = end;
	peal_link_init(&source->of.ring.recheck);
	ret = peal_end_claim(end, source) ? 0 : -EEXIST;
	if (ret == 0)
		ret = ring_watch(source, heard_by);
	if (ret < 0) {
		peal_source_detach(source);
		return ret;
	}
	peal_bells_reset(source);
	peal_end_set_notify(end, ring_notify);
	/* What is there already is a transition, too.
	 * reactor.pml: add_recheck */
	peal_end_aim(end, peal_end_watermark(end), false);
	peal_end_store(end);
	peal_end_fence();
	/* An end that needs a barrier gets the barrier after its turn. */
	if (peal_end_needs_barrier(end) ||
	    peal_end_recheck(end) != PEAL_FOUND_SHORT) {
		peal_source_schedule(source);
		peal_wake_unless_running(source->reactor);
	}
	return 0;
}

static bool ring_can_wait(const struct peal_end *end)
{
	const struct peal_doorbell *own = peal_end_own_bell(end);

	return own->kind == PEAL_DOORBELL_GROUP ||
	       (own->kind != PEAL_DOORBELL_NONE && own->wait_fd >= 0);
}

int peal_receiver_add(struct peal_reactor *loop, struct peal_source *source,
		      struct peal_receiver *rx,
		      const struct peal_receiver_callbacks *callbacks,
		      struct peal_source *heard_by)
{
	int ret;

	if (!callbacks->on_readable || !ring_can_wait(&rx->end))
		return -EINVAL;
	ret = peal_source_attach(loop, source, &receiver_ops, callbacks->user);
	if (ret < 0)
		return ret;
	source->of.ring.callbacks.receiver.on_readable = callbacks->on_readable;
	source->of.ring.callbacks.receiver.on_closed = callbacks->on_closed;
	return ring_add(source, &rx->end, heard_by);
}

int peal_sender_add(struct peal_reactor *loop, struct peal_source *source,
		    struct peal_sender *tx,
		    const struct peal_sender_callbacks *callbacks,
		    struct peal_source *heard_by)
{
	int ret;

	if (!callbacks->on_writable || !ring_can_wait(&tx->end))
		return -EINVAL;
	ret = peal_source_attach(loop, source, &sender_ops, callbacks->user);
	if (ret < 0)
		return ret;
	source->of.ring.callbacks.sender.on_writable = callbacks->on_writable;
	source->of.ring.callbacks.sender.on_closed = callbacks->on_closed;
	return ring_add(source, &tx->end, heard_by);
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
	if (!peal_source_is_ring(source))
		return -EINVAL;
	peal_end_hangup(source->of.ring.end, reason);
	peal_source_schedule(source);
	peal_wake_unless_running(loop);
	return 0;
}
