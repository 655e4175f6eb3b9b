/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_CHANNEL_H
#define PEAL_CHANNEL_H
/**
 * @file
 * Channels: rings between processes that need not trust each other, in one
 * call a side. A client connects to a server through a Unix socket. The server
 * makes the memory and the doorbells. The client verifies the memory and seals
 * it, and the server verifies the seals. From then on the socket tells each
 * side of the other side's death.
 *
 * A client is the sender, the receiver, or both. A client that is both has two
 * rings. The client says in a hello what it wants to be.
 *
 *	// server: one thread, any number of clients
 *	static long on_readable(struct peal_channel *ch, void *user)
 *	{
 *		const struct sample *samples;
 *		ssize_t n = peal_receiver_peek(&ch->receiver, &samples);
 *
 *		if (n > 0) {
 *			mix(user, samples, n);
 *			peal_receiver_release(&ch->receiver, n);
 *		}
 *		return PEAL_DONE;
 *	}
 *
 *	static PEAL_SERVER_STORAGE(64) storage;
 *
 *	peal_server_listen(&storage, "/run/mixer", &(struct peal_service){
 *		.accept = { .item_size = sizeof(struct sample) },
 *		.callbacks = { .on_readable = on_readable, .user = &mixer } });
 *	peal_reactor_run(&storage.loop);
 *	peal_server_close(&storage.server);
 *
 *	// client
 *	struct peal_channel ch;
 *
 *	peal_connect(&ch, "/run/mixer", &(struct peal_hello){
 *		.role = PEAL_SENDER, .item_size = sizeof(struct sample),
 *		.capacity = 4800, .name = "cello" }, 1000);
 *	while ((n = peal_sender_wait(&ch.sender, 480, -1, &samples)) > 0)
 *		peal_sender_commit(&ch.sender, play(samples, n));
 *	peal_channel_close(&ch);
 *
 * What is promised
 * - Whatever the other side does, at any time, can harm nothing but its own
 *   channel. That channel is closed, with a reason (SECURITY.md).
 * - What was published is delivered, also if its sender was killed. on_closed
 *   comes once, after that.
 * - A sender whose receiver died keeps the items that were published and not
 *   released. When the sender connects again it carries these items over to the
 *   new ring. So each item arrives at least once.
 *
 * Addresses
 * - "/run/mixer": a path. A relative path that begins with "@" or "fd:" is
 *   written with "./" in front.
 * - "@name": a name in Linux's abstract namespace, which has no owner and no
 *   mode: anybody may take the name, or connect.
 * - "fd:3", for servers only: an inherited socket, SOCK_SEQPACKET, that listens
 *   already. "fd:mixer" is the socket that the service manager has passed with
 *   FileDescriptorName=mixer, as systemd does (LISTEN_PID, LISTEN_FDS,
 *   LISTEN_FDNAMES). "fd:" is the first socket that the service manager has
 *   passed. The server makes the fd non-blocking and close-on-exec. The server
 *   never closes the fd, so the next server of this process can listen there.
 *
 * Caveats
 * - A channel, its reactor and its server are for one thread. Two threads may
 *   use the two ends of a channel that is not on a reactor, one end each. But
 *   if the doorbell is the socket (see peal_channel_bells()) one thread uses
 *   both ends. A loop of yours that arms the ends of such a channel arms both,
 *   again and again, until both arms say that the loop may sleep.
 * - The server sees the process that connected as the client, and no other: do
 *   not connect before you daemonize.
 * - In a child after fork(2) every close is safe, in any order: a close takes
 *   away the child's copies, and ends nothing of the parent's. The child may
 *   use a channel that is not on a reactor in the parent's place, and ends the
 *   stream with peal_sender_finish(). The child holds the socket open, and so
 *   hides the parent's death from the other side. A server sees the parent's
 *   death all the same where the kernel has SO_PEERPIDFD (6.5).
 * - On a reactor, a channel whose own sender has finished stays open until the
 *   other side has taken all items and hangs up. So on_closed says whether all
 *   items arrived.
 * - Do not hold a reservation of a channel on a reactor while you return to the
 *   loop: a reconnect changes the ring.
 */
