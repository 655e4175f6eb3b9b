/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <string.h>

#include "text.h"

static size_t length_of(unsigned char lead)
{
	return lead < 0x80   ? 1
	       : lead < 0xc0 ? 0
	       : lead < 0xe0 ? 2
	       : lead < 0xf0 ? 3
	       : lead < 0xf8 ? 4
			     : 0;
}

size_t text_decode(const char *from, size_t size, unsigned long *c)
{
	static const unsigned long least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)from;
	size_t n = size > 0 ? length_of(s[0]) : 0;
	unsigned long code;

	if (n == 0 || n > size)
		return 0;
	code = n == 1 ? s[0] : s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff ||
	    (code >= 0xd800 && code < 0xe000))
		return 0;
	*c = code;
	return n;
}

size_t text_whole(const char *from, size_t size)
{
	for (size_t back = 1; back < 4 && back <= size; back++) {
		size_t n = length_of((unsigned char)from[size - back]);

		if (n > back)
			return size - back;
		if (n > 0)
			break;
	}
	return size;
}

struct range {
	unsigned long first, last;
};

/* Besides the first 32. U+200C and U+200D shape words and emoji, and stay. */
static const struct range unsafe[] = {
	{ 0x7f, 0x9f },	      /* delete, and the second set of controls */
	{ 0x61c, 0x61c },     /* Arabic letter mark */
	{ 0x180e, 0x180e },   /* Mongolian vowel separator */
	{ 0x200b, 0x200b },   /* zero width space */
	{ 0x200e, 0x200f },   /* direction marks */
	{ 0x2028, 0x202e },   /* line ends, embeddings, overrides */
	{ 0x2060, 0x206f },   /* invisible operators, isolates */
	{ 0xfeff, 0xfeff },   /* byte order mark */
	{ 0xfff9, 0xfffb },   /* interlinear annotations */
	{ 0xe0000, 0xe007f }, /* tags */
};

static bool is_safe(unsigned long c)
{
	if (c < ' ')
		return c == '\t';
	for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++)
		if (c >= unsafe[i].first && c <= unsafe[i].last)
			return false;
	return (c & 0xfffe) != 0xfffe; /* no character, in any plane */
}

static size_t put_letter(char *to, char letter)
{
	to[0] = '\\';
	to[1] = letter;
	return 2;
}

static size_t put_bytes(char *to, const char *from, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		unsigned char byte = (unsigned char)from[i];

		*to++ = '\\';
		*to++ = 'x';
		*to++ = digits[byte >> 4];
		*to++ = digits[byte & 15];
	}
	return TEXT_GROWTH * n;
}

size_t text_escape(char *to, const char *from, size_t size, bool exact)
{
	char *begin = to;

	while (size > 0) {
		unsigned long c = 0;
		size_t n = text_decode(from, size, &c);
		bool valid = n > 0;

		if (!valid)
			n = 1;
		if (valid && c == '\n') {
			to += put_letter(to, 'n');
		} else if (valid && c == '\r') {
			to += put_letter(to, 'r');
		} else if (valid && c == '\\' && exact) {
			to += put_letter(to, '\\');
		} else if (valid && is_safe(c)) {
			memcpy(to, from, n);
			to += n;
		} else {
			to += put_bytes(to, from, n);
		}
		from += n;
		size -= n;
	}
	return (size_t)(to - begin);
}
