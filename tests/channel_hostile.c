/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The server, the honest, and what has to hold whatever the enemy does. */
#define _GNU_SOURCE
#include <grp.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include <peal/channel.h>

#include "fixtures/hostile.h"

#define CHANNELS 64
#define OF_ONE_USER 24
#define SLOTS PEAL_SERVER_SLOTS(CHANNELS)
#define MIB ((uint64_t)1 << 20)
#define ROWS 400

struct field *field;

static struct peal_slot slots[SLOTS];
static struct peal_reactor loop;
static struct peal_server server;
static struct peal_channel channels[CHANNELS];
static uint64_t next_in[CHANNELS];
static pid_t honest[HONEST + 1], enemy;
static int alive;	    /* of the honest */
static uint64_t longest_us; /* of one iteration */

static void set(int *word)
{
	__atomic_store_n(word, 1, __ATOMIC_RELEASE);
}

/* What the thread has run, apart from what it was kept from running. */
static uint64_t thread_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* -- the server */

static bool is_honest(const struct peal_channel *ch)
{
	return !strncmp(ch->hello.name, "honest ", 7);
}

static void echo(struct peal_channel *ch)
{
	unsigned id = (unsigned)(ch->hello.name[7] - '0');
	uint64_t *next = &next_in[ch - channels];
	const uint64_t *in;
	uint64_t *out;

	for (;;) {
		ssize_t n = peal_receiver_peek(&ch->receiver, &in);
		ssize_t room;

		if (n <= 0)
			return;
		room = peal_sender_reserve(&ch->sender, 1, &out);
		if (room <= 0)
			return;
		n = n < room ? n : room;
		for (ssize_t i = 0; i < n; i++) {
			CHECK(in[i] == item_of(id, (*next)++));
			out[i] = ~in[i];
		}
		peal_sender_commit(&ch->sender, (size_t)n);
		peal_receiver_release(&ch->receiver, (size_t)n);
	}
}

static long on_readable(struct peal_channel *ch, void *user)
{
	const volatile unsigned char *items;
	ssize_t n;

	(void)user;
	if (is_honest(ch)) {
		echo(ch);
		return PEAL_DONE;
	}
	n = peal_receiver_peek(&ch->receiver, &items);
	for (ssize_t i = 0; i < n; i++)
		(void)items[(size_t)i * ch->hello.item_size];
	if (n > 0) {
		peal_receiver_release(&ch->receiver, (size_t)n);
		add(&field->taken, (uint64_t)n);
	}
	return PEAL_DONE;
}

static long on_writable(struct peal_channel *ch, void *user)
{
	unsigned char *items;
	ssize_t n;

	(void)user;
	if (is_honest(ch)) {
		echo(ch);
		return PEAL_DONE;
	}
	while ((n = peal_sender_reserve(&ch->sender, 1, &items)) > 0) {
		memset(items, 0x5a, (size_t)n * ITEM);
		peal_sender_commit(&ch->sender, (size_t)n);
	}
	return PEAL_DONE;
}

static void on_open(struct peal_channel *ch, void *user)
{
	(void)user;
	next_in[ch - channels] = 0;
	if (is_honest(ch))
		return;
	field->enemy_uid = ch->peer.uid;
	field->enemy_pid = ch->peer.pid;
	field->enemy_is_trusted = ch->peer.trusted;
	__atomic_fetch_add(&field->opened, 1, __ATOMIC_RELEASE);
}

