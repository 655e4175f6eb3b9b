/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_SCHEDULE_HOOKS_H
#define PEAL_PROOF_SCHEDULE_HOOKS_H
/*
 * Included before everything else in the real sources of ring/ and reactor/:
 * what they do to shared words, and what they ask of the kernel, goes to a
 * world of our own (world.h), which says who runs next.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

uint64_t world_load(const volatile void *word, size_t size, int order,
		    const char *file, int line);
void world_store(volatile void *word, size_t size, uint64_t value, int order,
		 const char *file, int line);
/* '=' exchange, '|' or, '&' and, '+' add. @return what was there */
uint64_t world_change(volatile void *word, size_t size, int how, uint64_t value,
		      int order, const char *file, int line);
bool world_compare(volatile void *word, size_t size, void *expected,
		   uint64_t value, int order, const char *file, int line);
void world_fence(int order, const char *file, int line);
void world_compiler_fence(const char *file, int line);
void *world_copy(void *to, const void *from, size_t size, const char *file,
		 int line);
void world_relax(void); /* as in world.h */

#define PEAL_WORLD(type, call) ((__typeof__(type))(call))
#define PEAL_HERE __FILE__, __LINE__

#define __atomic_load_n(word, order)                                           \
	PEAL_WORLD(*(word), world_load(word, sizeof(*(word)), order, PEAL_HERE))
#define __atomic_store_n(word, value, order)                                   \
	world_store(word, sizeof(*(word)), (uint64_t)(value), order, PEAL_HERE)
#define __atomic_exchange_n(word, value, order)                                \
	PEAL_WORLD(*(word), world_change(word, sizeof(*(word)), '=',           \
					 (uint64_t)(value), order, PEAL_HERE))
#define __atomic_fetch_or(word, value, order)                                  \
	PEAL_WORLD(*(word), world_change(word, sizeof(*(word)), '|', value,    \
					 order, PEAL_HERE))
#define __atomic_fetch_and(word, value, order)                                 \
	PEAL_WORLD(*(word), world_change(word, sizeof(*(word)), '&', value,    \
					 order, PEAL_HERE))
#define __atomic_fetch_add(word, value, order)                                 \
	PEAL_WORLD(*(word), world_change(word, sizeof(*(word)), '+', value,    \
					 order, PEAL_HERE))
#define __atomic_compare_exchange_n(word, expected, value, weak, order, other) \
	world_compare(word, sizeof(*(word)), expected, (uint64_t)(value),      \
		      order, PEAL_HERE)
#define __atomic_thread_fence(order) world_fence(order, PEAL_HERE)
#define __atomic_signal_fence(order) world_compiler_fence(PEAL_HERE)
#define __builtin_ia32_pause() world_relax()
#define memcpy(to, from, size) world_copy(to, from, size, PEAL_HERE)

/* Renamed here, their own headers declare them: see kernel.h. */
#define clock_gettime world_clock_gettime
#define close world_close
#define epoll_create1 world_epoll_create1
#define epoll_ctl world_epoll_ctl
#define epoll_wait world_epoll_wait
#define eventfd world_eventfd
#define madvise world_madvise
#define mmap world_mmap
#define munmap world_munmap
#define pipe2 world_pipe2
#define poll world_poll
#define ppoll world_ppoll
#define preadv2 world_preadv2
#define pthread_sigmask world_pthread_sigmask
#define read world_read
#define recvmsg world_recvmsg
#define sched_getaffinity world_sched_getaffinity
#define send world_send
#define sigpending world_sigpending
#define sigtimedwait world_sigtimedwait
#define syscall world_syscall
#define timerfd_create world_timerfd_create
#define timerfd_settime world_timerfd_settime
#define write world_write

#endif
