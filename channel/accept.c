/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A channel's server side without a reactor: one client, one call. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "internal.h"

typedef int step(struct peal_handshake *handshake,
		 const struct peal_service *service);

static int ready(struct peal_handshake *handshake,
		 const struct peal_service *service)
{
	(void)service;
	return peal_handshake_ready(handshake);
}

static int wait_and(step *next, struct peal_handshake *handshake,
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

static int shake_hands(struct peal_handshake *handshake,
		       const struct peal_service *service, uint64_t deadline)
{
	int ret = wait_and(peal_handshake_hello, handshake, service, deadline);

	if (ret == 0)
		ret = peal_handshake_offer(handshake, service);
	if (ret < 0) {
		peal_handshake_refuse(handshake, ret);
		return ret;
	}
	ret = wait_and(ready, handshake, service, deadline);
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
	ret = shake_hands(&handshake, service, peal_deadline(timeout_ms));
	if (ret < 0) {
		memcpy(ch->text, handshake.text, sizeof(ch->text));
		peal_made_close(&handshake.made);
		return ret;
	}
	ch->hello = handshake.hello;
	ch->owner = getpid();
	ret = peal_channel_assemble(ch, &handshake.made);
	if (ret < 0)
		return ret;
	peal_channel_opened(ch);
	ret = peal_handshake_open(ch->fd, 0, NULL);
	/* A client that is dead by now has published what is delivered. */
	if (ret == -EPIPE && peal_socket_hung_up(ch->fd))
		ret = 0;
	if (ret == 0 && peal_channel_is_withdrawn(ch))
		ret = -EPIPE;
	if (ret < 0)
		peal_channel_drop(ch);
	return ret;
}
