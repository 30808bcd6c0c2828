/* get_many, set_many, delete_many and scan. */
#include <string.h>

#include "lc_block.h"
#include "lc_change.h"
#include "lc_hash.h"
#include "lc_segment.h"
#include "lc_shard.h"
#include "lc_write.h"

/* Reads begun at a time: enough to hide the way to memory, and few enough that what was
 * fetched first is still in the processor's cache when it is read. */
#define MANY_READS 32

int64_t lilcache_get_many(struct lilcache *cache, size_t count, const void *keys,
                          const uint32_t *key_lengths, const uint8_t *key_types,
                          void *out, size_t cap, int64_t *results) {
    struct lc_segment *segment = cache->segment;
    struct lc_read reads[MANY_READS];
    const uint8_t *at = keys;
    uint8_t *to = out;
    int64_t hits = 0;
    int status = lc_segment_alive(segment);
    for (size_t done = 0; done < count;) {
        size_t end = count - done < MANY_READS ? count : done + MANY_READS;
        size_t made = 0;
        for (size_t i = done; i < end; i++) {
            results[i] = status ? status
                                : lc_key_make(segment, at, key_lengths[i], key_types[i],
                                              &reads[made].key);
            at += key_lengths[i];
            made += results[i] == LILCACHE_OK;
        }
        lc_read_begin(segment, reads, made);
        made = 0;
        for (; done < end; done++) {
            if (results[done] != LILCACHE_OK) {
                continue;
            }
            int64_t result = lc_read_finish(segment, &reads[made++], to, cap);
            if (result >= 0) {
                to += LILCACHE_LENGTH(result);
                cap -= LILCACHE_LENGTH(result);
                hits++;
            }
            results[done] = result;
        }
    }
    return hits;
}

int64_t lilcache_set_many(struct lilcache *cache, size_t count, const void *keys,
                          const uint32_t *key_lengths, const uint8_t *key_types,
                          const void *values, const uint64_t *value_lengths,
                          const uint8_t *value_types, int64_t ttl_ms,
                          int64_t *results) {
    struct lc_segment *segment = cache->segment;
    const struct lc_condition always = {.mode = LILCACHE_SET};
    const uint8_t *key_at = keys;
    const uint8_t *value_at = values;
    int64_t stored = 0;
    int status = lc_segment_alive(segment);
    for (size_t i = 0; i < count; i++) {
        struct lc_key key;
        struct lc_value value = {value_at, value_lengths[i], value_types[i], ttl_ms};
        if (status == LILCACHE_OK) {
            results[i] =
                lc_key_make(segment, key_at, key_lengths[i], key_types[i], &key);
            if (results[i] == LILCACHE_OK) {
                results[i] =
                    lc_write_set(segment, &key, &value, &always, LILCACHE_SLICE_MS);
            }
            stored += results[i] == LILCACHE_OK;
            if (results[i] == LILCACHE_BUSY) {
                status = LILCACHE_BUSY;
            }
        } else {
            results[i] = status;
        }
        key_at += key_lengths[i];
        value_at += value_lengths[i];
    }
    return stored;
}

int64_t lilcache_delete_many(struct lilcache *cache, size_t count, const void *keys,
                             const uint32_t *key_lengths, const uint8_t *key_types,
                             int64_t *results) {
    struct lc_segment *segment = cache->segment;
    const uint8_t *at = keys;
    int64_t deleted = 0;
    int status = lc_segment_alive(segment);
    for (size_t i = 0; i < count; i++) {
        struct lc_key key;
        if (status == LILCACHE_OK) {
            results[i] = lc_key_make(segment, at, key_lengths[i], key_types[i], &key);
            if (results[i] == LILCACHE_OK) {
                results[i] = lc_change_delete(segment, &key, LILCACHE_SLICE_MS);
            }
            deleted += results[i] == LILCACHE_OK;
            if (results[i] == LILCACHE_BUSY) {
                status = LILCACHE_BUSY;
            }
        } else {
            results[i] = status;
        }
        at += key_lengths[i];
    }
    return deleted;
}

/* A walk goes group by group, and inside a group by tags from low to high: rebuilds and
 * relocations move slots and records but never change a group or a tag.
 *
 *   cursor:  63..28 group over all shards + 1   27..0 lowest tag not yet returned */
