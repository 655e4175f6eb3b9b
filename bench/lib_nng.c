/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* nng over a Unix socket. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>

#include "lib_sockets.h"

static struct {
	char address[64];
	nng_socket socket;
	char buffer[SOCKETS_LARGEST];
} nng;

static void check_nng(int ret, const char *what)
{
	if (ret == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, nng_strerror(ret));
	bench_fail("nng", EIO);
}

static void name_it(void)
{
	static unsigned n;

	snprintf(nng.address, sizeof(nng.address),
		 "ipc:///tmp/peal-bench-%d-%u", (int)getpid(), n++);
}

static void enter(enum pattern pattern, bool listens)
{
	static int (*const opens[])(nng_socket *) = {
		[PUSH] = nng_push0_open,
		[PULL] = nng_pull0_open,
		[PAIR] = nng_pair0_open,
	};

	check_nng(opens[pattern](&nng.socket), "nng_socket");
	if (listens) {
		check_nng(nng_listen(nng.socket, nng.address, NULL, 0),
			  "nng_listen");
		return;
	}
	for (int tries = 0; tries < 1000; tries++) {
		if (nng_dial(nng.socket, nng.address, NULL, 0) == 0)
			return;
		usleep(1000);
	}
	bench_fail("nng_dial", ECONNREFUSED);
}

static void leave(bool listens)
{
	nng_close(nng.socket);
	if (listens)
		unlink(nng.address + strlen("ipc://"));
}

static void send_number(uint64_t number, size_t size)
{
	bench_fill(nng.buffer, size, number);
	check_nng(nng_send(nng.socket, nng.buffer, size, 0), "nng_send");
}

static uint64_t receive_number(size_t size)
{
	size_t n = sizeof(nng.buffer);

	check_nng(nng_recv(nng.socket, nng.buffer, &n, 0), "nng_recv");
	if (n != size)
		bench_fail("nng_recv", EBADMSG);
	return bench_read(nng.buffer, size);
}

SOCKETS_CONTESTANTS(nng, "nng");
