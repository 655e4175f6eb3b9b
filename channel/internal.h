/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_CHANNEL_INTERNAL_H
#define PEAL_CHANNEL_INTERNAL_H
/*
 * The one private header of channel/, and a map of the folder. A file calls
 * only files that stand above it here.
 *
 *	socket.c	packets, fds, credentials
 *	wire.c		what the packets of a handshake say
 *	channel_ring.c	a ring with its memory and doorbells: made, opened,
 *			checked
 *	made.c		what a handshake makes, and how a channel takes it over
 *	life.c		the states and the events of a channel, in one table
 *	channel.c	what users call on an open channel
 *	served.c	an open channel on a reactor
 *
 *	join.c		the steps of a handshake on the client's side
 *	connect.c	a client without a reactor
 *	client.c	a client on a reactor
 *
 *	handshake.c	the steps of a handshake on the server's side
 *	accept.c	one client without a reactor
 *	waiting.c	connections that wait for a place among the handshakes
 *	places.c	which handshake makes way for another client, and when
 *	pending.c	the end of a handshake under way
 *	slow_users.c	users whose doorbells cost the server time
 *	member.c	what a server does for its channels
 *	admit.c		what a server allows, and whom it admits
 *	steps.c		a turn of a handshake
 *	room.c		handshakes that end because of the time
 *	address.c	the path or the fd to listen at
 *	server.c	listening, connections
 *
 *	inbox.c, outbox.c  messages from any number of senders
 *	local.c		a ring between the threads of one process
 *
 * The socket of a channel brings packets while the handshake is under way, and
 * afterwards nothing but doorbells. The table of life.c says what each event
 * does to a channel. The owner of a channel says what becomes of a channel that
 * has lost its peer.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <peal/channel.h>
#include <peal/inbox.h>

/* -- wire.c */

/*
 * A handshake is four packets:
 *
 *	client	HELLO	what the client wants
 *	server	ANSWER	the rings, with their fds; or the refusal
 *	client	READY	the client has verified and sealed the rings, and has
 *			published what it carries over; or the refusal
 *	server	OPEN	the server has opened the channel; or the refusal
 *
 * From OPEN on the socket carries nothing but bells. A refusal with the status
 * -EBUSY, in ANSWER or in OPEN, asks the client to connect again: the server
 * had no room for the handshake. A change of these packets is a new
 * PEAL_WIRE_VERSION. Magic, version, endian, status and text keep their place
 * in all versions.
 */
#define PEAL_WIRE_VERSION 2u
#define PEAL_WIRE_ENDIAN 0x01020304u
#define PEAL_WIRE_HELLO UINT64_C(0x4f4c4c454c414550)  /* "PEALELLO" */
#define PEAL_WIRE_ANSWER UINT64_C(0x52534e414c414550) /* "PEALANSR" */
#define PEAL_WIRE_READY UINT64_C(0x594445524c414550)  /* "PEALREDY" */
#define PEAL_WIRE_OPEN UINT64_C(0x4e45504f4c414550)   /* "PEALOPEN" */

/* How each packet begins. */
struct peal_wire_start {
	uint64_t magic;
	uint32_t version;
	uint32_t endian;
	int32_t status;	 /* 0, or an errno negated */
	uint32_t layout; /* PEAL_LAYOUT_VERSION */
	char text[PEAL_TEXT];
};

struct peal_wire_hello {
	struct peal_wire_start start;
	uint32_t role, bells;
	uint64_t item_size, capacity, back_item_size, back_capacity;
	char tag[64], back_tag[64], name[64];
};

struct peal_wire_ring {
	uint64_t capacity, item_size, items_offset;
	uint32_t flags, mem; /* of the geometry, of the memory */
	char tag[64];
};

/*
 * ring[0] is the ring to the server, ring[1] is the ring to the client. A ring
 * that does not exist is all zero. The packet brings fds: for each ring the
 * memfd, and with eventfds also the data bell and the space bell.
 */
struct peal_wire_answer {
	struct peal_wire_start start;
	uint32_t bells, reserved;
	struct peal_wire_ring ring[2];
};

struct peal_wire_ready {
	struct peal_wire_start start;
};

