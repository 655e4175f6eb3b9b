/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Doorbells that go wrong: meddling peers, lost ones, wrong fds. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <peal/doorbell.h>

#include "fixtures/harness.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

/* -- peers that meddle */

TEST(clear_does_not_block_though_the_peer_made_the_eventfd_blocking)
{
	struct iovec none = { 0 };
	struct peal_doorbell bell;
	int peer;

	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_EVENTFD), 0);
	if (syscall(SYS_preadv2, bell.wait_fd, &none, 1, -1L, -1L, RWF_NOWAIT) <
		    0 &&
	    (errno == EOPNOTSUPP || errno == ENOSYS))
		test_skip("preadv2(2) has no RWF_NOWAIT for eventfds here");
	/* O_NONBLOCK belongs to the description, which is shared. */
	peer = dup(bell.wait_fd);
	CHECK_EQ(fcntl(peer, F_SETFL, fcntl(peer, F_GETFL) & ~O_NONBLOCK), 0);
	CHECK(!(fcntl(bell.wait_fd, F_GETFL) & O_NONBLOCK));
	CHECK_EQ(peal_doorbell_clear(&bell), 0);
	CHECK_EQ(peal_doorbell_ring(&bell), 0);
	CHECK_EQ(peal_doorbell_clear(&bell), 1);
	CHECK_EQ(peal_doorbell_clear(&bell), 0);
	close(peer);
	peal_doorbell_close(&bell);
}

TEST(clear_does_not_block_on_sockets_that_block)
{
	struct peal_doorbell bell;
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	CHECK_EQ(peal_doorbell_borrow(&bell, PEAL_DOORBELL_SOCKET, fds[0],
				      fds[1]),
		 0);
	CHECK_EQ(peal_doorbell_clear(&bell), 0);
	close(fds[0]);
	close(fds[1]);
}

TEST(semaphore_that_never_empties_does_not_hold_clear_up)
{
	struct peal_doorbell bell;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE);
	uint64_t most = UINT64_MAX - 1;

	CHECK_EQ(peal_doorbell_borrow(&bell, PEAL_DOORBELL_EVENTFD, fd, fd), 0);
	CHECK_EQ(write(fd, &most, sizeof(most)), sizeof(most));
	for (int i = 0; i < 3; i++)
		CHECK_EQ(peal_doorbell_clear(&bell), 1);
	close(fd);
}

/* -- nobody at the other end */

static void check_pipe_without_readers(void)
{
	struct peal_doorbell bell;
	int fds[2];

	CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
	CHECK_EQ(peal_doorbell_borrow(&bell, PEAL_DOORBELL_PIPE, -1, fds[1]),
		 0);
	close(fds[0]);
	CHECK_EQ(peal_doorbell_ring(&bell), -EPIPE);
	CHECK_EQ(peal_doorbell_ring(&bell), -EPIPE);
	close(fds[1]);
}

static bool sigpipe_is_pending(void)
{
	sigset_t pending;

	CHECK_EQ(sigpending(&pending), 0);
	return sigismember(&pending, SIGPIPE);
}

static bool sigpipe_is_blocked(void)
{
	sigset_t mask;

	CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
	return sigismember(&mask, SIGPIPE);
}

static void block_sigpipe(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
}

TEST(pipe_without_readers_raises_no_sigpipe)
{
	signal(SIGPIPE, SIG_DFL); /* which would end us */
	check_pipe_without_readers();
	CHECK(!sigpipe_is_blocked());
	CHECK(!sigpipe_is_pending());
}

TEST(pipe_without_readers_leaves_no_sigpipe_to_those_who_block_it)
{
	block_sigpipe();
	check_pipe_without_readers();
	CHECK(sigpipe_is_blocked());
	CHECK(!sigpipe_is_pending());
}

TEST(sigpipe_ignored_stays_ignored)
{
	signal(SIGPIPE, SIG_IGN);
	check_pipe_without_readers();
	CHECK(signal(SIGPIPE, SIG_DFL) == SIG_IGN);
	CHECK(!sigpipe_is_pending());
}

TEST(sigpipe_that_was_pending_before_stays_pending)
{
	block_sigpipe();
	raise(SIGPIPE); /* for this thread */
	check_pipe_without_readers();
	CHECK(sigpipe_is_pending());
}

TEST(sigpipe_that_was_pending_for_the_process_stays_pending)
{
	block_sigpipe();
	kill(getpid(), SIGPIPE);
	check_pipe_without_readers();
	CHECK(sigpipe_is_pending());
}

TEST(socket_whose_peer_is_gone_raises_no_sigpipe)
{
	struct peal_doorbell bell;
	int fds[2];

	signal(SIGPIPE, SIG_DFL);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	CHECK_EQ(peal_doorbell_borrow(&bell, PEAL_DOORBELL_SOCKET, fds[0],
				      fds[0]),
		 0);
	close(fds[1]);
	CHECK_EQ(peal_doorbell_ring(&bell), -EPIPE);
	CHECK_EQ(peal_doorbell_clear(&bell), -EPIPE);
	close(fds[0]);
}

