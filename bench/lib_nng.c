/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nng over a Unix socket: PUSH and PULL for messages, PAIR for round trips.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>

#include "messages.h"
#include "roundtrip.h"

static struct {
	char address[64];
	nng_socket socket;
	char buffer[65536];
} nng;

static void check(int ret, const char *what)
{
	if (ret == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, nng_strerror(ret));
	bench_fail("nng", EIO);
}

static void name_it(void)
{
	static unsigned n;

	snprintf(nng.address, sizeof(nng.address),
		 "ipc:///tmp/peal-bench-%d-%u", (int)getpid(), n++);
}

static void unlink_it(void)
{
	unlink(nng.address + strlen("ipc://"));
}

static void enter(int (*open)(nng_socket *), bool listens)
{
	check(open(&nng.socket), "nng_socket");
	if (listens) {
		check(nng_listen(nng.socket, nng.address, NULL, 0),
		      "nng_listen");
		return;
	}
	for (int tries = 0; tries < 1000; tries++) {
		if (nng_dial(nng.socket, nng.address, NULL, 0) == 0)
			return;
		usleep(1000);
	}
	bench_fail("nng_dial", ECONNREFUSED);
}

static void send_number(uint64_t number, size_t size)
{
	bench_fill(nng.buffer, size, number);
	check(nng_send(nng.socket, nng.buffer, size, 0), "nng_send");
}

static uint64_t receive_number(size_t size)
{
	size_t n = sizeof(nng.buffer);

	check(nng_recv(nng.socket, nng.buffer, &n, 0), "nng_recv");
	if (n != size)
		bench_fail("nng_recv", EBADMSG);
	return bench_read(nng.buffer, size);
}

/* -- messages */

static void messages_open(struct messages *m)
{
	if (m->point->size > sizeof(nng.buffer))
		bench_fail("the size of a message", EMSGSIZE);
	name_it();
}

/* A message before the time runs: the connection is there. */
static void messages_enter(struct messages *m, unsigned side)
{
	enter(side == 0 ? nng_push0_open : nng_pull0_open, side == 1);
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
	nng_close(nng.socket);
	if (m && side == 1)
		unlink_it();
}

static const struct messages_how messages_how = {
	.open = messages_open,
	.enter = messages_enter,
	.send = messages_send,
	.receive = messages_receive,
	.leave = messages_leave,
};

const struct bench_contestant messages_nng = {
	.name = "nng",
	.fits = messages_any,
	.run = messages_run,
	.how = &messages_how,
};

/* -- round trips */

static void trips_open(struct roundtrip *r)
{
	if (r->point->size > sizeof(nng.buffer))
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
	enter(nng_pair0_open, side == 1);
	if (side == 0)
		trip(r, 0);
	else
		send_number(receive_number(r->point->size), r->point->size);
}

static void trips_leave(struct roundtrip *r, unsigned side)
{
	nng_close(nng.socket);
	if (r && side == 1)
		unlink_it();
}

static const struct roundtrip_how trips_how = {
	.open = trips_open,
	.enter = trips_enter,
	.client = trips_client,
	.server = trips_server,
	.leave = trips_leave,
};

const struct bench_contestant roundtrip_nng = {
	.name = "nng",
	.fits = roundtrip_blocking,
	.run = roundtrip_run,
	.how = &trips_how,
};
