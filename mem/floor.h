/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_MEM_FLOOR_H
#define PEAL_MEM_FLOOR_H
/* What mem/ offers to channel/, and users do not need. */
#include <stdbool.h>
#include <stddef.h>

#include <peal/mem.h>

/*
 * Verify that this process, or another process, has frozen this memory.
 * @param trusted  the process that had to freeze the memory is trusted. So
 *                 memory that is not frozen is accepted where the kernel cannot
 *                 freeze memory.
 * @return         0, -EPERM the memory is not frozen, -ERANGE the memory was
 *                 shrunk, or the errors of peal_mem_open()
 */
int peal_mem_verify(const struct peal_mem *mem, bool trusted);

/*
 * Fault frozen memory in, step by step. A page whose memory was freed by a
 * hole, punched before the freeze, is allocated again. The last step closes
 * the fd, because nothing needs the fd any more.
 * @param filled  bytes that are faulted in, 0 at first; this call adds to it
 * @param most    bytes to fault in now
 * @return        1 all is done, 0 there is more to do, -ENOMEM,
 *                -EOPNOTSUPP as for PEAL_MEM_PREFAULT
 */
int peal_mem_fill(struct peal_mem *mem, size_t *filled, size_t most);

#endif
