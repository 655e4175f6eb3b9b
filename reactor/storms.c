/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Doorbells that ring too often, and rings on which nothing comes.
 *
 * An honest peer rings once for each position that was armed, once when it
 * finishes, and, if it is a sender that waits for room while we wait for more
 * items, once for each state in which it falls short. So the bells that it may
 * ring are known, and one that rings beyond them is not listened to for a
 * while, each time for twice as long, and then no more.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "../ring/floor.h"
#include "internal.h"

#define QUARANTINE_NS UINT64_C(10000000) /* the first */
#define QUARANTINES 8			 /* then it is closed */
#define EXCESS 16			 /* bells, for each of them */
/* After so long without a quarantine the next is a first one again. */
#define FORGIVEN_NS UINT64_C(10000000000)

/* Bells that may be on their way at one time: one for a position, one for the
 * end, and those that were rung before we listened. */
#define CREDIT 4
#define PASSES 4

/* The heap has one alarm a source; a ring has two uses for it. */
static void set_alarm(struct peal_source *source)
{
	uint64_t next = UINT64_MAX;

	if (source->of.ring.unheard)
		next = source->of.ring.heard_again;
	if (source->of.ring.idle)
		next = peal_min(next, peal_time_add(source->of.ring.quiet_since,
						    source->of.ring.idle));
	if (next != UINT64_MAX)
		peal_alarm_set(source, next);
}

static void listen(struct peal_source *source, bool on)
{
	struct peal_source *bell = source->of.ring.bell;

	if (bell && bell->reactor)
		peal_source_listen(bell, on);
	else if (on)
		peal_source_rewatch(source, EPOLLIN | EPOLLET);
	else /* EPOLLHUP comes unasked: once at the most */
		peal_source_rewatch(source, EPOLLET | EPOLLONESHOT);
}

static void quarantine(struct peal_source *source)
{
	uint64_t now = peal_now();

	if (source->of.ring.strikes > 0 &&
	    now - source->of.ring.heard_again > FORGIVEN_NS)
		source->of.ring.strikes = 0;
	if (source->of.ring.strikes >= QUARANTINES) {
		/* What it has published is delivered, as ever. */
		peal_end_hangup(source->end, -EPROTO);
		return;
	}
	peal_count(&source->stats.quarantines);
	peal_count(&source->reactor->stats.quarantines);
	source->of.ring.unheard = true;
	source->of.ring.heard_again = now + (QUARANTINE_NS
					     << source->of.ring.strikes++);
	listen(source, false);
	set_alarm(source);
}

void peal_ring_trust(struct peal_source *source)
{
	source->of.ring.credit = CREDIT;
	source->of.ring.arms = peal_end_arms(source->end);
	source->of.ring.excess = 0;
}

static void hear_again(struct peal_source *source)
{
	source->of.ring.unheard = false;
	peal_ring_trust(source);
	listen(source, true);
	peal_source_ready(source); /* look at what it did meanwhile */
}

/*
 * A sender that waits for more room than there is kicks us once for each state
 * of the two positions. Both may have moved on since it rang, and so a few of
 * its bells may be seen in one state.
 */
static bool may_kick(struct peal_source *source)
{
	struct peal_end *end = source->end;
	uint64_t there = peal_end_peer_position(end);

	if (peal_end_is_sender(end))
		return false;
	if (source->of.ring.passed_here != peal_end_position(end) ||
	    source->of.ring.passed_there != there) {
		source->of.ring.passed_here = peal_end_position(end);
		source->of.ring.passed_there = there;
		source->of.ring.passes = 0;
	}
	return source->of.ring.passes++ < PASSES;
}

/* Each position that was armed since may bring one. */
static void earn(struct peal_source *source)
{
	uint64_t arms = peal_end_arms(source->end);
	uint64_t earned = arms - source->of.ring.arms;

	source->of.ring.arms = arms;
	source->of.ring.credit = (int)peal_min(
		(uint64_t)source->of.ring.credit + earned, CREDIT);
}

/* Was it to be expected? */
static bool honest(struct peal_source *source)
{
	earn(source);
	if (may_kick(source))
		return true; /* and keep the credit for what was armed */
	if (source->of.ring.credit <= 0)
		return false;
	source->of.ring.credit--;
	return true;
}

static void heard(struct peal_source *source)
{
	peal_count(&source->reactor->stats.wakeups);
	peal_count(&source->stats.wakeups);
}

static void strike(struct peal_source *source)
{
	if (!source->of.ring.unheard && ++source->of.ring.excess >= EXCESS)
		quarantine(source);
}

void peal_ring_rung(struct peal_source *source)
{
	heard(source);
	if (!honest(source))
		strike(source);
}

static void next_turn(struct peal_source *source)
{
	if (peal_link_empty(&source->link))
		peal_link_append(&source->reactor->turn, &source->link);
}

void peal_rings_rung(struct peal_source *a, struct peal_source *b)
{
	bool expected = honest(a);

	heard(a);
	if (b) {
		heard(b);
		if (!expected)
			expected = honest(b);
		next_turn(b);
	}
	if (!expected)
		strike(a);
	next_turn(a);
}

void peal_ring_alarm(struct peal_source *source, uint64_t deadline,
		     uint64_t now)
{
	(void)deadline;
	if (source->of.ring.unheard && source->of.ring.heard_again <= now)
		hear_again(source);
	if (source->of.ring.idle &&
	    now - source->of.ring.quiet_since >= source->of.ring.idle) {
		source->of.ring.quiet_since = now;
		source->of.ring.idle_due = true;
		peal_source_ready(source);
	}
	set_alarm(source);
}

void peal_ring_not_idle(struct peal_source *source)
{
	if (!source->of.ring.idle)
		return;
	/* The alarm stands where it is; it looks at this when it comes. */
	source->of.ring.quiet_since = peal_now();
	source->of.ring.idle_due = false;
}

int peal_reactor_set_idle(struct peal_reactor *loop, struct peal_source *source,
			  uint64_t after,
			  void (*on_idle)(struct peal_source *source,
					  void *user))
{
	int ret = peal_source_check(loop, source);

	if (ret < 0)
		return ret;
	if (!source->end || (after && !on_idle))
		return -EINVAL;
	source->of.ring.idle = after;
	source->of.ring.on_idle = on_idle;
	source->of.ring.quiet_since = peal_now();
	source->of.ring.idle_due = false;
	peal_alarm_drop(source);
	set_alarm(source);
	return 0;
}
