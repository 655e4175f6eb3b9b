/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <peal/mem.h>

#include "internal.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef SYS_futex /* 32-bit machines whose time always had 64 bits */
#define SYS_futex SYS_futex_time64
#endif
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 0x0004u
#endif
/* The binary logarithm of the page size, shifted. */
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26)
#define MFD_HUGE_1GB (30u << 26)
#endif

/* madvise(2) says EAGAIN where the kernel lacks resources for the moment. So
 * many attempts are made then. */
#define ATTEMPTS 100

#define HUGE (PEAL_MEM_HUGE_2M | PEAL_MEM_HUGE_1G)
#define CREATE_FLAGS (PEAL_MEM_TWICE | HUGE | PEAL_MEM_LOCK | PEAL_MEM_PREFAULT)
#define OPEN_FLAGS (CREATE_FLAGS | PEAL_MEM_READONLY | PEAL_MEM_SEALED)
/* In the flags of a peal_mem: peal_mem_close() closes the fd. (An fd of 0 is
 * valid, so the number alone does not say.) */
#define OWNED 0x80000000u

size_t peal_mem_page(unsigned flags)
{
	if (flags & PEAL_MEM_HUGE_1G)
		return (size_t)1 << 30;
	if (flags & PEAL_MEM_HUGE_2M)
		return (size_t)1 << 21;
	return (size_t)sysconf(_SC_PAGESIZE);
}

/*
 * Check what the caller asks for. Compute the bytes of the memfd, and the bytes
 * of address space that the mapping takes.
 */
static int measure(struct peal_mem *mem, unsigned allowed, size_t *size)
{
	size_t page = peal_mem_page(mem->flags);
	size_t pages;

	if ((mem->flags & ~allowed) || (mem->flags & HUGE) == HUGE)
		return -EINVAL;
	if ((mem->flags & PEAL_MEM_SEALED) && !(mem->flags & PEAL_MEM_READONLY))
		return -EINVAL;
	if (mem->body == 0)
		return -EINVAL;
	if ((mem->flags & PEAL_MEM_TWICE) &&
	    (mem->body_offset % page != 0 || mem->body % page != 0))
		return -EINVAL;
	if (__builtin_add_overflow(mem->body_offset, mem->body, size) ||
	    __builtin_add_overflow(*size, page - 1, &pages))
		return -EOVERFLOW;
	pages -= pages % page;
	if (mem->flags & HUGE)
		*size = pages;
	if ((mem->flags & PEAL_MEM_TWICE) &&
	    __builtin_add_overflow(pages, mem->body, &pages))
		return -EOVERFLOW;
	if (pages > PTRDIFF_MAX - page) /* reserve() adds up to a page */
		return -EOVERFLOW;
	mem->mapped = pages;
	return 0;
}

/*
 * Reserve address space that begins at a multiple of the page.
 * @param page  bytes, a huge page's as well
 * @return      its first byte, or NULL: the address space is used up
 */
