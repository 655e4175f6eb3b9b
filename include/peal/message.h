/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_MESSAGE_H
#define PEAL_MESSAGE_H
/**
 * @file
 * Messages of any size over a ring: each with its length, with a number of
 * 32 bits that is yours (its kind), and in one piece wherever it lies.
 *
 * A ring of messages is a ring of units of 8 bytes, made and attached as any
 * other (ring.h); only its geometry comes from here.
 *
 *	struct peal_geometry geometry = { .name = "chat" };
 *	struct peal_local ring;
 *	struct peal_message m;
 *	char *room;
 *
 *	peal_message_geometry(&geometry, 1 << 16, "chat/1");
 *	peal_local_init(&ring, &geometry);
 *
 *	peal_message_send(&ring.sender, 1, "hello", 5, -1);	// copied, or
 *	if (peal_message_reserve(&ring.sender, 100, &room) > 0) // in place
 *		peal_message_commit(&ring.sender, 2, fill(room, 100));
 *
 *	while (peal_message_receive(&ring.receiver, -1, &m) > 0) {
 *		use(m.kind, m.data, m.size);
 *		peal_message_release(&ring.receiver, &m);
 *	}
 *
 * A message takes a header of 8 bytes and its size, rounded up to 8 bytes. In
 * memory that is not mapped twice in a row, one that does not fit in before
 * the end of the memory goes to the front, and what is left there is lost for
 * that round. Any message up to the size of the ring gets through.
 *
 * Caveats
 * - What counts items in ring.h (watermarks, PEAL_WAIT(), peal_sender_free(),
 *   peal_receiver_used()) counts units here: PEAL_MESSAGE_UNITS(). Do not mix
 *   the other calls that send or take items with those for messages.
 * - Small messages go on while a large one would have to wait for room. One of
 *   more than half of the ring often waits until all before it were released:
 *   a receiver that walks on and keeps messages while it waits for such a one
 *   waits for ever.
 * - A size is checked before it is used, and you have a copy of it. What lies
 *   at `data` is shared with the sender: if you do not trust it, copy before
 *   you judge. A size that cannot be breaks the ring: -EPROTO, for good.
 * - In a reactor a callback takes all messages that are there, or says
 *   PEAL_MORE. It may find none: the end of the memory is an item, too.
 */
#include <peal/ring.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** Bytes of the largest message that there can be, where the ring is larger. */
#define PEAL_MESSAGE_MAX 0xfffffff8u

/** Units that a message of so many bytes takes: 8 bytes each. */
#define PEAL_MESSAGE_UNITS(size) (((uint64_t)(size) + 15) / 8)

/*
 * A record is a header, the length in its lower half and the kind in the other
 * one, and then the payload. With this length it has none: it leads to the
 * front of the memory, and the kind counts its units.
 */
#define PEAL_MESSAGE_WRAP 0xffffffffu

/** A message that was received, where it lies. */
struct peal_message {
	const void *data; /* ro: aligned to 8 bytes */
	uint32_t size;	  /* ro: bytes */
	uint32_t kind;	  /* ro: as the sender says */
	uint64_t next;	  /* private: the position behind it */
};

/**
 * Shape a ring for messages.
 * @param geometry  capacity, item_size and tag are set; for peal_geometry_fit()
 *                  or peal_local_init()
 * @param bytes     that it holds at least, headers included: for n messages
 *                  8 * n * PEAL_MESSAGE_UNITS(their size). The largest message
 *                  is 8 bytes smaller than the ring.
 * @param tag       what the messages are, such as "chat/1", or NULL. The tag of
 *                  the ring is "message/1", or "message/1:chat/1": it tells it
 *                  from any other when it is opened, peal_ring_open().
 * @return          0, -EINVAL no bytes, or a tag of more than 53
 */
int peal_message_geometry(struct peal_geometry *geometry, size_t bytes,
			  const char *tag);

/** @return bytes of the largest message that this ring can hold */
static inline size_t peal_message_max(const struct peal_sender *tx)
{
	uint64_t bytes = 8 * (tx->end.capacity - 1);

	return (size_t)(bytes < PEAL_MESSAGE_MAX ? bytes : PEAL_MESSAGE_MAX);
}

/**
 * As peal_message_reserve(), but sleep until there is room.
 * @param timeout_ms  milliseconds of CLOCK_MONOTONIC, -1 for ever, 0 to look,
 *                    and to be woken as by peal_message_reserve()
 * @return            1, -ETIMEDOUT, or the errors of peal_message_reserve() and
 *                    of peal_doorbell_wait()
 * Signals do not end it. The receiver does not see what is staged: publish it
 * first if the wait may be long.
 */
int peal_message_wait(struct peal_sender *tx, size_t size, int timeout_ms,
		      void *room);

