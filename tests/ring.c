/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Geometry, format, open. */
#include <errno.h>
#include <peal/ring.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../ring/internal.h"
#include "fixtures/harness.h"

static struct peal_geometry geometry_of(uint64_t capacity, uint64_t item_size)
{
	struct peal_geometry geometry = { .capacity = capacity,
					  .item_size = item_size };

	return geometry;
}

/* -- peal_geometry_fit() */

static uint64_t fitted(uint64_t capacity, uint64_t item_size, size_t page)
{
	struct peal_geometry geometry = geometry_of(capacity, item_size);

	CHECK_EQ(peal_geometry_fit(&geometry, page), 0);
	CHECK_EQ(geometry.item_size, item_size);
	return geometry.capacity;
}

TEST(capacity_is_rounded_up_to_a_power_of_two)
{
	CHECK_EQ(fitted(1, 4, 0), 1);
	CHECK_EQ(fitted(2, 4, 0), 2);
	CHECK_EQ(fitted(3, 4, 0), 4);
	CHECK_EQ(fitted(1000, 4, 0), 1024);
	CHECK_EQ(fitted(1024, 4, 0), 1024);
	CHECK_EQ(fitted(1025, 4, 0), 2048);
	CHECK_EQ(fitted((1u << 20) + 1, 1, 0), 1u << 21);
}

TEST(items_mapped_twice_fill_whole_pages)
{
	CHECK_EQ(fitted(1, 1, 4096), 4096);
	CHECK_EQ(fitted(1, 4, 4096), 1024);
	CHECK_EQ(fitted(1, 12, 4096), 1024);
	CHECK_EQ(fitted(1, 24, 4096), 512);
	CHECK_EQ(fitted(1, 100, 4096), 1024);
	CHECK_EQ(fitted(1, 4096, 4096), 1);
	CHECK_EQ(fitted(3, 8192, 4096), 4);
	CHECK_EQ(fitted(5000, 1, 4096), 8192);
	CHECK_EQ(fitted(1, 4, 65536), 16384);
	CHECK_EQ(fitted(1, 3, 65536), 65536);
	CHECK_EQ(fitted(1, 1, 2u << 20), 2u << 20);
}

TEST(head_is_a_page_for_each_end_where_that_is_no_waste)
{
	struct peal_geometry geometry = geometry_of(16, 4);

	CHECK_EQ(peal_geometry_fit(&geometry, 0), 0);
	CHECK_EQ(geometry.items_offset, 8192);
	CHECK_EQ(geometry.flags, 0);
	CHECK_EQ(peal_geometry_fit(&geometry, 4096), 0);
	CHECK_EQ(geometry.items_offset, 8192);
	CHECK_EQ(geometry.flags, PEAL_RING_TWICE);
	CHECK_EQ(peal_geometry_fit(&geometry, 16384), 0);
	CHECK_EQ(geometry.items_offset, 32768);
	CHECK_EQ(peal_geometry_fit(&geometry, 65536), 0);
	CHECK_EQ(geometry.items_offset, 131072);
	CHECK_EQ(peal_geometry_fit(&geometry, 2u << 20), 0);
	CHECK_EQ(geometry.items_offset, 2u << 20);
}

TEST(fitting_twice_changes_nothing_more)
{
	struct peal_geometry once = geometry_of(1000, 12), twice;

	CHECK_EQ(peal_geometry_fit(&once, 4096), 0);
	twice = once;
	CHECK_EQ(peal_geometry_fit(&twice, 4096), 0);
	CHECK(memcmp(&once, &twice, sizeof(once)) == 0);
}

TEST(body_is_the_bytes_of_all_items)
{
	struct peal_geometry geometry = geometry_of(1000, 12);

	CHECK_EQ(peal_geometry_fit(&geometry, 0), 0);
	CHECK_EQ(peal_geometry_body(&geometry), 12288);
	CHECK_EQ(PEAL_RING_SIZE(1024, 12), 8192 + 12288);
}

static void check_unfit(const struct peal_geometry *geometry, size_t page,
			int error)
{
	struct peal_geometry tried = *geometry;

	CHECK_EQ(peal_geometry_fit(&tried, page), error);
	CHECK(memcmp(&tried, geometry, sizeof(tried)) == 0);
}