struct peal_wire_open {
	struct peal_wire_start start;
};

_Static_assert(sizeof(struct peal_wire_start) == 184, "wire");
_Static_assert(sizeof(struct peal_wire_hello) == 416, "wire");
_Static_assert(sizeof(struct peal_wire_answer) == 384, "wire");

void peal_wire_begin(struct peal_wire_start *start, uint64_t magic, int status,
		     const char *text);
/*
 * Is this a valid packet of this kind?
 * @param text  then why the packet is invalid, or the text of the other side
 * @return      0, the status of the other side, -EPROTO, -EPROTONOSUPPORT
 */
int peal_wire_check(const struct peal_wire_start *start, uint64_t magic,
		    char *text);

/*
 * A packet of the wrong size may be of another version.
 * @return -EPROTONOSUPPORT, or -EPROTO and `what` as the text
 */
int peal_wire_misfit(const struct peal_wire_start *start, uint64_t magic,
		     const char *what, char *text);
/* Does the status of a refusal mean the same to the client as to the server? */
bool peal_wire_is_refusal(int status);

void peal_wire_put_hello(struct peal_wire_hello *wire,
			 const struct peal_hello *hello);
/* @return 0, -EPROTO, -EPROTONOSUPPORT, -EINVAL; the text says why */
int peal_wire_get_hello(struct peal_hello *hello,
			const struct peal_wire_hello *wire, char *text);

/* Is the hello valid? @return 0, -EINVAL and a text */
int peal_hello_check(const struct peal_hello *hello, char *text);
/* Does the server serve this hello? @return 0, -EPROTOTYPE and a text */
int peal_hello_match(const struct peal_hello *hello,
		     const struct peal_hello *accept, char *text);
/* The geometry of the ring to the server, or of the one to the client. */
void peal_hello_geometry(struct peal_geometry *geometry,
			 const struct peal_hello *hello, bool back);

/* -- socket.c */

/*
 * Unix sockets of packets, as channels use them. Only peal_socket_wait() and
 * peal_socket_connect() ever block.
 */
/* Fds in one packet at most: a memfd and two eventfds for each of two rings. */
#define PEAL_FDS 6

/* @return 0, -EINVAL, -ENAMETOOLONG */
int peal_socket_address(struct sockaddr_un *to, socklen_t *size,
			const char *address);
int peal_socket_make(void);
/* Duplicate a socket of the caller's. @return the copy, -ENOTSOCK, -EPROTOTYPE
 */
int peal_socket_adopt(int fd);
/* Make room for doorbells: a peer that finds the socket full believes that it
 * has rung. */
void peal_socket_enlarge(int fd);
/* Refuse credentials and, where the kernel can, fds. Sockets that are accepted
 * inherit this. */
void peal_socket_refuse(int fd);
/*
 * Connect. While the server's queue is full, wait in the kernel until the
 * deadline; 0: do not wait.
 * @return the fd, -EAGAIN the queue was full until then, or an error of
 *         connect(2)
 */
int peal_socket_connect(const char *address, uint64_t deadline);
/* Is this our own user, and not the overflow uid of a user namespace? */
bool peal_socket_is_us(uid_t uid);
/* Who connected, as the kernel says. For sockets of accept(2) only. */
void peal_socket_peer(int fd, struct peal_peer *peer);
/* The user who connected, or -1. */
uid_t peal_socket_uid(int fd);
/* A pidfd of the process that connected, or -1 where the kernel has none. */
int peal_socket_pidfd(int fd);
/* After how many arms each of `ends` ends has to clear the socket, so that the
 * socket always has room for their bells. */
unsigned peal_socket_drain_every(int fd, unsigned ends);

/* @return 0, -EAGAIN, -EPIPE, ... */
int peal_socket_send(int fd, const void *packet, size_t size, const int *fds,
		     size_t n_fds);
/*
 * Receive a packet of exactly this size that brings no fds.
 * @return 0, -EAGAIN, -EPIPE the other side hung up, -EPROTO a packet of
 *         another size, or with fds: then `packet` has what fits in, and is
 *         zero behind that
 */
int peal_socket_receive(int fd, void *packet, size_t size);
/* The same for a packet that may bring fds, PEAL_FDS at most. An fd that did
 * not come is -1. On an error all fds are -1. */
