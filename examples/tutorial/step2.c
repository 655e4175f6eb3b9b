/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Listens at ./mixer to one player. */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <peal/peal.h>

struct ear {
	struct peal_reactor loop;
	long heard;
	float peak;
};

static void must(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, strerror(-ret));
}

/* What lies in the ring is the player's to write. */
static float sample(const float *shared)
{
	float value = *(const volatile float *)shared;

	return value >= -1 && value <= 1 ? value : 0;
}

static long on_readable(struct peal_channel *ch, void *user)
{
	struct ear *ear = user;
	const float *samples;
	ssize_t n = peal_receiver_peek(&ch->receiver, &samples);

	for (ssize_t i = 0; i < n; i++) {
		float value = sample(&samples[i]);

		if (value > ear->peak)
			ear->peak = value;
	}
	if (n > 0) {
		ear->heard += n;
		peal_receiver_release(&ch->receiver, n);
	}
	return PEAL_DONE;
}

static void on_closed(struct peal_channel *ch, int reason, void *user)
{
	struct ear *ear = user;

	printf("%s: %ld samples, the loudest is %.2f, %s\n", ch->hello.name,
	       ear->heard, ear->peak,
	       reason ? strerror(-reason) : "and that was all");
	peal_reactor_stop(&ear->loop);
}

int main(void)
{
	static struct peal_channel channels[1];
	static struct peal_slot slots[PEAL_SERVER_SLOTS(1)];
	struct ear ear = { 0 };
	struct peal_server server;
	struct peal_service service = {
		.accept = { .role = PEAL_SENDER,
			    .item_size = sizeof(float),
			    .tag = "mono f32 48000" },
		.channels = channels,
		.n_channels = 1,
		.callbacks = { .on_readable = on_readable,
			       .on_closed = on_closed,
			       .user = &ear },
	};

	must(peal_reactor_init(&ear.loop, slots, PEAL_SERVER_SLOTS(1)),
	     "no reactor");
	must(peal_server_listen_on(&server, &ear.loop, "./mixer", &service),
	     "./mixer");
	must(peal_reactor_run(&ear.loop), "reactor");
	peal_server_close(&server);
	peal_reactor_close(&ear.loop);
	return 0;
}
