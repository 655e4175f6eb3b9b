/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sender of an inbox. */
#include <stdlib.h>

#include "fixtures/letters.h"

static struct box box;
static struct peal_outbox out, other;

static void open_small(void)
{
	CHECK_EQ(box_open(&box, NULL), 0);
	CHECK_EQ(try_join(&box, &out, "cello", NULL, 1), 0);
}

static void close_all(void)
{
	peal_outbox_close(&out, 0);
	peal_outbox_close(&other, 0);
	peal_inbox_close(&box.inbox);
}

static int fill_up(void)
{
	int n = 0, ret;

	while ((ret = peal_outbox_send(&out, 7, "filling", 7, 0)) == 0)
		n++;
	CHECK_EQ(ret, -ETIMEDOUT);
	return n;
}

static void take(int n)
{
	for (int i = 0; i < n; i++)
		get_text(&box, LONG, "filling");
}

/* -- room */

TEST(who_does_not_wait_is_told_that_there_is_no_room)
{
	char *room = NULL;
	int n;

	open_small();
	n = fill_up();
	CHECK_EQ(n, 256); /* a page, of 16 bytes each */
	CHECK_EQ(peal_outbox_reserve(&out, 0, 0, &room), -ETIMEDOUT);
	CHECK(room == NULL);
	take(1);
	CHECK_EQ(peal_outbox_send(&out, 7, "filling", 7, 0), 0);
	CHECK_EQ(peal_outbox_send(&out, 7, "filling", 7, 0), -ETIMEDOUT);
	take(n);
	get_nothing(&box);
	close_all();
}

TEST(who_waits_for_a_time_waits_no_shorter)
{
	uint64_t began;

	open_small();
	fill_up();
	began = ms_now();
	CHECK_EQ(peal_outbox_send(&out, 7, "filling", 7, 30), -ETIMEDOUT);
	CHECK(ms_now() - began >= 29);
	began = ms_now();
	CHECK_EQ(peal_outbox_flush(&out, 30), -ETIMEDOUT);
	CHECK_EQ(peal_outbox_send_when_empty(&out, 7, "x", 1, 30), -ETIMEDOUT);
	CHECK(ms_now() - began >= 58);
	close_all();
}

static int send_last(void *arg)
{
	return peal_outbox_send(arg, 7, "the last", 8, -1);
}

TEST(who_waits_goes_on_when_there_is_room)
{
	struct task task;
	int n;

	open_small();
	n = fill_up();
	task_start(&task, send_last, &out);
	usleep(20000);
	CHECK(!task_done(&task));
	take(n);
	get_text(&box, LONG, "the last");
	CHECK_EQ(task_end(&task, &box), 0);
	close_all();
}

/* -- in place */

TEST(a_message_is_filled_in_where_it_lies)
{
	char *room;

	open_small();
	CHECK_EQ(peal_outbox_reserve(&out, 100, -1, &room), 1);
	CHECK_EQ((uintptr_t)room % 8, 0);
	memcpy(room, "hello", 5);
	CHECK_EQ(peal_outbox_commit(&out, 7, 5), 0);
	get_text(&box, LONG, "hello");
	close_all();
}

TEST(what_was_not_reserved_cannot_be_committed)
{
	char *room;

	open_small();
	CHECK_EQ(peal_outbox_commit(&out, 7, 0), -EINVAL);
	CHECK_EQ(peal_outbox_reserve(&out, 8, -1, &room), 1);
	CHECK_EQ(peal_outbox_commit(&out, 7, 17), -EINVAL);
	CHECK_EQ(peal_outbox_commit(&out, 7, SIZE_MAX), -EINVAL);
	memcpy(room, "in time", 7);
	CHECK_EQ(peal_outbox_commit(&out, 7, 7), 0);
	CHECK_EQ(peal_outbox_commit(&out, 7, 7), -EINVAL);
	get_text(&box, LONG, "in time");
	get_nothing(&box);
	close_all();
}

TEST(what_was_reserved_is_dropped_by_the_next_call)
{
	char *room;

	open_small();
	CHECK_EQ(peal_outbox_reserve(&out, 8, -1, &room), 1);
	memcpy(room, "dropped", 7);
	put_text(&out, "sent");
	CHECK_EQ(peal_outbox_commit(&out, 7, 7), -EINVAL);
	get_text(&box, LONG, "sent");
	get_nothing(&box);
	close_all();
}

