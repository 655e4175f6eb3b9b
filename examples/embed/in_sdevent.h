/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef IN_SDEVENT_H
#define IN_SDEVENT_H
/*
 * A reactor in sd-event, systemd's loop. Take this and in_sdevent.c as they
 * are, and one of the two forms:
 *
 *	A: in_sdevent_watch(&source, event, &reactor);
 *	B: in_sdevent_init(&in, event, fds, 1024, &reactor, slots, 64);
 *
 * and sd_event_loop(event) as ever.
 */
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include <peal/reactor.h>

/*
 * Form A. End with sd_event_source_disable_unref(), before the reactor's
 * finish. @return as sd_event_add_io()
 */
int in_sdevent_watch(sd_event_source **source, sd_event *event,
		     struct peal_reactor *reactor);

/* Form B: what is known of an fd. */
struct in_sdevent_fd {
	sd_event_source *source; /* NULL: it is not watched */
	struct in_sdevent *in;
	uint64_t token; /* peal's */
};

struct in_sdevent {
	sd_event *event;
	struct in_sdevent_fd *fds; /* by the number of the fd */
	size_t n;
	struct peal_reactor *reactor;
};

/*
 * @param fds  n of them, yours; n is more than any fd's number
 * @return     as peal_reactor_init_hosted(); adding an fd with a larger number
 *             is -EMFILE
 * End with peal_reactor_close(), before sd_event_unref().
 */
int in_sdevent_init(struct in_sdevent *in, sd_event *event,
		    struct in_sdevent_fd *fds, size_t n,
		    struct peal_reactor *reactor, struct peal_slot *slots,
		    size_t n_slots);

#endif
