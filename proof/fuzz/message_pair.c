/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>

#include <peal/message.h>

#include "message.h"

#define CALLS_MAX 512
#define SENT_MAX 1024 /* more than fit into any of the rings */

struct sent {
	uint32_t size, kind;
};

struct pair {
	struct input *in;
	struct peal_sender tx;
	struct peal_receiver rx;
	struct sent sent[SENT_MAX];
	unsigned staged, published, received; /* counts, from the first on */
	unsigned char *room;
	size_t reserved;
};

static void write_text(unsigned char *room, uint32_t size, uint32_t kind)
{
	for (uint32_t i = 0; i < size; i++)
		room[i] = (unsigned char)(kind + i);
}

static void check_text(const struct sent *sent, const struct peal_message *m)
{
	const unsigned char *data = m->data;

	CHECK_EQ(m->size, sent->size);
	CHECK_EQ(m->kind, sent->kind);
	for (uint32_t i = 0; i < m->size; i++)
		CHECK_EQ(data[i], (unsigned char)(sent->kind + i));
}

static uint64_t some_size(struct pair *p)
{
	uint64_t most = peal_message_max(&p->tx);

	return input_below(p->in, 4)
		       ? input_below(p->in, most < 32 ? most + 1 : 33)
		       : input_below(p->in, most + 1);
}

static struct sent *next_sent(struct pair *p, uint64_t size)
{
	struct sent *sent = &p->sent[p->staged % SENT_MAX];

	CHECK(p->staged - p->received < SENT_MAX);
	sent->size = (uint32_t)size;
	sent->kind = p->staged * 2654435761u;
	return sent;
}

static void find_room(struct pair *p, bool arm)
{
	uint64_t size = some_size(p);
	struct peal_message m;
	void *room;
	int ret = arm ? peal_message_reserve(&p->tx, size, &room)
		      : peal_message_try_reserve(&p->tx, size, &room);

	CHECK(ret == 0 || ret == 1 || ret == -ENOBUFS);
	/* Into an empty ring anything goes; but the receiver may have to take
	 * the end of the memory first. */
	if (ret != 1 && p->received == p->staged) {
		CHECK_EQ(ret, 0);
		CHECK_EQ(peal_message_peek(&p->rx, &m), 0);
		ret = peal_message_try_reserve(&p->tx, size, &room);
		CHECK_EQ(ret, 1);
	}
	p->room = ret == 1 ? room : NULL;
	p->reserved = size;
}

static void complete(struct pair *p, bool commit)
{
	uint64_t size;
	struct sent *sent;

	if (!p->room)
		return;
	size = input_below(p->in, p->reserved + 1);
	sent = next_sent(p, size);
	write_text(p->room, sent->size, sent->kind);
	p->room = NULL;
	p->staged++;
	if (!commit) {
		CHECK_EQ(peal_message_stage(&p->tx, sent->kind, size), 0);
		return;
	}
	CHECK_EQ(peal_message_commit(&p->tx, sent->kind, size), 0);
	p->published = p->staged;
}

static void send_one(struct pair *p)
{
	static unsigned char text[PEAL_PAGE_SIZE];
	uint64_t size = some_size(p);
	struct sent *sent = next_sent(p, size);
	int ret;

	write_text(text, sent->size, sent->kind);
	ret = peal_message_send(&p->tx, sent->kind, text, size, 0);
	p->room = NULL;
	if (ret == 0)
		p->published = ++p->staged;
	else
		CHECK(ret == -ETIMEDOUT || ret == -ENOBUFS);
}

/* Walk over so many, and release all or some. */
static void receive(struct pair *p, unsigned walk, unsigned keep)
{
	struct peal_message m, last = { 0 };
	unsigned n = 0;
	int ret = peal_message_peek(&p->rx, &m);

	CHECK_EQ(ret, p->received != p->published);
	for (; ret == 1; n++) {
		check_text(&p->sent[(p->received + n) % SENT_MAX], &m);
		if (n == 0 || n + keep < walk)
			last = m;
		if (n + 1 >= walk)
			break;
		ret = peal_message_next(&p->rx, &m);
	}
	if (n == 0 && ret != 1)
		return;
	n = 0;
	CHECK_EQ(peal_message_peek(&p->rx, &m), 1);
	while (m.next != last.next) {
		CHECK_EQ(peal_message_next(&p->rx, &m), 1);
		n++;
	}
	CHECK_EQ(peal_message_release(&p->rx, &last), 0);
	p->received += n + 1;
}

static void call(struct pair *p, uint8_t what)
{
	switch (what % 16) {
	case 0:
	case 1:
		find_room(p, false);
		break;
	case 2:
		find_room(p, true);
		break;
	case 3:
	case 4:
		complete(p, false);
		break;
	case 5:
	case 6:
		complete(p, true);
		break;
	case 7:
		CHECK_EQ(peal_message_publish(&p->tx), 0);
		p->published = p->staged;
		p->room = NULL;
		break;
	case 8:
		peal_message_abandon(&p->tx);
		p->staged = p->published;
		p->room = NULL;
		break;
	case 9:
	case 10:
	case 11:
		send_one(p);
		break;
	case 12:
		CHECK_EQ(peal_receiver_arm(&p->rx),
			 peal_receiver_used(&p->rx) == 0);
		break;
	default:
		receive(p, 1 + what / 16 % 4, what / 64);
	}
}

void message_pair(struct input *in)
{
	static struct pair pair;
	struct pair *p = &pair;
	struct peal_ring ring;
	struct peal_page *pages[2];
	struct peal_message m;
	int calls = 0;

	memset(p, 0, sizeof(*p));
	p->in = in;
	peer_format(&ring, message_shapes, MESSAGE_SHAPES,
		    input_below(in, MESSAGE_SHAPES));
	pages[0] = ring.sender_page;
	pages[1] = ring.receiver_page;
	pages[0]->position = pages[1]->position = peer_position(in);
	CHECK_EQ(peal_sender_attach(&p->tx, &ring, NULL, NULL), 0);
	CHECK_EQ(peal_receiver_attach(&p->rx, &ring, NULL, NULL), 0);
	while (input_left(in) && calls++ < CALLS_MAX)
		call(p, input_byte(in));
	peal_sender_finish(&p->tx);
	while (p->received != p->published)
		receive(p, 1, 0);
	CHECK_EQ(peal_message_receive(&p->rx, 0, &m), 0);
	CHECK(peal_receiver_ended(&p->rx));
}
