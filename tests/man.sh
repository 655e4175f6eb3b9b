#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The man pages are well-formed, tell of every function what its header tells,
# and their programs compile.

. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.sh"

man=$top_srcdir/man
include="-I$top_builddir/include"

well_formed() {
	mandoc -Tlint -Wwarning "$1"
}

# section PAGE NAME
section() {
	awk -v name="$2" '/^\.Sh / { inside = substr($0, 5) == name; next }
		inside' "$1"
}

# The functions of these headers, without what comments and others declare.
declared() {
	for header; do
		sed '/^#include/d' "$top_builddir/include/peal/$header" |
			$CC -E -P -x c -
	done | sed -n 's/^[a-z].*[ *]\(peal_[a-z0-9_]*\)(.*/\1/p' |
		LC_ALL=C sort -u
}

named() {
	section "$1" NAME | sed -n 's/^\.Nm \([a-z0-9_]*\).*/\1/p' |
		LC_ALL=C sort
}

in_synopsis() {
	section "$1" SYNOPSIS | sed -n 's/^\.F[no] \([a-z0-9_]*\).*/\1/p' |
		LC_ALL=C sort
}

explained() {
	section "$1" DESCRIPTION |
		sed -n 's/^\.\(.* \)*Fn \([a-z0-9_]*\).*/\2/p' |
		LC_ALL=C sort -u
}

# The synopsis as C. Arguments of .Fn are in quotes, .Fa is one to a line. Some
# functions are macros as well, which the parentheses keep out.
prototypes() {
	section "$1" SYNOPSIS | awk '
	/^\.In / { print "#include <" $2 ">" }
	/^\.Ft / { type = substr($0, 5) }
	/^\.Fn / {
		n = split($0, part, "\"")
		list = part[2]
		for (i = 4; i < n; i += 2)
			list = list ", " part[i]
		print type, "(" $2 ")(" list ");"
	}
	/^\.Fo / { list = ""; name = $2 }
	/^\.Fa / {
		gsub(/^\.Fa |"/, "")
		list = list (list == "" ? "" : ", ") $0
	}
	/^\.Fc/ { print type, "(" name ")(" list ");" }'
}

same() {
	diff "$scratch/$1" "$scratch/$2"
}

nothing_is_missing() {
	LC_ALL=C comm -23 "$scratch/declared" "$scratch/explained" \
		>"$scratch/missing"
	cat "$scratch/missing"
	[ -s "$scratch/declared" ] && [ ! -s "$scratch/missing" ]
}

# Declared otherwise than in the header, a function is an error.
prototypes_agree() {
	prototypes "$1" >"$scratch/prototypes.c"
	found=$(grep -c '(.*);$' "$scratch/prototypes.c")
	echo "$found prototypes"
	[ "$found" -eq "$(wc -l <"$scratch/declared")" ] &&
		$CC -std=gnu11 -Wall -Wextra -Werror "$include" -fsyntax-only \
			"$scratch/prototypes.c"
}

# documents PAGE HEADER...: all functions of these headers, and no others
documents() {
	page=$1
	shift
	declared "$@" >"$scratch/declared"
	named "$man/$page" >"$scratch/named"
	in_synopsis "$man/$page" >"$scratch/in_synopsis"
	explained "$man/$page" >"$scratch/explained"
	check "$page names every function of $*, and no others" \
		same declared named
	check "the synopsis of $page has every function of $*, and no others" \
		same declared in_synopsis
	check "$page explains every function of $*" nothing_is_missing
	check "the synopsis of $page declares them as $* do" \
		prototypes_agree "$man/$page"
}

# The displays of a page that begin with #include, each in a file that is
# named by its line.
extract() {
	rm -f "$scratch"/line.*
	awk -v out="$scratch/line." '
	/^\.Bd -literal/ { first = 1; next }
	/^\.Ed/ { inside = 0 }
	first { first = 0; inside = /^#include/; file = out NR ".c" }
	inside { print >file }' "$1"
}

# As roff would print it.
unescaped() {
	sed -e "s/\\\\(aq/'/g" -e 's/\\&//g' -e 's/\\-/-/g' -e 's/\\e/\\/g' "$1"
}

compiles() {
	unescaped "$1" >"$scratch/program.c"
	$CC -std=gnu11 -Wall -Wextra -Werror "$include" -c \
		-o "$scratch/program.o" "$scratch/program.c"
}

has_a_program() {
	grep -l '^int main(' "$scratch"/line.*.c
}

refers_to_pages_that_are_there() {
	sed -n 's/^\.Xr \(peal[a-z_]*\) \([1-9]\).*/\1.\2/p' "$1" |
		while read -r other; do
			[ -f "$man/$other" ] || echo "$other is not there"
		done >"$scratch/references"
	cat "$scratch/references"
	[ ! -s "$scratch/references" ]
}

for path in "$man"/*.[1-9]; do
	page=$(basename "$path")
	if have mandoc; then
		check "$page is well-formed" well_formed "$path"
	else
		skip "$page is well-formed" 'no mandoc'
	fi
	check "$page refers to no page of peal that is not there" \
		refers_to_pages_that_are_there "$path"
	extract "$path"
	case $page in
	*.[37]) check "$page has a program" has_a_program ;;
	esac
	for file in "$scratch"/line.*.c; do
		[ -f "$file" ] || continue
		line=$(basename "$file" .c)
		check "the code at line ${line#line.} of $page compiles" \
			compiles "$file"
	done
done
documents peal_message.3 message.h typed.h
documents peal_reactor.3 reactor.h sources.h group.h
documents peal_channel.3 channel.h local.h
documents peal_inbox.3 inbox.h
finish
