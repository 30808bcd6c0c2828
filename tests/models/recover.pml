/* Recovery: lc_index_change_locked, group_rebuild and lc_recover_locked, whose owner dies
 * anywhere, as does its successor, and that one's [R1, R2, R3, I2, E2, P2].
 *
 *   intent   kind | slot at, old, new | counts and live bytes before, after
 *   change   arm; slot; marks of dead records; hints; void
 *   group    arm; own new page, copy the slot; gr_dir; count; give old page back; void
 *   rebuild  phase; void, no group, no counts, no owners; group; change; no phase
 *
 * A process dies between two instructions, and what it has stored by then stays. So the
 * machine's order does not matter here, but the compiler's does: stores wait in a list,
 * and a death keeps any part of it that C11 allows. A release store is kept only with all
 * that came before it; any other store may be kept without the ones before it, release
 * stores included. Fences empty the list. Readers raise hits between a death and the
 * recovery. The committed value stays, and afterwards every hint is right. Left out: the
 * quick check behind a repair, which may find what is not right, and rebuild. */
/* @deep -DDEATHS=4 */
#ifndef DEATHS
#define DEATHS 3
#endif
#ifndef STEPS
#define STEPS 2
#endif

#define RELAXED 0
#define RELEASE 1
#define SEQ_CST 2
#define DEATH 3
#define NO_FENCE 4

#define arm_late     1  /* @twin !wrong  the slot is stored before the intent is armed */
#define arm_store    2  /* @twin !wrong  the intent is armed relaxed */
#define arm_fence    3  /* @twin !wrong  no fence behind the arming of a change */
#define void_store   5  /* @twin !wrong  the intent is voided relaxed */
#define void_fence   6  /* @twin !wrong  no fence behind the voiding */
#define group_fence  7  /* @twin !wrong  no fence behind the arming of a group's move */
#define moved_fence 15  /* @twin !wrong  no fence behind the voiding after a group's move: the line takes the next one's number */
#define dir_store    8  /* @twin !wrong  gr_dir is stored relaxed */
#define hits         9  /* @twin !wrong  recovery compares the slot with its hits */
#define pages_fence 16  /* @twin !wrong  no fence between gr_dir and the giving back of pages */
#define phase_fence 17  /* @twin !wrong  no fence behind the phase of a rebuild */
#define no_phase    18  /* @twin !wrong  recovery repairs in the middle of a rebuild */
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
#define WITHOUT(name, order)    (twin == name -> NO_FENCE : order)
#define INSTEAD(name, ...)      :: twin == name -> __VA_ARGS__
#else
#define CHOOSE_TWIN()           skip
#define BROKEN(name)            false
#define WEAK(name, order)       order
#define WITHOUT(name, order)    order
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
#define PHASE 20
#define NUMBER 21 /* of the group: 0 is ours, of 1 nothing is modelled but its moves */
#define LOCS 22

#define NONE 0
#define CHANGE 1
#define GROUP 2
#define REBUILD 1 /* of PHASE */
#define NO_PAGES 2 /* of DIR */
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

#define FENCE(order) MAY_DIE(); if :: order != NO_FENCE -> KEEP_ALL() :: else fi

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
    /* @code csrc/lc_index.c index_arm */
    STORE(RELAXED, NUMBER, 0); /* in->in_group = */
    STORE(RELAXED, AT, at_); /* in->in_slot_at = */
    STORE(RELAXED, OLD, old_); /* in->in_old = */
    STORE(RELAXED, NEW, new_); /* in->in_new = */
    READ(COUNTS, value);
    STORE(RELAXED, COUNTS_AFTER, value); /* in->in_counts[0] = */
    STORE(RELAXED, COUNTS_AFTER + 1, value - (old_ != 0) + (new_ != 0)); /* in->in_counts[1] = */
    STORE(RELAXED, FROM_LIVE, old_ != 0); /* in->in_from_live[0] = */
    STORE(RELAXED, FROM_LIVE + 1, 0); /* in->in_from_live[1] = */
    STORE(RELAXED, TO_LIVE, 0); /* in->in_to_live[0] = */
    STORE(RELAXED, TO_LIVE + 1, new_ != 0); /* in->in_to_live[1] = */
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
    :: alive_ != 0 -> STORE(RELAXED, DEAD + alive_, 0) /* lc_store_relaxed16(&record->rc_flags */
    :: else
    fi
}

