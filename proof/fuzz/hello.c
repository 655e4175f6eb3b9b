/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A server on a reactor, and clients that are hostile: what they say and when,
 * what they do to the memory that they are given, which seals they set.
 */
#include <errno.h>
#include <string.h>

#include "hello.h"

#define CHANNELS 2 /* fewer than clients */
#define CALLS_MAX 24

struct run run;
static struct peal_slot slots[PEAL_SERVER_SLOTS(CHANNELS)];
static struct peal_reactor loop;
static struct peal_channel channels[CHANNELS];
static unsigned opens, closes;

/* -- the server's callbacks */

static void on_open(struct peal_channel *ch, void *user)
{
	CHECK(user == &run.server);
	CHECK(ch->served.loop == &loop);
	opens++;
	/* Nobody is served who has not sealed what it was given. */
	CHECK(run.seals > 0);
	CHECK(ch->in.mem.fd < 0 || !ch->in.mem.base);
	CHECK(ch->in.mem.body + ch->out.mem.body <= 2 * HELLO_BYTES_MAX);
	check_text(ch->hello.name, sizeof(ch->hello.name));
	check_text(ch->hello.tag, sizeof(ch->hello.tag));
}

static long verdict(uint64_t n)
{
	static const long verdicts[] = { PEAL_DONE, PEAL_DONE, PEAL_MORE, 1,
					 -7 };
	uint8_t which = input_byte(&run.in) % 6;

	return which < 5 ? verdicts[which] : PEAL_WAIT(n);
}

static long on_readable(struct peal_channel *ch, void *user)
{
	static unsigned char copy[2 * HELLO_BYTES_MAX];
	struct peal_receiver *rx = &ch->receiver;
	const void *data;
	ssize_t n = peal_receiver_peek(rx, &data);

	CHECK(user == &run.server);
	if (n > 0) {
		CHECK((uint64_t)n <= rx->end.capacity);
		memcpy(copy, data, (size_t)n * rx->end.item_size);
		peal_receiver_release(rx, (size_t)n);
	}
	return verdict(input_below(&run.in, 8));
}

static long on_writable(struct peal_channel *ch, void *user)
{
	struct peal_sender *tx = &ch->sender;
	void *room;
	ssize_t n = peal_sender_reserve(tx, 1, &room);

	CHECK(user == &run.server);
	if (n > 0) {
		CHECK((uint64_t)n <= tx->end.capacity);
		memset(room, 0x77, (size_t)n * tx->end.item_size);
		peal_sender_commit(tx, (size_t)n);
	}
	return input_byte(&run.in) % 4 ? PEAL_DONE : verdict(1);
}

static void on_closed(struct peal_channel *ch, int reason, void *user)
{
	CHECK(user == &run.server);
	CHECK(reason <= 0 && reason > -4096);
	check_text(ch->text, sizeof(ch->text));
	closes++;
}

static void on_refused(const struct peal_peer *peer, int reason,
		       const char *text, void *user)
{
	CHECK(user == &run.server);
	CHECK(reason < 0 && reason > -4096);
	CHECK_EQ(peer->pidfd, -1);
	check_text(text, PEAL_TEXT);
}

static bool admit(const struct peal_hello *hello, const struct peal_peer *peer,
		  const char **why, void *user)
{
	CHECK(user == &run.server);
	CHECK_EQ(peer->pid, -1);
	CHECK(hello->item_size > 0);
	check_text(hello->name, sizeof(hello->name));
	check_text(hello->tag, sizeof(hello->tag));
	check_text(hello->back_tag, sizeof(hello->back_tag));
	*why = "not today";
	return input_byte(&run.in) % 8 > 0;
}

static struct peal_service service(void)
{
	uint8_t a = input_byte(&run.in);
	struct peal_service service = {
		.channels = channels,
		.n_channels = CHANNELS,
		.max_bytes = HELLO_BYTES_MAX,
		.resume = a & 8,
		.accept = { .role = (enum peal_role)(a & 16 ? a % 4 : 0),
			    .item_size = 8,
			    .bells = (enum peal_doorbell_kind)(a / 32 % 3) },
		.callbacks = { .on_open = on_open,
			       .on_readable = on_readable,
			       .on_writable = on_writable,
			       .on_closed = on_closed,
			       .user = &run.server },
		.on_refused = on_refused,
	};

	if (a & 128) {
		service.admit = admit;
		service.accept.item_size = 0;
	}
	return service;
}

int hello_serve(void)
{
	int ret = peal_reactor_run_once(&loop, 0);

	CHECK(ret >= 0);
	return ret;
}

/* -- the end */

static void begin(void)
{
	struct peal_service how = service();

	if (!slots[0].source && !loop.table.slots)
		CHECK_EQ(peal_reactor_init(&loop, slots,
					   PEAL_SERVER_SLOTS(CHANNELS)),
			 0);
	opens = closes = run.seals = 0;
	clients_begin();
	CHECK_EQ(peal_server_listen_on(&run.server, &loop, NULL, &how), 0);
}

/* What is left once all clients are gone: answers that nobody has read, which
 * are looked at later, and what is kept. */
static void check_all_gone(void)
{
	struct peal_server_stats stats;

	/* One without callbacks may have been woken for nothing. */
	while (hello_serve() || hello_serve())
		;
	for (int i = 0; i < PEAL_HANDSHAKES; i++) {
		const struct peal_handshake *handshake =
			&run.server.places.handshakes[i];

		CHECK(!handshake->server ||
		      handshake->stage == PEAL_STAGE_UNREAD);
	}
	peal_server_stats(&run.server, &stats);
	CHECK(opens == stats.opened);
	for (int i = 0; i < CHANNELS; i++)
		CHECK(channels[i].life.state == PEAL_CHANNEL_UNUSED ||
		      channels[i].life.state == PEAL_CHANNEL_KEPT);
	CHECK_EQ(stats.channels, 0);
	CHECK_EQ(closes, opens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct leaks leaks;
	int calls = 0;

	run.in = input_of(data, size);
	begin();
	while (input_left(&run.in) && calls++ < CALLS_MAX)
		clients_call(input_byte(&run.in));
	clients_end();
	check_all_gone();
	peal_server_close(&run.server);
	for (int i = 0; i < CHANNELS; i++)
		CHECK(channels[i].life.state == PEAL_CHANNEL_UNUSED);
	check_leaks(&leaks);
	return 0;
}
