#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Whose fault it is: what the subcommands of peal say of it is so.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"
. "$top_srcdir/tests/fixtures/tool.sh"

born=$top_builddir/tests/fixtures/born
mkfifo "$scratch/a"

# recv ARGUMENT...: behind, until stop
recv() {
	"$@" 4>&- >"$out" 2>"$err.recv" &
	receiver=$!
	within test -S "$folder/x"
}

stop() {
	kill "$receiver"
	wait "$receiver"
	rm -f "$folder/x"
	cat "$err" "$err.recv"
}

# send STATUS ARGUMENT...: one line, to x
send() {
	expected=$1
	shift
	echo hello | "$@" --timeout 60 x 2>"$err"
	status=$?
	echo "send: exit status $status, expected $expected"
	[ $status -eq "$expected" ]
}

says() {
	grep -q -e "$1" "$err"
}

recv_says() {
	grep -q -e "$1" "$err.recv"
}

denied() {
	"$born" denied "$1" "$2" -- true 2>"$scratch/denied"
	[ $? -ne 77 ]
}

# -- the receiver's lack

# not_mine WHY: neither a refusal, nor a lack of the sender's own
not_mine() {
	says 'the receiver' && says "not this sender's fault: .*$1" &&
		! says '/x refuses'
}

few_fds() {
	# shellcheck disable=SC2016,SC3045
	recv sh -c 'ulimit -n 12; exec "$0" recv x' "$peal"
	send 1 "$peal" send
	status=$?
	stop
	[ $status -eq 0 ] && not_mine "$emfile" &&
		recv_says 'fewer can be served' &&
		recv_says 'this receiver lacks file descriptors'
}

no_memory() {
	denied memfd_create ENOMEM || return 0
	recv "$born" denied memfd_create ENOMEM -- "$peal" recv x
	send 1 "$peal" send
	status=$?
	stop
	[ $status -eq 0 ] && not_mine "$enomem" &&
		recv_says 'lacks file descriptors or memory'
}

# Not of too many senders, and not of this sender.
no_system_call() {
	denied memfd_create ENOSYS || return 0
	recv "$born" denied memfd_create ENOSYS -- "$peal" recv x
	send 1 "$peal" send
	status=$?
	stop
	[ $status -eq 0 ] && not_mine 'Function not implemented' &&
		recv_says 'cannot be served, by a failure here'
}

# -- the sender's own

# own_failure CALL ERROR: that call fails, and where memory is faulted in without
# it, that by futex(2) as well
own_failure() {
	denied "$1" "$2" || return 0
	recv "$peal" recv x
	send 1 "$born" denied "$1" "$2" denied futex "$2" -- "$peal" send
	status=$?
	stop
	[ $status -eq 0 ] && says 'cannot' && ! says '/x refuses'
}

# -- those that were refused

another_tag() {
	recv "$peal" recv --tag log/1 x
	send 4 "$peal" send --tag log/2
	status=$?
	stop
	[ $status -eq 0 ] && says 'refuses: .*log/1' &&
		recv_says 'pid [0-9]*, user [0-9]*) was refused: .*log/2' &&
		[ "$(wc -l <"$err.recv")" -eq 1 ]
}

too_large() {
	recv "$peal" recv --bytes 64k x
	send 4 "$peal" send --bytes 1M
	status=$?
	stop
	[ $status -eq 0 ] && recv_says 'was refused: .*allows'
}

too_many() {
	recv "$peal" recv --senders 1 x
	"$peal" send --timeout 60 x <"$scratch/a" 4>&- &
	sender=$!
	exec 4>"$scratch/a"
	echo first >&4
	within grep -q first "$out"
	send 4 "$peal" send
	status=$?
	exec 4>&-
	wait $sender
	stop
	[ $status -eq 0 ] && recv_says 'was refused'
}

# Its senders ask twice, which is nobody's fault.
stamps_are_no_refusal() {
	recv "$peal" recv --oldest --tag log/1 x
	send 0 "$peal" send --tag log/1
	status=$?
	within grep -q hello "$out"
	stop
	[ $status -eq 0 ] && [ ! -s "$err.recv" ]
}

wrong_tag_among_stamps() {
	recv "$peal" recv --oldest --tag log/1 x
	send 4 "$peal" send --tag log/2
	status=$?
	stop
	[ $status -eq 0 ] && recv_says 'was refused: .*log/2' &&
		[ "$(wc -l <"$err.recv")" -eq 1 ]
}

