/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One ring: a stream of items, each its own number. Either end blocks, or it
 * reserves and arms and has a loop of its own; it may leave early, die at any
 * step, and be taken over by another one.
 */
#include <errno.h>
#include <stdlib.h>

#include "../../ring/internal.h"
#include "kernel.h"
#include "scenario.h"

#define SPAN 60 /* steps in which one dies */

enum style {
	BLOCKS, /* peal_*_wait() */
	POLLS,	/* a loop that clears */
	EDGES,	/* a loop that never clears, edge-triggered */
	WALKS,	/* put and get, as in POLLS */
	STYLES
};

struct end_of {
	enum style style;
	size_t batch, watermark;
	bool barriers, unable, toggles;
	uint64_t spin, fails_at;
	int timeout_ms;
	int lifeline; /* of the other end, or -1 */
	int thread;
	uint64_t done;	     /* items */
	uint64_t crossings;  /* bells that publishing rang */
	bool finished, told; /* it was told of the other's death */
	int epfd;
};

static struct stream {
	struct peal_ring ring;
	struct peal_doorbell data, space;
	uint64_t capacity, total;
	uint64_t leaves; /* items after which the receiver leaves */
	bool drains;
	int victim; /* thread, or -1 */
	struct peal_sender tx;
	struct peal_receiver rx;
	struct end_of s, r;
	bool again; /* somebody takes over */
} st;

static size_t smaller(uint64_t a, uint64_t b)
{
	return (size_t)(a < b ? a : b);
}

static void allow_barriers(struct end_of *e)
{
	if (e->unable)
		kernel_no_barriers(world_self());
}

/* Some change their minds. */
static bool toggle(const struct end_of *e, bool *on)
{
	if (!e->toggles || !one_in(4))
		return false;
	*on = !*on;
	return true;
}

static void maybe_fail(struct end_of *e)
{
	if (e->fails_at && e->done >= e->fails_at)
		kernel_no_barriers(world_self());
}

/* -- the sender */

static void fill(uint64_t *room, uint64_t first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		memory_put(&room[i], first + i);
}

/* @return false: the stream is over */
static bool sender_told(ssize_t ret)
{
	if (ret == -ETIMEDOUT && st.s.timeout_ms >= 0)
		return true;
	if (ret == -EPIPE && (st.r.finished || world_dead(st.r.thread)))
		return false;
	world_fail("the sender is told %zd", ret);
}

static ssize_t sender_sleeps(struct peal_sender *tx)
{
	if (st.s.style == EDGES) {
		edge_sleep(st.s.epfd);
		return 0;
	}
	if (bell_sleep(peal_sender_fd(tx), st.s.lifeline)) {
		st.s.told = true;
		peal_sender_hangup(tx);
		return 0;
	}
	if (peal_sender_clear(tx) < 0)
		world_fail("the space bell cannot be cleared");
	return 0;
}

static ssize_t find_room(struct peal_sender *tx, size_t want, uint64_t **room)
{
	ssize_t n;

	if (st.s.style == BLOCKS)
		return peal_sender_wait(tx, want, st.s.timeout_ms, room);
	n = peal_sender_reserve(tx, want, room);
	if (n != 0)
		return n;
	/* To look for less, and have no use for it, changes nothing: the bell
	 * is owed, unless there is as much now. */
	if (one_in(2))
		n = peal_sender_reserve(tx, draw(1, st.s.batch), room);
	if (n > 0 && tx->end.limit - tx->end.position >= want)
		return 0;
	return n < 0 ? n : sender_sleeps(tx);
}

static ssize_t put_some(struct peal_sender *tx, size_t want)
{
	uint64_t items[4];
	ssize_t n;

	for (size_t i = 0; i < want; i++)
		items[i] = st.s.done + i;
	n = peal_sender_put(tx, items, want);
	if (n < 0 || n == (ssize_t)want || (n > 0 && one_in(2)))
		return n;
	/* It has armed. Where fences are left out nobody would look again, and
	 * of an end that was seen after some were put a socket cannot tell. */
	if ((!tx->end.fence.offered &&
	     tx->end.bell.own.kind != PEAL_DOORBELL_SOCKET) ||
	    peal_sender_arm(tx))
		sender_sleeps(tx);
	else
		world_relax();
	return n;
}

