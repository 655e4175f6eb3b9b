/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../examples/embed/in_epoll.h"
#include "link.h"

#define FDS 1024
#define BATCH 8

struct peal_reactor loop;
struct peal_slot link_slots[LINK_SLOTS];
struct peal_server server;
char link_path[108];

static char folder[64];
static enum link_host host;
static int epoll_fd;
static struct in_epoll in;
static struct in_epoll_fd in_fds[FDS];

const char *link_host_name(enum link_host which)
{
	static const char *const names[] = { "its_own_loop", "form_A",
					     "form_B__level", "form_B__edge" };

	return names[which];
}

void link_folder(void)
{
	const char *tmp = getenv("TMPDIR");

	if (!tmp || strlen(tmp) > 32)
		tmp = "/tmp";
	snprintf(folder, sizeof(folder), "%s/peal-test-XXXXXX", tmp);
	CHECK(mkdtemp(folder) != NULL);
	/* Other users shall come as far as the socket. */
	CHECK_EQ(chmod(folder, 0755), 0);
	snprintf(link_path, sizeof(link_path), "%s/sock", folder);
}

void link_reactor(enum link_host which)
{
	host = which;
	epoll_fd = -1;
	if (host != LINK_OWN)
		epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (host == LINK_OWN || host == LINK_FORM_A)
		CHECK_EQ(peal_reactor_init(&loop, link_slots, LINK_SLOTS), 0);
	else
		CHECK_EQ(in_epoll_init(&in, epoll_fd, host == LINK_FORM_B_EDGE,
				       in_fds, FDS, &loop, link_slots,
				       LINK_SLOTS),
			 0);
	if (host == LINK_FORM_A)
		CHECK_EQ(in_epoll_watch(epoll_fd, &loop), 0);
}

void link_serve(enum link_host which, const struct peal_service *service)
{
	if (!folder[0])
		link_folder();
	link_reactor(which);
	CHECK_EQ(peal_server_listen(&server, &loop, link_path, service), 0);
}

void link_once(bool wait)
{
	struct epoll_event events[BATCH];
	int n;

	if (host == LINK_OWN) {
		CHECK(peal_reactor_run_once(&loop, wait ? -1 : 0) >= 0);
		return;
	}
	n = epoll_wait(epoll_fd, events, BATCH, wait ? -1 : 0);
	for (int i = 0; i < n; i++)
		if (host == LINK_FORM_A)
			CHECK(in_epoll_dispatch(&loop, &events[i]));
		else
			CHECK(in_epoll_process(&in, &events[i]));
}

