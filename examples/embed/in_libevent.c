/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "in_libevent.h"

/* -- form A: the reactor is one fd */

static void on_reactor(evutil_socket_t fd, short what, void *user)
{
	struct in_libevent_watch *watch = user;

	(void)fd;
	(void)what;
	/* A forked child has no reactor. */
	if (peal_reactor_dispatch(watch->reactor) == -ECHILD)
		event_del(&watch->event);
}

int in_libevent_watch(struct in_libevent_watch *watch, struct event_base *base,
		      struct peal_reactor *reactor)
{
	watch->reactor = reactor;
	/* Level-triggered: no EV_ET. */
	if (event_assign(&watch->event, base, peal_reactor_fd(reactor),
			 EV_READ | EV_PERSIST, on_reactor, watch) < 0 ||
	    event_add(&watch->event, NULL) < 0)
		return -EIO;
	return 0;
}

/* -- form B: the reactor's fds are events of the base */

static void on_event(evutil_socket_t fd, short what, void *user)
{
	struct in_libevent_fd *entry = user;
	uint32_t events = 0;

	(void)fd;
	/* An error, or a hangup of both sides, is EV_READ and EV_WRITE. */
	if (what & EV_READ)
		events |= EPOLLIN;
	if (what & EV_WRITE)
		events |= EPOLLOUT;
	if (what & EV_CLOSED)
		events |= EPOLLRDHUP;
	if (peal_reactor_process(entry->in->reactor, entry->token, events) ==
	    -ECHILD)
		event_del(&entry->event);
}

static int start(struct in_libevent_fd *entry, int fd, uint32_t events,
		 uint64_t token)
{
	short what = 0;

	if (events & EPOLLPRI)
		return -EOPNOTSUPP;
	entry->token = token;
	if (events & EPOLLIN)
		what |= EV_READ;
	if (events & EPOLLOUT)
		what |= EV_WRITE;
	if (events & EPOLLRDHUP)
		what |= EV_CLOSED;
	if (what == 0)
		return 0; /* a pause */
	if (events & EPOLLET)
		what |= EV_ET;
	if (!(events & EPOLLONESHOT))
		what |= EV_PERSIST;
	if (event_assign(&entry->event, entry->in->base, fd, what, on_event,
			 entry) < 0 ||
	    event_add(&entry->event, NULL) < 0)
		return -EIO;
	return 0;
}

static int add(void *user, int fd, uint32_t events, uint64_t token)
{
	struct in_libevent *in = user;
	struct in_libevent_fd *entry;
	int ret;

	if ((size_t)fd >= in->n)
		return -EMFILE;
	entry = &in->fds[fd];
	if (entry->in)
		return -EEXIST;
	entry->in = in;
	/* So that event_del() knows it, also if it begins with a pause. */
	event_assign(&entry->event, in->base, fd, 0, on_event, entry);
	ret = start(entry, fd, events, token);
	if (ret < 0)
		entry->in = NULL;
	return ret;
}

static int modify(void *user, int fd, uint32_t events, uint64_t token)
{
	struct in_libevent *in = user;

	/* An event that is added cannot be assigned anew. One that has been
	 * seen and waits for its turn is forgotten by event_del(). */
	event_del(&in->fds[fd].event);
	return start(&in->fds[fd], fd, events, token);
}

static int remove_fd(void *user, int fd)
{
	struct in_libevent *in = user;

	in->fds[fd].in = NULL;
	return event_del(&in->fds[fd].event) < 0 ? -EIO : 0;
}

int in_libevent_init(struct in_libevent *in, struct event_base *base,
		     struct in_libevent_fd *fds, size_t n,
		     struct peal_reactor *reactor, struct peal_slot *slots,
		     size_t n_slots)
{
	struct peal_host host = {
		.add = add, .modify = modify, .remove = remove_fd, .user = in
	};

	/* Where its backend is epoll. */
	host.edge = (event_base_get_features(base) & EV_FEATURE_ET) != 0;
	*in = (struct in_libevent){
		.base = base, .fds = fds, .n = n, .reactor = reactor
	};
	memset(fds, 0, n * sizeof(*fds));
	return peal_reactor_init_hosted(reactor, slots, n_slots, &host);
}
