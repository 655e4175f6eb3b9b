/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the two pages of a ring say. This file alone knows the layout, which is
 * as much a protocol as what a client and a server send each other: whoever
 * wrote these pages may be of another build, and may lie.
 */
#include <errno.h>
#include <string.h>

#include "../../ring/internal.h"
#include "top.h"

_Static_assert(offsetof(struct peal_page, position) == TOP_POSITION, "layout");

static uint64_t count_of(const struct peal_page *page, size_t offset)
{
	return page->counts[offset / sizeof(uint64_t)];
}

static void read_end(struct top_end *end, const struct peal_page *page)
{
	end->position = page->position;
	end->pid = page->pid;
	end->state = page->state <= PEAL_STATE_BROKEN
			     ? (enum top_state)page->state
			     : TOP_ODD;
	end->doorbells = count_of(page,
				  offsetof(struct peal_ring_stats, doorbells));
	end->bell_errors =
		count_of(page, offsetof(struct peal_ring_stats, bell_errors));
	end->stalls = count_of(page, offsetof(struct peal_ring_stats, stalls));
	end->transitions =
		count_of(page, offsetof(struct peal_ring_stats, transitions));
}

/*
 * An end has asked to be rung at a position that its peer has not reached. It
 * may be polling all the same; but one that got what it asked for has not.
 */
static uint64_t waits_for(const struct top_end *end, uint64_t wake,
			  const struct top_end *peer, uint64_t capacity)
{
	uint64_t missing = wake - peer->position;

	if (end->state != TOP_OPEN || peer->state != TOP_OPEN)
		return 0;
	return missing - 1 < capacity ? missing : 0;
}

static bool same(const struct peal_geometry *a, const struct peal_geometry *b)
{
	return memcmp(a, b,
		      offsetof(struct peal_geometry, name) + sizeof(a->name)) ==
	       0;
}

/*
 * The ends go on while we look, so that the three positions are of different
 * times. At the time of the tail the head was between the two that were seen.
 */
static bool measure(struct top_figures *f, uint64_t before, uint64_t after)
{
	int64_t most = (int64_t)(f->sender.position - before);
	int64_t least = (int64_t)(f->sender.position - after);
	uint64_t capacity = f->geometry.capacity;

	f->fill = least > 0 ? (uint64_t)least : 0;
	return (int64_t)(after - before) >= 0 && most >= 0 &&
	       f->fill <= capacity;
}

int top_figures_read(struct top_figures *figures, const void *sender,
		     const void *receiver, uint64_t head_after)
{
	const struct peal_page *tx = sender, *rx = receiver;
	struct top_figures f = { .possible = true };
	struct peal_geometry other;
	int ret = peal_geometry_read(&f.geometry, tx, sizeof(*tx));

	if (ret < 0)
		return ret;
	if (peal_geometry_read(&other, rx, sizeof(*rx)) < 0 ||
	    !same(&f.geometry, &other))
		f.possible = false;
	read_end(&f.sender, tx);
	read_end(&f.receiver, rx);
	if (!measure(&f, f.receiver.position, head_after))
		f.possible = false;
	f.receiver.position = head_after;
	if (f.sender.state == TOP_ODD || f.receiver.state == TOP_ODD)
		f.possible = false;
	if (f.possible) {
		f.sender.waits_for = waits_for(&f.sender, tx->wake, &f.receiver,
					       f.geometry.capacity);
		f.receiver.waits_for = waits_for(
			&f.receiver, rx->wake, &f.sender, f.geometry.capacity);
	}
	*figures = f;
	return 0;
}