int peal_socket_receive_fds(int fd, void *packet, size_t size, int *fds);

/* @return 0, -ETIMEDOUT once peal_now() is past the deadline */
int peal_socket_wait(int fd, uint64_t deadline);
bool peal_socket_hung_up(int fd);
/*
 * Leave: the other side can send no more, and the packets that it has sent are
 * dropped. The other side may have thousands of epoll sets on its end. Each
 * packet that is freed takes the kernel through all of these sets, in close(2)
 * as well. So one call drops packets for a few milliseconds at most.
 * @return true: no packet is left, close the fd; false: call again, later
 */
bool peal_socket_leave(int fd);
/* Has the other side read all that was sent? */
bool peal_socket_was_read(int fd);

/* -- channel_ring.c */

/*
 * One ring of a channel with its memory and its doorbells. The server makes it,
 * the client opens and seals it, the server checks the seals.
 */
/*
 * Server: make a ring that nobody else holds yet.
 * @param geometry  as wanted; the capacity is not 0
 * @param mem       PEAL_MEM_HUGE_2M, _LOCK
 * @param socket    -1: make eventfds; otherwise the doorbell of both ends
 * @return          0, or the errors of peal_geometry_fit(), peal_mem_create()
 *                  and peal_doorbell_init()
 */
int peal_channel_ring_make(struct peal_channel_ring *cr,
			   const struct peal_geometry *geometry, unsigned mem,
			   int socket);
/* What to tell the client. @return how many fds */
size_t peal_channel_ring_describe(const struct peal_channel_ring *cr,
				  struct peal_wire_ring *ring, int *fds);
/*
 * Server: has the client sealed the memory? Before Linux 5.1 no memory can be
 * sealed, and a trusted client need not seal. @return 0, -EPROTO
 */
int peal_channel_ring_check_seals(const struct peal_channel_ring *cr);
/*
 * Fault the memory in. The memory is sealed already, so nobody can punch holes
 * into it. A lack of memory is an error here, and not SIGBUS later. The last
 * call closes the memory's fd.
 * @param most  bytes to fault in now
 * @return      1 all is done, 0 there is more, -ENOMEM
 */
int peal_channel_ring_fill(struct peal_channel_ring *cr, size_t most);
/*
 * Client: verify the memory that the server made, map it and seal it. On
 * success the memory's fd is closed, and the fds of the bells belong to `cr`.
 * On failure all fds are closed.
 * @param fds  those of this ring, as peal_channel_ring_describe() put them
 * @return     0, -EPROTO and a text, -EOPNOTSUPP and a text: the kernel cannot
 *             seal memory and the server is not trusted, or a sandbox refuses
 *             to fault memory in; -ENOMEM, ...
 */
int peal_channel_ring_open(struct peal_channel_ring *cr,
			   const struct peal_wire_ring *ring,
			   const struct peal_geometry *wanted, const int *fds,
			   int socket, char *text);
void peal_channel_ring_close(struct peal_channel_ring *cr);
/* Bytes of memory. */
static inline uint64_t peal_channel_ring_bytes(
	const struct peal_channel_ring *cr)
{
	return cr->mem.body_offset + cr->mem.body;
}

/* -- made.c */

void peal_made_close(struct peal_made *made);
/* Close all but the socket. */
void peal_made_close_rings(struct peal_made *made);
/* Close the rings, and what the blocking calls of their ends have opened. */
void peal_channel_close_rings(struct peal_channel *ch);
/*
 * Let the channel take over what was made, and publish in the new ring what the
 * receiver of the old ring has not released. No bell is rung. On failure `made`
 * is as it was.
 * @return 0, or the errors of peal_end_carry_over()
 */
int peal_channel_take_over(struct peal_channel *ch, struct peal_made *made);
/* Has the own sender finished, and the peer not yet released all items? */
bool peal_channel_is_undelivered(const struct peal_channel *ch);
/*
 * A client that gives up between its READY and the server's OPEN carries the
 * same items over again, so the server must not deliver them. The client
 * withdraws in its page, and then looks for OPEN once more. The server says
 * OPEN, and then looks at the client's page. So either the client finds OPEN,
 * or the server finds the withdrawal.
 */
