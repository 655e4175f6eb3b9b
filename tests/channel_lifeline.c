/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How a channel ends: by death, by a finish of one side or of one ring, from
 * any callback; what was published is delivered first, and it is told once.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixtures/service.h"

#define NUMBERS 300

static struct link_gate gate;

struct row {
	enum link_host host;
	enum peal_doorbell_kind bells;
	int where; /* for those that have a place, too */
	char name[96];
};

static void await_death(pid_t pid)
{
	siginfo_t info;

	/* It stays a zombie, so that its number is nobody else's. */
	CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	CHECK_EQ(info.si_code, CLD_KILLED);
	CHECK_EQ(info.si_status, SIGKILL);
}

/* Nothing is told any more. */
static void stay_closed(const struct party *party)
{
	for (int i = 0; i < 20; i++)
		link_once(false);
	CHECK_EQ(party->closes, 1);
	CHECK_EQ(party->opens, 1);
}

/* -- a death */

static void connect_as(enum peal_role role, const struct row *row,
		       struct peal_channel *ch)
{
	struct peal_hello hello = link_hello(role, 512);

	hello.bells = row->bells;
	link_connect(ch, &hello);
}

static void send_and_die(void *arg)
{
	struct peal_channel ch;

	connect_as(PEAL_SENDER, arg, &ch);
	link_put(&ch, 0, NUMBERS);
	kill(getpid(), SIGKILL);
}

static void killed_sender(const void *arg)
{
	const struct row *row = arg;
	struct peal_service service = usual();
	pid_t pid;

	link_folder();
	pid = test_fork(send_and_die, (void *)(uintptr_t)arg);
	link_serve(row->host, &service);
	LINK_UNTIL(there.opens);
	await_death(pid);
	LINK_UNTIL(there.closes);
	CHECK_EQ(there.in, NUMBERS);
	CHECK_EQ(there.reason, -EPIPE);
	stay_closed(&there);
	waitpid(pid, NULL, 0);
	link_end();
}

static void receive_and_die(void *arg)
{
	struct peal_channel ch;

	connect_as(PEAL_RECEIVER, arg, &ch);
	link_get(&ch, 0, NUMBERS);
	kill(getpid(), SIGKILL);
}

static void killed_receiver(const void *arg)
{
	const struct row *row = arg;
	struct peal_service service = usual();
	pid_t pid;

	link_folder();
	pid = test_fork(receive_and_die, (void *)(uintptr_t)arg);
	there.most = UINT64_MAX;
	link_serve(row->host, &service);
	LINK_UNTIL(there.closes);
	CHECK(there.out >= NUMBERS);
	CHECK_EQ(there.reason, -EPIPE);
	stay_closed(&there);
	await_death(pid);
	waitpid(pid, NULL, 0);
	link_end();
}

/* The child's child holds the socket, and goes on sending. */
static void hide_death(void *arg)
{
	struct peal_channel ch;

	connect_as(PEAL_SENDER, arg, &ch);
	link_put(&ch, 0, NUMBERS);
	if (fork() > 0) {
		kill(getpid(), SIGKILL);
	} else {
		link_gate_sleep(&gate);
		_exit(0);
	}
}

static void hidden_death(const void *arg)
{
	const struct row *row = arg;
	struct peal_service service = usual();
	pid_t pid;

	link_folder();
	link_gate_init(&gate);
	pid = test_fork(hide_death, (void *)(uintptr_t)arg);
	link_serve(row->host, &service);
	LINK_UNTIL(there.in == NUMBERS); /* or the client would complain */
	if (!there.closes && there.ch->peer.pidfd < 0)
		test_skip("this kernel has no SO_PEERPIDFD");
	LINK_UNTIL(there.closes);
	CHECK_EQ(there.in, NUMBERS);
	CHECK_EQ(there.reason, -EPIPE);
	stay_closed(&there);
	link_gate_open(&gate);
	waitpid(pid, NULL, 0);
	link_gate_finish(&gate);
	link_end();
}

/* -- of the server, for those who block */

static void die(void)
{
	kill(getpid(), SIGKILL);
}

static long answer_and_die(struct peal_channel *ch, void *user)
{
	struct party *p = user;

	party_take(p, &ch->receiver);
	if (p->in == 0)
		return PEAL_DONE;
	p->most = NUMBERS;
	if (ch->hello.role == PEAL_BOTH)
		party_send(p, &ch->sender);
	die();
	return PEAL_DONE;
}

