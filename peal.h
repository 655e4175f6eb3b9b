/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_H
#define PEAL_H
/**
 * @file
 * All of peal. Reading order: ring.h, doorbell.h, reactor.h, local.h, mem.h.
 */
#include <peal/doorbell.h>
#include <peal/local.h>
#include <peal/mem.h>
#include <peal/reactor.h>
#include <peal/ring.h>
#endif
