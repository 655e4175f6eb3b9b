/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How often each contestant runs, and in which order.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "histogram.h"

/* What a run should take, whatever the time that there is. */
#define SHORTEST_NS 2e6
#define LONGEST_NS 400e6
/* Part of the time that the runs themselves get; the rest is for setting up. */
#define NET 0.4
/* Where that was too little, there are fewer rounds from then on. */
#define LATE 1.2
#define FEWEST 3

struct plan {
	const struct bench_options *options;
	uint64_t began;
	size_t done, all; /* points times contestants */
	double run_ns;
	bool terminal; /* stderr, which can show it all on one line */
};

/* "bare" is, and so are "bare eventfds" and "bare, spinning". */
bool bench_is_reference(const struct bench_family *family,
			const struct bench_contestant *c)
{
	size_t n = strlen(family->reference);

	return strncmp(c->name, family->reference, n) == 0 &&
	       strchr(" ,", c->name[n]);
}

static bool takes_part(const struct bench_contestant *c,
		       const struct bench_family *family,
		       const struct bench_point *point,
		       const struct bench_options *options)
{
	if (options->only && !bench_is_reference(family, c) &&
	    strncmp(c->name, options->only, strlen(options->only)) != 0)
		return false;
	return !c->fits || c->fits(point);
}

static bool wanted(const struct bench_point *point,
		   const struct bench_options *options)
{
	char text[128];

	if (options->points) {
		bench_describe(point, text, sizeof(text));
		return strstr(text, options->points) != NULL;
	}
	return point->quick || !options->quick;
}

static size_t choose(struct bench_table *table,
		     const struct bench_options *options)
{
	const struct bench_contestant *const *c = table->family->contestants;

	for (table->n = 0; *c && table->n < BENCH_CONTESTANTS; c++)
		if (takes_part(*c, table->family, table->point, options))
			table->contestants[table->n++] = *c;
	return table->n;
}

static size_t count_all(const struct bench_family *const *families,
			const struct bench_options *options)
{
	static struct bench_table table;
	size_t all = 0;

	for (; *families; families++)
		for (size_t i = 0; i < (*families)->n_points; i++) {
			table.family = *families;
			table.point = &(*families)->points[i];
			if (wanted(table.point, options))
				all += choose(&table, options);
		}
	return all;
}

static double elapsed(const struct plan *plan)
{
	return (double)(bench_now() - plan->began) / 1e9;
}

/* What is left of the time is shared by what is left to do. */
static void share_time(struct plan *plan)
{
	const struct bench_options *options = plan->options;
	double left = options->seconds - elapsed(plan);
	double runs = (double)(plan->all - plan->done) *
		      (double)(options->rounds + 2);

	plan->run_ns = left * NET * 1e9 / (runs > 0 ? runs : 1);
	if (plan->run_ns < SHORTEST_NS)
		plan->run_ns = SHORTEST_NS;
	if (plan->run_ns > LONGEST_NS)
		plan->run_ns = LONGEST_NS;
}

static void progress(const struct plan *plan, const struct bench_table *table,
		     size_t i, size_t round)
{
	char text[128];

	if (!plan->terminal && (i > 0 || round > 0))
		return;
	bench_describe(table->point, text, sizeof(text));
	fprintf(stderr, "%s[%3zu %%] %s: %s", plan->terminal ? "\r\033[K" : "",
		100 * plan->done / (plan->all ? plan->all : 1),
		table->family->name, text);
	if (plan->terminal)
		fprintf(stderr, ": %s, round %zu of %zu",
			table->contestants[i]->name, round, table->rounds);
	else
		fprintf(stderr, "\n");
	fflush(stderr);
}

/* One that has failed does not run again. */
static void run(struct bench_table *table, size_t i, uint64_t count,
		struct bench_result *result)
{
	const struct bench_contestant *c = table->contestants[i];

	result->ns = 0;
	if (!table->failed[i])
		c->run(c, table->point, count, result);
	if (result->ns > 0)
		return;
	if (!table->failed[i])
		warnx("%s: %s has failed", table->family->name, c->name);
	table->failed[i] = true;
	result->ns = 1;
}

/* How often it can be done in the time of a run. */
static uint64_t calibrate(const struct plan *plan, struct bench_table *table,
			  size_t i)
{
	uint64_t count = table->family->first;

	progress(plan, table, i, 0);
	if (plan->options->count)
		return plan->options->count;
	for (int tries = 0; tries < 8 && !table->failed[i]; tries++) {
		struct bench_result result = { 0 };
		double factor;

		run(table, i, count, &result);
		factor = plan->run_ns / (double)result.ns;
		if (factor > 32)
			factor = 32;
		if (factor < 0.5 || factor > 2)
			count = (uint64_t)((double)count * factor) + 1;
		if (factor < 2)
			break;
	}
	return count;
}

static void drop_failed(struct bench_table *table)
{
	size_t n = 0;

	for (size_t i = 0; i < table->n; i++) {
		if (table->failed[i]) {
			free(table->histograms[i]);
			continue;
		}
		table->contestants[n] = table->contestants[i];
		table->histograms[n] = table->histograms[i];
		memmove(table->values[n], table->values[i],
			sizeof(table->values[i]));
		n++;
	}
	table->n = n;
}

static void measure(struct plan *plan, struct bench_table *table)
{
	uint64_t counts[BENCH_CONTESTANTS];

	table->rounds = plan->options->rounds;
	if (elapsed(plan) > LATE * plan->options->seconds &&
	    table->rounds > FEWEST)
		table->rounds = FEWEST;
	for (size_t i = 0; i < table->n; i++) {
		table->failed[i] = false;
		counts[i] = calibrate(plan, table, i);
		table->histograms[i] = calloc(1, sizeof(**table->histograms));
		if (!table->histograms[i])
			bench_fail("memory", 12);
	}
	for (size_t round = 0; round < table->rounds; round++)
		for (size_t i = 0; i < table->n; i++) {
			struct bench_result result = {
				.histogram = table->histograms[i]
			};

			progress(plan, table, i, round + 1);
			run(table, i, counts[i], &result);
			for (size_t m = 0; m < BENCH_METRICS; m++)
				table->values[i][m][round] = result.value[m];
		}
	if (plan->terminal)
		fprintf(stderr, "\r\033[K");
	drop_failed(table);
}

void bench_execute(const struct bench_family *const *families,
		   const struct bench_options *options)
{
	static struct bench_table table;
	struct plan plan = { .options = options,
			     .began = bench_now(),
			     .terminal = isatty(STDERR_FILENO) };

	plan.all = count_all(families, options);
	bench_report_begin(options);
	for (; *families; families++)
		for (size_t i = 0; i < (*families)->n_points; i++) {
			size_t n;

			table.family = *families;
			table.point = &(*families)->points[i];
			if (!wanted(table.point, options) ||
			    choose(&table, options) == 0)
				continue;
			n = table.n;
			share_time(&plan);
			measure(&plan, &table);
			bench_report(&table, options);
			for (size_t j = 0; j < table.n; j++)
				free(table.histograms[j]);
			plan.done += n;
		}
	bench_report_end(options);
}
