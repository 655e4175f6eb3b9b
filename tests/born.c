/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Run a command that is born into circumstances:
 *
 *	born [WHAT...] -- COMMAND [ARGUMENT...]
 *
 *	blocked SIGNAL		it is blocked
 *	ignored SIGNAL		it is ignored
 *	denied CALL ERROR	the system call fails, for good
 *
 * SIGINT, SIGTERM and SIGHUP are at their defaults otherwise: a shell has it
 * differently for what runs behind. Signals and errors are numbers or, of those
 * below, names. Status 77: this machine does not do that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ANY UINT32_MAX

struct call {
	const char *name;
	long number;
	uint32_t fd; /* or ANY */
};

/* Some names stand for several. */
static const struct call calls[] = {
#ifdef SYS_poll
	{ "poll", SYS_poll, ANY },
#else
	{ "poll", SYS_ppoll, ANY },
#endif
#ifdef SYS_epoll_wait
	{ "epoll_wait", SYS_epoll_wait, ANY },
#endif
	{ "epoll_wait", SYS_epoll_pwait, ANY },
#ifdef SYS_epoll_pwait2
	{ "epoll_wait", SYS_epoll_pwait2, ANY },
#endif
	{ "ppoll", SYS_ppoll, ANY },
	{ "read_stdin", SYS_read, 0 },
	{ "write_stdout", SYS_write, 1 },
	{ "write_stdout", SYS_writev, 1 },
	{ "memfd_create", SYS_memfd_create, ANY },
	{ "madvise", SYS_madvise, ANY },
	{ "eventfd", SYS_eventfd2, ANY },
#ifdef SYS_close_range
	{ "close_range", SYS_close_range, ANY },
#endif
};

static const struct {
	const char *name;
	int number;
} numbers[] = {
	{ "INT", SIGINT },    { "TERM", SIGTERM },  { "HUP", SIGHUP },
	{ "PIPE", SIGPIPE },  { "EIO", EIO },	    { "ENOMEM", ENOMEM },
	{ "EMFILE", EMFILE }, { "ENOSYS", ENOSYS }, { "EPERM", EPERM },
	{ "EAGAIN", EAGAIN }, { "EINVAL", EINVAL },
};

static int number_of(const char *name)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(name, numbers[i].name) == 0)
			return numbers[i].number;
	fprintf(stderr, "born: what is %s?\n", name);
	exit(99);
}

static void deny(const struct call *call, int error)
{
	size_t low = offsetof(struct seccomp_data, args) +
		     (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0);
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call->number, 0,
			 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)low),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call->fd, 0,
			 call->fd == ANY ? 0 : 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]),
				      .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		exit(77);
}

static void deny_all(const char *name, int error)
{
	bool known = false;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(name, calls[i].name) != 0)
			continue;
		deny(&calls[i], error);
		known = true;
	}
	if (!known)
		exit(99);
}

int main(int argc, char **argv)
{
	sigset_t blocked;
	int i = 1;

	(void)argc;
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	sigemptyset(&blocked);
	while (argv[i] && strcmp(argv[i], "--") != 0) {
		const char *what = argv[i++];

		if (strcmp(what, "blocked") == 0) {
			sigaddset(&blocked, number_of(argv[i++]));
		} else if (strcmp(what, "ignored") == 0) {
			signal(number_of(argv[i++]), SIG_IGN);
		} else if (strcmp(what, "denied") == 0) {
			deny_all(argv[i], number_of(argv[i + 1]));
			i += 2;
		} else {
			return 99;
		}
	}
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	if (!argv[i] || !argv[i + 1])
		return 99;
	execvp(argv[i + 1], argv + i + 1);
	perror(argv[i + 1]);
	return 127;
}
