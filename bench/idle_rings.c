/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What do 10 000 rings on which nothing comes cost the 64 on which something
 * does? One thread serves them all by a reactor, another one feeds the busy
 * ones. With and without the idle ones take turns; the medians and their ratio
 * are printed.
 *
 *	bench/idle_rings [IDLE [BUSY [PAIRS]]]
 */
#include <err.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <peal/peal.h>

#define CAPACITY 256
#define BATCH 16
#define RUN_NS 200000000

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
	uint64_t items;
	bool stop;
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
	ssize_t n;

	while ((n = peal_receiver_peek(rx, &items)) > 0) {
		bench->items += (uint64_t)n;
		peal_receiver_release(rx, (size_t)n);
	}
	return PEAL_DONE;
}

static void *feed(void *user)
{
	static const uint64_t batch[BATCH];
	struct bench *bench = user;

	while (!__atomic_load_n(&bench->stop, __ATOMIC_RELAXED))
		for (size_t i = 0; i < bench->busy; i++)
			peal_sender_put(&bench->rings[i].tx, batch, BATCH);
	return NULL;
}

static void on_time(struct peal_source *source, uint64_t expirations,
		    void *user)
{
	(void)source;
	(void)expirations;
	peal_reactor_stop(user);
}

/* @return items a second */
static double run(struct bench *bench, size_t rings)
{
	struct peal_receiver_callbacks callbacks = { .on_readable = on_readable,
						     .user = bench };
	struct peal_source timer = { 0 };
	pthread_t feeder;
	uint64_t began;

	check(peal_reactor_init(&bench->loop, bench->slots, rings + 1),
	      "reactor");
	for (size_t i = 0; i < rings; i++)
		check(peal_reactor_add_receiver(
			      &bench->loop, &bench->rings[i].source,
			      &bench->rings[i].rx, &callbacks),
		      "add");
	check(peal_reactor_add_timer(&bench->loop, &timer, on_time,
				     &bench->loop),
	      "timer");
	check(peal_reactor_set_timer(&bench->loop, &timer, RUN_NS, 0, 0),
	      "timer");
	bench->stop = false;
	bench->items = 0;
	if (pthread_create(&feeder, NULL, feed, bench) != 0)
		errx(1, "no thread to be had");
	began = now();
	check(peal_reactor_run(&bench->loop), "run");
	began = now() - began;
	__atomic_store_n(&bench->stop, true, __ATOMIC_RELAXED);
	pthread_join(feeder, NULL);
	peal_reactor_finish(&bench->loop);
	return (double)bench->items * 1e9 / (double)began;
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
	bench.slots = calloc(all + 1, sizeof(*bench.slots));
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
	printf("%zu busy rings alone: %.1f M items/s\n", bench.busy,
	       median(without, pairs) / 1e6);
	printf("with %zu idle ones: %.1f M items/s\n", bench.idle,
	       median(with, pairs) / 1e6);
	median(ratios, pairs); /* sorted now */
	printf("ratio, pair by pair: %.3f (%.3f to %.3f)\n", ratios[pairs / 2],
	       ratios[0], ratios[pairs - 1]);
	free(without);
	free(bench.slots);
	free(bench.rings);
	return 0;
}
