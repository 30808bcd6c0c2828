/* Finding, claiming and changing slots. Growth and upkeep are in lc_group.c.
 *
 * Concurrency: readers probe without the lock (lc_read.c) while the lock holder changes
 * slots; every change a reader can see is one 64-bit store [I1].
 * Crash story: the intent line holds the slot's old and new word and the values of
 * every hint before and after. The slot decides which: lc_index_repair_locked.
 * Invariants: I1 I2 I3 I4 H1. */
#include "lc_index.h"

#include <string.h>

#include "lc_block.h"
#include "lc_counter.h"
#include "lc_crash.h"
#include "lc_group.h"
#include "lc_pages.h"
#include "lc_race.h"

bool lc_index_ghost_young_locked(const struct lc_shard *shard, uint64_t slot) {
    uint64_t age = (shard->ctl->sh_ghost_clock - lc_slot_unit(slot)) & LC_UNIT_MASK;
    /* A heap's worth, in 64-byte steps: a main queue's worth (nine tenths), and a tenth
     * for the ghosts that were hit and left the line, which the clock cannot see. */
    return age <= shard->heap_bytes / 64;
}

static bool index_key_equal(const struct lc_shard *shard,
                            const struct lc_record *record, const void *key,
                            uint32_t key_length, uint32_t key_type) {
    return record->key_length == key_length && lc_record_key_type(record) == key_type &&
           lc_key_equal(lc_record_key(shard, record), key, key_length);
}

bool lc_index_find_locked(const struct lc_shard *shard, lc_hash64 hash, const void *key,
                          uint32_t key_length, uint32_t key_type, struct lc_found *out,
                          struct lc_place *ghost) {
    uint32_t number = lc_group_of(shard, hash);
    uint64_t tag = lc_tag_of(hash);
    struct lc_group group;
    if (ghost) {
        ghost->slot = NULL;
    }
    if (!lc_group_open(shard, lc_load_relaxed(&shard->groups[number].gr_dir), &group)) {
        return false;
    }
    uint32_t at = lc_group_home(&group, tag);
    for (uint32_t distance = 0; distance <= LC_PROBE_MAX; distance++) {
        struct shm_bucket *bucket = lc_group_bucket(shard, &group, at);
        if (!bucket) {
            return false;
        }
        for (uint32_t i = 0; i < LC_BUCKET_SLOTS; i++) {
            uint64_t word = lc_load_relaxed(&bucket->bk_slot[i]);
            if (word == 0 || !lc_slot_has_tag(word, tag)) {
                continue;
            }
            struct lc_place place = {&bucket->bk_slot[i], word, tag, number, distance};
            if (!lc_slot_is_live(word)) {
                if (ghost) {
                    *ghost = place;
                }
            } else if (lc_record_read(shard, lc_slot_offset(word), &out->record) &&
                       index_key_equal(shard, &out->record, key, key_length,
                                       key_type)) {
                out->place = place;
                return true;
            }
        }
        if (lc_overflow_of(bucket->bk_overflow, tag) == 0) {
            return false;
        }
        at = lc_group_after(&group, at);
    }
    return false;
}

bool lc_index_sound_locked(const struct lc_shard *shard, lc_hash64 hash) {
    uint32_t number = lc_group_of(shard, hash);
    uint64_t dir = lc_load_relaxed(&shard->groups[number].gr_dir);
    struct lc_group group;
    if (dir == 0) {
        return true;
    }
    if (!lc_group_open(shard, dir, &group) ||
        !lc_page_is_owned_locked(shard, number, group.first)) {
        return false;
    }
    uint32_t home = lc_group_home(&group, lc_tag_of(hash));
    uint32_t page = (home + group.lines) / LC_PAGE_LINES;
    __builtin_prefetch(lc_group_bucket(shard, &group, home)); /* looked into next */
    for (uint32_t i = 0; i < 2; i++, page = page + 1 < group.pages ? page + 1 : 0) {
        if (page > 0 && !lc_page_is_owned_locked(
                            shard, number, lc_load_relaxed32(&group.list[page - 1]))) {
            return false;
        }
    }
    return true;
}

