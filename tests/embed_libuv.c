/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "../examples/embed/in_libuv.h"
#include "embed.h"
#include "fixtures/harness.h"

#define FDS (8 * (EMBED_SLOTS + 2)) /* with many that are closing */

static struct {
	uv_loop_t uv;
	uv_poll_t own_poll, poll;
	void (*own)(void);
	struct peal_reactor *reactor;
	struct in_libuv in;
	struct in_libuv_fd fds[FDS];
} host;

static void on_own(uv_poll_t *poll, int status, int events)
{
	(void)poll;
	(void)status;
	(void)events;
	host.own();
}

static void start(struct peal_reactor *reactor, int own_fd, void (*own)(void))
{
	CHECK_EQ(uv_loop_init(&host.uv), 0);
	host.reactor = reactor;
	host.own = own;
	CHECK_EQ(uv_poll_init(&host.uv, &host.own_poll, own_fd), 0);
	CHECK_EQ(uv_poll_start(&host.own_poll, UV_READABLE, on_own), 0);
}

static void once(bool wait)
{
	uv_run(&host.uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

static void finish(void)
{
	uv_close((uv_handle_t *)&host.own_poll, NULL);
	uv_run(&host.uv, UV_RUN_DEFAULT); /* what is closing */
	CHECK_EQ(uv_loop_close(&host.uv), 0);
	uv_library_shutdown(); /* closes fds that it has for all loops */
}

static void start_a(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void))
{
	start(reactor, own_fd, own);
	CHECK_EQ(peal_reactor_init(reactor, slots, EMBED_SLOTS), 0);
	CHECK_EQ(in_libuv_watch(&host.poll, &host.uv, reactor), 0);
}

static void stop_a(void)
{
	uv_close((uv_handle_t *)&host.poll, NULL);
	peal_reactor_close(host.reactor);
	finish();
}

static void start_b(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void))
{
	start(reactor, own_fd, own);
	CHECK_EQ(in_libuv_init(&host.in, &host.uv, host.fds, FDS, reactor,
			       slots, EMBED_SLOTS),
		 0);
}

static void stop_b(void)
{
	peal_reactor_close(host.reactor);
	finish();
	for (int i = 0; i < FDS; i++)
		CHECK_EQ(host.fds[i].state, IN_LIBUV_FREE);
}

const struct embed_host embed_libuv = {
	.name = "libuv", .start = start_a, .once = once, .stop = stop_a
};
const struct embed_host embed_libuv_b = { .name = "libuv B",
					  .hosted = true,
					  .start = start_b,
					  .once = once,
					  .stop = stop_b };
