/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages: their rings, waiting for them, the end of the stream, misuse. */
#include <peal/local.h>
#include <pthread.h>

#include "fixtures/messages.h"

/* -- the ring that they go through */

TEST(geometry_is_made_from_a_number_of_bytes)
{
	struct peal_geometry g = { .name = "log" };

	CHECK_EQ(peal_message_geometry(&g, 1000, NULL), 0);
	CHECK_EQ(g.capacity, 125);
	CHECK_EQ(g.item_size, 8);
	CHECK(strcmp(g.tag, "message/1") == 0);
	CHECK(strcmp(g.name, "log") == 0);
	CHECK_EQ(peal_message_geometry(&g, 1001, "log/3"), 0);
	CHECK_EQ(g.capacity, 126);
	CHECK(strcmp(g.tag, "message/1:log/3") == 0);
	CHECK_EQ(peal_message_geometry(&g, 1, ""), 0);
	CHECK_EQ(g.capacity, 1);
	CHECK(strcmp(g.tag, "message/1") == 0);
	CHECK_EQ(peal_geometry_fit(&g, 0), 0);
	CHECK_EQ(peal_message_geometry(&g, SIZE_MAX, NULL), 0);
	CHECK_EQ(peal_geometry_fit(&g, 0), -EOVERFLOW);
}

TEST(geometry_that_cannot_be_is_refused)
{
	struct peal_geometry g = { .capacity = 5 }, before = g;
	char tag[55];

	CHECK_EQ(peal_message_geometry(&g, 0, NULL), -EINVAL);
	memset(tag, 'x', 54);
	tag[54] = '\0';
	CHECK_EQ(peal_message_geometry(&g, 8, tag), -EINVAL);
	CHECK(memcmp(&g, &before, sizeof(g)) == 0);
	tag[53] = '\0';
	CHECK_EQ(peal_message_geometry(&g, 8, tag), 0);
	CHECK_EQ(strlen(g.tag), 63);
	CHECK(strcmp(g.tag + 10, tag) == 0);
}

static int open_as(void *memory, size_t size, const char *tag)
{
	struct peal_geometry g = { 0 };
	struct peal_ring ring;

	CHECK_EQ(peal_message_geometry(&g, 512, tag), 0);
	CHECK_EQ(peal_geometry_fit(&g, 0), 0);
	return peal_ring_open(&ring, &g, memory, size);
}

TEST(ring_of_messages_is_told_from_others_when_it_is_opened)
{
	static _Alignas(8) unsigned char memory[PEAL_RING_SIZE(64, 8)];
	struct peal_geometry g = { .capacity = 64, .item_size = 8 };
	struct peal_ring ring;

	CHECK_EQ(peal_geometry_fit(&g, 0), 0);
	CHECK_EQ(peal_ring_format(&ring, &g, memory, sizeof(memory)), 0);
	CHECK_EQ(open_as(memory, sizeof(memory), NULL), -EPROTOTYPE);

	CHECK_EQ(peal_message_geometry(&g, 512, "chat/1"), 0);
	CHECK_EQ(peal_geometry_fit(&g, 0), 0);
	CHECK_EQ(peal_ring_format(&ring, &g, memory, sizeof(memory)), 0);
	CHECK_EQ(open_as(memory, sizeof(memory), "chat/1"), 0);
	CHECK_EQ(open_as(memory, sizeof(memory), "chat/2"), -EPROTOTYPE);
	CHECK_EQ(open_as(memory, sizeof(memory), NULL), -EPROTOTYPE);
}