struct scan_step {
    uint64_t from; /* tags, both ends included */
    uint64_t to;
    uint8_t *out; /* NULL: only measure */
    uint64_t cap;
    uint64_t bytes;
    uint32_t count;
};

static void scan_slot(const struct lc_shard *shard, uint32_t group, uint64_t *slot,
                      void *context) {
    struct scan_step *step = context;
    uint64_t word = lc_load_relaxed(slot);
    uint64_t tag = lc_slot_tag(word);
    struct lc_record record;
    if (!lc_slot_is_live(word) || tag < step->from || tag > step->to ||
        !lc_record_read(shard, lc_slot_offset(word), &record)) {
        return;
    }
    uint32_t block = lc_block_of(shard, record.offset);
    if (lc_word_epoch(shard->blocks[block].bl_word) != (uint32_t)shard->ctl->sh_epoch ||
        lc_record_expired(&record)) {
        return;
    }
    if (step->out) {
        if (step->bytes + 3 + record.key_length > step->cap) {
            return; /* the header was damaged since it was measured */
        }
        uint16_t length = (uint16_t)record.key_length;
        uint8_t *at = step->out + step->bytes;
        memcpy(at, &length, sizeof length);
        at[2] = (uint8_t)lc_record_key_type(&record);
        memcpy(at + 3, lc_record_key(shard, &record), record.key_length);
        lc_hash64 hash = lc_hash_key(&shard->segment->hash, at + 3, length, at[2]);
        if (lc_tag_of(hash) != tag || lc_group_of(shard, hash) != group ||
            lc_shard_of(shard->segment, hash) != shard) {
            return; /* a damaged key, which a get would not find */
        }
        step->count++;
    }
    step->bytes += 3 + record.key_length;
}

/* As many tags of the group, from `from` on, as fit. *next: the tag to go on with, past
 * the last when the group is done. */
static int64_t scan_group_locked(const struct lc_shard *shard, uint32_t group,
                                 uint64_t from, uint64_t *next, void *out, size_t cap,
                                 uint32_t *count) {
    struct scan_step step = {.from = from, .to = LC_TAG_MASK};
    for (;;) {
        step.bytes = 0;
        lc_index_visit_locked(shard, group, scan_slot, &step);
        if (step.bytes <= cap) {
            break;
        }
        if (step.to == from) {
            return LILCACHE_TOO_LARGE;
        }
        step.to = from + (step.to - from) / 2;
    }
    step.bytes = 0;
    step.out = out;
    step.cap = cap;
    lc_index_visit_locked(shard, group, scan_slot, &step);
    *next = step.to + 1;
    *count = step.count;
    return (int64_t)step.bytes;
}

int64_t lilcache_scan(struct lilcache *cache, uint64_t *cursor, void *out, size_t cap,
                      uint32_t *count) {
    struct lc_segment *segment = cache->segment;
    uint64_t per_shard = segment->shards[0].group_count;
    uint64_t number = *cursor == 0 ? 0 : (*cursor >> LC_TAG_BITS) - 1;
    uint64_t tag = *cursor & LC_TAG_MASK;
    uint64_t next;
    *count = 0;
    int64_t status = lc_segment_alive(segment);
    if (status != LILCACHE_OK) {
        return status;
    }
    if (number >= per_shard * segment->shard_count || cap < LILCACHE_SCAN_MIN) {
        return LILCACHE_INVALID;
    }
    struct lc_shard *shard = &segment->shards[number / per_shard];
    status = lc_shard_enter(shard, LILCACHE_SLICE_MS);
    if (status != LILCACHE_OK) {
        return status;
    }
    status = scan_group_locked(shard, (uint32_t)(number % per_shard), tag, &next, out,
                               cap, count);
    lc_shard_leave(shard);
    status = lc_segment_told(segment, status);
    if (status < 0) {
        return status;
    }
    if (next > LC_TAG_MASK) {
        next = 0;
        number++;
    }
    bool done = number >= per_shard * segment->shard_count;
    *cursor = done ? 0 : (number + 1) << LC_TAG_BITS | next;
    return status;
}
