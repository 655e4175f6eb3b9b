/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Five senders and one receiver, killed at random instants. Each process that
 * sends is a stream of its own; every message says which it is, and which
 * number in it. None that was published may be lost, none torn, and what comes
 * twice is what a receiver had found and not released when it was killed.
 *
 * What is lost by design is not asked for: the messages of a sender that was
 * killed before it had found the next receiver. So the next one is killed when
 * all have joined, and what the dead have sent was taken.
 *
 * PEAL_LONG=1 TEST_TIMEOUT=0 for 1000 kills of each.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fixtures/letters.h"

#define SENDERS 5
#define STREAMS 2048 /* of each sender, one after the other */
#define LARGEST 2000
#define NOBODY 65534

/* What is known of a stream; each word is written by one process at a time. */
struct stream {
	uint64_t tried, sent;	  /* sender: before and after each message */
	uint64_t found, released; /* receiver: likewise */
	uint64_t joined, left;	  /* receiver: its number, 1 and up */
};

struct world {
	struct stream streams[SENDERS][STREAMS];
	int stop, stop_receiver;
	uint64_t receiver; /* which it is, 1 and up */
	uint64_t repeated;
	bool oldest, strangers;
	char path[64];
	/* Of the one who kills. */
	uint64_t seed;
	int current[SENDERS];
	pid_t senders[SENDERS], receiving;
};

static struct world *world;
static int own_sender, own_stream;

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* -- messages: what they say follows from who they are */

struct preamble {
	uint32_t sender, stream;
	uint64_t number;
};

static uint64_t seed_of(const struct preamble *preamble)
{
	return (preamble->number + 1) * 0x9e3779b97f4a7c15 ^
	       ((uint64_t)preamble->sender << 32 | preamble->stream) *
		       0xc2b2ae3d27d4eb4f;
}

static size_t size_of(const struct preamble *preamble)
{
	uint64_t seed = seed_of(preamble);
	size_t most = test_random(&seed) % 4 ? 64 : LARGEST;

	return sizeof(*preamble) + test_random(&seed) % most;
}

static void fill(char *to, const struct preamble *preamble)
{
	size_t size = size_of(preamble);
	uint64_t seed = seed_of(preamble) ^ 1;

	memcpy(to, preamble, sizeof(*preamble));
	for (size_t i = sizeof(*preamble); i < size; i++)
		to[i] = (char)(test_random(&seed) >> 56);
}

static void check_message(const struct peal_letter *letter,
			  struct preamble *preamble)
{
	static char expected[sizeof(*preamble) + LARGEST];
	char name[64];

	CHECK(letter->size >= sizeof(*preamble));
	memcpy(preamble, letter->data, sizeof(*preamble));
	CHECK(preamble->sender < SENDERS && preamble->stream < STREAMS);
	CHECK_EQ(letter->size, size_of(preamble));
	CHECK_EQ(letter->kind, (uint32_t)preamble->number);
	fill(expected, preamble);
	CHECK(memcmp(expected, letter->data, letter->size) == 0);
	snprintf(name, sizeof(name), "%u.%u", preamble->sender,
		 preamble->stream);
	CHECK(strcmp(letter->from->hello.name, name) == 0);
}

/* -- a sender */

static int send_in_place(struct peal_outbox *out,
			 const struct preamble *preamble, int timeout_ms)
{
	char *room;
	int ret = peal_outbox_reserve(out, LARGEST + sizeof(*preamble),
				      timeout_ms, &room);

	if (ret < 0)
		return ret;
	fill(room, preamble);
	return peal_outbox_commit(out, (uint32_t)preamble->number,
				  size_of(preamble));
}

static int send_copy(struct peal_outbox *out, const struct preamble *preamble,
		     int timeout_ms)
{
	static char message[sizeof(*preamble) + LARGEST];

	fill(message, preamble);
	return peal_outbox_send(out, (uint32_t)preamble->number, message,
				size_of(preamble), timeout_ms);
}

