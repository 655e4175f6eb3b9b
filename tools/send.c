/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* peal send: its options, and what it reads. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "send.h"

/* Of the ring, and of the largest message of a stream. */
#define RAW_BYTES ((size_t)1 << 20)
#define RAW_MAX ((size_t)128 << 10)
#define READ_AHEAD ((size_t)64 << 10)
/* How far the length of a line is counted that is too long anyway. */
#define COUNT_MAX ((size_t)1 << 30)

/* -- options */

static void help(void)
{
	puts("usage: peal send [OPTIONS] NAME\n"
	     "\n"
	     "Sends stdin to `peal recv NAME`: each line as a message, or with "
	     "--raw all of it\n"
	     "as one stream of bytes. Waits for the receiver, and at the end "
	     "until it has\n"
	     "taken all.\n"
	     "\n"
	     "NAME is an address if it has a `/` (a path) or begins with `@` "
	     "(an abstract\n"
	     "name); otherwise a socket of that name in $XDG_RUNTIME_DIR/peal/ "
	     "or\n"
	     "/tmp/peal-UID/.\n"
	     "\n"
	     "  --raw         stdin as one stream of bytes\n"
	     "  --name NAME   who you are, for `peal recv --from`\n"
	     "  --when-empty  each line only when all before it were taken\n"
	     "  --timeout S   wait S seconds at most for the receiver, and for "
	     "room (for ever)\n"
	     "  --linger S    the same at the end, until all was taken (as "
	     "--timeout)\n"
	     "  --bytes N     of the ring (64k; with --raw 1M)\n"
	     "  --max N       the longest line (what the ring holds); with "
	     "--raw the most\n"
	     "                that is read at once (128k)\n"
	     "  --tag TAG     what the messages are; the receiver must say the "
	     "same\n"
	     "  --stats       rates, to stderr\n"
	     "\n"
	     "Exit status: 0 all was taken; 1 an error, such as a line that is "
	     "too long; 2 it\n"
	     "was called wrongly; 3 the time is over; 4 it was refused; 5 the "
	     "receiver of a\n"
	     "stream is gone. See peal(1).");
}

enum {
	OPTION_RAW = 256,
	OPTION_NAME,
	OPTION_WHEN_EMPTY,
	OPTION_TIMEOUT,
	OPTION_LINGER,
	OPTION_BYTES,
	OPTION_MAX,
	OPTION_TAG,
	OPTION_STATS
};

static const struct option options[] = {
	{ "raw", no_argument, NULL, OPTION_RAW },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "when-empty", no_argument, NULL, OPTION_WHEN_EMPTY },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "linger", required_argument, NULL, OPTION_LINGER },
	{ "bytes", required_argument, NULL, OPTION_BYTES },
	{ "max", required_argument, NULL, OPTION_MAX },
	{ "tag", required_argument, NULL, OPTION_TAG },
	{ "stats", no_argument, NULL, OPTION_STATS },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int set_option(struct send *s, int option, const char *text)
{
	switch (option) {
	case OPTION_RAW:
		s->raw = true;
		return 0;
	case OPTION_NAME:
		s->who = optarg;
		return 0;
	case OPTION_WHEN_EMPTY:
		s->when_empty = true;
		return 0;
	case OPTION_TIMEOUT:
		return parse_time("--timeout", optarg, &s->timeout_ms);
	case OPTION_LINGER:
		return parse_time("--linger", optarg, &s->linger_ms);
	case OPTION_BYTES:
		return parse_size("--bytes", optarg, &s->bytes);
	case OPTION_MAX:
		return parse_size("--max", optarg, &s->max);
	case OPTION_TAG:
		s->tag = optarg;
		return 0;
	case OPTION_STATS:
		s->stats = true;
		return 0;
	default:
		return explain_option("send", option, OPTION_RAW, text);
	}
}

static int check_options(struct send *s)
{
	if (s->raw && (s->when_empty || s->tag)) {
		complain(
			"--raw is about one stream, and takes neither "
			"--when-empty nor --tag");
		return EXIT_USAGE;
	}
	if (s->raw) {
		s->tag = RAW_TAG;
		s->bytes = s->bytes ? s->bytes : RAW_BYTES;
		if (!s->max)
			s->max = RAW_MAX < s->bytes / 4 ? RAW_MAX
							: s->bytes / 4;
	}
	/* So that the largest fits in, with its header and its stamp. */
	if (!s->bytes && s->max > READ_AHEAD - 16)
		s->bytes = s->max + 16;
	return 0;
}

