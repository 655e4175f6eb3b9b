/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What users call on a channel that is open, on a reactor or not. */
#include <errno.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "../ring/floor.h"
#include "internal.h"

bool peal_channel_here(const struct peal_channel *ch)
{
	return ch->life.process == getpid() &&
	       (!ch->served.loop || peal_reactor_here(ch->served.loop));
}

void peal_channel_close(struct peal_channel *ch)
{
	/* A forked child ends no stream of its parent. */
	if (peal_channel_here(ch)) {
		peal_sender_finish(&ch->sender);
		peal_receiver_finish(&ch->receiver);
	}
	peal_life_abort(ch);
}

int peal_channel_check(struct peal_channel *ch)
{
	struct peal_end *ends[] = { &ch->sender.end, &ch->receiver.end };
	bool died = false;

	if (ch->life.state != PEAL_CHANNEL_OPEN)
		return -EPIPE;
	if (!peal_socket_hung_up(ch->line.fd))
		return 0;
	for (int i = 0; i < 2; i++) {
		if (!peal_end_is_attached(ends[i]))
			continue;
		peal_end_hangup(ends[i], -EPIPE);
		died |= peal_end_reason(ends[i]) != 0;
	}
	return died || peal_channel_is_undelivered(ch) ? -EPIPE : 1;
}

int peal_channel_fd(const struct peal_channel *ch)
{
	return ch->life.state == PEAL_CHANNEL_OPEN ? ch->line.fd : -1;
}

enum peal_doorbell_kind peal_channel_bells(const struct peal_channel *ch)
{
	return ch->line.bells;
}
