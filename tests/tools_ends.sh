#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# How the subcommands of peal end: by signals, where system calls fail, and
# without standard files.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"
. "$top_srcdir/tests/fixtures/tool.sh"

born=$top_builddir/tests/fixtures/born
receiver=
sender=
helper=
trap 'kill -9 $receiver $sender $helper 2>/dev/null; rm -rf "$scratch"' EXIT
mkfifo "$scratch/a" "$scratch/b"

# recv ARGUMENT...: behind, with its pid in $receiver
recv() {
	"$born" $circumstances -- "$peal" recv "$@" 4>&- &
	receiver=$!
}

# send ARGUMENT...: behind, fed by fd 4, with its pid in $sender
send() {
	"$born" $circumstances -- "$peal" send "$@" <"$scratch/a" \
		2>"$err" 4>&- &
	sender=$!
	exec 4>"$scratch/a"
}
circumstances=

# ends PID STATUS: at last; a program that does not end is killed.
ends() {
	within is_over "$1" || {
		kill -9 "$1"
		wait "$1"
		return 1
	}
	wait "$1"
	ended=$?
	[ $ended -eq "$2" ] || {
		echo "exit status $ended, expected $2"
		cat "$err"
		return 1
	}
}

# A zombie is over.
is_over() {
	! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"
}

# exits STATUS COMMAND...
exits() {
	expected=$1
	shift
	"$@" >"$out" 2>"$err"
	status=$?
	echo "$*: exit status $status, expected $expected"
	cat "$err"
	[ $status -eq "$expected" ]
}

says() {
	cat "$err"
	grep -q -e "$1" "$err"
}

came() {
	grep -q -x -e "$1" "$out"
}

# Bytes that the sender has read so far, of whatever; say BYTES from now on.
bytes_read() {
	sed -n 's/^rchar: //p' "/proc/$sender/io"
}

say() {
	wanted=$(($(bytes_read) + $1))
	# In one write, so that send reads it all before its ring is full.
	cat >"$scratch/said"
	cat "$scratch/said" >&4
	within has_read $wanted
}

has_read() {
	[ "$(bytes_read)" -ge "$1" ]
}

# try SENTENCE COMMAND...: a check, of which nothing is left behind.
try() {
	sentence=$1
	shift
	check "$sentence" and_clean_up "$@"
}

