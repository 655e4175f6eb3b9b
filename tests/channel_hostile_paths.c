/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Another user plays with the path of a server while it serves. In a folder of
 * the server's own, and in one that is sticky, the kernel forbids it. In one
 * that anybody may write the path is lost; the server, whoever is connected,
 * and what does not belong to the server are not.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../channel/internal.h"
#include "fixtures/service.h"

#define ENEMY 65534
#define OPEN_TO_ALL 0777
#define STICKY 01777
#define OWN 0755

/* What is at the path once the trick has worked. */
enum there_is {
	NOTHING,
	A_FILE, /* or anything else that is no socket */
	A_LIVING_SOCKET,
	A_DEAD_SOCKET,
	OUR_SOCKET
};

struct trick {
	const char *name;
	int (*play)(void); /* @return 0, or -1 and errno */
	enum there_is leaves;
	mode_t folder;
};

static struct stage {
	int go, result, played;
} * stage;

/* A file of the server's user beside the path, which shall stay as it is. */
static char target[128];
static char spare[128]; /* the enemy's own place */
static struct peal_channel clients[2];

/* -- tricks */

static int listen_at(const char *path, bool stay)
{
	struct sockaddr_un to;
	socklen_t size;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK_EQ(peal_socket_address(&to, &size, path), 0);
	if (bind(fd, (struct sockaddr *)&to, size) < 0 || listen(fd, 8) < 0) {
		close(fd);
		return -1;
	}
	if (!stay)
		close(fd);
	return 0;
}

static int make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	return fd < 0 ? -1 : close(fd);
}

static int remove_it(void)
{
	return unlink(link_path);
}

static int listen_instead(void)
{
	return unlink(link_path) < 0 ? -1 : listen_at(link_path, true);
}

static int leave_a_dead_socket(void)
{
	return unlink(link_path) < 0 ? -1 : listen_at(link_path, false);
}

static int move_a_living_socket_over_it(void)
{
	return listen_at(spare, true) < 0 ? -1 : rename(spare, link_path);
}

static int move_a_file_over_it(void)
{
	return make_file(spare) < 0 ? -1 : rename(spare, link_path);
}

static int move_it_away(void)
{
	return rename(link_path, spare);
}

/* musl does not have renameat2(); 2 is RENAME_EXCHANGE. */
static int exchange_it(void)
{
	if (make_file(spare) < 0)
		return -1;
	return syscall(SYS_renameat2, AT_FDCWD, spare, AT_FDCWD, link_path, 2);
}

static int symlink_to_what_is_dear(void)
{
	return unlink(link_path) < 0 ? -1 : symlink(target, link_path);
}

static int symlink_to_itself(void)
{
	return unlink(link_path) < 0 ? -1 : symlink(link_path, link_path);
}

/* connect(2) follows it. */
static int symlink_to_a_living_socket(void)
{
	if (listen_at(spare, true) < 0 || unlink(link_path) < 0)
		return -1;
	return symlink(spare, link_path);
}

/* Its own socket, through a link of the enemy's. */
static int symlink_to_where_it_is_now(void)
{
	if (rename(link_path, spare) < 0)
		return -1;
	return symlink(spare, link_path);
}

static int folder_instead(void)
{
	return unlink(link_path) < 0 ? -1 : mkdir(link_path, 0700);
}

static int fifo_instead(void)
{
	return unlink(link_path) < 0 ? -1 : mkfifo(link_path, 0600);
}

static int move_what_is_dear_over_it(void)
{
	return rename(target, link_path);
}

static int link_to_it(void)
{
	return link(link_path, spare);
}

static int change_its_mode(void)
{
	return chmod(link_path, 0);
}

static int change_its_owner(void)
{
	return lchown(link_path, ENEMY, (gid_t)-1);
}

/* -- the enemy */

static void play(void *arg)
{
	const struct trick *trick = arg;

	CHECK_EQ(setgroups(0, NULL), 0);
	CHECK_EQ(setresgid(ENEMY, ENEMY, ENEMY), 0);
	CHECK_EQ(setresuid(ENEMY, ENEMY, ENEMY), 0);
	while (!__atomic_load_n(&stage->go, __ATOMIC_ACQUIRE))
		usleep(200);
	stage->result = trick->play() < 0 ? -errno : 0;
	__atomic_store_n(&stage->played, 1, __ATOMIC_RELEASE);
	for (;;) /* with what it listens at */
		pause();
}

static pid_t bring_the_enemy(const struct trick *trick)
{
	if (geteuid() != 0)
		test_skip("only root can become another user");
	stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(stage != MAP_FAILED);
	link_folder();
	snprintf(target, sizeof(target), "%s.target", link_path);
	snprintf(spare, sizeof(spare), "%s.spare", link_path);
	return test_fork(play, (void *)(uintptr_t)trick);
}

/* -- what has to hold */

static struct stat look_at(const char *path)
{
	struct stat st = { 0 };

	if (lstat(path, &st) < 0)
		CHECK_EQ(errno, ENOENT);
	return st;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
	       a->st_mode == b->st_mode && a->st_uid == b->st_uid;
}

static void check_dear(const struct stat *before)
{
	const char *now = stage->result == 0 && look_at(target).st_ino == 0
				  ? link_path
				  : target;
	struct stat after = look_at(now);

	CHECK(is_same(before, &after));
	CHECK_EQ(after.st_size, 4);
}

/* The one who is connected notices nothing. */
static void go_on_talking(uint64_t n)
{
	here.ch = &clients[0];
	here.most += n;
	party_send(&here, &clients[0].sender);
	LINK_UNTIL(there.in == here.most);
}

