/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Scenarios of reactor/: every kind of source in one loop, each of which has
 * to come to its end, whatever has failed for it or for another one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peal/group.h>
#include <peal/local.h>
#include <peal/sources.h>

#include "faults.h"

#define SLOTS 32
#define ITEMS 40
#define CAPACITY 8
#define POSTS 6

/* What a reactor serves here, and how far each of it has come. */
struct all {
	struct peal_reactor loop;
	struct peal_slot slots[SLOTS];
	struct peal_local ring, full; /* served: a receiver, a sender */
	struct peal_ring grouped;
	struct peal_group group;
	struct peal_group_marks marks;
	void *notify_args[4];
	struct peal_doorbell bell;
	struct peal_sender grouped_tx;
	struct peal_receiver grouped_rx;
	_Alignas(64) unsigned char memory[PEAL_RING_SIZE(CAPACITY, 8)];
	struct peal_source rx, tx, group_rx, of_group, fd, level, timer, signal,
		child, call, queue;
	struct peal_post cells[8];
	uint64_t sent, received, filled, taken, grouped_sent, grouped_received;
	int pipe[2];
	int edges, levels, expirations, signals, exits, calls, posts;
	pid_t pid;
	int set; /* of a host */
};

static struct all all;

/* -- rings */

static long on_readable(struct peal_receiver *rx, void *user)
{
	uint64_t *received = user, item;

	while (peal_receiver_get(rx, &item, 1) == 1)
		MUST(item == (*received)++);
	return PEAL_DONE;
}

static long on_writable(struct peal_sender *tx, void *user)
{
	uint64_t *filled = user, *room;

	while (*filled < ITEMS && peal_sender_reserve(tx, 1, &room) > 0) {
		*room = (*filled)++;
		peal_sender_commit(tx, 1);
	}
	return PEAL_DONE;
}

/* The other sides of the rings: what is there is sent, or taken. */
static void play_the_others(void)
{
	uint64_t item;

	faults_disarm(); /* the bells of others are not ours to lose */
	while (all.sent < ITEMS &&
	       peal_sender_put(&all.ring.sender, &all.sent, 1) == 1)
		all.sent++;
	while (all.grouped_sent < ITEMS &&
	       peal_sender_put(&all.grouped_tx, &all.grouped_sent, 1) == 1)
		all.grouped_sent++;
	while (peal_receiver_get(&all.full.receiver, &item, 1) == 1)
		MUST(item == all.taken++);
	faults_arm();
}

static void make_rings(void)
{
	struct peal_geometry shape = { .capacity = CAPACITY, .item_size = 8 };

	faults_disarm();
	MUST(peal_local_init(&all.ring, &shape) == 0);
	MUST(peal_local_init(&all.full, &shape) == 0);
	MUST(peal_geometry_fit(&shape, 0) == 0);
	MUST(peal_ring_format(&all.grouped, &shape, all.memory,
			      sizeof(all.memory)) == 0);
	faults_arm();
	TWICE(peal_group_init(&all.group, &all.marks, all.notify_args, 4));
	MUST(peal_group_bell(&all.group, &all.bell) == 0);
	MUST(peal_sender_attach(&all.grouped_tx, &all.grouped, &all.bell,
				NULL) == 0);
	MUST(peal_receiver_attach(&all.grouped_rx, &all.grouped, &all.bell,
				  NULL) == 0);
}

static void add_rings(void)
{
	const struct peal_receiver_callbacks rx = { .on_readable = on_readable,
						    .user = &all.received };
	const struct peal_receiver_callbacks group = {
		.on_readable = on_readable, .user = &all.grouped_received
	};
	const struct peal_sender_callbacks tx = { .on_writable = on_writable,
						  .user = &all.filled };

	TWICE(peal_reactor_add_receiver(&all.loop, &all.rx, &all.ring.receiver,
					&rx));
	TWICE(peal_reactor_add_sender(&all.loop, &all.tx, &all.full.sender,
				      &tx));
	TWICE(peal_reactor_add_group(&all.loop, &all.of_group, &all.group));
	TWICE(peal_reactor_add_receiver(&all.loop, &all.group_rx,
					&all.grouped_rx, &group));
}

static void finish_rings(void)
{
	peal_doorbell_close(&all.bell);
	peal_group_close(&all.group);
	peal_local_close(&all.ring);
	peal_local_close(&all.full);
}

/* -- other sources */

static void on_fd(struct peal_source *source, int fd, uint32_t events,
		  void *user)
{
	int *count = user;
	char byte;

	(void)source;
	if (events & EPOLLIN && __real_read(fd, &byte, 1) == 1)
		(*count)++;
}

