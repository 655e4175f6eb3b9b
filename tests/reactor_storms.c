/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Peers that ring without end, or make our bell dear to ring; for those who are
 * honest see reactor_honest.c. What is counted is wake-ups, never time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fixtures/duo.h"

/* A quarantine is earned by fewer bells than that, each time. */
#define BELLS 32
#define QUARANTINES 8 /* then it is closed */

static struct peal_reactor_stats counts(void)
{
	struct peal_reactor_stats stats;

	peal_reactor_stats(&loop, &stats);
	return stats;
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

TEST(a_storm_is_closed_after_what_it_published_and_others_miss_no_round)
{
	struct peal_reactor_stats stats;
	pthread_t thread;
	int rounds = 0;

	start();
	CHECK_EQ(peal_receiver_set_watermark(&a.rx, 8), 0);
	rig_serve(&loop, &a, drain);
	rig_serve(&loop, &b, drain);
	rig_send(&a, 3); /* below the watermark */
	begin_to_ring(&thread, &a.data);
	while (a.closed == 0) {
		rig_send(&b, 1);
		CHECK(peal_reactor_run_once(&loop, -1) >= 1);
		CHECK_EQ(b.calls, ++rounds);
	}
	CHECK_EQ(a.reason, -EPROTO);
	CHECK_EQ(a.calls, 1);
	CHECK_EQ(a.next_out, 3);
	stats = counts();
	CHECK_EQ(stats.quarantines, QUARANTINES);
	/* All but those of the other ring, one a round. */
	CHECK(stats.wakeups - (uint64_t)rounds <= BELLS * (QUARANTINES + 1));
	CHECK_EQ(rig_settle(&loop), 0); /* it still rings, to no avail */
	cease_to_ring(thread);
	end();
}

static void ring_in_a_process(void *bell)
{
	ring_for_ever(bell);
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

/* A loop that has nothing else to do sleeps through most of it. */
TEST(a_storm_does_not_keep_the_loop_awake)
{
	struct peal_reactor_stats stats;
	pid_t pid;

	start();
	pid = test_fork(ring_in_a_process, &a.space);
	CHECK_EQ(peal_reactor_add_sender(&loop, &a.source, &a.tx,
					 &(struct peal_sender_callbacks){
						 .on_writable = fill_up,
						 .on_closed = stop,
						 .user = &a }),
		 0);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(a.reason, -EPROTO);
	stats = counts();
	CHECK_EQ(stats.quarantines, QUARANTINES);
	CHECK(stats.wakeups <= BELLS * (QUARANTINES + 1));
	/* One for each bell that was heard, and few for the alarms. */
	CHECK(stats.iterations <= 2 * BELLS * (QUARANTINES + 1));
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
TEST(a_sender_that_waits_for_room_has_no_licence_to_storm)
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

static void *hang_up_for_ever(void *fd)
{
	while (!__atomic_load_n(&done, __ATOMIC_RELAXED))
		shutdown(*(int *)fd, SHUT_RDWR);
	return NULL;
}

/* EPOLLHUP comes unasked, and each shutdown(2) reports it anew. */
TEST(a_socket_that_hangs_up_without_end_is_not_heard_in_quarantine_either)
{
	struct peal_reactor_stats stats;
	struct peal_doorbell bell;
	pthread_t thread;
	int fds[2];

	start();
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	CHECK_EQ(peal_doorbell_borrow(&bell, PEAL_DOORBELL_SOCKET, fds[0],
				      fds[0]),
		 0);
	CHECK_EQ(peal_receiver_attach(&a.rx, &a.ring, &bell, NULL), 0);
	rig_serve(&loop, &a, drain);
	CHECK_EQ(pthread_create(&thread, NULL, hang_up_for_ever, &fds[1]), 0);
	while (a.closed == 0)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	cease_to_ring(thread);
	CHECK_EQ(a.reason, -EPROTO);
	stats = counts();
	CHECK(stats.wakeups <= BELLS * (QUARANTINES + 1));
	close(fds[0]);
	close(fds[1]);
	end();
}

/* -- bells of ours that have become dear */

#define COPIES 400
#define SETS 300
#define DEAR_NS 2000000u /* ten times what is held against a peer */

static int copies[COPIES], sets[SETS];

static uint64_t price(struct peal_doorbell *bell)
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
static void make_dear(struct peal_doorbell *bell)
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
	if (price(bell) < DEAR_NS)
		test_skip("%d watches do not make a bell dear here",
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

TEST(a_peer_whose_bell_stays_dear_is_left_and_the_others_are_served)
{
	int rounds = 0;

	start();
	rig_serve(&loop, &a, drain_some);
	rig_serve(&loop, &b, drain);
	make_dear(&a.space);
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
	make_dear(&a.space);
	for (int i = 0; i < 5; i++)
		ring_once(&a);
	make_cheap();
	for (int i = 0; i < 200; i++)
		ring_once(&a);
	CHECK_EQ(a.closed, 0);
	CHECK_EQ(a.calls, 205);
	end();
}
