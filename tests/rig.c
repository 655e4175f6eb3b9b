/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <poll.h>
#include <string.h>

#include "harness.h"
#include "rig.h"

void rig_init(struct rig *rig, size_t capacity)
{
	memset(rig, 0, sizeof(*rig));
	CHECK_EQ(peal_doorbell_init(&rig->data, PEAL_DOORBELL_EVENTFD), 0);
	CHECK_EQ(peal_doorbell_init(&rig->space, PEAL_DOORBELL_EVENTFD), 0);
	rig_attach(rig, capacity);
}

void rig_attach(struct rig *rig, size_t capacity)
{
	struct peal_geometry g = { .capacity = capacity,
				   .item_size = sizeof(int) };

	CHECK_EQ(peal_geometry_fit(&g, 0), 0);
	CHECK_EQ(peal_ring_format(&rig->ring, &g, rig->memory,
				  sizeof(rig->memory)),
		 0);
	CHECK_EQ(peal_sender_attach(&rig->tx, &rig->ring, &rig->data,
				    &rig->space),
		 0);
	CHECK_EQ(peal_receiver_attach(&rig->rx, &rig->ring, &rig->data,
				      &rig->space),
		 0);
}

void rig_finish(struct rig *rig)
{
	peal_sender_finish(&rig->tx);
	peal_receiver_finish(&rig->rx);
	peal_doorbell_finish(&rig->data);
	peal_doorbell_finish(&rig->space);
}

void rig_send(struct rig *rig, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int item = rig->next_in++;

		CHECK_EQ(peal_sender_put(&rig->tx, &item, 1), 1);
	}
}

void rig_take(struct rig *rig, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int item = -1;

		CHECK_EQ(peal_receiver_get(&rig->rx, &item, 1), 1);
		CHECK_EQ(item, rig->next_out++);
	}
}

size_t rig_drain(struct rig *rig)
{
	const int *items;
	size_t total = 0;
	ssize_t n;

	while ((n = peal_receiver_peek(&rig->rx, &items)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			CHECK_EQ(items[i], rig->next_out++);
		CHECK_EQ(peal_receiver_release(&rig->rx, (size_t)n), 0);
		total += (size_t)n;
	}
	CHECK(n == 0 || n == -EPROTO);
	return total;
}

static void rx_closed(struct peal_receiver *rx, int reason, void *user)
{
	struct rig *rig = user;

	CHECK(rx == &rig->rx);
	rig->closed++;
	rig->reason = reason;
}

static void tx_closed(struct peal_sender *tx, int reason, void *user)
{
	struct rig *rig = user;

	CHECK(tx == &rig->tx);
	rig->closed++;
	rig->reason = reason;
}

void rig_serve(struct peal_reactor *loop, struct rig *rig,
	       long (*on_readable)(struct peal_receiver *rx, void *rig))
{
	CHECK_EQ(peal_reactor_add_receiver(loop, &rig->source, &rig->rx,
					   &(struct peal_receiver_callbacks){
						   .on_readable = on_readable,
						   .on_closed = rx_closed,
						   .user = rig }),
		 0);
}

void rig_feed(struct peal_reactor *loop, struct rig *rig,
	      long (*on_writable)(struct peal_sender *tx, void *rig))
{
	CHECK_EQ(peal_reactor_add_sender(loop, &rig->source, &rig->tx,
					 &(struct peal_sender_callbacks){
						 .on_writable = on_writable,
						 .on_closed = tx_closed,
						 .user = rig }),
		 0);
}

int rig_settle(struct peal_reactor *loop)
{
	int total = 0;

	/* A wake-up from outside the dispatch may stand before the work. */
	while (rig_readable(peal_reactor_fd(loop))) {
		int ret = peal_reactor_run_once(loop, 0);

		CHECK(ret >= 0);
		total += ret;
	}
	return total;
}

bool rig_readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}