static void on_timer(struct peal_source *source, uint64_t expirations,
		     void *user)
{
	(void)user;
	all.expirations += (int)expirations;
	/* What is said twice is done twice. */
	if (all.expirations < 3)
		MUST(peal_reactor_set_timer(&all.loop, source, 1000000, 0, 0) ==
		     0);
}

static void on_signal(struct peal_source *source,
		      const struct signalfd_siginfo *info, void *user)
{
	(void)source;
	(void)user;
	MUST(info->ssi_signo == SIGUSR1);
	all.signals++;
}

static void on_exit_of(struct peal_source *source, const struct peal_exit *how,
		       void *user)
{
	(void)source;
	(void)user;
	MUST(how->pid == all.pid);
	MUST(how->status == 7 || (how->code == 0 && faults_fired()));
	if (how->code == 0)
		all.exits = -1; /* it was not waited for */
	else
		all.exits++;
}

static void on_call(struct peal_source *source, void *user)
{
	(void)source;
	(void)user;
	all.calls++;
}

static void on_post(struct peal_source *source, void *message, void *user)
{
	(void)source;
	(void)user;
	MUST(message == &all.cells[all.posts]);
	all.posts++;
}

static void seven(void *argument)
{
	(void)argument;
	_exit(7);
}

static void add_sources(void)
{
	bool edge = all.loop.poll.by != PEAL_WATCHED_BY_LEVEL;

	TWICE(peal_reactor_add_fd(&all.loop, &all.fd, all.pipe[0],
				  EPOLLIN | (edge ? EPOLLET : 0), on_fd,
				  &all.edges));
	TWICE(peal_reactor_add_fd(&all.loop, &all.level, all.pipe[1], EPOLLIN,
				  on_fd, &all.levels));
	TWICE(peal_reactor_set_events(&all.loop, &all.level, EPOLLIN));
	TWICE(peal_reactor_add_timer(&all.loop, &all.timer, on_timer, NULL));
	TWICE(peal_reactor_set_timer(&all.loop, &all.timer, 1000000, 0, 0));
	TWICE(peal_reactor_add_signal(&all.loop, &all.signal, SIGUSR1,
				      on_signal, NULL));
	TWICE_OR(peal_reactor_add_child(&all.loop, &all.child, all.pid,
					on_exit_of, NULL),
		 ENOSYS);
	TWICE(peal_reactor_add_deferred(&all.loop, &all.call, on_call, NULL));
	TWICE(peal_reactor_add_queue(&all.loop, &all.queue, all.cells, 8,
				     on_post, NULL));
}

/* Each of them has something to do. */
static void do_something(void)
{
	MUST(__real_write(all.pipe[1], "a", 1) == 1);
	MUST(__real_write(all.pipe[0], "bc", 1) == 1);
	MUST(__real_write(all.pipe[0], "bc", 1) == 1);
	kill(getpid(), SIGUSR1);
	peal_reactor_defer(&all.loop, &all.call);
	for (int i = 0; i < POSTS; i++)
		TWICE(peal_reactor_post(&all.loop, &all.queue, &all.cells[i]));
}

static bool done(void)
{
	return all.received == ITEMS && all.taken == ITEMS &&
	       all.grouped_received == ITEMS && all.edges == 1 &&
	       all.levels == 2 && all.expirations >= 3 && all.signals == 1 &&
	       all.exits != 0 && all.calls == 1 && all.posts == POSTS;
}

static void tell_what_lacks(void)
{
	faults_fail(__FILE__, __LINE__,
		    "after a long time: received %d, taken %d, grouped %d, "
		    "edges %d, levels %d, expirations %d, signals %d, exits "
		    "%d, calls %d, posts %d",
		    (int)all.received, (int)all.taken,
		    (int)all.grouped_received, all.edges, all.levels,
		    all.expirations, all.signals, all.exits, all.calls,
		    all.posts);
}

/* `step` serves what there is, and waits if there is nothing. */
static void run_with(int (*step)(int ms))
{
	uint64_t end = faults_now_ms() + FAULTS_STUCK_MS;
	int rounds = 0, quiet = 0;

	while (!done()) {
		int ret;

		play_the_others();
		ret = step(faults_patience());
		if (WELL(ret) && ret == 0 && faults_absurd())
			quiet++;
		if (quiet > 2)
			return;
		if (faults_now_ms() > end || ++rounds > 100000)
			tell_what_lacks();
	}
}

static void ignore(int number)
{
	(void)number;
}

static void prepare(void)
{
	memset(&all, 0, sizeof(all));
	signal(SIGUSR1, ignore); /* one that nobody has read */
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			all.pipe) == 0);
	make_rings();
	all.pid = faults_helper(seven, NULL);
}

