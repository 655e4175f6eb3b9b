/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <peal/sources.h>

#include "embed_chaos.h"
#include "fixtures/harness.h"
#include "fixtures/rig.h"

#define HOUR UINT64_C(3600000000000)
#define CAPACITY 8
#define CELLS 4

enum kind {
	RECEIVER,
	SENDER,
	TIMER,
	CALL,
	QUEUE,
	SIGNAL,
	PIPE,
};

static const enum kind kinds[] = { RECEIVER, RECEIVER, RECEIVER, SENDER, SENDER,
				   TIMER,    TIMER,    CALL,	 CALL,	 CALL,
				   QUEUE,    SIGNAL,   PIPE };
#define THINGS (sizeof(kinds) / sizeof(kinds[0]))

struct thing {
	enum kind kind;
	bool live;   /* added */
	int pending; /* calls, messages, signals or bytes that are under way */
	bool hung;   /* a ring, which is to be closed */
	struct rig rig; /* with the source, of whatever kind */
	struct peal_post cells[CELLS];
	int posted, received;
	int pipe[2];
};

static struct {
	struct peal_reactor *loop;
	uint64_t seed;
	bool late;
	int calls, depth;
	struct thing things[THINGS];
} chaos;

uint64_t chaos_below(uint64_t n)
{
	return test_random(&chaos.seed) % n;
}

int chaos_calls(void)
{
	return chaos.calls;
}

/* -- the model */

static bool is_ring(const struct thing *thing)
{
	return thing->kind == RECEIVER || thing->kind == SENDER;
}

static int room(const struct thing *thing)
{
	return CAPACITY - (thing->rig.next_in - thing->rig.next_out);
}

static bool due(const struct thing *thing)
{
	if (!thing->live)
		return false;
	switch (thing->kind) {
	case RECEIVER:
		return thing->hung || room(thing) < CAPACITY;
	case SENDER:
		return thing->hung || room(thing) > 0;
	default:
		return thing->pending > 0;
	}
}

/* Doorbells that rang too often are not heard for some milliseconds. */
static bool quarantined(const struct thing *thing)
{
	struct peal_source_stats stats;

	if (!is_ring(thing))
		return false;
	peal_source_stats(&thing->rig.source, &stats);
	return stats.quarantines > 0;
}

enum chaos_owed chaos_owed(void)
{
	enum chaos_owed owed = CHAOS_NOTHING;

	for (size_t i = 0; i < THINGS; i++) {
		const struct thing *thing = &chaos.things[i];

		if (!due(thing))
			continue;
		if (thing->kind != TIMER && !quarantined(thing))
			return CHAOS_NOW;
		owed = CHAOS_SOON;
	}
	return owed;
}

/* -- callbacks */

static void called(struct thing *thing)
{
	CHECK(thing->live);
	CHECK(chaos.late && thing->kind == PIPE ? true : due(thing));
	chaos.calls++;
}

/* Whatever else may happen, to this source as well. */
static void wreak(void)
{
	if (chaos.depth++ == 0)
		for (uint64_t n = chaos_below(3); n > 0; n--)
			chaos_operate();
	chaos.depth--;
}

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct thing *thing = user;
	long verdict = PEAL_DONE;

	called(thing);
	CHECK(rx == &thing->rig.rx);
	if (chaos_below(3) > 0)
		rig_drain(&thing->rig);
	else
		rig_take(&thing->rig, 1);
	if (room(thing) < CAPACITY)
		verdict = PEAL_MORE;
	wreak();
	return verdict;
}

static long on_writable(struct peal_sender *tx, void *user)
{
	struct thing *thing = user;
	long verdict = PEAL_DONE;
	int *items;

	called(thing);
	CHECK(tx == &thing->rig.tx);
	while (peal_sender_reserve(tx, 1, &items) > 0) {
		*items = thing->rig.next_in++;
		CHECK_EQ(peal_sender_commit(tx, 1), 0);
		if (room(thing) > 0 && chaos_below(4) == 0) {
			verdict = PEAL_MORE;
			break;
		}
	}
	wreak();
	return verdict;
}

