/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* peal top: its options, and one look after the other. */
#define _GNU_SOURCE
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../command.h"
#include "../options.h"
#include "../relay.h"
#include "top.h"

#define INTERVAL_MAX 3600
/* One part in so many of the time, at most, goes into looking through all
 * processes: whoever maps memory may have to wait for that. */
#define FIND_SHARE 20

/* -- one look */

/* By what it can do: most may write both pages. */
static enum top_role role_by_maps(const struct top_user *user, uint64_t head)
{
	bool tx = false, rx = false;

	for (unsigned i = 0; i < user->n_maps; i++) {
		const struct top_map *m = &user->maps[i];

		if (!m->writable)
			continue;
		tx |= m->offset == 0;
		rx |= m->offset <= head / 2 &&
		      head / 2 - m->offset < m->end - m->start;
	}
	if (tx && rx)
		return TOP_ROLE_UNKNOWN;
	return tx ? TOP_ROLE_SENDER : rx ? TOP_ROLE_RECEIVER : TOP_ROLE_WATCHER;
}

/*
 * Or else by what the pages say. Where one process has attached both ends, and
 * there are others, it may have forked since.
 */
static enum top_role role_of(const struct top_user *user,
			     const struct top_figures *f)
{
	enum top_role role = role_by_maps(user, f->geometry.items_offset);

	if (role != TOP_ROLE_UNKNOWN || f->sender.pid == f->receiver.pid)
		return role;
	if (f->sender.pid == (uint64_t)user->pid)
		return TOP_ROLE_SENDER;
	return f->receiver.pid == (uint64_t)user->pid ? TOP_ROLE_RECEIVER
						      : TOP_ROLE_UNKNOWN;
}

/* All processes; what is known of rings that are still there is kept. */
static int find(struct top *top)
{
	struct top_list before = top->list;
	double began = top_now();
	int ret = top_find(&top->memory, &top->list);

	if (ret == 0)
		top_inherit(&top->list, &before);
	top_forget(&before);
	top->find_at = began + FIND_SHARE * (top_now() - began);
	return ret;
}

static void drop(struct top_list *list, size_t i)
{
	free(list->rings[i].users);
	list->rings[i] = list->rings[--list->n];
}

static void look_at_all(struct top *top)
{
	struct top_list *list = &top->list;

	for (size_t i = 0; i < list->n;) {
		struct top_ring *ring = &list->rings[i];
		int ret = top_peek(&top->memory, ring);

		if (ret != 0) {
			list->hidden_rings += ret == -EACCES;
			drop(list, i);
			continue;
		}
		for (size_t j = 0; j < ring->n_users; j++)
			ring->users[j].role = role_of(&ring->users[j],
						      &ring->figures);
		top_rate(ring, top_now());
		i++;
	}
}

int top_look(struct top *top)
{
	int ret = 0;

	if (top_now() >= top->find_at)
		ret = find(top);
	if (ret == 0)
		look_at_all(top);
	return ret;
}

/* -- options */

struct asked {
	struct top top;
	bool once, json;
};

static int set(void *user, int letter, const char *value)
{
	struct asked *a = user;
	uint64_t pid;
	int ret;

	switch (letter) {
	case '1':
		a->once = true;
		return 0;
	case 'j':
		a->json = true;
		return 0;
	case 'i':
		return parse_seconds("--interval", value, INTERVAL_MAX,
				     &a->top.interval);
	case 'k':
		if (top_key_parse(value, &a->top.view.key) == 0)
			return 0;
		complain(
			"--sort takes bytes, items, fill, bells, saved, "
			"stalls, "
			"age, name, process or pid, not `%s`",
			value);
		return EXIT_USAGE;
	case 'R':
		a->top.view.reverse = true;
		return 0;
	case 'n':
		a->top.view.name = value;
		return 0;
	case 'P':
		a->top.view.process = value;
		return 0;
	default:
		ret = parse_count("--pid", value, INT_MAX, &pid);
		a->top.view.pid = ret == 0 ? (pid_t)pid : 0;
		return ret;
	}
}

