/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The steps of a handshake on the server's side. The client may be hostile. So
 * the server receives no fd from the client. And between the answer, which
 * hands the memory over, and the seals, the server makes no call that the
 * client could hold up.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../reactor/floor.h"
#include "../ring/floor.h"
#include "internal.h"

/* For clients that leave the capacity to the server. */
#define DEFAULT_BYTES 65536u
#define MAX_BYTES (UINT64_C(64) << 20)

static int refuse_with(struct peal_handshake *handshake, int error,
		       const char *why)
{
	snprintf(handshake->text, sizeof(handshake->text), "%s", why);
	return error;
}

static uint64_t most_bytes(const struct peal_service *service)
{
	return service->max_bytes ? service->max_bytes : MAX_BYTES;
}

/* The bytes of each ring of a client that leaves the capacity to the server. */
static uint64_t usual_bytes(const struct peal_hello *hello,
			    const struct peal_service *service)
{
	uint64_t share = most_bytes(service);

	if (hello->role == PEAL_BOTH)
		share /= 2;
	return share < DEFAULT_BYTES ? share : DEFAULT_BYTES;
}

static uint64_t at_least(uint64_t n, uint64_t least)
{
	return n > least ? n : least;
}

/* The geometry that the client gets, of the ring to the server or of the ring
 * back. */
static void plan(struct peal_geometry *g, const struct peal_hello *hello,
		 const struct peal_service *service, bool back)
{
	struct peal_geometry usual;

	peal_hello_geometry(g, hello, back);
	if (g->capacity == 0) {
		struct peal_hello accept = service->accept;

		accept.role = hello->role;
		peal_hello_geometry(&usual, &accept, back);
		g->capacity = usual.capacity;
	}
	if (g->capacity == 0)
		g->capacity =
			at_least(usual_bytes(hello, service) / g->item_size, 2);
}

/* What the server has kept for the client has to fit into the new ring. */
static void plan_for(struct peal_geometry *g,
		     const struct peal_handshake *handshake,
		     const struct peal_service *service, bool back)
{
	const struct peal_channel *ch = handshake->channel;

	plan(g, &handshake->hello, service, back);
	if (back && ch && ch->out.mem.base)
		g->capacity = at_least(g->capacity,
				       peal_end_capacity(&ch->sender.end));
}

static unsigned mem_flags(const struct peal_handshake *handshake,
			  const struct peal_service *service)
{
	/* A stranger could punch holes into huge pages: that is SIGBUS. And
	 * locked memory counts against the server. */
	return handshake->made.peer.trusted ? service->mem : 0;
}

uint64_t peal_hello_bytes(const struct peal_hello *hello,
			  const struct peal_service *service)
{
	uint64_t bytes = 0;

	for (int back = 0; back < 2; back++) {
		struct peal_geometry g, fit;
		uint64_t asked;

		if (!(hello->role & (back ? PEAL_RECEIVER : PEAL_SENDER)))
			continue;
		plan(&g, hello, service, back);
		fit = g;
		if (peal_geometry_fit(&fit, peal_mem_page(0)) < 0 ||
		    __builtin_mul_overflow(g.capacity, g.item_size, &asked) ||
		    __builtin_add_overflow(bytes, asked, &bytes))
			return UINT64_MAX;
	}
	return bytes;
}

static int check_size(struct peal_handshake *handshake,
		      const struct peal_service *service)
{
	uint64_t most = most_bytes(service);
	uint64_t bytes = peal_hello_bytes(&handshake->hello, service);

	if (bytes == UINT64_MAX)
		return refuse_with(handshake, -EINVAL,
				   "rings beyond any memory");
	if (bytes <= most)
		return 0;
	snprintf(handshake->text, sizeof(handshake->text),
		 "rings of %llu bytes of items, the server allows %llu",
		 (unsigned long long)bytes, (unsigned long long)most);
	return -EPERM;
}

int peal_handshake_hello(struct peal_handshake *handshake,
			 const struct peal_service *service)
{
	struct peal_wire_hello wire;
	int ret = peal_socket_receive(handshake->made.fd, &wire, sizeof(wire));

	if (ret == -EPROTO)
		ret = peal_wire_misfit(&wire.start, PEAL_WIRE_HELLO,
				       "not a hello", handshake->text);
	if (ret == 0)
		ret = peal_wire_get_hello(&handshake->hello, &wire,
					  handshake->text);
	if (ret == 0)
		ret = peal_hello_match(&handshake->hello, &service->accept,
				       handshake->text);
	if (ret == 0)
		ret = check_size(handshake, service);
	return ret;
}

static enum peal_doorbell_kind choose_bells(
	const struct peal_handshake *handshake,
	const struct peal_service *service)
{
	enum peal_doorbell_kind wanted = handshake->hello.bells;

	if (wanted == PEAL_DOORBELL_SOCKET)
		return wanted;
	if (service->accept.bells != PEAL_DOORBELL_NONE)
		return service->accept.bells;
	return handshake->made.peer.trusted ? PEAL_DOORBELL_EVENTFD
					    : PEAL_DOORBELL_SOCKET;
}

/* The server attaches its own ends before anybody else can write a word. */
static int make_rings(struct peal_handshake *handshake,
		      const struct peal_service *service)
{
	struct peal_made *made = &handshake->made;
	unsigned mem = mem_flags(handshake, service);
	int socket = made->bells == PEAL_DOORBELL_SOCKET ? made->fd : -1;
	struct peal_geometry g;
	int ret = 0;

	if (handshake->hello.role & PEAL_SENDER) {
		plan_for(&g, handshake, service, false);
		ret = peal_channel_ring_make(&made->in, &g, mem, socket);
		if (ret == 0)
			ret = peal_receiver_attach(
				&made->receiver, &made->in.ring, &made->in.data,
				&made->in.space);
	}
	if (ret == 0 && (handshake->hello.role & PEAL_RECEIVER)) {
		plan_for(&g, handshake, service, true);
		ret = peal_channel_ring_make(&made->out, &g, mem, socket);
		if (ret == 0)
			ret = peal_sender_attach(&made->sender, &made->out.ring,
						 &made->out.data,
						 &made->out.space);
	}
	return ret;
}

