/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* peal demo: its options, and the order in which everything happens. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "command.h"
#include "demo.h"
#include "options.h"

#define SECONDS_MAX 1000000
/* A memfd and two doorbells. */
#define FDS_PER_SENDER 3u
#define FDS_BESIDES 16u

int64_t demo_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* -- options */

static int set(void *user, int letter, const char *value)
{
	struct demo *demo = user;
	uint64_t n;
	int ret;

	switch (letter) {
	case 'N':
		ret = parse_count("--senders", value, DEMO_SENDERS_MAX, &n);
		demo->senders = ret == 0 ? (unsigned)n : 0;
		return ret;
	case 'S':
		return parse_seconds("--seconds", value, SECONDS_MAX,
				     &demo->seconds);
	default:
		demo->json = true;
		return 0;
	}
}

static const struct command_option options[] = {
	{ 'N', "senders", "N", "how many processes, 1 to 4096 (64)" },
	{ 'S', "seconds", "S",
	  "how many seconds, fractions allowed (3); each sender\n"
	  "finishes the file that it has begun" },
	{ 'j', "json", NULL, "print the summary as one JSON object" },
	{ 0 },
};

static const struct command_options command = {
	.command = "demo",
	.operands = "[FILE...]",
	.about = "Starts N processes that stream files, again and again, each "
		 "through a ring of\n"
		 "its own in shared memory, to one thread, which compares "
		 "every byte with its\n"
		 "own copy of the files. Without FILE these are the licenses "
		 "in\n"
		 "/usr/share/common-licenses and libpeal.so itself.\n"
		 "\n"
		 "The summary goes to stdout, all else to stderr. Files are "
		 "sent in blocks of 64\n"
		 "bytes, the last one filled up with zeros, which count and "
		 "are checked as well.",
	.options = options,
	.end = "Exit status: 0 nothing was lost or wrong, every sender ended "
	       "well, and there\n"
	       "were as many callbacks as transitions; 1 otherwise; 2 a "
	       "wrong argument.",
	.set = set,
};

/* -- before the senders are started */

