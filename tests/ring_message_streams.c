/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whole streams of messages of random sizes, up to the largest, through rings
 * that are only just large enough, between threads, between processes and in a
 * reactor: what arrives is what was sent, in order, once, byte by byte.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <peal/reactor.h>

#include "fixtures/messages.h"

#define MESSAGES 250000 /* in each of four streams */

struct stream {
	struct pair pair;
	uint64_t seed; /* of both sides */
	uint64_t messages;
	bool batches; /* of the sender */
	bool walks;   /* the receiver */
};

/*
 * Mostly small, or the two would sleep for each other all the time; now and
 * then any size, and now and then the largest.
 */
static size_t next_size(uint64_t *seed, size_t max)
{
	uint64_t random = test_random(seed) >> 8;

	switch (random % 64) {
	case 0:
		return max;
	case 1:
	case 2:
	case 3:
		return random / 64 % (max + 1);
	default:
		return random / 64 % 100;
	}
}

/* The pair is in memory that a child shares, whichever it is. */
static void stream_make(struct stream *s, bool twice, uint64_t capacity)
{
	struct peal_geometry g = { .capacity = capacity, .item_size = UNIT };

	text_of(0); /* before there are two that may be the first */
	s->messages = MESSAGES;
	if (twice) {
		pair_make_twice(&s->pair, capacity, UNIT);
		return;
	}
	memset(&s->pair, 0, sizeof(s->pair));
	CHECK_EQ(peal_geometry_fit(&g, 0), 0);
	s->pair.memory = mmap(NULL, PEAL_RING_SIZE(g.capacity, UNIT),
			      PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(s->pair.memory != MAP_FAILED);
	pair_format(&s->pair, &g, s->pair.memory);
}

static void stream_free(struct stream *s)
{
	if (s->pair.memory)
		CHECK_EQ(munmap(s->pair.memory,
				PEAL_RING_SIZE(units(&s->pair), UNIT)),
			 0);
	s->pair.memory = NULL;
	pair_free(&s->pair);
}

/* -- senders and receivers that sleep */

static void send_one_by_one(struct stream *s)
{
	struct peal_sender *tx = &s->pair.tx;
	size_t max = peal_message_max(tx);
	uint64_t seed = s->seed;

	for (uint64_t i = 0; i < s->messages; i++) {
		size_t size = next_size(&seed, max);
		void *room;

		if (i % 2 == 0) {
			CHECK_EQ(peal_message_send(tx, kind_of(i), text_of(i),
						   size, -1),
				 0);
			continue;
		}
		CHECK_EQ(peal_message_wait(tx, size, 60000, &room), 1);
		fill_text(room, i, size);
		CHECK_EQ(peal_message_commit(tx, kind_of(i), size), 0);
	}
	peal_sender_finish(tx);
}

/* As many at once as there is room for, without waiting. */
static void send_in_batches(struct stream *s)
{
	struct peal_sender *tx = &s->pair.tx;
	size_t max = peal_message_max(tx);
	uint64_t seed = s->seed;

	for (uint64_t i = 0; i < s->messages; i++) {
		size_t size = next_size(&seed, max);
		void *room;

		if (peal_message_try_reserve(tx, size, &room) != 1) {
			CHECK_EQ(peal_message_publish(tx), 0);
			CHECK_EQ(peal_message_wait(tx, size, -1, &room), 1);
		}
		fill_text(room, i, size);
		CHECK_EQ(peal_message_stage(tx, kind_of(i), size), 0);
	}
	CHECK_EQ(peal_message_publish(tx), 0);
	peal_sender_finish(tx);
}

static void send_all(void *arg)
{
	struct stream *s = arg;

	if (s->batches)
		send_in_batches(s);
	else
		send_one_by_one(s);
}

static void *send_all_thread(void *arg)
{
	send_all(arg);
	return NULL;
}

/* Compare what is there; walk on, now and then not to the end. */
static uint64_t take_some(struct stream *s, struct peal_message *m,
			  uint64_t *seed, uint64_t number)
{
	size_t max = UNIT * (units(&s->pair) - 1);

	for (;;) {
		check_place(&s->pair, m);
		check_text(m, number, next_size(seed, max));
		number++;
		if (!s->walks || number % 100 == 0 ||
		    peal_message_next(&s->pair.rx, m) <= 0)
			break;
	}
	CHECK_EQ(peal_message_release(&s->pair.rx, m), 0);
	return number;
}

static void take_all(struct stream *s)
{
	uint64_t number = 0, seed = s->seed;
	struct peal_message m;
	int ret;

	while ((ret = peal_message_receive(&s->pair.rx, -1, &m)) > 0)
		number = take_some(s, &m, &seed, number);
	CHECK_EQ(ret, 0);
	CHECK_EQ(number, s->messages);
	CHECK(peal_receiver_ended(&s->pair.rx));
}

static void check_threads(bool twice, bool batches, bool walks)
{
	struct stream s = { .seed = test_seed(),
			    .batches = batches,
			    .walks = walks };
	pthread_t thread;

	stream_make(&s, twice, 256);
	CHECK_EQ(pthread_create(&thread, NULL, send_all_thread, &s), 0);
	take_all(&s);
	pthread_join(thread, NULL);
	stream_free(&s);
}

static void check_processes(bool twice, bool batches, bool walks)
{
	struct stream s = { .seed = test_seed(),
			    .batches = batches,
			    .walks = walks };
	pid_t pid;

	stream_make(&s, twice, 256);
	pid = test_fork(send_all, &s);
	take_all(&s);
	test_join(pid);
	stream_free(&s);
}

TEST(messages_pass_between_threads)
{
	check_threads(true, false, false);
}

TEST(messages_pass_between_threads_in_plain_memory)
{
	check_threads(false, true, true);
}

TEST(messages_pass_between_processes)
{
	check_processes(true, true, true);
}

TEST(messages_pass_between_processes_in_plain_memory)
{
	check_processes(false, false, false);
}

/* -- a sender that is killed */

/* Each message is half written for a while before it is committed. */
static void send_for_ever(void *arg)
{
	struct stream *s = arg;
	uint64_t seed = s->seed;

	for (uint64_t i = 0;; i++) {
		size_t size = next_size(&seed, peal_message_max(&s->pair.tx));
		unsigned char *room;

		CHECK_EQ(peal_message_wait(&s->pair.tx, size, -1, &room), 1);
		memset(room, 0xee, size);
		fill_text(room, i, size);
		CHECK_EQ(peal_message_commit(&s->pair.tx, kind_of(i), size), 0);
	}
}

static void check_killed(struct stream *s, uint64_t last)
{
	uint64_t number = 0, seed = s->seed;
	struct peal_message m;
	pid_t child = test_fork(send_for_ever, s);
	int status, ret;

	while ((ret = peal_message_receive(&s->pair.rx, -1, &m)) > 0) {
		number = take_some(s, &m, &seed, number);
		if (number < last)
			continue;
		kill(child, SIGKILL);
		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		peal_receiver_hangup(&s->pair.rx);
		last = UINT64_MAX;
	}
	CHECK_EQ(ret, -EPIPE);
	CHECK_EQ(s->pair.tx_page->position, s->pair.rx_page->position);
}

TEST(messages_that_a_killed_sender_had_published_arrive_whole)
{
	uint64_t seed = test_seed();

	for (int round = 0; round < 40; round++) {
		struct stream s = { .seed = test_random(&seed),
				    .walks = round % 4 < 2 };

		stream_make(&s, round % 2, 256);
		check_killed(&s, 1 + test_random(&seed) % 2000);
		stream_free(&s);
	}
}

static void send_one_and_a_half(void *arg)
{
	struct stream *s = arg;
	void *room;

	send_text(&s->pair, 0, 100);
	CHECK_EQ(peal_message_reserve(&s->pair.tx, 100, &room), 1);
	memset(room, 0xee, 50);
	kill(getpid(), SIGKILL);
}

TEST(message_of_a_sender_killed_before_the_commit_does_not_arrive)
{
	for (FOR_BOTH(twice)) {
		struct stream s = { 0 };
		struct peal_message m;
		int status;
		pid_t pid;

		stream_make(&s, twice, 64);
		pid = test_fork(send_one_and_a_half, &s);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		peal_receiver_hangup(&s.pair.rx);
		take_text(&s.pair, 0, 100);
		CHECK_EQ(peal_message_receive(&s.pair.rx, -1, &m), -EPIPE);
		/* Whoever comes next begins where the last one published. */
		CHECK_EQ(peal_sender_attach(&s.pair.tx, &s.pair.ring,
					    &s.pair.data, &s.pair.space),
			 0);
		CHECK_EQ(peal_receiver_attach(&s.pair.rx, &s.pair.ring,
					      &s.pair.data, &s.pair.space),
			 0);
		send_text(&s.pair, 1, 7);
		take_text(&s.pair, 1, 7);
		stream_free(&s);
	}
}

/* -- both ends in one reactor */

struct served {
	struct stream stream;
	struct peal_source source[2];
	uint64_t sent, taken, send_seed, take_seed;
	size_t size; /* of the message that waits for room */
	bool has_size;
	int closed;
};

static long on_writable(struct peal_sender *tx, void *user)
{
	struct served *s = user;
	void *room;
	int ret;

	while (s->sent < s->stream.messages) {
		if (!s->has_size)
			s->size = next_size(&s->send_seed,
					    peal_message_max(tx));
		s->has_size = true;
		ret = peal_message_reserve(tx, s->size, &room);
		CHECK(ret >= 0);
		if (ret == 0)
			return PEAL_DONE; /* it has armed */
		fill_text(room, s->sent, s->size);
		CHECK_EQ(peal_message_commit(tx, kind_of(s->sent), s->size), 0);
		s->sent++;
		s->has_size = false;
	}
	peal_sender_finish(tx);
	return PEAL_DONE;
}

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct served *s = user;
	struct peal_message m;

	if (peal_message_peek(rx, &m) > 0)
		s->taken = take_some(&s->stream, &m, &s->take_seed, s->taken);
	return peal_receiver_used(rx) > 0 ? PEAL_MORE : PEAL_DONE;
}

