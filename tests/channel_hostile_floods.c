/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Several processes of another user connect as fast as they can. Those who come
 * anew get in, and before the flood, as far as it is of another user: what is
 * counted is how many of the enemy's connections came before theirs.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/un.h>

#include <peal/channel.h>

#include "../channel/internal.h"
#include "channel_hostile_rows.h"

#define PROCESSES 4
#define VISITS 30
/* Of the enemy's connections, before that of one who comes anew: the fewest
 * that were seen. A queue of thousands has to be taken in first. */
#define AHEAD_MOST 1000
#define SEALS (F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/* It sleeps while the queue is full, and is the first in when it is not. */
static int connect_and_wait(void)
{
	struct sockaddr_un to;
	socklen_t size;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK_EQ(peal_socket_address(&to, &size, field->address), 0);
	while (connect(fd, (struct sockaddr *)&to, size) < 0)
		CHECK(errno == EINTR || errno == EAGAIN);
	add(&field->came, 1);
	return fd;
}

enum step {
	CONNECTED,
	NONSENSE,
	SAID_HELLO,
	ANSWERED,
	SEALED,
	SAID_READY
};

static void take_the_answer(int fd, const struct attack *a)
{
	struct peal_wire_ready ready = enemy_ready();
	struct peal_wire_answer answer;
	int fds[PEAL_FDS];

	if (peal_socket_wait(fd, UINT64_MAX) < 0 ||
	    peal_socket_receive_fds(fd, &answer, sizeof(answer), fds) < 0)
		return;
	if (a->n >= SEALED && fds[0] >= 0)
		fcntl(fds[0], F_ADD_SEALS, SEALS);
	if (a->n == SAID_READY)
		enemy_send(fd, &ready, sizeof(ready));
	for (int i = 0; i < PEAL_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void flood(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);

	if (a->n == NONSENSE)
		memset(&hello, 0x5a, sizeof(hello));
	for (;;) {
		int fd = connect_and_wait();

		if (a->n > CONNECTED)
			enemy_send(fd, &hello, sizeof(hello));
		if (a->n >= ANSWERED)
			take_the_answer(fd, a);
		close(fd);
	}
}

/* @return when so many have come anew, and gone, and the flood is still on */
static void flood_from_all_sides(const struct attack *a)
{
	uint64_t visits;

	for (int i = 0; i < PROCESSES; i++)
		if (enemy_fork() == 0)
			flood(a);
	AWAIT(count(&field->came) > 100);
	visits = count(&field->visits);
	field->fewest = UINT64_MAX;
	field->ahead = 0;
	AWAIT(count(&field->visits) > visits + VISITS);
	test_note("%d of the enemy came before %d who came anew, at least %d",
		  (int)count(&field->ahead), VISITS,
		  (int)count(&field->fewest));
	if (a->flags & NOBODY)
		CHECK(count(&field->fewest) < AHEAD_MOST);
}

/* -- large rings */

#define LARGE_PROCESSES 16
#define LARGE (1 << 20) /* items of eight bytes: as much as is allowed */
#define LARGE_AHEAD_MOST 2

static void open_large_rings(const struct attack *a)
{
	const struct peal_hello hello = { .role = a->role,
					  .item_size = 8,
					  .capacity = LARGE,
					  .name = "enemy" };
	struct peal_channel ch;

	for (;;) {
		int ret = peal_connect(&ch, field->address, &hello, 30000);

		/* There may be as many bytes of its user as are allowed. */
		CHECK(ret == 0 || ret == -EAGAIN);
		if (ret < 0)
			continue;
		add(&field->came, 1);
		peal_channel_close(&ch);
	}
}

/*
 * The server faults all of them in. It has to do so little of it at a time that
 * whoever comes anew is let in before many of them are done: fewest of these.
 */
static void flood_with_large_rings(const struct attack *a)
{
	uint64_t visits;

	for (int i = 0; i < LARGE_PROCESSES; i++)
		if (enemy_fork() == 0)
			open_large_rings(a);
	AWAIT(count(&field->came) > LARGE_PROCESSES);
	visits = count(&field->visits);
	field->fewest = UINT64_MAX;
	field->ahead = 0;
	AWAIT(count(&field->visits) > visits + VISITS);
	test_note("%d of the enemy came before %d who came anew, at least %d",
		  (int)count(&field->ahead), VISITS,
		  (int)count(&field->fewest));
	if (a->flags & NOBODY)
		CHECK(count(&field->fewest) <= LARGE_AHEAD_MOST);
}

/* -- slow bells, over reconnects */

#define COPIES 128
#define SETS 128
#define SECONDS 6
#define CLOSED_MOST 6

static void hang_sets_on(int fd, int *sets)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	int copies[COPIES];

	for (int i = 0; i < COPIES; i++)
		copies[i] = dup(fd);
	for (int n = 0; n < SETS; n++) {
		sets[n] = epoll_create1(EPOLL_CLOEXEC);
		for (int i = 0; i < COPIES; i++)
			if (epoll_ctl(sets[n], EPOLL_CTL_ADD, copies[i],
				      &event) < 0)
				cannot("no room for so many epoll watches");
	}
	for (int i = 0; i < COPIES; i++)
		close(copies[i]);
}

