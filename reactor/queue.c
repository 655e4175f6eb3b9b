/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages from other threads: D. Vyukov's bounded queue (1024cores.net), with
 * one consumer. Each cell has a turn. A producer with position p may fill the
 * cell when the turn is p, and the consumer may empty the cell when the turn is
 * p + 1.
 */
#include <errno.h>

#include "../ring/floor.h"
#include "internal.h"

static struct peal_post *queue_cell(const struct peal_source_queue *queue,
				    uint64_t position)
{
	return &queue->cells[position & queue->mask];
}

/* The next message's cell, or NULL if the queue is empty. */
static struct peal_post *queue_first(const struct peal_source_queue *queue)
{
	struct peal_post *cell = queue_cell(queue, queue->head);

	/* Pairs with the release in queue_fill(). */
	if (__atomic_load_n(&cell->turn, __ATOMIC_ACQUIRE) != queue->head + 1)
		return NULL;
	peal_tsan_acquire(&cell->turn);
	return cell;
}

static void *queue_pop(struct peal_source_queue *queue, struct peal_post *cell)
{
	void *message = cell->message;

	peal_tsan_release(&cell->turn);
	/* Pairs with the acquire in queue_claim(). */
	__atomic_store_n(&cell->turn, queue->head + queue->mask + 1,
			 __ATOMIC_RELEASE);
	queue->head++;
	return message;
}

static void queue_turn(struct peal_source *source)
{
	struct peal_source_queue *queue = &source->of.queue;
	struct peal_post *cell = queue_first(queue);
	struct peal_call call;

	if (!cell)
		return;
	call = peal_call_begin(source);
	queue->on_post(source, queue_pop(queue, cell), source->user);
	if (peal_call_end(&call) && queue_first(queue))
		peal_source_schedule(source);
}

/*
 * The loop has taken the source off the stack, so threads can defer the source
 * again from now on. The turn would be the wrong place for this: a turn that
 * leaves messages schedules another turn, and a thread may have deferred the
 * source in between. That second turn would take the deferral back while the
 * source is on the stack, and the next thread would push the source again.
 */
static void queue_deferred(struct peal_source *source)
{
	peal_source_undefer(source);
	peal_source_schedule(source);
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
	ret = peal_source_attach(loop, source, &queue_ops, user);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < n; i++)
		cells[i] = (struct peal_post){ .turn = i };
	source->of.queue.cells = cells;
	source->of.queue.mask = n - 1;
	source->of.queue.on_post = on_post;
	return 0;
}

/* -- posting */

/* Claim a free cell for a producer. @return 0 or -EAGAIN */
static int queue_claim(struct peal_source_queue *queue, uint64_t *claimed)
{
	uint64_t position = __atomic_load_n(&queue->tail, __ATOMIC_RELAXED);

	for (;;) {
		struct peal_post *cell = queue_cell(queue, position);
		/* Pairs with the release in queue_pop(): the cell is free. */
		uint64_t turn = __atomic_load_n(&cell->turn, __ATOMIC_ACQUIRE);

		if (turn == position) {
			if (__atomic_compare_exchange_n(
				    &queue->tail, &position, position + 1, true,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
				break;
		} else if (turn - position > UINT64_MAX / 2) {
			return -EAGAIN;
		} else {
			position = __atomic_load_n(&queue->tail,
						   __ATOMIC_RELAXED);
		}
	}
	*claimed = position;
	return 0;
}

static void queue_fill(struct peal_source_queue *queue, uint64_t position,
		       void *message)
{
	struct peal_post *cell = queue_cell(queue, position);

	peal_tsan_acquire(&cell->turn);
	cell->message = message;
	peal_tsan_release(&cell->turn);
	/* Pairs with the acquire in queue_first(). */
	__atomic_store_n(&cell->turn, position + 1, __ATOMIC_RELEASE);
}

int peal_reactor_post(struct peal_reactor *loop, struct peal_source *source,
		      void *message)
{
	uint64_t position;
	int ret = peal_source_check_kind(loop, source, &queue_ops);

	if (ret == 0)
		ret = queue_claim(&source->of.queue, &position);
	if (ret < 0)
		return ret;
	queue_fill(&source->of.queue, position, message);
	peal_source_defer(source);
	return 0;
}