static int send_answer(struct peal_handshake *handshake)
{
	struct peal_made *made = &handshake->made;
	struct peal_wire_answer answer = { .bells = made->bells };
	int fds[PEAL_FDS];
	size_t n = 0;

	peal_wire_begin(&answer.start, PEAL_WIRE_ANSWER, 0, NULL);
	if (made->in.mem.base)
		n += peal_channel_ring_describe(&made->in, &answer.ring[0],
						fds);
	if (made->out.mem.base)
		n += peal_channel_ring_describe(&made->out, &answer.ring[1],
						fds + n);
	return peal_socket_send(made->fd, &answer, sizeof(answer), fds, n);
}

int peal_handshake_offer(struct peal_handshake *handshake,
			 const struct peal_service *service)
{
	int ret;

	handshake->made.bells = choose_bells(handshake, service);
	peal_socket_enlarge(handshake->made.fd); /* for its doorbells */
	ret = make_rings(handshake, service);
	if (ret < 0) {
		snprintf(handshake->text, sizeof(handshake->text),
			 "the server cannot make a ring: %s", strerror(-ret));
		return ret;
	}
	ret = send_answer(handshake);
	/* The kernel limits the fds that are on their way: no more than
	 * RLIMIT_NOFILE of the server. */
	if (ret == -EAGAIN || ret == -ETOOMANYREFS)
		return refuse_with(handshake, -EBUSY,
				   "the server cannot hand over fds");
	if (ret == 0)
		handshake->stage = PEAL_STAGE_READY;
	handshake->since = peal_now();
	return ret;
}

int peal_handshake_ready(struct peal_handshake *handshake)
{
	struct peal_made *made = &handshake->made;
	struct peal_wire_ready wire;
	int ret = peal_socket_receive(made->fd, &wire, sizeof(wire));

	if (ret == -EPROTO)
		ret = peal_wire_misfit(&wire.start, PEAL_WIRE_READY,
				       "not the packet that says ready",
				       handshake->text);
	if (ret == 0)
		ret = peal_wire_check(&wire.start, PEAL_WIRE_READY,
				      handshake->text);
	/* The client gives the text, but does not choose the error that the
	 * owner of the server hears. */
	if (ret < 0 && wire.start.status < 0)
		return -ECONNABORTED;
	if (ret < 0)
		return ret;
	if (made->in.mem.base)
		ret = peal_channel_ring_check_seals(&made->in);
	if (ret == 0 && made->out.mem.base)
		ret = peal_channel_ring_check_seals(&made->out);
	if (ret == -EPROTO)
		refuse_with(handshake, ret,
			    "the client has not sealed the memory");
	if (ret == 0)
		handshake->stage = PEAL_STAGE_FILL;
	return ret;
}

static int cannot_fill(struct peal_handshake *handshake, int error)
{
	if (error == -ENOMEM)
		return refuse_with(handshake, error, "the server lacks memory");
	if (error == -EOPNOTSUPP)
		return refuse_with(
			handshake, error,
			"a sandbox refuses the server madvise(2) and "
			"futex(2), one of which channels need");
	snprintf(handshake->text, sizeof(handshake->text),
		 "the server cannot fault its ring in: %s", strerror(-error));
	return error;
}

int peal_handshake_fill(struct peal_handshake *handshake, size_t most)
{
	struct peal_channel_ring *rings[] = { &handshake->made.in,
					      &handshake->made.out };

	for (int i = 0; i < 2; i++) {
		int ret;

		if (!rings[i]->mem.base || rings[i]->mem.fd < 0)
			continue;
		ret = peal_channel_ring_fill(rings[i], most);
		if (ret < 0)
			return cannot_fill(handshake, ret);
		if (ret == 0)
			return 0;
	}
	return 1;
}

/* -- the last packet */

/*
 * The status that a client is told for an error of the server. If the server
 * lacks something, its errno would mislead the client: the client would take
 * the errno for a refusal, or for something that the client lacks. So the
 * status is -EREMOTEIO, and the text says what the server lacks.
 */
static int status_of(int error)
{
	if (error == -ETIMEDOUT)
		return -EBUSY; /* a client that lives may begin anew */
	return peal_wire_is_refusal(error) ? error : -EREMOTEIO;
}

void peal_handshake_refuse(struct peal_handshake *handshake, int error)
{
	struct peal_wire_answer answer = { .bells = 0 };

	if (error == -EPIPE || error == -ECONNABORTED)
		return; /* the client is gone */
	if (handshake->stage >= PEAL_STAGE_READY) {
		peal_handshake_open(handshake->made.fd, error, handshake->text);
		return;
	}
	peal_wire_begin(&answer.start, PEAL_WIRE_ANSWER, status_of(error),
			handshake->text);
	peal_socket_send(handshake->made.fd, &answer, sizeof(answer), NULL, 0);
}

int peal_handshake_open(int fd, int error, const char *text)
{
	struct peal_wire_open open;
	int ret;

	peal_wire_begin(&open.start, PEAL_WIRE_OPEN,
			error ? status_of(error) : 0, text);
	ret = peal_socket_send(fd, &open, sizeof(open), NULL, 0);
	/* The client said READY. So it has read all earlier packets, and the
	 * socket has room. */
	return ret == -EAGAIN ? -EPROTO : ret;
}
