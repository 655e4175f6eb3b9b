/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * After a death: a sender keeps what was published and not released, and
 * carries it over to whoever comes next. At least once, never not at all.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixtures/service.h"

#define DEATHS 8
#define EACH 700 /* numbers from one death to the next */
#define TOTAL (DEATHS * EACH)
#define CAPACITY 512

/* What the receivers, one after the other, have seen. */
struct seen {
	uint64_t next; /* all below was received at least once */
	uint64_t again;
	bool ended;
};

static struct seen *seen;

static void share_seen(void)
{
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(seen != MAP_FAILED);
}

static void die(void)
{
	kill(getpid(), SIGKILL);
}

/* Look at some, note them, and release them, or die before that. */
static void look(struct peal_receiver *rx, const uint64_t *items, ssize_t n,
		 uint64_t death)
{
	size_t used = 0;

	for (; used < (size_t)n && used < 50; used++) {
		CHECK(items[used] <= seen->next);
		CHECK(used == 0 || items[used] == items[used - 1] + 1);
		if (items[used] == seen->next)
			seen->next++;
		else
			seen->again++;
		if (seen->next == death)
			die();
	}
	peal_receiver_release(rx, used);
}

/* -- servers that die */

static long receive_until_death(struct peal_channel *ch, void *user)
{
	const uint64_t *items;
	ssize_t n = peal_receiver_peek(&ch->receiver, &items);

	if (n > 0)
		look(&ch->receiver, items, n, *(uint64_t *)user);
	return PEAL_MORE;
}

static void note_end(struct peal_channel *ch, int reason, void *user)
{
	(void)ch;
	(void)user;
	if (reason == 0)
		seen->ended = true;
}

static void mortal_server(void *arg)
{
	struct peal_service service = {
		.accept = { .item_size = 8 },
		.channels = channels,
		.n_channels = CHANNELS,
		.callbacks = { .on_readable = receive_until_death,
			       .on_closed = note_end,
			       .user = arg },
	};

	link_reactor(LINK_OWN);
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service), 0);
	LINK_UNTIL(seen->ended);
	peal_server_close(&server);
	peal_reactor_close(&loop);
}

static pid_t next_server(uint64_t death)
{
	static uint64_t at;

	at = death;
	return test_fork(mortal_server, &at);
}

/* It dies EACH numbers later than the one before; the last one lives on. */
static pid_t another_server(uint64_t *death)
{
	*death += EACH;
	return next_server(*death < TOTAL ? *death : UINT64_MAX);
}

static bool is_dead(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) == pid;
}

TEST(a_client_on_a_reactor_outlives_its_servers_and_loses_nothing)
{
	struct peal_channel_callbacks callbacks = party_callbacks(&here);
	struct peal_hello hello = link_hello(PEAL_SENDER, CAPACITY);
	struct peal_channel ch = { 0 };
	uint64_t death = EACH;
	pid_t pid;

	share_seen();
	link_folder();
	pid = next_server(death);
	link_reactor(LINK_OWN);
	here.most = TOTAL;
	here.step = 7;
	CHECK_EQ(peal_connect_on(&ch, &loop, link_path, &hello, &callbacks, 5),
		 0);
	while (seen->next < TOTAL) {
		link_once(true);
		if (death < TOTAL && is_dead(pid)) {
			/* While nobody is there. */
			here.step = 1 + (size_t)death % 100;
			if (ch.sender.end.items)
				party_send(&here, &ch.sender);
			pid = another_server(&death);
		}
		if (peal_sender_free(&ch.sender) > 0)
			party_send(&here, &ch.sender);
	}
	CHECK(ch.connects >= DEATHS);
	CHECK_EQ(here.opens, ch.connects);
	CHECK_EQ(here.closes, 0);
	peal_channel_close(&ch);
	test_join(pid);
	CHECK(seen->ended);
	test_note("%d came again", (int)seen->again);
	link_end();
}

TEST(a_blocking_client_reconnects_and_loses_nothing)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, CAPACITY);
	struct peal_channel ch;
	uint64_t death = EACH, sent = 0, *items;
	unsigned connects = 1;
	pid_t pid;

	share_seen();
	link_folder();
	pid = next_server(death);
	link_connect(&ch, &hello);
	while (sent < TOTAL) {
		ssize_t n = peal_sender_wait(&ch.sender, 1, -1, &items);

		if (n == -EPIPE) {
			waitpid(pid, NULL, 0);
			/* Nobody is there: the old ring stays as it is. */
			for (int i = 0; i < 3; i++)
				CHECK_EQ(peal_reconnect(&ch, 0), -ECONNREFUSED);
			pid = another_server(&death);
			while (peal_reconnect(&ch, -1) < 0)
				usleep(1000);
			CHECK_EQ(ch.connects, ++connects);
			continue;
		}
		CHECK(n > 0);
		items[0] = sent++;
		peal_sender_commit(&ch.sender, 1);
	}
	/* The last servers may die with all that there is on its way. */
	while (seen->next < TOTAL) {
		if (peal_channel_check(&ch) == 0) {
			usleep(1000);
			continue;
		}
		waitpid(pid, NULL, 0);
		pid = another_server(&death);
		while (peal_reconnect(&ch, -1) < 0)
			usleep(1000);
	}
	peal_channel_close(&ch);
	test_join(pid);
	CHECK(seen->ended);
	link_reactor(LINK_OWN);
	link_end();
}

