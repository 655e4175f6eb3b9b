/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Channels over socketpairs: with a server, or with none. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixtures/service.h"

/* -- pairs */

static void accept_and_answer(void *arg)
{
	struct peal_service service = { .accept = { .item_size = 8 } };
	struct peal_channel ch;
	int fd = *(int *)arg, fds = test_count_fds();

	CHECK_EQ(peal_channel_accept(&ch, fd, &service, true, -1), 0);
	CHECK_EQ(peal_channel_bells(&ch), PEAL_DOORBELL_EVENTFD);
	CHECK(!ch.peer.known && ch.peer.trusted);
	CHECK_EQ(ch.hello.role, PEAL_BOTH);
	link_get(&ch, 0, 5000);
	link_put(&ch, 0, 100);
	peal_sender_finish(&ch.sender);
	CHECK_EQ(peal_receiver_wait(&ch.receiver, 1, -1, &(void *){ 0 }), 0);
	peal_channel_close(&ch);
	CHECK_EQ(test_count_fds(), fds);
}

TEST(a_pair_talks_over_a_socketpair)
{
	struct peal_hello hello = link_hello(PEAL_BOTH, 0);
	struct peal_channel ch;
	int pair[2], fds = test_count_fds();
	pid_t pid;

	hello.bells = PEAL_DOORBELL_EVENTFD; /* so we trust it */
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
		 0);
	pid = test_fork(accept_and_answer, &pair[1]);
	close(pair[1]);
	CHECK_EQ(peal_connect_fd(&ch, pair[0], &hello, -1), 0);
	close(pair[0]); /* the channel has its own */
	link_put(&ch, 0, 5000);
	link_get(&ch, 0, 100);
	CHECK_EQ(peal_receiver_wait(&ch.receiver, 1, -1, &(void *){ 0 }), 0);
	CHECK_EQ(peal_reconnect(&ch, 0), -EINVAL);
	peal_channel_close(&ch);
	test_join(pid);
	CHECK_EQ(test_count_fds(), fds);
}

static void refuse_pair(void *arg)
{
	struct peal_service service = { .accept = { .item_size = 8 } };
	struct peal_channel ch;

	CHECK_EQ(peal_channel_accept(&ch, *(int *)arg, &service, true, -1),
		 -EPROTOTYPE);
	CHECK(strcmp(ch.text, "item size: server 8, client 4") == 0);
	CHECK_EQ(peal_channel_accept(&ch, *(int *)arg, &service, true, 10),
		 -ETIMEDOUT);
	CHECK_EQ(ch.life.state, PEAL_CHANNEL_UNUSED);
}

TEST(a_pair_is_refused_in_words_on_both_sides)
{
	struct peal_hello hello = { .role = PEAL_SENDER, .item_size = 4 };
	struct peal_channel ch;
	int pair[2], fds = test_count_fds();
	pid_t pid;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
		 0);
	pid = test_fork(refuse_pair, &pair[1]);
	CHECK_EQ(peal_connect_fd(&ch, pair[0], &hello, -1), -EPROTOTYPE);
	CHECK(strcmp(ch.text, "item size: server 8, client 4") == 0);
	test_join(pid);
	close(pair[0]);
	close(pair[1]);
	CHECK_EQ(test_count_fds(), fds);
}

TEST(a_pair_needs_a_connected_socket_of_packets)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 0);
	struct peal_service service = usual();
	struct peal_channel ch;
	int pair[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	link_serve(LINK_OWN, &service);
	CHECK_EQ(peal_connect_fd(&ch, pair[0], &hello, 0), -EPROTOTYPE);
	CHECK_EQ(peal_connect_fd(&ch, null, &hello, 0), -ENOTSOCK);
	CHECK_EQ(peal_server_add(&server, pair[0], true), -EPROTOTYPE);
	CHECK_EQ(peal_server_add(&server, null, true), -ENOTSOCK);
	CHECK_EQ(peal_channel_accept(&ch, pair[0], &service, true, 0),
		 -EPROTOTYPE);
	CHECK_EQ(peal_channel_accept(&ch, null, &service, true, 0), -ENOTSOCK);
	close(pair[0]);
	close(pair[1]);
	close(null);
	link_end();
}

static void inherited_client(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 0);
	struct peal_channel ch;

	hello.bells = PEAL_DOORBELL_EVENTFD;
	close_from(*(int *)arg + 1);
	CHECK_EQ(peal_connect_fd(&ch, *(int *)arg, &hello, -1), 0);
	link_put(&ch, 0, 5000);
	peal_channel_close(&ch);
}

TEST(a_server_may_listen_nowhere)
{
	struct peal_service service = usual();
	int pair[2];
	pid_t pid;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
		 0);
	pid = test_fork(inherited_client, &pair[0]);
	close(pair[0]);
	link_reactor(LINK_OWN);
	CHECK_EQ(peal_server_listen_on(&server, &loop, NULL, &service), 0);
	CHECK_EQ(peal_server_add(&server, pair[1], true), 0);
	close(pair[1]);
	LINK_UNTIL(there.closes);
	CHECK_EQ(there.reason, 0);
	CHECK_EQ(there.in, 5000);
	test_join(pid);
	link_end();
}

TEST(a_server_takes_the_end_of_a_socketpair)
{
	struct peal_service service = usual();
	enum peal_doorbell_kind bells[] = { PEAL_DOORBELL_SOCKET,
					    PEAL_DOORBELL_EVENTFD };

	for (int trusted = 0; trusted < 2; trusted++) {
		int pair[2];
		pid_t pid;

		CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
				    pair),
			 0);
		there = (struct party){ 0 };
		pid = test_fork(inherited_client, &pair[0]);
		close(pair[0]);
		link_serve(LINK_OWN, &service);
		CHECK_EQ(peal_server_add(&server, pair[1], trusted), 0);
		close(pair[1]);
		LINK_UNTIL(there.opens);
		CHECK_EQ(peal_channel_bells(there.ch), bells[trusted]);
		CHECK(!there.ch->peer.known);
		CHECK_EQ(there.ch->peer.trusted, trusted);
		CHECK_EQ(there.ch->peer.pid, -1);
		LINK_UNTIL(there.closes);
		CHECK_EQ(there.reason, 0);
		CHECK_EQ(there.in, 5000);
		test_join(pid);
		link_end();
	}
}
