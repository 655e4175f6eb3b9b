/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Words in shared memory: each of the enemy's page, those of the server's page,
 * and the items.
 */
#define _GNU_SOURCE
#include <sched.h>

#include <peal/channel.h>

#include "fixtures/hostile.h"

/* The page of an end begins so far before its position. */
static struct peal_page *page_of(const uint64_t *position)
{
	return (struct peal_page *)((uintptr_t)position -
				    offsetof(struct peal_page, position));
}

static uint64_t *find(struct peal_page *p, enum word word)
{
	switch (word) {
	case POSITION:
		return &p->position;
	case WAKE:
		return &p->wake;
	case STATE:
		return &p->state;
	case COUNTS:
		return p->counts;
	default:
		return &p->header.magic;
	}
}

static size_t width(enum word word)
{
	if (word == COUNTS)
		return 5;
	return word == HEADER ? sizeof(struct peal_header) / 8 : 1;
}

static void store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static uint64_t falsify(const struct attack *a, uint64_t honest, int round,
			uint64_t *random)
{
	switch (a->how) {
	case BACKWARDS:
		return a->word == STATE ? PEAL_STATE_FINISHED
					: honest - 1 - (uint64_t)round;
	case AHEAD:
		return a->word == STATE ? UINT64_MAX - (uint64_t)round
					: honest + 513 + (uint64_t)round * 512;
	case NAMED:
		return (uint64_t)a->n;
	default: /* and for a state nothing that it may be */
		return test_random(random) | UINT64_C(1) << 62;
	}
}

/* Both the word that is true and the lie are there for the server to see. */
static void flicker(uint64_t *word, uint64_t lie)
{
	uint64_t truth = *word;

	for (int i = 0; i < 20000 && !ended(1); i++) {
		store(word, i & 1 ? truth : lie);
		if (i % 512 == 0)
			sched_yield();
	}
	store(word, lie);
}

#define ROUNDS 8 /* bells that nobody minds */

static void attack_page(const struct attack *a, struct peal_channel *ch,
			struct peal_page *p, uint64_t *random)
{
	uint64_t *words = find(p, a->word);
	uint64_t honest = words[0];

	for (int i = 0; i < ROUNDS && !ended(1); i++) {
		for (size_t j = 0; j < width(a->word); j++) {
			uint64_t lie = falsify(a, honest, i, random);

			if (a->how == FLICKERING)
				flicker(&words[j], lie);
			else
				store(&words[j], lie);
		}
		enemy_ring(ch);
		sleep_us(300);
	}
	/* One that has been finished is not to come back. */
	if (a->how == BACKWARDS && a->word == STATE) {
		AWAIT(ended(1));
		store(words, PEAL_STATE_OPEN);
	}
}

static void own_words(const struct attack *a)
{
	uint64_t random = test_seed();
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	if (a->role & PEAL_SENDER)
		attack_page(a, &ch, page_of(&ch.sender.end.own->position),
			    &random);
	if (a->role & PEAL_RECEIVER)
		attack_page(a, &ch, page_of(&ch.receiver.end.own->position),
			    &random);
}

static void scramble(struct peal_page *p, uint64_t *random)
{
	uint64_t *words = (uint64_t *)p;

	for (size_t i = 0; i < sizeof(*p) / 8; i++)
		store(&words[i], test_random(random));
}

static void servers_page(const struct attack *a)
{
	uint64_t random = test_seed();
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	for (int i = 0; i < ROUNDS; i++) {
		if (a->role & PEAL_SENDER)
			scramble(page_of(&ch.sender.end.peer->position),
				 &random);
		if (a->role & PEAL_RECEIVER)
			scramble(page_of(&ch.receiver.end.peer->position),
				 &random);
		enemy_ring(&ch);
		sleep_us(300);
	}
}

/* It publishes, and goes on writing what it has published. */
static void items(const struct attack *a)
{
	uint64_t random = test_seed();
	struct peal_channel ch;
	uint64_t *room;

	enemy_channel(&ch, a->role, a->bells);
	for (int i = 0; i < 200; i++) {
		uint64_t *all = (uint64_t *)ch.sender.end.items;

		if (peal_sender_reserve(&ch.sender, 1, &room) > 0)
			peal_sender_commit(&ch.sender, 1);
		for (int j = 0; j < 512; j++)
			store(&all[j], test_random(&random));
	}
	AWAIT(count(&field->taken) > 100);
}

static void servers_items(const struct attack *a)
{
	uint64_t random = test_seed();
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	for (int i = 0; i < 50; i++) {
		uint64_t *all = (uint64_t *)ch.receiver.end.items;

		for (int j = 0; j < 512; j++)
			store(&all[j], test_random(&random));
		enemy_exchange(&ch);
	}
}

