/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two rings on one reactor, whose other ends are threads; and another thread
 * that defers calls. The reactor runs by itself, or in a loop of ours that
 * watches its one fd. In `groups` the bells are of one group.
 */
#include <errno.h>
#include <stdlib.h>

#include <peal/group.h>
#include <peal/sources.h>

#include "kernel.h"
#include "scenario.h"

#define RINGS 2
#define SLOTS 8

struct leg {
	struct peal_ring ring;
	struct peal_doorbell data, space;
	struct peal_sender tx;
	struct peal_receiver rx;
	struct peal_source source;
	bool sends; /* the reactor does */
	bool blocks, walks, barriers[2], closed;
	uint64_t waited; /* transitions that a blocking call has found */
	uint64_t capacity, total, batch, most, sent, got;
	size_t watermark[2];
};

static struct {
	struct peal_reactor loop;
	struct peal_slot slots[SLOTS];
	struct peal_group group;
	struct peal_group_marks marks;
	void *notify_args[RINGS];
	struct peal_source grouped, deferred;
	struct leg legs[RINGS];
	uint64_t posts, seen;
	uint64_t posted; /* shared; of which a call is told by this alone */
	bool dispatches, barriers;
} rs;

static void maybe_stop(void)
{
	if (rs.legs[0].closed && rs.legs[1].closed && rs.seen == rs.posts)
		peal_reactor_stop(&rs.loop);
}

/* A blocking call, of which the callbacks of this end know nothing. */
static void wait_in_between(struct leg *leg)
{
	struct peal_end *end = leg->sends ? &leg->tx.end : &leg->rx.end;
	uint64_t before = end->stats.transitions;
	size_t n = (size_t)draw(1, leg->capacity);
	int timeout_ms = (int)draw(0, 2);
	const uint64_t *items;
	uint64_t *room;

	if (leg->closed)
		return;
	if (leg->sends && one_in(2))
		peal_sender_arm(&leg->tx);
	else if (leg->sends)
		peal_sender_wait(&leg->tx, n, timeout_ms, &room);
	else if (one_in(2))
		peal_receiver_arm(&leg->rx);
	else
		peal_receiver_wait(&leg->rx, n, timeout_ms, &items);
	leg->waited += end->stats.transitions - before;
}

static void on_call(struct peal_source *source, void *user)
{
	(void)source, (void)user;
	rs.seen = memory_get(&rs.posted);
	if (one_in(2))
		wait_in_between(&rs.legs[world_random(RINGS)]);
	maybe_stop();
}

static void closed(struct leg *leg, int reason)
{
	if (reason != 0)
		world_fail("a ring is closed: %d", reason);
	leg->closed = true;
	maybe_stop();
}

/* -- the reactor's ends */

static void take(struct leg *leg, const uint64_t *items, size_t n)
{
	for (size_t i = 0; i < n; i++, leg->got++) {
		uint64_t item = memory_get(&items[i]);

		if (item != leg->got)
			world_fail("item %llu reads %lld",
				   (unsigned long long)leg->got,
				   (long long)item);
	}
}

static void take_some(struct leg *leg, size_t most)
{
	const uint64_t *items;
	ssize_t n = peal_receiver_peek(&leg->rx, &items);

	if (n < 0)
		world_fail("peek says %zd", n);
	if (n > (ssize_t)most)
		n = (ssize_t)most;
	take(leg, items, (size_t)n);
	if (peal_receiver_release(&leg->rx, (size_t)n) < 0)
		world_fail("a release fails");
}

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct leg *leg = user;

	take_some(leg, (size_t)draw(1, leg->capacity));
	if (one_in(2))
		return PEAL_MORE;
	/* What is left when the end was seen is dropped. */
	while (peal_receiver_used(rx) > 0 && (rx->end.ended || one_in(2)))
		take_some(leg, leg->capacity);
	if (peal_receiver_used(rx) > 0)
		return rx->end.ended ? PEAL_MORE
				     : PEAL_WAIT(draw(1, leg->capacity));
	return PEAL_DONE;
}

static void receiver_closed(struct peal_receiver *rx, int reason, void *user)
{
	(void)rx;
	closed(user, reason);
}

/* @return false: there was too little room, and it has armed */
static bool put_some(struct leg *leg, size_t want)
{
	uint64_t items[4];
	ssize_t n;

	for (size_t i = 0; i < want; i++)
		items[i] = leg->sent + i;
	n = peal_sender_put(&leg->tx, items, want);
	if (n < 0)
		world_fail("a sender is told %zd", n);
	leg->sent += (uint64_t)n;
	return n == (ssize_t)want;
}

