/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Hostile text on its way to a terminal: tools/text.c. */
#include <stdio.h>
#include <string.h>

#include "../tools/text.h"
#include "fixtures/harness.h"

#define IS(from, expected)                                                     \
	check_escaped(from, sizeof(from) - 1, false, expected)
#define EXACTLY_IS(from, expected)                                             \
	check_escaped(from, sizeof(from) - 1, true, expected)

static void check_escaped(const char *from, size_t size, bool exact,
			  const char *expected)
{
	char to[TEXT_GROWTH * 128 + 1];
	size_t n;

	CHECK(size <= 128);
	n = text_escape(to, from, size, exact);
	CHECK(n <= TEXT_GROWTH * size);
	to[n] = '\0';
	if (strcmp(to, expected) != 0)
		fprintf(stderr, "\"%s\", expected \"%s\"\n", to, expected);
	CHECK(strcmp(to, expected) == 0);
}

TEST(text_of_all_scripts_passes)
{
	IS("", "");
	IS("plain, with a \ttab", "plain, with a \ttab");
	IS("caf\xc3\xa9 \xd0\xb6 \xe4\xb8\xad \xf0\x9f\x8e\xbb",
	   "caf\xc3\xa9 \xd0\xb6 \xe4\xb8\xad \xf0\x9f\x8e\xbb");
	/* Joiners: two people, and a Persian word. */
	IS("\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb",
	   "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb");
}

TEST(no_line_ends_but_where_we_end_it)
{
	IS("a\nb", "a\\nb");
	IS("a\rb", "a\\rb");
	IS("a\v\f\b", "a\\x0b\\x0c\\x08");
	IS("\xc2\x85", "\\xc2\\x85"); /* NEL */
	IS("\xe2\x80\xa8\xe2\x80\xa9", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9");
}

TEST(controls_of_both_sets_are_escaped)
{
	char to[64];

	for (int c = 0; c < 0xa0; c++) {
		char from[2] = { (char)c };
		size_t n = 1;

		if (c >= 0x80) {
			from[0] = (char)0xc2;
			from[1] = (char)c;
			n = 2;
		}
		n = text_escape(to, from, n, false);
		if (c == '\t' || (c >= ' ' && c < 0x7f))
			CHECK_EQ(n, 1);
		else
			CHECK(to[0] == '\\' && n >= 2);
	}
	IS("\x1b[2J\x7f", "\\x1b[2J\\x7f");
	IS("\xc2\x9b"
	   "2J",
	   "\\xc2\\x9b2J");
}

TEST(what_turns_text_round_or_hides_it_is_escaped)
{
	IS("\xd8\x9c", "\\xd8\\x9c");
	IS("\xe2\x80\x8b\xe2\x80\x8e\xe2\x80\x8f",
	   "\\xe2\\x80\\x8b\\xe2\\x80\\x8e\\xe2\\x80\\x8f");
	IS("\xe2\x80\xaa\xe2\x80\xae", "\\xe2\\x80\\xaa\\xe2\\x80\\xae");
	IS("\xe2\x81\xa6\xe2\x81\xa9", "\\xe2\\x81\\xa6\\xe2\\x81\\xa9");
	IS("\xef\xbb\xbf", "\\xef\\xbb\\xbf");
	IS("\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81");
}

TEST(what_is_not_utf_8_is_escaped_byte_by_byte)
{
	IS("\x80\xff", "\\x80\\xff");
	IS("\x9b"
	   "2J",
	   "\\x9b2J"); /* a control of 8-bit terminals */
	IS("\xc3", "\\xc3");
	IS("\xc3(", "\\xc3(");
	IS("\xe2\x82", "\\xe2\\x82");
	IS("\xf0\x9f\x8e"
	   "a",
	   "\\xf0\\x9f\\x8e"
	   "a");
	/* Longer than need be: a NUL, a newline, an escape. */
	IS("\xc0\x80\xc0\x8a", "\\xc0\\x80\\xc0\\x8a");
	IS("\xe0\x80\x9b", "\\xe0\\x80\\x9b");
	/* Surrogates, beyond the last, and no characters. */
	IS("\xed\xa0\x80", "\\xed\\xa0\\x80");
	IS("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
	IS("\xef\xbf\xbe\xef\xbf\xbf", "\\xef\\xbf\\xbe\\xef\\xbf\\xbf");
}

TEST(the_backslash_is_escaped_where_the_text_is_to_be_had_back)
{
	IS("a\\nb", "a\\nb");
	EXACTLY_IS("a\\nb", "a\\\\nb");
	EXACTLY_IS("a\nb", "a\\nb");
}

TEST(a_nul_does_not_end_it)
{
	IS("a\0b", "a\\x00b");
}

TEST(pieces_are_cut_between_characters)
{
	CHECK_EQ(text_whole("abc", 3), 3);
	CHECK_EQ(text_whole("", 0), 0);
	CHECK_EQ(text_whole("ab\xc3", 3), 2);
	CHECK_EQ(text_whole("ab\xc3\xa9", 4), 4);
	CHECK_EQ(text_whole("a\xf0\x9f\x8e", 4), 1);
	CHECK_EQ(text_whole("\xf0\x9f", 2), 0);
	/* What will be no character, whatever comes. */
	CHECK_EQ(text_whole("\x80\x80\x80\x80", 4), 4);
	CHECK_EQ(text_whole("a\xff", 2), 2);
}
