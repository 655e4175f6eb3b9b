/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The path of a server: whose it is and what its mode is, from its first moment
 * on, whatever kernel, C library and mounts there are; and what becomes of
 * files that somebody else puts there meanwhile.
 *
 * The calls that make a path come by here (-Wl,--wrap), and it is looked at
 * before and after.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fixtures/memory.h"
#include "fixtures/service.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#define NOBODY 65534

/* What may be seen at the path at any moment, and who touches it when. */
static struct {
	bool watches;
	mode_t most;
	gid_t group; /* of the path in the end; -1: ours */
	void (*after_bind)(void);
	void (*before_chown)(void);
} scene;

static bool proc_is_hidden;

/* How a mode can be set. */
enum way {
	BY_CALL,
	BY_PROC,
	BY_NAME
};

static void watch(void)
{
	struct stat st;
	mode_t most = scene.most;

	if (!scene.watches || lstat(link_path, &st) < 0)
		return;
	/* As long as it is another group's, that one may do nothing. */
	if (scene.group != (gid_t)-1 && st.st_gid != scene.group)
		most &= S_IRWXU | S_IRWXO;
	CHECK_EQ(st.st_mode & 07777 & ~most, 0);
}

int __real_bind(int fd, const struct sockaddr *at, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *at, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *at, socklen_t size)
{
	int ret = __real_bind(fd, at, size);
	int error = errno;

	watch();
	if (ret == 0 && scene.after_bind)
		scene.after_bind();
	errno = error;
	return ret;
}

int __real_fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags);
int __wrap_fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags);
int __wrap_fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags)
{
	int ret;

	if (scene.before_chown)
		scene.before_chown();
	watch();
	ret = __real_fchownat(dir, path, uid, gid, flags);
	watch();
	return ret;
}

/* What libc makes of AT_SYMLINK_NOFOLLOW is its own: nothing before glibc 2.32,
 * and nothing without /proc. */
int __real_fchmodat(int dir, const char *path, mode_t mode, int flags);
int __wrap_fchmodat(int dir, const char *path, mode_t mode, int flags);
int __wrap_fchmodat(int dir, const char *path, mode_t mode, int flags)
{
	CHECK_EQ(flags, 0);
	watch();
	return __real_fchmodat(dir, path, mode, flags);
}

