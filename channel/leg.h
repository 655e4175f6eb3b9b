/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_CHANNEL_LEG_H
#define PEAL_CHANNEL_LEG_H
/*
 * One ring of a channel with its memory and its doorbells: made by the server,
 * opened and sealed by the client, checked by the server.
 */
#include <peal/channel.h>

#include "wire.h"

/*
 * Server: make a ring that nobody else holds yet.
 * @param geometry  as wanted; a capacity of 0 is not
 * @param mem       PEAL_MEM_HUGE_2M, _LOCK
 * @param socket    -1: make eventfds; otherwise the doorbell of both ends
 * @return          0, or the errors of peal_geometry_fit(), peal_mem_create()
 *                  and peal_doorbell_init(); and then nothing is left
 */
int peal_channel_ring_make(struct peal_channel_ring *cr,
			   const struct peal_geometry *geometry, unsigned mem,
			   int socket);
/* What to tell the client. @return how many fds */
size_t peal_channel_ring_describe(const struct peal_channel_ring *cr,
				  struct peal_wire_ring *ring, int *fds);
/*
 * Server: is it sealed as the client says? Before Linux 5.1 it cannot be, and
 * a client that is trusted need not. @return 0, -EPROTO
 */
int peal_channel_ring_check_seals(const struct peal_channel_ring *cr);
/*
 * Fault it in, when there can be no more holes: a lack of memory is an error
 * here, not SIGBUS later. Then the memory's fd is closed.
 * @param most  bytes to be done now
 * @return      1 all is done, 0 there is more, -ENOMEM
 */
int peal_channel_ring_fill(struct peal_channel_ring *cr, size_t most);
/*
 * Client: verify what the server made, map and seal it. The memory's fd is
 * closed; the bells' become the cr's. On failure all fds are closed.
 * @param fds  those of this ring, as peal_channel_ring_describe() put them
 * @return     0, -EPROTO and a text, -EOPNOTSUPP and a text: the kernel cannot
 *             seal it, and the server is not trusted; -ENOMEM, ...
 */
int peal_channel_ring_open(struct peal_channel_ring *cr,
			   const struct peal_wire_ring *ring,
			   const struct peal_geometry *wanted, const int *fds,
			   int socket, char *text);
void peal_channel_ring_close(struct peal_channel_ring *cr);
/* Bytes of memory. */
static inline uint64_t peal_channel_ring_bytes(
	const struct peal_channel_ring *cr)
{
	return cr->mem.head + cr->mem.body;
}

#endif
