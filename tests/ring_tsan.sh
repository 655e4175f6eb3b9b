#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# ThreadSanitizer in a program of somebody else's, whose library was built
# without it: it must say nothing of threads that do what they may, and must
# find those that share an end.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

[ "$SANITIZERS" = yes ] && skip_all 'the library has a sanitizer of its own'

libs=$top_builddir/.libs
include="-I$top_srcdir/include"
warnings='-Wall -Wextra -Werror'
tsan='-fsanitize=thread -g -O1'
source=$top_srcdir/tests/fixtures/tsan_program.c
setarch=

# with_tsan COMMAND...: the status of ThreadSanitizer's own is 66.
with_tsan() {
	# shellcheck disable=SC2086
	LD_LIBRARY_PATH=$libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} \
		TSAN_OPTIONS=exitcode=66 timeout 120 $setarch "$@"
}

echo 'int main(void) { return 0; }' >"$scratch/empty.c"
# shellcheck disable=SC2086
$CC $tsan "$scratch/empty.c" -o "$scratch/empty" >/dev/null 2>&1 ||
	skip_all "$CC has no ThreadSanitizer"
# It cannot be everywhere where addresses are drawn from a large range.
with_tsan "$scratch/empty" >/dev/null 2>&1 ||
	setarch="setarch $(uname -m) -R"
with_tsan "$scratch/empty" >/dev/null 2>&1 ||
	skip_all 'ThreadSanitizer does not run here'

# The inline functions are all used there.
c11() {
	# shellcheck disable=SC2086
	$CC -std=c11 -D_GNU_SOURCE $warnings $tsan $include -c "$source" \
		-o "$scratch/program.o"
}

cxx17() {
	# shellcheck disable=SC2086
	$CXX -std=c++17 $warnings $tsan $include -c "$scratch/use.cc" \
		-o "$scratch/use.o"
}

# link_with LIBRARY
link_with() {
	# shellcheck disable=SC2086
	$CC $tsan "$scratch/program.o" "$libs/$1" -pthread \
		-o "$scratch/program"
}

found() {
	with_tsan "$scratch/program" "$1"
	[ $? -eq 66 ]
}

cat >"$scratch/use.cc" <<'CXX'
#include <thread>

#include <peal/peal.hpp>

int main()
{
	peal::local<int> ring(16);
	peal::local<peal::message> messages(4096);
	std::thread thread([&] {
		ring.sender().reserve()[0] = 1;
		ring.sender().commit(1);
		messages.sender().send(1, "text");
	});
	int number = *ring.receiver().wait().data();

	ring.receiver().release(1);
	messages.receiver().release(messages.receiver().receive());
	thread.join();
	return number != 1;
}
CXX

cxx_runs() {
	# shellcheck disable=SC2086
	$CXX $tsan "$scratch/use.o" "$libs/$1" -pthread -o "$scratch/use" &&
		with_tsan "$scratch/use"
}

check 'the headers compile with ThreadSanitizer, without warnings' c11
if have "$CXX" && $CXX -std=c++17 -fsyntax-only -x c++ "$scratch/empty.c" \
	>/dev/null 2>&1; then
	cxx=yes
	check 'in C++, too' cxx17
else
	cxx=no
	skip 'in C++, too' 'no compiler that knows C++17'
fi
for library in libpeal.so libpeal.a; do
	if [ ! -e "$libs/$library" ]; then
		skip "a program is linked to $library" 'it was not built'
		continue
	fi
	check "a program is linked to $library" link_with $library
	for right in waits polls copies messages reactor group stop; do
		check "$library: no race where threads do what they may: $right" \
			with_tsan "$scratch/program" $right
	done
	for wrong in two_commit two_put two_get early; do
		check "$library: a race is found: $wrong" found $wrong
	done
	if [ $cxx = yes ]; then
		check "$library: no race in C++" cxx_runs $library
	else
		skip "$library: no race in C++" 'no compiler that knows C++17'
	fi
done
finish
