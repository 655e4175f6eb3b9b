/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A shared bell: two processes, each with the sender of one ring and the
 * receiver of another behind one socket (channel/made.c, channel/served.c). The
 * socket is watched edge-triggered, and drained once in so many arms
 * (peal_end_drain() and wake_sibling() in ring/bell.c). An edge is lost if
 * nothing is left to be read by the time that an end waits. Every store is seen
 * at once in this model: wake.pml has the order in which stores are seen.
 */

/* Steps, as the comments in ring/ name them. Each has mutants. */
/* labels */
#define wake_sibling 1
#define drain_first 2
#define drain_in_time 3
#define bell_turns_both 4
/* end of labels */

c_decl {
	static int setting(const char *name, int otherwise)
	{
		const char *value = getenv(name);

		return value ? atoi(value) : otherwise;
	}
};

local byte mutant;
#define IS(label) (mutant == label)

local byte cap;	  /* items in each ring */
local byte total; /* items from each process; none from the second: 1 way */
local byte other;
local byte drain_every;  /* arms before it is drained */
local byte holds; /* packets, and then a ring finds it full */
local byte most;  /* items sent in one turn */

/* Ring r is sent by process r and received by the other. */
byte tail[2], head[2], data_wake[2], space_wake[2];
byte queue[2]; /* packets for each process to read */
bool edge[2];

#define RX 0
#define TX 1
#define MINE me
#define THEIRS (1 - me)

#define NOWHERE 0
#define READY 1
#define DRAINED 2
#define BATCH 3

inline ring()
{
	d_step {
		if
		:: queue[1 - me] < holds ->
			queue[1 - me]++;
			edge[1 - me] = true
		:: else
		fi
	}
}

inline drain(e)
{
	arms_since_clear[e]++;
	if
	:: arms_since_clear[e] >= drain_every && !IS(drain_in_time) ->
		atomic {
			arms_since_clear[e] = 0;
			queue[me] = 0
		};
		link[1 - e] = (IS(wake_sibling) -> link[1 - e] : READY)
	:: else
	fi
}

/* Nothing is in the ring, or no room: store the wake position. */
inline store_wake(e)
{
	if
	:: IS(drain_first)
	:: else -> drain(e)
	fi;
	if
	:: e == RX && data_wake[THEIRS] != head[THEIRS] + 1 ->
		data_wake[THEIRS] = head[THEIRS] + 1
	:: e == TX && space_wake[MINE] != tail[MINE] - cap + 1 ->
		space_wake[MINE] = tail[MINE] - cap + 1
	:: else
	fi
}

inline check(e)
{
	enough = (e == RX -> tail[THEIRS] != head[THEIRS]
			  : tail[MINE] - head[MINE] != cap)
}

inline receive()
{
	do
	:: tail[THEIRS] != head[THEIRS] ->
		head[THEIRS]++;
		if
		:: space_wake[THEIRS] == head[THEIRS] -> ring()
		:: else
		fi
	:: else -> break
	od;
	link[RX] = DRAINED
}

/* A reserve that falls short arms at once. */
inline send()
{
	n = 0;
	do
	:: tail[MINE] == goal -> break
	:: tail[MINE] != goal && tail[MINE] - head[MINE] != cap && n < most ->
		n++;
		tail[MINE]++;
		if
		:: data_wake[MINE] == tail[MINE] -> ring()
		:: else
		fi
	:: tail[MINE] != goal && tail[MINE] - head[MINE] != cap && n == most ->
		link[TX] = READY;
		break
	:: tail[MINE] != goal && tail[MINE] - head[MINE] == cap ->
		store_wake(TX);
		check(TX);
		if
		:: !enough -> link[TX] = DRAINED; break
		:: else
		fi
	od;
	n = 0
}

inline turn(e)
{
	if
	:: link[e] == READY ->
		link[e] = NOWHERE;
		if
		:: e == RX -> receive()
		:: else -> send()
		fi
	:: else
	fi
}

inline take_to_batch(e)
{
	if
	:: link[e] == DRAINED -> link[e] = BATCH; store_wake(e)
	:: else
	fi
}

inline look(e)
{
	if
	:: link[e] == BATCH ->
		check(e);
		link[e] = (enough -> READY : NOWHERE);
		if
		:: IS(drain_first) -> drain(e)
		:: else
		fi
	:: else
	fi
}

inline hear()
{
	do
	:: link[RX] == READY || link[TX] == READY ->
		if
		:: edge[me] && queue[me] > 0 ->
			edge[me] = false;
			link[RX] = READY;
			link[TX] = READY
		:: else
		fi;
		break
	:: link[RX] != READY && link[TX] != READY ->
		if
		:: atomic {
			edge[me] ->
			edge[me] = false;
			if
			:: queue[me] > 0 ->
				link[RX] = READY;
				link[TX] = (IS(bell_turns_both) -> link[TX]
								: READY)
			:: else /* epoll finds it unreadable */
			fi
		   }
		:: head[THEIRS] == others && tail[MINE] == goal -> break
		fi
	od
}

proctype Process(byte me)
{
	byte goal, others, n;
	byte link[2], arms_since_clear[2];
	bool enough;

	goal = (me == 0 -> total : other);
	others = (me == 0 -> other : total);
	link[RX] = READY;
	link[TX] = READY;
	do
	:: head[THEIRS] == others && tail[MINE] == goal -> break
	:: else ->
		hear();
		turn(RX);
		turn(TX);
		do
		:: link[RX] == DRAINED || link[TX] == DRAINED ->
			take_to_batch(RX);
			take_to_batch(TX);
			look(RX);
			look(TX)
		:: else -> break
		od
	od
}

init {
	atomic {
		c_code {
			now.mutant = setting("MUTANT", 0);
			now.cap = setting("CAP", 1);
			now.total = setting("TOTAL", 3);
			now.other = setting("OTHER", 3);
			now.drain_every = setting("DRAIN_EVERY", 1);
			now.holds = setting("HOLDS", 12);
			now.most = setting("MOST", 255);
		};
		run Process(0);
		run Process(1)
	}
}
