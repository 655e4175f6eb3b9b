/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* All calls for messages, of an end whose peer is hostile. */
#include <errno.h>
#include <string.h>

#include <peal/message.h>

#include "message.h"

#define CALLS_MAX 256
#define KEPT 4 /* messages that were found */

const struct shape message_shapes[MESSAGE_SHAPES] = {
	{ 16, 8, false }, { 1, 8, false },  { 4, 8, false },
	{ 512, 8, true }, { 64, 8, false }, { 2, 8, false },
};

struct run {
	struct peer p;
	struct peal_message kept[KEPT];
	unsigned n_kept;
	size_t reserved;
	unsigned char *room;
};

static uint64_t wrap(const struct peer *p)
{
	const struct peal_geometry *g = &p->ring.geometry;

	return g->flags & PEAL_RING_TWICE ? 2 * g->capacity : g->capacity;
}

/* From `header` on so many units lie in the memory, and are published, or
 * free. */
static void check_place(const struct peer *p, const unsigned char *header,
			uint64_t position, uint64_t units)
{
	const unsigned char *items = p->ring.items;
	const struct peal_end *end = &p->honest.end;
	uint64_t index = position & (p->ring.geometry.capacity - 1);

	CHECK(header == items + 8 * index);
	CHECK(units >= 1 && units <= wrap(p) - index);
	CHECK(position - end->position <= end->limit - end->position);
	CHECK(units <= end->limit - position);
}

/* -- a receiver */

static void check_message(const struct peer *p, const struct peal_message *m)
{
	static unsigned char copy[PEAL_PAGE_SIZE];
	uint64_t units = PEAL_MESSAGE_UNITS(m->size);

	check_place(p, (const unsigned char *)m->data - 8, m->next - units,
		    units);
	CHECK(m->size <= sizeof(copy));
	memcpy(copy, m->data, m->size);
}

static void found(struct run *run, int ret, const struct peal_message *m)
{
	if (ret == 1) {
		check_message(&run->p, m);
		run->kept[run->n_kept++ % KEPT] = *m;
		return;
	}
	CHECK(ret == 0 || ret == -EPROTO || ret == -EPIPE || ret == -ETIMEDOUT);
	if (ret == -EPROTO)
		CHECK(run->p.honest.end.error == -EPROTO ||
		      run->p.honest.end.ended);
}

/* What was found is not touched on failure. */
static void find(struct run *run, bool receive)
{
	struct peal_receiver *rx = &run->p.honest.rx;
	struct peal_message m, before;
	int ret;

	memset(&m, 0x5a, sizeof(m));
	before = m;
	ret = receive ? peal_message_receive(rx, 0, &m)
		      : peal_message_peek(rx, &m);
	if (ret != 1)
		CHECK(memcmp(&m, &before, sizeof(m)) == 0);
	found(run, ret, &m);
}

static void release(struct run *run, const struct peal_message *m)
{
	struct peer *p = &run->p;
	const struct peal_end *end = &p->honest.end;
	uint64_t n = m->next - end->position,
		 known = end->limit - end->position;
	int ret = peal_message_release(&p->honest.rx, m);

	if (ret == 0) {
		CHECK(n <= known);
		/* With the end of the memory, if that comes next. */
		n = end->position - p->here;
		CHECK(n >= m->next - p->here && n <= known);
		peer_published(p, n, false);
		return;
	}
	CHECK(ret == -EINVAL || ret == -EPROTO || ret == -EPIPE);
	CHECK(end->position == p->here);
}

static void call_receiver(struct run *run, uint8_t call)
{
	struct peer *p = &run->p;
	struct peal_receiver *rx = &p->honest.rx;
	struct peal_message *m = &run->kept[input_byte(&p->in) % KEPT];
	struct peal_message next = *m;
	int ret;

	switch (call % 16) {
	case 0:
	case 1:
		find(run, true);
		break;
	case 2:
	case 3:
	case 4: /* only from one that was not released */
		if (m->next - rx->end.position >
		    rx->end.limit - rx->end.position)
			break;
		ret = peal_message_next(rx, &next);
		found(run, ret, &next);
		if (ret < 0)
			CHECK(next.next == m->next && next.data == m->data);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		if (m->data)
			release(run, m);
		break;
	case 9:
		ret = (int)peal_receiver_used(rx);
		CHECK(ret >= -EPROTO && ret <= (int)rx->end.capacity);
		break;
	case 10:
		peal_receiver_arm(rx);
		break;
	case 11:
		if (peal_receiver_ended(rx))
			CHECK(rx->end.limit == rx->end.position);
		break;
	default:
		find(run, false);
	}
}

/* -- a sender */

