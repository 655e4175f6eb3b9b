/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a server does for the channels that it owns. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "../ring/floor.h"
#include "internal.h"

/* A channel of a server reads no packets: the handshake reads them, through a
 * source of its own. */
static void member_packet(struct peal_channel *ch)
{
	(void)ch;
}

/* May the client come back to what the channel's ring holds? */
static enum peal_outcome member_lost(struct peal_channel *ch, int reason)
{
	if (!ch->member.server->service.resume || !ch->out.mem.base)
		return PEAL_OUTCOME_RELEASE;
	/* Did the server keep the ring before? Then the handshake of the client
	 * that came back has failed. */
	if (ch->life.state == PEAL_CHANNEL_PENDING)
		return ch->connects > 0 ? PEAL_OUTCOME_KEEP
					: PEAL_OUTCOME_RELEASE;
	if (!peal_client_is_known(&ch->hello, &ch->peer))
		return PEAL_OUTCOME_RELEASE;
	return reason == -EPIPE && peal_end_error(&ch->sender.end) != -EPROTO
		       ? PEAL_OUTCOME_KEEP
		       : PEAL_OUTCOME_RELEASE;
}

/* In a child after fork(2) only the child's memory changes. */
static void leave_in_child(struct peal_channel *ch)
{
	struct peal_server *server = ch->member.server;

	if (ch->member.link.next)
		peal_link_remove(&ch->member.link);
	for (int i = 0; i < PEAL_HANDSHAKES; i++)
		if (server->places.handshakes[i].channel == ch)
			server->places.handshakes[i].channel = NULL;
}

static void leave_server(struct peal_channel *ch)
{
	struct peal_server *server = ch->member.server;

	if (ch->member.link.next) {
		peal_link_remove(&ch->member.link);
		ch->member.link.next = NULL;
	}
	for (int i = 0; i < PEAL_HANDSHAKES; i++)
		if (server->places.handshakes[i].server &&
		    server->places.handshakes[i].channel == ch)
			peal_pending_release(&server->places.handshakes[i]);
	ch->member.server = NULL;
}

static void member_part(struct peal_channel *ch, bool stays)
{
	if (!peal_channel_here(ch)) {
		leave_in_child(ch);
		return;
	}
	if (ch->line.fd >= 0) {
		peal_slow_users_closed(ch);
		peal_pending_leave(ch->member.server, ch->line.fd,
				   ch->peer.uid);
		ch->line.fd = -1;
	}
	if (!stays)
		leave_server(ch);
}

const struct peal_channel_owner peal_member_owner = {
	.packet = member_packet,
	.lost = member_lost,
	.part = member_part,
};
