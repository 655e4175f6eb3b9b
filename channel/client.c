/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The client's side of a handshake, blocking and on a reactor. It trusts the
 * server not to hang it, and nothing else: what it is handed is verified before
 * it is touched.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../reactor/floor.h"
#include "../ring/floor.h"
#include "internal.h"

#define MS UINT64_C(1000000)
#define FIRST_DELAY_MS 10u
#define LAST_DELAY_MS 50u /* of a blocking connect */
#define HANGUPS 8	  /* in its midst, after which it gives up */
/* A client on a reactor gives a server so long to answer a hello, and to open
 * the channel, however often it has to connect for that. */
#define ANSWER_NS (10000 * MS)
#define OPEN_NS (60000 * MS)
/* Between two attempts to find room there. */
#define AGAIN_NS (2 * MS)

/* -- one handshake, in three steps */

/*
 * A server that has hung up may have said why: that is read next, and then it
 * is the end. A socket that is full is not one of a fresh connection.
 */
static int say(int fd, const void *packet, size_t size)
{
	int ret = peal_socket_send(fd, packet, size, NULL, 0);

	if (ret == -EAGAIN)
		return -EPROTO;
	return ret == -EPIPE && peal_socket_hung_up(fd) ? 0 : ret;
}

/*
 * A refusal, as peal_connect() returns it. -EAGAIN would say to wait for a
 * packet, so until then it is -EDQUOT. -EBUSY says to connect again.
 */
static int refusal(int status)
{
	switch (status) {
	case -EAGAIN:
		return -EDQUOT;
	case -EPERM:
	case -EPROTOTYPE:
	case -EPROTONOSUPPORT:
	case -EPROTO:
	case -EINVAL:
	case -EBUSY:
	case -EREMOTEIO:
		return status;
	default:
		return -EPERM;
	}
}

static int say_hello(int fd, const struct peal_hello *hello)
{
	struct peal_wire_hello wire;

	peal_wire_put_hello(&wire, hello);
	return say(fd, &wire, sizeof(wire));
}

static int say_ready(int fd, int status, const char *text)
{
	struct peal_wire_ready wire;

	peal_wire_begin(&wire.start, PEAL_WIRE_READY, status, text);
	return say(fd, &wire, sizeof(wire));
}

/*
 * What is lacking here, in the client, says neither that a packet is to come,
 * nor anything of the server, whatever the kernel or a sandbox calls it.
 */
static int lacking_here(int ret, char *text)
{
	switch (ret) {
	case -EAGAIN:
	case -EDQUOT:
	case -EBUSY:
	case -EPIPE:
	case -ETIMEDOUT:
	case -ENOENT:
	case -ECONNREFUSED:
		snprintf(text, PEAL_TEXT, "it is lacking here: %s",
			 strerror(-ret));
		return -ENOMEM;
	default:
		return ret;
	}
}

