/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_SERVICE_H
#define PEAL_TESTS_SERVICE_H
/*
 * What most tests of servers serve: numbers, in a few channels, by the party
 * that is `there`. A client in the same thread is `here`.
 */
#include <unistd.h>

#include "link.h"

#define CHANNELS 8

static struct peal_channel channels[CHANNELS];
static struct party here, there;

/* The last who was refused, and how many were. */
static struct {
	int n, reason;
	pid_t pid;
	char text[PEAL_TEXT];
} refused;

static inline void on_refused(const struct peal_peer *peer, int reason,
			      const char *text, void *user)
{
	CHECK(user == &there);
	CHECK(peer->known);
	CHECK_EQ(peer->pidfd, -1);
	refused.n++;
	refused.reason = reason;
	refused.pid = peer->pid;
	snprintf(refused.text, sizeof(refused.text), "%s", text);
}

/* They have been refused in the same words that the client was told. */
static inline void check_refused(int reason, const char *text)
{
	CHECK_EQ(refused.pid, getpid());
	CHECK_EQ(refused.reason, reason);
	CHECK(strcmp(refused.text, text) == 0);
}

static inline struct peal_service usual(void)
{
	return (struct peal_service){ .accept = { .item_size = 8 },
				      .channels = channels,
				      .n_channels = CHANNELS,
				      .callbacks = party_callbacks(&there),
				      .on_refused = on_refused };
}

/* Items of any size: then somebody has to look at what comes. */
static inline struct peal_channel *admit_any(const struct peal_hello *hello,
					     const struct peal_peer *peer,
					     const char **why, void *user)
{
	(void)hello;
	(void)peer;
	(void)why;
	(void)user;
	return peal_channel_unused(channels, CHANNELS);
}

/* The first one, for a client that may come back to it. */
static inline struct peal_channel *admit_first(const struct peal_hello *hello,
					       const struct peal_peer *peer,
					       const char **why, void *user)
{
	(void)peer;
	(void)why;
	(void)user;
	CHECK(strcmp(hello->name, "cello") == 0);
	return &channels[0];
}

static inline struct peal_service keeping(void)
{
	return (struct peal_service){ .admit = admit_first,
				      .callbacks = party_callbacks(&there),
				      .resume = true };
}

/* Without a server, which comes at an address of the test's choice. */
static inline void start(void)
{
	link_folder();
	link_reactor(LINK_OWN);
}

static inline int serve_at(const char *address)
{
	struct peal_service service = usual();

	return peal_server_listen(&server, &loop, address, &service);
}

/* Connect from here, and wait for what comes of it. */
static inline void client_meets(struct peal_channel *ch, const char *address,
				const struct peal_hello *hello)
{
	struct peal_channel_callbacks callbacks = party_callbacks(&here);

	here = (struct party){ 0 };
	refused.n = 0;
	CHECK_EQ(peal_connect_on(ch, &loop, address, hello, &callbacks, 0), 0);
	LINK_UNTIL(here.opens || here.closes);
}

static inline void client_meets_as_sender(struct peal_channel *ch,
					  const char *address,
					  uint64_t capacity)
{
	struct peal_hello hello = link_hello(PEAL_SENDER, capacity);

	client_meets(ch, address, &hello);
}

/* Serve until nobody is there. */
static inline void settle(void)
{
	struct peal_server_stats stats;

	for (;;) {
		peal_server_stats(&server, &stats);
		if (!stats.handshakes && !stats.channels)
			return;
		link_once(true);
	}
}

/* A child has no business with what its parent serves. */
static inline void close_from(int fd)
{
	for (; fd < 1024; fd++)
		close(fd);
}

#endif
