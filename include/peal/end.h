/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_END_H
#define PEAL_END_H
/**
 * @file
 * What a sender and a receiver have in common: one end of a ring.
 *
 * Programs include ring.h, not this header. This header is installed because
 * the few lines that run for each item are inline, and these lines need struct
 * peal_end and the shared layout of a page.
 *
 * The two ends mirror each other. Each end has a position of its own: the
 * position of a sender is the tail, the position of a receiver is the head.
 * Each end may use the items from its position up to its limit. The limit
 * follows the position of the other end:
 *
 *	sender:    position = tail   limit = head + capacity   (room)
 *	receiver:  position = head   limit = tail              (data)
 *
 * So `limit - position` items are available. The same few functions serve both
 * ends: to wait, to wake the other end, and to check the other end's words.
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
	uint64_t doorbells;   /**< rings of the other end's bell */
	uint64_t bell_errors; /**< rings that failed */
	uint64_t stalls;      /**< times this end had too little, and armed */
	uint64_t transitions; /**< waits that ended with items */
	uint64_t items;	      /**< committed, or released */
};

/*
 * The shared layout. Each end has a control page, which that end alone writes
 * and the other end reads. Words that the other end reads for each batch, and
 * words that the other end reads before it sleeps, stand 128 bytes apart,
 * because processors fetch cache lines in pairs.
 */

/* peal_ring_format() writes the same header into both pages, once. */
struct peal_header {
	uint64_t magic;
	uint32_t version;
	uint32_t endian;
	uint32_t flags;
	uint32_t reserved;
	uint64_t capacity;
	uint64_t item_size;
	uint64_t items_offset;
	uint8_t reserved2[16];
	char tag[64];
	char name[64];
};

struct peal_page {
	struct peal_header header;
	uint8_t pad0[256 - sizeof(struct peal_header)];

	uint64_t position; /* the sender's tail, or the receiver's head */
	uint8_t pad1[384 - 256 - 8];

	uint64_t wake;	  /* the peer rings when the peer reaches this */
	uint64_t state;	  /* enum peal_state */
	uint64_t elided;  /* 1: this end publishes without a fence */
	uint64_t barrier; /* enum peal_barrier: does this end make barriers? */
	uint8_t pad2[512 - 384 - 32];

	/* Tools read these: struct peal_ring_stats up to the items. */
	uint64_t counts[4];
	uint64_t pid; /* of the process that attached last */
	uint8_t pad3[4096 - 512 - 40];
};

/*
 * Is the wake word that this end stored last visible to every processor? Only a
 * peer that elides its fences can miss the wake word.
 */
enum peal_recheck {
	/* Visible: the wake word was stored long ago. */
	PEAL_RECHECK_NONE,
	/* The wake word is new, or the peer rang lately. */
	PEAL_RECHECK_POSSIBLE,
	/* This end armed while the peer elided its fences. The end must look
	 * at the peer's position again PEAL_RECHECK_NS later. */
	PEAL_RECHECK_DUE,
};

/** One end of a ring. Every field is private. */
struct peal_end {
	/* Each item or batch touches these. They fill one cache line. */
	unsigned char *items;
	uint64_t position;     /* own position; the own page has a copy */
	uint64_t limit;	       /* see above; checked, moves forward only */
	uint64_t mask;	       /* capacity - 1 */
	uint64_t wrap;	       /* spans end at this index */
	uint64_t item_size;    /* bytes */
	struct peal_page *own; /* NULL: this end is not attached */
	const struct peal_page *peer; /* the peer writes this page at any time*/

	/* Each publish touches `elided`. A publish with a fence counts itself,
	 * and after `elide_after` of them without a ring this end may elide
	 * the fence. See ring/fence.c. */
	struct {
		bool elided;
		bool offered; /* the peer may elide: this end makes barriers */
		uint64_t publishes;   /* with a fence, since the last ring */
		uint64_t elide_after; /* UINT64_MAX: never */
	} fence;

	/* A sender of messages counts these from its position on, in units of
	 * 8 bytes. See message.h. */
	struct {
		uint64_t staged;   /* complete, but not published */
		uint64_t start;	   /* the reserved message begins here */
		uint64_t reserved; /* units, header included; 0: none */
	} message;

	/* An end touches all that follows only when its items run out. */
	uint64_t capacity; /* items */
	uint64_t bias;	   /* limit - the peer's position: capacity or 0 */

	/* What this end waits for, and how it sleeps. See ring/arm.c and
	 * ring/wait.c. */
	struct {
		uint64_t watermark; /* items; the user set this */
		uint64_t want;	    /* items that this end waits for */
		uint64_t target;    /* peer position that brings these items */
		uint64_t armed;	    /* the target that the wake word holds */
		/* The position and the limit at which a receiver was last
		 * offered items below its watermark, or at which a sender last
		 * kicked the receiver. The same pair is not used twice. */
		uint64_t offered_position;
		uint64_t offered_limit;
		uint64_t spin_ns;     /* this end polls so long, then sleeps */
		unsigned brief_spins; /* or so often, if spin_ns is 0 */
		unsigned empty_refreshes; /* since the peer last moved */
		enum peal_recheck recheck;
		int epoll_fd; /* blocking calls sleep in this set, or -1 */
		int lifeline; /* this fd hangs up when the peer dies, or -1 */
		bool active;  /* armed, and the wait is not done */
	} wait;

