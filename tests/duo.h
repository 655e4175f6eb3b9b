/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_DUO_H
#define PEAL_TESTS_DUO_H
/* A reactor and two rigs; for three, and what is always counted, see trio.h. */
#include "harness.h"
#include "rig.h"

#define SLOTS 64

static struct peal_slot slots[SLOTS];
static struct peal_reactor loop;
static struct rig a, b;

static inline void start_with(size_t capacity)
{
	CHECK_EQ(peal_reactor_init(&loop, slots, SLOTS), 0);
	rig_init(&a, capacity);
	rig_init(&b, 8);
}

static inline void start(void)
{
	start_with(8);
}

static inline void end(void)
{
	peal_reactor_finish(&loop);
	rig_finish(&a);
	rig_finish(&b);
}

static inline long drain(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	CHECK(rx == &rig->rx);
	rig->calls++;
	CHECK(rig_drain(rig) > 0);
	return PEAL_DONE;
}

#endif
