/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A ring of an answer of which nothing is known, on its way through the client,
 * and pages that whoever made them goes on writing. Of the capacity each power
 * of two is tried, and all between two of them, as Eva does not know powers
 * from other numbers; of the texts some, as in hello.c.
 */
#include <string.h>

#include "../../channel/internal.h"
#include "../../ring/internal.h"
#include "any.h"

const void *eva_position;
uint64_t eva_first;
bool eva_told;

#define ITEM 8
#define HUGE_PAGE (2u << 20)
#define BODY_MAX (SIZE_MAX / 4)

extern const struct peal_wire_ring any_ring;
extern const struct peal_page pages[2];

static const struct peal_hello hello = { .role = PEAL_SENDER,
					 .item_size = ITEM,
					 .capacity = 512,
					 .tag = "sample/1",
					 .name = "fuzz" };

/* -- the pages' texts, which are read a word at a time */

enum says {
	SAYS_SO, /* what it should */
	SAYS_ELSE,
	SAYS_FOR_EVER,
	SAYS
};

static enum says said[2];
static int where; /* the page and the word of the text that is read */

bool eva_is_record(const uint64_t *word)
{
	//@ loop unroll 32;
	for (int i = 0; i < 32; i++) {
		const struct peal_header *h = &pages[i / 16].header;

		where = i;
		if ((const char *)word == h->tag + 8 * (i % 16))
			return true;
	}
	return false;
}

uint64_t eva_record(void)
{
	char text[8] = "";
	uint64_t word;

	switch (said[where / 16]) {
	case SAYS_FOR_EVER:
		memset(text, 'x', sizeof(text));
		break;
	case SAYS_ELSE:
		text[0] = 'x';
		break;
	default:
		if (where % 16 == 0)
			memcpy(text, hello.tag, 8);
		if (where % 16 == 8)
			memcpy(text, hello.name, 8);
	}
	memcpy(&word, text, sizeof(word));
	return word;
}

/* -- the system */

unsigned peal_socket_drain_every(int fd, unsigned ends)
{
	(void)fd;
	(void)ends;
	return (unsigned)any_int(0, 32);
}

int close(int fd)
{
	(void)fd;
	return 0;
}

size_t peal_mem_page(unsigned flags)
{
	return flags & PEAL_MEM_HUGE_2M ? HUGE_PAGE : 4096;
}

/* Here the pages come in: by then everything has been judged. */
int peal_mem_open(struct peal_mem *mem, int fd, size_t body_offset, size_t body,
		  unsigned flags)
{
	//@ assert fd: fd >= 0;
	/*@ assert offset: body_offset == PEAL_RING_ITEMS_OFFSET ||
			   body_offset == HUGE_PAGE; */
	//@ assert body: 0 < body <= BODY_MAX;
	//@ assert pages: body % 4096 == 0;
	if (any_bool() || body_offset != PEAL_RING_ITEMS_OFFSET)
		return any_int(-133, -1);
	*mem = (struct peal_mem){ .base = (void *)pages,
				  .body_offset = body_offset,
				  .body = body,
				  .flags = flags };
	return 0;
}

int peal_mem_seal(struct peal_mem *mem)
{
	(void)mem;
	return any_error();
}

int peal_mem_fill(struct peal_mem *mem, size_t *filled, size_t most)
{
	(void)mem;
	(void)filled;
	(void)most;
	return any_int(-133, 1);
}

void peal_mem_close(struct peal_mem *mem)
{
	memset(mem, 0, sizeof(*mem));
}

int peal_doorbell_borrow(struct peal_doorbell *bell,
			 enum peal_doorbell_kind kind, int wait_fd, int ring_fd)
{
	//@ assert bell: wait_fd >= 0 && ring_fd >= 0;
	*bell = (struct peal_doorbell){ .wait_fd = wait_fd,
					.ring_fd = ring_fd,
					.kind = kind };
	return any_error();
}

int peal_doorbell_init(struct peal_doorbell *bell, enum peal_doorbell_kind kind)
{
	return peal_doorbell_borrow(bell, kind, 7, 7);
}

void peal_doorbell_close(struct peal_doorbell *bell)
{
	memset(bell, 0, sizeof(*bell));
}

/* -- all of them */

static void any_text(char *text, size_t size, size_t length)
{
	//@ loop unroll PEAL_TEXT;
	for (size_t i = 0; i < size; i++)
		text[i] = (char)(i < length ? any_int(1, 127) : 0);
}

static const int fds[] = { 3, 4, 5 };

static void open_ring(uint64_t capacity, size_t tag, int socket)
{
	struct peal_geometry wanted;
	struct peal_wire_ring ring = any_ring;
	struct peal_channel_ring cr;
	char text[PEAL_TEXT] = "";
	uint64_t items_offset;

	ring.capacity = capacity;
	if (tag == 0)
		memcpy(ring.tag, hello.tag, 64);
	else
		any_text(ring.tag, 64, tag);
	peal_hello_geometry(&wanted, &hello, false);
	if (peal_channel_ring_open(&cr, &ring, &wanted, fds, socket, text) < 0)
		return;
	//@ assert items: cr.ring.geometry.item_size == ITEM;
	items_offset = cr.ring.geometry.items_offset;
	//@ assert place: items_offset == PEAL_RING_ITEMS_OFFSET;
	//@ assert twice: cr.ring.geometry.flags == PEAL_RING_TWICE;
	//@ assert size: cr.ring.geometry.capacity * ITEM == cr.mem.body;
	//@ assert enough: cr.ring.geometry.capacity >= hello.capacity;
}

void main(void)
{
	open_ring(0, 0, 5);
	//@ loop unroll 64;
	for (int i = 0; i < 64; i++) {
		uint64_t power = UINT64_C(1) << i;

		open_ring(power, 0, 5);
		if (i > 0)
			open_ring(any_between(power + 1, power + power - 1), 0,
				  5);
	}
	open_ring(1024, 0, -1);
	open_ring(1024, 1, 5);
	open_ring(1024, 63, 5);
	open_ring(1024, 64, 5);
	//@ loop unroll SAYS * SAYS;
	for (int j = 0; j < SAYS * SAYS; j++) {
		said[0] = (enum says)(j / SAYS);
		said[1] = (enum says)(j % SAYS);
		open_ring(1024, 0, 5);
	}
}
