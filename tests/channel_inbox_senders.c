/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Who sends to an inbox: names and credentials, comings and goings, limits. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>

#include "fixtures/box.h"
#include "fixtures/memory.h"

/* -- who it is */

TEST(each_message_says_who_sent_it)
{
	struct peal_letter letter;

	open_with(NULL);
	join(&box, &a, "cello");
	join(&box, &b, NULL);
	put_text(&a, "from a");
	put_text(&b, "from b");
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
		CHECK(strcmp(letter.from->hello.name, i ? "" : "cello") == 0);
		check_text(&letter, i ? "from b" : "from a");
		CHECK_EQ(letter.from->peer.uid, getuid());
		CHECK_EQ(letter.from->peer.gid, getgid());
		CHECK_EQ(letter.from->peer.pid, getpid());
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	}
	close_all();
}

static void send_as_nobody(void *address)
{
	struct peal_outbox out;

	CHECK_EQ(setresgid(65533, 65533, 65533), 0);
	CHECK_EQ(setresuid(65534, 65534, 65534), 0);
	CHECK_EQ(peal_outbox_open(&out, address, "nobody", NULL, 1, LONG), 0);
	for (int i = 0; i < 1000; i++)
		CHECK_EQ(peal_outbox_send(&out, 7, "whoever", 7, -1), 0);
	CHECK_EQ(peal_outbox_close(&out, -1), 0);
}

TEST(a_sender_of_another_user_is_known_as_such)
{
	struct peal_letter letter;
	pid_t pid;

	if (getuid() != 0)
		test_skip("only root can be another user");
	open_with(NULL);
	pid = test_fork(send_as_nobody, box.address);
	for (int i = 0; i < 1000; i++) {
		CHECK_EQ(peal_inbox_receive(&box.inbox, -1, &letter), 1);
		check_text(&letter, "whoever");
		CHECK_EQ(letter.from->peer.uid, 65534);
		CHECK_EQ(letter.from->peer.gid, 65533);
		CHECK_EQ(letter.from->peer.pid, pid);
		CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	}
	await_channels(&box, 0);
	test_join(pid);
	close_all();
}

static bool only_cellos(const struct peal_hello *hello,
			const struct peal_peer *peer, const char **why,
			void *user)
{
	CHECK_EQ(peer->uid, getuid());
	++*(int *)user;
	*why = "cellos only";
	return strcmp(hello->name, "cello") == 0;
}

TEST(admit_decides_and_its_reason_is_told)
{
	int asked = 0;

	open_with(&(struct peal_inbox_options){ .admit = only_cellos,
						.user = &asked });
	CHECK_EQ(try_join(&box, &a, "cello", NULL, 0), 0);
	CHECK_EQ(try_join(&box, &b, "horn", NULL, 0), -EPERM);
	CHECK(strcmp(b.channel.text, "cellos only") == 0);
	CHECK_EQ(asked, 2);
	put_text(&a, "hello");
	get_text(&box, LONG, "hello");
	close_all();
}

/* -- those that come to nothing */

struct refusals {
	int n, reason;
	pid_t pid;
	char text[PEAL_TEXT];
};

static void on_refused(const struct peal_peer *peer, int reason,
		       const char *text, void *user)
{
	struct refusals *r = user;

	r->n++;
	r->reason = reason;
	r->pid = peer->pid;
	strcpy(r->text, text);
}

static bool nobody(const struct peal_hello *hello, const struct peal_peer *peer,
		   const char **why, void *user)
{
	(void)hello;
	(void)peer;
	(void)user;
	*why = "nobody today";
	return false;
}

TEST(who_is_turned_away_is_told_of)
{
	struct refusals r = { 0 };

	open_with(&(struct peal_inbox_options){
		.admit = nobody, .on_refused = on_refused, .user = &r });
	CHECK_EQ(try_join(&box, &a, "horn", NULL, 0), -EPERM);
	CHECK_EQ(r.n, 1);
	CHECK_EQ(r.reason, -EPERM);
	CHECK_EQ(r.pid, getpid());
	CHECK(strcmp(r.text, "nobody today") == 0);
	close_all();
}

TEST(of_one_with_another_tag_too)
{
	struct refusals r = { 0 };

	open_with(&(struct peal_inbox_options){
		.tag = "log/1", .on_refused = on_refused, .user = &r });
	CHECK_EQ(try_join(&box, &a, NULL, "log/2", 0), -EPROTOTYPE);
	CHECK(r.n > 0);
	CHECK_EQ(r.reason, -EPROTOTYPE);
	CHECK(strstr(r.text, "log/1"));
	close_all();
}

/* There is a channel by then, and it never opens. */
TEST(of_one_for_whom_there_is_no_memory_too)
{
	struct refusals r = { 0 };

	open_with(&(struct peal_inbox_options){ .on_refused = on_refused,
						.user = &r });
	refuse(SYS_memfd_create, 0, 0, 0, ENOMEM);
	CHECK(try_join(&box, &a, NULL, NULL, 0) < 0);
	CHECK_EQ(r.n, 1);
	CHECK_EQ(r.reason, -ENOMEM);
	close_all();
}

