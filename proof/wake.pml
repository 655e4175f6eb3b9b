/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The wake protocol of one ring: ring/arm.c, ring/end.c, include/peal/end.h and
 * ring/fence.c, for a sender that waits for room and a receiver that waits for
 * items. Both run the same lines, as there.
 */

/* Steps, as the comments in ring/ name them. Each has mutants. */
/* labels */
#define publish_release 1
#define publish_fence 2
#define crossing 3
#define advance_acquire 4
#define arm_store 5
#define arm_fence 6
#define arm_recheck 7
#define clear_first 8
#define end_acquire 9
#define end_recheck 10
#define end_below_watermark 11
#define leave_release 12
#define leave_fence 13
#define leave_ring 14
#define kick 15
#define kick_once 16
#define offer 17
#define offer_anew 18
#define attach_ring 19
#define attach_ended_ring 20
#define reserve_arm 21
#define reserve_nearer 22
#define reserve_told 23
#define elide_registered 24
#define elide_able 25
#define elide_on 26
#define elide_on_fence 27
#define elide_off 28
#define elide_off_release 29
#define elide_acquire 30
#define elide_every_arm 31
#define elide_after_fence 32
#define barrier 33
#define barrier_first 34
#define barrier_failed 35
#define unarmed_goes_on 36
#define allow_restores 37
#define hangup_advance 38
#define kick_armed 39
/* end of labels */

#define SENDER 0
#define RECEIVER 1
#define NONE 2
#define AUTHORS 2

#define POSITION 0
#define WAKE 1
#define STATE 2
#define ELIDED 3
#define BARRIER 4
#define ITEM 5
#define WORDS 9 /* up to 4 items */

#include "memory.pml"

#define OPEN 0
#define FINISHED 1

local byte cap;	    /* items; a power of two */
local byte total;   /* items that are sent in all */
local byte start;   /* where positions begin: they run over at 256 */
local byte sn, sw;  /* what the sender waits for and sends, its watermark */
local byte rn, rw;
local byte most;    /* what the receiver takes at once */
local byte leaves;  /* it leaves after so many */
local byte dies;    /* the end that may die, at any step, */
local bool again;   /* and another one goes on in its place */
local bool reserves;/* the sender does not block, but reserves and arms */
local bool drains;  /* it waits until all was taken before it leaves */
local bool elides;  /* fences may be left out */
local bool refuses; /* the receiver, once, less than it waits for */
local bool holds;   /* it takes one, and the next once a third was sent */
local bool fails;   /* barriers may fail */
local byte allows;  /* the end that forbids or allows barriers at work */
local bool worse;   /* whoever goes on has no barriers */
byte unable;	    /* the end whose process has none */

bool bell[2];	 /* what each waits on: an eventfd that is cleared by a read */
bool hung_up[2]; /* the other end is gone, and so is its lifeline */
bool crash[2];
bool crashed;
bool wrong;	 /* an item was not what was sent */
bool pruned;	 /* a load was guessed wrong: this run is none */
byte rung_for[2];
bool allowed;

/* Positions are modulo 256 here. */
#define MOD(x) ((x) & 255)
#define MIN(a, b) ((a) < (b) -> (a) : (b))
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define PEER (1 - me)
#define BIAS (me == SENDER -> cap : 0)
#define SENT MOD(here - start)
#define KNOWN MOD(limit - here)
#define REACHED (MOD(limit - BIAS - target) < 128)
#define WANTED (MOD(AT(PEER, WAKE) - here - 1) < cap)

#define RESERVING (reserves && me == SENDER && waiting)
#define SHORT 0
#define ENOUGH 1
#define OFFER 2
#define END 3

/* -- publishing */

inline elision_off()
{
	if
	:: elided && !IS(elide_off) ->
		elided = false;
		order = !IS(elide_off_release);
		store(ELIDED, 0, order)
	:: elided && IS(elide_off) -> /* told before it is so */
		store(ELIDED, 0, 1);
		elided_off_late = true
	:: else
	fi
}

/* After some thousand publishes without a ring, which is at any time. */
inline adapt()
{
	if
	:: true
	:: elides && (me != unable || IS(elide_registered)) && !forbidden &&
	   elided != (AT(PEER, BARRIER) || IS(elide_able)) ->
		if
		:: elided -> elision_off()
		:: else ->
			elided = true;
			if
			:: !IS(elide_on) -> store(ELIDED, 1, 0)
			:: else
			fi;
			fence(elide_on_fence)
		fi
	fi
}

