/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_REACTOR_H
#define PEAL_REACTOR_H
/**
 * @file
 * One thread that serves many rings.
 *
 * A reactor owns an epoll set. It waits on the doorbells of any number of
 * senders and receivers, calls back when a ring has become readable or
 * writable, and clears and arms the doorbells by itself.
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
 * Everything that a reactor watches is a source: a struct of the caller's,
 * which the reactor links into its lists while the source is added. The caller
 * owns the table of slots, too. The reactor allocates nothing and takes no
 * lock.
 *
 * An iteration has three parts. The reactor waits, unless something is left to
 * do. Then each source that is ready has one turn, in the order in which the
 * sources became ready; a turn is one callback. Then the reactor arms all rings
 * that were drained, with one memory fence, and checks each ring once more.
 *
 * Caveats
 * - A reactor and its sources belong to one thread. Only the functions that
 *   say so may be called from other threads, or from signal handlers.
 * - Any callback may add and remove sources. The memory of a removed source is
 *   the caller's again at once.
 * - Remove a source before you close its fds, or finish or free its ring.
 * - A reactor and a source that is added stay at their addresses, and so do the
 *   sender, the receiver or the group that the source serves. A reactor that
 *   was moved or copied, as by being returned by value, is invalid: every call
 *   returns -EINVAL, or has no effect. Nothing notices the use of a copied
 *   sender, receiver or group.
 * - One thing belongs to one reactor. An end or a group that has a source
 *   already, in whatever reactor, is -EEXIST; so is an fd, within a reactor.
 *   (Two reactors can watch one fd, and then epoll(7) tells both.) A call on a
 *   source that is not added to the reactor is -EINVAL.
 * - A callback returns. A callback that is left by longjmp(3), or by an
 *   exception that goes through C (peal.hpp catches its own), leaves its
 *   reactor in the middle of a round. Every later run is -EBUSY. All that is
 *   left to do is peal_reactor_close(), after which the reactor can be made
 *   anew.
 * - A child after fork(2) has no reactor: every call returns -ECHILD, or has no
 *   effect, and peal_reactor_close() leaves the parent's reactor alone. In the
 *   child it lets go of what the sources stood for, so that the child can add
 *   its own copies of these to a reactor of its own.
 * - An honest peer rings a doorbell once for each position that was armed. The
 *   reactor does not listen for 10 ms to a doorbell that rings more often, then
 *   for 20 ms, 40 ms, and so on, and delivers afterwards what came meanwhile.
 *   After eight times the reactor closes the ring with -EPROTO. The reactor
 *   also closes with -EPROTO a ring whose peer has hung thousands of epoll sets
 *   on a doorbell, so that to ring that doorbell has become slow.
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

struct peal_exit;
struct peal_group;
struct peal_host;
struct peal_post;
struct peal_reactor;
struct peal_reactor_stats;
struct peal_slot;
struct peal_source;
struct peal_source_ops;
struct peal_source_stats;

/* -- callbacks of rings */

/**
 * What on_readable and on_writable return.
 *
 * PEAL_DONE     on_readable: the callback has no use for the items that it
 *               left; call again when there are more. on_writable: call again
 *               when a call that fell short (reserve, put, each, a message's
 *               send) can be satisfied.
 * PEAL_MORE     call again, after the other sources had their turns.
 * PEAL_WAIT(n)  call again when n items are there (or free), counted from the
 *               position where the callback stopped: a watermark for this once.
 *               More than the capacity closes the source with -EINVAL.
 */
#define PEAL_DONE 0L
#define PEAL_MORE (-1L)
#define PEAL_WAIT(n) ((long)(n))

/** What a reactor calls for a receiver. */
struct peal_receiver_callbacks {
	/**
	 * The ring went from empty (or below its watermark) to nonempty. Items
	 * that are there when the source is added count as such a transition.
	 * After the end of the stream the reactor calls on_readable whatever
	 * the watermark, until the ring is empty, or until the callback leaves
	 * items and returns another verdict than PEAL_MORE.
	 */
	long (*on_readable)(struct peal_receiver *rx, void *user);
	/**
	 * The last call, made once. The source is removed already and may be
	 * added again. The reason is 0 (the sender finished), -EPIPE (the
	 * sender is gone, from hangup), -EPROTO (the sender broke the
	 * protocol), or -EINVAL (on_readable returned an invalid verdict). May
	 * be NULL.
	 */
	void (*on_closed)(struct peal_receiver *rx, int reason, void *user);
	void *user;
};

