/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A server in namespaces of its own, and clients outside. The kernel names
 * users and processes as the one who asks sees them: whoever has no name there
 * is the overflow user, who is trusted by nobody, or process 0.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "fixtures/service.h"

#define OVERFLOW 65534
#define STRANGER 4711
#define OTHER 4712
#define SO_PEERPIDFD_ 77

/* What the server tells of its clients. */
static struct view {
	int serving, done, opened, closed;
	uint64_t items;
	struct peal_peer peer;
	enum peal_doorbell_kind bells;
	int reason;
	char why[64];
} * view;

struct world {
	int namespaces;
	const char *map; /* of users, or NULL: nobody has a name there */
	unsigned max_per_uid;
};

static char name[64];

/* -- the server */

static void note_open(struct peal_channel *ch, void *user)
{
	(void)user;
	view->peer = ch->peer;
	view->bells = peal_channel_bells(ch);
	__atomic_add_fetch(&view->opened, 1, __ATOMIC_RELEASE);
}

static long count_items(struct peal_channel *ch, void *user)
{
	uint64_t item;

	(void)user;
	while (peal_receiver_get(&ch->receiver, &item, 1) > 0)
		view->items += item;
	return PEAL_DONE;
}

static void note_close(struct peal_channel *ch, int reason, void *user)
{
	(void)ch;
	(void)user;
	view->reason = reason;
	__atomic_add_fetch(&view->closed, 1, __ATOMIC_RELEASE);
}

static void give_up(const char *why)
{
	snprintf(view->why, sizeof(view->why), "%s", why);
	__atomic_store_n(&view->serving, -1, __ATOMIC_RELEASE);
	exit(EXIT_SUCCESS);
}

static void serve(void *arg)
{
	const struct world *world = arg;
	const struct peal_service service = {
		.accept.item_size = 8,
		.channels = channels,
		.n_channels = CHANNELS,
		.callbacks = { .on_open = note_open,
			       .on_readable = count_items,
			       .on_closed = note_close },
		.max_per_uid = world->max_per_uid,
	};

	link_reactor(LINK_OWN);
	CHECK_EQ(peal_server_listen_on(&server, &loop, name, &service), 0);
	__atomic_store_n(&view->serving, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&view->done, __ATOMIC_ACQUIRE))
		CHECK(peal_reactor_run_once(&loop, 5) >= 0);
	peal_server_close(&server);
	peal_reactor_close(&loop);
	/* Its /proc is that of others, where a leak check is lost. */
	if (world->namespaces & CLONE_NEWPID)
		_exit(EXIT_SUCCESS);
}

static void map_users(const char *map)
{
	int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, map, strlen(map)) < 0)
		give_up("no mapping of users");
	close(fd);
}

/* Only a child is in a new pid namespace. */
static void serve_in(void *arg)
{
	const struct world *world = arg;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(world->namespaces) < 0)
		give_up("no such namespaces here");
	if (world->map)
		map_users(world->map);
	if (world->namespaces & CLONE_NEWPID) {
		test_join(test_fork(serve, arg));
		/* Whoever looks for leaks would do it from in there. */
		_exit(EXIT_SUCCESS);
	}
	serve(arg);
}

static pid_t begin(const struct world *world)
{
	pid_t pid;

	if (geteuid() != 0)
		test_skip("only root can make them all");
	view = mmap(NULL, sizeof(*view), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(view != MAP_FAILED);
	snprintf(name, sizeof(name), "@peal-namespaces-%d", (int)getpid());
	pid = test_fork(serve_in, (void *)(uintptr_t)world);
	while (!__atomic_load_n(&view->serving, __ATOMIC_ACQUIRE))
		usleep(500);
	if (view->serving < 0)
		test_skip("%s", view->why);
	return pid;
}

static void end(pid_t pid)
{
	__atomic_store_n(&view->done, 1, __ATOMIC_RELEASE);
	test_join(pid);
}

/* -- the clients */

static void become(uid_t uid)
{
	CHECK_EQ(setgroups(0, NULL), 0);
	CHECK_EQ(setresgid(uid, uid, uid), 0);
	CHECK_EQ(setresuid(uid, uid, uid), 0);
}

static void await(const int *word, int n)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < n)
		usleep(500);
}

static void connect_and_send(struct peal_channel *ch)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 64);
	uint64_t one = 1;

	CHECK_EQ(peal_connect(ch, name, &hello, -1), 0);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(peal_sender_put(&ch->sender, &one, 1), 1);
}

static void come_and_go(void *uid)
{
	struct peal_channel ch;

	become((uid_t)(uintptr_t)uid);
	connect_and_send(&ch);
	CHECK_EQ(peal_sender_drain(&ch.sender, -1), 0);
	peal_channel_close(&ch);
}

static void visit_as(uid_t uid)
{
	int n = view->closed;

	view->items = 0;
	test_join(test_fork(come_and_go, (void *)(uintptr_t)uid));
	await(&view->closed, n + 1);
	CHECK_EQ(view->items, 100);
	CHECK_EQ(view->reason, 0);
	CHECK(view->peer.known);
}

/* -- users */

