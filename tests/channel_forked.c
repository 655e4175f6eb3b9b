/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * In a child after fork(2) every close is safe, in any order: it takes away
 * what is the child's, and nothing else; and what was closed is the child's to
 * use for something else, at once.
 */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../channel/internal.h"
#include "fixtures/service.h"

static struct peal_channel client;

/* -- on a reactor */

#define PARTS 5

static void close_one(int which)
{
	if (which == 0)
		peal_channel_close(&channels[0]);
	if (which == 1)
		peal_channel_close(&channels[1]); /* its client is silent */
	if (which == 2)
		peal_server_close(&server);
	if (which == 3)
		peal_reactor_close(&loop);
	if (which == 4)
		peal_channel_close(&client);
}

/* As memory that was freed, and has become something else. */
static void spoil(int which)
{
	if (which < 2)
		memset(&channels[which], 0xa5, sizeof(channels[which]));
	if (which == 2)
		memset(&server, 0xa5, sizeof(server));
	if (which == 3)
		memset(&loop, 0xa5, sizeof(loop));
	if (which == 4)
		memset(&client, 0xa5, sizeof(client));
}

static void in_order(int order, void (*then)(int which))
{
	int left[PARTS] = { 0, 1, 2, 3, 4 };

	alarm(20);
	for (int n = PARTS; n > 0; n--) {
		int i = order % n;

		order /= n;
		close_one(left[i]);
		then(left[i]);
		left[i] = left[n - 1];
	}
}

/* What others still point to stays; they are closed later. */
static void spoil_most(int which)
{
	if (which < 2 || which == 4)
		spoil(which);
}

static void close_and_spoil(void *arg)
{
	in_order(*(int *)arg, spoil_most);
}

/* The child has a reactor of its own, where the parent's copy was. */
static void make_anew(int which)
{
	if (which == 3)
		CHECK_EQ(peal_reactor_init(&loop, link_slots, LINK_SLOTS), 0);
}

static void close_and_make_anew(void *arg)
{
	in_order(*(int *)arg, make_anew);
	CHECK_EQ(peal_reactor_run_once(&loop, 0), 0);
	peal_reactor_close(&loop);
}

static void try_all_orders(enum link_host host, enum peal_doorbell_kind bells,
			   void (*close_all)(void *arg))
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_BOTH, 8);
	int silent, answered;
	struct peal_wire_hello wire;

	there = (struct party){ 0 };
	hello.bells = bells;
	service.callbacks.on_ended = NULL; /* one party for them all */
	service.handshake_ms = 60000;
	link_serve(host, &service);
	client_meets(&client, link_path, &hello);
	LINK_UNTIL(channels[0].life.state && there.opens);
	peal_wire_put_hello(&wire, &hello);
	silent = peal_socket_connect(link_path, 0);
	answered = peal_socket_connect(link_path, 0);
	CHECK_EQ(send(answered, &wire, sizeof(wire), 0), sizeof(wire));
	LINK_UNTIL(channels[1].member.server);
	for (int order = 0; order < 120; order++)
		test_join(test_fork(close_all, &order));
	/* Nothing of it has changed for the parent. */
	CHECK_EQ(link_folder_entries(), 1);
	CHECK_EQ(there.closes + here.closes, 0);
	CHECK_EQ(peal_sender_put(&client.sender, &(uint64_t){ 0 }, 1), 1);
	LINK_UNTIL(there.in == 1);
	close(silent);
	close(answered);
	peal_channel_close(&client);
	settle();
	link_end();
}

TEST(what_a_child_has_closed_is_its_own_to_reuse)
{
	test_needs_madvise();
	for (int host = LINK_OWN; host < LINK_HOSTS; host++)
		try_all_orders((enum link_host)host, PEAL_DOORBELL_NONE,
			       close_and_spoil);
	try_all_orders(LINK_OWN, PEAL_DOORBELL_SOCKET, close_and_spoil);
}

TEST(a_child_may_make_its_own_reactor_before_it_closes_the_rest)
{
	test_needs_madvise();
	try_all_orders(LINK_OWN, PEAL_DOORBELL_NONE, close_and_make_anew);
	try_all_orders(LINK_OWN, PEAL_DOORBELL_SOCKET, close_and_make_anew);
}

/* -- without one */

static void finish_copy(void *arg)
{
	peal_channel_close(arg);
}

/* One that connects, then forks a child that closes what it has. */
static void connect_and_fork(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_BOTH, 8);
	struct peal_channel ch;
	const uint64_t *item;

	hello.bells = *(enum peal_doorbell_kind *)arg;
	link_connect(&ch, &hello);
	link_put(&ch, 0, 1);
	test_join(test_fork(finish_copy, &ch));
	CHECK_EQ(peal_channel_check(&ch), 0);
	link_put(&ch, 1, 10);
	CHECK_EQ(peal_receiver_wait(&ch.receiver, 1, 10000, &item), 1);
	peal_channel_close(&ch);
}

TEST(a_child_that_closes_a_blocking_channel_ends_nothing)
{
	struct peal_service service = usual();

	for (int bells = PEAL_DOORBELL_EVENTFD; bells <= PEAL_DOORBELL_SOCKET;
	     bells++) {
		enum peal_doorbell_kind kind = (enum peal_doorbell_kind)bells;
		pid_t pid;

		there = (struct party){ .most = 1 };
		link_folder();
		pid = test_fork(connect_and_fork, &kind);
		link_serve(LINK_OWN, &service);
		LINK_UNTIL(there.closes);
		CHECK_EQ(there.in, 11);
		CHECK_EQ(there.reason, 0);
		test_join(pid);
		link_end();
	}
}

/* -- those that take it over */

static void take_over(void *arg)
{
	struct peal_channel *ch = arg;

	link_put(ch, 1, 10);
	peal_sender_finish(&ch->sender); /* says the end, whoever says it */
	peal_channel_close(ch);
}

static void connect_and_hand_over(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel ch;

	(void)arg;
	link_connect(&ch, &hello);
	link_put(&ch, 0, 1);
	test_join(test_fork(take_over, &ch));
}

TEST(a_child_that_takes_a_sender_over_ends_the_stream_by_itself)
{
	struct peal_service service = usual();
	pid_t pid;

	there = (struct party){ 0 };
	link_folder();
	pid = test_fork(connect_and_hand_over, NULL);
	link_serve(LINK_OWN, &service);
	LINK_UNTIL(there.closes);
	CHECK_EQ(there.in, 11);
	CHECK_EQ(there.reason, 0);
	test_join(pid);
	link_end();
}
