/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Plays a tone to whoever listens at ./mixer. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <peal/peal.h>

#define RATE 48000
#define PERIOD 480

int main(int argc, char **argv)
{
	struct peal_hello hello = { .role = PEAL_SENDER,
				    .item_size = sizeof(float),
				    .capacity = 10 * PERIOD,
				    .tag = "mono f32 48000" };
	struct peal_channel ch;
	float x = 0, y, *room, turn;

	if (argc != 5)
		errx(2, "usage: tone NAME HERTZ LOUDNESS SECONDS");
	snprintf(hello.name, sizeof(hello.name), "%s", argv[1]);
	turn = 2 * 3.14159265f * atof(argv[2]) / RATE;
	y = atof(argv[3]);
	if (peal_connect(&ch, "./mixer", &hello, 1000) < 0)
		errx(1, "./mixer: %s", ch.text);

	for (int left = atof(argv[4]) * RATE / PERIOD; left > 0; left--) {
		if (peal_sender_wait(&ch.sender, PERIOD, -1, &room) < 0)
			errx(1, "the mixer is gone");
		for (int i = 0; i < PERIOD; i++) {
			room[i] = x += turn * y;
			y -= turn * x;
		}
		peal_sender_commit(&ch.sender, PERIOD);
		usleep(10000); /* a microphone would not be faster */
	}
	peal_sender_drain(&ch.sender, -1);
	peal_channel_close(&ch);
	return 0;
}
