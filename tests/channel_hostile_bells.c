/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Doorbells: full, blocking, rung without end, heavy with epoll sets. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include <peal/channel.h>

#include "../channel/internal.h"
#include "channel_hostile_rows.h"

static int bell_of(struct peal_channel *ch)
{
	return ch->hello.role & PEAL_SENDER
		       ? ch->sender.end.bell.peer.ring_fd
		       : ch->receiver.end.bell.peer.ring_fd;
}

/* The bell that the server rings. */
static int ear_of(struct peal_channel *ch)
{
	return ch->hello.role & PEAL_SENDER ? ch->sender.end.bell.own.wait_fd
					    : ch->receiver.end.bell.own.wait_fd;
}

static void make_blocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

/* The server goes on ringing it, once for each of these. */
static void keep_it_busy(struct peal_channel *ch, int rounds)
{
	for (int i = 0; i < rounds && !ended(1); i++) {
		struct peal_end *end;
		uint64_t *room;
		ssize_t n;

		if (ch->hello.role & PEAL_SENDER) {
			end = &ch->sender.end;
			n = peal_sender_reserve(&ch->sender, 1, &room);
			if (n > 0)
				peal_sender_commit(&ch->sender, 1);
			/* Wake me at the next item that you release. */
			__atomic_store_n(&end->own->wake,
					 end->peer->position + 1,
					 __ATOMIC_RELAXED);
		} else {
			end = &ch->receiver.end;
			n = peal_receiver_used(&ch->receiver);
			__atomic_store_n(&end->own->wake,
					 end->peer->position + 1,
					 __ATOMIC_RELAXED);
			if (n > 0)
				peal_receiver_release(&ch->receiver, 1);
		}
		if (n <= 0)
			sleep_us(50);
		else
			sched_yield();
	}
}

/* -- full and blocking */

/* An eventfd at 2^64-2. Only a trusted peer can also make the eventfd block:
 * see those_of_another_user_get_no_eventfd. */
static void saturate(const struct attack *a)
{
	uint64_t most = UINT64_MAX - 1;
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(peal_doorbell_clear(&ch.sender.end.bell.own) >= 0, 1);
		(void)!write(ear_of(&ch), &most, sizeof(most));
		(void)!write(bell_of(&ch), &most, sizeof(most));
		keep_it_busy(&ch, 1);
	}
}

/* O_NONBLOCK cleared: the server's read of an empty bell would block, and so
 * would the server's write to a full bell. */
static void unblock_nothing(const struct attack *a)
{
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	make_blocking(ear_of(&ch));
	make_blocking(bell_of(&ch));
	enemy_exchange(&ch);
	keep_it_busy(&ch, 500);
}

/* What blocks is not handed to strangers, whatever they ask for. */
static void ask_for_eventfds(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, PEAL_DOORBELL_EVENTFD);
	CHECK_EQ(grip.answer.bells, PEAL_DOORBELL_SOCKET);
	CHECK_EQ(grip.bells[0], -1);
	enemy_open(&grip);
}

