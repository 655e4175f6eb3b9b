/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Peers that ring without end, or make a bell slow to ring; for those who are
 * honest see reactor_honest.c. What is counted is wake-ups, never time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fixtures/duo.h"

/* A quarantine is earned by fewer bells than that, each time. */
#define BELLS 32
#define QUARANTINES 8 /* then it is closed */
#define FORGIVEN_NS UINT64_C(10000000000)

static struct peal_reactor_stats counts(void)
{
	struct peal_reactor_stats stats;

	peal_reactor_stats(&loop, &stats);
	return stats;
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* -- those who ring without end */

static int done;

static void *ring_for_ever(void *bell)
{
	while (!__atomic_load_n(&done, __ATOMIC_RELAXED))
		peal_doorbell_ring(bell);
	return NULL;
}

static void begin_to_ring(pthread_t *thread, struct peal_doorbell *bell)
{
	__atomic_store_n(&done, 0, __ATOMIC_RELAXED);
	CHECK_EQ(pthread_create(thread, NULL, ring_for_ever, bell), 0);
}

static void cease_to_ring(pthread_t thread)
{
	__atomic_store_n(&done, 1, __ATOMIC_RELAXED);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

/*
 * Where it matters how many bells come in a time, the loop's own thread rings,
 * once a round: who has a thread for that is at the mercy of a busy machine. A
 * peer that needs ten seconds for the bells of one quarantine is forgiven those
 * before, and so is this process, if it is stopped for that long.
 */
static void check_endless_bell(uint64_t began, uint64_t wakeups)
{
	struct peal_reactor_stats stats = counts();

	CHECK(stats.quarantines >= QUARANTINES);
	if (now() - began < FORGIVEN_NS)
		CHECK_EQ(stats.quarantines, QUARANTINES);
	CHECK(wakeups <= BELLS * (stats.quarantines + 1));
}

TEST(an_endless_bell_closes_its_ring_and_others_miss_no_round)
{
	uint64_t began = now();
	int rounds = 0;

	start();
	CHECK_EQ(peal_receiver_set_watermark(&a.rx, 8), 0);
	rig_serve(&loop, &a, drain);
	rig_serve(&loop, &b, drain);
	rig_send(&a, 3); /* below the watermark */
	while (a.closed == 0) {
		CHECK_EQ(peal_doorbell_ring(&a.data), 0);
		rig_send(&b, 1);
		CHECK(peal_reactor_run_once(&loop, -1) >= 1);
		CHECK_EQ(b.calls, ++rounds);
	}
	CHECK_EQ(a.reason, -EPROTO);
	CHECK_EQ(a.calls, 1);
	CHECK_EQ(a.next_out, 3);
	/* All but those of the other ring, one a round. */
	check_endless_bell(began, counts().wakeups - (uint64_t)rounds);
	CHECK_EQ(peal_doorbell_ring(&a.data), 0);
	CHECK_EQ(rig_settle(&loop), 0); /* it still rings, to no avail */
	end();
}

/* Another thread, which rings as often as it can, delays no round either. */
TEST(others_miss_no_round_beside_a_thread_that_rings_without_end)
{
	pthread_t thread;

	start();
	rig_serve(&loop, &a, drain);
	rig_serve(&loop, &b, drain);
	begin_to_ring(&thread, &a.data);
	for (int rounds = 1; counts().quarantines == 0; rounds++) {
		rig_send(&b, 1);
		CHECK(peal_reactor_run_once(&loop, -1) >= 1);
		CHECK_EQ(b.calls, rounds);
	}
	cease_to_ring(thread);
	CHECK(counts().wakeups - (uint64_t)b.calls <= BELLS);
	end();
}

static void stop(struct peal_sender *tx, int reason, void *user)
{
	struct rig *rig = user;

	CHECK(tx == &rig->tx);
	rig->closed++;
	rig->reason = reason;
	peal_reactor_stop(&loop);
}

static long fill_up(struct peal_sender *tx, void *user)
{
	int *room;

	while (peal_sender_reserve(tx, 1, &room) > 0)
		rig_send(user, 1);
	return PEAL_DONE;
}

static void ring_again(struct peal_reactor *l, void *bell)
{
	(void)l;
	CHECK_EQ(peal_doorbell_ring(bell), 0);
}

/* Rung whenever it is about to sleep, it sleeps through the quarantines. */
TEST(an_endless_bell_does_not_keep_the_loop_awake)
{
	uint64_t began = now();

	start();
	CHECK_EQ(peal_reactor_add_sender(&loop, &a.source, &a.tx,
					 &(struct peal_sender_callbacks){
						 .on_writable = fill_up,
						 .on_closed = stop,
						 .user = &a }),
		 0);
	CHECK_EQ(peal_reactor_set_hooks(&loop, ring_again, NULL, &a.space), 0);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(a.reason, -EPROTO);
	check_endless_bell(began, counts().wakeups);
	/* One for each bell that was heard, and few for the alarms. */
	CHECK(counts().iterations <= 2 * BELLS * (counts().quarantines + 1));
	end();
}

TEST(what_came_in_a_quarantine_is_delivered_after_it)
{
	struct peal_source_stats stats = { 0 };
	pthread_t thread;

	start();
	rig_serve(&loop, &a, drain);
	begin_to_ring(&thread, &a.data);
	while (stats.quarantines == 0) {
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
		peal_source_stats(&a.source, &stats);
	}
	cease_to_ring(thread);
	rig_send(&a, 5);
	while (a.calls == 0)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	CHECK_EQ(a.next_out, 5);
	/* And then it is a ring like any other. */
	for (int i = 2; i < 100; i++) {
		rig_send(&a, 1);
		CHECK_EQ(rig_settle(&loop), 1);
		CHECK_EQ(a.calls, i);
	}
	CHECK_EQ(counts().quarantines, 1);
	CHECK_EQ(a.closed, 0);
	end();
}

TEST(a_ring_in_quarantine_can_be_removed_and_added_again)
{
	start();
	rig_serve(&loop, &a, drain);
	for (int i = 0; i < BELLS; i++) {
		peal_doorbell_ring(&a.data);
		rig_settle(&loop);
	}
	CHECK_EQ(counts().quarantines, 1);
	rig_send(&a, 1);
	CHECK_EQ(rig_settle(&loop), 0); /* it is not listened to */
	CHECK_EQ(peal_reactor_remove(&loop, &a.source), 0);
	memset(&a.source, 0, sizeof(a.source));
	CHECK_EQ(peal_reactor_run_once(&loop, 20), 0); /* no alarm is left */
	rig_serve(&loop, &a, drain);
	CHECK_EQ(rig_settle(&loop), 1);
	CHECK_EQ(a.next_out, 1);
	end();
}

static long refuse(struct peal_receiver *rx, void *user)
{
	(void)rx;
	(void)user;
	return PEAL_WAIT(RIG_MAX);
}

/* Else it could ring for as many times as a ring has items, or twice that. */
TEST(a_sender_that_waits_for_room_may_not_ring_without_end)
{
	int *room;

	start_with(RIG_MAX);
	rig_serve(&loop, &a, refuse);
	rig_send(&a, 2);
	CHECK_EQ(peal_sender_reserve(&a.tx, RIG_MAX, &room), 0);
	for (int i = 0; i < BELLS; i++) {
		rig_settle(&loop);
		peal_doorbell_ring(&a.data);
	}
	CHECK_EQ(counts().quarantines, 1);
	end();
}

/* EPOLLHUP comes unasked, and each shutdown(2) reports it anew. */
TEST(a_socket_that_hangs_up_without_end_is_not_heard_in_quarantine_either)
{
	uint64_t began = now();
	struct peal_doorbell bell;
	int fds[2];

	start();
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	CHECK_EQ(peal_doorbell_borrow(&bell, PEAL_DOORBELL_SOCKET, fds[0],
				      fds[0]),
		 0);
	CHECK_EQ(peal_receiver_attach(&a.rx, &a.ring, &bell, NULL), 0);
	rig_serve(&loop, &a, drain);
	while (a.closed == 0) {
		CHECK_EQ(shutdown(fds[1], SHUT_RDWR), 0);
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	}
	CHECK_EQ(a.reason, -EPROTO);
	check_endless_bell(began, counts().wakeups);
	close(fds[0]);
	close(fds[1]);
	end();
}

/* -- bells that a peer has made slow to ring */

#define COPIES 400
#define SETS 300
#define SLOW_RING_NS 2000000u /* ten times what is held against a peer */

static int copies[COPIES], sets[SETS];

static uint64_t ring_time_ns(struct peal_doorbell *bell)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 5; i++) {
		struct timespec one, two;
		uint64_t took;

		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &one);
		CHECK_EQ(peal_doorbell_ring(bell), 0);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &two);
		took = (uint64_t)(two.tv_sec - one.tv_sec) * 1000000000 +
		       (uint64_t)two.tv_nsec - (uint64_t)one.tv_nsec;
		least = took < least ? took : least;
	}
	return least;
}

