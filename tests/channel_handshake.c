/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The handshake: what is asked for, what is granted, what is refused in which
 * words, and that no fd is left behind by any of it.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fixtures/service.h"

static struct peal_channel client;

static void attempt(const struct peal_hello *hello)
{
	client_meets(&client, link_path, hello);
}

/* -- refusals: the same words on both sides */

static bool admit_none(const struct peal_hello *hello,
		       const struct peal_peer *peer, const char **why,
		       void *user)
{
	(void)peer;
	(void)user;
	if (strcmp(hello->name, "cello") == 0)
		*why = "no celli today";
	return false;
}

struct mismatch {
	const char *name;
	struct peal_service service;
	struct peal_hello hello;
	int reason;
	const char *text;
};

static const struct mismatch mismatches[] = {
	{ "another_item_size_is_named_with_both_sizes",
	  { .accept = { .item_size = 8 } },
	  { .role = PEAL_SENDER, .item_size = 4 },
	  -EPROTOTYPE,
	  "item size: server 8, client 4" },
	{ "another_item_size_of_a_receiver_is_named_with_both_sizes",
	  { .accept = { .item_size = 8 } },
	  { .role = PEAL_RECEIVER, .item_size = 12345678901 },
	  -EPROTOTYPE,
	  "back item size: server 8, client 12345678901" },
	{ "another_tag_is_named_with_both_tags",
	  { .accept = { .tag = "number/1" } },
	  { .role = PEAL_SENDER, .item_size = 8, .tag = "number/2" },
	  -EPROTOTYPE,
	  "tag: server \"number/1\", client \"number/2\"" },
	{ "a_tag_that_is_missing_is_named",
	  { .accept = { .tag = "number/1" } },
	  { .role = PEAL_SENDER, .item_size = 8 },
	  -EPROTOTYPE,
	  "tag: server \"number/1\", client \"\"" },
	{ "another_role_is_named_with_both_roles",
	  { .accept = { .role = PEAL_RECEIVER } },
	  { .role = PEAL_SENDER, .item_size = 8 },
	  -EPROTOTYPE,
	  "role: server wants receiver, client is sender" },
	{ "both_roles_where_one_is_served_are_refused",
	  { .accept = { .role = PEAL_SENDER } },
	  { .role = PEAL_BOTH, .item_size = 8 },
	  -EPROTOTYPE,
	  "role: server wants sender, client is both" },
	{ "another_item_size_on_the_way_back_is_named",
	  { .accept = { .item_size = 8, .back_item_size = 4 } },
	  { .role = PEAL_BOTH, .item_size = 8, .back_item_size = 16 },
	  -EPROTOTYPE,
	  "back item size: server 4, client 16" },
	{ "another_tag_on_the_way_back_is_named",
	  { .accept = { .item_size = 8,
			.back_item_size = 4,
			.back_tag = "gain/1" } },
	  { .role = PEAL_BOTH,
	    .item_size = 8,
	    .back_item_size = 4,
	    .back_tag = "gain/2" },
	  -EPROTOTYPE,
	  "back tag: server \"gain/1\", client \"gain/2\"" },
	{ "rings_beyond_the_bytes_of_a_client_are_refused_with_both_figures",
	  { .max_bytes = 8191 },
	  { .role = PEAL_SENDER, .item_size = 4096, .capacity = 2 },
	  -EPERM,
	  "rings of 8192 bytes of items, the server allows 8191" },
	{ "both_rings_count_among_the_bytes_of_a_client",
	  { .max_bytes = 16383 },
	  { .role = PEAL_BOTH, .item_size = 4096, .capacity = 2 },
	  -EPERM,
	  "rings of 16384 bytes of items, the server allows 16383" },
	{ "rings_beyond_the_bytes_of_a_user_are_refused",
	  { .max_bytes_per_uid = 8191 },
	  { .role = PEAL_SENDER, .item_size = 4096, .capacity = 2 },
	  -EAGAIN,
	  "the server allows 8191 bytes for each user, and all are in use" },
	{ "rings_beyond_the_address_space_are_refused",
	  { .accept = { .item_size = 8 } },
	  { .role = PEAL_SENDER, .item_size = 8, .capacity = UINT64_MAX },
	  -EINVAL,
	  "rings beyond any memory" },
	{ "a_refusal_by_admit_has_its_text",
	  { .admit = admit_none },
	  { .role = PEAL_SENDER, .item_size = 8, .name = "cello" },
	  -EPERM,
	  "no celli today" },
	{ "a_refusal_by_admit_without_a_text_has_one",
	  { .admit = admit_none },
	  { .role = PEAL_SENDER, .item_size = 8 },
	  -EPERM,
	  "the server does not admit this client" },
};

