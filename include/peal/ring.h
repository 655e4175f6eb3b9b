/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_RING_H
#define PEAL_RING_H
/**
 * @file
 * Rings of fixed-size items with one sender and one receiver, in any memory
 * that both can reach: a static array, malloc(3), a mapping, a memfd.
 *
 * The sender reserves items, fills these items in place, and commits them. The
 * receiver peeks at items in place, and releases them. Neither end locks or
 * allocates. An end makes one system call at most: if the other end sleeps, and
 * this end has just provided what the other end waits for, this end rings the
 * other end's doorbell.
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
 * With doorbells in the place of NULL an end can sleep until the other end
 * rings: in peal_sender_wait(), in peal_receiver_wait(), or in a reactor.
 *
 * Caveats
 * - One sender and one receiver. Each is for one thread at a time.
 * - The items between peek and release are shared with the sender, who can
 *   change them at any time. A receiver that does not trust the sender copies
 *   an item before the receiver checks the item.
 * - A peer that breaks the protocol (an invalid position) harms its own ring
 *   alone: from then on every call for this ring returns -EPROTO.
 * - A span ends where the memory ends. In memory that is mapped twice in a row
 *   (PEAL_RING_TWICE) all items are always one span. In other memory a span may
 *   have fewer items than are available, and the next span begins at the front.
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
 * End the stream. The receiver drains the items that were committed, then sees
 * the end. Items that were reserved and not committed are dropped. This call
 * rings the receiver, and closes the fd that peal_sender_wait() has opened. May
 * be called twice, and with a sender that is all zero.
 */
void peal_sender_finish(struct peal_sender *tx);

/**
 * Wake the sender only when so many items are free, or the receiver is gone.
 * @param n  1 (as it is after attach) to the capacity
 * @return   0, -EINVAL another n
 */
int peal_sender_set_watermark(struct peal_sender *tx, size_t n);

/**
 * Let peal_sender_wait() poll for a time before peal_sender_wait() sleeps. To
 * be woken costs a thousand times as much as a look. A thread that may run on
 * one processor only does not poll.
 * @param spin_ns  nanoseconds, 0 (as it is after attach): a few looks, which
 *                 take less time than a system call
 */
void peal_sender_set_spin(struct peal_sender *tx, uint64_t spin_ns);

/**
 * Find n free items or more; where there are fewer, ask to be woken.
 * @param n      1 to the capacity
 * @param items  address of a pointer: the first of them
 * @return       how many there are in one span; 0 too few are free, and the
 *               space bell will ring as soon as n are free, or as many as the
 *               watermark says if these are more; or
 *	-EINVAL  another n
 *	-EPIPE   the receiver is gone, or the sender was finished
 *	-EPROTO  the receiver left an impossible position, for good
 * The items are the caller's until peal_sender_commit(). The receiver does not
 * see the items before. Real-time safe where n items are free. Where fewer are
 * free this call can make system calls: one to ring a receiver that waits for
 * more items than fit in, one to empty a pipe or a socket, and those of
 * peal_sender_set_barriers().
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
 * Find free items, for senders that drop items rather than wait. If no item is
 * free the sender does not arm.
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
 * Signals do not end the wait. The first wait that sleeps opens an fd, an epoll
 * set, which peal_sender_finish() closes. An eventfd in this set needs no
 * clearing, and may stay readable. If no fd is left the wait uses poll(2).
 */
ssize_t peal_sender_wait(struct peal_sender *tx, size_t n, int timeout_ms,
			 void *items);

/**
 * Publish the first n reserved items, as one batch.
 * @param n  0 to what is reserved
 * @return   0, or
 *	-EINVAL  more than is reserved: nothing was published
 *	-EPIPE, -EBADF, ...  the items are published, but the bell could not be
 *	         rung: do not commit these items again
 * Real-time safe but for the one system call when a doorbell is owed.
 */
static inline int peal_sender_commit(struct peal_sender *tx, size_t n)
{
	return peal_end_publish(&tx->end, n);
}

