/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sends a lot of numbers to 06_sum_server each second, which make 1 in all.
 *
 *	cc 06_sum_client.c $(pkg-config --cflags --libs peal)
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <peal/peal.h>

int main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "/tmp/peal-sum";
	int seconds = argc > 2 ? atoi(argv[2]) : 10;
	struct peal_hello hello = { .role = PEAL_SENDER,
				    .item_size = sizeof(double),
				    .capacity = 500000,
				    .tag = "f64" };
	struct peal_channel ch;
	int ret = peal_connect(&ch, address, &hello, 3000);

	if (ret < 0)
		errx(1, "%s: %s", address, ch.text);
	for (ssize_t items = 100000; seconds-- > 0; items += 100000) {
		double *room;
		ssize_t n = peal_sender_wait(&ch.sender, 1, -1, &room);

		if (n < 0)
			errx(1, "the server is gone");
		if (n > items)
			n = items;
		for (ssize_t i = 0; i < n; i++)
			room[i] = 1.0 / (double)items;
		printf("Sending %zd of %zd items\n", n, items);
		peal_sender_commit(&ch.sender, (size_t)n);
		sleep(1);
	}
	peal_channel_close(&ch);
	return 0;
}
