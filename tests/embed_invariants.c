/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a loop that is not ours relies on, whatever happens: in form A that the
 * fd is readable if and only if a dispatch has something to do; in form B that
 * what it says of the fds that it watches is enough, however late it says it,
 * and how often.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "embed_chaos.h"
#include "fixtures/harness.h"

#define OPERATIONS 100000
#define PATIENCE_MS 10000

static struct peal_slot slots[CHAOS_SLOTS];
static struct peal_reactor loop;

/* -- form A */

static bool readable(int timeout_ms)
{
	struct pollfd pfd = { .fd = peal_reactor_fd(&loop), .events = POLLIN };

	return poll(&pfd, 1, timeout_ms) == 1;
}

static void check_readable(void)
{
	switch (chaos_owed()) {
	case CHAOS_NOW:
		CHECK(readable(0));
		break;
	case CHAOS_SOON:
		CHECK(readable(PATIENCE_MS));
		break;
	case CHAOS_NOTHING:
		break;
	}
}

/* @return how often in a row it has been readable for nothing by now */
static int dispatch(int vain)
{
	int before = chaos_calls(), ret = peal_reactor_dispatch(&loop);

	CHECK(ret >= 0 && ret <= chaos_calls() - before);
	check_readable();
	return chaos_calls() > before ? 0 : vain + 1;
}

static void settle(void)
{
	int vain = 0;

	while (chaos_owed() != CHAOS_NOTHING || readable(0)) {
		CHECK(readable(PATIENCE_MS));
		vain = dispatch(vain);
		/* Once since something that was done, and once since a wake. */
		CHECK(vain <= 2);
	}
}

TEST(form_a_is_readable_if_and_only_if_there_is_work)
{
	CHECK_EQ(peal_reactor_init(&loop, slots, CHAOS_SLOTS), 0);
	chaos_start(&loop, test_seed(), false);
	for (int i = 0; i < OPERATIONS; i++) {
		chaos_operate();
		check_readable();
		if (chaos_below(4) == 0)
			dispatch(0);
		if (chaos_below(64) == 0)
			settle();
	}
	settle();
	CHECK(chaos_calls() > OPERATIONS / 4);
	chaos_stop();
	settle();
	peal_reactor_close(&loop);
}

/* -- form B: a host that takes its time */

#define FDS 256
#define QUEUED 256
#define GONE 64

static struct {
	int epoll_fd;
	bool edge;
	struct {
		bool watched;
		uint64_t token;
	} fds[FDS];
	/* Seen, and not told yet, or once more. */
	struct epoll_event queue[QUEUED];
	size_t queued;
	/* Tokens that were valid once. */
	uint64_t gone[GONE];
	uint64_t n_gone, seen;
} fake;

static int control(int op, int fd, uint32_t events, uint64_t token)
{
	struct epoll_event event = { .events = events, .data.u64 = token };
	uint32_t allowed = EPOLLIN;

	if (fake.edge)
		allowed |= (uint32_t)EPOLLET | EPOLLONESHOT;
	CHECK(!(events & ~allowed));
	CHECK(fd >= 0 && fd < FDS);
	CHECK_EQ(fake.fds[fd].watched, op != EPOLL_CTL_ADD);
	/* No fd was closed while it is watched, or this fails. */
	CHECK_EQ(epoll_ctl(fake.epoll_fd, op, fd, &event), 0);
	if (fake.fds[fd].watched && fake.fds[fd].token != token)
		fake.gone[fake.n_gone++ % GONE] = fake.fds[fd].token;
	fake.fds[fd].watched = op != EPOLL_CTL_DEL;
	fake.fds[fd].token = token;
	return 0;
}

static int add(void *user, int fd, uint32_t events, uint64_t token)
{
	CHECK(user == &fake);
	return control(EPOLL_CTL_ADD, fd, events, token);
}

static int modify(void *user, int fd, uint32_t events, uint64_t token)
{
	CHECK(user == &fake);
	return control(EPOLL_CTL_MOD, fd, events, token);
}

static int remove_fd(void *user, int fd)
{
	CHECK(user == &fake);
	return control(EPOLL_CTL_DEL, fd, 0, 0);
}

static bool collect(int timeout_ms)
{
	int most = (int)(QUEUED - fake.queued), n;

	if (most == 0)
		return true;
	n = epoll_wait(fake.epoll_fd, fake.queue + fake.queued,
		       most < 8 ? most : 8, timeout_ms);
	CHECK(n >= 0);
	fake.queued += (size_t)n;
	fake.seen += (uint64_t)n;
	return n > 0;
}

static void process(uint64_t token, uint32_t events)
{
	int before = chaos_calls();
	int ret = peal_reactor_process(&loop, token, events);

	CHECK(ret >= 0 && ret <= chaos_calls() - before);
}

/* One of those that were seen, in any order, and perhaps not for the last
 * time. */
static void deliver(uint64_t again)
{
	size_t i = chaos_below(fake.queued);
	struct epoll_event event = fake.queue[i];

	if (chaos_below(32) >= again)
		fake.queue[i] = fake.queue[--fake.queued];
	process(event.data.u64, event.events);
}

static void deliver_gone(void)
{
	uint64_t n = fake.n_gone < GONE ? fake.n_gone : GONE;

	if (n > 0)
		process(fake.gone[chaos_below(n)],
			EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR);
}

/* Until all that can be seen has been told: then nothing is left to do. */
static void deliver_all(void)
{
	while (fake.queued > 0 || collect(0) || chaos_owed() == CHAOS_SOON) {
		if (fake.queued == 0)
			CHECK(collect(PATIENCE_MS));
		while (fake.queued > 0)
			deliver(0);
	}
	CHECK_EQ(chaos_owed(), CHAOS_NOTHING);
}

static void let_the_host_go_on(void)
{
	switch (chaos_below(4)) {
	case 0:
		collect(0);
		break;
	case 1:
		if (fake.queued > 0)
			deliver(1);
		break;
	case 2:
		if (chaos_below(8) == 0)
			deliver_gone();
		break;
	default:
		break;
	}
	if (chaos_below(64) == 0)
		deliver_all();
}

static void serve_in_fake(bool edge)
{
	struct peal_host host = { .add = add,
				  .modify = modify,
				  .remove = remove_fd,
				  .user = &fake,
				  .edge = edge };

	fake.edge = edge;
	fake.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	CHECK(fake.epoll_fd >= 0);
	CHECK_EQ(peal_reactor_init_hosted(&loop, slots, CHAOS_SLOTS, &host), 0);
	chaos_start(&loop, test_seed(), true);
	for (int i = 0; i < OPERATIONS; i++) {
		chaos_operate();
		let_the_host_go_on();
	}
	deliver_all();
	CHECK(chaos_calls() > OPERATIONS / 4);
	CHECK(fake.n_gone > GONE);
	chaos_stop();
	deliver_all();
	peal_reactor_close(&loop);
	for (int i = 0; i < FDS; i++)
		CHECK(!fake.fds[i].watched);
	close(fake.epoll_fd);
}

TEST(form_b_needs_no_more_than_a_level_triggered_host_says_sooner_or_later)
{
	serve_in_fake(false);
}

TEST(form_b_needs_no_more_than_an_edge_triggered_host_says_sooner_or_later)
{
	serve_in_fake(true);
}
