/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory that can be shared: peal_mem_*(). */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>

#include <peal/mem.h>

#include "memory.h"

/* -- making it */

TEST(body_is_one_memory_mapped_twice_in_a_row)
{
	struct peal_mem mem = create(2 * page(), 16 * page(), PEAL_MEM_TWICE);
	size_t size = 16 * page();
	char *body = body_of(&mem);

	CHECK_EQ(mem.head, 2 * page());
	CHECK_EQ(mem.body, size);
	for (size_t i = 0; i < size; i++)
		body[i] = (char)(i * 7 + i / 256);
	other_address();
	CHECK(memcmp(body, body + size, size) == 0);
	for (size_t i = 0; i < size; i++)
		body[size + i] = (char)(i * 3 + 1);
	other_address();
	CHECK(memcmp(body, body + size, size) == 0);
	CHECK(all_zero(mem.base, 2 * page()));
	peal_mem_finish(&mem);
}

TEST(span_across_the_seam_is_not_split)
{
	struct peal_mem mem = create(0, page(), PEAL_MEM_TWICE);
	char *body = body_of(&mem);

	memcpy(body + page() - 5, "helloworld", 10);
	other_address();
	CHECK(memcmp(body + page() - 5, "hello", 5) == 0);
	CHECK(memcmp(body, "world", 5) == 0);
	CHECK(memcmp(body + 2 * page() - 5, "hello", 5) == 0);
	peal_mem_finish(&mem);
}

TEST(memory_is_zero_and_as_large_as_asked_for)
{
	struct peal_mem mem = create(100, 10000, 0);
	char byte;

	CHECK_EQ(mem.head, 100);
	CHECK_EQ(mem.body, 10000);
	CHECK(all_zero(mem.base, 10100));
	CHECK_EQ(fd_state(mem.fd).size, 10100);
	memset(mem.base, 'x', 10100);
	CHECK_EQ(pread(mem.fd, &byte, 1, 10099), 1);
	CHECK_EQ(byte, 'x');
	peal_mem_finish(&mem);
}

TEST(head_may_be_empty)
{
	struct peal_mem mem = create(0, 1, 0);

	CHECK(body_of(&mem) == mem.base);
	*body_of(&mem) = 1;
	peal_mem_finish(&mem);
}