TEST(geometry_of_nothing_is_invalid)
{
	struct peal_geometry no_items = geometry_of(0, 4);
	struct peal_geometry no_bytes = geometry_of(16, 0);

	check_unfit(&no_items, 0, -EINVAL);
	check_unfit(&no_bytes, 0, -EINVAL);
}

TEST(page_size_is_a_power_of_two)
{
	struct peal_geometry geometry = geometry_of(16, 4);

	check_unfit(&geometry, 1, -EINVAL);
	check_unfit(&geometry, 2048, -EINVAL);
	check_unfit(&geometry, 4097, -EINVAL);
	check_unfit(&geometry, 12288, -EINVAL);
}

TEST(tag_and_name_end_with_a_nul)
{
	struct peal_geometry geometry = geometry_of(16, 4);

	memset(geometry.tag, 'x', sizeof(geometry.tag));
	check_unfit(&geometry, 0, -EINVAL);
	geometry.tag[63] = '\0';
	CHECK_EQ(peal_geometry_fit(&geometry, 0), 0);
	memset(geometry.name, 'x', sizeof(geometry.name));
	check_unfit(&geometry, 0, -EINVAL);
}

TEST(ring_larger_than_the_address_space_overflows)
{
	const uint64_t huge[] = { UINT64_MAX, UINT64_MAX / 2 + 2,
				  UINT64_C(1) << 63, SIZE_MAX / 2 };

	for (size_t i = 0; i < sizeof(huge) / sizeof(*huge); i++) {
		struct peal_geometry many = geometry_of(huge[i], 1);
		struct peal_geometry large = geometry_of(1, huge[i]);
		struct peal_geometry both = geometry_of(huge[i], huge[i]);

		check_unfit(&many, 0, -EOVERFLOW);
		check_unfit(&large, 0, -EOVERFLOW);
		check_unfit(&both, 0, -EOVERFLOW);
		check_unfit(&many, 4096, -EOVERFLOW);
		check_unfit(&large, 4096, -EOVERFLOW);
	}
}

TEST(product_that_wraps_around_overflows)
{
	struct peal_geometry geometry = geometry_of(UINT64_C(1) << 33,
						    UINT64_C(1) << 32);

	check_unfit(&geometry, 0, -EOVERFLOW);
	/* 2^64 + 1 * 2^32 in all: the low word alone would look harmless. */
	geometry = geometry_of(UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1);
	check_unfit(&geometry, 0, -EOVERFLOW);
}

TEST(rounding_up_that_is_too_much_overflows)
{
	struct peal_geometry geometry = geometry_of(SIZE_MAX / 8 + 2, 1);

	CHECK_EQ(peal_geometry_fit(&geometry, 0), -EOVERFLOW);
	/* An odd item size needs as many items as a page has bytes. */
	geometry = geometry_of(1, SIZE_MAX / 4096 | 1);
	CHECK_EQ(peal_geometry_fit(&geometry, 0), 0);
	geometry = geometry_of(1, SIZE_MAX / 4096 | 1);
	CHECK_EQ(peal_geometry_fit(&geometry, 4096), -EOVERFLOW);
}

/* -- peal_ring_format(), peal_ring_open(), peal_geometry_read() */

static unsigned char memory[PEAL_RING_SIZE(16, 4)]
	__attribute__((aligned(4096)));

/* A ring of 16 items of 4 bytes. */
static struct peal_geometry make(void)
{
	struct peal_geometry geometry = geometry_of(16, 4);
	struct peal_ring ring;

	strcpy(geometry.tag, "sample/1");
	strcpy(geometry.name, "cello");
	CHECK_EQ(peal_geometry_fit(&geometry, 0), 0);
	CHECK_EQ(peal_ring_format(&ring, &geometry, memory, sizeof(memory)), 0);
	return geometry;
}

TEST(ring_lies_where_the_layout_says)
{
	struct peal_geometry geometry = make();
	struct peal_ring ring;

	CHECK_EQ(peal_ring_open(&ring, &geometry, memory, sizeof(memory)), 0);
	CHECK(ring.sender_page == memory);
	CHECK(ring.receiver_page == memory + 4096);
	CHECK(ring.items == memory + 8192);
	CHECK(memcmp(&ring.geometry, &geometry, sizeof(geometry)) == 0);
}

TEST(format_leaves_the_items_alone)
{
	memset(memory, 0xa5, sizeof(memory));
	make();
	for (size_t i = 8192; i < sizeof(memory); i++)
		CHECK_EQ(memory[i], 0xa5);
}