#include <peal/mem.h>
#include <peal/sources.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** What a client is. */
enum peal_role {
	PEAL_SENDER = 1,   /**< the client sends, the server receives */
	PEAL_RECEIVER = 2, /**< the client receives, the server sends */
	PEAL_BOTH = 3,	   /**< two rings, one each way */
};

/** Bytes of a text that says why something failed, with its NUL. */
#define PEAL_TEXT 160

/** What a client asks for. */
struct peal_hello {
	enum peal_role role;
	/** What the doorbells are to be. PEAL_DOORBELL_EVENTFD is the fastest,
	 * but a hostile peer can make a ring block. PEAL_DOORBELL_SOCKET is the
	 * channel's own socket: nobody can make a ring block, and the server
	 * always grants it. 0 asks for eventfds if both sides trust each other,
	 * and for the socket otherwise. Where the bells are eventfds, both ends
	 * allow barriers: peal_sender_set_barriers(). */
	enum peal_doorbell_kind bells;
	uint64_t item_size; /**< bytes */
	/** Items at least; 0: as the server likes. The client refuses a ring
	 * of more than 64 MiB of items that is twice as large as was asked
	 * for, or larger. */
	uint64_t capacity;
	/** PEAL_BOTH: the ring to the client. Where the size is 0 the ring to
	 * the client is like the ring to the server. */
	uint64_t back_item_size;
	uint64_t back_capacity;
	char tag[64]; /**< what the items are, such as "sample/1" */
	char back_tag[64];
	char name[64]; /**< of the client; shown by tools */
};

/** Who is at the other end. */
struct peal_peer {
	bool known;   /**< as the kernel said; else pid, uid, gid are -1 */
	bool trusted; /**< a process of our own user, or the caller said so */
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int pidfd; /**< of the channel; -1 where the kernel has none */
};

struct peal_channel;
struct peal_server;

/** What is called for a channel on a reactor. Any may be NULL. */
struct peal_channel_callbacks {
	/**
	 * The channel is open: set watermarks, start to send. A client that
	 * connects again has this called each time a server opens the channel.
	 * For a client that came back ch->connects is more than 1, on both
	 * sides.
	 */
	void (*on_open)(struct peal_channel *ch, void *user);
	/** As struct peal_receiver_callbacks says, on ch->receiver. */
	long (*on_readable)(struct peal_channel *ch, void *user);
	/** As struct peal_sender_callbacks says, on ch->sender. */
	long (*on_writable)(struct peal_channel *ch, void *user);
	/**
	 * PEAL_BOTH: the other side has finished its sender, and goes on
	 * receiving. All that the other side had published was delivered.
	 */
	void (*on_ended)(struct peal_channel *ch, void *user);
	/**
	 * The channel is closed: called once and last, after everything that
	 * was published was delivered. The channel's fds and memory are
	 * released already. `reason`:
	 *	0            the other side has finished
	 *	-EPIPE       the other side died, or closed the channel without
	 *	             finishing
	 *	-EPROTO      the other side broke the protocol
	 *	-EINVAL      a callback returned an invalid verdict
	 * and ch->text may say more.
	 * On a server this is called only for channels that on_open was called
	 * for. For all other clients on_refused of struct peal_service is
	 * called.
	 * On a client this is called once for each peal_connect_on() that
	 * returned 0. A client that never had a channel (ch->connects is 0)
	 * gets the errors of peal_connect() here.
	 */
	void (*on_closed)(struct peal_channel *ch, int reason, void *user);
	void *user; /**< ch->user, until on_open sets another one */
};

/** One ring of a channel: its memory and its doorbells. Private. */
struct peal_channel_ring {
	size_t filled; /* bytes of the memory that are faulted in */
	struct peal_mem mem;
	struct peal_ring ring;
	struct peal_doorbell data, space;
};

struct peal_channel_owner;

