/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A packet is written into it, read out and summed up, by one thread: what the
 * originals of this library showed first. Each goes in the largest pieces that
 * a ring, a socket or a pipe takes. With the originals the ring held two
 * packets; one that is not larger than a cache is faster.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <peal/local.h>

#include "bare.h"
#include "bench.h"
#include "kernel.h"
#include "work.h"

struct packet {
	const struct bench_point *point;
	const struct packet_how *how;
	uint64_t count, sum, turn;
	unsigned char *from, *to; /* the packet, and where it is to be copied */
	struct peal_local local;
	struct count tx, rx;
	void *memory;
	size_t mapped;
	int fds[2], bells[2];
};

struct packet_how {
	void (*open)(struct packet *p);
	uint64_t (*pass)(struct packet *p); /* @return the sum */
	int kind;
};

static uint64_t sum(const void *data, uint64_t bytes)
{
	const bench_word *words = data;
	bench_words a = { 0 }, b = a, c = a, d = a;
	uint64_t n = bytes / 8, i = 0;

	for (; i + 16 <= n; i += 16) {
		a += *(const bench_words *)(words + i);
		b += *(const bench_words *)(words + i + 4);
		c += *(const bench_words *)(words + i + 8);
		d += *(const bench_words *)(words + i + 12);
	}
	a += b + c + d;
	a[0] += a[1] + a[2] + a[3];
	for (; i < n; i++)
		a[0] += words[i];
	return a[0];
}

/* -- memory: as much as a ring has, half by half */

static void memory_open(struct packet *p)
{
	p->mapped = BARE_HEAD + p->point->ring;
	p->memory = bench_share(p->mapped);
}

static uint64_t memory_pass(struct packet *p)
{
	uint64_t size = p->point->size, half = p->point->ring / 2, total = 0;

	for (uint64_t done = 0; done < size; p->turn++) {
		unsigned char *to = (unsigned char *)p->memory + BARE_HEAD +
				    p->turn % 2 * half;
		uint64_t n = size - done < half ? size - done : half;

		memcpy(to, p->from + done, n);
		/* The compiler must not sum up what it knows. */
		__asm__ volatile("" : : "r"(to) : "memory");
		total += sum(to, n);
		done += n;
	}
	return total;
}

/* Of a ring with room for n, when so much is left: half of it at most, so that
 * all of them go through the same memory in the same pieces. */
static uint64_t piece(const struct packet *p, uint64_t n, uint64_t left)
{
	uint64_t half = p->point->ring / 16;

	if (n > half)
		n = half;
	return n < left ? n : left;
}

/* -- peal: items of 8 bytes, in the largest spans that there are */

static void peal_open(struct packet *p)
{
	struct peal_geometry g = { .capacity = p->point->ring / 8,
				   .item_size = 8 };

	bench_check(peal_local_init(&p->local, &g), "peal_local_init");
	peal_sender_set_barriers(&p->local.sender, !p->how->kind);
	peal_receiver_set_barriers(&p->local.receiver, !p->how->kind);
}

static uint64_t peal_pass(struct packet *p)
{
	uint64_t left = p->point->size / 8, done = 0, total = 0;

	while (left > 0) {
		uint64_t *to = NULL;
		const uint64_t *items = NULL;
		ssize_t n = peal_sender_try_reserve(&p->local.sender, &to);

		bench_check(n, "peal_sender_reserve");
		n = (ssize_t)piece(p, (uint64_t)n, left);
		memcpy(to, p->from + 8 * done, 8 * (size_t)n);
		peal_sender_commit(&p->local.sender, (size_t)n);
		n = peal_receiver_peek(&p->local.receiver, &items);
		bench_check(n, "peal_receiver_peek");
		total += sum(items, 8 * (uint64_t)n);
		peal_receiver_release(&p->local.receiver, (size_t)n);
		done += (uint64_t)n;
		left -= (uint64_t)n;
	}
	return total;
}

/* -- count: likewise, and the eventfds are written as by the originals */

static void count_open(struct packet *p)
{
	uint64_t capacity = 4;

	while (capacity < p->point->ring / 8)
		capacity *= 2;
	p->mapped = BARE_HEAD + capacity * 8;
	p->memory = bench_share(p->mapped);
	count_init(&p->tx, p->memory, capacity, 8, true);
	count_init(&p->rx, p->memory, capacity, 8, false);
	for (int i = 0; i < 2; i++)
		p->bells[i] = kernel_eventfd();
}

static void count_bell(struct packet *p, int i, bool due)
{
	if (due && p->how->kind)
		kernel_ring(p->bells[i]);
}

static uint64_t count_pass(struct packet *p)
{
	uint64_t left = p->point->size / 8, done = 0, total = 0;

	while (left > 0) {
		unsigned char *items;
		uint64_t n = count_peek(&p->tx, &items);

		n = piece(p, n, left);
		memcpy(items, p->from + 8 * done, 8 * n);
		count_bell(p, 0, count_move(&p->tx, n));
		n = count_peek(&p->rx, &items);
		total += sum(items, 8 * n);
		count_bell(p, 1, count_move(&p->rx, n));
		done += n;
		left -= n;
	}
	return total;
}

