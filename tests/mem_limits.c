/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory that cannot be had: limits, kernels that lack something, system calls
 * that fail; and how it is faulted in and locked.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <signal.h>
#include <time.h>

#include "fixtures/memory.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 0x0004u
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* -- limits */

TEST(sizes_that_find_no_room_are_no_memory)
{
	const size_t size = PTRDIFF_MAX / 4 + 1;
	int mappings, fds;

	if (mmap(NULL, size, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		 0) != MAP_FAILED)
		test_skip("there is room for %zu bytes", size);
	if (errno != ENOMEM) /* valgrind's answer is another one */
		test_skip("mmap: %s", strerror(errno));
	mappings = count_mappings();
	fds = test_count_fds();
	CHECK_EQ(try_create(0, size, 0), -ENOMEM);
	CHECK_EQ(try_create(page(), size, PEAL_MEM_TWICE), -ENOMEM);
	CHECK_EQ(count_mappings(), mappings);
	CHECK_EQ(test_count_fds(), fds);
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int number)
{
	(void)number;
	signals_seen++;
}

TEST(limit_of_file_size_is_an_error_and_no_signal)
{
	struct rlimit before = limit(RLIMIT_FSIZE, 4 * page());
	struct peal_mem mem;
	sigset_t pending, mask;

	CHECK_EQ(try_create(page(), 4 * page(), 0), -EFBIG); /* by default */
	signal(SIGXFSZ, on_signal);
	CHECK_EQ(try_create(page(), 4 * page(), PEAL_MEM_TWICE), -EFBIG);
	mem = create(page(), 3 * page(), 0);
	peal_mem_close(&mem);
	CHECK_EQ(signals_seen, 0);
	CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
	CHECK_EQ(sigismember(&mask, SIGXFSZ), 0);
	CHECK_EQ(sigpending(&pending), 0);
	CHECK_EQ(sigismember(&pending, SIGXFSZ), 0);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
}

TEST(pending_signal_of_the_caller_stays_pending)
{
	struct rlimit before = limit(RLIMIT_FSIZE, page());
	struct timespec now = { 0 };
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGXFSZ);
	CHECK_EQ(sigprocmask(SIG_BLOCK, &mask, NULL), 0);
	CHECK_EQ(try_create(0, 2 * page(), 0), -EFBIG);
	CHECK_ERRNO(EAGAIN, sigtimedwait(&mask, NULL, &now));
	CHECK_EQ(raise(SIGXFSZ), 0);
	CHECK_EQ(try_create(0, 2 * page(), 0), -EFBIG);
	CHECK_EQ(sigtimedwait(&mask, NULL, &now), SIGXFSZ);
	CHECK_ERRNO(EAGAIN, sigtimedwait(&mask, NULL, &now));
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
}

TEST(limit_of_fds_is_an_error)
{
	struct rlimit before = limit(RLIMIT_NOFILE, 0);

	CHECK_EQ(try_create(page(), page(), PEAL_MEM_TWICE), -EMFILE);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
	CHECK_EQ(try_create(page(), page(), PEAL_MEM_TWICE), 0);
}

/* Without the privilege to lock any amount. */
static void become_nobody(void)
{
	if (geteuid() == 0) {
		CHECK_EQ(setgroups(0, NULL), 0);
		CHECK_EQ(setresgid(65534, 65534, 65534), 0);
		CHECK_EQ(setresuid(65534, 65534, 65534), 0);
	}
	CHECK_EQ(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0); /* /proc/self/fd */
}

static void lock_beyond_the_limit(void *unused)
{
	const unsigned flags = PEAL_MEM_TWICE | PEAL_MEM_LOCK;
	int mappings, fds;

	(void)unused;
	become_nobody();
	mappings = count_mappings();
	fds = test_count_fds();
	limit(RLIMIT_MEMLOCK, 4 * page());
	CHECK_EQ(try_create(page(), 2 * page(), flags), -ENOMEM);
	CHECK_EQ(try_create(0, 2 * page(), flags), 0);
	limit(RLIMIT_MEMLOCK, 0);
	CHECK_EQ(try_create(0, page(), flags), -EPERM);
	CHECK_EQ(count_mappings(), mappings);
	CHECK_EQ(test_count_fds(), fds);
}

