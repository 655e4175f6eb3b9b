/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a server allows, and whom it admits. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "internal.h"

#define MAX_BYTES_PER_UID (UINT64_C(1) << 30)

/* -- limits */

struct usage {
	uint64_t channels, of_uid, bytes_of_uid;
};

/* Count the channels that are open or about to open. A channel that is kept
 * counts with its bytes only: its client may come back at any time. */
static void measure(struct peal_server *server, uid_t uid, struct usage *usage)
{
	struct peal_link *link;

	*usage = (struct usage){ 0 };
	for (link = server->channels.next; link != &server->channels;
	     link = link->next) {
		const struct peal_channel *ch = peal_link_channel(link);
		bool open = peal_channel_is_open(ch);

		usage->channels += open;
		if (ch->peer.uid != uid)
			continue;
		usage->of_uid += open;
		usage->bytes_of_uid += peal_hello_bytes(&ch->hello,
							&server->service);
	}
	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		const struct peal_handshake *handshake =
			&server->places.handshakes[i];

		if (!handshake->server || !handshake->channel)
			continue;
		usage->channels++;
		if (handshake->made.peer.uid != uid)
			continue;
		usage->of_uid++;
		usage->bytes_of_uid += peal_hello_bytes(&handshake->hello,
							&server->service);
	}
}

static int too_much(struct peal_handshake *handshake, const char *what,
		    uint64_t limit)
{
	snprintf(handshake->text, sizeof(handshake->text),
		 "the server allows %llu %s, and all are in use",
		 (unsigned long long)limit, what);
	return -EAGAIN;
}

static int check_limits(struct peal_handshake *handshake)
{
	struct peal_server *server = handshake->server;
	const struct peal_service *s = &server->service;
	uint64_t bytes = s->max_bytes_per_uid ? s->max_bytes_per_uid
					      : MAX_BYTES_PER_UID;
	struct usage usage;

	measure(server, handshake->made.peer.uid, &usage);
	if (s->max_channels && usage.channels >= s->max_channels)
		return too_much(handshake, "channels", s->max_channels);
	if (s->max_per_uid && usage.of_uid >= s->max_per_uid)
		return too_much(handshake, "channels for each user",
				s->max_per_uid);
	if (usage.bytes_of_uid + peal_hello_bytes(&handshake->hello, s) > bytes)
		return too_much(handshake, "bytes for each user", bytes);
	return 0;
}

/* -- admitting */

static void give_channel(struct peal_handshake *handshake,
			 struct peal_channel *ch)
{
	struct peal_server *server = handshake->server;

	if (ch->life.state == PEAL_CHANNEL_UNUSED) {
		memset(ch, 0, sizeof(*ch));
		ch->line.fd = -1;
		ch->user = server->service.callbacks.user;
	}
	peal_life_begin(ch, &peal_member_owner);
	ch->hello = handshake->hello;
	ch->peer = handshake->made.peer;
	ch->peer.pidfd = -1;
	ch->member.server = server;
	ch->served.loop = server->loop;
	/* The callbacks come when the channel opens: until then on_refused
	 * tells. */
	ch->served.callbacks = (struct peal_channel_callbacks){ 0 };
	handshake->channel = ch;
}

/* Can the kept items go on in the ring that the client asks for? */
static bool continues(struct peal_handshake *handshake,
		      const struct peal_channel *ch)
{
	const struct peal_geometry *old = &ch->out.ring.geometry;
	struct peal_geometry asked;

	peal_hello_geometry(&asked, &handshake->hello, true);
	if ((handshake->hello.role & PEAL_RECEIVER) &&
	    asked.item_size == old->item_size && !strcmp(asked.tag, old->tag))
		return true;
	snprintf(handshake->text, sizeof(handshake->text),
		 "the server keeps items of %llu bytes and tag \"%.64s\" for "
		 "this client",
		 (unsigned long long)old->item_size, old->tag);
	return false;
}

/* @return 0, an error, or 1: the callback closed the server */
static int call_admit(struct peal_handshake *handshake)
{
	const struct peal_service *s = &handshake->server->service;
	struct peal_source_mark mark = peal_source_mark(&handshake->source);
	const char *why = "the server does not admit this client";
	bool yes;

	if (!s->admit)
		return 0;
	yes = s->admit(&handshake->hello, &handshake->made.peer, &why,
		       s->callbacks.user);
	if (!peal_source_survived(&mark))
		return 1;
	if (yes)
		return 0;
	snprintf(handshake->text, sizeof(handshake->text), "%s", why);
	return -EPERM;
}

/* Does the channel belong to the client that says this hello? */
static bool is_of_client(const struct peal_channel *ch,
			 const struct peal_handshake *handshake)
{
	const struct peal_peer *peer = &handshake->made.peer;

	return ch->member.server == handshake->server &&
	       (ch->hello.role & PEAL_RECEIVER) &&
	       peal_client_is_known(&ch->hello, &ch->peer) &&
	       ch->peer.known == peer->known && ch->peer.uid == peer->uid &&
	       strcmp(ch->hello.name, handshake->hello.name) == 0;
}

/* @return the client's own channel if the service resumes, or NULL */
static struct peal_channel *find_own(struct peal_handshake *handshake)
{
	const struct peal_service *s = &handshake->server->service;

	if (!s->resume ||
	    !peal_client_is_known(&handshake->hello, &handshake->made.peer))
		return NULL;
	for (size_t i = 0; i < s->n_channels; i++) {
		struct peal_channel *ch = peal_service_channel(s, i);

		if (ch->life.state != PEAL_CHANNEL_UNUSED &&
		    is_of_client(ch, handshake))
			return ch;
	}
	return NULL;
}

static struct peal_channel *find_unused(const struct peal_service *s)
{
	for (size_t i = 0; i < s->n_channels; i++) {
		struct peal_channel *ch = peal_service_channel(s, i);

		if (ch->life.state == PEAL_CHANNEL_UNUSED)
			return ch;
	}
	return NULL;
}

/* @return 0, an error, or 1: the callback closed the server */
static int find_channel(struct peal_handshake *handshake)
{
	const struct peal_service *s = &handshake->server->service;
	int ret = call_admit(handshake);
	struct peal_channel *ch;

	if (ret != 0)
		return ret;
	ch = find_own(handshake);
	if (ch && ch->life.state != PEAL_CHANNEL_KEPT) {
		snprintf(handshake->text, sizeof(handshake->text),
			 "the channel of this client is still in use");
		return -EAGAIN;
	}
	if (ch && !continues(handshake, ch))
		return -EPROTOTYPE;
	if (!ch)
		ch = find_unused(s);
	if (!ch)
		return too_much(handshake, "channels", s->n_channels);
	give_channel(handshake, ch);
	return 0;
}

int peal_server_judge(struct peal_handshake *handshake)
{
	const struct peal_service *s = &handshake->server->service;
	int ret;

	if ((handshake->hello.role & PEAL_SENDER) &&
	    !s->callbacks.on_readable) {
		snprintf(handshake->text, sizeof(handshake->text),
			 "role: the server receives nothing");
		return -EPROTOTYPE;
	}
	ret = peal_slow_users_check(handshake->server, &handshake->made.peer,
				    handshake->text);
	if (ret == 0)
		ret = check_limits(handshake);
	if (ret < 0)
		return ret;
	if (handshake->made.peer.known)
		handshake->made.peer.pidfd =
			peal_socket_pidfd(handshake->made.fd);
	return find_channel(handshake);
}
