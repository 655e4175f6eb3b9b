/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "../examples/embed/in_libevent.h"
#include "embed.h"
#include "fixtures/harness.h"

static struct {
	struct event_base *base;
	struct event own_event;
	void (*own)(void);
	struct peal_reactor *reactor;
	struct in_libevent_watch watch;
	struct in_libevent in;
	struct in_libevent_fd fds[EMBED_FDS];
} host;

static void on_own(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	(void)user;
	host.own();
}

static void start(struct event_base *base, struct peal_reactor *reactor,
		  int own_fd, void (*own)(void))
{
	CHECK(base != NULL);
	host.base = base;
	host.reactor = reactor;
	host.own = own;
	CHECK_EQ(event_assign(&host.own_event, base, own_fd,
			      EV_READ | EV_PERSIST, on_own, NULL),
		 0);
	CHECK_EQ(event_add(&host.own_event, NULL), 0);
}

static void finish(void)
{
	event_del(&host.own_event);
	event_base_free(host.base);
	libevent_global_shutdown();
}

static void once(bool wait)
{
	CHECK(event_base_loop(host.base,
			      EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK)) >= 0);
}

static void start_a(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void))
{
	start(event_base_new(), reactor, own_fd, own);
	CHECK_EQ(peal_reactor_init(reactor, slots, EMBED_SLOTS), 0);
	CHECK_EQ(in_libevent_watch(&host.watch, host.base, reactor), 0);
}

static void stop_a(void)
{
	event_del(&host.watch.event);
	peal_reactor_close(host.reactor);
	finish();
}

static void start_in(struct event_base *base, struct peal_reactor *reactor,
		     struct peal_slot *slots, int own_fd, void (*own)(void))
{
	start(base, reactor, own_fd, own);
	CHECK_EQ(in_libevent_init(&host.in, base, host.fds, EMBED_FDS, reactor,
				  slots, EMBED_SLOTS),
		 0);
}

static void start_b(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void))
{
	start_in(event_base_new(), reactor, slots, own_fd, own);
}

/* It has no edges, as on other systems. */
static void start_poll_b(struct peal_reactor *reactor, struct peal_slot *slots,
			 int own_fd, void (*own)(void))
{
	struct event_config *config = event_config_new();

	CHECK(config != NULL);
	CHECK_EQ(event_config_avoid_method(config, "epoll"), 0);
	start_in(event_base_new_with_config(config), reactor, slots, own_fd,
		 own);
	event_config_free(config);
	CHECK(!(event_base_get_features(host.base) & EV_FEATURE_ET));
}

static void stop_b(void)
{
	peal_reactor_close(host.reactor);
	finish();
}

const struct embed_host embed_libevent = {
	.name = "libevent", .start = start_a, .once = once, .stop = stop_a
};
const struct embed_host embed_libevent_b = { .name = "libevent B",
					     .hosted = true,
					     .start = start_b,
					     .once = once,
					     .stop = stop_b };
const struct embed_host embed_libevent_poll_b = { .name = "libevent on poll B",
						  .hosted = true,
						  .start = start_poll_b,
						  .once = once,
						  .stop = stop_b };
