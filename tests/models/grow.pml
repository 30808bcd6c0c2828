/* Growth against miss: group_rebuild of lc_group.c beside the probe of lc_read.c [I4, E3].
 *
 *   set of pages 0   | page number | slot |      gr_dir names one of the two sets;
 *   set of pages 1   | page number | slot |      the other is free, and anybody's
 *
 * A set is a first page, which holds the number of the second one, and the second page,
 * in which key A has its slot. The group moves from one set to the other and back, so that
 * gr_dir returns to words it had before. Free pages are filled by other groups. Meanwhile
 * A is overwritten, and the block of its old record comes back with a new record of A. The
 * holder may die when gr_dir is stored, and its successor repairs; or all groups of the
 * shard are forgotten and built anew. A get must not miss, but for a group without pages,
 * nor return a torn record or an older one than the get before. */
/* @deep -DMOVES=2 */
#ifndef MOVES
#define MOVES 2
#endif
#ifndef RECORDS
#define RECORDS 1
#endif
#ifndef GETS
#define GETS 1
#endif
#define LOCS 9
#define LOG (2 * MOVES + 2 * RECORDS + 1)
#define THREADS 3
#include "memory.pml"

#define dir_store     1  /* @twin !missed  gr_dir is stored relaxed */
#define dir_load      2  /* @twin !missed  gr_dir is loaded relaxed */
#define changes_store 3  /* @twin !missed  gr_changes is stored relaxed */
#define changes_load  4  /* @twin !missed  gr_changes is loaded relaxed */
#define changes_late  5  /* @twin !missed  gr_changes is loaded after gr_dir */
#define no_changes    6  /* @twin !missed  only gr_dir is compared after the probe */
#define pages_fence   7  /* @twin !missed  no acquire fence between probe and comparison */
#define reuse_fence   8  /* @twin !missed  no fence between gr_changes and the reuse of the pages */
#define enter_fence   9  /* @twin !wrong  no fence between taking the lock and filling pages */
#define no_end       10  /* @twin !missed  a miss counts without the comparison */
#define no_slot      11  /* @twin !wrong  a slot counts without the comparison */
#define reuse_early  12  /* @twin !missed  the old pages are reused before gr_changes moves on */
#define fill_late    13  /* @twin !missed  gr_dir names the pages before the slots are in */
#define bump_fence   14  /* @twin !wrong  no fence between the bump and the reuse of the bytes */
#define copy_fence   15  /* @twin !wrong  no acquire fence between copy and generation */
#define repair_fence 16  /* @twin !missed  no fence between the gr_changes of a repair and the reuse of the pages */
#define reset_fence  17  /* @twin !missed  no fence between a group's end and the reuse of its pages */
#define no_dir       20  /* @spare  gr_dir is not compared: gr_changes tells all that matters */
#define reuse_less   21  /* @spare  a release fence after gr_changes instead of a seq_cst one */

#define DIR 0
#define CHANGES 1
#define LIST 2 /* + set */
#define SLOT 4 /* + set */
#define GENERATION 6
#define HEADER 7
#define VALUE 8

#define HERE 1
#define ELSEWHERE 10
#define GARBAGE 9
#define NO_PAGES 2

#define LINKED 0
#define UNLINKED 1
#define FREED 2
#define TRIES (4 * MOVES + 3 * RECORDS + 1)

byte stage, records, version; /* under the lock */
byte moves, current, content;

/* Another group takes the free pages, and gives them back. */
inline SCRIBBLE(set) {
    /* @code csrc/lc_group.c group_take_pages */
    STORE(RELAXED, LIST + set, GARBAGE); /* memset(lc_page_at(shard, pages[i]), 0, LC_PAGE_BYTES) */
    STORE(RELAXED, SLOT + set, 0) /* memset(lc_page_at(shard, pages[i]), 0, LC_PAGE_BYTES) */
}

inline NAME_PAGES() {
    /* @code csrc/lc_group.c group_rebuild */
    STORE(WEAK(dir_store, RELEASE), DIR, 1 - current) /* lc_store_release(&shared->gr_dir */
}

