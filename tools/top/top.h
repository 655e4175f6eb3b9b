/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TOOLS_TOP_H
#define PEAL_TOOLS_TOP_H
/*
 * peal top: all rings of this machine that the user may see. It only reads, and
 * what it reads may be a lie.
 *
 *	top.c		options, and one look after the other
 *	find.c		which processes have which rings, from /proc
 *	peek.c		a ring's two pages, by a way that cannot be made to hang
 *	page.c		what these pages say
 *	rate.c		what the difference of two looks says
 *	list.c		which rings are shown, in which order
 *	cells.c		columns
 *	text.c		--once
 *	json.c		--json
 *	screen.c	live, through ncurses
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <peal/ring.h>

#define TOP_MAPS 8u   /* of one ring in one process */
#define TOP_MARKS 16u /* see rate.c */

/* -- a ring as it is found */

/* Where a process has a part of a ring. */
struct top_map {
	uint64_t start, end, offset; /* bytes */
	bool writable;
};

enum top_role {
	TOP_ROLE_UNKNOWN, /* it has both ends, or took one over by fork */
	TOP_ROLE_SENDER,
	TOP_ROLE_RECEIVER,
	TOP_ROLE_WATCHER, /* it may write neither */
};

struct top_user {
	pid_t pid;
	char name[64];
	bool ours; /* of the same user as we are */
	enum top_role role;
	struct top_map maps[TOP_MAPS];
	unsigned n_maps;
};

/* -- what its pages say */

enum top_state {
	TOP_OPEN,
	TOP_FINISHED,
	TOP_BROKEN,
	TOP_ODD, /* a state that there is not */
};

struct top_end {
	uint64_t position;
	uint64_t waits_for; /* items until it is to be rung; 0: it is not */
	uint64_t pid;	    /* of the process that attached it, as it says */
	enum top_state state;
	uint64_t doorbells, bell_errors, stalls, transitions;
};

struct top_figures {
	struct peal_geometry geometry;
	struct top_end sender, receiver;
	bool possible; /* or else the pages cannot be those of a ring */
	uint64_t fill; /* items */
};

/* -- what several looks say */

struct top_rates { /* a second */
	double items, bytes, doorbells, saved, stalls;
};

/* The sender's position, and from when to when it was seen there. */
struct top_mark {
	double first, last;
	uint64_t tail;
};

struct top_history {
	double at; /* seconds of the last look, 0: none */
	struct top_figures figures;
	struct top_mark marks[TOP_MARKS];
	unsigned n_marks;
	double before; /* when the oldest item was not there yet, or 0 */
};

struct top_ring {
	dev_t device;
	ino_t inode;
	struct top_user *users;
	size_t n_users;
	pid_t fd_of; /* a process that has it open, or 0 */
	int fd;	     /* in that process */

	struct top_figures figures;
	bool rated;
	struct top_rates rates;
	/* The age of the oldest item: more and less than that; 0: unknown. */
	double older, younger;
	struct top_history history;
};

/* What memory is called and where it is counted on this machine. */
struct top_memory {
	dev_t devices[3];
	int mounts[3];
	unsigned n;
};

struct top_list {
	struct top_ring *rings;
	size_t n;
	size_t hidden_rings;	 /* are there, and may not be read */
	size_t hidden_processes; /* may not be looked into */
	bool hidden_more;	 /* there are others, nobody says how many */
};

/* -- find.c */

/* @return 0, -ENODEV there is no /proc of our processes, or -errno */
int top_find(const struct top_memory *memory, struct top_list *list);
void top_forget(struct top_list *list);

/* -- peek.c */

int top_memory_init(struct top_memory *memory);
bool top_memory_has(const struct top_memory *memory, dev_t device);
/* Open what is at a path if it is memory. @return the fd or -errno */
int top_open_memory(const struct top_memory *memory, const char *path,
		    dev_t *device, ino_t *inode);
/*
 * @return 0, -EACCES it may not be read, -EBADMSG it is not a ring, another
 *         error: it is gone
 */
int top_peek(const struct top_memory *memory, struct top_ring *ring);

/* -- page.c */

/*
 * The receiver's page was copied first, then the sender's, then the receiver's
 * position once more.
 * @return 0, or an error of peal_geometry_read()
 */
int top_figures_read(struct top_figures *figures, const void *sender,
		     const void *receiver, uint64_t head_after);
/* Where the receiver's position stands in its page. */
#define TOP_POSITION 256

/* -- rate.c */

double top_now(void);
/* The figures of the ring were read at that time; its history is continued. */
void top_rate(struct top_ring *ring, double now);
/* Hand on what is known of rings that are in both. */
void top_inherit(struct top_list *list, const struct top_list *before);

/* -- list.c */

enum top_key {
	TOP_BY_BYTES,
	TOP_BY_ITEMS,
	TOP_BY_FILL,
	TOP_BY_BELLS,
	TOP_BY_SAVED,
	TOP_BY_STALLS,
	TOP_BY_AGE,
	TOP_BY_NAME,
	TOP_BY_PROCESS,
	TOP_BY_PID,
	TOP_KEYS,
};

struct top_view {
	const char *name;    /* part of the ring's name or tag, or NULL */
	const char *process; /* part of a process's name, or NULL */
	pid_t pid;	     /* or 0 */
	enum top_key key;
	bool reverse;
};

const char *top_key_name(enum top_key key);
/* @return 0 or -EINVAL */
int top_key_parse(const char *text, enum top_key *key);
/* @return how many are to be shown: the first ones, in order */
size_t top_select(struct top_list *list, const struct top_view *view);

/* -- cells.c */

#define TOP_CELL 512 /* bytes of a cell */

/* The text of somebody else in at most so many columns, none of it control. */
size_t top_clean(char *to, size_t size, const char *from, size_t columns);

/* "12.3M": three digits, at most five characters; `to` has TOP_CELL bytes. */
void top_number(char *to, double n);

enum top_column {
	TOP_PROCESSES,
	TOP_RING,
	TOP_TAG,
	TOP_ITEMS,
	TOP_FILL,
	TOP_ITEMS_S,
	TOP_BYTES_S,
	TOP_BELLS_S,
	TOP_SAVED_S,
	TOP_STALLS_S,
	TOP_AGE,
	TOP_WAITS,
	TOP_COLUMNS,
};

struct top_columns {
	unsigned width[TOP_COLUMNS]; /* 0: not shown */
};

/* Those that fit into so many columns of a terminal. */
void top_columns_fit(struct top_columns *columns, unsigned total);
bool top_column_is_left(enum top_column column);
const char *top_column_title(enum top_column column);
void top_cell(char *to, const struct top_ring *ring, enum top_column column,
	      unsigned width);
/* One line, padded, without its end: of a ring, or the titles for NULL. */
void top_line(char *to, size_t size, const struct top_columns *columns,
	      const struct top_ring *ring);
/* What is not shown, in words, or "". */
void top_hidden(char *to, size_t size, const struct top_list *list);

/* -- top.c */

struct top {
	struct top_memory memory;
	struct top_list list;
	struct top_view view;
	double interval; /* seconds */
	double find_at;	 /* when to look through all processes again */
};

/* One look at all rings. @return 0 or -errno */
int top_look(struct top *top);
/* Why it failed. @return the exit status */
int top_explain(int error);

/* -- text.c, json.c, screen.c */

/* @return 0, or -errno of a failed write */
int top_print(const struct top_list *list, size_t shown);
int top_print_json(const struct top_list *list, size_t shown, double seconds);
/* @return an exit status, or minus the signal to end by */
int top_screen(struct top *top);

#endif