/* Its sender asks a second time, by itself. */
TEST(of_one_that_learns_of_stamps_nothing_is_told)
{
	struct refusals r = { 0 };

	open_with(&(struct peal_inbox_options){ .oldest = true,
						.tag = "log/1",
						.on_refused = on_refused,
						.user = &r });
	CHECK_EQ(try_join(&box, &a, NULL, "log/1", 0), 0);
	CHECK_EQ(r.n, 0);
	CHECK_EQ(try_join(&box, &b, NULL, "log/2", 0), -EPROTOTYPE);
	CHECK(r.n > 0);
	close_all();
}

struct comings {
	int joined, left, reason;
	char name[64];
};

static void on_joined(const struct peal_channel *from, void *user)
{
	struct comings *comings = user;

	comings->joined++;
	strcpy(comings->name, from->hello.name);
}

static void on_left(const struct peal_channel *from, int reason, void *user)
{
	struct comings *comings = user;

	comings->left++;
	comings->reason = reason;
	strcpy(comings->name, from->hello.name);
}

TEST(a_sender_that_comes_and_goes_is_told_after_its_last_message)
{
	struct comings comings = { 0 };
	struct peal_letter letter;

	open_with(&(struct peal_inbox_options){
		.on_joined = on_joined, .on_left = on_left, .user = &comings });
	join(&box, &a, "cello");
	CHECK_EQ(comings.joined, 1);
	CHECK(strcmp(comings.name, "cello") == 0);
	comings.name[0] = '\0';
	for (int i = 0; i < 3; i++)
		put_text(&a, "bye");
	CHECK_EQ(peal_outbox_close(&a, 0), -ETIMEDOUT);
	for (int i = 0; i < 3; i++) {
		get_text(&box, LONG, "bye");
		for (int k = 0; k < 3; k++)
			CHECK(peal_reactor_run_once(&box.inbox.own, 0) >= 0);
		CHECK_EQ(comings.left, i == 2);
	}
	CHECK_EQ(peal_inbox_receive(&box.inbox, 10, &letter), -ETIMEDOUT);
	CHECK_EQ(comings.left, 1);
	CHECK_EQ(comings.reason, 0);
	CHECK(strcmp(comings.name, "cello") == 0);
	CHECK_EQ(box_channels(&box), 0);
	close_all();
}

static void send_and_die(void *address)
{
	struct peal_outbox out;

	CHECK_EQ(peal_outbox_open(&out, address, "doomed", NULL, 0, LONG), 0);
	put_text(&out, "one");
	put_text(&out, "two");
	_exit(0); /* and say nothing */
}

TEST(what_a_dead_sender_had_sent_arrives_before_it_has_left)
{
	struct comings comings = { 0 };
	struct peal_letter letter;
	pid_t pid;

	open_with(&(struct peal_inbox_options){
		.on_joined = on_joined, .on_left = on_left, .user = &comings });
	pid = test_fork(send_and_die, box.address);
	CHECK_EQ(peal_inbox_receive(&box.inbox, LONG, &letter), 1);
	check_text(&letter, "one");
	CHECK_EQ(letter.from->peer.pid, pid);
	test_join(pid);
	CHECK_EQ(peal_inbox_release(&box.inbox, &letter), 0);
	CHECK_EQ(comings.left, 0);
	get_text(&box, 0, "two");
	await_channels(&box, 0);
	CHECK_EQ(comings.left, 1);
	CHECK_EQ(comings.reason, -EPIPE);
	close_all();
}

/* -- limits */

TEST(more_senders_than_places_are_asked_to_come_again)
{
	open_with(&(struct peal_inbox_options){ .senders = box.senders,
						.n_senders = 2 });
	join(&box, &a, "a");
	join(&box, &b, "b");
	CHECK_EQ(try_join(&box, &c, "c", NULL, 0), -EAGAIN);
	CHECK(c.channel.text[0]);
	CHECK_EQ(peal_outbox_close(&a, LONG), 0);
	await_channels(&box, 1);
	join(&box, &c, "c");
	put_text(&c, "hello");
	get_text(&box, LONG, "hello");
	close_all();
}

TEST(a_user_has_as_many_places_as_the_limit_says)
{
	open_with(&(struct peal_inbox_options){ .max_per_uid = 1 });
	join(&box, &a, "a");
	CHECK_EQ(try_join(&box, &b, "b", NULL, 0), -EAGAIN);
	close_all();
}

TEST(a_ring_is_no_larger_than_the_limit)
{
	open_with(&(struct peal_inbox_options){ .max_bytes = 1 << 20 });
	CHECK_EQ(try_join(&box, &a, "a", NULL, (1 << 20) + 1), -EPERM);
	CHECK(strstr(a.channel.text, "1048576"));
	CHECK_EQ(try_join(&box, &a, "a", NULL, 1 << 20), 0);
	CHECK_EQ(try_join(&box, &b, "b", NULL, SIZE_MAX), -EINVAL);
	close_all();
}
