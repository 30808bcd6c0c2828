/* Local copies: when a worker may use an object that it decoded in an earlier call again.
 *
 *   copy   object | slot, word | generation | gr_dir, gr_changes | sh_epoch
 *   check  epoch; slot; fence, pages; expiry; fence, generation: all as when it was taken
 *
 * The check is that of a get from its second look at the slot on. The copy here is of the
 * first value. The writers overwrite it, recycle its block and publish another record at
 * the same place, move the group, fill free pages with bytes that look like the slot,
 * shorten the ttl in place and clear. The worker has heard of every write that returned
 * before its call began: if one of them replaced the value, the copy must not be taken for
 * valid. No step of the check waits for anybody. */
/* @deep -DSTEPS=4 */
#ifndef STEPS
#define STEPS 4
#endif
#define LOCS 7
#define LOG (STEPS + 2)
#define THREADS 3
#include "memory.pml"

#define no_slot      1  /* @twin !stale  the slot is left out */
#define no_block     2  /* @twin !stale  the generation is left out */
#define no_pages     3  /* @twin !stale  the pages are left out */
#define no_changes   4  /* @twin !stale  gr_changes is left out */
#define no_epoch     5  /* @twin !stale  the epoch is left out */
#define no_expiry    6  /* @twin !stale  the expiry is the one of the copy, not the record's */
#define block_first  7  /* @twin !stale  the generation is loaded before the slot */
#define pages_first  8  /* @twin !stale  the pages are looked at before the slot */
#define look_orders  9  /* @twin !stale  neither the load of the slot acquires nor the fence behind it */
#define free_fence  10  /* @twin !stale  no fence between the bump and slots that are copied to other pages */
#define reuse_fence 11  /* @twin !stale  no fence between gr_changes and the reuse of the pages */
#define enter_fence 12  /* @twin !stale  no fence between taking the lock and filling pages */
#define no_bump     13  /* @twin !stale  the generation is not bumped */
#define block_fence 14  /* @twin !stale  no fence between expiry and generation */
#define no_dir      20  /* @spare  gr_dir is left out: gr_changes tells all that matters */
#define look_slot   21  /* @spare  the slot loaded relaxed: the fence behind it acquires */
#define look_fence  22  /* @spare  no fence behind the slot: its load acquires */
#define slot_store  23  /* @spare  the slot stored relaxed: the fence behind the bump releases it */

#define EPOCH 0
#define DIR 1
#define CHANGES 2
#define SLOT 3 /* + set of pages */
#define GENERATION 5
#define EXPIRED 6 /* the record's expiry word is in the past */

#define HERE 1
#define THERE 2

#define LINKED 0
#define UNLINKED 1
#define FREED 2

byte stage, current, content, steps, moves;
bit replaced; /* the first value is gone */

inline NEXT() {
    NEXT_HOLDER();
    /* @code csrc/lc_shard.c lc_shard_enter */
    FENCE(WEAK(enter_fence, RELEASE)) /* lc_fence_release() */
}

inline OVERWRITE() {
    content = THERE;
    /* @code csrc/lc_index.c lc_index_change_locked */
    STORE(RELEASE, SLOT + current, content); /* lc_store_release(place->slot, new_word) */
    stage = UNLINKED;
    replaced = 1
}

inline RECYCLE() {
    /* @code csrc/lc_pin.c lc_pin_any_locked */
    FENCE(SEQ_CST); /* lc_fence_seq_cst() @elsewhere pin scan_fence */
    if
    INSTEAD(no_bump, skip)
    :: else ->
        /* @code csrc/lc_block.c lc_run_free_locked */
        STORE(RELEASE, GENERATION, 1) /* lc_store_release(&block->bl_generation */
    fi;
    FENCE(WEAK(free_fence, SEQ_CST)); /* lc_fence_seq_cst() */
    stage = FREED
}

inline STORE_AGAIN() {
    content = HERE;
    /* @code csrc/lc_append.c lc_append_head_locked */
    STORE(RELAXED, EXPIRED, 0); /* lc_store_relaxed(lc_record_expiry_word(shard, out), source->expires) */
    /* @code csrc/lc_index.c lc_index_change_locked */
    STORE(WEAK(slot_store, RELEASE), SLOT + current, content); /* lc_store_release(place->slot, new_word) */
    stage = LINKED
}

inline MOVE() {
    moves++;
    /* @code csrc/lc_group.c group_put */
    STORE(RELAXED, SLOT + 1 - current, content); /* lc_store_relaxed(&bucket->bk_slot[i], word) */
    /* @code csrc/lc_group.c group_rebuild */
    STORE(RELEASE, DIR, 1 - current); /* lc_store_release(&shared->gr_dir */
    STORE(RELEASE, CHANGES, moves); /* lc_store_release(&shared->gr_changes */
    FENCE(WEAK(reuse_fence, SEQ_CST)); /* lc_fence_seq_cst() */
    current = 1 - current
}

