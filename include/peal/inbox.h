/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_INBOX_H
#define PEAL_INBOX_H
/**
 * @file
 * An inbox: one name, any number of processes that send messages to that name,
 * one receiver. Each sender has a ring of its own, so no sender can hold up or
 * harm another sender. A sender that dies in the midst of a message loses
 * nothing but that message.
 *
 *	// the receiver
 *	static PEAL_INBOX_STORAGE(16) lines;
 *	struct peal_letter letter;
 *
 *	peal_inbox_open(&lines, "/run/log", NULL);
 *	while (peal_inbox_receive(&lines.inbox, -1, &letter) > 0) {
 *		log_it(letter.from->hello.name, letter.data, letter.size);
 *		peal_inbox_release(&lines.inbox, &letter);
 *	}
 *	peal_inbox_close(&lines.inbox);
 *
 *	// a sender
 *	struct peal_outbox out;
 *
 *	peal_outbox_open(&out, "/run/log", "cellist", NULL, 0, 1000);
 *	peal_outbox_send(&out, 0, "hello", 5, -1);
 *	peal_outbox_close(&out, 1000);
 *
 * What is promised
 * - Messages of one sender come in order, each once. But if the receiver was
 *   killed, the messages that it had found and not released come again.
 * - Senders take turns, a message each. A sender that has been idle waits for
 *   64 messages of other senders at most. With the option `oldest` the oldest
 *   message comes first instead.
 * - What a sender has published arrives, even if the sender was killed. A
 *   sender whose receiver died connects again by itself, in any call that waits
 *   or sends, and carries over what was not released.
 * - No process can block another one: no lock is shared. What a sender writes
 *   is checked before it is used (SECURITY.md).
 *
 * Caveats
 * - The receiver and each sender are for one thread at a time, and not for
 *   children after fork(2).
 * - A message that is sent within 100 ms of the receiver's death waits for the
 *   next call of its sender, such as peal_outbox_close().
 * - A message is shared with its sender until the message is released. If you
 *   do not trust the sender, copy a message before you check it.
 * - Messages that are in the inbox when peal_inbox_close() is called stay with
 *   their senders. The senders carry these messages over to the next receiver
 *   at this address.
 */
#include <peal/channel.h>
#include <peal/message.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct peal_inbox;

/** Storage for one sender at a time. Private; start with 0. */
struct peal_inbox_sender {
	struct peal_channel channel;
	struct peal_link link;	  /* among the senders that have messages */
	struct peal_message next; /* if `found`: to be handed out */
	bool found;
	uint64_t stamp;		/* no message from now on is older */
	uint64_t lap, began[2]; /* a position, and times: see inbox.c */
};

/** A message in an inbox. */
struct peal_letter {
	const void *data; /**< aligned to 8 bytes; yours until it is released */
	size_t size;	  /**< bytes */
	uint32_t kind;	  /**< as its sender says */
	uint64_t stamp;	  /**< with `oldest`: ns of CLOCK_MONOTONIC, or 0 */
	/** Who sent it: from->peer, from->hello.name; as long as `data`. */
	const struct peal_channel *from;
};

/** How an inbox is to be. A member of 0 or NULL has its usual value. */
struct peal_inbox_options {
	/** Of peal_inbox_open_on(): storage, one for each sender that is
	 * connected at the same time. peal_inbox_open() brings its own. */
	struct peal_inbox_sender *senders;
	size_t n_senders;
	/**
	 * Of peal_inbox_open_on(): there are messages. Take some or all, and
	 * release these before you return. on_messages is called again for the
	 * messages that you leave.
	 */
	void (*on_messages)(struct peal_inbox *inbox, void *user);
	/** A sender has joined; or has left, and all of its messages were
	 * taken. `reason` as for a channel's on_closed. */
	void (*on_joined)(const struct peal_channel *from, void *user);
	void (*on_left)(const struct peal_channel *from, int reason,
			void *user);
	/** Decide about a sender; `why` as for a service's admit. */
	bool (*admit)(const struct peal_hello *hello,
		      const struct peal_peer *peer, const char **why,
		      void *user);
	/**
	 * A sender was turned away, or failed before it had joined: `reason`
	 * and `text` as for a service's on_refused. With `oldest` this is not
	 * called for a sender that asks without stamps: that sender asks again
	 * by itself, with stamps.
	 */
	void (*on_refused)(const struct peal_peer *peer, int reason,
			   const char *text, void *user);
	void *user;
	bool oldest;	  /**< the oldest first; senders stamp their messages */
	char tag[48];	  /**< what the messages are, such as "log/1" */
	mode_t mode;	  /**< of the path, 0600 */
	size_t max_bytes; /**< of a sender's ring (64 MiB) */
	unsigned max_per_uid; /**< senders of one user (no limit) */
};

