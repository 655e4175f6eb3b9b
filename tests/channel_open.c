/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Who was told yes is served: a connect returns 0 once the server has opened
 * the channel, no client is refused for want of room, and no delay of the
 * server's own ends a handshake.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../channel/internal.h"
#include "fixtures/service.h"

static struct peal_channel client;

/* The handshake that is under way, or NULL. */
static struct peal_handshake *under_way(void)
{
	for (int i = 0; i < PEAL_HANDSHAKES; i++)
		if (server.places.handshakes[i].server)
			return &server.places.handshakes[i];
	return NULL;
}

/* Serve until the client has been answered, and wait for what it says to it. */
static void wait_for_ready(void)
{
	struct peal_handshake *handshake;
	struct pollfd pfd = { .events = POLLIN };

	LINK_UNTIL((handshake = under_way()) &&
		   handshake->stage == PEAL_STAGE_READY);
	pfd.fd = handshake->made.fd;
	CHECK_EQ(poll(&pfd, 1, -1), 1);
}

/* -- told yes */

static void connect_in_vain(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel ch;
	int fds = test_count_fds();

	(void)arg;
	CHECK_EQ(peal_connect(&ch, link_path, &hello, 200), -ETIMEDOUT);
	CHECK(strcmp(ch.text,
		     "the server has not opened the channel in time") == 0);
	CHECK_EQ(test_count_fds(), fds);
}

TEST(a_connect_that_the_server_has_not_opened_is_not_told_yes)
{
	struct peal_service service = usual();
	pid_t pid;

	link_serve(LINK_OWN, &service);
	pid = test_fork(connect_in_vain, NULL);
	wait_for_ready();
	test_join(pid);
	LINK_UNTIL(refused.n);
	CHECK_EQ(refused.n, 1);
	CHECK_EQ(refused.reason, -EPIPE);
	CHECK_EQ(there.opens + there.closes, 0);
	link_end();
}

TEST(on_a_reactor_a_channel_opens_once_the_server_has_opened_it)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_BOTH, 8);
	struct peal_channel_callbacks callbacks = party_callbacks(&here);

	for (int host = LINK_OWN; host < LINK_HOSTS; host++) {
		here = there = (struct party){ 0 };
		link_serve((enum link_host)host, &service);
		CHECK_EQ(peal_connect_on(&client, &loop, link_path, &hello,
					 &callbacks, 0),
			 0);
		while (!here.opens) {
			link_once(true);
			CHECK(there.opens >= here.opens);
		}
		CHECK_EQ(there.opens, 1);
		peal_channel_close(&client);
		LINK_UNTIL(there.closes);
		CHECK_EQ(here.opens, 1);
		link_end();
	}
}

/* -- killed while it joins */

#define CARRIED 100

static struct link_gate published, vanished;

/* A sender whose receiver takes nothing, and is gone then. */
static void send_then_lose_it(struct peal_channel *ch, const void *bells,
			      bool finishes)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 128);

	hello.bells = *(const enum peal_doorbell_kind *)bells;
	link_connect(ch, &hello);
	link_put(ch, 0, CARRIED);
	if (finishes)
		peal_sender_finish(&ch->sender);
	link_gate_open(&published);
	link_gate_sleep(&vanished);
}

/* That sender, which joins the next server; and that server. */
static pid_t lose_then_serve(void (*sender)(void *arg),
			     enum peal_doorbell_kind bells)
{
	struct peal_service service = usual();
	pid_t pid;

	there = (struct party){ .deaf = true };
	link_folder();
	link_gate_init(&published);
	link_gate_init(&vanished);
	pid = test_fork(sender, &bells);
	link_serve(LINK_OWN, &service);
	LINK_UNTIL(there.opens);
	/* What comes is not served, so that nobody is told of an end. */
	link_gate_sleep(&published);
	peal_server_close(&server);
	CHECK_EQ(there.in, 0);
	there = (struct party){ .most = CARRIED };
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service), 0);
	link_gate_open(&vanished);
	return pid;
}

/* All of it has come, once. */
static void check_carried(int reason)
{
	LINK_UNTIL(there.opens && there.closes && there.reason == reason);
	CHECK_EQ(there.opens, 1);
	CHECK_EQ(there.in, CARRIED);
	link_gate_finish(&published);
	link_gate_finish(&vanished);
	link_end();
}

static void join_and_wait(void *bells)
{
	struct peal_channel ch;

	send_then_lose_it(&ch, bells, false);
	while (peal_reconnect(&ch, -1) < 0)
		usleep(1000);
	for (;;)
		pause();
}

