/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One ring of a channel with its memory and its doorbells. The server makes it,
 * the client opens and seals it, the server checks the seals.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../mem/floor.h"
#include "../ring/floor.h"
#include "internal.h"

#define MEM_FLAGS (PEAL_MEM_HUGE_2M | PEAL_MEM_LOCK)
/* Above so many bytes a client refuses a ring that is much larger than the
 * client has asked for. */
#define LARGE_RING (UINT64_C(64) << 20)

static int make_bells(struct peal_channel_ring *cr, int socket)
{
	unsigned drain_every;
	int ret;

	if (socket < 0) {
		ret = peal_doorbell_init(&cr->data, PEAL_DOORBELL_EVENTFD);
		if (ret == 0)
			ret = peal_doorbell_init(&cr->space,
						 PEAL_DOORBELL_EVENTFD);
		return ret;
	}
	ret = peal_doorbell_borrow(&cr->data, PEAL_DOORBELL_SOCKET, socket,
				   socket);
	if (ret < 0)
		return ret;
	drain_every = peal_socket_drain_every(socket, 2);
	cr->data.drain_every = drain_every;
	cr->space = cr->data;
	return 0;
}

int peal_channel_ring_make(struct peal_channel_ring *cr,
			   const struct peal_geometry *geometry, unsigned mem,
			   int socket)
{
	/* The memory is faulted in once the client has said READY: a client
	 * that only connects costs no memory. */
	const unsigned flags = PEAL_MEM_TWICE | mem;
	struct peal_geometry g = *geometry;
	struct peal_channel_ring made = { 0 };
	int ret = peal_geometry_fit(&g, peal_mem_page(flags));

	if (ret == 0)
		ret = peal_mem_create(&made.mem, g.name, g.items_offset,
				      peal_geometry_body(&g), flags);
	if (ret == 0)
		ret = peal_ring_format(&made.ring, &g, made.mem.base,
				       made.mem.body_offset + made.mem.body);
	if (ret == 0)
		ret = make_bells(&made, socket);
	if (ret < 0) {
		peal_channel_ring_close(&made);
		return ret;
	}
	*cr = made;
	return 0;
}

size_t peal_channel_ring_describe(const struct peal_channel_ring *cr,
				  struct peal_wire_ring *ring, int *fds)
{
	const struct peal_geometry *g = &cr->ring.geometry;

	*ring = (struct peal_wire_ring){
		.capacity = g->capacity,
		.item_size = g->item_size,
		.items_offset = g->items_offset,
		.flags = g->flags,
		.mem = cr->mem.flags & MEM_FLAGS,
	};
	memcpy(ring->tag, g->tag, sizeof(ring->tag));
	fds[0] = cr->mem.fd;
	if (cr->data.kind == PEAL_DOORBELL_SOCKET)
		return 1;
	fds[1] = cr->data.wait_fd;
	fds[2] = cr->space.wait_fd;
	return 3;
}

/* The server gives eventfds only to clients that it trusts. */
static bool client_is_trusted(const struct peal_channel_ring *cr)
{
	return cr->data.kind == PEAL_DOORBELL_EVENTFD;
}

int peal_channel_ring_check_seals(const struct peal_channel_ring *cr)
{
	return peal_mem_verify(&cr->mem, client_is_trusted(cr)) < 0 ? -EPROTO
								    : 0;
}

int peal_channel_ring_fill(struct peal_channel_ring *cr, size_t most)
{
	return peal_mem_fill(&cr->mem, &cr->filled, most);
}

/* -- the client */

static int refuse_ring(char *text, const char *what)
{
	snprintf(text, PEAL_TEXT, "the server made %s", what);
	return -EPROTO;
}

/* Is the ring larger than rounding up explains? The client pays for all of the
 * memory, since all of it is faulted in. */
static bool much_larger(const struct peal_geometry *g,
			const struct peal_geometry *wanted)
{
	return peal_geometry_body(g) > LARGE_RING &&
	       g->capacity / 2 >= wanted->capacity;
}

/* The ring must be what the client asked for. Only the capacity may be larger.
 */
