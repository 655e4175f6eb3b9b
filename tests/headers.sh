#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The public headers, as the strictest of users compile them.

. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.sh"

warnings='-pedantic-errors -Wall -Wextra -Werror'
include="-I$top_builddir/include"

# $CC and $CXX may have arguments of their own.
c11() {
	$CC -std=c11 $warnings $include -fsyntax-only "$@"
}

cxx17() {
	$CXX -std=c++17 $warnings $include -fsyntax-only -x c++ "$@"
}

without_atomic() {
	! grep -n -E '_Atomic|stdatomic' "$1"
}

# refused LANGUAGE STATEMENT: it must not compile, where it stands in a
# function that does without it.
refused() {
	sed "s|/\* HERE \*/|$2|" "$scratch/use.c" >"$scratch/misuse.c"
	fails "$1" "$scratch/misuse.c"
}

cat >"$scratch/use.c" <<'END'
#include <peal/peal.h>
struct pair {
	int a, b;
};
int use(struct peal_sender *tx, struct peal_receiver *rx);
int use(struct peal_sender *tx, struct peal_receiver *rx)
{
	struct pair *room;
	const struct pair *data;
	int *number = 0;

	(void)number;
	/* HERE */
	return peal_sender_reserve(tx, 1, &room) > 0 &&
	       peal_sender_try_reserve(tx, &room) > 0 &&
	       peal_sender_wait(tx, 1, 0, &room) > 0 &&
	       peal_sender_commit(tx, 1) == 0 &&
	       peal_receiver_peek(rx, &data) > 0 &&
	       peal_receiver_wait(rx, 1, 0, &data) > 0 &&
	       peal_receiver_release(rx, 1) == 0;
}
END
echo 'int main() { return 0; }' >"$scratch/empty.cc"
if have "$CXX" && $CXX -std=c++17 -fsyntax-only "$scratch/empty.cc" \
	>/dev/null 2>&1; then
	languages='c11 cxx17'
else
	languages=c11
fi

for header in "$top_builddir"/include/peal/*.h; do
	name=$(basename "$header")
	# Twice, since programs do that, too.
	printf '#include <peal/%s>\n#include <peal/%s>\nint one;\n' \
		"$name" "$name" >"$scratch/alone.c"
	for language in $languages; do
		check "$name compiles alone as $language" \
			$language "$scratch/alone.c"
	done
	check "$name has no _Atomic" without_atomic "$header"
done
for language in $languages; do
	check "items of any type need no cast in $language" \
		$language "$scratch/use.c"
	check "what is right is not refused in $language" \
		fails refused $language 'peal_sender_commit(tx, 1);'
	check "a receiver cannot commit in $language" \
		refused $language 'peal_sender_commit(rx, 1);'
	check "a sender cannot release in $language" \
		refused $language 'peal_receiver_release(tx, 1);'
	check "a pointer that is no pointer's address is refused in $language" \
		refused $language 'peal_receiver_peek(rx, number);'
done
[ "$languages" = c11 ] && skip 'the headers compile as C++17' "no $CXX"
finish
