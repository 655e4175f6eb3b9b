/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The steps of a handshake on a server: the hello is judged, the rings are made
 * and offered, the client is ready, the memory is faulted in, the channel
 * opens.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../reactor/floor.h"
#include "internal.h"

/* Bytes that are faulted in at a time; and how long one turn faults in. */
#define FILL ((size_t)1 << 20)
#define FILL_NS UINT64_C(1000000)

void peal_steps_cannot_watch(char *text, int error)
{
	if (error == -ENOSPC)
		snprintf(text, PEAL_TEXT,
			 "the server's reactor has too few slots, or epoll "
			 "has no room");
	else
		snprintf(text, PEAL_TEXT,
			 "the server cannot watch the channel: %s",
			 strerror(-error));
}

/* -- the channel opens */

/*
 * The client may be dead by now. Then nobody hears OPEN, and what the client
 * had published before its READY is delivered all the same. A client that has
 * withdrawn lives, and carries these items over to the next channel.
 */
static int send_open(struct peal_channel *ch)
{
	int ret = peal_handshake_open(ch->line.fd, 0, NULL);

	if (ret < 0 && !(ret == -EPIPE && peal_socket_hung_up(ch->line.fd)))
		return ret;
	return peal_channel_is_withdrawn(ch) ? -EPIPE : 0;
}

/* A client that hears OPEN is served. So the server first takes all that this
 * needs. */
static int prepare_serving(struct peal_channel *ch)
{
	int ret = peal_served_watch(ch);

	if (ret == 0 &&
	    !peal_reactor_has(ch->served.loop, peal_served_slots(ch)))
		ret = -ENOSPC;
	if (ret < 0) {
		peal_steps_cannot_watch(ch->text, ret);
		peal_handshake_open(ch->line.fd, ret, ch->text);
	}
	return ret;
}

/* A channel that never opened has no callbacks: on_refused tells. */
static void fail_unopened(struct peal_server *server, struct peal_channel *ch,
			  int error)
{
	const struct peal_peer peer = ch->peer;
	char text[PEAL_TEXT];

	memcpy(text, ch->text, sizeof(text));
	server->stats.failed++;
	peal_life_fail(ch, error);
	peal_pending_tell(server, &peer, error, text);
}

static void open_channel(struct peal_handshake *handshake)
{
	struct peal_server *server = handshake->server;
	struct peal_channel *ch = handshake->channel;
	int ret = peal_channel_take_over(ch, &handshake->made);

	if (ret < 0) {
		snprintf(handshake->text, sizeof(handshake->text),
			 "what the server keeps for this client cannot be "
			 "carried over");
		peal_pending_fail(handshake, ret);
		return;
	}
	/* The channel owns what was made. */
	peal_source_detach(&handshake->source);
	memset(&handshake->made, 0, sizeof(handshake->made));
	handshake->made.fd = handshake->made.peer.pidfd = -1;
	handshake->channel = NULL;
	peal_pending_release(handshake);
	if (!ch->member.link.next)
		peal_link_append(&server->channels, &ch->member.link);
	peal_slow_users_opened(ch);
	ret = prepare_serving(ch);
	if (ret == 0)
		ret = send_open(ch);
	if (ret < 0) {
		fail_unopened(server, ch, ret);
		return;
	}
	server->stats.opened++;
	ch->served.callbacks = server->service.callbacks;
	peal_life_open(ch);
	ret = peal_served_start(ch);
	if (ret < 0)
		peal_life_fail(ch, ret);
}

/* -- a turn of a handshake */

/*
 * Large rings would keep all others waiting. So a large ring is faulted in over
 * several turns, and in one iteration of the reactor only one large ring has a
 * turn. A small ring takes no longer than the rest of its handshake.
 */
static int fill_rings(struct peal_handshake *handshake)
{
	struct peal_server *server = handshake->server;
	bool large = peal_channel_ring_bytes(&handshake->made.in) +
			     peal_channel_ring_bytes(&handshake->made.out) >
		     FILL;
	uint64_t round = peal_reactor_iterations(server->loop) + 1;
	uint64_t began = peal_now();
	int ret;

	if (large && server->places.filled_in == round)
		return 0;
	do
		ret = peal_handshake_fill(handshake, FILL);
	while (ret == 0 && peal_now() - began < FILL_NS);
	if (large)
		server->places.filled_in = round;
	return ret;
}

void peal_steps_progress(struct peal_handshake *handshake)
{
	const struct peal_service *service = &handshake->server->service;
	int ret;

	if (!handshake->channel) {
		ret = peal_handshake_hello(handshake, service);
		if (ret == -EAGAIN)
			return;
		if (ret == 0)
			ret = peal_server_judge(handshake);
		if (ret == 0)
			ret = peal_handshake_offer(handshake, service);
		if (ret < 0)
			peal_pending_fail(handshake, ret);
		return; /* the client has to answer before anything else */
	}
	ret = handshake->stage == PEAL_STAGE_FILL
		      ? 0
		      : peal_handshake_ready(handshake);
	if (ret == -EAGAIN)
		return;
	if (ret == 0)
		ret = fill_rings(handshake);
	if (ret < 0)
		peal_pending_fail(handshake, ret);
	else if (ret > 0)
		open_channel(handshake);
	else
		peal_source_again(&handshake->source);
}
