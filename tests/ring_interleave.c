/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What one end does between any two instructions of the other: a child is
 * stepped through one call, and after k steps its parent does something at
 * the other end of the ring; then the child goes on. For every k.
 *
 * That is every interleaving with one change of hands. It finds checks in the
 * wrong order, not missing fences: those are for models of weaker memory.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "fixtures/pair.h"

/* What either side found; shared by both processes. */
struct outcome {
	bool done; /* the child's call has returned */
	bool slept;
	bool ended;
	ssize_t n;
};

struct scene {
	int used; /* items in the ring at first */
	size_t watermark;
	void (*before)(struct pair *p);
	void (*stepped)(struct pair *p, struct outcome *outcome);
	void (*between)(struct pair *p, struct outcome *outcome);
	void (*check)(struct pair *p, const struct outcome *outcome);
	bool kills; /* the child in the end */
};

/* More are a sample: the compiler's instruments make a call long. */
#define STEPS_MAX 300

static const struct peal_geometry geometry = {
	.capacity = 8,
	.item_size = sizeof(int),
	.items_offset = PEAL_RING_ITEMS_OFFSET,
};

/* In memory that a child shares, whatever the size of its pages. */
static void make(struct pair *p, const struct scene *scene)
{
	void *memory = mmap(NULL, PEAL_RING_SIZE(8, sizeof(int)),
			    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);

	CHECK(memory != MAP_FAILED);
	memset(p, 0, sizeof(*p));
	pair_format(p, &geometry, memory);
	CHECK_EQ(peal_receiver_set_watermark(&p->rx, scene->watermark), 0);
	put_numbers(&p->tx, 0, scene->used);
	CHECK_EQ(peal_receiver_used(&p->rx), scene->used);
	if (scene->before)
		scene->before(p);
}

static pid_t start(struct pair *p, const struct scene *scene,
		   struct outcome *outcome)
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		kill(getpid(), SIGSTOP);
		scene->stepped(p, outcome);
		__atomic_store_n(&outcome->done, true, __ATOMIC_RELEASE);
		_exit(0); /* leaks cannot be looked for under ptrace */
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status))
		test_skip("no ptrace(2) here");
	return pid;
}

/* @return true if the call had not returned by then */
static bool step(pid_t pid, int steps, const struct outcome *outcome)
{
	int status;

	for (int i = 0; i < steps; i++) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
			test_skip("no single steps: %s", strerror(errno));
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSTOPPED(status));
		if (__atomic_load_n(&outcome->done, __ATOMIC_ACQUIRE))
			return false;
	}
	return true;
}

