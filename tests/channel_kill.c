/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Kill loops: senders and receivers killed with SIGKILL at any instant, and
 * each item that was published accounted for. None is lost and none torn as
 * long as its sender or the ring's receiver lives; those that were read and not
 * released when a receiver died come again, and no others.
 *
 * A party dies in its handshake or later, at a time or after a number of steps
 * (between reserve, fill and commit, peek and release). Before the other side
 * is killed the survivors have met again, and what the dead had published was
 * received: where both are dead nothing is promised.
 *
 * PEAL_LONG=1 in the environment kills 1000 of each side, not 50.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fixtures/harness.h"
#include "fixtures/kill.h"

#define SERVER KILL_CLIENTS
#define PATIENCE_S 30
#define STEPS 3000 /* to a death, at most */

enum kill_role {
	KILL_BLOCKING,
	KILL_REACTOR,
	KILL_MIXED
};

struct scenario {
	const char *name;
	int clients;
	enum peal_role role;
	enum peal_doorbell_kind bells;
	enum kill_role how; /* the clients go about it */
	bool clients_die, servers_die;
};

enum {
	CLIENT_SIDE,
	SERVER_SIDE
};

struct leader {
	const struct scenario *scenario;
	pid_t pids[KILL_CLIENTS + 1];
	uint64_t flows; /* given out */
	uint64_t dead[KILL_FLOWS];
	size_t n_dead;
	int kills[2];
	int young; /* of them, before they had a channel */
	uint64_t fds[KILL_CLIENTS + 1], maps[KILL_CLIENTS + 1];
	bool counted;
	uint64_t random;
};

static struct leader leader;

static uint64_t below(uint64_t n)
{
	return test_random(&leader.random) % n;
}

static uint64_t any_scale(uint64_t least, uint64_t most)
{
	return kill_any_scale(&leader.random, least, most);
}

static void sleep_us(uint64_t us)
{
	struct timespec ts = { .tv_nsec = (long)us * 1000 };

	nanosleep(&ts, NULL);
}

/* -- what happened to the items */

static bool arrived(uint64_t number)
{
	const struct kill_flow *flow = &kill_world.page->flows[number];
	uint64_t received = kill_load(&flow->received);

	/* The last batch of a dead sender is there, or it is not. */
	return received == kill_load(&flow->released) &&
	       (received == kill_load(&flow->done) ||
		received == kill_load(&flow->intent));
}

static bool all_arrived(void)
{
	for (size_t i = 0; i < leader.n_dead; i++)
		if (!arrived(leader.dead[i]))
			return false;
	leader.n_dead = 0;
	return true;
}

/* The flows of all that live, too. */
static bool drained(void)
{
	const struct kill_page *page = kill_world.page;

	for (int i = 0; i < kill_world.clients; i++)
		if (!arrived(page->processes[i].identity) ||
		    !arrived(page->processes[i].back))
			return false;
	return all_arrived();
}

/* -- waiting for the survivors */

static void describe_flow(const char *what, uint64_t number)
{
	const struct kill_flow *f = &kill_world.page->flows[number];

	test_note(
		"%s flow %llu: intent %llu, done %llu, received %llu, "
		"released %llu",
		what, (unsigned long long)number, (unsigned long long)f->intent,
		(unsigned long long)f->done, (unsigned long long)f->received,
		(unsigned long long)f->released);
}

static void describe(void)
{
	for (size_t i = 0; i < leader.n_dead; i++)
		if (!arrived(leader.dead[i]))
			describe_flow("dead", leader.dead[i]);
	for (int i = 0; i < kill_world.clients; i++) {
		const struct kill_process *p = &kill_world.page->processes[i];

		test_note(
			"client %d, pid %d: at server %d; server %d has open "
			"%llu, it is %llu; it has %d fds and %d maps",
			i, (int)leader.pids[i], (int)p->server,
			(int)p->open_server,
			(unsigned long long)p->open_identity,
			(unsigned long long)p->identity, (int)p->fds,
			(int)p->maps);
		describe_flow("out", p->identity);
		describe_flow("back", p->back);
	}
	test_note("the server, pid %d, has %d fds and %d maps",
		  (int)leader.pids[SERVER],
		  (int)kill_world.page->processes[SERVER].fds,
		  (int)kill_world.page->processes[SERVER].maps);
	test_note("%d clients and %d servers were killed",
		  leader.kills[CLIENT_SIDE], leader.kills[SERVER_SIDE]);
}

static void wait_until(bool (*reached)(void), const char *what)
{
	time_t end = time(NULL) + PATIENCE_S;

	while (!reached()) {
		if (time(NULL) > end) {
			describe();
			test_fail(__FILE__, __LINE__, "never: %s", what);
		}
		sleep_us(200);
	}
}

static bool all_met(void)
{
	uint64_t server = (uint64_t)leader.pids[SERVER];

	for (int i = 0; i < kill_world.clients; i++) {
		const struct kill_process *p = &kill_world.page->processes[i];

		if (kill_load(&p->server) != server ||
		    kill_load(&p->open_server) != server ||
		    kill_load(&p->open_identity) != p->identity)
			return false;
	}
	return true;
}

