/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An open channel. Its socket is watched as its lifeline, and hears the bells
 * of its rings where it is the doorbell; on a server the client's pidfd tells
 * of a death that a forked child hides.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "../ring/floor.h"
#include "internal.h"

/* Bells that nobody is owed, while no ring is served: then it is enough. */
#define UNOWED 64u

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

bool peal_channel_here(const struct peal_channel *ch)
{
	return ch->owner == getpid() &&
	       (!ch->loop || peal_reactor_here(ch->loop));
}

/* The rings, and what is still held for waiting on them. */
static void put_down(struct peal_channel *ch)
{
	peal_end_unwatch(&ch->sender.end);
	peal_end_unwatch(&ch->receiver.end);
	peal_channel_ring_close(&ch->out);
	peal_channel_ring_close(&ch->in);
}

int peal_channel_assemble(struct peal_channel *ch, struct peal_made *made)
{
	bool shared;

	if (ch->out.mem.base && made->out.mem.base) {
		int ret = peal_end_carry_over(&made->sender.end,
					      &ch->sender.end);

		if (ret < 0)
			return ret;
	}
	put_down(ch);
	ch->sender = made->sender;
	ch->receiver = made->receiver;
	ch->out = made->out;
	ch->in = made->in;
	ch->bells = made->bells;
	ch->peer = made->peer;
	ch->fd = made->fd;
	shared = ch->bells == PEAL_DOORBELL_SOCKET &&
		 ch->hello.role == PEAL_BOTH;
	peal_end_bind(&ch->sender.end, ch->fd,
		      shared ? &ch->receiver.end : NULL);
	peal_end_bind(&ch->receiver.end, ch->fd,
		      shared ? &ch->sender.end : NULL);
	if (ch->bells == PEAL_DOORBELL_EVENTFD) {
		peal_sender_set_barriers(&ch->sender, true);
		peal_receiver_set_barriers(&ch->receiver, true);
	}
	return 0;
}

void peal_channel_opened(struct peal_channel *ch)
{
	ch->state = PEAL_CHANNEL_OPEN;
	ch->reason = 0;
	ch->unowed = 0;
	ch->text[0] = '\0';
	ch->connects++;
}

