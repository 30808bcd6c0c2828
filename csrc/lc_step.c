/* The steps of which every write is made:
 *
 *   lock -> upkeep -> slice of eviction -> look-up -> room -> record -> publish
 *
 * Nothing found in the index survives an eviction, so the look-up is repeated whenever
 * room had to be made.
 *
 * Crash story: until the slot is stored the record is dead bytes; then it is the value.
 * Invariants: R1 K2 E2. */
#include "lc_step.h"

#include "lc_append.h"
#include "lc_block.h"
#include "lc_check.h"
#include "lc_counter.h"
#include "lc_evict.h"
#include "lc_recover.h"
#include "lc_row.h"
#include "lc_segment.h"
#include "lc_shard.h"

#define STEP_ROOM_TRIES 4

int lc_step_begin(struct lilcache *cache, const void *bytes, size_t length, int type,
                  struct lc_key *key) {
    int status = lc_segment_alive(cache->segment);
    return status == LILCACHE_OK ? lc_key_make(cache->segment, bytes, length, type, key)
                                 : status;
}

int lc_step_enter(struct lc_shard *shard, uint32_t wait_ms) {
    int status = lc_shard_enter(shard, wait_ms);
    if (status == LILCACHE_OK) {
        lc_index_upkeep_locked(shard);
    }
    return status;
}

int lc_step_enter_for(struct lc_shard *shard, const struct lc_key *key,
                      uint32_t wait_ms) {
    /* What comes from memory meanwhile need not be waited for behind the lock. */
    __builtin_prefetch(&shard->groups[lc_group_of(shard, key->hash)]);
    int status = lc_step_enter(shard, wait_ms);
    if (status == LILCACHE_OK &&
        LC_UNLIKELY(!lc_index_sound_locked(shard, key->hash))) {
        lc_recover_damage_locked(shard);
    }
    return status;
}

void lc_step_leave(struct lc_shard *shard, int status) {
    struct lc_segment *segment = shard->segment;
    if (LC_UNLIKELY(status == LILCACHE_NO_SPACE) && !lc_check_quick_locked(shard)) {
        lc_recover_locked(shard);
    }
    bool wanted = shard->ctl->sh_parked_blocks > 0 ||
                  lc_load_relaxed32(&segment->sweep_wanted) != 0;
    lc_shard_leave(shard);
    if (LC_UNLIKELY(status == LILCACHE_NO_SPACE)) {
        lc_row_sweep(segment);
    } else if (LC_UNLIKELY(wanted)) {
        lc_row_sweep_paced(segment);
    }
}

bool lc_step_verify_locked(const struct lc_shard *shard, const struct lc_key *key,
                           const struct lc_record *record, const void *value) {
    bool right = lc_append_verify_copy(shard, record, key->bytes,
                                       value ? value : shard->heap + record->value_at);
    if (!right) {
        lc_row_count(shard->segment, LC_ROW_corrupt_reads);
    }
    return right;
}

void lc_step_look_locked(const struct lc_shard *shard, const struct lc_key *key,
                         struct lc_spot *spot) {
    spot->linked = lc_index_find_locked(shard, key->hash, key->bytes, key->length,
                                        key->type, &spot->found, &spot->ghost);
    spot->visible = false;
    if (spot->linked) {
        uint32_t block = lc_block_of(shard, spot->found.record.offset);
        uint32_t epoch = lc_word_epoch(shard->blocks[block].bl_word);
        spot->visible = epoch == (uint32_t)shard->ctl->sh_epoch &&
                        !lc_record_expired(&spot->found.record);
    }
}

static enum lc_queue step_queue_locked(const struct lc_shard *shard,
                                       const struct lc_spot *spot) {
    if (spot->visible) { /* an overwrite keeps its queue */
        uint32_t head =
            lc_block_head_locked(shard, lc_block_of(shard, spot->found.record.offset));
        return lc_word_queue(shard->blocks[head].bl_word);
    }
    if (!spot->linked && spot->ghost.slot &&
        lc_index_ghost_young_locked(shard, spot->ghost.word)) {
        return LC_MAIN;
    }
    /* Until the first eviction main is filled, too, once small has its tenth: else
     * nothing would stay through a first pass over more keys than fit. */
    uint64_t cold = shard->ctl->sh_cold_bytes;
    return cold != UINT64_MAX && cold > shard->heap_bytes / 10 ? LC_MAIN : LC_SMALL;
}

