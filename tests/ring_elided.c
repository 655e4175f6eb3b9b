/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fences that are left out while nobody sleeps, and come back. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <peal/reactor.h>

#include "fixtures/pair.h"

#define ENOUGH 2000 /* publishes without a ring */

static void need_barriers(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) < 0)
		test_skip("no membarrier(2) here");
}

static void make(struct pair *p, size_t capacity)
{
	pair_make(p, capacity, sizeof(int));
	peal_sender_set_barriers(&p->tx, true);
	peal_receiver_set_barriers(&p->rx, true);
}

/* One by one, and nobody sleeps. */
static void stream(struct pair *p, int n)
{
	for (int i = 0; i < n; i++) {
		put_numbers(&p->tx, i, 1);
		get_numbers(&p->rx, i, 1);
	}
}

TEST(fences_stay_where_nobody_has_allowed_barriers)
{
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	stream(&p, ENOUGH);
	CHECK(!p.tx.end.fence.elided);
	CHECK_EQ(p.tx_page->barrier, 0);
	CHECK_EQ(p.tx_page->elided, 0);
	pair_free(&p);
}

TEST(fences_are_left_out_after_some_thousand_publishes_without_a_ring)
{
	struct pair p;

	need_barriers();
	make(&p, 8);
	CHECK_EQ(p.tx_page->barrier, 1);
	CHECK_EQ(p.rx_page->barrier, 1);
	stream(&p, 100);
	CHECK(!p.tx.end.fence.elided);
	stream(&p, ENOUGH);
	CHECK(p.tx.end.fence.elided);
	CHECK(p.rx.end.fence.elided);
	CHECK_EQ(p.tx_page->elided, 1);
	CHECK_EQ(p.rx_page->elided, 1);
	pair_free(&p);
}

TEST(a_ring_brings_the_fence_back)
{
	struct pair p;

	need_barriers();
	make(&p, 8);
	stream(&p, ENOUGH);
	CHECK(peal_receiver_arm(&p.rx));
	CHECK(p.tx.end.fence.elided);
	put_numbers(&p.tx, 0, 1);
	CHECK_EQ(rings(&p.data), 1);
	CHECK(!p.tx.end.fence.elided);
	CHECK_EQ(p.tx_page->elided, 0);
	CHECK(p.rx.end.fence.elided); /* the other way is another matter */
	pair_free(&p);
}

TEST(barriers_that_one_end_forbids_leave_the_other_its_fences)
{
	struct pair p;

	need_barriers();
	make(&p, 8);
	peal_receiver_set_barriers(&p.rx, false);
	CHECK_EQ(p.rx_page->barrier, PEAL_BARRIER_WITHDRAWN);
	stream(&p, ENOUGH);
	CHECK(!p.tx.end.fence.elided);
	/* Allowed again, and forbidden in the midst of it. */
	peal_receiver_set_barriers(&p.rx, true);
	stream(&p, ENOUGH);
	CHECK(p.tx.end.fence.elided);
	peal_receiver_set_barriers(&p.rx, false);
	stream(&p, ENOUGH);
	CHECK(!p.tx.end.fence.elided);
	pair_free(&p);
}

/* The sender has not looked since, and leans on it as ever. */
TEST(an_offer_that_was_withdrawn_is_kept_by_who_comes_after)
{
	struct pair p;

	need_barriers();
	make(&p, 8);
	stream(&p, ENOUGH);
	CHECK_EQ(p.tx_page->elided, 1);
	peal_receiver_set_barriers(&p.rx, false);
	for (int i = 0; i < 3; i++) { /* each in the place of a dead one */
		CHECK_EQ(
			peal_receiver_attach(&p.rx, &p.ring, &p.data, &p.space),
			0);
		CHECK(p.rx.end.fence.offered);
		CHECK_EQ(p.rx_page->barrier, PEAL_BARRIER_WITHDRAWN);
	}
	pair_free(&p);
}