/* @return as put_some() */
static bool send_some(struct leg *leg)
{
	uint64_t *room;
	size_t want = (size_t)draw(1, leg->batch);
	ssize_t n;

	if (want > leg->total - leg->sent)
		want = (size_t)(leg->total - leg->sent);
	if (leg->walks && (leg->sends || !leg->blocks))
		return put_some(leg, want);
	if (leg->blocks && !leg->sends)
		n = peal_sender_wait(&leg->tx, want, -1, &room);
	else
		n = peal_sender_reserve(&leg->tx, want, &room);
	if (n == 0)
		return false;
	if (n < 0)
		world_fail("a sender is told %zd", n);
	if (n > (ssize_t)want)
		n = (ssize_t)want;
	for (ssize_t i = 0; i < n; i++)
		memory_put(&room[i], leg->sent++);
	if (peal_sender_commit(&leg->tx, (size_t)n) < 0)
		world_fail("a commit fails");
	return true;
}

static long on_writable(struct peal_sender *tx, void *user)
{
	struct leg *leg = user;

	while (leg->sent < leg->total) {
		if (!send_some(leg) && one_in(2))
			return PEAL_DONE; /* it has armed */
		if (one_in(4))
			return PEAL_WAIT(draw(1, leg->capacity));
		if (one_in(2))
			return PEAL_MORE;
	}
	peal_sender_finish(tx);
	return PEAL_DONE;
}

static void sender_closed(struct peal_sender *tx, int reason, void *user)
{
	(void)tx;
	closed(user, reason);
}

static int add(struct leg *leg)
{
	if (leg->barriers[0] && leg->sends)
		peal_sender_set_barriers(&leg->tx, true);
	if (leg->barriers[1] && !leg->sends)
		peal_receiver_set_barriers(&leg->rx, true);
	if (leg->sends)
		return peal_reactor_add_sender(
			&rs.loop, &leg->source, &leg->tx,
			&(struct peal_sender_callbacks){
				.on_writable = on_writable,
				.on_closed = sender_closed,
				.user = leg,
			});
	return peal_reactor_add_receiver(&rs.loop, &leg->source, &leg->rx,
					 &(struct peal_receiver_callbacks){
						 .on_readable = on_readable,
						 .on_closed = receiver_closed,
						 .user = leg,
					 });
}

static void reactor(void *user)
{
	(void)user;
	for (int i = 0; i < RINGS; i++)
		if (add(&rs.legs[i]) < 0)
			world_fail("a ring cannot be added");
	if (!rs.dispatches && peal_reactor_run(&rs.loop) < 0)
		world_fail("the reactor fails");
	while (rs.dispatches && !rs.loop.stop) {
		bell_sleep(peal_reactor_fd(&rs.loop), -1);
		if (peal_reactor_dispatch(&rs.loop) < 0)
			world_fail("the reactor fails");
	}
}

/* -- the threads' ends */

static void sender(void *user)
{
	struct leg *leg = user;

	if (leg->barriers[0])
		peal_sender_set_barriers(&leg->tx, true);
	while (leg->sent < leg->total) {
		if (send_some(leg))
			continue;
		/* A put leaves the look that is due later to an arm. */
		if (leg->walks && leg->tx.end.fence.offered &&
		    !peal_sender_arm(&leg->tx)) {
			world_relax();
			continue;
		}
		bell_sleep(peal_sender_fd(&leg->tx), -1);
		peal_sender_clear(&leg->tx);
	}
	peal_sender_finish(&leg->tx);
}

static void receiver(void *user)
{
	struct leg *leg = user;
	const uint64_t *items;
	ssize_t n;

	if (leg->barriers[1])
		peal_receiver_set_barriers(&leg->rx, true);
	while ((n = peal_receiver_wait(&leg->rx, draw(1, leg->batch), -1,
				       &items)) > 0) {
		n = (ssize_t)draw(1, (uint64_t)n);
		take(leg, items, (size_t)n);
		if (peal_receiver_release(&leg->rx, (size_t)n) < 0)
			world_fail("a release fails");
	}
	if (n < 0)
		world_fail("a receiver is told %zd", n);
	peal_receiver_finish(&leg->rx);
}