and_clean_up() {
	"$@"
	result=$?
	circumstances=
	exec 4>&-
	for pid in $receiver $sender $helper; do
		kill -9 "$pid" 2>/dev/null
		wait "$pid"
	done
	receiver=
	sender=
	helper=
	rm -f "$folder"/*
	return $result
}

# -- standard files that are closed

no_stdin() {
	exits 1 "$peal" send x <&- && says 'cannot read stdin'
}

stdin_for_writing() {
	exits 1 "$peal" send x 0>"$scratch/file" && says 'cannot read stdin'
}

# In words, and not only once a line has come.
no_stdout() {
	"$peal" "$@" >&- 2>"$err"
	status=$?
	echo "exit status $status"
	[ $status -eq 1 ] && says 'cannot write'
}

stdout_for_reading() {
	"$peal" "$@" 1</dev/null 2>"$err"
	status=$?
	echo "exit status $status"
	[ $status -eq 1 ] && says 'cannot write'
}

nothing_at_all() {
	"$peal" "$@" <&- >&- 2>&-
	status=$?
	echo "exit status $status"
	[ $status -eq 1 ]
}

recv_needs_no_stdin() {
	# shellcheck disable=SC2016
	sh -c 'exec "$0" recv --one x <&-' "$peal" >"$out" 4>&- &
	receiver=$!
	echo hello | "$peal" send --timeout 60 x && ends "$receiver" 0 &&
		came hello
}

# Sockets and doorbells of its own have other numbers.
low_fds_are_no_sockets() {
	# What runs behind has /dev/null for stdin before it has none.
	# shellcheck disable=SC2016
	sh -c 'exec "$0" recv x <&- 2>&-' "$peal" >"$out" 4>&- &
	receiver=$!
	within test -S "$folder/x"
	ls -l "/proc/$receiver/fd"
	[ "$(readlink "/proc/$receiver/fd/0")" = / ] &&
		[ "$(readlink "/proc/$receiver/fd/2")" = / ]
}

# What it complains of would break the channel, if it got there.
complaints_go_nowhere() {
	recv --until-gone x >"$out" 2>"$err.recv"
	within test -S "$folder/x"
	{
		echo short
		head -c 70000 /dev/zero | tr '\0' x
		echo
	} | "$peal" send --timeout 60 x 2>&-
	status=$?
	echo "send: exit status $status"
	cat "$err.recv"
	[ $status -eq 1 ] && ends "$receiver" 0 && came short
}

complaints_of_recv_go_nowhere() {
	recv --count 2 x >"$out" 2>&-
	within test -S "$folder/x"
	send x
	echo one >&4
	within came one || return 1
	kill -9 "$sender"
	wait "$sender"
	echo two | "$peal" send --timeout 60 x && ends "$receiver" 5 && came two
}

# With a stderr that nobody reads any more: python3 has SIGPIPE ignored, and
# shells do not say what becomes of it.
stderr_breaks() {
	expected=$1
	shift
	"$born" -- python3 - "$peal" "$@" <<'END' >"$out"
import os, signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
r, w = os.pipe()
os.close(r)
os.dup2(w, 2)
os.execv(sys.argv[1], ["peal"] + sys.argv[2:])
END
	status=$?
	echo "exit status $status, expected $expected"
	[ $status -eq "$expected" ]
}

# Nobody can receive at what is no socket: it does not wait for that.
sends_to() {
	echo x | exits 1 "$peal" send --timeout 1000000 "$1" &&
		says "$1 is not a socket"
}

# Rings that it had no fd to look for are not rings that are not there.
top_lacks_fds() {
	# shellcheck disable=SC2016,SC3045
	exits 1 sh -c 'ulimit -n 4; exec "$0" top --once --interval 0' "$peal" \
		3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &&
		says "$emfile" && ! says 'no rings'
}

# -- signals

# status_of SIGNAL
status_of() {
	case $1 in
	HUP) echo 129 ;;
	INT) echo 130 ;;
	QUIT) echo 131 ;;
	*) echo 143 ;;
	esac
}

ends_recv() {
	recv x >"$out"
	within test -S "$folder/x"
	kill -"$1" "$receiver"
	ends "$receiver" "$(status_of "$1")" && [ ! -e "$folder/x" ]
}

ends_send() {
	recv x >"$out"
	send x
	echo one >&4
	within came one || return 1
	kill -"$1" "$sender"
	ends "$sender" "$(status_of "$1")"
}

# Nobody is there, and nobody will come. It says so, and that within a second.
ends_send_alone() {
	recv x >"$out"
	send x
	echo one >&4
	within came one || return 1
	kill -9 "$receiver"
	wait "$receiver"
	echo two >&4
	within says 'nobody receives' || return 1
	kill -"$1" "$sender"
	ends "$sender" "$(status_of "$1")" && says 'not taken all of it'
}

ends_send_at_its_end() {
	recv x >"$out"
	send x
	echo one >&4
	within came one || return 1
	kill -STOP "$receiver"
	echo two | say 4 || return 1
	exec 4>&-
	kill -TERM "$sender"
	ends "$sender" 143 && says 'not taken all of it'
}

# A signal comes while the ring is full. What was read is sent all the same.
what_was_read_is_sent() {
	recv x >"$out"
	send --bytes 4k --linger 60 x
	echo one >&4
	within came one || return 1
	kill -STOP "$receiver"
	seq 3000 | say 13893 || return 1
	kill -TERM "$sender"
	kill -CONT "$receiver"
	ends "$sender" 143 && within came 3000 && [ ! -s "$err" ]
}

# What could not be sent is told.
what_was_not_sent_is_told() {
	recv x >"$out"
	send --bytes 4k x
	echo one >&4
	within came one || return 1
	kill -STOP "$receiver"
	seq 3000 | say 13893 || return 1
	kill -TERM "$sender"
	ends "$sender" 143 && says 'line [0-9]*, and what .* was not sent'
}

ends_a_stream() {
	recv --raw x >"$out"
	send --raw x
	echo one >&4
	within came one || return 1
	kill -STOP "$receiver"
	head -c 3000000 /dev/zero >&4 &
	helper="$helper $!"
	within has_read 500000 || return 1
	kill -TERM "$sender"
	ends "$sender" 143
}

another_signal_kills() {
	recv x >"$out"
	send --linger 1000000 x
	echo one >&4
	within came one || return 1
	kill -STOP "$receiver"
	echo two | say 4 || return 1
	kill -TERM "$sender"
	within was_told || return 1
	kill -HUP "$sender"
	ends "$sender" 129
}

# It has had the first signal: SIGHUP, the lowest bit, is not caught any more.
was_told() {
	grep -q '^SigCgt:.*[02468ace]$' "/proc/$sender/status"
}

# Of a stdout where nothing gets on; the line goes to the next receiver.
ends_recv_that_writes() {
	sleep 1000 <"$scratch/b" &
	helper=$!
	recv x >"$scratch/b" 2>"$err.recv"
	send x
	yes "$(printf '%01000d' 7)" | head -n 1000 >&4 &
	helper="$helper $!"
	within is_writing || return 1
	kill -"$1" "$receiver"
	ends "$receiver" "$(status_of "$1")" || return 1
	cat "$err.recv"
	recv --one x >"$out"
	ends "$receiver" 0 && grep -q 00007 "$out"
}

# Nor does it get rid of what it has to say of that.
ends_recv_that_is_stuck() {
	sleep 1000 <"$scratch/b" &
	helper=$!
	recv --stats x >"$scratch/b" 2>&1
	send x
	yes "$(printf '%01000d' 7)" | head -n 1000 >&4 &
	helper="$helper $!"
	within is_writing || return 1
	kill -TERM "$receiver"
	ends "$receiver" 143
}

is_writing() {
	cat "/proc/$receiver/wchan" "/proc/$receiver/syscall"
	grep -q pipe "/proc/$receiver/wchan" ||
		grep -q '^[0-9]* 0x1 ' "/proc/$receiver/syscall"
}

blocked_signals_end_it() {
	circumstances='blocked TERM blocked INT'
	ends_recv TERM
}

# As with nohup(1).
ignored_ones_do_not() {
	circumstances='ignored HUP'
	recv x >"$out"
	circumstances=
	within test -S "$folder/x"
	kill -HUP "$receiver"
	echo one | "$peal" send --timeout 60 x && came one &&
		kill -TERM "$receiver" && ends "$receiver" 143
}

demo() {
	"$born" $circumstances -- "$peal" demo --senders 3 --seconds 1000000 \
		"$0" >"$out" 2>"$err" &
	receiver=$!
	within says 'to one thread' && within has_senders
}

has_senders() {
	[ "$(pgrep -P "$receiver" | wc -l)" -eq 3 ] && within says 'rings open'
}

# It stops, and sums up: of the files that were begun nothing is lost.
ends_demo() {
	demo || return 1
	kill -"$1" "$receiver"
	ends "$receiver" 0 && grep -q 'Every byte arrived' "$out"
}

demo_ignores() {
	circumstances='ignored HUP'
	demo || return 1
	circumstances=
	kill -HUP "$receiver"
	kill -TERM "$receiver"
	ends "$receiver" 0 && ! says 'Hangup'
}

# Older kernels have no close_range(2), and senders hold what they inherit.
demo_holds_more() {
	denied close_range ENOSYS || return 0
	"$born" denied close_range ENOSYS -- "$peal" demo --senders 3 \
		--seconds 0 "$0" >"$out" 2>"$err" &
	receiver=$!
	ends "$receiver" 0
}

# Born so, it would hear of no death.
demo_ignores_deaths() {
	circumstances='ignored CHLD'
	ends_demo TERM
}

# Nobody reads its summary, or what it says meanwhile: a signal ends it.
demo_is_stuck() {
	sleep 1000 <"$scratch/b" &
	helper=$!
	exec 5>"$scratch/b"
	timeout 1 cat /dev/zero >&5
	if [ "$1" = stdout ]; then
		"$born" -- "$peal" demo --senders 2 --seconds 0 "$0" >&5 \
			2>"$err" &
	else
		"$born" -- "$peal" demo --senders 2 --seconds 1000000 "$0" \
			>"$out" 2>&5 &
	fi
	receiver=$!
	exec 5>&-
	within is_writing || return 1
	kill -TERM "$receiver"
	ends "$receiver" 143
}

# Before Linux 5.3 there are no pidfds.
demo_on_older() {
	exits 0 "$top_builddir/tests/older" "$1" "$peal" demo --senders 3 \
		--seconds 0 "$0"
}

demo_with_a_sender_that_sleeps() {
	demo || return 1
	kill -STOP "$(pgrep -P "$receiver" | head -n 1)"
	kill -TERM "$receiver"
	ends "$receiver" 1 && says 'was killed'
}

# -- times

# A receiver that does not answer is told of, and one that answers then is
# served: the place in its queue is kept.
tells_of_silence() {
	recv --one x >"$out"
	within test -S "$folder/x" || return 1
	kill -STOP "$receiver"
	echo late | "$peal" send --timeout 60 x 2>"$err" &
	sender=$!
	within says 'no answer from the receiver; waiting' || return 1
	kill -CONT "$receiver"
	ends "$receiver" 0 && came late && ends "$sender" 0
}

# Also where it has nothing to read meanwhile.
time_runs_while_idle() {
	recv x >"$out"
	send --timeout 2 x
	echo one >&4
	within came one || return 1
	kill -STOP "$receiver"
	echo two >&4
	kill -9 "$receiver"
	wait "$receiver"
	ends "$sender" 3 && says 'not taken all of it'
}

# -- system calls that fail

# denied CALL ERROR COMMAND...: status 77 means that it cannot be denied
denied() {
	"$born" denied "$1" "$2" -- true 2>"$scratch/denied"
	[ $? -ne 77 ]
}

fails_to() {
	call=$1
	error=$2
	says=$3
	shift 3
	denied "$call" "$error" || return 0
	exits 1 "$born" denied "$call" "$error" -- "$peal" "$@" && says "$says"
}

# Its input is open, and silent.
waiting_fails() {
	denied "$1" ENOMEM || return 0
	recv x >"$out"
	within test -S "$folder/x"
	circumstances="denied $1 ENOMEM"
	send --timeout 60 x
	circumstances=
	ends "$sender" 1 && says 'memory'
}

stdin_fails() {
	denied read_stdin EIO || return 0
	recv "$@" x >"$out"
	within test -S "$folder/x"
	echo x | exits 1 "$born" denied read_stdin EIO -- "$peal" send \
		--timeout 60 "$@" x && says 'cannot read stdin'
}

# What was not written is the next receiver's.
stdout_fails() {
	denied write_stdout EIO || return 0
	circumstances='denied write_stdout EIO'
	recv x >"$out" 2>"$err"
	circumstances=
	echo hello | "$peal" send --timeout 60 x &
	helper="$helper $!"
	ends "$receiver" 1 && says 'cannot write' || return 1
	recv --one x >"$out"
	ends "$receiver" 0 && came hello && wait $helper
}

try 'reading a stdin that is closed is an error' no_stdin
try 'so is one that is only for writing' stdin_for_writing
try 'recv without a stdout' no_stdout recv x
try 'top without one' no_stdout top --once --interval 0
try 'as JSON, too' no_stdout top --json --interval 0
try 'demo without one' no_stdout demo --seconds 0 "$0"
try 'help without one' no_stdout --help
try 'and of a command' no_stdout top --help
try 'recv with one that is only for reading' stdout_for_reading recv x
for command in 'recv x' 'send x' 'top --once' 'demo' '--version'; do
	# shellcheck disable=SC2086
	try "$command without any standard file" nothing_at_all $command
done
try 'recv needs no stdin' recv_needs_no_stdin
try 'no socket becomes a standard file' low_fds_are_no_sockets
try 'without a stderr complaints of send go nowhere' complaints_go_nowhere
try 'nor do those of recv' complaints_of_recv_go_nowhere

if have python3; then
	try 'a stderr that breaks does not end demo' stderr_breaks 0 demo \
		--senders 2 --seconds 0 "$0"
	try 'nor top' stderr_breaks 0 top --once --interval 0 --name nosuch
	try 'nor changes what it says of a wrong call' stderr_breaks 2 nosuch
else
	skip 'a stderr that breaks ends nothing' 'no python3'
fi
try 'top that lacks fds does not say that there are no rings' top_lacks_fds
file=$scratch/file
: >"$file"
try 'send does not wait at a file' sends_to "$file"
try 'nor at a folder' sends_to "$scratch"
try 'nor at a device' sends_to /dev/null
ulimit -c 0 # of SIGQUIT
for signal in TERM INT HUP QUIT; do
	try "SIG$signal ends recv" ends_recv $signal
	try "SIG$signal ends send" ends_send $signal
	try "SIG$signal ends send without a receiver" ends_send_alone $signal
	try "SIG$signal ends recv while it writes" ends_recv_that_writes \
		$signal
	if have pgrep; then
		[ $signal = QUIT ] ||
			try "SIG$signal ends demo" ends_demo $signal
	else
		skip "SIG$signal ends demo" 'no pgrep'
	fi
done
if [ -r /proc/self/io ]; then
	try 'a signal ends send at its end' ends_send_at_its_end
	try 'what was read before is sent' what_was_read_is_sent
	try 'what was not sent is told' what_was_not_sent_is_told
	try 'a signal ends a stream' ends_a_stream
	try 'a second signal kills, if it is another one, too' another_signal_kills
else
	skip 'a signal ends send at its end' 'no /proc/PID/io'
fi
try 'a signal ends recv of which nobody reads a word' ends_recv_that_is_stuck
try 'signals that were blocked at birth end it' blocked_signals_end_it
try 'those that were ignored do not' ignored_ones_do_not
if have pgrep; then
	try 'so it is with demo' demo_ignores
	try 'born without SIGCHLD it hears of its senders' demo_ignores_deaths
	try 'senders of demo that do not stop are killed' \
		demo_with_a_sender_that_sleeps
else
	skip 'so it is with demo' 'no pgrep'
	skip 'senders of demo that do not stop are killed' 'no pgrep'
fi

try 'a signal ends demo where nobody reads its summary' demo_is_stuck stdout
try 'nor what it says meanwhile' demo_is_stuck stderr
try 'demo runs on Linux 4.14' demo_on_older 4.14
try 'and on 5.2' demo_on_older 5.2

try 'a receiver that does not answer is told of' tells_of_silence
try 'the time of send runs while it has nothing to send' time_runs_while_idle

try 'demo ends where its senders can close nothing' demo_holds_more
try 'send ends where poll fails' waiting_fails poll
try 'and where ppoll does' waiting_fails ppoll
try 'and where stdin does' stdin_fails
try 'of a stream, too' stdin_fails --raw
try 'recv ends where epoll_wait fails' \
	fails_to epoll_wait ENOMEM 'cannot receive' recv x
try 'and where stdout does' stdout_fails
try 'and where it cannot catch signals' \
	fails_to eventfd EMFILE 'cannot catch signals' recv x
finish
