/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_RING_INTERNAL_H
#define PEAL_RING_INTERNAL_H
/*
 * How the parts of ring/ meet:
 *
 *	ring.c	    what a ring is: geometry, two control pages, items
 *	end.c	    one end: its position, and its checked copy of the peer's
 *	sender.c    a sender's calls: to put, to fill in
 *	receiver.c  a receiver's calls: to get, to take
 *	message.c   messages of any size over a ring
 *	arm.c	    the wake protocol: aim, store, fence, recheck
 *	wait.c	    blocking calls: spin, arm, sleep, recheck
 *	fence.c	    fences that are elided, and the barriers for them
 *	bell.c	    the bells of one end: when to ring and to clear them
 *	doorbell.c  doorbells: eventfd, pipe, socket
 *	group.c	    groups of doorbells: marks in memory
 *	time.c	    the clock, deadlines
 *	version.c   the version of the library
 *
 *	floor.h	    what reactor/ and channel/ need of all this
 *
 * There is one circle of calls between these files. end.c calls bell.c, because
 * an end that breaks with its peer rings the peer's bell. bell.c calls end.c,
 * because a peer that makes its bell slow has broken the protocol. Any ring can
 * find the bell slow, also the ring of an inline publish. So no caller of
 * bell.c could break with the peer in the place of bell.c. The circle ends at
 * its second turn: peal_end_break() sets the error before this end rings, and
 * an end that has an error does not break again.
 *
 * Two processes, perhaps of different builds, have to agree on the shared
 * layout. <peal/end.h> has the page of an end. A change of the layout is a new
 * PEAL_LAYOUT_VERSION.
 *
 *	0		    the sender's page: the sender alone writes it
 *	items_offset / 2    the receiver's page: the receiver alone writes it
 *	items_offset	    the items: the sender alone writes them
 *
 * The process that formats the ring writes both pages, before any end attaches.
 * From then on no word has two authors. So a ring needs no atomic
 * read-modify-write.
 */
#include <time.h>

#include <peal/ring.h>

#include "floor.h"

#define PEAL_LAYOUT_MAGIC UINT64_C(0x474e49524c414550) /* "PEALRING" */
#define PEAL_LAYOUT_ENDIAN 0x01020304u
#define PEAL_PAGE_SIZE 4096u

/*
 * A peer that was offered barriers may rely on them until the peer looks at the
 * offer again. So the end that is attached next has to know of an offer that
 * was withdrawn.
 */
enum peal_barrier {
	PEAL_BARRIER_NEVER = 0,
	PEAL_BARRIER_OFFERED = 1,
	PEAL_BARRIER_WITHDRAWN = 2,
};

_Static_assert(sizeof(struct peal_header) == 192, "layout");
_Static_assert(offsetof(struct peal_header, capacity) == 24, "layout");
_Static_assert(offsetof(struct peal_header, tag) == 64, "layout");
_Static_assert(offsetof(struct peal_page, position) == 256, "layout");
_Static_assert(offsetof(struct peal_page, wake) == 384, "layout");
_Static_assert(offsetof(struct peal_page, state) == 392, "layout");
_Static_assert(offsetof(struct peal_page, elided) == 400, "layout");
_Static_assert(offsetof(struct peal_page, barrier) == 408, "layout");
_Static_assert(offsetof(struct peal_page, counts) == 512, "layout");
_Static_assert(offsetof(struct peal_page, pid) == 544, "layout");
_Static_assert(sizeof(struct peal_page) == PEAL_PAGE_SIZE, "layout");
_Static_assert(2 * sizeof(struct peal_page) == PEAL_RING_ITEMS_OFFSET,
	       "layout");
_Static_assert(offsetof(struct peal_ring_stats, items) == 32, "layout");
#if __GCC_ATOMIC_LLONG_LOCK_FREE != 2
#error "64-bit loads and stores must be lock-free"
#endif

/* An item touches the first cache line of an end, and a publish or a message
 * touches two. */
_Static_assert(offsetof(struct peal_end, fence) <= 64, "lines");
_Static_assert(offsetof(struct peal_end, capacity) <= 112, "lines");

/* To ring a bell takes longer than this: the peer has made the bell slow. */
#define PEAL_SLOW_RING_NS 200000u

