/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TOOLS_RELAY_H
#define PEAL_TOOLS_RELAY_H
/* What `peal recv` and `peal send` have in common. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "command.h"

/* What a raw stream is, as a tag. Its messages are numbered by their kind, from
 * 0, modulo 2^32; one of size 0 is the end. */
#define RAW_TAG "stream/1"

#define ADDRESS_SIZE 108
/* See struct peal_hello and struct peal_inbox_options. */
#define NAME_SIZE 64
#define TAG_SIZE 48

/* What --help says of NAME. */
#define ABOUT_NAME                                                             \
	"NAME is an address if it has a `/` (a path) or begins with `@` (an "  \
	"abstract\n"                                                           \
	"name, open to all users); otherwise a socket of that name in\n"       \
	"$XDG_RUNTIME_DIR/peal/ or /tmp/peal-UID/, for this user only."

/* -- address.c */

/*
 * The address that a name stands for.
 * @return 0 or EXIT_USAGE
 */
int address_of(const char *name, char *address);

/*
 * Is the folder of an address_of() ours alone? One that is not made for names
 * is nobody's business.
 * @param make  make it where it is not there
 * @return      0, -ENOENT, or -EPERM, having complained
 */
int address_check(const char *name, const char *address, bool make);

/* Is something there, and no socket? Nobody can receive there then. */
bool address_is_other(const char *address);

/* Connect to an address, and hang up. @return 0 somebody listens, or -errno */
int address_probe(const char *address);

/* -- stop.c */

/*
 * From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT ask to stop, once: a second
 * one kills. Nobody leaves a socket, or a terminal in disorder. Those that are
 * ignored stay so. SIGPIPE is an error of write(2). `on_stop` is called in the
 * handler.
 * @return 0, or EXIT_FAILURE after a complaint
 */
int stop_catch(void (*on_stop)(void));
bool stop_asked(void);
/* It was asked a second ago or more: what cannot get on is to be given up. */
bool stop_overdue(void);
/* An fd that is readable once it was asked. */
int stop_fd(void);
/* Die as the signal would have us die, or by this one. */
int stop_die(int signal);

/* Write it all. @return 0, -EINTR it is overdue to stop, or -errno */
int write_all(int fd, struct iovec *iov, int n);

/* -- meter.c */

/* Shows rates on stderr: in place on a terminal, else once at the end. */
struct meter {
	bool on, terminal;
	uint64_t messages, bytes;
	/* when it began, was shown last, and what it counted then */
	uint64_t began, shown, shown_messages, shown_bytes;
};

uint64_t meter_now(void); /* ms */
void meter_begin(struct meter *m, bool on);
void meter_count(struct meter *m, size_t bytes);
/* To be called now and then while nothing is counted. */
void meter_tick(struct meter *m);
/* How long to sleep at most, in ms, or -1. */
int meter_ms(const struct meter *m);
void meter_end(struct meter *m);

#endif
