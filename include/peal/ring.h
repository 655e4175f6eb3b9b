/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_RING_H
#define PEAL_RING_H
/**
 * @file
 * Rings of fixed-size items with one sender and one receiver, in any memory
 * that both can reach: a static array, malloc(3), a mapping, a memfd.
 *
 * The sender reserves items, fills them in place and commits them; the
 * receiver peeks at them in place and releases them. Neither locks, allocates
 * or makes a system call for that, but for one: to ring the doorbell of the
 * other end when that end sleeps and now has what it waits for.
 *
 *	static unsigned char memory[PEAL_RING_SIZE(1024, sizeof(int))];
 *	struct peal_geometry geometry = { .capacity = 1024,
 *					  .item_size = sizeof(int) };
 *	struct peal_ring ring;
 *	struct peal_sender tx;
 *	struct peal_receiver rx;
 *	int *room;
 *	const int *data;
 *
 *	peal_geometry_fit(&geometry, 0);
 *	peal_ring_format(&ring, &geometry, memory, sizeof(memory));
 *	peal_sender_attach(&tx, &ring, NULL, NULL);
 *	peal_receiver_attach(&rx, &ring, NULL, NULL);
 *
 *	if (peal_sender_reserve(&tx, 1, &room) > 0) {
 *		*room = 42;
 *		peal_sender_commit(&tx, 1);
 *	}
 *	if (peal_receiver_peek(&rx, &data) > 0) {
 *		printf("%d\n", *data);
 *		peal_receiver_release(&rx, 1);
 *	}
 *
 * With doorbells in the place of NULL either end can sleep until the other
 * end rings: peal_sender_wait(), peal_receiver_wait(), or a reactor.
 *
 * Caveats
 * - One sender and one receiver. Each is for one thread at a time.
 * - What lies between peek and release is shared with the sender. If you do
 *   not trust it, copy before you judge: it may change under your eyes.
 * - A peer that breaks the protocol (positions that cannot be) is found out:
 *   every call returns -EPROTO from then on. It can harm nothing but its ring.
 * - A span ends where the memory ends. In memory that is mapped twice in a row
 *   (PEAL_RING_TWICE) that is never in the way; in other memory a span may be
 *   shorter than what there is, and the next one begins at the front.
 */
#include <peal/end.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** The items are mapped twice in a row, at every end. */
#define PEAL_RING_TWICE 0x1u

/** Bytes of the two control pages, one per end. */
#define PEAL_RING_ITEMS_OFFSET 8192u

/** Bytes of a ring in memory of your own; the capacity a power of two. */
#define PEAL_RING_SIZE(capacity, item_size)                                    \
	(PEAL_RING_ITEMS_OFFSET + (size_t)(capacity) * (item_size))

/** The shape of a ring, the same for both ends. */
struct peal_geometry {
	uint64_t capacity;     /* rw: items */
	uint64_t item_size;    /* rw: bytes */
	uint64_t items_offset; /* ro: bytes before the items */
	uint32_t flags;	       /* ro: PEAL_RING_TWICE */
	char tag[64];	       /* rw: what the items are, such as "sample/1" */
	char name[64];	       /* rw: what the ring is for, shown by tools */
};

/** A ring where it lies in this process. Both ends are attached to it. */
struct peal_ring {
	void *sender_page;	       /* private */
	void *receiver_page;	       /* private */
	void *items;		       /* private */
	struct peal_geometry geometry; /* ro */
};

/** The end that fills items in. */
struct peal_sender {
	struct peal_end end; /* private */
};

/** The end that takes items out. */
struct peal_receiver {
	struct peal_end end; /* private */
};

/**
 * End the stream: the receiver drains what was committed, then sees the end.
 * What was reserved and not committed is dropped. May be called twice, and
 * with a sender that is all zero. Rings the receiver, and closes what
 * peal_sender_wait() has opened.
 */
void peal_sender_finish(struct peal_sender *tx);

/**
 * Wake the sender only when so many items are free.
 * @param n  1 (as it is after attach) to the capacity
 * @return   0, -EINVAL another n
 */
int peal_sender_set_watermark(struct peal_sender *tx, size_t n);

/**
 * Let peal_sender_wait() poll for a time before it sleeps: being woken costs a
 * thousand times what a look does. With one processor it does not poll.
 * @param spin_ns  nanoseconds, 0 (as it is after attach): never
 */
