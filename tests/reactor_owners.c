/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One thing belongs to one reactor: ends, groups, fds; and it is given back. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>

#include "fixtures/owners.h"

/* -- ends */

TEST(an_end_has_one_source)
{
	struct peal_source other = { 0 };

	start();
	CHECK_EQ(add_rx(&loops[0], &a.source, &a), 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(add_rx(&loops[i], &other, &a), -EEXIST);
		CHECK_EQ(peal_reactor_remove(&loops[i], &other), 0);
	}
	served_by(0);
	CHECK_EQ(peal_reactor_remove(&loops[0], &a.source), 0);
	CHECK_EQ(add_rx(&loops[1], &other, &a), 0);
	served_by(1);
	CHECK_EQ(add_rx(&loops[0], &a.source, &a), -EEXIST);
	CHECK_EQ(peal_reactor_remove(&loops[1], &other), 0);

	CHECK_EQ(add_tx(&loops[0], &other, &b), 0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(add_tx(&loops[i], &a.source, &b), -EEXIST);
	CHECK_EQ(rig_settle(&loops[0]), 1);
	end();
}

TEST(an_end_is_free_when_its_reactor_is_finished)
{
	start();
	CHECK_EQ(add_rx(&loops[0], &a.source, &a), 0);
	peal_reactor_close(&loops[0]);
	memset(&a.source, 0xff, sizeof(a.source)); /* ours again */
	rig_send(&a, 1);
	memset(&a.source, 0, sizeof(a.source));
	CHECK_EQ(add_rx(&loops[1], &a.source, &a), 0);
	CHECK_EQ(rig_settle(&loops[1]), 1);
	end();
}

TEST(an_add_that_fails_leaves_the_end_free)
{
	int spare, bell;

	start();
	bell = a.data.wait_fd;
	spare = fcntl(bell, F_DUPFD_CLOEXEC, 0);
	close(bell);
	CHECK_EQ(add_rx(&loops[0], &a.source, &a), -EBADF);
	CHECK_EQ(dup3(spare, bell, O_CLOEXEC), bell);
	close(spare);
	CHECK_EQ(add_rx(&loops[1], &a.source, &a), 0);
	served_by(1);
	end();
}

/* -- groups */

static struct peal_group group;
static struct peal_group_marks marks;
static void *notify_args[BELLS];
static struct peal_source group_source, group_twin;

/* Both ends of this ring wait on bells of the group. */
static void into_group(struct rig *rig)
{
	struct peal_geometry g = { .capacity = 8, .item_size = sizeof(int) };

	CHECK_EQ(peal_geometry_fit(&g, 0), 0);
	peal_doorbell_close(&rig->data);
	peal_doorbell_close(&rig->space);
	CHECK_EQ(peal_group_bell(&group, &rig->data), 0);
	CHECK_EQ(peal_group_bell(&group, &rig->space), 0);
	rig_attach(rig, 8);
}

static void start_grouped(void)
{
	start();
	CHECK_EQ(peal_group_init(&group, &marks, notify_args, BELLS), 0);
	into_group(&a);
}

static void end_grouped(void)
{
	for (int i = 0; i < 2; i++)
		peal_reactor_close(&loops[i]);
	rig_finish(&a);
	memset(&a.data, 0, sizeof(a.data));
	peal_group_close(&group);
	end();
}

TEST(a_group_has_one_reactor)
{
	start_grouped();
	CHECK_EQ(peal_reactor_add_group(&loops[0], &group_source, &group), 0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(peal_reactor_add_group(&loops[i], &group_twin, &group),
			 -EEXIST);
	CHECK_EQ(peal_reactor_remove(&loops[0], &group_source), 0);
	CHECK_EQ(peal_reactor_add_group(&loops[1], &group_twin, &group), 0);
	CHECK_EQ(peal_reactor_add_group(&loops[0], &group_source, &group),
		 -EEXIST);
	peal_reactor_close(&loops[1]);
	CHECK_EQ(peal_reactor_add_group(&loops[0], &group_source, &group), 0);
	CHECK_EQ(add_rx(&loops[0], &a.source, &a), 0);
	rig_send(&a, 1);
	CHECK_EQ(rig_settle(&loops[0]), 1);
	end_grouped();
}

TEST(an_add_that_fails_leaves_the_group_free)
{
	int fd;

	start_grouped();
	fd = group.fd;
	group.fd = -1;
	CHECK_EQ(peal_reactor_add_group(&loops[0], &group_source, &group),
		 -EBADF);
	group.fd = fd;
	CHECK_EQ(peal_reactor_add_group(&loops[1], &group_source, &group), 0);
	CHECK_EQ(rig_settle(&loops[0]), 0);
	end_grouped();
}

TEST(a_ring_of_a_group_goes_where_the_group_is_or_nowhere)
{
	start_grouped();
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(add_rx(&loops[i], &a.source, &a), -EINVAL);
		CHECK_EQ(add_tx(&loops[i], &a.source, &a), -EINVAL);
	}
	CHECK_EQ(peal_reactor_add_group(&loops[0], &group_source, &group), 0);
	CHECK_EQ(add_rx(&loops[1], &a.source, &a), -EINVAL);
	CHECK_EQ(add_rx(&loops[0], &a.source, &a), 0);
	served_by(0);
	CHECK_EQ(peal_reactor_remove(&loops[0], &a.source), 0);
	CHECK_EQ(peal_reactor_remove(&loops[0], &group_source), 0);
	CHECK_EQ(add_rx(&loops[0], &a.source, &a), -EINVAL);
	end_grouped();
}

/* Whoever had it before does not take it from whoever has it now. */
TEST(a_group_that_was_made_anew_is_its_new_reactors)
{
	start_grouped();
	CHECK_EQ(peal_reactor_add_group(&loops[0], &group_source, &group), 0);
	CHECK_EQ(add_tx(&loops[0], &b.source, &a), 0); /* on the last bell */
	peal_group_close(&group);
	CHECK_EQ(peal_group_init(&group, &marks, notify_args, 1), 0);
	CHECK_EQ(peal_reactor_add_group(&loops[1], &group_twin, &group), 0);
	CHECK_EQ(add_tx(&loops[1], &a.source, &a), -EEXIST);
	CHECK_EQ(add_rx(&loops[1], &a.source, &a), 0); /* on the first */
	peal_reactor_remove(&loops[0], &group_source);
	CHECK_EQ(peal_reactor_remove(&loops[0], &b.source), 0);
	CHECK_EQ(add_tx(&loops[1], &b.source, &a), -EINVAL);
	served_by(1);
	end_grouped();
}

static void leave_all(struct peal_source *source, void *user)
{
	(void)source;
	(void)user;
	CHECK_EQ(peal_reactor_remove(&loops[0], &group_source), 0);
}

/* Without the group they would be silent. */
TEST(a_group_takes_its_rings_with_it)
{
	struct peal_source tx = { 0 }, call = { 0 };

	start_grouped();
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(peal_reactor_add_group(&loops[0], &group_source,
						&group),
			 0);
		CHECK_EQ(add_rx(&loops[0], &a.source, &a), 0);
		CHECK_EQ(add_tx(&loops[0], &tx, &a), 0);
		CHECK_EQ(rig_settle(&loops[0]), 1);
		served_by(0);
		rig_send(&a, 1); /* it is about to have its turn */
		if (i == 0) {
			leave_all(NULL, NULL);
		} else {
			CHECK_EQ(peal_reactor_add_deferred(&loops[0], &call,
							   leave_all, NULL),
				 0);
			CHECK_EQ(peal_reactor_set_band(&loops[0], &call,
						       PEAL_BAND_HIGH),
				 0);
			CHECK_EQ(peal_reactor_defer(&loops[0], &call), 0);
			CHECK_EQ(rig_settle(&loops[0]), 1);
		}
		CHECK_EQ(peal_reactor_hangup(&loops[0], &a.source, -EPIPE),
			 -EINVAL);
		CHECK_EQ(peal_reactor_remove(&loops[0], &a.source), 0);
		memset(&a.source, 0xff, sizeof(a.source)); /* ours again */
		memset(&tx, 0xff, sizeof(tx));
		rig_take(&a, 1);
		CHECK_EQ(rig_settle(&loops[0]), 0);
		memset(&a.source, 0, sizeof(a.source));
		memset(&tx, 0, sizeof(tx));
	}
	end_grouped();
}

