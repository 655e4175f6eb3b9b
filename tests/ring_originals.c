/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the tests of the Rust crates fdringbuf and shmem-ipc ask of a ring,
 * asked of ours: their users should miss nothing. Our capacities are powers
 * of two, so that a ring of 3 has room for 4.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "fixtures/pair.h"

/* -- a ring alone */

TEST(ring_lives_in_memory_of_the_callers)
{
	static uint64_t memory[PEAL_RING_SIZE(2, sizeof(int64_t)) / 8];
	struct peal_geometry geometry = { .capacity = 2, .item_size = 8 };
	struct peal_ring ring;
	struct peal_sender tx;
	struct peal_receiver rx;
	int64_t item = -5;

	CHECK_EQ(peal_geometry_fit(&geometry, 0), 0);
	CHECK_EQ(peal_ring_format(&ring, &geometry, memory, sizeof(memory)), 0);
	CHECK_EQ(peal_sender_attach(&tx, &ring, NULL, NULL), 0);
	CHECK_EQ(peal_receiver_attach(&rx, &ring, NULL, NULL), 0);
	CHECK_EQ(peal_sender_put(&tx, &item, 1), 1);
	CHECK_EQ((int64_t)memory[8192 / 8], -5);
}

struct numbers {
	uint16_t next;
	int calls;
};

static bool next_number(void *item, void *user)
{
	struct numbers *numbers = user;

	*(uint16_t *)item = numbers->next++;
	numbers->calls++;
	return true;
}

static bool same_number(const void *item, void *user)
{
	struct numbers *numbers = user;

	CHECK_EQ(*(const uint16_t *)item, numbers->next++);
	numbers->calls++;
	return true;
}

TEST(items_are_sent_looked_at_and_received)
{
	struct numbers numbers = { .next = 7 };
	struct pair p;
	const uint16_t *data;
	uint16_t *room;

	pair_make(&p, 10, sizeof(uint16_t));
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 0);
	CHECK(peal_sender_try_reserve(&p.tx, &room) > 0);
	*room = 5;
	CHECK_EQ(peal_sender_commit(&p.tx, 1), 0);
	/* Received, and none released: it is still there. */
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 1);
	CHECK_EQ(*data, 5);
	CHECK_EQ(peal_receiver_release(&p.rx, 0), 0);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 1);
	CHECK_EQ(*data, 5);
	CHECK_EQ(peal_receiver_release(&p.rx, 1), 0);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 0);

	CHECK_EQ(peal_sender_each(&p.tx, 2, next_number, &numbers), 2);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 2);
	CHECK_EQ(data[0], 7);
	CHECK_EQ(data[1], 8);
	CHECK_EQ(peal_receiver_release(&p.rx, 2), 0);
	pair_free(&p);
}

TEST(full_ring_takes_an_item_for_each_that_is_released)
{
	struct numbers sent = { .next = 10 }, received = { .next = 1 };
	struct pair p;
	const uint16_t *data;
	uint16_t *room;

	CHECK_EQ(PEAL_RING_SIZE(4, sizeof(uint16_t)), 8192 + 8);
	pair_make(&p, 3, sizeof(uint16_t));
	CHECK_EQ(peal_sender_try_reserve(&p.tx, &room), 4);
	memcpy(room, (uint16_t[]){ 5, 8, 9, 0 }, 8);
	CHECK_EQ(peal_sender_commit(&p.tx, 3), 0);
	/* Room for one more: the callback is called once. */
	CHECK_EQ(peal_sender_each(&p.tx, 2, next_number, &sent), 1);
	CHECK_EQ(sent.calls, 1);
	CHECK_EQ(peal_sender_try_reserve(&p.tx, &room), 0);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 4);
	CHECK_EQ(peal_receiver_release(&p.rx, 0), 0);
	CHECK_EQ(peal_sender_try_reserve(&p.tx, &room), 0);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 4);
	CHECK(memcmp(data, (uint16_t[]){ 5, 8, 9, 10 }, 8) == 0);
	CHECK_EQ(peal_receiver_release(&p.rx, 1), 0);
	CHECK_EQ(peal_sender_try_reserve(&p.tx, &room), 1);
	*room = 1;
	CHECK_EQ(peal_sender_commit(&p.tx, 1), 0);
	CHECK_EQ(peal_sender_try_reserve(&p.tx, &room), 0);
	CHECK_EQ(peal_receiver_peek(&p.rx, &data), 3);
	CHECK(memcmp(data, (uint16_t[]){ 8, 9, 10 }, 6) == 0);
	CHECK_EQ(peal_receiver_release(&p.rx, 3), 0);
	/* One is there, at the front again; far more are asked for. */
	CHECK_EQ(peal_receiver_each(&p.rx, 56, same_number, &received), 1);
	CHECK_EQ(received.calls, 1);
	pair_free(&p);
}