static void close_fds(int *fds)
{
	for (int i = 0; i < PEAL_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int count_fds(const int *fds)
{
	int n = 0;

	while (n < PEAL_FDS && fds[n] >= 0)
		n++;
	return n;
}

/* Move the fds of one ring away, so that those left over are known. */
static void take(int *to, int *fds, int n)
{
	for (int i = 0; i < n; i++) {
		to[i] = fds[i];
		fds[i] = -1;
	}
}

static int not_new(char *text)
{
	snprintf(text, PEAL_TEXT, "the server made a ring that was in use");
	return -EPROTO;
}

static int open_out(struct peal_made *made, const struct peal_hello *hello,
		    const struct peal_wire_ring *ring, const int *fds,
		    int socket, char *text)
{
	struct peal_geometry wanted;
	int ret;

	peal_hello_geometry(&wanted, hello, false);
	ret = peal_channel_ring_open(&made->out, ring, &wanted, fds, socket,
				     text);
	if (ret < 0)
		return ret;
	ret = peal_sender_attach(&made->sender, &made->out.ring,
				 &made->out.data, &made->out.space);
	return ret < 0 ? not_new(text) : 0;
}

static int open_in(struct peal_made *made, const struct peal_hello *hello,
		   const struct peal_wire_ring *ring, const int *fds,
		   int socket, char *text)
{
	struct peal_geometry wanted;
	int ret;

	peal_hello_geometry(&wanted, hello, true);
	ret = peal_channel_ring_open(&made->in, ring, &wanted, fds, socket,
				     text);
	if (ret < 0)
		return ret;
	ret = peal_receiver_attach(&made->receiver, &made->in.ring,
				   &made->in.data, &made->in.space);
	return ret < 0 ? not_new(text) : 0;
}

static int open_rings(struct peal_made *made, const struct peal_hello *hello,
		      const struct peal_wire_answer *answer, int *fds,
		      char *text)
{
	int socket = answer->bells == PEAL_DOORBELL_SOCKET ? made->fd : -1;
	int each = socket < 0 ? 3 : 1, next = 0, ret = 0;
	int expected = hello->role == PEAL_BOTH ? 2 * each : each;
	int of_ring[3];

	if ((answer->bells != PEAL_DOORBELL_SOCKET &&
	     (answer->bells != PEAL_DOORBELL_EVENTFD ||
	      hello->bells == PEAL_DOORBELL_SOCKET)) ||
	    count_fds(fds) != expected) {
		snprintf(text, PEAL_TEXT, "the server sent other fds than due");
		return -EPROTO;
	}
	if ((answer->ring[0].mem || answer->ring[1].mem) &&
	    !made->peer.trusted) {
		snprintf(text, PEAL_TEXT, "huge pages of a stranger");
		return -EPROTO;
	}
	made->bells = (enum peal_doorbell_kind)answer->bells;
	if (hello->role & PEAL_SENDER) {
		take(of_ring, fds, each);
		next = each;
		ret = open_out(made, hello, &answer->ring[0], of_ring, socket,
			       text);
	}
	if (ret == 0 && (hello->role & PEAL_RECEIVER)) {
		take(of_ring, fds + next, each);
		ret = open_in(made, hello, &answer->ring[1], of_ring, socket,
			      text);
	}
	return ret;
}

/*
 * The answer may be there: take the new ring, and publish what the old one
 * holds. Whoever says READY has brought everything.
 * @return 0, -EAGAIN, or why not, and then the made are still the caller's
 */
static int take_rings(struct peal_channel *ch, struct peal_made *made,
		      const struct peal_hello *hello)
{
	char *text = ch->text;
	struct peal_wire_answer answer;
	int fds[PEAL_FDS];
	int ret = peal_socket_receive_fds(made->fd, &answer, sizeof(answer),
					  fds);

	if (ret == -EPROTO)
		ret = peal_wire_misfit(&answer.start, PEAL_WIRE_ANSWER,
				       "not an answer to a hello", text);
	if (ret < 0)
		return ret;
	ret = peal_wire_check(&answer.start, PEAL_WIRE_ANSWER, text);
	if (ret < 0) {
		close_fds(fds);
		return refusal(ret);
	}
	ret = lacking_here(open_rings(made, hello, &answer, fds, text), text);
	if (ret < 0)
		close_fds(fds);
	if (ret == 0)
		ret = peal_channel_assemble(ch, made);
	if (ret < 0)
		say_ready(made->fd, ret, text);
	return ret;
}

/* The same, and say so. @return likewise; from then on it is JOINING */
static int join(struct peal_channel *ch, struct peal_made *made,
		const struct peal_hello *hello)
{
	int ret = take_rings(ch, made, hello);

	if (ret < 0)
		return ret;
	ch->state = PEAL_CHANNEL_JOINING;
	return say_ready(ch->fd, 0, NULL);
}

/* The server's last word may be there. @return 0, -EAGAIN, or why not */
static int hear_open(struct peal_channel *ch)
{
	struct peal_wire_open open;
	int ret = peal_socket_receive(ch->fd, &open, sizeof(open));

	if (ret == -EPROTO)
		ret = peal_wire_misfit(&open.start, PEAL_WIRE_OPEN,
				       "not the packet that says open",
				       ch->text);
	if (ret < 0)
		return ret;
	ret = peal_wire_check(&open.start, PEAL_WIRE_OPEN, ch->text);
	if (ret < 0)
		return refusal(ret);
	peal_channel_opened(ch);
	return 0;
}

/*
 * What was asked for, and room for what is to be carried over. Eventfds of a
 * server that is not trusted could block us.
 */
static struct peal_hello what_to_ask(const struct peal_channel *ch,
				     const struct peal_peer *server)
{
	struct peal_hello hello = ch->hello;

	if (hello.bells == PEAL_DOORBELL_NONE && !server->trusted)
		hello.bells = PEAL_DOORBELL_SOCKET;
	if (ch->out.mem.base &&
	    hello.capacity < peal_end_capacity(&ch->sender.end))
		hello.capacity = peal_end_capacity(&ch->sender.end);
	return hello;
}

/* -- blocking */

/* Who listens. Its socket says enough of its life. */
static void who_serves(const struct peal_channel *ch, int fd,
		       struct peal_peer *server)
{
	peal_socket_peer(fd, server);
	if (server->pidfd >= 0)
		close(server->pidfd);
	server->pidfd = -1;
	if (ch->address[0])
		return;
	/* Of an fd that came from elsewhere it says who made it. */
	*server = (struct peal_peer){
		.trusted = ch->hello.bells == PEAL_DOORBELL_EVENTFD,
		.pid = -1,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.pidfd = -1,
	};
}

static int late(struct peal_channel *ch, const char *what)
{
	snprintf(ch->text, sizeof(ch->text), "%s", what);
	return -ETIMEDOUT;
}

/* It has come to nothing: what was published stays in the ring. */
static void forsake(struct peal_channel *ch)
{
	close(ch->fd);
	ch->fd = -1;
	peal_channel_maroon(ch);
	ch->state = PEAL_CHANNEL_ABSENT;
}

/* The time is over. @return true: it has been opened all the same */
static bool opened_meanwhile(struct peal_channel *ch)
{
	peal_channel_withdraw(ch, true);
	if (hear_open(ch) < 0)
		return false;
	peal_channel_withdraw(ch, false);
	return true;
}

static int wait_for_open(struct peal_channel *ch, uint64_t deadline)
{
	int ret = 0;

	do {
		ret = peal_socket_wait(ch->fd, deadline);
		if (ret == 0)
			ret = hear_open(ch);
	} while (ret == -EAGAIN);
	if (ret == 0 || opened_meanwhile(ch))
		return 0;
	if (ret == -ETIMEDOUT)
		late(ch, "the server has not opened it in time");
	forsake(ch);
	return ret;
}

static int shake_hands(struct peal_channel *ch, int fd, uint64_t deadline)
{
	struct peal_made made = { .fd = fd };
	struct peal_hello hello;
	int ret;

	who_serves(ch, fd, &made.peer);
	hello = what_to_ask(ch, &made.peer);
	ret = say_hello(fd, &hello);
	while (ret == 0) {
		ret = peal_socket_wait(fd, deadline);
		if (ret == -ETIMEDOUT)
			ret = late(ch, "the server does not answer");
		if (ret == 0)
			ret = join(ch, &made, &hello);
		if (ret != -EAGAIN)
			break;
		ret = 0;
	}
	if (ch->state == PEAL_CHANNEL_JOINING) {
		if (ret == 0)
			ret = wait_for_open(ch, deadline);
		else
			forsake(ch);
	} else if (ret < 0) {
		peal_made_close(&made);
	}
	return ret == -EDQUOT ? -EAGAIN : ret;
}

static void doze(unsigned ms, uint64_t deadline)
{
	uint64_t now = peal_now(), ns = ms * MS;
	struct timespec ts = { 0 };

	if (deadline > now && deadline - now < ns)
		ns = deadline - now;
	ts.tv_nsec = (long)ns;
	nanosleep(&ts, NULL);
}

/* A server that has no room, or had to let go of us, is asked again. */
static int connect_until(struct peal_channel *ch, uint64_t deadline)
{
	unsigned delay = 1;
	int hangups = 0;

	for (;;) {
		int ret;

		ch->text[0] = '\0';
		ret = peal_socket_connect(ch->address, deadline);
		if (ret == -EAGAIN)
			return late(ch, "the server's queue is full");
		if (ret >= 0)
			ret = shake_hands(ch, ret, deadline);
		if (ret != -EBUSY && (ret != -EPIPE || ++hangups > HANGUPS))
			return ret;
		if (peal_now() >= deadline)
			return ch->text[0] ? -ETIMEDOUT
					   : late(ch, "the server hung up");
		doze(delay, deadline);
		if (delay < LAST_DELAY_MS)
			delay *= 2;
	}
}

/* All zero, but for the text, which leaves the address to the caller. */
static int reset(struct peal_channel *ch, int ret)
{
	char text[PEAL_TEXT];

	peal_channel_ring_close(&ch->out); /* of an attempt that got so far */

	if (ch->text[0])
		memcpy(text, ch->text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%s", strerror(-ret));
	memset(ch, 0, sizeof(*ch));
	memcpy(ch->text, text, sizeof(text));
	return ret;
}

static int begin(struct peal_channel *ch, const char *address,
		 const struct peal_hello *hello)
{
	struct sockaddr_un to;
	socklen_t size;
	int ret;

	memset(ch, 0, sizeof(*ch));
	ch->fd = ch->peer.pidfd = -1;
	ret = peal_hello_check(hello, ch->text);
	if (ret == 0 && address && peal_address_is_fd(address)) {
		snprintf(ch->text, sizeof(ch->text),
			 "\"fd:\" is for servers; a path may be \"./fd:...\"");
		ret = -EINVAL;
	}
	if (ret == 0 && address)
		ret = peal_socket_address(&to, &size, address);
	if (ret < 0)
		return reset(ch, ret);
	ch->hello = *hello;
	ch->owner = getpid();
	if (address)
		strcpy(ch->address, address);
	ch->state = PEAL_CHANNEL_PENDING;
	return 0;
}

int peal_connect(struct peal_channel *ch, const char *address,
		 const struct peal_hello *hello, int timeout_ms)
{
	int ret = begin(ch, address, hello);

	if (ret < 0)
		return ret;
	ret = connect_until(ch, peal_deadline(timeout_ms));
	return ret < 0 ? reset(ch, ret) : 0;
}

int peal_connect_fd(struct peal_channel *ch, int fd,
		    const struct peal_hello *hello, int timeout_ms)
{
	int ret = begin(ch, NULL, hello), copy;

	if (ret < 0)
		return ret;
	copy = peal_socket_adopt(fd);
	if (copy < 0)
		return reset(ch, copy);
	ret = shake_hands(ch, copy, peal_deadline(timeout_ms));
	return ret < 0 ? reset(ch, ret) : 0;
}

int peal_reconnect(struct peal_channel *ch, int timeout_ms)
{
	if (ch->loop || !ch->address[0] ||
	    (ch->state != PEAL_CHANNEL_OPEN &&
	     ch->state != PEAL_CHANNEL_ABSENT))
		return -EINVAL;
	if (ch->out.mem.base && peal_end_error(&ch->sender.end) == -EPROTO)
		return -EPROTO;
	if (ch->state == PEAL_CHANNEL_OPEN)
		forsake(ch);
	ch->owner = getpid(); /* also of a child that takes it over */
	return connect_until(ch, peal_deadline(timeout_ms));
}

/* -- on a reactor */

static void connect_later(struct peal_channel *ch, uint64_t delay)
{
	ch->state = PEAL_CHANNEL_ABSENT;
	peal_reactor_set_timer(ch->loop, &ch->timer, delay ? delay : 1, 0, 0);
}

static void wait_for_server(struct peal_channel *ch, uint64_t most)
{
	uint64_t until = peal_now() + most;

	if (until > ch->connect_by)
		until = ch->connect_by;
	peal_reactor_set_timer(ch->loop, &ch->timer, until, 0,
			       PEAL_TIMER_ABSOLUTE);
}

/* The server has no room: the same attempt goes on, with another connection. */
static void come_again(struct peal_channel *ch)
{
	peal_channel_unwatch(ch);
	if (ch->fd >= 0)
		close(ch->fd);
	ch->fd = -1;
	if (ch->state == PEAL_CHANNEL_JOINING)
		peal_channel_maroon(ch);
	connect_later(ch, AGAIN_NS);
}

/* Some wait for it to be mended; the others would hear the same again. */
static bool is_final(int reason)
{
	return reason == 0 || reason == -EPERM || reason == -EPROTO ||
	       reason == -EPROTOTYPE || reason == -EPROTONOSUPPORT ||
	       reason == -EINVAL || reason == -ERANGE;
}

bool peal_client_retry(struct peal_channel *ch, int reason)
{
	uint64_t delay;

	if (is_final(reason) || peal_end_error(&ch->sender.end) == -EPROTO)
		return false;
	peal_channel_unwatch(ch);
	if (ch->fd >= 0)
		close(ch->fd);
	ch->fd = -1;
	peal_channel_maroon(ch);
	delay = ch->delay_ms ? ch->delay_ms : FIRST_DELAY_MS;
	if (delay > ch->retry_ms)
		delay = ch->retry_ms;
	ch->delay_ms = (unsigned)delay * 2;
	ch->connect_by = 0;
	/* Not all clients of a server at the same moment. */
	connect_later(ch, delay * MS - peal_now() % (delay * MS / 4 + 1));
	return true;
}

static void failed(struct peal_channel *ch, int ret)
{
	if (ret == -EBUSY && peal_now() < ch->connect_by)
		come_again(ch);
	else if (ret == -EBUSY)
		peal_channel_closed(ch, -ETIMEDOUT);
	else
		peal_channel_closed(ch, ret == -EDQUOT ? -EAGAIN : ret);
}

static int answered(struct peal_channel *ch)
{
	struct peal_hello hello = what_to_ask(ch, &ch->peer);
	struct peal_made made = { .fd = ch->fd, .peer = ch->peer };
	int ret = join(ch, &made, &hello);

	if (ch->state == PEAL_CHANNEL_JOINING) {
		wait_for_server(ch, OPEN_NS);
	} else if (ret != -EAGAIN) {
		made.fd = -1; /* the channel closes it */
		peal_made_close(&made);
	}
	return ret;
}

static void start(struct peal_channel *ch)
{
	int ret;

	peal_reactor_cancel_timer(ch->loop, &ch->timer);
	ch->delay_ms = 0;
	ch->connect_by = 0;
	ret = peal_channel_start(ch);
	if (ret < 0)
		peal_channel_closed(ch, ret);
}

/* More than one packet may have come with one event. */
void peal_client_answered(struct peal_channel *ch)
{
	int ret = 0;

	if (ch->state == PEAL_CHANNEL_PENDING)
		ret = answered(ch);
	if (ret == 0)
		ret = hear_open(ch);
	if (ret == -EAGAIN)
		return;
	if (ret < 0)
		failed(ch, ret);
	else
		start(ch);
}

static int try_connect(struct peal_channel *ch)
{
	struct peal_hello hello;
	int ret = peal_socket_connect(ch->address, 0);

	if (ret == -EAGAIN) {
		snprintf(ch->text, sizeof(ch->text),
			 "the server's queue is full");
		return -EBUSY;
	}
	if (ret < 0)
		return ret;
	ch->fd = ret;
	who_serves(ch, ch->fd, &ch->peer);
	hello = what_to_ask(ch, &ch->peer);
	ret = lacking_here(peal_channel_watch(ch), ch->text);
	if (ret == 0)
		ret = say_hello(ch->fd, &hello);
	return ret;
}

static void on_timer(struct peal_source *source, uint64_t expirations,
		     void *user)
{
	struct peal_channel *ch = user;
	int ret;

	(void)source;
	(void)expirations;
	if (ch->state == PEAL_CHANNEL_PENDING) {
		late(ch, "the server does not answer");
		peal_channel_closed(ch, -ETIMEDOUT);
		return;
	}
	if (ch->state == PEAL_CHANNEL_JOINING) {
		if (opened_meanwhile(ch)) {
			start(ch);
			return;
		}
		late(ch, "the server has not opened it in time");
		peal_channel_closed(ch, -ETIMEDOUT);
		return;
	}
	if (ch->state != PEAL_CHANNEL_ABSENT)
		return;
	ch->state = PEAL_CHANNEL_PENDING;
	if (ch->connect_by == 0)
		ch->connect_by = peal_now() + OPEN_NS;
	wait_for_server(ch, ANSWER_NS);
	ret = try_connect(ch);
	if (ret < 0)
		failed(ch, ret);
}

int peal_connect_on(struct peal_channel *ch, struct peal_reactor *loop,
		    const char *address, const struct peal_hello *hello,
		    const struct peal_channel_callbacks *callbacks,
		    unsigned retry_ms)
{
	int ret;

	if (ch->state != PEAL_CHANNEL_UNUSED)
		return -EBUSY;
	if (((unsigned)hello->role & PEAL_RECEIVER) && !callbacks->on_readable)
		return -EINVAL;
	ret = begin(ch, address, hello);
	if (ret < 0)
		return ret;
	ch->loop = loop;
	ch->callbacks = *callbacks;
	ch->user = callbacks->user;
	ch->retry_ms = retry_ms;
	ret = peal_reactor_add_timer(loop, &ch->timer, on_timer, ch);
	if (ret < 0)
		return reset(ch, ret);
	connect_later(ch, 0);
	return 0;
}