static bool all_answered(void)
{
	const struct kill_page *page = kill_world.page;

	for (int i = 0; i <= SERVER; i++)
		if (leader.pids[i] &&
		    kill_load(&page->processes[i].census) != page->census)
			return false;
	return true;
}

/*
 * Each has as many fds and mappings as when all of them met first, but for what
 * it sleeps with.
 */
static bool as_before(void)
{
	struct kill_page *page = kill_world.page;

	kill_store(&page->census, page->census + 1);
	wait_until(all_answered, "a census");
	for (int i = 0; i <= SERVER; i++) {
		const struct kill_process *p = &page->processes[i];

		if (!leader.pids[i])
			continue;
		if (!leader.counted) {
			leader.fds[i] = p->fds;
			leader.maps[i] = p->maps;
		} else if (p->fds != leader.fds[i] ||
			   p->maps != leader.maps[i]) {
			return false;
		}
	}
	leader.counted = true;
	return true;
}

static void settle(void)
{
	wait_until(all_met, "all clients at the server");
	wait_until(all_arrived, "what the dead had published");
	wait_until(as_before, "as many fds and mappings as at first");
}

/* -- life */

static uint64_t new_flow(void)
{
	CHECK(leader.flows + 1 < KILL_FLOWS);
	return ++leader.flows;
}

static struct kill_habit habit_of(int who)
{
	const struct scenario *s = leader.scenario;

	return (struct kill_habit){
		.role = s->role,
		.bells = s->bells,
		.blocks = s->how == KILL_BLOCKING ||
			  (s->how == KILL_MIXED && who % 2 == 0),
		.capacity = KILL_CAPACITY,
		.batch = KILL_BATCH,
	};
}

/* @param doomed  it will be dead soon, whatever it does */
static void start(int who, bool doomed)
{
	struct kill_process *p = &kill_world.page->processes[who];
	uint64_t args[] = { (uint64_t)who, test_random(&leader.random) };
	bool by_fuse = doomed && below(2) == 0;

	p->met = 0;
	p->habit = habit_of(who);
	p->fuse = by_fuse ? any_scale(1, STEPS) : 0;
	kill_world.doom_ns = doomed && !by_fuse ? any_scale(20000, 20000000)
						: 0;
	if (who == SERVER) {
		for (int i = 0; i < kill_world.clients; i++)
			kill_world.page->processes[i].back = new_flow();
		leader.pids[who] = test_fork(kill_server, &args[1]);
	} else {
		p->identity = new_flow();
		leader.pids[who] = test_fork(kill_client, args);
	}
}

static int doomed; /* who it is that has to die */

static bool is_dead(void)
{
	siginfo_t info = { .si_pid = 0 };

	CHECK_EQ(waitid(P_PID, (id_t)leader.pids[doomed], &info,
			WEXITED | WNOHANG | WNOWAIT),
		 0);
	return info.si_pid != 0;
}

static void reap_killed(int who)
{
	struct kill_page *page = kill_world.page;
	int status;

	doomed = who;
	wait_until(is_dead, "a step at which it dies");
	CHECK_EQ(waitpid(leader.pids[who], &status, 0), leader.pids[who]);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	leader.pids[who] = 0;
	leader.young += !page->processes[who].met;
	leader.kills[who == SERVER ? SERVER_SIDE : CLIENT_SIDE]++;
	if (who == SERVER)
		for (int i = 0; i < kill_world.clients; i++)
			leader.dead[leader.n_dead++] = page->processes[i].back;
	else
		leader.dead[leader.n_dead++] = page->processes[who].identity;
}

/* At some time, or at some step. */
static void strike(int who)
{
	uint64_t *fuse = &kill_world.page->processes[who].fuse;

	if (below(2) == 0) {
		kill_store(fuse, any_scale(1, STEPS));
		return;
	}
	sleep_us(any_scale(1, 2000));
	kill(leader.pids[who], SIGKILL);
}

/* One of them, or some clients at once; the next ones may die young. */
static void kill_some(int side)
{
	int clients = kill_world.clients;
	int first = side == SERVER_SIDE ? SERVER
					: (int)below((uint64_t)clients);
	int n = side == SERVER_SIDE ? 1 : 1 + (int)below((uint64_t)clients);

	for (int i = 0; i < n; i++)
		strike(side == SERVER_SIDE ? SERVER : (first + i) % clients);
	for (int i = 0; i < n; i++) {
		int who = side == SERVER_SIDE ? SERVER : (first + i) % clients;

		reap_killed(who);
		while (below(2) == 0) {
			start(who, true);
			reap_killed(who);
		}
		start(who, false);
	}
	settle();
}

/* -- a run */

static int wanted(void)
{
	return getenv("PEAL_LONG") ? 1000 : 50;
}