void peal_sender_set_spin(struct peal_sender *tx, uint64_t spin_ns);

/**
 * Find n free items or more; where there are fewer, ask to be woken.
 * @param n      1 to the capacity
 * @param items  address of a pointer: the first of them
 * @return       how many there are in one span; 0 too few are free, and the
 *               space bell will ring as soon as n, or as many as the
 *               watermark says, are; or
 *	-EINVAL  another n
 *	-EPIPE   the receiver is gone, or the sender was finished
 *	-EPROTO  the receiver left an impossible position, for good
 * The items are yours until peal_sender_commit(); the receiver sees nothing of
 * them before. Real-time safe but for one system call when a doorbell is owed
 * (the receiver may wait for more than fits in), and where it falls short what
 * peal_sender_set_barriers() says, and one to empty a pipe or a socket.
 */
static inline ssize_t peal_sender_reserve(struct peal_sender *tx, size_t n,
					  void *items)
{
	uint64_t room = tx->end.limit - tx->end.position;

	if (__builtin_expect(room < n || n == 0, 0)) {
		ssize_t ret = peal_end_reserve(&tx->end, n);

		if (ret <= 0)
			return ret;
		room = (uint64_t)ret;
	}
	return peal_end_span(&tx->end, room, items);
}

/**
 * Find free items, for senders that would rather drop than wait: where there
 * are none it does not arm.
 * @param items  address of a pointer: the first of them
 * @return       how many there are in one span, 0 the ring is full, -EPIPE,
 *               -EPROTO as above
 * Real-time safe: no system call, no lock, no allocation.
 */
static inline ssize_t peal_sender_try_reserve(struct peal_sender *tx,
					      void *items)
{
	uint64_t room = tx->end.limit - tx->end.position;

	if (__builtin_expect(room == 0, 0)) {
		ssize_t ret = peal_end_refresh_paced(&tx->end);

		if (ret <= 0)
			return ret;
		room = (uint64_t)ret;
	}
	return peal_end_span(&tx->end, room, items);
}

/**
 * Sleep until n items are free, or as many as the watermark says if they are
 * more; where n are free already, do not sleep.
 * @param n           1 to the capacity
 * @param timeout_ms  milliseconds of CLOCK_MONOTONIC, -1 for ever, 0 to look
 * @param items       address of a pointer: the first of them
 * @return            how many there are in one span, -ETIMEDOUT, the errors of
 *                    peal_sender_reserve(), or those of peal_doorbell_wait()
 * Signals do not end it. The first one that sleeps opens an fd, an epoll set in
 * which an eventfd needs no clearing (it may stay readable), and which
 * peal_sender_finish() closes. Where there is no fd to be had poll(2) does.
 */
ssize_t peal_sender_wait(struct peal_sender *tx, size_t n, int timeout_ms,
			 void *items);

/**
 * Publish the first n reserved items, as one batch.
 * @param n  0 to what is reserved
 * @return   0, or
 *	-EINVAL  more than is reserved: nothing was published
 *	-EPIPE, -EBADF, ...  the items are published, but the bell could not be
 *	         rung: do not commit them again
 * Real-time safe but for the one system call when a doorbell is owed.
 */
static inline int peal_sender_commit(struct peal_sender *tx, size_t n)
{
	return peal_end_publish(&tx->end, n);
}

/**
 * Copy in as many of n items as there is room for, as one batch; another batch
 * follows if the receiver makes room in the meantime.
 * @return  how many, -EPIPE or -EPROTO. If they are fewer than n, the ring is
 *          full, and the sender has armed: the space bell will ring as soon as
 *          one item, or as many as the watermark says, are free. In a loop of
 *          your own, call peal_sender_arm() before you sleep.
 * A bell that fails shows in peal_sender_stats(). Real-time safe but for one
 * system call when a doorbell is owed, and one to empty a pipe or a socket.
 */
ssize_t peal_sender_put(struct peal_sender *tx, const void *items, size_t n);

/**
 * Fill in up to n items one by one, and publish them as peal_sender_put() does.
 * @param fill  called for each free item; false ends it, and that item is not
 *              published
 * @param user  handed on to fill
 * @return      how many were published, -EPIPE or -EPROTO. If they are fewer
 *              than n though fill has not ended it, the sender has armed, as
 *              after peal_sender_put().
 */
ssize_t peal_sender_each(struct peal_sender *tx, size_t n,
			 bool (*fill)(void *item, void *user), void *user);

