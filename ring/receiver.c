/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "internal.h"

int peal_receiver_attach(struct peal_receiver *rx, const struct peal_ring *ring,
			 const struct peal_doorbell *data,
			 const struct peal_doorbell *space)
{
	return peal_end_attach(&rx->end, ring, false, space, data);
}

void peal_receiver_finish(struct peal_receiver *rx)
{
	peal_end_finish(&rx->end);
}

int peal_receiver_set_watermark(struct peal_receiver *rx, size_t n)
{
	return peal_end_set_watermark(&rx->end, n);
}

ssize_t(peal_receiver_wait)(struct peal_receiver *rx, size_t n, int timeout_ms,
			    void *items)
{
	ssize_t ret = peal_end_wait(&rx->end, n, timeout_ms);

	return ret <= 0 ? ret : peal_end_span(&rx->end, (uint64_t)ret, items);
}

struct get {
	unsigned char *to;
	size_t item_size;
};

static size_t get(unsigned char *items, size_t n, void *user)
{
	struct get *g = user;

	memcpy(g->to, items, n * g->item_size);
	g->to += n * g->item_size;
	return n;
}

ssize_t peal_receiver_get(struct peal_receiver *rx, void *items, size_t n)
{
	struct get g = { items, rx->end.item_size };

	return peal_end_walk(&rx->end, n, get, &g);
}

struct take {
	bool (*take)(const void *item, void *user);
	void *user;
	size_t item_size;
};

static size_t take(unsigned char *items, size_t n, void *user)
{
	struct take *t = user;

	for (size_t i = 0; i < n; i++)
		if (!t->take(items + i * t->item_size, t->user))
			return i;
	return n;
}

ssize_t peal_receiver_each(struct peal_receiver *rx, size_t n,
			   bool (*callback)(const void *item, void *user),
			   void *user)
{
	struct take t = { callback, user, rx->end.item_size };

	return peal_end_walk(&rx->end, n, take, &t);
}

bool peal_receiver_ended(struct peal_receiver *rx)
{
	return peal_end_refresh(&rx->end, 1) == 0 && rx->end.ended;
}

bool peal_receiver_arm(struct peal_receiver *rx)
{
	return peal_end_arm_by_hand(&rx->end);
}

int peal_receiver_clear(struct peal_receiver *rx)
{
	return peal_doorbell_clear(&rx->end.bell.own);
}

int peal_receiver_fd(const struct peal_receiver *rx)
{
	return rx->end.bell.own.kind == PEAL_DOORBELL_NONE
		       ? -1
		       : rx->end.bell.own.wait_fd;
}

void peal_receiver_hangup(struct peal_receiver *rx)
{
	peal_end_hangup(&rx->end, -EPIPE);
}

void peal_receiver_stats(const struct peal_receiver *rx,
			 struct peal_ring_stats *stats)
{
	peal_end_stats(&rx->end, stats);
}

void peal_receiver_set_barriers(struct peal_receiver *rx, bool allow)
{
	peal_fence_allow(&rx->end, allow);
}

void peal_receiver_set_spin(struct peal_receiver *rx, uint64_t most)
{
	peal_end_set_spin(&rx->end, most);
}
