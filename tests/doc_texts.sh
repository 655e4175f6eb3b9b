#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# What the texts show compiles, what they name is there, and links lead
# somewhere. The tutorial has a test of its own.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

include="-I$top_srcdir/include"

# -- the pieces of doc/coming-from.md

awk -v out="$scratch/piece" '
	/^<!-- .* -->$/ { mark = $2; next }
	/^```c$/ { file = sprintf("%s.%02d.%s.c", out, ++n, mark); next }
	/^```/ { file = mark = "" }
	file != "" { print >>file }' "$top_srcdir/doc/coming-from.md"

# compiles HEADER... FILE
compiles() {
	: >"$scratch/program.c"
	while [ $# -gt 1 ]; do
		echo "#include <$1>" >>"$scratch/program.c"
		shift
	done
	cat "$1" >>"$scratch/program.c"
	$CC -std=gnu11 -Wall -Wextra -Werror -Wno-unused-function "$include" \
		-fsyntax-only "$scratch/program.c"
}

has_header() {
	echo "#include <$1>" | $CC -E -x c - >/dev/null 2>&1
}

every_piece_is_marked() {
	ls "$scratch"/piece.*.peal.c && fails ls "$scratch"/piece.*..c
}

check 'coming-from.md says of each piece what it is written for' \
	every_piece_is_marked
for piece in "$scratch"/piece.*.peal.c; do
	line=$(grep -m 1 -o '[a-z_]*(' "$piece" | tr -d '(')
	check "$line() of coming-from.md compiles" \
		compiles stdio.h peal/peal.h "$piece"
done
check 'what it has of sockets compiles' compiles stdint.h stdio.h errno.h \
	unistd.h sys/socket.h sys/un.h "$scratch"/piece.*.socket.c
if has_header zmq.h; then
	check 'what it has of ZeroMQ compiles' \
		compiles stdio.h zmq.h "$scratch"/piece.*.zmq.c
else
	skip 'what it has of ZeroMQ compiles' 'no zmq.h'
fi

# The last column of what it has of ipmpsc.
every_test_is_there() {
	grep -o 'tests/[a-z_]*: [a-z_, ]*' "$top_srcdir/doc/coming-from.md" |
		tr -d ':,' | while read -r path names; do
		for name in $names; do
			grep -q "^TEST($name)" "$top_srcdir/$path.c" ||
				echo "$path.c: no $name"
		done
	done >"$scratch/missing"
	grep -o 'tests/[a-z_]*: ' "$top_srcdir/doc/coming-from.md" | wc -l
	cat "$scratch/missing"
	[ ! -s "$scratch/missing" ]
}
check 'the tests that it names are there' every_test_is_there

# -- names and links

# names TEXT: functions and constants of peal; with a star or dots, families
names() {
	grep -o '\(peal_[a-z0-9_]*\|PEAL_[A-Z0-9_]*\)[*.]*' "$1" |
		grep -v '[_*.]$' | LC_ALL=C sort -u
}

# every_name_is_declared TEXT HEADER...
every_name_is_declared() {
	text=$1
	shift
	cat "$@" >"$scratch/headers"
	names "$text" | while read -r name; do
		grep -qw "$name" "$scratch/headers" ||
			[ -e "$top_srcdir/man/$name.3.in" ] ||
			[ -e "$top_srcdir/man/$name.3" ] ||
			echo "$name is nowhere"
	done >"$scratch/missing"
	cat "$scratch/missing"
	[ ! -s "$scratch/missing" ]
}

# Those in backticks, with their folder; NAME and X are any.
every_file_is_there() {
	grep -o '`[a-z_./]*/[a-zA-Z_.*][a-zA-Z_.*]*`' "$top_srcdir/doc/architecture.md" |
		tr -d '\`' | grep -v '[A-Z]' | while read -r path; do
		ls $top_srcdir/$path >/dev/null 2>&1 || echo "$path is not there"
	done >"$scratch/missing"
	cat "$scratch/missing"
	[ ! -s "$scratch/missing" ]
}

# As a code host makes anchors of headings.
anchors() {
	sed -n 's/^##* //p' "$1" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-'
}

every_link_leads_somewhere() {
	folder=$(dirname "$1")
	# Not those of code, which is indented.
	grep -v '^\(    \|	\)' "$1" | grep -o ']([^)]*)' | sed 's/^](//; s/)$//' |
		grep -v '^http' |
		while read -r link; do
			file=${link%%#*}
			[ -z "$file" ] || [ -e "$folder/$file" ] ||
				echo "$link: no such file"
			case $link in
			\#*) anchors "$1" | grep -qx -- "${link#\#}" ||
				echo "$link: no such heading" ;;
			esac
		done >"$scratch/missing"
	cat "$scratch/missing"
	[ ! -s "$scratch/missing" ]
}

for page in README.md doc/tutorial.md doc/coming-from.md; do
	check "the functions that $page names are public" \
		every_name_is_declared "$top_srcdir/$page" \
		"$top_srcdir"/include/peal/*.h
done
check 'what doc/architecture.md names is in a header' every_name_is_declared \
	"$top_srcdir/doc/architecture.md" "$top_srcdir"/*/*.h \
	"$top_srcdir"/include/peal/*.h
check 'the files that it names are there' every_file_is_there
for page in README.md CONTRIBUTING.md SECURITY.md proof/README.md \
	proof/fuzz/README.md doc/tutorial.md doc/coming-from.md \
	doc/architecture.md; do
	check "the links of $page lead somewhere" \
		every_link_leads_somewhere "$top_srcdir/$page"
done
finish
