/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Kernels that lack something of what memory is made with, or a sandbox that
 * refuses it: what peal does in its place, and what it says where it cannot.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <peal/local.h>

#include "../mem/internal.h"
#include "fixtures/service.h"

#include "fixtures/older.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define PAGES 16

/* madvise(2) of the C library here: sanitizers have one of their own. */
static void refuse_populating(int error)
{
	refuse(SYS_madvise, 2, ~1u, 22, error);
}

/* -- memory that is faulted in beforehand */

static const int errors[] = { EINVAL, ENOSYS, EPERM };

/* Every page is mapped: as many bytes as the mapping has. */
static bool is_faulted_in(const struct peal_mem *mem)
{
	const uintptr_t base = (uintptr_t)mem->base;
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long from, to;
	bool inside = false;
	char line[512];
	size_t kb, sum = 0;

	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from >= base && to <= base + mem->mapped;
		else if (inside && sscanf(line, "Rss: %zu", &kb) == 1)
			sum += kb;
	}
	fclose(file);
	return sum == mem->mapped / 1024;
}

static void prefault_each_way(void *error)
{
	const unsigned flags = PEAL_MEM_TWICE | PEAL_MEM_PREFAULT;
	struct peal_mem mem, peer, reader;

	refuse_populating(*(int *)error);
	mem = create(page(), PAGES * page(), flags);
	CHECK(is_faulted_in(&mem));
	CHECK(all_zero(mem.base, mem.mapped));
	memset(body_of(&mem), 7, PAGES * page());
	CHECK_EQ(peal_mem_open(&peer, mem.fd, page(), PAGES * page(), flags),
		 0);
	CHECK(is_faulted_in(&peer));
	CHECK_EQ(peal_mem_open(&reader, mem.fd, page(), PAGES * page(),
			       flags | PEAL_MEM_READONLY),
		 0);
	CHECK(is_faulted_in(&reader));
	/* What was there is there still. */
	for (size_t i = 0; i < PAGES * page(); i++)
		CHECK_EQ(body_of(&reader)[i], 7);
	peal_mem_close(&reader);
	peal_mem_close(&peer);
	peal_mem_close(&mem);
}

TEST(memory_is_faulted_in_also_where_madvise_cannot)
{
	test_needs_madvise();
	for (int i = 0; i < 3; i++) {
		int error = errors[i];

		test_join(test_fork(prefault_each_way, &error));
	}
}

/* Step by step, whatever the step is. */
static void fill_in_steps(void *error)
{
	struct peal_mem mem = create(0, PAGES * page(), PEAL_MEM_TWICE);
	size_t filled = 0, before = 0;
	int ret;

	refuse_populating(*(int *)error);
	do {
		ret = peal_mem_fill(&mem, &filled, 3 * page() + 1);
		CHECK(ret >= 0);
		CHECK(filled > before && filled - before <= 3 * page());
		before = filled;
	} while (ret == 0);
	CHECK(is_faulted_in(&mem));
	peal_mem_close(&mem);
}

TEST(it_is_faulted_in_step_by_step)
{
	test_needs_madvise();
	for (int i = 0; i < 3; i++) {
		int error = errors[i];

		test_join(test_fork(fill_in_steps, &error));
	}
}

/* From now on a page that is not there yet is not to be had: SIGBUS. */
static int forbid_faults(void *from, size_t size)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_SIGBUS };
	struct uffdio_register range = { .range = { .start = (uintptr_t)from,
						    .len = size },
					 .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = (int)syscall(SYS_userfaultfd,
			      O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd < 0) /* before Linux 5.11 */
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 ||
	    ioctl(fd, UFFDIO_REGISTER, &range) < 0)
		test_skip("userfaultfd: %s", strerror(errno));
	return fd;
}

TEST(a_page_that_is_not_to_be_had_is_an_error_and_no_signal)
{
	struct peal_mem mem = create(0, PAGES * page(), PEAL_MEM_TWICE);
	size_t filled = 0;
	int fd;

	test_needs_madvise();
	memset(mem.base, 1, 8 * page());
	fd = forbid_faults(mem.base, PAGES * page());
	refuse_populating(EINVAL);
	CHECK_EQ(peal_mem_fill(&mem, &filled, 8 * page()), 0);
	CHECK_EQ(filled, 8 * page());
	CHECK_EQ(peal_mem_fill(&mem, &filled, 8 * page()), -ENOMEM);
	CHECK_EQ(filled, 8 * page());
	peal_mem_close(&mem);
	close(fd);
}

