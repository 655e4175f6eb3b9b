#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# `peal top` finds rings, says of them what is so, and believes nothing.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

peal=$top_builddir/peal
rings=$top_builddir/tests/fixtures/top_rings
out=$scratch/out
err=$scratch/err
LC_ALL=C
export LC_ALL
unset COLUMNS NO_COLOR

# Rings live until this fifo is closed.
mkfifo "$scratch/hold"
exec 9<>"$scratch/hold"
started=0

# have_rings ARGUMENT...: of a process whose pid is in $pid then.
have_rings() {
	started=$((started + 1))
	: >"$scratch/ready.$started"
	$as_user "$rings" "$@" <"$scratch/hold" >"$scratch/ready.$started" \
		9>&- 4>&- 5>&- &
	pid=$!
	pids="$pids $pid"
	within grep -q ready "$scratch/ready.$started"
}
as_user=
pids=
trap 'kill $pids 2>/dev/null; rm -rf "$scratch"' EXIT

# top STATUS ARGUMENT...
top() {
	expected=$1
	shift
	$as_user "$peal" top "$@" >"$out" 2>"$err" </dev/null
	status=$?
	echo "top $*: exit status $status, expected $expected"
	cat "$out" "$err"
	[ $status -eq "$expected" ]
}

# One look at the rings of the last process.
look() {
	top 0 --once --interval 0 --pid "$pid" "$@"
}

says() {
	cat "$out" "$err"
	grep -q -e "$1" "$out" "$err"
}

# shows SENTENCE PATTERN: a line of the table, where runs of blanks count once
shows() {
	tr -s ' ' <"$out" >"$scratch/squeezed"
	cat "$scratch/squeezed"
	grep -q -e "$1" "$scratch/squeezed"
}

has_lines() {
	cat "$out"
	[ "$(wc -l <"$out")" -eq "$1" ]
}

# line_is NUMBER NAME: of the ring that is shown there
line_is() {
	cat "$out"
	sed -n "$1p" "$out" | grep -q " $2 "
}

# No byte that a terminal would obey.
only_text() {
	LC_ALL=C tr -d ' -~\n' <"$1" | od -c
	[ -z "$(LC_ALL=C tr -d ' -~\n' <"$1")" ]
}

# json EXPRESSION: true of the object j, of its first ring r
json() {
	look --json && python3 - "$out" "$1" <<'END'
import json, sys
j = json.load(open(sys.argv[1]))
r = j["rings"][0] if j["rings"] else None
print(json.dumps(r, indent=1))
sys.exit(0 if eval("(" + sys.argv[2] + ")") else 1)
END
}

check_json() {
	if have python3; then
		check "$1" json "$2"
	else
		skip "$1" 'no python3'
	fi
}

# -- one ring, of which everything is known

check 'a process makes a ring' have_rings name=cello tag=sample/1 \
	capacity=256 size=48 s:256=1100 r:256=1000 r:384=1150 \
	s:512=7 s:520=1 s:528=12 s:536=11 r:512=5
check 'its ring is found' look
check 'there is a line for it and one of titles' has_lines 2
check 'it says who, what, how large, how full, and who waits' \
	shows "^top_rings $pid cello sample/1 256 \[||* *39%\] - - - - 12 - receiver\$"
check_json 'as JSON, too: what it is' \
	'r["name"] == "cello" and r["tag"] == "sample/1" and
	r["capacity"] == 256 and r["item_size"] == 48 and r["fill"] == 100'
check_json 'each end with its position and its counts' \
	'r["sender"] == {"state": "open", "position": 1100, "waits_for": 0,
	"doorbells": 7, "bell_errors": 1, "stalls": 12, "transitions": 11} and
	r["receiver"]["position"] == 1000 and
	r["receiver"]["waits_for"] == 50 and r["receiver"]["doorbells"] == 5'
check_json 'one look gives no rates' \
	'r["rates"] is None and r["oldest"]["more_than"] is None'