# A receiver that finds the place taken has looked, and gone.
a_look_is_no_refusal() {
	recv "$peal" recv x
	"$peal" recv x 2>"$err"
	second=$?
	send 0 "$peal" send
	stop
	[ $second -eq 1 ] && [ ! -s "$err.recv" ]
}

# A thousand that come at once are counted, and not told of one by one.
many_are_counted() {
	recv "$peal" recv --tag log/1 x
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		send 4 "$peal" send --tag "log/$i$i"
	done
	stop
	[ "$(wc -l <"$err.recv")" -lt 20 ] && recv_says '[0-9] more'
}

# -- addresses

somebody_is_there() {
	recv "$peal" recv x
	"$peal" recv x 2>"$err"
	status=$?
	stop
	[ $status -eq 1 ] && says 'somebody receives at .*/x already'
}

# as_nobody COMMAND...: in a folder that is open to all
as_nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

may_be_nobody() {
	[ "$(id -u)" = 0 ] && have setpriv &&
		as_nobody "$peal" --version >/dev/null 2>&1
}

dead_socket_of_another() {
	mkdir -m 1777 "$scratch/open"
	chmod 755 "$scratch"
	"$peal" recv "$scratch/open/s" >"$out" &
	receiver=$!
	within test -S "$scratch/open/s"
	kill -9 $receiver
	wait $receiver
	as_nobody "$peal" recv --timeout 0.05 "$scratch/open/s" 2>"$err"
	status=$?
	cat "$err"
	[ $status -eq 1 ] && ! says 'somebody receives at' && says 'user 0'
}

may_not_connect() {
	chmod 755 "$scratch"
	mkdir -p -m 1777 "$scratch/open"
	"$peal" recv "$scratch/open/t" >"$out" &
	receiver=$!
	within test -S "$scratch/open/t"
	echo x | as_nobody "$peal" send --timeout 5 "$scratch/open/t" 2>"$err"
	status=$?
	kill $receiver
	wait $receiver
	cat "$err"
	[ $status -eq 4 ] && says 'mode'
}

# -- demo

# demo_says PATTERN STATUS CALL ERROR
demo_says() {
	denied "$3" "$4" || return 0
	"$born" denied "$3" "$4" -- "$peal" demo --senders 2 --seconds 0 "$0" \
		2>"$err" >"$out"
	status=$?
	cat "$err"
	[ $status -eq "$2" ] && says "$1"
}

fewer_do_not_help() {
	demo_says "$@" && { ! says 'fewer' || ! denied "$3" "$4"; }
}

check 'a sender whose receiver has no fds does not blame itself' few_fds
check 'nor where it has no memory' no_memory
check 'nor where its kernel has no such call' no_system_call
check 'what fails here is not the refusal of the receiver' \
	own_failure madvise EPERM
check 'whatever the error' own_failure madvise EINVAL
check 'nor is what fails before' own_failure eventfd EPERM
check 'recv says whom it has refused, and why' another_tag
check 'because of a ring, too' too_large
check 'and where there is no place' too_many
check 'what the oldest first is to know is no refusal' stamps_are_no_refusal
check 'but tags are' wrong_tag_among_stamps
check 'a look is none' a_look_is_no_refusal
check 'many are counted' many_are_counted
check 'somebody who receives is known to' somebody_is_there
if may_be_nobody; then
	check 'a dead socket of another user is nobody who receives' \
		dead_socket_of_another
	check 'who may not connect is told what to look at' may_not_connect
else
	skip 'a dead socket of another user is nobody who receives' \
		'not root, or nothing to run'
	skip 'who may not connect is told what to look at' \
		'not root, or nothing to run'
fi
check 'demo: fewer senders help where fds have run out' \
	demo_says 'fewer --senders' 1 memfd_create EMFILE
check 'and smaller files where memory has' \
	demo_says 'fewer or smaller' 1 memfd_create ENOMEM
check 'they do not where the kernel has no such call' \
	fewer_do_not_help 'kernel lacks' 2 memfd_create ENOSYS
check 'nor where it is forbidden' \
	fewer_do_not_help 'not permitted' 1 memfd_create EPERM
finish
