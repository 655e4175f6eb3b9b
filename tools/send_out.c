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

/* What --linger is after a signal, unless it was given. */
#define LINGER_MS 1000

/* Has the other side, or the library, said more than the error's name? */
static const char *words(const struct send *s, int error)
{
	const char *text = s->out.channel.text;

	return strcmp(text, strerror(-error)) != 0 ? text : "";
}

/* Only what the receiver says in words is known to be its refusal: errors of
 * the same names are had from calls of our own. */
static int explain(const struct send *s, int error)
{
	const char *text = words(s, error);

	switch (error) {
	case -EPERM:
	case -EPROTOTYPE:
	case -EPROTONOSUPPORT:
	case -EAGAIN:
		if (!text[0])
			break;
		complain("%s refuses: %s", s->address, text);
		return EXIT_REFUSED;
	case -EREMOTEIO:
		complain(
			"the receiver at %s cannot serve a sender now, which "
			"is not this sender's fault: %s. The messages of the "
			"receiver say what to do there.",
			s->address,
			text[0] ? text : "the receiver does not say why");
		return EXIT_FAILURE;
	case -EACCES:
		complain(
			"%s: %s, to this user: look at the mode of the socket "
			"and of its folder",
			s->address, strerror(-error));
		return EXIT_REFUSED;
	case -EINVAL:
	case -ENAMETOOLONG:
		if (!text[0])
			break;
		complain("%s", text);
		return EXIT_USAGE;
	case -EPROTO:
		complain("the receiver breaks the protocol%s%s",
			 text[0] ? ": " : "", text);
		return EXIT_PEER;
	case -EPIPE:
		complain("the receiver broke off%s%s", text[0] ? ": " : "",
			 text);
		return EXIT_PEER;
	default:
		break;
	}
	complain("cannot send to %s: %s", s->address,
		 text[0] ? text : strerror(-error));
	return EXIT_FAILURE;
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

static const char *who_is_there(int error)
{
	if (error == -ETIMEDOUT)
		return "no answer at";
	return error == -EPIPE ? "a program that is no receiver hangs up at"
			       : "nobody receives at";
}

static void be_patient(struct send *s, uint64_t began, int error)
{
	if (s->complained || meter_now() - began < PATIENCE_MS)
		return;
	s->complained = true;
	complain("%s %s; waiting", who_is_there(error), s->address);
}

static bool is_absent(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -EPIPE;
}

/* In a signal handler. */
static void tell_of_silence(int signal)
{
	static const char text[] =
		"peal: no answer from the receiver; "
		"waiting\n";
	int error = errno;

	(void)signal;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		errno = error;
}

/* Who connects keeps its place among those that wait, so that it is an alarm
 * that says what it waits for. */
static int open_outbox(struct send *s, int timeout_ms)
{
	struct sigaction tell = { .sa_handler = tell_of_silence,
				  .sa_flags = SA_RESTART };
	struct sigaction pipe;
	int ret;

	sigaction(SIGALRM, &tell, NULL);
	stderr_may_break(&pipe);
	alarm(s->complained ? 0 : PATIENCE_MS / 1000);
	ret = peal_outbox_open(&s->out, s->address, s->who, s->tag, s->bytes,
			       timeout_ms);
	alarm(0);
	sigaction(SIGPIPE, &pipe, NULL);
	return ret;
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
	return open_outbox(s, left);
}

int send_connect(struct send *s)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
	uint64_t began = meter_now();
	int ret;

	for (;;) {
		ret = try_to_connect(s, began);
		if (ret == -ECONNREFUSED && address_is_other(s->address))
			break;
		if (!is_absent(ret) || is_over(began, s->timeout_ms))
			break;
		be_patient(s, began, ret);
		nanosleep(&pause, NULL);
	}
	s->complained = false;
	if (ret == 0)
		return 0;
	if (ret == -ECANCELED)
		return EXIT_FAILURE;
	if (!is_absent(ret) && ret != -ETIMEDOUT)
		return explain(s, ret);
	if (ret == -ECONNREFUSED && address_is_other(s->address)) {
		complain("%s is not a socket, so nobody can receive there",
			 s->address);
		return EXIT_FAILURE;
	}
	complain("%s %s", who_is_there(ret), s->address);
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
	complain("the receiver is gone, before the end of the stream");
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
 * A signal sets the time anew: for all that is still to be done, --linger.
 */
static void look_for_stop(struct send *s, uint64_t *began, int *timeout_ms)
{
	if (!stop_asked())
		return;
	if (!s->stopped)
		s->stopped = meter_now();
	*began = s->stopped;
	if (s->linger_ms >= 0)
		*timeout_ms = s->linger_ms;
	else if (*timeout_ms < 0 || *timeout_ms > LINGER_MS)
		*timeout_ms = LINGER_MS;
}

/* How long to wait now. */
static int patience(struct send *s, uint64_t began, int timeout_ms)
{
	look_for_stop(s, &began, &timeout_ms);
	return slice(began, timeout_ms);
}

/*
 * After a slice in vain.
 * @return 0 go on, an exit status, or minus the signal to end by
 */
static int think(struct send *s, uint64_t began, int timeout_ms,
		 const char *what)
{
	look_for_stop(s, &began, &timeout_ms);
	meter_tick(&s->meter);
	if (send_is_cut(s))
		return cut();
	if (is_over(began, timeout_ms)) {
		int ret = late(s, what, timeout_ms);

		return stop_asked() ? -SIGTERM : ret;
	}
	if (peal_channel_fd(&s->out.channel) < 0)
		be_patient(s, began, -ENOENT);
	return 0;
}

static const char no_room[] = "the receiver has made no room";

int send_line(struct send *s, const char *line, size_t size)
{
	uint64_t began = meter_now();
	int ret;

	for (;;) {
		int ms = patience(s, began, s->timeout_ms);

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
					  patience(s, began, s->timeout_ms),
					  room)) == -ETIMEDOUT) {
		/* Nothing was read yet, but the end of it. */
		if (stop_asked() && size > 0)
			return -SIGTERM;
		ret = think(s, began, s->timeout_ms, no_room);
		if (ret != 0)
			return ret;
	}
	if (send_is_cut(s))
		return cut();
	return ret < 0 ? explain(s, ret) : 0;
}

