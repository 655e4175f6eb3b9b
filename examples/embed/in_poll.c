/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <sys/epoll.h>

#include "in_poll.h"

_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT &&
		       EPOLLPRI == POLLPRI && EPOLLERR == POLLERR &&
		       EPOLLHUP == POLLHUP,
	       "epoll's events are poll's, so nothing is translated here");

/* -- form A: the reactor is one fd */

struct pollfd in_poll_watch(const struct peal_reactor *reactor)
{
	return (struct pollfd){ .fd = peal_reactor_fd(reactor),
				.events = POLLIN };
}

void in_poll_dispatch(struct peal_reactor *reactor, struct pollfd *pfd)
{
	if (pfd->revents == 0)
		return;
	/* A forked child has no reactor. */
	if (peal_reactor_dispatch(reactor) == -ECHILD)
		pfd->fd = -1;
}

/* -- form B: the reactor's fds are polled beside the loop's own */

#define UNUSED (-1)

/* One that is not polled for now; 0 is an fd as well. */
static int paused(int fd)
{
	return UNUSED - 1 - fd;
}

static struct pollfd *find(struct in_poll *in, int fd)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->fds[i].fd == fd || in->fds[i].fd == paused(fd))
			return &in->fds[i];
	return NULL;
}

static int set(struct in_poll *in, struct pollfd *pfd, int fd, uint32_t events,
	       uint64_t token)
{
	/* With no events at all poll(2) would still report POLLHUP. What was
	 * seen for whatever stood here before is forgotten. */
	*pfd = (struct pollfd){ .fd = events ? fd : paused(fd),
				.events = (short)events };
	in->tokens[pfd - in->fds] = token;
	return 0;
}

static int add(void *user, int fd, uint32_t events, uint64_t token)
{
	struct in_poll *in = user;

	if (find(in, fd))
		return -EEXIST;
	for (size_t i = 0; i < in->n; i++)
		if (in->fds[i].fd == UNUSED)
			return set(in, &in->fds[i], fd, events, token);
	return -ENOSPC;
}

static int modify(void *user, int fd, uint32_t events, uint64_t token)
{
	struct in_poll *in = user;
	struct pollfd *pfd = find(in, fd);

	return pfd ? set(in, pfd, fd, events, token) : -ENOENT;
}

static int remove_fd(void *user, int fd)
{
	struct in_poll *in = user;
	struct pollfd *pfd = find(in, fd);

	if (!pfd)
		return -ENOENT;
	*pfd = (struct pollfd){ .fd = UNUSED };
	return 0;
}

int in_poll_init(struct in_poll *in, struct pollfd *fds, uint64_t *tokens,
		 size_t n, struct peal_reactor *reactor,
		 struct peal_slot *slots, size_t n_slots)
{
	struct peal_host host = {
		.add = add, .modify = modify, .remove = remove_fd, .user = in
	};

	*in = (struct in_poll){
		.fds = fds, .tokens = tokens, .n = n, .reactor = reactor
	};
	for (size_t i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = UNUSED };
	return peal_reactor_init_hosted(reactor, slots, n_slots, &host);
}

void in_poll_process(struct in_poll *in)
{
	for (size_t i = 0; i < in->n; i++) {
		uint32_t events = (uint16_t)in->fds[i].revents;

		in->fds[i].revents = 0;
		if (events & POLLNVAL) /* it was closed first: a mistake */
			in->fds[i].fd = paused(in->fds[i].fd);
		else if (events)
			peal_reactor_process(in->reactor, in->tokens[i],
					     events);
	}
}
