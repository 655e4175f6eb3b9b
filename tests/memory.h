/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_MEMORY_H
#define PEAL_TESTS_MEMORY_H
/*
 * What the tests of memory have in common: a look at this process's mappings,
 * fds of all kinds, limits, and system calls that fail on demand. Include it
 * after _GNU_SOURCE is defined.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <peal/mem.h>

#include "harness.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020 /* comes with MFD_NOEXEC_SEAL */
#endif

/* A call that must fail with -1 (or MAP_FAILED), and with this errno. */
#define CHECK_ERRNO(error, call)                                               \
	do {                                                                   \
		errno = 0;                                                     \
		CHECK_EQ((intptr_t)(call), -1);                                \
		CHECK_EQ(errno, error);                                        \
	} while (0)

static inline size_t page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static inline bool all_zero(const void *memory, size_t size)
{
	const char *bytes = memory;

	for (size_t i = 0; i < size; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

/*
 * How many mappings there are of a memfd or of nothing at all, as reserved
 * address space is. Others come and go: sanitizers and debuggers make them.
 */
static inline int count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];
	int count = 0;

	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file))
		count += strstr(line, " ---p ") || strstr(line, "/memfd:");
	fclose(file);
	return count;
}

static inline struct peal_mem create(size_t head, size_t body, unsigned flags)
{
	struct peal_mem mem;

	CHECK_EQ(peal_mem_create(&mem, "test", head, body, flags), 0);
	return mem;
}

static inline char *body_of(const struct peal_mem *mem)
{
	return (char *)mem->base + mem->head;
}

/* The compiler does not know that two addresses are one memory. */
static inline void other_address(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Is nothing touched if it fails? Nothing is kept. */
static inline int try_create(size_t head, size_t body, unsigned flags)
{
	struct peal_mem mem, before;
	int ret;

	memset(&mem, 0x55, sizeof(mem));
	before = mem;
	ret = peal_mem_create(&mem, "test", head, body, flags);
	if (ret < 0)
		CHECK(memcmp(&mem, &before, sizeof(mem)) == 0);
	else
		peal_mem_finish(&mem);
	return ret;
}

/* Lower a soft limit. @return what it was */
static inline struct rlimit limit(int resource, rlim_t soft)
{
	struct rlimit before, now;

	CHECK_EQ(getrlimit(resource, &before), 0);
	now = before;
	now.rlim_cur = soft;
	CHECK_EQ(setrlimit(resource, &now), 0);
	return before;
}

static inline void needs_future_write(bool lacking)
{
	if (lacking)
		test_skip("no F_SEAL_FUTURE_WRITE before Linux 5.1");
}

/* peal_mem_seal() has to succeed, wherever the kernel has the seal. */
static inline void freeze(struct peal_mem *mem)
{
	int ret = peal_mem_seal(mem);

	needs_future_write(ret == -EOPNOTSUPP);
	CHECK_EQ(ret, 0);
}

/* Likewise, to seals of any kind. */
static inline void add_seals(int fd, int seals)
{
	int ret = fcntl(fd, F_ADD_SEALS, seals);

	needs_future_write(ret < 0 && errno == EINVAL &&
			   (seals & F_SEAL_FUTURE_WRITE));
	CHECK_EQ(ret, 0);
}

/* A memfd of somebody else's. */
static inline int foreign_memfd(size_t size, int seals)
{
	int fd = memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, (off_t)size), 0);
	add_seals(fd, seals);
	return fd;
}

static inline int tmpfs_file(void)
{
	char path[] = "/dev/shm/peal-test-XXXXXX";
	char other[] = "/tmp/peal-test-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd >= 0) {
		unlink(path);
		return fd;
	}
	fd = mkostemp(other, O_CLOEXEC);
	CHECK(fd >= 0);
	unlink(other);
	return fd;
}

#define FOREIGN_FDS 8

/* One of each kind of fd that a peer might send in the place of a memfd. */
static inline void foreign_fds(int *fds)
{
	fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[1] = tmpfs_file();
	CHECK_EQ(ftruncate(fds[1], 65536), 0);
	CHECK_EQ(pipe2(&fds[2], O_CLOEXEC), 0);
	fds[4] = eventfd(0, EFD_CLOEXEC);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, &fds[5]),
		 0);
	/* One that cannot be sealed cannot be told from a file either. */
	fds[7] = memfd_create("foreign", MFD_CLOEXEC);
	for (int i = 0; i < FOREIGN_FDS; i++)
		CHECK(fds[i] >= 0);
}

static inline void close_fds(const int *fds, int n)
{
	for (int i = 0; i < n; i++)
		CHECK_EQ(close(fds[i]), 0);
}

/* All that verifying an fd must leave as it is. */
struct fd_state {
	/* of one type, so that there is no padding to compare */
	long long seals, descriptor_flags, status_flags, size, blocks, offset;
};

static inline struct fd_state fd_state(int fd)
{
	struct fd_state state;
	struct stat st;

	CHECK_EQ(fstat(fd, &st), 0);
	state.seals = fcntl(fd, F_GET_SEALS);
	state.descriptor_flags = fcntl(fd, F_GETFD);
	state.status_flags = fcntl(fd, F_GETFL);
	state.size = st.st_size;
	state.blocks = st.st_blocks;
	state.offset = lseek(fd, 0, SEEK_CUR);
	return state;
}

/*
 * From now on a system call fails in this process, for good, if the lower 32
 * bits of one of its arguments, masked, have a value. Mask 0: whatever it is.
 */
static inline void refuse(long number, int arg, uint32_t mask, uint32_t value,
			  int error)
{
	size_t low = offsetof(struct seccomp_data, args) + 8 * (size_t)arg +
		     (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0);
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)low),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]),
				      .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		test_skip("seccomp: %s", strerror(errno));
}

/* The numbers of what the C library calls; 32-bit systems have two. */
#ifdef SYS_mmap2
#define MMAP_NUMBER SYS_mmap2
#define MMAP_OFFSET(bytes) ((bytes) / 4096)
#else
#define MMAP_NUMBER SYS_mmap
#define MMAP_OFFSET(bytes) (bytes)
#endif
#ifdef SYS_fcntl64
#define FCNTL_NUMBER SYS_fcntl64
#else
#define FCNTL_NUMBER SYS_fcntl
#endif
#ifdef SYS_ftruncate64
#define FTRUNCATE_NUMBER SYS_ftruncate64
#else
#define FTRUNCATE_NUMBER SYS_ftruncate
#endif

#endif
