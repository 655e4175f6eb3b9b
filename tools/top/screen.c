/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* peal top in a terminal. */
#define _GNU_SOURCE
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../command.h"
#include "../relay.h"
#include "../terminal.h"
#include "top.h"

#ifndef HAVE_CURSES

int top_screen(struct top *top)
{
	(void)top;
	complain(
		"this peal was built without ncurses: use --once or --json, or "
		"install libncurses-dev, then configure and build it again");
	return EXIT_USAGE;
}

#else

#include <ctype.h>
#include <curses.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_SIZE 4096
#define HEAD 3 /* lines above the first ring */
#define FILTER_SIZE 64
#define SIZE_MOST 4096 /* lines, or columns */

enum {
	PLAIN,
	CALM,
	FULLER,
	FULL,
	WRONG
};

struct screen {
	struct top *top;
	struct top_columns columns;
	size_t shown, first; /* rings that fit the filter; the one at the top */
	bool held, typing, colours;
	char filter[FILTER_SIZE];
	double next; /* when to look again */
};

/* -- drawing */

static size_t room(void)
{
	return LINES > HEAD + 1 ? (size_t)(LINES - HEAD - 1) : 0;
}

static void put_at(int y, int attributes, const char *text)
{
	char cut[LINE_SIZE];

	/* It would go on in the next line. */
	top_clean(cut, sizeof(cut), text, (size_t)COLS);
	attrset(attributes);
	mvaddstr(y, 0, cut);
	attrset(A_NORMAL);
}

static void sums(const struct screen *s, double *bytes, double *bells,
		 double *saved)
{
	*bytes = *bells = *saved = 0;
	for (size_t i = 0; i < s->shown; i++) {
		const struct top_ring *r = &s->top->list.rings[i];

		if (!r->rated)
			continue;
		*bytes += r->rates.bytes;
		*bells += r->rates.doorbells;
		*saved += r->rates.saved;
	}
}

static void draw_head(const struct screen *s)
{
	const struct top_view *v = &s->top->view;
	char line[LINE_SIZE], rung[TOP_CELL], spared[TOP_CELL];
	double bytes, bells, saved;
	int n;

	sums(s, &bytes, &bells, &saved);
	top_number(rung, bells);
	top_number(spared, saved);
	snprintf(line, sizeof(line),
		 "peal top: %zu ring%s, %.0f MB/s, %s doorbells/s, %s saved/s",
		 s->shown, s->shown == 1 ? "" : "s", bytes / 1e6, rung, spared);
	put_at(0, A_BOLD, line);
	n = snprintf(line, sizeof(line), "by %s%s%s", top_key_name(v->key),
		     v->reverse ? ", reversed" : "", s->held ? ", held" : "");
	if (s->filter[0])
		n += snprintf(line + n, sizeof(line) - (size_t)n,
			      ", with \"%s\"", s->filter);
	if (s->top->list.hidden_rings || s->top->list.hidden_processes) {
		n += snprintf(line + n, sizeof(line) - (size_t)n, "; ");
		top_hidden(line + n, sizeof(line) - (size_t)n, &s->top->list);
	}
	put_at(1, A_DIM, line);
}

static int colour_of(const struct screen *s, const struct top_ring *r)
{
	const struct top_figures *f = &r->figures;
	uint64_t capacity = f->geometry.capacity;

	if (!s->colours)
		return PLAIN;
	if (!f->possible)
		return WRONG;
	if (f->fill > capacity - capacity / 8)
		return FULL;
	return f->fill > capacity / 2 ? FULLER : CALM;
}

/* Where a column begins. */
static int column_at(const struct top_columns *columns, enum top_column column)
{
	int x = 0;

	for (int i = 0; i < (int)column; i++)
		x += columns->width[i] ? (int)columns->width[i] + 1 : 0;
	return x;
}

static void draw_ring(const struct screen *s, int y, const struct top_ring *r)
{
	const struct top_columns *c = &s->columns;
	char line[LINE_SIZE];

	top_line(line, sizeof(line), c, r);
	put_at(y, A_NORMAL, line);
	mvchgat(y, column_at(c, TOP_FILL), (int)c->width[TOP_FILL], A_NORMAL,
		(short)colour_of(s, r), NULL);
	if (c->width[TOP_WAITS] && !r->figures.possible)
		mvchgat(y, column_at(c, TOP_WAITS), -1, A_BOLD,
			(short)colour_of(s, r), NULL);
}

static void draw_foot(const struct screen *s)
{
	char line[LINE_SIZE];

	if (s->typing)
		snprintf(line, sizeof(line), "with: %s_   (Enter, or Esc)",
			 s->filter);
	else
		snprintf(line, sizeof(line),
			 "q quit   < > sort   r reverse   / filter   "
			 "space hold   arrows scroll");
	put_at(LINES - 1, A_DIM, line);
}

static void draw(struct screen *s)
{
	char line[LINE_SIZE];
	size_t n = room();

	/* The last column of a line is left alone: some terminals wrap there.*/
	top_columns_fit(&s->columns, COLS > 1 ? (unsigned)COLS - 1 : 1);
	if (s->first + n > s->shown)
		s->first = s->shown > n ? s->shown - n : 0;
	erase();
	draw_head(s);
	top_line(line, sizeof(line), &s->columns, NULL);
	put_at(2, A_NORMAL, line);
	mvchgat(2, 0, -1, A_REVERSE, PLAIN, NULL);
	for (size_t i = 0; i < n && s->first + i < s->shown; i++)
		draw_ring(s, HEAD + (int)i, &s->top->list.rings[s->first + i]);
	if (s->shown == 0)
		put_at(HEAD, A_DIM,
		       s->top->list.n ? "no ring fits the filter"
		       : s->top->list.hidden_processes ? "no rings can be seen"
						       : "there are no rings");
	draw_foot(s);
	refresh();
}