/* Free pages get bytes that look like the slot. */
inline SCRIBBLE() {
    /* @code csrc/lc_group.c group_take_pages */
    STORE(RELAXED, SLOT + 1 - current, HERE) /* memset(lc_page_at(shard, pages[i]), 0, LC_PAGE_BYTES) */
}

inline SHORTEN_TTL() {
    /* @code csrc/lc_change.c change_touch_locked */
    STORE(RELAXED, EXPIRED, 1); /* lc_store_relaxed(lc_record_expiry_word(shard, record), expires) */
    replaced = 1
}

inline CLEAR() {
    /* @code csrc/lc_change.c change_clear_shard */
    STORE(RELEASE, EPOCH, 1); /* lc_store_release(&ctl->sh_epoch */
    replaced = 1
}

/* One step at a time; each ends by handing over the lock. */
proctype writer() {
    do
    :: atomic {
            steps < STEPS && !over ->
            steps++;
            if
            :: NEXT()
            :: true
            fi;
            if
            :: stage == LINKED -> OVERWRITE()
            :: stage == UNLINKED -> RECYCLE()
            :: stage == FREED -> STORE_AGAIN()
            :: true -> MOVE()
            :: true -> SCRIBBLE()
            :: stage == LINKED -> SHORTEN_TTL()
            :: LAST(EPOCH).value == 0 -> CLEAR()
            fi;
            UNLOCK()
        }
    :: steps == STEPS || over -> stored = 1; break
    od
}

inline LOOK_AT_EPOCH() {
    /* @code csrc/lc_read.c lilcache_is_current */
    LOAD(ACQUIRE, EPOCH, epoch) /* lc_load_acquire(&shard->ctl->sh_epoch) */
}

inline LOOK_AT_SLOT() {
    /* @code csrc/lc_read.c lilcache_is_current */
    LOAD(WEAK2(look_slot, look_orders, ACQUIRE), SLOT, word) /* lc_load_acquire(hit.slot) */
}

inline LOOK_AT_PAGES() {
    /* @code csrc/lc_read.c read_pages_same */
    FENCE(WEAK2(look_fence, look_orders, ACQUIRE)); /* lc_fence_acquire() */
    LOAD(RELAXED, DIR, dir); /* lc_load_relaxed(&hit->group->gr_dir) */
    LOAD(RELAXED, CHANGES, changes) /* lc_load_relaxed(&hit->group->gr_changes) */
}

inline LOOK_AT_EXPIRY() {
    /* @code csrc/lc_read.c lilcache_is_current */
    LOAD(RELAXED, EXPIRED, expired) /* lc_load_relaxed(word) */
}

inline LOOK_AT_BLOCK() {
    /* @code csrc/lc_read.c read_block_same */
    FENCE(WEAK(block_fence, ACQUIRE)); /* lc_fence_acquire() */
    LOAD(RELAXED, GENERATION, generation) /* lc_load_relaxed(&shard->blocks[hit->block].bl_generation) */
}

proctype worker() {
    byte epoch, word, dir, changes, expired, generation;
    bit valid, stale, gone;
    atomic {
        LOCK(); /* no lock, but what it does to the view: the writes so far are known */
        UNLOCK();
        gone = replaced
    }
    AFTER_THE_STORES();
    LOOK_AT_EPOCH();
    if
    INSTEAD(block_first, LOOK_AT_BLOCK(); LOOK_AT_SLOT(); LOOK_AT_PAGES())
    INSTEAD(pages_first, LOOK_AT_PAGES(); LOOK_AT_SLOT())
    :: else -> LOOK_AT_SLOT(); LOOK_AT_PAGES()
    fi;
    LOOK_AT_EXPIRY();
    if
    INSTEAD(block_first, skip)
    :: else -> LOOK_AT_BLOCK()
    fi;
    valid = (epoch == 0 || BROKEN(no_epoch)) && (word == HERE || BROKEN(no_slot)) &&
            (dir == 0 || BROKEN(no_dir) || BROKEN(no_pages)) &&
            (changes == 0 || BROKEN(no_changes) || BROKEN(no_pages)) &&
            (!expired || BROKEN(no_expiry)) && (generation == 0 || BROKEN(no_block));
    stale = valid && gone;
    assert(!stale);
    over = 1
}

init {
    CHOOSE_TWIN();
    atomic {
        content = HERE;
        START(SLOT, HERE);
        run writer();
        run worker()
    }
}
