/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A sender of an inbox. A sender that waits notices the death of the receiver.
 * A sender that does not wait looks now and then whether the receiver is there.
 * After the receiver's death the sender connects again, and carries over what
 * was not released.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../reactor/floor.h"
#include "../ring/floor.h"
#include "internal.h"

#define MS UINT64_C(1000000)
#define DEFAULT_BYTES 65536u
#define CHECK_NS (100 * MS)
/* The time between two attempts to connect, while there is no receiver. */
#define PAUSE_NS (10 * MS)
/* How long an attempt may take, even if the caller does not wait. */
#define ATTEMPT_MS 50

static uint64_t coarse_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* -- connecting */

static int set_outbox_text(struct peal_outbox *out, int error, const char *text)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->channel.text, sizeof(out->channel.text), "%s", text);
	return error;
}

/* Wake the sender when a quarter of the ring is free. If each message that the
 * receiver takes woke the sender, the sender would sleep again after each
 * message. */
static void wait_for_many(struct peal_outbox *out)
{
	struct peal_sender *tx = &out->channel.sender;

	peal_sender_set_watermark(tx, peal_sender_capacity(tx) / 4);
}

int peal_outbox_open(struct peal_outbox *out, const char *address,
		     const char *name, const char *tag, size_t bytes,
		     int timeout_ms)
{
	uint64_t deadline = peal_deadline(timeout_ms);
	struct peal_hello hello = { .role = PEAL_SENDER, .item_size = 8 };
	int ret = -EPROTOTYPE;

	if (bytes == 0)
		bytes = DEFAULT_BYTES;
	hello.capacity = bytes / 8 + (bytes % 8 != 0);
	if (name && strlen(name) >= sizeof(hello.name))
		return set_outbox_text(out, -EINVAL,
				       "a name of more than 63 bytes");
	if (name)
		strcpy(hello.name, name);
	memset(out, 0, sizeof(*out));
	/* The inbox says whether messages have stamps. */
	for (int stamped = 0; stamped < 2 && ret == -EPROTOTYPE; stamped++) {
		char text[PEAL_TEXT];

		memcpy(text, out->channel.text, sizeof(text));
		if (peal_inbox_tag(hello.tag, tag, stamped) < 0)
			return set_outbox_text(out, -EINVAL,
					       "a tag that is too long");
		ret = peal_connect(&out->channel, address, &hello,
				   peal_left_ms(deadline));
		out->stamped = stamped;
		if (stamped && ret == -EPROTOTYPE)
			set_outbox_text(out, ret,
					text); /* the text of the first attempt
						  says more */
	}
	if (ret == 0)
		wait_for_many(out);
	return ret;
}

static bool is_absent(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -EPIPE ||
	       error == -EAGAIN || error == -EREMOTEIO || error == -ETIMEDOUT;
}