/* No order comes with a bell: it may be heard before what led to it. */
inline ring()
{
	atomic {
		elision_off();
		bell[PEER] = true
	}
}

inline ring_if_crossed(step)
{
	if
	:: elided && !(IS(publish_fence) && how != GONE)
	:: else -> fence(publish_fence)
	fi;
	atomic {
		if
		:: elided_off_late -> elided = false; last = false; second = false; arming = false;
	first = false; refused = false; sleeps = false; heard_hangup = false; elided_late = false; elided_off_late = false
		:: else
		fi;
		wake = AT(PEER, WAKE);
		if
		:: IS(crossing) -> hit = (how == GONE -> here == wake
						: MOD(here - wake) <= step)
		:: else -> hit = MOD(here - wake) < step
		fi;
		/* Each position that was armed is rung for once. */
		assert(!hit || wake != rung_for[PEER]);
		rung_for[PEER] = (hit -> wake : rung_for[PEER]);
		wake = 0
	};
	if
	:: hit -> hit = false; ring()
	:: else
	fi
}

/* -- looking */

inline load_position()
{
	value = MOD(AT(PEER, POSITION) + BIAS);
	/* Nobody honest is ever found to break the protocol. */
	assert(pruned ||
	       (MOD(value - here) <= cap && MOD(value - here) >= KNOWN));
	limit = value;
	value = 0
}

/*
 * Without the acquire a receiver may have loaded its next item before, and a
 * sender have stored its next one, as if it had guessed that there is room.
 */
inline advance()
{
	if
	:: IS(advance_acquire) && me == RECEIVER && KNOWN == 0 ->
		early = AT(SENDER, ITEM + here % cap);
		load_position();
		is_early = true
	:: IS(advance_acquire) && me == SENDER && KNOWN == 0 && SENT < total ->
		slot = ITEM + here % cap;
		next = SENT + 1;
		store(slot, next, 0);
		load_position();
		pruned = pruned || KNOWN == 0
	:: else ->
		atomic { load_position() }
	fi
}

/* The peer moves no more. */
inline over()
{
	ended = true;
	limit = (me == SENDER -> here : limit)
}

inline refresh(least_known)
{
	last = false;
	do
	:: ended -> break
	:: else ->
		if
		:: last && IS(end_acquire) /* loaded before the state */
		:: else -> advance()
		fi;
		if
		:: last -> over(); break
		:: else ->
			adapt();
			if
			:: KNOWN < least_known && AT(PEER, STATE) != OPEN ->
				last = true
			:: KNOWN < least_known && AT(PEER, STATE) == OPEN ->
				break
			:: KNOWN >= least_known -> break
			fi
		fi
	od;
	last = false
}

/* -- waiting */

inline aim(ahead)
{
	want = ahead;
	target = MOD(here + ahead - BIAS);
	waiting = true
}

inline store_wake()
{
	if
	:: armed == target || REACHED
	:: else ->
		armed = target;
		if
		:: IS(arm_store)
		:: else ->
			order = IS(arm_fence) && how == EXCHANGE;
			store(WAKE, armed, order)
		fi
	fi
}

#define NEWS (offered_position != here || offered_limit != limit)

inline kick_receiver()
{
	atomic {
		/* Only if the receiver will see that somebody waits. */
		hit = WANTED && !IS(kick) && (NEWS || IS(kick_once)) &&
		      (IS(kick_armed) || (armed == target && !REACHED));
		/* Once in each state of the two positions. */
		assert(!hit || NEWS);
		if
		:: hit ->
			offered_position = here;
			offered_limit = limit
		:: else
		fi
	};
	if
	:: hit -> hit = false; ring()
	:: else
	fi
}

inline check()
{
	wanted = (IS(end_recheck) -> 0 : cap + 1);
	if
	:: heard_hangup && IS(hangup_advance)
	:: else -> refresh(wanted)
	fi;
	if
	:: heard_hangup && !ended -> over()
	:: else
	fi;
	heard_hangup = false;
	atomic {
		found = SHORT;
		if
		:: ended && !(IS(end_below_watermark) && 0 < KNOWN &&
			      KNOWN < want) ->
			found = END
		:: !ended && waiting && REACHED && KNOWN >= want ->
			found = ENOUGH
		:: !ended && me == RECEIVER && waiting && KNOWN > 0 &&
		   !(REACHED && KNOWN >= want) && WANTED && !IS(offer) &&
		   NEWS ->
			found = OFFER
		:: else
		fi
	};
	if
	:: found == SHORT && !ended && me == SENDER && waiting ->
		kick_receiver()
	:: else
	fi
}

