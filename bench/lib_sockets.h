/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_LIB_SOCKETS_H
#define PEAL_BENCH_LIB_SOCKETS_H
/*
 * Libraries whose sockets send and receive whole messages: PUSH and PULL for
 * messages, PAIR for round trips. The file of each defines five functions, and
 * is the only one that includes this.
 */
#include <errno.h>

#include "messages.h"
#include "roundtrip.h"

#define SOCKETS_LARGEST 65536 /* bytes of a message */

enum pattern {
	PUSH,
	PULL,
	PAIR
};

/* Make up an address that nobody has. */
static void name_it(void);
static void enter(enum pattern pattern, bool listens);
static void leave(bool listens);
static void send_number(uint64_t number, size_t size);
static uint64_t receive_number(size_t size);

/* -- messages */

static void messages_open(struct messages *m)
{
	if (m->point->size > SOCKETS_LARGEST)
		bench_fail("the size of a message", EMSGSIZE);
	name_it();
}

/* A message before the time runs: the connection is there. */
static void messages_enter(struct messages *m, unsigned side)
{
	enter(side == 0 ? PUSH : PULL, side == 1);
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
	(void)m;
	leave(side == 1);
}

static const struct messages_how messages_how = {
	.open = messages_open,
	.enter = messages_enter,
	.send = messages_send,
	.receive = messages_receive,
	.leave = messages_leave,
};

/* -- round trips */

static void trips_open(struct roundtrip *r)
{
	if (r->point->size > SOCKETS_LARGEST)
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
	enter(PAIR, side == 1);
	if (side == 0)
		trip(r, 0);
	else
		send_number(receive_number(r->point->size), r->point->size);
}

static void trips_leave(struct roundtrip *r, unsigned side)
{
	(void)r;
	leave(side == 1);
}

static const struct roundtrip_how trips_how = {
	.open = trips_open,
	.enter = trips_enter,
	.client = trips_client,
	.server = trips_server,
	.leave = trips_leave,
};

/* -- who takes part */

#define SOCKETS_CONTESTANTS(id, name_)                                         \
	const struct bench_contestant messages_##id = {                        \
		.name = name_,                                                 \
		.fits = messages_any,                                          \
		.run = messages_run,                                           \
		.how = &messages_how,                                          \
	};                                                                     \
	const struct bench_contestant roundtrip_##id = {                       \
		.name = name_,                                                 \
		.fits = roundtrip_blocking,                                    \
		.run = roundtrip_run,                                          \
		.how = &trips_how,                                             \
	}

#endif
