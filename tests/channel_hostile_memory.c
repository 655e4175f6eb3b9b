/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What can be done to memory that the server made, before it is sealed and
 * after; and to its fd.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>

#include <peal/channel.h>

#include "channel_hostile_rows.h"

#ifndef F_SEAL_WRITE
#define F_SEAL_WRITE 0x0008
#endif
#define NONSENSE 12345 /* advice that no kernel takes */
#define FREEZE (F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)
#define HOLE (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static void serve_it(const struct grip *grip)
{
	struct peal_page *p = (struct peal_page *)grip->base;

	enemy_open(grip);
	for (uint64_t i = 1; i <= 100; i++) {
		__atomic_store_n(&p->position, i, __ATOMIC_RELEASE);
		if (grip->bells[0] >= 0)
			(void)!write(grip->bells[0], &(uint64_t){ 1 }, 8);
		else
			send(grip->socket, "", 1, MSG_NOSIGNAL);
		AWAIT(count(&field->taken) >= i);
	}
}

/* -- before it is sealed */

/* Holes are charged to whoever touches them next. */
static void punch_then_seal(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	CHECK_EQ(fallocate(grip.memfd, HOLE, 0, (off_t)grip.size), 0);
	serve_it(&grip);
}

static void remove_then_seal(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	CHECK_EQ(madvise(grip.base, grip.size, MADV_REMOVE), 0);
	serve_it(&grip);
}

static const struct grip *punched;

static void *punch_on(void *arg)
{
	(void)arg;
	while (fallocate(punched->memfd, HOLE, 0, (off_t)punched->size) == 0)
		;
	return NULL;
}

/* Hole punching in a loop, which ends where the seal is set. */
static void punch_while_sealing(const struct attack *a)
{
	struct grip grip;
	pthread_t thread;

	enemy_grip(&grip, a->role, a->bells);
	punched = &grip;
	CHECK_EQ(pthread_create(&thread, NULL, punch_on, NULL), 0);
	sleep_us(1000);
	serve_it(&grip);
	pthread_join(thread, NULL);
}

/* It goes on while the server closes what was never sealed. */
static void punch_for_ever(const struct attack *a)
{
	struct grip grip;
	pthread_t thread;

	enemy_grip(&grip, a->role, a->bells);
	punched = &grip;
	CHECK_EQ(pthread_create(&thread, NULL, punch_on, NULL), 0);
	enemy_say_ready(&grip);
	until_release();
}

static void truncate_it(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	CHECK_ERRNO(EPERM, ftruncate(grip.memfd, 0));
	CHECK_ERRNO(EPERM, ftruncate(grip.memfd, (off_t)grip.size - 4096));
	serve_it(&grip);
}

static void grow_it(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	CHECK_ERRNO(EPERM, ftruncate(grip.memfd, 1 << 30));
	CHECK_ERRNO(EPERM, fallocate(grip.memfd, 0, 0, 1 << 30));
	serve_it(&grip);
}

/* All words and items, through the fd; then it is sealed, as is due. */
static void overwrite_then_seal(const struct attack *a)
{
	uint64_t random = test_seed();
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	for (size_t at = 0; at < grip.size; at += 8) {
		uint64_t word = test_random(&random);

		CHECK_EQ(pwrite(grip.memfd, &word, 8, (off_t)at), 8);
	}
	enemy_open(&grip);
}

/* -- lies about the seals */

static void say_sealed(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	if (a->n && enemy_seal(&grip, a->n) < 0)
		cannot("the kernel refuses such a seal");
	enemy_say_ready(&grip);
}

/* The server itself maps it for writing, and the kernel minds that. */
static void seal_all_writing(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	munmap(grip.base, grip.size);
	CHECK_ERRNO(EBUSY, enemy_seal(&grip, F_SEAL_WRITE));
	enemy_say_ready(&grip);
}

static void seal_more_than_due(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	enemy_seal(&grip, F_SEAL_EXEC);
	serve_it(&grip);
}

static void seal_too_late(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	enemy_say_ready(&grip);
	enemy_seal(&grip, FREEZE);
}

/* -- after it was sealed */

/* With F_SEAL_FUTURE_WRITE each of these attempts is EPERM. */
static void meddle(const struct attack *a)
{
	const int prot = PROT_READ | PROT_WRITE;
	struct grip grip;
	char path[64];
	bool real;
	void *ro;
	int fd;

	enemy_grip(&grip, a->role, a->bells);
	serve_it(&grip);
	real = madvise(grip.base, grip.size, NONSENSE) < 0;
	for (int i = 0; i < 20; i++) {
		CHECK_ERRNO(EPERM,
			    fallocate(grip.memfd, HOLE, 0, (off_t)grip.size));
		if (real) /* and not an emulator's */
			CHECK_ERRNO(EPERM,
				    madvise(grip.base, grip.size, MADV_REMOVE));
		CHECK_ERRNO(EPERM, ftruncate(grip.memfd, 0));
		CHECK_ERRNO(EPERM, ftruncate(grip.memfd, 1 << 20));
		CHECK_ERRNO(EPERM, pwrite(grip.memfd, "x", 1, 4096));
		CHECK_ERRNO(EPERM, mmap(NULL, grip.size, prot, MAP_SHARED,
					grip.memfd, 0));
		CHECK_ERRNO(EPERM, enemy_seal(&grip, F_SEAL_WRITE));
	}
	ro = mmap(NULL, grip.size, PROT_READ, MAP_SHARED, grip.memfd, 0);
	CHECK(ro != MAP_FAILED);
	CHECK_EQ(mprotect(ro, grip.size, prot), -1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", grip.memfd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		CHECK_ERRNO(EPERM,
			    mmap(NULL, grip.size, prot, MAP_SHARED, fd, 0));
		CHECK_ERRNO(EPERM, pwrite(fd, "x", 1, 0));
		close(fd);
	}
}

