/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The columns of a table: --once and the live view show the same. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "top.h"

struct column {
	const char *title;
	unsigned width; /* at least */
	unsigned rank;	/* the highest goes first where there is no room */
	bool left;
};

static const struct column columns_of[TOP_COLUMNS] = {
	[TOP_PROCESSES] = { "PROCESSES", 17, 0, true },
	[TOP_RING] = { "RING", 8, 0, true },
	[TOP_TAG] = { "TAG", 8, 9, true },
	[TOP_ITEMS] = { "ITEMS", 5, 7, false },
	[TOP_FILL] = { "FILL", 10, 0, true },
	[TOP_ITEMS_S] = { "ITEMS/s", 7, 1, false },
	[TOP_BYTES_S] = { "MB/s", 6, 2, false },
	[TOP_BELLS_S] = { "BELLS/s", 7, 3, false },
	[TOP_SAVED_S] = { "SAVED/s", 7, 4, false },
	[TOP_STALLS_S] = { "STALLS", 6, 6, false },
	[TOP_AGE] = { "OLDEST", 6, 5, false },
	[TOP_WAITS] = { "WAITS", 8, 1, true },
};

bool top_column_is_left(enum top_column column)
{
	return columns_of[column].left;
}

const char *top_column_title(enum top_column column)
{
	return columns_of[column].title;
}

static unsigned width_of(const struct top_columns *columns)
{
	unsigned sum = 0;

	for (int i = 0; i < TOP_COLUMNS; i++)
		if (columns->width[i])
			sum += columns->width[i] + 1;
	return sum ? sum - 1 : 0;
}

/* What is left over goes to those whose texts are longest. */
static void widen(struct top_columns *columns, enum top_column column,
		  unsigned total, unsigned most)
{
	unsigned sum = width_of(columns), *width = &columns->width[column];

	if (*width == 0 || sum >= total)
		return;
	*width += total - sum;
	*width = *width < most ? *width : most;
}

void top_columns_fit(struct top_columns *columns, unsigned total)
{
	unsigned most = 9;

	for (int i = 0; i < TOP_COLUMNS; i++)
		columns->width[i] = columns_of[i].width;
	for (; most > 0 && width_of(columns) > total; most--)
		for (int i = 0; i < TOP_COLUMNS; i++)
			if (columns_of[i].rank >= most)
				columns->width[i] = 0;
	widen(columns, TOP_RING, total, 14);
	widen(columns, TOP_PROCESSES, total, 24);
	widen(columns, TOP_FILL, total, 16);
	widen(columns, TOP_TAG, total, 16);
	widen(columns, TOP_PROCESSES, total, 32);
	widen(columns, TOP_RING, total, 64);
}

/* -- texts that others have chosen */

/* One character of it. @return its bytes, and its columns or 0 if unprintable*/
static size_t step(const char *from, mbstate_t *state, unsigned *columns)
{
	wchar_t c;
	size_t n = mbrtowc(&c, from, strlen(from), state);
	int width;

	*columns = 0;
	if (n == (size_t)-1 || n == (size_t)-2) {
		memset(state, 0, sizeof(*state));
		return 1;
	}
	/* In musl a byte that is no character, in its C locale, has a width. */
	width = iswprint((wint_t)c) ? wcwidth(c) : 0;
	if (width > 0)
		*columns = (unsigned)width;
	return n;
}

size_t top_clean(char *to, size_t size, const char *from, size_t columns)
{
	mbstate_t state = { 0 };
	size_t used = 0, bytes = 0;

	while (*from) {
		unsigned width;
		size_t n = step(from, &state, &width);
		unsigned take = width ? width : 1;

		if (used + take > columns || bytes + n >= size)
			break;
		if (width)
			memcpy(to + bytes, from, n);
		else
			to[bytes] = '?';
		bytes += width ? n : 1;
		used += take;
		from += n;
	}
	to[bytes] = '\0';
	return used;
}

/* -- figures, in few columns */

