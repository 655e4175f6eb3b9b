/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Processes: who dies, who goes on, and who stands still. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <peal/channel.h>

#include "channel_hostile_rows.h"

/* Only a pidfd tells of a death that somebody hides. */
static void need_pidfd(void)
{
	int fds[2], pidfd = -1;
	socklen_t size = sizeof(pidfd);

	/* Not a connection: its end would be taken for that of the enemy. */
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	if (getsockopt(fds[0], SOL_SOCKET, 77 /* SO_PEERPIDFD */, &pidfd,
		       &size) < 0)
		cannot("no SO_PEERPIDFD");
	close(pidfd);
	close(fds[0]);
	close(fds[1]);
}

/* A forked child holds the socket. */
static void die_and_leave_a_child(const struct attack *a)
{
	struct peal_channel ch;

	need_pidfd();
	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	if (fork() == 0) {
		until_release();
		_exit(0);
	}
	_exit(0);
}

/* The child has the parent's mappings, and all its words. */
static void die_and_leave_a_writer(const struct attack *a)
{
	struct peal_channel ch;
	uint64_t *room;

	need_pidfd();
	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	if (fork() > 0)
		_exit(0);
	while (!flag(&field->release)) {
		if (peal_sender_reserve(&ch.sender, 1, &room) > 0)
			peal_sender_commit(&ch.sender, 1);
		enemy_ring(&ch);
		sleep_us(100);
	}
	_exit(0);
}

/* Whoever connected is gone before the first word. */
static void connect_and_leave_it_to_a_child(const struct attack *a)
{
	struct grip grip;

	need_pidfd();
	if (fork() > 0) {
		until_release();
		_exit(0);
	}
	/* The kernel names the process that connects. */
	enemy_grip(&grip, a->role, a->bells);
	if (fork() > 0)
		_exit(0);
	while (getppid() != 1 && !flag(&field->release))
		sleep_us(100);
	enemy_seal(&grip, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
	enemy_say_ready(&grip);
	until_release();
	_exit(0);
}

static void die(const struct attack *a)
{
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	kill(getpid(), SIGKILL);
}

/* Children who die at each step, some hundred of them. */
static void die_at_each_step(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);

	for (int i = 0; i < 100; i++) {
		pid_t pid = fork();
		struct grip grip;

		if (pid > 0) {
			waitpid(pid, NULL, 0);
			continue;
		}
		if (i % 4 == 0) {
			enemy_connect();
		} else if (i % 4 == 1) {
			enemy_send(enemy_connect(), &hello, sizeof(hello));
		} else {
			enemy_grip(&grip, a->role, a->bells);
			enemy_seal(&grip, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
			if (i % 4 == 3)
				enemy_say_ready(&grip);
		}
		kill(getpid(), SIGKILL);
	}
}

/* -- standing still: a child stops itself, and we say that it did */

static void watch_it_stop(pid_t pid)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	/* Its end is not this row's business, but shall come. */
	__atomic_store_n(&field->struck, 1, __ATOMIC_RELEASE);
	until_release();
	kill(pid, SIGKILL);
	_exit(0);
}

enum step {
	CONNECTED,
	SAID_HELLO,
	ANSWERED,
	SEALED,
	SAID_READY,
	OPEN,
	PUBLISHING
};

static void go_as_far_as(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);
	struct grip grip;

	if (a->n == CONNECTED) {
		enemy_connect();
		return;
	}
	if (a->n == SAID_HELLO) {
		enemy_send(enemy_connect(), &hello, sizeof(hello));
		return;
	}
	if (enemy_try_grip(&grip, a->role, a->bells) < 0)
		exit(EXIT_SUCCESS); /* there are too many of them */
	if (a->n >= SEALED)
		enemy_seal(&grip, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
	if (a->n >= SAID_READY) /* what the server says then is not read */
		enemy_say_ready(&grip);
}

static void stop_at(const struct attack *a)
{
	struct peal_channel ch;
	uint64_t *room;
	pid_t pid = enemy_fork();

	if (pid > 0)
		watch_it_stop(pid);
	if (a->n < OPEN) {
		go_as_far_as(a);
	} else {
		enemy_channel(&ch, a->role, a->bells);
		enemy_exchange(&ch);
		if (a->n == PUBLISHING &&
		    peal_sender_reserve(&ch.sender, 5, &room) > 0)
			*room = 1;
	}
	raise(SIGSTOP);
	until_release();
	_exit(0);
}

#define DOZENS 40

/* More than there are places. Each is stopped as soon as it can be. */
static void stop_many_at(const struct attack *a)
{
	for (int i = 0; i < DOZENS; i++) {
		if (enemy_fork() > 0)
			continue;
		go_as_far_as(a);
		raise(SIGSTOP);
		_exit(0);
	}
	/* Those who wait for a place wait for those who have stopped. */
	for (int n = 0; n < DOZENS / 2; n++) {
		int status;

		AWAIT(waitpid(-1, &status, WUNTRACED | WNOHANG) > 0);
	}
}

/* -- ready, and then */

#define PUBLISHED 10