static void serve_until_death(void *arg)
{
	const struct row *row = arg;
	struct peal_service service = usual();

	service.callbacks.on_readable = answer_and_die;
	link_reactor(row->host);
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service), 0);
	LINK_UNTIL(false);
}

static void blocking_waits_end(const void *arg)
{
	const struct row *row = arg;
	struct peal_hello hello = link_hello(PEAL_BOTH, 512);
	struct peal_channel ch;
	const uint64_t *items;
	uint64_t *free, number = 1;
	pid_t pid;

	link_folder();
	pid = test_fork(serve_until_death, (void *)(uintptr_t)arg);
	hello.bells = row->bells;
	link_connect(&ch, &hello);
	CHECK_EQ(peal_channel_check(&ch), 0);
	link_put(&ch, 0, 1);
	link_get(&ch, 0, NUMBERS);
	CHECK_EQ(peal_receiver_wait(&ch.receiver, 1, -1, &items), -EPIPE);
	CHECK(peal_receiver_ended(&ch.receiver));
	/* More room than there is, so that it has to wait. */
	CHECK_EQ(peal_sender_put(&ch.sender, &number, 1), 1);
	CHECK_EQ(peal_sender_wait(&ch.sender, 512, -1, &free), -EPIPE);
	CHECK_EQ(peal_channel_check(&ch), -EPIPE);
	CHECK_EQ(peal_channel_check(&ch), -EPIPE);
	peal_channel_close(&ch);
	waitpid(pid, NULL, 0);
	unlink(link_path);
	link_reactor(LINK_OWN);
	link_end();
}

static void a_sender_alone(const void *arg)
{
	const struct row *row = arg;
	struct peal_hello hello = link_hello(PEAL_SENDER, 512);
	struct peal_channel ch;
	uint64_t *items;
	ssize_t n;
	uint64_t sent = 0;
	pid_t pid;

	link_folder();
	pid = test_fork(serve_until_death, (void *)(uintptr_t)arg);
	hello.bells = row->bells;
	link_connect(&ch, &hello);
	while ((n = peal_sender_wait(&ch.sender, 1, -1, &items)) > 0) {
		items[0] = sent++;
		peal_sender_commit(&ch.sender, 1);
	}
	CHECK_EQ(n, -EPIPE);
	peal_channel_close(&ch);
	waitpid(pid, NULL, 0);
	unlink(link_path);
	link_reactor(LINK_OWN);
	link_end();
}

/* -- half-close */

static void reply_when_ended(struct peal_channel *ch, void *user)
{
	struct party *p = user;

	CHECK_EQ(p->in, NUMBERS);
	party_ended(ch, user);
	p->most = 10 * NUMBERS;
	p->finishes = true;
	party_send(p, &ch->sender);
}

static void half_close(const void *arg)
{
	const struct row *row = arg;
	struct peal_service service = usual();
	struct peal_channel_callbacks callbacks = party_callbacks(&here);
	struct peal_hello hello = link_hello(PEAL_BOTH, 512);
	struct peal_channel ch = { 0 };

	hello.bells = row->bells;
	service.callbacks.on_ended = reply_when_ended;
	here.most = NUMBERS;
	here.finishes = true;
	link_serve(row->host, &service);
	CHECK_EQ(peal_connect_on(&ch, &loop, link_path, &hello, &callbacks, 0),
		 0);
	LINK_UNTIL(here.closes && there.closes);
	CHECK_EQ(here.reason, 0);
	CHECK_EQ(there.reason, 0);
	CHECK_EQ(there.ends, 1);
	CHECK_EQ(here.ends, 0);
	CHECK_EQ(here.in, 10 * NUMBERS);
	stay_closed(&here);
	stay_closed(&there);
	link_end();
}

/* -- a finish that lingers */

static void linger(const void *arg)
{
	const struct row *row = arg;
	struct peal_service service = usual();
	struct peal_channel_callbacks callbacks = party_callbacks(&here);
	struct peal_hello hello = link_hello(PEAL_RECEIVER, 512);
	struct peal_channel ch = { 0 };

	hello.bells = row->bells;
	there.most = NUMBERS;
	here.deaf = true;
	link_serve(row->host, &service);
	CHECK_EQ(peal_connect_on(&ch, &loop, link_path, &hello, &callbacks, 0),
		 0);
	LINK_UNTIL(here.opens && there.opens && there.out == NUMBERS);
	/* Whoever leaves items after the end loses them: so finish late. */
	peal_sender_finish(&there.ch->sender);
	if (row->where == 1) { /* the receiver dies, or leaves */
		peal_channel_close(&ch);
		LINK_UNTIL(there.closes);
		stay_closed(&there);
		link_end();
		return;
	}
	here.deaf = false;
	party_take(&here, &ch.receiver);
	LINK_UNTIL(here.closes && there.closes);
	CHECK_EQ(here.reason, 0);
	CHECK_EQ(there.reason, 0);
	CHECK_EQ(here.in, NUMBERS);
	stay_closed(&there);
	link_end();
}

