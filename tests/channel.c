/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Channels in use: every role, clients that block and clients on a reactor,
 * in every kind of loop, by eventfds and by the socket.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixtures/link.h"

#define NUMBERS 20000
#define CLIENTS 8

static struct peal_channel channels[CLIENTS];

/* -- every role in every loop */

struct row {
	enum peal_role role;
	enum peal_doorbell_kind bells;
	enum link_host host;
	char name[96];
};

static struct peal_hello hello_of(const struct row *row)
{
	struct peal_hello hello = link_hello(row->role, 512);

	hello.bells = row->bells;
	return hello;
}

static void blocking_client(void *arg)
{
	const struct row *row = arg;
	struct peal_hello hello = hello_of(row);
	struct peal_channel ch;
	const uint64_t *items;
	int fds = test_count_fds();

	link_connect(&ch, &hello);
	CHECK_EQ(peal_channel_bells(&ch), row->bells);
	for (uint64_t i = 0; i < NUMBERS; i += 100) {
		if (row->role & PEAL_SENDER)
			link_put(&ch, i, 100);
		if (row->role & PEAL_RECEIVER)
			link_get(&ch, i, 100);
	}
	if (row->role == PEAL_RECEIVER) {
		CHECK_EQ(peal_receiver_wait(&ch.receiver, 1, -1, &items), 0);
		CHECK(peal_receiver_ended(&ch.receiver));
	}
	peal_channel_close(&ch);
	CHECK_EQ(test_count_fds(), fds);
}

static void check_party(const struct party *party, enum peal_role role)
{
	CHECK_EQ(party->opens, 1);
	CHECK_EQ(party->closes, 1);
	CHECK_EQ(party->reason, 0);
	if (role & PEAL_RECEIVER)
		CHECK_EQ(party->in, NUMBERS);
	if (role & PEAL_SENDER)
		CHECK_EQ(party->out, NUMBERS);
}

static enum peal_role other(enum peal_role role)
{
	return (enum peal_role)((role & 1) << 1 | role >> 1);
}

static void blocking_row(const void *arg)
{
	const struct row *row = arg;
	/* A server that sends alone says when it is over. */
	struct party there = { .most = NUMBERS,
			       .finishes = row->role == PEAL_RECEIVER };
	struct peal_service service = { .accept = { .item_size = 8 },
					.channels = channels,
					.n_channels = CLIENTS,
					.callbacks = party_callbacks(&there) };
	pid_t pid;

	link_folder();
	pid = test_fork(blocking_client, (void *)(uintptr_t)arg);
	link_serve(row->host, &service);
	LINK_UNTIL(there.closes);
	test_join(pid);
	check_party(&there, other(row->role));
	link_end();
}

static void reactor_row(const void *arg)
{
	const struct row *row = arg;
	struct party there = { .most = NUMBERS, .finishes = true },
		     here = there;
	struct peal_channel_callbacks callbacks = party_callbacks(&here);
	struct peal_hello hello = hello_of(row);
	struct peal_service service = { .accept = { .item_size = 8 },
					.channels = channels,
					.n_channels = CLIENTS,
					.callbacks = party_callbacks(&there) };
	struct peal_channel ch = { 0 };

	link_serve(row->host, &service);
	CHECK_EQ(peal_connect_on(&ch, &loop, link_path, &hello, &callbacks, 0),
		 0);
	CHECK_EQ(peal_connect_on(&ch, &loop, link_path, &hello, &callbacks, 0),
		 -EBUSY);
	LINK_UNTIL(here.opens);
	CHECK_EQ(peal_channel_bells(&ch), row->bells);
	LINK_UNTIL(here.closes && there.closes);
	check_party(&here, row->role);
	check_party(&there, other(row->role));
	link_end();
}

static const char *role_name(enum peal_role role)
{
	static const char *const names[] = { "", "sender", "receiver", "both" };

	return names[role];
}

static void add_row(struct test *test, struct row *row,
		    void (*run)(const void *row), const char *what)
{
	snprintf(row->name, sizeof(row->name),
		 "%s_client_that_is_%s_rings_%s_to_a_server_in_%s", what,
		 role_name(row->role),
		 row->bells == PEAL_DOORBELL_SOCKET ? "the_socket" : "eventfds",
		 link_host_name(row->host));
	test_register_row(test, row->name, run, row);
}

