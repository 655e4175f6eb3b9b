/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Many processes that want to listen at the same path. One of them may at a
 * time, and nobody removes the socket of somebody alive.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../channel/internal.h"
#include "fixtures/service.h"

#define RACERS 24
#define TERMS 4 /* for which each racer serves */

struct race {
	int go, stop, serving, most, won;
};

static struct race *race;

static int at(const int *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void set_up(void)
{
	race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(race != MAP_FAILED);
	link_folder();
}

static void wait_for_go(void)
{
	while (!at(&race->go))
		usleep(100);
}

static void leave_a_stale_socket(void)
{
	struct sockaddr_un to;
	socklen_t size;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK_EQ(peal_socket_address(&to, &size, link_path), 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&to, size), 0);
	CHECK_EQ(listen(fd, 1), 0);
	close(fd);
}

static uint64_t inode(void)
{
	struct stat st;

	return lstat(link_path, &st) == 0 ? st.st_ino : 0;
}

/* -- one after the other */

/* Others try meanwhile: what is at the path has to stay there. */
static void serve_a_term(bool dies)
{
	uint64_t mine = inode();

	CHECK_EQ(__atomic_add_fetch(&race->serving, 1, __ATOMIC_SEQ_CST), 1);
	__atomic_add_fetch(&race->won, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 20; i++) {
		link_once(false);
		sched_yield();
		CHECK_EQ(inode(), mine);
	}
	__atomic_sub_fetch(&race->serving, 1, __ATOMIC_SEQ_CST);
	if (dies) /* and leaves its socket there */
		_exit(0);
	peal_server_close(&server);
	peal_reactor_close(&loop);
}

/* @return whether it served */
static bool try_to_serve(bool dies)
{
	int ret;

	link_reactor(LINK_OWN);
	ret = serve_at(link_path);
	CHECK(ret == 0 || ret == -EADDRINUSE);
	if (ret < 0) {
		peal_reactor_close(&loop);
		return false;
	}
	serve_a_term(dies);
	return true;
}

static void want_some_terms(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;

	wait_for_go();
	for (unsigned terms = 0; terms < TERMS;)
		terms += try_to_serve(false);
	/* In the end every other one is killed in office. */
	while (id % 2 && !try_to_serve(true))
		;
}

TEST(of_many_that_want_a_path_one_has_it_at_a_time_whoever_dies)
{
	pid_t pids[RACERS];

	set_up();
	leave_a_stale_socket();
	for (int i = 0; i < RACERS; i++)
		pids[i] = test_fork(want_some_terms, (void *)(uintptr_t)i);
	__atomic_store_n(&race->go, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < RACERS; i++)
		test_join(pids[i]);
	CHECK_EQ(at(&race->won), RACERS * TERMS + RACERS / 2);
	unlink(link_path);
	link_reactor(LINK_OWN);
	link_end();
}

/* -- at a path that is served */

static void pester(void *arg)
{
	(void)arg;
	wait_for_go();
	while (!at(&race->stop)) {
		link_reactor(LINK_OWN);
		CHECK_EQ(serve_at(link_path), -EADDRINUSE);
		peal_reactor_close(&loop);
		__atomic_add_fetch(&race->won, 1, __ATOMIC_SEQ_CST);
	}
}

TEST(a_living_server_keeps_its_path_however_many_would_like_to_have_it)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 0);
	pid_t pids[RACERS];
	uint64_t mine;

	set_up();
	for (int i = 0; i < RACERS; i++)
		pids[i] = test_fork(pester, NULL);
	link_reactor(LINK_OWN);
	CHECK_EQ(serve_at(link_path), 0);
	mine = inode();
	__atomic_store_n(&race->go, 1, __ATOMIC_SEQ_CST);
	while (at(&race->won) < 10 * RACERS) {
		link_once(false);
		CHECK_EQ(inode(), mine);
	}
	__atomic_store_n(&race->stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < RACERS; i++)
		test_join(pids[i]);
	client_meets(&channels[CHANNELS - 1], link_path, &hello);
	CHECK_EQ(here.opens, 1);
	peal_channel_close(&channels[CHANNELS - 1]);
	settle();
	link_end();
}

/* -- while somebody holds the folder's lock */

static void hold_the_lock(void *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_EQ(flock(fd, LOCK_EX), 0);
	__atomic_store_n(&race->go, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
}

TEST(nobody_keeps_a_server_from_its_path_by_locking_the_folder)
{
	char folder[108];
	pid_t pid;

	set_up();
	leave_a_stale_socket();
	strcpy(folder, link_path);
	*strrchr(folder, '/') = '\0';
	pid = test_fork(hold_the_lock, folder);
	wait_for_go();
	link_reactor(LINK_OWN);
	CHECK_EQ(serve_at(link_path), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	link_end();
}
