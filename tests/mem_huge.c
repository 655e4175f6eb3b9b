/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory of huge pages. Where none are free, and the pool cannot be made
 * larger for a moment, most of this is skipped.
 */
#define _GNU_SOURCE
#include <sys/file.h>
#include <sys/wait.h>

#include "fixtures/memory.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 0x0004u
#endif

#define HUGE_PAGE ((size_t)2 << 20)
#define POOL_2M "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define POOL_1G "/sys/kernel/mm/hugepages/hugepages-1048576kB/"

/* A count of pages, -1 if the kernel has no such pages. */
static long pool_read(const char *pool, const char *what)
{
	char path[128];
	FILE *file;
	long count;

	snprintf(path, sizeof(path), "%s%s", pool, what);
	file = fopen(path, "re");
	if (!file)
		return -1;
	CHECK_EQ(fscanf(file, "%ld", &count), 1);
	fclose(file);
	return count;
}

static long pool_free(void)
{
	return pool_read(POOL_2M, "free_hugepages") -
	       pool_read(POOL_2M, "resv_hugepages");
}

static void pool_write(long count)
{
	char text[32];
	int fd = open(POOL_2M "nr_hugepages", O_WRONLY | O_CLOEXEC);

	snprintf(text, sizeof(text), "%ld", count);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		test_note("nr_hugepages: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* One test at a time changes the pool, or relies on it. */
static int pool_lock(void)
{
	int fd = open(POOL_2M "nr_hugepages", O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		CHECK_EQ(flock(fd, LOCK_EX), 0);
	return fd;
}

/* Emulators of a processor may have other ideas about their addresses. */
static void need_mappings(void)
{
	int fd = memfd_create("probe", MFD_CLOEXEC | MFD_HUGETLB | 21u << 26);
	void *memory;

	if (fd < 0)
		return;
	CHECK_EQ(ftruncate(fd, HUGE_PAGE), 0);
	memory = mmap(NULL, HUGE_PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED && errno == EINVAL)
		test_skip("mmap(2) of huge pages: %s", strerror(errno));
	if (memory != MAP_FAILED)
		munmap(memory, HUGE_PAGE);
	close(fd);
}

struct pool {
	int lock, alive;
	pid_t guard;
};

/*
 * Have so many huge pages free. A guard, which outlives the test however that
 * ends, gives them back.
 */
static struct pool pool_get(long wanted)
{
	struct pool pool = { .lock = pool_lock() };
	long before = pool_read(POOL_2M, "nr_hugepages");
	int ends[2];

	if (pool.lock < 0)
		test_skip("no huge pages of 2 MiB here");
	need_mappings();
	CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
	pool.alive = ends[1];
	pool.guard = fork();
	CHECK(pool.guard >= 0);
	if (pool.guard == 0) {
		char byte;

		setpgid(0, 0);
		close(ends[1]);
		while (read(ends[0], &byte, 1) < 0)
			;
		if (pool_read(POOL_2M, "nr_hugepages") != before)
			pool_write(before);
		_exit(0);
	}
	close(ends[0]);
	setpgid(pool.guard, pool.guard);
	if (pool_free() < wanted)
		pool_write(before + wanted - pool_free());
	if (pool_free() < wanted)
		test_skip(
			"%ld huge pages are free, %ld are needed: "
			"write to " POOL_2M "nr_hugepages",
			pool_free(), wanted);
	return pool;
}

static void pool_put(struct pool *pool)
{
	close(pool->alive);
	CHECK_EQ(waitpid(pool->guard, NULL, 0), pool->guard);
	close(pool->lock);
}

/*
 * The kernel gives out address space from the top. Leave room there for huge
 * pages mapped once, and below it space that ends in the middle of one.
 * @return where that is; 8 huge pages from there on are in use
 */
static char *spoil_alignment(void)
{
	char *space = mmap(NULL, 14 * HUGE_PAGE, PROT_READ,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start;

	CHECK(space != MAP_FAILED);
	start = space + HUGE_PAGE - (uintptr_t)space % HUGE_PAGE +
		HUGE_PAGE / 2 + page();
	CHECK_EQ(munmap(space, (size_t)(start - space)), 0);
	CHECK_EQ(munmap(start + 8 * HUGE_PAGE,
			(size_t)(space + 14 * HUGE_PAGE - start) -
				8 * HUGE_PAGE),
		 0);
	return start;
}

TEST(huge_pages_are_mapped_twice_in_a_row)
{
	char *spoiler = spoil_alignment();
	struct pool pool = pool_get(3);
	const unsigned flags = PEAL_MEM_TWICE | PEAL_MEM_HUGE_2M |
			       PEAL_MEM_PREFAULT;
	int mappings = count_mappings();
	struct peal_mem mem, peer;
	struct stat st;

	for (int i = 0; i < 3; i++) {
		char *body;

		mem = create(HUGE_PAGE, 2 * HUGE_PAGE, flags);
		CHECK_EQ(fstat(mem.fd, &st), 0);
		CHECK_EQ(st.st_blksize, 2097152);
		CHECK_EQ(st.st_size, 6291456);
		CHECK_EQ((uintptr_t)mem.base % HUGE_PAGE, 0);
		CHECK(all_zero(mem.base, 5 * HUGE_PAGE));
		CHECK_EQ(peal_mem_open(&peer, mem.fd, HUGE_PAGE, 2 * HUGE_PAGE,
				       flags),
			 0);
		body = body_of(&mem);
		memcpy(body + 2 * HUGE_PAGE - 4, "bodybody", 8);
		other_address();
		CHECK(memcmp(body, "body", 4) == 0);
		CHECK(memcmp(body + 4 * HUGE_PAGE - 4, "body", 4) == 0);
		CHECK(memcmp(body_of(&peer), "body", 4) == 0);
		peal_mem_close(&peer);
		peal_mem_close(&mem);
		CHECK_EQ(count_mappings(), mappings);
	}
	CHECK_EQ(msync(spoiler, 8 * HUGE_PAGE, MS_ASYNC), 0); /* still there */
	CHECK_EQ(munmap(spoiler, 8 * HUGE_PAGE), 0);
	pool_put(&pool);
}

TEST(huge_pages_mapped_once_are_rounded_up)
{
	struct pool pool = pool_get(1);
	struct peal_mem mem = create(8192, 100000, PEAL_MEM_HUGE_2M), peer;

	CHECK_EQ(mem.body, 100000);
	CHECK_EQ(fd_state(mem.fd).size, 2097152);
	memset(mem.base, 'x', 108192);
	CHECK_EQ(peal_mem_open(&peer, mem.fd, 8192, 100000, PEAL_MEM_HUGE_2M),
		 0);
	CHECK_EQ(body_of(&peer)[99999], 'x');
	peal_mem_close(&peer);
	peal_mem_close(&mem);
	pool_put(&pool);
}

TEST(frozen_huge_pages_stay_frozen)
{
	struct pool pool = pool_get(2);
	struct peal_mem mem = create(HUGE_PAGE, HUGE_PAGE,
				     PEAL_MEM_TWICE | PEAL_MEM_HUGE_2M);
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	freeze(&mem);
	CHECK_ERRNO(EPERM, fallocate(mem.fd, punch, 0, HUGE_PAGE));
	CHECK_ERRNO(EPERM, madvise(mem.base, HUGE_PAGE, MADV_REMOVE));
	CHECK_ERRNO(EPERM, mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED, mem.fd, 0));
	body_of(&mem)[HUGE_PAGE] = 'h';
	other_address();
	CHECK_EQ(body_of(&mem)[0], 'h');
	peal_mem_close(&mem);
	pool_put(&pool);
}

/* More than there are, with those that the kernel would add. */
static void ask_for_too_many(const char *name, size_t huge, unsigned flags)
{
	long pages = pool_read(name, "nr_hugepages");
	long extra = pool_read(name, "nr_overcommit_hugepages");
	const unsigned kinds[] = { 0, PEAL_MEM_PREFAULT, PEAL_MEM_TWICE,
				   PEAL_MEM_TWICE | PEAL_MEM_PREFAULT };
	int mappings = count_mappings(), fds = test_count_fds();

	for (int i = 0; i < 4; i++) {
		if (pages < 0)
			CHECK_EQ(try_create(0, huge, flags | kinds[i]),
				 -EOPNOTSUPP);
		else
			CHECK_EQ(try_create(0,
					    huge * (size_t)(pages + extra + 1),
					    flags | kinds[i]),
				 -ENOMEM);
	}
	CHECK_EQ(count_mappings(), mappings);
	CHECK_EQ(test_count_fds(), fds);
}

TEST(exhausted_pool_is_an_error_and_no_signal)
{
	int lock = pool_lock();

	if (sizeof(size_t) < 8)
		test_skip("32 bits of address space");
	if (access("/sys/kernel/mm", F_OK) < 0)
		test_skip("no /sys, which says how many there are");
	need_mappings();
	ask_for_too_many(POOL_2M, (size_t)2 << 20, PEAL_MEM_HUGE_2M);
	ask_for_too_many(POOL_1G, (size_t)1 << 30, PEAL_MEM_HUGE_1G);
	if (lock >= 0)
		close(lock);
}

TEST(pages_must_be_of_the_size_that_was_asked_for)
{
	const int sized = F_SEAL_SHRINK | F_SEAL_GROW;
	int small = foreign_memfd(HUGE_PAGE, sized);
	int huge = memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING |
						   MFD_HUGETLB | 21u << 26);
	struct peal_mem mem;

	CHECK_EQ(peal_mem_open(&mem, small, 0, HUGE_PAGE, PEAL_MEM_HUGE_2M),
		 -EBADMSG);
	close(small);
	if (huge < 0)
		test_skip("no huge pages of 2 MiB here");
	CHECK_EQ(ftruncate(huge, HUGE_PAGE), 0);
	CHECK_EQ(fcntl(huge, F_ADD_SEALS, sized), 0);
	CHECK_EQ(peal_mem_open(&mem, huge, 0, HUGE_PAGE, 0), -EBADMSG);
	CHECK_EQ(peal_mem_open(&mem, huge, 0, HUGE_PAGE, PEAL_MEM_READONLY),
		 -EBADMSG);
	close(huge);
}
