/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The bells and the kernel, as far as the rings know of them: any answer. */
#include "../../ring/internal.h"
#include "any.h"

const void *eva_position;
uint64_t eva_first;
bool eva_told;

int peal_doorbell_ring(const struct peal_doorbell *bell)
{
	(void)bell;
	return any_error();
}

int peal_doorbell_clear(const struct peal_doorbell *bell)
{
	(void)bell;
	return any_int(-133, 1);
}

int peal_doorbell_listen(const struct peal_doorbell *bell, int lifeline,
			 int timeout_ms)
{
	(void)bell;
	(void)lifeline;
	(void)timeout_ms;
	return any_int(-133, PEAL_HEARD_HANGUP);
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	(void)clock;
	ts->tv_sec = (time_t)any_between(0, INT32_MAX);
	ts->tv_nsec = (long)any_between(0, 999999999);
	return 0;
}

int sched_getaffinity(int pid, size_t size, cpu_set_t *set)
{
	(void)pid;
	(void)size;
	set->bits[0] = eva_word;
	return any_int(-1, 0);
}

long syscall(long number, ...)
{
	(void)number;
	return any_int(-1, 0);
}

int epoll_create1(int flags)
{
	(void)flags;
	return any_int(-1, 1000);
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	(void)epfd;
	(void)op;
	(void)fd;
	(void)event;
	return any_int(-1, 0);
}

int epoll_wait(int epfd, struct epoll_event *events, int most, int timeout_ms)
{
	int n = any_int(-1, most);

	(void)epfd;
	(void)timeout_ms;
	//@ loop unroll 3;
	for (int i = 0; i < n; i++) {
		events[i].events = (uint32_t)eva_word;
		events[i].data.u32 = any_bool() ? PEAL_HEARD_BELL
						: PEAL_HEARD_HANGUP;
	}
	errno = any_int(0, 133);
	return n;
}
