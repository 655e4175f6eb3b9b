/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A reactor, in one of four hosts, driven by a program of operations from
 * outside and from within its callbacks, against a model of what is due: rings
 * (tests/fixtures/modelled.h), fds, timers, deferred calls and queues.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../tests/fixtures/modelled.h"
#include "fuzz.h"

#define RINGS 3
#define THINGS 5
#define CELLS 4
#define CALLS_MAX 128
#define ROUNDS_MAX 10000 /* until nothing is left to do */
#define HOUR UINT64_C(3600000000000)

enum thing_kind {
	THING_LEVEL,
	THING_EDGE,
	THING_TIMER,
	THING_DEFERRED,
	THING_QUEUE,
	THING_KINDS
};

/* A source that is no ring. */
struct thing {
	struct peal_source source;
	enum thing_kind kind;
	bool added;
	bool due;
	int fd;
	struct peal_post cells[CELLS];
	uintptr_t posted, received; /* messages count up */
};

enum host {
	HOST_OWN,
	HOST_A,
	HOST_B_LEVEL,
	HOST_B_EDGE,
	HOSTS
};

/* One more than there are sources, for those that are refused. */
#define SLOTS (RINGS + THINGS + 1)

static struct peal_slot slots[SLOTS];
static struct peal_reactor loop;
static struct modelled rings[RINGS];
static struct thing things[THINGS];
static struct input in;
static enum host host;
static int host_epoll = -1;
static int depth;    /* of operations within callbacks */
static bool closing; /* nothing new is begun */

static void operate(void);

uint64_t modelled_below(uint64_t n)
{
	/* With nothing but zeroes rings would ask for MORE for ever. */
	return input_left(&in) ? input_below(&in, n) : n - 1;
}

void modelled_inside(struct modelled *m)
{
	(void)m;
	if (!closing && input_byte(&in) % 4 == 3)
		operate();
}

/* -- things */

static void called(struct thing *thing)
{
	CHECK(thing->added);
	CHECK(thing->due);
	thing->due = false;
	if (!closing && input_byte(&in) % 4 == 3)
		operate();
}

static void on_event(struct peal_source *source, int fd, uint32_t events,
		     void *user)
{
	struct thing *thing = user;
	uint64_t n;

	CHECK(source == &thing->source);
	CHECK_EQ(fd, thing->fd);
	CHECK_EQ(events, EPOLLIN);
	CHECK_EQ(read(fd, &n, sizeof(n)), sizeof(n));
	called(thing);
}

static void on_timer(struct peal_source *source, uint64_t expirations,
		     void *user)
{
	struct thing *thing = user;

	CHECK(source == &thing->source);
	CHECK_EQ(expirations, 1);
	called(thing);
}

static void on_call(struct peal_source *source, void *user)
{
	struct thing *thing = user;

	CHECK(source == &thing->source);
	called(thing);
}

static void on_post(struct peal_source *source, void *message, void *user)
{
	struct thing *thing = user;

	CHECK(source == &thing->source);
	CHECK_EQ((uintptr_t)message, ++thing->received);
	called(thing);
	thing->due |= thing->added && thing->posted != thing->received;
}

static int add_thing(struct thing *thing)
{
	uint32_t edge = thing->kind == THING_EDGE ? EPOLLET : 0;

	switch (thing->kind) {
	case THING_LEVEL:
	case THING_EDGE:
		return peal_reactor_add_fd(&loop, &thing->source, thing->fd,
					   EPOLLIN | edge, on_event, thing);
	case THING_TIMER:
		return peal_reactor_add_timer(&loop, &thing->source, on_timer,
					      thing);
	case THING_DEFERRED:
		return peal_reactor_add_deferred(&loop, &thing->source, on_call,
						 thing);
	default:
		if (!thing->added)
			thing->posted = thing->received = 0;
		return peal_reactor_add_queue(&loop, &thing->source,
					      thing->cells, CELLS, on_post,
					      thing);
	}
}

static bool readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

/* Of a thing that is added, or is not, what cannot be is refused, and changes
 * nothing. */
