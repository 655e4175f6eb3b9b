/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "modelled.h"
#include "harness.h"

struct modelled_counts modelled_counts;

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

static void count(struct modelled *m)
{
	if (m->ended) /* it gets what is left, whatever it waits for */
		return;
	CHECK(due(m) || offerable(m));
	if (!due(m)) {
		m->offered_sent = m->sent;
		m->offered_released = m->released;
		modelled_counts.offers++;
	}
	if (m->wish == WISH_MORE)
		modelled_counts.mores++;
	else
		modelled_counts.due++;
}

/* @return whether it was added anew meanwhile: nobody hears the verdict */
static bool count_call(struct modelled *m)
{
	unsigned adds = m->adds;

	count(m);
	modelled_inside(m);
	return m->adds != adds;
}

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct modelled *m = user;
	uint64_t n;

	if (count_call(m))
		return PEAL_DONE;
	CHECK_EQ(peal_receiver_used(rx), used(m));
	m->seen = m->sent;
	if (m->ended) {
		take_some(m, used(m));
		return PEAL_DONE;
	}
	n = modelled_below(3) == 0 ? modelled_below(used(m) + 1) : used(m);
	take_some(m, n);
	switch (modelled_below(8)) {
	case 0:
		m->wish = WISH_MORE;
		return PEAL_MORE;
	case 1:
		m->wish = WISH_COUNT;
		m->count = 1 + modelled_below(m->capacity);
		n = m->count;
		break;
	default:
		m->wish = WISH_BEYOND;
		m->offered_sent = m->seen;
		m->offered_released = m->released;
		n = 0;
	}
	if (modelled_below(3) == 0 && room(m) > 0) /* before the recheck */
		send_some(m, 1 + modelled_below(room(m)));
	m->noticed = true; /* when it arms */
	return n ? PEAL_WAIT(n) : PEAL_DONE;
}

/* Reserve until it falls short or has had enough. @return the shortage */
static uint64_t reserve_some(struct modelled *m)
{
	for (;;) {
		uint64_t n = 1 + modelled_below(m->capacity);
		int *items;
		ssize_t got = peal_sender_reserve(&m->rig.tx, n, &items);

		CHECK(got >= 0);
		CHECK_EQ(got > 0, room(m) >= n);
		if (got == 0)
			return n;
		if (modelled_below(4) == 0)
			return 0;
		send_some(m, 1 + modelled_below(n));
	}
}

static long on_writable(struct peal_sender *tx, void *user)
{
	struct modelled *m = user;
	uint64_t shortage = 0;

	CHECK(tx == &m->rig.tx);
	if (count_call(m))
		return PEAL_DONE;
	m->wish = WISH_NOTHING;
	switch (modelled_below(6)) {
	case 0:
		m->wish = WISH_MORE;
		return PEAL_MORE;
	case 1:
		m->wish = WISH_COUNT;
		m->count = 1 + modelled_below(m->capacity);
		return PEAL_WAIT(m->count);
	default:
		shortage = reserve_some(m);
	}
	if (shortage) {
		m->wish = WISH_COUNT;
		m->count = shortage > m->watermark ? shortage : m->watermark;
	}
	if (modelled_below(3) == 0 && used(m) > 0) /* before the recheck */
		take_some(m, 1 + modelled_below(used(m)));
	return PEAL_DONE;
}

/* The end of the stream, after all that was sent. */
static void rx_closed(struct peal_receiver *rx, int reason, void *user)
{
	struct modelled *m = user;

	CHECK(rx == &m->rig.rx);
	CHECK(m->ended);
	CHECK_EQ(reason, 0);
	CHECK_EQ(used(m), 0);
	m->closed++;
}

static void tx_closed(struct peal_sender *tx, int reason, void *user)
{
	struct modelled *m = user;

	CHECK(tx == &m->rig.tx);
	CHECK(m->ended);
	CHECK_EQ(reason, 0);
	m->closed++;
}

static int fed(struct modelled *m, struct peal_source *source)
{
	return peal_reactor_add_sender(
		m->loop, source, &m->rig.tx,
		&(struct peal_sender_callbacks){ .on_writable = on_writable,
						 .on_closed = tx_closed,
						 .user = m });
}

static int served(struct modelled *m, struct peal_source *source)
{
	return peal_reactor_add_receiver(
		m->loop, source, &m->rig.rx,
		&(struct peal_receiver_callbacks){ .on_readable = on_readable,
						   .on_closed = rx_closed,
						   .user = m });
}

static int add_as(struct modelled *m, struct peal_source *source)
{
	return m->feeds ? fed(m, source) : served(m, source);
}

static void add(struct modelled *m)
{
	struct peal_source twin = { 0 };

	m->wish = WISH_COUNT;
	m->count = m->watermark;
	m->bells = 0;
	m->adds++;
	CHECK_EQ(add_as(m, &m->rig.source), 0);
	/* An end has one source; that it was wanted by another one, for which
	 * there is a slot, changes nothing. */
	CHECK_EQ(add_as(m, &twin), -EEXIST);
	CHECK_EQ(peal_reactor_remove(m->loop, &twin), 0);
}

void modelled_operate(struct modelled *m, bool honest)
{
	uint64_t n = modelled_below(m->capacity) + 1;

	switch (modelled_below(10)) {
	case 0: /* leave, and come back: what is there is new again */
		if (honest)
			break;
		CHECK_EQ(peal_reactor_remove(m->loop, &m->rig.source), 0);
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
			send_some(m, 1 + modelled_below(room(m)));
		else if (!m->feeds && used(m) > 0)
			take_some(m, 1 + modelled_below(used(m)));
		break;
	default: /* the other end moves */
		if (m->feeds && used(m) >= n)
			take_some(m, n);
		else if (!m->feeds && modelled_below(2))
			send_or_arm(m, n);
		else if (!m->feeds && room(m) >= n)
			send_some(m, n);
	}
}

void modelled_start(struct modelled *m, struct peal_reactor *loop,
		    uint64_t capacity, bool feeds)
{
	m->loop = loop;
	m->capacity = capacity;
	m->watermark = 1 + modelled_below(capacity);
	m->feeds = feeds;
	if (feeds)
		peal_sender_set_watermark(&m->rig.tx, m->watermark);
	else
		peal_receiver_set_watermark(&m->rig.rx, m->watermark);
	add(m);
}

void modelled_check_settled(const struct modelled *m)
{
	struct peal_source_stats stats;

	peal_source_stats(&m->rig.source, &stats);
	CHECK_EQ(stats.quarantines, 0);
	CHECK(!due(m));
	CHECK(!(m->noticed && offerable(m)));
}

void modelled_finish(struct modelled *m)
{
	m->ended = true;
	if (m->feeds)
		peal_receiver_finish(&m->rig.rx);
	else
		peal_sender_finish(&m->rig.tx);
}
