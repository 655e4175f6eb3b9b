/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef IN_LIBEV_H
#define IN_LIBEV_H
/*
 * A reactor in libev. Take this and in_libev.c as they are, and one of the two
 * forms:
 *
 *	A: in_libev_watch(&io, ev, &reactor);
 *	B: in_libev_init(&in, ev, fds, 1024, &reactor, slots, 64);
 *
 * and ev_run(ev, 0) as ever.
 */
#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <peal/reactor.h>

/* Form A. End with ev_io_stop(). */
void in_libev_watch(ev_io *io, struct ev_loop *ev,
		    struct peal_reactor *reactor);

/* Form B: what is known of an fd. */
struct in_libev_fd {
	ev_io io;
	bool watched;
	uint64_t token; /* peal's */
};

struct in_libev {
	struct ev_loop *ev;
	struct in_libev_fd *fds; /* by the number of the fd */
	size_t n;
	struct peal_reactor *reactor;
};

/*
 * @param fds  n of them, yours; n is more than any fd's number
 * @return     as peal_reactor_init_hosted(); adding an fd with a larger number
 *             is -EMFILE
 * End with peal_reactor_close(), before ev_loop_destroy().
 */
int in_libev_init(struct in_libev *in, struct ev_loop *ev,
		  struct in_libev_fd *fds, size_t n,
		  struct peal_reactor *reactor, struct peal_slot *slots,
		  size_t n_slots);

#endif
