/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What other threads and signal handlers can do to a loop: defer a call, wake
 * it, stop it.
 *
 * Calls are pushed to a stack (R. K. Treiber, Systems Programming: Coping with
 * Parallelism, 1986) that the loop takes as a whole. Whoever pushes writes
 * wake_fd only if the loop might sleep:
 *
 *	push a call			asleep = true
 *	full fence			full fence
 *	asleep? write wake_fd		calls? do not sleep
 */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "../ring/floor.h"
#include "internal.h"

void peal_reactor_kick(struct peal_reactor *loop)
{
	const uint64_t one = 1;
	int error = errno;

	/* The eventfd of a child is the parent's as well. */
	if (peal_reactor_check(loop) < 0)
		return;
	peal_tsan_release(&loop->awoken);
	/* Seen as set, it is not yet unset by peal_reactor_unkick(), which is
	 * followed by another look at what there is to do. */
	if (!__atomic_exchange_n(&loop->awoken, true, __ATOMIC_SEQ_CST))
		while (write(loop->wake_fd, &one, sizeof(one)) < 0 &&
		       errno == EINTR)
			;
	errno = error;
}

void peal_reactor_unkick(struct peal_reactor *loop)
{
	uint64_t count;

	peal_count(&loop->stats.system_calls);
	while (read(loop->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	(void)__atomic_exchange_n(&loop->awoken, false, __ATOMIC_SEQ_CST);
	peal_tsan_acquire(&loop->awoken);
}

void peal_reactor_nudge(struct peal_reactor *loop)
{
	if (!loop->dispatching)
		peal_reactor_kick(loop);
}

void peal_reactor_wake(struct peal_reactor *loop)
{
	/* Before the kick, after which peal_reactor_called() is asked. */
	__atomic_store_n(&loop->called, true, __ATOMIC_SEQ_CST);
	peal_reactor_kick(loop);
}

void peal_reactor_stop(struct peal_reactor *loop)
{
	/* Before `stop`: the run that this ends takes it back. */
	__atomic_store_n(&loop->called, true, __ATOMIC_SEQ_CST);
	peal_tsan_release(&loop->stop);
	__atomic_store_n(&loop->stop, true, __ATOMIC_SEQ_CST);
	peal_reactor_kick(loop);
}

bool peal_reactor_called(struct peal_reactor *loop)
{
	return __atomic_exchange_n(&loop->called, false, __ATOMIC_SEQ_CST);
}

void peal_source_defer(struct peal_source *source)
{
	struct peal_reactor *loop = source->reactor;
	struct peal_source *head;

	peal_tsan_release(&source->deferred);
	if (__atomic_exchange_n(&source->deferred, true, __ATOMIC_SEQ_CST))
		return;
	head = __atomic_load_n(&loop->calls, __ATOMIC_RELAXED);
	do
		source->deferred_next = head;
	while (!__atomic_compare_exchange_n(&loop->calls, &head, source, true,
					    __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&loop->asleep, __ATOMIC_SEQ_CST))
		peal_reactor_kick(loop);
}

/* From here on it can be deferred again. An exchange, to see all that was done
 * before each call that found it deferred already. */
void peal_source_undefer(struct peal_source *source)
{
	(void)__atomic_exchange_n(&source->deferred, false, __ATOMIC_SEQ_CST);
	peal_tsan_acquire(&source->deferred);
}

void peal_deferred_collect(struct peal_reactor *loop)
{
	struct peal_source *stack, *queue = NULL;

	if (!__atomic_load_n(&loop->calls, __ATOMIC_RELAXED))
		return;
	stack = __atomic_exchange_n(&loop->calls, NULL, __ATOMIC_SEQ_CST);
	while (stack) { /* first come, first served */
		struct peal_source *source = stack;

		stack = source->deferred_next;
		source->deferred_next = queue;
		queue = source;
	}
	while (queue) {
		struct peal_source *source = queue;

		queue = source->deferred_next;
		source->ops->deferred(source);
	}
}

static void deferred_turn(struct peal_source *source)
{
	struct peal_call call = peal_call_begin(source);

	peal_source_undefer(source);
	source->callback.call(source, source->user);
	peal_call_end(&call);
}

/* The source may be among those that were deferred and not yet collected. */
void peal_deferred_detach(struct peal_source *source)
{
	peal_deferred_collect(source->reactor);
}

static const struct peal_source_ops deferred_ops = {
	.turn = deferred_turn,
	.deferred = peal_source_ready,
	.detach = peal_deferred_detach,
};

int peal_reactor_add_deferred(
	struct peal_reactor *loop, struct peal_source *source,
	void (*call)(struct peal_source *source, void *user), void *user)
{
	int ret;

	if (!call)
		return -EINVAL;
	ret = peal_source_enter(loop, source, &deferred_ops);
	if (ret < 0)
		return ret;
	source->callback.call = call;
	source->user = user;
	return 0;
}

int peal_reactor_defer(struct peal_reactor *loop, struct peal_source *source)
{
	int ret = peal_source_check_kind(loop, source, &deferred_ops);

	if (ret == 0)
		peal_source_defer(source);
	return ret;
}
