/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The receiver of an inbox: a server whose channels take turns. The callbacks
 * of the reactor line up the senders that have messages. peal_inbox_receive()
 * hands the messages out, in place.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../reactor/floor.h"
#include "../ring/floor.h"
#include "internal.h"

/* After so many messages the reactor has a turn, and finds the senders that
 * were idle and have messages now. */
#define MESSAGES_PER_TURN 64u

static struct peal_inbox_sender *sender_of(struct peal_channel *ch)
{
	return (struct peal_inbox_sender *)(void *)ch; /* the first member */
}

static struct peal_inbox_sender *sender_in(struct peal_link *link)
{
	return (struct peal_inbox_sender
			*)(void *)((char *)link -
				   offsetof(struct peal_inbox_sender, link));
}

static void line_up(struct peal_inbox *inbox, struct peal_inbox_sender *s)
{
	if (peal_link_empty(&s->link))
		peal_link_append(&inbox->ready, &s->link);
}

/* -- stamps */

/*
 * A sender could claim that its messages are old, and be first for ever. But no
 * message is older than the moment at which the inbox released the message that
 * lay in the same place of the ring before. So the inbox notes when each lap of
 * the ring began, and raises a stamp from before the previous lap to the
 * beginning of the previous lap.
 */
static void mark_lap(struct peal_inbox_sender *s)
{
	uint64_t lap = peal_end_lap(&s->channel.receiver.end);

	if (s->began[1] && lap == s->lap)
		return;
	s->lap = lap;
	s->began[0] = s->began[1];
	s->began[1] = peal_now();
}

/* @return false: the message has no stamp, and so breaks the rules */
static bool read_stamp(struct peal_inbox_sender *s)
{
	uint64_t stamp;

	if (s->next.size < sizeof(stamp))
		return false;
	memcpy(&stamp, s->next.data, sizeof(stamp));
	mark_lap(s);
	if (stamp < s->began[0])
		stamp = s->began[0];
	if (stamp > s->stamp)
		s->stamp = stamp;
	return true;
}

/* -- one sender's messages */

/* Does the sender have a message? A sender that breaks the rules has none: the
 * reactor will close its channel. */
static bool find_message(struct peal_inbox *inbox, struct peal_inbox_sender *s)
{
	if (s->found)
		return true;
	if (peal_message_peek(&s->channel.receiver, &s->next) <= 0)
		return false;
	if (inbox->options.oldest && !read_stamp(s)) {
		peal_end_break(&s->channel.receiver.end);
		return false;
	}
	s->found = true;
	return true;
}

static int hand_out(struct peal_inbox *inbox, struct peal_inbox_sender *s,
		    struct peal_letter *letter)
{
	size_t skip = inbox->options.oldest ? sizeof(s->stamp) : 0;

	*letter = (struct peal_letter){
		.data = (const char *)s->next.data + skip,
		.size = s->next.size - skip,
		.kind = s->next.kind,
		.stamp = skip ? s->stamp : 0,
		.from = &s->channel,
	};
	inbox->lent = s;
	return 1;
}

/* -- whose turn it is */

static struct peal_inbox_sender *next_in_line(struct peal_inbox *inbox)
{
	while (!peal_link_empty(&inbox->ready)) {
		struct peal_link *link = inbox->ready.next;

		peal_link_remove(link);
		if (find_message(inbox, sender_in(link))) {
			peal_link_append(&inbox->ready, link);
			return sender_in(link);
		}
	}
	return NULL;
}

/* Look at all senders, and not only at the senders that have rung: an older
 * message may just have come. */
static struct peal_inbox_sender *with_oldest(struct peal_inbox *inbox)
{
	struct peal_inbox_sender *found = NULL;

	for (size_t i = 0; i < inbox->options.n_senders; i++) {
		struct peal_inbox_sender *s = &inbox->options.senders[i];

		if (s->channel.in.mem.base && s->link.next &&
		    find_message(inbox, s) &&
		    (!found || s->stamp < found->stamp))
			found = s;
	}
	return found;
}

static struct peal_inbox_sender *whose_turn(struct peal_inbox *inbox)
{
	struct peal_inbox_sender *first = inbox->first;

	inbox->first = NULL;
	if (first) /* its message was too large for the buffer */
		return first;
	return inbox->options.oldest ? with_oldest(inbox) : next_in_line(inbox);
}

/* -- channels */

static bool admit_sender(const struct peal_hello *hello,
			 const struct peal_peer *peer, const char **why,
			 void *user)
{
	const struct peal_inbox *inbox = user;

	return inbox->options.admit(hello, peer, why, inbox->options.user);
}

static void sender_opened(struct peal_channel *ch, void *user)
{
	struct peal_inbox_sender *s = sender_of(ch);
	struct peal_inbox *inbox = user;

	s->found = false;
	s->stamp = s->lap = s->began[0] = s->began[1] = 0;
	peal_link_init(&s->link);
	if (inbox->options.on_joined)
		inbox->options.on_joined(ch, inbox->options.user);
}

