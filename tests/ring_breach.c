/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A peer that breaks the protocol: found out once, for good, without harm. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "fixtures/pair.h"

static bool fill_all(void *item, void *user)
{
	*(int *)item = *(int *)user;
	return true;
}

static bool take_all(const void *item, void *user)
{
	*(int *)user ^= *(const int *)item;
	return true;
}

/* -- one word that cannot be */

static void check_sender_is_broken(struct pair *p)
{
	int item = 0;
	int *room = NULL;

	CHECK_EQ(peal_sender_reserve(&p->tx, 1, &room), -EPROTO);
	CHECK_EQ(peal_sender_try_reserve(&p->tx, &room), -EPROTO);
	CHECK_EQ(peal_sender_wait(&p->tx, 1, -1, &room), -EPROTO);
	CHECK_EQ(peal_sender_commit(&p->tx, 1), -EPROTO);
	CHECK_EQ(peal_sender_put(&p->tx, &item, 1), -EPROTO);
	CHECK_EQ(peal_sender_each(&p->tx, 1, fill_all, &item), -EPROTO);
	CHECK_EQ(peal_sender_free(&p->tx), -EPROTO);
	CHECK(!peal_sender_arm(&p->tx));
	CHECK(room == NULL);
	CHECK_EQ(p->tx_page->state, 2);
	CHECK_EQ(rings(&p->data), 1);
	/* Whoever waits for room is told, whichever call has found it. */
	CHECK_EQ(rings(&p->space), 1);
	/* Neither hangup nor finish make it forget, nor ring again. */
	peal_sender_hangup(&p->tx);
	peal_sender_finish(&p->tx);
	CHECK_EQ(peal_sender_free(&p->tx), -EPROTO);
	CHECK_EQ(p->tx_page->state, 2);
	CHECK_EQ(rings(&p->data), 0);
}

static void check_receiver_is_broken(struct pair *p)
{
	const int *data = NULL;
	int item = 0;

	CHECK_EQ(peal_receiver_peek(&p->rx, &data), -EPROTO);
	CHECK_EQ(peal_receiver_wait(&p->rx, 1, -1, &data), -EPROTO);
	CHECK_EQ(peal_receiver_release(&p->rx, 1), -EPROTO);
	CHECK_EQ(peal_receiver_get(&p->rx, &item, 1), -EPROTO);
	CHECK_EQ(peal_receiver_each(&p->rx, 1, take_all, &item), -EPROTO);
	CHECK_EQ(peal_receiver_used(&p->rx), -EPROTO);
	CHECK(!peal_receiver_arm(&p->rx));
	CHECK(!peal_receiver_ended(&p->rx));
	CHECK(data == NULL);
	CHECK_EQ(p->rx_page->state, 2);
	CHECK_EQ(rings(&p->space), 1);
	peal_receiver_hangup(&p->rx);
	peal_receiver_finish(&p->rx);
	CHECK_EQ(peal_receiver_used(&p->rx), -EPROTO);
	CHECK_EQ(p->rx_page->state, 2);
	CHECK_EQ(rings(&p->space), 0);
}

/* Tail 10, head 6 of 8: both have looked. */
static void make_half_full(struct pair *p)
{
	pair_make(p, 8, sizeof(int));
	put_numbers(&p->tx, 0, 6);
	get_numbers(&p->rx, 0, 6);
	put_numbers(&p->tx, 6, 4);
	CHECK_EQ(peal_sender_free(&p->tx), 4);
	CHECK_EQ(peal_receiver_used(&p->rx), 4);
}

TEST(impossible_head_breaks_the_sender_for_good)
{
	static const uint64_t impossible[] = {
		11, /* ahead of the tail */
		1,  /* more than the capacity behind */
		5,  /* it moved backwards */
		UINT64_MAX, 10 + (UINT64_C(1) << 63), 6 - (UINT64_C(1) << 32),
		0,
	};

	for (size_t i = 0; i < sizeof(impossible) / sizeof(*impossible); i++) {
		struct pair p;

		make_half_full(&p);
		p.rx_page->position = impossible[i];
		CHECK_EQ(peal_sender_free(&p.tx), -EPROTO);
		/* Good behaviour comes too late. */
		p.rx_page->position = 6;
		check_sender_is_broken(&p);
		CHECK_EQ(p.tx_page->position, 10);
		pair_free(&p);
	}
}

