/* Pin against recycle: lc_pin.c and read_pin_racy beside evict_finish [Z1, Z2].
 *
 *   reader                               recycler, holding the lock
 *   find the record; rw_pin = block      slot unlinked
 *   seq_cst fence                        seq_cst fence
 *   slot, pages, generation unchanged?   a pin in the run?
 *     yes: use the bytes                   no: bump, fence, reuse
 *     no: give the pin back                yes: park; look again later
 *
 * The block comes back under the very slot word, with a record of the same key or of
 * another one. What is pinned is what was found, and its bytes stay until the pin is
 * given back. The recycler stops anywhere; no step of the reader waits for it. */
/* @deep -DROUNDS=3 -DPINS=3 */
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef PINS
#define PINS 2
#endif
#define LOCS 5
#define LOG (2 * ROUNDS + 2 * PINS + 1)
#define THREADS 3
#include "memory.pml"

#define pin_fence   1  /* @twin !changed  no fence between the pin and the second look */
#define scan_fence  2  /* @twin !changed  no fence between unlinking and the scan */
#define pin_less    3  /* @twin !changed  a release fence after the pin instead of seq_cst */
#define scan_less   4  /* @twin !changed  an acquire fence before the scan instead of seq_cst */
#define no_slot     5  /* @twin !changed  the second look leaves out the slot */
#define no_block    6  /* @twin !changed  the second look leaves out the generation */
#define no_look     7  /* @twin !changed  no second look at all */
#define scan_first  8  /* @twin !changed  the scan comes before the slot is unlinked */
#define no_scan     9  /* @twin !changed  no scan */
#define park_bump  10  /* @twin !changed  a run is parked, and reused without another scan */
#define drop       11  /* @twin !changed  the pin is given back by a relaxed store: before the last load */
#define scan_load  20  /* @spare  the pins loaded relaxed: the fence behind the scan acquires */
#define scan_end   21  /* @spare  no fence behind the scan: the loads of the pins acquire */
#define look_slot  22  /* @spare  the slot loaded relaxed the second time: the fence behind it acquires */

#define SLOT 0
#define GENERATION 1
#define HEADER 2
#define VALUE 3
#define PIN 4

#define HERE 1
#define LINKED 0
#define UNLINKED 1
#define PARKED 2
#define FREED 3

byte stage, rounds, version;
bit changed;

inline SCAN(found) {
    /* @code csrc/lc_pin.c lc_pin_any_locked */
    FENCE(LESS(scan_less, ACQUIRE, WEAK(scan_fence, SEQ_CST))); /* lc_fence_seq_cst() */
    /* @code csrc/lc_pin.c pin_scan */
    LOAD(WEAK(scan_load, ACQUIRE), PIN, found); /* lc_load_acquire(&row->rw_pin[p]) */
    /* @code csrc/lc_pin.c lc_pin_any_locked */
    FENCE(WEAK(scan_end, ACQUIRE)) /* lc_fence_acquire() @elsewhere fork no_acquires */
}

inline UNLINK() {
    /* @code csrc/lc_index.c lc_index_change_locked */
    STORE(RELEASE, SLOT, 0) /* lc_store_release(place->slot, new_word) */
}

