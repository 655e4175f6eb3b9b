#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Each example says what it should, and that it is right.

. "${top_srcdir:-$(dirname "$0")/..}/tests/fixtures/tap.sh"

# says EXAMPLE LINE
says() {
	said=$("$top_builddir/examples/$1") || {
		echo "exit status $?"
		return 1
	}
	echo "$said"
	[ "$said" = "$2" ]
}

examples=$top_builddir/examples

# same FILE FILE
same() {
	diff "$1" "$2" >"$scratch/diff" || {
		head -n 20 "$scratch/diff"
		return 1
	}
}

# -- numbers that are added up

# Clients of a second each, in any order; then the end as by Ctrl-C.
sums() {
	"$examples/06_sum_server" "$scratch/sum" >"$scratch/sums" 2>&1 &
	server=$!
	within [ -S "$scratch/sum" ] && clients &&
		within grep -q '^Sum: 3.000000$' "$scratch/sums"
	summed=$?
	kill -INT $server
	wait $server || summed=1
	cat "$scratch/sums"
	[ $summed = 0 ] && [ ! -e "$scratch/sum" ] &&
		[ "$(tail -n 1 "$scratch/sums")" = 'In all: 3.000000' ]
}

clients() {
	pids=
	for _ in 1 2 3; do
		"$examples/06_sum_client" "$scratch/sum" 1 &
		pids="$pids $!"
	done
	for pid in $pids; do
		wait "$pid" || return 1
	done
}

no_server() {
	"$examples/06_sum_client" "$scratch/none" 2>&1 |
		grep "none: No such file or directory"
}

# -- sound that is mixed

# What awk prints as numbers, as bytes.
bytes() {
	printf '%b' "$(tr -s ' \n' '\n\n' | sed '/^$/d; s/^/\\0/' | tr -d '\n')"
}

# little SIZE NUMBER...: in octal, for bytes
little='function little(size, n, i) {
	if (n < 0)
		n += 2 ^ (8 * size)
	for (i = 0; i < size; i++) {
		printf "%o ", n % 256
		n = int(n / 256)
	}
}'

# wav FORMAT CHANNELS BITS RATE FRAMES LEFT RIGHT: samples as awk says, of i.
wav() {
	awk "$little"'BEGIN {
		size = '"$2 * $3"' / 8
		printf "122 111 106 106 "	# RIFF
		little(4, 36 + size * '"$5"')
		printf "127 101 126 105 "	# WAVE
		printf "146 155 164 40 "	# fmt
		little(4, 16)
		little(2, '"$1"')
		little(2, '"$2"')
		little(4, '"$4"')
		little(4, '"$4"' * size)
		little(2, size)
		little(2, '"$3"')
		printf "144 141 164 141 "	# data
		little(4, size * '"$5"')
		for (i = 0; i < '"$5"'; i++) {
			little('"$3"' / 8, '"$6"')
			if ('"$2"' == 2)
				little('"$3"' / 8, '"${7:-0}"')
		}
	}' </dev/null | bytes
}

# samples FILE: of 16 bits, those of a frame in a line
samples() {
	od -An -v -td2 -w4 -j44 "$1" | awk '{ print $1, $2 }'
}

# A file whose header says what there is.
header() {
	size=$(wc -c <"$1")
	od -An -tu4 -j4 -N4 "$1" | grep -qw $((size - 8)) &&
		od -An -tu4 -j40 -N4 "$1" | grep -qw $((size - 44)) &&
		[ "$(head -c 16 "$1" | tr -d '\0-\37')" != '' ] || {
		echo "$1: $size bytes, and its header says otherwise"
		return 1
	}
}

mixer() {
	"$examples/07_mixer" -o "$scratch/mix.wav" "$@"
}

