/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A server: connections, and the steps of their handshakes. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../reactor/internal.h"
#include "internal.h"

#define ACCEPTS 16	       /* in one turn */
#define FILL ((size_t)1 << 20) /* bytes to be faulted in, in one turn */

static uint32_t edge(const struct peal_server *server)
{
	return peal_level(server->loop) ? 0 : EPOLLET;
}

/* -- a handshake's turn */

static void opened(struct peal_handshake *shake)
{
	struct peal_server *server = shake->server;
	struct peal_channel *ch = shake->channel;
	int ret = peal_channel_assemble(ch, &shake->parts);

	if (ret < 0) {
		peal_pending_fail(shake, ret);
		return;
	}
	/* What it made is the channel's now. */
	peal_reactor_remove(server->loop, &shake->source);
	memset(&shake->parts, 0, sizeof(shake->parts));
	shake->parts.fd = shake->parts.peer.pidfd = -1;
	shake->channel = NULL;
	peal_pending_release(shake);
	if (!ch->link.next)
		peal_link_append(&server->channels, &ch->link);
	server->stats.opened++;
	ret = peal_channel_start(ch);
	if (ret < 0)
		peal_channel_closed(ch, ret);
}

static void refuse(struct peal_handshake *shake, int error)
{
	if (error != -EPIPE)
		peal_handshake_refuse(shake, error);
	peal_pending_fail(shake, error);
}

static void progress(struct peal_handshake *shake)
{
	const struct peal_service *service = &shake->server->service;
	int ret;

	if (!shake->channel) {
		ret = peal_handshake_hello(shake, service);
		if (ret == -EAGAIN)
			return;
		if (ret == 0)
			ret = peal_server_judge(shake);
		if (ret == 0)
			ret = peal_handshake_offer(shake, service);
		if (ret < 0)
			refuse(shake, ret);
		return; /* the client has to answer before anything else */
	}
	ret = shake->sealed ? 0 : peal_handshake_ready(shake);
	if (ret == -EAGAIN)
		return;
	if (ret == 0)
		ret = peal_handshake_fill(shake, FILL);
	if (ret < 0)
		peal_pending_fail(shake, ret);
	else if (ret > 0)
		opened(shake);
	else
		peal_source_again(&shake->source);
}

static void on_shake(struct peal_source *source, int fd, uint32_t events,
		     void *user)
{
	(void)source;
	(void)fd;
	(void)events;
	progress(user);
}

/* -- connections */

/* The fd is the server's now, and closed on failure. */
static int meet(struct peal_server *server, int fd,
		const struct peal_peer *peer)
{
	struct peal_handshake crowded = { .parts.fd = fd, .parts.peer = *peer };
	struct peal_reactor *loop = server->loop;
	uint64_t token = peal_source_token(&server->timer);
	struct peal_handshake *shake = peal_pending_room(server, peer->uid);
	int ret;

	if (peal_source_find(loop, token) != &server->timer) {
		peal_parts_finish(&crowded.parts); /* by a callback */
		return -EPIPE;
	}
	if (!shake) {
		snprintf(crowded.text, sizeof(crowded.text),
			 "too many connections at once");
		peal_handshake_refuse(&crowded, -EBUSY);
		peal_parts_finish(&crowded.parts);
		peal_pending_count(server, -EBUSY);
		return -EAGAIN;
	}
	*shake = crowded;
	shake->server = server;
	shake->began = peal_now();
	server->stats.handshakes++;
	ret = peal_reactor_add_fd(server->loop, &shake->source, fd,
				  EPOLLIN | EPOLLRDHUP | edge(server), on_shake,
				  shake);
	if (ret < 0) {
		peal_pending_fail(shake, ret);
		return ret;
	}
	peal_pending_clock(server);
	progress(shake);
	return 0;
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
	struct peal_reactor *loop = server->loop;
	uint64_t token = peal_source_token(source);

	(void)events;
	for (int i = 0; i < ACCEPTS; i++) {
		struct peal_peer peer;
		int ret = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (ret < 0 && ran_out(errno)) {
			/* It stays readable, and would keep us busy. */
			server->paused = true;
			peal_reactor_set_events(loop, source, 0);
			peal_pending_clock(server);
			return;
		}
		if (ret < 0)
			return;
		server->stats.connections++;
		peal_socket_enlarge(ret);
		peal_socket_peer(ret, &peer);
		meet(server, ret, &peer);
		if (!peal_reactor_here(loop) ||
		    peal_source_find(loop, token) != source)
			return;
	}
}

