/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * usage: faults [--all | --long] [--pairs FILE] [SCENARIO [CALL NTH ERRNO]]
 *
 * The first few calls of each kind fail in each scenario: each with one errno,
 * which takes some seconds; with --all each with each; with --long not only the
 * first few. The pairs of call and errno that were covered go to FILE, in
 * the form of covered.txt.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"
#include "leaks.h"

#define SECONDS_MOST 240
#define WORKERS 6
/* Of one call in a scenario that are made to fail, in the two modes. */
#define FEW 2
#define MORE 12
#define FAILURES_SHOWN 20

struct faults *faults;
static pid_t group; /* of who runs this; each shot has one of its own */
static struct scenario *scenarios;

static struct {
	bool all, every;
	const char *pairs;
} options;

/* Of all workers. */
static struct sums {
	unsigned shots, failures, scenarios;
	bool covered[CALLS_END][ERRNOS_MOST];
} * sums;

static unsigned count(unsigned *sum, unsigned n)
{
	return __atomic_fetch_add(sum, n, __ATOMIC_RELAXED);
}

void faults_register(struct scenario *scenario)
{
	struct scenario **at = &scenarios;

	while (*at && strcmp((*at)->name, scenario->name) < 0)
		at = &(*at)->next;
	scenario->next = *at;
	*at = scenario;
}

/* -- what scenarios call */

void faults_fail(const char *file, int line, const char *format, ...)
{
	const char *base = strrchr(file, '/');
	va_list args;
	int n;

	faults_disarm();
	if (!__atomic_exchange_n(&faults->said, true, __ATOMIC_SEQ_CST)) {
		n = snprintf(faults->text, sizeof(faults->text),
			     "%s:%d: ", base ? base + 1 : file, line);
		va_start(args, format);
		vsnprintf(faults->text + n, sizeof(faults->text) - (size_t)n,
			  format, args);
		va_end(args);
		faults->failed = true;
	}
	if (getpgrp() != group) /* with all helpers of this shot */
		kill(0, SIGKILL);
	fprintf(stderr, "faults: %s\n", faults->text);
	_exit(1);
}

bool faults_well(const char *file, int line, const char *what, long ret,
		 const int *others)
{
	const struct shot *shot = &faults->shot;

	if (ret >= 0)
		return true;
	if (!shot->fired)
		faults_fail(file, line, "%s says %s without a fault", what,
			    errno_name((int)-ret));
	if (ret == -shot->error && ret != -EINTR)
		return false;
	for (; *others; others++)
		if (ret == -*others)
			return false;
	faults_fail(file, line, "%s says %s", what, errno_name((int)-ret));
}

/* Those that may be said to a bell, which the caller brought, or to a timer. */
static bool absurd_call(enum call call, int error)
{
	switch (call) {
	case CALL_timerfd_settime:
		return true;
	case CALL_read:
		return error != EINTR;
	case CALL_recvmsg: /* though the packet is there, and told once */
		return error == EAGAIN;
	case CALL_write:
		return error != EAGAIN && error != EINTR && error != SHORT;
	case CALL_send:
		return error != EAGAIN && error != EINTR && error != ENOBUFS &&
		       error != ENOMEM && error != ECONNRESET;
	default:
		return false;
	}
}

bool faults_absurd(void)
{
	const struct shot *shot = &faults->shot;

	if (shot->fired && absurd_call(shot->call, shot->error))
		return true;
	switch (shot->fired ? shot->error : 0) {
	case EBADF:
	case EFAULT:
	case EINVAL:
	case EISDIR:
	case ENOENT:
	case ENOTSOCK:
	case EPERM:
		return true;
	default:
		return false;
	}
}

int faults_patience(void)
{
	return faults_absurd() ? 20 : FAULTS_STUCK_MS;
}

uint64_t faults_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

pid_t faults_helper(void (*helper)(void *argument), void *argument)
{
	pid_t pid = fork();

	MUST(pid >= 0);
	if (pid > 0)
		return pid;
	faults_disarm();
	helper(argument);
	exit(0);
}

void faults_join(pid_t pid)
{
	int status;

	MUST(waitpid(pid, &status, 0) == pid);
	if (status != 0)
		faults_fail(__FILE__, __LINE__, "a helper ended with 0x%x",
			    (unsigned)status);
}

