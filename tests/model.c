/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Millions of random operations on four rings of one reactor, half of them as
 * the receiver and half of them as the sender, against a model that says after
 * each whether a callback is due: it comes if and only if it is.
 */
#define _GNU_SOURCE
#include <sched.h>

#include "harness.h"
#include "rig.h"

#define RINGS 4
#define OPERATIONS 1000000

/* What the last callback asked for, and so when the next one is due. */
enum wish {
	WISH_NOTHING,
	WISH_BEYOND,
	WISH_COUNT,
	WISH_MORE
};

struct modelled {
	struct rig rig;
	bool feeds; /* the reactor has the sender, not the receiver */
	enum wish wish;
	uint64_t count, seen;	 /* of the wish */
	uint64_t sent, released; /* items */
	uint64_t capacity, watermark;
	int bells; /* for nothing, since it was added */
	/* A sender outside that fell short, and what it was worth: */
	bool armed;
	uint64_t space_wake;			 /* where it wants head to be */
	bool noticed;				 /* and the receiver knows */
	uint64_t offered_sent, offered_released; /* the last offer made */
};

static struct peal_slot slots[RINGS];
static struct peal_reactor loop;
static struct modelled rings[RINGS];
static uint64_t seed;
static bool honest; /* no bells for nothing, and nobody leaves */
static bool polls;  /* before it arms */
static uint64_t due_calls, more_calls, offers;

static uint64_t below(uint64_t n)
{
	return test_random(&seed) % n;
}

static uint64_t used(const struct modelled *m)
{
	return m->sent - m->released;
}

static uint64_t room(const struct modelled *m)
{
	return m->capacity - used(m);
}

static bool due(const struct modelled *m)
{
	switch (m->wish) {
	case WISH_MORE:
		return true;
	case WISH_BEYOND:
		return used(m) >= m->watermark && m->sent > m->seen;
	case WISH_COUNT:
		return (m->feeds ? room(m) : used(m)) >= m->count;
	default:
		return false;
	}
}

/* Less than what the receiver waits for, but the sender is short of room. */
static bool offerable(const struct modelled *m)
{
	return !m->feeds && m->wish != WISH_MORE && used(m) > 0 && m->armed &&
	       m->space_wake - m->released - 1 < m->capacity &&
	       (m->offered_sent != m->sent ||
		m->offered_released != m->released);
}

static void send_some(struct modelled *m, uint64_t n)
{
	rig_send(&m->rig, n);
	m->sent += n;
	m->noticed = false;
}

static void take_some(struct modelled *m, uint64_t n)
{
	rig_take(&m->rig, n);
	m->released += n;
	m->noticed = false;
}

static void send_or_arm(struct modelled *m, uint64_t n)
{
	int *items;
	ssize_t got = peal_sender_reserve(&m->rig.tx, n, &items);

	CHECK_EQ(got > 0, room(m) >= n);
	if (got > 0) {
		send_some(m, n);
		return;
	}
	if (!m->armed || (int64_t)(m->released - m->space_wake) >= 0 ||
	    m->space_wake - (m->sent - m->capacity) > n)
		m->space_wake = m->sent - m->capacity + n;
	m->armed = true;
	m->noticed = true;
}

static void count_call(struct modelled *m)
{
	CHECK(due(m) || offerable(m));
	if (!due(m)) {
		m->offered_sent = m->sent;
		m->offered_released = m->released;
		offers++;
	}
	if (m->wish == WISH_MORE)
		more_calls++;
	else
		due_calls++;
}

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct modelled *m = user;
	uint64_t n;

	count_call(m);
	CHECK_EQ(peal_receiver_used(rx), used(m));
	m->seen = m->sent;
	n = below(3) == 0 ? below(used(m) + 1) : used(m);
	take_some(m, n);
	switch (below(8)) {
	case 0:
		m->wish = WISH_MORE;
		return PEAL_MORE;
	case 1:
		m->wish = WISH_COUNT;
		m->count = 1 + below(m->capacity);
		n = m->count;
		break;
	default:
		m->wish = WISH_BEYOND;
		m->offered_sent = m->seen;
		m->offered_released = m->released;
		n = 0;
	}
	if (below(3) == 0 && room(m) > 0) /* before the recheck */
		send_some(m, 1 + below(room(m)));
	m->noticed = true; /* when it arms */
	return n ? PEAL_WAIT(n) : PEAL_DONE;
}

/* Reserve until it falls short or has had enough. @return the shortage */
static uint64_t reserve_some(struct modelled *m)
{
	for (;;) {
		uint64_t n = 1 + below(m->capacity);
		int *items;
		ssize_t got = peal_sender_reserve(&m->rig.tx, n, &items);

		CHECK(got >= 0);
		CHECK_EQ(got > 0, room(m) >= n);
		if (got == 0)
			return n;
		if (below(4) == 0)
			return 0;
		send_some(m, 1 + below(n));
	}
}

static long on_writable(struct peal_sender *tx, void *user)
{
	struct modelled *m = user;
	uint64_t shortage = 0;

	count_call(m);
	CHECK(tx == &m->rig.tx);
	m->wish = WISH_NOTHING;
	switch (below(6)) {
	case 0:
		m->wish = WISH_MORE;
		return PEAL_MORE;
	case 1:
		m->wish = WISH_COUNT;
		m->count = 1 + below(m->capacity);
		return PEAL_WAIT(m->count);
	default:
		shortage = reserve_some(m);
	}
	if (shortage) {
		m->wish = WISH_COUNT;
		m->count = shortage > m->watermark ? shortage : m->watermark;
	}
	if (below(3) == 0 && used(m) > 0) /* before the recheck */
		take_some(m, 1 + below(used(m)));
	return PEAL_DONE;
}

