/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_HELLO_H
#define PEAL_PROOF_HELLO_H
/* What the server of hello.c and its clients have in common. */
#include "packet.h"

#define HELLO_BYTES_MAX (1u << 16) /* of a client's rings */

struct run {
	struct input in;
	struct peal_server server;
	unsigned seals; /* memfds that are sealed as they have to be */
};
extern struct run run;

/* A turn of the server. */
int hello_serve(void);

/* There is none yet. */
void clients_begin(void);
/* One of them does something. */
void clients_call(uint8_t what);
/* All leave. */
void clients_end(void);

#endif
