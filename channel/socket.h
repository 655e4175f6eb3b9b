/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_CHANNEL_SOCKET_H
#define PEAL_CHANNEL_SOCKET_H
/*
 * Unix sockets of packets, as channels use them. Nothing here ever blocks but
 * peal_socket_wait().
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <peal/channel.h>

/* Fds in one packet at most: a memfd and two eventfds for each of two rings. */
#define PEAL_FDS 6

/* @return 0, -EINVAL, -ENAMETOOLONG */
int peal_socket_address(struct sockaddr_un *to, socklen_t *size,
			const char *address);
int peal_socket_make(void);
/* A duplicate of a foreign one, made fit. @return it, -ENOTSOCK, -EPROTOTYPE */
int peal_socket_adopt(int fd);
/* Bells that find it full count as rung, so it has to hold some. */
void peal_socket_enlarge(int fd);
/* Packets alone: no credentials, and where the kernel can no fds. What is
 * accepted inherits it. */
void peal_socket_refuse(int fd);
/*
 * Connect. While the server's queue is full, wait in the kernel until the
 * deadline; 0: do not wait.
 * @return the fd, -EAGAIN the queue was full until then, or an error of
 *         connect(2)
 */
int peal_socket_connect(const char *address, uint64_t deadline);
/* Whether that is our own user, of whom something is known. */
bool peal_socket_is_us(uid_t uid);
/* Who connected, as the kernel says; for sockets of accept(2) alone. */
void peal_socket_peer(int fd, struct peal_peer *peer);
/* That user alone, -1 where it is not known; and an fd of that process, -1
 * where the kernel has none. */
uid_t peal_socket_uid(int fd);
int peal_socket_pidfd(int fd);
/* Arms of an end for which the socket holds the bells, for `ends` of them. */
unsigned peal_socket_drain_every(int fd, unsigned ends);

/* @return 0, -EAGAIN, -EPIPE, ... */
int peal_socket_send(int fd, const void *packet, size_t size, const int *fds,
		     size_t n_fds);
/*
 * Receive a packet of exactly that size that brings no fds.
 * @return 0, -EAGAIN, -EPIPE it is the end, -EPROTO it is anything else: as
 * much of it as fits in is there, and the rest is zero
 */
int peal_socket_receive(int fd, void *packet, size_t size);
/* The same with fds, PEAL_FDS at most; -1 in those that did not come. On error
 * there are none. */
int peal_socket_receive_fds(int fd, void *packet, size_t size, int *fds);

/* @return 0, -ETIMEDOUT once peal_now() is past the deadline */
int peal_socket_wait(int fd, uint64_t deadline);
bool peal_socket_hung_up(int fd);
/*
 * Take leave: the other side can send no more. What it has sent is dropped, for
 * about a millisecond: where it has thousands of epoll sets on its end, each
 * packet that is freed walks them, also in close(2).
 * @return true: nothing is left, close it; false: again, later
 */
bool peal_socket_leave(int fd);
/* Has the other side read all that was sent? */
bool peal_socket_was_read(int fd);

#endif
