/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_SOAK_H
#define PEAL_TESTS_SOAK_H
/*
 * peal-soak: a server and a crowd of senders that stream, stall, die and come
 * back, for as long as one likes, with every item accounted for. Processes,
 * items and what is written down about them are those of tests/fixtures/kill.h;
 * here is who lives when, and what has come of it.
 *
 * Nobody waits for all others to come to rest before somebody is killed. But
 * what is promised holds while one side of a ring lives; so a client is killed
 * when it has met the server that lives now, and the server when all have met
 * it and it has delivered what the dead had published.
 */
#include "../fixtures/kill.h"

/* What was asked for. */
struct soak_options {
	uint64_t seconds, senders, seed;
	bool json, keep_server;
};

/* What the server had when all had met it. */
struct soak_census {
	uint64_t fds, maps, resident;
};

struct soak_figures {
	double seconds;
	uint64_t items; /* and messages */
	uint64_t bytes;
	uint64_t sender_kills, server_kills, stops;
	uint64_t connects, reconnects;
	uint64_t resumed, repeated, lost;
	uint64_t doorbells, wakeups;
	uint64_t censuses;
	struct soak_census first, last; /* of the last server */
};

extern struct soak_options soak_options;
extern struct soak_figures soak_figures;
/* Whoever fails says so in here; it is the leader's to end it then. */
extern uint64_t *soak_failed;

/* -- soak_flows.c: what was published, and whether it has arrived */

void soak_flows_init(void);
uint64_t soak_flow_new(void);
/* Its sender is dead. `receiver` is a number of a process. */
void soak_flow_dead(uint64_t flow, int receiver);
/* Has all that dead ones had published for this one arrived? */
bool soak_flows_arrived(int receiver);
/* For how long has that which is oldest not arrived? In ns. */
uint64_t soak_flows_waiting(void);
/* Has all of it arrived, though its sender lives? */
bool soak_flow_drained(uint64_t flow);
/* At the end: count them all. */
void soak_flows_close(void);
void soak_flows_describe(void);

/* -- soak_crowd.c: processes */

/* @return 0, or 1: something was lost, or is not as it should be */
int soak_run(void);

/* -- soak_letters.c: senders of messages, and the inbox */

extern const struct kill_guest soak_inbox;
/* What test_fork() runs: a number and a seed, as for kill_client(). */
void soak_letters(void *arg);

/* -- soak.c */

uint64_t soak_now(void); /* ns */
_Noreturn void soak_fail(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
void soak_progress(void);

#endif
