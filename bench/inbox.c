/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages a second from processes that send to one that receives: an inbox
 * beside Unix sockets of SOCK_SEQPACKET, one for each sender, with the receiver
 * on epoll. Both in one run, by turns; the medians and their ratio are printed.
 *
 *	bench/inbox [REPEATS [MILLISECONDS]]
 */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <peal/peal.h>

#define SENDERS 5
#define LARGEST 4096
#define RING (1 << 18) /* bytes; as much as sockets hold at least */

struct run {
	int senders;
	size_t size;
	uint64_t ns; /* to measure for, after as much of warming up */
	char address[64];
	int pairs[SENDERS][2];
};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void check(int error, const char *what)
{
	if (error < 0)
		errx(1, "%s: %s", what, strerror(-error));
}

/* Each message is read: one word of each cache line. */
static uint64_t sum;

static void use(const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i + 8 <= size; i += 64) {
		uint64_t word;

		memcpy(&word, bytes + i, sizeof(word));
		sum += word;
	}
}

/* Counts what comes after half of the time, and says when it is over. */
struct meter {
	uint64_t began, from, counted, n, until;
};

static bool tick(struct meter *meter, uint64_t ns)
{
	uint64_t time;

	/* The clock is not to be what is measured. */
	if (++meter->n % 256 != 0)
		return true;
	time = now();
	if (meter->began == 0) {
		meter->began = time;
	} else if (meter->from == 0 && time - meter->began > ns) {
		meter->from = time;
		meter->counted = meter->n;
	}
	meter->until = time;
	return meter->from == 0 || time - meter->from < ns;
}

static double rate(const struct meter *meter)
{
	return (double)(meter->n - meter->counted) * 1e9 /
	       (double)(meter->until - meter->from);
}

/* -- an inbox */

static void send_to_inbox(const struct run *run, int i)
{
	static char data[LARGEST];
	struct peal_outbox out;

	(void)i;
	check(peal_outbox_open(&out, run->address, "bench", NULL, RING, 5000),
	      "open");
	while (peal_outbox_send(&out, 1, data, run->size, -1) == 0)
		;
}

static double receive_from_inbox(const struct run *run,
				 struct peal_inbox *inbox)
{
	struct peal_letter letter;
	struct meter meter = { 0 };

	do {
		check(peal_inbox_receive(inbox, -1, &letter), "receive");
		use(letter.data, letter.size);
		peal_inbox_release(inbox, &letter);
	} while (tick(&meter, run->ns));
	return rate(&meter);
}

/* -- sockets */

static void send_to_socket(const struct run *run, int i)
{
	static char data[LARGEST];

	while (send(run->pairs[i][1], data, run->size, MSG_NOSIGNAL) >= 0)
		;
}

static double receive_from_sockets(const struct run *run)
{
	static char data[LARGEST];
	struct epoll_event events[SENDERS];
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct meter meter = { 0 };
	bool more = true;

	for (int i = 0; i < run->senders; i++) {
		events[0] = (struct epoll_event){ .events = EPOLLIN,
						  .data.fd = run->pairs[i][0] };
		if (epoll_ctl(ep, EPOLL_CTL_ADD, run->pairs[i][0], &events[0]) <
		    0)
			err(1, "epoll");
	}
	while (more) {
		int n = epoll_wait(ep, events, SENDERS, -1);

		/* Some from each, in turns, before the next epoll_wait(2). */
		for (int k = 0; k < 16 && more; k++)
			for (int i = 0; i < n && more; i++) {
				ssize_t size = recv(events[i].data.fd, data,
						    sizeof(data), MSG_DONTWAIT);

				if (size < 0)
					continue;
				use(data, (size_t)size);
				more = tick(&meter, run->ns);
			}
	}
	close(ep);
	return rate(&meter);
}

/* -- a run */

static void start(const struct run *run, pid_t *pids,
		  void (*sends)(const struct run *run, int i))
{
	for (int i = 0; i < run->senders; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			err(1, "fork");
		if (pids[i] == 0) {
			sends(run, i);
			_exit(0);
		}
	}
}

static void stop(const struct run *run, const pid_t *pids)
{
	for (int i = 0; i < run->senders; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < run->senders; i++)
		waitpid(pids[i], NULL, 0);
}

static double run_inbox(struct run *run)
{
	static struct peal_inbox_sender senders[SENDERS];
	static struct peal_slot slots[PEAL_INBOX_SLOTS(SENDERS)];
	struct peal_inbox inbox;
	pid_t pids[SENDERS];
	double result;

	snprintf(run->address, sizeof(run->address), "@peal-bench-%d",
		 (int)getpid());
	check(peal_inbox_open(&inbox, run->address,
			      &(struct peal_inbox_options){
				      .senders = senders,
				      .n_senders = SENDERS,
				      .slots = slots,
				      .n_slots = PEAL_INBOX_SLOTS(SENDERS) }),
	      "inbox");
	start(run, pids, send_to_inbox);
	result = receive_from_inbox(run, &inbox);
	stop(run, pids);
	peal_inbox_close(&inbox);
	return result;
}

static double run_sockets(struct run *run)
{
	pid_t pids[SENDERS];
	double result;

	for (int i = 0; i < run->senders; i++)
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
			       run->pairs[i]) < 0)
			err(1, "socketpair");
	start(run, pids, send_to_socket);
	result = receive_from_sockets(run);
	stop(run, pids);
	for (int i = 0; i < run->senders; i++) {
		close(run->pairs[i][0]);
		close(run->pairs[i][1]);
	}
	return result;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

static void measure(int senders, size_t size, size_t repeats, uint64_t ns)
{
	struct run run = { .senders = senders, .size = size, .ns = ns };
	double *inbox = calloc(3 * repeats, sizeof(*inbox)), *sockets, *ratios;

	if (!inbox)
		err(1, "memory");
	sockets = inbox + repeats;
	ratios = sockets + repeats;
	for (size_t i = 0; i < repeats; i++) {
		inbox[i] = run_inbox(&run);
		sockets[i] = run_sockets(&run);
		ratios[i] = inbox[i] / sockets[i];
	}
	median(ratios, repeats); /* sorted now */
	printf("%5zu B  %d  %12.0f  %12.0f  %6.1f (%.1f to %.1f)\n", size,
	       senders, median(inbox, repeats), median(sockets, repeats),
	       ratios[repeats / 2], ratios[0], ratios[repeats - 1]);
	fflush(stdout);
	free(inbox);
}

static unsigned long argument(int argc, char **argv, int i,
			      unsigned long otherwise)
{
	char *end;
	unsigned long n;

	if (argc <= i)
		return otherwise;
	n = strtoul(argv[i], &end, 10);
	if (*end != '\0' || n == 0 || n > 100000)
		errx(2, "usage: inbox [REPEATS [MILLISECONDS]]");
	return n;
}

int main(int argc, char **argv)
{
	size_t repeats = argument(argc, argv, 1, 5);
	uint64_t ns = argument(argc, argv, 2, 300) * 1000000;

	printf("size  senders  inbox/s  SEQPACKET/s  ratio, pair by pair\n");
	fflush(stdout);
	for (int senders = 1; senders <= SENDERS; senders += SENDERS - 1) {
		measure(senders, 8, repeats, ns);
		measure(senders, LARGEST, repeats, ns);
	}
	return sum == 1; /* it is used */
}
