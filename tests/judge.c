/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "harness.h"
#include "judge.h"

#if defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

#define NO_SECCOMP 77

volatile int *at;

#ifdef __x86_64__
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define DISPATCH_OFF 0
#define DISPATCH_ON 1
#define ALLOW 0
#define BLOCK 1

/*
 * The end of the handler is a system call, too, and it has to be one that is
 * never dispatched: this one, and no other.
 */
__asm__(".text\n"
	"guard_return:\n"
	"	mov $15, %eax\n" /* rt_sigreturn */
	"	syscall\n"
	"guard_return_end:\n");
extern char guard_return[] __attribute__((visibility("hidden")));
extern char guard_return_end[] __attribute__((visibility("hidden")));

/* As the kernel has it; the C library's has another return. */
struct kernel_sigaction {
	void (*handler)(int number, siginfo_t *info, void *context);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};
#define RESTORER 0x04000000ul

static volatile char selector;
static int allowed_fd;
static struct verdict *judged;

static void on_call(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;

	(void)signal;
	selector = ALLOW;
	if (info->si_syscall == SYS_write && (int)regs[REG_RDI] == allowed_fd) {
		ssize_t ret = write(allowed_fd, (void *)regs[REG_RSI],
				    (size_t)regs[REG_RDX]);

		regs[REG_RAX] = ret < 0 ? -errno : ret;
	} else if (!judged->caught) {
		judged->caught = true;
		judged->number = info->si_syscall;
		judged->line = *at;
	}
	selector = BLOCK;
}

static bool guard(bool on)
{
	struct kernel_sigaction action = {
		.handler = on_call,
		.flags = SA_SIGINFO | RESTORER,
		.restorer = (void (*)(void))(uintptr_t)guard_return,
	};

	if (!on)
		return prctl(PR_SET_SYSCALL_USER_DISPATCH, DISPATCH_OFF, 0, 0,
			     0) == 0;
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, DISPATCH_ON, guard_return,
		  (uintptr_t)guard_return_end - (uintptr_t)guard_return + 1,
		  &selector) < 0)
		return false;
	CHECK_EQ(syscall(SYS_rt_sigaction, SIGSYS, &action, NULL,
			 sizeof(action.mask)),
		 0);
	return true;
}

/* @return false: the kernel has no such thing */
static bool guarded(work_function *work, struct peal_local *local,
		    int but_write_to, struct verdict *verdict)
{
	allowed_fd = but_write_to;
	judged = verdict;
	if (!guard(true))
		return false;
	selector = BLOCK;
	verdict->wrong = work(local) != 0;
	selector = ALLOW;
	CHECK(guard(false));
	if (!verdict->caught)
		verdict->line = *at;
	return true;
}
#else
static bool guarded(work_function *work, struct peal_local *local,
		    int but_write_to, struct verdict *verdict)
{
	(void)work;
	(void)local;
	(void)but_write_to;
	(void)verdict;
	return false;
}
#endif

/* The half of an argument that an int stands in. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LOW_HALF 4
#else
#define LOW_HALF 0
#endif

/*
 * A test needs no look at the architecture: its own calls are all that it
 * judges.
 */
static bool forbid_system_calls(int but_write_to)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[0]) + LOW_HALF),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)but_write_to, 0,
			 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	/* Not a core dump for each call that is caught. */
	prctl(PR_SET_DUMPABLE, 0);
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

void judge_child(work_function *work, struct peal_local *local,
		 int but_write_to, struct verdict *verdict)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0) {
		if (!forbid_system_calls(but_write_to))
			_exit(NO_SECCOMP);
		/* Sanitizers have _exit() do more than that. */
		syscall(SYS_exit_group, work(local) == 0 ? 0 : 1);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SECCOMP)
		test_skip("neither dispatch nor seccomp filters here");
	verdict->caught = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
	verdict->wrong = !verdict->caught && status != 0;
	verdict->number = -1;
	verdict->line = *at;
}

struct verdict judge(work_function *work, struct peal_local *local,
		     int but_write_to)
{
	struct verdict verdict = { .number = -1 };

#ifdef SANITIZED
	test_skip("the race detector makes system calls of its own");
#endif
	*at = 0;
	if (!guarded(work, local, but_write_to, &verdict))
		judge_child(work, local, but_write_to, &verdict);
	return verdict;
}
