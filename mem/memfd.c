/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

#define PREFIX "peal:"
#define NAME_LONGEST 200

static int make(const char *name, unsigned huge)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | huge;
	char full[sizeof(PREFIX) + NAME_LONGEST];
	int fd;

	if (strnlen(name, NAME_LONGEST + 1) > NAME_LONGEST)
		return -ENAMETOOLONG;
	snprintf(full, sizeof(full), PREFIX "%s", name);
	fd = memfd_create(full, flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(full, flags);
	if (fd >= 0)
		return fd;
	if (huge && (errno == EINVAL || errno == ENODEV || errno == ENOSYS))
		return -EOPNOTSUPP;
	return -errno;
}

/*
 * Beyond RLIMIT_FSIZE ftruncate(2) fails and raises SIGXFSZ, which kills the
 * process. So the signal is blocked, and taken back. To compare the size with
 * the limit first would not do: the limit can change in between.
 */
static int set_size(int fd, size_t size)
{
	const struct timespec now = { 0 };
	sigset_t too_large, pending, before;
	int error;

	sigemptyset(&too_large);
	sigaddset(&too_large, SIGXFSZ);
	pthread_sigmask(SIG_BLOCK, &too_large, &before);
	sigpending(&pending);
	do
		error = ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
	while (error == -EINTR);
	/* A signal that was pending before is the caller's. */
	if (error == -EFBIG && !sigismember(&pending, SIGXFSZ))
		while (sigtimedwait(&too_large, NULL, &now) < 0 &&
		       errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

int peal_memfd_create(const char *name, size_t size, unsigned huge)
{
	int fd = make(name, huge);
	int ret;

	if (fd < 0)
		return fd;
	ret = set_size(fd, size);
	if (ret == 0 && fcntl(fd, F_ADD_SEALS, PEAL_SEALS_SIZED) < 0)
		ret = -errno;
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

bool peal_memfd_freezes(void)
{
	int fd = make("probe", 0);
	bool freezes;

	if (fd < 0)
		return true; /* nothing says that the kernel cannot */
	freezes = fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0 ||
		  errno != EINVAL;
	close(fd);
	return freezes;
}

int peal_memfd_verify(int fd, enum peal_seals seals, size_t page, off_t *size)
{
	int found = fcntl(fd, F_GET_SEALS);
	struct statfs fs;
	struct stat st;

	if (found < 0)
		return errno == EINVAL ? -EBADMSG : -errno;
	found &= ~F_SEAL_EXEC;
	/* Any file on a tmpfs has F_SEAL_SEAL. The other seals prove that the
	 * file is a memfd. */
	if (found == F_SEAL_SEAL)
		return -EBADMSG;
	if (found != (int)seals)
		return -EPERM;
	while (fstatfs(fd, &fs) < 0)
		if (errno != EINTR)
			return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* st_blksize may be the size of a transparent huge page. */
	if ((size_t)fs.f_bsize != page)
		return -EBADMSG;
	*size = st.st_size;
	return 0;
}
