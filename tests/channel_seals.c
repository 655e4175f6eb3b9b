/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Clients of another user: what the kernel refuses them once the memory is
 * sealed, which doorbells they get, and that these lose no wake-up.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../channel/internal.h"
#include "fixtures/service.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define NOBODY 65534
#define NUMBERS 100000
#define WORDS 64   /* items of 512 bytes, so that a ring of */
#define CAPACITY 8 /* so many is a page */

static struct link_gate gate;

static void need_another_user(void)
{
	if (geteuid() != 0)
		test_skip("only root can become another user");
}

static void become_nobody(void)
{
	CHECK_EQ(setgroups(0, NULL), 0);
	CHECK_EQ(setresgid(NOBODY, NOBODY, NOBODY), 0);
	CHECK_EQ(setresuid(NOBODY, NOBODY, NOBODY), 0);
	/* So that /proc/self is its own again. */
	CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
}

static struct peal_service open_to_all(void)
{
	return (struct peal_service){ .admit = admit_any,
				      .channels = channels,
				      .n_channels = CHANNELS,
				      .mode = 0666,
				      .callbacks = party_callbacks(&there) };
}

/* -- what the kernel refuses */

#define REFUSED(call, error)                                                   \
	do {                                                                   \
		errno = 0;                                                     \
		CHECK_EQ((call), -1);                                          \
		CHECK_EQ(errno, error);                                        \
	} while (0)

static void check_not_mappable(int fd, size_t size)
{
	void *map;

	CHECK(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
	      MAP_FAILED);
	CHECK_EQ(errno, EPERM);
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	REFUSED(mprotect(map, size, PROT_READ | PROT_WRITE), EACCES);
	munmap(map, size);
}

static void check_not_writable(int fd, size_t size)
{
	REFUSED(pwrite(fd, "x", 1, 0), EPERM);
	REFUSED(pwrite(fd, "x", 1, (off_t)size - 1), EPERM);
	REFUSED(write(fd, "x", 1), EPERM);
	REFUSED(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			  4096),
		EPERM);
	REFUSED(ftruncate(fd, 0), EPERM);
	REFUSED(ftruncate(fd, (off_t)size - 4096), EPERM);
	REFUSED(ftruncate(fd, (off_t)size + 4096), EPERM);
	REFUSED(fallocate(fd, 0, 0, (off_t)size + 4096), EPERM);
	REFUSED(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	check_not_mappable(fd, size);
}

/* If it can be opened at all, it is of no use. */
static void check_reopen(const char *path, size_t size)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		CHECK(errno == EPERM || errno == EACCES || errno == ENOENT);
		return;
	}
	check_not_writable(fd, size);
	close(fd);
}

static void check_memory(int fd, char *mine, size_t size)
{
	char path[96];

	CHECK_EQ(fcntl(fd, F_GET_SEALS) & ~0x20, F_SEAL_SHRINK | F_SEAL_GROW |
							 F_SEAL_FUTURE_WRITE |
							 F_SEAL_SEAL);
	check_not_writable(fd, size);
	REFUSED(madvise(mine, size, MADV_REMOVE), EPERM);
	REFUSED(madvise(mine + 4096, 4096, MADV_REMOVE), EPERM);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check_reopen(path, size);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), fd);
	check_reopen(path, size);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
		 (unsigned long)mine, (unsigned long)(mine + size));
	check_reopen(path, size);
	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx",
		 (int)getpid(), (unsigned long)mine,
		 (unsigned long)(mine + size));
	check_reopen(path, size);
	/* What it mapped before is still its own. */
	mine[size - 1] = 1;
}