__attribute__((constructor)) static void add_rows(void)
{
	static struct row rows[2][PEAL_BOTH][2][LINK_HOSTS];
	static struct test tests[2][PEAL_BOTH][2][LINK_HOSTS];

	for (int kind = 0; kind < 2; kind++)
		for (int role = 0; role < PEAL_BOTH; role++)
			for (int bells = 0; bells < 2; bells++)
				for (int h = 0; h < LINK_HOSTS; h++) {
					struct row *row =
						&rows[kind][role][bells][h];

					row->role = (enum peal_role)(role + 1);
					row->bells = (enum peal_doorbell_kind)(
						bells + PEAL_DOORBELL_EVENTFD);
					row->host = (enum link_host)h;
					add_row(&tests[kind][role][bells][h],
						row,
						kind ? reactor_row
						     : blocking_row,
						kind ? "reactor" : "blocking");
				}
}

/* -- who is who */

static void connect_and_finish(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 0);
	struct peal_channel ch;

	(void)arg;
	strcpy(hello.name, "cello");
	strcpy(hello.tag, "number/1");
	link_connect(&ch, &hello);
	CHECK(ch.peer.known && ch.peer.trusted);
	CHECK_EQ(ch.peer.pid, getppid());
	CHECK_EQ(ch.peer.uid, geteuid());
	CHECK_EQ(ch.connects, 1);
	peal_channel_close(&ch);
}

TEST(each_side_knows_who_is_at_the_other)
{
	struct party there = { 0 };
	struct peal_service service = { .accept = { .item_size = 8 },
					.channels = channels,
					.n_channels = 1,
					.callbacks = party_callbacks(&there) };
	pid_t pid;

	link_folder();
	pid = test_fork(connect_and_finish, NULL);
	link_serve(LINK_OWN, &service);
	LINK_UNTIL(there.opens);
	CHECK(there.ch == &channels[0]);
	CHECK_EQ(there.ch->peer.pid, pid);
	CHECK_EQ(there.ch->peer.uid, geteuid());
	CHECK_EQ(there.ch->peer.gid, getegid());
	CHECK(there.ch->peer.trusted);
	CHECK_EQ(there.ch->connects, 1);
	CHECK(strcmp(there.ch->hello.name, "cello") == 0);
	CHECK(strcmp(there.ch->hello.tag, "number/1") == 0);
	CHECK(peal_channel_fd(there.ch) >= 0);
	LINK_UNTIL(there.closes);
	test_join(pid);
	CHECK_EQ(there.reason, 0);
	CHECK_EQ(peal_channel_fd(&channels[0]), -1);
	link_end();
}

/* -- many clients, each with a party of its own */

static struct party parties[CLIENTS];

/* Each is the first member of what the test keeps for a client. */
static struct guest {
	struct peal_channel channel;
	int number;
} guests[CLIENTS];

static bool admit(const struct peal_hello *hello, const struct peal_peer *peer,
		  const char **why, void *user)
{
	CHECK(atoi(hello->name) < CLIENTS);
	CHECK(peer->known);
	CHECK(user == parties);
	(void)why;
	return true;
}

static void guest_opens(struct peal_channel *ch, void *user)
{
	struct guest *guest = (struct guest *)(void *)ch;

	CHECK(user == parties);
	CHECK(guest >= guests && guest < guests + CLIENTS);
	CHECK_EQ(guest->number, guest - guests);
	ch->user = &parties[atoi(ch->hello.name)];
	party_open(ch, ch->user);
}

static void send_numbers(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 64);
	struct peal_channel ch;

	snprintf(hello.name, sizeof(hello.name), "%d",
		 (int)((struct party *)arg - parties));
	link_connect(&ch, &hello);
	link_put(&ch, 0, NUMBERS);
	peal_channel_close(&ch);
}

static bool all_have_closed(void)
{
	for (int i = 0; i < CLIENTS; i++)
		if (!parties[i].closes)
			return false;
	return true;
}

