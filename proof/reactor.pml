/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * reactor/arming.c: one thread receives from two rings, whose senders are two
 * other processes, and arms both with one fence: store all, fence, at most one
 * barrier, look at all. There is always room.
 */

/* Steps, as the comments in reactor/ name them. Each has mutants. */
/* labels */
#define rings_store 1
#define rings_fence 2
#define rings_barrier 3
#define rings_may_sleep 4
#define rings_recheck 5
#define rings_rearm 6
#define rings_aim_again 7
#define add_recheck 8
/* end of labels */

#define REACTOR 2
#define AUTHORS 3
#define WORDS 3

#define POSITION 0 /* a sender's */
#define ELIDED 1
#define STATE 2
#define WAKE(ring) (ring) /* the reactor's */

#include "memory.pml"

local byte total;     /* items from each sender */
local byte watermark; /* of the second ring */
local bool elides;    /* fences may be left out */
local bool fails;     /* barriers may fail */
local bool crosses;   /* the first ring's callback takes from the second */

byte taken[2];
bool edge[2]; /* eventfds, watched edge-triggered, never read */

#define KNOWN(r) (limit[r] - here[r])
#define REACHED(r) (limit[r] >= target[r])

#define NOWHERE 0
#define READY 1
#define DRAINED 2
#define BATCH 3
#define CLOSED 4

proctype Sender(byte me)
{
	byte here, wake;
	bool elided;

	do
	:: here < total ->
		if
		:: elides && !elided ->
			elided = true;
			store(ELIDED, 1, 0);
			held[me] == 0
		:: true
		fi;
		here++;
		store(POSITION, here, 1);
		if
		:: elided
		:: !elided -> held[me] == 0
		fi;
		wake = AT(REACTOR, WAKE(me));
		if
		:: here == wake ->
			atomic {
				if
				:: elided -> elided = false; store(ELIDED, 0, 1)
				:: else
				fi;
				edge[me] = true
			}
		:: else
		fi
	:: else -> break
	od;
	/* Its end would wake the reactor, whatever was lost before. */
	taken[me] + (me == 1 -> watermark : 1) > total;
	store(STATE, 1, 1);
	held[me] == 0;
	edge[me] = true
}

/* peal_end_recheck(), which leaves what it found in `enough`. */
inline check(r)
{
	limit[r] = AT(r, POSITION);
	enough = false;
	if
	:: AT(r, STATE) != 0 ->
		limit[r] = AT(r, POSITION);
		ended[r] = true;
		enough = true
	:: else ->
		enough = waiting[r] && REACHED(r) && KNOWN(r) >= want[r]
	fi
}

inline aim(r)
{
	target[r] = here[r] + want[r];
	waiting[r] = true
}

inline aim_what_was_taken(r)
{
	if
	:: waiting[r] && REACHED(r) && !IS(rings_aim_again) -> aim(r)
	:: else
	fi
}

inline store_wake(r)
{
	if
	:: armed[r] == target[r] || REACHED(r)
	:: else ->
		armed[r] = target[r];
		how_stored = IS(rings_fence) && how == EXCHANGE;
		store(r, armed[r], how_stored)
	fi
}

inline turn(r)
{
	check(r);
	if
	:: enough ->
		waiting[r] = false;
		here[r] = limit[r];
		taken[r] = here[r];
		if
		:: crosses && r == 0 ->
			limit[1] = AT(1, POSITION);
			here[1] = limit[1];
			taken[1] = here[1]
		:: else
		fi;
		if
		:: ended[r] -> link[r] = CLOSED
		:: else ->
			aim(r);
			link[r] = DRAINED
		fi
	:: else ->
		link[r] = (IS(rings_rearm) -> NOWHERE : DRAINED)
	fi
}

inline barrier()
{
	asked = link[0] == BATCH && AT(0, ELIDED);
	if
	:: IS(rings_barrier) && how == 1 /* what the last one says */
		-> asked = link[1] == BATCH && AT(1, ELIDED)
	:: IS(rings_barrier) && how == 2 /* what the first one says */
	:: else -> asked = asked || (link[1] == BATCH && AT(1, ELIDED))
	fi;
	may_sleep = true;
	if
	:: asked && !(IS(rings_barrier) && how == GONE) ->
		if
		:: fails -> may_sleep = IS(rings_may_sleep)
		:: true -> held[0] == 0; held[1] == 0
		fi
	:: else
	fi
}

inline look(r)
{
	if
	:: link[r] == BATCH ->
		check(r);
		if
		:: IS(rings_recheck) && (how == GONE || r == 1) ->
			link[r] = NOWHERE
		:: !(IS(rings_recheck) && (how == GONE || r == 1)) &&
		   (enough || !may_sleep) ->
			link[r] = READY
		:: else ->
			link[r] = (waiting[r] && REACHED(r) &&
				   !IS(rings_aim_again) -> DRAINED : NOWHERE)
		fi
	:: else
	fi
}

inline arm()
{
	do
	:: link[0] == DRAINED || link[1] == DRAINED ->
		if
		:: link[0] == DRAINED ->
			link[0] = BATCH;
			aim_what_was_taken(0);
			store_wake(0)
		:: else
		fi;
		if
		:: IS(rings_store) -> /* the fence before the last store */
			held[me] == 0
		:: else
		fi;
		if
		:: link[1] == DRAINED ->
			link[1] = BATCH;
			aim_what_was_taken(1);
			store_wake(1)
		:: else
		fi;
		if
		:: IS(rings_store)
		:: else -> fence(rings_fence)
		fi;
		barrier();
		look(0);
		look(1)
	:: else -> break
	od
}

inline hear(r)
{
	if
	:: edge[r] ->
		edge[r] = false;
		link[r] = (link[r] == CLOSED -> CLOSED : READY)
	:: else
	fi
}

proctype Reactor(byte me)
{
	byte here[2], limit[2], target[2], armed[2], want[2], link[2];
	bool waiting[2], ended[2];
	bool asked, may_sleep, enough, how_stored;

	want[0] = 1;
	want[1] = watermark;
	aim(0);
	aim(1);
	link[0] = (IS(add_recheck) -> NOWHERE : DRAINED);
	link[1] = link[0];
	if
	:: IS(add_recheck) -> store_wake(0); store_wake(1); fence(rings_fence)
	:: else -> arm()
	fi;
	do
	:: link[0] == CLOSED && link[1] == CLOSED -> break
	:: else ->
		(edge[0] || edge[1] || link[0] == READY || link[1] == READY);
		hear(0);
		hear(1);
		if
		:: link[0] == READY -> turn(0)
		:: else
		fi;
		if
		:: link[1] == READY -> turn(1)
		:: else
		fi;
		arm()
	od;
	assert(here[0] == total && here[1] == total)
}

init {
	atomic {
		configure_memory();
		c_code {
			now.total = setting("TOTAL", 2);
			now.watermark = setting("WATERMARK", 1);
			now.elides = setting("ELIDES", 0);
			now.fails = setting("FAILS", 0);
			now.crosses = setting("CROSSES", 0);
		};
		run Buffer(0);
		run Buffer(1);
		run Buffer(REACTOR);
		run Sender(0);
		run Sender(1);
		run Reactor(REACTOR)
	}
}