static void check_refusal(const struct peal_hello *hello, int reason,
			  const char *text)
{
	struct peal_server_stats before, stats;

	peal_server_stats(&server, &before);
	attempt(hello);
	if (strcmp(here.text, text) != 0)
		test_fail(__FILE__, __LINE__, "client was told \"%s\"",
			  here.text);
	CHECK_EQ(here.reason, reason);
	CHECK_EQ(here.opens, 0);
	LINK_UNTIL(refused.n);
	CHECK_EQ(refused.n, 1);
	check_refused(reason, text);
	peal_server_stats(&server, &stats);
	CHECK_EQ(stats.refused, before.refused + 1);
	CHECK_EQ(stats.failed, before.failed);
	CHECK_EQ(stats.opened, before.opened);
	CHECK_EQ(stats.handshakes, 0);
}

static void mismatch_row(const void *row)
{
	const struct mismatch *m = row;
	struct peal_service service = m->service;
	int fds;

	service.callbacks = party_callbacks(&there);
	service.on_refused = on_refused;
	service.channels = channels;
	service.n_channels = CHANNELS;
	if (!service.accept.item_size && !service.admit)
		service.admit = admit_any;
	link_serve(LINK_OWN, &service);
	fds = test_count_fds();
	for (int i = 0; i < 3; i++) {
		check_refusal(&m->hello, m->reason, m->text);
		CHECK_EQ(test_count_fds(), fds);
		CHECK(is_unused(channels));
	}
	CHECK_EQ(there.opens + there.closes, 0);
	link_end();
}

__attribute__((constructor)) static void add_mismatches(void)
{
	enum {
		N = sizeof(mismatches) / sizeof(*mismatches)
	};
	static struct test tests[N];

	for (int i = 0; i < N; i++)
		test_register_row(&tests[i], mismatches[i].name, mismatch_row,
				  &mismatches[i]);
}

static void hear_a_refusal(void *arg)
{
	struct peal_hello hello = { .role = PEAL_SENDER, .item_size = 4 };
	struct peal_channel ch, zero = { 0 };
	int fds = test_count_fds(), ret;

	(void)arg;
	while ((ret = peal_connect(&ch, link_path, &hello, -1)) == -ENOENT ||
	       ret == -ECONNREFUSED)
		usleep(1000);
	CHECK_EQ(ret, -EPROTOTYPE);
	CHECK(strcmp(ch.text, "item size: server 8, client 4") == 0);
	memset(ch.text, 0, sizeof(ch.text));
	CHECK(memcmp(&ch, &zero, sizeof(ch)) == 0);
	CHECK_EQ(test_count_fds(), fds);
}

TEST(a_blocking_client_is_refused_in_words_and_has_nothing_but_them)
{
	struct peal_service service = usual();
	pid_t pid;

	link_folder();
	pid = test_fork(hear_a_refusal, NULL);
	link_serve(LINK_OWN, &service);
	LINK_UNTIL(refused.n);
	CHECK_EQ(refused.reason, -EPROTOTYPE);
	test_join(pid);
	link_end();
}

