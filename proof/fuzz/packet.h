/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_PACKET_H
#define PEAL_PROOF_PACKET_H
/* Packets by hand, for the two sides of a handshake. */
#include "../../channel/internal.h"
#include "fuzz.h"

/* More than are ever wanted. */
#define PACKET_FDS 8
#define PACKET_MAX 1024

/* Two ends that do not block. */
void packet_pair(int pair[2]);
/* Write over some of these bytes, as the input says. */
void packet_patch(struct input *in, void *packet, size_t size);
/* @return bytes sent, or -errno */
int packet_send(int fd, const void *packet, size_t size, const int *fds,
		size_t n);
/* As it comes, with as many fds as are wanted; -1 in those that are not there.
 * @return bytes or -errno */
int packet_receive(int fd, void *packet, size_t size, int *fds, size_t n);
/* Drop all that is there to be read, but keep fds out. */
void packet_drain(int fd);
/* It ends, and a terminal can show it. */
void check_text(const char *text, size_t size);

#endif
