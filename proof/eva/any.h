/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_ANY_H
#define PEAL_PROOF_ANY_H
/* Values of which nothing is known but what is said here. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern volatile int eva_any;
extern volatile uint64_t eva_word;

static inline bool any_bool(void)
{
	return eva_any != 0;
}

/* from <= it <= to */
static inline uint64_t any_between(uint64_t from, uint64_t to)
{
	uint64_t n = eva_word;

	return n < from ? from : n > to ? to : n;
}

static inline int any_int(int from, int to)
{
	int n = eva_any;

	return n < from ? from : n > to ? to : n;
}

/* As of a system call that says nothing but this. */
static inline int any_error(void)
{
	return any_int(-133, 0);
}

#endif
