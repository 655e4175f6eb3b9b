#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# `peal send` and `peal recv`: lines of many, streams of one, and how they end.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"
. "$top_srcdir/tests/fixtures/tool.sh"

# In the background; its pid is in $receiver. A later --timeout counts.
recv() {
	"$peal" recv --timeout 60 "$@" 4>&- 5>&- &
	receiver=$!
}

# In the foreground; and behind, with its pid in $sender.
send() {
	"$peal" send --timeout 60 "$@"
}

# feed FIFO ARGUMENTS...: it opens the fifo itself, or this shell would wait.
feed() {
	fifo=$scratch/$1
	shift
	"$peal" send --timeout 60 "$@" <"$fifo" 4>&- 5>&- &
	sender=$!
}

# ends PID STATUS
ends() {
	wait "$1"
	ended=$?
	[ $ended -eq "$2" ] || {
		echo "exit status $ended, expected $2"
		cat "$err"
		return 1
	}
}

# exits STATUS COMMAND...
exits() {
	expected=$1
	shift
	"$@" </dev/null >"$out" 2>"$err"
	status=$?
	echo "$*: exit status $status, expected $expected"
	cat "$err"
	[ $status -eq "$expected" ]
}

is() {
	printf '%s\n' "$@" | diff - "$out"
}

bytes_are() {
	[ "$(wc -c <"$1")" -eq "$2" ]
}

says() {
	cat "$err"
	grep -q -e "$1" "$err"
}

# Fifos that programs are fed by.
mkfifo "$scratch/a" "$scratch/b"

# -- lines

lines_arrive() {
	recv --until-gone x >"$out"
	seq 1000 | send x && ends "$receiver" 0 && seq 1000 | diff - "$out"
}

strange_lines_arrive() {
	recv --until-gone x >"$out"
	printf 'one\n\n\nfour \000\001\377\nthe last' | send x &&
		ends "$receiver" 0 &&
		printf 'one\n\n\nfour \000\001\377\nthe last\n' | cmp - "$out"
}

# Five processes at once; each one's lines in its own order.
many_senders() {
	recv --from --count 5000 x >"$out"
	pids=
	for name in a b c d e; do
		seq 1000 | send --name $name --bytes 4k x &
		pids="$pids $!"
	done
	for pid in $pids; do
		ends "$pid" 0 || return 1
	done
	ends "$receiver" 0 || return 1
	for name in a b c d e; do
		sed -n "s/^$name: //p" "$out" >"$scratch/of"
		seq 1000 | diff - "$scratch/of" || return 1
	done
}

short_forms() {
	recv -f1 x >"$out"
	echo hello | send -n cello -b 4k x && ends "$receiver" 0 &&
		is 'cello: hello'
}

without_a_name_it_is_the_pid() {
	recv --from --one x >"$out"
	echo hello | send x && ends "$receiver" 0 &&
		grep -E '^pid [0-9]+: hello$' "$out"
}

a_name_cannot_steer_a_terminal() {
	recv --one x >"$out.recv"
	within test -S "$folder/x" || return 1
	exits 2 "$peal" send --name "$(printf 'a\033[2Jb')" x
	status=$?
	echo hello | send x && ends "$receiver" 0 && [ $status -eq 0 ]
}

the_rest_waits_for_the_next_receiver() {
	recv --one x >"$out"
	seq 5 | send x &
	sender=$!
	ends "$receiver" 0 && is 1 || return 1
	recv --count 2 x >"$out"
	ends "$receiver" 0 && is 2 3 || return 1
	recv --until-gone x >"$out"
	ends "$receiver" 0 && is 4 5 && ends "$sender" 0
}

