/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What comes along with packets, or keeps them on their way; and who the kernel
 * says has sent them, whatever they say themselves.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <peal/channel.h>

#include "../channel/internal.h"
#include "channel_hostile_rows.h"

#define SEALS (F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/* The server has seen who it is, and believes the kernel alone. */
static void check_identity(uid_t uid, pid_t pid)
{
	CHECK_EQ(field->enemy_uid, uid);
	CHECK_EQ(field->enemy_pid, pid);
	CHECK_EQ(field->enemy_is_trusted, uid == 0);
}

/* -- credentials */

/* Root may claim to be anybody; others may say who they are. */
static int send_as(int fd, const void *packet, size_t size, pid_t pid,
		   uid_t uid)
{
	const struct ucred cred = { .pid = pid, .uid = uid, .gid = uid };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(cred))];
	} control = { 0 };
	struct iovec iov = { (void *)packet, size };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_CREDENTIALS;
	control.align.cmsg_len = CMSG_LEN(sizeof(cred));
	memcpy(CMSG_DATA(&control.align), &cred, sizeof(cred));
	return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* As another user in each packet: in hello, ready, and bells. */
static void forge_credentials(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);
	struct peal_wire_ready ready = enemy_ready();
	bool root = geteuid() == 0;
	pid_t pid = root ? 1 : getpid();
	uid_t uid = root ? 4711 : geteuid();
	uint64_t before = count(&field->opened);
	struct grip grip = { .socket = enemy_connect() };

	if (!root) /* it is refused, and then it is honest */
		CHECK_EQ(send_as(grip.socket, &hello, sizeof(hello), 1, 0),
			 -EPERM);
	CHECK_EQ(send_as(grip.socket, &hello, sizeof(hello), pid, uid), 0);
	enemy_take_answer(&grip, a->role);
	CHECK_EQ(enemy_seal(&grip, SEALS), 0);
	CHECK_EQ(send_as(grip.socket, &ready, sizeof(ready), pid, uid), 0);
	AWAIT(count(&field->opened) > before);
	check_identity(geteuid(), getpid());
	for (int i = 0; a->bells == PEAL_DOORBELL_SOCKET && i < 5; i++)
		CHECK_EQ(send_as(grip.socket, "x", 1, pid, uid), 0);
}

/* A socket that another process has connected is still that one's. */
static void connect_by_another(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);
	struct grip grip = { 0 };
	int pair[2], fds[PEAL_FDS];
	char byte = 'x';
	pid_t pid;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	pid = enemy_fork();
	if (pid == 0) {
		CHECK_EQ(enemy_send_fd(pair[1], &byte, 1, enemy_connect()), 0);
		until_release();
		_exit(0);
	}
	CHECK_EQ(peal_socket_wait(pair[0], UINT64_MAX), 0);
	CHECK_EQ(peal_socket_receive_fds(pair[0], &byte, 1, fds), 0);
	grip.socket = fds[0];
	enemy_send(grip.socket, &hello, sizeof(hello));
	enemy_take_answer(&grip, a->role);
	enemy_open(&grip);
	check_identity(geteuid(), pid);
}

/* -- ways to send */

/* Whatever the kernel makes of a flag, the packet is a hello, or is none. */
static void send_with_flags(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);
	struct grip grip = { .socket = enemy_connect() };

	if (send(grip.socket, &hello, sizeof(hello), a->n | MSG_NOSIGNAL) < 0)
		enemy_send(grip.socket, &hello, sizeof(hello));
	enemy_take_answer(&grip, a->role);
	CHECK_EQ(enemy_seal(&grip, SEALS), 0);
	send(grip.socket, "x", 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL);
	enemy_open(&grip);
}

static void ring_with_flags(const struct attack *a)
{
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	for (int i = 0; i < 5; i++) {
		send(ch.line.fd, "x", 1, a->n | MSG_DONTWAIT | MSG_NOSIGNAL);
		enemy_exchange(&ch);
	}
}

