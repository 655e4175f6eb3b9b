/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a server allows, in all and each user; what it does without fds; and
 * that it may be finished at any time, from any callback.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../channel/internal.h"
#include "fixtures/service.h"

static struct peal_channel clients[CHANNELS];

/* -- limits */

static void expect(int reason, const char *text)
{
	CHECK_EQ(here.opens, 0);
	CHECK_EQ(here.reason, reason);
	if (strcmp(here.text, text) != 0)
		test_fail(__FILE__, __LINE__, "was told \"%s\"", here.text);
	check_refused(reason, text);
}

static void fill_then_expect(const struct peal_service *service, int n,
			     uint64_t capacity, const char *text)
{
	struct peal_server_stats stats;

	start();
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, service), 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < n; i++) {
			client_meets_as_sender(&clients[i], link_path,
					       capacity);
			CHECK_EQ(here.opens, 1);
		}
		client_meets_as_sender(&clients[n], link_path, capacity);
		expect(-EAGAIN, text);
		LINK_UNTIL(there.opens == n * (round + 1));
		peal_server_stats(&server, &stats);
		CHECK_EQ(stats.channels, n);
		/* One goes, one may come. */
		peal_channel_close(&clients[0]);
		LINK_UNTIL(there.closes);
		client_meets_as_sender(&clients[0], link_path, capacity);
		CHECK_EQ(here.opens, 1);
		there.opens--;
		for (int i = 0; i < n; i++)
			peal_channel_close(&clients[i]);
		settle();
		there.opens = n;
		there.closes = 0;
	}
	link_end();
}

TEST(channels_are_as_many_as_there_is_storage_for)
{
	struct peal_service service = usual();

	service.n_channels = 3;
	fill_then_expect(&service, 3, 0,
			 "the server allows 3 channels, and all are in use");
}

TEST(channels_are_limited_in_all)
{
	struct peal_service service = usual();

	service.max_channels = 2;
	fill_then_expect(&service, 2, 0,
			 "the server allows 2 channels, and all are in use");
}

TEST(channels_are_limited_for_each_user)
{
	struct peal_service service = usual();

	service.max_per_uid = 2;
	fill_then_expect(&service, 2, 0,
			 "the server allows 2 channels for each user, and all "
			 "are in use");
}

TEST(bytes_are_limited_for_each_user)
{
	struct peal_service service = usual();

	if (peal_mem_page(0) != 4096)
		test_skip("the figures are those of pages of 4096 bytes");
	/* 512 items of 8 bytes: 4 KiB each. */
	service.max_bytes_per_uid = 3 * 4096 + 100;
	fill_then_expect(&service, 3, 512,
			 "the server allows 12388 bytes for each user, and all "
			 "are in use");
}

TEST(silent_connections_do_not_keep_a_client_out)
{
	struct peal_server_stats stats;
	int fds[100], before;

	start();
	CHECK_EQ(serve_at(link_path), 0);
	before = test_count_fds();
	for (int i = 0; i < 100; i++) {
		fds[i] = peal_socket_connect(link_path, 0);
		CHECK(fds[i] >= 0);
		link_once(false);
	}
	for (int i = 0; i < 20; i++)
		link_once(false);
	peal_server_stats(&server, &stats);
	CHECK_EQ(stats.connections, 100);
	CHECK_EQ(stats.handshakes, PEAL_HANDSHAKES_PER_UID);
	CHECK_EQ(stats.failed, 100 - PEAL_HANDSHAKES_PER_UID);
	/* A client that lives connects again, so nobody was refused. */
	CHECK_EQ(refused.n, 0);
	client_meets_as_sender(&clients[0], link_path, 0);
	CHECK_EQ(here.opens, 1);
	peal_channel_close(&clients[0]);
	for (int i = 0; i < 100; i++)
		close(fds[i]);
	settle();
	CHECK_EQ(test_count_fds(), before);
	link_end();
}

/* -- fds run out */

static void connect_many(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 0);
	struct peal_channel ch[CHANNELS];

	(void)arg;
	hello.bells = PEAL_DOORBELL_SOCKET;
	for (int i = 0; i < CHANNELS; i++) {
		/* What the server lacks it may have later. */
		int ret;

		while ((ret = peal_connect(&ch[i], link_path, &hello, -1)) <
		       0) {
			/* The client lacks nothing, and nobody refuses. The
			 * server may not be there yet, or may not listen yet.
			 */
			CHECK(ret == -ENOENT || ret == -ECONNREFUSED ||
			      ret == -EREMOTEIO);
			usleep(1000);
		}
	}
	for (int i = 0; i < CHANNELS; i++)
		peal_channel_close(&ch[i]);
}