/* Who comes now finds the server, or an error, or somebody else: in time. */
static void come_anew(const struct trick *trick)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, 0);
	bool lost = stage->result == 0 && trick->leaves != OUR_SOCKET;
	int ret;

	if (!lost) {
		struct party first = here;

		client_meets(&clients[1], link_path, &hello);
		CHECK_EQ(here.opens, 1);
		CHECK_EQ(clients[1].peer.uid, 0);
		peal_channel_close(&clients[1]);
		here = first;
		return;
	}
	ret = peal_connect(&clients[1], link_path, &hello, 100);
	if (trick->leaves == A_LIVING_SOCKET)
		CHECK_EQ(ret, -ETIMEDOUT); /* the enemy's, who says nothing */
	else
		CHECK(ret == -ENOENT || ret == -ECONNREFUSED || ret == -ELOOP);
}

/* The same server, later: it removes a dead socket, and nothing else. */
static void serve_again(const struct trick *trick)
{
	bool lives = stage->result == 0 && trick->leaves == A_LIVING_SOCKET;
	struct stat before = look_at(link_path), after;
	int ret = serve_at(link_path);

	if (before.st_ino && !S_ISSOCK(before.st_mode))
		CHECK_EQ(ret, -EEXIST);
	else
		CHECK_EQ(ret, lives ? -EADDRINUSE : 0);
	if (ret < 0) {
		after = look_at(link_path);
		CHECK(is_same(&before, &after));
	}
	peal_server_close(&server);
}

static void finish_it(const struct trick *trick, const struct stat *ours)
{
	struct stat before = look_at(link_path), after;

	peal_channel_close(&clients[0]);
	settle();
	peal_server_close(&server);
	after = look_at(link_path);
	if (is_same(&before, ours))
		CHECK_EQ(after.st_ino, 0); /* its own, and it is gone */
	else
		CHECK(is_same(&before, &after));
	serve_again(trick);
}

static void set_the_stage(const struct trick *trick)
{
	char folder[108];
	int fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	CHECK_EQ(write(fd, "target", 4), 4);
	close(fd);
	strcpy(folder, link_path);
	*strrchr(folder, '/') = '\0';
	CHECK_EQ(chmod(folder, trick->folder), 0);
	link_reactor(LINK_OWN);
	CHECK_EQ(serve_at(link_path), 0);
}

static void clear_the_stage(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(link_path);
	rmdir(link_path);
	unlink(spare);
	unlink(target);
	link_end();
}

static void run_trick(const void *row)
{
	const struct trick *trick = row;
	pid_t pid = bring_the_enemy(trick);
	struct stat ours, kept;

	set_the_stage(trick);
	client_meets_as_sender(&clients[0], link_path, 0);
	CHECK_EQ(here.opens, 1);
	go_on_talking(100);
	ours = look_at(link_path);
	kept = look_at(target);
	__atomic_store_n(&stage->go, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&stage->played, __ATOMIC_ACQUIRE))
		link_once(false);
	if (trick->folder != OPEN_TO_ALL) {
		struct stat now = look_at(link_path);

		CHECK(stage->result == -EACCES || stage->result == -EPERM ||
		      trick->leaves == OUR_SOCKET);
		CHECK(is_same(&ours, &now));
	} else if (trick->leaves != OUR_SOCKET) {
		CHECK_EQ(stage->result, 0);
	}
	come_anew(trick);
	go_on_talking(100);
	check_dear(&kept);
	finish_it(trick, &ours);
	check_dear(&kept);
	clear_the_stage(pid);
}

/* clang-format off */
#define TRICK(text, play, leaves)                                              \
	{ text ", in a folder of its own", play, leaves, OWN },                \
	{ text ", in a sticky folder", play, leaves, STICKY },                 \
	{ text ", in a folder of everybody's", play, leaves, OPEN_TO_ALL }

static const struct trick tricks[] = {
	TRICK("the path is removed", remove_it, NOTHING),
	TRICK("the path is somebody else's", listen_instead, A_LIVING_SOCKET),
	TRICK("the path is a dead socket", leave_a_dead_socket, A_DEAD_SOCKET),
	TRICK("a socket is moved over the path", move_a_living_socket_over_it,
	      A_LIVING_SOCKET),
	TRICK("a file is moved over the path", move_a_file_over_it, A_FILE),
	TRICK("the path is moved away", move_it_away, NOTHING),
	TRICK("the path is exchanged with a file", exchange_it, A_FILE),
	TRICK("the path is a link to a file of the server's",
	      symlink_to_what_is_dear, A_FILE),
	TRICK("the path is a link to itself", symlink_to_itself, A_FILE),
	TRICK("the path is a link to somebody else's socket",
	      symlink_to_a_living_socket, A_LIVING_SOCKET),
	TRICK("the path is a link to where the socket is now",
	      symlink_to_where_it_is_now, OUR_SOCKET),
	TRICK("the path is a folder", folder_instead, A_FILE),
	TRICK("the path is a fifo", fifo_instead, A_FILE),
	TRICK("a file of the server's is moved over the path",
	      move_what_is_dear_over_it, A_FILE),
	TRICK("the path gets a second name", link_to_it, OUR_SOCKET),
	TRICK("the path gets another mode", change_its_mode, OUR_SOCKET),
	TRICK("the path gets another owner", change_its_owner, OUR_SOCKET),
};
/* clang-format on */

#define TRICKS (sizeof(tricks) / sizeof(*tricks))

__attribute__((constructor)) static void register_tricks(void)
{
	static struct test tests[TRICKS];

	for (size_t i = 0; i < TRICKS; i++)
		test_register_row(&tests[i], tricks[i].name, run_trick,
				  &tricks[i]);
}
