/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The library allocates nothing. Here malloc(3) and its family are our own:
 * they count their calls and hand out a static array piece by piece, so that
 * whatever the C library needs for itself still works.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <peal/peal.h>

#include "fixtures/harness.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||     \
	__has_feature(memory_sanitizer)
#define SANITIZED
#endif
#endif

static unsigned long calls;

#ifndef SANITIZED
#define ALIGNMENT 64u

static _Alignas(ALIGNMENT) unsigned char heap[16 << 20];
static size_t heap_used;

/* In front of each block stands its size. */
void *malloc(size_t size)
{
	size_t need = ALIGNMENT +
		      (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	size_t at;

	__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
	if (size > sizeof(heap))
		return NULL;
	at = __atomic_fetch_add(&heap_used, need, __ATOMIC_SEQ_CST);
	if (at > sizeof(heap) - need)
		return NULL;
	memcpy(heap + at, &size, sizeof(size));
	return heap + at + ALIGNMENT;
}

/* The array is zero, and nothing of it is used twice. */
void *calloc(size_t n, size_t size)
{
	size_t total;

	return __builtin_mul_overflow(n, size, &total) ? NULL : malloc(total);
}

void *realloc(void *old, size_t size)
{
	void *block = malloc(size);
	size_t before;

	if (!old || !block)
		return block;
	memcpy(&before, (unsigned char *)old - ALIGNMENT, sizeof(before));
	return memcpy(block, old, before < size ? before : size);
}

void free(void *block)
{
	if (block)
		__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
}
#endif

static unsigned long count(void)
{
#ifdef SANITIZED
	test_skip("sanitizers have a malloc of their own");
#endif
	return __atomic_load_n(&calls, __ATOMIC_SEQ_CST);
}

TEST(a_planted_allocation_is_counted)
{
	unsigned long before = count();
	/* Volatile, so that no compiler sees through it. */
	void *(*volatile allocate)(size_t size) = malloc;
	void *(*volatile resize)(void *old, size_t size) = realloc;
	void *(*volatile zeroed)(size_t n, size_t size) = calloc;
	void (*volatile release)(void *block) = free;

	release(resize(allocate(10), 20));
	CHECK_EQ(count() - before, 3);
	release(zeroed(2, 10));
	CHECK_EQ(count() - before, 5);
}

struct item {
	uint64_t number;
};

static bool fill(void *item, void *user)
{
	((struct item *)item)->number = *(uint64_t *)user;
	return true;
}

static bool take(const void *item, void *user)
{
	return ((const struct item *)item)->number == *(uint64_t *)user;
}

static void use_every_call(struct peal_local *l)
{
	struct item items[3] = { { 1 }, { 2 }, { 3 } }, *room;
	const struct item *data;
	struct peal_ring_stats stats;
	uint64_t number = 7;

	CHECK(peal_sender_reserve(&l->sender, 1, &room) > 0);
	*room = items[0];
	CHECK_EQ(peal_sender_commit(&l->sender, 1), 0);
	CHECK_EQ(peal_receiver_wait(&l->receiver, 1, -1, &data), 1);
	CHECK_EQ(data->number, 1);
	CHECK_EQ(peal_receiver_release(&l->receiver, 1), 0);

	CHECK_EQ(peal_sender_put(&l->sender, items, 3), 3);
	CHECK_EQ(peal_receiver_get(&l->receiver, items, 3), 3);
	CHECK_EQ(peal_sender_each(&l->sender, 2, fill, &number), 2);
	CHECK_EQ(peal_receiver_each(&l->receiver, 2, take, &number), 2);
	CHECK_EQ(peal_receiver_used(&l->receiver), 0);
	CHECK_EQ(peal_sender_free(&l->sender), l->ring.geometry.capacity);
	peal_sender_stats(&l->sender, &stats);
	CHECK_EQ(stats.items, 1 + 3 + 2);
}

/* Asleep, rung, cleared: in both directions, and once in vain. */
static void wait_in_vain_and_not(struct peal_local *l)
{
	const struct item *data;
	struct item *room;
	ssize_t n;

	CHECK_EQ(peal_receiver_wait(&l->receiver, 1, 1, &data), -ETIMEDOUT);
	CHECK(peal_receiver_arm(&l->receiver));
	n = peal_sender_wait(&l->sender, 1, -1, &room);
	CHECK_EQ(n, l->ring.geometry.capacity);
	CHECK_EQ(peal_sender_commit(&l->sender, (size_t)n), 0);
	CHECK_EQ(peal_doorbell_wait(&l->data, -1), 0);
	CHECK_EQ(peal_receiver_clear(&l->receiver), 1);

	CHECK_EQ(peal_sender_wait(&l->sender, 1, 1, &room), -ETIMEDOUT);
	CHECK_EQ(peal_sender_reserve(&l->sender, 1, &room), 0);
	CHECK_EQ(peal_receiver_wait(&l->receiver, 1, -1, &data), n);
	CHECK_EQ(peal_receiver_release(&l->receiver, (size_t)n), 0);
	CHECK_EQ(peal_doorbell_wait(&l->space, -1), 0);
	CHECK_EQ(peal_sender_clear(&l->sender), 1);
}

TEST(a_ring_allocates_nothing_from_init_to_finish)
{
	struct peal_geometry geometry = { .capacity = 512,
					  .item_size = sizeof(struct item) };
	struct peal_local local;
	const struct item *data;
	unsigned long before = count();

	CHECK_EQ(peal_local_init(&local, &geometry), 0);
	use_every_call(&local);
	wait_in_vain_and_not(&local);
	peal_sender_finish(&local.sender);
	CHECK_EQ(peal_receiver_wait(&local.receiver, 1, -1, &data), 0);
	CHECK(peal_receiver_ended(&local.receiver));
	peal_receiver_finish(&local.receiver);
	peal_local_close(&local);
	CHECK_EQ(count() - before, 0);
}

TEST(doorbells_and_blobs_allocate_nothing)
{
	const enum peal_doorbell_kind kinds[] = { PEAL_DOORBELL_EVENTFD,
						  PEAL_DOORBELL_PIPE };
	struct peal_blob blob, copy;
	unsigned long before = count();

	for (int i = 0; i < 2; i++) {
		struct peal_doorbell bell;

		CHECK_EQ(peal_doorbell_init(&bell, kinds[i]), 0);
		CHECK_EQ(peal_doorbell_ring(&bell), 0);
		CHECK_EQ(peal_doorbell_wait(&bell, -1), 0);
		CHECK_EQ(peal_doorbell_clear(&bell), 1);
		peal_doorbell_close(&bell);
	}
	CHECK_EQ(peal_blob_create(&blob, "noalloc", 1), 0);
	CHECK_EQ(peal_blob_seal(&blob), 0);
	CHECK_EQ(peal_blob_open(&copy, blob.fd), 0);
	peal_blob_close(&copy);
	peal_blob_close(&blob);
	CHECK_EQ(count() - before, 0);
}

/* -- a reactor with one of everything */

struct stage {
	struct peal_reactor loop;
	struct peal_slot slots[8];
	struct peal_local ring;
	struct peal_source receiver, sender, timer, call, pipe;
	int pipe_fds[2];
	int readable, writable, closed, ticks, calls, events;
};

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct stage *stage = user;
	const struct item *items;
	ssize_t n = peal_receiver_peek(rx, &items);

	if (n > 0)
		peal_receiver_release(rx, (size_t)n);
	stage->readable++;
	return PEAL_DONE;
}