TEST(a_server_without_on_readable_receives_nothing)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_SENDER, 8);

	service.callbacks.on_readable = NULL;
	link_serve(LINK_OWN, &service);
	check_refusal(&hello, -EPROTOTYPE, "role: the server receives nothing");
	hello.role = PEAL_BOTH;
	check_refusal(&hello, -EPROTOTYPE, "role: the server receives nothing");
	hello.role = PEAL_RECEIVER;
	attempt(&hello);
	CHECK_EQ(here.opens, 1);
	peal_channel_close(&client);
	settle();
	link_end();
}

TEST(a_hello_that_makes_no_sense_is_not_even_sent)
{
	const struct {
		struct peal_hello hello;
		const char *text;
	} rows[] = {
		{ { .item_size = 8 }, "no such role" },
		{ { .role = (enum peal_role)4, .item_size = 8 },
		  "no such role" },
		{ { .role = PEAL_SENDER,
		    .item_size = 8,
		    .bells = (enum peal_doorbell_kind)3 },
		  "no such kind of doorbell" },
		{ { .role = PEAL_SENDER }, "an item size of 0" },
		{ { .role = PEAL_SENDER, .item_size = 8, .name = "a\033[2J" },
		  "a tag or name that is no text" },
		{ { .role = PEAL_SENDER, .item_size = 8, .tag = "a\x7f" },
		  "a tag or name that is no text" },
	};
	struct peal_channel ch = { 0 };
	struct peal_hello long_name = { .role = PEAL_SENDER, .item_size = 8 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		CHECK_EQ(peal_connect(&ch, "@peal-test", &rows[i].hello, 0),
			 -EINVAL);
		CHECK(strcmp(ch.text, rows[i].text) == 0);
	}
	memset(long_name.name, 'x', sizeof(long_name.name));
	CHECK_EQ(peal_connect(&ch, "@peal-test", &long_name, 0), -EINVAL);
}

/* -- what is granted */

static uint64_t granted(uint64_t item_size, uint64_t capacity)
{
	struct peal_hello hello = { .role = PEAL_SENDER,
				    .item_size = item_size,
				    .capacity = capacity };
	uint64_t ret;

	attempt(&hello);
	CHECK_EQ(here.opens, 1);
	ret = client.out.ring.geometry.capacity;
	LINK_UNTIL(there.opens);
	CHECK_EQ(there.ch->in.ring.geometry.capacity, ret);
	CHECK_EQ((ret * item_size) % peal_mem_page(0), 0);
	CHECK(ret >= capacity);
	there.opens = 0;
	peal_channel_close(&client);
	settle();
	return ret;
}

TEST(the_capacity_is_rounded_up_to_what_can_be_mapped_twice)
{
	struct peal_service service = usual();

	if (peal_mem_page(0) != 4096)
		test_skip("the figures are those of pages of 4096 bytes");
	service.accept.item_size = 0;
	service.admit = admit_any;
	link_serve(LINK_OWN, &service);
	CHECK_EQ(granted(8, 1), 512);
	CHECK_EQ(granted(8, 512), 512);
	CHECK_EQ(granted(8, 513), 1024);
	CHECK_EQ(granted(8, 4800), 8192);
	CHECK_EQ(granted(4096, 1), 1);
	CHECK_EQ(granted(24, 1), 512);
	CHECK_EQ(granted(1, 1), 4096);
	link_end();
}

TEST(a_capacity_of_0_is_64_kib_or_what_the_server_says)
{
	struct peal_service service = usual();

	service.accept.item_size = 0;
	service.admit = admit_any;
	link_serve(LINK_OWN, &service);
	CHECK_EQ(granted(8, 0), 65536 / 8);
	CHECK_EQ(granted(65536, 0), 2);
	peal_server_close(&server);
	service.accept.capacity = 100000;
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service), 0);
	CHECK_EQ(granted(8, 0), 131072);
	CHECK_EQ(granted(8, 1024), 1024);
	link_end();
}