check_json 'the process, whose role cannot be known' \
	"r['processes'] == [{'pid': $pid, 'name': 'top_rings', 'role': None}]"

two_looks() {
	top 0 --json --interval 0.05 --pid "$pid" && python3 - "$out" <<'END'
import json, sys
r = json.load(open(sys.argv[1]))["rings"][0]
assert r["rates"] == {"items": 0, "bytes": 0, "doorbells": 0, "saved": 0,
		      "stalls": 0}, r
assert r["oldest"]["more_than"] > 0.04, r
END
}
if have python3; then
	check 'two looks give rates, and an age' two_looks
else
	skip 'two looks give rates, and an age' 'no python3'
fi

# -- who is who

mkfifo "$scratch/lines"
exec 8<>"$scratch/lines"
"$peal" recv "$scratch/socket" >"$scratch/received" 8>&- 9>&- &
receiver=$!
"$peal" send "$scratch/socket" <"$scratch/lines" 8>&- 9>&- &
sender=$!
pids="$pids $receiver $sender"
echo a line >&8
check 'a line comes through a channel' \
	within grep 'a line' "$scratch/received"
pid=$receiver
check 'its ring is shown' look
check 'the sender comes first' shows "^peal $sender>$receiver "
check_json 'and JSON says who is who' "{(p['pid'], p['role'])
	for p in r['processes']} == {($sender, 'sender'), ($receiver, 'receiver')}"
kill $sender $receiver

# -- many

have_rings name=viola fork new name=viola-2 tag=cello/9 capacity=1024 s:256=800
check 'of two rings, in two processes' look
check 'each is shown once' has_lines 3
check 'with both processes' shows "^top_rings $pid,[0-9]* viola "
check_json 'so it is in JSON' \
	"len(j['rings']) == 2 and len(r['processes']) == 2"
check 'sorted by fill' look --sort fill
check 'the fuller one comes first' line_is 2 viola-2
check 'sorted by name' look --sort name
check 'it does not' line_is 3 viola-2
check 'turned round' look --sort name --reverse
check 'it does' line_is 2 viola-2
check 'filtered by a part of the name' look --name la-2
check 'there is one' has_lines 2
check 'a part of the tag will do' look -n ello/9
check 'there is one again' has_lines 2
check 'filtered by the name of a process' look --process op_rin
check 'there are both' has_lines 3
check 'by another' look --process xyz
check 'there is none, and it is said' says 'no rings that fit'
check 'of a process without rings there are none' \
	top 0 --once --interval 0 --pid $$
check 'this is said as well' says 'no rings'
no_rings() {
	top 0 --json -i 0 --pid $$ && grep '"rings": \[\]}$' "$out"
}
check 'JSON has an empty list then' no_rings

# -- roles, ends

have_rings name=a sender
check 'who can write one page alone' look
check_json 'is known by it' 'r["processes"][0]["role"] == "sender"'
have_rings name=a s:392=1 new name=b r:392=1 new name=c s:392=2 \
	new name=d s:256=1 r:256=1 s:384=2
check 'of rings that end' look --sort name
check 'a sender that has finished is shown' shows ' a .* finished$'
check 'a receiver that has left' shows ' b .* left$'
check 'an end that gave up' shows ' c .* broken$'
check 'a sender that waits' shows ' d .* sender$'

# -- lies

have_rings name=a s:256=65 new name=b s:256=-1 new name=c s:392=77 \
	new name=d r:24=1 new name=e r:0=0 new name=f s:512=-1 s:528=-1
check 'of rings that cannot be' look --sort name
check 'each is shown' has_lines 7
check 'a ring that is fuller than full is wrong' shows ' a - 64 - .* wrong$'
check 'so is one that was emptied before it was filled' shows ' b .* wrong$'
check 'a state that there is not' shows ' c .* wrong$'
check 'pages that disagree' shows ' d .* wrong$'
check 'half a ring' shows ' e .* wrong$'
check_json 'in JSON such a ring has no fill' \
	'[r["fill"] for r in j["rings"] if not r["possible"]] == [None] * 5'
