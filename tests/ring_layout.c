/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The shared layout, byte by byte: two processes of different builds rely on
 * it. Whoever has to change a number here changes PEAL_LAYOUT_VERSION, too.
 */
#include <peal/ring.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "fixtures/harness.h"

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

/* In the byte order of this machine, which a tag at 12 names. */
static void put_number(unsigned char *to, size_t size, uint64_t number)
{
	for (size_t i = 0; i < size; i++) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		size_t at = i;
#else
		size_t at = size - 1 - i;
#endif
		to[at] = (unsigned char)(number >> 8 * i);
	}
}

static void expect_number(const unsigned char *page, size_t offset, size_t size,
			  uint64_t number)
{
	unsigned char bytes[8];

	put_number(bytes, size, number);
	expect(page, offset, (const char *)bytes, size);
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MAGIC "PEALRING"
#define ORDER "\x04\x03\x02\x01"
#else
#define MAGIC "GNIRLAEP"
#define ORDER "\x01\x02\x03\x04"
#endif

TEST(both_pages_have_the_golden_bytes)
{
	memset(memory, 0xa5, sizeof(memory));
	make();
	for (int i = 0; i < 2; i++) {
		const unsigned char *page = memory + 4096 * i;

		expect(page, 0, MAGIC, 8);
		expect_number(page, 8, 4, 1); /* version */
		expect(page, 12, ORDER, 4);
		expect_zeros(page, 16, 24);	  /* flags */
		expect_number(page, 24, 8, 16);	  /* capacity */
		expect_number(page, 32, 8, 4);	  /* item size */
		expect_number(page, 40, 8, 8192); /* head */
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
		expect_zeros(page, 512, 544); /* counts */
		expect_zeros(page, 544, 552); /* pid */
		expect_zeros(page, 552, 4096);
	}
}

TEST(flag_of_rings_mapped_twice_is_at_16)
{
	static unsigned char twice[8192 + 4096] __attribute__((aligned(4096)));
	struct peal_geometry geometry = { .capacity = 1, .item_size = 4 };
	struct peal_ring ring;

	CHECK_EQ(peal_geometry_fit(&geometry, 4096), 0);
	CHECK_EQ(peal_ring_format(&ring, &geometry, twice, sizeof(twice)), 0);
	expect_number(twice, 16, 4, 1);
	expect_zeros(twice, 20, 24);
	expect_number(twice, 24, 8, 1024);
	expect_number(twice, 4096 + 16, 4, 1);
}

/* What a machine of the other byte order makes of the same ring. */
static void swap_numbers(unsigned char *page)
{
	static const struct {
		size_t offset, size;
	} numbers[] = { { 0, 8 },  { 8, 4 },  { 12, 4 }, { 16, 4 },
			{ 24, 8 }, { 32, 8 }, { 40, 8 } };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		unsigned char *from = page + numbers[i].offset;

		for (size_t k = 0; k < numbers[i].size / 2; k++) {
			unsigned char *to = from + numbers[i].size - 1 - k;
			unsigned char byte = from[k];

			from[k] = *to;
			*to = byte;
		}
	}
}

TEST(ring_of_the_other_byte_order_is_refused)
{
	struct peal_geometry geometry = make(), seen;
	struct peal_ring ring;

	for (int i = 0; i < 2; i++)
		swap_numbers(memory + 4096 * i);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	expect(memory, 0, "GNIRLAEP\0\0\0\1\1\2\3\4", 16);
#else
	expect(memory, 0, "PEALRING\1\0\0\0\4\3\2\1", 16);
#endif
	CHECK_EQ(peal_geometry_read(&seen, memory, sizeof(memory)), -EBADMSG);
	CHECK_EQ(peal_ring_open(&ring, &geometry, memory, sizeof(memory)),
		 -EBADMSG);
	swap_numbers(memory);
	CHECK_EQ(peal_ring_open(&ring, &geometry, memory, sizeof(memory)),
		 -EBADMSG);
	swap_numbers(memory + 4096);
	CHECK_EQ(peal_ring_open(&ring, &geometry, memory, sizeof(memory)), 0);
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
	CHECK_EQ(word_at(544), getpid());
	CHECK_EQ(word_at(4096 + 544), getpid());

	peal_sender_finish(&tx);
	CHECK_EQ(word_at(392), 1); /* state: finished */
	CHECK_EQ(word_at(4096 + 392), 0);
	peal_receiver_finish(&rx);
	CHECK_EQ(word_at(4096 + 392), 1);
}