TEST(an_end_that_elides_fences_can_be_forbidden_and_allowed)
{
	struct pair p;

	need_barriers();
	make(&p, 8);
	stream(&p, ENOUGH);
	CHECK(p.tx.end.fence.elided);
	peal_sender_set_barriers(&p.tx, true);
	CHECK(!p.tx.end.fence.elided);
	CHECK_EQ(p.tx_page->elided, 0);
	stream(&p, ENOUGH);
	CHECK(p.tx.end.fence.elided);
	peal_sender_set_barriers(&p.tx, false);
	CHECK(!p.tx.end.fence.elided);
	CHECK_EQ(p.tx_page->elided, 0);
	stream(&p, ENOUGH);
	CHECK(!p.tx.end.fence.elided);
	pair_free(&p);
}

TEST(ends_that_are_not_there_have_no_fences)
{
	struct peal_sender tx = { 0 };
	struct peal_receiver rx = { 0 };

	peal_sender_set_barriers(&tx, true);
	peal_receiver_set_barriers(&rx, false);
	CHECK_EQ(tx.end.fence.elided, false);
}

/* A peer says that it elides its fences, though nobody offered barriers. */
TEST(elision_without_an_offer_is_of_no_interest)
{
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	p.tx_page->elided = 1;
	CHECK(peal_receiver_arm(&p.rx));
	CHECK(p.rx.end.wait.recheck != PEAL_RECHECK_DUE);
	pair_free(&p);
}

static void filter_calls(struct sock_filter *code, unsigned short n)
{
	struct sock_fprog program = { .len = n, .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		test_skip("no seccomp filters here");
}

/*
 * From now on, each barrier says this: an error, as in a sandbox that a program
 * enters late, or 0 though it does nothing, as on a kernel that leaves out a
 * processor.
 */
static void spoil_barriers(uint32_t error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	filter_calls(code, sizeof(code) / sizeof(code[0]));
}

#ifdef SYS_ppoll_time64
#define PPOLL SYS_ppoll_time64
#else
#define PPOLL SYS_ppoll
#endif

/* From now on a barrier, and a sleep for the time that it takes, is the end. */
static void forbid_barriers_and_sleep(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PPOLL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	filter_calls(code, sizeof(code) / sizeof(code[0]));
}

/* A sender that finds the ring full, and a receiver without fences. */
static void fill_up(struct pair *p)
{
	need_barriers();
	make(p, 8);
	stream(p, ENOUGH);
	CHECK_EQ(p->rx_page->elided, 1);
	put_numbers(&p->tx, 0, 8);
}

/* What was a millisecond ago needs no barrier. */
TEST(without_a_barrier_it_looks_again_a_while_later)
{
	struct pair p;
	int *room;

	fill_up(&p);
	spoil_barriers(EPERM);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 0);
	CHECK(peal_sender_arm(&p.tx));
	CHECK_EQ(rings(&p.space), 0);
	get_numbers(&p.rx, 0, 1);
	CHECK_EQ(rings(&p.space), 1);
	CHECK(!peal_sender_arm(&p.tx));
	CHECK_EQ(peal_sender_reserve(&p.tx, 1, &room), 1);
	pair_free(&p);
}

TEST(who_arms_by_hand_takes_its_offer_back)
{
	struct pair p;

	need_barriers();
	make(&p, 8);
	stream(&p, ENOUGH);
	CHECK(p.tx.end.fence.elided);
	CHECK(peal_receiver_arm(&p.rx));
	CHECK_EQ(p.rx_page->barrier, PEAL_BARRIER_WITHDRAWN);
	CHECK(p.rx.end.wait.recheck != PEAL_RECHECK_DUE);
	put_numbers(&p.tx, 0, 1);
	CHECK_EQ(rings(&p.data), 1);
	get_numbers(&p.rx, 0, 1);
	stream(&p, ENOUGH);
	CHECK(!p.tx.end.fence.elided);
	/* The other way it has been kept. */
	CHECK(p.rx.end.fence.elided);
	pair_free(&p);
}

static bool fill_one(void *item, void *user)
{
	(void)user;
	memset(item, 0, sizeof(int));
	return true;
}

