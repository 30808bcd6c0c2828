/* set, add, replace and cas, by the steps of lc_step.h. Large values are copied outside
 * the lock, under a pin:
 *
 *   lock | header, key, fill; pin | unlock | copy | lock | there? publish | unlock
 *
 * Invariants: R1 K3. */
#include "lc_write.h"

#include "lc_append.h"
#include "lc_block.h"
#include "lc_crash.h"
#include "lc_pin.h"
#include "lc_segment.h"
#include "lc_step.h"

/* From here on the copy is long enough to let others in meanwhile. */
#define WRITE_LARGE LC_VALUE_ALIGN_FROM
/* Slices that the second half of a large write waits for the lock. */
#define WRITE_COMMIT_SLICES 10

static bool write_is_plain(const struct lc_condition *condition) {
    return condition->mode == LILCACHE_SET && !condition->stamped;
}

/* A condition on a damaged record is one on none: as a get would find it. */
static LC_NOINLINE int write_judge(const struct lc_shard *shard,
                                   const struct lc_key *key, const struct lc_spot *spot,
                                   const struct lc_condition *condition) {
    bool visible =
        spot->visible && lc_step_verify_locked(shard, key, &spot->found.record, NULL);
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
                         const struct lc_spot *spot,
                         const struct lc_condition *condition) {
    return LC_LIKELY(write_is_plain(condition))
               ? LILCACHE_OK
               : write_judge(shard, key, spot, condition);
}

static LC_NOINLINE int
write_look_and_judge_locked(const struct lc_shard *shard, const struct lc_key *key,
                            const struct lc_condition *condition) {
    struct lc_spot spot;
    lc_step_look_locked(shard, key, &spot);
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
    struct lc_spot spot;
    struct lc_record record;
    int status = write_check_locked(shard, key, condition);
    if (status == LILCACHE_OK) {
        status = lc_step_room_locked(shard, key, lc_append_plan(shard, source), &spot);
    }
    if (status == LILCACHE_OK) {
        /* Once more: eviction may have taken the key. */
        status = write_allowed(shard, key, &spot, condition);
    }
    if (status != LILCACHE_OK) {
        return status;
    }
    source->stamp = (uint32_t)++shard->ctl->sh_stamp;
    lc_append_head_locked(shard, source, spot.at, &record);
    lc_append_value(shard, source, &record);
    return lc_step_commit_locked(shard, key, &spot, &record);
}

/* First half of a large write: the place is ours as long as the pin holds. */
static int write_reserve(struct lc_shard *shard, const struct lc_key *key,
                         struct lc_source *source, const struct lc_condition *condition,
                         struct lc_record *record, uint64_t *generation, int64_t *pin) {
    struct lc_spot spot;
    int status = lc_step_enter_for(shard, key, LILCACHE_SLICE_MS);
    if (status != LILCACHE_OK) {
        return status;
    }
    uint64_t bytes = lc_append_plan(shard, source);
    status = write_check_locked(shard, key, condition);
    if (status == LILCACHE_OK) {
        status = lc_step_room_locked(shard, key, bytes, &spot);
    }
    if (status == LILCACHE_OK) {
        uint32_t block = lc_block_of(shard, spot.at);
        source->stamp = (uint32_t)++shard->ctl->sh_stamp;
        lc_append_head_locked(shard, source, spot.at, record);
        *generation = shard->blocks[block].bl_generation;
        *pin = lc_pin_take(shard->segment, shard->number, block,
                           lc_run_span_racy(shard, block), false);
        LC_CRASH(large_reserved);
        if (*pin < 0) {
            /* No pin to be had: copy where nobody can take the place away. */
            struct lc_spot fresh;
            lc_append_value(shard, source, record);
            lc_step_look_locked(shard, key, &fresh); /* room may have cost the key */
            status = write_allowed(shard, key, &fresh, condition);
            if (status == LILCACHE_OK) {
                status = lc_step_commit_locked(shard, key, &fresh, record);
            }
        }
    }
    lc_step_leave(shard, status);
    return status;
}

static int write_commit_large(struct lc_shard *shard, const struct lc_key *key,
                              const struct lc_condition *condition,
                              const struct lc_record *record, uint64_t generation) {
    struct lc_spot spot;
    int status = LILCACHE_BUSY;
    /* Longer than other writes wait: the copying would have been for nothing. */
    for (int i = 0; status == LILCACHE_BUSY && i < WRITE_COMMIT_SLICES; i++) {
        status = lc_step_enter_for(shard, key, LILCACHE_SLICE_MS);
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
        lc_step_look_locked(shard, key, &spot);
        status = write_allowed(shard, key, &spot, condition);
        if (status == LILCACHE_OK) {
            status = lc_step_commit_locked(shard, key, &spot, record);
        }
    }
    lc_step_leave(shard, status);
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
    int status = lc_step_enter_for(shard, key, wait_ms);
    if (status == LILCACHE_OK) {
        status = write_store_locked(shard, key, source, condition);
        lc_step_leave(shard, status);
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
     * has been seen to by lc_step_leave. */
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
    int status = lc_step_begin(cache, key, key_length, key_type, &made);
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
    int status = lc_step_begin(cache, key, key_length, key_type, &made);
    return status == LILCACHE_OK ? lc_write_set(cache->segment, &made, &what,
                                                &condition, LILCACHE_SLICE_MS)
                                 : status;
}