/* -- clients that die, and a server that keeps their rings */

struct life {
	uint64_t death, capacity;
	enum peal_doorbell_kind bells;
};

static void mortal_client(void *arg)
{
	const struct life *life = arg;
	struct peal_hello hello = link_hello(PEAL_RECEIVER, life->capacity);
	struct peal_channel ch;
	const uint64_t *items;
	ssize_t n;

	strcpy(hello.name, "cello");
	hello.bells = life->bells;
	link_connect(&ch, &hello);
	CHECK(ch.in.ring.geometry.capacity >= life->capacity);
	while ((n = peal_receiver_wait(&ch.receiver, 1, -1, &items)) > 0)
		look(&ch.receiver, items, n, life->death);
	CHECK_EQ(n, 0);
	seen->ended = true;
	peal_channel_close(&ch);
}

/* Each in its turn; a child is forked while the server runs, so it takes what
 * it holds of it along, and closes that. */
static void lone_client(void *arg)
{
	close_from(3);
	mortal_client(arg);
}

static void clients_die(enum peal_doorbell_kind bells)
{
	struct peal_service service = keeping();
	struct life life = { .death = EACH, .capacity = CAPACITY };
	int closes = 0;
	pid_t pid;

	share_seen();
	life.bells = bells;
	link_serve(LINK_OWN, &service);
	there.most = TOTAL;
	for (int i = 0; i < DEATHS; i++) {
		bool last = i + 1 == DEATHS;

		life.death = last ? UINT64_MAX : (uint64_t)(i + 1) * EACH;
		there.finishes = last;
		pid = test_fork(lone_client, &life);
		LINK_UNTIL(there.closes > closes);
		closes++;
		waitpid(pid, NULL, 0);
		CHECK_EQ(there.reason, last ? 0 : -EPIPE);
		/* While nobody is there; and into larger rings each time. */
		if (!last)
			party_send(&there, &channels[0].sender);
		life.capacity = CAPACITY << (i % 3 + 1);
	}
	CHECK_EQ(there.opens, DEATHS);
	CHECK_EQ(seen->next, TOTAL);
	CHECK(seen->ended);
	test_note("%d came again", (int)seen->again);
	peal_channel_close(&channels[0]);
	link_end();
}

TEST(a_server_keeps_a_ring_for_a_client_that_comes_back_eventfds)
{
	clients_die(PEAL_DOORBELL_EVENTFD);
}

TEST(a_server_keeps_a_ring_for_a_client_that_comes_back_socket)
{
	clients_die(PEAL_DOORBELL_SOCKET);
}

/* -- a sender that had finished */

TEST(what_a_sender_published_before_it_finished_is_carried_over)
{
	struct peal_service service = keeping();
	struct life life = { .death = 100, .capacity = CAPACITY };
	pid_t pid;

	share_seen();
	link_serve(LINK_OWN, &service);
	there.most = 300;
	there.finishes = true;
	pid = test_fork(lone_client, &life);
	LINK_UNTIL(there.closes == 1);
	waitpid(pid, NULL, 0);
	CHECK_EQ(there.reason, -EPIPE);
	CHECK_EQ(there.out, 300);
	CHECK_EQ(peal_sender_reserve(&channels[0].sender, 1, &(void *){ 0 }),
		 -EPIPE);
	life.death = UINT64_MAX;
	life.capacity = 4 * CAPACITY;
	pid = test_fork(lone_client, &life);
	LINK_UNTIL(there.closes == 2);
	test_join(pid);
	CHECK_EQ(there.reason, 0);
	CHECK_EQ(seen->next, 300);
	CHECK(seen->ended);
	link_end();
}

TEST(a_sender_finished_while_its_client_is_away_ends_the_next_one)
{
	struct peal_service service = keeping();
	struct life life = { .death = 100, .capacity = CAPACITY };
	pid_t pid;

	share_seen();
	link_serve(LINK_OWN, &service);
	there.most = 300;
	pid = test_fork(lone_client, &life);
	LINK_UNTIL(there.closes == 1);
	waitpid(pid, NULL, 0);
	there.most = 400;
	there.finishes = true;
	party_send(&there, &channels[0].sender);
	CHECK_EQ(there.out, 400);
	life.death = UINT64_MAX;
	pid = test_fork(lone_client, &life);
	LINK_UNTIL(there.closes == 2);
	test_join(pid);
	CHECK_EQ(there.reason, 0);
	CHECK_EQ(seen->next, 400);
	link_end();
}

