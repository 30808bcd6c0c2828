/* set, add, replace, cas, delete, pop, touch, incr and clear.
 *
 *   lock -> upkeep, a slice of eviction -> look the key up -> room -> record -> publish
 *
 * Nothing found in the index survives an eviction, so the look-up is repeated whenever
 * room had to be made. Large values are copied outside the lock, under a pin:
 *
 *   lock | header, key, fill; pin | unlock | copy | lock | there? publish | unlock
 *
 * Crash story: until the slot is stored the record is dead bytes; then it is the value.
 * Invariants: R1 K2 K3 E2. */
#include "lc_write.h"

#include <string.h>

#include "lc_append.h"
#include "lc_block.h"
#include "lc_check.h"
#include "lc_counter.h"
#include "lc_crash.h"
#include "lc_evict.h"
#include "lc_pin.h"
#include "lc_recover.h"
#include "lc_row.h"
#include "lc_segment.h"
#include "lc_shard.h"

/* From here on the copy is long enough to let others in meanwhile. */
#define WRITE_LARGE      LC_VALUE_ALIGN_FROM
#define WRITE_ROOM_TRIES 4
/* Slices that the second half of a large write waits for the lock. */
#define WRITE_COMMIT_SLICES 10

struct write_spot {
    struct lc_found found;
    struct lc_place ghost;
    bool linked;  /* a slot points to a record of this key */
    bool visible; /* and a reader would see it */
    uint64_t at;  /* room for the new record */
};

static int write_begin(struct lilcache *cache, const void *bytes, size_t length,
                       int type, struct lc_key *key) {
    int status = lc_segment_alive(cache->segment);
    return status == LILCACHE_OK ? lc_key_make(cache->segment, bytes, length, type, key)
                                 : status;
}

static int write_enter(struct lc_shard *shard, uint32_t wait_ms) {
    int status = lc_shard_enter(shard, wait_ms);
    if (status == LILCACHE_OK) {
        lc_index_upkeep_locked(shard);
    }
    return status;
}

/* The same for a write to this key, whose part of the index may be damaged. What comes
 * from memory meanwhile need not be waited for behind the lock. */
static int write_enter_for(struct lc_shard *shard, const struct lc_key *key,
                           uint32_t wait_ms) {
    __builtin_prefetch(&shard->groups[lc_group_of(shard, key->hash)]);
    int status = write_enter(shard, wait_ms);
    if (status == LILCACHE_OK &&
        LC_UNLIKELY(!lc_index_sound_locked(shard, key->hash))) {
        lc_recover_damage_locked(shard);
    }
    return status;
}

/* Leave, and see to what was in the way: pins of the dead, or a shard that is mistaken
 * about its own space, for which nobody else would come. */
