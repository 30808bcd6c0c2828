/* Memory as C11 sees it, for models that spin runs one step after the other.
 *
 *   word      log of stores in modification order:  [v0] [v1] [v2]
 *                                                         ^oldest a thread may still load
 *   thread    now:      per word the oldest store it may load
 *             acquired: what an acquire fence would add to now
 *             released: what now was at the last release fence
 *   store     carries a view: now if it releases, else released
 *
 * A load takes any store not older than its thread's view: loads go early, stores become
 * visible late and out of order, and two threads may see two stores in different orders.
 * An acquire load adds the view that the store carries to now, a relaxed one to acquired.
 * A seq_cst fence is both fences and trades views with all others of its kind.
 *
 * This is the promise-free part of Kang et al. (A promising semantics, POPL 2017), which
 * is RC11 for relaxed, release and acquire accesses and all fences (Dang et al., RustBelt
 * meets relaxed memory, POPL 2020). It is weaker than x86, Armv8 and POWER in all but one
 * thing: no load takes a store that its own thread's later stores lead to. Where a store
 * must stay behind a load, the model that needs it performs the store early in the twin.
 * Plain accesses (bytes of records, memcpy, words only the lock holder writes) are
 * relaxed ones; that the compiler tears or repeats them is left out. litmus.pml tests this
 * file.
 *
 * Whoever stores, but loads nothing that others store, may do so in long steps, and all of
 * it before the others load: a load that takes an older store stands for every moment in
 * between. -DINTERLEAVED lets the loads come at any time.
 *
 * A model defines LOCS (words), LOG (stores kept per word) and THREADS, then includes
 * this file. It is compiled as it is, and once more with -DTWINS for all its broken twins:
 * then TWIN in the environment is the number of the one to run.
 *
 *   WEAK(name, order)        relaxed in the twin, or no fence
 *   LESS(name, less, order)  another order in the twin
 *   INSTEAD(name, steps)     a branch of an if that only the twin has */

#define RELAXED 0
#define ACQUIRE 1
#define RELEASE 2
#define SEQ_CST 3

#ifdef TWINS
hidden byte twin;
#define CHOOSE_TWIN()             c_code { twin = getenv("TWIN") ? atoi(getenv("TWIN")) : 0; }
#define BROKEN(name)              (twin == name)
#define LESS(name, less, order)   (twin == name -> less : order)
#define INSTEAD(name, ...)        :: twin == name -> __VA_ARGS__
#else
#define CHOOSE_TWIN()             skip
#define BROKEN(name)              false
#define LESS(name, less, order)   order
#define INSTEAD(name, ...)
#endif
#define WEAK(name, order)         LESS(name, RELAXED, order)
#define WEAK2(one, two, order)    LESS(one, RELAXED, LESS(two, RELAXED, order))

typedef View {
    byte at[LOCS]
};
typedef Store {
    byte value;
    View carries
};
typedef Word {
    byte last;
    Store log[LOG]
};
typedef Thread {
    View now;
    View acquired;
    View released
};

Word memory[LOCS];
Thread thread[THREADS];
View fences;   /* of all seq_cst fences so far */
View handed;   /* by the last holder of the lock */
byte holder;   /* of the lock: thread + 1 */
byte pick;     /* of a load; 0 outside of one */
hidden byte i;

bit stored; /* the writers are done */
bit over;   /* the readers are done */

#ifdef INTERLEAVED
#define AFTER_THE_STORES() skip
#else
#define AFTER_THE_STORES() stored
#endif

#define me _pid
#define NOW      thread[me].now
#define ACQUIRED thread[me].acquired
#define RELEASED thread[me].released
#define LAST(where) memory[where].log[memory[where].last]

inline START(where, what) { memory[where].log[0].value = what }

inline JOIN(to, from) {
    i = 0;
    do
    :: i < LOCS ->
        if
        :: to.at[i] < from.at[i] -> to.at[i] = from.at[i]
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0 /* a d_step must not end in a loop */
}

inline LOAD(order, where, out) {
    atomic {
        pick = NOW.at[where];
        do
        :: pick < memory[where].last -> pick++
        :: break
        od;
        d_step {
            out = memory[where].log[pick].value;
            NOW.at[where] = pick;
            if
            :: order == ACQUIRE -> JOIN(NOW, memory[where].log[pick].carries)
            :: else -> JOIN(ACQUIRED, memory[where].log[pick].carries)
            fi;
            JOIN(ACQUIRED, NOW);
            pick = 0
        }
    }
}

/* The caller is the word's only writer, or holds the lock. */
inline STORE(order, where, what) {
    d_step {
        assert(memory[where].last + 1 < LOG);
        memory[where].last++;
        NOW.at[where] = memory[where].last;
        ACQUIRED.at[where] = memory[where].last;
        LAST(where).value = what;
        if
        :: order == RELEASE -> JOIN(LAST(where).carries, NOW)
        :: else ->
            JOIN(LAST(where).carries, RELEASED);
            LAST(where).carries.at[where] = memory[where].last
        fi
    }
}

/* Read the last store, add, store right behind it and carry on what it carried. */
inline ADD(order, where, delta) {
    d_step {
        assert(memory[where].last + 1 < LOG);
        JOIN(ACQUIRED, LAST(where).carries);
        memory[where].last++;
        NOW.at[where] = memory[where].last;
        ACQUIRED.at[where] = memory[where].last;
        JOIN(LAST(where).carries, memory[where].log[memory[where].last - 1].carries);
        LAST(where).value = memory[where].log[memory[where].last - 1].value + delta;
        if
        :: order == RELEASE -> JOIN(LAST(where).carries, NOW)
        :: else -> JOIN(LAST(where).carries, RELEASED)
        fi;
        LAST(where).carries.at[where] = memory[where].last
    }
}

inline FENCE(order) {
    d_step {
        if
        :: order == ACQUIRE || order == SEQ_CST -> JOIN(NOW, ACQUIRED)
        :: else
        fi;
        if
        :: order == SEQ_CST ->
            JOIN(NOW, fences);
            JOIN(fences, NOW);
            JOIN(ACQUIRED, NOW)
        :: else
        fi;
        if
        :: order == RELEASE || order == SEQ_CST -> JOIN(RELEASED, NOW)
        :: else
        fi
    }
}

/* A mutex: acquire and release, no fence. */
inline LOCK() {
    atomic {
        holder == 0 -> holder = me + 1;
        d_step {
            JOIN(NOW, handed);
            JOIN(ACQUIRED, NOW)
        }
    }
}

inline UNLOCK() {
    d_step {
        JOIN(handed, NOW);
        holder = 0
    }
}

/* All holders of a lock as one process: unlock, and another one takes it. That one knows
 * what the lock hands over, and has made no fence yet. */
inline NEXT_HOLDER() {
    d_step {
        i = 0;
        do
        :: i < LOCS ->
            ACQUIRED.at[i] = NOW.at[i];
            RELEASED.at[i] = 0;
            i++
        :: else -> break
        od;
        i = 0
    }
}
