/* lc_index.c, lc_group.c, lc_pages.c: growth, shrinking, overflow counts, the ghosts'
 * share of the index, and what is dropped when there is no page left. */
#include "cachetest.h"
#include "lc_append.h"
#include "lc_block.h"
#include "lc_hash.h"
#include "lc_index.h"
#include "lc_pages.h"
#include "lc_shard.h"

#define GROUPS_MAX  64
#define SMALL_VALUE 20u

struct snapshot {
    uint64_t live;
    uint64_t ghosts;
    uint32_t pages;
    uint64_t slots;
};

static lc_hash64 hash_of(const struct lc_shard *shard, uint64_t n) {
    char key[CT_KEY_BYTES + 1];
    ct_key(n, key);
    return lc_hash_key(&shard->segment->hash, key, CT_KEY_BYTES, LILCACHE_KEY_STR);
}

static struct snapshot look(const struct lc_shard *shard, uint32_t group) {
    uint64_t counts = shard->groups[group].gr_counts;
    uint32_t pages = (uint32_t)(shard->groups[group].gr_dir >> 32);
    return (struct snapshot){
        .live = counts & UINT32_MAX,
        .ghosts = counts >> 32,
        .pages = pages,
        .slots = pages ? (uint64_t)lc_group_buckets(pages) * LC_BUCKET_SLOTS : 0,
    };
}

static uint64_t counter(struct lc_shard *shard, const char *name) {
    struct lilcache cache = {.segment = shard->segment};
    return ct_stat(&cache, name);
}

/* What every bucket should count, from the slots alone [I3]. */
static void check_overflow(const struct lc_shard *shard) {
    for (uint32_t g = 0; g < shard->group_count; g++) {
        static uint32_t wanted[LC_GROUP_PAGES_MAX * LC_PAGE_LINES][8];
        struct lc_group group;
        if (!lc_group_open(shard, shard->groups[g].gr_dir, &group)) {
            continue;
        }
        memset(wanted, 0, sizeof wanted);
        for (uint32_t b = 0; b < group.buckets; b++) {
            const struct shm_bucket *bucket = lc_group_bucket(shard, &group, b);
            for (uint32_t i = 0; i < LC_BUCKET_SLOTS; i++) {
                uint64_t tag = lc_slot_tag(bucket->bk_slot[i]);
                uint32_t at = lc_group_home(&group, tag);
                while (lc_slot_is_live(bucket->bk_slot[i]) && at != b) {
                    wanted[at][tag & 7]++;
                    at = lc_group_after(&group, at);
                }
            }
        }
        for (uint32_t b = 0; b < group.buckets; b++) {
            uint64_t overflow = lc_group_bucket(shard, &group, b)->bk_overflow;
            for (uint64_t class_ = 0; class_ < 8; class_++) {
                uint32_t has = lc_overflow_of(overflow, class_);
                /* 255 means unknown many. More than needed would only cost probes, but
                 * would add up. */
                CHECK(has == 255 || has == wanted[b][class_]);
            }
        }
    }
}

static void check_group_keys(struct lilcache *cache, const uint8_t *group_of,
                             uint32_t group, uint64_t end) {
    for (uint64_t n = 0; n < end; n++) {
        if (group_of[n] == group) {
            CHECK(ct_get(cache, n, n, SMALL_VALUE) == CT_RIGHT);
        }
    }
}

TEST(growth_keeps_every_key_and_grows_late_and_little, 60) {
    struct lilcache *cache = ct_open(4 * MIB);
    struct lc_shard *shard = ct_shard(cache);
    uint64_t count = shard->heap_bytes * 6 / 10 / 48;
    uint8_t *group_of = malloc(count);
    uint64_t growths = 0, long_rows = 0;
    uint64_t used = 0, slots = 0, samples = 0;
    CHECK(group_of != NULL);
    CHECK(shard->group_count <= GROUPS_MAX);
    for (uint64_t n = 0; n < count; n++) {
        uint32_t group = lc_group_of(shard, hash_of(shard, n));
        struct snapshot before = look(shard, group);
        group_of[n] = (uint8_t)group;
        CHECK_EQ(ct_set(cache, n, n, SMALL_VALUE), LILCACHE_OK);
        struct snapshot after = look(shard, group);
        CHECK_EQ(after.live, before.live + 1);
        if (after.pages == before.pages) {
            continue;
        }
        uint64_t now = counter(shard, "growths");
        uint64_t step = lc_max64(1, before.pages / 16);
        uint64_t more = after.pages - before.pages;
        /* A row of full buckets longer than a probe can take more than one step. */
        long_rows += now != growths + 1 || more > step;
        CHECK(now > growths && more <= 4 * step * (now - growths));
        growths = now;
        if (before.pages >= 4) {
            used += before.live + before.ghosts;
            slots += before.slots;
            samples++;
        }
        if (after.pages % 4 == 0) { /* one look goes over all keys */
            check_group_keys(cache, group_of, group, n + 1);
        }
    }
    printf("  load %.1f %% before growths\n", 100.0 * (double)used / (double)slots);
    CHECK(long_rows * 50 <= growths);
    CHECK(samples > 100);
    CHECK(used * 100 >= slots * 85);
    CHECK_EQ(ct_stat(cache, "evictions") + ct_stat(cache, "index_evictions"), 0);
    for (uint32_t g = 0; g < shard->group_count; g++) {
        check_group_keys(cache, group_of, g, count);
    }
    check_overflow(shard);
    ct_check_unhurt(cache);
    free(group_of);
    lilcache_close(cache);
}

