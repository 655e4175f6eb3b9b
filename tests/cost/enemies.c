/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What enemies do without end. */
#define _GNU_SOURCE
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>

#include <peal/channel.h>

#include "../../channel/internal.h"
#include "cost.h"

#define CROWD 64
#define COPIES 128
#define MIB (UINT64_C(1) << 20)

/* -- connections */

/* It sleeps where the queue is full: so it costs the enemy least. */
static int connect_and_wait(void)
{
	struct sockaddr_un to;
	socklen_t size;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK_EQ(peal_socket_address(&to, &size, field->address), 0);
	while (fd >= 0 && connect(fd, (struct sockaddr *)&to, size) < 0)
		CHECK(errno == EINTR || errno == EAGAIN);
	CHECK(fd >= 0);
	return fd;
}

enum words {
	NO_WORDS,
	A_HELLO,
	NONSENSE,
	WRONG_ITEMS,
	LARGE_HELLO
};

static struct peal_wire_hello what_it_says(const struct cost_enemy *e)
{
	struct peal_wire_hello hello = enemy_hello(PEAL_SENDER, 0);
	uint64_t random = now_ms() | 1;

	for (size_t i = 0; e->n == NONSENSE && i < sizeof(hello); i++)
		((unsigned char *)&hello)[i] =
			(unsigned char)test_random(&random);
	if (e->n == WRONG_ITEMS)
		hello.item_size = 16;
	if (e->n == LARGE_HELLO)
		hello.capacity = 31 * MIB / 8;
	return hello;
}

static void come_and_go(const struct cost_enemy *e)
{
	const struct peal_wire_hello hello = what_it_says(e);

	for (;;) {
		int fd = connect_and_wait();

		if (e->n != NO_WORDS)
			enemy_send(fd, &hello, sizeof(hello));
		close(fd);
		cost_count();
	}
}

/* Until the answer is there, which is thrown away. */
static void go_after_the_answer(const struct cost_enemy *e)
{
	const struct peal_wire_hello hello = what_it_says(e);
	struct peal_wire_answer answer;

	for (;;) {
		int fd = connect_and_wait();

		enemy_send(fd, &hello, sizeof(hello));
		(void)!recv(fd, &answer, sizeof(answer), 0);
		close(fd);
		cost_count();
	}
}

/* As many as there is room for, and a new one for each that is thrown out. */
static void hold_connections(const struct cost_enemy *e)
{
	const struct peal_wire_hello hello = what_it_says(e);
	struct pollfd held[CROWD];

	for (int i = 0; i < CROWD; i++)
		held[i] = (struct pollfd){ .fd = -1, .events = POLLRDHUP };
	for (int next = 0;; next = (next + 1) % CROWD) {
		if (held[next].fd >= 0) {
			poll(&held[next], 1, -1);
			close(held[next].fd);
		}
		held[next].fd = connect_and_wait();
		if (e->n != NO_WORDS)
			enemy_send(held[next].fd, &hello, sizeof(hello));
		cost_count();
	}
}

/* -- channels */

/* @return whether it was let in */
static bool open_one(struct peal_channel *ch, const struct cost_enemy *e,
		     uint64_t capacity)
{
	const struct peal_hello hello = { .role = e->role,
					  .bells = e->bells,
					  .item_size = 8,
					  .capacity = capacity,
					  .name = "enemy" };

	return peal_connect(ch, field->address, &hello, 10000) == 0;
}

static void open_and_close(const struct cost_enemy *e)
{
	uint64_t items = (uint64_t)e->n * MIB / 8;
	struct peal_channel ch;

	/* As much as it is given. */
	for (;; cost_count())
		if (open_one(&ch, e, items))
			peal_channel_close(&ch);
		else
			items = items * 15 / 16;
}

static void ring_it(struct peal_channel *ch)
{
	if (ch->hello.role & PEAL_SENDER)
		peal_doorbell_ring(&ch->sender.end.bell.peer);
	else
		peal_doorbell_ring(&ch->receiver.end.bell.peer);
}

/* Until it is thrown out; and then again. */
static void ring_without_end(const struct cost_enemy *e)
{
	struct peal_channel ch;

	for (;;) {
		if (!open_one(&ch, e, 512))
			continue;
		for (int i = 0; i % 64 || peal_channel_check(&ch) == 0; i++) {
			ring_it(&ch);
			cost_count();
		}
		peal_channel_close(&ch);
	}
}

