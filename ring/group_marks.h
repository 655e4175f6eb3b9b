/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_RING_GROUP_MARKS_H
#define PEAL_RING_GROUP_MARKS_H
/* The two sides of a group's marks: doorbells ring, a reactor takes. */
#include <stdbool.h>

#include <peal/group.h>

/* @return 0, or an error of write(2) */
int peal_group_ring(struct peal_group *group, uint32_t index);
void peal_group_return(struct peal_group *group, uint32_t index);

/* Those of one word that were rung, and which word that is; 0: there is none,
 * or it was taken already. */
uint64_t peal_group_take(struct peal_group *group, uint32_t *word);

/* One that was finished has no marks any more. */
static inline bool peal_group_marked(const struct peal_group *group)
{
	return group->marks &&
	       __atomic_load_n(&group->marks->words, __ATOMIC_SEQ_CST) != 0;
}

/* Before it sleeps: a full fence, and then another look for marks. */
static inline void peal_group_sleeps(struct peal_group *group, bool asleep)
{
	if (group->marks)
		__atomic_store_n(&group->marks->asleep, asleep,
				 __ATOMIC_RELAXED);
}

#endif
