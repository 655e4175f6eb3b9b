/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages of any size, alone and in batches, over a ring whose end is filled
 * up. The kind of each is its number; its payload is made of that.
 */
#include <errno.h>
#include <stdlib.h>

#include <peal/message.h>

#include "kernel.h"
#include "scenario.h"

#define MOST 8 /* messages */

static struct {
	struct peal_ring ring;
	struct peal_doorbell data, space;
	uint64_t capacity;
	struct peal_sender tx;
	struct peal_receiver rx;
	size_t words[MOST]; /* payload of each, in units of 8 bytes */
	uint32_t total, sent, got, kept;
	bool blocks[2], walks, copies;
	bool finished;
} ms;

static uint64_t payload(uint32_t message, size_t word)
{
	return (uint64_t)message << 8 | word;
}

/* -- the sender */

static void check_sent(int ret, const char *what)
{
	if (ret < 0)
		world_fail("%s says %d", what, ret);
}

/* @return whether there is room now */
static bool find_room(size_t bytes, uint64_t **room)
{
	int ret;

	if (ms.blocks[0])
		ret = peal_message_wait(&ms.tx, bytes, -1, room);
	else
		ret = peal_message_reserve(&ms.tx, bytes, room);
	if (ret == -ENOBUFS) {
		check_sent(peal_message_publish(&ms.tx), "publish");
		return false;
	}
	check_sent(ret, "reserve");
	if (ret > 0)
		return true;
	/* What is staged the receiver does not see while this end sleeps. */
	check_sent(peal_message_publish(&ms.tx), "publish");
	bell_sleep(peal_sender_fd(&ms.tx), -1);
	peal_sender_clear(&ms.tx);
	return false;
}

static void send_copy(size_t words)
{
	uint64_t text[16];

	for (size_t i = 0; i < words; i++)
		text[i] = payload(ms.sent, i);
	check_sent(peal_message_send(&ms.tx, ms.sent, text, 8 * words, -1),
		   "send");
}

static void send_in_place(size_t words)
{
	uint64_t *room;

	if (ms.blocks[0] && ms.tx.end.message.staged > 0 && one_in(2))
		check_sent(peal_message_publish(&ms.tx), "publish");
	while (!find_room(8 * words, &room))
		;
	for (size_t i = 0; i < words; i++)
		memory_put(&room[i], payload(ms.sent, i));
	if (one_in(2))
		check_sent(peal_message_stage(&ms.tx, ms.sent, 8 * words),
			   "stage");
	else
		check_sent(peal_message_commit(&ms.tx, ms.sent, 8 * words),
			   "commit");
}

static void sender(void *user)
{
	(void)user;
	for (; ms.sent < ms.total; ms.sent++) {
		size_t words = ms.words[ms.sent];

		if (ms.copies && ms.tx.end.message.staged == 0 && one_in(2))
			send_copy(words);
		else
			send_in_place(words);
		/* A wait does not publish what is staged. */
		if (ms.blocks[0] && ms.tx.end.message.staged > 0)
			check_sent(peal_message_publish(&ms.tx), "publish");
	}
	check_sent(peal_message_publish(&ms.tx), "publish");
	ms.finished = true;
	peal_sender_finish(&ms.tx);
}

/* -- the receiver */

static void judge(const struct peal_message *m)
{
	const uint64_t *words = m->data;

	if (m->kind != ms.got || ms.got == ms.total ||
	    m->size != 8 * ms.words[ms.got])
		world_fail("message %u has kind %u and %u bytes", ms.got,
			   m->kind, m->size);
	for (size_t i = 0; i < m->size / 8; i++)
		if (memory_get(&words[i]) != payload(ms.got, i))
			world_fail("message %u has another text", ms.got);
	ms.got++;
}

/* @return 1, 0 it is over, -EAGAIN */
static int find_message(struct peal_message *m)
{
	int ret;

	if (ms.blocks[1])
		return peal_message_receive(&ms.rx, -1, m);
	ret = peal_message_peek(&ms.rx, m);
	if (ret != 0)
		return ret;
	if (peal_receiver_ended(&ms.rx))
		return 0;
	if (peal_receiver_arm(&ms.rx)) {
		bell_sleep(peal_receiver_fd(&ms.rx), -1);
		peal_receiver_clear(&ms.rx);
	}
	return -EAGAIN;
}

static void receiver(void *user)
{
	struct peal_message m, next;
	int ret;

	(void)user;
	while ((ret = find_message(&m)) != 0) {
		if (ret == -EAGAIN)
			continue;
		if (ret < 0)
			world_fail("receive says %d", ret);
		judge(&m);
		next = m;
		while (ms.walks && one_in(2) &&
		       peal_message_next(&ms.rx, &next) > 0) {
			judge(&next);
			m = next;
		}
		if (peal_message_release(&ms.rx, &m) < 0)
			world_fail("a release fails");
	}
	if (!ms.finished || ms.got != ms.total)
		world_fail("%u messages of %u came", ms.got, ms.total);
	peal_receiver_finish(&ms.rx);
}

void messages_begin(void)
{
	memset(&ms, 0, sizeof(ms));
	ms.capacity = (uint64_t)2 << world_random(3);
	ms.total = (uint32_t)draw(1, MOST);
	for (uint32_t i = 0; i < ms.total; i++)
		ms.words[i] = (size_t)draw(0, ms.capacity - 1);
	ms.blocks[0] = one_in(2);
	ms.blocks[1] = one_in(2);
	ms.walks = one_in(2);
	ms.copies = one_in(2);
	kernel_interrupt(one_in(4) ? 8 : 0);
	if (one_in(2))
		kernel_plain_bells(true);
	ms.ring = ring_make(0, ms.capacity);
	bells_make(&ms.data, &ms.space);
	if (peal_sender_attach(&ms.tx, &ms.ring, &ms.data, &ms.space) < 0 ||
	    peal_receiver_attach(&ms.rx, &ms.ring, &ms.data, &ms.space) < 0)
		abort();
	world_thread("sender", sender, NULL);
	world_thread("receiver", receiver, NULL);
}

void messages_end(void)
{
	if (ms.got != ms.total)
		scenario_wrong("%u messages of %u came", ms.got, ms.total);
	if (ms.tx.end.stats.bell_errors || ms.rx.end.stats.bell_errors)
		scenario_wrong("a bell could not be rung");
}
