/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the scenarios have in common. */
#include <stdio.h>
#include <stdlib.h>

#include "../../ring/internal.h"
#include "kernel.h"
#include "scenario.h"

#define RINGS 2
#define ITEMS_MOST 16

const struct scenario scenarios[] = {
	{ "streams", streams_begin, streams_end },
	{ "barriers", barriers_begin, streams_end },
	{ "deaths", deaths_begin, deaths_end },
	{ "successors", successors_begin, deaths_end },
	{ "messages", messages_begin, messages_end },
	{ "reactors", reactors_begin, reactors_end },
	{ "groups", groups_begin, reactors_end },
};
const int n_scenarios = sizeof(scenarios) / sizeof(*scenarios);

static char wrong[256];

const char *scenario_wrong(const char *format, ...)
{
	va_list args;

	if (wrong[0] == '\0') {
		va_start(args, format);
		vsnprintf(wrong, sizeof(wrong), format, args);
		va_end(args);
	}
	return wrong;
}

const char *scenario_found(void)
{
	return wrong[0] == '\0' ? NULL : wrong;
}

void scenario_forget(void)
{
	wrong[0] = '\0';
}

uint64_t draw(uint64_t from, uint64_t to)
{
	return from + world_random(to - from + 1);
}

bool one_in(uint64_t n)
{
	return world_random(n) == 0;
}

/* The words that the two ends share, but for the counts, which are for those
 * who look on. */
static void share_page(struct peal_page *page, const char *names[5])
{
	memory_share(&page->position, sizeof(uint64_t), names[0]);
	memory_share(&page->wake, sizeof(uint64_t), names[1]);
	memory_share(&page->state, sizeof(uint64_t), names[2]);
	memory_share(&page->elided, sizeof(uint64_t), names[3]);
	memory_share(&page->barrier, sizeof(uint64_t), names[4]);
}

struct peal_ring ring_make(int index, uint64_t capacity)
{
	static _Alignas(64) unsigned char
		bytes[RINGS][PEAL_RING_SIZE(ITEMS_MOST, sizeof(uint64_t))];
	const char *senders[] = { "tail", "space_wake", "sender_state",
				  "sender_elided", "sender_barrier" };
	const char *receivers[] = { "head", "data_wake", "receiver_state",
				    "receiver_elided", "receiver_barrier" };
	struct peal_geometry geometry = { .capacity = capacity,
					  .item_size = sizeof(uint64_t) };
	struct peal_ring ring;

	if (capacity > ITEMS_MOST || peal_geometry_fit(&geometry, 0) < 0 ||
	    peal_ring_format(&ring, &geometry, bytes[index],
			     sizeof(bytes[index])) < 0)
		abort();
	share_page(ring.sender_page, senders);
	share_page(ring.receiver_page, receivers);
	memset(ring.items, 0xee, capacity * sizeof(uint64_t));
	for (uint64_t i = 0; i < capacity; i++)
		memory_share((uint64_t *)ring.items + i, sizeof(uint64_t),
			     "item");
	return ring;
}

static struct peal_doorbell bell(enum peal_doorbell_kind kind, int wait_fd,
				 int ring_fd, unsigned drain_every)
{
	return (struct peal_doorbell){
		.kind = kind,
		.wait_fd = wait_fd,
		.ring_fd = ring_fd,
		.drain_every = drain_every,
	};
}

void bells_make(struct peal_doorbell *data, struct peal_doorbell *space)
{
	unsigned every = 1 + (unsigned)world_random(3);
	int fds[2], other[2];

	switch (world_random(3)) {
	case 0:
		peal_doorbell_init(data, PEAL_DOORBELL_EVENTFD);
		peal_doorbell_init(space, PEAL_DOORBELL_EVENTFD);
		break;
	case 1:
		/* An arm may bring one of its own, too: reserve_told. */
		kernel_pipe(fds, 2 * every + 2);
		kernel_pipe(other, 2 * every + 2);
		*data = bell(PEAL_DOORBELL_PIPE, fds[0], fds[1], every);
		*space = bell(PEAL_DOORBELL_PIPE, other[0], other[1], every);
		break;
	default:
		kernel_socketpair(fds, every + 2);
		*data = bell(PEAL_DOORBELL_SOCKET, fds[0], fds[1], every);
		*space = bell(PEAL_DOORBELL_SOCKET, fds[1], fds[0], every);
	}
}

bool bell_sleep(int fd, int lifeline)
{
	struct pollfd pfds[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = lifeline, .events = POLLRDHUP },
	};

	while (world_poll(pfds, lifeline < 0 ? 1 : 2, -1) <= 0)
		;
	return lifeline >= 0 && pfds[1].revents;
}

int edge_make(int fd)
{
	int epfd = world_epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	world_epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event);
	return epfd;
}

void edge_sleep(int epfd)
{
	struct epoll_event event;

	while (world_epoll_wait(epfd, &event, 1, -1) <= 0)
		;
}
