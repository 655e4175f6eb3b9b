#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# A few seconds of peal-soak, and how it is called.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

soak=$top_builddir/tests/soak/peal-soak
json=$scratch/json

run() {
	"$soak" --json "$@" >"$json" && cat "$json"
}

one_object() {
	[ "$(wc -l <"$json")" -eq 1 ] &&
		grep -E '^\{("[a-zA-Z]+": [0-9]+, )+"[a-zA-Z]+": [0-9]+\}$' "$json"
}

# Called wrongly: status 2, an explanation to stderr, nothing to stdout.
refused() {
	"$soak" "$@" >"$scratch/stdout" 2>"$scratch/stderr"
	status=$?
	echo "exit status $status, expected 2"
	cat "$scratch/stdout" "$scratch/stderr"
	[ $status -eq 2 ] && [ ! -s "$scratch/stdout" ] &&
		[ -s "$scratch/stderr" ]
}

prints_usage() {
	"$soak" --help | grep '^usage: peal-soak'
}

leaves_nothing() {
	ls "${TMPDIR:-/tmp}"/peal-soak-* >"$scratch/after" 2>&1
	diff "$scratch/before" "$scratch/after"
}

ls "${TMPDIR:-/tmp}"/peal-soak-* >"$scratch/before" 2>&1
check 'two seconds and eight senders end well' run --seconds 2
check 'the figures are one JSON object' one_object
check 'items have arrived' is_positive items
check 'none is lost' is lost 0
check 'senders were killed' is_positive senderKills
check 'and so were servers' is_positive serverKills
check 'the last of them has as many fds as it had' \
	is fdsEnd "$(value fdsStart)"
check 'a second with a server that lives on' run --seconds 1 --keep-server
check 'it was not killed' is serverKills 0
check 'nothing stays behind' leaves_nothing
check 'help is no error' prints_usage
check 'senders are at least one' refused --senders 0
check 'senders are a number' refused --senders many
check 'there is no such option' refused --colour
check 'there is nothing to name' refused colour
finish
