# SPDX-License-Identifier: MIT OR Apache-2.0
# How configure looks for what can be there and what can be missing.

# PEAL_TRY_FLAG(FLAG)
#
# Appends FLAG to WARN_CFLAGS if the compiler takes it.
AC_DEFUN([PEAL_TRY_FLAG],
  [AC_MSG_CHECKING([whether $CC takes $1])
   peal_saved_CFLAGS=$CFLAGS
   CFLAGS="$CFLAGS -Werror $1"
   AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
     [AC_MSG_RESULT([yes]); WARN_CFLAGS="$WARN_CFLAGS $1"],
     [AC_MSG_RESULT([no])])
   CFLAGS=$peal_saved_CFLAGS])

# PEAL_OPTIONAL(NAME, OPTION, WHAT, MODULES, INCLUDES, BODY, [LIBS])
#
# What a part of the tree uses where it is there: --with-OPTION fails without
# it, --without-OPTION refuses it. Of the pkg-config modules, or LIBS where there
# are none, those are taken that this compiler can compile and link a program
# with: a file of pkg-config may be for another one.
AC_DEFUN([PEAL_OPTIONAL],
  [AC_ARG_WITH([$2],
     [AS_HELP_STRING([--with-$2],
       [use $3 (default: where it can be used)])], [], [with_$2=auto])
   peal_found=no
   peal_given_CFLAGS=$$1_CFLAGS peal_given_LIBS=$$1_LIBS
   AS_IF([test "x$with_$2" != xno],
     [m4_ifval([$4], [m4_foreach([peal_module], [$4],
        [AS_IF([test $peal_found = no],
           [PKG_CHECK_MODULES([$1], m4_dquote(peal_module),
              [PEAL_TRY_LIBRARY([$1], [$3], [$5], [$6])], [:])])
        ])],
        [$1_LIBS='$7'
         AC_SUBST([$1_LIBS])
         PEAL_TRY_LIBRARY([$1], [$3], [$5], [$6])])])
   AS_IF([test $peal_found = yes],
     [AC_DEFINE([HAVE_$1], [1], [Define to 1 if $3 can be used.])],
     [$1_CFLAGS= $1_LIBS=
      AS_IF([test "x$with_$2" = xyes],
        [AC_MSG_ERROR([--with-$2: $CC cannot use $3, or there is none; config.log says more])])])
   AM_CONDITIONAL([HAVE_$1], [test $peal_found = yes])])

# PEAL_TRY_LIBRARY(NAME, WHAT, INCLUDES, BODY)
#
# Sets peal_found to yes if a program can be compiled and linked with NAME_CFLAGS
# and NAME_LIBS; if not, gives both the value that the user gave them.
AC_DEFUN([PEAL_TRY_LIBRARY],
  [AC_MSG_CHECKING([whether $CC can use $2])
   peal_saved_CFLAGS=$CFLAGS peal_saved_LIBS=$LIBS
   CFLAGS="$CFLAGS $$1_CFLAGS" LIBS="$$1_LIBS $LIBS"
   AC_LINK_IFELSE([AC_LANG_PROGRAM([$3], [$4])],
     [peal_found=yes],
     [$1_CFLAGS=$peal_given_CFLAGS $1_LIBS=$peal_given_LIBS])
   CFLAGS=$peal_saved_CFLAGS LIBS=$peal_saved_LIBS
   AC_MSG_RESULT([$peal_found])])