TEST(a_sender_that_is_killed_as_it_joins_anew_has_brought_everything)
{
	for (int bells = PEAL_DOORBELL_EVENTFD; bells <= PEAL_DOORBELL_SOCKET;
	     bells++) {
		pid_t pid = lose_then_serve(join_and_wait,
					    (enum peal_doorbell_kind)bells);

		wait_for_ready();
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		check_carried(-EPIPE);
	}
}

static void join_in_vain_first(void *bells)
{
	struct peal_channel ch;

	send_then_lose_it(&ch, bells, false);
	while (peal_reconnect(&ch, 200) != -ETIMEDOUT)
		usleep(1000);
	link_gate_open(&published);
	CHECK_EQ(peal_reconnect(&ch, -1), 0);
	CHECK_EQ(peal_sender_drain(&ch.sender, -1), 0);
	peal_channel_close(&ch);
}

/* What it brought at first is not delivered, for it brings it again. */
TEST(a_sender_that_gives_up_as_it_joins_delivers_nothing_twice)
{
	for (int bells = PEAL_DOORBELL_EVENTFD; bells <= PEAL_DOORBELL_SOCKET;
	     bells++) {
		pid_t pid = lose_then_serve(join_in_vain_first,
					    (enum peal_doorbell_kind)bells);

		wait_for_ready();
		link_gate_sleep(&published);
		check_carried(0);
		test_join(pid);
	}
}

static void join_with_its_end(void *bells)
{
	struct peal_channel ch;

	send_then_lose_it(&ch, bells, true);
	while (peal_reconnect(&ch, -1) < 0)
		usleep(1000);
	while (peal_channel_check(&ch) == 0)
		usleep(1000);
	CHECK_EQ(peal_channel_check(&ch), 1);
	peal_channel_close(&ch);
}

/* The end of a stream rings a bell, and before OPEN there are none. */
TEST(a_stream_that_has_ended_is_carried_over_with_its_end)
{
	for (int bells = PEAL_DOORBELL_EVENTFD; bells <= PEAL_DOORBELL_SOCKET;
	     bells++) {
		pid_t pid = lose_then_serve(join_with_its_end,
					    (enum peal_doorbell_kind)bells);

		check_carried(0);
		test_join(pid);
	}
}

/* -- many at once */

#define HERD 90

static struct peal_channel herd[HERD];
static struct link_gate go;
static int opened, items;

static void slow_open(struct peal_channel *ch, void *user)
{
	(void)ch;
	(void)user;
	opened++;
	usleep(1000);
}

static long count_items(struct peal_channel *ch, void *user)
{
	uint64_t item;

	(void)user;
	while (peal_receiver_get(&ch->receiver, &item, 1) > 0)
		items++;
	return PEAL_DONE;
}

/* It is told yes, leaves an item, and does not look back. */
static void herd_client(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, *(uint64_t *)arg);
	struct peal_channel ch;
	uint64_t item = 1;

	close(go.fds[1]);
	CHECK_EQ(read(go.fds[0], &item, 1), 0);
	CHECK_EQ(peal_connect(&ch, link_path, &hello, -1), 0);
	CHECK_EQ(peal_sender_put(&ch.sender, &item, 1), 1);
}

static void serve_herd(uint64_t capacity)
{
	struct peal_service service = {
		.accept = { .item_size = 8 },
		.channels = herd,
		.n_channels = HERD,
		.callbacks = { .on_open = slow_open,
			       .on_readable = count_items,
			       .user = &there },
		.on_refused = on_refused,
	};
	struct peal_server_stats stats;
	pid_t pids[HERD];

	link_folder();
	CHECK_EQ(pipe(go.fds), 0);
	for (int i = 0; i < HERD; i++)
		pids[i] = test_fork(herd_client, &capacity);
	_Static_assert(PEAL_SERVER_SLOTS(HERD) <= LINK_SLOTS, "slots");
	link_serve(LINK_OWN, &service);
	link_gate_finish(&go);
	opened = items = 0;
	do {
		link_once(true);
		peal_server_stats(&server, &stats);
	} while (items < HERD || stats.channels > 0);
	CHECK_EQ(opened, HERD);
	CHECK_EQ(items, HERD);
	CHECK_EQ(refused.n, 0);
	for (int i = 0; i < HERD; i++)
		test_join(pids[i]);
	link_end();
}

TEST(ninety_clients_at_once_are_all_served_by_a_slow_server)
{
	serve_herd(0);
}

TEST(ninety_clients_with_large_rings_are_all_served)
{
	serve_herd((1 << 20) / 8);
}