static void clean_up(void)
{
	faults_disarm();
	if (all.exits <= 0)
		waitpid(all.pid, NULL, 0);
	__real_close(all.pipe[0]);
	__real_close(all.pipe[1]);
	faults_arm();
	finish_rings();
}

static void remove_some(void)
{
	struct peal_source *sources[] = { &all.rx,     &all.fd,
					  &all.signal, &all.of_group,
					  &all.queue,  &all.timer };

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		WELL(peal_reactor_remove(&all.loop, sources[i]));
		MUST(!sources[i]->reactor); /* whatever it says */
	}
}

/* -- a loop of its own, and of ours by one fd */

static int run_once(int ms)
{
	return peal_reactor_run_once(&all.loop, ms);
}

static int dispatch(int ms)
{
	struct pollfd pfd = { .fd = peal_reactor_fd(&all.loop),
			      .events = POLLIN };

	faults_disarm();
	if (poll(&pfd, 1, ms) == 0 && !faults_absurd())
		tell_what_lacks();
	faults_arm();
	return peal_reactor_dispatch(&all.loop);
}

static void run_all(int (*step)(int ms))
{
	prepare();
	TWICE(peal_reactor_init(&all.loop, all.slots, SLOTS));
	WELL(peal_reactor_set_spin(&all.loop, 1000));
	add_rings();
	add_sources();
	do_something();
	run_with(step);
	remove_some();
	peal_reactor_close(&all.loop);
	clean_up();
}

SCENARIO(reactor)
{
	run_all(run_once);
}

SCENARIO(reactor_embedded)
{
	run_all(dispatch);
}

/* -- a host that watches fds for it */

static int host_control(int op, int fd, uint32_t events, uint64_t token)
{
	struct epoll_event event = { .events = events, .data.u64 = token };
	int ret;

	faults_disarm();
	ret = epoll_ctl(all.set, op, fd, &event);
	faults_arm();
	return ret < 0 ? -errno : 0;
}

static int host_add(void *user, int fd, uint32_t events, uint64_t token)
{
	(void)user;
	return host_control(EPOLL_CTL_ADD, fd, events, token);
}

static int host_modify(void *user, int fd, uint32_t events, uint64_t token)
{
	(void)user;
	return host_control(EPOLL_CTL_MOD, fd, events, token);
}

static int host_remove(void *user, int fd)
{
	(void)user;
	return host_control(EPOLL_CTL_DEL, fd, 0, 0);
}

static int process(int ms)
{
	struct epoll_event event;
	int n;

	faults_disarm();
	n = epoll_wait(all.set, &event, 1, ms);
	if (n == 0 && !faults_absurd())
		tell_what_lacks();
	faults_arm();
	if (n <= 0)
		return 0;
	return peal_reactor_process(&all.loop, event.data.u64, event.events);
}

static void run_hosted(bool edge)
{
	struct peal_host host = { .add = host_add,
				  .modify = host_modify,
				  .remove = host_remove,
				  .edge = edge };

	prepare();
	faults_disarm();
	all.set = epoll_create1(EPOLL_CLOEXEC);
	faults_arm();
	TWICE(peal_reactor_init_hosted(&all.loop, all.slots, SLOTS, &host));
	add_rings();
	add_sources();
	do_something();
	run_with(process);
	remove_some();
	peal_reactor_close(&all.loop);
	__real_close(all.set);
	clean_up();
}

SCENARIO(reactor_hosted_edge)
{
	run_hosted(true);
}

SCENARIO(reactor_hosted_level)
{
	run_hosted(false);
}

/* -- a child that forks from it */

static void in_child(void *argument)
{
	struct peal_source source = { 0 };

	(void)argument;
	faults_arm();
	MUST(peal_reactor_run_once(&all.loop, 0) == -ECHILD);
	MUST(peal_reactor_post(&all.loop, &all.queue, NULL) == -ECHILD);
	MUST(peal_reactor_add_timer(&all.loop, &source, on_timer, NULL) ==
	     -ECHILD);
	peal_reactor_close(&all.loop);
	MUST(all.loop.poll.epoll_fd == 0 && !all.loop.fork_mark);
	faults_disarm();
}

SCENARIO(reactor_forked)
{
	prepare();
	TWICE(peal_reactor_init(&all.loop, all.slots, SLOTS));
	add_rings();
	add_sources();
	faults_join(faults_helper(in_child, NULL));
	/* The parent's goes on. */
	do_something();
	run_with(run_once);
	peal_reactor_close(&all.loop);
	clean_up();
}
