/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TOOLS_SEND_H
#define PEAL_TOOLS_SEND_H
/* peal send: what its parts share. */
#include <peal/inbox.h>

#include "relay.h"

struct send {
	const char *name, *who, *tag;
	char address[ADDRESS_SIZE];
	size_t bytes, max;
	int timeout_ms; /* -1: as long as it takes */
	int linger_ms;	/* -1: as usual, see send_out.c */
	bool raw, when_empty, stats;

	struct peal_outbox out;
	struct meter meter;
	uint32_t next;	  /* raw: the number of the next message */
	bool complained;  /* that there is no receiver */
	uint64_t stopped; /* when a signal was noticed, ms, or 0 */
};

/* Each returns 0, an exit status, or minus the signal to end by. */
int send_connect(struct send *s);
int send_line(struct send *s, const char *line, size_t size);
/* Room for a message of a stream, and what was filled in of it; 0: the end. */
int send_reserve(struct send *s, size_t size, void **room);
int send_chunk(struct send *s, size_t size);
/* Wait until all was taken. */
int send_flush(struct send *s);
/* Sleep until stdin is readable, a signal asks to stop, or a stream's receiver
 * is gone; another receiver is connected to meanwhile. */
int send_await_input(struct send *s);

/* The receiver of a stream is gone, or another one. */
bool send_is_cut(struct send *s);

#endif
