/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Doorbell groups: many rings behind one eventfd. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <peal/peal.h>

#include "fixtures/harness.h"

#define RINGS 130u /* some in each of three words of marks */
#define CAPACITY 8u

struct seat {
	struct peal_mem mem;
	struct peal_ring ring;
	struct peal_doorbell data, space;
	struct peal_sender tx;
	struct peal_receiver rx;
	struct peal_source source;
	uint32_t next; /* number to come */
	unsigned calls;
	bool closed;
};

static struct seat seats[RINGS];
static struct peal_group_marks own_marks;
static struct peal_group_marks *marks = &own_marks;
static void *notify_args[RINGS];
static struct peal_group group;
static struct peal_source group_source;
static struct peal_slot slots[RINGS + 1];
static struct peal_reactor loop;
static unsigned open_seats;

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct seat *seat = user;
	const uint32_t *numbers;
	ssize_t n = peal_receiver_peek(rx, &numbers);

	CHECK(n > 0);
	seat->calls++;
	for (ssize_t i = 0; i < n; i++)
		CHECK_EQ(numbers[i], seat->next++);
	CHECK_EQ(peal_receiver_release(rx, (size_t)n), 0);
	return PEAL_DONE;
}

static void on_closed(struct peal_receiver *rx, int reason, void *user)
{
	struct seat *seat = user;

	(void)rx;
	CHECK_EQ(reason, 0);
	seat->closed = true;
	open_seats--;
}

/* In memory that is shared, so that a forked child can send. */
static void seat_init(struct seat *seat)
{
	struct peal_geometry g = { .capacity = CAPACITY,
				   .item_size = sizeof(uint32_t) };

	CHECK_EQ(peal_geometry_fit(&g, 0), 0);
	CHECK_EQ(peal_mem_create(&seat->mem, "seat", g.items_offset,
				 peal_geometry_body(&g), 0),
		 0);
	CHECK_EQ(peal_ring_format(&seat->ring, &g, seat->mem.base,
				  seat->mem.body_offset + seat->mem.body),
		 0);
	CHECK_EQ(peal_group_bell(&group, &seat->data), 0);
	CHECK_EQ(peal_doorbell_init(&seat->space, PEAL_DOORBELL_EVENTFD), 0);
	CHECK_EQ(peal_sender_attach(&seat->tx, &seat->ring, &seat->data,
				    &seat->space),
		 0);
	CHECK_EQ(peal_receiver_attach(&seat->rx, &seat->ring, &seat->data,
				      &seat->space),
		 0);
	CHECK_EQ(peal_reactor_add_receiver(&loop, &seat->source, &seat->rx,
					   &(struct peal_receiver_callbacks){
						   .on_readable = on_readable,
						   .on_closed = on_closed,
						   .user = seat }),
		 0);
	open_seats++;
}

static void start(void)
{
	CHECK_EQ(peal_reactor_init(&loop, slots, RINGS + 1), 0);
	CHECK_EQ(peal_group_init(&group, marks, notify_args, RINGS), 0);
	CHECK_EQ(peal_reactor_add_group(&loop, &group_source, &group), 0);
	for (unsigned i = 0; i < RINGS; i++)
		seat_init(&seats[i]);
}

/* As many callbacks as transitions, whoever rang. */
static void end(void)
{
	for (unsigned i = 0; i < RINGS; i++) {
		struct peal_ring_stats stats;

		peal_receiver_stats(&seats[i].rx, &stats);
		CHECK_EQ(stats.transitions, seats[i].calls);
		CHECK_EQ(peal_reactor_remove(&loop, &seats[i].source), 0);
		peal_doorbell_close(&seats[i].data);
		peal_doorbell_close(&seats[i].space);
		peal_mem_close(&seats[i].mem);
	}
	CHECK_EQ(peal_reactor_remove(&loop, &group_source), 0);
	peal_group_close(&group);
	peal_reactor_close(&loop);
}

static unsigned calls(void)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < RINGS; i++)
		sum += seats[i].calls;
	return sum;
}

/* How often the eventfd was written since it was asked last. */
static int bells(void)
{
	uint64_t n;

	return read(group.fd, &n, sizeof(n)) == sizeof(n) ? (int)n : 0;
}

static void put(struct seat *seat, uint32_t number)
{
	CHECK_EQ(peal_sender_put(&seat->tx, &number, 1), 1);
}

TEST(all_rings_of_a_group_wake_the_reactor_once)
{
	start();
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 0);
	CHECK_EQ(bells(), 0);
	for (unsigned i = 0; i < RINGS; i++)
		put(&seats[i], 0);
	CHECK_EQ(bells(), 1);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), RINGS);
	CHECK_EQ(calls(), RINGS);
	/* Awake again: the next one is told. */
	put(&seats[129], 1);
	put(&seats[129], 2);
	CHECK_EQ(bells(), 1);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 1);
	CHECK_EQ(seats[129].next, 3);
	end();
}

TEST(only_the_rings_that_were_rung_are_called)
{
	start();
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 0);
	put(&seats[0], 0);
	put(&seats[63], 0);
	put(&seats[64], 0);
	CHECK_EQ(peal_reactor_run_once(&loop, -1), 3);
	CHECK_EQ(calls(), 3);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 0);
	end();
}

