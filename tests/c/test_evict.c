/* Capacity, eviction in slices, and sets that never fail.
 *
 *   test_evict never-fails 600      mixed sizes for that many seconds
 *   test_evict overwrites 100000000 that many overwrites of one key */

#include "cachetest.h"
#include "lc_evict.h"

#define SMALL_ITEMS 440000u
#define LARGE_ITEMS 15000u

/* Sets `count` new keys from `first` on and returns how many are there afterwards;
 * every one that is has its value. */
static uint64_t fill(struct lilcache *cache, uint64_t first, uint64_t count,
                     size_t length) {
    uint64_t held = 0;
    for (uint64_t n = first; n < first + count; n++) {
        CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
    }
    for (uint64_t n = first; n < first + count; n++) {
        enum ct_outcome outcome = ct_get(cache, n, n, length);
        CHECK(outcome != CT_WRONG);
        held += outcome == CT_RIGHT;
    }
    return held;
}

TEST(a_64_mib_segment_holds_small_then_large_then_small_items, 120) {
    struct lilcache *cache = ct_open(64 * MIB);
    uint64_t small = fill(cache, 0, 500000, 100);
    uint64_t large = fill(cache, 1000000, 20000, 4096);
    uint64_t again = fill(cache, 2000000, 500000, 100);
    printf("  held %llu small, %llu large, %llu small items\n",
           (unsigned long long)small, (unsigned long long)large,
           (unsigned long long)again);
    CHECK(small >= SMALL_ITEMS);
    CHECK(large >= LARGE_ITEMS);
    CHECK(again >= SMALL_ITEMS);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* The bound of E1, seen from outside. A run larger than a block is the exception. */
TEST(no_call_relocates_more_than_its_share, 60) {
    struct lilcache *cache = ct_open(4 * MIB);
    struct ct_random random = {7};
    uint64_t block = ct_stat(cache, "block_bytes");
    uint64_t most = 0;
    uint64_t evictions = 0;
    for (uint64_t i = 0; i < 60000; i++) {
        uint64_t n = ct_below(&random, 20000);
        size_t length = ct_spread(&random, 1, block / 2);
        if (ct_get(cache, n % 2000, 0, 0) == CT_RIGHT) {
            continue;
        }
        uint64_t before = ct_stat(cache, "relocations");
        CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
        uint64_t moved = ct_stat(cache, "relocations") - before;
        /* Records are at least 16 bytes, so bytes bound the number beyond 32, too. */
        uint64_t bound = LC_SLICE_FACTOR * (length + 64) / 16;
        CHECK(moved <= (bound > LC_SLICE_RECORDS ? bound : LC_SLICE_RECORDS));
        most = moved > most ? moved : most;
    }
    evictions = ct_stat(cache, "evictions");
    printf("  at most %llu records in one call, %llu evictions, %llu relocations\n",
           (unsigned long long)most, (unsigned long long)evictions,
           (unsigned long long)ct_stat(cache, "relocations"));
    CHECK(evictions > 1000);
    CHECK(ct_stat(cache, "relocations") > 1000);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* Keys below MIXED_SMALL have values of 200 bytes, those above of 4,000 and are drawn
 * four times as often: the former give more hits for their room, the latter more bytes.
 * Counted in the latter half, when what lives is settled. */
#define MIXED_SMALL 6000u
#define MIXED_LARGE 1500u

struct mixed_hits {
    uint64_t objects;
    uint64_t bytes;
};

static struct mixed_hits mixed(uint32_t flags) {
    struct lilcache *cache = ct_open_flags(2 * MIB, flags);
    struct ct_random random = {13};
    struct mixed_hits hits = {0, 0};
    for (uint64_t i = 0; i < 200000; i++) {
        bool large = ct_below(&random, 2) == 1;
        uint64_t n = large ? MIXED_SMALL + ct_below(&random, MIXED_LARGE)
                           : ct_below(&random, MIXED_SMALL);
        size_t length = large ? 4000 : 200;
        if (ct_get(cache, n, n, length) != CT_RIGHT) {
            CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
        } else if (i >= 100000) {
            hits.objects++;
            hits.bytes += length;
        }
    }
    ct_check_unhurt(cache);
    lilcache_close(cache);
    printf("  %llu hits, %llu bytes\n", (unsigned long long)hits.objects,
           (unsigned long long)hits.bytes);
    fflush(stdout);
    return hits;
}

TEST(objects_or_bytes_are_favored, 120) {
    struct mixed_hits objects = mixed(0);
    struct mixed_hits bytes = mixed(LILCACHE_FAVOR_BYTES);
    CHECK(objects.objects > bytes.objects * 5 / 4);
    CHECK(bytes.bytes > objects.bytes * 11 / 10);
}

TEST(what_is_favored_is_its_creators_choice, 10) {
    struct lilcache *cache;
    const char *name = lct_name("favor");
    cache = ct_open_named(name, 1 * MIB, LILCACHE_FAVOR_BYTES);
    CHECK(ct_shard(cache)->favor_bytes);
    lilcache_close(cache);
    cache = ct_open_named(name, 1 * MIB, 0);
    CHECK_EQ(lilcache_created(cache), 0);
    CHECK(ct_shard(cache)->favor_bytes);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
    cache = ct_open_named(name, 1 * MIB, 0);
    CHECK(!ct_shard(cache)->favor_bytes);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
}

/* Nothing was hit, nothing is smaller than the rest: nothing is worth a copy. */
TEST(cold_records_of_one_size_are_not_relocated, 60) {
    struct lilcache *cache = ct_open(1 * MIB);
    for (uint64_t n = 0; n < 50000; n++) {
        CHECK_EQ(ct_get(cache, n, n, 100), CT_MISS);
        CHECK_EQ(ct_set(cache, n, n, 100), LILCACHE_OK);
    }
    CHECK(ct_stat(cache, "evictions") > 40000);
    CHECK(ct_stat(cache, "relocations") < 100); /* when the index grew */
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* A run for a large value takes the place of what is cold, wherever that lies: what is
 * hit again and again moves out of its way. */
TEST(large_values_displace_nothing_that_is_hit, 60) {
    struct lilcache *cache = ct_open(4 * MIB);
    uint64_t lost = 0;
    for (uint64_t large = 0; large < 200; large++) {
        for (uint64_t n = 0; n < 4000; n++) {
            if (ct_get(cache, n, n, 400) == CT_MISS) {
                lost += large > 20;
                CHECK_EQ(ct_set(cache, n, n, 400), LILCACHE_OK);
            }
        }
        CHECK_EQ(ct_get(cache, 10000 + large, 0, 200000), CT_MISS);
        CHECK_EQ(ct_set(cache, 10000 + large, 0, 200000), LILCACHE_OK);
    }
    printf("  %llu of %u were lost\n", (unsigned long long)lost, 4000 * 179);
    CHECK(lost < 1000);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* The average size of what main evicts is believed whatever it is, and forgotten. */
TEST(a_damaged_average_size_does_no_harm, 60) {
    static const uint64_t values[] = {0, 1, UINT64_MAX, 1ULL << 63, 1023};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct lilcache *cache = ct_open(1 * MIB);
        struct shm_shard *ctl = ct_shard(cache)->ctl;
        for (uint64_t n = 0; n < 100000; n++) {
            if (n == 20000) {
                ctl->sh_evicted_bytes = values[i];
            }
            CHECK_EQ(ct_get(cache, n, n, 100), CT_MISS);
            CHECK_EQ(ct_set(cache, n, n, 100), LILCACHE_OK);
            CHECK_EQ(ct_get(cache, n, n, 100), CT_RIGHT);
            CHECK(n % 3 || ct_get(cache, n - n % 100, n - n % 100, 100) != CT_WRONG);
        }
        CHECK(ctl->sh_evicted_bytes / 1024 >= 100);
        CHECK(ctl->sh_evicted_bytes / 1024 < 256);
        ct_check_unhurt(cache);
        lilcache_close(cache);
    }
}

/* Bytes, exactly: small values, so that the budget is 32 records. */
TEST(small_sets_relocate_at_most_32_records, 60) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct ct_random random = {11};
    uint64_t relocations = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        uint64_t n = ct_below(&random, 12000);
        if (ct_get(cache, n, n, 100) == CT_RIGHT) {
            continue;
        }
        CHECK_EQ(ct_set(cache, n, n, 100), LILCACHE_OK);
        uint64_t now = ct_stat(cache, "relocations");
        CHECK(now - relocations <= LC_SLICE_RECORDS);
        relocations = now;
    }
    CHECK(relocations > 1000);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* One set of 60 kB among 400 of up to 200 bytes displaces some 400 of those. It does
 * not wait for all of them, as long as the sets after it have the time. */
TEST(a_rare_large_set_leaves_the_walk_to_the_small_ones_after_it, 60) {
    struct lilcache *cache = ct_open(64 * MIB);
    struct ct_random random = {11};
    uint64_t larges = 0;
    uint64_t long_walks = 0;
    for (uint64_t n = 0; n < 1500000; n++) {
        bool large = n % 400 == 0;
        uint64_t before = large ? ct_stat(cache, "evictions") : 0;
        size_t length = large ? 60000 : ct_spread(&random, 1, 200);
        CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
        if (large && before > 0) {
            larges++;
            long_walks += ct_stat(cache, "evictions") - before > 64;
        }
    }
    printf("  %llu of %llu large sets evicted more than 64 records\n",
           (unsigned long long)long_walks, (unsigned long long)larges);
    CHECK(larges > 1000);
    CHECK(long_walks < larges / 50);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* When small records fill the cache and large ones come in a stream, nobody is left to do
 * the walk later: what is read must not be evicted unseen for that. */
TEST(a_stream_of_large_sets_keeps_small_records_that_are_read, 60) {
    struct lilcache *cache = ct_open(64 * MIB);
    struct ct_random random = {17};
    uint64_t gets = 0;
    uint64_t hits = 0;
    for (uint64_t n = 0; n < 400000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 80), LILCACHE_OK);
    }
    for (uint64_t n = 0; n < 400000; n += 8) {
        CHECK(ct_get(cache, n, n, 80) != CT_WRONG);
    }
    for (uint64_t i = 0; i < 10000; i++) {
        CHECK_EQ(ct_set(cache, 1000000 + i % 5000, i, 60000), LILCACHE_OK);
        for (int g = 0; g < 20; g++, gets++) {
            uint64_t n = 8 * ct_below(&random, 50000);
            if (ct_get(cache, n, n, 80) == CT_RIGHT) {
                hits++;
            } else {
                CHECK_EQ(ct_set(cache, n, n, 80), LILCACHE_OK);
            }
        }
    }
    printf("  %.1f %% of %llu gets hit\n", 100.0 * (double)hits / (double)gets,
           (unsigned long long)gets);
    CHECK(hits > gets / 100 * 88);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(overwrites_of_one_key_evict_nothing_else, 120) {
    struct lilcache *cache = ct_open(64 * MIB);
    uint64_t times = lct_number(1000000);
    uint64_t items = 0;
    /* 95 % of what it holds without an eviction. */
    while (ct_stat(cache, "evictions") == 0) {
        for (int i = 0; i < 1000; i++) {
            CHECK_EQ(ct_set(cache, items, items, 100), LILCACHE_OK);
            items++;
        }
    }
    lilcache_close(cache);
    cache = ct_open(64 * MIB);
    items = items * 95 / 100;
    for (uint64_t n = 0; n < items; n++) {
        CHECK_EQ(ct_set(cache, n, n, 100), LILCACHE_OK);
    }
    CHECK_EQ(ct_stat(cache, "evictions"), 0);
    for (uint64_t i = 0; i < times; i++) {
        CHECK_EQ(ct_set(cache, items, i, 100), LILCACHE_OK);
    }
    CHECK_EQ(ct_stat(cache, "evictions"), 0);
    CHECK_EQ(ct_stat(cache, "index_evictions"), 0);
    for (uint64_t n = 0; n < items; n++) {
        CHECK(ct_get(cache, n, n, 100) == CT_RIGHT);
    }
    printf("  %llu overwrites beside %llu items\n", (unsigned long long)times,
           (unsigned long long)items);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* A hundred keys: what is older than the newest run has all been overwritten. */
TEST(a_run_in_which_nothing_lives_goes_at_once, 60) {
    struct lilcache *cache = ct_open(16 * MIB);
    const struct shm_shard *ctl = cache->segment->shards[0].ctl;
    uint64_t freed = 0;
    for (uint64_t i = 0; i < 1000000; i++) {
        uint32_t before = ctl->sh_free_blocks;
        CHECK_EQ(ct_set(cache, i % 100, i, 100), LILCACHE_OK);
        freed += ctl->sh_free_blocks > before;
        CHECK_EQ(ctl->sh_victim, LC_NO_BLOCK);
    }
    printf("  blocks were freed in %llu sets\n", (unsigned long long)freed);
    CHECK(freed > 100);
    CHECK_EQ(ct_stat(cache, "evictions"), 0);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(mixed_sizes_never_fails, 90) {
    struct lilcache *cache = ct_open(64 * MIB);
    struct ct_random random = {3};
    double until = lct_seconds() + (double)lct_number(30);
    uint64_t sets = 0;
    uint64_t bytes = 0;
    while (lct_seconds() < until) {
        uint64_t n = ct_below(&random, 100000);
        size_t length = ct_spread(&random, 1, 8 * MIB);
        int status = ct_set(cache, n, n, length);
        if (status != LILCACHE_OK) {
            LCT_FAIL("set %llu of %zu bytes: %s", (unsigned long long)sets, length,
                     lilcache_status_name(status));
        }
        if (sets % 16 == 0) { /* what was stored can be read at once */
            CHECK(ct_get(cache, n, n, length) == CT_RIGHT);
        }
        sets++;
        bytes += length;
    }
    printf("  %llu sets, %llu MiB, none failed\n", (unsigned long long)sets,
           (unsigned long long)(bytes / MIB));
    CHECK(sets > 100);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