TEST(a_group_forgets_its_rings_when_the_reactor_is_finished)
{
	struct peal_source tx = { 0 };

	start_grouped();
	for (int i = 0; i < 4; i++) {
		int which = i % 2;

		/* Now the group, now its ring has the first slot. */
		CHECK_EQ(peal_reactor_add_group(&loops[which], &group_source,
						&group),
			 0);
		CHECK_EQ(add_rx(&loops[which], &a.source, &a), 0);
		CHECK_EQ(add_tx(&loops[which], &tx, &a), 0);
		CHECK_EQ(rig_settle(&loops[which]), 1);
		served_by(which);
		peal_reactor_close(&loops[which]);
		memset(&a.source, 0xff, sizeof(a.source)); /* ours again */
		memset(&tx, 0xff, sizeof(tx));
		CHECK_EQ(peal_reactor_init(&loops[which], slots[which], SLOTS),
			 0);
		/* Its mark is seen by a reactor that has the group alone. */
		memset(&group_source, 0, sizeof(group_source));
		CHECK_EQ(peal_reactor_add_group(&loops[!which], &group_source,
						&group),
			 0);
		rig_send(&a, 1);
		CHECK_EQ(rig_settle(&loops[!which]), 0);
		rig_take(&a, 1);
		CHECK_EQ(peal_reactor_remove(&loops[!which], &group_source), 0);
		memset(&a.source, 0, sizeof(a.source));
		memset(&tx, 0, sizeof(tx));
	}
	end_grouped();
}

