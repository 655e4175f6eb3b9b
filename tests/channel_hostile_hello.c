/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Connections and handshakes: what is said, how much of it, and when. */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <sys/un.h>

#include <peal/channel.h>

#include "../channel/internal.h"
#include "channel_hostile_rows.h"

/* -- hellos */

/* What is wrong with it. */
enum flaw {
	SHORT,
	LONG,
	EMPTY,
	ONE_BYTE,
	SCRAMBLED,
	HUGE_PACKET,
	MAGIC,
	OTHER_VERSION,
	LAYOUT,
	ENDIAN,
	OTHER_ORDER,
	STATUS,
	STATUS_AGAIN,
	NO_ROLE,
	ROLE,
	BELLS,
	NO_ITEMS,
	ITEM_SIZE,
	CAPACITY,
	OVERFLOW,
	WRAPPED,
	BACK,
	TOO_LARGE,
	NAME,
	TAG,
	ESCAPES,
	READY,
	ANSWER,
};

static void spoil_sizes(struct peal_wire_hello *h, enum flaw flaw)
{
	switch (flaw) {
	case NO_ITEMS:
		h->item_size = 0;
		break;
	case ITEM_SIZE:
		h->item_size = UINT64_MAX;
		break;
	case CAPACITY:
		h->capacity = UINT64_MAX;
		break;
	case OVERFLOW: /* 2^64 bytes and none */
		h->item_size = UINT64_C(1) << 32;
		h->capacity = UINT64_C(1) << 32;
		break;
	case WRAPPED: /* 2^64 + 4096 bytes */
		h->item_size = 4096;
		h->capacity = (UINT64_C(1) << 52) + 1;
		break;
	case BACK: /* each of them might be */
		h->role = PEAL_BOTH;
		h->back_item_size = UINT64_C(1) << 31;
		h->back_capacity = UINT64_C(1) << 31;
		h->capacity = UINT64_C(1) << 59;
		break;
	default:
		h->capacity = 2 << 20;
	}
}

static void spoil_start(struct peal_wire_hello *h, enum flaw flaw)
{
	struct peal_wire_start *start = &h->start;

	switch (flaw) {
	case MAGIC:
		start->magic++;
		break;
	case OTHER_VERSION:
		start->version = 77;
		break;
	case LAYOUT:
		start->layout = UINT32_MAX;
		break;
	case ENDIAN:
		start->endian = 0;
		break;
	case OTHER_ORDER:
		start->magic = __builtin_bswap64(start->magic);
		break;
	case STATUS:
		start->status = -EPERM;
		memset(start->text, '\033', sizeof(start->text));
		break;
	case STATUS_AGAIN:
		start->status = -EAGAIN;
		break;
	case READY:
		start->magic = PEAL_WIRE_READY;
		break;
	case ANSWER:
		start->magic = PEAL_WIRE_ANSWER;
		break;
	default:
		spoil_sizes(h, flaw);
	}
}

static void spoil(struct peal_wire_hello *h, enum flaw flaw)
{
	uint64_t random = test_seed();

	switch (flaw) {
	case SCRAMBLED:
		for (size_t i = 0; i < sizeof(*h); i++)
			((unsigned char *)h)[i] =
				(unsigned char)test_random(&random);
		break;
	case NO_ROLE:
		h->role = 0;
		break;
	case ROLE:
		h->role = UINT32_MAX;
		break;
	case BELLS:
		h->bells = UINT32_MAX;
		break;
	case NAME:
		memset(h->name, 'n', sizeof(h->name));
		break;
	case TAG:
		memset(h->tag, 't', sizeof(h->tag));
		break;
	case ESCAPES:
		strcpy(h->name, "\033]0;owned\007\033[2J");
		break;
	default:
		spoil_start(h, flaw);
	}
}

