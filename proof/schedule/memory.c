/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a load of a shared word finds.
 *
 * TSO and PSO: each thread has a buffer of stores that the others do not see
 * yet, and finds its own in it. On TSO they come out in order; on PSO in any,
 * but for those to one word, and but that a release comes out after all before
 * it. A full fence waits for all of them.
 *
 * WEAK: each word has a history. A load finds any value that is not older than
 * what its thread knows of; an acquire of what was stored with release learns
 * what the author knew (the views of J. Kang et al., A Promising Semantics for
 * Relaxed-Memory Concurrency, POPL 2017, without the promises). So a missing
 * release or acquire shows, too, as on AArch64 and POWER.
 *
 * The memory itself has the newest value that everybody may see.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hooks.h"
#include "world.h"

#undef memcpy

#define WORDS 80
#define DEPTH 512
#define BUFFER 24
#define TABLE 65536u /* bytes of address space, modulo */

/* For each word, the oldest of its values that can still be found. */
struct view {
	uint16_t at[WORDS];
};

struct version {
	uint64_t value;
	struct view view; /* what who acquires it learns */
};

struct delayed {
	int word;
	uint64_t value;
	bool release;
};

struct viewer {
	struct view now;      /* what it knows */
	struct view acquired; /* with its next acquire fence */
	struct view released; /* before its last release fence */
	struct delayed buffer[BUFFER];
	int n;
	bool fenced; /* a release fence: nothing overtakes what came before */
};

struct word {
	volatile void *at;
	size_t size;
	const char *name;
	int index; /* in an array of them */
	int newest;
};

static struct {
	enum world_memory kind;
	uint64_t stale; /* one in so many loads looks for an older value */
	struct word words[WORDS];
	int n;
	struct viewer viewers[WORLD_THREADS];
	struct view mailboxes[MEMORY_MAILBOXES];
	struct view in_order; /* of all that is sequentially consistent */
	uint8_t table[TABLE]; /* by address: the word's number and 1 */
} memory;
static struct version (*history)[DEPTH]; /* by word */

static uint64_t peek(const volatile void *at, size_t size)
{
	switch (size) {
	case 1:
		return *(const volatile uint8_t *)at;
	case 4:
		return *(const volatile uint32_t *)at;
	default:
		return *(const volatile uint64_t *)at;
	}
}

static void poke(volatile void *at, size_t size, uint64_t value)
{
	switch (size) {
	case 1:
		*(volatile uint8_t *)at = (uint8_t)value;
		break;
	case 4:
		*(volatile uint32_t *)at = (uint32_t)value;
		break;
	default:
		*(volatile uint64_t *)at = value;
	}
}

static uint8_t *slot_of(const volatile void *at)
{
	return &memory.table[(uintptr_t)at % TABLE];
}

void memory_init(enum world_memory kind)
{
	for (int i = 0; i < memory.n; i++)
		*slot_of(memory.words[i].at) = 0;
	if (!history)
		history = malloc(WORDS * sizeof(*history));
	if (!history)
		exit(2);
	memory.kind = kind;
	memory.stale = (uint64_t)2 << world_random(4);
	memory.n = 0;
	memset(memory.viewers, 0, sizeof(memory.viewers));
	memset(memory.mailboxes, 0, sizeof(memory.mailboxes));
	memset(&memory.in_order, 0, sizeof(memory.in_order));
}

static void share_one(volatile void *at, size_t size, const char *name,
		      int index)
{
	struct word *word = &memory.words[memory.n];

	if (memory.n == WORDS || *slot_of(at))
		abort();
	*word = (struct word){ at, size, name, index, 0 };
	history[memory.n][0].value = peek(at, size);
	memset(&history[memory.n][0].view, 0, sizeof(struct view));
	*slot_of(at) = (uint8_t)++memory.n;
}

void memory_share(const void *at, size_t size, const char *name)
{
	unsigned char *bytes = (unsigned char *)(uintptr_t)at;

	if (size <= sizeof(uint64_t)) {
		share_one(bytes, size, name, -1);
		return;
	}
	for (size_t i = 0; i < size / sizeof(uint64_t); i++)
		share_one(bytes + sizeof(uint64_t) * i, sizeof(uint64_t), name,
			  (int)i);
}

/* @return its number, or -1: it is private, or the world stands still */
static int find(const volatile void *at)
{
	int n = *slot_of(at) - 1;

	if (n < 0 || world_self() < 0 || memory.words[n].at != at)
		return -1;
	return n;
}