/* @return false: the callback closed the inbox */
static bool call_on_messages(struct peal_inbox *inbox)
{
	struct peal_source_mark mark =
		peal_source_mark(&inbox->server.listening.source);

	if (!inbox->options.on_messages || inbox->telling)
		return true;
	inbox->telling = true;
	inbox->options.on_messages(inbox, inbox->options.user);
	if (!peal_source_survived(&mark))
		return false;
	inbox->telling = false;
	return true;
}

static long sender_rang(struct peal_channel *ch, void *user)
{
	struct peal_inbox_sender *s = sender_of(ch);
	struct peal_inbox *inbox = user;

	if (!find_message(inbox, s))
		return PEAL_DONE; /* taken already, or invalid */
	line_up(inbox, s);
	if (!call_on_messages(inbox))
		return PEAL_DONE;
	/* On the caller's loop the inbox asks for turns as long as messages are
	 * left. On its own loop the senders are in line here; but at the end of
	 * a stream the reactor would drop the messages that are left. */
	if (inbox->options.on_messages || peal_end_ended(&ch->receiver.end))
		return find_message(inbox, s) ? PEAL_MORE : PEAL_DONE;
	return PEAL_DONE;
}

static void sender_gone(struct peal_channel *ch, int reason, void *user)
{
	struct peal_inbox_sender *s = sender_of(ch);
	struct peal_inbox *inbox = user;

	peal_link_remove(&s->link);
	s->link.next = NULL;
	if (inbox->lent == s)
		inbox->lent = NULL;
	if (inbox->first == s)
		inbox->first = NULL;
	if (inbox->options.on_left)
		inbox->options.on_left(ch, reason, inbox->options.user);
}

/* Is this the refusal of an outbox that asks without stamps? Each outbox does
 * so first. After the refusal the outbox asks again, with stamps. So the owner
 * of the inbox is not told of the refusal. */
static bool asks_again(const struct peal_inbox *inbox, const char *text)
{
	struct peal_hello first = { .role = PEAL_SENDER, .item_size = 8 };
	char expected[PEAL_TEXT] = "";

	if (!inbox->options.oldest ||
	    peal_inbox_tag(first.tag, inbox->options.tag, false) < 0)
		return false;
	peal_hello_match(&first, &inbox->server.service.accept, expected);
	return strcmp(text, expected) == 0;
}

static void sender_refused(const struct peal_peer *peer, int reason,
			   const char *text, void *user)
{
	struct peal_inbox *inbox = user;

	if (inbox->options.on_refused &&
	    (reason != -EPROTOTYPE || !asks_again(inbox, text)))
		inbox->options.on_refused(peer, reason, text,
					  inbox->options.user);
}

/* -- the inbox */

static struct peal_service service_of(struct peal_inbox *inbox)
{
	const struct peal_inbox_options *o = &inbox->options;

	return (struct peal_service){
		.accept = { .role = PEAL_SENDER, .item_size = 8 },
		.admit = o->admit ? admit_sender : NULL,
		.channels = &o->senders->channel,
		.n_channels = o->n_senders,
		.channel_size = sizeof(*o->senders),
		.on_refused = sender_refused,
		.callbacks = { .on_open = sender_opened,
			       .on_readable = sender_rang,
			       .on_closed = sender_gone,
			       .user = inbox },
		.mode = o->mode,
		.max_bytes = o->max_bytes,
		.max_channels = (unsigned)o->n_senders,
		.max_per_uid = o->max_per_uid,
	};
}

/* @param options  with senders. On failure the caller clears the inbox. */
static int open_at(struct peal_inbox *inbox, struct peal_reactor *loop,
		   const char *address,
		   const struct peal_inbox_options *options)
{
	struct peal_service service;
	int ret;

	inbox->options = *options;
	inbox->loop = loop;
	peal_link_init(&inbox->ready);
	memset(options->senders, 0,
	       options->n_senders * sizeof(*options->senders));
	service = service_of(inbox);
	ret = peal_inbox_tag(service.accept.tag, options->tag, options->oldest);
	if (ret < 0)
		return ret;
	return peal_server_listen_on(&inbox->server, loop, address, &service);
}

int peal_inbox_open_on(struct peal_inbox *inbox, struct peal_reactor *loop,
		       const char *address,
		       const struct peal_inbox_options *options)
{
	int ret = -EINVAL;

	memset(inbox, 0, sizeof(*inbox));
	if (options->senders && options->n_senders)
		ret = open_at(inbox, loop, address, options);
	if (ret < 0)
		memset(inbox, 0, sizeof(*inbox));
	return ret;
}

