/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TOOLS_COMMAND_H
#define PEAL_TOOLS_COMMAND_H
/* What the subcommands of peal have in common. */
#include <signal.h>

/* Exit statuses of all subcommands, besides EXIT_SUCCESS and EXIT_FAILURE. */
#define EXIT_USAGE 2   /* called wrongly, or this machine cannot do it so */
#define EXIT_TIMEOUT 3 /* --timeout or --linger is over */
#define EXIT_REFUSED 4 /* by the receiver, or by the kernel */
#define EXIT_PEER 5    /* the other side died, or left in mid-stream */

/* Subcommands. Each returns an exit status. */
int command_demo(int argc, char **argv);
int command_recv(int argc, char **argv);
int command_send(int argc, char **argv);
int command_top(int argc, char **argv);

/* SIGPIPE ends who writes to a stdout that nobody reads. What stderr says is
 * beside the matter: until sigaction(SIGPIPE, old, NULL) it is ignored. */
void stderr_may_break(struct sigaction *old);

/* A line to stderr: "peal: " and the text, which cannot steer a terminal. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

void print_version(void);

/*
 * See to it that fds 0 to 2 are something, before anything else is opened: a
 * socket of ours that had the number of stdout would be written to. One that
 * was closed becomes an fd of which read(2) and write(2) say EBADF, as before.
 * @return 0 or -1
 */
int stdio_occupy(void);

/*
 * Better before we wait for others than after.
 * @param mode  O_RDONLY for stdin, O_WRONLY for stdout
 * @return      0, or EXIT_FAILURE after a complaint
 */
int stdio_check(int fd, int mode);

/* How many entries a directory has, or -1. */
long count_entries(const char *path);

#endif
