/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_H
#define PEAL_H
/**
 * @file
 * All of peal. Most programs need three dozen functions:
 *
 *	a ring between threads, or over a fork (local.h)
 *		peal_local_init()  peal_local_close()
 *	its sender, as of any other ring (ring.h)
 *		peal_sender_put()  peal_sender_wait()  peal_sender_commit()
 *		peal_sender_finish()
 *	its receiver
 *		peal_receiver_get()  peal_receiver_wait()
 *		peal_receiver_peek()  peal_receiver_release()
 *	messages of any size in a ring (message.h)
 *		peal_message_send()  peal_message_receive()
 *	rings between processes: a server and its clients (channel.h)
 *		peal_server_listen()  peal_server_close()
 *		peal_connect()  peal_connect_on()  peal_channel_close()
 *	messages from many processes to one name (inbox.h)
 *		peal_inbox_open()  peal_inbox_receive()
 *		peal_inbox_release()  peal_inbox_close()
 *		peal_outbox_open()  peal_outbox_send()  peal_outbox_close()
 *	one thread that serves many rings (reactor.h), also in a loop that the
 *	program has already
 *		peal_reactor_init()  peal_reactor_run()  peal_reactor_stop()
 *		peal_reactor_close()  peal_reactor_fd()  peal_reactor_dispatch()
 *	and with them fds, timers, signals, and other threads (sources.h)
 *		peal_reactor_add_fd()  peal_reactor_add_timer()
 *		peal_reactor_set_timer()  peal_reactor_add_signal()
 *		peal_reactor_add_deferred()  peal_reactor_defer()
 *
 * One rule for reactors: a call whose name ends in _on, such as
 * peal_server_listen_on(), serves its object on a reactor of the caller's, the
 * second argument. The same name without _on waits by itself, or brings a
 * reactor of its own. Rings and all else that a reactor watches are sources:
 * peal_reactor_add_receiver() and the like.
 *
 * The other calls are for those who build rings themselves, in memory or with
 * doorbells of their own, or wait for them in a loop without a reactor:
 *
 *	memory (mem.h)    peal_mem_create(), _seal(), _open(), ...
 *	rings (ring.h)    peal_ring_format(), _open(), peal_sender_attach(),
 *	                  peal_receiver_attach()
 *	doorbells         peal_doorbell_init(), _borrow(), ... (doorbell.h);
 *	                  groups of them (group.h)
 *	waiting           peal_sender_arm(), _clear(), _hangup(), and the
 *	                  receiver's (ring.h)
 *
 * Reading order: local.h, ring.h, message.h, typed.h, channel.h, inbox.h,
 * reactor.h, sources.h; then doorbell.h, group.h, mem.h, version.h.
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
