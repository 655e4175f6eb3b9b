/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The server of a kill loop: on a reactor, with a channel for each client. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <peal/peal.h>

#include "harness.h"
#include "kill.h"

#define TICK_NS 1000000
#define TURNS 8		   /* in one callback */
#define HANDSHAKE_MS 20000 /* also for one that is held up */

struct host {
	struct peal_reactor loop;
	struct peal_slot slots[2 * PEAL_SLOTS(KILL_CLIENTS) + 4];
	struct peal_server server;
	struct peal_source timer;
	struct peal_channel channels[KILL_CLIENTS];
	struct kill_source sources[KILL_CLIENTS];
	struct kill_sink sinks[KILL_CLIENTS];
	bool kept[KILL_CLIENTS];
};

static struct host host;

static struct kill_process *client_of(const struct peal_channel *ch)
{
	return &kill_world.page->processes[ch - host.channels];
}

static bool quiet(void)
{
	return kill_load(&kill_world.page->quiet);
}

static struct peal_channel *admit(const struct peal_hello *hello,
				  const struct peal_peer *peer,
				  const char **why, void *user)
{
	int i = hello->name[0] - '0';

	(void)peer;
	(void)why;
	(void)user;
	kill_point();
	CHECK(i >= 0 && i < KILL_CLIENTS);
	return &host.channels[i];
}

static void on_open(struct peal_channel *ch, void *user)
{
	struct kill_process *client = client_of(ch);
	unsigned long long identity;
	long i = ch - host.channels;

	(void)user;
	kill_point();
	CHECK_EQ(sscanf(ch->hello.name + 1, ".%llu", &identity), 1);
	host.sinks[i].known = false;
	host.kept[i] = false;
	kill_tune(&client->habit,
		  ch->hello.role & PEAL_RECEIVER ? &ch->sender : NULL,
		  ch->hello.role & PEAL_SENDER ? &ch->receiver : NULL);
	kill_store(&kill_world.self->met, 1);
	kill_store(&client->open_server, (uint64_t)getpid());
	kill_store(&client->open_identity, identity);
}

static long on_readable(struct peal_channel *ch, void *user)
{
	ssize_t n;

	(void)user;
	for (int i = 0; i < TURNS; i++) {
		n = kill_receive(&host.sinks[ch - host.channels],
				 &ch->receiver);
		CHECK(n >= 0);
		if (n == 0)
			return PEAL_DONE;
	}
	return PEAL_MORE;
}

static void send_one(struct peal_channel *ch, ssize_t n, struct kill_item *room)
{
	kill_send(&host.sources[ch - host.channels], &ch->sender, room,
		  (size_t)n);
}

static long on_writable(struct peal_channel *ch, void *user)
{
	struct kill_item *room;
	ssize_t n;

	(void)user;
	for (int i = 0; i < TURNS; i++) {
		if (quiet())
			return PEAL_DONE;
		n = peal_sender_reserve(&ch->sender, 1, &room);
		if (n == -EPIPE)
			return PEAL_DONE;
		CHECK(n >= 0);
		if (n == 0)
			return PEAL_DONE;
		send_one(ch, n, room);
	}
	return PEAL_MORE;
}

static void on_closed(struct peal_channel *ch, int reason, void *user)
{
	struct kill_process *client = client_of(ch);

	(void)user;
	kill_point();
	if (reason != -EPIPE && !(quiet() && reason == 0))
		test_fail(__FILE__, __LINE__, "closed: %s: %s",
			  strerror(-reason), ch->text);
	host.kept[ch - host.channels] = client->habit.role & PEAL_RECEIVER &&
					(host.kept[ch - host.channels] ||
					 client->open_identity);
	kill_store(&client->open_identity, 0);
}

/* A sender whose client is gone goes on in the ring that it keeps. */
static void send_in_vain(struct peal_channel *ch)
{
	struct kill_item *room;
	ssize_t n;

	if (quiet() || !host.kept[ch - host.channels])
		return;
	n = peal_sender_reserve(&ch->sender, 1, &room);
	CHECK(n >= 0);
	if (n > 0)
		send_one(ch, n, room);
}

/* There may be less than the watermark. */
static void receive_rest(struct peal_channel *ch)
{
	if (quiet() && client_of(ch)->open_identity &&
	    client_of(ch)->habit.watermark > 1 && ch->hello.role & PEAL_SENDER)
		kill_receive(&host.sinks[ch - host.channels], &ch->receiver);
}

static void count_wakeups(void)
{
	struct peal_reactor_stats stats;

	peal_reactor_stats(&host.loop, &stats);
	kill_store(&kill_world.self->wakeups, stats.wakeups);
}

static void on_tick(struct peal_source *source, uint64_t expirations,
		    void *user)
{
	(void)source;
	(void)expirations;
	(void)user;
	kill_answer();
	for (int i = 0; i < kill_world.clients; i++) {
		send_in_vain(&host.channels[i]);
		receive_rest(&host.channels[i]);
	}
	if (kill_world.guest)
		kill_world.guest->tick();
	count_wakeups();
	if (kill_load(&kill_world.page->stop))
		peal_reactor_stop(&host.loop);
}

static void serve(void)
{
	struct peal_service service = {
		.accept = { .item_size = sizeof(struct kill_item) },
		.admit = admit,
		.callbacks = { .on_open = on_open,
			       .on_readable = on_readable,
			       .on_writable = on_writable,
			       .on_closed = on_closed },
		.resume = true,
		.handshake_ms = HANDSHAKE_MS,
	};
	size_t slots = sizeof(host.slots) / sizeof(*host.slots);

	for (int i = 0; i < kill_world.clients; i++)
		host.sources[i].flow = kill_world.page->processes[i].back;
	CHECK_EQ(peal_reactor_init(&host.loop, host.slots, slots), 0);
	CHECK_EQ(peal_reactor_add_timer(&host.loop, &host.timer, on_tick, NULL),
		 0);
	CHECK_EQ(peal_reactor_set_timer(&host.loop, &host.timer, TICK_NS,
					TICK_NS, 0),
		 0);
	CHECK_EQ(peal_server_listen(&host.server, &host.loop,
				    kill_world.address, &service),
		 0);
	if (kill_world.guest)
		kill_world.guest->arrive(&host.loop);
	CHECK_EQ(peal_reactor_run(&host.loop), 0);
	if (kill_world.guest)
		kill_world.guest->leave();
	peal_server_finish(&host.server);
	for (int i = 0; i < kill_world.clients; i++)
		peal_channel_finish(&host.channels[i]);
	peal_reactor_finish(&host.loop);
}

void kill_server(void *arg)
{
	struct kill_page *page = kill_world.page;
	uint64_t seed = *(uint64_t *)arg, fds, maps, fds_after, maps_after;

	kill_count(&fds, &maps); /* the first call may allocate */
	kill_begin(&page->processes[KILL_CLIENTS], seed, kill_world.doom_ns);
	kill_count(&fds, &maps);
	serve();
	kill_count(&fds_after, &maps_after);
	CHECK_EQ(fds_after, fds);
	CHECK_EQ(maps_after, maps);
}