void top_number(char *to, double n)
{
	static const char prefixes[] = " kMGTPE";
	int i = 0;

	for (; n >= 999.5 && prefixes[i + 1]; i++)
		n /= 1000;
	if (n > 9999)
		strcpy(to, "-");
	else if (i == 0)
		snprintf(to, TOP_CELL,
			 n < 9.95 && n != (double)(int)n ? "%.1f" : "%.0f", n);
	else
		snprintf(to, TOP_CELL, n < 99.95 ? "%.1f%c" : "%.0f%c", n,
			 prefixes[i]);
}

static void put_rate(char *to, bool rated, double n)
{
	if (rated)
		top_number(to, n);
	else
		strcpy(to, "-");
}

static void put_megabytes(char *to, const struct top_ring *r)
{
	double n = r->rates.bytes / 1e6;

	if (!r->rated)
		strcpy(to, "-");
	else if (n >= 99999)
		top_number(to, n);
	else
		snprintf(to, TOP_CELL,
			 n == 0	     ? "%.0f"
			 : n < 9.5   ? "%.2f"
			 : n < 99.95 ? "%.1f"
				     : "%.0f",
			 n);
}

/* What is known is a bound: "more than", or else "less than". */
static void put_age(char *to, const struct top_ring *r)
{
	static const struct {
		double seconds;
		const char *unit;
	} units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" } };
	double s = r->older > 0 ? r->older : r->younger;
	int i = 0;

	if (!(s > 0)) {
		strcpy(to, "-");
		return;
	}
	while (i < 3 && s < 2 * units[i].seconds)
		i++;
	s /= units[i].seconds;
	snprintf(to, TOP_CELL, s < 9.95 ? "%c%.1f%s" : "%c%.0f%s",
		 r->older > 0 ? '>' : '<', s, units[i].unit);
}

static void put_capacity(char *to, uint64_t n)
{
	static const char prefixes[] = " kMGTPE";
	int i = 0;

	/* A power of two. */
	for (; n >= 10000 && prefixes[i + 1]; i++)
		n /= 1024;
	snprintf(to, TOP_CELL, i ? "%llu%c" : "%llu", (unsigned long long)n,
		 prefixes[i]);
}

/* "[||||  41%]" */
static void put_fill(char *to, const struct top_ring *r, unsigned width)
{
	const struct top_figures *f = &r->figures;
	unsigned room = width - 2, full;
	char percent[16];
	double part;
	size_t n;

	if (!f->possible) {
		strcpy(to, "-");
		return;
	}
	part = (double)f->fill / (double)f->geometry.capacity;
	full = (unsigned)(part * room + 0.5);
	/* One item is not none, and one that is missing is not nothing. */
	if (f->fill > 0 && full == 0)
		full = 1;
	if (f->fill < f->geometry.capacity && full == room)
		full--;
	to[0] = '[';
	memset(to + 1, '|', full);
	memset(to + 1 + full, ' ', room - full);
	n = (size_t)snprintf(percent, sizeof(percent), "%.0f%%", part * 100);
	memcpy(to + 1 + room - n, percent, n);
	strcpy(to + 1 + room, "]");
}

/* -- who */

static void put_name(char *to, const struct top_user *user, unsigned width)
{
	char name[sizeof(user->name)];

	top_clean(name, sizeof(name), user->name, width);
	snprintf(to, TOP_CELL, "%s ", name);
}

static const struct top_user *with_role(const struct top_ring *r,
					enum top_role role)
{
	for (size_t i = 0; i < r->n_users; i++)
		if (r->users[i].role == role)
			return &r->users[i];
	return NULL;
}

/* "cello 12>mixer 7" where roles are known, or else "demo 7,12". */
static void put_both(char *to, const struct top_ring *r)
{
	const struct top_user *tx = with_role(r, TOP_ROLE_SENDER);
	const struct top_user *rx = with_role(r, TOP_ROLE_RECEIVER);
	bool known = tx && rx;
	const struct top_user *a = known ? tx : &r->users[0];
	const struct top_user *b = known ? rx : &r->users[1];
	char first[TOP_CELL], second[TOP_CELL] = "";

	if (strcmp(a->name, b->name) != 0)
		put_name(second, b, 15);
	put_name(first, a, 15);
	snprintf(to, TOP_CELL, "%.64s%ld%c%.64s%ld", first, (long)a->pid,
		 known ? '>' : ',', second, (long)b->pid);
}

