/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Send a file as one message, whatever is in it: says ADDRESS NAME FILE. It
 * waits for the receiver, and until the receiver has taken the message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <peal/inbox.h>

#define SIZE ((size_t)1 << 20)
#define TRIES 3000

int main(int argc, char **argv)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	static struct peal_outbox out;
	char *message = malloc(SIZE);
	FILE *file = argc == 4 ? fopen(argv[3], "r") : NULL;
	size_t size;
	int ret = -1;

	if (!file || !message)
		return 99;
	size = fread(message, 1, SIZE, file);
	fclose(file);
	for (int i = 0; i < TRIES && ret < 0; i++) {
		ret = peal_outbox_open(&out, argv[1], argv[2], NULL, 2 * SIZE,
				       1000);
		if (ret < 0)
			nanosleep(&pause, NULL);
	}
	if (ret == 0)
		ret = peal_outbox_send(&out, 0, message, size, 60000);
	if (ret == 0)
		ret = peal_outbox_flush(&out, 60000);
	if (ret < 0)
		fprintf(stderr, "says: %s\n", strerror(-ret));
	peal_outbox_close(&out, 0);
	free(message);
	return ret < 0;
}
