/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Those of the crowd that send messages, and the inbox of the server. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <peal/inbox.h>

#include "../fixtures/harness.h"
#include "soak.h"

#define LARGEST 2048
#define TURN 64 /* messages in one callback */
#define CONNECT_MS 2000
#define LOOK_MS 5

/* How a message begins; each of its other bytes follows from that. */
struct letter {
	uint64_t flow, number;
};

static size_t size_of(const struct letter *l)
{
	uint64_t random = kill_word(l->flow, l->number, 7);
	uint64_t most = random % 8 ? 64 : LARGEST - sizeof(*l);

	return sizeof(*l) + (random >> 8) % most;
}

static void fill(unsigned char *to, const struct letter *l)
{
	size_t size = size_of(l);

	memcpy(to, l, sizeof(*l));
	for (size_t at = sizeof(*l); at < size; at += 8) {
		uint64_t word = kill_word(l->flow, l->number, at);

		memcpy(to + at, &word, size - at < 8 ? size - at : 8);
	}
}

static void name_inbox(char address[80])
{
	snprintf(address, 80, "%s.inbox", kill_world.address);
}

/* -- a sender */

static bool word_of(const uint64_t *word)
{
	return kill_load(word) != 0;
}

static bool may_pass(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -EPIPE ||
	       error == -EAGAIN || error == -ETIMEDOUT;
}

static bool open_outbox(struct peal_outbox *out, int number)
{
	struct kill_process *self = kill_world.self;
	char address[80], name[64];

	name_inbox(address);
	snprintf(name, sizeof(name), "%d.%llu", number,
		 (unsigned long long)self->identity);
	while (!word_of(&kill_world.page->stop)) {
		int ret = peal_outbox_open(out, address, name, "soak/1",
					   self->habit.capacity, CONNECT_MS);

		if (ret == 0)
			return true;
		if (!may_pass(ret))
			test_fail(__FILE__, __LINE__, "outbox: %s: %s",
				  strerror(-ret), out->channel.text);
		usleep(1000);
	}
	return false;
}

/* It connects again by itself, so look whether it has. */
static void look(const struct peal_outbox *out)
{
	struct kill_process *self = kill_world.self;
	const struct kill_flow *flow = &kill_world.page->flows[self->identity];
	uint64_t server = (uint64_t)out->channel.peer.pid;
	uint64_t released = kill_load(&flow->released);

	if (self->server == server)
		return;
	kill_store(&self->met, 1);
	kill_store(&self->connects, self->connects + 1);
	if (self->server != 0 && flow->done > released)
		kill_store(&self->resumed,
			   self->resumed + flow->done - released);
	kill_store(&self->server, server);
}

static int send_one(struct peal_outbox *out, const struct letter *l)
{
	struct kill_flow *flow = &kill_world.page->flows[l->flow];
	unsigned char *room;
	int ret = peal_outbox_reserve(out, size_of(l), LOOK_MS, &room);

	if (ret < 0)
		return ret;
	kill_point();
	kill_stall();
	fill(room, l);
	kill_store(&flow->intent, l->number + 1);
	kill_point();
	CHECK_EQ(peal_outbox_commit(out, (uint32_t)l->number, size_of(l)), 0);
	kill_point();
	kill_store(&flow->done, l->number + 1);
	return 0;
}

static void send_letters(struct peal_outbox *out)
{
	struct letter next = { .flow = kill_world.self->identity };
	const struct kill_page *page = kill_world.page;
	struct peal_ring_stats stats;
	uint64_t doorbells = 0;
	int ret;

	while (!word_of(&page->stop)) {
		kill_answer();
		if (word_of(&page->quiet)) {
			ret = peal_outbox_flush(out, LOOK_MS);
			usleep(1000);
		} else {
			ret = send_one(out, &next);
			next.number += ret == 0;
		}
		if (ret < 0)
			CHECK_EQ(ret, -ETIMEDOUT);
		look(out);
		peal_sender_stats(&out->channel.sender, &stats);
		kill_tally(&doorbells, stats.doorbells);
	}
}

void soak_letters(void *arg)
{
	const uint64_t *args = arg; /* number, seed */
	struct kill_process *self = &kill_world.page->processes[args[0]];
	uint64_t fds, maps, fds_after, maps_after;
	struct peal_outbox out;

	kill_count(&fds, &maps); /* the first call may allocate */
	kill_begin(self, args[1], kill_world.doom_ns);
	kill_count(&fds, &maps);
	if (open_outbox(&out, (int)args[0])) {
		peal_sender_set_barriers(&out.channel.sender,
					 self->habit.barriers);
		look(&out);
		send_letters(&out);
		CHECK_EQ(peal_outbox_close(&out, -1), 0);
	}
	kill_count(&fds_after, &maps_after);
	CHECK_EQ(fds_after, fds);
	CHECK_EQ(maps_after, maps);
}

