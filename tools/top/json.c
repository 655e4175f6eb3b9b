/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* peal top --json: one object. What cannot be known is null. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "../text.h"
#include "top.h"

/* All but printable ASCII is escaped: it may be shown in a terminal. */
static void put_string(const char *text)
{
	const char *s = text, *end = text + strlen(text);

	putchar('"');
	while (s < end) {
		unsigned long c = 0xfffd;
		size_t n = text_decode(s, (size_t)(end - s), &c);

		if (c >= 0x10000)
			printf("\\u%04lx\\u%04lx",
			       0xd800 + ((c - 0x10000) >> 10),
			       0xdc00 + ((c - 0x10000) & 0x3ff));
		else if (n == 1 && c >= ' ' && c < 127 && c != '"' && c != '\\')
			putchar((int)c);
		else
			printf("\\u%04lx", n ? c : 0xfffd);
		s += n ? n : 1;
	}
	putchar('"');
}

static void put_user(const struct top_user *user, bool first)
{
	static const char *const roles[] = {
		[TOP_ROLE_UNKNOWN] = "null",
		[TOP_ROLE_SENDER] = "\"sender\"",
		[TOP_ROLE_RECEIVER] = "\"receiver\"",
		[TOP_ROLE_WATCHER] = "\"watcher\"",
	};

	printf("%s{\"pid\": %ld, \"name\": ", first ? "" : ", ",
	       (long)user->pid);
	put_string(user->name);
	printf(", \"role\": %s}", roles[user->role]);
}

static void put_count(const char *name, uint64_t count)
{
	printf(", \"%s\": %llu", name, (unsigned long long)count);
}

static void put_end(const char *name, const struct top_end *end, bool possible)
{
	static const char *const states[] = {
		[TOP_OPEN] = "open",
		[TOP_FINISHED] = "finished",
		[TOP_BROKEN] = "broken",
		[TOP_ODD] = "odd",
	};

	printf(", \"%s\": {\"state\": \"%s\"", name, states[end->state]);
	put_count("position", end->position);
	if (possible)
		put_count("waits_for", end->waits_for);
	else
		fputs(", \"waits_for\": null", stdout);
	put_count("doorbells", end->doorbells);
	put_count("bell_errors", end->bell_errors);
	put_count("stalls", end->stalls);
	put_count("transitions", end->transitions);
	putchar('}');
}

static void put_rates(const struct top_ring *r)
{
	if (!r->rated) {
		fputs(", \"rates\": null", stdout);
		return;
	}
	printf(", \"rates\": {\"items\": %.1f, \"bytes\": %.1f, "
	       "\"doorbells\": %.1f, \"saved\": %.1f, \"stalls\": %.1f}",
	       r->rates.items, r->rates.bytes, r->rates.doorbells,
	       r->rates.saved, r->rates.stalls);
}

static void put_seconds(const char *name, double seconds)
{
	if (seconds > 0)
		printf("\"%s\": %.6f", name, seconds);
	else
		printf("\"%s\": null", name);
}

static void put_ring(const struct top_ring *r)
{
	const struct top_figures *f = &r->figures;

	fputs("{\"name\": ", stdout);
	put_string(f->geometry.name);
	fputs(", \"tag\": ", stdout);
	put_string(f->geometry.tag);
	printf(", \"device\": \"%u:%u\"", major(r->device), minor(r->device));
	put_count("inode", r->inode);
	put_count("capacity", f->geometry.capacity);
	put_count("item_size", f->geometry.item_size);
	if (f->possible)
		put_count("fill", f->fill);
	else
		fputs(", \"fill\": null", stdout);
	printf(", \"possible\": %s", f->possible ? "true" : "false");
	put_end("sender", &f->sender, f->possible);
	put_end("receiver", &f->receiver, f->possible);
	put_rates(r);
	fputs(", \"oldest\": {", stdout);
	put_seconds("more_than", r->older);
	fputs(", ", stdout);
	put_seconds("less_than", r->younger);
	fputs("}, \"processes\": [", stdout);
	for (size_t i = 0; i < r->n_users; i++)
		put_user(&r->users[i], i == 0);
	fputs("]}", stdout);
}

int top_print_json(const struct top_list *list, size_t shown, double seconds)
{
	printf("{\"seconds\": %.6f, \"hidden_rings\": %zu, "
	       "\"hidden_processes\": ",
	       seconds, list->hidden_rings);
	if (list->hidden_more)
		fputs("null", stdout);
	else
		printf("%zu", list->hidden_processes);
	fputs(", \"rings\": [", stdout);
	for (size_t i = 0; i < shown; i++) {
		fputs(i ? ",\n" : "\n", stdout);
		put_ring(&list->rings[i]);
	}
	puts(shown ? "\n]}" : "]}");
	return fflush(stdout) == 0 ? 0 : -errno;
}
