/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Threads, and who runs next. PCT is S. Burckhardt et al., A Randomized
 * Scheduler with Probabilistic Guarantees of Finding Bugs, ASPLOS 2010.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "kernel.h"
#include "world.h"

#define STACK ((size_t)128 << 10)
#define STEPS_MOST 100000u
#define CHANGES 6

enum life {
	READY,
	ASLEEP,
	DONE,
	DEAD
};

struct thread {
	jmp_buf base; /* where it begins, again and again */
	jmp_buf at;   /* where it stands */
	ucontext_t start;
	const char *name;
	void (*run)(void *user);
	void *user;
	enum life life;
	bool starts_anew;
	uint64_t steps, dies_at;
	bool (*ready)(void *user);
	void *ready_user;
	uint64_t until;
};

/* One that is chosen from: a thread, or its stores that are delayed. */
struct choice {
	int thread;
	bool stores;
};

static struct {
	struct thread threads[WORLD_THREADS];
	int n;
	int self; /* -1: none */
	jmp_buf main;
	ucontext_t main_start;
	uint64_t random, now, steps;
	enum world_kind kind;
	bool traces;
	int made;
	uint64_t stay; /* one in so many steps lets another run */
	uint64_t priority[2 * WORLD_THREADS];
	uint64_t changes[CHANGES];
	uint64_t lowest;
	bool failed;
	char why[256];
} world;

uint64_t world_random(uint64_t below)
{
	uint64_t x = world.random += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return below ? x % below : x;
}

/* A coroutine begins here as often as it is given something to run. */
static void begin(void)
{
	if (_setjmp(world.threads[world.self].base) == 0)
		swapcontext(&world.threads[world.self].start,
			    &world.main_start);
	world.threads[world.self].run(world.threads[world.self].user);
	world.threads[world.self].life = DONE;
	world_trace("", 0, "is done");
	world_step();
	abort(); /* nobody lets it run */
}

static void make(int i)
{
	struct thread *t = &world.threads[i];

	getcontext(&t->start);
	t->start.uc_stack.ss_sp = malloc(STACK);
	t->start.uc_stack.ss_size = STACK;
	if (!t->start.uc_stack.ss_sp)
		exit(2);
	makecontext(&t->start, begin, 0);
	world.self = i;
	swapcontext(&world.main_start, &t->start);
}

void world_init(uint64_t seed, bool trace)
{
	for (; world.made < WORLD_THREADS; world.made++)
		make(world.made);
	world.random = seed;
	world.traces = trace;
	world.self = -1;
	world.n = 0;
	world.now = 1000000;
	world.steps = 0;
	world.failed = false;
	world.why[0] = '\0';
	kernel_init();
}

void world_choose(enum world_kind kind, enum world_memory memory)
{
	uint64_t length = (uint64_t)16 << world_random(6);

	world.kind = kind;
	world.stay = (uint64_t)1 << world_random(5);
	world.lowest = UINT64_MAX / 4;
	for (int i = 0; i < 2 * WORLD_THREADS; i++)
		world.priority[i] = UINT64_MAX / 2 + world_random(1u << 30);
	for (int i = 0; i < CHANGES; i++)
		world.changes[i] = 1 + world_random(length);
	memory_init(memory);
}

int world_thread(const char *name, void (*run)(void *user), void *user)
{
	struct thread *t = &world.threads[world.n];

	if (world.n == WORLD_THREADS)
		abort();
	t->name = name;
	t->run = run;
	t->user = user;
	t->life = READY;
	t->starts_anew = true;
	t->steps = t->dies_at = 0;
	return world.n++;
}

void world_kill(int thread, uint64_t at)
{
	world.threads[thread].dies_at = at;
}

bool world_dead(int thread)
{
	return world.threads[thread].life == DEAD;
}

bool world_gone(int thread)
{
	return world.threads[thread].life >= DONE && !memory_pending(thread);
}

int world_self(void)
{
	return world.self;
}

uint64_t world_now(void)
{
	return world.now;
}

void world_pass(uint64_t ns)
{
	world.now += ns;
}

uint64_t world_steps(void)
{
	return world.steps;
}

const char *world_why(void)
{
	return world.why;
}

bool world_traces(void)
{
	return world.traces;
}

void world_trace(const char *file, int line, const char *format, ...)
{
	const char *base = strrchr(file, '/');
	va_list args;

	if (!world.traces || world.self < 0)
		return;
	printf("%5llu %-9s ", (unsigned long long)world.steps,
	       world.threads[world.self].name);
	if (line)
		printf("%s:%d ", base ? base + 1 : file, line);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

void world_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(world.why, sizeof(world.why), format, args);
	va_end(args);
	world.failed = true;
	if (world.self < 0)
		abort(); /* world_run() is not there to be told */
	_longjmp(world.main, 1);
}