/* -- fds that were closed under their source */

static int poked(int fd)
{
	CHECK_EQ(eventfd_write(fd, 1), 0);
	calls = 0;
	CHECK(peal_reactor_run_once(&loops[0], 0) >= 0);
	return calls;
}

static void number_again(uint32_t old_edge, uint32_t new_edge, bool held)
{
	struct peal_source old = { 0 }, new = { 0 };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), other = -1, theirs = 0;

	CHECK_EQ(peal_reactor_add_fd(&loops[0], &old, fd, EPOLLIN | old_edge,
				     no_event, &theirs),
		 0);
	/* Somebody else may hold what was behind the number. */
	if (held)
		other = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	close(fd);
	CHECK_EQ(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), fd);
	CHECK_EQ(peal_reactor_add_fd(&loops[0], &new, fd, EPOLLIN | new_edge,
				     no_event, &calls),
		 0);
	CHECK_EQ(poked(fd), 1);
	CHECK_EQ(peal_reactor_set_events(&loops[0], &old, EPOLLIN | EPOLLOUT),
		 -EBADF);
	CHECK_EQ(poked(fd), 1);
	if (held) { /* no event of anybody's, and no busy loop */
		CHECK_EQ(eventfd_write(other, 1), 0);
		CHECK_EQ(peal_reactor_run_once(&loops[0], 0), new_edge ? 0 : 1);
		CHECK_EQ(theirs, 0);
	}
	CHECK_EQ(peal_reactor_remove(&loops[0], &old), 0);
	CHECK_EQ(poked(fd), 1);
	CHECK_EQ(theirs, 0);
	CHECK_EQ(peal_reactor_remove(&loops[0], &new), 0);
	CHECK_EQ(poked(fd), 0);
	close(fd);
	if (held)
		close(other);
}

TEST(a_source_whose_fd_was_closed_takes_nothing_from_the_next_one)
{
	start();
	for (int i = 0; i < 8; i++)
		number_again(i & 1 ? EPOLLET : 0, i & 2 ? EPOLLET : 0, i & 4);
	end();
}

