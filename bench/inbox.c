/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Several processes that send messages to one, all of them blocking. The
 * receiver has a processor of its own, the senders share the other one.
 */
#include <config.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <peal/peal.h>

#include "inbox.h"
#include "kernel.h"
#include "loops.h"

#define RECEIVER 0

/* -- peal */

static void name_it(struct inbox *x)
{
	static unsigned n;

	snprintf(x->address, sizeof(x->address), "@peal-bench-%d-%u",
		 (int)getpid(), n++);
}

static void peal_receive_all(struct inbox *x, struct bench_stage *stage)
{
	size_t n = x->point->senders;
	struct peal_inbox *inbox = loops_zeroed(1, sizeof(*inbox));
	struct peal_slot *slots = loops_zeroed(PEAL_INBOX_SLOTS(n),
					       sizeof(*slots));
	struct peal_inbox_sender *senders = loops_zeroed(n, sizeof(*senders));
	struct peal_letter letter;

	bench_check(
		peal_inbox_open_in(inbox, senders, slots, n, x->address, NULL),
		"inbox_open");
	inbox_ready(stage);
	for (uint64_t i = 0; i < n; i++) { /* each says that it is there */
		bench_check(peal_inbox_receive(inbox, -1, &letter), "receive");
		peal_inbox_release(inbox, &letter);
	}
	bench_start(stage, RECEIVER);
	for (uint64_t i = 0; i < x->count; i++) {
		bench_check(peal_inbox_receive(inbox, -1, &letter), "receive");
		x->sum += bench_read(letter.data, letter.size);
		peal_inbox_release(inbox, &letter);
	}
	bench_stop(stage, RECEIVER);
	peal_inbox_close(inbox);
}

static void peal_send_all(struct inbox *x, struct bench_stage *stage,
			  unsigned side)
{
	size_t size = x->point->size;
	struct peal_outbox *out = loops_zeroed(1, sizeof(*out));

	inbox_await(stage);
	bench_check(
		peal_outbox_open(out, x->address, "bench", NULL, 1 << 18, 5000),
		"peal_outbox_open");
	bench_fill(x->buffer, size, 0);
	bench_check(peal_outbox_send(out, 0, x->buffer, size, -1), "send");
	bench_start(stage, side);
	for (uint64_t i = 0; i < x->each; i++) {
		bench_fill(x->buffer, size, i);
		bench_check(peal_outbox_send(out, 0, x->buffer, size, -1),
			    "peal_outbox_send");
	}
	bench_stop(stage, side);
	peal_outbox_close(out, -1);
}

/* -- one socket or pipe for all of them */

static void fds_open(struct inbox *x)
{
	if (x->how->kind == INBOX_DATAGRAMS)
		bench_check_errno(socketpair(AF_UNIX, SOCK_DGRAM, 0, x->fds),
				  "socketpair");
	else
		kernel_pair(KERNEL_PIPE, x->fds);
}

static void fds_receive_all(struct inbox *x, struct bench_stage *stage)
{
	inbox_ready(stage);
	bench_start(stage, RECEIVER);
	for (uint64_t i = 0; i < x->count; i++) {
		kernel_read(x->fds[0], x->buffer, x->point->size);
		x->sum += bench_read(x->buffer, x->point->size);
	}
	bench_stop(stage, RECEIVER);
}

/* What is no larger than PIPE_BUF is written in one piece. */
static void fds_send_all(struct inbox *x, struct bench_stage *stage,
			 unsigned side)
{
	inbox_await(stage);
	bench_start(stage, side);
	for (uint64_t i = 0; i < x->each; i++) {
		bench_fill(x->buffer, x->point->size, i);
		kernel_write(x->fds[1], x->buffer, x->point->size);
	}
	bench_stop(stage, side);
}

static void fds_close(struct inbox *x)
{
	close(x->fds[0]);
	close(x->fds[1]);
}

/* -- a socket for each of them, and epoll */

static void sockets_open(struct inbox *x)
{
	for (size_t i = 0; i < x->point->senders; i++)
		kernel_pair(KERNEL_SEQPACKET, x->sockets[i]);
}

