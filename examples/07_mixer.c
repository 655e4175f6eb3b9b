/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An audio mixer. Each WAV file is streamed by a process of its own, in periods
 * of 10 ms, and one thread mixes them all into another file. A player that ends
 * early, or is killed, is silent from then on.
 *
 *	cc 07_mixer.c wav.c $(pkg-config --cflags --libs peal) -lm
 *
 * Players are on their own, too: 07_mixer -s /tmp/mixer -n 2 in one terminal,
 * 07_mixer -p /tmp/mixer FILE.wav in two others.
 */
#include <err.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <peal/peal.h>

#include "wav.h"

#define PERIOD 480 /* frames: 10 ms */
#define RING (16 * PERIOD)
#define PLAYERS 64
#define TAG "stereo f32 48000"

struct player {
	pid_t pid;
	bool came;
	struct peal_source exit;
	struct mixer *mixer;
};

struct mixer {
	struct peal_reactor loop;
	struct peal_slot slots[PEAL_SERVER_SLOTS(PLAYERS) + PLAYERS + 2];
	struct peal_source signals[2];
	struct peal_server server;
	struct peal_channel channels[PLAYERS];
	struct player players[PLAYERS]; /* those that we started */
	unsigned n_players;
	struct peal_channel *voices[PLAYERS]; /* those that are open */
	unsigned playing;
	unsigned expected, came; /* it begins when all have come */
	struct wav out;
	bool failed;
	const char *error;
};

static void must(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, strerror(-ret));
}

/* -- a player */

/* The last period is filled up with silence. */
static ssize_t play_period(struct peal_sender *tx, struct wav *wav)
{
	struct wav_frame *room;
	ssize_t n = peal_sender_wait(tx, PERIOD, -1, &room);
	size_t read;

	if (n < 0)
		return n;
	read = wav_read(wav, room, PERIOD);
	if (read == 0)
		return 0;
	memset(room + read, 0, (PERIOD - read) * sizeof(*room));
	peal_sender_commit(tx, PERIOD);
	return 1;
}

/*
 * The mixer takes a period when it has one of everybody, so much may be in the
 * ring when we are done. What is there when we finish is not waited for.
 */
static ssize_t drain(struct peal_sender *tx, ssize_t capacity)
{
	struct wav_frame *room;

	return peal_sender_wait(tx, (size_t)capacity, -1, &room);
}

static int play(const char *address, const char *path)
{
	struct peal_hello hello = { .role = PEAL_SENDER,
				    .item_size = sizeof(struct wav_frame),
				    .capacity = RING,
				    .tag = TAG };
	struct peal_channel ch;
	struct wav wav;
	const char *error = wav_open(&wav, path);
	ssize_t ret, capacity;

	if (error)
		errx(1, "%s: %s", path, error);
	snprintf(hello.name, sizeof(hello.name), "player %d", (int)getpid());
	ret = peal_connect(&ch, address, &hello, 3000);
	if (ret < 0)
		errx(1, "%s: %s", address, ch.text);
	capacity = peal_sender_free(&ch.sender);
	do
		ret = play_period(&ch.sender, &wav);
	while (ret > 0);
	if (ret == 0)
		ret = drain(&ch.sender, capacity);
	peal_channel_close(&ch);
	wav_close(&wav);
	if (ret < 0)
		errx(1, "the mixer is gone: %s", strerror((int)-ret));
	return 0;
}

/* -- mixing */

/* As it is up to 0.75; what is louder approaches 1 and never gets there. */
static float limit(float value)
{
	const float knee = 0.75f;
	float size = fabsf(value), over;

	if (size <= knee)
		return value;
	over = (size - knee) / (1 - knee);
	return copysignf(knee + (1 - knee) * over / (1 + over), value);
}

/* Anybody may have written it, while we look at it even: one look. */
static float sample(const float *shared)
{
	float value = *(const volatile float *)shared;

	return value >= -8 && value <= 8 ? value : 0;
}

/* A channel that is broken is not waited for; it will be closed. */
static bool is_late(struct peal_channel *ch)
{
	ssize_t n = peal_receiver_used(&ch->receiver);

	return n >= 0 && n < PERIOD;
}

static void add_period(struct wav_frame *sum, struct peal_channel *ch)
{
	const struct wav_frame *frames;

	if (peal_receiver_peek(&ch->receiver, &frames) < PERIOD)
		return;
	for (int i = 0; i < PERIOD; i++) {
		sum[i].left += sample(&frames[i].left);
		sum[i].right += sample(&frames[i].right);
	}
	peal_receiver_release(&ch->receiver, PERIOD);
}

static bool can_mix(struct mixer *mixer)
{
	if (mixer->came < mixer->expected || mixer->playing == 0)
		return false;
	for (unsigned i = 0; i < mixer->playing; i++)
		if (is_late(mixer->voices[i]))
			return false;
	return true;
}

