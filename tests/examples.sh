#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Each example says what it should, and that it is right.

. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.sh"

# says EXAMPLE LINE
says() {
	said=$("$top_builddir/examples/$1") || {
		echo "exit status $?"
		return 1
	}
	echo "$said"
	[ "$said" = "$2" ]
}

every_example_is_tested() {
	for source in "$top_srcdir"/examples/*.c; do
		name=$(basename "$source" .c)
		grep -q "says $name " "$0" || {
			echo "$name is not"
			return 1
		}
	done
}

check 'two threads and a ring' \
	says 01_two_threads 'sum of 1 to 100000: 5000050000'
check 'one reactor for the rings of eight threads' \
	says 02_reactor '8 sensors, 80000 readings'
check 'a ring across fork' says 03_fork '1000 squares from the child'
check 'a ring in an epoll loop of your own' \
	says 04_own_epoll 'the pipe: hello, the ring: 50005000'
check 'the reactor in an epoll loop of your own' \
	says 05_plugged_in 'the pipe: hello, 3 rings: 450015000'
check 'every example is tested here' every_example_is_tested
finish
