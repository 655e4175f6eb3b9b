/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A client of a kill loop: blocking, or on a reactor. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <peal/peal.h>

#include "harness.h"
#include "kill.h"

#define TICK_NS 1000000
#define TURNS 8 /* in one callback */
#define RETRY_MS 40
#define LOOK_MS 5 /* of waits that nothing may end */
#define CONNECT_MS 2000

static struct peal_channel ch;
static struct kill_source source;
static struct kill_sink sink;
static struct peal_reactor loop;

static bool quiet(void)
{
	return kill_load(&kill_world.page->quiet);
}

static bool stopped(void)
{
	return kill_load(&kill_world.page->stop);
}

static struct peal_hello what_to_say(int number)
{
	const struct kill_habit *habit = &kill_world.self->habit;
	struct peal_hello hello = {
		.role = habit->role,
		.bells = habit->bells,
		.item_size = sizeof(struct kill_item),
		.capacity = habit->capacity,
	};

	snprintf(hello.name, sizeof(hello.name), "%d.%llu", number,
		 (unsigned long long)source.flow);
	return hello;
}

/* What it had sent to the last server, and that has not released. */
static void count_resumed(struct kill_process *self)
{
	const struct kill_flow *flow = &kill_world.page->flows[source.flow];

	if (self->server != 0)
		kill_store(&self->resumed, self->resumed + flow->done -
						   kill_load(&flow->released));
	kill_store(&self->connects, self->connects + 1);
}

static void opened(void)
{
	struct kill_process *self = kill_world.self;
	enum peal_role role = self->habit.role;

	sink.known = false;
	kill_store(&self->met, 1);
	kill_tune(&self->habit, role & PEAL_SENDER ? &ch.sender : NULL,
		  role & PEAL_RECEIVER ? &ch.receiver : NULL);
	count_resumed(self);
	kill_store(&self->server, (uint64_t)ch.peer.pid);
	kill_point();
}

/* Whatever room there is: the ring of a server that is gone, for one. */
static void send_what_fits(void)
{
	struct kill_item *room;
	ssize_t n;

	if (quiet() || !(kill_world.self->habit.role & PEAL_SENDER))
		return;
	n = peal_sender_reserve(&ch.sender, 1, &room);
	if (n == -EPIPE)
		return;
	CHECK(n >= 0);
	if (n > 0)
		kill_send(&source, &ch.sender, room, (size_t)n);
}

/* -- blocking */

/* What is no more than "not now". */
static bool may_pass(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -EPIPE ||
	       error == -EAGAIN || error == -ETIMEDOUT;
}

static void doze(void)
{
	const struct timespec ts = { .tv_nsec = TICK_NS };

	nanosleep(&ts, NULL);
	kill_answer();
}

static bool connect_first(const struct peal_hello *hello)
{
	while (!stopped()) {
		int ret = peal_connect(&ch, kill_world.address, hello,
				       CONNECT_MS);

		if (ret == 0)
			return true;
		if (!may_pass(ret))
			test_fail(__FILE__, __LINE__, "connect: %s: %s",
				  strerror(-ret), ch.text);
		doze();
	}
	return false;
}

static bool connect_again(void)
{
	while (!stopped()) {
		int ret = peal_reconnect(&ch, CONNECT_MS);

		if (ret == 0)
			return true;
		if (!may_pass(ret))
			test_fail(__FILE__, __LINE__, "reconnect: %s: %s",
				  strerror(-ret), ch.text);
		send_what_fits();
		doze();
	}
	return false;
}

static void send_until_lost(void)
{
	struct kill_item *room;
	ssize_t n = 0;

	while (n >= 0 && !stopped()) {
		uint64_t want = 1 + test_random(&kill_world.random) %
					    kill_world.self->habit.batch;

		kill_answer();
		if (quiet()) {
			doze();
			n = peal_channel_check(&ch);
			continue;
		}
		n = peal_sender_wait(&ch.sender, want, -1, &room);
		if (n > 0)
			kill_send(&source, &ch.sender, room, (size_t)n);
	}
	if (n < 0)
		CHECK_EQ(n, -EPIPE);
}

