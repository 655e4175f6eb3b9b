#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Where /proc is not mounted: servers listen, senders send, and what cannot be
# known is said.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

peal=$PWD/$top_builddir/peal
case $top_builddir in /*) peal=$top_builddir/peal ;; esac

[ "$SANITIZERS" = yes ] && skip_all 'sanitizers read their options in /proc'

# without_proc COMMAND...: in a mount namespace, in that of a user if need be.
if unshare -m true 2>/dev/null; then
	namespaces='unshare -m --propagation private'
elif unshare -rm true 2>/dev/null; then
	namespaces='unshare -rm'
else
	skip_all 'no mount namespaces'
fi
without_proc() {
	# shellcheck disable=SC2016,SC2086
	$namespaces sh -c 'mount -t tmpfs none /proc && exec "$@"' sh "$@"
}
without_proc true 2>/dev/null || skip_all '/proc cannot be hidden'

# lines_arrive RECEIVER-PREFIX SENDER-PREFIX
lines_arrive() {
	rm -f "$scratch/socket"
	$1 "$peal" recv --count 100 --timeout 60 "$scratch/socket" \
		>"$scratch/got" &
	receiver=$!
	seq 100 | $2 "$peal" send --timeout 60 "$scratch/socket" || return 1
	wait $receiver || return 1
	seq 100 | diff - "$scratch/got"
}

is_hidden() {
	without_proc sh -c '[ ! -e /proc/self ]'
}

check '/proc is not there' is_hidden
check 'lines arrive where nobody has /proc' \
	lines_arrive without_proc without_proc
check 'lines arrive where the receiver has no /proc' \
	lines_arrive without_proc env
check 'lines arrive where the sender has no /proc' \
	lines_arrive env without_proc
finish
