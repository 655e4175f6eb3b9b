/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The marks of a group, one bit for each bell. A thread that rings sets its
 * mark with fetch-or, and the reactor takes marks with exchange. Only here a
 * word has several authors, and these trust each other. A second level has one
 * bit for each word of marks. The thread that sets the first mark of a word
 * also sets the bit of the word. The thread that sets the first bit looks
 * whether the reactor sleeps:
 *
 *	a thread that rings		reactor
 *	mark				asleep = 1
 *	asleep? write the eventfd	no mark? sleep
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <peal/group.h>

#include "internal.h"

int peal_group_init(struct peal_group *group, struct peal_group_marks *marks,
		    void **notify_args, size_t n)
{
	struct peal_group g = { .marks = marks,
				.notify_args = notify_args,
				.n = (uint32_t)n };

	if (n == 0 || n > PEAL_GROUP_MOST)
		return -EINVAL;
	g.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g.fd < 0)
		return -errno;
	memset(notify_args, 0, n * sizeof(*notify_args));
	*group = g;
	return 0;
}

int peal_group_bell(struct peal_group *group, struct peal_doorbell *bell)
{
	for (uint32_t i = 0; i < group->n; i++) {
		uint64_t bit = (uint64_t)1 << i % 64;

		if (group->taken[i / 64] & bit)
			continue;
		group->taken[i / 64] |= bit;
		*bell = (struct peal_doorbell){
			.wait_fd = -1,
			.ring_fd = group->fd,
			.kind = PEAL_DOORBELL_GROUP,
			.owned = 1,
			.index = i,
			.group = group,
		};
		return 0;
	}
	return -ENOSPC;
}

void peal_group_return(struct peal_group *group, uint32_t index)
{
	if (index >= group->n)
		return; /* the group was closed before its bells */
	group->taken[index / 64] &= ~((uint64_t)1 << index % 64);
	group->notify_args[index] = NULL;
}

void peal_group_close(struct peal_group *group)
{
	if (group->n)
		close(group->fd);
	memset(group, 0, sizeof(*group));
}

int peal_group_ring(struct peal_group *group, uint32_t index)
{
	struct peal_group_marks *marks = group->marks;
	const uint64_t one = 1;

	if (!marks)
		return -EBADF; /* the group was closed */
	if (__atomic_fetch_or(&marks->rings[index / 64],
			      (uint64_t)1 << index % 64, __ATOMIC_SEQ_CST))
		return 0; /* the thread that set the first mark does the rest */
	if (__atomic_fetch_or(&marks->words, (uint64_t)1 << index / 64,
			      __ATOMIC_SEQ_CST))
		return 0;
	if (!__atomic_load_n(&marks->asleep, __ATOMIC_SEQ_CST) ||
	    !__atomic_exchange_n(&marks->asleep, 0, __ATOMIC_SEQ_CST))
		return 0;
	while (write(group->fd, &one, sizeof(one)) < 0)
		if (errno != EINTR)
			return errno == EAGAIN ? 0 : -errno;
	return 0;
}

uint64_t peal_group_take(struct peal_group *group, uint32_t *word)
{
	struct peal_group_marks *marks = group->marks;
	uint64_t words = __atomic_load_n(&marks->words, __ATOMIC_SEQ_CST);

	if (!words)
		return 0;
	*word = (uint32_t)__builtin_ctzll(words);
	/* Clear the mark of the word first: a ring that sets a mark after this
	 * marks the word again. */
	__atomic_fetch_and(&marks->words, ~((uint64_t)1 << *word),
			   __ATOMIC_SEQ_CST);
	return __atomic_exchange_n(&marks->rings[*word], 0, __ATOMIC_SEQ_CST);
}
