/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Included before everything else where the library is compiled for fuzzers of
 * shared memory: a hostile peer writes whenever it likes, so it may do so right
 * before any load of a shared word.
 */
#ifndef PEAL_PROOF_LOADS_H
#define PEAL_PROOF_LOADS_H
/* A deferred recheck has nobody to wait for. */
#define PEAL_RECHECK_NS 0u

void fuzz_before_load(void);
#define __atomic_load_n(word, order)                                           \
	(fuzz_before_load(), __atomic_load_n(word, order))

#endif