/** What a reactor calls for a sender. */
struct peal_sender_callbacks {
	/**
	 * The ring went from full to nonfull: a call fell short (any call but
	 * try_reserve) and can be satisfied now. The reactor also calls once at
	 * first, if there is room when the source is added.
	 */
	long (*on_writable)(struct peal_sender *tx, void *user);
	/** As for a receiver; 0 says that the receiver finished. */
	void (*on_closed)(struct peal_sender *tx, int reason, void *user);
	void *user;
};

/* -- making and running a reactor */

/**
 * Make a reactor.
 * @param slots  storage for as many sources as will ever be added at once; keep
 *               it as long as the reactor
 * @param n      how many slots, 1 to 2^31
 * @return       0, -EINVAL n, -EMFILE, -ENFILE or -ENOMEM
 * A reactor has three fds: an epoll set, a timerfd and an eventfd.
 */
int peal_reactor_init(struct peal_reactor *loop, struct peal_slot *slots,
		      size_t n);

/**
 * Remove all sources, without callbacks, and close the reactor's own fds.
 * The call may be made twice, and with a reactor that is all zero, but not from
 * a callback. It has no effect on a copy.
 */
void peal_reactor_close(struct peal_reactor *loop);

/**
 * Serve sources until peal_reactor_stop().
 * @return  0 the reactor was stopped, -EBUSY called from a callback, -ECHILD in
 *          a forked child, -EINVAL an invalid or a hosted reactor, or an error
 *          of epoll_wait(2)
 */
int peal_reactor_run(struct peal_reactor *loop);

/**
 * Wait until something is ready, and serve what is ready, once.
 * @param timeout_ms  milliseconds, -1 for ever, 0 do not wait
 * @return            how many callbacks were made, or the errors of run; 0 says
 *                    that the time is over, or that somebody has called
 *                    peal_reactor_wake() or peal_reactor_stop()
 * Nothing else ends a wait with a time limit: not a signal (its handler can
 * call peal_reactor_wake()), a timer that was cancelled, or a bell without
 * items. But these may end a wait without a limit, and then the call returns 0.
 * So check what you wait for, and call again.
 */
int peal_reactor_run_once(struct peal_reactor *loop, int timeout_ms);

/**
 * End peal_reactor_run(): the call that runs now, or else the next one. From
 * any thread, callback or signal handler.
 */
void peal_reactor_stop(struct peal_reactor *loop);

/**
 * Let peal_reactor_run_once() return, the call that waits now, or else the next
 * one; let peal_reactor_run() begin another iteration. From any thread,
 * callback or signal handler.
 */
void peal_reactor_wake(struct peal_reactor *loop);

/* -- adding and removing: see also sources.h */

/**
 * Serve a receiver.
 * @param source     the caller's, not added anywhere
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

/** Serve a sender. Parameters and errors as for a receiver. */
int peal_reactor_add_sender(struct peal_reactor *loop,
			    struct peal_source *source, struct peal_sender *tx,
			    const struct peal_sender_callbacks *callbacks);

/**
 * Serve a group of doorbells (group.h). Add the group before the rings that
 * wait on its bells. The rings are added as any other, to the same reactor, and
 * take no fd. As long as some bells of the group are marked, the rings have up
 * to eight rounds before the reactor asks the kernel about the fds again.
 * @param group  the caller's
 * @return       0, -EINVAL the group was closed, -EBUSY the source is added
 *               already, -ENOSPC, -EEXIST a reactor serves the group already,
 *               this reactor or another, -ECHILD, or an error of epoll_ctl(2)
 */
int peal_reactor_add_group(struct peal_reactor *loop,
			   struct peal_source *source,
			   struct peal_group *group);

