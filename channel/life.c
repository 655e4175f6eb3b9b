/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of a channel: for each state and each event, what is done and which
 * state comes next. An event that a state does not list changes nothing.
 *
 * Four verbs move a channel:
 *
 *	open	the server has opened the channel
 *	close	the peer is gone: deliver what the peer has published, then end
 *	abort	release everything now, without a callback
 *	detach	the connection is gone, the sender keeps its ring
 *
 * The owner, which is the client's side or the server's, gives the channel
 * three functions. So this file knows neither of them.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "../ring/floor.h"
#include "internal.h"

enum life_event {
	LIFE_BEGIN,   /* a handshake is under way */
	LIFE_JOIN,    /* a client has the new ring, and is about to say READY */
	LIFE_OPEN,    /* the server has opened the channel */
	LIFE_GONE,    /* the peer died, hung up, or broke the protocol */
	LIFE_DRAINED, /* the reactor serves no ring of the channel any more */
	LIFE_FAILED,  /* nothing is left to be delivered: ask the owner */
	LIFE_RELEASE, /* the owner's answer: this was the end */
	LIFE_KEEP,    /* the owner's answer: the client may come back */
	LIFE_DETACH,  /* a client will connect again, now or later */
	LIFE_ABORT,   /* the user closes the channel */
	LIFE_EVENTS
};

struct life_step {
	void (*act)(struct peal_channel *ch, int reason);
	enum peal_channel_state next;
};

static void life_event(struct peal_channel *ch, enum life_event event,
		       int reason);

/* -- what is done */

static void begin_life(struct peal_channel *ch, int reason)
{
	(void)reason;
	ch->life.process = getpid();
}

static void join_server(struct peal_channel *ch, int reason)
{
	(void)ch;
	(void)reason;
}

static void note_open(struct peal_channel *ch, int reason)
{
	(void)reason;
	ch->life.reason = 0;
	ch->line.unexpected_bells = 0;
	ch->text[0] = '\0';
	ch->connects++;
}

/* The peer publishes nothing more: the reactor delivers the rest. */
static void drain(struct peal_channel *ch, int reason)
{
	bool served = peal_source_added(&ch->served.receiver) ||
		      peal_source_added(&ch->served.sender);

	peal_source_detach(&ch->served.socket);
	peal_source_detach(&ch->served.process);
	if (peal_source_added(&ch->served.receiver))
		peal_reactor_hangup(ch->served.loop, &ch->served.receiver,
				    reason);
	if (peal_source_added(&ch->served.sender))
		peal_reactor_hangup(ch->served.loop, &ch->served.sender,
				    reason);
	if (served)
		return;
	if (!ch->life.reason && reason != -EPIPE)
		ch->life.reason = reason;
	life_event(ch, LIFE_DRAINED, 0);
}

/* If the own sender has finished, the channel stays open until the peer has
 * released all items, or dies. So on_closed says which of the two it was. */
static void end_if_delivered(struct peal_channel *ch, int reason)
{
	(void)reason;
	if (ch->life.reason == 0 && peal_channel_is_undelivered(ch))
		return;
	life_event(ch, LIFE_FAILED, ch->life.reason);
}

static void end_drained(struct peal_channel *ch, int reason)
{
	(void)reason;
	if (ch->life.reason == 0 && peal_channel_is_undelivered(ch))
		ch->life.reason = -EPIPE;
	life_event(ch, LIFE_FAILED, ch->life.reason);
}

static void ask_owner(struct peal_channel *ch, int reason)
{
	enum peal_outcome outcome = PEAL_OUTCOME_RELEASE;

	if (ch->life.owner)
		outcome = ch->life.owner->lost(ch, reason);
	if (outcome == PEAL_OUTCOME_RETRY)
		life_event(ch, LIFE_DETACH, 0);
	else if (outcome == PEAL_OUTCOME_KEEP)
		life_event(ch, LIFE_KEEP, reason);
	else
		life_event(ch, LIFE_RELEASE, reason);
}

/* In a child after fork(2), too: the child's copy of the reactor has copies of
 * the sources. */
static void stop_serving(struct peal_channel *ch)
{
	peal_source_detach(&ch->served.socket);
	peal_source_detach(&ch->served.process);
	peal_source_detach(&ch->served.receiver);
	peal_source_detach(&ch->served.sender);
}

/* `stays`: the channel goes on without this connection. */
static void disconnect(struct peal_channel *ch, bool stays)
{
	if (ch->life.owner)
		ch->life.owner->part(ch, stays);
	if (ch->peer.pidfd >= 0)
		close(ch->peer.pidfd);
	if (ch->line.fd >= 0)
		close(ch->line.fd);
	ch->peer.pidfd = ch->line.fd = -1;
}

/* The sender goes on without a receiver, until its ring is full. */
static void keep_ring(struct peal_channel *ch, int reason)
{
	(void)reason;
	stop_serving(ch);
	disconnect(ch, true);
	peal_end_unwatch(&ch->sender.end);
	peal_end_unwatch(&ch->receiver.end);
	peal_channel_ring_close(&ch->in);
	memset(&ch->receiver, 0, sizeof(ch->receiver));
	if (!ch->out.mem.base)
		return;
	peal_doorbell_close(&ch->out.data);
	peal_doorbell_close(&ch->out.space);
	peal_end_detach(&ch->sender.end);
}

static void keep_and_tell(struct peal_channel *ch, int reason)
{
	keep_ring(ch, reason);
	if (ch->served.callbacks.on_closed)
		ch->served.callbacks.on_closed(ch, reason, ch->user);
}

