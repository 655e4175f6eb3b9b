/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The shared layout, byte by byte: two processes of different builds rely on
 * it. Whoever has to change a number here changes PEAL_LAYOUT_VERSION, too.
 */
#include <peal/ring.h>
#include <stdint.h>
#include <string.h>

#include "harness.h"

static unsigned char memory[PEAL_RING_SIZE(16, 4)]
	__attribute__((aligned(4096)));

/* A ring of 16 items of 4 bytes. */
static struct peal_geometry make(void)
{
	struct peal_geometry geometry = { .capacity = 16, .item_size = 4 };
	struct peal_ring ring;

	strcpy(geometry.tag, "sample/1");
	strcpy(geometry.name, "cello");
	CHECK_EQ(peal_geometry_fit(&geometry, 0), 0);
	CHECK_EQ(peal_ring_format(&ring, &geometry, memory, sizeof(memory)), 0);
	return geometry;
}

static void expect(const unsigned char *page, size_t offset, const char *bytes,
		   size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (page[offset + i] != (unsigned char)bytes[i])
			test_fail(__FILE__, __LINE__,
				  "byte %zu is %02x, expected %02x", offset + i,
				  page[offset + i], (unsigned char)bytes[i]);
}

static void expect_zeros(const unsigned char *page, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		expect(page, i, "\0", 1);
}

TEST(both_pages_have_the_golden_bytes)
{
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
	test_skip("the golden bytes are those of little-endian machines");
#endif
	memset(memory, 0xa5, sizeof(memory));
	make();
	for (int i = 0; i < 2; i++) {
		const unsigned char *page = memory + 4096 * i;

		expect(page, 0, "PEALRING", 8);
		expect(page, 8, "\x01\0\0\0", 4);	   /* version */
		expect(page, 12, "\x04\x03\x02\x01", 4);   /* byte order */
		expect(page, 16, "\0\0\0\0\0\0\0\0", 8);   /* flags */
		expect(page, 24, "\x10\0\0\0\0\0\0\0", 8); /* capacity */
		expect(page, 32, "\x04\0\0\0\0\0\0\0", 8); /* item size */
		expect(page, 40, "\0\x20\0\0\0\0\0\0", 8); /* head */
		expect_zeros(page, 48, 64);
		expect(page, 64, "sample/1", 8);
		expect_zeros(page, 72, 128);
		expect(page, 128, "cello", 5);
		expect_zeros(page, 133, 256);
		expect_zeros(page, 256, 264); /* position */
		expect_zeros(page, 264, 384);
		expect_zeros(page, 384, 392); /* wake */
		expect_zeros(page, 392, 400); /* state: open */
		expect_zeros(page, 400, 512);
		expect_zeros(page, 512, 552); /* counts */
		expect_zeros(page, 552, 640);
		expect_zeros(page, 640, 4096);
	}
}

TEST(flag_of_rings_mapped_twice_is_at_16)
{
	static unsigned char twice[8192 + 4096] __attribute__((aligned(4096)));
	struct peal_geometry geometry = { .capacity = 1, .item_size = 4 };
	struct peal_ring ring;

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
	test_skip("the golden bytes are those of little-endian machines");
#endif
	CHECK_EQ(peal_geometry_fit(&geometry, 4096), 0);
	CHECK_EQ(peal_ring_format(&ring, &geometry, twice, sizeof(twice)), 0);
	expect(twice, 16, "\x01\0\0\0\0\0\0\0", 8);
	expect(twice, 24, "\0\x04\0\0\0\0\0\0", 8);
	expect(twice, 4096 + 16, "\x01\0\0\0\0\0\0\0", 8);
}

static uint64_t word_at(size_t offset)
{
	uint64_t word;

	memcpy(&word, memory + offset, sizeof(word));
	return word;
}

TEST(each_word_stands_where_the_layout_says)
{
	struct peal_geometry geometry = make();
	struct peal_sender tx;
	struct peal_receiver rx;
	struct peal_ring ring;
	int items[16];
	void *room;

	CHECK_EQ(peal_ring_open(&ring, &geometry, memory, sizeof(memory)), 0);
	CHECK_EQ(peal_sender_attach(&tx, &ring, NULL, NULL), 0);
	CHECK_EQ(peal_receiver_attach(&rx, &ring, NULL, NULL), 0);
	memset(items, 0x77, sizeof(items));

	CHECK_EQ(peal_sender_put(&tx, items, 3), 3);
	CHECK_EQ(word_at(256), 3); /* tail */
	CHECK_EQ(word_at(4096 + 256), 0);
	CHECK_EQ(memory[8192 + 11], 0x77);
	CHECK_EQ(peal_receiver_get(&rx, items, 2), 2);
	CHECK_EQ(word_at(256), 3);
	CHECK_EQ(word_at(4096 + 256), 2); /* head */

	CHECK_EQ(peal_receiver_set_watermark(&rx, 5), 0);
	CHECK(peal_receiver_arm(&rx));
	CHECK_EQ(word_at(4096 + 384), 7); /* data_wake = head + watermark */
	CHECK_EQ(peal_sender_put(&tx, items, 4), 4);
	CHECK_EQ(peal_sender_reserve(&tx, 13, &room), 0);
	CHECK_EQ(word_at(384), 4); /* space_wake = tail - capacity + n */

	CHECK_EQ(word_at(512), 0);	  /* doorbells: it has none */
	CHECK_EQ(word_at(512 + 16), 1);	  /* stalls */
	CHECK_EQ(word_at(4096 + 528), 1); /* stalls */

	peal_sender_finish(&tx);
	CHECK_EQ(word_at(392), 1); /* state: finished */
	CHECK_EQ(word_at(4096 + 392), 0);
	peal_receiver_finish(&rx);
	CHECK_EQ(word_at(4096 + 392), 1);
}