/**
 * Find room for a message, for senders that would rather drop it than wait.
 * @param size  bytes, 0 to peal_message_max(); it may become less
 * @param room  address of a pointer: where to fill it in, aligned to 8 bytes
 * @return      1, 0 there is too little room, or
 *	-EMSGSIZE   larger than peal_message_max(): it will never fit in
 *	-ENOBUFS    too large for one batch with what is staged: publish that,
 *	            then try again
 *	-EPIPE      the receiver is gone, or the sender was finished
 *	-EPROTO     the receiver left an impossible position, for good
 *	-EPROTOTYPE the ring's items are not of 8 bytes: it is not for messages
 * It is yours until it is committed or staged. To give it up, do nothing: the
 * next one takes its place. Real-time safe but for one system call when a
 * doorbell is owed, which is so where the end of the memory is sent alone.
 */
static inline int peal_message_try_reserve(struct peal_sender *tx, size_t size,
					   void *room)
{
	struct peal_end *end = &tx->end;
	uint64_t index = (end->position + end->message.staged) & end->mask;
	uint64_t units = PEAL_MESSAGE_UNITS(size);
	void *data;

	if (__builtin_expect(
		    end->limit - end->position < end->message.staged + units ||
			    end->wrap - index < units ||
			    size > PEAL_MESSAGE_MAX || end->item_size != 8,
		    0)) {
		int ret = peal_end_room(end, size);

		if (ret <= 0)
			return ret;
		index = (end->position + end->message.start) & end->mask;
	} else {
		end->message.start = end->message.staged;
		end->message.reserved = units;
	}
	data = end->items + 8 * index + 8;
	memcpy(room, &data, sizeof(data));
	return 1;
}

/**
 * Find room for a message; where there is too little, ask to be woken.
 * @return  as peal_message_try_reserve(); 0 there is too little room, and the
 *          space bell will ring as soon as there is enough to go on
 * Real-time safe but for one system call when a doorbell is owed.
 */
static inline int peal_message_reserve(struct peal_sender *tx, size_t size,
				       void *room)
{
	int ret = peal_message_try_reserve(tx, size, room);

	if (__builtin_expect(ret != 0, 1))
		return ret;
	ret = peal_message_wait(tx, size, 0, room);
	return ret == -ETIMEDOUT ? 0 : ret;
}

/**
 * Complete the message that was reserved, as one of a batch that
 * peal_message_publish(), or the next commit, publishes at once.
 * @param kind  any number; the receiver is told
 * @param size  bytes, 0 to what was reserved
 * @return      0, -EINVAL more than that, or nothing was reserved
 * Real-time safe: no system call, no lock, no allocation.
 */
static inline int peal_message_stage(struct peal_sender *tx, uint32_t kind,
				     size_t size)
{
	typedef uint64_t __attribute__((may_alias)) header;
	struct peal_end *end = &tx->end;
	uint64_t index = (end->position + end->message.start) & end->mask;
	uint64_t units = PEAL_MESSAGE_UNITS(size);

	if (__builtin_expect(units > end->message.reserved ||
				     size > PEAL_MESSAGE_MAX,
			     0))
		return -EINVAL;
	__atomic_store_n((header *)(void *)(end->items + 8 * index),
			 (uint64_t)kind << 32 | size, __ATOMIC_RELAXED);
	end->message.staged = end->message.start + units;
	end->message.reserved = 0;
	return 0;
}

/**
 * Publish what is staged, as one batch.
 * @return  0, or
 *	-EPIPE, -EPROTO  as peal_message_reserve(): nothing was published
 *	-EPIPE, -EBADF, ...  it is published, but the bell could not be rung
 * Real-time safe but for the one system call when a doorbell is owed.
 */
static inline int peal_message_publish(struct peal_sender *tx)
{
	uint64_t n = tx->end.message.staged;

	tx->end.message.staged = tx->end.message.reserved = 0;
	return peal_end_publish(&tx->end, n);
}

/**
 * Complete the message that was reserved, and publish it, with what is staged,
 * as one batch.
 * @return  the errors of peal_message_stage() and peal_message_publish()
 */
static inline int peal_message_commit(struct peal_sender *tx, uint32_t kind,
				      size_t size)
{
	int ret = peal_message_stage(tx, kind, size);

	return ret < 0 ? ret : peal_message_publish(tx);
}

/** Take back what is staged, and what is reserved. */
static inline void peal_message_abandon(struct peal_sender *tx)
{
	tx->end.message.staged = tx->end.message.reserved = 0;
}

/**
 * Copy a message in and publish it, with what is staged, as one batch.
 * @param data        may be NULL if there is none
 * @param timeout_ms  as for peal_message_wait()
 * @return            0, or the errors of peal_message_wait(): it was not sent
 * A bell that fails shows in peal_sender_stats().
 */
static inline int peal_message_send(struct peal_sender *tx, uint32_t kind,
				    const void *data, size_t size,
				    int timeout_ms)
{
	void *room;
	int ret = peal_message_try_reserve(tx, size, &room);

	if (ret == 0)
		ret = peal_message_wait(tx, size, timeout_ms, &room);
	if (ret < 0)
		return ret;
	if (size > 0)
		memcpy(room, data, size);
	peal_message_commit(tx, kind, size);
	return 0;
}

