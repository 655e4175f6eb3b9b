/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_INBOX_H
#define PEAL_BENCH_INBOX_H
/*
 * Several senders and one receiver: what the contestants, of which some need a
 * library, share.
 */
#include "bench.h"
#include "work.h"

#define INBOX_MOST 4096 /* bytes of a message */

enum {
	INBOX_PIPE,
	INBOX_DATAGRAMS
};

struct inbox {
	const struct bench_point *point;
	const struct inbox_how *how;
	uint64_t count, each; /* messages: of all, of each */
	uint64_t sum;
	int fds[2], sockets[BENCH_SIDES][2];
	char address[64];
	char buffer[INBOX_MOST];
};

struct inbox_how {
	void (*open)(struct inbox *x);
	void (*receive_all)(struct inbox *x, struct bench_stage *stage);
	void (*send_all)(struct inbox *x, struct bench_stage *stage,
			 unsigned side);
	void (*close)(struct inbox *x);
	int kind;
};

/* The receiver can be connected to; wait until it can. */
void inbox_ready(struct bench_stage *stage);
void inbox_await(struct bench_stage *stage);
void inbox_run(const struct bench_contestant *self,
	       const struct bench_point *point, uint64_t count,
	       struct bench_result *result);
bool inbox_fits(const struct bench_point *point);

extern const struct bench_contestant inbox_zmq;

#endif
