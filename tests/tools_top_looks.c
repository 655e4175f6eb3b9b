/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What `peal top` makes of two pages, and of several looks at them. */
#include <locale.h>
#include <string.h>

#include "../ring/internal.h"
#include "../tools/top/top.h"
#include "fixtures/harness.h"

struct pages {
	_Alignas(8) unsigned char bytes[PEAL_RING_ITEMS_OFFSET + 64 * 8];
	struct peal_page *tx, *rx;
};

static void begin(struct pages *p)
{
	struct peal_geometry g = { .capacity = 64, .item_size = 8 };
	struct peal_ring ring;

	CHECK_EQ(peal_geometry_fit(&g, 0), 0);
	CHECK_EQ(peal_ring_format(&ring, &g, p->bytes, sizeof(p->bytes)), 0);
	p->tx = ring.sender_page;
	p->rx = ring.receiver_page;
}

static struct top_figures figures_now(const struct pages *p, uint64_t head)
{
	struct top_figures f;

	CHECK_EQ(top_figures_read(&f, p->tx, p->rx, head), 0);
	return f;
}

static struct top_figures look(const struct pages *p)
{
	return figures_now(p, p->rx->position);
}

static void rate_at(struct top_ring *ring, const struct pages *p, double now)
{
	ring->figures = look(p);
	top_rate(ring, now);
}

/* -- one look */

TEST(a_new_ring_is_empty_and_nobody_waits)
{
	struct top_figures f;
	struct pages p;

	begin(&p);
	f = look(&p);
	CHECK(f.possible);
	CHECK_EQ(f.fill, 0);
	CHECK_EQ(f.sender.waits_for, 0);
	CHECK_EQ(f.receiver.waits_for, 0);
}

TEST(who_has_asked_to_be_rung_waits)
{
	struct top_figures f;
	struct pages p;

	begin(&p);
	p.tx->position = p.rx->position = 100;
	p.rx->wake = 103;
	f = look(&p);
	CHECK_EQ(f.receiver.waits_for, 3);
	CHECK_EQ(f.sender.waits_for, 0);
	p.rx->position = 36;
	p.rx->wake = 100; /* reached */
	p.tx->wake = 37;
	f = look(&p);
	CHECK_EQ(f.fill, 64);
	CHECK_EQ(f.receiver.waits_for, 0);
	CHECK_EQ(f.sender.waits_for, 1);
}

TEST(nobody_waits_for_more_than_a_ring_can_hold)
{
	struct pages p;

	begin(&p);
	p.rx->wake = 64;
	CHECK_EQ(look(&p).receiver.waits_for, 64);
	p.rx->wake = 65;
	CHECK_EQ(look(&p).receiver.waits_for, 0);
	p.rx->wake = UINT64_MAX;
	CHECK_EQ(look(&p).receiver.waits_for, 0);
}

TEST(nobody_waits_for_who_is_gone)
{
	struct top_figures f;
	struct pages p;

	begin(&p);
	p.rx->wake = 1;
	p.tx->state = PEAL_STATE_FINISHED;
	f = look(&p);
	CHECK_EQ(f.sender.state, TOP_FINISHED);
	CHECK_EQ(f.receiver.waits_for, 0);
}

TEST(a_ring_that_moves_meanwhile_is_not_taken_for_a_broken_one)
{
	struct top_figures f;
	struct pages p;

	begin(&p);
	/* 64 were released and 64 published between the first word and the
	 * last. */
	p.rx->position = 1000;
	p.tx->position = 1128;
	f = figures_now(&p, 1064);
	CHECK(f.possible);
	CHECK_EQ(f.fill, 64);
	f = figures_now(&p, 1200);
	CHECK(f.possible);
	CHECK_EQ(f.fill, 0);
}

