#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The man pages are well-formed, what is made of the headers is all of it, and
# the programs of the pages run.
#
# A display of a page that begins with #include is a file of its own. One that
# is a program, with a main(), has its name in a comment right before it:
#
#	.\" sum.c
#	.Bd -literal
#	#include <peal/peal.h>
#
# and is run at the end of this file.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

headers=$top_srcdir/include/peal
# Declarations that are older than C11, such as fork(), are wanted, too.
c11="$CC -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Werror"
c11="$c11 -I$top_srcdir/include"

well_formed() {
	mandoc -Tlint -Wwarning "$1"
}

# section PAGE NAME
section() {
	awk -v name="$2" '/^\.Sh / { inside = substr($0, 5) == name; next }
		inside' "$1"
}

# nothing_is_missing ALL SOME: every line of ALL, of which there are some, is
# in SOME.
nothing_is_missing() {
	LC_ALL=C comm -23 "$scratch/$1" "$scratch/$2" >"$scratch/missing"
	sed "s/$/ is missing/" "$scratch/missing"
	[ -s "$scratch/$1" ] && [ ! -s "$scratch/missing" ]
}

# page NAME: a page that was made stands in the folder of the build, or, as one
# that is written by hand, in the sources.
page() {
	if [ -f "$top_builddir/man/$1" ]; then
		echo "$top_builddir/man/$1"
	else
		echo "$top_srcdir/man/$1"
	fi
}

pages=$(cd "$top_srcdir/man" && ls | sed -n 's/^\(.*\.[1-9]\)\(\.in\)*$/\1/p' |
	LC_ALL=C sort -u)

# -- what is made of the headers

# make_page HEADER: a page of a header alone
make_page() {
	printf '%s\n' '.Sh SYNOPSIS' '.\" @synopsis' '.Sh DESCRIPTION' \
		'.\" @overview' '.\" @reference' >"$scratch/page.in"
	LC_ALL=C awk -f "$top_srcdir/man/header.awk" \
		-f "$top_srcdir/man/page.awk" "$1" "$scratch/page.in"
}

nothing_is_amiss() {
	make_page "$1" >"$scratch/made" 2>"$scratch/amiss" || return 1
	cat "$scratch/amiss"
	[ ! -s "$scratch/amiss" ]
}

# The functions of a header, without what comments and others declare, and the
# macros that are called as functions are.
declared() {
	{
		sed '/^#include/d' "$headers/$1" | $CC -E -P -x c - |
			sed -n 's/^[a-z].*[ *]\(peal_[a-z0-9_]*\)(.*/\1/p'
		sed -n 's/^#define \(peal_[a-z0-9_]*\)(.*\.\.\.).*/\1/p' \
			"$headers/$1"
	} | LC_ALL=C sort -u
}

in_synopsis() {
	section "$1" SYNOPSIS | sed -n 's/^\.F[no] \(peal_[a-z0-9_]*\).*/\1/p' |
		LC_ALL=C sort
}

