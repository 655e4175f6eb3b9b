/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Scenarios of sockets that somebody brought: pairs, of which one end is here
 * and the other one a helper's, listeners that were passed, and the path of a
 * server that is dead.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peal/channel.h>

#include "faults.h"

#define ITEMS 20
#define WAIT 5000

static const struct peal_service service = { .accept = { .item_size = 8 } };

static struct peal_hello hello_of(enum peal_doorbell_kind bells)
{
	return (struct peal_hello){ .role = PEAL_BOTH,
				    .bells = bells,
				    .item_size = 8,
				    .capacity = 64 };
}

/* Who loses a bell hears nothing; and a fault may have closed the channel. */
static bool given_up(ssize_t ret)
{
	return (ret == -ETIMEDOUT && faults_absurd()) ||
	       (ret == -EPIPE && faults_fired());
}

static int silence(void)
{
	return faults_absurd() ? 200 : 10000;
}

/* Send each item, and wait until it has come back. */
static bool send_there_and_back(struct peal_channel *ch)
{
	const uint64_t *items;
	uint64_t *room;
	ssize_t ret;

	for (uint64_t i = 0; i < ITEMS; i++) {
		do
			ret = peal_sender_wait(&ch->sender, 1, silence(),
					       &room);
		while (!given_up(ret) && !WELL(ret));
		if (given_up(ret))
			return false;
		*room = i;
		WELL(peal_sender_commit(&ch->sender, 1));
		do
			ret = peal_receiver_wait(&ch->receiver, 1, silence(),
						 &items);
		while (!given_up(ret) && !WELL(ret));
		if (given_up(ret))
			return false;
		MUST(ret == 1 && *items == i);
		WELL(peal_receiver_release(&ch->receiver, 1));
	}
	return true;
}

static void send_back(struct peal_channel *ch)
{
	const uint64_t *items;

	while (peal_receiver_wait(&ch->receiver, 1, -1, &items) > 0) {
		MUST(peal_sender_put(&ch->sender, items, 1) == 1);
		peal_receiver_release(&ch->receiver, 1);
	}
	peal_channel_close(ch);
}

/* -- a pair: one side accepts, the other one connects */

struct pair {
	int fds[2];
	enum peal_doorbell_kind bells;
};

static void connecting_helper(void *argument)
{
	struct pair *pair = argument;
	struct peal_hello hello = hello_of(pair->bells);
	struct peal_channel ch;

	__real_close(pair->fds[0]);
	if (peal_connect_fd(&ch, pair->fds[1], &hello, WAIT) < 0)
		MUST(faults_fired() && ch.text[0]);
	else
		send_back(&ch);
}

static void accepting_helper(void *argument)
{
	struct pair *pair = argument;
	struct peal_channel ch;

	__real_close(pair->fds[1]);
	if (peal_channel_accept(&ch, pair->fds[0], &service, true, WAIT) < 0)
		MUST(faults_fired());
	else
		send_back(&ch);
}

static pid_t open_pair(struct pair *pair, void (*helper)(void *pair))
{
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair->fds) ==
	     0);
	return faults_helper(helper, pair);
}

static void close_pair(struct pair *pair, pid_t pid)
{
	if (pair->fds[0] >= 0)
		__real_close(pair->fds[0]);
	if (pair->fds[1] >= 0)
		__real_close(pair->fds[1]);
	if (pid > 0)
		faults_kill(pid);
}

/* Only the helper has its end. */
static void leave_to_helper(int *fd)
{
	__real_close(*fd);
	*fd = -1;
}

static void accept_pair(enum peal_doorbell_kind bells)
{
	struct pair pair = { .bells = bells };
	struct peal_channel ch;
	pid_t pid = open_pair(&pair, connecting_helper);

	leave_to_helper(&pair.fds[1]);
	if (!WELL_OR(
		    peal_channel_accept(&ch, pair.fds[0], &service, true, WAIT),
		    EPIPE, EPROTO, ECONNABORTED, EBUSY, ENOMEM, EOPNOTSUPP)) {
		MUST(ch.life.state == 0);
		close_pair(&pair, pid);
		pid = open_pair(&pair, connecting_helper);
		leave_to_helper(&pair.fds[1]);
		MUST(peal_channel_accept(&ch, pair.fds[0], &service, true,
					 WAIT) == 0);
	}
	send_there_and_back(&ch);
	WELL(peal_channel_check(&ch));
	peal_channel_close(&ch);
	close_pair(&pair, pid);
}

SCENARIO(accept_eventfd)
{
	accept_pair(PEAL_DOORBELL_EVENTFD);
}

SCENARIO(accept_socket)
{
	accept_pair(PEAL_DOORBELL_SOCKET);
}

static void connect_pair(enum peal_doorbell_kind bells)
{
	struct peal_hello hello = hello_of(bells);
	struct pair pair = { .bells = bells };
	struct peal_channel ch;
	pid_t pid = open_pair(&pair, accepting_helper);

	leave_to_helper(&pair.fds[0]);
	if (!WELL_OR(peal_connect_fd(&ch, pair.fds[1], &hello, WAIT), EPIPE,
		     EPROTO, EMFILE, ENOMEM, EBUSY, EOPNOTSUPP)) {
		MUST(ch.life.state == 0 && ch.text[0]);
		close_pair(&pair, pid);
		pid = open_pair(&pair, accepting_helper);
		leave_to_helper(&pair.fds[0]);
		MUST(peal_connect_fd(&ch, pair.fds[1], &hello, WAIT) == 0);
	}
	send_there_and_back(&ch);
	peal_channel_close(&ch);
	close_pair(&pair, pid);
}

