/*
 * transition.pml: how the threads of a process move from one version to the other, for spin. docs/model.md says what is
 * modelled, what is not, what each property means, and which orders of loads and stores it rests on.
 *
 * Two functions, fa and fb, both patched. fa calls fb, and with -DRECURSION itself once. The threads run them, create each
 * other, exit and fork; one stent after the other works on the process, and may be killed between any two of its steps.
 *
 * A fork makes two processes that share nothing. So it is a choice: the model goes on as the parent, and nothing has
 * happened; or as the child, which has the memory as it is, one thread, and nobody at work on it.
 *
 *	-DTHREADS=n	how many threads there are at most
 *	-DRECURSION	fa calls fa
 *	-DSHARED	a thread may be created with its creator's thread pointer (clone without CLONE_SETTLS)
 *	-DLIVE		for the property `completes`: what happens only a few times in a life is bounded, and
 *			a thread that is in a function leaves it
 *	-DBREAK_...	one step is left out or done in another order
 */
#ifndef THREADS
#define THREADS 3
#endif
#ifdef RECURSION
#define MAY_RECUR true
#else
#define MAY_RECUR false
#endif

/* Versions, and the addresses of their tables. A word that nobody has written leads nowhere. */
#define NOWHERE 0
#define OLD 1
#define NEW 2
#define OTHER(version) (3 - (version))

/* Functions. */
#define FA 0
#define FB 1

/* What stands at an entry. */
#define ORIGINAL 0
#define STUB 1
#define DIRECT 2
#define TORN 3
#define SETTLED(version) ((version) == NEW -> DIRECT : ORIGINAL)

/* The ledger: one word, state and direction. */
#define REVERTED 0	/* or never applied */
#define ACTIVE 1
#define TO_OLD 2
#define TO_NEW 3
#define IN_TRANSITION(word) ((word) >= TO_OLD)
#define TOWARDS(version) ((version) == NEW -> TO_NEW : TO_OLD)
#define DONE(version) ((version) == NEW -> ACTIVE : REVERTED)

/* The region, and the entries. Each is stored to by stent only, one aligned word at a time. */
byte ledger = REVERTED;
byte selector = OLD;		/* 0: ask the table */
byte fallback = OLD;
bit key[THREADS];		/* of thread pointer p there is an entry, */
byte value[THREADS];		/* which leads here */
byte entry[2];

/* Where a thread is, in a call of `callee` that has not arrived or in the body of `top`. */
#define BODY 0		/* or outside of both, at depth 0 */
#define DISPLACED 1	/* behind the first byte of the original entry */
#define COPY 2		/* at that place in the displaced copy */
#define IN_STUB 3
#define SELECTED 4	/* the dispatcher has read selector == 0, */
#define FELL_BACK 5	/* then the fallback, */
#define FOUND 6		/* then found its key, */
#define ARRIVING 7	/* then the entry's word, or selector != 0: all that is left is the jump */
#define IN_DISPATCHER(t) (at[t] >= IN_STUB)

#if THREADS > 2
#define BEGIN_WITH {1, 1, 0}
#define POINTERS {0, 1, 2}
#else
#define BEGIN_WITH {1, 1}
#define POINTERS {0, 1}
#endif
bit alive[THREADS] = BEGIN_WITH;
byte pointer[THREADS] = POINTERS;	/* thread pointers are small numbers */
byte at[THREADS];
bit callee[THREADS];
byte loaded[THREADS];	/* what the dispatcher carries */
byte depth[THREADS];	/* frames of fa and fb on the stack, */
bit top[THREADS];	/* the innermost one's function, */
byte version[THREADS];	/* and the version of them all: that there is one is what `mixed` checks */
bit stopped[THREADS];
bit armed[THREADS];	/* breakpoint at the return address of the outermost frame */
#ifdef LIVE
bit called[THREADS];	/* this fa has called already */
#endif
#if defined BREAK_NEW_THREADS || defined BREAK_REUSE
bit seen[THREADS];	/* by the first stop of this transition */
#endif