# Killed, it may have written what it had not given back: that comes again.
receivers_killed_lose_nothing() {
	recv x >"$out.1"
	feed a --bytes 4k x
	exec 4>"$scratch/a"
	seq 2000 >&4
	within grep -qx 2000 "$out.1" || return 1
	kill -9 "$receiver"
	wait "$receiver"
	recv --until-gone x >"$out.2"
	seq 2001 4000 >&4
	exec 4>&-
	ends "$sender" 0 && ends "$receiver" 0 || return 1
	cat "$out.1" "$out.2" | sort -n -u >"$out"
	seq 4000 | diff - "$out" && sort -n -c "$out.2"
}

# While the sender has nothing to say, it finds the next one all the same.
an_idle_sender_finds_the_next_receiver() {
	recv x >"$out"
	feed a x
	exec 4>"$scratch/a"
	echo 1 >&4
	within grep -qx 1 "$out" || return 1
	kill -STOP "$receiver"
	echo 2 >&4
	kill -9 "$receiver"
	wait "$receiver"
	recv --one x >"$out"
	ends "$receiver" 0 && is 2
	status=$?
	exec 4>&-
	[ $status -eq 0 ] && ends "$sender" 0
}

# a and its second line are older than b; in turns b would come before that.
the_oldest_comes_first() {
	recv --oldest --count 4 x >"$out"
	feed a --linger 0 x 2>"$err"
	a=$sender
	exec 4>"$scratch/a"
	echo ready >&4
	within grep -q ready "$out" || return 1
	feed b --linger 0 x 2>"$err"
	b=$sender
	exec 5>"$scratch/b"
	echo steady >&5
	within grep -q steady "$out" || return 1
	kill -STOP "$receiver"
	printf 'a1\na2\n' >&4
	exec 4>&-
	ends "$a" 3 || return 1
	echo b1 >&5
	exec 5>&-
	ends "$b" 3 || return 1
	kill -CONT "$receiver"
	ends "$receiver" 0 && is ready steady a1 a2
}

only_when_empty() {
	recv --until-gone x >"$out"
	seq 100 | send --when-empty x && ends "$receiver" 0 &&
		seq 100 | diff - "$out"
}

a_line_too_long() {
	recv --until-gone x >"$out"
	{
		echo short
		head -c 70000 /dev/zero | tr '\0' x
		printf '\nnever\n'
	} | send "$@" x 2>"$err"
	status=$?
	echo "exit status $status"
	ends "$receiver" 0 && [ $status -eq 1 ] && is short
}

both_figures() {
	a_line_too_long --max 100 && says 'line 2 has 70000 bytes, and 100 ' &&
		a_line_too_long && says '70000 bytes, and 65528 '
}

the_longest_line_goes_through() {
	recv --until-gone x >"$out"
	head -c 300000 /dev/zero | tr '\0' x >"$scratch/line"
	echo >>"$scratch/line"
	send --max 300000 x <"$scratch/line" && ends "$receiver" 0 &&
		cmp "$scratch/line" "$out"
}

# -- streams

tar_through_a_ring() {
	tar c -C "$top_srcdir" tests man | send --raw x &
	sender=$!
	"$peal" recv --raw --timeout 60 x | tar t >"$out" || return 1
	ends "$sender" 0 && tar c -C "$top_srcdir" tests man | tar t |
		diff - "$out" && grep -q '^tests/tools_sendrecv.sh$' "$out"
}

every_byte() {
	cat "$peal" "$top_builddir"/.libs/libpeal.* >"$scratch/in"
	recv --raw x >"$out"
	send --raw "$@" x <"$scratch/in" && ends "$receiver" 0 &&
		cmp "$scratch/in" "$out"
}

in_slow_motion() {
	recv --raw x >"$out"
	for i in 1 2 3 4 5; do
		head -c 50 "$0"
		sleep 0.01
	done | send --raw x && ends "$receiver" 0 && bytes_are "$out" 250
}

an_empty_stream() {
	recv --raw x >"$out"
	send --raw x </dev/null && ends "$receiver" 0 && [ ! -s "$out" ]
}

