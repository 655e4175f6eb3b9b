/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_KILL_H
#define PEAL_TESTS_KILL_H
/*
 * Kill loops: a server and its clients, each a process that is killed and
 * started again, and a leader that holds no channel, kills them and accounts
 * for what was published. What they tell it, they tell in memory that all of
 * them share.
 *
 * A flow is what one incarnation of a process sends to one other party. It has
 * a number of its own, and so has each item in it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <peal/channel.h>

#define KILL_CLIENTS 64 /* at most */
#define KILL_FLOWS 65536
#define KILL_BATCH 16
#define KILL_CAPACITY 64

/* A cache line. Whatever of it is missing shows in the sum. */
struct kill_item {
	uint64_t flow, number, words[5], sum;
};

/* Two words of its sender, then two of its receiver. */
struct kill_flow {
	uint64_t intent;   /* items published once the commit under way is */
	uint64_t done;	   /* items that were published for certain */
	uint64_t received; /* items read: stored before they are released */
	uint64_t released; /* items released for certain */
	uint64_t repeats;
};

/* How a process goes about it. */
struct kill_habit {
	enum peal_role role;
	enum peal_bells bells;
	bool blocks;   /* and has no reactor */
	bool messages; /* to an inbox; see tests/soak/ */
	bool barriers;
	uint64_t capacity;
	uint64_t batch;	    /* at most; of what it sends */
	uint64_t watermark; /* of both ends of its rings, if not 0 */
	uint64_t stall_us;  /* at most, now and then; 0: never */
};

struct kill_process {
	uint64_t fuse;	   /* points from here to its death; 0: none */
	uint64_t identity; /* of an incarnation; the flow of a client */
	uint64_t census;   /* answered; the numbers come before it */
	uint64_t fds, maps;
	uint64_t resident; /* bytes, but for files and what is shared */
	uint64_t met;	   /* it has had a channel that was open */
	struct kill_habit habit;
	/* What its ends did; nothing of it is lost when it is killed. */
	uint64_t bytes, doorbells, wakeups, connects, resumed;
	/* Clients */
	uint64_t server;	/* pid of the one it is connected to */
	uint64_t open_identity; /* which incarnation the server has open */
	uint64_t open_server;	/* and which server: its pid */
	uint64_t back;		/* the flow from the server that lives now */
};

struct kill_page {
	uint64_t census;				 /* asked for */
	uint64_t quiet;					 /* send no more */
	uint64_t stop;					 /* finish and end */
	struct kill_process processes[KILL_CLIENTS + 1]; /* last: the server */
	struct kill_flow flows[KILL_FLOWS];
};

/* What the server serves on its reactor besides. */
struct kill_guest {
	void (*arrive)(struct peal_reactor *loop);
	void (*tick)(void);
	void (*leave)(void);
};

/* The same in all processes, but for `self`. */
struct kill_world {
	int clients;
	const struct kill_guest *guest; /* or NULL */
	struct kill_page *page;
	char address[64];
	struct kill_process *self;
	uint64_t random;
	uint64_t doom_ns; /* after its birth */
};

extern struct kill_world kill_world;

static inline uint64_t kill_load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void kill_store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* -- kill_flow.c */

struct kill_source {
	uint64_t flow, next;
	uint64_t doorbells; /* of its end, as counted last */
};

struct kill_sink {
	uint64_t flow, next;
	bool known; /* which flow, and at which item it is */
	uint64_t doorbells;
};

/* From `least` to `most`, each power of two as likely as the next. */
uint64_t kill_any_scale(uint64_t *random, uint64_t least, uint64_t most);
/* Where a process may die by its fuse. */
void kill_point(void);
/* A process begins: arm what it will die of. */
void kill_begin(struct kill_process *self, uint64_t seed, uint64_t doom_ns);
/* Where a process may do nothing for a while. */
void kill_stall(void);
/* Set up an end, or NULL, as is the habit of the client. */
void kill_tune(const struct kill_habit *habit, struct peal_sender *tx,
	       struct peal_receiver *rx);
/* What there is in an item, and in a message. */
uint64_t kill_word(uint64_t flow, uint64_t number, uint64_t i);
/* The next item that has arrived: may it be this one? */
void kill_account(struct kill_sink *sink, uint64_t flow, uint64_t number);
/* Publish one batch of at most n items, in the room that was reserved. */
void kill_send(struct kill_source *source, struct peal_sender *tx,
	       struct kill_item *room, size_t n);
/*
 * Read some items, check them, release them.
 * @return how many, 0, or an error of peal_receiver_peek()
 */
ssize_t kill_receive(struct kill_sink *sink, struct peal_receiver *rx);
/* Answer a census, if one is asked for. */
void kill_answer(void);
void kill_count(uint64_t *fds, uint64_t *maps);
/* A count of an end that begins anew with each ring. */
void kill_tally(uint64_t *last, uint64_t now);

/* -- kill_client.c, kill_server.c: a process, up to its orderly end */
void kill_client(void *arg); /* its number, as an int */
void kill_server(void *arg);

#endif