/* The stent at work. */
bit killed;		/* the next has not come yet: nothing else can happen meanwhile that could not happen before or after */
byte target = NEW;
#ifdef BREAK_FALLBACK_FORGOTTEN
bit taken_over;
#endif

/* Set just before the assertion of that name. */
bool nowhere, mixed, stale, redirected;
bool completed;
#ifdef LIVE
bit forked, died, reversed;
#endif

#ifdef LET_STALE	/* so that a broken variant goes on until it mixes */
#define ASSERT_NOT_STALE
#else
#define ASSERT_NOT_STALE assert(!stale)
#endif

/* What the dispatcher would do for a thread that calls now. */
#define SAYS(p) (selector -> selector : (key[p] -> value[p] : fallback))

#ifdef BREAK_STACK_CHECK
#define IS_FREE(t) true
#elif defined BREAK_DISPATCHER
#define IS_FREE(t) (depth[t] == 0 && (at[t] == BODY || IN_DISPATCHER(t)))
#else
#define IS_FREE(t) (depth[t] == 0 && at[t] == BODY)
#endif

#define RUNS(t) (alive[t] && !stopped[t] && !killed)

#ifdef LIVE
#define MAY_CALL(t) (depth[t] == 0 || !called[t])
#define MAY_SPAWN(t) (depth[t] == 0)
#define MAY_FORK(t) (depth[t] == 0 && !forked)
#else
#define MAY_CALL(t) true
#define MAY_SPAWN(t) true
#define MAY_FORK(t) true
#endif

#if defined COARSE && THREADS > 2
/*
 * It is all the same which thread is which, so they are kept sorted: of up to six states that differ in nothing else there is one.
 * `u` is the process's own, and 0 between steps.
 */
#define RANK(t) (((((((alive[t] * 8 + at[t]) * 2 + callee[t]) * 4 + loaded[t]) * 4 + depth[t]) * 2 + top[t]) * 4 + version[t]) * 8 + \
		 key[t] * 4 + value[t])
#define SWAP(array, a, b) u = array[a]; array[a] = array[b]; array[b] = u
inline order(a, b)
{
	if
	:: RANK(a) > RANK(b) ->
		SWAP(alive, a, b); SWAP(at, a, b); SWAP(callee, a, b); SWAP(loaded, a, b); SWAP(depth, a, b);
		SWAP(top, a, b); SWAP(version, a, b); SWAP(key, a, b); SWAP(value, a, b);
		u = 0
	:: else
	fi
}
#define SORT ; order(0, 1); order(1, 2); order(0, 1)
#else
#define SORT
#endif

/* ---- Threads -------------------------------------------------------------------------------------------------- */

/* The thread has come to a version of the function. */
inline arrive(t, where)
{
	nowhere = where == NOWHERE;
	assert(!nowhere);
	mixed = depth[t] > 0 && version[t] != where;
	assert(!mixed);
	stale = ledger == ACTIVE && where == OLD || ledger == REVERTED && where == NEW;
	ASSERT_NOT_STALE;
	version[t] = where;
	depth[t]++;
	top[t] = callee[t];
	callee[t] = 0;
	loaded[t] = 0;
	at[t] = BODY;
#ifdef LIVE
	called[t] = 0;
#endif
}

/* A load of the dispatcher each, in their order. */
inline load_selector(t)
{
	if
	:: selector -> loaded[t] = selector; at[t] = ARRIVING
	:: else -> at[t] = SELECTED
	fi
}

inline load_fallback(t)
{
#ifndef BREAK_FALLBACK_LATE
	loaded[t] = fallback;
#endif
	at[t] = FELL_BACK
}