proctype recycler() {
    byte found;
    do
    :: NEXT_HOLDER();
        /* @code csrc/lc_shard.c lc_shard_enter */
        FENCE(RELEASE) /* lc_fence_release() @elsewhere read enter_fence */
    :: stage == LINKED && rounds < ROUNDS ->
        if
        INSTEAD(scan_first, SCAN(found); UNLINK())
        :: else -> UNLINK()
        fi;
        stage = UNLINKED
    :: stage == UNLINKED || stage == PARKED ->
        if
        INSTEAD(scan_first, skip)
        INSTEAD(no_scan, skip)
        INSTEAD(park_bump && stage == PARKED, found = 0)
        :: else -> SCAN(found)
        fi;
        if
        :: found -> stage = PARKED
        :: else ->
            /* @code csrc/lc_block.c lc_run_free_locked */
            STORE(RELEASE, GENERATION, rounds + 1); /* lc_store_release(&block->bl_generation */
            FENCE(SEQ_CST); /* lc_fence_seq_cst() @elsewhere read free_fence */
            stage = FREED
        fi;
        found = 0
    :: stage == FREED ->
        version++;
        /* @code csrc/lc_append.c lc_append_head_locked */
        STORE(RELAXED, HEADER, version); /* lc_store_relaxed32(&raw->rc_stamp */
        /* @code csrc/lc_append.c lc_append_value */
        STORE(RELAXED, VALUE, version); /* memcpy(shard->heap + record->value_at */
        /* @code csrc/lc_index.c lc_index_change_locked */
        STORE(RELEASE, SLOT, HERE); /* lc_store_release(place->slot, new_word) */
        stage = LINKED;
        rounds++
    :: rounds == ROUNDS -> break
    od
}

proctype reader() {
    byte word, again, before, after, header, value, pins;
    do
    :: pins < PINS ->
        pins++;
        /* @code csrc/lc_read.c read_walk_racy */
        LOAD(ACQUIRE, SLOT, word); /* lc_load_acquire(&bucket->bk_slot[i]) */
        if
        :: word != HERE -> goto done
        :: else
        fi;
        /* @code csrc/lc_read.c read_slot_racy */
        LOAD(ACQUIRE, GENERATION, before); /* lc_load_acquire(&block->bl_generation) */
        LOAD(ACQUIRE, SLOT, again); /* lc_load_acquire(hit->slot) */
        if
        :: again != word -> goto done
        :: else
        fi;
        /* @code csrc/lc_read.c read_pages_same */
        FENCE(ACQUIRE); /* lc_fence_acquire() @elsewhere grow pages_fence */
        /* @code csrc/lc_record.h lc_record_read */
        LOAD(RELAXED, HEADER, header); /* lc_load_relaxed32(&raw->rc_stamp) */
        /* @code csrc/lc_pin.c pin_new */
        STORE(RELAXED, PIN, 1); /* lc_store_relaxed(&row->rw_pin[index], word) */
        /* @code csrc/lc_pin.c lc_pin_take */
        FENCE(LESS(pin_less, RELEASE, WEAK(pin_fence, SEQ_CST))); /* lc_fence_seq_cst() */
        /* @code csrc/lc_read.c read_pin_racy */
        LOAD(WEAK(look_slot, ACQUIRE), SLOT, again); /* lc_load_acquire(hit->slot) */
        /* @code csrc/lc_read.c read_block_same */
        FENCE(ACQUIRE); /* lc_fence_acquire() @elsewhere read copy_fence */
        LOAD(RELAXED, GENERATION, after); /* lc_load_relaxed(&shard->blocks[hit->block].bl_generation) */
        if
        :: again != word && !BROKEN(no_slot) && !BROKEN(no_look) ||
           after != before && !BROKEN(no_block) && !BROKEN(no_look)
        :: else ->
            LOAD(RELAXED, VALUE, value);
            changed = header != value;
            assert(!changed);
            if
            INSTEAD(drop, STORE(RELAXED, PIN, 0); LOAD(RELAXED, VALUE, value);
                changed = header != value; assert(!changed); goto done)
            :: else ->
                LOAD(RELAXED, VALUE, value);
                changed = header != value;
                assert(!changed)
            fi
        fi;
        /* @code csrc/lc_pin.c lc_pin_drop */
        STORE(RELEASE, PIN, 0); /* lc_store_release(&row->rw_pin[(uint32_t)token], 0) */
done:
        skip;
        d_step {
            word = 0;
            again = 0;
            before = 0;
            after = 0;
            header = 0;
            value = 0
        }
    :: else -> break
    od
}

init {
    CHOOSE_TWIN();
    atomic {
        version = 1;
        START(SLOT, HERE);
        START(HEADER, 1);
        START(VALUE, 1);
        run recycler();
        run reader()
    }
}
