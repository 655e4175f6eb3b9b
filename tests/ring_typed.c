/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rings of items of one type. */
#include <errno.h>

#include <peal/local.h>
#include <peal/typed.h>

#include "fixtures/pair.h"

struct tick {
	uint64_t time;
	double price;
};

struct wide {
	_Alignas(64) int number;
};

PEAL_TYPED(tick, struct tick, "tick/1");
PEAL_TYPED(other_tick, struct tick, "tick/2");
PEAL_TYPED(number, int, "number/1");
PEAL_TYPED(wide, struct wide, "wide/1");
PEAL_TYPED(tagged, char,
	   "a tag of sixty-three bytes, so that not one more would fit in..");

TEST(geometry_has_the_size_and_the_tag_of_the_type)
{
	struct peal_geometry g = { .name = "ticker" };

	tick_geometry(&g, 100);
	CHECK_EQ(g.capacity, 100);
	CHECK_EQ(g.item_size, 16);
	CHECK(strcmp(g.tag, "tick/1") == 0);
	CHECK(strcmp(g.name, "ticker") == 0);
	number_geometry(&g, 1);
	CHECK_EQ(g.item_size, sizeof(int));
	CHECK(strcmp(g.tag, "number/1") == 0);
	tagged_geometry(&g, 1);
	CHECK_EQ(strlen(g.tag), 63);
	CHECK_EQ(peal_geometry_fit(&g, 0), 0);
}

TEST(items_pass_through_all_calls)
{
	struct peal_geometry g = { 0 };
	const struct tick *data;
	struct peal_local ring;
	struct tick *room, tick = { 3, 3.5 };

	tick_geometry(&g, 256);
	CHECK_EQ(peal_local_init(&ring, &g), 0);
	CHECK(tick_fits(&ring.ring));
	CHECK_EQ(tick_peek(&ring.receiver, &data), 0);
	CHECK_EQ(tick_receive(&ring.receiver, 1, 0, &data), -ETIMEDOUT);
	CHECK_EQ(tick_reserve(&ring.sender, 1, &room), 256);
	room[0] = (struct tick){ 1, 1.5 };
	CHECK_EQ(tick_commit(&ring.sender, 1), 0);
	CHECK_EQ(tick_try_reserve(&ring.sender, &room), 255);
	CHECK_EQ(tick_wait(&ring.sender, 255, -1, &room), 255);
	room[0] = (struct tick){ 2, 2.5 };
	CHECK_EQ(tick_commit(&ring.sender, 1), 0);
	CHECK_EQ(tick_put(&ring.sender, &tick, 1), 1);

	CHECK_EQ(tick_peek(&ring.receiver, &data), 3);
	for (uint64_t i = 0; i < 3; i++) {
		CHECK_EQ(data[i].time, i + 1);
		CHECK(data[i].price == (double)i + 1.5);
	}
	CHECK_EQ(tick_release(&ring.receiver, 1), 0);
	CHECK_EQ(tick_receive(&ring.receiver, 2, -1, &data), 2);
	CHECK_EQ(data[0].time, 2);
	CHECK_EQ(tick_get(&ring.receiver, &tick, 1), 1);
	CHECK_EQ(tick.time, 2);
	CHECK_EQ(tick_get(&ring.receiver, &tick, 5), 1);
	CHECK_EQ(tick.time, 3);
	peal_local_close(&ring);
}

TEST(ring_of_items_of_another_size_is_refused_by_every_call)
{
	struct tick tick = { 0 }, *room = NULL;
	const struct tick *data = NULL;
	struct pair p;

	pair_make(&p, 8, sizeof(int));
	put_numbers(&p.tx, 0, 2);
	CHECK(!tick_fits(&p.ring));
	CHECK_EQ(tick_reserve(&p.tx, 1, &room), -EPROTOTYPE);
	CHECK_EQ(tick_try_reserve(&p.tx, &room), -EPROTOTYPE);
	CHECK_EQ(tick_wait(&p.tx, 1, -1, &room), -EPROTOTYPE);
	CHECK_EQ(tick_put(&p.tx, &tick, 1), -EPROTOTYPE);
	CHECK_EQ(tick_peek(&p.rx, &data), -EPROTOTYPE);
	CHECK_EQ(tick_receive(&p.rx, 1, -1, &data), -EPROTOTYPE);
	CHECK_EQ(tick_get(&p.rx, &tick, 1), -EPROTOTYPE);
	CHECK(!room && !data);
	get_numbers(&p.rx, 0, 2);
	pair_free(&p);
}

TEST(ring_of_another_tag_is_refused_when_it_is_opened)
{
	static _Alignas(
		8) unsigned char memory[PEAL_RING_SIZE(8, sizeof(struct tick))];
	struct peal_geometry g = { 0 };
	struct peal_ring ring;

	tick_geometry(&g, 8);
	CHECK_EQ(peal_geometry_fit(&g, 0), 0);
	CHECK_EQ(peal_ring_format(&ring, &g, memory, sizeof(memory)), 0);
	CHECK_EQ(peal_ring_open(&ring, &g, memory, sizeof(memory)), 0);
	CHECK(tick_fits(&ring));
	CHECK(!other_tick_fits(&ring));
	other_tick_geometry(&g, 8);
	CHECK_EQ(peal_geometry_fit(&g, 0), 0);
	CHECK_EQ(peal_ring_open(&ring, &g, memory, sizeof(memory)),
		 -EPROTOTYPE);
}

TEST(memory_that_is_not_aligned_for_the_type_is_refused)
{
	static _Alignas(64) unsigned char
		memory[PEAL_RING_SIZE(8, sizeof(struct wide)) + 64];

	for (size_t off = 0; off <= 64; off += 8) {
		struct peal_geometry g = { 0 };
		struct peal_receiver rx;
		struct peal_sender tx;
		struct peal_ring ring;
		const struct wide *data;
		struct wide *room;
		bool good = off % 64 == 0;

		wide_geometry(&g, 8);
		CHECK_EQ(peal_geometry_fit(&g, 0), 0);
		CHECK_EQ(peal_ring_format(&ring, &g, memory + off,
					  sizeof(memory) - 64),
			 0);
		CHECK_EQ(peal_sender_attach(&tx, &ring, NULL, NULL), 0);
		CHECK_EQ(peal_receiver_attach(&rx, &ring, NULL, NULL), 0);
		CHECK_EQ(wide_fits(&ring), good);
		CHECK_EQ(wide_reserve(&tx, 1, &room), good ? 8 : -EPROTOTYPE);
		CHECK_EQ(wide_peek(&rx, &data), good ? 0 : -EPROTOTYPE);
	}
}
