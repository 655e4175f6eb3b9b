/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The packets of a handshake, sent and answered by hand: what is not one is
 * told so, another version is told in words, and nobody waits for ever.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../channel/internal.h"
#include "fixtures/service.h"

/* -- packets by hand */

static int raw_connect(void)
{
	int fd = peal_socket_connect(link_path, 0);

	CHECK(fd >= 0);
	return fd;
}

static struct peal_wire_hello raw_hello(void)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_wire_hello wire;

	peal_wire_put_hello(&wire, &hello);
	return wire;
}

/* What the server says to a packet; its fds are closed. */
static void raw_ask(const void *packet, size_t size,
		    struct peal_wire_answer *answer)
{
	int fd = raw_connect();
	int fds[PEAL_FDS];
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	CHECK_EQ(send(fd, packet, size, 0), size);
	refused.n = 0;
	while (poll(&pfd, 1, 1) == 0)
		link_once(false);
	CHECK_EQ(peal_socket_receive_fds(fd, answer, sizeof(*answer), fds), 0);
	for (int i = 0; i < PEAL_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	close(fd);
	settle();
}

static void check_raw(const void *packet, size_t size, int reason,
		      const char *text)
{
	struct peal_wire_answer answer;

	raw_ask(packet, size, &answer);
	CHECK_EQ(answer.start.magic, PEAL_WIRE_ANSWER);
	if (strcmp(answer.start.text, text) != 0)
		test_fail(__FILE__, __LINE__, "answer \"%s\"",
			  answer.start.text);
	CHECK_EQ(answer.start.status, reason);
	CHECK_EQ(refused.n, 1);
	check_refused(reason, text);
}

/* As a machine of the other byte order says it. */
static void swap_start(struct peal_wire_start *start)
{
	start->magic = __builtin_bswap64(start->magic);
	start->version = __builtin_bswap32(start->version);
	start->endian = __builtin_bswap32(start->endian);
	start->layout = __builtin_bswap32(start->layout);
}

TEST(another_version_is_named_to_both_sides)
{
	struct peal_service service = usual();
	struct peal_wire_hello wire = raw_hello();
	char later[sizeof(wire) + 64] = { 0 };
	int fds;

	link_serve(LINK_OWN, &service);
	fds = test_count_fds();
	wire.start.version = 3;
	check_raw(&wire, sizeof(wire), -EPROTONOSUPPORT,
		  "handshake 2 and ring layout 1, the peer has 3 and 1");
	memcpy(later, &wire, sizeof(wire));
	check_raw(later, sizeof(later), -EPROTONOSUPPORT,
		  "handshake 2 and ring layout 1, the peer has 3 and 1");
	check_raw(later, sizeof(wire.start), -EPROTONOSUPPORT,
		  "handshake 2 and ring layout 1, the peer has 3 and 1");
	wire = raw_hello();
	wire.start.layout = 7;
	check_raw(&wire, sizeof(wire), -EPROTONOSUPPORT,
		  "handshake 2 and ring layout 1, the peer has 2 and 7");
	wire = raw_hello();
	swap_start(&wire.start);
	check_raw(&wire, sizeof(wire), -EPROTONOSUPPORT,
		  "the other byte order");
	CHECK_EQ(test_count_fds(), fds);
	link_end();
}

TEST(what_is_no_hello_is_told_so)
{
	struct peal_service service = usual();
	struct peal_wire_hello wire = raw_hello();
	char longer[sizeof(wire) + 1] = { 0 };

	link_serve(LINK_OWN, &service);
	check_raw("GET / HTTP/1.0\r\n\r\n", 18, -EPROTO, "not a hello");
	memcpy(longer, &wire, sizeof(wire));
	check_raw(longer, sizeof(longer), -EPROTO, "not a hello");
	check_raw(longer, sizeof(wire) - 1, -EPROTO, "not a hello");
	check_raw(longer, 0, -EPROTO, "not a hello");
	wire.start.magic = PEAL_WIRE_READY;
	check_raw(&wire, sizeof(wire), -EPROTO, "not a packet of peal's");
	wire = raw_hello();
	wire.role = 9;
	check_raw(&wire, sizeof(wire), -EINVAL, "no such role");
	wire = raw_hello();
	wire.bells = 3;
	check_raw(&wire, sizeof(wire), -EINVAL, "no such kind of doorbell");
	wire = raw_hello();
	wire.item_size = 0;
	check_raw(&wire, sizeof(wire), -EINVAL, "an item size of 0");
	wire = raw_hello();
	memset(wire.name, 'x', sizeof(wire.name));
	check_raw(&wire, sizeof(wire), -EINVAL,
		  "a tag or name that is no text");
	wire = raw_hello();
	wire.start.status = 1;
	check_raw(&wire, sizeof(wire), -EPROTO, "a hello with a status");
	link_end();
}

TEST(a_client_that_does_not_seal_is_closed_with_words)
{
	struct peal_service service = usual();
	struct peal_wire_hello wire = raw_hello();
	struct peal_wire_ready ready;
	struct peal_wire_answer answer;
	int fds[PEAL_FDS], fd, before;
	struct pollfd pfd = { .events = POLLIN };

	link_serve(LINK_OWN, &service);
	before = test_count_fds();
	fd = pfd.fd = raw_connect();
	CHECK_EQ(send(fd, &wire, sizeof(wire), 0), sizeof(wire));
	while (poll(&pfd, 1, 1) == 0)
		link_once(false);
	CHECK_EQ(peal_socket_receive_fds(fd, &answer, sizeof(answer), fds), 0);
	CHECK_EQ(answer.start.status, 0);
	peal_wire_begin(&ready.start, PEAL_WIRE_READY, 0, NULL);
	CHECK_EQ(send(fd, &ready, sizeof(ready), 0), sizeof(ready));
	LINK_UNTIL(refused.n);
	check_refused(-EPROTO, "the client has not sealed the memory");
	CHECK_EQ(refused.n, 1);
	CHECK_EQ(there.opens + there.closes, 0);
	close(fd);
	for (int i = 0; i < PEAL_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	CHECK_EQ(test_count_fds(), before);
	link_end();
}

TEST(a_client_that_declines_the_rings_says_why)
{
	struct peal_service service = usual();
	struct peal_wire_hello wire = raw_hello();
	struct peal_wire_ready ready;
	struct pollfd pfd = { .events = POLLIN };

	link_serve(LINK_OWN, &service);
	pfd.fd = raw_connect();
	CHECK_EQ(send(pfd.fd, &wire, sizeof(wire), 0), sizeof(wire));
	while (poll(&pfd, 1, 1) == 0)
		link_once(false);
	peal_wire_begin(&ready.start, PEAL_WIRE_READY, -ENOMEM, "no memory");
	CHECK_EQ(send(pfd.fd, &ready, sizeof(ready), 0), sizeof(ready));
	LINK_UNTIL(refused.n);
	check_refused(-ECONNABORTED, "no memory");
	CHECK_EQ(refused.n, 1);
	CHECK_EQ(there.opens + there.closes, 0);
	close(pfd.fd);
	link_end();
}

/* -- the deadline */

TEST(a_connection_that_says_nothing_is_closed_in_the_end)
{
	struct peal_service service = usual();
	struct peal_server_stats stats;
	int fd, before;

	service.handshake_ms = 20;
	link_serve(LINK_OWN, &service);
	before = test_count_fds();
	fd = raw_connect();
	LINK_UNTIL(refused.n);
	check_refused(-ETIMEDOUT, "the handshake took too long");
	CHECK(peal_socket_hung_up(fd));
	close(fd);
	CHECK_EQ(test_count_fds(), before);
	peal_server_stats(&server, &stats);
	CHECK_EQ(stats.failed, 1);
	link_end();
}

TEST(a_client_that_does_not_answer_is_closed_in_the_end)
{
	struct peal_service service = usual();
	struct peal_wire_hello wire = raw_hello();
	int fd, before;

	service.handshake_ms = 20;
	link_serve(LINK_OWN, &service);
	before = test_count_fds();
	fd = raw_connect();
	CHECK_EQ(send(fd, &wire, sizeof(wire), 0), sizeof(wire));
	LINK_UNTIL(refused.n);
	check_refused(-ETIMEDOUT, "the handshake took too long");
	CHECK_EQ(refused.n, 1);
	CHECK_EQ(there.opens + there.closes, 0);
	/* Its answer is still out there, with the fds: so it counts. */
	CHECK(test_count_fds() > before + 1);
	close(fd);
	settle();
	CHECK_EQ(test_count_fds(), before);
	link_end();
}

TEST(a_server_that_says_nothing_is_left_after_the_timeout)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel ch;
	int pair[2], fds;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	fds = test_count_fds();
	CHECK_EQ(peal_connect_fd(&ch, pair[0], &hello, 20), -ETIMEDOUT);
	CHECK_EQ(test_count_fds(), fds);
	close(pair[1]);
	CHECK_EQ(peal_connect_fd(&ch, pair[0], &hello, -1), -EPIPE);
	CHECK_EQ(test_count_fds(), fds - 1);
	close(pair[0]);
}

TEST(a_server_that_finishes_leaves_no_connection_behind)
{
	struct peal_service service = usual();
	int pair[2], before;

	link_serve(LINK_OWN, &service);
	before = test_count_fds();
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	CHECK_EQ(peal_server_add(&server, pair[0], false), 0);
	/* Whoever drains it takes each empty one for the end. */
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(send(pair[1], "x", 1, 0), 1);
		CHECK_EQ(send(pair[1], "", 0, 0), 0);
	}
	close(pair[0]);
	close(pair[1]);
	peal_server_close(&server);
	memset(&server, 0x5a, sizeof(server)); /* it is ours again */
	link_once(false);
	memset(&server, 0, sizeof(server));
	CHECK_EQ(test_count_fds(), before - 1);
	link_end();
}

