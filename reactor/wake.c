/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Waking and stopping the loop, by an eventfd. Only a loop that might sleep has
 * to be woken:
 *
 *	another thread				the loop
 *	defer a source (deferred.c)		asleep = true
 *	full fence				full fence
 *	asleep? write the eventfd		deferred? do not sleep
 */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "../ring/floor.h"
#include "internal.h"

void peal_wake_write(struct peal_reactor *loop)
{
	const uint64_t one = 1;
	int error = errno;

	/* In a forked child the eventfd belongs to the parent as well. */
	if (peal_reactor_check(loop) < 0)
		return;
	peal_tsan_release(&loop->wake.written);
	/* A thread that finds `written` set need not write: the loop has yet to
	 * clear `written`, and checks for work after that. */
	if (!__atomic_exchange_n(&loop->wake.written, true, __ATOMIC_SEQ_CST))
		while (write(loop->wake.fd, &one, sizeof(one)) < 0 &&
		       errno == EINTR)
			;
	errno = error;
}

void peal_wake_clear(struct peal_reactor *loop)
{
	uint64_t count;

	peal_count(&loop->stats.system_calls);
	while (read(loop->wake.fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	(void)__atomic_exchange_n(&loop->wake.written, false, __ATOMIC_SEQ_CST);
	peal_tsan_acquire(&loop->wake.written);
}

void peal_wake_unless_running(struct peal_reactor *loop)
{
	if (!loop->running)
		peal_wake_write(loop);
}

void peal_reactor_renotify(struct peal_reactor *loop)
{
	__atomic_store_n(&loop->wake.written, false, __ATOMIC_SEQ_CST);
	peal_wake_write(loop);
}

void peal_reactor_wake(struct peal_reactor *loop)
{
	/* Set `called` before the write: the loop that the write wakes asks for
	 * `called`. */
	__atomic_store_n(&loop->wake.called, true, __ATOMIC_SEQ_CST);
	peal_wake_write(loop);
}

void peal_reactor_stop(struct peal_reactor *loop)
{
	/* Set `called` before `stop`: the run that `stop` ends clears `called`,
	 * so that `called` does not end a later wait. */
	__atomic_store_n(&loop->wake.called, true, __ATOMIC_SEQ_CST);
	peal_tsan_release(&loop->wake.stop);
	__atomic_store_n(&loop->wake.stop, true, __ATOMIC_SEQ_CST);
	peal_wake_write(loop);
}

bool peal_wake_called(struct peal_reactor *loop)
{
	return __atomic_exchange_n(&loop->wake.called, false, __ATOMIC_SEQ_CST);
}