static void open_outbox(struct peal_outbox *out)
{
	char name[64];
	int ret;

	snprintf(name, sizeof(name), "%d.%d", own_sender, own_stream);
	do
		ret = peal_outbox_open(out, world->path, name, NULL, 1, LONG);
	while (ret == -ENOENT || ret == -ECONNREFUSED || ret == -EAGAIN ||
	       ret == -EPIPE);
	if (ret < 0)
		test_fail(__FILE__, __LINE__, "connect: %d %s", ret,
			  out->channel.text);
}

static void run_sender(void *arg)
{
	struct stream *s = &world->streams[own_sender][own_stream];
	struct preamble preamble = { (uint32_t)own_sender, (uint32_t)own_stream,
				     0 };
	struct peal_outbox out;

	(void)arg;
	if (world->strangers)
		CHECK_EQ(setresuid(NOBODY, NOBODY, NOBODY), 0);
	open_outbox(&out);
	while (!__atomic_load_n(&world->stop, __ATOMIC_RELAXED)) {
		int timeout = preamble.number % 3 ? -1
						  : (int)(preamble.number % 7);
		int ret;

		store(&s->tried, preamble.number + 1);
		do
			ret = preamble.number % 2
				      ? send_copy(&out, &preamble, timeout)
				      : send_in_place(&out, &preamble, timeout);
		while (ret == -ETIMEDOUT && timeout >= 0);
		CHECK_EQ(ret, 0);
		store(&s->sent, ++preamble.number);
	}
	CHECK_EQ(peal_outbox_close(&out, -1), 0);
}

/* -- the receiver */

static struct stream *stream_of(const struct peal_channel *from)
{
	unsigned sender, stream;

	CHECK_EQ(sscanf(from->hello.name, "%u.%u", &sender, &stream), 2);
	return &world->streams[sender][stream];
}

static void on_joined(const struct peal_channel *from, void *user)
{
	(void)user;
	store(&stream_of(from)->joined, world->receiver);
}

static void on_left(const struct peal_channel *from, int reason, void *user)
{
	(void)user;
	CHECK(reason == 0 || reason == -EPIPE);
	store(&stream_of(from)->left, world->receiver);
}

/* Numbers that this receiver has found, + 1; the next one is due. */
static uint64_t known[SENDERS][STREAMS];

static void account(const struct preamble *preamble, struct stream *s)
{
	uint64_t *next = &known[preamble->sender][preamble->stream];

	if (*next > 0) {
		CHECK_EQ(preamble->number, *next);
	} else {
		CHECK(preamble->number >= s->released);
		CHECK(preamble->number <= s->found);
		world->repeated += s->found - preamble->number;
	}
	*next = preamble->number + 1;
	CHECK(load(&s->tried) > preamble->number);
	store(&s->found, *next);
}

static void take(struct peal_inbox *inbox, const struct peal_letter *letter)
{
	struct preamble preamble;
	struct stream *s;

	check_message(letter, &preamble);
	s = &world->streams[preamble.sender][preamble.stream];
	account(&preamble, s);
	if (preamble.number % 64 == 0)
		usleep(200); /* let some be killed with it */
	CHECK_EQ(peal_inbox_release(inbox, letter), 0);
	store(&s->released, preamble.number + 1);
}

static void run_receiver(void *arg)
{
	static struct box box;
	struct peal_letter letter;
	int ret;

	(void)arg;
	strcpy(box.address, world->path);
	CHECK_EQ(box_open(&box,
			  &(struct peal_inbox_options){
				  .on_joined = on_joined,
				  .on_left = on_left,
				  .oldest = world->oldest }),
		 0);
	for (;;) {
		ret = peal_inbox_receive(&box.inbox, 20, &letter);
		if (ret == 1)
			take(&box.inbox, &letter);
		else
			CHECK_EQ(ret, -ETIMEDOUT);
		if (ret < 0 && box_channels(&box) == 0 &&
		    __atomic_load_n(&world->stop_receiver, __ATOMIC_RELAXED))
			break;
	}
	peal_inbox_close(&box.inbox);
}

