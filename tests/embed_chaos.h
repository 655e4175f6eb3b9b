/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_EMBED_CHAOS_H
#define PEAL_TESTS_EMBED_CHAOS_H
/*
 * Random operations on a reactor with sources of every kind, and a model that
 * knows at any time whether a callback is owed to anybody. The callbacks check
 * that they are owed, and do random operations themselves. One thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include <peal/reactor.h>

#define CHAOS_SLOTS 16

/* What waits for its callback. */
enum chaos_owed {
	CHAOS_NOTHING,
	CHAOS_SOON, /* the kernel's timer may not have fired yet */
	CHAOS_NOW,
};

/**
 * Make sources of every kind, and add them.
 * @param late  fds may be told to be ready that are so no more
 */
void chaos_start(struct peal_reactor *reactor, uint64_t seed, bool late);
/* Remove them. */
void chaos_stop(void);
/* One operation, from outside of callbacks. */
void chaos_operate(void);
enum chaos_owed chaos_owed(void);
/* A random number below n. */
uint64_t chaos_below(uint64_t n);
/* How many callbacks of any kind there were. */
int chaos_calls(void);

#endif
