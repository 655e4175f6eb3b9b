/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How often two sides that sleep wake each other, per thousand items: bells
 * that were rung, by either, and times that one of them has slept; and the
 * system calls of the receiver. These are counted in a second, shorter run by
 * a tracer that slows them down, so it is where each item finds the receiver
 * asleep that they say what a wake-up costs.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <peal/reactor.h>

#include "stream.h"
#include "work.h"

/* Between two items of a sender that is slow. */
#define PAUSE_US 100

static bool paced(const struct bench_point *point)
{
	return strcmp(point->mode, "one at a time") == 0;
}

static void send_slowly(struct stream *s)
{
	uint64_t count = s->count;

	s->count = 1;
	for (uint64_t i = 0; i < count; i++) {
		usleep(PAUSE_US);
		s->how->send(s);
	}
	s->count = count;
}

static uint64_t sleeps(const struct bench_stage *stage)
{
	struct rusage usage;

	if (stage->traced) /* this would count, too */
		return 0;
	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_nvcsw;
}

static uint64_t bells(const struct stream *s, unsigned side)
{
	struct peal_ring_stats stats = { 0 };

	if (!s->local.mem.base)
		return s->bells;
	if (side == 0)
		peal_sender_stats(&s->local.sender, &stats);
	else
		peal_receiver_stats(&s->local.receiver, &stats);
	return stats.doorbells;
}

static void side(struct bench_stage *stage, unsigned i, void *user)
{
	struct stream *s = user;
	uint64_t before;

	stream_enter(s, i);
	bench_start(stage, i);
	before = sleeps(stage);
	if (i == 1)
		s->how->receive(s);
	else if (paced(s->point))
		send_slowly(s);
	else
		s->how->send(s);
	stage->out[2 + i] = sleeps(stage) - before;
	bench_stop(stage, i);
	stage->out[i] = bells(s, i);
}

static void run(const struct bench_contestant *self,
		const struct bench_point *point, uint64_t count,
		struct bench_result *result)
{
	uint64_t few = count / 10 + 1;
	struct bench_stage stage;
	struct stream s;

	stream_open(&s, self->how, point, count);
	result->ns = bench_fork(2, 2, side, &s, &stage);
	stream_close(&s);
	result->value[0] = 1e3 * (double)(stage.out[0] + stage.out[1]) /
			   (double)count;
	/* The pauses of a slow sender are none of the ring's. */
	result->value[1] =
		1e3 *
		(double)(stage.out[3] + (paced(point) ? 0 : stage.out[2])) /
		(double)count;
	stream_open(&s, self->how, point, few);
	bench_trace(2, side, &s, &stage);
	stream_close(&s);
	result->value[2] = 1e3 * (double)stage.calls[1] / (double)few;
}

/* -- a receiver that is served by a reactor */

struct served {
	struct stream *s;
	struct peal_reactor loop;
	uint64_t seen, sum;
};

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct served *served = user;
	const unsigned char *items;
	ssize_t n = peal_receiver_peek(rx, &items);

	for (ssize_t i = 0; i < n; i++, items += served->s->point->size)
		served->sum += bench_read(items, served->s->point->size);
	if (n > 0)
		peal_receiver_release(rx, (size_t)n);
	served->seen += n > 0 ? (uint64_t)n : 0;
	return PEAL_DONE;
}

static uint64_t by_reactor(struct stream *s)
{
	struct served served = { .s = s };
	struct peal_source source = { 0 };
	struct peal_slot slot;

	bench_check(peal_reactor_init(&served.loop, &slot, 1), "reactor");
	bench_check(
		peal_reactor_add_receiver(
			&served.loop, &source, &s->local.receiver,
			&(struct peal_receiver_callbacks){
				.on_readable = on_readable, .user = &served }),
		"add_receiver");
	while (served.seen < s->count)
		bench_check(peal_reactor_run_once(&served.loop, -1),
			    "run_once");
	peal_reactor_close(&served.loop);
	return served.sum;
}

static void run_with_reactor(const struct bench_contestant *self,
			     const struct bench_point *point, uint64_t n,
			     struct bench_result *result)
{
	struct stream_how how = stream_peal_blocking;
	struct bench_contestant other = *self;

	how.receive = by_reactor;
	other.how = &how;
	run(&other, point, n, result);
}

static bool two_cpus(const struct bench_point *point)
{
	return point->size > 0 && bench_cpus() > 1;
}

/* It begins anew with each call that sends, so it cannot send slowly. */
static bool at_once(const struct bench_point *point)
{
	return two_cpus(point) && !paced(point);
}

static const struct bench_contestant peal = {
	.name = "peal",
	.fits = two_cpus,
	.run = run,
	.how = &stream_peal_blocking,
};

static const struct bench_contestant polls = {
	.name = "peal, polling",
	.fits = two_cpus,
	.run = run,
	.how = &stream_polling,
};

static const struct bench_contestant with_reactor = {
	.name = "peal, reactor",
	.fits = two_cpus,
	.run = run_with_reactor,
};

static const struct bench_contestant count = {
	.name = "count",
	.fits = at_once,
	.run = run,
	.how = &stream_count_blocking,
};

static const struct bench_contestant by_pipe = {
	.name = "pipe",
	.fits = two_cpus,
	.run = run,
	.how = &stream_by_pipe,
};

static const struct bench_contestant by_unix = {
	.name = "Unix stream",
	.fits = two_cpus,
	.run = run,
	.how = &stream_by_unix,
};

static const struct bench_contestant *const contestants[] = {
	&peal, &polls, &with_reactor, &count, &by_pipe, &by_unix, NULL,
};

static const struct bench_point points[] = {
	{ "blocking", .size = 8, .batch = 1, .ring = 4096, .quick = true },
	{ "blocking", .size = 64, .batch = 1, .ring = 1 << 20, .quick = true },
	{ "one at a time", .size = 64, .batch = 1, .ring = 1 << 20,
	  .quick = true },
};

const struct bench_family bench_wake = {
	.name = "wake",
	.what = "how often two sides that sleep wake each other",
	.unit = "per 1000 items",
	.metrics = { "doorbells", "sleeps", "system calls of the receiver" },
	.points = points,
	.n_points = sizeof(points) / sizeof(*points),
	.contestants = contestants,
	.reference = "peal",
	.first = 256,
};
