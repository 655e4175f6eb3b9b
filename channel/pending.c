/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A server's handshakes under way. They cost their user's share, not that of
 * others: there is a cap for each user. A client that is silent makes way for
 * the next; the silence is the client's alone, so before it counts, what lies
 * in the socket is read. A client that has said READY never makes way.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "internal.h"

#define MS UINT64_C(1000000)
#define HANDSHAKE_MS 2000u
/* A client that was answered may be silent for so long before it makes way for
 * another user, and for another client of its own user. */
#define PATIENCE_NS (100 * MS)
#define PATIENCE_OWN_NS (1000 * MS)
/* Until the listener is looked at again, once fds have run out, and unread
 * answers likewise. */
#define PAUSE_NS (100 * MS)

static uint64_t handshake_ns(const struct peal_server *server)
{
	unsigned ms = server->service.handshake_ms;

	return (ms ? ms : HANDSHAKE_MS) * MS;
}

/* -- room for another */

/* @return one that is free, if this user may have another, or NULL */
static struct peal_handshake *find_room(struct peal_server *server, uid_t uid,
					bool *its_share)
{
	struct peal_handshake *unused = NULL;
	int of_uid = 0;

	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *handshake = &server->handshakes[i];

		if (!handshake->server)
			unused = handshake;
		else if (handshake->made.peer.uid == uid)
			of_uid++;
	}
	*its_share = of_uid >= PEAL_HANDSHAKES_PER_UID;
	return *its_share ? NULL : unused;
}

/*
 * When may this one make way for a connection of that user? `its_share`: the
 * user has all that it may have, so that one of its own has to go.
 * @return a time that may be over, or UINT64_MAX: never
 */
static uint64_t makes_way_at(const struct peal_handshake *handshake, uid_t uid,
			     bool its_share)
{
	bool own = handshake->made.peer.uid == uid;

	if (!handshake->server || handshake->sealed || handshake->leaving)
		return UINT64_MAX;
	/* Its own unread answers do not make way for a user. */
	if (its_share && (!own || handshake->unread))
		return UINT64_MAX;
	if (handshake->unread || !handshake->channel)
		return 0;
	return handshake->since + (own ? PATIENCE_OWN_NS : PATIENCE_NS);
}

/* First those that are silent, then those that were answered long ago, and at
 * last those whose answer nobody reads. */
static int rank(const struct peal_handshake *handshake)
{
	return handshake->unread ? 2 : handshake->channel ? 1 : 0;
}

/* The one to make way now. */
static struct peal_handshake *oldest(struct peal_server *server, uid_t uid,
				     bool its_share)
{
	struct peal_handshake *found = NULL;
	uint64_t now = peal_now();

	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *handshake = &server->handshakes[i];

		if (makes_way_at(handshake, uid, its_share) > now)
			continue;
		if (!found || rank(handshake) < rank(found) ||
		    (rank(handshake) == rank(found) &&
		     handshake->since < found->since))
			found = handshake;
	}
	return found;
}

/* @return false: the server was finished by a callback */
static bool make_way(struct peal_handshake *old)
{
	struct peal_server *server = old->server;
	struct peal_reactor *loop = server->loop;
	uint64_t token = peal_source_token(&server->timer);
	uint64_t since = old->since;

	if (old->unread) {
		peal_pending_release(old);
		return true;
	}
	peal_server_progress(old);
	if (!peal_reactor_here(loop) ||
	    peal_source_find(loop, token) != &server->timer)
		return false;
	/* It was not silent, or this is another one by now. */
	if (!old->server || old->since != since || old->sealed ||
	    old->leaving || old->unread)
		return true;
	snprintf(old->text, sizeof(old->text),
		 "it made way for another connection");
	peal_pending_fail(old, -EBUSY);
	return peal_reactor_here(loop) &&
	       peal_source_find(loop, token) == &server->timer;
}

/* A callback may take the place of the one that made way: then the next one
 * has to. */
struct peal_handshake *peal_pending_room(struct peal_server *server, uid_t uid)
{
	for (int i = 0; i <= PEAL_HANDSHAKES; i++) {
		bool its_share;
		struct peal_handshake *unused, *old;

		unused = find_room(server, uid, &its_share);
		if (unused)
			return unused;
		old = oldest(server, uid, its_share);
		if (!old || !make_way(old))
			return NULL;
	}
	return NULL;
}

/* -- handshakes: the clock */

/* When is there a place for one that waits? */
static uint64_t room_at(struct peal_server *server)
{
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < server->n_waiting; i++) {
		uid_t uid = server->waiting[i].peer.uid;
		bool its_share;

		if (peal_waiting_has(server, i, uid))
			continue;
		if (find_room(server, uid, &its_share))
			return 0;
		for (int j = 0; j < PEAL_HANDSHAKES; j++) {
			uint64_t at = makes_way_at(&server->handshakes[j], uid,
						   its_share);

			first = at < first ? at : first;
		}
	}
	return first;
}