/* @return 0, an exit status, or -1 where help was asked for */
static int parse(struct send *s, int argc, char **argv)
{
	int option, ret = 0;

	s->linger_ms = -2;
	opterr = 0;
	while (ret == 0 &&
	       (option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (option == 'h') {
			help();
			return -1;
		}
		ret = set_option(s, option, argv[optind - 1]);
	}
	if (s->linger_ms < -1)
		s->linger_ms = s->timeout_ms;
	if (ret == 0)
		ret = parse_name("send", argc, argv, &s->name);
	return ret == 0 ? check_options(s) : ret;
}

/* -- stdin */

/* @return how many bytes, 0 at the end, or -EAGAIN */
static ssize_t read_some(void *to, size_t size)
{
	ssize_t n = read(STDIN_FILENO, to, size);

	if (n >= 0)
		return n;
	return errno == EINTR ? -EAGAIN : -errno;
}

static int unreadable(ssize_t error)
{
	complain("cannot read stdin: %s", strerror((int)-error));
	return EXIT_FAILURE;
}

/* Straight into the ring. */
static int send_stream(struct send *s)
{
	for (;;) {
		ssize_t n;
		void *room;
		int ret = send_await_input(s);

		if (ret == 0)
			ret = send_reserve(s, s->max, &room);
		if (ret != 0)
			return ret;
		n = read_some(room, s->max);
		if (n == -EAGAIN)
			continue;
		if (n < 0)
			return unreadable(n);
		ret = send_chunk(s, (size_t)n);
		if (ret != 0 || n == 0)
			return ret;
	}
}

/* Bytes that were read and not sent yet. */
struct input {
	char *bytes;
	size_t size, used;
	unsigned long long line; /* the number of the next one */
	bool ended;
};

/* @return 0, an exit status, or minus the signal to end by */
static int fill(struct send *s, struct input *in)
{
	ssize_t n;
	int ret = send_await_input(s);

	if (ret != 0)
		return ret;
	n = read_some(in->bytes + in->used, in->size - in->used);
	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return unreadable(n);
	in->used += (size_t)n;
	in->ended = n == 0;
	return 0;
}

/* Both figures: so it is read to its end, and counted. */
static int too_long(struct send *s, struct input *in)
{
	size_t length = 0;
	char *end;

	while (!(end = memchr(in->bytes, '\n', in->used)) && !in->ended &&
	       length < COUNT_MAX) {
		int ret;

		length += in->used;
		in->used = 0;
		ret = fill(s, in);
		if (ret != 0)
			return ret;
	}
	length += end ? (size_t)(end - in->bytes) : in->used;
	complain(
		"line %llu has %zu bytes%s, and %zu can be sent (--max, "
		"--bytes): nothing from there on was",
		in->line, length, end || in->ended ? "" : " or more", s->max);
	return EXIT_FAILURE;
}

/* Send all lines that are complete, and move the rest to the front. */
static int send_lines_of(struct send *s, struct input *in)
{
	char *line = in->bytes, *stop = in->bytes + in->used, *end;
	int ret = 0;

	while (ret == 0 && line < stop &&
	       (end = memchr(line, '\n', (size_t)(stop - line)))) {
		if ((size_t)(end - line) > s->max)
			break;
		ret = send_line(s, line, (size_t)(end - line));
		in->line++;
		line = end + 1;
	}
	in->used = (size_t)(stop - line);
	memmove(in->bytes, line, in->used);
	return ret;
}

static int send_all_lines(struct send *s, struct input *in)
{
	while (!in->ended) {
		int ret = fill(s, in);

		if (ret == 0)
			ret = send_lines_of(s, in);
		if (ret == 0 && in->used > s->max)
			ret = too_long(s, in);
		if (ret != 0)
			return ret;
	}
	/* The last one need not end with a newline. */
	return in->used > 0 ? send_line(s, in->bytes, in->used) : 0;
}

static int send_lines(struct send *s)
{
	struct input in = { .size = s->max + READ_AHEAD, .line = 1 };
	int ret;

	in.bytes = malloc(in.size);
	if (!in.bytes) {
		complain("no memory for lines of %zu bytes", s->max);
		return EXIT_FAILURE;
	}
	ret = send_all_lines(s, &in);
	free(in.bytes);
	return ret;
}

/* -- begin and end */

/* The longest message is up to the ring, whatever was asked for. */
static int check_max(struct send *s)
{
	size_t most = peal_outbox_max(&s->out);

	if (!s->max)
		s->max = most;
	if (s->max <= most)
		return 0;
	complain(
		"--max is %zu bytes, and the ring holds %zu: use larger "
		"--bytes",
		s->max, most);
	return EXIT_USAGE;
}

static int run(struct send *s)
{
	int ret = check_max(s), flushed;

	if (ret == 0)
		ret = stop_catch(NULL);
	if (ret < 0) {
		complain("cannot catch signals: %s", strerror(-ret));
		return EXIT_FAILURE;
	}
	if (ret == 0)
		ret = s->raw ? send_stream(s) : send_lines(s);
	/* What was sent before an error, or a signal, is sent. */
	if (ret == EXIT_SUCCESS || ret == EXIT_FAILURE || ret < 0) {
		flushed = send_flush(s);
		ret = ret == 0 ? flushed : ret;
	}
	return ret;
}

int command_send(int argc, char **argv)
{
	static struct send s = { .timeout_ms = -1 };
	int ret = parse(&s, argc, argv);

	if (ret == 0)
		ret = address_of(s.name, s.address);
	if (ret != 0)
		return ret < 0 ? EXIT_SUCCESS : ret;
	ret = send_connect(&s);
	if (ret != 0)
		return ret;
	meter_begin(&s.meter, s.stats);
	ret = run(&s);
	meter_end(&s.meter);
	peal_outbox_close(&s.out, 0);
	return ret < 0 ? stop_die(-ret) : ret;
}