#define MISSED 3
inline load_entry(t)
{
#ifdef BREAK_FALLBACK_LATE
	loaded[t] = (loaded[t] == MISSED -> fallback : value[pointer[t]]);
#else
	loaded[t] = value[pointer[t]];
#endif
	at[t] = ARRIVING
}

inline probe(t)
{
	if
	:: key[pointer[t]] ->
#ifdef COARSE
		load_entry(t)
#else
		loaded[t] = 0; at[t] = FOUND
#endif
	:: else ->
#ifdef BREAK_FALLBACK_LATE
		at[t] = FOUND; loaded[t] = MISSED
#else
		at[t] = ARRIVING
#endif
	fi
}

/* The instruction at the entry: the original one, or a jump. */
inline call_function(t, function)
{
	callee[t] = function;
#ifdef LIVE
	called[t] = 1;
#endif
	if
	:: entry[function] == ORIGINAL -> at[t] = DISPLACED
#ifdef COARSE
	:: entry[function] == STUB -> load_selector(t)
#else
	:: entry[function] == STUB -> at[t] = IN_STUB
#endif
	:: entry[function] == DIRECT -> arrive(t, NEW)
	:: entry[function] == TORN -> nowhere = true; assert(!nowhere)
	fi
}

inline leave(t)
{
	depth[t]--;
	top[t] = FA;
#ifdef LIVE
	called[t] = 1;
#endif
	if
	:: depth[t] == 0 ->
		version[t] = 0;
#ifdef LIVE
		called[t] = 0;
#endif
		if
		:: armed[t] -> armed[t] = 0; stopped[t] = 1
		:: else
		fi
	:: else
	fi
}

inline forget(t)
{
	alive[t] = 0; pointer[t] = t; at[t] = BODY; callee[t] = 0; loaded[t] = 0; depth[t] = 0; top[t] = 0;
	version[t] = 0; stopped[t] = 0; armed[t] = 0;
#ifdef LIVE
	called[t] = 0;
#endif
#if defined BREAK_NEW_THREADS || defined BREAK_REUSE
	seen[t] = 0;
#endif
}

/* The child's process has this thread alone. */
inline fork_child(t)
{
	u = 0;
	do
	:: u < THREADS && u != t -> forget(u); u++
	:: u < THREADS && u == t -> armed[u] = 0; u++
	:: else -> break
	od;
	u = 0;
#ifndef COARSE
	killed = 1;
#endif
#ifdef LIVE
	forked = 1;
#endif
}

#define IS_USED(p) (alive[0] && pointer[0] == (p) || alive[1] && pointer[1] == (p))
#define IS_LAST(t) (alive[0] + alive[1] + (THREADS > 2 -> alive[THREADS - 1] : 0) == 1)

#define CREATE(other, p, condition) \
	d_step { RUNS(_pid) && at[_pid] == BODY && MAY_SPAWN(_pid) && !alive[other] && condition -> alive[other] = 1; pointer[other] = p SORT }

