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
 * All of them are sources as rings are (reactor.h): structs of yours, zeroed
 * before they are added for the first time, removed with
 * peal_reactor_remove(), one callback a turn.
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

/**
 * Watch an fd.
 * @param events    EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP; EPOLLERR and
 *                  EPOLLHUP come unasked. With EPOLLET once for each edge,
 *                  otherwise again and again while they last.
 * @param on_event  called with what epoll reported
 * @return          0, -EINVAL other events (EPOLLET, too, where the host is not
 *                  edge-triggered) or no callback, -EEXIST this reactor
 *                  watches the fd already, -EBUSY, -ENOSPC, -ECHILD as above,
 *                  or an error of epoll_ctl(2), such as -EPERM or -EBADF
 * Another reactor may watch the fd, too, and then both are told.
 * The fd is borrowed: remove the source before you close it. Where it was
 * closed before, and its number comes back with another source, the first one
 * has no fd any more, and is silent; a hosted reactor says -EEXIST to the other
 * one, until the first is removed.
 */
int peal_reactor_add_fd(struct peal_reactor *loop, struct peal_source *source,
			int fd, uint32_t events,
			void (*on_event)(struct peal_source *source, int fd,
					 uint32_t events, void *user),
			void *user);

/**
 * Watch an fd for other events.
 * @return  0, -EINVAL, -ECHILD, -EBADF the source has lost its fd, or epoll's
 */
int peal_reactor_set_events(struct peal_reactor *loop,
			    struct peal_source *source, uint32_t events);

/** peal_reactor_set_timer(): `first_ns` is a time of CLOCK_MONOTONIC. */
#define PEAL_TIMER_ABSOLUTE 0x1u

/**
 * Add a timer, which does not run until peal_reactor_set_timer().
 * @param on_timer  called with the number of periods that have ended, 1 for a
 *                  timer that is in time
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
 *                   CLOCK_MONOTONIC; what has passed already is due at once
 * @param period_ns  nanoseconds, counted from `first_ns` without drift; 0: one
 * shot
 * @param flags      PEAL_TIMER_ABSOLUTE or 0
 * @return           0, -EINVAL no timer or another flag, -ECHILD
 * Timers of one deadline fire in the order in which they were set. One with a
 * period keeps its place, as often as it fires.
 */
int peal_reactor_set_timer(struct peal_reactor *loop,
			   struct peal_source *source, uint64_t first_ns,
			   uint64_t period_ns, unsigned flags);

/** Stop a timer; it stays added. @return as peal_reactor_set_timer() */
int peal_reactor_cancel_timer(struct peal_reactor *loop,
			      struct peal_source *source);

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
 * before it runs. From any thread, callback or signal handler, as long as the
 * source is added. At most one system call.
 * @return  0, -EINVAL no such call on this reactor, -ECHILD
 */
int peal_reactor_defer(struct peal_reactor *loop, struct peal_source *source);

/**
 * Be told of a signal in the loop's thread, in the place of a handler. It is
 * blocked for this thread, and has to be blocked for all others too (threads
 * that are made later inherit that); removing the source, or finishing the
 * reactor, unblocks it again unless it was blocked before. What is pending then
 * was sent to the source, and is thrown away: a second Ctrl-C does not kill the
 * process while it cleans up. One reactor of a process can have it.
 * @param number     such as SIGTERM; not SIGKILL or SIGSTOP
 * @param on_signal  called once for each that was queued
 * @return           0, -EINVAL no such signal, -EEXIST it has a source already,
 *                   in whatever reactor, -EMFILE, -ENFILE, -ENOMEM, and as
 *                   above
 * A child after fork(3) has it unblocked again, unless it was blocked before,
 * and so has a program that the child becomes. posix_spawn(3), system(3),
 * popen(3) and vfork(2) do not fork in that way: their programs are born with
 * it blocked, and cannot be ended with it. posix_spawn(3) can be told the mask,
 * with POSIX_SPAWN_SETSIGMASK; in the place of the others use that, or fork(3).
 */
int peal_reactor_add_signal(
	struct peal_reactor *loop, struct peal_source *source, int number,
	void (*on_signal)(struct peal_source *source,
			  const struct signalfd_siginfo *info, void *user),
	void *user);

/** How a process has ended. */
struct peal_exit {
	pid_t pid;
	int code;   /**< CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0: not known */
	int status; /**< the exit status, or the signal */
};

/**
 * Be told when a process has ended.
 * @param pid      a child, which is waited for (no zombie is left), or any
 *                 other process, of which only the end is known
 * @param on_exit  called once; the source is removed already. The code is 0 for
 *                 a process that is no child of ours, or that somebody else
 *                 has waited for.
 * @return         0, -ESRCH no such process, -EINVAL pid, -ENOSYS before Linux
 *                 5.4, -EMFILE, -ENFILE, -ENOMEM, and as above
 */
int peal_reactor_add_child(struct peal_reactor *loop,
			   struct peal_source *source, pid_t pid,
			   void (*on_exit)(struct peal_source *source,
					   const struct peal_exit *how,
					   void *user),
			   void *user);

/** A cell of a queue. Private. */
struct peal_post {
	/* Several threads look at it: never across two cache lines. */
	uint64_t turn __attribute__((aligned(8)));
	void *message;
};

/**
 * Add a queue by which other threads hand over messages.
 * @param cells    storage for n messages; yours, keep it as long as the source
 * @param n        a power of two, 2 at least
 * @param on_post  called for each message, in the order in which they were
 *                 posted
 * @return         0, -EINVAL another n, and as above
 * The queue is D. Vyukov's bounded queue (1024cores.net), with one consumer.
 * Messages that are in it when the source is removed stay in the cells.
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
 * it holds back the messages behind its own, and nobody else.
 */
int peal_reactor_post(struct peal_reactor *loop, struct peal_source *source,
		      void *message);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
