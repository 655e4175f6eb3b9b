/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A call of a sender that falls short arms, whichever it is: the bell rings, or
 * a reactor calls back, when there is room for what was asked for. And what a
 * reactor owes it still owes after a blocking call.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include <peal/group.h>
#include <peal/message.h>
#include <peal/reactor.h>
#include <peal/typed.h>

#include "fixtures/pair.h"

#define CAPACITY 8u

PEAL_TYPED(unit, uint64_t, "unit/1");

static const uint64_t units[2 * CAPACITY];

static bool fill_all(void *item, void *user)
{
	(void)user;
	memset(item, 0, 8);
	return true;
}

/* -- calls of a sender of a full ring */

static bool reserves(struct peal_sender *tx)
{
	uint64_t *room;

	return peal_sender_reserve(tx, 3, &room) == 0;
}

static bool puts_one(struct peal_sender *tx)
{
	return peal_sender_put(tx, units, 1) == 0;
}

static bool puts_more_than_fits(struct peal_sender *tx)
{
	return peal_sender_put(tx, units, CAPACITY + 5) == 0;
}

static bool fills_each(struct peal_sender *tx)
{
	return peal_sender_each(tx, 2, fill_all, NULL) == 0;
}

static bool reserves_typed(struct peal_sender *tx)
{
	uint64_t *room;

	return unit_reserve(tx, 2, &room) == 0;
}

static bool puts_typed(struct peal_sender *tx)
{
	return unit_put(tx, units, 2) == 0;
}

static bool waits_no_time(struct peal_sender *tx)
{
	uint64_t *room;

	return peal_sender_wait(tx, 3, 0, &room) == -ETIMEDOUT;
}

static bool waits_in_vain(struct peal_sender *tx)
{
	uint64_t *room;

	return peal_sender_wait(tx, 3, 1, &room) == -ETIMEDOUT;
}

static bool drains_in_vain(struct peal_sender *tx)
{
	return peal_sender_drain(tx, 1) == -ETIMEDOUT;
}

static bool reserves_a_message(struct peal_sender *tx)
{
	uint64_t *room;

	return peal_message_reserve(tx, 24, &room) == 0;
}

static bool waits_for_a_message(struct peal_sender *tx)
{
	uint64_t *room;

	return peal_message_wait(tx, 24, 0, &room) == -ETIMEDOUT;
}

static bool sends(struct peal_sender *tx)
{
	return peal_message_send(tx, 1, units, 24, 0) == -ETIMEDOUT;
}

static bool sends_an_empty_one(struct peal_sender *tx)
{
	return peal_message_send(tx, 1, NULL, 0, 0) == -ETIMEDOUT;
}

static bool sends_in_vain(struct peal_sender *tx)
{
	return peal_message_send(tx, 1, units, 24, 1) == -ETIMEDOUT;
}

struct row {
	const char *name;
	/* True if it falls short. */
	bool (*call)(struct peal_sender *tx);
	size_t need; /* items that have to be free before it is woken */
	struct test by_hand, in_a_callback, outside;
};

static struct row rows[] = {
	{ .name = "reserve", .call = reserves, .need = 3 },
	{ .name = "put", .call = puts_one, .need = 1 },
	{ .name = "put_of_too_many", .call = puts_more_than_fits, .need = 1 },
	{ .name = "each", .call = fills_each, .need = 1 },
	{ .name = "typed_reserve", .call = reserves_typed, .need = 2 },
	{ .name = "typed_put", .call = puts_typed, .need = 1 },
	{ .name = "wait_of_no_time", .call = waits_no_time, .need = 3 },
	{ .name = "wait_in_vain", .call = waits_in_vain, .need = 3 },
	{ .name = "drain_in_vain", .call = drains_in_vain, .need = CAPACITY },
	{ .name = "message_reserve", .call = reserves_a_message, .need = 4 },
	{ .name = "message_wait", .call = waits_for_a_message, .need = 4 },
	{ .name = "message_send", .call = sends, .need = 4 },
	{ .name = "message_of_none", .call = sends_an_empty_one, .need = 1 },
	{ .name = "message_send_in_vain", .call = sends_in_vain, .need = 4 },
};

static void make_full(struct pair *p)
{
	pair_make(p, CAPACITY, sizeof(uint64_t));
	CHECK_EQ(peal_sender_put(&p->tx, units, CAPACITY), CAPACITY);
}

static void release(struct pair *p, size_t n)
{
	uint64_t items[CAPACITY];

	CHECK_EQ(peal_receiver_get(&p->rx, items, n), n);
}

