/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_H
#define PEAL_H
/**
 * @file
 * All of peal. Reading order: ring.h, message.h, typed.h, doorbell.h, local.h,
 * channel.h, inbox.h, reactor.h, sources.h, mem.h, version.h.
 */
#include <peal/channel.h>
#include <peal/doorbell.h>
#include <peal/group.h>
#include <peal/inbox.h>
#include <peal/local.h>
#include <peal/mem.h>
#include <peal/message.h>
#include <peal/reactor.h>
#include <peal/ring.h>
#include <peal/sources.h>
#include <peal/typed.h>
#include <peal/version.h>
#endif
