/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The honest: two who talk both ways, and one who comes and goes. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include <peal/channel.h>

#include "hostile.h"

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void add(uint64_t *word, uint64_t n)
{
	__atomic_fetch_add(word, n, __ATOMIC_RELAXED);
}

/* The n-th item of a client, and what it gets back. */
uint64_t item_of(unsigned id, uint64_t n)
{
	return (n + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)id << 56;
}

void die_with_the_server(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void honest_hello(struct peal_hello *hello, unsigned id)
{
	*hello = (struct peal_hello){ .role = PEAL_BOTH,
				      .item_size = ITEM,
				      .capacity = 512,
				      .bells = id ? PEAL_BELLS_SOCKET
						  : PEAL_BELLS_EVENTFD };
	snprintf(hello->name, sizeof(hello->name), "honest %u", id);
}

/* There may be as many of its user as are allowed: it asks again. */
static void honest_connect(struct peal_channel *ch,
			   const struct peal_hello *hello)
{
	uint64_t end = now_ms() + WATCHDOG_MS;
	int ret;

	do {
		nap(500);
		ret = peal_connect(ch, field->address, hello, WATCHDOG_MS);
	} while (ret == -EAGAIN && now_ms() < end && !flag(&field->stop));
	if (ret < 0 && flag(&field->stop))
		exit(EXIT_SUCCESS);
	if (ret < 0)
		test_fail(__FILE__, __LINE__, "%s is turned away: %d (%s)",
			  hello->name, ret, ch->text);
}

static int send_some(struct peal_channel *ch, unsigned id, uint64_t *sent)
{
	uint64_t *items;
	ssize_t n = peal_sender_wait(&ch->sender, 1, WATCHDOG_MS, &items);

	if (n <= 0)
		return (int)n;
	if (n > 64)
		n = 64;
	for (ssize_t i = 0; i < n; i++)
		items[i] = item_of(id, (*sent)++);
	CHECK(peal_sender_commit(&ch->sender, (size_t)n) >= 0);
	return 1;
}

static int hear_some(struct peal_channel *ch, unsigned id, uint64_t *heard)
{
	const uint64_t *items;
	ssize_t n = peal_receiver_wait(&ch->receiver, 1, WATCHDOG_MS, &items);

	if (n <= 0)
		return (int)n;
	for (ssize_t i = 0; i < n; i++)
		CHECK(items[i] == ~item_of(id, (*heard)++));
	CHECK(peal_receiver_release(&ch->receiver, (size_t)n) >= 0);
	if (id < HONEST)
		add(&field->progress[id], (uint64_t)n);
	return 1;
}

/* Whoever is told yes is served: the first item comes back. */
static void begin(struct peal_channel *ch, const struct peal_hello *hello,
		  unsigned id, uint64_t *sent, uint64_t *heard)
{
	*sent = *heard = 0;
	honest_connect(ch, hello);
	CHECK_EQ(send_some(ch, id, sent), 1);
	CHECK_EQ(hear_some(ch, id, heard), 1);
}

void honest_talk(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;
	struct peal_hello hello;
	struct peal_channel ch;
	uint64_t sent, heard;

	die_with_the_server();
	AWAIT(flag(&field->listening));
	honest_hello(&hello, id);
	begin(&ch, &hello, id, &sent, &heard);
	while (!flag(&field->stop)) {
		CHECK_EQ(send_some(&ch, id, &sent), 1);
		CHECK_EQ(hear_some(&ch, id, &heard), 1);
		nap(200);
	}
	while (heard < sent)
		CHECK_EQ(hear_some(&ch, id, &heard), 1);
	peal_channel_finish(&ch);
}

void honest_visit(void *arg)
{
	struct peal_hello hello;
	struct peal_channel ch;
	uint64_t sent, heard;

	(void)arg;
	die_with_the_server();
	AWAIT(flag(&field->listening));
	honest_hello(&hello, HONEST);
	hello.bells = PEAL_BELLS_BY_TRUST;
	while (!flag(&field->stop)) {
		uint64_t came = count(&field->came);

		begin(&ch, &hello, HONEST, &sent, &heard);
		came = count(&field->came) - came;
		add(&field->ahead, came);
		if (came < count(&field->fewest))
			__atomic_store_n(&field->fewest, came,
					 __ATOMIC_RELEASE);
		while (heard < sent)
			CHECK_EQ(hear_some(&ch, HONEST, &heard), 1);
		peal_channel_finish(&ch);
		add(&field->visits, 1);
		nap(2000);
	}
}