static const struct world own_root = { CLONE_NEWUSER, "0 0 1", 0 };
static const struct world nobody = { CLONE_NEWUSER, NULL, 0 };
static const struct world two_of_each = { CLONE_NEWUSER, "0 0 1", 2 };

TEST(a_server_in_a_user_namespace_trusts_its_own_user_outside)
{
	pid_t pid = begin(&own_root);

	visit_as(0);
	CHECK_EQ(view->peer.uid, 0);
	CHECK(view->peer.trusted);
	CHECK_EQ(view->bells, PEAL_DOORBELL_EVENTFD);
	end(pid);
}

TEST(who_has_no_uid_in_the_servers_namespace_is_the_overflow_user)
{
	pid_t pid = begin(&own_root);

	visit_as(STRANGER);
	CHECK_EQ(view->peer.uid, OVERFLOW);
	CHECK(!view->peer.trusted);
	CHECK_EQ(view->bells, PEAL_DOORBELL_SOCKET);
	end(pid);
}

/* It is the overflow user to itself, and that is no reason to trust others. */
TEST(a_server_without_a_uid_of_its_own_trusts_nobody)
{
	pid_t pid = begin(&nobody);

	for (int i = 0; i < 3; i++) {
		static const uid_t uids[] = { 0, STRANGER, OVERFLOW };

		visit_as(uids[i]);
		CHECK_EQ(view->peer.uid, OVERFLOW);
		CHECK(!view->peer.trusted);
		CHECK_EQ(view->bells, PEAL_DOORBELL_SOCKET);
	}
	end(pid);
}

static void stay(void *uid)
{
	struct peal_channel ch;

	become((uid_t)(uintptr_t)uid);
	connect_and_send(&ch);
	for (;;)
		pause();
}

static void be_one_too_many(void *uid)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 64);
	struct peal_channel ch;

	become((uid_t)(uintptr_t)uid);
	CHECK_EQ(peal_connect(&ch, name, &hello, -1), -EAGAIN);
}

/* They cannot be told apart; users that have a name there are not among them.
 */
TEST(all_who_have_no_uid_there_share_the_limits_of_one_user)
{
	pid_t pid = begin(&two_of_each), clients[2];

	clients[0] = test_fork(stay, (void *)STRANGER);
	clients[1] = test_fork(stay, (void *)OTHER);
	await(&view->opened, 2);
	test_join(test_fork(be_one_too_many, (void *)STRANGER));
	test_join(test_fork(be_one_too_many, (void *)OTHER));
	for (int i = 0; i < 2; i++) {
		kill(clients[i], SIGKILL);
		waitpid(clients[i], NULL, 0);
	}
	await(&view->closed, 2);
	visit_as(0);
	end(pid);
}

/* -- processes */

static const struct world own_processes = { CLONE_NEWPID, NULL, 0 };

TEST(a_client_outside_the_servers_pid_namespace_is_process_0)
{
	pid_t pid = begin(&own_processes);

	visit_as(0);
	CHECK_EQ(view->peer.pid, 0);
	CHECK(view->peer.trusted);
	visit_as(STRANGER);
	CHECK_EQ(view->peer.pid, 0);
	CHECK_EQ(view->peer.uid, STRANGER);
	CHECK(!view->peer.trusted);
	end(pid);
}

static void send_and_leave_a_child(void *arg)
{
	struct peal_channel ch;

	connect_and_send(&ch);
	CHECK_EQ(peal_sender_drain(&ch.sender, -1), 0);
	if (arg && fork() == 0)
		for (;;)
			pause();
	_exit(EXIT_SUCCESS);
}

static bool has_pidfds(void)
{
	int pair[2], fd = -1;
	socklen_t size = sizeof(fd);
	bool has;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	has = getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD_, &fd, &size) == 0;
	if (has)
		close(fd);
	close(pair[0]);
	close(pair[1]);
	return has;
}

TEST(the_death_of_process_0_is_seen_though_a_child_hides_it)
{
	pid_t pid = begin(&own_processes);
	int hides = has_pidfds();

	for (int i = 0; i <= hides; i++) {
		test_join(test_fork(send_and_leave_a_child,
				    (void *)(uintptr_t)i));
		await(&view->closed, i + 1);
		CHECK_EQ(view->reason, -EPIPE);
	}
	end(pid);
}

/* -- a client that has no name for its server */

static const struct world plain = { 0, NULL, 0 };

static void come_from_nowhere(void *unused)
{
	struct peal_channel ch;

	(void)unused;
	if (unshare(CLONE_NEWUSER) < 0)
		exit(EXIT_SUCCESS);
	connect_and_send(&ch);
	/* It is the same user, which the client cannot know. */
	CHECK_EQ(ch.peer.uid, OVERFLOW);
	CHECK(!ch.peer.trusted);
	CHECK_EQ(peal_channel_bells(&ch), PEAL_DOORBELL_SOCKET);
	CHECK_EQ(peal_sender_drain(&ch.sender, -1), 0);
	peal_channel_close(&ch);
}

TEST(a_client_that_has_no_uid_trusts_no_server)
{
	pid_t pid = begin(&plain);

	test_join(test_fork(come_from_nowhere, NULL));
	end(pid);
}