static long on_writable(struct peal_sender *tx, void *user)
{
	struct stage *stage = user;
	struct item *room;
	ssize_t n;

	stage->writable++;
	while ((n = peal_sender_reserve(tx, 1, &room)) > 0)
		peal_sender_commit(tx, (size_t)n);
	return PEAL_DONE;
}

static void on_closed(struct peal_receiver *rx, int reason, void *user)
{
	struct stage *stage = user;

	(void)rx;
	CHECK_EQ(reason, 0);
	stage->closed++;
}

static void on_timer(struct peal_source *source, uint64_t expirations,
		     void *user)
{
	struct stage *stage = user;

	(void)expirations;
	if (++stage->ticks == 3) {
		CHECK_EQ(peal_reactor_cancel_timer(&stage->loop, source), 0);
		peal_reactor_stop(&stage->loop);
	}
}

static void on_call(struct peal_source *source, void *user)
{
	struct stage *stage = user;

	(void)source;
	stage->calls++;
	CHECK_EQ(write(stage->pipe_fds[1], "", 1), 1);
}

static void on_pipe(struct peal_source *source, int fd, uint32_t events,
		    void *user)
{
	struct stage *stage = user;
	char byte;

	CHECK_EQ(events, EPOLLIN);
	CHECK_EQ(read(fd, &byte, 1), 1);
	stage->events++;
	CHECK_EQ(peal_reactor_remove(&stage->loop, source), 0);
}

