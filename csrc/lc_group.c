/* Groups change size by being built anew beside the old pages and switched to by one
 * store of gr_dir; a reader that probed the old pages finds gr_dir or gr_changes
 * changed and starts again.
 *
 *   old pages  [####][####][##..]            gr_dir --+
 *   new pages  [###.][###.][###.][###.]  <------------+   one store
 *
 * Slots keep their order: home buckets are tag * buckets >> 28, so nothing but the
 * slots themselves is read. Ghosts come along while they are young and there is room.
 * Crash story: before the store the new pages are leftovers, after it the old ones are;
 * either way they are owned by the group and not in its list, and are swept.
 * Invariants: I2 I4 P1. */
#include "lc_group.h"

#include <string.h>

#include "lc_block.h"
#include "lc_counter.h"
#include "lc_crash.h"
#include "lc_index.h"
#include "lc_race.h"

/* A group grows when more than 7/8 of its slots are taken, and shrinks below 5/8, to
 * where 13/16 are taken, so that neither undoes the other. */
#define GROUP_FULL(slots)  ((slots) / 8 * 7)
#define GROUP_LOOSE(slots) ((slots) / 8 * 5)
#define GROUP_GOOD(slots)  ((slots) / 16 * 13)

/* Below it no row of full buckets as long as a probe comes about by chance. */
#define GROUP_SPARSE(slots) ((slots) / 2)

/* Sizes tried when a row of full buckets is longer than a probe. */
#define GROUP_GROW_TRIES 4

static uint32_t group_slots(uint32_t pages) {
    return lc_group_buckets(pages) * LC_BUCKET_SLOTS;
}

/* Slots the group should have room for. */
static uint32_t group_demand(const struct lc_shard *shard, uint32_t number) {
    uint64_t counts = shard->groups[number].gr_counts;
    return (uint32_t)(counts & UINT32_MAX) +
           (uint32_t)lc_min64(counts >> 32, shard->ghosts_per_group);
}

/* Put a slot into a group that is being built and that nobody sees yet. Live slots go
 * on past full buckets; a ghost takes what is left on the way. */
static bool group_put(struct lc_shard *shard, struct lc_group *group, uint64_t word) {
    uint64_t tag = lc_slot_tag(word);
    bool live = lc_slot_is_live(word);
    uint32_t at = lc_group_home(group, tag);
    struct shm_bucket *passed[LC_PROBE_MAX + 1];
    uint32_t reach = (uint32_t)lc_min64(LC_PROBE_MAX, group->buckets - 1);

    for (uint32_t distance = 0; distance <= reach; distance++) {
        struct shm_bucket *bucket = lc_group_bucket(shard, group, at);
        if (!bucket) {
            return false; /* the list we have just written is damaged */
        }
        for (uint32_t i = 0; i < LC_BUCKET_SLOTS; i++) {
            if (lc_load_relaxed(&bucket->bk_slot[i]) != 0) {
                continue;
            }
            lc_store_relaxed(&bucket->bk_slot[i], word);
            for (uint32_t p = 0; live && p < distance; p++) {
                if (lc_overflow_of(passed[p]->bk_overflow, tag) != 255) {
                    lc_store_relaxed(&passed[p]->bk_overflow,
                                     passed[p]->bk_overflow +
                                         (1ULL << ((tag & 7) * 8)));
                }
            }
            return true;
        }
        if (!live && lc_overflow_of(bucket->bk_overflow, tag) == 0) {
            return false;
        }
        passed[distance] = bucket;
        at = lc_group_after(group, at);
    }
    return false;
}

/* Copy live slots, then young ghosts, in at most `room` slots. False: a slot found no
 * place. *counts as gr_counts. */
static bool group_fill(struct lc_shard *shard, const struct lc_group *from,
                       struct lc_group *to, uint64_t *counts) {
    uint64_t live = 0;
    uint64_t ghosts = 0;
    uint64_t room;
    for (uint32_t b = 0; b < from->buckets; b++) {
        const struct shm_bucket *bucket = lc_group_bucket(shard, from, b);
        for (uint32_t i = 0; bucket && i < LC_BUCKET_SLOTS; i++) {
            uint64_t word = lc_load_relaxed(&bucket->bk_slot[i]);
            if (lc_slot_is_live(word)) {
                if (!group_put(shard, to, word)) {
                    return false;
                }
                live++;
            }
        }
    }
    room = (uint64_t)to->buckets * LC_BUCKET_SLOTS;
    room = room > live ? room - live : 0;
    for (uint32_t b = 0; b < from->buckets && ghosts < room; b++) {
        const struct shm_bucket *bucket = lc_group_bucket(shard, from, b);
        for (uint32_t i = 0; bucket && i < LC_BUCKET_SLOTS; i++) {
            uint64_t word = lc_load_relaxed(&bucket->bk_slot[i]);
            if (lc_slot_is_ghost(word) && lc_index_ghost_young_locked(shard, word)) {
                ghosts += group_put(shard, to, word);
            }
        }
    }
    *counts = ghosts << 32 | live;
    return true;
}

