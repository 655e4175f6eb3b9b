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
 *	admit.c	     what a server allows, and whom it admits
 *	inbox.c, outbox.c  messages from any number of senders, above all this
 *	address.c    the path or the fd to listen at
 *	channel.c    an open channel: lifeline, closing, resuming
 *
 * A channel is UNUSED, then PENDING until its handshake is done, then OPEN. On
 * a reactor it is CLOSING while its rings are drained; a client that retries
 * is ABSENT between two servers, and a server's that resumes is KEPT.
 */
#include "leg.h"
#include "socket.h"

enum peal_channel_state {
	PEAL_CHANNEL_UNUSED,
	PEAL_CHANNEL_PENDING,
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

/* -- channel.c */

/*
 * The handshake is done: take the parts over, with what an older ring still
 * holds. On failure the parts are as they were.
 * @return 0, or the errors of peal_leg_carry_over()
 */
int peal_channel_assemble(struct peal_channel *ch, struct peal_parts *parts);
/*
 * Watch it on its reactor and say that it is open.
 * @return 0, after which it may be finished and gone; or an error
 */
int peal_channel_start(struct peal_channel *ch);
/* Watch its socket alone, and none of it. */
int peal_channel_watch(struct peal_channel *ch);
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
void peal_parts_finish(struct peal_parts *parts);
/* All but the socket. */
void peal_parts_keep_fd(struct peal_parts *parts);

/* -- handshake.c */

/*
 * A packet may be there. In this order; -EAGAIN says to wait for more, any
 * other error ends it, and shake->text says more.
 */
int peal_handshake_hello(struct peal_handshake *shake,
			 const struct peal_service *service);
int peal_handshake_offer(struct peal_handshake *shake,
			 const struct peal_service *service);
int peal_handshake_ready(struct peal_handshake *shake);
/* The last step. @return 1 all is done, 0 there is more, -ENOMEM */
int peal_handshake_fill(struct peal_handshake *shake, size_t most);
/* Bytes that its rings will take; UINT64_MAX: they cannot be. */
uint64_t peal_handshake_bytes(const struct peal_handshake *shake,
			      const struct peal_service *service);
/* Tell the client why. */
void peal_handshake_refuse(struct peal_handshake *shake, int error);

/* -- client.c */

/* A packet is there, or the end, for a client whose handshake is under way. */
void peal_client_answered(struct peal_channel *ch);
/* The connection is gone. @return true: it will connect again, later */
bool peal_client_retry(struct peal_channel *ch, int reason);

/* -- pending.c */

/* A free place for a handshake of this user; another may make way. The server
 * may be finished then, by a callback. */
struct peal_handshake *peal_pending_room(struct peal_server *server, uid_t uid);
/* It is over, and nobody has to be told. */
void peal_pending_release(struct peal_handshake *shake);
/* A socket of this user that cannot be left at once, and its end. */
void peal_pending_bury(struct peal_server *server, int fd, uid_t uid);
/* It has come to nothing. Whoever knows of it is told. */
void peal_pending_fail(struct peal_handshake *shake, int error);
void peal_pending_count(struct peal_server *server, int error);
/* End those that have taken too long; set the clock for the next. */
void peal_pending_expire(struct peal_server *server);
void peal_pending_clock(struct peal_server *server);
/* A channel is closed or finished, or its handshake has come to nothing. */
void peal_server_lost(struct peal_channel *ch);

/* -- admit.c */

/*
 * Does the server want it? Then its channel is PENDING.
 * @return 0, an error and a text, or 1: the server was finished by a callback
 */
int peal_server_judge(struct peal_handshake *shake);

/* -- address.c: the fd and the path of a server */
int peal_address_listen(struct peal_server *server, const char *address);
int peal_address_adopt(struct peal_server *server, int fd);
/* Close the fd if it is owned; remove the path if it is still ours. */
void peal_address_remove(struct peal_server *server);

/* -- deadline.c */

/* In so many milliseconds, -1 for never; and how many are left, rounded up. */
uint64_t peal_deadline(int timeout_ms);
int peal_left_ms(uint64_t deadline);

#endif