TEST(ring_of_other_items_is_not_for_messages)
{
	static const size_t sizes[] = { 1, 4, 7, 9, 16, 4096 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct peal_message m = { 0 }, before = m;
		unsigned char item[4096] = { 0 };
		struct pair p;
		char *room;

		pair_make(&p, 8, sizes[i]);
		CHECK_EQ(peal_message_reserve(&p.tx, 1, &room), -EPROTOTYPE);
		CHECK_EQ(peal_message_try_reserve(&p.tx, 1, &room),
			 -EPROTOTYPE);
		CHECK_EQ(peal_message_wait(&p.tx, 1, -1, &room), -EPROTOTYPE);
		CHECK_EQ(peal_message_send(&p.tx, 1, "", 1, -1), -EPROTOTYPE);
		CHECK_EQ(peal_message_commit(&p.tx, 1, 0), -EINVAL);
		CHECK_EQ(peal_message_peek(&p.rx, &m), -EPROTOTYPE);
		CHECK_EQ(peal_message_receive(&p.rx, -1, &m), -EPROTOTYPE);
		CHECK_EQ(peal_sender_put(&p.tx, item, 1), 1);
		CHECK_EQ(peal_message_peek(&p.rx, &m), -EPROTOTYPE);
		CHECK_EQ(peal_message_peek(&p.rx, &m), -EPROTOTYPE);
		CHECK_EQ(peal_message_receive(&p.rx, -1, &m), -EPROTOTYPE);
		CHECK_EQ(peal_receiver_get(&p.rx, item, 1), 1);
		CHECK(memcmp(&m, &before, sizeof(m)) == 0);
		pair_free(&p);
	}
}

/* -- waiting */

TEST(waits_end_after_their_time)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m = { 0 };
		struct pair p;
		void *room = NULL;

		pair_make_units(&p, twice, 64);
		CHECK_EQ(peal_message_receive(&p.rx, 0, &m), -ETIMEDOUT);
		CHECK_EQ(peal_message_receive(&p.rx, 10, &m), -ETIMEDOUT);
		CHECK(m.data == NULL);
		send_text(&p, 0, peal_message_max(&p.tx));
		CHECK_EQ(peal_message_wait(&p.tx, 1, 0, &room), -ETIMEDOUT);
		CHECK_EQ(peal_message_wait(&p.tx, 1, 10, &room), -ETIMEDOUT);
		CHECK_EQ(peal_message_send(&p.tx, 1, "", 1, 10), -ETIMEDOUT);
		CHECK(room == NULL);
		CHECK_EQ(peal_message_receive(&p.rx, 10, &m), 1);
		check_text(&m, 0, peal_message_max(&p.tx));
		CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		CHECK_EQ(peal_message_wait(&p.tx, 1, 10, &room), 1);
		pair_free(&p);
	}
}

static void *send_hundred(void *arg)
{
	struct pair *p = arg;

	for (uint64_t i = 0; i < 100; i++)
		CHECK_EQ(peal_message_send(&p->tx, kind_of(i), text_of(i),
					   peal_message_max(&p->tx) - i, -1),
			 0);
	peal_sender_finish(&p->tx);
	return NULL;
}

TEST(both_sides_sleep_until_the_other_has_moved)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m;
		uint64_t number = 0;
		pthread_t thread;
		struct pair p;
		int ret;

		text_of(0);
		pair_make_units(&p, twice, 64);
		CHECK_EQ(pthread_create(&thread, NULL, send_hundred, &p), 0);
		while ((ret = peal_message_receive(&p.rx, -1, &m)) > 0) {
			check_place(&p, &m);
			check_text(&m, number, UNIT * (units(&p) - 1) - number);
			number++;
			CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		}
		CHECK_EQ(ret, 0);
		CHECK_EQ(number, 100);
		pthread_join(thread, NULL);
		pair_free(&p);
	}
}

TEST(wait_without_a_bell_is_refused)
{
	struct peal_geometry g = { 0 };
	struct peal_message m;
	struct pair p;
	void *room;

	CHECK_EQ(peal_message_geometry(&g, 512, NULL), 0);
	pair_make(&p, 64, UNIT);
	CHECK_EQ(peal_sender_attach(&p.tx, &p.ring, NULL, NULL), 0);
	CHECK_EQ(peal_receiver_attach(&p.rx, &p.ring, NULL, NULL), 0);
	CHECK_EQ(peal_message_receive(&p.rx, -1, &m), -EINVAL);
	CHECK_EQ(peal_message_receive(&p.rx, 0, &m), -ETIMEDOUT);
	send_text(&p, 0, peal_message_max(&p.tx));
	CHECK_EQ(peal_message_wait(&p.tx, 0, -1, &room), -EINVAL);
	CHECK_EQ(peal_message_wait(&p.tx, 0, 0, &room), -ETIMEDOUT);
	take_text(&p, 0, peal_message_max(&p.tx));
	pair_free(&p);
}

/* -- the end */

