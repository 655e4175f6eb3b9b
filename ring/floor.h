/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_RING_FLOOR_H
#define PEAL_RING_FLOOR_H
/*
 * What ring/ offers to reactor/ and channel/, and not to users. These folders
 * include this header, and no other private header of ring/.
 *
 * How a reactor waits for an end:
 *
 *	peal_end_aim()	    say what the end waits for, in private memory
 *	peal_end_store()    clear the bell where needed, store the wake position
 *	peal_end_fence()    once for any number of ends
 *	peal_end_recheck()  refresh; if this finds too little, sleep
 *
 * Never clear the bell after the recheck, and never sleep without a recheck.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <peal/group.h>
#include <peal/ring.h>

/* A change of the shared layout is a new version. */
#define PEAL_LAYOUT_VERSION 1u

/* The values of `state` in a page. Any other value breaks the protocol. */
enum peal_state {
	PEAL_STATE_OPEN = 0,
	PEAL_STATE_FINISHED = 1, /* position is the last one */
	PEAL_STATE_BROKEN = 2, /* this end found the peer's words impossible */
};

/* What a recheck finds. */
enum peal_found {
	PEAL_FOUND_SHORT,  /* too little: the end may sleep */
	PEAL_FOUND_ENOUGH, /* as much as the end waits for */
	PEAL_FOUND_OFFER,  /* less, but the sender cannot go on without room */
	PEAL_FOUND_END,	   /* the peer moves no more; items may be left */
	PEAL_FOUND_BROKEN, /* peal_end_error() says why */
};

/* -- the state of an end */

static inline bool peal_end_is_attached(const struct peal_end *end)
{
	return end->own != NULL;
}

static inline bool peal_end_is_sender(const struct peal_end *end)
{
	return end->sender;
}

/* @return 0, -EPROTO, or -EPIPE once this end was finished */
static inline int peal_end_error(const struct peal_end *end)
{
	return end->error;
}

/* The peer moves no more, and peal_end_reason() says why. */
static inline bool peal_end_ended(const struct peal_end *end)
{
	return end->ended;
}

static inline int peal_end_reason(const struct peal_end *end)
{
	return end->end_reason;
}

/* Items available as far as this end knows, without a look at the peer. */
static inline uint64_t peal_end_known(const struct peal_end *end)
{
	return end->limit - end->position;
}

static inline uint64_t peal_end_capacity(const struct peal_end *end)
{
	return end->capacity;
}

static inline uint64_t peal_end_position(const struct peal_end *end)
{
	return end->position;
}

/* Unchecked: the peer may say anything. */
static inline uint64_t peal_end_peer_position(const struct peal_end *end)
{
	return __atomic_load_n(&end->peer->position, __ATOMIC_ACQUIRE);
}

static inline uint64_t peal_end_peer_state(const struct peal_end *end)
{
	return __atomic_load_n(&end->peer->state, __ATOMIC_ACQUIRE);
}

/* The position at which the own position last passed the front of the memory.*/
static inline uint64_t peal_end_lap(const struct peal_end *end)
{
	return end->position & ~end->mask;
}

/* The bell that the peer rings, and this end waits on. */
static inline const struct peal_doorbell *peal_end_own_bell(
	const struct peal_end *end)
{
	return &end->bell.own;
}

/* How often this end has armed. */
static inline uint64_t peal_end_arms(const struct peal_end *end)
{
	return end->stats.stalls;
}

/* Where the message that is reserved begins, behind its header. */
static inline void *peal_end_reserved(const struct peal_end *end)
{
	uint64_t index = (end->position + end->message.start) & end->mask;

	return end->items + 8 * index + 8;
}

/* -- to wait */

/*
 * Wait for `want` items, 1 to the capacity, counted from the own position.
 * `beyond`: the user has declined the items that this end knows of, so wait for
 * more than these.
 */
void peal_end_aim(struct peal_end *end, uint64_t want, bool beyond);

static inline uint64_t peal_end_watermark(const struct peal_end *end)
{
	return end->wait.watermark;
}

/* Does this end wait still? */
static inline bool peal_end_waits(const struct peal_end *end)
{
	return end->wait.active;
}

/* Has the peer reached the position that this end waits for? */
static inline bool peal_end_reached(const struct peal_end *end)
{
	return end->limit - end->bias - end->wait.target <= UINT64_MAX / 2;
}

/*
 * The peer has reached the target. But the user may have used these items
 * outside of a callback. Then this end has to aim again, further on.
 */
static inline bool peal_end_must_aim_again(const struct peal_end *end)
{
	return end->wait.active && peal_end_reached(end);
}

static inline void peal_end_aim_again(struct peal_end *end)
{
	peal_end_aim(end, end->wait.want, false);
}