static void refused(struct thing *thing)
{
	struct peal_source *source = &thing->source, twin = { 0 };
	bool is[THING_KINDS] = { false };

	if (thing->added)
		is[thing->kind] = true;
	if (thing->added && thing->kind <= THING_EDGE) {
		CHECK_EQ(peal_reactor_add_fd(&loop, &twin, thing->fd, EPOLLIN,
					     on_event, thing),
			 -EEXIST);
		CHECK_EQ(peal_reactor_remove(&loop, &twin), 0);
	}
	if (thing->added)
		CHECK_EQ(add_thing(thing), -EBUSY);
	if (!is[THING_LEVEL] && !is[THING_EDGE])
		CHECK_EQ(peal_reactor_set_events(&loop, source, 0), -EINVAL);
	if (!is[THING_TIMER])
		CHECK_EQ(peal_reactor_set_timer(&loop, source, 0, 0, 0),
			 -EINVAL);
	if (!is[THING_DEFERRED])
		CHECK_EQ(peal_reactor_defer(&loop, source), -EINVAL);
	if (!is[THING_QUEUE])
		CHECK_EQ(peal_reactor_post(&loop, source, NULL), -EINVAL);
	CHECK_EQ(peal_reactor_hangup(&loop, source, -EPIPE), -EINVAL);
	twin = *source; /* moved */
	CHECK_EQ(peal_reactor_set_band(&loop, &twin, PEAL_BAND_LOW), -EINVAL);
	CHECK_EQ(peal_reactor_remove(&loop, &twin), thing->added ? -EINVAL : 0);
}

static void add_or_remove(struct thing *thing)
{
	refused(thing);
	if (thing->added) {
		CHECK_EQ(peal_reactor_remove(&loop, &thing->source), 0);
		thing->added = thing->due = false;
		return;
	}
	CHECK_EQ(add_thing(thing), 0);
	thing->added = true;
	/* What was written to an fd meanwhile. */
	thing->due = thing->kind <= THING_EDGE && readable(thing->fd);
}

static void post(struct thing *thing)
{
	bool full = thing->posted - thing->received == CELLS;
	void *message = (void *)(thing->posted + 1);
	int ret = peal_reactor_post(&loop, &thing->source, message);

	CHECK_EQ(ret, full ? -EAGAIN : 0);
	if (ret < 0)
		return;
	thing->posted++;
	thing->due = true;
}

static void set_timer(struct thing *thing)
{
	uint8_t how = input_byte(&in) % 5;
	bool due = how < 3;
	int ret;

	if (how == 4) {
		ret = peal_reactor_cancel_timer(&loop, &thing->source);
	} else {
		uint64_t first = due ? how : HOUR;

		/* Over at once, or two nanoseconds after the machine began;
		 * and no period has passed since then. */
		ret = peal_reactor_set_timer(
			&loop, &thing->source, first, how == 1 ? HOUR : 0,
			how == 2 ? PEAL_TIMER_ABSOLUTE : 0);
	}
	CHECK_EQ(ret, 0);
	thing->due = due;
}

static void poke(struct thing *thing)
{
	const uint64_t one = 1;

	if (thing->kind <= THING_EDGE) {
		CHECK_EQ(write(thing->fd, &one, sizeof(one)), sizeof(one));
		thing->due = thing->added;
	} else if (!thing->added) {
		add_or_remove(thing);
	} else if (thing->kind == THING_TIMER) {
		set_timer(thing);
	} else if (thing->kind == THING_DEFERRED) {
		peal_reactor_defer(&loop, &thing->source);
		thing->due = true;
	} else {
		post(thing);
	}
}

/* -- operations */

static void set_band(void)
{
	uint8_t which = input_byte(&in);
	enum peal_band band = (enum peal_band)(which / 16 % PEAL_BANDS);
	struct peal_source *source;

	if (which % (RINGS + THINGS) < RINGS)
		source = &rings[which % (RINGS + THINGS)].rig.source;
	else
		source = &things[which % (RINGS + THINGS) - RINGS].source;
	if (source->reactor)
		CHECK_EQ(peal_reactor_set_band(&loop, source, band), 0);
}

static void operate(void)
{
	uint8_t what = input_byte(&in);

	if (depth == 2)
		return;
	depth++;
	if (what < 160)
		modelled_operate(&rings[what % RINGS], false);
	else if (what < 224)
		poke(&things[what % THINGS]);
	else if (what < 248)
		add_or_remove(&things[what % THINGS]);
	else if (what < 252)
		set_band();
	else
		peal_reactor_wake(&loop);
	depth--;
}

/* -- hosts */

