/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "text.h"

#define COMPLAINT_SIZE 2048

void stderr_may_break(struct sigaction *old)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGPIPE, &ignore, old);
}

/* In one piece, so that lines of several processes do not mix. */
void complain(const char *format, ...)
{
	char said[COMPLAINT_SIZE], clean[TEXT_GROWTH * COMPLAINT_SIZE];
	struct sigaction old;
	va_list args;
	int n;

	fflush(stdout);
	va_start(args, format);
	n = vsnprintf(said, sizeof(said), format, args);
	va_end(args);
	if (n < 0)
		return;
	if (n >= (int)sizeof(said))
		n = (int)sizeof(said) - 1;
	n = (int)text_escape(clean, said, (size_t)n, false);
	stderr_may_break(&old);
	fprintf(stderr, "peal: %.*s\n", n, clean);
	sigaction(SIGPIPE, &old, NULL);
}

int stdio_occupy(void)
{
	int fd;

	/* What is opened this way can be neither read nor written, and there is
	 * no device or file that it needs. */
	do
		fd = open("/", O_PATH | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		/* There is no room behind them, so they are all taken. */
		return fcntl(STDERR_FILENO, F_GETFD) < 0 ? -1 : 0;
	}
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

int stdio_check(int fd, int mode)
{
	bool reads = mode == O_RDONLY;
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && !(flags & O_PATH) &&
	    ((flags & O_ACCMODE) == mode || (flags & O_ACCMODE) == O_RDWR))
		return 0;
	complain("cannot %s: it is closed, or was not opened for %s",
		 reads ? "read stdin" : "write to stdout",
		 reads ? "reading" : "writing");
	return EXIT_FAILURE;
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
