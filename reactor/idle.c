/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Rings that are silent, and the alarm of a ring. The heap has one alarm for
 * each source, and a ring has two uses for its alarm: the end of its
 * quarantine, and the end of the time after which it counts as silent.
 */
#include <errno.h>

#include "internal.h"

void peal_ring_set_alarm(struct peal_source *source)
{
	const struct peal_source_bells *bells = &source->of.ring.bells;
	const struct peal_source_idle *idle = &source->of.ring.idle;
	uint64_t next = UINT64_MAX;

	if (bells->quarantined)
		next = bells->quarantine_end;
	if (idle->after_ns)
		next = peal_min(next,
				peal_time_add(idle->since, idle->after_ns));
	if (next != UINT64_MAX)
		peal_alarm_set(source, next);
}

void peal_ring_alarm(struct peal_source *source, uint64_t deadline,
		     uint64_t now)
{
	const struct peal_source_bells *bells = &source->of.ring.bells;
	struct peal_source_idle *idle = &source->of.ring.idle;

	(void)deadline;
	if (bells->quarantined && bells->quarantine_end <= now)
		peal_quarantine_finish(source);
	if (idle->after_ns && now - idle->since >= idle->after_ns) {
		idle->since = now;
		idle->due = true;
		peal_source_schedule(source);
	}
	peal_ring_set_alarm(source);
}

void peal_idle_restart(struct peal_source *source)
{
	struct peal_source_idle *idle = &source->of.ring.idle;

	if (!idle->after_ns)
		return;
	/* The alarm stays as it is set. peal_ring_alarm() compares `since`. */
	idle->since = peal_now();
	idle->due = false;
}

void peal_idle_tell(struct peal_source *source)
{
	struct peal_call call = peal_call_begin(source);

	source->of.ring.idle.due = false;
	source->of.ring.idle.on_idle(source, source->user);
	if (peal_call_end(&call))
		peal_ring_drained(source);
}

int peal_reactor_set_idle(struct peal_reactor *loop, struct peal_source *source,
			  uint64_t after_ns,
			  void (*on_idle)(struct peal_source *source,
					  void *user))
{
	int ret = peal_source_check(loop, source);

	if (ret < 0)
		return ret;
	if (!peal_source_is_ring(source) || (after_ns && !on_idle))
		return -EINVAL;
	source->of.ring.idle = (struct peal_source_idle){
		.on_idle = on_idle,
		.after_ns = after_ns,
		.since = peal_now(),
	};
	peal_alarm_cancel(source);
	peal_ring_set_alarm(source);
	return 0;
}