static size_t size_of(enum flaw flaw)
{
	switch (flaw) {
	case SHORT:
		return sizeof(struct peal_wire_hello) - 1;
	case LONG:
		return sizeof(struct peal_wire_hello) + 1;
	case EMPTY:
		return 0;
	case ONE_BYTE:
		return 1;
	case HUGE_PACKET:
		return 100000;
	default:
		return sizeof(struct peal_wire_hello);
	}
}

static void say_it(const struct attack *a)
{
	static union {
		struct peal_wire_hello hello;
		char bytes[100000];
	} packet;
	enum flaw flaw = (enum flaw)a->n;
	size_t size = size_of(flaw);

	packet.hello = enemy_hello(PEAL_SENDER, PEAL_DOORBELL_NONE);
	if (size == sizeof(struct peal_wire_hello))
		spoil(&packet.hello, flaw);
	enemy_send(enemy_connect(), &packet, size);
}

static void say_it_twice(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);
	int fd = enemy_connect();

	enemy_send(fd, &hello, sizeof(hello));
	enemy_send(fd, &hello, sizeof(hello));
}

static void say_it_again_and_again(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);
	int fd = enemy_connect();

	while (!ended(1)) {
		send(fd, &hello, sizeof(hello), MSG_DONTWAIT | MSG_NOSIGNAL);
		sleep_us(100);
	}
}

static void say_it_with_fds(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);
	int fd = enemy_connect(), other = eventfd(0, EFD_CLOEXEC);

	/* Where the kernel refuses it, that is all that comes of it. */
	if (enemy_send_fd(fd, &hello, sizeof(hello), other) < 0)
		enemy_send(fd, "", 0);
}

/* -- connections */

static void come_and_go(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);

	for (int i = 0; i < 1000; i++) {
		int fd = enemy_connect();

		if (a->n)
			enemy_send(fd, &hello, sizeof(hello));
		close(fd);
	}
}

#define CROWD 300

/* More clients than the server has fds for. */
static void crowd(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);

	for (int i = 0; i < CROWD; i++) {
		int fd = enemy_connect();

		if (a->n)
			enemy_send(fd, &hello, sizeof(hello));
	}
}

/* As many channels as it is given, and then some. */
static void take_all_channels(const struct attack *a)
{
	static struct peal_channel all[80];
	int refused = 0;

	for (int i = 0; i < 80; i++) {
		const struct peal_hello hello = { .role = a->role,
						  .item_size = 8,
						  .name = "enemy" };

		int ret = peal_connect(&all[i], field->address, &hello, 5000);

		CHECK(ret == 0 || ret == -EAGAIN || ret == -EPIPE);
		refused += ret == -EAGAIN;
	}
	CHECK(refused > 50);
}

static void take_all_bytes(const struct attack *a)
{
	static struct peal_channel all[20];
	int refused = 0;

	for (int i = 0; i < 20; i++) {
		const struct peal_hello hello = { .role = a->role,
						  .item_size = 8,
						  .capacity = 1 << 19,
						  .name = "enemy" };

		int ret = peal_connect(&all[i], field->address, &hello, 5000);

		CHECK(ret == 0 || ret == -EAGAIN || ret == -EPIPE);
		refused += ret == -EAGAIN;
	}
	CHECK(refused >= 4);
}

/* The largest rings that it may have, made for nobody. */
static void order_and_leave(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);

	hello.capacity = 1 << 19;
	for (int i = 0; i < 100; i++) {
		int fd = enemy_connect();

		enemy_send(fd, &hello, sizeof(hello));
		close(fd);
	}
}

static void stay_silent(const struct attack *a)
{
	(void)a;
	enemy_connect();
}

static void stop_after_hello(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
}

static void never_take_the_answer(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);

	for (int i = 0; i < 40; i++)
		enemy_send(enemy_connect(), &hello, sizeof(hello));
}

/* -- half a connection */

static void shut_at_once(const struct attack *a)
{
	shutdown(enemy_connect(), a->n);
}

