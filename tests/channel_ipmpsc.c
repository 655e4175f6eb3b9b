/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What ipmpsc's own tests ask for, of an inbox: messages of arbitrary sizes,
 * 1 to 5 senders in processes of their own, in order from each; with a slow
 * sender, a slow receiver, in place and copied by turns.
 */
#include <stdlib.h>

#include "fixtures/letters.h"

#define SENDERS 5
#define LARGEST 1024

struct plan {
	uint64_t seed;
	int senders;
	uint32_t messages; /* of each */
	size_t ring;	   /* bytes */
	int send_ms, receive_ms;
	unsigned sender_naps, receiver_naps; /* us at most, now and then */
	bool when_empty;
};

static struct plan plan;
static struct box box;
static int own;

/* Both sides know what comes. */
static uint64_t message_seed(int sender, uint32_t n)
{
	return plan.seed + ((uint64_t)sender << 32 | n) * 0x9e3779b97f4a7c15;
}

static size_t message_fill(char *to, int sender, uint32_t n)
{
	uint64_t seed = message_seed(sender, n);
	size_t size = test_random(&seed) % (LARGEST + 1);

	for (size_t i = 0; i < size; i++)
		to[i] = (char)(test_random(&seed) >> 56);
	return size;
}

static void sleep_us(uint64_t *seed, unsigned us)
{
	if (us && test_random(seed) % 4 == 0)
		usleep((useconds_t)(test_random(seed) % us));
}

static int send_one(struct peal_outbox *out, uint32_t n)
{
	static char data[LARGEST];
	char *room;
	int ret;

	if (plan.when_empty)
		return peal_outbox_send_when_empty(
			out, n, data, message_fill(data, own, n), plan.send_ms);
	if (n % 2)
		return peal_outbox_send(
			out, n, data, message_fill(data, own, n), plan.send_ms);
	ret = peal_outbox_reserve(out, LARGEST, plan.send_ms, &room);
	if (ret < 0)
		return ret;
	return peal_outbox_commit(out, n, message_fill(room, own, n));
}

static void run_sender(void *arg)
{
	uint64_t seed = plan.seed ^ (uint64_t)own << 48;
	struct peal_outbox out;
	char name[8];
	int ret;

	(void)arg;
	snprintf(name, sizeof(name), "%d", own);
	CHECK_EQ(peal_outbox_open(&out, box.address, name, NULL, plan.ring,
				  LONG),
		 0);
	for (uint32_t n = 0; n < plan.messages; n++) {
		sleep_us(&seed, plan.sender_naps);
		while ((ret = send_one(&out, n)) == -ETIMEDOUT)
			CHECK(plan.send_ms >= 0);
		CHECK_EQ(ret, 0);
	}
	CHECK_EQ(peal_outbox_close(&out, -1), 0);
}

static void check_one(const struct peal_letter *letter, uint32_t *next)
{
	static char expected[LARGEST];
	int sender = atoi(letter->from->hello.name);
	size_t size;

	CHECK(sender >= 0 && sender < plan.senders);
	CHECK_EQ(letter->kind, next[sender]);
	size = message_fill(expected, sender, next[sender]);
	CHECK_EQ(letter->size, size);
	CHECK(memcmp(letter->data, expected, size) == 0);
	next[sender]++;
}

/* @return 1, or 0 there was none in time */
static int receive_one(uint32_t n, uint32_t *next)
{
	static char data[LARGEST];
	struct peal_letter letter;
	int ret;

	if (n % 2)
		ret = peal_inbox_read(&box.inbox, plan.receive_ms, data,
				      sizeof(data), &letter);
	else
		ret = peal_inbox_receive(&box.inbox, plan.receive_ms, &letter);
	if (ret == -ETIMEDOUT) {
		CHECK(plan.receive_ms >= 0);
		return 0;
	}
	CHECK_EQ(ret, 1);
	check_one(&letter, next);
	if (n % 2 == 0)
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	return 1;
}

static void carry_out(void)
{
	uint32_t next[SENDERS] = { 0 }, n = 0;
	uint64_t seed = plan.seed;
	pid_t pids[SENDERS];

	box_address(&box);
	CHECK_EQ(box_open(&box, NULL), 0);
	for (own = 0; own < plan.senders; own++)
		pids[own] = test_fork(run_sender, NULL);
	while (n < (uint32_t)plan.senders * plan.messages) {
		sleep_us(&seed, plan.receiver_naps);
		n += (uint32_t)receive_one(n, next);
	}
	await_channels(&box, 0);
	for (int i = 0; i < plan.senders; i++) {
		CHECK_EQ(next[i], plan.messages);
		test_join(pids[i]);
	}
	get_nothing(&box);
	peal_inbox_close(&box.inbox);
}

TEST(arbitrary_messages_of_arbitrary_senders_in_arbitrary_rings)
{
	uint64_t seed = test_seed();

	for (int i = 0; i < 20; i++) {
		plan = (struct plan){
			.seed = test_random(&seed),
			.senders = 1 + (int)(test_random(&seed) % SENDERS),
			.messages = 1 + (uint32_t)(test_random(&seed) % 1000),
			.ring = 1 + test_random(&seed) % 16384,
			.send_ms = (int)(test_random(&seed) % 4) - 1,
			.receive_ms = (int)(test_random(&seed) % 4) - 1,
		};
		carry_out();
	}
}

TEST(slow_senders_and_a_receiver_with_timeouts)
{
	plan = (struct plan){
		.seed = test_seed(),
		.senders = 3,
		.messages = 200,
		.send_ms = -1,
		.receive_ms = 1,
		.sender_naps = 3000,
	};
	carry_out();
}

TEST(a_slow_receiver_and_senders_with_timeouts)
{
	plan = (struct plan){
		.seed = test_seed(),
		.senders = 3,
		.messages = 200,
		.ring = 1,
		.send_ms = 1,
		.receive_ms = -1,
		.receiver_naps = 3000,
	};
	carry_out();
}

TEST(messages_that_must_not_queue)
{
	plan = (struct plan){
		.seed = test_seed(),
		.senders = SENDERS,
		.messages = 300,
		.send_ms = 5,
		.receive_ms = -1,
		.when_empty = true,
	};
	carry_out();
}

TEST(five_senders_at_full_speed)
{
	plan = (struct plan){
		.seed = test_seed(),
		.senders = SENDERS,
		.messages = 10000,
		.send_ms = -1,
		.receive_ms = -1,
	};
	carry_out();
}
