/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* peal send: its options, and what it reads. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "send.h"

/* Of the ring, and of the largest message of a stream. */
#define RAW_BYTES ((size_t)1 << 20)
#define RAW_MAX ((size_t)128 << 10)
#define READ_AHEAD ((size_t)64 << 10)
/* How far the length of a line is counted that is too long anyway. */
#define COUNT_MAX ((size_t)1 << 30)

/* -- options */

static int set(void *user, int letter, const char *value)
{
	struct send *s = user;

	switch (letter) {
	case 'r':
		s->raw = true;
		return 0;
	case 'n':
		return parse_text("--name", value, NAME_SIZE, &s->who);
	case 'e':
		s->when_empty = true;
		return 0;
	case 't':
		return parse_time("--timeout", value, &s->timeout_ms);
	case 'l':
		return parse_time("--linger", value, &s->linger_ms);
	case 'b':
		return parse_size("--bytes", value, &s->bytes);
	case 'm':
		return parse_size("--max", value, &s->max);
	case 'T':
		return parse_text("--tag", value, TAG_SIZE, &s->tag);
	default:
		s->stats = true;
		return 0;
	}
}

static const struct command_option options[] = {
	{ 'r', "raw", NULL, "send stdin as one stream of bytes" },
	{ 'n', "name", "NAME", "who you are, for `peal recv --from`" },
	{ 'e', "when-empty", NULL,
	  "send each line only when all before it were taken" },
	{ 't', "timeout", "S",
	  "wait S seconds at most for the receiver, and for room\n"
	  "(for ever)" },
	{ 'l', "linger", "S",
	  "the same at the end, until all was taken (as --timeout;\n"
	  "after a signal 1)" },
	{ 'b', "bytes", "N",
	  "the least size of the ring (64k; with --raw 1M)" },
	{ 'm', "max", "N",
	  "the longest line (what the ring holds); with --raw the\n"
	  "most that is read at once (128k)" },
	{ 'T', "tag", "TAG",
	  "what the messages are; the receiver must say the same" },
	{ 's', "stats", NULL, "show rates on stderr" },
	{ 0 },
};

static const struct command_options command = {
	.command = "send",
	.operands = "NAME",
	.about = "Sends stdin to `peal recv NAME`: each line as a message, or "
		 "with --raw all of it\n"
		 "as one stream of bytes. Waits for the receiver, and at the "
		 "end until it has\n"
		 "taken all.\n"
		 "\n" ABOUT_NAME,
	.options = options,
	.end = "Exit status: 0 all was taken; 1 an error, such as a line that "
	       "is too long; 2 a\n"
	       "wrong argument; 3 the time is over; 4 the receiver refuses; 5 "
	       "the receiver of\n"
	       "a stream is gone. See peal(1).",
	.set = set,
};

static int check_options(struct send *s)
{
	if (s->raw && (s->when_empty || s->tag)) {
		complain(
			"--raw is for one stream, and takes neither "
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

/* @return 0, an exit status, or -1: there is no more to do */
static int parse(struct send *s, int argc, char **argv)
{
	int ret = options_parse(&command, argc, argv, s);

	if (ret == 0)
		ret = options_name(&command, argc, argv, &s->name);
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
	in->used = 0; /* it is told here that this is lost */
	complain(
		"line %llu has %zu bytes%s, and %zu can be sent (--max, "
		"--bytes): neither that line nor any after it was sent",
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
		if (ret != 0)
			break;
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
	if (ret != 0 && in.used > 0)
		complain("line %llu, and what was read behind it, was not sent",
			 in.line);
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
	if (ret != 0)
		return ret;
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
	static struct send s = { .timeout_ms = -1, .linger_ms = -1 };
	int ret = parse(&s, argc, argv);

	if (ret == 0)
		ret = address_of(s.name, s.address);
	if (ret != 0)
		return ret < 0 ? EXIT_SUCCESS : ret;
	ret = stdio_check(STDIN_FILENO, O_RDONLY);
	if (ret == 0)
		ret = send_connect(&s);
	if (ret != 0)
		return ret;
	meter_begin(&s.meter, s.stats);
	ret = run(&s);
	meter_end(&s.meter);
	peal_outbox_close(&s.out, 0);
	return ret < 0 ? stop_die(-ret) : ret;
}
