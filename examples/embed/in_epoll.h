/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef IN_EPOLL_H
#define IN_EPOLL_H
/*
 * A reactor in an epoll loop of your own, level- or edge-triggered. Take this
 * and in_epoll.c as they are, and one of the two forms:
 *
 *	A: in_epoll_watch(epoll_fd, &reactor);
 *	   ... epoll_wait(epoll_fd, &event, 1, -1) ...
 *	   if (!in_epoll_dispatch(&reactor, &event))
 *		   it is one of your own;
 *
 *	B: in_epoll_init(&in, epoll_fd, true, fds, 1024, &reactor, slots, 64);
 *	   ... epoll_wait(epoll_fd, events, 64, -1) ...
 *	   if (!in_epoll_process(&in, &events[i]))
 *		   it is one of your own;
 *
 * A costs one more epoll_wait(2) a wake-up; B has none, and a table. Both
 * expect that `data` of what is your own holds pointers.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include <peal/reactor.h>

/* Form A. @return 0 or -errno */
int in_epoll_watch(int epoll_fd, struct peal_reactor *reactor);
/* @return whether the event was the reactor's, which is served then */
bool in_epoll_dispatch(struct peal_reactor *reactor,
		       const struct epoll_event *event);

/* Form B: what is known of an fd. */
struct in_epoll_fd {
	uint64_t token; /* peal's */
	uint32_t uses;	/* tells events of an fd from those of the one before */
};

struct in_epoll {
	int epoll_fd;
	struct in_epoll_fd *fds; /* by the number of the fd */
	size_t n;
	struct peal_reactor *reactor;
};

/*
 * @param edge  let peal use EPOLLET, whatever you do with your own: it need not
 *              clear its doorbells then. Without, there are no edges at all.
 * @param fds   n of them, yours; n is more than any fd's number
 * @return      as peal_reactor_init_hosted(); adding an fd with a larger number
 *              is -EMFILE
 * End with peal_reactor_close().
 */
int in_epoll_init(struct in_epoll *in, int epoll_fd, bool edge,
		  struct in_epoll_fd *fds, size_t n,
		  struct peal_reactor *reactor, struct peal_slot *slots,
		  size_t n_slots);
/* @return whether the event was the reactor's, which is served then */
bool in_epoll_process(struct in_epoll *in, const struct epoll_event *event);

#endif
