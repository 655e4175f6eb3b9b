/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_SCHEDULE_WORLD_H
#define PEAL_PROOF_SCHEDULE_WORLD_H
/*
 * A world in which nothing happens but by the choice of a scheduler, which is
 * drawn from one number:
 *
 *	world.c	    threads, who runs next, time
 *	memory.c    what a load finds: store buffers, or older values
 *	kernel.c    eventfds, pipes, sockets, epoll, membarrier
 *
 * Threads are coroutines. Each access to a shared word and each system call is
 * a step: before it, another thread may be let run.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_THREADS 6

enum world_kind {
	WORLD_RANDOM, /* a random walk, with runs of random length */
	WORLD_PCT,    /* priorities that change at some few steps */
};

enum world_memory {
	WORLD_TSO,  /* stores are delayed, in order, as on x86 */
	WORLD_PSO,  /* in any order that release allows */
	WORLD_WEAK, /* loads may find any value that C11's orders allow */
};

/* -- world.c */

/* Everything that follows comes from this number. */
void world_init(uint64_t seed, bool trace);
uint64_t world_random(uint64_t below);
/* A draw that the command line can take away: see schedule.c. */
void world_choose(enum world_kind kind, enum world_memory memory);

/* @return its number, from 0 */
int world_thread(const char *name, void (*run)(void *user), void *user);
/* Let it die at one of its steps, counted from 1. */
void world_kill(int thread, uint64_t at);
bool world_dead(int thread);
/* Dead or done, and nothing is left of it that others could see later. */
bool world_gone(int thread);
/* It has taken part in what went before: nobody sees less. */
void world_inherit(void);
/* @return whether all came to their ends; if not, world_why() */
bool world_run(void);
const char *world_why(void);
uint64_t world_steps(void);
void world_fail(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* The thread that runs, or -1 while the world is being made or looked at. */
int world_self(void);
/* Now another may run. `what` is shown in a trace. */
void world_step(void);
/* The others first: who polls would keep them from running. */
void world_relax(void);
/* Sleep until ready(user). @return false: it is `until`, in nanoseconds */
bool world_sleep(bool (*ready)(void *user), void *user, uint64_t until);
uint64_t world_now(void);
void world_pass(uint64_t ns);
void world_trace(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool world_traces(void);

/* -- memory.c */
void memory_init(enum world_memory memory);
/* These words are shared; all others are private, and cost no step. */
void memory_share(const void *word, size_t size, const char *name);
uint64_t memory_newest(const uint64_t *word);
bool memory_pending(int thread);
void memory_flush_one(int thread);
/* A full fence in a thread, its own or one that a barrier brings. */
void memory_fence(int thread);
/* What a thread leaves for another to find, by way of the kernel. */
#define MEMORY_MAILBOXES 24
void memory_tell(int mailbox);
void memory_hear(int mailbox);
/* For scenarios: items and payloads, plain accesses in real programs. */
uint64_t memory_get(const void *word);
void memory_put(void *word, uint64_t value);

#endif
