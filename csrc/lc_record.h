/* Accessors of records. Everything read from a record is untrusted: lc_record_read
 * loads the header once, checks it against the heap, and hands out numbers that are
 * safe to use as addresses, whatever another process does meanwhile. */
#ifndef LC_RECORD_H
#define LC_RECORD_H

#include "lc_atomic.h"
#include "lc_handle.h"

struct lc_record {
    uint64_t offset;   /* byte in the heap */
    uint64_t total;    /* bytes, a multiple of 8 */
    uint64_t value_at; /* byte in the heap */
    uint64_t expires;  /* ms of CLOCK_BOOTTIME, UINT64_MAX for ever */
    uint32_t key_at;   /* bytes from offset */
    uint32_t key_length;
    uint32_t value_length;
    uint32_t stamp;
    uint16_t flags;
};

static inline uint64_t lc_key_difference(const uint8_t *a, const uint8_t *b) {
    uint64_t words[4];
    memcpy(words, a, 16);
    memcpy(words + 2, b, 16);
    return (words[0] ^ words[2]) | (words[1] ^ words[3]);
}

/* Of 16 to 32 bytes, as most keys have, in two halves that may overlap: without a call.
 */
static inline bool lc_key_equal(const uint8_t *a, const uint8_t *b, uint32_t length) {
    if (LC_LIKELY(length - 16 <= 16)) {
        uint32_t second = length - 16;
        return (lc_key_difference(a, b) | lc_key_difference(a + second, b + second)) ==
               0;
    }
    return memcmp(a, b, length) == 0;
}

/* Byte of the value relative to the heap. */
static inline uint64_t lc_record_value_at(uint64_t offset, uint16_t flags,
                                          uint64_t key_length) {
    uint64_t at = offset + (flags & LC_RECORD_EXPIRES ? 24 : 12) + key_length;
    return flags & LC_RECORD_ALIGNED ? lc_align_up(at, LC_VALUE_ALIGN) : at;
}

static inline uint64_t lc_record_end(uint64_t value_at, uint16_t flags,
                                     uint64_t value_length) {
    uint64_t end = lc_align_up(value_at + value_length, 8);
    return flags & LC_RECORD_CHECKSUM ? end + 8 : end;
}

/* Largest number of bytes such a record can take, wherever it lies. */
static inline uint64_t lc_record_bound(uint16_t flags, uint64_t key_length,
                                       uint64_t value_length) {
    uint64_t pad = flags & LC_RECORD_ALIGNED ? LC_VALUE_ALIGN - 1 : 0;
    return lc_record_end(lc_record_value_at(0, flags & ~LC_RECORD_ALIGNED, key_length),
                         flags, value_length + pad);
}

static inline struct shm_record *lc_record_at(const struct lc_shard *shard,
                                              uint64_t offset) {
    return (struct shm_record *)(shard->heap + offset);
}

static inline uint64_t *lc_record_expiry_word(const struct lc_shard *shard,
                                              const struct lc_record *record) {
    return (uint64_t *)(shard->heap + record->offset + 16);
}

/* Work out places and size from offset, flags and lengths. */
static inline void lc_record_lay_out(struct lc_record *record) {
    record->key_at = record->flags & LC_RECORD_EXPIRES ? 24 : 12;
    record->value_at =
        lc_record_value_at(record->offset, record->flags, record->key_length);
    record->total =
        lc_record_end(record->value_at, record->flags, record->value_length) -
        record->offset;
}

/* False: the header cannot be one of a valid record. Every record of a segment has a
 * checksum, or none has: a damaged flag must not let a damaged value pass. */
static inline bool lc_record_read(const struct lc_shard *shard, uint64_t offset,
                                  struct lc_record *out) {
    if (offset & 7 || offset > shard->heap_bytes - sizeof(struct shm_record)) {
        return false;
    }
    const struct shm_record *raw = lc_record_at(shard, offset);
    out->offset = offset;
    out->key_length = lc_load_relaxed16(&raw->rc_key_length);
    out->flags = lc_load_relaxed16(&raw->rc_flags);
    out->value_length = lc_load_relaxed32(&raw->rc_value_length);
    out->stamp = lc_load_relaxed32(&raw->rc_stamp);
    lc_record_lay_out(out);
    if (out->key_length == 0 || out->total > shard->record_max ||
        offset + out->total > shard->heap_bytes ||
        ((out->flags & LC_RECORD_CHECKSUM) != 0) != shard->checksums) {
        return false;
    }
    out->expires = out->flags & LC_RECORD_EXPIRES
                       ? lc_load_relaxed(lc_record_expiry_word(shard, out))
                       : UINT64_MAX;
    return true;
}

static inline const uint8_t *lc_record_key(const struct lc_shard *shard,
                                           const struct lc_record *record) {
    return shard->heap + record->offset + record->key_at;
}

static inline uint32_t lc_record_key_type(const struct lc_record *record) {
    return record->flags & LC_RECORD_KEY_TYPE;
}

static inline uint32_t lc_record_value_type(const struct lc_record *record) {
    return record->flags >> LC_RECORD_VALUE_TYPE_SHIFT;
}

static inline bool lc_record_expired(const struct lc_record *record) {
    return record->expires != UINT64_MAX && record->expires <= lc_os_now_ms();
}

static inline uint64_t *lc_record_checksum_word(const struct lc_shard *shard,
                                                const struct lc_record *record) {
    return (uint64_t *)(shard->heap + record->offset + record->total - 8);
}

/* Blocks of the run that a block belongs to, as far as can be told without the lock. */
static inline uint32_t lc_run_span_racy(const struct lc_shard *shard, uint32_t block) {
    uint64_t word = lc_load_relaxed(&shard->blocks[block].bl_word);
    if (lc_word_state(word) == LC_BLOCK_CONT && lc_word_length(word) <= block) {
        word = lc_load_relaxed(&shard->blocks[block - lc_word_length(word)].bl_word);
    }
    return lc_word_state(word) == LC_BLOCK_CONT
               ? 1
               : (uint32_t)lc_clamp64(lc_word_length(word), 1, shard->block_count);
}

/* Blocks that so many bytes take. */
static inline uint32_t lc_blocks_for(const struct lc_shard *shard, uint64_t bytes) {
    return (uint32_t)((bytes + (1ULL << shard->block_shift) - 1) >> shard->block_shift);
}

static inline uint32_t lc_block_of(const struct lc_shard *shard, uint64_t offset) {
    return (uint32_t)(offset >> shard->block_shift);
}

#endif
