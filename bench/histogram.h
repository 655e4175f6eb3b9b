/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_HISTOGRAM_H
#define PEAL_BENCH_HISTOGRAM_H
/*
 * How often something took so many nanoseconds: 128 buckets for each power of
 * two, so a value is told to 1 %. All zero is an empty one.
 */
#include <stdint.h>

#define HISTOGRAM_STEPS 128
#define HISTOGRAM_BUCKETS (36 * HISTOGRAM_STEPS)

struct bench_histogram {
	uint64_t n;
	uint64_t counts[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t ns)
{
	unsigned log, bucket;

	if (ns < HISTOGRAM_STEPS)
		return (unsigned)ns;
	log = 63 - (unsigned)__builtin_clzll(ns);
	bucket = (log - 6) * HISTOGRAM_STEPS +
		 (unsigned)(ns >> (log - 7)) % HISTOGRAM_STEPS;
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket. */
static inline double histogram_ns(unsigned bucket)
{
	unsigned log = bucket / HISTOGRAM_STEPS + 6;

	if (bucket < HISTOGRAM_STEPS)
		return bucket;
	return ((double)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS) + 0.5) *
	       (double)(UINT64_C(1) << (log - 7));
}

static inline void histogram_add(struct bench_histogram *h, uint64_t ns)
{
	h->n++;
	h->counts[histogram_bucket(ns)]++;
}

static inline void histogram_merge(struct bench_histogram *to,
				   const struct bench_histogram *from)
{
	to->n += from->n;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->counts[i] += from->counts[i];
}

/* @return ns that so large a part of them (0.99) does not exceed */
static inline double histogram_quantile(const struct bench_histogram *h,
					double part)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->counts[i];
		if ((double)seen >= part * (double)h->n && seen > 0)
			return histogram_ns(i);
	}
	return 0;
}

#endif
