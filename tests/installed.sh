#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# A program of somebody else's, compiled against what `make install` leaves.

. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.sh"

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
	for header in "$top_builddir"/include/peal/*.h; do
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
	names=$(sed -n 's/^	\(peal_[a-z_]*\);$/\1/p' "$top_srcdir/peal.map" |
		grep -v '^peal_end_')
	echo "$names" | grep -q peal_sender_wait || return 1
	for name in $names PEAL_TYPED peal_sender_reserve; do
		has_a_page "$name" || echo "$name has no page"
	done >"$scratch/pageless"
	cat "$scratch/pageless"
	[ ! -s "$scratch/pageless" ]
}

uninstall() {
	MAKEFLAGS='' $MAKE -C "$top_builddir" uninstall DESTDIR="$stage" &&
		[ -z "$(find "$stage" ! -type d -print)" ]
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
	peal_reactor_finish(&loop);
	peal_local_finish(&ring);
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

# within CONDITION...: it comes true, in ten seconds at the most.
within() {
	for _ in $(seq 100); do
		"$@" && return 0
		sleep 0.1
	done
	echo "not within ten seconds: $*"
	return 1
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
check 'make uninstall leaves no file behind' uninstall
finish