TEST(each_client_that_is_admitted_has_storage_and_a_user_of_its_own)
{
	struct peal_service service = { .admit = admit,
					.channels = &guests[0].channel,
					.n_channels = CLIENTS,
					.channel_size = sizeof(*guests),
					.callbacks = party_callbacks(NULL) };
	struct peal_server_stats stats;
	pid_t pids[CLIENTS];

	service.callbacks.user = parties;
	service.callbacks.on_open = guest_opens;
	for (int i = 0; i < CLIENTS; i++)
		guests[i].number = i;
	link_folder();
	for (int i = 0; i < CLIENTS; i++)
		pids[i] = test_fork(send_numbers, &parties[i]);
	link_serve(LINK_OWN, &service);
	LINK_UNTIL(all_have_closed());
	for (int i = 0; i < CLIENTS; i++) {
		test_join(pids[i]);
		CHECK_EQ(parties[i].opens, 1);
		CHECK_EQ(parties[i].reason, 0);
		CHECK_EQ(parties[i].in, NUMBERS);
	}
	peal_server_stats(&server, &stats);
	CHECK_EQ(stats.opened, CLIENTS);
	CHECK_EQ(stats.channels, 0);
	CHECK_EQ(stats.handshakes, 0);
	CHECK_EQ(stats.connections, CLIENTS + stats.failed + stats.refused);
	link_end();
}

/* -- small things */

TEST(a_channel_that_is_all_zero_is_valid_and_nothing)
{
	struct peal_channel ch = { 0 };
	struct peal_server none = { 0 };

	peal_channel_close(&ch);
	peal_channel_close(&ch);
	peal_server_close(&none);
	CHECK_EQ(peal_channel_fd(&ch), -1);
	CHECK_EQ(peal_channel_check(&ch), -EPIPE);
	CHECK_EQ(peal_reconnect(&ch, 0), -EINVAL);
}

static void check_ends_are_nothing(struct peal_channel *ch)
{
	uint64_t number = 0;
	void *items;

	CHECK_EQ(peal_sender_reserve(&ch->sender, 1, &items), -EPIPE);
	CHECK_EQ(peal_sender_try_reserve(&ch->sender, &items), -EPIPE);
	CHECK_EQ(peal_sender_put(&ch->sender, &number, 1), -EPIPE);
	CHECK_EQ(peal_sender_wait(&ch->sender, 1, -1, &items), -EPIPE);
	CHECK_EQ(peal_sender_free(&ch->sender), -EPIPE);
	CHECK_EQ(peal_receiver_peek(&ch->receiver, &items), -EPIPE);
	CHECK_EQ(peal_receiver_get(&ch->receiver, &number, 1), -EPIPE);
	CHECK_EQ(peal_receiver_wait(&ch->receiver, 1, -1, &items), -EPIPE);
	CHECK_EQ(peal_receiver_used(&ch->receiver), -EPIPE);
}

TEST(ends_that_are_not_there_are_epipe_at_every_call)
{
	struct peal_hello hello = link_hello(PEAL_BOTH, 8);
	struct party here = { 0 };
	struct peal_channel_callbacks callbacks = party_callbacks(&here);
	struct peal_channel ch = { 0 };

	link_folder();
	link_reactor(LINK_OWN);
	check_ends_are_nothing(&ch);
	CHECK_EQ(peal_connect_on(&ch, &loop, link_path, &hello, &callbacks, 1),
		 0);
	for (int i = 0; i < 5; i++) {
		check_ends_are_nothing(&ch);
		link_once(true);
	}
	peal_channel_close(&ch);
	CHECK_EQ(here.closes, 0);
	check_ends_are_nothing(&ch);
	link_end();
}

TEST(a_client_on_a_reactor_is_told_that_nobody_listens)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct party here = { 0 };
	struct peal_channel_callbacks callbacks = party_callbacks(&here);
	struct peal_channel ch = { 0 };

	link_folder();
	link_reactor(LINK_OWN);
	CHECK_EQ(peal_connect_on(&ch, &loop, link_path, &hello, &callbacks, 0),
		 0);
	LINK_UNTIL(here.closes);
	CHECK_EQ(here.reason, -ENOENT);
	CHECK_EQ(here.opens, 0);
	link_end();
}

TEST(a_blocking_client_is_told_that_nobody_listens)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel ch;

	link_folder();
	CHECK_EQ(peal_connect(&ch, link_path, &hello, -1), -ENOENT);
	CHECK(strcmp(ch.text, strerror(ENOENT)) == 0);
	CHECK_EQ(peal_connect(&ch, "@peal-test-nobody", &hello, -1),
		 -ECONNREFUSED);
	CHECK(strcmp(ch.text, strerror(ECONNREFUSED)) == 0);
	CHECK_EQ(peal_connect(&ch, "", &hello, -1), -EINVAL);
	CHECK_EQ(peal_connect(&ch, "@", &hello, -1), -EINVAL);
	memset(link_path, 'x', sizeof(link_path) - 1);
	CHECK_EQ(peal_connect(&ch, link_path, &hello, -1), -ENOENT);
	link_reactor(LINK_OWN);
	link_end();
}
