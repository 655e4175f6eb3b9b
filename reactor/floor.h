/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_REACTOR_FLOOR_H
#define PEAL_REACTOR_FLOOR_H
/*
 * What reactor/ offers to the floor above, beyond the public headers: lists,
 * and what the owner of a source may ask of the reactor. The floor above reads
 * no field of a source or of a reactor. Times are in ring/floor.h.
 */
#include <peal/sources.h>

#include "../ring/floor.h"

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

/* -- reactors */

/*
 * Does the reactor still exist, in the process that made it? False after
 * peal_reactor_close(), and in a child after fork(2).
 */
static inline bool peal_reactor_here(const struct peal_reactor *loop)
{
	return loop->fork_mark && *loop->fork_mark;
}

/* Are n slots free? */
bool peal_reactor_has(const struct peal_reactor *loop, unsigned n);

/* How many iterations the reactor has begun. */
static inline uint64_t peal_reactor_iterations(const struct peal_reactor *loop)
{
	return loop->stats.iterations;
}

/* Does the host report an fd for as long as the fd is readable? Then each
 * readable fd has to be read. */
static inline bool peal_reactor_is_level(const struct peal_reactor *loop)
{
	return loop->poll.by == PEAL_WATCHED_BY_LEVEL;
}

/* Make the fd of the reactor readable, also for a loop that watches the fd
 * edge-triggered and was told before. */
void peal_reactor_renotify(struct peal_reactor *loop);

/* -- sources */

/* What epoll gives back: the slot, and the generation of its source. */
static inline uint64_t peal_source_token(const struct peal_source *source)
{
	const struct peal_slot *slot =
		&source->reactor->table.slots[source->slot];

	return (uint64_t)slot->generation << 32 | source->slot;
}

/* The source that a token was made for, or NULL if it was removed since. */
static inline struct peal_source *peal_source_find(
	const struct peal_reactor *loop, uint64_t token)
{
	const struct peal_slot *slot = &loop->table.slots[(uint32_t)token];

	return slot->generation == token >> 32 ? slot->source : NULL;
}

/*
 * A callback can remove the source that it is called for, free the memory
 * around it, close the reactor, or fork. So the caller takes a mark of the
 * source before the callback, and asks afterwards whether the source survived,
 * before it touches the source or what belongs to it:
 *
 *	struct peal_source_mark mark = peal_source_mark(source);
 *
 *	on_event(user);
 *	if (!peal_source_survived(&mark))
 *		return;
 */
struct peal_source_mark {
	const struct peal_reactor *loop;
	const struct peal_source *source;
	uint64_t token;
};

static inline struct peal_source_mark peal_source_mark(
	const struct peal_source *source)
{
	return (struct peal_source_mark){
		.loop = source->reactor,
		.source = source,
		.token = peal_source_token(source),
	};
}

/* Is the marked source still added, in the process that added it? */
static inline bool peal_source_survived(const struct peal_source_mark *mark)
{
	return peal_reactor_here(mark->loop) &&
	       peal_source_find(mark->loop, mark->token) == mark->source;
}

/* Is the source added to a reactor? */
static inline bool peal_source_added(const struct peal_source *source)
{
	return source->reactor;
}

/*
 * Undo all that the source's add function did, however far that function came.
 * There is no other way to take a source off.
 * In a forked child the call undoes what the child has a copy of, and leaves
 * alone what belongs to the parent as well. A source that is not added is left
 * alone.
 * @return  0 or an error of epoll_ctl(2), after which the source is off all
 *          the same
 */
int peal_source_detach(struct peal_source *source);

/* Have the callback of an fd's source called again, with EPOLLIN, after the
 * turns of the other sources. */
void peal_source_again(struct peal_source *source);

/* Let an fd's source hear EPOLLIN, or stop hearing it; the other events stay
 * as they are. */
int peal_source_listen(struct peal_source *source, bool on);

/*
 * Add a ring whose doorbell is heard by `bell`, the source of an fd, and not by
 * the ring's own source. `bell` may hear for two rings: it passes each ring of
 * the doorbell on with peal_rings_rung().
 */
int peal_receiver_add(struct peal_reactor *loop, struct peal_source *source,
		      struct peal_receiver *rx,
		      const struct peal_receiver_callbacks *callbacks,
		      struct peal_source *bell);
int peal_sender_add(struct peal_reactor *loop, struct peal_source *source,
		    struct peal_sender *tx,
		    const struct peal_sender_callbacks *callbacks,
		    struct peal_source *bell);

/* A doorbell of one ring, or of two (`b` may be NULL), was rung. Called in the
 * turn of the source that heard it. */
void peal_rings_rung(struct peal_source *a, struct peal_source *b);

#endif
