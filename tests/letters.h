/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_LETTERS_H
#define PEAL_TESTS_LETTERS_H
/*
 * An inbox and its senders in one thread: connecting alone takes two, so that
 * is done by a thread of its own while the inbox is served here.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <peal/inbox.h>

#include "harness.h"

#define PLACES 6
/* Long enough for anything that happens at all, in ms. */
#define LONG 30000

struct box {
	struct peal_inbox inbox;
	struct peal_inbox_sender senders[PLACES];
	struct peal_slot slots[PEAL_INBOX_SLOTS(PLACES)];
	char address[64];
};

/* An address that no other test has. */
static inline const char *box_address(struct box *box)
{
	static int n;

	if (!box->address[0])
		snprintf(box->address, sizeof(box->address), "@peal-test-%d-%d",
			 (int)getpid(), n++);
	return box->address;
}

/* With storage for PLACES senders, but for what the options say. */
static inline int box_open(struct box *box,
			   const struct peal_inbox_options *options)
{
	struct peal_inbox_options o = { 0 };

	if (options)
		o = *options;
	if (!o.senders) {
		o.senders = box->senders;
		o.n_senders = PLACES;
	}
	if (!o.loop && !o.slots) {
		o.slots = box->slots;
		o.n_slots = PEAL_INBOX_SLOTS(PLACES);
	}
	return peal_inbox_open(&box->inbox, box_address(box), &o);
}

/* -- what may have to wait for the inbox */

struct task {
	int (*run)(void *arg);
	void *arg;
	int ret;
	bool done;
	pthread_t thread;
};

static inline void *task_run(void *arg)
{
	struct task *task = (struct task *)arg;

	task->ret = task->run(task->arg);
	__atomic_store_n(&task->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static inline void task_start(struct task *task, int (*run)(void *arg),
			      void *arg)
{
	*task = (struct task){ .run = run, .arg = arg };
	CHECK_EQ(pthread_create(&task->thread, NULL, task_run, task), 0);
}

static inline bool task_done(struct task *task)
{
	return __atomic_load_n(&task->done, __ATOMIC_ACQUIRE);
}

/* Serve the inbox, taking nothing, until the task has returned. */
static inline int task_end(struct task *task, struct box *box)
{
	while (!task_done(task))
		CHECK(peal_reactor_run_once(box->inbox.loop, 5) >= 0);
	CHECK_EQ(pthread_join(task->thread, NULL), 0);
	return task->ret;
}

/* -- joining */

struct joining {
	struct peal_outbox *out;
	const char *address, *name, *tag;
	size_t bytes;
};

static inline int join_run(void *arg)
{
	const struct joining *j = (const struct joining *)arg;

	return peal_outbox_open(j->out, j->address, j->name, j->tag, j->bytes,
				LONG);
}

static inline uint64_t box_channels(const struct box *box)
{
	struct peal_server_stats stats;

	peal_inbox_stats(&box->inbox, &stats);
	return stats.channels;
}

static inline int try_join(struct box *box, struct peal_outbox *out,
			   const char *name, const char *tag, size_t bytes)
{
	struct joining j = { out, box->address, name, tag, bytes };
	uint64_t before = box_channels(box);
	struct task task;
	int ret;

	task_start(&task, join_run, &j);
	ret = task_end(&task, box);
	while (ret == 0 && box_channels(box) == before)
		CHECK(peal_reactor_run_once(box->inbox.loop, 5) >= 0);
	return ret;
}

static inline void join(struct box *box, struct peal_outbox *out,
			const char *name)
{
	CHECK_EQ(try_join(box, out, name, NULL, 0), 0);
}

/* -- senders that do not keep to outbox.c */

struct raw_joining {
	struct peal_channel *ch;
	const char *address;
	struct peal_hello hello;
};

static inline int raw_run(void *arg)
{
	const struct raw_joining *j = (const struct raw_joining *)arg;

	return peal_connect(j->ch, j->address, &j->hello, LONG);
}

/* A ring of a page: 512 units. */
static inline void join_raw(struct box *box, struct peal_channel *ch,
			    const char *name, bool stamped)
{
	struct raw_joining j = { .ch = ch, .address = box->address };
	uint64_t before = box_channels(box);
	struct peal_geometry geometry = { 0 };
	struct task task;

	CHECK_EQ(peal_message_geometry(&geometry, 8, stamped ? "+time" : NULL),
		 0);
	j.hello.role = PEAL_SENDER;
	j.hello.item_size = 8;
	j.hello.capacity = 512;
	strcpy(j.hello.name, name);
	strcpy(j.hello.tag, geometry.tag);
	task_start(&task, raw_run, &j);
	CHECK_EQ(task_end(&task, box), 0);
	while (box_channels(box) == before)
		CHECK(peal_reactor_run_once(box->inbox.loop, 5) >= 0);
	CHECK_EQ(ch->sender.end.capacity, 512);
}

/* -- messages that are texts */

static inline void put_text(struct peal_outbox *out, const char *text)
{
	CHECK_EQ(peal_outbox_send(out, 7, text, strlen(text), 0), 0);
}

static inline void check_text(const struct peal_letter *letter,
			      const char *text)
{
	if (letter->size != strlen(text) ||
	    memcmp(letter->data, text, letter->size) != 0)
		test_fail(__FILE__, __LINE__, "\"%.*s\", expected \"%s\"",
			  (int)letter->size, (const char *)letter->data, text);
	CHECK_EQ((uintptr_t)letter->data % 8, 0);
	CHECK_EQ(letter->kind, 7);
}

static inline void get_text(struct box *box, int timeout_ms, const char *text)
{
	struct peal_letter letter;

	CHECK_EQ(peal_inbox_receive(&box->inbox, timeout_ms, &letter), 1);
	check_text(&letter, text);
	CHECK_EQ(peal_inbox_release(&box->inbox, &letter), 0);
}

static inline void get_nothing(struct box *box)
{
	struct peal_letter letter;

	CHECK_EQ(peal_inbox_receive(&box->inbox, 0, &letter), -ETIMEDOUT);
}

/* Until so many senders are there. */
static inline void await_channels(struct box *box, uint64_t n)
{
	while (box_channels(box) != n)
		CHECK(peal_reactor_run_once(box->inbox.loop, 5) >= 0);
}

static inline uint64_t ms_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

#endif