static int allow_fds(unsigned senders)
{
	long open = count_entries("/proc/self/fd");
	rlim_t needed = (rlim_t)senders * FDS_PER_SENDER + FDS_BESIDES +
			(rlim_t)(open > 0 ? open : 3);
	struct rlimit limit;
	rlim_t allowed;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
		return 0;
	allowed = limit.rlim_max;
	limit.rlim_cur = needed;
	if (needed <= allowed && setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return 0;
	complain(
		"%u senders need %llu file descriptors, and no more than %llu "
		"are allowed. Use fewer --senders, or have the limit raised "
		"(ulimit -Hn, LimitNOFILE= of systemd).",
		senders, (unsigned long long)needed,
		(unsigned long long)allowed);
	return EXIT_USAGE;
}

const char *demo_hint(int error)
{
	switch (-error) {
	case EAGAIN:
	case ENFILE:
		return ". Use fewer --senders.";
	case EMFILE:
	case ENOMEM:
	case ENOSPC:
		return ". Use fewer --senders, or have the limit raised.";
	case ENOSYS:
	case EOPNOTSUPP:
		return ". This kernel lacks a system call, or it is forbidden.";
	default:
		return "";
	}
}

int demo_status(int error)
{
	return error == -ENOSYS || error == -EOPNOTSUPP ? EXIT_USAGE
							: EXIT_FAILURE;
}

/* Those that are ignored, as nohup(1) has it, stay so: blocked they would be
 * told to us. But of a child nothing could be known then. */
static void take_signals(sigset_t *signals)
{
	static const int wanted[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction old;

	sigemptyset(signals);
	signal(SIGCHLD, SIG_DFL);
	sigaddset(signals, SIGCHLD);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (sigaction(wanted[i], NULL, &old) == 0 &&
		    old.sa_handler != SIG_IGN)
			sigaddset(signals, wanted[i]);
}

static int prepare(struct demo *demo)
{
	size_t size = sizeof(*demo->shared) +
		      demo->senders * sizeof(demo->shared->tally[0]);
	void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigset_t signals;

	if (shared == MAP_FAILED)
		return -errno;
	demo->shared = shared;
	demo->rings = calloc(demo->senders, sizeof(*demo->rings));
	if (!demo->rings)
		return -ENOMEM;
	take_signals(&signals);
	sigprocmask(SIG_BLOCK, &signals, &demo->mask);
	demo->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (demo->signal_fd < 0 || pipe2(demo->gate, O_CLOEXEC) < 0)
		return -errno;
	return 0;
}

/* -- the senders */

static _Noreturn void live_as_sender(struct demo_ring *ring, pid_t parent)
{
	/* It may have died before we asked to be told. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(EXIT_FAILURE);
	_exit(demo_send(ring->demo, ring));
}

/* The ring is made, inherited by this one child, and by no later one. */
static int start_sender(struct demo_ring *ring)
{
	struct peal_geometry geometry = {
		.capacity = DEMO_CAPACITY,
		.item_size = DEMO_BLOCK,
		.tag = "block/64",
	};
	pid_t parent = getpid();
	int ret;

	snprintf(geometry.name, sizeof(geometry.name), "demo-%u", ring->number);
	ret = peal_local_init(&ring->local, &geometry);
	if (ret < 0) {
		complain("cannot make ring %u: %s%s", ring->number,
			 strerror(-ret), demo_hint(ret));
		return demo_status(ret);
	}
	ring->pid = fork();
	if (ring->pid == 0)
		live_as_sender(ring, parent);
	if (ring->pid < 0) {
		ret = -errno;
		complain("cannot start sender %u: %s%s%s", ring->number,
			 strerror(-ret), demo_hint(ret),
			 ret == -EAGAIN ? " Or have the limit of processes "
					  "raised (ulimit -u)."
					: "");
		return demo_status(ret);
	}
	if (madvise(ring->local.mem.base,
		    ring->local.mem.body_offset + 2 * ring->local.mem.body,
		    MADV_DONTFORK) < 0) {
		complain("cannot keep ring %u from other senders: %s",
			 ring->number, strerror(errno));
		return EXIT_FAILURE;
	}
	return 0;
}

/* Thousands take a while, in which the reactor does not look at signals. */
static int look_for_interrupt(const struct demo *demo)
{
	int number;

	do
		number = demo_next_signal(demo);
	while (number == SIGCHLD); /* it is looked for later */
	if (number == 0)
		return 0;
	complain("%s: gave up before all senders were started",
		 strsignal(number));
	return EXIT_FAILURE;
}

static int start_senders(struct demo *demo)
{
	int ret = 0;

	demo_progress_begin(demo);
	fflush(NULL); /* or else every child would have it to write */
	for (unsigned i = 0; i < demo->senders && ret == 0; i++) {
		struct demo_ring *ring = &demo->rings[i];

		ring->demo = demo;
		ring->number = i;
		ring->tally = &demo->shared->tally[i];
		ring->at = demo->text.files[i % demo->text.n_files].first;
		demo->started++;
		ret = start_sender(ring);
		if (ret == 0)
			ret = look_for_interrupt(demo);
	}
	return ret;
}

/* -- at the end */

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void clean_up(struct demo *demo)
{
	peal_reactor_close(&demo->loop);
	for (unsigned i = 0; i < demo->started; i++)
		peal_local_close(&demo->rings[i].local);
	close_fd(demo->signal_fd);
	close_fd(demo->gate[0]);
	close_fd(demo->gate[1]);
	free(demo->slots);
	free(demo->rings);
	if (demo->shared)
		munmap(demo->shared,
		       sizeof(*demo->shared) +
			       demo->senders * sizeof(demo->shared->tally[0]));
	demo_text_finish(&demo->text);
}

static int run(struct demo *demo)
{
	struct sigaction pipe;
	int ret;

	stderr_may_break(&pipe);
	ret = prepare(demo);
	if (ret < 0) {
		complain("cannot begin: %s%s", strerror(-ret), demo_hint(ret));
		return demo_status(ret);
	}
	ret = start_senders(demo);
	if (ret == 0)
		ret = demo_receive(demo);
	if (ret != 0) {
		demo->failed = DEMO_SENDERS_MAX; /* say no more */
		demo_kill_all(demo);
		demo_reap_all(demo);
		return ret;
	}
	demo_reap_all(demo);
	sigaction(SIGPIPE, &pipe, NULL);
	return demo_summary(demo);
}

int command_demo(int argc, char **argv)
{
	struct demo demo = {
		.senders = 64,
		.seconds = 3,
		.gate = { -1, -1 },
		.signal_fd = -1,
	};
	int ret = options_parse(&command, argc, argv, &demo);

	if (ret < 0)
		return EXIT_SUCCESS;
	if (ret == 0)
		ret = stdio_check(STDOUT_FILENO, O_WRONLY);
	if (ret == 0)
		ret = allow_fds(demo.senders);
	if (ret == 0)
		ret = demo_text_load(&demo.text, argv + optind,
				     (size_t)(argc - optind));
	if (ret == 0)
		ret = run(&demo);
	clean_up(&demo);
	return ret;
}
