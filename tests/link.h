/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_LINK_H
#define PEAL_TESTS_LINK_H
/*
 * A server and its clients: a reactor in one of several hosts, a folder of the
 * test's own, and parties, which send numbers that count up and check those
 * that come. Clients in processes of their own are forked before the reactor
 * is made, so that they hold nothing of it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <peal/channel.h>

#include "harness.h"

#define LINK_SLOTS 512

/* The loop that the reactor stands in. */
enum link_host {
	LINK_OWN,
	LINK_FORM_A,
	LINK_FORM_B_LEVEL,
	LINK_FORM_B_EDGE,
	LINK_HOSTS
};

extern struct peal_reactor loop;
extern struct peal_slot link_slots[LINK_SLOTS];
extern struct peal_server server;
extern char link_path[108]; /* of a socket that is not there yet */

/* Fit for the name of a test. */
const char *link_host_name(enum link_host host);
/* Before anything else: the folder. */
void link_folder(void);
/* The reactor alone. */
void link_reactor(enum link_host host);
/* Both, and a server. */
void link_serve(enum link_host host, const struct peal_service *service);
/* One iteration. */
void link_once(bool wait);
/* Finish the server and the reactor; the folder has to be empty then. */
void link_end(void);
/* What is left in the folder: how many entries. */
int link_folder_entries(void);

/* Serve until it is so; the harness's timeout says when it never is. */
#define LINK_UNTIL(condition)                                                  \
	do {                                                                   \
		while (!(condition))                                           \
			link_once(true);                                       \
	} while (0)

/* One end of a channel. */
struct party {
	struct peal_channel *ch; /* seen last */
	uint64_t out, most;	 /* the next to be sent; how many in all */
	uint64_t in;		 /* the next to be received */
	size_t step;		 /* at most so many in one go; 0: all */
	size_t words;		 /* of eight bytes, in an item; 0: one */
	uint64_t random;	 /* not 0: batches of random sizes */
	/* Not 0: watermarks, waits and reservations of random sizes up to this,
	 * and verdicts of all kinds. */
	size_t moods;
	bool finishes; /* its sender, after the last */
	bool deaf;     /* it leaves what is there */
	int opens, ends, closes, reason;
	char text[PEAL_TEXT];
};

/* Callbacks whose user is a party. */
struct peal_channel_callbacks party_callbacks(struct party *party);
void party_open(struct peal_channel *ch, void *user);
long party_readable(struct peal_channel *ch, void *user);
long party_writable(struct peal_channel *ch, void *user);
void party_ended(struct peal_channel *ch, void *user);
void party_closed(struct peal_channel *ch, int reason, void *user);
/* Send as much as there is room for; take and check what is there. */
void party_send(struct party *party, struct peal_sender *tx);
long party_take(struct party *party, struct peal_receiver *rx);

/* A hello for numbers of eight bytes. */
struct peal_hello link_hello(enum peal_role role, uint64_t capacity);
/* Connect to link_path, once somebody serves there. */
void link_connect(struct peal_channel *ch, const struct peal_hello *hello);
/* Blocking: send, or receive and check, `n` numbers from `first` on. */
void link_put(struct peal_channel *ch, uint64_t first, uint64_t n);
void link_get(struct peal_channel *ch, uint64_t first, uint64_t n);

/* A pipe by which a child says "now": test and child each use one end. */
struct link_gate {
	int fds[2];
};
void link_gate_init(struct link_gate *gate);
void link_gate_open(struct link_gate *gate);
void link_gate_wait(struct link_gate *gate);  /* serves meanwhile */
void link_gate_sleep(struct link_gate *gate); /* does not */
void link_gate_finish(struct link_gate *gate);

#endif