static size_t at_most(ssize_t n, size_t most)
{
	CHECK(n >= 0);
	return (size_t)n < most ? (size_t)n : most;
}

/* @return the sum of up to n numbers that were received */
static uint64_t receive_sum(struct peal_receiver *rx, size_t n)
{
	const uint32_t *data;
	uint64_t sum = 0;

	n = at_most(peal_receiver_peek(rx, &data), n);
	for (size_t i = 0; i < n; i++)
		sum += data[i];
	CHECK_EQ(peal_receiver_release(rx, n), 0);
	return sum;
}

struct sum {
	uint32_t next;
	uint64_t total;
};

static bool add_next(void *item, void *user)
{
	struct sum *sum = user;

	*(uint32_t *)item = ++sum->next;
	sum->total += sum->next;
	return true;
}

TEST(sums_agree_where_400_are_sent_and_300_received)
{
	uint64_t sent = 0, received = 0;
	struct pair p;

	pair_make(&p, 1024, sizeof(uint32_t));
	for (int round = 0; round < 1000; round++) {
		uint32_t *room;
		size_t n = at_most(peal_sender_try_reserve(&p.tx, &room), 400);

		for (uint32_t i = 0; i < n; i++) {
			room[i] = i;
			sent += i;
		}
		CHECK_EQ(peal_sender_commit(&p.tx, n), 0);
		received += receive_sum(&p.rx, 300);
	}
	while (peal_receiver_used(&p.rx) > 0)
		received += receive_sum(&p.rx, 1024);
	CHECK_EQ(sent, received);
	pair_free(&p);
}

TEST(sums_agree_where_400_are_filled_in_one_by_one)
{
	struct sum sent = { 0 };
	uint64_t received = 0;
	struct pair p;

	pair_make(&p, 1024, sizeof(uint32_t));
	for (int round = 0; round < 1000; round++) {
		sent.next = 0;
		CHECK(peal_sender_each(&p.tx, 400, add_next, &sent) >= 0);
		received += receive_sum(&p.rx, 300);
	}
	while (peal_receiver_used(&p.rx) > 0)
		received += receive_sum(&p.rx, 1024);
	CHECK_EQ(sent.total, received);
	pair_free(&p);
}

/* -- with doorbells, between two threads that wait in epoll sets */

static int watch(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	int set = epoll_create1(EPOLL_CLOEXEC);

	CHECK(set >= 0);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
	return set;
}

static void sleep_on(int set)
{
	struct epoll_event event;
	int n;

	do
		n = epoll_wait(set, &event, 1, -1);
	while (n < 0 && errno == EINTR);
	CHECK_EQ(n, 1);
}

#define LAST UINT32_MAX

static bool add_up(const void *item, void *user)
{
	struct sum *sum = user;
	uint32_t number = *(const uint32_t *)item;

	sum->next = number;
	if (number != LAST)
		sum->total += number;
	return number != LAST;
}

struct receiving {
	struct peal_receiver *rx;
	struct sum sum;
};

static void *receive_300(void *arg)
{
	struct receiving *r = arg;
	int set = watch(peal_receiver_fd(r->rx));

	while (r->sum.next != LAST) {
		if (peal_receiver_each(r->rx, 300, add_up, &r->sum) > 0)
			continue;
		if (r->sum.next != LAST && peal_receiver_arm(r->rx)) {
			sleep_on(set);
			CHECK_EQ(peal_receiver_clear(r->rx), 1);
		}
	}
	close(set);
	return NULL;
}

static void send_400(struct peal_sender *tx, struct sum *sum, int set)
{
	sum->next = 0;
	while (peal_sender_each(tx, 400, add_next, sum) == 0) {
		if (peal_sender_arm(tx)) {
			sleep_on(set);
			CHECK_EQ(peal_sender_clear(tx), 1);
		}
	}
}

