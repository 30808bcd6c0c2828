/* Lock and recovery: lc_index_change_locked, group_rebuild and lc_recover_locked, whose
 * owner dies anywhere, as does its successor, and that one's [R1, R3, I2, E2, P2].
 *
 *   intent   kind | slot at, old, new | counts and live bytes before, after
 *   change   arm; slot; marks of dead records; hints; void
 *   rebuild  arm; own new page, copy the slot; gr_dir; count; give old page back; void
 *
 * A process dies between two instructions, and what it has stored by then stays. So the
 * machine's order does not matter here, but the compiler's does: stores wait in a list,
 * and a death keeps any part of it that C11 allows. A release store is kept only with all
 * that came before it; any other store may be kept without the ones before it, release
 * stores included. lc_fence_death empties the list. Readers raise hits between a death and
 * the recovery. The committed value stays, and afterwards every hint is right. */
/* @deep -DDEATHS=4 */
#ifndef DEATHS
#define DEATHS 3
#endif
#ifndef STEPS
#define STEPS 2
#endif

#define RELAXED 0
#define RELEASE 1

#define arm_late     1  /* @twin !wrong  the slot is stored before the intent is armed */
#define arm_store    2  /* @twin !wrong  the intent is armed relaxed */
#define arm_fence    3  /* @twin !wrong  no fence behind the arming of a change */
#define void_store   5  /* @twin !wrong  the intent is voided relaxed */
#define void_fence   6  /* @twin !wrong  no fence behind the voiding */
#define group_fence  7  /* @twin !wrong  no fence behind the arming of a rebuild */
#define dir_store    8  /* @twin !wrong  gr_dir is stored relaxed */
#define hits         9  /* @twin !wrong  recovery compares the slot with its hits */
#define increments  10  /* @twin !wrong  recovery counts up and down instead of storing values */
#define no_repair   11  /* @twin !wrong  the intent is ignored */
#define no_marks    12  /* @twin !wrong  recovery leaves the marks of dead records */
#define no_sweep    13  /* @twin !wrong  recovery leaves pages that the group does not list */
#define no_lasting  14  /* @twin !broken the lock is left without being marked consistent */
#define void_early   4  /* @twin !wrong  recovery voids the intent before it stores the hints */
#define slot_store  20  /* @spare  the slot stored relaxed: the fence behind the arming comes before it */

#ifdef TWINS
hidden byte twin;
#define CHOOSE_TWIN()           c_code { twin = getenv("TWIN") ? atoi(getenv("TWIN")) : 0; }
#define BROKEN(name)            (twin == name)
#define WEAK(name, order)       (twin == name -> RELAXED : order)
#define WITHOUT(name, steps)    if :: twin == name :: else -> steps fi
#define INSTEAD(name, ...)      :: twin == name -> __VA_ARGS__
#else
#define CHOOSE_TWIN()           skip
#define BROKEN(name)            false
#define WEAK(name, order)       order
#define WITHOUT(name, steps)    steps
#define INSTEAD(name, ...)
#endif

#define KIND 0
#define AT 1
#define OLD 2
#define NEW 3
#define COUNTS_AFTER 4 /* + 0 before, 1 after, as the next two */
#define FROM_LIVE 6
#define TO_LIVE 8
#define DIR 10
#define SLOT 11   /* + page */
#define OWNED 13  /* + page */
#define COUNTS 15
#define LIVE 15   /* + record 1 or 2 */
#define DEAD 17   /* + record 1 or 2 */
#define LOCS 20

#define NONE 0
#define CHANGE 1
#define GROUP 2
#define HIT 4
#define RECORD(slot) ((slot) & 3)

byte memory[LOCS];
typedef Store { byte where; byte what; bit release };
#define LIST 36
Store list[LIST];
byte length;
byte deaths, steps, committed;
bit lost, dead; /* the lock: its owner died; this holder has died */
hidden byte k, n;
bit skipped;
byte at_list;

/* What the holder itself reads: the last store, waiting or not. */
inline READ(where_, out) {
    d_step {
        out = memory[where_];
        n = 0;
        do
        :: n < length ->
            if
            :: list[n].where == where_ -> out = list[n].what
            :: else
            fi;
            n++
        :: else -> break
        od;
        n = 0
    }
}

inline STORE(order, where_, what_) {
    d_step {
        assert(length < LIST);
        list[length].where = where_;
        list[length].what = what_;
        list[length].release = (order == RELEASE);
        length++
    }
}

inline KEEP_ALL() {
    d_step {
        n = 0;
        do
        :: n < length ->
            memory[list[n].where] = list[n].what;
            list[n].where = 0;
            list[n].what = 0;
            list[n].release = 0;
            n++
        :: else -> break
        od;
        n = 0;
        length = 0
    }
}