/* More than wait in the server, and more than wait in the kernel. */
TEST(a_full_queue_is_waited_for_on_a_reactor)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel_callbacks callbacks = party_callbacks(&here);
	struct sockaddr_un at;
	socklen_t size;
	char address[16];
	int fd, queued[16], n = 0;

	link_folder();
	link_reactor(LINK_OWN);
	CHECK_EQ(peal_socket_address(&at, &size, link_path), 0);
	fd = peal_socket_make();
	CHECK_EQ(bind(fd, (struct sockaddr *)&at, size), 0);
	CHECK_EQ(listen(fd, 0), 0);
	while (n < 16 && (queued[n] = peal_socket_connect(link_path, 0)) >= 0)
		n++;
	CHECK(n < 16);
	CHECK_EQ(peal_connect_on(&client, &loop, link_path, &hello, &callbacks,
				 0),
		 0);
	for (int i = 0; i < 10; i++)
		link_once(true);
	CHECK_EQ(here.opens + here.closes, 0);
	snprintf(address, sizeof(address), "fd:%d", fd);
	CHECK_EQ(peal_server_listen_on(&server, &loop, address, &service), 0);
	LINK_UNTIL(here.opens);
	peal_channel_close(&client);
	for (int i = 0; i < n; i++)
		close(queued[i]);
	settle();
	peal_server_close(&server);
	close(fd);
	unlink(link_path);
	link_end();
}

static void connect_to_a_full_queue(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel ch;

	(void)arg;
	CHECK_EQ(peal_connect(&ch, link_path, &hello, 0), -ETIMEDOUT);
	CHECK(strcmp(ch.text, "the server's queue is full") == 0);
	CHECK_EQ(peal_connect(&ch, link_path, &hello, 20), -ETIMEDOUT);
	CHECK(strcmp(ch.text, "the server's queue is full") == 0);
	link_gate_open(&go);
	CHECK_EQ(peal_connect(&ch, link_path, &hello, -1), 0);
	link_put(&ch, 0, 10);
	peal_channel_close(&ch);
}

TEST(a_full_queue_is_waited_for_by_a_blocking_connect)
{
	struct peal_service service = usual();
	struct sockaddr_un at;
	socklen_t size;
	char address[16];
	int fd, queued[16], n = 0;
	pid_t pid;

	link_folder();
	link_gate_init(&go);
	CHECK_EQ(peal_socket_address(&at, &size, link_path), 0);
	fd = peal_socket_make();
	CHECK_EQ(bind(fd, (struct sockaddr *)&at, size), 0);
	CHECK_EQ(listen(fd, 0), 0);
	while (n < 16 && (queued[n] = peal_socket_connect(link_path, 0)) >= 0)
		n++;
	pid = test_fork(connect_to_a_full_queue, NULL);
	link_gate_sleep(&go);
	link_reactor(LINK_OWN);
	snprintf(address, sizeof(address), "fd:%d", fd);
	CHECK_EQ(peal_server_listen_on(&server, &loop, address, &service), 0);
	LINK_UNTIL(there.closes);
	CHECK_EQ(there.in, 10);
	test_join(pid);
	for (int i = 0; i < n; i++)
		close(queued[i]);
	settle();
	peal_server_close(&server);
	close(fd);
	unlink(link_path);
	link_gate_finish(&go);
	link_end();
}

/* -- whose time it is */

TEST(a_delay_of_the_servers_own_ends_no_handshake)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel_callbacks callbacks = party_callbacks(&here);

	service.handshake_ms = 1;
	link_serve(LINK_OWN, &service);
	for (int i = 0; i < 5; i++) {
		here = there = (struct party){ 0 };
		CHECK_EQ(peal_connect_on(&client, &loop, link_path, &hello,
					 &callbacks, 0),
			 0);
		while (!here.opens) {
			CHECK_EQ(here.closes + there.closes + refused.n, 0);
			link_once(true);
			usleep(20000); /* other work, every turn */
		}
		peal_channel_close(&client);
		settle();
	}
	link_end();
}

static long works_all_the_time(struct peal_channel *ch, void *user)
{
	uint64_t item;

	(void)user;
	if (strcmp(ch->hello.name, "worker") != 0)
		return count_items(ch, user);
	if (peal_receiver_get(&ch->receiver, &item, 1) < 0)
		return PEAL_DONE;
	usleep(50000);
	return PEAL_MORE;
}

static void ask_for_a_large_ring(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel worker, large;

	(void)arg;
	strcpy(hello.name, "worker");
	link_connect(&worker, &hello);
	link_put(&worker, 0, 2);
	strcpy(hello.name, "large");
	hello.capacity = (64 << 20) / 8;
	link_connect(&large, &hello);
	link_put(&large, 0, 100);
	/* And goes, without a look back. */
}