static void check_by_hand(const void *of)
{
	const struct row *row = of;
	struct pair p;

	make_full(&p);
	CHECK(row->call(&p.tx));
	release(&p, row->need - 1);
	CHECK_EQ(rings(&p.space), 0);
	release(&p, 1);
	CHECK_EQ(rings(&p.space), 1);
	pair_free(&p);
}

/* -- and on a reactor */

struct feeder {
	const struct row *row;
	struct peal_reactor loop;
	struct peal_slot slots[4];
	struct peal_source source;
	int calls, closed;
	bool calls_inside;
};

static long on_writable(struct peal_sender *tx, void *user)
{
	struct feeder *f = user;
	uint64_t *room;
	ssize_t n = peal_sender_try_reserve(tx, &room);

	f->calls++;
	if (n > 0)
		CHECK_EQ(peal_sender_commit(tx, (size_t)n), 0);
	if (f->calls_inside)
		CHECK(f->row->call(tx));
	return PEAL_DONE;
}

static void on_closed(struct peal_sender *tx, int reason, void *user)
{
	struct feeder *f = user;

	(void)tx;
	CHECK_EQ(reason, 0);
	f->closed++;
}

static void settle(struct peal_reactor *loop)
{
	struct pollfd pfd = { .fd = peal_reactor_fd(loop), .events = POLLIN };

	while (poll(&pfd, 1, 0) == 1)
		CHECK(peal_reactor_run_once(loop, 0) >= 0);
}

static void feed(struct feeder *f, struct pair *p, const struct row *row)
{
	f->row = row;
	pair_make(p, CAPACITY, sizeof(uint64_t));
	CHECK_EQ(peal_reactor_init(&f->loop, f->slots, 4), 0);
	CHECK_EQ(peal_reactor_add_sender(&f->loop, &f->source, &p->tx,
					 &(struct peal_sender_callbacks){
						 .on_writable = on_writable,
						 .on_closed = on_closed,
						 .user = f }),
		 0);
	settle(&f->loop);
	CHECK_EQ(f->calls, 1); /* there was room when it was added */
}

static void check_callbacks(struct feeder *f, struct pair *p)
{
	settle(&f->loop);
	CHECK_EQ(f->calls, 1);
	release(p, f->row->need - 1);
	settle(&f->loop);
	CHECK_EQ(f->calls, 1);
	release(p, 1);
	settle(&f->loop);
	CHECK_EQ(f->calls, 2);
}

static void check_in_a_callback(const void *of)
{
	struct feeder f = { .calls_inside = true };
	struct pair p;

	feed(&f, &p, of);
	check_callbacks(&f, &p);
	peal_receiver_finish(&p.rx);
	settle(&f.loop);
	CHECK_EQ(f.closed, 1);
	peal_reactor_close(&f.loop);
	pair_free(&p);
}

static void check_outside(const void *of)
{
	struct feeder f = { .calls = 0 };
	struct pair p;

	feed(&f, &p, of);
	CHECK(f.row->call(&p.tx));
	check_callbacks(&f, &p);
	peal_reactor_close(&f.loop);
	pair_free(&p);
}

static char names[3 * sizeof(rows) / sizeof(rows[0])][80];

__attribute__((constructor)) static void register_rows(void)
{
	size_t n = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct row *row = &rows[i];

		snprintf(names[n], sizeof(names[n]), "%s_arms", row->name);
		test_register_row(&row->by_hand, names[n++], check_by_hand,
				  row);
		snprintf(names[n], sizeof(names[n]), "%s_in_a_callback_arms",
			 row->name);
		test_register_row(&row->in_a_callback, names[n++],
				  check_in_a_callback, row);
		snprintf(names[n], sizeof(names[n]),
			 "%s_outside_of_callbacks_arms", row->name);
		test_register_row(&row->outside, names[n++], check_outside,
				  row);
	}
}

/* -- calls that do not arm */

static bool fill_none(void *item, void *user)
{
	(void)item, (void)user;
	return false;
}

TEST(who_only_looks_does_not_arm)
{
	uint64_t *room;
	struct pair p;

	make_full(&p);
	CHECK_EQ(peal_sender_try_reserve(&p.tx, &room), 0);
	CHECK_EQ(unit_try_reserve(&p.tx, &room), 0);
	CHECK_EQ(peal_message_try_reserve(&p.tx, 8, &room), 0);
	CHECK_EQ(peal_sender_free(&p.tx), 0);
	CHECK_EQ(peal_sender_put(&p.tx, units, 0), 0);
	release(&p, CAPACITY);
	CHECK_EQ(rings(&p.space), 0);
	pair_free(&p);
}

