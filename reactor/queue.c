/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages from other threads: D. Vyukov's bounded queue (1024cores.net), with
 * one consumer. Each cell says whose turn it is: a position p is free for the
 * producer that finds `turn` p, and filled for the consumer at p + 1.
 */
#include <errno.h>

#include "../ring/floor.h"
#include "internal.h"

static struct peal_post *filled(struct peal_source *source)
{
	uint64_t head = source->of.queue.head;
	struct peal_post *cell =
		&source->of.queue.cells[head & source->of.queue.mask];

	if (__atomic_load_n(&cell->turn, __ATOMIC_ACQUIRE) != head + 1)
		return NULL;
	peal_tsan_acquire(&cell->turn);
	return cell;
}

static void *pop(struct peal_source *source, struct peal_post *cell)
{
	void *message = cell->message;

	peal_tsan_release(&cell->turn);
	__atomic_store_n(&cell->turn,
			 source->of.queue.head + source->of.queue.mask + 1,
			 __ATOMIC_RELEASE);
	source->of.queue.head++;
	return message;
}

static void queue_turn(struct peal_source *source)
{
	struct peal_post *cell;
	struct peal_call call;

	cell = filled(source);
	if (!cell)
		return;
	call = peal_call_begin(source);
	source->callback.on_post(source, pop(source, cell), source->user);
	if (peal_call_end(&call) && filled(source))
		peal_source_ready(source);
}

/* A queue has turns that nobody has deferred, too, and must not be pushed
 * again while it is on the stack. */
static void queue_deferred(struct peal_source *source)
{
	peal_source_undefer(source);
	peal_source_ready(source);
}

static const struct peal_source_ops queue_ops = {
	.turn = queue_turn,
	.deferred = queue_deferred,
	.detach = peal_deferred_detach,
};

int peal_reactor_add_queue(struct peal_reactor *loop,
			   struct peal_source *source, struct peal_post *cells,
			   size_t n,
			   void (*on_post)(struct peal_source *source,
					   void *message, void *user),
			   void *user)
{
	int ret;

	if (!on_post || n < 2 || (n & (n - 1)) != 0)
		return -EINVAL;
	ret = peal_source_enter(loop, source, &queue_ops);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < n; i++)
		cells[i] = (struct peal_post){ .turn = i };
	source->of.queue.cells = cells;
	source->of.queue.mask = n - 1;
	source->callback.on_post = on_post;
	source->user = user;
	return 0;
}

int peal_reactor_post(struct peal_reactor *loop, struct peal_source *source,
		      void *message)
{
	uint64_t *tail = &source->of.queue.tail;
	struct peal_post *cell;
	uint64_t position;
	int ret = peal_source_check_kind(loop, source, &queue_ops);

	if (ret < 0)
		return ret;
	position = __atomic_load_n(tail, __ATOMIC_RELAXED);
	for (;;) {
		uint64_t turn;

		cell = &source->of.queue
				.cells[position & source->of.queue.mask];
		/* Pairs with the release in pop(): the cell is free again. */
		turn = __atomic_load_n(&cell->turn, __ATOMIC_ACQUIRE);
		if (turn == position) {
			if (__atomic_compare_exchange_n(
				    tail, &position, position + 1, true,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
				break;
		} else if (turn - position > UINT64_MAX / 2) {
			return -EAGAIN;
		} else {
			position = __atomic_load_n(tail, __ATOMIC_RELAXED);
		}
	}
	peal_tsan_acquire(&cell->turn);
	cell->message = message;
	peal_tsan_release(&cell->turn);
	/* Pairs with the acquire in filled(). */
	__atomic_store_n(&cell->turn, position + 1, __ATOMIC_RELEASE);
	peal_source_defer(source);
	return 0;
}
