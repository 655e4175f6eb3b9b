/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "in_sdevent.h"

/* -- form A: the reactor is one fd */

static int on_reactor(sd_event_source *source, int fd, uint32_t revents,
		      void *user)
{
	int ret = peal_reactor_dispatch(user);

	(void)source;
	(void)fd;
	(void)revents;
	/* After an error sd-event disables the source. It does not run in a
	 * forked child at all. */
	return ret < 0 ? ret : 0;
}

int in_sdevent_watch(sd_event_source **source, sd_event *event,
		     struct peal_reactor *reactor)
{
	return sd_event_add_io(event, source, peal_reactor_fd(reactor), EPOLLIN,
			       on_reactor, reactor);
}

/* -- form B: the reactor's fds are sources of sd-event's */

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *user)
{
	struct in_sdevent_fd *entry = user;

	(void)source;
	(void)fd;
	/* Whatever it said: the entry can be another fd's by now. */
	peal_reactor_process(entry->in->reactor, entry->token, revents);
	return 0;
}

static int add(void *user, int fd, uint32_t events, uint64_t token)
{
	struct in_sdevent *in = user;
	struct in_sdevent_fd *entry;
	int ret;

	if ((size_t)fd >= in->n)
		return -EMFILE;
	entry = &in->fds[fd];
	if (entry->source)
		return -EEXIST;
	ret = sd_event_add_io(in->event, &entry->source, fd, events, on_io,
			      entry);
	if (ret < 0)
		return ret;
	entry->in = in;
	entry->token = token;
	if (events == 0)
		sd_event_source_set_enabled(entry->source, SD_EVENT_OFF);
	return 0;
}

static int modify(void *user, int fd, uint32_t events, uint64_t token)
{
	struct in_sdevent *in = user;
	struct in_sdevent_fd *entry = &in->fds[fd];
	int ret;

	entry->token = token;
	/* With no events at all a hangup would still be told. */
	if (events == 0)
		return sd_event_source_set_enabled(entry->source, SD_EVENT_OFF);
	ret = sd_event_source_set_io_events(entry->source, events);
	if (ret < 0)
		return ret;
	return sd_event_source_set_enabled(entry->source, SD_EVENT_ON);
}

static int remove_fd(void *user, int fd)
{
	struct in_sdevent *in = user;

	/* Now, not when the last reference goes: the fd may be closed next. */
	in->fds[fd].source = sd_event_source_disable_unref(in->fds[fd].source);
	return 0;
}

int in_sdevent_init(struct in_sdevent *in, sd_event *event,
		    struct in_sdevent_fd *fds, size_t n,
		    struct peal_reactor *reactor, struct peal_slot *slots,
		    size_t n_slots)
{
	struct peal_host host = {
		.add = add, .modify = modify, .remove = remove_fd, .user = in
	};

	*in = (struct in_sdevent){
		.event = event, .fds = fds, .n = n, .reactor = reactor
	};
	memset(fds, 0, n * sizeof(*fds));
	return peal_reactor_init_hosted(reactor, slots, n_slots, &host);
}
