/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Items, what is written down about them, and how a process dies. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "kill.h"

struct kill_world kill_world;

uint64_t kill_any_scale(uint64_t *random, uint64_t least, uint64_t most)
{
	uint64_t n = least;

	while (n < most && test_random(random) % 4 > 0)
		n *= 2;
	return n + test_random(random) % n;
}

/* -- dying */

void kill_point(void)
{
	uint64_t *fuse = &kill_world.self->fuse;
	uint64_t left = kill_load(fuse);

	if (left == 0)
		return;
	if (left == 1)
		kill(getpid(), SIGKILL);
	kill_store(fuse, left - 1);
}

/* The kernel kills it at that time, whatever it is doing then. */
static void doom(uint64_t ns)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGKILL };
	struct itimerspec at = {
		.it_value = { (time_t)(ns / 1000000000),
			      (long)(ns % 1000000000) },
	};
	timer_t timer;

	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	CHECK_EQ(timer_settime(timer, 0, &at, NULL), 0);
}

void kill_begin(struct kill_process *self, uint64_t seed, uint64_t doom_ns)
{
	kill_world.self = self;
	kill_world.random = seed;
	if (doom_ns)
		doom(doom_ns);
}

/* -- items */

uint64_t kill_word(uint64_t flow, uint64_t number, uint64_t i)
{
	uint64_t x = (flow << 40 ^ number << 3 ^ i) + 1;

	x *= UINT64_C(0x9e3779b97f4a7c15);
	return x ^ x >> 32;
}

static uint64_t sum(const struct kill_item *item)
{
	uint64_t sum = item->flow * 31 + item->number;

	for (size_t i = 0; i < 5; i++)
		sum = sum * 31 + item->words[i];
	return ~sum;
}

static void fill(struct kill_item *item, uint64_t flow, uint64_t number)
{
	item->sum = 0; /* what was there before does not pass for this */
	item->flow = flow;
	for (size_t i = 0; i < 5; i++)
		item->words[i] = kill_word(flow, number, i);
	kill_point();
	item->number = number;
	item->sum = sum(item);
}

static uint64_t up_to(uint64_t n)
{
	return 1 + test_random(&kill_world.random) % n;
}

void kill_stall(void)
{
	uint64_t most = kill_world.self->habit.stall_us, us = 1;

	if (most == 0 || up_to(2048) > 1)
		return;
	while (us < most && up_to(8) > 1)
		us *= 4;
	us = up_to(us < most ? us : most);
	nanosleep(&(struct timespec){ .tv_sec = (time_t)(us / 1000000),
				      .tv_nsec = (long)(us % 1000000) * 1000 },
		  NULL);
}

void kill_tune(const struct kill_habit *habit, struct peal_sender *tx,
	       struct peal_receiver *rx)
{
	if (tx)
		peal_sender_set_barriers(tx, habit->barriers);
	if (tx && habit->watermark)
		CHECK_EQ(peal_sender_set_watermark(tx, habit->watermark), 0);
	if (rx)
		peal_receiver_set_barriers(rx, habit->barriers);
	if (rx && habit->watermark)
		CHECK_EQ(peal_receiver_set_watermark(rx, habit->watermark), 0);
}

void kill_tally(uint64_t *last, uint64_t now)
{
	uint64_t *sum = &kill_world.self->doorbells;

	kill_store(sum, *sum + (now < *last ? now : now - *last));
	*last = now;
}

void kill_send(struct kill_source *source, struct peal_sender *tx,
	       struct kill_item *room, size_t n)
{
	struct kill_flow *flow = &kill_world.page->flows[source->flow];
	uint64_t most = kill_world.self->habit.batch;
	struct peal_ring_stats stats;
	int ret;

	n = up_to(n < most ? n : most);
	kill_point();
	kill_stall();
	for (size_t i = 0; i < n; i++)
		fill(&room[i], source->flow, source->next + i);
	source->next += n;
	kill_store(&flow->intent, source->next);
	kill_point();
	ret = peal_sender_commit(tx, n);
	kill_point();
	kill_store(&flow->done, source->next);
	/* They are published also if there is nobody to hear the bell. */
	if (ret != -EPIPE)
		CHECK_EQ(ret, 0);
	peal_sender_stats(tx, &stats);
	kill_tally(&source->doorbells, stats.doorbells);
}