static void join(struct view *to, const struct view *from)
{
	for (int i = 0; i < WORDS; i++)
		to->at[i] = to->at[i] < from->at[i] ? from->at[i] : to->at[i];
}

static bool acquires(int order)
{
	return order == __ATOMIC_ACQUIRE || order == __ATOMIC_CONSUME ||
	       order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static bool releases(int order)
{
	return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL ||
	       order == __ATOMIC_SEQ_CST;
}

static void trace(int w, const char *what, uint64_t value, const char *file,
		  int line)
{
	const struct word *word = &memory.words[w];
	char index[16] = "";

	if (!world_traces())
		return;
	if (word->index >= 0)
		snprintf(index, sizeof(index), "[%d]", word->index);
	world_trace(file, line, "%s %s%s %lld", what, word->name, index,
		    (long long)value);
}

/* -- store buffers */

static void land(struct viewer *v, int i)
{
	const struct delayed *d = &v->buffer[i];
	struct word *word = &memory.words[d->word];

	poke(word->at, word->size, d->value);
	if (world_traces())
		printf("%24s%s %lld is seen\n", "", word->name,
		       (long long)d->value);
	v->n--;
	memmove(&v->buffer[i], &v->buffer[i + 1],
		(size_t)(v->n - i) * sizeof(*d));
}

static bool may_land(const struct viewer *v, int i)
{
	if (i > 0 && (memory.kind == WORLD_TSO || v->buffer[i].release))
		return false;
	for (int j = 0; j < i; j++)
		if (v->buffer[j].word == v->buffer[i].word)
			return false;
	return true;
}

static void drain(struct viewer *v)
{
	while (v->n > 0)
		land(v, 0);
	v->fenced = false;
}

bool memory_pending(int thread)
{
	return memory.viewers[thread].n > 0;
}

void memory_flush_one(int thread)
{
	struct viewer *v = &memory.viewers[thread];
	int i;

	do
		i = (int)world_random((uint64_t)v->n);
	while (!may_land(v, i));
	land(v, i);
}

static void delay(struct viewer *v, int w, uint64_t value, int order)
{
	if (v->n == BUFFER)
		land(v, 0);
	v->buffer[v->n++] = (struct delayed){
		.word = w,
		.value = value,
		.release = releases(order) || v->fenced,
	};
	if (order == __ATOMIC_SEQ_CST)
		drain(v);
}

static uint64_t find_buffered(const struct viewer *v, int w)
{
	for (int i = v->n - 1; i >= 0; i--)
		if (v->buffer[i].word == w)
			return v->buffer[i].value;
	return peek(memory.words[w].at, memory.words[w].size);
}

/* -- histories */

static void append(struct viewer *v, int w, uint64_t value, int order,
		   const struct view *before)
{
	struct word *word = &memory.words[w];
	struct version *version;
	struct view view = releases(order) ? v->now : v->released;

	if (word->newest + 1 == DEPTH)
		world_fail("%s is stored without end", word->name);
	word->newest++;
	v->now.at[w] = (uint16_t)word->newest;
	view.at[w] = (uint16_t)word->newest;
	if (before) /* a change goes on with what it changes */
		join(&view, before);
	version = &history[w][word->newest];
	version->value = value;
	version->view = view;
	if (order == __ATOMIC_SEQ_CST)
		memory.in_order.at[w] = (uint16_t)word->newest;
	poke(word->at, word->size, value);
}

static const struct version *load_version(struct viewer *v, int w, int order,
					  bool newest)
{
	struct word *word = &memory.words[w];
	const struct version *version;
	int oldest, at = word->newest;

	if (order == __ATOMIC_SEQ_CST && v->now.at[w] < memory.in_order.at[w])
		v->now.at[w] = memory.in_order.at[w];
	oldest = v->now.at[w];
	if (!newest && oldest < at && world_random(memory.stale) == 0)
		at = oldest + (int)world_random((uint64_t)(at - oldest));
	version = &history[w][at];
	v->now.at[w] = (uint16_t)at;
	join(&v->acquired, &version->view);
	if (acquires(order))
		join(&v->now, &version->view);
	return version;
}

/* -- what the code does */

uint64_t world_load(const volatile void *at, size_t size, int order,
		    const char *file, int line)
{
	int w = find(at);
	struct viewer *v;
	uint64_t value;

	if (w < 0)
		return peek(at, size);
	world_step();
	v = &memory.viewers[world_self()];
	value = memory.kind == WORLD_WEAK
			? load_version(v, w, order, false)->value
			: find_buffered(v, w);
	trace(w, "loads", value, file, line);
	return value;
}

void world_store(volatile void *at, size_t size, uint64_t value, int order,
		 const char *file, int line)
{
	int w = find(at);
	struct viewer *v;

	if (w < 0) {
		poke(at, size, value);
		return;
	}
	world_step();
	v = &memory.viewers[world_self()];
	trace(w, "stores", value, file, line);
	if (memory.kind == WORLD_WEAK)
		append(v, w, value, order, NULL);
	else
		delay(v, w, value, order);
}

static uint64_t changed(int how, uint64_t old, uint64_t value)
{
	switch (how) {
	case '|':
		return old | value;
	case '&':
		return old & value;
	case '+':
		return old + value;
	default:
		return value;
	}
}

/* Change it if it is as expected, where that is asked. */
static uint64_t change(int w, int how, uint64_t value, int order,
		       const uint64_t *expected)
{
	struct viewer *v = &memory.viewers[world_self()];
	const struct version *before = NULL;
	uint64_t old;

	if (memory.kind == WORLD_WEAK) {
		before = load_version(v, w, order, true);
		old = before->value;
	} else {
		drain(v); /* as a locked instruction does */
		old = find_buffered(v, w);
	}
	if (expected && old != *expected)
		return old;
	value = changed(how, old, value);
	if (memory.kind == WORLD_WEAK)
		append(v, w, value, order, &before->view);
	else
		poke(memory.words[w].at, memory.words[w].size, value);
	return old;
}

uint64_t world_change(volatile void *at, size_t size, int how, uint64_t value,
		      int order, const char *file, int line)
{
	int w = find(at);
	uint64_t old;

	if (w < 0) {
		old = peek(at, size);
		poke(at, size, changed(how, old, value));
		return old;
	}
	world_step();
	old = change(w, how, value, order, NULL);
	trace(w, "changes", old, file, line);
	return old;
}

bool world_compare(volatile void *at, size_t size, void *expected,
		   uint64_t value, int order, const char *file, int line)
{
	uint64_t wanted = peek(expected, size), old;
	int w = find(at);

	if (w < 0) {
		old = peek(at, size);
		if (old == wanted)
			poke(at, size, value);
	} else {
		world_step();
		old = change(w, '=', value, order, &wanted);
		trace(w, "compares", old, file, line);
	}
	poke(expected, size, old);
	return old == wanted;
}

void memory_fence(int thread)
{
	struct viewer *v = &memory.viewers[thread];

	drain(v);
	join(&v->now, &v->acquired);
	join(&v->now, &memory.in_order);
	memory.in_order = v->released = v->acquired = v->now;
}

void memory_tell(int mailbox)
{
	struct viewer *v = &memory.viewers[world_self()];

	drain(v);
	join(&memory.mailboxes[mailbox], &v->now);
}

void memory_hear(int mailbox)
{
	join(&memory.viewers[world_self()].now, &memory.mailboxes[mailbox]);
}

void world_fence(int order, const char *file, int line)
{
	struct viewer *v;

	if (world_self() < 0)
		return;
	world_step();
	world_trace(file, line, "fence");
	v = &memory.viewers[world_self()];
	if (order == __ATOMIC_SEQ_CST) {
		memory_fence(world_self());
		return;
	}
	if (acquires(order))
		join(&v->now, &v->acquired);
	if (releases(order)) {
		v->released = v->now;
		v->fenced = v->n > 0;
	}
}

void world_compiler_fence(const char *file, int line)
{
	world_step();
	world_trace(file, line, "compiler fence");
}

uint64_t memory_newest(const uint64_t *at)
{
	return *at;
}

uint64_t memory_get(const void *at)
{
	return world_load(at, sizeof(uint64_t), __ATOMIC_RELAXED, "item", 0);
}

void memory_put(void *at, uint64_t value)
{
	world_store(at, sizeof(uint64_t), value, __ATOMIC_RELAXED, "item", 0);
}

void *world_copy(void *to, const void *from, size_t size, const char *file,
		 int line)
{
	uint64_t *out = to;
	const uint64_t *in = from;

	if (find(to) < 0 && find(from) < 0)
		return memcpy(to, from, size);
	if (size % sizeof(uint64_t) != 0)
		abort(); /* scenarios have items of 8 bytes */
	for (size_t i = 0; i < size / sizeof(uint64_t); i++)
		world_store(&out[i], sizeof(uint64_t),
			    world_load(&in[i], sizeof(uint64_t),
				       __ATOMIC_RELAXED, file, line),
			    __ATOMIC_RELAXED, file, line);
	return to;
}
