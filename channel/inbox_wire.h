/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_CHANNEL_INBOX_WIRE_H
#define PEAL_CHANNEL_INBOX_WIRE_H
/* What the two sides of an inbox have in common: the tag of its rings. */
#include <errno.h>
#include <stdio.h>

#include <peal/inbox.h>

/*
 * With `stamped`, each message begins with its time in nanoseconds.
 * @return 0, -EINVAL the tag is too long
 */
static inline int peal_inbox_tag(char *to, const char *tag, bool stamped)
{
	struct peal_geometry geometry = { 0 };
	char full[64];
	int n = snprintf(full, sizeof(full), "%.63s%s", tag ? tag : "",
			 stamped ? "+time" : "");
	int ret = n >= (int)sizeof(full)
			  ? -EINVAL
			  : peal_message_geometry(&geometry, 8,
						  n > 0 ? full : NULL);

	if (ret == 0)
		memcpy(to, geometry.tag, sizeof(geometry.tag));
	return ret;
}

#endif