/* An urgent byte needs a stream, and the server's socket is none. */
static void come_as_another_type(const struct attack *a)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM };
	struct sockaddr_un to;
	socklen_t size;
	int fd;

	(void)a;
	CHECK_EQ(peal_socket_address(&to, &size, field->address), 0);
	for (int i = 0; i < 2; i++) {
		fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);
		CHECK_EQ(connect(fd, (struct sockaddr *)&to, size), -1);
		CHECK_EQ(sendto(fd, "x", 1, MSG_OOB | MSG_NOSIGNAL,
				(struct sockaddr *)&to, size),
			 -1);
		close(fd);
	}
}

/* It looks at the answer again and again, and each look installs the fds. */
static void peek_at_the_answer(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);
	struct grip grip = { .socket = enemy_connect() };
	char control[CMSG_SPACE(PEAL_FDS * sizeof(int))];

	enemy_send(grip.socket, &hello, sizeof(hello));
	AWAIT(peal_socket_wait(grip.socket, 0) == 0);
	for (int i = 0; i < 50; i++) {
		char byte;
		struct iovec iov = { &byte, 1 };
		struct msghdr message = { .msg_iov = &iov,
					  .msg_iovlen = 1,
					  .msg_control = control,
					  .msg_controllen = sizeof(control) };

		CHECK_EQ(recvmsg(grip.socket, &message, MSG_PEEK), 1);
	}
	enemy_take_answer(&grip, a->role);
	enemy_open(&grip);
}

/* -- namespaces of the client's */

static void unshare_or_skip(int flags)
{
	if (unshare(flags) < 0)
		cannot("no such namespaces here");
}

/* Nobody has mapped it, so to itself it is the overflow user. */
static void come_from_a_user_namespace(const struct attack *a)
{
	uid_t uid = geteuid();
	struct peal_channel ch;

	unshare_or_skip(CLONE_NEWUSER);
	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	check_identity(uid, getpid());
}

/* Root in there, and whoever it was out here. */
static void come_as_root_of_its_own(const struct attack *a)
{
	uid_t uid = geteuid();
	struct peal_channel ch;
	char map[32];
	int fd;

	/* Who has changed its user may not write into its own /proc. */
	prctl(PR_SET_DUMPABLE, 1);
	unshare_or_skip(CLONE_NEWUSER);
	snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
	fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, map, strlen(map)) < 0)
		cannot("no mapping of users");
	close(fd);
	CHECK_EQ(geteuid(), 0);
	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	check_identity(uid, getpid());
}

