/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_MEM_MEMFD_H
#define PEAL_MEM_MEMFD_H
/* Making memfds, and finding out what somebody else's fd is. */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Newer than the C library's headers may be. */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/*
 * The seals of each kind of memory, no more and no less. MFD_NOEXEC_SEAL adds
 * another one where the kernel knows it, which is left out of comparisons.
 */
enum peal_seals {
	PEAL_SEALS_SIZED = F_SEAL_SHRINK | F_SEAL_GROW,
	PEAL_SEALS_FROZEN = PEAL_SEALS_SIZED | F_SEAL_FUTURE_WRITE |
			    F_SEAL_SEAL,
	PEAL_SEALS_BLOB = PEAL_SEALS_SIZED | F_SEAL_WRITE | F_SEAL_SEAL,
};

/*
 * A memfd "peal:NAME" of that size, close-on-exec, sealed PEAL_SEALS_SIZED.
 * `huge`: flags of memfd_create(2) for huge pages, or 0.
 * @return the fd, or the errors of peal_mem_create()
 */
int peal_memfd_create(const char *name, size_t size, unsigned huge);

/*
 * Is it a memfd with exactly these seals, of pages of that size? Safe with an
 * fd from an enemy: nothing but F_GET_SEALS is called before the seals prove
 * that it is a memfd, and nothing at all changes it.
 * @return 0 and its size, -EBADF, -EBADMSG or -EPERM as peal_mem_open()
 */
int peal_memfd_verify(int fd, enum peal_seals seals, size_t page, off_t *size);

/* Can this kernel freeze memory? It asks it, by a memfd of its own. */
bool peal_memfd_freezes(void);

struct peal_mem;
/*
 * Memory that is frozen: fault it in, step by step, with the holes that were
 * punched before; at the end close the fd, for which there is no more use.
 * @param filled  bytes that are done, 0 at first
 * @param most    bytes to be done now
 * @return        1 all is done, 0 there is more, -ENOMEM, -EOPNOTSUPP as
 *                PEAL_MEM_PREFAULT
 */
int peal_mem_fill(struct peal_mem *mem, size_t *filled, size_t most);

#endif
