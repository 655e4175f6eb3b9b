/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_RING_WALK_H
#define PEAL_RING_WALK_H
/*
 * To put, to get, and to do something with each item: the same walk with
 * another step. It is inlined, so that the step of an ordinary call is, too.
 */
#include "endpoint.h"

#define PEAL_ALWAYS_INLINE inline __attribute__((always_inline))

/* @return how many of n items in a row it used; fewer end the walk */
typedef size_t peal_step(unsigned char *items, size_t n, void *user);

/*
 * Walk over n items that are available, span by span, then publish those that
 * the steps used. @return how many
 */
static PEAL_ALWAYS_INLINE size_t peal_walk_over(struct peal_end *end,
						uint64_t n, peal_step *step,
						void *user)
{
	uint64_t done = 0;

	while (done < n) {
		uint64_t index = (end->here + done) & end->mask;
		uint64_t span = end->wrap - index;
		size_t used;

		if (span > n - done)
			span = n - done;
		used = step(end->items + index * end->item_size, (size_t)span,
			    user);
		done += used;
		if (used < span)
			break;
	}
	if (done > 0) {
		peal_tsan_release(end->position);
		peal_end_publish(end, done);
	}
	return (size_t)done;
}

/* Where there are fewer than n, or there is an error. */
ssize_t peal_end_walk_short(struct peal_end *end, ssize_t available, size_t n,
			    peal_step *step, void *user);

/*
 * Walk over up to n items from here on. A sender that finds less room than for
 * n arms. @return how many the steps used, or an error of peal_end_refresh()
 */
static PEAL_ALWAYS_INLINE ssize_t peal_end_walk(struct peal_end *end, size_t n,
						peal_step *step, void *user)
{
	ssize_t available = peal_end_refresh(end, n);

	if (__builtin_expect(available < 0 || (size_t)available < n, 0))
		return peal_end_walk_short(end, available, n, step, user);
	return (ssize_t)peal_walk_over(end, n, step, user);
}

#endif
