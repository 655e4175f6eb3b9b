/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whoever names a reactor or a source that is not the right one, or none, is
 * told so at once.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>

#include "fixtures/owners.h"

/* All calls that take a source, but for remove. */
static void refused(struct peal_reactor *loop, struct peal_source *source,
		    int error)
{
	CHECK_EQ(peal_reactor_set_band(loop, source, PEAL_BAND_LOW), error);
	CHECK_EQ(peal_reactor_set_events(loop, source, EPOLLIN), error);
	CHECK_EQ(peal_reactor_set_timer(loop, source, 0, 0, 0), error);
	CHECK_EQ(peal_reactor_cancel_timer(loop, source), error);
	CHECK_EQ(peal_reactor_defer(loop, source), error);
	CHECK_EQ(peal_reactor_post(loop, source, NULL), error);
	CHECK_EQ(peal_reactor_hangup(loop, source, -EPIPE), error);
	CHECK_EQ(peal_reactor_set_idle(loop, source, 0, NULL), error);
}

TEST(a_source_of_another_reactor_is_refused)
{
	struct peal_source sources[KINDS];

	start();
	efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	add_all(&loops[0], sources);
	for (int i = 0; i < KINDS; i++) {
		refused(&loops[1], &sources[i], -EINVAL);
		CHECK_EQ(peal_reactor_remove(&loops[1], &sources[i]), -EINVAL);
	}
	CHECK_EQ(rig_settle(&loops[0]), 0);
	CHECK_EQ(rig_settle(&loops[1]), 0);
	/* And they are none the worse. */
	CHECK_EQ(eventfd_write(efd, 1), 0);
	CHECK_EQ(peal_reactor_defer(&loops[0], &sources[CALL]), 0);
	CHECK_EQ(peal_reactor_post(&loops[0], &sources[QUEUE], NULL), 0);
	CHECK_EQ(peal_reactor_set_timer(&loops[0], &sources[TIMER], 0, 0, 0),
		 0);
	rig_send(&a, 1);
	for (int i = 0; i < 10 && calls < 4; i++)
		CHECK(peal_reactor_run_once(&loops[0], 0) >= 0);
	CHECK(calls >= 4);
	CHECK_EQ(a.calls, 1);
	for (int i = 0; i < KINDS; i++)
		CHECK_EQ(peal_reactor_remove(&loops[0], &sources[i]), 0);
	close(efd);
	end();
}

TEST(a_source_that_is_not_added_is_refused)
{
	struct peal_source sources[KINDS], none = { 0 };

	start();
	efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	refused(&loops[0], &none, -EINVAL);
	CHECK_EQ(peal_reactor_remove(&loops[0], &none), 0);
	add_all(&loops[0], sources);
	for (int i = 0; i < KINDS; i++) {
		CHECK_EQ(peal_reactor_remove(&loops[0], &sources[i]), 0);
		refused(&loops[0], &sources[i], -EINVAL);
	}
	CHECK_EQ(rig_settle(&loops[0]), 0);
	CHECK_EQ(calls, 0);
	close(efd);
	end();
}

TEST(a_source_that_was_moved_is_refused)
{
	struct peal_source sources[KINDS], moved[KINDS];

	start();
	efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	add_all(&loops[0], sources);
	memcpy(moved, sources, sizeof(moved));
	for (int i = 0; i < KINDS; i++) {
		refused(&loops[0], &moved[i], -EINVAL);
		CHECK_EQ(peal_reactor_remove(&loops[0], &moved[i]), -EINVAL);
	}
	for (int i = 0; i < KINDS; i++)
		CHECK_EQ(peal_reactor_remove(&loops[0], &sources[i]), 0);
	close(efd);
	end();
}

TEST(a_source_of_another_kind_is_refused)
{
	struct peal_source sources[KINDS];

	start();
	efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	add_all(&loops[0], sources);
	for (int i = 0; i < KINDS; i++) {
		struct peal_source *s = &sources[i];

		CHECK_EQ(peal_reactor_set_events(&loops[0], s, EPOLLIN),
			 i == FD ? 0 : -EINVAL);
		CHECK_EQ(peal_reactor_cancel_timer(&loops[0], s),
			 i == TIMER ? 0 : -EINVAL);
		CHECK_EQ(peal_reactor_defer(&loops[0], s),
			 i == CALL ? 0 : -EINVAL);
		CHECK_EQ(peal_reactor_post(&loops[0], s, NULL),
			 i == QUEUE ? 0 : -EINVAL);
		CHECK_EQ(peal_reactor_set_idle(&loops[0], s, 0, NULL),
			 i == RING ? 0 : -EINVAL);
		if (i != RING)
			CHECK_EQ(peal_reactor_hangup(&loops[0], s, -EPIPE),
				 -EINVAL);
	}
	CHECK_EQ(rig_settle(&loops[0]), 2);
	CHECK_EQ(calls, 2);
	for (int i = 0; i < KINDS; i++)
		CHECK_EQ(peal_reactor_remove(&loops[0], &sources[i]), 0);
	close(efd);
	end();
}

