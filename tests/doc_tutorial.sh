#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# doc/tutorial.md, as somebody would go through it who types all that it says.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

[ "$SANITIZERS" = yes ] && skip_all 'a program would need the sanitizers, too'
have "$PKG_CONFIG" || skip_all "no $PKG_CONFIG"

text=$top_srcdir/doc/tutorial.md
programs=$(cd "$top_srcdir/examples/tutorial" && pwd)
typed=$scratch/typed
mkdir "$typed" "$scratch/bin" "$scratch/pkgconfig"

# -- a machine on which this build is installed

cat >"$scratch/pkgconfig/peal.pc" <<END
Name: peal
Description: this build
Version: 0
Libs: -L$(cd "$top_builddir" && pwd)/.libs -lpeal
Cflags: -I$(cd "$top_srcdir" && pwd)/include
END

# stand_in NAME COMMAND ARGUMENT...
stand_in() {
	name=$1
	command=$(command -v "$2") # this may be its name, too
	shift 2
	printf '#!/bin/sh\nexec %s "$@"\n' "$command $*" >"$scratch/bin/$name"
	chmod +x "$scratch/bin/$name"
}
stand_in cc $CC -Wall -Wextra -Werror
stand_in pkg-config $PKG_CONFIG
stand_in peal "$(cd "$top_builddir" && pwd)/peal"
PATH=$scratch/bin:$PATH
PKG_CONFIG_PATH=$scratch/pkgconfig
LD_LIBRARY_PATH=$(cd "$top_builddir" && pwd)/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PATH PKG_CONFIG_PATH LD_LIBRARY_PATH

# -- what the text has

# Blocks of C and of changes, by the file that the line before them names; what
# is typed into terminals, by number; and what has no such line.
awk -v out="$scratch" '
	/^<!-- .* -->$/ { mark = substr($0, 6, length($0) - 9); next }
	/^```(c|diff|console)$/ {
		file = out "/unmarked"
		if (mark ~ / to /)
			file = out "/" mark
		else if (mark ~ /\.c$/)
			file = out "/typed/" mark
		if ($0 ~ /console/ && mark != "") {
			file = sprintf("%s/session.%02d", out, ++sessions)
			print mark >(file ".where")
		}
		print "" >>file
		next
	}
	/^```/ { file = mark = ""; next }
	file != "" { print >>file }' "$text"

# without_blanks FILE: nor blanks at the end of lines, and without the license
without_blanks() {
	sed -e 's/[ \t]*$//' -e '/^$/d' -e '/^.. SPDX/d' "$1"
}

# same_but_blanks FILE FILE
same_but_blanks() {
	without_blanks "$1" >"$scratch/a"
	without_blanks "$2" >"$scratch/b"
	diff "$scratch/a" "$scratch/b"
}

every_block_is_marked() {
	[ -s "$typed/step1.c" ] && [ -s "$scratch/session.01" ] &&
		fails cat "$scratch/unmarked"
}

changes_are_the_fifth_step() {
	for n in 4 5; do
		sed 1d "$programs/step$n.c" >"$scratch/step$n.c"
	done
	diff -u "$scratch/step4.c" "$scratch/step5.c" | sed 1,2d \
		>"$scratch/changes"
	same_but_blanks "$scratch/step4.c to step5.c" "$scratch/changes" &&
		cp "$scratch/step5.c" "$typed/step5.c"
}

every_program_is_shown() {
	for path in "$programs"/*.c; do
		[ -f "$typed/$(basename "$path")" ] || {
			echo "$(basename "$path") is not"
			return 1
		}
	done
}

# -- what is seen

# Without figures that are others each time, and what the shell says of jobs.
steady() {
	sed -e '/doorbells/s/[0-9][0-9]*/N/' \
		-e '/seconds in/s/[0-9.][0-9.]*/N/' \
		-e '/Broken pipe/s/[0-9][0-9]* samples/N samples/' \
		-e '/Killed/d' -e '/^$/d' "$1" | LC_ALL=C sort -u
}

# On a machine that is busy anybody may be late, and a meter may see nothing.
besides() {
	LC_ALL=C comm -13 "$1" "$2" | grep -Ev ' (is late|is back|0\.00)$'
}

# saw SESSION: what the text says was printed, in any order
saw() {
	sed '/^\$ /d' "$1" >"$scratch/said"
	steady "$scratch/said" >"$scratch/expected"
	steady "$1.seen" >"$scratch/seen"
	cat "$1.seen"
	[ -z "$(LC_ALL=C comm -23 "$scratch/expected" "$scratch/seen")" ] &&
		[ -z "$(besides "$scratch/expected" "$scratch/seen")" ]
}

# type_in SESSION: the commands of a terminal, up to the first that fails
type_in() {
	sed -n 's/^\$ //p' "$1" >"$1.sh"
	(cd "$typed" && timeout 60 sh -e "$1.sh") >"$1.seen" 2>&1
}

run_alone() {
	type_in "$1"
	typed_in=$?
	saw "$1" && [ $typed_in = 0 ]
}

# The first one listens before anybody types in the second one.
run_both() {
	rm -f "$typed/mixer" "$typed/control"
	type_in "$1" &
	first=$!
	while kill -0 $first 2>/dev/null && [ ! -S "$typed/mixer" ]; do
		sleep 0.1
	done
	type_in "$2" || sed 's/^/2> /' "$2.seen"
	wait $first
	typed_in=$?
	saw "$1" && saw "$2" && [ $typed_in = 0 ]
}

# wav_is_whole PEAK
wav_is_whole() {
	size=$(wc -c <"$typed/mix.wav")
	[ "$(od -An -tu4 -j4 -N4 "$typed/mix.wav")" -eq $((size - 8)) ] &&
		[ "$(od -An -tu4 -j40 -N4 "$typed/mix.wav")" -eq $((size - 44)) ] &&
		od -An -v -td2 -w2 -j44 "$typed/mix.wav" |
		awk -v peak="$1" '$1 > max { max = $1 }
			END { print max; exit max < peak - 200 || max > peak + 200 }'
}

check 'every block of the tutorial says what it is' every_block_is_marked
for path in "$typed"/*.c; do
	file=$(basename "$path")
	check "what the tutorial shows of $file is all of it" \
		same_but_blanks "$path" "$programs/$file"
done
check 'the changes from step4.c to step5.c are those that it shows' \
	changes_are_the_fifth_step
check 'it shows every program of examples/tutorial' every_program_is_shown

for session in "$scratch"/session.*[0-9]; do
	program=$(sed -n 's/^\$ \.\/\([a-z0-9]*\).*/\1/p' "$session" | head -n 1)
	case $(cat "$session.where") in
	run)
		check "$program prints what the tutorial says" \
			run_alone "$session"
		;;
	'first terminal') first_session=$session first_program=$program ;;
	*)
		check "$first_program prints what the tutorial says" \
			run_both "$first_session" "$session"
		;;
	esac
done
check 'mix.wav is whole, and as loud as its only player' wav_is_whole 16383
finish
