/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Timers: to start one among many, to stop it, and to have it fire. A loop
 * looks at the clock and at its fds once for all that are due.
 */
#include <config.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <peal/peal.h>

#include "clock.h"
#include "loops.h"
#include "timers.h"

/* Those that are stopped stand far off, in no order; the others are due in a
 * millisecond, and fire after it. */
#define FAR_NS 60000000000u
#define SOON_NS 2000000u

struct peal_timers {
	struct peal_slot *slots;
	struct peal_source *sources;
	struct peal_reactor loop;
};

static struct peal_timers *state(struct timers *t)
{
	return t->state;
}

static void on_timer(struct peal_source *source, uint64_t expirations,
		     void *user)
{
	struct timers *t = user;

	(void)source;
	(void)expirations;
	t->fired++;
}

static void peal_open(struct timers *t)
{
	struct peal_timers *s = loops_zeroed(1, sizeof(*s));

	t->state = s;
	s->slots = loops_zeroed(t->n, sizeof(*s->slots));
	s->sources = loops_zeroed(t->n, sizeof(*s->sources));
	bench_check(peal_reactor_init(&s->loop, s->slots, t->n), "reactor");
	for (size_t i = 0; i < t->n; i++)
		bench_check(peal_reactor_add_timer(&s->loop, &s->sources[i],
						   on_timer, t),
			    "add_timer");
}

static void peal_start(struct timers *t, size_t i, uint64_t ns)
{
	peal_reactor_set_timer(&state(t)->loop, &state(t)->sources[i], ns, 0,
			       0);
}

/* From one look at the clock, as the other loops do unasked. */
static void peal_start_at(struct timers *t, size_t i, uint64_t ns)
{
	if (i == 0)
		t->began = bench_now();
	peal_reactor_set_timer(&state(t)->loop, &state(t)->sources[i],
			       t->began + ns, 0, PEAL_TIMER_ABSOLUTE);
}

static void peal_stop(struct timers *t, size_t i)
{
	peal_reactor_cancel_timer(&state(t)->loop, &state(t)->sources[i]);
}

static void peal_serve(struct timers *t)
{
	bench_check(peal_reactor_run_once(&state(t)->loop, 0), "run_once");
}

/* -- the side */

/* Different for each, and not in order. */
static uint64_t spread(size_t i)
{
	return (uint64_t)i * 2654435761u % 1000003;
}

static void round_of(struct timers *t, uint64_t *out)
{
	uint64_t due = t->fired + t->n, at[5], until;

	at[0] = bench_ticks();
	for (size_t i = 0; i < t->n; i++)
		t->how->start(t, i, FAR_NS + 1000 * spread(i));
	at[1] = bench_ticks();
	for (size_t i = 0; i < t->n; i++)
		t->how->stop(t, i);
	at[2] = bench_ticks();
	t->how->serve(t);
	for (size_t i = 0; i < t->n; i++)
		t->how->start(t, i, SOON_NS / 2 + spread(i));
	t->how->serve(t);
	for (until = bench_now() + 2 * SOON_NS; bench_now() < until;)
		;
	at[3] = bench_ticks();
	while (t->fired < due)
		t->how->serve(t);
	at[4] = bench_ticks();
	out[0] += at[1] - at[0];
	out[1] += at[2] - at[1];
	out[2] += at[4] - at[3];
}

static void side(struct bench_stage *stage, unsigned i, void *user)
{
	struct timers *t = user;

	t->how->open(t);
	round_of(t, stage->out);
	memset(stage->out, 0, sizeof(stage->out));
	bench_start(stage, i);
	for (uint64_t j = 0; j < t->count; j++)
		round_of(t, stage->out);
	bench_stop(stage, i);
}

void timers_run(const struct bench_contestant *self,
		const struct bench_point *point, uint64_t count,
		struct bench_result *result)
{
	struct timers t = { .point = point,
			    .how = self->how,
			    .count = count,
			    .n = point->timers };
	double each = bench_tick() / (double)count / (double)point->timers;
	struct bench_stage stage;

	result->ns = bench_fork(1, 1, side, &t, &stage);
	for (int i = 0; i < 3; i++)
		result->value[i] = (double)stage.out[i] * each;
}

static const struct timers_how peal_how = {
	.open = peal_open,
	.start = peal_start,
	.stop = peal_stop,
	.serve = peal_serve,
};

static const struct timers_how peal_absolute_how = {
	.open = peal_open,
	.start = peal_start_at,
	.stop = peal_stop,
	.serve = peal_serve,
};

static const struct bench_contestant peal_absolute = {
	.name = "peal, absolute times",
	.run = timers_run,
	.how = &peal_absolute_how,
};

static const struct bench_contestant peal = {
	.name = "peal",
	.run = timers_run,
	.how = &peal_how,
};

static const struct bench_contestant *const contestants[] = {
	&peal,
	&peal_absolute,
#ifdef HAVE_LIBEVENT
	&timers_libevent,
#endif
#ifdef HAVE_LIBEV
	&timers_libev,
#endif
#ifdef HAVE_LIBUV
	&timers_libuv,
#endif
#ifdef HAVE_LIBSYSTEMD
	&timers_sdevent,
#endif
	NULL,
};

static const struct bench_point points[] = {
	{ .timers = 100 },
	{ .timers = 10000, .quick = true },
};

const struct bench_family bench_timers = {
	.name = "timers",
	.what = "timers of one loop: start, stop, fire",
	.unit = "ns",
	.metrics = { "start", "stop", "fire" },
	.points = points,
	.n_points = sizeof(points) / sizeof(*points),
	.contestants = contestants,
	.reference = "peal",
	.first = 1,
};