/* What it has published was there before it said so. */
static void publish_and_say_ready(struct grip *grip, const struct attack *a)
{
	struct peal_page *page;

	enemy_grip(grip, a->role, a->bells);
	page = (struct peal_page *)grip->base;
	__atomic_store_n(&page->position, PUBLISHED, __ATOMIC_RELEASE);
	enemy_seal(grip, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
	enemy_say_ready(grip);
}

/* Whatever becomes of it: a channel that was opened has delivered all. */
static void be_ready_and_die(const struct attack *a)
{
	for (int i = 0; i < 50; i++) {
		uint64_t ends = count(&field->ended);
		struct grip grip;
		pid_t pid = enemy_fork();

		if (pid == 0) {
			publish_and_say_ready(&grip, a);
			kill(getpid(), SIGKILL);
		}
		waitpid(pid, NULL, 0);
		AWAIT(ended(ends + 1));
	}
	CHECK_EQ(count(&field->taken), PUBLISHED * count(&field->opened));
}

static void be_ready_and_shut(const struct attack *a)
{
	struct grip grip;

	publish_and_say_ready(&grip, a);
	shutdown(grip.socket, a->n);
	AWAIT(count(&field->opened) || ended(1));
}

/* It rings before it has read that the channel is open. */
static void be_ready_and_ring(const struct attack *a)
{
	static const char packet[2];
	struct grip grip;

	publish_and_say_ready(&grip, a);
	for (int i = 0; i < a->n; i++)
		send(grip.socket, packet, (size_t)i % 3,
		     MSG_DONTWAIT | MSG_NOSIGNAL);
	AWAIT(count(&field->opened) || ended(1));
}

static void be_ready_and_say_more(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);
	struct grip grip;

	publish_and_say_ready(&grip, a);
	enemy_say_ready(&grip);
	enemy_send(grip.socket, &hello, sizeof(hello));
	enemy_send(grip.socket, &grip.answer, sizeof(grip.answer));
	AWAIT(count(&field->opened) || ended(1));
}

/* clang-format off */
#define MANY_STOP(text, step)                                                  \
	ROW("dozens that stop after " text, stop_many_at, ANYTHING, SENDS,     \
	    .flags = CROWDED, .n = step),                                      \
	ROW("dozens that stop after " text ", by another user", stop_many_at,  \
	    ANYTHING, SENDS, .flags = NOBODY, .n = step)

const struct attack hostile_life[] = {
	AS_NOBODY("a client that is killed", die, -EPIPE, BOTH),
	AS_NOBODY("a death hidden by a child", die_and_leave_a_child, -EPIPE,
		  SENDS),
	AS_NOBODY("a child that goes on publishing", die_and_leave_a_writer,
		  -EPIPE, SENDS),
	ROW("a child that takes the handshake over",
	    connect_and_leave_it_to_a_child, -EPIPE, RECEIVES),
	ROW("deaths at each step", die_at_each_step, ANYTHING, SENDS),
	ROW("stopped after connecting", stop_at, -ETIMEDOUT, SENDS,
	    .n = CONNECTED),
	ROW("stopped after its hello", stop_at, -ETIMEDOUT, SENDS,
	    .n = SAID_HELLO),
	ROW("stopped after the answer", stop_at, -ETIMEDOUT, SENDS,
	    .n = ANSWERED),
	ROW("stopped after sealing", stop_at, -ETIMEDOUT, SENDS, .n = SEALED),
	AS_NOBODY("stopped after it was ready", stop_at, HARMLESS, SENDS,
		  .n = SAID_READY),
	MANY_STOP("connecting", CONNECTED),
	MANY_STOP("their hellos", SAID_HELLO),
	MANY_STOP("the answers", ANSWERED),
	MANY_STOP("sealing", SEALED),
	MANY_STOP("they were ready", SAID_READY),
	AS_NOBODY("ready, and dead at once", be_ready_and_die, ANYTHING, SENDS),
	AS_NOBODY("ready, and dead at once, with the socket as its bell",
		  be_ready_and_die, ANYTHING, SENDS, SOCKET),
	ROW("ready, and shut for writing", be_ready_and_shut, ANYTHING, SENDS,
	    .n = SHUT_WR),
	ROW("ready, and shut for reading", be_ready_and_shut, ANYTHING, SENDS,
	    .n = SHUT_RD),
	ROW("ready, and shut for reading, with the socket as its bell",
	    be_ready_and_shut, ANYTHING, SENDS, SOCKET, .n = SHUT_RD),
	ROW("ready, and shut both ways", be_ready_and_shut, ANYTHING, SENDS,
	    .n = SHUT_RDWR),
	AS_NOBODY("ready, and ringing before it is open", be_ready_and_ring,
		  HARMLESS, SENDS, SOCKET, .n = 20, .or_else = -EPROTO),
	ROW("ready, and packets where the bells are eventfds",
	    be_ready_and_ring, -EPROTO, SENDS, EVENTFD, .n = 3),
	ROW("ready, and the whole handshake again", be_ready_and_say_more,
	    -EPROTO, SENDS, EVENTFD),
	ROW("stopped when all is open", stop_at, HARMLESS, RECEIVES,
	    .n = OPEN),
	ROW("stopped while it publishes", stop_at, HARMLESS, SENDS,
	    .n = PUBLISHING),
	ROW("stopped with the socket as its bell", stop_at, HARMLESS, BOTH,
	    SOCKET, .n = OPEN),
	{ 0 },
};
