/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An iteration: wait, one turn for each source that is ready, arm.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "internal.h"

#define BATCH 256

static void arrived(struct peal_reactor *loop, const struct epoll_event *event,
		    bool *woken)
{
	struct peal_source *source;

	switch (event->data.u64) {
	case PEAL_TOKEN_WAKE:
		*woken = true;
		return;
	case PEAL_TOKEN_TIMER:
		peal_timers_expire(loop);
		return;
	}
	source = peal_source_find(loop, event->data.u64);
	if (!source)
		return;
	if (source->end)
		loop->stats.wakeups++;
	source->revents |= event->events;
	peal_source_ready(source);
}

/*
 * All events that are there, so that none waits for longer than a round. One
 * source has one event at a time, so there is an end to it.
 */
static int wait_for_events(struct peal_reactor *loop, int timeout_ms,
			   bool *woken)
{
	struct epoll_event events[BATCH];
	uint32_t batches = loop->n_slots / BATCH + 1;
	int n;

	do {
		loop->stats.system_calls++;
		n = epoll_wait(loop->epoll_fd, events, BATCH, timeout_ms);
		if (n < 0)
			return errno == EINTR ? 0 : -errno;
		for (int i = 0; i < n; i++)
			arrived(loop, &events[i], woken);
		timeout_ms = 0;
	} while (n == BATCH && --batches > 0);
	return 0;
}

static void turn(struct peal_source *source)
{
	switch (source->kind) {
	case PEAL_KIND_RECEIVER:
	case PEAL_KIND_SENDER:
		peal_ring_turn(source);
		break;
	case PEAL_KIND_FD:
		peal_fd_turn(source);
		break;
	case PEAL_KIND_TIMER:
		peal_timer_turn(source);
		break;
	default:
		peal_deferred_turn(source);
	}
}

static int round_robin(struct peal_reactor *loop)
{
	peal_link_splice(&loop->turn, &loop->ready);
	while (!peal_link_empty(&loop->turn)) {
		turn(peal_link_take(&loop->turn));
		if (!peal_reactor_here(loop))
			return -ECHILD;
	}
	return 0;
}

static bool work_left(struct peal_reactor *loop)
{
	return !peal_link_empty(&loop->ready) ||
	       __atomic_load_n(&loop->calls, __ATOMIC_SEQ_CST);
}

/* @return 1 if there is more to do, 0 if not, or an error */
static int iterate(struct peal_reactor *loop, int timeout_ms)
{
	bool woken = false, left;
	int ret;

	loop->stats.iterations++;
	loop->made = 0;
	ret = wait_for_events(loop, work_left(loop) ? 0 : timeout_ms, &woken);
	if (ret < 0)
		return ret;
	__atomic_store_n(&loop->asleep, false, __ATOMIC_RELAXED);
	peal_deferred_collect(loop);
	ret = round_robin(loop);
	if (ret < 0)
		return ret;
	__atomic_store_n(&loop->asleep, true, __ATOMIC_SEQ_CST);
	/* Its fence stands between this and the look at the calls. */
	peal_rings_arm(loop);
	peal_timers_program(loop);
	left = work_left(loop);
	/* It stays readable for a loop of the caller's as long as there is
	 * work; then it is taken back, and work that came meanwhile is seen. */
	if (woken && !left) {
		peal_reactor_unkick(loop);
		left = work_left(loop);
	}
	return left;
}

static int enter(struct peal_reactor *loop)
{
	if (!peal_reactor_here(loop))
		return -ECHILD;
	if (loop->dispatching)
		return -EBUSY;
	loop->dispatching = true;
	return 0;
}

int peal_reactor_run_once(struct peal_reactor *loop, int timeout_ms)
{
	int ret = enter(loop);

	if (ret < 0)
		return ret;
	ret = iterate(loop, timeout_ms);
	loop->dispatching = false;
	if (ret > 0)
		peal_reactor_kick(loop);
	return ret < 0 ? ret : loop->made;
}

int peal_reactor_dispatch(struct peal_reactor *loop)
{
	return peal_reactor_run_once(loop, 0);
}

int peal_reactor_run(struct peal_reactor *loop)
{
	int ret = enter(loop);

	if (ret < 0)
		return ret;
	while (ret >= 0 &&
	       !__atomic_exchange_n(&loop->stop, false, __ATOMIC_SEQ_CST))
		ret = iterate(loop, -1);
	loop->dispatching = false;
	if (ret > 0)
		peal_reactor_kick(loop);
	return ret < 0 ? ret : 0;
}
