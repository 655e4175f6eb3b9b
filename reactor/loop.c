/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An iteration: wait, give each source that is ready one turn, arm.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../ring/floor.h"
#include "internal.h"

/* Events that one epoll_wait(2) can report. */
#define EVENTS_PER_CALL 256
/* Turns of rings after which these rings are armed, while the cache still has
 * them. */
#define TURNS_PER_ARMING 32
/* Turns of the lowest band in a round in which other bands have turns. */
#define LOW_TURNS 8
/* Rounds of a group's rings after which the kernel is asked about the fds. */
#define ROUNDS_WITHOUT_POLL 8

/* -- events */

static void timerfd_event(struct peal_reactor *loop)
{
	uint64_t count;

	if (peal_reactor_is_level(loop) &&
	    read(loop->alarms.fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	peal_alarms_expire(loop);
}

static void eventfd_event(struct peal_reactor *loop, bool *woken)
{
	/* An edge-triggered host is told of each write, and of nothing else. So
	 * clear `written`: the next thread has to write. Elsewhere the eventfd
	 * stays readable until there is no work left. */
	if (loop->poll.by == PEAL_WATCHED_BY_EDGE)
		__atomic_store_n(&loop->wake.written, false, __ATOMIC_SEQ_CST);
	else
		*woken = true;
	/* peal_alarm_repeat() writes the eventfd for an alarm that was due when
	 * it was set. */
	if (loop->alarms.n)
		peal_alarms_expire(loop);
}

static void loop_event(struct peal_reactor *loop, uint64_t token,
		       uint32_t events, bool *woken)
{
	struct peal_source *source;

	if (token == PEAL_TOKEN_WAKE) {
		eventfd_event(loop, woken);
		return;
	}
	if (token == PEAL_TOKEN_TIMER) {
		timerfd_event(loop);
		return;
	}
	if ((uint32_t)token >= loop->table.n)
		return;
	source = peal_source_find(loop, token);
	if (source)
		source->ops->event(source, events);
}

/*
 * Take all events that there are, so that none waits for longer than a round. A
 * source has one event at a time, so the number of calls is limited.
 */
static int loop_wait(struct peal_reactor *loop, int timeout_ms, bool *woken)
{
	struct epoll_event events[EVENTS_PER_CALL];
	uint32_t calls = loop->table.n / EVENTS_PER_CALL + 1;
	int n;

	do {
		peal_count(&loop->stats.system_calls);
		n = epoll_wait(loop->poll.epoll_fd, events, EVENTS_PER_CALL,
			       timeout_ms);
		if (n < 0)
			return errno == EINTR ? 0 : -errno;
		for (int i = 0; i < n; i++)
			loop_event(loop, events[i].data.u64, events[i].events,
				   woken);
		timeout_ms = 0;
	} while (n == EVENTS_PER_CALL && --calls > 0);
	return 0;
}

/* -- turns */

static void loop_begin_round(struct peal_reactor *loop)
{
	struct peal_link *turn = &loop->lists.turn;
	struct peal_link *low = &loop->lists.ready[PEAL_BAND_LOW];

	peal_link_splice(turn, &loop->lists.ready[PEAL_BAND_HIGH]);
	peal_link_splice(turn, &loop->lists.ready[PEAL_BAND_NORMAL]);
	if (peal_link_empty(turn)) {
		peal_link_splice(turn, low);
		return;
	}
	for (int i = 0; i < LOW_TURNS && !peal_link_empty(low); i++) {
		struct peal_link *link = low->next;

		peal_link_remove(link);
		peal_link_append(turn, link);
	}
}

static int loop_round(struct peal_reactor *loop)
{
	loop_begin_round(loop);
	for (unsigned i = 1; !peal_link_empty(&loop->lists.turn); i++) {
		struct peal_source *source = peal_link_take(&loop->lists.turn);

		source->ops->turn(source);
		if (!peal_reactor_here(loop))
			return -ECHILD;
		if (i % TURNS_PER_ARMING == 0)
			peal_rings_arm(loop);
	}
	return 0;
}

static bool loop_has_work(struct peal_reactor *loop)
{
	for (int i = 0; i < PEAL_BANDS; i++)
		if (!peal_link_empty(&loop->lists.ready[i]))
			return true;
	return __atomic_load_n(&loop->wake.deferred, __ATOMIC_SEQ_CST) ||
	       peal_groups_marked(loop);
}

/* -- an iteration */

/* While the loop is asleep, a thread that has work for the loop wakes the loop.
 */
static void loop_set_asleep(struct peal_reactor *loop, bool asleep)
{
	__atomic_store_n(&loop->wake.asleep, asleep, __ATOMIC_RELAXED);
	peal_groups_set_asleep(loop, asleep);
}

/* @return 1 if there is more to do, 0 if not, or an error */
static int loop_serve(struct peal_reactor *loop, bool woken, bool may_spin)
{
	bool left;
	int ret;

	loop_set_asleep(loop, false);
	peal_deferred_collect(loop);
	peal_groups_collect(loop);
	ret = loop_round(loop);
	if (ret < 0)
		return ret;
	if (may_spin && !loop_has_work(loop))
		peal_rings_spin(loop);
	loop_set_asleep(loop, true);
	/* The fence of peal_rings_arm() stands between the store of `asleep`
	 * and the load of `deferred`. */
	peal_rings_arm(loop);
	peal_alarms_program(loop);
	left = loop_has_work(loop);
	/* A loop of the caller's sees the eventfd readable as long as there is
	 * work. Work that comes while the eventfd is cleared is found after. */
	if (woken && !left) {
		peal_wake_clear(loop);
		left = loop_has_work(loop);
	}
	return left;
}

/* Bells of a group that are marked already need no kernel. But now and then the
 * kernel is asked about the fds of others. */
static bool loop_skips_poll(struct peal_reactor *loop)
{
	if (!peal_groups_marked(loop) ||
	    loop->poll.skipped >= ROUNDS_WITHOUT_POLL) {
		loop->poll.skipped = 0;
		return false;
	}
	loop->poll.skipped++;
	return true;
}

/* @return 0, or -ECHILD if the hook has forked */
static int loop_before_sleep(struct peal_reactor *loop)
{
	loop->hooks.before_sleep(loop, loop->hooks.user);
	if (!peal_reactor_here(loop))
		return -ECHILD;
	/* Rings that the hook has drained, and alarms that the hook has set. */
	peal_rings_arm(loop);
	peal_alarms_program(loop);
	return 0;
}

/* @param woken  set if the eventfd has ended the wait */
static int loop_iterate(struct peal_reactor *loop, int timeout_ms, bool *woken)
{
	bool may_spin = timeout_ms != 0;
	bool sleeps = may_spin && !loop_has_work(loop);
	int ret = 0;

	if (sleeps && loop->hooks.before_sleep)
		ret = loop_before_sleep(loop);
	if (ret < 0)
		return ret;
	peal_count(&loop->stats.iterations);
	loop->callbacks = 0;
	if (loop_has_work(loop))
		timeout_ms = 0;
	if (timeout_ms != 0)
		peal_count(&loop->stats.sleeps);
	if (!loop_skips_poll(loop))
		ret = loop_wait(loop, timeout_ms, woken);
	if (sleeps && loop->hooks.after_sleep)
		loop->hooks.after_sleep(loop, loop->hooks.user);
	if (!peal_reactor_here(loop))
		return -ECHILD;
	return ret < 0 ? ret : loop_serve(loop, *woken, may_spin);
}

static int loop_begin(struct peal_reactor *loop, bool hosted)
{
	int ret = peal_reactor_check(loop);

	if (ret < 0)
		return ret;
	if ((loop->poll.by != PEAL_WATCHED_BY_EPOLL) != hosted)
		return -EINVAL;
	if (loop->running)
		return -EBUSY;
	loop->running = true;
	return 0;
}

/* @param ret  as loop_serve() returned it
 * @return     how many callbacks were made, or an error */
static int loop_end(struct peal_reactor *loop, int ret)
{
	loop->running = false;
	if (ret > 0)
		peal_wake_write(loop);
	return ret < 0 ? ret : loop->callbacks;
}

/*
 * A signal, a timer that was cancelled, or a bell without items can end
 * epoll_wait(2) early. A caller who has given a time would then believe that
 * the time is over, so the loop waits for the rest of the time. A caller who
 * waits for ever has something else to check, so the call returns.
 */
static int loop_wait_and_serve(struct peal_reactor *loop, int timeout_ms)
{
	uint64_t deadline = 0;
	int ret;

	if (timeout_ms > 0)
		deadline = peal_deadline(timeout_ms);
	for (;;) {
		bool woken = false;

		ret = loop_iterate(loop, timeout_ms, &woken);
		/* A thread that woke the loop may have called wake or stop. A
		 * call that comes when the loop was not woken is left to the
		 * next wait, for which the eventfd is readable. */
		if (ret < 0 || (woken && peal_wake_called(loop)) ||
		    loop->callbacks > 0 || timeout_ms <= 0)
			return ret;
		timeout_ms = peal_left_ms(deadline);
		if (timeout_ms == 0)
			return ret;
	}
}

int peal_reactor_run_once(struct peal_reactor *loop, int timeout_ms)
{
	int ret = loop_begin(loop, false);

	if (ret < 0)
		return ret;
	return loop_end(loop, loop_wait_and_serve(loop, timeout_ms));
}

int peal_reactor_dispatch(struct peal_reactor *loop)
{
	return peal_reactor_run_once(loop, 0);
}

int peal_reactor_process(struct peal_reactor *loop, uint64_t token,
			 uint32_t events)
{
	bool woken = false;
	int ret = loop_begin(loop, true);

	if (ret < 0)
		return ret;
	loop->callbacks = 0;
	peal_count(&loop->stats.iterations);
	loop_event(loop, token, events, &woken);
	return loop_end(loop, loop_serve(loop, woken, false));
}

int peal_reactor_run(struct peal_reactor *loop)
{
	int ret = loop_begin(loop, false);

	if (ret < 0)
		return ret;
	while (ret >= 0 && !__atomic_exchange_n(&loop->wake.stop, false,
						__ATOMIC_SEQ_CST)) {
		bool woken = false;

		ret = loop_iterate(loop, -1, &woken);
	}
	peal_tsan_acquire(&loop->wake.stop);
	/* This run has heeded every wake and stop that came before. */
	(void)peal_wake_called(loop);
	ret = loop_end(loop, ret);
	return ret < 0 ? ret : 0;
}
