/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_RING_LAYOUT_H
#define PEAL_RING_LAYOUT_H
/*
 * The shared layout: what two processes, perhaps of different builds, have to
 * agree on. A change here is a new PEAL_LAYOUT_VERSION.
 *
 *	0	    the sender's page: written by the sender alone
 *	head / 2    the receiver's page: written by the receiver alone
 *	head	    the items: written by the sender alone
 *
 * Only whoever formats the ring writes both pages, before the handover. No
 * word has two authors, so there is no atomic read-modify-write anywhere.
 */
#include <stddef.h>
#include <stdint.h>

#include <peal/ring.h>

#define PEAL_LAYOUT_MAGIC UINT64_C(0x474e49524c414550) /* "PEALRING" */
#define PEAL_LAYOUT_VERSION 1u
#define PEAL_LAYOUT_ENDIAN 0x01020304u
#define PEAL_PAGE_SIZE 4096u

/* What `state` says; anything else breaks the protocol. */
enum peal_state {
	PEAL_STATE_OPEN = 0,
	PEAL_STATE_FINISHED = 1, /* position is the last one */
	PEAL_STATE_BROKEN = 2,	 /* it found the other end's words impossible */
};

/* Who was offered a barrier may lean on it until it looks again, so an end that
 * takes over has to know of an offer that is withdrawn. */
enum peal_barrier {
	PEAL_BARRIER_NEVER = 0,
	PEAL_BARRIER_OFFERED = 1,
	PEAL_BARRIER_WITHDRAWN = 2,
};

/* What never changes after the ring was formatted, the same in both pages. */
struct peal_header {
	uint64_t magic;
	uint32_t version;
	uint32_t endian;
	uint32_t flags;
	uint32_t reserved;
	uint64_t capacity;
	uint64_t item_size;
	uint64_t head;
	uint8_t reserved2[16];
	char tag[64];
	char name[64];
};

/*
 * One end's page. Words that the other end reads at each batch and words that
 * it reads before it sleeps stand 128 bytes apart, since processors fetch
 * lines in pairs.
 */
struct peal_page {
	struct peal_header header;
	uint8_t pad0[256 - sizeof(struct peal_header)];

	uint64_t position; /* tail or head */
	uint8_t pad1[384 - 256 - 8];

	uint64_t wake;	/* space_wake or data_wake: ring me at this position */
	uint64_t state; /* enum peal_state */
	uint64_t light; /* 1: it publishes without a fence; see fence.c */
	uint64_t barrier; /* enum peal_barrier: for such a peer */
	uint8_t pad2[512 - 384 - 32];

	/* struct peal_ring_stats up to the items, for those who look on. */
	uint64_t counts[4];
	uint64_t pid; /* likewise: of the process that attached last */
	uint8_t pad3[PEAL_PAGE_SIZE - 512 - 40];
};

_Static_assert(sizeof(struct peal_header) == 192, "layout");
_Static_assert(offsetof(struct peal_header, capacity) == 24, "layout");
_Static_assert(offsetof(struct peal_header, tag) == 64, "layout");
_Static_assert(offsetof(struct peal_page, position) == 256, "layout");
_Static_assert(offsetof(struct peal_page, wake) == 384, "layout");
_Static_assert(offsetof(struct peal_page, state) == 392, "layout");
_Static_assert(offsetof(struct peal_page, light) == 400, "layout");
_Static_assert(offsetof(struct peal_page, barrier) == 408, "layout");
_Static_assert(offsetof(struct peal_page, counts) == 512, "layout");
_Static_assert(offsetof(struct peal_page, pid) == 544, "layout");
_Static_assert(sizeof(struct peal_page) == PEAL_PAGE_SIZE, "layout");
_Static_assert(2 * sizeof(struct peal_page) == PEAL_RING_HEAD, "layout");
_Static_assert(offsetof(struct peal_ring_stats, items) == 32, "layout");
#if __GCC_ATOMIC_LLONG_LOCK_FREE != 2
#error "64-bit loads and stores must be lock-free"
#endif

#endif
