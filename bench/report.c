/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What came out: a table for people, a line of JSON for each value.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "results.h"

struct name {
	const char *name;
	size_t offset;
};

static const struct name names[] = {
	{ "size", offsetof(struct bench_point, size) },
	{ "batch", offsetof(struct bench_point, batch) },
	{ "ring", offsetof(struct bench_point, ring) },
	{ "cpus", offsetof(struct bench_point, cpus) },
	{ "rings", offsetof(struct bench_point, rings) },
	{ "active", offsetof(struct bench_point, active) },
	{ "senders", offsetof(struct bench_point, senders) },
	{ "idle", offsetof(struct bench_point, idle) },
	{ "timers", offsetof(struct bench_point, timers) },
};

#define NAMES (sizeof(names) / sizeof(*names))

static uint64_t field(const struct bench_point *point, const struct name *name)
{
	return *(const uint64_t *)(const void *)((const char *)point +
						 name->offset);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void sort(const double *values, double *sorted, size_t n)
{
	memcpy(sorted, values, n * sizeof(*values));
	qsort(sorted, n, sizeof(*sorted), compare);
}

double bench_median(const double *values, size_t n)
{
	double sorted[BENCH_ROUNDS];

	sort(values, sorted, n);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static void bytes(char *text, size_t size, uint64_t n)
{
	if (n >= 1 << 20 && n % (1 << 20) == 0)
		snprintf(text, size, "%" PRIu64 " MiB", n >> 20);
	else if (n >= 1 << 10 && n % (1 << 10) == 0)
		snprintf(text, size, "%" PRIu64 " KiB", n >> 10);
	else
		snprintf(text, size, "%" PRIu64 " B", n);
}

void bench_describe(const struct bench_point *point, char *text, size_t size)
{
	char part[64], amount[32];

	text[0] = '\0';
	for (size_t i = 0; i < NAMES; i++) {
		uint64_t value = field(point, &names[i]);

		if (value == 0)
			continue;
		if (strcmp(names[i].name, "size") == 0 ||
		    strcmp(names[i].name, "ring") == 0)
			bytes(amount, sizeof(amount), value);
		else
			snprintf(amount, sizeof(amount), "%" PRIu64, value);
		snprintf(part, sizeof(part), "%s%s %s", text[0] ? ", " : "",
			 names[i].name, amount);
		strncat(text, part, size - strlen(text) - 1);
	}
	if (point->mode) {
		snprintf(part, sizeof(part), "%s%s", text[0] ? ", " : "",
			 point->mode);
		strncat(text, part, size - strlen(text) - 1);
	}
}

/* The contestant that the others are compared with, or -1. */
static int reference(const struct bench_table *table)
{
	for (size_t i = 0; i < table->n; i++)
		if (bench_is_reference(table->family, table->contestants[i]))
			return (int)i;
	return -1;
}

/* Round by round, then the median. */
static double ratio(const struct bench_table *table, size_t i, size_t to,
		    size_t metric)
{
	double ratios[BENCH_ROUNDS];

	for (size_t r = 0; r < table->rounds; r++) {
		double base = table->values[to][metric][r];

		ratios[r] = base > 0 ? table->values[i][metric][r] / base : 0;
	}
	return bench_median(ratios, table->rounds);
}

static size_t metrics(const struct bench_family *family)
{
	size_t n = 0;

	while (n < BENCH_METRICS && family->metrics[n])
		n++;
	return n ? n : 1;
}

/* -- for people */

static const char *number(char *text, size_t size, double value)
{
	int digits = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 1 ? 2 : 4;

	snprintf(text, size, "%.*f", digits, value);
	return text;
}

static void print_row(const struct bench_table *table, size_t i, size_t m,
		      int to)
{
	double sorted[BENCH_ROUNDS];
	char a[32], b[32], c[32], r[32] = "";

	sort(table->values[i][m], sorted, table->rounds);
	if (to >= 0)
		snprintf(r, sizeof(r), "%.3f", ratio(table, i, (size_t)to, m));
	printf("  %-24s %12s %12s ..%12s %10s\n", table->contestants[i]->name,
	       number(a, sizeof(a), bench_median(sorted, table->rounds)),
	       number(b, sizeof(b), sorted[0]),
	       number(c, sizeof(c), sorted[table->rounds - 1]), r);
}

static void print_table(const struct bench_table *table)
{
	const struct bench_family *family = table->family;
	int to = reference(table);
	char text[128];

	bench_describe(table->point, text, sizeof(text));
	for (size_t m = 0; m < metrics(family); m++) {
		printf("%s: %s%s%s [%s]\n", family->name, text,
		       family->metrics[m] ? ", " : "",
		       family->metrics[m] ? family->metrics[m] : "",
		       family->unit);
		printf("  %-24s %12s %27s %10s\n", "", "median", "range",
		       "ratio");
		for (size_t i = 0; i < table->n; i++)
			print_row(table, i, m, to);
	}
	printf("\n");
}

void bench_markdown(FILE *to, const struct bench_table *table)
{
	const struct bench_family *family = table->family;
	int base = reference(table);
	double sorted[BENCH_ROUNDS];
	char what[128], a[32], b[32], c[32];

	bench_describe(table->point, what, sizeof(what));
	for (size_t m = 0; m < metrics(family); m++) {
		fprintf(to, "### %s: %s%s%s\n\n", family->name, what,
			family->metrics[m] ? ", " : "",
			family->metrics[m] ? family->metrics[m] : "");
		fprintf(to, "| | %s | range | ratio |\n|---|---|---|---|\n",
			family->unit);
		for (size_t i = 0; i < table->n; i++) {
			sort(table->values[i][m], sorted, table->rounds);
			fprintf(to, "| %s | %s | %s to %s |",
				table->contestants[i]->name,
				number(a, sizeof(a),
				       bench_median(sorted, table->rounds)),
				number(b, sizeof(b), sorted[0]),
				number(c, sizeof(c),
				       sorted[table->rounds - 1]));
			if (base >= 0)
				fprintf(to, " %.3f |\n",
					ratio(table, i, (size_t)base, m));
			else
				fprintf(to, " |\n");
		}
		fprintf(to, "\n");
	}
}

/* -- for programs */

static void print_params(const struct bench_point *point, const char *metric)
{
	const char *comma = "";

	printf("{");
	if (point->mode) {
		printf("\"mode\":\"%s\"", point->mode);
		comma = ",";
	}
	for (size_t i = 0; i < NAMES; i++) {
		uint64_t value = field(point, &names[i]);

		if (value == 0)
			continue;
		printf("%s\"%s\":%" PRIu64, comma, names[i].name, value);
		comma = ",";
	}
	if (metric)
		printf("%s\"metric\":\"%s\"", comma, metric);
	printf("}");
}

static void print_json(const struct bench_table *table, size_t i, size_t m,
		       int to)
{
	const struct bench_family *family = table->family;
	double sorted[BENCH_ROUNDS];

	sort(table->values[i][m], sorted, table->rounds);
	printf("{\"bench\":\"%s\",\"contestant\":\"%s\",\"params\":",
	       family->name, table->contestants[i]->name);
	print_params(table->point, family->metrics[m]);
	printf(",\"value\":%.6g,\"lowest\":%.6g,\"highest\":%.6g,"
	       "\"runs\":%zu,\"unit\":\"%s\"",
	       bench_median(sorted, table->rounds), sorted[0],
	       sorted[table->rounds - 1], table->rounds, family->unit);
	if (to >= 0)
		printf(",\"ratio_to\":\"%s\",\"ratio\":%.6g",
		       table->contestants[to]->name,
		       ratio(table, i, (size_t)to, m));
	printf("}\n");
}

void bench_report(const struct bench_table *table,
		  const struct bench_options *options)
{
	int to = reference(table);

	if (options->results)
		bench_results_add(table);
	if (!options->json) {
		print_table(table);
		fflush(stdout);
		return;
	}
	for (size_t m = 0; m < metrics(table->family); m++)
		for (size_t i = 0; i < table->n; i++)
			print_json(table, i, m, to);
	fflush(stdout);
}

void bench_report_begin(const struct bench_options *options)
{
	if (options->results)
		bench_results_open(options->results);
}

void bench_report_end(const struct bench_options *options)
{
	if (options->results)
		bench_results_close();
}
