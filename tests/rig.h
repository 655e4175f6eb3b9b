/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_RIG_H
#define PEAL_TESTS_RIG_H
/* A ring of ints in memory of its own, with both ends and both doorbells. */
#include <peal/sources.h>

#define RIG_MAX 64

struct rig {
	_Alignas(64) unsigned char memory[PEAL_RING_SIZE(RIG_MAX, sizeof(int))];
	struct peal_ring ring;
	struct peal_doorbell data, space;
	struct peal_sender tx;
	struct peal_receiver rx;
	struct peal_source source;
	int next_in, next_out; /* the items count up */
	int calls, closed, reason;
};

void rig_init(struct rig *rig, size_t capacity);
/* The ring alone, for a rig that has its doorbells. */
void rig_attach(struct rig *rig, size_t capacity);
void rig_finish(struct rig *rig);
/* Send n items, which must fit. */
void rig_send(struct rig *rig, size_t n);
/* Take and release n items, which must be there, and check them. */
void rig_take(struct rig *rig, size_t n);
/* Take all there is. @return how many */
size_t rig_drain(struct rig *rig);
/* Add its receiver (or sender), with `on_closed` counted in the rig. */
void rig_serve(struct peal_reactor *loop, struct rig *rig,
	       long (*on_readable)(struct peal_receiver *rx, void *rig));
void rig_feed(struct peal_reactor *loop, struct rig *rig,
	      long (*on_writable)(struct peal_sender *tx, void *rig));
/* Iterate, without waiting, until nothing is left. @return callbacks */
int rig_settle(struct peal_reactor *loop);
/* Is an fd readable now? */
bool rig_readable(int fd);

#endif
