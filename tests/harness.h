/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_HARNESS_H
#define PEAL_TESTS_HARNESS_H
/*
 * The test harness: one TEST is one TAP point is one forked child in a process
 * group of its own, which is killed at the end. A test fails if a CHECK fails
 * in it or in any process that it forked, if it is killed by a signal, leaks
 * an fd, or takes longer than 180 seconds (TEST_TIMEOUT= in the environment, 0
 * for no limit).
 *
 *	TEST(empty_ring_has_no_data)
 *	{
 *		CHECK(peal_receiver_used(&rx) == 0);
 *		CHECK_EQ(peal_receiver_used(&rx), 0);	// prints both values
 *	}
 *
 * `./tests/ring NAME` runs one test unforked, for a debugger; `-l` lists them.
 * What a test prints goes to stderr: stdout is the harness's, in TAP.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct test {
	const char *name;
	void (*run)(void);
	/* In the place of run, for tests that are made from a table. */
	void (*run_row)(const void *row);
	const void *row;
	const char *file;
	int line;
	struct test *next;
};

#ifdef __cplusplus
extern "C" {
#define TEST_NORETURN [[noreturn]]
#else
#define TEST_NORETURN _Noreturn
#endif

void test_register(struct test *test);
/* From a constructor: a test of any name for a row of a table. */
void test_register_row(struct test *test, const char *name,
		       void (*run)(const void *row), const void *row,
		       const char *file, int line);
#define test_register_row(test, name, run, row)                                \
	test_register_row(test, name, run, row, __FILE__, __LINE__)
/* Fail the test, wherever in it we are, and end this process. */
TEST_NORETURN void test_fail(const char *file, int line, const char *format,
			     ...) __attribute__((format(printf, 3, 4)));
/* The test itself cannot run here: say why. It counts as skipped. */
TEST_NORETURN void test_skip(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
/*
 * Skip the test where madvise(2) claims to do what it does not, as under
 * emulators of a processor: what rests on it cannot be tested there.
 */
void test_needs_madvise(void);
/* A comment in the output, for a seed or a figure. */
void test_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* From TEST_SEED= in the environment, or chosen anew, and noted. */
uint64_t test_seed(void);
/* The next number of a generator: xorshift64*, state never 0. */
uint64_t test_random(uint64_t *state);
/* Run a function in a forked child that does not hold the output open. */
pid_t test_fork(void (*run)(void *arg), void *arg);
/*
 * Wait for such a child, and fail if it did not end well. One that is to be
 * killed needs waitpid(2) instead.
 */
void test_join(pid_t pid, const char *file, int line);
#define test_join(pid) test_join(pid, __FILE__, __LINE__)
/* How many fds this process has open. */
int test_count_fds(void);
/* And which: at most so many are written. */
int test_list_fds(int *fds, int most);

#ifdef __cplusplus
}
#endif

#define TEST(name_)                                                            \
	static void run_##name_(void);                                         \
	__attribute__((constructor)) static void register_##name_(void)        \
	{                                                                      \
		static struct test test;                                       \
		test.name = #name_;                                            \
		test.run = run_##name_;                                        \
		test.file = __FILE__;                                          \
		test.line = __LINE__;                                          \
		test_register(&test);                                          \
	}                                                                      \
	static void run_##name_(void)

#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition))                                              \
			test_fail(__FILE__, __LINE__, "%s", #condition);       \
	} while (0)

#define CHECK_EQ(a, b)                                                         \
	do {                                                                   \
		long long a_ = (long long)(a), b_ = (long long)(b);            \
		if (a_ != b_)                                                  \
			test_fail(__FILE__, __LINE__,                          \
				  "%s is %lld, expected %s = %lld", #a, a_,    \
				  #b, b_);                                     \
	} while (0)

#endif
