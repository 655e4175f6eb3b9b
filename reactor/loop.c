/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An iteration: wait, one turn for each source that is ready, arm.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../ring/floor.h"
#include "internal.h"

#define BATCH 256
/* Of rings, until they are armed. */
#define TURNS 32
/* Turns of the lowest band in a round in which others have turns. */
#define LOW_TURNS 8
/* Rounds of a group's rings between two looks at the fds. */
#define UNPOLLED 8

/* -- what was seen */

static void timer_arrived(struct peal_reactor *loop)
{
	uint64_t count;

	if (peal_level(loop) &&
	    read(loop->timer_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	peal_timers_expire(loop);
}

static void wake_arrived(struct peal_reactor *loop, bool *woken)
{
	/* An edge-triggered host is told by each write, so the next one has to
	 * be made; elsewhere it is readable until there is no work left. */
	if (loop->hosted && loop->host.edge)
		__atomic_store_n(&loop->awoken, false, __ATOMIC_SEQ_CST);
	else
		*woken = true;
	/* It may be a timer that was due when it was set. */
	if (loop->timers)
		peal_timers_expire(loop);
}

static void arrived(struct peal_reactor *loop, uint64_t token, uint32_t events,
		    bool *woken)
{
	struct peal_source *source;

	if (token == PEAL_TOKEN_WAKE) {
		wake_arrived(loop, woken);
		return;
	}
	if (token == PEAL_TOKEN_TIMER) {
		timer_arrived(loop);
		return;
	}
	if ((uint32_t)token >= loop->n_slots)
		return;
	source = peal_source_find(loop, token);
	if (source)
		source->ops->event(source, events);
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
		peal_count(&loop->stats.system_calls);
		n = epoll_wait(loop->epoll_fd, events, BATCH, timeout_ms);
		if (n < 0)
			return errno == EINTR ? 0 : -errno;
		for (int i = 0; i < n; i++)
			arrived(loop, events[i].data.u64, events[i].events,
				woken);
		timeout_ms = 0;
	} while (n == BATCH && --batches > 0);
	return 0;
}

/* -- turns */

static void line_up(struct peal_reactor *loop)
{
	struct peal_link *low = &loop->ready[PEAL_BAND_LOW];

	peal_link_splice(&loop->turn, &loop->ready[PEAL_BAND_HIGH]);
	peal_link_splice(&loop->turn, &loop->ready[PEAL_BAND_NORMAL]);
	if (peal_link_empty(&loop->turn)) {
		peal_link_splice(&loop->turn, low);
		return;
	}
	for (int i = 0; i < LOW_TURNS && !peal_link_empty(low); i++) {
		struct peal_link *link = low->next;

		peal_link_remove(link);
		peal_link_append(&loop->turn, link);
	}
}

static int round_robin(struct peal_reactor *loop)
{
	line_up(loop);
	for (unsigned i = 1; !peal_link_empty(&loop->turn); i++) {
		struct peal_source *source = peal_link_take(&loop->turn);

		source->ops->turn(source);
		if (!peal_reactor_here(loop))
			return -ECHILD;
		/* As long as they are in the cache. */
		if (i % TURNS == 0)
			peal_rings_arm(loop);
	}
	return 0;
}

static bool work_left(struct peal_reactor *loop)
{
	for (int i = 0; i < PEAL_BANDS; i++)
		if (!peal_link_empty(&loop->ready[i]))
			return true;
	return __atomic_load_n(&loop->calls, __ATOMIC_SEQ_CST) ||
	       peal_groups_marked(loop);
}

/* -- an iteration */

/* @return 1 if there is more to do, 0 if not, or an error */
static int serve(struct peal_reactor *loop, bool woken, bool may_spin)
{
	bool left;
	int ret;

	__atomic_store_n(&loop->asleep, false, __ATOMIC_RELAXED);
	peal_groups_sleep(loop, false);
	peal_deferred_collect(loop);
	peal_groups_collect(loop);
	ret = round_robin(loop);
	if (ret < 0)
		return ret;
	if (may_spin && !work_left(loop))
		peal_rings_spin(loop);
	__atomic_store_n(&loop->asleep, true, __ATOMIC_RELAXED);
	peal_groups_sleep(loop, true);
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

/* Marks that are there already need no kernel; but the fds have their time. */
static bool goes_on(struct peal_reactor *loop)
{
	if (!peal_groups_marked(loop) || loop->unpolled >= UNPOLLED) {
		loop->unpolled = 0;
		return false;
	}
	loop->unpolled++;
	return true;
}

/* @param woken  by wake_fd, from whomever */
static int iterate(struct peal_reactor *loop, int timeout_ms, bool *woken)
{
	bool may_spin = timeout_ms != 0;
	bool sleeps = may_spin && !work_left(loop);
	int ret;

	if (sleeps && loop->before_sleep) {
		loop->before_sleep(loop, loop->hooks_user);
		if (!peal_reactor_here(loop))
			return -ECHILD;
		/* What the hook has drained or set is armed by none else. */
		peal_rings_arm(loop);
		peal_timers_program(loop);
	}
	peal_count(&loop->stats.iterations);
	loop->made = 0;
	if (work_left(loop))
		timeout_ms = 0;
	if (timeout_ms != 0)
		peal_count(&loop->stats.sleeps);
	ret = goes_on(loop) ? 0 : wait_for_events(loop, timeout_ms, woken);
	if (sleeps && loop->after_sleep)
		loop->after_sleep(loop, loop->hooks_user);
	if (!peal_reactor_here(loop))
		return -ECHILD;
	return ret < 0 ? ret : serve(loop, *woken, may_spin);
}

static int enter(struct peal_reactor *loop, bool hosted)
{
	int ret = peal_reactor_check(loop);

	if (ret < 0)
		return ret;
	if (loop->hosted != hosted)
		return -EINVAL;
	if (loop->dispatching)
		return -EBUSY;
	loop->dispatching = true;
	return 0;
}

static int leave(struct peal_reactor *loop, int ret)
{
	loop->dispatching = false;
	if (ret > 0)
		peal_reactor_kick(loop);
	return ret < 0 ? ret : loop->made;
}

/* Milliseconds until then, rounded up, as epoll_wait(2) takes them. */
static int time_left(uint64_t end)
{
	uint64_t now = peal_now();

	return now < end ? (int)((end - now + 999999) / 1000000) : 0;
}

/*
 * Much ends a wait of the kernel's that nobody waited for: a signal, a timer
 * that was cancelled, a bell that was rung before. It goes on waiting then, for
 * what is left of the time, or the caller would believe that this is over. One
 * who has given no time has something else to look at.
 */
static int wait_and_serve(struct peal_reactor *loop, int timeout_ms)
{
	uint64_t end = 0;
	int ret;

	if (timeout_ms > 0)
		end = peal_now() + (uint64_t)timeout_ms * 1000000;
	for (;;) {
		bool woken = false;

		ret = iterate(loop, timeout_ms, &woken);
		/* Woken by others, it leaves the call to the next time, for
		 * which wake_fd is readable. */
		if (ret < 0 || (woken && peal_reactor_called(loop)) ||
		    loop->made > 0 || timeout_ms <= 0)
			return ret;
		timeout_ms = time_left(end);
		if (timeout_ms == 0)
			return ret;
	}
}

int peal_reactor_run_once(struct peal_reactor *loop, int timeout_ms)
{
	int ret = enter(loop, false);

	return ret < 0 ? ret : leave(loop, wait_and_serve(loop, timeout_ms));
}

int peal_reactor_dispatch(struct peal_reactor *loop)
{
	return peal_reactor_run_once(loop, 0);
}

int peal_reactor_process(struct peal_reactor *loop, uint64_t token,
			 uint32_t events)
{
	bool woken = false;
	int ret = enter(loop, true);

	if (ret < 0)
		return ret;
	loop->made = 0;
	peal_count(&loop->stats.iterations);
	arrived(loop, token, events, &woken);
	return leave(loop, serve(loop, woken, false));
}

int peal_reactor_run(struct peal_reactor *loop)
{
	int ret = enter(loop, false);

	if (ret < 0)
		return ret;
	while (ret >= 0 &&
	       !__atomic_exchange_n(&loop->stop, false, __ATOMIC_SEQ_CST)) {
		bool woken = false;

		ret = iterate(loop, -1, &woken);
	}
	peal_tsan_acquire(&loop->stop);
	(void)peal_reactor_called(loop); /* whoever it was has been heard */
	ret = leave(loop, ret);
	return ret < 0 ? ret : 0;
}