TEST(a_kept_ring_is_full_in_the_end_and_finished_by_its_owner)
{
	struct peal_service service = keeping();
	struct life life = { .death = 1, .capacity = CAPACITY };
	uint64_t number = 0, *items;
	int fds;
	pid_t pid;

	share_seen();
	link_serve(LINK_OWN, &service);
	fds = test_count_fds();
	there.most = 1;
	pid = test_fork(lone_client, &life);
	LINK_UNTIL(there.closes == 1);
	waitpid(pid, NULL, 0);
	CHECK_EQ(test_count_fds(), fds); /* memory alone is kept */
	for (int i = 1; i < CAPACITY; i++)
		CHECK_EQ(peal_sender_put(&channels[0].sender, &number, 1), 1);
	CHECK_EQ(peal_sender_put(&channels[0].sender, &number, 1), 0);
	CHECK_EQ(peal_sender_try_reserve(&channels[0].sender, &items), 0);
	CHECK_EQ(peal_sender_reserve(&channels[0].sender, 1, &items), 0);
	CHECK(!is_unused(channels));
	peal_channel_close(&channels[0]);
	CHECK(is_unused(channels));
	link_end();
}

/* -- whose ring it is */

/* Each client is sent the first letter of its name, when it comes first. */
static void greet(struct peal_channel *ch, void *user)
{
	uint64_t letter = (uint64_t)ch->hello.name[0];

	party_open(ch, user);
	if (ch->connects == 1)
		CHECK_EQ(peal_sender_put(&ch->sender, &letter, 1), 1);
}

static void serve_letters(void)
{
	struct peal_service service = keeping();

	there = (struct party){ 0 };
	service.callbacks.on_open = greet;
	service.callbacks.on_writable = NULL;
	service.on_refused = on_refused;
	link_serve(LINK_OWN, &service);
}

static void come(struct peal_channel *ch, const char *name, const char *tag)
{
	struct peal_hello hello = link_hello(PEAL_RECEIVER, 8);
	struct peal_channel_callbacks callbacks = party_callbacks(&here);

	snprintf(hello.name, sizeof(hello.name), "%s", name);
	snprintf(hello.tag, sizeof(hello.tag), "%s", tag);
	here = (struct party){ .deaf = true };
	refused.n = 0;
	CHECK_EQ(peal_connect_on(ch, &loop, link_path, &hello, &callbacks, 0),
		 0);
	LINK_UNTIL(here.opens || here.closes);
}

/* As if it had been killed. */
static void vanish(struct peal_channel *ch)
{
	int closes = there.closes;

	CHECK_EQ(shutdown(peal_channel_fd(ch), SHUT_RDWR), 0);
	LINK_UNTIL(there.closes > closes);
	CHECK_EQ(there.reason, -EPIPE);
	peal_channel_close(ch);
}

static uint64_t kept(void)
{
	struct peal_server_stats stats;

	peal_server_stats(&server, &stats);
	return stats.kept;
}

static void check_letter(struct peal_channel *ch, uint64_t letter)
{
	const uint64_t *item;

	CHECK_EQ(here.opens, 1);
	CHECK_EQ(there.ch->connects, 2);
	CHECK_EQ(peal_receiver_peek(&ch->receiver, &item), 1);
	CHECK_EQ(*item, letter);
}

TEST(each_client_that_comes_back_has_its_own_ring_again)
{
	static struct peal_channel cello, viola;

	serve_letters();
	come(&cello, "cello", "");
	come(&viola, "viola", "");
	vanish(&cello);
	vanish(&viola);
	CHECK_EQ(kept(), 2);
	come(&viola, "viola", "");
	check_letter(&viola, 'v');
	come(&cello, "cello", "");
	check_letter(&cello, 'c');
	CHECK_EQ(kept(), 0);
	peal_channel_close(&cello);
	peal_channel_close(&viola);
	link_end();
}

TEST(a_name_is_for_one_client_of_a_user_at_a_time)
{
	static struct peal_channel cello, another;

	serve_letters();
	come(&cello, "cello", "");
	come(&another, "cello", "");
	CHECK_EQ(here.reason, -EAGAIN);
	check_refused(-EAGAIN, "the channel of this client is still in use");
	CHECK_EQ(there.opens, 1);
	peal_channel_close(&cello);
	link_end();
}

TEST(nothing_is_kept_for_a_client_without_a_name)
{
	static struct peal_channel ch;

	serve_letters();
	come(&ch, "", "");
	vanish(&ch);
	CHECK_EQ(kept(), 0);
	CHECK(is_unused(&channels[0]));
	link_end();
}

TEST(a_client_that_is_refused_leaves_what_is_kept_as_it_was)
{
	static struct peal_channel cello;

	serve_letters();
	come(&cello, "cello", "");
	vanish(&cello);
	come(&cello, "cello", "other/1");
	CHECK_EQ(here.reason, -EPROTOTYPE);
	CHECK_EQ(refused.n, 1);
	CHECK_EQ(there.closes, 1);
	CHECK_EQ(kept(), 1);
	come(&cello, "cello", "");
	check_letter(&cello, 'c');
	peal_channel_close(&cello);
	link_end();
}