TEST(impossible_tail_breaks_the_receiver_for_good)
{
	static const uint64_t impossible[] = {
		15, /* more than the capacity ahead */
		9,  /* it moved backwards */
		5,  /* behind the head */
		UINT64_MAX, 10 + (UINT64_C(1) << 63), 10 + (UINT64_C(1) << 32),
		0,
	};

	for (size_t i = 0; i < sizeof(impossible) / sizeof(*impossible); i++) {
		struct pair p;

		make_half_full(&p);
		p.tx_page->position = impossible[i];
		CHECK_EQ(peal_receiver_used(&p.rx), -EPROTO);
		p.tx_page->position = 10;
		check_receiver_is_broken(&p);
		CHECK_EQ(p.rx_page->position, 6);
		pair_free(&p);
	}
}

TEST(furthest_positions_that_can_be_are_no_error)
{
	struct pair p;

	make_half_full(&p);
	p.rx_page->position = 10;
	CHECK_EQ(peal_sender_free(&p.tx), 8);
	pair_free(&p);
	make_half_full(&p);
	p.tx_page->position = 14;
	CHECK_EQ(peal_receiver_used(&p.rx), 8);
	pair_free(&p);
}

TEST(unknown_state_breaks_the_other_end)
{
	static const uint64_t states[] = { 3, 0x100, UINT64_C(1) << 32,
					   UINT64_MAX };

	for (int i = 0; i < 4; i++) {
		struct pair p;
		const int *data;
		int *room;

		make_half_full(&p);
		p.tx_page->state = p.rx_page->state = states[i];
		CHECK_EQ(peal_sender_wait(&p.tx, 8, -1, &room), -EPROTO);
		p.rx_page->state = 0;
		check_sender_is_broken(&p);
		p.tx_page->state = states[i];
		CHECK_EQ(peal_receiver_wait(&p.rx, 8, -1, &data), -EPROTO);
		p.tx_page->state = 0;
		check_receiver_is_broken(&p);
		pair_free(&p);
	}
}

TEST(position_that_cannot_be_is_no_end_of_stream)
{
	struct pair p;
	const int *data;

	make_half_full(&p);
	p.tx_page->position = 15;
	p.tx_page->state = 1;
	CHECK_EQ(peal_receiver_wait(&p.rx, 8, -1, &data), -EPROTO);
	check_receiver_is_broken(&p);
	pair_free(&p);
	make_half_full(&p);
	p.tx_page->position = 9;
	peal_receiver_hangup(&p.rx);
	check_receiver_is_broken(&p);
	pair_free(&p);
}

TEST(receiver_is_told_that_the_sender_found_it_out)
{
	struct pair p;
	const int *data;

	make_half_full(&p);
	CHECK_EQ(peal_receiver_set_watermark(&p.rx, 8), 0);
	CHECK(peal_receiver_arm(&p.rx));
	p.rx_page->position = 11;
	CHECK_EQ(peal_sender_free(&p.tx), -EPROTO);
	CHECK_EQ(rings(&p.data), 1);
	CHECK(peal_receiver_wait(&p.rx, 8, -1, &data) > 0);
	get_numbers(&p.rx, 6, 4);
	CHECK(peal_receiver_ended(&p.rx));
	pair_free(&p);
}

TEST(sender_is_told_that_the_receiver_found_it_out)
{
	struct pair p;
	int *room;

	make_half_full(&p);
	CHECK_EQ(peal_sender_reserve(&p.tx, 8, &room), 0);
	p.tx_page->position = 15;
	CHECK_EQ(peal_receiver_used(&p.rx), -EPROTO);
	CHECK_EQ(rings(&p.space), 1);
	CHECK_EQ(peal_sender_wait(&p.tx, 8, -1, &room), -EPIPE);
	pair_free(&p);
}

