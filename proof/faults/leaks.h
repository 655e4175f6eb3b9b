/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_FAULTS_LEAKS_H
#define PEAL_FAULTS_LEAKS_H
/* What a process holds: fds, and address space. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEAKS_FDS 256

struct leaks {
	bool fds[LEAKS_FDS];
	uint64_t mapped;  /* bytes, without the heap and the stack */
	unsigned memfds;  /* mappings of them */
	uint64_t blocked; /* signals */
};

void leaks_count(struct leaks *leaks);
/* Fail if there is more of anything. */
void leaks_check(const struct leaks *before);

#endif