/* The callback may give the storage to another channel. */
static void release_and_tell(struct peal_channel *ch, int reason)
{
	stop_serving(ch);
	peal_source_detach(&ch->client.timer);
	disconnect(ch, false);
	peal_channel_close_rings(ch);
	memset(&ch->sender, 0, sizeof(ch->sender));
	memset(&ch->receiver, 0, sizeof(ch->receiver));
	if (ch->served.callbacks.on_closed)
		ch->served.callbacks.on_closed(ch, reason, ch->user);
}

static void release_all(struct peal_channel *ch, int reason)
{
	(void)reason;
	stop_serving(ch);
	peal_source_detach(&ch->client.timer);
	disconnect(ch, false);
	peal_channel_close_rings(ch);
	memset(ch, 0, sizeof(*ch));
}

/* -- the table */

#define UNUSED PEAL_CHANNEL_UNUSED
#define PENDING PEAL_CHANNEL_PENDING
#define JOINING PEAL_CHANNEL_JOINING
#define OPEN PEAL_CHANNEL_OPEN
#define CLOSING PEAL_CHANNEL_CLOSING
#define ABSENT PEAL_CHANNEL_ABSENT
#define KEPT PEAL_CHANNEL_KEPT

/*
 * What happens when the peer dies? In PENDING and in JOINING the side that
 * reads the packets finds the end of the socket, and the event is FAILED. In
 * OPEN the socket or the pidfd brings GONE. Then DRAINED comes, once the
 * reactor has delivered the rest and has closed the rings. Then FAILED comes.
 * In ABSENT and in KEPT there is no peer.
 */
static const struct life_step life_table[][LIFE_EVENTS] = {
	[UNUSED] = {
		[LIFE_BEGIN]   = { begin_life, PENDING },
	},
	[PENDING] = {
		[LIFE_JOIN]    = { join_server, JOINING },
		[LIFE_OPEN]    = { note_open, OPEN },
		[LIFE_FAILED]  = { ask_owner, PENDING },
		[LIFE_RELEASE] = { release_and_tell, UNUSED },
		[LIFE_KEEP]    = { keep_and_tell, KEPT },
		[LIFE_DETACH]  = { keep_ring, ABSENT },
		[LIFE_ABORT]   = { release_all, UNUSED },
	},
	[JOINING] = {
		[LIFE_OPEN]    = { note_open, OPEN },
		[LIFE_FAILED]  = { ask_owner, JOINING },
		[LIFE_RELEASE] = { release_and_tell, UNUSED },
		[LIFE_DETACH]  = { keep_ring, ABSENT },
		[LIFE_ABORT]   = { release_all, UNUSED },
	},
	[OPEN] = {
		[LIFE_GONE]    = { drain, CLOSING },
		[LIFE_DRAINED] = { end_if_delivered, OPEN },
		[LIFE_FAILED]  = { ask_owner, OPEN },
		[LIFE_RELEASE] = { release_and_tell, UNUSED },
		[LIFE_KEEP]    = { keep_and_tell, KEPT },
		[LIFE_DETACH]  = { keep_ring, ABSENT },
		[LIFE_ABORT]   = { release_all, UNUSED },
	},
	[CLOSING] = {
		[LIFE_DRAINED] = { end_drained, CLOSING },
		[LIFE_FAILED]  = { ask_owner, CLOSING },
		[LIFE_RELEASE] = { release_and_tell, UNUSED },
		[LIFE_KEEP]    = { keep_and_tell, KEPT },
		[LIFE_DETACH]  = { keep_ring, ABSENT },
		[LIFE_ABORT]   = { release_all, UNUSED },
	},
	[ABSENT] = {
		[LIFE_BEGIN]   = { begin_life, PENDING },
		[LIFE_JOIN]    = { join_server, JOINING },
		[LIFE_ABORT]   = { release_all, UNUSED },
	},
	[KEPT] = {
		[LIFE_BEGIN]   = { begin_life, PENDING },
		[LIFE_ABORT]   = { release_all, UNUSED },
	},
};

/* Change the state first: an act may end the channel and free its storage. */
static void life_event(struct peal_channel *ch, enum life_event event,
		       int reason)
{
	const struct life_step *step = &life_table[ch->life.state][event];

	if (!step->act)
		return;
	ch->life.state = step->next;
	step->act(ch, reason);
}

/* -- the events, as other files see them */

void peal_life_begin(struct peal_channel *ch,
		     const struct peal_channel_owner *owner)
{
	ch->life.owner = owner;
	life_event(ch, LIFE_BEGIN, 0);
}

void peal_life_join(struct peal_channel *ch)
{
	life_event(ch, LIFE_JOIN, 0);
}

void peal_life_open(struct peal_channel *ch)
{
	life_event(ch, LIFE_OPEN, 0);
}

void peal_life_close(struct peal_channel *ch, int reason)
{
	life_event(ch, LIFE_GONE, reason);
}

void peal_life_drained(struct peal_channel *ch)
{
	life_event(ch, LIFE_DRAINED, 0);
}

void peal_life_fail(struct peal_channel *ch, int reason)
{
	life_event(ch, LIFE_FAILED, reason);
}

void peal_life_abort(struct peal_channel *ch)
{
	life_event(ch, LIFE_ABORT, 0);
}

void peal_life_detach(struct peal_channel *ch)
{
	life_event(ch, LIFE_DETACH, 0);
}