/* -- keys */

static void scroll_by(struct screen *s, long lines)
{
	long first = (long)s->first + lines;

	s->first = first > 0 ? (size_t)first : 0;
}

static void sort_by_next(struct screen *s, int step)
{
	struct top_view *v = &s->top->view;

	v->key = (enum top_key)(((int)v->key + step + TOP_KEYS) % TOP_KEYS);
}

static void type(struct screen *s, int key)
{
	size_t n = strlen(s->filter);

	if (key == '\n' || key == '\r' || key == KEY_ENTER)
		s->typing = false;
	else if (key == 27) {
		s->typing = false;
		s->filter[0] = '\0';
	} else if ((key == KEY_BACKSPACE || key == 127 || key == 8) && n > 0)
		s->filter[n - 1] = '\0';
	else if (key >= ' ' && key < 127 && n + 1 < sizeof(s->filter)) {
		s->filter[n] = (char)key;
		s->filter[n + 1] = '\0';
	}
	s->top->view.name = s->filter[0] ? s->filter : NULL;
}

/* @return false: quit */
static bool press(struct screen *s, int key)
{
	long page = (long)room();

	if (s->typing)
		type(s, key);
	else if (key == 'q')
		return false;
	else if (key == '<' || key == '>')
		sort_by_next(s, key == '<' ? -1 : 1);
	else if (key == 'r')
		s->top->view.reverse = !s->top->view.reverse;
	else if (key == '/')
		s->typing = true;
	else if (key == ' ')
		s->held = !s->held;
	else if (key == KEY_UP || key == KEY_DOWN)
		scroll_by(s, key == KEY_UP ? -1 : 1);
	else if (key == KEY_PPAGE || key == KEY_NPAGE)
		scroll_by(s, key == KEY_PPAGE ? -page : page);
	else if (key == KEY_HOME)
		s->first = 0;
	else if (key == KEY_END)
		s->first = s->shown;
	return true;
}

/* -- the loop */

/* @return 1, 0 quit, or -errno: -EIO the terminal is gone */
static int await_key(struct screen *s)
{
	struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
				{ .fd = stop_fd(), .events = POLLIN } };
	double left = s->next - top_now();
	int key, n = poll(fds, 2, left > 0 ? (int)(left * 1000) + 1 : 0);

	if (stop_asked())
		return 0;
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n > 0 && (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)))
		return -EIO;
	while ((key = getch()) != ERR)
		if (!press(s, key))
			return 0;
	return 1;
}

static int watch(struct screen *s)
{
	int ret = 0;

	do {
		if (top_now() >= s->next) {
			if (!s->held)
				ret = top_look(s->top);
			s->next = top_now() + s->top->interval;
		}
		if (ret < 0)
			return ret;
		s->shown = top_select(&s->top->list, &s->top->view);
		draw(s);
		ret = await_key(s);
	} while (ret > 0);
	return ret;
}

static void prepare(struct screen *s)
{
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(50);
	curs_set(0);
	s->colours = terminal_colours() && has_colors();
	if (!s->colours)
		return;
	start_color();
	use_default_colors();
	init_pair(CALM, COLOR_GREEN, -1);
	init_pair(FULLER, COLOR_YELLOW, -1);
	init_pair(FULL, COLOR_RED, -1);
	init_pair(WRONG, COLOR_RED, -1);
}

/* curses would take sizes from the environment that it cannot handle. */
static void forget_size(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n = text ? strtol(text, &end, 10) : 1;

	if (n < 1 || n > SIZE_MOST || (text && *end != '\0'))
		unsetenv(name);
}

/* One that cannot put the cursor anywhere would get garbage.
 * @return NULL after a complaint */
static SCREEN *open_terminal(void)
{
	const char *name = getenv("TERM");
	bool dumb = name && strcmp(name, "dumb") == 0, moves = false;
	SCREEN *terminal = NULL;

	forget_size("COLUMNS");
	forget_size("LINES");
	/* initscr(3) would end us where the terminal is unknown. */
	if (name && name[0] && !dumb)
		terminal = newterm(NULL, stdout, stdin);
	if (terminal) {
		const char *move = tigetstr("cup");

		/* (char *)-1: it is no text at all */
		moves = move && move != (const char *)(intptr_t)-1;
	}
	if (moves)
		return terminal;
	if (terminal) {
		endwin();
		delscreen(terminal);
	}
	complain("cannot use this terminal (TERM is %s): use --once or --json",
		 name && name[0] ? name : "not set");
	return NULL;
}

int top_screen(struct top *top)
{
	struct screen s = { .top = top };
	SCREEN *terminal;
	int ret = stop_catch(NULL);

	if (ret != 0)
		return ret;
	if (top->view.name)
		snprintf(s.filter, sizeof(s.filter), "%s", top->view.name);
	terminal = open_terminal();
	if (!terminal)
		return EXIT_FAILURE;
	prepare(&s);
	ret = watch(&s);
	endwin();
	delscreen(terminal);
	if (stop_asked())
		return -SIGTERM;
	if (ret == -EIO) /* it may be noticed before the signal for it comes */
		return -SIGHUP;
	return ret < 0 ? top_explain(ret) : EXIT_SUCCESS;
}

#endif
