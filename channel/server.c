/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A server: it accepts, judges, admits. Connections cost their user's share of
 * what is under way, not that of others: there is a cap for each user, and one
 * that says nothing makes way for the next.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../reactor/internal.h"
#include "internal.h"

#define MS UINT64_C(1000000)
#define HANDSHAKE_MS 2000u
/* One that has been answered is given so long before it makes way. */
#define PATIENCE_NS (100 * MS)
/* Until the listener is looked at again, once fds have run out. */
#define PAUSE_NS (100 * MS)
#define ACCEPTS 16 /* in one turn */
#define MAX_BYTES_PER_UID (UINT64_C(1) << 30)

static uint64_t handshake_ns(const struct peal_server *server)
{
	unsigned ms = server->service.handshake_ms;

	return (ms ? ms : HANDSHAKE_MS) * MS;
}

static uint32_t edge(const struct peal_server *server)
{
	return peal_level(server->loop) ? 0 : EPOLLET;
}

/* -- handshakes: the clock */

static void set_timer(struct peal_server *server)
{
	uint64_t first = UINT64_MAX;

	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		const struct peal_handshake *shake = &server->handshakes[i];
		uint64_t end = shake->began + handshake_ns(server);

		if (shake->server && !shake->unread && end < first)
			first = end;
	}
	if (server->paused && peal_now() + PAUSE_NS < first)
		first = peal_now() + PAUSE_NS;
	if (first == UINT64_MAX)
		peal_reactor_cancel_timer(server->loop, &server->timer);
	else
		peal_reactor_set_timer(server->loop, &server->timer, first, 0,
				       PEAL_TIMER_ABSOLUTE);
}

/* -- handshakes: the end */

static void release(struct peal_handshake *shake)
{
	struct peal_server *server = shake->server;

	if (shake->source.reactor)
		peal_reactor_remove(server->loop, &shake->source);
	peal_parts_finish(&shake->parts);
	memset(shake, 0, sizeof(*shake));
	server->stats.handshakes--;
	set_timer(server);
}

/*
 * The fds of an answer that nobody reads count against our RLIMIT_NOFILE as
 * long as the client has its socket, whatever we do. So the connection stays
 * among those that its user has under way, until it hangs up.
 */
static void set_aside(struct peal_handshake *shake)
{
	peal_leg_finish(&shake->parts.in);
	peal_leg_finish(&shake->parts.out);
	shake->channel = NULL;
	shake->unread = true;
	set_timer(shake->server);
}

static void count_failure(struct peal_server *server, int error)
{
	if (error == -EPIPE || error == -EPROTO || error == -ETIMEDOUT)
		server->stats.failed++;
	else
		server->stats.refused++;
}

/* It has come to nothing. Whoever knows of it is told. */
static void fail(struct peal_handshake *shake, int error)
{
	struct peal_server *server = shake->server;
	struct peal_channel *ch = shake->channel;
	struct peal_peer peer = shake->parts.peer;
	char text[PEAL_TEXT];

	memcpy(text, shake->text, sizeof(text));
	count_failure(server, error);
	if (ch && !peal_socket_was_read(shake->parts.fd))
		set_aside(shake);
	else
		release(shake);
	peer.pidfd = -1;
	if (ch) {
		memcpy(ch->text, text, sizeof(text));
		peal_channel_closed(ch, error);
	} else if (server->service.on_refused) {
		server->service.on_refused(&peer, error, text,
					   server->service.callbacks.user);
	}
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
			release(&server->handshakes[i]);
	ch->server = NULL;
}

/* -- limits */

static struct peal_channel *link_channel(struct peal_link *link)
{
	return (struct peal_channel *)((char *)link -
				       offsetof(struct peal_channel, link));
}

static bool is_open(const struct peal_channel *ch)
{
	return ch->state == PEAL_CHANNEL_OPEN ||
	       ch->state == PEAL_CHANNEL_CLOSING;
}

struct usage {
	uint64_t channels, of_uid, bytes_of_uid;
};

/* Of channels that are open, and of those that are about to be. What is kept
 * counts with its bytes: its client may come back at any time. */
static void measure(struct peal_server *server, uid_t uid, struct usage *usage)
{
	struct peal_link *link;

	*usage = (struct usage){ 0 };
	for (link = server->channels.next; link != &server->channels;
	     link = link->next) {
		const struct peal_channel *ch = link_channel(link);
		bool open = is_open(ch);

		usage->channels += open;
		if (ch->peer.uid != uid)
			continue;
		usage->of_uid += open;
		usage->bytes_of_uid += peal_leg_bytes(&ch->out) +
				       peal_leg_bytes(&ch->in);
	}
	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		const struct peal_handshake *shake = &server->handshakes[i];

		if (!shake->server || !shake->channel)
			continue;
		usage->channels++;
		if (shake->parts.peer.uid != uid)
			continue;
		usage->of_uid++;
		usage->bytes_of_uid += peal_leg_bytes(&shake->parts.out) +
				       peal_leg_bytes(&shake->parts.in);
	}
}