TEST(format_wants_memory_that_is_aligned_and_large_enough)
{
	struct peal_geometry geometry = make();
	struct peal_ring ring, untouched;

	memset(&ring, 0x5a, sizeof(ring));
	untouched = ring;
	CHECK_EQ(peal_ring_format(&ring, &geometry, memory + 1, sizeof(memory)),
		 -EINVAL);
	CHECK_EQ(peal_ring_format(&ring, &geometry, memory + 4, sizeof(memory)),
		 -EINVAL);
	CHECK_EQ(peal_ring_format(&ring, &geometry, memory, sizeof(memory) - 1),
		 -ENOSPC);
	CHECK_EQ(peal_ring_format(&ring, &geometry, memory, 8191), -ENOSPC);
	CHECK_EQ(peal_ring_format(&ring, &geometry, memory, 0), -ENOSPC);
	CHECK(memcmp(&ring, &untouched, sizeof(ring)) == 0);
	CHECK_EQ(peal_ring_format(&ring, &geometry, memory, sizeof(memory)), 0);
}

TEST(format_and_open_want_a_geometry_that_was_fitted)
{
	struct peal_geometry fit = make(), bad[8];
	struct peal_ring ring;

	for (int i = 0; i < 8; i++)
		bad[i] = fit;
	bad[0].capacity = 15;
	bad[1].capacity = 0;
	bad[2].item_size = 0;
	bad[3].items_offset = 0;
	bad[4].items_offset = 8200;
	bad[5].flags = 0x8;
	bad[6].flags = PEAL_RING_TWICE; /* 64 bytes are no page */
	bad[7].item_size = UINT64_C(1) << 60;
	for (int i = 0; i < 8; i++) {
		CHECK_EQ(peal_ring_format(&ring, &bad[i], memory,
					  sizeof(memory)),
			 -EINVAL);
		CHECK_EQ(peal_ring_open(&ring, &bad[i], memory, sizeof(memory)),
			 -EINVAL);
	}
}

TEST(open_wants_memory_that_is_aligned_and_large_enough)
{
	struct peal_geometry geometry = make();
	struct peal_ring ring, untouched;

	memset(&ring, 0x5a, sizeof(ring));
	untouched = ring;
	CHECK_EQ(peal_ring_open(&ring, &geometry, memory + 1, sizeof(memory)),
		 -EINVAL);
	CHECK_EQ(peal_ring_open(&ring, &geometry, memory, sizeof(memory) - 1),
		 -ENOSPC);
	CHECK_EQ(peal_ring_open(&ring, &geometry, memory, 4096), -ENOSPC);
	CHECK(memcmp(&ring, &untouched, sizeof(ring)) == 0);
}

TEST(open_finds_only_the_geometry_that_is_wanted)
{
	struct peal_geometry geometry = make(), other;
	struct peal_ring ring;

	other = geometry;
	other.capacity = 8;
	CHECK_EQ(peal_ring_open(&ring, &other, memory, sizeof(memory)),
		 -EPROTOTYPE);
	other = geometry;
	other.item_size = 2;
	CHECK_EQ(peal_ring_open(&ring, &other, memory, sizeof(memory)),
		 -EPROTOTYPE);
	other = geometry;
	strcpy(other.tag, "sample/2");
	CHECK_EQ(peal_ring_open(&ring, &other, memory, sizeof(memory)),
		 -EPROTOTYPE);
	other = geometry;
	strcpy(other.name, "viola");
	CHECK_EQ(peal_ring_open(&ring, &other, memory, sizeof(memory)),
		 -EPROTOTYPE);
}

TEST(empty_tag_and_name_match_any)
{
	struct peal_geometry geometry = make();
	struct peal_ring ring;

	memset(geometry.tag, 0, sizeof(geometry.tag));
	memset(geometry.name, 0, sizeof(geometry.name));
	CHECK_EQ(peal_ring_open(&ring, &geometry, memory, sizeof(memory)), 0);
	CHECK(strcmp(ring.geometry.tag, "sample/1") == 0);
	CHECK(strcmp(ring.geometry.name, "cello") == 0);
}

