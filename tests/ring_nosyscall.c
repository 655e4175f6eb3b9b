/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The data path makes no system call, but for the one that rings a bell that
 * is owed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <peal/peal.h>

#include "fixtures/harness.h"
#include "fixtures/judge.h"

#define CAPACITY 512 /* of items of 8 bytes in pages of 4096 */

struct item {
	uint64_t number;
};

/* What it does is seen either way: by dispatch here, by seccomp in a child. */
static void expect_caught(work_function *work, struct peal_local *local,
			  int but_write_to, long number)
{
	struct verdict here = judge(work, local, but_write_to);
	struct verdict child = { .number = -1 };

	CHECK(here.caught);
	CHECK(here.number == number || here.number == -1);
	CHECK(here.line > 0);
	judge_child(work, local, but_write_to, &child);
	CHECK(child.caught);
}

/* -- a ring, and a word to tell a line in, that parent and child share */

static void setup(struct peal_local *local)
{
	struct peal_geometry geometry = { .capacity = CAPACITY,
					  .item_size = sizeof(struct item) };

	at = mmap(NULL, sizeof(*at), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(at != MAP_FAILED);
	CHECK_EQ(peal_local_init(local, &geometry), 0);
	CHECK(local->ring.geometry.capacity >= CAPACITY);
}

static void teardown(struct peal_local *local)
{
	peal_local_close(local);
	CHECK_EQ(munmap((void *)at, sizeof(*at)), 0);
}

/* How often the bell was rung: an eventfd adds up what is written to it. */
static uint64_t rings(const struct peal_doorbell *bell)
{
	uint64_t count;

	if (read(bell->wait_fd, &count, sizeof(count)) < 0) {
		CHECK_EQ(errno, EAGAIN);
		return 0;
	}
	return count;
}

static void expect(work_function *work, int but_write_to,
		   struct peal_local *local)
{
	struct verdict verdict = judge(work, local, but_write_to);

	if (verdict.caught)
		test_fail(__FILE__, verdict.line, "it made system call %ld",
			  verdict.number);
	if (verdict.wrong)
		test_fail(__FILE__, verdict.line, "the work went wrong");
}

/* -- work */

static bool fill(void *item, void *user)
{
	((struct item *)item)->number = (*(uint64_t *)user)++;
	return true;
}

static bool take(const void *item, void *user)
{
	return ((const struct item *)item)->number == (*(uint64_t *)user)++;
}

static int reserve_and_peek(struct peal_local *l, uint64_t number)
{
	const struct item *data;
	struct item *room;

	MUST(peal_sender_reserve(&l->sender, 1, &room) > 0);
	room->number = number;
	MUST(peal_sender_commit(&l->sender, 1) == 0);
	MUST(peal_sender_try_reserve(&l->sender, &room) > 1);
	room[0].number = number + 1;
	room[1].number = number + 2;
	MUST(peal_sender_commit(&l->sender, 2) == 0);
	MUST(peal_receiver_used(&l->receiver) == 3);

	/* What is known of the peer may be older, so it can take two looks. */
	for (uint64_t seen = 0; seen < 3;) {
		ssize_t n = peal_receiver_peek(&l->receiver, &data);

		MUST(n > 0);
		for (ssize_t i = 0; i < n; i++, seen++)
			MUST(data[i].number == number + seen);
		MUST(peal_receiver_release(&l->receiver, (size_t)n) == 0);
	}
	MUST(peal_receiver_peek(&l->receiver, &data) == 0);
	return 0;
}

static int put_and_get(struct peal_local *l, uint64_t number)
{
	struct item in[5], out[5];
	uint64_t filled = number, taken = number;

	for (uint64_t i = 0; i < 5; i++)
		in[i].number = number + i;
	MUST(peal_sender_put(&l->sender, in, 5) == 5);
	MUST(peal_receiver_get(&l->receiver, out, 5) == 5);
	for (uint64_t i = 0; i < 5; i++)
		MUST(out[i].number == number + i);
	MUST(peal_sender_each(&l->sender, 7, fill, &filled) == 7);
	MUST(peal_receiver_each(&l->receiver, 7, take, &taken) == 7);
	return 0;
}

/* Several laps, so that every branch of the wrap is taken. */
static int use_the_data_path(struct peal_local *l)
{
	struct peal_ring_stats stats;
	uint64_t capacity = l->ring.geometry.capacity;

	for (uint64_t i = 0; i < capacity; i++) {
		if (reserve_and_peek(l, 3 * i) < 0 ||
		    put_and_get(l, 100 * i) < 0)
			return -1;
		MUST(peal_sender_free(&l->sender) == (ssize_t)capacity);
		MUST(!peal_receiver_ended(&l->receiver));
	}
	peal_sender_stats(&l->sender, &stats);
	MUST(stats.items == 15 * capacity && stats.doorbells == 0);
	return 0;
}

static int send_batches(struct peal_local *l)
{
	struct item *room;

	for (int i = 0; i < 100; i++) {
		MUST(peal_sender_reserve(&l->sender, 2, &room) >= 2);
		MUST(peal_sender_commit(&l->sender, 2) == 0);
	}
	return 0;
}

static int release_batches(struct peal_local *l)
{
	const struct item *data;

	for (int i = 0; i < 100; i++) {
		MUST(peal_receiver_peek(&l->receiver, &data) >= 2);
		MUST(peal_receiver_release(&l->receiver, 2) == 0);
	}
	return 0;
}

static int fill_up_and_arm(struct peal_local *l)
{
	struct item *room;
	ssize_t n = peal_sender_reserve(&l->sender, 1, &room);

	MUST(peal_receiver_arm(&l->receiver));
	MUST(peal_sender_try_reserve(&l->sender, &room) == n);
	MUST(n == (ssize_t)l->ring.geometry.capacity);
	/* Only now, so that the bell that is owed is the test's allowance. */
	MUST(peal_sender_commit(&l->sender, (size_t)n) == 0);
	MUST(peal_sender_try_reserve(&l->sender, &room) == 0);
	MUST(peal_sender_reserve(&l->sender, 1, &room) == 0);
	MUST(peal_sender_arm(&l->sender));
	return 0;
}

PEAL_TYPED(item, struct item, "item/1");

static int use_typed(struct peal_local *l)
{
	struct item in[3] = { { 1 }, { 2 }, { 3 } }, out[3];
	const struct item *data;
	struct item *room;

	for (int i = 0; i < 2 * CAPACITY; i++) {
		MUST(item_reserve(&l->sender, 1, &room) > 0);
		room->number = 1;
		MUST(item_commit(&l->sender, 1) == 0);
		MUST(item_try_reserve(&l->sender, &room) > 0);
		MUST(item_put(&l->sender, in, 3) == 3);
		MUST(item_peek(&l->receiver, &data) > 0);
		MUST(data->number == 1);
		MUST(item_release(&l->receiver, 1) == 0);
		MUST(item_receive(&l->receiver, 3, 0, &data) == 3);
		MUST(item_get(&l->receiver, out, 3) == 3);
		MUST(out[2].number == 3);
	}
	return 0;
}

/* One kept back, one dropped, one that begins at the front of the memory. */
static int send_messages(struct peal_sender *tx, uint32_t kind)
{
	void *room;

	MUST(peal_message_reserve(tx, 24, &room) == 1);
	memset(room, 1, 24);
	MUST(peal_message_stage(tx, kind, 17) == 0);
	MUST(peal_message_try_reserve(tx, 40, &room) == 1);
	memset(room, 2, 40);
	MUST(peal_message_commit(tx, kind + 1, 40) == 0);
	MUST(peal_message_reserve(tx, 8, &room) == 1);
	peal_message_abandon(tx);
	MUST(peal_message_send(tx, kind + 2, "three", 5, 0) == 0);
	MUST(peal_message_publish(tx) == 0);
	return 0;
}

static int receive_messages(struct peal_receiver *rx, uint32_t kind)
{
	struct peal_message m;

	MUST(peal_message_peek(rx, &m) == 1);
	MUST(m.kind == kind && m.size == 17);
	MUST(peal_message_next(rx, &m) == 1);
	MUST(m.kind == kind + 1 && m.size == 40);
	MUST(peal_message_release(rx, &m) == 0);
	MUST(peal_message_receive(rx, 0, &m) == 1);
	MUST(m.kind == kind + 2 && m.size == 5);
	MUST(peal_message_release(rx, &m) == 0);
	MUST(peal_message_peek(rx, &m) == 0);
	return 0;
}

static int use_messages(struct peal_local *l)
{
	for (uint32_t i = 0; i < 3 * CAPACITY; i++)
		if (send_messages(&l->sender, i) < 0 ||
		    receive_messages(&l->receiver, i) < 0)
			return -1;
	return 0;
}

/* A reactor that is awake takes the marks; it would ask to be rung to sleep. */
static int mark_a_group(struct peal_local *l)
{
	const uint64_t rounds = 2 * l->ring.geometry.capacity;
	struct item *room;

	for (uint64_t i = 0; i < rounds; i++) {
		MUST(peal_receiver_arm(&l->receiver));
		MUST(peal_sender_reserve(&l->sender, 1, &room) > 0);
		MUST(peal_sender_commit(&l->sender, 1) == 0);
		MUST(peal_receiver_release(&l->receiver, 0) == 0);
		MUST(peal_receiver_used(&l->receiver) == 1);
		MUST(peal_receiver_release(&l->receiver, 1) == 0);
	}
	return 0;
}

static int call_getppid(struct peal_local *l)
{
	(void)l;
	MUST(syscall(SYS_getppid) >= 0);
	return 0;
}

static int clear_the_bell(struct peal_local *l)
{
	MUST(peal_receiver_clear(&l->receiver) == 0);
	return 0;
}

static int ring_the_space_bell(struct peal_local *l)
{
	MUST(peal_doorbell_ring(&l->space) == 0);
	return 0;
}

/* -- tests */

TEST(a_planted_system_call_is_caught)
{
	struct peal_local local;

	setup(&local);
	expect_caught(call_getppid, &local, NO_FD, SYS_getppid);
	expect_caught(clear_the_bell, &local, NO_FD, SYS_preadv2);
	teardown(&local);
}

TEST(a_bell_that_is_not_allowed_is_caught)
{
	struct peal_local local;
	int data, space;

	setup(&local);
	data = local.data.ring_fd;
	space = local.space.ring_fd;
	expect_caught(ring_the_space_bell, &local, NO_FD, SYS_write);
	expect_caught(ring_the_space_bell, &local, data, SYS_write);
	CHECK_EQ(rings(&local.space), 0);
	expect(ring_the_space_bell, space, &local);
	CHECK_EQ(rings(&local.space), 1);
	teardown(&local);
}

TEST(the_data_path_makes_no_system_call)
{
	struct peal_local local;

	setup(&local);
	expect(use_the_data_path, NO_FD, &local);
	CHECK_EQ(rings(&local.data), 0);
	CHECK_EQ(rings(&local.space), 0);
	teardown(&local);
}

TEST(rings_of_a_type_make_no_system_call)
{
	struct peal_local local;

	setup(&local);
	expect(use_typed, NO_FD, &local);
	teardown(&local);
}

TEST(messages_make_no_system_call)
{
	struct peal_local local;

	setup(&local);
	expect(use_messages, NO_FD, &local);
	CHECK_EQ(rings(&local.data), 0);
	teardown(&local);
}

TEST(messages_in_memory_that_wraps_alone_make_no_system_call)
{
	static uint64_t memory[(PEAL_RING_ITEMS_OFFSET + 8 * 32) / 8];
	struct peal_geometry geometry = { 0 };
	struct peal_local local = { 0 }, kept;

	setup(&kept);
	CHECK_EQ(peal_message_geometry(&geometry, 8 * 32, NULL), 0);
	CHECK_EQ(peal_geometry_fit(&geometry, 0), 0);
	CHECK_EQ(peal_ring_format(&local.ring, &geometry, memory,
				  sizeof(memory)),
		 0);
	CHECK_EQ(peal_sender_attach(&local.sender, &local.ring, &kept.data,
				    &kept.space),
		 0);
	CHECK_EQ(peal_receiver_attach(&local.receiver, &local.ring, &kept.data,
				      &kept.space),
		 0);
	expect(use_messages, NO_FD, &local);
	CHECK_EQ(rings(&kept.data), 0);
	CHECK_EQ(rings(&kept.space), 0);
	teardown(&kept);
}

TEST(bells_of_a_group_that_is_awake_make_no_system_call)
{
	static struct peal_group_marks marks;
	static void *notify_args[64];
	struct peal_local local;
	struct peal_group group;
	struct peal_doorbell bell;

	setup(&local);
	CHECK_EQ(peal_group_init(&group, &marks, notify_args, 64), 0);
	CHECK_EQ(peal_group_bell(&group, &bell), 0);
	CHECK_EQ(peal_sender_attach(&local.sender, &local.ring, &bell, NULL),
		 0);
	CHECK_EQ(
		peal_receiver_attach(&local.receiver, &local.ring, &bell, NULL),
		0);
	expect(mark_a_group, NO_FD, &local);
	CHECK(marks.words != 0);
	peal_doorbell_close(&bell);
	peal_group_close(&group);
	teardown(&local);
}

TEST(a_receiver_that_sleeps_costs_one_write)
{
	struct peal_local local;

	setup(&local);
	CHECK(peal_receiver_arm(&local.receiver));
	expect(send_batches, local.data.ring_fd, &local);
	CHECK_EQ(rings(&local.data), 1);
	CHECK_EQ(rings(&local.space), 0);
	teardown(&local);
}

TEST(a_sender_that_sleeps_costs_one_write)
{
	struct peal_local local;
	struct item *room;
	ssize_t n;

	setup(&local);
	n = peal_sender_reserve(&local.sender, 1, &room);
	CHECK_EQ(peal_sender_commit(&local.sender, (size_t)n), 0);
	CHECK(peal_sender_arm(&local.sender));
	expect(release_batches, local.space.ring_fd, &local);
	CHECK_EQ(rings(&local.space), 1);
	CHECK_EQ(rings(&local.data), 0);
	teardown(&local);
}

TEST(to_ask_for_an_eventfd_to_be_rung_takes_no_system_call)
{
	struct peal_local local;

	setup(&local);
	expect(fill_up_and_arm, local.data.ring_fd, &local);
	CHECK_EQ(rings(&local.data), 1);
	CHECK_EQ(rings(&local.space), 0);
	teardown(&local);
}
