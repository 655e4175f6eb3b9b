/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A sender: a child that streams files through its ring. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "demo.h"

#ifndef SYS_close_range /* Linux 5.9 */
#define SYS_close_range 436
#endif

static void put(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_relaxed);
}

static void publish_stats(struct demo_ring *ring)
{
	struct peal_ring_stats stats;

	peal_sender_stats(&ring->local.sender, &stats);
	put(&ring->tally->doorbells, stats.doorbells);
}

static int fail(struct demo_ring *ring, size_t file, enum demo_step step,
		int error)
{
	ring->tally->error = error;
	ring->tally->file = (unsigned)file;
	ring->tally->step = step;
	return -1;
}

static void close_fds(unsigned first, unsigned last)
{
	/* Where the kernel has it not, they are merely held for longer. */
	if (first <= last)
		syscall(SYS_close_range, first, last, 0u);
}

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Let go of what the parent has open for itself and for other senders. Of the
 * gate's other end at any rate: it opens when nobody holds that. */
static void close_others(const struct demo_ring *ring)
{
	int keep[] = { ring->local.data.ring_fd, ring->local.space.wait_fd,
		       ring->demo->gate[0] };
	unsigned next = STDERR_FILENO + 1;

	close(ring->demo->gate[1]);
	qsort(keep, 3, sizeof(keep[0]), compare_fds);
	for (int i = 0; i < 3; i++) {
		close_fds(next, (unsigned)keep[i] - 1);
		next = (unsigned)keep[i] + 1;
	}
	close_fds(next, ~0u);
}

/* What came already is forgotten, which is what ignoring does. */
static void forget(int number)
{
	struct sigaction old;

	if (sigaction(number, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
		return;
	signal(number, SIG_IGN);
	signal(number, SIG_DFL);
}

/* A group of its own: what the terminal sends is for the parent. */
static void leave_signals_to_parent(const sigset_t *mask)
{
	setpgid(0, 0);
	forget(SIGINT);
	forget(SIGTERM);
	forget(SIGHUP);
	sigprocmask(SIG_SETMASK, mask, NULL);
}

/* Until all have been started, so that all have the same time. */
static void wait_for_start(const struct demo_ring *ring)
{
	char byte;

	while (read(ring->demo->gate[0], &byte, 1) < 0 && errno == EINTR)
		;
	close(ring->demo->gate[0]);
}

/* Not the file of which the parent made a copy? Better said than "wrong". */
static bool changed(const struct demo_file *file, int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 || st.st_dev != file->device ||
	       st.st_ino != file->inode || (uint64_t)st.st_size != file->size ||
	       st.st_mtim.tv_sec != file->modified.tv_sec ||
	       st.st_mtim.tv_nsec != file->modified.tv_nsec;
}

/* read(2) until there is so much. @return how much, less at the file's end */
static ssize_t read_all(int fd, unsigned char *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t ret = read(fd, to + done, size - done);

		if (ret < 0 && errno != EINTR)
			return -1;
		if (ret == 0)
			break;
		if (ret > 0)
			done += (size_t)ret;
	}
	return (ssize_t)done;
}

/* The kernel copies from the file into the ring; nobody else does. */
static int send_rest(struct demo_ring *ring, size_t number, int fd)
{
	struct peal_sender *tx = &ring->local.sender;
	uint64_t left = ring->demo->text.files[number].size;
	uint64_t sent = ring->tally->sent;

	while (left > 0 && !ring->demo->shared->stop) {
		unsigned char *span;
		ssize_t n = peal_sender_wait(tx, 1, -1, &span);
		size_t size, blocks;
		int ret;

		if (n < 0)
			return fail(ring, number, DEMO_STEP_WAIT, (int)-n);
		size = (size_t)n * DEMO_BLOCK;
		if (size > left)
			size = (size_t)left;
		n = read_all(fd, span, size);
		if (n < 0)
			return fail(ring, number, DEMO_STEP_READ, errno);
		if ((size_t)n < size)
			return fail(ring, number, DEMO_STEP_CHANGED, 0);
		blocks = (size + DEMO_BLOCK - 1) / DEMO_BLOCK;
		memset(span + size, 0, blocks * DEMO_BLOCK - size);
		ret = peal_sender_commit(tx, blocks);
		sent += blocks * DEMO_BLOCK;
		put(&ring->tally->sent, sent);
		if (ret < 0)
			return fail(ring, number, DEMO_STEP_COMMIT, -ret);
		left -= size;
	}
	return 0;
}

static int send_file(struct demo_ring *ring, size_t number)
{
	const struct demo_file *file = &ring->demo->text.files[number];
	int fd = open(file->path, O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return fail(ring, number, DEMO_STEP_OPEN, errno);
	if (changed(file, fd))
		ret = fail(ring, number, DEMO_STEP_CHANGED, 0);
	else
		ret = send_rest(ring, number, fd);
	close(fd);
	publish_stats(ring);
	return ret;
}

int demo_send(struct demo *demo, struct demo_ring *ring)
{
	size_t file = ring->number % demo->text.n_files;
	int ret;

	leave_signals_to_parent(&demo->mask);
	close_others(ring);
	/* Both ends are attached, by our parent. So peal top knows us. */
	peal_sender_attach(&ring->local.sender, &ring->local.ring,
			   &ring->local.data, &ring->local.space);
	peal_sender_set_barriers(&ring->local.sender, true);
	/* Let one wake-up be worth half a ring. */
	peal_sender_set_watermark(&ring->local.sender,
				  ring->local.ring.geometry.capacity / 2);
	wait_for_start(ring);
	do {
		ret = send_file(ring, file);
		file = (file + 1) % demo->text.n_files;
	} while (ret == 0 && !demo->shared->stop &&
		 demo_now() < demo->shared->deadline);
	if (ret < 0)
		return EXIT_FAILURE; /* the parent sees that we are gone */
	peal_sender_finish(&ring->local.sender);
	publish_stats(ring);
	return EXIT_SUCCESS;
}

void demo_send_explain(const struct demo *demo, const struct demo_tally *tally,
		       char *text, size_t size)
{
	const char *path = demo->text.files[tally->file].path;
	const char *error = strerror(tally->error);
	int step = tally->step;

	switch (step) {
	case DEMO_STEP_OPEN:
		snprintf(text, size, "cannot open %s: %s", path, error);
		break;
	case DEMO_STEP_READ:
		snprintf(text, size, "cannot read %s: %s", path, error);
		break;
	case DEMO_STEP_CHANGED:
		snprintf(text, size, "%s was changed meanwhile. Copy it first.",
			 path);
		break;
	case DEMO_STEP_WAIT:
		snprintf(text, size, "cannot wait for room: %s", error);
		break;
	case DEMO_STEP_COMMIT:
		snprintf(text, size, "cannot ring the receiver: %s", error);
		break;
	default:
		snprintf(text, size, "ended before its time");
	}
}
