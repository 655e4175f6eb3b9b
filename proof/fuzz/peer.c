/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <peal/doorbell.h>
#include <peal/mem.h>

#include "peer.h"

#if defined(__SANITIZE_ADDRESS__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#endif
#ifdef WATCHED
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#define BODY_MAX 2048 /* of a ring that is mapped once */
#define SHAPES_MAX 16
#define RINGS_WHERE_SHORT 3 /* two batches and an offer */

static _Alignas(4096) unsigned char memory[PEAL_RING_ITEMS_OFFSET + BODY_MAX];
static struct peal_mem twice[SHAPES_MAX];
static struct peal_doorbell data, space;
static struct peal_page shadow; /* what the peer has written */
static struct peer *striker;

static void store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* -- what the peer writes */

/* Is this position one that the honest end has to take? */
static bool can_be(const struct peer *p, uint64_t position)
{
	const struct peal_end *end = &p->honest.end;
	uint64_t limit = position + end->bias;

	if (!p->attached)
		return true; /* attaching says */
	return limit - end->position <= end->capacity &&
	       limit - end->position >= end->limit - end->position;
}

static void write_word(struct peer *p, uint64_t *word, uint64_t value)
{
	size_t offset =
		(size_t)((unsigned char *)word - (unsigned char *)p->page);

	if ((word == &p->page->position && !can_be(p, value)) ||
	    (word == &p->page->state && value > PEAL_STATE_BROKEN))
		p->lied = true;
	store(word, value);
	if (offset < sizeof(shadow))
		memcpy((unsigned char *)&shadow + offset, &value,
		       sizeof(value));
}

void fuzz_before_load(void);
void fuzz_before_load(void)
{
	struct peer *p = striker;
	uint64_t *word;

	if (!p || !p->strike_word || p->strike_after-- > 0)
		return;
	word = p->strike_word;
	p->strike_word = NULL;
	write_word(p, word, p->strike_value);
}

/* Often one that gets past some checks. */
static uint64_t some_position(struct peer *p)
{
	struct input *in = &p->in;
	uint64_t here = p->attached ? p->honest.end.position : p->own->position;
	uint64_t bias = p->sender ? p->ring.geometry.capacity : 0;

	switch (input_byte(in) % 8) {
	case 0:
		return input_bytes(in, 8);
	case 1:
		return here + input_nearby(in) - p->ring.geometry.capacity;
	case 2:
		return here + input_nearby(in) + p->ring.geometry.capacity;
	case 3:
		return here + input_nearby(in);
	default: /* one that can be */
		return here - bias +
		       input_below(in, p->ring.geometry.capacity + 1);
	}
}

static uint64_t some_header(struct peer *p)
{
	struct input *in = &p->in;
	uint64_t units = p->ring.geometry.capacity;

	switch (input_byte(in) % 8) {
	case 0:
		return input_bytes(in, 8);
	case 1: /* PEAL_MESSAGE_WRAP */
		return input_below(in, units + 2) << 32 | 0xffffffff;
	case 2:
		return input_below(in, 8 * units + 16);
	case 3:
		return 0xffffffff - input_below(in, 32);
	default:
		return (uint64_t)input_byte(in) << 32 | input_below(in, 24);
	}
}

/* Of the items, near where the honest end looks. */
static uint64_t *some_unit(struct peer *p)
{
	uint64_t *items = p->ring.items;
	uint64_t units = peal_geometry_body(&p->ring.geometry) / 8;
	uint64_t here = p->own->position;

	if (units == 0)
		return NULL;
	return &items[(here + input_below(&p->in, 32)) % units];
}

void peer_write(struct peer *p)
{
	struct peal_page *page = p->page;
	uint8_t what = input_byte(&p->in);
	uint64_t *word = NULL, value = 0;

	switch (what % 16) {
	case 0:
		word = &page->state;
		value = input_byte(&p->in) % 4;
		break;
	case 1:
		word = &page->elided;
		value = input_byte(&p->in) % 3;
		break;
	case 2:
		word = &page->barrier;
		value = input_byte(&p->in) % 3;
		break;
	case 3: /* anything else of it, or one of those */
		word = (uint64_t *)(void *)page +
		       input_below(&p->in, PEAL_PAGE_SIZE / 8);
		value = input_bytes(&p->in, 8);
		break;
	case 4:
	case 5:
	case 6:
		word = &page->wake;
		value = some_position(p);
		break;
	case 7:
	case 8:
	case 9:
	case 10:
		word = some_unit(p);
		value = some_header(p);
		break;
	default:
		word = &page->position;
		value = some_position(p);
	}
	if (!word)
		return;
	if (what < 128) {
		write_word(p, word, value);
		return;
	}
	p->strike_word = word;
	p->strike_value = value;
	p->strike_after = what / 16 % 4;
}

/* -- the ring */

static struct peal_geometry fit(const struct shape *shape)
{
	struct peal_geometry g = { .capacity = shape->capacity,
				   .item_size = shape->item_size };

	CHECK_EQ(peal_geometry_fit(&g, shape->twice ? peal_mem_page(0) : 0), 0);
	return g;
}

/* What takes system calls, once; bells are empty between two inputs. */
static void prepare(const struct shape *shapes, size_t n)
{
	if (data.kind)
		return;
	CHECK_EQ(peal_doorbell_init(&data, PEAL_DOORBELL_EVENTFD), 0);
	CHECK_EQ(peal_doorbell_init(&space, PEAL_DOORBELL_EVENTFD), 0);
	for (size_t i = 0; i < n; i++) {
		struct peal_geometry g = fit(&shapes[i]);

		CHECK(n <= SHAPES_MAX);
		if (shapes[i].twice)
			CHECK_EQ(peal_mem_create(&twice[i], "fuzz",
						 g.items_offset,
						 peal_geometry_body(&g),
						 PEAL_MEM_TWICE),
				 0);
	}
}

