/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Scenarios of channels on a reactor: a server and its clients in one process
 * and one loop, so that every call of both sides may fail.
 *
 * Each client sends numbered items, and gets as many back where it has two
 * rings. Whatever happens to one of them, all items arrive, each once and in
 * order; and no fault disturbs two.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <peal/channel.h>

#include "faults.h"

#define CLIENTS 3
#define ITEMS 200
#define CAPACITY 64
#define SLOTS (PEAL_SERVER_SLOTS(CLIENTS) + PEAL_CHANNEL_SLOTS * CLIENTS + 4)

struct client {
	struct peal_channel channel;
	struct peal_hello hello;
	uint64_t sent, back;	      /* by it, to it */
	uint64_t received, back_sent; /* by the server, of it */
	unsigned opened, ends;
	struct peal_source again;
};

static struct peal_reactor loop;
static struct peal_slot slots[SLOTS];
static struct peal_server server;
static struct peal_channel channels[CLIENTS];
static struct client clients[CLIENTS];
static const char *address;

static struct client *client_of(const struct peal_channel *ch)
{
	return &clients[ch->hello.name[0] - '0'];
}

/* -- both: send what there is room for, from where it stopped */

static void fill(struct peal_sender *tx, uint64_t *sent)
{
	uint64_t *room;

	while (*sent < ITEMS && peal_sender_reserve(tx, 1, &room) > 0) {
		*room = *sent;
		(*sent)++;
		peal_sender_commit(tx, 1);
	}
}

static void take(struct peal_receiver *rx, uint64_t *received)
{
	uint64_t item;

	while (peal_receiver_get(rx, &item, 1) == 1) {
		if (item != *received)
			faults_fail(__FILE__, __LINE__,
				    "item %d came in the place of %d",
				    (int)item, (int)*received);
		(*received)++;
	}
}

/* -- the server */

static long server_readable(struct peal_channel *ch, void *user)
{
	(void)user;
	take(&ch->receiver, &client_of(ch)->received);
	return PEAL_DONE;
}

static long server_writable(struct peal_channel *ch, void *user)
{
	(void)user;
	fill(&ch->sender, &client_of(ch)->back_sent);
	return PEAL_DONE;
}

static void server_opened(struct peal_channel *ch, void *user)
{
	(void)user;
	client_of(ch)->back_sent = client_of(ch)->back;
}

static void start_server(const char *at)
{
	struct peal_service service = {
		.accept = { .item_size = 8 },
		.channels = channels,
		.n_channels = CLIENTS,
		.callbacks = { .on_open = server_opened,
			       .on_readable = server_readable,
			       .on_writable = server_writable },
		.mode = 0660,
		.chown = true,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.handshake_ms = 400,
	};

	address = at;
	TWICE_OR(peal_reactor_init(&loop, slots, SLOTS), 0);
	if (WELL_OR(peal_server_listen_on(&server, &loop, at, &service),
		    EADDRINUSE))
		return;
	MUST(!server.loop);
	if (at && at[0] != '@' && faults->shot.call != CALL_unlink)
		MUST(access(at, F_OK) < 0); /* it leaves nothing behind */
	MUST(peal_server_listen_on(&server, &loop, at, &service) == 0);
}

/* -- the clients */

static long readable(struct peal_channel *ch, void *user)
{
	struct client *c = user;

	take(&ch->receiver, &c->back);
	return PEAL_DONE;
}

static long writable(struct peal_channel *ch, void *user)
{
	struct client *c = user;

	fill(&ch->sender, &c->sent);
	return PEAL_DONE;
}

static void opened(struct peal_channel *ch, void *user)
{
	struct client *c = user;

	(void)ch;
	c->opened++;
}

static void closed(struct peal_channel *ch, int reason, void *user)
{
	struct client *c = user;

	(void)ch;
	if (!faults_fired())
		faults_fail(__FILE__, __LINE__, "%s was closed with %s",
			    c->hello.name, errno_name(-reason));
	MUST(reason != -EINTR && reason != -EAGAIN);
	c->ends++;
	if (!c->again.reactor)
		return;
	peal_reactor_set_timer(&loop, &c->again, 1000000, 0, 0);
}

