/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_END_H
#define PEAL_END_H
/**
 * @file
 * What a sender and a receiver have in common: one end of a ring.
 *
 * Nothing in here is for programs: they use ring.h. It is installed because
 * the few lines that run for each item are inline.
 *
 * The two ends mirror each other. Each has a position of its own (a sender its
 * tail, a receiver its head) and a limit up to which the items are its own to
 * use, which the other end moves by moving its position:
 *
 *	sender:    here = tail   limit = head + capacity   (room)
 *	receiver:  here = head   limit = tail              (data)
 *
 * so that `limit - here` items are available, and both ends wait, wake and
 * check the other end's words by the same few functions.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include <peal/doorbell.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* A full fence: gcc's ThreadSanitizer warns of the usual one (-Wtsan). */
#ifdef __SANITIZE_THREAD__
#define PEAL_END_FENCE() __sync_synchronize()
#else
#define PEAL_END_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/** Counts of one end since it was attached. */
struct peal_ring_stats {
	uint64_t doorbells;   /**< times it rang the other end */
	uint64_t bell_errors; /**< rings that failed */
	uint64_t stalls;      /**< times it had too little and armed for more */
	uint64_t transitions; /**< times it had found too little, then enough */
	uint64_t items;	      /**< committed, or released */
};

/** One end of a ring. Every field is private. */
struct peal_end {
	/* Touched for each item or batch. */
	unsigned char *items;
	uint64_t here;	    /* own position; the shared word follows it */
	uint64_t limit;	    /* see above; checked, moves forward only */
	uint64_t mask;	    /* capacity - 1 */
	uint64_t wrap;	    /* items from the first to where spans must end */
	uint64_t item_size; /* bytes */
	uint64_t *position; /* own word, shared */
	const uint64_t *peer_wake; /* the peer's word, shared */
	bool light; /* publishes without a fence, see ring/fence.c */
	/* A sender's messages, in units of 8 bytes from here on: message.h. */
	uint64_t staged;   /* complete, and not published yet */
	uint64_t start;	   /* where the one that is filled in begins */
	uint64_t reserved; /* for it, its header included; 0: there is none */

	/* Touched where publishing takes a fence anyway. */
	uint64_t fenced;     /* publishes since the last ring */
	uint64_t lighten_at; /* of them: then it may do without */

	/* Touched when the limit that is known falls short. */
	const uint64_t *peer_position;
	const uint64_t *peer_state;
	uint64_t capacity;  /* items */
	uint64_t bias;	    /* limit - the peer's position: capacity or 0 */
	uint64_t watermark; /* items to be woken for */
	uint64_t spin;	    /* nanoseconds to poll before it sleeps */
	unsigned glances;   /* without: looks before it sleeps, see wait.c */
	uint64_t begin;	    /* own position when it was attached */
	unsigned looks;	    /* in vain, since the peer was seen to move */
	uint64_t want;	    /* items that it waits for */
	uint64_t target;    /* the peer's position that it waits for */
	uint64_t armed;	    /* what of it is stored in the wake word */
	uint64_t *wake;	    /* own word, shared */
	uint64_t *state;    /* own word, shared */
	uint64_t *counts;   /* own words, shared: for those who look on */
	const uint64_t *peer_light, *peer_barrier;
	uint64_t *own_light, *own_barrier;
	bool may_light; /* the kernel reaches us with its barriers */
	bool barriers;	/* were offered, so that the peer may lean on them */
	bool fresh;  /* it stored its wake word, or was rung, lately, so that */
	bool unsure; /* one who publishes without a fence may be missed */
	/* What was there when a receiver was last offered less than it waits
	 * for, or when a sender last roused a receiver for that. */
	uint64_t offered_here, offered_limit;
	int error;	/* sticky: -EPROTO, or -EPIPE once it was finished */
	int end_reason; /* why the peer will move no more, once ended */
	int suspect;	/* rings yet to be measured by the time of the thread */
	int dear;	/* of those measured, how many were */
	bool sender;
	bool waiting;	/* armed, and not yet found satisfied */
	bool ended;	/* the peer moves no more, limit is the last one */
	bool flooded;	/* the last arm may have brought bells without end */
	bool swallowed; /* bells that may have been for the sibling */
	bool marooned;	/* between two peers */
	unsigned undrained; /* arms since the bell was cleared */
	int lifeline;	    /* an fd that hangs up with the peer, or -1 */
	int watch_fd;	    /* what blocking calls wait on, see wait.c, or -1 */
	struct peal_doorbell rings;    /* the peer */
	struct peal_doorbell waits_on; /* for the peer */
	/* Has whoever waits for this end look at it, or NULL. */
	void (*stir)(void *waiter);
	void *waiter;
	struct peal_end *sibling; /* that waits on the same bell, or NULL */
	struct peal_ring_stats stats;
};

