/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The end of a handshake under way: the client is told, the socket is left, and
 * the place is free again, at once or later.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "internal.h"

static void on_leaving(struct peal_source *source, int fd, uint32_t events,
		       void *user)
{
	struct peal_handshake *handshake = user;

	(void)events;
	if (peal_socket_leave(fd))
		peal_pending_release(handshake);
	else
		peal_source_again(source);
}

/* Leave the socket in steps, between the turns of other sources. Until the
 * socket is left the handshake counts against the share of its user. */
static bool leave_in_steps(struct peal_handshake *handshake)
{
	struct peal_reactor *loop = handshake->server->loop;
	int fd = handshake->made.fd;

	peal_made_close_rings(&handshake->made);
	handshake->channel = NULL;
	handshake->stage = PEAL_STAGE_LEAVING;
	if (peal_reactor_add_fd(loop, &handshake->source, fd, 0, on_leaving,
				handshake) < 0)
		return false;
	peal_source_again(&handshake->source);
	return true;
}

void peal_pending_leave(struct peal_server *server, int fd, uid_t uid)
{
	if (peal_socket_leave(fd)) {
		close(fd);
		return;
	}
	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *handshake =
			&server->places.handshakes[i];

		if (handshake->server)
			continue;
		handshake->server = server;
		handshake->made.fd = fd;
		handshake->made.peer.uid = uid;
		handshake->made.peer.pidfd = -1;
		server->stats.handshakes++;
		if (!leave_in_steps(handshake))
			peal_pending_release(handshake);
		return;
	}
	close(fd);
}

void peal_pending_release(struct peal_handshake *handshake)
{
	struct peal_server *server = handshake->server;

	peal_source_detach(&handshake->source);
	if (handshake->stage != PEAL_STAGE_LEAVING && handshake->made.fd >= 0 &&
	    !peal_socket_leave(handshake->made.fd) && leave_in_steps(handshake))
		return;
	peal_made_close(&handshake->made);
	memset(handshake, 0, sizeof(*handshake));
	server->stats.handshakes--;
	peal_places_set_timer(server);
}

/*
 * The fds of an answer that nobody reads count against the server's
 * RLIMIT_NOFILE until the client has read the answer, or the client's socket is
 * gone, whatever the server does. So the connection keeps a place of its user
 * until then. No event tells the server that an answer was read, so the timer
 * of the server looks.
 */
static void keep_unread(struct peal_handshake *handshake)
{
	peal_channel_ring_close(&handshake->made.in);
	peal_channel_ring_close(&handshake->made.out);
	peal_source_detach(&handshake->source);
	handshake->channel = NULL;
	handshake->stage = PEAL_STAGE_UNREAD;
	peal_places_set_timer(handshake->server);
}

void peal_pending_count(struct peal_server *server, int error)
{
	if (error == -EPIPE || error == -EPROTO || error == -ETIMEDOUT ||
	    error == -EBUSY)
		server->stats.failed++;
	else
		server->stats.refused++;
}

void peal_pending_tell(struct peal_server *server, const struct peal_peer *who,
		       int reason, const char *text)
{
	struct peal_peer peer = *who;
	char copy[PEAL_TEXT];

	if (!server->service.on_refused)
		return;
	/* The callback may give the storage of `who` and of the text to another
	 * client. */
	peer.pidfd = -1;
	snprintf(copy, sizeof(copy), "%s", text);
	server->service.on_refused(&peer, reason, copy,
				   server->service.callbacks.user);
}

void peal_pending_end(struct peal_handshake *handshake, int error)
{
	struct peal_channel *ch = handshake->channel;
	bool unread = ch && !peal_socket_was_read(handshake->made.fd);

	peal_pending_count(handshake->server, error);
	peal_handshake_refuse(handshake, error);
	if (unread)
		keep_unread(handshake);
	else
		peal_pending_release(handshake);
	/* A channel that never opened has no callbacks. */
	if (ch)
		peal_life_fail(ch, error);
}

void peal_pending_fail(struct peal_handshake *handshake, int error)
{
	struct peal_server *server = handshake->server;
	const struct peal_peer peer = handshake->made.peer;
	char text[PEAL_TEXT];

	memcpy(text, handshake->text, sizeof(text));
	peal_pending_end(handshake, error);
	/* -EBUSY is a word for the client alone: connect again. */
	peal_pending_tell(server, &peer, error == -EBUSY ? -ETIMEDOUT : error,
			  text);
}