int send_chunk(struct send *s, size_t size)
{
	void *room;
	int ret = size == 0 ? send_reserve(s, 0, &room) : 0;

	if (ret != 0)
		return ret;
	ret = peal_outbox_commit(&s->out, s->next++, size);
	if (ret < 0)
		return explain(s, ret);
	if (size > 0)
		meter_count(&s->meter, size);
	return 0;
}

static const char not_taken[] = "the receiver has not taken all of it";

int send_flush(struct send *s)
{
	uint64_t began = meter_now();
	int linger_ms = s->linger_ms >= 0 ? s->linger_ms : s->timeout_ms, ret;

	while ((ret = peal_outbox_flush(&s->out,
					patience(s, began, linger_ms))) ==
	       -ETIMEDOUT) {
		/* It may have left just after it had taken the last one. */
		if (send_is_cut(s))
			return peal_outbox_flush(&s->out, 0) == 0 ? 0 : cut();
		ret = think(s, began, linger_ms, not_taken);
		if (ret != 0)
			return ret;
	}
	if (ret < 0)
		return explain(s, ret);
	return stop_asked() ? -SIGTERM : 0;
}

/* -- waiting for stdin */

/*
 * The receiver is gone. Where we owe it something, the next one is waited for
 * as long as --timeout says; where we do not, we can do without.
 * @param since  when we began to wait for it, or 0
 */
static int look_for_receiver(struct send *s, uint64_t *since)
{
	int ret = peal_outbox_flush(&s->out, 0);

	if (ret != -ETIMEDOUT) {
		*since = 0;
		return ret < 0 ? explain(s, ret) : 0;
	}
	if (*since == 0)
		*since = meter_now();
	be_patient(s, *since, -ENOENT);
	return is_over(*since, s->timeout_ms)
		       ? late(s, not_taken, s->timeout_ms)
		       : 0;
}

int send_await_input(struct send *s)
{
	uint64_t since = 0;

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
		if (!gone)
			since = 0;
		ret = gone ? look_for_receiver(s, &since) : 0;
		if (ret != 0)
			return ret;
		ret = poll(pfds, 3, gone ? SLICE_MS : meter_ms(&s->meter));
		if (stop_asked())
			return -SIGTERM;
		if (ret < 0 && errno != EINTR) {
			complain("cannot wait for stdin: %s", strerror(errno));
			return EXIT_FAILURE;
		}
		meter_tick(&s->meter);
		if (ret > 0 && pfds[0].revents)
			return 0;
	}
}