TEST(wake_words_can_cause_bells_and_nothing_else)
{
	uint64_t seed = test_seed();
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	for (int i = 0; i < 10000; i++) {
		p.rx_page->wake = (uint64_t)i + test_random(&seed) % 16 - 8;
		p.tx_page->wake = test_random(&seed);
		put_numbers(&p.tx, i, 1);
		CHECK(rings(&p.data) <= 1);
		get_numbers(&p.rx, i, 1);
		CHECK(rings(&p.space) <= 1);
	}
	pair_free(&p);
}

/* -- pages of random bytes */

static void store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* A word that gets past some checks now and then. */
static uint64_t random_word(uint64_t *seed, uint64_t near)
{
	uint64_t word = test_random(seed);

	switch (test_random(seed) % 4) {
	case 0:
		return word;
	case 1:
		return word % 4;
	default:
		return near + word % 20 - 10;
	}
}

static void scribble(struct peal_page *page, uint64_t near, uint64_t *seed)
{
	uint64_t *words = (uint64_t *)page;

	switch (test_random(seed) % 8) {
	case 0:
		for (size_t i = 0; i < sizeof(*page) / sizeof(*words); i++)
			store(&words[i], test_random(seed));
		break;
	case 1:
		store(&page->state, random_word(seed, 0));
		break;
	case 2:
	case 3:
		store(&page->wake, random_word(seed, near));
		break;
	default:
		store(&page->position, random_word(seed, near));
	}
}

static void check_span(const struct pair *p, const void *span, ssize_t n)
{
	const char *from = span, *items = p->ring.items;

	if (n <= 0) {
		CHECK(n == 0 || n == -EPROTO || n == -EPIPE || n == -ETIMEDOUT);
		return;
	}
	CHECK(n <= 8);
	CHECK(from >= items);
	CHECK((from - items) % (ptrdiff_t)sizeof(int) == 0);
	CHECK(from + (size_t)n * sizeof(int) <= items + 8 * sizeof(int));
}

/* One call of a sender. @return false once it is broken */
static bool poke_sender(struct pair *p, uint64_t *seed)
{
	int items[8] = { 0 };
	size_t n = 1 + test_random(seed) % 8;
	ssize_t ret = 0;
	int *room;

	switch (test_random(seed) % 8) {
	case 0:
		ret = peal_sender_reserve(&p->tx, n, &room);
		break;
	case 1:
		ret = peal_sender_wait(&p->tx, n, 0, &room);
		break;
	case 2:
		ret = peal_sender_put(&p->tx, items, n);
		room = p->ring.items;
		break;
	case 3:
		ret = peal_sender_each(&p->tx, n, fill_all, items);
		room = p->ring.items;
		break;
	case 4:
		peal_sender_arm(&p->tx);
		ret = peal_sender_free(&p->tx);
		room = p->ring.items;
		break;
	case 5:
		CHECK_EQ(peal_sender_set_watermark(&p->tx, n), 0);
		return true;
	default:
		ret = peal_sender_try_reserve(&p->tx, &room);
		if (ret <= 0)
			break;
		check_span(p, room, ret);
		memset(room, 0x77, (size_t)ret * sizeof(*room));
		CHECK_EQ(peal_sender_commit(&p->tx, n % ((size_t)ret + 1)), 0);
	}
	check_span(p, room, ret);
	return ret != -EPROTO && ret != -EPIPE;
}

static bool poke_receiver(struct pair *p, uint64_t *seed)
{
	int items[8], sum = 0;
	size_t n = 1 + test_random(seed) % 8;
	ssize_t ret = 0;
	const int *data;

	switch (test_random(seed) % 8) {
	case 0:
		ret = peal_receiver_wait(&p->rx, n, 0, &data);
		break;
	case 1:
		ret = peal_receiver_get(&p->rx, items, n);
		data = p->ring.items;
		break;
	case 2:
		ret = peal_receiver_each(&p->rx, n, take_all, &sum);
		data = p->ring.items;
		break;
	case 3:
		peal_receiver_arm(&p->rx);
		ret = peal_receiver_used(&p->rx);
		data = p->ring.items;
		break;
	case 4:
		CHECK_EQ(peal_receiver_set_watermark(&p->rx, n), 0);
		return true;
	case 5:
		if (peal_receiver_ended(&p->rx))
			return false;
		return true;
	default:
		ret = peal_receiver_peek(&p->rx, &data);
		if (ret <= 0)
			break;
		check_span(p, data, ret);
		memcpy(items, data, (size_t)ret * sizeof(*data));
		CHECK_EQ(peal_receiver_release(&p->rx, n % ((size_t)ret + 1)),
			 0);
	}
	check_span(p, data, ret);
	return ret != -EPROTO && ret != -EPIPE;
}