static const struct command_option options[] = {
	{ '1', "once", NULL, "print one table, and end" },
	{ 'j', "json", NULL, "print the same as one JSON object" },
	{ 'i', "interval", "S",
	  "seconds from one reading to the next (1); with --once\n"
	  "and --json between two readings; 0: no rates" },
	{ 'k', "sort", "KEY",
	  "sort by bytes (the usual), items, fill, bells, saved,\n"
	  "stalls, age, name, process or pid" },
	{ 'R', "reverse", NULL, "sort the other way round" },
	{ 'n', "name", "TEXT", "show rings with this in their name or tag" },
	{ 'P', "process", "TEXT",
	  "show rings of processes with this in their name" },
	{ 'p', "pid", "N", "show rings of this process" },
	{ 0 },
};

static const struct command_options command = {
	.command = "top",
	.operands = "",
	.about =
		"Shows the rings of all processes that you may look into; "
		"root\n"
		"may look into all. The command only reads: no process is\n"
		"asked, stopped or slowed. What cannot be known is shown as -.",
	.options = options,
	.end = "Keys: q quits, arrows scroll, < and > sort by another column,\n"
	       "r reverses the order, / filters by text, space holds.\n"
	       "\n"
	       "Exit status: 0 success, 1 an error, 2 a wrong argument. See\n"
	       "peal(1).",
	.set = set,
};

static int parse(struct asked *a, int argc, char **argv)
{
	int ret = options_parse(&command, argc, argv, a);

	if (ret != 0)
		return ret;
	if (optind < argc) {
		complain(
			"`peal top` takes no operands, such as `%s`: to filter "
			"use --name, --process or --pid",
			argv[optind]);
		return EXIT_USAGE;
	}
	if (!a->once && !a->json &&
	    !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))) {
		complain("this is no terminal: use --once or --json");
		return EXIT_USAGE;
	}
	if (!a->once && !a->json && !(a->top.interval >= 0.05)) {
		complain("--interval takes 0.05 or more in a terminal");
		return EXIT_USAGE;
	}
	return 0;
}

/* -- */

static void sleep_for(double seconds)
{
	struct timespec left = { .tv_sec = (time_t)seconds };

	left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

int top_explain(int error)
{
	if (error == -ENODEV) {
		complain(
			"cannot look for rings: /proc is not mounted, or shows "
			"another pid namespace");
		return EXIT_USAGE;
	}
	complain("cannot look at all rings: %s", strerror(-error));
	return EXIT_FAILURE;
}

static int look_once(struct asked *a)
{
	struct top *top = &a->top;
	int ret = top_look(top);
	size_t shown;

	if (ret == 0 && top->interval > 0) {
		sleep_for(top->interval);
		ret = top_look(top);
	}
	if (ret < 0)
		return top_explain(ret);
	shown = top_select(&top->list, &top->view);
	if (a->json)
		ret = top_print_json(&top->list, shown, top->interval);
	else
		ret = top_print(&top->list, shown);
	if (ret == 0)
		return EXIT_SUCCESS;
	complain("cannot write: %s", strerror(-ret));
	return EXIT_FAILURE;
}

int command_top(int argc, char **argv)
{
	struct asked a = { .top.interval = 1 };
	int ret = parse(&a, argc, argv);

	if (ret != 0)
		return ret < 0 ? EXIT_SUCCESS : ret;
	setlocale(LC_CTYPE, "");
	if (a.once || a.json)
		ret = stdio_check(STDOUT_FILENO, O_WRONLY);
	if (ret != 0)
		return ret;
	ret = top_memory_init(&a.top.memory);
	if (ret < 0)
		return top_explain(ret);
	ret = a.once || a.json ? look_once(&a) : top_screen(&a.top);
	top_forget(&a.top.list);
	return ret < 0 ? stop_die(-ret) : ret;
}
