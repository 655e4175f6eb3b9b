/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receiver: one thread, one reactor, a ring for each sender. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "demo.h"

#define SECOND INT64_C(1000000000)
/* Beyond so many, senders that fail are counted, and no longer told of. */
#define COMPLAINTS_MAX 8
/* Seconds after a signal in which senders are to stop. */
#define STOP_TICKS 3u

static uint64_t count_wrong(const unsigned char *a, const unsigned char *b,
			    size_t size)
{
	uint64_t wrong = 0;

	if (memcmp(a, b, size) == 0)
		return 0;
	for (size_t i = 0; i < size; i++)
		wrong += a[i] != b[i];
	return wrong;
}

/* Where they lie: nothing is copied out of the ring. */
static void check(struct demo_ring *ring, const unsigned char *items,
		  uint64_t blocks)
{
	const struct demo_text *text = &ring->demo->text;
	const unsigned char *copy = text->copy.base;

	ring->received += blocks * DEMO_BLOCK;
	while (blocks > 0) {
		uint64_t n = text->blocks - ring->at;
		size_t size;

		if (n > blocks)
			n = blocks;
		size = (size_t)n * DEMO_BLOCK;
		ring->wrong += count_wrong(items, copy + ring->at * DEMO_BLOCK,
					   size);
		items += size;
		blocks -= n;
		ring->at = (ring->at + n) % text->blocks;
	}
}

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct demo_ring *ring = user;
	const unsigned char *items;
	ssize_t n = peal_receiver_peek(rx, &items);

	if (n > 0) {
		check(ring, items, (uint64_t)n);
		/* A bell that cannot be rung shows in the counts. */
		peal_receiver_release(rx, (size_t)n);
	}
	return PEAL_DONE;
}

static void failed(struct demo_ring *ring, const char *what)
{
	struct demo *demo = ring->demo;

	if (ring->failed)
		return; /* one thing has led to another */
	ring->failed = true;
	if (++demo->failed > COMPLAINTS_MAX)
		return;
	demo_progress_clear(demo);
	complain("sender %u %s", ring->number, what);
	if (demo->failed == COMPLAINTS_MAX)
		complain("if there are more failures, they are only counted");
}

static void on_closed(struct peal_receiver *rx, int reason, void *user)
{
	struct demo_ring *ring = user;

	(void)rx;
	ring->open = false;
	ring->demo->open--;
	if (reason == -EPROTO) {
		failed(ring, "broke the protocol of its ring");
		if (ring->pid > 0)
			kill(ring->pid, SIGKILL); /* it waits for us */
	} else if (reason != 0) {
		failed(ring, "is gone, and never finished its ring");
	}
	if (ring->demo->open == 0)
		peal_reactor_stop(&ring->demo->loop);
}

static void judge(struct demo_ring *ring, int status)
{
	char what[512], why[400];

	if (WIFSIGNALED(status)) {
		snprintf(what, sizeof(what),
			 "was killed by signal %d (%s). What it had sent is "
			 "checked all the same.",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
		failed(ring, what);
	} else if (WEXITSTATUS(status) != EXIT_SUCCESS) {
		demo_send_explain(ring->demo, ring->tally, why, sizeof(why));
		snprintf(what, sizeof(what), "failed: %s", why);
		failed(ring, what);
	}
}

/* -- deaths and signals */

static struct demo_ring *ring_of(struct demo *demo, pid_t pid)
{
	for (unsigned i = 0; i < demo->started; i++)
		if (demo->rings[i].pid == pid)
			return &demo->rings[i];
	return NULL; /* a child from before we were executed */
}

/* What a sender has sent before is delivered all the same. */
static void sender_died(struct demo_ring *ring)
{
	ring->pid = 0;
	if (ring->open)
		peal_reactor_hangup(&ring->demo->loop, &ring->source, -EPIPE);
}

/*
 * All who have died: one signal may stand for many of them.
 * @return whether there are others
 */
static bool reap_dead(struct demo *demo)
{
	struct demo_ring *ring;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		ring = ring_of(demo, pid);
		if (!ring)
			continue;
		judge(ring, status);
		sender_died(ring);
	}
	for (unsigned i = 0; i < demo->started && pid < 0; i++) {
		ring = &demo->rings[i];
		if (ring->pid <= 0)
			continue;
		failed(ring, "has vanished");
		sender_died(ring);
	}
	for (unsigned i = 0; i < demo->started; i++)
		if (demo->rings[i].pid > 0)
			return true;
	return false;
}

