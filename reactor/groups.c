/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Groups of doorbells. A ring whose bell was marked has a turn. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../ring/floor.h"
#include "internal.h"

static struct peal_group *group_of(const struct peal_source *source)
{
	return source->of.group.group;
}

/* A group has one reactor. Another thread may claim the group at the same
 * time. */
static int group_claim(struct peal_source *source, struct peal_group *group)
{
	void *nobody = NULL;

	if (!__atomic_compare_exchange_n(&group->reactor, &nobody,
					 (void *)source->reactor, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return -EEXIST;
	source->of.group.group = group;
	return 0;
}

static void group_list_remove(struct peal_source *source)
{
	struct peal_source **at = &source->reactor->groups;

	while (*at && *at != source)
		at = &(*at)->of.group.next;
	if (*at)
		*at = source->of.group.next;
}

static void group_detach(struct peal_source *source)
{
	struct peal_group *group = group_of(source);

	if (!group)
		return; /* the group belongs to another source */
	group_list_remove(source);
	/* The group was closed, and made anew for another reactor. */
	if (__atomic_load_n(&group->reactor, __ATOMIC_RELAXED) !=
	    source->reactor)
		return;
	/* The rings that wait on the group's bells would hear nothing more. */
	for (uint32_t i = 0; i < group->n; i++)
		if (group->notify_args[i])
			peal_source_detach(group->notify_args[i]);
	/* Pairs with the acquire in group_claim(). */
	__atomic_store_n(&group->reactor, NULL, __ATOMIC_RELEASE);
}

/* The eventfd has done its work by ending the wait: the marks say what to do.
 * A level-triggered host needs the eventfd read. */
static void group_event(struct peal_source *source, uint32_t events)
{
	uint64_t count;

	(void)events;
	if (peal_reactor_is_level(source->reactor) &&
	    read(source->watch.fd, &count, sizeof(count)) < 0)
		return; /* somebody else has read it */
}

static const struct peal_source_ops group_ops = {
	.event = group_event,
	.detach = group_detach,
};

int peal_reactor_add_group(struct peal_reactor *loop,
			   struct peal_source *source, struct peal_group *group)
{
	int ret;

	if (!group->marks)
		return -EINVAL;
	ret = peal_source_attach(loop, source, &group_ops, NULL);
	if (ret < 0)
		return ret;
	ret = group_claim(source, group);
	if (ret == 0)
		ret = peal_source_watch(source, group->fd, EPOLLIN | EPOLLET);
	if (ret < 0) {
		peal_source_detach(source);
		return ret;
	}
	source->of.group.next = loop->groups;
	loop->groups = source;
	peal_group_sleeps(group, true);
	peal_end_fence();
	if (peal_group_marked(group))
		peal_wake_write(loop);
	return 0;
}

/* -- for the loop */

/* Schedule the rings of one word of marks. */
static void group_schedule(struct peal_group *group, uint32_t word,
			   uint64_t marks)
{
	for (; marks; marks &= marks - 1) {
		uint32_t bit = (uint32_t)__builtin_ctzll(marks);
		struct peal_source *source = NULL;

		if (64 * word + bit < group->n)
			source = group->notify_args[64 * word + bit];
		if (!source)
			continue;
		source->of.ring.rung = true;
		peal_source_schedule(source);
	}
}

void peal_groups_collect(struct peal_reactor *loop)
{
	struct peal_source *source = loop->groups;

	for (; source; source = source->of.group.next) {
		struct peal_group *group = group_of(source);
		uint32_t word = 0;

		/* The loop ends after as many words as there are, even if a
		 * peer marks its bell all the time. */
		for (uint32_t i = 0;
		     i <= group->n / 64 && peal_group_marked(group); i++) {
			uint64_t marks = peal_group_take(group, &word);

			group_schedule(group, word, marks);
		}
	}
}

void peal_groups_set_asleep(struct peal_reactor *loop, bool asleep)
{
	struct peal_source *source = loop->groups;

	for (; source; source = source->of.group.next)
		peal_group_sleeps(group_of(source), asleep);
}

bool peal_groups_marked(const struct peal_reactor *loop)
{
	const struct peal_source *source = loop->groups;

	for (; source; source = source->of.group.next)
		if (peal_group_marked(group_of(source)))
			return true;
	return false;
}