static void poster(void *user)
{
	(void)user;
	for (uint64_t i = 1; i <= rs.posts; i++) {
		memory_put(&rs.posted, i);
		peal_reactor_defer(&rs.loop, &rs.deferred);
	}
}

/* -- what is drawn */

static void make_leg(int i, bool grouped)
{
	struct leg *leg = &rs.legs[i];

	leg->capacity = (uint64_t)1 << world_random(3);
	leg->total = draw(1, 5);
	leg->batch = draw(1, leg->capacity);
	leg->watermark[0] = one_in(2) ? 1 : (size_t)draw(1, leg->capacity);
	leg->watermark[1] = one_in(2) ? 1 : (size_t)draw(1, leg->capacity);
	leg->sends = !grouped && one_in(3);
	leg->blocks = one_in(2);
	leg->walks = one_in(3);
	leg->barriers[0] = rs.barriers && !one_in(4);
	leg->barriers[1] = rs.barriers && !one_in(4);
	leg->ring = ring_make(i, leg->capacity);
	bells_make(&leg->data, &leg->space);
	if (grouped && peal_group_bell(&rs.group, &leg->data) < 0)
		abort();
	if (peal_sender_attach(&leg->tx, &leg->ring, &leg->data, &leg->space) <
		    0 ||
	    peal_receiver_attach(&leg->rx, &leg->ring, &leg->data,
				 &leg->space) < 0)
		abort();
	peal_sender_set_watermark(&leg->tx, leg->watermark[0]);
	peal_receiver_set_watermark(&leg->rx, leg->watermark[1]);
	if (leg->sends)
		world_thread(i ? "receiver1" : "receiver0", receiver, leg);
	else
		world_thread(i ? "sender1" : "sender0", sender, leg);
}

static void share(bool grouped)
{
	memory_share(&rs.posted, sizeof(rs.posted), "posted");
	memory_share(&rs.loop.calls, sizeof(rs.loop.calls), "calls");
	memory_share(&rs.loop.asleep, sizeof(rs.loop.asleep), "asleep");
	memory_share(&rs.loop.awoken, sizeof(rs.loop.awoken), "awoken");
	memory_share(&rs.deferred.deferred, sizeof(rs.deferred.deferred),
		     "deferred");
	if (!grouped)
		return;
	memory_share(&rs.marks.words, sizeof(rs.marks.words), "words");
	memory_share(&rs.marks.asleep, sizeof(rs.marks.asleep), "group_asleep");
	memory_share(&rs.marks.rings[0], sizeof(rs.marks.rings[0]), "rings");
}

static void begin(bool grouped)
{
	memset(&rs, 0, sizeof(rs));
	rs.posts = one_in(2) ? 0 : draw(1, 3);
	rs.dispatches = one_in(3);
	rs.barriers = one_in(3);
	if (peal_reactor_init(&rs.loop, rs.slots, SLOTS) < 0 ||
	    peal_reactor_add_deferred(&rs.loop, &rs.deferred, on_call, NULL) <
		    0)
		abort();
	if (grouped &&
	    (peal_group_init(&rs.group, &rs.marks, rs.notify_args, RINGS) < 0 ||
	     peal_reactor_add_group(&rs.loop, &rs.grouped, &rs.group) < 0))
		abort();
	if (one_in(4))
		peal_reactor_set_spin(&rs.loop, 200);
	for (int i = 0; i < RINGS; i++)
		make_leg(i, grouped);
	share(grouped);
	kernel_interrupt(one_in(4) ? 8 : 0);
	world_thread("reactor", reactor, NULL);
	if (rs.posts)
		world_thread("poster", poster, NULL);
}

void reactors_begin(void)
{
	begin(false);
}

void groups_begin(void)
{
	begin(true);
}

void reactors_end(void)
{
	for (int i = 0; i < RINGS; i++) {
		const struct leg *leg = &rs.legs[i];
		const struct peal_source_stats *stats = &leg->source.stats;

		if (leg->got != leg->total)
			scenario_wrong("%llu items of %llu came",
				       (unsigned long long)leg->got,
				       (unsigned long long)leg->total);
		if (stats->quarantines)
			scenario_wrong("a ring is in quarantine");
		if (!leg->sends && stats->transitions + leg->waited !=
					   leg->rx.end.stats.transitions)
			scenario_wrong("%llu callbacks for %llu transitions",
				       (unsigned long long)stats->transitions,
				       (unsigned long long)
					       leg->rx.end.stats.transitions);
	}
	if (rs.seen != rs.posts)
		scenario_wrong("a call is not made");
}
