/* get, gets, ttl and pin: no lock, no store but to hit bits and to our own row.
 *
 *   1 gr_changes, gr_dir        which pages
 *   2 slot                      which record           acquire
 *   3 generation of its block   which life of the block
 *   4 slot again, gr_dir and gr_changes again: the slot was truth while 3 was read
 *   5 header, key, value        bytes that may be overwritten under our hands
 *   6 acquire fence, generation again: they were not
 *
 * A miss needs only that the pages were the group's all the while (step 4 at the end).
 * Nothing a stopped or dead writer leaves behind makes a reader wait: there is no odd
 * state. Retries are bounded; then one try of the lock; then it is a miss, and counted.
 * Invariants: R1 G1 I3 I4 H1 E3. */
#include "lc_read.h"

#include <string.h>

#include "lc_append.h"
#include "lc_block.h"
#include "lc_counter.h"
#include "lc_fork.h"
#include "lc_hash.h"
#include "lc_lock.h"
#include "lc_pin.h"
#include "lc_race.h"
#include "lc_row.h"
#include "lc_segment.h"
#include "lc_shard.h"

#define READ_TRIES 64

_Static_assert(LC_RECORD_KEY_TYPE < LC_HASH_TYPES, "a base for each type of a record");
_Static_assert(LILCACHE_KEY_TUPLE < LC_HASH_TYPES, "and for each of the interface");

LC_INLINE int lc_key_make(const struct lc_segment *segment, const void *key,
                          size_t length, int type, struct lc_key *out) {
    if (LC_UNLIKELY(length == 0 || length > LILCACHE_KEY_MAX)) {
        return LILCACHE_KEY_SIZE;
    }
    if (LC_UNLIKELY(type < LILCACHE_KEY_BYTES || type > LILCACHE_KEY_TUPLE)) {
        return LILCACHE_INVALID;
    }
    out->bytes = key;
    out->length = (uint32_t)length;
    out->type = (uint32_t)type;
    out->hash = lc_hash_key(&segment->hash, key, length, (uint32_t)type);
    return LILCACHE_OK;
}

/* The group's pages are still the ones the probe used [I4]. */
static bool read_pages_same(const struct lc_hit *hit) {
    lc_fence_acquire(); /* pairs with the fence after gr_changes in lc_group.c */
    return lc_load_relaxed(&hit->group->gr_dir) == hit->dir &&
           lc_load_relaxed(&hit->group->gr_changes) == hit->changes;
}

/* The block has not been reused since its generation was read [G1]. */
static bool read_block_same(const struct lc_shard *shard, const struct lc_hit *hit) {
    lc_fence_acquire(); /* pairs with the fence after the bump in lc_run_free_locked */
    return lc_load_relaxed(&shard->blocks[hit->block].bl_generation) == hit->generation;
}

/* One slot with our tag: is it our key? */
static LC_INLINE enum lc_verdict read_slot_racy(const struct lc_shard *shard,
                                                const struct lc_key *key,
                                                struct lc_hit *hit) {
    hit->block = lc_block_of(shard, lc_slot_offset(hit->word));
    if (hit->block >= shard->block_count) {
        return read_pages_same(hit) ? LC_ABSENT : LC_RETRY;
    }
    const struct shm_block *block = &shard->blocks[hit->block];
    /* Acquire: pairs with the release of the bump; the loads below come after. */
    hit->generation = lc_load_acquire(&block->bl_generation);
    /* Acquire: pairs with lc_block_set_locked. */
    uint64_t word = lc_load_acquire(&block->bl_word);
    uint64_t again = LC_RACY(slot_again, lc_load_acquire(hit->slot));
    if (((again ^ hit->word) & ~LC_SLOT_HITS) != 0 || !read_pages_same(hit)) {
        return LC_RETRY;
    }
    LC_RACE_COUNTS_WORD(&hit->group->gr_changes, hit->changes, hit->slot);
    if (!LC_RACY(record_head,
                 lc_record_read(shard, lc_slot_offset(hit->word), &hit->record))) {
        return read_block_same(shard, hit) ? LC_ABSENT : LC_RETRY;
    }
    bool same = hit->record.key_length == key->length &&
                lc_record_key_type(&hit->record) == key->type &&
                LC_RACY(record_key, lc_equal_racy(lc_record_key(shard, &hit->record),
                                                  key->bytes, key->length));
    if (!same || lc_word_epoch(word) != (uint32_t)hit->epoch) {
        return read_block_same(shard, hit) ? LC_ABSENT : LC_RETRY;
    }
    return LC_HIT;
}