/* As many periods as everybody has. */
static void mix(struct mixer *mixer)
{
	while (can_mix(mixer) && !mixer->error) {
		struct wav_frame sum[PERIOD] = { 0 };

		for (unsigned i = 0; i < mixer->playing; i++)
			add_period(sum, mixer->voices[i]);
		for (int i = 0; i < PERIOD; i++) {
			sum[i].left = limit(sum[i].left);
			sum[i].right = limit(sum[i].right);
		}
		mixer->error = wav_write(&mixer->out, sum, PERIOD);
	}
	if (mixer->error ||
	    (mixer->playing == 0 && mixer->came >= mixer->expected))
		peal_reactor_stop(&mixer->loop);
}

/* -- players come and go */

static struct player *find_player(struct mixer *mixer, pid_t pid)
{
	for (unsigned i = 0; i < mixer->n_players; i++)
		if (mixer->players[i].pid == pid)
			return &mixer->players[i];
	return NULL;
}

static void on_open(struct peal_channel *ch, void *user)
{
	struct mixer *mixer = user;
	struct player *player = find_player(mixer, ch->peer.pid);

	peal_receiver_set_watermark(&ch->receiver, PERIOD);
	mixer->voices[mixer->playing++] = ch;
	if (!player || !player->came)
		mixer->came++;
	printf("%s has come\n", ch->hello.name);
	if (player)
		player->came = true;
}

static long on_readable(struct peal_channel *ch, void *user)
{
	mix(user);
	return is_late(ch) ? PEAL_WAIT(PERIOD) : PEAL_DONE;
}

static void on_closed(struct peal_channel *ch, int reason, void *user)
{
	struct mixer *mixer = user;
	unsigned i = 0;

	while (mixer->voices[i] != ch)
		i++;
	mixer->voices[i] = mixer->voices[--mixer->playing];
	if (reason)
		warnx("%s is gone: %s", ch->hello.name, strerror(-reason));
	mix(mixer);
}

static void on_exit_of(struct peal_source *source, const struct peal_exit *how,
		       void *user)
{
	struct player *player = user;
	struct mixer *mixer = player->mixer;

	(void)source;
	if (how->code == CLD_EXITED && how->status != 0)
		mixer->failed = true;
	if (player->came)
		return;
	player->came = true;
	mixer->expected--;
	mix(mixer);
}

static void start_player(struct mixer *mixer, const char *address,
			 const char *path)
{
	struct player *player = &mixer->players[mixer->n_players++];

	*player = (struct player){ .mixer = mixer, .pid = fork() };
	if (player->pid < 0)
		err(1, "no process");
	if (player->pid == 0) {
		/* A process of its own, with none of our fds. */
		execl("/proc/self/exe", "07_mixer", "-p", address, path, NULL);
		err(1, "no player");
	}
	must(peal_reactor_add_child(&mixer->loop, &player->exit, player->pid,
				    on_exit_of, player),
	     "no player");
}

static void on_signal(struct peal_source *source,
		      const struct signalfd_siginfo *info, void *user)
{
	(void)source;
	(void)info;
	peal_reactor_stop(user);
}

/* -- the program */

static void start(struct mixer *mixer, const char *address)
{
	struct peal_service service = {
		.accept = { .role = PEAL_SENDER,
			    .item_size = sizeof(struct wav_frame),
			    .capacity = RING,
			    .tag = TAG },
		.channels = mixer->channels,
		.n_channels = PLAYERS,
		.callbacks = { .on_open = on_open,
			       .on_readable = on_readable,
			       .on_closed = on_closed,
			       .user = mixer },
	};

	must(peal_reactor_init(&mixer->loop, mixer->slots,
			       sizeof(mixer->slots) / sizeof(*mixer->slots)),
	     "no reactor");
	must(peal_server_listen_on(&mixer->server, &mixer->loop, address,
				   &service),
	     address);
}

static void run(struct mixer *mixer)
{
	const int signals[2] = { SIGINT, SIGTERM };

	/* After the players are started, who would inherit that they are
	 * blocked. */
	for (int i = 0; i < 2; i++)
		must(peal_reactor_add_signal(&mixer->loop, &mixer->signals[i],
					     signals[i], on_signal,
					     &mixer->loop),
		     "no signal");
	must(peal_reactor_run(&mixer->loop), "reactor");
	peal_server_close(&mixer->server);
	peal_reactor_close(&mixer->loop);
}

