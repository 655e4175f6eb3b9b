/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A server of one client, without a reactor: one call waits for the client. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "internal.h"

typedef int handshake_step(struct peal_handshake *handshake,
			   const struct peal_service *service);

static int check_ready(struct peal_handshake *handshake,
		       const struct peal_service *service)
{
	(void)service;
	return peal_handshake_ready(handshake);
}

static int wait_and_do(handshake_step *next, struct peal_handshake *handshake,
		       const struct peal_service *service, uint64_t deadline)
{
	int ret;

	do {
		ret = peal_socket_wait(handshake->made.fd, deadline);
		if (ret == 0)
			ret = next(handshake, service);
	} while (ret == -EAGAIN);
	return ret;
}

static int accept_client(struct peal_handshake *handshake,
			 const struct peal_service *service, uint64_t deadline)
{
	int ret = wait_and_do(peal_handshake_hello, handshake, service,
			      deadline);

	if (ret == 0)
		ret = peal_handshake_offer(handshake, service);
	if (ret < 0) {
		peal_handshake_refuse(handshake, ret);
		return ret;
	}
	ret = wait_and_do(check_ready, handshake, service, deadline);
	while (ret == 0)
		ret = peal_handshake_fill(handshake, SIZE_MAX);
	if (ret < 0)
		peal_handshake_refuse(handshake, ret);
	return ret < 0 ? ret : 0;
}

int peal_channel_accept(struct peal_channel *ch, int fd,
			const struct peal_service *service, bool trusted,
			int timeout_ms)
{
	struct peal_handshake handshake = {
		.made.peer = { .trusted = trusted,
			       .pid = -1,
			       .uid = (uid_t)-1,
			       .gid = (gid_t)-1,
			       .pidfd = -1 },
	};
	int ret = peal_socket_adopt(fd);

	memset(ch, 0, sizeof(*ch));
	if (ret < 0)
		return ret;
	peal_socket_refuse(ret);
	handshake.made.fd = ret;
	ret = accept_client(&handshake, service, peal_deadline(timeout_ms));
	if (ret < 0) {
		memcpy(ch->text, handshake.text, sizeof(ch->text));
		peal_made_close(&handshake.made);
		return ret;
	}
	ch->hello = handshake.hello;
	peal_life_begin(ch, NULL);
	ret = peal_channel_take_over(ch, &handshake.made);
	if (ret < 0)
		return ret;
	peal_life_open(ch);
	ret = peal_handshake_open(ch->line.fd, 0, NULL);
	/* The client may be dead by now. What the client had published is
	 * delivered all the same. */
	if (ret == -EPIPE && peal_socket_hung_up(ch->line.fd))
		ret = 0;
	if (ret == 0 && peal_channel_is_withdrawn(ch))
		ret = -EPIPE;
	if (ret < 0)
		peal_life_abort(ch);
	return ret;
}
