/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where a server listens: a path, an abstract name, or an inherited socket.
 *
 * To tell the socket of a dead server from that of a living one, a server
 * connects to it. Another server may take the path before the removal. So a
 * server that removes a path holds a lock on the folder. A server never removes
 * anything but a socket.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#ifndef SYS_fchmodat2 /* Linux 6.6 */
#define SYS_fchmodat2 452
#endif

/*
 * The number of handshakes that a server has under way. A longer queue would
 * serve nobody sooner. And a user can fill the queue with dead connections:
 * that holds up all others until the server has closed them.
 */
#define BACKLOG 32
/* Each try takes two milliseconds: on a busy machine the holder of the lock may
 * not run for long. */
#define LOCK_TRIES 2500

/* -- paths */

static int open_path(const char *path, int flags)
{
	int fd;

	do {
		fd = open(path, flags | O_CLOEXEC);
	} while (fd < 0 && errno == EINTR);
	return fd;
}

static int open_folder(const char *path)
{
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];

	strcpy(copy, path);
	return open_path(dirname(copy), O_RDONLY | O_DIRECTORY);
}

/* The lock is only advice: a process that holds it for ever stops no server. */
static int lock_folder(const char *path)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	int fd = open_folder(path);

	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			break;
		nanosleep(&pause, NULL);
	}
	return fd;
}

