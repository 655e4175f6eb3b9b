/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_JUDGE_H
#define PEAL_TESTS_JUDGE_H
/*
 * Does this work make a system call? The kernel is the judge. With Syscall User
 * Dispatch each call comes to a handler here, which names it, or makes it in
 * the place of the work if it is write(2) to one fd where that is allowed.
 * Where there is none the work is done in a child that a seccomp filter kills.
 */
#include <stdbool.h>

#include <peal/local.h>

#define NO_FD (-1)

/* Returns 0, or -1 it went wrong. */
typedef int work_function(struct peal_local *local);

/* What the work did. */
struct verdict {
	int line;    /* where it is, or where it went wrong */
	bool wrong;  /* it went wrong */
	bool caught; /* a system call */
	long number; /* which one, -1 if that is not known */
};

/* Where the work is: it is told in shared memory. */
extern volatile int *at;

#define MUST(condition)                                                        \
	do {                                                                   \
		*at = __LINE__;                                                \
		if (!(condition))                                              \
			return -1;                                             \
	} while (0)

struct verdict judge(work_function *work, struct peal_local *local,
		     int but_write_to);
/* By seccomp, even where there is better. */
void judge_child(work_function *work, struct peal_local *local,
		 int but_write_to, struct verdict *verdict);

#endif