TEST(pages_that_disagree_are_not_opened)
{
	struct peal_geometry geometry = make();
	struct peal_ring ring;

	memset(geometry.tag, 0, sizeof(geometry.tag));
	strcpy((char *)memory + 4096 + 64, "sample/2");
	CHECK_EQ(peal_ring_open(&ring, &geometry, memory, sizeof(memory)),
		 -EPROTOTYPE);
	make();
	memory[4096] ^= 1;
	CHECK_EQ(peal_ring_open(&ring, &geometry, memory, sizeof(memory)),
		 -EBADMSG);
}

TEST(geometry_is_read_back_as_it_was_written)
{
	struct peal_geometry geometry = make(), seen;

	memset(&seen, 0x5a, sizeof(seen));
	CHECK_EQ(peal_geometry_read(&seen, memory, 4096), 0);
	CHECK(memcmp(&seen, &geometry, sizeof(seen)) == 0);
	CHECK_EQ(peal_geometry_read(&seen, memory + 4096, 4096), 0);
	CHECK(memcmp(&seen, &geometry, sizeof(seen)) == 0);
}

static void check_unreadable(int error)
{
	struct peal_geometry seen, untouched;

	memset(&seen, 0x5a, sizeof(seen));
	untouched = seen;
	CHECK_EQ(peal_geometry_read(&seen, memory, sizeof(memory)), error);
	CHECK(memcmp(&seen, &untouched, sizeof(seen)) == 0);
}

static void put64(size_t offset, uint64_t value)
{
	make();
	memcpy(memory + offset, &value, sizeof(value));
}

static void put32(size_t offset, uint32_t value)
{
	make();
	memcpy(memory + offset, &value, sizeof(value));
}

TEST(reading_wants_memory_that_is_aligned_and_large_enough)
{
	struct peal_geometry seen;

	make();
	CHECK_EQ(peal_geometry_read(&seen, memory + 4, 4096), -EINVAL);
	CHECK_EQ(peal_geometry_read(&seen, memory, 4095), -EINVAL);
	CHECK_EQ(peal_geometry_read(&seen, memory, 0), -EINVAL);
}

TEST(what_is_no_ring_is_told_apart)
{
	put64(0, 0);
	check_unreadable(-EBADMSG);
	put32(12, 0x04030201); /* of the other byte order */
	check_unreadable(-EBADMSG);
	put32(8, 2);
	check_unreadable(-EPROTONOSUPPORT);
	put32(8, 0);
	check_unreadable(-EPROTONOSUPPORT);
}

TEST(geometry_that_cannot_be_is_refused)
{
	put64(24, 0);
	check_unreadable(-EPROTO);
	put64(24, 17);
	check_unreadable(-EPROTO);
	put64(24, UINT64_C(1) << 63);
	check_unreadable(-EPROTO);
	put64(32, 0);
	check_unreadable(-EPROTO);
	put64(32, UINT64_C(1) << 60); /* times 16 is 2^64 */
	check_unreadable(-EPROTO);
	put64(32, UINT64_MAX);
	check_unreadable(-EPROTO);
	put64(40, 0);
	check_unreadable(-EPROTO);
	put64(40, 4096);
	check_unreadable(-EPROTO);
	put64(40, UINT64_MAX - 8191);
	check_unreadable(-EPROTO);
	put32(16, 2);
	check_unreadable(-EPROTO);
	put32(16, PEAL_RING_TWICE);
	check_unreadable(-EPROTO);
	make();
	memset(memory + 64, 'x', 64);
	check_unreadable(-EPROTO);
	make();
	memset(memory + 128, 'x', 64);
	check_unreadable(-EPROTO);
}

TEST(random_headers_are_refused_or_sane)
{
	uint64_t seed = test_seed();

	for (int i = 0; i < 20000; i++) {
		struct peal_geometry g;
		uint64_t word = test_random(&seed);
		size_t offset = 16 + test_random(&seed) % 22 * 8;

		/* Small numbers and powers of two get further. */
		word >>= test_random(&seed) % 64;
		if (test_random(&seed) % 2)
			word = UINT64_C(1) << word % 64;
		put64(offset, word);
		if (peal_geometry_read(&g, memory, sizeof(memory)) < 0)
			continue;
		CHECK(g.capacity != 0 && (g.capacity & (g.capacity - 1)) == 0);
		CHECK(g.item_size != 0);
		CHECK(g.item_size <= SIZE_MAX / 4 / g.capacity);
		CHECK(g.items_offset >= 8192 && g.items_offset % 8192 == 0);
		CHECK(strnlen(g.tag, 64) < 64 && strnlen(g.name, 64) < 64);
	}
}
