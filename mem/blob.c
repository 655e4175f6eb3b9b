/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <peal/mem.h>

#include "internal.h"

/* The flags of a blob. */
#define OWNED 0x1u   /* peal_blob_close() closes the fd; 0 is a valid fd */
#define FILLING 0x2u /* the blob is not sealed yet */

/* @return the first byte, or MAP_FAILED and errno */
static void *map_writable(int fd, void *at, size_t size)
{
	return mmap(at, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | (at ? MAP_FIXED : 0), fd, 0);
}

/*
 * The mapping is private, though nobody ever writes to it. Before Linux 6.7 a
 * shared mapping of an fd that is open for writing counts as a writable
 * mapping, and F_SEAL_WRITE fails while there is a writable mapping.
 */
static void *map_readonly(int fd, void *at, size_t size)
{
	return mmap(at, size, PROT_READ, MAP_PRIVATE | (at ? MAP_FIXED : 0), fd,
		    0);
}

int peal_blob_create(struct peal_blob *blob, const char *name, size_t size)
{
	struct peal_blob b = { .size = size, .flags = OWNED | FILLING };

	if (size == 0)
		return -EINVAL;
	if (size > PTRDIFF_MAX)
		return -EOVERFLOW;
	b.fd = peal_memfd_create(name, size, 0);
	if (b.fd < 0)
		return b.fd;
	b.base = map_writable(b.fd, NULL, size);
	if (b.base == MAP_FAILED) {
		close(b.fd);
		return -ENOMEM;
	}
	*blob = b;
	return 0;
}

int peal_blob_seal(struct peal_blob *blob)
{
	off_t size;
	int error;

	if (!(blob->flags & FILLING))
		return -EINVAL;
	/* If somebody has added seals, the blob could not be mapped for writing
	 * again below. */
	error = peal_memfd_verify(blob->fd, PEAL_SEALS_SIZED, peal_mem_page(0),
				  &size);
	if (error < 0)
		return error;
	/* This replaces our own writable mapping, which F_SEAL_WRITE would
	 * refuse. */
	if (map_readonly(blob->fd, blob->base, blob->size) == MAP_FAILED)
		return -ENOMEM;
	if (fcntl(blob->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0) {
		blob->flags &= ~FILLING;
		return 0;
	}
	error = -errno;
	map_writable(blob->fd, blob->base, blob->size);
	return error;
}

int peal_blob_open(struct peal_blob *blob, int fd)
{
	struct peal_blob b = { .fd = -1 };
	off_t size;
	int ret;

	ret = peal_memfd_verify(fd, PEAL_SEALS_BLOB, peal_mem_page(0), &size);
	if (ret < 0)
		return ret;
	if (size == 0)
		return -ERANGE;
	if ((uintmax_t)size > PTRDIFF_MAX)
		return -ENOMEM;
	b.size = (size_t)size;
	b.base = map_readonly(fd, NULL, b.size);
	if (b.base == MAP_FAILED)
		return -ENOMEM;
	*blob = b;
	return 0;
}

void peal_blob_close(struct peal_blob *blob)
{
	if (blob->base)
		munmap(blob->base, blob->size);
	if (blob->flags & OWNED)
		close(blob->fd);
	memset(blob, 0, sizeof(*blob));
}
