/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <sys/epoll.h>
#include <unistd.h>

#include "../examples/embed/in_epoll.h"
#include "embed.h"
#include "fixtures/harness.h"

#define BATCH 8

static struct {
	int epoll_fd;
	void (*own)(void);
	struct peal_reactor *reactor;
	struct in_epoll in;
	struct in_epoll_fd fds[EMBED_FDS];
} host;

static void start(struct peal_reactor *reactor, int own_fd, void (*own)(void),
		  uint32_t edge)
{
	struct epoll_event event = { .events = EPOLLIN | edge,
				     .data.ptr = &host };

	host.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	host.own = own;
	host.reactor = reactor;
	CHECK(host.epoll_fd >= 0);
	CHECK_EQ(epoll_ctl(host.epoll_fd, EPOLL_CTL_ADD, own_fd, &event), 0);
}

static void stop(void)
{
	peal_reactor_close(host.reactor);
	close(host.epoll_fd);
}

static void start_a(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void), uint32_t edge)
{
	start(reactor, own_fd, own, edge);
	CHECK_EQ(peal_reactor_init(reactor, slots, EMBED_SLOTS), 0);
	CHECK_EQ(in_epoll_watch(host.epoll_fd, reactor), 0);
}

static void start_level(struct peal_reactor *reactor, struct peal_slot *slots,
			int own_fd, void (*own)(void))
{
	start_a(reactor, slots, own_fd, own, 0);
}

static void start_edge(struct peal_reactor *reactor, struct peal_slot *slots,
		       int own_fd, void (*own)(void))
{
	start_a(reactor, slots, own_fd, own, EPOLLET);
}

static void once(bool wait)
{
	struct epoll_event events[BATCH];
	int n = epoll_wait(host.epoll_fd, events, BATCH, wait ? -1 : 0);

	for (int i = 0; i < n; i++)
		if (!in_epoll_dispatch(host.reactor, &events[i]))
			host.own();
}

static void start_b(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void), uint32_t edge)
{
	start(reactor, own_fd, own, edge);
	CHECK_EQ(in_epoll_init(&host.in, host.epoll_fd, edge != 0, host.fds,
			       EMBED_FDS, reactor, slots, EMBED_SLOTS),
		 0);
}

static void start_level_b(struct peal_reactor *reactor, struct peal_slot *slots,
			  int own_fd, void (*own)(void))
{
	start_b(reactor, slots, own_fd, own, 0);
}

static void start_edge_b(struct peal_reactor *reactor, struct peal_slot *slots,
			 int own_fd, void (*own)(void))
{
	start_b(reactor, slots, own_fd, own, EPOLLET);
}

static void once_b(bool wait)
{
	struct epoll_event events[BATCH];
	int n = epoll_wait(host.epoll_fd, events, BATCH, wait ? -1 : 0);

	for (int i = 0; i < n; i++)
		if (!in_epoll_process(&host.in, &events[i]))
			host.own();
}

const struct embed_host embed_epoll_level = {
	.name = "epoll", .start = start_level, .once = once, .stop = stop
};
const struct embed_host embed_epoll_edge = { .name = "edge-triggered epoll",
					     .start = start_edge,
					     .once = once,
					     .stop = stop };
const struct embed_host embed_epoll_level_b = { .name = "epoll B",
						.hosted = true,
						.start = start_level_b,
						.once = once_b,
						.stop = stop };
const struct embed_host embed_epoll_edge_b = { .name = "edge-triggered epoll B",
					       .hosted = true,
					       .start = start_edge_b,
					       .once = once_b,
					       .stop = stop };