/**
 * Remove a source: its callbacks are not called again. Its memory and its fds
 * are the caller's at once, also within the source's own callback.
 * A group takes the rings that wait on its bells with it.
 * @return  0 (also if the source was not added), -EINVAL the source is on
 *          another reactor, or is a copy, -ECHILD, or an error of epoll_ctl(2),
 *          after which the source is removed all the same
 */
int peal_reactor_remove(struct peal_reactor *loop, struct peal_source *source);

/**
 * The caller knows that the other end of a ring is gone. The reactor delivers
 * what that end has published, then calls on_closed: with 0 if the other end
 * had finished before, and with `reason` otherwise.
 * @return  0, -EINVAL no ring on this reactor, -ECHILD
 */
int peal_reactor_hangup(struct peal_reactor *loop, struct peal_source *source,
			int reason);

/* -- settings */

/** Where a source stands in a round. */
enum peal_band {
	PEAL_BAND_HIGH,	  /**< first in each round */
	PEAL_BAND_NORMAL, /**< then; what a source is at first */
	PEAL_BAND_LOW,	  /**< last, and few a round while others are busy */
};
#define PEAL_BANDS 3

/**
 * Say where a source stands in a round. Within a band the reactor serves first
 * the source that became ready first. PEAL_BAND_LOW has at least eight turns in
 * each round, so no source starves.
 * @return  0, -EINVAL not added to this reactor, or an invalid band, -ECHILD
 */
int peal_reactor_set_band(struct peal_reactor *loop, struct peal_source *source,
			  enum peal_band band);

/**
 * Be told when a ring has been silent for a time: the reactor has not called
 * the ring back for so long, counted from this call at the earliest. The
 * reactor calls on_idle again after each such time, as long as the silence
 * lasts.
 * @param after_ns  nanoseconds, or 0 to be told no more
 * @param on_idle   gets the `user` of the ring's callbacks; may remove the
 *                  source, or close it with hangup(-ETIMEDOUT)
 * @return          0, -EINVAL no ring on this reactor, or no callback, -ECHILD
 */
int peal_reactor_set_idle(struct peal_reactor *loop, struct peal_source *source,
			  uint64_t after_ns,
			  void (*on_idle)(struct peal_source *source,
					  void *user));

/**
 * Poll the rings that have just been drained for a time before they are armed:
 * a wake-up across processors costs a thousand times what polling once does.
 * The time adapts: it gets shorter where polling finds nothing, and longer
 * where polling finds something. With one processor the reactor does not poll.
 * Fds and timers wait while the reactor polls.
 * @param spin_ns  nanoseconds at the most, 0 (as at first): never
 * @return         0, -ECHILD
 */
int peal_reactor_set_spin(struct peal_reactor *loop, uint64_t spin_ns);

/**
 * Have functions called before the reactor sleeps, and after. They run in
 * peal_reactor_run() and _run_once() alone, not where a loop of the caller's
 * calls peal_reactor_dispatch() or _process(). The reactor serves what `before`
 * adds or defers, and does not sleep over it. Either may be NULL.
 * @return  0, -ECHILD
 */
int peal_reactor_set_hooks(struct peal_reactor *loop,
			   void (*before)(struct peal_reactor *loop,
					  void *user),
			   void (*after)(struct peal_reactor *loop, void *user),
			   void *user);

/**
 * Time each callback, for longest_ns in the counts. The reactor reads the clock
 * twice for that. Off at first.
 */
void peal_reactor_set_timing(struct peal_reactor *loop, bool on);

/* -- inside a loop that is not ours, form A: one fd */

/**
 * Get the fd for the whole reactor, which is the same for its life. Watch it
 * level-triggered for reading, and call peal_reactor_dispatch() when it is
 * readable. There is no other rule.
 * @return  the fd, -1 hosted, -EINVAL an invalid reactor, -ECHILD
 */
int peal_reactor_fd(const struct peal_reactor *loop);

/**
 * Serve what is ready, one turn for each source, and arm. Never blocks. If the
 * call leaves work, peal_reactor_fd() is readable.
 * @return  as peal_reactor_run_once()
 */
int peal_reactor_dispatch(struct peal_reactor *loop);

/* -- inside a loop that is not ours, form B: the host watches each fd */