inline FILL_PAGES() {
    /* @code csrc/lc_group.c group_take_pages */
    STORE(RELAXED, SLOT + 1 - current, 0); /* memset(lc_page_at(shard, pages[i]), 0, LC_PAGE_BYTES) */
    STORE(RELAXED, LIST + 1 - current, 1 - current); /* memcpy(lc_page_at(shard, pages[0]) */
    /* @code csrc/lc_group.c group_put */
    STORE(RELAXED, SLOT + 1 - current, content) /* lc_store_relaxed(&bucket->bk_slot[i], word) */
}

inline ENTER() {
    NEXT_HOLDER();
    /* @code csrc/lc_shard.c lc_shard_enter */
    FENCE(WEAK(enter_fence, RELEASE)) /* lc_fence_release() */
}

/* gr_dir is stored; the holder that did it goes on, or has died. */
inline END_MOVE() {
    if
    :: true ->
        /* @code csrc/lc_group.c group_rebuild */
        STORE(WEAK(changes_store, RELEASE), CHANGES, moves); /* lc_store_release(&shared->gr_changes */
        FENCE(LESS(reuse_less, RELEASE, WEAK(reuse_fence, SEQ_CST))) /* lc_fence_seq_cst() */
    :: true ->
        ENTER();
        /* @code csrc/lc_group.c lc_group_repair_locked */
        STORE(RELEASE, CHANGES, moves); /* lc_store_release(&shared->gr_changes */
        FENCE(WEAK(repair_fence, SEQ_CST)) /* lc_fence_seq_cst() */
    fi
}

proctype writer() {
    do
    :: atomic {
            !over ->
            ENTER()
        }
    :: atomic {
            moves < MOVES && !over ->
            moves++;
            SCRIBBLE(1 - current)
        }
    :: atomic {
            moves < MOVES && !over ->
            moves++;
            if
            INSTEAD(fill_late, NAME_PAGES(); FILL_PAGES())
            :: else ->
                FILL_PAGES();
                NAME_PAGES()
            fi;
            if
            INSTEAD(reuse_early, SCRIBBLE(current))
            :: else
            fi;
            END_MOVE();
            current = 1 - current
        }
    :: atomic {
            moves + 1 < MOVES && !over ->
            moves++;
            /* @code csrc/lc_index.c lc_index_reset_locked */
            STORE(RELEASE, DIR, NO_PAGES); /* lc_store_release(&shard->groups[g].gr_dir, 0) */
            STORE(RELEASE, CHANGES, moves); /* lc_store_release(&shard->groups[g].gr_changes */
            FENCE(WEAK(reset_fence, SEQ_CST)); /* lc_fence_seq_cst() */
            SCRIBBLE(current);
            moves++;
            FILL_PAGES();
            NAME_PAGES();
            END_MOVE();
            current = 1 - current
        }
    :: atomic {
            stage == LINKED && records < RECORDS && !over ->
            version++;
            content = ELSEWHERE + version;
            /* @code csrc/lc_index.c lc_index_change_locked */
            STORE(RELEASE, SLOT + current, content); /* lc_store_release(place->slot, new_word) */
            stage = UNLINKED
        }
    :: atomic {
            stage == UNLINKED && !over ->
            /* @code csrc/lc_pin.c lc_pin_any_locked */
            FENCE(SEQ_CST); /* lc_fence_seq_cst() @elsewhere pin scan_fence */
            /* @code csrc/lc_block.c lc_run_free_locked */
            STORE(RELEASE, GENERATION, records + 1); /* lc_store_release(&block->bl_generation */
            FENCE(WEAK(bump_fence, SEQ_CST)); /* lc_fence_seq_cst() */
            stage = FREED
        }
    :: atomic {
            stage == FREED && !over ->
            version++;
            /* @code csrc/lc_append.c lc_append_head_locked */
            STORE(RELAXED, HEADER, version); /* lc_store_relaxed32(&raw->rc_stamp */
            /* @code csrc/lc_append.c lc_append_value */
            STORE(RELAXED, VALUE, version); /* memcpy(shard->heap + record->value_at */
            content = HERE;
            /* @code csrc/lc_index.c lc_index_change_locked */
            STORE(RELEASE, SLOT + current, content); /* lc_store_release(place->slot, new_word) */
            stage = LINKED;
            records++
        }
    :: moves == MOVES && records == RECORDS || over -> stored = 1; break
    od
}