/* Play the scene with the change of hands after so many steps. */
static bool play(const struct scene *scene, struct outcome *outcome, int steps)
{
	struct pair p;
	bool within;
	int status;
	pid_t pid;

	memset(outcome, 0, sizeof(*outcome));
	make(&p, scene);
	pid = start(&p, scene, outcome);
	within = step(pid, steps, outcome);
	if (scene->between)
		scene->between(&p, outcome);
	if (scene->kills)
		kill(pid, SIGKILL);
	else
		CHECK_EQ(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (!scene->kills)
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	scene->check(&p, outcome);
	CHECK_EQ(munmap(p.ring.sender_page, PEAL_RING_SIZE(8, sizeof(int))), 0);
	pair_free(&p);
	return within;
}

static void play_at_every_step(const struct scene *scene)
{
	uint64_t seed = test_seed();
	const char *preload = getenv("LD_PRELOAD");
	struct outcome *outcome;
	int length;

	if (preload && strstr(preload, "vgpreload"))
		test_skip("it would step through valgrind");
	outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(outcome != MAP_FAILED);
	for (length = 0; length < STEPS_MAX; length++)
		if (!play(scene, outcome, length))
			break;
	if (length == STEPS_MAX)
		for (int i = 0; i < 20; i++)
			play(scene, outcome,
			     (int)(test_random(&seed) % (5 * STEPS_MAX)));
	CHECK(length > 10);
	CHECK_EQ(munmap(outcome, sizeof(*outcome)), 0);
}

/* -- what they do */

static void arm(struct pair *p, struct outcome *outcome)
{
	peal_receiver_clear(&p->rx);
	outcome->slept = peal_receiver_arm(&p->rx);
}

static void put_one(struct pair *p, struct outcome *outcome)
{
	(void)outcome;
	put_numbers(&p->tx, 0, 1);
}

static void put_one_and_finish(struct pair *p, struct outcome *outcome)
{
	put_one(p, outcome);
	peal_sender_finish(&p->tx);
}

static void reserve_six(struct pair *p, struct outcome *outcome)
{
	void *room;

	peal_sender_clear(&p->tx);
	outcome->n = peal_sender_reserve(&p->tx, 6, &room);
	CHECK(outcome->n >= 0);
}

static void get_one(struct pair *p, struct outcome *outcome)
{
	(void)outcome;
	get_numbers(&p->rx, 0, 1);
}

/* -- nobody sleeps through what happens */

static void check_receiver(struct pair *p, const struct outcome *outcome)
{
	if (outcome->slept)
		CHECK(rings(&p->data) >= 1);
}

static void check_sender(struct pair *p, const struct outcome *outcome)
{
	if (outcome->n == 0)
		CHECK_EQ(rings(&p->space), 1);
}

TEST(item_sent_while_the_receiver_arms_wakes_it)
{
	play_at_every_step(&(struct scene){ .watermark = 1,
					    .stepped = arm,
					    .between = put_one,
					    .check = check_receiver });
}

TEST(receiver_that_arms_while_an_item_is_sent_is_woken)
{
	play_at_every_step(&(struct scene){ .watermark = 1,
					    .stepped = put_one,
					    .between = arm,
					    .check = check_receiver });
}

TEST(stream_that_ends_while_the_receiver_arms_wakes_it)
{
	play_at_every_step(&(struct scene){ .used = 3,
					    .watermark = 8,
					    .stepped = arm,
					    .between = put_one_and_finish,
					    .check = check_receiver });
}

TEST(receiver_that_arms_while_the_stream_ends_is_woken)
{
	play_at_every_step(&(struct scene){ .used = 3,
					    .watermark = 8,
					    .stepped = put_one_and_finish,
					    .between = arm,
					    .check = check_receiver });
}

TEST(room_made_while_the_sender_reserves_wakes_it)
{
	play_at_every_step(&(struct scene){ .used = 3,
					    .watermark = 1,
					    .stepped = reserve_six,
					    .between = get_one,
					    .check = check_sender });
}

TEST(sender_that_reserves_while_room_is_made_is_woken)
{
	play_at_every_step(&(struct scene){ .used = 3,
					    .watermark = 1,
					    .stepped = get_one,
					    .between = reserve_six,
					    .check = check_sender });
}

TEST(sender_that_falls_short_while_the_receiver_arms_wakes_it)
{
	play_at_every_step(&(struct scene){ .used = 4,
					    .watermark = 6,
					    .stepped = arm,
					    .between = reserve_six,
					    .check = check_receiver });
}

TEST(receiver_that_arms_while_the_sender_falls_short_is_woken)
{
	play_at_every_step(&(struct scene){ .used = 4,
					    .watermark = 6,
					    .stepped = reserve_six,
					    .between = arm,
					    .check = check_receiver });
}

static void wait_for_eight(struct pair *p)
{
	void *room;

	CHECK_EQ(peal_sender_reserve(&p->tx, 8, &room), 0);
	put_numbers(&p->tx, 4, 4);
	CHECK_EQ(rings(&p->space), 0);
}

static void reserve_one(struct pair *p, struct outcome *outcome)
{
	void *room;

	outcome->n = peal_sender_reserve(&p->tx, 1, &room);
	CHECK(outcome->n >= 0);
}

static void check_both_waits(struct pair *p, const struct outcome *outcome)
{
	if (outcome->n == 0)
		CHECK_EQ(peal_doorbell_wait(&p->space, 0), 0);
	get_numbers(&p->rx, 1, 7);
	CHECK(rings(&p->space) >= 1);
}

TEST(wait_for_more_outlives_a_reserve_of_less_whenever_that_succeeds)
{
	play_at_every_step(&(struct scene){ .used = 4,
					    .watermark = 1,
					    .before = wait_for_eight,
					    .stepped = reserve_one,
					    .between = get_one,
					    .check = check_both_waits });
}

/* -- nothing is lost */

static void get_and_look_for_the_end(struct pair *p, struct outcome *outcome)
{
	int item;

	outcome->n = peal_receiver_get(&p->rx, &item, 1);
	outcome->ended = peal_receiver_ended(&p->rx);
}

static void check_end(struct pair *p, const struct outcome *outcome)
{
	(void)p;
	if (outcome->ended)
		CHECK_EQ(outcome->n, 1);
}

TEST(stream_has_not_ended_before_its_last_item_was_received)
{
	play_at_every_step(&(struct scene){ .watermark = 1,
					    .stepped = get_and_look_for_the_end,
					    .between = put_one_and_finish,
					    .check = check_end });
}

static void put_three(struct pair *p, struct outcome *outcome)
{
	static const int items[] = { 2, 3, 4 };

	(void)outcome;
	CHECK_EQ(peal_sender_put(&p->tx, items, 3), 3);
}

/* The receiver drains; then another sender takes the place of the dead one. */
static void check_killed(struct pair *p, const struct outcome *outcome)
{
	int used = (int)peal_receiver_used(&p->rx);

	(void)outcome;
	CHECK(used == 2 || used == 5);
	peal_receiver_hangup(&p->rx);
	get_numbers(&p->rx, 0, used);
	CHECK(peal_receiver_ended(&p->rx));

	pair_attach(p);
	CHECK_EQ(peal_sender_free(&p->tx), 8);
	put_numbers(&p->tx, used, 3);
	get_numbers(&p->rx, used, 3);
}

TEST(sender_killed_at_any_instruction_leaves_whole_batches)
{
	play_at_every_step(&(struct scene){ .used = 2,
					    .watermark = 1,
					    .stepped = put_three,
					    .check = check_killed,
					    .kills = true });
}
