/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Processes: who dies, who goes on, and who stands still. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <peal/channel.h>

#include "hostile_rows.h"

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

/* PEERS.md 4: a forked child holds the socket. */
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
		nap(100);
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
		nap(100);
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
	OPEN,
	PUBLISHING
};

static void stop_at(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);
	struct peal_channel ch;
	struct grip grip;
	uint64_t *room;
	pid_t pid = fork();

	if (pid > 0)
		watch_it_stop(pid);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	switch ((enum step)a->n) {
	case CONNECTED:
		enemy_connect();
		break;
	case SAID_HELLO:
		enemy_send(enemy_connect(), &hello, sizeof(hello));
		break;
	case ANSWERED:
		enemy_grip(&grip, a->role, a->bells);
		break;
	case SEALED:
		enemy_grip(&grip, a->role, a->bells);
		enemy_seal(&grip, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
		break;
	default:
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

/* clang-format off */
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
	ROW("stopped when all is open", stop_at, HARMLESS, RECEIVES,
	    .n = OPEN),
	ROW("stopped while it publishes", stop_at, HARMLESS, SENDS,
	    .n = PUBLISHING),
	ROW("stopped with the socket as its bell", stop_at, HARMLESS, BOTH,
	    SOCKET, .n = OPEN),
	{ 0 },
};
