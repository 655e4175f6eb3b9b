/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* All calls of a sender, or of a receiver, whose peer is hostile. */
#include <errno.h>
#include <string.h>

#include "peer.h"

#define CALLS_MAX 256
#define BARRIERS_MAX 2 /* they are expensive */

static const struct shape shapes[] = {
	{ 1, 8, false }, { 2, 4, false },   { 4, 1, false },
	{ 8, 4, false }, { 16, 24, false }, { 64, 8, false },
	{ 4, 3, false }, { 512, 8, true },  { 4, 1024, true },
	{ 8, 8, false }, { 1, 4096, true },
};

struct run {
	struct peer p;
	int barriers;
};

/* In the midst of each(): the peer does not wait. */
static bool fill(void *item, void *user)
{
	struct peer *p = user;

	memset(item, 0x77, p->ring.geometry.item_size);
	if (input_byte(&p->in) % 4 == 0)
		peer_write(p);
	return input_byte(&p->in) % 8 != 7;
}

static bool take(const void *item, void *user)
{
	static unsigned char copy[4096];
	struct peer *p = user;

	memcpy(copy, item, p->ring.geometry.item_size);
	if (input_byte(&p->in) % 4 == 0)
		peer_write(p);
	return input_byte(&p->in) % 8 != 7;
}

static uint64_t left(const struct peer *p)
{
	return p->honest.end.limit - p->honest.end.position;
}

/* What a call says that finds items, or makes sure of n. */
static void check_found(struct peer *p, ssize_t ret, uint64_t n, void *span)
{
	if (ret > 0) {
		peer_span(p, span, ret);
		if (p->sender)
			memset(span, 0x55,
			       (size_t)ret * p->ring.geometry.item_size);
		else
			take(span, p);
		return;
	}
	if (ret == -EINVAL)
		CHECK(n == 0 || n > p->ring.geometry.capacity || !p->own_bell);
	else
		CHECK(ret == 0 || ret == -EPIPE || ret == -EPROTO ||
		      ret == -ETIMEDOUT);
}

/*
 * A call that copies items, and publishes those. A sender that knew of less
 * room than for n may have fallen short, also if it moved all n in the end.
 */
static void check_moved(struct peer *p, ssize_t ret, uint64_t n)
{
	bool is_short = p->sender && p->known < n;

	CHECK(ret <= (ssize_t)n); /* room may have come meanwhile */
	CHECK(ret >= 0 || ret == -EPIPE || ret == -EPROTO);
	peer_published(p, ret > 0 ? (uint64_t)ret : 0, is_short);
}

static void publish(struct peer *p)
{
	uint64_t known = left(p), n = input_below(&p->in, known + 2);
	int ret = p->sender ? peal_sender_commit(&p->honest.tx, n)
			    : peal_receiver_release(&p->honest.rx, n);

	if (ret == 0) {
		CHECK(n <= known);
		peer_published(p, n, false);
		return;
	}
	CHECK(n == known + 1);
	CHECK(ret == -EINVAL || ret == -EPROTO || ret == -EPIPE);
	CHECK(p->honest.end.position == p->here);
}

static void set_barriers(struct run *run, bool allow)
{
	if (run->barriers++ >= BARRIERS_MAX)
		return;
	if (run->p.sender)
		peal_sender_set_barriers(&run->p.honest.tx, allow);
	else
		peal_receiver_set_barriers(&run->p.honest.rx, allow);
}

/* So many publishes have gone by, and nobody was asleep. */
static void hurry(struct peal_end *end)
{
	if (end->fence.elide_after != UINT64_MAX)
		end->fence.publishes = end->fence.elide_after - 1;
}

/* What both ends can do. */
static void call_either(struct run *run, uint8_t call)
{
	struct peer *p = &run->p;
	struct peal_end *end = &p->honest.end;
	struct peal_ring_stats stats;
	uint64_t n;
	int ret;

	switch (call % 8) {
	case 0:
		n = input_below(&p->in, p->ring.geometry.capacity + 2);
		ret = p->sender ? peal_sender_set_watermark(&p->honest.tx, n)
				: peal_receiver_set_watermark(&p->honest.rx, n);
		CHECK_EQ(ret, n == 0 || n > end->capacity ? -EINVAL : 0);
		break;
	case 1:
		ret = p->sender ? peal_sender_clear(&p->honest.tx)
				: peal_receiver_clear(&p->honest.rx);
		CHECK(ret == 0 || ret == 1);
		break;
	case 2:
		set_barriers(run, input_byte(&p->in) % 4);
		break;
	case 3:
		hurry(end);
		break;
	case 4: /* a bell for nothing */
		if (p->own_bell)
			CHECK_EQ(peal_doorbell_ring(p->own_bell), 0);
		break;
	case 5:
		if (p->sender)
			peal_sender_hangup(&p->honest.tx);
		else
			peal_receiver_hangup(&p->honest.rx);
		break;
	case 6:
		if (input_byte(&p->in) % 4)
			break;
		if (p->sender)
			peal_sender_finish(&p->honest.tx);
		else
			peal_receiver_finish(&p->honest.rx);
		CHECK(end->error);
		break;
	default:
		if (p->sender)
			peal_sender_stats(&p->honest.tx, &stats);
		else
			peal_receiver_stats(&p->honest.rx, &stats);
		CHECK_EQ(stats.bell_errors, 0);
	}
}

