/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_MESSAGE_H
#define PEAL_MESSAGE_H
/**
 * @file
 * Messages of any size over a ring. Each message has a length and a kind, which
 * is a number of 32 bits of the sender's choice, and lies in one piece.
 *
 * A ring of messages is a ring of units of 8 bytes. peal_message_geometry()
 * makes its geometry. The ring is made and attached as any other ring (ring.h).
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
 * memory that is not mapped twice in a row, a message that does not fit in
 * before the end of the memory goes to the front, and the room before the end
 * is lost for that round. Any message up to peal_message_max() gets through.
 *
 * Caveats
 * - Watermarks, PEAL_WAIT(), peal_sender_free() and peal_receiver_used() count
 *   units of 8 bytes in a ring of messages: PEAL_MESSAGE_UNITS(). No other call
 *   of ring.h that sends or takes items may be used on such a ring.
 * - A small message finds room where a large message has to wait. A message of
 *   more than half of the ring often waits until all messages before are
 *   released. A receiver that keeps messages while the receiver waits for such
 *   a large message waits for ever.
 * - The receiver gets a copy of the size, which is checked. The bytes at `data`
 *   are shared with the sender: a receiver that does not trust the sender
 *   copies these bytes before the receiver checks them. An invalid size breaks
 *   the ring: -EPROTO, for good.
 * - In a reactor a callback takes all messages that are available, or returns
 *   PEAL_MORE. A callback may find no message, because a wrap at the end of the
 *   memory counts as items, too.
 */
#include <peal/ring.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** Bytes of the largest message in a ring of any size. */
#define PEAL_MESSAGE_MAX 0xfffffff8u

/** Units that a message of so many bytes takes: 8 bytes each. */
#define PEAL_MESSAGE_UNITS(size) (((uint64_t)(size) + 15) / 8)

/*
 * A record is a header and a payload. The lower half of the header is the
 * length, and the upper half is the kind. A record of this length is a wrap
 * record: it has no payload, leads to the front of the memory, and its kind is
 * the number of its units.
 */
#define PEAL_MESSAGE_WRAP 0xffffffffu

/** A message that was received, where it lies. */
struct peal_message {
	const void *data; /* ro: aligned to 8 bytes */
	uint32_t size;	  /* ro: bytes */
	uint32_t kind;	  /* ro: as the sender says */
	uint64_t next;	  /* private: the position behind the message */
};

/**
 * Shape a ring for messages.
 * @param geometry  capacity, item_size and tag are set; for peal_geometry_fit()
 *                  or peal_local_init()
 * @param bytes     the ring holds so many bytes at least, headers included: for
 *                  n messages 8 * n * PEAL_MESSAGE_UNITS(their size). The
 *                  largest message is 8 bytes smaller than the ring.
 * @param tag       what the messages are, such as "chat/1", or NULL. The tag of
 *                  the ring is "message/1", or "message/1:chat/1".
 *                  peal_ring_open() compares this tag.
 * @return          0, -EINVAL bytes is 0, or a tag of more than 53 bytes
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
 * @param timeout_ms  milliseconds of CLOCK_MONOTONIC, -1 for ever, 0: do not
 *                    sleep, but arm as peal_message_reserve() does
 * @return            1, -ETIMEDOUT, or the errors of peal_message_reserve() and
 *                    of peal_doorbell_wait()
 * Signals do not end the wait. The receiver does not see messages that are
 * staged: publish these first if the wait may be long.
 */
int peal_message_wait(struct peal_sender *tx, size_t size, int timeout_ms,
		      void *room);