static void group_give_pages(struct lc_shard *shard, uint32_t number,
                             const uint32_t *pages, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        lc_page_give_locked(shard, number, pages[i]);
    }
}

static uint32_t group_list_pages(const struct lc_group *group,
                                 uint32_t pages[LC_GROUP_PAGES_MAX]) {
    pages[0] = group->first;
    for (uint32_t i = 1; i < group->pages; i++) {
        pages[i] = lc_load_relaxed32(&group->list[i - 1]);
    }
    return group->pages;
}

static bool group_take_pages(struct lc_shard *shard, uint32_t number, uint32_t count,
                             uint32_t avoid, uint32_t pages[LC_GROUP_PAGES_MAX]) {
    while (lc_pages_free_locked(shard) < count) {
        if (!lc_pages_extend_locked(shard, false) &&
            !(avoid == LC_NO_BLOCK && lc_pages_extend_locked(shard, true))) {
            return false;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        pages[i] = lc_page_take_locked(shard, number, avoid);
        if (pages[i] == UINT32_MAX) {
            group_give_pages(shard, number, pages, i);
            return false;
        }
        memset(lc_page_at(shard, pages[i]), 0, LC_PAGE_BYTES);
    }
    if (count > 1) {
        memcpy(lc_page_at(shard, pages[0]), pages + 1, (count - 1) * sizeof *pages);
    }
    return true;
}

/* Build the group with `count` pages outside block `avoid` and switch to them. */
static bool group_rebuild(struct lc_shard *shard, uint32_t number, uint32_t count,
                          uint32_t avoid) {
    struct shm_group *shared = &shard->groups[number];
    struct shm_intent *in = &shard->ctl->sh_intent;
    uint32_t new_pages[LC_GROUP_PAGES_MAX];
    uint32_t old_pages[LC_GROUP_PAGES_MAX];
    uint32_t old_count = 0;
    uint64_t counts = 0;
    struct lc_group old = {0};
    struct lc_group new;
    bool had = lc_group_open(shard, lc_load_relaxed(&shared->gr_dir), &old);

    if (count == 0 || count > LC_GROUP_PAGES_MAX) {
        return false;
    }
    in->in_group = number;
    /* Release: the number is there before the line counts; read behind the lock only.
     */
    lc_store_release(&in->in_kind, LC_INTENT_GROUP);
    lc_fence_death(); /* pages are taken under an armed line only [R3] */
    LC_CRASH(group_intent_armed);
    bool built = group_take_pages(shard, number, count, avoid, new_pages);
    if (built) {
        lc_group_open(shard, lc_group_dir(new_pages[0], count), &new);
        built = !had || group_fill(shard, &old, &new, &counts);
        if (!built) {
            group_give_pages(shard, number, new_pages, count);
        }
    }
    LC_CRASH(group_built);
    if (built) {
        old_count = had ? group_list_pages(&old, old_pages) : 0;
        /* Release: pairs with the acquire load of gr_dir in lc_read.c; the pages are
         * complete before a probe can reach them [I4]. */
        lc_store_release(&shared->gr_dir, lc_group_dir(new_pages[0], count));
        LC_CRASH(group_switched);
        lc_store_relaxed(&shared->gr_counts, counts);
        /* Release, then the fence: a probe of the old pages that could see them reused
         * must see this change at its end, behind its acquire fence [I4]. */
        lc_store_release(&shared->gr_changes, shared->gr_changes + 1);
        LC_CRASH(group_changes_bumped);
        lc_fence_seq_cst();
        LC_RACE_REUSED(&shared->gr_changes);
        group_give_pages(shard, number, old_pages, old_count);
        LC_CRASH(group_old_pages_freed);
        lc_count_locked(shard,
                        count > old_count   ? LC_SHARD_growths
                        : count < old_count ? LC_SHARD_shrinks
                                            : LC_SHARD_moves,
                        1);
    }
    lc_store_release(&in->in_kind, LC_INTENT_NONE); /* release: as when it was armed */
    lc_fence_death();                               /* as in index_disarm */
    return built;
}

void lc_group_repair_locked(struct lc_shard *shard, uint64_t number) {
    struct shm_intent *in = &shard->ctl->sh_intent;
    uint32_t pages[LC_GROUP_PAGES_MAX];
    uint32_t count = 0;
    struct lc_group group;
    if (number >= shard->group_count) {
        lc_store_release(&in->in_kind, LC_INTENT_NONE);
        return;
    }
    struct shm_group *shared = &shard->groups[number];
    uint64_t live = 0;
    uint64_t ghosts = 0;
    if (lc_group_open(shard, lc_load_relaxed(&shared->gr_dir), &group)) {
        count = group_list_pages(&group, pages);
        for (uint32_t b = 0; b < group.buckets; b++) {
            const struct shm_bucket *bucket = lc_group_bucket(shard, &group, b);
            for (uint32_t i = 0; bucket && i < LC_BUCKET_SLOTS; i++) {
                uint64_t word = lc_load_relaxed(&bucket->bk_slot[i]);
                live += lc_slot_is_live(word);
                ghosts += lc_slot_is_ghost(word);
            }
        }
    }
    lc_store_relaxed(&shared->gr_counts, ghosts << 32 | live);
    lc_store_release(&shared->gr_changes,
                     shared->gr_changes + 1); /* as group_rebuild */
    lc_fence_seq_cst();
    LC_RACE_REUSED(&shared->gr_changes);
    lc_pages_sweep_locked(shard, (uint32_t)number, pages, count);
    lc_store_release(&in->in_kind, LC_INTENT_NONE);
}

LC_NOINLINE void lc_group_note_shrink_locked(struct lc_shard *shard, uint32_t number) {
    uint32_t pages = (uint32_t)(shard->groups[number].gr_dir >> 32);
    if (pages > 1 && group_demand(shard, number) < GROUP_LOOSE(group_slots(pages))) {
        shard->ctl->sh_shrink_hint = number + 1;
    }
}

static uint32_t group_pages_for(uint32_t demand) {
    uint32_t pages = 1;
    while (pages < LC_GROUP_PAGES_MAX && GROUP_GOOD(group_slots(pages)) < demand) {
        pages++;
    }
    return pages;
}

static uint32_t group_young_ghosts(const struct lc_shard *shard,
                                   const struct lc_group *group) {
    uint32_t young = 0;
    for (uint32_t b = 0; b < group->buckets; b++) {
        const struct shm_bucket *bucket = lc_group_bucket(shard, group, b);
        for (uint32_t i = 0; bucket && i < LC_BUCKET_SLOTS; i++) {
            uint64_t word = lc_load_relaxed(&bucket->bk_slot[i]);
            young += lc_slot_is_ghost(word) && lc_index_ghost_young_locked(shard, word);
        }
    }
    return young;
}

/* Make room for one more live slot. True: the group was rebuilt. */
static bool group_grow(struct lc_shard *shard, uint32_t number, bool must) {
    struct lc_group group;
    if (!lc_group_open(shard, lc_load_relaxed(&shard->groups[number].gr_dir), &group)) {
        return group_rebuild(shard, number, 1, LC_NO_BLOCK);
    }
    uint32_t step = (uint32_t)lc_max64(1, group.pages / 16);
    uint32_t live = (uint32_t)shard->groups[number].gr_counts;
    uint32_t demand =
        live + 1 +
        (uint32_t)lc_min64(group_young_ghosts(shard, &group), shard->ghosts_per_group);
    uint32_t pages = group.pages;
    if (must || demand > GROUP_GOOD(group_slots(pages))) {
        pages += step;
    }
    /* A row of full buckets longer than a probe stops the rebuild, too. It is rare, and
     * falls apart when the buckets are others. */
    for (int tries = 0; tries < GROUP_GROW_TRIES; tries++, pages += step) {
        if (group_rebuild(shard, number, pages, LC_NO_BLOCK)) {
            return true;
        }
    }
    return false;
}

/* Where on the probe path a new slot could go: an empty slot or an old ghost's, nearest
 * first; else the oldest ghost of the first bucket that has one. */
static bool group_place(const struct lc_shard *shard, uint32_t number, uint64_t tag,
                        struct lc_place *out) {
    struct lc_group group;
    if (!lc_group_open(shard, lc_load_relaxed(&shard->groups[number].gr_dir), &group)) {
        return false;
    }
    uint32_t at = lc_group_home(&group, tag);
    uint32_t reach = (uint32_t)lc_min64(LC_PROBE_MAX, group.buckets - 1);
    for (uint32_t distance = 0; distance <= reach; distance++) {
        struct shm_bucket *bucket = lc_group_bucket(shard, &group, at);
        struct lc_place ghost = {0};
        uint64_t oldest = 0;
        for (uint32_t i = 0; bucket && i < LC_BUCKET_SLOTS; i++) {
            uint64_t word = lc_load_relaxed(&bucket->bk_slot[i]);
            if (lc_slot_is_live(word)) {
                continue;
            }
            *out = (struct lc_place){&bucket->bk_slot[i], word, tag, number, distance};
            if (word == 0 || !lc_index_ghost_young_locked(shard, word)) {
                return true;
            }
            uint64_t age =
                (shard->ctl->sh_ghost_clock - lc_slot_unit(word)) & LC_UNIT_MASK;
            if (!ghost.slot || age > oldest) {
                ghost = *out;
                oldest = age;
            }
        }
        if (ghost.slot) {
            *out = ghost;
            return true;
        }
        at = lc_group_after(&group, at);
    }
    return false;
}

/* The index cannot grow, or it would not help: drop the record with the fewest hits in
 * the home bucket. */
static bool group_sacrifice(struct lc_shard *shard, uint32_t number, uint64_t tag,
                            struct lc_place *out) {
    struct lc_group group;
    struct lc_place victim = {0};
    if (!lc_group_open(shard, lc_load_relaxed(&shard->groups[number].gr_dir), &group)) {
        return false;
    }
    uint32_t home = lc_group_home(&group, tag);
    struct shm_bucket *bucket = lc_group_bucket(shard, &group, home);
    for (uint32_t i = 0; bucket && i < LC_BUCKET_SLOTS; i++) {
        uint64_t word = lc_load_relaxed(&bucket->bk_slot[i]);
        if (lc_slot_is_live(word) &&
            (!victim.slot || lc_slot_hits(word) < lc_slot_hits(victim.word))) {
            uint64_t its_tag = lc_slot_tag(word);
            uint32_t its_home = lc_group_home(&group, its_tag);
            uint32_t distance = (home + group.buckets - its_home) % group.buckets;
            victim =
                (struct lc_place){&bucket->bk_slot[i], word, its_tag, number, distance};
        }
    }
    struct lc_record record;
    if (!victim.slot) {
        return false;
    }
    bool valid = lc_record_read(shard, lc_slot_offset(victim.word), &record);
    lc_index_change_locked(shard, &victim, 0, valid ? record.total : 0, 0);
    lc_count_locked(shard, LC_SHARD_index_evictions, 1);
    /* The next claim fills it; shrunk before, the group would grow again for that. */
    if (shard->ctl->sh_shrink_hint == number + 1) {
        shard->ctl->sh_shrink_hint = 0;
    }
    *out = (struct lc_place){victim.slot, 0, tag, number, 0};
    return true;
}

/* Somebody who knows the hash key has chosen keys that share a home: no number of pages
 * parts them, and every try of it costs a rebuild. */
static bool group_crowded(const struct lc_shard *shard, uint32_t number) {
    uint64_t dir = shard->groups[number].gr_dir;
    uint32_t live = (uint32_t)shard->groups[number].gr_counts;
    return live < GROUP_SPARSE(group_slots((uint32_t)(dir >> 32)));
}

LC_NOINLINE enum lc_index_room lc_index_prepare_locked(struct lc_shard *shard,
                                                       lc_hash64 hash) {
    uint32_t number = lc_group_of(shard, hash);
    uint32_t pages = (uint32_t)(shard->groups[number].gr_dir >> 32);
    struct lc_place place;
    bool rebuilt = false;

    if (pages == 0 || pages > LC_GROUP_PAGES_MAX ||
        group_demand(shard, number) + 1 > GROUP_FULL(group_slots(pages))) {
        rebuilt = group_grow(shard, number, false);
        if (!rebuilt && pages == 0) {
            return LC_INDEX_FULL;
        }
    }
    for (int i = 0; !group_place(shard, number, lc_tag_of(hash), &place); i++) {
        if (group_crowded(shard, number)) {
            break;
        }
        if (i == GROUP_GROW_TRIES || !group_grow(shard, number, true)) {
            return LC_INDEX_FULL;
        }
        rebuilt = true;
    }
    return rebuilt ? LC_INDEX_REBUILT : LC_INDEX_READY;
}

bool lc_index_claim_locked(struct lc_shard *shard, lc_hash64 hash,
                           struct lc_place *out) {
    uint32_t number = lc_group_of(shard, hash);
    uint64_t tag = lc_tag_of(hash);
    if (lc_index_prepare_locked(shard, hash) != LC_INDEX_FULL &&
        group_place(shard, number, tag, out)) {
        return true;
    }
    return group_sacrifice(shard, number, tag, out);
}

/* Pages kept in hand: one group's worth must be free for it to be built anew. */
static uint32_t group_reserve(const struct lc_shard *shard) {
    uint32_t shift = shard->group_count == 1 ? 0 : 64 - shard->group_shift;
    return (shard->ctl->sh_index_pages >> shift) + 4;
}

uint32_t lc_index_wants_locked(const struct lc_shard *shard) {
    const struct shm_shard *ctl = shard->ctl;
    if (ctl->sh_index_blocks == 0) {
        return LC_NO_BLOCK;
    }
    bool misplaced = shard->block_count - ctl->sh_index_low > ctl->sh_index_blocks;
    bool short_of = lc_pages_free_locked(shard) < group_reserve(shard);
    return short_of || misplaced ? lc_pages_next_locked(shard) : LC_NO_BLOCK;
}

/* Move a group out of a block. A page there that still says it is the group's, although
 * no page of the group's list lies there any more, is a damaged owner word: it would be
 * moved again and again. */
static bool group_leave(struct lc_shard *shard, uint32_t number, uint32_t block) {
    uint32_t pages = (uint32_t)(shard->groups[number].gr_dir >> 32);
    if (!group_rebuild(shard, number, pages, block)) {
        return false;
    }
    if (lc_pages_owner_locked(shard, block) == number) {
        lc_group_repair_locked(shard, number);
    }
    return true;
}

/* Move one group out of the lowest index block, for all of whose pages the others have
 * room, and free the block once it is empty. */
static void group_compact(struct lc_shard *shard, uint32_t lowest) {
    if (shard->blocks[lowest].bl_fill == 0) {
        lc_run_free_locked(shard, lowest);
        shard->ctl->sh_index_blocks--;
        return;
    }
    uint32_t number = lc_pages_owner_locked(shard, lowest);
    if (number != LC_NO_BLOCK) {
        group_leave(shard, number, lowest);
    }
}

bool lc_index_empty_lowest_locked(struct lc_shard *shard) {
    uint32_t lowest = lc_pages_lowest_locked(shard);
    if (lowest == LC_NO_BLOCK || shard->ctl->sh_index_blocks < 2) {
        return false;
    }
    for (;;) {
        uint32_t number = lc_pages_owner_locked(shard, lowest);
        if (number == LC_NO_BLOCK) {
            break;
        }
        if (!group_leave(shard, number, lowest)) {
            return false;
        }
    }
    lc_run_free_locked(shard, lowest);
    shard->ctl->sh_index_blocks--;
    return true;
}

static void group_shrink(struct lc_shard *shard, uint32_t number) {
    if (number < shard->group_count) {
        uint32_t pages = group_pages_for(group_demand(shard, number) + 1);
        if (pages < (uint32_t)(shard->groups[number].gr_dir >> 32)) {
            group_rebuild(shard, number, pages, LC_NO_BLOCK);
        }
    }
}

static LC_NOINLINE void group_upkeep(struct lc_shard *shard, uint32_t hint,
                                     uint64_t now) {
    struct shm_shard *ctl = shard->ctl;
    if (hint != 0) {
        ctl->sh_shrink_hint = 0;
        group_shrink(shard, hint - 1);
    }
    if (ctl->sh_index_blocks == 0) {
        return;
    }
    uint32_t lowest = lc_pages_lowest_locked(shard);
    bool roomy =
        lc_pages_free_locked(shard) >= lc_pages_per_block(shard) + group_reserve(shard);
    uint32_t next = lc_index_wants_locked(shard);
    if (roomy && ctl->sh_index_blocks > 1 && lowest != LC_NO_BLOCK) {
        group_compact(shard, lowest);
    } else if (roomy || next == LC_NO_BLOCK) {
        shard->upkept = now;
    } else if (lc_word_state(shard->blocks[next].bl_word) == LC_BLOCK_FREE) {
        lc_pages_extend_locked(shard, false);
    }
}

/* Every write comes by here, and hardly ever is there anything to do: where that was
 * found it is not looked for again while the index has as many blocks and pages. */
void lc_index_upkeep_locked(struct lc_shard *shard) {
    const struct shm_shard *ctl = shard->ctl;
    uint32_t hint = lc_load_relaxed32(&ctl->sh_shrink_hint);
    uint64_t now = (uint64_t)ctl->sh_index_blocks << 32 | ctl->sh_index_pages;
    if (LC_UNLIKELY(hint != 0 || now != shard->upkept)) {
        group_upkeep(shard, hint, now);
    }
}