/* The group's pages, and where in them to begin. False: there are none. */
static LC_INLINE bool read_begin_racy(const struct lc_shard *shard,
                                      const struct lc_key *key, struct lc_hit *hit,
                                      struct lc_walk *walk) {
    /* Acquire: pairs with the store of sh_epoch in clear. */
    hit->epoch = lc_load_acquire(&shard->ctl->sh_epoch);
    hit->group = &shard->groups[lc_group_of(shard, key->hash)];
    /* Acquire: both pair with group_rebuild. */
    hit->changes = lc_load_acquire(&hit->group->gr_changes);
    hit->dir = lc_load_acquire(&hit->group->gr_dir);
    if (!lc_group_open(shard, hit->dir, &walk->group)) {
        return false;
    }
    walk->at = lc_group_home(&walk->group, lc_tag_of(key->hash));
    return true;
}

static struct shm_bucket *read_bucket_racy(const struct lc_shard *shard,
                                           const struct lc_walk *walk) {
    return LC_RACY(page_list, lc_group_bucket(shard, &walk->group, walk->at));
}

/* From bucket to bucket. A hit is not checked against the block's generation yet:
 * read_block_same does that once the bytes are copied or pinned. */
static LC_INLINE enum lc_verdict read_walk_racy(const struct lc_shard *shard,
                                                const struct lc_key *key,
                                                struct lc_hit *hit,
                                                struct lc_walk *walk) {
    uint64_t tag = lc_tag_of(key->hash);
    for (uint32_t distance = 0; distance <= LC_PROBE_MAX; distance++) {
        struct shm_bucket *bucket = read_bucket_racy(shard, walk);
        if (!bucket) {
            return LC_RETRY;
        }
        /* Acquire, before the slots: a slot further on was claimed after the counters
         * on its way were raised [I3]; pairs with index_count_overflow. */
        uint64_t overflow =
            LC_RACY(bucket_overflow, lc_load_acquire(&bucket->bk_overflow));
        for (uint32_t i = 0; i < LC_BUCKET_SLOTS; i++) {
            uint64_t word = LC_RACY(
                bucket_slot,
                lc_load_acquire(&bucket->bk_slot[i])); /* commit of writes [R1] */
            if (!lc_slot_is_live_with_tag(word, tag)) {
                continue;
            }
            hit->slot = &bucket->bk_slot[i];
            hit->word = word;
            enum lc_verdict verdict = read_slot_racy(shard, key, hit);
            if (verdict != LC_ABSENT) {
                return verdict;
            }
        }
        if (lc_overflow_of(overflow, tag) == 0) {
            break;
        }
        walk->at = lc_group_after(&walk->group, walk->at);
    }
    return read_pages_same(hit) ? LC_ABSENT : LC_RETRY;
}

static enum lc_verdict read_find_racy(const struct lc_shard *shard,
                                      const struct lc_key *key, struct lc_hit *hit) {
    struct lc_walk walk;
    return read_begin_racy(shard, key, hit, &walk)
               ? read_walk_racy(shard, key, hit, &walk)
               : LC_ABSENT;
}

/* Raise the hit bits, unless they are full. A compare-and-swap, since the page may have
 * been reused meanwhile: it stores only over the very word that was read [H1]. */
static void read_note_hit(const struct lc_hit *hit) {
    if ((hit->word & LC_SLOT_HITS) != LC_SLOT_HITS) {
        (void)LC_RACY(hit_bits,
                      lc_swap_relaxed(hit->slot, hit->word, hit->word + LC_SLOT_HIT));
    }
}

static int64_t read_pack(const struct lc_record *record) {
    return LILCACHE_PACK(lc_record_value_type(record), record->value_length);
}

LC_INLINE void lc_read_count(struct lc_segment *segment, int64_t result) {
    lc_row_count(segment, result >= 0 ? LC_ROW_hits : LC_ROW_misses);
}

/* Whether the record had expired when it was found. The clock is read later, when the
 * key may hold another record or have been touched: what seems to have expired is
 * looked for once more, and judged by the clock as it was before. Under the lock
 * LC_RETRY is as good as LC_ABSENT: nothing can have changed. */
