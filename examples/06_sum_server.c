/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Any number of programs stream numbers to this one, which adds them up, in
 * one thread, and tells the sum each second; Ctrl-C ends it. 06_sum_client is
 * such a program.
 *
 *	cc 06_sum_server.c $(pkg-config --cflags --libs peal)
 */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <peal/peal.h>

#define CLIENTS 64
#define SECOND 1000000000u

static long on_readable(struct peal_channel *ch, void *sum)
{
	const double *items;
	ssize_t n = peal_receiver_peek(&ch->receiver, &items);

	for (ssize_t i = 0; i < n; i++)
		*(double *)sum += items[i];
	if (n > 0)
		peal_receiver_release(&ch->receiver, (size_t)n);
	return PEAL_DONE;
}

static void on_second(struct peal_source *timer, uint64_t seconds, void *sum)
{
	(void)timer;
	(void)seconds;
	printf("Sum: %f\n", *(double *)sum);
}

static void on_interrupt(struct peal_source *interrupt,
			 const struct signalfd_siginfo *info, void *loop)
{
	(void)interrupt;
	(void)info;
	peal_reactor_stop(loop);
}

int main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "/tmp/peal-sum";
	static PEAL_SERVER_STORAGE(CLIENTS) storage;
	struct peal_source timer = { 0 }, interrupt = { 0 };
	struct peal_reactor *loop = &storage.loop;
	double sum = 0;
	struct peal_service service = {
		.accept = { .item_size = sizeof(double), .tag = "f64" },
		.callbacks = { .on_readable = on_readable, .user = &sum },
	};
	int ret;

	setlinebuf(stdout);
	if ((ret = peal_server_listen(&storage, address, &service)) ||
	    (ret = peal_reactor_add_timer(loop, &timer, on_second, &sum)) ||
	    (ret = peal_reactor_set_timer(loop, &timer, SECOND, SECOND, 0)) ||
	    (ret = peal_reactor_add_signal(loop, &interrupt, SIGINT,
					   on_interrupt, loop)) ||
	    (ret = peal_reactor_run(loop)))
		errx(1, "%s: %s", address, strerror(-ret));
	peal_server_close(&storage.server);
	printf("In all: %f\n", sum);
	return 0;
}
