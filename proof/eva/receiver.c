/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A receiver, whose sender writes what it likes at any time. */
#include "ends.h"

static struct peal_page own;
extern const struct peal_page peer;
extern const unsigned char items[2 * CAPACITY * ITEM];

static void look_at(const void *items_, ssize_t n)
{
	const unsigned char *p = items_;
	volatile unsigned char byte;

	if (n <= 0)
		return;
	byte = p[0];
	byte = p[n * ITEM - 1];
}

static void call(struct peal_receiver *rx, size_t n)
{
	struct peal_ring_stats stats;
	ssize_t got;
	void *p = (void *)items;

	switch (any_int(0, 11)) {
	case 0:
		got = peal_receiver_peek(rx, &p);
		look_at(p, got);
		break;
	case 1:
		got = (peal_receiver_wait)(rx, n, 0, &p);
		look_at(p, got);
		break;
	case 2:
		peal_receiver_release(rx, n);
		break;
	case 3:
		got = peal_receiver_used(rx);
		//@ assert used: got <= CAPACITY;
		break;
	case 4:
		peal_receiver_ended(rx);
		break;
	case 5:
		peal_receiver_arm(rx);
		break;
	case 6:
		peal_receiver_hangup(rx);
		break;
	case 7:
		peal_receiver_finish(rx);
		break;
	case 8:
		peal_receiver_set_watermark(rx, n);
		break;
	case 9:
		peal_receiver_set_spin(rx, eva_word);
		break;
	case 10:
		peal_receiver_set_barriers(rx, any_bool());
		break;
	default:
		peal_receiver_stats(rx, &stats);
	}
	check_end(&rx->end);
}

static void begin(uint64_t here, uint64_t known, bool twice)
{
	struct peal_receiver rx;

	any_end(&rx.end, &own, &peer, (void *)items, false, twice);
	any_progress(&rx.end, here, known);
	call(&rx, eva_word);
}

void main(void)
{
	try_places(begin, &peer.position, false);
}
