/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* peal-soak: what is asked for, and what has come of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../fixtures/harness.h"
#include "soak.h"

#define EXIT_USAGE 2

struct soak_options soak_options = { .seconds = 120, .senders = 8 };
struct soak_figures soak_figures;
uint64_t *soak_failed;

static char folder[] = "/tmp/peal-soak-XXXXXX";
static pid_t leader;

static const char help[] =
	"usage: peal-soak [OPTION]...\n"
	"\n"
	"A server and senders that stream, stall, are killed and come back;\n"
	"each item is accounted for. The exit status is 1 if one was lost, or\n"
	"came again though nobody had died, or if the server has more fds,\n"
	"mappings or memory in the end than in the beginning.\n"
	"\n"
	"  --seconds N     for so long (120)\n"
	"  --senders N     processes that send, 1 to 64 (8)\n"
	"  --seed N        of what happens when; the figures say which it was\n"
	"  --keep-server   never kill the server, so that what it leaks adds "
	"up\n"
	"  --json          the figures as one JSON object\n"
	"  --help\n";

uint64_t soak_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* -- failing */

__attribute__((format(printf, 1, 0))) static void say_failure(
	const char *format, va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof(text), format, args);
	fprintf(stderr, "peal-soak: %s\n", text);
}

static void remove_folder(void)
{
	unlink(kill_world.address);
	strcat(kill_world.address, ".inbox");
	unlink(kill_world.address);
	rmdir(folder);
}

/* All others die with the leader. */
void soak_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_failure(format, args);
	va_end(args);
	fprintf(stderr, "peal-soak: with --seed 0x%llx --senders %llu%s\n",
		(unsigned long long)soak_options.seed,
		(unsigned long long)soak_options.senders,
		soak_options.keep_server ? " --keep-server" : "");
	if (getpid() == leader)
		remove_folder();
	exit(EXIT_FAILURE);
}

/* What a CHECK() calls, here in the place of the harness. */
void test_fail(const char *file, int line, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "peal-soak: %s:%d: %s\n", file, line, text);
	kill_store(soak_failed, 1);
	_exit(EXIT_FAILURE);
}

/* -- what is told */

void soak_progress(void)
{
	static uint64_t next, began;
	uint64_t now = soak_now(), bytes = soak_figures.bytes;
	bool terminal = isatty(STDERR_FILENO);

	if (began == 0)
		began = now;
	if (now < next)
		return;
	next = now + UINT64_C(1000000000) * (terminal ? 1 : 10);
	for (int i = 0; i <= KILL_CLIENTS; i++)
		bytes += kill_load(&kill_world.page->processes[i].bytes);
	fprintf(stderr,
		"%speal-soak: %llu s, %.1f MB, %llu senders and %llu servers "
		"killed%s",
		terminal ? "\r" : "",
		(unsigned long long)((now - began) / 1000000000),
		(double)bytes / 1e6,
		(unsigned long long)soak_figures.sender_kills,
		(unsigned long long)soak_figures.server_kills,
		terminal ? "\033[K" : "\n");
}

struct row {
	const char *key, *text;
	unsigned long long value;
};

#define ROW(key_, text_, value_)                                               \
	{                                                                      \
		.key = (key_), .text = (text_),                                \
		.value = (unsigned long long)(value_)                          \
	}

static void print_figures(void)
{
	const struct soak_figures *f = &soak_figures;
	const struct row rows[] = {
		ROW("seconds", "seconds", f->seconds),
		ROW("senders", "senders", soak_options.senders),
		ROW("seed", "seed", soak_options.seed),
		ROW("items", "items and messages", f->items),
		ROW("bytes", "bytes", f->bytes),
		ROW("senderKills", "senders killed", f->sender_kills),
		ROW("serverKills", "servers killed", f->server_kills),
		ROW("stops", "held up", f->stops),
		ROW("connects", "connections", f->connects),
		ROW("reconnects", "of them, after a server died",
		    f->reconnects),
		ROW("resumed", "carried over", f->resumed),
		ROW("repeated", "repeated", f->repeated),
		ROW("lost", "lost", f->lost),
		ROW("doorbells", "doorbells", f->doorbells),
		ROW("wakeups", "wake-ups of the server", f->wakeups),
		ROW("censuses", "times the server was measured", f->censuses),
		ROW("fdsStart", "fds of the last server, start", f->first.fds),
		ROW("fdsEnd", "end", f->last.fds),
		ROW("mapsStart", "its mappings, start", f->first.maps),
		ROW("mapsEnd", "end", f->last.maps),
		ROW("residentStart", "its resident bytes, start",
		    f->first.resident),
		ROW("residentEnd", "end", f->last.resident),
	};
	size_t n = sizeof(rows) / sizeof(rows[0]);

	for (size_t i = 0; i < n; i++)
		if (soak_options.json)
			printf("%s\"%s\": %llu%s", i ? ", " : "{", rows[i].key,
			       rows[i].value, i + 1 < n ? "" : "}\n");
		else
			printf("%-30s %20llu\n", rows[i].text, rows[i].value);
}

/* -- what is asked for */

static uint64_t number_of(const char *option, const char *text, uint64_t most)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' &&
	    n >= 1 && n <= most)
		return n;
	fprintf(stderr,
		"peal-soak: --%s takes a number from 1 to %llu, not `%s`\n",
		option, (unsigned long long)most, text);
	exit(EXIT_USAGE);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "senders", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 'r' },
		{ "keep-server", no_argument, NULL, 'k' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct soak_options *o = &soak_options;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's')
			o->seconds = number_of("seconds", optarg, 1000000);
		else if (option == 'n')
			o->senders = number_of("senders", optarg, KILL_CLIENTS);
		else if (option == 'r')
			o->seed = number_of("seed", optarg, UINT64_MAX);
		else if (option == 'k')
			o->keep_server = true;
		else if (option == 'j')
			o->json = true;
		else if (option == 'h' && fputs(help, stdout) >= 0)
			exit(EXIT_SUCCESS);
		else
			exit(EXIT_USAGE);
	}
	if (optind < argc) {
		fprintf(stderr, "peal-soak: `%s`? See --help.\n", argv[optind]);
		exit(EXIT_USAGE);
	}
	if (o->seed == 0)
		o->seed = soak_now() ^ (uint64_t)getpid() << 40;
}

/* -- the world */

static void *share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		fprintf(stderr, "peal-soak: mmap: %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
	return memory;
}

int main(int argc, char **argv)
{
	int status;

	parse(argc, argv);
	leader = getpid();
	kill_world.page = share(sizeof(*kill_world.page));
	soak_failed = share(sizeof(*soak_failed));
	kill_world.clients = (int)soak_options.senders;
	kill_world.guest = &soak_inbox;
	if (!mkdtemp(folder)) {
		fprintf(stderr, "peal-soak: mkdtemp: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	snprintf(kill_world.address, sizeof(kill_world.address), "%s/socket",
		 folder);
	status = soak_run();
	print_figures();
	remove_folder();
	return status ? EXIT_FAILURE : EXIT_SUCCESS;
}