void faults_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	MUST(waitpid(pid, NULL, 0) == pid);
}

/* -- one shot */

static void perform(const struct scenario *scenario)
{
	static struct leaks before;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	leaks_count(&before);
	faults_arm();
	scenario->run();
	faults_disarm();
	leaks_check(&before);
	exit(0);
}

/* @return its status, or -1 if it took too long */
static int await(pid_t pid)
{
	struct timespec second = { .tv_sec = 1 };
	siginfo_t info = { .si_pid = 0 };
	sigset_t child;
	int status;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (int i = 0; i < SECONDS_MOST && info.si_pid == 0; i++) {
		waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG);
		if (info.si_pid == 0)
			sigtimedwait(&child, NULL, &second);
	}
	kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	unlink(faults->path);
	return info.si_pid == 0 ? -1 : status;
}

/* @return true if all was well */
static bool perform_with(const struct scenario *scenario, struct shot shot)
{
	static int number;
	int status;
	pid_t pid;

	memset(faults, 0, sizeof(*faults));
	faults->shot = shot;
	/* Helpers of the last one may not be gone altogether. */
	snprintf(faults->path, sizeof(faults->path), "/tmp/peal-faults.%d.%d",
		 (int)getpid(), ++number);
	snprintf(faults->address, sizeof(faults->address), "@peal-faults.%d.%d",
		 (int)getpid(), number);
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(1);
	}
	if (pid == 0)
		perform(scenario);
	setpgid(pid, pid);
	status = await(pid);
	count(&sums->shots, faults->shot.fired);
	if (status == 0 && !faults->failed)
		return true;
	if (!faults->failed && status == -1)
		snprintf(faults->text, sizeof(faults->text), "it hangs");
	else if (!faults->failed)
		snprintf(faults->text, sizeof(faults->text),
			 "it ended with status 0x%x", (unsigned)status);
	return false;
}

/* -- all shots of a scenario */

static bool shoot(const struct scenario *scenario, struct shot shot, int which)
{
	shot.error = call_errnos[shot.call][which];
	if (!perform_with(scenario, shot)) {
		if (count(&sums->failures, 1) < FAILURES_SHOWN)
			printf("# %s, %s no. %u says %s: %s\n", scenario->name,
			       call_name(shot.call), shot.nth,
			       errno_name(shot.error), faults->text);
		return false;
	}
	if (faults->shot.fired)
		sums->covered[shot.call][which] = true;
	return true;
}

/* Each of them with each errno, or one after the other. */
static bool shoot_calls(const struct scenario *scenario, enum call call,
			unsigned calls)
{
	static unsigned turn;
	bool passed = true;
	int n = 0;

	while (n < ERRNOS_MOST && call_errnos[call][n])
		n++;
	if (!options.every && calls > (options.all ? MORE : FEW))
		calls = options.all ? MORE : FEW;
	for (unsigned nth = 1; nth <= calls; nth++) {
		struct shot shot = { .call = call, .nth = nth };

		if (!options.all) {
			passed &= shoot(scenario, shot, (int)(turn++) % n);
			continue;
		}
		for (int i = 0; i < n; i++)
			passed &= shoot(scenario, shot, i);
	}
	return passed;
}

static bool perform_all(const struct scenario *scenario)
{
	unsigned seen[CALLS_END];
	bool passed = true;

	count(&sums->scenarios, 1);
	if (!perform_with(scenario, (struct shot){ .nth = 0 })) {
		printf("# %s without a fault: %s\n", scenario->name,
		       faults->text);
		count(&sums->failures, 1);
		return false;
	}
	memcpy(seen, faults->seen, sizeof(seen));
	for (int call = 0; call < CALLS_END; call++)
		passed &= shoot_calls(scenario, (enum call)call, seen[call]);
	return passed;
}

/* -- what was covered */

static void list_pairs(void)
{
	FILE *to = fopen(options.pairs, "we");

	if (!to) {
		perror(options.pairs);
		exit(2);
	}
	for (int call = 0; call < CALLS_END; call++)
		for (int i = 0; i < ERRNOS_MOST; i++)
			if (sums->covered[call][i])
				fprintf(to, "%s %s\n",
					call_name((enum call)call),
					errno_name(call_errnos[call][i]));
	fclose(to);
}

