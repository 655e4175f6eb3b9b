/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Senders and receivers. A ring that waits is called back when the check of
 * ring/ says that the wait is over, and only then; ring/ counts these as
 * transitions, and here they are counted as callbacks.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "../ring/endpoint.h"
#include "internal.h"

static void closed(struct peal_source *source, int reason)
{
	struct peal_source copy = *source;

	/* Before the callback, so that it may do with the memory as it likes.*/
	peal_reactor_remove(source->reactor, source);
	if (copy.kind == PEAL_KIND_RECEIVER && copy.callback.receiver.on_closed)
		copy.callback.receiver.on_closed(
			(struct peal_receiver *)copy.end, reason, copy.user);
	else if (copy.kind == PEAL_KIND_SENDER &&
		 copy.callback.sender.on_closed)
		copy.callback.sender.on_closed((struct peal_sender *)copy.end,
					       reason, copy.user);
}

static long call(struct peal_source *source, bool more)
{
	struct peal_reactor *loop = source->reactor;

	loop->made++;
	loop->stats.callbacks++;
	loop->stats.mores += more;
	if (source->kind == PEAL_KIND_RECEIVER)
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
	peal_end_prepare(source->end, want, beyond);
	look_again(source);
}

static void follow(struct peal_source *source, long verdict)
{
	struct peal_end *end = source->end;

	if (verdict == PEAL_MORE) {
		source->more = true;
		peal_source_ready(source);
	} else if (verdict != PEAL_DONE) {
		drained(source, (uint64_t)verdict, false);
	} else if (!end->sender) {
		drained(source, end->watermark, true);
	} else if (end->waiting) {
		/* A reserve fell short and has armed; the bell may have come
		 * while it stood in line. */
		look_again(source);
	}
}

/* The source may be closed by what the callback has said or done. */
static void judge(struct peal_source *source, long verdict)
{
	struct peal_end *end = source->end;

	if (end->error)
		closed(source, end->error == -EPIPE ? 0 : end->error);
	else if (verdict < PEAL_MORE ||
		 (verdict > 0 && (uint64_t)verdict > end->capacity))
		closed(source, -EINVAL);
	else if (end->ended && (end->sender || verdict != PEAL_MORE ||
				peal_end_known(end) == 0))
		closed(source, end->end_reason);
	else
		follow(source, verdict);
}

/* Nothing to do. If somebody else took what it waited for, it waits anew. */
static void found_nothing(struct peal_source *source)
{
	struct peal_end *end = source->end;

	source->reactor->stats.spurious++;
	if (end->waiting && peal_end_reached(end))
		drained(source, end->want, false);
}

void peal_ring_turn(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;
	struct peal_end *end = source->end;
	uint64_t token = peal_source_token(source);
	bool more = source->more;
	long verdict;

	source->more = false;
	if (!more) {
		enum peal_found found = peal_end_check(end);

		if (found == PEAL_FOUND_SHORT) {
			found_nothing(source);
			return;
		}
		if (found == PEAL_FOUND_BROKEN) {
			judge(source, PEAL_DONE);
			return;
		}
		if (found == PEAL_FOUND_END &&
		    (end->sender || peal_end_known(end) == 0)) {
			closed(source, end->end_reason);
			return;
		}
		peal_end_settle(end, found);
	}
	verdict = call(source, more);
	if (peal_reactor_here(loop) && peal_source_find(loop, token) == source)
		judge(source, verdict);
}

void peal_rings_arm(struct peal_reactor *loop)
{
	struct peal_link batch;

	do {
		peal_link_init(&batch);
		peal_link_splice(&batch, &loop->drained);
		/* One for all. Pairs with the fences in peal_end_publish() and
		 * peal_reactor_defer(). */
		peal_end_fence();
		while (!peal_link_empty(&batch)) {
			struct peal_source *source = peal_link_take(&batch);
			struct peal_end *end = source->end;

			if (peal_end_check(end) != PEAL_FOUND_SHORT)
				peal_source_ready(source);
			else if (peal_end_reached(end))
				drained(source, end->want, false);
		}
	} while (!peal_link_empty(&loop->drained));
}

static int add(struct peal_source *source, struct peal_end *end, void *user)
{
	struct peal_reactor *loop = source->reactor;
	int ret;

	source->end = end;
	source->user = user;
	ret = peal_source_watch(source, end->waits_on.wait_fd,
				EPOLLIN | EPOLLET);
	if (ret < 0) {
		peal_source_leave(source);
		return ret;
	}
	/* What is there already is a transition, too. */
	peal_end_prepare(end, end->watermark, false);
	peal_end_fence();
	if (peal_end_check(end) != PEAL_FOUND_SHORT) {
		peal_source_ready(source);
		peal_reactor_nudge(loop);
	}
	return 0;
}

static bool can_wait(const struct peal_end *end)
{
	return end->waits_on.kind != PEAL_DOORBELL_NONE &&
	       end->waits_on.wait_fd >= 0;
}

int peal_reactor_add_receiver(struct peal_reactor *loop,
			      struct peal_source *source,
			      struct peal_receiver *rx,
			      const struct peal_receiver_callbacks *callbacks)
{
	int ret;

	if (!callbacks->on_readable || !can_wait(&rx->end))
		return -EINVAL;
	ret = peal_source_enter(loop, source, PEAL_KIND_RECEIVER);
	if (ret < 0)
		return ret;
	source->callback.receiver = *callbacks;
	return add(source, &rx->end, callbacks->user);
}

int peal_reactor_add_sender(struct peal_reactor *loop,
			    struct peal_source *source, struct peal_sender *tx,
			    const struct peal_sender_callbacks *callbacks)
{
	int ret;

	if (!callbacks->on_writable || !can_wait(&tx->end))
		return -EINVAL;
	ret = peal_source_enter(loop, source, PEAL_KIND_SENDER);
	if (ret < 0)
		return ret;
	source->callback.sender = *callbacks;
	return add(source, &tx->end, callbacks->user);
}

int peal_reactor_hangup(struct peal_reactor *loop, struct peal_source *source,
			int reason)
{
	if (!peal_reactor_here(loop))
		return -ECHILD;
	if (source->reactor != loop || !source->end)
		return -EINVAL;
	peal_end_hangup(source->end, reason);
	peal_link_remove(&source->link);
	peal_source_ready(source);
	peal_reactor_nudge(loop);
	return 0;
}