static void on_timer(struct peal_source *source, uint64_t expirations,
		     void *user)
{
	struct peal_server *server = user;

	(void)source;
	(void)expirations;
	if (server->paused && server->look_at <= peal_now()) {
		server->paused = false;
		peal_reactor_set_events(server->loop, &server->listener,
					EPOLLIN);
	}
	peal_pending_expire(server);
}

/* -- the server */

static int start(struct peal_server *server, struct peal_reactor *loop)
{
	int ret;

	server->loop = loop;
	peal_link_init(&server->channels);
	ret = peal_reactor_add_timer(loop, &server->timer, on_timer, server);
	if (ret < 0)
		return ret;
	if (server->fd < 0)
		return 0;
	ret = peal_reactor_add_fd(loop, &server->listener, server->fd, EPOLLIN,
				  on_connection, server);
	if (ret < 0)
		peal_reactor_remove(loop, &server->timer);
	return ret;
}

static int check_service(const struct peal_service *service)
{
	/* Without admit nobody would look at the size of what comes. */
	if (!service->admit && (!service->channels || !service->n_channels ||
				!service->accept.item_size))
		return -EINVAL;
	return 0;
}

int peal_server_listen(struct peal_server *server, struct peal_reactor *loop,
		       const char *address, const struct peal_service *service)
{
	int ret = check_service(service);

	memset(server, 0, sizeof(*server));
	server->fd = -1;
	server->service = *service;
	if (ret == 0 && address)
		ret = peal_address_listen(server, address);
	if (ret == 0)
		ret = start(server, loop);
	if (ret < 0) {
		peal_address_remove(server);
		memset(server, 0, sizeof(*server));
	}
	return ret;
}

int peal_server_adopt(struct peal_server *server, struct peal_reactor *loop,
		      int fd, const struct peal_service *service)
{
	int ret = check_service(service);

	memset(server, 0, sizeof(*server));
	server->service = *service;
	if (ret == 0)
		ret = peal_address_adopt(server, fd);
	if (ret == 0)
		ret = start(server, loop);
	if (ret < 0)
		memset(server, 0, sizeof(*server));
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
	return meet(server, copy, &peer);
}

void peal_server_stats(const struct peal_server *server,
		       struct peal_server_stats *stats)
{
	struct peal_link *link;

	*stats = server->stats;
	if (!server->loop)
		return;
	for (link = server->channels.next; link != &server->channels;
	     link = link->next) {
		const struct peal_channel *ch = peal_link_channel(link);

		stats->channels += peal_channel_is_open(ch);
		stats->kept += ch->state == PEAL_CHANNEL_KEPT;
	}
}

/* In a forked child: close its copies, and change nothing of the parent's. */
static void abandon(struct peal_server *server)
{
	struct peal_link *link = server->channels.next;

	while (link != &server->channels) {
		struct peal_channel *ch = peal_link_channel(link);

		link = link->next;
		peal_channel_drop(ch);
	}
	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *shake = &server->handshakes[i];

		if (!shake->server)
			continue;
		if (shake->channel)
			peal_channel_drop(shake->channel);
		peal_parts_finish(&shake->parts);
	}
	server->path[0] = '\0';
	peal_address_remove(server);
	memset(server, 0, sizeof(*server));
}

void peal_server_finish(struct peal_server *server)
{
	struct peal_reactor *loop = server->loop;

	if (!loop)
		return;
	if (!peal_reactor_here(loop)) {
		abandon(server);
		return;
	}
	while (!peal_link_empty(&server->channels))
		peal_channel_drop(peal_link_channel(server->channels.next));
	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *shake = &server->handshakes[i];
		struct peal_channel *ch = shake->channel;

		/* There are no more turns in which to leave it slowly. */
		shake->leaving = true;
		if (shake->server)
			peal_pending_release(shake);
		if (ch)
			peal_channel_drop(ch);
	}
	peal_reactor_remove(loop, &server->listener);
	peal_reactor_remove(loop, &server->timer);
	peal_address_remove(server);
	memset(server, 0, sizeof(*server));
}
