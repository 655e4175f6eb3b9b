/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_FAULTS_H
#define PEAL_FAULTS_H
/*
 * Faults: a scenario is run again and again, and each time one system call of
 * the library fails in it, once, with one errno (calls.h). Whatever failed has
 * to say why, and works when it is asked again; and at the end everything has
 * been done, and nothing is left open.
 *
 *	SCENARIO(memory)
 *	{
 *		struct peal_mem mem = { 0 };
 *
 *		TWICE(peal_mem_create(&mem, "x", 0, 4096, 0));
 *		MUST(mem.body == 4096);
 *		peal_mem_close(&mem);
 *	}
 *
 * A scenario is a process of its own, in a group that is killed at its end.
 * Faults hit what it calls itself; those of its helpers, which are forked, and
 * between faults_disarm() and faults_arm(), are spared.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "calls.h"

struct scenario {
	const char *name;
	void (*run)(void);
	struct scenario *next;
};

/* The call that fails. */
struct shot {
	enum call call;
	unsigned nth; /* from 1; 0: none fails */
	int error;
	bool fired;
};

/* In memory that all processes of a scenario share. */
struct faults {
	struct shot shot;
	unsigned seen[CALLS_END];
	bool failed, said;
	char text[2048];
	char path[64];		       /* for a socket, of this shot alone, */
	char address[64];	       /* and an abstract one */
	_Alignas(64) char page[65536]; /* a scenario's, all zero at first */
};

extern struct faults *faults;

void faults_register(struct scenario *scenario);

#define SCENARIO(name_)                                                        \
	static void run_##name_(void);                                         \
	__attribute__((constructor)) static void register_##name_(void)        \
	{                                                                      \
		static struct scenario scenario = { .name = #name_,            \
						    .run = run_##name_ };      \
		faults_register(&scenario);                                    \
	}                                                                      \
	static void run_##name_(void)

void faults_arm(void);
void faults_disarm(void);
/* From now on a call fails always, in this process, as on systems without it.
 */
void faults_lack(enum call call, int error);

/* End the scenario, from any of its processes. */
_Noreturn void faults_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define MUST(condition)                                                        \
	do {                                                                   \
		if (!(condition))                                              \
			faults_fail(__FILE__, __LINE__, "%s", #condition);     \
	} while (0)

/*
 * Has it worked? If not, it must have said why: with the errno of the fault, or
 * with one of `others`, which 0 ends.
 */
bool faults_well(const char *file, int line, const char *what, long ret,
		 const int *others);

#define WELL_OR(expression, ...)                                               \
	faults_well(__FILE__, __LINE__, #expression, (long)(expression),       \
		    (const int[]){ __VA_ARGS__, 0 })
#define WELL(expression) WELL_OR(expression, 0)

/* If it does not work, it does when it is asked again. */
#define TWICE_OR(expression, ...)                                              \
	do {                                                                   \
		if (!WELL_OR(expression, __VA_ARGS__))                         \
			MUST((expression) >= 0);                               \
	} while (0)
#define TWICE(expression) TWICE_OR(expression, 0)

/* Has the fault been? */
static inline bool faults_fired(void)
{
	return faults->shot.fired;
}

/*
 * Was it one that no kernel says to a program that is right, such as EBADF?
 * What it hits may then be deaf, or gone for good.
 */
bool faults_absurd(void);

/* Milliseconds to wait for what has to come: short where it may never come. */
int faults_patience(void);
uint64_t faults_now_ms(void);
/* What takes longer has come to a stop, on a busy machine too. */
#define FAULTS_STUCK_MS 120000

/* A process beside the scenario. It ends when it returns, or is killed. */
pid_t faults_helper(void (*run)(void *argument), void *argument);
/* Wait until it has returned. */
void faults_join(pid_t pid);
void faults_kill(pid_t pid);

/* Until a helper has set it. */
static inline void faults_await(const bool *flag)
{
	for (int i = 0; i < 5000; i++) {
		if (__atomic_load_n(flag, __ATOMIC_ACQUIRE))
			return;
		usleep(1000);
	}
	MUST(!"it never comes");
}

/* For scenarios: these are never hit. */
int __real_close(int fd);
ssize_t __real_read(int fd, void *to, size_t size);
ssize_t __real_write(int fd, const void *from, size_t size);

#endif