SCENARIO(connect_fd_eventfd)
{
	connect_pair(PEAL_DOORBELL_EVENTFD);
}

SCENARIO(connect_fd_socket)
{
	connect_pair(PEAL_DOORBELL_SOCKET);
}

/* -- a server of sockets that were passed */

static struct peal_reactor loop;
static struct peal_slot slots[PEAL_SERVER_SLOTS(2)];
static struct peal_server server;
static struct peal_channel channels[2];
static bool over;

static long readable(struct peal_channel *ch, void *user)
{
	const uint64_t *items;
	ssize_t ret;

	(void)user;
	while (peal_receiver_peek(&ch->receiver, &items) > 0) {
		MUST(*items == ITEMS - 1 || !over);
		over |= *items == ITEMS - 1;
		/* A client may have given up by the time it is served. */
		ret = peal_sender_put(&ch->sender, items, 1);
		MUST(ret == 1 || (ret == -EPIPE && faults_absurd()));
		peal_receiver_release(&ch->receiver, 1);
	}
	return PEAL_DONE;
}

static const struct peal_service serving = {
	.accept = { .item_size = 8 },
	.channels = channels,
	.n_channels = 2,
	.callbacks = { .on_readable = readable },
	.handshake_ms = 300,
};

static void sending_helper(void *argument)
{
	struct pair *pair = argument;
	struct peal_hello hello = hello_of(pair->bells);
	struct peal_channel ch;

	__real_close(pair->fds[0]);
	if (peal_connect_fd(&ch, pair->fds[1], &hello, WAIT) < 0) {
		MUST(faults_fired() && ch.text[0]);
		exit(1);
	}
	faults->page[0] = send_there_and_back(&ch);
	peal_channel_close(&ch);
}

/* A client that has come to nothing is followed by another one. */
static void serve_pair(void)
{
	struct pair pair = { .bells = PEAL_DOORBELL_SOCKET };
	uint64_t began = faults_now_ms();
	pid_t pid = 0;

	while (!over && !(faults_absurd() && faults_now_ms() > began + 300)) {
		if (pid == 0 || waitpid(pid, NULL, WNOHANG) == pid) {
			MUST(pid == 0 || faults_fired());
			pid = open_pair(&pair, sending_helper);
			leave_to_helper(&pair.fds[1]);
			WELL(peal_server_add(&server, pair.fds[0], true));
			leave_to_helper(&pair.fds[0]);
		}
		WELL(peal_reactor_run_once(&loop, 20));
		MUST(faults_now_ms() < began + FAULTS_STUCK_MS);
	}
	close_pair(&pair, over ? 0 : pid);
}

SCENARIO(server_add)
{
	over = false;
	TWICE(peal_reactor_init(&loop, slots, PEAL_SERVER_SLOTS(2)));
	TWICE(peal_server_listen_on(&server, &loop, NULL, &serving));
	serve_pair();
	peal_server_close(&server);
	peal_reactor_close(&loop);
}

/* -- a listener that was passed, as a service manager does */

static int listener(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd;

	faults_disarm();
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	memcpy(at.sun_path + 1, faults->address + 1,
	       strlen(faults->address + 1));
	MUST(fd == 3);
	MUST(bind(fd, (struct sockaddr *)&at,
		  (socklen_t)(sizeof(sa_family_t) + strlen(faults->address))) ==
	     0);
	MUST(listen(fd, 8) == 0);
	faults_arm();
	return fd;
}

SCENARIO(server_inherits)
{
	char pid[16];
	int fd = listener();

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", "bells", 1);
	TWICE(peal_reactor_init(&loop, slots, PEAL_SERVER_SLOTS(2)));
	TWICE_OR(peal_server_listen_on(&server, &loop, "fd:bells", &serving),
		 ENOENT);
	WELL(peal_reactor_run_once(&loop, 0));
	peal_server_close(&server);
	peal_reactor_close(&loop);
	__real_close(fd);
}

/* -- the path of a server that is dead, in a folder that another one locks */

static void die_at_path(void *argument)
{
	(void)argument;
	MUST(peal_reactor_init(&loop, slots, PEAL_SERVER_SLOTS(2)) == 0);
	MUST(peal_server_listen_on(&server, &loop, faults->path, &serving) ==
	     0);
}

static void lock_for_a_while(void *argument)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)argument;
	flock(fd, LOCK_EX);
	faults->page[0] = 1;
	usleep(10000);
}

SCENARIO(server_takes_over)
{
	pid_t pid;

	faults_join(faults_helper(die_at_path, NULL));
	MUST(access(faults->path, F_OK) == 0);
	pid = faults_helper(lock_for_a_while, NULL);
	while (!__atomic_load_n(&faults->page[0], __ATOMIC_ACQUIRE))
		usleep(100);
	TWICE(peal_reactor_init(&loop, slots, PEAL_SERVER_SLOTS(2)));
	TWICE_OR(peal_server_listen_on(&server, &loop, faults->path, &serving),
		 EADDRINUSE);
	faults_join(pid);
	peal_server_close(&server);
	MUST(access(faults->path, F_OK) < 0 || faults_fired());
	peal_reactor_close(&loop);
}