void peal_channel_withdraw(struct peal_channel *ch, bool withdrawn);
bool peal_channel_is_withdrawn(const struct peal_channel *ch);

/* -- life.c */

enum peal_channel_state {
	PEAL_CHANNEL_UNUSED,
	PEAL_CHANNEL_PENDING, /* a handshake is under way */
	PEAL_CHANNEL_JOINING, /* a client has said READY and waits for OPEN */
	PEAL_CHANNEL_OPEN,
	PEAL_CHANNEL_CLOSING, /* the peer is gone; the reactor delivers */
	PEAL_CHANNEL_ABSENT,  /* a client between two attempts to connect */
	PEAL_CHANNEL_KEPT,    /* a server keeps the ring for the client */
};

/* What becomes of a channel that has lost its peer. */
enum peal_outcome {
	PEAL_OUTCOME_RELEASE, /* nothing stays; on_closed tells */
	PEAL_OUTCOME_KEEP,    /* the ring stays; on_closed tells */
	PEAL_OUTCOME_RETRY,   /* the ring stays; the owner connects again */
};

/* The owner of a channel is the client's side or the server's. */
struct peal_channel_owner {
	/* A packet came, or the peer hung up, while the handshake is under
	 * way. The owner may close the channel. */
	void (*packet)(struct peal_channel *ch);
	/* The channel has lost its peer, or the handshake has failed. */
	enum peal_outcome (*lost)(struct peal_channel *ch, int reason);
	/* The channel leaves its connection. The owner may take the socket,
	 * and then sets the channel's fd to -1. `stays`: the channel goes on
	 * without the connection, and stays the owner's. */
	void (*part)(struct peal_channel *ch, bool stays);
};

static inline bool peal_channel_is_open(const struct peal_channel *ch)
{
	return ch->life.state == PEAL_CHANNEL_OPEN ||
	       ch->life.state == PEAL_CHANNEL_CLOSING;
}

/* A handshake is under way. The owner is NULL for a channel without a reactor.
 */
void peal_life_begin(struct peal_channel *ch,
		     const struct peal_channel_owner *owner);
/* A client is about to say READY. */
void peal_life_join(struct peal_channel *ch);
/* The server has said OPEN. */
void peal_life_open(struct peal_channel *ch);
/* The peer is gone, or has broken the protocol: deliver what the peer has
 * published, then fail. */
void peal_life_close(struct peal_channel *ch, int reason);
/* The reactor serves no ring of the channel any more. */
void peal_life_drained(struct peal_channel *ch);
/* Nothing is left to be delivered: the owner says what becomes of the channel.
 * The storage of the channel may be gone afterwards. */
void peal_life_fail(struct peal_channel *ch, int reason);
/* Release everything, without a callback. To the peer this is a death. */
void peal_life_abort(struct peal_channel *ch);
/* Leave the connection. The sender keeps its ring. */
void peal_life_detach(struct peal_channel *ch);

/* -- channel.c */

/*
 * Is this the process that connected, or that serves? Another process is a
 * forked child, which has a copy of the channel, and can close no more than the
 * copy.
 */
bool peal_channel_here(const struct peal_channel *ch);

/* -- served.c */

/*
 * Call on_open, and serve the rings on the reactor.
 * @return 0, after which the callback may have closed the channel; or an error
 */
int peal_served_start(struct peal_channel *ch);
/* Watch the socket. */
int peal_served_watch_socket(struct peal_channel *ch);
/* Watch the socket, and the pidfd of the peer where there is one. */
int peal_served_watch(struct peal_channel *ch);
/* Slots that peal_served_start() takes. */
unsigned peal_served_slots(const struct peal_channel *ch);

/* -- join.c */

/* Check the address and the hello, and begin the life of the channel. On
 * failure the channel is reset. */
int peal_join_begin(struct peal_channel *ch, const char *address,
		    const struct peal_hello *hello,
		    const struct peal_channel_owner *owner);
/* Set everything to zero but the text. A text that is empty becomes that of the
 * error. @return error */
