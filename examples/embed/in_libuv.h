/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef IN_LIBUV_H
#define IN_LIBUV_H
/*
 * A reactor in libuv. Take this and in_libuv.c as they are, and one of the two
 * forms:
 *
 *	A: in_libuv_watch(&poll, uv, &reactor);
 *	B: in_libuv_init(&in, uv, fds, 132, &reactor, slots, 64);
 *
 * and uv_run(uv, UV_RUN_DEFAULT) as ever.
 */
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include <peal/reactor.h>

/* Form A. End with uv_close(). @return 0 or libuv's error, which is -errno */
int in_libuv_watch(uv_poll_t *poll, uv_loop_t *uv,
		   struct peal_reactor *reactor);

enum in_libuv_state {
	IN_LIBUV_FREE,
	IN_LIBUV_WATCHED,
	IN_LIBUV_CLOSING, /* libuv's until its close callback */
};

/* Form B: what is known of an fd. */
struct in_libuv_fd {
	uv_poll_t poll;
	enum in_libuv_state state;
	int fd, events; /* libuv's */
	uint64_t token; /* peal's */
};

struct in_libuv {
	uv_loop_t *uv;
	struct in_libuv_fd *fds;
	size_t n;
	struct peal_reactor *reactor;
};

/*
 * @param fds  n of them, yours
 * @param n    two more than sources that have an fd; and as many again for
 *             those that are closing, if sources come and go
 * @return     as peal_reactor_init_hosted(); adding an fd when all are in use
 *             is -ENOSPC
 * End with peal_reactor_close(), and keep the memory until the loop has run
 * the close callbacks: when uv_loop_close() is not UV_EBUSY it is yours again.
 */
int in_libuv_init(struct in_libuv *in, uv_loop_t *uv, struct in_libuv_fd *fds,
		  size_t n, struct peal_reactor *reactor,
		  struct peal_slot *slots, size_t n_slots);

#endif
