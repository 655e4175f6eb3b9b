/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An open channel on a reactor. The reactor watches the socket, which hangs up
 * when the peer dies. Where the socket is the doorbell, the reactor hears the
 * doorbells there, too. On a server the reactor also watches the pidfd of the
 * client: a forked child of the client keeps the socket open, and so hides the
 * client's death from the socket.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "../reactor/floor.h"
#include "../ring/floor.h"
#include "internal.h"

/* Doorbells that nobody has to ring, while the reactor serves no ring of the
 * channel: a peer that rings more often breaks the protocol. */
#define UNEXPECTED_BELLS_MAX 64u

/* -- rings */

/* @param received  the ring from the peer was closed */
static void ring_closed(struct peal_channel *ch, int reason, bool received)
{
	if (!ch->life.reason)
		ch->life.reason = reason;
	if (!peal_source_added(&ch->served.receiver) &&
	    !peal_source_added(&ch->served.sender)) {
		peal_life_drained(ch);
		return;
	}
	if (reason < 0) {
		peal_life_close(ch, reason);
		return;
	}
	/* The bells of the ring that was closed may have put the socket into
	 * quarantine. Only that ring would have ended the quarantine. */
	if (peal_source_added(&ch->served.socket))
		peal_source_listen(&ch->served.socket, true);
	if (received && peal_end_error(&ch->receiver.end) == 0 &&
	    ch->life.state == PEAL_CHANNEL_OPEN &&
	    ch->served.callbacks.on_ended)
		ch->served.callbacks.on_ended(ch, ch->user);
}

static void receiver_closed(struct peal_receiver *rx, int reason, void *user)
{
	(void)rx;
	ring_closed(user, reason, true);
}

static void sender_closed(struct peal_sender *tx, int reason, void *user)
{
	(void)tx;
	ring_closed(user, reason, false);
}

static long receiver_readable(struct peal_receiver *rx, void *user)
{
	struct peal_channel *ch = user;

	(void)rx;
	return ch->served.callbacks.on_readable(ch, ch->user);
}

static long sender_writable(struct peal_sender *tx, void *user)
{
	struct peal_channel *ch = user;

	(void)tx;
	if (!ch->served.callbacks.on_writable)
		return PEAL_DONE;
	return ch->served.callbacks.on_writable(ch, ch->user);
}

/* -- the socket and the process */

/* The socket is the doorbell of the rings that the reactor still serves. */
static void hear_bell(struct peal_channel *ch)
{
	struct peal_source *rx = NULL;
	struct peal_source *tx = NULL;
	int ret = 0;

	if (peal_source_added(&ch->served.receiver))
		rx = &ch->served.receiver;
	if (peal_source_added(&ch->served.sender))
		tx = &ch->served.sender;
	if (peal_reactor_is_level(ch->served.loop) || (!rx && !tx))
		ret = peal_end_clear(ch->in.mem.base ? &ch->receiver.end
						     : &ch->sender.end);
	if (!rx && !tx && ++ch->line.unexpected_bells > UNEXPECTED_BELLS_MAX)
		ret = -EPROTO;
	if (ret == -EPROTO)
		peal_life_close(ch, ret);
	else if (rx)
		peal_rings_rung(rx, tx);
	else if (tx)
		peal_rings_rung(tx, NULL);
}

static void hear_packet(struct peal_channel *ch)
{
	char byte;

	if (ch->line.bells == PEAL_DOORBELL_SOCKET)
		hear_bell(ch);
	else if (peal_socket_receive(ch->line.fd, &byte, sizeof(byte)) !=
		 -EAGAIN)
		peal_life_close(ch, -EPROTO);
}

static void on_socket(struct peal_source *source, int fd, uint32_t events,
		      void *user)
{
	struct peal_channel *ch = user;
	struct peal_source_mark mark = peal_source_mark(source);

	(void)fd;
	if (ch->life.state == PEAL_CHANNEL_PENDING ||
	    ch->life.state == PEAL_CHANNEL_JOINING) {
		ch->life.owner->packet(ch);
		if (!peal_source_survived(&mark))
			return;
		/* The owner has read all packets. But the peer may have hung up
		 * after the packet that opened the channel. */
		events &= ~(uint32_t)EPOLLIN;
	}
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		peal_life_close(ch, -EPIPE);
	else if (events & EPOLLIN)
		hear_packet(ch);
}

static void on_process(struct peal_source *source, int fd, uint32_t events,
		       void *user)
{
	(void)source;
	(void)fd;
	(void)events;
	peal_life_close(user, -EPIPE);
}

int peal_served_watch_socket(struct peal_channel *ch)
{
	uint32_t edge = peal_reactor_is_level(ch->served.loop) ? 0 : EPOLLET;

	return peal_reactor_add_fd(ch->served.loop, &ch->served.socket,
				   ch->line.fd, EPOLLIN | EPOLLRDHUP | edge,
				   on_socket, ch);
}

static int watch_process(struct peal_channel *ch)
{
	uint32_t edge = peal_reactor_is_level(ch->served.loop) ? 0 : EPOLLET;

	if (ch->peer.pidfd < 0)
		return 0;
	return peal_reactor_add_fd(ch->served.loop, &ch->served.process,
				   ch->peer.pidfd, EPOLLIN | edge, on_process,
				   ch);
}

static int serve_rings(struct peal_channel *ch)
{
	struct peal_source *bell = ch->line.bells == PEAL_DOORBELL_SOCKET
					   ? &ch->served.socket
					   : NULL;
	int ret = 0;

	if (ch->in.mem.base)
		ret = peal_receiver_add(
			ch->served.loop, &ch->served.receiver, &ch->receiver,
			&(struct peal_receiver_callbacks){
				.on_readable = receiver_readable,
				.on_closed = receiver_closed,
				.user = ch },
			bell);
	if (ret == 0 && ch->out.mem.base)
		ret = peal_sender_add(ch->served.loop, &ch->served.sender,
				      &ch->sender,
				      &(struct peal_sender_callbacks){
					      .on_writable = sender_writable,
					      .on_closed = sender_closed,
					      .user = ch },
				      bell);
	return ret;
}

int peal_served_watch(struct peal_channel *ch)
{
	int ret = peal_served_watch_socket(ch);

	return ret == 0 ? watch_process(ch) : ret;
}

unsigned peal_served_slots(const struct peal_channel *ch)
{
	return (ch->in.mem.base != NULL) + (ch->out.mem.base != NULL);
}

int peal_served_start(struct peal_channel *ch)
{
	struct peal_source_mark mark = peal_source_mark(&ch->served.socket);

	if (ch->served.callbacks.on_open)
		ch->served.callbacks.on_open(ch, ch->user);
	if (!peal_source_survived(&mark))
		return 0; /* the callback has closed the channel */
	return serve_rings(ch);
}
