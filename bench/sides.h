/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_SIDES_H
#define PEAL_BENCH_SIDES_H
/*
 * Processes that are measured, each pinned to a processor.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define BENCH_SIDES 9

/* What the sides share. */
struct bench_stage {
	unsigned n;
	uint32_t ready[BENCH_SIDES];
	uint64_t began[BENCH_SIDES], ended[BENCH_SIDES];
	bool traced; /* count system calls; it slows them down */
	uint64_t calls[BENCH_SIDES]; /* of them, from its start to its stop */
	uint64_t out[8];	     /* for the contestant's own use */
};

static inline uint64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Memory for several processes, faulted in; it is unmapped with them. */
void *bench_share(size_t size);
void bench_unshare(void *memory, size_t size);
/* In a side: map its pages now, not while the time runs. */
void bench_touch(void *memory, size_t size);

/*
 * Fork a process for each side, on processors 0, 1, 1, ... (or all of them on
 * the last one if `cpus` is 1), and wait until all have ended.
 * @return ns from the first start to the last stop, 0 one of them has failed
 */
uint64_t bench_fork(unsigned n, uint64_t cpus,
		    void (*side)(struct bench_stage *stage, unsigned i,
				 void *user),
		    void *user, struct bench_stage *out);

/* As bench_fork() on two processors, and their system calls are counted. */
void bench_trace(unsigned n,
		 void (*side)(struct bench_stage *stage, unsigned i,
			      void *user),
		 void *user, struct bench_stage *out);

/* For the sides: wait for the others, then take the time; and again. */
void bench_start(struct bench_stage *stage, unsigned i);
void bench_stop(struct bench_stage *stage, unsigned i);

/* Sleep until that side has stopped. */
void bench_await(struct bench_stage *stage, unsigned i);

/* Stay on this one. */
void bench_pin(unsigned cpu);
unsigned bench_cpus(void);

/* It is not as it must be: end with a text. */
_Noreturn void bench_fail(const char *what, int error);
static inline void bench_check(long long ret, const char *what)
{
	if (ret < 0)
		bench_fail(what, (int)-ret);
}
/* For calls that set errno. */
void bench_check_errno(long long ret, const char *what);

#endif
