/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Mixes up to eight players at ./mixer into mix.wav. */
#include <endian.h>
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <peal/peal.h>

#define RATE 48000
#define PERIOD 480	    /* samples that are mixed at once: 10 ms */
#define PATIENCE 200000000u /* ns */
#define VOICES 8
#define SLOTS (PEAL_SERVER_SLOTS(VOICES) + 1)

static struct peal_reactor loop;
static struct peal_slot slots[SLOTS];
static struct peal_server server;
static struct peal_channel channels[VOICES];
static struct peal_source timer;

static struct voice {
	bool playing, late;
} voices[VOICES];

static bool waiting; /* for those who are not late yet */
static FILE *wav;
static uint32_t mixed; /* samples in it */

static void must(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, strerror(-ret));
}

static void write_header(void)
{
	uint32_t header[] = {
		0x46464952 /* RIFF */,
		36 + 2 * mixed,
		0x45564157 /* WAVE */,
		0x20746d66 /* fmt  */,
		16 /* bytes of it: */,
		0x00010001 /* mono, of integers */,
		RATE,
		2 * RATE /* bytes a second */,
		0x00100002 /* 16 bits */,
		0x61746164 /* data */,
		2 * mixed,
	};

	for (size_t i = 0; i < sizeof(header) / sizeof(*header); i++)
		header[i] = htole32(header[i]);
	rewind(wav);
	fwrite(header, sizeof(header), 1, wav);
}

static float sample(const float *shared)
{
	float value = *(const volatile float *)shared;

	return value >= -1 && value <= 1 ? value : 0;
}

static bool has_a_period(int i)
{
	return peal_receiver_used(&channels[i].receiver) >= PERIOD;
}

static void add(float *sum, int i)
{
	const float *samples;

	if (peal_receiver_peek(&channels[i].receiver, &samples) < PERIOD)
		return;
	for (int k = 0; k < PERIOD; k++)
		sum[k] += sample(&samples[k]);
	peal_receiver_release(&channels[i].receiver, PERIOD);
}

static void mix_a_period(void)
{
	float sum[PERIOD] = { 0 };
	uint16_t out[PERIOD];

	for (int i = 0; i < VOICES; i++)
		if (voices[i].playing && has_a_period(i))
			add(sum, i);
	for (int k = 0; k < PERIOD; k++) {
		float value = sum[k] > 1 ? 1 : sum[k] < -1 ? -1 : sum[k];

		out[k] = htole16((int16_t)(32767 * value));
	}
	fwrite(out, sizeof(out), 1, wav);
	mixed += PERIOD;
}

static void set_late(int i, bool late)
{
	if (voices[i].late != late)
		printf("%s is %s\n", channels[i].hello.name,
		       late ? "late" : "back");
	voices[i].late = late;
}

/* Mixes what there is, and waits for those who are still missing. */
static void mix(void)
{
	int ready, missing;

	for (;;) {
		ready = missing = 0;
		for (int i = 0; i < VOICES; i++) {
			if (!voices[i].playing)
				continue;
			if (has_a_period(i)) {
				set_late(i, false);
				ready++;
			} else if (!voices[i].late) {
				missing++;
			}
		}
		if (ready == 0 || missing > 0)
			break;
		mix_a_period();
		waiting = false;
	}
	if (ready == 0)
		peal_reactor_cancel_timer(&loop, &timer);
	else if (!waiting)
		peal_reactor_set_timer(&loop, &timer, PATIENCE, 0, 0);
	waiting = ready > 0;
}

static void on_timer(struct peal_source *source, uint64_t times, void *user)
{
	(void)source;
	(void)times;
	(void)user;
	for (int i = 0; i < VOICES; i++)
		if (voices[i].playing && !has_a_period(i))
			set_late(i, true);
	mix();
}

static void on_open(struct peal_channel *ch, void *user)
{
	(void)user;
	voices[ch - channels] = (struct voice){ .playing = true };
	peal_receiver_set_watermark(&ch->receiver, PERIOD);
	printf("%s has come\n", ch->hello.name);
}

static long on_readable(struct peal_channel *ch, void *user)
{
	(void)user;
	mix();
	return has_a_period(ch - channels) ? PEAL_DONE : PEAL_WAIT(PERIOD);
}

static void on_closed(struct peal_channel *ch, int reason, void *user)
{
	bool silence = true;

	(void)user;
	voices[ch - channels].playing = false;
	if (reason)
		printf("%s is gone: %s\n", ch->hello.name, strerror(-reason));
	else
		printf("%s has finished\n", ch->hello.name);
	for (int i = 0; i < VOICES; i++)
		silence &= !voices[i].playing;
	if (silence)
		peal_reactor_stop(&loop);
	else
		mix();
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
	wav = fopen("mix.wav", "wb");
	if (!wav)
		err(1, "mix.wav");
	write_header();
	must(peal_reactor_init(&loop, slots, SLOTS), "no reactor");
	must(peal_server_listen_on(&server, &loop, "./mixer", &service),
	     "./mixer");
	must(peal_reactor_add_timer(&loop, &timer, on_timer, NULL), "no timer");
	must(peal_reactor_run(&loop), "reactor");
	peal_server_close(&server);
	peal_reactor_close(&loop);

	write_header();
	if (fclose(wav) != 0)
		err(1, "mix.wav");
	printf("%.1f seconds in mix.wav\n", (double)mixed / RATE);
	return 0;
}