static void make_chord(const char *path, const double *tones)
{
	const double pi = 3.14159265358979323846;
	const char *error;
	struct wav wav;

	error = wav_create(&wav, path, false);
	for (unsigned i = 0; !error && i < 3 * WAV_RATE; i++) {
		double t = (double)i / WAV_RATE, value = 0;
		struct wav_frame frame;

		for (int k = 0; k < 3; k++)
			value += sin(2 * pi * tones[k] * t) / 3;
		frame.left = (float)(value * exp(-t) * 0.5);
		frame.right = (float)(value * (1 - exp(-t)) * 0.5);
		error = wav_write(&wav, &frame, 1);
	}
	if (!error)
		error = wav_close(&wav);
	if (error)
		errx(1, "%s: %s", path, error);
}

/* Before anything is started, so that it is said once, and first. */
static void check_file(const char *path)
{
	struct stat st;
	struct wav wav;
	const char *error;

	if (stat(path, &st) < 0)
		err(1, "%s", path);
	if (!S_ISREG(st.st_mode))
		return; /* what a pipe says is said once */
	error = wav_open(&wav, path);
	if (error)
		errx(1, "%s: %s", path, error);
	wav_close(&wav);
}

#define CHORDS 3

/* What is needed for a while: chords, the socket. */
struct folder {
	char path[32], socket[64], chords[CHORDS][64];
};

static void make_folder(struct folder *folder)
{
	char path[] = "/tmp/peal-mixer.XXXXXX";

	if (!mkdtemp(path))
		err(1, "%s", path);
	strcpy(folder->path, path);
	snprintf(folder->socket, sizeof(folder->socket), "%s/socket", path);
	for (int i = 0; i < CHORDS; i++)
		snprintf(folder->chords[i], sizeof(folder->chords[i]),
			 "%s/chord%d.wav", path, i + 1);
}

static void remove_folder(const struct folder *folder)
{
	for (int i = 0; i < CHORDS; i++)
		unlink(folder->chords[i]);
	rmdir(folder->path);
}

static void make_chords(const struct folder *folder)
{
	static const double tones[CHORDS][3] = { { 261.63, 329.63, 392.00 },
						 { 349.23, 440.00, 523.25 },
						 { 392.00, 493.88, 587.33 } };

	for (int i = 0; i < CHORDS; i++)
		make_chord(folder->chords[i], tones[i]);
}

struct options {
	const char *socket, *out;
	unsigned players; /* that come from elsewhere */
	bool is_float;
	char **files;
	int n_files;
};

static void start_all(struct mixer *mixer, const struct options *o,
		      const struct folder *folder)
{
	const char *address = o->socket ? o->socket : folder->socket;
	bool chords = o->n_files == 0 && o->players == 0;
	int n = chords ? CHORDS : o->n_files;

	if (chords)
		make_chords(folder);
	mixer->expected = (unsigned)n + o->players;
	start(mixer, address);
	for (int i = 0; i < n; i++)
		start_player(mixer, address,
			     chords ? folder->chords[i] : o->files[i]);
}

static int mix_files(const struct options *o)
{
	static struct mixer mixer;
	struct folder folder;
	const char *error;
	double seconds;

	for (int i = 0; i < o->n_files; i++)
		check_file(o->files[i]);
	error = wav_create(&mixer.out, o->out, o->is_float);
	if (error)
		errx(1, "%s: %s", o->out, error);
	make_folder(&folder);
	start_all(&mixer, o, &folder);
	run(&mixer);
	remove_folder(&folder);

	seconds = (double)mixer.out.bytes / (o->is_float ? 8 : 4) / WAV_RATE;
	error = wav_close(&mixer.out);
	if (mixer.error || error)
		errx(1, "%s: %s", o->out, mixer.error ? mixer.error : error);
	printf("%u players, %.2f s in %s\n", mixer.came, seconds, o->out);
	return mixer.failed;
}

static void usage(void)
{
	fputs("usage: 07_mixer [-f] [-o OUT.wav] [-s SOCKET] [-n PLAYERS]"
	      " [FILE.wav...]\n"
	      "       07_mixer -p SOCKET FILE.wav\n"
	      "-f writes floats; -n waits for players that come to the"
	      " socket, too\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	struct options o = { .out = "mix.wav" };
	const char *player = NULL;
	int option;

	while ((option = getopt(argc, argv, "fo:s:n:p:")) != -1) {
		if (option == 'f')
			o.is_float = true;
		else if (option == 'o')
			o.out = optarg;
		else if (option == 's')
			o.socket = optarg;
		else if (option == 'n')
			o.players = (unsigned)atoi(optarg);
		else if (option == 'p')
			player = optarg;
		else
			usage();
	}
	setlinebuf(stdout);
	o.files = argv + optind;
	o.n_files = argc - optind;
	if (player && o.n_files == 1)
		return play(player, o.files[0]);
	if (player || o.players > PLAYERS || o.n_files > PLAYERS)
		usage();
	return mix_files(&o);
}
