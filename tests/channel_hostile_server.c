/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A server that is the enemy. The client, which is the process of the test,
 * gets an error in time, is left with no fd and no mapping, and goes on to
 * connect to a server that is honest.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <peal/channel.h>

#include "../channel/internal.h"
#include "channel_hostile_lies.h"
#include "fixtures/harness.h"
#include "fixtures/memory.h"

#define TIMEOUT_MS 300

static char address[64];

/* -- the server */

static void hear_hello(int fd, struct lie *lie)
{
	while (recv(fd, &lie->hello, sizeof(lie->hello), 0) < 0)
		CHECK(errno == EINTR);
}

static void prepare(int fd, struct lie *lie)
{
	bool socket = lie->hello.bells == PEAL_DOORBELL_SOCKET;
	struct peal_geometry g = { .capacity = CAPACITY, .item_size = 8 };

	memcpy(g.tag, lie->hello.tag, sizeof(g.tag));
	memcpy(g.name, lie->hello.name, sizeof(g.name));
	CHECK_EQ(peal_channel_ring_make(&lie->made, &g, 0, socket ? fd : -1),
		 0);
	peal_wire_begin(&lie->answer.start, PEAL_WIRE_ANSWER, 0, NULL);
	lie->answer.bells = socket ? PEAL_DOORBELL_SOCKET
				   : PEAL_DOORBELL_EVENTFD;
	lie->n_fds = (int)peal_channel_ring_describe(
		&lie->made, &lie->answer.ring[0], lie->fds);
	lie->size = sizeof(lie->answer);
	lie->times = 1;
	peal_wire_begin(&lie->last.open.start, PEAL_WIRE_OPEN, 0, NULL);
	lie->last_size = sizeof(lie->last.open);
	lie->last_times = 1;
}

static void send_with_fds(int fd, const void *what, size_t size, const int *fds,
			  int n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(12 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)what, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t bytes = (size_t)n_fds * sizeof(int);

	if (bytes > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(bytes);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(&control.align), fds, bytes);
	}
	/* The client may have had enough of it. */
	CHECK(sendmsg(fd, &message, MSG_NOSIGNAL) >= 0 || errno == EPIPE);
}

static void tell(int fd, const struct lie *lie)
{
	char packet[sizeof(lie->answer) + 1] = { 0 };

	memcpy(packet, &lie->answer, sizeof(lie->answer));
	for (int i = 0; i < lie->times; i++)
		send_with_fds(fd, packet, lie->size, lie->fds, lie->n_fds);
}

static void tell_the_last(int fd, const struct lie *lie)
{
	char packet[sizeof(lie->last) + 1] = { 0 };

	memcpy(packet, &lie->last, sizeof(lie->last));
	for (int i = 0; i < lie->bells; i++)
		send_with_fds(fd, "", 1, NULL, 0);
	for (int i = 0; i < lie->last_times; i++)
		send_with_fds(fd, packet, lie->last_size, lie->last_fds,
			      lie->n_last_fds);
}

/* All that it says, and then it stays until the client has enough. */
static void talk(int fd, const struct lie *lie)
{
	struct peal_wire_ready ready;
	bool goes_on = lie->times > 0 || lie->hold;
	char byte;

	if (lie->first)
		tell_the_last(fd, lie);
	tell(fd, lie);
	if (!lie->first && lie->times > 0 &&
	    (lie->too_early || recv(fd, &ready, sizeof(ready), 0) > 0))
		tell_the_last(fd, lie);
	while (goes_on && !lie->leaves && recv(fd, &byte, 1, 0) > 0)
		;
}

struct listening {
	int fd;
	const struct deceit *deceit;
};

/* It lies to all who come, until it is killed. */
static void deceive(void *arg)
{
	const struct listening *l = arg;
	struct peal_wire_open open;

	peal_wire_begin(&open.start, PEAL_WIRE_OPEN, 0, NULL);
	for (;;) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
		struct lie lie = { 0 };

		CHECK(fd >= 0);
		hear_hello(fd, &lie);
		prepare(fd, &lie);
		l->deceit->lie(&lie);
		talk(fd, &lie);
		close(fd);
	}
}

static int listen_at(void)
{
	struct sockaddr_un at;
	socklen_t size;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address, sizeof(address), "@peal-deceit-%d", (int)getpid());
	CHECK_EQ(peal_socket_address(&at, &size, address), 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&at, size), 0);
	CHECK_EQ(listen(fd, 16), 0);
	return fd;
}

static void check_text(const char *text)
{
	CHECK(memchr(text, '\0', PEAL_TEXT) != NULL);
	for (; *text; text++)
		CHECK((unsigned char)*text >= ' ' && *text != 0x7f);
}

static struct peal_hello hello_to(const struct deceit *deceit)
{
	return (struct peal_hello){ .role = PEAL_SENDER,
				    .bells = deceit->bells,
				    .item_size = 8,
				    .capacity = CAPACITY,
				    .tag = "true/1",
				    .name = "victim" };
}