/* Mappings that it has it may move, copy and drop. */
static void remap(const struct attack *a)
{
	struct grip grip;
	void *copy;

	enemy_grip(&grip, a->role, a->bells);
	serve_it(&grip);
	copy = mremap(grip.base, 0, grip.size, MREMAP_MAYMOVE);
	if (copy != MAP_FAILED)
		memset((char *)copy + PEAL_RING_ITEMS_OFFSET, 0xff,
		       grip.size - PEAL_RING_ITEMS_OFFSET);
	madvise(grip.base, grip.size, MADV_DONTNEED);
#ifdef MADV_PAGEOUT
	madvise(grip.base, grip.size, MADV_PAGEOUT);
#endif
	munmap(grip.base, grip.size);
	close(grip.memfd);
}

/* -- pwrite(2) that stalls */

static char *stalled_page;
static int stalled_fd;
static int stalls;

static void *pwrite_stalled(void *arg)
{
	(void)arg;
	__atomic_store_n(&stalls, 1, __ATOMIC_RELEASE);
	(void)!pwrite(stalled_fd, stalled_page, page(), 0);
	return NULL;
}

static void stall_pwrite(int fd)
{
	pthread_t thread;
	int uffd;

	stalled_page = enemy_bottomless_page(&uffd);
	stalled_fd = fd;
	CHECK_EQ(pthread_create(&thread, NULL, pwrite_stalled, NULL), 0);
	AWAIT(flag(&stalls));
	enemy_wait_for_fault(uffd);
}

static void stall_and_say_ready(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	stall_pwrite(grip.memfd);
	enemy_say_ready(&grip);
}

static void stall_and_say_nothing(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	stall_pwrite(grip.memfd);
}

static void stall_and_hang_up(const struct attack *a)
{
	struct grip grip;

	enemy_grip(&grip, a->role, a->bells);
	stall_pwrite(grip.memfd);
	shutdown(grip.socket, SHUT_RDWR);
}

/* Where the kernel looks at the seal first there is nothing to stall. */
static void *pwrite_sealed(void *arg)
{
	(void)arg;
	(void)!pwrite(stalled_fd, stalled_page, page(), 0);
	__atomic_store_n(&stalls, 2, __ATOMIC_RELEASE);
	return NULL;
}

static void stall_when_sealed(const struct attack *a)
{
	struct grip grip;
	struct uffd_msg msg;
	pthread_t thread;
	int uffd;

	stalled_page = enemy_bottomless_page(&uffd);
	enemy_grip(&grip, a->role, a->bells);
	CHECK_EQ(enemy_seal(&grip, FREEZE), 0);
	stalled_fd = grip.memfd;
	CHECK_EQ(pthread_create(&thread, NULL, pwrite_sealed, NULL), 0);
	while (flag(&stalls) != 2 && read(uffd, &msg, sizeof(msg)) < 0)
		AWAIT(true);
	serve_it(&grip);
	if (a->n) /* and it is closed while it stalls */
		shutdown(grip.socket, SHUT_RDWR);
}

/* clang-format off */
const struct attack hostile_memory[] = {
	AS_NOBODY("holes punched, then sealed", punch_then_seal, HARMLESS, SENDS),
	AS_NOBODY("pages removed, then sealed", remove_then_seal, HARMLESS, SENDS),
	AS_NOBODY("holes punched while it is being sealed",
		  punch_while_sealing, HARMLESS, SENDS),
	AS_NOBODY("holes punched for ever, and not sealed", punch_for_ever,
		  -EPROTO, SENDS),
	ROW("memory truncated before it is sealed", truncate_it, HARMLESS, SENDS),
	ROW("memory grown before it is sealed", grow_it, HARMLESS, SENDS),
	AS_NOBODY("all of it overwritten, then sealed", overwrite_then_seal,
		  -EPROTO, SENDS),
	AS_NOBODY("ready, and not sealed", say_sealed, -EPROTO, SENDS),
	ROW("ready, and sealed but for the last seal", say_sealed, -EPROTO,
	    .n = F_SEAL_FUTURE_WRITE, SENDS),
	ROW("ready, and nothing but the last seal", say_sealed, -EPROTO,
	    .n = F_SEAL_SEAL, SENDS),
	ROW("sealed against all writing", seal_all_writing, -EPROTO, SENDS),
	ROW("sealed more than is due", seal_more_than_due, HARMLESS, SENDS),
	ROW("sealed after it was said to be", seal_too_late, HARMLESS,
	    .or_else = -EPROTO, SENDS),
	AS_NOBODY("meddling with memory that is sealed", meddle, HARMLESS, SENDS),
	AS_NOBODY("mappings copied, dropped and swapped out", remap, HARMLESS,
		  SENDS),
	ROW("a stalled pwrite, and ready", stall_and_say_ready, -EPROTO, SENDS),
	ROW("a stalled pwrite, and nothing more", stall_and_say_nothing,
	    -ETIMEDOUT, SENDS),
	ROW("a stalled pwrite, and gone", stall_and_hang_up, -EPIPE, SENDS),
	ROW("a stalled pwrite while the server works", stall_when_sealed,
	    HARMLESS, SENDS),
	ROW("a stalled pwrite while the server closes", stall_when_sealed,
	    -EPIPE, .n = 1, SENDS),
	{ 0 },
};
