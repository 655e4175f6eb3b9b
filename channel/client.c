/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A client on a reactor: it connects, and connects again where the user asks
 * for that. The socket and a timer drive its handshake.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../reactor/floor.h"
#include "../ring/floor.h"
#include "internal.h"

#define MS UINT64_C(1000000)
#define FIRST_DELAY_MS 10u
/* How long a server may take to answer a hello; and to open the channel,
 * however often the client has to connect for that. */
#define ANSWER_NS (10000 * MS)
#define OPEN_NS (60000 * MS)
/* The time between two attempts to find room at the server. */
#define AGAIN_NS (2 * MS)

static void connect_later(struct peal_channel *ch, uint64_t delay)
{
	peal_reactor_set_timer(ch->served.loop, &ch->client.timer,
			       delay ? delay : 1, 0, 0);
}

static void wait_for_server(struct peal_channel *ch, uint64_t most)
{
	uint64_t until = peal_now() + most;

	if (until > ch->client.connect_by)
		until = ch->client.connect_by;
	peal_reactor_set_timer(ch->served.loop, &ch->client.timer, until, 0,
			       PEAL_TIMER_ABSOLUTE);
}

/* Is it of no use to connect again? After a final error the next server would
 * answer the same. After any other error a server that is started later, or has
 * room later, may open the channel. */
static bool is_final(int reason)
{
	return reason == 0 || reason == -EPERM || reason == -EPROTO ||
	       reason == -EPROTOTYPE || reason == -EPROTONOSUPPORT ||
	       reason == -EINVAL || reason == -ERANGE;
}

/* The connection is gone, or an attempt to connect has failed. */
static enum peal_outcome client_lost(struct peal_channel *ch, int reason)
{
	uint64_t delay = ch->client.delay_ms;

	if (!ch->client.retry_ms || is_final(reason) ||
	    peal_end_error(&ch->sender.end) == -EPROTO)
		return PEAL_OUTCOME_RELEASE;
	if (!delay)
		delay = FIRST_DELAY_MS;
	if (delay > ch->client.retry_ms)
		delay = ch->client.retry_ms;
	ch->client.delay_ms = (unsigned)delay * 2;
	ch->client.connect_by = 0;
	/* The clients of a server do not all come at the same moment. */
	connect_later(ch, delay * MS - peal_now() % (delay * MS / 4 + 1));
	return PEAL_OUTCOME_RETRY;
}

/* The life of the channel closes the socket. */
static void client_part(struct peal_channel *ch, bool stays)
{
	(void)ch;
	(void)stays;
}

static void fail_attempt(struct peal_channel *ch, int ret)
{
	if (ret != -EBUSY) {
		peal_life_fail(ch, ret == -EDQUOT ? -EAGAIN : ret);
	} else if (peal_now() < ch->client.connect_by) {
		/* The server has no room. The same attempt goes on, with
		 * another connection. */
		peal_life_detach(ch);
		connect_later(ch, AGAIN_NS);
	} else {
		peal_life_fail(ch, -ETIMEDOUT);
	}
}

static int receive_answer(struct peal_channel *ch)
{
	struct peal_hello hello = peal_join_ask(ch, &ch->peer);
	struct peal_made made = { .fd = ch->line.fd, .peer = ch->peer };
	int ret = peal_join_rings(ch, &made, &hello);

	if (ch->life.state == PEAL_CHANNEL_JOINING) {
		wait_for_server(ch, OPEN_NS);
	} else if (ret != -EAGAIN) {
		made.fd = -1; /* the channel closes the socket */
		peal_made_close(&made);
	}
	return ret;
}

static void start_serving(struct peal_channel *ch)
{
	int ret;

	peal_reactor_cancel_timer(ch->served.loop, &ch->client.timer);
	ch->client.delay_ms = 0;
	ch->client.connect_by = 0;
	ret = peal_served_start(ch);
	if (ret < 0)
		peal_life_fail(ch, ret);
}

/* One event may have brought more than one packet. */
static void client_packet(struct peal_channel *ch)
{
	int ret = 0;

	if (ch->life.state == PEAL_CHANNEL_PENDING)
		ret = receive_answer(ch);
	if (ret == 0)
		ret = peal_join_open(ch);
	if (ret == -EAGAIN)
		return;
	if (ret < 0)
		fail_attempt(ch, ret);
	else
		start_serving(ch);
}

static int connect_now(struct peal_channel *ch)
{
	struct peal_hello hello;
	int ret = peal_socket_connect(ch->client.address, 0);

	if (ret == -EAGAIN) {
		snprintf(ch->text, sizeof(ch->text),
			 "the server's queue is full");
		return -EBUSY;
	}
	if (ret < 0)
		return ret;
	ch->line.fd = ret;
	peal_join_peer(ch, ch->line.fd, &ch->peer);
	hello = peal_join_ask(ch, &ch->peer);
	ret = peal_join_lacking(peal_served_watch_socket(ch), ch->text);
	if (ret == 0)
		ret = peal_join_hello(ch->line.fd, &hello);
	return ret;
}

static void on_client_timer(struct peal_source *source, uint64_t expirations,
			    void *user)
{
	struct peal_channel *ch = user;
	int ret;

	(void)source;
	(void)expirations;
	if (ch->life.state == PEAL_CHANNEL_PENDING) {
		peal_join_late(ch, "the server does not answer");
		peal_life_fail(ch, -ETIMEDOUT);
		return;
	}
	if (ch->life.state == PEAL_CHANNEL_JOINING) {
		if (peal_join_opened_late(ch)) {
			start_serving(ch);
			return;
		}
		peal_join_late(ch,
			       "the server has not opened the channel in time");
		peal_life_fail(ch, -ETIMEDOUT);
		return;
	}
	if (ch->life.state != PEAL_CHANNEL_ABSENT)
		return;
	peal_life_begin(ch, ch->life.owner);
	if (ch->client.connect_by == 0)
		ch->client.connect_by = peal_now() + OPEN_NS;
	wait_for_server(ch, ANSWER_NS);
	ret = connect_now(ch);
	if (ret < 0)
		fail_attempt(ch, ret);
}

static const struct peal_channel_owner client_owner = {
	.packet = client_packet,
	.lost = client_lost,
	.part = client_part,
};

int peal_connect_on(struct peal_channel *ch, struct peal_reactor *loop,
		    const char *address, const struct peal_hello *hello,
		    const struct peal_channel_callbacks *callbacks,
		    unsigned retry_ms)
{
	int ret;

	if (ch->life.state != PEAL_CHANNEL_UNUSED)
		return -EBUSY;
	if (((unsigned)hello->role & PEAL_RECEIVER) && !callbacks->on_readable)
		return -EINVAL;
	ret = peal_join_begin(ch, address, hello, &client_owner);
	if (ret < 0)
		return ret;
	ch->served.loop = loop;
	ch->served.callbacks = *callbacks;
	ch->user = callbacks->user;
	ch->client.retry_ms = retry_ms;
	ret = peal_reactor_add_timer(loop, &ch->client.timer, on_client_timer,
				     ch);
	if (ret < 0)
		return peal_join_reset(ch, ret);
	peal_life_detach(ch);
	connect_later(ch, 0);
	return 0;
}
