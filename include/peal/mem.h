/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_MEM_H
#define PEAL_MEM_H
/**
 * @file
 * Memory that can be shared: memfds, sealed, mapped once or twice in a row,
 * and blobs that are written once and then read-only for ever.
 *
 * A piece of such memory is a body, and bytes before the body. The body can be
 * mapped twice, the second time right behind the first. So a span that begins
 * near the end of the body goes on at its beginning without being split:
 *
 *	struct peal_mem mem;
 *	int error = peal_mem_create(&mem, "camera", 8192, 1 << 20,
 *				    PEAL_MEM_TWICE | PEAL_MEM_PREFAULT);
 *
 *	if (error)
 *		errx(1, "no memory to share: %s", strerror(-error));
 *	char *body = (char *)mem.base + mem.body_offset;
 *	body[0] = 1;			// and body[1 << 20] is 1 as well
 *	peal_mem_close(&mem);
 *
 * Caveats: memory that was made can be neither shrunk nor grown. So no process
 * can turn an access of another process into SIGBUS that way. A process that
 * holds the fd can punch holes into the memory until peal_mem_seal() was
 * called. A hole, in a sealed blob as well, costs memory when a process touches
 * the hole, and the kernel charges the process that touches it. So check the
 * size of memory that strangers send.
 *
 * The compiler does not know that a body mapped twice is one memory, and may
 * move a load from one address before a store to the other. In one thread put
 * atomic_signal_fence() between them; threads that order their accesses with
 * atomics, as the ends of a ring do, need nothing more.
 *
 * Context: every function here makes system calls. None allocates from the
 * heap, and none keeps state of its own. So any thread may call them.
 */
#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** Map the body twice in a row. Its size must be a multiple of the page. */
#define PEAL_MEM_TWICE 0x01u
/** Pages of 2 MiB, from the pool that the administrator reserved. */
#define PEAL_MEM_HUGE_2M 0x02u
/** Pages of 1 GiB, likewise. */
#define PEAL_MEM_HUGE_1G 0x04u
/** Lock the pages: mlock(2), within RLIMIT_MEMLOCK. Mapped twice counts twice.
 */
#define PEAL_MEM_LOCK 0x08u
/** Touch every page now: a lack of memory is an error here, not SIGBUS later.*/
#define PEAL_MEM_PREFAULT 0x10u
/** peal_mem_open() only: map the memory for reading alone. */
#define PEAL_MEM_READONLY 0x20u
/** peal_mem_open() only: the memory must be sealed by peal_mem_seal(). */
#define PEAL_MEM_SEALED 0x40u

/** Memory that is mapped here. All zero is valid: no memory. */
struct peal_mem {
	void *base;	    /* ro: the first byte */
	size_t body_offset; /* ro: bytes before the body */
	size_t body;	    /* ro: bytes, counted once */
	int fd;		    /* ro: the memfd */
	unsigned flags;	    /* private */
	size_t mapped;	    /* private: bytes of address space */
};

/**
 * The size of the pages that memory with these flags is made of.
 * @param flags  PEAL_MEM_HUGE_2M, PEAL_MEM_HUGE_1G or neither count
 * @return       bytes, a power of two
 */
size_t peal_mem_page(unsigned flags);

/**
 * Make a memfd and map it.
 * @param mem          filled in on success, untouched on failure
 * @param name         shown in /proc as "memfd:peal:NAME", at most 200 bytes
 * @param body_offset  bytes before the body; with PEAL_MEM_TWICE a multiple of
 *                     peal_mem_page(flags)
 * @param body         bytes; likewise, and not 0
 * @param flags        PEAL_MEM_TWICE, _HUGE_2M or _HUGE_1G, _LOCK, _PREFAULT
 * @return             0, or
 *	-EINVAL      a flag that is unknown or does not fit here, no body, with
 *	             PEAL_MEM_TWICE a size that is no multiple of the page, both
 *	             kinds of huge pages
 *	-ENAMETOOLONG  the name
 *	-EOVERFLOW   the sizes do not fit into the address space
 *	-EFBIG       larger than RLIMIT_FSIZE allows (no SIGXFSZ is raised)
 *	-ENOMEM      memory, huge pages or address space are used up, or
 *	             RLIMIT_MEMLOCK is too small
 *	-EPERM       PEAL_MEM_LOCK, and RLIMIT_MEMLOCK is 0
 *	-EOPNOTSUPP  huge pages need a kernel that has them; PEAL_MEM_PREFAULT
 *	             needs madvise(2) or futex(2), and a sandbox refuses both
 *	-EMFILE, -ENFILE  no fd left
 * The memory is zero. Its size is the sum of body_offset and body. With huge
 * pages the size is rounded up to whole pages. The fd belongs to mem. The fd is
 * close-on-exec, and is sealed against shrinking and growing. Where the kernel
 * knows MFD_NOEXEC_SEAL the fd cannot be made executable.
 */
