/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One thread that serves the rings of eight others. The reactor waits on all
 * doorbells, calls back when a ring has become readable, clears and arms the
 * bells by itself, and says when a sender has finished.
 *
 *	cc 02_reactor.c $(pkg-config --cflags --libs peal) -pthread
 */
#include <err.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <peal/peal.h>

#define SENSORS 8u
#define READINGS 10000u

struct sensor {
	unsigned id;
	unsigned seen; /* by the reactor's thread alone */
	struct peal_local ring;
	struct peal_source source;
	struct station *station;
	pthread_t thread;
};

struct station {
	struct peal_reactor loop;
	struct peal_slot slots[SENSORS]; /* as many as sources at once */
	struct sensor sensors[SENSORS];
	unsigned open;
};

struct reading {
	uint32_t sensor, number;
};

static void must(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, strerror(-ret));
}

static void *measure(void *user)
{
	struct sensor *sensor = user;
	struct peal_sender *tx = &sensor->ring.sender;
	struct reading *room;

	for (uint32_t i = 0; i < READINGS; i++) {
		ssize_t n = peal_sender_wait(tx, 1, -1, &room);

		must((int)n, "sender");
		*room = (struct reading){ sensor->id, i };
		peal_sender_commit(tx, 1);
	}
	peal_sender_finish(tx);
	return NULL;
}

static long on_readable(struct peal_receiver *rx, void *user)
{
	struct sensor *sensor = user;
	const struct reading *readings;
	/* All there is, in one span. */
	ssize_t n = peal_receiver_peek(rx, &readings);

	for (ssize_t i = 0; i < n; i++, sensor->seen++)
		if (readings[i].sensor != sensor->id ||
		    readings[i].number != sensor->seen)
			errx(1, "sensor %u sent nonsense", sensor->id);
	if (n > 0)
		peal_receiver_release(rx, (size_t)n);
	return PEAL_DONE; /* armed, and looked at once more, for you */
}

/* Comes once for each ring, after everything that was sent. */
static void on_closed(struct peal_receiver *rx, int reason, void *user)
{
	struct sensor *sensor = user;
	struct station *station = sensor->station;

	(void)rx;
	must(reason, "receiver");
	if (--station->open == 0)
		peal_reactor_stop(&station->loop);
}

static void start(struct station *station, unsigned id)
{
	struct sensor *sensor = &station->sensors[id];
	struct peal_geometry geometry = { .capacity = 512,
					  .item_size = sizeof(struct reading) };

	sensor->id = id;
	sensor->station = station;
	must(peal_local_init(&sensor->ring, &geometry), "no ring");
	must(peal_reactor_add_receiver(&station->loop, &sensor->source,
				       &sensor->ring.receiver,
				       &(struct peal_receiver_callbacks){
					       .on_readable = on_readable,
					       .on_closed = on_closed,
					       .user = sensor }),
	     "not added");
	must(-pthread_create(&sensor->thread, NULL, measure, sensor),
	     "no thread");
	station->open++;
}

int main(void)
{
	struct station station = { 0 };
	unsigned seen = 0;

	must(peal_reactor_init(&station.loop, station.slots, SENSORS),
	     "no reactor");
	for (unsigned id = 0; id < SENSORS; id++)
		start(&station, id);
	must(peal_reactor_run(&station.loop), "reactor");
	peal_reactor_close(&station.loop);

	for (unsigned id = 0; id < SENSORS; id++) {
		pthread_join(station.sensors[id].thread, NULL);
		peal_local_close(&station.sensors[id].ring);
		seen += station.sensors[id].seen;
	}
	printf("%u sensors, %u readings\n", SENSORS, seen);
	return seen == 80000 ? 0 : 1;
}
