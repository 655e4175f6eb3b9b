/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_TIMERS_H
#define PEAL_BENCH_TIMERS_H
/*
 * Timers: started, stopped, started again, and then all of them fire.
 */
#include <stddef.h>
#include <stdint.h>

#include "bench.h"

struct timers {
	const struct bench_point *point;
	const struct timers_how *how;
	uint64_t count; /* rounds of them */
	size_t n;
	uint64_t began; /* of a round, where it is looked at */
	uint64_t fired;
	void *state; /* the contestant's own */
};

struct timers_how {
	void (*open)(struct timers *t);
	/* In so many nanoseconds. */
	void (*start)(struct timers *t, size_t i, uint64_t ns);
	void (*stop)(struct timers *t, size_t i);
	/* Call back those that are due, without waiting. */
	void (*serve)(struct timers *t);
};

void timers_run(const struct bench_contestant *self,
		const struct bench_point *point, uint64_t count,
		struct bench_result *result);

extern const struct bench_contestant timers_libevent, timers_libev,
	timers_libuv, timers_sdevent;

#endif
