/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define FDS_MAX 4096

/*
 * What the processes of a test tell the harness: a mapping that all of them
 * share, since nobody has to read it for a writer to go on, and it is no fd
 * that could be taken for a leak.
 */
struct report {
	int failed;
	int skipped;
	pid_t group;  /* the test's own, 0 if it is not forked */
	pid_t leader; /* the process that runs the test */
	int number;   /* of the test */
	const char *name;
	size_t used; /* of text, more than its size if some was dropped */
	char reason[256];
	char text[64 * 1024];
};

static struct test *tests;
static struct report *report;

/* The order of definition within a file, of linking among files. */
void test_register(struct test *test)
{
	struct test **at = &tests;

	while (*at && (strcmp((*at)->file, test->file) != 0 ||
		       (*at)->line <= test->line))
		at = &(*at)->next;
	test->next = *at;
	*at = test;
}

void(test_register_row)(struct test *test, const char *name,
			void (*run)(const void *row), const void *row,
			const char *file, int line)
{
	*test = (struct test){ .name = name,
			       .run_row = run,
			       .row = row,
			       .file = file,
			       .line = line };
	test_register(test);
}

/* -- what a test calls */

/* One comment line, whole, among those of other processes. */
static void say(const char *line)
{
	size_t length = strlen(line);
	size_t at;

	if (report->group == 0) {
		printf("# %s\n", line);
		fflush(stdout);
		return;
	}
	at = __atomic_fetch_add(&report->used, length + 1, __ATOMIC_RELAXED);
	if (at + length >= sizeof(report->text))
		return;
	memcpy(report->text + at, line, length);
	report->text[at + length] = '\n';
}

static void print_result(void)
{
	printf("%sok %d - %s", report->failed ? "not " : "", report->number,
	       report->name);
	if (!report->failed && report->skipped)
		printf(" # SKIP %s", report->reason);
	printf("\n");
}

void test_fail(const char *file, int line, const char *format, ...)
{
	char text[1024];
	int used = snprintf(text, sizeof(text), "%s:%d: ", file, line);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, sizeof(text) - (size_t)used, format, args);
	va_end(args);
	say(text);
	__atomic_store_n(&report->failed, 1, __ATOMIC_RELEASE);
	/* Whoever waits for this process need not wait for the timeout. */
	if (report->group != 0 && report->group == getpgrp())
		kill(0, SIGKILL);
	if (report->group == 0 && report->leader == getpid())
		print_result();
	fflush(stdout);
	_exit(EXIT_FAILURE);
}

void test_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(report->reason, sizeof(report->reason), format, args);
	va_end(args);
	report->skipped = 1;
	if (report->group == 0 && report->leader == getpid())
		print_result();
	fflush(stdout);
	_exit(EXIT_SUCCESS);
}

void test_needs_madvise(void)
{
	long page = sysconf(_SC_PAGESIZE);
	void *memory = mmap(NULL, (size_t)page, PROT_READ,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const int nonsense = 0x7fff;

	if (memory == MAP_FAILED)
		test_fail(__FILE__, __LINE__, "mmap: %s", strerror(errno));
	if (madvise(memory, (size_t)page, nonsense) == 0)
		test_skip("madvise(2) does nothing here, and says that it did");
	munmap(memory, (size_t)page);
}

void test_note(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say(text);
}

uint64_t test_seed(void)
{
	const char *given = getenv("TEST_SEED");
	struct timespec now;
	uint64_t seed;

	if (given) {
		seed = strtoull(given, NULL, 0);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		seed = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^
		       (uint64_t)getpid() << 20;
	}
	test_note("TEST_SEED=0x%llx", (unsigned long long)seed);
	return seed;
}

pid_t test_fork(void (*run)(void *arg), void *arg)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		test_fail(__FILE__, __LINE__, "fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	dup2(STDERR_FILENO, STDOUT_FILENO);
	run(arg);
	exit(EXIT_SUCCESS);
}

static void describe(char *text, size_t size, int status)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "was killed by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "ended with status %d",
			 WEXITSTATUS(status));
}

void(test_join)(pid_t pid, const char *file, int line)
{
	char text[128];
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			test_fail(file, line, "waitpid: %s", strerror(errno));
	describe(text, sizeof(text), status);
	if (status != 0)
		test_fail(file, line, "process %d %s", (int)pid, text);
}

/* -- fds */

static bool contains(const int *fds, int n, int fd)
{
	for (int i = 0; i < n && i < FDS_MAX; i++)
		if (fds[i] == fd)
			return true;
	return false;
}