/**
 * A loop of the caller's that watches fds for a reactor: form B, for hosts
 * that would rather keep one epoll set (or what they have in its place).
 */
struct peal_host {
	/**
	 * Watch an fd for EPOLLIN, EPOLLOUT, ..., and hand the token and the
	 * events to peal_reactor_process(). For hosts that are `edge`, events
	 * may have EPOLLET or EPOLLONESHOT in them, as for epoll_ctl(2). For
	 * other hosts the events never have these flags. Events of 0 mean to
	 * pause.
	 * @return 0 or an error, which peal hands on
	 */
	int (*add)(void *user, int fd, uint32_t events, uint64_t token);
	/** Watch the fd for other events, with another token. */
	int (*modify)(void *user, int fd, uint32_t events, uint64_t token);
	/** Watch the fd no more. */
	int (*remove)(void *user, int fd);
	void *user;
	bool edge; /**< the host heeds EPOLLET and EPOLLONESHOT */
};

/**
 * Make a reactor that has no epoll set of its own. The host watches fds for the
 * reactor, and calls peal_reactor_process() with the events.
 * @param host  copied; the reactor calls its add() from here on, also for the
 *              reactor's own fds. Tokens may have any value.
 * @return      as peal_reactor_init(), -EINVAL a function is missing, or what
 *              host->add() returned
 * peal_reactor_run(), _run_once() and _dispatch() are -EINVAL, and
 * peal_reactor_fd() is -1.
 */
int peal_reactor_init_hosted(struct peal_reactor *loop, struct peal_slot *slots,
			     size_t n, const struct peal_host *host);

/**
 * Serve an event that the host has seen: give each source that is ready a turn,
 * and arm. Never blocks. The reactor ignores events of sources that are gone,
 * so a host may hand over a whole batch, whatever was removed meanwhile. But an
 * event that is handed over twice may count as a doorbell that rang too often.
 * @param token   as given to the host's add() or modify() last
 * @param events  as epoll would report them: EPOLLIN, EPOLLHUP, ...
 * @return        how many callbacks were made, -EINVAL not hosted, -EBUSY,
 *                -ECHILD
 */
int peal_reactor_process(struct peal_reactor *loop, uint64_t token,
			 uint32_t events);

/* -- counts */

/**
 * Counts of a reactor since it was made. Any thread may read them at any time:
 * peal_reactor_stats().
 */
struct peal_reactor_stats {
	/** rounds of the loop; aligned for the other threads */
	uint64_t iterations __attribute__((aligned(8)));
	uint64_t sleeps; /**< iterations that had nothing to do at first */
	uint64_t system_calls; /**< of the reactor, ringing not included */
	uint64_t wakeups;      /**< events that were reported for rings */
	uint64_t spurious;     /**< wakeups that found nothing to do */
	uint64_t callbacks;    /**< of rings: on_readable and on_writable */
	uint64_t mores;	       /**< callbacks that PEAL_MORE asked for */
	uint64_t spins;	       /**< times the reactor polled before arming */
	uint64_t spin_hits;    /**< spins that found something */
	uint64_t quarantines;  /**< times a doorbell was not listened to */
	uint64_t longest_ns;   /**< callback; see peal_reactor_set_timing() */
};

/**
 * Counts of a source since it was added. Any thread may read them at any time:
 * peal_source_stats().
 */
struct peal_source_stats {
	/** of any kind; aligned for the other threads */
	uint64_t callbacks __attribute__((aligned(8)));
	uint64_t transitions; /**< of a ring: callbacks without the mores */
	uint64_t mores;	      /**< callbacks that PEAL_MORE asked for */
	uint64_t wakeups;     /**< events that were reported for the source */
	uint64_t spurious;    /**< of a ring: wakeups that found nothing */
	uint64_t quarantines; /**< times its doorbell was not listened to */
	uint64_t longest_ns;  /**< callback; see peal_reactor_set_timing() */
};

/** Read the counts. From any thread. */
void peal_reactor_stats(const struct peal_reactor *loop,
			struct peal_reactor_stats *stats);

/** Read the counts of a source that is added. From any thread. */
void peal_source_stats(const struct peal_source *source,
		       struct peal_source_stats *stats);

/* -- private: every field of the structs that follow */

