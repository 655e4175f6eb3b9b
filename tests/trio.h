/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_TRIO_H
#define PEAL_TESTS_TRIO_H
/* A reactor and three rigs, and callbacks that most tests of it use. */
#include "harness.h"
#include "rig.h"

#define SLOTS 16

static struct peal_slot slots[SLOTS];
static struct peal_reactor loop;
static struct rig a, b, c;

static inline void start(void)
{
	CHECK_EQ(peal_reactor_init(&loop, slots, SLOTS), 0);
	rig_init(&a, 8);
	rig_init(&b, 8);
	rig_init(&c, 8);
}

static inline void end(void)
{
	struct peal_reactor_stats stats;
	struct peal_ring_stats ring[6];
	uint64_t transitions = 0;

	peal_reactor_stats(&loop, &stats);
	peal_receiver_stats(&a.rx, &ring[0]);
	peal_receiver_stats(&b.rx, &ring[1]);
	peal_receiver_stats(&c.rx, &ring[2]);
	peal_sender_stats(&a.tx, &ring[3]);
	peal_sender_stats(&b.tx, &ring[4]);
	peal_sender_stats(&c.tx, &ring[5]);
	for (int i = 0; i < 6; i++)
		transitions += ring[i].transitions;
	CHECK_EQ(stats.callbacks - stats.mores, transitions);
	peal_reactor_finish(&loop);
	rig_finish(&a);
	rig_finish(&b);
	rig_finish(&c);
}

static inline long drain(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	CHECK(rx == &rig->rx);
	rig->calls++;
	CHECK(rig_drain(rig) > 0);
	return PEAL_DONE;
}

static inline long take_one_done(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	(void)rx;
	rig->calls++;
	rig_take(rig, 1);
	return PEAL_DONE;
}

static inline long take_one_more(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	rig->calls++;
	rig_take(rig, 1);
	return peal_receiver_used(rx) > 0 ? PEAL_MORE : PEAL_DONE;
}

#endif