/** Slots of a reactor for an inbox of n senders. */
#define PEAL_INBOX_SLOTS(n) PEAL_SERVER_SLOTS(n)

/** An inbox. Every field is private. */
struct peal_inbox {
	struct peal_inbox_options options;
	struct peal_server server;
	struct peal_reactor own, *loop; /* loop == &own, or the user's */
	struct peal_link ready;
	struct peal_inbox_sender *lent;	 /* the user has its message */
	struct peal_inbox_sender *first; /* its message was too large */
	unsigned taken;
	bool telling, woken, polled;
};

/**
 * A type: all that an inbox of n senders needs. Declare the storage static, or
 * allocate it zeroed. The storage must not move.
 */
#define PEAL_INBOX_STORAGE(n)                                                  \
	struct {                                                               \
		struct peal_inbox inbox;                                       \
		struct peal_inbox_sender senders[n];                           \
		struct peal_slot slots[PEAL_INBOX_SLOTS(n)];                   \
	}

/**
 * Open an inbox at an address (see channel.h), with a loop of its own.
 *	peal_inbox_open(storage, address, options)
 * @param storage  a pointer to a PEAL_INBOX_STORAGE(); all other calls are for
 *                 &storage->inbox
 * @param options  copied, or NULL: all as usual
 * @return         0, or the errors of peal_server_listen_on() and
 *                 peal_reactor_init()
 */
#define peal_inbox_open(storage, ...)                                          \
	peal_inbox_open_in(                                                    \
		&(storage)->inbox, (storage)->senders, (storage)->slots,       \
		sizeof((storage)->senders) / sizeof((storage)->senders[0]),    \
		__VA_ARGS__)

/**
 * What peal_inbox_open() calls: for storage of a size that is known at run time
 * only.
 * @param inbox  filled in on success, all zero on failure; must not move
 * @param n      senders; there are PEAL_INBOX_SLOTS(n) slots
 */
int peal_inbox_open_in(struct peal_inbox *inbox,
		       struct peal_inbox_sender *senders,
		       struct peal_slot *slots, size_t n, const char *address,
		       const struct peal_inbox_options *options);

/**
 * Open an inbox on a reactor of yours. On such an inbox no call waits: take the
 * messages with a timeout of 0, such as from on_messages.
 * @param inbox    filled in on success, all zero on failure; must not move
 * @param loop     with PEAL_INBOX_SLOTS() free slots
 * @param options  copied; with senders
 * @return         0, -EINVAL no senders, or the errors of
 *                 peal_server_listen_on()
 */
int peal_inbox_open_on(struct peal_inbox *inbox, struct peal_reactor *loop,
		       const char *address,
		       const struct peal_inbox_options *options);

/**
 * Take the next message, in place.
 * @param timeout_ms  milliseconds of CLOCK_MONOTONIC, -1 for ever, 0 to look;
 *                    with a loop of yours only 0
 * @param letter      filled in if there is a message
 * @return            1, -ETIMEDOUT there is no message, -EBUSY you have a
 *                    message that is not released, -EINVAL a wait on a loop of
 *                    yours, -EBADF the inbox is not open, -ECHILD, or an error
 *                    of epoll_wait(2)
 * The message is yours until peal_inbox_release(), one message at a time. A
 * signal handler can end the wait with peal_inbox_wake().
 */
int peal_inbox_receive(struct peal_inbox *inbox, int timeout_ms,
		       struct peal_letter *letter);

/** Give the message back to its sender. @return 0, -EINVAL the message is not
 * yours, -ECHILD */
int peal_inbox_release(struct peal_inbox *inbox,
		       const struct peal_letter *letter);

/**
 * Take the next message, copied out.
 * @param size    bytes of data
 * @param letter  filled in, `data` being yours and `from` valid until the next
 *                call for this inbox
 * @return        1, the errors of peal_inbox_receive(), or -EMSGSIZE the
 *                message is larger: letter->size is its size, and it stays the
 *                next message
 */
