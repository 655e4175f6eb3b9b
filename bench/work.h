/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_BENCH_WORK_H
#define PEAL_BENCH_WORK_H
/*
 * What every contestant does with its items: each is written whole and read
 * whole. The first word is its number, which is summed up and compared.
 */
#include <stdint.h>
#include <string.h>

/* The loops are compiled anew for each size that is known. */
#define BENCH_INLINE static inline __attribute__((always_inline))

#define BENCH_BY_SIZE(size, f, ...)                                            \
	((size) == 8	? f(__VA_ARGS__, 8)                                    \
	 : (size) == 64 ? f(__VA_ARGS__, 64)                                   \
			: f(__VA_ARGS__, (size)))

typedef uint64_t bench_words
	__attribute__((vector_size(32), aligned(8), may_alias));
typedef uint64_t __attribute__((may_alias)) bench_word;

/* Sizes are multiples of 8. */
BENCH_INLINE void bench_fill(void *item, size_t size, uint64_t number)
{
	bench_word *words = item;

	if (size > 64)
		memset(words, (int)number, size);
	else
		for (size_t i = 1; i < size / 8; i++)
			words[i] = number;
	words[0] = number;
}

/* @return its number, plus 0 */
BENCH_INLINE uint64_t bench_read(const void *item, size_t size)
{
	const bench_word *words = item;
	uint64_t number = words[0], rest = 0;

	if (size == 8)
		return number;
	if (size < 256) {
		for (size_t i = 1; i < size / 8; i++)
			rest += words[i];
	} else {
		bench_words a = { 0 }, b = a, c = a, d = a;

		for (size_t i = 0; i + 16 <= size / 8; i += 16) {
			a += *(const bench_words *)(words + i);
			b += *(const bench_words *)(words + i + 4);
			c += *(const bench_words *)(words + i + 8);
			d += *(const bench_words *)(words + i + 12);
		}
		a += b + c + d;
		rest = a[0] + a[1] + a[2] + a[3];
	}
	__asm__ volatile("" : : "r"(rest)); /* it was wanted */
	return number;
}

/* 0 + 1 + ... + n - 1 */
static inline uint64_t bench_total(uint64_t n)
{
	return n % 2 ? n * ((n - 1) / 2) : n / 2 * (n - 1);
}

#endif
