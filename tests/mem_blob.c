/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Bytes that are written once: peal_blob_*(). */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>

#include "fixtures/memory.h"

static const char text[] = "written once";

static struct peal_blob fill(size_t size)
{
	struct peal_blob blob;

	CHECK_EQ(peal_blob_create(&blob, "test", size), 0);
	memcpy(blob.base, text, sizeof(text));
	return blob;
}

static bool is_filled(const struct peal_blob *blob)
{
	return memcmp(blob->base, text, sizeof(text)) == 0;
}

/* Nothing gets through an fd to a blob. */
static void check_sealed(int fd)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	off_t size = (off_t)page();
	void *map;

	CHECK_ERRNO(EPERM, ftruncate(fd, 0));
	CHECK_ERRNO(EPERM, ftruncate(fd, 4 * size));
	CHECK_ERRNO(EPERM, fallocate(fd, punch, 0, size));
	CHECK_ERRNO(EPERM, fallocate(fd, 0, 0, 4 * size));
	CHECK_ERRNO(EPERM, pwrite(fd, "x", 1, 0));
	CHECK_ERRNO(EPERM, mmap(NULL, page(), PROT_READ | PROT_WRITE,
				MAP_SHARED, fd, 0));
	CHECK_ERRNO(EPERM, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	/* Before Linux 6.7 not even this is allowed. */
	map = mmap(NULL, page(), PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return;
	CHECK_ERRNO(EACCES, mprotect(map, page(), PROT_READ | PROT_WRITE));
	CHECK_EQ(munmap(map, page()), 0);
}

TEST(blob_is_filled_in_sealed_and_read)
{
	struct peal_blob blob = fill(10000), reader;

	CHECK_EQ(blob.size, 10000);
	CHECK_EQ(fd_state(blob.fd).size, 10000);
	CHECK_EQ(fcntl(blob.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	((char *)blob.base)[9999] = 'z';
	CHECK_EQ(peal_blob_seal(&blob), 0);
	CHECK(is_filled(&blob));
	CHECK_EQ(((char *)blob.base)[9999], 'z');

	CHECK_EQ(peal_blob_open(&reader, blob.fd), 0);
	CHECK_EQ(reader.size, 10000);
	CHECK_EQ(reader.fd, -1);
	CHECK(reader.base != blob.base);
	CHECK(memcmp(reader.base, blob.base, 10000) == 0);
	peal_blob_close(&reader);
	CHECK(is_filled(&blob));
	peal_blob_close(&blob);
}

TEST(new_blob_is_zero)
{
	struct peal_blob blob;

	CHECK_EQ(peal_blob_create(&blob, "test", 5 * page() + 1), 0);
	CHECK(all_zero(blob.base, 5 * page() + 1));
	peal_blob_close(&blob);
}

TEST(sealed_blob_can_be_changed_by_no_means)
{
	struct peal_blob blob = fill(3 * page());
	char path[64];
	int again;

	test_needs_madvise();
	CHECK_EQ(peal_blob_seal(&blob), 0);
	CHECK_EQ(fcntl(blob.fd, F_GET_SEALS) & ~F_SEAL_EXEC,
		 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	check_sealed(blob.fd);
	CHECK_EQ(madvise(blob.base, blob.size, MADV_REMOVE), -1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", blob.fd);
	CHECK_ERRNO(EPERM, open(path, O_RDWR | O_TRUNC | O_CLOEXEC));
	again = open(path, O_RDWR | O_CLOEXEC);
	CHECK(again >= 0);
	check_sealed(again);
	close(again);
	CHECK(is_filled(&blob));
	peal_blob_close(&blob);
}

static void store(void *byte)
{
	signal(SIGSEGV, SIG_DFL); /* sanitizers have their own */
	*(volatile char *)byte = 'x';
}

TEST(storing_into_a_sealed_blob_is_a_fault)
{
	struct peal_blob blob = fill(page()), reader;
	int status;

	CHECK_EQ(peal_blob_seal(&blob), 0);
	CHECK_EQ(peal_blob_open(&reader, blob.fd), 0);
	for (int i = 0; i < 2; i++) {
		void *base = i == 0 ? blob.base : reader.base;
		pid_t pid = test_fork(store, base);

		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
	CHECK(is_filled(&blob));
	CHECK(is_filled(&reader));
	peal_blob_close(&reader);
	peal_blob_close(&blob);
}

/* Even a process that makes its own mapping writable changes nothing. */
static void meddle(void *arg)
{
	struct peal_blob *blob = arg;

	if (mprotect(blob->base, page(), PROT_READ | PROT_WRITE) == 0)
		memset(blob->base, 'x', page());
}

TEST(no_process_can_change_what_another_reads)
{
	struct peal_blob blob = fill(page()), reader;

	CHECK_EQ(peal_blob_seal(&blob), 0);
	test_join(test_fork(meddle, &blob));
	CHECK(is_filled(&blob));
	meddle(&blob);
	CHECK_EQ(peal_blob_open(&reader, blob.fd), 0);
	CHECK(is_filled(&reader));
	peal_blob_close(&reader);
	peal_blob_close(&blob);
}

/* -- sealing that fails */

static void check_still_filling(struct peal_blob *blob, const void *base)
{
	struct peal_blob reader;
	char byte;

	CHECK(blob->base == base);
	CHECK(is_filled(blob));
	((char *)blob->base)[page() - 1] = 'w';
	CHECK_EQ(pread(blob->fd, &byte, 1, (off_t)page() - 1), 1);
	CHECK_EQ(byte, 'w');
	CHECK_EQ(peal_blob_open(&reader, blob->fd), -EPERM);
	((char *)blob->base)[page() - 1] = '\0';
}

TEST(blob_that_others_can_write_stays_writable)
{
	struct peal_blob blob = fill(page());
	void *base = blob.base;
	char *other = mmap(NULL, page(), PROT_READ | PROT_WRITE, MAP_SHARED,
			   blob.fd, 0);
	int mappings = count_mappings();

	CHECK(other != MAP_FAILED);
	CHECK_EQ(peal_blob_seal(&blob), -EBUSY);
	CHECK_EQ(count_mappings(), mappings);
	check_still_filling(&blob, base);
	other[sizeof(text)] = 'o';
	CHECK_EQ(((char *)base)[sizeof(text)], 'o');
	CHECK_EQ(munmap(other, page()), 0);

	CHECK_EQ(peal_blob_seal(&blob), 0);
	check_sealed(blob.fd);
	peal_blob_close(&blob);
}

static void hold(void *arg)
{
	const int *ends = arg;
	char byte;

	close(ends[1]);
	CHECK_EQ(read(ends[0], &byte, 1), 0);
}

TEST(forked_child_that_could_write_is_in_the_way_of_the_seal)
{
	struct peal_blob blob = fill(page());
	int ends[2];
	pid_t pid;

	CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
	pid = test_fork(hold, ends);
	CHECK_EQ(peal_blob_seal(&blob), -EBUSY);
	check_still_filling(&blob, blob.base);
	close_fds(ends, 2);
	test_join(pid);
	CHECK_EQ(peal_blob_seal(&blob), 0);
	CHECK(is_filled(&blob));
	peal_blob_close(&blob);
}

static void seal_without_mapping(void *arg)
{
	struct peal_blob *blob = arg;
	void *base = blob->base;

	refuse(MMAP_NUMBER, 3, MAP_FIXED | MAP_PRIVATE, MAP_FIXED | MAP_PRIVATE,
	       ENOMEM);
	CHECK_EQ(peal_blob_seal(blob), -ENOMEM);
	check_still_filling(blob, base);
}

TEST(blob_that_cannot_be_mapped_anew_stays_writable)
{
	struct peal_blob blob = fill(page());

	test_join(test_fork(seal_without_mapping, &blob));
	peal_blob_close(&blob);
}

TEST(blob_that_somebody_else_sealed_is_left_alone)
{
	const int seals[] = { F_SEAL_SEAL, F_SEAL_FUTURE_WRITE };

	for (int i = 0; i < 2; i++) {
		struct peal_blob blob = fill(page());

		add_seals(blob.fd, seals[i]);
		CHECK_EQ(peal_blob_seal(&blob), -EPERM);
		check_still_filling(&blob, blob.base);
		peal_blob_close(&blob);
	}
}

TEST(only_a_blob_that_is_being_filled_in_can_be_sealed)
{
	struct peal_blob blob = { 0 }, reader;

	CHECK_EQ(peal_blob_seal(&blob), -EINVAL);
	blob = fill(page());
	CHECK_EQ(peal_blob_seal(&blob), 0);
	CHECK_EQ(peal_blob_seal(&blob), -EINVAL);
	CHECK_EQ(peal_blob_open(&reader, blob.fd), 0);
	CHECK_EQ(peal_blob_seal(&reader), -EINVAL);
	peal_blob_close(&reader);
	peal_blob_close(&blob);
	CHECK_EQ(peal_blob_seal(&blob), -EINVAL);
}

/* -- what cannot be made */

static int try_blob(const char *name, size_t size)
{
	struct peal_blob blob, before;
	int ret;

	memset(&blob, 0x55, sizeof(blob));
	before = blob;
	ret = peal_blob_create(&blob, name, size);
	if (ret < 0)
		CHECK(memcmp(&blob, &before, sizeof(blob)) == 0);
	else
		peal_blob_close(&blob);
	return ret;
}

TEST(impossible_blobs_are_refused)
{
	int mappings = count_mappings(), fds = test_count_fds();
	char name[202];

	memset(name, 'n', sizeof(name));
	name[201] = '\0';
	CHECK_EQ(try_blob(name, 1), -ENAMETOOLONG);
	name[200] = '\0';
	CHECK_EQ(try_blob(name, 1), 0);
	CHECK_EQ(try_blob("test", 0), -EINVAL);
	CHECK_EQ(try_blob("test", (size_t)PTRDIFF_MAX + 1), -EOVERFLOW);
	CHECK_EQ(try_blob("test", SIZE_MAX), -EOVERFLOW);
	if (sizeof(size_t) > 4)
		CHECK_EQ(try_blob("test", PTRDIFF_MAX / 2), -ENOMEM);
	CHECK_EQ(count_mappings(), mappings);
	CHECK_EQ(test_count_fds(), fds);
}

TEST(limits_are_errors)
{
	struct rlimit before = limit(RLIMIT_FSIZE, page());

	CHECK_EQ(try_blob("test", page() + 1), -EFBIG);
	CHECK_EQ(try_blob("test", page()), 0);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
	before = limit(RLIMIT_NOFILE, 0);
	CHECK_EQ(try_blob("test", page()), -EMFILE);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* -- opening */

static int try_open(int fd)
{
	struct peal_blob blob, before;
	int ret;

	memset(&blob, 0x55, sizeof(blob));
	before = blob;
	ret = peal_blob_open(&blob, fd);
	if (ret < 0)
		CHECK(memcmp(&blob, &before, sizeof(blob)) == 0);
	else
		peal_blob_close(&blob);
	return ret;
}

TEST(what_is_no_memfd_is_refused_and_not_changed)
{
	int fds[FOREIGN_FDS], closed;

	CHECK_EQ(try_open(-1), -EBADF);
	foreign_fds(fds);
	for (int i = 0; i < FOREIGN_FDS; i++) {
		struct fd_state before = fd_state(fds[i]), after;

		CHECK_EQ(try_open(fds[i]), -EBADMSG);
		after = fd_state(fds[i]);
		CHECK(memcmp(&before, &after, sizeof(before)) == 0);
	}
	closed = fds[0];
	close_fds(fds, FOREIGN_FDS);
	CHECK_EQ(try_open(closed), -EBADF);
}

TEST(seals_must_be_exactly_those)
{
	const int seals[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW,
			      F_SEAL_WRITE, F_SEAL_FUTURE_WRITE };
	const int sealed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
			   F_SEAL_SEAL;

	for (int set = 0; set < 32; set++) {
		struct fd_state before, after;
		int all = 0, other, fd;

		for (int i = 0; i < 5; i++)
			all |= set & 1 << i ? seals[i] : 0;
		fd = foreign_memfd(page(), all);
		before = fd_state(fd);
		other = all == F_SEAL_SEAL ? -EBADMSG : -EPERM;
		CHECK_EQ(try_open(fd), all == sealed ? 0 : other);
		after = fd_state(fd);
		CHECK(memcmp(&before, &after, sizeof(before)) == 0);
		close(fd);
	}
}

TEST(empty_blob_is_refused)
{
	int fd = foreign_memfd(0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
					  F_SEAL_SEAL);

	CHECK_EQ(try_open(fd), -ERANGE);
	close(fd);
}

TEST(blob_that_is_too_large_to_map_is_no_memory)
{
	int fd;

	if (sizeof(size_t) < 8)
		test_skip("32 bits of address space");
	fd = foreign_memfd((size_t)(UINT64_C(1) << 60),
			   F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
				   F_SEAL_SEAL);
	CHECK_EQ(try_open(fd), -ENOMEM);
	close(fd);
}

TEST(blob_of_huge_pages_is_refused)
{
	int fd = memfd_create("foreign",
			      MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

	if (fd < 0)
		test_skip("no huge pages here");
	CHECK_EQ(
		fcntl(fd, F_ADD_SEALS,
		      F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL),
		0);
	CHECK_EQ(try_open(fd), -EBADMSG);
	close(fd);
}

TEST(opened_blob_outlives_the_fd_and_its_maker)
{
	struct peal_blob blob = fill(page()), reader;
	int fd = fcntl(blob.fd, F_DUPFD_CLOEXEC, 0);

	CHECK_EQ(peal_blob_seal(&blob), 0);
	CHECK_EQ(peal_blob_open(&reader, fd), 0);
	close(fd);
	peal_blob_close(&blob);
	CHECK(is_filled(&reader));
	peal_blob_close(&reader);
}

/* -- finishing */

TEST(nothing_is_left_after_finish)
{
	int mappings = count_mappings(), fds = test_count_fds();

	for (int i = 0; i < 100; i++) {
		struct peal_blob blob = fill(2 * page() + 1), reader = { 0 };

		if (i % 2) {
			CHECK_EQ(peal_blob_seal(&blob), 0);
			CHECK_EQ(peal_blob_open(&reader, blob.fd), 0);
		}
		peal_blob_close(&blob);
		peal_blob_close(&reader);
		CHECK(all_zero(&blob, sizeof(blob)));
		CHECK(all_zero(&reader, sizeof(reader)));
		peal_blob_close(&blob);
	}
	CHECK_EQ(count_mappings(), mappings);
	CHECK_EQ(test_count_fds(), fds);
}

static void use_fd_0(void *unused)
{
	struct peal_blob blob, reader;

	(void)unused;
	close(0);
	blob = fill(page());
	CHECK_EQ(blob.fd, 0);
	CHECK_EQ(peal_blob_seal(&blob), 0);
	CHECK_EQ(peal_blob_open(&reader, 0), 0);
	peal_blob_close(&reader);
	CHECK(fcntl(0, F_GETFD) >= 0);
	peal_blob_close(&blob);
	CHECK_ERRNO(EBADF, fcntl(0, F_GETFD));
}

TEST(fd_0_is_an_fd)
{
	test_join(test_fork(use_fd_0, NULL));
}