int demo_next_signal(const struct demo *demo)
{
	struct signalfd_siginfo info;

	if (read(demo->signal_fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	return (int)info.ssi_signo;
}

void demo_kill_all(struct demo *demo)
{
	for (unsigned i = 0; i < demo->started; i++)
		if (demo->rings[i].pid > 0)
			kill(demo->rings[i].pid, SIGKILL);
}

void demo_reap_all(struct demo *demo)
{
	while (reap_dead(demo)) {
		struct pollfd pfd = { .fd = demo->signal_fd, .events = POLLIN };
		int number;

		poll(&pfd, 1, -1);
		while ((number = demo_next_signal(demo)) != 0)
			if (number != SIGCHLD)
				demo_kill_all(demo);
	}
}

/* Once in an orderly way; the second time, as ever. */
static void interrupt(struct demo *demo, int number)
{
	demo->shared->stop = true;
	demo_let_signals_in(demo);
	demo_progress_clear(demo);
	complain("%s: the senders are told to stop. Once more: stop at once.",
		 strsignal(number));
}

static void on_signal(struct peal_source *source, int fd, uint32_t events,
		      void *user)
{
	struct demo *demo = user;
	int number;

	(void)source;
	(void)fd;
	(void)events;
	while ((number = demo_next_signal(demo)) != 0)
		if (number != SIGCHLD)
			interrupt(demo, number);
	reap_dead(demo);
}

/* One that sleeps in a file, or was stopped, does not hear that it is to end.
 */
static void kill_the_deaf(struct demo *demo)
{
	demo_progress_clear(demo);
	complain("senders that do not stop are killed");
	demo_kill_all(demo);
}

static void on_tick(struct peal_source *source, uint64_t expirations,
		    void *user)
{
	struct demo *demo = user;

	(void)source;
	(void)expirations;
	if (demo->shared->stop && ++demo->ticks_of_grace == STOP_TICKS)
		kill_the_deaf(demo);
	demo_progress_show(demo);
}

static int watch_ring(struct demo_ring *ring)
{
	struct demo *demo = ring->demo;
	int ret = peal_reactor_add_receiver(&demo->loop, &ring->source,
					    &ring->local.receiver,
					    &(struct peal_receiver_callbacks){
						    .on_readable = on_readable,
						    .on_closed = on_closed,
						    .user = ring,
					    });

	if (ret < 0)
		return ret;
	ring->open = true;
	demo->open++;
	return 0;
}

static int watch_all(struct demo *demo)
{
	int ret = peal_reactor_add_fd(&demo->loop, &demo->signals,
				      demo->signal_fd, EPOLLIN, on_signal,
				      demo);

	for (unsigned i = 0; i < demo->senders && ret == 0; i++)
		ret = watch_ring(&demo->rings[i]);
	if (ret == 0)
		ret = peal_reactor_add_timer(&demo->loop, &demo->tick, on_tick,
					     demo);
	if (ret == 0)
		ret = peal_reactor_set_timer(&demo->loop, &demo->tick, SECOND,
					     SECOND, 0);
	return ret;
}

static void start(struct demo *demo)
{
	demo->began = demo_now();
	demo->shared->deadline = demo->began +
				 (int64_t)(demo->seconds * SECOND);
	demo->progress.at = demo->began;
	close(demo->gate[0]);
	close(demo->gate[1]);
	demo->gate[0] = demo->gate[1] = -1;
}

int demo_receive(struct demo *demo)
{
	size_t n_slots = (size_t)demo->senders + 2;
	int ret;

	demo->slots = calloc(n_slots, sizeof(*demo->slots));
	if (!demo->slots) {
		complain(
			"no memory left for the reactor. Use fewer --senders.");
		return EXIT_FAILURE;
	}
	ret = peal_reactor_init(&demo->loop, demo->slots, n_slots);
	if (ret == 0)
		ret = watch_all(demo);
	if (ret == 0) {
		start(demo);
		reap_dead(demo); /* who died before we looked at signals */
		ret = peal_reactor_run(&demo->loop);
		demo->ended = demo_now();
	}
	demo_progress_clear(demo);
	if (ret < 0) {
		complain("the reactor cannot go on: %s%s", strerror(-ret),
			 demo_hint(ret));
		return demo_status(ret);
	}
	return 0;
}
