/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Scenarios of the inbox: its receiver, on its own loop and on one of ours, and
 * a sender, whose receiver is killed in the midst of it. Messages are numbered:
 * all of them come, each once and in order, from every sender.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peal/inbox.h>

#include "faults.h"

#define SENDERS 3
#define MESSAGES 60

struct post {
	bool listens;
	uint32_t received[SENDERS];
	bool ended[SENDERS]; /* what it has sent was taken */
};

static struct post *post(void)
{
	return (struct post *)(void *)faults->page;
}

static struct peal_inbox inbox;
static struct peal_inbox_sender senders[SENDERS + 1];
static struct peal_slot slots[PEAL_INBOX_SLOTS(SENDERS + 1)];
static struct peal_reactor loop;

static bool all_came(void)
{
	for (int i = 0; i < SENDERS; i++)
		if (post()->received[i] < MESSAGES)
			return false;
	return true;
}

/* -- senders, as helpers */

/* A fault has closed it: another one goes on from where the receiver stands. */
static void open_outbox(struct peal_outbox *out, const char *name)
{
	uint64_t end = faults_now_ms() + FAULTS_STUCK_MS;
	int ret = -EPIPE;

	while (ret < 0 && faults_now_ms() < end) {
		ret = peal_outbox_open(out, faults->address, name, NULL, 256,
				       2000);
		if (ret < 0)
			usleep(10000);
	}
	MUST(ret == 0);
}

static void send_all(void *argument)
{
	const int *number = argument;
	uint32_t *received = &post()->received[*number];
	struct peal_outbox out;
	char name[8];
	int ret = 0;

	snprintf(name, sizeof(name), "%d", *number);
	open_outbox(&out, name);
	for (uint32_t i = 0; i < MESSAGES; i++) {
		ret = peal_outbox_send(&out, i, "message", i % 8,
				       faults_absurd() ? 2000
						       : FAULTS_STUCK_MS);
		if (ret == 0)
			continue;
		MUST(faults_fired());
		peal_outbox_close(&out, 0);
		i = *received - 1; /* and one more */
		open_outbox(&out, name);
	}
	ret = peal_outbox_close(&out, faults_absurd() ? 2000 : FAULTS_STUCK_MS);
	MUST(ret == 0 || faults_fired());
	post()->ended[*number] = ret == 0;
}

static void start_senders(pid_t *pids)
{
	static int numbers[SENDERS] = { 0, 1, 2 };

	for (int i = 0; i < SENDERS; i++)
		pids[i] = faults_helper(send_all, &numbers[i]);
}

/* -- the receiver */

static void open_inbox(struct peal_reactor *on,
		       void (*on_messages)(struct peal_inbox *inbox,
					   void *user))
{
	struct peal_inbox_options options = { .senders = senders,
					      .n_senders = SENDERS + 1,
					      .on_messages = on_messages };

	if (on)
		TWICE_OR(peal_inbox_open_on(&inbox, on, faults->address,
					    &options),
			 EADDRINUSE);
	else
		TWICE_OR(peal_inbox_open_in(&inbox, senders, slots, SENDERS + 1,
					    faults->address, &options),
			 EADDRINUSE);
	post()->listens = true;
}

/* The receiver before may have been killed before it released its last one. */
static bool may_repeat;

static void check_letter(const struct peal_letter *letter)
{
	uint32_t *next = &post()->received[letter->from->hello.name[0] - '0'];
	bool repeats = may_repeat && letter->kind + 1 == *next;

	may_repeat = false;
	if (repeats)
		return;
	if (letter->kind != *next || letter->size != *next % 8)
		faults_fail(__FILE__, __LINE__,
			    "message %u came in the place of %u", letter->kind,
			    *next);
	(*next)++;
}

static int receive_one(int ms)
{
	struct peal_letter letter;
	int ret = peal_inbox_receive(&inbox, ms, &letter);

	if (ret <= 0)
		return ret;
	check_letter(&letter);
	MUST(peal_inbox_release(&inbox, &letter) == 0);
	return 1;
}

static int read_one(int ms)
{
	struct peal_letter letter;
	char data[8];
	int ret = peal_inbox_read(&inbox, ms, data, sizeof(data), &letter);

	if (ret > 0)
		check_letter(&letter);
	return ret;
}

static void join(pid_t *pids)
{
	for (int i = 0; i < SENDERS; i++)
		faults_kill(pids[i]);
}

/* One that has lost its channel and given up; but one at the most. */
static bool one_is_left(void)
{
	int left = 0;

	/* Of a listener that is deaf all know who come after it. */
	if (faults->shot.call == CALL_epoll_ctl_MOD)
		return true;
	for (int i = 0; i < SENDERS; i++)
		left += post()->received[i] < MESSAGES;
	return left <= 1;
}