TEST(a_put_that_falls_short_makes_no_barrier_and_does_not_sleep)
{
	struct pair p;
	int item = 8;

	fill_up(&p);
	forbid_barriers_and_sleep();
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(peal_sender_put(&p.tx, &item, 1), 0);
		CHECK_EQ(peal_sender_each(&p.tx, 1, fill_one, NULL), 0);
	}
	CHECK_EQ(p.tx_page->barrier, PEAL_BARRIER_OFFERED);
	get_numbers(&p.rx, 0, 1);
	CHECK_EQ(rings(&p.space), 1);
	pair_free(&p);
}

/* -- a reactor looks again by itself, whichever call has armed */

static bool put_one(struct peal_sender *tx)
{
	int item = 0;

	return peal_sender_put(tx, &item, 1) == 0;
}

static bool reserve_one(struct peal_sender *tx)
{
	int *room;

	return peal_sender_reserve(tx, 1, &room) == 0;
}

static bool wait_no_time(struct peal_sender *tx)
{
	int *room;

	return peal_sender_wait(tx, 1, 0, &room) == -ETIMEDOUT;
}

static long count_room(struct peal_sender *tx, void *user)
{
	int *room, *calls = user;

	++*calls;
	CHECK(peal_sender_try_reserve(tx, &room) > 0);
	return PEAL_DONE;
}

/*
 * The receiver's release is not seen at first, and the receiver has not seen
 * the wake position: it does not ring.
 */
static void recheck_after(bool (*arm)(struct peal_sender *tx))
{
	struct peal_slot slots[1];
	struct peal_reactor loop;
	struct peal_source source = { 0 };
	struct pair p;
	int calls = 0;

	need_barriers();
	make(&p, 8);
	CHECK_EQ(peal_reactor_init(&loop, slots, 1), 0);
	CHECK_EQ(peal_reactor_add_sender(
			 &loop, &source, &p.tx,
			 &(struct peal_sender_callbacks){
				 .on_writable = count_room, .user = &calls }),
		 0);
	while (peal_reactor_run_once(&loop, 0) > 0)
		;
	CHECK_EQ(calls, 1);
	stream(&p, ENOUGH);
	CHECK_EQ(p.rx_page->elided, 1);
	put_numbers(&p.tx, 0, 8);
	CHECK(arm(&p.tx));
	p.rx_page->position++;
	while (calls == 1)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	CHECK_EQ(calls, 2);
	peal_reactor_close(&loop);
	pair_free(&p);
}

TEST(a_reactor_looks_again_after_a_put)
{
	recheck_after(put_one);
}

TEST(a_reactor_looks_again_after_a_reserve)
{
	recheck_after(reserve_one);
}

TEST(a_reactor_looks_again_after_a_wait_in_vain)
{
	recheck_after(wait_no_time);
}

TEST(a_reactor_looks_again_after_an_arm_by_hand)
{
	recheck_after(peal_sender_arm);
}

/* -- sleeping and waking while fences come and go */

#define NUMBERS 400000

static void *sending_thread(void *arg)
{
	struct pair *p = arg;
	uint64_t seed = 1;

	for (int i = 0; i < NUMBERS;) {
		int n = (int)(test_random(&seed) % 3) + 1;
		int *room;
		ssize_t free = peal_sender_wait(&p->tx, 1, -1, &room);

		CHECK(free > 0);
		if (n > free)
			n = (int)free;
		if (n > NUMBERS - i)
			n = NUMBERS - i;
		for (int k = 0; k < n; k++)
			room[k] = i + k;
		CHECK_EQ(peal_sender_commit(&p->tx, (size_t)n), 0);
		i += n;
		/* Long enough without a pause to elide fences, then a pause. */
		if (i % 20000 < 3)
			usleep(100);
	}
	peal_sender_finish(&p->tx);
	return NULL;
}

struct counted {
	struct peal_reactor *loop;
	int next;
};

static long count_numbers(struct peal_receiver *rx, void *user)
{
	struct counted *c = user;
	const int *numbers;
	ssize_t n = peal_receiver_peek(rx, &numbers);

	for (ssize_t i = 0; i < n; i++)
		CHECK_EQ(numbers[i], c->next++);
	if (n > 0)
		CHECK_EQ(peal_receiver_release(rx, (size_t)n), 0);
	return PEAL_DONE;
}