/* Wake me at the next item that you publish; and here is room for it. */
static void keep_it_ringing(struct peal_channel *ch)
{
	struct peal_end *end = &ch->receiver.end;
	const void *items;
	ssize_t n = peal_receiver_peek(&ch->receiver, &items);

	__atomic_store_n(&end->own->wake, end->peer->position + 1,
			 __ATOMIC_RELAXED);
	if (n > 0)
		peal_receiver_release(&ch->receiver, 1);
	sched_yield();
}

static void never_read(const struct cost_enemy *e)
{
	struct peal_channel ch;

	for (;;) {
		if (!open_one(&ch, e, 512))
			continue;
		for (; peal_channel_check(&ch) == 0; cost_count())
			keep_it_ringing(&ch);
		peal_channel_close(&ch);
	}
}

/* -- epoll sets */

static void hang_sets_on(int fd, int many, int *sets)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	int copies[COPIES];

	for (int i = 0; i < COPIES; i++)
		copies[i] = dup(fd);
	for (int n = 0; n < many / COPIES; n++) {
		sets[n] = epoll_create1(EPOLL_CLOEXEC);
		for (int i = 0; i < COPIES; i++)
			CHECK_EQ(epoll_ctl(sets[n], EPOLL_CTL_ADD, copies[i],
					   &event),
				 0);
	}
	for (int i = 0; i < COPIES; i++)
		close(copies[i]);
}

/* The server rings it at each item; when it has had enough, again. */
static void hang_and_come_back(const struct cost_enemy *e)
{
	static int sets[MANY / COPIES];
	struct peal_channel ch;

	for (;;) {
		if (!open_one(&ch, e, 512))
			continue;
		hang_sets_on(ch.receiver.end.bell.own.wait_fd, e->n, sets);
		while (peal_channel_check(&ch) == 0)
			keep_it_ringing(&ch);
		for (int i = 0; i < e->n / COPIES; i++)
			close(sets[i]);
		peal_channel_close(&ch);
		cost_count();
	}
}

/* clang-format off */
#define STRANGER(text, run_, ...) { .name = text, .run = run_, __VA_ARGS__ }
#define OWN_USER(text, run_, ...)                                              \
	{ .name = text, .run = run_, .same_user = true, __VA_ARGS__ }

const struct cost_enemy cost_enemies[] = {
	STRANGER("connects and closes", come_and_go, .n = NO_WORDS),
	STRANGER("says nonsense and closes", come_and_go, .n = NONSENSE),
	STRANGER("says hello and closes", come_and_go, .n = A_HELLO),
	STRANGER("orders 31 MiB and closes", come_and_go, .n = LARGE_HELLO),
	STRANGER("is refused", go_after_the_answer, .n = WRONG_ITEMS),
	STRANGER("takes the answer and closes", go_after_the_answer,
		 .n = A_HELLO),
	STRANGER("holds silent connections", hold_connections, .n = NO_WORDS),
	STRANGER("says hello and no more", hold_connections, .n = A_HELLO),
	STRANGER("opens and closes channels of 64 KiB", open_and_close,
		 .role = PEAL_SENDER),
	STRANGER("opens and closes channels of 64 MiB", open_and_close,
		 .role = PEAL_SENDER, .n = 64),
	STRANGER("rings a socket without end, over reconnects", ring_without_end,
		 .role = PEAL_SENDER),
	OWN_USER("rings an eventfd without end, over reconnects", ring_without_end,
		 .role = PEAL_SENDER, .bells = PEAL_DOORBELL_EVENTFD),
	STRANGER("takes items, and never reads its bells", never_read,
		 .role = PEAL_RECEIVER, .bells = PEAL_DOORBELL_SOCKET),
	STRANGER("hangs 20 000 epoll watches on the socket, over reconnects",
		 hang_and_come_back, .role = PEAL_RECEIVER,
		 .bells = PEAL_DOORBELL_SOCKET, .n = 20000),
	OWN_USER("hangs 20 000 epoll watches on an eventfd, over reconnects",
		 hang_and_come_back, .role = PEAL_RECEIVER,
		 .bells = PEAL_DOORBELL_EVENTFD, .n = 20000),
	{ 0 },
};
/* clang-format on */
