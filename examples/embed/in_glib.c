/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include "in_glib.h"

_Static_assert(
	EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLPRI == POLLPRI &&
		EPOLLERR == POLLERR && EPOLLHUP == POLLHUP,
	"GLib's conditions are poll's, and those are epoll's, so nothing "
	"is translated here");

/* -- form A: the reactor is one fd */

static gboolean on_reactor(gint fd, GIOCondition condition, gpointer user)
{
	(void)fd;
	(void)condition;
	/* A forked child has no reactor. */
	return peal_reactor_dispatch(user) == -ECHILD ? G_SOURCE_REMOVE
						      : G_SOURCE_CONTINUE;
}

GSource *in_glib_watch(GMainContext *context, struct peal_reactor *reactor)
{
	GSource *source = g_unix_fd_source_new(peal_reactor_fd(reactor),
					       G_IO_IN);

	g_source_set_callback(source, G_SOURCE_FUNC(on_reactor), reactor, NULL);
	g_source_attach(source, context);
	return source;
}

/* -- form B: the reactor's fds belong to a source */

struct in_glib_source {
	GSource base;
	struct in_glib *in;
};

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer user)
{
	struct in_glib *in = ((struct in_glib_source *)source)->in;

	(void)callback;
	(void)user;
	for (size_t i = 0; i < in->n; i++) {
		struct in_glib_fd *entry = &in->fds[i];
		GIOCondition seen;

		/* Look only now: it may have gone, or be another, since. What
		 * was added since has seen nothing. */
		if (!entry->tag)
			continue;
		seen = g_source_query_unix_fd(source, entry->tag);
		if (seen && peal_reactor_process(in->reactor, entry->token,
						 seen) == -ECHILD)
			return G_SOURCE_REMOVE;
	}
	return G_SOURCE_CONTINUE;
}

static struct in_glib_fd *find(struct in_glib *in, int fd)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->fds[i].fd == fd)
			return &in->fds[i];
	return NULL;
}

static void set(struct in_glib *in, struct in_glib_fd *entry, uint32_t events,
		uint64_t token)
{
	entry->token = token;
	if (entry->tag && events) {
		g_source_modify_unix_fd(in->source, entry->tag,
					(GIOCondition)events);
		return;
	}
	/* With no events at all a hangup would still be told. */
	if (entry->tag)
		g_source_remove_unix_fd(in->source, entry->tag);
	entry->tag = NULL;
	if (events)
		entry->tag = g_source_add_unix_fd(in->source, entry->fd,
						  (GIOCondition)events);
}

static int add(void *user, int fd, uint32_t events, uint64_t token)
{
	struct in_glib *in = user;
	struct in_glib_fd *entry = find(in, -1);

	if (find(in, fd))
		return -EEXIST;
	if (!entry)
		return -ENOSPC;
	entry->fd = fd;
	set(in, entry, events, token);
	return 0;
}

static int modify(void *user, int fd, uint32_t events, uint64_t token)
{
	struct in_glib_fd *entry = find(user, fd);

	if (!entry)
		return -ENOENT;
	set(user, entry, events, token);
	return 0;
}

static int remove_fd(void *user, int fd)
{
	struct in_glib_fd *entry = find(user, fd);

	if (!entry)
		return -ENOENT;
	set(user, entry, 0, 0);
	entry->fd = -1;
	return 0;
}

static void drop(struct in_glib *in)
{
	g_source_destroy(in->source);
	g_source_unref(in->source);
}

int in_glib_init(struct in_glib *in, GMainContext *context,
		 struct in_glib_fd *fds, size_t n, struct peal_reactor *reactor,
		 struct peal_slot *slots, size_t n_slots)
{
	/* With no prepare and no check it is dispatched when an fd is ready. */
	static GSourceFuncs funcs = { .dispatch = dispatch };
	struct peal_host host = {
		.add = add, .modify = modify, .remove = remove_fd, .user = in
	};
	int ret;

	*in = (struct in_glib){
		.source = g_source_new(&funcs, sizeof(struct in_glib_source)),
		.fds = fds,
		.n = n,
		.reactor = reactor,
	};
	((struct in_glib_source *)in->source)->in = in;
	for (size_t i = 0; i < n; i++)
		fds[i] = (struct in_glib_fd){ .fd = -1 };
	g_source_attach(in->source, context);
	ret = peal_reactor_init_hosted(reactor, slots, n_slots, &host);
	if (ret < 0)
		drop(in);
	return ret;
}

void in_glib_finish(struct in_glib *in)
{
	peal_reactor_close(in->reactor);
	drop(in);
}
