/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The steps of a handshake on the client's side. The client trusts the server
 * not to keep it waiting, and in nothing else: whatever the server sends is
 * verified before the client touches it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../ring/floor.h"
#include "internal.h"

/* -- the beginning and the end of an attempt */

int peal_join_reset(struct peal_channel *ch, int error)
{
	char text[PEAL_TEXT];

	/* An attempt may have failed after it had opened a ring. */
	peal_channel_ring_close(&ch->out);
	if (ch->text[0])
		memcpy(text, ch->text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%s", strerror(-error));
	memset(ch, 0, sizeof(*ch));
	memcpy(ch->text, text, sizeof(text));
	return error;
}

int peal_join_begin(struct peal_channel *ch, const char *address,
		    const struct peal_hello *hello,
		    const struct peal_channel_owner *owner)
{
	struct sockaddr_un to;
	socklen_t size;
	int ret;

	memset(ch, 0, sizeof(*ch));
	ch->line.fd = ch->peer.pidfd = -1;
	ret = peal_hello_check(hello, ch->text);
	if (ret == 0 && address && peal_address_is_fd(address)) {
		snprintf(ch->text, sizeof(ch->text),
			 "\"fd:\" is for servers; a path may be \"./fd:...\"");
		ret = -EINVAL;
	}
	if (ret == 0 && address)
		ret = peal_socket_address(&to, &size, address);
	if (ret < 0)
		return peal_join_reset(ch, ret);
	ch->hello = *hello;
	if (address)
		strcpy(ch->client.address, address);
	peal_life_begin(ch, owner);
	return 0;
}

int peal_join_late(struct peal_channel *ch, const char *what)
{
	snprintf(ch->text, sizeof(ch->text), "%s", what);
	return -ETIMEDOUT;
}

void peal_join_peer(const struct peal_channel *ch, int fd,
		    struct peal_peer *server)
{
	peal_socket_peer(fd, server);
	/* The socket tells the client of the server's death. */
	if (server->pidfd >= 0)
		close(server->pidfd);
	server->pidfd = -1;
	if (ch->client.address[0])
		return;
	/* Of an fd that the client has not connected the kernel says who made
	 * the fd, and not who serves it. */
	*server = (struct peal_peer){
		.trusted = ch->hello.bells == PEAL_DOORBELL_EVENTFD,
		.pid = -1,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.pidfd = -1,
	};
}

struct peal_hello peal_join_ask(const struct peal_channel *ch,
				const struct peal_peer *server)
{
	struct peal_hello hello = ch->hello;

	/* A server that is not trusted could make eventfds block. */
	if (hello.bells == PEAL_DOORBELL_NONE && !server->trusted)
		hello.bells = PEAL_DOORBELL_SOCKET;
	/* What the old ring holds has to fit into the new one. */
	if (ch->out.mem.base &&
	    hello.capacity < peal_end_capacity(&ch->sender.end))
		hello.capacity = peal_end_capacity(&ch->sender.end);
	return hello;
}

/* -- packets to the server */

/*
 * A server that has hung up may have said why: the client reads that next. The
 * socket of a fresh connection is never full.
 */
static int send_packet(int fd, const void *packet, size_t size)
{
	int ret = peal_socket_send(fd, packet, size, NULL, 0);

	if (ret == -EAGAIN)
		return -EPROTO;
	return ret == -EPIPE && peal_socket_hung_up(fd) ? 0 : ret;
}

/*
 * A refusal of the server, as peal_connect() returns it. But -EAGAIN stands for
 * a packet that has not come yet. So a refusal with -EAGAIN is -EDQUOT in these
 * files, until it reaches the user. -EBUSY asks the client to connect again.
 */
static int refusal_of(int status)
{
	if (status == -EAGAIN)
		return -EDQUOT;
	return status == -EREMOTEIO || peal_wire_is_refusal(status) ? status
								    : -EPERM;
}

int peal_join_hello(int fd, const struct peal_hello *hello)
{
	struct peal_wire_hello wire;

	peal_wire_put_hello(&wire, hello);
	return send_packet(fd, &wire, sizeof(wire));
}

static int send_ready(int fd, int status, const char *text)
{
	struct peal_wire_ready wire;

	peal_wire_begin(&wire.start, PEAL_WIRE_READY, status, text);
	return send_packet(fd, &wire, sizeof(wire));
}

/*
 * The client lacks something. The errno, which the kernel or a sandbox chose,
 * must not read as "no packet has come yet", nor as an error of the server.
 */
int peal_join_lacking(int ret, char *text)
{
	switch (ret) {
	case -EAGAIN:
	case -EDQUOT:
	case -EBUSY:
	case -EPIPE:
	case -ETIMEDOUT:
	case -ENOENT:
	case -ECONNREFUSED:
		snprintf(text, PEAL_TEXT, "this process lacks something: %s",
			 strerror(-ret));
		return -ENOMEM;
	default:
		return ret;
	}
}

/* -- the rings */

static void close_fds(int *fds)
{
	for (int i = 0; i < PEAL_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int count_fds(const int *fds)
{
	int n = 0;

	while (n < PEAL_FDS && fds[n] >= 0)
		n++;
	return n;
}

/* Move the fds of one ring out of `fds`. The fds that stay are closed if the
 * attempt fails. */
static void take_ring_fds(int *to, int *fds, int n)
{
	for (int i = 0; i < n; i++) {
		to[i] = fds[i];
		fds[i] = -1;
	}
}

static int ring_in_use(char *text)
{
	snprintf(text, PEAL_TEXT, "the server made a ring that was in use");
	return -EPROTO;
}

static int open_ring_out(struct peal_made *made, const struct peal_hello *hello,
			 const struct peal_wire_ring *ring, const int *fds,
			 int socket, char *text)
{
	struct peal_geometry wanted;
	int ret;

	peal_hello_geometry(&wanted, hello, false);
	ret = peal_channel_ring_open(&made->out, ring, &wanted, fds, socket,
				     text);
	if (ret < 0)
		return ret;
	ret = peal_sender_attach(&made->sender, &made->out.ring,
				 &made->out.data, &made->out.space);
	return ret < 0 ? ring_in_use(text) : 0;
}

static int open_ring_in(struct peal_made *made, const struct peal_hello *hello,
			const struct peal_wire_ring *ring, const int *fds,
			int socket, char *text)
{
	struct peal_geometry wanted;
	int ret;

	peal_hello_geometry(&wanted, hello, true);
	ret = peal_channel_ring_open(&made->in, ring, &wanted, fds, socket,
				     text);
	if (ret < 0)
		return ret;
	ret = peal_receiver_attach(&made->receiver, &made->in.ring,
				   &made->in.data, &made->in.space);
	return ret < 0 ? ring_in_use(text) : 0;
}

static int open_rings(struct peal_made *made, const struct peal_hello *hello,
		      const struct peal_wire_answer *answer, int *fds,
		      char *text)
{
	int socket = answer->bells == PEAL_DOORBELL_SOCKET ? made->fd : -1;
	int each = socket < 0 ? 3 : 1, next = 0, ret = 0;
	int expected = hello->role == PEAL_BOTH ? 2 * each : each;
	int of_ring[3];

	if ((answer->bells != PEAL_DOORBELL_SOCKET &&
	     (answer->bells != PEAL_DOORBELL_EVENTFD ||
	      hello->bells == PEAL_DOORBELL_SOCKET)) ||
	    count_fds(fds) != expected) {
		snprintf(text, PEAL_TEXT,
			 "the server sent other fds than it should");
		return -EPROTO;
	}
	if ((answer->ring[0].mem || answer->ring[1].mem) &&
	    !made->peer.trusted) {
		snprintf(text, PEAL_TEXT,
			 "the server is not trusted, and made a ring of huge "
			 "pages");
		return -EPROTO;
	}
	made->bells = (enum peal_doorbell_kind)answer->bells;
	if (hello->role & PEAL_SENDER) {
		take_ring_fds(of_ring, fds, each);
		next = each;
		ret = open_ring_out(made, hello, &answer->ring[0], of_ring,
				    socket, text);
	}
	if (ret == 0 && (hello->role & PEAL_RECEIVER)) {
		take_ring_fds(of_ring, fds + next, each);
		ret = open_ring_in(made, hello, &answer->ring[1], of_ring,
				   socket, text);
	}
	return ret;
}

/*
 * The answer may be there: take the new rings, and publish in the new ring what
 * the old ring holds. So READY says that everything is carried over.
 * @return 0, -EAGAIN, or an error. On failure `made` is still the caller's.
 */
static int take_rings(struct peal_channel *ch, struct peal_made *made,
		      const struct peal_hello *hello)
{
	char *text = ch->text;
	struct peal_wire_answer answer;
	int fds[PEAL_FDS];
	int ret = peal_socket_receive_fds(made->fd, &answer, sizeof(answer),
					  fds);

	if (ret == -EPROTO)
		ret = peal_wire_misfit(&answer.start, PEAL_WIRE_ANSWER,
				       "not an answer to a hello", text);
	if (ret < 0)
		return ret;
	ret = peal_wire_check(&answer.start, PEAL_WIRE_ANSWER, text);
	if (ret < 0) {
		close_fds(fds);
		return refusal_of(ret);
	}
	ret = peal_join_lacking(open_rings(made, hello, &answer, fds, text),
				text);
	if (ret < 0)
		close_fds(fds);
	if (ret == 0)
		ret = peal_channel_take_over(ch, made);
	if (ret < 0)
		send_ready(made->fd, ret, text);
	return ret;
}

int peal_join_rings(struct peal_channel *ch, struct peal_made *made,
		    const struct peal_hello *hello)
{
	int ret = take_rings(ch, made, hello);

	if (ret < 0)
		return ret;
	peal_life_join(ch);
	return send_ready(ch->line.fd, 0, NULL);
}

int peal_join_open(struct peal_channel *ch)
{
	struct peal_wire_open open;
	int ret = peal_socket_receive(ch->line.fd, &open, sizeof(open));

	if (ret == -EPROTO)
		ret = peal_wire_misfit(&open.start, PEAL_WIRE_OPEN,
				       "not the packet that says open",
				       ch->text);
	if (ret < 0)
		return ret;
	ret = peal_wire_check(&open.start, PEAL_WIRE_OPEN, ch->text);
	if (ret < 0)
		return refusal_of(ret);
	peal_life_open(ch);
	return 0;
}

bool peal_join_opened_late(struct peal_channel *ch)
{
	peal_channel_withdraw(ch, true);
	if (peal_join_open(ch) < 0)
		return false;
	peal_channel_withdraw(ch, false);
	return true;
}