TEST(a_bell_that_was_closed_takes_nothing_from_the_next_one)
{
	struct peal_source new = { 0 };
	int fd;

	start();
	CHECK_EQ(add_rx(&loops[0], &a.source, &a), 0);
	fd = a.data.wait_fd;
	close(fd);
	CHECK_EQ(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), fd);
	CHECK_EQ(peal_reactor_add_fd(&loops[0], &new, fd, EPOLLIN, no_event,
				     &calls),
		 0);
	for (int i = 0; i < 2; i++) /* it is a bell of nobody's */
		CHECK_EQ(poked(fd), 1);
	CHECK_EQ(peal_reactor_remove(&loops[0], &a.source), 0);
	CHECK_EQ(poked(fd), 1);
	CHECK_EQ(peal_reactor_remove(&loops[0], &new), 0);
	end();
}

/* Closed too early, and held open by somebody else, it is still in the set. */
TEST(a_file_that_comes_back_can_be_added_again)
{
	struct peal_source source = { 0 };
	int fd, other;

	start();
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	other = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(peal_reactor_add_fd(&loops[0], &source, fd, EPOLLIN,
					     no_event, &calls),
			 0);
		CHECK_EQ(poked(fd), 1);
		close(fd);
		CHECK_EQ(peal_reactor_remove(&loops[0], &source), -EBADF);
		CHECK_EQ(dup3(other, fd, O_CLOEXEC), fd);
		CHECK_EQ(poked(fd), 0);
	}
	close(fd);
	close(other);
	end();
}

TEST(an_fd_has_one_source)
{
	struct peal_source one = { 0 }, two = { 0 };
	int fd;

	start();
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK_EQ(peal_reactor_add_fd(&loops[0], &one, fd, EPOLLIN, no_event,
				     &calls),
		 0);
	CHECK_EQ(peal_reactor_add_fd(&loops[0], &two, fd, EPOLLIN | EPOLLET,
				     no_event, &calls),
		 -EEXIST);
	CHECK_EQ(poked(fd), 1);
	CHECK_EQ(peal_reactor_set_events(&loops[0], &one, 0), 0);
	CHECK_EQ(poked(fd), 0);
	close(fd);
	end();
}