static int check_ring(const struct peal_wire_ring *ring,
		      const struct peal_geometry *wanted,
		      struct peal_geometry *g, char *text)
{
	if (ring->mem & ~MEM_FLAGS)
		return refuse_ring(text, "memory of an unknown kind");
	if (ring->item_size != wanted->item_size)
		return refuse_ring(text, "items of another size");
	if (ring->capacity < wanted->capacity)
		return refuse_ring(text, "a smaller ring than was asked for");
	if (memchr(ring->tag, '\0', sizeof(ring->tag)) == NULL ||
	    strcmp(ring->tag, wanted->tag) != 0)
		return refuse_ring(text, "items with another tag");
	*g = *wanted;
	g->capacity = ring->capacity;
	if (peal_geometry_fit(g, peal_mem_page(ring->mem)) < 0 ||
	    g->capacity != ring->capacity ||
	    g->items_offset != ring->items_offset || g->flags != ring->flags)
		return refuse_ring(text, "a ring of an impossible shape");
	if (!ring->mem && much_larger(g, wanted))
		return refuse_ring(text,
				   "a much larger ring than was asked for");
	return 0;
}

static int seal_memory(struct peal_channel_ring *cr, bool trusted, char *text)
{
	int ret = peal_mem_seal(&cr->mem);

	if (ret == -EOPNOTSUPP && trusted)
		return 0;
	if (ret == -EOPNOTSUPP) {
		snprintf(text, PEAL_TEXT,
			 "without Linux 5.1 only processes of one user that "
			 "trust each other have channels");
		return ret;
	}
	return ret < 0 ? refuse_ring(text, "memory that cannot be sealed") : 0;
}

static int open_memory(struct peal_channel_ring *cr,
		       const struct peal_wire_ring *ring,
		       const struct peal_geometry *g, int fd, bool trusted,
		       char *text)
{
	int ret = peal_mem_open(&cr->mem, fd, g->items_offset,
				peal_geometry_body(g),
				PEAL_MEM_TWICE | ring->mem);

	if (ret == -EBADMSG || ret == -EPERM || ret == -ERANGE || ret == -EBADF)
		return refuse_ring(text, "memory that is not what it says");
	if (ret < 0)
		return ret;
	ret = seal_memory(cr, trusted, text);
	if (ret < 0)
		return ret;
	ret = peal_channel_ring_fill(cr, SIZE_MAX);
	if (ret == -EOPNOTSUPP)
		snprintf(text, PEAL_TEXT,
			 "a sandbox refuses this process madvise(2) and "
			 "futex(2), one of which channels need");
	if (ret < 0)
		return ret;
	ret = peal_ring_open(&cr->ring, g, cr->mem.base,
			     cr->mem.body_offset + cr->mem.body);
	return ret < 0 ? refuse_ring(text, "an invalid ring") : 0;
}

static int take_bells(struct peal_channel_ring *cr, const int *fds, int socket,
		      char *text)
{
	if (socket >= 0)
		return make_bells(cr, socket);
	if (peal_doorbell_borrow(&cr->data, PEAL_DOORBELL_EVENTFD, fds[1],
				 fds[1]) < 0 ||
	    peal_doorbell_borrow(&cr->space, PEAL_DOORBELL_EVENTFD, fds[2],
				 fds[2]) < 0)
		return refuse_ring(text, "doorbells that are no eventfds");
	return 0;
}

int peal_channel_ring_open(struct peal_channel_ring *cr,
			   const struct peal_wire_ring *ring,
			   const struct peal_geometry *wanted, const int *fds,
			   int socket, char *text)
{
	int count = socket < 0 ? 3 : 1;
	struct peal_channel_ring made = { 0 };
	struct peal_geometry g;
	int ret = check_ring(ring, wanted, &g, text);

	if (ret == 0)
		ret = open_memory(&made, ring, &g, fds[0], socket < 0, text);
	if (ret == 0)
		ret = take_bells(&made, fds, socket, text);
	if (ret == 0) {
		if (socket < 0)
			made.data.owned = made.space.owned = 1;
		close(fds[0]);
		*cr = made;
		return 0;
	}
	peal_channel_ring_close(&made);
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return ret;
}

/* -- both */

void peal_channel_ring_close(struct peal_channel_ring *cr)
{
	peal_doorbell_close(&cr->data);
	peal_doorbell_close(&cr->space);
	peal_mem_close(&cr->mem);
	memset(cr, 0, sizeof(*cr));
}