/**
 * Copy in as many of n items as there is room for, as one batch. If the
 * receiver makes room in the meantime another batch follows.
 * @return  how many, -EPIPE or -EPROTO. If these are fewer than n, the ring is
 *          full, and the sender has armed: the space bell will ring as soon as
 *          as many items as the watermark says are free. A loop of the caller's
 *          own calls peal_sender_arm() before the loop sleeps.
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
	/* More than the capacity: also look whether the receiver has ended. */
	return peal_end_refresh(&tx->end, UINT64_MAX);
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
 * Take no more items: the calls of the sender return -EPIPE from now on. This
 * call rings the sender, and closes the fd that peal_receiver_wait() has
 * opened. May be called twice, and with a receiver that is all zero.
 */
void peal_receiver_finish(struct peal_receiver *rx);

/**
 * Wake the receiver only when so many items are there, or the stream has ended,
 * or the sender cannot go on without room.
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
 * The items are the caller's until peal_receiver_release(). This call loads the
 * sender's position only when no item that is known is left.
 * peal_receiver_used() loads the position in any case. Real-time safe: no
 * system call, no lock, no allocation.
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
 *                    0 the sender finished, and all was released; -EPIPE the
 *                    sender died, and all was released; -ETIMEDOUT, -EINVAL,
 *                    the errors of peal_receiver_peek() or peal_doorbell_wait()
 * Signals do not end the wait. The wait opens an fd as peal_sender_wait() does.
 */
ssize_t peal_receiver_wait(struct peal_receiver *rx, size_t n, int timeout_ms,
			   void *items);

/**
 * Give the first n items back to the sender, as one batch.
 * @param n  0 to what was found
 * @return   0, or
 *	-EINVAL  more than were found: nothing was released
 *	-EPIPE, -EBADF, ...  the items are released, but the bell could not be
 *	         rung
 * Real-time safe but for the one system call when a doorbell is owed.
 */
static inline int peal_receiver_release(struct peal_receiver *rx, size_t n)
{
	return peal_end_publish(&rx->end, n);
}

/**
 * Copy out and release up to n items, as one batch. This call does not arm. A
 * reactor arms after each callback, and a loop of the caller's own calls
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

/* -- for programs that build rings in memory of their own, with doorbells of
 * their own, or that wait in a loop without a reactor. For all other programs
 * local.h, channel.h and reactor.h do this. */

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
 *	-EPROTO          an invalid geometry
 */
int peal_geometry_read(struct peal_geometry *geometry, const void *memory,
		       size_t size);

/**
 * Make an empty ring in memory that nobody uses.
 * @param ring      filled in on success, untouched on failure
 * @param geometry  from peal_geometry_fit()
 * @param memory    aligned to 8 bytes; the items are aligned as the memory is,
 *                  up to the page. With PEAL_RING_TWICE the items must be
 *                  mapped twice (peal_mem_create() with PEAL_MEM_TWICE).
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
 * @param geometry  the geometry that the ring must have; a tag or name of ""
 *                  matches any
 * @param memory    as for peal_ring_format()
 * @param size      likewise
 * @return          0, -EINVAL, -ENOSPC as for peal_ring_format(), the errors of
 *                  peal_geometry_read(), and -EPROTOTYPE it is a ring of
 *                  another geometry or tag
 * The call checks a private copy of the geometry. No later call reads a size
 * from the memory again.
 */
int peal_ring_open(struct peal_ring *ring, const struct peal_geometry *geometry,
		   void *memory, size_t size);

/**
 * Become the sender of a ring. The ring is new, or its former sender is gone.
 * In a ring of a former sender the new sender continues at the position that
 * was published last. The former sender may have died between a publish and the
 * ring of the bell: then the new sender rings the receiver.
 * @param tx     filled in on success, untouched on failure
 * @param data   the bell that the receiver waits on, or NULL: the receiver
 *               polls
 * @param space  the bell to wait on for room, or NULL: you poll
 * @return       0, -EPROTO impossible positions, -EPIPE the former sender has
 *               ended the stream
 * Bells are copied; keep their fds open as long as the sender is used.
 */
int peal_sender_attach(struct peal_sender *tx, const struct peal_ring *ring,
		       const struct peal_doorbell *data,
		       const struct peal_doorbell *space);

