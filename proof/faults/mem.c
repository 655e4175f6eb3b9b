/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Scenarios of mem/: everything that is mapped, and what fails leaves alone. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <peal/mem.h>

#include "../../mem/internal.h"
#include "faults.h"

#define BODY 65536u

static bool is_zero(const void *memory, size_t size)
{
	const char *bytes = memory;

	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

static void make(struct peal_mem *mem, size_t body_offset, unsigned flags)
{
	memset(mem, 0, sizeof(*mem));
	if (!WELL_OR(peal_mem_create(mem, "faults", body_offset, BODY, flags),
		     ENOMEM, EOPNOTSUPP)) {
		MUST(is_zero(mem, sizeof(*mem)));
		MUST(peal_mem_create(mem, "faults", body_offset, BODY, flags) ==
		     0);
	}
}

/* What is written in one place is read in all others. */
static void use(const struct peal_mem *mem)
{
	unsigned char *body = (unsigned char *)mem->base + mem->body_offset;

	for (size_t i = 0; i < BODY; i++)
		body[i] = (unsigned char)(i * 7);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	for (size_t i = 0; (mem->flags & PEAL_MEM_TWICE) && i < BODY; i++)
		MUST(body[BODY + i] == (unsigned char)(i * 7));
}

SCENARIO(mem)
{
	static const unsigned flags[] = { 0, PEAL_MEM_TWICE,
					  PEAL_MEM_TWICE | PEAL_MEM_PREFAULT |
						  PEAL_MEM_LOCK };
	struct peal_mem mem;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		make(&mem, peal_mem_page(0), flags[i]);
		use(&mem);
		TWICE_OR(peal_mem_seal(&mem), EOPNOTSUPP);
		peal_mem_close(&mem);
		MUST(is_zero(&mem, sizeof(mem)));
	}
}

static void open_it(struct peal_mem *mem, int fd, size_t body_offset,
		    unsigned flags)
{
	memset(mem, 0, sizeof(*mem));
	if (!WELL_OR(peal_mem_open(mem, fd, body_offset, BODY, flags), ENOMEM,
		     EBADMSG, EOPNOTSUPP)) {
		MUST(is_zero(mem, sizeof(*mem)));
		MUST(peal_mem_open(mem, fd, body_offset, BODY, flags) == 0);
	}
}

SCENARIO(mem_open)
{
	size_t body_offset = peal_mem_page(0);
	struct peal_mem mem, other, reader;

	make(&mem, body_offset, 0);
	use(&mem);
	open_it(&other, mem.fd, body_offset,
		PEAL_MEM_TWICE | PEAL_MEM_PREFAULT);
	MUST(!memcmp(mem.base, other.base, body_offset + BODY));
	use(&other);
	TWICE_OR(peal_mem_seal(&other), EOPNOTSUPP);
	open_it(&reader, mem.fd, body_offset,
		PEAL_MEM_SEALED | PEAL_MEM_READONLY | PEAL_MEM_PREFAULT);
	MUST(!memcmp(mem.base, reader.base, body_offset + BODY));
	peal_mem_close(&mem);
	peal_mem_close(&reader);
	peal_mem_close(&other);
}

SCENARIO(mem_fill)
{
	struct peal_mem mem;
	size_t filled = 0;
	int ret;

	make(&mem, 0, PEAL_MEM_TWICE);
	TWICE_OR(peal_mem_seal(&mem), EOPNOTSUPP);
	do {
		ret = peal_mem_fill(&mem, &filled, 16384);
		if (!WELL_OR(ret, ENOMEM, EOPNOTSUPP))
			ret = 0;
	} while (ret == 0);
	MUST(filled == mem.mapped && mem.fd == -1);
	use(&mem);
	peal_mem_close(&mem);
}

/* Where there are no huge pages, or no longer, there are others. */
SCENARIO(mem_huge)
{
	const unsigned flags = PEAL_MEM_TWICE | PEAL_MEM_PREFAULT;
	size_t huge = peal_mem_page(PEAL_MEM_HUGE_2M);
	struct peal_mem mem = { 0 };
	int ret = peal_mem_create(&mem, "huge", 0, huge,
				  flags | PEAL_MEM_HUGE_2M);

	if (ret < 0) {
		MUST(ret == -ENOMEM || ret == -EOPNOTSUPP ||
		     (faults_fired() && ret == -faults->shot.error));
		MUST(is_zero(&mem, sizeof(mem)));
		TWICE_OR(peal_mem_create(&mem, "small", 0, huge, flags), ENOMEM,
			 EOPNOTSUPP);
	}
	((char *)mem.base)[huge - 1] = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	MUST(((char *)mem.base)[2 * huge - 1] == 1);
	peal_mem_close(&mem);
}

/* SIGXFSZ comes with the error, and shall not come through. */
SCENARIO(mem_too_large)
{
	const struct rlimit small = { 4096, RLIM_INFINITY };
	const struct rlimit any = { RLIM_INFINITY, RLIM_INFINITY };
	struct peal_mem mem = { 0 };
	sigset_t pending;
	int ret;

	MUST(setrlimit(RLIMIT_FSIZE, &small) == 0);
	ret = peal_mem_create(&mem, "large", 0, BODY, 0);
	MUST(ret == -EFBIG || (faults_fired() && ret == -faults->shot.error));
	MUST(setrlimit(RLIMIT_FSIZE, &any) == 0);
	TWICE_OR(peal_mem_create(&mem, "large", 0, BODY, 0), ENOMEM);
	faults_disarm();
	sigpending(&pending);
	MUST(!sigismember(&pending, SIGXFSZ));
	peal_mem_close(&mem);
}

SCENARIO(blob)
{
	struct peal_blob blob = { 0 }, reader = { 0 };

	if (!WELL_OR(peal_blob_create(&blob, "faults", BODY), ENOMEM)) {
		MUST(is_zero(&blob, sizeof(blob)));
		MUST(peal_blob_create(&blob, "faults", BODY) == 0);
	}
	memset(blob.base, 'a', BODY);
	if (!WELL_OR(peal_blob_seal(&blob), ENOMEM, EBADMSG)) {
		MUST(!memchr(blob.base, 0, BODY));
		memset(blob.base, 'b', BODY); /* it is still writable */
		MUST(peal_blob_seal(&blob) == 0);
	}
	if (!WELL_OR(peal_blob_open(&reader, blob.fd), ENOMEM, EBADMSG)) {
		MUST(is_zero(&reader, sizeof(reader)));
		MUST(peal_blob_open(&reader, blob.fd) == 0);
	}
	MUST(reader.size == BODY && !memcmp(blob.base, reader.base, BODY));
	peal_blob_close(&reader);
	peal_blob_close(&blob);
	peal_blob_close(&blob);
}
