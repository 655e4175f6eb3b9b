/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What do 10 000 rings on which nothing comes cost the 64 on which something
 * does? One thread sends a batch to each of the busy ones, which rings their
 * doorbells, and serves them by a reactor; in one thread, so that no scheduler
 * has a part in it. With and without the idle ones take turns; the medians and
 * their ratio are printed.
 *
 *	bench/idle_rings [IDLE [BUSY [PAIRS]]]
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <peal/peal.h>

#define CAPACITY 256
#define BATCH 16
#define ROUNDS 2000

struct ring {
	unsigned char memory[PEAL_RING_SIZE(CAPACITY, sizeof(uint64_t))];
	struct peal_doorbell bell;
	struct peal_sender tx;
	struct peal_receiver rx;
	struct peal_source source;
};

struct bench {
	size_t idle, busy;
	struct ring *rings; /* the busy ones first */
	struct peal_slot *slots;
	struct peal_reactor loop;
	uint64_t calls;
};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void check(int error, const char *what)
{
	if (error < 0)
		errx(1, "%s: %s", what, strerror(-error));
}

static void make(struct ring *r)
{
	struct peal_geometry g = { .capacity = CAPACITY,
				   .item_size = sizeof(uint64_t) };
	struct peal_ring ring;

	check(peal_geometry_fit(&g, 0), "geometry");
	check(peal_ring_format(&ring, &g, r->memory, sizeof(r->memory)),
	      "ring");
	check(peal_doorbell_init(&r->bell, PEAL_DOORBELL_EVENTFD),
	      "doorbell (try a higher ulimit -n)");
	check(peal_sender_attach(&r->tx, &ring, &r->bell, NULL), "sender");
	check(peal_receiver_attach(&r->rx, &ring, &r->bell, NULL), "receiver");
}

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct bench *bench = user;
	const uint64_t *items;
	ssize_t n = peal_receiver_peek(rx, &items);

	if (n > 0)
		peal_receiver_release(rx, (size_t)n);
	bench->calls++;
	return PEAL_DONE;
}

static void serve(struct bench *bench)
{
	static const uint64_t batch[BATCH];
	uint64_t due = bench->calls + bench->busy;

	for (size_t i = 0; i < bench->busy; i++)
		peal_sender_put(&bench->rings[i].tx, batch, BATCH);
	while (bench->calls < due)
		check(peal_reactor_run_once(&bench->loop, 0), "run");
}

/* @return nanoseconds for each callback, its doorbell included */
static double run(struct bench *bench, size_t rings)
{
	struct peal_receiver_callbacks callbacks = { .on_readable = on_readable,
						     .user = bench };
	uint64_t began;

	check(peal_reactor_init(&bench->loop, bench->slots, rings), "reactor");
	for (size_t i = 0; i < rings; i++)
		check(peal_reactor_add_receiver(
			      &bench->loop, &bench->rings[i].source,
			      &bench->rings[i].rx, &callbacks),
		      "add");
	serve(bench); /* and let all of it become warm */
	began = now();
	for (int i = 0; i < ROUNDS; i++)
		serve(bench);
	began = now() - began;
	peal_reactor_finish(&bench->loop);
	return (double)began / ROUNDS / (double)bench->busy;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

static void raise_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static size_t argument(int argc, char **argv, int i, size_t otherwise)
{
	char *end;
	unsigned long n;

	if (argc <= i)
		return otherwise;
	n = strtoul(argv[i], &end, 10);
	if (*end != '\0' || n == 0 || n > 1000000)
		errx(2, "usage: idle_rings [IDLE [BUSY [PAIRS]]]");
	return n;
}

int main(int argc, char **argv)
{
	struct bench bench = { .idle = argument(argc, argv, 1, 10000),
			       .busy = argument(argc, argv, 2, 64) };
	size_t pairs = argument(argc, argv, 3, 15), all;
	double *without, *with, *ratios;

	all = bench.idle + bench.busy;
	raise_limit();
	bench.rings = aligned_alloc(64, all * sizeof(*bench.rings));
	bench.slots = calloc(all, sizeof(*bench.slots));
	without = calloc(3 * pairs, sizeof(*without));
	if (!bench.rings || !bench.slots || !without)
		errx(1, "no memory for so many rings");
	with = without + pairs;
	ratios = with + pairs;
	memset(bench.rings, 0, all * sizeof(*bench.rings));
	for (size_t i = 0; i < all; i++)
		make(&bench.rings[i]);
	for (size_t i = 0; i < pairs; i++) {
		without[i] = run(&bench, bench.busy);
		with[i] = run(&bench, all);
		ratios[i] = with[i] / without[i];
	}
	printf("%zu busy rings alone: %.0f ns for each callback\n", bench.busy,
	       median(without, pairs));
	printf("with %zu idle ones: %.0f ns\n", bench.idle,
	       median(with, pairs));
	median(ratios, pairs); /* sorted now */
	printf("ratio, pair by pair: %.3f (%.3f to %.3f)\n", ratios[pairs / 2],
	       ratios[0], ratios[pairs - 1]);
	free(without);
	free(bench.slots);
	free(bench.rings);
	return 0;
}