/* @return 0 the path is free now, -EADDRINUSE, -EEXIST, ... */
static int remove_stale(const struct sockaddr_un *at, socklen_t size)
{
	struct stat st;
	int fd, ret;

	if (lstat(at->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = peal_socket_make();
	if (fd < 0)
		return fd;
	ret = connect(fd, (const struct sockaddr *)at, size) < 0 ? errno : 0;
	close(fd);
	/* Only this says that nobody listens; a queue that is full, or a socket
	 * of another type, belongs to somebody alive. */
	if (ret != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(at->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_path(int fd, const struct sockaddr_un *at, socklen_t size)
{
	int lock = lock_folder(at->sun_path);
	int ret = bind(fd, (const struct sockaddr *)at, size) < 0 ? -errno : 0;

	if (ret == -EADDRINUSE) {
		ret = remove_stale(at, size);
		if (ret == 0 && bind(fd, (const struct sockaddr *)at, size) < 0)
			ret = -errno;
	}
	/* Listen before the lock is released. Otherwise another server could
	 * find a socket that does not listen, and remove that socket as the
	 * socket of a dead server. */
	if (ret == 0 && listen(fd, BACKLOG) < 0) {
		ret = -errno;
		unlink(at->sun_path);
	}
	if (lock >= 0)
		close(lock);
	return ret;
}

/* -- owner and mode of a path */

static mode_t mode_of(const struct peal_service *service)
{
	return service->mode ? service->mode : 0600;
}

/* Until the path has its owner and its group, nobody else may use it. */
static mode_t first_mode(const struct peal_service *service)
{
	return mode_of(service) & (service->chown ? S_IRWXU : 07777);
}

/* In a safe folder only root and this user can replace a file of this user. */
static bool is_safe(const struct stat *folder)
{
	return (folder->st_uid == 0 || peal_socket_is_us(folder->st_uid)) &&
	       (!(folder->st_mode & (S_IWGRP | S_IWOTH)) ||
		folder->st_mode & S_ISVTX);
}

/*
 * Without fchmodat2(2) and /proc a mode can only be set by name, which is for
 * folders in which nobody else can put another file at that name.
 */
static int set_mode_by_name(const struct peal_server *server, mode_t mode)
{
	const char *slash = strrchr(server->listening.path, '/');
	const char *name = slash ? slash + 1 : server->listening.path;
	int fd = open_folder(server->listening.path);
	struct stat folder = { 0 }, st = { 0 };
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &folder) < 0 ||
	    fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		ret = -errno;
	if (ret == 0 &&
	    (!is_safe(&folder) || st.st_dev != server->listening.dev ||
	     st.st_ino != server->listening.ino))
		ret = -EOPNOTSUPP;
	if (ret == 0 && fchmodat(fd, name, mode, 0) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* @param fd  of O_PATH, to which fchmod(2) is not open */
static int set_mode(const struct peal_server *server, int fd, mode_t mode)
{
	char link[32];

	if (syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (chmod(link, mode) == 0)
		return 0;
	return errno == ENOENT ? set_mode_by_name(server, mode) : -errno;
}

/*
 * At no moment may the path give anybody more rights than at the end. So the
 * path gets its group before its mode, and its owner last.
 * @param st  of the path as it was made
 */
static int set_owner(const struct peal_server *server, int fd,
		     const struct stat *st)
{
	const struct peal_service *s = &server->service;
	mode_t mode = mode_of(s);
	int ret = 0;

	if (s->chown && fchownat(fd, "", (uid_t)-1, s->gid, AT_EMPTY_PATH) < 0)
		return -errno;
	if ((st->st_mode & 07777) != mode)
		ret = set_mode(server, fd, mode);
	if (ret == 0 && s->chown &&
	    fchownat(fd, "", s->uid, (gid_t)-1, AT_EMPTY_PATH) < 0)
		ret = -errno;
	return ret;
}

/*
 * Give the file at the path its owner and its mode, through an fd that holds
 * the file: so nobody can put another file there, and have that file given
 * away. The file is the server's if the file is a socket, has one name, and has
 * no more rights than the server made it with.
 */
static int settle(struct peal_server *server, const char *path)
{
	int fd = open_path(path, O_PATH | O_NOFOLLOW);
	int ret = fd < 0 ? -errno : 0;
	struct stat st = { 0 };

	if (ret == 0 && fstat(fd, &st) < 0)
		ret = -errno;
	if (ret < 0)
		unlink(path); /* it was the server's a moment ago */
	else if (!S_ISSOCK(st.st_mode) || st.st_nlink != 1 ||
		 st.st_mode & 07777 & ~first_mode(&server->service))
		ret = -EEXIST;
	if (ret == 0) {
		strcpy(server->listening.path, path);
		server->listening.dev = st.st_dev;
		server->listening.ino = st.st_ino;
		ret = set_owner(server, fd, &st);
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

/* -- sockets that were inherited, and listen already */

static int serve_inherited(struct peal_server *server, int fd)
{
	int domain = 0, type = 0, listens = 0, flags;
	socklen_t size = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
		return -errno;
	if (domain != AF_UNIX || type != SOCK_SEQPACKET || !listens)
		return -EPROTOTYPE;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	peal_socket_refuse(fd);
	server->listening.fd = fd;
	return 0;
}

/* The n-th of the names, which are parted by colons. */
static bool is_named(const char *names, int n, const char *name)
{
	size_t length;

	for (; names && n > 0; n--) {
		names = strchr(names, ':');
		names = names ? names + 1 : NULL;
	}
	if (!names)
		return false;
	length = strcspn(names, ":");
	return strlen(name) == length && !strncmp(names, name, length);
}

int peal_address_passed_fd(const char *name)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	const int first = 3; /* as sd_listen_fds(3) says */

	if (!pid || !fds || strtol(pid, NULL, 10) != getpid())
		return -ENOENT;
	for (int i = 0; i < strtol(fds, NULL, 10); i++)
		if (fcntl(first + i, F_GETFD) >= 0 &&
		    (!name[0] || is_named(names, i, name)))
			return first + i;
	return -ENOENT;
}

/* Digits are the number of an fd. A name is looked up among the fds that the
 * service manager has passed. */
static int listen_at_inherited(struct peal_server *server, const char *address)
{
	const char *which = address + strlen(PEAL_ADDRESS_FD);
	bool number = which[0] && !which[strspn(which, "0123456789")];
	int fd;

	if (number && strlen(which) > 9)
		return -EBADF;
	fd = number ? (int)strtol(which, NULL, 10)
		    : peal_address_passed_fd(which);
	return fd < 0 ? fd : serve_inherited(server, fd);
}

/* -- listening */

int peal_address_listen(struct peal_server *server, const char *address)
{
	bool abstract = address[0] == '@';
	struct sockaddr_un at;
	socklen_t size;
	int ret;

	if (peal_address_is_fd(address))
		return listen_at_inherited(server, address);
	ret = peal_socket_address(&at, &size, address);
	if (ret < 0)
		return ret;
	ret = peal_socket_make();
	if (ret < 0)
		return ret;
	server->listening.fd = ret;
	server->listening.owned = true;
	peal_socket_refuse(server->listening.fd);
	if (abstract) {
		ret = bind(server->listening.fd, (struct sockaddr *)&at, size);
		if (ret == 0)
			ret = listen(server->listening.fd, BACKLOG);
		ret = ret < 0 ? -errno : 0;
	} else {
		/* The path has this mode, less the umask, from the first
		 * moment. */
		ret = fchmod(server->listening.fd,
			     first_mode(&server->service));
		ret = ret < 0 ? -errno
			      : bind_path(server->listening.fd, &at, size);
		if (ret == 0)
			ret = settle(server, address);
	}
	if (ret < 0)
		peal_address_remove(server);
	return ret;
}

void peal_address_remove(struct peal_server *server)
{
	struct stat st;

	if (server->listening.path[0] &&
	    lstat(server->listening.path, &st) == 0 &&
	    st.st_dev == server->listening.dev &&
	    st.st_ino == server->listening.ino)
		unlink(server->listening.path);
	server->listening.path[0] = '\0';
	if (server->listening.owned)
		close(server->listening.fd);
	server->listening.owned = false;
}