/* A link of a circular list. A link that points to itself is in no list. */
struct peal_link {
	struct peal_link *next, *prev;
};

/*
 * Bell accounting of a ring: how many bells an honest peer may still ring
 * (`expected`), and how many the peer rang beyond these (`unexpected`). See
 * reactor/quarantine.c.
 */
struct peal_source_bells {
	/* The source that hears the bell for the ring, or NULL. */
	struct peal_source *heard_by;
	int expected, unexpected;
	uint64_t arms_counted; /* positions that `expected` includes */
	/* The two positions at the last kick, and the kicks heard at these. */
	uint64_t kick_position, kick_peer_position;
	int kicks;
	/* While the bell is `quarantined` the reactor does not listen to the
	 * bell, until `quarantine_end`. `quarantines` counts the quarantines in
	 * a row. */
	int quarantines;
	bool quarantined;
	uint64_t quarantine_end;
};

/*
 * What on_idle needs: `after_ns` is 0 for a ring that may be silent for ever.
 * The silence lasts since `since`; `due` says that on_idle is to be called.
 */
struct peal_source_idle {
	void (*on_idle)(struct peal_source *source, void *user);
	uint64_t after_ns, since;
	bool due;
};

/* A source that serves a sender or a receiver. */
struct peal_source_ring {
	struct peal_end *end;
	union {
		struct {
			long (*on_readable)(struct peal_receiver *rx,
					    void *user);
			void (*on_closed)(struct peal_receiver *rx, int reason,
					  void *user);
		} receiver;
		struct {
			long (*on_writable)(struct peal_sender *tx, void *user);
			void (*on_closed)(struct peal_sender *tx, int reason,
					  void *user);
		} sender;
	} callbacks;
	bool rung; /* the bell was, and the ring is not yet accounted for */
	bool more; /* the last verdict was PEAL_MORE */
	struct peal_source_bells bells;
	struct peal_source_idle idle;
	/* The ring was armed while the peer elided its fences: the link in the
	 * list of such sources, and when the reactor rechecks this ring. */
	struct peal_link recheck;
	uint64_t recheck_at __attribute__((aligned(8)));
};

/* A source that serves a group of doorbells; the groups of a reactor are a
 * list. */
struct peal_source_group {
	struct peal_group *group;
	struct peal_source *next;
};

/* A source that watches an fd of the caller's, for these events. */
struct peal_source_fd {
	void (*on_event)(struct peal_source *source, int fd, uint32_t events,
			 void *user);
	uint32_t events;
};

/* A timer: its period, or 0, and the expirations not yet told. */
struct peal_source_timer {
	void (*on_timer)(struct peal_source *source, uint64_t expirations,
			 void *user);
	uint64_t period, expirations;
};

/* How far a source has taken a signal over from its process. */
enum peal_signal_taken {
	PEAL_SIGNAL_NOT_TAKEN,
	PEAL_SIGNAL_TAKEN,	       /* it was blocked before, and stays so */
	PEAL_SIGNAL_TAKEN_AND_BLOCKED, /* unblock it at the end */
};

/* A signal, and how many forks lay behind the process that took it. */
struct peal_source_signal {
	void (*on_signal)(struct peal_source *source,
			  const struct signalfd_siginfo *info, void *user);
	int number;
	enum peal_signal_taken taken;
	unsigned forks;
};

/* A child, or another process. */
struct peal_source_child {
	void (*on_exit)(struct peal_source *source, const struct peal_exit *how,
			void *user);
	pid_t pid;
};

/* A function that other threads have called. */
struct peal_source_call {
	void (*call)(struct peal_source *source, void *user);
};

/* A queue of messages from other threads. Producers move `tail`, the loop
 * `head`. */
struct peal_source_queue {
	void (*on_post)(struct peal_source *source, void *message, void *user);
	struct peal_post *cells;
	uint64_t tail __attribute__((aligned(8)));
	uint64_t mask, head;
};

/** Something that a reactor watches. Start with 0. */
struct peal_source {
	/* Where the source stands: the list that it waits in, if any; the
	 * reactor that it is added to, or NULL; its slot there; its band. */
	struct peal_link link;
	struct peal_reactor *reactor;
	uint32_t slot;
	enum peal_band band;

