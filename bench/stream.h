/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_STREAM_H
#define PEAL_BENCH_STREAM_H
/*
 * A stream of items from one process to another: how fast (stream.c), and how
 * many wake-ups (wake.c).
 */
#include <peal/local.h>

#include "bench.h"
#include "kernel.h"

struct stream {
	const struct bench_point *point;
	const struct stream_how *how;
	uint64_t count, batch;
	struct peal_local local;
	void *memory;
	size_t mapped;
	char *buffer; /* of the side's own */
	uint64_t capacity;
	int data[2], space[2]; /* eventfds, or the ends of something */
	uint64_t bells;	       /* written to them, by this side */
};

struct stream_how {
	bool spin, fences;
	uint64_t poll; /* nanoseconds, before it sleeps */
	void (*open)(struct stream *s);
	void (*send)(struct stream *s);
	uint64_t (*receive)(struct stream *s);
	enum kernel_kind kind;
};

void stream_open(struct stream *s, const struct stream_how *how,
		 const struct bench_point *point, uint64_t count);
/* In a side, before the time runs. */
void stream_enter(struct stream *s, unsigned side);
void stream_close(struct stream *s);

extern const struct stream_how stream_peal_blocking, stream_polling,
	stream_count_blocking, stream_by_pipe, stream_by_unix;

#endif
