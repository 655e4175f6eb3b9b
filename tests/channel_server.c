/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Servers: where they listen, whom they replace, what they allow, and how they
 * end.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../channel/internal.h"
#include "fixtures/service.h"

#define NOBODY 65534

static struct peal_channel clients[CHANNELS];

/* -- the path */

static mode_t mode_of_path(void)
{
	struct stat st;

	CHECK_EQ(stat(link_path, &st), 0);
	CHECK(S_ISSOCK(st.st_mode));
	return st.st_mode & 07777;
}

TEST(the_path_is_the_owners_alone_unless_it_is_said_otherwise)
{
	struct peal_service service = usual();

	start();
	umask(0);
	CHECK_EQ(serve_at(link_path), 0);
	CHECK_EQ(mode_of_path(), 0600);
	peal_server_close(&server);
	CHECK_EQ(access(link_path, F_OK), -1);
	umask(077);
	service.mode = 0666;
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service), 0);
	CHECK_EQ(mode_of_path(), 0666);
	link_end();
}

TEST(the_path_has_the_owner_that_it_is_given)
{
	struct peal_service service = usual();
	struct stat st;

	start();
	service.chown = true;
	service.uid = (uid_t)-1;
	service.gid = (gid_t)-1;
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service), 0);
	CHECK_EQ(stat(link_path, &st), 0);
	CHECK_EQ(st.st_uid, geteuid());
	peal_server_close(&server);
	service.uid = service.gid = NOBODY;
	if (geteuid() != 0) {
		CHECK_EQ(peal_server_listen_on(&server, &loop, link_path,
					       &service),
			 -EPERM);
	} else {
		CHECK_EQ(peal_server_listen_on(&server, &loop, link_path,
					       &service),
			 0);
		CHECK_EQ(stat(link_path, &st), 0);
		CHECK_EQ(st.st_uid, NOBODY);
		CHECK_EQ(st.st_gid, NOBODY);
	}
	link_end(); /* which looks that nothing is left, on failure too */
}

/* A socket that is bound, and listens if it can and shall. */
static int bind_here(int type, bool listens)
{
	struct sockaddr_un at;
	socklen_t size;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	CHECK_EQ(peal_socket_address(&at, &size, link_path), 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&at, size), 0);
	if (listens)
		CHECK_EQ(listen(fd, 0), 0);
	return fd;
}

TEST(the_socket_of_a_dead_server_is_replaced)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM };

	start();
	for (int i = 0; i < 3; i++) {
		close(bind_here(types[i], types[i] != SOCK_DGRAM));
		CHECK_EQ(serve_at(link_path), 0);
		client_meets_as_sender(&clients[0], link_path, 0);
		CHECK_EQ(here.opens, 1);
		peal_channel_close(&clients[0]);
		peal_server_close(&server);
		CHECK_EQ(link_folder_entries(), 0);
	}
	link_end();
}

TEST(the_socket_of_somebody_alive_is_left_alone)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM };
	struct peal_server zero = { 0 };

	start();
	for (int i = 0; i < 3; i++) {
		int fd = bind_here(types[i], types[i] != SOCK_DGRAM);

		/* Again, since its queue is full in the end. */
		for (int n = 0; n < 4; n++)
			CHECK_EQ(serve_at(link_path), -EADDRINUSE);
		CHECK(memcmp(&server, &zero, sizeof(zero)) == 0);
		CHECK_EQ(link_folder_entries(), 1);
		close(fd);
		unlink(link_path);
	}
	link_end();
}

TEST(a_second_server_does_not_disturb_the_first)
{
	struct peal_service service = usual();
	static struct peal_server second;

	start();
	CHECK_EQ(serve_at(link_path), 0);
	CHECK_EQ(peal_server_listen_on(&second, &loop, link_path, &service),
		 -EADDRINUSE);
	peal_server_close(&second);
	client_meets_as_sender(&clients[0], link_path, 0);
	CHECK_EQ(here.opens, 1);
	peal_channel_close(&clients[0]);
	settle();
	link_end();
}

