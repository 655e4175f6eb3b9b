/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Many clients at once, large rings, and a server whose callbacks are slow.
 * Whoever was told yes is served: what it has published arrives, though it
 * neither drains nor finishes. And a healthy server refuses nobody.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peal/channel.h>

#include "fixtures/link.h"

#define MOST 64
#define ITEMS 3 /* of each client */

struct herd {
	const char *name;
	int n;
	uint64_t capacity;    /* items of eight bytes */
	unsigned open_ms;     /* that on_open takes */
	unsigned turn_ms;     /* that another channel takes in each turn */
	unsigned patience_ms; /* of the server with handshakes */
	enum peal_role role;
	bool on_reactor; /* the clients */
};

/* What the clients tell. */
static struct tale {
	int go, working, release;
	int told[MOST], opens[MOST];
} * tale;

static struct peal_channel channels[MOST + 1], worker;
static uint64_t got[MOST];
static int opens, closes;

static int at(const int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void say(int *word)
{
	__atomic_add_fetch(word, 1, __ATOMIC_RELEASE);
}

static void await(const int *word)
{
	while (!at(word))
		usleep(500);
}

/* -- the clients */

static struct peal_hello hello_of(const struct herd *herd, int id)
{
	struct peal_hello hello = { .role = herd->role,
				    .item_size = 8,
				    .capacity = herd->capacity };

	snprintf(hello.name, sizeof(hello.name), "%d", id);
	return hello;
}

/* All that there is of its life as a sender. */
static void send_and_vanish(struct peal_channel *ch, int id)
{
	static const uint64_t items[ITEMS] = { 1, 2, 3 };

	CHECK_EQ(peal_sender_put(&ch->sender, items, ITEMS), ITEMS);
	__atomic_store_n(&tale->told[id], 1, __ATOMIC_RELEASE);
	_exit(0);
}

static void on_client_open(struct peal_channel *ch, void *user)
{
	(void)ch;
	say(&tale->opens[(intptr_t)user]);
}

static long on_client_readable(struct peal_channel *ch, void *user)
{
	(void)ch;
	(void)user;
	return PEAL_DONE;
}

static void on_client_closed(struct peal_channel *ch, int reason, void *user)
{
	(void)user;
	test_fail(__FILE__, __LINE__, "a client is closed: %d (%s)", reason,
		  ch->text);
}

static void come_on_a_reactor(const struct herd *herd, int id)
{
	const struct peal_hello hello = hello_of(herd, id);
	const struct peal_channel_callbacks callbacks = {
		.on_open = on_client_open,
		.on_readable = on_client_readable,
		.on_closed = on_client_closed,
		.user = (void *)(intptr_t)id,
	};
	static struct peal_slot few[PEAL_CHANNEL_SLOTS];
	static struct peal_channel ch;
	static struct peal_reactor own;

	CHECK_EQ(peal_reactor_init(&own, few, PEAL_CHANNEL_SLOTS), 0);
	CHECK_EQ(peal_connect_on(&ch, &own, link_path, &hello, &callbacks, 100),
		 0);
	while (!at(&tale->opens[id]))
		CHECK(peal_reactor_run_once(&own, -1) >= 0);
	/* A second time would be told in these few rounds. */
	for (int i = 0; i < 10; i++)
		CHECK(peal_reactor_run_once(&own, 1) >= 0);
	CHECK_EQ(at(&tale->opens[id]), 1);
	send_and_vanish(&ch, id);
}

static void come(const struct herd *herd, int id)
{
	const struct peal_hello hello = hello_of(herd, id);
	static struct peal_channel ch;
	int ret = peal_connect(&ch, link_path, &hello, 50000);

	if (ret < 0)
		test_fail(__FILE__, __LINE__, "a client is refused: %d (%s)",
			  ret, ch.text);
	say(&tale->opens[id]);
	send_and_vanish(&ch, id);
}

struct beast {
	const struct herd *herd;
	int id;
};

static void be_one_of_them(void *arg)
{
	const struct beast *beast = arg;

	await(beast->herd->turn_ms ? &tale->working : &tale->go);
	if (beast->herd->on_reactor)
		come_on_a_reactor(beast->herd, beast->id);
	come(beast->herd, beast->id);
}

/* Its channel keeps the server busy from now on. */
static void be_the_worker(void *unused)
{
	const struct peal_hello hello = { .role = PEAL_SENDER,
					  .item_size = 8,
					  .name = "worker" };
	const uint64_t one = 1;

	(void)unused;
	await(&tale->go);
	CHECK_EQ(peal_connect(&worker, link_path, &hello, 10000), 0);
	CHECK_EQ(peal_sender_put(&worker.sender, &one, 1), 1);
	await(&tale->release);
	peal_channel_close(&worker);
}

/* -- the server */

static bool is_worker(const struct peal_channel *ch)
{
	return ch->hello.name[0] == 'w';
}

static void on_open(struct peal_channel *ch, void *user)
{
	const struct herd *herd = user;

	if (is_worker(ch))
		return;
	opens++;
	usleep(1000 * herd->open_ms);
}

static long on_readable(struct peal_channel *ch, void *user)
{
	const struct herd *herd = user;
	uint64_t item;

	while (peal_receiver_get(&ch->receiver, &item, 1) > 0)
		if (!is_worker(ch))
			CHECK_EQ(item, ++got[atoi(ch->hello.name)]);
	if (!is_worker(ch))
		return PEAL_DONE;
	if (!at(&tale->working)) {
		say(&tale->working);
		return PEAL_MORE;
	}
	usleep(1000 * herd->turn_ms);
	return at(&tale->release) ? PEAL_DONE : PEAL_MORE;
}

static void on_closed(struct peal_channel *ch, int reason, void *user)
{
	(void)user;
	closes += !is_worker(ch);
	CHECK(reason == 0 || reason == -EPIPE);
}

static void on_refused(const struct peal_peer *peer, int reason,
		       const char *text, void *user)
{
	(void)peer;
	(void)user;
	test_fail(__FILE__, __LINE__, "the server refuses: %d (%s)", reason,
		  text);
}

/* @return how many of them have not ended yet */
static int reap(pid_t *pids, int n)
{
	int alive = 0, status;

	for (int i = 0; i < n; i++) {
		if (pids[i] && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
			CHECK_EQ(status, 0);
			pids[i] = 0;
		}
		alive += pids[i] != 0;
	}
	return alive;
}

static void serve_all(const struct herd *herd, pid_t *pids)
{
	struct peal_server_stats stats;
	int others = herd->turn_ms ? 1 : 0;

	do {
		link_once(false);
		if (reap(pids, herd->n) == 0 && closes >= herd->n)
			say(&tale->release);
		peal_server_stats(&server, &stats);
	} while (reap(pids, herd->n + others) > 0 || stats.channels ||
		 stats.handshakes || closes < herd->n);
}

static void run_herd(const void *row)
{
	const struct herd *herd = row;
	const struct peal_service service = {
		.accept.item_size = 8,
		.channels = channels,
		.n_channels = MOST + 1,
		.callbacks = { .on_open = on_open,
			       .on_readable = on_readable,
			       .on_closed = on_closed,
			       .user = (void *)(uintptr_t)herd },
		.on_refused = on_refused,
		.handshake_ms = herd->patience_ms,
	};
	pid_t pids[MOST + 1] = { 0 };

	tale = mmap(NULL, sizeof(*tale), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(tale != MAP_FAILED);
	link_folder();
	for (int i = 0; i < herd->n; i++)
		pids[i] = test_fork(be_one_of_them, &(struct beast){ herd, i });
	if (herd->turn_ms)
		pids[herd->n] = test_fork(be_the_worker, NULL);
	link_reactor(LINK_OWN);
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service), 0);
	say(&tale->go);
	serve_all(herd, pids);
	CHECK_EQ(opens, herd->n);
	for (int i = 0; i < herd->n; i++) {
		CHECK_EQ(at(&tale->told[i]), 1);
		CHECK_EQ(at(&tale->opens[i]), 1);
		CHECK_EQ(got[i], ITEMS);
	}
	link_end();
}

