/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whole streams, from the first item to the end, between two threads and
 * between two processes, with both sides sleeping whenever they can: what
 * arrives is what was sent, in order, once, whole.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include <peal/peal.h>

#include "fixtures/harness.h"

/* Of both sides; in quarters of the capacity, where 0 is one item. */
struct load {
	const char *name;
	size_t send, take; /* batches are of 1 to so many items */
	size_t room, data; /* watermarks */
};

static const struct load loads[] = {
	{ "one by one", 0, 0, 0, 0 },
	{ "batches", 4, 4, 0, 0 },
	{ "single items in, batches out", 0, 4, 0, 0 },
	{ "batches in, single items out", 4, 0, 0, 0 },
	{ "watermarks", 0, 0, 2, 2 },
	{ "watermarks and batches", 2, 2, 2, 2 },
	/* More than the ring can hold between them: both could sleep. */
	{ "watermarks that collide", 4, 4, 4, 4 },
};

#define LOADS (sizeof(loads) / sizeof(loads[0]))

/* What both processes have to see. */
struct shared {
	uint64_t sum; /* of what was sent */
	unsigned char ring[];
};

struct stream {
	uint64_t capacity, item_size, items;
	struct load load; /* in items */
	struct peal_sender tx;
	struct peal_receiver rx;
	uint64_t seed;
	struct shared *shared;
};

/* -- the two sides */

/* Different in each bit from one item to the next, and never 0. */
static uint64_t token(uint64_t number)
{
	uint64_t x = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);

	return (x ^ x >> 32) | 1;
}

static uint64_t add_up(uint64_t sum, const uint64_t *item, size_t words)
{
	for (size_t i = 0; i < words; i++)
		sum = sum * 31 + item[i];
	return sum;
}

static void send_all(struct stream *s)
{
	size_t words = s->item_size / sizeof(uint64_t);
	uint64_t random = s->seed, number = 0, sum = 0, *room;

	while (number < s->items) {
		size_t want = 1 + test_random(&random) % s->load.send;
		ssize_t n;

		if (want > s->items - number)
			want = s->items - number;
		n = peal_sender_wait(&s->tx, want, -1, &room);
		CHECK(n > 0);
		if ((size_t)n > want)
			n = (ssize_t)want;
		for (ssize_t i = 0; i < n; i++, room += words) {
			for (size_t j = 0; j < words; j++)
				room[j] = token(number + j);
			sum = add_up(sum, room, words);
			number++;
		}
		CHECK_EQ(peal_sender_commit(&s->tx, (size_t)n), 0);
	}
	s->shared->sum = sum;
	peal_sender_finish(&s->tx);
}

static void take_all(struct stream *s)
{
	size_t words = s->item_size / sizeof(uint64_t);
	uint64_t random = ~s->seed, number = 0, sum = 0;
	const uint64_t *item;
	ssize_t n;

	for (;;) {
		size_t want = 1 + test_random(&random) % s->load.take;

		n = peal_receiver_wait(&s->rx, want, -1, &item);
		if (n <= 0)
			break;
		CHECK(!peal_receiver_ended(&s->rx));
		CHECK((uint64_t)n <= s->capacity);
		if ((size_t)n > want)
			n = (ssize_t)want;
		for (ssize_t i = 0; i < n; i++, item += words, number++) {
			CHECK_EQ(item[0], token(number));
			CHECK_EQ(item[words - 1], token(number + words - 1));
			sum = add_up(sum, item, words);
		}
		CHECK_EQ(peal_receiver_release(&s->rx, (size_t)n), 0);
	}
	CHECK_EQ(n, 0);
	CHECK(peal_receiver_ended(&s->rx));
	CHECK_EQ(number, s->items);
	CHECK_EQ(sum, s->shared->sum);
}

static void *send_in_a_thread(void *user)
{
	send_all(user);
	return NULL;
}

static void send_in_a_process(void *user)
{
	send_all(user);
}

static void between_threads(struct stream *s)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, send_in_a_thread, s), 0);
	take_all(s);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void between_processes(struct stream *s)
{
	pid_t pid = test_fork(send_in_a_process, s);

	take_all(s);
	test_join(pid);
}

/* -- rings to stream through */

static size_t share(uint64_t capacity, size_t quarters)
{
	size_t n = (size_t)capacity * quarters / 4;

	return n ? n : 1;
}