/** @return how many items are free now, -EPIPE or -EPROTO */
static inline ssize_t peal_sender_free(struct peal_sender *tx)
{
	return peal_end_refresh(&tx->end, UINT64_MAX); /* the end, too */
}

/** @return how many items the ring can hold */
static inline size_t peal_sender_capacity(const struct peal_sender *tx)
{
	return (size_t)tx->end.capacity;
}

/**
 * Sleep until the receiver has released all that was published.
 * @return  0, or the errors of peal_sender_wait()
 */
int peal_sender_drain(struct peal_sender *tx, int timeout_ms);

/** Read the counts of this end. */
void peal_sender_stats(const struct peal_sender *tx,
		       struct peal_ring_stats *stats);

/**
 * Take no more: the sender is told with -EPIPE. May be called twice, and with
 * a receiver that is all zero. Rings the sender, and closes what
 * peal_receiver_wait() has opened.
 */
void peal_receiver_finish(struct peal_receiver *rx);

/**
 * Wake the receiver only when so many items are there, or the stream ended, or
 * the sender cannot go on without room.
 * @param n  1 (as it is after attach) to the capacity
 * @return   0, -EINVAL another n
 */
int peal_receiver_set_watermark(struct peal_receiver *rx, size_t n);

/** As peal_sender_set_spin(), for peal_receiver_wait(). */
void peal_receiver_set_spin(struct peal_receiver *rx, uint64_t spin_ns);

/**
 * Find the items that were sent.
 * @param items  address of a pointer: the first of them
 * @return       how many there are in one span, 0 none (now, or any more: see
 *               peal_receiver_ended()), -EPIPE the receiver was finished,
 *               -EPROTO the sender left an impossible position, for good
 * They are yours until peal_receiver_release(). The sender's position is looked
 * at only when nothing that is known is left; peal_receiver_used() looks anew.
 * Real-time safe: no system call, no lock, no allocation.
 */
static inline ssize_t peal_receiver_peek(struct peal_receiver *rx, void *items)
{
	uint64_t data = rx->end.limit - rx->end.position;

	if (__builtin_expect(data == 0, 0)) {
		ssize_t ret = peal_end_refresh_paced(&rx->end);

		if (ret <= 0)
			return ret;
		data = (uint64_t)ret;
	}
	return peal_end_span(&rx->end, data, items);
}

/**
 * Sleep until n items are there, or as many as the watermark says if they are
 * more; where n are there already, do not sleep.
 * @param n           1 to the capacity
 * @param timeout_ms  milliseconds of CLOCK_MONOTONIC, -1 for ever, 0 to look
 * @param items       address of a pointer: the first of them
 * @return            how many there are in one span; fewer than n if the stream
 *                    ended, or if the sender waits for more room than there is;
 *                    0 the sender finished, and all was released; -EPIPE it
 *                    died, and all was released; -ETIMEDOUT, -EINVAL, the
 *                    errors of peal_receiver_peek() or peal_doorbell_wait()
 * Signals do not end it. It opens an fd as peal_sender_wait() does.
 */
ssize_t peal_receiver_wait(struct peal_receiver *rx, size_t n, int timeout_ms,
			   void *items);

/**
 * Give the first n items back to the sender, as one batch.
 * @param n  0 to what was found
 * @return   0, or
 *	-EINVAL  more than were found: nothing was released
 *	-EPIPE, -EBADF, ...  they are released, but the bell could not be rung
 * Real-time safe but for the one system call when a doorbell is owed.
 */
static inline int peal_receiver_release(struct peal_receiver *rx, size_t n)
{
	return peal_end_publish(&rx->end, n);
}

/**
 * Copy out and release up to n items, as one batch. This does not arm: a
 * reactor arms after each callback, and a loop of your own by
 * peal_receiver_arm().
 * @return  how many, 0 if there are none, -EPIPE or -EPROTO
 * A bell that fails shows in peal_receiver_stats().
 */
ssize_t peal_receiver_get(struct peal_receiver *rx, void *items, size_t n);

/**
 * Take up to n items one by one, and release them as one batch.
 * @param take  called for each item; false ends it, and that item stays
 * @param user  handed on to take
 * @return      how many were released, -EPIPE or -EPROTO
 */
ssize_t peal_receiver_each(struct peal_receiver *rx, size_t n,
			   bool (*take)(const void *item, void *user),
			   void *user);