/**
 * Find room for a message, for senders that drop messages rather than wait.
 * @param size  bytes, 0 to peal_message_max(); the message may become smaller
 * @param room  address of a pointer: the room, aligned to 8 bytes
 * @return      1, 0 there is too little room, or
 *	-EMSGSIZE   larger than peal_message_max(): will never fit in
 *	-ENOBUFS    too large for one batch with the messages that are staged:
 *	            publish these, then try again
 *	-EPIPE      the receiver is gone, or the sender was finished
 *	-EPROTO     the receiver left an impossible position, for good
 *	-EPROTOTYPE the ring's items are not of 8 bytes: it is not for messages
 * The room is the caller's until the message is committed or staged. A caller
 * that needs the room no longer does nothing: the next reserve takes its place.
 * Real-time safe but for one system call: if this call publishes a wrap record
 * alone, a doorbell may be owed.
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
 * @return      0, -EINVAL a larger size, or no message was reserved
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
 * Publish the messages that are staged, as one batch.
 * @return  0, or
 *	-EPIPE, -EPROTO  as peal_message_reserve(): nothing was published
 *	-EPIPE, -EBADF, ...  the messages are published, but the bell could not
 *	                 be rung
 * Real-time safe but for the one system call when a doorbell is owed.
 */
static inline int peal_message_publish(struct peal_sender *tx)
{
	uint64_t n = tx->end.message.staged;

	tx->end.message.staged = tx->end.message.reserved = 0;
	return peal_end_publish(&tx->end, n);
}

/**
 * Complete the message that was reserved, and publish it together with the
 * messages that are staged, as one batch.
 * @return  the errors of peal_message_stage() and peal_message_publish()
 */
static inline int peal_message_commit(struct peal_sender *tx, uint32_t kind,
				      size_t size)
{
	int ret = peal_message_stage(tx, kind, size);

	return ret < 0 ? ret : peal_message_publish(tx);
}

/** Drop the messages that are staged, and the message that is reserved. */
static inline void peal_message_abandon(struct peal_sender *tx)
{
	tx->end.message.staged = tx->end.message.reserved = 0;
}

/**
 * Copy a message in, and publish it together with the messages that are staged,
 * as one batch.
 * @param data        the bytes; may be NULL if size is 0
 * @param timeout_ms  as for peal_message_wait()
 * @return            0, or the errors of peal_message_wait(): nothing was sent
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
 * Walk on to the message behind this message.
 * @param m  a message that was found and not released. Then m is the next
 *           message. If there is no next message m stays as it was.
 * @return   1, 0 no further message is known, or the errors of
 *           peal_message_peek()
 * This call does not load the sender's position: peal_receiver_used() does.
 * Real-time safe: no system call, no lock, no allocation. But a receiver that
 * finds -EPROTO rings the sender.
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
		/* Load the header once: the sender may change the header. */
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
 * @return   1; 0 there is no message (now, or any more: see
 *           peal_receiver_ended()); or
 *	-EPIPE      the receiver was finished
 *	-EPROTO     the sender left an impossible position or size, for good
 *	-EPROTOTYPE the ring's items are not of 8 bytes: it is not for messages
 * The message is yours until peal_message_release(). This call loads the
 * sender's position only when no item that is known is left. Real-time safe but
 * for one system call: if this call releases a wrap record alone, a doorbell
 * may be owed.
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
		/* No more than a wrap record is known. The sender may wait for
		 * the room of this record, so release the record. Then look at
		 * the sender's position again. No wrap record stands at the
		 * front, so the second round is the last. */
		peal_end_publish(end, first.next - end->position);
	}
}

/**
 * As peal_message_peek(), but sleep until there is a message.
 * @param timeout_ms  milliseconds of CLOCK_MONOTONIC, -1 for ever, 0 to look
 * @return            1, 0 the sender finished and all was released, -EPIPE the
 *                    sender died and all was released, -ETIMEDOUT, or the
 *                    errors of peal_message_peek() and peal_doorbell_wait()
 * Signals do not end the wait.
 */
int peal_message_receive(struct peal_receiver *rx, int timeout_ms,
			 struct peal_message *m);

/**
 * Give this message and all messages before back to the sender, as one batch.
 * @param m  as peal_message_peek() or peal_message_next() found the message
 * @return   0, or
 *	-EINVAL  the message was released already
 *	-EPIPE, -EPROTO  as for peal_message_peek()
 *	-EPIPE, -EBADF, ...  the messages are released, but the bell could not
 *	         be rung
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
	/* Release a wrap record behind the message, too. A receiver that looks
	 * for no further message would keep the room that a sender waits for.*/
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
