/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A ring in an epoll loop of your own, without peal's reactor, beside a pipe
 * that was there before. What a loop has to do for a ring is in on_ring():
 * clear the bell, take what is there, arm, and look again, in this order.
 *
 *	cc 04_own_epoll.c $(pkg-config --cflags --libs peal) -pthread
 */
#include <err.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <peal/peal.h>

/* An epoll loop as many programs have one. */
struct watch {
	void (*ready)(struct watch *watch);
	struct program *program;
};

struct program {
	int epoll_fd, pipe_fds[2];
	unsigned open; /* what still has something to say */
	struct watch pipe_watch, ring_watch;
	char word[16];
	struct peal_local ring;
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

static void on_ring(struct watch *w)
{
	struct program *p = w->program;
	struct peal_receiver *rx = &p->ring.receiver;
	const uint64_t *numbers;
	ssize_t n;

	/* The loop is level-triggered: it would come back for ever. */
	peal_receiver_clear(rx);
	do {
		while ((n = peal_receiver_peek(rx, &numbers)) > 0) {
			for (ssize_t i = 0; i < n; i++)
				p->sum += numbers[i];
			peal_receiver_release(rx, (size_t)n);
		}
		if (n < 0)
			errx(1, "receiver: %s", strerror((int)-n));
		if (peal_receiver_ended(rx)) {
			unwatch(p, peal_receiver_fd(rx));
			return;
		}
	} while (!peal_receiver_arm(rx)); /* more has come meanwhile */
}

static void *send_numbers(void *user)
{
	struct program *p = user;
	uint64_t *room;

	for (uint64_t i = 1; i <= 10000; i++) {
		if (peal_sender_wait(&p->ring.sender, 1, -1, &room) < 0)
			errx(1, "sender");
		*room = i;
		peal_sender_commit(&p->ring.sender, 1);
	}
	peal_sender_finish(&p->ring.sender);
	if (write(p->pipe_fds[1], "hello", 5) != 5)
		err(1, "write");
	return NULL;
}

int main(void)
{
	struct program p = { .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	struct peal_geometry geometry = { .capacity = 512,
					  .item_size = sizeof(uint64_t) };
	pthread_t thread;
	int ret = peal_local_init(&p.ring, &geometry);

	if (ret < 0)
		errx(1, "no ring: %s", strerror(-ret));
	if (p.epoll_fd < 0 || pipe(p.pipe_fds) < 0)
		err(1, "no loop");
	watch(&p, &p.pipe_watch, p.pipe_fds[0], on_pipe);
	watch(&p, &p.ring_watch, peal_receiver_fd(&p.ring.receiver), on_ring);
	if (pthread_create(&thread, NULL, send_numbers, &p) != 0)
		errx(1, "no thread");
	on_ring(&p.ring_watch); /* nobody rings before the first arm */
	run(&p);
	pthread_join(thread, NULL);
	peal_local_close(&p.ring);

	printf("the pipe: %s, the ring: %" PRIu64 "\n", p.word, p.sum);
	return strcmp(p.word, "hello") == 0 && p.sum == 50005000 ? 0 : 1;
}
