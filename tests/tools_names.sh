#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Names and messages of strangers steer no terminal, and forge no line.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"
. "$top_srcdir/tests/fixtures/tool.sh"

mkfifo "$scratch/a"

# bytes TEXT: with the escapes of printf(1)
bytes() {
	# shellcheck disable=SC2059
	printf "$1"
}

# prints EXPECTED NAME MESSAGE: one message, of a sender of that name
prints() {
	bytes "$3" >"$scratch/message"
	"$top_builddir/tests/fixtures/says" "$scratch/socket" "$(bytes "$2")" \
		"$scratch/message" &
	sender=$!
	"$peal" recv --from --one --timeout 60 "$scratch/socket" >"$out"
	status=$?
	wait $sender || return 1
	bytes "$1\n" >"$scratch/expected"
	od -c "$out"
	[ $status -eq 0 ] && cmp "$scratch/expected" "$out"
}

# One of 100 000 characters of three bytes, in pieces, none of which is broken.
long_messages_are_whole() {
	awk 'BEGIN { for (i = 0; i < 100000; i++) printf "\342\202\254" }' \
		>"$scratch/message"
	"$top_builddir/tests/fixtures/says" "$scratch/socket" cello "$scratch/message" &
	sender=$!
	"$peal" recv --from --one --timeout 60 "$scratch/socket" >"$out"
	status=$?
	wait $sender
	{
		printf 'cello: '
		cat "$scratch/message"
		echo
	} | cmp - "$out" && [ $status -eq 0 ]
}

raw_lines_are_as_they_came() {
	bytes 'a\nb\\c\033' >"$scratch/message"
	"$top_builddir/tests/fixtures/says" "$scratch/socket" cello "$scratch/message" &
	sender=$!
	"$peal" recv --one --timeout 60 "$scratch/socket" >"$out"
	wait $sender
	bytes 'a\nb\\c\033\n' | cmp - "$out"
}

# What recv says of a sender of that name that was killed.
complaint_is() {
	"$peal" recv --until-gone x >"$out" 2>"$err" 4>&- &
	receiver=$!
	"$peal" send --name "$(bytes "$2")" x <"$scratch/a" 4>&- &
	sender=$!
	exec 4>"$scratch/a"
	echo 1 >&4
	within grep -q 1 "$out"
	kill -9 $sender
	exec 4>&-
	wait $receiver
	bytes "$1" >"$scratch/expected"
	od -c "$err"
	grep -F -q -f "$scratch/expected" "$err" && only_text "$err"
}

# No byte that a terminal would obey.
only_text() {
	[ -z "$(LC_ALL=C tr -d ' -~\n' <"$1")" ]
}

# A receiver of a socket that cannot be, and a sender to it.
of_an_address() {
	"$peal" "$1" --timeout 0.05 "$(bytes 'x/\033[2J\302\233\n\342\200\256')" \
		</dev/null 2>"$err" >"$out"
	od -c "$err"
	[ -s "$err" ] && only_text "$err" && [ "$(wc -l <"$err")" -eq 1 ]
}

of_a_command() {
	"$peal" "$(bytes '\033[2J\302\233')" 2>"$err"
	od -c "$err"
	[ -s "$err" ] && only_text "$err"
}

of_a_file() {
	"$peal" demo "$(bytes 'x\033[2J\302\233')" 2>"$err"
	od -c "$err"
	[ -s "$err" ] && only_text "$err"
}

# What the receiver says is its choice, too: its tag, for one.
of_a_server() {
	"$peal" recv --tag "$(bytes 'a\302\233b')" x >"$out" 2>"$err.recv" &
	receiver=$!
	within test -S "$folder/x"
	echo 1 | "$peal" send --tag "$(bytes 'c\302\233d')" x 2>"$err"
	status=$?
	kill $receiver
	wait $receiver
	cat -v "$err" "$err.recv"
	[ $status -eq 4 ] && only_text "$err" && grep -q 'a\\xc2\\x9bb' "$err" &&
		only_text "$err.recv" && grep -q 'c\\xc2\\x9bd' "$err.recv"
}

check 'a name and a message' prints 'cello: hello' cello hello
check 'an empty one' prints 'cello: ' cello ''
check 'a newline forges no line' prints 'a: x\\nb: y' a 'x\nb: y'
check 'nor does a carriage return' prints 'a: x\\rb: y' a 'x\rb: y'
check 'a backslash is told from an escape' prints 'a: x\\\\\\\\ny' a 'x\\\\ny'
check 'a message steers no terminal' prints 'a: \\x1b[2J\\x07\\x7f' a \
	'\033[2J\007\177'
check 'nor with the other controls' prints 'a: \\xc2\\x9b2J' a '\302\2332J'
check 'nor with bytes that are no text' prints 'a: \\x9b2J\\xff' a \
	'\2332J\377'
check 'nor does it turn text round' prints 'a: \\xe2\\x80\\xaex' a \
	'\342\200\256x'
check 'a NUL is a byte' prints 'a: x\\x00y' a 'x\000y'
check 'a tab stays' prints 'a: x\ty' a 'x\ty'
check 'text of other scripts stays' prints 'caf\303\251: \346\226\207' \
	'caf\303\251' '\346\226\207'
check 'a name steers no terminal' prints 'a\\xc2\\x9bb: x' 'a\302\233b' x
check 'nor does it turn text round' prints '\\xe2\\x80\\xaea: x' \
	'\342\200\256a' x
check 'a name that is no text' prints 'a\\xff\\x9b: x' 'a\377\233' x
check 'a name with a backslash' prints 'a\\\\\\\\n: x' 'a\\\\n' x
check 'long messages are whole' long_messages_are_whole
check 'without names lines are as they came' raw_lines_are_as_they_came
check 'so it is with what recv complains of' \
	complaint_is 'a\\xc2\\x9bb\\xe2\\x80\\xae: the sender died' \
	'a\302\233b\342\200\256'
check 'and with addresses' of_an_address recv
check 'of send, too' of_an_address send
check 'and with commands' of_a_command
check 'and with files' of_a_file
check 'and with what a server says' of_a_server
finish