# A ramp, mono, of 1000 frames; a stereo one of 700; a float of -1/64.
# Each ends where a period of 480 frames does.
mix_is_the_sum() {
	wav 1 1 16 48000 1000 'i * 7 - 3000' >"$scratch/a.wav"
	wav 1 2 16 48000 700 '-i' '2 * i + 100' >"$scratch/b.wav"
	wav 3 1 32 48000 480 3162505216 >"$scratch/c.wav"
	mixer "$scratch/a.wav" "$scratch/b.wav" "$scratch/c.wav" &&
		samples "$scratch/mix.wav" >"$scratch/mixed" &&
		header "$scratch/mix.wav" || return 1
	awk 'BEGIN {
		for (i = 0; i < 1440; i++) {
			a = i < 1000 ? i * 7 - 3000 : 0
			c = i < 480 ? -512 : 0
			left = i < 700 ? -i : 0
			right = i < 700 ? 2 * i + 100 : 0
			print a + left + c, a + right + c
		}
	}' </dev/null >"$scratch/expected"
	same "$scratch/expected" "$scratch/mixed"
}

# 3/4 and 3/4: three times the way from the knee to 1, so 3/4 of it.
loud_is_limited() {
	wav 3 2 32 48000 480 1061158912 3208642560 >"$scratch/a.wav"
	mixer -f "$scratch/a.wav" "$scratch/a.wav" || return 1
	od -An -v -tf4 -w8 -j44 "$scratch/mix.wav" | sort -u | tr -s ' ' \
		>"$scratch/mixed"
	cat "$scratch/mixed"
	header "$scratch/mix.wav" &&
		[ "$(cat "$scratch/mixed")" = ' 0.9375 -0.9375' ]
}

# complains TEXT FILE
complains() {
	mixer "$2" 2>"$scratch/error" && return 1
	cat "$scratch/error"
	grep "$2: $1" "$scratch/error"
}

wrong_files() {
	wav 1 2 16 44100 10 i i >"$scratch/rate.wav"
	wav 1 2 24 48000 10 i i >"$scratch/bits.wav"
	wav 1 6 16 48000 10 i >"$scratch/six.wav"
	echo 'no sound at all' >"$scratch/text.wav"
	complains 'its sample rate is not 48000 Hz' "$scratch/rate.wav" &&
		complains 'neither 16-bit' "$scratch/bits.wav" &&
		complains 'neither mono' "$scratch/six.wav" &&
		complains 'not a WAV file' "$scratch/text.wav" &&
		complains 'No such file' "$scratch/nothing.wav"
}

chords() {
	mixer >"$scratch/said" && cat "$scratch/said" &&
		[ "$(tail -n 1 "$scratch/said")" = \
			"3 players, 3.00 s in $scratch/mix.wav" ] &&
		header "$scratch/mix.wav" &&
		[ "$(samples "$scratch/mix.wav" | sort -u | wc -l)" -gt 10000 ]
}

is_larger() {
	[ "$(wc -c <"$1")" -gt "$2" ]
}

# A player whose file is a pipe that goes quiet: the mixer waits for more.
start_quiet_mixer() {
	rm -f "$scratch/mix.wav" "$scratch/pipe"
	mkfifo "$scratch/pipe" || return 1
	wav 1 2 16 48000 4800 1000 -1000 >"$scratch/a.wav"
	"$examples/07_mixer" -o "$scratch/mix.wav" "$scratch/pipe" \
		"$scratch/a.wav" >"$scratch/said" 2>&1 &
	mixer=$!
	exec 9<>"$scratch/pipe"
	head -c $((44 + 4 * 4800)) "$scratch/long.wav" >&9
}

# As many samples as had come are in a file that is complete.
interrupted() {
	wav 1 2 16 48000 48000 20 30 >"$scratch/long.wav"
	start_quiet_mixer && within is_larger "$scratch/mix.wav" 8000
	waited=$?
	kill -INT $mixer
	wait $mixer || waited=1
	exec 9>&-
	cat "$scratch/said"
	[ $waited = 0 ] && header "$scratch/mix.wav" &&
		[ "$(samples "$scratch/mix.wav" | sort -u)" = '1020 -970' ]
}