# feed_half: a stream of which 5000 bytes have arrived.
feed_half() {
	recv --raw x >"$out" 2>"$err"
	feed a --raw x 2>"$err.sender"
	exec 4>"$scratch/a"
	head -c 5000 "$peal" >&4
	within bytes_are "$out" 5000
}

a_killed_stream_is_no_end() {
	feed_half || return 1
	kill -9 "$sender"
	exec 4>&-
	ends "$sender" 137 && ends "$receiver" 5 &&
		head -c 5000 "$peal" | cmp - "$out" &&
		says 'died before the end of the stream, after 5000 bytes'
}

a_stream_that_was_stopped() {
	feed_half || return 1
	kill -TERM "$sender"
	ends "$sender" 143 || return 1
	exec 4>&-
	ends "$receiver" 5 &&
		says 'stopped before the end of the stream, after 5000 bytes'
}

a_stream_whose_receiver_is_gone() {
	feed_half || return 1
	kill -9 "$receiver"
	wait "$receiver"
	ends "$sender" 5
	status=$?
	exec 4>&-
	cat "$err.sender"
	[ $status -eq 0 ] && grep -q 'receiver is gone' "$err.sender"
}

one_stream_at_a_time() {
	feed_half || return 1
	echo more | send --raw x 2>"$err.second"
	second=$?
	exec 4>&-
	cat "$err.second"
	ends "$sender" 0 && ends "$receiver" 0 && [ $second -eq 4 ]
}

# -- ends

a_killed_sender_of_lines() {
	recv --until-gone --from x >"$out" 2>"$err"
	feed a --name cello x
	exec 4>"$scratch/a"
	seq 3 >&4
	within grep -q 3 "$out" || return 1
	kill -9 "$sender"
	exec 4>&-
	ends "$sender" 137 && ends "$receiver" 5 &&
		is 'cello: 1' 'cello: 2' 'cello: 3' &&
		says 'cello: the sender died'
}

a_signal_ends_recv() {
	recv x >"$out"
	pid=$receiver
	feed a x
	exec 4>"$scratch/a"
	seq 3 >&4
	within grep -q 3 "$out" || return 1
	kill -TERM "$pid"
	ends "$pid" 143 && is 1 2 3 && [ ! -e "$folder/x" ]
	status=$?
	exec 4>&-
	ends "$sender" 0 && [ $status -eq 0 ]
}

a_signal_ends_send() {
	recv --until-gone x >"$out" 2>"$err"
	feed a x
	exec 4>"$scratch/a"
	seq 3 >&4
	within grep -q 3 "$out" || return 1
	kill -TERM "$sender"
	ends "$sender" 143 && ends "$receiver" 0 && is 1 2 3
	status=$?
	exec 4>&-
	return $status
}

a_signal_and_no_receiver() {
	recv x >"$out"
	feed a --linger 0.05 x 2>"$err"
	exec 4>"$scratch/a"
	echo 1 >&4
	within grep -q 1 "$out" || return 1
	kill -STOP "$receiver"
	echo 2 >&4
	kill -TERM "$sender"
	within fails kill -0 "$sender"
	status=$?
	exec 4>&-
	[ $status -eq 0 ] || kill -9 "$sender"
	kill -9 "$receiver"
	wait "$receiver"
	ends "$sender" 143 && [ $status -eq 0 ]
}

# Status 141 is that of SIGPIPE. What could not be written is not lost.
stdout_that_is_closed() {
	head -n 1 <"$scratch/b" >"$out" &
	reader=$!
	recv x >"$scratch/b" 2>"$err"
	feed a x
	exec 4>"$scratch/a"
	echo 1 >&4
	wait $reader
	echo 2 >&4
	ends "$receiver" 141
	status=$?
	recv --one x >"$out.2"
	ends "$receiver" 0
	exec 4>&-
	ends "$sender" 0 && is 1 && cat "$err" && [ $status -eq 0 ] &&
		[ ! -s "$err" ] && [ "$(cat "$out.2")" = 2 ]
}

