/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "in_epoll.h"

/* -- form A: the reactor is one fd */

int in_epoll_watch(int epoll_fd, struct peal_reactor *reactor)
{
	/* Never EPOLLET, not even where all the others are: an edge is told
	 * once, and a dispatch serves one round, not all that there is. The
	 * rest is told by the fd, which is readable as long as there is any. */
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = reactor };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, peal_reactor_fd(reactor),
		      &event) < 0)
		return -errno;
	return 0;
}

bool in_epoll_dispatch(struct peal_reactor *reactor,
		       const struct epoll_event *event)
{
	if (event->data.ptr != reactor)
		return false;
	/* It fails in a forked child alone, which shares its epoll set with
	 * the parent, and has to make one of its own anyway. */
	peal_reactor_dispatch(reactor);
	return true;
}

/* -- form B: the reactor's fds stand in the epoll set */

/*
 * What epoll gives back for peal is odd, and so no pointer. It is not the
 * token, which could be any number, but says where that is kept.
 */
static uint64_t data_of(int fd, uint32_t uses)
{
	return (uint64_t)uses << 32 | (uint64_t)fd << 1 | 1;
}

static int control(struct in_epoll *in, int op, int fd, uint32_t events,
		   uint64_t token)
{
	struct in_epoll_fd *entry;
	/* With no events at all a hangup would still be told, again and
	 * again; so it is once. */
	struct epoll_event event = { .events = events ? events : EPOLLONESHOT };

	if ((size_t)fd >= in->n)
		return -EMFILE;
	entry = &in->fds[fd];
	event.data.u64 = data_of(fd, entry->uses + 1);
	if (epoll_ctl(in->epoll_fd, op, fd, &event) < 0)
		return -errno;
	entry->uses++;
	entry->token = token;
	return 0;
}

static int add(void *user, int fd, uint32_t events, uint64_t token)
{
	return control(user, EPOLL_CTL_ADD, fd, events, token);
}

static int modify(void *user, int fd, uint32_t events, uint64_t token)
{
	return control(user, EPOLL_CTL_MOD, fd, events, token);
}

static int remove_fd(void *user, int fd)
{
	struct in_epoll *in = user;

	/* Events of it may be left in the batch that the loop works on. */
	in->fds[fd].uses++;
	if (epoll_ctl(in->epoll_fd, EPOLL_CTL_DEL, fd, NULL) < 0)
		return -errno;
	return 0;
}

int in_epoll_init(struct in_epoll *in, int epoll_fd, bool edge,
		  struct in_epoll_fd *fds, size_t n,
		  struct peal_reactor *reactor, struct peal_slot *slots,
		  size_t n_slots)
{
	struct peal_host host = { .add = add,
				  .modify = modify,
				  .remove = remove_fd,
				  .user = in,
				  .edge = edge };

	*in = (struct in_epoll){
		.epoll_fd = epoll_fd, .fds = fds, .n = n, .reactor = reactor
	};
	memset(fds, 0, n * sizeof(*fds));
	return peal_reactor_init_hosted(reactor, slots, n_slots, &host);
}

bool in_epoll_process(struct in_epoll *in, const struct epoll_event *event)
{
	uint32_t number = (uint32_t)event->data.u64 >> 1;
	const struct in_epoll_fd *entry = &in->fds[number];

	if (!(event->data.u64 & 1))
		return false;
	if (event->data.u64 >> 32 == entry->uses)
		peal_reactor_process(in->reactor, entry->token, event->events);
	return true;
}
