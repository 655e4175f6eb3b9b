/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two threads and a ring. One sends the numbers from 1 to 100 000, the other
 * adds them up. Whoever cannot go on sleeps until the other has moved; neither
 * makes a system call while there is something to do.
 *
 *	cc 01_two_threads.c $(pkg-config --cflags --libs peal) -pthread
 */
#include <err.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <peal/peal.h>

#define LAST 100000u

static void *send_numbers(void *user)
{
	struct peal_sender *tx = user;
	uint64_t number = 1, *room;

	while (number <= LAST) {
		/* Room for one item at least; often it is for many. */
		ssize_t i, n = peal_sender_wait(tx, 1, -1, &room);

		if (n < 0)
			errx(1, "sender: %s", strerror((int)-n));
		for (i = 0; i < n && number <= LAST; i++)
			room[i] = number++;
		/* The receiver sees them now, all at once. */
		peal_sender_commit(tx, (size_t)i);
	}
	peal_sender_finish(tx);
	return NULL;
}

static uint64_t add_numbers(struct peal_receiver *rx)
{
	const uint64_t *numbers;
	uint64_t sum = 0;
	ssize_t n;

	/* 0 says that the sender has finished and nothing is left. */
	while ((n = peal_receiver_wait(rx, 1, -1, &numbers)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			sum += numbers[i];
		peal_receiver_release(rx, (size_t)n);
	}
	if (n < 0)
		errx(1, "receiver: %s", strerror((int)-n));
	return sum;
}

int main(void)
{
	struct peal_geometry geometry = { .capacity = 512,
					  .item_size = sizeof(uint64_t) };
	struct peal_local ring;
	pthread_t thread;
	uint64_t sum;
	int ret = peal_local_init(&ring, &geometry);

	if (ret < 0)
		errx(1, "no ring: %s", strerror(-ret));
	ret = pthread_create(&thread, NULL, send_numbers, &ring.sender);
	if (ret != 0)
		errx(1, "no thread: %s", strerror(ret));
	sum = add_numbers(&ring.receiver);
	pthread_join(thread, NULL);
	peal_local_close(&ring);

	printf("sum of 1 to %u: %" PRIu64 "\n", LAST, sum);
	return sum == UINT64_C(5000050000) ? 0 : 1;
}
