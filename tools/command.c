/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <config.h>

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>

#include "command.h"

void complain(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("peal: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void print_version(void)
{
	puts("peal " PACKAGE_VERSION);
}

long count_entries(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	long n = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			n++;
	closedir(dir);
	return n;
}