static inline uint64_t peal_load_acquire(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline uint64_t peal_load_relaxed(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline void peal_store_relaxed(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* Count an event, and publish the count for tools. For cold paths only. */
#define PEAL_COUNT(end, what)                                                  \
	peal_store_relaxed(                                                    \
		&(end)->own->counts[offsetof(struct peal_ring_stats, what) /   \
				    sizeof(uint64_t)],                         \
		++(end)->stats.what)

static inline uint64_t peal_clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* end.c */

int peal_end_attach(struct peal_end *end, const struct peal_ring *ring,
		    bool sender, const struct peal_doorbell *peer_bell,
		    const struct peal_doorbell *own_bell);
void peal_end_finish(struct peal_end *end);
void peal_end_stats(const struct peal_end *end, struct peal_ring_stats *stats);

/* bell.c */

/* Each arm calls this. Otherwise rings that nobody cleared would fill the bell.
 */
void peal_end_drain(struct peal_end *end);
/*
 * The peer will not ring, but the thread that waits for this end has to wake.
 * A reactor is notified. A blocking call is woken by its own eventfd or pipe,
 * which this end rings.
 * @return  false: the end has no reactor, and cannot ring its own bell
 */
bool peal_end_ring_self(struct peal_end *end);

/* arm.c */

int peal_end_set_watermark(struct peal_end *end, size_t n);
/* Does the peer say that it waits for what this end has not done yet? */
bool peal_end_wanted(const struct peal_end *end);

/*
 * Aim, store, fence and recheck for one end.
 * @return  true: the end may sleep on its bell;
 *          false: the wait is done; or a recheck is due, as
 *          peal_end_recheck_due() says: then the end is armed, and may sleep
 *          for PEAL_RECHECK_NS
 */
bool peal_end_arm(struct peal_end *end, uint64_t want);
static inline bool peal_end_recheck_due(const struct peal_end *end)
{
	return end->wait.recheck == PEAL_RECHECK_DUE;
}

/* For a loop of the user, which makes no deferred recheck. */
bool peal_end_arm_by_hand(struct peal_end *end);
/* As peal_end_reserve() of one item, but this never sleeps. */
ssize_t peal_end_reserve_awake(struct peal_end *end);

/*
 * A blocking call may be made for an end that a reactor watches. The call then
 * replaces what the reactor waits for. The reactor still owes its user a
 * callback. So the call saves the reactor's wait, restores the wait when the
 * call returns, and notifies the reactor.
 */
struct peal_owed {
	bool callback;
	uint64_t want, target, offered_position,
		offered_limit; /* of end->wait */
};
struct peal_owed peal_end_owes(const struct peal_end *end);
/* This also notifies the reactor where a deferred recheck is due. */
void peal_end_pay(struct peal_end *end, const struct peal_owed *owed);

/* wait.c */

void peal_end_set_spin(struct peal_end *end, uint64_t most);
/* Sleep until n are available. @return how many, 0 or an error */
ssize_t peal_end_wait(struct peal_end *end, uint64_t n, int timeout_ms);

/*
 * Sleep until the bell is rung, or until the peer's end of the fd `lifeline` is
 * closed. A lifeline of -1 is none.
 * @return  enum peal_heard, or an error
 */
enum peal_heard {
	PEAL_HEARD_NOTHING,
	PEAL_HEARD_BELL,
	PEAL_HEARD_HANGUP
};
int peal_doorbell_listen(const struct peal_doorbell *bell, int lifeline,
			 int timeout_ms);

/* fence.c */

/* For an attach: this end offers no barriers, and elides no fence. */
void peal_fence_init(struct peal_end *end);
/* The peer sleeps now and then: publish with a fence from now on. */
void peal_fence_restore(struct peal_end *end);
/* Withdraw the offer, and sleep until every processor sees the wake word. */
void peal_fence_by_hand(struct peal_end *end);
void peal_fence_allow(struct peal_end *end, bool allow);

/*
 * To put items, to get items and to call a function for each item are the same
 * walk with another step. The walk is inlined, so that the step is inlined,
 * too.
 */
#define PEAL_ALWAYS_INLINE inline __attribute__((always_inline))

/* @return how many of n items in a row the step used; fewer end the walk */
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
		uint64_t index = (end->position + done) & end->mask;
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
		peal_tsan_release(&end->own->position);
		peal_end_publish(end, done);
	}
	return (size_t)done;
}

/* The rest of peal_end_walk(): fewer than n are available, or an error. */
ssize_t peal_end_walk_short(struct peal_end *end, ssize_t available, size_t n,
			    peal_step *step, void *user);

/*
 * Walk over up to n items from the own position on. A sender that finds room
 * for fewer than n items arms.
 * @return  how many the steps used, or an error of peal_end_refresh()
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
