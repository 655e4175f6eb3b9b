/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Which processes have which rings. /proc/PID/maps names every mapping of a
 * memfd, with its device and inode, and is read without touching what is
 * mapped. /proc/PID/fd is looked into only for rings that were not found open
 * in a process before: most are closed everywhere once they are mapped.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "top.h"

#define OURS "/memfd:peal:" /* see peal_mem_create() */
#define PATH_SIZE 64
#define STAT_VSIZE 23 /* of /proc/PID/stat: bytes of its memory */

/* A process that is looked into. */
struct finder {
	const struct top_memory *memory;
	struct top_list *list;
	struct top_user user; /* its pid, its name */
	size_t without_fd;    /* rings of this process that nobody has open */
	/* Of the rings: their number + 1, or 0. One may meet many thousands. */
	size_t *index, n_index;
	int error;
};

/* What we lack ourselves hides rings, and is not to pass for their absence. */
static void note_lack(struct finder *f, int error)
{
	if (error == EMFILE || error == ENFILE || error == ENOMEM)
		f->error = -error;
}

/* -- what was found */

/* Where a ring stands in the index, or would. */
static size_t *place(const struct finder *f, dev_t device, ino_t inode)
{
	uint64_t hash = ((uint64_t)inode + ((uint64_t)device << 32)) *
			0x9e3779b97f4a7c15u;

	for (size_t i = (size_t)(hash >> 32);; i++) {
		size_t *at = &f->index[i & (f->n_index - 1)];
		const struct top_ring *ring = f->list->rings;

		if (*at == 0)
			return at;
		ring += *at - 1;
		if (ring->inode == inode && ring->device == device)
			return at;
	}
}

static struct top_ring *find_ring(const struct finder *f, dev_t device,
				  ino_t inode)
{
	size_t i = f->n_index ? *place(f, device, inode) : 0;

	return i ? &f->list->rings[i - 1] : NULL;
}

/* In steps of powers of two. */
static bool grow(struct finder *f)
{
	struct top_list *list = f->list;
	size_t room = list->n ? 2 * list->n : 1;
	struct top_ring *rings = realloc(list->rings, room * sizeof(*rings));
	size_t *index = calloc(4 * room, sizeof(*index));

	if (rings)
		list->rings = rings;
	if (!rings || !index) {
		free(index);
		return false;
	}
	free(f->index);
	f->index = index;
	f->n_index = 4 * room;
	for (size_t i = 0; i < list->n; i++)
		*place(f, rings[i].device, rings[i].inode) = i + 1;
	return true;
}

static struct top_ring *add_ring(struct finder *f, dev_t device, ino_t inode)
{
	struct top_list *list = f->list;
	struct top_ring *ring = find_ring(f, device, inode);

	if (ring)
		return ring;
	if ((list->n & (list->n - 1)) == 0 && !grow(f))
		return NULL;
	ring = &list->rings[list->n];
	*ring = (struct top_ring){ .device = device, .inode = inode };
	*place(f, device, inode) = ++list->n;
	return ring;
}

static struct top_user *add_user(struct finder *f, struct top_ring *ring)
{
	struct top_user *users = ring->users;

	if (ring->n_users && users[ring->n_users - 1].pid == f->user.pid)
		return &users[ring->n_users - 1];
	users = realloc(users, (ring->n_users + 1) * sizeof(*users));
	if (!users)
		return NULL;
	ring->users = users;
	users[ring->n_users] = f->user;
	f->without_fd += ring->fd_of == 0;
	return &users[ring->n_users++];
}

static void add_map(struct finder *f, dev_t device, ino_t inode,
		    const struct top_map *map)
{
	struct top_ring *ring = add_ring(f, device, inode);
	struct top_user *user = ring ? add_user(f, ring) : NULL;

	if (!user)
		f->error = -ENOMEM;
	else if (user->n_maps < TOP_MAPS)
		user->maps[user->n_maps++] = *map;
}

static void read_line(struct finder *f, const char *line)
{
	unsigned major, minor;
	struct top_map map;
	uint64_t inode;
	char mode[8];
	int path = 0;

	if (!strstr(line, OURS))
		return;
	if (sscanf(line,
		   "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %x:%x %" SCNu64
		   " %n",
		   &map.start, &map.end, mode, &map.offset, &major, &minor,
		   &inode, &path) < 7 ||
	    strncmp(line + path, OURS, strlen(OURS)) != 0)
		return;
	/* Any file can be called so, and reading it may never end. */
	if (!top_memory_has(f->memory, makedev(major, minor)))
		return;
	map.writable = mode[1] == 'w';
	add_map(f, makedev(major, minor), (ino_t)inode, &map);
}

