/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_RING_TSAN_H
#define PEAL_RING_TSAN_H
/*
 * For ThreadSanitizer in a program whose library was built without it. It sees
 * the inline half of a ring, which stores positions with release, and nothing
 * of the library, which loads them with acquire: a correct program would race.
 * So the library says what it does, where the program brings functions to be
 * told; anywhere else that is a test of a pointer.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_THREAD__) || defined(__FRAMAC__)
#define PEAL_TSAN_SEES
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PEAL_TSAN_SEES
#endif
#endif

#ifndef PEAL_TSAN_SEES
/* Of libtsan, or all NULL. Hidden, they would be NULL in any program. */
#pragma GCC visibility push(default)
void __tsan_acquire(void *word) __attribute__((weak));
void __tsan_release(void *word) __attribute__((weak));
void __tsan_write8(void *word) __attribute__((weak));
#pragma GCC visibility pop
#endif

static inline bool peal_tsan_listens(void)
{
#ifdef PEAL_TSAN_SEES
	return false;
#else
	return __builtin_expect(__tsan_acquire != NULL, 0);
#endif
}

/* After a load with acquire, */
static inline void peal_tsan_acquire(const void *word)
{
	(void)word;
#ifndef PEAL_TSAN_SEES
	if (peal_tsan_listens())
		__tsan_acquire((void *)(uintptr_t)word);
#endif
}

/* before a store with release, */
static inline void peal_tsan_release(const void *word)
{
	(void)word;
#ifndef PEAL_TSAN_SEES
	if (peal_tsan_listens())
		__tsan_release((void *)(uintptr_t)word);
#endif
}

/* and for a word that is one thread's at a time. */
static inline void peal_tsan_write(const uint64_t *word)
{
	(void)word;
#ifndef PEAL_TSAN_SEES
	if (peal_tsan_listens())
		__tsan_write8((void *)(uintptr_t)word);
#endif
}

#endif
