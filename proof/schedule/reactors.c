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

struct pair {
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
	struct pair pairs[RINGS];
	uint64_t posts, seen;
	uint64_t posted; /* shared; of which a call is told by this alone */
	bool dispatches, barriers;
} rs;

static void maybe_stop(void)
{
	if (rs.pairs[0].closed && rs.pairs[1].closed && rs.seen == rs.posts)
		peal_reactor_stop(&rs.loop);
}

/* A blocking call, of which the callbacks of this end know nothing. */
static void wait_in_between(struct pair *pair)
{
	struct peal_end *end = pair->sends ? &pair->tx.end : &pair->rx.end;
	uint64_t before = end->stats.transitions;
	size_t n = (size_t)draw(1, pair->capacity);
	int timeout_ms = (int)draw(0, 2);
	const uint64_t *items;
	uint64_t *room;

	if (pair->closed)
		return;
	if (pair->sends && one_in(2))
		peal_sender_arm(&pair->tx);
	else if (pair->sends)
		peal_sender_wait(&pair->tx, n, timeout_ms, &room);
	else if (one_in(2))
		peal_receiver_arm(&pair->rx);
	else
		peal_receiver_wait(&pair->rx, n, timeout_ms, &items);
	pair->waited += end->stats.transitions - before;
}

static void on_call(struct peal_source *source, void *user)
{
	(void)source, (void)user;
	rs.seen = memory_get(&rs.posted);
	if (one_in(2))
		wait_in_between(&rs.pairs[world_random(RINGS)]);
	maybe_stop();
}

static void closed(struct pair *pair, int reason)
{
	if (reason != 0)
		world_fail("a ring is closed: %d", reason);
	pair->closed = true;
	maybe_stop();
}

/* -- the reactor's ends */

static void take_pair_items(struct pair *pair, const uint64_t *items, size_t n)
{
	for (size_t i = 0; i < n; i++, pair->got++) {
		uint64_t item = memory_get(&items[i]);

		if (item != pair->got)
			world_fail("item %llu reads %lld",
				   (unsigned long long)pair->got,
				   (long long)item);
	}
}

static void take_some(struct pair *pair, size_t most)
{
	const uint64_t *items;
	ssize_t n = peal_receiver_peek(&pair->rx, &items);

	if (n < 0)
		world_fail("peek says %zd", n);
	if (n > (ssize_t)most)
		n = (ssize_t)most;
	take_pair_items(pair, items, (size_t)n);
	if (peal_receiver_release(&pair->rx, (size_t)n) < 0)
		world_fail("a release fails");
}

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct pair *pair = user;

	take_some(pair, (size_t)draw(1, pair->capacity));
	if (one_in(2))
		return PEAL_MORE;
	/* What is left when the end was seen is dropped. */
	while (peal_receiver_used(rx) > 0 && (rx->end.ended || one_in(2)))
		take_some(pair, pair->capacity);
	if (peal_receiver_used(rx) > 0)
		return rx->end.ended ? PEAL_MORE
				     : PEAL_WAIT(draw(1, pair->capacity));
	return PEAL_DONE;
}

static void receiver_closed(struct peal_receiver *rx, int reason, void *user)
{
	(void)rx;
	closed(user, reason);
}

/* @return false: there was too little room, and it has armed */
static bool put_some(struct pair *pair, size_t want)
{
	uint64_t items[4];
	ssize_t n;

	for (size_t i = 0; i < want; i++)
		items[i] = pair->sent + i;
	n = peal_sender_put(&pair->tx, items, want);
	if (n < 0)
		world_fail("a sender is told %zd", n);
	pair->sent += (uint64_t)n;
	return n == (ssize_t)want;
}

/* @return as put_some() */
static bool send_some(struct pair *pair)
{
	uint64_t *room;
	size_t want = (size_t)draw(1, pair->batch);
	ssize_t n;

	if (want > pair->total - pair->sent)
		want = (size_t)(pair->total - pair->sent);
	if (pair->walks && (pair->sends || !pair->blocks))
		return put_some(pair, want);
	if (pair->blocks && !pair->sends)
		n = peal_sender_wait(&pair->tx, want, -1, &room);
	else
		n = peal_sender_reserve(&pair->tx, want, &room);
	if (n == 0)
		return false;
	if (n < 0)
		world_fail("a sender is told %zd", n);
	if (n > (ssize_t)want)
		n = (ssize_t)want;
	for (ssize_t i = 0; i < n; i++)
		memory_put(&room[i], pair->sent++);
	if (peal_sender_commit(&pair->tx, (size_t)n) < 0)
		world_fail("a commit fails");
	return true;
}

