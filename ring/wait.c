/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Blocking waits: spin for a while if the user asks, arm, sleep, recheck. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "internal.h"

#define BRIEF_SPINS 64 /* before a wait sleeps: some 100 ns */
#define SPINS 64       /* between two readings of the clock */

/* @return how many items are available; once none are, the reason why the peer
 *         moves no more, if there is one */
static ssize_t wait_result(struct peal_end *end)
{
	ssize_t ret = peal_end_refresh(end, 0);

	return ret == 0 && end->ended && end->end_reason ? end->end_reason
							 : ret;
}

/* The time is over, but the items may have come at the last moment. */
static ssize_t timed_out(struct peal_end *end, uint64_t n)
{
	ssize_t ret = peal_end_refresh(end, n);

	if (ret < 0 || (uint64_t)ret >= n || end->ended)
		return wait_result(end);
	return -ETIMEDOUT;
}

/* With one processor the peer cannot run while this thread spins. */
static bool is_alone(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 &&
	       CPU_COUNT(&cpus) == 1;
}

/*
 * An epoll set that watches an eventfd edge-triggered reports each ring,
 * although the eventfd is never cleared. So a wake-up is one system call. The
 * set costs an fd, so an end opens the set only when the end first sleeps in a
 * blocking call.
 * @return  false: there is no set, and the caller has to use poll(2)
 */
static bool open_epoll(struct peal_end *end)
{
	struct epoll_event rung = { .events = EPOLLIN | EPOLLET,
				    .data.u32 = PEAL_HEARD_BELL };
	struct epoll_event gone = { .events = EPOLLRDHUP | EPOLLET,
				    .data.u32 = PEAL_HEARD_HANGUP };
	int fd = end->wait.epoll_fd;

	if (fd >= 0)
		return true;
	if (end->bell.own.kind != PEAL_DOORBELL_EVENTFD)
		return false;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return false;
	if (epoll_ctl(fd, EPOLL_CTL_ADD, end->bell.own.wait_fd, &rung) < 0 ||
	    (end->wait.lifeline >= 0 &&
	     epoll_ctl(fd, EPOLL_CTL_ADD, end->wait.lifeline, &gone) < 0)) {
		close(fd);
		return false;
	}
	end->wait.epoll_fd = fd;
	end->wait.brief_spins = is_alone() ? 0 : BRIEF_SPINS;
	return true;
}

/* @return enum peal_heard, or an error */
static int wait_events(const struct peal_end *end, int timeout_ms)
{
	uint64_t deadline = timeout_ms > 0 ? peal_deadline(timeout_ms) : 0;
	struct epoll_event events[2];
	int set = end->wait.epoll_fd, n;

	while ((n = epoll_wait(set, events, 2, timeout_ms)) < 0) {
		if (errno != EINTR)
			return -errno;
		if (timeout_ms > 0)
			timeout_ms = peal_left_ms(deadline);
	}
	if (n == 0)
		return PEAL_HEARD_NOTHING;
	return n == 2 ? PEAL_HEARD_HANGUP : (int)events[0].data.u32;
}

/* The peer may miss the wake word: sleep briefly, then recheck (fence.c). */
static int sleep_ms(const struct peal_end *end, int timeout_ms)
{
	return peal_end_recheck_due(end) && timeout_ms != 0 ? 1 : timeout_ms;
}

/* Are n items available, or has the peer ended? */
static bool is_available(struct peal_end *end, uint64_t n)
{
	return peal_end_peer_moved(end) &&
	       (peal_end_refresh(end, n) < 0 || end->ended ||
		peal_end_known(end) >= n);
}

/*
 * Refresh a few times, in a fraction of the time of a system call. A peer that
 * streams into a small ring, or out of a small ring, moves again within that
 * time, and need not ring.
 */
static bool spin_briefly(struct peal_end *end, uint64_t n)
{
	for (unsigned i = 0; i < end->wait.brief_spins; i++)
		if (is_available(end, n))
			return true;
	return false;
}