/* In a mount namespace of this process; in a user namespace, if need be. */
static void hide_proc(void)
{
	char map[64];
	int fd;

	if (unshare(CLONE_NEWNS) < 0) {
		snprintf(map, sizeof(map), "%d %d 1", geteuid(), geteuid());
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			test_skip("unshare: %s", strerror(errno));
		fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
		CHECK_EQ(write(fd, map, strlen(map)), (ssize_t)strlen(map));
		close(fd);
	}
	if (mount("none", "/proc", NULL, MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/proc", "tmpfs", 0, NULL) < 0)
		test_skip("mount: %s", strerror(errno));
	proc_is_hidden = true;
}

/* At the end of a child: a sanitizer looks for leaks by it. */
static void leave(void)
{
	peal_reactor_close(&loop);
	if (proc_is_hidden)
		CHECK_EQ(umount2("/proc", MNT_DETACH), 0);
}

static void go(enum way way)
{
	if (way == BY_NAME)
		hide_proc();
	if (way != BY_CALL)
		refuse(SYS_fchmodat2, 0, 0, 0, ENOSYS);
	link_reactor(LINK_OWN);
}

/* The parent's, which has the folder alone. */
static void end(void)
{
	link_reactor(LINK_OWN);
	link_end();
}

static int serve(const struct peal_service *service)
{
	scene.most = service->mode ? service->mode : 0600;
	scene.group = service->chown ? service->gid : (gid_t)-1;
	return peal_server_listen_on(&server, &loop, link_path, service);
}

/* -- modes */

static void have_modes(void *way)
{
	static const mode_t masks[] = { 0, 022, 077, 0177, 0777 };
	static const mode_t modes[] = { 0, 0600, 0660, 0606, 0666, 0777 };
	struct peal_service service = usual();
	struct stat st;

	go(*(enum way *)way);
	scene.watches = true;
	for (size_t i = 0; i < sizeof(masks) / sizeof(*masks); i++)
		for (size_t k = 0; k < sizeof(modes) / sizeof(*modes); k++) {
			umask(masks[i]);
			service.mode = modes[k];
			service.chown = (i + k) % 2;
			service.uid = (uid_t)-1;
			service.gid = (gid_t)-1;
			CHECK_EQ(serve(&service), 0);
			CHECK_EQ(lstat(link_path, &st), 0);
			CHECK(S_ISSOCK(st.st_mode));
			CHECK_EQ(st.st_mode & 07777, scene.most);
			peal_server_close(&server);
			CHECK_EQ(access(link_path, F_OK), -1);
		}
	leave();
}

/* In a child, since what it lacks then it lacks for good. */
static void for_way(void (*run)(void *), enum way way)
{
	link_folder();
	test_join(test_fork(run, &way));
	end();
}

TEST(a_path_has_its_mode_whatever_umask_says)
{
	for_way(have_modes, BY_CALL);
}

TEST(it_has_it_without_fchmodat2)
{
	for_way(have_modes, BY_PROC);
}

TEST(it_has_it_without_fchmodat2_and_proc)
{
	for_way(have_modes, BY_NAME);
}

/* -- owners */

static void give_away(void *way)
{
	struct peal_service service = usual();
	struct stat st;

	go(*(enum way *)way);
	umask(022);
	service.mode = 0666;
	service.chown = true;
	service.uid = service.gid = NOBODY;
	scene.watches = true;
	CHECK_EQ(serve(&service), 0);
	CHECK_EQ(lstat(link_path, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0666);
	CHECK_EQ(st.st_uid, NOBODY);
	CHECK_EQ(st.st_gid, NOBODY);
	peal_server_close(&server);
	leave();
}

TEST(no_group_may_do_more_than_the_one_that_a_path_is_given_to)
{
	if (geteuid() != 0)
		test_skip("only root gives away what it has");
	for_way(give_away, BY_CALL);
	for_way(give_away, BY_PROC);
	for_way(give_away, BY_NAME);
}

/* -- what others put there */

static char victim[128];

static void put_link(void)
{
	CHECK_EQ(unlink(link_path), 0);
	CHECK_EQ(symlink(victim, link_path), 0);
}

static void put_hard_link(void)
{
	CHECK_EQ(unlink(link_path), 0);
	CHECK_EQ(link(victim, link_path), 0);
}

static void check_victim(const struct stat *before)
{
	struct stat st;

	CHECK_EQ(lstat(victim, &st), 0);
	CHECK_EQ(st.st_mode, before->st_mode);
	CHECK_EQ(st.st_uid, before->st_uid);
	CHECK_EQ(st.st_gid, before->st_gid);
}

static void suffer(void *way)
{
	void (*const puts[])(void) = { put_link, put_hard_link };
	struct peal_service service = usual();
	struct stat st;

	go(*(enum way *)way);
	umask(022);
	service.mode = 0666;
	service.chown = true;
	service.uid = geteuid() == 0 ? NOBODY : (uid_t)-1;
	service.gid = (gid_t)-1;
	CHECK_EQ(lstat(victim, &st), 0);
	for (int late = 0; late < 2; late++)
		for (int i = 0; i < 2; i++) {
			scene.after_bind = late ? NULL : puts[i];
			scene.before_chown = late ? puts[i] : NULL;
			/* What was held before is given away, and is nobody's
			 * name any more. */
			if (serve(&service) == 0)
				CHECK(late && *(enum way *)way != BY_NAME);
			peal_server_close(&server);
			check_victim(&st);
			CHECK_EQ(unlink(link_path), 0); /* not by the server */
			CHECK_EQ(symlink("x", link_path), 0);
			CHECK_EQ(unlink(link_path), 0);
		}
	leave();
}

static void for_victim(enum way way, bool socket)
{
	int fd;

	link_folder();
	snprintf(victim, sizeof(victim), "%s.victim", link_path);
	if (socket)
		CHECK_EQ(mknod(victim, S_IFSOCK | 0600, 0), 0);
	else
		fd = open(victim, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (!socket) {
		CHECK(fd >= 0);
		close(fd);
	}
	test_join(test_fork(suffer, &way));
	CHECK_EQ(unlink(victim), 0);
	end();
}

TEST(a_file_that_is_put_at_the_path_meanwhile_is_left_alone)
{
	for (int socket = 0; socket < 2; socket++) {
		for_victim(BY_CALL, socket);
		for_victim(BY_PROC, socket);
	}
}

TEST(it_is_left_alone_without_fchmodat2_and_proc)
{
	for_victim(BY_NAME, false);
	for_victim(BY_NAME, true);
}

/* -- folders that others can write */

static void listen_there(void *mode)
{
	struct peal_service service = usual();
	char folder[128];
	struct stat st;

	snprintf(folder, sizeof(folder), "%s", link_path);
	*strrchr(folder, '/') = '\0';
	CHECK_EQ(chmod(folder, *(mode_t *)mode), 0);
	go(BY_NAME);
	umask(077);
	CHECK_EQ(serve(&service), 0); /* no bit is lacking */
	peal_server_close(&server);
	service.mode = 0666;
	if (*(mode_t *)mode & S_ISVTX) {
		CHECK_EQ(serve(&service), 0);
		CHECK_EQ(lstat(link_path, &st), 0);
		CHECK_EQ(st.st_mode & 07777, 0666);
		peal_server_close(&server);
	} else {
		CHECK_EQ(serve(&service), -EOPNOTSUPP);
	}
	CHECK_EQ(lstat(link_path, &st), -1);
	leave();
}

TEST(a_mode_by_name_is_for_folders_that_others_cannot_write)
{
	mode_t modes[] = { 01777, 0775, 0757 };

	for (int i = 0; i < 3; i++) {
		link_folder();
		test_join(test_fork(listen_there, &modes[i]));
		end();
	}
}

static void listen_by_call(void *none)
{
	struct peal_service service = usual();
	struct stat st;

	(void)none;
	if (syscall(SYS_fchmodat2, -1, "", 0, 0) < 0 && errno == ENOSYS)
		test_skip("no fchmodat2(2)");
	hide_proc();
	link_reactor(LINK_OWN);
	umask(077);
	service.mode = 0666;
	CHECK_EQ(serve(&service), 0);
	CHECK_EQ(lstat(link_path, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0666);
	peal_server_close(&server);
	leave();
}

TEST(with_fchmodat2_it_may_be_any_folder)
{
	char folder[128];

	link_folder();
	snprintf(folder, sizeof(folder), "%s", link_path);
	*strrchr(folder, '/') = '\0';
	CHECK_EQ(chmod(folder, 0757), 0);
	test_join(test_fork(listen_by_call, NULL));
	end();
}
