#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The programs in peal_cxx(3) are what they are said to be: those after a line
# with their name, .\" NAME.cc, compile, and print what they should.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

page=$top_srcdir/man/peal_cxx.3

have "$CXX" || skip_all "no $CXX"
echo 'int main() { return 0; }' >"$scratch/empty.cc"
$CXX -std=c++17 -fsyntax-only "$scratch/empty.cc" >/dev/null 2>&1 ||
	skip_all "$CXX does not know C++17"
[ "$SANITIZERS" = yes ] && skip_all 'a program would need the sanitizers, too'

extract() {
	awk -v folder="$scratch/" '
	/^\.Ed/ { inside = 0 }
	inside { print >file }
	/^\.Bd -literal/ { inside = name != "" }
	{ name = "" }
	/^\.\\" [a-z]*\.cc$/ { name = $2; file = folder name }' "$page"
	sed -i -e 's/\\&//g' -e 's/\\-/-/g' -e 's/\\e/\\/g' "$scratch"/*.cc
}

compiles() {
	$CXX -std=c++17 -Wall -Wextra -Wpedantic -Werror -c \
		"-I$top_srcdir/include" -o "$scratch/$1.o" "$scratch/$1.cc" &&
		"$top_builddir/libtool" --quiet --tag=CXX --mode=link $CXX \
			-no-install -pthread -o "$scratch/$1" "$scratch/$1.o" \
			"$top_builddir/libpeal.la"
}

# says PROGRAM TEXT
says() {
	"$scratch/$1" >"$scratch/said" && cat "$scratch/said" &&
		[ "$(cat "$scratch/said")" = "$2" ]
}

extract
check 'a thread sends to another: it compiles' compiles squares
check 'and prints the sum' says squares 333833500
check 'a ring, a timer, a signal: it compiles' compiles served
check 'and prints what comes' says served '0 1 2 3 4 '
finish
