/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Who lives, who dies, and when. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../fixtures/harness.h"
#include "soak.h"

#define SERVER KILL_CLIENTS
#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define PATIENCE (30 * SECOND)
#define STEPS 3000	     /* to a death, at most */
#define DOOM_MOST (500 * MS) /* then it is killed at once */
#define GROWTH (256 * 1024)  /* of a server: what it had not touched yet */

enum state {
	GONE,
	LIVING,
	DOOMED,
};

static struct {
	struct one {
		pid_t pid;
		enum state state;
		uint64_t start_at, doomed_at, go_on_at;
	} ones[KILL_CLIENTS + 1];
	uint64_t random;
	uint64_t strike_at, server_at, census_at, end_at;
	bool counted, ending;
} crowd;

static volatile sig_atomic_t interrupted;

static uint64_t below(uint64_t n)
{
	return test_random(&crowd.random) % n;
}

static uint64_t any_scale(uint64_t least, uint64_t most)
{
	return kill_any_scale(&crowd.random, least, most);
}

static struct kill_process *process(int who)
{
	return &kill_world.page->processes[who];
}

/* -- how they go about it */

/* What a number stands for stays: its ring is taken up again. */
static const struct kill_habit kinds[] = {
	{ .role = PEAL_SENDER, .bells = PEAL_DOORBELL_EVENTFD, .blocks = true },
	{ .messages = true },
	{ .role = PEAL_SENDER, .bells = PEAL_DOORBELL_SOCKET },
	{ .role = PEAL_BOTH, .bells = PEAL_DOORBELL_EVENTFD },
	{ .role = PEAL_BOTH, .bells = PEAL_DOORBELL_SOCKET, .blocks = true },
	{ .role = PEAL_SENDER, .bells = PEAL_DOORBELL_EVENTFD },
	{ .messages = true },
	{ .role = PEAL_SENDER, .bells = PEAL_DOORBELL_SOCKET, .blocks = true },
};

static struct kill_habit habit_of(int who)
{
	struct kill_habit habit = kinds[who % 8];

	habit.capacity = UINT64_C(64) << who / 2 % 4 * 2;
	habit.batch = any_scale(1, habit.capacity / 4);
	habit.watermark = below(2) ? 1 : 1 + below(habit.capacity / 2);
	habit.barriers = below(2);
	habit.stall_us = below(2) ? 0 : 200000;
	if (habit.messages)
		habit.capacity = habit.capacity * 64;
	if (who == SERVER)
		habit = (struct kill_habit){ .batch = 64, .stall_us = 5000 };
	return habit;
}

static bool receives(int who)
{
	return kinds[who % 8].role == PEAL_BOTH;
}

/* -- birth and death */

static void become(int who, uint64_t seed)
{
	uint64_t args[] = { (uint64_t)who, seed };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	if (who == SERVER)
		kill_server(&args[1]);
	else if (kinds[who % 8].messages)
		soak_letters(args);
	else
		kill_client(args);
	exit(EXIT_SUCCESS);
}

static void collect(struct kill_process *p)
{
	soak_figures.bytes += p->bytes;
	soak_figures.doorbells += p->doorbells;
	soak_figures.wakeups += p->wakeups;
	soak_figures.resumed += p->resumed;
	soak_figures.connects += p->connects;
	if (p->connects > 1)
		soak_figures.reconnects += p->connects - 1;
	p->bytes = p->doorbells = p->wakeups = p->resumed = p->connects = 0;
}

static void give_flows(int who)
{
	if (who != SERVER)
		process(who)->identity = soak_flow_new();
	for (int i = 0; who == SERVER && i < kill_world.clients; i++)
		if (receives(i))
			process(i)->back = soak_flow_new();
}

static void start(int who, bool doomed)
{
	struct one *one = &crowd.ones[who];
	struct kill_process *p = process(who);
	uint64_t seed = test_random(&crowd.random);
	bool by_fuse = doomed && below(2) == 0;

	p->met = p->server = 0;
	p->habit = habit_of(who);
	p->fuse = by_fuse ? any_scale(1, STEPS) : 0;
	kill_world.doom_ns = doomed && !by_fuse ? any_scale(20000, 20 * MS) : 0;
	give_flows(who);
	if (who == SERVER)
		crowd.counted = false;
	fflush(NULL);
	one->pid = fork();
	if (one->pid < 0)
		soak_fail("fork: %s", strerror(errno));
	if (one->pid == 0)
		become(who, seed);
	one->state = doomed ? DOOMED : LIVING;
	one->doomed_at = soak_now();
}

static void mourn(int who)
{
	if (who != SERVER) {
		soak_figures.sender_kills++;
		soak_flow_dead(process(who)->identity, SERVER);
		return;
	}
	soak_figures.server_kills++;
	for (int i = 0; i < kill_world.clients; i++)
		if (receives(i))
			soak_flow_dead(process(i)->back, i);
}