TEST(a_large_ring_is_opened_between_slow_turns)
{
	struct peal_service service = usual();
	pid_t pid;

	service.handshake_ms = 300; /* it takes some 20 turns */
	service.callbacks.on_readable = works_all_the_time;
	service.callbacks.on_open = NULL;
	items = 0;
	link_folder();
	pid = test_fork(ask_for_a_large_ring, NULL);
	link_serve(LINK_OWN, &service);
	LINK_UNTIL(items == 100);
	test_join(pid);
	settle();
	link_end();
}

/* -- those that are gone, and those that are silent */

TEST(clients_that_are_gone_before_they_are_met_cost_nobody_a_place)
{
	struct peal_server_stats stats;
	int fds;

	start();
	CHECK_EQ(serve_at(link_path), 0);
	fds = test_count_fds();
	for (int i = 0; i < 20; i++) {
		int fd = peal_socket_connect(link_path, 0);

		CHECK(fd >= 0);
		close(fd);
	}
	LINK_UNTIL(refused.n >= 20);
	check_refused(-EPIPE, "");
	peal_server_stats(&server, &stats);
	CHECK_EQ(stats.connections, 20);
	CHECK_EQ(stats.failed, 20);
	CHECK_EQ(stats.handshakes + stats.waiting, 0);
	CHECK_EQ(test_count_fds(), fds);
	link_end();
}

static void meet_at_last(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel ch;

	(void)arg;
	link_gate_sleep(&go);
	CHECK_EQ(peal_connect(&ch, link_path, &hello, -1), 0);
	peal_channel_close(&ch);
}

/* Of its own user, which has all of its places in use. */
TEST(a_client_waits_until_those_that_do_not_answer_make_way)
{
	struct peal_wire_hello wire;
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_service service = usual();
	struct peal_server_stats stats;
	int fds[PEAL_HANDSHAKES_PER_UID];
	pid_t pid;

	service.channels = herd;
	service.n_channels = HERD;
	link_folder();
	link_gate_init(&go);
	pid = test_fork(meet_at_last, NULL);
	link_serve(LINK_OWN, &service);
	peal_wire_put_hello(&wire, &hello);
	for (int i = 0; i < PEAL_HANDSHAKES_PER_UID; i++) {
		fds[i] = peal_socket_connect(link_path, 0);
		CHECK(fds[i] >= 0);
		CHECK_EQ(send(fds[i], &wire, sizeof(wire), 0), sizeof(wire));
	}
	do {
		link_once(true);
		peal_server_stats(&server, &stats);
	} while (stats.handshakes < PEAL_HANDSHAKES_PER_UID);
	for (int i = 0; i < PEAL_HANDSHAKES_PER_UID; i++)
		CHECK(recv(fds[i], &wire, sizeof(wire), 0) > 0);
	link_gate_open(&go);
	LINK_UNTIL(there.opens);
	/* The others have made way. */
	CHECK_EQ(refused.n, 0);
	for (int i = 0; i < PEAL_HANDSHAKES_PER_UID; i++)
		close(fds[i]);
	test_join(pid);
	settle();
	link_gate_finish(&go);
	link_end();
}

#define CROWD 40

enum finish_in {
	IN_NONE,
	IN_ADMIT,
	IN_REFUSED,
	PLACES_OF_FINISH
};
static enum finish_in finish_in;
static int admitted;

static void finish_if(enum finish_in place)
{
	if (finish_in == place)
		peal_server_close(&server);
}

static bool admit_then_finish(const struct peal_hello *hello,
			      const struct peal_peer *peer, const char **why,
			      void *user)
{
	(void)hello;
	(void)peer;
	(void)user;
	if (++admitted == PEAL_HANDSHAKES_PER_UID)
		finish_if(IN_ADMIT);
	*why = "no";
	return finish_in != IN_REFUSED || admitted != 3;
}

static void refused_then_finish(const struct peal_peer *peer, int reason,
				const char *text, void *user)
{
	on_refused(peer, reason, text, user);
	finish_if(IN_REFUSED);
}

