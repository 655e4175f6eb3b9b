/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * ZeroMQ over a Unix socket. Each side has a context of its own, with one I/O
 * thread.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "inbox.h"
#include "lib_sockets.h"

static struct {
	char address[64];
	void *context, *socket;
	char buffer[SOCKETS_LARGEST];
} zmq;

static void check_zmq(int ret, const char *what)
{
	if (ret < 0)
		bench_fail(what, zmq_errno());
}

static void name_it(void)
{
	static unsigned n;

	snprintf(zmq.address, sizeof(zmq.address), "ipc://@peal-bench-%d-%u",
		 (int)getpid(), n++);
}

static void enter(enum pattern pattern, bool listens)
{
	static const int types[] = {
		[PUSH] = ZMQ_PUSH,
		[PULL] = ZMQ_PULL,
		[PAIR] = ZMQ_PAIR,
	};

	zmq.context = zmq_ctx_new();
	zmq.socket = zmq_socket(zmq.context, types[pattern]);
	if (!zmq.socket)
		bench_fail("zmq_socket", zmq_errno());
	if (listens)
		check_zmq(zmq_bind(zmq.socket, zmq.address), "zmq_bind");
	else
		check_zmq(zmq_connect(zmq.socket, zmq.address), "zmq_connect");
}

static void leave(bool listens)
{
	(void)listens;
	zmq_close(zmq.socket);
	zmq_ctx_term(zmq.context);
}

static void send_number(uint64_t number, size_t size)
{
	bench_fill(zmq.buffer, size, number);
	check_zmq(zmq_send(zmq.socket, zmq.buffer, size, 0), "zmq_send");
}

static uint64_t receive_number(size_t size)
{
	check_zmq(zmq_recv(zmq.socket, zmq.buffer, sizeof(zmq.buffer), 0),
		  "zmq_recv");
	return bench_read(zmq.buffer, size);
}

SOCKETS_CONTESTANTS(zmq, "ZeroMQ");

/* -- several senders */

static void inbox_receive_all(struct inbox *x, struct bench_stage *stage)
{
	enter(PULL, true);
	inbox_ready(stage);
	for (uint64_t i = 0; i < x->point->senders; i++)
		receive_number(x->point->size);
	bench_start(stage, 0);
	for (uint64_t i = 0; i < x->count; i++)
		x->sum += receive_number(x->point->size);
	bench_stop(stage, 0);
	leave(true);
}

static void inbox_send_all(struct inbox *x, struct bench_stage *stage,
			   unsigned side)
{
	inbox_await(stage);
	enter(PUSH, false);
	send_number(0, x->point->size);
	bench_start(stage, side);
	for (uint64_t i = 0; i < x->each; i++)
		send_number(i, x->point->size);
	bench_stop(stage, side);
	bench_await(stage, 0);
	leave(false);
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
