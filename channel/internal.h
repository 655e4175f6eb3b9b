/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_CHANNEL_INTERNAL_H
#define PEAL_CHANNEL_INTERNAL_H
/*
 * How the parts of channels meet:
 *
 *	socket.c     packets, fds, credentials
 *	wire.c	     what the packets of a handshake say
 *	leg.c	     a ring with its memory and doorbells: made, opened, sealed
 *	handshake.c  the server's side of a handshake
 *	client.c     the client's side, blocking and on a reactor
 *	server.c     connections, and the steps of their handshakes
 *	pending.c    handshakes under way: caps, deadlines, the end
 *	waiting.c    connections that wait for a place among them
 *	slow_users.c users whose doorbells cost the server time
 *	admit.c	     what a server allows, and whom it admits
 *	inbox.c, outbox.c  messages from any number of senders, above all this
 *	address.c    the path or the fd to listen at
 *	channel.c    an open channel: lifeline, closing, resuming
 *
 * A channel is UNUSED, then PENDING until its handshake is done, then OPEN. A
 * client is JOINING in between, from its READY to the server's OPEN: it has the
 * new ring, and what was published stands in there. On a reactor a channel is
 * CLOSING while its rings are drained; a client that retries is ABSENT between
 * two servers, and a server's that resumes is KEPT.
 */
#include <string.h>

#include "leg.h"
#include "socket.h"

enum peal_channel_state {
	PEAL_CHANNEL_UNUSED,
	PEAL_CHANNEL_PENDING,
	PEAL_CHANNEL_JOINING,
	PEAL_CHANNEL_OPEN,
	PEAL_CHANNEL_CLOSING,
	PEAL_CHANNEL_ABSENT,
	PEAL_CHANNEL_KEPT,
};

/* Of a server's list. */
static inline struct peal_channel *peal_link_channel(struct peal_link *link)
{
	return (struct peal_channel *)((char *)link -
				       offsetof(struct peal_channel, link));
}

static inline bool peal_channel_is_open(const struct peal_channel *ch)
{
	return ch->state == PEAL_CHANNEL_OPEN ||
	       ch->state == PEAL_CHANNEL_CLOSING;
}

/* The i-th of the channels that a service has. */
static inline struct peal_channel *peal_service_channel(
	const struct peal_service *service, size_t i)
{
	size_t size = service->channel_size ? service->channel_size
					    : sizeof(struct peal_channel);

	return (struct peal_channel *)(void *)((char *)service->channels +
					       i * size);
}

/* Can a server tell that a client has come before? By its name and its user. */
static inline bool peal_client_is_known(const struct peal_hello *hello,
					const struct peal_peer *peer)
{
	return hello->name[0] && (peer->known || peer->trusted);
}

/* -- channel.c */

/*
 * Is this the process that connected, or serves it? Another one is a child that
 * has a copy, of which it can do away with what is its own.
 */
bool peal_channel_here(const struct peal_channel *ch);

/*
 * Take the made over, with what an older ring still holds. No bell is rung.
 * On failure the made are as they were.
 * @return 0, or the errors of peal_end_carry_over()
 */
int peal_channel_assemble(struct peal_channel *ch, struct peal_made *made);
/* The server has said OPEN. */
void peal_channel_opened(struct peal_channel *ch);
/*
 * A client that gives up between its READY and the server's OPEN will carry the
 * same items over again, so the server must not deliver them. The client says
 * so in its page, then looks for OPEN once more; the server says OPEN, then
 * looks at that page. So either the client has joined, or the server knows.
 */
void peal_channel_withdraw(struct peal_channel *ch, bool withdrawn);
bool peal_channel_is_withdrawn(const struct peal_channel *ch);
/*
 * It is open: tell the owner, and serve its rings on the reactor.
 * @return 0, after which it may be finished and gone; or an error
 */
int peal_channel_start(struct peal_channel *ch);
/* Watch its socket alone; its socket and its process; and none of it. */
int peal_channel_watch(struct peal_channel *ch);
int peal_channel_attend(struct peal_channel *ch);
/* Slots that peal_channel_start() takes. */
unsigned peal_channel_slots(const struct peal_channel *ch);
void peal_channel_unwatch(struct peal_channel *ch);
/* The other side is gone: deliver what is there, then close. */
void peal_channel_die(struct peal_channel *ch, int reason);
/* Release all and tell the owner, or keep it for the next one. */
void peal_channel_closed(struct peal_channel *ch, int reason);
/* Close without callbacks; the other side sees a death. */
void peal_channel_drop(struct peal_channel *ch);
/* What stays of one that will get another ring: its sender, and what it has
 * published. */
void peal_channel_maroon(struct peal_channel *ch);
void peal_made_close(struct peal_made *made);
/* All but the socket. */
void peal_made_close_rings(struct peal_made *made);