static void note_end(pid_t pid, int status)
{
	int who = 0;

	while (who <= SERVER && crowd.ones[who].pid != pid)
		who++;
	if (who > SERVER)
		return;
	if (!(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) &&
	    !(crowd.ending && status == 0))
		soak_fail("process %d of number %d ended with status 0x%x",
			  (int)pid, who, (unsigned)status);
	collect(process(who));
	if (!crowd.ending)
		mourn(who);
	crowd.ones[who] = (struct one){
		.start_at = soak_now() + (below(2) ? below(50 * MS) : 0)
	};
}

static void go_on(struct one *one)
{
	kill(one->pid, SIGCONT);
	one->go_on_at = 0;
}

static bool server_lives(void)
{
	return crowd.ones[SERVER].state == LIVING;
}

static void attend_one(int who, uint64_t now)
{
	struct one *one = &crowd.ones[who];

	if (one->state == GONE && !crowd.ending && now >= one->start_at) {
		bool die_young = below(4) == 0 && now < crowd.end_at;

		start(who, die_young && (who == SERVER || server_lives()));
	} else if (one->state == DOOMED && now > one->doomed_at + DOOM_MOST) {
		kill(one->pid, SIGKILL);
	}
	if (one->go_on_at && now >= one->go_on_at)
		go_on(one);
}

/* What has to be done all the time. */
static void attend(void)
{
	uint64_t now = soak_now();
	int status;
	pid_t pid;

	if (kill_load(soak_failed))
		soak_fail("see above");
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		note_end(pid, status);
	for (int i = 0; i < kill_world.clients; i++)
		attend_one(i, now);
	attend_one(SERVER, now);
	soak_progress();
	nanosleep(&(struct timespec){ .tv_nsec = 300000 }, NULL);
}

/* -- waiting */

static bool has_met(int who)
{
	const struct kill_process *p = process(who);
	uint64_t server = (uint64_t)crowd.ones[SERVER].pid;

	return kill_load(&p->server) == server &&
	       kill_load(&p->open_server) == server &&
	       kill_load(&p->open_identity) == p->identity;
}

static bool calm(void)
{
	for (int i = 0; i < kill_world.clients; i++)
		if (crowd.ones[i].state != LIVING || !has_met(i))
			return false;
	return server_lives() && soak_flows_waiting() == 0;
}

static bool drained(void)
{
	for (int i = 0; i < kill_world.clients; i++)
		if (!soak_flow_drained(process(i)->identity) ||
		    (receives(i) && !soak_flow_drained(process(i)->back)))
			return false;
	return true;
}

/* Since when it was asked last with `anew`. */
static bool moved(int i, bool anew)
{
	static uint64_t flow[KILL_CLIENTS], seen[KILL_CLIENTS][2];
	const struct kill_flow *flows = kill_world.page->flows;
	uint64_t out = kill_load(&flows[process(i)->identity].released);
	uint64_t back = kill_load(&flows[process(i)->back].released);
	bool has = flow[i] != process(i)->identity || out != seen[i][0];

	if (!anew)
		return has && (!receives(i) || back != seen[i][1]);
	flow[i] = process(i)->identity;
	seen[i][0] = out;
	seen[i][1] = back;
	return true;
}

static bool all_moved(void)
{
	for (int i = 0; i < kill_world.clients; i++)
		if (!moved(i, false))
			return false;
	return true;
}

static bool all_gone(void)
{
	for (int i = 0; i <= SERVER; i++)
		if (crowd.ones[i].state != GONE)
			return false;
	return true;
}

static bool server_answered(void)
{
	return kill_load(&process(SERVER)->census) == kill_world.page->census;
}

static bool all_answered(void)
{
	for (int i = 0; i <= SERVER; i++)
		if (crowd.ones[i].state != GONE &&
		    kill_load(&process(i)->census) != kill_world.page->census)
			return false;
	return true;
}

static void describe(void)
{
	for (int i = 0; i < kill_world.clients; i++) {
		const struct kill_process *p = process(i);
		const struct kill_flow *f =
			&kill_world.page->flows[p->identity];

		fprintf(stderr,
			"number %d, pid %d, state %d: at server %d; server %d "
			"has open %llu, it is %llu; done %llu, released %llu\n",
			i, (int)crowd.ones[i].pid, crowd.ones[i].state,
			(int)p->server, (int)p->open_server,
			(unsigned long long)p->open_identity,
			(unsigned long long)p->identity,
			(unsigned long long)f->done,
			(unsigned long long)f->released);
	}
	fprintf(stderr, "the server: pid %d, state %d\n",
		(int)crowd.ones[SERVER].pid, crowd.ones[SERVER].state);
	soak_flows_describe();
}

static void until(bool (*reached)(void), const char *what)
{
	uint64_t patience = soak_now() + PATIENCE;

	while (!reached()) {
		attend();
		if (soak_now() > patience) {
			describe();
			soak_fail("never: %s", what);
		}
	}
}

/* -- what the server has */

