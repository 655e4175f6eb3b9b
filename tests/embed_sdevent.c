/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <sys/epoll.h>

#include "../examples/embed/in_sdevent.h"
#include "embed.h"
#include "fixtures/harness.h"

static struct {
	sd_event *event;
	sd_event_source *own_source, *source;
	void (*own)(void);
	struct peal_reactor *reactor;
	struct in_sdevent in;
	struct in_sdevent_fd fds[EMBED_FDS];
} host;

static int on_own(sd_event_source *source, int fd, uint32_t revents, void *user)
{
	(void)source;
	(void)fd;
	(void)revents;
	(void)user;
	host.own();
	return 0;
}

static void start(struct peal_reactor *reactor, int own_fd, void (*own)(void))
{
	CHECK(sd_event_new(&host.event) >= 0);
	host.reactor = reactor;
	host.own = own;
	CHECK(sd_event_add_io(host.event, &host.own_source, own_fd, EPOLLIN,
			      on_own, NULL) >= 0);
}

static void once(bool wait)
{
	CHECK(sd_event_run(host.event, wait ? UINT64_MAX : 0) >= 0);
}

static void finish(void)
{
	peal_reactor_close(host.reactor);
	sd_event_source_disable_unref(host.own_source);
	sd_event_unref(host.event);
}

static void start_a(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void))
{
	start(reactor, own_fd, own);
	CHECK_EQ(peal_reactor_init(reactor, slots, EMBED_SLOTS), 0);
	CHECK(in_sdevent_watch(&host.source, host.event, reactor) >= 0);
}

static void stop_a(void)
{
	sd_event_source_disable_unref(host.source);
	finish();
}

static void start_b(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void))
{
	start(reactor, own_fd, own);
	CHECK_EQ(in_sdevent_init(&host.in, host.event, host.fds, EMBED_FDS,
				 reactor, slots, EMBED_SLOTS),
		 0);
}

const struct embed_host embed_sdevent = {
	.name = "sd-event", .start = start_a, .once = once, .stop = stop_a
};
const struct embed_host embed_sdevent_b = { .name = "sd-event B",
					    .hosted = true,
					    .start = start_b,
					    .once = once,
					    .stop = finish };
