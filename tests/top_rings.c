/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Rings for tests/top.sh to be looked at, with pages that say what the
 * arguments say, which need not be true:
 *
 *	new		the next ring, or blob; the first one needs none
 *	name=, tag=, capacity=, size=
 *	s:OFFSET=NUMBER	a word of the sender's page
 *	r:OFFSET=NUMBER	a word of the receiver's page
 *	close		its memfd, as channels do
 *	sender		map the receiver's page for reading alone
 *	fork		a child that has it, too
 *	blob		no ring at all
 *	cut		nor memory, where it is mapped
 *
 * Says "ready" and lives until its stdin ends.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <peal/peal.h>

struct wanted {
	struct peal_geometry geometry;
	bool closed, sender, forked, blob, cut;
	char **words; /* of this ring: up to the next "new" */
};

static void check(int result, const char *what)
{
	if (result < 0)
		errx(1, "%s: %s", what, strerror(-result));
}

static bool take(const char *word, const char *key, char *to, size_t size)
{
	size_t n = strlen(key);

	if (strncmp(word, key, n) != 0)
		return false;
	snprintf(to, size, "%s", word + n);
	return true;
}

static void understand(struct wanted *w, const char *word)
{
	struct peal_geometry *g = &w->geometry;
	char number[32];

	w->closed |= strcmp(word, "close") == 0;
	w->sender |= strcmp(word, "sender") == 0;
	w->forked |= strcmp(word, "fork") == 0;
	w->blob |= strcmp(word, "blob") == 0;
	w->cut |= strcmp(word, "cut") == 0;
	take(word, "name=", g->name, sizeof(g->name));
	take(word, "tag=", g->tag, sizeof(g->tag));
	if (take(word, "capacity=", number, sizeof(number)))
		g->capacity = strtoull(number, NULL, 0);
	if (take(word, "size=", number, sizeof(number)))
		g->item_size = strtoull(number, NULL, 0);
}

static void poke(const struct peal_ring *ring, const char *word)
{
	unsigned char *page = word[0] == 's' ? ring->sender_page
					     : ring->receiver_page;
	uint64_t value;
	unsigned offset;
	long long number;

	if (sscanf(word, "%*1[sr]:%u=%lli", &offset, &number) != 2)
		return;
	value = (uint64_t)number;
	memcpy(page + offset, &value, sizeof(value));
}

static void make_ring(struct wanted *w)
{
	struct peal_geometry *g = &w->geometry;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct peal_ring ring;
	struct peal_mem mem;

	check(peal_geometry_fit(g, page), "fit");
	check(peal_mem_create(&mem, g->name, g->head, peal_geometry_body(g),
			      PEAL_MEM_TWICE),
	      "memory");
	check(peal_mem_seal(&mem), "seal");
	check(peal_ring_format(&ring, g, mem.base, mem.head + mem.body),
	      "format");
	for (char **word = w->words; *word && strcmp(*word, "new"); word++)
		poke(&ring, *word);
	if (w->sender &&
	    mprotect(ring.receiver_page, g->head / 2, PROT_READ) < 0)
		err(1, "mprotect");
	if (w->closed)
		close(mem.fd);
}

static void make_blob(const struct wanted *w)
{
	struct peal_blob blob;

	check(peal_blob_create(&blob, w->geometry.name, 4096), "blob");
}

static void make_cut(void)
{
	int fd = memfd_create("peal:cut", 0);

	if (fd < 0 || ftruncate(fd, 16384) < 0 ||
	    mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
		    MAP_FAILED ||
	    ftruncate(fd, 0) < 0)
		err(1, "memfd");
}

/* @return true: a child is to have them, too */
static bool make(char **words)
{
	bool forked = false;

	while (*words) {
		struct wanted w = { .geometry = { .capacity = 64,
						  .item_size = 64 },
				    .words = words };

		for (; *words && strcmp(*words, "new"); words++)
			understand(&w, *words);
		if (w.blob)
			make_blob(&w);
		else if (w.cut)
			make_cut();
		else
			make_ring(&w);
		forked |= w.forked;
		words += *words != NULL;
	}
	return forked;
}

int main(int argc, char **argv)
{
	char byte;

	(void)argc;
	if (make(argv + 1) && fork() < 0)
		err(1, "fork");
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
