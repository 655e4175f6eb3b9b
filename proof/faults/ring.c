/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Scenarios of ring/: doorbells of all kinds, and a ring between two processes
 * in both directions, of items and of messages.
 *
 * An item that was published has been, whatever became of its bell. Whoever is
 * told that a bell could not be rung can ring it again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <peal/local.h>
#include <peal/message.h>

#include "faults.h"

#define ITEMS 300

/* -- doorbells */

static void ring_and_hear(struct peal_doorbell *bell)
{
	int ret;

	TWICE(peal_doorbell_ring(bell));
	TWICE_OR(peal_doorbell_wait(bell, 1000), 0);
	WELL(peal_doorbell_clear(bell));
	WELL(peal_doorbell_clear(bell));
	ret = peal_doorbell_wait(bell, 0);
	if (ret != -ETIMEDOUT)
		WELL(ret);
	faults_disarm();
	MUST(peal_doorbell_clear(bell) == 0);
	MUST(peal_doorbell_wait(bell, 0) == -ETIMEDOUT);
	faults_arm();
}

static void finish(struct peal_doorbell *bell)
{
	peal_doorbell_close(bell);
	MUST(bell->kind == PEAL_DOORBELL_NONE);
}

static void borrow(enum peal_doorbell_kind kind, int wait_fd, int ring_fd)
{
	struct peal_doorbell bell = { 0 };

	if (!WELL_OR(peal_doorbell_borrow(&bell, kind, wait_fd, ring_fd),
		     EBADMSG)) {
		MUST(bell.kind == PEAL_DOORBELL_NONE);
		MUST(peal_doorbell_borrow(&bell, kind, wait_fd, ring_fd) == 0);
	}
	ring_and_hear(&bell);
	finish(&bell);
}

SCENARIO(doorbell_eventfd)
{
	struct peal_doorbell bell = { 0 };

	TWICE(peal_doorbell_init(&bell, PEAL_DOORBELL_EVENTFD));
	ring_and_hear(&bell);
	borrow(PEAL_DOORBELL_EVENTFD, bell.wait_fd, bell.ring_fd);
	finish(&bell);
}

SCENARIO(doorbell_pipe)
{
	struct peal_doorbell bell = { 0 };

	TWICE(peal_doorbell_init(&bell, PEAL_DOORBELL_PIPE));
	ring_and_hear(&bell);
	borrow(PEAL_DOORBELL_PIPE, bell.wait_fd, bell.ring_fd);
	/* SIGPIPE comes with EPIPE, and shall not come through. */
	__real_close(bell.wait_fd);
	bell.wait_fd = bell.ring_fd;
	MUST(peal_doorbell_ring(&bell) < 0 || faults_fired());
	finish(&bell);
}

SCENARIO(doorbell_socket)
{
	int fds[2];

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	borrow(PEAL_DOORBELL_SOCKET, fds[0], fds[1]);
	/* An empty packet is no end, and an end is no packet. */
	MUST(send(fds[1], "", 0, MSG_NOSIGNAL) == 0 || faults_fired());
	__real_close(fds[1]);
	for (int i = 0; i < 3; i++) {
		struct peal_doorbell bell = { .wait_fd = fds[0],
					      .ring_fd = -1,
					      .kind = PEAL_DOORBELL_SOCKET };
		int ret = peal_doorbell_clear(&bell);

		MUST(i == 0 || ret == -EPIPE || faults_fired());
		if (i == 1)
			faults_disarm();
		MUST(i < 2 || ret == -EPIPE);
	}
	__real_close(fds[0]);
}

/* -- items */

static void make(struct peal_local *ring, uint64_t capacity, uint64_t size)
{
	struct peal_geometry shape = { .capacity = capacity,
				       .item_size = size };

	TWICE_OR(peal_local_init(ring, &shape), ENOMEM, EOPNOTSUPP);
}

/* In place of one that could not be rung. */
static void ring_again(const struct peal_doorbell *bell, int ret)
{
	if (!WELL(ret))
		MUST(peal_doorbell_ring(bell) == 0);
}

static void send_items(void *argument)
{
	struct peal_local *ring = argument;
	uint64_t *room;

	for (uint64_t i = 0; i < ITEMS; i++) {
		while (!WELL(peal_sender_wait(&ring->sender, 1, 20000, &room)))
			;
		*room = i;
		ring_again(&ring->data, peal_sender_commit(&ring->sender, 1));
	}
}

