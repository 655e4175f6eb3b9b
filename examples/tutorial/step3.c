/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Shows how loud each of up to eight players at ./mixer is. */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <peal/peal.h>

#define VOICES 8
#define SLOTS (PEAL_SERVER_SLOTS(VOICES) + 1)
#define HALF_A_SECOND 500000000u /* ns */

static struct peal_reactor loop;
static struct peal_slot slots[SLOTS];
static struct peal_server server;
static struct peal_channel channels[VOICES];
static struct peal_source timer;

static struct voice {
	bool playing;
	float peak;
} voices[VOICES];

static void must(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, strerror(-ret));
}

static struct voice *voice_of(const struct peal_channel *ch)
{
	return &voices[ch - channels];
}

static float sample(const float *shared)
{
	float value = *(const volatile float *)shared;

	return value >= -1 && value <= 1 ? value : 0;
}

static void on_open(struct peal_channel *ch, void *user)
{
	(void)user;
	*voice_of(ch) = (struct voice){ .playing = true };
	printf("%s has come\n", ch->hello.name);
}

static long on_readable(struct peal_channel *ch, void *user)
{
	struct voice *voice = voice_of(ch);
	const float *samples;
	ssize_t n = peal_receiver_peek(&ch->receiver, &samples);

	(void)user;
	for (ssize_t i = 0; i < n; i++) {
		float value = sample(&samples[i]);

		if (value > voice->peak)
			voice->peak = value;
	}
	if (n > 0)
		peal_receiver_release(&ch->receiver, n);
	return PEAL_DONE;
}

static void on_closed(struct peal_channel *ch, int reason, void *user)
{
	bool silence = true;

	(void)user;
	voice_of(ch)->playing = false;
	if (reason)
		printf("%s is gone: %s\n", ch->hello.name, strerror(-reason));
	else
		printf("%s has finished\n", ch->hello.name);
	for (int i = 0; i < VOICES; i++)
		silence &= !voices[i].playing;
	if (silence)
		peal_reactor_stop(&loop);
}

static void on_timer(struct peal_source *source, uint64_t times, void *user)
{
	(void)source;
	(void)times;
	(void)user;
	for (int i = 0; i < VOICES; i++) {
		struct voice *voice = &voices[i];

		if (!voice->playing)
			continue;
		printf("%s %.*s %.2f\n", channels[i].hello.name,
		       (int)(20 * voice->peak + 0.5f), "####################",
		       voice->peak);
		voice->peak = 0;
	}
}

int main(void)
{
	struct peal_service service = {
		.accept = { .role = PEAL_SENDER,
			    .item_size = sizeof(float),
			    .tag = "mono f32 48000" },
		.channels = channels,
		.n_channels = VOICES,
		.callbacks = { .on_open = on_open,
			       .on_readable = on_readable,
			       .on_closed = on_closed },
	};

	setlinebuf(stdout);
	must(peal_reactor_init(&loop, slots, SLOTS), "no reactor");
	must(peal_server_listen_on(&server, &loop, "./mixer", &service),
	     "./mixer");
	must(peal_reactor_add_timer(&loop, &timer, on_timer, NULL), "no timer");
	must(peal_reactor_set_timer(&loop, &timer, HALF_A_SECOND, HALF_A_SECOND,
				    0),
	     "no timer");
	must(peal_reactor_run(&loop), "reactor");
	peal_server_close(&server);
	peal_reactor_close(&loop);
	return 0;
}