TEST(what_is_no_socket_is_never_removed)
{
	char other[128];
	struct stat st;
	int fd;

	start();
	snprintf(other, sizeof(other), "%s.other", link_path);
	fd = open(link_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK_EQ(write(fd, "dear", 4), 4);
	close(fd);
	CHECK_EQ(serve_at(link_path), -EEXIST);
	CHECK_EQ(stat(link_path, &st), 0);
	CHECK_EQ(st.st_size, 4);
	CHECK_EQ(rename(link_path, other), 0);

	CHECK_EQ(symlink(other, link_path), 0);
	CHECK_EQ(serve_at(link_path), -EEXIST);
	CHECK_EQ(lstat(link_path, &st), 0);
	unlink(link_path);
	CHECK_EQ(symlink("nowhere", link_path), 0);
	CHECK_EQ(serve_at(link_path), -EEXIST);
	unlink(link_path);
	unlink(other);

	CHECK_EQ(mkdir(link_path, 0700), 0);
	CHECK_EQ(serve_at(link_path), -EEXIST);
	CHECK_EQ(rmdir(link_path), 0);
	CHECK_EQ(mkfifo(link_path, 0600), 0);
	CHECK_EQ(serve_at(link_path), -EEXIST);
	CHECK_EQ(unlink(link_path), 0);
	link_end();
}

TEST(a_path_that_is_no_longer_ours_is_left_alone)
{
	struct stat st;
	int fd;

	start();
	CHECK_EQ(serve_at(link_path), 0);
	CHECK_EQ(unlink(link_path), 0);
	fd = open(link_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	peal_server_close(&server);
	CHECK_EQ(stat(link_path, &st), 0);
	CHECK(S_ISREG(st.st_mode));
	close(fd);
	unlink(link_path);
	link_end();
}

TEST(an_address_that_cannot_be_is_refused)
{
	struct peal_service service = usual();
	struct peal_server zero = { 0 };
	char path[200];
	int fds;

	start();
	fds = test_count_fds();
	snprintf(path, sizeof(path), "%s.d/sock", link_path);
	CHECK_EQ(serve_at(path), -ENOENT);
	memset(path, 'x', sizeof(path));
	path[108] = '\0';
	CHECK_EQ(serve_at(path), -ENAMETOOLONG);
	CHECK_EQ(serve_at(""), -EINVAL);
	CHECK_EQ(serve_at("@"), -EINVAL);
	service.n_channels = 0;
	memset(&server, 0xee, sizeof(server));
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service),
		 -EINVAL);
	CHECK(memcmp(&server, &zero, sizeof(zero)) == 0);
	CHECK_EQ(test_count_fds(), fds);
	link_end();
}

TEST(a_server_needs_slots_and_leaves_nothing_where_there_are_none)
{
	struct peal_service service = usual();
	struct peal_slot few[1];
	struct peal_reactor small;
	int fds;

	start();
	CHECK_EQ(peal_reactor_init(&small, few, 1), 0);
	fds = test_count_fds();
	CHECK_EQ(peal_server_listen_on(&server, &small, link_path, &service),
		 -ENOSPC);
	CHECK_EQ(test_count_fds(), fds);
	CHECK_EQ(link_folder_entries(), 0);
	peal_reactor_close(&small);
	link_end();
}

TEST(a_server_that_is_all_zero_has_counts_of_zero)
{
	struct peal_server none = { 0 };
	struct peal_server_stats stats, zero = { 0 };

	peal_server_stats(&none, &stats);
	CHECK(memcmp(&stats, &zero, sizeof(zero)) == 0);
}

/* -- races for a path */

#define RACERS 4
#define RACES 25

struct race {
	int go, done, winners;
};

static void run_for_it(void *arg)
{
	struct race *race = arg;
	int ret;

	link_reactor(LINK_OWN);
	while (!__atomic_load_n(&race->go, __ATOMIC_ACQUIRE))
		usleep(10);
	ret = serve_at(link_path);
	CHECK(ret == 0 || ret == -EADDRINUSE);
	if (ret == 0)
		__atomic_add_fetch(&race->winners, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&race->done, 1, __ATOMIC_SEQ_CST);
	/* Nobody wins because somebody else has gone already. */
	while (__atomic_load_n(&race->done, __ATOMIC_SEQ_CST) < RACERS + 1)
		link_once(false);
	peal_server_close(&server);
	peal_reactor_close(&loop);
}

