/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TOOLS_OPTIONS_H
#define PEAL_TOOLS_OPTIONS_H
/*
 * Options: each subcommand has a table, from which they are parsed and
 * explained. An option that several have has the same letter, the same name and
 * the same meaning in all. --help and --version need not be in a table.
 */
#include <stddef.h>
#include <stdint.h>

struct command_option {
	int letter;
	const char *name;
	const char *value; /* of what kind, or NULL: it takes none */
	const char *help;  /* lines, at best of 56 columns */
};

#define OPTIONS_MAX 16

struct command_options {
	const char *command;
	const char *operands; /* as in "[FILE...]" */
	const char *about;
	const struct command_option *options; /* up to one without a name */
	const char *end;		      /* exit statuses, for one */
	int (*set)(void *user, int letter, const char *value);
};

/* Each below complains, and returns 0 or EXIT_USAGE. */

/*
 * What set() returns, if it is not 0, ends it.
 * @return  0, then the operands begin at optind, an exit status, or -1: what
 *          was asked for was printed, and there is no more to do
 */
int options_parse(const struct command_options *o, int argc, char **argv,
		  void *user);

/* NAME, and nothing else, is left. */
int options_name(const struct command_options *o, int argc, char **argv,
		 const char **name);

/* A text for a field of so many bytes, its end included. */
int parse_text(const char *option, const char *text, size_t size,
	       const char **to);
/* Bytes, with k, M or G for powers of 1024. */
int parse_size(const char *option, const char *text, size_t *size);
/* Seconds, fractions allowed. */
int parse_seconds(const char *option, const char *text, double most,
		  double *seconds);
/* The same as milliseconds; more than 0 is not rounded to it. */
int parse_time(const char *option, const char *text, int *ms);
int parse_count(const char *option, const char *text, uint64_t most,
		uint64_t *count);

#endif
