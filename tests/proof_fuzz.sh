#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# What the fuzzers have come upon, once more: proof/fuzz/corpus.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

for target in ring message parse hello welcome reactor; do
	check "no input of the corpus harms $target" \
		"$top_builddir/proof/fuzz/$target" \
		"$top_srcdir/proof/fuzz/corpus/$target"
done
finish
