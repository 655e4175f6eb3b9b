/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The command `peal`: finds the subcommand and hands over. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

struct command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "demo",
	  "many processes stream files to one thread, every byte checked",
	  command_demo },
	{ "recv", "write what others send: lines, or a stream of bytes",
	  command_recv },
	{ "send", "send lines, or a stream of bytes, to `peal recv`",
	  command_send },
	{ "top", "show all rings of this machine while they are used",
	  command_top },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void help(void)
{
	puts("usage: peal COMMAND [ARGUMENTS]\n"
	     "       peal --help | --version\n"
	     "\n"
	     "Rings in shared memory, and one thread that serves them all.\n"
	     "\n"
	     "commands:");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-6s  %s\n", commands[i].name, commands[i].summary);
	puts("\n`peal COMMAND --help` explains a command.");
}

/* What was said did not get lost in a disk that is full. */
static int said(int ret)
{
	if (ret != EXIT_SUCCESS || (fflush(stdout) == 0 && !ferror(stdout)))
		return ret;
	complain("cannot write: %s", strerror(errno));
	return EXIT_FAILURE;
}

/* A parent that waits for signals by signalfd(2) may have us born with them
 * blocked, and nothing but SIGKILL would end us. */
static void let_signals_in(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGPIPE);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (stdio_occupy() < 0) {
		complain("cannot check the standard files: %s",
			 strerror(errno));
		return EXIT_FAILURE;
	}
	let_signals_in();
	if (argc < 2) {
		complain("no command. Try `peal demo`, or `peal --help`.");
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		help();
		return said(EXIT_SUCCESS);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		print_version();
		return said(EXIT_SUCCESS);
	}
	command = find(argv[1]);
	if (!command) {
		complain(
			"there is no command `%s`. `peal --help` lists the "
			"commands.",
			argv[1]);
		return EXIT_USAGE;
	}
	return said(command->run(argc - 1, argv + 1));
}
