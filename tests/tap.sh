# SPDX-License-Identifier: MIT OR Apache-2.0
# What the shell tests have in common: TAP, a scratch folder, and where things
# are when a test is run by hand in the build folder instead of by make.

: "${top_srcdir:=$(dirname "$0")/..}"
: "${top_builddir:=.}"
: "${CC:=cc}" "${CXX:=c++}" "${MAKE:=make}" "${NM:=nm}"
: "${PKG_CONFIG:=pkg-config}" "${READELF:=readelf}" "${SANITIZERS:=no}"

scratch=$(mktemp -d "${TMPDIR:-/tmp}/peal.XXXXXX") || exit 99
trap 'rm -rf "$scratch"' EXIT
trap 'exit 99' HUP INT TERM

number=0
failed=0

# The whole test cannot run here.
skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

# skip SENTENCE REASON
skip() {
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}

# check SENTENCE COMMAND...: what it prints is shown if it fails.
check() {
	number=$((number + 1))
	sentence=$1
	shift
	if "$@" >"$scratch/output" 2>&1; then
		echo "ok $number - $sentence"
	else
		echo "not ok $number - $sentence"
		sed 's/^/# /' "$scratch/output"
		failed=1
	fi
}

# fails COMMAND...: for check, where a command has to fail.
fails() {
	! "$@"
}

# within CONDITION...: it comes true, in a minute at the most.
within() {
	for _ in $(seq 600); do
		"$@" && return 0
		sleep 0.1
	done
	echo "not within a minute: $*"
	return 1
}

# -- one object of JSON, in $scratch/json

# value KEY: a number.
value() {
	sed -n "s/.*\"$1\": \([0-9.]*\)[,}].*/\1/p" "$scratch/json"
}

# is KEY NUMBER
is() {
	echo "$1 is $(value "$1"), expected $2"
	[ "$(value "$1")" = "$2" ]
}

is_positive() {
	echo "$1 is $(value "$1")"
	[ "$(value "$1")" -gt 0 ]
}

# At the end of every test: without the plan, it died on the way.
finish() {
	echo "1..$number"
	exit $failed
}

# Is this a command, apart from its arguments?
have() {
	command -v "${1%% *}" >/dev/null 2>&1
}
