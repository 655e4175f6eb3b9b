/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Shared memory with store buffers. The includer says how many words each of
 * its authors has (WORDS, AUTHORS). Every word has one author, who never reads
 * it back, so a load is always one of memory.
 *
 * TSO: what was stored reaches memory in order. PSO: in any order, but for the
 * same word; a release store comes after all that was stored before it, and
 * what is stored later may come before it. SC: at once.
 *
 * Neither lets loads change places, or a store come before an earlier load. A
 * mutant that takes away an acquire, or a release that follows loads, does
 * that by hand.
 *
 * What is to be verified is said in the environment, so that one program does
 * for all: MODEL, MUTANT and its SIDE and HOW, and what the includer has.
 */
c_decl {
	static int setting(const char *name, int otherwise)
	{
		const char *value = getenv(name);

		return value ? atoi(value) : otherwise;
	}
};

#define SC 0
#define TSO 1
#define PSO 2

local byte model;
local byte mutant; /* 0, or the label of the step that is changed */
local byte side;   /* in which author; 9 in all */
local byte how;

/* What may stand where a full fence belongs. */
#define GONE 0
#define ACQ_REL 1  /* atomic_thread_fence(memory_order_acq_rel) */
#define EXCHANGE 2 /* the store before it is a seq_cst exchange */

#define IS(label) (mutant == label && (side == 9 || side == me))

#define DEPTH 3	 /* stores that a buffer holds */
#define MARK 255 /* instead of a word: an acquire-release fence */

byte memory[AUTHORS * WORDS];
byte held[AUTHORS];
byte held_word[AUTHORS * DEPTH];
byte held_value[AUTHORS * DEPTH];
bit held_release[AUTHORS * DEPTH];

#define AT(author, word) memory[(author) * WORDS + (word)]
#define HELD(author, i) held_word[(author) * DEPTH + (i)]

inline store(word, what, in_order)
{
	d_step {
		model == SC || held[me] < DEPTH ->
		if
		:: model == SC && word != MARK -> AT(me, word) = what
		:: model == SC && word == MARK
		:: else ->
			HELD(me, held[me]) = word;
			held_value[me * DEPTH + held[me]] = what;
			held_release[me * DEPTH + held[me]] = in_order;
			held[me]++
		fi
	}
}

#define MAY_PASS(a, b)                                                 \
	(model == PSO && HELD(who, a) != HELD(who, b) &&               \
	 HELD(who, a) != MARK && HELD(who, b) != MARK &&               \
	 !held_release[who * DEPTH + b])

inline reach_memory(i)
{
	if
	:: HELD(who, i) != MARK ->
		AT(who, HELD(who, i)) = held_value[who * DEPTH + i]
	:: else
	fi;
	k = i;
	do
	:: k + 1 < held[who] ->
		HELD(who, k) = HELD(who, k + 1);
		held_value[who * DEPTH + k] = held_value[who * DEPTH + k + 1];
		held_release[who * DEPTH + k] =
			held_release[who * DEPTH + k + 1];
		k++
	:: else ->
		break
	od;
	held[who]--;
	HELD(who, k) = 0;
	held_value[who * DEPTH + k] = 0;
	held_release[who * DEPTH + k] = 0;
	k = 0
}

proctype Buffer(byte who)
{
	byte k;
end:
	do
	:: d_step { held[who] > 0 -> reach_memory(0) }
	:: d_step { held[who] > 1 && MAY_PASS(0, 1) -> reach_memory(1) }
	:: d_step {
		held[who] > 2 && MAY_PASS(0, 2) && MAY_PASS(1, 2) ->
		reach_memory(2) }
	od
}

/*
 * An exchange is a fence where loads cannot pass it. AArch64 lets a later load
 * pass the store in it, which is what PSO does here.
 */
inline fence(label)
{
	if
	:: !IS(label) || (how == EXCHANGE && model != PSO) ->
		held[me] == 0
	:: IS(label) && how == ACQ_REL && held[me] > 0 ->
		store(MARK, 0, 0)
	:: IS(label) && !(how == ACQ_REL && held[me] > 0) &&
	   !(how == EXCHANGE && model != PSO)
	fi
}

inline configure_memory()
{
	c_code {
		now.model = setting("MODEL", 2);
		now.mutant = setting("MUTANT", 0);
		now.side = setting("SIDE", 9);
		now.how = setting("HOW", 0);
	}
}
