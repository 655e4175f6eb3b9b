/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * D-Bus by sd-bus, directly over a socket pair, without a daemon: signals for
 * messages, method calls for round trips.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <systemd/sd-bus.h>

#include "messages.h"
#include "roundtrip.h"

#define PATH "/bench"
#define INTERFACE "org.example.Bench"

static struct {
	int fds[2];
	sd_bus *bus;
	size_t size;
	uint64_t sum, seen;
	char buffer[65536];
} dbus;

static void open_pair(size_t size)
{
	if (size > sizeof(dbus.buffer))
		bench_fail("the size of a message", EMSGSIZE);
	bench_check_errno(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, dbus.fds),
		"socketpair");
	dbus.size = size;
	dbus.sum = dbus.seen = 0;
}

static void close_pair(void)
{
	close(dbus.fds[0]);
	close(dbus.fds[1]);
}

static uint64_t number_in(sd_bus_message *message)
{
	const void *data;
	size_t n;

	bench_check(sd_bus_message_read_array(message, 'y', &data, &n),
		    "sd_bus_message_read_array");
	if (n != dbus.size)
		bench_fail("its size", EBADMSG);
	return bench_read(data, n);
}

static int on_message(sd_bus_message *message, void *user, sd_bus_error *error)
{
	sd_bus_message *reply = NULL;
	uint64_t number;

	(void)user;
	(void)error;
	number = number_in(message);
	dbus.sum += number;
	dbus.seen++;
	if (!sd_bus_message_is_method_call(message, NULL, NULL))
		return 1;
	bench_fill(dbus.buffer, dbus.size, number);
	bench_check(sd_bus_message_new_method_return(message, &reply),
		    "sd_bus_message_new_method_return");
	bench_check(
		sd_bus_message_append_array(reply, 'y', dbus.buffer, dbus.size),
		"sd_bus_message_append_array");
	bench_check(sd_bus_send(NULL, reply, NULL), "sd_bus_send");
	sd_bus_message_unref(reply);
	return 1;
}

static void enter(unsigned side)
{
	int fd = dbus.fds[side];
	sd_id128_t id = SD_ID128_MAKE(01, 02, 03, 04, 05, 06, 07, 10, 11, 12,
				      13, 14, 15, 16, 17, 20);

	close(dbus.fds[!side]);
	bench_check(sd_bus_new(&dbus.bus), "sd_bus_new");
	bench_check(sd_bus_set_fd(dbus.bus, fd, fd), "sd_bus_set_fd");
	if (side == 1)
		bench_check(sd_bus_set_server(dbus.bus, 1, id),
			    "sd_bus_set_server");
	sd_bus_set_anonymous(dbus.bus, 1);
	bench_check(sd_bus_start(dbus.bus), "sd_bus_start");
	if (side == 1)
		bench_check(sd_bus_add_filter(dbus.bus, NULL, on_message, NULL),
			    "sd_bus_add_filter");
}

/* Until so many have come. */
static void serve(uint64_t n)
{
	while (dbus.seen < n) {
		int ret = sd_bus_process(dbus.bus, NULL);

		bench_check(ret, "sd_bus_process");
		if (ret == 0)
			bench_check(sd_bus_wait(dbus.bus, UINT64_MAX),
				    "sd_bus_wait");
	}
	bench_check(sd_bus_flush(dbus.bus), "sd_bus_flush");
}

/* -- messages */

static void messages_open(struct messages *m)
{
	open_pair(m->point->size);
}

static void send_number(uint64_t number)
{
	sd_bus_message *message = NULL;

	bench_fill(dbus.buffer, dbus.size, number);
	bench_check(sd_bus_message_new_signal(dbus.bus, &message, PATH,
					      INTERFACE, "Message"),
		    "sd_bus_message_new_signal");
	bench_check(sd_bus_message_append_array(message, 'y', dbus.buffer,
						dbus.size),
		    "sd_bus_message_append_array");
	bench_check(sd_bus_send(dbus.bus, message, NULL), "sd_bus_send");
	sd_bus_message_unref(message);
}

static void messages_enter(struct messages *m, unsigned side)
{
	if (!m)
		return;
	enter(side);
	if (side == 0) {
		send_number(0);
		sd_bus_flush(dbus.bus);
	} else {
		serve(1);
	}
}

/* Its queue has no end but an error. */
static void messages_send(struct messages *m)
{
	for (uint64_t i = 0; i < m->count; i++) {
		uint64_t queued = 0;

		send_number(i);
		bench_check(sd_bus_get_n_queued_write(dbus.bus, &queued),
			    "sd_bus_get_n_queued_write");
		if (queued > 64)
			sd_bus_flush(dbus.bus);
	}
	sd_bus_flush(dbus.bus);
}

static uint64_t messages_receive(struct messages *m)
{
	serve(1 + m->count);
	return dbus.sum;
}

static void messages_close(struct messages *m)
{
	if (m)
		close_pair();
}

static const struct messages_how messages_how = {
	.open = messages_open,
	.enter = messages_enter,
	.send = messages_send,
	.receive = messages_receive,
	.close = messages_close,
};

const struct bench_contestant messages_sdbus = {
	.name = "sd-bus",
	.fits = messages_any,
	.run = messages_run,
	.how = &messages_how,
};

/* -- round trips */

static void trips_open(struct roundtrip *r)
{
	open_pair(r->point->size);
}

static uint64_t trip(struct roundtrip *r, uint64_t number)
{
	sd_bus_message *call = NULL, *reply = NULL;

	(void)r;
	bench_fill(dbus.buffer, dbus.size, number);
	bench_check(sd_bus_message_new_method_call(dbus.bus, &call, NULL, PATH,
						   INTERFACE, "Call"),
		    "sd_bus_message_new_method_call");
	bench_check(
		sd_bus_message_append_array(call, 'y', dbus.buffer, dbus.size),
		"sd_bus_message_append_array");
	bench_check(sd_bus_call(dbus.bus, call, 0, NULL, &reply),
		    "sd_bus_call");
	number = number_in(reply);
	sd_bus_message_unref(call);
	sd_bus_message_unref(reply);
	return number;
}

ROUNDTRIP_CLIENT(trips_client, trip)

static void trips_server(struct roundtrip *r)
{
	serve(1 + r->count);
}

static void trips_enter(struct roundtrip *r, unsigned side)
{
	enter(side);
	if (side == 0)
		trip(r, 0);
	else
		serve(1);
}

static void trips_close(struct roundtrip *r)
{
	if (r)
		close_pair();
}

static const struct roundtrip_how trips_how = {
	.open = trips_open,
	.enter = trips_enter,
	.client = trips_client,
	.server = trips_server,
	.close = trips_close,
};

const struct bench_contestant roundtrip_sdbus = {
	.name = "sd-bus",
	.fits = roundtrip_blocking,
	.run = roundtrip_run,
	.how = &trips_how,
};
