/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A server's handshakes under way. They cost their user's share, not that of
 * others: there is a cap for each user, and one that says nothing makes way for
 * the next.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../reactor/internal.h"
#include "internal.h"

#define MS UINT64_C(1000000)
#define HANDSHAKE_MS 2000u
/* One that has been answered is given so long before it makes way. */
#define PATIENCE_NS (100 * MS)
/* Until the listener is looked at again, once fds have run out, and unread
 * answers likewise. */
#define PAUSE_NS (100 * MS)

static uint64_t handshake_ns(const struct peal_server *server)
{
	unsigned ms = server->service.handshake_ms;

	return (ms ? ms : HANDSHAKE_MS) * MS;
}

/* -- handshakes: the clock */

void peal_pending_clock(struct peal_server *server)
{
	uint64_t first = UINT64_MAX;
	bool look = server->paused;

	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		const struct peal_handshake *shake = &server->handshakes[i];
		uint64_t end = shake->began + handshake_ns(server);

		if (!shake->server || shake->leaving)
			continue;
		look |= shake->unread;
		if (!shake->unread && end < first)
			first = end;
	}
	if (look && !server->look_at)
		server->look_at = peal_now() + PAUSE_NS;
	if (look && server->look_at < first)
		first = server->look_at;
	if (first == UINT64_MAX)
		peal_reactor_cancel_timer(server->loop, &server->timer);
	else
		peal_reactor_set_timer(server->loop, &server->timer, first, 0,
				       PEAL_TIMER_ABSOLUTE);
}

/* -- handshakes: the end */

static void on_leaving(struct peal_source *source, int fd, uint32_t events,
		       void *user)
{
	struct peal_handshake *shake = user;

	(void)events;
	if (peal_socket_leave(fd))
		peal_pending_release(shake);
	else
		peal_source_again(source);
}

/* Step by step, between the turns of others, at the expense of its user. */
static bool leave_slowly(struct peal_handshake *shake)
{
	struct peal_reactor *loop = shake->server->loop;
	int fd = shake->parts.fd;

	peal_parts_keep_fd(&shake->parts);
	shake->channel = NULL;
	shake->unread = false;
	shake->leaving = true;
	if (peal_reactor_add_fd(loop, &shake->source, fd, 0, on_leaving,
				shake) < 0)
		return false;
	peal_source_again(&shake->source);
	return true;
}

void peal_pending_bury(struct peal_server *server, int fd, uid_t uid)
{
	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *shake = &server->handshakes[i];

		if (shake->server)
			continue;
		shake->server = server;
		shake->parts.fd = fd;
		shake->parts.peer.uid = uid;
		shake->parts.peer.pidfd = -1;
		server->stats.handshakes++;
		if (!leave_slowly(shake))
			peal_pending_release(shake);
		return;
	}
	close(fd);
}

void peal_pending_release(struct peal_handshake *shake)
{
	struct peal_server *server = shake->server;

	if (shake->source.reactor)
		peal_reactor_remove(server->loop, &shake->source);
	if (!shake->leaving && shake->parts.fd >= 0 &&
	    !peal_socket_leave(shake->parts.fd) && leave_slowly(shake))
		return;
	peal_parts_finish(&shake->parts);
	memset(shake, 0, sizeof(*shake));
	server->stats.handshakes--;
	peal_pending_clock(server);
}

/*
 * The fds of an answer that nobody reads count against our RLIMIT_NOFILE as
 * long as the client has its socket, whatever we do. So the connection stays
 * among those that its user has under way until it is read, or the socket gone;
 * nothing but that is of interest, and there is no event for it.
 */
static void set_aside(struct peal_handshake *shake)
{
	peal_leg_finish(&shake->parts.in);
	peal_leg_finish(&shake->parts.out);
	peal_reactor_remove(shake->server->loop, &shake->source);
	shake->channel = NULL;
	shake->unread = true;
	peal_pending_clock(shake->server);
}

void peal_pending_count(struct peal_server *server, int error)
{
	if (error == -EPIPE || error == -EPROTO || error == -ETIMEDOUT)
		server->stats.failed++;
	else
		server->stats.refused++;
}

