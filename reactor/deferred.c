/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Calls from other threads and from signal handlers.
 *
 * A deferred source is pushed to a stack (R. K. Treiber, Systems Programming:
 * Coping with Parallelism, 1986), which the loop takes as a whole. The thread
 * that pushes wakes the loop if the loop might sleep: see wake.c.
 */
#include <errno.h>
#include <stdint.h>

#include "../ring/floor.h"
#include "internal.h"

void peal_source_defer(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;
	struct peal_source *head;

	peal_tsan_release(&source->deferral.pending);
	if (__atomic_exchange_n(&source->deferral.pending, true,
				__ATOMIC_SEQ_CST))
		return;
	head = __atomic_load_n(&loop->wake.deferred, __ATOMIC_RELAXED);
	do
		source->deferral.next = head;
	while (!__atomic_compare_exchange_n(&loop->wake.deferred, &head, source,
					    true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&loop->wake.asleep, __ATOMIC_SEQ_CST))
		peal_wake_write(loop);
}

/* A thread that found the source pending has stored something before that the
 * callback is to see. An exchange reads what the thread wrote to `pending`, and
 * so orders the callback after the thread. A store would not. */
void peal_source_undefer(struct peal_source *source)
{
	(void)__atomic_exchange_n(&source->deferral.pending, false,
				  __ATOMIC_SEQ_CST);
	peal_tsan_acquire(&source->deferral.pending);
}

static struct peal_source *deferred_reverse(struct peal_source *stack)
{
	struct peal_source *queue = NULL;

	while (stack) {
		struct peal_source *source = stack;

		stack = source->deferral.next;
		source->deferral.next = queue;
		queue = source;
	}
	return queue;
}

void peal_deferred_collect(struct peal_reactor *loop)
{
	struct peal_source *queue;

	if (!__atomic_load_n(&loop->wake.deferred, __ATOMIC_RELAXED))
		return;
	queue = deferred_reverse(__atomic_exchange_n(&loop->wake.deferred, NULL,
						     __ATOMIC_SEQ_CST));
	while (queue) {
		struct peal_source *source = queue;

		queue = source->deferral.next;
		source->ops->deferred(source);
	}
}

/* The source may be on the stack. */
void peal_deferred_detach(struct peal_source *source)
{
	peal_deferred_collect(source->reactor);
}

/* -- calls */

static void call_turn(struct peal_source *source)
{
	struct peal_call call = peal_call_begin(source);

	peal_source_undefer(source);
	source->of.call.call(source, source->user);
	peal_call_end(&call);
}

static const struct peal_source_ops call_ops = {
	.turn = call_turn,
	.deferred = peal_source_schedule,
	.detach = peal_deferred_detach,
};

int peal_reactor_add_deferred(
	struct peal_reactor *loop, struct peal_source *source,
	void (*call)(struct peal_source *source, void *user), void *user)
{
	int ret;

	if (!call)
		return -EINVAL;
	ret = peal_source_attach(loop, source, &call_ops, user);
	if (ret < 0)
		return ret;
	source->of.call.call = call;
	return 0;
}

int peal_reactor_defer(struct peal_reactor *loop, struct peal_source *source)
{
	int ret = peal_source_check_kind(loop, source, &call_ops);

	if (ret == 0)
		peal_source_defer(source);
	return ret;
}