/* What a client asks for counts, and not what we need besides. */
TEST(a_limit_that_is_asked_for_to_the_byte_is_granted)
{
	struct peal_service service = usual();

	service.accept.item_size = 0;
	service.admit = admit_any;
	service.max_bytes = 1 << 20;
	service.max_bytes_per_uid = 1 << 20;
	link_serve(LINK_OWN, &service);
	CHECK_EQ(granted(8, (1 << 20) / 8), (1 << 20) / 8);
	CHECK_EQ(granted(1 << 20, 1), 1);
	CHECK_EQ(granted(1, 1 << 20), 1 << 20);
	link_end();
}

TEST(a_ring_of_64_mib_is_allowed_by_default_and_not_a_byte_more)
{
	struct peal_service service = usual();
	struct peal_hello hello = { .role = PEAL_SENDER,
				    .item_size = 1,
				    .capacity = (64 << 20) + 1 };

	service.accept.item_size = 0;
	service.admit = admit_any;
	link_serve(LINK_OWN, &service);
	CHECK_EQ(granted(1, 64 << 20), 64 << 20);
	check_refusal(&hello, -EPERM,
		      "rings of 67108865 bytes of items, the server allows "
		      "67108864");
	link_end();
}

/* Whoever wants as much has to ask for it. */
TEST(a_server_that_is_too_generous_is_refused)
{
	struct peal_service service = usual();
	struct peal_hello hello = { .role = PEAL_SENDER, .item_size = 8 };

	service.accept.item_size = 0;
	service.accept.capacity = 16 << 20; /* 128 MiB */
	service.max_bytes = 1 << 30;
	service.admit = admit_any;
	link_serve(LINK_OWN, &service);
	attempt(&hello);
	CHECK_EQ(here.opens, 0);
	CHECK_EQ(here.reason, -EPROTO);
	CHECK(strstr(here.text, "much larger"));
	settle();
	CHECK_EQ(granted(8, 9 << 20), 16 << 20);
	link_end();
}

static bool mapped(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, name) != NULL;
	fclose(maps);
	return n > 0;
}

TEST(both_rings_have_their_size_tag_and_name)
{
	struct peal_service service = usual();
	struct peal_hello hello = { .role = PEAL_BOTH,
				    .item_size = 8,
				    .capacity = 512,
				    .tag = "sample/1",
				    .back_item_size = 4,
				    .back_capacity = 2048,
				    .back_tag = "gain/1",
				    .name = "cello" };
	const struct peal_geometry *out = &client.out.ring.geometry;
	const struct peal_geometry *back = &client.in.ring.geometry;

	service.accept = hello;
	link_serve(LINK_OWN, &service);
	attempt(&hello);
	CHECK_EQ(here.opens, 1);
	CHECK(mapped("memfd:peal:cello"));
	CHECK_EQ(out->item_size, 8);
	CHECK_EQ(out->capacity, 512);
	CHECK(strcmp(out->tag, "sample/1") == 0);
	CHECK_EQ(back->item_size, 4);
	CHECK_EQ(back->capacity, 2048);
	CHECK(strcmp(back->tag, "gain/1") == 0);
	LINK_UNTIL(there.opens);
	CHECK(memcmp(&there.ch->in.ring.geometry, out, sizeof(*out)) == 0);
	CHECK(memcmp(&there.ch->out.ring.geometry, back, sizeof(*back)) == 0);
	peal_channel_close(&client);
	settle();
	CHECK(!mapped("memfd:peal:cello"));
	link_end();
}