	/* The two doorbells, what this end knows about rings that nobody has
	 * cleared, and how slow the peer makes our rings. See ring/bell.c. */
	struct {
		struct peal_doorbell peer; /* this end rings the peer */
		struct peal_doorbell own;  /* the peer rings this end */
		struct peal_end *sibling;  /* shares the own bell, or NULL */
		unsigned arms_since_clear;
		bool overflow;	       /* the last arm may bring many rings */
		bool cleared_siblings; /* a ring for the sibling was cleared */
		int rings_to_time;     /* 0: one in 16 is timed */
		int slow_rings;	       /* of those that were timed */
	} bell;

	/* The end calls this function to have its reactor look at the end.
	 * NULL: no reactor serves the end. */
	void (*notify)(void *notify_arg);
	void *notify_arg;

	/* How this end, or its peer, ended; and which end this is. */
	int error;	/* sticky: -EPROTO, or -EPIPE after finish */
	int end_reason; /* why `ended` is set: 0 the peer finished */
	bool ended;	/* the peer moves no more, so the limit is final */
	bool detached;	/* the ring has no peer now; a new one may come */
	bool sender;

	/* Counts, for the user. */
	uint64_t first_position; /* at attach */
	struct peal_ring_stats stats;
};

/**
 * Look at the peer's position again. If fewer than `want` items are available,
 * also look whether the peer has ended.
 * @return  how many items are available, or the sticky error, or -EPIPE for a
 *          sender whose receiver has ended
 */
ssize_t peal_end_refresh(struct peal_end *end, uint64_t want);

/**
 * The same for one item. A caller that polls in a loop lets the peer get ahead.
 */
ssize_t peal_end_refresh_paced(struct peal_end *end);

/**
 * For a sender: find n free items, or arm for n free items.
 * @return  how many are free, 0 the sender has armed, or an error of
 *          peal_sender_reserve()
 */
ssize_t peal_end_reserve(struct peal_end *end, uint64_t n);

/** Decide whether this end elides its fences from now on. See ring/fence.c. */
void peal_end_adapt(struct peal_end *end);

/** Ring the peer's bell, and count the ring. @return 0 or the bell's error */
int peal_end_ring(struct peal_end *end);

/**
 * For a sender of messages: reserve room for a message. The inline calls of
 * message.h come here if the room that is known, or the rest of the memory, is
 * too small for the message.
 * @return  1, 0 there is too little room, or the errors of
 *          peal_message_reserve()
 */
int peal_end_room(struct peal_end *end, size_t size);

/**
 * For a receiver of messages: skip a record that is not a message. Such a
 * record leads to the front of the memory, or is invalid.
 * @param record  the record's header, as the receiver has loaded it once
 * @param at      the record's position; then the position behind the record
 * @return        0, or -EPROTO, for good
 */
int peal_end_skip(struct peal_end *end, uint64_t record, uint64_t *at);

/** The items from the position on, as one span of at most n. @return how many
 */
static inline ssize_t peal_end_span(const struct peal_end *end, uint64_t n,
				    void *items)
{
	uint64_t index = end->position & end->mask;
	uint64_t room = end->wrap - index;
	void *first = end->items + index * end->item_size;

	memcpy(items, &first, sizeof(first));
	return (ssize_t)(n < room ? n : room);
}

/**
 * Move the own position by n items, and ring the peer if this crosses the
 * position that the peer waits for. `position - wake < n` says that the wake
 * position is larger than the old position, and not larger than the new
 * position. This is virtio's event index with 64-bit positions (Virtual I/O
 * Device Specification 1.2, 2.7.10).
 */
static inline int peal_end_publish(struct peal_end *end, uint64_t n)
{
	uint64_t position = end->position + n, wake;

	/* n is more than what is known to be available, or 0. */
	if (__builtin_expect(n - 1 >= end->limit - end->position, 0)) {
		ssize_t ret = n == 0 ? 0 : peal_end_refresh(end, 0);

		return n == 0 || ret < 0 ? (int)ret : -EINVAL;
	}
	end->position = position;
	/* Pairs with the acquire load in peal_end_refresh(): a receiver that
	 * sees the position sees the items, and a sender that sees the
	 * position may overwrite the items.
	 * wake.pml: publish_release */
	__atomic_store_n(&end->own->position, position, __ATOMIC_RELEASE);
	/* Pairs with the fence in peal_end_arm(), or with its barrier: either
	 * the waiter's recheck sees the position, or this end sees the wake
	 * word.
	 * wake.pml: publish_fence */
	if (__builtin_expect(end->fence.elided, 1)) {
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	} else {
		PEAL_END_FENCE();
		if (__builtin_expect(++end->fence.publishes >=
					     end->fence.elide_after,
				     0))
			peal_end_adapt(end);
	}
	wake = __atomic_load_n(&end->peer->wake, __ATOMIC_RELAXED);
	if (__builtin_expect(position - wake < n, 0)) /* wake.pml: crossing */
		return peal_end_ring(end);
	return 0;
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
