/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* peal-cost: a server, an enemy, those who come anew; and a table. */
#define _GNU_SOURCE
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>

#include <peal/channel.h>

#include "cost.h"

#define EXIT_USAGE 2
#define CHANNELS 64
#define SLOTS PEAL_SERVER_SLOTS(CHANNELS)
#define ENEMY 65534
#define NEWCOMER 65533
#define MOST (1 << 20) /* times that are kept */

static const char help[] =
	"usage: peal-cost [OPTION]... [WORDS]\n"
	"\n"
	"What an enemy's CPU time costs a server, and how much longer it "
	"takes\n"
	"others to connect meanwhile; a table in Markdown. WORDS: only "
	"enemies\n"
	"whose description has them in it. As root the enemy, and those who\n"
	"connect, are users of their own; otherwise all are of one user.\n"
	"\n"
	"  --seconds N     for each enemy (3)\n"
	"  --enemies N     processes, 1 to 64 (4)\n"
	"  --list\n"
	"  --help\n";

struct field *field;

static unsigned seconds = 3, enemies = 4;

/* How long each of those who came anew had to wait. */
static struct waits {
	uint64_t n;
	uint32_t us[MOST];
} * waits;

void test_fail(const char *file, int line, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "peal-cost: %s:%d: %s\n", file, line, text);
	exit(EXIT_FAILURE);
}

uint64_t test_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

void cost_count(void)
{
	add(&field->progress[0], 1);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* -- processes */

static void become(uid_t uid)
{
	if (geteuid() != 0)
		return;
	CHECK_EQ(setgroups(0, NULL), 0);
	CHECK_EQ(setresgid(uid, uid, uid), 0);
	CHECK_EQ(setresuid(uid, uid, uid), 0);
}

static pid_t fork_one(void (*run)(const void *arg), const void *arg)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	die_with_the_server();
	run(arg);
	exit(EXIT_SUCCESS);
}