/* Begin anew, somewhere; the peer's page is hostile all the while. */
static void revive(struct pair *p, bool sender, uint64_t *seed)
{
	struct peal_page *own = sender ? p->tx_page : p->rx_page;
	struct peal_page *peer = sender ? p->rx_page : p->tx_page;
	uint64_t start = test_random(seed) % 3 ? test_random(seed)
					       : test_random(seed) % 10 - 5;
	int ret;

	peal_end_unwatch(sender ? &p->tx.end : &p->rx.end);
	store(&own->state, 0);
	store(&own->position, start);
	store(&peer->state, 0);
	store(&peer->position, sender ? start - test_random(seed) % 9
				      : start + test_random(seed) % 9);
	do {
		ret = sender ? peal_sender_attach(&p->tx, &p->ring, &p->data,
						  &p->space)
			     : peal_receiver_attach(&p->rx, &p->ring, &p->data,
						    &p->space);
		CHECK(ret == 0 || ret == -EPROTO);
		if (ret < 0)
			store(&peer->position, start);
	} while (ret < 0);
}

TEST(random_pages_do_a_sender_no_harm)
{
	uint64_t seed = test_seed();
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	for (int i = 0; i < 20000; i++) {
		revive(&p, true, &seed);
		do
			scribble(p.rx_page, p.tx_page->position - 4, &seed);
		while (poke_sender(&p, &seed));
	}
	pair_free(&p);
}

TEST(random_pages_do_a_receiver_no_harm)
{
	uint64_t seed = test_seed();
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	memset(p.ring.items, 0x11, 8 * sizeof(int));
	for (int i = 0; i < 20000; i++) {
		revive(&p, false, &seed);
		do
			scribble(p.tx_page, p.rx_page->position + 4, &seed);
		while (poke_receiver(&p, &seed));
	}
	pair_free(&p);
}

struct scribbler {
	struct pair pair;
	bool sender; /* the victim */
	bool stop;
	uint64_t seed;
};

static void *scribble_on(void *arg)
{
	struct scribbler *s = arg;
	struct peal_page *peer = s->sender ? s->pair.rx_page : s->pair.tx_page;
	struct peal_page *own = s->sender ? s->pair.tx_page : s->pair.rx_page;
	uint64_t seed = ~s->seed;

	for (int i = 0; !__atomic_load_n(&s->stop, __ATOMIC_RELAXED); i++) {
		scribble(peer,
			 __atomic_load_n(&own->position, __ATOMIC_RELAXED) +
				 (s->sender ? -4 : 4),
			 &seed);
		if (i % 64 == 0)
			sched_yield(); /* where there is but one processor */
	}
	return NULL;
}

static void check_while_another_scribbles(bool sender)
{
	struct scribbler s = { .sender = sender, .seed = test_seed() };
	uint64_t seed = s.seed;
	pthread_t thread;

	pair_make(&s.pair, 8, sizeof(int));
	memset(s.pair.ring.items, 0x11, 8 * sizeof(int));
	CHECK_EQ(pthread_create(&thread, NULL, scribble_on, &s), 0);
	for (int i = 0; i < 4000; i++) {
		bool good = true;

		revive(&s.pair, sender, &seed);
		/* Not for ever: it may be stopped while all looks well. */
		for (int poke = 0; poke < 20 && good; poke++)
			good = sender ? poke_sender(&s.pair, &seed)
				      : poke_receiver(&s.pair, &seed);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	pair_free(&s.pair);
}

TEST(page_that_changes_all_the_time_does_a_sender_no_harm)
{
	check_while_another_scribbles(true);
}

TEST(page_that_changes_all_the_time_does_a_receiver_no_harm)
{
	check_while_another_scribbles(false);
}