static int too_much(struct peal_handshake *shake, const char *what,
		    uint64_t limit)
{
	snprintf(shake->text, sizeof(shake->text),
		 "the server allows %llu %s, and all are in use",
		 (unsigned long long)limit, what);
	return -EAGAIN;
}

static int check_limits(struct peal_handshake *shake)
{
	struct peal_server *server = shake->server;
	const struct peal_service *s = &server->service;
	uint64_t bytes = s->max_bytes_per_uid ? s->max_bytes_per_uid
					      : MAX_BYTES_PER_UID;
	struct usage usage;

	measure(server, shake->parts.peer.uid, &usage);
	if (s->max_channels && usage.channels >= s->max_channels)
		return too_much(shake, "channels", s->max_channels);
	if (s->max_per_uid && usage.of_uid >= s->max_per_uid)
		return too_much(shake, "channels for each user",
				s->max_per_uid);
	if (usage.bytes_of_uid + peal_handshake_bytes(shake, s) > bytes)
		return too_much(shake, "bytes for each user", bytes);
	return 0;
}

/* -- admitting */

static void adopt(struct peal_handshake *shake, struct peal_channel *ch)
{
	struct peal_server *server = shake->server;
	void *user = ch->user;

	if (ch->state == PEAL_CHANNEL_UNUSED) {
		memset(ch, 0, sizeof(*ch));
		ch->fd = -1;
	}
	ch->user = user && server->service.admit
			   ? user
			   : server->service.callbacks.user;
	ch->state = PEAL_CHANNEL_PENDING;
	ch->hello = shake->hello;
	ch->peer = shake->parts.peer;
	ch->peer.pidfd = -1;
	ch->server = server;
	ch->loop = server->loop;
	ch->callbacks = server->service.callbacks;
	shake->channel = ch;
}

/* Can what was kept go on in the ring that the client asks for? */
static bool continues(struct peal_handshake *shake,
		      const struct peal_channel *ch)
{
	const struct peal_geometry *old = &ch->out.ring.geometry;
	struct peal_geometry asked;

	peal_hello_geometry(&asked, &shake->hello, true);
	if ((shake->hello.role & PEAL_RECEIVER) &&
	    asked.item_size == old->item_size && !strcmp(asked.tag, old->tag))
		return true;
	snprintf(
		shake->text, sizeof(shake->text),
		"the server keeps items of %llu bytes and tag \"%.64s\" for it",
		(unsigned long long)old->item_size, old->tag);
	return false;
}

/* @return 0, an error, or 1: the server itself was finished meanwhile */
static int admit(struct peal_handshake *shake)
{
	struct peal_reactor *loop = shake->server->loop;
	const struct peal_service *s = &shake->server->service;
	uint64_t token = peal_source_token(&shake->source);
	const char *why = "the server does not admit it";
	struct peal_channel *ch;

	if (s->admit) {
		ch = s->admit(&shake->hello, &shake->parts.peer, &why,
			      s->callbacks.user);
		if (!peal_reactor_here(loop) ||
		    peal_source_find(loop, token) != &shake->source)
			return 1;
		if (!ch) {
			snprintf(shake->text, sizeof(shake->text), "%s", why);
			return -EPERM;
		}
	} else {
		ch = peal_channel_unused(s->channels, s->n_channels);
		if (!ch)
			return too_much(shake, "channels", s->n_channels);
	}
	if (ch->state != PEAL_CHANNEL_UNUSED &&
	    ch->state != PEAL_CHANNEL_KEPT) {
		snprintf(shake->text, sizeof(shake->text),
			 "its channel is still in use");
		return -EAGAIN;
	}
	if (ch->state == PEAL_CHANNEL_KEPT && !continues(shake, ch))
		return -EPROTOTYPE;
	adopt(shake, ch);
	return 0;
}

static int judge(struct peal_handshake *shake)
{
	const struct peal_service *s = &shake->server->service;
	int ret;

	if ((shake->hello.role & PEAL_SENDER) && !s->callbacks.on_readable) {
		snprintf(shake->text, sizeof(shake->text),
			 "role: the server receives nothing");
		return -EPROTOTYPE;
	}
	ret = check_limits(shake);
	return ret < 0 ? ret : admit(shake);
}

/* -- a handshake's turn */

