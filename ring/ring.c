/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A ring: its geometry, its two control pages, and where these lie. */
#include <errno.h>
#include <string.h>

#include "internal.h"

/* Half of the address space: two mappings in a row must fit. */
#define BODY_MAX (SIZE_MAX / 4)

static uint64_t round_up_power2(uint64_t n)
{
	return n <= 1 ? 1 : UINT64_C(1) << (64 - __builtin_clzll(n - 1));
}

static bool terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

/* To 8 bytes, although 32-bit x86 aligns a uint64_t to 4. */
static bool aligned(const void *memory)
{
	return (uintptr_t)memory % sizeof(uint64_t) == 0;
}

/* Check all that a geometry promises. After that no sum or product of its sizes
 * overflows. */
static bool valid(const struct peal_geometry *g)
{
	uint64_t body;

	if (g->capacity == 0 || (g->capacity & (g->capacity - 1)) != 0)
		return false;
	if (g->item_size == 0 ||
	    __builtin_mul_overflow(g->capacity, g->item_size, &body))
		return false;
	if (body > BODY_MAX || g->items_offset > BODY_MAX)
		return false;
	if (g->items_offset < PEAL_RING_ITEMS_OFFSET ||
	    g->items_offset % PEAL_RING_ITEMS_OFFSET != 0)
		return false;
	if ((g->flags & PEAL_RING_TWICE) && body % PEAL_PAGE_SIZE != 0)
		return false;
	return (g->flags & ~PEAL_RING_TWICE) == 0 &&
	       terminated(g->tag, sizeof(g->tag)) &&
	       terminated(g->name, sizeof(g->name));
}

int peal_geometry_fit(struct peal_geometry *geometry, size_t page)
{
	struct peal_geometry g = *geometry;

	if (g.capacity == 0 || g.item_size == 0 || (page & (page - 1)) != 0 ||
	    (page != 0 && page < PEAL_PAGE_SIZE) ||
	    !terminated(g.tag, sizeof(g.tag)) ||
	    !terminated(g.name, sizeof(g.name)))
		return -EINVAL;
	if (g.capacity > BODY_MAX || g.item_size > BODY_MAX / g.capacity ||
	    page > BODY_MAX)
		return -EOVERFLOW;
	g.capacity = round_up_power2(g.capacity);
	g.items_offset = PEAL_RING_ITEMS_OFFSET;
	g.flags = 0;
	if (page != 0) {
		/* The body fills whole pages: the capacity brings the factors
		 * of 2 that the item size lacks. */
		uint64_t least = page / (g.item_size & -g.item_size);

		if (g.capacity < least)
			g.capacity = least;
		/* Each end has a page of its own, unless pages are huge. */
		g.items_offset = 2 * page <= 1u << 20 ? 2 * page : page;
		if (g.items_offset < PEAL_RING_ITEMS_OFFSET)
			g.items_offset = PEAL_RING_ITEMS_OFFSET;
		g.flags = PEAL_RING_TWICE;
	}
	if (!valid(&g))
		return -EOVERFLOW;
	*geometry = g;
	return 0;
}

static void header_write(struct peal_header *h, const struct peal_geometry *g)
{
	memset(h, 0, sizeof(*h));
	h->magic = PEAL_LAYOUT_MAGIC;
	h->version = PEAL_LAYOUT_VERSION;
	h->endian = PEAL_LAYOUT_ENDIAN;
	h->flags = g->flags;
	h->capacity = g->capacity;
	h->item_size = g->item_size;
	h->items_offset = g->items_offset;
	strcpy(h->tag, g->tag);
	strcpy(h->name, g->name);
}

/* memcpy() may read a word twice, which a hostile author could exploit. */
static void copy_once(void *to, const void *from, size_t size)
{
	typedef uint64_t __attribute__((may_alias)) any_word;
	const any_word *in = from;
	unsigned char *out = to;

	for (size_t i = 0; i < size / sizeof(*in); i++) {
		uint64_t word = __atomic_load_n(&in[i], __ATOMIC_RELAXED);

		memcpy(out + i * sizeof(word), &word, sizeof(word));
	}
}

int peal_geometry_read(struct peal_geometry *geometry, const void *memory,
		       size_t size)
{
	struct peal_header h;
	struct peal_geometry g = { 0 };

	if (!aligned(memory) || size < PEAL_PAGE_SIZE)
		return -EINVAL;
	copy_once(&h, memory, sizeof(h));
	if (h.magic != PEAL_LAYOUT_MAGIC || h.endian != PEAL_LAYOUT_ENDIAN)
		return -EBADMSG;
	if (h.version != PEAL_LAYOUT_VERSION)
		return -EPROTONOSUPPORT;
	g.capacity = h.capacity;
	g.item_size = h.item_size;
	g.items_offset = h.items_offset;
	g.flags = h.flags;
	memcpy(g.tag, h.tag, sizeof(g.tag));
	memcpy(g.name, h.name, sizeof(g.name));
	if (!valid(&g))
		return -EPROTO;
	*geometry = g;
	return 0;
}

/* Find where the parts of a ring of this geometry lie. */
static int locate(struct peal_ring *ring, const struct peal_geometry *g,
		  void *memory, size_t size)
{
	unsigned char *bytes = memory;

	if (!aligned(memory) || !valid(g))
		return -EINVAL;
	if (size < g->items_offset ||
	    size - g->items_offset < peal_geometry_body(g))
		return -ENOSPC;
	ring->sender_page = bytes;
	ring->receiver_page = bytes + g->items_offset / 2;
	ring->items = bytes + g->items_offset;
	ring->geometry = *g;
	return 0;
}

static void page_format(struct peal_page *page, const struct peal_geometry *g)
{
	memset(page, 0, sizeof(*page));
	header_write(&page->header, g);
}

int peal_ring_format(struct peal_ring *ring,
		     const struct peal_geometry *geometry, void *memory,
		     size_t size)
{
	struct peal_ring r;
	int ret = locate(&r, geometry, memory, size);

	if (ret < 0)
		return ret;
	page_format(r.sender_page, geometry);
	page_format(r.receiver_page, geometry);
	*ring = r;
	return 0;
}

static bool same(const struct peal_geometry *a, const struct peal_geometry *b)
{
	return a->capacity == b->capacity && a->item_size == b->item_size &&
	       a->items_offset == b->items_offset && a->flags == b->flags &&
	       strcmp(a->tag, b->tag) == 0 && strcmp(a->name, b->name) == 0;
}

int peal_ring_open(struct peal_ring *ring, const struct peal_geometry *geometry,
		   void *memory, size_t size)
{
	struct peal_geometry wanted, seen, other;
	struct peal_ring r;
	int ret = locate(&r, geometry, memory, size);

	if (ret < 0)
		return ret;
	ret = peal_geometry_read(&seen, r.sender_page, PEAL_PAGE_SIZE);
	if (ret == 0)
		ret = peal_geometry_read(&other, r.receiver_page,
					 PEAL_PAGE_SIZE);
	if (ret < 0)
		return ret;
	wanted = *geometry;
	if (wanted.tag[0] == '\0')
		memcpy(wanted.tag, seen.tag, sizeof(wanted.tag));
	if (wanted.name[0] == '\0')
		memcpy(wanted.name, seen.name, sizeof(wanted.name));
	if (!same(&seen, &wanted) || !same(&seen, &other))
		return -EPROTOTYPE;
	r.geometry = seen;
	*ring = r;
	return 0;
}