static void receive_items(void *argument)
{
	struct peal_local *ring = argument;
	const uint64_t *items;
	ssize_t n;

	for (uint64_t i = 0; i < ITEMS; i += (uint64_t)n) {
		n = peal_receiver_wait(&ring->receiver, 1, 20000, &items);
		if (!WELL(n)) {
			n = 0;
			continue;
		}
		MUST(n > 0);
		for (ssize_t j = 0; j < n; j++)
			MUST(items[j] == i + (uint64_t)j);
		ring_again(&ring->space,
			   peal_receiver_release(&ring->receiver, (size_t)n));
	}
}

static void receive_all(void *argument)
{
	struct peal_local *ring = argument;
	const uint64_t *items;

	receive_items(ring);
	MUST(peal_receiver_wait(&ring->receiver, 1, 20000, &items) == 0);
	MUST(peal_receiver_ended(&ring->receiver));
}

/* What is hit stands here. */
static void between(uint64_t capacity, void (*here)(void *ring),
		    void (*there)(void *ring))
{
	struct peal_local ring;
	pid_t pid;

	make(&ring, capacity, 8);
	pid = faults_helper(there, &ring);
	here(&ring);
	faults_join(pid);
	peal_local_close(&ring);
}

SCENARIO(local_receiver)
{
	struct peal_local ring;
	pid_t pid;

	make(&ring, 16, 8);
	pid = faults_helper(send_items, &ring);
	receive_items(&ring);
	faults_join(pid);
	peal_receiver_finish(&ring.receiver);
	peal_local_close(&ring);
}

static void send_all(void *argument)
{
	struct peal_local *ring = argument;

	send_items(ring);
	peal_sender_finish(&ring->sender);
	peal_doorbell_ring(&ring->data); /* its own may have been lost */
}

SCENARIO(local_sender)
{
	between(16, send_all, receive_all);
}

/* -- messages */

static void send_messages(void *argument)
{
	struct peal_local *ring = argument;
	char text[40] = { 0 };

	for (uint32_t i = 0; i < ITEMS; i++) {
		uint64_t errors = ring->sender.end.stats.bell_errors;

		while (!WELL(peal_message_send(&ring->sender, i, text,
					       i % sizeof(text), 20000)))
			;
		if (ring->sender.end.stats.bell_errors != errors)
			peal_doorbell_ring(&ring->data);
	}
}

static void receive_messages(void *argument)
{
	struct peal_local *ring = argument;
	struct peal_message m;

	for (uint32_t i = 0; i < ITEMS; i++) {
		while (!WELL(peal_message_receive(&ring->receiver, 20000, &m)))
			;
		MUST(m.kind == i && m.size == i % 40);
		ring_again(&ring->space,
			   peal_message_release(&ring->receiver, &m));
	}
}

SCENARIO(message_sender)
{
	between(32, send_messages, receive_messages);
}

SCENARIO(message_receiver)
{
	between(32, receive_messages, send_messages);
}

/* -- fences that are left out, and polling */

static void barriers(struct peal_local *ring)
{
	peal_sender_set_barriers(&ring->sender, true);
	peal_receiver_set_barriers(&ring->receiver, true);
	peal_sender_set_spin(&ring->sender, 1000);
	peal_receiver_set_spin(&ring->receiver, 1000);
}

SCENARIO(fences)
{
	struct peal_local ring;
	const uint64_t *items;
	ssize_t n;
	pid_t pid;

	make(&ring, 64, 8);
	barriers(&ring);
	for (uint64_t i = 0; i < 5000; i++) {
		uint64_t item;

		MUST(peal_sender_put(&ring.sender, &i, 1) == 1);
		MUST(peal_receiver_get(&ring.receiver, &item, 1) == 1);
		MUST(item == i);
	}
	/* The sender has left its fences out: whoever sleeps needs a barrier.*/
	do
		n = peal_receiver_wait(&ring.receiver, 1, 1, &items);
	while (n != -ETIMEDOUT && !WELL(n));
	MUST(n == -ETIMEDOUT);
	pid = faults_helper(send_items, &ring);
	receive_items(&ring);
	faults_join(pid);
	peal_local_close(&ring);
}