static void check_text(const char *text)
{
	CHECK(memchr(text, '\0', PEAL_TEXT) != NULL);
	for (; *text; text++)
		CHECK((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void enemy_ended(int reason, const char *text)
{
	check_text(text);
	CHECK(reason <= 0 && reason > -REASONS);
	add(&field->reasons[-reason], 1);
	__atomic_fetch_add(&field->ended, 1, __ATOMIC_RELEASE);
}

static void on_closed(struct peal_channel *ch, int reason, void *user)
{
	(void)user;
	if (!is_honest(ch))
		enemy_ended(reason, ch->text);
	else if (ch->connects > 0) /* else the machine is very busy */
		CHECK_EQ(reason, 0);
}

static void on_refused(const struct peal_peer *peer, int reason,
		       const char *text, void *user)
{
	(void)user;
	for (int i = 0; i <= HONEST; i++)
		if (peer->pid == honest[i])
			return;
	enemy_ended(reason, text);
}

static bool admit(const struct peal_hello *hello, const struct peal_peer *peer,
		  const char **why, void *user)
{
	(void)peer;
	(void)user;
	*why = "no";
	return hello->item_size == ITEM;
}

static void start_server(void)
{
	const struct peal_service service = {
		.admit = admit,
		.channels = channels,
		.n_channels = CHANNELS,
		.callbacks = { .on_open = on_open,
			       .on_readable = on_readable,
			       .on_writable = on_writable,
			       .on_closed = on_closed },
		.on_refused = on_refused,
		.max_bytes = 8 * MIB,
		.max_bytes_per_uid = 64 * MIB,
		.max_per_uid = OF_ONE_USER,
		.handshake_ms = HANDSHAKE_MS,
	};

	CHECK_EQ(peal_reactor_init(&loop, slots, SLOTS), 0);
	CHECK_EQ(
		peal_server_listen_on(&server, &loop, field->address, &service),
		0);
	set(&field->listening);
}

/* Wait for nobody: a child that ends badly fails the row by itself. */
static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == enemy)
			enemy = 0;
		for (int i = 0; i <= HONEST; i++) {
			if (pid != honest[i])
				continue;
			CHECK_EQ(status, 0);
			alive--;
		}
	}
}

static uint64_t shared_bytes(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	uint64_t from, to, total = 0;
	char line[512];

	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file))
		if (strstr(line, "/memfd:peal:") &&
		    sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to) == 2)
			total += to - from;
	fclose(file);
	return total;
}

static uint64_t resident(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long size, pages;

	CHECK(file && fscanf(file, "%lu %lu", &size, &pages) == 2);
	fclose(file);
	return (uint64_t)pages * page();
}

static _Noreturn void fail_and_tell(const char *what)
{
	struct peal_server_stats stats;

	peal_server_stats(&server, &stats);
	test_fail(__FILE__, __LINE__,
		  "%s: opened %" PRIu64 ", ended %" PRIu64
		  ", enemy's items %" PRIu64 ", honest %d, channels %" PRIu64
		  ", handshakes %" PRIu64 ", waiting %" PRIu64,
		  what, count(&field->opened), count(&field->ended),
		  count(&field->taken), alive, stats.channels, stats.handshakes,
		  stats.waiting);
}

static void serve_until(bool (*done)(const void *arg), const void *arg,
			const char *what)
{
	uint64_t end = now_ms() + 2 * WATCHDOG_MS;

	while (!done(arg)) {
		uint64_t before = thread_us();

		CHECK(peal_reactor_run_once(&loop, 5) >= 0);
		before = thread_us() - before;
		if (before > longest_us)
			longest_us = before;
		reap();
		if (now_ms() > end)
			fail_and_tell(what);
	}
}

/* -- what is waited for */

struct mark {
	uint64_t progress[HONEST], visits;
	bool newcomers;
};

static bool went_on(const void *arg)
{
	const struct mark *mark = arg;

	for (int i = 0; i < HONEST; i++)
		if (count(&field->progress[i]) < mark->progress[i] + 256)
			return false;
	return !mark->newcomers || count(&field->visits) > mark->visits + 1;
}

/* The honest get through, from now on. */
static void check_progress(bool newcomers, const char *when)
{
	struct mark mark = { .visits = count(&field->visits),
			     .newcomers = newcomers };

	for (int i = 0; i < HONEST; i++)
		mark.progress[i] = count(&field->progress[i]);
	serve_until(went_on, &mark, when);
	CHECK(shared_bytes() <= 4 * 64 * MIB); /* two users, mapped twice */
}

static int expected(const struct attack *attack)
{
	int known = flag(&field->expect);

	return known ? known : attack->expect;
}