static double cpu_of(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	CHECK_EQ(clock_getcpuclockid(pid, &clock), 0);
	CHECK_EQ(clock_gettime(clock, &ts), 0);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu_of_all(const pid_t *pids)
{
	double sum = 0;

	for (unsigned i = 0; i < enemies; i++)
		sum += cpu_of(pids[i]);
	return sum;
}

/* -- the server */

static long on_readable(struct peal_channel *ch, void *user)
{
	const void *items;
	ssize_t n = peal_receiver_peek(&ch->receiver, &items);

	(void)user;
	if (n > 0)
		peal_receiver_release(&ch->receiver, (size_t)n);
	return PEAL_DONE;
}

static long on_writable(struct peal_channel *ch, void *user)
{
	uint64_t *items;
	ssize_t n;

	(void)user;
	while ((n = peal_sender_reserve(&ch->sender, 1, &items)) > 0)
		peal_sender_commit(&ch->sender, (size_t)n);
	return PEAL_DONE;
}

static void serve(const void *unused)
{
	static struct peal_channel channels[CHANNELS];
	static struct peal_slot slots[SLOTS];
	static struct peal_reactor loop;
	static struct peal_server server;
	const struct peal_service service = {
		.accept.item_size = 8,
		.channels = channels,
		.n_channels = CHANNELS,
		.callbacks = { .on_readable = on_readable,
			       .on_writable = on_writable },
		.max_per_uid = CHANNELS / 4,
	};

	(void)unused;
	CHECK_EQ(peal_reactor_init(&loop, slots, SLOTS), 0);
	CHECK_EQ(
		peal_server_listen_on(&server, &loop, field->address, &service),
		0);
	__atomic_store_n(&field->listening, 1, __ATOMIC_RELEASE);
	peal_reactor_run(&loop);
}

/* -- those who come anew */

static void come_anew(const void *unused)
{
	const struct peal_hello hello = { .role = PEAL_SENDER,
					  .item_size = 8,
					  .name = "newcomer" };
	struct peal_channel ch;

	(void)unused;
	become(NEWCOMER);
	for (;;) {
		uint64_t began = now_us(), n = count(&waits->n);
		int ret = peal_connect(&ch, field->address, &hello, 30000);

		if (ret < 0)
			fprintf(stderr, "peal-cost: a newcomer: %s\n", ch.text);
		else
			peal_channel_close(&ch);
		if (n < MOST)
			waits->us[n] = (uint32_t)(now_us() - began);
		__atomic_store_n(&waits->n, n + 1, __ATOMIC_RELEASE);
		sleep_us(1000);
	}
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double median(uint64_t from, uint64_t to)
{
	if (to <= from)
		return 0;
	qsort(waits->us + from, to - from, sizeof(*waits->us), compare);
	return waits->us[from + (to - from) / 2];
}

/* -- a row */

static void be_the_enemy(const void *arg)
{
	const struct cost_enemy *enemy = arg;

	if (!enemy->same_user)
		become(ENEMY);
	signal(SIGPIPE, SIG_IGN);
	enemy->run(enemy);
}

static void end_of(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void for_a_while(unsigned ms)
{
	struct timespec ts = { (time_t)(ms / 1000),
			       (long)(ms % 1000) * 1000000 };

	while (nanosleep(&ts, &ts) < 0)
		;
}

static void set_up(void)
{
	static int number;

	memset(field, 0, sizeof(*field));
	waits->n = 0;
	snprintf(field->address, sizeof(field->address), "@peal-cost-%d-%d",
		 (int)getpid(), number++);
}

static void print_row(const struct cost_enemy *enemy, double ours,
		      double theirs, double calm, double during)
{
	char ratio[32] = "";

	/* One that sleeps nearly all the time has no price in CPU time. */
	if (theirs >= 0.01 * seconds)
		snprintf(ratio, sizeof(ratio), "%.1f", ours / theirs);
	printf("| %s | %.0f | %.0f %% | %.0f %% | %s | %.2f ms | %.2f ms | "
	       "%.1f |\n",
	       enemy->name, (double)count(&field->progress[0]) / seconds,
	       100 * theirs / seconds, 100 * ours / seconds, ratio, calm / 1e3,
	       during / 1e3, during / calm);
	fflush(stdout);
}

static void measure(const struct cost_enemy *enemy)
{
	double ours, theirs, calm, during;
	pid_t pids[64], server, newcomer;
	uint64_t n, begun, more;
	double each; /* what a newcomer costs by itself */

	set_up();
	server = fork_one(serve, NULL);
	while (!flag(&field->listening))
		sleep_us(1000);
	newcomer = fork_one(come_anew, NULL);
	each = cpu_of(server);
	for_a_while(1000);
	n = count(&waits->n);
	each = (cpu_of(server) - each) / (double)n;
	for (unsigned i = 0; i < enemies; i++)
		pids[i] = fork_one(be_the_enemy, enemy);
	for_a_while(200); /* until it is in full swing */
	begun = count(&waits->n);
	field->progress[0] = 0;
	ours = cpu_of(server);
	theirs = cpu_of_all(pids);
	for_a_while(seconds * 1000);
	ours = cpu_of(server) - ours;
	theirs = cpu_of_all(pids) - theirs;
	more = count(&waits->n);
	ours -= each * (double)(more - begun);
	calm = median(0, n);
	during = median(begun, more);
	print_row(enemy, ours > 0 ? ours : 0, theirs, calm, during);
	for (unsigned i = 0; i < enemies; i++)
		end_of(pids[i]);
	end_of(newcomer);
	end_of(server);
}

/* -- what is asked for */

static unsigned number_of(const char *text, unsigned most)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text && !*end && n >= 1 && n <= most)
		return (unsigned)n;
	fprintf(stderr, "peal-cost: a number from 1 to %u, not `%s`\n", most,
		text);
	exit(EXIT_USAGE);
}

static void list(void)
{
	for (const struct cost_enemy *e = cost_enemies; e->name; e++)
		puts(e->name);
	exit(EXIT_SUCCESS);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "enemies", required_argument, NULL, 'n' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's')
			seconds = number_of(optarg, 3600);
		else if (option == 'n')
			enemies = number_of(optarg, 64);
		else if (option == 'l')
			list();
		else if (option == 'h' && fputs(help, stdout) >= 0)
			exit(EXIT_SUCCESS);
		else
			exit(EXIT_USAGE);
	}
}

static void *share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	field = share(sizeof(*field));
	waits = share(sizeof(*waits));
	if (geteuid() != 0)
		fputs("peal-cost: not root, so all are of one user\n", stderr);
	printf("%u processes of each enemy:\n\n", enemies);
	puts("| an enemy that | times/s | its CPU | the server's | per CPU of "
	     "its | others connect in | meanwhile | times "
	     "|\n|---|---|---|---|---|---|---|---|");
	for (const struct cost_enemy *e = cost_enemies; e->name; e++)
		if (optind >= argc || strstr(e->name, argv[optind]))
			measure(e);
	return EXIT_SUCCESS;
}
