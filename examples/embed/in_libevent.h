/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef IN_LIBEVENT_H
#define IN_LIBEVENT_H
/*
 * A reactor in libevent. Take this and in_libevent.c as they are, and one of
 * the two forms:
 *
 *	A: in_libevent_watch(&watch, base, &reactor);
 *	B: in_libevent_init(&in, base, fds, 1024, &reactor, slots, 64);
 *
 * and event_base_dispatch(base) as ever.
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stddef.h>
#include <stdint.h>

#include <peal/reactor.h>

/* Form A: what the event needs to find. End with event_del(&watch.event). */
struct in_libevent_watch {
	struct event event;
	struct peal_reactor *reactor;
};

/* @return 0, or -EIO where libevent says no more than that it failed */
int in_libevent_watch(struct in_libevent_watch *watch, struct event_base *base,
		      struct peal_reactor *reactor);

/* Form B: what is known of an fd. */
struct in_libevent_fd {
	struct event event;
	struct in_libevent *in; /* NULL: it is not watched */
	uint64_t token;		/* peal's */
};

struct in_libevent {
	struct event_base *base;
	struct in_libevent_fd *fds; /* by the number of the fd */
	size_t n;
	struct peal_reactor *reactor;
};

/*
 * @param fds  n of them, yours; n is more than any fd's number
 * @return     as peal_reactor_init_hosted(); adding an fd with a larger number
 *             is -EMFILE
 * End with peal_reactor_close(), before event_base_free().
 */
int in_libevent_init(struct in_libevent *in, struct event_base *base,
		     struct in_libevent_fd *fds, size_t n,
		     struct peal_reactor *reactor, struct peal_slot *slots,
		     size_t n_slots);

#endif