static bool has_grown(const struct soak_census *now)
{
	const struct soak_census *first = &soak_figures.first;
	uint64_t allowed = first->resident + GROWTH;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	allowed = UINT64_MAX; /* they keep what was freed */
#endif
	return now->fds != first->fds || now->maps != first->maps ||
	       now->resident > allowed;
}

static void take_census(struct soak_census *census)
{
	const struct kill_process *p = process(SERVER);

	kill_store(&kill_world.page->census, kill_world.page->census + 1);
	until(server_answered, "an answer of the server");
	*census = (struct soak_census){ p->fds, p->maps, p->resident };
	soak_figures.censuses++;
}

/* All have met; then the server has what it had when they met first. */
static void settle(void)
{
	uint64_t patience = soak_now() + PATIENCE;
	struct soak_census census;

	until(calm, "all at the server, and what the dead had published");
	for (int i = 0; i < kill_world.clients; i++)
		moved(i, true);
	if (!kill_world.page->quiet)
		until(all_moved, "an item of each, though nobody was killed");
	take_census(&census);
	if (!crowd.counted)
		soak_figures.first = census;
	crowd.counted = true;
	while (has_grown(&census)) {
		if (soak_now() > patience)
			soak_fail(
				"the server had %d fds, %d mappings and %llu "
				"bytes; it has %d, %d and %llu",
				(int)soak_figures.first.fds,
				(int)soak_figures.first.maps,
				(unsigned long long)soak_figures.first.resident,
				(int)census.fds, (int)census.maps,
				(unsigned long long)census.resident);
		attend();
		take_census(&census);
	}
	soak_figures.last = census;
	crowd.census_at = soak_now() + 5 * SECOND;
}

/* -- death */

static void strike(int who)
{
	struct one *one = &crowd.ones[who];

	one->state = DOOMED;
	one->doomed_at = soak_now();
	if (below(2) == 0)
		kill_store(&process(who)->fuse, any_scale(1, STEPS));
	else
		kill(one->pid, SIGKILL);
}

/* What it has not taken from a server that is dead would be lost with it. */
static bool may_die(int who)
{
	const struct kill_process *p = process(who);
	const struct kill_flow *flow = &kill_world.page->flows[p->identity];

	return crowd.ones[who].state == LIVING && server_lives() &&
	       (has_met(who) || kill_load(&flow->intent) == 0) &&
	       soak_flows_arrived(who);
}

static void hold_up(int who, uint64_t most)
{
	struct one *one = &crowd.ones[who];

	if (one->state != LIVING || one->go_on_at)
		return;
	kill(one->pid, SIGSTOP);
	one->go_on_at = soak_now() + any_scale(most / 64, most / 2);
	soak_figures.stops++;
}

static void strike_any(void)
{
	int who = (int)below((uint64_t)kill_world.clients);
	uint64_t mean = 400 * MS / (uint64_t)kill_world.clients;

	if (below(16) == 0)
		hold_up(SERVER, 40 * MS);
	else if (below(2) == 0)
		hold_up(who, 200 * MS);
	else if (may_die(who))
		strike(who);
	crowd.strike_at = soak_now() + below(2 * mean + MS);
}

/* -- a run */

static void on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

/* However slow the machine is: some have been killed, too. */
static bool is_over(void)
{
	return soak_now() >= crowd.end_at && soak_figures.sender_kills > 0 &&
	       (soak_options.keep_server || soak_figures.server_kills > 0);
}

static void live(void)
{
	while (!interrupted && !is_over()) {
		uint64_t now = soak_now();

		attend();
		if (now >= crowd.server_at && server_lives()) {
			settle();
			crowd.server_at = soak_now() + SECOND / 2 +
					  below(3 * SECOND);
			if (!soak_options.keep_server)
				strike(SERVER);
		} else if (now >= crowd.census_at) {
			settle();
		} else if (now >= crowd.strike_at) {
			strike_any();
		}
	}
	crowd.end_at = 0;
}

int soak_run(void)
{
	uint64_t began = soak_now();

	crowd.random = soak_options.seed;
	crowd.end_at = began + soak_options.seconds * SECOND;
	crowd.server_at = began + SECOND;
	crowd.census_at = began + SECOND;
	signal(SIGINT, on_interrupt);
	signal(SIGTERM, on_interrupt);
	soak_flows_init();
	start(SERVER, false);
	for (int i = 0; i < kill_world.clients; i++)
		start(i, false);
	settle();
	live();
	settle();
	kill_store(&kill_world.page->quiet, 1);
	/* Whoever answers after that has nothing more to publish. */
	kill_store(&kill_world.page->census, kill_world.page->census + 1);
	until(all_answered, "an answer of all");
	until(drained, "all that was published");
	settle();
	crowd.ending = true;
	kill_store(&kill_world.page->stop, 1);
	until(all_gone, "the end of all of them");
	soak_figures.seconds = (double)(soak_now() - began) / 1e9;
	soak_flows_close();
	return soak_figures.lost > 0 || soak_figures.items == 0;
}
