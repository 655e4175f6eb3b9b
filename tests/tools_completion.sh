#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# bash completes what peal(1) takes: its commands, all their options, and names.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

have bash || skip_all 'no bash'
peal=$top_builddir/peal
XDG_RUNTIME_DIR=$scratch
export XDG_RUNTIME_DIR

cat >"$scratch/complete.bash" <<'END'
# complete.bash FILE WORD...: what the last of these words can become
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_peal
printf '%s\n' "${COMPREPLY[@]}"
END

complete() {
	bash "$scratch/complete.bash" "$top_srcdir/packaging/completion/peal" "$@" |
		LC_ALL=C sort
}

# becomes EXPECTED WORD...: in alphabetical order, on one line
becomes() {
	expected=$1
	shift
	complete "$@" | tr '\n' ' ' | sed 's/ $//' >"$scratch/got"
	echo "completed: '$(cat "$scratch/got")', expected: '$expected'"
	[ "$(cat "$scratch/got")" = "$expected" ]
}

# As --help has them.
options_of() {
	"$peal" "$1" --help | sed -n 's/^  -., \(--[a-z-]*\).*/\1/p' |
		LC_ALL=C sort
}

all_options() {
	complete peal "$1" -- >"$scratch/completed"
	options_of "$1" >"$scratch/explained"
	[ -s "$scratch/explained" ] &&
		diff "$scratch/explained" "$scratch/completed"
}

# An option that takes a value is followed by no other option.
values_are_left_alone() {
	"$peal" "$1" --help |
		sed -n 's/^  -., \(--[a-z-]*\) [A-Z].*/\1/p' >"$scratch/valued"
	while read -r option; do
		becomes '' peal "$1" "$option" --j || return 1
	done <"$scratch/valued"
}

syntax() {
	bash -n "$top_srcdir/packaging/completion/peal"
}

all_commands() {
	"$peal" --help | sed -n 's/^  \([a-z][a-z]*\)  .*/ \1/p' |
		tr -d '\n' >"$scratch/commands"
	becomes "--help --version$(cat "$scratch/commands")" peal ''
}

check 'bash takes it' syntax
check 'all commands are completed' all_commands
check 'a command is' becomes recv peal re
check 'an unknown one is not' becomes '' peal x
for command in demo recv send top; do
	check "all options of $command are" all_options $command
	check "what those of $command take is no option" values_are_left_alone $command
done
check 'what to sort by' becomes 'saved stalls' peal top --sort s
check 'the same with a sign' becomes fill peal top --sort = fi
check 'and with nothing behind it' \
	becomes 'age bells bytes fill items name pid process saved stalls' \
	peal top --sort =
check 'processes' becomes $$ peal top -p $$

"$peal" recv --timeout 60 cello 4>&- 5>&- &
receiver=$!
within test -S "$scratch/peal/cello"
check 'receivers that are there' becomes cello peal send c
check 'all of them' becomes cello peal send ''

# What a shell would do, if it took a name for a word of its own.
strange=$(printf '$(touch $HOME)\n`touch $HOME`\n;a\na b\n*\nc"')
echo "$strange" | while read -r name; do
	mv "$scratch/peal/cello" "$scratch/peal/$name" &&
		cp -a "$scratch/peal/$name" "$scratch/peal/cello"
done
nothing_is_done() {
	[ -S "$scratch/peal/\$(touch \$HOME)" ] &&
		HOME=$scratch/touched becomes cello peal send '' &&
		[ ! -e "$scratch/touched" ]
}
check 'names that a shell would act on are left out' nothing_is_done
others_are_left_out() {
	chown 65534 "$scratch/peal" && becomes '' peal send ''
}
if [ "$(id -u)" = 0 ]; then
	check 'so is what others have made' others_are_left_out
else
	skip 'so is what others have made' 'not root'
fi
kill $receiver
wait $receiver 2>/dev/null
finish