/* -- the inbox */

static struct {
	struct peal_inbox inbox;
	struct peal_inbox_sender senders[KILL_CLIENTS];
	/* Of each: one that is dead may still be there with the next one. */
	struct kill_sink sinks[KILL_CLIENTS];
} host;

static struct kill_sink *sink_of(const struct peal_channel *from)
{
	for (int i = 0; i < KILL_CLIENTS; i++)
		if (from == &host.senders[i].channel)
			return &host.sinks[i];
	test_fail(__FILE__, __LINE__, "a message from nowhere");
}

static int sender_of(const struct peal_channel *from, uint64_t *flow)
{
	unsigned long long identity;
	int number;

	CHECK_EQ(sscanf(from->hello.name, "%d.%llu", &number, &identity), 2);
	CHECK(number >= 0 && number < kill_world.clients);
	*flow = identity;
	return number;
}

static void on_joined(const struct peal_channel *from, void *user)
{
	uint64_t flow;
	int i = sender_of(from, &flow);
	struct kill_process *client = &kill_world.page->processes[i];

	(void)user;
	kill_point();
	sink_of(from)->known = false;
	kill_store(&kill_world.self->met, 1);
	kill_store(&client->open_server, (uint64_t)getpid());
	kill_store(&client->open_identity, flow);
}

static void on_left(const struct peal_channel *from, int reason, void *user)
{
	uint64_t flow;
	int i = sender_of(from, &flow);
	struct kill_process *client = &kill_world.page->processes[i];

	(void)user;
	kill_point();
	if (reason != -EPIPE && !(word_of(&kill_world.page->quiet) && !reason))
		test_fail(__FILE__, __LINE__, "left: %s: %s", strerror(-reason),
			  from->text);
	if (kill_load(&client->open_identity) == flow)
		kill_store(&client->open_identity, 0);
}

static void check(const struct peal_letter *letter, struct letter *l)
{
	static unsigned char expected[LARGEST];

	CHECK(letter->size >= sizeof(*l));
	memcpy(l, letter->data, sizeof(*l));
	CHECK_EQ(letter->size, size_of(l));
	CHECK_EQ(letter->kind, (uint32_t)l->number);
	fill(expected, l);
	CHECK(memcmp(letter->data, expected, letter->size) == 0);
}

static void take(const struct peal_letter *letter)
{
	struct kill_process *self = kill_world.self;
	struct kill_flow *flow;
	struct letter l;
	uint64_t from;

	sender_of(letter->from, &from);
	check(letter, &l);
	CHECK_EQ(l.flow, from);
	kill_account(sink_of(letter->from), l.flow, l.number);
	flow = &kill_world.page->flows[l.flow];
	if (l.number + 1 > kill_load(&flow->received))
		kill_store(&flow->received, l.number + 1);
	kill_point();
	kill_store(&self->bytes, self->bytes + letter->size);
	CHECK_EQ(peal_inbox_release(&host.inbox, letter), 0);
	kill_point();
	kill_store(&flow->released, l.number + 1);
}

static void on_messages(struct peal_inbox *inbox, void *user)
{
	struct peal_letter letter;

	(void)user;
	kill_stall();
	for (int i = 0; i < TURN; i++) {
		int ret = peal_inbox_receive(inbox, 0, &letter);

		if (ret == -ETIMEDOUT)
			return;
		CHECK_EQ(ret, 1);
		take(&letter);
	}
}

static void arrive(struct peal_reactor *loop)
{
	char address[80];

	name_inbox(address);
	CHECK_EQ(peal_inbox_open_on(&host.inbox, loop, address,
				    &(struct peal_inbox_options){
					    .senders = host.senders,
					    .n_senders = KILL_CLIENTS,
					    .on_messages = on_messages,
					    .on_joined = on_joined,
					    .on_left = on_left,
					    .tag = "soak/1" }),
		 0);
}

/* The bells that say that there is room again. */
static void tick(void)
{
	for (int i = 0; i < KILL_CLIENTS; i++) {
		struct peal_ring_stats stats;

		peal_receiver_stats(&host.senders[i].channel.receiver, &stats);
		kill_tally(&host.sinks[i].doorbells, stats.doorbells);
	}
}

static void leave(void)
{
	peal_inbox_close(&host.inbox);
}

const struct kill_guest soak_inbox = {
	.arrive = arrive,
	.tick = tick,
	.leave = leave,
};
