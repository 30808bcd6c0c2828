/* The index of one shard: groups of pages of buckets of slots.
 *
 *   hash -> group -> gr_dir -> first page: | page numbers | bucket bucket ...
 *                              other pages:| bucket bucket bucket ...
 *   home bucket = tag * buckets >> 28; a full bucket passes slots on to the next ones
 * and counts them in bk_overflow, so that a probe knows when to stop.
 *
 * The inline part is the probe. It is safe without the lock: every number is checked
 * before it is used, and what was found means something only after the caller's checks.
 */
#ifndef LC_INDEX_H
#define LC_INDEX_H

#include "lc_atomic.h"
#include "lc_handle.h"
#include "lc_record.h"

/* Buckets a key may be away from its home. At 7/8 load a longer way would be needed for
 * about one insert in ten thousand; the group grows then. */
#define LC_PROBE_MAX 24

struct lc_group {
    const uint32_t *list; /* numbers of the pages after the first */
    uint32_t first;
    uint32_t pages;
    uint32_t lines; /* of the first page taken by the list */
    uint32_t buckets;
};

static inline uint32_t lc_group_lines(uint32_t pages) { return (pages - 1 + 15) / 16; }

static inline uint32_t lc_group_buckets(uint32_t pages) {
    return pages * LC_PAGE_LINES - lc_group_lines(pages);
}

static inline uint64_t lc_group_dir(uint32_t first_page, uint32_t pages) {
    return (uint64_t)pages << 32 | ((uint64_t)first_page + 1);
}

/* False: no page yet, or damaged. */
static inline bool lc_group_open(const struct lc_shard *shard, uint64_t dir,
                                 struct lc_group *out) {
    out->first = (uint32_t)dir - 1;
    out->pages = (uint32_t)(dir >> 32);
    if (dir == 0 || out->first >= shard->page_numbers || out->pages == 0 ||
        out->pages > LC_GROUP_PAGES_MAX) {
        return false;
    }
    out->list =
        (const uint32_t *)(shard->heap + ((uint64_t)out->first << LC_PAGE_SHIFT));
    out->lines = lc_group_lines(out->pages);
    out->buckets = out->pages * LC_PAGE_LINES - out->lines;
    return true;
}

/* Where the number of the bucket's page stands, or would if it is the first page's. */
static inline const uint32_t *lc_group_number(const struct lc_group *group,
                                              uint32_t bucket) {
    uint32_t page = (bucket + group->lines) / LC_PAGE_LINES;
    return &group->list[page == 0 ? 0 : page - 1];
}

/* NULL: damaged, or the page list was overwritten meanwhile. */
static inline struct shm_bucket *lc_group_bucket(const struct lc_shard *shard,
                                                 const struct lc_group *group,
                                                 uint32_t bucket) {
    uint32_t line = bucket + group->lines;
    uint32_t page = line / LC_PAGE_LINES;
    uint32_t number =
        page == 0 ? group->first : lc_load_relaxed32(&group->list[page - 1]);
    if (LC_UNLIKELY(number >= shard->page_numbers)) {
        return NULL;
    }
    return (struct shm_bucket *)(shard->heap + ((uint64_t)number << LC_PAGE_SHIFT)) +
           line % LC_PAGE_LINES;
}

static inline uint32_t lc_group_home(const struct lc_group *group, uint64_t tag) {
    return (uint32_t)(tag * group->buckets >> LC_TAG_BITS);
}

static inline uint32_t lc_group_after(const struct lc_group *group, uint32_t bucket) {
    return bucket + 1 == group->buckets ? 0 : bucket + 1;
}

/* How many live slots of the tag's class passed this bucket by. */
static inline uint32_t lc_overflow_of(uint64_t overflow, uint64_t tag) {
    return (uint32_t)(overflow >> ((tag & 7) * 8)) & 0xFF;
}

/* A slot's place. */
struct lc_place {
    uint64_t *slot;
    uint64_t word; /* as loaded */
    uint64_t tag;
    uint32_t group;
    uint32_t distance; /* buckets from home */
};

struct lc_found {
    struct lc_place place;
    struct lc_record record;
};

/* --- under the lock --------------------------------------------------------------- */

/* The live slot of this key, expired and old epochs included. *ghost (may be NULL) gets
 * the place of a ghost with the key's tag, slot NULL when there is none. */
bool lc_index_find_locked(const struct lc_shard *shard, lc_hash64 hash, const void *key,
                          uint32_t key_length, uint32_t key_type, struct lc_found *out,
                          struct lc_place *ghost);

/* Have the processor fetch the home buckets of some keys, each step for all of them. */
void lc_index_fetch_locked(const struct lc_shard *shard, const lc_hash64 *hashes,
                           uint32_t count);

#define LC_INDEX_FETCH_MAX 16

/* The live slot that points to this very record. */
bool lc_index_find_offset_locked(const struct lc_shard *shard, lc_hash64 hash,
                                 uint64_t offset, struct lc_place *out);

/* Room for one more live slot in the key's group, made by growing it if need be. */
enum lc_index_room {
    LC_INDEX_READY, /* or a record of the bucket has to go, see lc_index_claim_locked */
    LC_INDEX_REBUILT, /* ready, but places found before are void */
    LC_INDEX_FULL,    /* a free block would help */
};
enum lc_index_room lc_index_prepare_locked(struct lc_shard *shard, lc_hash64 hash);

/* A slot for a new key: the ghost's, an empty one, an old ghost's. The group may be
 * rebuilt for it, so places found before are void. Falls back on dropping a record of
 * the same bucket when growing is impossible or no help. False only when there is no
 * page at all.
 */
bool lc_index_claim_locked(struct lc_shard *shard, lc_hash64 hash,
                           struct lc_place *out);

/* THE way a slot changes. old_bytes, new_bytes: sizes of the records that the old and
 * the new word point to, 0 when not live. */
void lc_index_change_locked(struct lc_shard *shard, const struct lc_place *place,
                            uint64_t new_word, uint64_t old_bytes, uint64_t new_bytes);

/* False: the pages that the key's slot would be in are not its group's. Looks at the
 * first page, the home bucket's and the one behind it: damage of the others shows when
 * a key comes that lives there. */
bool lc_index_sound_locked(const struct lc_shard *shard, lc_hash64 hash);

/* One bounded step of upkeep: shrink a group, empty an index block. */
void lc_index_upkeep_locked(struct lc_shard *shard);

/* Move every group out of the lowest index block and free it. False: no room elsewhere.
 */
bool lc_index_empty_lowest_locked(struct lc_shard *shard);

/* The block at the index's end that the index would like to have next, LC_NO_BLOCK when
 * it needs none. Eviction empties it first. */
uint32_t lc_index_wants_locked(const struct lc_shard *shard);

/* True for a ghost young enough to vouch for its key. */
bool lc_index_ghost_young_locked(const struct lc_shard *shard, uint64_t slot);

/* The change under way when the owner died: by values, repeatable. */
void lc_index_repair_locked(struct lc_shard *shard);

/* Forget every page, for a rebuild. */
void lc_index_reset_locked(struct lc_shard *shard);

/* Visit every slot of a group. */
typedef void (*lc_slot_visit)(const struct lc_shard *shard, uint32_t group,
                              uint64_t *slot, void *context);
void lc_index_visit_locked(const struct lc_shard *shard, uint32_t group,
                           lc_slot_visit visit, void *context);

#endif
