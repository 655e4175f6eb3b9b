/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory of random words, which change all the while, does no harm. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mman.h>

#include "fixtures/messages.h"

/* Often one that gets past the checks. */
static uint64_t random_header(uint64_t *seed, uint64_t capacity)
{
	uint32_t word = (uint32_t)(test_random(seed) >> 32);

	switch (test_random(seed) % 8) {
	case 0:
		return test_random(seed);
	case 1:
		return UINT64_MAX;
	case 2:
		return header(PEAL_MESSAGE_WRAP,
			      word % ((uint32_t)capacity + 2));
	case 3:
		return header(word % (uint32_t)(UNIT * capacity + 2), word);
	default:
		return header(word % 24, word);
	}
}

/* Read each byte of it, for those who watch; all of it is ours to read. */
static unsigned sum_up(const struct pair *p, const struct peal_message *m)
{
	const volatile unsigned char *data = m->data;
	unsigned sum = 0;

	check_place(p, m);
	CHECK(PEAL_MESSAGE_UNITS(m->size) <= units(p));
	for (uint32_t i = 0; i < m->size; i++)
		sum += data[i];
	return sum;
}

/* A few calls of a receiver. @return false once it is broken */
static bool poke(struct pair *p, uint64_t *seed)
{
	uint64_t before = p->rx_page->position;
	struct peal_message m[4];
	int ret, n = 0;

	ret = test_random(seed) % 2 ? peal_message_peek(&p->rx, &m[0])
				    : peal_message_receive(&p->rx, 0, &m[0]);
	while (ret > 0) {
		sum_up(p, &m[n++]);
		if (n == 4)
			break;
		m[n] = m[n - 1];
		ret = peal_message_next(&p->rx, &m[n]);
	}
	CHECK(ret == 1 || ret == 0 || ret == -ETIMEDOUT || ret == -EPROTO);
	if (n > 0 && test_random(seed) % 4) {
		ret = peal_message_release(&p->rx,
					   &m[test_random(seed) % (uint64_t)n]);
		CHECK(ret == 0 || ret == -EPROTO);
	}
	CHECK(p->rx_page->position - before <= units(p));
	return ret != -EPROTO;
}

/* Begin anew, somewhere; another process may write all the while. */
static void revive(struct pair *p, uint64_t *seed)
{
	uint64_t start = test_random(seed) % 3 ? test_random(seed) % 128 - 64
					       : test_random(seed);
	int ret;

	store(&p->rx_page->state, 0);
	store(&p->rx_page->position, start);
	store(&p->tx_page->state, 0);
	do {
		store(&p->tx_page->position,
		      start + test_random(seed) % (units(p) + 1));
		ret = peal_receiver_attach(&p->rx, &p->ring, &p->data,
					   &p->space);
		CHECK(ret == 0 || ret == -EPROTO);
	} while (ret < 0);
}

TEST(random_words_do_a_receiver_no_harm)
{
	uint64_t seed = test_seed();

	for (FOR_BOTH(twice)) {
		struct pair p;

		pair_make_units(&p, twice, 16);
		for (int i = 0; i < 5000; i++) {
			for (uint64_t at = 0; at < units(&p); at++)
				store(word_at(&p, at),
				      random_header(&seed, units(&p)));
			revive(&p, &seed);
			for (int j = 0; j < 20 && poke(&p, &seed); j++) {
				uint64_t room = units(&p) -
						(p.tx_page->position -
						 p.rx_page->position);

				store(&p.tx_page->position,
				      p.tx_page->position +
					      test_random(&seed) % (room + 1));
			}
		}
		pair_free(&p);
	}
}

/* -- a process that writes all the while */

struct scribbler {
	struct pair *pair;
	bool *stop; /* shared */
	uint64_t seed;
};

static void scribble(void *arg)
{
	struct scribbler *s = arg;
	struct pair *p = s->pair;
	uint64_t seed = ~s->seed;

	for (int i = 0; !__atomic_load_n(s->stop, __ATOMIC_RELAXED); i++) {
		uint64_t head = __atomic_load_n(&p->rx_page->position,
						__ATOMIC_RELAXED);

		store(word_at(p, head + test_random(&seed) % 8),
		      random_header(&seed, units(p)));
		if (i % 4 == 0)
			store(&p->tx_page->position,
			      head + test_random(&seed) % units(p));
		if (i % 64 == 0)
			sched_yield(); /* where there is but one processor */
	}
}

static void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

TEST(process_that_scribbles_all_the_time_does_a_receiver_no_harm)
{
	uint64_t seed = test_seed();
	bool *stop = shared_memory(sizeof(*stop));

	for (FOR_BOTH(twice)) {
		struct peal_geometry g = { .capacity = 32, .item_size = UNIT };
		struct scribbler s = { .stop = stop, .seed = seed };
		struct pair p;
		size_t size;
		pid_t pid;

		CHECK_EQ(peal_geometry_fit(&g, 0), 0);
		size = g.items_offset + peal_geometry_body(&g);
		if (twice) {
			pair_make_twice(&p, 32, UNIT);
		} else {
			memset(&p, 0, sizeof(p));
			pair_format(&p, &g, shared_memory(size));
		}
		*stop = false;
		s.pair = &p;
		pid = test_fork(scribble, &s);
		for (int i = 0; i < 20000; i++) {
			revive(&p, &seed);
			for (int j = 0; j < 20 && poke(&p, &seed); j++)
				;
		}
		__atomic_store_n(stop, true, __ATOMIC_RELAXED);
		test_join(pid);
		if (!twice)
			CHECK_EQ(munmap(p.ring.sender_page, size), 0);
		pair_free(&p);
	}
	CHECK_EQ(munmap(stop, sizeof(*stop)), 0);
}