/**
 * Walk on, to the message behind this one.
 * @param m  one that was found and not released; then the next one, or as it
 *           was where there is none
 * @return   1, 0 there is none among those that are known: no look is taken at
 *           the sender's position (peal_receiver_used() does), or the errors
 *           of peal_message_peek()
 * Real-time safe: no system call, no lock, no allocation; but for telling the
 * sender of -EPROTO.
 */
static inline int peal_message_next(struct peal_receiver *rx,
				    struct peal_message *m)
{
	typedef const uint64_t __attribute__((may_alias)) header;
	struct peal_end *end = &rx->end;
	uint64_t at = m->next;

	for (;;) {
		uint64_t index = at & end->mask, record, units;
		unsigned char *first = end->items + 8 * index;

		if (__builtin_expect(end->item_size != 8, 0))
			return -EPROTOTYPE;
		if (at - end->position >= end->limit - end->position) {
			m->next = at;
			return end->error < 0 ? end->error : 0;
		}
		/* Once: the sender may change it under our eyes. */
		record = __atomic_load_n((header *)(void *)first,
					 __ATOMIC_RELAXED);
		units = PEAL_MESSAGE_UNITS((uint32_t)record);
		if (__builtin_expect(units <= end->limit - at &&
					     units <= end->wrap - index &&
					     (uint32_t)record <=
						     PEAL_MESSAGE_MAX,
				     1)) {
			m->data = first + 8;
			m->size = (uint32_t)record;
			m->kind = (uint32_t)(record >> 32);
			m->next = at + units;
			return 1;
		}
		if (peal_end_skip(end, record, &at) < 0)
			return -EPROTO;
	}
}

/**
 * Find the first message that was not released.
 * @param m  filled in if there is one
 * @return   1; 0 there is none (now, or any more: see peal_receiver_ended());
 *           or
 *	-EPIPE      the receiver was finished
 *	-EPROTO     the sender left an impossible position or size, for good
 *	-EPROTOTYPE the ring's items are not of 8 bytes: it is not for messages
 * It is yours until peal_message_release(). The sender's position is looked at
 * only when nothing that is known is left. Real-time safe but for one system
 * call when a doorbell is owed, which is so where the memory wraps alone.
 */
static inline int peal_message_peek(struct peal_receiver *rx,
				    struct peal_message *m)
{
	struct peal_end *end = &rx->end;

	for (;;) {
		struct peal_message first = { NULL, 0, 0, end->position };
		int ret;

		if (__builtin_expect(end->limit == end->position, 0))
			peal_end_refresh(end, 1);
		ret = peal_message_next(rx, &first);
		if (__builtin_expect(ret > 0, 1))
			*m = first;
		if (__builtin_expect(ret != 0, 1) ||
		    first.next == end->position)
			return ret;
		/* The sender may wait for the end of the memory; and what it
		 * has sent since is not known yet. At the front there is no
		 * such record, so it is the last one. */
		peal_end_publish(end, first.next - end->position);
	}
}

/**
 * As peal_message_peek(), but sleep until there is one.
 * @param timeout_ms  milliseconds of CLOCK_MONOTONIC, -1 for ever, 0 to look
 * @return            1, 0 the sender finished and all was released, -EPIPE it
 *                    died and all was released, -ETIMEDOUT,
 *                    or the errors of peal_message_peek() and
 *                    peal_doorbell_wait()
 * Signals do not end it.
 */
int peal_message_receive(struct peal_receiver *rx, int timeout_ms,
			 struct peal_message *m);

/**
 * Give this message back to the sender, and all before it, as one batch.
 * @param m  as it was found
 * @return   0, or
 *	-EINVAL  it was released already
 *	-EPIPE, -EPROTO  as for peal_message_peek()
 *	-EPIPE, -EBADF, ...  it is released, but the bell could not be rung
 * Real-time safe but for the one system call when a doorbell is owed.
 */
static inline int peal_message_release(struct peal_receiver *rx,
				       const struct peal_message *m)
{
	typedef const uint64_t __attribute__((may_alias)) header;
	struct peal_end *end = &rx->end;
	uint64_t behind = m->next;

	if (__builtin_expect(behind == end->position, 0))
		return end->error < 0 ? end->error : -EINVAL;
	/* The end of the memory goes with it: who has no use for what comes
	 * next would not see that the sender waits for that, too. */
	if (end->wrap == end->mask + 1 &&
	    behind - end->position < end->limit - end->position) {
		unsigned char *next = end->items + 8 * (behind & end->mask);
		uint64_t record = __atomic_load_n((header *)(void *)next,
						  __ATOMIC_RELAXED);

		if ((uint32_t)record == PEAL_MESSAGE_WRAP &&
		    peal_end_skip(end, record, &behind) < 0)
			return -EPROTO;
	}
	return peal_end_publish(end, behind - end->position);
}

#define peal_message_reserve(tx, size, room)                                   \
	peal_message_reserve(tx, size, PEAL_SPAN(room))
#define peal_message_try_reserve(tx, size, room)                               \
	peal_message_try_reserve(tx, size, PEAL_SPAN(room))
#define peal_message_wait(tx, size, timeout_ms, room)                          \
	peal_message_wait(tx, size, timeout_ms, PEAL_SPAN(room))

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
