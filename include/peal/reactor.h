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
 *	peal_reactor_close(&loop);
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
 * - Remove a source before you close its fds, or finish or free its ring.
 * - A reactor and a source that is added stay where they are: a reactor that
 *   was moved or copied, as by being returned by value, is none, and every call
 *   returns -EINVAL, or has no effect. So do the sender, receiver or group that
 *   a source serves; nobody could notice that a copy of one is used.
 * - One thing belongs to one reactor: an end or a group that has a source
 *   already, in whatever reactor, is -EEXIST; so is an fd, within a reactor.
 *   (Two reactors can watch one fd, and then both are told: so it is with
 *   epoll(7).) A call on a source that is not on the reactor is -EINVAL.
 * - A callback returns. One that is left by longjmp(3), or by an exception that
 *   goes through C (those of peal.hpp do not), leaves its reactor in the middle
 *   of a round: every later run is -EBUSY, and peal_reactor_close(), after
 *   which it can be made anew, is all that is left to do.
 * - A child after fork(2) has no reactor: every call returns -ECHILD, or has
 *   no effect, and peal_reactor_close() there leaves the parent's alone. It
 *   lets go of what the sources stood for, so that the child can add its own
 *   copies of these to a reactor of its own.
 * - A doorbell that rings beyond what an honest peer's can (once for each
 *   position that was armed) is not listened to for 10 ms, then 20, 40, ...;
 *   what comes meanwhile is delivered afterwards, and after eight times the
 *   ring is closed with -EPROTO. So is one whose own doorbell has become slow
 *   to ring, because the peer has hung thousands of epoll sets on it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/signalfd.h>

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
 *               call that fell short (reserve, put, each, a message's
 *               send) can be satisfied.
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
struct peal_source_ops;
struct peal_post;
struct peal_exit;

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
	 * The ring went from full to nonfull, that is, a call fell short (any
	 * but try_reserve) and can be satisfied now; and once at first, if
	 * there is room when the source is added.
	 */
	long (*on_writable)(struct peal_sender *tx, void *user);
	/** As for a receiver; 0 says that the receiver finished. */
	void (*on_closed)(struct peal_sender *tx, int reason, void *user);
	void *user;
};

/**
 * Counts of a source since it was added. They may be read at any time, from
 * any thread: peal_source_stats().
 */
struct peal_source_stats {
	/** of any kind; aligned for the other threads */
	uint64_t callbacks __attribute__((aligned(8)));
	uint64_t transitions; /**< of a ring: callbacks but for the mores */
	uint64_t mores;	      /**< callbacks that PEAL_MORE asked for */
	uint64_t wakeups;     /**< events that were reported for it */
	uint64_t spurious;    /**< of a ring: those that found nothing to do */
	uint64_t quarantines; /**< times its doorbell was not listened to */
	uint64_t
		longest_ns; /**< of a callback; see peal_reactor_set_timing() */
};

/** Where a source stands in a round. */
enum peal_band {
	PEAL_BAND_HIGH,	  /**< first in each round */
	PEAL_BAND_NORMAL, /**< then; what a source is at first */
	PEAL_BAND_LOW,	  /**< last, and few a round while others are busy */
};
#define PEAL_BANDS 3