static void reserved(struct run *run, int ret, size_t size, void *room)
{
	const struct peal_end *end = &run->p.honest.end;

	run->room = NULL;
	if (ret == 1) {
		CHECK(room != NULL);
		check_place(&run->p, (unsigned char *)room - 8,
			    end->position + end->message.start,
			    PEAL_MESSAGE_UNITS(size));
		CHECK(end->message.start >= end->message.staged);
		memset(room, 0x55, size);
		run->room = room;
		run->reserved = size;
		return;
	}
	CHECK(ret == 0 || ret == -EPROTO || ret == -EPIPE ||
	      ret == -ETIMEDOUT || ret == -EMSGSIZE || ret == -ENOBUFS);
	if (ret == -EMSGSIZE)
		CHECK(size > peal_message_max(&run->p.honest.tx));
	if (ret == -ENOBUFS)
		CHECK(end->message.staged > 0);
}

static void complete(struct run *run, bool commit)
{
	struct peer *p = &run->p;
	struct peal_sender *tx = &p->honest.tx;
	uint64_t size = input_below(&p->in, run->room ? run->reserved + 1 : 9);
	int ret = commit ? peal_message_commit(tx, 7, size)
			 : peal_message_stage(tx, 7, size);

	CHECK(ret == 0 || ret == -EINVAL || ret == -EPIPE || ret == -EPROTO);
	if (!run->room)
		CHECK_EQ(ret, -EINVAL);
	else if (!commit)
		CHECK_EQ(ret, 0);
	if (commit && ret == 0)
		peer_published(p, tx->end.position - p->here, false);
	run->room = NULL;
}

static void send_one(struct run *run, size_t size)
{
	static const unsigned char text[PEAL_PAGE_SIZE];
	int ret = peal_message_send(&run->p.honest.tx, 1, text,
				    size < sizeof(text) ? size : 1, 0);

	CHECK(ret == 0 || ret == -EPROTO || ret == -EPIPE ||
	      ret == -ETIMEDOUT || ret == -EMSGSIZE || ret == -ENOBUFS);
	run->room = NULL;
}

static size_t some_size(struct peer *p)
{
	uint64_t most = peal_message_max(&p->honest.tx);

	switch (input_byte(&p->in) % 8) {
	case 0:
		return most + input_nearby(&p->in);
	case 1:
		return most / 2 + input_nearby(&p->in);
	case 2:
		return PEAL_MESSAGE_MAX + input_nearby(&p->in);
	case 3:
		return SIZE_MAX - 16 + input_nearby(&p->in);
	default:
		return input_below(&p->in, most < 64 ? most + 2 : 66);
	}
}

static void call_sender(struct run *run, uint8_t call)
{
	struct peer *p = &run->p;
	struct peal_sender *tx = &p->honest.tx;
	size_t size = some_size(p);
	void *room = NULL;
	int ret;

	switch (call % 16) {
	case 0:
	case 1:
	case 2:
		ret = peal_message_try_reserve(tx, size, &room);
		reserved(run, ret, size, room);
		break;
	case 3:
	case 4:
		ret = peal_message_reserve(tx, size, &room);
		reserved(run, ret, size, room);
		break;
	case 5:
		ret = peal_message_wait(tx, size, 0, &room);
		reserved(run, ret, size, room);
		break;
	case 6:
	case 7:
		complete(run, false);
		break;
	case 8:
	case 9:
	case 10:
		complete(run, true);
		break;
	case 11:
		peal_message_publish(tx);
		peer_published(p, tx->end.position - p->here, false);
		run->room = NULL;
		break;
	case 12:
		peal_message_abandon(tx);
		run->room = NULL;
		break;
	case 13:
		peal_sender_arm(tx);
		break;
	default:
		send_one(run, size);
	}
	CHECK(tx->end.error || tx->end.ended ||
	      tx->end.message.staged <= tx->end.limit - tx->end.position);
}

static void hostile(struct run *run, bool sender)
{
	struct peer *p = &run->p;
	int calls = 0;

	peer_start(p, sender, message_shapes, MESSAGE_SHAPES);
	while (p->attached && input_left(&p->in) && calls++ < CALLS_MAX) {
		uint8_t call = input_byte(&p->in);

		if (call < 112) {
			peer_write(p);
			continue;
		}
		/* A header can be wrong in ways that nobody counts here. */
		p->lied |= !sender;
		peer_before(p);
		if (sender)
			call_sender(run, call);
		else
			call_receiver(run, call);
		peer_after(p);
	}
	peer_end(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct leaks leaks;
	struct run run = { .p.in = input_of(data, size) };
	uint8_t kind = input_byte(&run.p.in) % 4;

	if (kind < 3)
		hostile(&run, kind == 0);
	else
		message_pair(&run.p.in);
	check_leaks(&leaks);
	return 0;
}
