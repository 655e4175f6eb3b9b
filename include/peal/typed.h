/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TYPED_H
#define PEAL_TYPED_H
/**
 * @file
 * Rings of items of one type: the calls of ring.h under names of your own, for
 * pointers to that type alone, in C and in C++.
 *
 *	struct tick {
 *		uint64_t time;
 *		double price;
 *	};
 *	PEAL_TYPED(tick, struct tick, "tick/1");
 *
 *	struct peal_geometry geometry = { .name = "ticker" };
 *	struct peal_local ring;
 *	struct tick *room;
 *
 *	tick_geometry(&geometry, 1024);
 *	peal_local_init(&ring, &geometry);
 *	if (tick_reserve(&ring.sender, 1, &room) > 0) {
 *		*room = (struct tick){ .time = 1, .price = 3.5 };
 *		tick_commit(&ring.sender, 1);
 *	}
 *
 * Caveats: peal_ring_open() compares the tag, and no later call does. So change
 * the tag whenever the type changes. Each call compares the size of the items:
 * an end of a ring of another item size is -EPROTOTYPE.
 */
#include <peal/ring.h>

/* All that begins with PEAL_TYPED_ is private. */
#ifdef __cplusplus
#define PEAL_TYPED_ASSERT(condition, text) static_assert(condition, text)
#define PEAL_TYPED_ALIGN(type) alignof(type)
#define PEAL_TYPED_PLAIN(type) __is_trivially_copyable(type)
#else
#define PEAL_TYPED_ASSERT(condition, text) _Static_assert(condition, text)
#define PEAL_TYPED_ALIGN(type) _Alignof(type)
#define PEAL_TYPED_PLAIN(type) 1
#endif
#define PEAL_TYPED_INLINE static inline __attribute__((unused))
#define PEAL_TYPED_ALIGNED(items, type)                                        \
	((uintptr_t)(items) % PEAL_TYPED_ALIGN(type) == 0)
/* Any ring is aligned to 8 bytes, so few types need the second check. */
#define PEAL_TYPED_CALL(tx_or_rx, type, call)                                  \
	((tx_or_rx)->end.item_size != sizeof(type) ||                          \
			 (PEAL_TYPED_ALIGN(type) > 8 &&                        \
			  !PEAL_TYPED_ALIGNED((tx_or_rx)->end.items, type))    \
		 ? -EPROTOTYPE                                                 \
		 : (call))

/**
 * Define the calls for one type; outside of functions, followed by a semicolon.
 * @param name  what their names begin with
 * @param type  of the items: aligned to a page at most; in C++ it must be
 *              trivially copyable. No pointers in it, if the other end is in
 *              another process.
 * @param tag   what the items are, such as "tick/1": 1 to 63 bytes
 *
 *	void name_geometry(struct peal_geometry *geometry, size_t capacity)
 *
 * sets the capacity, in items, the item size and the tag, for
 * peal_geometry_fit() or peal_local_init().
 *
 *	bool name_fits(const struct peal_ring *ring)
 *
 * says whether this is a ring of such items, by the tag and by the item size,
 * and whether its memory is aligned as the type needs. A program that has
 * opened a ring of any tag calls this before the program attaches an end.
 *
 * All others are as those of ring.h that are named here, but for a pointer to
 * a pointer to `type` in the place of a pointer to any pointer, and one more
 * error where items are looked for: -EPROTOTYPE, the ring is not of such items.
 *
 *	name_reserve(tx, n, items)		peal_sender_reserve()
 *	name_try_reserve(tx, items)		peal_sender_try_reserve()
 *	name_wait(tx, n, timeout_ms, items)	peal_sender_wait()
 *	name_commit(tx, n)			peal_sender_commit()
 *	name_put(tx, items, n)			peal_sender_put()
 *	name_peek(rx, items)			peal_receiver_peek()
 *	name_receive(rx, n, timeout_ms, items)	peal_receiver_wait()
 *	name_release(rx, n)			peal_receiver_release()
 *	name_get(rx, items, n)			peal_receiver_get()
 */
