/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The C code of ring/ and reactor/ under schedules that are drawn.
 *
 *	schedule [--seed N] [--schedules N] [--seconds N] [--scenario NAME]
 *		 [--schedule random|pct] [--memory tso|pso|weak]
 *		 [--bells plain|ordered] [--trace]
 *
 * Everything comes from the seed; schedule i has seed N + i. A failing one is
 * told, to be seen again with --seed and --trace.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel.h"
#include "scenario.h"

static const char *const kinds[] = { "random", "pct" };
static const char *const memories[] = { "tso", "pso", "weak" };
static const char *const bells[] = { "plain", "ordered" };

struct options {
	uint64_t seed, schedules, seconds;
	int scenario, kind, memory, bells; /* -1: any */
	bool trace;
};

static int usage(void)
{
	fputs("schedule [--seed N] [--schedules N] [--seconds N]\n"
	      "         [--scenario NAME] [--schedule random|pct]\n"
	      "         [--memory tso|pso|weak] [--bells plain|ordered]\n"
	      "         [--trace]\n",
	      stderr);
	for (int i = 0; i < n_scenarios; i++)
		fprintf(stderr, " %s", scenarios[i].name);
	fputc('\n', stderr);
	return 2;
}

static int find(const char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return i;
	exit(usage());
}

static int find_scenario(const char *name)
{
	for (int i = 0; i < n_scenarios; i++)
		if (!strcmp(scenarios[i].name, name))
			return i;
	exit(usage());
}

static void set_option(int option, struct options *o)
{
	switch (option) {
	case 's':
		o->seed = strtoull(optarg, NULL, 0);
		break;
	case 'n':
		o->schedules = strtoull(optarg, NULL, 0);
		break;
	case 't':
		o->seconds = strtoull(optarg, NULL, 0);
		break;
	case 'c':
		o->scenario = find_scenario(optarg);
		break;
	case 'k':
		o->kind = find(kinds, 2, optarg);
		break;
	case 'm':
		o->memory = find(memories, 3, optarg);
		break;
	case 'b':
		o->bells = find(bells, 2, optarg);
		break;
	case 'v':
		o->trace = true;
		break;
	default:
		exit(usage());
	}
}

static struct options parse(int argc, char **argv)
{
	static const struct option names[] = {
		{ "seed", 1, NULL, 's' },     { "schedules", 1, NULL, 'n' },
		{ "seconds", 1, NULL, 't' },  { "scenario", 1, NULL, 'c' },
		{ "schedule", 1, NULL, 'k' }, { "memory", 1, NULL, 'm' },
		{ "bells", 1, NULL, 'b' },    { "trace", 0, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = {
		.seed = 1, .scenario = -1, .kind = -1, .memory = -1, .bells = -1
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1)
		set_option(option, &o);
	if (optind != argc)
		exit(usage());
	if (!o.schedules && !o.seconds)
		o.schedules = o.trace ? 1 : 100000;
	return o;
}

/* One schedule. What was drawn and then overruled was drawn all the same, so
 * that the rest stays as it was. */
static bool run(struct options *o, uint64_t seed)
{
	int scenario, kind, memory;
	bool ended;

	world_init(seed, o->trace);
	scenario_forget();
	scenario = (int)world_random((uint64_t)n_scenarios);
	kind = (int)world_random(2);
	memory = (int)world_random(3);
	if (o->scenario >= 0)
		scenario = o->scenario;
	if (o->kind >= 0)
		kind = o->kind;
	if (o->memory >= 0)
		memory = o->memory;
	world_choose((enum world_kind)kind, (enum world_memory)memory);
	scenarios[scenario].begin();
	if (o->bells >= 0)
		kernel_plain_bells(o->bells == 0);
	ended = world_run();
	if (ended)
		scenarios[scenario].end();
	if (ended && !scenario_found())
		return true;
	printf("FAILED   %s: %s\n", scenarios[scenario].name,
	       ended ? scenario_found() : world_why());
	printf("         --seed %llu --scenario %s --schedule %s --memory %s",
	       (unsigned long long)seed, scenarios[scenario].name, kinds[kind],
	       memories[memory]);
	if (o->bells >= 0)
		printf(" --bells %s", bells[o->bells]);
	puts(" --trace");
	return false;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

int main(int argc, char **argv)
{
	struct options o = parse(argc, argv);
	double began = seconds();
	uint64_t steps = 0, done = 0;
	bool holds = true;

	while (holds && (!o.schedules || done < o.schedules) &&
	       (!o.seconds || done % 64 != 0 ||
		seconds() - began < (double)o.seconds)) {
		holds = run(&o, o.seed + done++);
		steps += world_steps();
	}
	printf("%llu schedules, %llu steps, seeds %llu to %llu, %.1f s: %s\n",
	       (unsigned long long)done, (unsigned long long)steps,
	       (unsigned long long)o.seed,
	       (unsigned long long)(o.seed + done - 1), seconds() - began,
	       holds ? "holds" : "FAILED");
	return holds ? 0 : 1;
}
