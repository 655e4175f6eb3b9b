/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Users whose doorbells cost the server time. A client can hang thousands of
 * epoll sets on its end of a doorbell. Each time the server rings that
 * doorbell, the kernel walks all of these sets. ring/bell.c measures that, and
 * ends the ring after some slow rings of its bell. Then the channel is closed.
 * But the client can connect again. So the server adds up the slow rings of
 * each user over all connections. Each time there are too many, the user waits
 * twice as long for its next channel.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../reactor/floor.h"
#include "../ring/floor.h"
#include "internal.h"

#define S UINT64_C(1000000000)
#define MOST_DOUBLINGS 9u      /* 512 s */
#define FORGOTTEN_NS (600 * S) /* without a slow ring */

static struct peal_slow_user *find_slow_user(struct peal_server *server,
					     uid_t uid)
{
	uint64_t now = peal_now();

	for (int i = 0; i < PEAL_SLOW_USERS; i++) {
		struct peal_slow_user *user = &server->slow_users[i];

		if (user->seen == 0 || user->uid != uid)
			continue;
		if (now > user->until && now - user->seen > FORGOTTEN_NS)
			*user = (struct peal_slow_user){ 0 };
		return user->seen ? user : NULL;
	}
	return NULL;
}

/* @return the record of the user; a new record replaces the oldest one */
static struct peal_slow_user *find_or_replace(struct peal_server *server,
					      uid_t uid)
{
	struct peal_slow_user *user = find_slow_user(server, uid);

	if (user)
		return user;
	user = &server->slow_users[0];
	for (int i = 1; i < PEAL_SLOW_USERS; i++)
		if (server->slow_users[i].seen < user->seen)
			user = &server->slow_users[i];
	*user = (struct peal_slow_user){ .uid = uid };
	return user;
}

/* Processes that trust each other could hold each other up in any case. */
static bool is_measured(const struct peal_peer *peer)
{
	return peer->known && !peer->trusted;
}

int peal_slow_users_check(struct peal_server *server,
			  const struct peal_peer *peer, char *text)
{
	const struct peal_slow_user *user = NULL;
	uint64_t now = peal_now();

	if (is_measured(peer))
		user = find_slow_user(server, peer->uid);
	if (!user || now >= user->until)
		return 0;
	snprintf(text, PEAL_TEXT,
		 "doorbells of this user were too slow: wait %" PRIu64
		 " seconds",
		 (user->until - now) / S + 1);
	return -EAGAIN;
}

void peal_slow_users_opened(struct peal_channel *ch)
{
	if (!is_measured(&ch->peer) ||
	    !find_slow_user(ch->member.server, ch->peer.uid))
		return;
	peal_end_time_rings(&ch->sender.end);
	peal_end_time_rings(&ch->receiver.end);
}

void peal_slow_users_closed(struct peal_channel *ch)
{
	const struct peal_end *tx = &ch->sender.end, *rx = &ch->receiver.end;
	int slow = peal_end_slow_rings(tx) + peal_end_slow_rings(rx);
	struct peal_slow_user *user;

	if (!is_measured(&ch->peer) ||
	    !(peal_end_times_rings(tx) || peal_end_times_rings(rx) || slow > 0))
		return;
	user = find_or_replace(ch->member.server, ch->peer.uid);
	user->seen = peal_now();
	user->slow_rings += (unsigned)slow;
	if (user->slow_rings < PEAL_TIMED_RINGS / 2)
		return;
	user->slow_rings = 0;
	user->until = user->seen + (S << user->doublings);
	if (user->doublings < MOST_DOUBLINGS)
		user->doublings++;
}
