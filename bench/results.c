/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A folder with results.md and, where there is gnuplot, plots of what the
 * families with many points have found, and of how latencies are spread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "histogram.h"
#include "results.h"

#define LINES 24
#define DOTS 16
#define COLOURS 8 /* of gnuplot; then the lines are dashed */

/* A plot with a line for each contestant, over sizes or numbers of rings. */
struct plot {
	const char *family, *file, *title, *x, *y;
	const char *mode;    /* of the points that it shows, or NULL */
	uint64_t batch;	     /* likewise, or 0 */
	uint64_t active;     /* likewise */
	bool by_rings, fall; /* the x axis; keep the lower one of two values */
	size_t n;
	struct {
		const char *name;
		size_t n;
		double x[DOTS], y[DOTS];
	} lines[LINES];
};

static struct plot plots[] = {
	{ .family = "packet",
	  .file = "packet",
	  .title = "Write, read and sum up a packet, one thread",
	  .x = "bytes of a packet",
	  .y = "ns",
	  .fall = true },
	{ .family = "stream",
	  .file = "stream-spinning",
	  .title = "Items from process to process, one by one, spinning",
	  .x = "bytes of an item",
	  .y = "M items/s",
	  .mode = "spinning",
	  .batch = 1 },
	{ .family = "stream",
	  .file = "stream-blocking",
	  .title = "Items from process to process, one by one, blocking",
	  .x = "bytes of an item",
	  .y = "M items/s",
	  .mode = "blocking",
	  .batch = 1 },
	{ .family = "messages",
	  .file = "messages",
	  .title = "Messages from process to process, blocking",
	  .x = "bytes of a message",
	  .y = "M messages/s",
	  .mode = "blocking" },
	{ .family = "reactor",
	  .file = "reactor",
	  .title = "One ring of many is rung: the loop's part",
	  .x = "rings",
	  .y = "ns",
	  .active = 1,
	  .by_rings = true,
	  .fall = true },
};

#define PLOTS (sizeof(plots) / sizeof(*plots))

static const char *folder;
static FILE *text;
static bool can_plot;

static FILE *open_file(const char *name)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	if (!file)
		bench_fail(path, errno);
	return file;
}

static void processor(char *model, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[256];

	snprintf(model, size, "unknown");
	while (file && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(model, size, "%s", colon + 2);
		break;
	}
	if (file)
		fclose(file);
}

void bench_results_open(const char *where)
{
	char model[256];
	struct utsname name;

	folder = where;
	if (mkdir(folder, 0777) < 0 && errno != EEXIST)
		bench_fail(folder, errno);
	text = open_file("results.md");
	can_plot = system("command -v gnuplot >/dev/null 2>&1") == 0;
	processor(model, sizeof(model));
	uname(&name);
	fprintf(text,
		"# Results of peal-bench\n\n"
		"%s, %u of its processors; %s %.*s, %s.\n"
		"Medians, the lowest and the highest run, and the median of\n"
		"the ratios of runs that followed each other.\n\n",
		model, bench_cpus(), name.sysname,
		(int)strcspn(name.release, "-"), name.release, name.machine);
}

/* -- lines */

static void add_dot(struct plot *p, const char *name, double x, double y)
{
	size_t i = 0, j = 0;

	while (i < p->n && strcmp(p->lines[i].name, name) != 0)
		i++;
	if (i == LINES)
		return;
	if (i == p->n) {
		p->lines[p->n++].name = name;
		p->lines[i].n = 0;
	}
	while (j < p->lines[i].n && p->lines[i].x[j] < x)
		j++;
	if (j < p->lines[i].n && p->lines[i].x[j] <= x) {
		if (p->fall ? y < p->lines[i].y[j] : y > p->lines[i].y[j])
			p->lines[i].y[j] = y;
		return;
	}
	if (p->lines[i].n == DOTS)
		return;
	for (size_t k = p->lines[i].n++; k > j; k--) {
		p->lines[i].x[k] = p->lines[i].x[k - 1];
		p->lines[i].y[k] = p->lines[i].y[k - 1];
	}
	p->lines[i].x[j] = x;
	p->lines[i].y[j] = y;
}