static FILE *open_of(pid_t pid, const char *what)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, what);
	return fopen(path, "re");
}

/*
 * A kernel thread or a zombie has none, and no rings either. Not by the way of
 * its arguments, for example: they are in its memory, and it may keep us
 * waiting for them.
 */
static bool has_memory(pid_t pid)
{
	FILE *file = open_of(pid, "stat");
	const char *behind_name;
	char text[1024];
	int field = 2;
	size_t n;

	if (!file) /* where even that is hidden, it may well have some */
		return errno == EACCES || errno == EPERM;
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	behind_name = strrchr(text, ')');
	while (behind_name && field++ < STAT_VSIZE)
		behind_name = strchr(behind_name + 1, ' ');
	return behind_name && strtoull(behind_name, NULL, 10) > 0;
}

static void read_name(struct top_user *user)
{
	FILE *file = open_of(user->pid, "comm");
	size_t n = 0;

	if (file) {
		n = fread(user->name, 1, sizeof(user->name) - 1, file);
		fclose(file);
	}
	if (n > 0 && user->name[n - 1] == '\n')
		n--;
	user->name[n] = '\0';
}

static bool is_ours(pid_t pid)
{
	char path[PATH_SIZE];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%ld", (long)pid);
	return stat(path, &st) == 0 && st.st_uid == geteuid();
}

/* -- what it has open */

static void take_fd(struct finder *f, int fd)
{
	struct top_ring *ring;
	char path[PATH_SIZE];
	dev_t device;
	ino_t inode;
	int own;

	snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)f->user.pid, fd);
	own = top_open_memory(f->memory, path, &device, &inode);
	if (own < 0) {
		note_lack(f, -own);
		return;
	}
	close(own);
	ring = find_ring(f, device, inode);
	if (!ring || ring->fd_of != 0)
		return;
	ring->fd_of = f->user.pid;
	ring->fd = fd;
}

static void find_fds(struct finder *f)
{
	char path[PATH_SIZE], link[sizeof(OURS)];
	const struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)f->user.pid);
	dir = opendir(path);
	if (!dir) {
		note_lack(f, errno);
		return;
	}
	while ((entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link,
				       sizeof(link));

		if (n == sizeof(link) && memcmp(link, OURS, n - 1) == 0)
			take_fd(f, atoi(entry->d_name));
	}
	closedir(dir);
}

/* -- processes */

static void find_in(struct finder *f, pid_t pid)
{
	FILE *maps = open_of(pid, "maps");
	char *line = NULL;
	size_t size = 0;

	if (!maps) {
		note_lack(f, errno);
		if ((errno == EACCES || errno == EPERM) && has_memory(pid))
			f->list->hidden_processes++;
		return;
	}
	f->user = (struct top_user){ .pid = pid, .ours = is_ours(pid) };
	f->without_fd = 0;
	read_name(&f->user);
	while (f->error == 0 && getline(&line, &size, maps) > 0)
		read_line(f, line);
	free(line);
	fclose(maps);
	if (f->without_fd > 0)
		find_fds(f);
}

/* An empty folder, or the /proc of another pid namespace, has no rings either,
 * and says nothing about those that there are. */
static bool has_proc(void)
{
	struct statfs fs;

	return statfs("/proc", &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC &&
	       access("/proc/self/maps", R_OK) == 0;
}

int top_find(const struct top_memory *memory, struct top_list *list)
{
	struct finder f = { .memory = memory, .list = list };
	const struct dirent *entry;
	DIR *proc;

	*list = (struct top_list){ 0 };
	if (!has_proc())
		return -ENODEV;
	proc = opendir("/proc");
	if (!proc)
		return -errno;
	/* This one is always there, but hidden with hidepid=2. */
	list->hidden_more = access("/proc/1", F_OK) < 0;
	while (f.error == 0 && (entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			find_in(&f, (pid_t)atol(entry->d_name));
	closedir(proc);
	free(f.index);
	if (f.error < 0)
		top_forget(list);
	return f.error;
}

void top_forget(struct top_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->rings[i].users);
	free(list->rings);
	*list = (struct top_list){ 0 };
}