inline wait_done()
{
	waiting = false;
	if
	:: found == OFFER ->
		offered_position = here;
		offered_limit = limit
	:: else
	fi
}

/* Is a barrier due, and can it be had? */
inline have_barrier()
{
	if
	:: asked && !IS(barrier) ->
		/* Nobody leans on barriers that are not there. */
		assert(me != unable || crashed);
		if
		:: me != unable && PEER != unable -> held[PEER] == 0
		:: me != unable && PEER == unable
		:: me == unable || fails -> may_sleep = IS(barrier_failed)
		fi
	:: else
	fi
}

inline fence_and_barrier()
{
	may_sleep = true;
	if
	:: IS(elide_after_fence) || IS(barrier_first) ||
	   (IS(elide_every_arm) && !looked) ->
		asked = AT(PEER, ELIDED);
		looked = true
	:: else
	fi;
	if
	:: IS(barrier_first) && asked -> held[PEER] == 0
	:: else
	fi;
	fence(arm_fence);
	if
	:: IS(elide_after_fence) || IS(elide_every_arm) || IS(barrier_first) ||
	   IS(elide_acquire)
	:: else -> asked = AT(PEER, ELIDED)
	fi;
	if
	:: IS(barrier_first)
	:: else -> have_barrier()
	fi;
	asked = (IS(elide_every_arm) -> asked : false)
}

inline sleep()
{
	if
	:: IS(clear_first) -> bell[me] = false
	:: else
	fi;
	if
	:: hung_up[me] -> heard_hangup = true
	:: bell[me] -> bell[me] = false
	:: pruned
	fi
}

inline arm()
{
	atomic {
		if
		:: !RESERVING ->
			wanted = (me == SENDER -> MAX(n, sw) : MAX(n, rw));
			aim(wanted)
		:: RESERVING && REACHED -> aim(want)
		:: else
		fi;
		store_wake();
		if
		:: me == RECEIVER && !IS(offer_anew) ->
			offered_position = MOD(here - 1)
		:: else
		fi
	};
	fence_and_barrier()
}

#define AVAILABLE (ended || KNOWN >= n || pruned)

/*
 * The blocking call, for n items; a sender is never given less than it asks
 * for. Or, where a reserve fell short and has armed, what comes after it: the
 * reactor arms again, or somebody sleeps on the bell as it is.
 */
inline wait()
{
	first = !RESERVING;
	if
	:: RESERVING -> arming = true
	:: RESERVING -> sleep()
	:: else
	fi;
	do
	:: pruned -> break
	:: else ->
		if
		:: arming -> arm()
		:: else
		fi;
		found = SHORT;
		if
		:: arming && (!may_sleep || IS(arm_recheck))
		:: else -> check()
		fi;
		if
		:: IS(elide_acquire) && arming ->
			elided_late = AT(PEER, ELIDED)
		:: else
		fi;
		if
		:: IS(arm_store) && arming && armed == target ->
			store(WAKE, armed, 0)
		:: else
		fi;
		if
		:: first ->
			first = false;
			arming = true;
			if
			:: AVAILABLE -> break
			:: else
			fi
		:: !first && found != SHORT ->
			wait_done();
			break
		:: !first && found == SHORT && arming && !may_sleep ->
			if
			:: IS(unarmed_goes_on) -> break
			:: else
			fi
		:: !first && found == SHORT && arming && may_sleep ->
			if
			:: elided_late -> /* loaded again after a barrier */
				elided_late = false;
				held[PEER] == 0
			:: !elided_late && RESERVING && REACHED
			:: !elided_late && !(RESERVING && REACHED) ->
				sleep()
			fi;
			arming = RESERVING && REACHED
		:: !first && found == SHORT && !arming ->
			arming = true
		fi
	od;
	arming = false;
	elided_late = false
}