static void fed(struct modelled *m)
{
	CHECK_EQ(peal_reactor_add_sender(
			 &loop, &m->rig.source, &m->rig.tx,
			 &(struct peal_sender_callbacks){
				 .on_writable = on_writable, .user = m }),
		 0);
}

static void served(struct modelled *m)
{
	CHECK_EQ(peal_reactor_add_receiver(
			 &loop, &m->rig.source, &m->rig.rx,
			 &(struct peal_receiver_callbacks){
				 .on_readable = on_readable, .user = m }),
		 0);
}

static void add(struct modelled *m)
{
	m->wish = WISH_COUNT;
	m->count = m->watermark;
	m->bells = 0;
	if (m->feeds)
		fed(m);
	else
		served(m);
}

static void operate(struct modelled *m)
{
	uint64_t n = below(m->capacity) + 1;

	switch (below(10)) {
	case 0: /* leave, and come back: what is there is new again */
		if (honest)
			break;
		CHECK_EQ(peal_reactor_remove(&loop, &m->rig.source), 0);
		add(m);
		break;
	case 1: /* a bell for nothing, but no storm */
		if (honest || m->bells++ >= 10)
			break;
		CHECK_EQ(peal_doorbell_ring(m->feeds ? &m->rig.space
						     : &m->rig.data),
			 0);
		break;
	case 2: /* the own end is used outside of callbacks */
		if (m->feeds && room(m) > 0)
			send_some(m, 1 + below(room(m)));
		else if (!m->feeds && used(m) > 0)
			take_some(m, 1 + below(used(m)));
		break;
	default: /* the other end moves */
		if (m->feeds && used(m) >= n)
			take_some(m, n);
		else if (!m->feeds && below(2))
			send_or_arm(m, n);
		else if (!m->feeds && room(m) >= n)
			send_some(m, n);
	}
}

static void start(void)
{
	seed = test_seed();
	CHECK_EQ(peal_reactor_init(&loop, slots, RINGS), 0);
	if (polls)
		CHECK_EQ(peal_reactor_set_spin(&loop, 1000), 0);
	for (int i = 0; i < RINGS; i++) {
		struct modelled *m = &rings[i];

		rig_init(&m->rig, (size_t)1 << (2 * i));
		m->capacity = (uint64_t)1 << (2 * i);
		m->watermark = 1 + below(m->capacity);
		m->feeds = i % 2;
		if (m->feeds)
			peal_sender_set_watermark(&m->rig.tx, m->watermark);
		else
			peal_receiver_set_watermark(&m->rig.rx, m->watermark);
		add(m);
	}
}

/* It polls only when it is allowed to sleep, which it has no reason to. */
static void settle(void)
{
	while (rig_readable(peal_reactor_fd(&loop)))
		CHECK(peal_reactor_run_once(&loop, polls ? -1 : 0) >= 0);
	for (int i = 0; i < RINGS; i++) {
		struct modelled *m = &rings[i];
		struct peal_source_stats stats;

		peal_source_stats(&m->rig.source, &stats);
		CHECK_EQ(stats.quarantines, 0);
		CHECK(!due(m));
		CHECK(!(m->noticed && offerable(m)));
	}
}

static void end(void)
{
	struct peal_reactor_stats stats;
	uint64_t transitions = 0;

	for (int i = 0; i < RINGS; i++) {
		struct peal_ring_stats ring;

		peal_receiver_stats(&rings[i].rig.rx, &ring);
		transitions += ring.transitions;
		peal_sender_stats(&rings[i].rig.tx, &ring);
		transitions += ring.transitions;
		rig_finish(&rings[i].rig);
	}
	peal_reactor_stats(&loop, &stats);
	CHECK_EQ(stats.callbacks - stats.mores, transitions);
	CHECK_EQ(stats.callbacks - stats.mores, due_calls);
	CHECK_EQ(stats.mores, more_calls);
	CHECK_EQ(stats.quarantines, 0);
	CHECK(due_calls > OPERATIONS / 20);
	CHECK(offers > OPERATIONS / 1000);
	CHECK_EQ(stats.spin_hits > 0, polls);
	peal_reactor_finish(&loop);
}

/* Between two settlements there are 4 operations, or 64 where it is slow. */
static void operate_and_settle(int operations)
{
	start();
	for (int i = 0; i < operations; i++) {
		uint64_t pause = i / 10000 % 2 ? 64 : 4;

		operate(&rings[below(RINGS)]);
		if (below(pause) == 0)
			settle();
	}
	settle();
	end();
}

TEST(callbacks_are_transitions_over_a_million_random_operations)
{
	operate_and_settle(OPERATIONS);
}

TEST(callbacks_are_the_same_when_it_polls_before_it_arms)
{
	cpu_set_t cpus;

	CHECK_EQ(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	if (CPU_COUNT(&cpus) == 1)
		test_skip("there is one processor only");
	polls = true;
	operate_and_settle(OPERATIONS);
}

TEST(no_honest_peer_is_taken_for_a_storm)
{
	honest = true;
	operate_and_settle(2 * OPERATIONS);
}
