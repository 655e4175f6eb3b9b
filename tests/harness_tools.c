/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What programs with a main() of their own take from the harness. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

uint64_t test_random(uint64_t *state)
{
	uint64_t x = *state ? *state : UINT64_C(0x9e3779b97f4a7c15);

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

int test_list_fds(int *fds, int most)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int n = 0;

	if (!dir)
		test_fail(__FILE__, __LINE__, "/proc/self/fd: %s",
			  strerror(errno));
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || fd == dirfd(dir))
			continue;
		if (n < most)
			fds[n] = fd;
		n++;
	}
	closedir(dir);
	return n;
}

int test_count_fds(void)
{
	return test_list_fds(NULL, 0);
}
