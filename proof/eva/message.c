/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A receiver of messages, whose sender writes what it likes at any time. Of
 * the first header that is loaded each number of units is tried, and all that
 * are too large; if it says that the memory wraps, each of the second. Any
 * other load gives anything.
 */
#include <peal/message.h>

#include "ends.h"

static struct peal_page own;
extern const struct peal_page peer;
extern const unsigned char items[2 * CAPACITY * ITEM];

/* -- what the headers say */

enum said {
	/* And below: so many units of data, and one is more than there is. */
	SAID_LARGE = 2 * CAPACITY + 1, /* up to the largest message */
	SAID_HUGE,		       /* and beyond */
	SAID_WRAP,
	SAID_CASES,
	SAID_ANYTHING
};

static int headers[2];
static int loaded;

bool eva_is_record(const uint64_t *word)
{
	//@ loop unroll 2 * CAPACITY;
	for (int i = 0; i < 2 * CAPACITY; i++)
		if ((const unsigned char *)word == items + ITEM * i)
			return true;
	return false;
}

static uint64_t size_of(int said)
{
	switch (said) {
	case 0:
		return 0;
	case SAID_LARGE:
		return any_between(8 * SAID_LARGE - 7, PEAL_MESSAGE_MAX);
	case SAID_HUGE:
		return any_between((uint64_t)PEAL_MESSAGE_MAX + 1,
				   PEAL_MESSAGE_WRAP - 1);
	default:
		return any_between(8 * (uint64_t)said - 7, 8 * (uint64_t)said);
	}
}

uint64_t eva_record(void)
{
	int said = SAID_ANYTHING;

	if (loaded < 2)
		said = headers[loaded++];
	else if (headers[1] == SAID_WRAP) /* two in a row: it is over */
		said = SAID_WRAP;
	if (said == SAID_ANYTHING)
		return eva_word;
	/* What is left of the ring, or not; or a kind, which is only told. */
	if (said == SAID_WRAP)
		return any_between(0, CAPACITY + 1) << 32 | PEAL_MESSAGE_WRAP;
	return (UINT64_C(7) << 32) + size_of(said);
}

/* -- calls */

static void look_at(int ret, const struct peal_message *m)
{
	volatile unsigned char byte;
	const unsigned char *p;

	if (ret != 1 || m->size == 0)
		return;
	p = m->data;
	byte = p[0];
	byte = p[m->size - 1];
}

static void find(struct peal_receiver *rx)
{
	struct peal_message m;
	int ret = peal_message_peek(rx, &m);

	look_at(ret, &m);
	check_end(&rx->end);
}

static void receive(struct peal_receiver *rx)
{
	struct peal_message m;
	int ret = peal_message_receive(rx, 0, &m);

	look_at(ret, &m);
	check_end(&rx->end);
}

/* From one that was found: it ends anywhere. */
static void walk(struct peal_receiver *rx, uint64_t next)
{
	struct peal_message m = { .data = items, .next = next };
	int ret = peal_message_next(rx, &m);
	uint64_t to = m.next - rx->end.position;
	uint64_t known = rx->end.limit - rx->end.position;

	look_at(ret, &m);
	//@ assert known: ret != 1 || to <= known;
	(void)to;
	(void)known;
	check_end(&rx->end);
}

static void release(struct peal_receiver *rx, uint64_t next)
{
	struct peal_message m = { .data = items, .next = next };

	peal_message_release(rx, &m);
	check_end(&rx->end);
}

static void begin(struct peal_receiver *rx, uint64_t here, uint64_t known,
		  bool twice)
{
	any_end(&rx->end, &own, &peer, (void *)items, false, twice);
	any_progress(&rx->end, here, known);
	if (known > 0) /* it would know of nothing more */
		rx->end.error = 0;
	/* Bells, fences and sleep are looked at in receiver.c. */
	rx->end.bell.peer.kind = rx->end.bell.own.kind = PEAL_DOORBELL_NONE;
	rx->end.fence.elided = rx->end.fence.offered = false;
	rx->end.wait.recheck = PEAL_RECHECK_NONE;
	rx->end.fence.elide_after = UINT64_MAX;
	rx->end.bell.slow_rings = 0;
	loaded = 0;
	eva_told = false;
}

static void try_calls(uint64_t here, uint64_t known, bool twice)
{
	struct peal_receiver rx;

	begin(&rx, here, known, twice);
	find(&rx);
	begin(&rx, here, known, twice);
	receive(&rx);
	//@ loop unroll CAPACITY + 1;
	for (uint64_t i = 0; i <= known; i++) {
		begin(&rx, here, known, twice);
		walk(&rx, here + i);
		begin(&rx, here, known, twice);
		release(&rx, here + i);
	}
}

static void try_headers(uint64_t here, uint64_t known, bool twice)
{
	//@ loop unroll SAID_CASES;
	for (int i = 0; i < SAID_WRAP; i++) {
		headers[0] = i;
		headers[1] = SAID_ANYTHING;
		try_calls(here, known, twice);
	}
	//@ loop unroll SAID_CASES;
	for (int i = 0; i < SAID_CASES; i++) {
		headers[0] = SAID_WRAP;
		headers[1] = i;
		try_calls(here, known, twice);
	}
}

void main(void)
{
	try_places(try_headers, &peer.position, false);
}
