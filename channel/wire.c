/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the packets of a handshake say. Packets are judged in private copies.
 * Texts and names of strangers reach terminals in the end, so a text that is
 * not printable is dropped.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../ring/floor.h"
#include "internal.h"

static bool printable(const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return length < size;
}

void peal_wire_begin(struct peal_wire_start *start, uint64_t magic, int status,
		     const char *text)
{
	*start = (struct peal_wire_start){
		.magic = magic,
		.version = PEAL_WIRE_VERSION,
		.endian = PEAL_WIRE_ENDIAN,
		.status = status,
		.layout = PEAL_LAYOUT_VERSION,
	};
	if (text)
		snprintf(start->text, sizeof(start->text), "%s", text);
}

static int set_text(char *text, int error, const char *why)
{
	snprintf(text, PEAL_TEXT, "%s", why);
	return error;
}

int peal_wire_check(const struct peal_wire_start *start, uint64_t magic,
		    char *text)
{
	if (start->magic == __builtin_bswap64(magic))
		return set_text(text, -EPROTONOSUPPORT, "the other byte order");
	if (start->magic != magic || start->endian != PEAL_WIRE_ENDIAN)
		return set_text(text, -EPROTO, "not a packet of peal's");
	if (start->status > 0 || start->status < -4095)
		return set_text(text, -EPROTO, "an impossible status");
	if (start->status < 0) {
		set_text(text, 0,
			 printable(start->text, sizeof(start->text))
				 ? start->text
				 : "");
		return start->status;
	}
	if (start->version == PEAL_WIRE_VERSION &&
	    start->layout == PEAL_LAYOUT_VERSION)
		return 0;
	snprintf(text, PEAL_TEXT,
		 "handshake %u and ring layout %u, the peer has %u and %u",
		 PEAL_WIRE_VERSION, PEAL_LAYOUT_VERSION, start->version,
		 start->layout);
	return -EPROTONOSUPPORT;
}

bool peal_wire_is_refusal(int status)
{
	switch (status) {
	case -EPERM:
	case -EPROTOTYPE:
	case -EPROTONOSUPPORT:
	case -EPROTO:
	case -EINVAL:
	case -EBUSY:
	case -EAGAIN:
		return true;
	default:
		return false;
	}
}

int peal_wire_misfit(const struct peal_wire_start *start, uint64_t magic,
		     const char *what, char *text)
{
	int ret = peal_wire_check(start, magic, text);

	if (ret == -EPROTONOSUPPORT)
		return ret;
	return set_text(text, -EPROTO, what);
}

/* -- hellos */

/* The bytes behind the end of the text are private to the client, so they are
 * not sent: they stay zero. */
static void put_text(char to[64], const char from[64])
{
	memcpy(to, from, strnlen(from, 63));
}

void peal_wire_put_hello(struct peal_wire_hello *wire,
			 const struct peal_hello *hello)
{
	memset(wire, 0, sizeof(*wire));
	peal_wire_begin(&wire->start, PEAL_WIRE_HELLO, 0, NULL);
	wire->role = hello->role;
	wire->bells = hello->bells;
	wire->item_size = hello->item_size;
	wire->capacity = hello->capacity;
	wire->back_item_size = hello->back_item_size;
	wire->back_capacity = hello->back_capacity;
	put_text(wire->tag, hello->tag);
	put_text(wire->back_tag, hello->back_tag);
	put_text(wire->name, hello->name);
}

int peal_wire_get_hello(struct peal_hello *hello,
			const struct peal_wire_hello *wire, char *text)
{
	struct peal_hello h = { 0 };
	int ret = peal_wire_check(&wire->start, PEAL_WIRE_HELLO, text);

	if (wire->start.status != 0)
		return set_text(text, -EPROTO, "a hello with a status");
	if (ret < 0)
		return ret;
	if (wire->role < PEAL_SENDER || wire->role > PEAL_BOTH)
		return set_text(text, -EINVAL, "no such role");
	if (wire->bells > PEAL_DOORBELL_SOCKET)
		return set_text(text, -EINVAL, "no such kind of doorbell");
	h.role = (enum peal_role)wire->role;
	h.bells = (enum peal_doorbell_kind)wire->bells;
	h.item_size = wire->item_size;
	h.capacity = wire->capacity;
	h.back_item_size = wire->back_item_size;
	h.back_capacity = wire->back_capacity;
	memcpy(h.tag, wire->tag, sizeof(h.tag));
	memcpy(h.back_tag, wire->back_tag, sizeof(h.back_tag));
	memcpy(h.name, wire->name, sizeof(h.name));
	ret = peal_hello_check(&h, text);
	if (ret == 0)
		*hello = h;
	return ret;
}

int peal_hello_check(const struct peal_hello *hello, char *text)
{
	if (hello->role < PEAL_SENDER || hello->role > PEAL_BOTH)
		return set_text(text, -EINVAL, "no such role");
	if ((unsigned)hello->bells > PEAL_DOORBELL_SOCKET)
		return set_text(text, -EINVAL, "no such kind of doorbell");
	if (hello->item_size == 0)
		return set_text(text, -EINVAL, "an item size of 0");
	if (!printable(hello->tag, sizeof(hello->tag)) ||
	    !printable(hello->back_tag, sizeof(hello->back_tag)) ||
	    !printable(hello->name, sizeof(hello->name)))
		return set_text(text, -EINVAL, "a tag or name that is no text");
	return 0;
}

void peal_hello_geometry(struct peal_geometry *geometry,
			 const struct peal_hello *hello, bool back)
{
	bool other = back && hello->role == PEAL_BOTH && hello->back_item_size;

	*geometry = (struct peal_geometry){
		.item_size = other ? hello->back_item_size : hello->item_size,
		.capacity = other ? hello->back_capacity : hello->capacity,
	};
	memcpy(geometry->tag, other ? hello->back_tag : hello->tag,
	       sizeof(geometry->tag));
	memcpy(geometry->name, hello->name, sizeof(geometry->name));
}

static int match_ring(const struct peal_hello *hello,
		      const struct peal_hello *accept, bool back, char *text)
{
	const char *which = back ? "back " : "";
	struct peal_geometry asked, served;
	struct peal_hello alike = *accept;

	alike.role = hello->role;
	peal_hello_geometry(&asked, hello, back);
	peal_hello_geometry(&served, &alike, back);
	if (served.item_size && asked.item_size != served.item_size) {
		snprintf(text, PEAL_TEXT,
			 "%sitem size: server %" PRIu64 ", client %" PRIu64,
			 which, served.item_size, asked.item_size);
		return -EPROTOTYPE;
	}
	if (served.tag[0] && strcmp(asked.tag, served.tag) != 0) {
		snprintf(text, PEAL_TEXT, "%stag: server \"%s\", client \"%s\"",
			 which, served.tag, asked.tag);
		return -EPROTOTYPE;
	}
	return 0;
}

static const char *role_name(enum peal_role role)
{
	static const char *const names[] = { "any", "sender", "receiver",
					     "both" };

	return names[role];
}

int peal_hello_match(const struct peal_hello *hello,
		     const struct peal_hello *accept, char *text)
{
	int ret = 0;

	if (accept->role && accept->role != hello->role) {
		snprintf(text, PEAL_TEXT, "role: server wants %s, client is %s",
			 role_name(accept->role), role_name(hello->role));
		return -EPROTOTYPE;
	}
	if (hello->role & PEAL_SENDER)
		ret = match_ring(hello, accept, false, text);
	if (ret == 0 && (hello->role & PEAL_RECEIVER))
		ret = match_ring(hello, accept, true, text);
	return ret;
}
