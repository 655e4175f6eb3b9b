/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TOOLS_TEXT_H
#define PEAL_TOOLS_TEXT_H
/*
 * Text that others have chosen (names, messages, what a server says), on its
 * way to a terminal. UTF-8 passes. What could steer a terminal or hide text is
 * escaped: the backslash as \\, a newline as \n, a carriage return as \r, and
 * each byte of control characters, of marks that turn the direction of writing
 * round, of invisible marks, and of what is not UTF-8, as \xHH. A tab passes.
 */
#include <stdbool.h>
#include <stddef.h>

/* Bytes that a byte becomes at most. */
#define TEXT_GROWTH 4

/*
 * Decode one character of UTF-8: the shortest form alone, no surrogates.
 * @return its bytes, or 0 if it is invalid
 */
size_t text_decode(const char *from, size_t size, unsigned long *c);

/*
 * @param to     room for TEXT_GROWTH * size bytes; no NUL is added
 * @param exact  escape the backslash, too: then the text can be had back
 * @return       bytes in `to`
 */
size_t text_escape(char *to, const char *from, size_t size, bool exact);

/* @return how many of the bytes are characters that do not go on behind them */
size_t text_whole(const char *from, size_t size);

#endif
