/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Handshakes that end because of the time: a handshake makes way for another
 * client, or has taken too long. Only a client that was silent loses its
 * handshake. So the server first reads what lies in the socket.
 */
#include <errno.h>
#include <stdio.h>

#include "../reactor/floor.h"
#include "internal.h"

/*
 * Read what lies in the socket, and then end the handshake if the client was
 * silent. A client that makes way connects again by itself, so the server's
 * owner is not told of it.
 * @return false: a callback closed the server
 */
static bool end_if_silent(struct peal_handshake *handshake, bool makes_way)
{
	struct peal_source_mark mark =
		peal_source_mark(&handshake->server->places.timer);
	uint64_t since = handshake->since;

	peal_steps_progress(handshake);
	if (!peal_source_survived(&mark))
		return false;
	/* The client was not silent, or another one has the place by now. */
	if (!handshake->server || handshake->since != since ||
	    handshake->stage > PEAL_STAGE_READY)
		return true;
	snprintf(handshake->text, sizeof(handshake->text), "%s",
		 makes_way ? "this connection made way for another one"
			   : "the handshake took too long");
	if (makes_way)
		peal_pending_end(handshake, -EBUSY);
	else
		peal_pending_fail(handshake, -ETIMEDOUT);
	return peal_source_survived(&mark);
}

/* A callback may fill the place of the handshake that made way. Then another
 * handshake has to make way. */
struct peal_handshake *peal_room_make(struct peal_server *server, uid_t uid)
{
	for (int i = 0; i <= PEAL_HANDSHAKES; i++) {
		bool share_used;
		struct peal_handshake *unused, *old;

		unused = peal_places_free(server, uid, &share_used);
		if (unused)
			return unused;
		old = peal_places_to_clear(server, uid, share_used);
		if (!old)
			return NULL;
		if (old->stage == PEAL_STAGE_UNREAD)
			peal_pending_release(old);
		else if (!end_if_silent(old, true))
			return NULL;
	}
	return NULL;
}

/* @return false: a callback closed the server */
static bool end_if_late(struct peal_handshake *handshake)
{
	if (handshake->stage == PEAL_STAGE_UNREAD &&
	    peal_socket_was_read(handshake->made.fd))
		peal_pending_release(handshake);
	if (handshake->stage > PEAL_STAGE_READY || !handshake->server)
		return true;
	if (peal_now() - handshake->since <
	    peal_places_limit(handshake->server))
		return true;
	return end_if_silent(handshake, false);
}

void peal_room_expire(struct peal_server *server)
{
	if (server->places.look_at <= peal_now())
		server->places.look_at = 0;
	for (int i = 0; i < PEAL_HANDSHAKES; i++)
		if (server->places.handshakes[i].server &&
		    !end_if_late(&server->places.handshakes[i]))
			return;
	peal_places_set_timer(server);
}
