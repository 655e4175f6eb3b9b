/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "sides.h"

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

/* A run that takes longer has come to a stop. */
#define STUCK_SECONDS 300

_Noreturn void bench_fail(const char *what, int error)
{
	errx(1, "%s: %s", what, strerror(error));
}

void bench_check_errno(long long ret, const char *what)
{
	if (ret < 0)
		bench_fail(what, errno);
}

void *bench_share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		bench_fail("shared memory", errno);
	return memory;
}

void bench_unshare(void *memory, size_t size)
{
	munmap(memory, size);
}

void bench_touch(void *memory, size_t size)
{
	madvise(memory, size, MADV_POPULATE_WRITE);
}

/* The first two processors that we might run on before anything was pinned.
 * @return how many there are */
static unsigned processors(unsigned cpus[2])
{
	static unsigned found[2], n;
	cpu_set_t set;

	if (n == 0) {
		bench_check_errno(sched_getaffinity(0, sizeof(set), &set),
				  "affinity");
		for (unsigned i = 0; i < CPU_SETSIZE && n < 2; i++)
			if (CPU_ISSET(i, &set))
				found[n++] = i;
	}
	memcpy(cpus, found, sizeof(found));
	return n;
}

unsigned bench_cpus(void)
{
	unsigned cpus[2];

	return processors(cpus);
}

void bench_pin(unsigned i)
{
	unsigned cpus[2], n = processors(cpus);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpus[i < n ? i : n - 1], &set);
	bench_check_errno(sched_setaffinity(0, sizeof(set), &set), "affinity");
}

void bench_start(struct bench_stage *stage, unsigned i)
{
	__atomic_store_n(&stage->ready[i], 1, __ATOMIC_RELEASE);
	for (unsigned j = 0; j < stage->n; j++)
		while (!__atomic_load_n(&stage->ready[j], __ATOMIC_ACQUIRE))
			sched_yield();
	stage->began[i] = bench_now();
}

void bench_stop(struct bench_stage *stage, unsigned i)
{
	__atomic_store_n(&stage->ended[i], bench_now(), __ATOMIC_RELEASE);
}

void bench_await(struct bench_stage *stage, unsigned i)
{
	while (!__atomic_load_n(&stage->ended[i], __ATOMIC_ACQUIRE))
		usleep(100);
}

/* A side stops before and after each of its system calls. */
static void count_call(struct bench_stage *stage, unsigned i, pid_t pid,
		       int status)
{
	int number = WSTOPSIG(status);
	bool call = number == (SIGTRAP | 0x80);

	if (call && stage->began[i] && !stage->ended[i])
		stage->calls[i]++;
	if (number == SIGSTOP)
		ptrace(PTRACE_SETOPTIONS, pid, NULL,
		       PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	ptrace(PTRACE_SYSCALL, pid, NULL,
	       call || number == SIGSTOP ? 0 : number);
}

static unsigned whose(const pid_t *pids, unsigned n, pid_t pid)
{
	unsigned i = 0;

	while (i < n && pids[i] != pid)
		i++;
	return i;
}

static void kill_all(const pid_t *pids, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGKILL);
}

/* @return false: one of them has failed, and all have ended */
static bool await(struct bench_stage *stage, pid_t *pids, unsigned n)
{
	bool failed = false;

	for (unsigned left = n; left > 0;) {
		int status;
		pid_t pid = waitpid(-1, &status, 0);
		unsigned i = whose(pids, n, pid);

		if (pid < 0)
			return false;
		if (i == n)
			continue;
		if (WIFSTOPPED(status)) {
			count_call(stage, i, pid, status);
			continue;
		}
		left--;
		pids[i] = 0;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			continue;
		if (WIFSIGNALED(status) && !failed)
			warnx("a side ended: %s", strsignal(WTERMSIG(status)));
		failed = true;
		kill_all(pids, n);
	}
	return !failed;
}

static uint64_t elapsed(const struct bench_stage *stage, unsigned n)
{
	uint64_t began = UINT64_MAX, ended = 0;

	for (unsigned i = 0; i < n; i++) {
		if (stage->began[i] < began)
			began = stage->began[i];
		if (stage->ended[i] > ended)
			ended = stage->ended[i];
	}
	return ended - began;
}

typedef void bench_side(struct bench_stage *stage, unsigned i, void *user);

static _Noreturn void become(struct bench_stage *stage, unsigned i,
			     uint64_t cpus, bench_side *side, void *user)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bench_pin(cpus == 1 || i > 0);
	alarm(STUCK_SECONDS);
	if (stage->traced) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
	}
	side(stage, i, user);
	_exit(0);
}

static uint64_t fork_all(struct bench_stage *stage, unsigned n, uint64_t cpus,
			 bench_side *side, void *user)
{
	pid_t pids[BENCH_SIDES];

	bench_cpus();
	stage->n = n;
	fflush(NULL);
	for (unsigned i = 0; i < n; i++) {
		pids[i] = fork();
		bench_check_errno(pids[i], "fork");
		if (pids[i] == 0)
			become(stage, i, cpus, side, user);
	}
	return await(stage, pids, n) ? elapsed(stage, n) : 0;
}

uint64_t bench_fork(unsigned n, uint64_t cpus, bench_side *side, void *user,
		    struct bench_stage *out)
{
	struct bench_stage *stage = bench_share(sizeof(*stage));
	uint64_t ns = fork_all(stage, n, cpus, side, user);

	if (out)
		*out = *stage;
	bench_unshare(stage, sizeof(*stage));
	return ns;
}

void bench_trace(unsigned n, bench_side *side, void *user,
		 struct bench_stage *out)
{
	struct bench_stage *stage = bench_share(sizeof(*stage));

	stage->traced = true;
	fork_all(stage, n, 2, side, user);
	for (unsigned i = 0; i < n; i++)
		stage->calls[i] /= 2;
	*out = *stage;
	bench_unshare(stage, sizeof(*stage));
}

double bench_tick(void)
{
	static double tick;
	uint64_t began, ticks;

	if (tick > 0)
		return tick;
	began = bench_now();
	ticks = bench_ticks();
	while (bench_now() - began < 20000000)
		;
	tick = (double)(bench_now() - began) / (double)(bench_ticks() - ticks);
	return tick;
}