have_rings name=a s:24=3 new name=b s:0=0 new name=c s:32=-1 new name=d s:40=1 \
	new name=blob blob new name=cut cut
check 'what is no ring' look
check 'is not shown' says 'no rings'
have_rings name="$(printf 'a\033[2J\302\233b\nc\377"\\')" tag="$(printf '\t')"
check 'of a ring with a strange name' look
check 'names cannot steer a terminal' only_text "$out"
check 'and are shown nevertheless' shows ' a?\[2J??b?c?"\\ ? '
check_json 'in JSON they are escaped' \
	'r["name"] == "a\x1b[2J\x9bb\nc\ufffd\"\\" and r["tag"] == "\t"'
check 'not one byte of it is control' only_text "$out"

# -- rings that are closed everywhere, as those of channels are

# As a debugger would have to be allowed to.
may_debug() {
	# shellcheck disable=SC2016
	$as_user sh -c ': <"$0"' "/proc/$pid/mem"
}

closed_is_found_or_counted() {
	if may_debug 2>/dev/null; then
		shows ' closed '
	else
		says '1 more ring'
	fi
}

have_rings name=closed close
check 'a ring that is open nowhere' look
check 'is found, or it is said that it is there' closed_is_found_or_counted

# -- as a user like any other

as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
may_be_nobody() {
	[ "$(id -u)" = 0 ] && have setpriv &&
		$as_nobody "$rings" blob </dev/null >/dev/null 2>&1 &&
		$as_nobody "$peal" --version >/dev/null 2>&1
}
if may_be_nobody; then
	roots=$pid
	as_user=$as_nobody
	check 'another user does not see it' \
		top 0 --once --interval 0 --pid "$roots"
	check 'for him there are none' says 'no rings'
	check 'and he is told that there may be more' \
		says 'process.* cannot be looked into without root'
	have_rings name=open
	check 'a ring of his own that is open' look
	check 'he sees' shows ' open '
	have_rings name=closed close
	check 'one that is open nowhere' look
	check 'he sees, too, or is told' closed_is_found_or_counted
	as_user=
else
	skip 'another user sees his own rings' 'not root, or nothing to run'
fi

# -- without /proc, and with one that hides

may_mount() {
	[ "$(id -u)" = 0 ] && have unshare && unshare -m true 2>/dev/null
}

no_proc() {
	for how in --once --json; do
		# shellcheck disable=SC2016
		unshare -m sh -c 'mount -t tmpfs none /proc && exec "$@"' \
			sh "$real" top $how --interval 0 >"$out" 2>"$err"
		status=$?
		cat "$out" "$err"
		[ $status -eq 2 ] && says 'cannot look for rings: /proc' &&
			[ ! -s "$out" ] || return 1
	done
}

# hidden OPTION PATTERN
hidden() {
	# shellcheck disable=SC2016
	unshare -m sh -c 'mount -t proc -o "$0" proc /proc || exit 77
		exec "$@"' "$1" $as_nobody "$real" top --once --interval 0 \
		>"$out" 2>"$err"
	status=$?
	cat "$out" "$err"
	[ $status -eq 77 ] || { [ $status -eq 0 ] && says "$2"; }
}

unknown_is_null() {
	# shellcheck disable=SC2016
	unshare -m sh -c 'mount -t proc -o hidepid=2 proc /proc || exit 77
		exec "$@"' sh $as_nobody "$real" top --json --interval 0 \
		>"$out" 2>"$err"
	status=$?
	cat "$out" "$err"
	[ $status -eq 77 ] || says '"hidden_processes": null'
}

# libtool's script cannot be run there.
real=$peal
if [ -x "$top_builddir/.libs/peal" ]; then
	real=$top_builddir/.libs/peal
	LD_LIBRARY_PATH=$top_builddir/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
	export LD_LIBRARY_PATH
