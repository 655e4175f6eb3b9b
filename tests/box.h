/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_BOX_H
#define PEAL_TESTS_BOX_H
/* An inbox and three of its senders. */
#include "letters.h"

static struct box box;
static struct peal_outbox a, b, c;

static inline void open_with(const struct peal_inbox_options *options)
{
	CHECK_EQ(box_open(&box, options), 0);
}

static inline void close_all(void)
{
	peal_outbox_close(&a, 0);
	peal_outbox_close(&b, 0);
	peal_outbox_close(&c, 0);
	peal_inbox_close(&box.inbox);
}

#endif