static void check_fds(const struct test *test, const int *before, int n)
{
	static int after[FDS_MAX];
	int m = test_list_fds(after, FDS_MAX);

	for (int i = 0; i < m && i < FDS_MAX; i++) {
		char link[64], target[128];
		ssize_t length;

		if (contains(before, n, after[i]))
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", after[i]);
		length = readlink(link, target, sizeof(target) - 1);
		target[length < 0 ? 0 : length] = '\0';
		test_note("fd %d is still open: %s", after[i], target);
	}
	if (m != n)
		test_fail(test->file, test->line,
			  "%d fds are open at the end, %d were at the start", m,
			  n);
}

/* -- running them */

static void run(const struct test *test)
{
	static int before[FDS_MAX];
	int n = test_list_fds(before, FDS_MAX);

	if (test->run_row)
		test->run_row(test->row);
	else
		test->run();
	check_fds(test, before, n);
}

static _Noreturn void run_child(const struct test *test, const sigset_t *mask)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setpgid(0, 0);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (null > 0) {
		dup2(null, STDIN_FILENO);
		close(null);
	}
	sigprocmask(SIG_SETMASK, mask, NULL);
	report->group = getpid();
	run(test);
	exit(EXIT_SUCCESS);
}

static int timeout_seconds(void)
{
	const char *given = getenv("TEST_TIMEOUT");
	int seconds = given ? atoi(given) : 180;

	return seconds > 0 ? seconds : INT_MAX;
}

/*
 * Wait for the child, with SIGCHLD blocked. It is not reaped before its group
 * is gone, so that the number of the group cannot be another's.
 * @return  its status, or -1 the time was over
 */
static int await(pid_t pid)
{
	struct timespec now, end, left;
	siginfo_t info = { .si_pid = 0 };
	sigset_t chld;
	int status;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += timeout_seconds();
	for (;;) {
		waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (info.si_pid != 0 || now.tv_sec >= end.tv_sec)
			break;
		left = (struct timespec){ .tv_sec = end.tv_sec - now.tv_sec };
		sigtimedwait(&chld, NULL, &left);
	}
	kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return info.si_pid != 0 ? status : -1;
}

static void print_report(void)
{
	char *line = report->text;
	char *end = line + sizeof(report->text);

	while (line < end) {
		size_t length = strnlen(line, (size_t)(end - line));
		char *stop = memchr(line, '\n', length);

		if (stop)
			length = (size_t)(stop - line);
		if (length > 0)
			printf("# %.*s\n", (int)length, line);
		line += length + 1;
	}
	if (report->used > sizeof(report->text))
		printf("# ... and more than can be kept\n");
}

/* @return true if it passed, or was skipped */
static bool run_forked(const struct test *test)
{
	sigset_t chld, mask;
	char text[128];
	pid_t pid;
	int status;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &mask);
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		printf("Bail out! fork: %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
	if (pid == 0)
		run_child(test, &mask);
	setpgid(pid, pid);
	status = await(pid);
	sigprocmask(SIG_SETMASK, &mask, NULL);

	print_report();
	if (!__atomic_load_n(&report->failed, __ATOMIC_ACQUIRE) &&
	    status != 0) {
		describe(text, sizeof(text), status);
		printf("# %s:%d: %s\n", test->file, test->line,
		       status == -1 ? "timed out" : text);
		report->failed = 1;
	}
	print_result();
	return !report->failed;
}

/* In this process: whatever ends the test ends the run. */
static bool run_unforked(const struct test *test)
{
	report->leader = getpid();
	run(test);
	print_result();
	return !report->failed;
}

static bool debugged(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	int tracer = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "TracerPid: %d", &tracer) == 1)
			break;
	if (file)
		fclose(file);
	return tracer != 0;
}

static const struct test *find(const char *name)
{
	for (const struct test *test = tests; test; test = test->next)
		if (strcmp(test->name, name) == 0)
			return test;
	return NULL;
}

/* One test, or all of them. */
static int run_tests(const struct test *only)
{
	bool forked = !only && !debugged();
	bool passed = true;
	int count = 0, number = 0;

	for (const struct test *test = tests; test; test = test->next)
		count++;
	printf("1..%d\n", only ? 1 : count);
	for (const struct test *test = tests; test; test = test->next) {
		if (only && test != only)
			continue;
		memset(report, 0, sizeof(*report));
		report->name = test->name;
		report->number = ++number;
		passed &= forked ? run_forked(test) : run_unforked(test);
	}
	return passed ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	const struct test *test = NULL;

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED) {
		perror("mmap");
		return EXIT_FAILURE;
	}
	if (argc == 2 && strcmp(argv[1], "-l") == 0) {
		for (test = tests; test; test = test->next)
			puts(test->name);
		return EXIT_SUCCESS;
	}
	if (argc > 2 || (argc == 2 && !(test = find(argv[1])))) {
		fprintf(stderr, "%s: no such test\nusage: %s [-l | NAME]\n",
			argv[argc - 1], argv[0]);
		return 2;
	}
	return run_tests(test);
}
