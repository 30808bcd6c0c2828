/* Recovery of one shard, in three steps of which the first nearly always suffices.
 *
 *   repair    the intent line says which slot or group was being changed
 *   rebuild   index forgotten, made anew from the records; the later stamp wins
 *   empty     index forgotten, every unpinned run freed
 *
 * Crash story: repair works by values. in_phase says that a rebuild or an emptying has
 * begun; it is begun again from the start.
 * Invariants: R1 R2 R3. */
#include "lc_recover.h"

#include <string.h>

#include "lc_append.h"
#include "lc_block.h"
#include "lc_check.h"
#include "lc_counter.h"
#include "lc_crash.h"
#include "lc_hash.h"
#include "lc_index.h"
#include "lc_pin.h"

static void recover_set_phase(struct lc_shard *shard, enum lc_phase phase) {
    lc_store_release(&shard->ctl->sh_intent.in_phase, phase);
    lc_fence_seq_cst();
}

/* A head whose word makes no sense becomes a free block of its own. */
static void recover_head(struct lc_shard *shard, uint32_t b) {
    struct shm_block *block = &shard->blocks[b];
    uint32_t length = lc_block_length_locked(shard, b);
    enum lc_block_state state = lc_word_state(block->bl_word);
    if (state > LC_BLOCK_CONT ||
        (state != LC_BLOCK_CONT && lc_word_length(block->bl_word) != length)) {
        bool pinned = lc_pin_any_locked(shard->segment, shard->number, b, 1);
        lc_block_set_locked(shard, b, LC_BLOCK_PARKED, LC_SMALL, 1);
        if (!pinned) {
            lc_run_free_locked(shard, b);
        }
        length = 1;
    }
    block->bl_fill = lc_min64(block->bl_fill, (uint64_t)length << shard->block_shift);
    lc_store_relaxed(&block->bl_live, 0);
}

/* Index blocks back to the heap, no slots, no open runs, no live bytes. */
static void recover_forget(struct lc_shard *shard) {
    lc_store_release(&shard->ctl->sh_intent.in_kind, LC_INTENT_NONE);
    lc_run_seal_all_locked(shard);
    shard->ctl->sh_victim = LC_NO_BLOCK;
    lc_index_reset_locked(shard);
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        recover_head(shard, b);
        if (lc_word_state(shard->blocks[b].bl_word) == LC_BLOCK_INDEX) {
            lc_run_free_locked(shard, b);
        }
    }
    lc_block_repair_locked(shard);
}

/* Link one record found in a run; keep the later of two. A damaged one is left where it
 * is: its key may be another by now, even one of another shard. */
static void recover_link(struct lc_shard *shard, const struct lc_record *record) {
    lc_hash64 hash = lc_hash_key(&shard->segment->hash, lc_record_key(shard, record),
                             record->key_length, lc_record_key_type(record));
    uint64_t word = lc_slot_live(lc_tag_of(hash), record->offset >> LC_UNIT_SHIFT, 0);
    struct lc_found found;
    struct lc_place place;
    if (lc_shard_of(shard->segment, hash) != shard ||
        !lc_append_verify(shard, record)) {
        return;
    }
    if (lc_index_find_locked(shard, hash, lc_record_key(shard, record),
                             record->key_length, lc_record_key_type(record), &found,
                             NULL)) {
        int32_t later = (int32_t)(record->stamp - found.record.stamp);
        if (later > 0) {
            lc_index_change_locked(shard, &found.place, word, found.record.total,
                                   record->total);
        } else if (later == 0 && found.record.offset != record->offset &&
                   (found.record.value_length != record->value_length ||
                    memcmp(shard->heap + found.record.value_at,
                           shard->heap + record->value_at,
                           record->value_length) != 0)) {
            /* One stamp, two values: neither can be trusted. */
            lc_index_change_locked(shard, &found.place, 0, found.record.total, 0);
        }
    } else if (lc_index_claim_locked(shard, hash, &place)) {
        lc_index_change_locked(shard, &place, word, 0, record->total);
    }
}

/* Link what is alive in a run. Returns where the records end. */
static uint64_t recover_run(struct lc_shard *shard, uint32_t head) {
    uint64_t start = (uint64_t)head << shard->block_shift;
    uint64_t fill = shard->blocks[head].bl_fill;
    uint64_t at = 0;
    struct lc_record record;
    while (at < fill && lc_record_read(shard, start + at, &record) &&
           at + record.total <= fill) {
        /* A damaged key would be found under what it has become [R2]. */
        if (!(record.flags & LC_RECORD_DEAD) && lc_append_verify(shard, &record)) {
            recover_link(shard, &record);
        }
        at += record.total;
    }
    return at;
}

static void recover_rebuild(struct lc_shard *shard) {
    recover_set_phase(shard, LC_PHASE_REBUILD);
    recover_forget(shard);
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        struct shm_block *block = &shard->blocks[b];
        if (lc_word_state(block->bl_word) == LC_BLOCK_SEALED) {
            bool current =
                lc_word_epoch(block->bl_word) == (uint32_t)shard->ctl->sh_epoch;
            /* What follows a damaged record cannot be found. */
            block->bl_fill = current ? recover_run(shard, b) : 0;
        }
    }
    lc_count_locked(shard, LC_SHARD_rebuilt, 1);
    recover_set_phase(shard, LC_PHASE_NONE);
}

static void recover_empty(struct lc_shard *shard) {
    recover_set_phase(shard, LC_PHASE_EMPTY);
    recover_forget(shard);
    for (uint32_t b = 0; b < shard->block_count;) {
        uint32_t length = lc_block_length_locked(shard, b);
        enum lc_block_state state = lc_word_state(shard->blocks[b].bl_word);
        if (state == LC_BLOCK_FREE) {
            b += length;
            continue;
        }
        if (lc_pin_any_locked(shard->segment, shard->number, b, length)) {
            lc_block_set_locked(shard, b, LC_BLOCK_PARKED, LC_SMALL, length);
        } else {
            lc_run_free_locked(shard, b);
        }
        b += length;
    }
    lc_block_repair_locked(shard);
    lc_count_locked(shard, LC_SHARD_emptied, 1);
    recover_set_phase(shard, LC_PHASE_NONE);
}

LC_NOINLINE void lc_recover_damage_locked(struct lc_shard *shard) {
    recover_rebuild(shard);
    if (!lc_check_quick_locked(shard)) {
        recover_empty(shard);
    }
}

LC_NOINLINE void lc_recover_locked(struct lc_shard *shard) {
    uint64_t phase = shard->ctl->sh_intent.in_phase;
    LC_CRASH(recover_begun);
    if (phase == LC_PHASE_EMPTY) {
        recover_empty(shard);
        return;
    }
    if (phase == LC_PHASE_NONE) {
        lc_index_repair_locked(shard);
        lc_block_repair_locked(shard);
        LC_CRASH(recover_blocks_done);
        if (lc_check_quick_locked(shard)) {
            lc_count_locked(shard, LC_SHARD_repaired, 1);
            return;
        }
    }
    lc_recover_damage_locked(shard);
}