int link_folder_entries(void)
{
	DIR *dir = opendir(folder);
	int n = 0;

	CHECK(dir != NULL);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

void link_end(void)
{
	peal_server_finish(&server);
	peal_reactor_finish(&loop);
	if (epoll_fd >= 0)
		close(epoll_fd);
	if (folder[0])
		CHECK_EQ(rmdir(folder), 0);
	folder[0] = '\0';
}

/* -- parties */

static size_t how_many(struct party *p, size_t most)
{
	size_t n = most;

	if (p->step && n > p->step)
		n = p->step;
	if (p->random && n > 1)
		n = 1 + (size_t)(test_random(&p->random) % n);
	return n;
}

static size_t mood(struct party *p)
{
	return p->moods ? 1 + (size_t)(test_random(&p->random) % p->moods) : 1;
}

static size_t words(const struct party *p)
{
	return p->words ? p->words : 1;
}

void party_send(struct party *p, struct peal_sender *tx)
{
	while (p->out < p->most) {
		uint64_t *items, left = p->most - p->out;
		size_t need = mood(p), n;
		ssize_t free = peal_sender_reserve(
			tx, need < left ? need : (size_t)left, &items);

		if (free <= 0) {
			CHECK(free == 0 || free == -EPIPE);
			return;
		}
		n = how_many(p, (size_t)free);
		if (n > left)
			n = (size_t)left;
		for (size_t i = 0; i < n * words(p); i++)
			items[i] = p->out + i / words(p);
		p->out += n;
		peal_sender_commit(tx, n);
	}
	if (p->finishes)
		peal_sender_finish(tx);
}

/* What to say of items that are left. The last ones never are. */
static long say(struct party *p, size_t left)
{
	size_t n = mood(p);

	if (left == 0)
		return PEAL_DONE;
	return n > left ? PEAL_WAIT(n) : PEAL_MORE;
}

long party_take(struct party *p, struct peal_receiver *rx)
{
	const uint64_t *items;
	ssize_t there;

	while ((there = peal_receiver_peek(rx, &items)) > 0) {
		size_t n = how_many(p, (size_t)there);

		if (p->in + (uint64_t)there == p->most)
			n = (size_t)there;
		for (size_t i = 0; i < n * words(p); i++)
			CHECK_EQ(items[i], p->in + i / words(p));
		p->in += n;
		peal_receiver_release(rx, n);
		if (p->moods && (size_t)there > n)
			return say(p, (size_t)there - n);
	}
	return PEAL_DONE;
}

void party_open(struct peal_channel *ch, void *user)
{
	struct party *p = user;

	p->ch = ch;
	p->opens++;
	if (p->moods) {
		peal_receiver_set_watermark(&ch->receiver, mood(p));
		peal_sender_set_watermark(&ch->sender, mood(p));
	}
}

long party_readable(struct peal_channel *ch, void *user)
{
	struct party *p = user;

	return p->deaf ? PEAL_DONE : party_take(p, &ch->receiver);
}

long party_writable(struct peal_channel *ch, void *user)
{
	party_send(user, &ch->sender);
	return PEAL_DONE;
}

void party_ended(struct peal_channel *ch, void *user)
{
	struct party *p = user;

	(void)ch;
	CHECK_EQ(p->closes, 0);
	p->ends++;
}

void party_closed(struct peal_channel *ch, int reason, void *user)
{
	struct party *p = user;

	p->closes++;
	p->reason = reason;
	memcpy(p->text, ch->text, sizeof(p->text));
}

struct peal_channel_callbacks party_callbacks(struct party *party)
{
	return (struct peal_channel_callbacks){
		.on_open = party_open,
		.on_readable = party_readable,
		.on_writable = party_writable,
		.on_ended = party_ended,
		.on_closed = party_closed,
		.user = party,
	};
}

/* -- blocking clients */

struct peal_hello link_hello(enum peal_role role, uint64_t capacity)
{
	return (struct peal_hello){ .role = role,
				    .item_size = sizeof(uint64_t),
				    .capacity = capacity };
}

void link_connect(struct peal_channel *ch, const struct peal_hello *hello)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int ret;

	while ((ret = peal_connect(ch, link_path, hello, -1)) == -ENOENT ||
	       ret == -ECONNREFUSED || ret == -EACCES)
		nanosleep(&pause, NULL);
	if (ret < 0)
		test_note("%s", ch->text);
	CHECK_EQ(ret, 0);
}

void link_put(struct peal_channel *ch, uint64_t first, uint64_t n)
{
	uint64_t last = first + n, *items;

	while (first < last) {
		ssize_t free = peal_sender_wait(&ch->sender, 1, -1, &items);
		size_t i = 0;

		CHECK(free > 0);
		for (; i < (size_t)free && first < last; i++)
			items[i] = first++;
		CHECK_EQ(peal_sender_commit(&ch->sender, i), 0);
	}
}

void link_get(struct peal_channel *ch, uint64_t first, uint64_t n)
{
	const uint64_t *items;
	uint64_t last = first + n;

	while (first < last) {
		ssize_t there = peal_receiver_wait(&ch->receiver, 1, -1,
						   &items);
		size_t i = 0;

		CHECK(there > 0);
		for (; i < (size_t)there && first < last; i++)
			CHECK_EQ(items[i], first++);
		peal_receiver_release(&ch->receiver, i);
	}
}

/* -- gates */

void link_gate_init(struct link_gate *gate)
{
	CHECK_EQ(pipe(gate->fds), 0);
}

void link_gate_open(struct link_gate *gate)
{
	CHECK_EQ(write(gate->fds[1], "", 1), 1);
}

void link_gate_wait(struct link_gate *gate)
{
	struct pollfd pfd = { .fd = gate->fds[0], .events = POLLIN };

	while (poll(&pfd, 1, 1) == 0)
		link_once(false);
	link_gate_sleep(gate);
}

void link_gate_sleep(struct link_gate *gate)
{
	char byte;

	CHECK_EQ(read(gate->fds[0], &byte, 1), 1);
}

void link_gate_finish(struct link_gate *gate)
{
	close(gate->fds[0]);
	close(gate->fds[1]);
}