TEST(limit_of_locked_memory_is_an_error)
{
	test_join(test_fork(lock_beyond_the_limit, NULL));
}

/* -- faulted in, and locked */

/* The kB that a line of /proc/self/status names. */
static long status_kb(const char *name)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	long kb = -1;

	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			kb = atol(line + strlen(name));
	fclose(file);
	return kb;
}

/* The kB of a memory's mappings that can be touched without a page fault. */
static long faulted_in_kb(const struct peal_mem *mem)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	uintptr_t base = (uintptr_t)mem->base;
	unsigned long from, to;
	bool inside = false;
	char line[512];
	long kb, sum = 0;

	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from >= base && to <= base + mem->mapped;
		else if (inside && sscanf(line, "Rss: %ld", &kb) == 1)
			sum += kb;
	}
	fclose(file);
	return sum;
}

TEST(prefaulted_memory_is_there_at_once_in_both_mappings)
{
	const unsigned flags = PEAL_MEM_TWICE | PEAL_MEM_PREFAULT;
	struct peal_mem mem = create(page(), 16 * page(), PEAL_MEM_TWICE);
	struct peal_mem peer;

	test_needs_madvise();
	CHECK_EQ(faulted_in_kb(&mem), 0);
	peal_mem_close(&mem);
	mem = create(page(), 16 * page(), flags);
	CHECK_EQ(faulted_in_kb(&mem), 33 * page() / 1024);

	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), 16 * page(), flags), 0);
	CHECK_EQ(faulted_in_kb(&peer), 33 * page() / 1024);
	peal_mem_close(&peer);
	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), 16 * page(),
			       flags | PEAL_MEM_READONLY),
		 0);
	CHECK_EQ(faulted_in_kb(&peer), 33 * page() / 1024);
	peal_mem_close(&peer);
	peal_mem_close(&mem);
}

/* Not the C library's: fails so many times, with either error in turn. */
static int interruptions;

int madvise(void *address, size_t size, int advice)
{
	if (interruptions > 0) {
		errno = interruptions-- % 2 ? EINTR : EAGAIN;
		return -1;
	}
	return (int)syscall(SYS_madvise, address, size, advice);
}

/* Not the sanitizers', which does nothing. */
int mlock(const void *address, size_t size)
{
	return (int)syscall(SYS_mlock, address, size);
}

TEST(interrupted_prefault_goes_on)
{
	struct peal_mem mem;

	interruptions = 5;
	mem = create(0, 4 * page(), PEAL_MEM_TWICE | PEAL_MEM_PREFAULT);
	CHECK_EQ(interruptions, 0);
	test_needs_madvise();
	CHECK_EQ(faulted_in_kb(&mem), 8 * page() / 1024);
	peal_mem_close(&mem);
}

TEST(locked_memory_counts_as_locked)
{
	struct peal_mem mem;

	CHECK_EQ(status_kb("VmLck:"), 0);
	mem = create(page(), 2 * page(), PEAL_MEM_TWICE | PEAL_MEM_LOCK);
	CHECK_EQ(status_kb("VmLck:"), 5 * page() / 1024);
	CHECK_EQ(faulted_in_kb(&mem), 5 * page() / 1024);
	peal_mem_close(&mem);
	CHECK_EQ(status_kb("VmLck:"), 0);
}

/* -- kernels that lack something, and calls that fail */

struct failure {
	long number;
	int arg;
	uint32_t mask, value;
	int error;
	unsigned flags;
	int expected;
};

static void create_and_fail(void *arg)
{
	const struct failure *f = arg;
	struct peal_mem warm_up = create(2 * page(), page(), PEAL_MEM_TWICE);
	int mappings, fds;

	peal_mem_close(&warm_up);
	test_count_fds();
	mappings = count_mappings();
	fds = test_count_fds();
	refuse(f->number, f->arg, f->mask, f->value, f->error);
	CHECK_EQ(try_create(2 * page(), 4 * page(), f->flags), f->expected);
	CHECK_EQ(count_mappings(), mappings);
	CHECK_EQ(test_count_fds(), fds);
}

