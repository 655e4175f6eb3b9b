/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "wav.h"

#define FORMAT_PCM 1u
#define FORMAT_FLOAT 3u
#define FORMAT_EXTENSIBLE                                                      \
	0xfffeu /* the format is in the first bytes of a GUID */
#define HEADER 44u
/* Sizes are of 32 bits, and that of the file counts the header, too. */
#define LARGEST (UINT32_MAX - HEADER)

static unsigned get16(const unsigned char *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

static uint32_t get32(const unsigned char *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static void put16(unsigned char *p, unsigned value)
{
	p[0] = value & 0xff;
	p[1] = value >> 8 & 0xff;
}

static void put32(unsigned char *p, uint32_t value)
{
	put16(p, value & 0xffff);
	put16(p + 2, value >> 16);
}

static size_t frame_size(const struct wav *wav)
{
	return wav->channels * (wav->is_float ? 4 : 2);
}

/* -- reading */

static bool skip(FILE *file, uint64_t bytes)
{
	while (bytes > 0 && getc(file) != EOF)
		bytes--;
	return bytes == 0;
}

static const char *read_format(struct wav *wav, uint32_t size)
{
	unsigned char fmt[40] = { 0 };
	uint32_t known = size < sizeof(fmt) ? size : sizeof(fmt);
	unsigned format, bits;

	if (size < 16 || fread(fmt, 1, known, wav->file) != known ||
	    !skip(wav->file, (uint64_t)size - known + size % 2))
		return "its format is cut off";
	format = get16(fmt);
	bits = get16(fmt + 14);
	if (format == FORMAT_EXTENSIBLE && known >= 26)
		format = get16(fmt + 24);
	wav->channels = get16(fmt + 2);
	wav->is_float = format == FORMAT_FLOAT;
	if (!(format == FORMAT_PCM && bits == 16) &&
	    !(format == FORMAT_FLOAT && bits == 32))
		return "neither 16-bit integers nor 32-bit floats";
	if (wav->channels != 1 && wav->channels != 2)
		return "neither mono nor stereo";
	if (get32(fmt + 4) != WAV_RATE)
		return "its sample rate is not 48000 Hz";
	return NULL;
}

static const char *read_header(struct wav *wav)
{
	unsigned char chunk[12];
	const char *error;

	if (fread(chunk, 1, 12, wav->file) != 12 || memcmp(chunk, "RIFF", 4) ||
	    memcmp(chunk + 8, "WAVE", 4))
		return "not a WAV file";
	while (fread(chunk, 1, 8, wav->file) == 8) {
		uint32_t size = get32(chunk + 4);

		if (!memcmp(chunk, "fmt ", 4)) {
			error = read_format(wav, size);
			if (error)
				return error;
		} else if (!memcmp(chunk, "data", 4)) {
			wav->bytes = size;
			return wav->channels ? NULL : "it has no format";
		} else if (!skip(wav->file, (uint64_t)size + size % 2)) {
			break;
		}
	}
	return "it has no samples";
}

const char *wav_open(struct wav *wav, const char *path)
{
	const char *error;

	*wav = (struct wav){ .file = fopen(path, "rbe") };
	if (!wav->file)
		return strerror(errno);
	error = read_header(wav);
	if (error) {
		fclose(wav->file);
		wav->file = NULL;
	}
	return error;
}

static float decode(const struct wav *wav, const unsigned char *p)
{
	uint32_t bits;
	float value;

	if (!wav->is_float)
		return (float)(int16_t)get16(p) / 32768;
	bits = get32(p);
	memcpy(&value, &bits, sizeof(value));
	return value;
}

size_t wav_read(struct wav *wav, struct wav_frame *frames, size_t n)
{
	size_t size = frame_size(wav), i;
	unsigned char bytes[8];

	for (i = 0; i < n && wav->bytes >= size; i++, wav->bytes -= size) {
		if (fread(bytes, size, 1, wav->file) != 1)
			break;
		frames[i].left = decode(wav, bytes);
		frames[i].right = decode(wav,
					 bytes + size - size / wav->channels);
	}
	return i;
}

/* -- writing */

static const char *write_header(const struct wav *wav)
{
	unsigned char h[HEADER] = "RIFF....WAVEfmt ....................data";
	unsigned size = (unsigned)frame_size(wav);

	put32(h + 4, (uint32_t)wav->bytes + HEADER - 8);
	put32(h + 16, 16);
	put16(h + 20, wav->is_float ? FORMAT_FLOAT : FORMAT_PCM);
	put16(h + 22, wav->channels);
	put32(h + 24, WAV_RATE);
	put32(h + 28, WAV_RATE * size);
	put16(h + 32, size);
	put16(h + 34, wav->is_float ? 32 : 16);
	put32(h + 40, (uint32_t)wav->bytes);
	return fwrite(h, sizeof(h), 1, wav->file) == 1 ? NULL : strerror(errno);
}

const char *wav_create(struct wav *wav, const char *path, bool is_float)
{
	*wav = (struct wav){ .file = fopen(path, "wbe"),
			     .channels = 2,
			     .is_float = is_float,
			     .written = true };
	return wav->file ? write_header(wav) : strerror(errno);
}

/* Rounded to the nearest; a NaN is silence. */
static int16_t to_16_bits(float value)
{
	float scaled = value * 32768;

	if (scaled >= 32767)
		return 32767;
	if (scaled <= -32768)
		return -32768;
	return (int16_t)(scaled >= 0  ? scaled + 0.5f
			 : scaled < 0 ? scaled - 0.5f
				      : 0);
}

static void encode(const struct wav *wav, unsigned char *p, float value)
{
	uint32_t bits;

	if (wav->is_float) {
		memcpy(&bits, &value, sizeof(bits));
		put32(p, bits);
	} else {
		put16(p, (uint16_t)to_16_bits(value));
	}
}

const char *wav_write(struct wav *wav, const struct wav_frame *frames, size_t n)
{
	size_t size = frame_size(wav);
	unsigned char bytes[8];

	if (wav->bytes + n * size > LARGEST)
		return "the file is as large as a WAV file can be";
	for (size_t i = 0; i < n; i++) {
		encode(wav, bytes, frames[i].left);
		encode(wav, bytes + size / 2, frames[i].right);
		if (fwrite(bytes, size, 1, wav->file) != 1)
			return strerror(errno);
		wav->bytes += size;
	}
	return NULL;
}

static const char *complete(struct wav *wav)
{
	if (fflush(wav->file) || fseek(wav->file, 0, SEEK_SET))
		return strerror(errno);
	return write_header(wav);
}

const char *wav_close(struct wav *wav)
{
	const char *error = NULL;

	if (!wav->file)
		return NULL;
	if (wav->written)
		error = complete(wav);
	if (fclose(wav->file) && !error)
		error = strerror(errno);
	wav->file = NULL;
	return error;
}
