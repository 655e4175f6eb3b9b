/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef WAV_H
#define WAV_H
/*
 * WAV files: read from front to end, so that they may be pipes, and written.
 * 16-bit integers or 32-bit floats, mono or stereo, at one sample rate. What
 * returns a string returns NULL, or says what is wrong.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define WAV_RATE 48000u

/* Mono is read as stereo, with both sides alike. */
struct wav_frame {
	float left, right;
};

struct wav {
	FILE *file;
	unsigned channels;
	bool is_float;	/* otherwise 16 bits */
	bool written;	/* not read */
	uint64_t bytes; /* left to be read, or written so far */
};

/* On failure nothing is left open. */
const char *wav_open(struct wav *wav, const char *path);
/* Returns how many; 0 at the end, which may come before what the header said.*/
size_t wav_read(struct wav *wav, struct wav_frame *frames, size_t n);

/* Stereo. */
const char *wav_create(struct wav *wav, const char *path, bool is_float);
/* What is beyond -1 to 1 is clipped in 16 bits. */
const char *wav_write(struct wav *wav, const struct wav_frame *frames,
		      size_t n);

/* What was written is a WAV file only now. May be called twice. */
const char *wav_close(struct wav *wav);

#endif