/**
 * Where a channel is in its life: channel/life.c has the table of states and
 * events. `reason` says why the channel ends: the first reason that comes.
 * `process` is the process that connected, or that serves: a forked child has
 * a copy of the channel, and can close no more than the copy. `owner` has the
 * functions of the client's side or of the server's. Private.
 */
struct peal_channel_life {
	int state, reason;
	pid_t process;
	const struct peal_channel_owner *owner;
};

/**
 * The connection to the peer: the socket, and what the doorbells are.
 * `unexpected_bells` counts the bells that come while the reactor serves no
 * ring of the channel. Private.
 */
struct peal_channel_line {
	int fd;
	enum peal_doorbell_kind bells;
	unsigned unexpected_bells;
};

/**
 * A channel on a reactor, which watches the socket, the pidfd of the peer, and
 * the two rings. `loop` is NULL for a channel that is not on a reactor.
 * Private.
 */
struct peal_channel_served {
	struct peal_reactor *loop;
	struct peal_channel_callbacks callbacks;
	struct peal_source socket, process, receiver, sender;
};

/**
 * A client: the address that it connects to, and when it connects again. A
 * client on a reactor waits `delay_ms` before the next attempt, `retry_ms` at
 * most, and gives up an attempt at `connect_by`. Private.
 */
struct peal_channel_client {
	struct peal_source timer;
	uint64_t connect_by; /* 0: no attempt is under way */
	unsigned retry_ms, delay_ms;
	char address[108];
};

/** A channel of a server, and its link in the server's list. Private. */
struct peal_channel_member {
	struct peal_server *server;
	struct peal_link link;
};

/** One end of a channel. All zero is a valid channel that is not open. */
struct peal_channel {
	struct peal_sender sender;     /* rw: if this side sends */
	struct peal_receiver receiver; /* rw: if this side receives */
	void *user;		       /* rw: given to callbacks */
	struct peal_hello hello;       /* ro: what the client asked for */
	struct peal_peer peer;	       /* ro: who is at the other end */
	char text[PEAL_TEXT];	       /* ro: why refused, or why closed */
	unsigned connects;	       /* ro: how often it was opened */
	/* private from here on */
	struct peal_channel_life life;
	struct peal_channel_line line;
	struct peal_channel_ring out; /* of the sender */
	struct peal_channel_ring in;  /* of the receiver */
	struct peal_channel_served served;
	struct peal_channel_client client;
	struct peal_channel_member member;
};

/** Slots of a reactor that a channel takes at most. */
#define PEAL_CHANNEL_SLOTS 5

/* -- clients */

/**
 * Connect to a server.
 * @param ch          filled in on success; otherwise all zero but for `text`,
 *                    which always says why, and does not name the address
 * @param address     see above; 1 to 107 bytes
 * @param hello       role and item_size set, the rest if wanted
 * @param timeout_ms  milliseconds, -1 for ever
 * @return            0, or
 *	-EINVAL          an invalid hello or address
 *	-ENAMETOOLONG    the address is too long
 *	-ENOENT, -ECONNREFUSED, -EACCES, ...  of connect(2): nobody listens, or
 *	                 you may not
 *	-EPERM           the server refuses; ch->text is what it said
 *	-EPROTOTYPE      the server serves other items: ch->text says what
 *	                 differs
 *	-EPROTONOSUPPORT the server speaks another version; in ch->text, too
 *	-EAGAIN          the server serves no more clients now: all of its
 *	                 places or bytes are in use, or this user has to wait;
 *	                 in ch->text, too
 *	-EREMOTEIO       the server lacks something: fds, memory, a system call;
 *	                 ch->text says which
 *	-EPROTO          what the server made is not what it should be
 *	-EPIPE           the server hung up
 *	-ETIMEDOUT       ch->text says what the server has not done
 *	-EMFILE, -ENOMEM, ...  this process lacks something
 * 0 says that the server has opened the channel. What is published from then on
 * is delivered, or the sender is told. While the server has no room the call
 * waits. After 0 use ch->sender and ch->receiver in any way that ring.h knows.
 * The blocking calls of the sender return -EPIPE once the server is gone. Those
 * of the receiver first deliver all items, and then return -EPIPE, or 0 if the
 * server had finished. A server of another user may close the channel at any
 * time, but cannot make you block or crash.
 */
