/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_CLOCK_H
#define PEAL_BENCH_CLOCK_H
/*
 * A clock that costs less than what it measures.
 */
#include <stdint.h>

#if defined(__x86_64__)
#include <x86intrin.h>
static inline uint64_t bench_ticks(void)
{
	return __rdtsc();
}
#else
#include "sides.h"
static inline uint64_t bench_ticks(void)
{
	return bench_now();
}
#endif

/* Nanoseconds of a tick; it is measured once, for 20 ms. */
double bench_tick(void);

#endif