/* -- sizes */

static void send_the_largest(bool oldest)
{
	static char data[70000], copy[70000];
	struct peal_letter letter;
	size_t max;

	CHECK_EQ(box_open(&box,
			  &(struct peal_inbox_options){ .oldest = oldest }),
		 0);
	CHECK_EQ(try_join(&box, &out, NULL, NULL, 0), 0);
	max = peal_outbox_max(&out);
	CHECK_EQ(max, 65536 - (oldest ? 16 : 8));
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	CHECK_EQ(peal_outbox_send(&out, 1, data, max + 1, -1), -EMSGSIZE);
	CHECK_EQ(peal_outbox_send(&out, 1, data, SIZE_MAX, -1), -EMSGSIZE);
	CHECK_EQ(peal_outbox_send_when_empty(&out, 1, data, max + 1, -1),
		 -EMSGSIZE);
	for (size_t i = 0; i < 3; i++) {
		put_text(&out, "small");
		get_text(&box, LONG, "small");
		CHECK_EQ(peal_outbox_send(&out, 1, data, max - i, 0), 0);
		CHECK_EQ(peal_inbox_read(&box.inbox, LONG, copy, sizeof(copy),
					 &letter),
			 1);
		CHECK_EQ(letter.size, max - i);
		CHECK(memcmp(data, copy, letter.size) == 0);
	}
	close_all();
}

TEST(the_largest_message_gets_through_and_a_larger_one_is_refused)
{
	send_the_largest(false);
}

TEST(the_largest_message_with_a_stamp_gets_through_too)
{
	send_the_largest(true);
}

TEST(messages_may_have_no_bytes)
{
	struct peal_letter letter;
	char *room;

	open_small();
	CHECK_EQ(peal_outbox_reserve(&out, 0, -1, &room), 1);
	CHECK_EQ(peal_outbox_commit(&out, 1, 0), 0);
	CHECK_EQ(peal_outbox_send_when_empty(&out, 2, NULL, 0, 0), -ETIMEDOUT);
	CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
	CHECK_EQ(letter.size, 0);
	CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	CHECK_EQ(peal_outbox_send_when_empty(&out, 2, NULL, 0, 0), 0);
	CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
	CHECK_EQ(letter.kind, 2);
	CHECK_EQ(letter.size, 0);
	close_all();
}

/* -- when all was taken */

static int flush(void *arg)
{
	return peal_outbox_flush(arg, -1);
}

TEST(flush_waits_until_all_was_released)
{
	struct peal_letter letter;
	struct task task;

	open_small();
	CHECK_EQ(peal_outbox_flush(&out, 0), 0);
	put_text(&out, "one");
	put_text(&out, "two");
	task_start(&task, flush, &out);
	get_text(&box, LONG, "one");
	CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
	usleep(20000);
	CHECK(!task_done(&task));
	CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	CHECK_EQ(task_end(&task, &box), 0);
	close_all();
}

static int send_alone(void *arg)
{
	return peal_outbox_send_when_empty(arg, 7, "alone", 5, -1);
}

TEST(what_must_not_queue_waits_for_its_own_only)
{
	struct task task;

	open_small();
	join(&box, &other, "other");
	put_text(&other, "of another");
	CHECK_EQ(peal_outbox_send_when_empty(&out, 7, "at once", 7, 0), 0);
	CHECK_EQ(peal_outbox_send_when_empty(&out, 7, "again", 5, 0),
		 -ETIMEDOUT);
	task_start(&task, send_alone, &out);
	get_text(&box, LONG, "of another");
	CHECK(!task_done(&task));
	get_text(&box, LONG, "at once");
	get_text(&box, LONG, "alone");
	CHECK_EQ(task_end(&task, &box), 0);
	get_nothing(&box);
	close_all();
}

/* -- closing */

TEST(closing_flushes)
{
	struct task task;

	open_small();
	put_text(&out, "one");
	task_start(&task, flush, &out);
	get_text(&box, LONG, "one");
	CHECK_EQ(task_end(&task, &box), 0);
	CHECK_EQ(peal_outbox_close(&out, -1), 0);
	CHECK_EQ(peal_outbox_close(&out, -1), 0);
	close_all();
}