static void add_one_of_each(struct stage *s)
{
	struct peal_receiver_callbacks rx = { .on_readable = on_readable,
					      .on_closed = on_closed,
					      .user = s };
	struct peal_sender_callbacks tx = { .on_writable = on_writable,
					    .user = s };

	CHECK_EQ(peal_reactor_add_receiver(&s->loop, &s->receiver,
					   &s->ring.receiver, &rx),
		 0);
	CHECK_EQ(peal_reactor_add_sender(&s->loop, &s->sender, &s->ring.sender,
					 &tx),
		 0);
	CHECK_EQ(peal_reactor_add_fd(&s->loop, &s->pipe, s->pipe_fds[0],
				     EPOLLIN, on_pipe, s),
		 0);
	CHECK_EQ(peal_reactor_add_timer(&s->loop, &s->timer, on_timer, s), 0);
	CHECK_EQ(peal_reactor_add_deferred(&s->loop, &s->call, on_call, s), 0);
	CHECK_EQ(peal_reactor_set_timer(&s->loop, &s->timer, 1000000, 1000000,
					0),
		 0);
	peal_reactor_defer(&s->loop, &s->call);
}

TEST(a_reactor_allocates_nothing_from_init_to_finish)
{
	struct peal_geometry geometry = { .capacity = 512,
					  .item_size = sizeof(struct item) };
	static struct stage stage;
	struct stage *s = &stage;
	unsigned long before = count();

	CHECK_EQ(peal_local_init(&s->ring, &geometry), 0);
	CHECK_EQ(pipe(s->pipe_fds), 0);
	CHECK_EQ(peal_reactor_init(&s->loop, s->slots, 8), 0);
	add_one_of_each(s);
	CHECK_EQ(peal_reactor_run(&s->loop), 0);
	CHECK(s->readable > 0 && s->writable > 0);
	CHECK_EQ(s->ticks, 3);
	CHECK_EQ(s->calls, 1);
	CHECK_EQ(s->events, 1);

	CHECK_EQ(peal_reactor_remove(&s->loop, &s->sender), 0);
	CHECK_EQ(peal_reactor_remove(&s->loop, &s->timer), 0);
	CHECK_EQ(peal_reactor_remove(&s->loop, &s->call), 0);
	peal_sender_finish(&s->ring.sender);
	while (s->closed == 0)
		CHECK(peal_reactor_run_once(&s->loop, -1) >= 0);
	peal_reactor_close(&s->loop);
	close(s->pipe_fds[0]);
	close(s->pipe_fds[1]);
	peal_local_close(&s->ring);
	CHECK_EQ(count() - before, 0);
}