static void finish_with_a_crowd(enum finish_in place)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_service service = usual();
	struct peal_server_stats stats;
	struct peal_wire_hello wire;
	int fds[CROWD], before, n = CROWD;

	finish_in = place;
	admitted = 0;
	refused.n = 0;
	there = (struct party){ 0 };
	service.admit = admit_then_finish;
	service.channels = herd;
	service.n_channels = HERD;
	service.on_refused = refused_then_finish;
	service.handshake_ms = 200;
	link_serve(LINK_OWN, &service);
	before = test_count_fds();
	peal_wire_put_hello(&wire, &hello);
	for (int i = 0; i < CROWD; i++) {
		fds[i] = peal_socket_connect(link_path, 0);
		CHECK(fds[i] >= 0);
		CHECK_EQ(send(fds[i], &wire, sizeof(wire), 0), sizeof(wire));
		if (i % 16 == 15)
			link_once(true);
		if (!server.loop) {
			n = i + 1;
			break;
		}
	}
	peal_server_stats(&server, &stats);
	while (server.loop && stats.handshakes + stats.waiting < CROWD) {
		link_once(true);
		peal_server_stats(&server, &stats);
	}
	if (place == IN_NONE) {
		CHECK_EQ(stats.handshakes, PEAL_HANDSHAKES_PER_UID);
		CHECK_EQ(stats.waiting, CROWD - PEAL_HANDSHAKES_PER_UID);
		peal_server_close(&server);
	}
	LINK_UNTIL(!server.loop);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	for (int i = 0; i < HERD; i++)
		CHECK(!herd[i].member.server);
	CHECK_EQ(test_count_fds(), before - 1); /* the listener's */
	link_end();
}

TEST(a_server_may_be_finished_anywhere_while_connections_wait)
{
	for (int place = IN_NONE; place < PLACES_OF_FINISH; place++)
		finish_with_a_crowd((enum finish_in)place);
}

TEST(a_socket_may_be_served_though_connections_wait)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_service service = usual();
	struct peal_wire_hello wire;
	int fds[PEAL_HANDSHAKES_PER_UID + PEAL_WAITING + 1][2], n = 0, before;

	service.channels = herd;
	service.n_channels = HERD;
	service.on_refused = NULL; /* nothing is known of them */
	link_serve(LINK_OWN, &service);
	before = test_count_fds();
	peal_wire_put_hello(&wire, &hello);
	for (;;) {
		int ret;

		CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds[n]), 0);
		CHECK_EQ(send(fds[n][0], &wire, sizeof(wire), 0), sizeof(wire));
		ret = peal_server_add(&server, fds[n][1], false);
		close(fds[n][1]);
		if (ret < 0)
			CHECK_EQ(ret, -EAGAIN);
		if (ret < 0)
			break;
		n++;
	}
	CHECK_EQ(n, PEAL_HANDSHAKES_PER_UID + PEAL_WAITING);
	for (int i = 0; i <= n; i++)
		close(fds[i][0]);
	settle();
	CHECK_EQ(test_count_fds(), before);
	link_end();
}

/* -- in a forked child, in any order */

static void close_one(int which)
{
	if (which == 0)
		peal_channel_close(&channels[0]);
	if (which == 1)
		peal_server_close(&server);
	if (which == 2)
		peal_reactor_close(&loop);
	if (which == 3)
		peal_channel_close(&client);
}

static void close_in_child(void *arg)
{
	int left[] = { 0, 1, 2, 3 }, order = *(int *)arg;

	alarm(20);
	for (int n = 4; n > 0; n--) {
		int i = order % n;

		order /= n;
		close_one(left[i]);
		left[i] = left[n - 1];
	}
	/* And once more, all of it. */
	for (int i = 0; i < 4; i++)
		close_one(i);
}

TEST(in_a_forked_child_everything_may_be_closed_in_any_order)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_BOTH, 8);
	int silent, answered;
	struct peal_wire_hello wire;

	test_needs_madvise();
	service.callbacks.on_ended = NULL; /* one party for them all */
	service.handshake_ms = 60000;
	link_serve(LINK_OWN, &service);
	client_meets(&client, link_path, &hello);
	peal_wire_put_hello(&wire, &hello);
	silent = peal_socket_connect(link_path, 0);
	answered = peal_socket_connect(link_path, 0);
	CHECK_EQ(send(answered, &wire, sizeof(wire), 0), sizeof(wire));
	LINK_UNTIL(channels[1].member.server);
	for (int order = 0; order < 24; order++)
		test_join(test_fork(close_in_child, &order));
	/* Nothing of it has changed for the parent. */
	CHECK_EQ(there.closes + here.closes + refused.n, 0);
	CHECK_EQ(peal_sender_put(&client.sender, &(uint64_t){ 0 }, 1), 1);
	LINK_UNTIL(there.in == 1);
	close(silent);
	close(answered);
	peal_channel_close(&client);
	settle();
	link_end();
}
