/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * peal send: the way out. All waits are in slices, between which a signal is
 * noticed, and in which a receiver that has died is found out.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "send.h"

#define SLICE_MS 100
#define RETRY_MS 20
/* After which people want to know what it waits for. */
#define PATIENCE_MS 1000u

static int explain(const struct send *s, int error)
{
	const char *text = s->out.channel.text;

	switch (error) {
	case -EPERM:
	case -EPROTOTYPE:
	case -EPROTONOSUPPORT:
	case -EAGAIN:
		complain("%s refuses: %s", s->address,
			 text[0] ? text : strerror(-error));
		return EXIT_REFUSED;
	case -EACCES:
		complain("%s: %s", s->address, strerror(-error));
		return EXIT_REFUSED;
	case -EINVAL:
	case -ENAMETOOLONG:
		complain("%s", text[0] ? text : strerror(-error));
		return EXIT_USAGE;
	case -EPROTO:
	case -EPIPE:
		complain("the receiver broke off%s%s", text[0] ? ": " : "",
			 text);
		return EXIT_PEER;
	default:
		complain("cannot send to %s: %s", s->address, strerror(-error));
		return EXIT_FAILURE;
	}
}

/* -- connecting */

static bool is_over(uint64_t began, int timeout_ms)
{
	return timeout_ms >= 0 && meter_now() - began >= (uint64_t)timeout_ms;
}

/* What is left of it, but no longer than a slice. */
static int slice(uint64_t began, int timeout_ms)
{
	uint64_t gone = meter_now() - began, left;

	if (timeout_ms < 0)
		return SLICE_MS;
	left = gone < (uint64_t)timeout_ms ? (uint64_t)timeout_ms - gone : 0;
	return left < SLICE_MS ? (int)left : SLICE_MS;
}

static void be_patient(struct send *s, uint64_t began)
{
	if (s->complained || meter_now() - began < PATIENCE_MS)
		return;
	s->complained = true;
	complain("nobody receives at %s; waiting", s->address);
}

static bool is_absent(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -EPIPE;
}

static int try_to_connect(struct send *s, uint64_t began)
{
	int left = -1, ret = address_check(s->name, s->address, false);

	if (s->timeout_ms >= 0) {
		uint64_t gone = meter_now() - began;

		left = gone < (uint64_t)s->timeout_ms
			       ? s->timeout_ms - (int)gone
			       : 0;
		left = left < RETRY_MS ? RETRY_MS : left;
	}
	if (ret == -ENOENT)
		return ret;
	if (ret < 0)
		return -ECANCELED; /* it has complained */
	return peal_outbox_open(&s->out, s->address, s->who, s->tag, s->bytes,
				left);
}

int send_connect(struct send *s)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
	uint64_t began = meter_now();
	int ret;

	for (;;) {
		ret = try_to_connect(s, began);
		if (!is_absent(ret) || is_over(began, s->timeout_ms))
			break;
		be_patient(s, began);
		nanosleep(&pause, NULL);
	}
	s->complained = false;
	if (ret == 0)
		return 0;
	if (ret == -ECANCELED)
		return EXIT_FAILURE;
	if (!is_absent(ret) && ret != -ETIMEDOUT)
		return explain(s, ret);
	complain("%s %s",
		 ret == -ETIMEDOUT ? "no answer at" : "nobody receives at",
		 s->address);
	return EXIT_TIMEOUT;
}

/* -- waiting for the receiver */

bool send_is_cut(struct send *s)
{
	return s->raw && (s->out.channel.connects > 1 ||
			  peal_channel_check(&s->out.channel) < 0);
}

static int cut(void)
{
	complain("the receiver is gone, and the stream was not at its end");
	return EXIT_PEER;
}

static int late(const struct send *s, const char *what, int timeout_ms)
{
	const struct peal_channel *ch = &s->out.channel;

	complain("%s, for %g seconds%s", what, (double)timeout_ms / 1000,
		 peal_channel_fd(ch) < 0 ? ": it is gone" : "");
	return EXIT_TIMEOUT;
}

