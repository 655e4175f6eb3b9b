/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_SOURCES_H
#define PEAL_SOURCES_H
/**
 * @file
 * What a reactor watches besides rings: fds, timers, signals, children, calls
 * and messages from other threads.
 *
 *	static void on_term(struct peal_source *source,
 *			    const struct signalfd_siginfo *info, void *user)
 *	{
 *		peal_reactor_stop(user);
 *	}
 *
 *	struct peal_source term = { 0 };
 *
 *	peal_reactor_add_signal(&loop, &term, SIGTERM, on_term, &loop);
 *	peal_reactor_run(&loop);
 *
 * All of these are sources, as rings are (reactor.h): structs of the caller's,
 * zeroed before they are added for the first time, and removed with
 * peal_reactor_remove(). A source has one callback a turn.
 *
 * Errors of every peal_reactor_add_...(): -EINVAL no callback, or as said
 * there; -EBUSY the source is added already; -ENOSPC no slot is free; -ECHILD
 * this is a forked child. Every call on a source is -EINVAL where the source is
 * not on that reactor, or is of another kind.
 */
#include <peal/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* -- fds */

/**
 * Watch an fd.
 * @param events    EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP; EPOLLERR and
 *                  EPOLLHUP come unasked. With EPOLLET the callback comes once
 *                  for each edge, otherwise again and again while the events
 *                  last.
 * @param on_event  called with the events that epoll reported
 * @return          0, -EINVAL other events (also EPOLLET, where the host is not
 *                  edge-triggered) or no callback, -EEXIST this reactor watches
 *                  the fd already, -EBUSY, -ENOSPC, -ECHILD as above, or an
 *                  error of epoll_ctl(2), such as -EPERM or -EBADF
 * Another reactor may watch the fd, too, and then both are told.
 * The fd is borrowed: remove the source before you close the fd. If the fd was
 * closed first, and its number is added with another source, the first source
 * has no fd any more, and is silent. A hosted reactor returns -EEXIST for the
 * other source, until the first source is removed.
 */
int peal_reactor_add_fd(struct peal_reactor *loop, struct peal_source *source,
			int fd, uint32_t events,
			void (*on_event)(struct peal_source *source, int fd,
					 uint32_t events, void *user),
			void *user);

/**
 * Watch an fd for other events.
 * @return  0, -EINVAL, -ECHILD, -EBADF the source has lost its fd, or an error
 *          of epoll_ctl(2)
 */
int peal_reactor_set_events(struct peal_reactor *loop,
			    struct peal_source *source, uint32_t events);

/* -- timers */

/** peal_reactor_set_timer(): `first_ns` is a time of CLOCK_MONOTONIC. */
#define PEAL_TIMER_ABSOLUTE 0x1u

/**
 * Add a timer, which does not run until peal_reactor_set_timer().
 * @param on_timer  called with the number of periods that have ended since the
 *                  last call: 1, unless the loop was late
 * @return          0, -EINVAL no callback, -EBUSY, -ENOSPC, -ECHILD as above
 */
int peal_reactor_add_timer(struct peal_reactor *loop,
			   struct peal_source *source,
			   void (*on_timer)(struct peal_source *source,
					    uint64_t expirations, void *user),
			   void *user);

/**
 * Start a timer, or start it anew.
 * @param first_ns   nanoseconds from now, or with PEAL_TIMER_ABSOLUTE a time of
 *                   CLOCK_MONOTONIC; a time that has passed is due at once
 * @param period_ns  nanoseconds, counted from `first_ns` without drift; 0: the
 *                   timer expires once
 * @param flags      PEAL_TIMER_ABSOLUTE or 0
 * @return           0, -EINVAL no timer or another flag, -ECHILD
 * Timers of one deadline expire in the order in which they were set. A timer
 * with a period keeps its place among them, as often as it expires.
 */
int peal_reactor_set_timer(struct peal_reactor *loop,
			   struct peal_source *source, uint64_t first_ns,
			   uint64_t period_ns, unsigned flags);

/** Stop a timer; it stays added. @return as peal_reactor_set_timer() */
int peal_reactor_cancel_timer(struct peal_reactor *loop,
			      struct peal_source *source);

/* -- signals */

