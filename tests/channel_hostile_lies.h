/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_HOSTILE_LIES_H
#define PEAL_TESTS_HOSTILE_LIES_H
/* How a hostile server lies to its clients. */
#include <peal/channel.h>

#include "../channel/internal.h"

#define CAPACITY 512 /* items that the client asks for */

/* All that an answer consists of, for one who lies in one of it. */
struct lie {
	struct peal_wire_hello hello; /* what the client asked for */
	struct peal_channel_ring made;
	struct peal_wire_answer answer;
	size_t size; /* of the packet */
	int fds[12];
	int n_fds, times;
	bool hold; /* say nothing, and stay there */
	/* What comes last, once the client is ready. */
	union {
		struct peal_wire_open open;
		struct peal_wire_hello hello;
		struct peal_wire_answer answer;
	} last;
	size_t last_size;
	int last_fds[2], n_last_fds, last_times;
	bool too_early; /* not only once the client is ready */
	bool first;	/* even before the answer */
	bool leaves;	/* and then it hangs up */
	int bells;	/* packets that come before */
};

struct deceit {
	const char *name;
	void (*lie)(struct lie *lie);
	int expect, or_else;
	enum peal_doorbell_kind bells;
};

/* It ends with an empty row. */
extern const struct deceit hostile_lies[];

#endif
