/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The places for handshakes that a server has: which one is free, which
 * handshake makes way for another client, and when. Each user has a share of
 * the places, so the handshakes of one user do not keep out another one. A
 * client that is silent makes way for the next. A client that has said READY
 * never does.
 */
#include "../reactor/floor.h"
#include "internal.h"

#define MS UINT64_C(1000000)
#define HANDSHAKE_MS 2000u
/* How long a client that was answered may be silent before the client makes
 * way: for a client of another user, and for a client of the same user. */
#define PATIENCE_NS (100 * MS)
#define PATIENCE_OWN_NS (1000 * MS)
/* The time between two looks at what no event tells of: fds that had run out,
 * and answers that nobody had read. */
#define PAUSE_NS (100 * MS)

uint64_t peal_places_limit(const struct peal_server *server)
{
	unsigned ms = server->service.handshake_ms;

	return (ms ? ms : HANDSHAKE_MS) * MS;
}

struct peal_handshake *peal_places_free(struct peal_server *server, uid_t uid,
					bool *share_used)
{
	struct peal_handshake *unused = NULL;
	int of_uid = 0;

	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *handshake =
			&server->places.handshakes[i];

		if (!handshake->server)
			unused = handshake;
		else if (handshake->made.peer.uid == uid)
			of_uid++;
	}
	*share_used = of_uid >= PEAL_HANDSHAKES_PER_UID;
	return *share_used ? NULL : unused;
}

/*
 * When may this handshake make way for a connection of the user?
 * @param share_used  the user has its whole share, so one of its own
 *                    handshakes has to go
 * @return            a time, which may be over, or UINT64_MAX for never
 */
static uint64_t makes_way_at(const struct peal_handshake *handshake, uid_t uid,
			     bool share_used)
{
	bool own = handshake->made.peer.uid == uid;

	if (!handshake->server)
		return UINT64_MAX;
	switch (handshake->stage) {
	case PEAL_STAGE_HELLO:
		return share_used && !own ? UINT64_MAX : 0;
	case PEAL_STAGE_READY:
		if (share_used && !own)
			return UINT64_MAX;
		return handshake->since + (own ? PATIENCE_OWN_NS : PATIENCE_NS);
	case PEAL_STAGE_UNREAD:
		/* The unread answers of a user count against its share. */
		return share_used ? UINT64_MAX : 0;
	default:
		return UINT64_MAX;
	}
}

/* Silent clients make way first, then clients that were answered long ago, and
 * at last answers that nobody reads: the stages have this order. */
static bool makes_way_before(const struct peal_handshake *a,
			     const struct peal_handshake *b)
{
	return a->stage != b->stage ? a->stage < b->stage : a->since < b->since;
}

struct peal_handshake *peal_places_to_clear(struct peal_server *server,
					    uid_t uid, bool share_used)
{
	struct peal_handshake *found = NULL;
	uint64_t now = peal_now();

	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		struct peal_handshake *handshake =
			&server->places.handshakes[i];

		if (makes_way_at(handshake, uid, share_used) > now)
			continue;
		if (!found || makes_way_before(handshake, found))
			found = handshake;
	}
	return found;
}

/* -- the timer of the server */

/* When is there a place for a connection that waits? */
static uint64_t place_at(struct peal_server *server)
{
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < server->queue.n; i++) {
		uid_t uid = server->queue.waiting[i].peer.uid;
		bool share_used;

		if (peal_waiting_has(server, i, uid))
			continue;
		if (peal_places_free(server, uid, &share_used))
			return 0;
		for (int j = 0; j < PEAL_HANDSHAKES; j++)
			first = peal_min(
				first,
				makes_way_at(&server->places.handshakes[j], uid,
					     share_used));
	}
	return first;
}

void peal_places_set_timer(struct peal_server *server)
{
	uint64_t first = place_at(server);
	bool look = server->listening.paused;

	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		const struct peal_handshake *handshake =
			&server->places.handshakes[i];

		if (!handshake->server)
			continue;
		if (handshake->stage == PEAL_STAGE_UNREAD)
			look = true;
		if (handshake->stage <= PEAL_STAGE_READY)
			first = peal_min(first,
					 handshake->since +
						 peal_places_limit(server));
	}
	if (look && !server->places.look_at)
		server->places.look_at = peal_now() + PAUSE_NS;
	if (look)
		first = peal_min(first, server->places.look_at);
	if (first == 0)
		first = 1; /* a time that is over; 0 would stop the timer */
	if (first == UINT64_MAX)
		peal_reactor_cancel_timer(server->loop, &server->places.timer);
	else
		peal_reactor_set_timer(server->loop, &server->places.timer,
				       first, 0, PEAL_TIMER_ABSOLUTE);
}