TEST(who_does_all_that_it_wanted_does_not_arm)
{
	struct pair p;

	pair_make(&p, CAPACITY, sizeof(uint64_t));
	CHECK_EQ(peal_sender_put(&p.tx, units, CAPACITY - 2), CAPACITY - 2);
	/* More than fits, but it ended that by itself. */
	CHECK_EQ(peal_sender_each(&p.tx, 3, fill_none, NULL), 0);
	CHECK_EQ(peal_sender_each(&p.tx, 2, fill_all, NULL), 2);
	release(&p, CAPACITY);
	CHECK_EQ(rings(&p.space), 0);
	pair_free(&p);
}

TEST(a_put_of_more_than_fits_puts_what_does_and_arms)
{
	struct pair p;

	pair_make(&p, CAPACITY, sizeof(uint64_t));
	CHECK_EQ(peal_sender_put(&p.tx, units, 3), 3);
	CHECK_EQ(peal_sender_put(&p.tx, units, CAPACITY), 5);
	CHECK_EQ(peal_sender_each(&p.tx, 1, fill_all, NULL), 0);
	release(&p, 1);
	CHECK_EQ(rings(&p.space), 1);
	CHECK_EQ(peal_sender_each(&p.tx, 4, fill_all, NULL), 1);
	release(&p, CAPACITY);
	CHECK_EQ(rings(&p.space), 1);
	pair_free(&p);
}

TEST(a_put_that_falls_short_is_woken_as_its_watermark_says)
{
	struct pair p;

	make_full(&p);
	CHECK_EQ(peal_sender_set_watermark(&p.tx, 4), 0);
	CHECK_EQ(peal_sender_put(&p.tx, units, 2), 0);
	release(&p, 3);
	CHECK_EQ(rings(&p.space), 0);
	release(&p, 1);
	CHECK_EQ(rings(&p.space), 1);
	pair_free(&p);
}

/* There is room for the first piece; the receiver leaves before the second. */
static bool fill_and_leave(void *item, void *user)
{
	memset(item, 0, 8);
	peal_receiver_finish(user);
	return true;
}

TEST(an_end_that_is_seen_after_some_were_put_is_told_by_the_bell)
{
	struct pair p;

	pair_make(&p, CAPACITY, sizeof(uint64_t));
	CHECK_EQ(peal_sender_put(&p.tx, units, CAPACITY - 1), CAPACITY - 1);
	CHECK_EQ(peal_sender_each(&p.tx, 2, fill_and_leave, &p.rx), 1);
	CHECK_EQ(rings(&p.space), 2); /* the receiver's, and the sender's own */
	CHECK_EQ(peal_sender_put(&p.tx, units, 1), -EPIPE);
	pair_free(&p);
}

/* -- what a reactor owes after a blocking call */

struct taker {
	struct peal_reactor loop;
	struct peal_slot slots[4];
	struct peal_source source, grouped;
	int calls;
};

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct taker *t = user;
	const uint64_t *items;
	ssize_t n = peal_receiver_peek(rx, &items);

	t->calls++;
	if (n > 0)
		CHECK_EQ(peal_receiver_release(rx, (size_t)n), 0);
	return PEAL_DONE;
}

static void serve(struct taker *t, struct pair *p)
{
	CHECK_EQ(peal_reactor_add_receiver(
			 &t->loop, &t->source, &p->rx,
			 &(struct peal_receiver_callbacks){
				 .on_readable = on_readable, .user = t }),
		 0);
	settle(&t->loop);
	CHECK_EQ(t->calls, 0);
}

static void take(struct taker *t, struct pair *p)
{
	pair_make(p, CAPACITY, sizeof(uint64_t));
	CHECK_EQ(peal_reactor_init(&t->loop, t->slots, 4), 0);
	serve(t, p);
}

/* Called back for each that comes from now on. */
static void check_taker(struct taker *t, struct pair *p)
{
	int calls = t->calls;

	settle(&t->loop);
	CHECK_EQ(t->calls, calls);
	for (int i = 1; i <= 3; i++) {
		CHECK_EQ(peal_sender_put(&p->tx, units, 1), 1);
		settle(&t->loop);
		CHECK_EQ(t->calls, calls + i);
	}
	peal_reactor_close(&t->loop);
	pair_free(p);
}

TEST(a_wait_in_vain_leaves_a_receiver_its_callbacks)
{
	struct taker t = { .calls = 0 };
	const uint64_t *items;
	struct pair p;

	take(&t, &p);
	CHECK_EQ(peal_receiver_wait(&p.rx, 3, 1, &items), -ETIMEDOUT);
	CHECK_EQ(peal_receiver_wait(&p.rx, 3, 0, &items), -ETIMEDOUT);
	check_taker(&t, &p);
}

