/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Scenarios of channels between processes: clients that block, servers without
 * a reactor, and deaths. Only the calls of one side fail; the other side is a
 * helper, and says in the page that they share how far it has come.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peal/channel.h>

#include "../../channel/internal.h"
#include "faults.h"

#define ITEMS 200
#define CAPACITY 64
#define SLOTS PEAL_SERVER_SLOTS(4)
#define WAIT 10000

/* What both sides know. */
struct tally {
	bool listens, opened;
	uint64_t received, back_sent; /* by the server */
	uint64_t sent, back;	      /* by the client */
};

static struct tally *tally(void)
{
	return (struct tally *)(void *)faults->page;
}

static struct peal_reactor loop;
static struct peal_slot slots[SLOTS];
static struct peal_server server;
static struct peal_channel channels[4];

static void check_item(uint64_t item, uint64_t *next)
{
	if (item != *next)
		faults_fail(__FILE__, __LINE__,
			    "item %d came in the place of %d", (int)item,
			    (int)*next);
	(*next)++;
}

/* -- a server */

static long server_readable(struct peal_channel *ch, void *user)
{
	const uint64_t *items;

	(void)user;
	while (peal_receiver_peek(&ch->receiver, &items) > 0) {
		check_item(*items, &tally()->received);
		peal_receiver_release(&ch->receiver, 1);
	}
	return PEAL_DONE;
}

static long server_writable(struct peal_channel *ch, void *user)
{
	uint64_t *sent = &tally()->back_sent, *room;

	(void)user;
	while (*sent < ITEMS &&
	       peal_sender_reserve(&ch->sender, 1, &room) > 0) {
		*room = (*sent)++;
		peal_sender_commit(&ch->sender, 1);
	}
	return PEAL_DONE;
}

/* What was kept goes on; what was not begins anew. */
static void server_opened(struct peal_channel *ch, void *user)
{
	(void)user;
	tally()->opened = true;
	if (ch->connects == 1)
		tally()->back_sent = tally()->back;
}

static void start_server(bool resume)
{
	struct peal_service service = {
		.accept = { .item_size = 8 },
		.channels = channels,
		.n_channels = 4,
		.callbacks = { .on_open = server_opened,
			       .on_readable = server_readable,
			       .on_writable = server_writable },
		.resume = resume,
		.handshake_ms = 400,
	};

	TWICE(peal_reactor_init(&loop, slots, SLOTS));
	TWICE_OR(peal_server_listen_on(&server, &loop, faults->address,
				       &service),
		 EADDRINUSE);
	tally()->listens = true;
}

static void server_helper(void *argument)
{
	(void)argument;
	start_server(false);
	for (;;)
		MUST(peal_reactor_run_once(&loop, -1) >= 0);
}

static void end_server(void)
{
	peal_server_close(&server);
	peal_reactor_close(&loop);
}

/* -- a client that blocks */

static struct peal_hello hello_of(enum peal_role role,
				  enum peal_doorbell_kind bells)
{
	return (struct peal_hello){ .role = role,
				    .bells = bells,
				    .item_size = 8,
				    .capacity = CAPACITY,
				    .name = "faults" };
}

/* A connection that came to nothing says why, and leaves nothing. */
static void connect_to(struct peal_channel *ch, const struct peal_hello *hello)
{
	if (!WELL_OR(peal_connect(ch, faults->address, hello, WAIT), EPIPE,
		     EPROTO, ENOMEM, EMFILE, EOPNOTSUPP, ETIMEDOUT)) {
		MUST(ch->text[0] != '\0');
		MUST(ch->life.state == 0 && ch->line.fd == 0);
		MUST(peal_connect(ch, faults->address, hello, WAIT) == 0);
	}
	MUST(ch->text[0] == '\0');
}

/* It is there again, or all is begun anew from where the server stands. */
static void connect_again(struct peal_channel *ch,
			  const struct peal_hello *hello)
{
	if (WELL_OR(peal_reconnect(ch, WAIT), EPIPE, EPROTO, ENOMEM, EMFILE,
		    EOPNOTSUPP, ETIMEDOUT))
		return;
	MUST(ch->text[0] != '\0' || faults_fired());
	if (peal_reconnect(ch, WAIT) == 0)
		return;
	peal_channel_close(ch);
	usleep(20000); /* the server takes what is there */
	tally()->sent = tally()->received;
	connect_to(ch, hello);
}

/* Who loses a bell hears nothing: then the channel is given up. */
#define SILENCE (faults_absurd() ? 200 : WAIT)