void peal_channel_withdraw(struct peal_channel *ch, bool withdrawn)
{
	peal_end_withdraw(&ch->sender.end, withdrawn);
	peal_end_withdraw(&ch->receiver.end, withdrawn);
	/* Pairs with the fence in peal_channel_is_withdrawn(). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool is_broken(const struct peal_end *end)
{
	return peal_end_is_attached(end) &&
	       peal_end_peer_state(end) == PEAL_STATE_BROKEN;
}

bool peal_channel_is_withdrawn(const struct peal_channel *ch)
{
	/* Pairs with the fence in peal_channel_withdraw(). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return is_broken(&ch->sender.end) || is_broken(&ch->receiver.end);
}

/* -- closing */

/* Our sender has finished, and the other side has yet to take some of it. */
static bool undelivered(const struct peal_channel *ch)
{
	const struct peal_end *end = &ch->sender.end;

	return ch->out.mem.base && peal_end_error(end) == -EPIPE &&
	       peal_end_peer_state(end) == PEAL_STATE_OPEN &&
	       !peal_end_all_taken(end);
}

void peal_channel_unwatch(struct peal_channel *ch)
{
	peal_source_detach(&ch->line);
	peal_source_detach(&ch->pid);
	peal_source_detach(&ch->rx);
	peal_source_detach(&ch->tx);
}

/* In a child, too: its copy of the reactor knows where the sources are. */
static void forget(struct peal_channel *ch)
{
	peal_channel_unwatch(ch);
	peal_source_detach(&ch->timer);
}

static void hang_up(struct peal_channel *ch)
{
	if (ch->server && ch->fd >= 0 && peal_channel_here(ch))
		peal_slow_users_closed(ch);
	if (ch->peer.pidfd >= 0)
		close(ch->peer.pidfd);
	if (ch->fd >= 0 && ch->server && peal_channel_here(ch) &&
	    !peal_socket_leave(ch->fd))
		peal_pending_bury(ch->server, ch->fd, ch->peer.uid);
	else if (ch->fd >= 0)
		close(ch->fd);
	ch->peer.pidfd = ch->fd = -1;
}

/* It goes on without a receiver, in its ring, until that is full. */
void peal_channel_maroon(struct peal_channel *ch)
{
	peal_end_unwatch(&ch->sender.end);
	peal_end_unwatch(&ch->receiver.end);
	peal_channel_ring_close(&ch->in);
	memset(&ch->receiver, 0, sizeof(ch->receiver));
	if (!ch->out.mem.base)
		return;
	peal_doorbell_close(&ch->out.data);
	peal_doorbell_close(&ch->out.space);
	peal_end_detach(&ch->sender.end);
}

static bool resumes(const struct peal_channel *ch, int reason)
{
	if (!ch->server || !ch->server->service.resume || !ch->out.mem.base)
		return false;
	/* The channel was kept before, and its client's handshake failed. */
	if (ch->state == PEAL_CHANNEL_PENDING)
		return ch->connects > 0;
	if (!peal_client_is_known(&ch->hello, &ch->peer))
		return false;
	return reason == -EPIPE && peal_end_error(&ch->sender.end) != -EPROTO;
}

void peal_channel_closed(struct peal_channel *ch, int reason)
{
	struct peal_channel_callbacks callbacks = ch->callbacks;
	struct peal_server *server = ch->server;
	bool refused = server && ch->state == PEAL_CHANNEL_PENDING;
	void *user = ch->user;

	if (ch->retry_ms && peal_client_retry(ch, reason))
		return;
	forget(ch);
	hang_up(ch);
	if (resumes(ch, reason)) {
		peal_channel_maroon(ch);
		ch->state = PEAL_CHANNEL_KEPT;
	} else {
		put_down(ch);
		memset(&ch->sender, 0, sizeof(ch->sender));
		memset(&ch->receiver, 0, sizeof(ch->receiver));
		ch->state = PEAL_CHANNEL_UNUSED;
	}
	if (ch->server && ch->state != PEAL_CHANNEL_KEPT)
		peal_server_lost(ch);
	/* on_closed comes only for a channel that on_open was called for. */
	if (refused)
		peal_pending_tell(server, &ch->peer, reason, ch->text);
	else if (callbacks.on_closed)
		callbacks.on_closed(ch, reason, user);
}

/* No ring is served any more. */
static void all_closed(struct peal_channel *ch)
{
	if (ch->reason == 0 && undelivered(ch)) {
		if (ch->state == PEAL_CHANNEL_OPEN)
			return; /* until the other side has taken it, or dies */
		ch->reason = -EPIPE;
	}
	peal_channel_closed(ch, ch->reason);
}

void peal_channel_die(struct peal_channel *ch, int reason)
{
	bool served = peal_source_added(&ch->rx) || peal_source_added(&ch->tx);

	if (ch->state != PEAL_CHANNEL_OPEN)
		return;
	ch->state = PEAL_CHANNEL_CLOSING;
	if (peal_source_added(&ch->line))
		peal_reactor_remove(ch->loop, &ch->line);
	if (peal_source_added(&ch->pid))
		peal_reactor_remove(ch->loop, &ch->pid);
	if (peal_source_added(&ch->rx))
		peal_reactor_hangup(ch->loop, &ch->rx, reason);
	if (peal_source_added(&ch->tx))
		peal_reactor_hangup(ch->loop, &ch->tx, reason);
	if (served)
		return;
	if (!ch->reason && reason != -EPIPE)
		ch->reason = reason;
	all_closed(ch);
}

static void ring_closed(struct peal_channel *ch, int reason, bool received)
{
	if (!ch->reason)
		ch->reason = reason;
	if (!peal_source_added(&ch->rx) && !peal_source_added(&ch->tx)) {
		all_closed(ch);
		return;
	}
	if (reason < 0) {
		peal_channel_die(ch, reason);
		return;
	}
	/* It may have been in quarantine, and nothing else would end that. */
	if (peal_source_added(&ch->line))
		peal_source_listen(&ch->line, true);
	if (received && peal_end_error(&ch->receiver.end) == 0 &&
	    ch->state == PEAL_CHANNEL_OPEN && ch->callbacks.on_ended)
		ch->callbacks.on_ended(ch, ch->user);
}

static void rx_closed(struct peal_receiver *rx, int reason, void *user)
{
	(void)rx;
	ring_closed(user, reason, true);
}

static void tx_closed(struct peal_sender *tx, int reason, void *user)
{
	(void)tx;
	ring_closed(user, reason, false);
}

/* -- on a reactor */

static long readable(struct peal_receiver *rx, void *user)
{
	struct peal_channel *ch = user;

	(void)rx;
	return ch->callbacks.on_readable(ch, ch->user);
}

static long writable(struct peal_sender *tx, void *user)
{
	struct peal_channel *ch = user;

	(void)tx;
	if (!ch->callbacks.on_writable)
		return PEAL_DONE;
	return ch->callbacks.on_writable(ch, ch->user);
}

/* The socket is the doorbell of those rings that are still served. */
static void bell(struct peal_channel *ch)
{
	struct peal_source *rx = peal_source_added(&ch->rx) ? &ch->rx : NULL;
	struct peal_source *tx = peal_source_added(&ch->tx) ? &ch->tx : NULL;
	int ret = 0;

	if (peal_reactor_is_level(ch->loop) || (!rx && !tx))
		ret = peal_end_clear(ch->in.mem.base ? &ch->receiver.end
						     : &ch->sender.end);
	if (!rx && !tx && ++ch->unowed > UNOWED)
		ret = -EPROTO;
	if (ret == -EPROTO)
		peal_channel_die(ch, ret);
	else if (rx)
		peal_rings_rung(rx, tx);
	else if (tx)
		peal_rings_rung(tx, NULL);
}

static void packet(struct peal_channel *ch)
{
	char byte;

	if (ch->bells == PEAL_DOORBELL_SOCKET)
		bell(ch);
	else if (peal_socket_receive(ch->fd, &byte, sizeof(byte)) != -EAGAIN)
		peal_channel_die(ch, -EPROTO);
}

static void on_line(struct peal_source *source, int fd, uint32_t events,
		    void *user)
{
	struct peal_channel *ch = user;
	struct peal_reactor *loop = ch->loop;
	uint64_t token = peal_source_token(source);

	(void)fd;
	if (ch->state == PEAL_CHANNEL_PENDING ||
	    ch->state == PEAL_CHANNEL_JOINING) {
		peal_client_answered(ch);
		/* The end may have come with the server's last word. */
		events &= ~(uint32_t)EPOLLIN;
		if (!peal_reactor_here(loop) ||
		    peal_source_find(loop, token) != source)
			return;
	}
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		peal_channel_die(ch, -EPIPE);
	else if (events & EPOLLIN)
		packet(ch);
}

static void on_pid(struct peal_source *source, int fd, uint32_t events,
		   void *user)
{
	(void)source;
	(void)fd;
	(void)events;
	peal_channel_die(user, -EPIPE);
}

int peal_channel_watch(struct peal_channel *ch)
{
	uint32_t edge = peal_reactor_is_level(ch->loop) ? 0 : EPOLLET;

	return peal_reactor_add_fd(ch->loop, &ch->line, ch->fd,
				   EPOLLIN | EPOLLRDHUP | edge, on_line, ch);
}

static int watch_pid(struct peal_channel *ch)
{
	uint32_t edge = peal_reactor_is_level(ch->loop) ? 0 : EPOLLET;

	if (ch->peer.pidfd < 0)
		return 0;
	return peal_reactor_add_fd(ch->loop, &ch->pid, ch->peer.pidfd,
				   EPOLLIN | edge, on_pid, ch);
}

static int serve(struct peal_channel *ch)
{
	struct peal_source *line = ch->bells == PEAL_DOORBELL_SOCKET ? &ch->line
								     : NULL;
	int ret = 0;

	if (ch->in.mem.base)
		ret = peal_receiver_add(ch->loop, &ch->rx, &ch->receiver,
					&(struct peal_receiver_callbacks){
						.on_readable = readable,
						.on_closed = rx_closed,
						.user = ch },
					line);
	if (ret == 0 && ch->out.mem.base)
		ret = peal_sender_add(ch->loop, &ch->tx, &ch->sender,
				      &(struct peal_sender_callbacks){
					      .on_writable = writable,
					      .on_closed = tx_closed,
					      .user = ch },
				      line);
	return ret;
}

int peal_channel_attend(struct peal_channel *ch)
{
	int ret = peal_channel_watch(ch);

	return ret == 0 ? watch_pid(ch) : ret;
}

unsigned peal_channel_slots(const struct peal_channel *ch)
{
	return (ch->in.mem.base != NULL) + (ch->out.mem.base != NULL);
}

int peal_channel_start(struct peal_channel *ch)
{
	struct peal_reactor *loop = ch->loop;
	struct peal_source *line = &ch->line;
	uint64_t token = peal_source_token(line);

	if (ch->callbacks.on_open)
		ch->callbacks.on_open(ch, ch->user);
	if (!peal_reactor_here(loop) || peal_source_find(loop, token) != line)
		return 0; /* it has finished the channel */
	return serve(ch);
}

/* -- for everybody */

void peal_channel_drop(struct peal_channel *ch)
{
	bool here = peal_channel_here(ch);

	if (ch->state == PEAL_CHANNEL_UNUSED)
		return;
	forget(ch);
	if (!here && ch->state == PEAL_CHANNEL_PENDING && ch->server)
		ch->fd = ch->peer.pidfd = -1; /* they are the handshake's */
	hang_up(ch);
	if (here && ch->server)
		peal_server_lost(ch);
	else if (ch->server)
		peal_server_lost_in_child(ch);
	put_down(ch);
	memset(ch, 0, sizeof(*ch));
}

void peal_channel_close(struct peal_channel *ch)
{
	/* A child of the process that has it speaks for nobody. */
	if (peal_channel_here(ch)) {
		peal_sender_finish(&ch->sender);
		peal_receiver_finish(&ch->receiver);
	}
	peal_channel_drop(ch);
}

int peal_channel_check(struct peal_channel *ch)
{
	struct peal_end *ends[] = { &ch->sender.end, &ch->receiver.end };
	bool died = false;

	if (ch->state != PEAL_CHANNEL_OPEN)
		return -EPIPE;
	if (!peal_socket_hung_up(ch->fd))
		return 0;
	for (int i = 0; i < 2; i++) {
		if (!peal_end_is_attached(ends[i]))
			continue;
		peal_end_hangup(ends[i], -EPIPE);
		died |= peal_end_reason(ends[i]) != 0;
	}
	return died || undelivered(ch) ? -EPIPE : 1;
}

int peal_channel_fd(const struct peal_channel *ch)
{
	return ch->state == PEAL_CHANNEL_OPEN ? ch->fd : -1;
}

enum peal_doorbell_kind peal_channel_bells(const struct peal_channel *ch)
{
	return ch->bells;
}