/**
 * Be told of a signal in the loop's thread, instead of in a handler.
 *
 * The call blocks the signal for this thread. The caller has to block the
 * signal for all other threads, too: threads that are made later inherit the
 * mask. Removing the source, or closing the reactor, unblocks the signal again
 * unless it was blocked before. Signals that are pending then were sent to the
 * source, and are thrown away: a second Ctrl-C does not kill the process while
 * the process cleans up. Within a process a signal has one source.
 * @param number     such as SIGTERM; not SIGKILL or SIGSTOP
 * @param on_signal  called once for each signal that was queued
 * @return           0, -EINVAL an invalid signal, -EEXIST the signal has a
 *                   source already, in whatever reactor, -EMFILE, -ENFILE,
 *                   -ENOMEM, and as above
 * In a child after fork(2) the signal is unblocked again, unless it was blocked
 * before, and also in a program that the child becomes. posix_spawn(3),
 * system(3), popen(3) and vfork(2) do not run the handlers of fork(2), which
 * unblock the signal: so the signal is blocked in the programs that they start,
 * and cannot end these programs. Give posix_spawn(3) the mask, with
 * POSIX_SPAWN_SETSIGMASK. Instead of the others use posix_spawn(3) or fork(2).
 */
int peal_reactor_add_signal(
	struct peal_reactor *loop, struct peal_source *source, int number,
	void (*on_signal)(struct peal_source *source,
			  const struct signalfd_siginfo *info, void *user),
	void *user);

/* -- children */

/** How a process has ended. */
struct peal_exit {
	pid_t pid;
	int code;   /**< CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0: not known */
	int status; /**< the exit status, or the signal */
};

/**
 * Be told when a process has ended.
 * @param pid      a child, which the reactor waits for (no zombie is left), or
 *                 any other process, of which only the end is known
 * @param on_exit  called once; the source is removed already. The code is 0 for
 *                 a process that is not our child, or that somebody else has
 *                 waited for.
 * @return         0, -ESRCH no such process, -EINVAL pid, -ENOSYS before Linux
 *                 5.4, -EMFILE, -ENFILE, -ENOMEM, and as above
 */
int peal_reactor_add_child(struct peal_reactor *loop,
			   struct peal_source *source, pid_t pid,
			   void (*on_exit)(struct peal_source *source,
					   const struct peal_exit *how,
					   void *user),
			   void *user);

/* -- calls from other threads */

/**
 * Add a function that is called in the loop's thread after each
 * peal_reactor_defer().
 * @return  0, -EINVAL no callback, -EBUSY, -ENOSPC, -ECHILD as above
 */
int peal_reactor_add_deferred(
	struct peal_reactor *loop, struct peal_source *source,
	void (*call)(struct peal_source *source, void *user), void *user);

/**
 * Have the function of this source called soon, once for any number of calls
 * that come before the function runs. From any thread, callback or signal
 * handler, as long as the source is added. At most one system call.
 * @return  0, -EINVAL no such source on this reactor, -ECHILD
 */
int peal_reactor_defer(struct peal_reactor *loop, struct peal_source *source);

/* -- messages from other threads */

/**
 * Add a queue through which other threads pass messages to the loop's thread.
 * @param cells    storage for n messages; keep it as long as the source
 * @param n        a power of two, 2 at least
 * @param on_post  called for each message, in the order in which they were
 *                 posted
 * @return         0, -EINVAL another n, and as above
 * The queue is D. Vyukov's bounded queue (1024cores.net), with one consumer.
 * Messages that are in the queue when the source is removed stay in the cells.
 */
int peal_reactor_add_queue(struct peal_reactor *loop,
			   struct peal_source *source, struct peal_post *cells,
			   size_t n,
			   void (*on_post)(struct peal_source *source,
					   void *message, void *user),
			   void *user);

/**
 * Post a message. From any thread, callback or signal handler, as long as the
 * source is added.
 * @return  0, -EAGAIN the queue is full, -EINVAL no queue on this reactor, or
 *          -ECHILD this is a forked child: nothing was posted
 * At most one system call. No lock: a thread that is stopped in the middle of
 * the call holds back the messages that were posted after its own, and no other
 * thread.
 */
int peal_reactor_post(struct peal_reactor *loop, struct peal_source *source,
		      void *message);

/** A cell of a queue. Every field is private. */
struct peal_post {
	/* Several threads load the turn, so it does not cross a cache line. */
	uint64_t turn __attribute__((aligned(8)));
	void *message;
};

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