int peal_connect(struct peal_channel *ch, const char *address,
		 const struct peal_hello *hello, int timeout_ms);

/**
 * Connect through a socket that is connected: one that was inherited, or one
 * end of a socketpair(2) of SOCK_SEQPACKET, at whose other end is a
 * peal_channel_accept() or peal_server_add().
 * @param fd     yours; the channel has a duplicate
 * @param hello  the kernel does not say who is at the other end. With
 *               PEAL_DOORBELL_EVENTFD you say that you trust the server. With
 *               any other value the doorbell is the socket.
 * @return       as peal_connect(), -ENOTSOCK, -EPROTOTYPE another kind of
 *               socket
 */
int peal_connect_fd(struct peal_channel *ch, int fd,
		    const struct peal_hello *hello, int timeout_ms);

/**
 * Connect on a reactor: the callbacks on_open and on_closed say how it went.
 * @param ch        all zero, or closed
 * @param retry_ms  0: connect once. Otherwise the client connects again
 *                  whenever there is no server, or the server died: after
 *                  10 ms, then 20, 40, ... up to this many. The client gives up
 *                  once the channel is closed, the server has finished, refuses
 *                  the client for good, or breaks the protocol. What a sender
 *                  had published and nobody has released is carried over.
 * A server has 10 seconds to answer, and a minute in all to open the channel.
 * While the server has no room the client connects again every 2 ms.
 * @return          0: on_open or on_closed will be called. -EBUSY ch is in use,
 *                  -EINVAL an invalid hello or address, or a receiver without
 *                  on_readable, -ENAMETOOLONG the address, -ENOSPC no slot is
 *                  free, -ECHILD
 * While there is no server a sender publishes into the ring of the last server,
 * until that ring is full. Before the first server there is no ring (-EPIPE).
 */
int peal_connect_on(struct peal_channel *ch, struct peal_reactor *loop,
		    const char *address, const struct peal_hello *hello,
		    const struct peal_channel_callbacks *callbacks,
		    unsigned retry_ms);

/**
 * Connect again, to the same address, after the server is gone. A sender
 * carries over what it had published and nobody has released. The ring of a
 * receiver is closed, so drain the receiver first. Not for channels on a
 * reactor.
 * @return  as peal_connect(), -EINVAL the channel is on a reactor, or was
 *          connected by fd, or not at all, -EPROTO the old server had broken
 *          the protocol, -ERANGE the new ring is too small for what is carried
 *          over. On failure the sender keeps its old ring, with all items.
 */
int peal_reconnect(struct peal_channel *ch, int timeout_ms);

/* -- servers */

/** What a server serves. The server copies this struct; a member of 0 or NULL
 * has its usual value. */