TEST(of_servers_that_race_for_a_stale_path_one_wins)
{
	struct race *race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct peal_channel ch;
	struct peal_hello hello = link_hello(PEAL_SENDER, 0);
	pid_t pids[RACERS];

	CHECK(race != MAP_FAILED);
	link_folder();
	for (int r = 0; r < RACES; r++) {
		*race = (struct race){ 0 };
		if (r % 2)
			close(bind_here(SOCK_SEQPACKET, true));
		for (int i = 0; i < RACERS; i++)
			pids[i] = test_fork(run_for_it, race);
		__atomic_store_n(&race->go, 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&race->done, __ATOMIC_SEQ_CST) < RACERS)
			usleep(100);
		CHECK_EQ(race->winners, 1);
		/* And that is the one who is found there. */
		CHECK_EQ(peal_connect(&ch, link_path, &hello, -1), 0);
		peal_channel_close(&ch);
		__atomic_add_fetch(&race->done, 1, __ATOMIC_SEQ_CST);
		for (int i = 0; i < RACERS; i++)
			test_join(pids[i]);
		CHECK_EQ(link_folder_entries(), 0);
	}
	link_reactor(LINK_OWN);
	link_end();
}

/* -- other addresses */

TEST(an_abstract_name_needs_no_file)
{
	struct peal_service service = usual();
	static struct peal_server second;
	char name[64];

	start();
	snprintf(name, sizeof(name), "@peal-test-%d", (int)getpid());
	CHECK_EQ(serve_at(name), 0);
	CHECK_EQ(link_folder_entries(), 0);
	CHECK_EQ(peal_server_listen_on(&second, &loop, name, &service),
		 -EADDRINUSE);
	client_meets_as_sender(&clients[0], name, 0);
	CHECK_EQ(here.opens, 1);
	peal_channel_close(&clients[0]);
	settle();
	peal_server_close(&server);
	CHECK_EQ(serve_at(name), 0); /* it is free again */
	link_end();
}

static int serve_fd(int fd)
{
	char address[16];

	snprintf(address, sizeof(address), "fd:%d", fd);
	return serve_at(address);
}

/* The same process, as one server after the other. */
static void serve_passed_fd(const char *address)
{
	CHECK_EQ(serve_at(address), 0);
	client_meets_as_sender(&clients[0], link_path, 0);
	CHECK_EQ(here.opens, 1);
	peal_channel_close(&clients[0]);
	settle();
	peal_server_close(&server);
}

static void serve_as_activated(void *arg)
{
	char pid[32];

	(void)arg;
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	CHECK_EQ(bind_here(SOCK_SEQPACKET, true), 3);
	CHECK_EQ(fcntl(3, F_SETFL, 0), 0);
	link_reactor(LINK_OWN);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", "mixer", 1);
	serve_passed_fd("fd:");
	serve_passed_fd("fd:mixer");
	serve_passed_fd("fd:3");
	CHECK_EQ(serve_at("fd:viola"), -ENOENT);
	peal_reactor_close(&loop);
}

TEST(a_socket_of_the_service_manager_is_an_address)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 0);
	struct peal_channel ch;

	start();
	test_join(test_fork(serve_as_activated, NULL));
	unlink(link_path);
	CHECK_EQ(peal_connect(&ch, "fd:3", &hello, 0), -EINVAL);
	CHECK(strstr(ch.text, "for servers"));
	link_end();
}

static void be_activated(void *arg)
{
	char pid[32];
	int fd;

	(void)arg;
	for (fd = 3; fd < 64; fd++)
		close(fd);
	link_reactor(LINK_OWN); /* takes 3, 4 and 5 */
	peal_reactor_close(&loop);
	fd = bind_here(SOCK_SEQPACKET, true);
	CHECK_EQ(fd, 3);
	CHECK_EQ(dup2(fd, 4), 4);
	CHECK_EQ(dup2(fd, 5), 5);
	CHECK_EQ(fcntl(5, F_SETFL, 0), 0);
	unsetenv("LISTEN_PID");
	CHECK_EQ(peal_address_passed_fd(""), -ENOENT);
	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "3", 1);
	CHECK_EQ(peal_address_passed_fd(""), -ENOENT);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	unsetenv("LISTEN_FDNAMES");
	CHECK_EQ(peal_address_passed_fd(""), 3);
	CHECK_EQ(peal_address_passed_fd("mixer"), -ENOENT);
	setenv("LISTEN_FDNAMES", "other:mixer:mix", 1);
	CHECK_EQ(peal_address_passed_fd("mixer"), 4);
	CHECK_EQ(peal_address_passed_fd("mix"), 5);
	CHECK_EQ(peal_address_passed_fd("mi"), -ENOENT);
	CHECK_EQ(peal_address_passed_fd("mixer:mix"), -ENOENT);
	setenv("LISTEN_FDS", "1", 1);
	CHECK_EQ(peal_address_passed_fd("mixer"), -ENOENT);
	setenv("LISTEN_FDS", "0", 1);
	CHECK_EQ(peal_address_passed_fd(""), -ENOENT);
}

