/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay.h"

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

int parse_time(const char *option, const char *text, int *ms)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end != '\0' || !(s >= 0 && s <= INT_MAX / 1000)) {
		complain(
			"%s takes a number of seconds, such as 3 or 0.5, "
			"not `%s`",
			option, text);
		return EXIT_USAGE;
	}
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

int parse_name(const char *command, int argc, char **argv, const char **name)
{
	if (optind == argc - 1) {
		*name = argv[optind];
		return 0;
	}
	complain("`peal %s` takes one NAME. `peal %s --help` explains it.",
		 command, command);
	return EXIT_USAGE;
}

int explain_option(const char *command, int option, int first, const char *text)
{
	if (option == ':')
		complain("%s takes a value", text);
	else if (optopt >= first)
		complain("%s: this option takes no value", text);
	else if (optopt != 0)
		complain("there is no option -%c", optopt);
	else
		complain("there is no option %s, or there are several", text);
	complain("`peal %s --help` lists the options", command);
	return EXIT_USAGE;
}