# The synopsis as C. Arguments of .Fn are in quotes, .Fa is one to a line. Some
# functions are macros as well, which the parentheses keep out. A macro alone has
# no type.
prototypes() {
	section "$1" SYNOPSIS | awk '
	/^\.In / { print "#include <" $2 ">" }
	/^\.Ft / { type = substr($0, 5); next }
	/^\.Fn peal_/ && type {
		n = split($0, part, "\"")
		list = n > 1 ? part[2] : $3
		for (i = 4; i < n; i += 2)
			list = list ", " part[i]
		print type, "(" $2 ")(" list ");"
	}
	/^\.Fo / { list = ""; name = $2 }
	/^\.Fa / {
		gsub(/^\.Fa |"/, "")
		list = list (list == "" ? "" : ", ") $0
	}
	/^\.Fc/ && type { print type, "(" name ")(" list ");" }
	/^\.F[nc]/ { type = "" }'
}

# Declared otherwise than in the header, a function is an error.
synopsis_agrees() {
	declared "$1" >"$scratch/declared"
	in_synopsis "$2" | diff "$scratch/declared" - &&
		prototypes "$2" >"$scratch/prototypes.c" &&
		$c11 -fsyntax-only "$scratch/prototypes.c"
}

# The calls of a typed ring are those that the comment of PEAL_TYPED() lists.
typed_calls_agree() {
	sed -n 's/^ \*	.*\(name_[a-z_]*\)(.*/\1/p' "$headers/typed.h" |
		LC_ALL=C sort -u >"$scratch/listed"
	grep -o 'name##_[a-z_]*(' "$headers/typed.h" | sed 's/##//; s/(//' |
		LC_ALL=C sort -u | diff "$scratch/listed" -
}

# The words of ours that a page or a header has, but for the names of pages.
words() {
	sed -e '/^\.\(Dt\|In\|\\"\) /d' -e 's/Xr peal_[a-z]* [1-9]//g' \
		-e 's/peal_[a-z_]*_\.\.\.//g' "$@" |
		tr -c 'A-Za-z0-9_' '\n' |
		grep -e '^peal_[a-z0-9_]*$' -e '^PEAL_[A-Z0-9_]*$' |
		LC_ALL=C sort -u
}

# -- what stands in displays

# As roff would print it.
unescaped() {
	sed -e "s/\\\\(aq/'/g" -e 's/\\&//g' -e 's/\\-/-/g' -e 's/\\e/\\/g'
}

# Each file of a page, as $scratch/files/NAME.c or PAGE-LINE.c.
extract() {
	unescaped <"$1" | awk -v files="$scratch/files/" \
		-v page="$(basename "$1")" '
	/^\.Bd -literal/ { first = 1; next }
	/^\.Ed/ { inside = 0 }
	first {
		first = 0
		inside = /^#include/
		file = files (name ? name : page "-" NR ".c")
	}
	inside { print >file }
	{ name = /^\.\\" [a-z_]+\.c$/ ? $2 : "" }'
}

# compiles FILE.c: if it is a program it is linked with the library, too.
compiles() {
	$c11 -c -o "$1.o" "$1" || return
	grep -q '^int main(' "$1" || return 0
	case $(basename "$1") in
	*-*) echo "a program without a name" && return 1 ;;
	esac
	[ "$SANITIZERS" = yes ] ||
		"$top_builddir/libtool" --quiet --tag=CC --mode=link $CC \
			-no-install -pthread -o "${1%.c}" "$1.o" \
			"$top_builddir/libpeal.la"
}

has_a_program() {
	sed -n 's/^\.\\" \([a-z_]*\.c\)$/\1/p' "$1" | grep .
}

refers_to_pages_that_are_there() {
	sed -n 's/^\.Xr \(peal[a-z_]*\) \([1-9]\).*/\1.\2/p' "$1" |
		while read -r other; do
			[ -f "$(page "$other")" ] || echo "$other is not there"
		done >"$scratch/references"
	cat "$scratch/references"
	[ ! -s "$scratch/references" ]
}

# says TEXT PROGRAM ARGUMENT...: lines of the text are separated by |.
says() {
	expected=$1 program=$2
	shift 2
	timeout 60 "$scratch/files/$program" "$@" >"$scratch/said" || return 1
	cat "$scratch/said"
	[ "$(paste -s -d '|' "$scratch/said")" = "$expected" ]
}

sums() (
	cd "$scratch" || exit 1
	files/sum_server >said 2>error &
	server=$!
	within [ -S sum ] && timeout 60 files/sum_client &&
		within grep '^counter of uid .*: done; the sum is 5e+11$' said
	summed=$?
	kill $server
	wait $server
	cat said error
	exit $summed
)

letters() (
	cd "$scratch" || exit 1
	files/log >said &
	receiver=$!
	within [ -S log ] && timeout 60 files/say one 'two words' &&
		within grep '^cellist ([0-9]*): 2 sent$' said &&
		[ "$(sed 's/.*: //' said | paste -s -d '|')" = \
			'one|two words|2 sent' ]
	sent=$?
	kill $receiver
	wait $receiver
	exit $sent
)

collected() (
	cd "$scratch" || exit 1
	rm -f log
	files/collect >said &
	receiver=$!
	within [ -S log ] && timeout 60 files/say hello &&
		within grep '^0 senders$' said
	sent=$?
	kill $receiver
	wait $receiver && [ $sent = 0 ] &&
		[ "$(grep -v senders said | paste -s -d '|')" = \
			'cellist: hello|cellist: 1 sent|done' ]
)

every_program_is_run() {
	for file in "$scratch"/files/*.c; do
		name=$(basename "$file" .c)
		! grep -q '^int main(' "$file" ||
			grep -Eq -e "says ['\"].*['\"] $name( |\$)" \
				-e "files/$name( |\")" "$0" ||
			echo "$name is not run here"
	done >"$scratch/unrun"
	cat "$scratch/unrun"
	[ ! -s "$scratch/unrun" ]
}

# -- the checks

mkdir "$scratch/files"
words "$headers"/*.h >"$scratch/all_words"
for page in $pages; do
	path=$(page "$page")
	if have mandoc; then
		check "$page is well-formed" well_formed "$path"
	else
		skip "$page is well-formed" 'no mandoc'
	fi
	check "$page refers to no page of peal that is not there" \
		refers_to_pages_that_are_there "$path"
	[ "$page" != peal_cxx.3 ] || continue # see cxx.sh
	case $page in
	*.[37])
		words "$path" >"$scratch/words"
		check "$page has no word of ours that no header has" \
			nothing_is_missing words all_words
		check "$page has a program" has_a_program "$path"
		;;
	esac
	extract "$path"
done

for path in "$headers"/*.h; do
	header=$(basename "$path")
	page=peal_$(basename "$header" .h).3
	# All others together, and what is for other headers alone.
	[ "$header" = peal.h ] || [ "$header" = end.h ] && continue
	check "a page can be made of $header" nothing_is_amiss "$path"
	check "the synopsis of $page is what $header declares" \
		synopsis_agrees "$header" "$(page "$page")"
done
check 'the comment of PEAL_TYPED() lists every call of a typed ring' \
	typed_calls_agree

for file in "$scratch"/files/*.c; do
	check "$(basename "$file") compiles" compiles "$file"
done
check 'every program is run here' every_program_is_run

if [ "$SANITIZERS" = yes ]; then
	skip 'the programs run' 'they would need the sanitizers, too'
	finish
fi
check 'a child sends, its parent adds up' says '499999500000' sum
check 'two threads and an array' says '333833500' threads
check 'memory that another program opens' says '1.5|2.5|3.25' memory
check 'a receiver in a loop of its own' says '500500' loop
check 'a doorbell' says 'the child is ready' ready
check 'one eventfd for eight threads' says '16640' voices
check 'a blob, and memory that is mapped twice' \
	says 'hello|...aro, und...' blob
check 'a watermark' says '500500' watermark
check 'a typed ring' says '1: 3.5|2: 3.75' ticks
check 'messages' says '1: one|2: |3: two words' words one '' 'two words'
check 'a reactor, and a child' says '499999500000' numbers
check 'results of a thread' says 'signal 15: 285' results
check 'a server and its client' sums
check 'an inbox and a sender' letters
check 'an inbox on a reactor' collected
version=$(sed -n 's/^#define PEAL_VERSION "\(.*\)"$/\1/p' \
	"$headers/version.h")
check 'the version' says "built with $version, runs with $version" version
finish