static bool shows(const struct plot *p, const struct bench_table *table)
{
	const struct bench_point *point = table->point;

	return strcmp(p->family, table->family->name) == 0 &&
	       (!p->mode || strcmp(p->mode, point->mode) == 0) &&
	       (!p->batch || p->batch == point->batch) &&
	       (!p->active || p->active == point->active);
}

static FILE *begin_plot(const char *file, const char *title, const char *x,
			const char *y)
{
	FILE *to = popen("gnuplot", "w");

	if (!to)
		return NULL;
	fprintf(to,
		"set terminal svg noenhanced size 800,500 background rgb "
		"'white' "
		"font 'sans,12'\n"
		"set output '%s/%s.svg'\nset title \"%s\"\n"
		"set xlabel '%s'\nset ylabel '%s'\nset logscale x\n"
		"set grid\nset key outside right\n"
		"set format y '%%.0s%%c'\nset format x '%%.0s%%c'\n",
		folder, file, title, x, y);
	return to;
}

static void draw(const struct plot *p)
{
	FILE *to = begin_plot(p->file, p->title, p->x, p->y);

	if (!to)
		return;
	for (size_t i = 0; i < p->n; i++) {
		fprintf(to, "$d%zu << EOD\n", i);
		for (size_t j = 0; j < p->lines[i].n; j++)
			fprintf(to, "%g %g\n", p->lines[i].x[j],
				p->lines[i].y[j]);
		fprintf(to, "EOD\n");
	}
	fprintf(to,
		"set logscale xy\nset logscale x 2\n"
		"set format x '%%.0b%%B'\nplot ");
	for (size_t i = 0; i < p->n; i++)
		fprintf(to,
			"%s$d%zu with linespoints lw 2 dt %zu "
			"title \"%s\"",
			i ? ", " : "", i, i / COLOURS + 1, p->lines[i].name);
	fprintf(to, "\n");
	pclose(to);
}

/* -- how latencies are spread */

/* Buckets are put together by eight, for a calmer line, and what is rare is
 * left out. */
static void spread(FILE *to, const struct bench_histogram *h)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i += 8) {
		uint64_t n = 0;

		for (unsigned j = 0; j < 8; j++)
			n += h->counts[i + j];
		if (n > h->n / 500)
			fprintf(to, "%g %g\n", histogram_ns(i + 4),
				100. * (double)n / (double)h->n);
	}
}

static void draw_histograms(const struct bench_table *table)
{
	const struct bench_point *point = table->point;
	char file[64], title[160], description[128];
	FILE *to;

	bench_describe(point, description, sizeof(description));
	snprintf(file, sizeof(file), "%s-%s-%" PRIu64 "-%" PRIu64,
		 table->family->name, point->mode, point->size, point->cpus);
	snprintf(title, sizeof(title), "%s: %s", table->family->name,
		 description);
	to = begin_plot(file, title, "ns", "% of them");
	if (!to)
		return;
	for (size_t i = 0; i < table->n; i++) {
		fprintf(to, "$d%zu << EOD\n", i);
		spread(to, table->histograms[i]);
		fprintf(to, "EOD\n");
	}
	fprintf(to, "plot ");
	for (size_t i = 0; i < table->n; i++)
		fprintf(to, "%s$d%zu with lines lw 2 dt %zu title \"%s\"",
			i ? ", " : "", i, i / COLOURS + 1,
			table->contestants[i]->name);
	fprintf(to, "\n");
	pclose(to);
}

/* -- Markdown */

void bench_results_add(const struct bench_table *table)
{
	bench_markdown(text, table);
	fflush(text);
	for (size_t p = 0; p < PLOTS; p++) {
		const struct bench_point *point = table->point;

		if (!shows(&plots[p], table))
			continue;
		for (size_t i = 0; i < table->n; i++)
			add_dot(&plots[p], table->contestants[i]->name,
				(double)(plots[p].by_rings ? point->rings
							   : point->size),
				bench_median(table->values[i][0],
					     table->rounds));
	}
	if (can_plot && table->n > 0 && table->histograms[0]->n > 0)
		draw_histograms(table);
}

void bench_results_close(void)
{
	fclose(text);
	for (size_t p = 0; can_plot && p < PLOTS; p++)
		if (plots[p].n > 0)
			draw(&plots[p]);
}
