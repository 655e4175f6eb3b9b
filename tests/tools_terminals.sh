#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The subcommands of peal in terminals of all kinds, and in none.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"
. "$top_srcdir/tests/fixtures/tool.sh"

ulimit -c 0 # of SIGQUIT
have python3 && [ -c /dev/ptmx ] || skip_all 'no python3, or no terminals'

born=$top_builddir/tests/fixtures/born
unset NO_COLOR COLUMNS LINES TERM
LC_ALL=C
export LC_ALL

cat >"$scratch/in.py" <<'END'
"""in.py TERM ROWSxCOLUMNS HOW COMMAND...: run it in a terminal of that size,
and print what it shows. TERM - is none. HOW: `end` waits for it, `quit` presses
q once there is a picture, `break` Ctrl-\\, `hang-up` takes the terminal away then.
The status is that of the command, or 128 and the signal."""
import fcntl, os, pty, select, signal, struct, sys, termios, time

term, size, how = sys.argv[1:4]
rows, columns = map(int, size.split("x"))
ready_in, ready_out = os.pipe()
pid, fd = pty.fork()
if pid == 0:
    os.close(ready_out)
    os.read(ready_in, 1)
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
              signal.SIGQUIT):
        signal.signal(s, signal.SIG_DFL)
    if term != "-":
        os.environ["TERM"] = term
    os.execv(sys.argv[4], sys.argv[4:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
os.close(ready_out)
shown = b""
deadline = time.monotonic() + 60
pressed = False
while True:
    assert time.monotonic() < deadline, shown
    if select.select([fd], [], [], 0.1)[0]:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    if how == "quit" and shown:
        os.write(fd, b"q")
    if how == "break" and b"q quit" in shown and not pressed:
        os.write(fd, b"\x1c") # a second one would kill it as it leaves
        pressed = True
    if how == "hang-up" and b"q quit" in shown:
        os.close(fd)
        break
status = os.waitpid(pid, 0)[1]
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(status) % 256 if os.WIFEXITED(status)
         else 128 + os.WTERMSIG(status))
END

# in_terminal STATUS TERM SIZE HOW COMMAND...
in_terminal() {
	expected=$1
	shift
	python3 "$scratch/in.py" "$@" >"$scratch/shown"
	status=$?
	cat -v "$scratch/shown"
	echo "exit status $status, expected $expected"
	[ $status -eq "$expected" ]
}

# A pattern of Python's, of bytes.
shows() {
	python3 - "$scratch/shown" "$1" <<'END'
import re, sys
sys.exit(not re.search(sys.argv[2].encode(), open(sys.argv[1], "rb").read()))
END
}

colour='\x1b\[(?:[0-9;]*;)?[34][0-9](?:;[0-9;]*)?m'
escape='\x1b'

# No live view, and no byte of one.
cannot_use() {
	in_terminal 1 "$1" 24x80 end "$peal" top &&
		shows "cannot use this terminal \(TERM is $2\): use --once" &&
		! shows "$escape"
}

# Curses keeps what it has made by then.
cannot_use_unknown() {
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 \
		cannot_use nonesuch nonesuch
}

colours() {
	in_terminal 0 xterm 24x80 quit "$peal" top --interval 0.1 &&
		shows "$colour"
}

no_colours() {
	NO_COLOR=$1 in_terminal 0 xterm 24x80 quit "$peal" top --interval 0.1 &&
		shows "$escape" && ! shows "$colour"
}

empty_says_nothing() {
	NO_COLOR='' in_terminal 0 xterm 24x80 quit "$peal" top --interval 0.1 &&
		shows "$colour"
}

of_size() {
	in_terminal 0 vt100 "$1" quit "$peal" top --interval 0.1
}

hangs_up() {
	in_terminal 129 vt100 24x80 hang-up "$peal" top --interval 0.1
}

# The terminal is as it was: its cursor, its lines.
breaks_off() {
	in_terminal 131 xterm 24x80 break "$peal" top --interval 0.1 &&
		shows '\x1b\[\?1049l'
}

cannot_wait() {
	"$born" denied poll ENOMEM -- true
	[ $? -ne 77 ] || return 0
	in_terminal 1 vt100 24x80 end "$born" denied poll ENOMEM -- "$peal" top &&
		shows 'cannot look at all rings: (Cannot allocate|Out of) memory'
}

widest() {
	tr -d '\r' <"$scratch/shown" | awk '{ if (length($0) > n)
		n = length($0) } END { print n }'
}