static void stop_counting(struct peal_receiver *rx, int reason, void *user)
{
	struct counted *c = user;

	(void)rx;
	CHECK_EQ(reason, 0);
	peal_reactor_stop(c->loop);
}

static void sleep_and_wake(void)
{
	const int *numbers;
	int next = 0, elided = 0;
	pthread_t thread;
	struct pair p;
	ssize_t n;

	make(&p, 8192);
	CHECK_EQ(pthread_create(&thread, NULL, sending_thread, &p), 0);
	while ((n = peal_receiver_wait(&p.rx, 1, -1, &numbers)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			CHECK_EQ(numbers[i], next++);
		elided += __atomic_load_n(&p.tx_page->elided,
					  __ATOMIC_RELAXED) != 0;
		CHECK_EQ(peal_receiver_release(&p.rx, (size_t)n), 0);
	}
	CHECK_EQ(n, 0);
	CHECK_EQ(next, NUMBERS);
	pthread_join(thread, NULL);
	test_note("found elided fences %d times", elided);
	pair_free(&p);
}

TEST(no_wake_up_is_lost_while_fences_come_and_go)
{
	need_barriers();
	sleep_and_wake();
}

TEST(nor_where_the_kernel_only_says_that_it_has_made_a_barrier)
{
	need_barriers();
	spoil_barriers(0);
	sleep_and_wake();
}

TEST(nor_by_a_reactor)
{
	struct peal_slot slots[1];
	struct peal_reactor loop;
	struct counted counted = { 0 };
	struct peal_source source = { 0 };
	pthread_t thread;
	struct pair p;

	need_barriers();
	spoil_barriers(0);
	make(&p, 64);
	counted.loop = &loop;
	CHECK_EQ(peal_reactor_init(&loop, slots, 1), 0);
	CHECK_EQ(peal_reactor_add_receiver(&loop, &source, &p.rx,
					   &(struct peal_receiver_callbacks){
						   .on_readable = count_numbers,
						   .on_closed = stop_counting,
						   .user = &counted }),
		 0);
	CHECK_EQ(pthread_create(&thread, NULL, sending_thread, &p), 0);
	CHECK_EQ(peal_reactor_run(&loop), 0);
	CHECK_EQ(counted.next, NUMBERS);
	pthread_join(thread, NULL);
	peal_reactor_close(&loop);
	pair_free(&p);
}

/* -- polling before sleeping */

static void *late_thread(void *arg)
{
	struct pair *p = arg;

	usleep(1000);
	put_numbers(&p->tx, 7, 1);
	return NULL;
}

TEST(a_wait_that_polls_finds_what_comes_without_a_bell)
{
	struct peal_ring_stats stats;
	const int *numbers;
	pthread_t thread;
	struct pair p;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		test_skip("with one processor nothing polls");
	pair_make(&p, 8, sizeof(int));
	peal_receiver_set_spin(&p.rx, UINT64_C(10000000000));
	CHECK_EQ(pthread_create(&thread, NULL, late_thread, &p), 0);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, -1, &numbers), 1);
	CHECK_EQ(numbers[0], 7);
	pthread_join(thread, NULL);
	peal_sender_stats(&p.tx, &stats);
	CHECK_EQ(stats.doorbells, 0);
	pair_free(&p);
}

/* It would poll for a year. */
TEST(a_wait_that_polls_ends_when_its_time_is_over)
{
	const int *numbers;
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	peal_receiver_set_spin(&p.rx, UINT64_C(31536000000000000));
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, 5, &numbers), -ETIMEDOUT);
	peal_receiver_set_spin(&p.rx, UINT64_MAX);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, 5, &numbers), -ETIMEDOUT);
	pair_free(&p);
}

TEST(a_wait_that_has_polled_in_vain_sleeps)
{
	const int *numbers;
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	peal_receiver_set_spin(&p.rx, 1000);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, 1, &numbers), -ETIMEDOUT);
	put_numbers(&p.tx, 0, 1);
	CHECK_EQ(rings(&p.data), 1);
	pair_free(&p);
}