/* The call that does not block, but arms, for n items. */
inline reserve()
{
	was_waiting = waiting;
	wanted = n;
	second = false;
	do
	:: true ->
		refresh(wanted);
		if
		:: AVAILABLE && second ->
			waiting = was_waiting;
			if
			:: waiting && !IS(reserve_told) -> bell[me] = true
			:: else
			fi;
			break
		:: AVAILABLE && !second -> break
		:: !AVAILABLE && (second ||
			     (was_waiting && !REACHED && armed == target &&
			      (MOD(target - (here - BIAS)) <= MAX(n, sw) ||
			       IS(reserve_nearer)))) ->
			want = MIN(want, MAX(n, sw));
			kick_receiver();
			break
		:: else ->
			atomic {
				wanted = MAX(n, sw);
				aim(wanted);
				if
				:: !IS(reserve_arm) -> store_wake()
				:: else -> armed = target
				fi
			};
			fence_and_barrier();
			if
			:: !may_sleep -> bell[me] = true
			:: else
			fi;
			wanted = cap + 1;
			second = true
		fi
	od;
	second = false
}

/* -- the two ends */

/* From the shared words, while nobody else writes those of this end. */
inline attach()
{
	atomic {
		here = AT(me, POSITION);
		limit = MOD(AT(PEER, POSITION) + BIAS);
		armed = MOD(limit - BIAS);
		target = armed;
		offered_position = MOD(here - 1);
		left = AT(me, STATE) != OPEN
	};
	if
	:: !left -> store(WAKE, armed, 0)
	:: else
	fi;
	if
	:: !left && elides ->
		store(ELIDED, 0, 1);
		order = me != unable;
		store(BARRIER, order, 1)
	:: else
	fi;
	/* The one before may have published, or left, and died before it
	 * rang. */
	if
	:: (!left && here != start && !IS(attach_ring) &&
	    MOD(here - AT(PEER, WAKE)) < cap) ||
	   (left && !IS(attach_ended_ring)) -> ring()
	:: else
	fi
}

/* peal_sender_set_barriers(), peal_receiver_set_barriers() */
inline allow()
{
	if
	:: allows == me && !allowed ->
		allowed = true;
		if
		:: !IS(allow_restores) -> elision_off()
		:: else -> store(ELIDED, 0, 1)
		fi;
		if
		:: forbidden = true; store(BARRIER, 0, 1)
		:: forbidden = false; store(BARRIER, 1, 1)
		fi
	:: true
	fi
}

inline put()
{
	atomic {
		count = 0;
		do
		:: count < n ->
			slot = ITEM + (here + count) % cap;
			next = SENT + count + 1;
			store(slot, next, 0);
			count++
		:: else -> break
		od;
		count = 0;
		slot = 0;
		next = 0;
		here = MOD(here + n);
		order = !IS(publish_release);
		store(POSITION, here, order)
	};
	ring_if_crossed(n)
}

inline leave()
{
	order = !IS(leave_release);
	store(STATE, FINISHED, order);
	fence(leave_fence);
	if
	:: IS(leave_ring)
	:: else -> ring()
	fi;
	left = true
}

inline look_at_items()
{
	atomic {
		count = 0;
		do
		:: count < n ->
			value = AT(SENDER, ITEM + (here + count) % cap);
			value = (is_early -> early : value);
			is_early = false;
			wrong = wrong || value != SENT + count + 1;
			value = 0;
			count++
		:: else -> break
		od;
		early = 0;
		count = 0
	}
}

inline take()
{
	if
	:: IS(publish_release) -> /* seen before the items were loaded */
		next = MOD(here + n);
		store(POSITION, next, 0);
		look_at_items()
	:: else ->
		look_at_items();
		next = MOD(here + n);
		store(POSITION, next, 1)
	fi;
	here = next;
	next = 0;
	ring_if_crossed(n)
}

/* All of what was published was taken, and none of it twice. */
#define ALL_CAME                                                       \
	(pruned || SENT >= leaves ||                                   \
	 (!wrong && here == AT(SENDER, POSITION) &&                    \
	  (crashed || SENT == total)))

