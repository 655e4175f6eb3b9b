/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A server: the listening socket, connections, and the end of the server. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "internal.h"

/* At most so many connections are served in one turn; and so many are accepted,
 * the dead connections included. */
#define ACCEPTS 16
#define DEAD_ACCEPTS 128

static uint32_t edge(const struct peal_server *server)
{
	return peal_reactor_is_level(server->loop) ? 0 : EPOLLET;
}

/* -- connections */

static void on_handshake(struct peal_source *source, int fd, uint32_t events,
			 void *user)
{
	(void)source;
	(void)fd;
	(void)events;
	peal_steps_progress(user);
}

/* Begin a handshake in a place that is free. The fd is closed on failure. */
static int begin_handshake(struct peal_server *server,
			   struct peal_handshake *handshake, int fd,
			   const struct peal_peer *peer)
{
	int ret;

	*handshake = (struct peal_handshake){
		.server = server,
		.made.fd = fd,
		.made.peer = *peer,
		.since = peal_now(),
	};
	server->stats.handshakes++;
	ret = peal_reactor_add_fd(server->loop, &handshake->source, fd,
				  EPOLLIN | EPOLLRDHUP | edge(server),
				  on_handshake, handshake);
	if (ret < 0) {
		peal_steps_cannot_watch(handshake->text, ret);
		peal_pending_fail(handshake, ret);
		return ret;
	}
	peal_places_set_timer(server);
	peal_steps_progress(handshake);
	return 0;
}

/*
 * The server owns the fd, and closes it on failure.
 * @return 0, -EAGAIN too many of this user wait, -EPIPE a callback closed the
 *         server, or an error of peal_reactor_add_fd()
 */
static int meet_client(struct peal_server *server, int fd,
		       const struct peal_peer *peer)
{
	struct peal_source_mark mark = peal_source_mark(&server->places.timer);
	struct peal_handshake *handshake = NULL;
	int ret;

	/* First come, first served, among the connections of a user. */
	if (!peal_waiting_has(server, server->queue.n, peer->uid))
		handshake = peal_room_make(server, peer->uid);
	if (!peal_source_survived(&mark)) {
		close(fd);
		return -EPIPE;
	}
	if (handshake)
		return begin_handshake(server, handshake, fd, peer);
	ret = peal_waiting_add(server, fd, peer);
	if (ret < 0)
		peal_waiting_turn_away(server, fd);
	else
		peal_places_set_timer(server);
	return ret;
}

/* There may be places by now for connections that wait. */
static void serve_waiting(struct peal_server *server)
{
	struct peal_source_mark mark = peal_source_mark(&server->places.timer);
	unsigned i = 0;

	for (int n = 0; n < ACCEPTS && i < server->queue.n;) {
		uid_t uid = server->queue.waiting[i].peer.uid;
		struct peal_handshake *handshake = NULL;
		struct peal_waiting next;

		if (!peal_waiting_has(server, i, uid))
			handshake = peal_room_make(server, uid);
		if (!peal_source_survived(&mark))
			return;
		/* A callback may have changed the list. */
		if (!handshake || i >= server->queue.n ||
		    server->queue.waiting[i].peer.uid != uid) {
			i++;
			continue;
		}
		next = peal_waiting_take(server, i);
		begin_handshake(server, handshake, next.fd, &next.peer);
		if (!peal_source_survived(&mark))
			return;
		n++;
	}
	peal_places_set_timer(server);
}

/*
 * A client may be gone before the server accepts its connection. One user can
 * make thousands of such connections at the expense of all others. So a dead
 * connection has to be cheap.
 * @return true: the connection was dead, and is closed
 */
static bool turn_away_dead(struct peal_server *server, int fd)
{
	struct peal_peer peer;

	if (!peal_socket_hung_up(fd))
		return false;
	peal_pending_count(server, -EPIPE);
	if (server->service.on_refused)
		peal_socket_peer(fd, &peer);
	peal_pending_leave(server, fd, peal_socket_uid(fd));
	if (server->service.on_refused)
		peal_pending_tell(server, &peer, -EPIPE, "");
	return true;
}

static bool ran_out(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS ||
	       error == ENOMEM;
}

static void on_connection(struct peal_source *source, int fd, uint32_t events,
			  void *user)
{
	struct peal_server *server = user;
	struct peal_source_mark mark = peal_source_mark(source);

	(void)events;
	for (int served = 0, n = 0; served < ACCEPTS && n < DEAD_ACCEPTS; n++) {
		struct peal_peer peer;
		int ret = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (ret < 0 && ran_out(errno)) {
			/* The socket stays readable: it would keep the reactor
			 * busy. */
			server->listening.paused = true;
			peal_source_listen(source, false);
			peal_places_set_timer(server);
			return;
		}
		if (ret < 0)
			return;
		server->stats.connections++;
		if (!turn_away_dead(server, ret)) {
			served++;
			peal_socket_peer(ret, &peer);
			meet_client(server, ret, &peer);
		}
		if (!peal_source_survived(&mark))
			return;
	}
}

static void on_server_timer(struct peal_source *source, uint64_t expirations,
			    void *user)
{
	struct peal_server *server = user;
	struct peal_source_mark mark = peal_source_mark(source);

	(void)expirations;
	if (server->listening.paused && server->places.look_at <= peal_now()) {
		server->listening.paused = false;
		peal_source_listen(&server->listening.source, true);
	}
	peal_room_expire(server);
	if (peal_source_survived(&mark) && server->queue.n > 0)
		serve_waiting(server);
}