static void sockets_receive_all(struct inbox *x, struct bench_stage *stage)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), n;
	struct epoll_event events[BENCH_SIDES];

	bench_check_errno(epoll, "epoll_create1");
	for (size_t i = 0; i < x->point->senders; i++) {
		struct epoll_event event = { .events = EPOLLIN,
					     .data.fd = x->sockets[i][0] };

		bench_check_errno(
			epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event),
			"epoll_ctl");
	}
	inbox_ready(stage);
	bench_start(stage, RECEIVER);
	for (uint64_t seen = 0; seen < x->count;) {
		n = epoll_wait(epoll, events, BENCH_SIDES, -1);
		for (int i = 0; i < n; i++, seen++) {
			kernel_read(events[i].data.fd, x->buffer,
				    x->point->size);
			x->sum += bench_read(x->buffer, x->point->size);
		}
	}
	bench_stop(stage, RECEIVER);
}

static void sockets_send_all(struct inbox *x, struct bench_stage *stage,
			     unsigned side)
{
	x->fds[1] = x->sockets[side - 1][1];
	fds_send_all(x, stage, side);
}

static void sockets_close(struct inbox *x)
{
	for (size_t i = 0; i < x->point->senders; i++) {
		close(x->sockets[i][0]);
		close(x->sockets[i][1]);
	}
}

/* -- all of them */

void inbox_ready(struct bench_stage *stage)
{
	__atomic_store_n(&stage->out[1], 1, __ATOMIC_RELEASE);
}

void inbox_await(struct bench_stage *stage)
{
	while (!__atomic_load_n(&stage->out[1], __ATOMIC_ACQUIRE))
		sched_yield();
}

static void side(struct bench_stage *stage, unsigned i, void *user)
{
	struct inbox *x = user;

	if (i != RECEIVER) {
		x->how->send_all(x, stage, i);
		return;
	}
	x->how->receive_all(x, stage);
	if (x->sum != x->point->senders * bench_total(x->each))
		bench_fail("what was received", EBADMSG);
}

void inbox_run(const struct bench_contestant *self,
	       const struct bench_point *point, uint64_t count,
	       struct bench_result *result)
{
	static struct inbox x;

	memset(&x, 0, sizeof(x));
	x.point = point;
	x.how = self->how;
	x.each = (count + point->senders - 1) / point->senders;
	x.count = x.each * point->senders;
	name_it(&x);
	if (x.how->open)
		x.how->open(&x);
	result->ns = bench_fork((unsigned)point->senders + 1, 2, side, &x,
				NULL);
	result->value[0] = (double)x.count * 1e3 / (double)result->ns;
	if (x.how->close)
		x.how->close(&x);
}

bool inbox_fits(const struct bench_point *point)
{
	return point->senders < BENCH_SIDES && point->size <= INBOX_MOST;
}

#define CONTESTANT(id, name, ...)                                              \
	BENCH_CONTESTANT(id, inbox_how, inbox_run, inbox_fits, name,           \
			 __VA_ARGS__)

CONTESTANT(peal, "peal", .receive_all = peal_receive_all,
	   .send_all = peal_send_all);
CONTESTANT(datagrams, "Unix datagrams", .open = fds_open,
	   .receive_all = fds_receive_all, .send_all = fds_send_all,
	   .close = fds_close, .kind = INBOX_DATAGRAMS);
CONTESTANT(sockets, "SEQPACKET each, epoll", .open = sockets_open,
	   .receive_all = sockets_receive_all, .send_all = sockets_send_all,
	   .close = sockets_close);
CONTESTANT(by_pipe, "pipe", .open = fds_open, .receive_all = fds_receive_all,
	   .send_all = fds_send_all, .close = fds_close);

static const struct bench_contestant *const contestants[] = {
	&peal,	    &sockets, &datagrams, &by_pipe,
#ifdef HAVE_LIBZMQ
	&inbox_zmq,
#endif
	NULL,
};

static const struct bench_point points[] = {
	{ .size = 64, .senders = 1, .quick = true },
	{ .size = 64, .senders = 2 },
	{ .size = 64, .senders = 4, .quick = true },
	{ .size = 64, .senders = 8 },
	{ .size = 4096, .senders = 4 },
};

const struct bench_family bench_inbox = {
	.name = "inbox",
	.what = "messages of several processes to one",
	.unit = "M/s",
	.points = points,
	.n_points = sizeof(points) / sizeof(*points),
	.contestants = contestants,
	.reference = "peal",
	.first = 256,
};
