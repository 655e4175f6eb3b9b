/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Until when a blocking call waits, and how long that still is. */
#include "../reactor/internal.h"
#include "internal.h"

#define MS UINT64_C(1000000)

uint64_t peal_deadline(int timeout_ms)
{
	if (timeout_ms < 0)
		return UINT64_MAX;
	return peal_time_add(peal_now(), (uint64_t)timeout_ms * MS);
}

int peal_left_ms(uint64_t deadline)
{
	uint64_t now;

	if (deadline == UINT64_MAX)
		return -1;
	now = peal_now();
	return now < deadline ? (int)((deadline - now + MS - 1) / MS) : 0;
}