inline live()
{
	attach();
	do
	:: left || pruned || (ended && (me == SENDER || KNOWN == 0)) -> break
	:: else ->
		n = rn;
		if
		:: me == SENDER -> n = (SENT == total -> cap
						      : MIN(sn, total - SENT))
		:: me == SENDER && reserves && SENT < total -> n = 1
		:: else
		fi;
		if
		:: me == SENDER && reserves && SENT < total && !sleeps -> reserve()
		:: else -> wait()
		fi;
		allow();
		if
		:: pruned || (me == SENDER && ended)
		:: !pruned && me == SENDER && !ended && SENT == total ->
			assert(KNOWN == cap); /* all was taken */
			break
		:: !pruned && me == SENDER && !ended && SENT < total ->
			assert(KNOWN >= n || reserves);
			if
			:: sleeps -> sleeps = false
			:: !sleeps && KNOWN >= n -> put()
			:: else -> assert(waiting)
			fi;
			if
			:: SENT == total && !drains -> break
			:: RESERVING && SENT < total && (!holds || want == 1) ->
				sleeps = true
			:: SENT < total || drains
			fi
		:: !pruned && me == RECEIVER && KNOWN > 0 ->
			n = MIN(KNOWN, most);
			if
			:: refuses && !refused && KNOWN < rn && !ended ->
				refused = true
			:: else -> take()
			fi;
			if
			:: holds && SENT == 1 ->
				MOD(AT(SENDER, POSITION) - start) >= 3
			:: else
			fi;
			if
			:: SENT >= leaves -> break
			:: else
			fi
		:: !pruned && me == RECEIVER && KNOWN == 0 ->
			/* Nothing came: so nothing comes any more. */
			assert(ended)
		fi
	od;
	assert(me == SENDER || left || ALL_CAME);
	if
	:: !left -> leave()
	:: else
	fi;
	n = 0
}

inline forget()
{
	here = 0; limit = 0; want = 0; target = 0; armed = 0; n = 0;
	offered_position = 0; offered_limit = 0; wake = 0; value = 0; count = 0;
	waiting = false; was_waiting = false; ended = false; left = false;
	early = 0; is_early = false; found = 0; slot = 0; next = 0;
	wanted = 0; order = false; hit = false;
	elided = false; last = false; second = false; arming = false;
	first = false; refused = false; sleeps = false; heard_hangup = false; elided_late = false; elided_off_late = false; asked = false; looked = false;
	may_sleep = false; forbidden = false
}

proctype End(byte me)
{
	byte here, limit, want, target, armed, n, count, found;
	byte offered_position, offered_limit, wake, value, early;
	byte slot, next, wanted;
	bool waiting, was_waiting, ended, left, is_early, order, hit;
	bool last, second, first, refused, sleeps;
	bool arming, heard_hangup, elided_late;
	bool elided, elided_off_late, asked, looked, may_sleep, forbidden;

again_from_here:
	{ live() } unless { crash[me] };
	if
	:: crash[me] && !left ->
		/* A processor that turns to others has stored all. */
		d_step {
			held[me] == 0 -> crash[me] = false;
			forget();
			unable = (worse -> me : unable)
		};
		if
		:: again -> goto again_from_here
		:: else -> hung_up[PEER] = true
		fi
	:: else
	fi
}

proctype Crash()
{
	atomic {
		crashed = true;
		crash[dies] = true
	}
}

init {
	atomic {
		configure_memory();
		c_code {
			now.cap = setting("CAP", 1);
			now.total = setting("TOTAL", 3);
			now.start = setting("START", 254);
			now.sn = setting("SN", 1);
			now.sw = setting("SW", 1);
			now.rn = setting("RN", 1);
			now.rw = setting("RW", 1);
			now.most = setting("MOST", 255);
			now.leaves = setting("LEAVES", 255);
			now.dies = setting("DIES", 2);
			now.again = setting("AGAIN", 0);
			now.reserves = setting("RESERVES", 0);
			now.drains = setting("DRAINS", 0);
			now.elides = setting("ELIDES", 0);
			now.worse = setting("WORSE", 0);
			now.refuses = setting("REFUSES", 0);
			now.holds = setting("HOLDS", 0);
			now.fails = setting("FAILS", 0);
			now.allows = setting("ALLOWS", 2);
			now.unable = setting("UNABLE", 2);
		};
		AT(SENDER, POSITION) = start;
		AT(RECEIVER, POSITION) = start;
		AT(SENDER, WAKE) = start;
		AT(RECEIVER, WAKE) = start;
		rung_for[SENDER] = start;
		rung_for[RECEIVER] = start;
		run Buffer(SENDER);
		run Buffer(RECEIVER);
		if
		:: dies != NONE -> run Crash()
		:: else
		fi;
		run End(SENDER);
		run End(RECEIVER)
	}
}