static void call_sender(struct run *run, uint8_t call)
{
	static unsigned char items[4096 + 4096];
	struct peer *p = &run->p;
	struct peal_sender *tx = &p->honest.tx;
	uint64_t n = input_below(&p->in, p->ring.geometry.capacity + 2);
	unsigned char *span = NULL;
	ssize_t ret;

	switch (call % 8) {
	case 0:
		ret = peal_sender_reserve(tx, n, &span);
		check_found(p, ret, n, span);
		break;
	case 1:
		ret = peal_sender_try_reserve(tx, &span);
		check_found(p, ret, 1, span);
		break;
	case 2:
		ret = peal_sender_wait(tx, n, 0, &span);
		check_found(p, ret, n, span);
		break;
	case 3:
		check_moved(p, peal_sender_put(tx, items, n), n);
		break;
	case 4:
		check_moved(p, peal_sender_each(tx, n, fill, p), n);
		break;
	case 5:
		ret = peal_sender_free(tx);
		CHECK(ret <= (ssize_t)tx->end.capacity);
		CHECK(ret >= 0 || ret == -EPIPE || ret == -EPROTO);
		break;
	case 6:
		ret = peal_sender_drain(tx, 0);
		CHECK(ret == 0 || ret == -ETIMEDOUT || ret == -EPIPE ||
		      ret == -EPROTO || (ret == -EINVAL && !p->own_bell));
		break;
	default:
		if (peal_sender_arm(tx))
			CHECK(left(p) < tx->end.capacity && !tx->end.ended);
	}
}

static void call_receiver(struct run *run, uint8_t call)
{
	static unsigned char items[4096 + 4096];
	struct peer *p = &run->p;
	struct peal_receiver *rx = &p->honest.rx;
	uint64_t n = input_below(&p->in, p->ring.geometry.capacity + 2);
	unsigned char *span = NULL;
	const void *found = NULL;
	ssize_t ret;

	switch (call % 8) {
	case 0:
	case 1:
		ret = peal_receiver_peek(rx, &found);
		memcpy(&span, &found, sizeof(span));
		check_found(p, ret, 1, span);
		break;
	case 2:
		ret = peal_receiver_wait(rx, n, 0, &found);
		memcpy(&span, &found, sizeof(span));
		check_found(p, ret, n, span);
		break;
	case 3:
		check_moved(p, peal_receiver_get(rx, items, n), n);
		break;
	case 4:
		check_moved(p, peal_receiver_each(rx, n, take, p), n);
		break;
	case 5:
		ret = peal_receiver_used(rx);
		CHECK(ret <= (ssize_t)rx->end.capacity);
		CHECK(ret >= 0 || ret == -EPIPE || ret == -EPROTO);
		break;
	case 6:
		if (peal_receiver_ended(rx))
			CHECK(left(p) == 0 && rx->end.ended);
		break;
	default:
		if (peal_receiver_arm(rx))
			CHECK(left(p) < rx->end.wait.watermark &&
			      !rx->end.ended);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct leaks leaks;
	struct run run = { .p.in = input_of(data, size) };
	struct peer *p = &run.p;
	int calls = 0;

	peer_start(p, input_byte(&p->in) & 1, shapes,
		   sizeof(shapes) / sizeof(*shapes));
	while (p->attached && input_left(&p->in) && calls++ < CALLS_MAX) {
		uint8_t call = input_byte(&p->in);

		if (call < 96) {
			peer_write(p);
			continue;
		}
		peer_before(p);
		if (call < 144)
			publish(p);
		else if (call < 168)
			call_either(&run, call);
		else if (p->sender)
			call_sender(&run, call);
		else
			call_receiver(&run, call);
		peer_after(p);
	}
	peer_end(p);
	check_leaks(&leaks);
	return 0;
}
