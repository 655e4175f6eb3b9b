/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_OLDER_H
#define PEAL_TESTS_OLDER_H
/*
 * An older kernel, in so far as peal can tell: system calls, and arguments of
 * them, that came after it fail as they did then, for this process and its
 * children, for good. What a kernel did in another way is not imitated; for
 * that there is .ci/kernels.
 */
#include <stddef.h>

#include "memory.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#define OLDER_P_PIDFD 3
#define OLDER_PEERPIDFD 77
#define OLDER_PASSRIGHTS 83

#define LINUX(major, minor) ((major)*100 + (minor))

/* What came with a kernel, and how the kernels before refused it. */
struct novelty {
	int since;
	long number;
	int arg;
	uint32_t mask, value;
	int error;
};

/* As above, but of two arguments: without F_ADD_SEALS the third is anything. */
static inline void refuse_future_write(void)
{
	const uint32_t low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;
	const uint32_t args = offsetof(struct seccomp_data, args) + low;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FCNTL_NUMBER, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, args + 8),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_ADD_SEALS, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, args + 16),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, F_SEAL_FUTURE_WRITE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]),
				      .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		test_skip("seccomp: %s", strerror(errno));
}

static inline void become_older(int version)
{
	static const struct novelty novelties[] = {
		{ LINUX(4, 16), SYS_membarrier, 0, ~0u, 2, EINVAL },
		{ LINUX(4, 16), SYS_membarrier, 0, ~0u, 4, EINVAL },
		{ LINUX(5, 3), SYS_pidfd_open, 0, 0, 0, ENOSYS },
		{ LINUX(5, 4), SYS_waitid, 0, ~0u, OLDER_P_PIDFD, EINVAL },
		{ LINUX(5, 8), SYS_preadv2, 5, ~0u, RWF_NOWAIT, EOPNOTSUPP },
		{ LINUX(5, 9), SYS_close_range, 0, 0, 0, ENOSYS },
		{ LINUX(5, 11), SYS_epoll_pwait2, 0, 0, 0, ENOSYS },
		/* MADV_POPULATE_READ and _WRITE: 22 and 23 */
		{ LINUX(5, 14), SYS_madvise, 2, ~1u, 22, EINVAL },
		{ LINUX(6, 3), SYS_memfd_create, 1, MFD_NOEXEC_SEAL,
		  MFD_NOEXEC_SEAL, EINVAL },
		{ LINUX(6, 5), SYS_getsockopt, 2, ~0u, OLDER_PEERPIDFD,
		  ENOPROTOOPT },
		{ LINUX(6, 16), SYS_setsockopt, 2, ~0u, OLDER_PASSRIGHTS,
		  ENOPROTOOPT },
	};

	for (size_t i = 0; i < sizeof(novelties) / sizeof(novelties[0]); i++) {
		const struct novelty *n = &novelties[i];

		if (n->since > version)
			refuse(n->number, n->arg, n->mask, n->value, n->error);
	}
	if (version < LINUX(5, 1))
		refuse_future_write();
}

#endif