TEST(stream_ends_after_its_last_message)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m;
		struct pair p;

		pair_make_units(&p, twice, 64);
		send_text(&p, 0, 10);
		send_text(&p, 1, 0);
		stage_text(&p, 2, 10); /* and not published */
		peal_sender_finish(&p.tx);
		take_text(&p, 0, 10);
		CHECK(!peal_receiver_ended(&p.rx));
		CHECK_EQ(peal_message_receive(&p.rx, -1, &m), 1);
		check_text(&m, 1, 0);
		CHECK_EQ(peal_message_release(&p.rx, &m), 0);
		CHECK(peal_receiver_ended(&p.rx));
		CHECK_EQ(peal_message_peek(&p.rx, &m), 0);
		CHECK_EQ(peal_message_receive(&p.rx, 0, &m), 0);
		CHECK_EQ(peal_message_receive(&p.rx, 10, &m), 0);
		CHECK_EQ(peal_message_receive(&p.rx, -1, &m), 0);
		pair_free(&p);
	}
}

TEST(sender_that_finished_sends_nothing_more)
{
	struct pair p;
	void *room;

	pair_make(&p, 64, UNIT);
	stage_text(&p, 0, 10);
	CHECK_EQ(peal_message_reserve(&p.tx, 10, &room), 1);
	peal_sender_finish(&p.tx);
	CHECK_EQ(peal_message_commit(&p.tx, 1, 10), -EPIPE);
	CHECK_EQ(peal_message_reserve(&p.tx, 10, &room), -EPIPE);
	CHECK_EQ(peal_message_wait(&p.tx, 10, -1, &room), -EPIPE);
	CHECK_EQ(peal_message_send(&p.tx, 1, "", 0, -1), -EPIPE);
	CHECK_EQ(p.tx_page->position, 0);
	pair_free(&p);
}

TEST(sender_is_told_that_the_receiver_takes_no_more)
{
	for (FOR_BOTH(twice)) {
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		send_text(&p, 0, peal_message_max(&p.tx));
		CHECK_EQ(peal_message_reserve(&p.tx, 10, &room), 0);
		peal_receiver_finish(&p.rx);
		CHECK_EQ(rings(&p.space), 1);
		CHECK_EQ(peal_message_reserve(&p.tx, 10, &room), -EPIPE);
		CHECK_EQ(peal_message_wait(&p.tx, 10, -1, &room), -EPIPE);
		CHECK_EQ(peal_message_send(&p.tx, 1, "", 0, -1), -EPIPE);
		pair_free(&p);
	}
}

TEST(receiver_that_finished_finds_and_releases_nothing_more)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m, first;
		struct pair p;

		pair_make_units(&p, twice, 64);
		send_text(&p, 0, 10);
		send_text(&p, 1, 10);
		peek_text(&p, &m, 0, 10);
		first = m;
		peal_receiver_finish(&p.rx);
		CHECK_EQ(peal_message_next(&p.rx, &m), -EPIPE);
		CHECK_EQ(peal_message_peek(&p.rx, &m), -EPIPE);
		CHECK_EQ(peal_message_receive(&p.rx, -1, &m), -EPIPE);
		CHECK_EQ(peal_message_release(&p.rx, &first), -EPIPE);
		CHECK_EQ(p.rx_page->position, 0);
		pair_free(&p);
	}
}

TEST(hangup_leaves_the_messages_that_were_published)
{
	for (FOR_BOTH(twice)) {
		struct peal_message m;
		struct pair p;
		void *room;

		pair_make_units(&p, twice, 64);
		send_text(&p, 0, 10);
		stage_text(&p, 1, 10);
		CHECK_EQ(peal_message_reserve(&p.tx, 10, &room), 1);
		peal_receiver_hangup(&p.rx);
		take_text(&p, 0, 10);
		CHECK_EQ(peal_message_receive(&p.rx, 0, &m), -EPIPE);
		CHECK_EQ(peal_message_receive(&p.rx, -1, &m), -EPIPE);
		peal_sender_hangup(&p.tx);
		CHECK_EQ(peal_message_commit(&p.tx, 1, 10), -EPIPE);
		CHECK_EQ(peal_message_reserve(&p.tx, 10, &room), -EPIPE);
		pair_free(&p);
	}
}