/* Refresh for as long as the user allows. */
static bool spin(struct peal_end *end, uint64_t n, uint64_t deadline)
{
	uint64_t until = peal_now() + end->wait.spin_ns;

	if (until < end->wait.spin_ns || until > deadline)
		until = deadline;
	do {
		for (int i = 0; i < SPINS; i++) {
			if (is_available(end, n))
				return true;
			peal_relax();
		}
	} while (peal_now() < until);
	return false;
}

void peal_end_set_spin(struct peal_end *end, uint64_t most)
{
	end->wait.spin_ns = is_alone() ? 0 : most;
}

/*
 * Look again after a bell, after a hang-up, or when a deferred recheck is due.
 * @return  1 the wait is over, 0 not yet, or an error: the bell cannot be rung
 *          any more, so the caller must not sleep
 */
static int look_after_bell(struct peal_end *end, int heard)
{
	enum peal_found found;
	int ret = 0;

	/* wake.pml: clear_first */
	if (heard == PEAL_HEARD_HANGUP)
		ret = -EPIPE;
	else if (end->wait.epoll_fd < 0)
		ret = peal_end_clear(end);
	/* A bell by itself brings no order: the items may come later. */
	if (heard != PEAL_HEARD_NOTHING)
		peal_end_expect_recheck(end);
	if (ret == -EPIPE && end->wait.lifeline >= 0)
		peal_end_hangup(end, -EPIPE);
	found = peal_end_recheck(end);
	if (found == PEAL_FOUND_SHORT)
		return ret < 0 ? ret : 0;
	peal_end_wait_done(end, found);
	return 1;
}

/*
 * Sleep until n items are available, or as many as the watermark if these are
 * more. When the time is over, n items are enough.
 */
static ssize_t arm_and_sleep(struct peal_end *end, uint64_t n, int timeout_ms,
			     uint64_t deadline)
{
	uint64_t want = n > end->wait.watermark ? n : end->wait.watermark;
	ssize_t ret;

	/* wake.pml: unarmed_goes_on */
	while (peal_end_arm(end, want) || peal_end_recheck_due(end)) {
		int rest = sleep_ms(end, timeout_ms);
		int rung = rest != 0 && open_epoll(end)
				   ? wait_events(end, rest)
				   : peal_doorbell_listen(&end->bell.own,
							  end->wait.lifeline,
							  rest);

		if (rung < 0)
			return end->detached ? -EPIPE : rung;
		if (rung == PEAL_HEARD_NOTHING && !peal_end_recheck_due(end))
			return timed_out(end, n);
		if (rung == PEAL_HEARD_NOTHING && rest != 0)
			peal_end_wake_seen(end);
		ret = look_after_bell(end, rung);
		if (ret > 0)
			break;
		if (ret < 0)
			return ret;
		if (timeout_ms > 0)
			timeout_ms = peal_left_ms(deadline);
		/* A peer that rings all the time does not extend the wait. */
		if (timeout_ms == 0)
			return timed_out(end, n);
	}
	return wait_result(end);
}

ssize_t peal_end_wait(struct peal_end *end, uint64_t n, int timeout_ms)
{
	uint64_t deadline = UINT64_MAX;
	struct peal_owed owed;
	ssize_t ret;

	ret = peal_end_refresh(end, n);
	if (ret < 0)
		return ret;
	if (n == 0 || n > end->capacity)
		return -EINVAL;
	if ((uint64_t)ret >= n || end->ended)
		return wait_result(end);
	if (timeout_ms > 0)
		deadline = peal_deadline(timeout_ms);
	if (end->wait.spin_ns && timeout_ms != 0) {
		if (spin(end, n, deadline))
			return wait_result(end);
		if (timeout_ms > 0)
			timeout_ms = peal_left_ms(deadline);
	} else if (timeout_ms != 0 && spin_briefly(end, n)) {
		return wait_result(end);
	}
	owed = peal_end_owes(end);
	ret = arm_and_sleep(end, n, timeout_ms, deadline);
	peal_end_pay(end, &owed);
	return ret;
}