/* -- answers by hand: a server that is none */

static void false_server(void *arg)
{
	int fd = *(int *)arg;
	struct peal_wire_answer answer = { .bells = 0 };
	struct peal_wire_hello hello;

	peal_wire_begin(&answer.start, PEAL_WIRE_ANSWER, 0, NULL);
	answer.start.version = 3;
	answer.start.layout = 9;
	CHECK_EQ(recv(fd, &hello, sizeof(hello), 0), sizeof(hello));
	CHECK_EQ(send(fd, &answer, sizeof(answer), 0), sizeof(answer));
	CHECK_EQ(recv(fd, &hello, sizeof(hello), 0), sizeof(hello));
	peal_wire_begin(&answer.start, PEAL_WIRE_ANSWER, 0, NULL);
	CHECK_EQ(send(fd, &answer, sizeof(answer), 0), sizeof(answer));
	CHECK_EQ(recv(fd, &hello, sizeof(hello), 0),
		 sizeof(struct peal_wire_ready));
	CHECK_EQ(hello.start.magic, PEAL_WIRE_READY);
	CHECK_EQ(hello.start.status, -EPROTO);
	CHECK(strcmp(hello.start.text,
		     "the server sent other fds than it should") == 0);
	CHECK_EQ(recv(fd, &hello, sizeof(hello), 0), sizeof(hello));
	CHECK_EQ(send(fd, "220 smtp", 8, 0), 8);
}

TEST(a_client_tells_what_is_wrong_with_a_server)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel ch;
	int pair[2], fds;
	pid_t pid;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	pid = test_fork(false_server, &pair[1]);
	fds = test_count_fds();
	CHECK_EQ(peal_connect_fd(&ch, pair[0], &hello, -1), -EPROTONOSUPPORT);
	CHECK(strcmp(ch.text,
		     "handshake 2 and ring layout 1, the peer has 3 and 9") ==
	      0);
	CHECK_EQ(peal_connect_fd(&ch, pair[0], &hello, -1), -EPROTO);
	CHECK(strcmp(ch.text, "the server sent other fds than it should") == 0);
	CHECK_EQ(peal_connect_fd(&ch, pair[0], &hello, -1), -EPROTO);
	CHECK(strcmp(ch.text, "not an answer to a hello") == 0);
	CHECK_EQ(test_count_fds(), fds);
	test_join(pid);
	close(pair[0]);
	close(pair[1]);
}
