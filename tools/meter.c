/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"
#include "terminal.h"

#define PERIOD_MS 500u
#define SCALED 64

uint64_t meter_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void meter_begin(struct meter *m, bool on)
{
	*m = (struct meter){ .on = on,
			     .terminal = terminal_redraws(STDERR_FILENO) };
	m->began = m->shown = meter_now();
}

/* "1.23 GB": at most 9 characters, so that columns stay where they are. */
static void put_scaled(char *to, double n, const char *unit)
{
	static const char *const prefixes[] = { "", "k", "M", "G", "T", "P" };
	int i = 0;

	for (; n >= 999.5 && i < 5; i++)
		n /= 1000;
	snprintf(to, SCALED, n < 99.95 && i > 0 ? "%.1f %s%s" : "%.0f %s%s", n,
		 prefixes[i], unit);
}

/* In one write(2): where stderr takes nothing, each would have to be ended by a
 * signal of its own. */
static void put_line(const char *before, const struct meter *m,
		     uint64_t messages, uint64_t bytes, uint64_t ms,
		     const char *after)
{
	double seconds = ms > 0 ? (double)ms / 1000 : 0.001;
	char sum[SCALED], messages_per_s[SCALED], bytes_per_s[SCALED];

	put_scaled(sum, (double)m->bytes, "B");
	put_scaled(messages_per_s, (double)messages / seconds, "messages/s");
	put_scaled(bytes_per_s, (double)bytes / seconds, "B/s");
	fprintf(stderr, "%speal: %llu messages, %s: %s, %s%s", before,
		(unsigned long long)m->messages, sum, messages_per_s,
		bytes_per_s, after);
}

static void show(struct meter *m, uint64_t now)
{
	put_line("\r", m, m->messages - m->shown_messages,
		 m->bytes - m->shown_bytes, now - m->shown, "\033[K");
	m->shown = now;
	m->shown_messages = m->messages;
	m->shown_bytes = m->bytes;
}

void meter_tick(struct meter *m)
{
	uint64_t now;

	if (!m->on || !m->terminal)
		return;
	now = meter_now();
	if (now - m->shown >= PERIOD_MS)
		show(m, now);
}

void meter_count(struct meter *m, size_t bytes)
{
	m->messages++;
	m->bytes += bytes;
	meter_tick(m);
}

int meter_ms(const struct meter *m)
{
	return m->on && m->terminal ? (int)PERIOD_MS : -1;
}

void meter_end(struct meter *m)
{
	uint64_t ms = meter_now() - m->began;
	char after[SCALED];

	if (!m->on)
		return;
	snprintf(after, sizeof(after), ", in %.1f s\n", (double)ms / 1000);
	put_line(m->terminal ? "\r\033[K" : "", m, m->messages, m->bytes, ms,
		 after);
}