TEST(deletes_give_pages_and_blocks_back, 60) {
    struct lilcache *cache = ct_open(4 * MIB);
    uint64_t count = 45000;
    for (uint64_t n = 0; n < count; n++) {
        CHECK_EQ(ct_set(cache, n, n, SMALL_VALUE), LILCACHE_OK);
    }
    CHECK_EQ(ct_stat(cache, "evictions"), 0);
    uint64_t slots = ct_stat(cache, "index_slots");
    uint64_t bytes = ct_stat(cache, "index_bytes");
    for (uint64_t n = 0; n < count; n++) {
        if (n % 16 != 0) {
            CHECK_EQ(ct_delete(cache, n), LILCACHE_OK);
        }
    }
    /* Blocks come back one step per write. */
    for (uint64_t n = 0; n < 5000; n++) {
        CHECK_EQ(ct_set(cache, 0, 0, SMALL_VALUE), LILCACHE_OK);
    }
    uint64_t fewer_slots = ct_stat(cache, "index_slots");
    uint64_t fewer_bytes = ct_stat(cache, "index_bytes");
    CHECK(fewer_slots * 4 < slots && fewer_bytes * 2 < bytes);
    CHECK(ct_stat(cache, "shrinks") > 0);
    for (uint64_t n = 0; n < count; n++) {
        enum ct_outcome wanted = n % 16 == 0 ? CT_RIGHT : CT_MISS;
        CHECK(ct_get(cache, n, n, SMALL_VALUE) == wanted);
    }
    check_overflow(ct_shard(cache));
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(overflow_counts_fit_after_any_churn, 60) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct ct_random random = {17};
    for (uint64_t i = 0; i < 120000; i++) {
        uint64_t n = ct_below(&random, 20000);
        if (ct_below(&random, 3) == 0) {
            CHECK(ct_delete(cache, n) >= LILCACHE_MISS);
        } else if (ct_get(cache, n, n, SMALL_VALUE) == CT_MISS) {
            CHECK_EQ(ct_set(cache, n, n, SMALL_VALUE), LILCACHE_OK);
        }
        if (i % 2000 == 0) {
            check_overflow(ct_shard(cache));
            ct_check(cache);
        }
    }
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* New keys without end, read often enough that evictions leave ghosts. A group may be
 * as large as its live slots and its share of ghosts made it, and one step more. */
TEST(ghosts_stay_within_their_budget, 60) {
    struct lilcache *cache = ct_open(2 * MIB);
    struct lc_shard *shard = ct_shard(cache);
    uint64_t peak[GROUPS_MAX] = {0};
    uint64_t ghosts_most = 0, slots = 0, bound = 0;
    CHECK(shard->group_count <= GROUPS_MAX);
    for (uint64_t n = 0; n < 150000; n++) {
        uint32_t group = lc_group_of(shard, hash_of(shard, n));
        CHECK_EQ(ct_set(cache, n, n, 100), LILCACHE_OK);
        ct_get(cache, n - n % 7, n - n % 7, 100);
        ct_get(cache, n - n % 5, n - n % 5, 100);
        struct snapshot now = look(shard, group);
        peak[group] = lc_max64(peak[group], now.live);
        ghosts_most = lc_max64(ghosts_most, now.ghosts);
    }
    /* Over all groups: a single one may have grown for a long row of full buckets. */
    for (uint32_t g = 0; g < shard->group_count; g++) {
        struct snapshot now = look(shard, g);
        uint64_t step = lc_max64(1, now.pages / 16) * LC_PAGE_LINES * LC_BUCKET_SLOTS;
        slots += now.slots;
        bound += (peak[g] + shard->ghosts_per_group + 1) * 8 / 7 + 8 + step;
    }
    CHECK(slots <= bound);
    CHECK(ghosts_most > shard->ghosts_per_group); /* the bound was put to the test */
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* As a write does it, without upkeep and eviction. False: no room for the record. */
static bool put_locked(struct lc_shard *shard, uint64_t n) {
    char key[CT_KEY_BYTES + 1];
    struct lc_record record;
    struct lc_place place;
    struct lc_source source = {
        .key = key,
        .value = "x",
        .key_length = CT_KEY_BYTES,
        .value_length = 1,
        .stamp = (uint32_t)++shard->ctl->sh_stamp,
        .expires = UINT64_MAX,
        .flags = LILCACHE_KEY_STR,
    };
    ct_key(n, key);
    lc_hash64 hash = hash_of(shard, n);
    uint64_t bytes = lc_append_plan(shard, &source);
    uint64_t at = lc_run_room_open_locked(shard, LC_SMALL, bytes);
    if (at == UINT64_MAX) {
        return false;
    }
    lc_append_head_locked(shard, &source, at, &record);
    lc_append_value(shard, &source, &record);
    CHECK(lc_index_claim_locked(shard, hash, &place));
    lc_index_change_locked(shard, &place,
                           lc_slot_live(lc_tag_of(hash), at >> LC_UNIT_SHIFT, 0), 0,
                           record.total);
    CHECK(lc_index_find_offset_locked(shard, hash, at, &place));
    return true;
}

TEST(without_a_page_a_record_is_sacrificed, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lc_shard *shard = ct_shard(cache);
    static uint32_t pages[4096];
    static bool occupied[4096];
    uint32_t taken = 0, added = 0;
    for (uint64_t n = 0; n < 700; n++) {
        CHECK_EQ(ct_set(cache, n, n, 1), LILCACHE_OK);
    }
    CHECK_EQ(lc_shard_enter(shard, 1000), LILCACHE_OK);
    lc_run_seal_all_locked(shard);
    uint64_t room = 8ULL << shard->block_shift; /* more records than all slots hold */
    CHECK(lc_run_room_locked(shard, LC_SMALL, room) != UINT64_MAX);
    while (taken < 4096) {
        uint32_t page = lc_page_take_locked(shard, 0, LC_NO_BLOCK);
        if (page == UINT32_MAX) {
            break;
        }
        pages[taken++] = page;
    }
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        if (lc_word_state(shard->blocks[b].bl_word) == LC_BLOCK_FREE) {
            lc_block_set_locked(shard, b, LC_BLOCK_SEALED, LC_SMALL, 1);
            occupied[b] = true;
        }
    }
    uint64_t growths = counter(shard, "growths");
    while (added < 2000 && put_locked(shard, 1000 + added)) {
        added++;
    }
    CHECK_EQ(counter(shard, "growths"), growths);
    uint64_t dropped = counter(shard, "index_evictions");
    CHECK(dropped > 100 && dropped < added);
    check_overflow(shard);
    while (taken > 0) {
        lc_page_give_locked(shard, 0, pages[--taken]);
    }
    for (uint32_t b = 0; b < shard->block_count; b++) {
        if (occupied[b]) {
            lc_block_set_locked(shard, b, LC_BLOCK_FREE, LC_SMALL, 1);
        }
    }
    lc_block_repair_locked(shard);
    lc_shard_leave(shard);
    CHECK_EQ(ct_stat(cache, "items"), 700 + added - dropped);
    ct_check(cache);
    for (uint64_t n = 0; n < 3000; n++) { /* and it grows again */
        CHECK_EQ(ct_set(cache, n, n, 1), LILCACHE_OK);
        CHECK(ct_get(cache, n, n, 1) == CT_RIGHT);
    }
    CHECK(ct_stat(cache, "growths") > growths);
    ct_check(cache);
    lilcache_close(cache);
}

/* A damaged owner word: the group that it names does not list the page, so moving the
 * group does not empty the block. */
/* A page of the lowest index block claims an owner that does not list it. True: the
 * block could be emptied; with some hash keys the others have no room for its pages. */
static bool emptied_beside_a_foreign_page(void) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lc_shard *shard = ct_shard(cache);
    for (uint64_t n = 0; n < 1900; n++) {
        CHECK_EQ(ct_set(cache, n, n, 4), LILCACHE_OK);
    }
    uint32_t lowest = lc_pages_lowest_locked(shard);
    uint32_t *owners =
        (uint32_t *)(shard->heap + ((uint64_t)lowest << shard->block_shift));
    uint32_t i = shard->owner_pages;
    while (i < 1u << shard->page_shift && owners[i] != 0) {
        i++;
    }
    bool free_page = i < 1u << shard->page_shift;
    if (free_page) {
        owners[i] = 1;
    }
    CHECK_EQ(lc_shard_enter(shard, 1000), LILCACHE_OK);
    bool emptied = lc_index_empty_lowest_locked(shard);
    lc_shard_leave(shard);
    if (emptied) {
        ct_check(cache);
    }
    for (uint64_t n = 0; n < 1900; n++) {
        CHECK_EQ(ct_get(cache, n, n, 4), CT_RIGHT);
    }
    lilcache_close(cache);
    return emptied && free_page;
}

TEST(page_whose_owner_does_not_list_it, 20) {
    int emptied = 0;
    for (int i = 0; i < 20; i++) {
        emptied += emptied_beside_a_foreign_page();
    }
    CHECK(emptied > 0);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