stdout_that_is_full() {
	[ -c /dev/full ] || return 0
	recv x >/dev/full 2>"$err"
	echo 1 | send --linger 0 x 2>"$err.sender"
	ends "$receiver" 1 && says 'cannot write: '
}

# -- times

nothing_comes() {
	exits 3 "$peal" recv --timeout 0.05 x && says 'nothing has come for'
}

nobody_receives() {
	exits 3 "$peal" send --timeout 0.05 x && says 'nobody receives at'
}

nobody_makes_room() {
	recv x >"$out"
	within [ -S "$folder/x" ] || return 1
	feed a --bytes 4k --timeout 3 x 2>"$err"
	exec 4>"$scratch/a"
	echo 1 >&4
	within grep -q 1 "$out" || return 1
	kill -STOP "$receiver"
	seq 10000 >&4 2>"$scratch/broken"
	ends "$sender" 3
	status=$?
	exec 4>&-
	kill -CONT "$receiver"
	kill -TERM "$receiver"
	wait "$receiver"
	[ $status -eq 0 ] && says 'made no room, for 3 seconds'
}

# It says so, and it arrives all the same.
not_taken_in_time() {
	recv --until-gone x >"$out"
	feed a --linger 0.05 x 2>"$err"
	exec 4>"$scratch/a"
	echo 1 >&4
	within grep -q 1 "$out" || return 1
	kill -STOP "$receiver"
	echo 2 >&4
	exec 4>&-
	ends "$sender" 3 && says 'has not taken all of it' || return 1
	kill -CONT "$receiver"
	ends "$receiver" 0 && is 1 2
}

# -- refused

a_stream_among_lines() {
	recv x >"$out"
	within test -S "$folder/x" &&
		exits 4 "$peal" send --raw --timeout 60 x && says 'tag'
	status=$?
	kill -TERM "$receiver"
	wait "$receiver"
	return $status
}

another_tag() {
	recv --tag log/1 x >"$out.recv"
	within test -S "$folder/x" || return 1
	exits 4 "$peal" send --tag log/2 --timeout 60 x && says 'log/1' &&
		exits 4 "$peal" send --timeout 60 x
	status=$?
	echo yes | send --tag log/1 x
	kill -TERM "$receiver"
	wait "$receiver"
	[ $status -eq 0 ] && [ "$(cat "$out.recv")" = yes ]
}

a_ring_too_large() {
	recv --bytes 64k x >"$out.recv"
	within test -S "$folder/x" || return 1
	exits 4 "$peal" send --bytes 1M --timeout 60 x && says 'allows'
	status=$?
	echo yes | send --bytes 64k x
	kill -TERM "$receiver"
	wait "$receiver"
	[ $status -eq 0 ] && [ "$(cat "$out.recv")" = yes ]
}

too_many_senders() {
	recv --senders 1 x >"$out.recv"
	feed a x
	exec 4>"$scratch/a"
	echo 1 >&4
	within grep -q 1 "$out.recv" || return 1
	exits 4 "$peal" send --timeout 60 x
	status=$?
	exec 4>&-
	ends "$sender" 0
	kill -TERM "$receiver"
	wait "$receiver"
	return $status
}

two_receivers() {
	recv x >"$out.recv"
	within test -S "$folder/x" && exits 1 "$peal" recv x &&
		says 'somebody receives at'
	status=$?
	kill -TERM "$receiver"
	wait "$receiver"
	return $status
}

# -- names

reaches() {
	recv --until-gone "$1" >"$out"
	echo hello | send "$2" && ends "$receiver" 0 && is hello
}

