#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# What proof/faults claims to be: every system call of the library is there.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

faults=$top_srcdir/proof/faults

# What libc does without the kernel, some of it in the place of what the sources
# say, and calls that cannot fail, or only for arguments that nobody here hands
# over.
cat >"$scratch/others" <<'END'
bcmp
clock_gettime
dirname
getenv
geteuid
getpid
memchr
memcmp
memcpy
memmove
memset
pthread_atfork
pthread_sigmask
sigaddset
sigemptyset
sigismember
sigpending
snprintf
sprintf
stpcpy
strcat
strchr
strcmp
strspn
strcpy
strcspn
strerror
strlen
strncat
strncmp
strncpy
strnlen
strrchr
strtol
sysconf
END

calls_of_the_library() {
	$NM -D --undefined-only "$top_builddir/.libs/libpeal.so" |
		sed 's/^ *[A-Za-z] //; s/@.*//; /^_/d' | LC_ALL=C sort -u
}

wrapped() {
	grep -o 'wrap=[a-z0-9_]*' "$faults/local.am" | sed 's/.*=//'
}

every_call_is_made_to_fail() {
	calls_of_the_library >"$scratch/calls"
	[ -s "$scratch/calls" ] || return 1
	wrapped | cat - "$scratch/others" | LC_ALL=C sort -u >"$scratch/known"
	LC_ALL=C comm -23 "$scratch/calls" "$scratch/known" >"$scratch/missing"
	sed 's/^/nothing is known of /' "$scratch/missing"
	[ ! -s "$scratch/missing" ]
}

# One that is wrapped, and never hit in any scenario, would be left out there.
every_call_is_covered() {
	sed 's/ .*//; s/_[A-Z].*//' "$faults/covered.txt" |
		sed 's/^membarrier$/syscall/' | LC_ALL=C sort -u \
		>"$scratch/covered"
	wrapped | LC_ALL=C sort -u |
		LC_ALL=C comm -23 - "$scratch/covered" >"$scratch/missing"
	sed 's/^/no fault is covered of /' "$scratch/missing"
	[ ! -s "$scratch/missing" ]
}

if [ -e "$top_builddir/.libs/libpeal.so" ]; then
	check 'every system call of the library is made to fail' \
		every_call_is_made_to_fail
else
	skip 'every system call of the library is made to fail' \
		'no shared library'
fi
check 'covered.txt has faults of every call' every_call_is_covered
check 'covered.txt is sorted' env LC_ALL=C sort -cu "$faults/covered.txt"
finish
