/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_SCHEDULE_KERNEL_H
#define PEAL_PROOF_SCHEDULE_KERNEL_H
/* What the kernel is asked for, by whom it was renamed in hooks.h. */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

void kernel_init(void);
/* When a timer fires, or UINT64_MAX. */
uint64_t kernel_next_timer(void);
/* One in so many calls is interrupted; 0: none. */
void kernel_interrupt(uint64_t one_in);

/* Two ends of a socket that hold so many packets each. */
void kernel_socketpair(int fds[2], unsigned holds);
void kernel_pipe(int fds[2], unsigned holds);
/* An fd that hangs up when that thread is gone. */
int kernel_lifeline(int thread);
/* How often was this end rung? */
unsigned kernel_rings(int fd);
/* Bells that bring no order with them, as in the models. */
void kernel_plain_bells(bool plain);
/* From now on that thread's calls of membarrier(2) fail. */
void kernel_no_barriers(int thread);

int world_clock_gettime(clockid_t clock, struct timespec *ts);
int world_close(int fd);
int world_epoll_create1(int flags);
int world_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int world_epoll_wait(int epfd, struct epoll_event *events, int most,
		     int timeout);
int world_eventfd(unsigned count, int flags);
int world_madvise(void *at, size_t size, int advice);
void *world_mmap(void *at, size_t size, int prot, int flags, int fd, off_t off);
int world_munmap(void *at, size_t size);
int world_pipe2(int fds[2], int flags);
int world_poll(struct pollfd *pfds, nfds_t n, int timeout);
int world_ppoll(struct pollfd *pfds, nfds_t n, const struct timespec *timeout,
		const sigset_t *mask);
ssize_t world_preadv2(int fd, const struct iovec *iov, int n, off_t offset,
		      int flags);
int world_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
ssize_t world_read(int fd, void *buffer, size_t size);
ssize_t world_recvmsg(int fd, struct msghdr *message, int flags);
int world_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
ssize_t world_send(int fd, const void *buffer, size_t size, int flags);
int world_sigpending(sigset_t *set);
int world_sigtimedwait(const sigset_t *set, siginfo_t *info,
		       const struct timespec *timeout);
long world_syscall(long number, ...);
int world_timerfd_create(int clock, int flags);
int world_timerfd_settime(int fd, int flags, const struct itimerspec *value,
			  struct itimerspec *old);
ssize_t world_write(int fd, const void *buffer, size_t size);

#endif