TEST(fd_is_closed_by_exec_sealed_and_not_executable)
{
	struct peal_mem mem = create(page(), page(), PEAL_MEM_TWICE);
	int seals = fcntl(mem.fd, F_GET_SEALS);
	struct stat st;

	CHECK_EQ(fcntl(mem.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	CHECK_EQ(seals & ~F_SEAL_EXEC, F_SEAL_SHRINK | F_SEAL_GROW);
	CHECK_EQ(fstat(mem.fd, &st), 0);
	CHECK(!(seals & F_SEAL_EXEC) || (st.st_mode & 0111) == 0);
	CHECK_ERRNO(EPERM, ftruncate(mem.fd, (off_t)page()));
	CHECK_ERRNO(EPERM, ftruncate(mem.fd, (off_t)(3 * page())));
	peal_mem_finish(&mem);
}

TEST(name_is_shown_in_proc)
{
	struct peal_mem mem;
	char link[64], target[512] = "";

	CHECK_EQ(peal_mem_create(&mem, "camera", 0, 1, 0), 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", mem.fd);
	CHECK(readlink(link, target, sizeof(target) - 1) > 0);
	CHECK(strcmp(target, "/memfd:peal:camera (deleted)") == 0);
	peal_mem_finish(&mem);
}

TEST(name_has_200_bytes_at_most)
{
	struct peal_mem mem;
	char name[202];

	memset(name, 'n', sizeof(name));
	name[201] = '\0';
	CHECK_EQ(peal_mem_create(&mem, name, 0, 1, 0), -ENAMETOOLONG);
	name[200] = '\0';
	CHECK_EQ(peal_mem_create(&mem, name, 0, 1, 0), 0);
	peal_mem_finish(&mem);
}

TEST(page_sizes_are_those_of_the_machine)
{
	CHECK_EQ(peal_mem_page(0), sysconf(_SC_PAGESIZE));
	CHECK_EQ(peal_mem_page(PEAL_MEM_TWICE | PEAL_MEM_LOCK),
		 sysconf(_SC_PAGESIZE));
	CHECK_EQ(peal_mem_page(PEAL_MEM_HUGE_2M), 2097152);
	CHECK_EQ(peal_mem_page(PEAL_MEM_HUGE_1G | PEAL_MEM_TWICE), 1073741824);
}

/* -- what cannot be made */

TEST(impossible_sizes_and_flags_are_refused)
{
	const unsigned both = PEAL_MEM_HUGE_2M | PEAL_MEM_HUGE_1G;

	CHECK_EQ(try_create(page(), 0, 0), -EINVAL);
	CHECK_EQ(try_create(page(), 0, PEAL_MEM_TWICE), -EINVAL);
	CHECK_EQ(try_create(page(), page() + 8, PEAL_MEM_TWICE), -EINVAL);
	CHECK_EQ(try_create(8, page(), PEAL_MEM_TWICE), -EINVAL);
	CHECK_EQ(try_create(page(), page(), PEAL_MEM_TWICE | PEAL_MEM_HUGE_2M),
		 -EINVAL);
	CHECK_EQ(
		try_create(2 << 20, 2 << 20, PEAL_MEM_TWICE | PEAL_MEM_HUGE_1G),
		-EINVAL);
	CHECK_EQ(try_create(1 << 30, 1 << 30, both), -EINVAL);
	CHECK_EQ(try_create(0, page(), PEAL_MEM_READONLY), -EINVAL);
	CHECK_EQ(try_create(0, page(), PEAL_MEM_SEALED), -EINVAL);
	CHECK_EQ(try_create(0, page(), 0x80), -EINVAL);
	CHECK_EQ(try_create(0, page(), 0x80000000), -EINVAL);
}

TEST(sizes_beyond_the_address_space_overflow)
{
	size_t most = SIZE_MAX - (page() - 1); /* whole pages */

	CHECK_EQ(try_create(most, page(), 0), -EOVERFLOW);
	CHECK_EQ(try_create(page(), SIZE_MAX, 0), -EOVERFLOW);
	CHECK_EQ(try_create(0, SIZE_MAX, 0), -EOVERFLOW);
	CHECK_EQ(try_create(0, PTRDIFF_MAX, 0), -EOVERFLOW);
	CHECK_EQ(try_create(0, most / 2 + page() / 2, PEAL_MEM_TWICE),
		 -EOVERFLOW);
	CHECK_EQ(try_create(page(), most / 2 - page() / 2, PEAL_MEM_TWICE),
		 -EOVERFLOW);
}

/* -- frozen */

/* Nothing gets through an fd to memory that was frozen. */
static void check_frozen(int fd, size_t size)
{
	void *map;

	CHECK_ERRNO(EPERM, ftruncate(fd, 0));
	CHECK_ERRNO(EPERM, ftruncate(fd, (off_t)(2 * size)));
	CHECK_ERRNO(EPERM,
		    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			      (off_t)size));
	CHECK_ERRNO(EPERM, fallocate(fd, 0, 0, (off_t)(2 * size)));
	CHECK_ERRNO(EPERM, pwrite(fd, "x", 1, 0));
	CHECK_ERRNO(EPERM, mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
				fd, 0));
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	CHECK_ERRNO(EACCES, mprotect(map, size, PROT_READ | PROT_WRITE));
	CHECK_EQ(munmap(map, size), 0);
	CHECK_ERRNO(EPERM, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
}

TEST(frozen_memory_can_be_changed_through_its_mapping_alone)
{
	struct peal_mem mem = create(page(), 4 * page(), PEAL_MEM_TWICE);
	size_t size = 5 * page();
	char path[64];
	int again;

	test_needs_madvise();
	memset(body_of(&mem), 'a', 4 * page());
	CHECK_EQ(peal_mem_seal(&mem), 0);
	CHECK_EQ(fcntl(mem.fd, F_GET_SEALS) & ~F_SEAL_EXEC,
		 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE |
			 F_SEAL_SEAL);
	check_frozen(mem.fd, size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", mem.fd);
	CHECK_ERRNO(EPERM, open(path, O_RDWR | O_TRUNC | O_CLOEXEC));
	again = open(path, O_RDWR | O_CLOEXEC);
	CHECK(again >= 0);
	check_frozen(again, size);
	close(again);
	CHECK_ERRNO(EPERM, madvise(mem.base, size, MADV_REMOVE));

	CHECK_EQ(body_of(&mem)[0], 'a');
	body_of(&mem)[4 * page() - 1] = 'b';
	other_address();
	CHECK_EQ(body_of(&mem)[8 * page() - 1], 'b');
	peal_mem_finish(&mem);
}

static void write_inherited(void *arg)
{
	struct peal_mem *mem = arg;

	body_of(mem)[page() + 3] = 'c';
	peal_mem_finish(mem);
}

TEST(forked_child_inherits_the_frozen_mapping)
{
	struct peal_mem mem = create(page(), page(), PEAL_MEM_TWICE);

	CHECK_EQ(peal_mem_seal(&mem), 0);
	test_join(test_fork(write_inherited, &mem));
	CHECK_EQ(body_of(&mem)[3], 'c');
	peal_mem_finish(&mem);
}

TEST(memory_is_frozen_once)
{
	struct peal_mem mem = create(page(), page(), 0);
	struct peal_mem nothing = { 0 }, peer;

	CHECK_EQ(peal_mem_seal(&nothing), -EINVAL);
	CHECK_EQ(
		peal_mem_open(&peer, mem.fd, page(), page(), PEAL_MEM_READONLY),
		0);
	CHECK_EQ(peal_mem_seal(&peer), -EINVAL);
	CHECK_EQ(peal_mem_seal(&mem), 0);
	CHECK_EQ(peal_mem_seal(&mem), -EPERM);
	peal_mem_finish(&peer);
	peal_mem_finish(&mem);
	CHECK_EQ(peal_mem_seal(&mem), -EINVAL);
}

TEST(whoever_opened_it_can_freeze_it_and_both_write_on)
{
	struct peal_mem mem = create(page(), page(), PEAL_MEM_TWICE), peer;

	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), page(), PEAL_MEM_TWICE),
		 0);
	CHECK_EQ(peal_mem_seal(&peer), 0);
	CHECK_EQ(peal_mem_seal(&mem), -EPERM);
	body_of(&mem)[0] = 'm';
	body_of(&peer)[1] = 'p';
	CHECK_EQ(body_of(&peer)[page()], 'm');
	CHECK_EQ(body_of(&mem)[page() + 1], 'p');
	peal_mem_finish(&peer);
	peal_mem_finish(&mem);
}