/* Its position is in order, and its wake word has the server ring each time. */
static void wake_each_time(const struct attack *a)
{
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	for (int i = 0; i < 500; i++) {
		struct peal_end *end = &ch.receiver.end;

		AWAIT(peal_receiver_used(&ch.receiver) ==
		      (ssize_t)end->capacity);
		store(&end->own->wake, end->peer->position + 1);
		peal_receiver_release(&ch.receiver, 1);
	}
}

/* One commit of all items there are, and another, faster than anybody reads. */
static void overrun(const struct attack *a)
{
	struct peal_channel ch;
	uint64_t *position;

	enemy_channel(&ch, a->role, a->bells);
	position = &ch.sender.end.own->position;
	for (int i = 0; i < 1000 && !ended(1); i++) {
		store(position, *position + 512);
		enemy_ring(&ch);
	}
}

#define WHO_SENDS .role = PEAL_SENDER
#define WHO_RECEIVES .role = PEAL_RECEIVER
#define WHO_DOES_BOTH .role = PEAL_BOTH
#define ON_SOCKET .bells = PEAL_DOORBELL_SOCKET
/* clang-format off */
#define ROW(name_, expect_, word_, how_, ...)                                  \
	{ .name = name_, .run = own_words, .expect = expect_, .word = word_,   \
	  .how = how_, __VA_ARGS__ }
#define THREE(text, expect, word, how)                                         \
	ROW("a sender's " text, expect, word, how, WHO_SENDS),                 \
	ROW("a receiver's " text, expect, word, how, WHO_RECEIVES),            \
	ROW("in both rings the " text ", with socket bells", expect, word,     \
	    how, WHO_DOES_BOTH, ON_SOCKET)

const struct attack hostile_words[] = {
	THREE("position is random", -EPROTO, POSITION, RANDOM),
	THREE("position moves backwards", -EPROTO, POSITION, BACKWARDS),
	THREE("position is far ahead", -EPROTO, POSITION, AHEAD),
	THREE("position changes while it is read", -EPROTO, POSITION,
	      FLICKERING),
	THREE("wake word is random", HARMLESS, WAKE, RANDOM),
	THREE("wake word moves backwards", HARMLESS, WAKE, BACKWARDS),
	THREE("wake word is far ahead", HARMLESS, WAKE, AHEAD),
	THREE("wake word changes while it is read", HARMLESS, WAKE,
	      FLICKERING),
	THREE("state is random", -EPROTO, STATE, RANDOM),
	THREE("state is beyond all states", -EPROTO, STATE, AHEAD),
	THREE("state changes while it is read", -EPROTO, STATE, FLICKERING),
	ROW("a sender that has finished comes back to life", 0, STATE,
	    BACKWARDS, WHO_SENDS),
	ROW("a receiver that has finished comes back to life", 0, STATE,
	    BACKWARDS, WHO_RECEIVES),
	ROW("a sender says that the server has broken the protocol", -EPROTO,
	    STATE, NAMED, WHO_SENDS, .n = PEAL_STATE_BROKEN),
	ROW("a receiver says that the server has broken the protocol",
	    -EPROTO, STATE, NAMED, WHO_RECEIVES, .n = PEAL_STATE_BROKEN),
	THREE("counts are random", HARMLESS, COUNTS, RANDOM),
	THREE("header is random", HARMLESS, HEADER, RANDOM),
	{ .name = "a sender scrambles the server's page",
	  .run = servers_page, .expect = HARMLESS, WHO_SENDS },
	{ .name = "a receiver scrambles the server's page",
	  .run = servers_page, .expect = HARMLESS, WHO_RECEIVES },
	{ .name = "a client scrambles both of the server's pages",
	  .run = servers_page, .expect = HARMLESS, WHO_DOES_BOTH, ON_SOCKET },
	{ .name = "a sender changes items that it has published",
	  .run = items, .expect = HARMLESS, WHO_SENDS },
	{ .name = "a receiver writes the items that the server publishes",
	  .run = servers_items, .expect = HARMLESS, WHO_RECEIVES },
	{ .name = "a receiver has the server ring for each item",
	  .run = wake_each_time, .expect = HARMLESS, WHO_RECEIVES },
	{ .name = "a receiver has the server ring a socket that it never reads",
	  .run = wake_each_time, .expect = HARMLESS, WHO_RECEIVES, ON_SOCKET },
	{ .name = "a sender overruns the ring", .run = overrun,
	  .expect = -EPROTO, WHO_SENDS },
	{ 0 },
};
