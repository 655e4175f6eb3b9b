/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_DOORBELL_H
#define PEAL_DOORBELL_H
/**
 * @file
 * Doorbells: a pair of file descriptors, one to wait on and one to ring.
 *
 * A ring has two doorbells. The sender rings the data bell for a receiver that
 * waits for items. The receiver rings the space bell for a sender that waits
 * for room. The calls of ring.h ring these bells by themselves. A program needs
 * this header to make bells, to hand bells over, or to wait on bells in a loop
 * of its own.
 *
 *	struct peal_doorbell bell;
 *
 *	peal_doorbell_init(&bell, PEAL_DOORBELL_EVENTFD);
 *	peal_doorbell_ring(&bell);			// one thread
 *	if (peal_doorbell_wait(&bell, 1000) == 0)	// another, at most 1 s
 *		peal_doorbell_clear(&bell);
 *	peal_doorbell_close(&bell);
 *
 * Caveats: a doorbell says "look again", never how often the bell was rung. A
 * peer that shares an eventfd or a pipe can clear O_NONBLOCK on the fd, and
 * fill the fd up. Then a ring blocks. So use sockets among strangers.
 *
 * Threads can share a doorbell, because no call but close changes a doorbell
 * that was made.
 */
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct peal_group;

/** What a doorbell is made of. */
enum peal_doorbell_kind {
	PEAL_DOORBELL_NONE,    /**< no bell: the side polls. All zero. */
	PEAL_DOORBELL_EVENTFD, /**< one fd for both ends; the fastest */
	PEAL_DOORBELL_SOCKET,  /**< brought by the caller; never blocks */
	PEAL_DOORBELL_PIPE,    /**< two fds */
	PEAL_DOORBELL_GROUP,   /**< one of many, see group.h */
};

/** A doorbell. All zero is PEAL_DOORBELL_NONE. */
struct peal_doorbell {
	int wait_fd;		      /* ro: readable when it was rung */
	int ring_fd;		      /* ro: written to ring it */
	enum peal_doorbell_kind kind; /* ro */
	unsigned owned;		      /* private: close() closes both fds */
	unsigned drain_every;	      /* private: cleared after so many arms */
	uint32_t index;		      /* private: in the group */
	struct peal_group *group;     /* private */
};

/**
 * Make a doorbell.
 * @param bell  filled in on success, untouched on failure
 * @param kind  PEAL_DOORBELL_EVENTFD or PEAL_DOORBELL_PIPE
 * @return      0, -EINVAL another kind, -EMFILE, -ENFILE or -ENOMEM
 * Its fds are non-blocking and close-on-exec, and belong to bell.
 */
int peal_doorbell_init(struct peal_doorbell *bell,
		       enum peal_doorbell_kind kind);

/**
 * Use fds of the caller: an eventfd, the ends of a pipe, or a socket.
 * @param bell     filled in on success, untouched on failure
 * @param kind     what the fds are
 * @param wait_fd  to wait on, or -1 on the side that only rings
 * @param ring_fd  to ring, or -1 on the side that only waits
 * @return         0, -EINVAL another kind or two times -1, -EBADF no such fd,
 *                 -EBADMSG an fd of another kind, or an eventfd or a pipe
 *                 without O_NONBLOCK: set it, with fcntl(F_SETFL)
 * The fds stay the caller's, who keeps them open as long as the bell is in use.
 */
int peal_doorbell_borrow(struct peal_doorbell *bell,
			 enum peal_doorbell_kind kind, int wait_fd,
			 int ring_fd);

/** Close the fds that belong to bell. bell is PEAL_DOORBELL_NONE then. */
void peal_doorbell_close(struct peal_doorbell *bell);

/**
 * Ring a doorbell. To ring a bell that was rung already is not an error.
 * @return  0, or the error of write(2) or send(2): -EPIPE the side that waits
 *          has closed its fd (no SIGPIPE is raised), -EBADF no such fd
 * One system call for an eventfd or a socket. Safe in signal handlers, but for
 * a pipe.
 */
int peal_doorbell_ring(const struct peal_doorbell *bell);

/**
 * Clear a doorbell: take back all rings up to now. Of a socket this call takes
 * back as many rings as can be read in a millisecond. Never blocks, even if a
 * peer has cleared O_NONBLOCK on an eventfd that is shared.
 * @return  1 the bell was rung, 0 the bell was not rung, -EPIPE the side that
 *          rings has closed its fd, -EPROTO a socket's packet brought fds,
 *          which are dropped, or another error of read(2)
 */
int peal_doorbell_clear(const struct peal_doorbell *bell);

/**
 * Sleep until a doorbell is rung. The bell stays rung.
 * @param timeout_ms  milliseconds of CLOCK_MONOTONIC, -1 for ever, 0 to look
 * @return            0 the bell was rung, -ETIMEDOUT the time is over, -EINVAL
 *                    the bell has no fd to wait on, or another error of
 *                    ppoll(2)
 * Signals do not end the wait.
 */
int peal_doorbell_wait(const struct peal_doorbell *bell, int timeout_ms);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
