/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <peal/doorbell.h>

#include "fixtures/harness.h"

/* -- what every bell does */

static void check_bell(const struct peal_doorbell *bell)
{
	CHECK_EQ(peal_doorbell_wait(bell, 0), -ETIMEDOUT);
	CHECK_EQ(peal_doorbell_clear(bell), 0);
	CHECK_EQ(peal_doorbell_ring(bell), 0);
	CHECK_EQ(peal_doorbell_wait(bell, 0), 0);
	CHECK_EQ(peal_doorbell_wait(bell, -1), 0); /* it stays rung */
	CHECK_EQ(peal_doorbell_clear(bell), 1);
	CHECK_EQ(peal_doorbell_wait(bell, 0), -ETIMEDOUT);
	CHECK_EQ(peal_doorbell_clear(bell), 0);
	/* It does not count. */
	for (int i = 0; i < 5; i++)
		CHECK_EQ(peal_doorbell_ring(bell), 0);
	CHECK_EQ(peal_doorbell_clear(bell), 1);
	CHECK_EQ(peal_doorbell_clear(bell), 0);
}

static void check_made(enum peal_doorbell_kind kind)
{
	struct peal_doorbell bell;

	CHECK_EQ(peal_doorbell_init(&bell, kind), 0);
	CHECK_EQ(bell.kind, kind);
	check_bell(&bell);
	for (int i = 0; i < 2; i++) {
		int fd = i ? bell.ring_fd : bell.wait_fd;

		CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
		CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
	peal_doorbell_close(&bell);
	CHECK_EQ(bell.kind, PEAL_DOORBELL_NONE);
	peal_doorbell_close(&bell);
}

TEST(eventfd_bell_is_rung_and_cleared)
{
	check_made(PEAL_DOORBELL_EVENTFD);
}

TEST(pipe_bell_is_rung_and_cleared)
{
	check_made(PEAL_DOORBELL_PIPE);
}

TEST(eventfd_bell_is_one_fd)
{
	struct peal_doorbell bell;
	int before = test_count_fds();

	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_EVENTFD), 0);
	CHECK_EQ(test_count_fds(), before + 1);
	CHECK_EQ(bell.wait_fd, bell.ring_fd);
	peal_doorbell_close(&bell);
	CHECK_EQ(test_count_fds(), before);
}

/* Borrow them as a bell, use it, finish it: they are still open. */
static void check_borrowed(enum peal_doorbell_kind kind, const int fds[2])
{
	struct peal_doorbell bell;

	CHECK_EQ(peal_doorbell_borrow(&bell, kind, fds[0], fds[1]), 0);
	CHECK_EQ(bell.wait_fd, fds[0]);
	CHECK_EQ(bell.ring_fd, fds[1]);
	check_bell(&bell);
	peal_doorbell_close(&bell);
	CHECK_EQ(bell.kind, PEAL_DOORBELL_NONE);
	CHECK_EQ(close(fds[0]), 0);
	if (fds[1] != fds[0])
		CHECK_EQ(close(fds[1]), 0);
}

TEST(borrowed_eventfd_stays_the_callers)
{
	int fd = eventfd(0, EFD_NONBLOCK);

	check_borrowed(PEAL_DOORBELL_EVENTFD, (int[]){ fd, fd });
}

TEST(borrowed_pipe_stays_the_callers)
{
	int fds[2];

	CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
	check_borrowed(PEAL_DOORBELL_PIPE, fds);
}

TEST(borrowed_sockets_stay_the_callers)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

	for (int i = 0; i < 3; i++) {
		int fds[2];

		/* Blocking ones will do: every call says MSG_DONTWAIT. */
		CHECK_EQ(socketpair(AF_UNIX, types[i], 0, fds), 0);
		check_borrowed(PEAL_DOORBELL_SOCKET, fds);
	}
}

TEST(two_halves_of_a_pipe_are_a_bell_between_two)
{
	struct peal_doorbell waits, rings;
	int fds[2];

	CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
	CHECK_EQ(peal_doorbell_borrow(&waits, PEAL_DOORBELL_PIPE, fds[0], -1),
		 0);
	CHECK_EQ(peal_doorbell_borrow(&rings, PEAL_DOORBELL_PIPE, -1, fds[1]),
		 0);
	CHECK_EQ(peal_doorbell_ring(&rings), 0);
	CHECK_EQ(peal_doorbell_wait(&waits, -1), 0);
	CHECK_EQ(peal_doorbell_clear(&waits), 1);
	/* Neither can do what is the other's. */
	CHECK_EQ(peal_doorbell_ring(&waits), -EBADF);
	CHECK_EQ(peal_doorbell_wait(&rings, 0), -EINVAL);
	CHECK_EQ(peal_doorbell_clear(&rings), -EBADF);
	close(fds[0]);
	close(fds[1]);
}

TEST(no_bell_is_silent)
{
	struct peal_doorbell none = { .kind = PEAL_DOORBELL_NONE };

	CHECK_EQ(peal_doorbell_ring(&none), 0);
	CHECK_EQ(peal_doorbell_clear(&none), 0);
	CHECK_EQ(peal_doorbell_wait(&none, 0), -EINVAL);
	peal_doorbell_close(&none);
}

/* -- full ones */

TEST(ringing_a_full_eventfd_is_no_error)
{
	struct peal_doorbell bell;
	uint64_t most = UINT64_MAX - 1;

	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_EVENTFD), 0);
	CHECK_EQ(write(bell.ring_fd, &most, sizeof(most)), sizeof(most));
	CHECK_EQ(peal_doorbell_ring(&bell), 0);
	CHECK_EQ(peal_doorbell_wait(&bell, 0), 0);
	CHECK_EQ(peal_doorbell_clear(&bell), 1);
	CHECK_EQ(peal_doorbell_clear(&bell), 0);
	peal_doorbell_close(&bell);
}

