/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program that tests/tsan.sh builds with ThreadSanitizer, for a library that
 * was built without it: threads that do what they may, and some that do not.
 * One argument names what.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peal/peal.h>

#define ITEMS 3000
#define MUST(condition)                                                        \
	do {                                                                   \
		if (!(condition)) {                                            \
			fprintf(stderr, "%d: %s\n", __LINE__, #condition);     \
			exit(1);                                               \
		}                                                              \
	} while (0)

struct item {
	long number, words[7];
};
PEAL_TYPED(item, struct item, "item/1");

static struct peal_local ring;

static void make(size_t capacity)
{
	struct peal_geometry geometry = { .capacity = capacity,
					  .item_size = sizeof(struct item) };

	MUST(peal_local_init(&ring, &geometry) == 0);
}

static void fill(struct item *item, long number)
{
	item->number = number;
	for (int i = 0; i < 7; i++)
		item->words[i] = number + i;
}

static void check(const struct item *item, long number)
{
	MUST(item->number == number);
	for (int i = 0; i < 7; i++)
		MUST(item->words[i] == number + i);
}

static void in_a_thread(void *(*run)(void *), void (*here)(void))
{
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, run, NULL) == 0);
	here();
	MUST(pthread_join(thread, NULL) == 0);
}

/* -- items, in place: both sides wait, or poll */

static void *send_and_wait(void *arg)
{
	struct item *room;

	(void)arg;
	for (long i = 0; i < ITEMS; i++) {
		MUST(peal_sender_wait(&ring.sender, 1, -1, &room) > 0);
		fill(room, i);
		MUST(peal_sender_commit(&ring.sender, 1) == 0);
	}
	MUST(peal_sender_drain(&ring.sender, -1) == 0);
	peal_sender_finish(&ring.sender);
	return NULL;
}

