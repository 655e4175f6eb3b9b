/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "internal.h"

int peal_sender_attach(struct peal_sender *tx, const struct peal_ring *ring,
		       const struct peal_doorbell *data,
		       const struct peal_doorbell *space)
{
	return peal_end_attach(&tx->end, ring, true, data, space);
}

void peal_sender_finish(struct peal_sender *tx)
{
	peal_end_finish(&tx->end);
}

int peal_sender_set_watermark(struct peal_sender *tx, size_t n)
{
	return peal_end_set_watermark(&tx->end, n);
}

ssize_t(peal_sender_wait)(struct peal_sender *tx, size_t n, int timeout_ms,
			  void *items)
{
	ssize_t ret = peal_end_wait(&tx->end, n, timeout_ms);

	return ret <= 0 ? ret : peal_end_span(&tx->end, (uint64_t)ret, items);
}

struct put {
	const unsigned char *from;
	size_t item_size;
};

static size_t put(unsigned char *items, size_t n, void *user)
{
	struct put *p = user;

	memcpy(items, p->from, n * p->item_size);
	p->from += n * p->item_size;
	return n;
}

ssize_t peal_sender_put(struct peal_sender *tx, const void *items, size_t n)
{
	struct put p = { items, tx->end.item_size };

	return peal_end_walk(&tx->end, n, put, &p);
}

struct fill {
	bool (*fill)(void *item, void *user);
	void *user;
	size_t item_size;
};

static size_t fill(unsigned char *items, size_t n, void *user)
{
	struct fill *f = user;

	for (size_t i = 0; i < n; i++)
		if (!f->fill(items + i * f->item_size, f->user))
			return i;
	return n;
}

ssize_t peal_sender_each(struct peal_sender *tx, size_t n,
			 bool (*callback)(void *item, void *user), void *user)
{
	struct fill f = { callback, user, tx->end.item_size };

	return peal_end_walk(&tx->end, n, fill, &f);
}

int peal_sender_drain(struct peal_sender *tx, int timeout_ms)
{
	const struct peal_end *end = &tx->end;
	ssize_t ret = peal_end_wait(&tx->end, end->capacity, timeout_ms);

	/* The receiver may have released the last item before it was gone. */
	if (ret == -EPIPE && !end->error && end->own &&
	    peal_load_acquire(&end->peer->position) == end->position)
		return 0;
	return ret < 0 ? (int)ret : 0;
}

bool peal_sender_arm(struct peal_sender *tx)
{
	return peal_end_arm_by_hand(&tx->end);
}

int peal_sender_clear(struct peal_sender *tx)
{
	return peal_doorbell_clear(&tx->end.bell.own);
}

int peal_sender_fd(const struct peal_sender *tx)
{
	return tx->end.bell.own.kind == PEAL_DOORBELL_NONE
		       ? -1
		       : tx->end.bell.own.wait_fd;
}

void peal_sender_hangup(struct peal_sender *tx)
{
	peal_end_hangup(&tx->end, -EPIPE);
}

void peal_sender_stats(const struct peal_sender *tx,
		       struct peal_ring_stats *stats)
{
	peal_end_stats(&tx->end, stats);
}

void peal_sender_set_barriers(struct peal_sender *tx, bool allow)
{
	peal_fence_allow(&tx->end, allow);
}

void peal_sender_set_spin(struct peal_sender *tx, uint64_t most)
{
	peal_end_set_spin(&tx->end, most);
}

int peal_end_carry_over(struct peal_end *to, const struct peal_end *from)
{
	const struct peal_doorbell bell = to->bell.peer;
	struct peal_end old = *from;
	uint64_t released = peal_load_acquire(&old.peer->position);
	uint64_t left = old.position - released;
	void *room = NULL;
	ssize_t ret;

	if (old.error == -EPROTO || left > old.capacity ||
	    released + old.capacity - old.limit > old.capacity)
		return -EPROTO;
	if (left > 0 && old.item_size != to->item_size)
		return -ERANGE;
	ret = peal_end_reserve(to, 1);
	if (ret > 0)
		ret = peal_end_span(to, (uint64_t)ret, &room);
	if (ret < (ssize_t)left || !room)
		return -ERANGE;
	memcpy(room, old.items + (released & old.mask) * old.item_size,
	       left * old.item_size);
	/* Publish without a bell. No receiver waits yet. And where the socket
	 * is the bell, no bell may come before the last packet of the
	 * handshake. */
	memset(&to->bell.peer, 0, sizeof(to->bell.peer));
	peal_end_publish(to, left);
	if (old.error == -EPIPE)
		peal_end_finish(to); /* the old sender was finished, too */
	to->bell.peer = bell;
	return 0;
}
