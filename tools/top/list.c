/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which rings are shown, and in which order. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "top.h"

static const char *const keys[TOP_KEYS] = {
	[TOP_BY_BYTES] = "bytes",     [TOP_BY_ITEMS] = "items",
	[TOP_BY_FILL] = "fill",	      [TOP_BY_BELLS] = "bells",
	[TOP_BY_SAVED] = "saved",     [TOP_BY_STALLS] = "stalls",
	[TOP_BY_AGE] = "age",	      [TOP_BY_NAME] = "name",
	[TOP_BY_PROCESS] = "process", [TOP_BY_PID] = "pid",
};

const char *top_key_name(enum top_key key)
{
	return keys[key];
}

int top_key_parse(const char *text, enum top_key *key)
{
	for (int i = 0; i < TOP_KEYS; i++) {
		if (strcmp(text, keys[i]) == 0) {
			*key = (enum top_key)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* What a ring is sorted by; unknown comes behind all that is known. */
static double number_of(const struct top_ring *r, enum top_key key)
{
	const struct top_figures *f = &r->figures;

	switch (key) {
	case TOP_BY_BYTES:
		return r->rated ? r->rates.bytes : -1;
	case TOP_BY_ITEMS:
		return r->rated ? r->rates.items : -1;
	case TOP_BY_BELLS:
		return r->rated ? r->rates.doorbells : -1;
	case TOP_BY_SAVED:
		return r->rated ? r->rates.saved : -1;
	case TOP_BY_STALLS:
		return (double)f->sender.stalls;
	case TOP_BY_AGE:
		return r->older;
	case TOP_BY_FILL:
		return f->possible
			       ? (double)f->fill / (double)f->geometry.capacity
			       : -1;
	case TOP_BY_PID:
		return -(double)r->users[0].pid; /* the smallest first */
	default:
		return 0;
	}
}

static int compare_text(const struct top_ring *a, const struct top_ring *b,
			enum top_key key)
{
	if (key == TOP_BY_NAME)
		return strcmp(a->figures.geometry.name,
			      b->figures.geometry.name);
	if (key == TOP_BY_PROCESS)
		return strcmp(a->users[0].name, b->users[0].name);
	return 0;
}

static int compare(const void *x, const void *y, void *user)
{
	const struct top_ring *a = x, *b = y;
	const struct top_view *view = user;
	double m = number_of(a, view->key), n = number_of(b, view->key);
	int order = m != n ? (m < n) - (m > n) : compare_text(a, b, view->key);

	if (order != 0)
		return view->reverse ? -order : order;
	/* What is equal stays where it is from look to look. */
	if (a->users[0].pid != b->users[0].pid)
		return a->users[0].pid < b->users[0].pid ? -1 : 1;
	return a->inode < b->inode ? -1 : a->inode > b->inode;
}

static bool is_shown(const struct top_ring *r, const struct top_view *view)
{
	bool process = !view->process, pid = !view->pid;

	for (size_t i = 0; i < r->n_users; i++) {
		process = process || strstr(r->users[i].name, view->process);
		pid = pid || r->users[i].pid == view->pid;
	}
	if (view->name && !strstr(r->figures.geometry.name, view->name) &&
	    !strstr(r->figures.geometry.tag, view->name))
		return false;
	return process && pid;
}

size_t top_select(struct top_list *list, const struct top_view *view)
{
	struct top_ring swap;
	size_t shown = 0;

	for (size_t i = 0; i < list->n; i++) {
		if (!is_shown(&list->rings[i], view))
			continue;
		swap = list->rings[i];
		list->rings[i] = list->rings[shown];
		list->rings[shown++] = swap;
	}
	if (shown > 0)
		qsort_r(list->rings, shown, sizeof(*list->rings), compare,
			(void *)(uintptr_t)view);
	return shown;
}