/*
 * After a slice in vain.
 * @return 0 go on, an exit status, or minus the signal to end by
 */
static int think(struct send *s, uint64_t began, int timeout_ms,
		 const char *what)
{
	meter_tick(&s->meter);
	if (send_is_cut(s))
		return cut();
	if (is_over(began, timeout_ms))
		return late(s, what, timeout_ms);
	if (stop_asked())
		return -SIGTERM;
	if (peal_channel_fd(&s->out.channel) < 0)
		be_patient(s, began);
	return 0;
}

static const char no_room[] = "the receiver has made no room";

int send_line(struct send *s, const char *line, size_t size)
{
	uint64_t began = meter_now();
	int ret;

	for (;;) {
		int ms = slice(began, s->timeout_ms);

		if (s->when_empty)
			ret = peal_outbox_send_when_empty(&s->out, 0, line,
							  size, ms);
		else
			ret = peal_outbox_send(&s->out, 0, line, size, ms);
		if (ret != -ETIMEDOUT)
			break;
		ret = think(s, began, s->timeout_ms, no_room);
		if (ret != 0)
			return ret;
	}
	if (ret < 0)
		return explain(s, ret);
	s->complained = false;
	meter_count(&s->meter, size);
	return 0;
}

int send_reserve(struct send *s, size_t size, void **room)
{
	uint64_t began = meter_now();
	int ret;

	while ((ret = peal_outbox_reserve(&s->out, size,
					  slice(began, s->timeout_ms), room)) ==
	       -ETIMEDOUT) {
		ret = think(s, began, s->timeout_ms, no_room);
		if (ret != 0)
			return ret;
	}
	if (send_is_cut(s))
		return cut();
	return ret < 0 ? explain(s, ret) : 0;
}

static int send_end(struct send *s)
{
	void *room;
	int ret = send_reserve(s, 0, &room);

	if (ret != 0)
		return ret;
	return peal_outbox_commit(&s->out, s->next++, 0);
}

int send_chunk(struct send *s, size_t size)
{
	if (size == 0)
		return send_end(s);
	peal_outbox_commit(&s->out, s->next++, size);
	meter_count(&s->meter, size);
	return 0;
}

int send_flush(struct send *s)
{
	uint64_t began = meter_now();
	int ret;

	while ((ret = peal_outbox_flush(&s->out, slice(began, s->linger_ms))) ==
	       -ETIMEDOUT) {
		/* It may have left just after it had taken the last one. */
		if (send_is_cut(s))
			return peal_outbox_flush(&s->out, 0) == 0 ? 0 : cut();
		ret = think(s, began, s->linger_ms,
			    "the receiver has not taken all of it");
		/* One signal does not end this; the second one kills. */
		if (ret > 0)
			return ret;
	}
	if (ret < 0)
		return explain(s, ret);
	return stop_asked() ? -SIGTERM : 0;
}

/* -- waiting for stdin */

/* Somebody may be back to whom we owe something. */
static int look_for_receiver(struct send *s)
{
	int ret = peal_outbox_flush(&s->out, 0);

	return ret < 0 && ret != -ETIMEDOUT ? explain(s, ret) : 0;
}

int send_await_input(struct send *s)
{
	for (;;) {
		bool gone = peal_channel_check(&s->out.channel) < 0;
		struct pollfd pfds[] = {
			{ .fd = STDIN_FILENO, .events = POLLIN },
			{ .fd = stop_fd(), .events = POLLIN },
			{ .fd = gone ? -1 : peal_channel_fd(&s->out.channel),
			  .events = POLLRDHUP },
		};
		int ret;

		if (send_is_cut(s))
			return cut();
		ret = gone ? look_for_receiver(s) : 0;
		if (ret != 0)
			return ret;
		ret = poll(pfds, 3, gone ? SLICE_MS : meter_ms(&s->meter));
		if (stop_asked())
			return -SIGTERM;
		meter_tick(&s->meter);
		if (ret > 0 && pfds[0].revents)
			return 0;
	}
}