TEST(full_pipe_is_rung_without_error_and_cleared_at_once)
{
	struct peal_doorbell bell;

	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_PIPE), 0);
	while (write(bell.ring_fd, "", 1) == 1)
		;
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(peal_doorbell_ring(&bell), 0);
	CHECK_EQ(peal_doorbell_clear(&bell), 1);
	CHECK_EQ(peal_doorbell_wait(&bell, 0), -ETIMEDOUT);
	peal_doorbell_close(&bell);
}

TEST(full_socket_is_rung_without_error_and_cleared)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

	for (int i = 0; i < 3; i++) {
		struct peal_doorbell bell;
		int fds[2];

		CHECK_EQ(socketpair(AF_UNIX, types[i], 0, fds), 0);
		CHECK_EQ(peal_doorbell_borrow(&bell, PEAL_DOORBELL_SOCKET,
					      fds[0], fds[1]),
			 0);
		while (send(fds[1], "", 1, MSG_DONTWAIT) == 1)
			;
		CHECK_EQ(errno, EAGAIN);
		CHECK_EQ(peal_doorbell_ring(&bell), 0);
		CHECK_EQ(peal_doorbell_clear(&bell), 1);
		while (peal_doorbell_clear(&bell) > 0)
			; /* a slow machine takes more than one */
		CHECK_EQ(peal_doorbell_wait(&bell, 0), -ETIMEDOUT);
		close(fds[0]);
		close(fds[1]);
	}
}

/* -- waiting */

TEST(wait_ends_when_the_time_is_over)
{
	struct peal_doorbell bell;

	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_EVENTFD), 0);
	CHECK_EQ(peal_doorbell_wait(&bell, 0), -ETIMEDOUT);
	CHECK_EQ(peal_doorbell_wait(&bell, 1), -ETIMEDOUT);
	CHECK_EQ(peal_doorbell_wait(&bell, 20), -ETIMEDOUT);
	peal_doorbell_close(&bell);
}

static void *ring(void *bell)
{
	CHECK_EQ(peal_doorbell_ring(bell), 0);
	return NULL;
}

TEST(wait_ends_when_another_thread_rings)
{
	static const enum peal_doorbell_kind kinds[] = {
		PEAL_DOORBELL_EVENTFD,
		PEAL_DOORBELL_PIPE,
	};

	for (int kind = 0; kind < 2; kind++) {
		struct peal_doorbell bell;
		pthread_t thread;

		CHECK_EQ(peal_doorbell_init(&bell, kinds[kind]), 0);
		for (int i = 0; i < 50; i++) {
			CHECK_EQ(pthread_create(&thread, NULL, ring, &bell), 0);
			CHECK_EQ(peal_doorbell_wait(&bell, -1), 0);
			CHECK_EQ(peal_doorbell_clear(&bell), 1);
			pthread_join(thread, NULL);
		}
		peal_doorbell_close(&bell);
	}
}

static void ring_in_child(void *bell)
{
	CHECK_EQ(peal_doorbell_ring(bell), 0);
}

TEST(wait_ends_when_a_child_rings)
{
	struct peal_doorbell bell;
	pid_t child;

	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_EVENTFD), 0);
	child = test_fork(ring_in_child, &bell);
	CHECK_EQ(peal_doorbell_wait(&bell, -1), 0);
	test_join(child);
	peal_doorbell_close(&bell);
}

static volatile sig_atomic_t signals;
static struct peal_doorbell handlers_bell;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

/* The bell may be rung from a handler, and is at the third signal. */
static void ring_at_the_third(int number)
{
	(void)number;
	if (++signals == 3)
		peal_doorbell_ring(&handlers_bell);
}

static void alarm_every_ms(void (*handler)(int))
{
	const struct sigaction action = { .sa_handler = handler };
	const struct itimerval timer = { { 0, 1000 }, { 0, 1000 } };

	CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void stop_alarms(void)
{
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };

	CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
}

TEST(signals_do_not_end_a_wait)
{
	struct peal_doorbell bell;

	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_EVENTFD), 0);
	alarm_every_ms(count_signal);
	CHECK_EQ(peal_doorbell_wait(&bell, 50), -ETIMEDOUT);
	stop_alarms();
	CHECK(signals > 0);
	peal_doorbell_close(&bell);
}

TEST(bell_rung_in_a_signal_handler_ends_a_wait)
{
	CHECK_EQ(peal_doorbell_init(&handlers_bell, PEAL_DOORBELL_EVENTFD), 0);
	alarm_every_ms(ring_at_the_third);
	CHECK_EQ(peal_doorbell_wait(&handlers_bell, -1), 0);
	stop_alarms();
	CHECK(signals >= 3);
	peal_doorbell_close(&handlers_bell);
}

TEST(wait_on_a_closed_fd_says_so)
{
	struct peal_doorbell bell;
	int fd = eventfd(0, EFD_NONBLOCK);

	CHECK_EQ(peal_doorbell_borrow(&bell, PEAL_DOORBELL_EVENTFD, fd, fd), 0);
	close(fd);
	CHECK_EQ(peal_doorbell_wait(&bell, 0), -EBADF);
	CHECK_EQ(peal_doorbell_ring(&bell), -EBADF);
	CHECK_EQ(peal_doorbell_clear(&bell), -EBADF);
}
