/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the difference of looks says: rates, and the age of the oldest item. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "top.h"

double top_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Counts begin anew with who takes an end over: @return less than 0 then. */
static double grown(uint64_t now, uint64_t before)
{
	int64_t by = (int64_t)(now - before);

	return by >= 0 ? (double)by : -1;
}

static bool rate(struct top_rates *rates, const struct top_figures *now,
		 const struct top_figures *before, double seconds)
{
	double sent = grown(now->sender.position, before->sender.position);
	double taken = grown(now->receiver.position, before->receiver.position);
	double rung = grown(now->sender.doorbells, before->sender.doorbells);
	double back = grown(now->receiver.doorbells,
			    before->receiver.doorbells);
	double stalls = grown(now->sender.stalls, before->sender.stalls);

	if (!(seconds > 0) || !now->possible || !before->possible || sent < 0 ||
	    taken < 0 || rung < 0 || back < 0 || stalls < 0)
		return false;
	/* Saved, as the demo counts it: items that went without a bell. */
	*rates = (struct top_rates){
		.items = sent / seconds,
		.bytes = sent * (double)now->geometry.item_size / seconds,
		.doorbells = (rung + back) / seconds,
		.saved = sent + taken > rung + back
				 ? (sent + taken - rung - back) / seconds
				 : 0,
		.stalls = stalls / seconds,
	};
	return true;
}

/* -- the age of the oldest item */

static bool is_behind(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) < 0;
}

/* Where there is no room, we know less exactly when a position was there. */
static void thin_out(struct top_history *h)
{
	for (unsigned i = 1; i < TOP_MARKS / 2; i++)
		h->marks[i] = h->marks[(size_t)2 * i];
	h->n_marks = TOP_MARKS / 2;
}

static void mark(struct top_history *h, uint64_t tail, double now)
{
	if (h->n_marks > 0 && h->marks[h->n_marks - 1].tail == tail) {
		h->marks[h->n_marks - 1].last = now;
		return;
	}
	if (h->n_marks > 0 && is_behind(tail, h->marks[h->n_marks - 1].tail)) {
		h->n_marks = 0; /* a ring that began anew, or lies */
		h->before = 0;
	}
	if (h->n_marks == TOP_MARKS)
		thin_out(h);
	h->marks[h->n_marks++] =
		(struct top_mark){ .first = now, .last = now, .tail = tail };
}

/*
 * The oldest item is at the head. It came after the tail was last seen there or
 * before it, and no later than the tail was first seen beyond it.
 */
static void age(struct top_ring *ring, double now)
{
	const struct top_figures *f = &ring->figures;
	struct top_history *h = &ring->history;
	uint64_t head = f->receiver.position;
	unsigned gone = 0;

	ring->older = ring->younger = 0;
	mark(h, f->sender.position, now);
	while (gone < h->n_marks && !is_behind(head, h->marks[gone].tail))
		h->before = h->marks[gone++].last;
	/* The last one may still be added to. */
	if (gone > 0 && gone == h->n_marks)
		gone--;
	memmove(h->marks, h->marks + gone,
		(h->n_marks - gone) * sizeof(h->marks[0]));
	h->n_marks -= gone;
	if (f->fill == 0 || !f->possible || !is_behind(head, h->marks[0].tail))
		return;
	ring->older = now - h->marks[0].first;
	ring->younger = h->before > 0 ? now - h->before : 0;
}

void top_rate(struct top_ring *ring, double now)
{
	struct top_history *h = &ring->history;

	if (h->at > 0)
		ring->rated = rate(&ring->rates, &ring->figures, &h->figures,
				   now - h->at);
	age(ring, now);
	h->figures = ring->figures;
	h->at = now;
}

static int compare(const void *a, const void *b)
{
	const struct top_ring *x = a, *y = b;

	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

void top_inherit(struct top_list *list, const struct top_list *before)
{
	if (before->n == 0)
		return;
	qsort(before->rings, before->n, sizeof(*before->rings), compare);
	for (size_t i = 0; i < list->n; i++) {
		const struct top_ring *old =
			bsearch(&list->rings[i], before->rings, before->n,
				sizeof(*before->rings), compare);

		if (old)
			list->rings[i].history = old->history;
	}
}