void peal_pending_clock(struct peal_server *server)
{
	uint64_t first = room_at(server);
	bool look = server->paused;

	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		const struct peal_handshake *handshake = &server->handshakes[i];
		uint64_t end = handshake->since + handshake_ns(server);

		if (!handshake->server || handshake->leaving)
			continue;
		look |= handshake->unread;
		if (!handshake->unread && !handshake->sealed && end < first)
			first = end;
	}
	if (look && !server->look_at)
		server->look_at = peal_now() + PAUSE_NS;
	if (look && server->look_at < first)
		first = server->look_at;
	if (first == 0)
		first = 1; /* it is over, and no timer is set to nothing */
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
	struct peal_handshake *handshake = user;

	(void)events;
	if (peal_socket_leave(fd))
		peal_pending_release(handshake);
	else
		peal_source_again(source);
}

/* Step by step, between the turns of others, at the expense of its user. */
static bool leave_slowly(struct peal_handshake *handshake)
{
	struct peal_reactor *loop = handshake->server->loop;
	int fd = handshake->made.fd;

	peal_made_close_rings(&handshake->made);
	handshake->channel = NULL;
	handshake->unread = false;
	handshake->leaving = true;
	if (peal_reactor_add_fd(loop, &handshake->source, fd, 0, on_leaving,
				handshake) < 0)
		return false;
	peal_source_again(&handshake->source);
	return true;
}

void peal_pending_bury(struct peal_server *server, int fd, uid_t uid)
{
	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *handshake = &server->handshakes[i];

		if (handshake->server)
			continue;
		handshake->server = server;
		handshake->made.fd = fd;
		handshake->made.peer.uid = uid;
		handshake->made.peer.pidfd = -1;
		server->stats.handshakes++;
		if (!leave_slowly(handshake))
			peal_pending_release(handshake);
		return;
	}
	close(fd);
}

void peal_pending_release(struct peal_handshake *handshake)
{
	struct peal_server *server = handshake->server;

	if (peal_source_added(&handshake->source))
		peal_reactor_remove(server->loop, &handshake->source);
	if (!handshake->leaving && handshake->made.fd >= 0 &&
	    !peal_socket_leave(handshake->made.fd) && leave_slowly(handshake))
		return;
	peal_made_close(&handshake->made);
	memset(handshake, 0, sizeof(*handshake));
	server->stats.handshakes--;
	peal_pending_clock(server);
}

/*
 * The fds of an answer that nobody reads count against our RLIMIT_NOFILE as
 * long as the client has its socket, whatever we do. So the connection stays
 * among those that its user has under way until it is read, or the socket gone;
 * nothing but that is of interest, and there is no event for it.
 */
static void set_aside(struct peal_handshake *handshake)
{
	peal_channel_ring_close(&handshake->made.in);
	peal_channel_ring_close(&handshake->made.out);
	peal_reactor_remove(handshake->server->loop, &handshake->source);
	handshake->channel = NULL;
	handshake->unread = true;
	peal_pending_clock(handshake->server);
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
	/* The callback may give the storage of both to another client. */
	peer.pidfd = -1;
	snprintf(copy, sizeof(copy), "%s", text);
	server->service.on_refused(&peer, reason, copy,
				   server->service.callbacks.user);
}

void peal_pending_fail(struct peal_handshake *handshake, int error)
{
	struct peal_server *server = handshake->server;
	struct peal_channel *ch = handshake->channel;
	const struct peal_peer peer = handshake->made.peer;
	bool unread = ch && !peal_socket_was_read(handshake->made.fd);
	char text[PEAL_TEXT];

	memcpy(text, handshake->text, sizeof(text));
	peal_pending_count(server, error);
	peal_handshake_refuse(handshake, error);
	/* To the server's owner both are the same: the client was too slow. */
	if (error == -EBUSY)
		error = -ETIMEDOUT;
	if (unread)
		set_aside(handshake);
	else
		peal_pending_release(handshake);
	if (ch) {
		memcpy(ch->text, text, sizeof(text));
		peal_channel_closed(ch, error);
	} else {
		peal_pending_tell(server, &peer, error, text);
	}
}

/* @return false: the server was finished by a callback */
static bool expire_one(struct peal_handshake *handshake)
{
	struct peal_server *server = handshake->server;
	struct peal_reactor *loop = server->loop;
	uint64_t token = peal_source_token(&server->timer), since;

	if (handshake->leaving || handshake->sealed)
		return true;
	if (handshake->unread) {
		if (peal_socket_was_read(handshake->made.fd))
			peal_pending_release(handshake);
		return true;
	}
	since = handshake->since;
	if (peal_now() - since < handshake_ns(server))
		return true;
	peal_server_progress(handshake);
	if (!peal_reactor_here(loop) ||
	    peal_source_find(loop, token) != &server->timer)
		return false;
	/* It was we who took too long, or this is another one by now. */
	if (!handshake->server || handshake->since != since ||
	    handshake->sealed || handshake->leaving || handshake->unread)
		return true;
	snprintf(handshake->text, sizeof(handshake->text),
		 "the handshake took too long");
	peal_pending_fail(handshake, -ETIMEDOUT);
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

void peal_server_lost_in_child(struct peal_channel *ch)
{
	struct peal_server *server = ch->server;

	if (ch->link.next)
		peal_link_remove(&ch->link);
	for (int i = 0; i < PEAL_HANDSHAKES; i++)
		if (server->handshakes[i].channel == ch)
			server->handshakes[i].channel = NULL;
}