static void raw_client(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_BOTH, 512);
	struct peal_wire_answer answer;
	struct peal_wire_ready ready;
	struct peal_wire_hello wire;
	int fds[PEAL_FDS], fd;
	char *maps[2];
	size_t sizes[2];

	if (arg)
		become_nobody();
	hello.bells = PEAL_DOORBELL_SOCKET;
	while ((fd = peal_socket_connect(link_path, 0)) < 0)
		usleep(1000);
	peal_wire_put_hello(&wire, &hello);
	CHECK_EQ(peal_socket_send(fd, &wire, sizeof(wire), NULL, 0), 0);
	CHECK_EQ(peal_socket_wait(fd, UINT64_MAX), 0);
	CHECK_EQ(peal_socket_receive_fds(fd, &answer, sizeof(answer), fds), 0);
	CHECK_EQ(answer.start.status, 0);
	CHECK(fds[1] >= 0 && fds[2] < 0);
	for (int i = 0; i < 2; i++) {
		struct stat st;

		CHECK_EQ(fstat(fds[i], &st), 0);
		sizes[i] = (size_t)st.st_size;
		maps[i] = mmap(NULL, sizes[i], PROT_READ | PROT_WRITE,
			       MAP_SHARED, fds[i], 0);
		CHECK(maps[i] != MAP_FAILED);
		CHECK_EQ(fcntl(fds[i], F_ADD_SEALS,
			       F_SEAL_FUTURE_WRITE | F_SEAL_SEAL),
			 0);
	}
	peal_wire_begin(&ready.start, PEAL_WIRE_READY, 0, NULL);
	CHECK_EQ(peal_socket_send(fd, &ready, sizeof(ready), NULL, 0), 0);
	link_gate_sleep(&gate); /* until it is served */
	for (int i = 0; i < 2; i++)
		check_memory(fds[i], maps[i], sizes[i]);
}

static void check_refusals(bool another)
{
	struct peal_service service = open_to_all();
	pid_t pid;

	test_needs_madvise();
	link_folder();
	link_gate_init(&gate);
	pid = test_fork(raw_client, another ? &gate : NULL);
	link_serve(LINK_OWN, &service);
	LINK_UNTIL(there.opens);
	CHECK_EQ(there.ch->peer.trusted, !another);
	link_gate_open(&gate);
	LINK_UNTIL(there.closes);
	CHECK_EQ(there.reason, -EPIPE);
	test_join(pid);
	link_gate_finish(&gate);
	link_end();
}

TEST(the_kernel_refuses_another_user_whatever_could_harm)
{
	need_another_user();
	check_refusals(true);
}

TEST(the_kernel_refuses_the_same_user_likewise)
{
	check_refusals(false);
}

/* -- what each side holds */

static int fds_named(const char *name)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int n = 0;

	CHECK(dir != NULL);
	while ((entry = readdir(dir))) {
		char target[128];
		ssize_t length = readlinkat(dirfd(dir), entry->d_name, target,
					    sizeof(target) - 1);

		target[length < 0 ? 0 : length] = '\0';
		n += strstr(target, name) != NULL;
	}
	closedir(dir);
	return n;
}

struct asks {
	bool another;
	enum peal_doorbell_kind asked, granted;
};

static void library_client(void *arg)
{
	const struct asks *asks = arg;
	struct peal_hello hello = link_hello(PEAL_BOTH, 512);
	bool socket = asks->granted == PEAL_DOORBELL_SOCKET;
	struct peal_channel ch;
	int eventfds = fds_named("[eventfd]");

	if (asks->another)
		become_nobody();
	hello.bells = asks->asked;
	link_connect(&ch, &hello);
	CHECK_EQ(ch.peer.trusted, !asks->another);
	CHECK_EQ(peal_channel_bells(&ch), asks->granted);
	CHECK_EQ(fds_named("memfd:"), 0);
	CHECK_EQ(fds_named("[eventfd]"), eventfds + (socket ? 0 : 4));
	link_get(&ch, 0, 10);
	link_put(&ch, 0, 10);
	peal_channel_close(&ch);
}

static void check_bells(bool another, enum peal_doorbell_kind asked,
			enum peal_doorbell_kind granted)
{
	struct peal_service service = open_to_all();
	struct asks asks = { another, asked, granted };
	pid_t pid;

	there = (struct party){ .most = 10 };
	link_folder();
	pid = test_fork(library_client, &asks);
	link_serve(LINK_OWN, &service);
	LINK_UNTIL(there.opens);
	CHECK_EQ(peal_channel_bells(there.ch), granted);
	CHECK_EQ(there.ch->peer.trusted, !another);
	CHECK_EQ(there.ch->peer.uid, another ? NOBODY : geteuid());
	CHECK_EQ(fds_named("memfd:"), 0);
	LINK_UNTIL(there.closes);
	CHECK_EQ(there.reason, 0);
	test_join(pid);
	link_end();
}