/* -- handshake.c */

/*
 * A packet may be there. In this order; -EAGAIN says to wait for more, any
 * other error ends it, and handshake->text says more.
 */
int peal_handshake_hello(struct peal_handshake *handshake,
			 const struct peal_service *service);
int peal_handshake_offer(struct peal_handshake *handshake,
			 const struct peal_service *service);
int peal_handshake_ready(struct peal_handshake *handshake);
/* The last step. @return 1 all is done, 0 there is more, -ENOMEM */
int peal_handshake_fill(struct peal_handshake *handshake, size_t most);
/*
 * Bytes of the items that a client asks for; UINT64_MAX: they cannot be. Limits
 * count these, and neither control pages nor what is rounded up.
 */
uint64_t peal_hello_bytes(const struct peal_hello *hello,
			  const struct peal_service *service);
/* Tell the client why, in the packet that it waits for. */
void peal_handshake_refuse(struct peal_handshake *handshake, int error);
/* Tell the client that its channel is open, or that it comes to nothing after
 * all. @return 0, -EPIPE, -EPROTO it reads nothing */
int peal_handshake_open(int fd, int error, const char *text);

/* -- server.c */

/* Read what lies in the socket of a handshake. Callbacks may finish the
 * server. */
void peal_server_progress(struct peal_handshake *handshake);

/* -- client.c */

/* A packet is there, or the end, for a client that is PENDING or JOINING. */
void peal_client_answered(struct peal_channel *ch);
/* The connection is gone. @return true: it will connect again, later */
bool peal_client_retry(struct peal_channel *ch, int reason);

/* -- pending.c */

/* A free place for a handshake of this user; another may make way, once what
 * lies in its socket is read. The server may be finished then, by a callback.
 * @return NULL: there is none, or no server */
struct peal_handshake *peal_pending_room(struct peal_server *server, uid_t uid);
/* It is over, and nobody has to be told. */
void peal_pending_release(struct peal_handshake *handshake);
/* A socket of this user that cannot be left at once, and its end. */
void peal_pending_bury(struct peal_server *server, int fd, uid_t uid);
/* It has come to nothing. The client is told, and whoever else knows of it. */
void peal_pending_fail(struct peal_handshake *handshake, int error);
void peal_pending_count(struct peal_server *server, int error);
/* Tell the server's owner of a connection that never became a channel. */
void peal_pending_tell(struct peal_server *server, const struct peal_peer *who,
		       int reason, const char *text);
/* End those that have taken too long; set the clock for the next. */
void peal_pending_expire(struct peal_server *server);
void peal_pending_clock(struct peal_server *server);
/* A channel is closed or finished, or its handshake has come to nothing. */
void peal_server_lost(struct peal_channel *ch);
/* The same in a forked child, where nothing but the child's memory changes. */
void peal_server_lost_in_child(struct peal_channel *ch);

/* -- waiting.c */

/* @return 0 the fd is the list's, -EAGAIN it is full of this user's */
int peal_waiting_add(struct peal_server *server, int fd,
		     const struct peal_peer *peer);
/* Has the user one among the first `before`? */
bool peal_waiting_has(const struct peal_server *server, unsigned before,
		      uid_t uid);
struct peal_waiting peal_waiting_take(struct peal_server *server, unsigned i);
/* Tell the client to connect again, and close its socket. */
void peal_waiting_turn_away(struct peal_server *server, int fd);
void peal_waiting_close(struct peal_server *server);

/* -- slow_users.c */

/* May the user have a channel now? @return 0, -EAGAIN and a text */
int peal_slow_users_check(struct peal_server *server,
			  const struct peal_peer *peer, char *text);
/* A channel of a server has rings, and will have none any more. */
void peal_slow_users_opened(struct peal_channel *ch);
void peal_slow_users_closed(struct peal_channel *ch);

/* -- admit.c */

/*
 * Does the server want it? Then its channel is PENDING.
 * @return 0, an error and a text, or 1: the server was finished by a callback
 */
int peal_server_judge(struct peal_handshake *handshake);

/* What the address of a socket that was inherited begins with. */
#define PEAL_ADDRESS_FD "fd:"

static inline bool peal_address_is_fd(const char *address)
{
	return !strncmp(address, PEAL_ADDRESS_FD, strlen(PEAL_ADDRESS_FD));
}

/* -- address.c: the fd and the path of a server */
int peal_address_listen(struct peal_server *server, const char *address);
/* The fd of this FileDescriptorName= that the service manager passed, or the
 * first fd if the name is empty. @return the fd, or -ENOENT */
int peal_address_passed_fd(const char *name);
/* Close the fd if it is owned; remove the path if it is still ours. */
void peal_address_remove(struct peal_server *server);

#endif
