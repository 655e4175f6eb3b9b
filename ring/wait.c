/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Blocking waits: poll for a while where asked, arm, sleep, look again. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "endpoint.h"

#define GLANCES 64 /* before it sleeps, some 100 ns */
#define LOOKS 64   /* between two looks at the clock, while polling */

uint64_t peal_end_deadline(int timeout_ms)
{
	return peal_clock_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * 1000000;
}

/* Rounded up: a wait does not end before it is over. */
int peal_end_left_ms(uint64_t deadline)
{
	uint64_t now = peal_clock_ns(CLOCK_MONOTONIC);

	return now < deadline ? (int)((deadline - now + 999999) / 1000000) : 0;
}

/* A death is not an end of the stream; but first comes what was published. */
static ssize_t what_came(struct peal_end *end)
{
	ssize_t ret = peal_end_refresh(end, 0);

	return ret == 0 && end->ended && end->end_reason ? end->end_reason
							 : ret;
}

/* Nothing has come in time; or it has, at the last moment. */
static ssize_t timed_out(struct peal_end *end, uint64_t n)
{
	ssize_t ret = peal_end_refresh(end, n);

	if (ret < 0 || (uint64_t)ret >= n || end->ended)
		return what_came(end);
	return -ETIMEDOUT;
}

/* Alone on a processor, nobody could do what it polls for. */
static bool is_alone(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 &&
	       CPU_COUNT(&cpus) == 1;
}

/*
 * Watched edge-triggered an eventfd tells of each ring and needs no clearing,
 * so that a wake-up is one system call. It costs an fd, so only who waits here
 * has it.
 * @return false: there is none, poll(2) will do
 */
static bool watch(struct peal_end *end)
{
	struct epoll_event rung = { .events = EPOLLIN | EPOLLET,
				    .data.u32 = PEAL_HEARD_BELL };
	struct epoll_event gone = { .events = EPOLLRDHUP | EPOLLET,
				    .data.u32 = PEAL_HEARD_HANGUP };
	int fd = end->watch_fd;

	if (fd >= 0)
		return true;
	if (end->waits_on.kind != PEAL_DOORBELL_EVENTFD)
		return false;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return false;
	if (epoll_ctl(fd, EPOLL_CTL_ADD, end->waits_on.wait_fd, &rung) < 0 ||
	    (end->lifeline >= 0 &&
	     epoll_ctl(fd, EPOLL_CTL_ADD, end->lifeline, &gone) < 0)) {
		close(fd);
		return false;
	}
	end->watch_fd = fd;
	end->glances = is_alone() ? 0 : GLANCES;
	return true;
}

void peal_end_unwatch(struct peal_end *end)
{
	if (!end->position || end->watch_fd < 0)
		return;
	close(end->watch_fd);
	end->watch_fd = -1;
}

/* @return enum peal_heard, or an error */
static int listen_to(const struct peal_end *end, int timeout_ms)
{
	uint64_t deadline = timeout_ms > 0 ? peal_end_deadline(timeout_ms) : 0;
	struct epoll_event events[2];
	int n;

	while ((n = epoll_wait(end->watch_fd, events, 2, timeout_ms)) < 0) {
		if (errno != EINTR)
			return -errno;
		if (timeout_ms > 0)
			timeout_ms = peal_end_left_ms(deadline);
	}
	if (n == 0)
		return PEAL_HEARD_NOTHING;
	return n == 2 ? PEAL_HEARD_HANGUP : (int)events[0].data.u32;
}

/* The bell may not come: look once more, see fence.c. */
static int nap(const struct peal_end *end, int timeout_ms)
{
	return end->unsure && timeout_ms != 0 ? 1 : timeout_ms;
}

/* Are there n, or is it over? */
static bool came(struct peal_end *end, uint64_t n)
{
	return peal_end_stirred(end) &&
	       (peal_end_refresh(end, n) < 0 || end->ended ||
		peal_end_known(end) >= n);
}

/*
 * A fraction of what a system call costs: who streams into a small ring, or out
 * of it, is there again by then, and is spared the bell.
 */
static bool glance(struct peal_end *end, uint64_t n)
{
	for (unsigned i = 0; i < end->glances; i++)
		if (came(end, n))
			return true;
	return false;
}

/* The same, before it would be time to sleep, or to end. */
static bool poll_for(struct peal_end *end, uint64_t n, uint64_t deadline)
{
	uint64_t until = peal_clock_ns(CLOCK_MONOTONIC) + end->spin;

	if (until < end->spin || until > deadline)
		until = deadline;
	do {
		for (int i = 0; i < LOOKS; i++) {
			if (came(end, n))
				return true;
			peal_relax();
		}
	} while (peal_clock_ns(CLOCK_MONOTONIC) < until);
	return false;
}

void peal_end_set_spin(struct peal_end *end, uint64_t most)
{
	end->spin = is_alone() ? 0 : most;
}

/*
 * After a bell, or a hang-up: is the wait over?
 * @return 1 it is, 0 not yet, or why the bell can not be rung any more, so that
 *         it would not sleep
 */
static int look(struct peal_end *end, int heard)
{
	enum peal_found found;
	int ret = 0;

	/* wake.pml: clear_first */
	if (heard == PEAL_HEARD_HANGUP)
		ret = -EPIPE;
	else if (end->watch_fd < 0)
		ret = peal_end_clear(end);
	/* A bell by itself brings no order: what it is for may come later. */
	end->fresh |= heard != PEAL_HEARD_NOTHING;
	if (ret == -EPIPE && end->lifeline >= 0)
		peal_end_hangup(end, -EPIPE);
	found = peal_end_check(end);
	if (found == PEAL_FOUND_SHORT)
		return ret < 0 ? ret : 0;
	peal_end_settle(end, found);
	return 1;
}

/* Until there are as many as it is woken for, or n when its time is over. */
static ssize_t arm_and_sleep(struct peal_end *end, uint64_t n, int timeout_ms,
			     uint64_t deadline)
{
	uint64_t want = n > end->watermark ? n : end->watermark;
	ssize_t ret;

	/* wake.pml: unarmed_goes_on */
	while (peal_end_arm(end, want) || end->unsure) {
		int rest = nap(end, timeout_ms);
		int rung = rest != 0 && watch(end)
				   ? listen_to(end, rest)
				   : peal_doorbell_listen(&end->waits_on,
							  end->lifeline, rest);

		if (rung < 0)
			return end->marooned ? -EPIPE : rung;
		if (rung == PEAL_HEARD_NOTHING && !end->unsure)
			return timed_out(end, n);
		if (rung == PEAL_HEARD_NOTHING && rest != 0)
			peal_end_settled(end);
		ret = look(end, rung);
		if (ret > 0)
			break;
		if (ret < 0)
			return ret;
		if (timeout_ms > 0)
			timeout_ms = peal_end_left_ms(deadline);
		/* However often it rings. */
		if (timeout_ms == 0)
			return timed_out(end, n);
	}
	return what_came(end);
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
		return what_came(end);
	if (timeout_ms > 0)
		deadline = peal_end_deadline(timeout_ms);
	if (end->spin && timeout_ms != 0) {
		if (poll_for(end, n, deadline))
			return what_came(end);
		if (timeout_ms > 0)
			timeout_ms = peal_end_left_ms(deadline);
	} else if (timeout_ms != 0 && glance(end, n)) {
		return what_came(end);
	}
	owed = peal_end_owes(end);
	ret = arm_and_sleep(end, n, timeout_ms, deadline);
	peal_end_pay(end, &owed);
	return ret;
}
