/* delete, pop, touch, incr and clear, by the steps of lc_step.h. What changes a value
 * or its expiry stores a record anew, but for an expiry word that is there already.
 *
 * Invariants: R1 K2. */
#include "lc_change.h"

#include <string.h>

#include "lc_append.h"
#include "lc_block.h"
#include "lc_counter.h"
#include "lc_crash.h"
#include "lc_segment.h"
#include "lc_step.h"

int lc_change_delete(struct lc_segment *segment, const struct lc_key *key,
                     uint32_t wait_ms) {
    struct lc_shard *shard = lc_shard_of(segment, key->hash);
    struct lc_spot spot;
    int status = lc_step_enter_for(shard, key, wait_ms);
    if (status != LILCACHE_OK) {
        return status;
    }
    lc_step_look_locked(shard, key, &spot);
    status = lc_step_unlink_locked(shard, &spot);
    if (status == LILCACHE_OK) {
        lc_count_locked(shard, LC_SHARD_deletes, 1);
    }
    lc_step_leave(shard, status);
    return (int)lc_segment_told(segment, status);
}

int lilcache_delete(struct lilcache *cache, const void *key, size_t key_length,
                    int key_type) {
    struct lc_key made;
    int status = lc_step_begin(cache, key, key_length, key_type, &made);
    return status == LILCACHE_OK
               ? lc_change_delete(cache->segment, &made, LILCACHE_SLICE_MS)
               : status;
}

int lilcache_try_delete(struct lilcache *cache, const void *key, size_t key_length,
                        int key_type) {
    struct lc_key made;
    int status = lc_step_begin(cache, key, key_length, key_type, &made);
    return status == LILCACHE_OK ? lc_change_delete(cache->segment, &made, 0) : status;
}

int64_t lilcache_pop(struct lilcache *cache, const void *key, size_t key_length,
                     int key_type, void *out, size_t cap) {
    struct lc_key made;
    struct lc_spot spot;
    int64_t result = LILCACHE_MISS;
    int status = lc_step_begin(cache, key, key_length, key_type, &made);
    if (status != LILCACHE_OK) {
        return status;
    }
    struct lc_shard *shard = lc_shard_of(cache->segment, made.hash);
    status = lc_step_enter_for(shard, &made, LILCACHE_SLICE_MS);
    if (status != LILCACHE_OK) {
        return status;
    }
    lc_step_look_locked(shard, &made, &spot);
    const struct lc_record *record = &spot.found.record;
    if (spot.visible && record->value_length > cap) {
        result = LILCACHE_TOO_LARGE;
    } else {
        if (spot.visible) {
            memcpy(out, shard->heap + record->value_at, record->value_length);
            result = LILCACHE_PACK(lc_record_value_type(record), record->value_length);
            if (!lc_step_verify_locked(shard, &made, record, out)) {
                result = LILCACHE_MISS;
            }
        }
        lc_step_unlink_locked(shard, &spot);
        if (result >= 0) {
            lc_count_locked(shard, LC_SHARD_deletes, 1);
        }
    }
    lc_step_leave(shard, LILCACHE_OK);
    if (result != LILCACHE_TOO_LARGE) {
        lc_read_count(cache->segment, result);
    }
    return lc_segment_told(cache->segment, result);
}

/* Store what is there once more, with another expiry, or, if source has one, another
 * value; keeps key and type. */
static int change_again_locked(struct lc_shard *shard, const struct lc_key *key,
                               struct lc_source *source) {
    struct lc_spot spot;
    struct lc_record record;
    uint64_t bytes = lc_append_plan(shard, source);
    int status = lc_step_room_locked(shard, key, bytes, &spot);
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
        return lc_step_commit_locked(shard, key, &spot, &record);
    }
    lc_append_again(shard, &spot.found.record, &record);
    return lc_step_publish_locked(shard, key, &spot, &record);
}

static struct lc_source change_source_of(const struct lc_key *key,
                                         const struct lc_record *record) {
    return (struct lc_source){
        .key = key->bytes,
        .key_length = key->length,
        .value_length = record->value_length,
        .stamp = record->stamp,
        .flags = record->flags,
    };
}

static int change_touch_locked(struct lc_shard *shard, const struct lc_key *key,
                               uint64_t expires) {
    struct lc_spot spot;
    lc_step_look_locked(shard, key, &spot);
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
    if (!lc_step_verify_locked(shard, key, record, NULL)) {
        lc_index_change_locked(shard, &spot.found.place, 0, record->total, 0);
        return LILCACHE_MISS;
    }
    struct lc_source source = change_source_of(key, record);
    source.expires = expires;
    return change_again_locked(shard, key, &source);
}

