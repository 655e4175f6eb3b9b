#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# `peal demo` is right about itself, and says so to people and to programs.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

peal=$top_builddir/peal
json=$scratch/json

demo() {
	"$peal" demo --json "$@" >"$json" && cat "$json"
}

one_object() {
	[ "$(wc -l <"$json")" -eq 1 ] &&
		grep -E '^\{("[a-z]+": [0-9.]+, )+"[a-z]+": [0-9.]+\}$' "$json"
}

keys() {
	tr '{,' '\n\n' <"$json" | sed -n 's/^ *"\([a-z]*\)":.*/\1/p' |
		tr '\n' ' ' >"$scratch/keys"
	cat "$scratch/keys"
	[ "$(cat "$scratch/keys")" = "senders threads bytes lost wrong \
callbacks transitions doorbells seconds " ]
}

# Called wrongly: status 2, an explanation to stderr, nothing to stdout.
refused() {
	"$peal" "$@" >"$scratch/stdout" 2>"$scratch/stderr"
	status=$?
	echo "exit status $status, expected 2"
	cat "$scratch/stdout" "$scratch/stderr"
	[ $status -eq 2 ] && [ ! -s "$scratch/stdout" ] &&
		[ -s "$scratch/stderr" ]
}

says() {
	"$peal" demo --senders 2 --seconds 0.1 "$scratch/hundred" \
		>"$scratch/table" && cat "$scratch/table" &&
		grep "$1" "$scratch/table"
}

head -c 100 "$0" >"$scratch/hundred"
: >"$scratch/empty"

check 'eight senders and half a second end well' \
	demo --senders 8 --seconds 0.5
check 'the summary is one JSON object' one_object
check 'it has the keys that are documented' keys
check 'it counts the senders' is senders 8
check 'one thread has received it all' is threads 1
check 'bytes were received' is_positive bytes
check 'none was lost' is lost 0
check 'none was wrong' is wrong 0
check 'rings have become readable' is_positive transitions
check 'there were as many callbacks' is callbacks "$(value transitions)"

check 'without time, each sender sends its file once' \
	demo --senders 3 --seconds 0 "$scratch/hundred"
check 'the file counts in blocks of 64 bytes' is bytes 384
check 'without JSON, the summary is for people' \
	says '^Every byte arrived, and is what its file says.$'

check 'senders are at least one' refused demo --senders 0
check 'senders are a number' refused demo --senders many
check 'senders take a value' refused demo --senders
check 'seconds are not negative' refused demo --seconds -1
check 'files have to exist' refused demo "$scratch/nothing"
check 'files are not directories' refused demo "$scratch"
check 'files are not all empty' refused demo "$scratch/empty"
finish