static void check_two_threads(enum peal_doorbell_kind kind)
{
	const uint32_t last = LAST;
	struct receiving receiving = { 0 };
	struct sum sum = { 0 };
	pthread_t thread;
	struct pair p;
	int *room;
	int set;

	pair_make(&p, 1024, sizeof(uint32_t));
	peal_doorbell_close(&p.data);
	peal_doorbell_close(&p.space);
	CHECK_EQ(peal_doorbell_init(&p.data, kind), 0);
	CHECK_EQ(peal_doorbell_init(&p.space, kind), 0);
	pair_attach(&p);
	receiving.rx = &p.rx;
	CHECK_EQ(pthread_create(&thread, NULL, receive_300, &receiving), 0);
	set = watch(peal_sender_fd(&p.tx));
	for (int round = 0; round < 2000; round++)
		send_400(&p.tx, &sum, set);
	CHECK(peal_sender_wait(&p.tx, 1, -1, &room) > 0);
	CHECK_EQ(peal_sender_put(&p.tx, &last, 1), 1);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(receiving.sum.total, sum.total);
	close(set);
	pair_free(&p);
}

TEST(sums_agree_between_two_threads_with_pipes)
{
	check_two_threads(PEAL_DOORBELL_PIPE);
}

TEST(sums_agree_between_two_threads_with_eventfds)
{
	check_two_threads(PEAL_DOORBELL_EVENTFD);
}

/* -- in shared memory */

TEST(receiver_needs_the_capacity_and_three_fds)
{
	struct peal_geometry geometry = { .capacity = 1000, .item_size = 4 };
	struct peal_geometry same = geometry;
	struct peal_doorbell data, space;
	struct peal_receiver rx;
	struct peal_ring ring;
	struct peal_mem mem;
	struct pair p;
	int fds[3];

	pair_make_twice(&p, geometry.capacity, geometry.item_size);
	CHECK(peal_sender_free(&p.tx) >= 1000);
	fds[0] = dup(p.mem.fd);
	fds[1] = dup(p.data.wait_fd);
	fds[2] = dup(p.space.ring_fd);

	/* From here on, whatever another process would have. */
	CHECK_EQ(peal_geometry_fit(&same, peal_mem_page(0)), 0);
	CHECK_EQ(peal_mem_open(&mem, fds[0], same.items_offset,
			       peal_geometry_body(&same), PEAL_MEM_TWICE),
		 0);
	CHECK_EQ(peal_ring_open(&ring, &same, mem.base,
				mem.body_offset + mem.body),
		 0);
	CHECK_EQ(peal_doorbell_borrow(&data, PEAL_DOORBELL_EVENTFD, fds[1], -1),
		 0);
	CHECK_EQ(
		peal_doorbell_borrow(&space, PEAL_DOORBELL_EVENTFD, -1, fds[2]),
		0);
	CHECK_EQ(peal_receiver_attach(&rx, &ring, &data, &space), 0);
	CHECK_EQ(peal_receiver_used(&rx), 0);
	CHECK(peal_receiver_arm(&rx));
	put_numbers(&p.tx, 0, 1000);
	CHECK_EQ(peal_receiver_clear(&rx), 1);
	get_numbers(&rx, 0, 1000);
	peal_mem_close(&mem);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	pair_free(&p);
}

TEST(what_is_written_once_can_be_read_and_no_longer_written)
{
	struct peal_blob blob, seen;
	unsigned char *bytes;

	CHECK_EQ(peal_blob_create(&blob, "write-once", 4096), 0);
	bytes = blob.base;
	CHECK_EQ(bytes[5], 0);
	bytes[2049] = 100;
	CHECK_EQ(peal_blob_seal(&blob), 0);

	CHECK_EQ(peal_blob_open(&seen, blob.fd), 0);
	CHECK_EQ(seen.size, 4096);
	bytes = seen.base;
	CHECK_EQ(bytes[2049], 100);
	CHECK_EQ(bytes[465], 0);
	CHECK(fcntl(blob.fd, F_GET_SEALS) & F_SEAL_SHRINK);
	CHECK(fcntl(blob.fd, F_GET_SEALS) & F_SEAL_WRITE);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, blob.fd,
		   0) == MAP_FAILED);
	CHECK_EQ(errno, EPERM);
	peal_blob_close(&seen);
	peal_blob_close(&blob);
}

TEST(what_is_mapped_for_writing_cannot_be_sealed_for_reading)
{
	struct peal_blob blob, seen;
	void *other;

	CHECK_EQ(peal_blob_create(&blob, "raw", 16384), 0);
	CHECK_EQ(peal_blob_open(&seen, blob.fd), -EPERM); /* not yet sealed */
	other = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, blob.fd,
		     0);
	CHECK(other != MAP_FAILED);
	CHECK_EQ(peal_blob_seal(&blob), -EBUSY);
	CHECK_EQ(munmap(other, 16384), 0);
	CHECK_EQ(peal_blob_seal(&blob), 0);
	peal_blob_close(&blob);
}
