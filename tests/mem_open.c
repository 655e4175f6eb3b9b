/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory that somebody else has made: peal_mem_open(), and what it verifies. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>

#include <peal/mem.h>

#include "fixtures/memory.h"

TEST(opened_memory_is_the_same_memory)
{
	struct peal_mem mem = create(page(), 2 * page(), PEAL_MEM_TWICE), peer;

	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), 2 * page(),
			       PEAL_MEM_TWICE),
		 0);
	CHECK(peer.base != mem.base);
	CHECK_EQ(peer.fd, mem.fd);
	CHECK_EQ(peer.body_offset, page());
	CHECK_EQ(peer.body, 2 * page());
	memcpy(body_of(&mem) + 2 * page() - 3, "across", 6);
	CHECK(memcmp(body_of(&peer) + 2 * page() - 3, "across", 6) == 0);
	*(char *)peer.base = 'h';
	CHECK_EQ(*(char *)mem.base, 'h');
	peal_mem_close(&peer);
	CHECK_EQ(fcntl(mem.fd, F_GETFD), FD_CLOEXEC); /* it was borrowed */
	CHECK_EQ(*(char *)mem.base, 'h');
	peal_mem_close(&mem);
}

TEST(frozen_memory_can_be_opened_for_reading_alone)
{
	const unsigned reading = PEAL_MEM_READONLY | PEAL_MEM_TWICE;
	struct peal_mem mem = create(page(), page(), PEAL_MEM_TWICE), peer;

	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), page(),
			       reading | PEAL_MEM_SEALED),
		 -EPERM);
	freeze(&mem);
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
	peal_mem_close(&peer);
	peal_mem_close(&mem);
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
	peal_mem_close(&peer);
	peal_mem_close(&mem);
}

static int try_open(int fd, size_t body_offset, size_t body, unsigned flags)
{
	struct peal_mem mem, before;
	int ret;

	memset(&mem, 0x55, sizeof(mem));
	before = mem;
	ret = peal_mem_open(&mem, fd, body_offset, body, flags);
	if (ret < 0)
		CHECK(memcmp(&mem, &before, sizeof(mem)) == 0);
	else
		peal_mem_close(&mem);
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
	peal_mem_close(&mem);
}

TEST(mapping_outlives_the_fd_it_was_opened_from)
{
	struct peal_mem mem = create(0, page(), 0), peer;
	int fd = fcntl(mem.fd, F_DUPFD_CLOEXEC, 0);

	CHECK_EQ(peal_mem_open(&peer, fd, 0, page(), 0), 0);
	close(fd);
	body_of(&mem)[1] = 'o';
	CHECK_EQ(body_of(&peer)[1], 'o');
	peal_mem_close(&peer);
	peal_mem_close(&mem);
}