TEST(positions_that_cannot_be_are_told)
{
	struct pages p;

	begin(&p);
	p.tx->position = 65;
	CHECK(!look(&p).possible);
	p.rx->position = 66;
	CHECK(!look(&p).possible);
	p.rx->position = 65;
	CHECK(look(&p).possible);
	CHECK(!figures_now(&p, 64).possible);
	p.tx->state = 3;
	CHECK(!look(&p).possible);
}

TEST(positions_wrap_around)
{
	struct top_figures f;
	struct pages p;

	begin(&p);
	p.rx->position = UINT64_MAX - 1;
	p.tx->position = 3;
	f = look(&p);
	CHECK(f.possible);
	CHECK_EQ(f.fill, 5);
}

TEST(two_pages_that_disagree_are_told)
{
	struct pages p;

	begin(&p);
	p.rx->header.item_size = 16;
	CHECK(!look(&p).possible);
	begin(&p);
	p.rx->header.magic = 0;
	CHECK(!look(&p).possible);
}

TEST(random_pages_harm_nothing)
{
	uint64_t random = test_seed();
	struct top_ring ring = { 0 };
	struct top_user user = { .pid = 1 };
	struct top_columns columns;
	char line[4096];
	struct pages p;
	double now = 1;

	ring.users = &user;
	ring.n_users = 1;
	for (int i = 0; i < 20000; i++) {
		begin(&p);
		for (int j = 0; j < 8; j++) {
			size_t page = test_random(&random) % 2 * PEAL_PAGE_SIZE;
			size_t at = test_random(&random) % 70 * 8;
			uint64_t word = test_random(&random);

			if (word % 3 == 0)
				word >>= word % 64;
			memcpy(p.bytes + page + at, &word, sizeof(word));
		}
		if (top_figures_read(&ring.figures, p.tx, p.rx,
				     test_random(&random)) < 0)
			continue;
		top_rate(&ring, now += 0.5);
		top_columns_fit(&columns,
				(unsigned)(test_random(&random) % 300));
		top_line(line, sizeof(line), &columns, &ring);
		CHECK(!strpbrk(line, "\033\n\r\t"));
	}
}

/* -- several looks */

TEST(one_look_gives_no_rates)
{
	struct top_ring ring = { 0 };
	struct pages p;

	begin(&p);
	rate_at(&ring, &p, 10);
	CHECK(!ring.rated);
}

TEST(rates_are_what_two_looks_differ_by)
{
	struct top_ring ring = { 0 };
	struct pages p;

	begin(&p);
	rate_at(&ring, &p, 10);
	p.tx->position = 100;
	p.rx->position = 80;
	p.tx->counts[0] = 4;
	p.rx->counts[0] = 6;
	p.tx->counts[2] = 2;
	rate_at(&ring, &p, 12);
	CHECK(ring.rated);
	CHECK(ring.rates.items == 50);
	CHECK(ring.rates.bytes == 400);
	CHECK(ring.rates.doorbells == 5);
	CHECK(ring.rates.saved == 85);
	CHECK(ring.rates.stalls == 1);
}

TEST(counts_that_begin_anew_give_no_rates)
{
	struct top_ring ring = { 0 };
	struct pages p;

	begin(&p);
	p.tx->counts[0] = 4;
	rate_at(&ring, &p, 10);
	p.tx->counts[0] = 0;
	rate_at(&ring, &p, 11);
	CHECK(!ring.rated);
}

TEST(an_empty_ring_has_no_oldest_item)
{
	struct top_ring ring = { 0 };
	struct pages p;

	begin(&p);
	for (int i = 10; i < 20; i++)
		rate_at(&ring, &p, i);
	CHECK(ring.older == 0);
	CHECK(ring.younger == 0);
}

TEST(the_age_of_what_was_there_at_first_is_at_least_as_long_as_we_look)
{
	struct top_ring ring = { 0 };
	struct pages p;

	begin(&p);
	p.tx->position = 1;
	rate_at(&ring, &p, 10);
	CHECK(ring.older == 0);
	p.tx->position = 5;
	rate_at(&ring, &p, 13);
	CHECK(ring.older == 3);
	CHECK(ring.younger == 0);
}

