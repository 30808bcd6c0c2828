/* Read against recycle: lc_read.c beside lc_evict.c and lc_block.c [E3, G1, R1].
 *
 *   block   linked ---------> unlinked ------------> free -----------> linked
 *            slot moves to     pins? none; bump,      bytes, slot: the very word
 *            another record    fence                  that was there before
 *
 * Key A has a record all the time: in the block that is recycled (slot word HERE), or in
 * one that is not (ELSEWHERE + version). The writers take turns under the lock, and stop
 * anywhere. The block may come back with a record of another key at the same place. A get
 * must return a whole record of A, never one older than a get before it returned, never
 * miss, and retry only when something changed under it. */
/* @deep -DROUNDS=4 */
#ifndef ROUNDS
#define ROUNDS 3
#endif
#ifndef GETS
#define GETS 2
#endif
#define LOCS 4
#define LOG (2 * ROUNDS + 1)
#define THREADS 3
#include "memory.pml"

#define no_again     1  /* @twin !wrong  the slot is not loaded again after the generation */
#define generation   2  /* @twin !wrong  the generation is loaded relaxed */
#define no_check     3  /* @twin !wrong  the generation is not compared after the copy */
#define copy_fence   4  /* @twin !wrong  no acquire fence between copy and generation */
#define free_fence   5  /* @twin !wrong  no fence between the bump and the reuse of the bytes */
#define enter_fence  6  /* @twin !wrong  no fence between taking the lock and writing bytes */
#define bump_late    7  /* @twin !wrong  the generation is bumped after the bytes were written */
#define bump_early   8  /* @twin !wrong  the generation is bumped before the slot is unlinked */
#define publish      9  /* @twin !wrong  the slot is stored relaxed */
#define fill_late   10  /* @twin !wrong  the slot is stored before the value */
#define unlink      11  /* @twin !wrong  neither the fence of the pins nor the bump carries the unlinking */
#define slot_orders 12  /* @twin !wrong  neither load of the slot acquires, nor does the fence behind */
#define other_key   13  /* @twin !missed  another key counts before the generation was compared */
#define bump        20  /* @spare  the bump relaxed: the fence of lc_pin_any_locked releases the unlinking */
#define slot_first  21  /* @spare  the first load of the slot relaxed: the second one and the fence acquire */
#define slot_again  22  /* @spare  the second load of the slot relaxed: the fence behind it acquires */
#define free_less   23  /* @spare  a release fence after the bump instead of a seq_cst one */

#define SLOT 0
#define GENERATION 1
#define HEADER 2 /* of the record in the block: key and version */
#define VALUE 3  /* of the record in the block: version */

#define HERE 1
#define ELSEWHERE 10 /* + version: a record that stays */
#define OTHER 100    /* + version: header of another key */

#define LINKED 0
#define UNLINKED 1
#define FREED 2

/* Each retry needs a store of slot or generation that was not seen before. */
#define TRIES (3 * ROUNDS + 1)

byte stage, rounds, version; /* under the lock */

inline BUMP() {
    /* @code csrc/lc_block.c lc_run_free_locked */
    STORE(WEAK2(bump, unlink, RELEASE), GENERATION, rounds + 1); /* lc_store_release(&block->bl_generation */
    FENCE(LESS(free_less, RELEASE, WEAK(free_fence, SEQ_CST))) /* lc_fence_seq_cst() */
}