static void wait_then_receive(void *arg)
{
	const struct row *row = arg;
	const uint64_t *items;
	struct peal_channel ch;

	connect_as(PEAL_RECEIVER, row, &ch);
	link_gate_sleep(&gate);
	if (row->where == 1)
		die();
	CHECK_EQ(peal_channel_check(&ch), 0);
	link_get(&ch, 0, NUMBERS);
	CHECK_EQ(peal_receiver_wait(&ch.receiver, 1, -1, &items), 0);
	peal_channel_close(&ch);
}

static void linger_for_a_blocking_client(const void *arg)
{
	const struct row *row = arg;
	struct peal_service service = usual();
	pid_t pid;

	link_folder();
	link_gate_init(&gate);
	pid = test_fork(wait_then_receive, (void *)(uintptr_t)arg);
	there.most = NUMBERS;
	there.finishes = true;
	link_serve(row->host, &service);
	LINK_UNTIL(there.out == NUMBERS);
	for (int i = 0; i < 20; i++)
		link_once(false);
	CHECK_EQ(there.closes, 0);
	link_gate_open(&gate);
	LINK_UNTIL(there.closes);
	/* Not all of it was taken: so it is no good end. */
	CHECK_EQ(there.reason, row->where == 1 ? -EPIPE : 0);
	stay_closed(&there);
	waitpid(pid, NULL, 0);
	link_gate_finish(&gate);
	link_end();
}

/* -- a finish of all of it, from any callback */

enum place {
	OPEN,
	READABLE,
	WRITABLE,
	ENDED,
	PLACES
};

static enum place place;
static bool by_server;
static int fired, after;

static void fire(struct peal_channel *ch, enum place now)
{
	bool is_server = ch >= channels && ch < channels + CHANNELS;

	if (is_server != by_server)
		return;
	after += fired;
	if (now != place)
		return;
	fired++;
	peal_channel_close(ch);
	/* Nobody may touch it any more. */
	memset(ch, 0xee, sizeof(*ch));
}

static void fire_open(struct peal_channel *ch, void *user)
{
	party_open(ch, user);
	fire(ch, OPEN);
}

static long fire_readable(struct peal_channel *ch, void *user)
{
	party_take(user, &ch->receiver);
	fire(ch, READABLE);
	return fired ? 1234567 : PEAL_DONE;
}

static long fire_writable(struct peal_channel *ch, void *user)
{
	party_send(user, &ch->sender);
	fire(ch, WRITABLE);
	return fired ? 1234567 : PEAL_DONE;
}

static void fire_ended(struct peal_channel *ch, void *user)
{
	party_ended(ch, user);
	fire(ch, ENDED);
}

static void finish_in_callback(const void *arg)
{
	const struct row *row = arg;
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_BOTH, 512);
	struct peal_channel ch = { 0 };
	struct party *mine, *other;
	int fds;

	place = (enum place)(row->where / 2);
	by_server = row->where % 2;
	mine = by_server ? &there : &here;
	other = by_server ? &here : &there;
	hello.bells = row->bells;
	service.callbacks.on_open = fire_open;
	service.callbacks.on_readable = fire_readable;
	service.callbacks.on_writable = fire_writable;
	service.callbacks.on_ended = fire_ended;
	link_serve(row->host, &service);
	fds = test_count_fds();
	service.callbacks.user = &here;
	other->most = NUMBERS;
	other->finishes = true;
	CHECK_EQ(peal_connect_on(&ch, &loop, link_path, &hello,
				 &service.callbacks, 0),
		 0);
	LINK_UNTIL(fired && (other->closes || place == OPEN));
	if (other->opens)
		LINK_UNTIL(other->closes);
	for (int i = 0; i < 20; i++)
		link_once(false);
	CHECK_EQ(fired, 1);
	CHECK_EQ(after, 0);
	CHECK_EQ(mine->closes, 0);
	CHECK_EQ(other->closes, 1);
	CHECK_EQ(other->reason, 0);
	CHECK_EQ(test_count_fds(), fds);
	memset(channels, 0, sizeof(channels));
	link_end();
}