/* As process 1 of its own; the server knows it by another number. */
static void come_from_a_pid_namespace(const struct attack *a)
{
	struct peal_channel ch;
	pid_t pid;
	int step[2];
	char byte = 0;

	unshare_or_skip(geteuid() ? CLONE_NEWUSER | CLONE_NEWPID
				  : CLONE_NEWPID);
	CHECK_EQ(pipe2(step, O_CLOEXEC), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		die_with_the_server();
		CHECK_EQ(getpid(), 1);
		enemy_channel(&ch, a->role, a->bells);
		enemy_exchange(&ch);
		CHECK_EQ(write(step[1], &byte, 1), 1);
		until_release();
		_exit(0);
	}
	CHECK_EQ(read(step[0], &byte, 1), 1);
	CHECK_EQ(field->enemy_pid, pid);
	if (a->expect == HARMLESS)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* -- stalled in the kernel */

struct stalled {
	int fd;
	void *page;
	size_t size;
	bool receives, control;
};

static void *send_or_receive(void *arg)
{
	const struct stalled *s = arg;
	struct peal_wire_hello hello = enemy_hello(PEAL_SENDER, 0);
	struct iovec iov = { s->page, s->size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (s->control) {
		iov = (struct iovec){ &hello, sizeof(hello) };
		message.msg_control = s->page;
		message.msg_controllen = 64;
	}
	if (s->receives)
		(void)!recvmsg(s->fd, &message, 0);
	else
		(void)!sendmsg(s->fd, &message, MSG_NOSIGNAL);
	return NULL;
}

/* A page that nobody fills holds whoever reads the page. */
static void stall(int fd, size_t size, bool receives, bool control)
{
	static struct stalled s;
	pthread_t thread;
	int uffd;

	s = (struct stalled){ fd, enemy_bottomless_page(&uffd), size, receives,
			      control };
	CHECK_EQ(pthread_create(&thread, NULL, send_or_receive, &s), 0);
	enemy_wait_for_fault(uffd);
}

static void stall_the_hello(const struct attack *a)
{
	stall(enemy_connect(), sizeof(struct peal_wire_hello), false, a->n);
}

static void stall_the_answer(const struct attack *a)
{
	struct peal_wire_hello hello = enemy_hello(a->role, a->bells);
	int fd = enemy_connect();

	enemy_send(fd, &hello, sizeof(hello));
	stall(fd, sizeof(struct peal_wire_answer), true, false);
}

static void stall_ready(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	CHECK_EQ(enemy_seal(&grip, SEALS), 0);
	stall(grip.socket, sizeof(struct peal_wire_ready), false, false);
}

/* Wake me at the next item, for which here is room. */
static void ask_for_a_bell(struct peal_channel *ch)
{
	struct peal_end *end = &ch->receiver.end;

	__atomic_store_n(&end->own->wake, end->peer->position + 1,
			 __ATOMIC_RELAXED);
	enemy_exchange(ch);
}

/* The bells pile up behind the one that it is about to read, or to send. */
static void stall_a_bell(const struct attack *a)
{
	bool receives = a->role == PEAL_RECEIVER;
	struct peal_channel ch;

	enemy_channel(&ch, a->role, a->bells);
	enemy_exchange(&ch);
	while (receives && peal_socket_wait(ch.line.fd, 0) != 0)
		ask_for_a_bell(&ch);
	stall(ch.line.fd, 1, receives, false);
	for (int i = 0; i < 300; i++)
		if (receives)
			ask_for_a_bell(&ch);
		else
			enemy_exchange(&ch);
}

/* clang-format off */
const struct attack hostile_packets[] = {
	AS_NOBODY("credentials of somebody else", forge_credentials, HARMLESS,
		  SENDS, SOCKET),
	ROW("credentials of somebody else, where the bells are eventfds",
	    forge_credentials, HARMLESS, SENDS),
	AS_NOBODY("a connection that was made by another process",
		  connect_by_another, HARMLESS, SENDS),
	ROW("an urgent hello", send_with_flags, HARMLESS, SENDS, SOCKET,
	    .n = MSG_OOB),
	ROW("a hello with more to come", send_with_flags, HARMLESS, SENDS,
	    SOCKET, .n = MSG_MORE),
	ROW("a hello that ends a record", send_with_flags, HARMLESS, SENDS,
	    SOCKET, .n = MSG_EOR),
	AS_NOBODY("urgent bells", ring_with_flags, HARMLESS, SENDS, SOCKET,
		  .n = MSG_OOB),
	ROW("urgent packets where the bells are eventfds", ring_with_flags,
	    HARMLESS, SENDS, EVENTFD, .n = MSG_OOB),
	ROW("sockets of other types", come_as_another_type, ANYTHING, SENDS),
	AS_NOBODY("an answer that is looked at again and again",
		  peek_at_the_answer, HARMLESS, SENDS),
	AS_NOBODY("a client in a user namespace", come_from_a_user_namespace,
		  HARMLESS, BOTH),
	AS_NOBODY("a client that is root in a user namespace",
		  come_as_root_of_its_own, HARMLESS, BOTH),
	AS_NOBODY("a client in a pid namespace", come_from_a_pid_namespace,
		  HARMLESS, SENDS),
	AS_NOBODY("a client that is killed in a pid namespace",
		  come_from_a_pid_namespace, -EPIPE, SENDS),
	ROW("a hello that stalls on its way", stall_the_hello, -ETIMEDOUT,
	    SENDS),
	ROW("a hello that stalls with what comes along", stall_the_hello,
	    -ETIMEDOUT, SENDS, .n = 1),
	ROW("an answer that stalls on its way", stall_the_answer, -ETIMEDOUT,
	    BOTH),
	ROW("a ready that stalls on its way", stall_ready, -ETIMEDOUT, SENDS),
	ROW("a bell that stalls on its way to the server", stall_a_bell,
	    HARMLESS, SENDS, SOCKET),
	ROW("a bell that stalls on its way to the client", stall_a_bell,
	    HARMLESS, RECEIVES, SOCKET),
	{ 0 },
};