TEST(what_was_there_before_is_a_transition)
{
	struct peal_source *source = &seats[70].source;

	start();
	CHECK_EQ(peal_reactor_remove(&loop, source), 0);
	put(&seats[70], 0);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 0);
	CHECK_EQ(peal_reactor_add_receiver(&loop, source, &seats[70].rx,
					   &(struct peal_receiver_callbacks){
						   .on_readable = on_readable,
						   .user = &seats[70] }),
		 0);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 1);
	end();
}

TEST(a_bell_serves_one_ring)
{
	struct peal_source other = { 0 };
	struct peal_doorbell bell;
	const uint32_t *numbers;

	start();
	CHECK_EQ(peal_group_bell(&group, &bell), -ENOSPC);
	CHECK_EQ(peal_reactor_remove(&loop, &seats[5].source), 0);
	CHECK_EQ(
		peal_reactor_add_receiver(&loop, &other, &seats[6].rx,
					  &(struct peal_receiver_callbacks){
						  .on_readable = on_readable }),
		-EEXIST);
	/* There is nothing to sleep on but the reactor. */
	CHECK_EQ(peal_receiver_wait(&seats[5].rx, 1, 1, &numbers), -EINVAL);
	bell = seats[5].data;
	peal_doorbell_close(&seats[5].data);
	CHECK_EQ(peal_group_bell(&group, &seats[5].data), 0);
	CHECK_EQ(seats[5].data.index, bell.index);
	end();
}

TEST(a_group_has_up_to_4096_bells)
{
	void *notify_arg[1];

	CHECK_EQ(peal_group_init(&group, marks, notify_arg, 0), -EINVAL);
	CHECK_EQ(peal_group_init(&group, marks, notify_arg, 4097), -EINVAL);
	CHECK_EQ(peal_group_init(&group, marks, notify_arg, 1), 0);
	peal_group_close(&group);
	peal_group_close(&group);
}

/* As a program that ends in another order than it began. */
TEST(a_group_that_was_finished_first_harms_nobody)
{
	start();
	peal_group_close(&group);
	CHECK_EQ(peal_doorbell_ring(&seats[3].data), -EBADF);
	for (int i = 0; i < 3; i++)
		CHECK(peal_reactor_run_once(&loop, 0) >= 0);
	CHECK_EQ(peal_reactor_remove(&loop, &seats[0].source), 0);
	peal_doorbell_close(&seats[1].data);
	peal_reactor_remove(&loop, &group_source);
	CHECK_EQ(peal_reactor_add_group(&loop, &group_source, &group), -EINVAL);
	CHECK_EQ(peal_reactor_add_receiver(&loop, &seats[0].source,
					   &seats[0].rx,
					   &(struct peal_receiver_callbacks){
						   .on_readable = on_readable,
						   .user = &seats[0] }),
		 -EINVAL);
	end();
}

/* -- other threads and processes */

#define NUMBERS 2000u
#define THREADS 4u

static void send_all(unsigned first, uint64_t seed)
{
	uint32_t sent[RINGS] = { 0 };
	unsigned left = 0;
	void *room;

	for (unsigned i = first; i < RINGS; i += THREADS)
		left++;
	while (left > 0) {
		unsigned i = first +
			     THREADS * (unsigned)(test_random(&seed) %
						  (RINGS / THREADS + 1));

		if (i >= RINGS || sent[i] == NUMBERS)
			continue;
		CHECK((peal_sender_wait)(&seats[i].tx, 1, -1, &room) > 0);
		*(uint32_t *)room = sent[i]++;
		CHECK_EQ(peal_sender_commit(&seats[i].tx, 1), 0);
		if (sent[i] == NUMBERS) {
			peal_sender_finish(&seats[i].tx);
			left--;
		}
	}
}

static uint64_t seed;

static void *sending_thread(void *arg)
{
	unsigned first = (unsigned)(uintptr_t)arg;

	send_all(first, seed + first + 1);
	return NULL;
}

static void check_all_came(void)
{
	for (unsigned i = 0; i < RINGS; i++) {
		CHECK(seats[i].closed);
		CHECK_EQ(seats[i].next, NUMBERS);
	}
}

TEST(threads_send_into_all_rings_and_nothing_is_missed)
{
	pthread_t threads[THREADS];

	seed = test_seed();
	start();
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, sending_thread,
					(void *)i),
			 0);
	while (open_seats > 0)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	check_all_came();
	end();
}

TEST(a_loop_that_watches_the_reactor_misses_nothing)
{
	struct pollfd pfd = { .events = POLLIN };
	pthread_t threads[THREADS];

	seed = test_seed();
	start();
	pfd.fd = peal_reactor_fd(&loop);
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, sending_thread,
					(void *)i),
			 0);
	while (open_seats > 0) {
		CHECK_EQ(poll(&pfd, 1, -1), 1);
		CHECK(peal_reactor_dispatch(&loop) >= 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	check_all_came();
	end();
}

static void sending_process(void *arg)
{
	send_all((unsigned)(uintptr_t)arg, seed + (uintptr_t)arg + 1);
}

TEST(forked_processes_ring_by_marks_that_are_shared)
{
	pid_t pids[THREADS];

	seed = test_seed();
	marks = mmap(NULL, sizeof(*marks), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(marks != MAP_FAILED);
	start();
	for (uintptr_t i = 0; i < THREADS; i++)
		pids[i] = test_fork(sending_process, (void *)i);
	while (open_seats > 0)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	for (unsigned i = 0; i < THREADS; i++)
		test_join(pids[i]);
	check_all_came();
	end();
}
