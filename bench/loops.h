/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_LOOPS_H
#define PEAL_BENCH_LOOPS_H
/*
 * Loops that wait on many doorbells, in one thread: some of them are rung, then
 * the loop runs until it has called back for each of them.
 */
#include <stddef.h>
#include <stdint.h>

#include "bench.h"

struct loops {
	const struct bench_point *point;
	const struct loops_how *how;
	uint64_t count; /* rounds */
	size_t n;	/* rings or eventfds */
	int *fds;	/* eventfds, if it is of them */
	uint64_t calls;
	void *state; /* the contestant's own */
};

struct loops_how {
	void (*open)(struct loops *l);
	void (*bell)(struct loops *l, size_t i);
	/* Serve what is ready, without waiting. */
	void (*serve)(struct loops *l);
	void (*close)(struct loops *l);
	bool edge;  /* no read, where there is a choice */
	bool idle;  /* with the point's idle rings */
	bool rings; /* no eventfds are to be made for it */
};

void loops_run(const struct bench_contestant *self,
	       const struct bench_point *point, uint64_t count,
	       struct bench_result *result);
/* Write an eventfd; read it. */
void loops_ring(struct loops *l, size_t i);
void loops_take(int fd);
void *loops_zeroed(size_t n, size_t size);

extern const struct bench_contestant loops_libevent, loops_libevent_edge,
	loops_libev, loops_libuv, loops_sdevent, loops_sdevent_edge;

#endif
