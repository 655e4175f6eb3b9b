/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "in_libev.h"

/* -- form A: the reactor is one fd */

static void on_reactor(struct ev_loop *ev, ev_io *io, int revents)
{
	(void)revents;
	/* A forked child has no reactor. */
	if (peal_reactor_dispatch(io->data) == -ECHILD)
		ev_io_stop(ev, io);
}

void in_libev_watch(ev_io *io, struct ev_loop *ev, struct peal_reactor *reactor)
{
	ev_io_init(io, on_reactor, peal_reactor_fd(reactor), EV_READ);
	io->data = reactor;
	ev_io_start(ev, io);
}

/* -- form B: the reactor's fds have watchers of their own */

static void on_io(struct ev_loop *ev, ev_io *io, int revents)
{
	struct in_libev *in = io->data;
	struct in_libev_fd *entry = &in->fds[io->fd];
	uint32_t events = 0;

	/* An error or a hangup is EV_READ and EV_WRITE. */
	if (revents & EV_READ)
		events |= EPOLLIN;
	if (revents & EV_WRITE)
		events |= EPOLLOUT;
	if (revents & EV_ERROR) /* it was closed first: a mistake */
		events |= EPOLLERR;
	if (peal_reactor_process(in->reactor, entry->token, events) == -ECHILD)
		ev_io_stop(ev, io);
}

static int start(struct in_libev *in, int fd, uint32_t events, uint64_t token)
{
	struct in_libev_fd *entry = &in->fds[fd];
	int what = 0;

	/* libev has no word for EPOLLPRI. EPOLLRDHUP it tells as EV_READ. */
	if (events & EPOLLPRI)
		return -EOPNOTSUPP;
	entry->token = token;
	if (events & (EPOLLIN | EPOLLRDHUP))
		what |= EV_READ;
	if (events & EPOLLOUT)
		what |= EV_WRITE;
	/* To set it anew, whatever it was, also tells libev to forget what it
	 * knew of another fd of this number. */
	ev_io_init(&entry->io, on_io, fd, what);
	entry->io.data = in;
	if (what)
		ev_io_start(in->ev, &entry->io);
	return 0;
}

static int add(void *user, int fd, uint32_t events, uint64_t token)
{
	struct in_libev *in = user;
	int ret;

	if ((size_t)fd >= in->n)
		return -EMFILE;
	if (in->fds[fd].watched)
		return -EEXIST;
	ret = start(in, fd, events, token);
	in->fds[fd].watched = ret == 0;
	return ret;
}

static int modify(void *user, int fd, uint32_t events, uint64_t token)
{
	struct in_libev *in = user;

	/* It must not be active while it is set. What it has seen and not yet
	 * told is forgotten by this. */
	ev_io_stop(in->ev, &in->fds[fd].io);
	return start(in, fd, events, token);
}

static int remove_fd(void *user, int fd)
{
	struct in_libev *in = user;

	ev_io_stop(in->ev, &in->fds[fd].io);
	in->fds[fd].watched = false;
	return 0;
}

int in_libev_init(struct in_libev *in, struct ev_loop *ev,
		  struct in_libev_fd *fds, size_t n,
		  struct peal_reactor *reactor, struct peal_slot *slots,
		  size_t n_slots)
{
	struct peal_host host = {
		.add = add, .modify = modify, .remove = remove_fd, .user = in
	};

	*in = (struct in_libev){
		.ev = ev, .fds = fds, .n = n, .reactor = reactor
	};
	memset(fds, 0, n * sizeof(*fds));
	return peal_reactor_init_hosted(reactor, slots, n_slots, &host);
}
