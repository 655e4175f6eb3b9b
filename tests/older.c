/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Runs a program as under an older kernel, in so far as older.h knows it:
 *
 *	tests/older 4.14 tests/channel
 *	make check LOG_COMPILER='tests/older 5.4'
 */
#define _GNU_SOURCE
#include <sys/uio.h>

#include "fixtures/older.h"

/* What older.h wants of the harness. */
void test_fail(const char *file, int line, const char *format, ...)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, format);
	exit(99);
}

void test_skip(const char *format, ...)
{
	fprintf(stderr, "%s %s\n", format, strerror(errno));
	exit(99);
}

int main(int argc, char **argv)
{
	int major, minor;
	char end;

	if (argc < 3 || sscanf(argv[1], "%d.%d%c", &major, &minor, &end) != 2) {
		fprintf(stderr, "usage: %s MAJOR.MINOR PROGRAM...\n", argv[0]);
		return 99;
	}
	become_older(LINUX(major, minor));
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 99;
}
