/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* peal recv: lines of any number of senders, or the stream of one. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "options.h"
#include "recv.h"
#include "text.h"

#define SENDERS 64u
#define SENDERS_MAX 4096u
/* Of a sender: its socket, its pidfd, its memory, two doorbells. */
_Static_assert(sizeof(((struct peal_hello *)0)->name) == NAME_SIZE, "its name");
_Static_assert(sizeof(((struct peal_inbox_options *)0)->tag) == TAG_SIZE,
	       "its tag");

#define FDS_PER_SENDER 5u
#define FDS_BESIDES 64u

/* Bytes of a message that are escaped at a time. */
#define FROM_PIECE ((size_t)16 << 10)

static struct peal_inbox *volatile to_wake; /* by the signal handler */

static void wake(void)
{
	if (to_wake)
		peal_inbox_wake(to_wake);
}

/* -- options */

static int set(void *user, int letter, const char *value)
{
	struct receive *r = user;

	switch (letter) {
	case 'r':
		r->raw = true;
		return 0;
	case 'f':
		r->from = true;
		return 0;
	case 'o':
		r->oldest = true;
		return 0;
	case 'c':
		return parse_count("--count", value, UINT64_MAX, &r->count);
	case '1':
		r->count = 1;
		return 0;
	case 'g':
		r->until_gone = true;
		return 0;
	case 't':
		return parse_time("--timeout", value, &r->timeout_ms);
	case 'b':
		return parse_size("--bytes", value, &r->bytes);
	case 'N':
		return parse_count("--senders", value, SENDERS_MAX,
				   &r->senders);
	case 'T':
		return parse_text("--tag", value, TAG_SIZE, &r->tag);
	default:
		r->stats = true;
		return 0;
	}
}

static const struct command_option options[] = {
	{ 'r', "raw", NULL, "receive one stream of bytes, and end with it" },
	{ 'f', "from", NULL, "put the sender's name before each line" },
	{ 'o', "oldest", NULL, "write the oldest line of all senders first" },
	{ 'c', "count", "N", "end after N lines" },
	{ '1', "one", NULL, "end after one line" },
	{ 'g', "until-gone", NULL,
	  "end when all senders are gone, once there was one" },
	{ 't', "timeout", "S", "end when nothing has come for S seconds" },
	{ 'b', "bytes", "N", "the largest ring that a sender may have (64M)" },
	{ 'N', "senders", "N", "how many senders at the same time (64)" },
	{ 'T', "tag", "TAG",
	  "what the messages are; senders must say the same" },
	{ 's', "stats", NULL, "show rates on stderr" },
	{ 0 },
};

static const struct command_options command = {
	.command = "recv",
	.operands = "NAME",
	.about = "Receives what `peal send NAME` sends, and writes it to "
		 "stdout: lines, of any\n"
		 "number of senders, or with --raw one stream of bytes.\n"
		 "\n" ABOUT_NAME
		 "\nA socket that peal recv inherits is fd:3, or fd:NAME "
		 "of the service manager.",
	.options = options,
	.end = "Exit status: 0 success; 1 an error; 2 a wrong argument; 3 "
	       "nothing came in\n"
	       "time; 5 a sender died, or a stream was cut off. See peal(1).",
	.set = set,
};

static int check_options(struct receive *r)
{
	if (r->raw &&
	    (r->from || r->oldest || r->count || r->until_gone || r->tag)) {
		complain(
			"--raw is for one stream, and takes none of --from, "
			"--oldest, --count, --one, --until-gone and --tag");
		return EXIT_USAGE;
	}
	if (r->raw)
		r->senders = 1;
	return 0;
}

/* @return 0, an exit status, or -1: there is no more to do */
static int parse(struct receive *r, int argc, char **argv)
{
	int ret = options_parse(&command, argc, argv, r);

	if (ret == 0)
		ret = options_name(&command, argc, argv, &r->name);
	return ret == 0 ? check_options(r) : ret;
}

/* -- what the senders do */

