/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_EVA_H
#define PEAL_PROOF_EVA_H
/*
 * Before each source that Eva reads: what it does not know of the compiler and
 * of the system.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define __atomic_load_n(p, order) eva_load(p)
/*
 * Each atomic load is volatile: it gives any value, and another one the next
 * time. What the first load of the peer's position gives a driver says, which
 * tries all values in turn, since Eva knows more of one value than of an
 * interval.
 */
extern volatile int eva_any;
extern volatile uint64_t eva_word;
extern const void *eva_position;
extern uint64_t eva_first;
extern bool eva_told;
#ifdef EVA_RECORDS /* A driver that has another say in this. */
bool eva_is_record(const uint64_t *word);
uint64_t eva_record(void);
#endif
static uint64_t eva_load(const uint64_t *word)
{
#ifdef EVA_RECORDS
	if (eva_is_record(word))
		return eva_record();
#endif
	if (word == eva_position && !eva_told) {
		eva_told = true;
		return eva_first;
	}
	return *(const volatile uint64_t *)word;
}

#define __atomic_store_n(p, value, order) (*(p) = (value))
#define __atomic_thread_fence(order) ((void)0)
#define __atomic_signal_fence(order) ((void)0)
#define __builtin_expect(condition, likely) (condition)
#define __builtin_ia32_pause() ((void)0)
#define __GCC_ATOMIC_LLONG_LOCK_FREE 2
#define _Alignof(type) sizeof(type) /* of a uint64_t */

#define __builtin_mul_overflow(a, b, to)                                       \
	(*(to) = (a) * (b), (a) != 0 && (b) > UINT64_MAX / (a))
#define __builtin_add_overflow(a, b, to)                                       \
	(*(to) = (a) + (b), (b) > UINT64_MAX - (a))
#define __builtin_clzll(n) eva_clz(n)
static int eva_clz(uint64_t n)
{
	int zeros = 0;

	//@ loop unroll 65;
	while (zeros < 64 && n >> (63 - zeros) == 0)
		zeros++;
	return zeros;
}

#ifndef CLOCK_THREAD_CPUTIME_ID
#define CLOCK_THREAD_CPUTIME_ID 3
#endif
#define ETOOMANYREFS 109
#define SOCK_CLOEXEC 02000000
#define SOCK_NONBLOCK 04000
#define MSG_DONTWAIT 0x40
#define MSG_CMSG_CLOEXEC 0x40000000
#define F_SEAL_SEAL 1
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW 4
#define F_SEAL_WRITE 8
#define F_SEAL_FUTURE_WRITE 16
#define MEMBARRIER_CMD_GLOBAL 1
#define MEMBARRIER_CMD_GLOBAL_EXPEDITED 2
#define MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED 4
#define SYS_membarrier 324
#define SIOCOUTQ 0x5411

struct epoll_event {
	uint32_t events;
	union {
		uint32_t u32;
		uint64_t u64;
	} data;
};
#define EPOLLIN 0x1
#define EPOLLRDHUP 0x2000
#define EPOLLET (1u << 31)
#define EPOLL_CLOEXEC 02000000
#define EPOLL_CTL_ADD 1
int epoll_create1(int flags);
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int epoll_wait(int epfd, struct epoll_event *events, int most, int timeout_ms);

typedef struct {
	unsigned long bits[16];
} cpu_set_t;
#define CPU_COUNT(set) eva_any
int sched_getaffinity(int pid, size_t size, cpu_set_t *set);
long syscall(long number, ...);
struct signalfd_siginfo {
	uint32_t ssi_signo;
};
#endif