/* The first item since the rings met: here the contract lets some repeat. */
static void meet(struct kill_sink *sink, uint64_t number_of_flow,
		 uint64_t number)
{
	struct kill_flow *flow = &kill_world.page->flows[number_of_flow];
	uint64_t received = kill_load(&flow->received);

	if (number < flow->released || number > received)
		test_fail(__FILE__, __LINE__,
			  "flow %llu goes on at item %llu; %llu were released, "
			  "%llu received",
			  (unsigned long long)number_of_flow,
			  (unsigned long long)number,
			  (unsigned long long)flow->released,
			  (unsigned long long)received);
	flow->repeats += received - number;
	sink->flow = number_of_flow;
	sink->next = number;
	sink->known = true;
}

void kill_account(struct kill_sink *sink, uint64_t flow, uint64_t number)
{
	CHECK(flow > 0 && flow < KILL_FLOWS);
	if (!sink->known)
		meet(sink, flow, number);
	CHECK_EQ(flow, sink->flow);
	CHECK_EQ(number, sink->next);
	CHECK(number < kill_load(&kill_world.page->flows[flow].intent));
	sink->next++;
}

static void check(struct kill_sink *sink, const struct kill_item *shared)
{
	struct kill_item item = *shared;

	CHECK_EQ(item.sum, sum(&item));
	for (size_t i = 0; i < 5; i++)
		CHECK_EQ(item.words[i], kill_word(item.flow, item.number, i));
	kill_account(sink, item.flow, item.number);
}

ssize_t kill_receive(struct kill_sink *sink, struct peal_receiver *rx)
{
	struct kill_process *self = kill_world.self;
	const struct kill_item *items;
	struct peal_ring_stats stats;
	struct kill_flow *flow;
	ssize_t n = peal_receiver_peek(rx, &items);
	int ret;

	if (n <= 0)
		return n;
	n = (ssize_t)up_to((uint64_t)n);
	kill_point();
	for (ssize_t i = 0; i < n; i++)
		check(sink, &items[i]);
	flow = &kill_world.page->flows[sink->flow];
	if (sink->next > kill_load(&flow->received))
		kill_store(&flow->received, sink->next);
	kill_point();
	kill_stall();
	ret = peal_receiver_release(rx, (size_t)n);
	kill_point();
	kill_store(&flow->released, sink->next);
	if (ret != -EPIPE)
		CHECK_EQ(ret, 0);
	kill_store(&self->bytes, self->bytes + (uint64_t)n * sizeof(*items));
	peal_receiver_stats(rx, &stats);
	kill_tally(&sink->doorbells, stats.doorbells);
	return n;
}

/* -- what a process has */

/* Lines with this text, or all lines; without allocating any memory. */
static uint64_t count_lines(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t lines = 0;
	ssize_t n;

	CHECK(fd >= 0);
	while ((n = read(fd, text, size)) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += text[i] == '\n';
	CHECK_EQ(n, 0);
	close(fd);
	return lines;
}

void kill_count(uint64_t *fds, uint64_t *maps)
{
	static char text[65536];

	*fds = (uint64_t)test_count_fds();
	*maps = count_lines("/proc/self/maps", text, sizeof(text));
}

/* Ends that have slept in a blocking call have one, others have not yet. */
static uint64_t epoll_sets(void)
{
	uint64_t n = 0;

	for (int fd = 0; fd < 256; fd++) {
		char path[32], link[64] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n += readlink(path, link, sizeof(link) - 1) > 0 &&
		     strcmp(link, "anon_inode:[eventpoll]") == 0;
	}
	return n;
}

/* But for what is shared: that is rings, and what is told to the leader. */
static uint64_t count_resident(void)
{
	static char text[16384];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	const char *at;

	CHECK(n > 0);
	close(fd);
	text[n] = '\0';
	at = strstr(text, "RssAnon:");
	return at ? strtoull(at + 8, NULL, 10) * 1024 : 0;
}

void kill_answer(void)
{
	struct kill_process *self = kill_world.self;
	uint64_t asked = kill_load(&kill_world.page->census);

	if (kill_load(&self->census) == asked)
		return;
	kill_count(&self->fds, &self->maps);
	self->fds -= epoll_sets();
	self->resident = count_resident();
	kill_store(&self->census, asked);
}
