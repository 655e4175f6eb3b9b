/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An inbox with an enemy among its senders. The others go on in each case, and
 * what the enemy writes leads nowhere but out.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "fixtures/letters.h"

static struct box box;
static struct peal_outbox honest;
static struct peal_channel enemy;

static struct {
	int left, reason;
} enemies;

static bool is_enemy(const struct peal_channel *from)
{
	return strcmp(from->hello.name, "enemy") == 0;
}

static void on_left(const struct peal_channel *from, int reason, void *user)
{
	(void)user;
	if (!is_enemy(from))
		return;
	enemies.left++;
	enemies.reason = reason;
}

static void open_both(bool oldest)
{
	CHECK_EQ(box_open(&box,
			  &(struct peal_inbox_options){ .on_left = on_left,
							.oldest = oldest }),
		 0);
	join(&box, &honest, "honest");
	join_raw(&box, &enemy, "enemy", oldest);
}

static void close_all(void)
{
	peal_outbox_close(&honest, 0);
	peal_channel_close(&enemy);
	peal_inbox_close(&box.inbox);
}

/* The honest one's messages arrive; those of the enemy may, in between. */
static void check_honest(int n)
{
	struct peal_letter letter;

	put_text(&honest, "honest");
	for (; n > 0; n--) {
		CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
		if (!is_enemy(letter.from)) {
			check_text(&letter, "honest");
			put_text(&honest, "honest");
		}
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	}
	do
		CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
	while (peal_inbox_release(&box.inbox, &letter) == 0 &&
	       is_enemy(letter.from));
}

static void await_enemy_left(void)
{
	while (enemies.left == 0)
		check_honest(1);
}

/* -- single words */

static uint64_t *unit(uint64_t position)
{
	struct peal_end *end = &enemy.sender.end;

	return (uint64_t *)(void *)(end->items + 8 * (position & end->mask));
}

struct breach {
	uint64_t header;
	int published; /* units */
};

static void break_in(const struct breach *breach, int before)
{
	struct peal_sender *tx = &enemy.sender;
	struct peal_letter letter;
	void *room;

	open_both(false);
	for (int i = 0; i < before; i++) {
		CHECK_EQ(peal_message_send(tx, 5, "12345678", 8, 0), 0);
		CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
		CHECK(memcmp(letter.data, "12345678", 8) == 0);
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	}
	CHECK(peal_sender_reserve(tx, (size_t)breach->published, &room) > 0);
	__atomic_store_n(unit(tx->end.position), breach->header,
			 __ATOMIC_RELAXED);
	CHECK_EQ(peal_sender_commit(tx, (size_t)breach->published), 0);
	await_enemy_left();
	CHECK_EQ(enemies.reason, -EPROTO);
	check_honest(3);
	memset(&enemies, 0, sizeof(enemies));
	close_all();
}

TEST(impossible_lengths_are_the_end_of_their_sender_alone)
{
	static const struct breach breaches[] = {
		{ 1, 1 },
		{ 8, 1 },
		{ 9, 2 },
		{ 4096, 512 },
		{ 4089, 512 },
		{ 0x7fffffff, 512 },
		{ 0x80000000, 512 },
		{ 0xfffffff8, 512 },
		{ 0xfffffff9, 512 },
		{ 0xfffffffe, 512 },
		{ 0xffffffff, 1 },
		{ UINT64_MAX, 512 },
		{ UINT64_C(512) << 32 | PEAL_MESSAGE_WRAP, 512 },
		{ UINT64_C(511) << 32 | PEAL_MESSAGE_WRAP, 512 },
		{ UINT64_C(1) << 32 | PEAL_MESSAGE_WRAP, 1 },
	};

	for (size_t i = 0; i < sizeof(breaches) / sizeof(*breaches); i++) {
		break_in(&breaches[i], 0);
		break_in(&breaches[i], 200); /* somewhere in the ring */
	}
}

TEST(messages_without_stamps_where_they_are_due_are_the_end)
{
	for (size_t size = 0; size < 8; size++) {
		uint64_t stamp = 1;

		open_both(true);
		CHECK_EQ(peal_message_send(&enemy.sender, 5, &stamp, 8, 0), 0);
		CHECK_EQ(peal_message_send(&enemy.sender, 5, &stamp, size, 0),
			 0);
		await_enemy_left();
		CHECK_EQ(enemies.reason, -EPROTO);
		check_honest(3);
		memset(&enemies, 0, sizeof(enemies));
		close_all();
	}
}

/* -- while its message is borrowed */