void peal_end_store(struct peal_end *end);

static inline void peal_end_fence(void)
{
	PEAL_END_FENCE();
}

/*
 * The peer may miss the wake word of this end for a while if the peer elides
 * its fences. A bell by itself brings no order, so this holds after a bell,
 * too.
 */
static inline void peal_end_expect_recheck(struct peal_end *end)
{
	if (end->wait.recheck == PEAL_RECHECK_NONE)
		end->wait.recheck = PEAL_RECHECK_POSSIBLE;
}

/*
 * Ask this after the fence. If the peer elides its fences, then one barrier is
 * due, once for any number of ends, and a deferred recheck of each such end.
 * wake.pml: elide_acquire, elide_every_arm, elide_after_fence
 */
static inline bool peal_end_needs_barrier(const struct peal_end *end)
{
	/* A peer that elides without an offer is not honest. */
	return end->fence.offered && end->wait.recheck != PEAL_RECHECK_NONE &&
	       __atomic_load_n(&end->peer->elided, __ATOMIC_ACQUIRE) != 0;
}

/* Make a full fence in nearly all threads that elide their fences. fence.c says
 * which threads the kernel leaves out. */
void peal_fence_barrier(void);

/* A deferred recheck comes so long after the arm. A store is visible to every
 * processor many times sooner. The fuzzers have no peer, and define 0. */
#ifndef PEAL_RECHECK_NS
#define PEAL_RECHECK_NS 1000000u
#endif

enum peal_found peal_end_recheck(struct peal_end *end);

/* PEAL_RECHECK_NS have gone by since the arm, so every processor sees the wake
 * word. So the recheck that follows finds all that the peer published before
 * the peer could see the wake word. */
static inline void peal_end_wake_seen(struct peal_end *end)
{
	end->wait.recheck = PEAL_RECHECK_NONE;
}

/* Has the peer moved, or ended, since the last refresh? Two loads, for a caller
 * that polls. */
bool peal_end_peer_moved(const struct peal_end *end);

/* The wait is done, as the recheck found. If items are available, this counts
 * as a transition. */
void peal_end_wait_done(struct peal_end *end, enum peal_found found);

/* As peal_doorbell_clear(), but a socket that the peer makes slow is counted.
 */
int peal_end_clear(struct peal_end *end);

/* -- the reactor that waits for an end */

/* Claim the end for a reactor. Another thread may claim the end at the same
 * time.
 * @return  false: another thread was first */