static ssize_t send_some(struct peal_sender *tx, size_t want)
{
	uint64_t *room, rung;
	ssize_t n;

	if (st.s.style == WALKS)
		return put_some(tx, want);
	n = find_room(tx, want, &room);
	if (n <= 0)
		return n;
	n = (ssize_t)smaller((uint64_t)n, draw(1, want));
	fill(room, st.s.done, (size_t)n);
	rung = tx->end.stats.doorbells;
	if (peal_sender_commit(tx, (size_t)n) < 0)
		world_fail("a commit fails");
	st.s.crossings += tx->end.stats.doorbells - rung;
	return n;
}

static void sender_prepare(struct peal_sender *tx)
{
	tx->end.wait.lifeline = st.s.lifeline;
	peal_sender_set_watermark(tx, st.s.watermark);
	if (st.s.spin)
		peal_sender_set_spin(tx, st.s.spin);
	allow_barriers(&st.s);
	if (st.s.barriers)
		peal_sender_set_barriers(tx, true);
}

static void sender_streams(struct peal_sender *tx)
{
	bool on = st.s.barriers;

	while (st.s.done < st.total) {
		size_t want = smaller(draw(1, st.s.batch),
				      st.total - st.s.done);
		ssize_t n = send_some(tx, want);

		if (n < 0 && !sender_told(n))
			break;
		st.s.done += n > 0 ? (uint64_t)n : 0;
		maybe_fail(&st.s);
		if (!toggle(&st.s, &on))
			continue;
		peal_sender_set_barriers(tx, on);
		if (!on && tx->end.fence.elided)
			world_fail("the sender goes on without fences");
	}
	if (st.drains) {
		int ret = peal_sender_drain(tx, -1);

		if (ret < 0)
			sender_told(ret);
		else if (memory_newest(&tx->end.peer->position) != st.s.done)
			world_fail("drained, and it is not");
	}
	/* Before the call, for it may be seen before it returns. */
	st.s.finished = true;
	peal_sender_finish(tx);
}

static void sender(void *user)
{
	(void)user;
	sender_prepare(&st.tx);
	sender_streams(&st.tx);
}

/* -- the receiver */

static void take_items(const uint64_t *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t item = memory_get(&items[i]);

		if (item != st.r.done + i)
			world_fail("item %llu reads %lld",
				   (unsigned long long)(st.r.done + i),
				   (long long)item);
	}
}

static void take_and_release(struct peal_receiver *rx, const uint64_t *items,
			     size_t n)
{
	uint64_t rung = rx->end.stats.doorbells;

	take_items(items, n);
	if (peal_receiver_release(rx, n) < 0)
		world_fail("a release fails");
	st.r.crossings += rx->end.stats.doorbells - rung;
	st.r.done += n;
}

static void receiver_sleeps(struct peal_receiver *rx)
{
	if (st.r.style == EDGES) {
		edge_sleep(st.r.epfd);
		return;
	}
	if (bell_sleep(peal_receiver_fd(rx), st.r.lifeline)) {
		st.r.told = true;
		peal_receiver_hangup(rx);
		return;
	}
	if (peal_receiver_clear(rx) < 0)
		world_fail("the data bell cannot be cleared");
}

/* @return -EAGAIN, try again */
static ssize_t arm_and_sleep(struct peal_receiver *rx)
{
	if (peal_receiver_arm(rx))
		receiver_sleeps(rx);
	else
		world_relax(); /* where no barrier is to be had it goes on */
	return -EAGAIN;
}

/* @return as peal_receiver_wait(), but -EAGAIN for try again */
static ssize_t peek_or_sleep(struct peal_receiver *rx, const uint64_t **items)
{
	ssize_t n = peal_receiver_peek(rx, items);

	if (n != 0)
		return n;
	if (peal_receiver_ended(rx))
		return 0;
	return arm_and_sleep(rx);
}

static ssize_t get_some(struct peal_receiver *rx)
{
	uint64_t items[4];
	ssize_t n = peal_receiver_get(rx, items, draw(1, st.r.batch));

	for (ssize_t i = 0; i < n; i++)
		if (items[i] != st.r.done++)
			world_fail("item %llu reads %lld",
				   (unsigned long long)st.r.done - 1,
				   (long long)items[i]);
	if (n != 0)
		return n < 0 ? n : -EAGAIN;
	if (peal_receiver_ended(rx))
		return 0;
	return arm_and_sleep(rx);
}

