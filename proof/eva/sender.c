/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A sender, whose receiver writes what it likes at any time. */
#include "ends.h"

static struct peal_page own;
extern const struct peal_page peer;
static unsigned char items[2 * CAPACITY * ITEM];

static void fill_in(void *items_, ssize_t n)
{
	unsigned char *p = items_;

	if (n <= 0)
		return;
	p[0] = 1;
	p[n * ITEM - 1] = 1;
}

static void call(struct peal_sender *tx, size_t n)
{
	struct peal_ring_stats stats;
	ssize_t got;
	void *p = items;

	switch (any_int(0, 12)) {
	case 0:
		got = (peal_sender_try_reserve)(tx, &p);
		fill_in(p, got);
		break;
	case 1:
		got = (peal_sender_wait)(tx, n, 0, &p);
		fill_in(p, got);
		break;
	case 2:
		peal_sender_commit(tx, n);
		break;
	case 3:
		got = peal_sender_free(tx);
		break;
	case 4:
		peal_sender_drain(tx, 0);
		break;
	case 5:
		peal_sender_arm(tx);
		break;
	case 6:
		peal_sender_hangup(tx);
		break;
	case 7:
		peal_sender_finish(tx);
		break;
	case 8:
		peal_sender_set_watermark(tx, n);
		break;
	case 9:
		peal_sender_set_spin(tx, eva_word);
		break;
	case 10:
		(peal_sender_reserve)(tx, n, &p);
		break;
	case 11:
		peal_sender_set_barriers(tx, any_bool());
		break;
	default:
		peal_sender_stats(tx, &stats);
	}
	check_end(&tx->end);
}

static void begin(uint64_t here, uint64_t known, bool twice)
{
	struct peal_sender tx;

	any_end(&tx.end, &own, &peer, items, true, twice);
	any_progress(&tx.end, here, known);
	call(&tx, eva_word);
}

void main(void)
{
	try_places(begin, &peer.position, true);
}