static void *put_later(void *arg)
{
	struct pair *p = arg;

	poll(NULL, 0, 5);
	CHECK_EQ(peal_sender_put(&p->tx, units, 1), 1);
	return NULL;
}

TEST(a_wait_that_succeeds_leaves_a_receiver_its_callbacks)
{
	struct taker t = { .calls = 0 };
	const uint64_t *items;
	pthread_t thread;
	struct pair p;

	take(&t, &p);
	CHECK_EQ(pthread_create(&thread, NULL, put_later, &p), 0);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, -1, &items), 1);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(peal_receiver_release(&p.rx, 1), 0);
	check_taker(&t, &p);
}

TEST(what_a_wait_has_found_and_left_there_is_called_back_for)
{
	struct taker t = { .calls = 0 };
	const uint64_t *items;
	pthread_t thread;
	struct pair p;

	take(&t, &p);
	CHECK_EQ(pthread_create(&thread, NULL, put_later, &p), 0);
	CHECK_EQ(peal_receiver_wait(&p.rx, 1, -1, &items), 1);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	settle(&t.loop);
	CHECK_EQ(t.calls, 1);
	check_taker(&t, &p);
}

TEST(a_message_that_was_waited_for_leaves_a_receiver_its_callbacks)
{
	struct taker t = { .calls = 0 };
	struct peal_message m;
	struct pair p;

	take(&t, &p);
	CHECK_EQ(peal_message_receive(&p.rx, 1, &m), -ETIMEDOUT);
	check_taker(&t, &p);
}

TEST(an_arm_by_hand_leaves_a_receiver_its_callbacks)
{
	struct taker t = { .calls = 0 };
	struct pair p;

	take(&t, &p);
	CHECK(peal_receiver_arm(&p.rx));
	CHECK_EQ(peal_sender_put(&p.tx, units, 1), 1);
	CHECK(!peal_receiver_arm(&p.rx));
	settle(&t.loop);
	CHECK_EQ(t.calls, 1);
	check_taker(&t, &p);
}

TEST(a_wait_that_a_group_refuses_leaves_a_receiver_its_callbacks)
{
	static struct peal_group_marks marks;
	struct taker t = { .calls = 0 };
	struct peal_doorbell bell;
	struct peal_group group;
	const uint64_t *items;
	void *notify_args[1];
	struct pair p;

	pair_make(&p, CAPACITY, sizeof(uint64_t));
	CHECK_EQ(peal_reactor_init(&t.loop, t.slots, 4), 0);
	CHECK_EQ(peal_group_init(&group, &marks, notify_args, 1), 0);
	CHECK_EQ(peal_reactor_add_group(&t.loop, &t.grouped, &group), 0);
	CHECK_EQ(peal_group_bell(&group, &bell), 0);
	CHECK_EQ(peal_sender_attach(&p.tx, &p.ring, &bell, &p.space), 0);
	CHECK_EQ(peal_receiver_attach(&p.rx, &p.ring, &bell, &p.space), 0);
	serve(&t, &p);
	CHECK_EQ(peal_receiver_wait(&p.rx, 3, 1, &items), -EINVAL);
	check_taker(&t, &p);
	peal_doorbell_close(&bell);
	peal_group_close(&group);
}

static struct row reserve_row = { .call = reserves, .need = 3 };

static void *release_later(void *arg)
{
	poll(NULL, 0, 5);
	release(arg, 1);
	return NULL;
}

TEST(a_wait_for_less_leaves_a_sender_the_callback_for_more)
{
	struct feeder f = { .calls_inside = true };
	pthread_t thread;
	uint64_t *room;
	struct pair p;

	feed(&f, &p, &reserve_row);
	CHECK_EQ(pthread_create(&thread, NULL, release_later, &p), 0);
	CHECK_EQ(peal_sender_wait(&p.tx, 1, -1, &room), 1);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	settle(&f.loop);
	CHECK_EQ(f.calls, 1);
	release(&p, 2);
	settle(&f.loop);
	CHECK_EQ(f.calls, 2);
	peal_reactor_close(&f.loop);
	pair_free(&p);
}

TEST(a_wait_in_vain_for_more_leaves_a_sender_the_callback_for_less)
{
	struct feeder f = { .calls_inside = true };
	struct pair p;

	feed(&f, &p, &reserve_row);
	CHECK_EQ(peal_sender_drain(&p.tx, 1), -ETIMEDOUT);
	check_callbacks(&f, &p);
	peal_reactor_close(&f.loop);
	pair_free(&p);
}
