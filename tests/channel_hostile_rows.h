/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_HOSTILE_ROWS_H
#define PEAL_TESTS_HOSTILE_ROWS_H
/* How the lists of attacks are written. */
#include "fixtures/hostile.h"

#define SENDS .role = PEAL_SENDER
#define RECEIVES .role = PEAL_RECEIVER
#define BOTH .role = PEAL_BOTH
#define EVENTFD .bells = PEAL_DOORBELL_EVENTFD
#define SOCKET .bells = PEAL_DOORBELL_SOCKET
/* clang-format off */
#define ROW(name_, run_, expect_, ...)                                         \
	{ .name = name_, .run = run_, .expect = expect_, __VA_ARGS__ }
#define AS_NOBODY(name, run, expect, ...)                                      \
	ROW(name, run, expect, __VA_ARGS__),                                   \
	ROW(name ", by another user", run, expect, .flags = NOBODY,            \
	    __VA_ARGS__)
/* clang-format on */

#endif
