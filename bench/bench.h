/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_H
#define PEAL_BENCH_H
/*
 * Measurements side by side.
 *
 *	main.c	   what is asked for
 *	plan.c	   how often each contestant runs, and the order
 *	report.c   tables, JSON, Markdown, plots
 *	sides.c	   two processes, each on a processor of its own
 *
 * and a source file for each family. A family is a list of points (item sizes,
 * numbers of rings, ...) and a list of contestants. At each point all the
 * contestants that can do it run once, one after the other, and then again:
 * what disturbs the machine disturbs them alike. A ratio is that of two runs
 * of the same round; the median of these is told.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sides.h"

#define BENCH_METRICS 3
#define BENCH_CONTESTANTS 24
#define BENCH_ROUNDS 101

/* What is measured: those that are 0 or NULL do not apply. */
struct bench_point {
	const char *mode; /* "spinning", "blocking" */
	uint64_t size;	  /* bytes of an item, packet or message */
	uint64_t batch;	  /* items */
	uint64_t ring;	  /* bytes */
	uint64_t cpus;	  /* that the sides run on */
	uint64_t rings;
	uint64_t active; /* of them */
	uint64_t senders;
	uint64_t idle; /* rings added besides */
	uint64_t timers;
	bool quick; /* also with --quick */
};

struct bench_result {
	double value[BENCH_METRICS];
	uint64_t ns; /* that it took, so that the next run takes as wanted */
	/* How often it took so long, or NULL; see histogram.h. */
	struct bench_histogram *histogram;
};

struct bench_contestant {
	const char *name;
	/* NULL: all points. */
	bool (*fits)(const struct bench_point *point);
	/* Do it `count` times. */
	void (*run)(const struct bench_contestant *self,
		    const struct bench_point *point, uint64_t count,
		    struct bench_result *result);
	const void *how; /* its own */
};

/* One of these, and its `how`: a struct how_ of what follows. */
#define BENCH_CONTESTANT(id, how_, run_, fits_, name_, ...)                    \
	static const struct how_ id##_how = { __VA_ARGS__ };                   \
	static const struct bench_contestant id = {                            \
		.name = name_, .fits = fits_, .run = run_, .how = &id##_how    \
	}

struct bench_family {
	const char *name, *what;
	const char *unit;
	const char *metrics[BENCH_METRICS]; /* NULL: a single one, no name */
	const struct bench_point *points;
	size_t n_points;
	const struct bench_contestant *const *contestants; /* ends with NULL */
	const char *reference; /* what the others are compared with */
	uint64_t first;	       /* times, to begin with */
};

extern const struct bench_family bench_stream, bench_roundtrip, bench_packet,
	bench_messages, bench_wake, bench_reactor, bench_inbox, bench_timers,
	bench_idle, bench_group;

/* -- plan.c */

struct bench_options {
	bool quick;
	bool json;
	uint64_t rounds;  /* runs of each, at each point */
	double seconds;	  /* for all families together, about */
	const char *only; /* contestants whose names begin so, or NULL */
	const char
		*points; /* those whose description has this in it, or NULL */
	const char *results; /* folder, or NULL */
	uint64_t count;	     /* times in each run; 0: by time */
};

/* What came out of a point. */
struct bench_table {
	const struct bench_family *family;
	const struct bench_point *point;
	size_t n, rounds;
	const struct bench_contestant *contestants[BENCH_CONTESTANTS];
	bool failed[BENCH_CONTESTANTS];
	double values[BENCH_CONTESTANTS][BENCH_METRICS][BENCH_ROUNDS];
	struct bench_histogram *histograms[BENCH_CONTESTANTS];
};

/* Is it the one that the others are compared with? */
bool bench_is_reference(const struct bench_family *family,
			const struct bench_contestant *contestant);

/* All points of the families; NULL ends the list. */
void bench_execute(const struct bench_family *const *families,
		   const struct bench_options *options);

/* -- report.c */
void bench_report_begin(const struct bench_options *options);
void bench_report(const struct bench_table *table,
		  const struct bench_options *options);
void bench_report_end(const struct bench_options *options);
/* "64 B by 32, blocking" */
void bench_describe(const struct bench_point *point, char *text, size_t size);

double bench_median(const double *values, size_t n);

#endif
