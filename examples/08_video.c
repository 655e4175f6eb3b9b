/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A video source: frames of 3840x2160 (YUV 4:2:0, 12 MB each) are filled in
 * where the receiver, a process of its own, reads them, checks them, and counts
 * how many there are a second. The two have a socketpair to meet on; neither
 * has a loop.
 *
 *	cc 08_video.c $(pkg-config --cflags --libs peal)
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <peal/peal.h>

#define WIDTH 3840
#define HEIGHT 2160
#define PIXELS ((size_t)WIDTH * HEIGHT)
#define PICTURE (PIXELS * 3 / 2)
#define FRAMES 4 /* in the ring */
#define TAG "yuv420p 3840x2160"
/* In the place of a number. Without it the source was killed. */
#define THE_END UINT64_MAX

/* A multiple of 1 KiB, so that four of them are whole pages. */
struct frame {
	uint64_t number, checksum;
	uint8_t unused[1024 - 16];
	uint8_t picture[PICTURE]; /* Y, then U and V of a quarter each */
};

static void must(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, strerror(-ret));
}

/* Four lanes, which the processor works on at once. */
static uint64_t sum_up(const uint8_t *picture)
{
	uint64_t sums[4] = { 1, 2, 3, 4 }, words[4];

	for (size_t i = 0; i < PICTURE; i += sizeof(words)) {
		memcpy(words, picture + i, sizeof(words));
		for (int k = 0; k < 4; k++)
			sums[k] = (sums[k] ^ words[k]) * 0x9e3779b97f4a7c15;
	}
	return sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
}

/* -- the source */

/* Stripes that move to the left, in colours that change. */
static void draw(uint8_t *picture, uint64_t number)
{
	uint8_t ramp[WIDTH + 256];

	for (size_t i = 0; i < sizeof(ramp); i++)
		ramp[i] = (uint8_t)i;
	for (size_t y = 0; y < HEIGHT; y++)
		memcpy(picture + y * WIDTH, ramp + (y + number) % 256, WIDTH);
	memset(picture + PIXELS, (int)(number % 256), PIXELS / 4);
	memset(picture + PIXELS * 5 / 4, 255 - (int)(number % 256), PIXELS / 4);
}

/* @return false: the file has no more */
static bool fill_in(struct frame *frame, uint64_t number, FILE *file)
{
	if (!file)
		draw(frame->picture, number);
	else if (fread(frame->picture, PICTURE, 1, file) != 1)
		return false;
	frame->number = number;
	frame->checksum = sum_up(frame->picture);
	return true;
}

static void send_frames(int socket, uint64_t frames, FILE *file)
{
	struct peal_service service = {
		.accept = { .role = PEAL_RECEIVER,
			    .item_size = sizeof(struct frame),
			    .capacity = FRAMES,
			    .tag = TAG },
	};
	struct peal_channel ch;
	struct frame *frame;

	must(peal_channel_accept(&ch, socket, &service, true, 5000),
	     "no receiver");
	for (uint64_t i = 0; i < frames; i++) {
		must((int)peal_sender_wait(&ch.sender, 1, -1, &frame),
		     "the receiver is gone");
		if (!fill_in(frame, i, file))
			break;
		peal_sender_commit(&ch.sender, 1);
	}
	must((int)peal_sender_wait(&ch.sender, 1, -1, &frame),
	     "the receiver is gone");
	frame->number = THE_END;
	peal_sender_commit(&ch.sender, 1);
	peal_channel_close(&ch);
}

/* -- the receiver */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void check_frame(const struct frame *frame, uint64_t number)
{
	if (frame->number != number)
		errx(1, "frame %" PRIu64 " in the place of %" PRIu64,
		     frame->number, number);
	if (frame->checksum != sum_up(frame->picture))
		errx(1, "frame %" PRIu64 " is not what was sent", number);
}

static int receive_frames(int socket)
{
	struct peal_hello hello = { .role = PEAL_RECEIVER,
				    .item_size = sizeof(struct frame),
				    .tag = TAG,
				    .name = "display" };
	const struct frame *frame;
	struct peal_channel ch;
	uint64_t number = 0;
	double start, took;
	ssize_t n;

	must(peal_connect_fd(&ch, socket, &hello, 5000), "no source");
	start = now();
	while ((n = peal_receiver_wait(&ch.receiver, 1, -1, &frame)) > 0 &&
	       frame->number != THE_END) {
		check_frame(frame, number++);
		peal_receiver_release(&ch.receiver, 1);
	}
	if (n <= 0)
		errx(1, "the source is gone: %s",
		     n < 0 ? strerror((int)-n) : "it has not come to its end");
	took = now() - start;
	peal_channel_close(&ch);
	printf("%" PRIu64 " frames, all right, %.1f a second, %.2f GB/s\n",
	       number, (double)number / took,
	       (double)number * PICTURE / took / 1e9);
	return 0;
}

/* -- the program */

int main(int argc, char **argv)
{
	uint64_t frames = argc > 1 ? strtoull(argv[1], NULL, 10) : 300;
	FILE *file = argc > 2 ? fopen(argv[2], "rbe") : NULL;
	int sockets[2], status;
	pid_t pid;

	if (argc > 3 || frames == 0)
		errx(2, "usage: 08_video [FRAMES [FILE.yuv]]");
	if (argc > 2 && !file)
		err(1, "%s", argv[2]);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		err(1, "no sockets");
	pid = fork();
	if (pid < 0)
		err(1, "no process");
	/* Each keeps its own: one held twice would hide a death. */
	close(sockets[pid ? 1 : 0]);
	if (pid == 0)
		return receive_frames(sockets[1]);
	send_frames(sockets[0], frames, file);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		errx(1, "the receiver failed");
	return 0;
}