static bool is_over(const void *arg)
{
	const struct attack *attack = arg;
	int expect = expected(attack);

	if (field->why[0])
		return true;
	if (expect == HARMLESS || expect == ANYTHING)
		return flag(&field->struck);
	return count(&field->reasons[-expect]) > 0 ||
	       (attack->or_else && count(&field->ended) > 0);
}

static bool is_alone(const void *arg)
{
	struct peal_server_stats stats;

	(void)arg;
	peal_server_stats(&server, &stats);
	return alive == 0 && stats.channels == 0 && stats.handshakes == 0;
}

static bool is_reaped(const void *arg)
{
	(void)arg;
	return enemy == 0;
}

/* Whatever the enemy was closed for, it was this. */
static void check_reasons(const struct attack *attack)
{
	int expect = expected(attack);

	for (int i = 0; expect != ANYTHING && i < REASONS; i++)
		if (count(&field->reasons[i]) && -i != expect &&
		    (-i != attack->or_else || !attack->or_else))
			test_fail(__FILE__, __LINE__,
				  "the enemy was closed with %d, not %d", -i,
				  expect);
}

/* -- the row */

static void become_nobody(void)
{
	CHECK_EQ(setgroups(0, NULL), 0);
	CHECK_EQ(setresgid(65534, 65534, 65534), 0);
	CHECK_EQ(setresuid(65534, 65534, 65534), 0);
}

static void be_the_enemy(void *arg)
{
	const struct attack *attack = arg;

	if (attack->flags & NOBODY)
		become_nobody();
	die_with_the_server();
	signal(SIGPIPE, SIG_IGN);
	AWAIT(flag(&field->attack));
	attack->run(attack);
	struck();
}

static void fork_all(const struct attack *attack)
{
	for (int i = 0; i < HONEST; i++)
		honest[i] = test_fork(honest_talk, (void *)(uintptr_t)i);
	honest[HONEST] = test_fork(honest_visit, NULL);
	alive = HONEST + 1;
	enemy = test_fork(be_the_enemy, (void *)(uintptr_t)attack);
}

static void set_field(void)
{
	static int number;

	field = mmap(NULL, sizeof(*field), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(field != MAP_FAILED);
	snprintf(field->address, sizeof(field->address), "@peal-hostile-%d-%d",
		 (int)getpid(), number++);
}

static void finish_row(int mappings, uint64_t before)
{
	if (longest_us > 50000)
		test_note("one iteration took %" PRIu64 " us", longest_us);
	set(&field->stop);
	serve_until(is_alone, NULL, "the honest do not come to an end");
	peal_server_close(&server);
	peal_reactor_close(&loop);
	CHECK_EQ(count_mappings(), mappings);
	CHECK(resident() < before + 64 * MIB);
}

static void run_row(const void *row)
{
	const struct attack *attack = row;
	int mappings = count_mappings();
	uint64_t before = resident();
	bool cannot_be;

	if ((attack->flags & NOBODY) && geteuid() != 0)
		test_skip("only root can become another user");
	set_field();
	fork_all(attack);
	start_server();
	check_progress(true, "no start");
	set(&field->attack);
	serve_until(is_over, attack, "the enemy is not closed");
	cannot_be = field->why[0];
	check_progress(!(attack->flags & CROWDED), "during the attack");
	if (!cannot_be)
		check_reasons(attack);
	set(&field->release);
	if (enemy)
		kill(enemy, SIGKILL);
	serve_until(is_reaped, NULL, "the enemy does not die");
	check_progress(true, "after the attack");
	finish_row(mappings, before);
	if (cannot_be)
		test_skip("%s", field->why);
}

static const struct attack *const lists[] = { hostile_words, hostile_bells,
					      hostile_hello, hostile_memory,
					      hostile_life,  hostile_packets,
					      hostile_floods };

__attribute__((constructor)) static void register_rows(void)
{
	static struct test tests[ROWS];
	int n = 0;

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		for (const struct attack *a = lists[i]; a->name; a++, n++) {
			if (n == ROWS)
				abort();
			test_register_row(&tests[n], a->name, run_row, a);
		}
}