/* -- opening */

TEST(opened_memory_is_the_same_memory)
{
	struct peal_mem mem = create(page(), 2 * page(), PEAL_MEM_TWICE), peer;

	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), 2 * page(),
			       PEAL_MEM_TWICE),
		 0);
	CHECK(peer.base != mem.base);
	CHECK_EQ(peer.fd, mem.fd);
	CHECK_EQ(peer.head, page());
	CHECK_EQ(peer.body, 2 * page());
	memcpy(body_of(&mem) + 2 * page() - 3, "across", 6);
	CHECK(memcmp(body_of(&peer) + 2 * page() - 3, "across", 6) == 0);
	*(char *)peer.base = 'h';
	CHECK_EQ(*(char *)mem.base, 'h');
	peal_mem_finish(&peer);
	CHECK_EQ(fcntl(mem.fd, F_GETFD), FD_CLOEXEC); /* it was borrowed */
	CHECK_EQ(*(char *)mem.base, 'h');
	peal_mem_finish(&mem);
}

TEST(frozen_memory_can_be_opened_for_reading_alone)
{
	const unsigned reading = PEAL_MEM_READONLY | PEAL_MEM_TWICE;
	struct peal_mem mem = create(page(), page(), PEAL_MEM_TWICE), peer;

	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), page(),
			       reading | PEAL_MEM_SEALED),
		 -EPERM);
	CHECK_EQ(peal_mem_seal(&mem), 0);
	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), page(), 0), -EPERM);
	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), page(), reading), -EPERM);
	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), page(), PEAL_MEM_SEALED),
		 -EINVAL);
	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), page(),
			       reading | PEAL_MEM_SEALED | PEAL_MEM_PREFAULT),
		 0);
	body_of(&mem)[0] = 'f';
	CHECK_EQ(body_of(&peer)[0], 'f');
	CHECK_EQ(body_of(&peer)[page()], 'f');
	peal_mem_finish(&peer);
	peal_mem_finish(&mem);
}

static void store(void *byte)
{
	signal(SIGSEGV, SIG_DFL); /* sanitizers have their own */
	*(volatile char *)byte = 'x';
}

