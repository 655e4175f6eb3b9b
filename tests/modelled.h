/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_MODELLED_H
#define PEAL_TESTS_MODELLED_H
/*
 * A ring with one end on a reactor, and a model of it that says at any time
 * whether a callback is due: it comes if and only if it is.
 */
#include "rig.h"

/* What the last callback asked for, and so when the next one is due. */
enum wish {
	WISH_NOTHING,
	WISH_BEYOND,
	WISH_COUNT,
	WISH_MORE
};

struct modelled {
	struct rig rig;
	struct peal_reactor *loop;
	bool feeds; /* the reactor has the sender, not the receiver */
	enum wish wish;
	uint64_t count, seen;	 /* of the wish */
	uint64_t sent, released; /* items */
	uint64_t capacity, watermark;
	unsigned adds;
	int bells; /* for nothing, since it was added */
	/* A sender outside that fell short, and what it was worth: */
	bool armed;
	uint64_t space_wake;			 /* where it wants head to be */
	bool noticed;				 /* and the receiver knows */
	uint64_t offered_sent, offered_released; /* the last offer made */
	bool ended; /* the end outside has finished */
	int closed;
};

/* Of all of them. */
struct modelled_counts {
	uint64_t due, mores, offers;
};
extern struct modelled_counts modelled_counts;

/* For whoever uses it to bring: a number below n; and what else happens within
 * a callback, before it begins. */
uint64_t modelled_below(uint64_t n);
void modelled_inside(struct modelled *m);

/* The rig is there already; the rest is all zero. The loop has a slot more than
 * it needs. */
void modelled_start(struct modelled *m, struct peal_reactor *loop,
		    uint64_t capacity, bool feeds);
/* Do something; `honest`: no bells for nothing, and nobody leaves. */
void modelled_operate(struct modelled *m, bool honest);
/* Nothing is due. */
void modelled_check_settled(const struct modelled *m);
/* The end outside finishes. */
void modelled_finish(struct modelled *m);

#endif