/* Nobody could refuse it; it is as with epoll(7). */
TEST(an_fd_on_two_reactors_is_told_to_both)
{
	struct peal_source sources[2] = { 0 };
	int fd, told[2] = { 0 };

	start();
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(peal_reactor_add_fd(&loops[i], &sources[i], fd,
					     EPOLLIN, no_event, &told[i]),
			 0);
	CHECK_EQ(eventfd_write(fd, 1), 0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(peal_reactor_run_once(&loops[i], 0), 1);
	CHECK_EQ(peal_reactor_remove(&loops[0], &sources[0]), 0);
	CHECK_EQ(peal_reactor_run_once(&loops[0], 0), 0);
	CHECK_EQ(peal_reactor_run_once(&loops[1], 0), 1);
	CHECK_EQ(told[0], 1);
	CHECK_EQ(told[1], 2);
	close(fd);
	end();
}

/* A host that takes every fd, as one with a table by number would. */
static int watched;

static int host_add(void *user, int fd, uint32_t events, uint64_t token)
{
	(void)user;
	(void)fd;
	(void)events;
	(void)token;
	watched++;
	return 0;
}

static int host_modify(void *user, int fd, uint32_t events, uint64_t token)
{
	(void)user;
	(void)fd;
	(void)events;
	(void)token;
	return 0;
}

static int host_remove(void *user, int fd)
{
	(void)user;
	(void)fd;
	watched--;
	return 0;
}

TEST(an_fd_has_one_source_whatever_the_host_says)
{
	struct peal_host host = { .add = host_add,
				  .modify = host_modify,
				  .remove = host_remove };
	struct peal_source one = { 0 }, two = { 0 };

	start();
	peal_reactor_close(&loops[0]);
	CHECK_EQ(peal_reactor_init_hosted(&loops[0], slots[0], SLOTS, &host),
		 0);
	CHECK_EQ(add_rx(&loops[0], &a.source, &a), 0);
	CHECK_EQ(peal_reactor_add_fd(&loops[0], &one, a.data.wait_fd, EPOLLIN,
				     no_event, &calls),
		 -EEXIST);
	CHECK_EQ(peal_reactor_add_fd(&loops[0], &one, a.space.wait_fd, EPOLLIN,
				     no_event, &calls),
		 0);
	CHECK_EQ(add_tx(&loops[0], &two, &a), -EEXIST);
	CHECK_EQ(peal_reactor_remove(&loops[0], &one), 0);
	CHECK_EQ(add_tx(&loops[0], &two, &a), 0);
	CHECK_EQ(watched, 4);
	peal_reactor_close(&loops[0]);
	CHECK_EQ(watched, 0);
	end();
}

/* -- a forked child */

static struct peal_source every[KINDS], term, reaper;

static void keep_out(struct peal_source *source, const struct peal_exit *how,
		     void *user)
{
	(void)source;
	(void)how;
	(void)user;
}

/* What the child takes off is its own again. */
static void in_child(void *arg)
{
	struct peal_source source = { 0 };
	int fds = test_count_fds();

	(void)arg;
	CHECK_EQ(add_rx(&loops[0], &source, &a), -ECHILD);
	CHECK_EQ(peal_reactor_remove(&loops[0], &every[RING]), -ECHILD);
	CHECK_EQ(peal_reactor_defer(&loops[0], &every[CALL]), -ECHILD);
	CHECK_EQ(peal_reactor_fd(&loops[0]), -ECHILD);
	peal_reactor_close(&loops[0]);
	/* Its three, the signalfd and the pidfd. */
	CHECK_EQ(test_count_fds(), fds - 5);
	for (int i = 0; i < KINDS; i++)
		CHECK(!every[i].reactor);
	peal_reactor_close(&loops[1]);
	CHECK_EQ(peal_reactor_init(&loops[1], slots[1], SLOTS), 0);
	CHECK_EQ(peal_reactor_add_group(&loops[1], &group_source, &group), 0);
	CHECK_EQ(add_rx(&loops[1], &every[RING], &a), 0);
	CHECK_EQ(peal_reactor_add_signal(&loops[1], &term, SIGTERM, no_signal,
					 NULL),
		 0);
	peal_reactor_close(&loops[1]);
}

TEST(a_child_can_take_off_all_and_its_parent_loses_nothing)
{
	pid_t pid = getppid();

	test_needs_madvise();
	start_grouped();
	efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK_EQ(peal_reactor_add_group(&loops[0], &group_source, &group), 0);
	add_all(&loops[0], every);
	CHECK_EQ(peal_reactor_set_timer(&loops[0], &every[TIMER],
					UINT64_C(3600000000000), 0, 0),
		 0);
	CHECK_EQ(peal_reactor_add_signal(&loops[0], &term, SIGTERM, no_signal,
					 NULL),
		 0);
	CHECK_EQ(
		peal_reactor_add_child(&loops[0], &reaper, pid, keep_out, NULL),
		0);
	test_join(test_fork(in_child, NULL));
	served_by(0);
	CHECK_EQ(poked(efd), 1);
	CHECK_EQ(raise(SIGTERM), 0);
	for (int i = 0; i < KINDS; i++)
		CHECK_EQ(peal_reactor_remove(&loops[0], &every[i]), 0);
	CHECK_EQ(rig_settle(&loops[0]), 1);
	CHECK_EQ(peal_reactor_remove(&loops[0], &reaper), 0);
	CHECK_EQ(peal_reactor_remove(&loops[0], &term), 0);
	CHECK_EQ(peal_reactor_remove(&loops[0], &group_source), 0);
	close(efd);
	end_grouped();
}