/* -- the one who kills */

static void start_receiver(void)
{
	world->receiver++;
	world->receiving = test_fork(run_receiver, NULL);
}

static void start_sender(int i)
{
	own_sender = i;
	own_stream = world->current[i];
	CHECK(own_stream < STREAMS);
	world->senders[i] = test_fork(run_sender, NULL);
}

static void kill_it(pid_t pid)
{
	int status;

	CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGKILL);
}

static void sleep_random_ms(void)
{
	usleep((useconds_t)(test_random(&world->seed) % 3000));
}

static void await_joined(void)
{
	for (int i = 0; i < SENDERS; i++)
		while (load(&world->streams[i][world->current[i]].joined) !=
		       world->receiver)
			usleep(200);
}

/* All that was published was taken, and no more. */
static void check_stream(const struct stream *s)
{
	CHECK(load(&s->released) >= s->sent);
	CHECK(load(&s->released) <= s->tried);
	CHECK_EQ(load(&s->found), load(&s->released));
}

static void kill_sender(void)
{
	int i = (int)(test_random(&world->seed) % SENDERS);
	const struct stream *s = &world->streams[i][world->current[i]];

	kill_it(world->senders[i]);
	if (s->tried > 0)
		while (load(&s->left) == 0)
			usleep(200);
	check_stream(s);
	world->current[i]++;
	start_sender(i);
}

static void kill_receiver(void)
{
	kill_it(world->receiving);
	start_receiver();
	await_joined();
}

static void finish(int kills)
{
	uint64_t messages = 0;

	__atomic_store_n(&world->stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < SENDERS; i++)
		test_join(world->senders[i]);
	__atomic_store_n(&world->stop_receiver, 1, __ATOMIC_RELAXED);
	test_join(world->receiving);
	for (int i = 0; i < SENDERS; i++)
		for (int k = 0; k <= world->current[i]; k++) {
			check_stream(&world->streams[i][k]);
			messages += world->streams[i][k].released;
		}
	test_note("%d kills of each: %llu messages, %llu of them repeated",
		  kills, (unsigned long long)messages,
		  (unsigned long long)world->repeated);
}

static void kill_all(bool oldest, bool strangers, int kills)
{
	char folder[] = "/tmp/peal-test-XXXXXX";
	int senders, receivers;

	if (getenv("PEAL_LONG"))
		kills *= 20;
	senders = receivers = kills;
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(world != MAP_FAILED);
	CHECK(mkdtemp(folder));
	snprintf(world->path, sizeof(world->path), "%s/inbox", folder);
	world->seed = test_seed();
	world->oldest = oldest;
	world->strangers = strangers;
	if (strangers) /* who may not reach the path */
		snprintf(world->path, sizeof(world->path), "@%s", folder);
	start_receiver();
	for (int i = 0; i < SENDERS; i++)
		start_sender(i);
	await_joined();
	while (senders + receivers > 0) {
		uint64_t left = (uint64_t)(senders + receivers);

		sleep_random_ms();
		if (test_random(&world->seed) % left < (uint64_t)senders) {
			kill_sender();
			senders--;
		} else {
			await_joined();
			kill_receiver();
			receivers--;
		}
	}
	await_joined();
	finish(kills);
	rmdir(folder);
}

TEST(whoever_is_killed_no_message_is_lost_or_torn)
{
	kill_all(false, false, 50);
}

TEST(whoever_is_killed_no_message_is_lost_where_the_oldest_comes_first)
{
	kill_all(true, false, 10);
}

/* Their doorbells are their sockets. */
TEST(whoever_is_killed_no_message_of_a_stranger_is_lost)
{
	if (getuid() != 0)
		test_skip("only root can be another user");
	kill_all(false, true, 10);
}
