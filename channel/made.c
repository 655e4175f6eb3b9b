/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a handshake makes: a socket, the rings, and this side's ends of the
 * rings. A channel that has an older ring keeps that ring while the handshake
 * is under way. Then the channel takes over what was made.
 */
#include <string.h>
#include <unistd.h>

#include "../ring/floor.h"
#include "internal.h"

void peal_made_close_rings(struct peal_made *made)
{
	if (made->peer.pidfd >= 0)
		close(made->peer.pidfd);
	made->peer.pidfd = -1;
	peal_channel_ring_close(&made->out);
	peal_channel_ring_close(&made->in);
}

void peal_made_close(struct peal_made *made)
{
	peal_made_close_rings(made);
	if (made->fd >= 0)
		close(made->fd);
	memset(made, 0, sizeof(*made));
	made->fd = made->peer.pidfd = -1;
}

void peal_channel_close_rings(struct peal_channel *ch)
{
	peal_end_unwatch(&ch->sender.end);
	peal_end_unwatch(&ch->receiver.end);
	peal_channel_ring_close(&ch->out);
	peal_channel_ring_close(&ch->in);
}

int peal_channel_take_over(struct peal_channel *ch, struct peal_made *made)
{
	bool shared;

	if (ch->out.mem.base && made->out.mem.base) {
		int ret = peal_end_carry_over(&made->sender.end,
					      &ch->sender.end);

		if (ret < 0)
			return ret;
	}
	peal_channel_close_rings(ch);
	ch->sender = made->sender;
	ch->receiver = made->receiver;
	ch->out = made->out;
	ch->in = made->in;
	ch->peer = made->peer;
	ch->line.bells = made->bells;
	ch->line.fd = made->fd;
	shared = ch->line.bells == PEAL_DOORBELL_SOCKET &&
		 ch->hello.role == PEAL_BOTH;
	peal_end_bind(&ch->sender.end, ch->line.fd,
		      shared ? &ch->receiver.end : NULL);
	peal_end_bind(&ch->receiver.end, ch->line.fd,
		      shared ? &ch->sender.end : NULL);
	if (ch->line.bells == PEAL_DOORBELL_EVENTFD) {
		peal_sender_set_barriers(&ch->sender, true);
		peal_receiver_set_barriers(&ch->receiver, true);
	}
	return 0;
}

bool peal_channel_is_undelivered(const struct peal_channel *ch)
{
	const struct peal_end *end = &ch->sender.end;

	return ch->out.mem.base && peal_end_error(end) == -EPIPE &&
	       peal_end_peer_state(end) == PEAL_STATE_OPEN &&
	       !peal_end_all_taken(end);
}

/* -- a client that gives up after its READY */

void peal_channel_withdraw(struct peal_channel *ch, bool withdrawn)
{
	peal_end_withdraw(&ch->sender.end, withdrawn);
	peal_end_withdraw(&ch->receiver.end, withdrawn);
	/* Pairs with the fence in peal_channel_is_withdrawn(). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool peer_withdrew(const struct peal_end *end)
{
	return peal_end_is_attached(end) &&
	       peal_end_peer_state(end) == PEAL_STATE_BROKEN;
}

bool peal_channel_is_withdrawn(const struct peal_channel *ch)
{
	/* Pairs with the fence in peal_channel_withdraw(). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return peer_withdrew(&ch->sender.end) ||
	       peer_withdrew(&ch->receiver.end);
}