/* What a peer can do to a bell that it has a copy of. */
static void make_slow(struct peal_doorbell *bell)
{
	struct epoll_event event = { .events = EPOLLIN };

	memset(sets, -1, sizeof(sets));
	for (int i = 0; i < COPIES; i++) {
		copies[i] = dup(bell->wait_fd);
		CHECK(copies[i] >= 0);
	}
	for (int i = 0; i < SETS; i++) {
		sets[i] = epoll_create1(EPOLL_CLOEXEC);
		CHECK(sets[i] >= 0);
		for (int j = 0; j < COPIES; j++)
			if (epoll_ctl(sets[i], EPOLL_CTL_ADD, copies[j],
				      &event) < 0)
				test_skip("epoll_ctl: %s", strerror(errno));
	}
	if (ring_time_ns(bell) < SLOW_RING_NS)
		test_skip("%d watches do not make a bell slow here",
			  COPIES * SETS);
}

static void make_cheap(void)
{
	for (int i = 0; i < SETS; i++)
		if (sets[i] >= 0)
			close(sets[i]);
	for (int i = 0; i < COPIES; i++)
		close(copies[i]);
}

/* The sender falls short, so that what is taken earns it a bell. */
static void ring_once(struct rig *rig)
{
	int *room;

	rig_send(rig, (size_t)peal_sender_free(&rig->tx));
	CHECK_EQ(peal_sender_reserve(&rig->tx, 1, &room), 0);
	rig_settle(&loop);
}