static enum lc_verdict read_judge_expiry(struct lc_hit *hit) {
    uint64_t expires = hit->record.expires;
    if (expires <= hit->before) {
        return LC_ABSENT;
    }
    hit->now = expires == UINT64_MAX ? 0 : lc_os_now_ms();
    if (expires > hit->now) {
        return LC_HIT;
    }
    hit->before = hit->now;
    return LC_RETRY;
}

/* The bytes, once found. LC_RETRY: they changed under the copy. */
static LC_INLINE enum lc_verdict read_bytes_racy(const struct lc_shard *shard,
                                                 const struct lc_key *key,
                                                 struct lc_hit *hit, void *out,
                                                 size_t cap, int64_t *result) {
    const struct lc_record *record = &hit->record;
    bool fits = record->value_length <= cap;
    bool right = true;
    if (fits) {
        (void)LC_RACY(copy_value, lc_copy_racy(out, shard->heap + record->value_at,
                                               record->value_length));
        right = LC_RACY(copy_checksum,
                        lc_append_verify_copy(shard, record, key->bytes, out));
    }
    if (!read_block_same(shard, hit)) {
        return LC_RETRY;
    }
    LC_RACE_COUNTS(&shard->blocks[hit->block].bl_generation, hit->generation,
                   lc_record_key(shard, record), record->key_length);
    LC_RACE_COUNTS(&shard->blocks[hit->block].bl_generation, hit->generation,
                   shard->heap + record->value_at, fits ? record->value_length : 0);
    enum lc_verdict alive = read_judge_expiry(hit);
    if (alive != LC_HIT) {
        return alive;
    }
    if (!right) {
        lc_row_count(shard->segment, LC_ROW_corrupt_reads);
        return LC_ABSENT;
    }
    *result = fits ? read_pack(record) : LILCACHE_TOO_LARGE;
    return LC_HIT;
}

/* After too many retries: the same under the lock, if it is free. */
static enum lc_verdict read_find_locked(struct lc_shard *shard,
                                        const struct lc_key *key, struct lc_hit *hit) {
    struct lc_found found;
    if (!lc_index_find_locked(shard, key->hash, key->bytes, key->length, key->type,
                              &found, NULL)) {
        return LC_ABSENT;
    }
    hit->group = NULL;
    hit->record = found.record;
    hit->slot = found.place.slot;
    hit->word = found.place.word;
    hit->block = lc_block_of(shard, found.record.offset);
    hit->generation = shard->blocks[hit->block].bl_generation;
    bool visible = lc_word_epoch(shard->blocks[hit->block].bl_word) ==
                   (uint32_t)shard->ctl->sh_epoch;
    return visible ? LC_HIT : LC_ABSENT;
}

/* After too many tries of read_copy. */
static __attribute__((noinline)) enum lc_verdict
read_copy_locked(struct lc_shard *shard, const struct lc_key *key, struct lc_hit *hit,
                 void *out, size_t cap, int64_t *result) {
    if (lc_shard_enter(shard, 0) != LILCACHE_OK) {
        lc_row_count(shard->segment, LC_ROW_contended_misses);
        return LC_ABSENT;
    }
    enum lc_verdict verdict = read_find_locked(shard, key, hit);
    if (verdict == LC_HIT) {
        verdict = read_bytes_racy(shard, key, hit, out, cap, result);
    }
    lc_shard_leave(shard);
    return verdict;
}

/* walk: where the first try begins, if it has begun; written otherwise. */
static LC_INLINE int64_t read_copy(struct lc_segment *segment, const struct lc_key *key,
                                   void *out, size_t cap, struct lc_hit *hit,
                                   struct lc_walk *walk, bool begun) {
    struct lc_shard *shard = lc_shard_of(segment, key->hash);
    int64_t result = LILCACHE_MISS;
    enum lc_verdict verdict = LC_RETRY;

    hit->shard = shard;
    hit->before = 0;
    for (int tries = 0; verdict == LC_RETRY && tries < READ_TRIES; tries++) {
        verdict = LC_ABSENT;
        if (begun || read_begin_racy(shard, key, hit, walk)) {
            verdict = read_walk_racy(shard, key, hit, walk);
        }
        begun = false;
        if (verdict == LC_HIT) {
            verdict = read_bytes_racy(shard, key, hit, out, cap, &result);
        }
    }
    if (LC_UNLIKELY(verdict == LC_RETRY)) {
        verdict = read_copy_locked(shard, key, hit, out, cap, &result);
    }
    if (verdict != LC_HIT) {
        return lc_segment_told(segment, LILCACHE_MISS);
    }
    if (LC_LIKELY(result != LILCACHE_TOO_LARGE)) { /* the caller comes again: once */
        read_note_hit(hit);
    }
    return lc_segment_told(segment, result);
}

