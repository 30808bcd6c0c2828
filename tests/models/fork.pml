/* Pins over a fork: fork_copy_pins of lc_fork.c beside the scan of lc_pin.c [Z1].
 *
 *   parent                             recycler, holding the lock
 *   pin held in its row                block unlinked long ago
 *   rw_pin of the spare row = block    repeat: hd_pin_copies; fence
 *   seq_cst fence; hd_pin_copies + 1           both rows, in either order
 *   own pin given back                         hd_pin_copies the same?
 *
 * The child uses the bytes under the copy. A scan that passed the spare row before the copy
 * and reaches the parent's after the pin was given back must not free the block. */
#ifndef FORKS
#define FORKS 1
#endif
#define LOCS 4
#define LOG (FORKS + 2)
#define THREADS 3
#include "memory.pml"

#define no_recount  1  /* @twin !freed  the count is not compared after the scan */
#define count_late  2  /* @twin !freed  the copies are counted after the parent's pin is given back */
#define no_fences   3  /* @twin !freed  nothing orders the copy before the end of the parent's pin */
#define no_acquires 4  /* @twin !freed  neither the pins acquire nor does the fence behind the scan */
#define copy_fence 20  /* @spare  no seq_cst fence behind the copies: the count releases them */
#define count      21  /* @spare  the count relaxed: the fence before it releases the copies */
#define scan_load  22  /* @spare  the pins loaded relaxed: the fence behind the scan acquires */
#define scan_end   23  /* @spare  no fence behind the scan: the loads of the pins acquire */
#define scan_begin 24  /* @spare  no seq_cst fence before the scan: it is for lc_pin_take */

#define ROW0 0 /* + place of the row */
#define COPIES 2
#define VALUE 3

bit freed;

proctype parent() {
    byte spare, value, forks;
    if
    :: spare = 0
    :: spare = 1
    fi;
    /* @code csrc/lc_pin.c pin_new */
    STORE(RELAXED, 1 - spare, 1); /* lc_store_relaxed(&row->rw_pin[index], word) */
    /* @code csrc/lc_pin.c lc_pin_take */
    FENCE(SEQ_CST); /* lc_fence_seq_cst() @elsewhere pin pin_fence */
    UNLOCK();
    run recycler(spare);
    /* @code csrc/lc_fork.c fork_copy_pins */
    STORE(RELAXED, spare, 1); /* lc_store_relaxed(&to->rw_pin[i] */
    FENCE(WEAK2(copy_fence, no_fences, SEQ_CST)); /* lc_fence_seq_cst() */
    if
    INSTEAD(count_late, skip)
    :: else ->
        ADD(WEAK2(count, no_fences, RELEASE), COPIES, 1) /* lc_add_release(&segment->header->hd_pin_copies, 1) */
    fi;
    /* @code csrc/lc_pin.c lc_pin_drop */
    STORE(WEAK(no_fences, RELEASE), 1 - spare, 0); /* lc_store_release(&row->rw_pin[(uint32_t)token], 0) */
    if
    INSTEAD(count_late, ADD(RELEASE, COPIES, 1))
    :: else
    fi;
    /* the child, which has seen all of the parent's past */
    LOAD(RELAXED, VALUE, value);
    freed = value != 0;
    assert(!freed)
}

proctype recycler(byte spare) {
    byte before, after, pin, found, row, left;
    LOCK(); /* what the parent knew when it had pinned */
    if
    :: row = 0
    :: row = 1
    fi;
again:
    found = 0;
    /* @code csrc/lc_pin.c lc_pin_any_locked */
    LOAD(ACQUIRE, COPIES, before); /* lc_load_acquire(copies) */
    FENCE(WEAK(scan_begin, SEQ_CST)); /* lc_fence_seq_cst() @elsewhere pin scan_fence */
    /* @code csrc/lc_pin.c pin_scan */
    LOAD(WEAK2(scan_load, no_acquires, ACQUIRE), row, pin); /* lc_load_acquire(&row->rw_pin[p]) */
    found = found | pin;
    LOAD(WEAK2(scan_load, no_acquires, ACQUIRE), 1 - row, pin);
    found = found | pin;
    /* @code csrc/lc_pin.c lc_pin_any_locked */
    FENCE(WEAK2(scan_end, no_acquires, ACQUIRE)); /* lc_fence_acquire() */
    LOAD(RELAXED, COPIES, after); /* lc_load_relaxed(copies) */
    if
    :: found -> goto end
    :: else
    fi;
    if
    :: before != after && !BROKEN(no_recount) -> goto again
    :: else
    fi;
    /* @code csrc/lc_append.c lc_append_value */
    STORE(RELAXED, VALUE, 1); /* memcpy(shard->heap + record->value_at */
end:
    skip
}

init {
    CHOOSE_TWIN();
    run parent()
}