/* As much as fits: both, or how many there are besides the first. */
static void put_processes(char *to, const struct top_ring *r, unsigned width)
{
	char rest[64], scratch[TOP_CELL];
	size_t n;

	if (r->n_users == 2) {
		put_both(to, r);
		if (top_clean(scratch, sizeof(scratch), to, TOP_CELL) <= width)
			return;
	}
	n = (size_t)snprintf(rest, sizeof(rest), "%ld", (long)r->users[0].pid);
	if (r->n_users > 1)
		n += (size_t)snprintf(rest + n, sizeof(rest) - n, ",+%zu",
				      r->n_users - 1);
	put_name(to, &r->users[0], width > n + 1 ? width - (unsigned)n - 1 : 0);
	strcat(to, rest);
}

static const char *waits(const struct top_figures *f)
{
	if (!f->possible)
		return "wrong";
	if (f->sender.state == TOP_BROKEN || f->receiver.state == TOP_BROKEN)
		return "broken";
	if (f->receiver.state == TOP_FINISHED)
		return "left";
	if (f->sender.state == TOP_FINISHED)
		return "finished";
	if (f->sender.waits_for && f->receiver.waits_for)
		return "both";
	if (f->sender.waits_for)
		return "sender";
	return f->receiver.waits_for ? "receiver" : "-";
}

/* -- lines */

void top_cell(char *to, const struct top_ring *r, enum top_column column,
	      unsigned width)
{
	const struct peal_geometry *g = &r->figures.geometry;

	switch (column) {
	case TOP_PROCESSES:
		put_processes(to, r, width);
		break;
	case TOP_RING:
		top_clean(to, TOP_CELL, g->name[0] ? g->name : "-", width);
		break;
	case TOP_TAG:
		top_clean(to, TOP_CELL, g->tag[0] ? g->tag : "-", width);
		break;
	case TOP_ITEMS:
		put_capacity(to, g->capacity);
		break;
	case TOP_FILL:
		put_fill(to, r, width);
		break;
	case TOP_ITEMS_S:
		put_rate(to, r->rated, r->rates.items);
		break;
	case TOP_BYTES_S:
		put_megabytes(to, r);
		break;
	case TOP_BELLS_S:
		put_rate(to, r->rated, r->rates.doorbells);
		break;
	case TOP_SAVED_S:
		put_rate(to, r->rated, r->rates.saved);
		break;
	case TOP_STALLS_S:
		top_number(to, (double)r->figures.sender.stalls);
		break;
	case TOP_AGE:
		put_age(to, r);
		break;
	default:
		strcpy(to, waits(&r->figures));
	}
}

void top_line(char *to, size_t size, const struct top_columns *columns,
	      const struct top_ring *ring)
{
	size_t at = 0;

	for (int i = 0; i < TOP_COLUMNS; i++) {
		enum top_column column = (enum top_column)i;
		char cell[TOP_CELL], clean[TOP_CELL];
		unsigned width = columns->width[i], pad;

		if (width == 0)
			continue;
		if (ring)
			top_cell(cell, ring, column, width);
		else
			strcpy(cell, columns_of[i].title);
		pad = width -
		      (unsigned)top_clean(clean, sizeof(clean), cell, width);
		at += (size_t)snprintf(
			to + at, size - at, "%s%*s%s%*s", at ? " " : "",
			columns_of[i].left ? 0 : (int)pad, "", clean,
			columns_of[i].left ? (int)pad : 0, "");
		if (at >= size)
			return;
	}
}

void top_hidden(char *to, size_t size, const struct top_list *list)
{
	const char *root = geteuid() == 0 ? "" : " without root";
	size_t rings = list->hidden_rings, others = list->hidden_processes;
	size_t n = 0;

	to[0] = '\0';
	if (rings)
		n = (size_t)snprintf(to, size,
				     "%zu more ring%s cannot be read%s", rings,
				     rings > 1 ? "s" : "", root);
	if (others && n < size)
		n += (size_t)snprintf(to + n, size - n,
				      "%s%zu process%s cannot be looked into%s",
				      n ? "; " : "", others,
				      others > 1 ? "es" : "", root);
	if (list->hidden_more && n < size)
		snprintf(to + n, size - n,
			 "%sprocesses of other users are hidden here%s",
			 n ? "; " : "", root);
}
