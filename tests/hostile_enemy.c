/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What enemies have in common: how far they go along before they strike. */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <time.h>

#include <peal/channel.h>

#include "../channel/socket.h"
#include "hostile.h"

void nap(unsigned us)
{
	const struct timespec ts = { .tv_nsec = (long)us * 1000 };

	nanosleep(&ts, NULL);
}

void until_release(void)
{
	while (!flag(&field->release))
		nap(500);
}

void struck(void)
{
	__atomic_store_n(&field->struck, 1, __ATOMIC_RELEASE);
	until_release();
	exit(EXIT_SUCCESS);
}

void cannot(const char *why)
{
	snprintf(field->why, sizeof(field->why), "%s", why);
	struck();
}

pid_t enemy_fork(void)
{
	pid_t parent = getpid(), pid = fork();

	CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	die_with_the_server();
	if (getppid() != parent)
		_exit(EXIT_SUCCESS); /* it is dead already */
	return 0;
}

/* -- connections */

int enemy_try_connect(void)
{
	return peal_socket_connect(field->address, 0);
}

int enemy_connect(void)
{
	int fd;

	AWAIT((fd = enemy_try_connect()) >= 0);
	return fd;
}

void enemy_send(int fd, const void *packet, size_t size)
{
	/* The server may have had enough of it. */
	send(fd, packet, size, MSG_NOSIGNAL);
}

int enemy_send_fd(int fd, const void *packet, size_t size, int what)
{
	return peal_socket_send(fd, packet, size, &what, 1);
}

struct peal_wire_hello enemy_hello(enum peal_role role, enum peal_bells bells)
{
	struct peal_hello hello = { .role = role,
				    .bells = bells,
				    .item_size = 8,
				    .capacity = 512,
				    .name = "enemy" };
	struct peal_wire_hello wire;

	peal_wire_put_hello(&wire, &hello);
	return wire;
}

struct peal_wire_ready enemy_ready(void)
{
	struct peal_wire_ready ready;

	peal_wire_begin(&ready.start, PEAL_WIRE_READY, 0, NULL);
	return ready;
}

/* -- channels */

void enemy_channel(struct peal_channel *ch, enum peal_role role,
		   enum peal_bells bells)
{
	const struct peal_hello hello = { .role = role,
					  .bells = bells,
					  .item_size = 8,
					  .capacity = 512,
					  .name = "enemy" };
	uint64_t before = count(&field->opened);

	AWAIT(peal_connect(ch, field->address, &hello, 5000) == 0);
	AWAIT(count(&field->opened) > before);
}

static void send_ten(struct peal_channel *ch)
{
	struct peal_end *end = &ch->sender.end;
	uint64_t *items;

	AWAIT(peal_sender_reserve(&ch->sender, 10, &items) >= 10);
	memset(items, 0x11, 80);
	peal_sender_commit(&ch->sender, 10);
	AWAIT(__atomic_load_n(end->peer_position, __ATOMIC_ACQUIRE) ==
	      end->here);
}

static void take_ten(struct peal_channel *ch)
{
	struct peal_end *end = &ch->receiver.end;
	const uint64_t *items;
	uint64_t before;

	AWAIT(peal_receiver_used(&ch->receiver) == (ssize_t)end->capacity);
	CHECK(peal_receiver_peek(&ch->receiver, &items) > 0);
	before = *end->peer_position;
	peal_receiver_release(&ch->receiver, 10);
	AWAIT(__atomic_load_n(end->peer_position, __ATOMIC_ACQUIRE) ==
	      before + 10);
}

void enemy_exchange(struct peal_channel *ch)
{
	if (ch->hello.role & PEAL_SENDER)
		send_ten(ch);
	if (ch->hello.role & PEAL_RECEIVER)
		take_ten(ch);
}

void enemy_ring(struct peal_channel *ch)
{
	if (ch->hello.role & PEAL_SENDER)
		peal_doorbell_ring(&ch->sender.end.rings);
	if (ch->hello.role & PEAL_RECEIVER)
		peal_doorbell_ring(&ch->receiver.end.rings);
}

/* -- half a handshake */

/* @return 0, what the server refuses it with, or -EPIPE */
static int take_answer(struct grip *grip, enum peal_role role)
{
	const struct peal_wire_ring *ring;
	int fds[PEAL_FDS], ret;

	AWAIT((ret = peal_socket_receive_fds(grip->socket, &grip->answer,
					     sizeof(grip->answer), fds)) !=
	      -EAGAIN);
	if (ret < 0 || grip->answer.start.status < 0)
		return ret < 0 ? ret : grip->answer.start.status;
	ring = &grip->answer.ring[role == PEAL_RECEIVER];
	grip->memfd = fds[0];
	grip->bells[0] = fds[1];
	grip->bells[1] = fds[2];
	grip->size = ring->head + ring->capacity * ring->item_size;
	grip->base = mmap(NULL, grip->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			  grip->memfd, 0);
	CHECK(grip->base != MAP_FAILED);
	return 0;
}

void enemy_take_answer(struct grip *grip, enum peal_role role)
{
	CHECK_EQ(take_answer(grip, role), 0);
}

int enemy_try_grip(struct grip *grip, enum peal_role role,
		   enum peal_bells bells)
{
	struct peal_wire_hello hello = enemy_hello(role, bells);

	memset(grip, 0, sizeof(*grip));
	grip->socket = enemy_connect();
	enemy_send(grip->socket, &hello, sizeof(hello));
	return take_answer(grip, role);
}

void enemy_grip(struct grip *grip, enum peal_role role, enum peal_bells bells)
{
	CHECK_EQ(enemy_try_grip(grip, role, bells), 0);
}

int enemy_seal(const struct grip *grip, int seals)
{
	return fcntl(grip->memfd, F_ADD_SEALS, seals);
}

void enemy_say_ready(const struct grip *grip)
{
	struct peal_wire_ready ready = enemy_ready();

	enemy_send(grip->socket, &ready, sizeof(ready));
}

void enemy_open(const struct grip *grip)
{
	uint64_t before = count(&field->opened);

	if (!(fcntl(grip->memfd, F_GET_SEALS) & F_SEAL_SEAL))
		CHECK_EQ(enemy_seal(grip, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL),
			 0);
	enemy_say_ready(grip);
	AWAIT(count(&field->opened) > before);
}

/* -- what stalls */

void *enemy_bottomless_page(int *uffd)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	void *memory;

	*uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (*uffd < 0)
		cannot("no userfaultfd for the kernel's own faults");
	memory = mmap(NULL, page(), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	range.range.start = (uintptr_t)memory;
	range.range.len = page();
	if (ioctl(*uffd, UFFDIO_API, &api) < 0 ||
	    ioctl(*uffd, UFFDIO_REGISTER, &range) < 0)
		cannot("userfaultfd does not register");
	return memory;
}

/* The fault can be read when it is there. */
void enemy_wait_for_fault(int uffd)
{
	for (struct uffd_msg msg; read(uffd, &msg, sizeof(msg)) < 0;)
		AWAIT(true);
}
