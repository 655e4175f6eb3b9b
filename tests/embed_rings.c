/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rings in loops that are not ours. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "embed_properties.h"
#include "fixtures/harness.h"

static void data_before(void)
{
	rig_send(&env.a, 3);
	rig_serve(&env.loop, &env.a, embed_drain);
	embed_until(&env.a.calls, 1);
	CHECK_EQ(env.a.next_out, 3);
}

static void serve_a(void)
{
	rig_send(&env.a, 3);
	rig_serve(&env.loop, &env.a, embed_drain);
}

static void data_before_in_own_callback(void)
{
	env.on_own = serve_a;
	embed_wake_own();
	embed_until(&env.a.calls, 1);
	CHECK_EQ(env.a.next_out, 3);
	CHECK_EQ(env.own_calls, 1);
}

static void transitions_are_counted(void)
{
	struct peal_reactor_stats stats;

	rig_serve(&env.loop, &env.a, embed_drain);
	embed_settle();
	for (int i = 1; i <= 100; i++) {
		rig_send(&env.a, 1 + (size_t)i % 8);
		embed_until(&env.a.calls, i);
		CHECK_EQ(env.a.next_out, env.a.next_in);
		embed_settle();
	}
	peal_reactor_stats(&env.loop, &stats);
	CHECK_EQ(env.a.calls, 100);
	CHECK_EQ(stats.callbacks, 100);
	CHECK_EQ(stats.mores, 0);
}

static long take_one(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	rig->calls++;
	rig_take(rig, 1);
	return peal_receiver_used(rx) > 0 ? PEAL_MORE : PEAL_DONE;
}

static void more_is_served(void)
{
	struct peal_reactor_stats stats;

	rig_serve(&env.loop, &env.a, take_one);
	embed_settle();
	rig_send(&env.a, 8);
	embed_until(&env.a.calls, 8);
	embed_settle();
	CHECK_EQ(env.a.calls, 8);
	peal_reactor_stats(&env.loop, &stats);
	CHECK_EQ(stats.callbacks, 8);
	CHECK_EQ(stats.mores, 7);
}

static long drain_then_send(struct peal_receiver *rx, void *user)
{
	struct rig *rig = user;

	embed_drain(rx, user);
	if (rig->calls < 20)
		rig_send(rig, 1);
	return PEAL_DONE;
}

static void sent_in_the_callback(void)
{
	rig_serve(&env.loop, &env.a, drain_then_send);
	rig_send(&env.a, 1);
	embed_until(&env.a.calls, 20);
	CHECK_EQ(env.a.next_out, 20);
}

static long fill_up(struct peal_sender *tx, void *user)
{
	struct rig *rig = user;
	int *room;

	CHECK(tx == &rig->tx);
	rig->calls++;
	while (peal_sender_reserve(tx, 1, &room) > 0) {
		*room = rig->next_in++;
		CHECK_EQ(peal_sender_commit(tx, 1), 0);
	}
	return PEAL_DONE;
}

static void sender_is_called(void)
{
	env.feeding = true;
	rig_feed(&env.loop, &env.a, fill_up);
	embed_until(&env.a.calls, 1);
	for (int i = 2; i < 50; i++) {
		rig_take(&env.a, 1 + (size_t)i % 8);
		embed_until(&env.a.calls, i);
		CHECK_EQ(env.a.next_in - env.a.next_out, 8);
	}
}

static void end_of_stream(void)
{
	rig_serve(&env.loop, &env.a, take_one);
	rig_send(&env.a, 5);
	peal_sender_finish(&env.a.tx);
	embed_until(&env.a.closed, 1);
	CHECK_EQ(env.a.next_out, 5);
	CHECK_EQ(env.a.reason, 0);
	embed_settle();
	CHECK_EQ(env.a.closed, 1);
}

static void hangup_from_outside(void)
{
	rig_serve(&env.loop, &env.a, take_one);
	embed_settle();
	rig_send(&env.a, 3);
	CHECK_EQ(peal_reactor_hangup(&env.loop, &env.a.source, -EPIPE), 0);
	embed_until(&env.a.closed, 1);
	CHECK_EQ(env.a.next_out, 3);
	CHECK_EQ(env.a.reason, -EPIPE);
}

