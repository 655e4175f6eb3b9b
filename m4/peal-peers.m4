# SPDX-License-Identifier: MIT OR Apache-2.0
# What bench/ compares with, and the screen of `peal top`: one macro each.

AC_DEFUN([PEAL_WITH_LIBZMQ],
  [PEAL_OPTIONAL([LIBZMQ], [libzmq], [ZeroMQ], [[libzmq >= 4.1]],
    [[#include <zmq.h>]], [[zmq_ctx_term(zmq_ctx_new());]])])

AC_DEFUN([PEAL_WITH_LIBQB],
  [PEAL_OPTIONAL([LIBQB], [libqb], [the ring buffer of libqb], [[libqb >= 1.0]],
    [[#include <stddef.h>
#include <qb/qbrb.h>]], [[qb_rb_close(NULL);]])])

# nng has a .pc file in some distributions only.
AC_DEFUN([PEAL_WITH_NNG],
  [PEAL_OPTIONAL([NNG], [nng], [nng], [], [[#include <nng/nng.h>
#include <nng/protocol/pipeline0/push.h>]],
    [[nng_socket s; nng_push0_open(&s);]], [-lnng])])

AC_DEFUN([PEAL_WITH_CURSES],
  [PEAL_OPTIONAL([CURSES], [ncurses], [ncurses],
    [[ncursesw >= 6.0], [ncurses >= 6.0]],
    [[#include <curses.h>]], [[initscr(); return endwin();]])])