#define FENCE(order) MAY_DIE(); KEEP_ALL()

/* In order: keep a store, or leave it out, and with it those that must not be without. */
inline DIE() {
    atomic {
        deaths++;
        at_list = 0;
        skipped = 0;
        do
        :: at_list < length && !(list[at_list].release && skipped) ->
            d_step {
                k = 0;
                n = 0; /* an earlier store to the same word was left out */
                do
                :: k < at_list ->
                    if
                    :: list[k].where == list[at_list].where && list[k].what != 255 -> n = 1
                    :: else
                    fi;
                    k++
                :: else -> break
                od;
                if
                :: n == 0 ->
                    memory[list[at_list].where] = list[at_list].what;
                    list[at_list].what = 255 /* kept */
                :: else -> skipped = 1
                fi;
                k = 0;
                n = 0
            };
            at_list++
        :: at_list < length -> skipped = 1; at_list++
        :: at_list == length -> break
        od;
        d_step {
            k = 0;
            do
            :: k < length ->
                list[k].where = 0;
                list[k].what = 0;
                list[k].release = 0;
                k++
            :: else -> break
            od;
            k = 0;
            length = 0;
            at_list = 0;
            skipped = 0;
            lost = 1
        }
    }
}

#define MAY_DIE() if :: deaths < DEATHS -> DIE(); goto next :: true fi

inline ARM(at_, old_, new_) {
    STORE(RELAXED, AT, at_);
    STORE(RELAXED, OLD, old_);
    STORE(RELAXED, NEW, new_);
    READ(COUNTS, value);
    STORE(RELAXED, COUNTS_AFTER, value);
    STORE(RELAXED, COUNTS_AFTER + 1, value - (old_ != 0) + (new_ != 0));
    STORE(RELAXED, FROM_LIVE, old_ != 0);
    STORE(RELAXED, FROM_LIVE + 1, 0);
    STORE(RELAXED, TO_LIVE, 0);
    STORE(RELAXED, TO_LIVE + 1, new_ != 0);
    /* @code csrc/lc_index.c index_arm */
    STORE(WEAK(arm_store, RELEASE), KIND, CHANGE) /* lc_store_release(&in->in_kind, LC_INTENT_SLOT) */
}

inline MARK_BOTH(gone_, alive_) {
    if
    :: gone_ != 0 && gone_ != alive_ ->
        /* @code csrc/lc_index.c index_mark */
        STORE(RELAXED, DEAD + gone_, 1) /* lc_store_relaxed16(&record->rc_flags */
    :: else
    fi;
    if
    :: alive_ != 0 -> STORE(RELAXED, DEAD + alive_, 0)
    :: else
    fi
}

/* in_kind is stored by the caller, since the list must be empty behind it. */
inline HINTS(which, from, to) {
    READ(COUNTS_AFTER + which, value);
    STORE(RELAXED, COUNTS, value);
    if
    :: from != 0 ->
        READ(FROM_LIVE + which, value);
        /* @code csrc/lc_index.c index_settle */
        STORE(RELAXED, LIVE + from, value) /* lc_store_relaxed(&shard->blocks[from].bl_live */
    :: else
    fi;
    if
    :: to != 0 ->
        READ(TO_LIVE + which, value);
        STORE(RELAXED, LIVE + to, value) /* lc_store_relaxed(&shard->blocks[to].bl_live */
    :: else
    fi
}

inline VOID(order) {
    STORE(order, KIND, NONE)
}

