/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <glib-unix.h>

#include "../examples/embed/in_glib.h"
#include "embed.h"
#include "fixtures/harness.h"

#define FDS (EMBED_SLOTS + 2)

static struct {
	GMainContext *context;
	GSource *own_source, *source;
	void (*own)(void);
	struct peal_reactor *reactor;
	struct in_glib in;
	struct in_glib_fd fds[FDS];
} host;

static gboolean on_own(gint fd, GIOCondition condition, gpointer user)
{
	(void)fd;
	(void)condition;
	(void)user;
	host.own();
	return G_SOURCE_CONTINUE;
}

static void start(struct peal_reactor *reactor, int own_fd, void (*own)(void))
{
	host.context = g_main_context_new();
	host.reactor = reactor;
	host.own = own;
	host.own_source = g_unix_fd_source_new(own_fd, G_IO_IN);
	g_source_set_callback(host.own_source, G_SOURCE_FUNC(on_own), NULL,
			      NULL);
	g_source_attach(host.own_source, host.context);
}

static void once(bool wait)
{
	g_main_context_iteration(host.context, wait);
}

static void drop(GSource *source)
{
	g_source_destroy(source);
	g_source_unref(source);
}

static void finish(void)
{
	drop(host.own_source);
	g_main_context_unref(host.context);
}

static void start_a(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void))
{
	start(reactor, own_fd, own);
	CHECK_EQ(peal_reactor_init(reactor, slots, EMBED_SLOTS), 0);
	host.source = in_glib_watch(host.context, reactor);
}

static void stop_a(void)
{
	drop(host.source);
	peal_reactor_close(host.reactor);
	finish();
}

static void start_b(struct peal_reactor *reactor, struct peal_slot *slots,
		    int own_fd, void (*own)(void))
{
	start(reactor, own_fd, own);
	CHECK_EQ(in_glib_init(&host.in, host.context, host.fds, FDS, reactor,
			      slots, EMBED_SLOTS),
		 0);
}

static void stop_b(void)
{
	in_glib_finish(&host.in);
	finish();
}

const struct embed_host embed_glib = {
	.name = "GLib", .start = start_a, .once = once, .stop = stop_a
};
const struct embed_host embed_glib_b = { .name = "GLib B",
					 .hosted = true,
					 .start = start_b,
					 .once = once,
					 .stop = stop_b };