void peer_format(struct peal_ring *ring, const struct shape *shapes, size_t n,
		 size_t i)
{
	struct peal_geometry g = fit(&shapes[i]);
	size_t body = peal_geometry_body(&g);
	void *at = memory;

	prepare(shapes, n);
	if (shapes[i].twice) {
		at = twice[i].base;
	} else {
		CHECK(body <= BODY_MAX);
		ASAN_UNPOISON_MEMORY_REGION(memory, sizeof(memory));
		ASAN_POISON_MEMORY_REGION(memory + g.items_offset + body,
					  sizeof(memory) - g.items_offset -
						  body);
	}
	CHECK_EQ(peal_ring_format(ring, &g, at, g.items_offset + body), 0);
	memset(ring->items, 0, body < BODY_MAX ? body : BODY_MAX);
}

uint64_t peer_position(struct input *in)
{
	switch (input_byte(in) % 4) {
	case 0:
		return 0;
	case 1:
		return input_nearby(in); /* soon it runs over */
	case 2:
		return (UINT64_C(1) << 32) + input_nearby(in);
	default:
		return input_bytes(in, 8);
	}
}

static void attach(struct peer *p)
{
	uint64_t start = peer_position(&p->in);
	uint8_t how = input_byte(&p->in);
	int ret;

	store(&p->own->position, start);
	store(&p->page->position, start);
	memcpy(&shadow, p->page, sizeof(shadow));
	p->peer_bell = p->own_bell = NULL;
	if (how & 1) {
		p->peer_bell = p->sender ? &data : &space;
		p->own_bell = p->sender ? &space : &data;
	}
	for (how /= 2; how % 4; how--)
		peer_write(p);
	if (p->sender)
		ret = peal_sender_attach(&p->honest.tx, &p->ring, p->peer_bell,
					 p->own_bell);
	else
		ret = peal_receiver_attach(&p->honest.rx, &p->ring,
					   p->peer_bell, p->own_bell);
	CHECK(ret == 0 || ret == -EPROTO);
	p->attached = ret == 0;
	p->lied |= !can_be(p, p->page->position); /* written since */
}

void peer_start(struct peer *p, bool sender, const struct shape *shapes,
		size_t n)
{
	p->sender = sender;
	peer_format(&p->ring, shapes, n, input_below(&p->in, n));
	p->own = sender ? p->ring.sender_page : p->ring.receiver_page;
	p->page = sender ? p->ring.receiver_page : p->ring.sender_page;
	striker = p;
	attach(p);
	peer_before(p);
}

static void empty(const struct peal_doorbell *bell)
{
	CHECK(peal_doorbell_clear(bell) >= 0);
}

void peer_end(struct peer *p)
{
	striker = NULL;
	empty(&data);
	empty(&space);
	/* The peer alone writes its page. */
	CHECK(memcmp(p->page, &shadow, sizeof(shadow)) == 0);
}

/* -- what has to hold */

void peer_before(struct peer *p)
{
	const struct peal_end *end = &p->honest.end;

	if (!p->attached)
		return;
	p->here = end->position;
	p->known = end->limit - end->position;
	p->doorbells = end->stats.doorbells;
	p->error = end->error;
}

void peer_after(struct peer *p)
{
	const struct peal_end *end = &p->honest.end;
	uint64_t state = PEAL_STATE_OPEN;

	CHECK(end->limit - end->position <= end->capacity);
	CHECK(end->position == p->own->position);
	CHECK(end->position - p->here <= 2 * end->capacity);
	CHECK(end->stats.doorbells - p->doorbells <= RINGS_WHERE_SHORT);
	CHECK(end->error == 0 || end->error == -EPROTO || end->error == -EPIPE);
	if (!p->lied)
		CHECK(end->error != -EPROTO);
	if (end->error)
		state = end->error == -EPIPE ? PEAL_STATE_FINISHED
					     : PEAL_STATE_BROKEN;
	CHECK_EQ(p->own->state, state);
	if (!p->error)
		return;
	/* For good, and nobody hears of it again. */
	CHECK_EQ(end->error, p->error);
	CHECK(end->position == p->here);
	CHECK(end->stats.doorbells == p->doorbells);
}

void peer_published(const struct peer *p, uint64_t n, bool is_short)
{
	const struct peal_end *end = &p->honest.end;
	bool crossed = n > 0 && end->position - p->page->wake < n;

	uint64_t rung = end->stats.doorbells - p->doorbells;

	CHECK(end->position == p->here + n);
	if (end->error)
		return;
	/* A sender that falls short arms, may ring a receiver that waits for
	 * more than fits, and may publish a second batch. The peer may store
	 * another wake position between the batches. */
	if (is_short && p->peer_bell) {
		CHECK(rung <= RINGS_WHERE_SHORT);
		return;
	}
	CHECK_EQ(rung, crossed && p->peer_bell);
}

void peer_span(const struct peer *p, const void *span, ssize_t n)
{
	const struct peal_geometry *g = &p->ring.geometry;
	const unsigned char *from = span, *items = p->ring.items;
	size_t body = peal_geometry_body(g);
	size_t size = g->flags & PEAL_RING_TWICE ? 2 * body : body;

	CHECK(n > 0 && (uint64_t)n <= g->capacity);
	CHECK((uint64_t)n <= p->honest.end.limit - p->honest.end.position);
	CHECK(from >= items && from < items + body);
	CHECK((size_t)(from - items) % g->item_size == 0);
	CHECK((size_t)n * g->item_size <= size - (size_t)(from - items));
}
