/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the user sees: a line while it runs, and a summary. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "demo.h"
#include "terminal.h"

#define MEBI (1024.0 * 1024.0)

struct totals {
	long threads;
	uint64_t bytes, lost, wrong, waiting;
	uint64_t callbacks, transitions;
	uint64_t moved, doorbells, bell_errors;
	uint64_t system_calls; /* of the receiving thread */
	double seconds;
};

static void add_ring(struct totals *sum, const struct demo_ring *ring)
{
	struct peal_ring_stats stats;
	uint64_t sent = ring->tally->sent;

	peal_receiver_stats(&ring->local.receiver, &stats);
	sum->bytes += ring->received;
	sum->wrong += ring->wrong;
	if (sent > ring->received)
		sum->lost += sent - ring->received;
	else if (!ring->failed)
		sum->wrong += ring->received - sent; /* never sent */
	sum->transitions += stats.transitions;
	sum->moved += sent / DEMO_BLOCK + stats.items;
	sum->doorbells += ring->tally->doorbells + stats.doorbells;
	sum->bell_errors += stats.bell_errors;
	sum->system_calls += stats.doorbells;
}

static void add_up(const struct demo *demo, struct totals *sum)
{
	struct peal_reactor_stats stats;

	*sum = (struct totals){ 0 };
	for (unsigned i = 0; i < demo->senders; i++)
		add_ring(sum, &demo->rings[i]);
	peal_reactor_stats(&demo->loop, &stats);
	sum->callbacks = stats.callbacks - stats.mores;
	sum->system_calls += stats.system_calls;
	sum->seconds = (double)(demo->ended - demo->began) / 1e9;
}

/* -- while it runs: to stderr, so that stdout holds the summary alone */

static const char *plural(uint64_t n, const char *ending)
{
	return n == 1 ? "" : ending;
}

/* Would it wait for whoever reads it? A terminal may be held by Ctrl-S. */
static bool is_stuck(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };

	return poll(&pfd, 1, 0) == 0;
}

