/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../mem/internal.h"
#include "../../ring/internal.h"
#include "kernel.h"

#define PAGE 4096u
#define HEAD PEAL_RING_ITEMS_OFFSET
#define MEMFD (KERNEL_SOCKET + 1000)

struct kernel kernel;

void kernel_start(struct input in)
{
	/* Packets are so when they come. */
	memset(&kernel, 0, offsetof(struct kernel, comes));
	kernel.in = in;
}

bool kernel_fails(void)
{
	return !kernel.honest && input_byte(&kernel.in) % 16 == 15;
}

struct kernel_packet *kernel_packet(void)
{
	struct kernel_packet *packet = &kernel.comes[kernel.n_come++];

	memset(packet, 0, sizeof(*packet));
	return packet;
}

/* -- memory */

/* Mapped once and for all, for each of two rings and each size. */
static void *memory(int which, size_t body)
{
	static char *found[2][KERNEL_BODY_MAX / PAGE + 1];
	char **at = &found[which][body / PAGE];
	int fd;

	if (*at)
		return *at;
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, (off_t)(HEAD + body)), 0);
	*at = mmap(NULL, HEAD + 2 * body, PROT_READ | PROT_WRITE, MAP_SHARED,
		   fd, 0);
	CHECK(*at != MAP_FAILED);
	CHECK(mmap(*at + HEAD + body, body, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_FIXED, fd, HEAD) != MAP_FAILED);
	close(fd);
	return *at;
}

/* The words of a header, most of all those that say how large. */
static void patch_pages(struct kernel_mem *m)
{
	uint8_t how = input_byte(&kernel.in);
	unsigned char *page = (unsigned char *)m->base +
			      (how & 1 ? m->body_offset / 2 : 0);
	uint64_t value = how & 2 ? input_bytes(&kernel.in, 8)
				 : input_nearby(&kernel.in);
	size_t at = input_byte(&kernel.in) / 8 * 8;

	if (how / 4 % 4 == 3) /* a position */
		at = offsetof(struct peal_page, position);
	memcpy(page + at, &value, how & 64 ? 1 : 8);
}

void fuzz_before_load(void);
void fuzz_before_load(void)
{
	if (kernel.n_mems == 0 || kernel.strike_after == 0 ||
	    --kernel.strike_after > 0)
		return;
	patch_pages(&kernel.mems[kernel.n_mems - 1]);
}

size_t peal_mem_page(unsigned flags)
{
	return flags & PEAL_MEM_HUGE_2M ? 2u << 20 : PAGE;
}

/* What may be asked for, and where it is. */
static int map(struct peal_mem *mem, size_t body_offset, size_t body,
	       unsigned flags)
{
	size_t page = peal_mem_page(flags), size;
	struct kernel_mem *m = &kernel.mems[kernel.n_mems];

	CHECK(flags & PEAL_MEM_TWICE);
	CHECK(!(flags & ~(PEAL_MEM_TWICE | PEAL_MEM_HUGE_2M | PEAL_MEM_LOCK)));
	CHECK(body > 0 && body % page == 0 && body_offset % page == 0);
	CHECK(body_offset >= HEAD);
	CHECK(!__builtin_add_overflow(body_offset, body, &size));
	if (page != PAGE || body > KERNEL_BODY_MAX || kernel_fails())
		return -ENOMEM;
	CHECK(kernel.n_mems < 2);
	CHECK_EQ(body_offset, HEAD);
	m->base = memory(kernel.n_mems++, body);
	m->body_offset = body_offset;
	m->body = body;
	*mem = (struct peal_mem){ .base = m->base,
				  .body_offset = body_offset,
				  .body = body,
				  .fd = MEMFD + kernel.n_mems - 1,
				  .flags = flags,
				  .mapped = body_offset + 2 * body };
	kernel.mapped++;
	return 0;
}

int peal_mem_create(struct peal_mem *mem, const char *name, size_t body_offset,
		    size_t body, unsigned flags)
{
	check_text(name, 64);
	return map(mem, body_offset, body, flags);
}