#define PEAL_TYPED(name, type, tag_)                                           \
	PEAL_TYPED_INLINE void name##_geometry(struct peal_geometry *geometry, \
					       size_t capacity)                \
	{                                                                      \
		geometry->capacity = capacity;                                 \
		geometry->item_size = sizeof(type);                            \
		memset(geometry->tag, 0, sizeof(geometry->tag));               \
		memcpy(geometry->tag, "" tag_, sizeof(tag_));                  \
	}                                                                      \
                                                                               \
	PEAL_TYPED_INLINE bool name##_fits(const struct peal_ring *ring)       \
	{                                                                      \
		return ring->geometry.item_size == sizeof(type) &&             \
		       strcmp(ring->geometry.tag, tag_) == 0 &&                \
		       PEAL_TYPED_ALIGNED(ring->items, type);                  \
	}                                                                      \
                                                                               \
	PEAL_TYPED_INLINE ssize_t name##_reserve(struct peal_sender *tx,       \
						 size_t n, type **items)       \
	{                                                                      \
		return PEAL_TYPED_CALL(tx, type,                               \
				       peal_sender_reserve(tx, n, items));     \
	}                                                                      \
                                                                               \
	PEAL_TYPED_INLINE ssize_t name##_try_reserve(struct peal_sender *tx,   \
						     type **items)             \
	{                                                                      \
		return PEAL_TYPED_CALL(tx, type,                               \
				       peal_sender_try_reserve(tx, items));    \
	}                                                                      \
                                                                               \
	PEAL_TYPED_INLINE ssize_t name##_wait(struct peal_sender *tx,          \
					      size_t n, int timeout_ms,        \
					      type **items)                    \
	{                                                                      \
		return PEAL_TYPED_CALL(                                        \
			tx, type, peal_sender_wait(tx, n, timeout_ms, items)); \
	}                                                                      \
                                                                               \
	PEAL_TYPED_INLINE int name##_commit(struct peal_sender *tx, size_t n)  \
	{                                                                      \
		return peal_sender_commit(tx, n);                              \
	}                                                                      \
                                                                               \
	PEAL_TYPED_INLINE ssize_t name##_put(struct peal_sender *tx,           \
					     const type *items, size_t n)      \
	{                                                                      \
		return PEAL_TYPED_CALL(tx, type,                               \
				       peal_sender_put(tx, items, n));         \
	}                                                                      \
                                                                               \
	PEAL_TYPED_INLINE ssize_t name##_peek(struct peal_receiver *rx,        \
					      const type **items)              \
	{                                                                      \
		return PEAL_TYPED_CALL(rx, type,                               \
				       peal_receiver_peek(rx, items));         \
	}                                                                      \
                                                                               \
	PEAL_TYPED_INLINE ssize_t name##_receive(struct peal_receiver *rx,     \
						 size_t n, int timeout_ms,     \
						 const type **items)           \
	{                                                                      \
		return PEAL_TYPED_CALL(                                        \
			rx, type,                                              \
			peal_receiver_wait(rx, n, timeout_ms, items));         \
	}                                                                      \
                                                                               \
	PEAL_TYPED_INLINE int name##_release(struct peal_receiver *rx,         \
					     size_t n)                         \
	{                                                                      \
		return peal_receiver_release(rx, n);                           \
	}                                                                      \
                                                                               \
	PEAL_TYPED_INLINE ssize_t name##_get(struct peal_receiver *rx,         \
					     type *items, size_t n)            \
	{                                                                      \
		return PEAL_TYPED_CALL(rx, type,                               \
				       peal_receiver_get(rx, items, n));       \
	}                                                                      \
                                                                               \
	PEAL_TYPED_ASSERT(sizeof(tag_) > 1 && sizeof(tag_) <= 64,              \
			  #name ": a tag has 1 to 63 bytes");                  \
	PEAL_TYPED_ASSERT(sizeof(type) % PEAL_TYPED_ALIGN(type) == 0 &&        \
				  PEAL_TYPED_ALIGN(type) <= 4096,              \
			  #name ": no ring can be aligned so");                \
	PEAL_TYPED_ASSERT(PEAL_TYPED_PLAIN(type),                              \
			  #name ": not trivially copyable")

#endif