static void on_joined(const struct peal_channel *from, void *user)
{
	struct receive *r = user;

	(void)from;
	r->joined = true;
	r->present++;
}

static void on_left(const struct peal_channel *from, int reason, void *user)
{
	struct receive *r = user;

	r->present--;
	peal_inbox_wake(&r->inbox); /* it may have been the last one */
	if ((reason == 0 && !r->raw) || r->ended)
		return;
	r->lost = true;
	recv_tell_loss(r, from, reason);
}

static bool admit(const struct peal_hello *hello, const struct peal_peer *peer,
		  const char **why, void *user)
{
	const struct receive *r = user;

	(void)hello;
	(void)peer;
	if (!r->raw || !r->joined)
		return true;
	*why = "the receiver takes one stream, and has its sender";
	return false;
}

/* -- messages */

/* @return 0, an exit status, or minus the signal to end by */
static int put(struct iovec *iov, int n)
{
	int ret = write_all(STDOUT_FILENO, iov, n);

	if (ret == -EPIPE)
		return -SIGPIPE;
	if (ret == 0)
		return 0;
	if (ret == -EINTR) {
		complain(
			"stdout takes no more: what could not be written stays "
			"with its sender");
		return -SIGTERM;
	}
	complain("cannot write: %s", strerror(-ret));
	return EXIT_FAILURE;
}

/*
 * With names, no line may look like that of another sender. The sender can
 * change the message while we read it, so it is copied before it is escaped. A
 * message that is not too long is written at once.
 */
static int put_from(const struct peal_letter *letter)
{
	static char raw[FROM_PIECE],
		line[SHOWN_NAME + TEXT_GROWTH * FROM_PIECE + 3];
	const char *data = letter->data;
	size_t left = letter->size, kept = 0;
	size_t n = (size_t)recv_put_name(line, letter->from);
	int ret = 0;

	line[n++] = ':';
	line[n++] = ' ';
	do {
		size_t size = left < sizeof(raw) - kept ? left
							: sizeof(raw) - kept;
		size_t whole;

		memcpy(raw + kept, data, size);
		data += size;
		left -= size;
		size += kept;
		whole = left > 0 ? text_whole(raw, size) : size;
		n += text_escape(line + n, raw, whole, true);
		kept = size - whole;
		memmove(raw, raw + whole, kept);
		if (left == 0)
			line[n++] = '\n';
		ret = put(&(struct iovec){ line, n }, 1);
		n = 0;
	} while (ret == 0 && left > 0);
	return ret;
}

static int put_line(const struct peal_letter *letter)
{
	struct iovec iov[] = {
		{ (void *)(uintptr_t)letter->data, letter->size },
		{ (void *)(uintptr_t) "\n", 1 },
	};

	return put(iov, 2);
}

static int put_chunk(struct receive *r, const struct peal_letter *letter)
{
	struct iovec iov = { (void *)(uintptr_t)letter->data, letter->size };

	if (letter->kind != r->next) {
		complain(
			"this is the rest of a stream that began with another "
			"receiver, from number %lu on",
			(unsigned long)letter->kind);
		return EXIT_PEER;
	}
	r->next++;
	if (letter->size > 0)
		return put(&iov, 1);
	r->ended = true;
	return 0;
}

/* What could not be written stays with its sender. */
static int take(struct receive *r, const struct peal_letter *letter)
{
	int ret = r->raw    ? put_chunk(r, letter)
		  : r->from ? put_from(letter)
			    : put_line(letter);

	if (ret != 0)
		return ret;
	if (!r->ended)
		meter_count(&r->meter, letter->size);
	peal_inbox_release(&r->inbox, letter);
	if (r->timeout_ms >= 0)
		r->deadline = meter_now() + (uint64_t)r->timeout_ms;
	return 0;
}

/* -- the loop */

static bool is_over(const struct receive *r)
{
	if (r->raw)
		return r->ended || r->lost;
	if (r->count && r->meter.messages >= r->count)
		return true;
	return r->until_gone && r->joined && r->present == 0;
}