static void shut_after_hello(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	shutdown(grip.socket, a->n);
}

static void shut_when_open(const struct attack *a)
{
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	shutdown(ch.line.fd, a->n);
	if (a->expect == HARMLESS)
		enemy_exchange(&ch);
}

/* -- ready */

static void ready_too_early(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);
	struct peal_wire_ready ready = enemy_ready();
	int fd = enemy_connect();

	enemy_send(fd, &hello, sizeof(hello));
	enemy_send(fd, &ready, sizeof(ready));
}

static void ready_in_another_way(const struct attack *a)
{
	struct peal_wire_ready ready[2] = { enemy_ready(), enemy_ready() };
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	enemy_seal(&grip, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
	enemy_send(grip.socket, ready, (size_t)a->n);
}

static void ready_with_a_status(const struct attack *a)
{
	struct peal_wire_ready ready = enemy_ready();
	struct grip grip;

	ready.start.status = a->n;
	memset(ready.start.text, '\033', 20);
	enemy_grip(&grip, a->role, a->bells);
	enemy_seal(&grip, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
	enemy_send(grip.socket, &ready, sizeof(ready));
}

static void ready_with_fds(const struct attack *a)
{
	struct peal_wire_ready ready = enemy_ready();
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	enemy_seal(&grip, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
	if (enemy_send_fd(grip.socket, &ready, sizeof(ready),
			  eventfd(0, EFD_CLOEXEC)) < 0)
		enemy_send(grip.socket, "", 0);
}

static void ready_twice(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	enemy_open(&grip);
	enemy_say_ready(&grip);
}

/* clang-format off */
#define HELLO(text, expect, flaw)                                              \
	ROW("a hello " text, say_it, expect, .n = flaw)
#define AS_CROWD(name, run, expect, ...)                                       \
	ROW(name, run, expect, .flags = CROWDED, __VA_ARGS__),                 \
	ROW(name ", by another user", run, expect, .flags = NOBODY,            \
	    __VA_ARGS__)

const struct attack hostile_hello[] = {
	HELLO("that is short", -EPROTO, SHORT),
	HELLO("that is long", -EPROTO, LONG),
	HELLO("that is empty", -EPROTO, EMPTY),
	HELLO("of one byte", -EPROTO, ONE_BYTE),
	HELLO("of random bytes", -EPROTO, SCRAMBLED),
	HELLO("of 100 000 bytes", -EPROTO, HUGE_PACKET),
	HELLO("of another protocol", -EPROTO, MAGIC),
	HELLO("of another version", -EPROTONOSUPPORT, OTHER_VERSION),
	HELLO("of another layout", -EPROTONOSUPPORT, LAYOUT),
	HELLO("with a false mark of its byte order", -EPROTO, ENDIAN),
	HELLO("in the other byte order", -EPROTONOSUPPORT, OTHER_ORDER),
	HELLO("that is an error", -EPROTO, STATUS),
	HELLO("that says to try again", -EPROTO, STATUS_AGAIN),
	HELLO("without a role", -EINVAL, NO_ROLE),
	HELLO("with a role beyond all roles", -EINVAL, ROLE),
	HELLO("with bells beyond all bells", -EINVAL, BELLS),
	HELLO("for items of no size", -EINVAL, NO_ITEMS),
	HELLO("for items beyond any memory", -EINVAL, ITEM_SIZE),
	HELLO("for a capacity beyond any memory", -EINVAL, CAPACITY),
	HELLO("whose sizes multiply to 2^64", -EINVAL, OVERFLOW),
	HELLO("whose sizes multiply to 2^64 and a page", -EINVAL, WRAPPED),
	HELLO("for two rings beyond any memory", -EINVAL, BACK),
	HELLO("for more than is allowed", -EPERM, TOO_LARGE),
	HELLO("whose name has no end", -EINVAL, NAME),
	HELLO("whose tag has no end", -EINVAL, TAG),
	HELLO("whose name drives a terminal", -EINVAL, ESCAPES),
	HELLO("that says ready", -EPROTO, READY),
	HELLO("that is an answer", -EPROTO, ANSWER),
	ROW("a hello twice", say_it_twice, -EPROTO, SENDS,
	    .or_else = -ETIMEDOUT),
	ROW("a hello again and again", say_it_again_and_again, -EPROTO, SENDS),
	ROW("a hello with an fd", say_it_with_fds, -EPROTO, SENDS),
	AS_CROWD("no hello", stay_silent, -ETIMEDOUT, SENDS),
	AS_CROWD("connections opened and closed in a loop", come_and_go,
		  ANYTHING, SENDS),
	AS_CROWD("hellos and gone in a loop", come_and_go, ANYTHING, SENDS,
		  .n = 1),
	AS_CROWD("hundreds of silent connections", crowd, -ETIMEDOUT, SENDS,
		  .or_else = -EBUSY),
	AS_CROWD("hundreds of hellos and nothing after", crowd, ANYTHING,
		  SENDS, .n = 1),
	AS_CROWD("more channels than are allowed", take_all_channels,
		  ANYTHING, RECEIVES),
	AS_CROWD("more bytes than are allowed", take_all_bytes, ANYTHING,
		  SENDS),
	AS_CROWD("the largest rings, ordered and not taken", order_and_leave,
		  ANYTHING, BOTH),
	ROW("nothing after the answer", stop_after_hello, -ETIMEDOUT, SENDS),
	ROW("nothing after the answer, on a socket", stop_after_hello,
	    -ETIMEDOUT, BOTH, SOCKET),
	AS_CROWD("answers that are never taken", never_take_the_answer,
		  ANYTHING, BOTH),
	ROW("a connection shut for writing", shut_at_once, -EPIPE,
	    .n = SHUT_WR),
	ROW("a connection shut for reading", shut_at_once, -ETIMEDOUT,
	    .n = SHUT_RD),
	ROW("a handshake shut for writing", shut_after_hello, -EPIPE, SENDS,
	    .n = SHUT_WR),
	ROW("a handshake shut for reading", shut_after_hello, -ETIMEDOUT,
	    SENDS, .n = SHUT_RD),
	ROW("a handshake shut both ways", shut_after_hello, -EPIPE, SENDS,
	    .n = SHUT_RDWR),
	ROW("a channel shut for writing", shut_when_open, -EPIPE, SENDS,
	    .n = SHUT_WR),
	ROW("a channel shut for reading", shut_when_open, HARMLESS, SENDS,
	    .n = SHUT_RD),
	ROW("a channel shut both ways, where the socket is the bell",
	    shut_when_open, -EPIPE, BOTH, SOCKET, .n = SHUT_RDWR),
	ROW("ready before the answer", ready_too_early, -EPROTO, SENDS,
	    .or_else = -ETIMEDOUT),
	ROW("a ready that is short", ready_in_another_way, -EPROTO, SENDS,
	    .n = sizeof(struct peal_wire_ready) - 1),
	ROW("a ready that is long", ready_in_another_way, -EPROTO, SENDS,
	    .n = sizeof(struct peal_wire_ready) + 1),
	ROW("a ready that is empty", ready_in_another_way, -EPROTO, SENDS),
	ROW("a ready with a false status", ready_with_a_status, -EPROTO, SENDS,
	    .n = 1),
	ROW("a ready that says to try again", ready_with_a_status, -ECONNABORTED,
	    SENDS, .n = -EAGAIN),
	ROW("a ready with an fd", ready_with_fds, -EPROTO, SENDS),
	ROW("ready twice, where the bells are eventfds", ready_twice, -EPROTO,
	    RECEIVES),
	ROW("ready twice, where the socket is the bell", ready_twice, HARMLESS,
	    RECEIVES, SOCKET),
	{ 0 },
};