# wide LEAST MOST
wide() {
	widest
	[ "$(widest)" -ge "$1" ] && [ "$(widest)" -le "$2" ]
}

once_is_as_wide() {
	in_terminal 0 vt100 "24x$1" end "$peal" top --once --interval 0 \
		--pid "$pid" && wide "$2" "$3"
}

without_a_terminal() {
	COLUMNS=$1 "$peal" top --once --interval 0 --pid "$pid" \
		>"$scratch/shown" && wide "$2" "$3"
}

# What goes on in place, and the sequence for it.
redraws() {
	in_terminal 0 vt100 24x80 end "$peal" demo --senders 2 --seconds 1.2 \
		"$0" && shows '\r[0-9]+ rings open' && shows '\x1b\[K'
}

does_not() {
	in_terminal 0 "$1" 24x80 end "$peal" demo --senders 2 --seconds 1.2 \
		"$0" && shows 'rings open' && ! shows "$escape"
}

stats_do_not() {
	cat >"$scratch/both.sh" <<'END'
"$1" recv --stats --count 3 "$2" >/dev/null &
seq 3 | "$1" send --stats --timeout 60 "$2"
wait
END
	in_terminal 0 "$1" 24x80 end /bin/sh "$scratch/both.sh" "$peal" \
		"$scratch/socket" &&
		shows 'peal: 3 messages' && ! shows "$escape"
}

# A ring, until this fifo is closed.
mkfifo "$scratch/hold"
exec 9<>"$scratch/hold"
: >"$scratch/ready"
"$top_builddir/tests/fixtures/top_rings" name=cello tag=sample/1 capacity=256 size=48 \
	s:256=1100 r:256=1000 <"$scratch/hold" >"$scratch/ready" 9>&- &
pid=$!
trap 'kill $pid 2>/dev/null; rm -rf "$scratch"' EXIT
within grep -q ready "$scratch/ready"

if in_terminal 0 xterm 24x80 quit "$peal" top --interval 0.1 \
	>"$scratch/first" 2>&1; then
	check 'a dumb terminal is told what to do' cannot_use dumb dumb
	check 'so is one without a name' cannot_use - 'not set'
	check 'with an empty one' cannot_use '' 'not set'
	check 'and with one that is nowhere known' cannot_use_unknown
	check 'full rings have colours' colours
	check 'they have none with NO_COLOR' no_colours 1
	check 'whatever it says' no_colours 0
	check 'if it says anything' empty_says_nothing
	check 'a window of no size' of_size 0x0
	check 'of the smallest size' of_size 1x1
	check 'of two lines' of_size 2x20
	for size in 65535 99999999999 0 -1 80x; do
		check "sizes of $size in the environment do no harm" \
			env COLUMNS=$size LINES=$size python3 \
			"$scratch/in.py" vt100 24x80 quit "$peal" top \
			--interval 0.1
	done
	check 'a terminal that hangs up ends it' hangs_up
	check 'Ctrl-\\ ends it, and leaves the terminal as it was' breaks_off
	check 'so does poll that fails' cannot_wait
else
	skip 'the live view' 'built without ncurses, or xterm is not known'
fi
check 'a table is as wide as the terminal' once_is_as_wide 100 90 100
check 'and no wider' once_is_as_wide 70 55 70
check 'without a width it is as ever' once_is_as_wide 0 100 120
export COLUMNS=80
check 'COLUMNS comes first' once_is_as_wide 200 65 80
unset COLUMNS
check 'where there is no terminal, too' without_a_terminal 80 65 80
check 'without COLUMNS it is as ever' without_a_terminal '' 100 120
check 'and where it makes no sense' without_a_terminal -3 100 120
check 'likewise' without_a_terminal 80x 100 120
check 'demo goes on in place in a terminal' redraws
check 'but not in a dumb one' does_not dumb
check 'nor in one without a name' does_not -
check 'so it is with --stats' stats_do_not dumb
exec 9>&-
finish