static void set_fd_limit(int n)
{
	struct rlimit limit;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = n ? (rlim_t)n : limit.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

TEST(a_server_without_fds_pauses_and_comes_back)
{
	struct peal_reactor_stats stats;
	uint64_t rounds;
	int fds, lowest;
	pid_t pid;

	link_folder();
	pid = test_fork(connect_many, NULL);
	link_reactor(LINK_OWN);
	CHECK_EQ(serve_at(link_path), 0);
	fds = test_count_fds();
	lowest = dup(0);
	close(lowest);
	set_fd_limit(lowest); /* fds in use may have larger numbers */
	LINK_UNTIL(server.listening.paused);
	peal_reactor_stats(&loop, &stats);
	rounds = stats.iterations;
	for (int i = 0; i < 5; i++)
		LINK_UNTIL(server.listening.paused);
	/* Paused it sleeps, and does not spin on a listener that is ready. */
	link_once(true);
	link_once(true);
	peal_reactor_stats(&loop, &stats);
	CHECK(stats.iterations - rounds < 50);
	set_fd_limit(0);
	LINK_UNTIL(there.opens >= CHANNELS && there.closes >= CHANNELS);
	test_join(pid);
	settle();
	CHECK_EQ(test_count_fds(), fds);
	link_end();
}

/* -- the end */

TEST(a_server_may_be_finished_while_handshakes_are_pending)
{
	int silent[5], fds;

	start();
	fds = test_count_fds();
	CHECK_EQ(serve_at(link_path), 0);
	for (int i = 0; i < 5; i++)
		silent[i] = peal_socket_connect(link_path, 0);
	for (int i = 0; i < 10; i++)
		link_once(false);
	client_meets_as_sender(&clients[0], link_path, 0);
	peal_server_close(&server);
	peal_server_close(&server);
	for (int i = 0; i < 5; i++) {
		CHECK(peal_socket_hung_up(silent[i]));
		close(silent[i]);
	}
	LINK_UNTIL(here.closes);
	CHECK_EQ(here.reason, -EPIPE);
	CHECK_EQ(there.closes, 0);
	CHECK_EQ(test_count_fds(), fds);
	CHECK(is_unused(channels));
	link_end();
}

static void finish_in_child(void *arg)
{
	(void)arg;
	alarm(20);
	peal_server_close(&server);
	peal_reactor_close(&loop);
}

TEST(a_forked_child_that_finishes_the_server_leaves_it_to_its_parent)
{
	int silent;

	test_needs_madvise();
	start();
	CHECK_EQ(serve_at(link_path), 0);
	silent = peal_socket_connect(link_path, 0);
	client_meets_as_sender(&clients[0], link_path, 0);
	LINK_UNTIL(there.opens);
	test_join(test_fork(finish_in_child, NULL));
	CHECK_EQ(link_folder_entries(), 1);
	close(silent);
	client_meets_as_sender(&clients[1], link_path, 0);
	CHECK_EQ(here.opens, 1);
	peal_channel_close(&clients[0]);
	peal_channel_close(&clients[1]);
	settle();
	CHECK_EQ(there.closes, 2);
	CHECK_EQ(there.reason, 0);
	link_end();
}

enum place {
	ADMIT,
	OPEN,
	READABLE,
	WRITABLE,
	ENDED,
	CLOSED,
	REFUSED,
	PLACES
};

static const char *const places[] = {
	"a_server_may_be_finished_in_admit",
	"a_server_may_be_finished_in_on_open",
	"a_server_may_be_finished_in_on_readable",
	"a_server_may_be_finished_in_on_writable",
	"a_server_may_be_finished_in_on_ended",
	"a_server_may_be_finished_in_on_closed",
	"a_server_may_be_finished_in_on_refused",
};

static enum place place;
static int fired, after;

static void fire(enum place now)
{
	after += fired;
	if (now != place)
		return;
	fired++;
	peal_server_close(&server);
	memset(&server, 0xee, sizeof(server));
	memset(channels, 0xee, sizeof(channels));
}

static bool fire_admit(const struct peal_hello *hello,
		       const struct peal_peer *peer, const char **why,
		       void *user)
{
	(void)hello;
	(void)peer;
	(void)why;
	(void)user;
	fire(ADMIT);
	return place != REFUSED;
}

static void fire_open(struct peal_channel *ch, void *user)
{
	(void)ch;
	(void)user;
	fire(OPEN);
}

static long fire_readable(struct peal_channel *ch, void *user)
{
	party_take(user, &ch->receiver);
	fire(READABLE);
	return PEAL_DONE;
}

static long fire_writable(struct peal_channel *ch, void *user)
{
	(void)ch;
	(void)user;
	fire(WRITABLE);
	return PEAL_DONE;
}

static void fire_ended(struct peal_channel *ch, void *user)
{
	(void)ch;
	(void)user;
	fire(ENDED);
}

static void fire_closed(struct peal_channel *ch, int reason, void *user)
{
	(void)ch;
	(void)reason;
	(void)user;
	fire(CLOSED);
}

static void fire_refused(const struct peal_peer *peer, int reason,
			 const char *text, void *user)
{
	(void)peer;
	(void)reason;
	(void)text;
	(void)user;
	fire(REFUSED);
}

static void finish_in_callback(const void *arg)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_BOTH, 512);
	struct peal_channel_callbacks callbacks = party_callbacks(&here);
	int fds;

	place = (enum place)((const char *const *)arg - places);
	start();
	fds = test_count_fds();
	service.admit = fire_admit;
	service.on_refused = fire_refused;
	service.callbacks = (struct peal_channel_callbacks){
		.on_open = fire_open,
		.on_readable = fire_readable,
		.on_writable = fire_writable,
		.on_ended = fire_ended,
		.on_closed = fire_closed,
		.user = &there,
	};
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service), 0);
	here.most = 100;
	here.finishes = true;
	CHECK_EQ(peal_connect_on(&clients[0], &loop, link_path, &hello,
				 &callbacks, 0),
		 0);
	if (place == CLOSED) {
		LINK_UNTIL(here.opens);
		peal_channel_close(&clients[0]);
	}
	LINK_UNTIL(fired && (here.closes || place == CLOSED));
	for (int i = 0; i < 20; i++)
		link_once(false);
	CHECK_EQ(fired, 1);
	CHECK_EQ(after, 0);
	CHECK_EQ(test_count_fds(), fds);
	memset(&server, 0, sizeof(server));
	link_end();
}

