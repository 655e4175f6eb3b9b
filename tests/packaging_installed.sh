#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# A program of somebody else's, compiled against what `make install` leaves.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

[ "$SANITIZERS" = yes ] && skip_all 'a program would need the sanitizers, too'
have "$PKG_CONFIG" || skip_all "no $PKG_CONFIG"

# A staged installation, since the library is tied to its prefix.
stage=$scratch/stage
program=$scratch/program
mkdir "$program"

# The make that runs this test has flags and jobs of its own.
install() {
	MAKEFLAGS='' $MAKE -C "$top_builddir" install DESTDIR="$stage"
}

folder_of() {
	dirname "$(find "$stage" -name "$1" | head -n 1)"
}

# pkg-config leaves folders of the system out, but these are below the stage.
flags() {
	PKG_CONFIG_PATH=$(folder_of peal.pc) PKG_CONFIG_SYSROOT_DIR=$stage \
	PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 \
		$PKG_CONFIG "$@" peal
}

every_header() {
	for header in "$top_srcdir"/include/peal/*.h*; do
		cmp "$header" "$(folder_of ring.h)/$(basename "$header")" ||
			return 1
	done
}

# A page of its own, or a line that leads to the page where it stands.
has_a_page() {
	page=$stage_man/man3/$1.3
	[ -f "$page" ] || return 1
	if [ "$(wc -l <"$page")" -eq 1 ]; then
		page=$stage_man/$(sed -n 's/^\.so //p' "$page")
	fi
	grep -q "^\.Nm $1\( ,\)*\$" "$page"
}

every_function_has_a_page() {
	stage_man=$(dirname "$(dirname "$(find "$stage" -name peal.7)")")
	names=$(sed -n 's/^	\(peal_[a-z_]*\);$/\1/p' "$top_srcdir/packaging/peal.map" |
		grep -v '^peal_end_')
	echo "$names" | grep -q peal_sender_wait || return 1
	for name in $names PEAL_TYPED peal_sender_reserve; do
		has_a_page "$name" || echo "$name has no page"
	done >"$scratch/pageless"
	cat "$scratch/pageless"
	[ ! -s "$scratch/pageless" ]
}

compile() {
	(cd "$program" && $CC -Wall -Wextra -Werror program.c \
		$(flags --cflags --libs) -o program)
}

run() {
	path=$(folder_of 'libpeal.*')${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
	LD_LIBRARY_PATH=$path "$program/program" >"$program/said" &&
		cat "$program/said" &&
		[ "$(cat "$program/said")" = 'on_readable: 42, on_closed: 0' ]
}

cat >"$program/program.c" <<'END'
#include <stdio.h>

#include <peal/peal.h>

static long on_readable(struct peal_receiver *rx, void *user)
{
	int number = 0;

	(void)user;
	peal_receiver_get(rx, &number, 1);
	printf("on_readable: %d, ", number);
	return PEAL_DONE;
}

static void on_closed(struct peal_receiver *rx, int reason, void *user)
{
	(void)rx;
	printf("on_closed: %d\n", reason);
	peal_reactor_stop((struct peal_reactor *)user);
}

int main(void)
{
	struct peal_geometry geometry = { .capacity = 1,
					  .item_size = sizeof(int) };
	struct peal_local ring;
	struct peal_slot slots[1];
	struct peal_reactor loop;
	struct peal_source source = { 0 };
	struct peal_receiver_callbacks callbacks = {
		.on_readable = on_readable,
		.on_closed = on_closed,
		.user = &loop,
	};

	if (peal_local_init(&ring, &geometry) < 0 ||
	    peal_reactor_init(&loop, slots, 1) < 0 ||
	    peal_reactor_add_receiver(&loop, &source, &ring.receiver,
				      &callbacks) < 0)
		return 1;
	peal_sender_put(&ring.sender, &(int){ 42 }, 1);
	peal_sender_finish(&ring.sender);
	if (peal_reactor_run(&loop) < 0)
		return 1;
	peal_reactor_close(&loop);
	peal_local_close(&ring);
	return 0;
}
END

# The first block of C.
readme() {
	awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' \
		"$top_srcdir/README.md" >"$program/program.c"
	compile && LD_LIBRARY_PATH=$path "$program/program" >"$program/said" &&
		cat "$program/said" && [ "$(cat "$program/said")" = 499999500000 ]
}

# block NAME: the block of C after the line that names it, as a program.
block() {
	awk -v line="<!-- $1.c -->" '$0 == line { found = 1 }
		/^```$/ { if (on) exit }
		on
		/^```c$/ { on = found }' \
		"$top_srcdir/README.md" >"$program/program.c"
	[ -s "$program/program.c" ] || {
		echo "README.md has no block after <!-- $1.c -->"
		return 1
	}
	compile && mv "$program/program" "$program/$1"
}

both_blocks() {
	block server && block client
}

server_says() {
	[ "$(tr '\n' ' ' <"$program/said")" = "$1" ]
}

# Three clients, the first of which comes before there is a server.
talk() {
	fails ./client 1 || return 1
	./server >said 2>&1 &
	server=$!
	within [ -S sum ] && ./client 1 2 3 && within server_says 'me: 1 me: 3 me: 6 ' &&
		./client 0.5 && within server_says 'me: 1 me: 3 me: 6 me: 6.5 '
	talked=$?
	cat said
	kill "$server"
	wait "$server"
	return $talked
}

server_and_client() {
	(cd "$program" && [ -x server ] && [ -x client ] &&
		export LD_LIBRARY_PATH="$path" && talk)
}

# -- C++, other ways to find it, and the way back

cp "$program/program.c" "$scratch/first.c"

cat >"$scratch/program.cc" <<'CXX'
#include <cstdio>

#include <peal/peal.hpp>

int main()
{
	peal::local<int> ring(1);
	int number = 0;

	ring.sender().put(42);
	ring.receiver().get(number);
	std::printf("%d, %d\n", number,
		    PEAL_VERSION == std::string(peal_version()));
}
CXX

cxx17() {
	have "$CXX" && $CXX -std=c++17 -fsyntax-only "$scratch/empty.cc" \
		>/dev/null 2>&1
}

# says TEXT COMMAND...
says() {
	text=$1
	shift
	LD_LIBRARY_PATH=$path "$@" >"$scratch/said" || return 1
	cat "$scratch/said"
	[ "$(cat "$scratch/said")" = "$text" ]
}

cxx() {
	# shellcheck disable=SC2046
	$CXX -std=c++17 -Wall -Wextra -Werror "$scratch/program.cc" \
		$(flags --cflags --libs) -o "$program/cxx" &&
		says '42, 1' "$program/cxx"
}

# Nothing but the C library is needed then.
static() {
	# shellcheck disable=SC2046
	$CC -Wall -Wextra -Werror "$scratch/first.c" -static \
		$(flags --static --cflags --libs) -o "$program/static" &&
		says 'on_readable: 42, on_closed: 0' "$program/static"
}

# Found before it is installed, for libtool.
uninstalled() {
	export PKG_CONFIG_PATH="$top_builddir"
	# shellcheck disable=SC2046
	$CC -c "$scratch/first.c" -o "$program/uninstalled.o" \
			$($PKG_CONFIG --cflags peal) &&
		"$top_builddir/libtool" --quiet --tag=CC --mode=link $CC \
			-no-install -o "$program/uninstalled" \
			"$program/uninstalled.o" $($PKG_CONFIG --libs peal) &&
		says 'on_readable: 42, on_closed: 0' "$program/uninstalled"
}

cat >"$scratch/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.10)
project(program C)
find_package(peal 0.1 REQUIRED)
foreach(kind "" -static)
	if(TARGET peal::peal${kind})
		add_executable(program${kind} program.c)
		target_link_libraries(program${kind} peal::peal${kind})
	endif()
endforeach()
CMAKE

# cmake_finds FOLDER: below which it is installed
cmake_finds() {
	rm -rf "$scratch/cmake" && mkdir "$scratch/cmake" &&
		cp "$scratch/CMakeLists.txt" "$scratch/cmake" &&
		cp "$scratch/first.c" "$scratch/cmake/program.c" &&
		(cd "$scratch/cmake" && CC=$CC cmake . -Dpeal_DIR="$(dirname \
			"$(find "$1" -name peal-config.cmake)")" &&
			env -u MAKEFLAGS cmake --build .) || return 1
	for made in "$scratch"/cmake/program "$scratch"/cmake/program-static; do
		[ ! -x "$made" ] || says 'on_readable: 42, on_closed: 0' "$made" ||
			return 1
	done
}

# As a whole, to where it was not meant to be.
cmake_finds_it_moved() {
	cp -R "$stage" "$scratch/moved" && mv "$stage" "$stage.not" || return 1
	cmake_finds "$scratch/moved"
	status=$?
	mv "$stage.not" "$stage"
	return $status
}

# cmake_refuses VERSION
cmake_refuses() {
	sed -i "s/find_package(peal .* REQ/find_package(peal $1 REQ/" \
		"$scratch/CMakeLists.txt"
	fails cmake_finds "$stage" && grep -q 'peal-config.cmake, version: 0' \
		"$scratch/output"
}

nothing_is_left() {
	MAKEFLAGS='' $MAKE -C "$top_builddir" uninstall DESTDIR="$stage" &&
		find "$stage" ! -type d >"$scratch/left" &&
		cat "$scratch/left" && [ ! -s "$scratch/left" ]
}

check 'make install works' install
check 'every public header is installed as it stands in the tree' every_header
check 'man finds the page of every function' every_function_has_a_page
check 'pkg-config finds it' flags --exists --print-errors
check 'a program compiles by what pkg-config says, and without warnings' \
	compile
check 'the program runs' run
check "the README's smallest program compiles and prints what it says" readme
check "the README's server and client compile" both_blocks
check 'they talk to each other' server_and_client

echo 'int main() { return 0; }' >"$scratch/empty.cc"
if cxx17; then
	check 'so does a program in C++' cxx
else
	skip 'so does a program in C++' 'no compiler that knows C++17'
fi
if [ -z "$(find "$stage" -name libpeal.a)" ]; then
	skip 'a program is linked statically' 'no static library was built'
elif ! $CC -static "$scratch/empty.cc" -x c -o "$scratch/empty" 2>/dev/null; then
	skip 'a program is linked statically' 'no static C library'
else
	check 'a program is linked statically' static
fi
check 'pkg-config finds it before it is installed' uninstalled
if have cmake; then
	check 'cmake finds it, and both its libraries' cmake_finds "$stage"
	check 'cmake finds it where it was moved to' cmake_finds_it_moved
	check 'cmake does not take it for an older one' cmake_refuses 0.0
	check 'nor for a newer one' cmake_refuses 0.2
else
	skip 'cmake finds it, and both its libraries' 'no cmake'
fi
check 'make uninstall leaves nothing' nothing_is_left
finish
