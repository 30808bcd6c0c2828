/* The memory of memory.pml against the textbook: each test is one that C11 forbids, each
 * twin the same with an order less, which C11 allows and the search must find. @no-code */
#define LOCS 2
#define LOG 4
#define THREADS 5
#include "memory.pml"

#define mp_store     1  /* @twin !stale      message passing, the flag stored relaxed */
#define mp_load      2  /* @twin !stale      message passing, the flag loaded relaxed */
#define mf_release   3  /* @twin !stale      the same by fences, no release fence */
#define mf_acquire   4  /* @twin !stale      the same by fences, no acquire fence */
#define sb_fence     5  /* @twin !both_old   store buffering, one thread without its fence */
#define sb_weaker    6  /* @twin !both_old   store buffering, release fence instead */
#define iriw_fence   7  /* @twin !disagree   two readers, no seq_cst fence in one of them */
#define lock_fence   8  /* @twin !stale      the lock hands over, but a plain store carries nothing */

#define X 0
#define Y 1

byte test; /* which of the tests below */
bit stale, both_old, disagree;
byte r1, r2, r3, r4, done;

inline CHECK() {
    done++;
    stale = stale || (test <= 1 || test == 4) && r1 == 1 && r2 == 0 ||
        test == 5 && r1 > r2;
    both_old = test == 2 && done == 2 && r1 == 0 && r2 == 0;
    disagree = test == 3 && done == 2 && r1 == 1 && r2 == 0 && r3 == 1 && r4 == 0;
    assert(!stale);
    assert(!both_old);
    assert(!disagree)
}

/* 0: message passing, 1: by fences, 2: store buffering, 3: IRIW, 4: over a lock,
 * 5: one word is coherent, whatever the orders */
proctype first() {
    if
    :: test == 0 -> STORE(RELAXED, X, 1); STORE(WEAK(mp_store, RELEASE), Y, 1)
    :: test == 1 -> STORE(RELAXED, X, 1); FENCE(WEAK(mf_release, RELEASE)); STORE(RELAXED, Y, 1)
    :: test == 2 ->
        STORE(RELAXED, X, 1);
        FENCE(SEQ_CST);
        LOAD(RELAXED, Y, r1);
        atomic { CHECK() }
    :: test == 3 -> STORE(RELEASE, X, 1)
    :: test == 4 -> LOCK(); STORE(RELEASE, X, 1); FENCE(SEQ_CST); UNLOCK()
    :: test == 5 -> STORE(RELAXED, X, 1); STORE(RELAXED, X, 2)
    fi
}

proctype second() {
    if
    :: test == 0 ->
        LOAD(WEAK(mp_load, ACQUIRE), Y, r1);
        LOAD(RELAXED, X, r2);
        atomic { CHECK() }
    :: test == 1 ->
        LOAD(RELAXED, Y, r1);
        FENCE(WEAK(mf_acquire, ACQUIRE));
        LOAD(RELAXED, X, r2);
        atomic { CHECK() }
    :: test == 2 ->
        STORE(RELAXED, Y, 1);
        FENCE(LESS(sb_weaker, RELEASE, WEAK(sb_fence, SEQ_CST)));
        LOAD(RELAXED, X, r2);
        atomic { CHECK() }
    :: test == 3 -> STORE(RELEASE, Y, 1)
    :: test == 4 ->
        LOCK();
        FENCE(WEAK(lock_fence, RELEASE));
        if
        :: NOW.at[X] == 1 -> STORE(RELAXED, Y, 1)
        :: else
        fi;
        UNLOCK()
    :: test == 5 ->
        LOAD(RELAXED, X, r1);
        LOAD(RELAXED, X, r2);
        atomic { CHECK() }
    fi
}

proctype third() {
    if
    :: test == 3 ->
        LOAD(ACQUIRE, X, r1);
        FENCE(SEQ_CST);
        LOAD(ACQUIRE, Y, r2);
        atomic { CHECK() }
    :: test == 4 ->
        LOAD(RELAXED, Y, r1);
        FENCE(ACQUIRE);
        LOAD(RELAXED, X, r2);
        atomic { CHECK() }
    :: else
    fi
}

proctype fourth() {
    if
    :: test == 3 ->
        LOAD(ACQUIRE, Y, r3);
        FENCE(WEAK(iriw_fence, SEQ_CST));
        LOAD(ACQUIRE, X, r4);
        atomic { CHECK() }
    :: else
    fi
}

init {
    CHOOSE_TWIN();
    atomic {
        if
        :: test = 0
        :: test = 1
        :: test = 2
        :: test = 3
        :: test = 4
        :: test = 5
        fi;
        run first();
        run second();
        run third();
        run fourth()
    }
}