int peal_inbox_open_in(struct peal_inbox *inbox,
		       struct peal_inbox_sender *senders,
		       struct peal_slot *slots, size_t n, const char *address,
		       const struct peal_inbox_options *options)
{
	struct peal_inbox_options stored = { 0 };
	int ret;

	if (options)
		stored = *options;
	stored.senders = senders;
	stored.n_senders = n;
	memset(inbox, 0, sizeof(*inbox));
	if (!senders || !slots || !n || stored.on_messages)
		return -EINVAL;
	ret = peal_reactor_init(&inbox->own, slots, PEAL_INBOX_SLOTS(n));
	if (ret == 0)
		ret = open_at(inbox, &inbox->own, address, &stored);
	if (ret < 0) {
		peal_reactor_close(&inbox->own);
		memset(inbox, 0, sizeof(*inbox));
	}
	return ret;
}

void peal_inbox_close(struct peal_inbox *inbox)
{
	peal_server_close(&inbox->server);
	peal_reactor_close(&inbox->own);
	memset(inbox, 0, sizeof(*inbox));
}

/* -- receiving */

static int check_receive(const struct peal_inbox *inbox, int timeout_ms)
{
	if (!inbox->loop)
		return -EBADF;
	if (!peal_reactor_here(inbox->loop))
		return -ECHILD;
	if (inbox->lent)
		return -EBUSY;
	return inbox->loop != &inbox->own && timeout_ms != 0 ? -EINVAL : 0;
}

/* A turn of the reactor: idle senders may have messages by now. */
static int run_reactor(struct peal_inbox *inbox, int timeout_ms)
{
	if (inbox->loop != &inbox->own)
		return 0;
	return peal_reactor_run_once(&inbox->own, timeout_ms);
}

/* A loop may watch the fd of the inbox: the fd stays readable while there are
 * messages. */
static void stay_readable(struct peal_inbox *inbox)
{
	if (!inbox->polled || peal_link_empty(&inbox->ready))
		return;
	peal_reactor_renotify(&inbox->own);
}

int peal_inbox_receive(struct peal_inbox *inbox, int timeout_ms,
		       struct peal_letter *letter)
{
	int ret = check_receive(inbox, timeout_ms);
	uint64_t deadline = UINT64_MAX;
	bool last = timeout_ms == 0;

	if (ret == 0 && ++inbox->taken % MESSAGES_PER_TURN == 0)
		ret = run_reactor(inbox, 0);
	if (ret < 0)
		return ret;
	if (timeout_ms > 0)
		deadline = peal_deadline(timeout_ms);
	for (;;) {
		struct peal_inbox_sender *s = whose_turn(inbox);

		if (s) {
			stay_readable(inbox);
			return hand_out(inbox, s, letter);
		}
		/* peal_inbox_wake() was called, but an earlier turn of the
		 * reactor may have used up the wakeup. */
		if (__atomic_load_n(&inbox->woken, __ATOMIC_SEQ_CST))
			last = true;
		ret = run_reactor(inbox, last ? 0 : peal_left_ms(deadline));
		if (ret < 0)
			return ret;
		s = whose_turn(inbox);
		if (s) {
			stay_readable(inbox);
			return hand_out(inbox, s, letter);
		}
		if (__atomic_exchange_n(&inbox->woken, false,
					__ATOMIC_SEQ_CST) ||
		    last)
			return -ETIMEDOUT;
		last = deadline != UINT64_MAX && peal_now() >= deadline;
	}
}

int peal_inbox_release(struct peal_inbox *inbox,
		       const struct peal_letter *letter)
{
	struct peal_inbox_sender *s = inbox->lent;

	if (!s || letter->from != &s->channel)
		return -EINVAL;
	if (!peal_reactor_here(inbox->loop))
		return -ECHILD; /* the parent has the ring, too */
	inbox->lent = NULL;
	s->found = false;
	/* Release the message at once, so that it never comes again. */
	peal_message_release(&s->channel.receiver, &s->next);
	return 0;
}

int peal_inbox_read(struct peal_inbox *inbox, int timeout_ms, void *data,
		    size_t size, struct peal_letter *letter)
{
	struct peal_letter l;
	int ret = peal_inbox_receive(inbox, timeout_ms, &l);

	if (ret <= 0)
		return ret;
	if (l.size > size) {
		inbox->first = inbox->lent;
		inbox->lent = NULL;
		letter->size = l.size;
		return -EMSGSIZE;
	}
	if (l.size > 0)
		memcpy(data, l.data, l.size);
	peal_inbox_release(inbox, &l);
	*letter = l;
	letter->data = data;
	return 1;
}

void peal_inbox_wake(struct peal_inbox *inbox)
{
	if (!inbox->loop)
		return;
	__atomic_store_n(&inbox->woken, true, __ATOMIC_SEQ_CST);
	peal_reactor_wake(inbox->loop);
}

int peal_inbox_fd(struct peal_inbox *inbox)
{
	if (inbox->loop != &inbox->own)
		return -1;
	inbox->polled = true;
	stay_readable(inbox);
	return peal_reactor_fd(&inbox->own);
}

void peal_inbox_stats(const struct peal_inbox *inbox,
		      struct peal_server_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (inbox->loop)
		peal_server_stats(&inbox->server, stats);
}