int peal_inbox_read(struct peal_inbox *inbox, int timeout_ms, void *data,
		    size_t size, struct peal_letter *letter);

/** Let peal_inbox_receive() return -ETIMEDOUT. For any thread or handler. */
void peal_inbox_wake(struct peal_inbox *inbox);

/**
 * For loops that are not ours: an fd that is readable if there is something to
 * do. Then call peal_inbox_receive() with 0 until that call returns -ETIMEDOUT.
 * @return  -1 with a loop of yours
 */
int peal_inbox_fd(struct peal_inbox *inbox);

/** Read the counts of the inbox's server: senders are its channels. */
void peal_inbox_stats(const struct peal_inbox *inbox,
		      struct peal_server_stats *stats);

/** Close an inbox. May be called twice, and with an inbox that is all zero. */
void peal_inbox_close(struct peal_inbox *inbox);

/* -- senders */

/** A sender's side. */
struct peal_outbox {
	struct peal_channel
		channel;  /**< ro: its sender is for message.h, too */
	bool stamped;	  /* private */
	uint64_t checked; /* private */
};

/**
 * Connect to an inbox.
 * @param out         filled in on success; otherwise all zero but for the text
 *                    in out->channel.text
 * @param name        who you are, at most 63 bytes, or NULL
 * @param bytes       of messages on their way, at least; 0: 64 KiB. The largest
 *                    message is 8 bytes smaller than the ring, or with stamps
 *                    16 bytes.
 * @param tag         what the messages are, or NULL; the inbox must have the
 *                    same tag
 * @param timeout_ms  milliseconds, -1 for ever
 * @return            0, -EINVAL, -ENAMETOOLONG, or the errors of peal_connect()
 */
int peal_outbox_open(struct peal_outbox *out, const char *address,
		     const char *name, const char *tag, size_t bytes,
		     int timeout_ms);

/** @return bytes of the largest message, 0 if the outbox is closed */
size_t peal_outbox_max(const struct peal_outbox *out);

/**
 * Find room for a message, to be filled in place.
 * @param size        bytes
 * @param timeout_ms  milliseconds, -1 for ever, 0 not at all
 * @param room        address of a pointer: aligned to 8 bytes
 * @return            1, -ETIMEDOUT there is no room, -EMSGSIZE larger than
 *                    peal_outbox_max(), -EPIPE the outbox is closed, -EPROTO,
 *                    or the error for which no receiver can be reached again
 * The room is yours until peal_outbox_commit() or the next call for this
 * outbox.
 */
int peal_outbox_reserve(struct peal_outbox *out, size_t size, int timeout_ms,
			void *room);

/**
 * Send what was reserved.
 * @param size  bytes, 0 to what was reserved
 * @return      0, -EINVAL more than that, or nothing was reserved
 */
int peal_outbox_commit(struct peal_outbox *out, uint32_t kind, size_t size);

/**
 * Send a message.
 * @return  0, or the errors of peal_outbox_reserve(): the message was not sent
 */
int peal_outbox_send(struct peal_outbox *out, uint32_t kind, const void *data,
		     size_t size, int timeout_ms);

/**
 * Send a message that must not queue: wait until the receiver has taken all
 * other messages of this sender, then send.
 * @return  as peal_outbox_send()
 */
int peal_outbox_send_when_empty(struct peal_outbox *out, uint32_t kind,
				const void *data, size_t size, int timeout_ms);

/** Wait until the receiver has taken all messages. @return 0, or the errors of
 * peal_outbox_reserve() */
int peal_outbox_flush(struct peal_outbox *out, int timeout_ms);

/**
 * Flush, and close. Messages that were not taken in time still arrive if the
 * receiver is there. May be called twice, and with an outbox that is all zero.
 * @return  0, or the error of peal_outbox_flush(), or -ECHILD in a forked
 *          child, which closes its copy, and neither flushes nor ends the
 *          stream. The outbox is closed in any case.
 */
int peal_outbox_close(struct peal_outbox *out, int timeout_ms);

#define peal_outbox_reserve(out, size, timeout_ms, room)                       \
	peal_outbox_reserve(out, size, timeout_ms, PEAL_SPAN(room))

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