TEST(what_cannot_be_faulted_in_in_any_way_says_so)
{
	test_needs_madvise();
	refuse_populating(EPERM);
	refuse(SYS_futex, 1, ~0u, FUTEX_CMP_REQUEUE_PRIVATE, ENOSYS);
	CHECK_EQ(try_create(0, page(), PEAL_MEM_PREFAULT), -EOPNOTSUPP);
	CHECK_EQ(try_create(0, page(), 0), 0);
}

/* -- memory that cannot be frozen */

TEST(a_local_ring_needs_no_seal)
{
	struct peal_geometry geometry = { .capacity = 64,
					  .item_size = sizeof(int) };
	struct peal_local ring;
	int n = 7;

	become_older(LINUX(4, 14));
	CHECK_EQ(peal_local_init(&ring, &geometry), 0);
	CHECK_EQ(peal_mem_seal(&ring.mem), -EOPNOTSUPP);
	CHECK_EQ(peal_sender_put(&ring.sender, &n, 1), 1);
	n = 0;
	CHECK_EQ(peal_receiver_get(&ring.receiver, &n, 1), 1);
	CHECK_EQ(n, 7);
	peal_local_close(&ring);
}

static const int releases[] = { LINUX(4, 14), LINUX(5, 0), LINUX(5, 4),
				LINUX(5, 10) };

static struct peal_channel client;

static void serve_one_user(void *release)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_BOTH, 64);

	become_older(*(int *)release);
	there.most = 10;
	link_serve(LINK_OWN, &service);
	client_meets(&client, link_path, &hello);
	CHECK_EQ(here.opens, 1);
	CHECK_EQ(peal_channel_bells(&client), PEAL_DOORBELL_EVENTFD);
	here.most = 10;
	party_send(&here, &client.sender);
	LINK_UNTIL(there.in == 10 && here.in == 10);
	peal_channel_close(&client);
	settle();
	link_end();
}

TEST(processes_of_one_user_have_channels_on_old_kernels)
{
	for (size_t i = 0; i < sizeof(releases) / sizeof(*releases); i++) {
		int release = releases[i];

		test_join(test_fork(serve_one_user, &release));
	}
}

/* Who takes no eventfds trusts nobody. */
TEST(those_who_do_not_trust_each_other_are_told_that_it_needs_linux_5_1)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_SENDER, 64);

	become_older(LINUX(5, 0));
	hello.bells = PEAL_DOORBELL_SOCKET;
	link_serve(LINK_OWN, &service);
	client_meets(&client, link_path, &hello);
	CHECK_EQ(here.opens, 0);
	CHECK_EQ(here.reason, -EOPNOTSUPP);
	CHECK(strstr(here.text, "Linux 5.1") != NULL);
	settle();
	link_end();
}

TEST(from_linux_5_1_on_they_have_channels)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_SENDER, 64);

	if (!peal_memfd_freezes())
		test_skip("no F_SEAL_FUTURE_WRITE");
	become_older(LINUX(5, 1));
	hello.bells = PEAL_DOORBELL_SOCKET;
	link_serve(LINK_OWN, &service);
	client_meets(&client, link_path, &hello);
	CHECK_EQ(here.opens, 1);
	peal_channel_close(&client);
	settle();
	link_end();
}

TEST(a_client_in_a_sandbox_is_told_what_it_lacks)
{
	struct peal_service service = usual();
	struct peal_hello hello = link_hello(PEAL_SENDER, 64);

	test_needs_madvise();
	refuse_populating(EPERM);
	refuse(SYS_futex, 1, ~0u, FUTEX_CMP_REQUEUE_PRIVATE, EPERM);
	link_serve(LINK_OWN, &service);
	client_meets(&client, link_path, &hello);
	CHECK_EQ(here.opens, 0);
	CHECK_EQ(here.reason, -EOPNOTSUPP);
	CHECK(strstr(here.text, "madvise(2)") != NULL);
	settle();
	link_end();
}

/* Where it can be sealed, one who leaves it as it is has broken the rules. */
TEST(a_kernel_is_asked_whether_it_freezes)
{
	struct peal_mem mem = create(0, page(), 0);
	bool can = peal_mem_seal(&mem) == 0;

	peal_mem_close(&mem);
	CHECK_EQ(peal_memfd_freezes(), can);
	become_older(LINUX(5, 0));
	CHECK(!peal_memfd_freezes());
}
