/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_EMBED_PROPERTIES_H
#define PEAL_TESTS_EMBED_PROPERTIES_H
/* What a property finds when it is checked, and what it is written with. */
#include <semaphore.h>
#include <stdbool.h>

#include <peal/peal.h>

#include "embed.h"
#include "fixtures/rig.h"

struct embed_property {
	const char *name;
	void (*check)(void);
};

/* Each ends with a name of NULL. */
extern const struct embed_property embed_rings_properties[],
	embed_sources_properties[], embed_loop_properties[];

/* Turns of rounds with somebody else: the loop sleeps in most of them. */
#define ROUNDS 100

struct embed {
	const struct embed_host *host;
	struct peal_slot slots[EMBED_SLOTS];
	struct peal_reactor loop;
	struct rig a, b, c;
	bool feeding; /* the reactor has senders, not receivers */
	bool others;  /* or rings that are not these */
	/* What the loop watches besides the reactor. */
	int own[2], own_calls;
	void (*on_own)(void);
	sem_t turn;
	int rounds;
};

extern struct embed env;

/* Make the loop's own fd readable. */
void embed_wake_own(void);
/* Let the loop go on, and wait, until something has happened so often. */
void embed_until(const int *count, int n);
/*
 * Let the loop go on until the reactor has had no turn in three iterations.
 * @return  how many it has had
 */
uint64_t embed_settle(void);
/* Take all there is, and count the call. */
long embed_drain(struct peal_receiver *rx, void *rig);
/* Let the loop go on for ROUNDS rounds, with another thread. */
void embed_in_rounds(void *(*other)(void *user));
/* Called by what ends a round, */
void embed_next_round(void);
/* and by the thread, before it begins one. */
void embed_await_round(void);

#endif
