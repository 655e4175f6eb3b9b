/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>

#include "faults.h"
#include "leaks.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static char maps[256 * 1024];

/* All at once, and without memory of its own. */
static void read_maps(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n;

	MUST(fd >= 0);
	while ((n = __real_read(fd, maps + used, sizeof(maps) - 1 - used)) > 0)
		used += (size_t)n;
	maps[used] = '\0';
	__real_close(fd);
}

static void count_line(struct leaks *leaks, const char *line)
{
	uint64_t first, end;

	if (strstr(line, "[heap]") || strstr(line, "[stack]") ||
	    sscanf(line, "%" SCNx64 "-%" SCNx64, &first, &end) != 2)
		return;
	leaks->memfds += strstr(line, "memfd:") != NULL;
	/* Sanitizers map what they need when they need it. */
	if (!SANITIZED)
		leaks->mapped += end - first;
}

static uint64_t blocked_signals(void)
{
	uint64_t blocked = 0;
	sigset_t set;

	sigprocmask(SIG_BLOCK, NULL, &set);
	for (int i = 1; i < 64; i++)
		if (sigismember(&set, i) == 1)
			blocked |= UINT64_C(1) << i;
	return blocked;
}

void leaks_count(struct leaks *leaks)
{
	memset(leaks, 0, sizeof(*leaks));
	read_maps();
	for (char *line = maps, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			break;
		*end = '\0';
		count_line(leaks, line);
	}
	for (int fd = 0; fd < LEAKS_FDS; fd++)
		leaks->fds[fd] = fcntl(fd, F_GETFD) >= 0;
	leaks->blocked = blocked_signals();
}

void leaks_check(const struct leaks *before)
{
	static struct leaks now;

	leaks_count(&now);
	for (int fd = 0; fd < LEAKS_FDS; fd++) {
		char path[32], target[64] = "";

		if (now.fds[fd] == before->fds[fd])
			continue;
		if (before->fds[fd])
			faults_fail(__FILE__, __LINE__, "fd %d was closed", fd);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		readlink(path, target, sizeof(target) - 1);
		faults_fail(__FILE__, __LINE__, "fd %d leaks: %s", fd, target);
	}
	if (now.memfds != before->memfds || now.mapped != before->mapped)
		faults_fail(__FILE__, __LINE__,
			    "%" PRIu64
			    " bytes are mapped in the place of "
			    "%" PRIu64 ", %u memfds in the place of %u",
			    now.mapped, before->mapped, now.memfds,
			    before->memfds);
	if (now.blocked != before->blocked)
		faults_fail(__FILE__, __LINE__,
			    "signals %" PRIx64 " are blocked",
			    now.blocked ^ before->blocked);
}