/* It has come to nothing. Whoever knows of it is told. */
void peal_pending_fail(struct peal_handshake *shake, int error)
{
	struct peal_server *server = shake->server;
	struct peal_channel *ch = shake->channel;
	struct peal_peer peer = shake->parts.peer;
	char text[PEAL_TEXT];

	memcpy(text, shake->text, sizeof(text));
	peal_pending_count(server, error);
	if (ch && !peal_socket_was_read(shake->parts.fd))
		set_aside(shake);
	else
		peal_pending_release(shake);
	peer.pidfd = -1;
	if (ch) {
		memcpy(ch->text, text, sizeof(text));
		peal_channel_closed(ch, error);
	} else if (server->service.on_refused) {
		server->service.on_refused(&peer, error, text,
					   server->service.callbacks.user);
	}
}

/* @return false: the server was finished by a callback */
static bool expire_one(struct peal_handshake *shake)
{
	struct peal_server *server = shake->server;
	struct peal_reactor *loop = server->loop;
	uint64_t token = peal_source_token(&server->timer);

	if (shake->leaving)
		return true;
	if (shake->unread) {
		if (peal_socket_was_read(shake->parts.fd))
			peal_pending_release(shake);
		return true;
	}
	if (peal_now() - shake->began < handshake_ns(server))
		return true;
	snprintf(shake->text, sizeof(shake->text),
		 "the handshake took too long");
	peal_pending_fail(shake, -ETIMEDOUT);
	return peal_reactor_here(loop) &&
	       peal_source_find(loop, token) == &server->timer;
}

void peal_pending_expire(struct peal_server *server)
{
	if (server->look_at <= peal_now())
		server->look_at = 0;
	for (int i = 0; i < PEAL_HANDSHAKES; i++)
		if (server->handshakes[i].server &&
		    !expire_one(&server->handshakes[i]))
			return;
	peal_pending_clock(server);
}

void peal_server_lost(struct peal_channel *ch)
{
	struct peal_server *server = ch->server;

	if (ch->link.next) {
		peal_link_remove(&ch->link);
		ch->link.next = NULL;
	}
	for (int i = 0; i < PEAL_HANDSHAKES; i++)
		if (server->handshakes[i].server &&
		    server->handshakes[i].channel == ch)
			peal_pending_release(&server->handshakes[i]);
	ch->server = NULL;
}

/* -- room for another */

/* First those that are silent, then those that were answered long ago, and at
 * last those whose answer nobody reads. */
static int rank(const struct peal_handshake *shake)
{
	return shake->unread ? 2 : shake->channel ? 1 : 0;
}

/* The one to make way. */
static struct peal_handshake *oldest(struct peal_server *server, bool any,
				     uid_t uid)
{
	struct peal_handshake *found = NULL;
	uint64_t now = peal_now();

	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *shake = &server->handshakes[i];

		/* Its own unread answers do not make way for a user. */
		if (!shake->server || shake->sealed || shake->leaving ||
		    (!any && (shake->parts.peer.uid != uid || shake->unread)) ||
		    (shake->channel && now - shake->began < PATIENCE_NS))
			continue;
		if (!found || rank(shake) < rank(found) ||
		    (rank(shake) == rank(found) && shake->began < found->began))
			found = shake;
	}
	return found;
}

/* @return one that is free, if this user may have another, or NULL */
static struct peal_handshake *find_room(struct peal_server *server, uid_t uid,
					bool *its_share)
{
	struct peal_handshake *unused = NULL;
	int of_uid = 0;

	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *shake = &server->handshakes[i];

		if (!shake->server)
			unused = shake;
		else if (shake->parts.peer.uid == uid)
			of_uid++;
	}
	*its_share = of_uid >= PEAL_HANDSHAKES_PER_UID;
	return *its_share ? NULL : unused;
}

/* Let one make way for another, whose callback may take its place again. */
struct peal_handshake *peal_pending_room(struct peal_server *server, uid_t uid)
{
	struct peal_reactor *loop = server->loop;
	uint64_t token = peal_source_token(&server->timer);
	bool its_share;
	struct peal_handshake *unused = find_room(server, uid, &its_share);
	struct peal_handshake *old;

	if (unused)
		return unused;
	old = oldest(server, !its_share, uid);
	if (!old)
		return NULL;
	snprintf(old->text, sizeof(old->text),
		 "it made way for another connection");
	if (old->unread)
		peal_pending_release(old);
	else
		peal_pending_fail(old, -ETIMEDOUT);
	if (!peal_reactor_here(loop) ||
	    peal_source_find(loop, token) != &server->timer)
		return NULL;
	return find_room(server, uid, &its_share);
}