active [THREADS] proctype thread()
{
	byte u;

	do
	:: d_step { RUNS(_pid) && at[_pid] == BODY && (depth[_pid] == 0 || top[_pid] == FA) && MAY_CALL(_pid) ->
		call_function(_pid, FB) SORT }
	:: d_step { RUNS(_pid) && at[_pid] == BODY && (depth[_pid] == 0 || MAY_RECUR && depth[_pid] == 1 && top[_pid] == FA) &&
		MAY_CALL(_pid) -> call_function(_pid, FA) SORT }
	:: d_step { RUNS(_pid) && at[_pid] == BODY && depth[_pid] > 0 -> leave(_pid) SORT }

	:: d_step { RUNS(_pid) && at[_pid] == DISPLACED ->
		nowhere = entry[callee[_pid]] != ORIGINAL;	/* in the middle of a jump */
		assert(!nowhere);
		arrive(_pid, OLD) SORT }
	:: d_step { RUNS(_pid) && at[_pid] == COPY -> arrive(_pid, OLD) SORT }
	:: d_step { RUNS(_pid) && at[_pid] == IN_STUB -> load_selector(_pid) SORT }
	:: d_step { RUNS(_pid) && at[_pid] == SELECTED -> load_fallback(_pid) SORT }
	:: d_step { RUNS(_pid) && at[_pid] == FELL_BACK -> probe(_pid) SORT }
	:: d_step { RUNS(_pid) && at[_pid] == FOUND -> load_entry(_pid) SORT }
	:: d_step { RUNS(_pid) && at[_pid] == ARRIVING -> arrive(_pid, loaded[_pid]) SORT }

	:: d_step { RUNS(_pid) && at[_pid] == BODY && depth[_pid] == 0 && !IS_LAST(_pid) -> forget(_pid) SORT }
	:: d_step { RUNS(_pid) && at[_pid] == BODY && !IS_LAST(_pid) && MAY_FORK(_pid) -> fork_child(_pid) SORT }

	/* With a thread pointer that was never used, or with one of a thread that was. */
#ifdef SHARED
	:: CREATE(0, 0, !IS_USED(0))
	:: CREATE(0, 1, !IS_USED(1))
	:: CREATE(1, 0, !IS_USED(0))
	:: CREATE(1, 1, !IS_USED(1))
	:: CREATE(0, pointer[_pid], true)
	:: CREATE(1, pointer[_pid], true)
#else
	/* No two threads have the same: so that a thread's number is its pointer. */
	:: CREATE(0, 0, true)
	:: CREATE(1, 1, true)
#if THREADS > 2
	:: CREATE(2, 2, true)
#endif
#endif
	od
}

/* ---- stent ---------------------------------------------------------------------------------------------------- */

/* Who counts. */
#ifdef BREAK_NEW_THREADS
#define IS_LISTED(t) (alive[t] && seen[t])
#else
#define IS_LISTED(t) alive[t]
#endif

#define OWNS(t, p) (IS_LISTED(t) && pointer[t] == (p))
#define NOT_INSIDE(t, p) (!OWNS(t, p) || IS_FREE(t))
#ifdef BREAK_REUSE
#define NOT_BEHIND(t) (!IS_LISTED(t) || !seen[t] || value[pointer[t]] == target)
#define IS_BEHIND(t) (IS_LISTED(t) && seen[t] && SAYS(pointer[t]) != target)
#else
#define NOT_BEHIND(t) (!IS_LISTED(t) || value[pointer[t]] == target)
#define IS_BEHIND(t) (IS_LISTED(t) && SAYS(pointer[t]) != target)
#endif

#if THREADS > 2
#define OWNERS_FREE(p) (NOT_INSIDE(0, p) && NOT_INSIDE(1, p) && NOT_INSIDE(2, p))
#define NO_DISPATCHER (!IN_DISPATCHER(0) && !IN_DISPATCHER(1) && !IN_DISPATCHER(2))
#define NONE_BEHIND (NOT_BEHIND(0) && NOT_BEHIND(1) && NOT_BEHIND(2))
#define COUNT_BEHIND (!NOT_BEHIND(0) + !NOT_BEHIND(1) + !NOT_BEHIND(2))
#define ANYONE_BEHIND (IS_BEHIND(0) || IS_BEHIND(1) || IS_BEHIND(2))
#else
#define OWNERS_FREE(p) (NOT_INSIDE(0, p) && NOT_INSIDE(1, p))
#define NO_DISPATCHER (!IN_DISPATCHER(0) && !IN_DISPATCHER(1))
#define NONE_BEHIND (NOT_BEHIND(0) && NOT_BEHIND(1))
#define COUNT_BEHIND (!NOT_BEHIND(0) + !NOT_BEHIND(1))
#define ANYONE_BEHIND (IS_BEHIND(0) || IS_BEHIND(1))
#endif

