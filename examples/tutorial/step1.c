/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ten seconds of a tone, from one thread to another. */
#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <peal/peal.h>

#define RATE 48000 /* samples a second */
#define PERIOD 480 /* samples that are made at once: 10 ms */

static void *play(void *user)
{
	struct peal_sender *tx = user;
	const float turn = 2 * 3.14159265f * 440 / RATE;
	float x = 0, y = 0.5f, *room;

	for (int period = 0; period < 1000; period++) {
		if (peal_sender_wait(tx, PERIOD, -1, &room) < 0)
			break;
		for (int i = 0; i < PERIOD; i++) {
			room[i] = x += turn * y;
			y -= turn * x;
		}
		peal_sender_commit(tx, PERIOD);
	}
	peal_sender_finish(tx);
	return NULL;
}

static void receive_all(struct peal_receiver *rx)
{
	const float *samples;
	long heard = 0;
	float peak = 0;
	ssize_t n;

	while ((n = peal_receiver_wait(rx, 1, -1, &samples)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (samples[i] > peak)
				peak = samples[i];
		heard += n;
		peal_receiver_release(rx, n);
	}
	printf("%ld samples, the loudest is %.2f\n", heard, peak);
}

int main(void)
{
	struct peal_geometry shape = { .capacity = 4096,
				       .item_size = sizeof(float) };
	struct peal_ring_stats sent, received;
	struct peal_local ring;
	pthread_t player;
	int ret = peal_local_init(&ring, &shape);

	if (ret < 0)
		errx(1, "no ring: %s", strerror(-ret));
	if (pthread_create(&player, NULL, play, &ring.sender) != 0)
		errx(1, "no thread");
	receive_all(&ring.receiver);
	pthread_join(player, NULL);

	peal_sender_stats(&ring.sender, &sent);
	peal_receiver_stats(&ring.receiver, &received);
	printf("%lu doorbells\n",
	       (unsigned long)(sent.doorbells + received.doorbells));
	peal_local_close(&ring);
	return 0;
}
