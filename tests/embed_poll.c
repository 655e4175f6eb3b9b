/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "../examples/embed/in_poll.h"
#include "embed.h"
#include "fixtures/harness.h"

#define FDS (EMBED_SLOTS + 2)

static struct {
	struct pollfd fds[1 + FDS]; /* the loop's own, and the reactor's */
	uint64_t tokens[FDS];
	struct in_poll in;
	void (*own)(void);
	struct peal_reactor *reactor;
} host;

static void start(struct peal_reactor *reactor, int own_fd, void (*own)(void))
{
	host.own = own;
	host.reactor = reactor;
	host.fds[0] = (struct pollfd){ .fd = own_fd, .events = POLLIN };
}

static void stop(void)
{
	peal_reactor_close(host.reactor);
}

static void start_a(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void))
{
	start(reactor, own_fd, own);
	CHECK_EQ(peal_reactor_init(reactor, slots, EMBED_SLOTS), 0);
	host.fds[1] = in_poll_watch(reactor);
}

static void once_a(bool wait)
{
	CHECK(poll(host.fds, 2, wait ? -1 : 0) >= 0);
	in_poll_dispatch(host.reactor, &host.fds[1]);
	if (host.fds[0].revents)
		host.own();
}

static void start_b(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void))
{
	start(reactor, own_fd, own);
	CHECK_EQ(in_poll_init(&host.in, &host.fds[1], host.tokens, FDS, reactor,
			      slots, EMBED_SLOTS),
		 0);
}

static void once_b(bool wait)
{
	CHECK(poll(host.fds, 1 + FDS, wait ? -1 : 0) >= 0);
	in_poll_process(&host.in);
	if (host.fds[0].revents)
		host.own();
}

const struct embed_host embed_poll = {
	.name = "poll", .start = start_a, .once = once_a, .stop = stop
};
const struct embed_host embed_poll_b = { .name = "poll B",
					 .hosted = true,
					 .start = start_b,
					 .once = once_b,
					 .stop = stop };
