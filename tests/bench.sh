#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The measurements run, and say what they found in each form. How fast anything
# is, is not looked at.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

bench=$top_builddir/bench/peal-bench
out=$scratch/out

# A run with few items, of peal and what it is compared with.
run() {
	"$bench" --only peal --count 50 --rounds 2 "$@" >"$out" \
		2>"$scratch/progress" && cat "$out" && [ -s "$out" ]
}

lists() {
	"$bench" --list >"$out" && cat "$out" &&
		for family in stream roundtrip packet wake messages reactor \
			idle group inbox timers; do
			grep "^$family  *[a-z]" "$out" || return 1
		done
}

is_table() {
	run "$@" && grep 'median' "$out" && grep '^  peal' "$out" &&
		grep '^\[.*%. ' "$scratch/progress"
}

# Each line is an object with all that was promised.
valid_line='^\{"bench":"[a-z]+","contestant":"[^"]+","params":\{("[a-z]+":([0-9]+|"[^"]*"),?)*\},"value":[-+.e0-9]+,.*"unit":"[^"]+"(,"ratio_to":"[^"]+","ratio":[-+.e0-9]+)?\}$'

is_json() {
	run --json "$@" && ! grep -vE "$valid_line" "$out"
}

# Where somebody else can say so, too.
python_agrees() {
	run --json "$@" && python3 -c '
import json, sys
for line in open(sys.argv[1]):
    it = json.loads(line)
    assert it["value"] > 0, line
' "$out"
}

# Called wrongly: status 2, an explanation to stderr, nothing to stdout.
refused() {
	"$bench" "$@" >"$scratch/stdout" 2>"$scratch/stderr"
	status=$?
	echo "exit status $status, expected 2"
	cat "$scratch/stdout" "$scratch/stderr"
	[ $status -eq 2 ] && [ ! -s "$scratch/stdout" ] &&
		[ -s "$scratch/stderr" ]
}

writes_results() {
	run --results "$scratch/results" --point 'size 32 B' packet &&
		cat "$scratch/results/results.md" &&
		grep '^| peal |' "$scratch/results/results.md"
}

small='ring 4 KiB, blocking'

check 'the families are listed' lists
check 'a table of a stream' is_table --point "$small" stream
check 'a table of round trips' is_table --point 'cpus 1' roundtrip
check 'a table of packets' is_table --point 'size 32 B' packet
check 'a table of messages' is_table --point 'size 8 B, blocking' messages
check 'a table of a reactor' is_table --point 'rings 1, active 1' reactor
check 'a table of timers' is_table --count 1 --point 'timers 100' timers
check 'a table of an inbox' is_table --point 'size 64 B, senders 2' inbox
check 'a line of JSON for each value' is_json --point "$small" stream
check 'a line for each part of a latency' is_json --point 'cpus 1' roundtrip
if have python3; then
	check 'a parser of JSON agrees' python_agrees --point "$small" stream
else
	skip 'a parser of JSON agrees' 'no python3'
fi
check 'results are written in Markdown' writes_results
check 'an unknown family is refused' refused nonsense
check 'an unknown option is refused' refused --nonsense
check 'an impossible number of rounds is refused' refused --rounds 0
check 'a number that is none is refused' refused --count 12x
finish