/* -- the server */

static int start_listening(struct peal_server *server,
			   struct peal_reactor *loop)
{
	int ret;

	server->loop = loop;
	peal_link_init(&server->channels);
	ret = peal_reactor_add_timer(loop, &server->places.timer,
				     on_server_timer, server);
	if (ret < 0)
		return ret;
	if (server->listening.fd < 0)
		return 0;
	ret = peal_reactor_add_fd(loop, &server->listening.source,
				  server->listening.fd, EPOLLIN, on_connection,
				  server);
	if (ret < 0)
		peal_source_detach(&server->places.timer);
	return ret;
}

static int check_service(const struct peal_service *service)
{
	if (!service->channels || !service->n_channels)
		return -EINVAL;
	if (service->channel_size &&
	    service->channel_size < sizeof(struct peal_channel))
		return -EINVAL;
	/* Without admit nobody would check the size of the items. */
	if (!service->admit && !service->accept.item_size)
		return -EINVAL;
	return 0;
}

int peal_server_listen_on(struct peal_server *server, struct peal_reactor *loop,
			  const char *address,
			  const struct peal_service *service)
{
	int ret = check_service(service);

	memset(server, 0, sizeof(*server));
	server->listening.fd = -1;
	server->service = *service;
	if (ret == 0 && address)
		ret = peal_address_listen(server, address);
	if (ret == 0)
		ret = start_listening(server, loop);
	if (ret < 0) {
		peal_address_remove(server);
		memset(server, 0, sizeof(*server));
	}
	return ret;
}

int peal_server_add(struct peal_server *server, int fd, bool trusted)
{
	struct peal_peer peer = { .trusted = trusted,
				  .pid = -1,
				  .uid = (uid_t)-1,
				  .gid = (gid_t)-1,
				  .pidfd = -1 };
	int copy = peal_socket_adopt(fd);

	if (copy < 0)
		return copy;
	peal_socket_refuse(copy);
	server->stats.connections++;
	return meet_client(server, copy, &peer);
}

void peal_server_stats(const struct peal_server *server,
		       struct peal_server_stats *stats)
{
	struct peal_link *link;

	*stats = server->stats;
	stats->waiting = server->queue.n;
	if (!server->loop)
		return;
	for (link = server->channels.next; link != &server->channels;
	     link = link->next) {
		const struct peal_channel *ch = peal_link_channel(link);

		stats->channels += peal_channel_is_open(ch);
		stats->kept += ch->life.state == PEAL_CHANNEL_KEPT;
	}
}

/* In a forked child: close its copies, and change nothing of the parent's. */
static void close_in_child(struct peal_server *server)
{
	struct peal_link *link = server->channels.next;

	while (link != &server->channels) {
		struct peal_channel *ch = peal_link_channel(link);

		link = link->next;
		peal_life_abort(ch);
	}
	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *handshake =
			&server->places.handshakes[i];

		if (!handshake->server)
			continue;
		if (handshake->channel)
			peal_life_abort(handshake->channel);
		peal_source_detach(&handshake->source);
		peal_made_close(&handshake->made);
	}
	peal_waiting_close(server);
	peal_source_detach(&server->listening.source);
	peal_source_detach(&server->places.timer);
	server->listening.path[0] = '\0';
	peal_address_remove(server);
	memset(server, 0, sizeof(*server));
}

int peal_server_listen_in(struct peal_server *server, struct peal_reactor *loop,
			  struct peal_channel *channels,
			  struct peal_slot *slots, size_t n,
			  const char *address,
			  const struct peal_service *service)
{
	struct peal_service stored = *service;
	int ret;

	stored.channels = channels;
	stored.n_channels = n;
	stored.channel_size = 0;
	memset(server, 0, sizeof(*server));
	ret = peal_reactor_init(loop, slots,
				PEAL_SERVER_SLOTS(n) + PEAL_SPARE_SLOTS);
	if (ret < 0)
		return ret;
	ret = peal_server_listen_on(server, loop, address, &stored);
	if (ret < 0)
		peal_reactor_close(loop);
	server->owns_loop = ret == 0;
	return ret;
}

static void close_on(struct peal_server *server, struct peal_reactor *loop)
{
	/* The reactor may have been closed, and made anew without this
	 * server. */
	if (!peal_reactor_here(loop) ||
	    !peal_source_added(&server->places.timer)) {
		close_in_child(server);
		return;
	}
	while (!peal_link_empty(&server->channels))
		peal_life_abort(peal_link_channel(server->channels.next));
	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *handshake =
			&server->places.handshakes[i];
		struct peal_channel *ch = handshake->channel;

		/* There are no more turns in which to leave the socket in
		 * steps. */
		handshake->stage = PEAL_STAGE_LEAVING;
		if (handshake->server)
			peal_pending_release(handshake);
		if (ch)
			peal_life_abort(ch);
	}
	peal_waiting_close(server);
	peal_source_detach(&server->listening.source);
	peal_source_detach(&server->places.timer);
	peal_address_remove(server);
	memset(server, 0, sizeof(*server));
}

void peal_server_close(struct peal_server *server)
{
	struct peal_reactor *loop = server->loop;
	bool owns_loop = server->owns_loop;

	if (!loop)
		return;
	close_on(server, loop);
	if (owns_loop)
		peal_reactor_close(loop);
}
