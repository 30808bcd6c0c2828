/* Records come into being here and nowhere else.
 *
 * Crash story: bytes past bl_fill are nobody's; below it they can be walked over;
 * whether a record is alive is the slot's word. Invariants: B3 R1. */
#include "lc_append.h"

#include <string.h>

#include "lc_block.h"
#include "lc_crash.h"
#include "lc_hash.h"

uint64_t lc_append_plan(const struct lc_shard *shard, struct lc_source *source) {
    uint32_t flags = source->flags & (LC_RECORD_KEY_TYPE | 0xFF00u);
    flags |= source->expires != UINT64_MAX ? LC_RECORD_EXPIRES : 0;
    flags |= shard->checksums ? LC_RECORD_CHECKSUM : 0;
    flags |= source->value_length >= LC_VALUE_ALIGN_FROM ? LC_RECORD_ALIGNED : 0;
    source->flags = (uint16_t)flags;
    return lc_record_bound(source->flags, source->key_length, source->value_length);
}

/* The expiry's part of a checksum. It is added by exclusive or, so that touch replaces
 * it without looking at the value. */
static uint64_t append_expiry_sum(const struct lc_shard *shard, uint64_t expires) {
    return expires == UINT64_MAX
               ? 0
               : lc_hash(shard->segment->hash.key, &expires, sizeof expires, 1);
}

LC_NOINLINE uint64_t lc_append_checksum(const struct lc_shard *shard,
                                        const struct lc_record *record, const void *key,
                                        const void *value) {
    const uint64_t *hash_key = shard->segment->hash.key;
    uint32_t flags = record->flags & ~(LC_RECORD_DEAD | LC_RECORD_EXPIRES);
    uint64_t tweak = (uint64_t)record->stamp << 32 | flags << 16 | record->key_length;
    uint64_t sum = lc_hash(hash_key, key, record->key_length, tweak);
    return lc_hash(hash_key, value, record->value_length, sum) ^
           append_expiry_sum(shard, record->expires);
}

void lc_append_head_locked(struct lc_shard *shard, const struct lc_source *source,
                           uint64_t offset, struct lc_record *out) {
    struct shm_record *raw = lc_record_at(shard, offset);
    uint32_t head = lc_block_head_locked(shard, lc_block_of(shard, offset));
    struct shm_block *block = &shard->blocks[head];

    /* Not read back: nothing in the segment is believed, not even what was just
     * written. */
    *out = (struct lc_record){
        .offset = offset,
        .expires = source->expires,
        .key_length = source->key_length,
        .value_length = source->value_length,
        .stamp = source->stamp,
        .flags = (uint16_t)(source->flags | LC_RECORD_DEAD),
    };
    lc_record_lay_out(out);
    lc_store_relaxed16(&raw->rc_key_length, (uint16_t)out->key_length);
    lc_store_relaxed16(&raw->rc_flags, out->flags);
    lc_store_relaxed32(&raw->rc_value_length, out->value_length);
    lc_store_relaxed32(&raw->rc_stamp, out->stamp);
    LC_CRASH(record_header_written);
    if (out->flags & LC_RECORD_EXPIRES) {
        lc_store_relaxed(lc_record_expiry_word(shard, out), source->expires);
    }
    memcpy(shard->heap + offset + out->key_at, source->key, source->key_length);
    block->bl_expires = lc_max64(block->bl_expires, source->expires);
    lc_run_fill_locked(shard, offset, offset + out->total);
}

bool lc_append_verify(const struct lc_shard *shard, const struct lc_record *record) {
    return lc_append_verify_copy(shard, record, lc_record_key(shard, record),
                                 shard->heap + record->value_at);
}

void lc_append_value(const struct lc_shard *shard, const struct lc_source *source,
                     const struct lc_record *record) {
    memcpy(shard->heap + record->value_at, source->value, source->value_length);
    if (record->flags & LC_RECORD_CHECKSUM) {
        lc_store_relaxed(lc_record_checksum_word(shard, record),
                         lc_append_checksum(shard, record, source->key, source->value));
    }
}

bool lc_append_apart(const struct lc_record *record, uint64_t at, uint64_t bytes) {
    return at >= record->offset + record->total || at + bytes <= record->offset;
}

void lc_append_again(const struct lc_shard *shard, const struct lc_record *from,
                     const struct lc_record *record) {
    memcpy(shard->heap + record->value_at, shard->heap + from->value_at,
           record->value_length);
    if (record->flags & LC_RECORD_CHECKSUM) {
        uint64_t sum = lc_load_relaxed(lc_record_checksum_word(shard, from)) ^
                       append_expiry_sum(shard, from->expires) ^
                       append_expiry_sum(shard, record->expires);
        lc_store_relaxed(lc_record_checksum_word(shard, record), sum);
    }
}