fi
if [ "$SANITIZERS" = yes ]; then
	skip 'without /proc it does not say that there are none' \
		'sanitizers read their options in /proc'
elif may_mount; then
	check 'without /proc it does not say that there are none' no_proc
else
	skip 'without /proc it does not say that there are none' 'not root'
fi
if may_mount && may_be_nobody; then
	check 'where processes are hidden it says so' \
		hidden hidepid=2 'of other users are hidden'
	check 'where they are closed, too' hidden hidepid=1 'looked into'
	check 'in JSON their number is null' unknown_is_null
else
	skip 'where processes are hidden it says so' 'not root'
fi

# -- processes that come and go

ends_while_looked_at() {
	for i in 1 2 3 4 5 6 7 8; do
		"$peal" demo --senders 8 --seconds 0 "$0" >/dev/null 2>&1 &
		demo=$!
		top 0 --json --interval 0.02 || return 1
		wait $demo || return 1
	done
}
check 'programs that end meanwhile confuse nobody' ends_while_looked_at

# -- called wrongly

check 'there is no such column' top 2 --once --sort colour
check 'those that there are, are said' says 'stalls'
check 'there is no process 0' top 2 --once --pid 0
check 'time does not run backwards' top 2 --once --interval -1
check 'there are no operands' top 2 --once x
check 'without a terminal it needs to be told' top 2
check 'what to say, it says' says '--once'

# full FILE: where nothing can be written
cannot_write() {
	"$peal" top --json -i 0 >/dev/full 2>"$err"
	[ $? -eq 1 ] && says 'No space'
}
if [ -c /dev/full ]; then
	check 'output that cannot be written is an error' cannot_write
else
	skip 'output that cannot be written is an error' 'no /dev/full'
fi

# -- in a terminal

cat >"$scratch/terminal.py" <<'END'
"""Run peal top in a terminal of its own: terminal.py PEAL HOW-TO-END"""
import fcntl, os, pty, select, signal, struct, sys, termios, time

peal, end = sys.argv[1:]
pid, fd = pty.fork()
if pid == 0:
    # A test that runs in the background may inherit signals that are ignored.
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, signal.SIG_DFL)
    os.environ["TERM"] = "vt100"
    os.execv(peal, [peal, "top", "--interval", "0.1"])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", 30, 100, 0, 0))
shown = b""

def show_until(word):
    global shown
    deadline = time.monotonic() + 60
    while word not in shown:
        assert time.monotonic() < deadline, (word, shown)
        if select.select([fd], [], [], 1)[0]:
            try:
                shown += os.read(fd, 65536)
            except OSError:
                break
        if b"without ncurses" in shown:
            sys.exit(77)

before = termios.tcgetattr(fd)
show_until(b"q quit")
assert b"PROCESSES" in shown, shown
shown = b""
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", 12, 60, 0, 0))
show_until(b"q quit")
if end == "q":
    os.write(fd, b"<>r \x1b[B/cello\r")
    show_until(b"cello")
    os.write(fd, b"q")
else:
    os.kill(pid, getattr(signal, end))
shown = b""
try:
    while True:
        data = os.read(fd, 65536)
        if not data:
            break
        shown += data
except OSError:
    pass
status = os.waitpid(pid, 0)[1]
print(status, shown)
if end == "q":
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
else:
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == getattr(signal, end)
END

in_a_terminal() {
	python3 "$scratch/terminal.py" "$peal" "$1"
}

if ! have python3 || ! [ -c /dev/ptmx ]; then
	skip 'in a terminal, q quits' 'no python3, or no terminals'
elif in_a_terminal q >"$err" 2>&1 || [ $? -ne 77 ]; then
	check 'in a terminal, q quits' in_a_terminal q
	check 'so does SIGTERM' in_a_terminal SIGTERM
	check 'and SIGINT' in_a_terminal SIGINT
else
	skip 'in a terminal, q quits' 'it was built without ncurses'
fi

exec 9>&-
finish