void demo_let_signals_in(const struct demo *demo)
{
	sigset_t mask = demo->mask;

	sigaddset(&mask, SIGCHLD); /* deaths are still told to us */
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

void demo_progress_begin(struct demo *demo)
{
	const struct demo_text *text = &demo->text;

	if (is_stuck(STDERR_FILENO))
		demo_let_signals_in(demo);
	demo->progress.terminal = terminal_redraws(STDERR_FILENO);
	fprintf(stderr,
		"%u process%s for %g second%s: %zu file%s (%" PRIu64
		" KiB), "
		"again and again, to one thread\n",
		demo->senders, plural(demo->senders, "es"), demo->seconds,
		demo->seconds == 1 ? "" : "s", text->n_files,
		plural(text->n_files, "s"),
		(text->blocks * DEMO_BLOCK + 1023) / 1024);
}

void demo_progress_clear(struct demo *demo)
{
	if (is_stuck(STDERR_FILENO))
		demo_let_signals_in(demo);
	if (demo->progress.terminal)
		fputs("\r\033[K", stderr);
}

/* A line that wraps could not be erased. */
static void show(const struct demo *demo, const char *line)
{
	int columns = (int)terminal_columns(STDERR_FILENO, 80);

	if (!demo->progress.terminal) {
		fprintf(stderr, "%s\n", line);
		return;
	}
	fprintf(stderr, "\r%.*s\033[K", columns - 1, line);
}

void demo_progress_show(struct demo *demo)
{
	struct demo_progress *last = &demo->progress;
	int64_t now = demo_now();
	double seconds = (double)(now - last->at) / 1e9;
	struct totals sum;
	char line[160];

	add_up(demo, &sum);
	if (seconds <= 0 || is_stuck(STDERR_FILENO))
		return;
	/* What is sent and not yet received is waiting, and not lost. */
	snprintf(line, sizeof(line),
		 "%u ring%s open, %.0f MB/s, %.0f callbacks/s, "
		 "%.0f doorbells/s, %.1f MB waiting",
		 demo->open, plural(demo->open, "s"),
		 (double)(sum.bytes - last->bytes) / seconds / 1e6,
		 (double)(sum.callbacks - last->callbacks) / seconds,
		 (double)(sum.doorbells - last->doorbells) / seconds,
		 (double)sum.lost / 1e6);
	show(demo, line);
	*last = (struct demo_progress){
		.terminal = last->terminal,
		.at = now,
		.bytes = sum.bytes,
		.callbacks = sum.callbacks,
		.doorbells = sum.doorbells,
	};
}

/* -- at the end */

static void print_json(const struct demo *demo, const struct totals *sum)
{
	printf("{\"senders\": %u, \"threads\": %ld, \"bytes\": %" PRIu64
	       ", \"lost\": %" PRIu64 ", \"wrong\": %" PRIu64
	       ", \"callbacks\": %" PRIu64 ", \"transitions\": %" PRIu64
	       ", \"doorbells\": %" PRIu64 ", \"seconds\": %.3f}\n",
	       demo->senders, sum->threads, sum->bytes, sum->lost, sum->wrong,
	       sum->callbacks, sum->transitions, sum->doorbells, sum->seconds);
}

static void row(const char *name, uint64_t value, const char *note)
{
	printf("%-26s%14" PRIu64 "  %s\n", name, value, note);
}

static void print_table(const struct demo *demo, const struct totals *sum)
{
	double mebibytes = (double)sum->bytes / MEBI;
	double items = (double)sum->bytes / DEMO_BLOCK;
	char note[64];

	row("senders", demo->senders, "processes");
	row("threads", (uint64_t)sum->threads, "that receive");
	snprintf(note, sizeof(note), "%.2f GB, %.0f MB/s for %.2f seconds",
		 (double)sum->bytes / 1e9,
		 (double)sum->bytes / sum->seconds / 1e6, sum->seconds);
	row("bytes", sum->bytes, note);
	row("bytes lost", sum->lost, "sent, and not received");
	row("bytes wrong", sum->wrong, "other than in the file");
	row("callbacks", sum->callbacks, "of the receiving thread");
	row("transitions", sum->transitions,
	    "of a ring from empty to nonempty");
	row("doorbells rung", sum->doorbells, "by both sides");
	row("doorbells saved", sum->moved - sum->doorbells,
	    "items for which the other side was awake");
	printf("%-26s%14.2f  made by the receiving thread\n",
	       "system calls per MiB",
	       mebibytes > 0 ? (double)sum->system_calls / mebibytes : 0.0);
	printf("%-26s%14.0f  of %u bytes each\n", "items per system call",
	       items / (double)sum->system_calls, DEMO_BLOCK);
}

static bool verdict(const struct demo *demo, const struct totals *sum)
{
	bool good = true;

	if (sum->lost > 0 || sum->wrong > 0) {
		complain("FAILED: %" PRIu64 " bytes lost, %" PRIu64 " wrong",
			 sum->lost, sum->wrong);
		good = false;
	}
	if (demo->failed > 0) {
		complain("FAILED: %u of %u senders did not end well",
			 demo->failed, demo->senders);
		good = false;
	}
	if (sum->bell_errors > 0) {
		complain("FAILED: %" PRIu64 " doorbells could not be rung",
			 sum->bell_errors);
		good = false;
	}
	if (sum->callbacks != sum->transitions) {
		complain("FAILED: %" PRIu64 " callbacks for %" PRIu64
			 " transitions: they must be equal",
			 sum->callbacks, sum->transitions);
		good = false;
	}
	return good;
}

int demo_summary(struct demo *demo)
{
	struct totals sum;
	bool good;

	demo_let_signals_in(demo);
	add_up(demo, &sum);
	sum.threads = count_entries("/proc/self/task");
	if (sum.threads < 0) {
		complain(
			"cannot count the threads: /proc/self/task: %s. "
			"Mount /proc.",
			strerror(errno));
		return EXIT_FAILURE;
	}
	if (demo->json)
		print_json(demo, &sum);
	else
		print_table(demo, &sum);
	good = verdict(demo, &sum);
	if (good && !demo->json)
		puts("\nEvery byte arrived, and is what its file says.");
	if (fflush(stdout) != 0 || ferror(stdout)) {
		complain("cannot write the summary: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