TEST(what_was_not_taken_in_time_arrives_after_closing)
{
	open_small();
	put_text(&out, "one");
	put_text(&out, "two");
	CHECK_EQ(peal_outbox_close(&out, 1), -ETIMEDOUT);
	get_text(&box, LONG, "one");
	get_text(&box, LONG, "two");
	await_channels(&box, 0);
	close_all();
}

static void close_in_child(void *user)
{
	(void)user;
	CHECK_EQ(peal_outbox_close(&out, -1), -ECHILD);
	CHECK_EQ(peal_outbox_close(&out, -1), 0);
}

TEST(a_child_that_closes_its_copy_neither_waits_nor_ends_anything)
{
	open_small();
	put_text(&out, "one");
	test_join(test_fork(close_in_child, NULL));
	put_text(&out, "two");
	get_text(&box, LONG, "one");
	get_text(&box, LONG, "two");
	close_all();
}

TEST(an_outbox_that_is_closed_says_so)
{
	char *room = NULL;

	CHECK_EQ(peal_outbox_send(&out, 7, "x", 1, -1), -EPIPE);
	CHECK_EQ(peal_outbox_send_when_empty(&out, 7, "x", 1, -1), -EPIPE);
	CHECK_EQ(peal_outbox_reserve(&out, 1, -1, &room), -EPIPE);
	CHECK(room == NULL);
	CHECK_EQ(peal_outbox_commit(&out, 7, 0), -EINVAL);
	CHECK_EQ(peal_outbox_flush(&out, -1), -EPIPE);
	CHECK_EQ(peal_outbox_close(&out, -1), 0);
}

/* -- opening */

TEST(where_nobody_listens_opening_fails)
{
	char path[] = "/tmp/peal-test-XXXXXX", missing[64];

	CHECK(mkdtemp(path));
	snprintf(missing, sizeof(missing), "%s/none", path);
	CHECK_EQ(peal_outbox_open(&out, box_address(&box), NULL, NULL, 0, -1),
		 -ECONNREFUSED);
	CHECK_EQ(peal_outbox_open(&out, missing, NULL, NULL, 0, -1), -ENOENT);
	CHECK_EQ(peal_outbox_send(&out, 7, "x", 1, -1), -EPIPE);
	rmdir(path);
}

TEST(opening_where_nobody_answers_ends_in_time)
{
	uint64_t began = ms_now();

	CHECK_EQ(box_open(&box, NULL), 0);
	CHECK_EQ(peal_outbox_open(&out, box.address, NULL, NULL, 0, 30),
		 -ETIMEDOUT);
	CHECK(ms_now() - began >= 29);
	close_all();
}

TEST(names_and_tags_that_are_too_long_are_refused)
{
	char text[65] = { 0 };

	CHECK_EQ(box_open(&box, NULL), 0);
	memset(text, 'x', 64);
	CHECK_EQ(try_join(&box, &out, text, NULL, 0), -EINVAL);
	CHECK(out.channel.text[0]);
	CHECK_EQ(try_join(&box, &out, NULL, text, 0), -EINVAL);
	CHECK(out.channel.text[0]);
	text[63] = '\0';
	CHECK_EQ(try_join(&box, &out, text, NULL, 0), 0);
	close_all();
}

static void try_tags(bool oldest)
{
	CHECK_EQ(box_open(&box, &(struct peal_inbox_options){ .oldest = oldest,
							      .tag = "log/1" }),
		 0);
	CHECK_EQ(try_join(&box, &out, NULL, "log/2", 0), -EPROTOTYPE);
	CHECK(strstr(out.channel.text, "log/1"));
	CHECK(strstr(out.channel.text, "log/2"));
	CHECK(!strstr(out.channel.text, "log/2+"));
	CHECK_EQ(try_join(&box, &out, NULL, NULL, 0), -EPROTOTYPE);
	CHECK_EQ(try_join(&box, &out, NULL, "log/1", 0), 0);
	put_text(&out, "hello");
	get_text(&box, LONG, "hello");
	close_all();
}

TEST(tags_that_differ_are_told)
{
	try_tags(false);
}

TEST(tags_that_differ_are_told_by_one_that_wants_stamps)
{
	try_tags(true);
}

/* -- another receiver */

static void restart(void)
{
	peal_inbox_close(&box.inbox);
	CHECK_EQ(box_open(&box, NULL), 0);
}