int peal_mem_create(struct peal_mem *mem, const char *name, size_t body_offset,
		    size_t body, unsigned flags);

/**
 * Freeze the memory. From now on no process, the caller included, can punch
 * holes in the memory, write(2) to it, map it for writing anew, or seal it
 * further. Mappings that exist stay as they are, and fork(2) inherits them.
 * @return  0, -EPERM the memory was frozen already, -EINVAL the memory is
 *          mapped for reading alone or not at all, -EOPNOTSUPP this needs
 *          Linux 5.1
 * fcntl(F_ADD_SEALS) hangs while another process sits in a write to the same
 * memfd. So call this only if no hostile process holds the memory yet, or if
 * the maker of the memory is trusted.
 */
int peal_mem_seal(struct peal_mem *mem);

/**
 * Map a memfd that somebody else made, after verifying what it is.
 * @param mem          filled in on success, untouched on failure
 * @param fd           borrowed, and never changed: keep it open as long as you
 *                     may call peal_mem_seal()
 * @param body_offset  bytes before the body, as its maker says
 * @param body         bytes, likewise
 * @param flags        as for peal_mem_create(), and _READONLY, _SEALED
 * @return             0, or, besides the errors of peal_mem_create(),
 *	-EINVAL      PEAL_MEM_SEALED without _READONLY: a frozen memfd cannot be
 *	             mapped in any other way
 *	-EBADF       no such fd
 *	-EBADMSG     not a memfd, or a memfd that cannot be sealed, or not of
 *	             pages of that size
 *	-EPERM       the seals of the memfd are not exactly those that
 *	             peal_mem_create() sets, or, with PEAL_MEM_SEALED, those of
 *	             peal_mem_seal()
 *	-ERANGE      the size of the memfd is not that of body_offset and body
 *	-EACCES      the fd is open for reading alone, and _READONLY is missing
 * Nothing is mapped, and fstat(2) is not called, before the seals prove that
 * the fd is a memfd.
 */
int peal_mem_open(struct peal_mem *mem, int fd, size_t body_offset, size_t body,
		  unsigned flags);

/** Unmap the memory, and close the fd if mem owns it. mem is all zero then. */
void peal_mem_close(struct peal_mem *mem);

/**
 * Bytes that are written once, then sealed, then read-only for everybody.
 * All zero is valid: no blob.
 */
struct peal_blob {
	void *base;	/* ro: writable until peal_blob_seal() */
	size_t size;	/* ro: bytes */
	int fd;		/* ro: to hand over a sealed blob; -1: opened */
	unsigned flags; /* private */
};

/**
 * Make a blob to be filled in.
 * @param blob  filled in on success, untouched on failure
 * @param name  shown in /proc as "memfd:peal:NAME", at most 200 bytes
 * @param size  bytes, not 0
 * @return      0, or the errors of peal_mem_create()
 * The fd belongs to the blob; do not hand it over before peal_blob_seal().
 */
int peal_blob_create(struct peal_blob *blob, const char *name, size_t size);

/**
 * End the writing: the blob is mapped for reading alone, at the same address,
 * and sealed against every change for good.
 * @return  0, -EINVAL not a blob that is being filled in, -EBUSY another
 *          process (such as a forked child) has the blob mapped for writing, or
 *          I/O into the blob is under way, -EPERM another process has sealed
 *          the blob, -ENOMEM
 * On failure the blob stays writable and mapped. No other thread may write to
 * the blob during this call.
 */
int peal_blob_seal(struct peal_blob *blob);

/**
 * Map a sealed blob that somebody else made, after verifying its seals.
 * @param blob  filled in on success, untouched on failure
 * @param fd    borrowed: you may close the fd afterwards
 * @return      0, -EBADF no such fd, -EBADMSG not a memfd, -EPERM not sealed
 *              against every change, -ERANGE the blob is empty, -ENOMEM
 */
int peal_blob_open(struct peal_blob *blob, int fd);

/** Unmap the blob, and close the fd if blob owns it. blob is all zero then. */
void peal_blob_close(struct peal_blob *blob);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
