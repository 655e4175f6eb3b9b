/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The clock, and deadlines of calls that take a time in milliseconds. */
#include <time.h>

#include "internal.h"

#define NSEC_PER_MS UINT64_C(1000000)

uint64_t peal_now(void)
{
	return peal_clock_ns(CLOCK_MONOTONIC);
}

uint64_t peal_deadline(int timeout_ms)
{
	if (timeout_ms < 0)
		return UINT64_MAX;
	return peal_time_add(peal_now(), (uint64_t)timeout_ms * NSEC_PER_MS);
}

int peal_left_ms(uint64_t deadline)
{
	uint64_t now;

	if (deadline == UINT64_MAX)
		return -1;
	now = peal_now();
	if (now >= deadline)
		return 0;
	return (int)((deadline - now + NSEC_PER_MS - 1) / NSEC_PER_MS);
}