struct peal_service {
	/**
	 * What clients must ask for: a role, an item size, a tag. A member that
	 * is 0 or "" allows anything. A client that asks for something else is
	 * refused, with a text. The capacity is for clients that leave the
	 * capacity to the server (64 KiB, or what max_bytes allows). If `bells`
	 * is not 0, clients get these bells, unless a client asks for the
	 * socket.
	 */
	struct peal_hello accept;
	/**
	 * Decide about a client. Without admit, accept.item_size is needed.
	 * @param hello  what the client asks for, which is valid
	 * @param peer   who the client is
	 * @param why    set *why to a text if you refuse the client
	 * @return       whether the client is admitted
	 */
	bool (*admit)(const struct peal_hello *hello,
		      const struct peal_peer *peer, const char **why,
		      void *user);
	/** Storage, zeroed at first: a channel for each client that is served
	 * at the same time. peal_server_listen() brings its own. */
	struct peal_channel *channels;
	size_t n_channels;
	/** Bytes from one channel to the next (sizeof(struct peal_channel)).
	 * For channels that are the first members of larger structs. */
	size_t channel_size;
	struct peal_channel_callbacks callbacks;
	/**
	 * A client was turned away, or failed before its channel was open.
	 * Called once, whatever stage the handshake had reached. Not called for
	 * a silent client that makes way for another client: the silent client
	 * connects again by itself. `reason`:
	 *	-EPERM, -EPROTOTYPE, -EAGAIN, ...  the server's refusal, as
	 *	             peal_connect() returns it to the client
	 *	-ETIMEDOUT   the handshake took too long
	 *	-ECONNABORTED  the client refused what the server made
	 *	-EPIPE       the client hung up
	 *	-EPROTO      the client broke the protocol
	 *	-EMFILE, -ENOMEM, -ENOSPC, ...  what the server lacks
	 * and `text` may say more.
	 */
	void (*on_refused)(const struct peal_peer *peer, int reason,
			   const char *text, void *user);
	mode_t mode;  /**< of the path, 0600 */
	bool chown;   /**< set the owner and the group of the path: */
	uid_t uid;    /**< -1: leave the owner as it is */
	gid_t gid;    /**< -1: leave the group as it is */
	unsigned mem; /**< PEAL_MEM_HUGE_2M, _LOCK: for trusted clients */
	/** Bytes of the items in the rings of one client (64 MiB), and in all
	 * rings of one user (1 GiB). What counts is what the client asks for,
	 * without control pages. */
	uint64_t max_bytes;
	uint64_t max_bytes_per_uid;
	unsigned max_channels; /**< open at once (as the storage allows) */
	unsigned max_per_uid;  /**< channels of one user (no limit) */
	/** How long a client may be silent in a handshake (2000). */
	unsigned handshake_ms;
	/**
	 * The server keeps the ring of a sender whose client died, and the
	 * sender can go on to send into that ring. A client that comes again
	 * gets its channel back, with what was published and not released. The
	 * server knows a client by its name and its user. So only one client of
	 * a user at a time may have a name, and a client without a name cannot
	 * resume. peal_channel_close() releases a channel that is kept.
	 */
	bool resume;
};

/** Counts of a server. */
struct peal_server_stats {
	uint64_t connections; /**< accepted, or added */
	uint64_t opened;      /**< connections that became channels */
	/** connections refused by admit, by a limit, for what they asked, or
	 * because the server or the client lacks something */
	uint64_t refused;
	/** connections that hung up, took too long, were hostile, or were asked
	 * to connect again */
	uint64_t failed;
	uint64_t channels;   /**< channels that are open now */
	uint64_t kept;	     /**< channels that are kept, to be resumed */
	uint64_t handshakes; /**< handshakes that are under way now */
	uint64_t waiting;    /**< connections that wait for a handshake */
};

/**
 * What a handshake makes: the socket, the rings, and this side's ends of the
 * rings. The channel takes these over when the handshake is done. Private.
 */
struct peal_made {
	int fd;
	enum peal_doorbell_kind bells;
	struct peal_peer peer;
	struct peal_channel_ring out, in;
	struct peal_sender sender;
	struct peal_receiver receiver;
};

/**
 * A handshake under way on a server. `stage` says what the handshake waits for.
 * `since` is the time at which the server began the handshake, or answered the
 * client. Private.
 */
struct peal_handshake {
	struct peal_source source;
	struct peal_server *server;   /* NULL: this place is free */
	struct peal_channel *channel; /* once the client is admitted */
	struct peal_hello hello;
	struct peal_made made;
	int stage;
	uint64_t since;
	char text[PEAL_TEXT];
};

/** A connection that waits for a place among the handshakes. Private. */
struct peal_waiting {
	int fd;
	struct peal_peer peer;
};

/** What the doorbells of a user have cost. Private. */
struct peal_slow_user {
	uid_t uid;
	unsigned slow_rings, doublings;
	uint64_t until; /* the user gets no channel before this time */
	uint64_t seen;	/* 0: this place is free */
};

/** Handshakes that a server has under way at most. */
#define PEAL_HANDSHAKES 32
/** Handshakes of one user that a server has under way at most. */
#define PEAL_HANDSHAKES_PER_UID 16
/** Connections that wait in the server at most; further connections wait in the
 * kernel. */