/* Its sets hang on the socket, which is what the server rings. */
static void ring_me_until_it_ends(struct peal_channel *ch, uint64_t end_ms)
{
	struct peal_end *end = &ch->receiver.end;
	const uint64_t *items;

	while (peal_channel_check(ch) == 0 && now_ms() < end_ms) {
		ssize_t n = peal_receiver_peek(&ch->receiver, &items);

		__atomic_store_n(&end->own->wake, end->peer->position + 1,
				 __ATOMIC_RELAXED);
		if (n > 0)
			peal_receiver_release(&ch->receiver, 1);
		sched_yield();
	}
}

/*
 * Each time the server is held up for a while before it has had enough. So the
 * user has to wait, and longer each time: there are few times in these seconds,
 * and many where each reconnect begins anew.
 */
static void hang_and_come_back(const struct attack *a)
{
	const struct peal_hello hello = { .role = a->role,
					  .bells = a->bells,
					  .item_size = 8,
					  .capacity = 512,
					  .name = "enemy" };
	uint64_t end = now_ms() + SECONDS * 1000;
	static int sets[SETS];
	int closed = 0;

	while (now_ms() < end) {
		struct peal_channel ch;

		if (peal_connect(&ch, field->address, &hello, 1000) < 0) {
			sleep_us(5000);
			continue;
		}
		hang_sets_on(ch.line.fd, sets);
		ring_me_until_it_ends(&ch, end);
		for (int i = 0; i < SETS; i++)
			close(sets[i]);
		peal_channel_close(&ch);
		closed++;
	}
	test_note("it was closed %d times", closed);
	CHECK(closed <= CLOSED_MOST);
}

/* clang-format off */
#define FLOOD(text, step)                                                      \
	ROW("a flood of " text ", by another user", flood_from_all_sides,      \
	    ANYTHING, SENDS, .flags = NOBODY, .n = step),                      \
	ROW("a flood of " text, flood_from_all_sides, ANYTHING, SENDS,         \
	    .n = step)

const struct attack hostile_floods[] = {
	FLOOD("connections", CONNECTED),
	FLOOD("nonsense", NONSENSE),
	FLOOD("hellos", SAID_HELLO),
	FLOOD("answers that are taken", ANSWERED),
	FLOOD("rings that are sealed", SEALED),
	FLOOD("channels that die as soon as they are ready", SAID_READY),
	ROW("a flood of large rings, by another user", flood_with_large_rings,
	    ANYTHING, SENDS, .flags = NOBODY),
	ROW("thousands of epoll watches on each channel, by another user",
	    hang_and_come_back, ANYTHING, RECEIVES, SOCKET, .flags = NOBODY),
	{ 0 },
};
