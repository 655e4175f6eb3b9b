/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_MESSAGES_H
#define PEAL_BENCH_MESSAGES_H
/*
 * Messages, one by one: what the contestants, of which some need a library,
 * share.
 */
#include "bench.h"
#include "work.h"

#define MESSAGES_STATE 8192

struct messages {
	const struct bench_point *point;
	const struct messages_how *how;
	uint64_t count;
	/* The contestant's own: what open() makes is there in both sides. */
	_Alignas(64) char state[MESSAGES_STATE];
};

struct messages_how {
	void (*open)(struct messages *m);
	/* In a side, before the time runs; may be NULL, as may leave(). */
	void (*enter)(struct messages *m, unsigned side);
	void (*send)(struct messages *m);
	uint64_t (*receive)(struct messages *m); /* @return sum of numbers */
	void (*leave)(struct messages *m, unsigned side);
	void (*close)(struct messages *m);
	bool spin, fences;
	int kind;
};

void messages_run(const struct bench_contestant *self,
		  const struct bench_point *point, uint64_t count,
		  struct bench_result *result);
bool messages_spinning(const struct bench_point *point);
bool messages_blocking(const struct bench_point *point);
/* Those that sleep are compared with those that do not, too. */
bool messages_any(const struct bench_point *point);

extern const struct bench_contestant messages_zmq, messages_nng, messages_qb,
	messages_qb_spinning, messages_sdbus;

#endif
