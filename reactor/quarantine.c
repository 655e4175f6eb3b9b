/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Accounting for bells, and the quarantine of a bell that rings too often.
 *
 * An honest peer rings once for each position that was armed, and once when it
 * finishes. A sender that waits for room while the receiver waits for more
 * items kicks the receiver, once for each pair of positions at which the sender
 * falls short. So the reactor knows how many bells to expect. The reactor does
 * not listen for a while to a bell that rings more often: that is a quarantine,
 * and each quarantine is twice as long as the last. After the last quarantine
 * the reactor closes the ring.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "../ring/floor.h"
#include "internal.h"

/* The first quarantine. */
#define QUARANTINE_NS UINT64_C(10000000)
/* After so many quarantines in a row the ring is closed. */
#define MOST_QUARANTINES 8
/* So many unexpected bells lead to a quarantine. */
#define MOST_UNEXPECTED 16
/* After so long without a quarantine the next quarantine is a first one. */
#define FORGET_NS UINT64_C(10000000000)
/* Bells that may be on their way at one time: one for a position, one for the
 * end, and those that were rung before the reactor listened. */
#define MOST_EXPECTED 4
/* Kicks at one pair of positions. Both positions may have moved on since the
 * sender kicked, and so the reactor may see several kicks at one pair. */
#define MOST_KICKS 4

void peal_bells_reset(struct peal_source *source)
{
	struct peal_source_bells *bells = &source->of.ring.bells;

	bells->expected = MOST_EXPECTED;
	bells->unexpected = 0;
	bells->arms_counted = peal_end_arms(source->of.ring.end);
}

/* -- quarantine */

static void bell_listen(struct peal_source *source, bool on)
{
	struct peal_source *heard_by = source->of.ring.bells.heard_by;

	if (heard_by && heard_by->reactor)
		peal_source_listen(heard_by, on);
	else if (on)
		peal_source_rewatch(source, EPOLLIN | EPOLLET);
	else /* EPOLLHUP comes unasked, so it may come once at the most */
		peal_source_rewatch(source, EPOLLET | EPOLLONESHOT);
}

static void quarantine_begin(struct peal_source *source)
{
	struct peal_source_bells *bells = &source->of.ring.bells;
	uint64_t now = peal_now();

	if (bells->quarantines > 0 && now - bells->quarantine_end > FORGET_NS)
		bells->quarantines = 0;
	if (bells->quarantines >= MOST_QUARANTINES) {
		/* What the peer has published is delivered, as ever. */
		peal_end_hangup(source->of.ring.end, -EPROTO);
		return;
	}
	peal_count(&source->stats.quarantines);
	peal_count(&source->reactor->stats.quarantines);
	bells->quarantined = true;
	bells->quarantine_end = now + (QUARANTINE_NS << bells->quarantines++);
	bell_listen(source, false);
	peal_ring_set_alarm(source);
}

void peal_quarantine_finish(struct peal_source *source)
{
	source->of.ring.bells.quarantined = false;
	peal_bells_reset(source);
	bell_listen(source, true);
	/* The peer may have published meanwhile. */
	peal_source_schedule(source);
}

/* -- accounting */

/* Can this bell be a kick? */
static bool bell_may_be_kick(struct peal_source *source)
{
	struct peal_source_bells *bells = &source->of.ring.bells;
	const struct peal_end *end = source->of.ring.end;
	uint64_t peer_position = peal_end_peer_position(end);

	if (peal_end_is_sender(end))
		return false;
	if (bells->kick_position != peal_end_position(end) ||
	    bells->kick_peer_position != peer_position) {
		bells->kick_position = peal_end_position(end);
		bells->kick_peer_position = peer_position;
		bells->kicks = 0;
	}
	if (bells->kicks >= MOST_KICKS)
		return false;
	bells->kicks++;
	return true;
}

/* Each position that was armed since the last bell may bring one bell. */
static void bells_count_arms(struct peal_source *source)
{
	struct peal_source_bells *bells = &source->of.ring.bells;
	uint64_t arms = peal_end_arms(source->of.ring.end);
	uint64_t expected = (uint64_t)bells->expected +
			    (arms - bells->arms_counted);

	bells->arms_counted = arms;
	bells->expected = (int)peal_min(expected, MOST_EXPECTED);
}

static bool bell_is_expected(struct peal_source *source)
{
	struct peal_source_bells *bells = &source->of.ring.bells;

	bells_count_arms(source);
	/* A kick does not count as the bell for a position that was armed. */
	if (bell_may_be_kick(source))
		return true;
	if (bells->expected <= 0)
		return false;
	bells->expected--;
	return true;
}

static void bell_count(struct peal_source *source)
{
	peal_count(&source->reactor->stats.wakeups);
	peal_count(&source->stats.wakeups);
}

static void bell_was_unexpected(struct peal_source *source)
{
	struct peal_source_bells *bells = &source->of.ring.bells;

	if (!bells->quarantined && ++bells->unexpected >= MOST_UNEXPECTED)
		quarantine_begin(source);
}

void peal_bells_heard(struct peal_source *source)
{
	bell_count(source);
	if (!bell_is_expected(source))
		bell_was_unexpected(source);
}

/* Let a ring have a turn in this round. */
static void ring_turn_now(struct peal_source *source)
{
	if (peal_link_empty(&source->link))
		peal_link_append(&source->reactor->lists.turn, &source->link);
}

void peal_rings_rung(struct peal_source *a, struct peal_source *b)
{
	bool expected = bell_is_expected(a);

	bell_count(a);
	if (b) {
		bell_count(b);
		if (!expected)
			expected = bell_is_expected(b);
		ring_turn_now(b);
	}
	if (!expected)
		bell_was_unexpected(a);
	ring_turn_now(a);
}