/* As its maker left it, or as it likes. */
int peal_mem_open(struct peal_mem *mem, int fd, size_t body_offset, size_t body,
		  unsigned flags)
{
	static const int errors[] = { -EBADMSG, -EPERM, -ERANGE, -EBADF,
				      -EACCES };
	struct kernel_mem *m = &kernel.mems[kernel.n_mems];
	struct peal_ring ring;
	int ret;

	CHECK(fd > KERNEL_SOCKET && fd < MEMFD);
	if (kernel_fails())
		return errors[input_byte(&kernel.in) % 5];
	ret = map(mem, body_offset, body, flags);
	if (ret < 0)
		return ret;
	CHECK_EQ(peal_ring_format(&ring, &kernel.made[fd % 2], m->base,
				  HEAD + KERNEL_BODY_MAX),
		 0);
	for (int i = kernel.honest ? 0 : input_byte(&kernel.in) % 4; i > 0; i--)
		patch_pages(m);
	return 0;
}

static struct kernel_mem *find(const struct peal_mem *mem)
{
	int i = 0;

	while (kernel.mems[i].base != mem->base)
		CHECK(++i < kernel.n_mems);
	return &kernel.mems[i];
}

int peal_mem_seal(struct peal_mem *mem)
{
	if (kernel_fails())
		return -EPERM;
	find(mem)->sealed = true;
	return 0;
}

int peal_mem_verify(const struct peal_mem *mem, bool trusted)
{
	(void)trusted;
	if (kernel_fails())
		return -EPERM;
	find((struct peal_mem *)(uintptr_t)mem)->verified = true;
	return 0;
}

/* Not before nobody can punch holes into it. */
int peal_mem_fill(struct peal_mem *mem, size_t *filled, size_t most)
{
	struct kernel_mem *m = find(mem);

	(void)most;
	CHECK(m->sealed || m->verified);
	if (kernel_fails())
		return -ENOMEM;
	m->filled = true;
	*filled = mem->mapped;
	mem->fd = -1;
	return 1;
}

void peal_mem_close(struct peal_mem *mem)
{
	if (mem->base) {
		find(mem);
		kernel.mapped--;
	}
	memset(mem, 0, sizeof(*mem));
}

/* -- sockets */

int peal_socket_adopt(int fd)
{
	return fd;
}

void peal_socket_enlarge(int fd)
{
	(void)fd;
}

void peal_socket_refuse(int fd)
{
	(void)fd;
}

int peal_socket_connect(const char *address, uint64_t deadline)
{
	(void)address;
	(void)deadline;
	return -ECONNREFUSED;
}

int peal_socket_make(void)
{
	return -EMFILE;
}

int peal_socket_address(struct sockaddr_un *to, socklen_t *size,
			const char *address)
{
	(void)to;
	(void)size;
	(void)address;
	return -EINVAL;
}

void peal_socket_peer(int fd, struct peal_peer *peer)
{
	(void)fd;
	*peer = (struct peal_peer){ .pid = -1, .pidfd = -1 };
}

bool peal_socket_is_us(uid_t uid)
{
	(void)uid;
	return false;
}

uid_t peal_socket_uid(int fd)
{
	(void)fd;
	return (uid_t)-1;
}

int peal_socket_pidfd(int fd)
{
	(void)fd;
	return -1;
}

unsigned peal_socket_drain_every(int fd, unsigned ends)
{
	(void)fd;
	(void)ends;
	return 0;
}

int peal_socket_send(int fd, const void *packet, size_t size, const int *fds,
		     size_t n_fds)
{
	struct kernel_packet *said = &kernel.said[kernel.n_said];

	CHECK_EQ(fd, KERNEL_SOCKET);
	CHECK(size <= sizeof(said->bytes) && n_fds <= PEAL_FDS);
	if (kernel_fails())
		return -EAGAIN;
	CHECK(kernel.n_said++ < KERNEL_PACKETS);
	memcpy(said->bytes, packet, size);
	said->size = size;
	said->n_fds = n_fds;
	if (n_fds > 0)
		memcpy(said->fds, fds, n_fds * sizeof(*fds));
	return 0;
}