# As a service manager would hand it over: fd 3 listens at the path.
inherits() {
	python3 - "$peal" "$scratch/inherited" <<-'EOF' >"$out" 4>&- 5>&- &
		import os, socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		s.bind(sys.argv[2])
		s.listen(8)
		os.dup2(s.fileno(), 3)
		os.set_inheritable(3, True)
		os.execv(sys.argv[1], ["peal", "recv", "--timeout", "60",
			"--until-gone", "fd:3"])
	EOF
	receiver=$!
	echo hello | send "$scratch/inherited" && ends "$receiver" 0 && is hello
}

folder_is_private() {
	ls -ld "$folder"
	[ "$(stat -c %a "$folder")" = 700 ]
}

in_tmp() {
	(
		unset XDG_RUNTIME_DIR
		reaches "test-$$" "/tmp/peal-$(id -u)/test-$$"
	)
}

# Set for another user, as after su: not used.
a_runtime_folder_of_others() {
	mkdir -p -m 700 "$scratch/others"
	chmod 777 "$scratch/others"
	(
		XDG_RUNTIME_DIR=$scratch/others
		reaches "test-$$" "/tmp/peal-$(id -u)/test-$$"
	) && [ ! -e "$scratch/others/peal" ]
}

# unsafe COMMAND...: which makes the folder as it must not be
unsafe() {
	mkdir -m 700 "$scratch/unsafe"
	(
		XDG_RUNTIME_DIR=$scratch/unsafe
		"$@" && exits 1 "$peal" recv --timeout 1 x &&
			says 'so it is not used' &&
			exits 1 "$peal" send --timeout 1 x &&
			says 'so it is not used'
	)
	status=$?
	rm -rf "$scratch/unsafe"
	return $status
}

open_to_others() {
	mkdir -m 755 "$XDG_RUNTIME_DIR/peal"
}

a_link() {
	ln -s "$folder" "$XDG_RUNTIME_DIR/peal"
}

somebody_elses() {
	mkdir -m 700 "$XDG_RUNTIME_DIR/peal" &&
		chown 65534 "$XDG_RUNTIME_DIR/peal"
}

no_socket_is_left() {
	ls -A "$folder"
	[ -z "$(ls -A "$folder")" ]
}

a_file_is_left_alone() {
	echo precious >"$scratch/file"
	exits 1 "$peal" recv --timeout 1 "$scratch/file" &&
		[ "$(cat "$scratch/file")" = precious ]
}

# -- stats

one_line_of_stats() {
	recv --until-gone --stats x >"$out" 2>"$err"
	seq 100 | send --stats x 2>"$err.sender" && ends "$receiver" 0 &&
		cat -v "$err" "$err.sender" &&
		[ "$(wc -l <"$err")" -eq 1 ] &&
		[ "$(wc -l <"$err.sender")" -eq 1 ] &&
		grep -qE '^peal: 100 messages, 192 B: .*/s, .*B/s, in ' "$err" &&
		grep -qE '^peal: 100 messages, 192 B: ' "$err.sender" &&
		! grep -q "$(printf '\r')" "$err"
}

stats_on_a_terminal() {
	feed a x
	exec 4>"$scratch/a"
	TERM=vt100 script -qefc "$peal recv --until-gone --stats x" /dev/null \
		</dev/null >"$out" 4>&- &
	receiver=$!
	seq 3 >&4
	within grep -q "$(printf '\r')peal: 3 messages" "$out"
	status=$?
	exec 4>&-
	ends "$sender" 0 && ends "$receiver" 0 && [ $status -eq 0 ]
}

check 'lines arrive' lines_arrive
check 'whatever is in them' strange_lines_arrive
check 'five senders at once, each in its order' many_senders
check 'a sender without a name is a pid' without_a_name_it_is_the_pid
check 'options have short forms' short_forms
check 'a name cannot steer a terminal' a_name_cannot_steer_a_terminal
check 'what a receiver leaves the next one takes, once' \
	the_rest_waits_for_the_next_receiver
check 'a receiver is killed and restarted, and no line is lost' \
	receivers_killed_lose_nothing