#define MIB(n) ((uint64_t)(n) << 17) /* in items */

static const struct herd herds[] = {
	{ "of_50_at_once_all_are_served", 50, 0, 0, 0, 0, PEAL_SENDER, false },
	{ "of_32_at_once_all_are_served_where_on_open_takes_10_ms", 32, 0, 10,
	  0, 0, PEAL_SENDER, false },
	{ "of_50_at_once_with_4_mib_all_are_served", 50, MIB(4), 0, 0, 0,
	  PEAL_SENDER, false },
	{ "of_24_at_once_with_4_mib_all_are_served_by_a_slow_server", 24,
	  MIB(4), 10, 0, 0, PEAL_SENDER, false },
	{ "of_24_at_once_on_reactors_all_are_served_once", 24, 0, 10, 0, 0,
	  PEAL_SENDER, true },
	{ "of_24_at_once_with_two_rings_on_reactors_all_are_served", 24, MIB(1),
	  5, 0, 0, PEAL_BOTH, true },
	{ "of_40_at_once_all_are_served_by_a_server_that_has_no_patience", 40,
	  0, 20, 0, 60, PEAL_SENDER, false },
	{ "a_ring_of_30_mib_is_opened_between_turns_of_80_ms", 1, MIB(30), 0,
	  80, 0, PEAL_SENDER, false },
	{ "two_rings_of_4_mib_are_opened_between_turns_of_80_ms", 1, MIB(4), 0,
	  80, 100, PEAL_BOTH, false },
	{ "rings_on_reactors_are_opened_between_turns_of_80_ms", 3, MIB(4), 0,
	  80, 100, PEAL_BOTH, true },
};

#define HERDS (sizeof(herds) / sizeof(*herds))

__attribute__((constructor)) static void register_herds(void)
{
	static struct test tests[HERDS];

	for (size_t i = 0; i < HERDS; i++)
		test_register_row(&tests[i], herds[i].name, run_herd,
				  &herds[i]);
}
