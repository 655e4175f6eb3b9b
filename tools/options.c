/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "options.h"

static const struct command_option common[] = {
	{ 'h', "help", NULL, "explain this command" },
	{ 'V', "version", NULL, "the version of peal" },
	{ 0 },
};

/* -- help */

static size_t width_of(const struct command_option *o)
{
	return strlen("  -x, --") + strlen(o->name) +
	       (o->value ? 1 + strlen(o->value) : 0) + strlen("  ");
}

static void explain(const struct command_option *o, size_t column)
{
	const char *line = o->help, *end;

	printf("  -%c, --%s%s%s%*s", o->letter, o->name, o->value ? " " : "",
	       o->value ? o->value : "", (int)(column - width_of(o) + 2), "");
	while ((end = strchr(line, '\n'))) {
		printf("%.*s\n%*s", (int)(end - line), line, (int)column, "");
		line = end + 1;
	}
	puts(line);
}

static void help(const struct command_options *o)
{
	const struct command_option *i;
	size_t column = 0;

	printf("usage: peal %s [OPTIONS]%s%s\n\n%s\n\n", o->command,
	       o->operands[0] ? " " : "", o->operands, o->about);
	for (i = o->options; i->name; i++)
		column = width_of(i) > column ? width_of(i) : column;
	for (i = o->options; i->name; i++)
		explain(i, column);
	for (i = common; i->name; i++)
		explain(i, column);
	printf("\n%s\n", o->end);
}

/* -- getopt */

/* The tables as getopt_long(3) wants to have them. */
struct tables {
	struct option longs[OPTIONS_MAX + 3];
	char shorts[2 * (OPTIONS_MAX + 3)];
	int n, n_shorts;
};

static void add(struct tables *t, const struct command_option *o)
{
	for (; o->name && t->n < OPTIONS_MAX + 2; o++) {
		t->longs[t->n++] = (struct option){
			.name = o->name,
			.has_arg = o->value ? required_argument : no_argument,
			.val = o->letter,
		};
		t->shorts[t->n_shorts++] = (char)o->letter;
		if (o->value)
			t->shorts[t->n_shorts++] = ':';
	}
}

static const struct option *find(const struct tables *t, int letter)
{
	for (int i = 0; i < t->n; i++)
		if (t->longs[i].val == letter)
			return &t->longs[i];
	return NULL;
}

/* `text` is the argument that getopt_long(3) was at. */
static int explain_wrong(const struct command_options *o,
			 const struct tables *t, int option, const char *text)
{
	const struct option *known = find(t, optopt);

	if (option == ':' && known)
		complain("-%c, --%s takes a value", optopt, known->name);
	else if (known)
		complain("-%c, --%s takes no value", optopt, known->name);
	else if (optopt != 0)
		complain("there is no option -%c", optopt);
	else
		complain("there is no option %s, or there are several", text);
	complain("`peal %s --help` lists the options", o->command);
	return EXIT_USAGE;
}

int options_parse(const struct command_options *o, int argc, char **argv,
		  void *user)
{
	struct tables t = { .shorts = ":", .n_shorts = 1 };
	int option, ret = 0;

	add(&t, o->options);
	add(&t, common);
	opterr = 0;
	while (ret == 0 && (option = getopt_long(argc, argv, t.shorts, t.longs,
						 NULL)) != -1) {
		if (option == 'h') {
			help(o);
			return -1;
		}
		if (option == 'V') {
			print_version();
			return -1;
		}
		if (option == ':' || option == '?')
			return explain_wrong(o, &t, option, argv[optind - 1]);
		ret = o->set(user, option, optarg);
	}
	return ret;
}

int options_name(const struct command_options *o, int argc, char **argv,
		 const char **name)
{
	if (optind == argc - 1) {
		*name = argv[optind];
		return 0;
	}
	complain("`peal %s` takes one NAME. `peal %s --help` explains it.",
		 o->command, o->command);
	return EXIT_USAGE;
}

/* -- values */

int parse_text(const char *option, const char *text, size_t size,
	       const char **to)
{
	if (strlen(text) >= size) {
		complain("%s takes at most %zu bytes", option, size - 1);
		return EXIT_USAGE;
	}
	*to = text;
	return 0;
}

static bool is_number(const char *text)
{
	return text[0] >= '0' && text[0] <= '9';
}

static int shift_of(const char *suffix)
{
	static const char *const suffixes[] = { "", "k", "M", "G" };

	for (int i = 0; i < 4; i++)
		if (strcmp(suffix, suffixes[i]) == 0)
			return 10 * i;
	return strcmp(suffix, "K") == 0 ? 10 : -1;
}

int parse_size(const char *option, const char *text, size_t *size)
{
	const unsigned long long most = 1ULL << 40;
	unsigned long long n;
	char *end;
	int shift;

	errno = 0;
	n = strtoull(text, &end, 10);
	shift = shift_of(end);
	if (errno != 0 || !is_number(text) || shift < 0 || n < 1 ||
	    n > most >> shift) {
		complain(
			"%s takes a number of bytes, such as 4096, 64k or 1M, "
			"not `%s`",
			option, text);
		return EXIT_USAGE;
	}
	*size = (size_t)(n << shift);
	return 0;
}

int parse_seconds(const char *option, const char *text, double most,
		  double *seconds)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end != '\0' || !(s >= 0 && s <= most)) {
		complain(
			"%s takes a number of seconds from 0 to %.0f, such as "
			"3 or 0.5, not `%s`",
			option, most, text);
		return EXIT_USAGE;
	}
	*seconds = s;
	return 0;
}

int parse_time(const char *option, const char *text, int *ms)
{
	double s;
	int ret = parse_seconds(option, text, INT_MAX / 1000, &s);

	if (ret != 0)
		return ret;
	*ms = (int)(s * 1000);
	if (*ms == 0 && s > 0)
		*ms = 1;
	return 0;
}

int parse_count(const char *option, const char *text, uint64_t most,
		uint64_t *count)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || !is_number(text) || *end != '\0' || n < 1 ||
	    n > most) {
		complain("%s takes a number from 1 to %llu, not `%s`", option,
			 (unsigned long long)most, text);
		return EXIT_USAGE;
	}
	*count = n;
	return 0;
}