check 'a sender without input finds the next receiver' \
	an_idle_sender_finds_the_next_receiver
check 'the oldest line comes first' the_oldest_comes_first
check 'one line at a time, when all others were taken' only_when_empty
check 'a line too long is an error with both figures' both_figures
check 'the longest line goes through' the_longest_line_goes_through

check 'tar c | peal send --raw, peal recv --raw | tar t' tar_through_a_ring
check 'every byte of a stream arrives' every_byte
check 'through a small ring, too' every_byte --bytes 4k --max 1000
check 'of small pieces' in_slow_motion
check 'of none' an_empty_stream
check 'a sender that is killed does not end its stream' \
	a_killed_stream_is_no_end
check 'nor one that is stopped' a_stream_that_was_stopped
check 'a stream does not go on without its receiver' \
	a_stream_whose_receiver_is_gone
check 'one stream at a time' one_stream_at_a_time

check 'the lines of a sender that was killed are there, and recv says so' \
	a_killed_sender_of_lines
check 'SIGTERM ends recv: what it took is written' a_signal_ends_recv
check 'SIGTERM ends send: what it read is taken' a_signal_ends_send
check 'even if nobody takes it' a_signal_and_no_receiver
check 'a closed stdout ends recv, and the next one has the line' \
	stdout_that_is_closed
check 'a full one is an error' stdout_that_is_full

check 'recv does not wait longer than --timeout' nothing_comes
check 'nor does send for a receiver' nobody_receives
check 'nor for room' nobody_makes_room
check 'what is not taken in time is told, and arrives' not_taken_in_time

check 'lines and streams do not mix' a_stream_among_lines
check 'nor do tags' another_tag
check 'a ring that is too large is refused' a_ring_too_large
check 'a sender too many is refused' too_many_senders
check 'there is one receiver at a name' two_receivers

check 'a name is a socket in the runtime folder' reaches x "$folder/x"
check 'which is private' folder_is_private
check 'a path is a path' reaches "$scratch/path" "$scratch/path"
check 'an abstract name has no file' reaches "@peal-test-$$" "@peal-test-$$"
check 'without a runtime folder it is in /tmp' in_tmp
check 'one that others can write to is none' a_runtime_folder_of_others
if have python3; then
	check 'a socket that was inherited is a name' inherits
else
	skip 'a socket that was inherited is a name' 'no python3'
fi
check 'a folder that is open to others is not used' unsafe open_to_others
check 'nor is a link' unsafe a_link
if [ "$(id -u)" -eq 0 ]; then
	check 'nor is that of another user' unsafe somebody_elses
else
	skip 'nor is that of another user' 'needs root'
fi
check 'a file is left alone' a_file_is_left_alone
check 'no socket is left behind' no_socket_is_left

check 'stats are one line where there is no terminal' one_line_of_stats
if have script; then
	check 'and go on in place where there is one' stats_on_a_terminal
else
	skip 'and go on in place where there is one' 'no script'
fi

check 'recv takes a name' exits 2 "$peal" recv
check 'send takes one name' exits 2 "$peal" send x y
check 'which is not empty' exits 2 "$peal" recv ''
check 'nor ..' exits 2 "$peal" send ..
check 'nor endless' exits 2 "$peal" recv "$(printf '%0200d' 0)"
check 'a size is a number' exits 2 "$peal" send --bytes many x
check 'with a known unit' exits 2 "$peal" send --bytes 3Q x
check 'a time is not negative' exits 2 "$peal" recv --timeout -1 x
check 'a count is at least one' exits 2 "$peal" recv --count 0 x
check 'a stream has no lines to count' exits 2 "$peal" recv --raw --count 3 x
check 'nor a tag' exits 2 "$peal" send --raw --tag x x
check 'a tag has its limits' exits 2 "$peal" recv --tag "$(printf '%099d' 0)" x
finish