/** @return how many items are there now, -EPIPE or -EPROTO */
static inline ssize_t peal_receiver_used(struct peal_receiver *rx)
{
	return peal_end_refresh(&rx->end, 0);
}

/** @return how many items the ring can hold */
static inline size_t peal_receiver_capacity(const struct peal_receiver *rx)
{
	return (size_t)rx->end.capacity;
}

/** @return true once the stream has ended and every item was released */
bool peal_receiver_ended(struct peal_receiver *rx);

/** Read the counts of this end. */
void peal_receiver_stats(const struct peal_receiver *rx,
			 struct peal_ring_stats *stats);

/* -- for programs that build rings; in memory of their own, with doorbells of
 * their own, or in a loop without a reactor. local.h, channel.h and reactor.h
 * do all of this for the others. */

/**
 * Complete a geometry: round the capacity up to a power of two and, where the
 * items are to be mapped twice, until they fill whole pages.
 * @param geometry  capacity and item_size set, tag and name if wanted, the
 *                  rest 0; changed on success alone
 * @param page      the page size of memory that will be mapped twice in a row
 *                  (peal_mem_page()), or 0 for any other memory
 * @return          0, -EINVAL a capacity or item size of 0, a page size of less
 *                  than 4096 or no power of two, a tag or name without a final
 *                  NUL,
 *                  -EOVERFLOW the ring does not fit into the address space
 */
int peal_geometry_fit(struct peal_geometry *geometry, size_t page);

/** Bytes of the items, counted once. */
static inline size_t peal_geometry_body(const struct peal_geometry *geometry)
{
	return (size_t)(geometry->capacity * geometry->item_size);
}

/**
 * Read the geometry of a ring from its memory.
 * @param geometry  filled in on success, untouched on failure
 * @param memory    aligned to 8 bytes
 * @param size      bytes of it that may be read, 4096 at least
 * @return          0, -EINVAL misaligned or too small,
 *	-EBADMSG         not a ring, or one of the other byte order
 *	-EPROTONOSUPPORT a ring of another layout version
 *	-EPROTO          a geometry that cannot be
 */
int peal_geometry_read(struct peal_geometry *geometry, const void *memory,
		       size_t size);

/**
 * Make an empty ring in memory that nobody uses.
 * @param ring      filled in on success, untouched on failure
 * @param geometry  from peal_geometry_fit()
 * @param memory    aligned to 8 bytes; the items are aligned as it is, up to
 *                  the page. With PEAL_RING_TWICE the items must be mapped
 *                  twice (peal_mem_create() with PEAL_MEM_TWICE).
 * @param size      bytes of memory, the second mapping not counted
 * @return          0, -EINVAL misaligned, or a geometry not from
 *                  peal_geometry_fit(), -ENOSPC size is too small
 * The memory stays yours, and must stay until both ends are finished.
 */
int peal_ring_format(struct peal_ring *ring,
		     const struct peal_geometry *geometry, void *memory,
		     size_t size);

/**
 * Find the ring that another process made in shared memory.
 * @param ring      filled in on success, untouched on failure
 * @param geometry  what it must be, to the letter; a tag or name of "" matches
 *                  any
 * @param memory    as for peal_ring_format()
 * @param size      likewise
 * @return          0, -EINVAL, -ENOSPC as for peal_ring_format(), the errors of
 *                  peal_geometry_read(), and -EPROTOTYPE it is a ring of
 *                  another geometry or tag
 * Everything is checked in a private copy; no size is read again later.
 */
int peal_ring_open(struct peal_ring *ring, const struct peal_geometry *geometry,
		   void *memory, size_t size);

/**
 * Become the sender of a ring: a new one, or one whose sender is gone, whose
 * position is taken up where it was published last. The receiver is rung if the
 * one before may have died before it did so.
 * @param tx     filled in on success, untouched on failure
 * @param data   the bell that the receiver waits on, or NULL: it polls
 * @param space  the bell to wait on for room, or NULL: you poll
 * @return       0, -EPROTO impossible positions, -EPIPE the sender before
 *               ended the stream
 * Bells are copied; keep their fds open as long as the sender is used.
 */
int peal_sender_attach(struct peal_sender *tx, const struct peal_ring *ring,
		       const struct peal_doorbell *data,
		       const struct peal_doorbell *space);