/* -- for those who poll */

static void say_and_wait(void *arg)
{
	struct peal_channel ch;

	CHECK_EQ(peal_channel_accept(&ch, *(int *)arg,
				     &(struct peal_service){ 0 }, true, -1),
		 0);
	link_put(&ch, 0, NUMBERS);
	link_gate_sleep(&gate);
	die();
}

TEST(who_polls_is_told_of_the_end_by_a_check)
{
	struct peal_hello hello = link_hello(PEAL_BOTH, 512);
	struct peal_channel ch;
	const uint64_t *items;
	uint64_t number = 0;
	int pair[2];
	pid_t pid;

	link_gate_init(&gate);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
		 0);
	pid = test_fork(say_and_wait, &pair[0]);
	close(pair[0]);
	CHECK_EQ(peal_connect_fd(&ch, pair[1], &hello, -1), 0);
	link_get(&ch, 0, 1);
	CHECK_EQ(peal_channel_check(&ch), 0);
	CHECK_EQ(peal_sender_put(&ch.sender, &number, 1), 1);
	link_gate_open(&gate);
	await_death(pid);
	CHECK(!peal_receiver_ended(&ch.receiver));
	CHECK_EQ(peal_channel_check(&ch), -EPIPE);
	CHECK_EQ(peal_sender_put(&ch.sender, &number, 1), -EPIPE);
	CHECK_EQ(peal_receiver_peek(&ch.receiver, &items), NUMBERS - 1);
	peal_receiver_release(&ch.receiver, NUMBERS - 1);
	CHECK(peal_receiver_ended(&ch.receiver));
	peal_channel_close(&ch);
	waitpid(pid, NULL, 0);
	close(pair[1]);
	link_gate_finish(&gate);
}

/* -- the table */

struct kind {
	const char *name;
	void (*run)(const void *row);
	const char *const *places;
	int n;
};

static const char *const lingers[] = { "", "_and_the_receiver_leaves" };
static const char *const in_places[] = {
	"_on_open_at_the_client",     "_on_open_at_the_server",
	"_on_readable_at_the_client", "_on_readable_at_the_server",
	"_on_writable_at_the_client", "_on_writable_at_the_server",
	"_on_ended_at_the_client",    "_on_ended_at_the_server",
};

static const struct kind kinds[] = {
	{ "a_killed_sender_is_drained_first", killed_sender, NULL, 1 },
	{ "a_killed_receiver_is_told_once", killed_receiver, NULL, 1 },
	{ "a_death_that_a_child_hides_is_found", hidden_death, NULL, 1 },
	{ "blocking_waits_end_with_the_server", blocking_waits_end, NULL, 1 },
	{ "a_blocking_sender_ends_with_the_server", a_sender_alone, NULL, 1 },
	{ "one_side_ends_and_the_other_goes_on", half_close, NULL, 1 },
	{ "a_finish_lingers_until_it_is_delivered", linger, lingers, 2 },
	{ "a_finish_waits_for_a_blocking_client", linger_for_a_blocking_client,
	  lingers, 2 },
	{ "a_channel_may_be_finished", finish_in_callback, in_places,
	  2 * PLACES },
};

#define KINDS (int)(sizeof(kinds) / sizeof(*kinds))

static void add_row(struct test *test, struct row *row, const struct kind *kind)
{
	snprintf(row->name, sizeof(row->name), "%s%s_%s_%s", kind->name,
		 kind->places ? kind->places[row->where] : "",
		 row->bells == PEAL_DOORBELL_SOCKET ? "socket" : "eventfd",
		 link_host_name(row->host));
	test_register_row(test, row->name, kind->run, row);
}

__attribute__((constructor)) static void add_rows(void)
{
	static struct row rows[sizeof(kinds) / sizeof(*kinds)][2 * PLACES][2]
			      [LINK_HOSTS];
	static struct test tests[sizeof(kinds) / sizeof(*kinds)][2 * PLACES][2]
				[LINK_HOSTS];

	for (int k = 0; k < KINDS; k++)
		for (int w = 0; w < kinds[k].n; w++)
			for (int b = 0; b < 2; b++)
				for (int h = 0; h < LINK_HOSTS; h++) {
					struct row *row = &rows[k][w][b][h];

					row->host = (enum link_host)h;
					row->bells = (enum peal_doorbell_kind)(
						b + PEAL_DOORBELL_EVENTFD);
					row->where = w;
					add_row(&tests[k][w][b][h], row,
						&kinds[k]);
				}
}