#ifdef BREAK_COMMIT_EARLY
#define MAY_COMMIT (COUNT_BEHIND <= 1)
#else
#define MAY_COMMIT NONE_BEHIND
#endif

/*
 * A store (or a move of a thread's program counter) in a stop of all threads. Nobody runs meanwhile, so the whole stop is one
 * step, but stent may be killed before any of them: it is good for so many stores as `stores_left` says at the beginning. What is
 * stored already needs no store.
 */
#define MOST_STORES 27	/* each word twice at most; whoever is good for as many survives */
#define STORE(word, with) \
	if \
	:: stores_left && word != (with) -> word = with; stores_left-- \
	:: else \
	fi

/* A thread behind the first byte of an original entry goes on at the same place of the copy, before a jump is written there. */
inline clear_entries()
{
	for (n : 0 .. THREADS - 1) {
		STORE(at[n], (at[n] == DISPLACED -> COPY : at[n]))
	}
}

/* Without the entries of threads that are no more it does not fill up. */
inline clear_table()
{
	for (n : 0 .. THREADS - 1) {
		STORE(key[n], 0);
		STORE(value[n], NOWHERE)
	}
}

#if defined BREAK_TABLE_LATE || defined HARMLESS_SELECTOR_EARLY
#define IS_NOW(p) (was -> was : SAYS(p))
#elif defined BREAK_FALLBACK_FORGOTTEN
#define IS_NOW(p) (taken_over && !selector && !key[p] -> target : SAYS(p))
#else
#define IS_NOW(p) SAYS(p)
#endif

/* Every thread gets an entry that says what the thread is now: the value, then the key that makes it valid. */
inline write_entries()
{
	for (n : 0 .. THREADS - 1) {
		if
		:: IS_LISTED(n) ->
			p = pointer[n];
			STORE(value[p], IS_NOW(p));
			STORE(key[p], 1);
			p = 0
		:: else
		fi
	}
}

/* Whoever is free moves, in the same stop; and so do the entries whose threads are no more. */
inline move_free()
{
	for (n : 0 .. THREADS - 1) {
		if
		:: key[n] && OWNERS_FREE(n) -> STORE(value[n], target)
		:: else
		fi
	}
}

inline redirect()
{
	STORE(entry[FA], STUB);
	STORE(entry[FB], STUB)
}

#define IS_STALE(t) (alive[t] && version[t] == OTHER(target))
inline finish()
{
	STORE(ledger, DONE(target));
	stale = !IN_TRANSITION(ledger) && (IS_STALE(0) || IS_STALE(1) || IS_STALE(THREADS - 1));
	ASSERT_NOT_STALE;
	redirected = ledger == REVERTED && (entry[FA] != ORIGINAL || entry[FB] != ORIGINAL);
	assert(!redirected)
}

inline settle()
{
	STORE(entry[FA], SETTLED(target));
	STORE(entry[FB], SETTLED(target));
	finish()
}

#ifdef BREAK_FALLBACK_FORGOTTEN
#define STORE_FALLBACK if :: taken_over && !selector :: else -> STORE(fallback, target) fi
#elif defined BREAK_FALLBACK_RUNNING
#define STORE_FALLBACK
#else
#define STORE_FALLBACK STORE(fallback, target)
#endif

#ifdef BREAK_TABLE_CLEARED
#define MAY_CLEAR selector
#else
#define MAY_CLEAR (selector && NO_DISPATCHER)
#endif

/*
 * A stop of all threads: begins a transition, takes one over, turns it round, and ends it. Whatever may be found half done is done
 * again. Until the store to the selector, what each thread would do is what it would have done, but for the moves of those
 * that are free.
 */
