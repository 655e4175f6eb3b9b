/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TOOLS_RECV_H
#define PEAL_TOOLS_RECV_H
/* peal recv: what its parts share. */
#include <peal/inbox.h>

#include "relay.h"
#include "text.h"

/* Of a name as it is shown, or of a pid. */
#define SHOWN_NAME ((size_t)TEXT_GROWTH * NAME_SIZE + 1)
struct receive {
	const char *name, *tag;
	char address[ADDRESS_SIZE];
	size_t bytes;
	uint64_t senders, count; /* 0: without end */
	int timeout_ms;
	bool raw, from, oldest, until_gone, stats;

	struct peal_inbox_sender *places;
	struct peal_slot *slots;
	struct peal_inbox inbox;
	struct meter meter;
	uint64_t deadline; /* ms, if there is a timeout */
	uint64_t present;
	uint32_t next; /* raw: the number of the next message */
	bool joined;   /* there has been a sender */
	bool ended;    /* raw: the end of the stream has come */
	bool lost;     /* a sender died, or left in mid-stream */

	/* Of those that were refused, the last that was told of, when, and
	 * how many were not told of since then. */
	uint64_t told, untold;
	pid_t told_pid;
	int told_reason;
};

/* -- recv_tell.c */

/* @return bytes of `to`, which has room for SHOWN_NAME of them */
int recv_put_name(char *to, const struct peal_channel *from);
/* A sender has died, or left in mid-stream. */
void recv_tell_loss(const struct receive *r, const struct peal_channel *from,
		    int reason);
/* See struct peal_inbox_options. */
void recv_on_refused(const struct peal_peer *peer, int reason, const char *text,
		     void *user);
/* At the end: how many there were of whom nothing was told. */
void recv_tell_rest(const struct receive *r);
/* Why the inbox could not be opened. @return the exit status */
int recv_explain_open(const struct receive *r, int error);

#endif
