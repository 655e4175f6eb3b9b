/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_OWNERS_H
#define PEAL_TESTS_OWNERS_H
/* Two reactors that want the same things: rings, and a source of each kind. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <peal/group.h>

#include "harness.h"
#include "rig.h"

#define SLOTS 16
#define BELLS 8

static struct peal_slot slots[2][SLOTS];
static struct peal_reactor loops[2];
static struct rig a, b;
static int fds_before;

static inline void start(void)
{
	fds_before = test_count_fds();
	for (int i = 0; i < 2; i++)
		CHECK_EQ(peal_reactor_init(&loops[i], slots[i], SLOTS), 0);
	rig_init(&a, 8);
	rig_init(&b, 8);
}

/* Nothing is left of what was refused. */
static inline void end(void)
{
	for (int i = 0; i < 2; i++)
		peal_reactor_finish(&loops[i]);
	rig_finish(&a);
	rig_finish(&b);
	CHECK_EQ(test_count_fds(), fds_before);
}

static inline long drain(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	CHECK(rx == &rig->rx);
	rig->calls++;
	rig_drain(rig);
	return PEAL_DONE;
}

static inline long fill(struct peal_sender *tx, void *user)
{
	(void)tx;
	((struct rig *)user)->calls++;
	return PEAL_DONE;
}

static inline int add_rx(struct peal_reactor *loop, struct peal_source *source,
			 struct rig *rig)
{
	return peal_reactor_add_receiver(
		loop, source, &rig->rx,
		&(struct peal_receiver_callbacks){ .on_readable = drain,
						   .user = rig });
}

static inline int add_tx(struct peal_reactor *loop, struct peal_source *source,
			 struct rig *rig)
{
	return peal_reactor_add_sender(
		loop, source, &rig->tx,
		&(struct peal_sender_callbacks){ .on_writable = fill,
						 .user = rig });
}

static inline void served_by(int which)
{
	int calls = a.calls;

	rig_send(&a, 3);
	CHECK_EQ(rig_settle(&loops[!which]), 0);
	CHECK_EQ(rig_settle(&loops[which]), 1);
	CHECK_EQ(a.calls, calls + 1);
	CHECK_EQ(a.next_out, a.next_in);
}

static inline void no_event(struct peal_source *source, int fd, uint32_t events,
			    void *user)
{
	(void)source;
	(void)fd;
	(void)events;
	++*(int *)user;
}

static inline void no_timer(struct peal_source *source, uint64_t n, void *user)
{
	(void)source;
	(void)n;
	++*(int *)user;
}

static inline void no_call(struct peal_source *source, void *user)
{
	(void)source;
	++*(int *)user;
}

static inline void no_post(struct peal_source *source, void *message,
			   void *user)
{
	(void)source;
	(void)message;
	++*(int *)user;
}

static inline void no_signal(struct peal_source *source,
			     const struct signalfd_siginfo *info, void *user)
{
	(void)source;
	(void)info;
	(void)user;
}

enum {
	FD,
	TIMER,
	CALL,
	QUEUE,
	RING,
	KINDS
};

static struct peal_post cells[4];
static int calls, efd;

static inline void add_all(struct peal_reactor *loop,
			   struct peal_source *sources)
{
	memset(sources, 0, KINDS * sizeof(*sources));
	CHECK_EQ(peal_reactor_add_fd(loop, &sources[FD], efd, EPOLLIN, no_event,
				     &calls),
		 0);
	CHECK_EQ(
		peal_reactor_add_timer(loop, &sources[TIMER], no_timer, &calls),
		0);
	CHECK_EQ(peal_reactor_add_deferred(loop, &sources[CALL], no_call,
					   &calls),
		 0);
	CHECK_EQ(peal_reactor_add_queue(loop, &sources[QUEUE], cells, 4,
					no_post, &calls),
		 0);
	CHECK_EQ(add_rx(loop, &sources[RING], &a), 0);
}

#endif