TEST(a_sender_that_waits_for_room_finds_the_next_receiver)
{
	struct task task;
	int n;

	open_small();
	n = fill_up();
	take(10);
	CHECK_EQ(fill_up(), 10);
	task_start(&task, send_last, &out);
	usleep(20000);
	restart();
	take(n);
	get_text(&box, LONG, "the last");
	CHECK_EQ(task_end(&task, &box), 0);
	CHECK(strcmp(box.senders[0].channel.hello.name, "cello") == 0);
	close_all();
}

TEST(a_sender_that_flushes_finds_the_next_receiver)
{
	struct task task;

	open_small();
	for (int i = 0; i < 5; i++) {
		put_text(&out, "one");
		put_text(&out, "two");
		task_start(&task, flush, &out);
		get_text(&box, LONG, "one");
		restart();
		get_text(&box, LONG, "two");
		CHECK_EQ(task_end(&task, &box), 0);
		get_nothing(&box);
	}
	CHECK_EQ(out.channel.connects, 6);
	close_all();
}

static int trickle(void *arg)
{
	bool *stop = arg;
	int n = 0, ret;

	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		ret = peal_outbox_send(&out, 7, "filling", 7, 0);
		if (ret < 0 && ret != -ETIMEDOUT)
			return ret;
		n += ret == 0;
		usleep(1000);
	}
	return n;
}

TEST(a_trickle_that_never_has_to_wait_finds_the_next_receiver)
{
	bool stop = false;
	struct task task;
	int taken = 100;

	CHECK_EQ(box_open(&box, NULL), 0);
	join(&box, &out, NULL); /* of 64 KiB */
	task_start(&task, trickle, &stop);
	for (int i = 0; i < 4; i++) {
		take(25);
		restart();
	}
	take(1);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	CHECK(task_end(&task, &box) > taken);
	for (taken = 101; taken < task.ret; taken++)
		take(1);
	get_nothing(&box);
	close_all();
}

TEST(while_there_is_no_receiver_messages_go_into_the_ring)
{
	struct task task;
	uint64_t began;
	int n;

	open_small();
	peal_inbox_close(&box.inbox);
	began = ms_now();
	n = fill_up();
	/* And once it has surely noticed. */
	while (ms_now() - began < 250)
		CHECK_EQ(peal_outbox_send(&out, 7, "filling", 7, 0),
			 -ETIMEDOUT);
	CHECK_EQ(n, 256);
	CHECK_EQ(peal_outbox_send(&out, 7, "filling", 7, 30), -ETIMEDOUT);
	CHECK_EQ(peal_outbox_send(&out, 7, "filling", 7, 30), -ETIMEDOUT);
	CHECK_EQ(peal_outbox_flush(&out, 0), -ETIMEDOUT);
	CHECK_EQ(peal_outbox_flush(&out, 30), -ETIMEDOUT);
	CHECK_EQ(peal_outbox_flush(&out, 30), -ETIMEDOUT);
	CHECK_EQ(box_open(&box, NULL), 0);
	task_start(&task, send_last, &out);
	take(n);
	get_text(&box, LONG, "the last");
	CHECK_EQ(task_end(&task, &box), 0);
	close_all();
}

TEST(a_sender_that_never_waits_loses_none_while_there_is_no_receiver)
{
	uint64_t began = ms_now();
	bool stop = false;
	struct task task;
	int sent = 0;

	CHECK_EQ(box_open(&box, NULL), 0);
	join(&box, &out, NULL);
	peal_inbox_close(&box.inbox);
	/* There is room all the time, so none is refused. */
	while (ms_now() - began < 350) {
		CHECK_EQ(peal_outbox_send(&out, 7, "filling", 7, 0), 0);
		sent++;
		usleep(1000);
	}
	CHECK_EQ(box_open(&box, NULL), 0);
	task_start(&task, trickle, &stop);
	take(sent);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	sent = task_end(&task, &box);
	take(sent);
	get_nothing(&box);
	close_all();
}

TEST(closing_without_a_receiver_ends_in_time)
{
	uint64_t began;

	open_small();
	put_text(&out, "lost");
	peal_inbox_close(&box.inbox);
	began = ms_now();
	CHECK_EQ(peal_outbox_close(&out, 150), -ETIMEDOUT);
	CHECK(ms_now() - began >= 149);
	close_all();
}
