/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Groups of doorbells: the rings that were marked have their turns. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../ring/floor.h"
#include "internal.h"

static struct peal_group *group_of(const struct peal_source *source)
{
	return source->of.group.group;
}

/* A group has one reactor. Another thread may want it at the same time. */
static int claim_group(struct peal_source *source, struct peal_group *group)
{
	void *nobody = NULL;

	if (!__atomic_compare_exchange_n(&group->reactor, &nobody,
					 (void *)source->reactor, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return -EEXIST;
	source->of.group.group = group;
	return 0;
}

/* Without it the rings that wait on its bells would be silent for ever. */
static void group_detach(struct peal_source *source)
{
	struct peal_source **at = &source->reactor->groups;
	struct peal_group *group = group_of(source);

	if (!group)
		return; /* it is another's */
	while (*at && *at != source)
		at = &(*at)->of.group.next;
	if (*at)
		*at = source->of.group.next;
	/* It was finished, and made anew for another one. */
	if (__atomic_load_n(&group->reactor, __ATOMIC_RELAXED) !=
	    source->reactor)
		return;
	for (uint32_t i = 0; i < group->n; i++)
		if (group->notify_args[i])
			peal_source_detach(group->notify_args[i]);
	/* Pairs with the acquire in claim_group(). */
	__atomic_store_n(&group->reactor, NULL, __ATOMIC_RELEASE);
}

static void group_event(struct peal_source *source, uint32_t events)
{
	uint64_t count;

	(void)events;
	if (peal_level(source->reactor) &&
	    read(source->fd, &count, sizeof(count)) < 0)
		return; /* somebody else has */
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
	ret = peal_source_enter(loop, source, &group_ops);
	if (ret < 0)
		return ret;
	ret = claim_group(source, group);
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
		peal_reactor_kick(loop);
	return 0;
}

static void visit(struct peal_group *group, uint32_t word, uint64_t rings)
{
	for (; rings; rings &= rings - 1) {
		uint32_t bit = (uint32_t)__builtin_ctzll(rings);
		struct peal_source *source = NULL;

		if (64 * word + bit < group->n)
			source = group->notify_args[64 * word + bit];
		if (!source)
			continue;
		source->of.ring.rung = true;
		peal_source_ready(source);
	}
}

void peal_groups_collect(struct peal_reactor *loop)
{
	struct peal_source *source = loop->groups;

	for (; source; source = source->of.group.next) {
		struct peal_group *group = group_of(source);
		uint32_t word = 0;

		/* As many words as there are: whoever rings all the time does
		 * not keep us here. */
		for (uint32_t i = 0;
		     i <= group->n / 64 && peal_group_marked(group); i++) {
			uint64_t rings = peal_group_take(group, &word);

			visit(group, word, rings);
		}
	}
}

void peal_groups_sleep(struct peal_reactor *loop, bool asleep)
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