TEST(another_user_gets_the_socket_for_a_doorbell_whatever_it_asks_for)
{
	need_another_user();
	check_bells(true, PEAL_DOORBELL_NONE, PEAL_DOORBELL_SOCKET);
	check_bells(true, PEAL_DOORBELL_EVENTFD, PEAL_DOORBELL_SOCKET);
	check_bells(true, PEAL_DOORBELL_SOCKET, PEAL_DOORBELL_SOCKET);
}

TEST(the_same_user_gets_eventfds_unless_it_asks_for_the_socket)
{
	check_bells(false, PEAL_DOORBELL_NONE, PEAL_DOORBELL_EVENTFD);
	check_bells(false, PEAL_DOORBELL_EVENTFD, PEAL_DOORBELL_EVENTFD);
	check_bells(false, PEAL_DOORBELL_SOCKET, PEAL_DOORBELL_SOCKET);
}

/* A server that likes eventfds: its clients need not. */
static void wary_client(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 512);
	struct peal_channel ch;
	enum peal_doorbell_kind *asked = arg;

	become_nobody();
	hello.bells = *asked;
	link_connect(&ch, &hello);
	CHECK_EQ(peal_channel_bells(&ch), *asked == PEAL_DOORBELL_EVENTFD
						  ? PEAL_DOORBELL_EVENTFD
						  : PEAL_DOORBELL_SOCKET);
	peal_channel_close(&ch);
}

TEST(a_server_of_another_user_cannot_make_a_client_take_eventfds)
{
	need_another_user();
	for (int asked = 0; asked < 3; asked++) {
		struct peal_service service = open_to_all();
		pid_t pid;

		there = (struct party){ 0 };
		link_folder();
		pid = test_fork(wary_client, &asked);
		service.accept.bells = PEAL_DOORBELL_EVENTFD;
		link_serve(LINK_OWN, &service);
		LINK_UNTIL(there.closes);
		test_join(pid);
		link_end();
	}
}

/* -- streams: small rings, random batches, watermarks on all four ends */

enum shape {
	REACTOR,
	SENDS,
	RECEIVES,
	SHAPES
};

struct row {
	bool another;
	enum peal_doorbell_kind bells;
	enum link_host host;
	enum shape shape;
	char name[128];
};

static uint64_t seed;

static struct peal_hello hello_of(const struct row *row)
{
	static const enum peal_role roles[] = { PEAL_BOTH, PEAL_SENDER,
						PEAL_RECEIVER };

	return (struct peal_hello){ .role = roles[row->shape],
				    .bells = row->bells,
				    .item_size = WORDS * 8,
				    .capacity = CAPACITY };
}

static struct party moody(uint64_t random)
{
	return (struct party){ .most = NUMBERS,
			       .words = WORDS,
			       .random = random,
			       .moods = CAPACITY,
			       .finishes = true };
}

static void client_on_reactor(const struct row *row)
{
	struct peal_channel_callbacks callbacks = party_callbacks(&here);
	struct peal_hello hello = hello_of(row);
	static struct peal_channel ch;

	here = moody(seed + 1);
	link_reactor(row->host);
	/* Until the server is there. */
	CHECK_EQ(peal_connect_on(&ch, &loop, link_path, &hello, &callbacks, 5),
		 0);
	LINK_UNTIL(here.closes);
	CHECK_EQ(here.opens, 1);
	CHECK_EQ(here.reason, 0);
	CHECK_EQ(here.in, NUMBERS);
	CHECK_EQ(here.out, NUMBERS);
	peal_reactor_close(&loop);
}

static size_t some(void)
{
	return 1 + (size_t)(test_random(&here.random) % CAPACITY);
}

