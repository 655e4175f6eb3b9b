/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The data path makes no system call, but for the one that rings a bell that
 * is owed. The kernel is the judge: the work is done in a child that it kills
 * at any system call but exit_group(2), and write(2) to one fd where that is
 * allowed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peal/peal.h>

#include "harness.h"

#if defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

#define CAPACITY 512 /* of items of 8 bytes in pages of 4096 */
#define NO_FD (-1)
#define NO_SECCOMP 77

struct item {
	uint64_t number;
};

/* -- the judge */

/* The half of an argument that an int stands in. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LOW_HALF 4
#else
#define LOW_HALF 0
#endif

/*
 * A test needs no look at the architecture: its own calls are all that it
 * judges.
 */
static bool forbid_system_calls(int but_write_to)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[0]) + LOW_HALF),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)but_write_to, 0,
			 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	/* Not a core dump for each call that is caught. */
	prctl(PR_SET_DUMPABLE, 0);
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Work returns 0, or the line where it went wrong, told in shared memory. */
static int confined(int (*work)(struct peal_local *local),
		    struct peal_local *local, int but_write_to, int *line)
{
	int status;
	pid_t pid;

#ifdef SANITIZED
	test_skip("the race detector makes system calls of its own");
#endif
	*line = 0;
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		if (!forbid_system_calls(but_write_to))
			_exit(NO_SECCOMP);
		*line = work(local);
		/* Sanitizers have _exit() do more than that. */
		syscall(SYS_exit_group, 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SECCOMP)
		test_skip("no seccomp filters here");
	return status;
}