/* Room in a run of the queue that the key belongs to, or of the other one. */
static bool step_place_locked(struct lc_shard *shard, uint64_t bytes,
                              struct lc_spot *spot) {
    enum lc_queue queue = step_queue_locked(shard, spot);
    spot->at = lc_run_room_locked(shard, queue, bytes);
    if (LC_UNLIKELY(spot->at == UINT64_MAX)) {
        spot->at = lc_run_room_open_locked(shard, queue == LC_MAIN ? LC_SMALL : LC_MAIN,
                                           bytes);
    }
    if (LC_UNLIKELY(spot->at == UINT64_MAX)) {
        return false;
    }
    if (queue == LC_SMALL && shard->ctl->sh_cold_bytes != UINT64_MAX) {
        shard->ctl->sh_cold_bytes += bytes;
    }
    return true;
}

/* For a key that was looked up and is new, or for which there was no place. */
static LC_NOINLINE int step_room_more_locked(struct lc_shard *shard,
                                             const struct lc_key *key, uint64_t bytes,
                                             struct lc_spot *spot) {
    bool tried = spot->linked; /* to place it, before anything was evicted for it */
    for (int tries = 0; tries < STEP_ROOM_TRIES; tries++) {
        if (tries > 0) {
            lc_step_look_locked(shard, key, spot);
        }
        if (!spot->linked) {
            enum lc_index_room room = lc_index_prepare_locked(shard, key->hash);
            if (room == LC_INDEX_FULL && tries + 1 < STEP_ROOM_TRIES &&
                lc_evict_force_locked(shard, 1) == LILCACHE_OK) {
                continue;
            }
            if (room == LC_INDEX_REBUILT) {
                lc_step_look_locked(shard, key, spot);
            }
        }
        if (!tried && step_place_locked(shard, bytes, spot)) {
            return LILCACHE_OK;
        }
        tried = false;
        int status = lc_evict_force_locked(shard, bytes);
        if (status != LILCACHE_OK) {
            return status;
        }
    }
    return LILCACHE_NO_SPACE;
}

int lc_step_room_locked(struct lc_shard *shard, const struct lc_key *key,
                        uint64_t bytes, struct lc_spot *spot) {
    lc_run_measure_locked(shard, bytes);
    lc_evict_slice_locked(shard, bytes);
    lc_step_look_locked(shard, key, spot);
    return LC_LIKELY(spot->linked) && step_place_locked(shard, bytes, spot)
               ? LILCACHE_OK
               : step_room_more_locked(shard, key, bytes, spot);
}

/* A slot for a key that has none. */
static LC_NOINLINE int step_publish_new_locked(struct lc_shard *shard,
                                               const struct lc_key *key,
                                               const struct lc_spot *spot,
                                               const struct lc_record *record) {
    struct lc_place place;
    if (spot->ghost.slot) {
        if (lc_index_ghost_young_locked(shard, spot->ghost.word)) {
            lc_count_locked(shard, LC_SHARD_ghost_hits, 1);
        }
        lc_index_change_locked(shard, &spot->ghost, 0, 0, 0);
    }
    if (!lc_index_claim_locked(shard, key->hash, &place)) {
        return LILCACHE_NO_SPACE;
    }
    uint64_t word =
        lc_slot_live(lc_tag_of(key->hash), record->offset >> LC_UNIT_SHIFT, 0);
    lc_index_change_locked(shard, &place, word, 0, record->total);
    return LILCACHE_OK;
}

int lc_step_publish_locked(struct lc_shard *shard, const struct lc_key *key,
                           const struct lc_spot *spot, const struct lc_record *record) {
    if (LC_UNLIKELY(!spot->linked)) {
        return step_publish_new_locked(shard, key, spot, record);
    }
    uint64_t hits = spot->visible ? lc_slot_hits(spot->found.place.word) : 0;
    uint64_t word =
        lc_slot_live(lc_tag_of(key->hash), record->offset >> LC_UNIT_SHIFT, hits);
    lc_index_change_locked(shard, &spot->found.place, word, spot->found.record.total,
                           record->total);
    return LILCACHE_OK;
}

int lc_step_commit_locked(struct lc_shard *shard, const struct lc_key *key,
                          const struct lc_spot *spot, const struct lc_record *record) {
    int status = lc_step_publish_locked(shard, key, spot, record);
    if (LC_LIKELY(status == LILCACHE_OK)) {
        lc_count_locked(shard, LC_SHARD_sets, 1);
    }
    return status;
}

int lc_step_unlink_locked(struct lc_shard *shard, const struct lc_spot *spot) {
    if (spot->linked) {
        lc_index_change_locked(shard, &spot->found.place, 0, spot->found.record.total,
                               0);
    }
    return spot->visible ? LILCACHE_OK : LILCACHE_MISS;
}
