/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages: the functions that are not inline in message.h.
 *
 * A sender publishes whole records. So the items that a receiver knows of
 * always end behind a record. In memory that is not mapped twice, a record that
 * does not fit in before the end of the memory begins at the front. A wrap
 * record fills the gap before the end:
 *
 *	| free |   messages   | wrap |		before
 *	| the next one |  messages   | wrap |	after
 *
 * The sender publishes the wrap record together with the next message, where
 * both fit into the ring at once. Otherwise the sender publishes the wrap
 * record alone first.
 */
#include <errno.h>
#include <string.h>

#include <peal/message.h>

#include "internal.h"

#define UNIT sizeof(uint64_t)
#define TAG "message/1"

int peal_message_geometry(struct peal_geometry *geometry, size_t bytes,
			  const char *tag)
{
	bool tagged = tag && tag[0] != '\0';

	if (bytes == 0 ||
	    (tagged && strlen(tag) >= sizeof(geometry->tag) - sizeof(TAG)))
		return -EINVAL;
	geometry->capacity = bytes / UNIT + (bytes % UNIT != 0);
	geometry->item_size = UNIT;
	memset(geometry->tag, 0, sizeof(geometry->tag));
	strcpy(geometry->tag, TAG);
	if (tagged) {
		strcat(geometry->tag, ":");
		strcat(geometry->tag, tag);
	}
	return 0;
}

/* -- sender */

/* @return the units up to the end of the memory, if the next record, of so many
 *         units, does not fit in before that end; or else 0 */
static uint64_t gap_before(const struct peal_end *end, uint64_t units)
{
	uint64_t index = (end->position + end->message.staged) & end->mask;

	return units <= end->wrap - index ? 0 : end->capacity - index;
}

static void fill_gap(struct peal_end *end, uint64_t units)
{
	uint64_t index = (end->position + end->message.staged) & end->mask;
	uint64_t *header = (uint64_t *)(void *)(end->items + UNIT * index);

	__atomic_store_n(header, units << 32 | PEAL_MESSAGE_WRAP,
			 __ATOMIC_RELAXED);
}

/*
 * Reserve a record of so many units, if `look` finds that enough units are
 * free. A record may not fit into the ring together with its gap. Then the gap
 * is published alone first, and the record begins at the front.
 * @param need  then how many units have to be free
 * @return      1, 0 too few are free, or an error
 */
static int reserve(struct peal_end *end, uint64_t units, uint64_t *need,
		   ssize_t (*look)(struct peal_end *end, uint64_t n))
{
	for (;;) {
		uint64_t gap = gap_before(end, units);
		uint64_t all = end->message.staged + gap + units;
		bool alone = all > end->capacity;
		ssize_t ret;

		if (alone && end->message.staged > 0)
			return -ENOBUFS;
		*need = alone ? gap : all;
		ret = look(end, *need);
		if (ret < 0 || (uint64_t)ret < *need)
			return ret < 0 ? (int)ret : 0;
		if (gap > 0)
			fill_gap(end, gap);
		if (!alone) {
			end->message.start = end->message.staged + gap;
			end->message.reserved = units;
			return 1;
		}
		peal_end_publish(end, gap);
	}
}

/* @return the units of a message, or an error if the message can never fit in
 */
static int64_t units_of(const struct peal_end *end, size_t size)
{
	uint64_t units = PEAL_MESSAGE_UNITS(size);

	if (end->item_size != UNIT)
		return -EPROTOTYPE;
	if (size > PEAL_MESSAGE_MAX || units > end->capacity)
		return -EMSGSIZE;
	return (int64_t)units;
}

int peal_end_room(struct peal_end *end, size_t size)
{
	int64_t units = units_of(end, size);
	uint64_t need;

	end->message.reserved = 0;
	if (units < 0)
		return (int)units;
	return reserve(end, (uint64_t)units, &need, peal_end_refresh);
}

static int reserve_or_sleep(struct peal_end *end, uint64_t units,
			    int timeout_ms)
{
	uint64_t deadline = 0, need;
	int ret;

	while ((ret = reserve(end, units, &need, peal_end_refresh)) == 0) {
		ssize_t n;

		if (timeout_ms > 0 && deadline == 0)
			deadline = peal_deadline(timeout_ms);
		else if (timeout_ms > 0)
			timeout_ms = peal_left_ms(deadline);
		n = peal_end_wait(end, need, timeout_ms);
		if (n < 0)
			return (int)n;
	}
	return ret;
}

int(peal_message_wait)(struct peal_sender *tx, size_t size, int timeout_ms,
		       void *room)
{
	struct peal_end *end = &tx->end;
	int64_t units = units_of(end, size);
	uint64_t need;
	void *data;
	int ret;

	end->message.reserved = 0;
	if (units < 0)
		return (int)units;
	if (timeout_ms == 0)
		ret = reserve(end, (uint64_t)units, &need, peal_end_reserve);
	else
		ret = reserve_or_sleep(end, (uint64_t)units, timeout_ms);
	if (ret <= 0)
		return ret < 0 ? ret : -ETIMEDOUT;
	data = end->items +
	       UNIT * ((end->position + end->message.start) & end->mask) + UNIT;
	memcpy(room, &data, sizeof(data));
	return 1;
}

/* -- receiver */

/*
 * A record that is not a valid message has to be a valid wrap record. A wrap
 * record stands only in memory that is not mapped twice, ends exactly at the
 * end of this memory, and is published whole. A wrap record never stands at the
 * front, where a record of any size fits in.
 */
int peal_end_skip(struct peal_end *end, uint64_t record, uint64_t *at)
{
	uint64_t index = *at & end->mask, rest = end->capacity - index;

	if ((uint32_t)record != PEAL_MESSAGE_WRAP || record >> 32 != rest ||
	    index == 0 || end->wrap != end->capacity || rest > end->limit - *at)
		return peal_end_break(end);
	*at += rest;
	return 0;
}

int peal_message_receive(struct peal_receiver *rx, int timeout_ms,
			 struct peal_message *m)
{
	uint64_t deadline = 0;
	int ret;

	while ((ret = peal_message_peek(rx, m)) == 0) {
		ssize_t n;

		if (timeout_ms == 0)
			return peal_receiver_ended(rx) ? rx->end.end_reason
						       : -ETIMEDOUT;
		if (timeout_ms > 0 && deadline == 0)
			deadline = peal_deadline(timeout_ms);
		else if (timeout_ms > 0)
			timeout_ms = peal_left_ms(deadline);
		n = peal_end_wait(&rx->end, 1, timeout_ms);
		if (n <= 0)
			return (int)n;
	}
	return ret;
}