static void write_leave(struct lc_shard *shard, int status) {
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

/* Whether the record matches its checksum; a mismatch is counted. value: a copy of what
 * it holds, or NULL. */
static bool write_verify_locked(const struct lc_shard *shard, const struct lc_key *key,
                                const struct lc_record *record, const void *value) {
    bool right = lc_append_verify_copy(shard, record, key->bytes,
                                       value ? value : shard->heap + record->value_at);
    if (!right) {
        lc_row_count(shard->segment, LC_ROW_corrupt_reads);
    }
    return right;
}

static void write_look_locked(const struct lc_shard *shard, const struct lc_key *key,
                              struct write_spot *spot) {
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

static enum lc_queue write_queue_locked(const struct lc_shard *shard,
                                        const struct write_spot *spot) {
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
static bool write_place_locked(struct lc_shard *shard, uint64_t bytes,
                               struct write_spot *spot) {
    enum lc_queue queue = write_queue_locked(shard, spot);
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
static LC_NOINLINE int write_room_more_locked(struct lc_shard *shard,
                                              const struct lc_key *key, uint64_t bytes,
                                              struct write_spot *spot) {
    bool tried = spot->linked; /* to place it, before anything was evicted for it */
    for (int tries = 0; tries < WRITE_ROOM_TRIES; tries++) {
        if (tries > 0) {
            write_look_locked(shard, key, spot);
        }
        if (!spot->linked) {
            enum lc_index_room room = lc_index_prepare_locked(shard, key->hash);
            if (room == LC_INDEX_FULL && tries + 1 < WRITE_ROOM_TRIES &&
                lc_evict_force_locked(shard, 1) == LILCACHE_OK) {
                continue;
            }
            if (room == LC_INDEX_REBUILT) {
                write_look_locked(shard, key, spot);
            }
        }
        if (!tried && write_place_locked(shard, bytes, spot)) {
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

/* Room for `bytes`, and the key looked up after everything that could have moved it. */
static int write_room_locked(struct lc_shard *shard, const struct lc_key *key,
                             uint64_t bytes, struct write_spot *spot) {
    lc_run_measure_locked(shard, bytes);
    lc_evict_slice_locked(shard, bytes);
    write_look_locked(shard, key, spot);
    return LC_LIKELY(spot->linked) && write_place_locked(shard, bytes, spot)
               ? LILCACHE_OK
               : write_room_more_locked(shard, key, bytes, spot);
}

/* A slot for a key that has none. */
static LC_NOINLINE int write_publish_new_locked(struct lc_shard *shard,
                                                const struct lc_key *key,
                                                const struct write_spot *spot,
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

/* Point the key's slot to the record: the commit. */
static int write_publish_locked(struct lc_shard *shard, const struct lc_key *key,
                                const struct write_spot *spot,
                                const struct lc_record *record) {
    if (LC_UNLIKELY(!spot->linked)) {
        return write_publish_new_locked(shard, key, spot, record);
    }
    uint64_t hits = spot->visible ? lc_slot_hits(spot->found.place.word) : 0;
    uint64_t word =
        lc_slot_live(lc_tag_of(key->hash), record->offset >> LC_UNIT_SHIFT, hits);
    lc_index_change_locked(shard, &spot->found.place, word, spot->found.record.total,
                           record->total);
    return LILCACHE_OK;
}

/* The same for what was set, counted. */
static int write_commit_locked(struct lc_shard *shard, const struct lc_key *key,
                               const struct write_spot *spot,
                               const struct lc_record *record) {
    int status = write_publish_locked(shard, key, spot, record);
    if (LC_LIKELY(status == LILCACHE_OK)) {
        lc_count_locked(shard, LC_SHARD_sets, 1);
    }
    return status;
}

static bool write_is_plain(const struct lc_condition *condition) {
    return condition->mode == LILCACHE_SET && !condition->stamped;
}

/* A condition on a damaged record is one on none: as a get would find it. */
static LC_NOINLINE int write_judge(const struct lc_shard *shard,
                                   const struct lc_key *key,
                                   const struct write_spot *spot,
                                   const struct lc_condition *condition) {
    bool visible =
        spot->visible && write_verify_locked(shard, key, &spot->found.record, NULL);
    if (condition->stamped) {
        if (!visible) {
            return LILCACHE_MISS;
        }
        return spot->found.record.stamp == condition->stamp ? LILCACHE_OK
                                                            : LILCACHE_EXISTS;
    }
    if (condition->mode == LILCACHE_ADD && visible) {
        return LILCACHE_EXISTS;
    }
    if (condition->mode == LILCACHE_REPLACE && !visible) {
        return LILCACHE_MISS;
    }
    return LILCACHE_OK;
}

static int write_allowed(const struct lc_shard *shard, const struct lc_key *key,
                         const struct write_spot *spot,
                         const struct lc_condition *condition) {
    return LC_LIKELY(write_is_plain(condition))
               ? LILCACHE_OK
               : write_judge(shard, key, spot, condition);
}

static LC_NOINLINE int
write_look_and_judge_locked(const struct lc_shard *shard, const struct lc_key *key,
                            const struct lc_condition *condition) {
    struct write_spot spot;
    write_look_locked(shard, key, &spot);
    return write_judge(shard, key, &spot, condition);
}

/* Conditions are looked at before anything is evicted for a write that will not be. */
static int write_check_locked(const struct lc_shard *shard, const struct lc_key *key,
                              const struct lc_condition *condition) {
    return LC_LIKELY(write_is_plain(condition))
               ? LILCACHE_OK
               : write_look_and_judge_locked(shard, key, condition);
}

static int write_store_locked(struct lc_shard *shard, const struct lc_key *key,
                              struct lc_source *source,
                              const struct lc_condition *condition) {
    struct write_spot spot;
    struct lc_record record;
    int status = write_check_locked(shard, key, condition);
    if (status == LILCACHE_OK) {
        status = write_room_locked(shard, key, lc_append_plan(shard, source), &spot);
    }
    if (status == LILCACHE_OK) {
        status = write_allowed(shard, key, &spot,
                               condition); /* eviction may have taken the key */
    }
    if (status != LILCACHE_OK) {
        return status;
    }
    source->stamp = (uint32_t)++shard->ctl->sh_stamp;
    lc_append_head_locked(shard, source, spot.at, &record);
    lc_append_value(shard, source, &record);
    return write_commit_locked(shard, key, &spot, &record);
}

/* First half of a large write: the place is ours as long as the pin holds. */
static int write_reserve(struct lc_shard *shard, const struct lc_key *key,
                         struct lc_source *source, const struct lc_condition *condition,
                         struct lc_record *record, uint64_t *generation, int64_t *pin) {
    struct write_spot spot;
    int status = write_enter_for(shard, key, LILCACHE_SLICE_MS);
    if (status != LILCACHE_OK) {
        return status;
    }
    uint64_t bytes = lc_append_plan(shard, source);
    status = write_check_locked(shard, key, condition);
    if (status == LILCACHE_OK) {
        status = write_room_locked(shard, key, bytes, &spot);
    }
    if (status == LILCACHE_OK) {
        uint32_t block = lc_block_of(shard, spot.at);
        source->stamp = (uint32_t)++shard->ctl->sh_stamp;
        lc_append_head_locked(shard, source, spot.at, record);
        *generation = shard->blocks[block].bl_generation;
        *pin = lc_pin_take(shard->segment, shard->number, block,
                           lc_run_span_racy(shard, block), false);
        LC_CRASH(large_reserved);
        if (*pin <
            0) { /* no pin to be had: copy where nobody can take the place away */
            struct write_spot fresh;
            lc_append_value(shard, source, record);
            write_look_locked(shard, key, &fresh);
            status = write_allowed(shard, key, &fresh, condition);
            if (status == LILCACHE_OK) { /* making room may have taken the key */
                status = write_commit_locked(shard, key, &fresh, record);
            }
        }
    }
    write_leave(shard, status);
    return status;
}

static int write_commit_large(struct lc_shard *shard, const struct lc_key *key,
                              const struct lc_condition *condition,
                              const struct lc_record *record, uint64_t generation) {
    struct write_spot spot;
    int status = LILCACHE_BUSY;
    for (int i = 0; status == LILCACHE_BUSY && i < WRITE_COMMIT_SLICES; i++) {
        status = write_enter_for(
            shard, key,
            LILCACHE_SLICE_MS); /* all the copying would have been for nothing */
    }
    if (status != LILCACHE_OK) {
        return status;
    }
    uint32_t block = lc_block_of(shard, record->offset);
    uint32_t head = lc_block_head_locked(shard, block);
    enum lc_block_state state = lc_word_state(shard->blocks[head].bl_word);
    if (shard->blocks[block].bl_generation != generation ||
        (state != LC_BLOCK_OPEN && state != LC_BLOCK_SEALED) ||
        shard->ctl->sh_victim == head ||
        lc_word_epoch(shard->blocks[head].bl_word) != (uint32_t)shard->ctl->sh_epoch) {
        status = LILCACHE_RETIRED; /* the run was evicted or cleared: start again */
    } else {
        write_look_locked(shard, key, &spot);
        status = write_allowed(shard, key, &spot, condition);
        if (status == LILCACHE_OK) {
            status = write_commit_locked(shard, key, &spot, record);
        }
    }
    write_leave(shard, status);
    return status;
}

static LC_NOINLINE int write_large(struct lc_shard *shard, const struct lc_key *key,
                                   struct lc_source *source,
                                   const struct lc_condition *condition) {
    struct lc_record record;
    uint64_t generation = 0;
    int64_t pin = -1;
    int status =
        write_reserve(shard, key, source, condition, &record, &generation, &pin);
    if (status != LILCACHE_OK || pin < 0) {
        return status;
    }
    lc_append_value(shard, source, &record);
    LC_CRASH(large_copied);
    status = write_commit_large(shard, key, condition, &record, generation);
    lc_pin_drop(shard->segment, pin, false);
    return status;
}

static int write_small(struct lc_shard *shard, const struct lc_key *key,
                       struct lc_source *source, const struct lc_condition *condition,
                       uint32_t wait_ms) {
    int status = write_enter_for(shard, key, wait_ms);
    if (status == LILCACHE_OK) {
        status = write_store_locked(shard, key, source, condition);
        write_leave(shard, status);
    }
    return status;
}

LC_FLATTEN int lc_write_set(struct lc_segment *segment, const struct lc_key *key,
                            const struct lc_value *value,
                            const struct lc_condition *condition, uint32_t wait_ms) {
    struct lc_shard *shard = lc_shard_of(segment, key->hash);
    struct lc_source source;
    if (value->length > segment->max_value) {
        return LILCACHE_VALUE_SIZE;
    }
    if (value->ttl_ms < 0 || value->ttl_ms > INT64_MAX / 2) {
        return LILCACHE_TTL;
    }
    if (value->type < 0 || value->type > 255) {
        return LILCACHE_INVALID;
    }
    source = (struct lc_source){
        .key = key->bytes,
        .value = value->bytes,
        .key_length = key->length,
        .value_length = (uint32_t)value->length,
        .expires =
            value->ttl_ms ? lc_os_now_ms() + (uint64_t)value->ttl_ms : UINT64_MAX,
        .flags =
            (uint16_t)(key->type | (uint32_t)value->type << LC_RECORD_VALUE_TYPE_SHIFT),
    };
    bool large = value->length >= WRITE_LARGE;
    int status = LILCACHE_NO_SPACE;
    if (LC_UNLIKELY(large)) {
        status = write_large(shard, key, &source, condition);
        /* The place was lost while we copied: once more, without letting go. */
        status = status == LILCACHE_RETIRED ? LILCACHE_NO_SPACE : status;
    }
    /* Once more if there was no space: what was in the way, like dead processes' pins,
     * has been seen to by write_leave. */
    for (int tries = large; tries < 2 && status == LILCACHE_NO_SPACE; tries++) {
        status = write_small(shard, key, &source, condition, wait_ms);
    }
    return (int)lc_segment_told(segment, status);
}

static int write_set(struct lilcache *cache, const void *key, size_t key_length,
                     int key_type, const struct lc_value *value, int mode,
                     uint32_t wait_ms) {
    struct lc_key made;
    struct lc_condition condition = {.mode = (enum lilcache_set_mode)mode};
    int status = write_begin(cache, key, key_length, key_type, &made);
    if (status == LILCACHE_OK && (mode < LILCACHE_SET || mode > LILCACHE_REPLACE)) {
        status = LILCACHE_INVALID;
    }
    return status == LILCACHE_OK
               ? lc_write_set(cache->segment, &made, value, &condition, wait_ms)
               : status;
}

int lilcache_set(struct lilcache *cache, const void *key, size_t key_length,
                 int key_type, const void *value, size_t value_length, int value_type,
                 int64_t ttl_ms, int mode) {
    struct lc_value what = {value, value_length, value_type, ttl_ms};
    return write_set(cache, key, key_length, key_type, &what, mode, LILCACHE_SLICE_MS);
}

int lilcache_try_set(struct lilcache *cache, const void *key, size_t key_length,
                     int key_type, const void *value, size_t value_length,
                     int value_type, int64_t ttl_ms, int mode) {
    struct lc_value what = {value, value_length, value_type, ttl_ms};
    if (value_length >= WRITE_LARGE) {
        return LILCACHE_BUSY; /* its second half has to wait for the lock */
    }
    return write_set(cache, key, key_length, key_type, &what, mode, 0);
}

int lilcache_cas(struct lilcache *cache, const void *key, size_t key_length,
                 int key_type, const void *value, size_t value_length, int value_type,
                 int64_t ttl_ms, uint32_t stamp) {
    struct lc_key made;
    struct lc_value what = {value, value_length, value_type, ttl_ms};
    struct lc_condition condition = {LILCACHE_SET, true, stamp};
    int status = write_begin(cache, key, key_length, key_type, &made);
    return status == LILCACHE_OK ? lc_write_set(cache->segment, &made, &what,
                                                &condition, LILCACHE_SLICE_MS)
                                 : status;
}

/* Unlink what was looked up; OK if a reader would have seen it. */
static int write_unlink_locked(struct lc_shard *shard, struct write_spot *spot) {
    if (spot->linked) {
        lc_index_change_locked(shard, &spot->found.place, 0, spot->found.record.total,
                               0);
    }
    return spot->visible ? LILCACHE_OK : LILCACHE_MISS;
}

int lc_write_delete(struct lc_segment *segment, const struct lc_key *key,
                    uint32_t wait_ms) {
    struct lc_shard *shard = lc_shard_of(segment, key->hash);
    struct write_spot spot;
    int status = write_enter_for(shard, key, wait_ms);
    if (status != LILCACHE_OK) {
        return status;
    }
    write_look_locked(shard, key, &spot);
    status = write_unlink_locked(shard, &spot);
    if (status == LILCACHE_OK) {
        lc_count_locked(shard, LC_SHARD_deletes, 1);
    }
    write_leave(shard, status);
    return (int)lc_segment_told(segment, status);
}

int lilcache_delete(struct lilcache *cache, const void *key, size_t key_length,
                    int key_type) {
    struct lc_key made;
    int status = write_begin(cache, key, key_length, key_type, &made);
    return status == LILCACHE_OK
               ? lc_write_delete(cache->segment, &made, LILCACHE_SLICE_MS)
               : status;
}

int lilcache_try_delete(struct lilcache *cache, const void *key, size_t key_length,
                        int key_type) {
    struct lc_key made;
    int status = write_begin(cache, key, key_length, key_type, &made);
    return status == LILCACHE_OK ? lc_write_delete(cache->segment, &made, 0) : status;
}

int64_t lilcache_pop(struct lilcache *cache, const void *key, size_t key_length,
                     int key_type, void *out, size_t cap) {
    struct lc_key made;
    struct write_spot spot;
    int64_t result = LILCACHE_MISS;
    int status = write_begin(cache, key, key_length, key_type, &made);
    if (status != LILCACHE_OK) {
        return status;
    }
    struct lc_shard *shard = lc_shard_of(cache->segment, made.hash);
    status = write_enter_for(shard, &made, LILCACHE_SLICE_MS);
    if (status != LILCACHE_OK) {
        return status;
    }
    write_look_locked(shard, &made, &spot);
    const struct lc_record *record = &spot.found.record;
    if (spot.visible && record->value_length > cap) {
        result = LILCACHE_TOO_LARGE;
    } else {
        if (spot.visible) {
            memcpy(out, shard->heap + record->value_at, record->value_length);
            result = LILCACHE_PACK(lc_record_value_type(record), record->value_length);
            if (!write_verify_locked(shard, &made, record, out)) {
                result = LILCACHE_MISS;
            }
        }
        write_unlink_locked(shard, &spot);
        if (result >= 0) {
            lc_count_locked(shard, LC_SHARD_deletes, 1);
        }
    }
    write_leave(shard, LILCACHE_OK);
    if (result != LILCACHE_TOO_LARGE) {
        lc_read_count(cache->segment, result);
    }
    return lc_segment_told(cache->segment, result);
}

/* Store what is there once more, with another expiry, or, if source has one, another
 * value; keeps key and type. */
static int write_again_locked(struct lc_shard *shard, const struct lc_key *key,
                              struct lc_source *source) {
    struct write_spot spot;
    struct lc_record record;
    uint64_t bytes = lc_append_plan(shard, source);
    int status = write_room_locked(shard, key, bytes, &spot);
    if (status != LILCACHE_OK) {
        return status;
    }
    if (source->value) {
        source->stamp = (uint32_t)++shard->ctl->sh_stamp;
    } else if (!spot.visible ||
               spot.found.record.value_length != source->value_length ||
               !lc_append_apart(&spot.found.record, spot.at, bytes)) {
        return LILCACHE_MISS; /* evicted to make room for itself, or damaged */
    }
    lc_append_head_locked(shard, source, spot.at, &record);
    if (source->value) {
        lc_append_value(shard, source, &record);
        return write_commit_locked(shard, key, &spot, &record);
    }
    lc_append_again(shard, &spot.found.record, &record);
    return write_publish_locked(shard, key, &spot, &record);
}

static struct lc_source write_source_of(const struct lc_key *key,
                                        const struct lc_record *record) {
    return (struct lc_source){
        .key = key->bytes,
        .key_length = key->length,
        .value_length = record->value_length,
        .stamp = record->stamp,
        .flags = record->flags,
    };
}

static int write_touch_locked(struct lc_shard *shard, const struct lc_key *key,
                              uint64_t expires) {
    struct write_spot spot;
    write_look_locked(shard, key, &spot);
    if (!spot.visible) {
        return LILCACHE_MISS;
    }
    const struct lc_record *record = &spot.found.record;
    if (record->flags & LC_RECORD_EXPIRES && !(record->flags & LC_RECORD_CHECKSUM)) {
        uint32_t head = lc_block_head_locked(shard, lc_block_of(shard, record->offset));
        shard->blocks[head].bl_expires =
            lc_max64(shard->blocks[head].bl_expires, expires);
        /* The one thing of a published record that changes; a reader sees either. */
        lc_store_relaxed(lc_record_expiry_word(shard, record), expires);
        return LILCACHE_OK;
    }
    if (!(record->flags & LC_RECORD_EXPIRES) && expires == UINT64_MAX) {
        return LILCACHE_OK;
    }
    if (!write_verify_locked(shard, key, record, NULL)) {
        lc_index_change_locked(shard, &spot.found.place, 0, record->total, 0);
        return LILCACHE_MISS;
    }
    struct lc_source source = write_source_of(key, record);
    source.expires = expires;
    return write_again_locked(shard, key, &source);
}

int lilcache_touch(struct lilcache *cache, const void *key, size_t key_length,
                   int key_type, int64_t ttl_ms) {
    struct lc_key made;
    int status = write_begin(cache, key, key_length, key_type, &made);
    if (status == LILCACHE_OK && (ttl_ms < 0 || ttl_ms > INT64_MAX / 2)) {
        status = LILCACHE_TTL;
    }
    if (status != LILCACHE_OK) {
        return status;
    }
    struct lc_shard *shard = lc_shard_of(cache->segment, made.hash);
    status = write_enter_for(shard, &made, LILCACHE_SLICE_MS);
    if (status == LILCACHE_OK) {
        status = write_touch_locked(
            shard, &made, ttl_ms ? lc_os_now_ms() + (uint64_t)ttl_ms : UINT64_MAX);
        write_leave(shard, status);
    }
    return (int)lc_segment_told(cache->segment, status);
}

static int write_incr_locked(struct lc_shard *shard, const struct lc_key *key,
                             int64_t delta, const int64_t *initial, uint64_t expires,
                             int64_t *result) {
    struct write_spot spot;
    struct lc_source source;
    write_look_locked(shard, key, &spot);
    const struct lc_record *record = &spot.found.record;
    int64_t value = 0;
    bool fits = spot.visible && record->value_length == sizeof value;
    if (fits) {
        memcpy(&value, shard->heap + record->value_at, sizeof value);
    }
    /* A damaged counter counts as none, so that its sum gets no fresh checksum. */
    if (spot.visible && write_verify_locked(shard, key, record, fits ? &value : NULL)) {
        if (lc_record_value_type(record) != LILCACHE_TYPE_INT64 || !fits) {
            return LILCACHE_NOT_INTEGER;
        }
        if (__builtin_add_overflow(value, delta, result)) {
            return LILCACHE_OVERFLOW;
        }
        source = write_source_of(key, record);
        source.expires = record->expires;
    } else {
        if (!initial) {
            return LILCACHE_MISS;
        }
        *result = *initial;
        source = (struct lc_source){
            .key = key->bytes,
            .key_length = key->length,
            .value_length = sizeof *result,
            .expires = expires,
            .flags = (uint16_t)(key->type | LILCACHE_TYPE_INT64
                                                << LC_RECORD_VALUE_TYPE_SHIFT),
        };
    }
    source.value = result;
    return write_again_locked(shard, key, &source);
}

static int write_incr(struct lilcache *cache, const void *key, size_t key_length,
                      int key_type, int64_t delta, const int64_t *initial,
                      int64_t ttl_ms, int64_t *result, uint32_t wait_ms) {
    struct lc_key made;
    int status = write_begin(cache, key, key_length, key_type, &made);
    if (status == LILCACHE_OK &&
        (ttl_ms < LILCACHE_TTL_KEEP || ttl_ms > INT64_MAX / 2)) {
        status = LILCACHE_TTL;
    }
    if (status != LILCACHE_OK) {
        return status;
    }
    struct lc_shard *shard = lc_shard_of(cache->segment, made.hash);
    uint64_t expires = ttl_ms > 0 ? lc_os_now_ms() + (uint64_t)ttl_ms : UINT64_MAX;
    status = write_enter_for(shard, &made, wait_ms);
    if (status == LILCACHE_OK) {
        status = write_incr_locked(shard, &made, delta, initial, expires, result);
        write_leave(shard, status);
    }
    return (int)lc_segment_told(cache->segment, status);
}

int lilcache_incr(struct lilcache *cache, const void *key, size_t key_length,
                  int key_type, int64_t delta, const int64_t *initial, int64_t ttl_ms,
                  int64_t *result) {
    return write_incr(cache, key, key_length, key_type, delta, initial, ttl_ms, result,
                      LILCACHE_SLICE_MS);
}

int lilcache_try_incr(struct lilcache *cache, const void *key, size_t key_length,
                      int key_type, int64_t delta, const int64_t *initial,
                      int64_t ttl_ms, int64_t *result) {
    return write_incr(cache, key, key_length, key_type, delta, initial, ttl_ms, result,
                      0);
}

static int write_clear_shard(struct lc_shard *shard) {
    int status = write_enter(shard, LILCACHE_SLICE_MS);
    if (status != LILCACHE_OK) {
        return status;
    }
    struct shm_shard *ctl = shard->ctl;
    /* Release: the commit. Every get that begins after this is seen loads it (acquire
     * in lc_read.c) and finds all older blocks invisible. */
    lc_store_release(&ctl->sh_epoch, (uint32_t)(ctl->sh_epoch + 1));
    LC_CRASH(clear_epoch_stored);
    lc_run_seal_all_locked(shard);
    ctl->sh_cold_bytes = 0;
    lc_count_locked(shard, LC_SHARD_clears, 1);
    write_leave(shard, LILCACHE_OK);
    return LILCACHE_OK;
}

int lilcache_clear(struct lilcache *cache) {
    int status = lc_segment_alive(cache->segment);
    for (uint32_t i = 0; status == LILCACHE_OK && i < cache->segment->shard_count;
         i++) {
        status = write_clear_shard(&cache->segment->shards[i]);
    }
    return (int)lc_segment_told(cache->segment, status);
}