/**
 * Look at the peer's position again.
 * @return  how many items are available, or the sticky error
 */
ssize_t peal_end_refresh(struct peal_end *end, uint64_t want);

/**
 * The same for one item, for who may be looking again and again.
 */
ssize_t peal_end_look(struct peal_end *end);

/**
 * A sender's: make sure of n free items, or arm for them.
 * @return  how many are free, 0 it is armed, or an error of
 *          peal_sender_reserve()
 */
ssize_t peal_end_reserve(struct peal_end *end, uint64_t n);

/** With or without a fence from now on? See ring/fence.c. */
void peal_end_adapt(struct peal_end *end);

/** Ring the peer, and count it. @return 0 or the bell's error */
int peal_end_ring(struct peal_end *end);

/**
 * A sender's of messages (message.h): reserve room for one where that takes a
 * look at the receiver's position, or leads to the front of the memory.
 * @return  1, 0 there is too little, or the errors of peal_message_reserve()
 */
int peal_end_room(struct peal_end *end, size_t size);

/**
 * A receiver's of messages: a record that is none leads to the front of the
 * memory, or it is impossible.
 * @param record  its header, as it was loaded once
 * @param at      its position; then the one behind it
 * @return        0, or -EPROTO, for good
 */
int peal_end_skip(struct peal_end *end, uint64_t record, uint64_t *at);

/** The items from here on, as one span of at most n. @return how many */
static inline ssize_t peal_end_span(const struct peal_end *end, uint64_t n,
				    void *items)
{
	uint64_t index = end->here & end->mask;
	uint64_t room = end->wrap - index;
	void *first = end->items + index * end->item_size;

	memcpy(items, &first, sizeof(first));
	return (ssize_t)(n < room ? n : room);
}

/**
 * Move the own position by n items and ring the peer if that crosses the
 * position it waits for: `here - wake < n` says that the wake position lies
 * behind the old position and not behind the new one. This is virtio's event
 * index with 64-bit positions (Virtual I/O Device Specification 1.2, 2.7.10).
 */
static inline int peal_end_publish(struct peal_end *end, uint64_t n)
{
	uint64_t here = end->here + n, wake;

	/* More than there is, or nothing at all. */
	if (__builtin_expect(n - 1 >= end->limit - end->here, 0)) {
		ssize_t ret = n == 0 ? 0 : peal_end_refresh(end, 0);

		return n == 0 || ret < 0 ? (int)ret : -EINVAL;
	}
	end->here = here;
	/* Pairs with the acquire load in peal_end_refresh(): whoever sees the
	 * position sees the items, or is allowed to overwrite them.
	 * wake.pml: publish_release */
	__atomic_store_n(end->position, here, __ATOMIC_RELEASE);
	/* Pairs with the fence in peal_end_arm(), or with its barrier: either
	 * the waiter's recheck sees the position, or we see its wake word.
	 * wake.pml: publish_fence */
	if (__builtin_expect(end->light, 1)) {
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	} else {
		PEAL_END_FENCE();
		if (__builtin_expect(++end->fenced >= end->lighten_at, 0))
			peal_end_adapt(end);
	}
	wake = __atomic_load_n(end->peer_wake, __ATOMIC_RELAXED);
	if (__builtin_expect(here - wake < n, 0)) /* wake.pml: crossing */
		return peal_end_ring(end);
	return 0;
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