/* -- who runs next */

static bool can_run(int i)
{
	struct thread *t = &world.threads[i];

	return t->life == READY ||
	       (t->life == ASLEEP &&
		(t->until <= world.now || t->ready(t->ready_user)));
}

static int choices(struct choice *list)
{
	int n = 0;

	for (int i = 0; i < world.n; i++) {
		if (can_run(i))
			list[n++] = (struct choice){ i, false };
		if (memory_pending(i))
			list[n++] = (struct choice){ i, true };
	}
	return n;
}

static void describe_sleepers(char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (int i = 0; i < world.n; i++)
		if (world.threads[i].life == ASLEEP && used < size)
			used += (size_t)snprintf(text + used, size - used,
						 " %s", world.threads[i].name);
}

/* Nobody can run: time passes, or it is over. @return it is over */
static bool pass_time(void)
{
	uint64_t next = UINT64_MAX, timer = kernel_next_timer();
	char names[128];

	for (int i = 0; i < world.n; i++)
		if (world.threads[i].life == ASLEEP &&
		    world.threads[i].until < next)
			next = world.threads[i].until;
	describe_sleepers(names, sizeof(names));
	if (names[0] == '\0')
		return true;
	if (timer < next)
		next = timer;
	if (next == UINT64_MAX)
		world_fail("asleep for ever:%s", names);
	world.now = next;
	/* By then everybody has seen everything. */
	for (int i = 0; i < world.n; i++)
		memory_fence(i);
	return false;
}

static int pick_random(const struct choice *list, int n)
{
	if (world.self >= 0 && world.stay > 1 && world_random(world.stay) != 0)
		for (int i = 0; i < n; i++)
			if (list[i].thread == world.self && !list[i].stores)
				return i;
	return (int)world_random((uint64_t)n);
}

static uint64_t *priority_of(const struct choice *choice)
{
	return &world.priority[2 * choice->thread + choice->stores];
}

static int highest(const struct choice *list, int n)
{
	int best = 0;

	for (int i = 1; i < n; i++)
		if (*priority_of(&list[i]) > *priority_of(&list[best]))
			best = i;
	return best;
}

static int pick_pct(const struct choice *list, int n)
{
	int best = highest(list, n);

	for (int i = 0; i < CHANGES; i++)
		if (world.changes[i] == world.steps)
			*priority_of(&list[best]) = --world.lowest;
	return highest(list, n);
}

/* @return a thread, or -1: all have come to their ends */
static int next_thread(void)
{
	struct choice list[2 * WORLD_THREADS];

	for (;;) {
		int n = choices(list), i;

		if (++world.steps > STEPS_MOST)
			world_fail("no end after %u steps", STEPS_MOST);
		if (n == 0 && pass_time())
			return -1;
		if (n == 0)
			continue;
		i = world.kind == WORLD_PCT ? pick_pct(list, n)
					    : pick_random(list, n);
		if (!list[i].stores)
			return list[i].thread;
		memory_flush_one(list[i].thread);
	}
}

static void go_to(int i)
{
	struct thread *t = &world.threads[i];

	world.self = i;
	t->life = READY;
	if (!t->starts_anew)
		_longjmp(t->at, 1);
	t->starts_anew = false;
	_longjmp(t->base, 1);
}

static void run_next(void)
{
	int before = world.self, next = next_thread();

	if (next < 0)
		_longjmp(world.main, 1);
	if (next == before) {
		world.threads[next].life = READY;
		return;
	}
	if (_setjmp(world.threads[before].at) == 0)
		go_to(next);
}

void world_step(void)
{
	struct thread *t;

	if (world.self < 0)
		return;
	t = &world.threads[world.self];
	if (++t->steps == t->dies_at && t->life == READY) {
		world_trace("", 0, "dies");
		t->life = DEAD;
	}
	run_next();
}

void world_relax(void)
{
	if (world.self < 0)
		return;
	world.priority[2 * world.self] = --world.lowest;
	world_step();
}

bool world_sleep(bool (*ready)(void *user), void *user, uint64_t until)
{
	struct thread *t = &world.threads[world.self];

	if (ready(user))
		return true;
	world_trace("", 0, "sleeps");
	t->ready = ready;
	t->ready_user = user;
	t->until = until;
	t->life = ASLEEP;
	run_next();
	world_trace("", 0, "wakes up");
	return ready(user);
}

void world_inherit(void)
{
	for (int i = 0; i < world.n; i++)
		if (i != world.self && world.threads[i].life >= DONE)
			memory_fence(i);
	memory_fence(world.self);
}

bool world_run(void)
{
	if (_setjmp(world.main) == 0) {
		int first = (int)world_random((uint64_t)world.n);

		go_to(first);
	}
	world.self = -1;
	return !world.failed;
}
