/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_PROOF_MESSAGE_H
#define PEAL_PROOF_MESSAGE_H
#include "peer.h"

#define MESSAGE_SHAPES 6

extern const struct shape message_shapes[MESSAGE_SHAPES];

/* Two honest ends: what is sent arrives, once, in order, as it was. */
void message_pair(struct input *in);

#endif
