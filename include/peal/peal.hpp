/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_HPP
#define PEAL_HPP
/**
 * @file
 * peal for C++17: a thin skin over the C headers, which hold all that is said
 * of errors, contexts and caveats. Nothing but headers; link with libpeal.
 *
 *	peal::local<int> ring(1024);
 *	std::thread sender([tx = ring.sender()] {
 *		for (int i = 0; i < 100; i++) {
 *			auto room = tx.wait();
 *
 *			if (!room)
 *				return; // the receiver is gone
 *			room[0] = i;
 *			tx.commit(1);
 *		}
 *		tx.finish();
 *	});
 *	long sum = 0;
 *	while (auto items = ring.receiver().wait()) {
 *		for (int item : items)
 *			sum += item;
 *		ring.receiver().release(items.size());
 *	}
 *	sender.join();
 *
 * - What is made throws std::system_error where it cannot be made: there is no
 *   object then. What is called again and again returns -Exxx as in C, or an
 *   empty span that knows why: a full ring or a peer that has died is no
 *   exception, and this compiles to what the C call does.
 * - What can be moved without anybody noticing can be moved: memory, blobs,
 *   doorbells, ends, local rings, channels, outboxes. What a reactor links into
 *   its lists stays where it is: reactors, sources, servers, inboxes.
 * - Callbacks are any callable, kept in the object: nothing is allocated. An
 *   exception that leaves one stops the loop, and reactor::run() throws it.
 * - c() is the C struct, for what is not wrapped.
 * - With -fno-exceptions what cannot be made ends the program.
 */
#include <peal/channel.hpp>
#include <peal/inbox.hpp>
#include <peal/local.hpp>
#include <peal/mem.hpp>
#include <peal/message.hpp>
#include <peal/reactor.hpp>
#include <peal/ring.hpp>
#include <peal/server.hpp>
#include <peal/sources.hpp>
#include <peal/span.hpp>
#include <peal/version.h>
#endif
