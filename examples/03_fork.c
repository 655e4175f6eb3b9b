/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A ring across fork(2): the child sends, the parent receives. The memory and
 * the doorbells are inherited, so nothing has to be handed over; each process
 * uses one end and leaves the other alone.
 *
 *	cc 03_fork.c $(pkg-config --cflags --libs peal)
 */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peal/peal.h>

struct square {
	unsigned number, squared;
};

static int child(struct peal_sender *tx)
{
	for (unsigned i = 1; i <= 1000; i++) {
		struct square *room;
		/* Ten seconds: should the parent die, nobody rings. */
		ssize_t n = peal_sender_wait(tx, 1, 10000, &room);

		if (n < 0) {
			warnx("child: %s", strerror((int)-n));
			return 1;
		}
		*room = (struct square){ .number = i, .squared = i * i };
		peal_sender_commit(tx, 1);
	}
	peal_sender_finish(tx);
	return 0;
}

static unsigned parent(struct peal_receiver *rx)
{
	const struct square *squares;
	unsigned right = 0;
	ssize_t n;

	while ((n = peal_receiver_wait(rx, 1, 10000, &squares)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (squares[i].number == right + 1 &&
			    squares[i].squared == (right + 1) * (right + 1))
				right++;
		peal_receiver_release(rx, (size_t)n);
	}
	if (n < 0)
		errx(1, "parent: %s", strerror((int)-n));
	return right;
}

int main(void)
{
	struct peal_geometry geometry = { .capacity = 512,
					  .item_size = sizeof(struct square) };
	struct peal_local ring;
	int status, ret = peal_local_init(&ring, &geometry);
	unsigned right;
	pid_t pid;

	if (ret < 0)
		errx(1, "no ring: %s", strerror(-ret));
	pid = fork();
	if (pid < 0)
		err(1, "no child");
	if (pid == 0)
		_exit(child(&ring.sender));
	right = parent(&ring.receiver);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		errx(1, "the child failed");
	peal_local_close(&ring);

	printf("%u squares from the child\n", right);
	return right == 1000 ? 0 : 1;
}