static bool caught(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

#define MUST(condition)                                                        \
	do {                                                                   \
		if (!(condition))                                              \
			return __LINE__;                                       \
	} while (0)

/* -- a ring, and a word to tell a line in, that parent and child share */

static int *setup(struct peal_local *local)
{
	struct peal_geometry geometry = { .capacity = CAPACITY,
					  .item_size = sizeof(struct item) };
	int *line = mmap(NULL, sizeof(*line), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(line != MAP_FAILED);
	CHECK_EQ(peal_local_init(local, &geometry), 0);
	CHECK(local->ring.geometry.capacity >= CAPACITY);
	return line;
}

static void teardown(struct peal_local *local, int *line)
{
	peal_local_finish(local);
	CHECK_EQ(munmap(line, sizeof(*line)), 0);
}

/* How often the bell was rung: an eventfd adds up what is written to it. */
static uint64_t rings(const struct peal_doorbell *bell)
{
	uint64_t count;

	if (read(bell->wait_fd, &count, sizeof(count)) < 0) {
		CHECK_EQ(errno, EAGAIN);
		return 0;
	}
	return count;
}

static void expect(int (*work)(struct peal_local *local), int but_write_to,
		   struct peal_local *local, int *line)
{
	int status = confined(work, local, but_write_to, line);

	if (caught(status))
		test_fail(__FILE__, __LINE__, "it made a system call");
	CHECK_EQ(status, 0);
	if (*line != 0)
		test_fail(__FILE__, *line, "the work went wrong");
}

/* -- work */

static bool fill(void *item, void *user)
{
	((struct item *)item)->number = (*(uint64_t *)user)++;
	return true;
}

static bool take(const void *item, void *user)
{
	return ((const struct item *)item)->number == (*(uint64_t *)user)++;
}

static int reserve_and_peek(struct peal_local *l, uint64_t number)
{
	const struct item *data;
	struct item *room;

	MUST(peal_sender_reserve(&l->sender, 1, &room) > 0);
	room->number = number;
	MUST(peal_sender_commit(&l->sender, 1) == 0);
	MUST(peal_sender_try_reserve(&l->sender, &room) > 1);
	room[0].number = number + 1;
	room[1].number = number + 2;
	MUST(peal_sender_commit(&l->sender, 2) == 0);
	MUST(peal_receiver_used(&l->receiver) == 3);

	/* What is known of the peer may be older, so it can take two looks. */
	for (uint64_t seen = 0; seen < 3;) {
		ssize_t n = peal_receiver_peek(&l->receiver, &data);

		MUST(n > 0);
		for (ssize_t i = 0; i < n; i++, seen++)
			MUST(data[i].number == number + seen);
		MUST(peal_receiver_release(&l->receiver, (size_t)n) == 0);
	}
	MUST(peal_receiver_peek(&l->receiver, &data) == 0);
	return 0;
}

static int put_and_get(struct peal_local *l, uint64_t number)
{
	struct item in[5], out[5];
	uint64_t filled = number, taken = number;

	for (uint64_t i = 0; i < 5; i++)
		in[i].number = number + i;
	MUST(peal_sender_put(&l->sender, in, 5) == 5);
	MUST(peal_receiver_get(&l->receiver, out, 5) == 5);
	for (uint64_t i = 0; i < 5; i++)
		MUST(out[i].number == number + i);
	MUST(peal_sender_each(&l->sender, 7, fill, &filled) == 7);
	MUST(peal_receiver_each(&l->receiver, 7, take, &taken) == 7);
	return 0;
}

/* Several laps, so that every branch of the wrap is taken. */
static int use_the_data_path(struct peal_local *l)
{
	struct peal_ring_stats stats;
	uint64_t capacity = l->ring.geometry.capacity;

	for (uint64_t i = 0; i < capacity; i++) {
		int line = reserve_and_peek(l, 3 * i);

		if (line == 0)
			line = put_and_get(l, 100 * i);
		if (line != 0)
			return line;
		MUST(peal_sender_free(&l->sender) == (ssize_t)capacity);
		MUST(!peal_receiver_ended(&l->receiver));
	}
	peal_sender_stats(&l->sender, &stats);
	MUST(stats.items == 15 * capacity && stats.doorbells == 0);
	return 0;
}

static int send_batches(struct peal_local *l)
{
	struct item *room;

	for (int i = 0; i < 100; i++) {
		MUST(peal_sender_reserve(&l->sender, 2, &room) >= 2);
		MUST(peal_sender_commit(&l->sender, 2) == 0);
	}
	return 0;
}

static int release_batches(struct peal_local *l)
{
	const struct item *data;

	for (int i = 0; i < 100; i++) {
		MUST(peal_receiver_peek(&l->receiver, &data) >= 2);
		MUST(peal_receiver_release(&l->receiver, 2) == 0);
	}
	return 0;
}

static int fill_up_and_arm(struct peal_local *l)
{
	struct item *room;
	ssize_t n = peal_sender_reserve(&l->sender, 1, &room);

	MUST(peal_receiver_arm(&l->receiver));
	MUST(peal_sender_try_reserve(&l->sender, &room) == n);
	MUST(n == (ssize_t)l->ring.geometry.capacity);
	/* Only now, so that the bell that is owed is the test's allowance. */
	MUST(peal_sender_commit(&l->sender, (size_t)n) == 0);
	MUST(peal_sender_try_reserve(&l->sender, &room) == 0);
	MUST(peal_sender_reserve(&l->sender, 1, &room) == 0);
	MUST(peal_sender_arm(&l->sender));
	return 0;
}

static int call_getppid(struct peal_local *l)
{
	(void)l;
	syscall(SYS_getppid);
	return 0;
}

static int clear_the_bell(struct peal_local *l)
{
	peal_receiver_clear(&l->receiver);
	return 0;
}

static int ring_the_space_bell(struct peal_local *l)
{
	peal_doorbell_ring(&l->space);
	return 0;
}

/* -- tests */

TEST(a_planted_system_call_is_caught)
{
	struct peal_local local;
	int *line = setup(&local);

	CHECK(caught(confined(call_getppid, &local, NO_FD, line)));
	CHECK(caught(confined(clear_the_bell, &local, NO_FD, line)));
	teardown(&local, line);
}

TEST(a_bell_that_is_not_allowed_is_caught)
{
	struct peal_local local;
	int *line = setup(&local);
	int data = local.data.ring_fd, space = local.space.ring_fd;

	CHECK(caught(confined(ring_the_space_bell, &local, NO_FD, line)));
	CHECK(caught(confined(ring_the_space_bell, &local, data, line)));
	CHECK_EQ(rings(&local.space), 0);
	expect(ring_the_space_bell, space, &local, line);
	CHECK_EQ(rings(&local.space), 1);
	teardown(&local, line);
}

TEST(the_data_path_makes_no_system_call)
{
	struct peal_local local;
	int *line = setup(&local);

	expect(use_the_data_path, NO_FD, &local, line);
	CHECK_EQ(rings(&local.data), 0);
	CHECK_EQ(rings(&local.space), 0);
	teardown(&local, line);
}

TEST(a_receiver_that_sleeps_costs_one_write)
{
	struct peal_local local;
	int *line = setup(&local);

	CHECK(peal_receiver_arm(&local.receiver));
	expect(send_batches, local.data.ring_fd, &local, line);
	CHECK_EQ(rings(&local.data), 1);
	CHECK_EQ(rings(&local.space), 0);
	teardown(&local, line);
}

TEST(a_sender_that_sleeps_costs_one_write)
{
	struct peal_local local;
	int *line = setup(&local);
	struct item *room;
	ssize_t n = peal_sender_reserve(&local.sender, 1, &room);

	CHECK_EQ(peal_sender_commit(&local.sender, (size_t)n), 0);
	CHECK(peal_sender_arm(&local.sender));
	expect(release_batches, local.space.ring_fd, &local, line);
	CHECK_EQ(rings(&local.space), 1);
	CHECK_EQ(rings(&local.data), 0);
	teardown(&local, line);
}

TEST(to_ask_for_an_eventfd_to_be_rung_takes_no_system_call)
{
	struct peal_local local;
	int *line = setup(&local);

	expect(fill_up_and_arm, local.data.ring_fd, &local, line);
	CHECK_EQ(rings(&local.data), 1);
	CHECK_EQ(rings(&local.space), 0);
	teardown(&local, line);
}
