/* Writing records into room that lc_run_room_locked found. Under the shard lock, but
 * for the copy of a large value. */
#ifndef LC_APPEND_H
#define LC_APPEND_H

#include "lc_record.h"

struct lc_source { /* what a record is made of */
    const void *key;
    const void *value;
    uint32_t key_length;
    uint32_t value_length;
    uint32_t stamp;
    uint64_t expires; /* ms, UINT64_MAX: the record has no expiry word */
    uint16_t flags;   /* key type and value type; the rest comes by lc_append_plan */
};

/* Complete the flags by what follows from sizes, expiry and segment. Returns the bytes
 * of room to ask for. */
uint64_t lc_append_plan(const struct lc_shard *shard, struct lc_source *source);

/* Of what lc_append_plan completed, header, expiry and key to `offset`, the fill past
 * the whole record, value untouched. The record can be walked over from now on, but
 * nothing points to it, and it is marked dead: a rebuild must not take half a value for
 * a late one. */
void lc_append_head_locked(struct lc_shard *shard, const struct lc_source *source,
                           uint64_t offset, struct lc_record *out);

/* The value and the checksum. Needs no lock while the block is pinned. */
void lc_append_value(const struct lc_shard *shard, const struct lc_source *source,
                     const struct lc_record *record);

/* Room for `bytes` at `at` does not overlap the record, as it may when where its run
 * ends is damaged. */
bool lc_append_apart(const struct lc_record *record, uint64_t at, uint64_t bytes);

/* The value of `from`, which lies apart, with the checksum it has, changed by no more
 * than what another expiry makes of it: what is damaged stays so, whenever the damage
 * is done. */
void lc_append_again(const struct lc_shard *shard, const struct lc_record *from,
                     const struct lc_record *record);

/* Whether the record matches its checksum; true when it has none. The bytes must not
 * change meanwhile: under the lock, or pinned. */
bool lc_append_verify(const struct lc_shard *shard, const struct lc_record *record);

/* Checksum of a record, over the key, the value, and all of the header. */
uint64_t lc_append_checksum(const struct lc_shard *shard,
                            const struct lc_record *record, const void *key,
                            const void *value);

/* The same as lc_append_verify, of copies that nobody can change. */
static inline bool lc_append_verify_copy(const struct lc_shard *shard,
                                         const struct lc_record *record,
                                         const void *key, const void *value) {
    return !(record->flags & LC_RECORD_CHECKSUM) ||
           lc_load_relaxed(lc_record_checksum_word(shard, record)) ==
               lc_append_checksum(shard, record, key, value);
}

#endif