static char *reserve(size_t size, size_t page)
{
	size_t slack = page - peal_mem_page(0);
	size_t before;
	char *space;

	space = mmap(NULL, size + slack, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (space == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)space & (page - 1);
	if (before > 0)
		munmap(space, before);
	if (slack > before)
		munmap(space + before + size, slack - before);
	return space + before;
}

/* mmap(2) and mlock(2) say EAGAIN beyond RLIMIT_MEMLOCK, or where memory could
 * not be locked. */
static int error_of_map(void)
{
	return errno == EAGAIN ? -ENOMEM : -errno;
}

/* @return the first byte, or MAP_FAILED and errno */
static char *map(const struct peal_mem *mem, void *at, size_t size,
		 size_t offset)
{
	int prot = PROT_READ;

	if (!(mem->flags & PEAL_MEM_READONLY))
		prot |= PROT_WRITE;
	return mmap(at, size, prot, MAP_SHARED | (at ? MAP_FIXED : 0), mem->fd,
		    (off_t)offset);
}

/*
 * Map the body a second time, right behind the first time.
 * A MAP_FIXED that fails may leave a hole, and another thread's mapping may
 * land in that hole before this function cleans up. So whatever can fail has
 * to fail before. That is what `once` is for: a mapping of body_offset and body
 * that exists already, and that keeps the reservation of huge pages until both
 * mappings exist.
 */
static int map_twice(struct peal_mem *mem, char *once)
{
	size_t first = mem->body_offset + mem->body;
	char *base = reserve(mem->mapped, peal_mem_page(mem->flags));
	int error = 0;

	if (!base) {
		error = -ENOMEM;
	} else if (map(mem, base, first, 0) == MAP_FAILED ||
		   map(mem, base + first, mem->body, mem->body_offset) ==
			   MAP_FAILED) {
		error = error_of_map();
		munmap(base, mem->mapped);
	}
	munmap(once, first);
	mem->base = base;
	return error;
}

/*
 * Have the kernel load a word of each page. Where memory is lacking, the load
 * is EFAULT in the kernel, and would be SIGBUS in the program. The load
 * suffices for later stores, because the mappings are shared. FUTEX_CMP_REQUEUE
 * loads a word, compares the word, and moves waiters: none are to be moved
 * here. The call needs no fd, and does nothing to the memfd that a hostile
 * process could hold up.
 */
static int load_each(char *from, size_t size, size_t page)
{
	for (size_t offset = 0; offset < size; offset += page) {
		char *word = from + offset;

		if (syscall(SYS_futex, word, FUTEX_CMP_REQUEUE_PRIVATE, 0,
			    (void *)0, word, 0) >= 0 ||
		    errno == EAGAIN)
			continue;
		return errno == EFAULT ? -ENOMEM : -EOPNOTSUPP;
	}
	return 0;
}

static int populate(const struct peal_mem *mem, size_t from, size_t size)
{
	int advice = mem->flags & PEAL_MEM_READONLY ? MADV_POPULATE_READ
						    : MADV_POPULATE_WRITE;
	char *first = (char *)mem->base + from;
	int attempts = 0;

	while (madvise(first, size, advice) < 0) {
		if (errno == EINTR ||
		    (errno == EAGAIN && ++attempts < ATTEMPTS))
			continue;
		/* Linux before 5.14 does not know the advice, and a sandbox
		 * may refuse it. */
		if (errno == EINVAL || errno == ENOSYS || errno == EPERM ||
		    errno == EAGAIN)
			return load_each(first, size,
					 peal_mem_page(mem->flags));
		/* EFAULT: a program that touches the page would get SIGBUS. */
		return errno == EFAULT ? -ENOMEM : -errno;
	}
	return 0;
}

/* Map the memfd as the flags say. On failure nothing stays mapped. */
static int map_all(struct peal_mem *mem)
{
	bool twice = mem->flags & PEAL_MEM_TWICE;
	int ret = 0;

	mem->base = map(mem, NULL, mem->mapped - (twice ? mem->body : 0), 0);
	if (mem->base == MAP_FAILED)
		return error_of_map();
	if (twice)
		ret = map_twice(mem, mem->base);
	if (ret < 0)
		return ret;
	if (mem->flags & PEAL_MEM_PREFAULT)
		ret = populate(mem, 0, mem->mapped);
	if (ret == 0 && (mem->flags & PEAL_MEM_LOCK) &&
	    mlock(mem->base, mem->mapped) < 0)
		ret = error_of_map();
	if (ret < 0)
		munmap(mem->base, mem->mapped);
	return ret;
}

int peal_mem_create(struct peal_mem *mem, const char *name, size_t body_offset,
		    size_t body, unsigned flags)
{
	struct peal_mem m = { .body_offset = body_offset,
			      .body = body,
			      .flags = flags };
	unsigned huge = 0;
	size_t size;
	int ret = measure(&m, CREATE_FLAGS, &size);

	if (ret < 0)
		return ret;
	if (flags & HUGE)
		huge = MFD_HUGETLB |
		       (flags & PEAL_MEM_HUGE_1G ? MFD_HUGE_1GB : MFD_HUGE_2MB);
	m.fd = peal_memfd_create(name, size, huge);
	if (m.fd < 0)
		return m.fd;
	m.flags |= OWNED;
	ret = map_all(&m);
	if (ret < 0) {
		close(m.fd);
		return ret;
	}
	*mem = m;
	return 0;
}

int peal_mem_seal(struct peal_mem *mem)
{
	if (!mem->base || (mem->flags & PEAL_MEM_READONLY))
		return -EINVAL;
	if (fcntl(mem->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0)
		return errno == EINVAL ? -EOPNOTSUPP : -errno;
	return 0;
}

int peal_mem_open(struct peal_mem *mem, int fd, size_t body_offset, size_t body,
		  unsigned flags)
{
	struct peal_mem m = { .body_offset = body_offset,
			      .body = body,
			      .fd = fd,
			      .flags = flags };
	size_t size;
	off_t found;
	int ret = measure(&m, OPEN_FLAGS, &size);

	if (ret < 0)
		return ret;
	ret = peal_memfd_verify(fd,
				flags & PEAL_MEM_SEALED ? PEAL_SEALS_FROZEN
							: PEAL_SEALS_SIZED,
				peal_mem_page(flags), &found);
	if (ret < 0)
		return ret;
	if ((uintmax_t)found != size)
		return -ERANGE;
	ret = map_all(&m);
	if (ret < 0)
		return ret;
	*mem = m;
	return 0;
}

int peal_mem_verify(const struct peal_mem *mem, bool trusted)
{
	size_t page = peal_mem_page(mem->flags);
	off_t size;
	int ret = peal_memfd_verify(mem->fd, PEAL_SEALS_FROZEN, page, &size);

	if (ret == -EPERM && trusted && !peal_memfd_freezes())
		ret = peal_memfd_verify(mem->fd, PEAL_SEALS_SIZED, page, &size);
	if (ret < 0)
		return ret;
	return (size_t)size < mem->body_offset + mem->body ? -ERANGE : 0;
}

int peal_mem_fill(struct peal_mem *mem, size_t *filled, size_t most)
{
	size_t page = peal_mem_page(mem->flags), left = mem->mapped - *filled;
	size_t now = left <= most  ? left
		     : most < page ? page
				   : most - most % page;
	int ret = populate(mem, *filled, now);

	if (ret < 0)
		return ret;
	*filled += now;
	if (now < left)
		return 0;
	if (mem->flags & OWNED)
		close(mem->fd);
	mem->flags &= ~OWNED;
	mem->fd = -1;
	return 1;
}

void peal_mem_close(struct peal_mem *mem)
{
	if (mem->base)
		munmap(mem->base, mem->mapped);
	if (mem->flags & OWNED)
		close(mem->fd);
	memset(mem, 0, sizeof(*mem));
}
