/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TOOLS_DEMO_H
#define PEAL_TOOLS_DEMO_H
/*
 * peal demo: N processes stream files, each through a ring of its own, to one
 * thread, which compares every byte with a copy of its own.
 *
 *	demo.c		options, and the order in which everything happens
 *	demo_text.c	the files, and the copy to compare with
 *	demo_sender.c	a child: reads files straight into its ring
 *	demo_receiver.c	the parent: one reactor for all rings
 *	demo_report.c	the line while it runs, the summary at the end
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <peal/local.h>
#include <peal/mem.h>
#include <peal/sources.h>

#define DEMO_BLOCK 64u	    /* bytes of an item */
#define DEMO_CAPACITY 4096u /* items of a ring */
#define DEMO_SENDERS_MAX 4096u

/* A file, as it was when the copy was made. */
struct demo_file {
	char *path;
	dev_t device;
	ino_t inode;
	uint64_t size; /* bytes */
	struct timespec modified;
	uint64_t first; /* its first block in the copy */
};

/*
 * The files one after the other, each padded with zeros to whole blocks. What
 * a sender sends is this text from some file on, round and round, so that the
 * receiver needs to know nothing but where in it a ring stands.
 */
struct demo_text {
	struct demo_file *files;
	size_t n_files;
	struct peal_blob copy;
	uint64_t blocks;
};

/* What a sender was about when it failed. */
enum demo_step {
	DEMO_STEP_NONE,
	DEMO_STEP_OPEN,
	DEMO_STEP_READ,
	DEMO_STEP_CHANGED,
	DEMO_STEP_WAIT,
	DEMO_STEP_COMMIT,
};

/* What a sender tells of itself, in memory shared with the parent. */
struct demo_tally {
	_Alignas(64) _Atomic uint64_t sent; /* bytes */
	_Atomic uint64_t doorbells;
	atomic_int step;  /* enum demo_step */
	atomic_int error; /* errno */
	atomic_uint file;
};

struct demo_shared {
	_Atomic int64_t deadline; /* CLOCK_MONOTONIC, nanoseconds */
	atomic_bool stop;	  /* at once, not only after this file */
	struct demo_tally tally[];
};

/* A sender as the parent sees it. */
struct demo_ring {
	struct demo *demo;
	unsigned number;
	struct peal_local local;
	struct demo_tally *tally;
	struct peal_source source; /* its data bell */
	pid_t pid;		   /* 0 once it was waited for */
	bool open;		   /* the reactor has it */
	bool failed;
	uint64_t at;	   /* the block of the text that comes next */
	uint64_t received; /* bytes */
	uint64_t wrong;	   /* bytes that differ */
};

/* What the line that is shown while it runs needs of the one before. */
struct demo_progress {
	bool terminal;
	int64_t at; /* CLOCK_MONOTONIC, nanoseconds */
	uint64_t bytes, callbacks, doorbells;
};

struct demo {
	unsigned senders;
	double seconds;
	bool json;
	struct demo_text text;
	struct demo_shared *shared;
	struct demo_ring *rings;
	unsigned started; /* rings that have a sender */
	unsigned open;	  /* rings that have not ended */
	unsigned failed;  /* senders that did not end well, and the like */
	unsigned ticks_of_grace; /* since they were told to stop */
	int gate[2];		 /* a pipe: senders start when it is closed */
	sigset_t mask;		 /* the signals that were blocked before */
	int signal_fd;
	struct peal_reactor loop;
	struct peal_slot *slots;
	struct peal_source signals, tick;
	int64_t began, ended; /* CLOCK_MONOTONIC, nanoseconds */
	struct demo_progress progress;
};

int64_t demo_now(void);

/* What helps against an error: fewer senders do where something is used up, and
 * nowhere else. "" where it is not known. */
const char *demo_hint(int error);
/* The exit status for it. */
int demo_status(int error);

/* @return 0, or an exit status after a complaint */
int demo_text_load(struct demo_text *text, char *const *paths, size_t n);
void demo_text_finish(struct demo_text *text);

/* The life of a child. Its exit status. */
int demo_send(struct demo *demo, struct demo_ring *ring);
/* Say what a child failed at. */
void demo_send_explain(const struct demo *demo, const struct demo_tally *tally,
		       char *text, size_t size);

/* Receive until every ring has ended. @return 0 or an exit status */
int demo_receive(struct demo *demo);
/* The number of a signal that has come, or 0. */
int demo_next_signal(const struct demo *demo);
/* Wait for all children that are left, and judge them. A signal kills them. */
void demo_reap_all(struct demo *demo);
void demo_kill_all(struct demo *demo);

/* From now on they end us, as ever: also where we wait for who reads. */
void demo_let_signals_in(const struct demo *demo);
void demo_progress_begin(struct demo *demo);
void demo_progress_show(struct demo *demo);
/* Make room for another line of output, for which one may have to wait. */
void demo_progress_clear(struct demo *demo);
/* Print the summary. @return the exit status of it all */
int demo_summary(struct demo *demo);

#endif
