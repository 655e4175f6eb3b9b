/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_REACTOR_INTERNAL_H
#define PEAL_REACTOR_INTERNAL_H
/*
 * How the parts of the reactor meet:
 *
 *	reactor.c   the table of slots, adding and removing, plain fds
 *	rings.c	    senders and receivers: a turn, a verdict, arming, closing
 *	timers.c    the heap behind the timerfd
 *	deferred.c  calls from other threads, and waking the loop
 *	loop.c	    an iteration
 *
 * A source is idle, or it stands in one of three lists: `ready` and `turn`
 * (it will have a turn), or `drained` (it will be armed).
 */
#include <stddef.h>

#include <peal/reactor.h>

enum peal_kind {
	PEAL_KIND_RECEIVER = 1,
	PEAL_KIND_SENDER,
	PEAL_KIND_FD,
	PEAL_KIND_TIMER,
	PEAL_KIND_DEFERRED,
};

#define PEAL_NO_SLOT UINT32_MAX
/* What epoll gives back for the reactor's own fds. */
#define PEAL_TOKEN_TIMER UINT64_MAX
#define PEAL_TOKEN_WAKE (UINT64_MAX - 1)

/* -- lists: circular, with a link that stands for the list itself */

static inline void peal_link_init(struct peal_link *link)
{
	link->next = link->prev = link;
}

static inline bool peal_link_empty(const struct peal_link *link)
{
	return link->next == link;
}

static inline void peal_link_remove(struct peal_link *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	peal_link_init(link);
}

static inline void peal_link_append(struct peal_link *list,
				    struct peal_link *link)
{
	link->prev = list->prev;
	link->next = list;
	list->prev->next = link;
	list->prev = link;
}

/* Move all of `from` to the end of `list`. */
static inline void peal_link_splice(struct peal_link *list,
				    struct peal_link *from)
{
	if (peal_link_empty(from))
		return;
	from->next->prev = list->prev;
	list->prev->next = from->next;
	from->prev->next = list;
	list->prev = from->prev;
	peal_link_init(from);
}

/* The first source of a list that is not empty, taken out of it. */
static inline struct peal_source *peal_link_take(struct peal_link *list)
{
	struct peal_link *link = list->next;

	peal_link_remove(link);
	return (struct peal_source *)((char *)link -
				      offsetof(struct peal_source, link));
}

/* -- reactor.c */

/* Is this still the process that made the reactor? */
static inline bool peal_reactor_here(const struct peal_reactor *loop)
{
	return loop->fork_mark && *loop->fork_mark;
}

/* What epoll is to give back: the slot, and whose it is at this time. */
static inline uint64_t peal_source_token(const struct peal_source *source)
{
	const struct peal_slot *slot = &source->reactor->slots[source->slot];

	return (uint64_t)slot->generation << 32 | source->slot;
}

/* The source that a token meant, or NULL if it was removed meanwhile. */
struct peal_source *peal_source_find(const struct peal_reactor *loop,
				     uint64_t token);
int peal_source_enter(struct peal_reactor *loop, struct peal_source *source,
		      int kind);
void peal_source_leave(struct peal_source *source);
int peal_source_watch(struct peal_source *source, int fd, uint32_t events);
/* Let it have a turn, unless it will have one anyway. */
void peal_source_ready(struct peal_source *source);
void peal_fd_turn(struct peal_source *source);

/* -- rings.c */
void peal_ring_turn(struct peal_source *source);
/* Arm all that were drained, with one fence, and look at each again. */
void peal_rings_arm(struct peal_reactor *loop);

/* -- timers.c */
void peal_timer_turn(struct peal_source *source);
void peal_timer_drop(struct peal_source *source);
void peal_timers_expire(struct peal_reactor *loop);
/* Tell timer_fd of the earliest deadline. */
void peal_timers_program(struct peal_reactor *loop);

/* -- deferred.c */
void peal_deferred_turn(struct peal_source *source);
/* Let the calls that were deferred have their turns. */
void peal_deferred_collect(struct peal_reactor *loop);
/* Make wake_fd readable; from anywhere. */
void peal_reactor_kick(struct peal_reactor *loop);
/* The same, if nothing else would have the loop look at what is ready. */
void peal_reactor_nudge(struct peal_reactor *loop);
void peal_reactor_unkick(struct peal_reactor *loop);

#endif