TEST(every_failure_is_reported_and_leaves_nothing_behind)
{
	const uint32_t second = (uint32_t)MMAP_OFFSET(2 * page());
	const uint32_t shared = MAP_SHARED | MAP_FIXED;
	const unsigned twice = PEAL_MEM_TWICE;
	const unsigned all = twice | PEAL_MEM_PREFAULT | PEAL_MEM_LOCK;
	const struct failure failures[] = {
		{ SYS_memfd_create, 0, 0, 0, ENFILE, 0, -ENFILE },
		{ FTRUNCATE_NUMBER, 0, 0, 0, ENOMEM, 0, -ENOMEM },
		{ FCNTL_NUMBER, 1, ~0u, F_ADD_SEALS, EPERM, 0, -EPERM },
		{ MMAP_NUMBER, 3, MAP_SHARED, MAP_SHARED, ENOMEM, 0, -ENOMEM },
		{ MMAP_NUMBER, 3, MAP_SHARED, MAP_SHARED, EAGAIN, twice,
		  -ENOMEM },
		{ MMAP_NUMBER, 3, MAP_NORESERVE, MAP_NORESERVE, ENOMEM, twice,
		  -ENOMEM },
		{ MMAP_NUMBER, 3, shared, shared, ENOMEM, twice, -ENOMEM },
		{ MMAP_NUMBER, 5, ~0u, second, EAGAIN, twice, -ENOMEM },
		{ SYS_madvise, 2, ~0u, MADV_POPULATE_WRITE, EFAULT, all,
		  -ENOMEM },
		{ SYS_madvise, 2, ~0u, MADV_POPULATE_WRITE, ENOMEM, all,
		  -ENOMEM },
		{ SYS_mlock, 0, 0, 0, EAGAIN, all, -ENOMEM },
		{ SYS_mlock, 0, 0, 0, EPERM, all, -EPERM },
	};

	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		struct failure failure = failures[i];

		test_join(test_fork(create_and_fail, &failure));
	}
}

static void without_noexec_seal(void *unused)
{
	struct peal_mem mem, peer;

	(void)unused;
	refuse(SYS_memfd_create, 1, MFD_NOEXEC_SEAL, MFD_NOEXEC_SEAL, EINVAL);
	mem = create(page(), page(), PEAL_MEM_TWICE);
	CHECK_EQ(fcntl(mem.fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), page(), 0), 0);
	peal_mem_close(&peer);
	peal_mem_close(&mem);
}

TEST(kernel_without_noexec_seal_will_do)
{
	test_join(test_fork(without_noexec_seal, NULL));
}

static void without_huge_pages(void *error)
{
	refuse(SYS_memfd_create, 1, MFD_HUGETLB, MFD_HUGETLB, *(int *)error);
	CHECK_EQ(try_create(0, page(), PEAL_MEM_HUGE_2M), -EOPNOTSUPP);
	if (sizeof(size_t) > 4) /* there is no room for them */
		CHECK_EQ(try_create(0, page(), PEAL_MEM_HUGE_1G), -EOPNOTSUPP);
	CHECK_EQ(try_create(0, page(), 0), 0);
}

TEST(kernel_without_huge_pages_says_so)
{
	const int errors[] = { EINVAL, ENODEV, ENOSYS };

	for (int i = 0; i < 3; i++) {
		int error = errors[i];

		test_join(test_fork(without_huge_pages, &error));
	}
}

static void without_future_write(void *unused)
{
	struct peal_mem mem = create(0, page(), 0);

	(void)unused;
	refuse(FCNTL_NUMBER, 1, ~0u, F_ADD_SEALS, EINVAL);
	CHECK_EQ(peal_mem_seal(&mem), -EOPNOTSUPP);
	peal_mem_close(&mem);
}

TEST(kernel_without_future_write_says_so)
{
	test_join(test_fork(without_future_write, NULL));
}
