/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef IN_GLIB_H
#define IN_GLIB_H
/*
 * A reactor in GLib's main loop (GTK, GStreamer, D-Bus services). Take this and
 * in_glib.c as they are, and one of the two forms:
 *
 *	A: source = in_glib_watch(context, &reactor);
 *	B: in_glib_init(&in, context, fds, 66, &reactor, slots, 64);
 *
 * and g_main_loop_run() as ever. A context of NULL is the default one. A is the
 * better one here: GLib polls each fd of each source at each iteration.
 *
 * While GLib dispatches a source it takes its fds out of the loop and puts them
 * back, for the sake of callbacks that run a loop within the loop: four system
 * calls for each wake-up in A and eight in B, where two do. If none of your
 * callbacks does that, say so: g_source_set_can_recurse(source, TRUE).
 */
#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#include <peal/reactor.h>

/* Form A. End with g_source_destroy() and g_source_unref(). */
GSource *in_glib_watch(GMainContext *context, struct peal_reactor *reactor);

/* Form B: what is known of an fd. */
struct in_glib_fd {
	int fd;		/* or -1: it is not in use */
	gpointer tag;	/* GLib's, or NULL while it is paused */
	uint64_t token; /* peal's */
};

struct in_glib {
	GSource *source; /* one for all, so that its fds can come and go */
	struct in_glib_fd *fds;
	size_t n;
	struct peal_reactor *reactor;
};

/*
 * @param fds  n of them, yours
 * @param n    two more than sources that have an fd
 * @return     as peal_reactor_init_hosted(); adding an fd when all are in use
 *             is -ENOSPC
 * Then g_source_set_priority() and the like are possible, with in->source.
 */
int in_glib_init(struct in_glib *in, GMainContext *context,
		 struct in_glib_fd *fds, size_t n, struct peal_reactor *reactor,
		 struct peal_slot *slots, size_t n_slots);
/* Finish the reactor, and what belongs to GLib. Not from its callbacks. */
void in_glib_finish(struct in_glib *in);

#endif
