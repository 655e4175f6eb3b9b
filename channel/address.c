/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where a server listens: a path, an abstract name, or an fd that was passed.
 *
 * The socket of a dead server is told from that of a living one by connecting
 * to it. Between that look and its removal another server may have taken the
 * path, so whoever removes holds a lock on the folder; and nothing that is not
 * a socket is ever removed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

/*
 * As many as a server has under way. A longer queue would serve nobody sooner,
 * and a user who fills it with dead connections would hold up all others for
 * as long as it takes to close them.
 */
#define BACKLOG 32
#define LOCK_TRIES 50

/* -- paths */

/* Somebody who may not hold it, for it is only advice, shall not stop us. */
static int lock_folder(const char *path)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd;

	strcpy(copy, path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			break;
		nanosleep(&pause, NULL);
	}
	return fd;
}

/* @return 0 it was removed, -EADDRINUSE, -EEXIST, ... */
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
	/* Listen before the lock is gone, or it would look dead. */
	if (ret == 0 && listen(fd, BACKLOG) < 0) {
		ret = -errno;
		unlink(at->sun_path);
	}
	if (lock >= 0)
		close(lock);
	return ret;
}

static int set_owner(struct peal_server *server)
{
	const struct peal_service *s = &server->service;

	if (s->chown && lchown(server->path, s->uid, s->gid) < 0)
		return -errno;
	if (fchmodat(AT_FDCWD, server->path, s->mode ? s->mode : 0600,
		     AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int remember(struct peal_server *server, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		int error = errno;

		unlink(path); /* it was ours a moment ago */
		return -error;
	}
	strcpy(server->path, path);
	server->dev = st.st_dev;
	server->ino = st.st_ino;
	return set_owner(server);
}

int peal_address_listen(struct peal_server *server, const char *address)
{
	bool abstract = address[0] == '@';
	struct sockaddr_un at;
	socklen_t size;
	int ret = peal_socket_address(&at, &size, address);

	if (ret < 0)
		return ret;
	ret = peal_socket_make();
	if (ret < 0)
		return ret;
	server->fd = ret;
	server->owned = true;
	peal_socket_refuse(server->fd);
	if (abstract) {
		ret = bind(server->fd, (struct sockaddr *)&at, size);
		if (ret == 0)
			ret = listen(server->fd, BACKLOG);
		ret = ret < 0 ? -errno : 0;
	} else {
		/* The path has this mode at most from the first moment. */
		fchmod(server->fd,
		       server->service.mode ? server->service.mode : 0600);
		ret = bind_path(server->fd, &at, size);
		if (ret == 0)
			ret = remember(server, address);
	}
	if (ret < 0)
		peal_address_remove(server);
	return ret;
}

void peal_address_remove(struct peal_server *server)
{
	struct stat st;

	if (server->path[0] && lstat(server->path, &st) == 0 &&
	    st.st_dev == server->dev && st.st_ino == server->ino)
		unlink(server->path);
	server->path[0] = '\0';
	if (server->owned)
		close(server->fd);
	server->owned = false;
}

/* -- fds that were passed */

int peal_address_adopt(struct peal_server *server, int fd)
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
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	peal_socket_refuse(fd);
	server->fd = fd;
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

int peal_listen_fd(const char *name)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	const int first = 3; /* as sd_listen_fds(3) says */

	if (!pid || !fds || strtol(pid, NULL, 10) != getpid())
		return -ENOENT;
	for (int i = 0; i < strtol(fds, NULL, 10); i++)
		if (fcntl(first + i, F_GETFD) >= 0 &&
		    (!name || is_named(names, i, name))) {
			fcntl(first + i, F_SETFD, FD_CLOEXEC);
			return first + i;
		}
	return -ENOENT;
}