static void bell_without_data(void)
{
	rig_serve(&env.loop, &env.a, embed_drain);
	embed_settle();
	for (int i = 0; i < 10; i++) {
		peal_doorbell_ring(&env.a.data);
		CHECK(embed_settle() <= 2);
	}
	CHECK_EQ(env.a.calls, 0);
	rig_send(&env.a, 1);
	embed_until(&env.a.calls, 1);
}

/* Readable for ever, as the loop sees it, and nobody can clear it. */
static void bell_hung_up(void)
{
	struct peal_doorbell bell;

	CHECK_EQ(peal_doorbell_init(&bell, PEAL_DOORBELL_PIPE), 0);
	CHECK_EQ(peal_receiver_attach(&env.a.rx, &env.a.ring, &bell,
				      &env.a.space),
		 0);
	rig_serve(&env.loop, &env.a, embed_drain);
	embed_settle();
	close(bell.ring_fd);
	embed_settle(); /* which does not wait for long */
	CHECK_EQ(env.a.calls, 0);
	CHECK_EQ(peal_reactor_remove(&env.loop, &env.a.source), 0);
	close(bell.wait_fd);
}

/* It is not listened to for some milliseconds, and then it is again. */
static void bell_without_end(void)
{
	struct peal_source_stats stats = { 0 };

	rig_serve(&env.loop, &env.a, embed_drain);
	embed_settle();
	for (int i = 0; stats.quarantines == 0; i++) {
		CHECK(i < 1000);
		peal_doorbell_ring(&env.a.data);
		env.host->once(false);
		peal_source_stats(&env.a.source, &stats);
	}
	CHECK_EQ(env.a.calls, 0);
	for (int i = 1; i <= 10; i++) {
		rig_send(&env.a, 1);
		embed_until(&env.a.calls, i);
	}
}

static long drain_and_pass(struct peal_receiver *rx, void *user)
{
	long verdict = embed_drain(rx, user);

	embed_next_round();
	return verdict;
}

static void *send_in_rounds(void *user)
{
	for (int i = 0; i < ROUNDS; i++) {
		embed_await_round();
		rig_send(&env.a, 1);
	}
	return user;
}

static void items_one_by_one(void)
{
	rig_serve(&env.loop, &env.a, drain_and_pass);
	embed_in_rounds(send_in_rounds);
	CHECK_EQ(env.a.calls, ROUNDS);
	CHECK_EQ(env.a.next_out, ROUNDS);
}

#define STREAM 20000

static long drain_any(struct peal_receiver *rx, void *user)
{
	(void)rx;
	((struct rig *)user)->calls++;
	rig_drain(user);
	return PEAL_DONE;
}

static void *send_stream(void *user)
{
	struct rig *rig = user;
	int *room;

	for (int i = 0; i < STREAM; i++) {
		CHECK(peal_sender_wait(&rig->tx, 1, -1, &room) > 0);
		*room = i;
		CHECK_EQ(peal_sender_commit(&rig->tx, 1), 0);
	}
	peal_sender_finish(&rig->tx);
	return NULL;
}

static void streams(void)
{
	struct rig *rigs[] = { &env.a, &env.b, &env.c };
	pthread_t threads[3];

	for (int i = 0; i < 3; i++) {
		rig_serve(&env.loop, rigs[i], i == 2 ? take_one : drain_any);
		CHECK_EQ(
			pthread_create(&threads[i], NULL, send_stream, rigs[i]),
			0);
	}
	for (int i = 0; i < 3; i++) {
		embed_until(&rigs[i]->closed, 1);
		CHECK_EQ(rigs[i]->next_out, STREAM);
		CHECK_EQ(rigs[i]->reason, 0);
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	}
}

const struct embed_property embed_rings_properties[] = {
	{ "data from before registration", data_before },
	{ "data from before registration in the loop's own callback",
	  data_before_in_own_callback },
	{ "as many callbacks as transitions", transitions_are_counted },
	{ "more is served without another event", more_is_served },
	{ "what is sent in the callback", sent_in_the_callback },
	{ "a sender is called when there is room", sender_is_called },
	{ "the end of a stream", end_of_stream },
	{ "a hangup from outside", hangup_from_outside },
	{ "a bell without data", bell_without_data },
	{ "a bell that has hung up", bell_hung_up },
	{ "a bell that rings without end", bell_without_end },
	{ "items from another thread, one by one", items_one_by_one },
	{ "streams from other threads", streams },
	{ NULL, NULL },
};
