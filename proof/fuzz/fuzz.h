/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_FUZZ_H
#define PEAL_PROOF_FUZZ_H
/*
 * What the fuzzers have in common. Each is one function, which runs an input to
 * its end and leaves nothing behind; the input is a program, and where it is
 * used up it reads as zeroes. What has to hold is a CHECK() of the tests'
 * harness, which aborts here.
 */
#include <stddef.h>
#include <stdint.h>

#include "../../tests/fixtures/harness.h"

struct input {
	const uint8_t *at, *end;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline struct input input_of(const uint8_t *data, size_t size)
{
	return (struct input){ data, data + size };
}

static inline bool input_left(const struct input *in)
{
	return in->at < in->end;
}

static inline uint8_t input_byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline uint64_t input_bytes(struct input *in, int n)
{
	uint64_t word = 0;

	for (int i = 0; i < n; i++)
		word |= (uint64_t)input_byte(in) << (8 * i);
	return word;
}

/* A number below n. */
static inline uint64_t input_below(struct input *in, uint64_t n)
{
	return input_bytes(in, n <= 256 ? 1 : n <= 65536 ? 2 : 8) % n;
}

/* From -16 to 15. */
static inline uint64_t input_nearby(struct input *in)
{
	return (uint64_t)input_byte(in) % 32 - 16;
}

/*
 * Call it after each input, with a static struct that is all zero at first: as
 * many fds as after the first input, and no memory of peal's. Looked at closely
 * now and then.
 */
struct leaks {
	uint64_t inputs;
	int lowest, fds, mappings;
};
void check_leaks(struct leaks *leaks);

#endif