/**
 * Arm before a loop of the caller's own sleeps, and look once more.
 * @return  true: sleep, the space bell will ring; false: as many items as the
 *          watermark says are free, or peal_sender_reserve() has an error, or
 *          this call has cleared a socket that is also the bell of the
 *          channel's receiver: look at both ends again
 * A reserve that falls short has armed already. A put or each that falls short
 * does not suffice, because neither of them can wait for a receiver that elides
 * its fences, or ring a socket of the sender's own. So call this after a put or
 * each that falls short, before the loop sleeps.
 * A bell that is waited on level-triggered is cleared before this call, never
 * after.
 */
bool peal_sender_arm(struct peal_sender *tx);

/** Clear the space bell. @return as peal_doorbell_clear() */
int peal_sender_clear(struct peal_sender *tx);

/** @return the fd to wait on for room, readable when rung, or -1 */
int peal_sender_fd(const struct peal_sender *tx);

/**
 * Say that the receiver is gone. Every call of the sender returns -EPIPE from
 * now on.
 */
void peal_sender_hangup(struct peal_sender *tx);

/**
 * Allow barriers, or forbid barriers. A program that attaches an end begins
 * with barriers forbidden. A peal_local, and channels whose bells are eventfds,
 * allow barriers. A commit needs a fence, which costs more than the rest of the
 * commit. Where both ends allow barriers, an end elides its fence after a
 * thousand commits in a row that rang no bell. An end that arms while its peer
 * elides fences lets the kernel interrupt the processors on which the peer
 * runs: membarrier(2), 1 to 15 microseconds. Some kernels leave a processor
 * out. So the end that armed looks once more a millisecond later. Blocking
 * calls and a reactor do this by themselves. An end that is armed by hand, or
 * by a reserve that falls short outside of a reactor, sleeps for this
 * millisecond. Such an end also withdraws its own offer of barriers, so that
 * the sleep is rare. Barriers are not for threads that nothing may interrupt.
 * Context: set-up; system calls, the first of which in a process may take some
 * milliseconds. Where the kernel has no such barriers nothing changes.
 */
void peal_sender_set_barriers(struct peal_sender *tx, bool allow);

/**
 * Become the receiver of a ring. The ring is new, or its former receiver is
 * gone. In a ring of a former receiver the new receiver continues at the
 * position that was released last. The former receiver may have died between a
 * release and the ring of the bell: then the new receiver rings the sender.
 * @param rx     filled in on success, untouched on failure
 * @param data   the bell to wait on for items, or NULL: you poll
 * @param space  the bell that the sender waits on, or NULL: the sender polls
 * @return       0, -EPROTO impossible positions, -EPIPE the former receiver has
 *               finished
 * Bells are copied; keep their fds open as long as the receiver is used.
 */
int peal_receiver_attach(struct peal_receiver *rx, const struct peal_ring *ring,
			 const struct peal_doorbell *data,
			 const struct peal_doorbell *space);

/**
 * Arm before a loop of the caller's own sleeps, and look once more.
 * @return  true: sleep, the data bell will ring; false: as many items as the
 *          watermark says have come, the stream has ended, there is an error,
 *          or this call has cleared a socket that is also the bell of the
 *          channel's sender: look at both ends again
 * A bell that is waited on level-triggered is cleared before this call, never
 * after.
 */
bool peal_receiver_arm(struct peal_receiver *rx);

/** Clear the data bell. @return as peal_doorbell_clear() */
int peal_receiver_clear(struct peal_receiver *rx);

/** @return the fd to wait on for items, readable when rung, or -1 */
int peal_receiver_fd(const struct peal_receiver *rx);

/**
 * Say that the sender is gone. The items that were published up to now are the
 * last. Once these are released peal_receiver_ended() is true.
 */
void peal_receiver_hangup(struct peal_receiver *rx);

/** As peal_sender_set_barriers(), for releases. */
void peal_receiver_set_barriers(struct peal_receiver *rx, bool allow);

/*
 * Refuse an argument that is not a pointer to a pointer. So items can be of any
 * type without a cast.
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