__attribute__((constructor)) static void add_places(void)
{
	static struct test tests[PLACES];

	for (int i = 0; i < PLACES; i++)
		test_register_row(&tests[i], places[i], finish_in_callback,
				  &places[i]);
}

/* -- a callback that brings another client */

static int spare = -1;

static void add_another(const struct peal_peer *peer, int reason,
			const char *text, void *user)
{
	on_refused(peer, reason, text, user);
	if (spare >= 0)
		CHECK_EQ(peal_server_add(&server, spare, true), 0);
	spare = -1;
}

static void pair_client(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 0);
	struct peal_channel ch;

	close_from(*(int *)arg + 1);
	CHECK_EQ(peal_connect_fd(&ch, *(int *)arg, &hello, -1), 0);
	link_put(&ch, 0, 1000);
	peal_channel_close(&ch);
}

/* The next client needs a place, so the server reads what lies in the sockets:
 * the callback takes the place that becomes free then. */
TEST(a_client_may_be_added_while_another_is_turned_away)
{
	struct peal_service service = usual();
	int fds[PEAL_HANDSHAKES_PER_UID + 1], before, pair[2];
	pid_t pid;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
		 0);
	pid = test_fork(pair_client, &pair[0]);
	close(pair[0]);
	start();
	service.on_refused = add_another;
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service), 0);
	before = test_count_fds();
	spare = pair[1];
	for (int i = 0; i <= PEAL_HANDSHAKES_PER_UID; i++) {
		fds[i] = peal_socket_connect(link_path, 0);
		if (i == PEAL_HANDSHAKES_PER_UID)
			CHECK_EQ(send(fds[0], "no hello", 8, 0), 8);
		link_once(false);
	}
	LINK_UNTIL(there.closes);
	CHECK_EQ(there.in, 1000);
	CHECK_EQ(there.reason, 0);
	for (int i = 0; i <= PEAL_HANDSHAKES_PER_UID; i++)
		close(fds[i]);
	settle();
	CHECK_EQ(test_count_fds(), before);
	close(pair[1]);
	test_join(pid);
	link_end();
}
