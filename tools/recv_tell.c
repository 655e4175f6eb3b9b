/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* peal recv: what it says of its senders, and of itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recv.h"

/* Senders that are refused are told of once in this time. */
#define TELL_EACH_MS 1000u

/* -- those that have gone */

int recv_put_name(char *to, const struct peal_channel *from)
{
	const char *name = from->hello.name;
	int n;

	if (name[0] == '\0')
		return snprintf(to, SHOWN_NAME, "pid %ld",
				(long)from->peer.pid);
	n = (int)text_escape(to, name, strnlen(name, NAME_SIZE), true);
	to[n] = '\0';
	return n;
}

void recv_tell_loss(const struct receive *r, const struct peal_channel *from,
		    int reason)
{
	char name[SHOWN_NAME];

	recv_put_name(name, from);
	if (r->raw)
		complain(
			"the sender has %s before the end of the stream, "
			"after %llu bytes",
			reason == 0 ? "stopped" : "died",
			(unsigned long long)r->meter.bytes);
	else if (reason == -EPIPE)
		complain("%s: the sender died. All that it had sent is here.",
			 name);
	else if (reason == -EPROTO)
		complain(
			"%s: the sender broke the protocol, and is cut off. "
			"What it had sent before is here.",
			name);
	else
		complain(
			"%s: the sender is cut off: %s. What it had sent "
			"before is here.",
			name, from->text[0] ? from->text : strerror(-reason));
}

/* -- those that come to nothing */

static bool is_own_lack(int reason)
{
	return reason == -EMFILE || reason == -ENFILE || reason == -ENOMEM ||
	       reason == -ENOSPC || reason == -ENOBUFS;
}

/* @return NULL where it is not the sender's doing */
static const char *what_became_of_it(int reason)
{
	switch (reason) {
	case -EPROTO:
		return "was refused, because it broke the protocol";
	case -ETIMEDOUT:
		return "was refused, because it said nothing";
	case -ECONNABORTED:
		return "has refused what this receiver made";
	case -EPERM:
	case -EPROTOTYPE:
	case -EPROTONOSUPPORT:
	case -EAGAIN:
	case -EBUSY:
	case -EINVAL:
		return "was refused";
	default:
		return NULL;
	}
}

static void tell_of_refusal(const struct receive *r,
			    const struct peal_peer *peer, int reason,
			    const char *text)
{
	const char *what = what_became_of_it(reason);
	char who[64] = "a sender", more[64] = "";

	if (peer->known)
		snprintf(who, sizeof(who), "a sender (pid %ld, user %lu)",
			 (long)peer->pid, (unsigned long)peer->uid);
	if (r->untold)
		snprintf(more, sizeof(more), " (and so %llu more)",
			 (unsigned long long)r->untold);
	if (is_own_lack(reason))
		complain(
			"%s cannot be served: this receiver lacks file "
			"descriptors or memory: %s. Use fewer --senders, or "
			"have the limit raised (ulimit -n).%s",
			who, strerror(-reason), more);
	else if (!what)
		complain("%s cannot be served, by a failure here: %s%s", who,
			 strerror(-reason), more);
	else
		complain("%s %s: %s%s", who, what,
			 text[0] ? text : strerror(-reason), more);
}

/*
 * One that has hung up was not refused, and a receiver that looks whether
 * we live does so. A sender asks twice, with stamps and without. Somebody who
 * asks all the time shall not fill a disk with what we say.
 */
void recv_on_refused(const struct peal_peer *peer, int reason, const char *text,
		     void *user)
{
	struct receive *r = user;
	uint64_t now = meter_now();

	if (reason == -EPIPE || reason == -ECONNRESET)
		return;
	if (r->told && now - r->told < TELL_EACH_MS) {
		r->untold += peer->pid != r->told_pid ||
			     reason != r->told_reason;
		return;
	}
	tell_of_refusal(r, peer, reason, text);
	r->told = now;
	r->untold = 0;
	r->told_pid = peer->pid;
	r->told_reason = reason;
}

void recv_tell_rest(const struct receive *r)
{
	if (r->untold)
		complain("%llu more senders were not served",
			 (unsigned long long)r->untold);
}

/* -- what cannot be opened */

/* The address is in use. By whom, only connecting to it tells. */
static int explain_in_use(const struct receive *r)
{
	struct stat st = { 0 };
	int ret = address_probe(r->address);
	bool theirs = r->address[0] != '@' && lstat(r->address, &st) == 0 &&
		      st.st_uid != geteuid();

	if (ret == 0 || ret == -EAGAIN)
		complain("somebody receives at %s already", r->address);
	else if (ret == -EPROTOTYPE)
		complain("%s is the socket of another program", r->address);
	else if (theirs)
		complain(
			"%s is a socket of user %lu: whether somebody receives "
			"there cannot be known (%s). Use another NAME.",
			r->address, (unsigned long)st.st_uid, strerror(-ret));
	else
		complain("%s is in use, and who uses it cannot be known (%s)",
			 r->address, strerror(-ret));
	return EXIT_FAILURE;
}

int recv_explain_open(const struct receive *r, int error)
{
	if (error == -EADDRINUSE)
		return explain_in_use(r);
	if (error == -EEXIST) {
		complain("%s is there already, and no socket", r->address);
	} else if (error == -EOPNOTSUPP || error == -ENOSYS) {
		complain(
			"cannot receive at %s: this kernel lacks a system "
			"call, or it is forbidden: %s",
			r->address, strerror(-error));
		return EXIT_USAGE;
	} else {
		complain("cannot receive at %s: %s", r->address,
			 strerror(-error));
	}
	return EXIT_FAILURE;
}