static void opened(struct peal_handshake *shake)
{
	struct peal_server *server = shake->server;
	struct peal_channel *ch = shake->channel;
	int ret = peal_channel_assemble(ch, &shake->parts);

	if (ret < 0) {
		fail(shake, ret);
		return;
	}
	/* What it made is the channel's now. */
	peal_reactor_remove(server->loop, &shake->source);
	memset(&shake->parts, 0, sizeof(shake->parts));
	shake->parts.fd = shake->parts.peer.pidfd = -1;
	shake->channel = NULL;
	release(shake);
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
	fail(shake, error);
}

static void progress(struct peal_handshake *shake)
{
	const struct peal_service *service = &shake->server->service;
	int ret;

	if (shake->unread) {
		release(shake); /* it has hung up, or read it at last */
		return;
	}
	if (!shake->channel) {
		ret = peal_handshake_hello(shake, service);
		if (ret == -EAGAIN)
			return;
		if (ret == 0)
			ret = judge(shake);
		if (ret == 0)
			ret = peal_handshake_offer(shake, service);
		if (ret < 0)
			refuse(shake, ret);
		return; /* the client has to answer before anything else */
	}
	ret = peal_handshake_ready(shake);
	if (ret == 0)
		opened(shake);
	else if (ret != -EAGAIN)
		fail(shake, ret);
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
		if (!shake->server ||
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
static struct peal_handshake *make_room(struct peal_server *server, uid_t uid)
{
	struct peal_reactor *loop = server->loop;
	uint64_t token = peal_source_token(&server->listener);
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
		release(old);
	else
		fail(old, -ETIMEDOUT);
	if (!peal_reactor_here(loop) ||
	    peal_source_find(loop, token) != &server->listener)
		return NULL;
	return find_room(server, uid, &its_share);
}

/* The fd is the server's now, and closed on failure. */
static int meet(struct peal_server *server, int fd,
		const struct peal_peer *peer)
{
	struct peal_handshake crowded = { .parts.fd = fd, .parts.peer = *peer };
	struct peal_reactor *loop = server->loop;
	uint64_t token = peal_source_token(&server->listener);
	struct peal_handshake *shake = make_room(server, peer->uid);
	int ret;

	if (peal_source_find(loop, token) != &server->listener) {
		peal_parts_finish(&crowded.parts); /* by a callback */
		return -EPIPE;
	}
	if (!shake) {
		snprintf(crowded.text, sizeof(crowded.text),
			 "too many connections at once");
		peal_handshake_refuse(&crowded, -EBUSY);
		peal_parts_finish(&crowded.parts);
		count_failure(server, -EBUSY);
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
		fail(shake, ret);
		return ret;
	}
	set_timer(server);
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
			set_timer(server);
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
	struct peal_reactor *loop = server->loop;
	uint64_t token = peal_source_token(source);
	uint64_t now = peal_now();

	(void)expirations;
	if (server->paused) {
		server->paused = false;
		peal_reactor_set_events(loop, &server->listener, EPOLLIN);
	}
	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *shake = &server->handshakes[i];

		if (!shake->server || shake->unread ||
		    now - shake->began < handshake_ns(server))
			continue;
		snprintf(shake->text, sizeof(shake->text),
			 "the handshake took too long");
		fail(shake, -ETIMEDOUT);
		if (!peal_reactor_here(loop) ||
		    peal_source_find(loop, token) != source)
			return;
	}
	set_timer(server);
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
	ret = peal_reactor_add_fd(loop, &server->listener, server->fd, EPOLLIN,
				  on_connection, server);
	if (ret < 0)
		peal_reactor_remove(loop, &server->timer);
	return ret;
}

static int check_service(const struct peal_service *service)
{
	if (!service->admit && (!service->channels || !service->n_channels))
		return -EINVAL;
	return 0;
}

int peal_server_listen(struct peal_server *server, struct peal_reactor *loop,
		       const char *address, const struct peal_service *service)
{
	int ret = check_service(service);

	memset(server, 0, sizeof(*server));
	server->service = *service;
	if (ret == 0)
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
	for (link = server->channels.next; link != &server->channels;
	     link = link->next) {
		const struct peal_channel *ch = link_channel(link);

		stats->channels += is_open(ch);
		stats->kept += ch->state == PEAL_CHANNEL_KEPT;
	}
}

/* In a forked child: close its copies, and change nothing of the parent's. */
static void abandon(struct peal_server *server)
{
	struct peal_link *link = server->channels.next;

	while (link != &server->channels) {
		struct peal_channel *ch = link_channel(link);

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
		peal_channel_drop(link_channel(server->channels.next));
	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_channel *ch = server->handshakes[i].channel;

		if (server->handshakes[i].server)
			release(&server->handshakes[i]);
		if (ch)
			peal_channel_drop(ch);
	}
	peal_reactor_remove(loop, &server->listener);
	peal_reactor_remove(loop, &server->timer);
	peal_address_remove(server);
	memset(server, 0, sizeof(*server));
}