int lilcache_touch(struct lilcache *cache, const void *key, size_t key_length,
                   int key_type, int64_t ttl_ms) {
    struct lc_key made;
    int status = lc_step_begin(cache, key, key_length, key_type, &made);
    if (status == LILCACHE_OK && (ttl_ms < 0 || ttl_ms > INT64_MAX / 2)) {
        status = LILCACHE_TTL;
    }
    if (status != LILCACHE_OK) {
        return status;
    }
    struct lc_shard *shard = lc_shard_of(cache->segment, made.hash);
    status = lc_step_enter_for(shard, &made, LILCACHE_SLICE_MS);
    if (status == LILCACHE_OK) {
        status = change_touch_locked(
            shard, &made, ttl_ms ? lc_os_now_ms() + (uint64_t)ttl_ms : UINT64_MAX);
        lc_step_leave(shard, status);
    }
    return (int)lc_segment_told(cache->segment, status);
}

static int change_incr_locked(struct lc_shard *shard, const struct lc_key *key,
                              int64_t delta, const int64_t *initial, uint64_t expires,
                              int64_t *result) {
    struct lc_spot spot;
    struct lc_source source;
    lc_step_look_locked(shard, key, &spot);
    const struct lc_record *record = &spot.found.record;
    int64_t value = 0;
    bool fits = spot.visible && record->value_length == sizeof value;
    if (fits) {
        memcpy(&value, shard->heap + record->value_at, sizeof value);
    }
    /* A damaged counter counts as none, so that its sum gets no fresh checksum. */
    if (spot.visible &&
        lc_step_verify_locked(shard, key, record, fits ? &value : NULL)) {
        if (lc_record_value_type(record) != LILCACHE_TYPE_INT64 || !fits) {
            return LILCACHE_NOT_INTEGER;
        }
        if (__builtin_add_overflow(value, delta, result)) {
            return LILCACHE_OVERFLOW;
        }
        source = change_source_of(key, record);
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
    return change_again_locked(shard, key, &source);
}

static int change_incr(struct lilcache *cache, const void *key, size_t key_length,
                       int key_type, int64_t delta, const int64_t *initial,
                       int64_t ttl_ms, int64_t *result, uint32_t wait_ms) {
    struct lc_key made;
    int status = lc_step_begin(cache, key, key_length, key_type, &made);
    if (status == LILCACHE_OK &&
        (ttl_ms < LILCACHE_TTL_KEEP || ttl_ms > INT64_MAX / 2)) {
        status = LILCACHE_TTL;
    }
    if (status != LILCACHE_OK) {
        return status;
    }
    struct lc_shard *shard = lc_shard_of(cache->segment, made.hash);
    uint64_t expires = ttl_ms > 0 ? lc_os_now_ms() + (uint64_t)ttl_ms : UINT64_MAX;
    status = lc_step_enter_for(shard, &made, wait_ms);
    if (status == LILCACHE_OK) {
        status = change_incr_locked(shard, &made, delta, initial, expires, result);
        lc_step_leave(shard, status);
    }
    return (int)lc_segment_told(cache->segment, status);
}

int lilcache_incr(struct lilcache *cache, const void *key, size_t key_length,
                  int key_type, int64_t delta, const int64_t *initial, int64_t ttl_ms,
                  int64_t *result) {
    return change_incr(cache, key, key_length, key_type, delta, initial, ttl_ms, result,
                       LILCACHE_SLICE_MS);
}

int lilcache_try_incr(struct lilcache *cache, const void *key, size_t key_length,
                      int key_type, int64_t delta, const int64_t *initial,
                      int64_t ttl_ms, int64_t *result) {
    return change_incr(cache, key, key_length, key_type, delta, initial, ttl_ms, result,
                       0);
}

static int change_clear_shard(struct lc_shard *shard) {
    int status = lc_step_enter(shard, LILCACHE_SLICE_MS);
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
    lc_step_leave(shard, LILCACHE_OK);
    return LILCACHE_OK;
}

int lilcache_clear(struct lilcache *cache) {
    int status = lc_segment_alive(cache->segment);
    for (uint32_t i = 0; status == LILCACHE_OK && i < cache->segment->shard_count;
         i++) {
        status = change_clear_shard(&cache->segment->shards[i]);
    }
    return (int)lc_segment_told(cache->segment, status);
}