#define PEAL_WAITING 64
/** Users whose doorbells were slow, and whom a server remembers at most. */
#define PEAL_SLOW_USERS 8

/** Slots of a reactor for a server of n channels. */
#define PEAL_SERVER_SLOTS(n) (PEAL_HANDSHAKES + 2 + PEAL_CHANNEL_SLOTS * (n))

/** A server. Every field is private. */
struct peal_server {
	/* What the server serves, on which reactor, and for which channels.
	 * PEAL_SERVER_STORAGE() brings a reactor, which the server owns. */
	struct peal_reactor *loop;
	bool owns_loop;
	struct peal_service service;
	struct peal_link channels;
	struct peal_server_stats stats;

	/* The listening socket. If `owned` is not set the socket is the
	 * caller's. The server removes the path at its end if dev and ino are
	 * still the same. `paused`: the server has run out of fds, and accepts
	 * no connection for a while. */
	struct {
		struct peal_source source;
		int fd;
		bool owned, paused;
		uint64_t dev, ino;
		char path[108];
	} listening;

	/* Handshakes under way. The timer ends handshakes that take too long.
	 * At `look_at` (0: never) the server looks at what no event tells of:
	 * whether there are fds again, and whether answers were read. In each
	 * iteration of the reactor, counted from 1, the server faults in one
	 * large ring. `filled_in` is the last iteration in which it did. */
	struct {
		struct peal_handshake handshakes[PEAL_HANDSHAKES];
		struct peal_source timer;
		uint64_t look_at, filled_in;
	} places;

	/* Connections that wait for a place. */
	struct {
		struct peal_waiting waiting[PEAL_WAITING];
		unsigned n;
	} queue;

	/* Users whose doorbells were slow. */
	struct peal_slow_user slow_users[PEAL_SLOW_USERS];
};

/** Slots in PEAL_SERVER_STORAGE() for sources of yours: timers, signals, ... */
#define PEAL_SPARE_SLOTS 16

/**
 * A type: all that a server of n channels needs. Declare the storage static, or
 * allocate it zeroed. The storage must not move. `loop` is for sources of
 * yours, too.
 */
#define PEAL_SERVER_STORAGE(n)                                                 \
	struct {                                                               \
		struct peal_server server;                                     \
		struct peal_reactor loop;                                      \
		struct peal_channel channels[n];                               \
		struct peal_slot                                               \
			slots[PEAL_SERVER_SLOTS(n) + PEAL_SPARE_SLOTS];        \
	}

/**
 * Listen at an address, on a reactor that this call makes. Then serve with
 * peal_reactor_run(&storage->loop), and end with
 * peal_server_close(&storage->server).
 *	peal_server_listen(storage, address, service)
 * @param storage  a pointer to a PEAL_SERVER_STORAGE()
 * @param address  as for peal_server_listen_on()
 * @param service  its channels are those of the storage
 * @return         0, or the errors of peal_server_listen_on() and
 *                 peal_reactor_init()
 */
#define peal_server_listen(storage, ...)                                       \
	peal_server_listen_in(&(storage)->server, &(storage)->loop,            \
			      (storage)->channels, (storage)->slots,           \
			      sizeof((storage)->channels) /                    \
				      sizeof((storage)->channels[0]),          \
			      __VA_ARGS__)

/**
 * What peal_server_listen() calls: for storage of a size that is known at run
 * time only.
 * @param n  channels; there are PEAL_SERVER_SLOTS(n) + PEAL_SPARE_SLOTS slots
 */
int peal_server_listen_in(struct peal_server *server, struct peal_reactor *loop,
			  struct peal_channel *channels,
			  struct peal_slot *slots, size_t n,
			  const char *address,
			  const struct peal_service *service);