/* Its fds are closed at once, and their numbers go to the next. */
static void renew(struct thing *thing)
{
	rig_finish(&thing->rig);
	rig_init(&thing->rig, CAPACITY);
	thing->hung = thing->live = false;
}

static void closed(struct thing *thing, int reason)
{
	called(thing);
	CHECK(thing->hung);
	CHECK_EQ(reason, -EPIPE);
	renew(thing);
	wreak();
}

static void rx_closed(struct peal_receiver *rx, int reason, void *user)
{
	(void)rx;
	closed(user, reason);
}

static void tx_closed(struct peal_sender *tx, int reason, void *user)
{
	(void)tx;
	closed(user, reason);
}

static void on_timer(struct peal_source *source, uint64_t expirations,
		     void *user)
{
	struct thing *thing = user;

	(void)source;
	called(thing);
	CHECK_EQ(expirations, 1);
	thing->pending = 0;
	wreak();
}

static void on_call(struct peal_source *source, void *user)
{
	struct thing *thing = user;

	(void)source;
	called(thing);
	thing->pending = 0;
	wreak();
}

static void on_post(struct peal_source *source, void *message, void *user)
{
	struct thing *thing = user;

	(void)source;
	called(thing);
	CHECK_EQ((intptr_t)message, thing->received);
	thing->received++;
	thing->pending--;
	wreak();
}

static void on_signal(struct peal_source *source,
		      const struct signalfd_siginfo *info, void *user)
{
	struct thing *thing = user;

	(void)source;
	called(thing);
	CHECK_EQ(info->ssi_signo, SIGUSR1);
	thing->pending = 0;
	wreak();
}

static void on_pipe(struct peal_source *source, int fd, uint32_t events,
		    void *user)
{
	struct thing *thing = user;
	char byte;

	(void)source;
	called(thing);
	CHECK_EQ(events, EPOLLIN);
	if (read(fd, &byte, 1) == 1)
		thing->pending--;
	else
		CHECK(chaos.late);
	wreak();
}

/* -- operations */

static int add(struct thing *thing)
{
	struct peal_source *source = &thing->rig.source;
	struct peal_receiver_callbacks rx = { .on_readable = on_readable,
					      .on_closed = rx_closed,
					      .user = thing };
	struct peal_sender_callbacks tx = { .on_writable = on_writable,
					    .on_closed = tx_closed,
					    .user = thing };

	memset(source, 0, sizeof(*source));
	thing->live = true;
	switch (thing->kind) {
	case RECEIVER:
		return peal_reactor_add_receiver(chaos.loop, source,
						 &thing->rig.rx, &rx);
	case SENDER:
		return peal_reactor_add_sender(chaos.loop, source,
					       &thing->rig.tx, &tx);
	case TIMER:
		return peal_reactor_add_timer(chaos.loop, source, on_timer,
					      thing);
	case CALL:
		return peal_reactor_add_deferred(chaos.loop, source, on_call,
						 thing);
	case QUEUE:
		return peal_reactor_add_queue(chaos.loop, source, thing->cells,
					      CELLS, on_post, thing);
	case SIGNAL:
		return peal_reactor_add_signal(chaos.loop, source, SIGUSR1,
					       on_signal, thing);
	default:
		return peal_reactor_add_fd(chaos.loop, source, thing->pipe[0],
					   EPOLLIN, on_pipe, thing);
	}
}

static void remove_it(struct thing *thing)
{
	CHECK_EQ(peal_reactor_remove(chaos.loop, &thing->rig.source), 0);
	memset(&thing->rig.source, 0xff, sizeof(thing->rig.source));
	thing->live = false;
	switch (thing->kind) {
	case RECEIVER:
	case SENDER:
		if (thing->hung)
			renew(thing);
		break;
	case TIMER:
	case CALL:
	case QUEUE:
		thing->pending = 0;
		thing->received = thing->posted;
		break;
	default:
		break; /* it is there when it is added again */
	}
}

