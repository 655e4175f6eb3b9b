/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "../examples/embed/in_libev.h"
#include "embed.h"
#include "fixtures/harness.h"

static struct {
	struct ev_loop *ev;
	ev_io own_io, io;
	void (*own)(void);
	struct peal_reactor *reactor;
	struct in_libev in;
	struct in_libev_fd fds[EMBED_FDS];
} host;

static void on_own(struct ev_loop *ev, ev_io *io, int revents)
{
	(void)ev;
	(void)io;
	(void)revents;
	host.own();
}

static void start(struct peal_reactor *reactor, int own_fd, void (*own)(void))
{
	host.ev = ev_loop_new(EVFLAG_AUTO);
	CHECK(host.ev != NULL);
	host.reactor = reactor;
	host.own = own;
	ev_io_init(&host.own_io, on_own, own_fd, EV_READ);
	ev_io_start(host.ev, &host.own_io);
}

static void once(bool wait)
{
	ev_run(host.ev, wait ? EVRUN_ONCE : EVRUN_NOWAIT);
}

static void start_a(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void))
{
	start(reactor, own_fd, own);
	CHECK_EQ(peal_reactor_init(reactor, slots, EMBED_SLOTS), 0);
	in_libev_watch(&host.io, host.ev, reactor);
}

static void stop_a(void)
{
	ev_io_stop(host.ev, &host.io);
	peal_reactor_close(host.reactor);
	ev_loop_destroy(host.ev);
}

static void start_b(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void))
{
	start(reactor, own_fd, own);
	CHECK_EQ(in_libev_init(&host.in, host.ev, host.fds, EMBED_FDS, reactor,
			       slots, EMBED_SLOTS),
		 0);
}

static void stop_b(void)
{
	peal_reactor_close(host.reactor);
	ev_loop_destroy(host.ev);
}

const struct embed_host embed_libev = {
	.name = "libev", .start = start_a, .once = once, .stop = stop_a
};
const struct embed_host embed_libev_b = { .name = "libev B",
					  .hosted = true,
					  .start = start_b,
					  .once = once,
					  .stop = stop_b };
