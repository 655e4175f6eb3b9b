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

#include "memfd.h"

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

/* What the kernel has no resources for just now is asked for so many times. */
#define AGAIN 100

#define HUGE (PEAL_MEM_HUGE_2M | PEAL_MEM_HUGE_1G)
#define CREATE_FLAGS (PEAL_MEM_TWICE | HUGE | PEAL_MEM_LOCK | PEAL_MEM_PREFAULT)
#define OPEN_FLAGS (CREATE_FLAGS | PEAL_MEM_READONLY | PEAL_MEM_SEALED)
/* In the flags of a peal_mem: the fd is to be closed. 0 is a valid fd. */
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
 * Judge what the caller asks for, and find the size of the memfd and that of
 * the mapping.
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
	    (mem->head % page != 0 || mem->body % page != 0))
		return -EINVAL;
	if (__builtin_add_overflow(mem->head, mem->body, size) ||
	    __builtin_add_overflow(*size, page - 1, &pages))
		return -EOVERFLOW;
	pages -= pages % page;
	if (mem->flags & HUGE)
		*size = pages;
	if ((mem->flags & PEAL_MEM_TWICE) &&
	    __builtin_add_overflow(pages, mem->body, &pages))
		return -EOVERFLOW;
	if (pages > PTRDIFF_MAX - page) /* what reserve() adds */
		return -EOVERFLOW;
	mem->mapped = pages;
	return 0;
}

/* Address space that begins at a page, be it a huge one. @return NULL: none */
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

/* EAGAIN is RLIMIT_MEMLOCK, or memory that could not be locked. */
static int error_of_map(void)
{
	return errno == EAGAIN ? -ENOMEM : -errno;
}

/* @return where it is, or MAP_FAILED and errno */
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
 * The body behind itself. `once` is a mapping of head and body that is there
 * already: a MAP_FIXED that fails may leave a hole, where another thread's
 * mapping lands before we clean up, so whatever can fail has to fail before.
 * It holds the reservation of huge pages until this is done.
 */
static int map_twice(struct peal_mem *mem, char *once)
{
	size_t first = mem->head + mem->body;
	char *base = reserve(mem->mapped, peal_mem_page(mem->flags));
	int error = 0;

	if (!base) {
		error = -ENOMEM;
	} else if (map(mem, base, first, 0) == MAP_FAILED ||
		   map(mem, base + first, mem->body, mem->head) == MAP_FAILED) {
		error = error_of_map();
		munmap(base, mem->mapped);
	}
	munmap(once, first);
	mem->base = base;
	return error;
}

/*
 * Have the kernel load a word of each page: a page that is not to be had is
 * EFAULT there, and would be SIGBUS here. The load suffices for stores to come,
 * since the mappings are shared. This system call loads a word, compares it,
 * and then moves waiters, of which it is to move none; it needs no fd, and does
 * nothing to the memfd that a hostile process could hold up.
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
	int again = 0;

	while (madvise(first, size, advice) < 0) {
		if (errno == EINTR || (errno == EAGAIN && ++again < AGAIN))
			continue;
		/* Unknown before Linux 5.14, or refused by a sandbox. */
		if (errno == EINVAL || errno == ENOSYS || errno == EPERM ||
		    errno == EAGAIN)
			return load_each(first, size,
					 peal_mem_page(mem->flags));
		/* Touching it would have been SIGBUS. */
		return errno == EFAULT ? -ENOMEM : -errno;
	}
	return 0;
}

/* Map it as its flags say, or leave nothing mapped. */
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

int peal_mem_create(struct peal_mem *mem, const char *name, size_t head,
		    size_t body, unsigned flags)
{
	struct peal_mem m = { .head = head, .body = body, .flags = flags };
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

int peal_mem_open(struct peal_mem *mem, int fd, size_t head, size_t body,
		  unsigned flags)
{
	struct peal_mem m = {
		.head = head, .body = body, .fd = fd, .flags = flags
	};
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
