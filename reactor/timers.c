/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Timers: sources of the caller's that have an alarm and nothing else. */
#include <errno.h>

#include "internal.h"

static void timer_expired(struct peal_source *source, uint64_t deadline,
			  uint64_t now)
{
	struct peal_source_timer *timer = &source->of.timer;
	uint64_t n = 1;

	if (timer->period) {
		n = (now - deadline) / timer->period + 1;
		peal_alarm_repeat(source,
				  peal_time_add(deadline, n * timer->period));
	}
	timer->expirations += n;
	peal_source_schedule(source);
}

static void timer_turn(struct peal_source *source)
{
	struct peal_call call = peal_call_begin(source);
	uint64_t expirations = source->of.timer.expirations;

	source->of.timer.expirations = 0;
	source->of.timer.on_timer(source, expirations, source->user);
	peal_call_end(&call);
}

static const struct peal_source_ops timer_ops = {
	.turn = timer_turn,
	.alarm = timer_expired,
};

int peal_reactor_add_timer(struct peal_reactor *loop,
			   struct peal_source *source,
			   void (*on_timer)(struct peal_source *source,
					    uint64_t expirations, void *user),
			   void *user)
{
	int ret;

	if (!on_timer)
		return -EINVAL;
	ret = peal_source_attach(loop, source, &timer_ops, user);
	if (ret < 0)
		return ret;
	source->of.timer.on_timer = on_timer;
	return 0;
}

static void timer_stop(struct peal_source *source)
{
	peal_alarm_cancel(source);
	source->of.timer.expirations = 0;
	peal_link_remove(&source->link);
}

int peal_reactor_set_timer(struct peal_reactor *loop,
			   struct peal_source *source, uint64_t first_ns,
			   uint64_t period_ns, unsigned flags)
{
	int ret = peal_source_check_kind(loop, source, &timer_ops);

	if (ret < 0)
		return ret;
	if (flags & ~PEAL_TIMER_ABSOLUTE)
		return -EINVAL;
	if (!(flags & PEAL_TIMER_ABSOLUTE))
		first_ns = peal_time_add(peal_now(), first_ns);
	timer_stop(source);
	source->of.timer.period = period_ns;
	peal_alarm_set(source, first_ns);
	return 0;
}

int peal_reactor_cancel_timer(struct peal_reactor *loop,
			      struct peal_source *source)
{
	int ret = peal_source_check_kind(loop, source, &timer_ops);

	if (ret == 0)
		timer_stop(source);
	return ret;
}