proctype holder() {
    byte page, slot, new, value, kind, stored, gone, alive;
    bit wrong, broken, lasting;
next:
    atomic {
        d_step {
            page = 0;
            slot = 0;
            new = 0;
            value = 0;
            kind = 0;
            gone = 0;
            alive = 0;
            stored = 0
        };
        page = memory[DIR];
        committed = RECORD(memory[SLOT + page]);
        if
        :: lost && committed != 0 -> memory[SLOT + page] = committed | HIT
        :: true
        fi
    };
    lasting = !lost;
    if
    :: !lost
    :: else ->
        kind = memory[KIND];
        if
        INSTEAD(no_repair, VOID(RELEASE))
        :: else ->
            if
            :: kind == CHANGE ->
                /* @code csrc/lc_index.c index_repair_slot */
                slot = memory[SLOT + memory[AT]];
                stored = (BROKEN(hits) -> slot == memory[NEW] : RECORD(slot) == memory[NEW]);
                gone = (stored -> memory[OLD] : memory[NEW]);
                alive = (stored -> memory[NEW] : memory[OLD]);
                if
                INSTEAD(void_early, VOID(RELEASE); MAY_DIE(); KEEP_ALL())
                :: else
                fi;
                if
                INSTEAD(no_marks, skip)
                :: else -> MARK_BOTH(gone, alive)
                fi;
                if
                INSTEAD(increments, READ(COUNTS, value);
                    STORE(RELAXED, COUNTS, value + (stored && memory[NEW] != 0) - (stored && memory[OLD] != 0)))
                :: else -> HINTS(stored, memory[OLD], memory[NEW])
                fi;
                MAY_DIE();
                VOID(RELEASE)
            :: kind == GROUP ->
                slot = memory[SLOT + page];
                STORE(RELAXED, COUNTS, slot != 0);
                if
                INSTEAD(no_sweep, skip)
                :: else ->
                    STORE(RELAXED, OWNED + page, 1);
                    STORE(RELAXED, OWNED + 1 - page, 0)
                fi;
                MAY_DIE();
                /* @code csrc/lc_group.c lc_group_repair_locked */
                STORE(RELEASE, KIND, NONE) /* lc_store_release(&in->in_kind, LC_INTENT_NONE) */
            :: else
            fi
        fi;
        MAY_DIE();
        KEEP_ALL(); /* a call into the C library */
        lasting = !BROKEN(no_lasting);
        lost = 0
    fi;
    slot = memory[SLOT + memory[DIR]];
    page = memory[DIR];
    wrong = RECORD(slot) != committed || memory[KIND] != NONE ||
            memory[COUNTS] != (RECORD(slot) != 0) ||
            memory[LIVE + 1] != (RECORD(slot) == 1) || memory[LIVE + 2] != (RECORD(slot) == 2) ||
            memory[DEAD + 1] == (RECORD(slot) == 1) || memory[DEAD + 2] == (RECORD(slot) == 2) ||
            !memory[OWNED + page] || memory[OWNED + 1 - page];
    assert(!wrong);
    do
    :: steps < STEPS ->
        steps++;
        if
        :: true ->
            READ(DIR, page);
            READ(SLOT + page, slot);
            slot = RECORD(slot);
            if
            :: slot != 0 -> new = 0
            :: slot != 1 -> new = 1
            :: slot != 2 -> new = 2
            fi;
            if
            INSTEAD(arm_late, STORE(RELEASE, SLOT + page, new); MAY_DIE(); KEEP_ALL())
            :: else
            fi;
            ARM(page, slot, new);
            /* @code csrc/lc_index.c index_arm */
            WITHOUT(arm_fence, FENCE(DEATH)); /* lc_fence_death() */
            /* @code csrc/lc_index.c lc_index_change_locked */
            STORE(WEAK(slot_store, RELEASE), SLOT + page, new); /* lc_store_release(place->slot, new_word) */
            MARK_BOTH(slot, new);
            HINTS(1, slot, new);
            /* @code csrc/lc_index.c index_settle */
            STORE(WEAK(void_store, RELEASE), KIND, NONE); /* lc_store_release(&in->in_kind, LC_INTENT_NONE) */
            WITHOUT(void_fence, FENCE(DEATH)) /* lc_fence_death() */
        :: true ->
            READ(DIR, page);
            READ(SLOT + page, slot);
            /* @code csrc/lc_group.c group_rebuild */
            STORE(RELEASE, KIND, GROUP); /* lc_store_release(&in->in_kind, LC_INTENT_GROUP) */
            WITHOUT(group_fence, FENCE(DEATH)); /* lc_fence_death() */
            STORE(RELAXED, OWNED + 1 - page, 1);
            STORE(RELAXED, SLOT + 1 - page, slot);
            /* @code csrc/lc_group.c group_rebuild */
            STORE(WEAK(dir_store, RELEASE), DIR, 1 - page); /* lc_store_release(&shared->gr_dir */
            STORE(RELAXED, COUNTS, slot != 0);
            FENCE(SEQ_CST); /* lc_fence_seq_cst() */
            STORE(RELAXED, OWNED + page, 0);
            STORE(RELEASE, KIND, NONE); /* lc_store_release(&in->in_kind, LC_INTENT_NONE) */
            WITHOUT(void_fence, FENCE(DEATH)) /* lc_fence_death() */
        fi
    :: true -> break
    od;
    KEEP_ALL(); /* unlock */
    broken = !lasting;
    assert(!broken);
    if
    :: steps < STEPS -> goto next
    :: else
    fi
}

init {
    CHOOSE_TWIN();
    atomic {
        memory[SLOT] = 1;
        memory[OWNED] = 1;
        memory[COUNTS] = 1;
        memory[LIVE + 1] = 1;
        memory[DEAD + 2] = 1;
        run holder()
    }
}
