/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

/* Inputs between two close looks. */
#define SELDOM 4096

void test_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

/* But for files, which the fuzzer opens and closes as well. */
static int count_fds(bool show)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	int n = 0;

	if (!folder)
		return 0;
	while ((entry = readdir(folder))) {
		char link[64] = "";
		ssize_t size = readlinkat(dirfd(folder), entry->d_name, link,
					  sizeof(link) - 1);

		if (size <= 0 ||
		    (link[0] == '/' && strncmp(link, "/memfd:", 7)))
			continue;
		if (show)
			fprintf(stderr, "%s -> %s\n", entry->d_name, link);
		n++;
	}
	closedir(folder);
	return n;
}

/* Of memfds, as /proc calls them. */
static int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	if (!maps)
		return 0;
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "/memfd:") != NULL;
	fclose(maps);
	return n;
}

static int lowest_fd(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	CHECK(fd >= 0);
	close(fd);
	return fd;
}

void check_leaks(struct leaks *leaks)
{
	int lowest = lowest_fd();

	if (leaks->inputs++ == 0) {
		leaks->lowest = lowest;
		leaks->fds = count_fds(false);
		leaks->mappings = count_mappings();
	}
	if (lowest == leaks->lowest && leaks->inputs % SELDOM)
		return;
	leaks->lowest = lowest;
	if (count_fds(false) != leaks->fds)
		CHECK_EQ(count_fds(true), leaks->fds);
	CHECK_EQ(count_mappings(), leaks->mappings);
}
