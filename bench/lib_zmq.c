/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * ZeroMQ over a Unix socket: PUSH and PULL for messages, PAIR for round trips.
 * Each side has a context of its own, with one I/O thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "inbox.h"
#include "messages.h"
#include "roundtrip.h"

struct zmq {
	char address[64];
	void *context, *socket;
	char buffer[65536];
};

static void check(int ret, const char *what)
{
	if (ret < 0)
		bench_fail(what, zmq_errno());
}

static struct zmq zmq;

static void name_it(void)
{
	static unsigned n;

	snprintf(zmq.address, sizeof(zmq.address), "ipc://@peal-bench-%d-%u",
		 (int)getpid(), n++);
}

static void enter(int type, bool listens)
{
	zmq.context = zmq_ctx_new();
	zmq.socket = zmq_socket(zmq.context, type);
	if (!zmq.socket)
		bench_fail("zmq_socket", zmq_errno());
	if (listens)
		check(zmq_bind(zmq.socket, zmq.address), "zmq_bind");
	else
		check(zmq_connect(zmq.socket, zmq.address), "zmq_connect");
}

static void leave(void)
{
	zmq_close(zmq.socket);
	zmq_ctx_term(zmq.context);
}

static void send_number(uint64_t number, size_t size)
{
	bench_fill(zmq.buffer, size, number);
	check(zmq_send(zmq.socket, zmq.buffer, size, 0), "zmq_send");
}

static uint64_t receive_number(size_t size)
{
	check(zmq_recv(zmq.socket, zmq.buffer, sizeof(zmq.buffer), 0),
	      "zmq_recv");
	return bench_read(zmq.buffer, size);
}

/* -- messages */

static void messages_open(struct messages *m)
{
	if (m->point->size > sizeof(zmq.buffer))
		bench_fail("the size of a message", EMSGSIZE);
	name_it();
}

/* A message before the time runs: the connection is there. */
static void messages_enter(struct messages *m, unsigned side)
{
	enter(side == 0 ? ZMQ_PUSH : ZMQ_PULL, side == 1);
	if (side == 0)
		send_number(0, m->point->size);
	else
		receive_number(m->point->size);
}

static void messages_send(struct messages *m)
{
	for (uint64_t i = 0; i < m->count; i++)
		send_number(i, m->point->size);
}

static uint64_t messages_receive(struct messages *m)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < m->count; i++)
		sum += receive_number(m->point->size);
	return sum;
}

static void messages_leave(struct messages *m, unsigned side)
{
	if (m && side < 2)
		leave();
}

static const struct messages_how messages_how = {
	.open = messages_open,
	.enter = messages_enter,
	.send = messages_send,
	.receive = messages_receive,
	.leave = messages_leave,
};

const struct bench_contestant messages_zmq = {
	.name = "ZeroMQ",
	.fits = messages_any,
	.run = messages_run,
	.how = &messages_how,
};

/* -- round trips */

static void trips_open(struct roundtrip *r)
{
	if (r->point->size > sizeof(zmq.buffer))
		bench_fail("the size of an item", EMSGSIZE);
	name_it();
}

static uint64_t trip(struct roundtrip *r, uint64_t number)
{
	send_number(number, r->point->size);
	return receive_number(r->point->size);
}

ROUNDTRIP_CLIENT(trips_client, trip)

static void trips_server(struct roundtrip *r)
{
	for (uint64_t i = 0; i < r->count; i++)
		send_number(receive_number(r->point->size), r->point->size);
}

static void trips_enter(struct roundtrip *r, unsigned side)
{
	enter(ZMQ_PAIR, side == 1);
	if (side == 0)
		trip(r, 0);
	else
		send_number(receive_number(r->point->size), r->point->size);
}

static void trips_leave(struct roundtrip *r, unsigned side)
{
	if (r && side < 2)
		leave();
}

static const struct roundtrip_how trips_how = {
	.open = trips_open,
	.enter = trips_enter,
	.client = trips_client,
	.server = trips_server,
	.leave = trips_leave,
};

const struct bench_contestant roundtrip_zmq = {
	.name = "ZeroMQ",
	.fits = roundtrip_blocking,
	.run = roundtrip_run,
	.how = &trips_how,
};

/* -- several senders */

static void inbox_receive_all(struct inbox *x, struct bench_stage *stage)
{
	enter(ZMQ_PULL, true);
	inbox_ready(stage);
	for (uint64_t i = 0; i < x->point->senders; i++)
		receive_number(x->point->size);
	bench_start(stage, 0);
	for (uint64_t i = 0; i < x->count; i++)
		x->sum += receive_number(x->point->size);
	bench_stop(stage, 0);
	leave();
}

static void inbox_send_all(struct inbox *x, struct bench_stage *stage,
			   unsigned side)
{
	inbox_await(stage);
	enter(ZMQ_PUSH, false);
	send_number(0, x->point->size);
	bench_start(stage, side);
	for (uint64_t i = 0; i < x->each; i++)
		send_number(i, x->point->size);
	bench_stop(stage, side);
	bench_await(stage, 0);
	leave();
}

static void inbox_open(struct inbox *x)
{
	if (x)
		name_it();
}

static const struct inbox_how inbox_how = {
	.open = inbox_open,
	.receive_all = inbox_receive_all,
	.send_all = inbox_send_all,
};

const struct bench_contestant inbox_zmq = {
	.name = "ZeroMQ",
	.fits = inbox_fits,
	.run = inbox_run,
	.how = &inbox_how,
};
