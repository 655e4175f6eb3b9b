#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The public headers, as the strictest of users compile them.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

warnings='-pedantic-errors -Wall -Wextra -Werror'
include="-I$top_srcdir/include"

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

# untyped LANGUAGE TYPE TAG: there can be no typed ring of that.
untyped() {
	typed "$2" '"other/1"' && "$1" "$scratch/typed.c" &&
		typed "$2" "$3" && fails "$1" "$scratch/typed.c"
}

typed() {
	printf '%s\n' '#include <peal/typed.h>' \
		'struct pair { int a, b; };' \
		"PEAL_TYPED(other, $1, $2);" >"$scratch/typed.c"
}

long_tag=$(printf '%064d' 0)
cat >"$scratch/use.c" <<'END'
#include <peal/peal.h>
struct pair {
	int a, b;
};
PEAL_TYPED(pair, struct pair, "pair/1");
int use(struct peal_sender *tx, struct peal_receiver *rx);
int use(struct peal_sender *tx, struct peal_receiver *rx)
{
	struct pair *room;
	const struct pair *data;
	struct peal_message message;
	int *number = 0;

	(void)number;
	/* HERE */
	return peal_sender_reserve(tx, 1, &room) > 0 &&
	       peal_sender_try_reserve(tx, &room) > 0 &&
	       peal_sender_wait(tx, 1, 0, &room) > 0 &&
	       peal_sender_commit(tx, 1) == 0 &&
	       peal_receiver_peek(rx, &data) > 0 &&
	       peal_receiver_wait(rx, 1, 0, &data) > 0 &&
	       peal_receiver_release(rx, 1) == 0 &&
	       pair_reserve(tx, 1, &room) > 0 &&
	       pair_try_reserve(tx, &room) > 0 &&
	       pair_wait(tx, 1, 0, &room) > 0 &&
	       pair_commit(tx, 1) == 0 && pair_put(tx, room, 1) > 0 &&
	       pair_peek(rx, &data) > 0 && pair_receive(rx, 1, 0, &data) > 0 &&
	       pair_release(rx, 1) == 0 && pair_get(rx, room, 1) > 0 &&
	       peal_message_reserve(tx, 8, &room) > 0 &&
	       peal_message_try_reserve(tx, 8, &room) > 0 &&
	       peal_message_wait(tx, 8, 0, &room) > 0 &&
	       peal_message_stage(tx, 1, 8) == 0 &&
	       peal_message_commit(tx, 1, 8) == 0 &&
	       peal_message_send(tx, 1, data, sizeof(*data), -1) == 0 &&
	       peal_message_peek(rx, &message) > 0 &&
	       peal_message_next(rx, &message) > 0 &&
	       peal_message_receive(rx, -1, &message) > 0 &&
	       peal_message_release(rx, &message) == 0;
}
END
echo 'int main() { return 0; }' >"$scratch/empty.cc"
if have "$CXX" && $CXX -std=c++17 -fsyntax-only "$scratch/empty.cc" \
	>/dev/null 2>&1; then
	languages='c11 cxx17'
else
	languages=c11
fi

for header in "$top_srcdir"/include/peal/*.h; do
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
	check "nor is it taken for a message's room in $language" \
		refused $language 'peal_message_reserve(tx, 8, number);'
	check "items of another type are refused in $language" \
		refused $language 'return pair_peek(rx, \&number);'
	check "items for reading alone are not for filling in, in $language" \
		refused $language 'return pair_reserve(tx, 1, \&data);'
	check "a tag that does not fit in is refused in $language" \
		untyped $language 'struct pair' "\"$long_tag\""
	check "a ring of no tag is refused in $language" \
		untyped $language 'struct pair' '""'
done

# -- the headers for C++ alone

cxx() {
	$CXX "$@" -Wpedantic -Wall -Wextra -Werror $include -fsyntax-only \
		"$scratch/cxx.cc"
}

# cxx_refused STATEMENT: it must not compile, where an empty one does.
cxx_refused() {
	printf '%s\n' '#include <peal/peal.hpp>' 'struct pair { int a, b; };' \
		'void use(peal::local<pair> &, peal::local<pair> &);' \
		'void use(peal::local<pair> &ring, peal::local<pair> &other)' \
		'{' '(void)ring, (void)other;' "$1" '}' >"$scratch/cxx.cc"
	fails cxx -std=c++17
}

if [ "$languages" = c11 ]; then
	skip 'the headers compile as C++17' "no $CXX"
	finish
fi
for header in "$top_srcdir"/include/peal/*.hpp; do
	name=$(basename "$header")
	printf '#include <peal/%s>\n#include <peal/%s>\n' "$name" "$name" \
		>"$scratch/cxx.cc"
	check "$name compiles alone as C++17" cxx -std=c++17
	check "$name compiles without exceptions and RTTI" \
		cxx -std=c++17 -fno-exceptions -fno-rtti
done
if $CXX -std=c++20 -fsyntax-only "$scratch/empty.cc" >/dev/null 2>&1; then
	check 'peal.hpp compiles as C++20' cxx -std=c++20
else
	skip 'peal.hpp compiles as C++20' "$CXX does not know it"
fi
check 'what is right is not refused in C++' \
	fails cxx_refused 'ring.sender().put(pair{ 1, 2 });'
check 'a ring is not copied' cxx_refused 'other = ring;'
check 'a receiver does not commit' cxx_refused 'ring.receiver().commit(1);'
check 'a sender does not release' cxx_refused 'ring.sender().release(1);'
check 'items that were received are not written to' \
	cxx_refused 'ring.receiver().peek()[0].a = 1;'
check 'a ring of what cannot be copied as bytes is refused' \
	cxx_refused 'peal::local<std::string> strings(1);'
check 'a channel for nothing is refused' \
	cxx_refused 'peal::channel<void, void> nothing("");'
check 'a server without on_readable is refused' \
	cxx_refused 'peal::reactor_of<1> l; peal::serve<1, int>(l, "", 0);'
finish
