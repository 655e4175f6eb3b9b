/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "terminal.h"

#define COLUMNS_MAX 65535

bool terminal_redraws(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && term && term[0] && strcmp(term, "dumb") != 0;
}

unsigned terminal_columns(int fd, unsigned otherwise)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	char *end;
	long n = columns ? strtol(columns, &end, 10) : 0;

	if (columns && *end == '\0' && n > 0 && n <= COLUMNS_MAX)
		return (unsigned)n;
	if (isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return otherwise;
}

bool terminal_colours(void)
{
	const char *no = getenv("NO_COLOR");

	return !no || !no[0];
}