TEST(the_age_of_the_oldest_item_is_between_two_looks)
{
	struct top_ring ring = { 0 };
	struct pages p;

	begin(&p);
	rate_at(&ring, &p, 10);
	rate_at(&ring, &p, 11);
	p.tx->position = 3;
	rate_at(&ring, &p, 12);
	CHECK(ring.older == 0);
	CHECK(ring.younger == 1);
	p.tx->position = 6;
	rate_at(&ring, &p, 14);
	CHECK(ring.older == 2);
	CHECK(ring.younger == 3);
	p.rx->position = 3; /* the fourth came after 12 */
	rate_at(&ring, &p, 17);
	CHECK(ring.older == 3);
	CHECK(ring.younger == 5);
	p.rx->position = 6;
	rate_at(&ring, &p, 18);
	CHECK(ring.older == 0);
	CHECK(ring.younger == 0);
}

/* A thousand positions are seen, and a few are remembered. */
TEST(ages_are_never_said_to_be_what_they_are_not)
{
	uint64_t random = test_seed();
	double came[1001], now = 1;
	struct top_ring ring = { 0 };
	uint64_t tail = 0, head = 0;
	struct pages p;

	begin(&p);
	while (tail < 1000) {
		now += 1;
		if (test_random(&random) % 2 && tail - head < 60)
			came[tail++] = now;
		else if (test_random(&random) % 3 && head < tail)
			head++;
		now += 1;
		p.tx->position = tail;
		p.rx->position = head;
		rate_at(&ring, &p, now);
		if (head == tail)
			continue;
		CHECK(ring.older <= now - came[head]);
		CHECK(ring.younger == 0 || ring.younger >= now - came[head]);
	}
}

TEST(what_is_known_of_a_ring_is_handed_on)
{
	struct top_ring before[] = { { .inode = 9 }, { .inode = 3 } };
	struct top_ring after[] = { { .inode = 3 }, { .inode = 4 } };
	struct top_list a = { .rings = before, .n = 2 };
	struct top_list b = { .rings = after, .n = 2 };

	before[1].history.at = 7;
	top_inherit(&b, &a);
	CHECK(after[0].history.at == 7);
	CHECK(after[1].history.at == 0);
}

/* -- lines */

TEST(text_is_cleaned_and_cut)
{
	char text[64];

	CHECK_EQ(top_clean(text, sizeof(text), "a\033[2Jb\t\nc", 60), 9);
	CHECK(strcmp(text,
		     "a?[2Jb"
		     "??"
		     "c") == 0);
	CHECK_EQ(top_clean(text, sizeof(text), "abcdef", 3), 3);
	CHECK(strcmp(text, "abc") == 0);
	CHECK_EQ(top_clean(text, 3, "abcdef", 60), 2);
}

TEST(letters_of_other_scripts_are_kept_and_what_has_no_width_is_not)
{
	char text[64];

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		test_skip("no C.UTF-8");
	CHECK_EQ(top_clean(text, sizeof(text), "c\xc5\x93ur", 60), 4);
	CHECK(strcmp(text, "c\xc5\x93ur") == 0);
	/* A control of U+009B, and the one that turns text round. */
	CHECK_EQ(top_clean(text, sizeof(text), "\xc2\x9b\xe2\x80\xae", 60), 2);
	CHECK(strcmp(text, "??") == 0);
	/* Two columns wide, and there is one. */
	CHECK_EQ(top_clean(text, sizeof(text), "\xe9\x90\x98", 1), 0);
}

TEST(lines_are_as_wide_as_they_may_be)
{
	struct top_columns columns;
	char line[4096];

	for (unsigned total = 60; total < 300; total++) {
		top_columns_fit(&columns, total);
		top_line(line, sizeof(line), &columns, NULL);
		CHECK(strlen(line) <= total);
	}
}