static long on_writable(struct peal_sender *tx, void *user)
{
	struct pair *pair = user;

	while (pair->sent < pair->total) {
		if (!send_some(pair) && one_in(2))
			return PEAL_DONE; /* it has armed */
		if (one_in(4))
			return PEAL_WAIT(draw(1, pair->capacity));
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

static int add(struct pair *pair)
{
	if (pair->barriers[0] && pair->sends)
		peal_sender_set_barriers(&pair->tx, true);
	if (pair->barriers[1] && !pair->sends)
		peal_receiver_set_barriers(&pair->rx, true);
	if (pair->sends)
		return peal_reactor_add_sender(
			&rs.loop, &pair->source, &pair->tx,
			&(struct peal_sender_callbacks){
				.on_writable = on_writable,
				.on_closed = sender_closed,
				.user = pair,
			});
	return peal_reactor_add_receiver(&rs.loop, &pair->source, &pair->rx,
					 &(struct peal_receiver_callbacks){
						 .on_readable = on_readable,
						 .on_closed = receiver_closed,
						 .user = pair,
					 });
}

static void reactor(void *user)
{
	(void)user;
	for (int i = 0; i < RINGS; i++)
		if (add(&rs.pairs[i]) < 0)
			world_fail("a ring cannot be added");
	if (!rs.dispatches && peal_reactor_run(&rs.loop) < 0)
		world_fail("the reactor fails");
	while (rs.dispatches && !rs.loop.wake.stop) {
		bell_sleep(peal_reactor_fd(&rs.loop), -1);
		if (peal_reactor_dispatch(&rs.loop) < 0)
			world_fail("the reactor fails");
	}
}

/* -- the threads' ends */

static void sender(void *user)
{
	struct pair *pair = user;

	if (pair->barriers[0])
		peal_sender_set_barriers(&pair->tx, true);
	while (pair->sent < pair->total) {
		if (send_some(pair))
			continue;
		/* A put leaves the look that is due later to an arm. */
		if (pair->walks && pair->tx.end.fence.offered &&
		    !peal_sender_arm(&pair->tx)) {
			world_relax();
			continue;
		}
		bell_sleep(peal_sender_fd(&pair->tx), -1);
		peal_sender_clear(&pair->tx);
	}
	peal_sender_finish(&pair->tx);
}

static void receiver(void *user)
{
	struct pair *pair = user;
	const uint64_t *items;
	ssize_t n;

	if (pair->barriers[1])
		peal_receiver_set_barriers(&pair->rx, true);
	while ((n = peal_receiver_wait(&pair->rx, draw(1, pair->batch), -1,
				       &items)) > 0) {
		n = (ssize_t)draw(1, (uint64_t)n);
		take_pair_items(pair, items, (size_t)n);
		if (peal_receiver_release(&pair->rx, (size_t)n) < 0)
			world_fail("a release fails");
	}
	if (n < 0)
		world_fail("a receiver is told %zd", n);
	peal_receiver_finish(&pair->rx);
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

static void draw_pair(int i, bool grouped)
{
	struct pair *pair = &rs.pairs[i];

	pair->capacity = (uint64_t)1 << world_random(3);
	pair->total = draw(1, 5);
	pair->batch = draw(1, pair->capacity);
	pair->watermark[0] = one_in(2) ? 1 : (size_t)draw(1, pair->capacity);
	pair->watermark[1] = one_in(2) ? 1 : (size_t)draw(1, pair->capacity);
	pair->sends = !grouped && one_in(3);
	pair->blocks = one_in(2);
	pair->walks = one_in(3);
	pair->barriers[0] = rs.barriers && !one_in(4);
	pair->barriers[1] = rs.barriers && !one_in(4);
	pair->ring = ring_make(i, pair->capacity);
	bells_make(&pair->data, &pair->space);
	if (grouped && peal_group_bell(&rs.group, &pair->data) < 0)
		abort();
	if (peal_sender_attach(&pair->tx, &pair->ring, &pair->data,
			       &pair->space) < 0 ||
	    peal_receiver_attach(&pair->rx, &pair->ring, &pair->data,
				 &pair->space) < 0)
		abort();
	peal_sender_set_watermark(&pair->tx, pair->watermark[0]);
	peal_receiver_set_watermark(&pair->rx, pair->watermark[1]);
	if (pair->sends)
		world_thread(i ? "receiver1" : "receiver0", receiver, pair);
	else
		world_thread(i ? "sender1" : "sender0", sender, pair);
}

static void share(bool grouped)
{
	memory_share(&rs.posted, sizeof(rs.posted), "posted");
	memory_share(&rs.loop.wake.deferred, sizeof(rs.loop.wake.deferred),
		     "deferred");
	memory_share(&rs.loop.wake.asleep, sizeof(rs.loop.wake.asleep),
		     "asleep");
	memory_share(&rs.loop.wake.written, sizeof(rs.loop.wake.written),
		     "written");
	memory_share(&rs.deferred.deferral.pending,
		     sizeof(rs.deferred.deferral.pending), "pending");
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
		draw_pair(i, grouped);
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
		const struct pair *pair = &rs.pairs[i];
		const struct peal_source_stats *stats = &pair->source.stats;

		if (pair->got != pair->total)
			scenario_wrong("%llu items of %llu came",
				       (unsigned long long)pair->got,
				       (unsigned long long)pair->total);
		if (stats->quarantines)
			scenario_wrong("a ring is in quarantine");
		if (!pair->sends && stats->transitions + pair->waited !=
					    pair->rx.end.stats.transitions)
			scenario_wrong("%llu callbacks for %llu transitions",
				       (unsigned long long)stats->transitions,
				       (unsigned long long)
					       pair->rx.end.stats.transitions);
	}
	if (rs.seen != rs.posts)
		scenario_wrong("a call is not made");
}
