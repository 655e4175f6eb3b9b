/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What NAME stands for. A bare name is that of a socket in a folder of our own.
 * In /tmp anybody could have made that folder before us, to be the receiver of
 * what we send: so it is looked at before it is used. Once it is ours, and the
 * one above it ours or sticky, nobody else can put another in its place.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay.h"

static bool is_address(const char *name)
{
	return name[0] == '@' || !strncmp(name, "fd:", 3) || strchr(name, '/');
}

/* As the XDG base directory specification demands it; else it is not used. */
static bool is_runtime_dir(const char *path)
{
	struct stat st;

	return path && path[0] == '/' && stat(path, &st) == 0 &&
	       S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       (st.st_mode & 022) == 0;
}

int address_of(const char *name, char *address)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	if (is_address(name))
		n = snprintf(address, ADDRESS_SIZE, "%s", name);
	else if (is_runtime_dir(runtime))
		n = snprintf(address, ADDRESS_SIZE, "%s/peal/%s", runtime,
			     name);
	else
		n = snprintf(address, ADDRESS_SIZE, "/tmp/peal-%u/%s",
			     (unsigned)geteuid(), name);
	if (n >= ADDRESS_SIZE) {
		complain(
			"`%s` makes an address of %d bytes, and an address has "
			"%d at most",
			name, n, ADDRESS_SIZE - 1);
		return EXIT_USAGE;
	}
	if (name[0] == '\0' || strcmp(name, "@") == 0 ||
	    strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		complain("`%s` cannot be the name of a socket", name);
		return EXIT_USAGE;
	}
	return 0;
}

int address_check(const char *name, const char *address, bool make)
{
	char folder[ADDRESS_SIZE];
	struct stat st;

	if (is_address(name))
		return 0;
	snprintf(folder, sizeof(folder), "%s", address);
	*strrchr(folder, '/') = '\0';
	if (make && mkdir(folder, 0700) < 0 && errno != EEXIST) {
		complain("cannot make %s: %s", folder, strerror(errno));
		return -EPERM;
	}
	if (lstat(folder, &st) < 0) {
		if (errno == ENOENT)
			return -ENOENT;
		complain("cannot look at %s: %s", folder, strerror(errno));
		return -EPERM;
	}
	if (!S_ISDIR(st.st_mode))
		complain("%s is not a folder, so it is not used", folder);
	else if (st.st_uid != geteuid())
		complain("%s belongs to user %u, so it is not used", folder,
			 (unsigned)st.st_uid);
	else if (st.st_mode & 077)
		complain("%s has mode %03o, not 700, so it is not used", folder,
			 (unsigned)st.st_mode & 0777);
	else
		return 0;
	return -EPERM;
}

bool address_is_other(const char *address)
{
	struct stat st;

	return address[0] != '@' && stat(address, &st) == 0 &&
	       !S_ISSOCK(st.st_mode);
}

int address_probe(const char *address)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = strnlen(address, sizeof(to.sun_path) - 1);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
			0);
	int ret;

	if (fd < 0)
		return -errno;
	memcpy(to.sun_path, address, n);
	if (address[0] == '@')
		to.sun_path[0] = '\0';
	else
		n++; /* the NUL, too */
	ret = connect(fd, (const struct sockaddr *)&to,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	ret = ret < 0 ? -errno : 0;
	close(fd);
	return ret;
}