/* Where the key's record probably is, for the processor to fetch: behind the first slot
 * with its tag. */
static void read_fetch_record(const struct lc_shard *shard, const struct lc_key *key,
                              const struct shm_bucket *bucket) {
    for (uint32_t i = 0; i < LC_BUCKET_SLOTS; i++) {
        uint64_t word =
            LC_RACY(bucket_slot_ahead, lc_load_relaxed(&bucket->bk_slot[i]));
        uint64_t offset = lc_slot_offset(word);
        if (lc_slot_is_live_with_tag(word, lc_tag_of(key->hash)) &&
            offset < shard->heap_bytes) {
            __builtin_prefetch(&shard->blocks[lc_block_of(shard, offset)]);
            __builtin_prefetch(shard->heap + offset);
            __builtin_prefetch(shard->heap + offset + LC_CACHE_LINE);
            return;
        }
    }
}

void lc_read_begin(struct lc_segment *segment, struct lc_read *reads, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct lc_shard *shard = lc_shard_of(segment, reads[i].key.hash);
        __builtin_prefetch(&shard->groups[lc_group_of(shard, reads[i].key.hash)]);
    }
    for (size_t i = 0; i < count; i++) {
        struct lc_read *read = &reads[i];
        const struct lc_shard *shard = lc_shard_of(segment, read->key.hash);
        read->begun = read_begin_racy(shard, &read->key, &read->hit, &read->walk);
        if (read->begun) {
            __builtin_prefetch(lc_group_number(&read->walk.group, read->walk.at));
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct lc_read *read = &reads[i];
        const struct lc_shard *shard = lc_shard_of(segment, read->key.hash);
        read->bucket = read->begun ? read_bucket_racy(shard, &read->walk) : NULL;
        if (read->bucket) {
            __builtin_prefetch(read->bucket);
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct lc_read *read = &reads[i];
        if (read->bucket) {
            read_fetch_record(lc_shard_of(segment, read->key.hash), &read->key,
                              read->bucket);
        }
    }
}

int64_t lc_read_finish(struct lc_segment *segment, struct lc_read *read, void *out,
                       size_t cap) {
    int64_t result =
        read_copy(segment, &read->key, out, cap, &read->hit, &read->walk, read->begun);
    if (result != LILCACHE_TOO_LARGE) { /* the caller comes again, and counts then */
        lc_read_count(segment, result);
    }
    return result;
}

/* A copy of its own in each of the three gets: what they do not ask of the hit need not
 * be stored. */
static LC_INLINE int64_t read_whole(struct lilcache *cache, const void *key,
                                    size_t key_length, int key_type, void *out,
                                    size_t cap, struct lc_hit *hit) {
    struct lc_segment *segment = cache->segment;
    struct lc_key made;
    int status = lc_segment_alive(segment);
    if (LC_LIKELY(status == LILCACHE_OK)) {
        status = lc_key_make(segment, key, key_length, key_type, &made);
    }
    if (LC_UNLIKELY(status != LILCACHE_OK)) {
        return status;
    }
    struct lc_walk walk;
    int64_t result = read_copy(segment, &made, out, cap, hit, &walk, false);
    if (LC_LIKELY(result != LILCACHE_TOO_LARGE)) {
        lc_read_count(segment, result);
    } else if (cap >= sizeof(uint64_t)) { /* the caller comes again, and counts then */
        uint64_t length = hit->record.value_length;
        memcpy(out, &length, sizeof length);
    }
    return result;
}

int64_t lilcache_get(struct lilcache *cache, const void *key, size_t key_length,
                     int key_type, void *out, size_t cap) {
    struct lc_hit hit;
    return read_whole(cache, key, key_length, key_type, out, cap, &hit);
}

int64_t lilcache_gets(struct lilcache *cache, const void *key, size_t key_length,
                      int key_type, void *out, size_t cap, uint32_t *stamp) {
    struct lc_hit hit;
    int64_t result = read_whole(cache, key, key_length, key_type, out, cap, &hit);
    if (result >= 0) {
        *stamp = hit.record.stamp;
    }
    return result;
}

/* Where and what the slot and all that stands behind it were. */
static void read_version(const struct lc_segment *segment, const struct lc_hit *hit,
                         struct lilcache_version *version) {
    bool expires = hit->record.flags & LC_RECORD_EXPIRES;
    const uint64_t *expiry = lc_record_expiry_word(hit->shard, &hit->record);
    version->slot = (uint64_t)((const uint8_t *)hit->slot - segment->base);
    version->word = hit->word;
    version->dir = hit->dir;
    version->changes = hit->changes;
    version->generation = hit->generation;
    version->expiry = expires ? (uint64_t)((const uint8_t *)expiry - segment->base) : 0;
    version->shard = (uint32_t)(hit->shard - segment->shards);
    version->group = (uint32_t)(hit->group - hit->shard->groups);
    version->block = hit->block;
    version->epoch = (uint32_t)hit->epoch;
}

int64_t lilcache_get_version(struct lilcache *cache, const void *key, size_t key_length,
                             int key_type, void *out, size_t cap,
                             struct lilcache_version *version) {
    struct lc_hit hit;
    int64_t result = read_whole(cache, key, key_length, key_type, out, cap, &hit);
    version->slot = 0;
    if (result >= 0 && hit.group) {
        read_version(cache->segment, &hit, version);
    }
    return result;
}

/* A get from its second look at the slot on, without looking at the key: nothing that
 * the first look found has changed. */
int lilcache_is_current(struct lilcache *cache,
                        const struct lilcache_version *version) {
    struct lc_segment *segment = cache->segment;
    int status = lc_segment_alive(segment);
    if (LC_UNLIKELY(status != LILCACHE_OK || version->slot == 0)) {
        return status == LILCACHE_OK ? LILCACHE_MISS : status;
    }
    const struct lc_shard *shard = &segment->shards[version->shard];
    struct lc_hit hit = {
        .slot = (uint64_t *)(segment->base + version->slot),
        .dir = version->dir,
        .changes = version->changes,
        .generation = version->generation,
        .group = &shard->groups[version->group],
        .block = version->block,
    };
    /* Acquire: pairs with the store of sh_epoch in clear. */
    uint64_t epoch = lc_load_acquire(&shard->ctl->sh_epoch);
    /* Acquire: pairs with the stores of lc_index_change_locked. */
    hit.word = LC_RACY(version_slot, lc_load_acquire(hit.slot));
    if ((uint32_t)epoch != version->epoch ||
        ((hit.word ^ version->word) & ~LC_SLOT_HITS) != 0 || !read_pages_same(&hit)) {
        return LILCACHE_MISS;
    }
    LC_RACE_COUNTS_WORD(&hit.group->gr_changes, hit.changes, hit.slot);
    uint64_t expires = UINT64_MAX;
    if (version->expiry) {
        const uint64_t *word = (const uint64_t *)(segment->base + version->expiry);
        expires = LC_RACY(version_expiry, lc_load_relaxed(word));
    }
    if (!read_block_same(shard, &hit)) {
        return LILCACHE_MISS;
    }
    /* Whether a get would miss is for a get to say: the clock is read here after all
     * that was looked at. */
    if (expires != UINT64_MAX && expires <= lc_os_now_ms()) {
        return LILCACHE_MISS;
    }
    read_note_hit(&hit);
    lc_row_count(segment, LC_ROW_hits);
    return (int)lc_segment_told(segment, LILCACHE_OK);
}

int lilcache_ttl(struct lilcache *cache, const void *key, size_t key_length,
                 int key_type, int64_t *ttl_ms) {
    struct lc_segment *segment = cache->segment;
    struct lc_key made;
    int status = lc_segment_alive(segment);
    if (status == LILCACHE_OK) {
        status = lc_key_make(segment, key, key_length, key_type, &made);
    }
    if (status != LILCACHE_OK) {
        return status;
    }
    struct lc_shard *shard = lc_shard_of(segment, made.hash);
    struct lc_hit hit;
    hit.before = 0;
    for (int tries = 0; tries < READ_TRIES; tries++) {
        enum lc_verdict verdict = read_find_racy(shard, &made, &hit);
        if (verdict == LC_ABSENT) {
            return LILCACHE_MISS;
        }
        if (verdict == LC_RETRY) {
            continue;
        }
        uint64_t expires = hit.record.expires;
        bool right = LC_RACY(ttl_checksum, lc_append_verify(shard, &hit.record));
        if (!read_block_same(shard, &hit)) {
            continue;
        }
        if (!right) {
            lc_row_count(segment, LC_ROW_corrupt_reads);
            return LILCACHE_MISS;
        }
        verdict = read_judge_expiry(&hit);
        if (verdict == LC_RETRY) {
            continue;
        }
        if (verdict == LC_ABSENT) {
            return LILCACHE_MISS;
        }
        *ttl_ms = expires == UINT64_MAX ? -1 : (int64_t)(expires - hit.now);
        return (int)lc_segment_told(segment, LILCACHE_OK);
    }
    lc_row_count(segment, LC_ROW_contended_misses);
    return LILCACHE_MISS;
}

/* Pin what was found and see whether it is still there; *token is -1 when there was no
 * pin to be had. */
static enum lc_verdict read_pin_racy(const struct lc_shard *shard, struct lc_hit *hit,
                                     int64_t *token) {
    struct lc_segment *segment = shard->segment;
    *token = lc_pin_take(segment, shard->number, hit->block,
                         lc_run_span_racy(shard, hit->block), true);
    if (*token < 0) {
        return LC_HIT;
    }
    /* The pin's fence lies before these loads: either they show the slot gone, or the
     * recycler sees the pin [Z1]. */
    uint64_t again = LC_RACY(pin_slot, lc_load_acquire(hit->slot));
    bool held = ((again ^ hit->word) & ~LC_SLOT_HITS) == 0 && read_pages_same(hit) &&
                read_block_same(shard, hit);
    enum lc_verdict verdict = held ? read_judge_expiry(hit) : LC_RETRY;
    if (verdict == LC_HIT && !lc_append_verify(shard, &hit->record)) {
        lc_row_count(segment, LC_ROW_corrupt_reads);
        verdict = LC_ABSENT;
    }
    if (verdict != LC_HIT) {
        lc_pin_drop(segment, *token, false);
    }
    return verdict;
}

int64_t lilcache_pin(struct lilcache *cache, const void *key, size_t key_length,
                     int key_type, struct lilcache_view *view) {
    struct lc_segment *segment = cache->segment;
    struct lc_key made;
    struct lc_hit hit;
    int64_t token = -1;
    int status = lc_segment_alive(segment);
    if (status == LILCACHE_OK) {
        status = lc_key_make(segment, key, key_length, key_type, &made);
    }
    if (status != LILCACHE_OK) {
        return status;
    }
    struct lc_shard *shard = lc_shard_of(segment, made.hash);
    enum lc_verdict verdict = LC_RETRY;
    hit.before = 0;
    for (int tries = 0; verdict == LC_RETRY && tries < READ_TRIES; tries++) {
        verdict = read_find_racy(shard, &made, &hit);
        if (verdict == LC_HIT) {
            verdict = read_pin_racy(shard, &hit, &token);
        }
        if (verdict == LC_HIT && token < 0 && tries == 0) {
            lc_row_sweep_paced(segment); /* the dead may hold what we lack */
            verdict = LC_RETRY;
        }
    }
    if (verdict == LC_ABSENT) {
        lc_row_count(segment, LC_ROW_misses);
        return lc_segment_told(segment, LILCACHE_MISS);
    }
    if (verdict == LC_RETRY || token < 0) {
        lc_row_count(segment, token < 0 ? LC_ROW_view_copies : LC_ROW_contended_misses);
        return LILCACHE_NO_PIN;
    }
    if (lc_segment_told(segment, LILCACHE_OK) != LILCACHE_OK) {
        lc_pin_drop(segment, token, false);
        return LILCACHE_RETIRED;
    }
    lc_pin_keep(segment, token);
    read_note_hit(&hit);
    lc_row_count(segment, LC_ROW_hits);
    view->data = shard->heap + hit.record.value_at;
    view->length = hit.record.value_length;
    view->value_type = lc_record_value_type(&hit.record);
    view->stamp = hit.record.stamp;
    view->pin = (uint64_t)token;
    return read_pack(&hit.record);
}

void lilcache_unpin(struct lilcache *cache, uint64_t pin) {
    if (LC_UNLIKELY(!lc_fork_noticed())) {
        lc_fork_child_now();
    }
    lc_pin_drop(cache->segment, (int64_t)pin, true);
}