static void set_timer(struct thing *thing)
{
	uint64_t first = chaos_below(3);

	thing->pending = first == 0;
	if (first == 2)
		CHECK_EQ(peal_reactor_cancel_timer(chaos.loop,
						   &thing->rig.source),
			 0);
	else
		CHECK_EQ(peal_reactor_set_timer(chaos.loop, &thing->rig.source,
						first * HOUR, 0, 0),
			 0);
}

static void post(struct thing *thing)
{
	void *message = (void *)(intptr_t)thing->posted;
	int ret = peal_reactor_post(chaos.loop, &thing->rig.source, message);

	CHECK_EQ(ret, thing->pending < CELLS ? 0 : -EAGAIN);
	thing->posted += ret == 0;
	thing->pending += ret == 0;
}

static void hang_up(struct thing *thing)
{
	CHECK_EQ(peal_reactor_hangup(chaos.loop, &thing->rig.source, -EPIPE),
		 0);
	thing->hung = true;
}

/* What a ring's other end does. */
static void move(struct thing *thing)
{
	uint64_t most = (uint64_t)room(thing);

	if (thing->kind == SENDER)
		most = CAPACITY - most;
	if (most == 0 || thing->hung)
		return;
	if (thing->kind == SENDER)
		rig_take(&thing->rig, 1 + chaos_below(most));
	else
		rig_send(&thing->rig, 1 + chaos_below(most));
}

static void operate_ring(struct thing *thing)
{
	switch (chaos_below(16)) {
	case 0:
		if (thing->live && !thing->hung)
			hang_up(thing);
		break;
	case 1: /* for nothing */
		peal_doorbell_ring(thing->kind == SENDER ? &thing->rig.space
							 : &thing->rig.data);
		break;
	default:
		move(thing);
	}
}

static void operate(struct thing *thing)
{
	switch (thing->kind) {
	case TIMER:
		set_timer(thing);
		break;
	case CALL:
		peal_reactor_defer(chaos.loop, &thing->rig.source);
		thing->pending = 1;
		break;
	case QUEUE:
		post(thing);
		break;
	case SIGNAL:
		CHECK_EQ(kill(getpid(), SIGUSR1), 0);
		thing->pending = 1;
		break;
	case PIPE:
		CHECK_EQ(write(thing->pipe[1], "x", 1), 1);
		thing->pending++;
		break;
	default:
		operate_ring(thing);
	}
}

void chaos_operate(void)
{
	struct thing *thing = &chaos.things[chaos_below(THINGS)];

	switch (chaos_below(8)) {
	case 0:
		if (thing->live)
			remove_it(thing);
		else
			CHECK_EQ(add(thing), 0);
		break;
	case 1:
		if (!thing->live)
			CHECK_EQ(add(thing), 0);
		else if (chaos_below(4) == 0)
			peal_reactor_wake(chaos.loop);
		break;
	default:
		/* Only what is added can be deferred, posted to, set; the
		 * world around the others goes on. */
		if (thing->live || is_ring(thing))
			operate(thing);
	}
}

void chaos_start(struct peal_reactor *reactor, uint64_t seed, bool late)
{
	sigset_t set;

	/* Ours for good, also while no source takes it. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);

	memset(&chaos, 0, sizeof(chaos));
	chaos.loop = reactor;
	chaos.seed = seed;
	chaos.late = late;
	for (size_t i = 0; i < THINGS; i++) {
		struct thing *thing = &chaos.things[i];

		thing->kind = kinds[i];
		rig_init(&thing->rig, CAPACITY);
		CHECK_EQ(pipe2(thing->pipe, O_CLOEXEC | O_NONBLOCK), 0);
		CHECK_EQ(add(thing), 0);
	}
}

void chaos_stop(void)
{
	for (size_t i = 0; i < THINGS; i++) {
		struct thing *thing = &chaos.things[i];

		if (thing->live)
			remove_it(thing);
		rig_finish(&thing->rig);
		close(thing->pipe[0]);
		close(thing->pipe[1]);
	}
}