static long drain_some(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	(void)rx;
	rig->calls++;
	rig_drain(rig);
	return PEAL_DONE;
}

TEST(a_peer_whose_bell_stays_slow_is_left_and_the_others_are_served)
{
	int rounds = 0;

	start();
	rig_serve(&loop, &a, drain_some);
	rig_serve(&loop, &b, drain);
	make_slow(&a.space);
	while (a.closed == 0) {
		CHECK(rounds < 100);
		ring_once(&a);
		rig_send(&b, 1);
		rig_settle(&loop);
		CHECK_EQ(b.calls, ++rounds);
	}
	CHECK_EQ(a.reason, -EPROTO);
	CHECK_EQ(peal_sender_free(&a.tx), -EPIPE);
	make_cheap();
	for (int i = 0; i < 10; i++)
		ring_once(&b);
	CHECK_EQ(b.closed, 0);
	end();
}

TEST(a_bell_that_was_slow_a_few_times_is_not_held_against_the_peer)
{
	start();
	rig_serve(&loop, &a, drain_some);
	make_slow(&a.space);
	for (int i = 0; i < 5; i++)
		ring_once(&a);
	make_cheap();
	for (int i = 0; i < 200; i++)
		ring_once(&a);
	CHECK_EQ(a.closed, 0);
	CHECK_EQ(a.calls, 205);
	end();
}
