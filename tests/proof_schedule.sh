#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Some thousand schedules of the C code, each chosen step by step. `make proof`
# has a million, and the bugs that are planted to be found.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

run=$top_srcdir/proof/schedule/run

# The code is compiled with calls in the place of some that the headers declare.
echo '#include <stdlib.h>
#ifndef __GLIBC__
#error other
#endif' | ${CC:-cc} -E -o /dev/null - 2>/dev/null ||
	skip_all 'the schedules are made for the headers of glibc'

check 'rings, messages and reactors hold under 20000 schedules' "$run" --quick
check 'a fence that is taken away is found out' "$run" publish_fence
finish