static void be_deceived(const struct deceit *deceit)
{
	const struct peal_hello hello = hello_to(deceit);
	int timeout = deceit->expect == -ETIMEDOUT ? TIMEOUT_MS : 10000;
	struct peal_channel ch;
	int ret = peal_connect(&ch, address, &hello, timeout);

	check_text(ch.text);
	if (ret != deceit->expect && ret != deceit->or_else)
		test_fail(__FILE__, __LINE__, "connect says %d (%s), not %d",
			  ret, ch.text, deceit->expect);
	if (ret == 0)
		peal_channel_close(&ch);
}

/* -- the same on a reactor */

struct victim {
	const struct deceit *deceit;
	int opens, closes, reason;
};

static void on_open(struct peal_channel *ch, void *user)
{
	struct victim *victim = user;

	(void)ch;
	victim->opens++;
}

static void on_closed(struct peal_channel *ch, int reason, void *user)
{
	struct victim *victim = user;

	check_text(ch->text);
	victim->closes++;
	victim->reason = reason;
}

/*
 * Where it is a long wait, it has an end all the same: whatever the server does
 * meanwhile, the deadline stays where it is.
 */
static void wait_for_verdict(struct peal_reactor *loop,
			     const struct peal_channel *ch,
			     const struct victim *victim)
{
	bool late = victim->deceit->expect == -ETIMEDOUT;
	uint64_t deadline = 0;

	for (int i = 0; !victim->opens && !victim->closes; i++) {
		CHECK(peal_reactor_run_once(loop, late ? 10 : -1) >= 0);
		if (late && i == 10)
			deadline = ch->client.connect_by;
		if (late && i == 30) {
			CHECK(deadline > 0);
			CHECK_EQ(ch->client.connect_by, deadline);
			return;
		}
	}
}

static void be_deceived_on_a_reactor(const struct deceit *deceit)
{
	const struct peal_hello hello = hello_to(deceit);
	struct victim victim = { .deceit = deceit };
	const struct peal_channel_callbacks callbacks = {
		.on_open = on_open, .on_closed = on_closed, .user = &victim
	};
	struct peal_slot slots[PEAL_CHANNEL_SLOTS];
	struct peal_channel ch = { 0 };
	struct peal_reactor loop;

	CHECK_EQ(peal_reactor_init(&loop, slots, PEAL_CHANNEL_SLOTS), 0);
	CHECK_EQ(peal_connect_on(&ch, &loop, address, &hello, &callbacks, 0),
		 0);
	wait_for_verdict(&loop, &ch, &victim);
	if (victim.closes && !victim.opens && victim.reason != deceit->expect &&
	    victim.reason != deceit->or_else)
		test_fail(__FILE__, __LINE__, "closed with %d (%s), not %d",
			  victim.reason, ch.text, deceit->expect);
	if (victim.opens)
		CHECK(!deceit->expect || !deceit->or_else);
	CHECK(victim.opens <= 1 && victim.closes <= 1);
	peal_channel_close(&ch);
	peal_reactor_close(&loop);
}

/* An emulator may have room for fewer fds than were sent, and keep the rest. */
static bool kernel_keeps_fds(void)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(12 * sizeof(int))];
	} control = { 0 };
	char byte = 0;
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	int pair[2], fds;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
		 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(12 * sizeof(int));
	for (int i = 0; i < 12; i++)
		((int *)(void *)CMSG_DATA(c))[i] = pair[0];
	CHECK_EQ(sendmsg(pair[0], &message, 0), 1);
	fds = test_count_fds();
	message.msg_controllen = CMSG_SPACE(sizeof(int));
	CHECK_EQ(recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC), 1);
	/* Room for one, and that is room for two. */
	return test_count_fds() > fds + 2;
}

static void run_deceit(const void *row)
{
	const struct deceit *deceit = row;
	int mappings = count_mappings(), fds;
	struct listening l = { listen_at(), deceit };
	pid_t pid = test_fork(deceive, &l);

	close(l.fd);
	fds = test_count_fds();
	for (int i = 0; i < 4; i++) {
		if (i % 2)
			be_deceived_on_a_reactor(deceit);
		else
			be_deceived(deceit);
		if (test_count_fds() != fds && kernel_keeps_fds())
			test_skip("fds for which there is no room stay open");
		CHECK_EQ(test_count_fds(), fds);
		CHECK_EQ(count_mappings(), mappings);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

#define MOST_ROWS 100

__attribute__((constructor)) static void register_deceits(void)
{
	static struct test tests[MOST_ROWS];
	int n = 0;

	for (const struct deceit *d = hostile_lies; d->name; d++, n++) {
		if (n == MOST_ROWS)
			abort();
		test_register_row(&tests[n], d->name, run_deceit, d);
	}
}