static ssize_t find_items(struct peal_receiver *rx, const uint64_t **items)
{
	if (st.r.style == WALKS)
		return get_some(rx);
	if (st.r.style != BLOCKS)
		return peek_or_sleep(rx, items);
	return peal_receiver_wait(rx, draw(1, st.r.batch), st.r.timeout_ms,
				  items);
}

/* @return false: the stream is over */
static bool receiver_told(ssize_t ret)
{
	if (ret == -EAGAIN || (ret == -ETIMEDOUT && st.r.timeout_ms >= 0))
		return true;
	if (ret == 0 && (st.s.finished || st.r.told))
		return false;
	if (ret == -EPIPE && world_dead(st.s.thread) && !st.again) {
		st.r.told = true;
		return false;
	}
	world_fail("the receiver is told %zd", ret);
}

static void receiver_prepare(struct peal_receiver *rx)
{
	rx->end.wait.lifeline = st.r.lifeline;
	peal_receiver_set_watermark(rx, st.r.watermark);
	if (st.r.spin)
		peal_receiver_set_spin(rx, st.r.spin);
	allow_barriers(&st.r);
	if (st.r.barriers)
		peal_receiver_set_barriers(rx, true);
}

static void receiver_streams(struct peal_receiver *rx)
{
	bool on = st.r.barriers;

	while (st.r.done < st.leaves) {
		const uint64_t *items = NULL;
		ssize_t n = find_items(rx, &items);

		if (n <= 0 && !receiver_told(n))
			break;
		if (n > 0) {
			n = (ssize_t)draw(1, (uint64_t)n);
			take_and_release(rx, items, (size_t)n);
		}
		maybe_fail(&st.r);
		if (!toggle(&st.r, &on))
			continue;
		peal_receiver_set_barriers(rx, on);
		if (!on && rx->end.fence.elided)
			world_fail("the receiver goes on without fences");
	}
	st.r.finished = true;
	peal_receiver_finish(rx);
}

static void receiver(void *user)
{
	(void)user;
	receiver_prepare(&st.rx);
	receiver_streams(&st.rx);
}

/* -- who takes over */

static bool is_gone(void *user)
{
	return world_gone(*(int *)user);
}

/* @return whether the one before has died, and so somebody has to */
static bool take_over(int *before)
{
	world_sleep(is_gone, before, UINT64_MAX);
	world_inherit();
	return world_dead(*before);
}

static void sender_again(void *before)
{
	struct peal_sender tx;
	int ret;

	if (!take_over(before))
		return;
	ret = peal_sender_attach(&tx, &st.ring, &st.data, &st.space);
	if (ret == -EPIPE && st.s.finished)
		return;
	if (ret < 0)
		world_fail("to attach a sender again says %d", ret);
	st.s.done = tx.end.position;
	st.s.barriers &= one_in(2);
	sender_prepare(&tx);
	sender_streams(&tx);
}

static void receiver_again(void *before)
{
	struct peal_receiver rx;
	int ret;

	if (!take_over(before))
		return;
	ret = peal_receiver_attach(&rx, &st.ring, &st.data, &st.space);
	if (ret == -EPIPE && st.r.finished)
		return;
	if (ret < 0)
		world_fail("to attach a receiver again says %d", ret);
	st.r.done = rx.end.position;
	st.r.barriers &= one_in(2);
	receiver_prepare(&rx);
	receiver_streams(&rx);
}

/* -- what is drawn */

static void draw_end(struct end_of *e, int styles)
{
	e->style = (enum style)world_random((uint64_t)styles);
	e->batch = (size_t)draw(1, st.capacity);
	e->watermark = one_in(2) ? 1 : (size_t)draw(1, st.capacity);
	e->timeout_ms = one_in(4) ? (int)draw(1, 3) : -1;
	e->spin = one_in(16);
	e->lifeline = -1;
}