TEST(a_listening_socket_is_found_as_the_service_manager_passes_it)
{
	start();
	test_join(test_fork(be_activated, NULL));
	unlink(link_path);
	link_end();
}

TEST(a_socket_that_listens_already_is_served_and_stays_its_owners)
{
	int fd;

	start();
	fd = bind_here(SOCK_SEQPACKET, true);
	CHECK_EQ(serve_fd(fd), 0);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	client_meets_as_sender(&clients[0], link_path, 0);
	CHECK_EQ(here.opens, 1);
	peal_channel_close(&clients[0]);
	settle();
	peal_server_close(&server);
	CHECK(fcntl(fd, F_GETFD) >= 0);
	CHECK_EQ(link_folder_entries(), 1);
	close(fd);
	unlink(link_path);
	link_end();
}

TEST(what_does_not_listen_cannot_be_served)
{
	struct peal_server zero = { 0 };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd;

	start();
	CHECK_EQ(serve_fd(null), -ENOTSOCK);
	CHECK_EQ(serve_at("fd:999"), -EBADF);
	CHECK_EQ(serve_at("fd:9999999999"), -EBADF);
	CHECK_EQ(serve_at("fd:"), -ENOENT);
	CHECK_EQ(serve_at("fd:mixer"), -ENOENT);
	fd = bind_here(SOCK_SEQPACKET, false);
	CHECK_EQ(serve_fd(fd), -EPROTOTYPE);
	close(fd);
	unlink(link_path);
	fd = bind_here(SOCK_STREAM, true);
	CHECK_EQ(serve_fd(fd), -EPROTOTYPE);
	CHECK(memcmp(&server, &zero, sizeof(zero)) == 0);
	close(fd);
	close(null);
	unlink(link_path);
	link_end();
}

/* -- storage that says once how many clients there may be */

static PEAL_SERVER_STORAGE(2) storage;

static void enough(struct peal_source *source, uint64_t expirations, void *user)
{
	(void)source;
	(void)expirations;
	(void)user;
}

static void connect_to_storage(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel ch[3];

	(void)arg;
	link_connect(&ch[0], &hello);
	link_connect(&ch[1], &hello);
	CHECK_EQ(peal_connect(&ch[2], link_path, &hello, -1), -EAGAIN);
	link_put(&ch[0], 0, 100);
	peal_channel_close(&ch[0]);
	peal_channel_close(&ch[1]);
}

TEST(storage_has_all_that_a_server_needs_and_is_closed_with_it)
{
	static struct peal_source timers[PEAL_SPARE_SLOTS];
	struct peal_service service = usual();
	int fds;
	pid_t pid;

	link_folder();
	pid = test_fork(connect_to_storage, NULL);
	service.channels = NULL;
	service.n_channels = 0;
	service.callbacks.on_ended = NULL; /* one party for them all */
	fds = test_count_fds();
	CHECK_EQ(peal_server_listen(&storage, link_path, &service), 0);
	for (int i = 0; i < PEAL_SPARE_SLOTS; i++)
		CHECK_EQ(peal_reactor_add_timer(&storage.loop, &timers[i],
						enough, NULL),
			 0);
	while (there.closes < 2)
		CHECK(peal_reactor_run_once(&storage.loop, 100) >= 0);
	CHECK_EQ(there.in, 100);
	CHECK_EQ(refused.n, 1);
	CHECK_EQ(refused.pid, pid);
	CHECK_EQ(refused.reason, -EAGAIN);
	peal_server_close(&storage.server);
	CHECK_EQ(test_count_fds(), fds);
	CHECK_EQ(link_folder_entries(), 0);
	peal_server_close(&storage.server);
	test_join(pid);
	link_reactor(LINK_OWN);
	link_end();
}

TEST(storage_whose_server_cannot_listen_has_no_reactor_left)
{
	struct peal_service service = usual();
	int fds = test_count_fds();

	CHECK_EQ(peal_server_listen(&storage, "", &service), -EINVAL);
	CHECK_EQ(test_count_fds(), fds);
	peal_server_close(&storage.server);
}