/**
 * Listen at an address, on a reactor of yours.
 * @param server   filled in on success, all zero on failure; must not move
 * @param loop     with PEAL_SERVER_SLOTS() free slots
 * @param service  with channels
 * @param address  see above. At a path the server replaces the socket of a dead
 *                 server, and nothing else. NULL: the server listens nowhere,
 *                 and serves what peal_server_add() brings.
 * @return         0, -EINVAL no channels, or neither admit nor an item size,
 *                 -EADDRINUSE somebody listens there, -EEXIST the path is no
 *                 socket, -ENAMETOOLONG, -ENOSPC no slot is free, -EOPNOTSUPP
 *                 the mode cannot be set: without fchmodat2(2) and /proc, in
 *                 a folder that others can write; or an error of bind(2),
 *                 chown(2) or chmod(2). Of an "fd:": -EBADF no such fd, -ENOENT
 *                 the service manager has not passed such an fd, -ENOTSOCK,
 *                 -EPROTOTYPE another kind of socket, or a socket that does not
 *                 listen
 */
int peal_server_listen_on(struct peal_server *server, struct peal_reactor *loop,
			  const char *address,
			  const struct peal_service *service);

/**
 * Serve a client through a socket that is connected, such as one end of a
 * socketpair(2) whose other end a child inherits.
 * @param fd       yours; the server has a duplicate
 * @param trusted  the kernel does not say who the client is: you say whether
 *                 the client is trusted
 * @return         0, -EAGAIN too many connections wait, -ENOTSOCK,
 *                 -EPROTOTYPE another kind of socket, -ENOSPC no slot is free,
 *                 -EPIPE a callback has closed the server, -EMFILE
 */
int peal_server_add(struct peal_server *server, int fd, bool trusted);

/**
 * Serve one client without a reactor: wait for the client's hello, and answer.
 * @param ch       not open
 * @param service  `accept`, `mem` and `max_bytes`; admit is not called
 * @param trusted  as for peal_server_add()
 * @return         0, -EPERM the client asks for too many bytes, -EPROTOTYPE the
 *                 client asks for other items (ch->text says more, in both
 *                 cases), -EINVAL an invalid hello, -EPROTONOSUPPORT the client
 *                 speaks another version, -ECONNABORTED the client refused what
 *                 the server made, -EBUSY too many fds are on their way,
 *                 -EPIPE, -EPROTO, -ETIMEDOUT, -ENOMEM, and as
 *                 peal_server_add()
 */
int peal_channel_accept(struct peal_channel *ch, int fd,
			const struct peal_service *service, bool trusted,
			int timeout_ms);

/** Read the counts. */
void peal_server_stats(const struct peal_server *server,
		       struct peal_server_stats *stats);

/**
 * Listen no more, and close all channels without their callbacks. To the
 * clients this is the server's death: a client that reconnects keeps what was
 * not released. The path is removed if it is still this server's. Call this
 * before peal_reactor_close(). May be called twice, and with a server that is
 * all zero. In a forked child this call closes the child's copies alone. The
 * reactor of PEAL_SERVER_STORAGE() is closed, too, so do not close such a
 * server from a callback of that reactor.
 */
void peal_server_close(struct peal_server *server);

/* -- both */

/**
 * Finish both ends and release everything. The other side still receives what
 * the own sender has published. No callback is called. May be called from any
 * callback of the channel, twice, and with a channel that is all zero. In a
 * forked child this call finishes no end.
 */
void peal_channel_close(struct peal_channel *ch);

/**
 * Is the other side still there? For a program that polls, or whose wait has
 * ended. If the other side is gone this call tells both ends: what was
 * published up to now is the last.
 * @return  0 the other side is there, 1 it has finished and closed the channel,
 *          -EPIPE it died, or closed the channel without finishing, or the
 *          channel is not open
 */
int peal_channel_check(struct peal_channel *ch);

/** The socket, which hangs up (EPOLLRDHUP) when the other side is gone. @return
 * the fd, or -1 if the channel is not open */
int peal_channel_fd(const struct peal_channel *ch);

/** What the channel's doorbells are: PEAL_DOORBELL_EVENTFD or _SOCKET. */
enum peal_doorbell_kind peal_channel_bells(const struct peal_channel *ch);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
