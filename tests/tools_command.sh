#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The subcommands of peal are one command: what is the same in all of them.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

peal=$top_builddir/peal
commands='demo recv send top'

# exits STATUS ARGUMENT...: of peal
exits() {
	expected=$1
	shift
	"$peal" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
	status=$?
	echo "peal $*: exit status $status, expected $expected"
	cat "$scratch/out" "$scratch/err"
	[ $status -eq "$expected" ]
}

explains_itself() {
	exits 0 "$1" "$2" && grep "^usage: peal $1 " "$scratch/out" &&
		[ ! -s "$scratch/err" ]
}

same_version() {
	"$peal" --version >"$scratch/version"
	exits 0 "$1" "$2" && diff "$scratch/version" "$scratch/out"
}

# Called wrongly: what is wrong and what to do, to stderr alone.
refuses() {
	says=$1
	shift
	exits 2 "$@" && [ ! -s "$scratch/out" ] &&
		grep -e "$says" "$scratch/err" &&
		grep "peal $1 --help" "$scratch/err"
}

# "-x --name" or "-x --name=" of each option.
options_of() {
	"$peal" "$1" --help | sed -n \
		-e 's/^  \(-.\), \(--[a-z-]*\) [A-Z].*/\1 \2=/p' -e t \
		-e 's/^  \(-.\), \(--[a-z-]*\) .*/\1 \2/p'
}

# Of the same name, with the same letter, and with a value or without.
options_agree() {
	for command in $commands; do
		options_of $command
	done | sort -u >"$scratch/options"
	cat "$scratch/options"
	[ -s "$scratch/options" ] &&
		[ -z "$(sed 's/.* //; s/=$//' "$scratch/options" | sort |
			uniq -d)" ]
}

# In its section of the page, with both its names.
manual_has_all() {
	options_of "$1" | grep -v -e --help -e --version |
		sed 's/^-\(.\) --\([a-z-]*\).*/.It Fl \1 , Fl Fl \2/' \
		>"$scratch/wanted"
	sed -n "/^\.Ss peal $1\$/,/^\.S[sh] [^p]/p" "$top_srcdir/man/peal.1" \
		>"$scratch/section"
	[ -s "$scratch/wanted" ] || return 1
	while read -r line; do
		grep -q "^$line\( \|\$\)" "$scratch/section" || {
			echo "not there: $line"
			return 1
		}
	done <"$scratch/wanted"
}

check 'peal explains itself' exits 0 --help
check 'in short, too' exits 0 -h
check 'and says its version' exits 0 -V
check 'without a command it is called wrongly' exits 2
check 'or with one that there is not' exits 2 dmeo
for command in $commands; do
	check "$command explains itself" explains_itself $command --help
	check "$command does so in short" explains_itself $command -h
	check "$command says the version" same_version $command --version
	check "$command does so in short, too" same_version $command -V
	check "$command knows no other options" \
		refuses 'there is no option --colour' $command --colour
	check "$command knows no other letters" \
		refuses 'there is no option -x' $command -x
	check "$command says what takes no value" \
		refuses '--help takes no value' $command --help=3
	check "the manual has all options of $command" \
		manual_has_all $command
done
check 'an option without its value is told by name' \
	refuses '-b, --bytes takes a value' recv --bytes
check 'by its letter, too' refuses '-b, --bytes takes a value' recv -b
# too_long OPTION COMMAND: 64 bytes
too_long() {
	exits 2 "$2" "$1" "$(printf '%064d' 0)" somewhere &&
		grep -e "$1 takes at most" "$scratch/err"
}

for command in recv send; do
	check "a tag that is too long, $command says" too_long --tag $command
done
check 'so it is with a name' too_long --name send

# says_that_it_cannot ARGUMENT...
says_that_it_cannot() {
	"$peal" "$@" >/dev/full 2>"$scratch/err"
	[ $? -eq 1 ] && grep 'cannot write' "$scratch/err"
}

if [ -c /dev/full ]; then
	check 'what cannot be written is not written in silence' \
		says_that_it_cannot --version
	check 'nor by a command' says_that_it_cannot recv --help
else
	skip 'what cannot be written is not written in silence' 'no /dev/full'
	skip 'nor by a command' 'no /dev/full'
fi
check 'options are the same in all commands' options_agree
finish