static unsigned count_pairs(void)
{
	unsigned pairs = 0;

	for (int call = 0; call < CALLS_END; call++)
		for (int i = 0; i < ERRNOS_MOST; i++)
			pairs += sums->covered[call][i];
	return pairs;
}

static void print_sum(void)
{
	printf("# faults: %u pairs of call and errno, %u faults in %u "
	       "scenarios, %u failures\n",
	       count_pairs(), sums->shots, sums->scenarios, sums->failures);
}

/* -- one of them, here, for a debugger */

static int find_errno(enum call call, const char *name)
{
	for (int i = 0; i < ERRNOS_MOST && call_errnos[call][i]; i++)
		if (!strcmp(errno_name(call_errnos[call][i]), name))
			return call_errnos[call][i];
	fprintf(stderr, "%s does not say %s\n", call_name(call), name);
	exit(2);
}

static enum call find_call(const char *name)
{
	for (int call = 0; call < CALLS_END; call++)
		if (!strcmp(call_name((enum call)call), name))
			return (enum call)call;
	fprintf(stderr, "no call of the name %s\n", name);
	exit(2);
}

static int perform_one(const struct scenario *scenario, char **argv)
{
	struct shot shot = { .call = find_call(argv[0]),
			     .nth = (unsigned)atoi(argv[1]) };
	bool passed;

	shot.error = find_errno(shot.call, argv[2]);
	passed = perform_with(scenario, shot);
	printf("%s: %s %s\n", scenario->name, passed ? "ok" : "not ok",
	       faults->text);
	return passed ? 0 : 1;
}

static struct scenario *find_scenario(const char *name)
{
	for (struct scenario *s = scenarios; s; s = s->next)
		if (!strcmp(s->name, name))
			return s;
	fprintf(stderr, "no scenario of the name %s\n", name);
	exit(2);
}

static void *share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return memory;
}

static void prepare(void)
{
	sigset_t child;

	/* What make(1) leaves open; fd 3 is to be a listener's. */
	for (int fd = 3; fd < LEAKS_FDS; fd++)
		__real_close(fd);
	sums = share(sizeof(*sums));
	faults = share(sizeof(*faults));
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

/* Most of the time is spent waiting for what a fault has taken away. */
static void work(unsigned worker, const struct scenario *only)
{
	unsigned n = 0;

	faults = share(sizeof(*faults));
	for (struct scenario *s = scenarios; s; s = s->next) {
		bool passed;

		if (n++ % WORKERS != worker || (only && s != only))
			continue;
		passed = perform_all(s);
		printf("%sok - faults in %s\n", passed ? "" : "not ", s->name);
	}
	exit(0);
}

static void work_all(const struct scenario *only)
{
	int status;

	for (unsigned i = 0; i < WORKERS; i++) {
		pid_t pid = fork();

		if (pid == 0)
			work(i, only);
		if (pid < 0)
			count(&sums->failures, 1);
	}
	while (wait(&status) > 0)
		if (status != 0)
			count(&sums->failures, 1);
}

/* @return how many of the arguments were options */
static int take_options(int argc, char **argv)
{
	int n = 1;

	for (; n < argc && argv[n][0] == '-'; n++) {
		if (!strcmp(argv[n], "--pairs") && n + 1 < argc) {
			options.pairs = argv[++n];
			continue;
		}
		options.every |= !strcmp(argv[n], "--long");
		options.all |= options.every || !strcmp(argv[n], "--all");
	}
	return n;
}

int main(int argc, char **argv)
{
	struct scenario *only = NULL;
	int n = take_options(argc, argv);

	argc -= n;
	argv += n;
	group = getpgrp();
	prepare();
	if (argc > 0)
		only = find_scenario(argv[0]);
	if (argc == 4)
		return perform_one(only, argv + 1);
	work_all(only);
	if (options.pairs)
		list_pairs();
	printf("1..%u\n", sums->scenarios);
	print_sum();
	return sums->failures ? 1 : 0;
}