int peal_socket_receive_fds(int fd, void *packet, size_t size, int *fds)
{
	const struct kernel_packet *comes = &kernel.comes[kernel.n_heard];

	CHECK_EQ(fd, KERNEL_SOCKET);
	memset(packet, 0, size);
	memset(fds, 0xff, PEAL_FDS * sizeof(*fds));
	if (kernel.n_heard++ >= kernel.n_come)
		return -EPIPE;
	memcpy(packet, comes->bytes, size < comes->size ? size : comes->size);
	if (comes->size != size)
		return -EPROTO;
	memcpy(fds, comes->fds, comes->n_fds * sizeof(*fds));
	return 0;
}

int peal_socket_receive(int fd, void *packet, size_t size)
{
	const struct kernel_packet *comes = &kernel.comes[kernel.n_heard];
	int fds[PEAL_FDS];
	int ret = peal_socket_receive_fds(fd, packet, size, fds);

	return ret == 0 && comes->n_fds > 0 ? -EPROTO : ret;
}

int peal_socket_wait(int fd, uint64_t deadline)
{
	CHECK_EQ(fd, KERNEL_SOCKET);
	(void)deadline;
	return kernel_fails() ? -ETIMEDOUT : 0;
}

bool peal_socket_hung_up(int fd)
{
	(void)fd;
	return false;
}

bool peal_socket_leave(int fd)
{
	(void)fd;
	return true;
}

bool peal_socket_was_read(int fd)
{
	(void)fd;
	return true;
}

/* -- bells */

int peal_doorbell_init(struct peal_doorbell *bell, enum peal_doorbell_kind kind)
{
	if (kernel_fails())
		return -EMFILE;
	return peal_doorbell_borrow(bell, kind, KERNEL_SOCKET + 900,
				    KERNEL_SOCKET + 900);
}

int peal_doorbell_borrow(struct peal_doorbell *bell,
			 enum peal_doorbell_kind kind, int wait_fd, int ring_fd)
{
	CHECK(wait_fd >= KERNEL_SOCKET && ring_fd == wait_fd);
	CHECK((wait_fd == KERNEL_SOCKET) == (kind == PEAL_DOORBELL_SOCKET));
	if (kernel_fails())
		return -EBADMSG;
	*bell = (struct peal_doorbell){ .wait_fd = wait_fd,
					.ring_fd = ring_fd,
					.kind = kind };
	return 0;
}

void peal_doorbell_close(struct peal_doorbell *bell)
{
	memset(bell, 0, sizeof(*bell));
}

int peal_doorbell_ring(const struct peal_doorbell *bell)
{
	(void)bell;
	return 0;
}

int peal_doorbell_clear(const struct peal_doorbell *bell)
{
	(void)bell;
	return 0;
}

int peal_doorbell_wait(const struct peal_doorbell *bell, int timeout_ms)
{
	(void)bell;
	(void)timeout_ms;
	return -ETIMEDOUT;
}

int peal_doorbell_listen(const struct peal_doorbell *bell, int lifeline,
			 int timeout_ms)
{
	(void)bell;
	(void)lifeline;
	(void)timeout_ms;
	return PEAL_HEARD_NOTHING;
}

/* -- barriers */

void peal_fence_init(struct peal_end *end)
{
	(void)end;
}

void peal_fence_restore(struct peal_end *end)
{
	(void)end;
}

void peal_fence_barrier(void)
{
}

void peal_fence_by_hand(struct peal_end *end)
{
	peal_end_wake_seen(end);
}

void peal_fence_allow(struct peal_end *end, bool allow)
{
	(void)end;
	(void)allow;
}

void peal_end_adapt(struct peal_end *end)
{
	end->fence.publishes = 0;
}
