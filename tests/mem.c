/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory that can be shared: peal_mem_*(). */
#define _GNU_SOURCE
#include <peal/mem.h>

#include "fixtures/memory.h"

/* -- making it */

TEST(body_is_one_memory_mapped_twice_in_a_row)
{
	struct peal_mem mem = create(2 * page(), 16 * page(), PEAL_MEM_TWICE);
	size_t size = 16 * page();
	char *body = body_of(&mem);

	CHECK_EQ(mem.body_offset, 2 * page());
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
	peal_mem_close(&mem);
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
	peal_mem_close(&mem);
}

TEST(memory_is_zero_and_as_large_as_asked_for)
{
	struct peal_mem mem = create(100, 10000, 0);
	char byte;

	CHECK_EQ(mem.body_offset, 100);
	CHECK_EQ(mem.body, 10000);
	CHECK(all_zero(mem.base, 10100));
	CHECK_EQ(fd_state(mem.fd).size, 10100);
	memset(mem.base, 'x', 10100);
	CHECK_EQ(pread(mem.fd, &byte, 1, 10099), 1);
	CHECK_EQ(byte, 'x');
	peal_mem_close(&mem);
}

TEST(head_may_be_empty)
{
	struct peal_mem mem = create(0, 1, 0);

	CHECK(body_of(&mem) == mem.base);
	*body_of(&mem) = 1;
	peal_mem_close(&mem);
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
	peal_mem_close(&mem);
}

TEST(name_is_shown_in_proc)
{
	struct peal_mem mem;
	char link[64], target[512] = "";

	CHECK_EQ(peal_mem_create(&mem, "camera", 0, 1, 0), 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", mem.fd);
	CHECK(readlink(link, target, sizeof(target) - 1) > 0);
	CHECK(strcmp(target, "/memfd:peal:camera (deleted)") == 0);
	peal_mem_close(&mem);
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
	peal_mem_close(&mem);
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
	freeze(&mem);
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
	peal_mem_close(&mem);
}

static void write_inherited(void *arg)
{
	struct peal_mem *mem = arg;

	body_of(mem)[page() + 3] = 'c';
	peal_mem_close(mem);
}

TEST(forked_child_inherits_the_frozen_mapping)
{
	struct peal_mem mem = create(page(), page(), PEAL_MEM_TWICE);

	freeze(&mem);
	test_join(test_fork(write_inherited, &mem));
	CHECK_EQ(body_of(&mem)[3], 'c');
	peal_mem_close(&mem);
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
	freeze(&mem);
	CHECK_EQ(peal_mem_seal(&mem), -EPERM);
	peal_mem_close(&peer);
	peal_mem_close(&mem);
	CHECK_EQ(peal_mem_seal(&mem), -EINVAL);
}

TEST(whoever_opened_it_can_freeze_it_and_both_write_on)
{
	struct peal_mem mem = create(page(), page(), PEAL_MEM_TWICE), peer;

	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), page(), PEAL_MEM_TWICE),
		 0);
	freeze(&peer);
	CHECK_EQ(peal_mem_seal(&mem), -EPERM);
	body_of(&mem)[0] = 'm';
	body_of(&peer)[1] = 'p';
	CHECK_EQ(body_of(&peer)[page()], 'm');
	CHECK_EQ(body_of(&mem)[page() + 1], 'p');
	peal_mem_close(&peer);
	peal_mem_close(&mem);
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
		peal_mem_close(&mem);
		peal_mem_close(&peer);
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

	peal_mem_close(&mem);
	CHECK(all_zero(&mem, sizeof(mem)));
	mem = create(0, 1, 0);
	peal_mem_close(&mem);
	peal_mem_close(&mem);
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
	peal_mem_close(&peer);
	CHECK(fcntl(0, F_GETFD) >= 0);
	peal_mem_close(&mem);
	CHECK_ERRNO(EBADF, fcntl(0, F_GETFD));
}

TEST(fd_0_is_an_fd)
{
	test_join(test_fork(use_fd_0, NULL));
}