/**
 * For loops that are not ours: ask to be woken, and look once more.
 * @return  true: sleep, the space bell will ring; false: there is room (as
 *          much as the watermark says), or something to be told by reserve
 * A reserve that falls short has armed already. After a put or each that falls
 * short, this is needed before you sleep: neither of the two sleeps to be sure
 * of a receiver that leaves its fences out, or can ring a socket of its own.
 * Clear a bell that is waited on level-triggered before this, never after.
 */
bool peal_sender_arm(struct peal_sender *tx);

/** Take back what the receiver rang. @return as peal_doorbell_clear() */
int peal_sender_clear(struct peal_sender *tx);

/** @return the fd to wait on for room, readable when rung, or -1 */
int peal_sender_fd(const struct peal_sender *tx);

/**
 * The receiver is known to be gone: wait for it no more. Everything returns
 * -EPIPE from now on.
 */
void peal_sender_hangup(struct peal_sender *tx);

/**
 * Allow barriers, or forbid them, as it is at first for an end that you attach
 * yourself; a peal_local, and channels among those who trust each other, allow
 * them. A commit needs a fence, which costs more than all the rest of it. Where
 * both ends allow barriers it is left out after a thousand commits in a row
 * that found nobody asleep, and whoever goes to sleep at the other end then
 * lets the kernel interrupt the processors on which we run: membarrier(2), 1 to
 * 15 microseconds. Since kernels are known that leave one out, it looks once
 * more a millisecond later. Blocking calls and a reactor do that by themselves;
 * an end that is armed by hand, or by a reserve that falls short outside a
 * reactor, sleeps for it, and takes back what it allowed, so that it is rare.
 * Not for threads that nothing may interrupt.
 * Context: set-up; system calls, the first of which in a process may take some
 * milliseconds. Where the kernel has no such barriers nothing changes.
 */
void peal_sender_set_barriers(struct peal_sender *tx, bool allow);

/**
 * Become the receiver of a ring: a new one, or one whose receiver is gone, from
 * what was released last. The sender is rung if the one before may have died
 * before it did so.
 * @param rx     filled in on success, untouched on failure
 * @param data   the bell to wait on for items, or NULL: you poll
 * @param space  the bell that the sender waits on, or NULL: it polls
 * @return       0, -EPROTO impossible positions, -EPIPE the receiver before
 *               finished
 * Bells are copied; keep their fds open as long as the receiver is used.
 */
int peal_receiver_attach(struct peal_receiver *rx, const struct peal_ring *ring,
			 const struct peal_doorbell *data,
			 const struct peal_doorbell *space);

/**
 * For loops that are not ours: ask to be woken, and look once more.
 * @return  true: sleep, the data bell will ring; false: there is something (as
 *          many items as the watermark says, the end, or an error)
 * Clear a bell that is waited on level-triggered before this, never after.
 */
bool peal_receiver_arm(struct peal_receiver *rx);

/** Take back what the sender rang. @return as peal_doorbell_clear() */
int peal_receiver_clear(struct peal_receiver *rx);

/** @return the fd to wait on for items, readable when rung, or -1 */
int peal_receiver_fd(const struct peal_receiver *rx);

/**
 * The sender is known to be gone: what it has published up to now is the last.
 * Drain it; then peal_receiver_ended() is true.
 */
void peal_receiver_hangup(struct peal_receiver *rx);

/** As peal_sender_set_barriers(), for releases. */
void peal_receiver_set_barriers(struct peal_receiver *rx, bool allow);

/*
 * Where a pointer to a pointer is due, this refuses anything else, so that
 * items can be of any type without a cast.
 */
#define PEAL_SPAN(items)                                                       \
	((void)sizeof(*(items) == (const void *)0), (void *)(items))

#define peal_sender_reserve(tx, n, items)                                      \
	peal_sender_reserve(tx, n, PEAL_SPAN(items))
#define peal_sender_try_reserve(tx, items)                                     \
	peal_sender_try_reserve(tx, PEAL_SPAN(items))
#define peal_sender_wait(tx, n, timeout_ms, items)                             \
	peal_sender_wait(tx, n, timeout_ms, PEAL_SPAN(items))
#define peal_receiver_peek(rx, items) peal_receiver_peek(rx, PEAL_SPAN(items))
#define peal_receiver_wait(rx, n, timeout_ms, items)                           \
	peal_receiver_wait(rx, n, timeout_ms, PEAL_SPAN(items))

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