static void borrow(struct peal_letter *letter)
{
	open_both(false);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(peal_message_send(&enemy.sender, 5, "12345678", 8, 0),
			 0);
	CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, letter), 1);
	CHECK(is_enemy(letter->from));
}

static void give_back(struct peal_letter *letter, const char *text)
{
	CHECK_EQ(letter->size, 8);
	CHECK(memcmp(letter->data, text, 8) == 0);
	CHECK_EQ(letter->kind, 5);
	CHECK(is_enemy(letter->from));
	CHECK_EQ(peal_inbox_release(&box.inbox, letter), 0);
}

TEST(what_is_borrowed_outlives_its_sender)
{
	struct peal_letter letter;

	borrow(&letter);
	peal_channel_close(&enemy);
	give_back(&letter, "12345678");
	/* The others of it come, too. */
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
		give_back(&letter, "12345678");
	}
	await_enemy_left();
	CHECK_EQ(enemies.reason, 0);
	close_all();
}

/* Every word of its ring but that of the first message. */
static void break_all(void)
{
	for (uint64_t i = 0; i < 512; i++)
		if (i != 1)
			*unit(i) = UINT64_MAX;
	__atomic_store_n(&enemy.sender.end.own->position, UINT64_C(1) << 40,
			 __ATOMIC_RELEASE);
	peal_end_ring(&enemy.sender.end);
}

TEST(a_breach_while_a_message_is_borrowed_is_found_later)
{
	struct peal_letter letter;

	borrow(&letter);
	break_all();
	give_back(&letter, "12345678");
	await_enemy_left();
	CHECK_EQ(enemies.reason, -EPROTO);
	check_honest(3);
	close_all();
}

TEST(a_message_that_changes_while_it_is_borrowed_keeps_its_size)
{
	struct peal_letter letter;

	borrow(&letter);
	*unit(0) = 4000;
	memcpy(unit(1), "abcdefgh", 8);
	give_back(&letter, "abcdefgh");
	CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
	give_back(&letter, "12345678");
	CHECK_EQ(enemies.left, 0);
	close_all();
}

TEST(a_sender_that_goes_while_its_message_was_too_large_takes_nothing_along)
{
	struct peal_letter letter;
	char text[4];

	borrow(&letter);
	give_back(&letter, "12345678");
	CHECK_EQ(peal_inbox_read(&box.inbox, 0, text, 4, &letter), -EMSGSIZE);
	*unit(4) = UINT64_MAX; /* the third */
	peal_channel_close(&enemy);
	/* The loop hears of it, with the second not taken. */
	for (int i = 0; i < 5; i++)
		CHECK(peal_reactor_run_once(&box.inbox.own, 1) >= 0);
	CHECK_EQ(enemies.left, 0);
	CHECK_EQ(peal_inbox_receive(&box.inbox, 0, &letter), 1);
	give_back(&letter, "12345678");
	await_enemy_left();
	CHECK_EQ(enemies.reason, -EPROTO);
	close_all();
}

TEST(a_breach_takes_along_a_message_that_was_too_large)
{
	struct peal_letter letter;
	char text[4];

	borrow(&letter);
	give_back(&letter, "12345678");
	CHECK_EQ(peal_inbox_read(&box.inbox, 0, text, 4, &letter), -EMSGSIZE);
	break_all();
	while (enemies.left == 0)
		CHECK(peal_reactor_run_once(&box.inbox.own, LONG) >= 0);
	CHECK_EQ(enemies.reason, -EPROTO);
	get_nothing(&box);
	check_honest(3);
	close_all();
}

/* -- all words at all times */

struct mutator {
	uint64_t seed;
	bool stop;
};

/* In this process, so that it shares the ring's memory as the enemy would. */
static int mutate(void *arg)
{
	static const uint32_t lengths[] = {
		0, 1, 8, 64, 4000, 4088, 0xffffffff, 0x80000000
	};
	struct mutator *m = arg;

	while (!__atomic_load_n(&m->stop, __ATOMIC_RELAXED)) {
		uint64_t r = test_random(&m->seed);
		uint64_t header = test_random(&m->seed) << 32 |
				  lengths[r >> 32 & 7];

		if (r >> 40 & 1)
			header = (header & 0xffffffff00000000) | (r >> 20 & 63);
		__atomic_store_n(unit(r & 511), header, __ATOMIC_RELAXED);
	}
	return 0;
}