inline switch_in_stop()
{
	STORE(ledger, TOWARDS(target));
#ifndef BREAK_ENTRY_BYTES
	clear_entries();
#endif
#if defined BREAK_TABLE_LATE || defined HARMLESS_SELECTOR_EARLY
	was = selector;
	redirect();
#ifdef BREAK_TABLE_LATE
	STORE_FALLBACK;
#endif
	STORE(selector, 0);
#elif defined HARMLESS_SITES_EARLY
	redirect();
#endif
	if
	:: MAY_CLEAR -> clear_table()
	:: else
	fi;
	write_entries();
	move_free();
	STORE_FALLBACK;
#ifndef BREAK_SITES_LAST
	redirect();
#endif
	if
	:: MAY_COMMIT ->
		STORE(selector, target);
#ifdef BREAK_SITES_LAST
		redirect();
#endif
#ifndef BREAK_SETTLE_RUNNING
		settle()
#endif
	:: else ->
		STORE(selector, 0);
#ifdef BREAK_SITES_LAST
		redirect();
#endif
#if defined LIVE && !defined BREAK_BREAKPOINT
		for (n : 0 .. THREADS - 1) {
			armed[n] = stores_left && alive[n] && !IS_FREE(n) && value[pointer[n]] != target
		}
#endif
	fi;
	n = 0;
#ifndef COARSE
	killed = !stores_left
#endif
}

/* Threads stop one after the other, but one that has stopped early is as one that did not run: a single step. */
inline stop_all_and_switch()
{
	atomic {
		choose_target();
#ifdef LIVE
		if
		:: stores_left = MOST_STORES
		:: !died -> died = 1; select(stores_left : 1 .. MOST_STORES)
		fi;
#else
		select(stores_left : 1 .. MOST_STORES);
#endif
		d_step {
#if defined BREAK_NEW_THREADS || defined BREAK_REUSE
			for (n : 0 .. THREADS - 1) {
				seen[n] = (ledger == TOWARDS(target) -> seen[n] : alive[n])
			}
#endif
			for (n : 0 .. THREADS - 1) {
				stopped[n] = 0
			}
			switch_in_stop();
#if defined BREAK_TABLE_LATE || defined HARMLESS_SELECTOR_EARLY
			was = 0;
#endif
#ifdef BREAK_FALLBACK_FORGOTTEN
			taken_over = 0;
#endif
			stores_left = 0;
			n = 0
			SORT
		}
	}
#ifdef BREAK_FALLBACK_RUNNING
	fallback = target;
#endif
#ifdef BREAK_SETTLE_RUNNING
	if
	:: selector ->	/* the 5 bytes of a jump are no single store for another CPU */
		entry[FA] = TORN;
		entry[FA] = SETTLED(target);
		entry[FB] = TORN;
		entry[FB] = SETTLED(target);
		d_step { stores_left = 1; finish(); stores_left = 0 }
	:: else
	fi
#endif
}

/*
 * One thread that is behind, and all that have the same thread pointer. They are listed while that one stands still: only one
 * that has a pointer passes it on.
 */
#ifdef BREAK_SHARERS
#define GROUP(t) listed[t]
#else
#define GROUP(t) OWNS(t, p)
#endif
#define FREE_IN_GROUP(t) (!GROUP(t) || IS_FREE(t))

inline list_group(t)
{
#ifdef BREAK_SHARERS
	for (u : 0 .. THREADS - 1) {
		listed[u] = OWNS(u, p)
	}
	u = 0
#else
	stopped[t] = 1
#endif
}

inline stop_group()
{
	for (u : 0 .. THREADS - 1) {
		stopped[u] = stopped[u] || GROUP(u)
	}
	u = 0
}

inline check_group()
{
	is_free = FREE_IN_GROUP(0) && FREE_IN_GROUP(1) && FREE_IN_GROUP(THREADS - 1)
}

inline store_or_arm()
{
	if
	:: is_free -> value[p] = target
	:: else ->
#if defined LIVE && !defined BREAK_BREAKPOINT
		for (u : 0 .. THREADS - 1) {
			armed[u] = armed[u] || GROUP(u) && !IS_FREE(u)
		}
#endif
		u = 0
	fi
}