/* -- pipes and sockets */

static void fds_open(struct packet *p)
{
	kernel_pair((enum kernel_kind)p->how->kind, p->fds);
	bench_check_errno(fcntl(p->fds[1], F_SETFL, O_NONBLOCK), "fcntl");
}

static uint64_t fds_pass(struct packet *p)
{
	uint64_t total = 0;

	for (size_t done = 0; done < p->point->size;) {
		ssize_t n = write(p->fds[1], p->from + done,
				  p->point->size - done);

		bench_check_errno(n, "write");
		kernel_read(p->fds[0], p->to, (size_t)n);
		total += sum(p->to, (size_t)n);
		done += (size_t)n;
	}
	return total;
}

/* -- all of them */

static void side(struct bench_stage *stage, unsigned i, void *user)
{
	struct packet *p = user;
	uint64_t count = p->count;

	for (p->count = 0; p->count < 2; p->count++) /* all pages are there */
		p->how->pass(p);
	bench_start(stage, i);
	for (p->count = 0; p->count < count; p->count++)
		if (p->how->pass(p) != p->sum)
			bench_fail("the sum", EBADMSG);
	bench_stop(stage, i);
}

static void finish(struct packet *p)
{
	peal_local_close(&p->local);
	if (p->memory)
		bench_unshare(p->memory, p->mapped);
	for (int i = 0; i < 2; i++) {
		if (p->fds[i] >= 0)
			close(p->fds[i]);
		if (p->bells[i] >= 0)
			close(p->bells[i]);
	}
	free(p->from);
	free(p->to);
}

static void run(const struct bench_contestant *self,
		const struct bench_point *point, uint64_t count,
		struct bench_result *result)
{
	struct packet p = { .point = point,
			    .how = self->how,
			    .count = count,
			    .from = aligned_alloc(32, point->size),
			    .to = aligned_alloc(32, point->size),
			    .fds = { -1, -1 },
			    .bells = { -1, -1 } };

	if (!p.from || !p.to)
		bench_fail("memory", ENOMEM);
	for (size_t i = 0; i < point->size; i++)
		p.from[i] = (unsigned char)(i * 7);
	memset(p.to, 0, point->size);
	p.sum = sum(p.from, point->size);
	p.how->open(&p);
	result->ns = bench_fork(1, 2, side, &p, NULL);
	result->value[0] = (double)result->ns / (double)count;
	finish(&p);
}

#define CONTESTANT(id, name, ...)                                              \
	BENCH_CONTESTANT(id, packet_how, run, NULL, name, __VA_ARGS__)

CONTESTANT(memory, "memory", .open = memory_open, .pass = memory_pass);
CONTESTANT(by_peal, "peal", .open = peal_open, .pass = peal_pass);
CONTESTANT(fences, "peal, fences", .open = peal_open, .pass = peal_pass,
	   .kind = 1);
CONTESTANT(by_count, "count", .open = count_open, .pass = count_pass,
	   .kind = 1);
CONTESTANT(silent_count, "count, no eventfds", .open = count_open,
	   .pass = count_pass);
CONTESTANT(by_unix, "Unix stream", .open = fds_open, .pass = fds_pass,
	   .kind = KERNEL_UNIX);
CONTESTANT(by_pipe, "pipe", .open = fds_open, .pass = fds_pass,
	   .kind = KERNEL_PIPE);

static const struct bench_contestant *const contestants[] = {
	&by_unix,  &by_peal,	  &fences,  &memory,
	&by_count, &silent_count, &by_pipe, NULL,
};

#define KIB 1024
#define MIB (1 << 20)

static const struct bench_point points[] = {
	{ .size = 32, .ring = 4 * KIB, .quick = true },
	{ .size = 256, .ring = 4 * KIB },
	{ .size = KIB, .ring = 4 * KIB, .quick = true },
	{ .size = 8 * KIB, .ring = 16 * KIB },
	{ .size = 64 * KIB, .ring = 128 * KIB, .quick = true },
	{ .size = 256 * KIB, .ring = 128 * KIB },
	{ .size = MIB, .ring = 128 * KIB, .quick = true },
	{ .size = MIB, .ring = 2 * MIB, .quick = true },
	{ .size = 8 * MIB, .ring = 128 * KIB, .quick = true },
	{ .size = 8 * MIB, .ring = 16 * MIB, .quick = true },
};

const struct bench_family bench_packet = {
	.name = "packet",
	.what = "a packet is written, read and summed up by one thread",
	.unit = "ns",
	.points = points,
	.n_points = sizeof(points) / sizeof(*points),
	.contestants = contestants,
	.reference = "Unix stream",
	.first = 2,
};