static void receive_all(int (*next)(int ms))
{
	uint64_t end = faults_now_ms() + FAULTS_STUCK_MS;
	int quiet = 0;

	while (!all_came()) {
		int ret = next(faults_patience());

		if (ret == -ETIMEDOUT && faults_absurd() && ++quiet > 20 &&
		    one_is_left())
			return;
		if (ret != -ETIMEDOUT || !faults_absurd())
			WELL(ret);
		MUST(faults_now_ms() < end);
	}
}

SCENARIO(inbox)
{
	pid_t pids[SENDERS];

	open_inbox(NULL, NULL);
	start_senders(pids);
	receive_all(receive_one);
	join(pids);
	peal_inbox_close(&inbox);
}

SCENARIO(inbox_read)
{
	pid_t pids[SENDERS];

	open_inbox(NULL, NULL);
	start_senders(pids);
	receive_all(read_one);
	peal_inbox_wake(&inbox);
	MUST(peal_inbox_receive(&inbox, 0, &(struct peal_letter){ 0 }) < 0);
	join(pids);
	peal_inbox_close(&inbox);
}

static void on_messages(struct peal_inbox *box, void *user)
{
	(void)box;
	(void)user;
	while (receive_one(0) > 0)
		;
}

static int run_loop_once(int ms)
{
	int ret = peal_reactor_run_once(&loop, ms);

	return ret == 0 ? -ETIMEDOUT : ret;
}

/* Rounds in which nothing was called are those of handshakes, or of bells. */
static int serve_one(int ms)
{
	int ret = run_loop_once(ms);

	return ret == -ETIMEDOUT && !faults_absurd() ? 0 : ret;
}

SCENARIO(inbox_on_loop)
{
	static struct peal_slot ours[PEAL_INBOX_SLOTS(SENDERS + 1)];
	pid_t pids[SENDERS];

	TWICE(peal_reactor_init(&loop, ours, sizeof(ours) / sizeof(ours[0])));
	open_inbox(&loop, on_messages);
	start_senders(pids);
	receive_all(serve_one);
	join(pids);
	peal_inbox_close(&inbox);
	peal_reactor_close(&loop);
}

/* -- a sender */

static void receiver_helper(void *argument)
{
	(void)argument;
	may_repeat = post()->received[0] > 0;
	open_inbox(NULL, NULL);
	for (;;)
		MUST(receive_one(-1) == 1);
}

static void reopen(struct peal_outbox *out, uint32_t *next)
{
	if (!WELL_OR(peal_outbox_open(out, faults->address, "0", NULL, 256,
				      5000),
		     EPIPE, EPROTO, ENOMEM, EMFILE, EOPNOTSUPP, ETIMEDOUT)) {
		MUST(out->channel.text[0] != '\0');
		MUST(out->channel.life.state == 0);
		MUST(peal_outbox_open(out, faults->address, "0", NULL, 256,
				      5000) == 0);
	}
	*next = post()->received[0];
}

/* Who loses a bell hears nothing. */
static bool send_to(struct peal_outbox *out, uint32_t *next, uint32_t end)
{
	while (*next < end) {
		int ret = peal_outbox_send(out, *next, "message", *next % 8,
					   faults_absurd() ? 300
							   : FAULTS_STUCK_MS);

		if (ret == -ETIMEDOUT && faults_absurd())
			return false;
		if (ret == 0) {
			(*next)++;
		} else if (!WELL_OR(ret, EPIPE, EPROTO, ENOMEM, EMFILE,
				    EOPNOTSUPP)) {
			/* What it has failed with for good, it has. */
			peal_outbox_close(out, 0);
			usleep(20000);
			reopen(out, next);
		}
	}
	return true;
}

static bool flush(struct peal_outbox *out, uint32_t end)
{
	int ret;

	while (post()->received[0] < end) {
		ret = peal_outbox_flush(out, faults_absurd() ? 300
							     : FAULTS_STUCK_MS);
		if (ret == -ETIMEDOUT && faults_absurd())
			return false;
		WELL_OR(ret, EPIPE, EPROTO, ENOMEM, EMFILE, EOPNOTSUPP);
	}
	return true;
}

static void send_and_resume(bool dies)
{
	struct peal_outbox out;
	uint32_t next;
	pid_t pid = faults_helper(receiver_helper, NULL);

	faults_await(&post()->listens);
	reopen(&out, &next);
	if (dies && send_to(&out, &next, 20)) {
		kill(pid, SIGSTOP);
		usleep(1000);
		faults_kill(pid);
		post()->listens = false;
		pid = faults_helper(receiver_helper, NULL);
		faults_await(&post()->listens);
	}
	if (send_to(&out, &next, MESSAGES))
		flush(&out, MESSAGES);
	WELL_OR(peal_outbox_close(&out, 300), ETIMEDOUT, EPIPE);
	faults_kill(pid);
}

SCENARIO(outbox)
{
	send_and_resume(false);
}

SCENARIO(outbox_resumes)
{
	send_and_resume(true);
}