inline release_group()
{
	for (u : 0 .. THREADS - 1) {
		stopped[u] = stopped[u] && !GROUP(u)
	}
	u = 0; p = 0; is_free = 0
}

#ifdef COARSE
/* What the others do meanwhile makes no difference to a thread that stands still, nor can they see its entry. */
#define THEN
#else
#define THEN } d_step {
#endif

#ifdef LIVE	/* that has its breakpoint is waited for: weak fairness does not run a thread that is stopped again and again */
#define IS_NEXT(t) (IS_BEHIND(t) && !armed[t])
#else
#define IS_NEXT(t) IS_BEHIND(t)
#endif
inline move(t)
{
	if
	:: d_step {
		IS_NEXT(t) -> p = pointer[t];
		list_group(t);
		THEN
		stop_group();
		THEN
		check_group();
		THEN
		store_or_arm();
		THEN
		release_group()
		SORT
	}
	:: else
	fi
}

/* With -DLIVE in turn; otherwise in any order, and with stops of all, in any direction, in between. */
inline work()
{
#ifdef LIVE
	do
	:: move(0);
		move(1);
#if THREADS > 2
		move(2);
#endif
		if
		:: ANYONE_BEHIND
		:: else -> break
		fi
	:: d_step { !reversed -> reversed = 1; target = OTHER(target) };
		break
	od
#else
	do
	:: IN_TRANSITION(ledger) && IS_BEHIND(0) -> move(0)
	:: IN_TRANSITION(ledger) && IS_BEHIND(1) -> move(1)
#if THREADS > 2
	:: IN_TRANSITION(ledger) && IS_BEHIND(2) -> move(2)
#endif
#ifdef BREAK_COMMIT_RUNNING
	:: IN_TRANSITION(ledger) && !(ANYONE_BEHIND) -> selector = target	/* two steps */
#endif
	:: break
	od
#endif
}

/* Where to, from here. */
inline choose_target()
{
	if
	:: ledger == REVERTED -> target = NEW
	:: ledger == ACTIVE -> target = OLD
#ifdef LIVE
	:: IN_TRANSITION(ledger)
#else
	:: IN_TRANSITION(ledger) -> target = NEW
	:: IN_TRANSITION(ledger) -> target = OLD
#endif
	fi
}

active proctype stent()
{
	byte n, u, p, stores_left;
	bit is_free;
#if defined BREAK_TABLE_LATE || defined HARMLESS_SELECTOR_EARLY
	byte was;
#endif
#ifdef BREAK_SHARERS
	bit listed[THREADS];
#endif

next_stent:
	{
		do
		:: stop_all_and_switch();
#ifdef LIVE
			if
			:: !IN_TRANSITION(ledger) -> break
			:: else
			fi;
#endif
			work()
		od;
		completed = true;
		false
	} unless {
		d_step {
			killed ->	/* its threads run on (ptrace), no breakpoint is left (perf) */
			for (n : 0 .. THREADS - 1) {
				stopped[n] = 0;
				armed[n] = 0
			}
			killed = 0; n = 0; u = 0; p = 0; is_free = 0; stores_left = 0;
#ifdef BREAK_SHARERS
			for (n : 0 .. THREADS - 1) {
				listed[n] = 0
			}
			n = 0;
#endif
#ifdef BREAK_FALLBACK_FORGOTTEN
			taken_over = IN_TRANSITION(ledger)
#endif
		};
		goto next_stent
	}
}

#ifndef COARSE
/* Between its stops of all. (With -DCOARSE nothing is lost there.) */
active proctype killer()
{
#ifdef LIVE
	d_step { !killed && !died -> killed = 1; died = 1 }
#else
	do
	:: d_step { !killed -> killed = 1 }
	od
#endif
}
#endif

#ifdef LIVE
ltl completes { <> completed }
#endif
