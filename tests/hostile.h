/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_HOSTILE_H
#define PEAL_TESTS_HOSTILE_H
/*
 * An enemy process attacks a server that serves honest clients meanwhile, all
 * of them on one thread. One row is one attack: what the enemy does, and what
 * is to become of it.
 *
 * The process of the test is the server. The enemy, two honest clients who
 * talk both ways, and one who comes and goes are forked before there is a
 * server, so that they hold nothing of it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../channel/wire.h"
#include "../ring/layout.h"
#include "harness.h"
#include "memory.h"

/* What is to become of the enemy; otherwise the reason it is closed with. */
#define HARMLESS 1 /* nothing, and it is there until it goes by itself */
#define ANYTHING 2 /* whatever: it comes and goes */

/* In flags. */
#define NOBODY 1u  /* it is of another user; needs root */
#define CROWDED 2u /* meanwhile no newcomer need find a place */

#define SHAKE_MS 1000 /* the server's patience with handshakes */
#define MANY 32768    /* epoll watches */

/* Words of a page. */
enum word {
	POSITION,
	WAKE,
	STATE,
	COUNTS,
	HEADER
};
/* What they are set to. */
enum how {
	RANDOM,
	BACKWARDS,
	AHEAD,
	FLICKERING,
	NAMED
};

struct attack {
	const char *name;
	void (*run)(const struct attack *attack);
	int expect, or_else;
	unsigned flags;
	enum peal_role role;
	enum peal_bells bells;
	enum word word;
	enum how how;
	int n;
};

#define HONEST 2
#define ITEM sizeof(uint64_t)
#define WATCHDOG_MS 15000 /* honest progress stops for so long: it is stuck */
#define REASONS 160

/* What the processes of a row tell each other. */
struct field {
	char address[64];
	/* In this order. */
	int listening, attack, struck, release, stop;
	/* Of the honest: items that were checked, connections made. */
	uint64_t progress[HONEST], visits;
	/* Of the enemy's connections, as the server sees them. */
	uint64_t opened, ended, taken;
	/* Who it is, as the kernel tells the server. */
	uid_t enemy_uid;
	pid_t enemy_pid;
	bool enemy_is_trusted;
	uint64_t reasons[REASONS];
	/* Connections that the enemy has made, and how many of them came while
	 * somebody waited to be let in: the fewest, and all. */
	uint64_t came, fewest, ahead;
	int expect; /* if not 0, the enemy knows better what is to come */
	char why[128];
};

extern struct field *field;

/* -- for everybody */

uint64_t now_ms(void);
void add(uint64_t *word, uint64_t n);
/* Where a row is run by itself nobody else sees to it. */
void die_with_the_server(void);

/* -- the honest */

/* The n-th item of a client; it gets back the complement. */
uint64_t item_of(unsigned id, uint64_t n);
/* Two talk both ways, each with its number; one comes and goes. */
void honest_talk(void *id);
void honest_visit(void *unused);

/* -- for the enemy */

/* Wait for a condition, or for the end of the row, which ends the process. */
void nap(unsigned us);
void until_release(void);
#define AWAIT(condition)                                                       \
	do {                                                                   \
		while (!(condition)) {                                         \
			if (flag(&field->release))                             \
				exit(EXIT_SUCCESS);                            \
			nap(200);                                              \
		}                                                              \
	} while (0)

static inline int flag(const int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline uint64_t count(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Has the server got rid of as many connections of the enemy? */
static inline bool ended(uint64_t n)
{
	return count(&field->ended) >= n;
}

/* The attack is done: stay there until the row is over. */
_Noreturn void struck(void);
/* It cannot be made here, and so the row is skipped. */
_Noreturn void cannot(const char *why);

/* As fork(2); the child ends with the enemy. */
pid_t enemy_fork(void);

/* A connection, and nothing said yet. */
int enemy_connect(void);
/* The same, without a second try. @return -1 */
int enemy_try_connect(void);
void enemy_send(int fd, const void *packet, size_t size);
/* With an fd. @return 0, -1 and errno */
int enemy_send_fd(int fd, const void *packet, size_t size, int what);
struct peal_wire_hello enemy_hello(enum peal_role role, enum peal_bells bells);
struct peal_wire_ready enemy_ready(void);
/* A channel in all honesty. */
void enemy_channel(struct peal_channel *ch, enum peal_role role,
		   enum peal_bells bells);
/* Do with it what one does, until the server has had something of it. */
void enemy_exchange(struct peal_channel *ch);
/* The bell of the other side. */
void enemy_ring(struct peal_channel *ch);

/* A handshake up to the answer: the memory is there, and not sealed. */
struct grip {
	int socket, memfd, bells[2];
	struct peal_wire_answer answer;
	size_t size;
	unsigned char *base; /* all of it, mapped for writing */
};

void enemy_grip(struct grip *grip, enum peal_role role, enum peal_bells bells);
/* @return 0, what the server refuses it with, or -EPIPE */
int enemy_try_grip(struct grip *grip, enum peal_role role,
		   enum peal_bells bells);
/* The second half of it, where the hello was said in some other way. */
void enemy_take_answer(struct grip *grip, enum peal_role role);
int enemy_seal(const struct grip *grip, int seals);
void enemy_say_ready(const struct grip *grip);
/* Seal it, say so, and wait until the server serves. */
void enemy_open(const struct grip *grip);

/*
 * A page that holds whoever reads or writes it, in the kernel too, since nobody
 * fills it (PEERS.md 4); and an fd that is readable when it holds somebody.
 */
void *enemy_bottomless_page(int *uffd);
void enemy_wait_for_fault(int uffd);

/* -- the lists, which end with an empty row */

extern const struct attack hostile_words[], hostile_bells[], hostile_hello[],
	hostile_memory[], hostile_life[], hostile_packets[], hostile_floods[];

#endif
