/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_RESULTS_H
#define PEAL_BENCH_RESULTS_H
/*
 * A folder with a table in Markdown and, where there is gnuplot, plots.
 */
#include <stdio.h>

#include "bench.h"

void bench_results_open(const char *folder);
void bench_results_add(const struct bench_table *table);
void bench_results_close(void);

/* report.c: a table of a point. */
void bench_markdown(FILE *to, const struct bench_table *table);

#endif