static inline bool peal_end_claim(struct peal_end *end, void *notify_arg)
{
	void *nobody = NULL;

	return __atomic_compare_exchange_n(&end->notify_arg, &nobody,
					   notify_arg, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static inline bool peal_end_is_claimed_by(const struct peal_end *end,
					  const void *notify_arg)
{
	return end->notify_arg == notify_arg;
}

/* From now on this end calls `notify` where the peer will not ring. */
static inline void peal_end_set_notify(struct peal_end *end,
				       void (*notify)(void *notify_arg))
{
	end->notify = notify;
}

static inline void peal_end_unclaim(struct peal_end *end)
{
	end->notify = NULL;
	/* Pairs with the acquire in peal_end_claim(). */
	__atomic_store_n(&end->notify_arg, NULL, __ATOMIC_RELEASE);
}

/* -- the life of an end */

/* The peer has broken the protocol: end the ring for good, and tell the peer.
 * @return  -EPROTO, or the error that this end had before */
int peal_end_break(struct peal_end *end);
/* The peer is gone. What it has published is delivered before `reason`. */
void peal_end_hangup(struct peal_end *end, int reason);
/* The sender keeps its ring, and waits for a new receiver. */
void peal_end_detach(struct peal_end *end);
/* Publish in the new ring the items that the old ring's receiver has not
 * released. */
int peal_end_carry_over(struct peal_end *to, const struct peal_end *from);
/* Close what the blocking calls of this end have opened. */
void peal_end_unwatch(struct peal_end *end);

/*
 * Tell this end of its lifeline, an fd that hangs up when the peer dies, and of
 * the end that waits on the same bell. A sibling of NULL changes nothing.
 */
static inline void peal_end_bind(struct peal_end *end, int lifeline,
				 struct peal_end *sibling)
{
	end->wait.lifeline = lifeline;
	if (sibling)
		end->bell.sibling = sibling;
}

/* `withdrawn`: say in the own page that this end is broken. Otherwise say there
 * again whether this end is open or finished. */
static inline void peal_end_withdraw(const struct peal_end *end, bool withdrawn)
{
	enum peal_state state = end->error == -EPIPE ? PEAL_STATE_FINISHED
						     : PEAL_STATE_OPEN;

	if (end->own)
		__atomic_store_n(&end->own->state,
				 withdrawn ? PEAL_STATE_BROKEN : state,
				 __ATOMIC_RELEASE);
}

/* Has the receiver released all that this sender has published? */
static inline bool peal_end_all_taken(const struct peal_end *end)
{
	return peal_end_peer_position(end) == end->position;
}

/* -- rings that the peer makes slow: see bell.c */

#define PEAL_TIMED_RINGS 32

/* Time the next PEAL_TIMED_RINGS rings. */
static inline void peal_end_time_rings(struct peal_end *end)
{
	end->bell.rings_to_time = PEAL_TIMED_RINGS;
}

static inline bool peal_end_times_rings(const struct peal_end *end)
{
	return end->bell.rings_to_time != 0;
}

static inline int peal_end_slow_rings(const struct peal_end *end)
{
	return end->bell.slow_rings;
}

/* -- the two sides of a group's marks: doorbells ring, a reactor takes */

/* @return 0, or an error of write(2) */
int peal_group_ring(struct peal_group *group, uint32_t index);
void peal_group_return(struct peal_group *group, uint32_t index);

/*
 * Take the marks of one word.
 * @param word  then which word
 * @return      the marks; 0: there are none, or they were taken already
 */
uint64_t peal_group_take(struct peal_group *group, uint32_t *word);

/* A group that was closed has no marks any more. */
static inline bool peal_group_marked(const struct peal_group *group)
{
	return group->marks &&
	       __atomic_load_n(&group->marks->words, __ATOMIC_SEQ_CST) != 0;
}

/* The reactor says that it will sleep. After this the reactor makes a full
 * fence, and looks for marks once more, before it sleeps. */
static inline void peal_group_sleeps(struct peal_group *group, bool asleep)
{
	if (group->marks)
		__atomic_store_n(&group->marks->asleep, asleep,
				 __ATOMIC_RELAXED);
}

/* -- times: nanoseconds of CLOCK_MONOTONIC; UINT64_MAX is never */

static inline uint64_t peal_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The sum of two times; never where it would wrap. */
static inline uint64_t peal_time_add(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

uint64_t peal_now(void);
/* When a time in milliseconds will be over; a negative time is for ever. */
uint64_t peal_deadline(int timeout_ms);
/* The time until a deadline in milliseconds, rounded up, so that a wait does
 * not end before its time; -1 for ever. */
int peal_left_ms(uint64_t deadline);

/* -- small things */

/* The struct of which `pointer` is the member. */
#define PEAL_CONTAINER_OF(pointer, type, member)                               \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Tell the processor that this loop polls. */
static inline void peal_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/*
 * A program may be built with ThreadSanitizer, and the library without it. Then
 * ThreadSanitizer sees the inline half of a ring, which stores positions with
 * release, and does not see the library, which loads positions with acquire. So
 * ThreadSanitizer would report a race in a correct program. Where the program
 * brings ThreadSanitizer's functions, the library calls these functions. In any
 * other program the library tests a pointer.
 */
#if defined(__SANITIZE_THREAD__) || defined(__FRAMAC__)
#define PEAL_TSAN_SEES
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PEAL_TSAN_SEES
#endif
#endif

#ifndef PEAL_TSAN_SEES
/* libtsan has these, or all are NULL. With hidden visibility they would be NULL
 * in any program. */
#pragma GCC visibility push(default)
void __tsan_acquire(void *word) __attribute__((weak));
void __tsan_release(void *word) __attribute__((weak));
void __tsan_write8(void *word) __attribute__((weak));
#pragma GCC visibility pop
#endif

static inline bool peal_tsan_listens(void)
{
#ifdef PEAL_TSAN_SEES
	return false;
#else
	return __builtin_expect(__tsan_acquire != NULL, 0);
#endif
}

/* Call this after a load with acquire. */
static inline void peal_tsan_acquire(const void *word)
{
	(void)word;
#ifndef PEAL_TSAN_SEES
	if (peal_tsan_listens())
		__tsan_acquire((void *)(uintptr_t)word);
#endif
}

/* Call this before a store with release. */
static inline void peal_tsan_release(const void *word)
{
	(void)word;
#ifndef PEAL_TSAN_SEES
	if (peal_tsan_listens())
		__tsan_release((void *)(uintptr_t)word);
#endif
}

/* Call this for a word that belongs to one thread at a time. */
static inline void peal_tsan_write(const uint64_t *word)
{
	(void)word;
#ifndef PEAL_TSAN_SEES
	if (peal_tsan_listens())
		__tsan_write8((void *)(uintptr_t)word);
#endif
}

#endif
