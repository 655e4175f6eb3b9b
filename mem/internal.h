/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_MEM_INTERNAL_H
#define PEAL_MEM_INTERNAL_H
/*
 * The files of mem/:
 *
 *	memfd.c	 make a memfd, verify the seals of a memfd that somebody made
 *	mem.c	 map a memfd once or twice in a row, fault it in, freeze it
 *	blob.c	 bytes that are written once, then sealed
 *	floor.h	 what mem/ offers to channel/
 */
#include <fcntl.h>
#include <stddef.h>
#include <sys/types.h>

#include "floor.h"

/* The C library's headers may be older than the kernel. */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/*
 * The exact seals of each kind of memory. A comparison leaves F_SEAL_EXEC out:
 * MFD_NOEXEC_SEAL adds that seal where the kernel knows it.
 */
enum peal_seals {
	PEAL_SEALS_SIZED = F_SEAL_SHRINK | F_SEAL_GROW,
	PEAL_SEALS_FROZEN = PEAL_SEALS_SIZED | F_SEAL_FUTURE_WRITE |
			    F_SEAL_SEAL,
	PEAL_SEALS_BLOB = PEAL_SEALS_SIZED | F_SEAL_WRITE | F_SEAL_SEAL,
};

/*
 * Make a memfd "peal:NAME", close-on-exec, sealed PEAL_SEALS_SIZED.
 * @param size  bytes
 * @param huge  flags of memfd_create(2) for huge pages, or 0
 * @return      the fd, or the errors of peal_mem_create()
 */
int peal_memfd_create(const char *name, size_t size, unsigned huge);

/*
 * Verify that an fd is a memfd with exactly these seals. The fd may come from
 * an enemy: until the seals prove that the fd is a memfd, the function calls
 * F_GET_SEALS and nothing else. The function never changes the fd.
 * @param page  bytes of the pages that the memfd must have
 * @param size  bytes of the memfd, filled in on success
 * @return      0, -EBADF, -EBADMSG or -EPERM as peal_mem_open()
 */
int peal_memfd_verify(int fd, enum peal_seals seals, size_t page, off_t *size);

/* Ask the kernel, with a memfd made for that, whether it can freeze memory. */
bool peal_memfd_freezes(void);

#endif