# The first of two players waits for the second, and is killed; what the second
# plays is heard.
killed() {
	wav 1 2 16 48000 960 1000 i >"$scratch/a.wav"
	samples "$scratch/a.wav" >"$scratch/expected"
	rm -f "$scratch/socket"
	"$examples/07_mixer" -o "$scratch/mix.wav" -s "$scratch/socket" -n 2 \
		>"$scratch/said" 2>&1 &
	mixer=$!
	within [ -S "$scratch/socket" ]
	"$examples/07_mixer" -p "$scratch/socket" "$scratch/long.wav" &
	player=$!
	within grep -q "player $player has come" "$scratch/said"
	kill -KILL $player
	within grep -q 'is gone: Broken pipe' "$scratch/said"
	"$examples/07_mixer" -p "$scratch/socket" "$scratch/a.wav"
	played=$?
	[ $played = 0 ] || kill $mixer
	wait $mixer || played=1
	cat "$scratch/said"
	samples "$scratch/mix.wav" >"$scratch/mixed"
	[ $played = 0 ] && same "$scratch/expected" "$scratch/mixed"
}

# -- pictures

video() {
	"$examples/08_video" "$@" >"$scratch/said" && cat "$scratch/said"
}

pattern() {
	video 20 && grep '^20 frames, all right, [1-9]' "$scratch/said"
}

# A file of two pictures and a half.
pictures() {
	head -c 31104000 /dev/zero | tr '\0' '\120' >"$scratch/raw.yuv"
	video 20 "$scratch/raw.yuv" &&
		grep '^2 frames, all right, [1-9]' "$scratch/said"
}

# Killed in its first picture, it is not taken for one that has finished.
cut_off() {
	mkfifo "$scratch/pictures" || return 1
	"$examples/08_video" 20 "$scratch/pictures" >"$scratch/said" 2>&1 &
	source=$!
	exec 9<>"$scratch/pictures"
	timeout 20 head -c 12000000 /dev/zero >&9
	kill -KILL $source
	exec 9>&-
	within grep 'the source is gone' "$scratch/said"
}

every_example_is_tested() {
	for source in "$top_srcdir"/examples/[0-9]*.c*; do
		name=$(basename "${source%.c*}")
		grep -Eq "(says |\"\\\$examples/)$name[ \"]" "$0" || {
			echo "$name is not"
			return 1
		}
	done
}

check 'two threads and a ring' \
	says 01_two_threads 'sum of 1 to 100000: 5000050000'
check 'one reactor for the rings of eight threads' \
	says 02_reactor '8 sensors, 80000 readings'
check 'a ring across fork' says 03_fork '1000 squares from the child'
check 'a ring in an epoll loop of your own' \
	says 04_own_epoll 'the pipe: hello, the ring: 50005000'
check 'the reactor in an epoll loop of your own' \
	says 05_plugged_in 'the pipe: hello, 3 rings: 450015000'
check 'a server adds up what its clients send, until it is interrupted' sums
check 'a client without a server says so' no_server
check 'the mixer adds up its files, sample by sample' mix_is_the_sum
check 'what is too loud is limited' loud_is_limited
check 'a file that is no such sound is refused in words' wrong_files
check 'the mixer makes chords if there are no files' chords
check 'a mixer that is interrupted leaves a complete file' interrupted
check 'a player that is killed is silent' killed
check 'every frame of a video arrives as it was sent' pattern
check 'frames from a file arrive, too' pictures
check 'a video that is cut off is not taken for a whole one' cut_off
if [ -e "$examples/09_cxx" ]; then
	check 'the same in C++: a server, and clients that are threads' \
		says 09_cxx '3 sensors, 30000 readings, the highest is 22.0'
else
	skip 'the same in C++: a server, and clients that are threads' \
		'no compiler that knows C++17'
fi
check 'every example is tested here' every_example_is_tested
finish
