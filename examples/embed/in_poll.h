/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef IN_POLL_H
#define IN_POLL_H
/*
 * A reactor in a loop of poll(2). Take this and in_poll.c as they are, and one
 * of the two forms:
 *
 *	A: fds[0] = in_poll_watch(&reactor);
 *	   ... poll(fds, n, -1) ...
 *	   in_poll_dispatch(&reactor, &fds[0]);
 *
 *	B: in_poll_init(&in, &fds[4], tokens, 66, &reactor, slots, 64);
 *	   ... poll(fds, 4 + 66, -1) ...
 *	   in_poll_process(&in);
 *
 * A is the better one here: poll(2) looks at each fd at each call, and in A
 * there is one.
 */
#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include <peal/reactor.h>

/* Form A. */
struct pollfd in_poll_watch(const struct peal_reactor *reactor);
void in_poll_dispatch(struct peal_reactor *reactor, struct pollfd *pfd);

/* Form B. */
struct in_poll {
	struct pollfd *fds; /* a part of the array that is polled */
	uint64_t *tokens;   /* of each */
	size_t n;
	struct peal_reactor *reactor;
};

/*
 * @param fds     n of them, yours, polled from now on; those that are not in
 *                use have a negative fd, which poll(2) passes over
 * @param tokens  n of them, yours
 * @param n       two more than sources that have an fd
 * @return        as peal_reactor_init_hosted(); adding an fd when all are in
 *                use is -ENOSPC
 * End with peal_reactor_close().
 */
int in_poll_init(struct in_poll *in, struct pollfd *fds, uint64_t *tokens,
		 size_t n, struct peal_reactor *reactor,
		 struct peal_slot *slots, size_t n_slots);
/* Serve what the last poll(2) saw. */
void in_poll_process(struct in_poll *in);

#endif