proctype reader() {
    byte changes, dir, page, word, again, before, after, header, value, tries, gets, newest;
    bit same, missed, wrong, waited;
    AFTER_THE_STORES();
    do
    :: gets < GETS ->
        tries = 0;
retry:
        tries++;
        waited = tries > TRIES;
        assert(!waited);
        if
        INSTEAD(changes_late, LOAD(ACQUIRE, DIR, dir); LOAD(ACQUIRE, CHANGES, changes))
        :: else ->
            /* @code csrc/lc_read.c read_begin_racy */
            LOAD(WEAK(changes_load, ACQUIRE), CHANGES, changes); /* lc_load_acquire(&hit->group->gr_changes) */
            LOAD(WEAK(dir_load, ACQUIRE), DIR, dir) /* lc_load_acquire(&hit->group->gr_dir) */
        fi;
        if
        :: dir == NO_PAGES -> goto next /* a miss that counts */
        :: else
        fi;
        /* @code csrc/lc_index.h lc_group_bucket */
        LOAD(RELAXED, LIST + dir, page); /* lc_load_relaxed32(&group->list[page - 1]) */
        if
        :: page == GARBAGE -> word = 0
        :: else ->
            /* @code csrc/lc_read.c read_walk_racy */
            LOAD(ACQUIRE, SLOT + page, word) /* lc_load_acquire(&bucket->bk_slot[i]) */
        fi;
        if
        :: word == HERE ->
            /* @code csrc/lc_read.c read_slot_racy */
            LOAD(ACQUIRE, GENERATION, before); /* lc_load_acquire(&block->bl_generation) */
            LOAD(ACQUIRE, SLOT + page, again); /* lc_load_acquire(hit->slot) */
            if
            :: again != word -> goto retry
            :: else
            fi
        :: else
        fi;
        /* @code csrc/lc_read.c read_pages_same */
        FENCE(WEAK(pages_fence, ACQUIRE)); /* lc_fence_acquire() */
        LOAD(RELAXED, DIR, again); /* lc_load_relaxed(&hit->group->gr_dir) */
        same = again == dir || BROKEN(no_dir);
        LOAD(RELAXED, CHANGES, again); /* lc_load_relaxed(&hit->group->gr_changes) */
        same = same && (again == changes || BROKEN(no_changes));
        if
        :: !same && !(BROKEN(no_end) && word == 0) && !(BROKEN(no_slot) && word == HERE) -> goto retry
        :: else
        fi;
        missed = word == 0;
        assert(!missed);
        if
        :: word == HERE ->
            /* @code csrc/lc_record.h lc_record_read */
            LOAD(RELAXED, HEADER, header); /* lc_load_relaxed32(&raw->rc_stamp) */
            /* @code csrc/lc_read.c read_bytes_racy */
            LOAD(RELAXED, VALUE, value); /* lc_copy_racy(out, shard->heap + record->value_at */
            /* @code csrc/lc_read.c read_block_same */
            FENCE(WEAK(copy_fence, ACQUIRE)); /* lc_fence_acquire() */
            LOAD(RELAXED, GENERATION, after); /* lc_load_relaxed(&shard->blocks[hit->block].bl_generation) */
            if
            :: after != before -> goto retry
            :: else
            fi;
            wrong = header != value
        :: else -> value = word - ELSEWHERE
        fi;
        wrong = wrong || value < newest;
        assert(!wrong);
        newest = value;
next:
        skip;
        d_step {
            changes = 0;
            dir = 0;
            page = 0;
            word = 0;
            again = 0;
            before = 0;
            after = 0;
            header = 0;
            value = 0;
            same = 0;
            gets++
        }
    :: else -> over = 1; break
    od
}

init {
    CHOOSE_TWIN();
    atomic {
        version = 1;
        content = HERE;
        START(LIST + 1, GARBAGE);
        START(SLOT, HERE);
        START(HEADER, 1);
        START(VALUE, 1);
        run writer();
        run reader()
    }
}