static int wait_ms(const struct receive *r)
{
	int ms = meter_ms(&r->meter);
	uint64_t now, left;

	if (r->timeout_ms < 0)
		return ms;
	now = meter_now();
	left = now < r->deadline ? r->deadline - now : 0;
	return ms >= 0 && (uint64_t)ms < left ? ms : (int)left;
}

static bool timed_out(const struct receive *r)
{
	return r->timeout_ms >= 0 && meter_now() >= r->deadline;
}

static int no_more(const struct receive *r)
{
	complain("nothing has come for %g seconds",
		 (double)r->timeout_ms / 1000);
	return EXIT_TIMEOUT;
}

/* @return an exit status, or minus the signal to end by */
static int receive(struct receive *r)
{
	r->deadline = meter_now() + (uint64_t)r->timeout_ms;
	while (!is_over(r)) {
		struct peal_letter letter;
		int ret;

		if (stop_asked())
			return -SIGTERM;
		ret = peal_inbox_receive(&r->inbox, wait_ms(r), &letter);
		if (ret > 0) {
			ret = take(r, &letter);
			if (ret != 0)
				return ret;
			continue;
		}
		if (ret != -ETIMEDOUT) {
			complain("cannot receive: %s", strerror(-ret));
			return EXIT_FAILURE;
		}
		meter_tick(&r->meter);
		if (!is_over(r) && timed_out(r))
			return no_more(r);
	}
	return r->lost ? EXIT_PEER : EXIT_SUCCESS;
}

/* -- begin and end */

static void allow_fds(uint64_t senders)
{
	rlim_t needed = senders * FDS_PER_SENDER + FDS_BESIDES;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
		return;
	limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < needed)
		complain(
			"%llu senders may need %llu file descriptors, and %llu "
			"are allowed: fewer can be served (ulimit -n)",
			(unsigned long long)senders, (unsigned long long)needed,
			(unsigned long long)limit.rlim_cur);
}

static int open_inbox(struct receive *r)
{
	/* The pages that describe a ring are allowed as well. */
	size_t pages = 4 * (size_t)sysconf(_SC_PAGESIZE);
	struct peal_inbox_options o = {
		.on_joined = on_joined,
		.on_left = on_left,
		.admit = admit,
		.on_refused = recv_on_refused,
		.user = r,
		.oldest = r->oldest,
		.max_bytes = r->bytes ? r->bytes + pages : 0,
	};
	int ret;

	allow_fds(r->senders);
	strcpy(o.tag, r->raw ? RAW_TAG : r->tag ? r->tag : "");
	r->places = calloc(r->senders, sizeof(*r->places));
	r->slots = calloc(PEAL_INBOX_SLOTS(r->senders), sizeof(*r->slots));
	if (!r->places || !r->slots)
		return recv_explain_open(r, -ENOMEM);
	/* Before there is a socket, which a signal would leave behind. */
	ret = stop_catch(wake);
	if (ret != 0)
		return ret;
	ret = peal_inbox_open_in(&r->inbox, r->places, r->slots, r->senders,
				 r->address, &o);
	if (ret < 0)
		return recv_explain_open(r, ret);
	to_wake = &r->inbox;
	return 0;
}

int command_recv(int argc, char **argv)
{
	static struct receive r = { .senders = SENDERS, .timeout_ms = -1 };
	int ret = parse(&r, argc, argv);

	if (ret == 0)
		ret = address_of(r.name, r.address);
	if (ret != 0)
		return ret < 0 ? EXIT_SUCCESS : ret;
	ret = stdio_check(STDOUT_FILENO, O_WRONLY);
	if (ret != 0)
		return ret;
	if (address_check(r.name, r.address, true) < 0)
		return EXIT_FAILURE;
	ret = open_inbox(&r);
	if (ret == 0) {
		meter_begin(&r.meter, r.stats);
		ret = receive(&r);
		meter_end(&r.meter);
		recv_tell_rest(&r);
	}
	to_wake = NULL;
	peal_inbox_close(&r.inbox);
	free(r.places);
	free(r.slots);
	return ret < 0 ? stop_die(-ret) : ret;
}