static void kill_all(const struct scenario *s)
{
	int clients = s->clients_die ? wanted() : 0;
	int servers = s->servers_die ? wanted() : 0;

	while (leader.kills[CLIENT_SIDE] < clients ||
	       leader.kills[SERVER_SIDE] < servers) {
		int side = (int)below(2);

		if (leader.kills[side] <
		    (side == CLIENT_SIDE ? clients : servers))
			kill_some(side);
	}
}

static void end_all(void)
{
	struct kill_page *page = kill_world.page;

	kill_store(&page->quiet, 1);
	wait_until(drained, "all that was published");
	kill_store(&page->stop, 1);
	for (int i = 0; i <= SERVER; i++)
		if (leader.pids[i])
			test_join(leader.pids[i]);
}

static void report(void)
{
	uint64_t items = 0, repeats = 0;

	for (uint64_t i = 1; i <= leader.flows; i++) {
		items += kill_world.page->flows[i].received;
		repeats += kill_world.page->flows[i].repeats;
	}
	test_note("%d clients and %d servers killed, %d before they met",
		  leader.kills[CLIENT_SIDE], leader.kills[SERVER_SIDE],
		  leader.young);
	test_note("%llu items, %llu of them again", (unsigned long long)items,
		  (unsigned long long)repeats);
	CHECK(items > 0);
}

static void run(const void *row)
{
	const struct scenario *s = row;
	char folder[] = "/tmp/peal-kill-XXXXXX";

	CHECK(mkdtemp(folder));
	leader.random = test_seed();
	leader.scenario = s;
	kill_world.clients = s->clients;
	snprintf(kill_world.address, sizeof(kill_world.address), "%s/socket",
		 folder);
	kill_world.page = mmap(NULL, sizeof(*kill_world.page),
			       PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(kill_world.page != MAP_FAILED);
	start(SERVER, false);
	for (int i = 0; i < s->clients; i++)
		start(i, false);
	settle();
	kill_all(s);
	end_all();
	report();
	munmap(kill_world.page, sizeof(*kill_world.page));
	CHECK_EQ(rmdir(folder), 0);
}

#define EVENTFD PEAL_DOORBELL_EVENTFD
#define SOCKET PEAL_DOORBELL_SOCKET

static const struct scenario scenarios[] = {
	{ "sender_is_a_client_that_is_killed", 1, PEAL_SENDER, EVENTFD,
	  KILL_BLOCKING, true, false },
	{ "sender_is_a_client_that_is_killed_with_the_socket_as_bell", 1,
	  PEAL_SENDER, SOCKET, KILL_BLOCKING, true, false },
	{ "receiver_is_a_server_that_is_killed", 2, PEAL_SENDER, EVENTFD,
	  KILL_BLOCKING, false, true },
	{ "receiver_is_a_server_that_is_killed_with_the_socket_as_bell", 2,
	  PEAL_SENDER, SOCKET, KILL_BLOCKING, false, true },
	{ "receiver_is_a_server_whose_clients_come_back_by_themselves", 2,
	  PEAL_SENDER, EVENTFD, KILL_REACTOR, false, true },
	{ "receiver_is_a_server_whose_clients_come_back_with_the_socket_as_"
	  "bell",
	  2, PEAL_SENDER, SOCKET, KILL_REACTOR, false, true },
	{ "receiver_is_a_client_that_is_killed", 1, PEAL_RECEIVER, EVENTFD,
	  KILL_BLOCKING, true, false },
	{ "receiver_is_a_client_that_is_killed_with_the_socket_as_bell", 1,
	  PEAL_RECEIVER, SOCKET, KILL_REACTOR, true, false },
	{ "both_ways_and_either_side_killed", 1, PEAL_BOTH, EVENTFD,
	  KILL_BLOCKING, true, true },
	{ "both_ways_and_either_side_killed_with_the_socket_as_bell", 1,
	  PEAL_BOTH, SOCKET, KILL_BLOCKING, true, true },
	{ "both_ways_on_reactors_and_either_side_killed", 1, PEAL_BOTH, EVENTFD,
	  KILL_REACTOR, true, true },
	{ "both_ways_on_reactors_and_either_side_killed_with_the_socket_as_"
	  "bell",
	  1, PEAL_BOTH, SOCKET, KILL_REACTOR, true, true },
	{ "five_clients_and_their_server_killed_at_random", 5, PEAL_BOTH,
	  EVENTFD, KILL_MIXED, true, true },
	{ "five_clients_and_their_server_killed_with_the_socket_as_bell", 5,
	  PEAL_BOTH, SOCKET, KILL_MIXED, true, true },
};

#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

__attribute__((constructor)) static void register_scenarios(void)
{
	static struct test tests[SCENARIOS];

	if (getenv("PEAL_LONG"))
		setenv("TEST_TIMEOUT", "900", 0);
	for (size_t i = 0; i < SCENARIOS; i++)
		test_register_row(&tests[i], scenarios[i].name, run,
				  &scenarios[i]);
}
