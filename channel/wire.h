/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_CHANNEL_WIRE_H
#define PEAL_CHANNEL_WIRE_H
/*
 * What the two sides of a handshake say to each other, in four packets:
 *
 *	client	HELLO	what the client wants
 *	server	ANSWER	the rings, with their fds; or why not
 *	client	READY	the client has verified and sealed the rings, and has
 *			published what it carries over; or why not
 *	server	OPEN	the server has opened the channel; or why not
 *
 * From OPEN on the socket carries nothing but bells. A refusal with the status
 * -EBUSY, in ANSWER or in OPEN, asks the client to connect again: the server
 * had no room for its handshake. A change here is a new PEAL_WIRE_VERSION;
 * magic, version, endian, status and text stand where they stand in all of
 * them.
 */
#include <peal/channel.h>

#define PEAL_WIRE_VERSION 2u
#define PEAL_WIRE_ENDIAN 0x01020304u
#define PEAL_WIRE_HELLO UINT64_C(0x4f4c4c454c414550)  /* "PEALELLO" */
#define PEAL_WIRE_ANSWER UINT64_C(0x52534e414c414550) /* "PEALANSR" */
#define PEAL_WIRE_READY UINT64_C(0x594445524c414550)  /* "PEALREDY" */
#define PEAL_WIRE_OPEN UINT64_C(0x4e45504f4c414550)   /* "PEALOPEN" */

/* How each of them begins. */
struct peal_wire_start {
	uint64_t magic;
	uint32_t version;
	uint32_t endian;
	int32_t status;	 /* 0, or an errno negated */
	uint32_t layout; /* PEAL_LAYOUT_VERSION */
	char text[PEAL_TEXT];
};

struct peal_wire_hello {
	struct peal_wire_start start;
	uint32_t role, bells;
	uint64_t item_size, capacity, back_item_size, back_capacity;
	char tag[64], back_tag[64], name[64];
};

struct peal_wire_ring {
	uint64_t capacity, item_size, items_offset;
	uint32_t flags, mem; /* of the geometry, of the memory */
	char tag[64];
};

/*
 * The ring to the server first, then that to the client; one that is not
 * there is all zero. Fds: of each ring the memfd, and with eventfds the data
 * bell and the space bell.
 */
struct peal_wire_answer {
	struct peal_wire_start start;
	uint32_t bells, reserved;
	struct peal_wire_ring ring[2];
};

struct peal_wire_ready {
	struct peal_wire_start start;
};

struct peal_wire_open {
	struct peal_wire_start start;
};

_Static_assert(sizeof(struct peal_wire_start) == 184, "wire");
_Static_assert(sizeof(struct peal_wire_hello) == 416, "wire");
_Static_assert(sizeof(struct peal_wire_answer) == 384, "wire");

void peal_wire_begin(struct peal_wire_start *start, uint64_t magic, int status,
		     const char *text);
/*
 * Is it what it should be?
 * @param text  why not, or what the other side says
 * @return      0, the status of the other side, -EPROTO, -EPROTONOSUPPORT
 */
int peal_wire_check(const struct peal_wire_start *start, uint64_t magic,
		    char *text);

/*
 * It has not the size that it should have; that of another version may have
 * another one. @return -EPROTONOSUPPORT, or -EPROTO with this text
 */
int peal_wire_misfit(const struct peal_wire_start *start, uint64_t magic,
		     const char *what, char *text);

void peal_wire_put_hello(struct peal_wire_hello *wire,
			 const struct peal_hello *hello);
/* @return 0, -EPROTO, -EPROTONOSUPPORT, -EINVAL; the text says why */
int peal_wire_get_hello(struct peal_hello *hello,
			const struct peal_wire_hello *wire, char *text);

/* Can it be? @return 0, -EINVAL and a text */
int peal_hello_check(const struct peal_hello *hello, char *text);
/* Does the server serve it? @return 0, -EPROTOTYPE and a text */
int peal_hello_match(const struct peal_hello *hello,
		     const struct peal_hello *accept, char *text);
/* The geometry of the ring to the server, or of the one to the client. */
void peal_hello_geometry(struct peal_geometry *geometry,
			 const struct peal_hello *hello, bool back);

#endif