TEST(memory_opened_for_reading_cannot_be_written)
{
	struct peal_mem mem = create(0, page(), PEAL_MEM_TWICE), peer;
	int status;

	CHECK_EQ(peal_mem_open(&peer, mem.fd, 0, page(),
			       PEAL_MEM_READONLY | PEAL_MEM_TWICE),
		 0);
	for (size_t i = 0; i < 2; i++) {
		pid_t pid = test_fork(store, body_of(&peer) + i * page());

		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
	CHECK(all_zero(mem.base, page()));
	peal_mem_finish(&peer);
	peal_mem_finish(&mem);
}

static int try_open(int fd, size_t head, size_t body, unsigned flags)
{
	struct peal_mem mem, before;
	int ret;

	memset(&mem, 0x55, sizeof(mem));
	before = mem;
	ret = peal_mem_open(&mem, fd, head, body, flags);
	if (ret < 0)
		CHECK(memcmp(&mem, &before, sizeof(mem)) == 0);
	else
		peal_mem_finish(&mem);
	return ret;
}

TEST(what_is_no_memfd_is_refused_and_not_changed)
{
	int fds[FOREIGN_FDS], closed;

	CHECK_EQ(try_open(-1, 0, page(), 0), -EBADF);
	foreign_fds(fds);
	for (int i = 0; i < FOREIGN_FDS; i++) {
		struct fd_state before = fd_state(fds[i]), after;

		CHECK_EQ(try_open(fds[i], 0, 65536, 0), -EBADMSG);
		CHECK_EQ(try_open(fds[i], 0, 65536,
				  PEAL_MEM_SEALED | PEAL_MEM_READONLY),
			 -EBADMSG);
		after = fd_state(fds[i]);
		CHECK(memcmp(&before, &after, sizeof(before)) == 0);
	}
	closed = fds[0];
	close_fds(fds, FOREIGN_FDS);
	CHECK_EQ(try_open(closed, 0, page(), 0), -EBADF);
}

static void open_foreign_fds(void *fds)
{
	refuse(MMAP_NUMBER, 3, MAP_SHARED, MAP_SHARED, EIO);
#ifdef SYS_fstat
	refuse(SYS_fstat, 0, 0, 0, EIO);
#endif
#ifdef SYS_newfstatat
	refuse(SYS_newfstatat, 0, 0, 0, EIO);
#endif
	refuse(SYS_statx, 0, 0, 0, EIO);
#ifdef SYS_fstatfs
	refuse(SYS_fstatfs, 0, 0, 0, EIO);
#endif
	refuse(SYS_ftruncate, 0, 0, 0, EIO);
	refuse(SYS_fallocate, 0, 0, 0, EIO);
	refuse(FCNTL_NUMBER, 1, ~0u, F_ADD_SEALS, EIO);
	for (int i = 0; i < FOREIGN_FDS; i++)
		CHECK_EQ(try_open(((int *)fds)[i], 0, 65536, 0), -EBADMSG);
}

TEST(seals_alone_are_asked_for_before_they_prove_a_memfd)
{
	int fds[FOREIGN_FDS];

	foreign_fds(fds);
	test_join(test_fork(open_foreign_fds, fds));
	close_fds(fds, FOREIGN_FDS);
}

TEST(seals_must_be_exactly_those)
{
	const int seals[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW,
			      F_SEAL_WRITE, F_SEAL_FUTURE_WRITE };
	const int sized = F_SEAL_SHRINK | F_SEAL_GROW;
	const int frozen = sized | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

	for (int set = 0; set < 32; set++) {
		int all = 0, other, fd;

		for (int i = 0; i < 5; i++)
			all |= set & 1 << i ? seals[i] : 0;
		fd = foreign_memfd(4 * page(), all);
		other = all == F_SEAL_SEAL ? -EBADMSG : -EPERM;
		CHECK_EQ(try_open(fd, page(), 3 * page(), PEAL_MEM_TWICE),
			 all == sized ? 0 : other);
		CHECK_EQ(try_open(fd, page(), 3 * page(),
				  PEAL_MEM_SEALED | PEAL_MEM_READONLY),
			 all == frozen ? 0 : other);
		CHECK_EQ(fcntl(fd, F_GET_SEALS), all);
		close(fd);
	}
}

TEST(size_must_be_exactly_that)
{
	int fd = foreign_memfd(4 * page(), F_SEAL_SHRINK | F_SEAL_GROW);

	CHECK_EQ(try_open(fd, page(), 3 * page(), PEAL_MEM_TWICE), 0);
	CHECK_EQ(try_open(fd, page(), 2 * page(), PEAL_MEM_TWICE), -ERANGE);
	CHECK_EQ(try_open(fd, page(), 4 * page(), PEAL_MEM_TWICE), -ERANGE);
	CHECK_EQ(try_open(fd, page(), 3 * page() - 1, 0), -ERANGE);
	CHECK_EQ(try_open(fd, page(), 3 * page() + 1, 0), -ERANGE);
	CHECK_EQ(try_open(fd, page(), PTRDIFF_MAX / 4, 0), -ERANGE);
	CHECK_EQ(fd_state(fd).size, 4 * page());
	close(fd);
}

TEST(impossible_requests_are_refused_before_the_fd_is_looked_at)
{
	CHECK_EQ(try_open(-1, 0, 0, 0), -EINVAL);
	CHECK_EQ(try_open(-1, 0, page() + 1, PEAL_MEM_TWICE), -EINVAL);
	CHECK_EQ(try_open(-1, 0, page(), 0x80000000), -EINVAL);
	CHECK_EQ(try_open(-1, 0, page(), PEAL_MEM_SEALED), -EINVAL);
	CHECK_EQ(try_open(-1, SIZE_MAX, page(), 0), -EOVERFLOW);
}

TEST(fd_for_reading_alone_can_be_mapped_for_reading_alone)
{
	struct peal_mem mem = create(0, page(), 0);
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", mem.fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(try_open(fd, 0, page(), 0), -EACCES);
	CHECK_EQ(try_open(fd, 0, page(), PEAL_MEM_TWICE), -EACCES);
	CHECK_EQ(try_open(fd, 0, page(), PEAL_MEM_READONLY), 0);
	close(fd);
	peal_mem_finish(&mem);
}

TEST(mapping_outlives_the_fd_it_was_opened_from)
{
	struct peal_mem mem = create(0, page(), 0), peer;
	int fd = fcntl(mem.fd, F_DUPFD_CLOEXEC, 0);

	CHECK_EQ(peal_mem_open(&peer, fd, 0, page(), 0), 0);
	close(fd);
	body_of(&mem)[1] = 'o';
	CHECK_EQ(body_of(&peer)[1], 'o');
	peal_mem_finish(&peer);
	peal_mem_finish(&mem);
}

/* -- finishing */

TEST(nothing_is_left_after_finish)
{
	const unsigned kinds[] = { 0, PEAL_MEM_TWICE,
				   PEAL_MEM_TWICE | PEAL_MEM_PREFAULT };
	int mappings = count_mappings(), fds = test_count_fds();

	for (int i = 0; i < 100; i++) {
		unsigned flags = kinds[i % 3];
		struct peal_mem mem = create(page(), 3 * page(), flags), peer;

		CHECK_EQ(
			peal_mem_open(&peer, mem.fd, page(), 3 * page(), flags),
			0);
		peal_mem_finish(&mem);
		peal_mem_finish(&peer);
		CHECK(all_zero(&mem, sizeof(mem)));
		CHECK(all_zero(&peer, sizeof(peer)));
	}
	CHECK_EQ(count_mappings(), mappings);
	CHECK_EQ(test_count_fds(), fds);
}

TEST(finish_may_be_called_twice_and_with_nothing)
{
	struct peal_mem mem = { 0 };
	int fds = test_count_fds();

	peal_mem_finish(&mem);
	CHECK(all_zero(&mem, sizeof(mem)));
	mem = create(0, 1, 0);
	peal_mem_finish(&mem);
	peal_mem_finish(&mem);
	CHECK_EQ(test_count_fds(), fds);
}

static void use_fd_0(void *unused)
{
	struct peal_mem mem, peer;

	(void)unused;
	close(0);
	mem = create(0, page(), 0);
	CHECK_EQ(mem.fd, 0);
	CHECK_EQ(peal_mem_open(&peer, 0, 0, page(), 0), 0);
	peal_mem_finish(&peer);
	CHECK(fcntl(0, F_GETFD) >= 0);
	peal_mem_finish(&mem);
	CHECK_ERRNO(EBADF, fcntl(0, F_GETFD));
}

TEST(fd_0_is_an_fd)
{
	test_join(test_fork(use_fd_0, NULL));
}