/* in_kind is stored by the caller, since the list must be empty behind it. */
inline HINTS(which, from, to) {
    READ(COUNTS_AFTER + which, value);
    /* @code csrc/lc_index.c index_settle_again */
    STORE(RELAXED, COUNTS, value); /* lc_store_relaxed(&shard->groups[group].gr_counts */
    if
    :: from != 0 ->
        READ(FROM_LIVE + which, value);
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

/* The values that went into the line are at hand; it is not read back. */
inline SETTLE(from, to) {
    READ(COUNTS_AFTER + 1, value);
    /* @code csrc/lc_index.c index_settle */
    STORE(RELAXED, COUNTS, value); /* lc_store_relaxed(&shard->groups[after->group].gr_counts */
    if
    :: from != 0 ->
        READ(FROM_LIVE + 1, value);
        STORE(RELAXED, LIVE + from, value) /* lc_store_relaxed(&shard->blocks[after->from].bl_live */
    :: else
    fi;
    if
    :: to != 0 ->
        READ(TO_LIVE + 1, value);
        STORE(RELAXED, LIVE + to, value) /* lc_store_relaxed(&shard->blocks[after->to].bl_live */
    :: else
    fi
}

#define PLAIN(step) step
#define VOID(order) STORE(order, KIND, NONE)

inline CHANGE_SLOT(page_, old_, new_) {
    ARM(page_, old_, new_);
    /* @code csrc/lc_index.c index_arm */
    FENCE(WITHOUT(arm_fence, DEATH)); /* lc_fence_death() */
    /* @code csrc/lc_index.c lc_index_change_locked */
    STORE(WEAK(slot_store, RELEASE), SLOT + page_, new_); /* lc_store_release(place->slot, new_word) */
    MARK_BOTH(old_, new_);
    SETTLE(old_, new_);
    /* @code csrc/lc_index.c index_disarm */
    STORE(WEAK(void_store, RELEASE), KIND, NONE); /* lc_store_release(&shard->ctl->sh_intent.in_kind, LC_INTENT_NONE) */
    FENCE(WITHOUT(void_fence, DEATH)) /* lc_fence_death() */
}

/* from: the page of before, if there is one. */
inline MOVE_GROUP(from_, to_, slot_) {
    /* @code csrc/lc_group.c group_rebuild */
    STORE(RELAXED, NUMBER, 0); /* in->in_group = */
    STORE(RELEASE, KIND, GROUP); /* lc_store_release(&in->in_kind, LC_INTENT_GROUP) */
    FENCE(WITHOUT(group_fence, DEATH)); /* lc_fence_death() */
    /* @code csrc/lc_pages.c pages_take_in */
    STORE(RELAXED, OWNED + to_, 1); /* owners[i] = group + 1 */
    /* @code csrc/lc_group.c group_put */
    STORE(RELAXED, SLOT + to_, slot_); /* lc_store_relaxed(&bucket->bk_slot[i], word) */
    /* @code csrc/lc_group.c group_rebuild */
    STORE(WEAK(dir_store, RELEASE), DIR, to_); /* lc_store_release(&shared->gr_dir */
    STORE(RELAXED, COUNTS, slot_ != 0); /* lc_store_relaxed(&shared->gr_counts, counts) */
    FENCE(WITHOUT(pages_fence, SEQ_CST)); /* lc_fence_seq_cst() */
    if
    :: from_ != NO_PAGES ->
        /* @code csrc/lc_pages.c lc_page_give_locked */
        STORE(RELAXED, OWNED + from_, 0) /* pages_owner_table(shard, block)[index] = */
    :: else
    fi;
    /* @code csrc/lc_group.c group_rebuild */
    STORE(RELEASE, KIND, NONE); /* lc_store_release(&in->in_kind, LC_INTENT_NONE) */
    FENCE(WITHOUT(moved_fence, DEATH)) /* lc_fence_death() */
}

inline MOVE_OTHER() {
    /* @code csrc/lc_group.c group_rebuild */
    STORE(RELAXED, NUMBER, 1); /* in->in_group = */
    STORE(RELEASE, KIND, GROUP); /* lc_store_release(&in->in_kind, LC_INTENT_GROUP) */
    FENCE(WITHOUT(group_fence, DEATH)); /* lc_fence_death() */
    STORE(RELEASE, KIND, NONE); /* lc_store_release(&in->in_kind, LC_INTENT_NONE) */
    FENCE(WITHOUT(moved_fence, DEATH)) /* lc_fence_death() */
}

inline FORGET() {
    /* @code csrc/lc_recover.c recover_set_phase */
    STORE(RELEASE, PHASE, REBUILD); /* lc_store_release(&shard->ctl->sh_intent.in_phase, phase) */
    FENCE(WITHOUT(phase_fence, SEQ_CST)); /* lc_fence_seq_cst() */
    /* @code csrc/lc_recover.c recover_forget */
    STORE(RELEASE, KIND, NONE); /* lc_store_release(&shard->ctl->sh_intent.in_kind, LC_INTENT_NONE) */
    /* @code csrc/lc_index.c lc_index_reset_locked */
    STORE(RELEASE, DIR, NO_PAGES); /* lc_store_release(&shard->groups[g].gr_dir, 0) */
    STORE(RELAXED, COUNTS, 0); /* lc_store_relaxed(&shard->groups[g].gr_counts, 0) */
    FENCE(SEQ_CST); /* lc_fence_seq_cst() @elsewhere grow reset_fence */
    /* @code csrc/lc_pages.c lc_pages_sweep_locked */
    STORE(RELAXED, OWNED, 0); /* owners[i] = 0 */
    STORE(RELAXED, OWNED + 1, 0); /* owners[i] = 0 */
    /* @code csrc/lc_recover.c recover_head */
    STORE(RELAXED, LIVE + 1, 0); /* lc_store_relaxed(&block->bl_live, 0) */
    STORE(RELAXED, LIVE + 2, 0) /* lc_store_relaxed(&block->bl_live, 0) */
}

proctype holder() {
    byte from, page, slot, new, value, kind, stored, gone, alive;
    bit wrong, broken, lasting;
next:
    atomic {
        d_step {
            from = 0;
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
        if
        :: page != NO_PAGES && memory[PHASE] == NONE ->
            committed = RECORD(memory[SLOT + page])
        :: else
        fi;
        if
        :: lost && page != NO_PAGES && RECORD(memory[SLOT + page]) != 0 ->
            memory[SLOT + page] = memory[SLOT + page] | HIT
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
        :: memory[PHASE] == REBUILD && !BROKEN(no_phase) && !BROKEN(no_repair) ->
            goto rebuild
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
                    STORE(RELAXED, COUNTS, value + (stored && memory[NEW] != 0) - (stored && memory[OLD] != 0))) /* @uncited a twin's */
                :: else -> HINTS(stored, memory[OLD], memory[NEW])
                fi;
                MAY_DIE();
                /* @code csrc/lc_index.c index_disarm */
                STORE(RELEASE, KIND, NONE) /* lc_store_release(&shard->ctl->sh_intent.in_kind, LC_INTENT_NONE) */
            :: kind == GROUP && memory[NUMBER] == 1 -> VOID(RELEASE) /* @uncited repair of the other group */
            :: kind == GROUP && memory[NUMBER] == 0 ->
                slot = memory[SLOT + page];
                /* @code csrc/lc_group.c lc_group_repair_locked */
                STORE(RELAXED, COUNTS, slot != 0); /* lc_store_relaxed(&shared->gr_counts, ghosts << 32 | live) */
                FENCE(SEQ_CST); /* lc_fence_seq_cst() @elsewhere grow repair_fence */
                if
                INSTEAD(no_sweep, skip)
                :: else ->
                    /* @code csrc/lc_pages.c lc_pages_sweep_locked */
                    STORE(RELAXED, OWNED + 1 - page, 0) /* owners[i] = 0 */
                fi;
                MAY_DIE();
                /* @code csrc/lc_group.c lc_group_repair_locked */
                STORE(RELEASE, KIND, NONE) /* lc_store_release(&in->in_kind, LC_INTENT_NONE) */
            :: else
            fi
        fi;
recovered:
        MAY_DIE();
        KEEP_ALL(); /* a call into the C library */
        lasting = !BROKEN(no_lasting);
        lost = 0
    fi;
    slot = memory[SLOT + memory[DIR]];
    page = memory[DIR];
    wrong = page == NO_PAGES || memory[PHASE] != NONE || RECORD(slot) != committed ||
            memory[KIND] != NONE || memory[COUNTS] != (RECORD(slot) != 0) ||
            memory[LIVE + 1] != (RECORD(slot) == 1) || memory[LIVE + 2] != (RECORD(slot) == 2) ||
            memory[DEAD + 1] == (RECORD(slot) == 1) || memory[DEAD + 2] == (RECORD(slot) == 2) ||
            !memory[OWNED + page] || memory[OWNED + 1 - page];
    assert(!wrong);
step:
    if
    :: steps < STEPS ->
        steps++;
        READ(DIR, page);
        READ(SLOT + page, slot);
        if
        :: true ->
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
            goto change
        :: true ->
            from = page;
            page = 1 - page;
            goto move
        :: true ->
            MOVE_OTHER();
            goto step
        :: true -> /* damage was found */
            KEEP_ALL();
            committed = RECORD(slot);
            goto rebuild
        fi
    :: true -> goto leave
    fi;
rebuild:
    FORGET();
    from = NO_PAGES;
    page = 0;
    slot = 0;
move:
    MOVE_GROUP(from, page, slot);
    READ(PHASE, kind);
    if
    :: kind != REBUILD -> goto step
    :: else ->
        /* What is not marked dead is alive: one record, or none. */
        new = (!memory[DEAD + 1] -> 1 : (!memory[DEAD + 2] -> 2 : 0));
        if
        :: new == 0 -> goto built
        :: else
        fi
    fi;
change:
    CHANGE_SLOT(page, slot, new);
    READ(PHASE, kind);
    if
    :: kind != REBUILD -> goto step
    :: else
    fi;
built:
    /* @code csrc/lc_recover.c recover_rebuild */
    PLAIN(skip); /* recover_set_phase(shard, LC_PHASE_NONE) */
    /* @code csrc/lc_recover.c recover_set_phase */
    STORE(RELEASE, PHASE, NONE); /* lc_store_release(&shard->ctl->sh_intent.in_phase, phase) */
    FENCE(WITHOUT(phase_fence, SEQ_CST)); /* lc_fence_seq_cst() */
    if
    :: lost -> goto recovered
    :: else -> goto step
    fi;
leave:
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