TEST(bells_are_those_of_the_trust_unless_asked_for_otherwise)
{
	/* The peer is of the same user: trusted. */
	static const enum peal_doorbell_kind granted_bells[3][3] = {
		/* the client asks for ... by trust, eventfd, socket; the server
		 * by trust: */
		{ PEAL_DOORBELL_EVENTFD, PEAL_DOORBELL_EVENTFD,
		  PEAL_DOORBELL_SOCKET },
		/* eventfds: */
		{ PEAL_DOORBELL_EVENTFD, PEAL_DOORBELL_EVENTFD,
		  PEAL_DOORBELL_SOCKET },
		/* the socket: */
		{ PEAL_DOORBELL_SOCKET, PEAL_DOORBELL_SOCKET,
		  PEAL_DOORBELL_SOCKET },
	};
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_BOTH, 8);

	service.callbacks.on_ended = NULL; /* one party for them all */
	for (int s = 0; s < 3; s++)
		for (int c = 0; c < 3; c++) {
			service.accept.bells = (enum peal_doorbell_kind)s;
			hello.bells = (enum peal_doorbell_kind)c;
			link_serve(LINK_OWN, &service);
			attempt(&hello);
			CHECK_EQ(here.opens, 1);
			CHECK_EQ(peal_channel_bells(&client),
				 granted_bells[s][c]);
			LINK_UNTIL(there.opens);
			CHECK_EQ(peal_channel_bells(there.ch),
				 granted_bells[s][c]);
			there.opens = 0;
			peal_channel_close(&client);
			settle();
			link_end();
		}
}

/* -- every fd */

TEST(a_channel_costs_the_fds_that_it_says)
{
	struct peal_service service = usual();

	service.callbacks.on_ended = NULL; /* one party for them all */
	link_serve(LINK_OWN, &service);
	for (int role = PEAL_SENDER; role <= PEAL_BOTH; role++)
		for (int bells = 1; bells <= 2; bells++) {
			struct peal_hello hello =
				link_hello((enum peal_role)role, 8);
			int fds = test_count_fds(), expected, rings;

			hello.bells = (enum peal_doorbell_kind)bells;
			attempt(&hello);
			LINK_UNTIL(there.opens);
			rings = role == PEAL_BOTH ? 2 : 1;
			/* A socket on each side, and the server's pidfd. */
			expected = fds + 2 + (there.ch->peer.pidfd >= 0);
			if (bells == PEAL_DOORBELL_EVENTFD)
				expected += 2 * 2 * rings;
			CHECK_EQ(test_count_fds(), expected);
			there.opens = 0;
			peal_channel_close(&client);
			settle();
			CHECK_EQ(test_count_fds(), fds);
		}
	link_end();
}

static void set_fd_limit(int n)
{
	struct rlimit limit;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = n ? (rlim_t)n : limit.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* From no fd at all to as many as it takes. */
static void connect_with_few_fds(void *arg)
{
	struct peal_hello hello = link_hello(PEAL_BOTH, 8);
	int fds, ret = -EMFILE, failures = 0;
	struct peal_channel ch;

	(void)arg;
	hello.bells = PEAL_DOORBELL_EVENTFD;
	link_connect(&ch, &hello);
	peal_channel_close(&ch);
	fds = test_count_fds();
	for (int n = 1; ret < 0; n++, failures++) {
		set_fd_limit(n);
		/* The server may not have seen yet that the last one is gone.
		 */
		while ((ret = peal_connect(&ch, link_path, &hello, -1)) ==
		       -EAGAIN)
			usleep(100);
		set_fd_limit(0);
		if (ret != 0 && ret != -EMFILE)
			test_fail(__FILE__, __LINE__, "%d: %s", ret, ch.text);
		if (ret == 0) {
			link_put(&ch, 0, 10);
			peal_channel_close(&ch);
		}
		CHECK_EQ(test_count_fds(), fds);
	}
	CHECK(failures >= 7);
}

TEST(a_client_that_lacks_fds_fails_and_keeps_none)
{
	struct peal_service service = usual();
	pid_t pid;
	int fds;

	service.callbacks.on_ended = NULL; /* one party for them all */
	link_folder();
	pid = test_fork(connect_with_few_fds, NULL);
	link_serve(LINK_OWN, &service);
	fds = test_count_fds();
	LINK_UNTIL(there.closes == 2 && refused.n > 2);
	CHECK_EQ(there.opens, 2);
	test_join(pid);
	settle();
	CHECK_EQ(test_count_fds(), fds);
	link_end();
}
