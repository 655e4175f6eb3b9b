/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_REACTOR_H
#define PEAL_REACTOR_H
/**
 * @file
 * One thread that serves many rings: a reactor owns an epoll set, waits on the
 * doorbells of any number of senders and receivers, calls back when a ring has
 * become readable or writable, and clears and arms the doorbells by itself.
 *
 *	static long on_readable(struct peal_receiver *rx, void *user)
 *	{
 *		const struct sample *samples;
 *		ssize_t n = peal_receiver_peek(rx, &samples);
 *
 *		if (n > 0) {
 *			play(samples, n);
 *			peal_receiver_release(rx, n);
 *		}
 *		return PEAL_DONE;
 *	}
 *
 *	struct peal_slot slots[64];
 *	struct peal_source source = { 0 };
 *	struct peal_reactor loop;
 *
 *	peal_reactor_init(&loop, slots, 64);
 *	peal_reactor_add_receiver(&loop, &source, &rx,
 *		&(struct peal_receiver_callbacks){
 *			.on_readable = on_readable, .on_closed = on_closed });
 *	peal_reactor_run(&loop);
 *	peal_reactor_finish(&loop);
 *
 * Everything that a reactor watches is a source: a struct of yours, which it
 * links into its lists while it is added. The table of slots is yours too. It
 * allocates nothing and takes no lock.
 *
 * Order of an iteration: wait, unless something is left to do; give each
 * source that is ready one turn, which is one callback, in the order in which
 * they became ready; arm all rings that were drained, with one memory fence,
 * and look at each once more.
 *
 * Caveats
 * - A reactor and its sources belong to one thread. Only the functions that
 *   say so may be called from others, or from signal handlers.
 * - Sources may be added and removed from any callback; the memory of a
 *   removed source is yours again at once.
 * - Remove a source before you close its fds.
 * - A child after fork(2) has no reactor: every call returns -ECHILD, and
 *   peal_reactor_finish() there leaves the parent's alone.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <peal/ring.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * What on_readable and on_writable return.
 *
 * PEAL_DONE     on_readable: it has no use for what it left; call again when
 *               there is more than that. on_writable: call again when a
 *               reserve that fell short can be satisfied.
 * PEAL_MORE     call again, after the others had their turn.
 * PEAL_WAIT(n)  call again when n items are there (or free), counted from
 *               where it stopped; a watermark for this once. More than the
 *               capacity closes the source with -EINVAL.
 */
#define PEAL_DONE 0L
#define PEAL_MORE (-1L)
#define PEAL_WAIT(n) ((long)(n))

/** A link of a list. Private. */
struct peal_link {
	struct peal_link *next, *prev;
};

struct peal_reactor;
struct peal_source;

/** What a reactor calls for a receiver. */
struct peal_receiver_callbacks {
	/**
	 * The ring went from empty (or below its watermark) to nonempty: what
	 * is there when the source is added counts. After the end of the
	 * stream it is called, whatever the watermark, until the ring is empty
	 * or it returns another verdict than PEAL_MORE and leaves items.
	 */
	long (*on_readable)(struct peal_receiver *rx, void *user);
	/**
	 * Once and last, the source is removed already and may be added again:
	 * the sender finished (0), it is gone (-EPIPE, from hangup), it broke
	 * the protocol (-EPROTO), a verdict was no such thing (-EINVAL). May
	 * be NULL.
	 */
	void (*on_closed)(struct peal_receiver *rx, int reason, void *user);
	void *user;
};

/** What a reactor calls for a sender. */
struct peal_sender_callbacks {
	/**
	 * The ring went from full to nonfull, that is, a reserve fell short
	 * and can be satisfied now; and once at first, if there is room when
	 * the source is added.
	 */
	long (*on_writable)(struct peal_sender *tx, void *user);
	/** As for a receiver; 0 says that the receiver finished. */
	void (*on_closed)(struct peal_sender *tx, int reason, void *user);
	void *user;
};

