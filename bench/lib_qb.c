/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libqb's ring buffer, with its semaphore and without; it is the only one of
 * the others that is filled and read in place, as peal's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qb/qbrb.h>

#include "messages.h"
#include "roundtrip.h"

#define RING (1 << 20)

static struct {
	qb_ringbuffer_t *rings[2];
} qb;

static qb_ringbuffer_t *make(bool spin)
{
	static unsigned n;
	char name[64];
	qb_ringbuffer_t *ring;

	snprintf(name, sizeof(name), "peal-bench-%d-%u", (int)getpid(), n++);
	ring = qb_rb_open(name, RING,
			  QB_RB_FLAG_CREATE | QB_RB_FLAG_SHARED_PROCESS |
				  (spin ? QB_RB_FLAG_NO_SEMAPHORE : 0),
			  0);
	if (!ring)
		bench_fail("qb_rb_open", errno);
	return ring;
}

/* It has no way to wait for room. */
BENCH_INLINE void send_number(qb_ringbuffer_t *ring, uint64_t number,
			      size_t size)
{
	void *chunk;
	int32_t ret;

	while (!(chunk = qb_rb_chunk_alloc(ring, size)))
		if (errno != EAGAIN && errno != ENOMEM)
			bench_fail("qb_rb_chunk_alloc", errno);
	bench_fill(chunk, size, number);
	ret = qb_rb_chunk_commit(ring, size);
	if (ret < 0)
		bench_fail("qb_rb_chunk_commit", -ret);
}

BENCH_INLINE uint64_t receive_number(qb_ringbuffer_t *ring, size_t size,
				     bool spin)
{
	uint64_t number;
	void *chunk;
	ssize_t n;

	do /* without a semaphore an empty ring is a bad message */
		n = qb_rb_chunk_peek(ring, &chunk, spin ? 0 : -1);
	while (n == 0 || n == -ETIMEDOUT || (spin && n == -EBADMSG));
	if (n != (ssize_t)size)
		bench_fail("qb_rb_chunk_peek", n < 0 ? (int)-n : EBADMSG);
	number = bench_read(chunk, size);
	qb_rb_chunk_reclaim(ring);
	return number;
}

/* -- messages */

static void messages_open(struct messages *m)
{
	qb.rings[0] = make(m->how->spin);
}

static void messages_send(struct messages *m)
{
	for (uint64_t i = 0; i < m->count; i++)
		send_number(qb.rings[0], i, m->point->size);
}

static uint64_t messages_receive(struct messages *m)
{
	bool spin = m->how->spin;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < m->count; i++)
		sum += receive_number(qb.rings[0], m->point->size, spin);
	return sum;
}

static void messages_close(struct messages *m)
{
	if (m)
		qb_rb_close(qb.rings[0]);
}

#define OF_QB                                                                  \
	.open = messages_open, .send = messages_send,                          \
	.receive = messages_receive, .close = messages_close

static const struct messages_how blocking_how = { OF_QB };
static const struct messages_how spinning_how = { OF_QB, .spin = true };

/* A sender spins where the ring is full. */
static bool two_cpus(const struct bench_point *point)
{
	return messages_blocking(point) && bench_cpus() > 1;
}

const struct bench_contestant messages_qb = {
	.name = "libqb ring",
	.fits = two_cpus,
	.run = messages_run,
	.how = &blocking_how,
};

const struct bench_contestant messages_qb_spinning = {
	.name = "libqb ring, spinning",
	.fits = messages_spinning,
	.run = messages_run,
	.how = &spinning_how,
};

/* -- round trips */

static void trips_open(struct roundtrip *r)
{
	for (int i = 0; i < 2; i++)
		qb.rings[i] = make(r->how->spin);
}

static uint64_t trip(struct roundtrip *r, uint64_t number)
{
	send_number(qb.rings[0], number, r->point->size);
	return receive_number(qb.rings[1], r->point->size, r->how->spin);
}

ROUNDTRIP_CLIENT(trips_client, trip)

static void trips_server(struct roundtrip *r)
{
	size_t size = r->point->size;

	for (uint64_t i = 0; i < r->count; i++)
		send_number(qb.rings[1],
			    receive_number(qb.rings[0], size, r->how->spin),
			    size);
}

static void trips_close(struct roundtrip *r)
{
	for (int i = 0; r && i < 2; i++)
		qb_rb_close(qb.rings[i]);
}

static const struct roundtrip_how trips_how = {
	.open = trips_open,
	.client = trips_client,
	.server = trips_server,
	.close = trips_close,
};

const struct bench_contestant roundtrip_qb = {
	.name = "libqb ring",
	.fits = roundtrip_blocking,
	.run = roundtrip_run,
	.how = &trips_how,
};