static void send_all(struct peal_channel *ch, const struct peal_hello *hello)
{
	uint64_t *sent = &tally()->sent, *room;

	while (*sent < ITEMS) {
		ssize_t n = peal_sender_wait(&ch->sender, 1, SILENCE, &room);

		if (n == -EPIPE)
			connect_again(ch, hello);
		else if (n == -ETIMEDOUT && faults_absurd())
			return;
		if (n == -EPIPE || !WELL(n))
			continue;
		*room = (*sent)++;
		if (!WELL(peal_sender_commit(&ch->sender, 1)) &&
		    ch->line.bells == PEAL_DOORBELL_EVENTFD)
			peal_doorbell_ring(&ch->out.data);
	}
	while (tally()->received < ITEMS) {
		int ret = peal_sender_drain(&ch->sender, SILENCE);

		if (ret == -EPIPE)
			connect_again(ch, hello);
		else if (ret == -ETIMEDOUT && faults_absurd())
			return;
		else
			WELL(ret);
	}
}

static void receive_all(struct peal_channel *ch, const struct peal_hello *hello)
{
	const uint64_t *items;

	while (tally()->back < ITEMS) {
		ssize_t n = peal_receiver_wait(&ch->receiver, 1, SILENCE,
					       &items);

		if (n == -ETIMEDOUT && faults_absurd())
			return;
		if (n == -EPIPE)
			connect_again(ch, hello);
		if (n == -EPIPE || !WELL(n))
			continue;
		MUST(n > 0);
		check_item(*items, &tally()->back);
		if (!WELL(peal_receiver_release(&ch->receiver, 1)) &&
		    ch->line.bells == PEAL_DOORBELL_EVENTFD)
			peal_doorbell_ring(&ch->in.space);
	}
}

static void be_client(enum peal_role role, enum peal_doorbell_kind bells)
{
	struct peal_hello hello = hello_of(role, bells);
	struct peal_channel ch;
	pid_t pid = faults_helper(server_helper, NULL);

	faults_await(&tally()->listens);
	connect_to(&ch, &hello);
	if (role & PEAL_SENDER)
		send_all(&ch, &hello);
	if (role & PEAL_RECEIVER)
		receive_all(&ch, &hello);
	WELL_OR(peal_channel_check(&ch), EPIPE);
	peal_channel_close(&ch);
	faults_kill(pid);
}

SCENARIO(client_sender)
{
	be_client(PEAL_SENDER, PEAL_DOORBELL_EVENTFD);
}

SCENARIO(client_receiver_by_socket)
{
	be_client(PEAL_RECEIVER, PEAL_DOORBELL_SOCKET);
}

SCENARIO(client_both_by_socket)
{
	be_client(PEAL_BOTH, PEAL_DOORBELL_SOCKET);
}

/* -- the server dies, and another one takes its place */

SCENARIO(client_reconnects)
{
	struct peal_hello hello = hello_of(PEAL_SENDER, PEAL_DOORBELL_NONE);
	struct peal_channel ch;
	uint64_t *room = NULL;
	pid_t pid = faults_helper(server_helper, NULL);

	faults_await(&tally()->listens);
	connect_to(&ch, &hello);
	while (tally()->sent < CAPACITY / 2) {
		/* Some it takes, and some it leaves to the next one. */
		if (tally()->sent == 10) {
			WELL_OR(peal_sender_drain(&ch.sender, SILENCE), EPIPE,
				ETIMEDOUT);
			kill(pid, SIGSTOP);
			usleep(1000);
		}
		if (!WELL(peal_sender_reserve(&ch.sender, 1, &room)))
			continue;
		*room = tally()->sent++;
		WELL(peal_sender_commit(&ch.sender, 1));
	}
	faults_kill(pid);
	tally()->listens = false;
	pid = faults_helper(server_helper, NULL);
	faults_await(&tally()->listens);
	connect_again(&ch, &hello);
	send_all(&ch, &hello);
	peal_channel_close(&ch);
	faults_kill(pid);
}

/* -- clients die, and come back; the server keeps what they have not taken */

static void client_that_dies(void *argument)
{
	struct peal_hello hello = hello_of(PEAL_RECEIVER, PEAL_DOORBELL_NONE);
	struct peal_channel ch;
	const uint64_t *items;
	int *until = argument;
	uint64_t end = faults_now_ms() + FAULTS_STUCK_MS;

	/* The server may be slow to see that the one before is gone. */
	while (peal_connect(&ch, faults->address, &hello, 500) < 0) {
		MUST(faults_now_ms() < end);
		usleep(1000);
	}
	while (tally()->back < (uint64_t)*until) {
		ssize_t n = peal_receiver_wait(&ch.receiver, 1, 500, &items);

		if (n < 0) /* a fault has hit the channel: another one comes */
			_exit(0);
		check_item(*items, &tally()->back);
		peal_receiver_release(&ch.receiver, 1);
	}
	raise(SIGKILL);
}