/** Something that a reactor watches. Every field is private; start with 0. */
struct peal_source {
	struct peal_link link; /* in the list that it stands in, if any */
	struct peal_reactor *reactor; /* that it is added to, or NULL */
	struct peal_end *end;	      /* of a ring */
	void *user;
	const struct peal_source_ops *ops; /* of its kind */
	enum peal_band band;
	uint32_t slot;
	int fd; /* that is watched for it, or -1 */
	union {
		struct {
			bool rung;     /* and its bells not yet counted */
			bool more;     /* its turn was asked for */
			bool idle_due; /* on_idle is to be called */
			bool unheard;  /* in quarantine */
			int credit;    /* bells that the peer may ring */
			uint64_t arms; /* positions armed, as known here */
			int excess;    /* those that it rang beyond */
			int strikes;   /* quarantines in a row */
			/* See storms.c. */
			uint64_t passes, passed_here, passed_there;
			uint64_t heard_again, idle, quiet_since; /* times */
			void (*on_idle)(struct peal_source *source, void *user);
			/* The source that hears its bell for it, or NULL. */
			struct peal_source *bell;
			/* To be looked at once more, and when. */
			struct peal_link late;
			uint64_t late_at __attribute__((aligned(8)));
		} ring;
		struct {
			struct peal_group *group;
			struct peal_source *next;
		} group;
		struct {
			int number;
			bool added;	 /* the signal is this source's */
			bool unblock;	 /* when it goes */
			unsigned forked; /* see signals.c */
		} signal;
		pid_t pid;
		struct {
			struct peal_post *cells;
			/* As struct peal_post's. */
			uint64_t tail __attribute__((aligned(8)));
			uint64_t mask, head;
		} queue;
	} of;
	union {
		struct peal_receiver_callbacks receiver;
		struct peal_sender_callbacks sender;
		void (*on_event)(struct peal_source *source, int fd,
				 uint32_t events, void *user);
		void (*on_timer)(struct peal_source *source,
				 uint64_t expirations, void *user);
		void (*on_signal)(struct peal_source *source,
				  const struct signalfd_siginfo *info,
				  void *user);
		void (*on_exit)(struct peal_source *source,
				const struct peal_exit *how, void *user);
		void (*on_post)(struct peal_source *source, void *message,
				void *user);
		void (*call)(struct peal_source *source, void *user);
	} callback;
	struct peal_source_stats stats;
	uint32_t events;	      /* of an fd: wanted */
	uint32_t revents;	      /* of an fd: seen, and not yet told */
	uint32_t rank;		      /* in the heap, from 1; 0: not there */
	bool deferred;		      /* to be called; set by any thread */
	uint64_t period, expirations; /* of a timer */
	uint64_t order;		      /* of an alarm: when it was set */
	struct peal_source *deferred_next;
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

/**
 * Counts of a reactor since it was made. They may be read at any time, from
 * any thread: peal_reactor_stats().
 */
struct peal_reactor_stats {
	/** rounds of the loop; aligned for the other threads */
	uint64_t iterations __attribute__((aligned(8)));
	uint64_t sleeps;       /**< of them, those that had nothing to do */
	uint64_t system_calls; /**< that it made itself; doorbells not among */
	uint64_t wakeups;      /**< events that were reported for rings */
	uint64_t spurious;     /**< of them, those that found nothing to do */
	uint64_t callbacks;    /**< of rings: on_readable and on_writable */
	uint64_t mores;	       /**< of them, those that PEAL_MORE asked for */
	uint64_t spins;	       /**< times it polled before it armed */
	uint64_t spin_hits;    /**< of them, those that found something */
	uint64_t quarantines;  /**< times a doorbell was not listened to */
	uint64_t longest_ns;   /**< callback; see peal_reactor_set_timing() */
};

/**
 * A loop of the caller's that watches fds for a reactor: form B, for hosts
 * that would rather keep one epoll set (or what they have in its place).
 */
struct peal_host {
	/**
	 * Watch an fd for EPOLLIN, EPOLLOUT, ..., and hand the token and what
	 * was seen to peal_reactor_process(). For hosts that are `edge`, events
	 * may have EPOLLET or EPOLLONESHOT in them, as for epoll_ctl(2); for
	 * others never, and 0 means to pause.
	 * @return 0 or an error, which peal hands on
	 */
	int (*add)(void *user, int fd, uint32_t events, uint64_t token);
	/** Watch it for other events, with another token. */
	int (*modify)(void *user, int fd, uint32_t events, uint64_t token);
	/** Watch it no more. */
	int (*remove)(void *user, int fd);
	void *user;
	bool edge; /**< EPOLLET and EPOLLONESHOT are heeded */
};

/** A reactor. Every field is private. */
struct peal_reactor {
	struct peal_reactor *self; /* where it was made */
	struct peal_slot *slots;
	uint32_t n_slots, free_slot;
	uint32_t timers; /* in the heap */
	int epoll_fd, timer_fd, wake_fd;
	bool hosted;
	struct peal_host host;
	uint64_t timer_set;	  /* what timer_fd is set to, 0: nothing */
	uint64_t alarms;	  /* set so far */
	unsigned char *fork_mark; /* 0 in a forked child */
	struct peal_link ready[PEAL_BANDS]; /* to have a turn next round */
	struct peal_link turn;		    /* to have a turn in this round */
	struct peal_link drained;	    /* to be armed after this round */
	struct peal_link late;	    /* armed, and to be looked at later */
	struct peal_source *calls;  /* deferred; pushed by any thread */
	struct peal_source *groups; /* of doorbells */
	bool dispatching, timing;
	int made;		      /* callbacks in this iteration */
	int unpolled;		      /* iterations since the fds were asked */
	uint64_t spin_most, spin_now; /* nanoseconds */
	void (*before_sleep)(struct peal_reactor *loop, void *user);
	void (*after_sleep)(struct peal_reactor *loop, void *user);
	void *hooks_user;
	bool stop;   /* set by any thread */
	bool asleep; /* others must write wake_fd to be heard */
	bool awoken; /* wake_fd was written */
	bool called; /* by wake or stop, which a wait ends for */
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
 * callback. Of no effect on a copy.
 */
void peal_reactor_close(struct peal_reactor *loop);

/**
 * Serve sources until peal_reactor_stop().
 * @return  0 it was stopped, -EBUSY called from a callback, -ECHILD in a forked
 *          child, -EINVAL no reactor, or a hosted one, or an error of
 *          epoll_wait(2)
 */
int peal_reactor_run(struct peal_reactor *loop);

/**
 * Wait until something is ready, and serve what is, once.
 * @param timeout_ms  milliseconds, -1 for ever, 0 do not wait
 * @return            how many callbacks were made, or the errors of run; 0 says
 *                    that the time is over, or that somebody has called
 *                    peal_reactor_wake() or peal_reactor_stop()
 * Nothing else ends a wait for a time: not a signal (its handler can call
 * peal_reactor_wake()), a timer that was cancelled, or a bell without items.
 * A wait for ever may be ended by these, too, and returns 0 then:
 * look at what you wait for, and call again.
 */
int peal_reactor_run_once(struct peal_reactor *loop, int timeout_ms);

/**
 * End peal_reactor_run(), the one that runs or else the next one. From any
 * thread, callback or signal handler.
 */
void peal_reactor_stop(struct peal_reactor *loop);

/**
 * Let peal_reactor_run_once() return, the one that waits or else the next one,
 * and a running loop go round once. From any thread, callback or signal
 * handler.
 */
void peal_reactor_wake(struct peal_reactor *loop);

/**
 * For loops that are not ours: one fd for the whole reactor, the same for its
 * life. Watch it level-triggered for reading, and call peal_reactor_dispatch()
 * when it is readable. There is no other rule.
 * @return  the fd, -1 hosted, -EINVAL no reactor, -ECHILD
 */
int peal_reactor_fd(const struct peal_reactor *loop);

/**
 * Serve what is ready, one turn for each source, and arm. Never blocks. If it
 * leaves work, peal_reactor_fd() is readable.
 * @return  as peal_reactor_run_once()
 */
int peal_reactor_dispatch(struct peal_reactor *loop);

/**
 * Make a reactor that has no epoll set of its own: form B. The host watches
 * fds for it, and calls peal_reactor_process() with what it sees.
 * @param host  copied; its add() is called from here on, for fds of the
 *              reactor's own, too. Tokens may have any value.
 * @return      as peal_reactor_init(), -EINVAL a function is missing, or what
 *              host->add() returned
 * peal_reactor_run(), _run_once() and _dispatch() are -EINVAL, and
 * peal_reactor_fd() is -1.
 */
int peal_reactor_init_hosted(struct peal_reactor *loop, struct peal_slot *slots,
			     size_t n, const struct peal_host *host);

/**
 * Serve an event that the host has seen: give what is ready a turn, arm. Never
 * blocks. Events for sources that are gone are ignored, so a host may hand
 * over a whole batch of its own, whatever was removed meanwhile; but an event
 * handed over twice may count as a doorbell that was rung too often.
 * @param token   as given to the host's add() or modify() last
 * @param events  as epoll would report them: EPOLLIN, EPOLLHUP, ...
 * @return        how many callbacks were made, -EINVAL not hosted, -EBUSY,
 *                -ECHILD
 */
int peal_reactor_process(struct peal_reactor *loop, uint64_t token,
			 uint32_t events);

/**
 * Serve a receiver.
 * @param source     yours, not added anywhere
 * @param rx         attached, with a bell to wait on
 * @param callbacks  copied
 * @return           0, -EINVAL no bell, no on_readable, or a bell of a group
 *                   that is not on this reactor, -EBUSY the source is added
 *                   already, -ENOSPC no slot is free, -EEXIST the receiver has
 *                   a source, in whatever reactor, or its bell's fd is watched
 *                   already, -ECHILD, or an error of epoll_ctl(2)
 */
int peal_reactor_add_receiver(struct peal_reactor *loop,
			      struct peal_source *source,
			      struct peal_receiver *rx,
			      const struct peal_receiver_callbacks *callbacks);

/**
 * Serve a group of doorbells (group.h): before the rings that wait on them,
 * which are added as any other, to the same reactor, and take no fd. As long as
 * some of them are marked they have up to eight rounds before the fds are
 * looked at again.
 * @param group  yours
 * @return       0, -EINVAL it was finished, -EBUSY the source is added already,
 *               -ENOSPC, -EEXIST a reactor serves it already, this one or
 *               another, -ECHILD, or an error of epoll_ctl(2)
 */
int peal_reactor_add_group(struct peal_reactor *loop,
			   struct peal_source *source,
			   struct peal_group *group);

/** Serve a sender. Parameters and errors as for a receiver. */
int peal_reactor_add_sender(struct peal_reactor *loop,
			    struct peal_source *source, struct peal_sender *tx,
			    const struct peal_sender_callbacks *callbacks);

/**
 * The other end of a ring is known to be gone, whatever told you so: what it
 * has published is delivered, then on_closed is called, with 0 if it had
 * finished before and with `reason` otherwise.
 * @return  0, -EINVAL no ring on this reactor, -ECHILD
 */
int peal_reactor_hangup(struct peal_reactor *loop, struct peal_source *source,
			int reason);

/**
 * Remove a source: its callbacks are not called again. Its memory and its fds
 * are yours at once, also within its own callback.
 * A group takes the rings that wait on its bells with it.
 * @return  0 (also if it was not added), -EINVAL it is on another reactor, or a
 *          copy, -ECHILD, or an error of epoll_ctl(2), after which it is
 *          removed all the same
 */
int peal_reactor_remove(struct peal_reactor *loop, struct peal_source *source);

/**
 * Say where a source stands in a round. Within a band it is first come, first
 * served. PEAL_BAND_LOW has at least eight turns in each round, so nothing
 * starves.
 * @return  0, -EINVAL not added to this reactor, or no such band, -ECHILD
 */
int peal_reactor_set_band(struct peal_reactor *loop, struct peal_source *source,
			  enum peal_band band);

/**
 * Be told when nothing has come on a ring for a time: no callback of the ring
 * since it was added or called back last. It is called again after each such
 * time for as long as nothing comes.
 * @param after    nanoseconds, or 0 to be told no more
 * @param on_idle  may remove the source, or close it with hangup(-ETIMEDOUT)
 * @return         0, -EINVAL no ring on this reactor, or no callback, -ECHILD
 */
int peal_reactor_set_idle(struct peal_reactor *loop, struct peal_source *source,
			  uint64_t after,
			  void (*on_idle)(struct peal_source *source,
					  void *user));

/**
 * Poll the rings that have just been drained for a time before they are armed:
 * a wake-up across processors costs a thousand times what a look does. It
 * adapts: where polling finds nothing, it polls for a shorter time, and for
 * a longer one where it does. With one processor it does not poll. Fds and
 * timers wait for as long as it lasts.
 * @param spin_ns  nanoseconds at the most, 0 (as at first): never
 * @return      0, -ECHILD
 */
int peal_reactor_set_spin(struct peal_reactor *loop, uint64_t spin_ns);

/**
 * Call functions before the loop sleeps, and after. They run in peal_reactor_
 * run() and _run_once() alone, not for loops of the caller's. What is added or
 * deferred in `before` is served, not slept over. Either may be NULL.
 * @return  0, -ECHILD
 */
int peal_reactor_set_hooks(struct peal_reactor *loop,
			   void (*before)(struct peal_reactor *loop,
					  void *user),
			   void (*after)(struct peal_reactor *loop, void *user),
			   void *user);

/**
 * Time each callback, for longest_ns in the counts: two looks at the clock.
 * Off at first.
 */
void peal_reactor_set_timing(struct peal_reactor *loop, bool on);

/** Read the counts. From any thread. */
void peal_reactor_stats(const struct peal_reactor *loop,
			struct peal_reactor_stats *stats);

/** Read the counts of a source that is added. From any thread. */
void peal_source_stats(const struct peal_source *source,
		       struct peal_source_stats *stats);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