static void set_load(struct stream *s, const struct load *load)
{
	test_note("capacity %llu: %s", (unsigned long long)s->capacity,
		  load->name);
	s->load = (struct load){ .send = share(s->capacity, load->send),
				 .take = share(s->capacity, load->take),
				 .room = share(s->capacity, load->room),
				 .data = share(s->capacity, load->data) };
	CHECK_EQ(peal_sender_set_watermark(&s->tx, s->load.room), 0);
	CHECK_EQ(peal_receiver_set_watermark(&s->rx, s->load.data), 0);
}

static size_t shared_size(const struct peal_geometry *g)
{
	return sizeof(struct shared) +
	       PEAL_RING_SIZE(g->capacity, g->item_size);
}

static void share_memory(struct stream *s, size_t size)
{
	s->shared = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(s->shared != MAP_FAILED);
}

/* In memory of our own, which is mapped once: spans end at the wrap. */
static void stream_once(void (*run)(struct stream *s),
			struct peal_geometry geometry,
			enum peal_doorbell_kind kind, const struct load *load,
			struct stream s)
{
	struct peal_doorbell data, space;
	struct peal_ring ring;

	CHECK_EQ(peal_geometry_fit(&geometry, 0), 0);
	CHECK_EQ(geometry.capacity, s.capacity);
	share_memory(&s, shared_size(&geometry));
	CHECK_EQ(peal_ring_format(
			 &ring, &geometry, s.shared->ring,
			 PEAL_RING_SIZE(geometry.capacity, geometry.item_size)),
		 0);
	CHECK_EQ(peal_doorbell_init(&data, kind), 0);
	CHECK_EQ(peal_doorbell_init(&space, kind), 0);
	CHECK_EQ(peal_sender_attach(&s.tx, &ring, &data, &space), 0);
	CHECK_EQ(peal_receiver_attach(&s.rx, &ring, &data, &space), 0);
	set_load(&s, load);
	run(&s);
	peal_sender_finish(&s.tx);
	peal_receiver_finish(&s.rx);
	peal_doorbell_close(&data);
	peal_doorbell_close(&space);
	CHECK_EQ(munmap(s.shared, shared_size(&geometry)), 0);
}

static void in_own_memory(void (*run)(struct stream *s), uint64_t asked,
			  uint64_t capacity, uint64_t items)
{
	struct peal_geometry geometry = { .capacity = asked,
					  .item_size = 3 * sizeof(uint64_t) };
	struct stream s = { .capacity = capacity,
			    .item_size = geometry.item_size,
			    .items = items,
			    .seed = test_seed() };

	for (size_t i = 0; i < LOADS; i++) {
		stream_once(run, geometry, PEAL_DOORBELL_EVENTFD, &loads[i], s);
		stream_once(run, geometry, PEAL_DOORBELL_PIPE, &loads[i], s);
	}
}

/* In a memfd that is mapped twice in a row. */
static void in_a_memfd(void (*run)(struct stream *s), uint64_t asked,
		       uint64_t item_size, uint64_t capacity, uint64_t items)
{
	struct peal_geometry geometry = { .capacity = asked,
					  .item_size = item_size };
	struct stream s = { .capacity = capacity,
			    .item_size = item_size,
			    .items = items,
			    .seed = test_seed() };

	share_memory(&s, sizeof(struct shared));
	for (size_t i = 0; i < LOADS; i++) {
		struct peal_local local;

		CHECK_EQ(peal_local_init(&local, &geometry), 0);
		CHECK_EQ(local.ring.geometry.capacity, capacity);
		s.tx = local.sender;
		s.rx = local.receiver;
		set_load(&s, &loads[i]);
		run(&s);
		peal_sender_finish(&s.tx);
		peal_receiver_finish(&s.rx);
		peal_local_close(&local);
	}
	CHECK_EQ(munmap(s.shared, sizeof(struct shared)), 0);
}

TEST(threads_lose_nothing_in_a_ring_of_one)
{
	in_own_memory(between_threads, 1, 1, 2000);
}

TEST(threads_lose_nothing_in_a_ring_of_two)
{
	in_own_memory(between_threads, 2, 2, 2000);
}

TEST(threads_lose_nothing_in_a_ring_of_three_that_holds_four)
{
	in_own_memory(between_threads, 3, 4, 4000);
}

TEST(threads_lose_nothing_in_a_ring_of_a_thousand)
{
	in_own_memory(between_threads, 1000, 1024, 300000);
}

TEST(processes_lose_nothing_in_a_ring_of_one)
{
	in_own_memory(between_processes, 1, 1, 2000);
}

TEST(processes_lose_nothing_in_a_ring_of_two)
{
	in_own_memory(between_processes, 2, 2, 2000);
}