static void blocking_sender(struct peal_channel *ch)
{
	uint64_t sent = 0, *items;

	CHECK_EQ(peal_sender_set_watermark(&ch->sender, some()), 0);
	while (sent < NUMBERS) {
		ssize_t free = peal_sender_wait(&ch->sender, some(), -1,
						&items);
		size_t n;

		CHECK(free > 0);
		n = 1 + (size_t)(test_random(&here.random) % (size_t)free);
		if (n > NUMBERS - sent)
			n = NUMBERS - sent;
		for (size_t i = 0; i < n * WORDS; i++)
			items[i] = sent + i / WORDS;
		sent += n;
		CHECK_EQ(peal_sender_commit(&ch->sender, n), 0);
	}
}

static void blocking_receiver(struct peal_channel *ch)
{
	uint64_t got = 0;
	const uint64_t *items;
	ssize_t there_are;

	CHECK_EQ(peal_receiver_set_watermark(&ch->receiver, some()), 0);
	while ((there_are = peal_receiver_wait(&ch->receiver, some(), -1,
					       &items)) > 0) {
		size_t n = 1 + (size_t)(test_random(&here.random) %
					(size_t)there_are);

		for (size_t i = 0; i < n * WORDS; i++)
			CHECK_EQ(items[i], got + i / WORDS);
		got += n;
		peal_receiver_release(&ch->receiver, n);
	}
	CHECK_EQ(there_are, 0);
	CHECK_EQ(got, NUMBERS);
}

static void stream_client(void *arg)
{
	const struct row *row = arg;
	struct peal_hello hello = hello_of(row);
	struct peal_channel ch;

	if (row->another)
		become_nobody();
	if (row->shape == REACTOR) {
		client_on_reactor(row);
		return;
	}
	here.random = seed + 2;
	link_connect(&ch, &hello);
	if (row->shape == SENDS)
		blocking_sender(&ch);
	else
		blocking_receiver(&ch);
	peal_channel_close(&ch);
}

static void stream_row(const void *arg)
{
	const struct row *row = arg;
	struct peal_service service = open_to_all();
	enum peal_doorbell_kind expected = row->bells == PEAL_DOORBELL_SOCKET ||
							   row->another
						   ? PEAL_DOORBELL_SOCKET
						   : PEAL_DOORBELL_EVENTFD;
	pid_t pid;

	if (row->another)
		need_another_user();
	seed = test_seed();
	there = moody(seed);
	link_folder();
	pid = test_fork(stream_client, (void *)(uintptr_t)arg);
	link_serve(row->host, &service);
	LINK_UNTIL(there.opens);
	CHECK_EQ(peal_channel_bells(there.ch), expected);
	LINK_UNTIL(there.closes);
	CHECK_EQ(there.reason, 0);
	if (row->shape != RECEIVES)
		CHECK_EQ(there.in, NUMBERS);
	if (row->shape != SENDS)
		CHECK_EQ(there.out, NUMBERS);
	test_join(pid);
	link_end();
}

static void add_row(struct test *test, struct row *row)
{
	static const char *const shapes[] = { "both_ways",
					      "from_a_blocking_sender",
					      "to_a_blocking_receiver" };

	snprintf(row->name, sizeof(row->name), "%s_%s_a_stream_%s_in_%s",
		 row->another ? "of_another_user" : "of_the_same_user",
		 row->bells == PEAL_DOORBELL_SOCKET ? "by_request" : "by_trust",
		 shapes[row->shape], link_host_name(row->host));
	test_register_row(test, row->name, stream_row, row);
}

__attribute__((constructor)) static void add_rows(void)
{
	static struct row rows[3][SHAPES][LINK_HOSTS];
	static struct test tests[3][SHAPES][LINK_HOSTS];

	for (int k = 0; k < 3; k++)
		for (int s = 0; s < SHAPES; s++)
			for (int h = 0; h < LINK_HOSTS; h++) {
				rows[k][s][h] = (struct row){
					.another = k == 2,
					.bells = k == 1 ? PEAL_DOORBELL_SOCKET
							: PEAL_DOORBELL_NONE,
					.host = (enum link_host)h,
					.shape = (enum shape)s,
				};
				add_row(&tests[k][s][h], &rows[k][s][h]);
			}
}