static void attach(void)
{
	if (peal_sender_attach(&st.tx, &st.ring, &st.data, &st.space) < 0 ||
	    peal_receiver_attach(&st.rx, &st.ring, &st.data, &st.space) < 0)
		abort();
	if (st.s.style == EDGES)
		st.s.epfd = edge_make(st.space.wait_fd);
	if (st.r.style == EDGES)
		st.r.epfd = edge_make(st.data.wait_fd);
}

static void begin(int styles)
{
	st = (struct stream){ .capacity = 1u << world_random(3),
			      .total = draw(1, 6),
			      .leaves = UINT64_MAX,
			      .victim = -1 };
	draw_end(&st.s, styles);
	draw_end(&st.r, styles);
	st.drains = st.s.style == BLOCKS && one_in(4);
	if (one_in(4))
		st.leaves = draw(0, st.total);
	kernel_interrupt(one_in(4) ? 8 : 0);
	if (one_in(2))
		kernel_plain_bells(true);
	st.ring = ring_make(0, st.capacity);
	bells_make(&st.data, &st.space);
	attach();
	st.s.thread = world_thread("sender", sender, NULL);
	st.r.thread = world_thread("receiver", receiver, NULL);
}

void streams_begin(void)
{
	begin(STYLES);
}

static void draw_barriers(struct end_of *e)
{
	e->barriers = !one_in(8);
	e->unable = one_in(8);
	e->toggles = one_in(3);
	if (e->style == BLOCKS && one_in(8)) /* others only look again */
		e->fails_at = draw(1, st.total);
}

void barriers_begin(void)
{
	begin(STYLES);
	st.total += draw(0, 8);
	draw_barriers(&st.s);
	draw_barriers(&st.r);
}

static void choose_victim(void)
{
	st.victim = one_in(2) ? st.s.thread : st.r.thread;
	world_kill(st.victim, draw(1, one_in(2) ? SPAN : 3 * SPAN));
	if (!one_in(3)) {
		draw_barriers(&st.s);
		draw_barriers(&st.r);
		st.total += draw(0, 8);
	}
}

void deaths_begin(void)
{
	begin(2);
	choose_victim();
	st.s.lifeline = kernel_lifeline(st.r.thread);
	st.r.lifeline = kernel_lifeline(st.s.thread);
}

void successors_begin(void)
{
	static int before[2];
	void (*takes)(void *before);

	begin(2);
	st.again = true;
	choose_victim();
	takes = st.victim == st.s.thread ? sender_again : receiver_again;
	before[0] = st.victim;
	before[1] = world_thread("second", takes, &before[0]);
	if (one_in(2))
		return;
	world_kill(before[1], draw(1, SPAN));
	world_thread("third", takes, &before[1]);
}

/* -- what has to be true */

static void check_end(const struct peal_end *end, const struct peal_end *peer,
		      uint64_t crossings, const char *name)
{
	if (end->error == -EPROTO || peer->end_reason == -EPROTO)
		scenario_wrong("the %s is taken for a breaker", name);
	if (end->stats.bell_errors)
		scenario_wrong("the %s could not ring", name);
	if (st.victim < 0 && crossings > peer->stats.stalls)
		scenario_wrong("the %s rang %llu times for %llu positions",
			       name, (unsigned long long)crossings,
			       (unsigned long long)peer->stats.stalls);
}

static void check_both(void)
{
	check_end(&st.tx.end, &st.rx.end, st.s.crossings, "sender");
	check_end(&st.rx.end, &st.tx.end, st.r.crossings, "receiver");
}

void streams_end(void)
{
	check_both();
	if (st.leaves > st.total && st.r.done != st.total)
		scenario_wrong("%llu items of %llu came",
			       (unsigned long long)st.r.done,
			       (unsigned long long)st.total);
}

void deaths_end(void)
{
	const struct peal_page *page = st.ring.sender_page;
	uint64_t sent = memory_newest(&page->position);

	check_both();
	if (st.again && sent != st.total && !st.r.finished)
		scenario_wrong("%llu items were sent",
			       (unsigned long long)sent);
	/* A receiver that is dead or has left has no use for the rest. */
	if (st.r.done < st.leaves && (st.again || !world_dead(st.r.thread)) &&
	    st.r.done != sent)
		scenario_wrong("%llu items of %llu came",
			       (unsigned long long)st.r.done,
			       (unsigned long long)sent);
}