/** Something that a reactor watches. Every field is private; start with 0. */
struct peal_source {
	struct peal_link link; /* in the list that it stands in, if any */
	struct peal_reactor *reactor; /* that it is added to, or NULL */
	int kind;
	uint32_t slot;
	int fd;		  /* that epoll watches for it, or -1 */
	uint32_t events;  /* of an fd: wanted */
	uint32_t revents; /* of an fd: seen, and not yet told */
	uint32_t rank;	  /* of a timer: in the heap, from 1; 0 not there */
	uint64_t period, expirations; /* of a timer */
	struct peal_end *end;	      /* of a ring */
	bool more;		      /* of a ring: its turn was asked for */
	bool deferred;		      /* to be called; set by any thread */
	struct peal_source *deferred_next;
	union {
		struct peal_receiver_callbacks receiver;
		struct peal_sender_callbacks sender;
		void (*on_event)(struct peal_source *source, int fd,
				 uint32_t events, void *user);
		void (*on_timer)(struct peal_source *source,
				 uint64_t expirations, void *user);
		void (*call)(struct peal_source *source, void *user);
	} callback;
	void *user;
};

/** A row of the reactor's table. Every field is private. */
struct peal_slot {
	struct peal_source *source;
	uint32_t generation;
	uint32_t next;	 /* free slots, or slots of fds of one bucket */
	uint32_t bucket; /* the newest slot of the fds that fall here */
	/* The heap of timers by rank; nothing to do with the slot's source. */
	uint64_t deadline;
	struct peal_source *timer;
};

/** Counts of a reactor since it was made. */
struct peal_reactor_stats {
	uint64_t iterations;   /**< rounds of the loop */
	uint64_t system_calls; /**< that it made itself; doorbells not among */
	uint64_t wakeups;      /**< events that epoll reported for rings */
	uint64_t spurious;     /**< of them, those that found nothing to do */
	uint64_t callbacks;    /**< of rings: on_readable and on_writable */
	uint64_t mores;	       /**< of them, those that PEAL_MORE asked for */
};

/** A reactor. Every field is private. */
struct peal_reactor {
	struct peal_slot *slots;
	uint32_t n_slots, free_slot;
	uint32_t timers; /* in the heap */
	int epoll_fd, timer_fd, wake_fd;
	uint64_t timer_set;	   /* what timer_fd is set to, 0: nothing */
	unsigned char *fork_mark;  /* 0 in a forked child */
	struct peal_link ready;	   /* to have a turn in the next round */
	struct peal_link turn;	   /* to have a turn in this round */
	struct peal_link drained;  /* to be armed after this round */
	struct peal_source *calls; /* deferred; pushed by any thread */
	bool dispatching;
	int made;    /* callbacks in this iteration */
	bool stop;   /* set by any thread */
	bool asleep; /* others must write wake_fd to be heard */
	bool awoken; /* wake_fd was written */
	struct peal_reactor_stats stats;
};

/**
 * Make a reactor.
 * @param slots  storage for as many sources as will ever be added at once;
 *               yours, keep it as long as the reactor
 * @param n      how many, 1 to 2^31
 * @return       0, -EINVAL n, -EMFILE, -ENFILE or -ENOMEM
 * It has three fds: an epoll set, a timerfd and an eventfd.
 */
int peal_reactor_init(struct peal_reactor *loop, struct peal_slot *slots,
		      size_t n);

/**
 * Remove all sources, without callbacks, and close what is the reactor's own.
 * May be called twice, and with a reactor that is all zero, but not from a
 * callback.
 */
void peal_reactor_finish(struct peal_reactor *loop);

/**
 * Serve sources until peal_reactor_stop().
 * @return  0 it was stopped, -EBUSY called from a callback, -ECHILD in a forked
 *          child, or an error of epoll_wait(2)
 */
int peal_reactor_run(struct peal_reactor *loop);

/**
 * One iteration: wait until something is ready, and serve what is.
 * @param timeout_ms  milliseconds, -1 for ever, 0 do not wait
 * @return            how many callbacks were made, or the errors of run
 */
int peal_reactor_run_once(struct peal_reactor *loop, int timeout_ms);

/** End peal_reactor_run(). From any thread, callback or signal handler. */
void peal_reactor_stop(struct peal_reactor *loop);

