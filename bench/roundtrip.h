/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_ROUNDTRIP_H
#define PEAL_BENCH_ROUNDTRIP_H
/*
 * There and back: what the contestants, of which some need a library, share.
 */
#include "bench.h"
#include "clock.h"
#include "histogram.h"
#include "work.h"

#define ROUNDTRIP_STATE 8192

struct roundtrip {
	const struct bench_point *point;
	const struct roundtrip_how *how;
	uint64_t count;
	double tick;
	struct bench_histogram *histogram; /* shared */
	/* The contestant's own: what open() makes is there in both sides. */
	_Alignas(64) char state[ROUNDTRIP_STATE];
};

struct roundtrip_how {
	void (*open)(struct roundtrip *r);
	/* In a side, before the time runs; may be NULL, as may leave(). */
	void (*enter)(struct roundtrip *r, unsigned side);
	void (*client)(struct roundtrip *r);
	void (*server)(struct roundtrip *r);
	void (*leave)(struct roundtrip *r, unsigned side);
	void (*close)(struct roundtrip *r);
	bool spin, fences;
	int kind;
};

/* client() of those whose `trip` sends a number and waits for it. */
#define ROUNDTRIP_CLIENT(name, trip)                                           \
	static void name(struct roundtrip *r)                                  \
	{                                                                      \
		uint64_t last = bench_ticks();                                 \
                                                                               \
		for (uint64_t i = 0; i < r->count; i++) {                      \
			uint64_t now;                                          \
                                                                               \
			if (trip(r, i) != i)                                   \
				bench_fail("what came back", 74);              \
			now = bench_ticks();                                   \
			histogram_add(                                         \
				r->histogram,                                  \
				(uint64_t)((double)(now - last) * r->tick));   \
			last = bench_ticks();                                  \
		}                                                              \
	}

/*
 * trip(), client() and server() of those who have two rings, there (0) and back
 * (1): kind_send(r, to, number) and kind_receive(r, from).
 */
#define ROUNDTRIP_RINGS(kind)                                                  \
	BENCH_INLINE uint64_t kind##_trip(struct roundtrip *r,                 \
					  uint64_t number)                     \
	{                                                                      \
		kind##_send(r, 0, number);                                     \
		return kind##_receive(r, 1);                                   \
	}                                                                      \
                                                                               \
	ROUNDTRIP_CLIENT(kind##_client, kind##_trip)                           \
                                                                               \
	static void kind##_server(struct roundtrip *r)                         \
	{                                                                      \
		for (uint64_t i = 0; i < r->count; i++)                        \
			kind##_send(r, 1, kind##_receive(r, 0));               \
	}

void roundtrip_run(const struct bench_contestant *self,
		   const struct bench_point *point, uint64_t count,
		   struct bench_result *result);
bool roundtrip_blocking(const struct bench_point *point);

extern const struct bench_contestant roundtrip_zmq, roundtrip_nng, roundtrip_qb,
	roundtrip_sdbus;

#endif