static void on_sender_closed(struct peal_sender *tx, int reason, void *user)
{
	(void)tx;
	(void)reason;
	((struct served *)user)->closed++;
}

static void on_receiver_closed(struct peal_receiver *rx, int reason, void *user)
{
	(void)rx;
	CHECK_EQ(reason, 0);
	((struct served *)user)->closed++;
}

static void serve(struct peal_reactor *loop, struct served *s)
{
	CHECK_EQ(peal_reactor_add_receiver(
			 loop, &s->source[0], &s->stream.pair.rx,
			 &(struct peal_receiver_callbacks){
				 .on_readable = on_readable,
				 .on_closed = on_receiver_closed,
				 .user = s }),
		 0);
	CHECK_EQ(peal_reactor_add_sender(loop, &s->source[1],
					 &s->stream.pair.tx,
					 &(struct peal_sender_callbacks){
						 .on_writable = on_writable,
						 .on_closed = on_sender_closed,
						 .user = s }),
		 0);
}

static void check_reactor(bool twice, bool walks, size_t room, size_t data)
{
	struct served s = { .stream = { .seed = test_seed(), .walks = walks } };
	struct peal_slot slots[2];
	struct peal_reactor loop;

	stream_make(&s.stream, twice, 64);
	s.stream.messages = 50000;
	s.send_seed = s.take_seed = s.stream.seed;
	CHECK_EQ(peal_sender_set_watermark(&s.stream.pair.tx, room), 0);
	CHECK_EQ(peal_receiver_set_watermark(&s.stream.pair.rx, data), 0);
	CHECK_EQ(peal_reactor_init(&loop, slots, 2), 0);
	serve(&loop, &s);
	while (s.closed < 2)
		CHECK(peal_reactor_run_once(&loop, -1) >= 0);
	CHECK_EQ(s.taken, s.stream.messages);
	peal_reactor_close(&loop);
	stream_free(&s.stream);
}

TEST(messages_pass_through_a_reactor)
{
	check_reactor(true, true, 1, 1);
	check_reactor(true, false, 1, 1);
}

TEST(messages_pass_through_a_reactor_in_plain_memory)
{
	check_reactor(false, true, 1, 1);
	check_reactor(false, false, 1, 1);
}

TEST(messages_pass_through_a_reactor_with_watermarks_that_collide)
{
	for (FOR_BOTH(twice)) {
		check_reactor(twice, true, 40, 40);
		check_reactor(twice, false, 64, 64);
	}
}