TEST(processes_lose_nothing_in_a_ring_of_three_that_holds_four)
{
	in_own_memory(between_processes, 3, 4, 4000);
}

TEST(processes_lose_nothing_in_a_ring_of_a_thousand)
{
	in_own_memory(between_processes, 1000, 1024, 300000);
}

/* The page that such a ring has to fill is the machine's. */
TEST(threads_lose_nothing_in_a_memfd)
{
	size_t page = peal_mem_page(0);

	in_a_memfd(between_threads, 1, page, 1, 500);
	in_a_memfd(between_threads, 2, page, 2, 500);
	in_a_memfd(between_threads, 3, page, 4, 500);
	in_a_memfd(between_threads, 1000, page / 64, 1024, 50000);
}

TEST(processes_lose_nothing_in_a_memfd)
{
	size_t page = peal_mem_page(0);

	in_a_memfd(between_processes, 1, page, 1, 500);
	in_a_memfd(between_processes, 2, page, 2, 500);
	in_a_memfd(between_processes, 3, page, 4, 500);
	in_a_memfd(between_processes, 1000, page / 64, 1024, 50000);
}

/* -- ends and bells */

static void local_init(struct peal_local *local, uint64_t capacity)
{
	struct peal_geometry geometry = { .capacity = capacity,
					  .item_size = peal_mem_page(0) };

	CHECK_EQ(peal_local_init(local, &geometry), 0);
	CHECK_EQ(local->ring.geometry.capacity, capacity);
}

static void finish_at_once(void *user)
{
	struct peal_local *local = user;

	peal_sender_finish(&local->sender);
}

TEST(a_receiver_that_sleeps_learns_of_an_end_without_items)
{
	for (int i = 0; i < 100; i++) {
		struct peal_local local;
		const void *item;
		pid_t pid;

		local_init(&local, 4);
		pid = test_fork(finish_at_once, &local);
		CHECK_EQ(peal_receiver_wait(&local.receiver, 4, -1, &item), 0);
		CHECK(peal_receiver_ended(&local.receiver));
		test_join(pid);
		peal_local_close(&local);
	}
}

static void take_two_and_leave(void *user)
{
	struct peal_local *local = user;
	const void *items;

	for (int i = 0; i < 2; i++) {
		CHECK(peal_receiver_wait(&local->receiver, 1, -1, &items) > 0);
		CHECK_EQ(peal_receiver_release(&local->receiver, 1), 0);
	}
	peal_receiver_finish(&local->receiver);
}

TEST(a_sender_that_sleeps_learns_that_the_receiver_left)
{
	for (int i = 0; i < 100; i++) {
		struct peal_local local;
		ssize_t n, sent = 0;
		void *room;
		pid_t pid;

		local_init(&local, 2);
		pid = test_fork(take_two_and_leave, &local);
		while ((n = peal_sender_wait(&local.sender, 1, -1, &room)) >
		       0) {
			CHECK_EQ(peal_sender_commit(&local.sender, 1), 0);
			sent++;
		}
		CHECK_EQ(n, -EPIPE);
		CHECK(sent >= 2 && sent <= 4);
		test_join(pid);
		peal_local_close(&local);
	}
}

static void send_and_poll(void *user)
{
	struct peal_local *local = user;
	struct peal_ring_stats stats;
	void *room;

	for (int i = 0; i < 1000; i++) {
		while (peal_sender_try_reserve(&local->sender, &room) == 0)
			sched_yield();
		CHECK_EQ(peal_sender_commit(&local->sender, 1), 0);
	}
	peal_sender_stats(&local->sender, &stats);
	CHECK_EQ(stats.items, 1000);
	CHECK_EQ(stats.doorbells, 0);
	peal_sender_finish(&local->sender);
}

TEST(two_sides_that_poll_ring_no_doorbell)
{
	struct peal_local local;
	struct peal_ring_stats stats;
	const void *item;
	pid_t pid;

	local_init(&local, 4);
	pid = test_fork(send_and_poll, &local);
	while (!peal_receiver_ended(&local.receiver)) {
		if (peal_receiver_peek(&local.receiver, &item) > 0)
			CHECK_EQ(peal_receiver_release(&local.receiver, 1), 0);
		else
			sched_yield();
	}
	peal_receiver_stats(&local.receiver, &stats);
	CHECK_EQ(stats.items, 1000);
	CHECK_EQ(stats.doorbells, 0);
	test_join(pid);
	peal_local_close(&local);
}
