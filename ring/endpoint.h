/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_RING_ENDPOINT_H
#define PEAL_RING_ENDPOINT_H
/*
 * The wake protocol of one end, as the blocking calls and the reactor use it.
 *
 *	peal_end_aim()	    say what for, in private
 *	peal_end_store()    clear the bell where needed, store the wake position
 *	peal_end_fence()    once for any number of ends
 *	peal_end_check()    look again: if there is nothing, sleep on the bell
 *
 * Never clear after the check, never sleep without it.
 */
#include <time.h>

#include <peal/ring.h>

#include "layout.h"
#include "tsan.h"

/* A ring that costs so much, in half of so many looks, is dear. */
#define PEAL_DEAR_NS 200000u
#define PEAL_DEAR_LOOKS 32

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

/* Count, and let those who look on see it; in cold paths only. */
#define PEAL_COUNT(end, what)                                                  \
	peal_store_relaxed(                                                    \
		&(end)->counts[offsetof(struct peal_ring_stats, what) /        \
			       sizeof(uint64_t)],                              \
		++(end)->stats.what)

static inline uint64_t peal_clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* To the processor, in a loop that polls. */
static inline void peal_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* What a look at a waiting end says. */
enum peal_found {
	PEAL_FOUND_SHORT,  /* too little: it may sleep */
	PEAL_FOUND_ENOUGH, /* as much as it waits for */
	PEAL_FOUND_OFFER,  /* less, but the sender cannot go on without room */
	PEAL_FOUND_END,	   /* the peer moves no more; there may be items left */
	PEAL_FOUND_BROKEN, /* end->error says why */
};

/* end.c */

int peal_end_attach(struct peal_end *end, const struct peal_ring *ring,
		    bool sender, const struct peal_doorbell *rings,
		    const struct peal_doorbell *waits_on);
void peal_end_finish(struct peal_end *end);
void peal_end_hangup(struct peal_end *end, int reason);
/* The peer has broken the protocol: it is told, for good. @return -EPROTO */
int peal_end_break(struct peal_end *end);
void peal_end_stats(const struct peal_end *end, struct peal_ring_stats *stats);

/* Items available as far as is known, without looking. */
static inline uint64_t peal_end_known(const struct peal_end *end)
{
	return end->limit - end->here;
}

/* Has the peer reached the position that this end waits for? */
static inline bool peal_end_reached(const struct peal_end *end)
{
	return end->limit - end->bias - end->target <= UINT64_MAX / 2;
}

/* bell.c */

/* As peal_doorbell_clear(), and what it costs is judged. */
int peal_end_clear(struct peal_end *end);
/* At an arm: before what was heard fills the bell. */
void peal_end_drain(struct peal_end *end);
/*
 * What is to be told to whoever waits for this end, though the peer will not
 * ring: a reactor listens, and an eventfd or a pipe of our own can be rung by
 * the waiter as well. @return false: there is no way
 */
bool peal_end_ring_self(struct peal_end *end);

/* arm.c */

int peal_end_set_watermark(struct peal_end *end, size_t n);
/*
 * Wait for `want` items, 1 to the capacity, counted from the own position.
 * `beyond`: and for more than what is known now, which the user has declined.
 */
void peal_end_aim(struct peal_end *end, uint64_t want, bool beyond);
void peal_end_store(struct peal_end *end);
static inline void peal_end_fence(void)
{
	PEAL_END_FENCE();
}
/*
 * After the fence: does the peer publish without one? Then a barrier is due,
 * once for any number of ends, and another look later.
 * wake.pml: light_acquire, light_every_arm, light_after_fence
 */
static inline bool peal_end_needs_barrier(const struct peal_end *end)
{
	/* One who says so without an offer is no honest peer. */
	return end->barriers && end->fresh &&
	       __atomic_load_n(end->peer_light, __ATOMIC_ACQUIRE) != 0;
}
enum peal_found peal_end_check(struct peal_end *end);
/* Has the peer done anything since? Two loads, for those who poll. */
bool peal_end_stirred(const struct peal_end *end);
/* Does the peer say that it waits for what this end has not done yet? */
bool peal_end_wanted(const struct peal_end *end);

/* The wait is over, as was found, and its owner is told: a transition. */
void peal_end_settle(struct peal_end *end, enum peal_found found);

/*
 * All of it for one end; a transition if it returns false, but for one that is
 * unsure then: it is armed, and has to look again after PEAL_LATE_NS.
 */
bool peal_end_arm(struct peal_end *end, uint64_t want);
/* After so long: what is stored is seen by now. See fence.c. */
static inline void peal_end_settled(struct peal_end *end)
{
	end->fresh = end->unsure = false;
}
/* For loops that are not ours, where nobody would look again. */
bool peal_end_arm_by_hand(struct peal_end *end);
/* As peal_end_reserve() of one item, for callers that must not sleep. */
ssize_t peal_end_reserve_awake(struct peal_end *end);

/*
 * A blocking call takes the wait of a reactor's end over. The reactor has
 * promised a callback, and is told to look again when the call is over.
 */
struct peal_owed {
	bool callback;
	uint64_t want, target, offered_here, offered_limit; /* as in the end */
};
struct peal_owed peal_end_owes(const struct peal_end *end);
/* Also if a call that ends leaves the end armed, and a look is due. */
void peal_end_pay(struct peal_end *end, const struct peal_owed *owed);

/* wait.c */

void peal_end_set_spin(struct peal_end *end, uint64_t most);
/* Sleep until n are available. @return how many, 0 or an error */
ssize_t peal_end_wait(struct peal_end *end, uint64_t n, int timeout_ms);
/* It waits no more, or for another bell: close what it waited with. */
void peal_end_unwatch(struct peal_end *end);

/* When so many milliseconds will be over, and what is left until then. */
uint64_t peal_end_deadline(int timeout_ms);
int peal_end_left_ms(uint64_t deadline);

/*
 * Sleep until a bell is rung, or what keeps the peer's end of `lifeline` open
 * is gone; -1 for none.
 */
enum peal_heard {
	PEAL_HEARD_NOTHING,
	PEAL_HEARD_BELL,
	PEAL_HEARD_HANGUP
};
int peal_doorbell_listen(const struct peal_doorbell *bell, int lifeline,
			 int timeout_ms);

/* fence.c */

/* At attach: what this process and this kernel can do. */
void peal_fence_init(struct peal_end *end);
/* The peer sleeps now and then: with a fence from now on. */
void peal_fence_restore(struct peal_end *end);
/* As long as it takes, many times over, until a store is seen by all; the
 * fuzzers have nobody to wait for. */
#ifndef PEAL_LATE_NS
#define PEAL_LATE_NS 1000000u
#endif

/* In all threads that publish without a fence; or so it should be. */
void peal_fence_barrier(void);
/* Sleep until what is stored now is seen, and do without from now on. */
void peal_fence_by_hand(struct peal_end *end);
void peal_fence_allow(struct peal_end *end, bool allow);

#endif
