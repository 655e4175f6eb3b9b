/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A ring's two pages, copied. Never mapped: its maker may cut off what we have
 * mapped, and a hole that is read through a mapping costs memory. There are
 * three ways, the first that is allowed is taken:
 *
 *	/proc/PID/map_files	what is mapped, also if it is open nowhere;
 *				needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE
 *	/proc/PID/fd		a process that has it open; we need only be
 *				allowed to read what the process is
 *	/proc/PID/mem		needs as much as a debugger, which Yama forbids
 *
 * The first two read the memory itself, and the process never notices. The last
 * one goes through its page tables: whoever handles page faults there can keep
 * us waiting, so it is for processes of our own user alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "top.h"

#define PATH_SIZE 96
#define PAGE 4096u

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26)
#endif
#ifndef MFD_HUGE_1GB
#define MFD_HUGE_1GB (30u << 26)
#endif

/* Which mount an fd is on: the one question that no file system answers. */
static int mount_of(int fd)
{
	char path[PATH_SIZE], line[128];
	int mount = -1;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	if (!info)
		return -errno;
	while (mount < 0 && fgets(line, sizeof(line), info))
		sscanf(line, "mnt_id: %d", &mount);
	fclose(info);
	return mount;
}

int top_memory_init(struct top_memory *memory)
{
	static const unsigned kinds[] = { 0, MFD_HUGETLB | MFD_HUGE_2MB,
					  MFD_HUGETLB | MFD_HUGE_1GB };

	memory->n = 0;
	for (unsigned i = 0; i < 3; i++) {
		int fd = memfd_create("peal-top", MFD_CLOEXEC | kinds[i]);
		struct stat st;

		if (fd < 0 && i == 0)
			return -errno;
		if (fd < 0)
			continue;
		if (fstat(fd, &st) == 0) {
			memory->devices[memory->n] = st.st_dev;
			memory->mounts[memory->n++] = mount_of(fd);
		}
		close(fd);
	}
	return 0;
}

bool top_memory_has(const struct top_memory *memory, dev_t device)
{
	for (unsigned i = 0; i < memory->n; i++)
		if (memory->devices[i] == device)
			return true;
	return false;
}

static bool is_memory(const struct top_memory *memory, int fd)
{
	int mount = mount_of(fd);

	for (unsigned i = 0; i < memory->n; i++)
		if (mount >= 0 && memory->mounts[i] == mount)
			return true;
	return false;
}

int top_open_memory(const struct top_memory *memory, const char *path,
		    dev_t *device, ino_t *inode)
{
	/* Without asking the file system, which may be anybody's. */
	int fd = open(path, O_PATH | O_CLOEXEC), ret = -EBADMSG;
	char again[PATH_SIZE];
	struct stat st;

	if (fd < 0)
		return -errno;
	if (is_memory(memory, fd) && fstat(fd, &st) == 0) {
		*device = st.st_dev;
		*inode = st.st_ino;
		snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
		ret = open(again, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		ret = ret < 0 ? -errno : ret;
	}
	close(fd);
	return ret;
}

/* -- ways to it */

/* Bytes of a ring, by their offset in it. */
struct source {
	int fd;
	const struct top_user *user; /* through its addresses, or NULL */
};

static const struct top_map *map_at(const struct top_user *user,
				    uint64_t offset)
{
	for (unsigned i = 0; i < user->n_maps; i++) {
		const struct top_map *m = &user->maps[i];

		if (offset >= m->offset &&
		    offset - m->offset < m->end - m->start)
			return m;
	}
	return NULL;
}

static int copy(const struct source *s, uint64_t offset, void *to, size_t size)
{
	const struct top_map *map;
	ssize_t n;

	if (s->user) {
		map = map_at(s->user, offset);
		if (!map)
			return -EIO;
		offset = map->start + (offset - map->offset);
	}
	n = pread(s->fd, to, size, (off_t)offset);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EBADMSG;
}

static int read_pages(struct top_ring *ring, const struct source *s)
{
	_Alignas(8) unsigned char sender[PAGE], receiver[PAGE];
	struct peal_geometry g;
	uint64_t head;
	int ret = copy(s, 0, sender, PAGE);

	if (ret == 0)
		ret = peal_geometry_read(&g, sender, PAGE);
	if (ret != 0)
		return ret == -EBADMSG || ret == -EPROTO ||
				       ret == -EPROTONOSUPPORT
			       ? -EBADMSG
			       : ret;
	/* The ends go on meanwhile: see top_figures_read(). */
	ret = copy(s, g.items_offset / 2, receiver, PAGE);
	if (ret == 0)
		ret = copy(s, 0, sender, PAGE);
	if (ret == 0)
		ret = copy(s, g.items_offset / 2 + TOP_POSITION, &head,
			   sizeof(head));
	if (ret != 0)
		return ret;
	return top_figures_read(&ring->figures, sender, receiver, head) < 0
		       ? -EBADMSG
		       : 0;
}

static int through_memory(const struct top_memory *memory,
			  struct top_ring *ring, const char *path)
{
	struct source s = { .user = NULL };
	dev_t device = 0;
	ino_t inode = 0;
	int ret;

	s.fd = top_open_memory(memory, path, &device, &inode);
	if (s.fd < 0)
		return s.fd;
	/* Another one, by now? */
	ret = inode == ring->inode && device == ring->device
		      ? read_pages(ring, &s)
		      : -ENOENT;
	close(s.fd);
	return ret;
}

static int through_map(const struct top_memory *memory, struct top_ring *ring,
		       const struct top_user *user)
{
	const struct top_map *map = map_at(user, 0);
	char path[PATH_SIZE];

	if (!map)
		return -EIO;
	snprintf(path, sizeof(path), "/proc/%ld/map_files/%" PRIx64 "-%" PRIx64,
		 (long)user->pid, map->start, map->end);
	return through_memory(memory, ring, path);
}

static int through_fd(const struct top_memory *memory, struct top_ring *ring)
{
	char path[PATH_SIZE];

	if (ring->fd_of == 0)
		return -EACCES;
	snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)ring->fd_of,
		 ring->fd);
	return through_memory(memory, ring, path);
}

static int through_process(struct top_ring *ring, const struct top_user *user)
{
	struct source s = { .user = user };
	char path[PATH_SIZE];
	int ret;

	if (!user->ours)
		return -EACCES;
	snprintf(path, sizeof(path), "/proc/%ld/mem", (long)user->pid);
	s.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s.fd < 0)
		return -errno;
	ret = read_pages(ring, &s);
	close(s.fd);
	return ret;
}

/* -- */

/* Take note of what a way led to. @return true: there is no need for others */
static bool settles(int *result, int ret)
{
	if (ret == 0 || ret == -EBADMSG || *result != -EACCES)
		*result = ret == -EPERM ? -EACCES : ret;
	return ret == 0 || ret == -EBADMSG;
}

int top_peek(const struct top_memory *memory, struct top_ring *ring)
{
	int result = -ENOENT;

	for (size_t i = 0; i < ring->n_users; i++)
		if (settles(&result,
			    through_map(memory, ring, &ring->users[i])))
			return result;
	if (settles(&result, through_fd(memory, ring)))
		return result;
	for (size_t i = 0; i < ring->n_users; i++)
		if (settles(&result, through_process(ring, &ring->users[i])))
			return result;
	return result;
}
