/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A client without a reactor: calls that wait until a channel is open. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "../ring/floor.h"
#include "internal.h"

#define MS UINT64_C(1000000)
#define LAST_DELAY_MS 50u
/* The client gives up after so many servers have hung up in a handshake. */
#define HANGUPS 8

static int wait_for_open(struct peal_channel *ch, uint64_t deadline)
{
	int ret = 0;

	do {
		ret = peal_socket_wait(ch->line.fd, deadline);
		if (ret == 0)
			ret = peal_join_open(ch);
	} while (ret == -EAGAIN);
	if (ret == 0 || peal_join_opened_late(ch))
		return 0;
	if (ret == -ETIMEDOUT)
		peal_join_late(ch,
			       "the server has not opened the channel in time");
	peal_life_detach(ch);
	return ret;
}

static int connect_through(struct peal_channel *ch, int fd, uint64_t deadline)
{
	struct peal_made made = { .fd = fd };
	struct peal_hello hello;
	int ret;

	peal_join_peer(ch, fd, &made.peer);
	hello = peal_join_ask(ch, &made.peer);
	ret = peal_join_hello(fd, &hello);
	while (ret == 0) {
		ret = peal_socket_wait(fd, deadline);
		if (ret == -ETIMEDOUT)
			ret = peal_join_late(ch, "the server does not answer");
		if (ret == 0)
			ret = peal_join_rings(ch, &made, &hello);
		if (ret != -EAGAIN)
			break;
		ret = 0;
	}
	if (ch->life.state == PEAL_CHANNEL_JOINING) {
		if (ret == 0)
			ret = wait_for_open(ch, deadline);
		else
			peal_life_detach(ch);
	} else if (ret < 0) {
		peal_made_close(&made);
	}
	return ret == -EDQUOT ? -EAGAIN : ret;
}

static void sleep_until(unsigned ms, uint64_t deadline)
{
	uint64_t now = peal_now(), ns = ms * MS;
	struct timespec ts = { 0 };

	if (deadline > now && deadline - now < ns)
		ns = deadline - now;
	ts.tv_nsec = (long)ns;
	nanosleep(&ts, NULL);
}

/* A server that has no room, or has hung up, is asked again. */
static int connect_by(struct peal_channel *ch, uint64_t deadline)
{
	unsigned delay = 1;
	int hangups = 0;

	for (;;) {
		int ret;

		ch->text[0] = '\0';
		ret = peal_socket_connect(ch->client.address, deadline);
		if (ret == -EAGAIN)
			return peal_join_late(ch, "the server's queue is full");
		if (ret >= 0)
			ret = connect_through(ch, ret, deadline);
		if (ret != -EBUSY && (ret != -EPIPE || ++hangups > HANGUPS))
			return ret;
		if (peal_now() >= deadline)
			return ch->text[0] ? -ETIMEDOUT
					   : peal_join_late(
						     ch, "the server hung up");
		sleep_until(delay, deadline);
		if (delay < LAST_DELAY_MS)
			delay *= 2;
	}
}

int peal_connect(struct peal_channel *ch, const char *address,
		 const struct peal_hello *hello, int timeout_ms)
{
	int ret = peal_join_begin(ch, address, hello, NULL);

	if (ret < 0)
		return ret;
	ret = connect_by(ch, peal_deadline(timeout_ms));
	return ret < 0 ? peal_join_reset(ch, ret) : 0;
}

int peal_connect_fd(struct peal_channel *ch, int fd,
		    const struct peal_hello *hello, int timeout_ms)
{
	int ret = peal_join_begin(ch, NULL, hello, NULL), copy;

	if (ret < 0)
		return ret;
	copy = peal_socket_adopt(fd);
	if (copy < 0)
		return peal_join_reset(ch, copy);
	ret = connect_through(ch, copy, peal_deadline(timeout_ms));
	return ret < 0 ? peal_join_reset(ch, ret) : 0;
}

int peal_reconnect(struct peal_channel *ch, int timeout_ms)
{
	if (ch->served.loop || !ch->client.address[0] ||
	    (ch->life.state != PEAL_CHANNEL_OPEN &&
	     ch->life.state != PEAL_CHANNEL_ABSENT))
		return -EINVAL;
	if (ch->out.mem.base && peal_end_error(&ch->sender.end) == -EPROTO)
		return -EPROTO;
	if (ch->life.state == PEAL_CHANNEL_OPEN)
		peal_life_detach(ch);
	ch->life.process = getpid(); /* a forked child may take over */
	return connect_by(ch, peal_deadline(timeout_ms));
}