/**
 * Let peal_reactor_run_once() return and a running loop go round once. From
 * any thread, callback or signal handler.
 */
void peal_reactor_wake(struct peal_reactor *loop);

/**
 * For loops that are not ours: one fd for the whole reactor, the same for its
 * life. Watch it level-triggered for reading, and call peal_reactor_dispatch()
 * when it is readable. There is no other rule.
 */
int peal_reactor_fd(const struct peal_reactor *loop);

/**
 * Serve what is ready, one turn for each source, and arm. Never blocks. If it
 * leaves work, peal_reactor_fd() is readable.
 * @return  as peal_reactor_run_once()
 */
int peal_reactor_dispatch(struct peal_reactor *loop);

/**
 * Serve a receiver.
 * @param source     yours, not added anywhere
 * @param rx         attached, with a bell to wait on
 * @param callbacks  copied
 * @return           0, -EINVAL no bell or no on_readable, -EBUSY the source is
 *                   added already, -ENOSPC no slot is free, -EEXIST its bell's
 *                   fd is watched already, -ECHILD, or an error of epoll_ctl(2)
 */
int peal_reactor_add_receiver(struct peal_reactor *loop,
			      struct peal_source *source,
			      struct peal_receiver *rx,
			      const struct peal_receiver_callbacks *callbacks);

/** Serve a sender. Parameters and errors as for a receiver. */
int peal_reactor_add_sender(struct peal_reactor *loop,
			    struct peal_source *source, struct peal_sender *tx,
			    const struct peal_sender_callbacks *callbacks);

/**
 * The other end of a ring is known to be gone, whatever told you so: what it
 * has published is delivered, then on_closed is called, with 0 if it had
 * finished before and with `reason` otherwise.
 * @return  0, -EINVAL no ring, -ECHILD
 */
int peal_reactor_hangup(struct peal_reactor *loop, struct peal_source *source,
			int reason);

/**
 * Watch an fd.
 * @param events    EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP; EPOLLERR and
 *                  EPOLLHUP come unasked. With EPOLLET once for each edge,
 *                  otherwise again and again while they last.
 * @param on_event  called with what epoll reported
 * @return          0, -EINVAL other events or no callback, -EBUSY, -ENOSPC,
 *                  -EEXIST, -ECHILD as above, -EPERM, -EBADF of epoll_ctl(2)
 * The fd is borrowed: remove the source before you close it.
 */
int peal_reactor_add_fd(struct peal_reactor *loop, struct peal_source *source,
			int fd, uint32_t events,
			void (*on_event)(struct peal_source *source, int fd,
					 uint32_t events, void *user),
			void *user);

/** Watch an fd for other events. @return 0, -EINVAL, -ECHILD or epoll's */
int peal_reactor_set_events(struct peal_reactor *loop,
			    struct peal_source *source, uint32_t events);

/** peal_reactor_set_timer(): `first` is a time of CLOCK_MONOTONIC. */
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
 * @param first   nanoseconds from now, or with PEAL_TIMER_ABSOLUTE a time of
 *                CLOCK_MONOTONIC; what has passed already is due at once
 * @param period  nanoseconds, counted from `first` without drift; 0: one shot
 * @param flags   PEAL_TIMER_ABSOLUTE or 0
 * @return        0, -EINVAL no timer or another flag, -ECHILD
 */
int peal_reactor_set_timer(struct peal_reactor *loop,
			   struct peal_source *source, uint64_t first,
			   uint64_t period, unsigned flags);

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
 */
void peal_reactor_defer(struct peal_reactor *loop, struct peal_source *source);

/**
 * Remove a source: its callbacks are not called again. Its memory and its fds
 * are yours at once, also within its own callback.
 * @return  0 (also if it was not added), -ECHILD, or an error of epoll_ctl(2),
 *          after which it is removed all the same
 */
int peal_reactor_remove(struct peal_reactor *loop, struct peal_source *source);

/** Read the counts. From the loop's thread. */
void peal_reactor_stats(const struct peal_reactor *loop,
			struct peal_reactor_stats *stats);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