static int host_add(void *user, int fd, uint32_t events, uint64_t token)
{
	struct epoll_event event = { .events = events, .data.u64 = token };

	CHECK(user == &loop);
	return epoll_ctl(host_epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno
								    : 0;
}

static int host_modify(void *user, int fd, uint32_t events, uint64_t token)
{
	struct epoll_event event = { .events = events, .data.u64 = token };

	CHECK(user == &loop);
	return epoll_ctl(host_epoll, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno
								    : 0;
}

static int host_remove(void *user, int fd)
{
	struct epoll_event event = { 0 };

	CHECK(user == &loop);
	return epoll_ctl(host_epoll, EPOLL_CTL_DEL, fd, &event) < 0 ? -errno
								    : 0;
}

static void make_loop(void)
{
	struct peal_host how = {
		.add = host_add,
		.modify = host_modify,
		.remove = host_remove,
		.user = &loop,
		.edge = host == HOST_B_EDGE,
	};

	if (host < HOST_B_LEVEL)
		CHECK_EQ(peal_reactor_init(&loop, slots, SLOTS), 0);
	else
		CHECK_EQ(peal_reactor_init_hosted(&loop, slots, SLOTS, &how),
			 0);
}

/* @return false: nothing is to be done */
static bool dispatch_once(void)
{
	struct epoll_event events[RINGS + THINGS + 2];
	int n;

	if (host < HOST_B_LEVEL) {
		if (!readable(peal_reactor_fd(&loop)))
			return false;
		if (host == HOST_OWN)
			CHECK(peal_reactor_run_once(&loop, 0) >= 0);
		else
			CHECK(peal_reactor_dispatch(&loop) >= 0);
		return true;
	}
	n = epoll_wait(host_epoll, events, RINGS + THINGS + 2, 0);
	CHECK(n >= 0);
	for (int i = 0; i < n; i++)
		CHECK(peal_reactor_process(&loop, events[i].data.u64,
					   events[i].events) >= 0);
	return n > 0;
}

static void settle(void)
{
	int rounds = 0;

	while (dispatch_once())
		CHECK(rounds++ < ROUNDS_MAX);
	for (int i = 0; i < RINGS; i++)
		if (!rings[i].ended)
			modelled_check_settled(&rings[i]);
	for (int i = 0; i < THINGS; i++)
		CHECK(!things[i].due);
}

/* -- the beginning and the end */

static void empty(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		CHECK_EQ(errno, EAGAIN);
}

/* What takes system calls, once. */
static void prepare(void)
{
	if (host_epoll >= 0)
		return;
	host_epoll = epoll_create1(EPOLL_CLOEXEC);
	CHECK(host_epoll >= 0);
	for (int i = 0; i < RINGS; i++)
		rig_init(&rings[i].rig, 1);
	for (int i = 0; i < THINGS; i++)
		things[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void begin(void)
{
	uint8_t how = input_byte(&in);

	prepare();
	host = (enum host)(how % HOSTS);
	depth = 0;
	closing = false;
	make_loop();
	for (int i = 0; i < RINGS; i++) {
		struct modelled *m = &rings[i];
		struct peal_doorbell data = m->rig.data, space = m->rig.space;
		size_t capacity = (size_t)1 << (2 * i);

		memset(m, 0, sizeof(*m));
		m->rig.data = data;
		m->rig.space = space;
		empty(data.wait_fd);
		empty(space.wait_fd);
		rig_attach(&m->rig, capacity);
		modelled_start(m, &loop, capacity, how >> (4 + i) & 1);
	}
	for (int i = 0; i < THINGS; i++) {
		struct thing *thing = &things[i];
		int fd = thing->fd;

		memset(thing, 0, sizeof(*thing));
		thing->fd = fd;
		thing->kind = (enum thing_kind)i;
		/* There are no edges where the host knows none. */
		if (thing->kind == THING_EDGE && host == HOST_B_LEVEL)
			thing->kind = THING_LEVEL;
		empty(fd);
		add_or_remove(thing);
	}
}

static void end(void)
{
	closing = true;
	settle();
	for (int i = 0; i < RINGS; i++)
		modelled_finish(&rings[i]);
	settle();
	for (int i = 0; i < RINGS; i++)
		CHECK_EQ(rings[i].closed, 1);
	peal_reactor_close(&loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct leaks leaks;
	int calls = 0;

	in = input_of(data, size);
	begin();
	while (input_left(&in) && calls++ < CALLS_MAX) {
		if (input_byte(&in) % 4 == 3)
			settle();
		else
			operate();
	}
	end();
	check_leaks(&leaks);
	return 0;
}
