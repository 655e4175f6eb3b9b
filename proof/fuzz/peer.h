/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_PEER_H
#define PEAL_PROOF_PEER_H
/*
 * One honest end of a ring and a hostile peer, which writes what the input says
 * into all that it shares, between the calls of the honest end and, where the
 * library is compiled with loads.h, in the midst of them.
 */
#include <peal/ring.h>

#include "../../ring/internal.h"
#include "fuzz.h"

struct shape {
	uint64_t capacity, item_size;
	bool twice;
};

struct peer {
	struct input in;
	struct peal_ring ring;
	struct peal_page *own, *page; /* the honest end's; the peer's */
	union {
		struct peal_end end;
		struct peal_sender tx;
		struct peal_receiver rx;
	} honest;
	bool sender;   /* the honest end is */
	bool attached; /* it is */
	bool lied;     /* the peer wrote a position or a state that cannot be */
	const struct peal_doorbell *peer_bell, *own_bell;
	/* As they were before the last call. */
	uint64_t here, known, doorbells;
	int error;
	/* A word to be written right before a load, after so many others. */
	unsigned strike_after;
	uint64_t *strike_word, strike_value;
};

/* A ring of this shape, for one input; there is one at a time. */
void peer_format(struct peal_ring *ring, const struct shape *shapes, size_t n,
		 size_t i);
/* Where to begin. */
uint64_t peer_position(struct input *in);
/* The ring of one of these shapes, and in most cases the honest end. */
void peer_start(struct peer *p, bool sender, const struct shape *shapes,
		size_t n);
/* Write something, now or before one of the loads to come. */
void peer_write(struct peer *p);
/* Before and after each call of the honest end. */
void peer_before(struct peer *p);
void peer_after(struct peer *p);
/* After one that has published n items in the end: was it rung as is due? */
void peer_published(const struct peer *p, uint64_t n, bool is_short);
/* What a call has found: n items, in the items' memory. */
void peer_span(const struct peer *p, const void *span, ssize_t n);
void peer_end(struct peer *p);

#endif