/* -- a reactor that is not where it was made */

static void is_no_reactor(struct peal_reactor *loop)
{
	struct peal_source source = { 0 };

	CHECK_EQ(peal_reactor_run(loop), -EINVAL);
	CHECK_EQ(peal_reactor_run_once(loop, -1), -EINVAL);
	CHECK_EQ(peal_reactor_dispatch(loop), -EINVAL);
	CHECK_EQ(peal_reactor_process(loop, 0, EPOLLIN), -EINVAL);
	CHECK_EQ(peal_reactor_fd(loop), -EINVAL);
	CHECK_EQ(add_rx(loop, &source, &b), -EINVAL);
	CHECK_EQ(peal_reactor_add_group(loop, &source,
					&(struct peal_group){ .fd = -1 }),
		 -EINVAL);
	CHECK_EQ(peal_reactor_add_signal(loop, &source, SIGUSR1, no_signal,
					 NULL),
		 -EINVAL);
	CHECK_EQ(peal_reactor_add_timer(loop, &source, no_timer, NULL),
		 -EINVAL);
	CHECK_EQ(peal_reactor_set_spin(loop, 0), -EINVAL);
	CHECK_EQ(peal_reactor_set_hooks(loop, NULL, NULL, NULL), -EINVAL);
	CHECK_EQ(peal_reactor_remove(loop, &a.source), -EINVAL);
	refused(loop, &a.source, -EINVAL);
	/* Of no effect: */
	peal_reactor_stop(loop);
	peal_reactor_wake(loop);
	peal_reactor_close(loop);
}

TEST(a_reactor_that_was_moved_or_copied_is_none)
{
	static struct peal_reactor copy;
	int fds;

	start();
	CHECK_EQ(add_rx(&loops[0], &a.source, &a), 0);
	fds = test_count_fds();
	memcpy(&copy, &loops[0], sizeof(copy));
	is_no_reactor(&copy);
	/* The one that was made is none the worse. */
	CHECK_EQ(test_count_fds(), fds);
	CHECK_EQ(rig_settle(&loops[0]), 0);
	served_by(0);
	/* Nor is the copy when that is gone, and all that it refers to. */
	memcpy(&copy, &loops[0], sizeof(copy));
	peal_reactor_close(&loops[0]);
	is_no_reactor(&copy);
	end();
}

static void taken_by_value(struct peal_reactor loop)
{
	is_no_reactor(&loop);
}

TEST(a_reactor_that_was_handed_over_by_value_is_none)
{
	start();
	taken_by_value(loops[0]);
	CHECK_EQ(rig_settle(&loops[0]), 0);
	end();
}

TEST(a_reactor_that_was_not_made_or_is_finished_is_none)
{
	struct peal_reactor loop = { 0 };

	start();
	is_no_reactor(&loop);
	peal_reactor_close(&loops[0]);
	is_no_reactor(&loops[0]);
	end();
}

/* -- callbacks that do not return */

static jmp_buf out;

static void jump(struct peal_source *source, void *user)
{
	(void)source;
	(void)user;
	longjmp(out, 1);
}

TEST(after_a_jump_out_of_a_callback_a_reactor_can_be_finished)
{
	struct peal_source call = { 0 };

	start();
	CHECK_EQ(peal_reactor_add_deferred(&loops[0], &call, jump, NULL), 0);
	CHECK_EQ(add_rx(&loops[0], &a.source, &a), 0);
	CHECK_EQ(peal_reactor_defer(&loops[0], &call), 0);
	rig_send(&a, 1);
	if (!setjmp(out)) {
		peal_reactor_run_once(&loops[0], 0);
		CHECK(false);
	}
	CHECK_EQ(peal_reactor_run(&loops[0]), -EBUSY);
	CHECK_EQ(peal_reactor_dispatch(&loops[0]), -EBUSY);
	peal_reactor_close(&loops[0]);
	CHECK_EQ(peal_reactor_init(&loops[0], slots[0], SLOTS), 0);
	CHECK_EQ(add_rx(&loops[0], &a.source, &a), 0);
	rig_send(&a, 1);
	CHECK_EQ(rig_settle(&loops[0]), 1);
	CHECK_EQ(a.next_out, 2);
	end();
}
