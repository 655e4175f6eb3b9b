/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Clients on a reactor that connect again: from which ends they come back, and
 * from which they do not. See channel_resume.c for what is carried over.
 */
#include "../ring/internal.h"
#include "fixtures/service.h"

#define CAPACITY 512

static struct peal_channel client;

static void meet(const struct peal_hello *hello, unsigned retry_ms)
{
	struct peal_channel_callbacks callbacks = party_callbacks(&here);

	CHECK_EQ(peal_connect_on(&client, &loop, link_path, hello, &callbacks,
				 retry_ms),
		 0);
}

/* What nobody honest does. */
static void leap(void *page)
{
	((struct peal_page *)page)->position += 100000;
}

TEST(there_is_no_way_back_for_a_client_that_broke_the_protocol)
{
	struct peal_service service = keeping();
	struct peal_hello hello = link_hello(PEAL_RECEIVER, CAPACITY);

	strcpy(hello.name, "cello");
	link_serve(LINK_OWN, &service);
	there.most = 10000;
	here.deaf = true;
	meet(&hello, 0);
	LINK_UNTIL(here.opens && there.opens);
	LINK_UNTIL(there.out == CAPACITY);
	leap(client.in.ring.receiver_page);
	peal_doorbell_ring(&client.in.space);
	LINK_UNTIL(there.closes);
	CHECK_EQ(there.reason, -EPROTO);
	CHECK(is_unused(channels));
	LINK_UNTIL(here.closes);
	link_end();
}

TEST(a_client_does_not_go_back_to_a_server_that_broke_the_protocol)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_SENDER, CAPACITY);

	link_serve(LINK_OWN, &service);
	here.most = 10000;
	there.deaf = true;
	meet(&hello, 5);
	LINK_UNTIL(here.opens && there.opens);
	LINK_UNTIL(here.out == CAPACITY);
	leap(there.ch->in.ring.receiver_page);
	peal_doorbell_ring(&there.ch->in.space);
	LINK_UNTIL(here.closes);
	CHECK_EQ(here.reason, -EPROTO);
	CHECK_EQ(here.opens, 1);
	link_end();
}

TEST(an_impossible_position_is_found_when_a_ring_is_carried_over)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_SENDER, CAPACITY);

	link_serve(LINK_OWN, &service);
	here.most = 100;
	there.deaf = true;
	meet(&hello, 5);
	LINK_UNTIL(here.opens && there.opens && here.out == 100);
	leap(there.ch->in.ring.receiver_page);
	peal_server_close(&server);
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service), 0);
	LINK_UNTIL(here.closes);
	CHECK_EQ(here.reason, -EPROTO);
	CHECK_EQ(here.opens, 1);
	link_end();
}

TEST(a_refusal_ends_the_attempts_to_connect_again)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_SENDER, CAPACITY);

	link_serve(LINK_OWN, &service);
	meet(&hello, 5);
	LINK_UNTIL(here.opens && there.opens);
	peal_server_close(&server);
	service.accept.item_size = 4;
	CHECK_EQ(peal_server_listen_on(&server, &loop, link_path, &service), 0);
	LINK_UNTIL(here.closes);
	CHECK_EQ(here.reason, -EPROTOTYPE);
	CHECK(strcmp(here.text, "item size: server 4, client 8") == 0);
	link_end();
}

TEST(a_server_that_finishes_is_a_death_from_which_clients_come_back)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_BOTH, CAPACITY);

	link_serve(LINK_OWN, &service);
	here.most = there.most = UINT64_MAX;
	meet(&hello, 5);
	for (int i = 1; i <= 10; i++) {
		uint64_t in = here.in;

		LINK_UNTIL(here.opens == i && there.opens == i &&
			   here.in > in + 2000);
		CHECK_EQ(client.connects, i);
		peal_server_close(&server);
		/* Drained as ever; what the server sent and nobody has
		 * received goes with it, for it is no death of the client. */
		LINK_UNTIL(client.client.delay_ms); /* it will try again */
		CHECK_EQ(here.in, there.out);
		CHECK_EQ(peal_server_listen_on(&server, &loop, link_path,
					       &service),
			 0);
	}
	LINK_UNTIL(here.opens == 11 && there.opens == 11);
	CHECK_EQ(here.closes, 0);
	peal_channel_close(&client);
	LINK_UNTIL(there.closes);
	link_end();
}

TEST(a_channel_may_be_finished_while_its_server_is_away)
{
	struct peal_service service = usual();

	for (int role = PEAL_SENDER; role <= PEAL_BOTH; role++) {
		struct peal_hello hello = link_hello((enum peal_role)role,
						     CAPACITY);
		int fds;

		here = there = (struct party){ .most = 50 };
		link_serve(LINK_OWN, &service);
		fds = test_count_fds();
		meet(&hello, 1000);
		LINK_UNTIL(here.opens && there.opens);
		peal_server_close(&server);
		LINK_UNTIL(client.client.delay_ms); /* it will try again */
		peal_channel_close(&client);
		peal_channel_close(&client);
		CHECK_EQ(here.closes, 0);
		CHECK(test_count_fds() < fds); /* the listener is gone */
		link_end();
	}
}

TEST(a_receiver_may_be_asked_while_its_server_is_away)
{
	struct peal_service service = usual();

	for (int role = PEAL_RECEIVER; role <= PEAL_BOTH; role++) {
		struct peal_hello hello = link_hello((enum peal_role)role,
						     CAPACITY);
		uint64_t *items;

		here = there = (struct party){ .most = 50 };
		link_serve(LINK_OWN, &service);
		meet(&hello, 1000);
		LINK_UNTIL(here.opens && there.opens && here.in == 50);
		peal_server_close(&server);
		LINK_UNTIL(client.client.delay_ms); /* it will try again */
		CHECK_EQ(peal_receiver_peek(&client.receiver, &items), -EPIPE);
		CHECK_EQ(peal_receiver_used(&client.receiver), -EPIPE);
		peal_channel_close(&client);
		link_end();
	}
}

/* -- the back-off */

TEST(attempts_to_connect_become_rarer_up_to_a_bound)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, CAPACITY);
	unsigned before = 0;

	link_folder();
	link_reactor(LINK_OWN);
	meet(&hello, 25);
	for (int i = 0; i < 12; i++) {
		link_once(true);
		CHECK(client.client.delay_ms >= before);
		CHECK(client.client.delay_ms <= 2 * 25);
		before = client.client.delay_ms;
	}
	CHECK_EQ(before, 50);
	CHECK_EQ(here.opens + here.closes, 0);
	peal_channel_close(&client);
	link_end();
}