/* Serve until so many have come, with as many clients as it takes. */
static void serve_until(int until)
{
	uint64_t began = faults_now_ms();
	pid_t pid = 0;

	while (tally()->back < (uint64_t)until) {
		if (pid == 0)
			pid = faults_helper(client_that_dies, &until);
		WELL(peal_reactor_run_once(&loop, 20));
		if (waitpid(pid, NULL, WNOHANG) == pid)
			pid = 0;
		MUST(faults_now_ms() < began + FAULTS_STUCK_MS);
		if (faults_absurd() && faults_now_ms() > began + 3000)
			break;
	}
	if (pid > 0)
		faults_kill(pid);
}

SCENARIO(server_keeps)
{
	start_server(true);
	serve_until(50);
	serve_until(ITEMS);
	peal_channel_close(&channels[0]);
	end_server();
}

/* -- what a client has published before it was killed is delivered */

static void client_that_is_killed(void *argument)
{
	struct peal_hello hello = hello_of(PEAL_SENDER, PEAL_DOORBELL_NONE);
	struct peal_channel ch;
	uint64_t first = tally()->received;

	(void)argument;
	if (peal_connect(&ch, faults->address, &hello, 1000) < 0)
		_exit(0);
	for (uint64_t i = first; i < first + 40; i++)
		MUST(peal_sender_put(&ch.sender, &i, 1) == 1);
	tally()->sent = first + 40;
	raise(SIGKILL);
}

static void wait_for(pid_t pid)
{
	siginfo_t info;

	faults_disarm();
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	faults_arm();
}

SCENARIO(server_drains)
{
	uint64_t began;
	pid_t pid;

	start_server(false);
	pid = faults_helper(client_that_is_killed, NULL);
	began = faults_now_ms();
	while (tally()->sent == 0 || tally()->received < tally()->sent) {
		/* It has died before we look for what it has sent. */
		if (tally()->opened)
			wait_for(pid);
		WELL(peal_reactor_run_once(&loop, 20));
		if (tally()->sent == 0 && waitpid(pid, NULL, WNOHANG) == pid)
			pid = faults_helper(client_that_is_killed, NULL);
		/* It may have hit what opens it, after the client was gone. */
		if (faults_now_ms() > began + 200 && faults_fired())
			break;
		MUST(faults_now_ms() < began + FAULTS_STUCK_MS);
	}
	end_server();
}

/* -- a client that says hello, and then nothing, beside one that is honest */

static void client_that_is_silent(void *argument)
{
	struct peal_hello hello = hello_of(PEAL_SENDER, PEAL_DOORBELL_EVENTFD);
	struct peal_wire_hello wire;
	int fd = peal_socket_connect(faults->address, 0);

	(void)argument;
	MUST(fd >= 0);
	peal_wire_put_hello(&wire, &hello);
	peal_socket_send(fd, &wire, sizeof(wire), NULL, 0);
	usleep(200000); /* the answer stays unread */
}

static void client_that_is_honest(void *argument)
{
	struct peal_hello hello = hello_of(PEAL_SENDER, PEAL_DOORBELL_EVENTFD);
	struct peal_channel ch;

	(void)argument;
	connect_to(&ch, &hello);
	send_all(&ch, &hello);
	peal_channel_close(&ch);
}

SCENARIO(server_is_left)
{
	uint64_t began = faults_now_ms();
	struct peal_server_stats stats = { .handshakes = 1 };
	unsigned looks;
	pid_t silent, honest;

	start_server(false);
	server.service.handshake_ms = 50;
	silent = faults_helper(client_that_is_silent, NULL);
	honest = faults_helper(client_that_is_honest, NULL);
	while (stats.handshakes || tally()->received < ITEMS) {
		WELL(peal_reactor_run_once(&loop, 20));
		peal_server_stats(&server, &stats);
		stats.handshakes |= stats.connections < 2;
		if (faults_absurd() && faults_now_ms() > began + 1000)
			break;
		MUST(faults_now_ms() < began + FAULTS_STUCK_MS);
	}
	faults_kill(honest);
	faults_kill(silent);
	end_server();
	/* It takes its time: this alone is hit, which is nowhere else. */
	looks = faults->seen[CALL_ioctl];
	memset(faults->seen, 0, sizeof(faults->seen));
	faults->seen[CALL_ioctl] = looks;
}
