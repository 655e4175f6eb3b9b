/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_EMBED_H
#define PEAL_TESTS_EMBED_H
/* Loops that are not ours, seen by the one test that all of them must pass. */
#include <peal/peal.h>

#define EMBED_SLOTS 32
#define EMBED_FDS 256 /* for tables by the number of an fd */

struct embed_host {
	const char *name;    /* the loop's, " B" behind it for that form */
	const char *missing; /* why it is not tested here, or NULL */
	bool hosted;	     /* form B */
	/*
	 * Make a loop with a reactor in it, and with an fd of its own, for
	 * which it calls own() when that is readable.
	 */
	void (*start)(struct peal_reactor *reactor, struct peal_slot *slots,
		      int own_fd, void (*own)(void));
	/* One iteration, which waits for ever or not at all. */
	void (*once)(bool wait);
	/* Finish the reactor, and the loop. */
	void (*stop)(void);
};

extern const struct embed_host embed_epoll_level, embed_epoll_level_b,
	embed_epoll_edge, embed_epoll_edge_b, embed_poll, embed_poll_b,
	embed_libevent, embed_libevent_b, embed_libevent_poll_b, embed_libev,
	embed_libev_b, embed_libuv, embed_libuv_b, embed_sdevent,
	embed_sdevent_b, embed_glib, embed_glib_b;

#endif