proctype writer() {
    bit other;
    do
    :: atomic {
            !over ->
            NEXT_HOLDER();
            /* @code csrc/lc_shard.c lc_shard_enter */
            FENCE(WEAK(enter_fence, RELEASE)) /* lc_fence_release() */
        }
    :: atomic {
            stage == LINKED && rounds < ROUNDS && !over ->
            if
            INSTEAD(bump_early, BUMP())
            :: else
            fi;
            version++;
            /* @code csrc/lc_index.c lc_index_change_locked */
            STORE(RELEASE, SLOT, ELSEWHERE + version); /* lc_store_release(place->slot, new_word) */
            stage = UNLINKED
        }
    :: atomic {
            stage == UNLINKED && rounds < ROUNDS && !over ->
            /* @code csrc/lc_pin.c lc_pin_any_locked */
            FENCE(WEAK(unlink, SEQ_CST)); /* lc_fence_seq_cst() */
            if
            INSTEAD(bump_late, skip)
            INSTEAD(bump_early, skip)
            :: else -> BUMP()
            fi;
            stage = FREED
        }
    :: atomic {
            stage == FREED && !over ->
            version++;
            if
            :: other = 0
            :: other = 1
            fi;
            /* @code csrc/lc_append.c lc_append_head_locked */
            STORE(RELAXED, HEADER, version + (other -> OTHER : 0)); /* lc_store_relaxed32(&raw->rc_stamp */
            if
            INSTEAD(fill_late && !other, STORE(RELEASE, SLOT, HERE))
            :: else
            fi;
            /* @code csrc/lc_append.c lc_append_value */
            STORE(RELAXED, VALUE, version); /* memcpy(shard->heap + record->value_at */
            if
            INSTEAD(bump_late, BUMP())
            :: else
            fi;
            if
            :: !other && !BROKEN(fill_late) ->
                /* @code csrc/lc_index.c lc_index_change_locked */
                STORE(WEAK(publish, RELEASE), SLOT, HERE) /* lc_store_release(place->slot, new_word) */
            :: else
            fi;
            stage = (other -> UNLINKED : LINKED);
            other = 0;
            rounds++
        }
    :: rounds == ROUNDS || over -> stored = 1; break
    od
}

proctype reader() {
    byte word, again, before, after, header, value, tries, gets, newest;
    bit wrong, missed, waited;
    AFTER_THE_STORES();
    do
    :: gets < GETS ->
        tries = 0;
retry:
        tries++;
        waited = tries > TRIES;
        assert(!waited);
        /* @code csrc/lc_read.c read_walk_racy */
        LOAD(WEAK2(slot_first, slot_orders, ACQUIRE), SLOT, word); /* lc_load_acquire(&bucket->bk_slot[i]) */
        if
        :: word >= ELSEWHERE -> value = word - ELSEWHERE; goto hit
        :: else
        fi;
        /* @code csrc/lc_read.c read_slot_racy */
        LOAD(WEAK(generation, ACQUIRE), GENERATION, before); /* lc_load_acquire(&block->bl_generation) */
        if
        INSTEAD(no_again, again = word)
        :: else ->
            LOAD(WEAK2(slot_again, slot_orders, ACQUIRE), SLOT, again) /* lc_load_acquire(hit->slot) */
        fi;
        if
        :: again != word -> goto retry
        :: else
        fi;
        /* @code csrc/lc_read.c read_pages_same */
        FENCE(WEAK(slot_orders, ACQUIRE)); /* lc_fence_acquire() */
        /* @code csrc/lc_record.h lc_record_read */
        LOAD(RELAXED, HEADER, header); /* lc_load_relaxed32(&raw->rc_stamp) */
        if
        INSTEAD(other_key && header >= OTHER, missed = 1; goto done)
        :: else
        fi;
        /* @code csrc/lc_read.c read_bytes_racy */
        LOAD(RELAXED, VALUE, value); /* lc_copy_racy(out, shard->heap + record->value_at */
        /* @code csrc/lc_read.c read_block_same */
        FENCE(WEAK(copy_fence, ACQUIRE)); /* lc_fence_acquire() */
        LOAD(RELAXED, GENERATION, after); /* lc_load_relaxed(&shard->blocks[hit->block].bl_generation) */
        if
        :: after != before && !BROKEN(no_check) -> goto retry
        :: else
        fi;
        wrong = header < OTHER && header != value;
        missed = header >= OTHER;
hit:
        wrong = wrong || value < newest;
        newest = value;
done:
        assert(!wrong);
        assert(!missed);
        d_step {
            word = 0;
            again = 0;
            before = 0;
            after = 0;
            header = 0;
            value = 0;
            gets++
        }
    :: else -> over = 1; break
    od
}

init {
    CHOOSE_TWIN();
    atomic {
        version = 1;
        START(SLOT, HERE);
        START(HEADER, 1);
        START(VALUE, 1);
        run writer();
        run reader()
    }
}
