/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include <config.h>

#include <peal/peal.h>

#include "fixtures/harness.h"

TEST(the_headers_and_the_library_are_of_one_version)
{
	CHECK(strcmp(peal_version(), PEAL_VERSION) == 0);
}

TEST(the_version_is_that_of_the_package)
{
	CHECK(strcmp(PEAL_VERSION, PACKAGE_VERSION) == 0);
}

TEST(the_version_is_that_of_its_parts)
{
	char text[64];

	snprintf(text, sizeof(text), "%d.%d.%d", PEAL_VERSION_MAJOR,
		 PEAL_VERSION_MINOR, PEAL_VERSION_PATCH);
	CHECK(strcmp(PEAL_VERSION, text) == 0);
}

TEST(versions_compare_as_numbers)
{
	CHECK(PEAL_VERSION_ENCODE(0, 2, 0) > PEAL_VERSION_ENCODE(0, 1, 999));
	CHECK(PEAL_VERSION_ENCODE(1, 0, 0) > PEAL_VERSION_ENCODE(0, 999, 999));
	CHECK_EQ(PEAL_VERSION_NUMBER,
		 PEAL_VERSION_ENCODE(PEAL_VERSION_MAJOR, PEAL_VERSION_MINOR,
				     PEAL_VERSION_PATCH));
}