	/* What the reactor does with a source of this kind. */
	const struct peal_source_ops *ops;
	void *user;

	/* The fd that is watched for the source, or -1, and the events that
	 * were reported and are not yet told. */
	struct {
		int fd;
		uint32_t events;
	} watch;

	/* What belongs to a source of one kind. */
	union {
		struct peal_source_ring ring;
		struct peal_source_group group;
		struct peal_source_fd fd;
		struct peal_source_timer timer;
		struct peal_source_signal signal;
		struct peal_source_child child;
		struct peal_source_call call;
		struct peal_source_queue queue;
	} of;

	/* The source's alarm: its rank in the heap, from 1, or 0 while no alarm
	 * is set; alarms of one deadline are ordered by `order`. */
	struct {
		uint64_t order;
		uint32_t rank;
	} alarm;

	/* Any thread may defer the source. `pending`: the source is on the
	 * reactor's stack of deferred sources, or still waits for the turn that
	 * comes of that. */
	struct {
		struct peal_source *next;
		bool pending;
	} deferral;

	struct peal_source_stats stats;
};

/** A row of the reactor's table. */
struct peal_slot {
	/* The source, and how many sources the slot has had before. */
	struct peal_source *source;
	uint32_t generation;
	/* `next`: of a free slot, the next free slot; of a slot whose source
	 * watches an fd, the next slot in the bucket of that fd. `bucket`: the
	 * first slot of the bucket that has the number of this slot. */
	uint32_t next, bucket;
	/* One node of the heap of alarms, which has nothing to do with the
	 * slot's source. */
	struct {
		uint64_t deadline;
		struct peal_source *source;
	} alarm;
};

/* Who watches the fds of a reactor. */
enum peal_watcher {
	PEAL_WATCHED_BY_EPOLL, /* the reactor's own epoll set */
	PEAL_WATCHED_BY_LEVEL, /* a host that is level-triggered */
	PEAL_WATCHED_BY_EDGE,  /* a host that is edge-triggered */
};

/** A reactor. */
struct peal_reactor {
	/* Is this the reactor, and no copy, in the process that made it? The
	 * mark is a byte that the kernel zeroes in every child. */
	struct peal_reactor *self;
	unsigned char *fork_mark;

	/* The table of slots, and the first free slot. */
	struct {
		struct peal_slot *slots;
		uint32_t n, free;
	} table;

	/* Who watches the fds. `skipped` counts the iterations since the last
	 * epoll_wait(2). */
	struct {
		enum peal_watcher by;
		int epoll_fd;
		int skipped;
		struct peal_host host;
	} poll;

	/* The lists in which sources wait: for a turn in the next round, for a
	 * turn in this round, for being armed after this round, for a check
	 * some time after they were armed. */
	struct {
		struct peal_link ready[PEAL_BANDS];
		struct peal_link turn;
		struct peal_link drained;
		struct peal_link recheck;
	} lists;
	struct peal_source *groups;

	/* The heap of alarms, in the table, behind one timerfd. The timerfd is
	 * set to `set_to`, 0: not set. `orders` counts the alarms ever set. */
	struct {
		int fd;
		uint32_t n;
		uint64_t set_to, orders;
	} alarms;

	/* What other threads do to the loop. `deferred` is a stack of sources.
	 * While the loop is `asleep`, a thread has to write the eventfd to be
	 * heard. `written`: the eventfd was written, and was not cleared since.
	 * `called` (wake or stop) ends a wait, `stop` ends the run. */
	struct {
		struct peal_source *deferred;
		int fd;
		bool stop, asleep, written, called;
	} wake;

	/* Nanoseconds for which the loop polls before it arms: at the most, and
	 * the next time. */
	struct {
		uint64_t most, now;
	} spin;

	struct {
		void (*before_sleep)(struct peal_reactor *loop, void *user);
		void (*after_sleep)(struct peal_reactor *loop, void *user);
		void *user;
	} hooks;

	/* The iteration: is the loop in one, and the callbacks made in it. */
	bool running;
	bool timing;
	int callbacks;

	struct peal_reactor_stats stats;
};

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
