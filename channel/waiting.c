/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Connections that wait for a place among the handshakes, first come, first
 * served. The connections of a user wait for the share of that user, so they
 * hold up nobody else. When this list is full, the user with the most entries
 * loses the newest of them: the server asks that client to connect again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static unsigned count_waiting(const struct peal_server *server, uid_t uid)
{
	unsigned n = 0;

	for (unsigned i = 0; i < server->queue.n; i++)
		n += server->queue.waiting[i].peer.uid == uid;
	return n;
}

bool peal_waiting_has(const struct peal_server *server, unsigned before,
		      uid_t uid)
{
	for (unsigned i = 0; i < before && i < server->queue.n; i++)
		if (server->queue.waiting[i].peer.uid == uid)
			return true;
	return false;
}

struct peal_waiting peal_waiting_take(struct peal_server *server, unsigned i)
{
	struct peal_waiting taken = server->queue.waiting[i];

	server->queue.n--;
	memmove(&server->queue.waiting[i], &server->queue.waiting[i + 1],
		(server->queue.n - i) * sizeof(taken));
	return taken;
}

/* The newest entry of the user that has the most. */
static unsigned newest_of_the_most(const struct peal_server *server)
{
	unsigned most = 0, newest = 0;

	for (unsigned i = 0; i < server->queue.n; i++) {
		unsigned n = count_waiting(server,
					   server->queue.waiting[i].peer.uid);

		if (n >= most) {
			most = n;
			newest = i;
		}
	}
	return newest;
}

void peal_waiting_turn_away(struct peal_server *server, int fd)
{
	struct peal_handshake handshake = { .made.fd = fd };

	snprintf(handshake.text, sizeof(handshake.text),
		 "too many connections at once");
	peal_handshake_refuse(&handshake, -EBUSY);
	close(fd);
	server->stats.failed++;
}

int peal_waiting_add(struct peal_server *server, int fd,
		     const struct peal_peer *peer)
{
	if (server->queue.n == PEAL_WAITING) {
		unsigned newest = newest_of_the_most(server);
		uid_t uid = server->queue.waiting[newest].peer.uid;

		if (count_waiting(server, peer->uid) >=
		    count_waiting(server, uid))
			return -EAGAIN;
		peal_waiting_turn_away(server,
				       peal_waiting_take(server, newest).fd);
	}
	server->queue.waiting[server->queue.n++] =
		(struct peal_waiting){ .fd = fd, .peer = *peer };
	return 0;
}

void peal_waiting_close(struct peal_server *server)
{
	while (server->queue.n > 0)
		close(peal_waiting_take(server, server->queue.n - 1).fd);
}
