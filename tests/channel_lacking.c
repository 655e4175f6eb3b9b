/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is lacking at one side ends a connect at once, with an error that says
 * at which; and no server says OPEN before it has all that it takes to serve.
 */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixtures/memory.h"

#include "fixtures/service.h"

#define FOR_EVER 60000

/* -- at the client: none of it says to wait, or to connect again */

struct lack {
	int error, expected;
	bool on_reactor;
};

static bool nobody_listens(int ret)
{
	return ret == -ENOENT || ret == -ECONNREFUSED;
}

static void connect_and_lack(void *arg)
{
	const struct lack *lack = arg;
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel ch = { 0 };
	const char *text = ch.text;
	int ret;

	alarm(20);
	/* Of those that take a ring nobody else makes this call. */
	refuse(FCNTL_NUMBER, 1, ~0u, F_GET_SEALS, lack->error);
	if (lack->on_reactor) {
		link_reactor(LINK_OWN);
		do
			client_meets(&ch, link_path, &hello);
		while (nobody_listens(here.reason));
		CHECK_EQ(here.opens, 0);
		CHECK_EQ(here.reason, lack->expected);
		peal_reactor_close(&loop);
		text = here.text;
	} else {
		do
			ret = peal_connect(&ch, link_path, &hello, FOR_EVER);
		while (nobody_listens(ret));
		CHECK_EQ(ret, lack->expected);
	}
	if (lack->error != EIO && !strstr(text, "this process lacks something"))
		test_fail(__FILE__, __LINE__, "was told \"%s\"", text);
}

TEST(what_a_client_lacks_ends_its_connect_at_once)
{
	static const int errors[] = { EAGAIN, EBUSY,  EPIPE,	    ETIMEDOUT,
				      ENOENT, EDQUOT, ECONNREFUSED, EIO };
	struct peal_service service = usual();

	/* Where that does nothing, seccomp(2) does not either. */
	test_needs_madvise();
	for (int i = 0; i < 16; i++) {
		int error = errors[i / 2];
		struct lack lack = { error, error == EIO ? -EIO : -ENOMEM,
				     i % 2 };
		pid_t pid;

		there = (struct party){ 0 };
		refused.n = 0;
		link_folder();
		pid = test_fork(connect_and_lack, &lack);
		link_serve(LINK_OWN, &service);
		LINK_UNTIL(refused.n);
		CHECK_EQ(refused.n, 1);
		CHECK_EQ(refused.reason, -ECONNABORTED);
		CHECK_EQ(there.opens + there.closes, 0);
		test_join(pid);
		link_end();
	}
}

/* As a sandbox may have it, which never comes to an end. */
static void connect_without_madvise(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);
	struct peal_channel ch;

	(void)arg;
	alarm(20);
	refuse(SYS_madvise, 2, ~1u, 22, EAGAIN); /* MADV_POPULATE_* */
	link_connect(&ch, &hello);
	link_put(&ch, 0, 1);
	peal_channel_close(&ch);
}

TEST(memory_that_is_never_to_be_had_by_madvise_is_faulted_in_otherwise)
{
	struct peal_service service = usual();
	pid_t pid;

	test_needs_madvise();
	there = (struct party){ 0 };
	link_folder();
	pid = test_fork(connect_without_madvise, NULL);
	link_serve(LINK_OWN, &service);
	LINK_UNTIL(there.closes);
	CHECK_EQ(there.in, 1);
	test_join(pid);
	link_end();
}

/* -- at the server: slots of its reactor */

static struct peal_source fillers[LINK_SLOTS];

static void nothing(struct peal_source *source, uint64_t expirations,
		    void *user)
{
	(void)source;
	(void)expirations;
	(void)user;
}

/* @return 0 served, 1 told that slots are lacking */
static void be_served_or_told(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_BOTH, 8);
	struct peal_channel ch;
	const uint64_t *item;
	int ret;

	hello.bells = *(enum peal_doorbell_kind *)arg;
	do
		ret = peal_connect(&ch, link_path, &hello, FOR_EVER);
	while (nobody_listens(ret));
	if (ret < 0) {
		CHECK_EQ(ret, -EREMOTEIO);
		CHECK(strstr(ch.text, "the server's reactor"));
		exit(3);
	}
	/* It is told yes, so it is served. */
	link_put(&ch, 0, 1);
	CHECK_EQ(peal_receiver_wait(&ch.receiver, 1, FOR_EVER, &item), 1);
	peal_channel_close(&ch);
}

/* @return did the client have a channel? */
static bool serve_with(int slots, enum peal_doorbell_kind bells)
{
	struct peal_service service = usual();
	int status, n = LINK_SLOTS - slots;
	bool served;
	pid_t pid;

	there = (struct party){ .most = 1 };
	refused.n = 0;
	service.callbacks.on_ended = NULL;
	link_folder();
	pid = test_fork(be_served_or_told, &bells);
	link_reactor(LINK_OWN);
	for (int i = 0; i < n; i++)
		CHECK_EQ(peal_reactor_add_timer(&loop, &fillers[i], nothing,
						NULL),
			 0);
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service), 0);
	LINK_UNTIL(there.closes || refused.n);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	served = WEXITSTATUS(status) == 0;
	CHECK_EQ(WEXITSTATUS(status), served ? 0 : 3);
	CHECK_EQ(there.opens, served);
	CHECK_EQ(there.in, served);
	if (!served)
		CHECK_EQ(refused.reason, -ENOSPC);
	CHECK_EQ(there.closes, served);
	for (int i = 0; i < n; i++)
		CHECK_EQ(peal_reactor_remove(&loop, &fillers[i]), 0);
	link_end();
	return served;
}

TEST(a_server_with_too_few_slots_says_so_and_opens_nothing)
{
	test_needs_madvise();
	for (int bells = PEAL_DOORBELL_EVENTFD; bells <= PEAL_DOORBELL_SOCKET;
	     bells++) {
		int slots = 2, served = 0;

		for (; slots <= 2 + PEAL_CHANNEL_SLOTS; slots++)
			served += serve_with(slots,
					     (enum peal_doorbell_kind)bells);
		CHECK(served >= 1);
		CHECK(served < 5);
	}
}

/* -- a capacity that is left to the server is one that it allows */

TEST(who_leaves_the_capacity_to_the_server_is_within_its_limits)
{
	static const uint64_t limits[] = { 16, 32, 1000, 65535, 65536, 131071 };

	test_needs_madvise();
	for (int i = 0; i < 12; i++) {
		enum peal_role role = i % 2 ? PEAL_BOTH : PEAL_SENDER;
		struct peal_hello hello = link_hello(role, 0);
		struct peal_service service = usual();
		struct peal_channel client = { 0 };

		there = (struct party){ 0 };
		service.max_bytes = limits[i / 2];
		service.callbacks.on_ended = NULL;
		link_serve(LINK_OWN, &service);
		client_meets(&client, link_path, &hello);
		if (role == PEAL_BOTH && service.max_bytes < 32) {
			CHECK_EQ(here.reason, -EPERM); /* two items each */
		} else {
			CHECK_EQ(here.opens, 1);
			peal_channel_close(&client);
		}
		settle();
		link_end();
	}
}
