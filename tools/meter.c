/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"
#include "terminal.h"

#define PERIOD_MS 500u

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
static void put_scaled(double n, const char *unit)
{
	static const char *const prefixes[] = { "", "k", "M", "G", "T", "P" };
	int i = 0;

	for (; n >= 999.5 && i < 5; i++)
		n /= 1000;
	fprintf(stderr, n < 99.95 && i > 0 ? "%.1f %s%s" : "%.0f %s%s", n,
		prefixes[i], unit);
}

static void put_line(const struct meter *m, uint64_t messages, uint64_t bytes,
		     uint64_t ms)
{
	double seconds = ms > 0 ? (double)ms / 1000 : 0.001;

	fprintf(stderr, "%llu messages, ", (unsigned long long)m->messages);
	put_scaled((double)m->bytes, "B");
	fputs(": ", stderr);
	put_scaled((double)messages / seconds, "messages/s");
	fputs(", ", stderr);
	put_scaled((double)bytes / seconds, "B/s");
}

static void show(struct meter *m, uint64_t now)
{
	fputs("\rpeal: ", stderr);
	put_line(m, m->messages - m->shown_messages, m->bytes - m->shown_bytes,
		 now - m->shown);
	fputs("\033[K", stderr);
	fflush(stderr);
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

	if (!m->on)
		return;
	if (m->terminal)
		fputs("\r\033[K", stderr);
	fputs("peal: ", stderr);
	put_line(m, m->messages, m->bytes, ms);
	fprintf(stderr, ", in %.1f s\n", (double)ms / 1000);
}