int peal_join_reset(struct peal_channel *ch, int error);
/* Set the text. @return -ETIMEDOUT */
int peal_join_late(struct peal_channel *ch, const char *what);
/* Find out who serves. */
void peal_join_peer(const struct peal_channel *ch, int fd,
		    struct peal_peer *server);
/* The hello for this server. */
struct peal_hello peal_join_ask(const struct peal_channel *ch,
				const struct peal_peer *server);
int peal_join_hello(int fd, const struct peal_hello *hello);
/*
 * The answer may be there: take the rings over, and say READY.
 * @return 0, -EAGAIN, or an error. If the channel is JOINING it has taken over
 *         the rings. Otherwise `made` is still the caller's.
 */
int peal_join_rings(struct peal_channel *ch, struct peal_made *made,
		    const struct peal_hello *hello);
/* OPEN may be there. @return 0 the channel is open, -EAGAIN, or an error */
int peal_join_open(struct peal_channel *ch);
/* The time is over: withdraw. @return true: the server had said OPEN before the
 * withdrawal, so the channel is open */
bool peal_join_opened_late(struct peal_channel *ch);
/* @return the error, or -ENOMEM and a text for an error that would read as the
 *         server's */
int peal_join_lacking(int ret, char *text);

/* -- handshake.c */

/* What a handshake on a server waits for. Handshakes make way in this order. */
enum peal_handshake_stage {
	PEAL_STAGE_HELLO,   /* the client's hello */
	PEAL_STAGE_READY,   /* the client's word that the rings are sealed */
	PEAL_STAGE_FILL,    /* the rings: they are faulted in */
	PEAL_STAGE_UNREAD,  /* failed; the client has not read the answer */
	PEAL_STAGE_LEAVING, /* over; the socket is not empty yet */
};

/*
 * The steps of a handshake, in this order. A packet may be there: -EAGAIN says
 * to wait for it. Any other error ends the handshake, and handshake->text says
 * more.
 */
int peal_handshake_hello(struct peal_handshake *handshake,
			 const struct peal_service *service);
int peal_handshake_offer(struct peal_handshake *handshake,
			 const struct peal_service *service);
int peal_handshake_ready(struct peal_handshake *handshake);
/* Fault in `most` bytes. @return 1 all is done, 0 there is more, -ENOMEM */
int peal_handshake_fill(struct peal_handshake *handshake, size_t most);
/*
 * Bytes of the items that a client asks for; UINT64_MAX: more than any memory.
 * Limits count these, and neither control pages nor what is rounded up.
 */
uint64_t peal_hello_bytes(const struct peal_hello *hello,
			  const struct peal_service *service);
/* Tell the client why, in the packet that the client waits for. */
void peal_handshake_refuse(struct peal_handshake *handshake, int error);
/* Tell the client that its channel is open, or the error that prevents this.
 * @return 0, -EPIPE, -EPROTO the client does not read */
int peal_handshake_open(int fd, int error, const char *text);

/* -- waiting.c */

/* @return 0 the list owns the fd, -EAGAIN the list is full, and no user has
 *         more entries than this user */
int peal_waiting_add(struct peal_server *server, int fd,
		     const struct peal_peer *peer);
/* Does a connection of the user wait among the first `before`? */
bool peal_waiting_has(const struct peal_server *server, unsigned before,
		      uid_t uid);
struct peal_waiting peal_waiting_take(struct peal_server *server, unsigned i);
/* Ask the client to connect again, and close its socket. */
void peal_waiting_turn_away(struct peal_server *server, int fd);
void peal_waiting_close(struct peal_server *server);

/* The i-th of the channels that a service has. */
static inline struct peal_channel *peal_service_channel(
	const struct peal_service *service, size_t i)
{
	size_t size = service->channel_size ? service->channel_size
					    : sizeof(struct peal_channel);

	return (struct peal_channel *)(void *)((char *)service->channels +
					       i * size);
}

/* Can a server tell whether a client has come before? A server knows a client
 * by its name and its user. */
static inline bool peal_client_is_known(const struct peal_hello *hello,
					const struct peal_peer *peer)
{
	return hello->name[0] && (peer->known || peer->trusted);
}

/* -- places.c */

/* Nanoseconds that a client may be silent in a handshake. */
uint64_t peal_places_limit(const struct peal_server *server);
/* @return a free place, or NULL: there is none, or the user has used its
 *         share */