/* Its queue fills up with the server's bells. */
static void never_read(const struct attack *a)
{
	struct peal_channel ch;
	int small = 1;

	enemy_channel(&ch, a->role, a->bells);
	make_blocking(ear_of(&ch));
	setsockopt(ear_of(&ch), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	keep_it_busy(&ch, 3000);
}

/* -- without end */

/*
 * Rings without items, without end. A socket fills up with rings, and then is
 * silent. So these enemies have the server drain the socket.
 */
static void ring_for_ever(const struct attack *a)
{
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	for (int i = 0; !ended(1) && (!a->n || i < a->n); i++) {
		AWAIT(true);
		for (int j = 0; j < 100; j++)
			enemy_ring(&ch);
		sched_yield();
	}
}

static void ring_among_items(const struct attack *a)
{
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	for (int i = 0; i < 3000 && !ended(1); i++) {
		keep_it_busy(&ch, 1);
		for (int j = 0; j < a->n; j++)
			enemy_ring(&ch);
	}
}

static void send_all_sizes(const struct attack *a)
{
	static const size_t sizes[] = { 0,    1,    2,	  7,	 8,
					4095, 4096, 4097, 65536, 100000 };
	static char packet[100000];
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	for (int i = 0; i < a->n && !ended(1); i++) {
		send(ch.line.fd, packet, sizes[i % 10],
		     MSG_DONTWAIT | MSG_NOSIGNAL);
		if (i % 64 == 0)
			sched_yield();
	}
}

/* An empty packet reads like the end of the stream. */
static void send_nothing(const struct attack *a)
{
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	for (int i = 0; i < 5; i++) {
		send(ch.line.fd, "", 0, MSG_NOSIGNAL);
		enemy_exchange(&ch);
	}
}

static void send_one(const struct attack *a)
{
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	send(ch.line.fd, "x", 1, MSG_NOSIGNAL);
}

/* -- with fds */

static int make_fd(int kind)
{
	const struct linger linger = { 1, 30 };
	int fds[2], fd;

	switch (kind) {
	case 0:
		return eventfd(0, EFD_CLOEXEC);
	case 1:
		CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
		return fds[kind];
	case 2: /* closing a socket that lingers may take seconds */
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		return fd;
	case 3:
		return foreign_memfd(65536, 0);
	default: /* itself, so that it is never closed but by the kernel */
		return epoll_create1(EPOLL_CLOEXEC);
	}
}

/*
 * Since 6.16 the sender is told at once. Before, the server hears of it if it
 * ever drains the socket, which takes many bells where it is the bell.
 */
static void send_fds(const struct attack *a)
{
	int heard = a->bells == PEAL_DOORBELL_EVENTFD ? -EPROTO : ANYTHING;
	bool went = false;
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	for (int i = 0; i < 5; i++) {
		int fd = make_fd(a->n);

		if (fd < 0)
			cannot("no such fd to send");
		went |= enemy_send_fd(ch.line.fd, "x", 1, fd) == 0;
		close(fd);
	}
	__atomic_store_n(&field->expect, went ? heard : HARMLESS,
			 __ATOMIC_RELEASE);
}

/* -- heavy */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

#define COPIES 128

/* One write of the server then walks all of these sets. */
static void hang_sets_on(int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	int copies[COPIES];

	for (int i = 0; i < COPIES; i++)
		copies[i] = dup(fd);
	for (int n = 0; n < MANY / COPIES; n++) {
		int set = epoll_create1(EPOLL_CLOEXEC);

		for (int i = 0; i < COPIES; i++)
			if (epoll_ctl(set, EPOLL_CTL_ADD, copies[i], &event) <
			    0)
				cannot("no room for so many epoll watches");
	}
}

/* A machine on which ringing is not slow has nothing to fear. */
static void expect_by_price(int fd, const void *what, size_t size)
{
	uint64_t began = now_ns();

	for (int i = 0; i < 10; i++)
		(void)!write(fd, what, size);
	if ((now_ns() - began) / 10 < 400000)
		cannot("so many epoll sets are cheap here");
}

static void hang_on_bell(const struct attack *a)
{
	const uint64_t one = 1;
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	hang_sets_on(ear_of(&ch));
	expect_by_price(ear_of(&ch), &one, sizeof(one));
	while (!ended(1))
		keep_it_busy(&ch, 100);
}

static void hang_on_socket(const struct attack *a)
{
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	hang_sets_on(ch.line.fd);
	while (!ended(1))
		keep_it_busy(&ch, 100);
}

/* Each packet that the server takes out wakes those who wait to send more. */
static void hang_on_socket_and_flood(const struct attack *a)
{
	const int large = 1 << 20;
	struct peal_channel ch;
	uint64_t *room;

	enemy_channel(&ch, a->role, a->bells);
	setsockopt(ch.line.fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	enemy_exchange(&ch);
	hang_sets_on(ch.line.fd);
	for (int i = 0; i < 2000 && !ended(1); i++) {
		for (int j = 0; j < a->n; j++)
			send(ch.line.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		/* It arms, and clears, once for each of these. */
		if (peal_sender_reserve(&ch.sender, 1, &room) > 0)
			peal_sender_commit(&ch.sender, 1);
		sched_yield();
	}
}

static void hang_before_ready(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	hang_sets_on(grip.socket);
	for (int i = 0; i < 2; i++)
		if (grip.bells[i] >= 0)
			hang_sets_on(grip.bells[i]);
	enemy_open(&grip);
}

/* -- stolen */

static void steal_bells(const struct attack *a)
{
	struct peal_channel ch;
	uint64_t n;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	for (int i = 0; i < 2000; i++) {
		(void)!read(bell_of(&ch), &n, sizeof(n));
		keep_it_busy(&ch, 1);
	}
}

static void close_bells(const struct attack *a)
{
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	close(ear_of(&ch));
	close(bell_of(&ch));
	ch.sender.end.bell.peer.kind = PEAL_DOORBELL_NONE;
	keep_it_busy(&ch, 100);
}

/* clang-format off */
const struct attack hostile_bells[] = {
	ROW("eventfds are saturated by a sender", saturate, HARMLESS, SENDS,
	    EVENTFD),
	ROW("eventfds are saturated by a receiver", saturate, HARMLESS,
	    RECEIVES, EVENTFD),
	ROW("eventfds are made blocking by a sender", unblock_nothing,
	    HARMLESS, SENDS, EVENTFD),
	ROW("eventfds are made blocking by a receiver", unblock_nothing,
	    HARMLESS, RECEIVES, EVENTFD),
	ROW("eventfds are asked for by another user", ask_for_eventfds,
	    HARMLESS, SENDS, .flags = NOBODY),
	AS_NOBODY("the socket's bells are never read", never_read, HARMLESS,
		  RECEIVES, SOCKET),
	ROW("an eventfd is rung without end", ring_for_ever, -EPROTO, SENDS,
	    EVENTFD),
	AS_NOBODY("a socket is rung until it is full", ring_for_ever, HARMLESS,
		  BOTH, SOCKET, .or_else = -EPROTO, .n = 200),
	AS_NOBODY("a socket is rung among items", ring_among_items, HARMLESS,
		  SENDS, SOCKET, .or_else = -EPROTO, .n = 8),
	ROW("a socket is rung among items that are taken", ring_among_items,
	    HARMLESS, RECEIVES, SOCKET, .or_else = -EPROTO, .n = 8),
	ROW("packets of all sizes until the socket is full", send_all_sizes,
	    HARMLESS, RECEIVES, SOCKET, .or_else = -EPROTO, .n = 5000),
	AS_NOBODY("a few packets of all sizes", send_all_sizes, HARMLESS,
		  SENDS, SOCKET, .n = 12),
	AS_NOBODY("empty packets are no end", send_nothing, HARMLESS, SENDS,
		  SOCKET),
	ROW("an empty packet where the bells are eventfds", send_nothing,
	    -EPROTO, SENDS, EVENTFD),
	ROW("a packet where the bells are eventfds", send_one, -EPROTO,
	    RECEIVES, EVENTFD),
	AS_NOBODY("bells that bring an eventfd", send_fds, HARMLESS, SENDS,
		  SOCKET, .n = 0),
	AS_NOBODY("bells that bring a pipe", send_fds, HARMLESS, SENDS,
		  SOCKET, .n = 1),
	AS_NOBODY("bells that bring a lingering socket", send_fds, HARMLESS,
		  SENDS, SOCKET, .n = 2),
	AS_NOBODY("bells that bring a memfd", send_fds, HARMLESS, RECEIVES,
		  SOCKET, .n = 3),
	AS_NOBODY("bells that bring an epoll set", send_fds, HARMLESS, BOTH,
		  SOCKET, .n = 4),
	ROW("fds where the bells are eventfds", send_fds, HARMLESS, BOTH,
	    EVENTFD, .n = 0),
	ROW("thousands of epoll watches on an eventfd", hang_on_bell, -EPROTO,
	    RECEIVES, EVENTFD),
	ROW("thousands of epoll watches on a sender's eventfd", hang_on_bell,
	    -EPROTO, SENDS, EVENTFD),
	AS_NOBODY("thousands of epoll watches on the socket", hang_on_socket,
		  -EPROTO, RECEIVES, SOCKET),
	AS_NOBODY("thousands of epoll watches, and packets to be read",
		  hang_on_socket_and_flood, HARMLESS, SENDS, SOCKET,
		  .or_else = -EPROTO, .n = 1),
	ROW("thousands of epoll watches, and a flood of packets to be read",
	    hang_on_socket_and_flood, HARMLESS, SENDS, SOCKET,
	    .or_else = -EPROTO, .n = 20),
	ROW("thousands of epoll watches before it is open", hang_before_ready,
	    HARMLESS, SENDS, EVENTFD),
	ROW("a client that takes the server's bells away", steal_bells,
	    HARMLESS, SENDS, EVENTFD),
	ROW("a client that closes its bells", close_bells, HARMLESS, SENDS,
	    EVENTFD),
	{ 0 },
};