/* The receiver is gone: wait for the next one. */
static int connect_again(struct peal_outbox *out, uint64_t deadline)
{
	const struct timespec pause = { .tv_nsec = (long)PAUSE_NS };
	int ret;

	for (;;) {
		int ms = peal_left_ms(deadline);

		if (ms >= 0 && ms < ATTEMPT_MS)
			ms = ATTEMPT_MS;
		ret = peal_reconnect(&out->channel, ms);
		if (ret == 0)
			wait_for_many(out);
		if (ret == 0 || !is_absent(ret))
			return ret;
		if (peal_now() >= deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
}

/*
 * A sender that never has to wait would not notice the receiver's death. So
 * look now and then, and connect again. Without a receiver there may still be
 * room in the old ring.
 */
static int check_peer(struct peal_outbox *out)
{
	uint64_t now = coarse_now();
	int ret;

	if (!out->channel.client.address[0])
		return -EPIPE;
	if (now - out->checked < CHECK_NS)
		return 0;
	out->checked = now;
	if (peal_channel_check(&out->channel) == 0)
		return 0;
	ret = connect_again(out, 0);
	return ret == -ETIMEDOUT ? 0 : ret;
}

/* Wait with `ready`, and connect to the next receiver whenever one is gone. */
static int wait_and_reconnect(struct peal_outbox *out, uint64_t deadline,
			      int (*ready)(struct peal_outbox *out, size_t size,
					   int ms, void *room),
			      size_t size, void *room)
{
	int ret = check_peer(out);

	while (ret == 0) {
		/* Without a receiver there is the old ring, and no bell. */
		bool open = out->channel.life.state == PEAL_CHANNEL_OPEN;

		ret = ready(out, size, open ? peal_left_ms(deadline) : 0, room);
		if (ret != -EPIPE && (open || ret != -ETIMEDOUT))
			break;
		ret = connect_again(out, deadline);
	}
	return ret;
}

/* -- sending */

static size_t stamp_size(const struct peal_outbox *out)
{
	return out->stamped ? sizeof(uint64_t) : 0;
}

size_t peal_outbox_max(const struct peal_outbox *out)
{
	if (!out->channel.client.address[0])
		return 0;
	return peal_message_max(&out->channel.sender) - stamp_size(out);
}

static int room_for(struct peal_outbox *out, size_t size, int ms, void *room)
{
	return (peal_message_wait)(&out->channel.sender, size, ms, room);
}

int(peal_outbox_reserve)(struct peal_outbox *out, size_t size, int timeout_ms,
			 void *room)
{
	size_t stamp = stamp_size(out);
	char *at = NULL;
	int ret;

	if (out->channel.client.address[0] && size > peal_outbox_max(out))
		return -EMSGSIZE;
	ret = wait_and_reconnect(out, peal_deadline(timeout_ms), room_for,
				 size + stamp, &at);
	if (ret <= 0)
		return ret;
	at += stamp;
	memcpy(room, &at, sizeof(at));
	return ret;
}

/* The stamp stands at the front of the reserved bytes. */
static void put_stamp(struct peal_outbox *out)
{
	uint64_t now = peal_now();

	memcpy(peal_end_reserved(&out->channel.sender.end), &now, sizeof(now));
}

int peal_outbox_commit(struct peal_outbox *out, uint32_t kind, size_t size)
{
	struct peal_sender *tx = &out->channel.sender;
	int ret;

	if (!out->channel.client.address[0] || size > peal_outbox_max(out))
		return -EINVAL;
	ret = peal_message_stage(tx, kind, size + stamp_size(out));
	if (ret < 0)
		return ret;
	if (out->stamped)
		put_stamp(out);
	/* The message is published, even if the bell cannot be rung. */
	peal_message_publish(tx);
	return 0;
}

int peal_outbox_send(struct peal_outbox *out, uint32_t kind, const void *data,
		     size_t size, int timeout_ms)
{
	char *room = NULL;
	int ret = peal_outbox_reserve(out, size, timeout_ms, &room);

	if (ret < 0)
		return ret;
	if (size > 0)
		memcpy(room, data, size);
	return peal_outbox_commit(out, kind, size);
}

/* -- waiting until all was taken */

static int all_taken(struct peal_outbox *out, size_t size, int ms, void *room)
{
	struct peal_sender *tx = &out->channel.sender;
	ssize_t ret;

	(void)size;
	if (out->channel.life.state != PEAL_CHANNEL_OPEN)
		return -EPIPE;
	ret = (peal_sender_wait)(tx, peal_sender_capacity(tx), ms, room);
	return ret < 0 ? (int)ret : 1;
}

/* The receiver may have taken the last message before it was gone. */
static bool nothing_left(const struct peal_outbox *out)
{
	const struct peal_end *end = &out->channel.sender.end;

	return out->channel.client.address[0] && !peal_end_error(end) &&
	       peal_end_all_taken(end);
}

static int flushed(struct peal_outbox *out, size_t size, int ms, void *room)
{
	int ret = all_taken(out, size, ms, room);

	return ret == -EPIPE && nothing_left(out) ? 1 : ret;
}

int peal_outbox_flush(struct peal_outbox *out, int timeout_ms)
{
	void *room;
	int ret;

	if (nothing_left(out))
		return 0;
	ret = wait_and_reconnect(out, peal_deadline(timeout_ms), flushed, 0,
				 &room);
	return ret < 0 ? ret : 0;
}

int peal_outbox_send_when_empty(struct peal_outbox *out, uint32_t kind,
				const void *data, size_t size, int timeout_ms)
{
	void *room;
	int ret;

	if (out->channel.client.address[0] && size > peal_outbox_max(out))
		return -EMSGSIZE;
	ret = wait_and_reconnect(out, peal_deadline(timeout_ms), all_taken, 0,
				 &room);
	return ret < 0 ? ret : peal_outbox_send(out, kind, data, size, 0);
}

int peal_outbox_close(struct peal_outbox *out, int timeout_ms)
{
	int ret = 0;

	/* A forked child must not change the ring, and has no bell to wait on.
	 */
	if (out->channel.client.address[0] && !peal_channel_here(&out->channel))
		ret = -ECHILD;
	else if (out->channel.client.address[0])
		ret = peal_outbox_flush(out, timeout_ms);
	peal_channel_close(&out->channel);
	memset(out, 0, sizeof(*out));
	return ret;
}