static void receive_and_wait(void)
{
	const struct item *items;
	long next = 0;
	ssize_t n;

	while ((n = peal_receiver_wait(&ring.receiver, 1, -1, &items)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			check(&items[i], next++);
		MUST(peal_receiver_release(&ring.receiver, (size_t)n) == 0);
	}
	MUST(n == 0 && next == ITEMS);
}

static void waits(void)
{
	make(16);
	in_a_thread(send_and_wait, receive_and_wait);
	peal_local_finish(&ring);
}

static void *send_and_poll(void *arg)
{
	struct item *room;

	(void)arg;
	for (long i = 0; i < ITEMS;) {
		if (item_try_reserve(&ring.sender, &room) <= 0) {
			sched_yield();
			continue;
		}
		fill(room, i++);
		MUST(item_commit(&ring.sender, 1) == 0);
	}
	peal_sender_finish(&ring.sender);
	return NULL;
}

static void receive_and_poll(void)
{
	const struct item *items;
	long next = 0;

	while (!peal_receiver_ended(&ring.receiver)) {
		if (item_peek(&ring.receiver, &items) <= 0) {
			sched_yield();
			continue;
		}
		check(items, next++);
		MUST(item_release(&ring.receiver, 1) == 0);
	}
	MUST(next == ITEMS);
}

static void polls(void)
{
	make(16);
	in_a_thread(send_and_poll, receive_and_poll);
	peal_local_finish(&ring);
}

/* -- items that are copied, or filled in one by one */

static bool fill_next(void *item, void *user)
{
	long *number = user;

	if (*number == ITEMS)
		return false;
	fill(item, (*number)++);
	return true;
}

static void *put_and_fill(void *arg)
{
	struct item items[5], *room;

	(void)arg;
	for (long i = 0; i < ITEMS;) {
		size_t n = ITEMS - i < 5 ? (size_t)(ITEMS - i) : 5;
		ssize_t done;

		for (size_t k = 0; k < n; k++)
			fill(&items[k], i + (long)k);
		done = peal_sender_put(&ring.sender, items, n);
		MUST(done >= 0);
		i += done;
		MUST(peal_sender_each(&ring.sender, 3, fill_next, &i) >= 0);
		MUST(peal_sender_wait(&ring.sender, 1, -1, &room) > 0);
	}
	peal_sender_finish(&ring.sender);
	return NULL;
}

static bool take_next(const void *item, void *user)
{
	long *number = user;

	check(item, (*number)++);
	return true;
}

static void get_and_take(void)
{
	struct item items[4];
	const struct item *some;
	long next = 0;

	while (peal_receiver_wait(&ring.receiver, 1, -1, &some) > 0) {
		ssize_t n = peal_receiver_get(&ring.receiver, items, 4);

		for (ssize_t i = 0; i < n; i++)
			check(&items[i], next++);
		peal_receiver_each(&ring.receiver, 2, take_next, &next);
	}
	MUST(next == ITEMS);
}

static void copies(void)
{
	make(16);
	in_a_thread(put_and_fill, get_and_take);
	peal_local_finish(&ring);
}

/* -- messages */

static void *send_messages(void *arg)
{
	char text[100];
	char *room;

	(void)arg;
	for (uint32_t i = 0; i < ITEMS; i++) {
		size_t size = i % sizeof(text);

		memset(text, (int)i, sizeof(text));
		if (i % 2) {
			MUST(peal_message_send(&ring.sender, i, text, size,
					       -1) == 0);
			continue;
		}
		MUST(peal_message_wait(&ring.sender, size, -1, &room) == 1);
		memset(room, (int)i, size);
		MUST(peal_message_commit(&ring.sender, i, size) == 0);
	}
	peal_sender_finish(&ring.sender);
	return NULL;
}

static void receive_messages(void)
{
	struct peal_message m;
	uint32_t next = 0;

	while (peal_message_receive(&ring.receiver, -1, &m) > 0) {
		MUST(m.kind == next++);
		for (uint32_t i = 0; i < m.size; i++)
			MUST(((const char *)m.data)[i] == (char)m.kind);
		MUST(peal_message_release(&ring.receiver, &m) == 0);
	}
	MUST(next == ITEMS);
}

static void messages(void)
{
	struct peal_geometry geometry = { .name = "messages" };

	MUST(peal_message_geometry(&geometry, 4096, NULL) == 0);
	MUST(peal_local_init(&ring, &geometry) == 0);
	in_a_thread(send_messages, receive_messages);
	peal_local_finish(&ring);
}

/* -- a reactor: rings that it receives and sends, a group, posts and calls */

#define POSTS 300

static struct peal_reactor loop;
static struct peal_slot slots[8];
static struct peal_local back;
static struct peal_source sources[6];
static long received, sent, posted, called, to_be_seen;
static int open_rings;

static void maybe_stop(void)
{
	if (open_rings == 0 && posted == POSTS && called > 0)
		peal_reactor_stop(&loop);
}

static long on_readable(struct peal_receiver *rx, void *user)
{
	const struct item *items;
	ssize_t n;

	(void)user;
	/* In memory that is mapped once there may be two spans. */
	while ((n = peal_receiver_peek(rx, &items)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			check(&items[i], received++);
		MUST(peal_receiver_release(rx, (size_t)n) == 0);
	}
	return PEAL_DONE;
}

static long on_writable(struct peal_sender *tx, void *user)
{
	struct item item;

	(void)user;
	while (sent < ITEMS) {
		fill(&item, sent);
		if (peal_sender_put(tx, &item, 1) == 0)
			return PEAL_DONE;
		sent++;
	}
	peal_sender_finish(tx);
	return PEAL_DONE;
}

static void rx_closed(struct peal_receiver *rx, int reason, void *user)
{
	(void)rx, (void)user;
	MUST(reason == 0);
	open_rings--;
	maybe_stop();
}

static void tx_closed(struct peal_sender *tx, int reason, void *user)
{
	(void)tx, (void)user;
	MUST(reason == 0);
	open_rings--;
	maybe_stop();
}

static void on_post(struct peal_source *source, void *message, void *user)
{
	long *number = message;

	(void)source, (void)user;
	MUST(*number == posted);
	posted++;
	free(number);
	maybe_stop();
}

static void on_call(struct peal_source *source, void *user)
{
	(void)source, (void)user;
	called = to_be_seen;
	maybe_stop();
}

static void *post_all(void *arg)
{
	(void)arg;
	for (long i = 0; i < POSTS; i++) {
		long *number = malloc(sizeof(*number));

		MUST(number);
		*number = i;
		while (peal_reactor_post(&loop, &sources[2], number) == -EAGAIN)
			sched_yield();
	}
	to_be_seen = 1;
	peal_reactor_defer(&loop, &sources[3]);
	return NULL;
}

static void *receive_back(void *arg)
{
	const struct item *items;
	long next = 0;
	ssize_t n;

	(void)arg;
	while ((n = peal_receiver_wait(&back.receiver, 1, -1, &items)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			check(&items[i], next++);
		MUST(peal_receiver_release(&back.receiver, (size_t)n) == 0);
	}
	MUST(next == ITEMS);
	return NULL;
}

static void begin_loop(void)
{
	static struct peal_post cells[16];

	MUST(peal_reactor_init(&loop, slots, 8) == 0);
	MUST(peal_reactor_add_queue(&loop, &sources[2], cells, 16, on_post,
				    NULL) == 0);
	MUST(peal_reactor_add_deferred(&loop, &sources[3], on_call, NULL) == 0);
}

static void serve(void)
{
	struct peal_receiver_callbacks callbacks = {
		.on_readable = on_readable,
		.on_closed = rx_closed,
	};

	MUST(peal_reactor_add_receiver(&loop, &sources[0], &ring.receiver,
				       &callbacks) == 0);
	open_rings++;
}

static void run_loop(void *(*sender)(void *), void *(*receiver)(void *))
{
	pthread_t threads[3];

	MUST(pthread_create(&threads[0], NULL, sender, NULL) == 0);
	MUST(pthread_create(&threads[1], NULL, post_all, NULL) == 0);
	if (receiver)
		MUST(pthread_create(&threads[2], NULL, receiver, NULL) == 0);
	MUST(peal_reactor_run(&loop) == 0);
	MUST(received == ITEMS);
	for (int i = 0; i < (receiver ? 3 : 2); i++)
		MUST(pthread_join(threads[i], NULL) == 0);
	peal_reactor_finish(&loop);
}

static void reactor(void)
{
	struct peal_geometry geometry = { .capacity = 16,
					  .item_size = sizeof(struct item) };
	struct peal_sender_callbacks callbacks = {
		.on_writable = on_writable,
		.on_closed = tx_closed,
	};

	make(16);
	MUST(peal_local_init(&back, &geometry) == 0);
	begin_loop();
	serve();
	MUST(peal_reactor_add_sender(&loop, &sources[1], &back.sender,
				     &callbacks) == 0);
	open_rings++;
	run_loop(send_and_wait, receive_back);
	peal_local_finish(&ring);
	peal_local_finish(&back);
}

static void group(void)
{
	static unsigned char memory[PEAL_RING_SIZE(16, sizeof(struct item))]
		__attribute__((aligned(64)));
	static struct peal_group_marks marks;
	static void *waiters[4];
	struct peal_geometry geometry = { .capacity = 16,
					  .item_size = sizeof(struct item) };
	struct peal_doorbell data, space;
	struct peal_group bells;

	MUST(peal_geometry_fit(&geometry, 0) == 0);
	MUST(peal_ring_format(&ring.ring, &geometry, memory, sizeof(memory)) ==
	     0);
	MUST(peal_group_init(&bells, &marks, waiters, 4) == 0);
	MUST(peal_group_bell(&bells, &data) == 0);
	MUST(peal_doorbell_init(&space, PEAL_DOORBELL_EVENTFD) == 0);
	MUST(peal_sender_attach(&ring.sender, &ring.ring, &data, &space) == 0);
	MUST(peal_receiver_attach(&ring.receiver, &ring.ring, &data, &space) ==
	     0);
	begin_loop();
	MUST(peal_reactor_add_group(&loop, &sources[4], &bells) == 0);
	serve();
	run_loop(send_and_wait, NULL);
	peal_receiver_finish(&ring.receiver);
	peal_doorbell_finish(&data);
	peal_doorbell_finish(&space);
	peal_group_finish(&bells);
}

/* What a thread did before it stops a loop is seen after the loop. */
static void *stop_it(void *arg)
{
	(void)arg;
	to_be_seen = 2;
	peal_reactor_stop(&loop);
	return NULL;
}

static void run_until_stopped(void)
{
	MUST(peal_reactor_run(&loop) == 0);
	MUST(to_be_seen == 2);
}

static void stop(void)
{
	MUST(peal_reactor_init(&loop, slots, 8) == 0);
	in_a_thread(stop_it, run_until_stopped);
	peal_reactor_finish(&loop);
}

/* -- an end of two threads: what must be found */

static void *commit_some(void *arg)
{
	struct item *room;

	(void)arg;
	for (int i = 0; i < 50; i++) {
		if (peal_sender_try_reserve(&ring.sender, &room) <= 0)
			break;
		peal_sender_commit(&ring.sender, 1);
	}
	return NULL;
}

static void *put_some(void *arg)
{
	struct item item = { .number = 1 };

	(void)arg;
	for (int i = 0; i < 50; i++)
		peal_sender_put(&ring.sender, &item, 1);
	return NULL;
}

static void *get_some(void *arg)
{
	struct item item;

	(void)arg;
	for (int i = 0; i < 50; i++)
		peal_receiver_get(&ring.receiver, &item, 1);
	return NULL;
}

static void twice(void *(*run)(void *))
{
	pthread_t threads[2];

	make(256);
	for (int i = 0; i < 2; i++)
		MUST(pthread_create(&threads[i], NULL, run, NULL) == 0);
	for (int i = 0; i < 2; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
	peal_local_finish(&ring);
}

static void two_commit(void)
{
	twice(commit_some);
}

static void two_put(void)
{
	twice(put_some);
}

static void two_get(void)
{
	twice(get_some);
}

/* An item that is still written to when it is the receiver's. */
static void *commit_too_early(void *arg)
{
	struct item *room;

	(void)arg;
	for (long i = 0; i < ITEMS; i++) {
		MUST(peal_sender_wait(&ring.sender, 1, -1, &room) > 0);
		MUST(peal_sender_commit(&ring.sender, 1) == 0);
		fill(room, i);
	}
	peal_sender_finish(&ring.sender);
	return NULL;
}

static void look_at_all(void)
{
	const struct item *items;
	volatile long sum = 0;

	while (peal_receiver_wait(&ring.receiver, 1, -1, &items) > 0) {
		sum = sum + items[0].number;
		peal_receiver_release(&ring.receiver, 1);
	}
}

static void early(void)
{
	make(16);
	in_a_thread(commit_too_early, look_at_all);
	peal_local_finish(&ring);
}

static const struct {
	const char *name;
	void (*run)(void);
} all[] = {
	{ "waits", waits },	{ "polls", polls },
	{ "copies", copies },	{ "messages", messages },
	{ "reactor", reactor }, { "group", group },
	{ "stop", stop },	{ "two_commit", two_commit },
	{ "two_put", two_put }, { "two_get", two_get },
	{ "early", early },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (argc == 2 && strcmp(argv[1], all[i].name) == 0) {
			all[i].run();
			return 0;
		}
	return 2;
}
