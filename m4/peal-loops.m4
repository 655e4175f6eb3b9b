# SPDX-License-Identifier: MIT OR Apache-2.0
# Event loops: one macro each.

AC_DEFUN([PEAL_WITH_LIBEVENT],
  [PEAL_OPTIONAL([LIBEVENT], [libevent], [libevent], [[libevent_core >= 2.1]],
    [[#include <event2/event.h>]], [[event_base_free(event_base_new());]])])

AC_DEFUN([PEAL_WITH_LIBUV],
  [PEAL_OPTIONAL([LIBUV], [libuv], [libuv], [[libuv >= 1.38]],
    [[#include <uv.h>]], [[uv_metrics_idle_time(uv_default_loop());]])])

AC_DEFUN([PEAL_WITH_GLIB],
  [PEAL_OPTIONAL([GLIB], [glib], [GLib], [[glib-2.0 >= 2.36]],
    [[#include <glib.h>]], [[g_main_loop_unref(g_main_loop_new(NULL, FALSE));]])])

# libev has no .pc file.
AC_DEFUN([PEAL_WITH_LIBEV],
  [PEAL_OPTIONAL([LIBEV], [libev], [libev], [],
    [[#include <ev.h>]], [[ev_run(ev_default_loop(0), 0);]], [-lev])])

AC_DEFUN([PEAL_WITH_LIBSYSTEMD],
  [PEAL_OPTIONAL([LIBSYSTEMD], [libsystemd], [sd-event and sd-bus],
    [[libsystemd >= 243]], [[#include <stddef.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>]], [[sd_event_unref(NULL); sd_bus_unref(NULL);]])])
