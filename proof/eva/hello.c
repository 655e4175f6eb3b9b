/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A hello of which nothing is known, on its way through the server, and the
 * shape of a ring of which nothing is known, on its way through the client.
 * Eva does not see by itself that a text has an end; so of each text in turn
 * the lengths 0, 1 and 63 are tried, and no end at all.
 */
#include <string.h>

#include "../../channel/internal.h"
#include "any.h"

const void *eva_position;
uint64_t eva_first;
bool eva_told;

extern const struct peal_wire_hello any_hello;
static const char served[64] = "sample/1";

/* Of so many bytes; if that is its size, it has no end. */
static void any_text(char *text, size_t size, size_t length)
{
	//@ loop unroll PEAL_TEXT;
	for (size_t i = 0; i < size; i++)
		text[i] = (char)(i < length ? any_int(1, 255) : 0);
}

static void serve(const struct peal_wire_hello *wire)
{
	struct peal_hello accept = { .item_size = eva_word }, hello;
	struct peal_geometry g;
	char text[PEAL_TEXT] = "";

	accept.role = (enum peal_role)any_int(0, PEAL_BOTH);
	accept.back_item_size = eva_word;
	memcpy(accept.tag, served, sizeof(served));
	peal_wire_misfit(&wire->start, PEAL_WIRE_HELLO, "none", text);
	if (peal_wire_get_hello(&hello, wire, text) < 0)
		return;
	//@ assert role: PEAL_SENDER <= hello.role <= PEAL_BOTH;
	//@ assert bells: 0 <= hello.bells <= PEAL_DOORBELL_SOCKET;
	peal_hello_match(&hello, &accept, text);
	peal_hello_geometry(&g, &hello, any_bool());
	(void)strlen(hello.tag);
	(void)strlen(hello.back_tag);
}

static void try_hello(size_t said, size_t tag, size_t back_tag, size_t name)
{
	struct peal_wire_hello wire = any_hello;

	any_text(wire.start.text, PEAL_TEXT, said);
	any_text(wire.tag, 64, tag);
	any_text(wire.back_tag, 64, back_tag);
	any_text(wire.name, 64, name);
	serve(&wire);
}

void main(void)
{
	static const size_t lengths[] = { 0, 1, 63, 64 };

	//@ loop unroll 4;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		size_t n = lengths[i];

		try_hello(0, n, 3, 0);
		try_hello(0, 3, n, 0);
		try_hello(0, 3, 0, n);
		try_hello(n, 3, 0, 0);
		try_hello(PEAL_TEXT - n, 3, 0, 0);
	}
}
