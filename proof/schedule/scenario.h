/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_SCHEDULE_SCENARIO_H
#define PEAL_PROOF_SCHEDULE_SCENARIO_H
/*
 * What threads do, and what has to be true of it. Each draws its own details:
 * capacities, batches, watermarks, doorbells, who dies when.
 */
#include <peal/ring.h>

#include "world.h"

struct scenario {
	const char *name;
	/* Make the threads. */
	void (*begin)(void);
	/* All came to their ends: is everything as it should be? Else it calls
	 * scenario_wrong(). */
	void (*end)(void);
};

extern const struct scenario scenarios[];
extern const int n_scenarios;

/* The first thing that was found wrong, or NULL. */
const char *scenario_wrong(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
const char *scenario_found(void);
void scenario_forget(void);

/* A draw from `from` to `to`, both included. */
uint64_t draw(uint64_t from, uint64_t to);
/* One in n. */
bool one_in(uint64_t n);

/* Memory for a ring, its words shared. */
struct peal_ring ring_make(int index, uint64_t capacity);
/* A bell, perhaps drained lazily; two for a socket, which serves both ways. */
void bells_make(struct peal_doorbell *data, struct peal_doorbell *space);

/* Sleep on the bell, and on what keeps the peer's end open; -1: none.
 * @return whether it hung up */
bool bell_sleep(int fd, int lifeline);
/* A loop's set that watches the bell edge-triggered. */
int edge_make(int fd);
void edge_sleep(int epfd);

/* The scenarios. */
void streams_begin(void);
void barriers_begin(void);
void deaths_begin(void);
void successors_begin(void);
void streams_end(void);
void deaths_end(void);
void messages_begin(void);
void messages_end(void);
void groups_begin(void);
void reactors_begin(void);
void reactors_end(void);

#endif