struct peal_handshake *peal_places_free(struct peal_server *server, uid_t uid,
					bool *share_used);
/* @return the handshake that makes way for the user now, or NULL */
struct peal_handshake *peal_places_to_clear(struct peal_server *server,
					    uid_t uid, bool share_used);
/* Set the timer to the next time at which a place can be cleared. */
void peal_places_set_timer(struct peal_server *server);

/* -- pending.c */

/* End a handshake of which nobody has to be told. */
void peal_pending_release(struct peal_handshake *handshake);
/* Leave a socket of the user, at once or later, and close it. */
void peal_pending_leave(struct peal_server *server, int fd, uid_t uid);
/* End a handshake that has failed: tell the client. */
void peal_pending_end(struct peal_handshake *handshake, int error);
/* The same, and tell the server's owner. */
void peal_pending_fail(struct peal_handshake *handshake, int error);
void peal_pending_count(struct peal_server *server, int error);
/* Tell the server's owner of a connection that never became a channel. */
void peal_pending_tell(struct peal_server *server, const struct peal_peer *who,
		       int reason, const char *text);

/* -- slow_users.c */

/* May the user have a channel now? @return 0, -EAGAIN and a text */
int peal_slow_users_check(struct peal_server *server,
			  const struct peal_peer *peer, char *text);
/* A channel of a server has got its rings. */
void peal_slow_users_opened(struct peal_channel *ch);
/* A channel of a server is about to lose its rings. */
void peal_slow_users_closed(struct peal_channel *ch);

/* -- member.c */

extern const struct peal_channel_owner peal_member_owner;

/* The channel of a link in a server's list. */
static inline struct peal_channel *peal_link_channel(struct peal_link *link)
{
	return (struct peal_channel *)(void *)((char *)link -
					       offsetof(struct peal_channel,
							member.link));
}

/* -- admit.c */

/*
 * Does the server admit the client? Then the channel is PENDING.
 * @return 0, an error and a text, or 1: a callback closed the server
 */
int peal_server_judge(struct peal_handshake *handshake);

/* -- steps.c */

/* Read what lies in the socket of a handshake. A callback may close the
 * server. */
void peal_steps_progress(struct peal_handshake *handshake);
void peal_steps_cannot_watch(char *text, int error);

/* -- room.c */

/* @return a place for a handshake of this user; another handshake may have made
 *         way. NULL: there is none, or a callback closed the server */
struct peal_handshake *peal_room_make(struct peal_server *server, uid_t uid);
/* End the handshakes that have taken too long, and set the timer. A callback
 * may close the server. */
void peal_room_expire(struct peal_server *server);

/* -- address.c: the fd and the path of a server */

/* What the address of a socket that was inherited begins with. */
#define PEAL_ADDRESS_FD "fd:"

static inline bool peal_address_is_fd(const char *address)
{
	return !strncmp(address, PEAL_ADDRESS_FD, strlen(PEAL_ADDRESS_FD));
}

int peal_address_listen(struct peal_server *server, const char *address);
/* The fd of this FileDescriptorName= that the service manager passed, or the
 * first fd if the name is empty. @return the fd, or -ENOENT */
int peal_address_passed_fd(const char *name);
/* Close an owned fd, and remove the path if it is still the server's. */
void peal_address_remove(struct peal_server *server);

/* -- inbox.c and outbox.c */

/*
 * Make the tag of the rings of an inbox, for both sides. With `stamped` each
 * message begins with its time in nanoseconds.
 * @return 0, -EINVAL the tag is too long
 */
static inline int peal_inbox_tag(char *to, const char *tag, bool stamped)
{
	struct peal_geometry geometry = { 0 };
	char full[64];
	int n = snprintf(full, sizeof(full), "%.63s%s", tag ? tag : "",
			 stamped ? "+time" : "");
	int ret = n >= (int)sizeof(full)
			  ? -EINVAL
			  : peal_message_geometry(&geometry, 8,
						  n > 0 ? full : NULL);

	if (ret == 0)
		memcpy(to, geometry.tag, sizeof(geometry.tag));
	return ret;
}

#endif