static void begin(struct client *c)
{
	const struct peal_channel_callbacks callbacks = {
		.on_open = opened,
		.on_readable = readable,
		.on_writable = writable,
		.on_closed = closed,
		.user = c,
	};

	TWICE(peal_connect_on(&c->channel, &loop, address, &c->hello,
			      &callbacks, 20));
}

/* It was given up for good: from where the server stands. */
static void on_again(struct peal_source *source, uint64_t expirations,
		     void *user)
{
	struct client *c = user;

	(void)source;
	(void)expirations;
	c->sent = c->received;
	begin(c);
}

static void add_clients(enum peal_doorbell_kind bells)
{
	static const enum peal_role roles[CLIENTS] = { PEAL_BOTH, PEAL_SENDER,
						       PEAL_RECEIVER };

	for (int i = 0; i < CLIENTS; i++) {
		struct client *c = &clients[i];

		c->hello = (struct peal_hello){ .role = roles[i],
						.bells = bells,
						.item_size = 8,
						.capacity = CAPACITY };
		snprintf(c->hello.name, sizeof(c->hello.name), "%d", i);
		if (!(roles[i] & PEAL_SENDER))
			c->sent = c->received = ITEMS;
		if (!(roles[i] & PEAL_RECEIVER))
			c->back = c->back_sent = ITEMS;
		TWICE(peal_reactor_add_timer(&loop, &c->again, on_again, c));
		begin(c);
	}
}

/* -- all of it */

static bool done(void)
{
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].received < ITEMS || clients[i].back < ITEMS)
			return false;
	return true;
}

static void tell_what_lacks(void)
{
	char text[512];
	int n = 0;

	for (int i = 0; i < CLIENTS; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			      "; %d: sent %d received %d, back %d of %d, "
			      "opened %u, ended %u, state %d, text \"%.40s\"",
			      i, (int)clients[i].sent, (int)clients[i].received,
			      (int)clients[i].back, (int)clients[i].back_sent,
			      clients[i].opened, clients[i].ends,
			      clients[i].channel.life.state,
			      clients[i].channel.text);
	faults_fail(__FILE__, __LINE__, "it does not end%s", text);
}

static bool others_are_done(void)
{
	int left = 0;

	for (int i = 0; i < CLIENTS; i++)
		left += clients[i].received < ITEMS || clients[i].back < ITEMS;
	return left <= 1;
}

static void run(void)
{
	uint64_t end = faults_now_ms() + FAULTS_STUCK_MS;
	int disturbed = 0, quiet = 0;

	while (!done()) {
		int ret = peal_reactor_run_once(&loop, faults_patience());

		if (WELL(ret) && ret == 0 && faults_absurd())
			quiet++;
		if (quiet > 20 && others_are_done())
			return;
		if (faults_now_ms() > end)
			tell_what_lacks();
	}
	for (int i = 0; i < CLIENTS; i++)
		disturbed += clients[i].opened > 1;
	MUST(disturbed <= 1);
}

static void end(void)
{
	for (int i = 0; i < CLIENTS; i++)
		peal_channel_close(&clients[i].channel);
	peal_server_close(&server);
	peal_reactor_close(&loop);
}

SCENARIO(channel_eventfd)
{
	start_server(faults->address);
	add_clients(PEAL_DOORBELL_EVENTFD);
	run();
	end();
}

SCENARIO(channel_socket)
{
	start_server(faults->address);
	add_clients(PEAL_DOORBELL_SOCKET);
	run();
	end();
}

SCENARIO(channel_path)
{
	start_server(faults->path);
	add_clients(PEAL_DOORBELL_NONE);
	run();
	end();
}

SCENARIO(path_by_proc)
{
	faults_lack(CALL_fchmodat2, ENOSYS);
	start_server(faults->path);
	end();
}

SCENARIO(path_by_name)
{
	faults_lack(CALL_fchmodat2, ENOSYS);
	faults_lack(CALL_chmod, ENOENT);
	start_server(faults->path);
	end();
}