void lc_index_fetch_locked(const struct lc_shard *shard, const lc_hash64 *hashes,
                           uint32_t count) {
    struct lc_group groups[LC_INDEX_FETCH_MAX];
    bool opened[LC_INDEX_FETCH_MAX];
    for (uint32_t i = 0; i < count; i++) {
        __builtin_prefetch(&shard->groups[lc_group_of(shard, hashes[i])]);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct shm_group *group = &shard->groups[lc_group_of(shard, hashes[i])];
        opened[i] = lc_group_open(shard, lc_load_relaxed(&group->gr_dir), &groups[i]);
        if (opened[i]) {
            uint32_t home = lc_group_home(&groups[i], lc_tag_of(hashes[i]));
            __builtin_prefetch(lc_group_number(&groups[i], home));
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (opened[i]) {
            uint32_t home = lc_group_home(&groups[i], lc_tag_of(hashes[i]));
            __builtin_prefetch(lc_group_bucket(shard, &groups[i], home));
        }
    }
}

bool lc_index_find_offset_locked(const struct lc_shard *shard, lc_hash64 hash,
                                 uint64_t offset, struct lc_place *out) {
    uint32_t number = lc_group_of(shard, hash);
    uint64_t tag = lc_tag_of(hash);
    uint64_t wanted = lc_slot_live(tag, offset >> LC_UNIT_SHIFT, 0);
    struct lc_group group;
    if (!lc_group_open(shard, lc_load_relaxed(&shard->groups[number].gr_dir), &group)) {
        return false;
    }
    uint32_t at = lc_group_home(&group, tag);
    for (uint32_t distance = 0; distance <= LC_PROBE_MAX; distance++) {
        struct shm_bucket *bucket = lc_group_bucket(shard, &group, at);
        if (!bucket) {
            return false;
        }
        for (uint32_t i = 0; i < LC_BUCKET_SLOTS; i++) {
            uint64_t word = lc_load_relaxed(&bucket->bk_slot[i]);
            if ((word & ~LC_SLOT_HITS) == wanted) {
                *out =
                    (struct lc_place){&bucket->bk_slot[i], word, tag, number, distance};
                return true;
            }
        }
        if (lc_overflow_of(bucket->bk_overflow, tag) == 0) {
            return false;
        }
        at = lc_group_after(&group, at);
    }
    return false;
}

/* Raise or lower the overflow counters of the buckets between home and the slot. */
static LC_NOINLINE void index_count_overflow(struct lc_shard *shard,
                                             const struct lc_place *place,
                                             int direction) {
    struct lc_group group;
    uint32_t shift = (uint32_t)(place->tag & 7) * 8;
    uint64_t dir = lc_load_relaxed(&shard->groups[place->group].gr_dir);
    if (!lc_group_open(shard, dir, &group)) {
        return;
    }
    uint32_t at = lc_group_home(&group, place->tag);
    for (uint32_t i = 0; i < place->distance; i++) {
        struct shm_bucket *bucket = lc_group_bucket(shard, &group, at);
        if (!bucket) {
            return;
        }
        uint32_t count = lc_overflow_of(bucket->bk_overflow, place->tag);
        if (count != 255 &&
            (direction > 0 || count > 0)) { /* 255 stays: unknown many */
            uint64_t one = 1ULL << shift;
            /* Release: pairs with the acquire of the slots in lc_read.c; a probe that
             * sees the slot further on must not have stopped here [I3]. */
            lc_store_release(&bucket->bk_overflow, direction > 0
                                                       ? bucket->bk_overflow + one
                                                       : bucket->bk_overflow - one);
            LC_CRASH(slot_overflow_raised);
        }
        at = lc_group_after(&group, at);
    }
}

static uint64_t index_live_after(uint64_t live, uint64_t minus_bytes,
                                 uint64_t plus_bytes) {
    uint64_t units = live & UINT32_MAX;
    uint64_t count = live >> 32;
    if (minus_bytes) { /* of more than there is, all: the hint was damaged */
        units -= lc_min64(units, minus_bytes >> LC_UNIT_SHIFT);
        count -= count > 0;
    }
    if (plus_bytes) {
        units += plus_bytes >> LC_UNIT_SHIFT;
        count++;
    }
    return count << 32 | (units & UINT32_MAX);
}

static uint64_t index_counts_after(uint64_t counts, uint64_t old, uint64_t new_word) {
    uint32_t live = (uint32_t)counts;
    uint32_t ghosts = (uint32_t)(counts >> 32);
    if (LC_LIKELY(lc_slot_is_live(old) && lc_slot_is_live(new_word))) {
        return counts;
    }
    live -= lc_slot_is_live(old) && live > 0;
    ghosts -= lc_slot_is_ghost(old) && ghosts > 0;
    live += lc_slot_is_live(new_word);
    ghosts += lc_slot_is_ghost(new_word);
    return (uint64_t)ghosts << 32 | live;
}

/* Where the hints of a change are, and what they are after it. */
struct index_after {
    uint32_t group;
    uint32_t from; /* head of the run that the old word pointed into, or LC_NO_BLOCK */
    uint32_t to;
    uint64_t counts;
    uint64_t from_live;
    uint64_t to_live;
};

static void index_arm(struct lc_shard *shard, const struct lc_place *place,
                      uint64_t new_word, uint64_t old_bytes, uint64_t new_bytes,
                      struct index_after *after) {
    struct shm_intent *in = &shard->ctl->sh_intent;
    uint64_t old = place->word;
    uint64_t counts = shard->groups[place->group].gr_counts;

    *after = (struct index_after){
        .group = place->group,
        .from = LC_NO_BLOCK,
        .to = LC_NO_BLOCK,
        .counts = index_counts_after(counts, old, new_word),
    };
    in->in_group = after->group;
    in->in_slot_at = (uint64_t)((uint8_t *)place->slot - shard->heap);
    in->in_old = old & ~LC_SLOT_HITS;
    in->in_new = new_word;
    in->in_counts[0] = counts;
    in->in_counts[1] = after->counts;
    if (lc_slot_is_live(old) && lc_slot_offset(old) < shard->heap_bytes) {
        after->from =
            lc_block_head_locked(shard, lc_block_of(shard, lc_slot_offset(old)));
        uint64_t from_live = shard->blocks[after->from].bl_live;
        after->from_live = index_live_after(from_live, old_bytes, 0);
        in->in_from_live[0] = from_live;
        in->in_from_live[1] = after->from_live;
    }
    if (lc_slot_is_live(new_word)) {
        after->to =
            lc_block_head_locked(shard, lc_block_of(shard, lc_slot_offset(new_word)));
        bool same = after->from == after->to;
        uint64_t to_live = shard->blocks[after->to].bl_live;
        after->to_live =
            index_live_after(same ? after->from_live : to_live, 0, new_bytes);
        in->in_to_live[0] = to_live;
        in->in_to_live[1] = after->to_live;
        after->from = same ? LC_NO_BLOCK : after->from;
    }
    in->in_from_block = after->from;
    in->in_to_block = after->to;
    /* Release: the line is complete before it counts. Its reader is a successor behind
     * the lock, so only the order of the stores matters. */
    lc_store_release(&in->in_kind, LC_INTENT_SLOT);
    lc_fence_death(); /* marks and hints change under an armed line only [R3] */
    LC_CRASH(slot_intent_armed);
}

/* The hints are stored. */
static void index_disarm(struct lc_shard *shard) {
    LC_CRASH(slot_counts_stored);
    /* Release: as in index_arm, the values are in place before the line is void. */
    lc_store_release(&shard->ctl->sh_intent.in_kind, LC_INTENT_NONE);
    lc_fence_death(); /* the next change must not write into a line that counts [R3] */
    LC_CRASH(slot_intent_done);
}

/* From what index_arm worked out: the line itself is not read back. */
static void index_settle(struct lc_shard *shard, const struct index_after *after) {
    lc_store_relaxed(&shard->groups[after->group].gr_counts, after->counts);
    if (after->from != LC_NO_BLOCK) {
        lc_store_relaxed(&shard->blocks[after->from].bl_live, after->from_live);
    }
    if (after->to != LC_NO_BLOCK) {
        lc_store_relaxed(&shard->blocks[after->to].bl_live, after->to_live);
    }
    index_disarm(shard);
}

/* From the line of one who died. which: 0 the values before, 1 after. */
static void index_settle_again(struct lc_shard *shard, int which) {
    const struct shm_intent *in = &shard->ctl->sh_intent;
    /* Once each, and checked: damage may have come since the line was armed. */
    uint64_t group = lc_load_relaxed(&in->in_group);
    uint64_t from = lc_load_relaxed(&in->in_from_block);
    uint64_t to = lc_load_relaxed(&in->in_to_block);
    if (LC_LIKELY(group < shard->group_count)) {
        lc_store_relaxed(&shard->groups[group].gr_counts, in->in_counts[which]);
    }
    if (from < shard->block_count) {
        lc_store_relaxed(&shard->blocks[from].bl_live, in->in_from_live[which]);
    }
    if (to < shard->block_count) {
        lc_store_relaxed(&shard->blocks[to].bl_live, in->in_to_live[which]);
    }
    index_disarm(shard);
}

static void index_mark(struct lc_shard *shard, uint64_t word, bool dead) {
    if (lc_slot_is_live(word) &&
        lc_slot_offset(word) + sizeof(struct shm_record) <= shard->heap_bytes) {
        struct shm_record *record = lc_record_at(shard, lc_slot_offset(word));
        uint32_t flags = record->rc_flags & ~LC_RECORD_DEAD;
        lc_store_relaxed16(&record->rc_flags,
                           (uint16_t)(dead ? flags | LC_RECORD_DEAD : flags));
    }
}

/* Tell a later rebuild which record counts. Not before the slot is stored: a record
 * that was complete, but never published, must not come up in a rebuild. */
static void index_mark_both(struct lc_shard *shard, uint64_t dead, uint64_t alive) {
    if (!lc_slot_is_live(alive) || lc_slot_offset(dead) != lc_slot_offset(alive)) {
        index_mark(shard, dead, true);
    }
    index_mark(shard, alive, false);
}

void lc_index_change_locked(struct lc_shard *shard, const struct lc_place *place,
                            uint64_t new_word, uint64_t old_bytes, uint64_t new_bytes) {
    bool was_live = lc_slot_is_live(place->word);
    bool is_live = lc_slot_is_live(new_word);

    if (is_live && !was_live) {
        index_count_overflow(shard, place, 1);
    }
    struct index_after after;
    index_arm(shard, place, new_word, old_bytes, new_bytes, &after);
    /* Release: the commit of every write. Pairs with the acquire load of the slot in
     * lc_read.c: who sees the word sees the record [R1]. */
    lc_store_release(place->slot, new_word);
    LC_CRASH(slot_stored);
    index_mark_both(shard, place->word, new_word);
    index_settle(shard, &after);
    if (was_live && !is_live) {
        index_count_overflow(shard, place, -1);
        lc_group_note_shrink_locked(shard, place->group);
    }
}

static void index_repair_slot(struct lc_shard *shard) {
    struct shm_intent *in = &shard->ctl->sh_intent;
    /* Once each: damage may come between two loads. */
    uint64_t at = lc_load_relaxed(&in->in_slot_at);
    uint64_t old_word = lc_load_relaxed(&in->in_old);
    uint64_t new_word = lc_load_relaxed(&in->in_new);
    if (lc_load_relaxed(&in->in_group) >= shard->group_count || at & 7 ||
        at > shard->heap_bytes - 8) {
        lc_store_release(&in->in_kind, LC_INTENT_NONE);
        return;
    }
    uint64_t *slot = (uint64_t *)(shard->heap + at);
    /* Readers may have raised hits since. */
    uint64_t now = lc_load_relaxed(slot);
    bool stored = lc_slot_is_live(new_word)
                      ? (now & ~LC_SLOT_HITS) == (new_word & ~LC_SLOT_HITS)
                      : now == new_word;
    index_mark_both(shard, stored ? old_word : new_word, stored ? new_word : old_word);
    index_settle_again(shard, stored);
}

void lc_index_repair_locked(struct lc_shard *shard) {
    switch (lc_load_relaxed(&shard->ctl->sh_intent.in_kind)) {
    case LC_INTENT_SLOT:
        index_repair_slot(shard);
        LC_CRASH(recover_slot_done);
        break;
    case LC_INTENT_GROUP:
        lc_group_repair_locked(shard, lc_load_relaxed(&shard->ctl->sh_intent.in_group));
        LC_CRASH(recover_group_done);
        break;
    default:
        break;
    }
}

void lc_index_visit_locked(const struct lc_shard *shard, uint32_t number,
                           lc_slot_visit visit, void *context) {
    struct lc_group group;
    if (!lc_group_open(shard, lc_load_relaxed(&shard->groups[number].gr_dir), &group)) {
        return;
    }
    for (uint32_t b = 0; b < group.buckets; b++) {
        struct shm_bucket *bucket = lc_group_bucket(shard, &group, b);
        for (uint32_t i = 0; bucket && i < LC_BUCKET_SLOTS; i++) {
            visit(shard, number, &bucket->bk_slot[i], context);
        }
    }
}

void lc_index_reset_locked(struct lc_shard *shard) {
    for (uint32_t g = 0; g < shard->group_count; g++) {
        lc_store_release(&shard->groups[g].gr_dir, 0);
        lc_store_release(&shard->groups[g].gr_changes, shard->groups[g].gr_changes + 1);
        LC_RACE_REUSED(&shard->groups[g].gr_changes);
        lc_store_relaxed(&shard->groups[g].gr_counts, 0);
    }
    lc_fence_seq_cst();
    lc_pages_sweep_locked(shard, UINT32_MAX, NULL, 0);
}
