/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * peal-bench: how fast it is, and how fast others are, side by side.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench.h"

#define QUICK_SECONDS 30
#define SECONDS 900
#define ROUNDS 11
#define QUICK_ROUNDS 5

static const struct bench_family *const all[] = {
	&bench_stream,	 &bench_roundtrip, &bench_packet, &bench_wake,
	&bench_messages, &bench_reactor,   &bench_idle,	  &bench_group,
	&bench_inbox,	 &bench_timers,	   NULL,
};

#define FAMILIES (sizeof(all) / sizeof(*all) - 1)

static void usage(FILE *to)
{
	fprintf(to,
		"usage: peal-bench [OPTION...] [FAMILY...]\n"
		"Measure rings and what else there is, side by side.\n\n"
		"  --list          name the families\n"
		"  --quick         fewer points, and fewer and shorter runs\n"
		"  --json          an object per line\n"
		"  --only NAME     contestants whose names begin so, and the\n"
		"                  one that they are compared with\n"
		"  --point TEXT    points that have this in their description\n"
		"  --rounds N      runs of each (%d, quick %d)\n"
		"  --seconds N     in all, about (%d, quick %d)\n"
		"  --count N       times in each run, in the place of a time\n"
		"  --nice N        priority of the runs, down to -20\n"
		"  --results DIR   write a table in Markdown and plots\n"
		"  --help\n",
		ROUNDS, QUICK_ROUNDS, SECONDS, QUICK_SECONDS);
}

static void list(void)
{
	for (size_t i = 0; i < FAMILIES; i++)
		printf("%-10s %s\n", all[i]->name, all[i]->what);
}

static const struct bench_family *find(const char *name)
{
	for (size_t i = 0; i < FAMILIES; i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	fprintf(stderr, "peal-bench: no family is called %s; try --list\n",
		name);
	exit(2);
}

static long integer(const char *text, long least, long most)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno == 0 && *text != '\0' && *end == '\0' && n >= least &&
	    n <= most)
		return n;
	fprintf(stderr, "peal-bench: %s is no number from %ld to %ld\n", text,
		least, most);
	exit(2);
}

enum {
	LIST,
	QUICK,
	JSON,
	ONLY,
	POINT,
	TURNS,
	TIME,
	COUNT,
	NICE,
	RESULTS,
	HELP
};

static const struct option longs[] = {
	{ "list", no_argument, NULL, LIST },
	{ "quick", no_argument, NULL, QUICK },
	{ "json", no_argument, NULL, JSON },
	{ "only", required_argument, NULL, ONLY },
	{ "point", required_argument, NULL, POINT },
	{ "rounds", required_argument, NULL, TURNS },
	{ "seconds", required_argument, NULL, TIME },
	{ "count", required_argument, NULL, COUNT },
	{ "nice", required_argument, NULL, NICE },
	{ "results", required_argument, NULL, RESULTS },
	{ "help", no_argument, NULL, HELP },
	{ 0 },
};

static void take_option(int option, struct bench_options *options)
{
	switch (option) {
	case LIST:
		list();
		exit(0);
	case QUICK:
		options->quick = true;
		break;
	case JSON:
		options->json = true;
		break;
	case ONLY:
		options->only = optarg;
		break;
	case POINT:
		options->points = optarg;
		break;
	case TURNS:
		options->rounds = (uint64_t)integer(optarg, 1, BENCH_ROUNDS);
		break;
	case TIME:
		options->seconds = (double)integer(optarg, 1, 86400);
		break;
	case COUNT:
		options->count = (uint64_t)integer(optarg, 1, 1000000000);
		break;
	case NICE:
		bench_check_errno(setpriority(PRIO_PROCESS, 0,
					      (int)integer(optarg, -20, 19)),
				  "setpriority");
		break;
	case RESULTS:
		options->results = optarg;
		break;
	case HELP:
		usage(stdout);
		exit(0);
	default:
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	const struct bench_family *chosen[FAMILIES + 1] = { 0 };
	struct bench_options options = { 0 };
	size_t n = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1)
		take_option(option, &options);
	if (options.rounds == 0)
		options.rounds = options.quick ? QUICK_ROUNDS : ROUNDS;
	if (options.seconds == 0)
		options.seconds = options.quick ? QUICK_SECONDS : SECONDS;
	for (; optind < argc && n < FAMILIES; optind++)
		chosen[n++] = find(argv[optind]);
	bench_execute(n ? chosen : all, &options);
	return 0;
}
