#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# What the shared library offers is what peal.map lists and the headers
# declare, and it needs nothing but the C library.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

library=$top_builddir/.libs/libpeal.so
[ -e "$library" ] || skip_all 'no shared library was built'

# The names between `global:` and `local:`.
listed() {
	sed -n '/global:/,/local:/p' "$top_srcdir/packaging/peal.map" |
		sed '/:/d' | tr ';' '\n' | tr -d ' \t' | sed '/^$/d' |
		LC_ALL=C sort
}

# Without the name of the version itself, which is an absolute symbol.
exported() {
	$NM -D --defined-only "$library" |
		awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort
}

# Of each declaration outside of braces: the first name that an opening
# parenthesis follows, unless it is static.
declared() {
	echo '#include <peal/peal.h>' >"$scratch/all.c"
	$CC -E -P "-I$top_srcdir/include" "$scratch/all.c" | awk '
	function judge() {
		if (text !~ /static/ &&
		    match(text, /peal_[a-z0-9_]+[ \t\n]*\(/)) {
			name = substr(text, RSTART, RLENGTH)
			sub(/[ \t\n]*\($/, "", name)
			print name
		}
		text = ""
	}
	{
		n = length($0)
		for (i = 1; i <= n; i++) {
			c = substr($0, i, 1)
			if (c == "{")
				depth++
			else if (c == "}") {
				if (--depth == 0 && text ~ /\)[ \t\n]*$/)
					judge()
			} else if (depth == 0 && c == ";")
				judge()
			else if (depth == 0)
				text = text c
		}
		text = text "\n"
	}' | LC_ALL=C sort -u
}

no_wildcard() {
	! grep -n '[*?[]' "$scratch/listed"
}

same() {
	diff "$scratch/$1" "$scratch/$2"
}

nothing_is_missing() {
	LC_ALL=C comm -23 "$scratch/declared" "$scratch/exported" \
		>"$scratch/missing"
	cat "$scratch/missing"
	[ -s "$scratch/declared" ] && [ ! -s "$scratch/missing" ]
}

# The C library, in as many files as it comes, and its dynamic loader.
needs_libc_alone() {
	$READELF -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' \
		>"$scratch/needed"
	cat "$scratch/needed"
	grep -q '^libc\.' "$scratch/needed" &&
		! grep -q -v -E '^(libc\.|libpthread\.|ld-|ld64\.)' \
			"$scratch/needed"
}

listed >"$scratch/listed"
exported >"$scratch/exported"
declared >"$scratch/declared"

check 'peal.map lists every name in full' no_wildcard
check 'the library exports what peal.map lists, and nothing else' \
	same listed exported
check 'every function in the public headers is exported' nothing_is_missing
if [ "$SANITIZERS" = yes ]; then
	skip 'the library needs the C library alone' 'sanitizers need more'
elif ! have "$READELF"; then
	skip 'the library needs the C library alone' "no $READELF"
else
	check 'the library needs the C library alone' needs_libc_alone
fi
finish
