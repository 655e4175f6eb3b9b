/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The epoll loop of 04_own_epoll.c, with peal's reactor plugged in: for the
 * loop the reactor is one more fd, watched level-triggered for reading, and
 * peal_reactor_dispatch() when it is readable. There is no other rule, and
 * rings, timers and deferred calls come and go without the loop's knowing.
 *
 *	cc 05_plugged_in.c $(pkg-config --cflags --libs peal) -pthread
 */
#include <err.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <peal/peal.h>

#define RINGS 3

/* An epoll loop as many programs have one. */
struct watch {
	void (*ready)(struct watch *watch);
	struct program *program;
};

struct program {
	int epoll_fd, pipe_fds[2];
	unsigned open; /* what still has something to say */
	struct watch pipe_watch, reactor_watch;
	char word[16];
	struct peal_reactor reactor;
	struct peal_slot slots[RINGS];
	struct peal_source sources[RINGS];
	struct peal_local rings[RINGS];
	unsigned rings_open;
	uint64_t sum;
};

static void watch(struct program *p, struct watch *w, int fd,
		  void (*ready)(struct watch *watch))
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = w };

	*w = (struct watch){ .ready = ready, .program = p };
	if (epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		err(1, "epoll_ctl");
	p->open++;
}

static void unwatch(struct program *p, int fd)
{
	epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	p->open--;
}

static void run(struct program *p)
{
	while (p->open > 0) {
		struct epoll_event event;
		struct watch *w;

		if (epoll_wait(p->epoll_fd, &event, 1, -1) != 1)
			continue; /* a signal */
		w = event.data.ptr;
		w->ready(w);
	}
}

static void on_pipe(struct watch *w)
{
	struct program *p = w->program;

	if (read(p->pipe_fds[0], p->word, sizeof(p->word) - 1) > 0)
		unwatch(p, p->pipe_fds[0]);
}

/* All that the loop knows of rings. */
static void on_reactor(struct watch *w)
{
	struct program *p = w->program;
	int ret = peal_reactor_dispatch(&p->reactor);

	if (ret < 0)
		errx(1, "reactor: %s", strerror(-ret));
	if (p->rings_open == 0)
		unwatch(p, peal_reactor_fd(&p->reactor));
}

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct program *p = user;
	const uint64_t *numbers;
	ssize_t n = peal_receiver_peek(rx, &numbers);

	for (ssize_t i = 0; i < n; i++)
		p->sum += numbers[i];
	if (n > 0)
		peal_receiver_release(rx, (size_t)n);
	return PEAL_DONE;
}

static void on_closed(struct peal_receiver *rx, int reason, void *user)
{
	struct program *p = user;

	(void)rx;
	if (reason < 0)
		errx(1, "receiver: %s", strerror(-reason));
	p->rings_open--;
}

static void add_ring(struct program *p, int i)
{
	struct peal_geometry geometry = { .capacity = 512,
					  .item_size = sizeof(uint64_t) };
	struct peal_receiver_callbacks callbacks = { .on_readable = on_readable,
						     .on_closed = on_closed,
						     .user = p };
	int ret = peal_local_init(&p->rings[i], &geometry);

	if (ret == 0)
		ret = peal_reactor_add_receiver(&p->reactor, &p->sources[i],
						&p->rings[i].receiver,
						&callbacks);
	if (ret < 0)
		errx(1, "no ring: %s", strerror(-ret));
	p->rings_open++;
}

static void *send_numbers(void *user)
{
	struct program *p = user;
	uint64_t *room;

	for (uint64_t i = 0; i < 30000; i++) {
		struct peal_sender *tx = &p->rings[i % RINGS].sender;

		if (peal_sender_wait(tx, 1, -1, &room) < 0)
			errx(1, "sender");
		*room = i + 1;
		peal_sender_commit(tx, 1);
	}
	for (int i = 0; i < RINGS; i++)
		peal_sender_finish(&p->rings[i].sender);
	if (write(p->pipe_fds[1], "hello", 5) != 5)
		err(1, "write");
	return NULL;
}

int main(void)
{
	struct program p = { .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	pthread_t thread;
	int ret = peal_reactor_init(&p.reactor, p.slots, RINGS);

	if (ret < 0)
		errx(1, "no reactor: %s", strerror(-ret));
	if (p.epoll_fd < 0 || pipe(p.pipe_fds) < 0)
		err(1, "no loop");
	watch(&p, &p.pipe_watch, p.pipe_fds[0], on_pipe);
	watch(&p, &p.reactor_watch, peal_reactor_fd(&p.reactor), on_reactor);
	for (int i = 0; i < RINGS; i++)
		add_ring(&p, i);
	if (pthread_create(&thread, NULL, send_numbers, &p) != 0)
		errx(1, "no thread");
	run(&p);
	pthread_join(thread, NULL);
	peal_reactor_close(&p.reactor);
	for (int i = 0; i < RINGS; i++)
		peal_local_close(&p.rings[i]);

	printf("the pipe: %s, %d rings: %" PRIu64 "\n", p.word, RINGS, p.sum);
	return strcmp(p.word, "hello") == 0 && p.sum == 450015000 ? 0 : 1;
}