/* Read all of it, where it says it is. @return it was the honest one's */
static bool read_all(const struct peal_letter *letter, bool in_place)
{
	static char copy[4088];

	CHECK(letter->size <= sizeof(copy));
	memcpy(copy, letter->data, letter->size);
	__asm__ volatile("" : : "r"(copy) : "memory"); /* it is used */
	if (in_place)
		CHECK_EQ((uintptr_t)letter->data % 8, 0);
	return !is_enemy(letter->from);
}

/* @return there was one */
static bool take_one(bool copied)
{
	static char data[4088];
	struct peal_letter letter;
	int ret;

	if (copied)
		ret = peal_inbox_read(&box.inbox, 0, data, sizeof(data),
				      &letter);
	else
		ret = peal_inbox_receive(&box.inbox, 0, &letter);
	if (ret == -ETIMEDOUT)
		return false;
	CHECK_EQ(ret, 1);
	if (read_all(&letter, !copied)) {
		CHECK_EQ(letter.size, 6);
		CHECK(memcmp(letter.data, "honest", 6) == 0);
	}
	if (!copied)
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	return true;
}

static void one_siege(uint64_t seed)
{
	static const char data[128];
	struct mutator m = { .seed = seed };
	struct peal_letter letter;
	struct task task;
	int rounds = 20000, next = 0;

	enemies.left = 0;
	join_raw(&box, &enemy, "enemy", box.inbox.options.oldest);
	task_start(&task, mutate, &m);
	while (enemies.left == 0 && rounds-- > 0) {
		bool copied = rounds % 3 == 0;

		peal_message_send(&enemy.sender, 1, data, 8 + seed % 100, 0);
		if (rounds % 2)
			CHECK_EQ(peal_outbox_send(&honest, (uint32_t)next++,
						  "honest", 6, 0),
				 0);
		for (int i = 0; i < 3 && take_one(copied); i++)
			;
	}
	__atomic_store_n(&m.stop, true, __ATOMIC_RELAXED);
	CHECK_EQ(pthread_join(task.thread, NULL), 0);
	if (enemies.left)
		CHECK_EQ(enemies.reason, -EPROTO);
	peal_channel_close(&enemy);
	while (peal_inbox_receive(&box.inbox, 0, &letter) == 1)
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	await_channels(&box, 1);
}

static void besiege(bool oldest)
{
	uint64_t seed = test_seed();

	CHECK_EQ(box_open(&box,
			  &(struct peal_inbox_options){ .on_left = on_left,
							.oldest = oldest }),
		 0);
	join(&box, &honest, "honest");
	for (int i = 0; i < 40; i++)
		one_siege(test_random(&seed));
	close_all();
}

TEST(lengths_and_kinds_that_change_under_our_eyes_lead_nowhere)
{
	besiege(false);
}

TEST(stamps_that_change_under_our_eyes_lead_nowhere)
{
	besiege(true);
}

/* -- coming and going */

static void come_and_go(void *arg)
{
	struct peal_outbox out;

	(void)arg;
	for (uint32_t i = 0;; i++) {
		if (peal_outbox_open(&out, box.address, "enemy", NULL, 1,
				     1000) < 0)
			continue;
		if (i % 3 == 0)
			peal_outbox_send(&out, 1, "bye", 3, 0);
		if (i % 2)
			peal_outbox_close(&out, 0);
		else /* without a word */
			peal_channel_close(&out.channel);
	}
}

/* They may have all the places for a moment. */
static void join_again(void)
{
	struct joining j = { .out = &honest,
			     .address = box.address,
			     .name = "honest" };
	struct peal_letter letter;
	struct task task;

	peal_outbox_close(&honest, 0);
	do {
		task_start(&task, join_run, &j);
		while (!task_done(&task)) {
			if (peal_inbox_receive(&box.inbox, 1, &letter) != 1)
				continue;
			CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
		}
		CHECK_EQ(pthread_join(task.thread, NULL), 0);
	} while (task.ret == -EAGAIN);
	CHECK_EQ(task.ret, 0);
}

TEST(enemies_that_come_and_go_keep_nobody_out)
{
	pid_t pids[3];
	int status;

	CHECK_EQ(box_open(&box,
			  &(struct peal_inbox_options){ .on_left = on_left }),
		 0);
	join(&box, &honest, "honest");
	for (int i = 0; i < 3; i++)
		pids[i] = test_fork(come_and_go, NULL);
	for (int came = 0; came < 20 || enemies.left < 200; came++) {
		check_honest(20);
		join_again();
	}
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(kill(pids[i], SIGKILL), 0);
		CHECK_EQ(waitpid(pids[i], &status, 0), pids[i]);
		CHECK(WIFSIGNALED(status));
	}
	close_all();
}
