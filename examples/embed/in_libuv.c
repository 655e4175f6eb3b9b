/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "in_libuv.h"

/* -- form A: the reactor is one fd */

static void on_reactor(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	/* A forked child has no reactor. */
	if (peal_reactor_dispatch(poll->data) == -ECHILD)
		uv_poll_stop(poll);
}

int in_libuv_watch(uv_poll_t *poll, uv_loop_t *uv, struct peal_reactor *reactor)
{
	int ret = uv_poll_init(uv, poll, peal_reactor_fd(reactor));

	if (ret < 0)
		return ret;
	poll->data = reactor;
	return uv_poll_start(poll, UV_READABLE, on_reactor);
}

/* -- form B: the reactor's fds have handles of their own */

static void on_poll(uv_poll_t *poll, int status, int seen)
{
	struct in_libuv_fd *entry = (struct in_libuv_fd *)poll;
	struct in_libuv *in = poll->data;
	uint32_t events = 0;

	if (status < 0) {
		/* EPOLLERR: libuv has stopped the handle. Only peal knows
		 * whether it is to go on, and it can stop it itself. */
		events |= EPOLLERR;
		uv_poll_start(poll, entry->events, on_poll);
	}
	if (seen & UV_READABLE) /* so is a hangup */
		events |= EPOLLIN;
	if (seen & UV_WRITABLE)
		events |= EPOLLOUT;
	if (seen & UV_DISCONNECT)
		events |= EPOLLRDHUP;
	if (seen & UV_PRIORITIZED)
		events |= EPOLLPRI;
	if (peal_reactor_process(in->reactor, entry->token, events) == -ECHILD)
		uv_poll_stop(poll);
}

static int start(struct in_libuv_fd *entry, uint32_t events, uint64_t token)
{
	entry->token = token;
	entry->events = 0;
	if (events & EPOLLIN)
		entry->events |= UV_READABLE;
	if (events & EPOLLOUT)
		entry->events |= UV_WRITABLE;
	if (events & EPOLLRDHUP)
		entry->events |= UV_DISCONNECT;
	if (events & EPOLLPRI)
		entry->events |= UV_PRIORITIZED;
	/* No events: it is stopped. */
	return uv_poll_start(&entry->poll, entry->events, on_poll);
}

static void on_close(uv_handle_t *handle)
{
	((struct in_libuv_fd *)handle)->state = IN_LIBUV_FREE;
}

static void stop(struct in_libuv_fd *entry)
{
	/* It is not watched any more when this returns, and the fd may be
	 * closed; but the handle stays libuv's for a while. */
	entry->state = IN_LIBUV_CLOSING;
	uv_close((uv_handle_t *)&entry->poll, on_close);
}

static struct in_libuv_fd *find(struct in_libuv *in, int fd)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->fds[i].state == IN_LIBUV_WATCHED && in->fds[i].fd == fd)
			return &in->fds[i];
	return NULL;
}

static struct in_libuv_fd *find_free(struct in_libuv *in)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->fds[i].state == IN_LIBUV_FREE)
			return &in->fds[i];
	return NULL;
}

static int add(void *user, int fd, uint32_t events, uint64_t token)
{
	struct in_libuv *in = user;
	struct in_libuv_fd *entry = find_free(in);
	int ret;

	if (!entry)
		return -ENOSPC;
	ret = uv_poll_init(in->uv, &entry->poll, fd);
	if (ret < 0)
		return ret;
	entry->poll.data = in;
	entry->fd = fd;
	entry->state = IN_LIBUV_WATCHED;
	ret = start(entry, events, token);
	if (ret < 0)
		stop(entry);
	return ret;
}

static int modify(void *user, int fd, uint32_t events, uint64_t token)
{
	struct in_libuv_fd *entry = find(user, fd);

	return entry ? start(entry, events, token) : -ENOENT;
}

static int remove_fd(void *user, int fd)
{
	struct in_libuv_fd *entry = find(user, fd);

	if (!entry)
		return -ENOENT;
	stop(entry);
	return 0;
}

int in_libuv_init(struct in_libuv *in, uv_loop_t *uv, struct in_libuv_fd *fds,
		  size_t n, struct peal_reactor *reactor,
		  struct peal_slot *slots, size_t n_slots)
{
	struct peal_host host = {
		.add = add, .modify = modify, .remove = remove_fd, .user = in
	};

	*in = (struct in_libuv){
		.uv = uv, .fds = fds, .n = n, .reactor = reactor
	};
	memset(fds, 0, n * sizeof(*fds));
	return peal_reactor_init_hosted(reactor, slots, n_slots, &host);
}