static void receive_until_lost(void)
{
	const struct kill_item *items;

	while (!stopped()) {
		ssize_t n;

		kill_answer();
		send_what_fits();
		if (kill_receive(&sink, &ch.receiver) > 0)
			continue;
		n = peal_receiver_wait(&ch.receiver, 1, LOOK_MS, &items);
		if (n == 0 || n == -EPIPE)
			return;
		if (n < 0)
			CHECK_EQ(n, -ETIMEDOUT);
	}
}

static void run_blocking(int number)
{
	struct peal_hello hello = what_to_say(number);
	bool connected = connect_first(&hello);

	while (connected && !stopped()) {
		opened();
		if (hello.role == PEAL_SENDER)
			send_until_lost();
		else
			receive_until_lost();
		if (!stopped())
			connected = connect_again();
	}
	peal_channel_finish(&ch);
}

/* -- on a reactor */

static void on_open(struct peal_channel *channel, void *user)
{
	(void)channel;
	(void)user;
	opened();
}

static long on_readable(struct peal_channel *channel, void *user)
{
	ssize_t n;

	(void)user;
	for (int i = 0; i < TURNS; i++) {
		n = kill_receive(&sink, &channel->receiver);
		CHECK(n >= 0);
		if (n == 0)
			return PEAL_DONE;
	}
	return PEAL_MORE;
}

static long on_writable(struct peal_channel *channel, void *user)
{
	struct kill_item *room;
	ssize_t n;

	(void)user;
	for (int i = 0; i < TURNS && !quiet(); i++) {
		n = peal_sender_reserve(&channel->sender, 1, &room);
		if (n == 0 || n == -EPIPE)
			return PEAL_DONE;
		CHECK(n > 0);
		kill_send(&source, &channel->sender, room, (size_t)n);
	}
	return quiet() ? PEAL_DONE : PEAL_MORE;
}

static void on_closed(struct peal_channel *channel, int reason, void *user)
{
	(void)user;
	test_fail(__FILE__, __LINE__, "closed for good: %s: %s",
		  strerror(-reason), channel->text);
}

static void on_tick(struct peal_source *timer, uint64_t expirations, void *user)
{
	(void)timer;
	(void)expirations;
	(void)user;
	kill_answer();
	if (ch.connects > 0 && peal_channel_fd(&ch) < 0)
		send_what_fits();
	/* There may be less than the watermark. */
	if (quiet() && kill_world.self->habit.watermark > 1 &&
	    kill_world.self->habit.role & PEAL_RECEIVER)
		kill_receive(&sink, &ch.receiver);
	if (stopped())
		peal_reactor_stop(&loop);
}

static void run_on_reactor(int number)
{
	struct peal_hello hello = what_to_say(number);
	struct peal_channel_callbacks callbacks = {
		.on_open = on_open,
		.on_readable = on_readable,
		.on_writable = on_writable,
		.on_closed = on_closed,
	};
	struct peal_slot slots[PEAL_CHANNEL_SLOTS + 1];
	struct peal_source timer = { 0 };

	CHECK_EQ(peal_reactor_init(&loop, slots, PEAL_CHANNEL_SLOTS + 1), 0);
	CHECK_EQ(peal_reactor_add_timer(&loop, &timer, on_tick, NULL), 0);
	CHECK_EQ(peal_reactor_set_timer(&loop, &timer, TICK_NS, TICK_NS, 0), 0);
	CHECK_EQ(peal_connect_on(&ch, &loop, kill_world.address, &hello,
				 &callbacks, RETRY_MS),
		 0);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	peal_channel_finish(&ch);
	peal_reactor_finish(&loop);
}

/* -- both */

void kill_client(void *arg)
{
	const uint64_t *args = arg; /* number, seed */
	int number = (int)args[0];
	struct kill_process *self = &kill_world.page->processes[number];
	uint64_t fds, maps, fds_after, maps_after;

	source.flow = self->identity;
	kill_count(&fds, &maps); /* the first call may allocate */
	kill_begin(self, args[1], kill_world.doom_ns);
	kill_count(&fds, &maps);
	if (self->habit.blocks)
		run_blocking(number);
	else
		run_on_reactor(number);
	kill_count(&fds_after, &maps_after);
	CHECK_EQ(fds_after, fds);
	CHECK_EQ(maps_after, maps);
}
