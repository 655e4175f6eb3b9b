#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The models in proof/ and the code name the same steps, and one of their mutants
# is found out where there is a spin. `make proof` has all the others.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

# The steps of one model, as it lists them.
steps() {
	sed -n '/^\/\* labels \*\//,/^\/\* end of labels \*\//s/^#define \([a-z_]*\) [0-9]*$/\1/p' \
		"$top_srcdir/proof/$1.pml" | LC_ALL=C sort
}

# Those that comments name after `$1.pml:`, on that line, with commas.
named() {
	cat "$top_srcdir"/include/peal/*.h "$top_srcdir"/ring/*.[ch] \
		"$top_srcdir"/reactor/*.[ch] "$top_srcdir"/channel/*.[ch] |
		grep -o "$1\.pml: [a-z_]*\(, [a-z_]*\)*" |
		sed "s/.*: //; s/, /\n/g" | LC_ALL=C sort -u
}

every_one_is_named() {
	[ -s "$scratch/$1.steps" ] &&
		LC_ALL=C comm -23 "$scratch/$1.steps" "$scratch/$1.named" |
		sed 's/^/no comment names /' >"$scratch/missing"
	cat "$scratch/missing"
	[ ! -s "$scratch/missing" ]
}

every_one_exists() {
	LC_ALL=C comm -13 "$scratch/$1.steps" "$scratch/$1.named" |
		sed "s/^/$1.pml does not have /" >"$scratch/missing"
	cat "$scratch/missing"
	[ ! -s "$scratch/missing" ]
}

# Where a step is listed and never done, its mutants are none.
every_one_is_done() {
	for step in $(cat "$scratch/$1.steps"); do
		grep -q "[( ]$step[),]" "$top_srcdir/proof/$1.pml" ||
			echo "$1.pml never does $step"
	done >"$scratch/missing"
	cat "$scratch/missing"
	[ ! -s "$scratch/missing" ]
}

for model in wake reactor bell; do
	steps $model >"$scratch/$model.steps"
	named $model >"$scratch/$model.named"
	check "comments name every step of $model.pml" \
		every_one_is_named $model
	check "$model.pml has every step that comments name" \
		every_one_exists $model
	check "$model.pml does every step that it lists" every_one_is_done $model
done
# All of them take minutes: `make proof`.
if have spin; then
	check 'a fence that is taken away is found out' \
		"$top_srcdir/proof/models" 'publish_fence SIDE'
else
	skip 'a fence that is taken away is found out' 'no spin'
fi
finish