TEST(clear_says_that_nobody_can_ring_any_more)
{
	struct peal_doorbell bell;
	int fds[2];

	CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
	CHECK_EQ(peal_doorbell_borrow(&bell, PEAL_DOORBELL_PIPE, fds[0], -1),
		 0);
	CHECK_EQ(write(fds[1], "", 1), 1);
	close(fds[1]);
	CHECK_EQ(peal_doorbell_clear(&bell), 1); /* the last ring first */
	CHECK_EQ(peal_doorbell_clear(&bell), -EPIPE);
	close(fds[0]);
}

/* -- errors of making and borrowing */

static void check_not_borrowed(enum peal_doorbell_kind kind, int wait_fd,
			       int ring_fd, int error)
{
	struct peal_doorbell bell, untouched;

	memset(&bell, 0x5a, sizeof(bell));
	untouched = bell;
	CHECK_EQ(peal_doorbell_borrow(&bell, kind, wait_fd, ring_fd), error);
	CHECK(memcmp(&bell, &untouched, sizeof(bell)) == 0);
}

TEST(unknown_kinds_are_invalid)
{
	struct peal_doorbell bell;
	int fd = eventfd(0, EFD_NONBLOCK);

	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_NONE), -EINVAL);
	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_SOCKET), -EINVAL);
	CHECK_EQ(peal_doorbell_init(&bell, (enum peal_doorbell_kind)7),
		 -EINVAL);
	check_not_borrowed(PEAL_DOORBELL_NONE, fd, fd, -EINVAL);
	check_not_borrowed((enum peal_doorbell_kind)7, fd, fd, -EINVAL);
	close(fd);
}

TEST(bell_needs_an_fd)
{
	check_not_borrowed(PEAL_DOORBELL_EVENTFD, -1, -1, -EINVAL);
	check_not_borrowed(PEAL_DOORBELL_PIPE, -1, -1, -EINVAL);
	check_not_borrowed(PEAL_DOORBELL_SOCKET, -1, -1, -EINVAL);
}

TEST(fd_that_is_not_open_cannot_be_borrowed)
{
	int closed = dup(STDERR_FILENO), fd = eventfd(0, EFD_NONBLOCK);

	close(closed);
	check_not_borrowed(PEAL_DOORBELL_EVENTFD, closed, fd, -EBADF);
	check_not_borrowed(PEAL_DOORBELL_EVENTFD, fd, closed, -EBADF);
	check_not_borrowed(PEAL_DOORBELL_PIPE, closed, -1, -EBADF);
	check_not_borrowed(PEAL_DOORBELL_SOCKET, -1, closed, -EBADF);
	close(fd);
}

TEST(fd_of_another_kind_cannot_be_borrowed)
{
	int event = eventfd(0, EFD_NONBLOCK);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	int null = open("/dev/null", O_RDWR | O_NONBLOCK);
	int pipes[2], sockets[2];

	CHECK_EQ(pipe2(pipes, O_NONBLOCK), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets),
		 0);
	check_not_borrowed(PEAL_DOORBELL_EVENTFD, pipes[0], pipes[1], -EBADMSG);
	check_not_borrowed(PEAL_DOORBELL_EVENTFD, sockets[0], -1, -EBADMSG);
	check_not_borrowed(PEAL_DOORBELL_EVENTFD, null, null, -EBADMSG);
	check_not_borrowed(PEAL_DOORBELL_EVENTFD, timer, timer, -EBADMSG);
	check_not_borrowed(PEAL_DOORBELL_PIPE, event, event, -EBADMSG);
	check_not_borrowed(PEAL_DOORBELL_PIPE, pipes[0], sockets[0], -EBADMSG);
	check_not_borrowed(PEAL_DOORBELL_SOCKET, event, -1, -EBADMSG);
	check_not_borrowed(PEAL_DOORBELL_SOCKET, sockets[0], pipes[1],
			   -EBADMSG);
	for (int i = 0; i < 2; i++) {
		close(pipes[i]);
		close(sockets[i]);
	}
	close(event);
	close(timer);
	close(null);
}

TEST(fd_that_blocks_cannot_be_borrowed)
{
	int event = eventfd(0, 0);
	int pipes[2];

	CHECK_EQ(pipe2(pipes, 0), 0);
	check_not_borrowed(PEAL_DOORBELL_EVENTFD, event, event, -EBADMSG);
	check_not_borrowed(PEAL_DOORBELL_PIPE, pipes[0], pipes[1], -EBADMSG);
	close(event);
	close(pipes[0]);
	close(pipes[1]);
}

TEST(no_fd_left_is_an_error_and_leaves_the_bell_alone)
{
	struct peal_doorbell bell, untouched;
	struct rlimit limit = { .rlim_cur = 0, .rlim_max = 0 };

	memset(&bell, 0x5a, sizeof(bell));
	untouched = bell;
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 0;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_EVENTFD), -EMFILE);
	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_PIPE), -EMFILE);
	CHECK(memcmp(&bell, &untouched, sizeof(bell)) == 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}
