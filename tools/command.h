/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TOOLS_COMMAND_H
#define PEAL_TOOLS_COMMAND_H
/* What the subcommands of peal have in common. */

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

/* A line to stderr: "peal: " and the text. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

void print_version(void);

/* How many entries a directory has, or -1. */
long count_entries(const char *path);

#endif
