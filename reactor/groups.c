/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Groups of doorbells: the rings that were marked have their turns. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../ring/endpoint.h"
#include "../ring/group_marks.h"
#include "internal.h"

static struct peal_group *group_of(const struct peal_source *source)
{
	return source->of.group.group;
}

int peal_reactor_add_group(struct peal_reactor *loop,
			   struct peal_source *source, struct peal_group *group)
{
	int ret = peal_source_enter(loop, source, PEAL_KIND_GROUP);

	if (ret < 0)
		return ret;
	source->of.group.group = group;
	ret = peal_source_watch(source, group->fd, EPOLLIN | EPOLLET);
	if (ret < 0) {
		peal_source_leave(source);
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

void peal_group_drop(struct peal_source *source)
{
	struct peal_source **at = &source->reactor->groups;

	while (*at != source)
		at = &(*at)->of.group.next;
	*at = source->of.group.next;
}

void peal_group_arrived(struct peal_source *source)
{
	uint64_t count;

	if (peal_level(source->reactor) &&
	    read(source->fd, &count, sizeof(count)) < 0)
		return; /* somebody else has */
}

static void visit(struct peal_group *group, uint32_t word, uint64_t rings)
{
	for (; rings; rings &= rings - 1) {
		uint32_t bit = (uint32_t)__builtin_ctzll(rings);
		struct peal_source *source = NULL;

		if (64 * word + bit < group->n)
			source = group->waiters[64 * word + bit];
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
